package web

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/srrd/srrd/lsdb"
	"github.com/srrd/srrd/lsdb/lsa"
	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
)

// topology is a network to draw: routers with numbers from 1, links of two of
// them, LANs of several.
type topology struct {
	routers int
	links   [][2]int
	lans    [][]int
	stubs   []int          // routers with a stub network
	hosts   map[int]string // routers that are nodes
}

func routerAddr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 255, byte(i >> 8), byte(i)})
}

// mirror floods it into a database. announced is a /32 that a router has.
func (n *topology) mirror(t testing.TB, announced map[netip.Addr]int) *lsdb.Snapshot {
	t.Helper()
	db := lsdb.New(lsdb.Limits{})
	links := map[int][]lsa.RouterLink{}
	put := func(area netip.Addr, h lsa.Header, body lsa.Body) {
		h.Seq, h.Options = lsa.InitialSeq, lsa.OptionE|lsa.OptionO
		raw, err := lsa.LSA{Header: h, Body: body}.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Update(viewtest.Now.Add(-20*time.Second), lsdb.Update{Area: area, Raw: raw}); err != nil {
			t.Fatal(err)
		}
	}
	zero := netip.MustParseAddr("0.0.0.0")
	for i, l := range n.links {
		a, b := netip.AddrFrom4([4]byte{10, 0, byte(i), 1}), netip.AddrFrom4([4]byte{10, 0, byte(i), 2})
		links[l[0]] = append(links[l[0]], lsa.RouterLink{Type: lsa.LinkPointToPoint, ID: routerAddr(l[1]), Data: a, Metric: 10})
		links[l[1]] = append(links[l[1]], lsa.RouterLink{Type: lsa.LinkPointToPoint, ID: routerAddr(l[0]), Data: b, Metric: 10})
	}
	for i, lan := range n.lans {
		dr := netip.AddrFrom4([4]byte{10, 1, byte(i), 1})
		var members []netip.Addr
		for j, r := range lan {
			links[r] = append(links[r], lsa.RouterLink{Type: lsa.LinkTransit, ID: dr, Data: netip.AddrFrom4([4]byte{10, 1, byte(i), byte(j + 1)}), Metric: 10})
			members = append(members, routerAddr(r))
		}
		put(zero, lsa.Header{Type: lsa.TypeNetwork, ID: dr, AdvRouter: routerAddr(lan[0])}, lsa.Network{Bits: 24, Routers: members})
	}
	for i, r := range n.stubs {
		links[r] = append(links[r], lsa.RouterLink{Type: lsa.LinkStub, ID: netip.AddrFrom4([4]byte{10, 2, byte(i), 0}), Data: netip.MustParseAddr("255.255.255.0"), Metric: 10})
	}
	for r := 1; r <= n.routers; r++ {
		put(zero, lsa.Header{Type: lsa.TypeRouter, ID: routerAddr(r), AdvRouter: routerAddr(r)}, lsa.Router{Flags: lsa.FlagE, Links: links[r]})
	}
	for a, r := range announced {
		put(netip.Addr{}, lsa.Header{Type: lsa.TypeASExternal, ID: a, AdvRouter: routerAddr(r)}, lsa.External{Bits: 32, E2: true, Metric: 20, Forward: zero})
	}
	return db.Snapshot()
}

// snapshot is the cluster on it: a service at the first node.
func (n *topology) snapshot(t testing.TB) *view.Snapshot {
	t.Helper()
	addr := netip.MustParseAddr("10.250.0.1")
	s := &view.Snapshot{Taken: viewtest.Now}
	m := &s.Machine
	m.At, m.Version, m.Node = viewtest.Now, "0.1.0", advert.Online
	m.OSPF = machine.OSPFView{Up: true, InSync: true, Synced: true, Full: 2, Since: viewtest.Now.Add(-time.Hour)}
	m.Zebra = machine.ZebraView{Up: true, Since: viewtest.Now.Add(-time.Hour)}
	web := machine.ServiceView{Name: "web", Local: true, Kind: "network", Addresses: []netip.Addr{addr}, Config: machine.Active, State: advert.Started, Why: "it runs here and no better claimant has shown", Since: viewtest.Now.Add(-time.Minute)}
	first := 0
	for r := 1; r <= n.routers; r++ {
		host, ok := n.hosts[r]
		if !ok {
			continue
		}
		id := advert.RouterIDFrom(routerAddr(r))
		o := machine.OfferView{Router: id, Host: host, Counts: true, Config: "active", State: advert.Stopped, Preference: 100, LastHeard: viewtest.Now}
		if first == 0 {
			first = r
			m.Router, m.Host, web.Holder = id, host, host
			o.State, o.Self, o.Rank = advert.Started, true, 1
		}
		web.Offers = append(web.Offers, o)
		m.Nodes = append(m.Nodes, machine.NodeView{Router: id, Host: host, Self: r == first, State: advert.Online, Status: "present", Since: viewtest.Now.Add(-time.Hour), LastHeard: viewtest.Now, Offers: 1})
	}
	m.Services = []machine.ServiceView{web}
	s.LSDB = view.Database{Mirror: n.mirror(t, map[netip.Addr]int{addr: first}), Decode: viewtest.Decode}
	return s
}

// demo is the demo's network: a triangle of routers, two LANs, three nodes.
func demo() *topology {
	return &topology{routers: 6, links: [][2]int{{1, 2}, {1, 3}, {2, 3}}, lans: [][]int{{2, 4, 5}, {3, 6}}, stubs: []int{1}, hosts: map[int]string{4: "n1", 5: "n2", 6: "n3"}}
}

// sixty is a backbone ring with chords, and sites behind it.
func sixty() *topology {
	n := &topology{routers: 60, hosts: map[int]string{}}
	for i := 1; i <= 12; i++ {
		n.links = append(n.links, [2]int{i, i%12 + 1})
	}
	n.links = append(n.links, [2]int{1, 7}, [2]int{4, 10}, [2]int{2, 5})
	rng := rand.New(rand.NewPCG(1, 2))
	next := 13
	for next <= 60 {
		site := []int{1 + rng.IntN(12)}
		for range min(4, 61-next) {
			site = append(site, next)
			next++
		}
		n.lans = append(n.lans, site)
		if len(n.hosts) < 8 {
			n.hosts[site[1]] = fmt.Sprintf("node%d", len(n.hosts)+1)
		}
	}
	for i := 13; i <= 60; i += 3 {
		n.stubs = append(n.stubs, i)
	}
	slices.Sort(n.stubs)
	return n
}
