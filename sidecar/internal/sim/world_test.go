package sim_test

import (
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/sim"
)

// world is a kind of cluster that random schedules are played on.
type world struct {
	name     string
	min, max int // nodes
	config   func(i, nodes int) machine.Config
	// tame: no disk is lost and no operator lies, which no guard could bear.
	tame bool
	// slow: the timers are those of real life, else some tenth of it.
	slow bool
}

// worlds are played in turn.
var worlds = []world{
	{name: "one service of each kind", min: 2, max: 4, config: func(i, _ int) machine.Config { return mixed(i) }, slow: true},
	{name: "the group of the thesis", min: 2, max: 3, config: func(i, _ int) machine.Config { return quick(webGroup(i)) }},
	{name: "a diamond and a loose group", min: 2, max: 3, config: diamond},
	{name: "a fence", min: 2, max: 3, config: fenced, tame: true},
	{name: "a majority of members", min: 3, max: 3, config: members, tame: true},
	{name: "a small cluster", min: 2, max: 3, config: small},
}

// quick makes every timer short, so that a schedule is over soon.
func quick(c machine.Config) machine.Config {
	c.StartupHold, c.RejoinHold, c.AloneAfter, c.ClaimTimeout, c.AnnounceTimeout = 500*time.Millisecond, 300*time.Millisecond, 2*time.Second, 300*time.Millisecond, time.Second
	for i := range c.Services {
		s := &c.Services[i]
		for p := range s.Timeout {
			s.Timeout[p] = time.Second
		}
		s.RetryAfter = 5 * time.Second
	}
	return c
}

// diamond: top depends on left and right, they on base, which is critical; x
// and y are a group in which nobody is, and solo is in none.
func diamond(i, _ int) machine.Config {
	base, left, right, top := network("base", "10.99.2.1"), network("left", "10.99.2.25"), network("right", "10.99.2.50"), network("top", "10.99.2.75")
	left.Dependencies, right.Dependencies, top.Dependencies = []string{"base"}, []string{"base"}, []string{"left", "right"}
	base.Critical, base.Preference = true, uint8(100+i)
	left.Watch, left.Recover, left.RecoverWithin = true, 1, 10*time.Second
	x, y := network("x", "10.99.2.100"), resource("y")
	for _, s := range []*machine.Service{&base, &left, &right, &top} {
		s.Group = "NET"
	}
	x.Group, y.Group = "LOOSE", "LOOSE"
	return quick(config(base, left, right, top, x, y))
}

// fenced: disk is a resource of its own, store one that front depends on.
func fenced(int, int) machine.Config {
	disk, store, front := resource("disk"), resource("store"), network("front", "10.99.3.1")
	disk.Fence, store.Fence = true, true
	disk.FenceAfter = 200 * time.Millisecond // store is fenced at once
	store.Critical, front.Dependencies = true, []string{"store"}
	store.Group, front.Group = "VAULT", "VAULT"
	return quick(config(disk, front, store))
}

// members: the same with a majority in place of the fence.
func members(i, nodes int) machine.Config {
	c := fenced(i, nodes)
	for k := range c.Services {
		if s := &c.Services[k]; s.Fence {
			s.Fence, s.Members = false, nodes
		}
	}
	return c
}

// small: a resource and a service.
func small(i, _ int) machine.Config {
	web := network("web", "10.99.4.1")
	web.Watch = true
	web.Preference = uint8(100 + i%2)
	return quick(config(resource("disk"), web))
}

func (w world) names() (all []string) {
	for _, s := range w.config(0, w.max).Services {
		all = append(all, s.Name)
	}
	return all
}

// tooMuch is some hundred times as many events as a schedule has.
const tooMuch = 200_000

// cluster makes one, all of whose chance comes from the seed.
func (w world) cluster(seed uint64, trace bool, handOver int) (*sim.Sim, int) {
	n := w.min + int(seed>>8%uint64(w.max-w.min+1))
	o := sim.Options{Seed: seed, Trace: trace, Routers: seed>>3%2 == 0 || w.tame, Twice: seed>>4%4 == 0, SlowDisk: seed>>5%4 == 0 && !w.tame, Most: tooMuch, HandOver: handOver}
	if !w.slow {
		o.Dead = 3 * time.Second
	}
	for i := range n {
		o.Nodes = append(o.Nodes, w.config(i, n))
		o.Skew = append(o.Skew, 0)
	}
	if seed>>6%4 == 0 {
		o.Skew[0], o.Skew[n-1] = 365*24*time.Hour, -3*time.Second
	}
	return sim.New(o), n
}
