package sim_test

import (
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/sim"
)

func TestAFrozenServiceIsNeitherRestartedNorMovedUntilUnfreeze(t *testing.T) {
	s := groupCluster(11)
	at := whole(t, s, 10*time.Second, "disk", "apache", "count")
	to := (at + 1) % 3
	s.Command(to, machine.Command{Verb: machine.VerbFreeze, Service: "apache"})
	s.Run(time.Second)
	s.Command(to, machine.Command{Verb: machine.VerbMove, Service: "disk", Node: s.Config(to).Host})
	s.Run(5 * time.Second)
	if got := whole(t, s, time.Second, "disk", "apache", "count"); got != at {
		t.Fatalf("a frozen group moved to node %d", got)
	}
	if v := s.Service(at, "disk"); v.Want != "stay" || v.Code != "frozen" {
		t.Errorf("disk: want %s, %s", v.Want, v.Code)
	}
	s.Command(at, machine.Command{Verb: machine.VerbUnfreeze, Service: "disk"})
	s.Run(time.Second)
	if got := whole(t, s, 5*time.Second, "disk", "apache", "count"); got != to {
		t.Fatalf("the group did not move to node %d when unfrozen but to %d\n%s", to, got, tail(s))
	}
	noViolation(t, s)
}

func TestANodeInMaintenanceKeepsWhatItRunsAndTakesNothing(t *testing.T) {
	s := formed(t, 12, true)
	runs(t, s, "asym", 2)
	s.Command(1, machine.Command{Verb: machine.VerbMaintenance})
	s.Command(2, machine.Command{Verb: machine.VerbMaintenance})
	s.Run(time.Second)
	s.Break(2, "web")
	s.Command(0, machine.Command{Verb: machine.VerbMove, Service: "asym", Node: "n1"})
	s.Run(90 * time.Second)
	runs(t, s, "asym", 2)
	if v := s.Service(0, "asym"); v.Code != "frozen-there" {
		t.Errorf("asym on n1: %s (%s)", v.Why, v.Code)
	}
	s.PowerOff(2) // present no more
	s.Run(time.Second)
	runs(t, s, "asym", 0)
	s.Command(1, machine.Command{Verb: machine.VerbOnline})
	s.Run(5 * time.Second)
	if v := s.Service(1, "asym"); v.State != advert.Stopped && v.State != advert.Started {
		t.Errorf("asym on n2 is %s", v.State)
	}
	noViolation(t, s)
}

func TestAFrozenClusterStartsNothingUntilAnyNodeUnfreezesIt(t *testing.T) {
	s := formed(t, 13, true)
	s.Command(0, machine.Command{Verb: machine.VerbClusterFreeze})
	s.Run(time.Second)
	s.PowerOff(2)
	s.Run(10 * time.Second)
	runs(t, s, "asym")
	if v := s.View(1); !v.Freeze.On || s.Service(1, "asym").Code != "cluster-frozen" {
		t.Errorf("n2: freeze %+v, asym %s", v.Freeze, s.Service(1, "asym").Why)
	}
	s.Command(1, machine.Command{Verb: machine.VerbClusterUnfreeze})
	s.Run(time.Second)
	runs(t, s, "asym", 1)
	noViolation(t, s)
}

func TestDrainIsAnsweredWhenNothingRunsThereAnyMore(t *testing.T) {
	s := formed(t, 14, true)
	s.Script(2, "asym", machine.PrimStop, sim.Behaviour{After: 3 * time.Second})
	s.Command(2, machine.Command{Verb: machine.VerbDrain})
	s.Run(time.Second)
	if v := s.View(2); len(v.Draining) != 1 || v.Draining[0] != "asym" {
		t.Fatalf("still here: %v", v.Draining)
	}
	if w := s.Waiting(2); w != 1 {
		t.Fatalf("%d commands wait", w)
	}
	s.Run(5 * time.Second)
	if w := s.Waiting(2); w != 0 || len(s.View(2).Draining) != 0 {
		t.Errorf("%d commands wait, still here: %v", w, s.View(2).Draining)
	}
	noViolation(t, s)
}
