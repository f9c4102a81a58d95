package whatif

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/sim"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// MaxNodes is how many nodes can be simulated: their router ids are 10.0.0.1
// and following.
const MaxNodes = 250

// Options of a simulation. The zero value is good.
type Options struct {
	Seed   uint64
	Dead   time.Duration // OSPF's dead interval (default: that of the dump, or 40 s); lost_hold counts on it
	Detect time.Duration // how soon a silent loss is noticed (default 100 ms, as with BFD)
	For    time.Duration // virtual time the answer covers (default 2 min)
}

func (o Options) filled() Options {
	if o.For == 0 {
		o.For = 2 * time.Minute
	}
	return o
}

// Parse reads a document as simulate dump writes it.
func Parse(text []byte) (*view.ClusterDocument, error) {
	var d view.ClusterDocument
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("this is not what `simulate dump` writes: %w", err)
	}
	switch {
	case d.Format != view.ClusterFormat:
		return nil, fmt.Errorf("the dump is of format %d; this program reads format %d", d.Format, view.ClusterFormat)
	case len(d.Nodes) == 0:
		return nil, fmt.Errorf("there is no node in the dump")
	case len(d.Nodes) > MaxNodes:
		return nil, fmt.Errorf("%d nodes in the dump: at most %d can be simulated", len(d.Nodes), MaxNodes)
	}
	return &d, nil
}

// cluster is a document taken up in the simulator.
type cluster struct {
	*watcher
	self    int // whose view the document is; -1 where that node is not in it
	present []bool
	groups  map[string]string         // of services
	failed  map[int]map[string]string // how, by node and service
	assumed []string
	later   map[int]machine.Config // with what decides only once all know of each other
}

// takeUp builds the simulation. Node i of it is the i-th by router id, because
// ties go by that.
func takeUp(d *view.ClusterDocument, o Options) (*cluster, error) {
	nodes := slices.Clone(d.Nodes)
	slices.SortFunc(nodes, func(a, b view.ClusterNode) int { return int(int64(a.Router) - int64(b.Router)) })
	c := &cluster{self: -1, groups: map[string]string{}, failed: map[int]map[string]string{}}
	index := map[machine.RouterID]int{}
	if o.Dead == 0 && d.Timing != nil {
		o.Dead = d.Timing.DeadInterval
	}
	opt := sim.Options{Seed: o.Seed, Routers: true, Dead: o.Dead, Detect: o.Detect, Unchecked: true}
	for i, n := range nodes {
		if _, twice := index[n.Router]; twice {
			return nil, fmt.Errorf("router id %s is in the dump twice", n.Router)
		}
		index[n.Router] = i
		host := n.Host
		if host == "" {
			host = n.Router.String()
		}
		if n.Host == d.Host {
			c.self = i
		}
		c.present = append(c.present, n.Present)
		opt.Nodes = append(opt.Nodes, timed(daemonConfig(host), d.Timing))
	}
	memory := make([]machine.Memory, len(nodes))
	for i, n := range nodes {
		memory[i] = machine.Memory{Incarnation: 1, Node: nodeState(n.State), Services: map[string]machine.ServiceMemory{}}
		memory[i].Freeze = advert.Hold{On: d.Frozen, Number: number(d.Frozen)}
	}
	marks := make([][]machine.Mark, len(nodes))
	broken := map[int][]string{}
	for _, s := range d.Services {
		c.groups[s.Name] = s.Group
		turn := uint32(0)
		for _, f := range s.Offers {
			turn = max(turn, f.Turn)
		}
		for _, f := range s.Offers {
			i, ok := index[f.Router]
			if !ok {
				continue
			}
			sc := service(d, s, f)
			opt.Nodes[i].Services = append(opt.Nodes[i].Services, sc)
			m := machine.ServiceMemory{Counter: turn}
			if f.Disabled {
				off := false
				m.Enabled = &off
			}
			m.Hold = advert.Hold{On: s.Held, Number: number(s.Held)}
			m.Freeze = advert.Hold{On: s.Frozen, Number: number(s.Frozen)}
			if target, ok := c.router(index, s.PinnedTo); ok {
				m.Pin = advert.Pin{Number: 1, Target: target}
			}
			memory[i].Services[s.Name] = m
			claim := advert.NewClaim(max(1, f.Turn), simRouter(i))
			switch {
			case f.MayStillRun:
				marks[i] = append(marks[i], machine.Mark{Service: s.Name, Claim: claim, MayStillRun: true})
				broken[i] = append(broken[i], s.Name)
			case f.State == advert.Failed.String():
				broken[i] = append(broken[i], s.Name)
				if c.failed[i] == nil {
					c.failed[i] = map[string]string{}
				}
				c.failed[i][s.Name] = f.Failure
			case f.State == advert.Started.String():
				marks[i] = append(marks[i], machine.Mark{Service: s.Name, Claim: claim})
			}
			if f.Probation {
				c.assumed = append(c.assumed, fmt.Sprintf("%s, on probation on %s, has preference 0 there", s.Name, opt.Nodes[i].Host))
			}
		}
	}
	c.later = map[int]machine.Config{}
	for i := range opt.Nodes {
		slices.SortFunc(opt.Nodes[i].Services, func(a, b machine.Service) int { return strings.Compare(a.Name, b.Name) })
	}
	for i := range opt.Nodes {
		// All nodes of the simulation begin at once, and none has a majority then.
		if n := &opt.Nodes[i]; slices.ContainsFunc(n.Services, func(s machine.Service) bool { return s.Members > 0 || s.Fence }) {
			c.later[i] = *n
			n.Services = slices.Clone(n.Services)
			for k := range n.Services {
				n.Services[k].Members, n.Services[k].Fence = 0, false
			}
		}
	}
	c.watcher = watch(opt)
	never := slices.Repeat([]sim.Behaviour{{Outcome: machine.OutcomeFailed}}, 64)
	for i := range nodes {
		for _, name := range broken[i] {
			c.sim.Script(i, name, machine.PrimActivate, never...)
			c.sim.Script(i, name, machine.PrimStop, never...)
		}
		if !c.present[i] {
			c.assumed = append(c.assumed, c.host(i)+" is not present and stays off")
			continue
		}
		c.sim.Resume(i, memory[i], marks[i]...)
	}
	return c, nil
}

