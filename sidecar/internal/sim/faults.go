package sim

import (
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// routes reports whether ospfd is to redistribute the address: zebra has it,
// as far as ospfd knows.
func (h *host) routes(a netip.Addr) bool { return h.zebra[a] && !h.noZebra }

// redistribute has ospfd announce what zebra has of these addresses, or of all
// that are there, and withdraw the others. An ospfd that has lost zebra, and
// not found it again, keeps what it said.
func (s *Sim) redistribute(h *host, addrs ...netip.Addr) {
	if !h.ospf.up || h.ospf.blind {
		return
	}
	if addrs == nil {
		addrs = sortedAddrs(h.zebra)
	}
	for _, a := range addrs {
		if h.routes(a) {
			s.originate(h, h.external(a))
		} else {
			s.flush(h, s.id(lsaKey{origin: h.id, addr: a}))
		}
	}
}

// LateRelay has node via pass on to node to only d later what it is flooded of
// node of. On a LAN the designated router sends nobody what it had from the backup,
// as all have heard that (RFC 2328 section 13.3): who has just come up and has not,
// gets it when it is sent again. What the two exchange to become Full is not late.
func (s *Sim) LateRelay(via, to, of int, d time.Duration) {
	s.Log("--- %s hears of %s by %s %s late", s.hosts[to].name, s.hosts[of].name, s.hosts[via].name, d)
	e := s.edge(via, to)
	if e.late == nil {
		e.late = map[int]time.Duration{}
	}
	e.late[of] = d
}

// KillZebra ends zebra on node i: its routes are gone, ospfd keeps announcing
// them.
func (s *Sim) KillZebra(i int) {
	h := s.hosts[i]
	if !h.on || h.frozen || h.noZebra {
		return
	}
	s.Log("--- zebra of %s is killed", h.name)
	h.noZebra, h.ospf.blind = true, h.ospf.up
	s.post(h, 0, machine.ZebraDown{Why: "the session was closed", Absent: true})
}

// StartZebra starts it. The port to zebra adds the routes it keeps there; ospfd
// looks for zebra ten seconds after it lost it, and then withdraws what it
// announced meanwhile without need.
func (s *Sim) StartZebra(i int) {
	h := s.hosts[i]
	if !h.on || !h.noZebra {
		return
	}
	s.Log("--- zebra of %s starts", h.name)
	h.noZebra = false
	power, life := h.power, h.ospf.life
	s.post(h, time.Millisecond, machine.ZebraUp{})
	for _, a := range sortedAddrs(h.zebra) {
		s.post(h, 1500*time.Microsecond, machine.RouteState{Addr: a, State: machine.RouteInstalled})
	}
	if !h.ospf.blind {
		s.redistribute(h)
		return
	}
	s.After(zebraAgain, func() {
		if h.power != power || h.noZebra || h.ospf.life != life || !h.ospf.up {
			return
		}
		h.ospf.blind = false
		s.redistribute(h)
		for id := range h.ospf.db {
			if l := s.get(&h.ospf, id); l.lsa != nil && l.origin == h.id && l.addr.IsValid() && !h.routes(l.addr) {
				s.flush(h, id)
			}
		}
	})
}

// withoutAddress is how long a service may be announced without its address.
const withoutAddress = 15 * time.Second

// stays reports whether the service is frozen on the node, so that nothing is
// done about it.
func (s *Sim) stays(h *host, service string) bool {
	v := h.srrd.View()
	i := slices.IndexFunc(v.Services, func(v machine.ServiceView) bool { return v.Name == service })
	return i < 0 || v.Services[i].Want == "stay"
}

// RemoveAddress has somebody delete the service's addresses on node i behind
// the port's back, which puts them back after the given time.
func (s *Sim) RemoveAddress(i int, service string, back time.Duration) {
	h := s.hosts[i]
	c := h.service(service)
	if c == nil || h.srrd == nil {
		return
	}
	for _, a := range c.Addresses {
		if !h.kernel[a] {
			continue
		}
		s.Log("--- somebody deletes %s on %s", a, h.name)
		h.kernel[a], h.stolen[a] = false, s.t
		s.post(h, 100*time.Microsecond, machine.AddressState{Addr: a})
		power, life := h.power, h.life
		since := s.t
		var look func()
		look = func() {
			switch {
			case h.power != power || h.life != life || !h.zebra[a] || h.kernel[a] || h.stolen[a] > since:
				return
			case s.t < h.hung || h.ospf.session == 0 || s.stays(h, service): // nothing is done, or nobody led here
				since = s.t
			case s.t-since > withoutAddress:
				s.violate("%s announces %s, which has been gone from it for %s", h.name, a, s.t-since)
				return
			}
			s.After(time.Second, look)
		}
		s.After(time.Second, look)
		s.After(back, func() {
			if h.power != power || h.life != life || h.dropped[a] {
				return
			}
			h.kernel[a] = true
			s.post(h, 100*time.Microsecond, machine.AddressState{Addr: a, Present: true})
		})
	}
}

// RefuseAddress has the kernel refuse addresses on node i for some time.
func (s *Sim) RefuseAddress(i int, d time.Duration) {
	s.Log("--- the kernel of %s refuses addresses for %s", s.hosts[i].name, d)
	s.hosts[i].refuses = s.t + d
}

// setAddress has the kernel take an address for a service, or let it go when
// no other one of its group has it any more.
func (s *Sim) setAddress(h *host, service string, a netip.Addr, on bool) {
	if on && s.t < h.refuses {
		s.post(h, 600*time.Microsecond, machine.AddressState{Addr: a, Err: "no buffer space available"})
		return
	}
	h.held[a] = slices.DeleteFunc(h.held[a], func(other string) bool { return other == service })
	if on {
		h.held[a] = append(h.held[a], service)
	} else if len(h.held[a]) > 0 {
		s.post(h, 600*time.Microsecond, machine.AddressState{Addr: a, Present: h.kernel[a]})
		return
	}
	h.dropped[a] = !on
	delete(h.stolen, a)
	power := h.power
	s.After(500*time.Microsecond, func() {
		if h.power == power && h.on {
			h.kernel[a] = on
		}
	})
	s.post(h, 600*time.Microsecond, machine.AddressState{Addr: a, Present: on})
}

// FailDisk has nothing reach the disk of node i for some time; then what was
// saved last does. srrd that ends before has lost it.
func (s *Sim) FailDisk(i int, d time.Duration) {
	h := s.hosts[i]
	s.Log("--- the disk of %s takes nothing for %s", h.name, d)
	h.diskFails = max(h.diskFails, s.t+d)
}

// save writes the memory, now or when the disk takes it.
func (s *Sim) save(h *host, m machine.Memory) {
	h.saves++
	late := max(0, h.diskFails-s.t)
	if s.opt.SlowDisk {
		late = max(late, 20*time.Millisecond)
	}
	if late == 0 {
		h.memory, h.saved = m, h.saves
		return
	}
	life, which := h.life, h.saves
	s.After(late, func() {
		if h.on && h.life == life && which > h.saved {
			h.memory, h.saved = m, which
		}
	})
}

// loseSaves is what becomes of the memory when srrd ends: what has not reached
// the disk is lost, and where that took nothing at all, the file may be damaged.
func (s *Sim) loseSaves(h *host) {
	if h.saves == h.saved {
		return
	}
	h.saved = h.saves
	if s.t < h.diskFails {
		h.forgot = true
	} else {
		h.behind = true
	}
}

// Leap sets the wall clock of node i forward, or back, as seen by srrd from its
// next start on: one that runs counts time by a clock that does not leap.
func (s *Sim) Leap(i int, d time.Duration) {
	s.Log("--- the clock of %s leaps by %s", s.hosts[i].name, d)
	s.hosts[i].leap += d
}

// Freeze has everything on node i stand still for d but its kernel: all daemons
// and the services' processes are stopped (SIGSTOP), or the hypervisor has no
// time for it. Then it goes on as if nothing had been.
func (s *Sim) Freeze(i int, d time.Duration) {
	h := s.hosts[i]
	if !h.on || h.frozen {
		return
	}
	s.witness()
	s.Log("--- %s is frozen for %s", h.name, d)
	h.frozen, h.newsIn, h.froze = true, false, s.t
	h.hung = max(h.hung, s.t+d)
	power := h.power
	s.topology(h)
	s.After(d, func() {
		if h.power == power && h.frozen {
			s.thaw(h, d)
		}
	})
}

// FreezeAtClaim freezes node i for d as soon as its next claim of a strict service
// is on its way, while the others acknowledge it and stop. What they say until they
// notice waits in the node's sockets, and when it goes on is taken before the
// timers that came due meanwhile.
func (s *Sim) FreezeAtClaim(i int, d time.Duration) {
	s.Log("--- %s is to be frozen for %s when it claims", s.hosts[i].name, d)
	s.hosts[i].ambush = d
}

// ambushed freezes a host that has just said it claims a strict service.
func (s *Sim) ambushed(h *host, said *advert.Service) {
	if h.ambush == 0 || said == nil || said.Step != advert.StepClaim || !said.Flags.Has(advert.FlagStrict) {
		return
	}
	d, power := h.ambush, h.power
	// Some hear the claim, and may acknowledge it, or also have the time to stop.
	after := time.Duration(1000+s.Chance(3000)) * time.Microsecond
	if s.Chance(2) == 0 {
		after *= 5
	}
	s.After(after, func() {
		if h.power == power && h.ambush == d && !h.frozen {
			s.Freeze(h.id, d)
			h.ambush, h.newsIn = 0, true
		}
	})
}

// Thaw ends what Freeze began, before its time, and what FreezeAtClaim would.
func (s *Sim) Thaw(i int) {
	h := s.hosts[i]
	h.ambush = 0
	if h.frozen {
		h.hung = s.t
		s.thaw(h, s.t-h.froze)
		s.catchUp(h)
	}
}

// thaw lets a host go on. A strict holder looks at the clock every quarter of
// lost_hold, so one that stood still for three of them knows it.
func (s *Sim) thaw(h *host, stood time.Duration) {
	s.witness()
	s.Log("--- %s goes on", h.name)
	h.frozen = false
	h.thawed, h.stood = s.t, stood
	s.topology(h)
	came := h.sockets
	h.sockets = nil
	for _, t := range came {
		s.arrive(t)
	}
	if h.newsIn { // whom ospfd has not heard for too long it says after what it has read
		s.After(2*newsTaken, func() { s.spf(h) })
	}
	life := h.life
	s.After(knownAfter, func() {
		if h.srrd == nil || h.life != life || s.t < h.hung {
			return
		}
		for _, v := range h.srrd.View().Services {
			c, u := h.service(v.Name), h.units[v.Name]
			if c != nil && c.Strict() && v.State == advert.Started && stood > s.lostHold(c)*3/4 && u != nil && u.since < s.t-stood-knownAfter {
				s.violate("%s stood still for %s and goes on with the strict service %s", h.name, stood, v.Name)
			}
		}
	})
}

// lostHold is how long the holder of a strict service is waited for.
func (s *Sim) lostHold(c *machine.Service) time.Duration {
	if c.LostHold > 0 {
		return c.LostHold
	}
	return machine.LostHold(s.opt.Dead, c)
}
