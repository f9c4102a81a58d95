package zebra

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

func TestOnlyTheRoutesOfADeadZebraToOurAddressesAreSwept(t *testing.T) {
	alone(t)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	add := func(cidr string, proto netlink.RouteProtocol, table int) {
		t.Helper()
		_, dst, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.RouteAdd(&netlink.Route{Dst: dst, LinkIndex: lo.Attrs().Index, Protocol: proto, Table: table, Scope: netlink.SCOPE_LINK}); err != nil {
			t.Fatalf("%s: %v", cidr, err)
		}
	}
	add("203.0.113.1/32", unix.RTPROT_ZEBRA, unix.RT_TABLE_MAIN)
	add("203.0.113.1/32", unix.RTPROT_ZEBRA, 300)                // not in main
	add("203.0.113.2/32", unix.RTPROT_ZEBRA, unix.RT_TABLE_MAIN) // not ours
	add("203.0.113.3/32", unix.RTPROT_STATIC, unix.RT_TABLE_MAIN)
	add("203.0.113.5/32", ownProtocol, unix.RT_TABLE_MAIN) // srrd was killed while it dispelled
	add("203.0.113.0/24", unix.RTPROT_ZEBRA, unix.RT_TABLE_MAIN)
	byNexthop(t, "203.0.113.4/32")
	x3, net0 := netip.MustParseAddr("203.0.113.3"), netip.MustParseAddr("203.0.113.0")
	for range 2 { // what is gone is no trouble
		if err := SweepKernel([]netip.Addr{x1, x3, net0, netip.MustParseAddr("203.0.113.4"), netip.MustParseAddr("203.0.113.5")}); err != nil {
			t.Errorf("sweep: %v", err)
		}
	}
	main, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		t.Fatal(err)
	}
	other, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: 300}, netlink.RT_FILTER_TABLE)
	if err != nil || len(other) != 1 {
		t.Errorf("table 300 holds %v, %v", other, err)
	}
	if len(main) != 3 {
		t.Errorf("table main holds %v, want .2/32, .3/32 and the /24", main)
	}
	for _, r := range main {
		if s := r.Dst.String(); s == "203.0.113.1/32" || s == "203.0.113.4/32" || s == "203.0.113.5/32" {
			t.Errorf("still there: %v", r)
		}
	}
}

// alone takes the test to a network namespace of its own, with lo up.
func alone(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("needs root: it makes a network namespace")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with its namespace
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("a network namespace: %v", err)
	}
	t.Cleanup(func() { ns.Close() })
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
}

func TestAPhantomIsDispelledOnlyWhereTheKernelHasNothing(t *testing.T) {
	for _, c := range []struct {
		name  string
		has   [][]string // arguments of ip
		does  bool       // a route comes and goes in the kernel
		after string     // what is left
	}{
		{name: "nothing is there", does: true},
		{name: "the local route of the service alone", has: [][]string{{"route", "add", "local", "203.0.113.1", "dev", "lo", "table", "local", "proto", "201"}},
			does: true},
		{name: "what a dead zebra left", has: [][]string{{"route", "add", "203.0.113.1", "dev", "lo", "proto", "zebra", "metric", "20"}},
			does: true},
		{name: "what a srrd left that was killed", has: [][]string{{"route", "add", "203.0.113.1", "dev", "lo", "proto", "201"}},
			does: true},
		{name: "a route of the operator", has: [][]string{{"route", "add", "203.0.113.1", "dev", "lo", "metric", "7"}},
			after: "203.0.113.1 dev lo scope link metric 7"},
		{name: "a route of the operator that leads nowhere", has: [][]string{{"route", "add", "blackhole", "203.0.113.1"}}, after: "blackhole 203.0.113.1"},
		{name: "the address itself", has: [][]string{{"address", "add", "203.0.113.1/32", "dev", "lo"}}},
		{name: "others only", has: [][]string{{"route", "add", "203.0.113.0/24", "dev", "lo"}, {"route", "add", "203.0.113.2", "dev", "lo"}},
			does: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			alone(t)
			for _, args := range c.has {
				if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
					t.Fatalf("ip %v: %v: %s", args, err, out)
				}
			}
			// From here on, without what is there already.
			news, done := make(chan netlink.RouteUpdate, 100), make(chan struct{})
			defer close(done)
			if err := netlink.RouteSubscribe(news, done); err != nil {
				t.Fatal(err)
			}
			was, err := DispelPhantom(x1)
			if err != nil || was != c.does {
				t.Errorf("said %v, %v, want %v", was, err, c.does)
			}
			out, err := exec.Command("ip", "route", "show", "203.0.113.1").Output()
			if got := strings.TrimSpace(string(out)); err != nil || got != c.after {
				t.Errorf("left %q, %v, want %q", got, err, c.after)
			}
			if !c.does {
				return
			}
			for came := false; ; {
				u := <-news
				if u.Type == unix.RTM_NEWROUTE {
					if a, ok := host(u.Route); !ok || a != x1 || u.Table != unix.RT_TABLE_MAIN || u.Protocol != ownProtocol || u.Priority != 0 {
						t.Errorf("the kernel has got %v, want a route to %s with metric 0 alone", u.Route, x1)
					}
					came = true
				} else if came { // and not the end of what was left
					return
				}
			}
		})
	}
}

// byNexthop adds a route as FRR 8 does, by a nexthop object.
func byNexthop(t *testing.T, cidr string) {
	t.Helper()
	for _, args := range [][]string{
		{"nexthop", "add", "id", "11", "dev", "lo", "proto", "zebra"},
		{"route", "add", cidr, "nhid", "11", "proto", "zebra", "metric", "20"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
}
