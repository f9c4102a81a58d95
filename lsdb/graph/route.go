package graph

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/srrd/srrd/lsdb/lsa"
)

// PathType is the type of a route, in order of preference (RFC 2328 section 11).
type PathType uint8

// The path types.
const (
	IntraArea PathType = iota
	InterArea
	External1
	External2
)

// String gives the type in FRR's letters: "intra", "IA", "E1", "E2".
func (t PathType) String() string {
	switch t {
	case IntraArea:
		return "intra"
	case InterArea:
		return "IA"
	case External1:
		return "E1"
	case External2:
		return "E2"
	}
	return fmt.Sprintf("path-type-%d", uint8(t))
}

// MarshalText is String; it never fails.
func (t PathType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Hop is one vertex on a path, and the area in which the path comes to it.
type Hop struct {
	Vertex
	Area netip.Addr `json:"area"`
}

// Route is how a router reaches a network.
type Route struct {
	From      netip.Addr   `json:"from"`
	Prefix    netip.Prefix `json:"prefix"`
	Type      PathType     `json:"type"`
	Cost      uint32       `json:"cost"` // E2: the way to the AS boundary router or forwarding address only
	Type2Cost uint32       `json:"type2Cost,omitempty"`
	// Announcers are the routers From goes by, ascending: who has the stub
	// link or the transit network's designated address (as its vertex's ID)
	// for intra-area routes, the area border routers, the AS boundary routers.
	Announcers []netip.Addr `json:"announcers"`
	// Paths are the equal-cost ways, From first; at most MaxPaths.
	Paths [][]Hop `json:"paths"`
	// Partial: some path leads on into an area the mirror does not have, or
	// into an area range, and is shown as far as it is known.
	Partial bool `json:"partial,omitempty"`
}

// MaxPaths bounds how many equal-cost paths a Route lists.
const MaxPaths = 16

// maxDepth bounds how many area border routers a path passes: out of the
// first area, out of the backbone, and one to spare for virtual links.
const maxDepth = 3

// way is one candidate: how far, and by which paths.
type way struct {
	typ       PathType
	cost      uint32
	backbone  bool // intra-area through the backbone, or not intra-area (RFC 2328 section 16.4.1)
	announcer netip.Addr
	paths     [][]Hop
	partial   bool
}

// Route finds how a router reaches exactly this prefix.
func (g *Graph) Route(from netip.Addr, p netip.Prefix) (r Route, ok bool) {
	p = p.Masked()
	if ways := g.internal(from, p, 0); len(ways) > 0 {
		return makeRoute(from, p, ways, 0), true
	}
	ways, type2 := g.external(from, p)
	if len(ways) == 0 {
		return Route{}, false
	}
	return makeRoute(from, p, ways, type2), true
}

// Lookup finds how a router reaches an address: the route with the longest
// prefix that holds it.
func (g *Graph) Lookup(from, addr netip.Addr) (r Route, ok bool) {
	for _, p := range g.prefixes(addr) {
		if r, ok = g.Route(from, p); ok {
			return r, true
		}
	}
	return Route{}, false
}

// prefixes lists the prefixes around an address that could be known, longest first.
func (g *Graph) prefixes(addr netip.Addr) []netip.Prefix {
	if !addr.Is4() {
		return nil
	}
	var out []netip.Prefix
	for bits := 32; bits >= 0; bits-- {
		if !g.bits[bits] {
			continue
		}
		if p, err := addr.Prefix(bits); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func makeRoute(from netip.Addr, p netip.Prefix, ways []way, type2 uint32) Route {
	r := Route{From: from, Prefix: p, Type: ways[0].typ, Cost: ways[0].cost, Type2Cost: type2}
	for _, w := range ways {
		r.Announcers = append(r.Announcers, w.announcer)
		r.Paths = append(r.Paths, w.paths...)
		r.Partial = r.Partial || w.partial
	}
	slices.SortFunc(r.Announcers, netip.Addr.Compare)
	r.Announcers = slices.Compact(r.Announcers)
	slices.SortFunc(r.Paths, comparePaths)
	r.Paths = slices.CompactFunc(r.Paths, func(a, b []Hop) bool { return slices.Equal(a, b) })
	if len(r.Paths) > MaxPaths {
		r.Paths = r.Paths[:MaxPaths]
	}
	return r
}

func comparePaths(a, b []Hop) int {
	return slices.CompareFunc(a, b, func(x, y Hop) int {
		return cmp.Or(x.Vertex.Compare(y.Vertex), x.Area.Compare(y.Area))
	})
}

// cheapest gives the least cost of some ways.
func cheapest(ways []way) uint32 {
	least := unreached
	for _, w := range ways {
		least = min(least, w.cost)
	}
	return least
}

// best keeps the cheapest of some ways, all if several cost the same.
func best(ways []way) []way {
	least := cheapest(ways)
	return slices.DeleteFunc(ways, func(w way) bool { return w.cost != least })
}

// internal finds the intra-area ways to a prefix, else the inter-area ones.
func (g *Graph) internal(from netip.Addr, p netip.Prefix, depth int) []way {
	if ways := g.intraArea(from, p); len(ways) > 0 {
		return ways
	}
	return g.interArea(from, g.summaries[p], depth, func(abr netip.Addr) []way {
		return g.internal(abr, p, depth+1)
	})
}

// intraArea is RFC 2328 section 16.1.
func (g *Graph) intraArea(from netip.Addr, p netip.Prefix) []way {
	var reached []attachment
	var ways []way
	for _, at := range g.attached[p] {
		t := g.SPF(from, at.area)
		if t == nil {
			continue
		}
		d, ok := t.Distance(at.vertex)
		if !ok {
			continue
		}
		reached = append(reached, at)
		ways = append(ways, way{typ: IntraArea, cost: d + at.cost, backbone: at.area == Backbone, announcer: at.vertex.ID})
	}
	least := cheapest(ways)
	for i, at := range reached { // paths only for what is kept
		if ways[i].cost == least {
			ways[i].paths = hops(at.area, g.SPF(from, at.area).Paths(at.vertex, MaxPaths))
		}
	}
	return best(ways)
}

// summaryAreas are the areas whose summaries a router believes: the backbone
// if it is an area border router there, else every area it is in (RFC 2328
// section 16.2; FRR's and Cisco's reading for a border router without one).
func (g *Graph) summaryAreas(from netip.Addr) []netip.Addr {
	if f, ok := g.Flags(Backbone, from); ok && f&lsa.FlagB != 0 {
		return []netip.Addr{Backbone}
	}
	return g.AreasOf(from)
}

// interArea is RFC 2328 section 16.2, for networks and AS boundary routers
// alike: to the border router that made the summary, and on from there.
func (g *Graph) interArea(from netip.Addr, summaries []announcement, depth int, beyond func(abr netip.Addr) []way) []way {
	if depth > maxDepth {
		return nil
	}
	areas := g.summaryAreas(from)
	var kept []announcement
	var ways []way
	for _, n := range summaries {
		d, ok := g.borderRouter(from, n)
		if !ok || !slices.Contains(areas, n.area) {
			continue
		}
		kept = append(kept, n)
		ways = append(ways, way{typ: InterArea, cost: d + n.metric, backbone: true, announcer: n.adv})
	}
	least := cheapest(ways)
	for i, n := range kept {
		if ways[i].cost != least {
			continue
		}
		head := hops(n.area, g.SPF(from, n.area).Paths(Vertex{Router, n.adv}, MaxPaths))
		ways[i].paths, ways[i].partial = join(head, beyond(n.adv))
	}
	return best(ways)
}

// hops marks paths with the area they run in.
func hops(area netip.Addr, paths [][]Vertex) [][]Hop {
	out := make([][]Hop, len(paths))
	for i, p := range paths {
		for _, v := range p {
			out[i] = append(out[i], Hop{Vertex: v, Area: area})
		}
	}
	return out
}

// join continues paths by those of the border router they end at. Without
// any they stay as they are, partial.
func join(head [][]Hop, tails []way) (paths [][]Hop, partial bool) {
	if len(tails) == 0 {
		return head, true
	}
	for _, h := range head {
		for _, w := range tails {
			partial = partial || w.partial
			for _, t := range w.paths {
				if len(paths) == MaxPaths {
					return paths, partial
				}
				// The border router stands at the end of one and at the start of the other.
				paths = append(paths, slices.Concat(h, t[1:]))
			}
		}
	}
	return paths, partial
}

// external is RFC 2328 section 16.4 with the additions of RFC 3101 section 2.5.
func (g *Graph) external(from netip.Addr, p netip.Prefix) (ways []way, type2 uint32) {
	type candidate struct {
		n announcement
		w way
	}
	var found []candidate
	for _, n := range g.externals[p] {
		for _, w := range g.toExternal(from, n) {
			w.typ, w.announcer = External1, n.adv
			if n.ext.E2 {
				w.typ = External2
			} else {
				w.cost += n.metric
			}
			found = append(found, candidate{n, w})
		}
	}
	if len(found) == 0 {
		return nil, 0
	}
	// Section 16.4 step 6: type 1 before type 2, then the type 2 metric, then
	// section 16.4.1, then the cost; RFC 3101 section 2.5 step 6e: an LSA of
	// type 7 that is to be translated before one of type 5 before other type 7.
	order := func(a, b candidate) int {
		t2 := func(c candidate) uint32 {
			if c.n.ext.E2 {
				return c.n.metric
			}
			return 0
		}
		flag := func(b bool) int {
			if b {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(a.w.typ, b.w.typ), cmp.Compare(t2(a), t2(b)),
			cmp.Compare(flag(a.w.backbone), flag(b.w.backbone)), cmp.Compare(a.w.cost, b.w.cost),
			cmp.Compare(nssaRank(a.n), nssaRank(b.n)))
	}
	first := slices.MinFunc(found, order)
	for _, c := range found {
		if order(c, first) == 0 {
			ways = append(ways, c.w)
		}
	}
	if first.n.ext.E2 {
		type2 = first.n.metric
	}
	return ways, type2
}

func nssaRank(n announcement) int {
	switch {
	case n.typ == lsa.TypeNSSA && n.pbit && n.ext.Forward != Backbone:
		return 0
	case n.typ == lsa.TypeASExternal:
		return 1
	}
	return 2
}

// toExternal finds the ways to where an external LSA says to go: its
// forwarding address, or else its author.
func (g *Graph) toExternal(from netip.Addr, n announcement) []way {
	var areas []netip.Addr // in which an LSA like this is used
	for _, id := range g.AreasOf(from) {
		if n.typ == lsa.TypeNSSA && id == n.area || n.typ == lsa.TypeASExternal && g.node(id, Vertex{Router, from}).extern {
			areas = append(areas, id)
		}
	}
	if len(areas) == 0 {
		return nil
	}
	direct := n.ext.Forward == netip.AddrFrom4([4]byte{})
	if n.adv == from && direct { // its own: it is there already
		return []way{{paths: [][]Hop{{{Vertex: Vertex{Router, from}, Area: areas[0]}}}}}
	}
	author := g.toASBR(from, n.adv, areas, 0)
	if n.adv == from {
		author = []way{{}}
	}
	if len(author) == 0 || direct {
		return author
	}
	// The forwarding address must lie on an internal route, for type 7 within
	// the area (RFC 2328 section 16.4 step 3, RFC 3101 section 2.5 step 3).
	for _, p := range g.prefixes(n.ext.Forward) {
		ways := g.internal(from, p, 0)
		if len(ways) == 0 {
			continue
		}
		if n.typ == lsa.TypeNSSA && ways[0].typ != IntraArea {
			return nil
		}
		return ways
	}
	return nil
}

// toASBR finds the ways to an AS boundary router. Intra-area ways that avoid
// the backbone are taken before all others (RFC 2328 section 16.4.1).
func (g *Graph) toASBR(from, asbr netip.Addr, areas []netip.Addr, depth int) []way {
	var local, ways []way
	for _, id := range areas {
		t := g.SPF(from, id)
		if t == nil {
			continue
		}
		f, known := g.Flags(id, asbr)
		d, reached := t.Distance(Vertex{Router, asbr})
		if !known || f&lsa.FlagE == 0 || !reached {
			continue
		}
		w := way{cost: d, backbone: id == Backbone, announcer: asbr, paths: hops(id, t.Paths(Vertex{Router, asbr}, MaxPaths))}
		if w.backbone {
			ways = append(ways, w)
		} else {
			local = append(local, w)
		}
	}
	if len(local) > 0 {
		return best(local)
	}
	summaries := slices.DeleteFunc(slices.Clone(g.asbrs[asbr]), func(n announcement) bool { return !slices.Contains(areas, n.area) })
	ways = append(ways, g.interArea(from, summaries, depth, func(abr netip.Addr) []way {
		return g.toASBR(abr, asbr, g.AreasOf(abr), depth+1)
	})...)
	return best(ways)
}
