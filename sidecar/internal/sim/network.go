package sim

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"time"

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
	zebraDelay  = 2 * time.Millisecond   // zebra has ospfd flush a route
	zebraAgain  = 10 * time.Second       // ospfd looks for a zebra it lost
)

// Sizes of what is flooded (RFC 2328 appendix A.4).
const (
	lsaHeader   = 20
	externalLSA = 36 // type 5 with one route, header included
)

// Traffic counts what is flooded.
type Traffic struct {
	LSAs  int // originated and flushed, of type 222 and /32s
	Bytes int // theirs, with their headers
	// Sent and SentBytes count them on every link they are sent over; what goes
	// with them (packet headers, acknowledgements of 20 bytes) is not counted.
	Sent, SentBytes int
}

// Traffic is what was flooded since the simulation began.
func (s *Sim) Traffic() Traffic { return s.traffic }

// ospfd is the routing daemon of a host.
type ospfd struct {
	up      bool
	life    int
	session int    // with srrd; 0: none
	db      []held // by Sim.ids; shorter than those
	given   map[int]bool
	saidAt  map[int]time.Duration // originated last
	reach   []bool                // as announced to srrd
	since   []time.Duration       // when each was announced reachable last
	full    int
	blind   bool // zebra was lost, and ospfd has not looked for it since
}

// lsaKey is an LSA of type 222, or, with an address, a /32.
type lsaKey struct {
	origin int
	ref    machine.LSARef
	addr   netip.Addr
}

// lsa is one instance of an LSA. All databases share it: it is never changed.
type lsa struct {
	lsaKey
	id   int // of the key
	seq  int // of the instance, as RFC 2328 section 12.1.6 has it, from 1
	size int
	gone bool // MaxAge
	raw  []byte
	ev   machine.Event // what srrd is told of it
}

// held is an LSA in a database.
type held struct {
	*lsa
	at time.Duration // installed here
}

// newer is RFC 2328 section 13.1, as far as it applies: of two instances with
// one number neither is newer, whatever they say (FRR keeps the one it has).
func (l *lsa) newer(than *lsa) bool {
	if l.seq != than.seq {
		return l.seq > than.seq
	}
	return l.gone && !than.gone
}

// get is what a database holds of an id; nil once a flushed one is forgotten.
func (s *Sim) get(o *ospfd, id int) held {
	if id >= len(o.db) {
		return held{}
	}
	l := o.db[id]
	if l.lsa != nil && l.gone && s.t-l.at > maxAgeKept {
		return held{}
	}
	return l
}

func (o *ospfd) put(id int, l held) {
	for id >= len(o.db) {
		o.db = append(o.db, make([]held, max(16, len(o.db)/4))...)
	}
	o.db[id] = l
}

// id is the number of a key, which is known from its first origination on.
func (s *Sim) id(k lsaKey) int {
	id, known := s.ids[k]
	if !known {
		id = len(s.keys)
		s.ids[k] = id
		s.keys = append(s.keys, k)
	}
	return id
}

// edge is one direction of a link.
type edge struct {
	from, to *host
	back     *edge
	cut      bool // nothing gets through
	adjacent bool // the two are Full; equal in both directions
	cuts     int  // how often the link was seen broken, in one direction
	// last is when what was sent last arrives: LSAs keep their order on a link.
	last time.Duration
	late map[int]time.Duration // what it passes on of whom arrives so much later, see LateRelay
}

// wire lays the links: between all nodes, or by sites.
func (s *Sim) wire() {
	link := func(a, b *host) {
		there, back := &edge{from: a, to: b}, &edge{from: b, to: a}
		there.back, back.back = back, there
		a.edges, b.edges = append(a.edges, there), append(b.edges, back)
	}
	if s.opt.Sites == 0 {
		for i, a := range s.hosts {
			for _, b := range s.hosts[:i] {
				link(a, b)
			}
		}
		return
	}
	router := func(name string) *host {
		h := &host{id: len(s.hosts), name: name, router: machine.RouterID(10<<24 + 1<<20 + len(s.hosts)), on: true}
		s.hosts = append(s.hosts, h)
		h.ospf = ospfd{up: true}
		return h
	}
	one, two := router("c1"), router("c2")
	link(one, two)
	for k := range s.opt.Sites {
		r := router("r" + strconv.Itoa(k+1))
		s.sites = append(s.sites, site{router: r})
		link(r, one)
		link(r, two)
	}
	for i, h := range s.hosts[:s.nodes] {
		k := i * s.opt.Sites / s.nodes
		s.sites[k].nodes = append(s.sites[k].nodes, i)
		link(h, s.sites[k].router)
	}
	for _, h := range s.hosts[s.nodes:] {
		for _, e := range h.edges {
			e.adjacent = e.from.srrdless() && e.to.srrdless()
		}
	}
}

