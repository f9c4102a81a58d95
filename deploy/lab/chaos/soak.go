package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/srrd/srrd/deploy/lab"
	"github.com/srrd/srrd/lsdb/lsa"
	"github.com/srrd/srrd/ospfapi"
	"github.com/srrd/srrd/vty"
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

// pages and commands are what is asked for.
var (
	pages = []string{"/", "/services", "/service/web", "/service/ledger", "/nodes", "/lsdb", "/placement", "/addresses", "/events", "/map",
		"/router/ospfd", "/admin", "/help", "/config", "/metrics", "/healthz", "/api/v1/services", "/api/v1/services/shop/why",
		"/api/v1/nodes", "/api/v1/lsdb", "/api/v1/events", "/api/v1/failovers", "/api/v1/routes", "/no-such-page"}
	commands = []string{"show service", "show service web", "-o json show service", "show node", "show group", "show lsdb", "show events",
		"show address", "show route", "show checks", "show why web", "help", "no such command"}
)

// ask asks nodes for pages and by the shell, each time over a new connection.
func (s *soak) ask(ctx context.Context, r *rand.Rand) {
	for sleep(ctx, askEvery) {
		node := pick(r, s.world.nodes)
		s.asked.Add(1)
		if r.IntN(3) == 0 {
			if _, err := s.srrsh(ctx, node, pick(r, commands)); err != nil && ctx.Err() == nil && !isStatus(err) {
				s.failed.Add(1)
				s.say("ask: %v", err)
			}
			continue
		}
		if _, err := s.page(ctx, node, pick(r, pages), askTimeout); err != nil && ctx.Err() == nil {
			s.failed.Add(1)
			s.say("ask: %v", err)
		}
	}
}

// watchPages holds the stream that a page in a browser refreshes itself by, for
// a few seconds each time, and leaves it as a browser does.
func (s *soak) watchPages(ctx context.Context, r *rand.Rand) {
	for sleep(ctx, 500*time.Millisecond) {
		node := pick(r, s.world.nodes)
		s.asked.Add(1)
		short, cancel := context.WithTimeout(ctx, between(r, 500*time.Millisecond, 4*time.Second))
		resp, err := s.get(short, node, "/api/v1/watch")
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body) // until it is left
			resp.Body.Close()
		} else if short.Err() == nil {
			s.failed.Add(1)
			s.say("watch: %v", err)
		}
		cancel()
	}
}

// get asks a node's web server, from the node itself, over a connection of its
// own.
func (s *soak) get(ctx context.Context, node, path string) (*http.Response, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
		err = s.lab.Do(node, func() error {
			var d net.Dialer
			c, err = d.DialContext(ctx, network, address)
			return err
		})
		return c, err
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:8222"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", node, err)
	}
	return resp, nil
}

// page reads a whole page; one of the server's own errors is an error.
func (s *soak) page(ctx context.Context, node, path string, within time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	resp, err := s.get(ctx, node, path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 500 {
		err = errors.New(resp.Status)
	}
	if err != nil {
		return "", fmt.Errorf("%s of %s: %w", path, node, err)
	}
	return string(text), nil
}

// strangers has a router's ospfd say and take back LSAs of srrd's type that no
// srrd has made: malformed ones, and ones with nothing in them. One of another
// type is nobody's affair.
func (s *soak) strangers(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		// Its ospfd may just be restarted: then again, with a new session.
		if err := s.stranger(ctx, r); err != nil && ctx.Err() == nil {
			s.say("stranger: %v", err)
		}
		sleep(ctx, time.Second)
	}
}

// The opaque types and the ports of strangers.
const (
	srrdOpaque     = 222
	otherOpaque    = 223
	strangerFirst  = 29000
	strangerLast   = 29090
	strangersTypes = 24 // link state ids that come and go
)

