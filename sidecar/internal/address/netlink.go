package address

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// rtnl is the kernel through rtnetlink.
//
// Our routes are followed by notification where addresses are dumped each
// time: tables local and main share one trie in the kernel, so even a filtered
// dump walks the whole routing table, 40 ms in a router that has all of it.
type rtnl struct {
	handle *netlink.Handle
	ns     *netns.NsHandle
	lo     int // ifindex

	mu     sync.Mutex // guards routes and synced
	routes map[netip.Addr]bool
	synced bool // a subscription stands that keeps routes true
}

// openKernel opens a request socket in ns; nil is the namespace of the caller.
func openKernel(ns *netns.NsHandle) (*rtnl, error) {
	at := netns.None()
	if ns != nil {
		at = *ns
	}
	h, err := netlink.NewHandleAt(at, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("rtnetlink: %w", err)
	}
	// So the kernel filters a dump of routes by table and protocol: without it
	// each would carry the whole routing table. Before Linux 4.20 the library's
	// own filter has to do.
	if err := h.SetStrictCheck(true); err != nil && !errors.Is(err, unix.ENOPROTOOPT) {
		h.Close()
		return nil, fmt.Errorf("rtnetlink: strict checking: %w", err)
	}
	lo, err := h.LinkByName(loopback)
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("rtnetlink: %s: %w", loopback, err)
	}
	return &rtnl{handle: h, ns: ns, lo: lo.Attrs().Index}, nil
}

func (k *rtnl) close() { k.handle.Close() }

// maxDumps bounds how often a dump that changes under way is begun again.
const maxDumps = 10

// retryDump begins a dump again that changes under way have made doubtful.
func retryDump(dump func() error) error {
	for try := 1; ; try++ {
		err := dump()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || try == maxDumps {
			return err
		}
	}
}

func (k *rtnl) snapshot() (s snapshot, err error) {
	err = retryDump(func() (err error) {
		s, err = k.dump()
		return err
	})
	return s, err
}

func (k *rtnl) dump() (s snapshot, err error) {
	s.addrs = map[netip.Addr][]onDevice{}
	k.mu.Lock()
	if k.synced {
		s.routes = maps.Clone(k.routes)
	}
	k.mu.Unlock()
	if s.routes == nil {
		if s.routes, err = k.dumpRoutes(); err != nil {
			return s, err
		}
	}
	addrs, err := k.handle.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return s, fmt.Errorf("list of addresses: %w", err)
	}
	names := map[int]string{k.lo: loopback}
	for _, a := range addrs {
		p, ok := hostPrefix(a.IPNet)
		if !ok {
			continue
		}
		name, known := names[a.LinkIndex]
		switch {
		case known:
		case isOurLabel(a.Label):
			name = k.deviceName(a.LinkIndex)
			names[a.LinkIndex] = name
		default:
			name = a.Label // the device's name or an alias of it: for people only
		}
		s.addrs[p.Addr()] = append(s.addrs[p.Addr()], onDevice{device: name, label: a.Label, bits: p.Bits()})
	}
	return s, nil
}

func (k *rtnl) dumpRoutes() (map[netip.Addr]bool, error) {
	routes, err := k.handle.RouteListFiltered(netlink.FAMILY_V4,
		&netlink.Route{Table: unix.RT_TABLE_LOCAL, Protocol: Protocol}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list of local routes: %w", err)
	}
	own := map[netip.Addr]bool{}
	for _, r := range routes {
		if addr, ok := k.ownRoute(r); ok {
			own[addr] = true
		}
	}
	return own, nil
}

// ownRoute tells a route of ours, and for which address it is.
func (k *rtnl) ownRoute(r netlink.Route) (netip.Addr, bool) {
	if r.Table != unix.RT_TABLE_LOCAL || r.Protocol != Protocol || r.Type != unix.RTN_LOCAL || r.LinkIndex != k.lo {
		return netip.Addr{}, false
	}
	p, ok := hostPrefix(r.Dst)
	return p.Addr(), ok && p.Bits() == 32
}

func (k *rtnl) deviceName(index int) string {
	link, err := k.handle.LinkByIndex(index)
	if err != nil { // it has gone meanwhile
		return fmt.Sprintf("interface %d", index)
	}
	return link.Attrs().Name
}

func hostPrefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits), true
}

func ipNet(addr netip.Addr) *net.IPNet {
	return &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(32, 32)}
}

func (k *rtnl) route(addr netip.Addr) *netlink.Route {
	return &netlink.Route{
		Dst: ipNet(addr), LinkIndex: k.lo, Table: unix.RT_TABLE_LOCAL,
		Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, Protocol: Protocol,
	}
}

