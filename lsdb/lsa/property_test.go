package lsa

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

// slowChecksum solves the two equations of RFC 905 annex B.3 by trying every
// pair of check bytes, with sums that cannot overflow.
func slowChecksum(b []byte) []Sum {
	var found []Sum
	data := bytes.Clone(b[2:])
	data[14], data[15] = 0, 0
	base0, base1 := new(big.Int), new(big.Int)
	for i, x := range data {
		base0.Add(base0, big.NewInt(int64(x)))
		base1.Add(base1, new(big.Int).Mul(big.NewInt(int64(x)), big.NewInt(int64(len(data)-i))))
	}
	m := big.NewInt(255)
	c0, c1 := new(big.Int).Mod(base0, m).Int64(), new(big.Int).Mod(base1, m).Int64()
	wx, wy := int64(len(data)-14), int64(len(data)-15)
	for x := range int64(256) {
		for y := range int64(256) {
			if (c0+x+y)%255 == 0 && (c1+wx*x+wy*y)%255 == 0 && (x != 0 || y != 0) {
				found = append(found, Sum(x<<8|y))
			}
		}
	}
	return found
}

func TestTheChecksumAgreesWithItsSlowTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), HeaderLen, 300).Draw(t, "lsa")
		switch rapid.IntRange(0, 4).Draw(t, "fill") {
		case 0: // as large as they come, where sums could overflow
			b = append(b, bytes.Repeat([]byte{0xff}, 0xffff-len(b))...)
		case 1:
			clear(b)
		}
		sum, right := Checksum(b), slowChecksum(b)
		known := false
		for _, s := range right {
			known = known || s == sum
		}
		if !known {
			t.Fatalf("checksum %s, the twin has %s", sum, right)
		}
		if sum&0xff == 0 || sum>>8 == 0 {
			t.Fatalf("checksum %s has a zero byte; 255 is to be written", sum)
		}
		for _, s := range right {
			binary.BigEndian.PutUint16(b[checksumOff:], uint16(s))
			if !VerifyChecksum(b) {
				t.Fatalf("%s is not taken", s)
			}
			if got := Checksum(b); got != sum {
				t.Fatalf("checksum depends on the field: %s, %s", got, sum)
			}
		}
		wrong := Sum(rapid.Uint16().Draw(t, "wrong"))
		for _, s := range right {
			if s == wrong {
				return
			}
		}
		binary.BigEndian.PutUint16(b[checksumOff:], uint16(wrong))
		if VerifyChecksum(b) {
			t.Fatalf("%s is taken, right are %s", wrong, right)
		}
	})
}

func TestTheChecksumDoesNotCoverTheAge(t *testing.T) {
	for _, path := range wireFiles(t) {
		wire := readWire(t, path)
		before := Checksum(wire)
		wire[0], wire[1] = 0x8e, 0x10
		if got := Checksum(wire); got != before || !VerifyChecksum(wire) {
			t.Errorf("%s: %s with another age, was %s", path, got, before)
		}
	}
}

func TestAnLSAShorterThanItsHeaderHasNoChecksum(t *testing.T) {
	for n := range HeaderLen {
		b := bytes.Repeat([]byte{1}, n)
		if Checksum(b) != 0 || VerifyChecksum(b) {
			t.Errorf("%d bytes have a checksum", n)
		}
	}
}

// slowNewer is RFC 2328 section 13.1 sentence by sentence: is a newer than b?
func slowNewer(a, b Header) bool {
	// "The LSA having the newer LS sequence number is more recent."
	if a.Seq != b.Seq {
		return int64(a.Seq) > int64(b.Seq)
	}
	// "If the two instances have different LS checksums, then the instance
	// having the larger LS checksum (when considered as a 16-bit unsigned
	// integer) is considered more recent."
	if a.Checksum != b.Checksum {
		return uint16(a.Checksum) > uint16(b.Checksum)
	}
	// "Else, if only one of the instances has its LS age field set to MaxAge,
	// the instance of age MaxAge is considered to be more recent."
	aMax, bMax := a.Age >= 3600, b.Age >= 3600
	if aMax != bMax {
		return aMax
	}
	if aMax {
		return false
	}
	// "Else, if the LS age fields of the two instances differ by more than
	// MaxAgeDiff, the instance having the smaller (younger) LS age is
	// considered to be more recent."
	if a.Age < b.Age && b.Age-a.Age > 900 {
		return true
	}
	// "Else, the two instances are considered to be identical."
	return false
}

