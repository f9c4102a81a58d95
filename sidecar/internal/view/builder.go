package view

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Builder makes snapshots. The zero value is ready for use.
type Builder struct {
	// OnFailover, if set before the first Step, is called by it with each
	// failover that ends; it must not block.
	OnFailover func(Failover)

	events    eventLog
	failovers failovers
	addresses map[netip.Addr]*Address
	routes    map[netip.Addr]*Route
}

// Step takes note of one event and the actions that the machine gave for it.
func (b *Builder) Step(now time.Time, ev machine.Event, acts []machine.Action) {
	if b.addresses == nil {
		b.addresses, b.routes = map[netip.Addr]*Address{}, map[netip.Addr]*Route{}
	}
	b.hear(now, ev)
	b.failovers.ended = b.OnFailover
	b.failovers.step(now, ev, acts)
	for _, act := range acts {
		switch a := act.(type) {
		case machine.SetAddresses:
			for _, addr := range a.Addresses {
				f := b.address(addr)
				f.Service, f.Wanted = a.Service, a.On
				b.forgetAddress(f)
			}
		case machine.Announce:
			for _, addr := range a.Addresses {
				f := b.route(addr)
				f.Service, f.Wanted = a.Service, a.On
				b.forgetRoute(f)
			}
		case machine.Note:
			b.Note(now, a.Level, a.Service, a.Text)
		}
	}
}

// Note adds an event of the daemon's own.
func (b *Builder) Note(now time.Time, level machine.Level, service, text string) {
	b.events.append(Event{At: now, Level: level, Service: service, Text: text})
}

// Snapshot makes a snapshot. v must not share anything with the machine.
func (b *Builder) Snapshot(now time.Time, v machine.View, db Database) *Snapshot {
	s := &Snapshot{Taken: now, Machine: v, LSDB: db, Events: b.events.last(), Failovers: b.failovers.list()}
	for _, f := range b.addresses {
		s.Addresses = append(s.Addresses, *f)
	}
	for _, f := range b.routes {
		s.Routes = append(s.Routes, *f)
	}
	slices.SortFunc(s.Addresses, func(x, y Address) int { return x.Addr.Compare(y.Addr) })
	slices.SortFunc(s.Routes, func(x, y Route) int { return x.Addr.Compare(y.Addr) })
	return s
}

func (b *Builder) hear(now time.Time, ev machine.Event) {
	switch e := ev.(type) {
	case machine.AddressState:
		f := b.address(e.Addr)
		if f.Present != e.Present || f.Err != e.Err || f.Since.IsZero() {
			f.Since = now
		}
		f.Present, f.Err = e.Present, e.Err
		b.forgetAddress(f)
	case machine.RouteState:
		f := b.route(e.Addr)
		word := standingWord(e.State)
		if f.Standing != word || f.Text != e.Text {
			f.Since = now
		}
		f.Standing, f.Text = word, e.Text
		b.forgetRoute(f)
	case machine.ZebraDown:
		// Whatever it said is void; what is wanted is said again.
		for _, f := range b.routes {
			f.Standing, f.Text, f.Since = "", cmp.Or(e.Why, "no session with zebra"), now
			b.forgetRoute(f)
		}
	}
}

func (b *Builder) address(a netip.Addr) *Address {
	f := b.addresses[a]
	if f == nil {
		f = &Address{Addr: a}
		b.addresses[a] = f
	}
	return f
}

func (b *Builder) route(a netip.Addr) *Route {
	f := b.routes[a]
	if f == nil {
		f = &Route{Addr: a}
		b.routes[a] = f
	}
	return f
}

// forgetAddress drops what is neither wanted nor there and gave no error.
func (b *Builder) forgetAddress(f *Address) {
	if !f.Wanted && !f.Present && f.Err == "" {
		delete(b.addresses, f.Addr)
	}
}

func (b *Builder) forgetRoute(f *Route) {
	if !f.Wanted && (f.Standing == "" || f.Standing == standingWord(machine.RouteRemoved)) {
		delete(b.routes, f.Addr)
	}
}

func standingWord(s machine.RouteStanding) string {
	switch s {
	case machine.RouteRemoved:
		return "removed"
	case machine.RouteInstalled:
		return "installed"
	case machine.RouteBeaten:
		return "beaten"
	case machine.RouteFailed:
		return "failed"
	}
	return "unknown"
}
