package graph

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/srrd/srrd/lsdb"
	"github.com/srrd/srrd/lsdb/lsa"
)

var compareAddrs = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func ips(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, ip(s))
	}
	return out
}

// net builds a mirror by hand.
type net struct {
	t  testing.TB
	db *lsdb.DB
}

func newNet(t testing.TB) *net { return &net{t, lsdb.New(lsdb.Limits{})} }

func (n *net) add(area string, age uint16, options lsa.Options, typ lsa.Type, id, adv string, body lsa.Body) *net {
	n.t.Helper()
	raw, err := lsa.LSA{Header: lsa.Header{Age: age, Options: options, Type: typ, ID: ip(id), AdvRouter: ip(adv), Seq: lsa.InitialSeq}, Body: body}.Append(nil)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := n.db.Update(time.Time{}, lsdb.Update{Area: ip(area), Raw: raw}); err != nil {
		n.t.Fatal(err)
	}
	return n
}

// router adds a router LSA. A link is "p2p ROUTER COST", "virtual ROUTER
// COST", "lan DR-ADDRESS OWN-ADDRESS COST" or "stub PREFIX COST".
func (n *net) router(area, id string, flags lsa.RouterFlags, links ...string) *net {
	n.t.Helper()
	return n.add(area, 1, lsa.OptionE, lsa.TypeRouter, id, id, lsa.Router{Flags: flags, Links: n.links(links)})
}

func (n *net) links(links []string) []lsa.RouterLink {
	n.t.Helper()
	var out []lsa.RouterLink
	for i, s := range links {
		f := strings.Fields(s)
		var l lsa.RouterLink
		if _, err := fmt.Sscan(f[len(f)-1], &l.Metric); err != nil {
			n.t.Fatal(err)
		}
		switch f[0] {
		case "p2p":
			l.Type, l.ID, l.Data = lsa.LinkPointToPoint, ip(f[1]), netip.AddrFrom4([4]byte{0, 0, 0, byte(i)})
		case "virtual":
			l.Type, l.ID, l.Data = lsa.LinkVirtual, ip(f[1]), netip.AddrFrom4([4]byte{0, 0, 0, byte(i)})
		case "lan":
			l.Type, l.ID, l.Data = lsa.LinkTransit, ip(f[1]), ip(f[2])
		case "stub":
			p := netip.MustParsePrefix(f[1])
			m := uint32(uint64(0xffffffff) << (32 - p.Bits()))
			l.Type, l.ID, l.Data = lsa.LinkStub, p.Addr(), netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)})
		default:
			n.t.Fatalf("what is a link %q?", s)
		}
		out = append(out, l)
	}
	return out
}

func (n *net) lan(area, dr, adv string, routers ...string) *net {
	n.t.Helper()
	return n.add(area, 1, lsa.OptionE, lsa.TypeNetwork, dr, adv, lsa.Network{Bits: 24, Routers: ips(routers...)})
}

func (n *net) summary(area, abr, prefix string, metric uint32) *net {
	n.t.Helper()
	p := netip.MustParsePrefix(prefix)
	return n.add(area, 1, lsa.OptionE, lsa.TypeSummary, p.Addr().String(), abr, lsa.Summary{Bits: uint8(p.Bits()), Metric: metric})
}

func (n *net) asbr(area, abr, asbr string, metric uint32) *net {
	n.t.Helper()
	return n.add(area, 1, lsa.OptionE, lsa.TypeASBRSummary, asbr, abr, lsa.Summary{Metric: metric})
}

func (n *net) external(typ lsa.Type, area, adv, prefix string, e2 bool, metric uint32, forward string) *net {
	n.t.Helper()
	p := netip.MustParsePrefix(prefix)
	o := lsa.OptionE
	if typ == lsa.TypeNSSA {
		o = lsa.OptionNP
	}
	return n.add(area, 1, o, typ, p.Addr().String(), adv, lsa.External{Bits: uint8(p.Bits()), E2: e2, Metric: metric, Forward: ip(forward)})
}

func (n *net) graph() *Graph { return New(n.db.Snapshot()) }