// site is a router and the nodes behind it.
type site struct {
	router *host
	nodes  []int
}

// SiteDown has a whole site lose its power, its router included.
func (s *Sim) SiteDown(k int) {
	s.Log("--- site %d loses its power", k+1)
	for _, i := range s.sites[k].nodes {
		s.PowerOff(i)
	}
	r := s.sites[k].router
	r.on, r.ospf = false, ospfd{}
	s.topology(r)
}

// Site lists the nodes of a site.
func (s *Sim) Site(k int) []int { return s.sites[k].nodes }

// srrdless reports whether the host is a router that runs no srrd.
func (h *host) srrdless() bool { return h.cfg.Host == "" }

// edge is the direction of the link from i to j.
func (s *Sim) edge(i, j int) *edge {
	for _, e := range s.hosts[i].edges {
		if e.to.id == j {
			return e
		}
	}
	return nil
}

// passes reports whether packets get through now.
func (e *edge) passes() bool {
	return !e.cut && e.from.speaks() && e.to.speaks()
}

// speaks reports whether the host's ospfd can be heard.
func (h *host) speaks() bool { return h.on && h.ospf.up && !h.isolated && !h.frozen }

func (e *edge) linked() bool { return e.passes() && e.back.passes() }

// parts says which hosts are connected.
type parts struct {
	of    []int
	valid bool
}

// join finds the parts anew where they are not valid.
func (s *Sim) join(p *parts, joined func(*edge) bool) {
	if p.valid {
		return
	}
	p.valid = true
	p.of = slices.Grow(p.of[:0], len(s.hosts))[:len(s.hosts)]
	for i := range p.of {
		p.of[i] = -1
	}
	var todo []*host
	for i, h := range s.hosts {
		if p.of[i] >= 0 {
			continue
		}
		p.of[i] = i
		for todo = append(todo[:0], h); len(todo) > 0; {
			a := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for _, e := range a.edges {
				if b := e.to; p.of[b.id] < 0 && joined(e) {
					p.of[b.id] = i
					todo = append(todo, b)
				}
			}
		}
	}
}

// linked reports whether packets get from one host to another and back,
// through others too.
func (s *Sim) linked(a, b *host) bool {
	s.join(&s.links, (*edge).linked)
	return a.on && a.ospf.up && s.links.of[a.id] == s.links.of[b.id]
}

// reaches reports whether b is in a's reachable set.
func (s *Sim) reaches(a, b *host) bool {
	s.join(&s.areas, func(e *edge) bool { return e.adjacent })
	return a.on && a.ospf.up && s.areas.of[a.id] == s.areas.of[b.id]
}

// KillOSPFd ends ospfd on node i, as kill -9 does.
func (s *Sim) KillOSPFd(i int) {
	h := s.hosts[i]
	if !h.ospf.up {
		return
	}
	s.witness()
	s.Log("--- ospfd of %s is killed", h.name)
	h.stood = 0
	h.ospf = ospfd{life: h.ospf.life}
	h.mute()
	s.post(h, 0, machine.OSPFDown{Why: "the session was closed"})
	s.topology(h)
}

// StartOSPFd starts it, with an empty database.
func (s *Sim) StartOSPFd(i int) {
	h := s.hosts[i]
	if h.ospf.up || !h.on || h.frozen {
		return
	}
	s.witness()
	s.Log("--- ospfd of %s starts", h.name)
	h.ospf = ospfd{up: true, life: h.ospf.life + 1, given: map[int]bool{}, saidAt: map[int]time.Duration{}, reach: make([]bool, s.nodes), since: make([]time.Duration, s.nodes)}
	for _, e := range h.edges { // the others see a neighbour that does not know them
		e.adjacent, e.back.adjacent = false, false
	}
	s.areas.valid = false
	s.spfAll()
	life := h.ospf.life
	s.After(50*time.Millisecond, func() {
		if h.ospf.life != life || !h.ospf.up || h.ospf.blind {
			return
		}
		s.redistribute(h)
	})
	s.register(h, 100*time.Millisecond)
	s.topology(h)
}

// Cut stops everything from i to j; both ways if both.
func (s *Sim) Cut(i, j int, both bool) {
	s.witness()
	s.Log("--- nothing gets from %s to %s (both ways: %v)", s.hosts[i].name, s.hosts[j].name, both)
	e := s.edge(i, j)
	e.cut = true
	if both {
		e.back.cut = true
	}
	s.topology(e.from)
}

// Heal mends both ways.
func (s *Sim) Heal(i, j int) {
	s.witness()
	s.Log("--- %s and %s hear each other", s.hosts[i].name, s.hosts[j].name)
	e := s.edge(i, j)
	e.cut, e.back.cut = false, false
	s.topology(e.from)
}

