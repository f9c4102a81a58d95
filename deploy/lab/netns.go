package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// nsDir is where iproute2 keeps named namespaces, so that `ip netns` sees ours.
const nsDir = "/run/netns"

// inNS runs f on a thread that is in the named namespace. If the thread cannot
// be brought back it stays locked and dies with its goroutine.
func inNS(name string, f func() error) error {
	ns, err := netns.GetFromName(name)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	defer ns.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		old, err := netns.Get()
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("own namespace: %w", err)
			return
		}
		defer old.Close()
		if err := netns.Set(ns); err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("namespace %s: enter: %w", name, err)
			return
		}
		err = f()
		if netns.Set(old) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// addNS creates a named namespace, lo up, and sets its sysctls.
func addNS(name string, forward bool) error {
	done := make(chan error, 1)
	go func() { done <- makeNS(name, forward) }()
	return <-done
}

// makeNS does it on this thread, and brings that back: the first one of a program
// does not die with its goroutine, and by the namespace it stays in the whole
// process seems to be there.
func makeNS(name string, forward bool) error {
	runtime.LockOSThread()
	old, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("own namespace: %w", err)
	}
	defer old.Close()
	ns, err := netns.NewNamed(name)
	if err != nil {
		err = fmt.Errorf("namespace %s: create: %w", name, err)
	} else {
		ns.Close()
		err = setupNS(forward)
	}
	if netns.Set(old) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

