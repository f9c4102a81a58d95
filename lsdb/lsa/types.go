package lsa

import (
	"fmt"
	"net/netip"
	"strings"
)

// Type is the LS type of an LSA header (RFC 2328 section A.4.1).
type Type uint8

// The LS types this package knows. Type 6 (MOSPF) and type 8 (reserved for
// BGP attributes) are not spoken by FRR and are refused by Decode.
const (
	TypeRouter      Type = 1  // RFC 2328 section A.4.2
	TypeNetwork     Type = 2  // RFC 2328 section A.4.3
	TypeSummary     Type = 3  // RFC 2328 section A.4.4, summary of a network
	TypeASBRSummary Type = 4  // RFC 2328 section A.4.4, summary of an AS boundary router
	TypeASExternal  Type = 5  // RFC 2328 section A.4.5
	TypeNSSA        Type = 7  // RFC 3101 appendix A
	TypeOpaqueLink  Type = 9  // RFC 5250 section 3, link-local scope
	TypeOpaqueArea  Type = 10 // RFC 5250 section 3, area-local scope
	TypeOpaqueAS    Type = 11 // RFC 5250 section 3, AS scope
)

// Types lists every known type in ascending order.
var Types = [...]Type{
	TypeRouter, TypeNetwork, TypeSummary, TypeASBRSummary, TypeASExternal,
	TypeNSSA, TypeOpaqueLink, TypeOpaqueArea, TypeOpaqueAS,
}

// String gives the name used by `show ip ospf database`.
func (t Type) String() string {
	switch t {
	case TypeRouter:
		return "router"
	case TypeNetwork:
		return "network"
	case TypeSummary:
		return "summary"
	case TypeASBRSummary:
		return "asbr-summary"
	case TypeASExternal:
		return "external"
	case TypeNSSA:
		return "nssa-external"
	case TypeOpaqueLink:
		return "opaque-link"
	case TypeOpaqueArea:
		return "opaque-area"
	case TypeOpaqueAS:
		return "opaque-as"
	}
	return fmt.Sprintf("type-%d", uint8(t))
}

// MarshalText is String; it never fails.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Known reports whether Decode understands the type.
func (t Type) Known() bool {
	switch t {
	case TypeRouter, TypeNetwork, TypeSummary, TypeASBRSummary, TypeASExternal,
		TypeNSSA, TypeOpaqueLink, TypeOpaqueArea, TypeOpaqueAS:
		return true
	}
	return false
}

// Opaque reports whether the type is 9, 10 or 11.
func (t Type) Opaque() bool { return t >= TypeOpaqueLink && t <= TypeOpaqueAS }

// Scope is how far an LSA of some type is flooded.
type Scope uint8

// The flooding scopes (RFC 2328 section 13.3, RFC 5250 section 3.1).
const (
	ScopeArea Scope = iota
	ScopeLink
	ScopeAS
)

// String gives "area", "link" or "as".
func (s Scope) String() string {
	switch s {
	case ScopeArea:
		return "area"
	case ScopeLink:
		return "link"
	case ScopeAS:
		return "as"
	}
	return fmt.Sprintf("scope-%d", uint8(s))
}

// Scope tells how far LSAs of the type are flooded. Unknown types are
// reported as area-local, the narrower of the two classic scopes.
func (t Type) Scope() Scope {
	switch t {
	case TypeASExternal, TypeOpaqueAS:
		return ScopeAS
	case TypeOpaqueLink:
		return ScopeLink
	case TypeRouter, TypeNetwork, TypeSummary, TypeASBRSummary, TypeNSSA, TypeOpaqueArea:
		return ScopeArea
	}
	return ScopeArea
}

// Options is the options byte of the header.
type Options uint8

// Option bits (RFC 2328 section A.2; N/P RFC 3101; L RFC 5613; DC RFC 1793;
// O RFC 5250; DN RFC 4576).
const (
	OptionMT Options = 0x01
	OptionE  Options = 0x02
	OptionMC Options = 0x04
	OptionNP Options = 0x08
	OptionL  Options = 0x10
	OptionDC Options = 0x20
	OptionO  Options = 0x40
	OptionDN Options = 0x80
)

// String gives the bits as FRR writes them, "*|O|-|-|-|-|E|-".
func (o Options) String() string {
	names := [...]string{"DN", "O", "DC", "L", "N/P", "MC", "E", "M/T"}
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteByte('|')
		}
		switch {
		case o&(0x80>>i) == 0 && i == 0:
			b.WriteByte('*')
		case o&(0x80>>i) == 0:
			b.WriteByte('-')
		default:
			b.WriteString(name)
		}
	}
	return b.String()
}

