package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// A host's srrd at work: events reach its machine, and its actions are carried out.

// post has srrd take an event d from now, if it and its session live so long.
func (s *Sim) post(h *host, d time.Duration, ev machine.Event) {
	t := task{h: h, ev: ev, life: h.life, session: -1}
	if ofSession(ev) {
		t.session = h.ospf.session
	}
	s.push(s.t+d, t)
}

func (s *Sim) take(t task) {
	h := t.h
	switch {
	case h.srrd == nil || h.life != t.life || t.session >= 0 && h.ospf.session != t.session:
	case s.t < h.hung || len(h.backlog) > 0:
		h.backlog = append(h.backlog, t)
		if len(h.backlog) == 1 {
			s.at(h.hung, func() { s.catchUp(h) })
		}
	default:
		s.step(h, t.ev)
	}
}

// catchUp has srrd take, in their order, the events that came while it hung.
func (s *Sim) catchUp(h *host) {
	if s.t < h.hung {
		s.at(h.hung, func() { s.catchUp(h) })
		return
	}
	all := h.backlog
	h.backlog = nil
	for _, t := range all {
		if _, timer := t.ev.(machine.TimerFired); timer && h.newsIn {
			s.push(s.t+newsTaken, t)
			continue
		}
		s.take(t)
	}
	h.newsIn = false
}

// newsTaken is how long a node that goes on may take what came meanwhile before
// the timers that came due.
const newsTaken = 2 * time.Millisecond

// Hang has srrd of node i take nothing for d, then all that came.
func (s *Sim) Hang(i int, d time.Duration) {
	s.witness()
	s.Log("--- srrd of %s hangs for %s", s.hosts[i].name, d)
	s.hosts[i].hung = max(s.hosts[i].hung, s.t+d)
}

// ofSession reports whether an event ends with ospfd's session.
func ofSession(ev machine.Event) bool {
	switch ev.(type) {
	case machine.OSPFUp, machine.Synced, machine.Adjacency, machine.NeighborFull, machine.LSASeen, machine.LSAGone,
		machine.Reach, machine.LinkReach, machine.HostRoute, machine.OriginateDone:
		return true
	}
	return false
}

// step hands one event to the machine and carries out what it answers.
func (s *Sim) step(h *host, ev machine.Event) {
	stale := false
	if t, ok := ev.(machine.TimerFired); ok {
		stale = h.timers[t.Key] != t.Gen
	}
	if c, ok := ev.(machine.Command); ok {
		h.waiting[c.ID] = true
	}
	if c, ok := ev.(machine.Configured); ok {
		h.told = c.Config
	}
	s.steps++
	if s.opt.HandOver > 0 && s.steps%s.opt.HandOver == 0 {
		s.handOver(h)
	}
	node := h.srrd // which may end, and be saved after that
	out := node.Step(s.now.Add(h.skew), ev)
	if s.opt.Observe != nil {
		s.opt.Observe(h.id, out)
	}
	if stale && len(out) > 0 && s.t-h.hung > newsTaken { // else it notices that it stood still
		s.violate("%s acts on a stale timer: %v", h.name, ev)
	}
	if s.opt.Trace && !stale {
		s.Log("%s: %s", h.name, Describe(ev))
	}
	for _, a := range out {
		if s.opt.Trace {
			if d := DescribeAction(a); d != "" {
				fmt.Fprintf(&s.trace, "%14s%s\n", "", d)
			}
		}
		s.carry(h, node, a)
	}
}

// carry does what an action says.
func (s *Sim) carry(h *host, node *machine.Node, a machine.Action) {
	switch a := a.(type) {
	case machine.Originate:
		body, err := advert.Decode(a.Body)
		s.checkID(h, a.Ref, body, err)
		if h.ospf.session == 0 {
			return
		}
		l := h.opaque(a.Ref, slices.Clone(a.Body), body, err)
		h.ospf.given[s.id(l.lsaKey)] = true
		s.post(h, echoDelay/2, machine.OriginateDone{Ref: a.Ref})
		s.originate(h, l)
		s.ambushed(h, body.Service)
	case machine.Flush:
		id := s.id(lsaKey{origin: h.id, ref: a.Ref})
		delete(h.ospf.given, id)
		s.flush(h, id)
	case machine.SetAddresses:
		for _, x := range a.Addresses {
			s.setAddress(h, a.Service, x, a.On)
		}
	case machine.Announce:
		s.announce(h, a)
	case machine.WriteMark:
		if a.Clear {
			delete(h.marks, a.Mark.Service)
		} else {
			h.marks[a.Mark.Service] = a.Mark
		}
	case machine.RunPrimitive:
		s.run(h, a)
	case machine.CancelPrimitive:
		if u := h.unit(a.Service); u.run == a.Run {
			u.run = 0
			s.post(h, 0, machine.PrimitiveDone{Service: a.Service, Run: a.Run, Outcome: machine.OutcomeCancelled})
		}
	case machine.SetTimer:
		h.timers[a.Key] = a.Gen
		s.post(h, a.At.Sub(s.now)-h.skew, machine.TimerFired{Key: a.Key, Gen: a.Gen})
	case machine.Save:
		s.save(h, node.Memory())
	case machine.Watch:
		h.watched[a.Service] = a.On
	case machine.Note:
		for _, w := range []string{"stops it: ", "failed: "} {
			if why, ok := strings.CutPrefix(a.Text, w); ok && a.Service != "" {
				h.unit(a.Service).noted = why != "" && why != machine.Reason{}.String()
			}
		}
	case machine.Answer:
		if !h.waiting[a.ID] {
			s.violate("%s answers a command nobody waits for: %+v", h.name, a)
		}
		delete(h.waiting, a.ID)
	case machine.Exit:
		h.exiting = true
		s.endSrrd(h)
	}
}

