package sim_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/sim"
)

// formed is a cluster of three that has come to rest.
func formed(t *testing.T, seed uint64, routers bool) *sim.Sim {
	t.Helper()
	s := cluster(seed, 3, true, routers)
	for i := range 3 {
		s.Boot(i)
	}
	s.Run(20 * time.Second)
	rest(t, s)
	return s
}

// rest fails the test where the cluster is not as it should be.
func rest(t *testing.T, s *sim.Sim) {
	t.Helper()
	if wrong := append(s.Violations(), s.Settled()...); len(wrong) > 0 {
		t.Fatalf("%s\n%v", s.Trace(), wrong)
	}
}

// runs fails the test where the service does not run on just that node.
func runs(t *testing.T, s *sim.Sim, service string, on ...int) {
	t.Helper()
	if got := s.Runs(service); !slices.Equal(got, on) {
		t.Fatalf("%s\n%s runs on %v, want %v", s.Trace(), service, got, on)
	}
}

func TestAClusterFormsAndEachServiceRunsOnce(t *testing.T) {
	s := formed(t, 1, false)
	for _, name := range []string{"asym", "disk", "live", "lone", "web"} {
		if on := s.Runs(name); len(on) != 1 {
			t.Errorf("%s runs on %v", name, on)
		}
	}
	runs(t, s, "asym", 2) // the highest preference
}

func TestASilentNodeLossMovesPlainServicesAtOnceAndStrictOnesAfterLostHold(t *testing.T) {
	s := formed(t, 2, false)
	s.Command(0, machine.Command{Verb: machine.VerbMove, Service: "disk", Node: "n3"})
	s.Run(10 * time.Second)
	runs(t, s, "disk", 2)
	runs(t, s, "asym", 2)
	s.PowerOff(2)
	s.Run(time.Second)
	runs(t, s, "asym", 1)
	runs(t, s, "disk")
	s.Run(48 * time.Second)
	runs(t, s, "disk")
	s.Run(5 * time.Second)
	if on := s.Runs("disk"); len(on) != 1 {
		t.Fatalf("disk runs on %v after lost_hold", on)
	}
	s.Boot(2)
	s.Run(30 * time.Second)
	runs(t, s, "asym", 2) // asymmetric: back to the best
	rest(t, s)
}

func TestSrrdThatReturnsAtOnceAdoptsWhatNobodyTook(t *testing.T) {
	s := formed(t, 3, false)
	on := s.Runs("disk")
	before := s.Quiet()
	s.CrashSrrd(on[0])
	s.StartSrrd(on[0])
	s.Run(10 * time.Second)
	runs(t, s, "disk", on[0])
	if s.Service(on[0], "disk").State != advert.Started {
		t.Errorf("disk is %s", s.Service(on[0], "disk").State)
	}
	if before <= 0 {
		t.Errorf("not quiet before: %s", before)
	}
	rest(t, s)
}

func TestAPartitionHealsToOneRunner(t *testing.T) {
	s := formed(t, 4, true)
	s.Partition(0)
	s.Run(10 * time.Second)
	if on := s.Runs("web"); len(on) != 2 {
		t.Fatalf("a plain service runs on %v of two parts", on)
	}
	if on := s.Runs("disk"); len(on) != 1 {
		t.Fatalf("a resource runs on %v within lost_hold", on)
	}
	s.HealAll()
	s.Run(20 * time.Second)
	for _, name := range []string{"web", "disk", "asym", "live", "lone"} {
		if on := s.Runs(name); len(on) != 1 {
			t.Errorf("%s runs on %v after healing", name, on)
		}
	}
	rest(t, s)
}

func TestAHolderThatFlapsWithinRejoinHoldIsStillFeared(t *testing.T) {
	s := formed(t, 5, true)
	s.Command(0, machine.Command{Verb: machine.VerbMove, Service: "disk", Node: "n1"})
	s.Run(10 * time.Second)
	runs(t, s, "disk", 0)
	s.Partition(0)
	s.Run(40 * time.Second) // within lost_hold
	for range 10 {
		s.HealAll()
		s.Run(700 * time.Millisecond) // reachable again, not for rejoin_hold
		s.Partition(0)
		s.Run(10 * time.Second)
	}
	runs(t, s, "disk", 0)
	s.HealAll()
	s.Run(20 * time.Second)
	rest(t, s)
}