// MarshalText is String; it never fails.
func (o Options) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Seq is an LS sequence number, a signed 32-bit number (RFC 2328 section
// 12.1.6): a bigger one is newer.
type Seq int32

// The ends of the sequence number space. ReservedSeq must never be used.
const (
	InitialSeq  Seq = -0x7fffffff     // 0x80000001
	MaxSeq      Seq = 0x7fffffff      // the last one before it wraps
	ReservedSeq Seq = -0x7fffffff - 1 // 0x80000000
)

// String gives the number as every router shows it, "0x80000001".
func (s Seq) String() string { return fmt.Sprintf("0x%08x", uint32(s)) }

// MarshalText is String; it never fails.
func (s Seq) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Sum is an LS checksum.
type Sum uint16

// String gives the checksum as every router shows it, "0x8f09".
func (s Sum) String() string { return fmt.Sprintf("0x%04x", uint16(s)) }

// MarshalText is String; it never fails.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// RouterFlags is the first byte of a router LSA's body.
type RouterFlags uint8

// Router LSA flags (RFC 2328 section A.4.2; W MOSPF; Nt RFC 3101 appendix B).
const (
	FlagB  RouterFlags = 0x01 // area border router
	FlagE  RouterFlags = 0x02 // AS boundary router
	FlagV  RouterFlags = 0x04 // end of a virtual link through this area
	FlagW  RouterFlags = 0x08 // wild-card multicast receiver
	FlagNt RouterFlags = 0x10 // NSSA border router that always translates
)

// String gives the flags in words, "ABR ASBR", or "-" for none.
func (f RouterFlags) String() string {
	var s []string
	for _, n := range [...]struct {
		bit  RouterFlags
		name string
	}{{FlagB, "ABR"}, {FlagE, "ASBR"}, {FlagV, "VL-endpoint"}, {FlagW, "W"}, {FlagNt, "Nt"}} {
		if f&n.bit != 0 {
			s = append(s, n.name)
		}
	}
	if rest := f &^ 0x1f; rest != 0 {
		s = append(s, fmt.Sprintf("0x%02x", uint8(rest)))
	}
	if len(s) == 0 {
		return "-"
	}
	return strings.Join(s, " ")
}

// MarshalText is String; it never fails.
func (f RouterFlags) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// LinkType is the type of one link in a router LSA (RFC 2328 section A.4.2).
type LinkType uint8

// The link types, and what ID and Data of the link then mean.
const (
	LinkPointToPoint LinkType = 1 // ID neighbor's router id, Data own address (or ifindex, unnumbered)
	LinkTransit      LinkType = 2 // ID address of the designated router, Data own address
	LinkStub         LinkType = 3 // ID network, Data its mask
	LinkVirtual      LinkType = 4 // ID neighbor's router id, Data own address
)

// String gives the type in a word.
func (t LinkType) String() string {
	switch t {
	case LinkPointToPoint:
		return "point-to-point"
	case LinkTransit:
		return "transit"
	case LinkStub:
		return "stub"
	case LinkVirtual:
		return "virtual"
	}
	return fmt.Sprintf("link-type-%d", uint8(t))
}

// MarshalText is String; it never fails.
func (t LinkType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// OpaqueID is the link state ID of an opaque LSA: an opaque type and a 24-bit
// id of its own (RFC 5250 section 3).
type OpaqueID struct {
	Type uint8
	ID   uint32 // 0..0xffffff; higher bits are ignored
}

// OpaqueIDOf splits a link state ID. The zero OpaqueID comes back for
// anything that is not an IPv4 address.
func OpaqueIDOf(id netip.Addr) OpaqueID {
	if !id.Is4() {
		return OpaqueID{}
	}
	b := id.As4()
	return OpaqueID{Type: b[0], ID: uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])}
}

// Addr gives the link state ID.
func (o OpaqueID) Addr() netip.Addr {
	return netip.AddrFrom4([4]byte{o.Type, byte(o.ID >> 16), byte(o.ID >> 8), byte(o.ID)})
}

// String gives the link state ID in dotted form, "222.0.1.0".
func (o OpaqueID) String() string { return o.Addr().String() }

// MarshalText is String; it never fails.
func (o OpaqueID) MarshalText() ([]byte, error) { return []byte(o.String()), nil }
