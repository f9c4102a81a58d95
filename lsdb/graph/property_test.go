package graph

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/srrd/srrd/lsdb"
	"github.com/srrd/srrd/lsdb/lsa"
)

func number(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}

func feed(t interface{ Fatal(...any) }, db *lsdb.DB, typ lsa.Type, id, adv netip.Addr, body lsa.Body) {
	raw, err := lsa.LSA{Header: lsa.Header{Age: 1, Options: lsa.OptionE, Type: typ, ID: id, AdvRouter: adv, Seq: lsa.InitialSeq}, Body: body}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Update(time.Time{}, lsdb.Update{Area: Backbone, Raw: raw}); err != nil {
		t.Fatal(err)
	}
}

// slowTree is Bellman and Ford over what the LSAs say, with the check both
// ways done by looking, not by index.
type slowTree struct {
	dist    map[Vertex]uint32
	parents map[Vertex][]Vertex
}

func slowSPF(root netip.Addr, routers map[netip.Addr]lsa.Router, networks map[netip.Addr]lsa.Network) slowTree {
	type edge struct {
		from, to Vertex
		cost     uint32
	}
	has := func(list []lsa.RouterLink, typ lsa.LinkType, id netip.Addr) bool {
		return slices.ContainsFunc(list, func(l lsa.RouterLink) bool { return l.Type == typ && l.ID == id })
	}
	var edges []edge
	for id, r := range routers {
		for _, l := range r.Links {
			switch {
			case l.Type == lsa.LinkPointToPoint && l.ID != id && has(routers[l.ID].Links, lsa.LinkPointToPoint, id):
				edges = append(edges, edge{Vertex{Router, id}, Vertex{Router, l.ID}, uint32(l.Metric)})
			case l.Type == lsa.LinkTransit && slices.Contains(networks[l.ID].Routers, id):
				edges = append(edges, edge{Vertex{Router, id}, Vertex{Network, l.ID}, uint32(l.Metric)},
					edge{Vertex{Network, l.ID}, Vertex{Router, id}, 0})
			}
		}
	}
	s := slowTree{dist: map[Vertex]uint32{{Router, root}: 0}, parents: map[Vertex][]Vertex{}}
	for again := true; again; {
		again = false
		for _, e := range edges {
			d, ok := s.dist[e.from]
			if !ok {
				continue
			}
			if old, known := s.dist[e.to]; !known || d+e.cost < old {
				s.dist[e.to] = d + e.cost
				again = true
			}
		}
	}
	for _, e := range edges {
		d, ok := s.dist[e.from]
		if ok && e.to != (Vertex{Router, root}) && d+e.cost == s.dist[e.to] && !slices.Contains(s.parents[e.to], e.from) {
			s.parents[e.to] = append(s.parents[e.to], e.from)
		}
	}
	for _, p := range s.parents {
		slices.SortFunc(p, Vertex.Compare)
	}
	return s
}

func TestTheTreeAgreesWithItsSlowTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := uint32(rapid.IntRange(1, 12).Draw(t, "routers"))
		lans := uint32(rapid.IntRange(0, 4).Draw(t, "lans"))
		routers := map[netip.Addr]lsa.Router{}
		networks := map[netip.Addr]lsa.Network{}
		cost := rapid.Uint16Range(1, 5) // of 0 the twin finds parents that Dijkstra, by its order, need not
		for i := range n {
			var r lsa.Router
			for range rapid.IntRange(0, 5).Draw(t, "links") {
				l := lsa.RouterLink{Type: lsa.LinkPointToPoint, ID: number(1 + rapid.Uint32Range(0, n).Draw(t, "to")), Data: number(9), Metric: cost.Draw(t, "cost")}
				if lans > 0 && rapid.Bool().Draw(t, "lan") {
					l.Type, l.ID = lsa.LinkTransit, number(0x0a000000+rapid.Uint32Range(0, lans).Draw(t, "on"))
				}
				r.Links = append(r.Links, l)
			}
			routers[number(1+i)] = r
		}
		for i := range lans {
			var net lsa.Network
			net.Routers = append(net.Routers, number(1))
			for j := range n {
				if rapid.Bool().Draw(t, "member") {
					net.Routers = append(net.Routers, number(1+j))
				}
			}
			networks[number(0x0a000000+i)] = net
		}
		db := lsdb.New(lsdb.Limits{})
		for id, r := range routers {
			feed(t, db, lsa.TypeRouter, id, id, r)
		}
		for id, net := range networks {
			feed(t, db, lsa.TypeNetwork, id, number(1), net)
		}
		g := New(db.Snapshot())
		for i := range n {
			root := number(1 + i)
			tree, slow := g.SPF(root, Backbone), slowSPF(root, routers, networks)
			if tree.Root() != root {
				t.Fatalf("root is %s, not %s", tree.Root(), root)
			}
			var reached []netip.Addr
			for _, v := range g.Vertices(Backbone) {
				d, ok := tree.Distance(v)
				want, wantOK := slow.dist[v]
				if d != want || ok != wantOK {
					t.Fatalf("from %s to %s: %d %v, the twin says %d %v", root, v, d, ok, want, wantOK)
				}
				if diff := cmp.Diff(slow.parents[v], tree.Parents(v), compareAddrs); diff != "" {
					t.Fatalf("parents of %s from %s (-twin +got):\n%s", v, root, diff)
				}
				for _, p := range tree.Paths(v, 5) {
					if p[0] != (Vertex{Router, root}) || p[len(p)-1] != v {
						t.Fatalf("path from %s to %s is %v", root, v, p)
					}
				}
				if ok != (len(tree.Paths(v, 1)) == 1) {
					t.Fatalf("reachable %v, but paths %v", ok, tree.Paths(v, 1))
				}
				if ok && v.Kind == Router && v.ID != root {
					reached = append(reached, v.ID)
				}
			}
			if !slices.Equal(reached, g.Reachable(root, Backbone)) {
				t.Fatalf("reachable from %s: %v, want %v", root, g.Reachable(root, Backbone), reached)
			}
		}
	})
}

