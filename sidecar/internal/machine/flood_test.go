package machine

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// A field that is said on the wire and forgotten in the comparison would never
// be flooded when it changes.
func TestAChangeOfAnyWordIsSeen(t *testing.T) {
	values := map[reflect.Type]any{
		reflect.TypeFor[[]string]():       []string{"x"},
		reflect.TypeFor[[]netip.Addr]():   []netip.Addr{netip.MustParseAddr("10.99.0.7")},
		reflect.TypeFor[time.Time]():      t0,
		reflect.TypeFor[advert.Stamp]():   advert.Stamp{Generation: 1},
		reflect.TypeFor[advert.Failure](): advert.Failure{Text: "x"},
		reflect.TypeFor[advert.Pin]():     advert.Pin{Left: 1},
		reflect.TypeFor[advert.Hold]():    advert.Hold{On: true},
		reflect.TypeFor[advert.Digest]():  advert.Digest{1},
	}
	for i := range reflect.TypeFor[advert.Service]().NumField() {
		var a, b advert.Service
		f := reflect.ValueOf(&b).Elem().Field(i)
		name := reflect.TypeFor[advert.Service]().Field(i).Name
		switch v, ok := values[f.Type()]; {
		case ok:
			f.Set(reflect.ValueOf(v))
		case f.CanUint():
			f.SetUint(1)
		case f.CanInt():
			f.SetInt(1)
		case f.Kind() == reflect.String:
			f.SetString("x")
		default:
			t.Fatalf("%s: teach this test about %s", name, f.Type())
		}
		if sameWords(&a, &b) {
			t.Errorf("%s differs and is not compared", name)
		}
		if !sameWords(&b, &b) {
			t.Errorf("%s is equal and not found so", name)
		}
	}
}

// Ids that were used when the clock was a year ahead would not rest before that
// year is over, and nearly every word would wait for one.
func TestIdsUsedInTheFutureRestFromNowOn(t *testing.T) {
	used := map[uint8]time.Time{}
	for g := range 256 {
		used[uint8(g)] = t0.AddDate(1, 0, 0)
	}
	n := New(Memory{Incarnation: 7, Slots: map[string]SlotMemory{"web": {ID: 3, Used: used}, "old": {ID: 0, Freed: t0.AddDate(1, 0, 0)}}}, nil)
	n.now = t0
	sl := n.slotOf("web")
	if n.slotOf("new").id == 0 || n.free(sl) != 0 {
		t.Fatalf("at once: %d free", n.free(sl))
	}
	n.now = t0.Add(idRest)
	if free, id := n.free(sl), n.slotOf("newer").id; free != 256 || id != 0 {
		t.Errorf("%v later: %d free, id %d", idRest, free, id)
	}
}

// checking is a node that runs web, checks it every second and may flood what it
// finds.
func checking() (*Node, *service) {
	n := New(Memory{}, nil)
	n.Step(t0, Configured{Config: Config{Host: "n1", Services: []Service{{Name: "web", Enabled: true, Interval: time.Second}}}})
	s := n.service("web")
	s.config, s.phase = Active, phaseStarted
	n.ospf.up, n.ospf.latched = true, true
	n.router, n.inc = 1, 1
	return n, s
}

// A check stamp is wall time. Of two under one generation readers believe the
// later, so after the clock was set back it takes a new generation.
func TestAStampAfterTheClockWasSetBackIsSaidAnew(t *testing.T) {
	n, s := checking()
	body := func(checked time.Time) *advert.Service {
		t.Helper()
		n.out = nil
		n.now = n.now.Add(time.Minute)
		s.checked = checked
		n.flood(s)
		for _, a := range n.out {
			if o, ok := a.(Originate); ok {
				b, err := advert.Decode(o.Body)
				if err != nil || b.Service == nil {
					t.Fatal(err)
				}
				return b.Service
			}
		}
		t.Fatal("nothing is said")
		return nil
	}
	first := body(t0)
	if next := body(t0.Add(time.Second)); next.Stamp != first.Stamp {
		t.Errorf("a later one is said under %v, want in place under %v", next.Stamp, first.Stamp)
	}
	if back := body(t0.AddDate(-1, 0, 0)); !back.Stamp.Newer(first.Stamp) || !back.LastCheck.Equal(t0.AddDate(-1, 0, 0)) {
		t.Errorf("one a year earlier is said under %v, want a newer one than %v", back.Stamp, first.Stamp)
	}
}

