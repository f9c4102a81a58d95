package lsdb

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/lsdb/lsa"
)

// Limits bound the memory a mirror takes. Zero fields mean the default.
type Limits struct {
	LSAs  int // entries, those at MaxAge included; default DefaultLSAs
	Bytes int // sum of the LSAs' lengths on the wire; default DefaultBytes
}

// The default limits: far more than any OSPF area was ever run with, and far
// less than a machine has.
const (
	DefaultLSAs  = 200_000
	DefaultBytes = 64 << 20
)

// Errors of Update. Both leave the mirror as it was: if the key was there, it
// still is, with its former instance.
var (
	// ErrFull: taking the LSA would exceed a limit.
	ErrFull = errors.New("LSDB mirror is full")
	// ErrDamaged: not an LSA; the error also wraps one of package lsa's.
	ErrDamaged = errors.New("damaged LSA")
)

// Stats counts since New; LSAs, Bytes and MaxAge are the present state.
type Stats struct {
	LSAs         int    `json:"lsas"`         // entries, those at MaxAge included
	Bytes        int    `json:"bytes"`        // their length on the wire
	MaxAge       int    `json:"maxAge"`       // entries that are being flushed
	Updates      uint64 `json:"updates"`      // taken, the unchanged ones included
	Unchanged    uint64 `json:"unchanged"`    // of these, the same instance again
	Deletes      uint64 `json:"deletes"`      // all
	StaleDeletes uint64 `json:"staleDeletes"` // ignored: older than what is held
	Swept        uint64 `json:"swept"`        // removed by Sweep
	Damaged      uint64 `json:"damaged"`      // refused: ErrDamaged
	Refused      uint64 `json:"refused"`      // refused: ErrFull
}

// Update is one LSA as ospfd reports it (LSA_UPDATE_NOTIFY, LSA_DELETE_NOTIFY).
type Update struct {
	Area   netip.Addr // 0.0.0.0 or zero for types 5 and 11
	IfAddr netip.Addr // type 9: our interface; else not looked at
	Self   bool
	Raw    []byte // one LSA in wire form; not kept, the caller may reuse it
}

// record is the mutable side of an entry.
type record struct {
	entry *Entry
	hosts []HostRoute // what the entry adds to DB.hosts
	round uint64      // the last Mark round it was mentioned in
}

// DB is the mirror. Use New.
type DB struct {
	limits  Limits
	stats   Stats
	records map[ident]*record
	byAdv   map[uint32]map[ident]*record
	asbr    map[uint32]map[ident]*record // type 4, by the ASBR they name
	nssa    map[uint32]int               // how many of type 7 there are, by their area
	hosts   hostIndex

	round   uint64
	marking bool

	// sorted is the present state in key order but for the keys in touched;
	// it is shared with snapshots and never written to.
	sorted  []*Entry
	touched map[ident]Key
	snap    *Snapshot
	version uint64

	// nextExpiry is no later than the first moment an entry reaches MaxAge by
	// itself; zero: none does.
	nextExpiry time.Time
}

// manyTouched is from how many changes on between two snapshots the room they
// took is given back: the whole database changes at a sync, and then seldom.
const manyTouched = 512

// New makes an empty mirror.
func New(l Limits) *DB {
	l.LSAs = cmp.Or(l.LSAs, DefaultLSAs)
	l.Bytes = cmp.Or(l.Bytes, DefaultBytes)
	return &DB{
		limits:  l,
		records: map[ident]*record{},
		byAdv:   map[uint32]map[ident]*record{},
		asbr:    map[uint32]map[ident]*record{},
		nssa:    map[uint32]int{},
		hosts:   hostIndex{},
		touched: map[ident]Key{},
	}
}

// Stats gives the counters.
func (db *DB) Stats() Stats { return db.stats }

// Len is the number of entries, those at MaxAge included.
func (db *DB) Len() int { return len(db.records) }

