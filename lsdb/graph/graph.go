package graph

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/srrd/srrd/lsdb"
	"github.com/srrd/srrd/lsdb/lsa"
)

// Backbone is area 0.0.0.0.
var Backbone = netip.AddrFrom4([4]byte{})

// Kind is the kind of a vertex.
type Kind uint8

// The kinds of vertices. Their order is that of RFC 2328 section 16.1 step 3.
const (
	Network Kind = iota // a transit network; ID is its designated router's address
	Router              // ID is its router id
)

// String gives the kind in a word.
func (k Kind) String() string {
	if k == Network {
		return "network"
	}
	return "router"
}

// MarshalText is String; it never fails.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Vertex is a router or a transit network of an area.
type Vertex struct {
	Kind Kind       `json:"kind"`
	ID   netip.Addr `json:"id"`
}

// Compare orders vertices: networks first, then by number.
func (v Vertex) Compare(o Vertex) int { return cmp.Or(cmp.Compare(v.Kind, o.Kind), v.ID.Compare(o.ID)) }

// String names the vertex for a person.
func (v Vertex) String() string { return v.Kind.String() + " " + v.ID.String() }

// Edge is one direction of a link that both ends confirm.
type Edge struct {
	To   Vertex     `json:"to"`
	Cost uint32     `json:"cost"`
	Via  netip.Addr `json:"via"` // the near router's own interface address; of a network: the zero Addr
}

// Stub is a network that a router announces as a stub link.
type Stub struct {
	Prefix netip.Prefix `json:"prefix"`
	Cost   uint32       `json:"cost"`
}

// node is what an area knows of a vertex.
type node struct {
	vertex Vertex
	edges  []Edge // sorted by To, Cost, Via
	flags  lsa.RouterFlags
	extern bool // the router takes part in external routing here: neither stub area nor NSSA
	stubs  []Stub
	prefix netip.Prefix // networks
}

// area is one area's graph, vertices in order.
type area struct {
	id    netip.Addr
	nodes []node
	index map[Vertex]int
	trees map[int]*Tree
}

// announcement is one LSA of type 3, 5 or 7 for a prefix, or of type 4.
type announcement struct {
	area   netip.Addr // types 3, 4, 7
	adv    netip.Addr
	typ    lsa.Type
	metric uint32
	ext    lsa.External
	pbit   bool // type 7: to be translated
}

// attachment is a vertex that a network hangs on: as a stub link or as the
// transit network itself.
type attachment struct {
	area   netip.Addr
	vertex Vertex
	cost   uint32 // from the vertex on
}

// Graph is the network as one snapshot tells it. Use New. It is for one
// goroutine: it remembers the trees it computed.
type Graph struct {
	areas     map[netip.Addr]*area
	order     []netip.Addr // areas in ascending order
	summaries map[netip.Prefix][]announcement
	asbrs     map[netip.Addr][]announcement // type 4, by the ASBR they name
	externals map[netip.Prefix][]announcement
	attached  map[netip.Prefix][]attachment
	bits      [33]bool // prefix lengths that occur
}