// Isolate cuts node i from everything, its own router included.
func (s *Sim) Isolate(i int) {
	s.witness()
	s.Log("--- %s is cut off", s.hosts[i].name)
	s.hosts[i].isolated = true
	s.topology(s.hosts[i])
}

// Partition leaves only the links inside the given part and inside the rest.
func (s *Sim) Partition(part ...int) {
	s.witness()
	s.Log("--- partition: %v and the rest", part)
	for i, h := range s.hosts {
		for _, e := range h.edges {
			e.cut = slices.Contains(part, i) != slices.Contains(part, e.to.id)
		}
	}
	s.topology(s.hosts...)
}

// HealAll mends every link.
func (s *Sim) HealAll() {
	s.witness()
	s.Log("--- every link is mended")
	for _, h := range s.hosts {
		h.isolated = false
		for _, e := range h.edges {
			e.cut, e.late = false, nil
		}
	}
	s.topology(s.hosts...)
}

// topology has the neighbours of these hosts notice a change of their links.
func (s *Sim) topology(changed ...*host) {
	s.links.valid = false
	for _, h := range changed {
		for _, e := range h.edges {
			if len(changed) > 1 && e.to.id > h.id {
				continue // it comes from the other end
			}
			switch {
			case e.linked():
				li, lj := e.from.ospf.life, e.to.ospf.life
				s.After(s.about(adjDelay), func() {
					if e.linked() && e.from.ospf.life == li && e.to.ospf.life == lj {
						s.exchange(e)
					}
				})
			case e.adjacent || e.back.adjacent:
				e.cuts++
				e.back.cuts++
				s.After(s.about(s.opt.Detect), func() {
					if !e.linked() && e.adjacent {
						s.witness()
						e.adjacent, e.back.adjacent = false, false
						s.areas.valid = false
						s.spfAll()
					}
				})
			default:
				e.cuts++
				e.back.cuts++
			}
		}
	}
	s.After(s.about(s.opt.Detect), s.spfAll)
}

// spfAll has every ospfd calculate its reachable set anew, soon.
func (s *Sim) spfAll() {
	for _, h := range s.hosts[:s.nodes] {
		if !h.spfDue {
			h.spfDue = true
			if h.spfLate > 0 { // who is Full it says at once
				s.After(s.about(spfDelay), func() { s.tellFull(h) })
			}
			s.After(s.about(spfDelay)+h.spfLate, func() {
				h.spfDue = false
				s.spf(h)
			})
		}
	}
}

// spf tells srrd what has changed in reachability.
func (s *Sim) spf(h *host) {
	if !h.ospf.up || h.ospf.session == 0 || h.frozen && h.newsIn {
		return
	}
	s.tellFull(h)
	for j, other := range s.hosts[:s.nodes] {
		if r := s.reaches(h, other); j != h.id && r != h.ospf.reach[j] {
			s.witness()
			h.ospf.reach[j] = r
			if r {
				h.ospf.since[j] = s.t
			}
			s.post(h, 0, machine.Reach{Router: other.router, Area: r, AS: r})
		}
	}
}

// tellFull tells srrd how many neighbours are Full, if that has changed.
func (s *Sim) tellFull(h *host) {
	if !h.ospf.up || h.ospf.session == 0 || h.frozen && h.newsIn {
		return
	}
	if full := s.full(h); full != h.ospf.full {
		h.ospf.full = full
		s.post(h, 0, machine.Adjacency{Full: full})
	}
}

// LateSPF has ospfd of node i calculate only d later who is reachable, as on a
// busy machine, or where there was much to calculate just before (timers throttle
// spf).
func (s *Sim) LateSPF(i int, d time.Duration) {
	s.Log("--- ospfd of %s calculates %s late", s.hosts[i].name, d)
	s.hosts[i].spfLate = d
}

func (s *Sim) full(h *host) int {
	full := 0
	if s.opt.Routers && !h.isolated {
		full++
	}
	for _, e := range h.edges {
		if e.adjacent {
			full++
		}
	}
	return full
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

// sortedGiven lists the ids given by srrd in this session, in order.
func (o *ospfd) sortedGiven() []int {
	var all []int
	for id := range o.given {
		all = append(all, id)
	}
	slices.SortFunc(all, cmp.Compare[int])
	return all
}

// Database is how many LSAs of type 222 and /32s node i's ospfd holds, and
// their bytes, with their headers.
func (s *Sim) Database(i int) (lsas, bytes int) {
	o := &s.hosts[i].ospf
	for id := range o.db {
		if l := s.get(o, id); l.lsa != nil && !l.gone {
			lsas++
			bytes += l.size
		}
	}
	return lsas, bytes
}
