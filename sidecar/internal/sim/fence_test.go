package sim_test

import (
	"fmt"
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

// A node that comes back among neighbours knows who is reachable only when ospfd
// has calculated it. Until then it must not shoot who took its services over.
func TestWhoComesBackDoesNotFenceTheNewHolder(t *testing.T) {
	for _, tc := range []struct {
		name string
		gone func(*sim.Sim, int)
		back func(*sim.Sim, int)
	}{
		{"from a reboot", (*sim.Sim).PowerOff, (*sim.Sim).Boot},
		{"from having been cut off", (*sim.Sim).Isolate, func(s *sim.Sim, i int) { s.HealAll(); s.Boot(i) }},
		{"from an ospfd that was killed", (*sim.Sim).KillOSPFd, func(s *sim.Sim, i int) { s.StartOSPFd(i); s.Boot(i) }},
	} {
		for _, after := range []time.Duration{0, time.Second} {
			t.Run(fmt.Sprintf("%s, fence_after %s", tc.name, after), func(t *testing.T) {
				o := sim.Options{Seed: 3, Trace: true, Routers: true, Dead: 4 * time.Second}
				for i := range 3 {
					disk := resource("disk")
					disk.Fence, disk.FenceAfter, disk.Preference = true, after, uint8(100+i)
					disk.Timeout[machine.PrimFence] = 10 * time.Second
					o.Nodes = append(o.Nodes, config(disk))
				}
				s := sim.New(o)
				for i := range 3 {
					s.Boot(i)
				}
				s.Run(20 * time.Second)
				runs(t, s, "disk", 2)
				tc.gone(s, 2)
				s.Run(20 * time.Second)
				runs(t, s, "disk", 1)
				s.LateSPF(2, 3*time.Second)
				tc.back(s, 2)
				if s.RunUntil(time.Minute, func() bool { return !s.Up(1) }) {
					t.Fatalf("%s\nthe new holder was fenced", s.Trace())
				}
				runs(t, s, "disk", 2) // the best, handed over in order
				rest(t, s)
			})
		}
	}
}
