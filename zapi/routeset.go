package zapi

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// noteTimeout is how long a note is waited for that may never come: the one
// about a prefix to be cleared (zebra notes nothing if a better route is there
// already) and the one about a deletion. zebra's work queue holds routes for 10
// ms by default, and the kernel is asked after that.
const noteTimeout = 3 * time.Second

// An Announcement is a wanted route.
type Announcement struct {
	Prefix netip.Prefix // without host bits
	// Interface is the index of the interface it points out of, usually the
	// loopback's; 0 makes it a blackhole.
	Interface uint32
	Metric    uint32
	Tag       uint32
	Distance  uint8 // 1-255; 0 stands for zebra's default of the type (150 for TABLE)
}

func (a Announcement) check() error {
	if !a.Prefix.IsValid() || a.Prefix != a.Prefix.Masked() {
		return fmt.Errorf("zapi: %s is not a prefix without host bits", a.Prefix)
	}
	return nil
}

func (a Announcement) route(proto RouteType, instance uint16) Route {
	r := Route{
		Type: proto, Instance: instance, SAFI: SAFIUnicast, Prefix: a.Prefix,
		Has: HasNexthops | HasMetric, Metric: a.Metric, Nexthops: []Nexthop{ViaBlackhole()},
	}
	if a.Interface != 0 {
		r.Nexthops[0] = ViaInterface(a.Interface)
	}
	if a.Tag != 0 {
		r.Has |= HasTag
		r.Tag = a.Tag
	}
	if a.Distance != 0 {
		r.Has |= HasDistance
		r.Distance = a.Distance
	}
	return r
}

// A State is where a prefix stands between us and zebra.
type State uint8

// The states. The first five are of wanted prefixes; the last three of
// prefixes that should be gone, Removed being their end.
const (
	StateWanted State = iota // no connection to say it on
	// StateSent is said, no note yet. It stays so if zebra has a better route
	// already: of an addition that loses at once zebra (8.4) notes nothing.
	StateSent
	StateInstalled   // zebra says it is the best and in the kernel
	StateRefused     // zebra says another route is better, or it could not install it
	StateRemoved     // zebra took it out of the kernel
	StateWithdrawing // the deletion is said, no note yet
	StateClearing    // to be added, seen installed and then deleted
)

