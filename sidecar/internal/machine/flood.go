package machine

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// What is flooded, under which LSA id, and whether ospfd shows it: DESIGN
// section 4. The rules exist because ospfd delays an update in place by five
// seconds, drops a second instance within one, and revives an old life's body
// under an id that is used again.
const (
	echoTimeout  = 2 * time.Second
	echoDoubled  = 5                // times the wait for the daemon's echo doubles: 64 s
	behindMost   = 16               // LSAs not shown: more than these, and ospfd is behind
	behindLong   = 30 * time.Second // then this long, at most
	retryAfter   = time.Second
	oldKept      = 15 * time.Second        // an old G stays this long beside the new one
	foreignKept  = 1200 * time.Millisecond // younger LSAs are dropped by MinLSArrival
	stampEvery   = 5 * time.Second         // between two check stamps of a service
	idRest       = 3700 * time.Second      // MaxAge and a little
	gAhead       = 32                      // Gs written to disk as used beforehand
	fewFree      = 16                      // below this, what is not urgent is coalesced
	coalesce     = 5 * time.Second
	unhurried    = 200 * time.Millisecond // what nobody decides from is said after this, if nothing else is before
	unhurriedGap = 10 * time.Millisecond  // between two LSAs of that kind, of all services
	exceedWithin = 60 * time.Second
	exceedMost   = 3
)

// slot is the service id of one name, and the history of its Gs.
type slot struct {
	id      uint16
	next    uint8
	reserve uint8 // Gs up to here, from next on, are on disk as used
	ahead   int   // how many of the reserved are left
	used    map[uint8]time.Time
	freed   time.Time
	asleep  bool // from memory, not used in this life yet
	// kept is what memory answered last; nil after a change. With a thousand
	// services nearly all slots are as they were when something is saved.
	kept *SlotMemory
}

func slotFrom(m SlotMemory) *slot {
	s := &slot{id: m.ID, next: m.Next, reserve: m.Next, used: map[uint8]time.Time{}, freed: m.Freed, asleep: true}
	for g, t := range m.Used {
		s.used[g] = t
	}
	return s
}

// awake counts as used just now the Gs that the last life may have used after
// it last wrote its memory.
func (s *slot) awake(now time.Time) {
	if !s.asleep {
		return
	}
	s.asleep, s.kept = false, nil
	for g, at := range s.used {
		if at.After(now) { // the clock was set back: else they would not rest until it is there again
			s.used[g] = now
		}
	}
	for i := range uint8(gAhead) {
		s.used[s.reserve-1-i] = now
	}
}

func (s *slot) memory() SlotMemory {
	if s.kept == nil {
		s.kept = &SlotMemory{ID: s.id, Next: s.reserve, Freed: s.freed}
		if len(s.used) > 0 {
			s.kept.Used = maps.Clone(s.used)
		}
	}
	return *s.kept
}

// topic is one thing this node says in one scope.
type topic struct {
	scope   Scope
	said    bool
	ref     LSARef
	raw     []byte         // as given to ospfd last
	content []byte         // the body without stamp and check time: a change of it needs a new G
	words   advert.Service // what content was last found to say, of a service
	saidAt  time.Time
	stampAt time.Time
	checked time.Time
	differs time.Time // since when there is something to say that may wait; zero: there is not
	turn    time.Time // when it is the turn of that; zero: it has none yet
	echoed  bool
	tries   int
}

// ownLSA is an LSA of ours as the database shows it.
type ownLSA struct {
	raw  []byte
	seen time.Time
}

// flush is an LSA of ours to delete at a time.
type flush struct {
	at  time.Time
	ref LSARef
}

