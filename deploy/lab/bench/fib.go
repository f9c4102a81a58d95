package bench

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/deploy/lab"
)

// fib follows the kernel's routes to service addresses on all routers.
type fib struct {
	done chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex
	now     map[hop]string // next hops, joined by blanks
	changes []change
	err     error
}

type hop struct {
	router string
	to     netip.Addr
}

// change is a route that has become another one; via is "" where it has gone.
type change struct {
	at time.Time
	hop
	via string
}

// watchFIB begins to follow the routes of the lab's routers.
func watchFIB(l *lab.Lab) (*fib, error) {
	f := &fib{done: make(chan struct{}), now: map[hop]string{}}
	for _, r := range l.Topology().Routers {
		ns, err := netns.GetFromName(l.Namespace(r.Name))
		if err != nil {
			f.close()
			return nil, fmt.Errorf("routes of %s: %w", r.Name, err)
		}
		updates := make(chan netlink.RouteUpdate, 4096)
		err = netlink.RouteSubscribeWithOptions(updates, f.done, netlink.RouteSubscribeOptions{
			Namespace: &ns, ListExisting: true, ReceiveBufferSize: 4 << 20, ReceiveBufferForceSize: true,
			ErrorCallback: f.failed,
		})
		ns.Close()
		if err != nil {
			f.close()
			return nil, fmt.Errorf("routes of %s: %w", r.Name, err)
		}
		f.wg.Go(func() {
			for u := range updates {
				f.take(time.Now(), r.Name, u)
			}
		})
	}
	return f, nil
}

// failed notes what went wrong with a subscription; its end is one too.
func (f *fib) failed(err error) {
	select {
	case <-f.done:
		return
	default:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *fib) close() {
	close(f.done)
	f.wg.Wait()
}

func (f *fib) take(at time.Time, router string, u netlink.RouteUpdate) {
	if u.Table != unix.RT_TABLE_MAIN || u.Dst == nil {
		return
	}
	to, ok := netip.AddrFromSlice(u.Dst.IP.To4())
	if ones, bits := u.Dst.Mask.Size(); !ok || ones != bits {
		return
	}
	h, via := hop{router, to}, ""
	if u.Type == unix.RTM_NEWROUTE {
		via = nextHops(u.Route)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now[h] == via {
		return
	}
	f.now[h] = via
	f.changes = append(f.changes, change{at, h, via})
}

// nextHops names the next hops of a route, sorted.
func nextHops(r netlink.Route) string {
	one := func(gw fmt.Stringer, has bool, dev int) string {
		if has {
			return gw.String()
		}
		return fmt.Sprintf("dev%d", dev)
	}
	if len(r.MultiPath) == 0 {
		return one(r.Gw, r.Gw != nil, r.LinkIndex)
	}
	var names []string
	for _, n := range r.MultiPath {
		names = append(names, one(n.Gw, n.Gw != nil, n.LinkIndex))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// routesAt are the next hops at a moment.
type routesAt map[hop]string

// snapshot gives the present routes and forgets what was before.
func (f *fib) snapshot() routesAt {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = nil
	out := routesAt{}
	for h, via := range f.now {
		out[h] = via
	}
	return out
}

// went tells, for each router, how long after a moment the last of its old next
// hops to the addresses had gone; routers that kept all are not in it.
func (f *fib) went(old routesAt, since time.Time, to []netip.AddrPort) (map[string]time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return lastGone(old, f.changes, since, to), f.err
}

// came tells, for each router, how long after a moment it had new next hops, or
// some again, for the last of the addresses; one that still lacks some is not in
// it, nor one for which nothing has changed.
func (f *fib) came(old routesAt, since time.Time, to []netip.AddrPort) map[string]time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return lastCome(old, f.changes, since, to)
}

func lastCome(old routesAt, changes []change, since time.Time, to []netip.AddrPort) map[string]time.Duration {
	wanted := map[netip.Addr]bool{}
	for _, a := range to {
		wanted[a.Addr()] = true
	}
	came, lacks := map[hop]time.Duration{}, map[hop]bool{}
	for _, c := range changes {
		if c.at.Before(since) || !wanted[c.to] {
			continue
		}
		_, had := came[c.hop]
		switch {
		case c.via == "":
			delete(came, c.hop)
			lacks[c.hop] = true
		case !had && (lacks[c.hop] || !sharesHop(old[c.hop], c.via)):
			came[c.hop] = c.at.Sub(since)
			delete(lacks, c.hop)
		}
	}
	out := map[string]time.Duration{}
	for h, after := range came {
		out[h.router] = max(out[h.router], after)
	}
	for h := range lacks {
		delete(out, h.router)
	}
	return out
}

func lastGone(old routesAt, changes []change, since time.Time, to []netip.AddrPort) map[string]time.Duration {
	out := map[string]time.Duration{}
	seen, wanted := map[hop]bool{}, map[netip.Addr]bool{}
	for _, a := range to {
		wanted[a.Addr()] = true
	}
	for _, c := range changes {
		if seen[c.hop] || c.at.Before(since) || !wanted[c.to] {
			continue
		}
		// What was one of several next hops is still in use while it is one of them.
		if old[c.hop] == "" || sharesHop(old[c.hop], c.via) {
			continue
		}
		seen[c.hop] = true
		out[c.router] = max(out[c.router], c.at.Sub(since))
	}
	return out
}

// sharesHop reports whether two routes have a next hop in common.
func sharesHop(a, b string) bool {
	return slices.ContainsFunc(strings.Fields(b), func(v string) bool { return slices.Contains(strings.Fields(a), v) })
}