func (s *soak) stranger(ctx context.Context, r *rand.Rand) error {
	own, end := context.WithCancel(context.WithoutCancel(ctx)) // what it has said is taken back in the end
	var c *ospfapi.Client
	dial, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	host := s.world.routers[0]
	err := s.lab.Do(host, func() (err error) {
		c, err = ospfapi.Dial(dial, ospfapi.Config{OSPFReady: func(context.Context) error { return nil }, Notify: func(ospfapi.Notification) {},
			PortFirst: strangerFirst, PortLast: strangerLast})
		return err
	})
	if err != nil {
		end()
		return err
	}
	done := make(chan error, 1)
	go func() { done <- c.Run(own) }()
	err = s.says(ctx, c, r)
	end()
	<-done
	return err
}

func (s *soak) says(ctx context.Context, c *ospfapi.Client, r *rand.Rand) error {
	soon, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := c.WaitReady(soon); err != nil {
		return err
	}
	for _, opaque := range []uint8{srrdOpaque, otherOpaque} {
		if err := c.Register(soon, ospfapi.LSType(lsa.TypeOpaqueAS), opaque); err != nil {
			return err
		}
	}
	there := map[uint32]bool{}
	say := func(ctx context.Context, id uint32) error {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		s.foreign.Add(1)
		if there[id] {
			delete(there, id)
			return c.Delete(ctx, ospfapi.Delete{Type: ospfapi.LSType(lsa.TypeOpaqueAS), ID: id, IfAddr: netip.IPv4Unspecified(), Area: netip.IPv4Unspecified()})
		}
		body := make([]byte, 4*r.IntN(100))
		for i := range body {
			body[i] = byte(r.Uint32())
		}
		if len(body) > 4 && r.IntN(2) == 0 {
			body[0], body[1] = 1, byte(1+r.IntN(2)) // a version and a kind that are known
		}
		l := lsa.LSA{Header: lsa.Header{Options: 0x42, Type: lsa.TypeOpaqueAS, Seq: lsa.InitialSeq,
			ID: netip.AddrFrom4([4]byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)})}, Body: lsa.Opaque{Data: body}}
		l.AdvRouter = s.lab.Topology().Host(s.world.routers[0]).RouterID
		wire, err := l.Append(nil)
		if err != nil {
			return err
		}
		there[id] = true
		return c.Originate(ctx, ospfapi.Originate{Area: netip.IPv4Unspecified(), LSA: wire})
	}
	for sleep(ctx, foreignEvery) {
		opaque := uint32(pick(r, []uint8{srrdOpaque, srrdOpaque, otherOpaque}))
		if err := say(ctx, opaque<<24|0xfff000|uint32(r.IntN(strangersTypes))); err != nil {
			return err
		}
	}
	for id := range there {
		if err := say(context.WithoutCancel(ctx), id); err != nil {
			return err
		}
	}
	return nil
}

// measures samples every srrd: what the kernel counts, and what it says itself.
func (s *soak) measures(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		for _, n := range s.world.nodes {
			pid, err := s.lab.PID(n, "srrd")
			if err != nil || pid == 0 {
				s.trouble("srrd of %s is not there (%v)", n, err)
				continue
			}
			m, err := measure(pid)
			if err != nil {
				s.trouble("srrd of %s: %v", n, err)
				continue
			}
			m.Node = n
			if text, err := s.page(ctx, n, "/metrics", askTimeout); err == nil {
				m.Heap, m.Goroutines = ownFigures(text)
			} else if ctx.Err() == nil {
				s.say("sample: %v", err)
			}
			s.mu.Lock()
			s.evidence.Samples = append(s.evidence.Samples, m)
			s.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ownFigures are what srrd's metrics say of its heap, in KiB, and of its
// goroutines; 0 what they do not say.
func ownFigures(metrics string) (heap, goroutines int) {
	in := bufio.NewScanner(strings.NewReader(metrics))
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		name, value, _ := strings.Cut(in.Text(), " ")
		v, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil:
		case name == "go_memstats_heap_alloc_bytes":
			heap = int(v) >> 10
		case name == "go_goroutines":
			goroutines = int(v)
		}
	}
	return heap, goroutines
}

// isStatus tells whether srrd answered a command, with a refusal.
func isStatus(err error) bool {
	var said *vty.StatusError
	return errors.As(err, &said)
}
