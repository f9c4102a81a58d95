package machine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

var t0 = time.Date(2002, 3, 15, 12, 0, 0, 0, time.UTC)

const (
	r1 RouterID = 0x0a000001
	r2 RouterID = 0x0a000002
	r3 RouterID = 0x0a000003
)

func genCandidate(t *rapid.T, label string) candidate {
	return candidate{router: RouterID(rapid.Uint32Range(1, 4).Draw(t, label+" router")), probation: rapid.Bool().Draw(t, label+" probation"),
		pref: rapid.IntRange(0, 2).Draw(t, label+" preference"), has: rapid.IntRange(0, 2).Draw(t, label+" has"),
		claim: advert.Claim(rapid.Uint64Range(0, 2).Draw(t, label+" claim"))}
}

// slowBetter is the order of DESIGN section 3 written as a list of keys.
func slowBetter(a, b candidate) bool {
	keys := func(c candidate) []uint64 {
		not := uint64(1)
		if c.probation {
			not = 0
		}
		return []uint64{not, uint64(c.pref), uint64(c.has), uint64(c.claim), uint64(c.router)}
	}
	return slices.Compare(keys(a), keys(b)) > 0
}

func TestTheOrderOfCandidatesIsTotalAndEqualToItsSlowTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := genCandidate(t, "a"), genCandidate(t, "b"), genCandidate(t, "c")
		if a.better(b) != slowBetter(a, b) {
			t.Fatalf("%+v better than %+v: %v, the twin says %v", a, b, a.better(b), slowBetter(a, b))
		}
		if a.better(a) {
			t.Fatalf("%+v is better than itself", a)
		}
		if a != b && a.better(b) == b.better(a) {
			t.Fatalf("%+v and %+v have no order", a, b)
		}
		if a.better(b) && b.better(c) && !a.better(c) {
			t.Fatalf("%+v, %+v, %+v go in a circle", a, b, c)
		}
	})
}

// table is a node in ten lines: router n1 with a service web, in sync.
type table struct {
	cfg    Service
	phase  phase
	claim  advert.Claim
	change func(*Node, *service)
	offers []advert.Service // of 10.0.0.2, 10.0.0.3 ...
}

func (c table) node() (*Node, *service) {
	n := New(Memory{Incarnation: 1}, nil)
	n.now, n.configured, n.router, n.inc = t0, true, r1, 2
	n.ospf = ospfState{up: true, synced: true, latched: true, everFull: true, full: 1}
	n.holdingSet, n.holdUntil = true, t0
	n.cfg = Config{Host: "n1", ClaimTimeout: time.Second}
	c.cfg.Name, c.cfg.Enabled = "web", true
	s := n.service("web")
	s.cfg, s.config, s.phase, s.claim = &c.cfg, Active, c.phase, c.claim
	for i, said := range c.offers {
		said.Name = "web"
		said.Stamp = advert.Stamp{Incarnation: 5, Generation: 1}
		p := n.peer(r2 + RouterID(i))
		p.area, p.as = true, true
		p.node = &advert.Node{Stamp: said.Stamp, Host: fmt.Sprintf("n%d", i+2), State: advert.Online}
		p.last = *p.node
		n.hearService(p, LSARef{Scope: ASScope, ID: 0}, &said, false)
	}
	n.index(s)
	if c.change != nil {
		c.change(n, s)
	}
	return n, s
}

var (
	plain    = Service{Scope: ASScope, Preference: 100, Addresses: []netip.Addr{netip.MustParseAddr("10.99.0.1")}, RetryAfter: time.Minute}
	disk     = Service{Scope: ASScope, Preference: 100, RetryAfter: time.Minute}
	idle     = advert.Service{State: advert.Stopped, Preference: 100}
	worse    = advert.Service{State: advert.Stopped, Preference: 50}
	runsIt   = advert.Service{State: advert.Started, Preference: 100, Claim: advert.NewClaim(5, r2)}
	betterIt = advert.Service{State: advert.Starting, Step: advert.StepClaim, Preference: 200, Claim: advert.NewClaim(9, r2)}
)

func with(s advert.Service, f func(*advert.Service)) advert.Service { f(&s); return s }