// slotOf finds the slot of a name, or gives it the lowest free one.
func (n *Node) slotOf(name string) *slot {
	if s := n.slots[name]; s != nil {
		if !s.freed.IsZero() {
			s.freed, s.kept = time.Time{}, nil
		}
		s.awake(n.now)
		return s
	}
	s := &slot{id: DaemonID, used: map[uint8]time.Time{}}
	if name != "" {
		taken := map[uint16]bool{DaemonID: true}
		for _, other := range sortedKeys(n.slots) {
			o := n.slots[other]
			if !o.freed.IsZero() && n.now.Sub(o.freed) >= idRest {
				delete(n.slots, other)
				continue
			}
			if o.freed.After(n.now) {
				o.freed, o.kept = n.now, nil // remembered, and the clock was set back
			}
			taken[o.id] = true
		}
		for s.id = 0; taken[s.id]; s.id++ {
		}
	}
	// Without a memory the first G is chance, so that an earlier life's are
	// probably not met; chance is an input too: the incarnation. So it is in
	// what seems to be the first life as well: a node that lost its disk cannot
	// know that there was one, and a parted neighbour may still hold its LSAs.
	h := n.inc * 0x9e3779b97f4a7c15
	s.next = uint8(h>>56) ^ uint8(s.id)
	s.reserve = s.next
	n.slots[name] = s
	n.save()
	return s
}

func (n *Node) freeSlot(name string) {
	if s := n.slots[name]; s != nil {
		s.freed, s.kept = n.now, nil
	}
}

// takeG chooses the G of a new LSA: one that is not in our database at any
// age and was not used within idRest; if there is none, the one that rested
// longest.
func (n *Node) takeG(sl *slot, scope Scope) LSARef {
	ref := func(g uint8) LSARef { return LSARef{Scope: scope, ID: uint32(g)<<16 | uint32(sl.id)} }
	best, found := sl.next, false
	var rested time.Time
	for i := range 256 {
		g := sl.next + uint8(i)
		if n.own[ref(g)] != nil {
			continue
		}
		at, used := sl.used[g]
		if !used || n.now.Sub(at) >= idRest {
			best, found = g, true
			break
		}
		if !found || at.Before(rested) {
			best, found, rested = g, true, at
		}
	}
	sl.kept = nil
	steps := int(best-sl.next) + 1
	sl.next = best + 1
	sl.used[best] = n.now
	if sl.ahead -= steps; sl.ahead <= gAhead/2 {
		sl.ahead = gAhead
		sl.reserve = sl.next + gAhead
		n.save()
	}
	return ref(best)
}

// free counts the Gs that may be used without meeting an old one.
func (n *Node) free(sl *slot) int {
	busy := 0
	for _, at := range sl.used {
		if n.now.Sub(at) < idRest {
			busy++
		}
	}
	return 256 - busy
}

// offers reports whether the service is to be in the database now.
func (s *service) flooded() bool {
	switch s.config {
	case Injected, Active, Deactivated:
		return true
	case Disabled, Inactive, ConfigFailed:
	}
	return false
}

// advert is what this node says of the service now.
func (n *Node) advert(s *service) advert.Service {
	c := s.cfg
	u := n.unit(s)
	strict := u.strict()
	a := advert.Service{
		Name: s.name, Group: c.Group, Dependencies: c.Dependencies, Preference: c.Preference,
		State: s.phase.state(), Step: s.phase.step(), Failure: s.failure,
		Interval: c.Interval, LastCheck: s.checked, Addresses: c.Addresses,
		Claim: claimOf(s.phase.state(), s.claim), Pin: s.pin, Hold: s.hold, Freeze: s.freeze, Digest: c.Digest,
	}
	if s.phase.state() == advert.Stopping {
		a.Claim = s.claim // what it stops, for those who wait for it
	}
	if strict {
		var given advert.Claim
		if s.topic != nil && s.topic.said {
			given = s.topic.words.Seen
		}
		a.Seen = n.acknowledged(u, given)
		if floor := u.floor(); u.wanted() > 0 && floor > a.Seen {
			a.Floor = floor
		}
	}
	if a.Pin.Left != 0 && !a.Pin.Void {
		a.Pin.Left = max(1, uint32(s.pinEnds.Sub(n.now)/time.Second))
	}
	for _, f := range []struct {
		f  advert.Flags
		on bool
	}{{advert.FlagCritical, c.Critical}, {advert.FlagStrict, strict}, {advert.FlagOverlap, c.Overlap},
		{advert.FlagMayStillRun, s.mayRun}, {advert.FlagProbation, s.probation || n.crippled(s)},
		{advert.FlagHolding, has(a.State) == 0 && n.holding(u)},
		{advert.FlagRecovering, s.phase == phaseRecover}} {
		a.Flags = a.Flags.With(f.f, f.on)
	}
	return a
}

