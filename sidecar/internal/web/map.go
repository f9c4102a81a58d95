package web

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/srrd/srrd/lsdb/graph"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// mapStuff is the map, ready to be drawn.
type mapStuff struct {
	Service  string
	Services []string
	Addr     netip.Addr // whose paths are drawn
	Stubs    bool       // stub networks are drawn
	Box      box
	Links    []drawnLink
	Ways     []drawnWay
	Things   []thing
	Rows     []pathRow
	Routers  int
	Networks int
	Empty    string // why there is nothing to draw
}

type box struct{ X, Y, W, H float64 }

// drawnLink is a line between two things.
type drawnLink struct {
	A, B  point
	Stub  bool
	CostA string // at the end of A; "" where there is no room for figures
	AtA   point
	CostB string
	AtB   point
}

// drawnWay is a stretch of a path, with the tip of an arrow in its middle.
type drawnWay struct {
	A, B point
	Tip  string // points of a polygon
}

// thing is a router, a network or a node.
type thing struct {
	At       point
	Kind     string // router, node, network, stub
	Name     string
	Under    string // a second line
	Title    string
	Link     string
	Here     bool
	Away     bool
	Services []badge
	More     int // services that are not listed
}

// badge is a service at a node.
type badge struct {
	Name, Shape, Tone, State string
	Y                        float64
}

// pathRow is a path in words.
type pathRow struct {
	From   string
	To     string
	Type   string
	Cost   uint32
	Prefix netip.Prefix
	Paths  []string
	None   bool
	Cover  bool // by a prefix that only covers the address
}

// Bounds of the drawing.
const (
	maxBadges  = 5  // services listed at a node
	maxStubs   = 28 // stub networks that are drawn without being asked for
	maxFigures = 60 // links that have their costs written
	margin     = 60.0
)

// sketch collects vertices and links before they have a place.
type sketch struct {
	things map[string]*thing
	links  map[[2]string]*[2]string // by key, the costs at both ends
	stubs  map[[2]string]bool
}

func routerKey(id netip.Addr) string { return "r " + id.String() }

func vertexKey(v graph.Vertex) string {
	if v.Kind == graph.Router {
		return routerKey(v.ID)
	}
	return "n " + v.ID.String()
}

func (k *sketch) link(a, b, cost string, stub bool) {
	pair, end := [2]string{a, b}, 0
	if b < a {
		pair, end = [2]string{b, a}, 1
	}
	c := k.links[pair]
	if c == nil {
		c = &[2]string{}
		k.links[pair] = c
	}
	c[end] = cost
	k.stubs[pair] = stub
}