func TestVerdicts(t *testing.T) {
	overlap := plain
	overlap.Overlap = true
	keep := plain
	keep.OnOSPFLoss = LossKeep
	alone := disk
	alone.StartAlone = true
	for _, c := range []struct {
		name string
		m    table
		want Want
		why  ReasonCode
	}{
		{"nobody else offers it", table{cfg: plain, phase: phaseStopped}, WantRun, BecauseBest},
		{"a worse candidate offers it", table{cfg: plain, phase: phaseStopped, offers: []advert.Service{worse}}, WantRun, BecauseBest},
		{"an equal candidate with a higher router id", table{cfg: plain, phase: phaseStopped, offers: []advert.Service{idle}}, WantStand, BecauseBetterCandidate},
		{"that one was passed over", table{cfg: plain, phase: phaseStopped, offers: []advert.Service{idle}, change: func(_ *Node, s *service) {
			s.passed = map[RouterID]advert.Stamp{r2: {Incarnation: 5, Generation: 1}}
		}}, WantRun, BecauseOthersPassed},
		{"passed over, and it has spoken since", table{cfg: plain, phase: phaseStopped, offers: []advert.Service{idle}, change: func(_ *Node, s *service) {
			s.passed = map[RouterID]advert.Stamp{r2: {Incarnation: 5}}
		}}, WantStand, BecauseBetterCandidate},
		{"an equal one runs it", table{cfg: plain, phase: phaseStopped, offers: []advert.Service{runsIt}}, WantStand, BecauseHeldBy},
		{"it runs here and a better candidate has not claimed", table{cfg: plain, phase: phaseStarted, claim: 7, offers: []advert.Service{with(idle, func(s *advert.Service) { s.Preference = 200 })}}, WantRun, BecauseHolder},
		{"it runs here and a better one claims", table{cfg: plain, phase: phaseStarted, claim: 7, offers: []advert.Service{betterIt}}, WantStand, BecauseBetterClaimant},
		{"the same with overlap", table{cfg: overlap, phase: phaseStarted, claim: 7, offers: []advert.Service{betterIt}}, WantRun, BecauseOverlap},
		{"a better claimant in standby", table{cfg: plain, phase: phaseStarted, claim: 7, offers: []advert.Service{betterIt}, change: func(n *Node, _ *service) { n.byRouter[r2].node.State = advert.Standby }}, WantRun, BecauseHolder},
		{"a better one that failed", table{cfg: plain, phase: phaseStopped, offers: []advert.Service{{State: advert.Failed, Preference: 200}}}, WantRun, BecauseBest},
		{"a better one that holds back", table{cfg: plain, phase: phaseStopped, offers: []advert.Service{{State: advert.Stopped, Preference: 200, Flags: advert.FlagHolding}}}, WantRun, BecauseBest},
		{"a better one on probation", table{cfg: plain, phase: phaseStopped, offers: []advert.Service{{State: advert.Stopped, Preference: 200, Flags: advert.FlagProbation}}}, WantRun, BecauseBest},
		{"on probation here", table{cfg: plain, phase: phaseStopped, offers: []advert.Service{worse}, change: func(_ *Node, s *service) { s.probation = true }}, WantStand, BecauseBetterCandidate},
		{"moved here", table{cfg: plain, phase: phaseStopped, offers: []advert.Service{runsIt}, change: func(_ *Node, s *service) { s.pin = advert.Pin{Number: 1, Target: r1} }}, WantRun, BecauseBest},
		{"a move that is void", table{cfg: plain, phase: phaseStopped, offers: []advert.Service{runsIt}, change: func(_ *Node, s *service) { s.pin = advert.Pin{Number: 1, Target: r1, Void: true} }}, WantStand, BecauseHeldBy},
		{"stopped by an operator", table{cfg: plain, phase: phaseStarted, change: func(_ *Node, s *service) { s.hold.On = true }}, WantStop, BecauseHeld},
		{"disabled", table{cfg: plain, phase: phaseStarted, change: func(_ *Node, s *service) { s.disabled = true }}, WantStop, BecauseDisabled},
		{"removed", table{cfg: plain, phase: phaseStarted, change: func(_ *Node, s *service) { s.removed = true }}, WantStop, BecauseRemoved},
		{"reconfigured", table{cfg: plain, phase: phaseStarted, change: func(_ *Node, s *service) { s.next = s.cfg }}, WantStop, BecauseReconfigured},
		{"not configured here", table{cfg: plain, change: func(_ *Node, s *service) { s.cfg = nil }}, WantStop, BecauseNotLocal},
		{"leaving", table{cfg: plain, phase: phaseStarted, change: func(n *Node, _ *service) { n.leaving = true }}, WantStop, BecauseLeaving},
		{"standby", table{cfg: plain, phase: phaseStarted, change: func(n *Node, _ *service) { n.state = advert.Standby }}, WantStop, BecauseStandby},
		{"maintenance", table{cfg: plain, phase: phaseStarted, change: func(n *Node, _ *service) { n.state = advert.Maintenance }}, WantStay, BecauseMaintenance},
		{"another node has our router id", table{cfg: plain, phase: phaseStarted, change: func(n *Node, _ *service) { n.duplicate = true }}, WantStop, BecauseDuplicateRouterID},
		{"ospfd is lost", table{cfg: plain, phase: phaseStarted, change: func(n *Node, _ *service) { n.ospf = ospfState{why: "x"} }}, WantStop, BecauseOSPFDown},
		{"ospfd is lost, on_ospf_loss keep", table{cfg: keep, phase: phaseStarted, change: func(n *Node, _ *service) { n.ospf = ospfState{why: "x"} }}, WantRun, BecauseKeep},
		{"ospfd is lost, keep, and it only starts", table{cfg: keep, phase: phaseStart, change: func(n *Node, _ *service) { n.ospf = ospfState{why: "x"} }}, WantStop, BecauseOSPFDown},
		{"not in sync", table{cfg: plain, phase: phaseStopped, change: func(n *Node, _ *service) { n.ospf.latched = false }}, WantStop, BecauseNotInSync},
		{"not offered", table{cfg: plain, phase: phaseInjected, change: func(_ *Node, s *service) { s.config = Injected }}, WantStop, BecauseNotOffered},
		{"failed", table{cfg: plain, phase: phaseFailed}, WantStop, BecauseFailed},
		{"its configuration has failed", table{cfg: plain, phase: phaseConfigFailed, change: func(_ *Node, s *service) { s.config = ConfigFailed }}, WantStop, BecauseFailed},
		{"startup_hold", table{cfg: plain, phase: phaseStopped, change: func(n *Node, _ *service) { n.holdUntil = t0.Add(1) }}, WantStop, BecauseHolding},
		{"a resource without a neighbour", table{cfg: disk, phase: phaseStarted, change: func(n *Node, _ *service) { n.ospf.full = 0 }}, WantStop, BecauseNoNeighbor},
		{"a resource that never had one", table{cfg: disk, phase: phaseStopped, change: func(n *Node, _ *service) { n.ospf.full, n.ospf.everFull = 0, false }}, WantStop, BecauseAlone},
		{"a resource with start_alone", table{cfg: alone, phase: phaseStopped, change: func(n *Node, _ *service) { n.ospf.full, n.ospf.everFull = 0, false }}, WantRun, BecauseBest},
		{"a resource just back among neighbours", table{cfg: disk, phase: phaseStopped, change: func(n *Node, _ *service) { n.ospf.returning = true }}, WantStop, BecauseReturning},
		{"the holder is unreachable", table{cfg: plain, phase: phaseStopped, offers: []advert.Service{runsIt}, change: func(n *Node, s *service) {
			n.reach(n.byRouter[r2], func() { n.byRouter[r2].area, n.byRouter[r2].as = false, false })
		}}, WantRun, BecauseBest},
		{"an address of one earlier by name", table{cfg: plain, phase: phaseStopped, change: func(n *Node, s *service) {
			o := n.service("apache")
			o.cfg = &Service{Name: "apache", Addresses: s.cfg.Addresses}
			n.index(o)
		}}, WantStop, BecauseAddressTaken},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, s := c.m.node()
			v := n.decide(s)
			if v.Want != c.want || v.Why.Code != c.why {
				t.Errorf("%s, for %s (%s); want %s, %s", v.Want, v.Why, v.Why.Word(), c.want, Reason{Code: c.why}.Word())
			}
			if again := n.decide(s); again != v {
				t.Errorf("asked again: %v", again)
			}
		})
	}
}

