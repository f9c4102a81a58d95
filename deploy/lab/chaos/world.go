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

func mustService(name string) service {
	s, ok := serviceNamed(name)
	if !ok {
		panic("no service " + name)
	}
	return s
}

// world is the topology as the schedule and the audit see it.
type world struct {
	nodes    []string // hosts that run srrd
	routers  []string
	daemons  []string            // of FRR, on every host
	ports    []string            // HOST:IFACE of every host with FRR
	segments map[string][]string // segment -> HOST:IFACE of its members
	areas    map[string]string   // segment -> area
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
	w := world{daemons: frrDaemons, segments: map[string][]string{}, areas: map[string]string{}}
	for _, h := range t.All() {
		switch {
		case h.Srrd != nil:
			w.nodes = append(w.nodes, h.Name)
		case h.RunsFRR():
			w.routers = append(w.routers, h.Name)
		}
	}
	for _, s := range t.Segments() {
		w.areas[s.Name] = s.Area
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

// backbone is area 0, as a topology has it that does not say.
const backbone = "0.0.0.0"

// connected tells whether OSPF has a path between two hosts over hosts and ports
// that nothing is wrong with: out of an area into the backbone, and into another.
// From one part of a backbone that is in two none leads through another area
// (RFC 2328, 16.2).
func (w world) connected(a, b string, broken func(thing string) bool) bool {
	if broken(a) || broken(b) {
		return false
	}
	// on is where one is: the area one is still in, or, after the backbone, the one
	// one is in for good; "" is anywhere.
	type on struct {
		host, area string
		last       bool
	}
	first := on{host: a}
	reached, todo := map[on]bool{first: true}, []on{first}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		if at.host == b {
			return true
		}
		for segment, members := range w.segments {
			if !slices.ContainsFunc(members, func(p string) bool { return hostOf(p) == at.host && !broken(p) }) {
				continue
			}
			next := on{area: w.areas[segment]}
			switch {
			case at.area == "", at.area == next.area:
				next.last = at.last
			case at.last: // not out again
				continue
			case at.area == backbone:
				next.last = true
			case next.area != backbone:
				continue
			}
			for _, p := range members {
				if next.host = hostOf(p); !reached[next] && !broken(p) && !broken(next.host) {
					reached[next] = true
					todo = append(todo, next)
				}
			}
		}
	}
	return false
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
