package ospf

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/lsdb"
	"github.com/srrd/srrd/lsdb/lsa"
	"github.com/srrd/srrd/ospfapi"
	"github.com/srrd/srrd/ospfapi/ospfapitest"
	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

var (
	area0 = netip.IPv4Unspecified()
	if1   = netip.MustParseAddr("192.0.2.1")
	if2   = netip.MustParseAddr("198.51.100.1")
	self  = netip.MustParseAddr("10.0.0.1")
	r2    = netip.MustParseAddr("10.0.0.2")
	r3    = netip.MustParseAddr("10.0.0.3")
	vip   = netip.MustParseAddr("203.0.113.7")
)

const firstSeq = 0x80000001 // RFC 2328 section 12.1.6

// mustLSA builds an LSA of another router.
func mustLSA(t testing.TB, typ lsa.Type, id, adv netip.Addr, seq uint32, body lsa.Body) []byte {
	t.Helper()
	b, err := lsa.LSA{Header: lsa.Header{Type: typ, ID: id, AdvRouter: adv, Options: 0x42, Age: 1}, Body: body}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	ospfapitest.SetHeader(b, 1, seq)
	return b
}

func external(t testing.TB, adv, addr netip.Addr, seq uint32) []byte {
	return mustLSA(t, lsa.TypeASExternal, addr, adv, seq, lsa.External{Bits: 32, E2: true, Metric: 20, Forward: area0})
}

func aged(raw []byte) []byte {
	b := slices.Clone(raw)
	ospfapitest.SetHeader(b, lsa.MaxAge, uint32(b[12])<<24|uint32(b[13])<<16|uint32(b[14])<<8|uint32(b[15]))
	return b
}

