package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// The pace of a soak.
const (
	sampleEvery  = 5 * time.Second
	askEvery     = 200 * time.Millisecond
	changeEvery  = time.Second
	foreignEvery = 300 * time.Millisecond
	askTimeout   = 10 * time.Second
	// latePacket is when the answer to a datagram counts as lost: a machine that
	// does other things too can be late by a second.
	latePacket = 3 * time.Second
	// soakBack is how many disturbances ago a service may have failed that nobody
	// has looked at since: a client that is served does not show it.
	soakBack = 40
)

// soakKinds is what happens to routing and to nodes in a soak, one at a time, so
// that an outage has one thing to be explained by. No srrd ends, and nothing
// takes as long as lost_hold.
var soakKinds = []kind{
	{"daemons", 5, func(p Plan, r *rand.Rand) Fault {
		host := pick(r, append(slices.Clone(p.world.nodes), p.world.routers...))
		return Fault{Kind: "daemons", Target: host, Arg: pick(r, []string{"TERM ", "KILL "}) + pick(r, p.world.daemons),
			For: between(r, 100*time.Millisecond, 1500*time.Millisecond)}
	}},
	{"cut", 4, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "cut", Target: pick(r, p.world.ports), Arg: pick(r, []string{"silent", "carrier"}),
			For: between(r, 200*time.Millisecond, 3*time.Second)}
	}},
	{"loss", 3, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "loss", Target: pick(r, p.world.ports), Arg: pick(r, []string{"in 100", "out 100", "in 30", "out 30", "both 10"}),
			For: between(r, 500*time.Millisecond, 3*time.Second)}
	}},
	{"delay", 1, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "delay", Target: pick(r, p.world.ports), Arg: "20ms 5ms", For: between(r, 500*time.Millisecond, 3*time.Second)}
	}},
	{"move", 5, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "move", Target: "ledger", Arg: p.node(r), For: between(r, time.Second, 3*time.Second)}
	}},
	{"process", 3, func(_ Plan, r *rand.Rand) Fault {
		return Fault{Kind: "process", Target: pick(r, []string{"ledger", "disk"})}
	}},
	{"node", 4, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "node", Target: p.node(r), Arg: pick(r, []string{"standby", "drain", "maintenance"}), For: between(r, time.Second, 3*time.Second)}
	}},
	{"write", 1, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "write", Target: p.node(r), Arg: pick(r, []string{"ospfd", "zebra"})}
	}},
	{"delete", 1, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "delete", Target: p.node(r), Arg: pick(r, []string{"route", "alias", "redistribute table", "redistribute connected", "prefix-list", "route-map"})}
	}},
}

// changeKinds is what operators do meanwhile, about once a second, to services
// that stand by themselves.
var changeKinds = []kind{
	{"move", 4, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "move", Target: pick(r, []string{"web", "shop", "lun", "job"}), Arg: p.node(r), For: between(r, 200*time.Millisecond, 2*time.Second)}
	}},
	{"config", 4, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "config", Target: p.node(r) + "/" + pick(r, []string{"web", "shop", "lun", "job"}),
			Arg: fmt.Sprintf("preference: %d", 90+r.IntN(30)), For: between(r, 200*time.Millisecond, 2*time.Second)}
	}},
	{"process", 1, func(_ Plan, r *rand.Rand) Fault {
		return Fault{Kind: "process", Target: pick(r, []string{"web", "shop", "lun", "job"})}
	}},
	{"freeze", 1, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "freeze", Target: pick(r, []string{"web", "shop", "lun", "job"}), Arg: p.node(r), For: between(r, 200*time.Millisecond, time.Second)}
	}},
}

// WithoutFence turns the resource with a fence of topologies/chaos.yaml into one
// with lost_hold only: a fence ends an srrd, and a soak is about ones that live.
func WithoutFence(t *lab.Topology) {
	hosts := []*lab.SrrdHost{t.Defaults.Srrd}
	for _, h := range t.All() {
		hosts = append(hosts, h.Srrd)
	}
	for _, h := range hosts {
		if h != nil && h.Services["lun"] != "" {
			h.Services["lun"] = strings.ReplaceAll(h.Services["lun"], "fence: yes", "recover: 1")
		}
	}
}

// soak is a soak under way.
type soak struct {
	*run
	asking  *clients
	step    atomic.Int64 // the disturbance that is on
	asked   atomic.Int64
	failed  atomic.Int64
	foreign atomic.Int64 // LSAs of strangers said or taken back
	changed atomic.Int64
}