// At rest no more is flooded than a check stamp every five seconds, also where
// the clock is set back over and over, by a little or by much.
func TestAClockThatIsSetBackFloodsNoMoreThanCheckStamps(t *testing.T) {
	for _, tc := range []struct {
		name string
		back time.Duration // before every check
		most int           // LSAs in a minute of checks, after the first
		newG bool
	}{
		{"not at all", 0, 12, false},
		{"by a millisecond more than has passed", time.Second + time.Millisecond, 0, false},
		{"by a millisecond", time.Millisecond, 12, false},
		{"by an hour", time.Hour, 12, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, s := checking()
			wall, said, first := t0.Add(1000*time.Hour), 0, LSARef{}
			var last time.Time
			for range 61 {
				n.now, wall = n.now.Add(time.Second), wall.Add(time.Second-tc.back)
				n.out, s.checked = nil, wall
				delete(n.timers, s.timer(TimerStamp)) // as if it had fired
				n.flood(s)
				for _, a := range n.out {
					o, ok := a.(Originate)
					switch {
					case !ok:
					case last.IsZero():
						first, last = o.Ref, n.now
					default:
						if n.now.Sub(last) < stampEvery {
							t.Fatalf("%s after the one before", n.now.Sub(last))
						}
						if (o.Ref != first) != tc.newG {
							t.Errorf("said as %s, first as %s", o.Ref, first)
						}
						last = n.now
						said++
					}
				}
			}
			if said > tc.most || tc.most > 0 && said < tc.most-1 {
				t.Errorf("%d LSAs in a minute, want %d", said, tc.most)
			}
		})
	}
}

// However often a deletion is put off or brought forward, it happens once, at
// the time named last.
func TestADeletionHappensOnceAtTheTimeNamedLast(t *testing.T) {
	n := New(Memory{}, nil)
	n.now, n.ospf.up = t0, true
	last := map[LSARef]time.Time{}
	for i := range 2000 {
		ref := LSARef{Scope: ASScope, ID: uint32(i * 7919 % 61)}
		at := t0.Add(time.Duration(i*104729%997) * time.Second)
		n.flushLater(ref, at)
		last[ref] = at
	}
	deleted := map[LSARef]time.Time{}
	for len(n.flushes) > 0 {
		due := n.due[TimerKey{Kind: TimerFlush}]
		if due.After(n.flushes[0].at) {
			t.Fatalf("the timer is set for %s, and the next deletion is due at %s", due, n.flushes[0].at)
		}
		n.now, n.out = n.flushes[0].at, nil
		n.flushDue()
		for _, a := range n.out {
			if f, ok := a.(Flush); ok {
				if _, twice := deleted[f.Ref]; twice {
					t.Fatalf("%s is deleted twice", f.Ref)
				}
				deleted[f.Ref] = n.now
			}
		}
	}
	if len(n.flushAt) > 0 || len(deleted) != len(last) {
		t.Fatalf("%d of %d deletions happened, %d are left", len(deleted), len(last), len(n.flushAt))
	}
	for ref, at := range last {
		if !deleted[ref].Equal(at) {
			t.Errorf("%s was deleted at %s, want %s", ref, deleted[ref], at)
		}
	}
}

// A step that only people read is no LSA of its own while the next one comes
// soon, and one when it lasts.
func TestAStepThatOnlyPeopleReadIsSaidWithTheNextWordsOrSoon(t *testing.T) {
	n, s := table{cfg: plain, phase: phaseAddresses}.node()
	n.flood(s)
	s.topic.echoed = true
	first := s.topic.ref
	step := func(p phase, after time.Duration) bool {
		was := s.topic.ref
		s.phase, n.now = p, n.now.Add(after)
		if at, set := n.due[s.timer(TimerCoalesce)]; set && !at.After(n.now) {
			n.cancelTimer(s.timer(TimerCoalesce)) // it has fired
		}
		n.flood(s)
		return s.topic.ref != was
	}
	if step(phaseStart, time.Millisecond) || !n.timerSet(s.timer(TimerCoalesce)) || s.topic.ref != first {
		t.Fatal("the step start is said at once")
	}
	if step(phaseStart, unhurried-time.Millisecond) {
		t.Fatal("it is said before its time")
	}
	if !step(phaseStart, time.Millisecond) {
		t.Fatalf("after %s it is not said", unhurried)
	}
	s.topic.echoed = true
	if step(phaseAnnounce, time.Millisecond) {
		t.Fatal("the step announce is said at once")
	}
	if !step(phaseStarted, time.Millisecond) || n.timerSet(s.timer(TimerCoalesce)) {
		t.Fatal("started waits, or is to be said twice")
	}
	// What is over again before it was said is not waited for any more.
	s.topic.echoed = true
	step(phaseDependents, time.Second)
	s.topic.echoed = true
	step(phaseLinger, time.Millisecond)
	step(phaseDependents, time.Millisecond)
	back := step(phaseLinger, unhurried-time.Millisecond)
	if back || step(phaseLinger, unhurried-time.Millisecond) || !step(phaseLinger, time.Millisecond) {
		t.Error("its time counts from when it was first so")
	}
	// While ospfd does not even show what it was given it gets no more to do.
	for at := unhurried; at < coalesce; at += unhurried {
		if step(phaseStop, unhurried) {
			t.Fatalf("%s after words that ospfd has not shown it is given more that can wait", at)
		}
	}
	if !step(phaseStop, unhurried) {
		t.Error("an ospfd that shows nothing is told nothing more")
	}
}

