package zebra

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// absent reports whether an error of connecting means that nobody listens: the
// socket is not there, or its owner is dead.
func absent(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

// nobodyListens asks zebra's socket where its release is not known.
func (p *Port) nobodyListens(ctx context.Context) bool {
	dial := p.dial
	if dial == nil {
		dial = func(ctx context.Context, path string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	c, err := dial(ctx, p.cfg.Path)
	if err == nil {
		_ = c.Close() // nothing was said
	}
	return absent(err)
}

// ownProtocol is that of the local routes of service addresses (package
// address), by which srrd cleanup knows what is ours.
const ownProtocol = 201

// SweepKernel removes what a dead zebra left of routes to addresses: the /32
// routes of its protocol number in table main. It asks the network namespace
// of the process.
func SweepKernel(addrs []netip.Addr) error {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("routes of a dead zebra: %w", err)
	}
	var failed []error
	for _, r := range routes {
		if addr, ok := host(r); ok && leftOver(r) && slices.Contains(addrs, addr) {
			failed = append(failed, sweep(r))
		}
	}
	return errors.Join(failed...)
}

// leftOver tells routes of table main that a zebra left which was killed, or
// DispelPhantom, should srrd have ended in the middle of it.
func leftOver(r netlink.Route) bool {
	return r.Table == unix.RT_TABLE_MAIN && (r.Protocol == unix.RTPROT_ZEBRA || r.Protocol == ownProtocol)
}

func sweep(r netlink.Route) error {
	// Not by its interface: the kernel does not find a route that uses a
	// nexthop object, as those of FRR 8 do, by that (net/ipv4/fib_semantics.c,
	// fib_nh_match).
	named := netlink.Route{Dst: r.Dst, Table: r.Table, Protocol: r.Protocol, Priority: r.Priority, Type: r.Type, Scope: r.Scope}
	if err := netlink.RouteDel(&named); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("route of a dead zebra to %s: %w", r.Dst, err)
	}
	return nil
}

// host is the address of a /32 route.
func host(r netlink.Route) (netip.Addr, bool) {
	if r.Dst == nil {
		return netip.Addr{}, false
	}
	addr, ok := netip.AddrFromSlice(r.Dst.IP)
	ones, bits := r.Dst.Mask.Size()
	return addr.Unmap(), ok && ones == bits
}

// DispelPhantom has zebra forget a route of the kernel to an address that the
// kernel does not have, and says whether there can have been one: false if the
// kernel has a route that may be what zebra prefers, or the address itself.
//
// zebra 10.3 takes the routes which one that was killed left for the kernel's
// own, with distance 0 and metric 0; it looks for such before it has put them
// into its RIB, so that it keeps them, and then deletes the nexthops they use,
// upon which the kernel drops them without a word. A route like it that comes
// and goes in the kernel takes the place of that one, and it along.
func DispelPhantom(addr netip.Addr) (bool, error) {
	var all []netlink.Route
	for _, table := range []int{unix.RT_TABLE_MAIN, unix.RT_TABLE_LOCAL} {
		routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return false, fmt.Errorf("routes of the kernel to %s: %w", addr, err)
		}
		all = append(all, routes...)
	}
	var left []netlink.Route
	for _, r := range all {
		switch a, ok := host(r); {
		case !ok || a != addr:
		case leftOver(r):
			left = append(left, r)
		case r.Protocol != ownProtocol:
			return false, nil
		}
	}
	for _, r := range left {
		if err := sweep(r); err != nil {
			return false, err
		}
	}
	decoy := &netlink.Route{Dst: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())},
		LinkIndex: int(loopback()), Table: unix.RT_TABLE_MAIN, Scope: netlink.SCOPE_LINK, Protocol: ownProtocol}
	if err := netlink.RouteAdd(decoy); err != nil {
		return false, fmt.Errorf("a route to %s that is to come and go: %w", addr, err)
	}
	if err := netlink.RouteDel(decoy); err != nil && !errors.Is(err, syscall.ESRCH) {
		return false, fmt.Errorf("a route to %s that came does not go: %w", addr, err)
	}
	return true, nil
}

// loopback is the index of lo, 1 in every network namespace but asked for: once,
// since it can be neither removed nor renumbered, and asking has the kernel list
// all interfaces.
var loopback = sync.OnceValue(func() uint32 {
	if i, err := net.InterfaceByName("lo"); err == nil {
		return uint32(i.Index)
	}
	return 1
})
