package sim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/sim"
)

// webGroup is the example of the thesis: the resource disk, the service apache
// that depends on it, both critical, and a counter nobody would miss.
func webGroup(int) machine.Config {
	disk, apache, count := resource("disk"), network("apache", "10.99.1.1"), network("count", "10.99.1.2")
	for _, s := range []*machine.Service{&disk, &apache, &count} {
		s.Group = "WEB"
	}
	disk.Critical, apache.Critical = true, true
	apache.Dependencies = []string{"disk"}
	return config(apache, count, disk)
}

func groupCluster(seed uint64) *sim.Sim {
	o := sim.Options{Seed: seed, Trace: true, Routers: true, Dead: 4 * time.Second, Most: tooMuch}
	for i := range 3 {
		o.Nodes = append(o.Nodes, webGroup(i))
	}
	s := sim.New(o)
	for i := range 3 {
		s.Boot(i)
	}
	return s
}

// whole waits until all of the group runs on one node, and says which.
func whole(t *testing.T, s *sim.Sim, within time.Duration, members ...string) int {
	t.Helper()
	at := -1
	if !s.RunUntil(within, func() bool {
		at = -1
		for _, m := range members {
			r := s.Runs(m)
			if len(r) != 1 || at >= 0 && at != r[0] || s.Service(r[0], m).State != advert.Started {
				return false
			}
			at = r[0]
		}
		return true
	}) {
		t.Fatalf("the group does not run whole after %s: %v %v %v\n%s", within, s.Runs("disk"), s.Runs("apache"), s.Runs("count"), tail(s))
	}
	return at
}

func tail(s *sim.Sim) string {
	tr := s.Trace()
	if len(tr) > 6000 {
		tr = tr[len(tr)-6000:]
	}
	return tr
}

func noViolation(t *testing.T, s *sim.Sim) {
	t.Helper()
	for _, v := range s.Violations() {
		t.Error(v)
	}
}

func TestAGroupStartsOnOneNodeAndMovesWhole(t *testing.T) {
	s := groupCluster(1)
	at := whole(t, s, 10*time.Second, "disk", "apache", "count")
	to := (at + 1) % 3
	s.Command(to, machine.Command{ID: 1, Verb: machine.VerbMove, Service: "apache", Node: s.Config(to).Host})
	s.Run(time.Second)
	if got := whole(t, s, 5*time.Second, "disk", "apache", "count"); got != to {
		t.Fatalf("the group moved to node %d, want %d\n%s", got, to, tail(s))
	}
	noViolation(t, s)
}

func TestACriticalFailureTakesTheGroupAlongAndAnotherDoesNot(t *testing.T) {
	s := groupCluster(2)
	at := whole(t, s, 10*time.Second, "disk", "apache", "count")
	s.Script(at, "count", machine.PrimCheck, sim.Behaviour{Outcome: machine.OutcomeFailed})
	s.Command(at, machine.Command{ID: 1, Verb: machine.VerbStop, Service: "count"})
	s.Run(2 * time.Second)
	if got := whole(t, s, time.Second, "disk", "apache"); got != at || len(s.Runs("count")) != 0 {
		t.Fatalf("stopping a member nobody needs moved the group to %d, count on %v", got, s.Runs("count"))
	}
	s.Command(at, machine.Command{ID: 2, Verb: machine.VerbStart, Service: "count"})
	whole(t, s, 5*time.Second, "disk", "apache", "count")
	s.Script(at, "apache", machine.PrimRestart, sim.Behaviour{Outcome: machine.OutcomeFailed})
	s.Command(at, machine.Command{ID: 3, Verb: machine.VerbRestart, Service: "apache"})
	s.Run(3 * time.Second)
	if got := whole(t, s, 10*time.Second, "disk", "apache", "count"); got == at {
		t.Fatalf("a critical member failed on node %d and the group stayed\n%s", at, tail(s))
	}
	noViolation(t, s)
}

