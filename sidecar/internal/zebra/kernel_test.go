package zebra

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

func TestOnlyTheRoutesOfADeadZebraToOurAddressesAreSwept(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root: it makes a network namespace")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with its namespace
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("a network namespace: %v", err)
	}
	defer ns.Close()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
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
	add("203.0.113.0/24", unix.RTPROT_ZEBRA, unix.RT_TABLE_MAIN)
	byNexthop(t, "203.0.113.4/32")
	x3, net0 := netip.MustParseAddr("203.0.113.3"), netip.MustParseAddr("203.0.113.0")
	for range 2 { // what is gone is no trouble
		if err := SweepKernel([]netip.Addr{x1, x3, net0, netip.MustParseAddr("203.0.113.4")}); err != nil {
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
		if s := r.Dst.String(); s == "203.0.113.1/32" || s == "203.0.113.4/32" {
			t.Errorf("still there: %v", r)
		}
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