func TestEveryReasonHasAWordAndASentence(t *testing.T) {
	words := map[string]bool{}
	for c := range reasonCount {
		r := Reason{Code: c, Who: "n7"}
		if r.Word() == "" || words[r.Word()] {
			t.Errorf("reason %d has no word of its own: %q", c, r.Word())
		}
		words[r.Word()] = true
		if s := r.String(); s == "" || strings.Contains(s, "%!") || strings.Contains(reasonTable[c].sentence, "%s") != r.needsWho() {
			t.Errorf("reason %s: %q", r.Word(), s)
		}
	}
}

// ignored lists, phase by phase, what does not concern it; with the rows of
// life it covers every pair.
func TestEveryPhaseMeetsEveryStimulusInARowOrNot(t *testing.T) {
	for p := range phaseCount {
		taken := map[stimulus]bool{}
		for _, r := range rowsOf[p] {
			if taken[r.On] {
				t.Errorf("%s: two rows for %s, the second is never reached", p, r.On)
			}
			taken[r.On] = true
			if r.To >= phaseCount && r.To != phaseFailing {
				t.Errorf("%s on %s leads nowhere", p, r.On)
			}
		}
		list, known := ignored[p]
		if !known {
			t.Errorf("%s: no list of what it ignores", p)
		}
		for _, on := range list {
			if taken[on] {
				t.Errorf("%s: %s has a row and is listed as ignored", p, on)
			}
			taken[on] = true
		}
		for on := range stimulusCount {
			if !taken[on] {
				t.Errorf("%s: %s has neither a row nor a place in the list of ignored ones", p, on)
			}
		}
	}
}

