package sim

import (
	"fmt"
	"strings"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Describe is an event as one line of words.
func Describe(ev machine.Event) string {
	switch e := ev.(type) {
	case machine.OSPFUp:
		return fmt.Sprintf("session with ospfd, router id %s", e.Router)
	case machine.OSPFDown:
		return "no session with ospfd: " + e.Why
	case machine.Synced:
		return "the database is received"
	case machine.Adjacency:
		return fmt.Sprintf("neighbours: %d full, %d on their way", e.Full, e.Between)
	case machine.NeighborFull:
		return fmt.Sprintf("neighbour %s is full", e.Router)
	case machine.LSASeen:
		if e.Err != "" {
			return fmt.Sprintf("LSA %s of %s cannot be read: %s", e.Ref, e.Router, e.Err)
		}
		return fmt.Sprintf("LSA %s of %s: %s", e.Ref, e.Router, Body(e.Body))
	case machine.LSAGone:
		return fmt.Sprintf("LSA %s of %s is gone", e.Ref, e.Router)
	case machine.Reach:
		return fmt.Sprintf("router %s: reachable in the area %v, in the AS %v", e.Router, e.Area, e.AS)
	case machine.LinkReach:
		return fmt.Sprintf("router %s on %s: %v", e.Router, e.Link, e.Up)
	case machine.HostRoute:
		if e.Present {
			return fmt.Sprintf("%s/32 announced by %s", e.Addr, e.Router)
		}
		return fmt.Sprintf("%s/32 no longer announced by %s", e.Addr, e.Router)
	case machine.OriginateDone:
		return fmt.Sprintf("ospfd answered for %s: %s", e.Ref, [...]string{"ok", "not now", "refused"}[e.Result])
	case machine.AddressState:
		return fmt.Sprintf("address %s present: %v %s", e.Addr, e.Present, e.Err)
	case machine.RouteState:
		return fmt.Sprintf("route %s: %s %s", e.Addr, [...]string{"removed", "installed", "beaten", "failed"}[e.State], e.Text)
	case machine.ZebraUp:
		return "session with zebra"
	case machine.ZebraDown:
		return "no session with zebra: " + e.Why
	case machine.PrimitiveDone:
		return strings.TrimSpace(fmt.Sprintf("run %d of %s ended: %s %s", e.Run, e.Service, e.Outcome, e.Text))
	case machine.ProcessEnded:
		return strings.TrimSpace(fmt.Sprintf("the process of %s ended: %s", e.Service, e.Text))
	case machine.TimerFired:
		return "timer " + timer(e.Key)
	case machine.Configured:
		return fmt.Sprintf("configuration with %d services", len(e.Config.Services))
	case machine.Command:
		return strings.TrimSpace(fmt.Sprintf("command: %s %s %s", e.Verb, e.Service, e.Node))
	case machine.Shutdown:
		return "shutdown"
	}
	return fmt.Sprintf("%T", ev)
}

func timer(k machine.TimerKey) string {
	w := k.Kind.String()
	if k.Service != "" {
		w += " of " + k.Service
	}
	if k.Router != 0 {
		w += " for " + k.Router.String()
	}
	return w
}

// DescribeAction is an action as one line; timers and the memory are left out.
func DescribeAction(a machine.Action) string {
	switch a := a.(type) {
	case machine.Originate:
		b, err := advert.Decode(a.Body)
		if err != nil {
			return "originate " + a.Ref.String() + ": " + err.Error()
		}
		return fmt.Sprintf("originate %s: %s", a.Ref, Body(b))
	case machine.Flush:
		return "flush " + a.Ref.String()
	case machine.SetAddresses:
		return fmt.Sprintf("addresses of %s %v: %s", a.Service, a.Addresses, onOff(a.On))
	case machine.Announce:
		return fmt.Sprintf("announce %s %v: %s", a.Service, a.Addresses, onOff(a.On))
	case machine.WriteMark:
		switch {
		case a.Clear:
			return "remove the mark of " + a.Mark.Service
		case a.Mark.MayStillRun:
			return "mark " + a.Mark.Service + ": may still run"
		}
		return "mark " + a.Mark.Service
	case machine.RunPrimitive:
		w := fmt.Sprintf("run %s %s (%d)", a.Service, a.Primitive, a.Run)
		if a.Env.Peer != "" {
			w += " for " + a.Env.Peer
		}
		return w
	case machine.CancelPrimitive:
		return fmt.Sprintf("cancel run %d of %s", a.Run, a.Service)
	case machine.Watch:
		if a.On {
			return "watch " + a.Service
		}
		return "watch " + a.Service + " no longer"
	case machine.Note:
		if a.Service == "" {
			return fmt.Sprintf("%s: %s", a.Level, a.Text)
		}
		return fmt.Sprintf("%s: %s: %s", a.Level, a.Service, a.Text)
	case machine.Answer:
		if a.Err != "" {
			return "refuse: " + a.Err
		}
		return "answer: " + a.Text
	case machine.Exit:
		return "exit"
	}
	return ""
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// Body is an advertisement as words.
func Body(b advert.Body) string {
	switch {
	case b.Node != nil:
		return fmt.Sprintf("node %s is %s (%d/%d)", b.Node.Host, b.Node.State, b.Node.Incarnation, b.Node.Generation)
	case b.Service != nil:
		s := b.Service
		w := fmt.Sprintf("%s %s", s.Name, s.State)
		if s.Step != advert.StepNone {
			w += ", " + s.Step.String()
		}
		if s.Claim != 0 {
			w += ", claim " + s.Claim.String()
		}
		if s.Seen != 0 {
			w += ", seen " + s.Seen.String()
		}
		if s.Floor != 0 {
			w += fmt.Sprintf(", acknowledged up to %d", s.Floor.Counter())
		}
		if f := s.Flags &^ (advert.FlagCritical | advert.FlagStrict | advert.FlagOverlap); f != 0 {
			w += ", " + f.String()
		}
		if s.Failure.Code != advert.FailNone {
			w += ", failure " + s.Failure.String()
		}
		if s.Hold.On {
			w += ", held"
		}
		if s.Pin.Number != 0 && !s.Pin.Void {
			w += ", pinned to " + s.Pin.Target.String()
		}
		return fmt.Sprintf("%s (%d/%d)", w, s.Incarnation, s.Generation)
	}
	return "nothing"
}