// wordsOf is what an advertisement says less what may change without a new G:
// the stamp, the check time and the seconds a pin has left.
func wordsOf(a advert.Service) advert.Service {
	a.Stamp, a.LastCheck = advert.Stamp{}, time.Time{}
	if a.Pin.Left != 0 {
		a.Pin.Left = 1
	}
	return a
}

// sameWords compares field by field: that nothing has changed is what is found
// most often, and must not cost an encoding.
func sameWords(a, b *advert.Service) bool {
	return a.Stamp == b.Stamp && a.Name == b.Name && a.Group == b.Group && slices.Equal(a.Dependencies, b.Dependencies) &&
		a.Preference == b.Preference && a.State == b.State && a.Step == b.Step && a.Failure == b.Failure &&
		a.Interval == b.Interval && a.LastCheck == b.LastCheck && slices.Equal(a.Addresses, b.Addresses) &&
		a.Claim == b.Claim && a.Seen == b.Seen && a.Floor == b.Floor && a.Pin == b.Pin && a.Hold == b.Hold && a.Freeze == b.Freeze &&
		a.Digest == b.Digest && a.Flags == b.Flags
}

// flood says what has changed of a service.
func (n *Node) flood(s *service) {
	if !n.ospf.up || !n.ospf.latched || n.duplicate || s.cfg == nil || !s.flooded() {
		return
	}
	a := n.advert(s)
	if s.topic == nil {
		s.topic = &topic{scope: s.cfg.Scope}
	}
	t := s.topic
	words := wordsOf(a)
	content := t.content
	if sameWords(&words, &t.words) {
		t.differs, t.turn = time.Time{}, time.Time{} // what was to be said is over
	} else {
		var err error
		if content, err = words.Append(nil); err != nil {
			n.note(LevelError, s.name, "its advertisement does not fit an LSA; nothing is said of it")
			return
		}
	}
	switch {
	case !t.said:
		if !n.timerSet(s.timer(TimerRetry)) {
			t.words = words
			n.sayService(s, a, content)
		}
	case !bytes.Equal(content, t.content):
		if !n.urgent(s, t, a) {
			return
		}
		t.words = words
		n.sayService(s, a, content)
	case !a.LastCheck.IsZero() && !a.LastCheck.Equal(t.checked):
		n.stamp(s, a, content)
	}
}

// urgent reports whether a change is to be said now. What others decide from
// is, and what only people read soon: each LSA is work for every router and
// node, in the middle of a failover, and of the steps of a start most last no
// longer than one takes to be flooded. When Gs are few, more has to wait.
func (n *Node) urgent(s *service, t *topic, a advert.Service) bool {
	var due time.Time
	if n.mayWait(s, t, a) {
		if t.differs.IsZero() {
			t.differs = n.now
		}
		due = t.differs.Add(unhurried)
		switch {
		case !t.turn.IsZero():
			due = t.turn
		case due.After(n.now):
		case !t.echoed && n.now.Sub(t.saidAt) < coalesce: // ospfd is behind
			due = n.now.Add(unhurried)
		default:
			// Of a thousand services that start at once every step lasts so long.
			t.turn = later(n.now, n.unhurriedAt)
			n.unhurriedAt, due = t.turn.Add(unhurriedGap), t.turn
		}
	}
	if n.free(n.slotOf(s.name)) <= fewFree {
		b, err := advert.Decode(t.raw)
		if err == nil && b.Service != nil && b.Service.State == a.State && b.Service.Claim == a.Claim && b.Service.Seen == a.Seen &&
			b.Service.Flags == a.Flags &&
			b.Service.Preference == a.Preference && b.Service.Hold == a.Hold && b.Service.Freeze == a.Freeze && b.Service.Pin.Number == a.Pin.Number && b.Service.Pin.Void == a.Pin.Void {
			due = later(due, t.saidAt.Add(coalesce))
		}
	}
	if !due.After(n.now) {
		return true
	}
	if k := s.timer(TimerCoalesce); !n.timerSet(k) {
		n.setTimer(k, due)
	}
	return false
}

