package sim_test

import (
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/sim"
)

// three is a cluster of three with these services on all of them, booted and
// come to rest.
func three(t *testing.T, config func(i int) machine.Config) *sim.Sim {
	t.Helper()
	o := sim.Options{Seed: 5, Trace: true, Routers: true, Dead: 4 * time.Second, Most: tooMuch}
	for i := range 3 {
		o.Nodes = append(o.Nodes, config(i))
	}
	s := sim.New(o)
	for i := range 3 {
		s.Boot(i)
	}
	s.Run(20 * time.Second)
	rest(t, s)
	return s
}

// web is a plain service with some preferences.
func web(preference ...uint8) func(int) machine.Config {
	return func(i int) machine.Config {
		c := network("web", "10.99.5.1")
		c.Preference = preference[i]
		return config(c)
	}
}

func ask(s *sim.Sim, i int, v machine.Verb, service, node string) {
	s.Command(i, machine.Command{Verb: v, Service: service, Node: node})
	s.Run(5 * time.Second)
}

// soon fails the test where the service does not run on that node before
// claim_timeout, in which nobody can have waited for another to claim.
func soon(t *testing.T, s *sim.Sim, service string, on int) {
	t.Helper()
	if !s.RunUntil(900*time.Millisecond, func() bool { r := s.Runs(service); return len(r) == 1 && r[0] == on }) {
		t.Fatalf("%s\n%s runs on %v, want %d at once", s.Trace(), service, s.Runs(service), on)
	}
}

func TestAFreshTieGoesToTheHighestRouterID(t *testing.T) {
	runs(t, three(t, web(100, 100, 100)), "web", 2)
}

func TestASymmetricServiceStaysWhereItWentWhenTheFirstNodeReturns(t *testing.T) {
	s := three(t, web(100, 100, 100))
	s.PowerOff(2)
	s.Run(5 * time.Second)
	runs(t, s, "web", 1)
	s.Boot(2)
	s.Run(20 * time.Second)
	runs(t, s, "web", 1)
	rest(t, s)
}

func TestAPinIsVoidWhenItsTargetStopsBeingACandidate(t *testing.T) {
	s := three(t, web(100, 100, 200))
	ask(s, 0, machine.VerbMove, "web", "n1")
	runs(t, s, "web", 0)
	s.PowerOff(0)
	s.Run(5 * time.Second)
	runs(t, s, "web", 2)
	s.Boot(0)
	s.Run(20 * time.Second)
	runs(t, s, "web", 2)
	rest(t, s)
}

func TestUnmoveLetsTheConfiguredPreferenceDecideAgain(t *testing.T) {
	s := three(t, web(100, 100, 200))
	ask(s, 0, machine.VerbMove, "web", "n1")
	runs(t, s, "web", 0)
	ask(s, 1, machine.VerbUnmove, "web", "")
	runs(t, s, "web", 2)
}

func TestAHeldServiceRunsNowhereUntilStart(t *testing.T) {
	s := three(t, web(100, 110, 120))
	ask(s, 0, machine.VerbStop, "web", "")
	runs(t, s, "web")
	s.PowerOff(2)
	s.Run(5 * time.Second)
	runs(t, s, "web")
	ask(s, 1, machine.VerbStart, "web", "")
	runs(t, s, "web", 1)
}

func TestANodeInStandbyIsNoCandidate(t *testing.T) {
	s := three(t, web(100, 110, 120))
	s.Command(2, machine.Command{Verb: machine.VerbStandby})
	soon(t, s, "web", 1)
	s.Command(1, machine.Command{Verb: machine.VerbStandby})
	soon(t, s, "web", 0)
	s.Command(2, machine.Command{Verb: machine.VerbOnline})
	soon(t, s, "web", 2)
}

func TestWhoFailedIsNoCandidateAndNobodyWaitsForIt(t *testing.T) {
	s := three(t, web(100, 110, 120))
	s.Script(2, "web", machine.PrimRestart, sim.Behaviour{Outcome: machine.OutcomeFailed})
	s.Command(2, machine.Command{Verb: machine.VerbRestart, Service: "web"})
	soon(t, s, "web", 1)
}

func TestANodeThatHoldsBackIsNoCandidate(t *testing.T) {
	s := three(t, func(i int) machine.Config {
		c := web(100, 110, 120)(i)
		c.Services[0].FailbackWait = 30 * time.Second
		return c
	})
	s.PowerOff(2)
	s.Run(5 * time.Second)
	runs(t, s, "web", 1)
	s.Boot(2)
	s.Run(20 * time.Second)
	runs(t, s, "web", 1) // and is not stopped for one that does not claim
	s.Run(20 * time.Second)
	runs(t, s, "web", 2)
}

