package view_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
)

// watch tells a builder a story, a step each millisecond.
type watch struct {
	t   *testing.T
	b   view.Builder
	now time.Time
	gen uint32
}

const n1, n2, n3 = "n1", "n2", "n3"

var routers = map[string]machine.RouterID{n1: viewtest.N1, n2: viewtest.N2, n3: viewtest.N3}

// newWatch is n1, in sync with n2 and n3.
func newWatch(t *testing.T) *watch {
	w := &watch{t: t, now: viewtest.Now}
	w.do(machine.Configured{Config: machine.Config{Host: n1}})
	w.do(machine.OSPFUp{Router: viewtest.N1})
	for _, host := range []string{n2, n3} {
		w.arrive(host)
	}
	w.do(machine.Synced{})
	return w
}

func (w *watch) do(ev machine.Event, acts ...machine.Action) {
	w.now = w.now.Add(time.Millisecond)
	w.b.Step(w.now, ev, acts)
}

func (w *watch) arrive(host string) {
	w.do(machine.Reach{Router: routers[host], Area: true, AS: true})
	w.do(machine.LSASeen{Router: routers[host], Ref: daemonRef, Body: advert.Body{Node: &advert.Node{Host: host, State: advert.Online}}})
}

var (
	daemonRef  = machine.LSARef{Scope: machine.ASScope, ID: machine.DaemonID}
	serviceRef = machine.LSARef{Scope: machine.ASScope, ID: 1}
)

// says is an LSA of another node about the service web.
func (w *watch) says(host string, state advert.State, step advert.Step, change ...func(*advert.Service)) {
	w.do(machine.LSASeen{Router: routers[host], Ref: serviceRef, Body: advert.Body{Service: w.service(state, step, change)}})
}

func (w *watch) service(state advert.State, step advert.Step, change []func(*advert.Service)) *advert.Service {
	w.gen++
	s := &advert.Service{Stamp: advert.Stamp{Incarnation: 1, Generation: w.gen}, Name: "web", State: state, Step: step, Addresses: addresses}
	for _, c := range change {
		c(s)
	}
	return s
}

var addresses = viewtest.Snapshot().Service("mail").Addresses