func TestEveryStateOfTheDesignHasAPhase(t *testing.T) {
	phases := map[string]bool{}
	for p := range phaseCount {
		phases[p.state().String()] = true
		if p.String() == "" || p.state() < advert.Stopped {
			t.Errorf("phase %d has no word or state", p)
		}
	}
	for _, st := range []string{"stopped", "starting", "started", "stopping", "failed"} {
		if !phases[st] {
			t.Errorf("no phase shows %s", st)
		}
	}
	for want, c := range map[string]ConfigState{"disabled": Disabled, "inactive": Inactive, "injected": Injected, "active": Active, "deactivated": Deactivated, "failed": ConfigFailed} {
		if c.String() != want {
			t.Errorf("%q, want %q", c, want)
		}
	}
}

func TestViewOfEachPhase(t *testing.T) {
	for p := range phaseCount {
		for _, cfg := range []Service{plain, disk} {
			n, s := table{cfg: cfg, phase: p, claim: 7, offers: []advert.Service{runsIt}}.node()
			s.verdict = n.decide(s)
			v := n.View()
			if len(v.Services) != 1 || v.Services[0].State != p.state() || v.Services[0].Step != p.step() {
				t.Fatalf("%s: %+v", p, v.Services)
			}
			if _, err := json.Marshal(v); err != nil {
				t.Errorf("%s: %v", p, err)
			}
			if sv := v.Services[0]; len(sv.Offers) != 2 || sv.Want == "" || sv.Why == "" || sv.Code == "" {
				t.Errorf("%s: %+v", p, sv)
			}
		}
	}
}

func TestMemoryGoesRound(t *testing.T) {
	on, off := true, false
	m := Memory{Incarnation: 77, Node: advert.Standby,
		Slots: map[string]SlotMemory{"": {ID: DaemonID, Next: 9, Used: map[uint8]time.Time{3: t0}}, "web": {ID: 0, Next: 40}, "old": {ID: 1, Freed: t0}},
		Services: map[string]ServiceMemory{
			"web":  {Enabled: &off, Counter: 1500, Pin: advert.Pin{Number: 4, Target: r2}, Hold: advert.Hold{Number: 2, On: true}},
			"disk": {Enabled: &on, Counter: 3, MayRun: map[RouterID]MayRunMark{r2: {Claim: 9}, r3: {Claim: 8, FailedStop: true}}},
		}}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var read Memory
	if err := json.Unmarshal(b, &read); err != nil {
		// Claims are readable in JSON and not read back: the state file has a form of its own.
		read = m
	}
	n := New(read, nil)
	if d := cmp.Diff(m, n.Memory()); d != "" {
		t.Errorf("(-given +kept):\n%s", d)
	}
}