func mapPage(r *request) error {
	s, err := r.read()
	if err != nil {
		return err
	}
	st := mapStuff{}
	q := r.URL.Query()
	for i := range s.Machine.Services {
		st.Services = append(st.Services, s.Machine.Services[i].Name)
	}
	if s.LSDB.Mirror == nil || s.LSDB.Mirror.Len() == 0 {
		st.Empty = "The link-state database is empty: " + view.OSPFWords(&s.Machine.OSPF) + "."
		return r.show("map", "Map", "/map", true, st)
	}
	g := graph.New(s.LSDB.Mirror)
	k := &sketch{map[string]*thing{}, map[[2]string]*[2]string{}, map[[2]string]bool{}}
	st.vertices(k, g, s)
	st.addStubs(k, g, q.Get("stubs"))
	addNodes(k, s)
	keys := slices.Sorted(maps.Keys(k.things))
	pairs := slices.SortedFunc(maps.Keys(k.links), func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	index := map[string]int{}
	for i, key := range keys {
		index[key] = i
	}
	var links [][2]int
	for _, p := range pairs {
		links = append(links, [2]int{index[p[0]], index[p[1]]})
	}
	at := r.charts.place(keys, links, q.Get("arrange") == "anew")
	for i, key := range keys {
		k.things[key].At = at[i]
		st.Things = append(st.Things, *k.things[key])
	}
	st.draw(k, pairs)
	if sv := s.Service(q.Get("service")); sv != nil {
		st.Service = sv.Name
		st.paths(k, g, s, sv)
	}
	return r.show("map", "Map", "/map", true, st)
}

// vertices takes routers, transit networks and their links from the graph.
func (st *mapStuff) vertices(k *sketch, g *graph.Graph, s *view.Snapshot) {
	for _, area := range g.Areas() {
		for _, v := range g.Vertices(area) {
			key := vertexKey(v)
			t := k.things[key]
			if t == nil {
				t = &thing{Kind: v.Kind.String(), Name: v.ID.String()}
				k.things[key] = t
				if v.Kind == graph.Router {
					st.Routers++
				} else {
					st.Networks++
				}
			}
			if v.Kind == graph.Network {
				if p, ok := g.NetworkPrefix(area, v.ID); ok {
					t.Name = p.Masked().String()
				}
				t.Title = fmt.Sprintf("network %s, designated router %s, area %s", t.Name, v.ID, area)
			} else {
				var words []string
				for _, a := range g.AreasOf(v.ID) {
					words = append(words, a.String())
				}
				f, _ := g.Flags(area, v.ID)
				t.Title = strings.TrimSpace(fmt.Sprintf("router %s, area %s %s", v.ID, strings.Join(words, " "), f))
			}
			for _, e := range g.Edges(area, v) {
				cost := ""
				if v.Kind == graph.Router {
					cost = fmt.Sprint(e.Cost)
				}
				k.link(key, vertexKey(e.To), cost, false)
			}
		}
	}
}

// addStubs draws the networks at the edge, where clients are: all, none, or
// as many as leave the map readable.
func (st *mapStuff) addStubs(k *sketch, g *graph.Graph, want string) {
	type stub struct {
		router netip.Addr
		graph.Stub
	}
	var all []stub
	for _, area := range g.Areas() {
		for _, v := range g.Vertices(area) {
			if v.Kind != graph.Router {
				continue
			}
			links := g.Edges(area, v)
			for _, s := range g.Stubs(area, v.ID) {
				// A /32 is an address; and the stub of a point-to-point link is
				// that link.
				if s.Prefix.Bits() == 32 || slices.ContainsFunc(links, func(e graph.Edge) bool { return e.Via.IsValid() && s.Prefix.Contains(e.Via) }) {
					continue
				}
				all = append(all, stub{v.ID, s})
			}
		}
	}
	st.Stubs = want == "yes" || want != "no" && len(all) <= maxStubs
	if !st.Stubs {
		return
	}
	for _, s := range all {
		key := "s " + s.Prefix.String()
		if k.things[key] == nil {
			k.things[key] = &thing{Kind: "stub", Name: s.Prefix.String(), Title: "stub network " + s.Prefix.String()}
		}
		k.link(routerKey(s.router), key, fmt.Sprint(s.Cost), true)
	}
}

// addNodes tells which routers are nodes of the cluster, and what they run.
func addNodes(k *sketch, s *view.Snapshot) {
	for i := range s.Machine.Nodes {
		n := &s.Machine.Nodes[i]
		key := routerKey(n.Router.Addr())
		t := k.things[key]
		if t == nil {
			t = &thing{Title: "router " + n.Router.String() + ", not in the database"}
			k.things[key] = t
		}
		t.Kind, t.Name, t.Under = "node", view.NameOf(n.Host, n.Router), n.Router.String()
		t.Here, t.Away = n.Self, n.Status != "present"
		t.Title = fmt.Sprintf("node %s, %s, %s; %s", t.Name, nodeMark(n).Word, n.Status, t.Title)
		t.Link = elsewhere(n, "/map")
		for _, o := range s.OffersOf(n.Router) {
			state := o.Offer.State.String()
			if state == "stopped" || !o.Offer.Counts && !o.Offer.Self {
				continue
			}
			if len(t.Services) == maxBadges {
				t.More++
				continue
			}
			t.Services = append(t.Services, badgeOf(o.Service, state, len(t.Services)))
		}
	}
}

func badgeOf(name, state string, i int) badge {
	b := badge{Name: name, State: state, Y: 34 + 13*float64(i)}
	switch state {
	case "started":
		b.Shape, b.Tone = "●", "runs"
	case "starting":
		b.Shape, b.Tone = "▶", "moves"
	case "stopping":
		b.Shape, b.Tone = "■", "moves"
	default:
		b.Shape, b.Tone = "✕", "fails"
	}
	return b
}

// draw gives links their ends and the page its size.
func (st *mapStuff) draw(k *sketch, pairs [][2]string) {
	figures := len(pairs) <= maxFigures
	for _, p := range pairs {
		l := drawnLink{A: k.things[p[0]].At, B: k.things[p[1]].At, Stub: k.stubs[p]}
		if figures {
			l.figure(k.links[p])
		}
		st.Links = append(st.Links, l)
	}
	lo, hi := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, t := range st.Things {
		lo = point{min(lo.X, t.At.X), min(lo.Y, t.At.Y)}
		below := 0.0
		if len(t.Services) > 0 {
			below = 13 * float64(len(t.Services))
		}
		hi = point{max(hi.X, t.At.X), max(hi.Y, t.At.Y+below)}
	}
	// A small map is not blown up: its box is at least as wide as a page.
	w, h := hi.X-lo.X+2*margin, hi.Y-lo.Y+2*margin
	wide, high := max(w, 860), max(h, 300)
	st.Box = box{lo.X - margin - (wide-w)/2, lo.Y - margin - (high-h)/2, wide, high}
}

// figure writes the costs beside the line: one where both ends say the same or
// only one end has a cost (a network's side is free), else each nearer its end.
func (l *drawnLink) figure(cost *[2]string) {
	one, other := cost[0], cost[1]
	if one == other || other == "" {
		l.CostA, l.AtA = one, beside(l.A, l.B, 0.5)
		return
	}
	if one == "" {
		l.CostA, l.AtA = other, beside(l.A, l.B, 0.5)
		return
	}
	l.CostA, l.AtA = one, beside(l.A, l.B, 0.36)
	l.CostB, l.AtB = other, beside(l.A, l.B, 0.64)
}

// beside is a place next to the line, where text does not cover it.
func beside(a, b point, part float64) point {
	p := between(a, b, part)
	d := max(1, math.Hypot(b.X-a.X, b.Y-a.Y))
	nx, ny := (b.Y-a.Y)/d, -(b.X-a.X)/d
	if ny > 0 || ny == 0 && nx < 0 { // above the line, right of an upright one
		nx, ny = -nx, -ny
	}
	return point{math.Round(p.X + 9*nx), math.Round(p.Y + 9*ny + 3)}
}

func between(a, b point, part float64) point {
	return point{math.Round(a.X + (b.X-a.X)*part), math.Round(a.Y + (b.Y-a.Y)*part)}
}

// paths draws the way packets for the service take from every router.
func (st *mapStuff) paths(k *sketch, g *graph.Graph, s *view.Snapshot, sv *machine.ServiceView) {
	if len(sv.Addresses) == 0 {
		return
	}
	st.Addr = sv.Addresses[0]
	drawn := map[[2]string]bool{}
	for _, id := range routers(g) {
		row := pathRow{From: s.HostOf(id.String())}
		route, ok := g.Lookup(id, st.Addr)
		if !ok {
			row.None = true
			st.Rows = append(st.Rows, row)
			continue
		}
		row.Type, row.Cost, row.Prefix = route.Type.String(), route.Cost, route.Prefix
		row.Cover = route.Prefix.Bits() != st.Addr.BitLen()
		var to []string
		for _, a := range route.Announcers {
			to = append(to, s.HostOf(a.String()))
		}
		row.To = strings.Join(to, ", ")
		for _, p := range route.Paths {
			row.Paths = append(row.Paths, pathWords(k, s, p))
			for i := 1; i < len(p) && !row.Cover; i++ {
				drawn[[2]string{vertexKey(p[i-1].Vertex), vertexKey(p[i].Vertex)}] = true
			}
		}
		st.Rows = append(st.Rows, row)
	}
	for _, hop := range slices.SortedFunc(maps.Keys(drawn), func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }) {
		a, b := k.things[hop[0]], k.things[hop[1]]
		if a != nil && b != nil {
			st.Ways = append(st.Ways, drawnWay{a.At, b.At, arrow(a.At, b.At)})
		}
	}
}