// String is one word for people.
func (s State) String() string {
	switch s {
	case StateWanted:
		return "wanted"
	case StateSent:
		return "sent"
	case StateInstalled:
		return "installed"
	case StateRefused:
		return "refused"
	case StateRemoved:
		return "removed"
	case StateWithdrawing:
		return "withdrawing"
	case StateClearing:
		return "clearing"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// A Change is the new state of a prefix.
type Change struct {
	Prefix netip.Prefix
	State  State
	// Wanted is whether the prefix is in the wanted set. StateRemoved and not
	// Wanted is the last change of a prefix.
	Wanted bool
	// Note is what zebra said, if Noted.
	Note  Note
	Noted bool
}

// String is one line for people: "192.0.2.1/32 refused: another route ...".
func (c Change) String() string {
	s := fmt.Sprintf("%s %s", c.Prefix, c.State)
	if c.Noted && c.State != StateInstalled {
		s += ": " + c.Note.String()
	}
	return s
}

// routeSet is the wanted set and what zebra has of it: pure, no I/O, no clock.
// The caller sets now, calls a method, and takes what is to be sent from out
// and what is to be told from changes.
type routeSet struct {
	proto    RouteType
	instance uint16
	now      time.Time
	up       bool
	entries  map[netip.Prefix]*entry
	out      []Message
	changes  []Change
}

type entry struct {
	a      Announcement
	wanted bool
	state  State
	note   Note
	noted  bool
	// said: on some connection the route was added and not yet noted removed,
	// so ospfd may announce it even if that zebra is gone.
	said bool
	// installed: zebra of this connection noted it installed, nothing else since,
	// so a note will follow its deletion.
	installed bool
	// due is when a clearing or withdrawing prefix is given up; zero: not waiting.
	due time.Time
	// removals counts deletions said before the present addition whose note is
	// still to come and does not mean the addition.
	removals int
}

func newRouteSet(proto RouteType, instance uint16) *routeSet {
	return &routeSet{proto: proto, instance: instance, entries: make(map[netip.Prefix]*entry)}
}

func (s *routeSet) set(a Announcement) {
	e := s.entries[a.Prefix]
	switch {
	case e == nil:
		e = &entry{}
		s.entries[a.Prefix] = e
	case e.wanted && e.a == a:
		return
	case e.state == StateWithdrawing:
		e.removals++
	}
	e.a, e.wanted, e.due = a, true, time.Time{}
	s.announce(e)
}

// announce says a wanted or clearing entry if there is a connection.
func (s *routeSet) announce(e *entry) {
	state := StateClearing
	if e.wanted {
		state = StateWanted
	}
	if s.up {
		s.out = append(s.out, RouteAdd{e.a.route(s.proto, s.instance)})
		e.said = true
		if e.wanted {
			state = StateSent
		} else {
			e.due = s.now.Add(noteTimeout)
		}
	}
	s.move(e, state, nil)
}

func (s *routeSet) del(p netip.Prefix) {
	e := s.entries[p]
	if e == nil || !e.wanted {
		return
	}
	e.wanted = false
	switch {
	case !s.up && e.said:
		// A zebra that died left ospfd announcing it.
		s.move(e, StateClearing, nil)
	case !s.up:
		s.forget(e, nil)
	default:
		s.withdraw(e)
	}
}

// withdraw says the deletion. Of a route that was not installed no note need
// follow (zebra drops an addition and its deletion unseen if both are in its
// queue), so that one is gone at once.
func (s *routeSet) withdraw(e *entry) {
	s.out = append(s.out, RouteDelete{e.a.route(s.proto, s.instance)})
	if !e.installed {
		s.forget(e, nil)
		return
	}
	e.due = s.now.Add(noteTimeout)
	s.move(e, StateWithdrawing, nil)
}

// clear gets rid of what an earlier life announced, unless it is wanted now.
func (s *routeSet) clear(a Announcement) {
	if s.entries[a.Prefix] != nil {
		return
	}
	e := &entry{a: a, state: StateRemoved}
	s.entries[a.Prefix] = e
	s.announce(e)
}

// connected says everything again, the wanted first.
func (s *routeSet) connected() {
	s.up = true
	for _, wanted := range []bool{true, false} {
		for _, e := range s.inOrder() {
			if e.wanted == wanted {
				s.announce(e)
			}
		}
	}
}

func (s *routeSet) disconnected() {
	s.up = false
	for _, e := range s.inOrder() {
		e.removals, e.installed, e.due = 0, false, time.Time{}
		if e.wanted {
			s.move(e, StateWanted, nil)
		} else {
			s.move(e, StateClearing, nil)
		}
	}
}

func (s *routeSet) noted(m NotifyOwner) {
	e := s.entries[m.Prefix]
	if e == nil || !s.up {
		return
	}
	e.installed = m.Note == NoteInstalled
	switch {
	case e.wanted:
		s.notedWanted(e, m.Note)
	case e.state == StateClearing:
		s.notedClearing(e, m.Note)
	default:
		s.notedWithdrawing(e, m.Note)
	}
}

func (s *routeSet) notedWanted(e *entry, note Note) {
	switch note {
	case NoteInstalled:
		// Notes come in the order of the requests: no earlier removal is due.
		e.removals = 0
		s.move(e, StateInstalled, &note)
	case NoteFailed, NoteBetterAdminWon:
		s.move(e, StateRefused, &note)
	case NoteRemoved, NoteRemoveFailed:
		if e.removals > 0 {
			e.removals--
			return
		}
		if note == NoteRemoved {
			s.move(e, StateRemoved, &note)
		}
	}
}

func (s *routeSet) notedClearing(e *entry, note Note) {
	switch note {
	case NoteInstalled:
		s.move(e, StateInstalled, &note)
		s.withdraw(e)
	case NoteFailed, NoteBetterAdminWon:
		s.move(e, StateRefused, &note)
		s.withdraw(e)
	case NoteRemoved, NoteRemoveFailed:
		// Of a deletion before; ours is still to come.
	}
}

func (s *routeSet) notedWithdrawing(e *entry, note Note) {
	switch note {
	case NoteInstalled:
		// The outcome of the addition before; the deletion's follows.
	case NoteFailed, NoteBetterAdminWon, NoteRemoved, NoteRemoveFailed:
		s.forget(e, &note)
	}
}

// expire gives up waiting for notes that are overdue. A prefix to be cleared
// that was not seen installed is deleted all the same, lest it be announced
// when the better route goes.
func (s *routeSet) expire() {
	for _, e := range s.inOrder() {
		switch {
		case e.due.IsZero() || e.due.After(s.now):
		case e.state == StateClearing:
			s.withdraw(e)
		default:
			s.forget(e, nil)
		}
	}
}

// next is when expire has something to do; zero: never.
func (s *routeSet) next() (t time.Time) {
	for _, e := range s.entries {
		if !e.due.IsZero() && (t.IsZero() || e.due.Before(t)) {
			t = e.due
		}
	}
	return t
}

// move changes an entry's state and reports it if it is news.
func (s *routeSet) move(e *entry, state State, note *Note) {
	noted := note != nil
	same := e.state == state && e.noted == noted && (!noted || e.note == *note)
	e.state, e.noted, e.note = state, noted, 0
	if noted {
		e.note = *note
	}
	// An entry is born in StateWanted, so entering that state is always told.
	if !same || state == StateWanted {
		s.report(e)
	}
}

func (s *routeSet) forget(e *entry, note *Note) {
	delete(s.entries, e.a.Prefix)
	e.state, e.noted, e.note = StateRemoved, note != nil, 0
	if note != nil {
		e.note = *note
	}
	s.report(e)
}

func (s *routeSet) report(e *entry) {
	s.changes = append(s.changes, Change{
		Prefix: e.a.Prefix, State: e.state, Wanted: e.wanted, Note: e.note, Noted: e.noted,
	})
}

// inOrder is every entry by prefix: what is sent must not depend on chance.
func (s *routeSet) inOrder() []*entry {
	all := make([]*entry, 0, len(s.entries))
	for _, e := range s.entries {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int {
		return cmp.Or(a.a.Prefix.Addr().Compare(b.a.Prefix.Addr()), cmp.Compare(a.a.Prefix.Bits(), b.a.Prefix.Bits()))
	})
	return all
}