func nodeBody(t testing.TB, host string, gen uint32) []byte {
	t.Helper()
	b, err := (&advert.Node{Stamp: advert.Stamp{Incarnation: 7, Generation: gen}, Host: host, Version: "test", State: advert.Online}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// daemonLSA is the announcement of a node under 222.G.1.0.
func daemonLSA(t testing.TB, typ ospfapi.LSType, g uint8, adv netip.Addr, seq uint32, body []byte) []byte {
	return ospfapitest.NewLSA(typ, 222<<24|uint32(g)<<16|machine.DaemonID, adv, seq, body)
}

// words writes events the way the tests compare them.
func words(ev machine.Event) string {
	switch e := ev.(type) {
	case machine.LSASeen:
		s := fmt.Sprintf("seen %s %s", e.Router, e.Ref)
		if e.Err != "" {
			return s + " unreadable"
		}
		if e.Body.Node != nil {
			return s + " " + e.Body.Node.Host
		}
		return s
	case machine.LSARefused:
		return fmt.Sprintf("refused %s %s %s", e.Router, e.Ref, e.Why)
	case machine.LSAGone:
		return fmt.Sprintf("gone %s %s", e.Router, e.Ref)
	case machine.OSPFDown:
		return "down: " + e.Why
	}
	return strings.TrimPrefix(fmt.Sprintf("%T%+v", ev, ev), "machine.")
}

// bench is a mirror without a session.
type bench struct {
	*mirror
	t   *testing.T
	now time.Time
	got []string

	ring advert.Keyring
}

func newBench(t *testing.T, told bool) *bench {
	b := &bench{t: t, now: time.Unix(1_700_000_000, 0)}
	b.mirror = &mirror{
		db: lsdb.New(lsdb.Limits{}), log: slog.New(slog.DiscardHandler), keys: func() advert.Keyring { return b.ring },
		emit: func(ev machine.Event) { b.got = append(b.got, words(ev)) },
		linkName: func(a netip.Addr) string {
			if a == if1 {
				return "eth0"
			}
			return a.String()
		},
	}
	b.reset()
	b.begin(Standing{Router: self, DeadInterval: 40 * time.Second}, told, nil)
	b.got = nil
	return b
}

func (b *bench) say(ns ...ospfapi.Notification) {
	for _, n := range ns {
		b.take(b.now, n)
	}
	b.settle()
}

func (b *bench) want(want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.got, cmp.Transformer("lines", func(s []string) string { return strings.Join(s, "\n") })); diff != "" {
		b.t.Errorf("events (-want +got):\n%s", diff)
	}
	b.got = nil
}

func up(raw []byte) ospfapi.LSAUpdate { return ospfapi.LSAUpdate{IfAddr: area0, Area: area0, LSA: raw} }
func down(raw []byte) ospfapi.LSADelete {
	return ospfapi.LSADelete{IfAddr: area0, Area: area0, LSA: raw}
}

func TestAnOpaqueLSAIsReportedWhenItsWordsChange(t *testing.T) {
	b := newBench(t, true)
	first := daemonLSA(t, ospfapi.OpaqueAS, 0, r2, firstSeq, nodeBody(t, "n2", 1))
	b.say(up(first))
	b.want("seen 10.0.0.2 222.0.1.0 (as) n2")
	b.say(up(first))
	b.want()
	b.say(up(daemonLSA(t, ospfapi.OpaqueAS, 0, r2, firstSeq+1, nodeBody(t, "n2", 1)))) // a refresh
	b.want()
	changed := daemonLSA(t, ospfapi.OpaqueAS, 0, r2, firstSeq+2, nodeBody(t, "n2b", 2))
	b.say(up(changed))
	b.want("seen 10.0.0.2 222.0.1.0 (as) n2b")
	// A delete that an update had overtaken.
	b.say(down(first))
	b.want()
	// Flushed, and a minute later out of the database: one loss.
	b.say(down(changed))
	b.want("gone 10.0.0.2 222.0.1.0 (as)")
	b.say(down(aged(changed)))
	b.want()
}

func TestAnLSAThatReturnsAfterItsFlushIsReportedAgain(t *testing.T) {
	b := newBench(t, true)
	first := daemonLSA(t, ospfapi.OpaqueAS, 0, r2, firstSeq, nodeBody(t, "n2", 1))
	b.say(up(first), down(first), up(daemonLSA(t, ospfapi.OpaqueAS, 0, r2, firstSeq+1, nodeBody(t, "n2", 1))))
	b.want("seen 10.0.0.2 222.0.1.0 (as) n2", "gone 10.0.0.2 222.0.1.0 (as)", "seen 10.0.0.2 222.0.1.0 (as) n2")
}

func TestAnLSAThatArrivesAtMaxAgeIsNoOffer(t *testing.T) {
	b := newBench(t, true)
	b.say(up(aged(daemonLSA(t, ospfapi.OpaqueAS, 0, r2, firstSeq, nodeBody(t, "n2", 1)))))
	b.want("gone 10.0.0.2 222.0.1.0 (as)")
}

func TestAnLSAThatNobodyRefreshesEnds(t *testing.T) {
	b := newBench(t, true)
	b.say(up(daemonLSA(t, ospfapi.OpaqueAS, 0, r2, firstSeq, nodeBody(t, "n2", 1))))
	b.got = nil
	b.expire(b.now.Add(lsa.MaxAge*time.Second + time.Second))
	b.want("gone 10.0.0.2 222.0.1.0 (as)")
}

func TestForeignAndMalformedLSAsOfTheTypeAreHandedOverUnread(t *testing.T) {
	for name, body := range map[string][]byte{
		"empty":                   nil,
		"four octets of nothing":  {0, 0, 0, 0},
		"another version":         {9, 1, 0, 0},
		"an unknown kind":         {1, 77, 0, 0},
		"a TLV beyond the end":    {1, 1, 0, 0, 0, 1, 0xff, 0xff},
		"text of another program": []byte("hello, world"),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, true)
			raw := daemonLSA(t, ospfapi.OpaqueAS, 3, r2, firstSeq, body)
			b.say(up(raw))
			b.want("seen 10.0.0.2 222.3.1.0 (as) unreadable")
			b.say(down(raw))
			b.want("gone 10.0.0.2 222.3.1.0 (as)")
		})
	}
}