func routers(g *graph.Graph) []netip.Addr {
	seen := map[netip.Addr]bool{}
	for _, area := range g.Areas() {
		for _, v := range g.Vertices(area) {
			if v.Kind == graph.Router {
				seen[v.ID] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(seen), netip.Addr.Compare)
}

func pathWords(k *sketch, s *view.Snapshot, p []graph.Hop) string {
	var words []string
	for _, h := range p {
		switch t := k.things[vertexKey(h.Vertex)]; {
		case h.Kind == graph.Router:
			words = append(words, s.HostOf(h.ID.String()))
		case t != nil:
			words = append(words, t.Name)
		default:
			words = append(words, h.ID.String())
		}
	}
	return strings.Join(words, " → ")
}

// arrow is the tip, a little before the middle of the line towards b.
func arrow(a, b point) string {
	d := math.Hypot(b.X-a.X, b.Y-a.Y)
	if d < 1 {
		return ""
	}
	ux, uy := (b.X-a.X)/d, (b.Y-a.Y)/d
	m := between(a, b, 0.55)
	return fmt.Sprintf("%.0f,%.0f %.0f,%.0f %.0f,%.0f", m.X+7*ux, m.Y+7*uy, m.X-5*ux-5*uy, m.Y-5*uy+5*ux, m.X-5*ux+5*uy, m.Y-5*uy-5*ux)
}
