package lsdb

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/srrd/srrd/lsdb/lsa"
)

// Key tells one LSA from all others (RFC 2328 section 12.1, with the flooding
// scope). It is comparable.
type Key struct {
	Type lsa.Type `json:"type"`
	// Scope is the area of types 1-4, 7 and 10, the address of our own
	// interface for type 9, and the zero Addr for types 5 and 11.
	Scope netip.Addr `json:"scope"`
	ID    netip.Addr `json:"id"`
	Adv   netip.Addr `json:"adv"`
}

// KeyOf gives the key of an LSA that was reported for an area and, if it is
// of type 9, an interface address.
func KeyOf(h lsa.Header, area, ifAddr netip.Addr) Key {
	k := Key{Type: h.Type, ID: h.ID, Adv: h.AdvRouter}
	switch h.Type.Scope() {
	case lsa.ScopeArea:
		k.Scope = area
	case lsa.ScopeLink:
		k.Scope = ifAddr
	case lsa.ScopeAS:
	}
	return k
}

// Compare orders keys by type, scope, link state ID, advertising router. It
// is the order of everything the mirror lists.
func (k Key) Compare(o Key) int {
	if c := cmp.Compare(k.Type, o.Type); c != 0 {
		return c
	}
	if c := k.Scope.Compare(o.Scope); c != 0 {
		return c
	}
	if c := k.ID.Compare(o.ID); c != 0 {
		return c
	}
	return k.Adv.Compare(o.Adv)
}

// ident is a Key in a fifth of its size, for the indexes: the mirror of a large
// domain is mostly keys.
type ident struct {
	scope, id, adv uint32
	typ            lsa.Type
	scoped         bool
}

// ident is false for what no LSA can have: an address that is not IPv4.
func (k Key) ident() (i ident, ok bool) {
	if !k.ID.Is4() || !k.Adv.Is4() || k.Scope.IsValid() && !k.Scope.Is4() {
		return ident{}, false
	}
	i = ident{id: number(k.ID), adv: number(k.Adv), typ: k.Type, scoped: k.Scope.IsValid()}
	if i.scoped {
		i.scope = number(k.Scope)
	}
	return i, true
}

// number of an IPv4 address.
func number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// String names the LSA for a person, "opaque-as 222.0.1.0 of 10.0.0.1".
func (k Key) String() string {
	if !k.Scope.IsValid() {
		return fmt.Sprintf("%s %s of %s", k.Type, k.ID, k.Adv)
	}
	return fmt.Sprintf("%s %s of %s (%s %s)", k.Type, k.ID, k.Adv, k.Type.Scope(), k.Scope)
}

// Entry is one LSA as ospfd reported it. Entries are immutable: a change
// makes a new one. Nobody may write to Raw or into LSA.Body.
type Entry struct {
	Key        Key        `json:"key"`
	Area       netip.Addr `json:"area"` // as reported, also for type 9; 0.0.0.0 or zero for types 5 and 11
	Self       bool       `json:"self"` // ospfd says it is self-originated
	LSA        lsa.LSA    `json:"lsa"`
	Raw        []byte     `json:"-"` // the wire form as reported
	ReceivedAt time.Time  `json:"receivedAt"`
	// MaxAge: being flushed. It is present, so its link state ID is not
	// free, but it counts for nothing.
	MaxAge bool `json:"maxAge"`
}

// Age gives the age of the LSA in seconds at now, 0..lsa.MaxAge. An LSA with
// the DoNotAge bit keeps its age. A clock that went backwards adds nothing.
func (e *Entry) Age(now time.Time) uint16 {
	if e.MaxAge {
		return lsa.MaxAge
	}
	age := time.Duration(e.LSA.Age) * time.Second
	if !e.LSA.DoNotAge {
		age += max(0, now.Sub(e.ReceivedAt))
	}
	return uint16(min(age/time.Second, lsa.MaxAge))
}

// At gives the LSA with its age at now, for showing it to people.
func (e *Entry) At(now time.Time) lsa.LSA {
	l := e.LSA
	l.Age = e.Age(now)
	return l
}

// expires gives the moment the LSA reaches MaxAge by itself; zero for never.
func (e *Entry) expires() time.Time {
	if e.MaxAge || e.LSA.DoNotAge {
		return time.Time{}
	}
	return e.ReceivedAt.Add(time.Duration(lsa.MaxAge-min(e.LSA.Age, lsa.MaxAge)) * time.Second)
}

// ChangeKind says what one call did to one LSA.
type ChangeKind uint8

// The kinds of change.
const (
	// Unchanged: the same instance again (a sync, or a repeat).
	Unchanged ChangeKind = iota
	// Added: the key was not there.
	Added
	// Refreshed: another instance with the same options and body.
	Refreshed
	// Replaced: another instance with other options or another body, or one
	// that was being flushed is alive again.
	Replaced
	// Flushed: marked MaxAge; still present.
	Flushed
	// Removed: the key is gone.
	Removed
	// Ignored: a Delete that came too late or for something not there.
	Ignored
)

// String gives the kind in a word.
func (k ChangeKind) String() string {
	switch k {
	case Unchanged:
		return "unchanged"
	case Added:
		return "added"
	case Refreshed:
		return "refreshed"
	case Replaced:
		return "replaced"
	case Flushed:
		return "flushed"
	case Removed:
		return "removed"
	case Ignored:
		return "ignored"
	}
	return fmt.Sprintf("change-%d", uint8(k))
}

// MarshalText is String; it never fails.
func (k ChangeKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Change says what one call did to one LSA. Old and New are nil where there
// is nothing: Old for Added, New for Removed, both may be for Ignored.
type Change struct {
	Kind ChangeKind
	Key  Key
	Old  *Entry
	New  *Entry
	// Host routes that were not announced before and are now, and the other
	// way round, sorted. A host route that two LSAs announce (a router in
	// two areas) appears with the first and vanishes with the last.
	Appeared []HostRoute
	Vanished []HostRoute
}
