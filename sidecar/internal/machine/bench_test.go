package machine

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

const services = 1000

// large is a node that knows of nodes peers, and of 1,000 services each of
// which offerers nodes offer and one runs it, this one local of them.
func large(tb testing.TB, nodes, offerers, local int) (*Node, []Event) {
	tb.Helper()
	n := New(Memory{}, nil)
	cfg := Config{Host: "n1", Scope: ASScope, ClaimTimeout: time.Second}
	word := func(i int) advert.Service {
		return advert.Service{Name: fmt.Sprintf("s%03d", i), Preference: 100, State: advert.Stopped,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 99, byte(i >> 8), byte(i)})}}
	}
	for i := range local {
		s := plain
		s.Name, s.Enabled, s.Addresses = word(i).Name, true, word(i).Addresses
		cfg.Services = append(cfg.Services, s)
	}
	n.Step(t0, Configured{Config: cfg})
	n.Step(t0, OSPFUp{Router: r1})
	gen := make([]uint32, nodes+2)
	say := func(peer, i int, st advert.State) LSASeen {
		gen[peer]++
		s := word(i)
		s.State, s.Claim = st, advert.NewClaim(7, RouterID(0x0a010000+peer))
		s.Stamp = advert.Stamp{Incarnation: 1, Generation: gen[peer]}
		return LSASeen{Router: RouterID(0x0a010000 + peer), Ref: LSARef{Scope: ASScope, ID: uint32(gen[peer]%256)<<16 | uint32(1000+i)}, Body: advert.Body{Service: &s}}
	}
	for p := 1; p <= nodes; p++ {
		r := RouterID(0x0a010000 + p)
		n.Step(t0, Reach{Router: r, Area: true, AS: true})
		n.Step(t0, LSASeen{Router: r, Ref: LSARef{Scope: ASScope, ID: DaemonID}, Body: advert.Body{Node: &advert.Node{Stamp: advert.Stamp{Incarnation: 1}, Host: fmt.Sprintf("n%d", p), State: advert.Online}}})
	}
	for i := range services {
		n.Step(t0, say(1+i%nodes, i, advert.Started))
		for k := 1; k < offerers; k++ {
			n.Step(t0, say(1+(i+k)%nodes, i, advert.Stopped))
		}
	}
	n.Step(t0, Adjacency{Full: 1})
	n.Step(t0, Synced{})
	for _, s := range n.services {
		if s.cfg != nil && s.run != nil {
			n.Step(t0, PrimitiveDone{Service: s.name, Run: s.run.id})
		}
	}
	for range 2 {
		for _, s := range n.services {
			if s.topic != nil {
				b, err := advert.Decode(s.topic.raw)
				if err != nil {
					tb.Fatal(err)
				}
				n.Step(t0, LSASeen{Router: r1, Ref: s.topic.ref, Raw: s.topic.raw, Body: b})
			}
		}
	}
	n.Step(t0.Add(time.Second), TimerFired{Key: TimerKey{Kind: TimerHolding}, Gen: n.timers[TimerKey{Kind: TimerHolding}]})
	var events []Event
	for k := range 4000 {
		i := k * 7 % services
		st := advert.Started
		if k >= 2000 {
			st = advert.Stopped
		}
		events = append(events, say(1+i%nodes, i, []advert.State{st, advert.Stopping}[k/1000%2]))
	}
	return n, events
}

// BenchmarkStep takes the word of one peer about one service. Where all offer
// all, this node offers every service too.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct{ nodes, offerers, local int }{{10, 2, 100}, {100, 2, 100}, {1000, 2, 100}, {10, 10, 1000}, {100, 100, 1000}, {1000, 1000, 1000}} {
		b.Run(fmt.Sprintf("nodes=%d/services=1000/offerers=%d/local=%d", c.nodes, c.offerers, c.local), func(b *testing.B) {
			before := heap()
			n, events := large(b, c.nodes, c.offerers, c.local)
			if len(n.services) != services || len(n.peers) < c.nodes {
				b.Fatalf("%d services, %d nodes", len(n.services), len(n.peers))
			}
			perLSA := float64(heap()-before) / float64(services*c.offerers)
			b.ReportAllocs()
			var took []time.Duration
			now := t0.Add(time.Minute)
			for i := 0; b.Loop(); i++ {
				e := again(n, events[i%len(events)])
				now = now.Add(time.Millisecond)
				at := time.Now()
				n.Step(now, e)
				if len(took) < 1<<20 {
					took = append(took, time.Since(at))
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "ns-median")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "ns-99th")
			b.ReportMetric(perLSA, "heap-B/LSA")
		})
	}
}

// again is an event under a stamp newer than all the router said.
func again(n *Node, ev Event) Event {
	e := ev.(LSASeen)
	s := *e.Body.Service
	s.Stamp = n.byRouter[e.Router].of[n.byName[s.Name]].said.Stamp
	s.Generation++
	e.Body.Service = &s
	return e
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkManyServices takes one event that concerns all 1,000 services of a
// peer: it is unreachable, or reachable again; its srrd says standby, or
// online. The time is that of one of the services.
func BenchmarkManyServices(b *testing.B) {
	for _, c := range []struct{ nodes, offerers int }{{10, 10}, {100, 100}, {1000, 1000}} {
		for _, what := range []string{"reach", "standby"} {
			b.Run(fmt.Sprintf("%s/nodes=%d/services=1000/offerers=%d", what, c.nodes, c.offerers), func(b *testing.B) {
				n, _ := large(b, c.nodes, c.offerers, services)
				peer := n.peers[len(n.peers)/2]
				var took []time.Duration
				now := t0.Add(time.Minute)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					now = now.Add(time.Millisecond)
					var e Event = Reach{Router: peer.id, Area: i%2 == 1, AS: i%2 == 1}
					if what == "standby" {
						a := *peer.node
						a.Generation++
						a.State = []advert.NodeState{advert.Standby, advert.Online}[i%2]
						e = LSASeen{Router: peer.id, Ref: LSARef{Scope: ASScope, ID: DaemonID}, Body: advert.Body{Node: &a}}
					}
					at := time.Now()
					n.Step(now, e)
					took = append(took, time.Since(at))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/services, "ns-median/service")
				b.ReportMetric(float64(took[len(took)-1].Nanoseconds())/services, "ns-max/service")
			})
		}
	}
}