func TestATimedPinEndsWithTheOneThatGaveIt(t *testing.T) {
	pin := advert.Pin{Number: 4, Target: r2, Left: 30}
	var giver, other service
	giver.remember(ServiceMemory{Pin: pin, Given: 4})
	if !giver.pin.Void || giver.pin.Number != 4 {
		t.Errorf("the giver remembers %+v, want it void", giver.pin)
	}
	other.remember(ServiceMemory{Pin: pin})
	if other.pin.Number != 0 || other.pinFloor != 4 {
		t.Errorf("another remembers %+v above %d, want none above 4", other.pin, other.pinFloor)
	}
}

func TestIDsRestAnHour(t *testing.T) {
	n := New(Memory{}, nil)
	n.now = t0
	sl := n.slotOf("web")
	used := map[uint32]time.Time{}
	for i := range 256 {
		ref := n.takeG(sl, ASScope)
		if at, twice := used[ref.ID]; twice {
			t.Fatalf("id %s again after %s, with %d others free", ref, n.now.Sub(at), 256-i)
		}
		used[ref.ID] = n.now
		n.now = n.now.Add(time.Second)
	}
	if f := n.free(sl); f != 0 {
		t.Errorf("%d free after 256", f)
	}
	if g := n.takeG(sl, ASScope).G(); g != 0 {
		t.Errorf("with none free it takes G %d, want 0, which rested longest", g)
	}
	n.now = n.now.Add(idRest)
	if f := n.free(sl); f != 256 {
		t.Errorf("%d free after an hour's rest", f)
	}
	n.own[LSARef{Scope: ASScope, ID: uint32(sl.next)<<16 | uint32(sl.id)}] = &ownLSA{}
	next := sl.next
	if g := n.takeG(sl, ASScope).G(); g == next {
		t.Errorf("it takes G %d, which is in our database", g)
	}
}

func TestANewLifeUsesNoIDTheLastMayHaveUsed(t *testing.T) {
	n := New(Memory{}, nil)
	n.now = t0
	sl := n.slotOf("web")
	var saved SlotMemory
	used := map[uint8]bool{}
	for i := range 100 {
		used[n.takeG(sl, ASScope).G()] = true
		if n.saveDue {
			saved, n.saveDue = sl.memory(), false
		}
		if i%7 != 0 {
			continue
		}
		life := New(Memory{Incarnation: 5, Slots: map[string]SlotMemory{"web": saved}}, nil)
		life.now = t0.Add(time.Minute)
		again := life.slotOf("web")
		for range 256 - len(used) - 2*gAhead {
			if g := life.takeG(again, ASScope).G(); used[g] {
				t.Fatalf("after %d ids the next life uses %d, which this one used", i+1, g)
			}
		}
	}
}

func TestSlotsAreTheLowestFreeAndRest(t *testing.T) {
	n := New(Memory{}, nil)
	n.now = t0
	for i := range 300 {
		n.slotOf(fmt.Sprintf("s%03d", i))
	}
	if id := n.slots["s256"].id; id != 257 {
		t.Errorf("the 257th name has id %d, want 257: 256 is the daemon's", id)
	}
	if id := n.slotOf("").id; id != DaemonID {
		t.Errorf("the daemon has id %d", id)
	}
	n.freeSlot("s003")
	if id := n.slotOf("new").id; id == 3 {
		t.Error("an id goes to another name at once")
	}
	n.now = t0.Add(idRest)
	if id := n.slotOf("newer").id; id != 3 {
		t.Errorf("after its rest id 3 is free, given was %d", id)
	}
}

func TestWhenFewIDsAreFreeOnlyUrgentWordsAreSaidAtOnce(t *testing.T) {
	n, s := table{cfg: plain, phase: phaseStopped}.node()
	n.flood(s)
	sl := n.slotOf("web")
	for range 240 {
		n.takeG(sl, ASScope)
	}
	said := s.topic.ref
	n.now = n.now.Add(time.Second)
	s.failure.Text, s.failure.Code = "words", advert.FailOther
	n.flood(s)
	if s.topic.ref != said || !n.timerSet(s.timer(TimerCoalesce)) {
		t.Error("a change of words is said at once though ids are few")
	}
	s.hold = advert.Hold{Number: 1, On: true}
	n.flood(s)
	if s.topic.ref == said {
		t.Error("a hold waits")
	}
}

