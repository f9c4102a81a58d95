package lsdb

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/srrd/srrd/lsdb/lsa"
)

// Held is an entry as it is handed to another process: plain data, from which
// Restore makes the entry again.
type Held struct {
	Area, IfAddr netip.Addr
	Self, MaxAge bool
	Raw          []byte
	ReceivedAt   time.Time
}

// Held lists everything the mirror holds, in key order. Nobody may write to
// what it points to.
func (db *DB) Held() []Held {
	all := make([]Held, 0, len(db.records))
	for e := range db.All() {
		h := Held{Area: e.Area, Self: e.Self, MaxAge: e.MaxAge, Raw: e.Raw, ReceivedAt: e.ReceivedAt}
		if e.Key.Type.Scope() == lsa.ScopeLink {
			h.IfAddr = e.Key.Scope
		}
		all = append(all, h)
	}
	return all
}

// Restore fills an empty mirror with what another one held. It says nothing of
// changes: whoever had them told knows.
func (db *DB) Restore(all []Held) error {
	for _, h := range all {
		l, err := lsa.Decode(h.Raw)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		key := KeyOf(l.Header, h.Area, h.IfAddr)
		i, ok := key.ident()
		if !ok {
			return fmt.Errorf("%w: %s has an address that no LSA can have", ErrDamaged, key)
		}
		r := &record{}
		db.link(i, r)
		db.put(r, &Entry{Key: key, Area: h.Area, Self: h.Self, LSA: l, Raw: h.Raw, ReceivedAt: h.ReceivedAt, MaxAge: h.MaxAge}, Added)
	}
	return nil
}
