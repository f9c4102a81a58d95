package zapi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
)

// writer appends fields and keeps the first error.
type writer struct {
	b   []byte
	d   Dialect
	l   *layout
	err error
}

func (w *writer) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *writer) u8(v uint8)     { w.b = append(w.b, v) }
func (w *writer) u16(v uint16)   { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *writer) u32(v uint32)   { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *writer) u64(v uint64)   { w.b = binary.BigEndian.AppendUint64(w.b, v) }
func (w *writer) bytes(v []byte) { w.b = append(w.b, v...) }

// host32 is for what zebra copies out of memory: both ends are on one machine.
func (w *writer) host32(v uint32) { w.b = binary.NativeEndian.AppendUint32(w.b, v) }

func (w *writer) bool(v bool) {
	if v {
		w.u8(1)
	} else {
		w.u8(0)
	}
}

// count8 and count16 write how many of something follow.
func (w *writer) count8(what string, n int) {
	if n > 0xff {
		w.fail("%d %s, at most 255", n, what)
	}
	w.u8(uint8(n))
}

func (w *writer) count16(what string, n int) {
	if n > 0xffff {
		w.fail("%d %s, at most 65535", n, what)
	}
	w.u16(uint16(n))
}

// fixed writes a name padded with NUL, one of them at least.
func (w *writer) fixed(s string, size int) {
	if len(s) >= size {
		w.fail("name %q is longer than %d bytes", s, size-1)
		return
	}
	w.b = append(w.b, s...)
	w.b = append(w.b, make([]byte, size-len(s))...)
}

func (w *writer) routeType(t RouteType) {
	number, ok := w.d.RouteNumber(t)
	if !ok {
		w.fail("this release has no route type %s", t)
	}
	w.u8(number)
}

func (w *writer) family(a netip.Addr) uint8 {
	switch {
	case a.Is4():
		return familyIPv4
	case a.Is6() && !a.Is4In6():
		return familyIPv6
	case a.Is4In6():
		// A mapped address is an IPv6 one on the wire.
		return familyIPv6
	}
	w.fail("no address")
	return familyUnspec
}

func (w *writer) addr(a netip.Addr) { w.b = append(w.b, a.WithZone("").AsSlice()...) }

func (w *writer) plen(p netip.Prefix) {
	if !p.IsValid() {
		w.fail("no prefix")
		return
	}
	w.u8(uint8(p.Bits()))
}

// reader takes fields off the front and keeps the first error; after it, every
// field reads as zero.
type reader struct {
	b   []byte
	d   Dialect
	l   *layout
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.b = nil
}

// take returns the next n bytes, shared with the input.
func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.b) {
		r.err, r.b = ErrShort, nil
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8 {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *reader) host32() uint32 {
	if v := r.take(4); v != nil {
		return binary.NativeEndian.Uint32(v)
	}
	return 0
}

func (r *reader) bool() bool { return r.u8() != 0 }

// bytes returns a copy of the next n bytes, nil for none.
func (r *reader) bytes(n int) []byte { return clone(r.take(n)) }

func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}

func (r *reader) fixed(size int) string {
	v := r.take(size)
	end := bytes.IndexByte(v, 0)
	if end < 0 && r.err == nil {
		r.fail("name %q has no end", v)
		return ""
	}
	return string(v[:max(end, 0)])
}

func (r *reader) routeType() RouteType {
	number := r.u8()
	if r.err != nil {
		return 0
	}
	t, ok := r.d.routeType(number)
	if !ok {
		r.fail("this release has no route type %d", number)
	}
	return t
}

func (r *reader) afi(v uint16) AFI {
	if r.err == nil && v != uint16(AFIIPv4) && v != uint16(AFIIPv6) {
		r.fail("address family identifier is %d, want 1 or 2", v)
	}
	return AFI(v)
}

// addr reads an address of a family.
func (r *reader) addr(family uint16) netip.Addr {
	if r.err != nil {
		return netip.Addr{}
	}
	switch family {
	case familyIPv4:
		if v := r.take(4); v != nil {
			return netip.AddrFrom4([4]byte(v))
		}
	case familyIPv6:
		if v := r.take(16); v != nil {
			return netip.AddrFrom16([16]byte(v))
		}
	default:
		r.fail("address family is %d, want %d (IPv4) or %d (IPv6)", family, familyIPv4, familyIPv6)
	}
	return netip.Addr{}
}

// prefix joins an address and a length; the host bits stay.
func (r *reader) prefix(a netip.Addr, plen uint8) netip.Prefix {
	if r.err != nil {
		return netip.Prefix{}
	}
	p := netip.PrefixFrom(a, int(plen))
	if !p.IsValid() {
		r.fail("prefix length is %d, at most %d", plen, a.BitLen())
	}
	return p
}