// setupNS runs inside the new namespace. /proc/sys/net shows the namespace of
// the thread that opens it.
func setupNS(forward bool) error {
	values := map[string]string{
		"net/ipv4/conf/all/rp_filter":          "0", // service addresses arrive over any path
		"net/ipv4/conf/default/rp_filter":      "0",
		"net/ipv6/conf/all/disable_ipv6":       "1", // no router solicitations in captures and counters
		"net/ipv6/conf/default/disable_ipv6":   "1",
		"net/ipv4/conf/all/send_redirects":     "0",
		"net/ipv4/conf/default/send_redirects": "0",
	}
	if forward {
		values["net/ipv4/ip_forward"] = "1"
	}
	for key, v := range values {
		err := os.WriteFile(filepath.Join("/proc/sys", key), []byte(v), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without IPv6
			return fmt.Errorf("sysctl %s: %w", key, err)
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	return netlink.LinkSetUp(lo)
}

// delNS removes a named namespace; one that is not there is no error.
func delNS(name string) error {
	path := filepath.Join(nsDir, name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return fmt.Errorf("namespace %s: unmount: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	return nil
}

// nsInode identifies a named namespace; 0 if there is none.
func nsInode(name string) uint64 {
	var st unix.Stat_t
	if unix.Stat(filepath.Join(nsDir, name), &st) != nil {
		return 0
	}
	return st.Ino
}

// pidsIn returns the processes whose network namespace is one of the given
// inodes: whatever was started there, by whomever. A namespace is a surer mark
// than a pid, which can be somebody else's by now.
func pidsIn(inodes map[uint64]bool) []int {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []int
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Stat("/proc/"+d.Name()+"/ns/net", &st) == nil && inodes[st.Ino] && pid != os.Getpid() {
			out = append(out, pid)
		}
	}
	return out
}

// handleIn returns a netlink handle that speaks to the named namespace.
func handleIn(name string) (*netlink.Handle, error) {
	ns, err := netns.GetFromName(name)
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("namespace %s: netlink: %w", name, err)
	}
	return h, nil
}

// port is a member's end in the wire namespace.
type port struct {
	Segment string `json:"segment"`
	Host    string `json:"host"`
	Iface   string `json:"iface"`
	Dev     string `json:"dev"`    // the veth's name in the wire namespace
	Bridge  string `json:"bridge"` // the segment's bridge there
	LAN     bool   `json:"lan"`
}

// portsOf numbers the ports of a topology: bridges b0, b1..., ports b0.0, b0.1.
func portsOf(t *Topology) []port {
	var out []port
	for i, s := range t.Segments() {
		for j, m := range s.Members {
			out = append(out, port{s.Name, m.Host, m.Iface, fmt.Sprintf("b%d.%d", i, j), fmt.Sprintf("b%d", i), s.LAN})
		}
	}
	return out
}

// buildWires creates bridges, veths, addresses and default routes.
func (l *Lab) buildWires() error {
	wire, err := handleIn(l.wireNS())
	if err != nil {
		return err
	}
	defer wire.Close()
	off := false
	made := map[string]netlink.Link{}
	for _, p := range l.ports {
		br := made[p.Bridge]
		if br == nil {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = p.Bridge
			// Snooping could hold OSPF's multicast back.
			b := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}
			if err := wire.LinkAdd(b); err != nil {
				return fmt.Errorf("segment %s: bridge: %w", p.Segment, err)
			}
			if err := wire.LinkSetAlias(b, p.Segment); err != nil {
				return fmt.Errorf("segment %s: bridge alias: %w", p.Segment, err)
			}
			if err := wire.LinkSetUp(b); err != nil {
				return fmt.Errorf("segment %s: bridge up: %w", p.Segment, err)
			}
			made[p.Bridge], br = b, b
		}
		if err := l.buildPort(wire, br, p); err != nil {
			return fmt.Errorf("segment %s: %s:%s: %w", p.Segment, p.Host, p.Iface, err)
		}
	}
	for _, h := range l.topo.All() {
		if err := l.buildLoopback(h); err != nil {
			return fmt.Errorf("host %s: %w", h.Name, err)
		}
	}
	return nil
}

func (l *Lab) buildPort(wire *netlink.Handle, br netlink.Link, p port) error {
	ns, err := netns.GetFromName(l.ns(p.Host))
	if err != nil {
		return err
	}
	defer ns.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = p.Dev
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: p.Iface, PeerNamespace: netlink.NsFd(ns)}
	if err := wire.LinkAdd(veth); err != nil {
		return fmt.Errorf("veth: %w", err)
	}
	if err := wire.LinkSetAlias(veth, p.Host+":"+p.Iface); err != nil {
		return fmt.Errorf("alias: %w", err)
	}
	if err := wire.LinkSetMaster(veth, br); err != nil {
		return fmt.Errorf("bridge port: %w", err)
	}
	if err := wire.LinkSetUp(veth); err != nil {
		return fmt.Errorf("port up: %w", err)
	}
	host, err := handleIn(l.ns(p.Host))
	if err != nil {
		return err
	}
	defer host.Close()
	dev, err := host.LinkByName(p.Iface)
	if err != nil {
		return err
	}
	if err := host.LinkSetUp(dev); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	addr := l.memberAddr(p)
	if err := host.AddrAdd(dev, &netlink.Addr{IPNet: &net.IPNet{
		IP: addr.Addr().AsSlice(), Mask: net.CIDRMask(addr.Bits(), 32)}}); err != nil {
		return fmt.Errorf("address %s: %w", addr, err)
	}
	return nil
}

func (l *Lab) buildLoopback(h *Host) error {
	nl, err := handleIn(l.ns(h.Name))
	if err != nil {
		return err
	}
	defer nl.Close()
	if len(h.Loopback) > 0 {
		lo, err := nl.LinkByName("lo")
		if err != nil {
			return err
		}
		for _, p := range h.Loopback {
			if err := nl.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{
				IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}}); err != nil {
				return fmt.Errorf("lo address %s: %w", p, err)
			}
		}
	}
	if h.Gateway.IsValid() {
		if err := nl.RouteAdd(&netlink.Route{Gw: h.Gateway.AsSlice()}); err != nil {
			return fmt.Errorf("default route via %s: %w", h.Gateway, err)
		}
	}
	return nil
}