// mayWait reports whether nobody decides from what has changed. Of a step that
// is all but whether the service may run, and whether it still does; of a pin,
// that a peer or another member of the group says it too. The rest is compared as
// a whole, so that what is added to an advertisement is urgent.
//
// That a holder yields is news with its end: the better claimant comes before it in
// the order, whether it has the service or stops it, and begins when it runs
// there no more, whatever it acknowledged until then. Where it may run twice
// nobody waits for that end.
func (n *Node) mayWait(s *service, t *topic, a advert.Service) bool {
	was, is := t.words, wordsOf(a)
	if inTheWay(was.State, was.Step) != inTheWay(is.State, is.Step) || serves(was.State, was.Step) != serves(is.State, is.Step) {
		return false
	}
	was.Step = is.Step
	if was.State == advert.Started && is.State == advert.Stopping && s.yields && s.causeFail.Code == advert.FailNone && !s.cfg.Overlap {
		was.State, was.Seen = is.State, is.Seen
	}
	if was.Pin != is.Pin && n.pinIsSaid(s, is.Pin) {
		was.Pin = is.Pin
	}
	return sameWords(&was, &is)
}

// pinIsSaid reports whether others know the pin without this service's LSA.
func (n *Node) pinIsSaid(s *service, p advert.Pin) bool {
	same := func(q advert.Pin) bool { return q.Number == p.Number && q.Target == p.Target && q.Void == p.Void }
	return slices.ContainsFunc(n.unit(s).members, func(m *service) bool {
		return m != s && m.topic != nil && m.topic.said && same(m.topic.words.Pin) ||
			slices.ContainsFunc(m.offers, func(o *offer) bool { return o.counts && same(o.said.Pin) })
	})
}

func (n *Node) sayService(s *service, a advert.Service, content []byte) {
	a.Stamp = n.nextStamp()
	raw, err := a.Append(nil)
	if err != nil {
		n.note(LevelError, s.name, err.Error())
		return
	}
	s.floor = max(s.floor, a.Seen)
	t := s.topic
	t.content, t.checked, t.stampAt = content, a.LastCheck, n.now
	t.differs, t.turn = time.Time{}, time.Time{}
	n.cancelTimer(s.timer(TimerCoalesce))
	n.say(t, s, n.slotOf(s.name), raw)
	n.setTimer(s.timer(TimerEcho), n.now.Add(echoTimeout))
}

// say gives one body to ospfd under a new id.
func (n *Node) say(t *topic, s *service, sl *slot, raw []byte) {
	if t.said {
		n.flushLater(t.ref, n.now.Add(oldKept))
	}
	t.ref = n.takeG(sl, t.scope)
	t.raw, t.said, t.echoed, t.saidAt = raw, true, false, n.now
	n.current[t.ref] = current{t, s}
	n.do(Originate{Ref: t.ref, Body: raw})
}