// Each LSA is work for every router and node in the middle of a move. Those that
// are needed: the pin, the claims, the holder's words that nothing runs any more
// and that all has stopped, the acknowledgements of the third, and starting and
// started.
func TestAPlannedMoveFloodsNoMoreThanIsDecidedFrom(t *testing.T) {
	const needed = 1 + 2 + 1 + 2 + 2 + 4
	said, counts := 0, false
	o := sim.Options{Seed: 1, Trace: true, Routers: true, Most: tooMuch, Observe: func(_ int, does []machine.Action) {
		for _, a := range does {
			if _, ok := a.(machine.Originate); ok && counts {
				said++
			}
		}
	}}
	for range 3 {
		disk, store := resource("disk"), network("store", "10.99.1.1")
		disk.Group, store.Group, disk.Critical, store.Critical = "STORE", "STORE", true, true
		store.Dependencies = []string{"disk"}
		o.Nodes = append(o.Nodes, config(disk, store))
	}
	s := sim.New(o)
	for i := range 3 {
		s.Boot(i)
		for range 2 {
			for _, name := range []string{"disk", "store"} {
				s.Script(i, name, machine.PrimStart, sim.Behaviour{After: time.Millisecond})
				s.Script(i, name, machine.PrimStop, sim.Behaviour{After: time.Millisecond})
			}
		}
	}
	at := whole(t, s, 10*time.Second, "disk", "store")
	s.Run(5 * time.Second)
	counts = true
	to := (at + 1) % 3
	s.Command(at, machine.Command{ID: 1, Verb: machine.VerbMove, Service: "disk", Node: s.Config(to).Host})
	if !s.RunUntil(time.Second, func() bool { return s.Service(to, "store").State == advert.Started }) {
		t.Fatalf("it did not move\n%s", tail(s))
	}
	if said != needed {
		t.Errorf("%d LSAs were said until it had moved, want %d\n%s", said, needed, tail(s))
	}
	s.Run(time.Second)
	for i := range 3 {
		for _, name := range []string{"disk", "store"} {
			for _, o := range s.Service(i, name).Offers {
				if o.State == advert.Starting || o.State == advert.Stopping || o.Step != advert.StepNone {
					t.Errorf("a second later node %d has it that %s is %s, %s on %s", i, name, o.State, o.Step, o.Host)
				}
			}
		}
	}
	noViolation(t, s)
}

// Two members may have one address, as a web server and what listens for
// it at another port: it goes with the last of them.
func TestAnAddressOfTwoMembersStaysWhileOneHasIt(t *testing.T) {
	for _, overlap := range []bool{false, true} {
		t.Run(fmt.Sprintf("overlap %t", overlap), func(t *testing.T) { anAddressOfTwoMembers(t, overlap) })
	}
}

func anAddressOfTwoMembers(t *testing.T, overlap bool) {
	withdrawn := 0
	o := sim.Options{Seed: 3, Trace: true, Routers: true, Most: tooMuch, Observe: func(_ int, does []machine.Action) {
		for _, a := range does {
			if a, ok := a.(machine.Announce); ok && !a.On {
				withdrawn++
			}
		}
	}}
	for range 3 {
		front, web := network("front", "10.99.1.1"), network("web", "10.99.1.1")
		front.Group, web.Group, web.Critical = "WEB", "WEB", true
		front.Overlap, web.Overlap = overlap, overlap
		front.Dependencies = []string{"web"}
		o.Nodes = append(o.Nodes, config(front, web))
	}
	s := sim.New(o)
	for i := range 3 {
		s.Boot(i)
	}
	at := whole(t, s, 10*time.Second, "web", "front")
	stays := func(what string) {
		t.Helper()
		if s.RunUntil(10*time.Second, func() bool { return s.Service(at, "web").State != advert.Started }) {
			t.Errorf("%s, and the other member is %s\n%s", what, s.Service(at, "web").State, tail(s))
		}
		if withdrawn > 0 {
			t.Errorf("%s, and what the other one has is withdrawn\n%s", what, tail(s))
		}
		if strings.Contains(s.Trace(), "still show its addresses") {
			t.Errorf("%s, and waited for what the other one has\n%s", what, tail(s))
		}
	}
	s.Command(at, machine.Command{ID: 1, Verb: machine.VerbStop, Service: "front"})
	if !s.RunUntil(100*time.Millisecond, func() bool { return s.Service(at, "front").State == advert.Stopped }) {
		t.Errorf("it is %s\n%s", s.Service(at, "front").State, tail(s))
	}
	stays("one is stopped")
	s.Command(at, machine.Command{ID: 2, Verb: machine.VerbStart, Service: "front"})
	whole(t, s, 5*time.Second, "web", "front")
	s.Script(at, "front", machine.PrimRestart, sim.Behaviour{Outcome: machine.OutcomeFailed})
	s.Command(at, machine.Command{ID: 3, Verb: machine.VerbRestart, Service: "front"})
	stays("one has failed")
	s.Command(at, machine.Command{ID: 4, Verb: machine.VerbReactivate, Service: "front"})
	whole(t, s, 5*time.Second, "web", "front")

	// Where all of the group goes, nobody is to come for the one that stops last.
	s.Script(at, "front", machine.PrimStop, sim.Behaviour{After: time.Second})
	to := (at + 1) % 3
	s.Command(to, machine.Command{ID: 5, Verb: machine.VerbMove, Service: "web", Node: s.Config(to).Host})
	if !s.RunUntil(5*time.Second, func() bool {
		return s.Service(at, "web").State == advert.Stopping && s.Service(at, "front").State == advert.Stopping
	}) {
		t.Fatalf("it does not move\n%s", tail(s))
	}
	if withdrawn == 0 {
		t.Errorf("the group stops, and its address is announced on\n%s", tail(s))
	}
	if got := whole(t, s, 5*time.Second, "web", "front"); got != to {
		t.Errorf("it moved to node %d, want %d\n%s", got, to, tail(s))
	}
	noViolation(t, s)
}