// addRoute appends and does not replace: a replace takes the first local route
// of the same destination, whoever made it (net/ipv4/fib_trie.c, fib_table_insert).
func (k *rtnl) addRoute(addr netip.Addr) error {
	return except(k.handle.RouteAppend(k.route(addr)), syscall.EEXIST)
}

func (k *rtnl) delRoute(addr netip.Addr) error {
	return except(k.handle.RouteDel(k.route(addr)), syscall.ESRCH)
}

func (k *rtnl) alias(addr netip.Addr, device string, lifetime time.Duration) (netlink.Link, *netlink.Addr, error) {
	link, err := k.handle.LinkByName(device)
	if err != nil {
		return nil, nil, fmt.Errorf("interface %s: %w", device, err)
	}
	seconds := int(lifetime / time.Second)
	return link, &netlink.Addr{IPNet: ipNet(addr), Label: Label(device), ValidLft: seconds, PreferedLft: seconds}, nil
}

func (k *rtnl) addAlias(addr netip.Addr, device string, lifetime time.Duration) error {
	link, a, err := k.alias(addr, device, lifetime)
	if err != nil {
		return err
	}
	return except(k.handle.AddrAdd(link, a), syscall.EEXIST)
}

func (k *rtnl) renewAlias(addr netip.Addr, device string, lifetime time.Duration) error {
	link, a, err := k.alias(addr, device, lifetime)
	if err != nil {
		return err
	}
	return k.handle.AddrReplace(link, a)
}

func (k *rtnl) delAlias(addr netip.Addr, device string) error {
	link, a, err := k.alias(addr, device, 0)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil // its addresses went with it
	}
	if err != nil {
		return err
	}
	return except(k.handle.AddrDel(link, a), syscall.EADDRNOTAVAIL) // a wrong label does not match
}

func except(err, fine error) error {
	if errors.Is(err, fine) {
		return nil
	}
	return err
}

// rewatchAfter is the pause before a failed subscription is tried again.
const rewatchAfter = time.Second

func (k *rtnl) watch(ctx context.Context, changed func()) error {
	for {
		err := k.follow(ctx, changed)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			continue // the stream broke (ENOBUFS): subscribe again, look again
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rewatchAfter):
		}
	}
}

// follow subscribes and passes changes on until a stream ends. Links count: one
// that goes down takes its IPv4 routes along without a message for each.
func (k *rtnl) follow(ctx context.Context, changed func()) error {
	const buffer = 1 << 20 // bytes; a full table that flaps must not end the stream
	addrs, routes, links := make(chan netlink.AddrUpdate), make(chan netlink.RouteUpdate), make(chan netlink.LinkUpdate)
	done := make(chan struct{})
	defer func() { // the library's readers may be about to send; each closes its channel as it ends
		close(done)
		drain(addrs)
		drain(routes)
		drain(links)
	}()
	ignore := func(error) {} // the channel closes too
	if err := netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{
		Namespace: k.ns, ErrorCallback: ignore, ReceiveBufferSize: buffer}); err != nil {
		close(addrs)
		close(routes)
		close(links)
		return fmt.Errorf("watching addresses: %w", err)
	}
	if err := netlink.RouteSubscribeWithOptions(routes, done, netlink.RouteSubscribeOptions{
		Namespace: k.ns, ErrorCallback: ignore, ReceiveBufferSize: buffer}); err != nil {
		close(routes)
		close(links)
		return fmt.Errorf("watching routes: %w", err)
	}
	if err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{
		Namespace: k.ns, ErrorCallback: ignore, ReceiveBufferSize: buffer}); err != nil {
		close(links)
		return fmt.Errorf("watching links: %w", err)
	}
	defer k.lose()
	if err := k.resync(); err != nil {
		return err
	}
	changed() // what happened before the subscription stood
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-addrs:
			if !ok {
				return nil
			}
			changed()
		case u, ok := <-routes:
			if !ok {
				return nil
			}
			if addr, ours := k.ownRoute(u.Route); ours {
				k.learn(addr, u.Type == unix.RTM_NEWROUTE)
				changed()
			}
		case u, ok := <-links:
			if !ok {
				return nil
			}
			if int(u.Index) == k.lo {
				if err := k.resync(); err != nil {
					return err
				}
			}
			changed()
		}
	}
}

// resync dumps our routes anew. Notifications from before the dump that are
// still to be read do no harm: the last one about a route is right.
func (k *rtnl) resync() error {
	var own map[netip.Addr]bool
	err := retryDump(func() (err error) {
		own, err = k.dumpRoutes()
		return err
	})
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.routes, k.synced = own, true
	return nil
}

func (k *rtnl) learn(addr netip.Addr, exists bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if exists {
		k.routes[addr] = true
	} else {
		delete(k.routes, addr)
	}
}

func (k *rtnl) lose() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.routes, k.synced = nil, false
}

func drain[T any](c <-chan T) {
	for range c {
	}
}
