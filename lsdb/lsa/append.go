package lsa

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Append appends the wire form of the LSA to b and returns the longer slice.
// Length and checksum are computed; what Header says of them is not looked
// at. It fails, returning b as it was, where a value cannot be written: a
// body that does not fit the type, an address that is not IPv4, a metric of
// more than 24 bits, more than 65535 bytes in all.
func (l LSA) Append(b []byte) ([]byte, error) {
	start := len(b)
	out, err := l.append(b)
	if err != nil {
		return b[:start], fmt.Errorf("%s: %w", l.name(), err)
	}
	return out, nil
}

func (l LSA) append(b []byte) ([]byte, error) {
	if !l.Type.Known() {
		return b, ErrType
	}
	if l.Body == nil || !l.Body.fits(l.Type) {
		return b, fmt.Errorf("%w: a body of type %T", ErrValue, l.Body)
	}
	if l.Age >= doNotAge {
		return b, fmt.Errorf("%w: age %d", ErrValue, l.Age)
	}
	start := len(b)
	age := l.Age
	if l.DoNotAge {
		age |= doNotAge
	}
	b = binary.BigEndian.AppendUint16(b, age)
	b = append(b, byte(l.Options), byte(l.Type))
	var err error
	if b, err = appendAddr(b, l.ID); err != nil {
		return b, err
	}
	if b, err = appendAddr(b, l.AdvRouter); err != nil {
		return b, err
	}
	b = binary.BigEndian.AppendUint32(b, uint32(l.Seq))
	b = append(b, 0, 0, 0, 0) // checksum and length, below
	if b, err = l.Body.appendBody(b); err != nil {
		return b, err
	}
	n := len(b) - start
	if n > 0xffff {
		return b, fmt.Errorf("%w: %d bytes, more than the length field holds", ErrLength, n)
	}
	binary.BigEndian.PutUint16(b[start+18:], uint16(n))
	binary.BigEndian.PutUint16(b[start+checksumOff:], uint16(Checksum(b[start:])))
	return b, nil
}

func (r Router) appendBody(b []byte) ([]byte, error) {
	if len(r.Links) > 0xffff {
		return b, fmt.Errorf("%w: %d links", ErrValue, len(r.Links))
	}
	b = append(b, byte(r.Flags), 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Links)))
	var err error
	for _, l := range r.Links {
		if len(l.TOS) > 0xff {
			return b, fmt.Errorf("%w: %d TOS metrics on one link", ErrValue, len(l.TOS))
		}
		if b, err = appendAddr(b, l.ID); err != nil {
			return b, err
		}
		if b, err = appendAddr(b, l.Data); err != nil {
			return b, err
		}
		b = append(b, byte(l.Type), byte(len(l.TOS)))
		b = binary.BigEndian.AppendUint16(b, l.Metric)
		for _, t := range l.TOS {
			b = append(b, t.TOS, 0)
			b = binary.BigEndian.AppendUint16(b, t.Metric)
		}
	}
	return b, nil
}

func (n Network) appendBody(b []byte) ([]byte, error) {
	if len(n.Routers) == 0 {
		return b, fmt.Errorf("%w: a network without routers", ErrValue)
	}
	b, err := appendMask(b, n.Bits)
	for _, r := range n.Routers {
		if err != nil {
			return b, err
		}
		b, err = appendAddr(b, r)
	}
	return b, err
}

func (s Summary) appendBody(b []byte) ([]byte, error) {
	b, err := appendMask(b, s.Bits)
	if err != nil {
		return b, err
	}
	b, err = appendTOSMetric(b, 0, s.Metric)
	for _, t := range s.TOS {
		if err != nil {
			return b, err
		}
		b, err = appendTOSMetric(b, t.TOS, t.Metric)
	}
	return b, err
}

func (e External) appendBody(b []byte) ([]byte, error) {
	b, err := appendMask(b, e.Bits)
	if err != nil {
		return b, err
	}
	b, err = appendExternalTOS(b, ExternalTOS{E2: e.E2, Metric: e.Metric, Forward: e.Forward, Tag: e.Tag})
	for _, t := range e.TOS {
		if err != nil {
			return b, err
		}
		b, err = appendExternalTOS(b, t)
	}
	return b, err
}

func (o Opaque) appendBody(b []byte) ([]byte, error) { return append(b, o.Data...), nil }

func appendExternalTOS(b []byte, t ExternalTOS) ([]byte, error) {
	first := t.TOS
	if first >= eBit {
		return b, fmt.Errorf("%w: TOS %d", ErrValue, t.TOS)
	}
	if t.E2 {
		first |= eBit
	}
	b, err := appendTOSMetric(b, first, t.Metric)
	if err != nil {
		return b, err
	}
	if b, err = appendAddr(b, t.Forward); err != nil {
		return b, err
	}
	return binary.BigEndian.AppendUint32(b, t.Tag), nil
}

// appendTOSMetric appends one byte and a 24-bit metric.
func appendTOSMetric(b []byte, tos uint8, metric uint32) ([]byte, error) {
	if metric > LSInfinity {
		return b, fmt.Errorf("%w: metric %d", ErrValue, metric)
	}
	return append(b, tos, byte(metric>>16), byte(metric>>8), byte(metric)), nil
}

func appendMask(b []byte, n uint8) ([]byte, error) {
	if n > 32 {
		return b, fmt.Errorf("%w: prefix length %d", ErrValue, n)
	}
	return binary.BigEndian.AppendUint32(b, ^uint32(0)<<(32-n)), nil
}

func appendAddr(b []byte, a netip.Addr) ([]byte, error) {
	if !a.Is4() {
		return b, fmt.Errorf("%w: %q is no IPv4 address", ErrValue, a)
	}
	v := a.As4()
	return append(b, v[:]...), nil
}