// New reads a snapshot. It never fails: what makes no sense is left out.
func New(s *lsdb.Snapshot) *Graph {
	g := &Graph{
		areas:     map[netip.Addr]*area{},
		summaries: map[netip.Prefix][]announcement{},
		asbrs:     map[netip.Addr][]announcement{},
		externals: map[netip.Prefix][]announcement{},
		attached:  map[netip.Prefix][]attachment{},
	}
	raw := map[netip.Addr]*rawArea{}
	at := func(id netip.Addr) *rawArea {
		a := raw[id]
		if a == nil {
			a = &rawArea{routers: map[netip.Addr]lsa.Router{}, extern: map[netip.Addr]bool{}, networks: map[netip.Addr][]rawNetwork{}}
			raw[id] = a
			g.order = append(g.order, id)
		}
		return a
	}
	for e := range s.All() { // in key order, which makes all that follows deterministic
		if e.MaxAge {
			continue
		}
		k := e.Key
		switch b := e.LSA.Body.(type) {
		case lsa.Router:
			if k.ID == k.Adv { // else nobody's router LSA (RFC 2328 section 12.4.1)
				at(k.Scope).routers[k.Adv] = b
				at(k.Scope).extern[k.Adv] = e.LSA.Options&lsa.OptionE != 0
			}
		case lsa.Network:
			a := at(k.Scope)
			a.networks[k.ID] = append(a.networks[k.ID], rawNetwork{adv: k.Adv, lsa: e.LSA, body: b})
		case lsa.Summary:
			if b.Metric >= lsa.LSInfinity {
				continue
			}
			n := announcement{area: k.Scope, adv: k.Adv, typ: k.Type, metric: b.Metric}
			if p, ok := e.LSA.Prefix(); ok {
				g.summaries[p] = append(g.summaries[p], n)
				g.bits[p.Bits()] = true
			} else {
				g.asbrs[k.ID] = append(g.asbrs[k.ID], n)
			}
		case lsa.External:
			p, ok := e.LSA.Prefix()
			if !ok || b.Metric >= lsa.LSInfinity {
				continue
			}
			n := announcement{adv: k.Adv, typ: k.Type, metric: b.Metric, ext: b}
			if k.Type == lsa.TypeNSSA {
				n.area, n.pbit = k.Scope, e.LSA.Options&lsa.OptionNP != 0
			}
			g.externals[p] = append(g.externals[p], n)
			g.bits[p.Bits()] = true
		case lsa.Opaque:
		}
	}
	slices.SortFunc(g.order, netip.Addr.Compare)
	for _, id := range g.order {
		a := raw[id].build(id)
		g.areas[id] = a
		for _, n := range a.nodes {
			if n.vertex.Kind == Network {
				g.attach(n.prefix, attachment{id, n.vertex, 0})
			}
			for _, s := range n.stubs {
				g.attach(s.Prefix, attachment{id, n.vertex, s.Cost})
			}
		}
	}
	return g
}

func (g *Graph) attach(p netip.Prefix, at attachment) {
	g.attached[p] = append(g.attached[p], at)
	g.bits[p.Bits()] = true
}

// rawArea is what the LSAs of an area say, unchecked.
type rawArea struct {
	routers  map[netip.Addr]lsa.Router
	extern   map[netip.Addr]bool         // the E bit of the router LSA's options
	networks map[netip.Addr][]rawNetwork // by link state ID; more than one after a change of the designated router
}

type rawNetwork struct {
	adv  netip.Addr
	lsa  lsa.LSA
	body lsa.Network
}

// network picks the network LSA for a link state ID: the one whose author
// says that this is its own interface, that is, who is the designated router
// now; the highest router id if none or several do.
func (r *rawArea) network(id netip.Addr) (rawNetwork, bool) {
	list := r.networks[id]
	for _, n := range slices.Backward(list) {
		for _, l := range r.routers[n.adv].Links {
			if l.Type == lsa.LinkTransit && l.ID == id && l.Data == id {
				return n, true
			}
		}
	}
	if len(list) == 0 {
		return rawNetwork{}, false
	}
	return list[len(list)-1], true
}

// answers reports whether router w has a link to v of the kind wanted: the
// link back of RFC 2328 section 16.1 step 2b.
func (r *rawArea) answers(w netip.Addr, want lsa.LinkType, v netip.Addr) bool {
	return slices.ContainsFunc(r.routers[w].Links, func(l lsa.RouterLink) bool { return l.Type == want && l.ID == v })
}