// number is that of a hold that was given once, or never.
func number(given bool) uint64 {
	if given {
		return 1
	}
	return 0
}

// router finds a pin's target.
func (c *cluster) router(index map[machine.RouterID]int, target string) (machine.RouterID, bool) {
	var r machine.RouterID
	if target == "" || r.UnmarshalText([]byte(target)) != nil {
		return 0, false
	}
	i, ok := index[r]
	return simRouter(i), ok
}

// simRouter is the router id of node i (sim.Options).
func simRouter(i int) machine.RouterID { return machine.RouterID(10<<24 + i + 1) }

func nodeState(word string) advert.NodeState {
	for _, st := range []advert.NodeState{advert.Standby, advert.Maintenance} {
		if st.String() == word {
			return st
		}
	}
	return advert.Online
}

// daemonConfig holds the defaults of DESIGN section 5.
func daemonConfig(host string) machine.Config {
	return machine.Config{Host: host, Version: "simulated", Scope: machine.ASScope, StartupHold: 2 * time.Second, RejoinHold: time.Second,
		ClaimTimeout: time.Second, AnnounceTimeout: 3 * time.Second}
}

// timed is the configuration with the times that the document has.
func timed(c machine.Config, t *view.ClusterTiming) machine.Config {
	if t != nil {
		c.StartupHold, c.RejoinHold, c.AloneAfter, c.ClaimTimeout = t.StartupHold, t.RejoinHold, t.AloneAfter, t.ClaimTimeout
		c.AnnounceTimeout, c.LossDetection = t.AnnounceTimeout, t.LossDetection
	}
	return c
}

// plainService holds the defaults of a service.
func plainService(name string) machine.Service {
	s := machine.Service{Name: name, Enabled: true, Scope: machine.ASScope, Preference: 100, Fall: 3, Watch: true,
		Linger: 250 * time.Millisecond, RetryAfter: time.Minute}
	for _, p := range machine.Primitives() {
		s.Timeout[p] = 10 * time.Second
	}
	s.Timeout[machine.PrimCheck] = 5 * time.Second
	return s
}

// service is what an offer makes of a service on its node.
func service(d *view.ClusterDocument, s view.ClusterService, f view.ClusterOffer) machine.Service {
	c := plainService(s.Name)
	if s.Settings != nil {
		s.Settings.Apply(&c)
	}
	c.Group, c.Dependencies, c.Addresses = s.Group, slices.Clone(s.Dependencies), slices.Clone(s.Addresses)
	slices.Sort(c.Dependencies)
	c.Critical, c.Overlap, c.Preference, c.Interval = f.Critical, f.Overlap, f.Preference, s.Interval
	if f.Probation {
		c.Preference = 0
	}
	// A group with a resource is strict as a whole; one without is strict for
	// the sake of an exclusive member, and which one makes no difference.
	c.Exclusive = (s.Settings == nil || s.Settings.Exclusive) && f.Strict && len(s.Addresses) > 0 && !slices.ContainsFunc(d.Services, func(o view.ClusterService) bool {
		return s.Group != "" && o.Group == s.Group && len(o.Addresses) == 0
	})
	return c
}