// TestAHolderStopsForNobodyWhoDoesNotClaim: srrd of the target of a move hangs.
func TestAHolderStopsForNobodyWhoDoesNotClaim(t *testing.T) {
	s := three(t, web(100, 100, 100))
	s.Hang(1, 10*time.Second)
	ask(s, 0, machine.VerbMove, "web", "n2")
	runs(t, s, "web", 2)
	s.Run(10 * time.Second)
	runs(t, s, "web", 1)
}

// office is a group whose leader, lead, is the first critical member by name;
// aide, named before it, is not critical. The preferences of both differ by node.
func office(lead, aide, desk [3]uint8) func(int) machine.Config {
	return func(i int) machine.Config {
		a, b, d := network("aide", "10.99.6.1"), network("lead", "10.99.6.2"), network("desk", "10.99.6.3")
		a.Preference, b.Preference, d.Preference = aide[i], lead[i], desk[i]
		for _, v := range []*machine.Service{&a, &b, &d} {
			v.Group = "OFFICE"
		}
		b.Critical, d.Critical = true, true
		return config(a, d, b)
	}
}

var alike = [3]uint8{100, 100, 100}

func together(t *testing.T, s *sim.Sim, on int) {
	t.Helper()
	for _, m := range []string{"aide", "desk", "lead"} {
		runs(t, s, m, on)
	}
	rest(t, s)
}

func TestTheLowestPreferenceOfItsCriticalMembersIsAGroups(t *testing.T) {
	// The lowest of lead and desk: 50, 60, 10; aide, which is not critical, has
	// the highest on n1 and would win the highest of all for it.
	s := three(t, office([3]uint8{50, 60, 255}, [3]uint8{250, 5, 250}, [3]uint8{200, 70, 10}))
	together(t, s, 1)
	s.PowerOff(1)
	s.Run(10 * time.Second)
	together(t, s, 0)
	s.Boot(1)
	s.Run(20 * time.Second)
	together(t, s, 1)
}

func TestAMoveOfAnyMemberTakesTheWholeGroup(t *testing.T) {
	for _, member := range []string{"aide", "desk", "lead"} {
		s := three(t, office(alike, alike, alike))
		together(t, s, 2)
		ask(s, 1, machine.VerbMove, member, "n1")
		together(t, s, 0)
		ask(s, 2, machine.VerbMove, member, "n2")
		together(t, s, 1)
	}
}

func TestAGroupStartsUnderOneClaim(t *testing.T) {
	s := three(t, office(alike, alike, alike))
	for k := range 3 {
		claim := s.Service(s.Runs("lead")[0], "lead").Claim
		for _, m := range []string{"aide", "desk"} {
			if c := s.Service(s.Runs(m)[0], m).Claim; c != claim {
				t.Errorf("%s runs under claim %s, lead under %s", m, c, claim)
			}
		}
		ask(s, 0, machine.VerbMove, "lead", s.Config(k).Host)
	}
}

// TestMembersFoundElsewhereStop parts the cluster, so that each side runs the
// group; healed, one claim decides for all of its members.
func TestMembersFoundElsewhereStop(t *testing.T) {
	s := three(t, office(alike, alike, alike))
	for k := range 4 {
		s.Partition(k % 3)
		s.Run(10 * time.Second)
		// A member that starts anew on one side has a newer claim there than
		// its group has on the other.
		s.Command(k%3, machine.Command{Verb: machine.VerbRestart, Service: "aide"})
		s.Run(5 * time.Second)
		s.HealAll()
		s.Run(15 * time.Second)
		if on := s.Runs("lead"); len(on) != 1 {
			t.Fatalf("%s\nlead runs on %v", s.Trace(), on)
		}
		together(t, s, s.Runs("lead")[0])
	}
}

func TestANodeThatLacksACriticalMemberIsNoCandidateForItsGroup(t *testing.T) {
	s := three(t, func(i int) machine.Config {
		c := office(alike, alike, alike)(i)
		if i == 2 {
			c.Services = c.Services[:2] // no lead
		}
		return c
	})
	together(t, s, 1)
	s.PowerOff(1)
	soon(t, s, "lead", 0)
	s.Run(10 * time.Second)
	s.Boot(1)
	s.Run(20 * time.Second)
	together(t, s, 0)
	ask(s, 0, machine.VerbMove, "lead", "n2")
	together(t, s, 1)
	ask(s, 1, machine.VerbDisable, "desk", "")
	together(t, s, 0)
	ask(s, 0, machine.VerbDisable, "lead", "")
	for _, m := range []string{"aide", "desk", "lead"} {
		runs(t, s, m)
	}
}