func TestOtherOpaqueTypesAreNobodysBusiness(t *testing.T) {
	b := newBench(t, true)
	raw := ospfapitest.NewLSA(ospfapi.OpaqueArea, 1<<24|5, r2, firstSeq, []byte{0, 1, 0, 0})
	b.say(up(raw), down(raw))
	b.want()
}

func TestADamagedLSAIsNoEvent(t *testing.T) {
	b := newBench(t, true)
	b.say(up(external(t, r2, vip, firstSeq)[:30]), up(nil), down(nil))
	b.want()
}

func TestEveryScopeHasItsName(t *testing.T) {
	b := newBench(t, true)
	raw := daemonLSA(t, ospfapi.OpaqueArea, 0, r2, firstSeq, nodeBody(t, "n2", 1))
	b.say(ospfapi.LSAUpdate{IfAddr: area0, Area: netip.MustParseAddr("0.0.0.9"), LSA: raw})
	raw = daemonLSA(t, ospfapi.OpaqueLink, 0, r2, firstSeq, nodeBody(t, "n2", 1))
	b.say(ospfapi.LSAUpdate{IfAddr: if1, Area: area0, LSA: raw}, ospfapi.LSAUpdate{IfAddr: if2, Area: area0, LSA: raw})
	b.want("seen 10.0.0.2 222.0.1.0 (area 0.0.0.9) n2", "seen 10.0.0.2 222.0.1.0 (link eth0) n2", "seen 10.0.0.2 222.0.1.0 (link 198.51.100.1) n2")
}

func TestAHostRouteIsEvidenceByTypes1And5And7AndNot3(t *testing.T) {
	stub := lsa.RouterLink{Type: lsa.LinkStub, ID: vip, Data: netip.MustParseAddr("255.255.255.255")}
	for _, tc := range []struct {
		name string
		raw  []byte
		want bool
	}{
		{"a stub link of a router LSA", mustLSA(t, lsa.TypeRouter, r2, r2, firstSeq, lsa.Router{Links: []lsa.RouterLink{stub}}), true},
		{"an AS external LSA", external(t, r2, vip, firstSeq), true},
		{"an NSSA LSA", mustLSA(t, lsa.TypeNSSA, vip, r2, firstSeq, lsa.External{Bits: 32, Metric: 1, Forward: area0}), true},
		{"a summary of a border router", mustLSA(t, lsa.TypeSummary, vip, r2, firstSeq, lsa.Summary{Bits: 32, Metric: 1}), false},
		{"an external /24", mustLSA(t, lsa.TypeASExternal, netip.MustParseAddr("203.0.113.0"), r2, firstSeq, lsa.External{Bits: 24, Metric: 1, Forward: area0}), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, true)
			b.say(up(tc.raw), down(tc.raw))
			if tc.want {
				b.want("HostRoute{Addr:203.0.113.7 Router:10.0.0.2 Present:true}", "HostRoute{Addr:203.0.113.7 Router:10.0.0.2 Present:false}")
			} else {
				b.want()
			}
		})
	}
}

func TestAHostRouteOfTwoLSAsGoesWithTheLast(t *testing.T) {
	b := newBench(t, true)
	stub := lsa.RouterLink{Type: lsa.LinkStub, ID: vip, Data: netip.MustParseAddr("255.255.255.255")}
	one, five := mustLSA(t, lsa.TypeRouter, r2, r2, firstSeq, lsa.Router{Links: []lsa.RouterLink{stub}}), external(t, r2, vip, firstSeq)
	b.say(up(one), up(five))
	b.got = nil
	b.say(down(five))
	b.want("HostRoute{Addr:203.0.113.7 Router:10.0.0.2 Present:true}") // said again, and true
	b.say(down(one))
	b.want("HostRoute{Addr:203.0.113.7 Router:10.0.0.2 Present:false}")
}

