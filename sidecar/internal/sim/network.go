package sim

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

const (
	echoDelay   = 300 * time.Microsecond // own LSA seen back
	hopDelay    = time.Millisecond
	spfDelay    = 2 * time.Millisecond
	adjDelay    = 300 * time.Millisecond // from first hello to Full
	minArrival  = time.Second            // RFC 2328 appendix B, MinLSArrival
	minInterval = 5 * time.Second        // RFC 2328 appendix B, MinLSInterval
	maxAgeKept  = 5 * time.Second        // a flushed LSA stays until all have acknowledged
)

// ospfd is the routing daemon of a host.
type ospfd struct {
	up      bool
	life    int
	session int // with srrd; 0: none
	db      map[lsaKey]lsa
	given   map[lsaKey]bool      // by srrd, in this session
	saidAt  map[lsaKey]time.Time // originated last
	reach   []bool               // as announced to srrd
	full    int
}

// lsaKey is an LSA of type 222, or, with an address, a /32.
type lsaKey struct {
	origin int
	ref    machine.LSARef
	addr   netip.Addr
}

func (k lsaKey) compare(l lsaKey) int {
	return cmp.Or(cmp.Compare(k.origin, l.origin), cmp.Compare(k.ref.ID, l.ref.ID), cmp.Compare(k.ref.Scope.Kind, l.ref.Scope.Kind), k.addr.Compare(l.addr))
}

type lsa struct {
	lsaKey
	seq  uint64
	raw  []byte
	gone bool
	at   time.Time // installed here
}

func (s *Sim) alive(l lsa) bool { return !l.gone }

// sortedDB lists the database in a fixed order.
func (o *ospfd) sortedDB() []lsa {
	all := make([]lsa, 0, len(o.db))
	for _, l := range o.db {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b lsa) int { return a.compare(b.lsaKey) })
	return all
}

// KillOSPFd ends ospfd on node i, as kill -9 does.
func (s *Sim) KillOSPFd(i int) {
	h := s.hosts[i]
	if !h.ospf.up {
		return
	}
	s.Log("--- ospfd of %s is killed", h.name)
	h.ospf = ospfd{life: h.ospf.life}
	clear(h.spoke)
	s.post(h, 0, machine.OSPFDown{Why: "the session was closed"})
	s.topology()
}

// StartOSPFd starts it, with an empty database.
func (s *Sim) StartOSPFd(i int) {
	h := s.hosts[i]
	if h.ospf.up || !h.on {
		return
	}
	s.Log("--- ospfd of %s starts", h.name)
	h.ospf = ospfd{up: true, life: h.ospf.life + 1, db: map[lsaKey]lsa{}, given: map[lsaKey]bool{}, saidAt: map[lsaKey]time.Time{},
		reach: make([]bool, len(s.hosts))}
	for j := range s.hosts { // the others see a neighbour that does not know them
		if s.adjacent[i][j] {
			s.adjacent[i][j], s.adjacent[j][i] = false, false
		}
	}
	s.spfAll()
	life := h.ospf.life
	s.After(50*time.Millisecond, func() {
		if h.ospf.life != life || !h.ospf.up {
			return
		}
		for _, a := range sortedAddrs(h.zebra) { // redistribution
			s.originate(h, lsaKey{origin: i, addr: a}, nil)
		}
	})
	s.register(h, 100*time.Millisecond)
	s.topology()
}

// Cut stops everything from i to j; both ways if both.
func (s *Sim) Cut(i, j int, both bool) {
	s.Log("--- nothing gets from %s to %s (both ways: %v)", s.hosts[i].name, s.hosts[j].name, both)
	s.cut[i][j] = true
	if both {
		s.cut[j][i] = true
	}
	s.topology()
}

// Heal mends both ways.
func (s *Sim) Heal(i, j int) {
	s.Log("--- %s and %s hear each other", s.hosts[i].name, s.hosts[j].name)
	s.cut[i][j], s.cut[j][i] = false, false
	s.topology()
}

// Isolate cuts node i from everything, its own router included.
func (s *Sim) Isolate(i int) {
	s.Log("--- %s is cut off", s.hosts[i].name)
	s.hosts[i].isolated = true
	s.topology()
}

