package zebra

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
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

// SweepKernel removes what a dead zebra left of routes to addresses: the /32
// routes of its protocol number in table main. It asks the network namespace
// of the process.
func SweepKernel(addrs []netip.Addr) error {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4,
		&netlink.Route{Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_ZEBRA}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("routes of a dead zebra: %w", err)
	}
	var failed []error
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		addr, ok := netip.AddrFromSlice(r.Dst.IP)
		if ones, bits := r.Dst.Mask.Size(); !ok || ones != bits || !slices.Contains(addrs, addr.Unmap()) {
			continue
		}
		// Not by its interface: the kernel does not find a route that uses a
		// nexthop object, as those of FRR 8 do, by that (net/ipv4/fib_semantics.c,
		// fib_nh_match).
		named := netlink.Route{Dst: r.Dst, Table: r.Table, Protocol: r.Protocol, Priority: r.Priority, Type: r.Type, Scope: r.Scope}
		if err := netlink.RouteDel(&named); err != nil && !errors.Is(err, syscall.ESRCH) {
			failed = append(failed, fmt.Errorf("route of a dead zebra to %s: %w", addr.Unmap(), err))
		}
	}
	return errors.Join(failed...)
}

// loopback is the index of lo, 1 in every network namespace but asked for.
func loopback() uint32 {
	if i, err := net.InterfaceByName("lo"); err == nil {
		return uint32(i.Index)
	}
	return 1
}