func TestReachForAreaAndForASScope(t *testing.T) {
	b := newBench(t, true)
	type4 := func(asbr, abr netip.Addr, metric, seq uint32) []byte {
		return mustLSA(t, lsa.TypeASBRSummary, asbr, abr, seq, lsa.Summary{Metric: metric})
	}
	b.say(up(type4(r3, r2, 10, firstSeq)))
	b.want() // its border router is not reachable
	b.say(ospfapi.ReachableChange{Added: []netip.Addr{r2}})
	b.want("Reach{Router:10.0.0.2 Area:true AS:true}", "Reach{Router:10.0.0.3 Area:false AS:true}")
	b.say(up(type4(r3, r2, lsa.LSInfinity, firstSeq+1)))
	b.want("Reach{Router:10.0.0.3 Area:false AS:false}")
	b.say(up(type4(r3, r2, 10, firstSeq+2)))
	b.want("Reach{Router:10.0.0.3 Area:false AS:true}")
	b.say(down(type4(r3, r2, 10, firstSeq+2)))
	b.want("Reach{Router:10.0.0.3 Area:false AS:false}")
	b.say(up(type4(r3, r2, 10, firstSeq+3)))
	b.got = nil
	b.say(ospfapi.ReachableChange{Removed: []netip.Addr{r2}})
	b.want("Reach{Router:10.0.0.2 Area:false AS:false}", "Reach{Router:10.0.0.3 Area:false AS:false}")
}

func TestAType4OfOurselvesSaysNothing(t *testing.T) {
	b := newBench(t, true)
	b.say(ospfapi.ReachableChange{Added: []netip.Addr{r2}}, up(mustLSA(t, lsa.TypeASBRSummary, self, r2, firstSeq, lsa.Summary{Metric: 1})))
	b.want("Reach{Router:10.0.0.2 Area:true AS:true}")
}

func nsm(ifAddr, addr, router netip.Addr, s ospfapi.NSMState) ospfapi.NSMChange {
	return ospfapi.NSMChange{IfAddr: ifAddr, Neighbor: addr, RouterID: router, State: s}
}

var (
	nbr2 = netip.MustParseAddr("192.0.2.2")
	nbr3 = netip.MustParseAddr("192.0.2.3")
)

func TestNeighboursAreCountedAndTold(t *testing.T) {
	b := newBench(t, true)
	b.say(nsm(if1, nbr2, r2, ospfapi.NSMInit))
	b.want("Adjacency{Full:0 Between:1}")
	b.say(nsm(if1, nbr2, r2, ospfapi.NSMTwoWay)) // two DROthers stay so
	b.want("LinkReach{Link:eth0 Router:10.0.0.2 Up:true}", "Adjacency{Full:0 Between:0}")
	b.say(nsm(if1, nbr2, r2, ospfapi.NSMExStart))
	b.want("Adjacency{Full:0 Between:1}")
	b.say(nsm(if1, nbr2, r2, ospfapi.NSMExchange), nsm(if1, nbr2, r2, ospfapi.NSMLoading))
	b.want()
	b.say(nsm(if1, nbr2, r2, ospfapi.NSMFull))
	b.want("Adjacency{Full:1 Between:0}", "NeighborFull{Router:10.0.0.2}")
	b.say(nsm(if1, nbr2, r2, ospfapi.NSMFull))
	b.want()
	b.say(nsm(if1, nbr2, r2, ospfapi.NSMDown))
	b.want("LinkReach{Link:eth0 Router:10.0.0.2 Up:false}", "Adjacency{Full:0 Between:0}")
	b.say(nsm(if1, nbr2, r2, ospfapi.NSMDeleted))
	b.want()
}

func TestANeighbourThatFallsBackToInitIsNoLongerHeard(t *testing.T) {
	b := newBench(t, true)
	b.say(nsm(if1, nbr2, r2, ospfapi.NSMFull))
	b.got = nil
	b.say(nsm(if1, nbr2, r2, ospfapi.NSMInit))
	b.want("LinkReach{Link:eth0 Router:10.0.0.2 Up:false}", "Adjacency{Full:0 Between:1}")
}

