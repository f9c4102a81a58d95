package sim_test

import (
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// TestClaimsOfMajoritiesRise: two majorities share a node, and what that one has
// acknowledged the later one must outdo, also where the shared node has
// restarted since.
func TestClaimsOfMajoritiesRise(t *testing.T) {
	s := cluster(77, 5, true, false)
	for i := range 5 {
		cfg := s.Config(i)
		for k := range cfg.Services {
			if cfg.Services[k].Name == "disk" {
				cfg.Services[k].Fence, cfg.Services[k].Members = false, 5
			}
		}
		s.Configure(i, cfg)
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
	} else {
		t.Logf("n%d %s after %s", on[0]+1, after, before)
	}
}