// own is what the machine gives for its LSA about web.
func (w *watch) own(state advert.State, step advert.Step, change ...func(*advert.Service)) machine.Action {
	body, err := w.service(state, step, change).Append(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return machine.Originate{Ref: serviceRef, Body: body}
}

// takes is this node taking web at ev.
func (w *watch) takes(ev machine.Event) {
	on := machine.SetAddresses{Service: "web", Addresses: addresses, On: true}
	w.do(ev, on, w.own(advert.Starting, advert.StepAddresses))
	w.do(machine.AddressState{Addr: addresses[0], Present: true}, machine.RunPrimitive{Service: "web", Primitive: machine.PrimStart, Run: 7})
	w.do(machine.PrimitiveDone{Service: "web", Run: 7, Outcome: machine.OutcomeDone}, machine.Announce{Service: "web", Addresses: addresses, On: true})
	w.do(machine.HostRoute{Addr: addresses[0], Router: viewtest.N1, Present: true}, w.own(advert.Started, advert.StepNone))
}

// told writes what is known of the failovers, a line each.
func (w *watch) told() string {
	var b strings.Builder
	for _, f := range w.b.Snapshot(w.now, machine.View{}, view.Database{}).Failovers {
		fmt.Fprintf(&b, "%s %s %s>%s", f.Kind, f.Service, f.FromHost, f.ToHost)
		for _, p := range f.Phases() {
			fmt.Fprintf(&b, " %s %d", p.Name, p.Took.Milliseconds())
		}
		if f.Here {
			b.WriteString(", here")
		}
		if !f.Ended() {
			b.WriteString(", under way")
		}
		fmt.Fprintf(&b, ": %s", f.Cause)
		if f.Why != "" {
			fmt.Fprintf(&b, "; gave up: %s", f.Why)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func failure(s *advert.Service) {
	s.Failure = advert.Failure{Code: advert.FailCheck, Text: "503"}
}

func TestFailoversAreToldWithTheirPhases(t *testing.T) {
	gone := machine.Reach{Router: viewtest.N2}
	for _, c := range []struct {
		name string
		do   func(w *watch)
		want string
	}{
		{"this node takes over from one that became unreachable", func(w *watch) {
			w.says(n2, advert.Started, 0)
			w.takes(gone)
		}, "failover web n2>n1 claimed 0 cleared 0 started 2 announced 3, here: n2: the node is not reachable\n"},
		{"a strict claim waits for its rivals", func(w *watch) {
			w.says(n2, advert.Started, 0)
			w.do(gone, w.own(advert.Starting, advert.StepClaim))
			w.do(machine.Adjacency{})
			w.do(machine.TimerFired{}, machine.RunPrimitive{Service: "web", Primitive: machine.PrimStart, Run: 1})
			w.do(machine.PrimitiveDone{Service: "web", Run: 1, Outcome: machine.OutcomeDone}, w.own(advert.Started, 0))
		}, "failover web n2>n1 claimed 0 cleared 2 started 3 announced 3, here: n2: the node is not reachable\n"},
		{"srrd is gone when all its announcements are", func(w *watch) {
			second := machine.LSARef{Scope: machine.ASScope, ID: 1<<16 | machine.DaemonID}
			w.do(machine.LSASeen{Router: viewtest.N2, Ref: second, Body: advert.Body{Node: &advert.Node{Host: n2}}})
			w.says(n2, advert.Started, 0)
			w.do(machine.LSAGone{Router: viewtest.N2, Ref: daemonRef})
			w.takes(machine.LSAGone{Router: viewtest.N2, Ref: second})
		}, "failover web n2>n1 claimed 0 cleared 0 started 2 announced 3, here: n2: its srrd is gone though the router is reachable\n"},
		{"another node takes over, told by its LSAs", func(w *watch) {
			w.says(n2, advert.Started, 0)
			w.says(n2, advert.Failed, 0, failure)
			w.says(n3, advert.Starting, advert.StepClaim)
			w.says(n3, advert.Starting, advert.StepStart)
			w.says(n3, advert.Starting, advert.StepAnnounce)
			w.says(n3, advert.Started, 0)
		}, "failover web n2>n3 claimed 1 cleared 2 started 3 announced 4: n2: it failed there: check: 503\n"},
		{"steps that were passed over too fast to be told stay open", func(w *watch) {
			w.says(n2, advert.Started, 0)
			w.says(n3, advert.Stopped, 0)
			w.says(n2, advert.Failed, 0, failure)
			w.says(n3, advert.Started, 0)
		}, "failover web n2>n3 announced 1: n2: it failed there: check: 503\n"},
		{"a move begins with the claim, while the other still runs it", func(w *watch) {
			w.says(n2, advert.Started, 0)
			w.says(n3, advert.Starting, advert.StepClaim, func(s *advert.Service) { s.Pin = advert.Pin{Number: 1, Target: viewtest.N3} })
			w.says(n2, advert.Stopping, advert.StepStop)
			w.says(n2, advert.Stopped, 0)
			w.says(n3, advert.Starting, advert.StepAddresses)
			w.says(n3, advert.Started, 0)
		}, "move web n2>n3 claimed 0 cleared 3 announced 4: an operator moves it to n3\n"},
		{"the better candidate comes back", func(w *watch) {
			w.takes(machine.Synced{})
			w.says(n2, advert.Starting, advert.StepClaim)
			w.do(machine.Adjacency{}, w.own(advert.Stopping, advert.StepStop))
			w.says(n2, advert.Started, 0)
		}, "start web >n1 claimed 0 cleared 0 started 2 announced 3, here: nobody runs it\n" +
			"move web n1>n2 claimed 0 announced 2: n2 is the better candidate\n"},
		{"who fails to start gives up, and the next counts from the loss", func(w *watch) {
			w.says(n2, advert.Started, 0)
			w.do(gone, w.own(advert.Starting, advert.StepStart))
			w.do(machine.PrimitiveDone{Run: 1, Outcome: machine.OutcomeFailed}, w.own(advert.Failed, 0, func(s *advert.Service) {
				s.Failure = advert.Failure{Code: advert.FailStart}
			}))
			w.says(n3, advert.Starting, advert.StepStart)
		}, "failover web n2>n1 claimed 0, here: n2: the node is not reachable; gave up: it failed there: start\n" +
			"failover web n2>n3 claimed 2 cleared 2, under way: n2: the node is not reachable\n"},
		{"a claimant that vanishes gives up", func(w *watch) {
			w.says(n2, advert.Starting, advert.StepClaim)
			w.do(gone)
		}, "start web >n2 claimed 0: nobody runs it; gave up: the node is not reachable\n"},
		{"what an operator stopped everywhere was not lost", func(w *watch) {
			w.says(n2, advert.Started, 0)
			w.says(n2, advert.Stopped, 0, func(s *advert.Service) { s.Hold = advert.Hold{Number: 1, On: true} })
			w.takes(machine.Command{Verb: machine.VerbStart})
		}, "start web >n1 claimed 0 cleared 0 started 2 announced 3, here: nobody runs it\n"},
		{"a holder that comes back in time was not lost", func(w *watch) {
			w.says(n2, advert.Started, 0)
			w.do(gone)
			w.do(machine.Reach{Router: viewtest.N2, Area: true, AS: true})
			w.says(n3, advert.Starting, advert.StepClaim)
		}, "move web n2>n3 claimed 0, under way: n3 is the better candidate\n"},
		{"what ran before this node came is no failover", func(w *watch) {
			w.says(n2, advert.Started, 0)
			w.do(machine.OSPFDown{})
			w.do(machine.OSPFUp{Router: viewtest.N1})
			w.says(n3, advert.Starting, advert.StepClaim)
			w.arrive(n3)
			w.says(n3, advert.Started, 0)
			w.do(machine.Synced{})
		}, ""},
		{"an older copy of an LSA says nothing", func(w *watch) {
			w.says(n2, advert.Started, 0)
			w.gen -= 2
			w.says(n2, advert.Failed, 0, failure)
			w.gen += 2
			w.says(n3, advert.Starting, advert.StepClaim)
		}, "move web n2>n3 claimed 0, under way: n3 is the better candidate\n"},
		{"a node that only forwards packets holds nothing", func(w *watch) {
			w.says(n2, advert.Started, 0)
			w.do(machine.Reach{Router: 99})
			w.do(machine.LinkReach{Link: "eth0", Router: 99, Up: true})
			w.do(machine.LSASeen{Router: viewtest.N3, Ref: serviceRef, Err: "short"})
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWatch(t)
			c.do(w)
			if diff := cmp.Diff(c.want, w.told()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyTheLastFailoversAreKeptAndAllAreReported(t *testing.T) {
	w := newWatch(t)
	var ended []view.Failover
	w.b.OnFailover = func(f view.Failover) { ended = append(ended, f) }
	const moves = 3*view.MaxFailovers + 1
	var early []view.Failover
	for i := range moves {
		host, other := n2, n3
		if i%2 == 1 {
			host, other = n3, n2
		}
		w.says(host, advert.Starting, advert.StepClaim)
		w.says(host, advert.Started, 0)
		w.says(other, advert.Stopped, 0)
		if i == 9 {
			early = w.b.Snapshot(w.now, machine.View{}, view.Database{}).Failovers
		}
	}
	kept := w.b.Snapshot(w.now, machine.View{}, view.Database{}).Failovers
	if len(kept) != view.MaxFailovers || kept[0].Seq != moves-view.MaxFailovers+1 || kept[len(kept)-1].Seq != moves {
		t.Errorf("kept %d, from %d to %d", len(kept), kept[0].Seq, kept[len(kept)-1].Seq)
	}
	if len(ended) != moves {
		t.Errorf("%d were reported, want %d", len(ended), moves)
	}
	if len(early) != 10 || early[0].Seq != 1 {
		t.Errorf("an early snapshot has changed: %d, the first is %d", len(early), early[0].Seq)
	}
}