func TestOspfdsPseudoNeighbourDoesNotCount(t *testing.T) {
	b := newBench(t, true)
	b.say(nsm(if1, if1, self, ospfapi.NSMFull))
	b.want()
}

func TestAnotherRouterUnderTheSameAddressTakesItsPlace(t *testing.T) {
	b := newBench(t, true)
	b.say(nsm(if1, nbr2, r2, ospfapi.NSMFull))
	b.got = nil
	b.say(nsm(if1, nbr2, r3, ospfapi.NSMFull))
	b.want("LinkReach{Link:eth0 Router:10.0.0.2 Up:false}", "LinkReach{Link:eth0 Router:10.0.0.3 Up:true}", "NeighborFull{Router:10.0.0.3}")
}

func TestWhatWasSaidBeforeTheSessionStoodIsToldThen(t *testing.T) {
	b := newBench(t, true)
	b.reset()
	b.say(nsm(if1, nbr3, r3, ospfapi.NSMTwoWay), nsm(if1, nbr2, r2, ospfapi.NSMFull), nsm(if1, if1, self, ospfapi.NSMFull),
		ospfapi.ReachableChange{Added: []netip.Addr{r2}})
	b.want()
	b.begin(Standing{Router: self}, true, nil)
	b.want("OSPFUp{Router:10.0.0.1 DeadInterval:0s}",
		"LinkReach{Link:eth0 Router:10.0.0.2 Up:true}", "Adjacency{Full:1 Between:0}", "NeighborFull{Router:10.0.0.2}",
		"LinkReach{Link:eth0 Router:10.0.0.3 Up:true}", "Adjacency{Full:1 Between:0}")
}

func TestASyncDropsWhatItDoesNotMention(t *testing.T) {
	b := newBench(t, true)
	gone := daemonLSA(t, ospfapi.OpaqueAS, 0, r2, firstSeq, nodeBody(t, "n2", 1))
	stays := daemonLSA(t, ospfapi.OpaqueAS, 0, r3, firstSeq, nodeBody(t, "n3", 1))
	b.say(ospfapi.SyncStarted{}, up(gone), up(stays), ospfapi.ReachableChange{Seq: 1, Added: []netip.Addr{r2, r3}},
		ospfapi.ISMChange{IfAddr: if1, Area: area0, State: ospfapi.ISMDR}, ospfapi.ISMChange{IfAddr: if2, Area: area0, State: ospfapi.ISMDR},
		nsm(if1, nbr2, r2, ospfapi.NSMFull), nsm(if1, nbr3, r3, ospfapi.NSMFull), ospfapi.SyncDone{Complete: true})
	if b.got[len(b.got)-1] != "Synced{}" {
		t.Fatalf("the last word of the first sync is %q", b.got[len(b.got)-1])
	}
	b.got = nil
	b.say(ospfapi.SyncStarted{}, up(stays), ospfapi.SyncDone{Complete: false})
	b.want() // it proves nothing
	b.say(ospfapi.SyncStarted{}, up(stays), ospfapi.ReachableChange{Seq: 2, Added: []netip.Addr{r3}},
		ospfapi.ISMChange{IfAddr: if1, Area: area0, State: ospfapi.ISMDR},
		nsm(if1, nbr3, r3, ospfapi.NSMFull), ospfapi.SyncDone{Complete: true})
	b.want("gone 10.0.0.2 222.0.1.0 (as)", "LinkReach{Link:eth0 Router:10.0.0.2 Up:false}",
		"Reach{Router:10.0.0.2 Area:false AS:false}", "Adjacency{Full:1 Between:0}")
	if len(b.ifs) != 1 {
		t.Errorf("interfaces %v, want the one mentioned", b.ifs)
	}
}