// A thousand services that start at once are in each step for longer than a step
// may wait; to flood them all would make it longer still.
func TestStepsOfManyServicesAreSaidOneAfterTheOther(t *testing.T) {
	const many = 100
	n, _ := table{cfg: plain, phase: phaseStopped}.node()
	var all []*service
	for i := range many {
		s := n.service(fmt.Sprintf("s%03d", i))
		cfg := plain
		cfg.Name, s.cfg, s.config, s.phase = s.name, &cfg, Active, phaseAddresses
		n.flood(s)
		s.topic.echoed, s.phase = true, phaseStart
		n.flood(s)
		all = append(all, s)
	}
	said := func() (count int) {
		for _, s := range all {
			if s.topic.words.Step == advert.StepStart {
				count++
			}
		}
		return count
	}
	began, last := n.now, 0
	for at := time.Duration(0); last < many; at += time.Millisecond {
		n.now = began.Add(at)
		for _, s := range all {
			if due, set := n.due[s.timer(TimerCoalesce)]; set && !due.After(n.now) {
				n.cancelTimer(s.timer(TimerCoalesce))
				n.flood(s)
			}
		}
		want := 0
		if at >= unhurried {
			want = min(many, 1+int((at-unhurried)/unhurriedGap))
		}
		if last = said(); last != want {
			t.Fatalf("after %s %d are said, want %d", at, last, want)
		}
	}
}

// Whoever hears a step late must decide as he would have decided.
func TestOnlyAStepThatNobodyDecidesFromMayWait(t *testing.T) {
	exclusive := plain
	exclusive.Exclusive = true
	for _, cfg := range []Service{plain, disk, exclusive} {
		for from := range phaseCount {
			for to := range phaseCount {
				n, s := table{cfg: cfg, phase: from, claim: advert.NewClaim(3, r1)}.node()
				n.flood(s)
				was := s.topic.words
				s.phase = to
				a := n.advert(s)
				if !n.mayWait(s, s.topic, a) {
					continue
				}
				now := wordsOf(a)
				hears := func(said advert.Service) string {
					n, s := table{cfg: cfg, phase: phaseClaim, claim: advert.NewClaim(4, r1), offers: []advert.Service{said}}.node()
					o := s.offers[0]
					asked, hinders := o.asked()
					clear, awhile := n.mayBegin(s)
					return fmt.Sprint(n.decide(s), asked, hinders, clear, awhile, n.obstacles(s), o.mayRun(), o.feared(), o.mark(), n.bestClaim(n.unit(s)), n.acknowledged(n.unit(s), said.Claim))
				}
				if a, b := hears(was), hears(now); a != b {
					t.Errorf("%s (strict: %v) may wait after %s:\n  %s\n  %s", to, s.strict(), from, a, b)
				}
			}
		}
	}
}