// stamp floods another check time, seldom: in place where it is newer. After the
// clock was set back it takes a new G, since in place the later stamp would win;
// not where it was set back by a little, as by one that is corrected over and
// over: what was said is soon the past again.
func (n *Node) stamp(s *service, a advert.Service, content []byte) {
	t := s.topic
	back := t.checked.Sub(a.LastCheck)
	if back > 0 && back < stampEvery {
		return
	}
	if due := t.stampAt.Add(stampEvery); n.now.Before(due) {
		if k := s.timer(TimerStamp); !n.timerSet(k) {
			n.setTimer(k, due)
		}
		return
	}
	if back > 0 {
		n.sayService(s, a, content)
		return
	}
	b, err := advert.Decode(t.raw)
	if err != nil || b.Service == nil {
		return
	}
	a.Stamp = b.Service.Stamp
	raw, err := a.Append(nil)
	if err != nil {
		n.note(LevelError, s.name, err.Error())
		return
	}
	t.raw, t.checked, t.stampAt = raw, a.LastCheck, n.now
	n.do(Originate{Ref: t.ref, Body: raw})
}

func (n *Node) nextStamp() advert.Stamp {
	n.gen++
	return advert.Stamp{Incarnation: n.inc, Generation: n.gen}
}

// withdrawTopic takes the service out of the database, not before receivers
// would accept the deletion.
func (n *Node) withdrawTopic(s *service) {
	t := s.topic
	s.topic = nil
	n.cancelTimer(s.timer(TimerEcho))
	n.cancelTimer(s.timer(TimerRetry))
	n.cancelTimer(s.timer(TimerCoalesce))
	if t == nil || !t.said || !n.ospf.up {
		return
	}
	at := later(n.now, t.saidAt.Add(foreignKept))
	// The ids it had before go first: receivers count the offer as long as one
	// of them is there.
	for g := range uint32(256) {
		ref := LSARef{Scope: t.ref.Scope, ID: g<<16 | uint32(t.ref.Slot())}
		if due, ok := n.flushAt[ref]; ok && due.After(at) {
			n.flushLater(ref, at)
		}
	}
	n.flushLater(t.ref, at)
	if n.leaving {
		return
	}
	n.flushDue()
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// daemonScopes are the scopes the daemon's announcement is needed in.
func (n *Node) daemonScopes() []Scope {
	var all []Scope
	for _, s := range n.services {
		if s.cfg != nil {
			all = append(all, s.cfg.Scope)
		}
	}
	if len(all) == 0 {
		all = append(all, n.cfg.Scope)
	}
	slices.SortFunc(all, Scope.compare)
	return slices.Compact(all)
}

// floodDaemon says the daemon's announcement where it has changed.
func (n *Node) floodDaemon() {
	if !n.ospf.up || !n.ospf.latched || n.duplicate {
		return
	}
	a := advert.Node{Host: n.cfg.Host, Version: n.cfg.Version, Web: n.cfg.Web, State: n.state, Freeze: n.freeze}
	if n.leaving {
		a.State = advert.Leaving
	}
	content, err := a.Append(nil)
	if err != nil {
		n.note(LevelError, "", err.Error())
		return
	}
	scopes := n.daemonScopes()
	n.daemon = slices.DeleteFunc(n.daemon, func(t *topic) bool {
		if slices.Contains(scopes, t.scope) {
			return false
		}
		if t.said {
			n.flushLater(t.ref, later(n.now, t.saidAt.Add(foreignKept)))
		}
		return true
	})
	for _, sc := range scopes {
		i := slices.IndexFunc(n.daemon, func(t *topic) bool { return t.scope == sc })
		if i < 0 {
			n.daemon = append(n.daemon, &topic{scope: sc})
			i = len(n.daemon) - 1
		}
		t := n.daemon[i]
		if t.said && bytes.Equal(t.content, content) || n.timerSet(TimerKey{Kind: TimerRetry}) {
			continue
		}
		a.Stamp = n.nextStamp()
		raw, err := a.Append(nil)
		if err != nil {
			n.note(LevelError, "", err.Error())
			return
		}
		t.content = content
		n.say(t, nil, n.slotOf(""), raw)
		n.setTimer(TimerKey{Kind: TimerEcho}, n.now.Add(echoTimeout<<min(t.tries, echoDoubled)))
	}
	slices.SortFunc(n.daemon, func(a, b *topic) int { return a.scope.compare(b.scope) })
}