// Partition leaves only the links inside the given part and inside the rest.
func (s *Sim) Partition(part ...int) {
	s.Log("--- partition: %v and the rest", part)
	for i := range s.hosts {
		for j := range s.hosts {
			s.cut[i][j] = slices.Contains(part, i) != slices.Contains(part, j)
		}
	}
	s.topology()
}

// HealAll mends every link.
func (s *Sim) HealAll() {
	s.Log("--- every link is mended")
	for i, h := range s.hosts {
		h.isolated = false
		for j := range s.hosts {
			s.cut[i][j] = false
		}
	}
	s.topology()
}

// passes reports whether packets get from i to its neighbour j now.
func (s *Sim) passes(i, j int) bool {
	a, b := s.hosts[i], s.hosts[j]
	return i != j && a.on && b.on && a.ospf.up && b.ospf.up && !a.isolated && !b.isolated && !s.cut[i][j]
}

func (s *Sim) linked(i, j int) bool { return s.passes(i, j) && s.passes(j, i) }

// topology has the neighbours notice a change of links.
func (s *Sim) topology() {
	s.parts = nil
	for i := range s.hosts {
		for j := range i {
			switch {
			case s.linked(i, j):
				li, lj := s.hosts[i].ospf.life, s.hosts[j].ospf.life
				s.After(s.about(adjDelay), func() {
					if s.linked(i, j) && s.hosts[i].ospf.life == li && s.hosts[j].ospf.life == lj {
						s.exchange(i, j)
					}
				})
			case s.adjacent[i][j]:
				s.After(s.about(s.opt.Detect), func() {
					if !s.linked(i, j) && s.adjacent[i][j] {
						s.adjacent[i][j], s.adjacent[j][i] = false, false
						s.spfAll()
					}
				})
			}
		}
	}
	s.After(s.about(s.opt.Detect), s.spfAll)
}

// exchange makes two neighbours Full: each gets what the other has.
func (s *Sim) exchange(i, j int) {
	fresh := !s.adjacent[i][j]
	s.adjacent[i][j], s.adjacent[j][i] = true, true
	for _, p := range [][2]int{{i, j}, {j, i}} {
		for _, l := range s.hosts[p[0]].ospf.sortedDB() {
			if l.gone && s.now.Sub(l.at) > maxAgeKept {
				continue
			}
			s.send(p[0], p[1], l)
		}
	}
	if fresh {
		s.spfAll()
		for _, p := range [][2]int{{i, j}, {j, i}} {
			h := s.hosts[p[0]]
			if h.ospf.session != 0 {
				s.post(h, 5*time.Millisecond, machine.NeighborFull{Router: s.hosts[p[1]].router})
			}
		}
	}
}

// within lists who is reached from i over adjacencies, i included.
func (s *Sim) within(i int, step func(a, b int) bool) []bool {
	seen := make([]bool, len(s.hosts))
	if !s.hosts[i].on || !s.hosts[i].ospf.up {
		return seen
	}
	seen[i] = true
	for todo := []int{i}; len(todo) > 0; {
		a := todo[0]
		todo = todo[1:]
		for b := range s.hosts {
			if !seen[b] && step(a, b) {
				seen[b] = true
				todo = append(todo, b)
			}
		}
	}
	return seen
}

// spfAll has every ospfd calculate its reachable set anew, soon.
func (s *Sim) spfAll() {
	for _, h := range s.hosts {
		s.After(s.about(spfDelay), func() { s.spf(h) })
	}
}

// spf tells srrd what has changed in reachability.
func (s *Sim) spf(h *host) {
	if !h.ospf.up || h.ospf.session == 0 {
		return
	}
	now := s.within(h.id, func(a, b int) bool { return s.adjacent[a][b] })
	full := s.full(h)
	if full != h.ospf.full {
		h.ospf.full = full
		s.post(h, 0, machine.Adjacency{Full: full})
	}
	for j, r := range now {
		if j != h.id && r != h.ospf.reach[j] {
			h.ospf.reach[j] = r
			s.post(h, 0, machine.Reach{Router: s.hosts[j].router, Area: r, AS: r})
		}
	}
}

func (s *Sim) full(h *host) int {
	full := 0
	if s.opt.Routers && !h.isolated {
		full++
	}
	for j := range s.hosts {
		if s.adjacent[h.id][j] {
			full++
		}
	}
	return full
}