func TestEqualEventsGiveEqualActions(t *testing.T) {
	run := func() []byte {
		var w bytes.Buffer
		n := New(Memory{}, nil)
		cfg := Config{Host: "n1", Scope: ASScope}
		for i := range 20 {
			s := plain
			s.Name, s.Enabled = fmt.Sprintf("s%02d", i), true
			s.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 99, 0, byte(i)})}
			cfg.Services = append(cfg.Services, s)
		}
		for _, ev := range []Event{Configured{Config: cfg}, OSPFUp{Router: r1}, Adjacency{Full: 1}, Synced{}, Command{ID: 1, Verb: VerbStandby}, Shutdown{}} {
			fmt.Fprintf(&w, "%v\n", n.Step(t0, ev))
		}
		return w.Bytes()
	}
	first := run()
	for range 20 {
		if !bytes.Equal(first, run()) {
			t.Fatal("equal events, other actions")
		}
	}
}

func TestAStaleTimerDoesNothing(t *testing.T) {
	n := New(Memory{}, nil)
	n.Step(t0, Configured{Config: Config{Host: "n1"}})
	for k := TimerEcho; k <= TimerCoalesce; k++ {
		if out := n.Step(t0, TimerFired{Key: TimerKey{Kind: k, Service: "web", Router: r2}, Gen: 99}); len(out) > 0 {
			t.Errorf("timer %d: %v", k, out)
		}
	}
}

func TestAServiceStartedUnderAnotherConfigurationIsNotAdopted(t *testing.T) {
	for name, mark := range map[string]uint64{"the same": plain.shape(), "not known": 0} {
		n, s := table{cfg: plain}.node()
		s.phase, s.config, s.found = phaseFound, Inactive, &Mark{Service: "web", Claim: 7, Config: mark}
		s.result = &PrimitiveDone{}
		if !n.adoptable(s) {
			t.Errorf("configuration %s: not adopted", name)
		}
	}
	other := plain
	other.Addresses = []netip.Addr{netip.MustParseAddr("10.99.7.7")}
	n, s := table{cfg: other}.node()
	s.phase, s.config, s.found = phaseFound, Inactive, &Mark{Service: "web", Claim: 7, Config: plain.shape()}
	s.result = &PrimitiveDone{}
	if n.adoptable(s) {
		t.Error("adopted with an address it was not started with")
	}
}

func TestTheWaitForTheEchoOfTheDaemonGrows(t *testing.T) {
	n, _ := table{cfg: plain}.node()
	n.daemonDue = true
	n.Step(t0, Synced{})
	now := t0
	var waits []time.Duration
	for range 8 {
		for _, a := range n.Step(now, TimerFired{Key: TimerKey{Kind: TimerEcho}, Gen: n.timers[TimerKey{Kind: TimerEcho}]}) {
			if set, ok := a.(SetTimer); ok && set.Key.Kind == TimerEcho {
				waits = append(waits, set.At.Sub(now))
				now = set.At
			}
		}
	}
	want := []time.Duration{4, 8, 16, 32, 64, 64, 64, 64}
	for i := range want {
		want[i] *= time.Second
	}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Error(diff)
	}
}

