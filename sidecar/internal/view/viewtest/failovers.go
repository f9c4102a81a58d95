package viewtest

import (
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// feedFailovers tells the builder of a start, a failover to this node, a
// failed one, and a move that is under way.
func feedFailovers(b *view.Builder) {
	b.Step(ago(24*time.Hour), machine.Configured{Config: machine.Config{Host: "n1"}}, nil)
	for host, id := range map[string]machine.RouterID{"n2": N2, "n4": N4} {
		b.Step(ago(24*time.Hour), machine.Reach{Router: id, Area: true, AS: true}, nil)
		b.Step(ago(24*time.Hour), machine.LSASeen{Router: id, Ref: ref(machine.DaemonID), Body: advert.Body{Node: &advert.Node{Host: host}}}, nil)
	}
	b.Step(ago(24*time.Hour), machine.Synced{}, nil)

	heard(b, 24*time.Hour, N2, "log", advert.Starting, advert.StepStart, 1)
	heard(b, 24*time.Hour-40*time.Millisecond, N2, "log", advert.Started, advert.StepNone, 2)

	// dns: n4 vanishes, this node takes it, and measures to the point.
	heard(b, 20*time.Hour, N4, "dns", advert.Started, advert.StepNone, 1)
	lost := 5*time.Minute + 2*time.Second
	dns := addrs("192.0.2.10", "192.0.2.11")
	b.Step(ago(lost), machine.Reach{Router: N4}, []machine.Action{
		own("dns", advert.Starting, advert.StepAddresses, 1, advert.Failure{}), machine.SetAddresses{Service: "dns", Addresses: dns, On: true},
		machine.RunPrimitive{Service: "dns", Primitive: machine.PrimStart, Run: 1},
	})
	b.Step(ago(lost-17*time.Millisecond), machine.PrimitiveDone{Service: "dns", Run: 1}, nil)
	b.Step(ago(lost-19*time.Millisecond-400*time.Microsecond), machine.Adjacency{}, []machine.Action{own("dns", advert.Started, advert.StepNone, 2, advert.Failure{})})

	b.Step(ago(1500*time.Millisecond), machine.Adjacency{}, []machine.Action{own("db", advert.Starting, advert.StepStart, 3, advert.Failure{})})
	b.Step(ago(300*time.Millisecond), machine.Adjacency{}, []machine.Action{
		own("db", advert.Failed, advert.StepNone, 4, advert.Failure{Code: advert.FailStart, Text: "mysqld: disk full"}),
	})

	b.Step(ago(time.Hour), machine.Adjacency{}, []machine.Action{own("mail", advert.Started, advert.StepNone, 5, advert.Failure{})})
	heard(b, 450*time.Millisecond, N2, "mail", advert.Starting, advert.StepClaim, 3)
}

func ref(slot uint32) machine.LSARef { return machine.LSARef{Scope: machine.ASScope, ID: slot} }

// heard is an LSA of another node.
func heard(b *view.Builder, before time.Duration, by machine.RouterID, name string, state advert.State, step advert.Step, generation uint32) {
	b.Step(ago(before), machine.LSASeen{Router: by, Ref: ref(1), Body: advert.Body{Service: &advert.Service{
		Stamp: advert.Stamp{Incarnation: 1, Generation: generation}, Name: name, State: state, Step: step,
	}}}, nil)
}

// own is the LSA by which this node says it.
func own(name string, state advert.State, step advert.Step, generation uint32, failure advert.Failure) machine.Action {
	s := advert.Service{Stamp: advert.Stamp{Incarnation: 1, Generation: generation}, Name: name, State: state, Step: step, Failure: failure}
	body, err := s.Append(nil)
	if err != nil {
		panic("viewtest: " + err.Error())
	}
	return machine.Originate{Ref: ref(1), Body: body}
}
