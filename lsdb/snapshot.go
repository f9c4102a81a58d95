package lsdb

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/srrd/srrd/lsdb/lsa"
)

// Snapshot is the mirror at one moment. It is immutable and safe for use by
// any goroutine.
type Snapshot struct {
	entries []*Entry // in key order
	stats   Stats
	version uint64
}

// Snapshot gives the present state. While nothing changes it is the same
// one again. Else it costs one copy of a slice of pointers and a few
// comparisons for each LSA that changed since the last; the entries
// themselves are shared.
func (db *DB) Snapshot() *Snapshot {
	if db.snap == nil {
		db.merge()
		db.snap = &Snapshot{entries: db.sorted, version: db.version}
	}
	if db.snap.stats != db.stats { // only counters moved
		s := *db.snap
		s.stats = db.stats
		db.snap = &s
	}
	return db.snap
}

// merge brings db.sorted up to date in a new slice.
func (db *DB) merge() {
	if len(db.touched) == 0 {
		return
	}
	keys := make([]Key, 0, len(db.touched))
	for _, k := range db.touched {
		keys = append(keys, k)
	}
	if len(keys) > manyTouched {
		db.touched = map[ident]Key{} // one that was cleared would keep its size
	} else {
		clear(db.touched)
	}
	slices.SortFunc(keys, Key.Compare)

	out := make([]*Entry, 0, len(db.records))
	rest := db.sorted
	for _, k := range keys {
		i, found := slices.BinarySearchFunc(rest, k, func(e *Entry, k Key) int { return e.Key.Compare(k) })
		out = append(out, rest[:i]...)
		if found {
			i++
		}
		rest = rest[i:]
		if r := db.record(k); r != nil {
			out = append(out, r.entry)
		}
	}
	db.sorted = append(out, rest...)
}

// Stats gives the counters as they were.
func (s *Snapshot) Stats() Stats { return s.stats }

// Version grows with every change of an entry. Two snapshots of one mirror
// with the same version hold the same entries.
func (s *Snapshot) Version() uint64 { return s.version }

// Len is the number of entries, those at MaxAge included.
func (s *Snapshot) Len() int { return len(s.entries) }

// All runs over every entry in key order, those at MaxAge included.
func (s *Snapshot) All() iter.Seq[*Entry] { return slices.Values(s.entries) }

// ByType runs over the entries of one type in key order.
func (s *Snapshot) ByType(t lsa.Type) iter.Seq[*Entry] {
	first := s.search(0, Key{Type: t})
	last := first + s.search(first, Key{Type: t + 1})
	return slices.Values(s.entries[first:last])
}

// ByAdv runs over the entries of one advertising router in key order. It
// looks at every entry.
func (s *Snapshot) ByAdv(adv netip.Addr) iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		for _, e := range s.entries {
			if e.Key.Adv == adv && !yield(e) {
				return
			}
		}
	}
}

// Lookup finds an entry, also one that is being flushed.
func (s *Snapshot) Lookup(k Key) (e *Entry, ok bool) {
	i := s.search(0, k)
	if i == len(s.entries) || s.entries[i].Key != k {
		return nil, false
	}
	return s.entries[i], true
}

// search gives the position, counted from the entry at from, of the first
// entry not before k. The zero Addr sorts before every address.
func (s *Snapshot) search(from int, k Key) int {
	i, _ := slices.BinarySearchFunc(s.entries[from:], k, func(e *Entry, k Key) int { return e.Key.Compare(k) })
	return i
}