// A claim that another acknowledged and that was not heard from who made it: it may
// begin when it is reached no more, and is feared until its own word tells of it.
func TestAClaimKnownByHearsayIsFeared(t *testing.T) {
	const r3 = r2 + 1
	claim := advert.NewClaim(11, r2)
	type does = func(*Node)
	word := func(r RouterID, generation uint32, change func(*advert.Service)) advert.Service {
		said := with(idle, change)
		said.Name, said.Stamp = "web", advert.Stamp{Incarnation: 5, Generation: generation}
		return said
	}
	says := func(r RouterID, generation uint32, change func(*advert.Service)) does {
		return func(n *Node) {
			said := word(r, generation, change)
			n.hear(LSASeen{Router: r, Ref: LSARef{Scope: ASScope, ID: generation << 16}, Body: advert.Body{Service: &said}})
		}
	}
	nothing := func(*advert.Service) {}
	claims := func(s *advert.Service) { s.State, s.Step, s.Claim = advert.Starting, advert.StepClaim, claim }
	acknowledges := func(s *advert.Service) { s.Seen = claim }
	reach := func(r RouterID, is bool) does {
		return func(n *Node) { n.reach(n.peer(r), func() { n.peer(r).area, n.peer(r).as = is, is }) }
	}
	later := func(d time.Duration) does { return func(n *Node) { n.now = n.now.Add(d) } }
	reexecuted := func(n *Node) {
		b, err := n.Export(n.now)
		if err != nil {
			t.Fatal(err)
		}
		next, err := Import(b, n.now)
		if err != nil {
			t.Fatal(err)
		}
		*n = *next
		for _, s := range n.services {
			n.bind(s)
		}
	}
	lostOSPF := func(n *Node) { n.ospfDown("it is killed") }
	insync := func(synced bool) does {
		return func(n *Node) {
			n.ospf.latched = synced
			if synced {
				n.ospf.latched = false
				n.latch()
			}
		}
	}
	gone := reach(r2, false)
	both := []advert.Service{idle, idle}
	for _, c := range []struct {
		name   string
		cfg    Service
		offers []advert.Service // of r2 and r3
		then   []does
		feared advert.Claim
	}{
		{"nobody acknowledged anything", disk, both, []does{gone}, 0},
		{"the other acknowledged its claim", disk, both, []does{says(r3, 2, acknowledges), gone}, claim},
		{"said the same again", disk, both, []does{says(r3, 2, acknowledges), says(r3, 3, acknowledges), gone}, claim},
		{"took that back, which is no word of who claims", disk, both, []does{says(r3, 2, acknowledges), says(r3, 3, nothing), gone}, claim},
		{"and was lost before", disk, both, []does{says(r3, 2, acknowledges), reach(r3, false), gone}, claim},
		{"when it was lost already", disk, both, []does{gone, says(r3, 2, acknowledges)}, claim},
		{"just after the other was lost, too", disk, both, []does{gone, reach(r3, false), says(r3, 2, acknowledges)}, claim},
		{"a plain service", plain, both, []does{says(r3, 2, acknowledges), gone}, 0},

		{"its claim was heard before, and that it gave it up", disk, both, []does{says(r2, 2, claims), says(r2, 3, nothing), says(r3, 2, acknowledges), gone}, 0},
		{"its claim is heard then, and that it gave it up", disk, both, []does{says(r3, 2, acknowledges), says(r2, 2, claims), says(r2, 3, nothing), gone}, 0},
		{"that it gave it up is heard first", disk, both, []does{says(r3, 2, acknowledges), says(r2, 3, nothing), says(r2, 2, claims), gone}, 0},
		{"its next word may be from before the claim", disk, both, []does{says(r3, 2, acknowledges), says(r2, 2, nothing), gone}, claim},
		{"not when it acknowledges the claim itself", disk, both, []does{says(r3, 2, acknowledges), says(r2, 3, acknowledges), gone}, 0},
		{"or a later one", disk, both, []does{says(r3, 2, acknowledges), says(r2, 3, func(s *advert.Service) { s.Seen = advert.NewClaim(12, r3) }), gone}, 0},
		{"or has, as one of a majority says", disk, both, []does{says(r3, 2, acknowledges), says(r2, 3, func(s *advert.Service) { s.Floor = claim }), gone}, 0},
		{"nor when what was said before the claim is long deleted", disk, both, []does{says(r3, 2, acknowledges), later(oldKept), says(r2, 3, nothing), gone}, 0},
		{"time alone settles nothing", disk, both, []does{says(r3, 2, acknowledges), later(time.Hour), gone}, claim},
		{"what was settled is not feared when it is said again", disk, both, []does{says(r3, 2, acknowledges), says(r2, 2, claims), says(r2, 3, nothing), says(r3, 3, nothing), says(r3, 4, acknowledges), gone}, 0},

		{"of one that was never reached nothing is believed", disk, nil, []does{node(r3), says(r3, 2, acknowledges)}, 0},
		{"but when it is", disk, nil, []does{node(r3), says(r3, 2, acknowledges), reach(r3, true)}, claim},
		{"who is reached and does not offer it is waited for at once", disk, nil, []does{node(r2), reach(r2, true), node(r3), reach(r3, true), says(r3, 2, acknowledges)}, claim},
		{"until it offers it, and its claim is still on its way", disk, nil, []does{node(r2), reach(r2, true), node(r3), reach(r3, true), says(r3, 2, acknowledges), says(r2, 1, nothing), gone}, claim},
		{"its offer settles the wait, for it is asked then", disk, nil, []does{node(r2), reach(r2, true), node(r3), reach(r3, true), says(r3, 2, acknowledges), says(r2, 1, nothing)}, 0},
		{"its claim the fear", disk, nil, []does{node(r2), reach(r2, true), node(r3), reach(r3, true), says(r3, 2, acknowledges), says(r2, 2, claims), says(r2, 3, nothing), gone}, 0},
		{"the database is not in sync yet", disk, both, []does{insync(false), says(r3, 2, acknowledges), gone, insync(true)}, claim},
		{"nor is anything of who claims in it", disk, nil, []does{insync(false), node(r3), reach(r3, true), says(r3, 2, acknowledges), insync(true)}, claim},

		{"and srrd re-executed itself", disk, both, []does{says(r3, 2, acknowledges), reexecuted, gone}, claim},
		{"and ospfd was lost", disk, both, []does{says(r3, 2, acknowledges), lostOSPF}, claim},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, _ := table{cfg: c.cfg, phase: phaseStopped, offers: c.offers}.node()
			for _, do := range c.then {
				do(n)
			}
			s := n.byName["web"]
			l := s.lostOf(r2)
			switch {
			case c.feared == 0 && l != nil:
				t.Errorf("it is waited for: %+v", l)
			case c.feared != 0 && (l == nil || l.claim != c.feared || l.until.IsZero() && n.ospf.up):
				t.Fatalf("it is not waited for: %+v, want its claim %s", l, c.feared)
			case c.feared != 0:
				if mark := n.Memory().Services["web"].MayRun[r2]; mark.Claim != c.feared {
					t.Errorf("the memory has %+v, want its claim %s", mark, c.feared)
				}
				want := l.host + " claimed it by the word of others only and may have started it"
				if v := n.viewService(s); !slices.Contains(v.Notices, want) {
					t.Errorf("people are told %q, want %q", v.Notices, want)
				}
			}
			if s.lostOf(r3) != nil {
				t.Error("the other one is waited for")
			}
		})
	}
}

