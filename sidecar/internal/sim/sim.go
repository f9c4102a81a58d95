package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Epoch is when every simulation begins.
var Epoch = time.Date(2002, 3, 15, 12, 0, 0, 0, time.UTC)

// Options make a cluster.
type Options struct {
	Seed uint64
	// Nodes holds one configuration for each node. Node i has the router id
	// 10.0.0.0 + i + 1 and, where its Host is empty, the name n(i+1).
	Nodes []machine.Config
	// Sites puts the nodes behind the routers of so many sites, in equal parts
	// in their order: each node has one neighbour, the router of its site, and
	// that has two, the core routers, which have each other. 0: no routers,
	// every node is every other's neighbour.
	Sites int
	// Routers has each node keep a Full neighbour that runs no srrd, so that
	// one cut off from the other nodes is not alone. Isolate takes it away.
	Routers bool
	// Dead is the dead interval (default 40 s); Detect how long a silent loss
	// takes to be noticed (default 100 ms, up to half as much again).
	Dead, Detect time.Duration
	// Trace keeps a line for every event and action.
	Trace bool
	// Unchecked leaves the invariants alone, whose examination after every
	// event is what a large cluster costs most; Violations then says nothing.
	Unchecked bool
	// Observe, unless nil, is told what node i does, as soon as it has decided
	// it and before it is carried out. It must not call the Sim but Now.
	Observe func(i int, does []machine.Action)
	// Skew is how far each node's clock is off; nil: not at all.
	Skew []time.Duration
	// Twice has every fourth LSA told to srrd twice.
	Twice bool
	// Most is how many events the machines may take in all; more, as by a service
	// that goes round without end, is a violation, and nothing happens any more.
	// 0: no limit.
	Most int
	// SlowDisk has a Save reach the disk only 20 ms later, if srrd lives so long.
	SlowDisk bool
	// HandOver has srrd re-execute itself before every event whose number it
	// divides; 0: never. Nothing may show of it.
	HandOver int
}

// Sim is a simulated cluster.
type Sim struct {
	opt        Options
	rng        uint64
	now        time.Time
	seq        uint64
	t          time.Duration // now, since Epoch
	queue      queue
	hosts      []*host // the nodes, then the routers
	nodes      int
	strict     []string       // names
	links      parts          // who is connected with whom
	areas      parts          // and over adjacencies, which know of a change later
	ids        map[lsaKey]int // of every LSA ever originated
	keys       []lsaKey       // by id
	traffic    Traffic
	trace      strings.Builder
	violations []string
	starts     map[startKey]startMark
	highest    map[string]advert.Claim // that a majority's service was started under
	sites      []site
	suspects   []*host       // whose routes and processes changed in this event
	lastIO     time.Duration // the last start or stop
	steps      int
}

// New makes the cluster; every node is off until Boot.
func New(o Options) *Sim {
	if o.Dead == 0 {
		o.Dead = 40 * time.Second
	}
	if o.Detect == 0 {
		o.Detect = 100 * time.Millisecond
	}
	s := &Sim{opt: o, rng: o.Seed*0x9e3779b97f4a7c15 + 1, now: Epoch, starts: map[startKey]startMark{}, highest: map[string]advert.Claim{}}
	s.nodes, s.ids = len(o.Nodes), map[lsaKey]int{}
	for i, c := range o.Nodes {
		if c.Host == "" {
			c.Host = fmt.Sprintf("n%d", i+1)
		}
		h := &host{id: i, name: c.Host, router: machine.RouterID(10<<24 + i + 1), cfg: c,
			kernel: map[netip.Addr]bool{}, zebra: map[netip.Addr]bool{}, owners: map[netip.Addr][]string{}, units: map[string]*unit{},
			scripts: map[scriptKey][]Behaviour{}, used: map[machine.LSARef]use{}}
		if i < len(o.Skew) {
			h.skew = o.Skew[i]
		}
		h.thawed, h.dropped, h.stolen = notYet, map[netip.Addr]bool{}, map[netip.Addr]time.Duration{}
		s.hosts = append(s.hosts, h)
		for _, sv := range c.Services {
			if sv.Strict() && !slices.Contains(s.strict, sv.Name) {
				s.strict = append(s.strict, sv.Name)
			}
		}
	}
	if !o.Unchecked {
		for _, h := range s.hosts {
			h.spoke = never(len(s.strict))
			for range s.hosts {
				h.heard = append(h.heard, never(len(s.strict)))
			}
		}
	}
	s.wire()
	return s
}

// Now is the virtual time since Epoch.
func (s *Sim) Now() time.Duration { return s.t }

// Steps is how many events machines have taken.
func (s *Sim) Steps() int { return s.steps }

// Chance is a number below n from the simulation's generator (splitmix64).
func (s *Sim) Chance(n int) int {
	s.rng += 0x9e3779b97f4a7c15
	z := s.rng
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(n))
}

// about is d and up to half as much again.
func (s *Sim) about(d time.Duration) time.Duration {
	return d + time.Duration(s.Chance(int(d/2)+1))
}

// After has do happen d from now.
func (s *Sim) After(d time.Duration, do func()) { s.at(s.t+d, do) }

func (s *Sim) at(t time.Duration, do func()) { s.push(t, task{do: do}) }

// Run lets the time pass.
func (s *Sim) Run(d time.Duration) {
	s.RunUntil(d, nil)
}

// RunUntil lets the time pass, at most d, until cond holds; it reports whether
// it did.
func (s *Sim) RunUntil(d time.Duration, cond func() bool) bool {
	end := s.t + d
	for cond == nil || !cond() {
		if s.opt.Most > 0 && s.steps > s.opt.Most {
			s.violate("this goes on without end: %d events", s.steps)
			s.queue, s.opt.Most = queue{}, 0
		}
		if len(s.queue.keys) == 0 || s.queue.keys[0].at > end {
			s.t, s.now = end, Epoch.Add(end)
			return false
		}
		s.perform()
		s.examine()
	}
	return true
}

// View is what node i shows people; the zero View where its srrd is down.
func (s *Sim) View(i int) machine.View {
	if s.hosts[i].srrd == nil {
		return machine.View{}
	}
	return s.hosts[i].srrd.View()
}

// Service is node i's view of one service.
func (s *Sim) Service(i int, name string) machine.ServiceView {
	for _, v := range s.View(i).Services {
		if v.Name == name {
			return v
		}
	}
	return machine.ServiceView{}
}

// Runs lists the nodes on which the service's processes run in truth.
func (s *Sim) Runs(service string) []int {
	var on []int
	for i, h := range s.hosts {
		if u := h.units[service]; u != nil && u.running {
			on = append(on, i)
		}
	}
	return on
}

// Violations lists every invariant that was broken, in the order of time.
func (s *Sim) Violations() []string {
	if s.opt.Unchecked {
		return nil
	}
	return s.violations
}

// Trace is everything that happened, if Options.Trace was set.
func (s *Sim) Trace() string { return s.trace.String() }

// Log adds a line to the trace.
func (s *Sim) Log(format string, a ...any) {
	if s.opt.Trace {
		fmt.Fprintf(&s.trace, "%12.6f  %s\n", s.Now().Seconds(), fmt.Sprintf(format, a...))
	}
}
