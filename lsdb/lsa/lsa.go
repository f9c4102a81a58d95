package lsa

import (
	"fmt"
	"net/netip"
	"time"
)

// Architectural constants (RFC 2328 appendix B).
const (
	MaxAge     = 3600     // seconds; an LSA of this age is being flushed
	MaxAgeDiff = 900      // seconds; ages further apart than this tell instances apart
	LSInfinity = 0xffffff // 24-bit metric of types 3, 4, 5 and 7: unreachable

	LSRefreshTime = 1800 * time.Second
)

// HeaderLen is the length of an LSA header in bytes (RFC 2328 section A.4.1).
const HeaderLen = 20

// doNotAge is the top bit of the age field (RFC 1793 section 2.2).
const doNotAge = 0x8000

// Header is the part that all LSAs share. All addresses are IPv4.
type Header struct {
	Age       uint16     `json:"age"` // seconds, 0..32767 (sane routers: up to MaxAge), as it was on the wire
	DoNotAge  bool       `json:"doNotAge,omitempty"`
	Options   Options    `json:"options"`
	Type      Type       `json:"type"`
	ID        netip.Addr `json:"id"` // link state ID
	AdvRouter netip.Addr `json:"advRouter"`
	Seq       Seq        `json:"seq"`
	Checksum  Sum        `json:"checksum"` // set by Decode; Append computes its own
	Length    uint16     `json:"length"`   // bytes, header included; set by Decode; Append computes its own
}

// IsMaxAge reports whether this instance is being flushed. The DoNotAge bit
// does not protect from that (RFC 1793 section 2.2).
func (h Header) IsMaxAge() bool { return h.Age >= MaxAge }

// Opaque gives the link state ID of an opaque LSA in its two parts; ok is
// false for other types.
func (h Header) Opaque() (id OpaqueID, ok bool) {
	if !h.Type.Opaque() {
		return OpaqueID{}, false
	}
	return OpaqueIDOf(h.ID), true
}

// LSA is one link state advertisement. Body is one of Router (type 1),
// Network (2), Summary (3, 4), External (5, 7) and Opaque (9, 10, 11), and
// fits Header.Type in everything Decode returns. Bodies are values: a pointer to one
// is not recognised.
type LSA struct {
	Header
	Body Body `json:"body"`
}

// Body is the part of an LSA after the header. The set of bodies is closed.
type Body interface {
	// appendBody appends the wire form, or says what cannot be written.
	appendBody(b []byte) ([]byte, error)
	// fits reports whether an LSA of type t has this body.
	fits(t Type) bool
}

// Router is the body of a router LSA (RFC 2328 section A.4.2).
type Router struct {
	Flags RouterFlags  `json:"flags"`
	Links []RouterLink `json:"links"`
}

// RouterLink is one link of a router LSA; see LinkType for ID and Data.
type RouterLink struct {
	Type   LinkType          `json:"type"`
	ID     netip.Addr        `json:"id"`
	Data   netip.Addr        `json:"data"`
	Metric uint16            `json:"metric"` // TOS 0
	TOS    []RouterTOSMetric `json:"tos,omitempty"`
}

// RouterTOSMetric is the cost of a link for a type of service other than 0.
// No router of today uses it; it is carried for completeness.
type RouterTOSMetric struct {
	TOS    uint8  `json:"tos"`
	Metric uint16 `json:"metric"`
}

// Prefix gives the network of a stub link; ok is false for other links and
// for a mask with holes.
func (l RouterLink) Prefix() (p netip.Prefix, ok bool) {
	if l.Type != LinkStub {
		return netip.Prefix{}, false
	}
	bits, ok := maskBits(l.Data)
	if !ok {
		return netip.Prefix{}, false
	}
	return prefix(l.ID, bits), true
}

// Network is the body of a network LSA (RFC 2328 section A.4.3).
type Network struct {
	Bits    uint8        `json:"bits"`    // prefix length, 0..32
	Routers []netip.Addr `json:"routers"` // router ids, the designated router among them; at least one
}

// Summary is the body of a summary LSA, type 3 or 4 (RFC 2328 section A.4.4).
type Summary struct {
	Bits   uint8       `json:"bits"`   // prefix length, 0..32; always 0 for type 4
	Metric uint32      `json:"metric"` // TOS 0, 0..LSInfinity
	TOS    []TOSMetric `json:"tos,omitempty"`
}

// TOSMetric is the cost of a summary for a type of service other than 0.
type TOSMetric struct {
	TOS    uint8  `json:"tos"`
	Metric uint32 `json:"metric"` // 0..LSInfinity
}

// External is the body of an AS-external or NSSA LSA, type 5 or 7 (RFC 2328
// section A.4.5, RFC 3101 appendix A).
type External struct {
	Bits    uint8         `json:"bits"`    // prefix length, 0..32
	E2      bool          `json:"e2"`      // the E bit: a type 2 metric, larger than any link state path
	Metric  uint32        `json:"metric"`  // TOS 0, 0..LSInfinity
	Forward netip.Addr    `json:"forward"` // 0.0.0.0: send to the advertising router
	Tag     uint32        `json:"tag"`
	TOS     []ExternalTOS `json:"tos,omitempty"`
}

// ExternalTOS is the external route for a type of service other than 0.
type ExternalTOS struct {
	TOS     uint8      `json:"tos"` // 0..127
	E2      bool       `json:"e2"`
	Metric  uint32     `json:"metric"`
	Forward netip.Addr `json:"forward"`
	Tag     uint32     `json:"tag"`
}

// Opaque is the body of an opaque LSA (RFC 5250): any bytes. Its ID is in
// the header, see Header.Opaque.
type Opaque struct {
	Data []byte `json:"data"`
}

// MarshalJSON gives the data in hex, as it is shown everywhere else.
func (o Opaque) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `{"data":"%x"}`, o.Data), nil
}

func (Router) fits(t Type) bool   { return t == TypeRouter }
func (Network) fits(t Type) bool  { return t == TypeNetwork }
func (Summary) fits(t Type) bool  { return t == TypeSummary || t == TypeASBRSummary }
func (External) fits(t Type) bool { return t == TypeASExternal || t == TypeNSSA }
func (Opaque) fits(t Type) bool   { return t.Opaque() }

// Prefix gives the network that an LSA of type 2, 3, 5 or 7 is about: the
// link state ID under the mask of the body. The host bits of the ID are
// dropped, because routers set some of them to tell two networks of one
// number apart (RFC 2328 appendix E). ok is false for all other types.
func (l LSA) Prefix() (p netip.Prefix, ok bool) {
	switch b := l.Body.(type) {
	case Network:
		return prefix(l.ID, b.Bits), l.ID.Is4()
	case Summary:
		if l.Type == TypeSummary {
			return prefix(l.ID, b.Bits), l.ID.Is4()
		}
	case External:
		return prefix(l.ID, b.Bits), l.ID.Is4()
	case Router, Opaque, nil:
	}
	return netip.Prefix{}, false
}

// prefix masks an address that is known to be IPv4 and bits in 0..32.
func prefix(a netip.Addr, bits uint8) netip.Prefix {
	p, err := a.Prefix(int(bits))
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