// build checks every link both ways and numbers the vertices.
func (r *rawArea) build(id netip.Addr) *area {
	a := &area{id: id, index: map[Vertex]int{}, trees: map[int]*Tree{}}
	networks := map[netip.Addr]rawNetwork{}
	for nid := range r.networks {
		if n, ok := r.network(nid); ok {
			networks[nid] = n
			p, _ := n.lsa.Prefix()
			out := node{vertex: Vertex{Network, nid}, prefix: p}
			for _, rid := range n.body.Routers {
				if r.answers(rid, lsa.LinkTransit, nid) {
					out.edges = append(out.edges, Edge{To: Vertex{Router, rid}})
				}
			}
			a.nodes = append(a.nodes, out)
		}
	}
	for rid, body := range r.routers {
		out := node{vertex: Vertex{Router, rid}, flags: body.Flags, extern: r.extern[rid]}
		for _, l := range body.Links {
			switch l.Type {
			case lsa.LinkPointToPoint, lsa.LinkVirtual:
				if l.ID != rid && r.answers(l.ID, l.Type, rid) {
					out.edges = append(out.edges, Edge{To: Vertex{Router, l.ID}, Cost: uint32(l.Metric), Via: l.Data})
				}
			case lsa.LinkTransit:
				if n, ok := networks[l.ID]; ok && slices.Contains(n.body.Routers, rid) {
					out.edges = append(out.edges, Edge{To: Vertex{Network, l.ID}, Cost: uint32(l.Metric), Via: l.Data})
				}
			case lsa.LinkStub:
				if p, ok := l.Prefix(); ok {
					out.stubs = append(out.stubs, Stub{Prefix: p, Cost: uint32(l.Metric)})
				}
			}
		}
		a.nodes = append(a.nodes, out)
	}
	slices.SortFunc(a.nodes, func(x, y node) int { return x.vertex.Compare(y.vertex) })
	for i := range a.nodes {
		slices.SortFunc(a.nodes[i].edges, Edge.compare)
		a.nodes[i].edges = slices.Compact(a.nodes[i].edges)
		a.index[a.nodes[i].vertex] = i
	}
	return a
}

func (e Edge) compare(o Edge) int {
	return cmp.Or(e.To.Compare(o.To), cmp.Compare(e.Cost, o.Cost), e.Via.Compare(o.Via))
}

// Areas lists the areas the snapshot has routers or networks of, ascending.
func (g *Graph) Areas() []netip.Addr { return slices.Clone(g.order) }

// Vertices lists the vertices of an area in order, also unreachable ones.
func (g *Graph) Vertices(areaID netip.Addr) []Vertex {
	a := g.areas[areaID]
	if a == nil {
		return nil
	}
	out := make([]Vertex, len(a.nodes))
	for i, n := range a.nodes {
		out[i] = n.vertex
	}
	return out
}

// Edges lists the confirmed links that lead away from a vertex.
func (g *Graph) Edges(areaID netip.Addr, v Vertex) []Edge {
	n := g.node(areaID, v)
	if n == nil {
		return nil
	}
	return slices.Clone(n.edges)
}

// Stubs lists the stub networks of a router in an area, as announced.
func (g *Graph) Stubs(areaID, router netip.Addr) []Stub {
	n := g.node(areaID, Vertex{Router, router})
	if n == nil {
		return nil
	}
	return slices.Clone(n.stubs)
}

// Flags gives the flags of a router's LSA in an area; ok is false if it has
// none there.
func (g *Graph) Flags(areaID, router netip.Addr) (f lsa.RouterFlags, ok bool) {
	n := g.node(areaID, Vertex{Router, router})
	if n == nil {
		return 0, false
	}
	return n.flags, true
}

// NetworkPrefix gives the prefix of a transit network.
func (g *Graph) NetworkPrefix(areaID, id netip.Addr) (p netip.Prefix, ok bool) {
	n := g.node(areaID, Vertex{Network, id})
	if n == nil {
		return netip.Prefix{}, false
	}
	return n.prefix, true
}

// AreasOf lists the areas in which a router has a router LSA, ascending.
func (g *Graph) AreasOf(router netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, id := range g.order {
		if _, ok := g.areas[id].index[Vertex{Router, router}]; ok {
			out = append(out, id)
		}
	}
	return out
}

func (g *Graph) node(areaID netip.Addr, v Vertex) *node {
	a := g.areas[areaID]
	if a == nil {
		return nil
	}
	i, ok := a.index[v]
	if !ok {
		return nil
	}
	return &a.nodes[i]
}
