package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Crash does to a host what a power failure does: every process in its
// namespace is killed, and the kernel forgets what was not there at the beginning
// (routes, addresses of lo other than the topology's) and what is under /run. Its
// interfaces keep their addresses and its cables stay as they are: a kernel
// without daemons still answers and forwards, so cut the host too where that
// matters. Boot brings it back.
func (l *Lab) Crash(host string) error {
	h := l.topo.Host(host)
	if h == nil {
		return fmt.Errorf("crash: host %q: not in lab %s", host, l.name)
	}
	ns := nsInode(l.ns(host))
	if ns == 0 {
		return fmt.Errorf("crash: host %s: no namespace", host)
	}
	errs := killIn(ns, func(int) bool { return true })
	errs = append(errs, l.forget(h), empty(l.Vars(host).RunDir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("crash of %s: %w", host, err)
	}
	return nil
}

// Reset does to a host's srrd and all that it has started what a reset button
// does: they are killed, whatever they are at, and forgotten under /run; FRR and
// the kernel go on. Start starts srrd again.
func (l *Lab) Reset(host string) error {
	ns := nsInode(l.ns(host))
	if ns == 0 {
		return fmt.Errorf("reset: host %s: no namespace", host)
	}
	pid, err := l.PID(host, "srrd")
	if err != nil {
		return err
	}
	var errs []error
	if pid != 0 {
		errs = append(errs, l.Kill(host, "srrd", syscall.SIGKILL))
	}
	errs = append(errs, killIn(ns, func(pid int) bool {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		return err == nil && bytes.Contains(append([]byte{0}, environ...), []byte("\x00SRRD_NODE="))
	})...)
	errs = append(errs, empty(l.Vars(host).RunDir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("reset of %s: %w", host, err)
	}
	return nil
}

// killIn kills those processes of a namespace that are wanted dead.
func killIn(ns uint64, which func(pid int) bool) (errs []error) {
	for range 10 { // a process killed while forking leaves a child: look again
		pids := slices.DeleteFunc(pidsIn(map[uint64]bool{ns: true}), func(pid int) bool { return !which(pid) })
		if len(pids) == 0 {
			break
		}
		for _, pid := range pids {
			p, err := identify(pid)
			if err != nil {
				continue // gone meanwhile
			}
			errs = append(errs, p.end(syscall.SIGKILL, killTimeout))
		}
	}
	return errs
}

// empty removes what is in a directory, as a boot finds /run. None yet is as
// good.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries { // those read before an error, too
		errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return errors.Join(errs...)
}

// forget takes from a host's kernel what daemons have put there.
func (l *Lab) forget(h *Host) error {
	nl, err := handleIn(l.ns(h.Name))
	if err != nil {
		return err
	}
	defer nl.Close()
	var errs []error
	lo, err := nl.LinkByName("lo")
	if err != nil {
		return err
	}
	addrs, err := nl.AddrList(lo, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("addresses of lo: %w", err)
	}
	for _, a := range addrs {
		own := a.IP.IsLoopback()
		for _, p := range h.Loopback {
			own = own || p.Addr().String() == a.IP.String()
		}
		if !own {
			errs = append(errs, nl.AddrDel(lo, &a))
		}
	}
	routes, err := nl.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("routes: %w", err)
	}
	for _, r := range routes {
		if r.Protocol == unix.RTPROT_KERNEL || r.Protocol == unix.RTPROT_BOOT || h.Gateway.IsValid() && r.Dst == nil {
			continue
		}
		if err := nl.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("route %s: %w", r, err))
		}
	}
	// zebra's next-hop objects, which the netlink library does not know.
	if out, err := exec.Command("ip", "-n", l.ns(h.Name), "nexthop", "flush").CombinedOutput(); err != nil {
		errs = append(errs, fmt.Errorf("ip nexthop flush: %w: %s", err, strings.TrimSpace(string(out))))
	}
	return errors.Join(errs...)
}

// Boot starts every daemon of a host that does not run, in order.
func (l *Lab) Boot(ctx context.Context, host string) error {
	s, err := l.view()
	if err != nil {
		return err
	}
	for _, d := range s.Daemons {
		if d.Host != host || d.Proc.state() != procDead {
			continue
		}
		if err := l.Start(ctx, host, d.Name); err != nil {
			return fmt.Errorf("boot of %s: %w", host, err)
		}
	}
	return nil
}
