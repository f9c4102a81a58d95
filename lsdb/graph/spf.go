package graph

import (
	"container/heap"
	"net/netip"
	"slices"

	"github.com/srrd/srrd/lsdb/lsa"
)

// unreached is the distance of a vertex that cannot be reached.
const unreached = ^uint32(0)

// Tree is the shortest-path tree of one area from one router, with all
// equal-cost parents (RFC 2328 section 16.1). It is immutable.
type Tree struct {
	area    *area
	root    int
	dist    []uint32
	parents [][]int // ascending
}

// SPF gives the tree of an area from a router; nil if the router has no
// router LSA there.
func (g *Graph) SPF(root, areaID netip.Addr) *Tree {
	a := g.areas[areaID]
	if a == nil {
		return nil
	}
	i, ok := a.index[Vertex{Router, root}]
	if !ok {
		return nil
	}
	if t := a.trees[i]; t != nil {
		return t
	}
	t := a.spf(i)
	a.trees[i] = t
	return t
}

// spf is Dijkstra's algorithm. Node numbers are in vertex order, so that the
// candidate list needs only distance and number to break ties by rule.
func (a *area) spf(root int) *Tree {
	t := &Tree{area: a, root: root, dist: make([]uint32, len(a.nodes)), parents: make([][]int, len(a.nodes))}
	for i := range t.dist {
		t.dist[i] = unreached
	}
	t.dist[root] = 0
	done := make([]bool, len(a.nodes))
	todo := candidates{{0, root}}
	for len(todo) > 0 {
		c, _ := heap.Pop(&todo).(candidate)
		v := c.node
		if done[v] {
			continue // a longer way that was overtaken
		}
		done[v] = true
		for _, e := range a.nodes[v].edges {
			w, known := a.index[e.To]
			if !known || done[w] {
				continue
			}
			switch d := t.dist[v] + e.Cost; {
			case d < t.dist[w]:
				t.dist[w] = d
				t.parents[w] = append(t.parents[w][:0], v)
				heap.Push(&todo, candidate{d, w})
			case d == t.dist[w] && !slices.Contains(t.parents[w], v): // not again by a parallel link
				t.parents[w] = append(t.parents[w], v)
			}
		}
	}
	for _, p := range t.parents {
		slices.Sort(p)
	}
	return t
}

type candidate struct {
	dist uint32
	node int
}

// candidates is a heap by distance, then vertex order.
type candidates []candidate

func (c candidates) Len() int { return len(c) }
func (c candidates) Less(i, j int) bool {
	if c[i].dist != c[j].dist {
		return c[i].dist < c[j].dist
	}
	return c[i].node < c[j].node
}
func (c candidates) Swap(i, j int) { c[i], c[j] = c[j], c[i] }

// Push and Pop are for container/heap.
func (c *candidates) Push(x any) {
	if v, ok := x.(candidate); ok {
		*c = append(*c, v)
	}
}

func (c *candidates) Pop() any {
	last := len(*c) - 1
	v := (*c)[last]
	*c = (*c)[:last]
	return v
}

// Root is the router the tree starts from.
func (t *Tree) Root() netip.Addr { return t.area.nodes[t.root].vertex.ID }

// Distance gives the cost from the root to a vertex; ok is false if it
// cannot be reached.
func (t *Tree) Distance(v Vertex) (cost uint32, ok bool) {
	i, known := t.area.index[v]
	if !known || t.dist[i] == unreached {
		return 0, false
	}
	return t.dist[i], true
}

// Parents lists the vertices before v on its shortest paths, in order; none
// for the root and for what cannot be reached.
func (t *Tree) Parents(v Vertex) []Vertex {
	i, known := t.area.index[v]
	if !known {
		return nil
	}
	var out []Vertex
	for _, p := range t.parents[i] {
		out = append(out, t.area.nodes[p].vertex)
	}
	return out
}

// Routers lists the routers that can be reached, ascending, without the root
// (as ospfd's REACHABLE_CHANGE does).
func (t *Tree) Routers() []netip.Addr {
	var out []netip.Addr
	for i, n := range t.area.nodes {
		if n.vertex.Kind == Router && i != t.root && t.dist[i] != unreached {
			out = append(out, n.vertex.ID)
		}
	}
	return out
}

// Paths lists shortest paths from the root to v, root and v included, at most
// limit of them, in vertex order counted from v. Parallel links between two
// vertices are one path.
func (t *Tree) Paths(v Vertex, limit int) [][]Vertex {
	i, known := t.area.index[v]
	if !known || t.dist[i] == unreached {
		return nil
	}
	var out [][]Vertex
	var walk func(i int, tail []Vertex)
	walk = func(i int, tail []Vertex) {
		if len(out) >= limit {
			return
		}
		tail = append(tail, t.area.nodes[i].vertex)
		if i == t.root {
			path := slices.Clone(tail)
			slices.Reverse(path)
			out = append(out, path)
			return
		}
		for _, p := range t.parents[i] {
			walk(p, tail)
		}
	}
	walk(i, nil)
	return out
}

// Reachable lists the routers that root can reach within an area, ascending,
// without root itself.
func (g *Graph) Reachable(root, areaID netip.Addr) []netip.Addr {
	t := g.SPF(root, areaID)
	if t == nil {
		return nil
	}
	return t.Routers()
}

// ReachableRouters lists the routers that root can reach within any area it
// is in, ascending, without root itself. It is the set that ospfd reports
// with REACHABLE_CHANGE where it can.
func (g *Graph) ReachableRouters(root netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, id := range g.AreasOf(root) {
		out = append(out, g.Reachable(root, id)...)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// ReachableASBR reports whether root can reach an AS boundary router of
// another area: a live type 4 LSA in an area root is in names it, by an area
// border router that root reaches within that area. Whether the ASBR is
// reachable in an area of root itself, ReachableRouters tells.
func (g *Graph) ReachableASBR(root, asbr netip.Addr) bool {
	return slices.ContainsFunc(g.asbrs[asbr], func(n announcement) bool {
		_, ok := g.borderRouter(root, n)
		return ok
	})
}

// borderRouter gives the cost from root to the area border router that made
// a summary, within the area it is in. The border router must say of itself
// that it is one (RFC 2328 section 16.2 step 4), and not be root.
func (g *Graph) borderRouter(root netip.Addr, n announcement) (cost uint32, ok bool) {
	t := g.SPF(root, n.area)
	if t == nil || n.adv == root {
		return 0, false
	}
	if f, known := g.Flags(n.area, n.adv); !known || f&lsa.FlagB == 0 {
		return 0, false
	}
	return t.Distance(Vertex{Router, n.adv})
}