// Soak builds the lab, keeps it busy and measures every srrd meanwhile. None of
// them is ended, so what grows with time, grows in one process.
func Soak(ctx context.Context, c Config) (*SoakReport, error) {
	WithoutFence(c.Topology)
	s := &soak{}
	r, err := begin(ctx, c)
	if err != nil {
		return nil, err
	}
	r.evidence.World.unfenced = true
	r.back = soakBack
	s.run = r
	err = s.hour(ctx)
	r.evidence.Ended = time.Now()
	if err = errors.Join(err, r.keep(), r.lab.Down()); err != nil {
		return nil, err
	}
	return newSoakReport(s), nil
}

// hour is the soak between Up and Down.
func (s *soak) hour(ctx context.Context) error {
	if missing := s.awaitWhole(ctx, nil); missing != "" {
		return fmt.Errorf("the cluster was never whole: %s", missing)
	}
	var err error
	if s.asking, err = s.watch(ctx, latePacket, s.measures); err != nil {
		return err
	}
	defer s.asking.end()
	if missing := s.awaitWhole(ctx, s.asking); missing != "" {
		s.trouble("before the soak: %s", missing)
	}

	loadCtx, over := context.WithTimeout(ctx, s.For)
	var load sync.WaitGroup
	disturb := func(load context.Context, r *rand.Rand) { s.disturb(ctx, load, r) }
	for i, lane := range []func(context.Context, *rand.Rand){disturb, s.change, s.ask, s.watchPages, s.strangers} {
		r := rand.New(rand.NewPCG(s.Seed, uint64(i)))
		load.Go(func() { lane(loadCtx, r) })
	}
	load.Wait()
	over()
	if err := ctx.Err(); err != nil {
		return err
	}
	// What the load has left is to be whole by itself.
	last := Course{Number: int(s.step.Add(1)), Began: time.Now(), Mended: time.Now()}
	if last.Missing = s.awaitWhole(ctx, s.asking, &last); last.Missing == "" {
		last.Whole = time.Now()
	}
	s.evidence.Rounds = append(s.evidence.Rounds, last)
	s.asking.end()
	s.asking.tell(&s.evidence)
	s.leave(ctx)
	return s.gather()
}

// disturb does one thing after the other to routing, to nodes and to what
// carries the records; the next when the client is served again. The last one is
// waited for too, unless the whole run ends.
func (s *soak) disturb(run, load context.Context, r *rand.Rand) {
	for sleep(load, between(r, 200*time.Millisecond, time.Second)) {
		f := s.plan.draw(soakKinds, r)
		n := int(s.step.Add(1))
		c := Course{Number: n, Began: time.Now(), Faults: 1, Single: &f}
		s.fault(load, n, c.Began, f)
		c.Mended = time.Now()
		c.Missing = s.awaitServed(run, &c)
		if c.Missing == "" {
			c.Whole = time.Now()
		} else {
			s.say("disturbance %d (%s): NOT SERVED: %s", n, f, c.Missing)
		}
		s.mu.Lock()
		s.evidence.Rounds = append(s.evidence.Rounds, c)
		s.mu.Unlock()
	}
}

// awaitServed waits until routing has converged and every client is answered.
func (s *soak) awaitServed(ctx context.Context, c *Course) string {
	ctx, cancel := context.WithTimeout(ctx, s.Limits.Settle)
	defer cancel()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for tend := time.Now(); ; {
		missing := s.unserved()
		if missing == "" {
			return ""
		}
		if time.Since(tend) > 5*time.Second {
			tend = time.Now()
			s.tend(ctx, c)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return missing
		}
	}
}

func (s *soak) unserved() string {
	if ack, ok := s.asking.writer.Last(); !ok || time.Since(ack.At) > 5*writeEvery {
		return "no record is acknowledged"
	}
	for _, name := range probed {
		if _, ago := s.asking.probes[name].Answering(); ago > 200*time.Millisecond {
			return name + " does not answer"
		}
	}
	if err := s.lab.Converged(); err != nil {
		return err.Error()
	}
	return ""
}

// change is what operators do meanwhile. Several are on at a time.
func (s *soak) change(ctx context.Context, r *rand.Rand) {
	var under sync.WaitGroup
	defer under.Wait()
	var mu sync.Mutex
	busy := map[string]bool{}
	for sleep(ctx, changeEvery) {
		f := s.plan.draw(changeKinds, r)
		things := s.plan.touches(f)
		mu.Lock()
		taken := slices.ContainsFunc(things, func(t string) bool { return busy[t] })
		for _, t := range things {
			busy[t] = busy[t] || !taken
		}
		mu.Unlock()
		if taken {
			continue // two of one thing would be ended by each other
		}
		under.Go(func() {
			s.changed.Add(1)
			s.fault(ctx, int(s.step.Load()), time.Now(), f)
			mu.Lock()
			defer mu.Unlock()
			for _, t := range things {
				delete(busy, t)
			}
		})
	}
}