// shown writes a route in lines: "TYPE COST[/TYPE2] by ANNOUNCERS", then a
// line for each path: routers by their id, networks in [], an area change
// as {area}.
func shown(r Route, ok bool) string {
	if !ok {
		return "none"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d", r.Type, r.Cost)
	if r.Type == External2 {
		fmt.Fprintf(&b, "/%d", r.Type2Cost)
	}
	fmt.Fprintf(&b, " by %v", r.Announcers)
	if r.Partial {
		b.WriteString(" partial")
	}
	for _, p := range r.Paths {
		b.WriteString("\n ")
		area := p[0].Area
		for _, h := range p {
			if h.Area != area {
				area = h.Area
				fmt.Fprintf(&b, " {%s}", area)
			}
			if h.Kind == Network {
				fmt.Fprintf(&b, " [%s]", h.ID)
			} else {
				fmt.Fprintf(&b, " %s", h.ID)
			}
		}
	}
	return b.String()
}

func triangle(t testing.TB) *net {
	return newNet(t).
		router("0.0.0.0", "1.1.1.1", 0, "p2p 2.2.2.2 10", "p2p 3.3.3.3 5").
		router("0.0.0.0", "2.2.2.2", 0, "p2p 1.1.1.1 10", "p2p 3.3.3.3 5", "stub 10.0.0.2/32 0").
		router("0.0.0.0", "3.3.3.3", 0, "p2p 1.1.1.1 5", "p2p 2.2.2.2 5")
}

// twoAreas: 1 and 2 in the backbone, 2 and 3 in area 1, 3 an ASBR.
func twoAreas(t testing.TB) *net {
	return newNet(t).
		router("0.0.0.0", "1.1.1.1", 0, "p2p 2.2.2.2 10", "stub 10.0.0.1/32 0").
		router("0.0.0.0", "2.2.2.2", lsa.FlagB, "p2p 1.1.1.1 10").
		summary("0.0.0.0", "2.2.2.2", "10.0.0.3/32", 7).
		asbr("0.0.0.0", "2.2.2.2", "3.3.3.3", 7).
		router("0.0.0.1", "2.2.2.2", lsa.FlagB, "p2p 3.3.3.3 7").
		router("0.0.0.1", "3.3.3.3", lsa.FlagE, "p2p 2.2.2.2 7", "stub 10.0.0.3/32 0").
		summary("0.0.0.1", "2.2.2.2", "10.0.0.1/32", 10).
		external(lsa.TypeASExternal, "0.0.0.0", "3.3.3.3", "10.9.0.3/32", false, 20, "0.0.0.0")
}

func TestRoutes(t *testing.T) {
	for _, tc := range []struct {
		name     string
		net      *net
		from, to string
		want     string
	}{
		{"in a triangle both ways of one cost are used", triangle(t), "1.1.1.1", "10.0.0.2",
			"intra 10 by [2.2.2.2]\n  1.1.1.1 2.2.2.2\n  1.1.1.1 3.3.3.3 2.2.2.2"},
		{"a router is at its own stub", triangle(t), "2.2.2.2", "10.0.0.2", "intra 0 by [2.2.2.2]\n  2.2.2.2"},
		{"a router without LSA goes nowhere", triangle(t), "9.9.9.9", "10.0.0.2", "none"},
		{"an address nobody announces", triangle(t), "1.1.1.1", "10.0.0.77", "none"},
		{"an IPv6 address", triangle(t), "1.1.1.1", "2001:db8::1", "none"},
		{"a LAN with its designated router",
			newNet(t).lan("0.0.0.0", "10.1.0.2", "2.2.2.2", "1.1.1.1", "2.2.2.2", "3.3.3.3").
				router("0.0.0.0", "1.1.1.1", 0, "lan 10.1.0.2 10.1.0.1 3").
				router("0.0.0.0", "2.2.2.2", 0, "lan 10.1.0.2 10.1.0.2 4").
				router("0.0.0.0", "3.3.3.3", 0, "lan 10.1.0.2 10.1.0.3 5", "stub 10.0.0.3/32 1"),
			"1.1.1.1", "10.0.0.3", "intra 4 by [3.3.3.3]\n  1.1.1.1 [10.1.0.2] 3.3.3.3"},
		{"the LAN itself, by the longest prefix",
			newNet(t).lan("0.0.0.0", "10.1.0.2", "2.2.2.2", "1.1.1.1", "2.2.2.2").
				router("0.0.0.0", "1.1.1.1", 0, "lan 10.1.0.2 10.1.0.1 3", "stub 10.0.0.0/8 1").
				router("0.0.0.0", "2.2.2.2", 0, "lan 10.1.0.2 10.1.0.2 4"),
			"1.1.1.1", "10.1.0.99", "intra 3 by [10.1.0.2]\n  1.1.1.1 [10.1.0.2]"},
		{"a LAN member that does not point back is not on it",
			newNet(t).lan("0.0.0.0", "10.1.0.2", "2.2.2.2", "1.1.1.1", "2.2.2.2", "3.3.3.3").
				router("0.0.0.0", "1.1.1.1", 0, "lan 10.1.0.2 10.1.0.1 3").
				router("0.0.0.0", "2.2.2.2", 0, "lan 10.1.0.2 10.1.0.2 4").
				router("0.0.0.0", "3.3.3.3", 0, "stub 10.0.0.3/32 1"),
			"1.1.1.1", "10.0.0.3", "none"},
		{"the network LSA of the former designated router does not count",
			newNet(t).lan("0.0.0.0", "10.1.0.2", "9.9.9.9", "1.1.1.1", "9.9.9.9").
				lan("0.0.0.0", "10.1.0.2", "2.2.2.2", "1.1.1.1", "2.2.2.2").
				router("0.0.0.0", "1.1.1.1", 0, "lan 10.1.0.2 10.1.0.1 3").
				router("0.0.0.0", "2.2.2.2", 0, "lan 10.1.0.2 10.1.0.2 4", "stub 10.0.0.2/32 1"),
			"1.1.1.1", "10.0.0.2", "intra 4 by [2.2.2.2]\n  1.1.1.1 [10.1.0.2] 2.2.2.2"},
		{"of parallel links the cheaper is used, and two are one path",
			newNet(t).router("0.0.0.0", "1.1.1.1", 0, "p2p 2.2.2.2 30", "p2p 2.2.2.2 20", "p2p 2.2.2.2 20").
				router("0.0.0.0", "2.2.2.2", 0, "p2p 1.1.1.1 1", "p2p 1.1.1.1 1", "stub 10.0.0.2/32 0"),
			"1.1.1.1", "10.0.0.2", "intra 20 by [2.2.2.2]\n  1.1.1.1 2.2.2.2"},
		{"a one-way link is no link",
			newNet(t).router("0.0.0.0", "1.1.1.1", 0, "p2p 2.2.2.2 1").
				router("0.0.0.0", "2.2.2.2", 0, "stub 10.0.0.2/32 0"),
			"1.1.1.1", "10.0.0.2", "none"},
		{"a router LSA at MaxAge is none",
			newNet(t).router("0.0.0.0", "1.1.1.1", 0, "p2p 2.2.2.2 1").
				add("0.0.0.0", lsa.MaxAge, lsa.OptionE, lsa.TypeRouter, "2.2.2.2", "2.2.2.2",
					lsa.Router{Links: []lsa.RouterLink{{Type: lsa.LinkPointToPoint, ID: ip("1.1.1.1"), Data: ip("0.0.0.1"), Metric: 1},
						{Type: lsa.LinkStub, ID: ip("10.0.0.2"), Data: ip("255.255.255.255")}}}),
			"1.1.1.1", "10.0.0.2", "none"},
		{"one address announced by two routers at the same cost",
			triangle(t).router("0.0.0.0", "3.3.3.3", 0, "p2p 1.1.1.1 5", "p2p 2.2.2.2 5", "stub 10.0.0.2/32 5"), "1.1.1.1", "10.0.0.2",
			"intra 10 by [2.2.2.2 3.3.3.3]\n  1.1.1.1 2.2.2.2\n  1.1.1.1 3.3.3.3\n  1.1.1.1 3.3.3.3 2.2.2.2"},
		{"over an area border router, on into its other area", twoAreas(t), "1.1.1.1", "10.0.0.3",
			"IA 17 by [2.2.2.2]\n  1.1.1.1 2.2.2.2 {0.0.0.1} 3.3.3.3"},
		{"and back", twoAreas(t), "3.3.3.3", "10.0.0.1", "IA 17 by [2.2.2.2]\n  3.3.3.3 2.2.2.2 {0.0.0.0} 1.1.1.1"},
		{"where the mirror lacks the other area the path is partial",
			newNet(t).router("0.0.0.0", "1.1.1.1", 0, "p2p 2.2.2.2 10").router("0.0.0.0", "2.2.2.2", lsa.FlagB, "p2p 1.1.1.1 10").
				summary("0.0.0.0", "2.2.2.2", "10.0.0.3/32", 7),
			"1.1.1.1", "10.0.0.3", "IA 17 by [2.2.2.2] partial\n  1.1.1.1 2.2.2.2"},
		{"a summary of somebody who is no area border router does not count",
			newNet(t).router("0.0.0.0", "1.1.1.1", 0, "p2p 2.2.2.2 10").router("0.0.0.0", "2.2.2.2", 0, "p2p 1.1.1.1 10").
				summary("0.0.0.0", "2.2.2.2", "10.0.0.3/32", 7),
			"1.1.1.1", "10.0.0.3", "none"},
		{"a summary of LSInfinity does not count",
			newNet(t).router("0.0.0.0", "1.1.1.1", 0, "p2p 2.2.2.2 10").router("0.0.0.0", "2.2.2.2", lsa.FlagB, "p2p 1.1.1.1 10").
				summary("0.0.0.0", "2.2.2.2", "10.0.0.3/32", lsa.LSInfinity),
			"1.1.1.1", "10.0.0.3", "none"},
		{"a border router believes summaries of the backbone only",
			twoAreas(t).router("0.0.0.1", "4.4.4.4", lsa.FlagB).summary("0.0.0.1", "4.4.4.4", "10.0.0.77/32", 1), "2.2.2.2", "10.0.0.77", "none"},
		{"intra-area is preferred to a cheaper summary",
			twoAreas(t).router("0.0.0.0", "1.1.1.1", 0, "p2p 2.2.2.2 10", "stub 10.0.0.3/32 1000"), "1.1.1.1", "10.0.0.3",
			"intra 1000 by [1.1.1.1]\n  1.1.1.1"},
		{"an E1 route to an ASBR of another area", twoAreas(t), "1.1.1.1", "10.9.0.3",
			"E1 37 by [3.3.3.3]\n  1.1.1.1 2.2.2.2 {0.0.0.1} 3.3.3.3"},
		{"an external route at its author", twoAreas(t), "3.3.3.3", "10.9.0.3", "E1 20 by [3.3.3.3]\n  3.3.3.3"},
		{"an ASBR that does not say so is none",
			triangle(t).external(lsa.TypeASExternal, "0.0.0.0", "2.2.2.2", "10.9.0.2/32", false, 20, "0.0.0.0"), "1.1.1.1", "10.9.0.2", "none"},
		{"E1 is preferred to a cheaper E2",
			twoAreas(t).router("0.0.0.0", "4.4.4.4", lsa.FlagE, "p2p 1.1.1.1 1").
				router("0.0.0.0", "1.1.1.1", 0, "p2p 2.2.2.2 10", "p2p 4.4.4.4 1").
				external(lsa.TypeASExternal, "0.0.0.0", "4.4.4.4", "10.9.0.3/32", true, 1, "0.0.0.0"),
			"1.1.1.1", "10.9.0.3", "E1 37 by [3.3.3.3]\n  1.1.1.1 2.2.2.2 {0.0.0.1} 3.3.3.3"},
		{"E2 goes by the external metric, not by the way there",
			triangle(t).router("0.0.0.0", "2.2.2.2", lsa.FlagE, "p2p 1.1.1.1 10", "p2p 3.3.3.3 50").
				router("0.0.0.0", "3.3.3.3", lsa.FlagE, "p2p 1.1.1.1 5", "p2p 2.2.2.2 5").
				external(lsa.TypeASExternal, "0.0.0.0", "2.2.2.2", "10.9.0.9/32", true, 1, "0.0.0.0").
				external(lsa.TypeASExternal, "0.0.0.0", "3.3.3.3", "10.9.0.9/32", true, 2, "0.0.0.0"),
			"1.1.1.1", "10.9.0.9", "E2 10/1 by [2.2.2.2]\n  1.1.1.1 2.2.2.2\n  1.1.1.1 3.3.3.3 2.2.2.2"},
		{"a forwarding address is gone to directly",
			triangle(t).router("0.0.0.0", "3.3.3.3", lsa.FlagE, "p2p 1.1.1.1 5", "p2p 2.2.2.2 5").
				external(lsa.TypeASExternal, "0.0.0.0", "3.3.3.3", "10.9.0.9/32", false, 1, "10.0.0.2"),
			"1.1.1.1", "10.9.0.9", "E1 11 by [3.3.3.3]\n  1.1.1.1 2.2.2.2\n  1.1.1.1 3.3.3.3 2.2.2.2"},
		{"a forwarding address that nothing leads to is no route",
			triangle(t).router("0.0.0.0", "3.3.3.3", lsa.FlagE, "p2p 1.1.1.1 5", "p2p 2.2.2.2 5").
				external(lsa.TypeASExternal, "0.0.0.0", "3.3.3.3", "10.9.0.9/32", false, 1, "172.16.0.1"),
			"1.1.1.1", "10.9.0.9", "none"},
		{"a type 7 counts within its area",
			newNet(t).router("0.0.0.2", "1.1.1.1", lsa.FlagB, "p2p 2.2.2.2 3").router("0.0.0.2", "2.2.2.2", lsa.FlagE, "p2p 1.1.1.1 3").
				external(lsa.TypeNSSA, "0.0.0.2", "2.2.2.2", "10.9.0.7/32", false, 1, "0.0.0.0"),
			"1.1.1.1", "10.9.0.7", "E1 4 by [2.2.2.2]\n  1.1.1.1 2.2.2.2"},
		{"and not outside",
			twoAreas(t).external(lsa.TypeNSSA, "0.0.0.1", "3.3.3.3", "10.9.0.7/32", false, 1, "0.0.0.0"), "1.1.1.1", "10.9.0.7", "none"},
		{"a virtual link carries the backbone",
			newNet(t).router("0.0.0.0", "1.1.1.1", lsa.FlagB, "virtual 2.2.2.2 4").
				router("0.0.0.0", "2.2.2.2", lsa.FlagB, "virtual 1.1.1.1 4", "stub 10.0.0.2/32 0"),
			"1.1.1.1", "10.0.0.2", "intra 4 by [2.2.2.2]\n  1.1.1.1 2.2.2.2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := shown(tc.net.graph().Lookup(ip(tc.from), ip(tc.to)))
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestWhoIsReachable(t *testing.T) {
	g := twoAreas(t).router("0.0.0.0", "8.8.8.8", 0, "p2p 1.1.1.1 1").graph() // one-way
	for _, tc := range []struct{ name, got, want string }{
		{"in one area", fmt.Sprint(g.Reachable(ip("1.1.1.1"), Backbone)), "[2.2.2.2]"},
		{"in an area one is not in", fmt.Sprint(g.Reachable(ip("1.1.1.1"), ip("0.0.0.1"))), "[]"},
		{"in an area nobody is in", fmt.Sprint(g.Reachable(ip("1.1.1.1"), ip("0.0.0.9"))), "[]"},
		{"from a border router in all its areas", fmt.Sprint(g.ReachableRouters(ip("2.2.2.2"))), "[1.1.1.1 3.3.3.3]"},
		{"from a stranger", fmt.Sprint(g.ReachableRouters(ip("9.9.9.9"))), "[]"},
		{"an ASBR of another area, by type 4", fmt.Sprint(g.ReachableASBR(ip("1.1.1.1"), ip("3.3.3.3"))), "true"},
		{"an ASBR that no type 4 names", fmt.Sprint(g.ReachableASBR(ip("1.1.1.1"), ip("4.4.4.4"))), "false"},
		{"an ASBR, from one whose border router is cut off", fmt.Sprint(g.ReachableASBR(ip("8.8.8.8"), ip("3.3.3.3"))), "false"},
		{"the areas", fmt.Sprint(g.Areas()), "[0.0.0.0 0.0.0.1]"},
		{"the areas of a border router", fmt.Sprint(g.AreasOf(ip("2.2.2.2"))), "[0.0.0.0 0.0.0.1]"},
		{"the vertices", fmt.Sprint(g.Vertices(Backbone)), "[router 1.1.1.1 router 2.2.2.2 router 8.8.8.8]"},
		{"confirmed links", fmt.Sprint(g.Edges(Backbone, Vertex{Router, ip("1.1.1.1")})), "[{router 2.2.2.2 10 0.0.0.0}]"},
		{"links of a stranger", fmt.Sprint(g.Edges(Backbone, Vertex{Router, ip("9.9.9.9")})), "[]"},
		{"stub networks", fmt.Sprint(g.Stubs(Backbone, ip("1.1.1.1"))), "[{10.0.0.1/32 0}]"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, tc.got, tc.want)
		}
	}
}

// readLSDB reads a captured database: lines "interface area self lsa".
func readLSDB(t testing.TB, path string) *lsdb.Snapshot {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	db := lsdb.New(lsdb.Limits{})
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			continue
		}
		w := strings.Fields(s.Text())
		if len(w) != 4 {
			t.Fatalf("%s: %q", path, s.Text())
		}
		raw, err := hex.DecodeString(w[3])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Update(time.Time{}, lsdb.Update{IfAddr: ip(w[0]), Area: ip(w[1]), Self: w[2] == "1", Raw: raw}); err != nil {
			t.Fatal(err)
		}
	}
	return db.Snapshot()
}

// frrRoute is an entry of `show ip ospf route json`.
type frrRoute struct {
	RouteType string
	Cost      uint32
	Type2Cost uint32
	Area      string
	IA        bool // a router known by a type 4 LSA
}

func TestTheRoutesOfRealRoutersAreThoseTheyComputedThemselves(t *testing.T) {
	types := map[string]PathType{"N": IntraArea, "N IA": InterArea, "N E1": External1, "N E2": External2}
	for name, router := range map[string]netip.Addr{"r1": ip("10.255.0.1"), "r2": ip("10.255.0.2"), "r4": ip("10.255.0.4")} {
		t.Run(name, func(t *testing.T) {
			g := New(readLSDB(t, "testdata/frr844-"+name+".lsdb"))
			text, err := os.ReadFile("testdata/frr844-" + name + ".route.json")
			if err != nil {
				t.Fatal(err)
			}
			var theirs map[string]frrRoute
			if err := json.Unmarshal(text, &theirs); err != nil {
				t.Fatal(err)
			}
			var intra []netip.Addr
			for to, want := range theirs {
				kind := strings.TrimSpace(want.RouteType)
				if p, err := netip.ParsePrefix(to); err == nil {
					r, ok := g.Route(router, p)
					typ, known := types[kind]
					if !ok || !known || r.Type != typ || r.Cost != want.Cost || r.Type2Cost != want.Type2Cost {
						t.Errorf("%s: got %s, FRR has %+v", to, shown(r, ok), want)
					}
					continue
				}
				rid := ip(to)
				switch {
				case kind == "R" && !want.IA:
					intra = append(intra, rid)
					if d, ok := g.SPF(router, ip(want.Area)).Distance(Vertex{Router, rid}); !ok || d != want.Cost {
						t.Errorf("router %s: got %d %v, FRR has %+v", to, d, ok, want)
					}
				case kind == "R":
					if !g.ReachableASBR(router, rid) {
						t.Errorf("ASBR %s: not reachable, FRR has %+v", to, want)
					}
				default:
					t.Errorf("router %s: FRR has %+v", to, want)
				}
			}
			// FRR lists border and boundary routers only, which all routers of
			// this network are.
			slices.SortFunc(intra, netip.Addr.Compare)
			if d := cmp.Diff(intra, g.ReachableRouters(router), compareAddrs); d != "" {
				t.Errorf("reachable (-FRR +got):\n%s", d)
			}
			if len(theirs) < 10 {
				t.Errorf("only %d routes compared", len(theirs))
			}
		})
	}
}

func TestPathsInTheCapturedNetwork(t *testing.T) {
	g := New(readLSDB(t, "testdata/frr844-r1.lsdb"))
	for _, tc := range []struct{ name, from, to, want string }{
		{"r4 to r3 across the border router", "10.255.0.4", "10.255.0.3",
			"IA 20 by [10.255.0.1]\n  10.255.0.4 10.255.0.1 {0.0.0.0} [10.61.0.3] 10.255.0.3\n  10.255.0.4 10.255.0.1 {0.0.0.0} 10.255.0.3"},
		{"r3 to r4's external /32", "10.255.0.3", "192.0.2.4",
			"E2 20/30 by [10.255.0.4]\n  10.255.0.3 [10.61.0.3] 10.255.0.1 {0.0.0.1} 10.255.0.4\n  10.255.0.3 10.255.0.1 {0.0.0.1} 10.255.0.4"},
		{"r4 to a /32 in an NSSA that r1 is not in", "10.255.0.4", "192.0.2.5",
			"E1 50 by [10.255.0.2] partial\n  10.255.0.4 10.255.0.1 {0.0.0.0} [10.61.0.3] 10.255.0.2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, shown(g.Lookup(ip(tc.from), ip(tc.to)))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}
