package lsa

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
)

// What Decode and Append object to. Every error they return wraps one of
// these and names the LSA, as far as that could be read.
var (
	ErrLength   = errors.New("length does not fit")
	ErrType     = errors.New("unknown LS type")
	ErrChecksum = errors.New("wrong LS checksum")
	ErrMask     = errors.New("network mask has holes")
	ErrValue    = errors.New("value out of range")
)

// DecodeHeader reads the header at the start of b, which may be longer. It
// checks neither the checksum nor that the LSA is complete, only that Length
// covers the header.
func DecodeHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, fmt.Errorf("LSA header: %w: %d bytes, %d needed", ErrLength, len(b), HeaderLen)
	}
	age := binary.BigEndian.Uint16(b)
	h := Header{
		Age:       age &^ doNotAge,
		DoNotAge:  age&doNotAge != 0,
		Options:   Options(b[2]),
		Type:      Type(b[3]),
		ID:        addr(b[4:]),
		AdvRouter: addr(b[8:]),
		Seq:       Seq(binary.BigEndian.Uint32(b[12:])),
		Checksum:  Sum(binary.BigEndian.Uint16(b[16:])),
		Length:    binary.BigEndian.Uint16(b[18:]),
	}
	if h.Length < HeaderLen {
		return h, fmt.Errorf("%s: %w: says %d bytes, less than its header", h.name(), ErrLength, h.Length)
	}
	return h, nil
}

// Decode reads exactly one LSA in wire form: b is neither shorter nor longer
// than its length field says, and its checksum is right. See the package
// documentation for what it refuses.
func Decode(b []byte) (LSA, error) {
	h, err := DecodeHeader(b)
	if err != nil {
		return LSA{}, err
	}
	if int(h.Length) != len(b) {
		return LSA{}, fmt.Errorf("%s: %w: says %d bytes, %d are there", h.name(), ErrLength, h.Length, len(b))
	}
	if !h.Type.Known() {
		return LSA{}, fmt.Errorf("%s: %w", h.name(), ErrType)
	}
	if !VerifyChecksum(b) {
		return LSA{}, fmt.Errorf("%s: %w: says %s, should be %s", h.name(), ErrChecksum, h.Checksum, Checksum(b))
	}
	body, err := decodeBody(h.Type, b[HeaderLen:])
	if err != nil {
		return LSA{}, fmt.Errorf("%s: %w", h.name(), err)
	}
	return LSA{Header: h, Body: body}, nil
}

// name says which LSA an error is about.
func (h Header) name() string {
	return fmt.Sprintf("%s LSA %s of %s", h.Type, h.ID, h.AdvRouter)
}

func decodeBody(t Type, b []byte) (Body, error) {
	switch t {
	case TypeRouter:
		return decodeRouter(b)
	case TypeNetwork:
		return decodeNetwork(b)
	case TypeSummary, TypeASBRSummary:
		return decodeSummary(t, b)
	case TypeASExternal, TypeNSSA:
		return decodeExternal(b)
	case TypeOpaqueLink, TypeOpaqueArea, TypeOpaqueAS:
		return Opaque{Data: append([]byte{}, b...)}, nil
	}
	return nil, ErrType
}

// Sizes of what is repeated in bodies, in bytes.
const (
	routerFixed   = 4
	linkLen       = 12 // without TOS metrics
	linkTOSLen    = 4
	networkFixed  = 4
	summaryFixed  = 4
	summaryTOSLen = 4
	externalFixed = 4
	externalLen   = 12 // one type of service; the first is TOS 0
)

