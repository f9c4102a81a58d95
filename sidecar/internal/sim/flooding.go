package sim

import (
	"net/netip"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// How LSAs get from one ospfd to the next: origination, flooding over the links,
// the exchange of databases, and the old bodies that come back.

// exchange makes two neighbours Full: each gets what it lacks of what the
// other has. Where they are Full already, it stands for what was lost on the
// way and is sent again.
func (s *Sim) exchange(e *edge) {
	s.sendLacking(e)
	s.sendLacking(e.back)
	if e.adjacent {
		return
	}
	li, lj, cuts := e.from.ospf.life, e.to.ospf.life, e.cuts
	s.at(max(e.last, e.back.last, s.t), func() { // Loading is over
		if e.adjacent || e.cuts != cuts || e.from.ospf.life != li || e.to.ospf.life != lj {
			return
		}
		s.witness()
		e.adjacent, e.back.adjacent = true, true
		s.areas.valid = false
		s.sendLacking(e) // what came meanwhile
		s.sendLacking(e.back)
		s.spfAll()
		for _, e := range [2]*edge{e, e.back} {
			if h := e.from; h.ospf.session != 0 {
				s.post(h, 5*time.Millisecond, machine.NeighborFull{Router: e.to.router})
			}
		}
	})
}

// sendLacking sends what the other end does not have, or has older.
func (s *Sim) sendLacking(e *edge) {
	for id := range e.from.ospf.db {
		l := s.get(&e.from.ospf, id)
		if l.lsa == nil {
			continue
		}
		if other := s.get(&e.to.ospf, id); other.lsa == nil && !l.gone || other.lsa != nil && l.newer(other.lsa) {
			s.send(e, l.lsa)
		}
	}
}

// opaque is an LSA of type 222 with its body.
func (h *host) opaque(ref machine.LSARef, raw []byte, body advert.Body, err error) lsa {
	ev := machine.LSASeen{Router: h.router, Ref: ref, Raw: raw, Body: body}
	if err != nil {
		ev.Err = err.Error()
	}
	return lsa{lsaKey: lsaKey{origin: h.id, ref: ref}, raw: raw, size: lsaHeader + len(raw), ev: ev}
}

// external is the type 5 of an address.
func (h *host) external(a netip.Addr) lsa {
	return lsa{lsaKey: lsaKey{origin: h.id, addr: a}, size: externalLSA, ev: machine.HostRoute{Addr: a, Router: h.router, Present: true}}
}

// originate puts an LSA of h into its database and floods it.
func (s *Sim) originate(h *host, l lsa) {
	if !h.ospf.up {
		return
	}
	l.id = s.id(l.lsaKey)
	old := s.get(&h.ospf, l.id)
	if at, again := h.ospf.saidAt[l.id]; again && l.raw != nil && s.t-at < minInterval && old.lsa != nil && !old.gone {
		life := h.ospf.life
		s.at(at+minInterval, func() {
			if h.ospf.life == life && h.ospf.given[l.id] {
				s.originate(h, l)
			}
		})
		return
	}
	h.ospf.saidAt[l.id] = s.t
	l.seq = 1
	if old.lsa != nil {
		l.seq = old.seq + 1
	}
	s.count(&l)
	s.install(h, &l, nil, echoDelay)
}

func (s *Sim) count(l *lsa) {
	s.traffic.LSAs++
	s.traffic.Bytes += l.size
}

// flush takes an LSA of h out of every database it can reach.
func (s *Sim) flush(h *host, id int) {
	if !h.ospf.up {
		return
	}
	old := s.get(&h.ospf, id)
	if old.lsa == nil || old.gone {
		return
	}
	l := old.maxAge(h.router)
	s.count(l)
	s.install(h, l, nil, echoDelay)
}

// maxAge is the LSA with its age at the end.
func (l *lsa) maxAge(router machine.RouterID) *lsa {
	m := *l
	m.gone = true
	if l.addr.IsValid() {
		m.ev = machine.HostRoute{Addr: l.addr, Router: router}
	} else {
		m.ev = machine.LSAGone{Router: router, Ref: l.ref}
	}
	return &m
}

// install takes an LSA into a database, floods it, not back on the way it came
// on, and tells srrd.
func (s *Sim) install(h *host, l *lsa, came *edge, tell time.Duration) {
	old := s.get(&h.ospf, l.id)
	h.ospf.put(l.id, held{l, s.t})
	for _, e := range h.edges {
		if !e.adjacent || came != nil && e.to == came.from {
			continue
		}
		// Who has it needs it not; who has a newer one answers with that.
		if other := s.get(&e.to.ospf, l.id); other.lsa == nil || l.newer(other.lsa) || other.newer(l) {
			if d := e.late[l.origin]; d > 0 {
				s.sendLate(e, l, d)
				continue
			}
			s.send(e, l)
		}
	}
	if h.ospf.session != 0 && !(l.gone && (old.lsa == nil || old.gone)) {
		s.post(h, tell, l.ev)
		if s.opt.Twice && !l.addr.IsValid() && !l.gone && s.Chance(4) == 0 {
			s.post(h, tell, l.ev)
		}
	}
}

// send has an LSA arrive at the other end, in the order of what was sent before.
func (s *Sim) send(e *edge, l *lsa) {
	s.traffic.Sent++
	s.traffic.SentBytes += l.size
	e.last = max(e.last, s.t+s.about(hopDelay))
	s.push(e.last, task{l: l, over: e, life: e.to.ospf.life})
}

// sendLate has it arrive when it is sent again, and overtaken by what is sent
// meanwhile.
func (s *Sim) sendLate(e *edge, l *lsa, d time.Duration) {
	s.traffic.Sent++
	s.traffic.SentBytes += l.size
	s.push(s.t+d+s.about(hopDelay), task{l: l, over: e, life: e.to.ospf.life})
}

func (s *Sim) arrive(t task) {
	h, l := t.over.to, t.l
	if h.frozen && h.newsIn && h.ospf.up && h.ospf.life == t.life && !h.isolated && !t.over.cut && t.over.from.speaks() {
		h.sockets = append(h.sockets, t)
		return
	}
	if !h.ospf.up || h.ospf.life != t.life || !t.over.passes() {
		return
	}
	old := s.get(&h.ospf, l.id)
	switch {
	case old.lsa == nil && l.gone:
		return
	case old.lsa == nil:
	case !l.newer(old.lsa):
		if old.newer(l) && t.over.adjacent { // RFC 2328 section 13 (8)
			s.send(t.over.back, old.lsa)
		}
		return
	case !old.gone && !l.gone && s.t-old.at < minArrival:
		s.push(old.at+minArrival, t) // it is sent again
		return
	}
	s.install(h, l, t.over, 0)
	if l.origin == h.id {
		s.revenant(h, l)
	}
}

// revenant is what ospfd does with an LSA of its own that comes back newer than
// what it has: one of an earlier life. What is not ours now is flushed, whether
// a client is there or not (RFC 2328 section 13.4). Where a client has given a
// body under that id since, FRR says the old one again, with the next number.
func (s *Sim) revenant(h *host, l *lsa) {
	life := h.ospf.life
	s.After(100*time.Microsecond, func() {
		if h.ospf.life != life || !h.ospf.up || s.get(&h.ospf, l.id).lsa != l {
			return
		}
		ours := h.ospf.given[l.id]
		if l.addr.IsValid() {
			ours = h.routes(l.addr)
		}
		switch {
		case !ours && !l.gone:
			s.flush(h, l.id)
		case ours && !l.gone || ours && l.addr.IsValid():
			again := *l
			again.seq++
			if l.gone {
				again = h.external(l.addr)
				again.id, again.seq = l.id, l.seq+1
			}
			s.count(&again)
			s.install(h, &again, nil, 0)
		}
	})
}