// A better claimant begins when nothing runs here any more: an LSA that says it is
// being stopped is only in the way of the one that says so.
func TestAHolderThatYieldsSaysSoWithItsEnd(t *testing.T) {
	overlap := plain
	overlap.Overlap = true
	for _, tc := range []struct {
		name   string
		cfg    Service
		change func(*Node, *service)
		waits  bool
		phase  phase
	}{
		{"a plain service for a better claimant", plain, nil, true, phaseStop},
		{"a resource for a better claimant", disk, nil, true, phaseStop},
		{"one that may run twice", overlap, func(_ *Node, s *service) { s.yieldDue = true }, false, phaseLinger},
		{"a resource that a person stops", disk, func(_ *Node, s *service) { s.hold.On = true }, false, phaseStop},
		{"a resource whose node is cut off", disk, func(n *Node, _ *service) { n.ospf.full = 0 }, false, phaseStop},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.cfg.Linger = time.Second
			n, s := table{cfg: tc.cfg, phase: phaseStarted, claim: advert.NewClaim(5, r1), offers: []advert.Service{idle}}.node()
			s.ranStart = true
			n.flood(s)
			s.topic.echoed = true
			first := s.topic.ref
			better := betterIt
			better.Name, better.Stamp = "web", advert.Stamp{Incarnation: 5, Generation: 2}
			if tc.cfg.Overlap {
				better.State, better.Step = advert.Started, advert.StepNone
			}
			if tc.change != nil {
				tc.change(n, s)
			}
			n.hearService(n.peer(r2), LSARef{Scope: ASScope, ID: 1 << 16}, &better, false)
			n.plan(s)
			n.flood(s)
			if s.phase != tc.phase || (s.topic.ref == first) != tc.waits {
				t.Fatalf("it is %s, and that is to wait: %v; said: %s", s.phase, tc.waits, s.topic.words.State)
			}
			if !tc.waits {
				return
			}
			if at, set := n.due[s.timer(TimerCoalesce)]; !set || !at.Equal(n.now.Add(unhurried)) {
				t.Errorf("a stop that lasts is to be said after %s", unhurried)
			}
			s.run, s.result = nil, &PrimitiveDone{Service: "web", Outcome: OutcomeDone}
			n.plan(s)
			n.flood(s)
			w := s.topic.words
			if s.topic.ref == first || serves(w.State, w.Step) || s.strict() && w.Seen != better.Claim {
				t.Errorf("when nothing runs any more it is said that it is %s, %s, and %s acknowledged", w.State, w.Step, w.Seen)
			}
		})
	}
}

// Who hears late that a holder yields decides as he would have decided.
func TestNobodyDecidesFromAHolderThatYields(t *testing.T) {
	claim, better := advert.NewClaim(5, r2), advert.NewClaim(9, r3)
	says := advert.Service{State: advert.Starting, Step: advert.StepClaim, Preference: 200, Claim: better}
	for _, cfg := range []Service{plain, disk} {
		first := cfg
		first.Preference = 200
		for name, of := range map[string]table{
			"a third":      {cfg: cfg, phase: phaseStopped, offers: []advert.Service{{}, says}},
			"the claimant": {cfg: first, phase: phaseClaim, claim: advert.NewClaim(9, r1), offers: []advert.Service{{}, idle}},
		} {
			hears := func(said advert.Service) string {
				said.Preference, said.Claim = 100, claim
				of.offers[0] = said
				n, s := of.node()
				o := s.offers[0]
				asked, hinders := o.asked()
				clear, awhile := n.mayBegin(s)
				return fmt.Sprint(n.decide(s), asked, hinders, clear, awhile, n.obstacles(s), o.mayRun(), o.feared(), o.mark(), n.bestClaim(n.unit(s)), n.acknowledged(n.unit(s), claim))
			}
			was := hears(advert.Service{State: advert.Started, Seen: claim})
			for _, step := range []advert.Step{advert.StepDependents, advert.StepLinger, advert.StepStop} {
				if is := hears(advert.Service{State: advert.Stopping, Step: step, Seen: better}); is != was {
					t.Errorf("%s decides from the step %s (strict: %v):\n  %s\n  %s", name, step, cfg.Resource(), was, is)
				}
			}
		}
	}
}

// A pin that others have from who gave it is copied without haste, one of our own
// is said at once, of a group once.
func TestACopyOfAPinMayWait(t *testing.T) {
	pin := advert.Pin{Number: 7, Target: r2}
	heard := idle
	heard.Pin = pin
	n, s := table{cfg: plain, phase: phaseStopped, offers: []advert.Service{heard}}.node()
	s.pin = advert.Pin{}
	n.flood(s)
	s.topic.echoed = true
	n.takePin(s, pin)
	if said := s.topic.ref; true {
		if n.flood(s); s.topic.ref != said {
			t.Error("the copy is said at once")
		}
		n.newPin(s, advert.Pin{Target: r1})
		if n.flood(s); s.topic.ref == said {
			t.Error("one of our own waits")
		}
	}
	n, s = table{cfg: plain, phase: phaseStopped}.node()
	s.cfg.Group = "G"
	other := n.service("x")
	cfg := *s.cfg
	cfg.Name = "x"
	other.cfg, other.config, other.phase = &cfg, Active, phaseStopped
	n.index(s)
	n.index(other)
	n.flood(s)
	n.flood(other)
	first, second := s.topic.ref, other.topic.ref
	n.newPin(s, advert.Pin{Target: r1})
	n.flood(s)
	n.flood(other)
	if s.topic.ref == first || other.topic.ref != second || !n.timerSet(other.timer(TimerCoalesce)) {
		t.Error("of a group the pin is to be said by one member at once, and by the others soon")
	}
}