// Update takes over one LSA that ospfd reports as installed. An LSA that
// arrives with age MaxAge (a sync delivers those) is held as being flushed.
func (db *DB) Update(now time.Time, u Update) (Change, error) {
	l, err := lsa.Decode(u.Raw)
	if err != nil {
		db.stats.Damaged++
		return Change{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	key := KeyOf(l.Header, u.Area, u.IfAddr)
	i, ok := key.ident()
	if !ok {
		db.stats.Damaged++
		return Change{}, fmt.Errorf("%w: %s is reported for something that is not an IPv4 address", ErrDamaged, key)
	}
	r := db.records[i]
	var old *Entry
	held := 0
	if r != nil {
		old = r.entry
		held = len(old.Raw)
	}
	switch {
	case r == nil && len(db.records) >= db.limits.LSAs:
		db.stats.Refused++
		return Change{}, fmt.Errorf("%s: %w: holds %d LSAs, the limit", key, ErrFull, db.limits.LSAs)
	case db.stats.Bytes-held+len(u.Raw) > db.limits.Bytes:
		db.stats.Refused++
		return Change{}, fmt.Errorf("%s: %w: %d bytes more exceed the limit of %d", key, ErrFull, len(u.Raw)-held, db.limits.Bytes)
	}
	db.stats.Updates++

	e := &Entry{
		Key: key, Area: u.Area, Self: u.Self, LSA: l,
		ReceivedAt: now, MaxAge: l.IsMaxAge(),
	}
	kind := changeKind(old, e, u.Raw)
	if kind == Unchanged {
		db.stats.Unchanged++
		r.round = db.round
		return Change{Kind: Unchanged, Key: key, Old: old, New: old}, nil
	}
	e.Raw = bytes.Clone(u.Raw)
	if r == nil {
		r = &record{}
		db.link(i, r)
	}
	r.round = db.round
	return db.put(r, e, kind), nil
}

// changeKind compares what is held (nil for nothing) with what comes.
func changeKind(old, e *Entry, raw []byte) ChangeKind {
	const bodyAt = lsa.HeaderLen
	switch {
	case old == nil:
		return Added
	case e.MaxAge && !old.MaxAge:
		return Flushed
	case !e.MaxAge && old.MaxAge:
		return Replaced
	case e.MaxAge && bytes.Equal(old.Raw[2:], raw[2:]):
		return Unchanged // marked by a Delete or by Expire before the age said so
	case old.Self == e.Self && old.Area == e.Area && lsa.Compare(old.LSA.Header, e.LSA.Header) == 0 &&
		bytes.Equal(old.Raw[2:], raw[2:]) && old.LSA.DoNotAge == e.LSA.DoNotAge:
		return Unchanged
	case old.LSA.Options == e.LSA.Options && bytes.Equal(old.Raw[bodyAt:], raw[bodyAt:]):
		return Refreshed
	}
	return Replaced
}

// Delete takes over that ospfd reports an LSA as deleted; see the package
// documentation for the two steps of that. It fails only if the LSA has no
// readable header (ErrDamaged).
func (db *DB) Delete(now time.Time, u Update) (Change, error) {
	h, err := lsa.DecodeHeader(u.Raw)
	if err != nil {
		db.stats.Damaged++
		return Change{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	db.stats.Deletes++
	key := KeyOf(h, u.Area, u.IfAddr)
	r := db.record(key)
	switch {
	case r == nil:
		return Change{Kind: Ignored, Key: key}, nil
	case h.Seq < r.entry.LSA.Seq:
		db.stats.StaleDeletes++
		return Change{Kind: Ignored, Key: key, Old: r.entry, New: r.entry}, nil
	case h.IsMaxAge():
		return db.remove(r), nil
	}
	return db.flush(now, r), nil
}

// Flush marks an LSA as being flushed: ospfd has accepted our own DELETE for
// it, which it reports only when it drops the LSA up to 60 s later. An echo of
// the LSA that was still under way makes it count again until then.
func (db *DB) Flush(now time.Time, key Key) Change {
	r := db.record(key)
	if r == nil {
		return Change{Kind: Ignored, Key: key}
	}
	return db.flush(now, r)
}

func (db *DB) flush(now time.Time, r *record) Change {
	old := r.entry
	if old.MaxAge {
		return Change{Kind: Unchanged, Key: old.Key, Old: old, New: old}
	}
	e := *old
	e.MaxAge, e.ReceivedAt = true, now
	return db.put(r, &e, Flushed)
}

// Expire marks every LSA as being flushed that has reached MaxAge by itself,
// as ospfd does without a word, and lists what that changed in key order. It
// costs nothing while NextExpiry has not come.
func (db *DB) Expire(now time.Time) []Change {
	if db.nextExpiry.IsZero() || now.Before(db.nextExpiry) {
		return nil
	}
	db.nextExpiry = time.Time{}
	var due []*record
	for _, r := range db.records {
		switch at := r.entry.expires(); {
		case at.IsZero():
		case now.Before(at):
			db.expectExpiry(at)
		default:
			due = append(due, r)
		}
	}
	sortRecords(due)
	var out []Change
	for _, r := range due {
		out = append(out, db.flush(now, r))
	}
	return out
}

// NextExpiry gives a moment at which to call Expire again; it may be too
// early, never too late. ok is false if nothing will expire.
func (db *DB) NextExpiry() (at time.Time, ok bool) { return db.nextExpiry, !db.nextExpiry.IsZero() }

func (db *DB) expectExpiry(at time.Time) {
	if !at.IsZero() && (db.nextExpiry.IsZero() || at.Before(db.nextExpiry)) {
		db.nextExpiry = at
	}
}

// Mark begins a resync: call it before SYNC_LSDB is sent. A second Mark
// begins anew.
func (db *DB) Mark() {
	db.round++
	db.marking = true
}

// Sweep ends a resync: it removes every entry that no Update mentioned since
// Mark, and lists them in key order. Without a Mark before it, it removes
// nothing. Type 7 is left alone, see the package documentation.
func (db *DB) Sweep() []Change {
	if !db.marking {
		return nil
	}
	db.marking = false
	var gone []*record
	for _, r := range db.records {
		if r.round != db.round && r.entry.Key.Type != lsa.TypeNSSA {
			gone = append(gone, r)
		}
	}
	db.stats.Swept += uint64(len(gone))
	return db.removeAll(gone)
}

// Reset removes everything, as when ospfd is lost, and lists it in key order.
func (db *DB) Reset() []Change {
	gone := make([]*record, 0, len(db.records))
	for _, r := range db.records {
		gone = append(gone, r)
	}
	db.marking, db.nextExpiry = false, time.Time{}
	return db.removeAll(gone)
}

func (db *DB) removeAll(gone []*record) []Change {
	sortRecords(gone)
	var out []Change
	for _, r := range gone {
		out = append(out, db.remove(r))
	}
	return out
}

func sortRecords(rs []*record) {
	slices.SortFunc(rs, func(a, b *record) int { return a.entry.Key.Compare(b.entry.Key) })
}

// put makes e what is held at its key.
func (db *DB) put(r *record, e *Entry, kind ChangeKind) Change {
	c := Change{Kind: kind, Key: e.Key, Old: r.entry, New: e}
	if old := r.entry; old != nil {
		db.stats.Bytes -= len(old.Raw)
		db.countMaxAge(old, -1)
	}
	db.stats.Bytes += len(e.Raw)
	db.countMaxAge(e, 1)
	fresh := hostRoutesOf(e)
	c.Appeared, c.Vanished = db.hosts.replace(r.hosts, fresh)
	r.entry, r.hosts = e, fresh
	db.expectExpiry(e.expires())
	db.touch(e.Key)
	return c
}

func (db *DB) remove(r *record) Change {
	old := r.entry
	c := Change{Kind: Removed, Key: old.Key, Old: old}
	_, c.Vanished = db.hosts.replace(r.hosts, nil)
	db.stats.Bytes -= len(old.Raw)
	db.countMaxAge(old, -1)
	i, _ := old.Key.ident() // it was held
	db.unlink(i)
	db.touch(old.Key)
	return c
}

func (db *DB) countMaxAge(e *Entry, by int) {
	if e.MaxAge {
		db.stats.MaxAge += by
	}
}

// record finds what is held under a key; nil: nothing.
func (db *DB) record(k Key) *record {
	i, ok := k.ident()
	if !ok {
		return nil
	}
	return db.records[i]
}

// link puts a record into the indexes by key, unlink takes it out.
func (db *DB) link(i ident, r *record) {
	db.records[i] = r
	indexPut(db.byAdv, i.adv, i, r)
	if i.typ == lsa.TypeASBRSummary {
		indexPut(db.asbr, i.id, i, r)
	}
	if i.typ == lsa.TypeNSSA {
		db.nssa[i.scope]++
	}
	db.stats.LSAs = len(db.records)
}

func (db *DB) unlink(i ident) {
	delete(db.records, i)
	indexDelete(db.byAdv, i.adv, i)
	if i.typ == lsa.TypeASBRSummary {
		indexDelete(db.asbr, i.id, i)
	}
	if i.typ == lsa.TypeNSSA {
		if db.nssa[i.scope]--; db.nssa[i.scope] == 0 {
			delete(db.nssa, i.scope)
		}
	}
	db.stats.LSAs = len(db.records)
}

func indexPut(x map[uint32]map[ident]*record, by uint32, i ident, r *record) {
	m := x[by]
	if m == nil {
		m = map[ident]*record{}
		x[by] = m
	}
	m[i] = r
}

func indexDelete(x map[uint32]map[ident]*record, by uint32, i ident) {
	delete(x[by], i)
	if len(x[by]) == 0 {
		delete(x, by)
	}
}

func (db *DB) touch(k Key) {
	i, _ := k.ident() // it is held, or was
	db.touched[i] = k
	db.version++
	db.snap = nil
}

// Lookup finds an entry, also one that is being flushed.
func (db *DB) Lookup(k Key) (e *Entry, ok bool) {
	r := db.record(k)
	if r == nil {
		return nil, false
	}
	return r.entry, true
}

// ByAdv lists the entries of one advertising router in key order. It takes
// time in proportion to their number.
func (db *DB) ByAdv(adv netip.Addr) []*Entry {
	if !adv.Is4() {
		return nil
	}
	of := db.byAdv[number(adv)]
	out := make([]*Entry, 0, len(of))
	for _, r := range of {
		out = append(out, r.entry)
	}
	slices.SortFunc(out, func(a, b *Entry) int { return a.Key.Compare(b.Key) })
	return out
}

// Externals lists the entries of types 5 and 7 of one advertising router with one
// link state ID, in no order, those that are being flushed too. It takes time in
// proportion to the number of areas.
func (db *DB) Externals(adv, id netip.Addr) (out []*Entry) {
	if !adv.Is4() || !id.Is4() {
		return nil
	}
	find := func(i ident) {
		if r := db.records[i]; r != nil {
			out = append(out, r.entry)
		}
	}
	i := ident{id: number(id), adv: number(adv), typ: lsa.TypeASExternal}
	find(i)
	i.typ, i.scoped = lsa.TypeNSSA, true
	for i.scope = range db.nssa {
		find(i)
	}
	return out
}

// All runs over every entry in key order, those at MaxAge included. What
// changes meanwhile is not seen.
func (db *DB) All() iter.Seq[*Entry] { return db.Snapshot().All() }

// ByType runs over the entries of one type in key order.
func (db *DB) ByType(t lsa.Type) iter.Seq[*Entry] { return db.Snapshot().ByType(t) }