// node has a router say that its srrd lives.
func node(r RouterID) func(*Node) {
	return func(n *Node) {
		n.hear(LSASeen{Router: r, Ref: LSARef{Scope: ASScope, ID: DaemonID}, Body: advert.Body{Node: &advert.Node{
			Stamp: advert.Stamp{Incarnation: 5, Generation: 1}, Host: fmt.Sprintf("n%d", 2+r-r2), State: advert.Online}}})
	}
}

// The memory has it before anything is lost: the node may be, first.
func TestTheMemoryHasAClaimKnownByHearsay(t *testing.T) {
	claim := advert.NewClaim(11, r2)
	n, s := table{cfg: disk, phase: phaseStopped, offers: []advert.Service{idle, with(idle, func(s *advert.Service) { s.Seen = claim })}}.node()
	if mark := n.Memory().Services["web"].MayRun[r2]; mark.Claim != claim || !n.saveDue {
		t.Errorf("the memory has %+v (to be written: %v), want the claim %s", mark, n.saveDue, claim)
	}
	n.saveDue = false
	said := with(idle, func(s *advert.Service) { s.Seen = claim })
	said.Name, said.Stamp = "web", advert.Stamp{Incarnation: 5, Generation: 2}
	n.hearService(n.peer(r2), LSARef{Scope: ASScope, ID: 1}, &said, false)
	if marks := n.Memory().Services["web"].MayRun; len(marks) > 0 || !n.saveDue || len(s.busy) > 0 {
		t.Errorf("its own word has settled it, and the memory has %+v (to be written: %v), busy are %d", marks, n.saveDue, len(s.busy))
	}
}