func (s *Sim) announce(h *host, a machine.Announce) {
	s.checkAnnounce(h, a)
	power := h.power
	life := h.life
	for _, x := range a.Addresses {
		s.After(time.Millisecond, func() {
			if h.power != power || !h.on || h.life != life {
				return
			}
			if a.On {
				h.zebra[x] = true
				if !slices.Contains(h.owners[x], a.Service) {
					h.owners[x] = append(h.owners[x], a.Service)
				}
				s.suspect(h)
			} else {
				delete(h.zebra, x)
				delete(h.owners, x)
			}
			s.redistribute(h, x)
		})
		st := machine.RouteRemoved
		if a.On {
			st = machine.RouteInstalled
		}
		if !h.noZebra { // else it is answered when there is one
			s.post(h, 1500*time.Microsecond, machine.RouteState{Addr: x, State: st})
		}
	}
}

// run begins a primitive.
func (s *Sim) run(h *host, a machine.RunPrimitive) {
	u := h.unit(a.Service)
	var b Behaviour
	k := scriptKey{a.Service, a.Primitive}
	if q := h.scripts[k]; len(q) > 0 {
		b, h.scripts[k] = q[0], q[1:]
	}
	if b.After == 0 {
		b.After = time.Millisecond + time.Duration(s.Chance(19_000))*time.Microsecond
	}
	switch a.Primitive {
	case machine.PrimStart:
		s.checkStart(h, a)
		u.running, u.ready, u.noted, u.since, u.adrift, u.needs = true, false, false, s.t, false, nil
		if c := h.service(a.Service); c != nil {
			u.needs = c.Dependencies
		}
		s.lastIO = s.t
	case machine.PrimStop:
		s.checkStop(h, a)
		u.ready = false
		s.lastIO = s.t
	}
	if b.Hang || b.After > a.Timeout {
		b.After, b.Outcome = a.Timeout, machine.OutcomeTimeout
	}
	u.run = a.Run
	life, power := h.life, h.power
	var end func()
	end = func() {
		switch {
		case h.power != power || !h.on || h.life == life && u.run != a.Run:
			return
		case h.life > life+1: // what outlived srrd the next one has ended when it started
			return
		case h.frozen: // it stands still with its node
			s.at(h.hung, end)
			return
		case h.life == life:
			u.run = 0
		}
		s.finish(h, u, a, b, h.life == life)
		s.suspect(h)
	}
	s.After(b.After, end)
}

// finish ends it, also when srrd is gone by then.
func (s *Sim) finish(h *host, u *unit, a machine.RunPrimitive, b Behaviour, told bool) {
	done := b.Outcome == machine.OutcomeDone
	switch a.Primitive {
	case machine.PrimStart:
		if k := (startKey{a.Service, a.Env.Claim}); b.Outcome == machine.OutcomeRecall {
			m := s.starts[k]
			m.recalled = true
			s.starts[k] = m
		}
		u.ready = done && u.running
		u.broken = u.broken && !done || b.Lies
	case machine.PrimStop:
		if done {
			u.running, u.ready, u.broken, u.adrift = false, false, false, false
		} else {
			u.adrift = u.running
		}
	case machine.PrimFence:
		if done {
			for j, other := range s.hosts {
				if other.name == a.Env.Peer || other.router.String() == a.Env.Peer {
					s.PowerOff(j)
				}
			}
		}
	case machine.PrimRestart:
		u.broken = u.broken && !done
	case machine.PrimStatus:
		if done && !(u.running && u.ready) {
			b.Outcome = machine.OutcomeFailed
		}
	case machine.PrimCheck:
		if done && (!u.running || u.broken) && !b.Lies {
			b.Outcome = machine.OutcomeFailed
		}
	case machine.PrimActivate, machine.PrimDeactivate, machine.PrimReload, machine.PrimJoin, machine.PrimLeave, machine.PrimFailed:
	}
	if told {
		s.post(h, 0, machine.PrimitiveDone{Service: a.Service, Run: a.Run, Outcome: b.Outcome, Recall: b.Recall, Took: b.After})
	}
}

// handOver has srrd re-execute itself: nothing of it is left but what was
// handed over.
func (s *Sim) handOver(h *host) {
	base := s.now.Add(h.skew)
	b, err := h.srrd.Export(base)
	if err == nil {
		h.srrd, err = machine.Import(b, base)
	}
	if err != nil {
		panic(fmt.Sprintf("%s cannot be handed over: %v", h.name, err))
	}
}