func TestOspfdLossStopsAndJoinsAsNew(t *testing.T) {
	s := formed(t, 6, false)
	runs(t, s, "asym", 2)
	s.KillOSPFd(2)
	s.Run(time.Second)
	runs(t, s, "asym", 1)
	s.StartOSPFd(2)
	s.Run(30 * time.Second)
	runs(t, s, "asym", 2)
	rest(t, s)
}

func TestShutdownInOrderHandsOverWithoutWaiting(t *testing.T) {
	s := formed(t, 7, false)
	runs(t, s, "asym", 2)
	s.Shutdown(2)
	s.Run(time.Second)
	if s.Up(2) {
		t.Error("srrd of n3 has not ended")
	}
	runs(t, s, "asym", 1)
	if on := s.Runs("disk"); len(on) != 1 || on[0] == 2 {
		t.Errorf("disk runs on %v: a node that left in order is not waited for", on)
	}
	rest(t, s)
}

func TestAFailingServiceMovesAndComesBackOnProbation(t *testing.T) {
	s := formed(t, 8, false)
	runs(t, s, "asym", 2)
	fail := sim.Behaviour{Outcome: machine.OutcomeFailed}
	s.Script(2, "asym", machine.PrimRestart, fail)
	s.Command(2, machine.Command{Verb: machine.VerbRestart, Service: "asym"})
	s.Run(time.Second)
	runs(t, s, "asym", 1)
	s.Run(70 * time.Second)
	runs(t, s, "asym", 1) // on probation it takes no running service
	s.Command(2, machine.Command{Verb: machine.VerbReactivate, Service: "asym"})
	s.Run(5 * time.Second)
	runs(t, s, "asym", 2)
	rest(t, s)
}

func TestAFailedStopOfAResourceBlocksUntilConfirmed(t *testing.T) {
	s := formed(t, 9, false)
	on := s.Runs("disk")[0]
	other := (on + 1) % 3
	s.Script(on, "disk", machine.PrimStop, slices.Repeat([]sim.Behaviour{{Outcome: machine.OutcomeFailed}}, 20)...)
	s.Command(on, machine.Command{Verb: machine.VerbStandby})
	s.Run(50 * time.Second)
	runs(t, s, "disk", on)
	s.PowerOff(on) // now it surely does not run
	s.Run(100 * time.Second)
	runs(t, s, "disk") // but nobody knows
	for i := range 3 {
		if i != on {
			s.Command(i, machine.Command{Verb: machine.VerbConfirmStopped, Service: "disk", Node: []string{"n1", "n2", "n3"}[on]})
		}
	}
	s.Run(5 * time.Second)
	if got := s.Runs("disk"); len(got) != 1 {
		t.Errorf("disk runs on %v after confirm-stopped told to n%d and the third", got, other+1)
	}
	rest(t, s)
}

func TestWhoHangsIsPassedOverAfterClaimTimeout(t *testing.T) {
	s := formed(t, 10, true)
	runs(t, s, "asym", 2)
	s.Hang(1, 10*time.Second) // the second best
	s.PowerOff(2)
	s.Run(900 * time.Millisecond)
	runs(t, s, "asym")
	s.Run(600 * time.Millisecond)
	runs(t, s, "asym", 0)
	s.Run(20 * time.Second)
	runs(t, s, "asym", 1)
	noViolation(t, s)
}

// A machine that was frozen does not know how long the others have waited.
func TestAStrictHolderThatStoodStillForHalfOfLostHoldStopsFirst(t *testing.T) {
	for _, tc := range []struct {
		name  string
		still time.Duration
		stops bool
	}{
		{"for less, it keeps the service", 5 * time.Second, false},
		{"for more, it stops it first", 40 * time.Second, true}, // of 50 s: dead interval and stop timeout
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := formed(t, 3, true)
			at := s.Runs("disk")
			if len(at) != 1 {
				t.Fatalf("disk runs on %v", at)
			}
			s.Hang(at[0], tc.still)
			s.Run(tc.still + 500*time.Millisecond)
			stopped := strings.Contains(s.Trace(), "disk: stops it: the node stood still for longer than half of lost_hold")
			if stopped != tc.stops {
				t.Fatalf("%s\nstopped first: %t, want %t", s.Trace(), stopped, tc.stops)
			}
			s.Run(2 * time.Minute)
			rest(t, s)
		})
	}
}