func decodeRouter(b []byte) (Body, error) {
	if len(b) < routerFixed {
		return nil, fmt.Errorf("%w: body of %d bytes, %d needed", ErrLength, len(b), routerFixed)
	}
	r := Router{Flags: RouterFlags(b[0])}
	n := int(binary.BigEndian.Uint16(b[2:]))
	b = b[routerFixed:]
	// A count is believed only as far as the bytes that are there can hold it.
	if n*linkLen > len(b) {
		return nil, fmt.Errorf("%w: %d links need %d bytes, %d are there", ErrLength, n, n*linkLen, len(b))
	}
	if n > 0 {
		r.Links = make([]RouterLink, 0, n)
	}
	for i := range n {
		if len(b) < linkLen {
			return nil, fmt.Errorf("%w: link %d of %d cut off", ErrLength, i+1, n)
		}
		l := RouterLink{
			ID:     addr(b),
			Data:   addr(b[4:]),
			Type:   LinkType(b[8]),
			Metric: binary.BigEndian.Uint16(b[10:]),
		}
		tos := int(b[9])
		b = b[linkLen:]
		if len(b) < tos*linkTOSLen {
			return nil, fmt.Errorf("%w: link %d of %d has %d TOS metrics, cut off", ErrLength, i+1, n, tos)
		}
		for range tos {
			l.TOS = append(l.TOS, RouterTOSMetric{TOS: b[0], Metric: binary.BigEndian.Uint16(b[2:])})
			b = b[linkTOSLen:]
		}
		r.Links = append(r.Links, l)
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after the last of %d links", ErrLength, len(b), n)
	}
	return r, nil
}

func decodeNetwork(b []byte) (Body, error) {
	const least = networkFixed + 4 // a network has a designated router at least
	if len(b) < least || len(b)%4 != 0 {
		return nil, fmt.Errorf("%w: body of %d bytes, wanted %d or more in steps of 4", ErrLength, len(b), least)
	}
	n, err := mask(b)
	if err != nil {
		return nil, err
	}
	v := Network{Bits: n, Routers: make([]netip.Addr, 0, len(b)/4-1)}
	for b = b[networkFixed:]; len(b) > 0; b = b[4:] {
		v.Routers = append(v.Routers, addr(b))
	}
	return v, nil
}

func decodeSummary(t Type, b []byte) (Body, error) {
	const least = summaryFixed + summaryTOSLen
	if len(b) < least || len(b)%summaryTOSLen != 0 {
		return nil, fmt.Errorf("%w: body of %d bytes, wanted %d or more in steps of 4", ErrLength, len(b), least)
	}
	var v Summary
	if t == TypeSummary { // the mask of type 4 has no meaning (RFC 2328 section A.4.4)
		n, err := mask(b)
		if err != nil {
			return nil, err
		}
		v.Bits = n
	}
	v.Metric = uint24(b[5:])
	for b = b[least:]; len(b) > 0; b = b[summaryTOSLen:] {
		v.TOS = append(v.TOS, TOSMetric{TOS: b[0], Metric: uint24(b[1:])})
	}
	return v, nil
}

func decodeExternal(b []byte) (Body, error) {
	const least = externalFixed + externalLen
	if len(b) < least || (len(b)-externalFixed)%externalLen != 0 {
		return nil, fmt.Errorf("%w: body of %d bytes, wanted %d or more in steps of %d",
			ErrLength, len(b), least, externalLen)
	}
	n, err := mask(b)
	if err != nil {
		return nil, err
	}
	b = b[externalFixed:]
	first := externalTOS(b)
	v := External{Bits: n, E2: first.E2, Metric: first.Metric, Forward: first.Forward, Tag: first.Tag}
	for b = b[externalLen:]; len(b) > 0; b = b[externalLen:] {
		v.TOS = append(v.TOS, externalTOS(b))
	}
	return v, nil
}

// eBit marks a type 2 metric in the byte before the metric.
const eBit = 0x80

// externalTOS reads one route of externalLen bytes.
func externalTOS(b []byte) ExternalTOS {
	return ExternalTOS{
		TOS:     b[0] &^ eBit,
		E2:      b[0]&eBit != 0,
		Metric:  uint24(b[1:]),
		Forward: addr(b[4:]),
		Tag:     binary.BigEndian.Uint32(b[8:]),
	}
}

// The readers below take the first bytes of b; the callers have counted them.

func addr(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b[:4])) }

func uint24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

func mask(b []byte) (uint8, error) {
	m := addr(b)
	n, ok := maskBits(m)
	if !ok {
		return 0, fmt.Errorf("%w: %s", ErrMask, m)
	}
	return n, nil
}

// maskBits gives the prefix length of a mask without holes.
func maskBits(m netip.Addr) (n uint8, ok bool) {
	if !m.Is4() {
		return 0, false
	}
	b := m.As4()
	v := binary.BigEndian.Uint32(b[:])
	n = uint8(bits.LeadingZeros32(^v))
	return n, v<<n == 0
}
