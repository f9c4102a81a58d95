package metrics

import (
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

type addr = netip.Addr

// Step counts one event, which the owner took at now, and the actions that
// came of it; it is called when the ports have them. Only the owner calls it.
func (c *Collector) Step(now time.Time, ev machine.Event, acts []machine.Action) {
	n := c.counts
	n.took.Observe(max(0, c.opt.Now().Sub(now)).Seconds())
	per(n.perEvent, n.events, ev).Inc()
	n.hear(now, ev)
	for _, a := range acts {
		per(n.perAction, n.actions, a).Inc()
		n.act(now, a)
	}
}

// per finds the counter of a type of event or action.
func per(known map[reflect.Type]prometheus.Counter, all *prometheus.CounterVec, v any) prometheus.Counter {
	t := reflect.TypeOf(v)
	c := known[t]
	if c == nil {
		c = all.WithLabelValues(snake(t.Name()))
		known[t] = c
	}
	return c
}

func (n *counts) hear(now time.Time, ev machine.Event) {
	switch e := ev.(type) {
	case machine.OSPFUp:
		n.self = e.Router
		n.ospfUp = true
		n.connects.WithLabelValues(daemonOSPF).Inc()
	case machine.OSPFDown:
		if n.ospfUp {
			n.losses.WithLabelValues(daemonOSPF).Inc()
		}
		n.ospfUp = false
		clear(n.given)
		clear(n.unseen)
	case machine.ZebraUp:
		n.zebraUp = true
		n.connects.WithLabelValues(daemonZebra).Inc()
	case machine.ZebraDown:
		if n.zebraUp {
			n.losses.WithLabelValues(daemonZebra).Inc()
		}
		n.zebraUp = false
	case machine.OriginateDone:
		n.originated.WithLabelValues(resultWord(e.Result)).Inc()
		since(n, n.given, e.Ref, tripOriginate, now)
	case machine.LSASeen:
		if e.Router == n.self {
			since(n, n.unseen, e.Ref, tripEcho, now)
		}
	case machine.RouteState:
		if e.State == machine.RouteInstalled {
			since(n, n.wanted, trip{tripRoute, e.Addr}, tripRoute, now)
		}
	case machine.AddressState:
		if e.Present {
			since(n, n.wanted, trip{tripAddress, e.Addr}, tripAddress, now)
		}
	case machine.PrimitiveDone:
		p, ok := n.running[e.Run]
		if !ok {
			return
		}
		delete(n.running, e.Run)
		n.runs.WithLabelValues(e.Service, p.String(), strings.ReplaceAll(e.Outcome.String(), " ", "_")).Inc()
		n.ran.with(p.String()).Observe(e.Took.Seconds())
	case machine.Command:
		n.asked[e.ID] = e.Verb
	}
}

func (n *counts) act(now time.Time, act machine.Action) {
	switch a := act.(type) {
	case machine.Originate:
		begin(n.given, a.Ref, now)
		begin(n.unseen, a.Ref, now)
	case machine.Flush:
		delete(n.unseen, a.Ref)
	case machine.SetAddresses:
		for _, x := range a.Addresses {
			if a.On {
				begin(n.wanted, trip{tripAddress, x}, now)
			} else {
				delete(n.wanted, trip{tripAddress, x})
			}
		}
	case machine.Announce:
		for _, x := range a.Addresses {
			if a.On {
				begin(n.wanted, trip{tripRoute, x}, now)
			} else {
				delete(n.wanted, trip{tripRoute, x})
			}
		}
	case machine.RunPrimitive:
		if len(n.running) < maxOpen {
			n.running[a.Run] = a.Primitive
		}
	case machine.Note:
		n.notes.WithLabelValues(a.Level.String()).Inc()
	case machine.Answer:
		verb, ok := n.asked[a.ID]
		if !ok {
			return
		}
		delete(n.asked, a.ID)
		outcome := outcomeDone
		if a.Err != "" {
			outcome = outcomeFailed
		}
		n.commands.WithLabelValues(verb.String(), outcome).Inc()
	}
}

// begin notes that something was asked for. What was asked for twice counts
// from the first.
func begin[K comparable](open map[K]time.Time, k K, now time.Time) {
	if _, ok := open[k]; !ok && len(open) < maxOpen {
		open[k] = now
	}
}

// since takes the answer.
func since[K comparable](n *counts, open map[K]time.Time, k K, what string, now time.Time) {
	if at, ok := open[k]; ok {
		delete(open, k)
		n.trips.with(what).Observe(max(0, now.Sub(at)).Seconds())
	}
}

func resultWord(r machine.OriginateResult) string {
	switch r {
	case machine.OriginateOK:
		return "ok"
	case machine.OriginateRetry:
		return "retry"
	case machine.OriginateRefused:
		return "refused"
	}
	return "unknown"
}
