package sim_test

import (
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/sim"
)

func TestAServiceWithAFenceStartsNowhereUntilTheFenceHasSucceeded(t *testing.T) {
	o := sim.Options{Seed: 1, Trace: true, Routers: true, Dead: 4 * time.Second}
	for range 3 {
		disk := resource("disk")
		disk.Fence = true
		disk.Timeout[machine.PrimFence] = 10 * time.Second
		o.Nodes = append(o.Nodes, config(disk))
	}
	s := sim.New(o)
	for i := range 3 {
		s.Boot(i)
	}
	s.Run(20 * time.Second)
	at := s.Runs("disk")
	if len(at) != 1 {
		t.Fatalf("%s\ndisk runs on %v", s.Trace(), at)
	}
	for i := range 3 { // tried every 5 s: for a minute
		for range 12 {
			s.Script(i, "disk", machine.PrimFence, sim.Behaviour{Outcome: machine.OutcomeFailed})
		}
	}
	s.PowerOff(at[0])
	s.Run(45 * time.Second) // lost_hold is 14 s
	runs(t, s, "disk")
	s.Run(time.Minute)
	if got := s.Runs("disk"); len(got) != 1 || got[0] == at[0] {
		t.Fatalf("%s\ndisk runs on %v after the fence succeeded", s.Trace(), got)
	}
}