func TestLinksOfCostZeroMakeNoLoops(t *testing.T) {
	g := newNet(t).
		router("0.0.0.0", "1.1.1.1", 0, "p2p 2.2.2.2 0", "p2p 3.3.3.3 0").
		router("0.0.0.0", "2.2.2.2", 0, "p2p 1.1.1.1 0", "p2p 3.3.3.3 0").
		router("0.0.0.0", "3.3.3.3", 0, "p2p 1.1.1.1 0", "p2p 2.2.2.2 0", "stub 10.0.0.3/32 0").graph()
	want := "intra 0 by [3.3.3.3]\n  1.1.1.1 2.2.2.2 3.3.3.3\n  1.1.1.1 3.3.3.3"
	if got := shown(g.Lookup(ip("1.1.1.1"), ip("10.0.0.3"))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPathsAreBoundedHoweverManyThereAre(t *testing.T) {
	// Twenty diamonds in a row: a million shortest paths.
	n := newNet(t)
	name := func(kind, i int) string { return fmt.Sprintf("1.0.%d.%d", kind, i) }
	const diamonds = 20
	for i := range diamonds + 1 {
		var links []string
		if i > 0 {
			links = append(links, "p2p "+name(1, i-1)+" 1", "p2p "+name(2, i-1)+" 1")
		}
		if i < diamonds {
			links = append(links, "p2p "+name(1, i)+" 1", "p2p "+name(2, i)+" 1")
			for _, side := range []int{1, 2} {
				n.router("0.0.0.0", name(side, i), 0, "p2p "+name(0, i)+" 1", "p2p "+name(0, i+1)+" 1")
			}
		} else {
			links = append(links, "stub 10.0.0.9/32 0")
		}
		n.router("0.0.0.0", name(0, i), 0, links...)
	}
	r, ok := n.graph().Lookup(ip(name(0, 0)), ip("10.0.0.9"))
	if !ok || r.Cost != 2*diamonds || len(r.Paths) != MaxPaths {
		t.Errorf("cost %d by %d paths, want %d by %d", r.Cost, len(r.Paths), 2*diamonds, MaxPaths)
	}
}

// grid is a mirror of n x n routers in a mesh of point-to-point links.
func grid(b *testing.B, n uint32) *lsdb.DB {
	db := lsdb.New(lsdb.Limits{})
	at := func(x, y uint32) netip.Addr { return number(0x01000000 + y*n + x) }
	for y := range n {
		for x := range n {
			var r lsa.Router
			link := func(to netip.Addr) {
				r.Links = append(r.Links, lsa.RouterLink{Type: lsa.LinkPointToPoint, ID: to, Data: number(1), Metric: uint16(1 + (x*7+y*13)%10)})
			}
			if x > 0 {
				link(at(x-1, y))
			}
			if x+1 < n {
				link(at(x+1, y))
			}
			if y > 0 {
				link(at(x, y-1))
			}
			if y+1 < n {
				link(at(x, y+1))
			}
			r.Links = append(r.Links, lsa.RouterLink{Type: lsa.LinkStub, ID: number(0x0a000000 + y*n + x), Data: number(0xffffffff)})
			feed(b, db, lsa.TypeRouter, at(x, y), at(x, y), r)
		}
	}
	return db
}

func BenchmarkReachableOf1000Routers(b *testing.B) {
	s := grid(b, 32).Snapshot()
	for b.Loop() {
		if got := New(s).ReachableRouters(number(0x01000000)); len(got) != 1023 {
			b.Fatalf("%d reachable", len(got))
		}
	}
}

func BenchmarkSPFOf1000Routers(b *testing.B) {
	a := New(grid(b, 32).Snapshot()).areas[Backbone]
	for b.Loop() {
		a.spf(0)
	}
}
