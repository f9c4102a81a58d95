package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/vty"
)

// pollEvery is how often a condition is looked at. FRR's daemons have no way
// to be told of one.
const pollEvery = 10 * time.Millisecond

// finalError ends a poll at once.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func final(err error) error { return finalError{err} }

// poll runs check until it returns nil or a final error; when the context ends
// first, the error says what was still missing.
func poll(ctx context.Context, check func() error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := check()
		var f finalError
		if err == nil {
			return nil
		} else if errors.As(err, &f) {
			return f.error
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// Wait polls until check returns nil; when ctx ends first the error holds what
// check said last.
func (l *Lab) Wait(ctx context.Context, check func() error) error {
	return l.wrap(poll(ctx, check))
}

// adjacency is one neighbour that a host should have.
type adjacency struct {
	host, iface string
	addr        netip.Addr // of the neighbour
	peer        string
	lan         bool
	bfd         bool
	designated  int // how many of the LAN become DR and BDR: 0 to 2
}

func (l *Lab) adjacencies() []adjacency {
	var out []adjacency
	for _, s := range l.topo.Segments() {
		if s.Mode != "active" {
			continue
		}
		eligible := 0
		for _, m := range s.Members {
			if l.topo.Host(m.Host).RunsFRR() && (m.Priority == nil || *m.Priority > 0) {
				eligible++
			}
		}
		for i, m := range s.Members {
			h := l.topo.Host(m.Host)
			for j, n := range s.Members {
				peer := l.topo.Host(n.Host)
				if i == j || !h.RunsFRR() || !peer.RunsFRR() {
					continue
				}
				out = append(out, adjacency{m.Host, m.Iface, n.Address.Addr(), n.Host, s.LAN,
					l.topo.bfd(s, h) != "" && l.topo.bfd(s, peer) != "", min(2, eligible)})
			}
		}
	}
	return out
}

// WaitConverged waits until every OSPF neighbour of the topology is Full (on a
// LAN, two routers that are neither DR nor BDR: 2-Way), every BFD session of
// such a pair is up, and every network of an area is in the kernel's table of
// every router of that area. Members behind a fault are waited for too.
func (l *Lab) WaitConverged(ctx context.Context) error {
	return l.wrap(l.converge(ctx))
}

func (l *Lab) converge(ctx context.Context) error { return poll(ctx, l.Converged) }

// Converged looks once at what WaitConverged waits for, and says what is missing.
func (l *Lab) Converged() error {
	var missing []string
	for _, h := range l.topo.All() {
		if h.RunsFRR() {
			missing = append(missing, l.missingOn(h)...)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return errors.New("still missing: " + strings.Join(missing, "; "))
}

// missingOn lists what keeps a host from being converged.
func (l *Lab) missingOn(h *Host) []string {
	var out []string
	list, err := l.Neighbors(h.Name)
	if err != nil {
		return []string{err.Error()}
	}
	full := map[string]int{}
	neighbours := make(map[string]vty.Neighbor, len(list))
	for _, n := range list {
		neighbours[n.Interface+" "+n.Address.String()] = n
		if n.Full() {
			full[n.Interface]++
		}
	}
	var sessions map[netip.Addr]string
	for _, a := range l.adjacencies() {
		if a.host != h.Name {
			continue
		}
		n, ok := neighbours[a.iface+" "+a.addr.String()]
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("%s: no OSPF neighbour %s on %s", h.Name, a.peer, a.iface))
			continue
		case n.Full():
		case a.lan && n.State == "2-Way" && n.Role == "DROther" && full[a.iface] >= a.designated:
			continue
		default:
			out = append(out, fmt.Sprintf("%s: OSPF neighbour %s on %s is %s", h.Name, a.peer, a.iface, n.State))
			continue
		}
		if !a.bfd {
			continue
		}
		if sessions == nil {
			if sessions, err = l.bfdSessions(h.Name); err != nil {
				return append(out, err.Error())
			}
		}
		if s := sessions[a.addr]; s != "up" {
			if s == "" {
				s = "not there"
			}
			out = append(out, fmt.Sprintf("%s: BFD session with %s on %s is %s", h.Name, a.peer, a.iface, s))
		}
	}
	if len(out) == 0 {
		out = l.missingRoutes(h)
	}
	return out
}

// Neighbors returns the OSPF neighbours of a host as its ospfd shows them.
func (l *Lab) Neighbors(host string) ([]vty.Neighbor, error) {
	text, err := l.VTY(host, "ospfd", "show ip ospf neighbor json")
	if err != nil {
		return nil, err
	}
	list, err := vty.ParseNeighbors(text)
	if err != nil {
		return nil, fmt.Errorf("ospfd on %s: %w", host, err)
	}
	return list, nil
}

func (l *Lab) bfdSessions(host string) (map[netip.Addr]string, error) {
	text, err := l.VTY(host, "bfdd", "show bfd peers json")
	if err != nil {
		return nil, err
	}
	var list []struct {
		Peer   netip.Addr `json:"peer"`
		Status string     `json:"status"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("bfdd on %s: show bfd peers json: %w", host, err)
	}
	out := map[netip.Addr]string{}
	for _, s := range list {
		out[s.Peer] = s.Status
	}
	return out, nil
}

// missingRoutes compares the kernel's table with the networks of the host's areas.
func (l *Lab) missingRoutes(h *Host) []string {
	have, err := l.Routes(h.Name)
	if err != nil {
		return []string{err.Error()}
	}
	areas := map[string]bool{}
	for _, s := range l.topo.Segments() {
		for _, m := range s.Members {
			if m.Host == h.Name && s.Mode != "off" {
				areas[s.Area] = true
			}
		}
	}
	var out []string
	for _, s := range l.topo.Segments() {
		if s.Mode == "off" || !areas[s.Area] {
			continue
		}
		announced := false
		for _, m := range s.Members {
			announced = announced || l.topo.Host(m.Host).RunsFRR()
		}
		if p := s.Members[0].Address.Masked(); announced && !have[p] {
			out = append(out, fmt.Sprintf("%s: no route to %s (%s)", h.Name, p, s.Name))
		}
	}
	return out
}

// Routes returns the prefixes in the main table of a host's kernel.
func (l *Lab) Routes(host string) (map[netip.Prefix]bool, error) {
	nl, err := handleIn(l.ns(host))
	if err != nil {
		return nil, err
	}
	defer nl.Close()
	routes, err := nl.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("host %s: routes: %w", host, err)
	}
	out := make(map[netip.Prefix]bool, len(routes))
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		if a, ok := netip.AddrFromSlice(r.Dst.IP.To4()); ok {
			ones, _ := r.Dst.Mask.Size()
			out[netip.PrefixFrom(a, ones)] = true
		}
	}
	return out, nil
}