func TestNewsDuringASyncSurviveIt(t *testing.T) {
	b := newBench(t, true)
	b.say(ospfapi.SyncStarted{}, ospfapi.ReachableChange{Seq: 1, Added: []netip.Addr{r2}}, ospfapi.ReachableChange{Added: []netip.Addr{r3}},
		ospfapi.ReachableChange{Removed: []netip.Addr{r2}}, ospfapi.SyncDone{Complete: true})
	b.want("Reach{Router:10.0.0.2 Area:true AS:true}", "Reach{Router:10.0.0.3 Area:true AS:true}", "Reach{Router:10.0.0.2 Area:false AS:false}",
		"Adjacency{Full:0 Between:0}", "Synced{}")
}

// p2p is a router LSA with a point-to-point link to each.
func p2p(t testing.TB, r netip.Addr, seq uint32, to ...netip.Addr) []byte {
	var links []lsa.RouterLink
	for _, n := range to {
		links = append(links, lsa.RouterLink{Type: lsa.LinkPointToPoint, ID: n, Data: if1, Metric: 1})
	}
	return mustLSA(t, lsa.TypeRouter, r, r, seq, lsa.Router{Links: links})
}

func TestWhereOspfdDoesNotTellReachabilityIsComputed(t *testing.T) {
	b := newBench(t, false)
	b.say(ospfapi.SyncStarted{}, up(p2p(t, self, firstSeq, r2)), up(p2p(t, r2, firstSeq, self, r3)), up(p2p(t, r3, firstSeq, r2)))
	b.want() // not before the sync is complete
	b.say(ospfapi.SyncDone{Complete: true})
	b.want("Adjacency{Full:1 Between:0}", "Reach{Router:10.0.0.2 Area:true AS:true}", "Reach{Router:10.0.0.3 Area:true AS:true}",
		"Adjacency{Full:1 Between:0}", "Synced{}")
	b.say(up(p2p(t, r2, firstSeq+1, self)))
	b.want("Reach{Router:10.0.0.3 Area:false AS:false}")
	b.say(up(p2p(t, self, firstSeq+1)))
	b.want("Adjacency{Full:0 Between:0}", "Reach{Router:10.0.0.2 Area:false AS:false}")
}

func TestOurOwnDeletionCountsWhenOspfdTookIt(t *testing.T) {
	for _, tc := range []struct {
		name string
		say  func([]byte) ospfapi.Notification
		typ  ospfapi.LSType
		at   machine.Scope
	}{
		{"as", func(raw []byte) ospfapi.Notification { return up(raw) }, ospfapi.OpaqueAS, machine.ASScope},
		{"area", func(raw []byte) ospfapi.Notification { return up(raw) }, ospfapi.OpaqueArea, machine.Scope{Kind: machine.ScopeArea, Area: area0}},
		{"link", func(raw []byte) ospfapi.Notification {
			return ospfapi.LSAUpdate{IfAddr: if1, Area: area0, LSA: raw}
		}, ospfapi.OpaqueLink, machine.Scope{Kind: machine.ScopeLink, Link: "eth0"}},
	} {
		t.Run("scope "+tc.name, func(t *testing.T) {
			b := newBench(t, true)
			raw := daemonLSA(t, tc.typ, 0, self, firstSeq, nodeBody(t, "n1", 1))
			b.say(ospfapi.ISMChange{IfAddr: if1, Area: area0, State: ospfapi.ISMDR}, tc.say(raw))
			b.got = nil
			ref := machine.LSARef{Scope: tc.at, ID: machine.DaemonID}
			b.flushed(b.now, ref)
			b.want("gone 10.0.0.1 " + ref.String())
			b.flushed(b.now, ref)
			b.want() // ospfd's own word comes a minute later
		})
	}
}