// originate puts an LSA of h into its database and floods it.
func (s *Sim) originate(h *host, k lsaKey, raw []byte) {
	if !h.ospf.up {
		return
	}
	if at, again := h.ospf.saidAt[k]; again && raw != nil && s.now.Sub(at) < minInterval && s.alive(h.ospf.db[k]) {
		life := h.ospf.life
		s.at(at.Add(minInterval), func() {
			if h.ospf.life == life && h.ospf.given[k] {
				s.originate(h, k, raw)
			}
		})
		return
	}
	h.ospf.saidAt[k] = s.now
	s.lsaSeq++
	s.install(h, lsa{lsaKey: k, seq: s.lsaSeq, raw: raw}, echoDelay)
}

// flush takes an LSA of h out of every database it can reach.
func (s *Sim) flush(h *host, k lsaKey) {
	l, ok := h.ospf.db[k]
	if !h.ospf.up || !ok || l.gone {
		return
	}
	s.lsaSeq++
	l.seq, l.gone = s.lsaSeq, true
	s.install(h, l, echoDelay)
}

// install takes an LSA into a database, floods it and tells srrd.
func (s *Sim) install(h *host, l lsa, tell time.Duration) {
	old, had := h.ospf.db[l.lsaKey]
	l.at = s.now
	h.ospf.db[l.lsaKey] = l
	seen := s.within(h.id, func(a, b int) bool { return s.adjacent[a][b] && s.passes(a, b) })
	for j, r := range seen {
		if r && j != h.id {
			s.send(h.id, j, l)
		}
	}
	if h.ospf.session != 0 && !(l.gone && (!had || old.gone)) {
		s.tell(h, l, tell)
	}
}

// tell gives srrd one change of the database.
func (s *Sim) tell(h *host, l lsa, d time.Duration) {
	from := s.hosts[l.origin].router
	switch {
	case l.addr.IsValid():
		s.post(h, d, machine.HostRoute{Addr: l.addr, Router: from, Present: !l.gone})
	case l.gone:
		s.post(h, d, machine.LSAGone{Router: from, Ref: l.ref})
	default:
		ev := machine.LSASeen{Router: from, Ref: l.ref, Raw: l.raw}
		b, err := advert.Decode(l.raw)
		if err != nil {
			ev.Err = err.Error()
		} else {
			ev.Body = b
		}
		s.post(h, d, ev)
		if s.opt.Twice && s.Chance(4) == 0 {
			s.post(h, d, ev)
		}
	}
}

// send has an LSA arrive at j, in the order of what i sent before.
func (s *Sim) send(i, j int, l lsa) {
	at := s.now.Add(s.about(hopDelay))
	if at.Before(s.pathAt[i][j]) {
		at = s.pathAt[i][j]
	}
	s.pathAt[i][j] = at
	life := s.hosts[j].ospf.life
	s.at(at, func() { s.arrive(i, j, life, l) })
}

func (s *Sim) arrive(i, j, life int, l lsa) {
	h := s.hosts[j]
	if !h.ospf.up || h.ospf.life != life || !s.passes(i, j) && !s.within(i, s.passes)[j] {
		return
	}
	old, had := h.ospf.db[l.lsaKey]
	switch {
	case had && old.gone && s.now.Sub(old.at) > maxAgeKept && !l.gone: // forgotten since: as new
	case had && old.seq >= l.seq:
		return
	case had && !old.gone && !l.gone && s.now.Sub(old.at) < minArrival:
		s.at(old.at.Add(minArrival), func() { s.arrive(i, j, life, l) }) // it is sent again
		return
	}
	if !had && l.gone {
		return
	}
	s.install(h, l, 0)
	// RFC 2328 section 13.4: what comes back and is not ours now is flushed,
	// whether a client is there or not.
	if l.origin == j && !l.gone && (l.addr.IsValid() && !h.zebra[l.addr] || !l.addr.IsValid() && !h.ospf.given[l.lsaKey]) {
		s.After(100*time.Microsecond, func() {
			if h.ospf.life == life && h.ospf.up && !h.ospf.given[l.lsaKey] && !(l.addr.IsValid() && h.zebra[l.addr]) {
				s.flush(h, l.lsaKey)
			}
		})
	}
}

func sortedAddrs(m map[netip.Addr]bool) []netip.Addr {
	var all []netip.Addr
	for a, on := range m {
		if on {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}