func TestNewerIsAntisymmetricAndAgreesWithItsSlowTwin(t *testing.T) {
	// Few values, so that ties and borders are met often.
	header := rapid.Custom(func(t *rapid.T) Header {
		return Header{
			Age:      rapid.SampledFrom([]uint16{0, 1, 899, 900, 901, 1800, 2699, 2700, 3599, 3600, 3601, 0x7fff}).Draw(t, "age"),
			DoNotAge: rapid.Bool().Draw(t, "dna"),
			Seq:      rapid.SampledFrom([]Seq{ReservedSeq, InitialSeq, -1, 0, 1, MaxSeq}).Draw(t, "seq"),
			Checksum: rapid.SampledFrom([]Sum{1, 0x7fff, 0x8000, 0xffff}).Draw(t, "sum"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a := header.Draw(t, "a")
		b := header.Draw(t, "b")
		if rapid.Bool().Draw(t, "same instance") {
			b.Seq, b.Checksum = a.Seq, a.Checksum
		}
		if Compare(a, b) != -Compare(b, a) {
			t.Fatalf("not antisymmetric: %d and %d", Compare(a, b), Compare(b, a))
		}
		if Compare(a, a) != 0 {
			t.Fatal("not the same as itself")
		}
		if Newer(a, b) != slowNewer(a, b) || Newer(b, a) != slowNewer(b, a) {
			t.Fatalf("newer %v %v, the twin says %v %v", Newer(a, b), Newer(b, a), slowNewer(a, b), slowNewer(b, a))
		}
	})
}

func TestNewerByCase(t *testing.T) {
	h := Header{Seq: InitialSeq, Checksum: 0x1000, Age: 100}
	with := func(f func(*Header)) Header { c := h; f(&c); return c }
	for _, tc := range []struct {
		name string
		b    Header
		want int
	}{
		{"the same instance", h, 0},
		{"a higher sequence number is newer", with(func(c *Header) { c.Seq++ }), -1},
		{"sequence numbers are signed", with(func(c *Header) { c.Seq = 1 }), -1},
		{"then a larger checksum", with(func(c *Header) { c.Checksum = 0xf000 }), -1},
		{"then MaxAge", with(func(c *Header) { c.Age = MaxAge }), -1},
		{"an age 900 s apart is the same instance", with(func(c *Header) { c.Age += MaxAgeDiff }), 0},
		{"beyond that the younger is newer", with(func(c *Header) { c.Age += MaxAgeDiff + 1 }), 1},
		{"DoNotAge does not count", with(func(c *Header) { c.DoNotAge = true }), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Compare(h, tc.b); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, path := range wireFiles(f) {
		f.Add(readWire(f, path))
	}
	for _, tc := range crafted {
		wire, err := tc.lsa.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := DecodeHeader(b); err == nil && len(b) < HeaderLen {
			t.Fatalf("a header of %d bytes", len(b))
		}
		if l, err := Decode(b); err == nil && int(l.Length) != len(b) {
			t.Fatalf("length %d of %d bytes", l.Length, len(b))
		}
		if len(b) > 0xffff {
			return
		}
		// Most mutations die at length or checksum; go on behind them.
		first, err := Decode(refit(b))
		if err != nil {
			return
		}
		wire, err := first.Append(nil)
		if err != nil {
			t.Fatalf("decoded but cannot be written: %v", err)
		}
		if len(wire) != len(b) {
			t.Fatalf("%d bytes became %d", len(b), len(wire))
		}
		second, err := Decode(wire)
		if err != nil {
			t.Fatalf("written but cannot be decoded: %v", err)
		}
		// Must-be-zero fields are dropped, which changes the checksum.
		first.Checksum = second.Checksum
		if d := cmp.Diff(first, second, compareAddrs); d != "" {
			t.Fatalf("not stable:\n%s", d)
		}
		if second.String() == "" || second.Detail(nil) == "" {
			t.Fatal("nothing to show")
		}
	})
}

// gopacketLSA has gopacket read one LSA, wrapped in a made-up LS Update since
// it has no way in for a bare one. v1.1.19 panics on input it does not like.
func gopacketLSA(wire []byte) (l layers.LSA, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("gopacket panicked: %v", r)
		}
	}()
	p := make([]byte, 24, 28+len(wire))
	p[0], p[1] = 2, 4
	binary.BigEndian.PutUint16(p[2:], uint16(28+len(wire)))
	p = binary.BigEndian.AppendUint32(p, 1)
	var o layers.OSPFv2
	if err := o.DecodeFromBytes(append(p, wire...), gopacket.NilDecodeFeedback); err != nil {
		return layers.LSA{}, err
	}
	u, ok := o.Content.(layers.LSUpdate)
	if !ok || len(u.LSAs) != 1 {
		return layers.LSA{}, fmt.Errorf("gopacket made %T of it", o.Content)
	}
	return u.LSAs[0], nil
}

func fromU32(v uint32) netip.Addr { return addr(binary.BigEndian.AppendUint32(nil, v)) }

func fromMask(t *testing.T, v uint32) uint8 {
	t.Helper()
	n, ok := maskBits(fromU32(v))
	if !ok {
		t.Errorf("gopacket read a mask with holes: %08x", v)
	}
	return n
}

// gopacketBody turns gopacket's reading of a body into ours. For types 5 and
// 7 it keeps the E bit in ExternalBit.
func gopacketBody(t *testing.T, l layers.LSA) Body {
	t.Helper()
	switch c := l.Content.(type) {
	case layers.RouterLSAV2:
		r := Router{Flags: RouterFlags(c.Flags)}
		for _, l := range c.Routers {
			r.Links = append(r.Links, RouterLink{
				Type: LinkType(l.Type), ID: fromU32(l.LinkID), Data: fromU32(l.LinkData), Metric: l.Metric})
		}
		return r
	case layers.NetworkLSAV2:
		n := Network{Bits: fromMask(t, c.NetworkMask)}
		for _, r := range c.AttachedRouter {
			n.Routers = append(n.Routers, fromU32(r))
		}
		return n
	case layers.ASExternalLSAV2:
		return External{Bits: fromMask(t, c.NetworkMask), E2: c.ExternalBit != 0, Metric: c.Metric,
			Forward: fromU32(c.ForwardingAddress), Tag: c.ExternalRouteTag}
	}
	t.Errorf("gopacket made %T of it", l.Content)
	return nil
}

func TestGopacketReadsTypes1257TheSameWay(t *testing.T) {
	compared := map[Type]int{}
	for _, path := range wireFiles(t) {
		wire := readWire(t, path)
		l, err := Decode(wire)
		if err != nil {
			t.Fatal(err)
		}
		switch l.Type {
		case TypeRouter, TypeNetwork, TypeASExternal, TypeNSSA:
		case TypeSummary, TypeASBRSummary, TypeOpaqueLink, TypeOpaqueArea, TypeOpaqueAS:
			continue // not known to gopacket
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".hex"), func(t *testing.T) {
			theirs, err := gopacketLSA(wire)
			if err != nil {
				t.Fatal(err)
			}
			compared[l.Type]++
			header := Header{
				Age: theirs.LSAge, Options: Options(theirs.LSOptions), Type: Type(theirs.LSType),
				ID: fromU32(theirs.LinkStateID), AdvRouter: fromU32(theirs.AdvRouter),
				Seq: Seq(theirs.LSSeqNumber), Checksum: Sum(theirs.LSChecksum), Length: theirs.Length,
			}
			if d := cmp.Diff(l.Header, header, compareAddrs); d != "" {
				t.Errorf("header (-ours +gopacket):\n%s", d)
			}
			if d := cmp.Diff(l.Body, gopacketBody(t, theirs), compareAddrs); d != "" {
				t.Errorf("body (-ours +gopacket):\n%s", d)
			}
		})
	}
	if len(compared) != 4 {
		t.Errorf("compared %v, wanted all of types 1, 2, 5, 7", compared)
	}
}