func TestOSPFDownIsToldOncePerReason(t *testing.T) {
	b := newBench(t, true)
	b.ended("ospfd closed the connection")
	b.ended("ospfd closed the connection")
	b.ended("nobody listens")
	b.ended("nobody listens")
	b.begin(Standing{Router: self}, true, nil)
	b.ended("nobody listens")
	b.want("down: ospfd closed the connection", "down: nobody listens", "OSPFUp{Router:10.0.0.1 DeadInterval:0s}", "Adjacency{Full:0 Between:0}", "down: nobody listens")
}

// ospfd keeps what it withdraws for a minute and does not say so; the next
// announcement must be seen, not the last one.
func TestAnOwnAnnouncementIsLetGoWhenItIsWithdrawnAndSeenAnewAfterwards(t *testing.T) {
	b := newBench(t, true)
	there := "HostRoute{Addr:203.0.113.7 Router:10.0.0.1 Present:true}"
	gone := "HostRoute{Addr:203.0.113.7 Router:10.0.0.1 Present:false}"
	b.say(up(external(t, self, vip, firstSeq)))
	b.want(there)
	b.withdrawn(b.now, []netip.Addr{vip})
	b.want(gone)
	if !b.withdraws([]netip.Addr{vip}) {
		t.Error("not known to be on its way out")
	}
	b.withdrawn(b.now, []netip.Addr{vip})
	b.want()
	b.say(up(external(t, self, vip, firstSeq+1))) // announced again, or asked for and still there
	b.want(there)
	if b.withdraws([]netip.Addr{vip}) {
		t.Error("still thought to be on its way out")
	}
	b.withdrawn(b.now, []netip.Addr{r2})
	b.want()
}

func TestInterfacesThatCannotBeAskedForAreThoseReadyAndTheRouterLSAName(t *testing.T) {
	b := newBench(t, false)
	area, other := netip.MustParseAddr("0.0.0.1"), netip.MustParseAddr("10.9.9.9")
	b.say(ospfapi.Ready{Type: ospfapi.OpaqueLink, Opaque: advert.OpaqueType, Addr: if1}, ospfapi.Ready{Type: ospfapi.OpaqueArea, Opaque: advert.OpaqueType, Addr: area})
	if got := b.interfaces(); len(got) != 0 {
		t.Errorf("before the router LSA: %v", got)
	}
	raw := mustLSA(t, lsa.TypeRouter, self, self, firstSeq, lsa.Router{Links: []lsa.RouterLink{
		{Type: lsa.LinkPointToPoint, ID: r2, Data: if1, Metric: 10},
		{Type: lsa.LinkPointToPoint, ID: r2, Data: other, Metric: 10}, // READY has not named it
	}})
	u := up(raw)
	u.Area, u.Self = area, true
	b.say(u)
	if diff := cmp.Diff(map[netip.Addr]netip.Addr{if1: area}, b.interfaces(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Two nodes of one router id outbid each other's router LSA; see FRR 7.5 in outbid.
func TestWhoIsOutbidIsToldSo(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps int           // how often our router LSA comes anew
		by    uint32        // its number grows by so much
		every time.Duration // so often
		want  int
	}{
		{"a number is left out", 1, 2, time.Minute, 1},
		{"the next number", 50, 1, time.Minute, 0},
		{"a busy router", rushMost - 1, 1, time.Millisecond, 0},
		{"as busy a second later again", 2 * rushMost, 1, 11 * time.Millisecond, 0},
		{"without end", rushMost, 1, time.Millisecond, 1},
		{"for two seconds", 2000, 1, time.Millisecond, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, true)
			b.say(ospfapi.SyncStarted{}, up(p2p(t, self, firstSeq, r2)), ospfapi.SyncDone{Complete: true})
			for i := range c.steps {
				b.now = b.now.Add(c.every)
				b.say(up(p2p(t, self, firstSeq+c.by*uint32(i+1), r2)))
			}
			got := 0
			for _, ev := range b.got {
				if strings.HasPrefix(ev, "Outbid") {
					got++
				}
			}
			if got != c.want {
				t.Errorf("told %d times, want %d", got, c.want)
			}
		})
	}
}
