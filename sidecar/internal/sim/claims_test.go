package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/sim"
)

// ofMajority is a cluster of which a majority runs disk and the group VAULT.
func ofMajority(seed uint64, n int) *sim.Sim {
	o := sim.Options{Seed: seed, Trace: true, Dead: 3 * time.Second, Most: tooMuch}
	for i := range n {
		o.Nodes = append(o.Nodes, members(i, n))
	}
	return sim.New(o)
}

// TestClaimsOfMajoritiesRise: two majorities share a node, and what that one has
// acknowledged the later one must outdo, also where the shared node has
// restarted since.
func TestClaimsOfMajoritiesRise(t *testing.T) {
	s := ofMajority(77, 5)
	for i := range 5 {
		s.Boot(i)
	}
	s.Run(30 * time.Second)
	s.Command(0, machine.Command{Verb: machine.VerbMove, Service: "disk", Node: "n3"})
	s.Run(10 * time.Second)
	runs(t, s, "disk", 2)
	s.Isolate(1) // n2
	s.Run(time.Second)
	for _, n := range []string{"n4", "n5", "n3"} {
		s.Command(0, machine.Command{Verb: machine.VerbMove, Service: "disk", Node: n})
		s.Run(10 * time.Second)
	}
	runs(t, s, "disk", 2)
	before := s.Service(2, "disk").Claim
	s.Run(120 * time.Second) // n2 knows that the holder it lost runs nothing any more
	for _, i := range []int{0, 2, 3, 4} {
		s.PowerOff(i)
	}
	s.Run(2 * time.Second)
	s.HealAll()
	for _, i := range []int{0, 2, 3, 4} {
		s.Boot(i)
	}
	s.RunUntil(60*time.Second, func() bool {
		for i := range 5 {
			if s.Up(i) && s.Service(i, "disk").State == advert.Started {
				return true
			}
		}
		return false
	})
	on := s.Runs("disk")
	if len(on) != 1 {
		t.Fatalf("%s\ndisk runs on %v", s.Trace(), on)
	}
	if after := s.Service(on[0], "disk").Claim; after.Counter() <= before.Counter() {
		t.Fatalf("disk started on n%d under %s, after %s had been started and acknowledged", on[0]+1, after, before)
	}
}

// TestWhoHasNotRestartedTellsToo: the holder leaves in order, and all it said with
// it. Who has acknowledged its claim runs on, and tells the next.
func TestWhoHasNotRestartedTellsToo(t *testing.T) {
	s := ofMajority(78, 3)
	for i := range 3 {
		s.Boot(i)
	}
	s.Run(5 * time.Second)
	s.Isolate(1)
	s.Run(5 * time.Second)
	for _, n := range []string{"n1", "n3", "n1", "n3"} {
		s.Command(0, machine.Command{Verb: machine.VerbMove, Service: "disk", Node: n})
		s.Run(3 * time.Second)
	}
	runs(t, s, "disk", 2)
	before := s.Service(2, "disk").Claim
	s.Shutdown(2)
	s.Run(30 * time.Second)
	s.Command(0, machine.Command{Verb: machine.VerbStandby}) // n1 knows; n2 is to claim
	s.HealAll()
	s.Run(10 * time.Second)
	runs(t, s, "disk", 1)
	rest(t, s)
	if after := s.Service(1, "disk").Claim; after <= before {
		t.Fatalf("disk started on n2 under %s, after %s had been started and acknowledged", after, before)
	}
}

// TestClaimsRiseWhateverRestarts: nodes are parted, all the others reboot, and
// who was parted leads the next majority, over and over. That claims rise is an
// invariant of every simulation.
func TestClaimsRiseWhateverRestarts(t *testing.T) {
	rounds, starts := 0, 0
	for seed := range uint64(30) {
		s := ofMajority(seed, 5)
		for i := range 5 {
			s.Boot(i)
		}
		s.Run(5 * time.Second)
		for range 6 {
			rounds++
			apart := []int{s.Chance(5), s.Chance(5)}
			for _, i := range apart {
				s.Isolate(i)
			}
			s.Run(time.Duration(s.Chance(8000)) * time.Millisecond)
			for range s.Chance(3) {
				for _, name := range []string{"disk", "store"} {
					s.Command(s.Chance(5), machine.Command{Verb: machine.VerbMove, Service: name, Node: fmt.Sprintf("n%d", 1+s.Chance(5))})
				}
				s.Run(time.Duration(s.Chance(2000)) * time.Millisecond)
			}
			var down []int
			for i := range 5 {
				if slices.Contains(apart, i) {
					continue
				}
				switch s.Chance(8) {
				case 0:
					continue
				case 1:
					s.Shutdown(i)
					s.Run(100 * time.Millisecond)
				case 2:
					s.CrashSrrd(i)
				default:
					s.PowerOff(i)
				}
				down = append(down, i)
			}
			s.Run(time.Duration(s.Chance(300)) * time.Millisecond)
			early := s.Chance(2) == 0
			if early {
				s.HealAll()
			}
			for _, i := range down {
				s.Boot(i)
				s.StartSrrd(i)
				s.Run(time.Duration(s.Chance(1000)) * time.Millisecond)
			}
			s.HealAll()
			s.Run(time.Duration(s.Chance(12_000)) * time.Millisecond)
		}
		s.Run(60 * time.Second)
		if wrong := append(s.Violations(), s.Settled()...); len(wrong) > 0 {
			t.Fatalf("seed %d:\n%s\n%s", seed, storied(s.Trace()), strings.Join(wrong, "\n"))
		}
		starts += strings.Count(s.Trace(), "claims it anew")
	}
	t.Logf("%d rounds, %d claims were outdone", rounds, starts)
	if starts == 0 {
		t.Error("no claim was ever outdone: nothing was tried")
	}
}
