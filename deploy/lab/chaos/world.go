package chaos

import (
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// The ports of the services' addresses.
const (
	answerPort = 7777
	recordPort = 7300
)

// protection is what keeps a resource from running twice.
type protection uint8

const (
	plain    protection = iota // may run twice while it is parted
	holdOnly                   // lost_hold: once on connected nodes
	majority                   // members: once
	fenced                     // fence: once, whatever srrd does
)

// service is one of topologies/chaos.yaml.
type service struct {
	name    string
	unit    string // what is placed: the group, else the service
	address netip.Addr
	alias   bool
	guard   protection
}

var services = []service{
	{name: "web", unit: "web", address: netip.MustParseAddr("10.250.0.1")},
	{name: "shop", unit: "shop", address: netip.MustParseAddr("10.250.0.2"), alias: true},
	{name: "disk", unit: "DATA", guard: majority},
	{name: "ledger", unit: "DATA", address: netip.MustParseAddr("10.250.0.3"), guard: majority},
	{name: "lun", unit: "lun", guard: fenced},
	{name: "job", unit: "job", guard: holdOnly},
}

func serviceNamed(name string) (service, bool) {
	i := slices.IndexFunc(services, func(s service) bool { return s.name == name })
	if i < 0 {
		return service{}, false
	}
	return services[i], true
}

// world is the topology as the schedule and the audit see it.
type world struct {
	nodes    []string // hosts that run srrd
	routers  []string
	ports    []string            // HOST:IFACE of every host with FRR
	segments map[string][]string // segment -> HOST:IFACE of its members
	unfenced bool                // the resource with a fence has none: see WithoutFence
}

// guard is what keeps a service from running twice here.
func (w world) guard(s service) protection {
	if s.guard == fenced && w.unfenced {
		return holdOnly
	}
	return s.guard
}

func worldOf(t *lab.Topology) world {
	w := world{segments: map[string][]string{}}
	for _, h := range t.All() {
		switch {
		case h.Srrd != nil:
			w.nodes = append(w.nodes, h.Name)
		case h.RunsFRR():
			w.routers = append(w.routers, h.Name)
		}
	}
	for _, s := range t.Segments() {
		for _, m := range s.Members {
			port := m.Host + ":" + m.Iface
			w.segments[s.Name] = append(w.segments[s.Name], port)
			if s.Mode == "active" {
				w.ports = append(w.ports, port)
			}
		}
	}
	return w
}

// connected tells whether there is a path between two hosts over hosts and
// ports that nothing is wrong with.
func (w world) connected(a, b string, broken func(thing string) bool) bool {
	if broken(a) || broken(b) {
		return false
	}
	reached, todo := map[string]bool{a: true}, []string{a}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		for _, members := range w.segments {
			if !slices.ContainsFunc(members, func(p string) bool { return hostOf(p) == at && !broken(p) }) {
				continue
			}
			for _, p := range members {
				if h := hostOf(p); !reached[h] && !broken(p) && !broken(h) {
					reached[h] = true
					todo = append(todo, h)
				}
			}
		}
	}
	return reached[b]
}

func hostOf(port string) string {
	for i := range port {
		if port[i] == ':' {
			return port[:i]
		}
	}
	return port
}

// Timing of a run.
const (
	// roundSpread is within which the faults of a round begin.
	roundSpread = 8 * time.Second
	// lostHold is the computed lost_hold of the longest unit, DATA: 4 s
	// of loss_detection, and two stop timeouts of 4 s.
	lostHold = 12 * time.Second
)

// RecordAddr is where records are taken at a service address.
func RecordAddr(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, recordPort) }

// AnswerAddr is where probes are answered at a service address.
func AnswerAddr(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, answerPort) }
