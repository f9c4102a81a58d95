package lab

import (
	"fmt"
	"net/netip"
	"sort"
	"strings"
)

// Status is a lab as it is now.
type Status struct {
	Name  string       `json:"name"`
	Phase string       `json:"phase"` // building, up
	Owner int          `json:"owner"` // process it belongs to, 0: none
	Dir   string       `json:"dir"`
	Hosts []HostStatus `json:"hosts"`
	// Faults: HOST:IFACE -> what is wrong there.
	Faults map[string]string `json:"faults,omitempty"`
}

// HostStatus is one host of a Status.
type HostStatus struct {
	Name      string                  `json:"name"`
	Namespace string                  `json:"namespace"`
	RouterID  netip.Addr              `json:"router_id"`
	FRR       string                  `json:"frr,omitempty"` // its version
	Addresses map[string]netip.Prefix `json:"addresses"`     // by interface
	Daemons   []DaemonStatus          `json:"daemons,omitempty"`
	Neighbors []NeighborStatus        `json:"neighbors,omitempty"`
	// Problem is why the neighbours could not be asked for.
	Problem string `json:"problem,omitempty"`
}

// DaemonStatus is one process of a host.
type DaemonStatus struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	State string `json:"state"` // running, frozen, dead
	Log   string `json:"log"`
}

// NeighborStatus is an OSPF neighbour as ospfd shows it.
type NeighborStatus struct {
	RouterID netip.Addr `json:"router_id"`
	Address  netip.Addr `json:"address"`
	Iface    string     `json:"iface"`
	State    string     `json:"state"` // RFC 2328 10.1: Full, 2-Way, ...
	Role     string     `json:"role"`  // DR, Backup, DROther, - on a point-to-point link
}

// Status asks everything at once; a daemon that does not answer is part of the
// answer, not an error.
func (l *Lab) Status() (*Status, error) {
	s, err := l.view()
	if err != nil {
		return nil, err
	}
	out := &Status{Name: s.Name, Phase: string(s.Phase), Owner: s.Owner.PID, Dir: l.dir, Faults: map[string]string{}}
	for key, f := range s.Faults {
		out.Faults[key] = f.String()
	}
	for _, h := range l.topo.All() {
		hs := HostStatus{Name: h.Name, Namespace: l.ns(h.Name), RouterID: h.RouterID, FRR: l.releases[h.Name].Version, Addresses: map[string]netip.Prefix{}}
		for _, p := range l.ports {
			if p.Host == h.Name {
				hs.Addresses[p.Iface] = l.memberAddr(p)
			}
		}
		answering := false
		for _, d := range s.Daemons {
			if d.Host != h.Name {
				continue
			}
			st := d.Proc.state()
			hs.Daemons = append(hs.Daemons, DaemonStatus{d.Name, d.Proc.PID, st, l.logPath(d.Host, d.Name)})
			answering = answering || d.Name == "ospfd" && st == procRunning
		}
		if answering {
			list, err := l.Neighbors(h.Name) // in the order of interfaces and addresses
			if err != nil {
				hs.Problem = err.Error()
			}
			for _, n := range list {
				hs.Neighbors = append(hs.Neighbors, NeighborStatus{n.RouterID, n.Address, n.Interface, n.State, n.Role})
			}
		}
		out.Hosts = append(out.Hosts, hs)
	}
	return out, nil
}

// String is the table that `srrlab status` prints.
func (s *Status) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "lab %s: %s", s.Name, s.Phase)
	if s.Owner != 0 {
		fmt.Fprintf(&b, ", belongs to process %d", s.Owner)
	}
	fmt.Fprintf(&b, "\n%-10s %-15s %-7s %-44s %s\n", "HOST", "ROUTER-ID", "FRR", "DAEMONS", "NEIGHBOURS")
	for _, h := range s.Hosts {
		id := "-"
		if h.RouterID.IsValid() {
			id = h.RouterID.String()
		}
		var daemons, neighbours []string
		for _, d := range h.Daemons {
			word := d.Name
			if d.State != procRunning {
				word += "(" + d.State + ")"
			}
			daemons = append(daemons, word)
		}
		for _, n := range h.Neighbors {
			neighbours = append(neighbours, fmt.Sprintf("%s=%s/%s", n.Iface, n.RouterID, n.State))
		}
		if h.Problem != "" {
			neighbours = append(neighbours, h.Problem)
		}
		fmt.Fprintf(&b, "%-10s %-15s %-7s %-44s %s\n", h.Name, id, h.FRR, strings.Join(daemons, " "), strings.Join(neighbours, " "))
	}
	keys := make([]string, 0, len(s.Faults))
	for key := range s.Faults {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		fmt.Fprintf(&b, "fault %s: %s\n", key, s.Faults[key])
	}
	return b.String()
}
