package address

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sync/errgroup"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Config is what a Port is made of.
type Config struct {
	// Emit takes the port's events; it may block.
	Emit func(machine.Event)
	// Setting returns how the addresses of a service are put on. Do calls it.
	Setting func(service string) (Setting, bool)
	// Services returns every configured service with addresses. It is called
	// from the port's goroutines.
	Services func() []Service
	// Table is N of `redistribute table N`, 1-65535; 0 leaves it to the operator.
	Table uint16
	// VTY reaches the routing daemons.
	VTY VTY
	// Namespace is where addresses live; nil is that of the process.
	Namespace *netns.NsHandle
	// StateFile remembers what was set in FRR's configuration; "" remembers nothing.
	StateFile string
	// Log takes a line for people, from any goroutine. nil drops them.
	Log func(machine.Note)
}

func (c *Config) note(level machine.Level, text string) {
	if c.Log != nil {
		c.Log(machine.Note{Level: level, Text: text})
	}
}

// Port puts service addresses on the node; see the package comment.
type Port struct {
	cfg     Config
	kernel  kernel
	close   func()
	speaker *speaker
	worker  *worker
	actions *mailbox[order]
	jobs    *mailbox[job]
	results *mailbox[result]
	stills  chan still // to the worker
}

// order is an action with its service's setting at the time it was given.
type order struct {
	service  string
	addrs    []netip.Addr
	announce bool
	on       bool
	setting  Setting
	known    bool // the configuration has the service
}

// New opens the namespace. A damaged state file is reported to Log and set
// aside. Close the Port when Run has ended.
func New(cfg Config) (*Port, error) {
	k, err := openKernel(cfg.Namespace)
	if err != nil {
		return nil, err
	}
	p, err := newPort(cfg, k)
	if err != nil {
		k.close()
		return nil, err
	}
	p.close = k.close
	return p, nil
}

func newPort(cfg Config, k kernel) (*Port, error) {
	for what, missing := range map[string]bool{
		"Emit": cfg.Emit == nil, "Setting": cfg.Setting == nil, "Services": cfg.Services == nil, "VTY": cfg.VTY == nil,
	} {
		if missing {
			return nil, fmt.Errorf("address: %s is not set", what)
		}
	}
	p := &Port{
		cfg: cfg, kernel: k, close: func() {},
		actions: newMailbox[order](), jobs: newMailbox[job](), results: newMailbox[result](),
		stills: make(chan still),
	}
	s, err := newSpeaker(&p.cfg)
	if err != nil {
		cfg.note(machine.LevelError, err.Error())
	}
	p.speaker = s
	p.worker = newWorker(&p.cfg, k, p.jobs)
	return p, nil
}

// Close releases the namespace's sockets.
func (p *Port) Close() { p.close() }

// Do takes a SetAddresses or an Announce and returns at once; other actions
// are not for this port and are ignored. Call it from one goroutine.
func (p *Port) Do(a machine.Action) {
	var o order
	switch a := a.(type) {
	case machine.SetAddresses:
		o = order{service: a.Service, addrs: a.Addresses, on: a.On}
	case machine.Announce:
		o = order{service: a.Service, addrs: a.Addresses, on: a.On, announce: true}
	default:
		return
	}
	o.setting, o.known = p.cfg.Setting(o.service)
	o.setting = o.setting.filled()
	p.actions.put(o)
}

// Run works until ctx ends, and leaves everything as it is then: an orderly
// shutdown has taken the addresses off before, and aliases expire.
func (p *Port) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	changed := make(chan struct{}, 1)
	g.Go(func() error {
		return p.kernel.watch(ctx, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	})
	g.Go(func() error { return p.worker.run(ctx, p.actions, changed, p.results, p.stills) })
	g.Go(func() error { return p.talk(ctx) })
	return g.Wait()
}

// talk is the goroutine of the speaker.
func (p *Port) talk(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			p.speaker.look(ctx)
			continue
		case <-p.jobs.ready:
		}
		for _, j := range p.jobs.take() {
			if ctx.Err() != nil {
				return nil
			}
			if j.still != nil {
				j.still.stand()
				continue
			}
			err := p.speaker.do(ctx, j)
			if j.done != nil {
				j.done <- err // it has room
				continue
			}
			p.results.put(result{j, err})
		}
	}
}

// Prepare sets in ospfd what the configured services need there and removes
// what nobody wants any more. Call it each time a session with ospfd was set
// up, before the machine is told OSPFUp: it also repeats to a restarted ospfd
// the statements that are in force. Run does the work; Prepare waits for it.
func (p *Port) Prepare(ctx context.Context) error {
	done := make(chan error, 1)
	p.jobs.put(job{kind: jobPrepare, done: done})
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("preparing ospfd for service addresses: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("preparing ospfd for service addresses: %w", context.Cause(ctx))
	}
}

// Forget has ospfd take back what it announces of our table, though zebra, which
// should tell it to, is gone. It does not wait; what becomes of it is logged.
func (p *Port) Forget() { p.jobs.put(job{kind: jobForget, done: make(chan error, 1)}) }

// Leftovers lists, sorted, the addresses for which something that bears our
// mark is on the node: what an earlier life left. Call it before Run.
func (p *Port) Leftovers(ctx context.Context) ([]netip.Addr, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	snap, err := p.kernel.snapshot()
	if err != nil {
		return nil, err
	}
	found := map[netip.Addr]bool{}
	for addr := range snap.routes {
		found[addr] = true
	}
	for addr := range snap.addrs {
		if len(snap.ours(addr)) > 0 {
			found[addr] = true
		}
	}
	for _, v := range p.speaker.noted.Addresses {
		found[v.Address] = true
	}
	return sortedKeys(found), nil
}

// Clean removes what an earlier life left, except for the addresses to keep,
// those of services that may be adopted: their aliases are renewed until the
// first action that names them. Call it once, before Run. Lines of driver vty
// go too; statements in ospfd wait for the first Prepare.
func (p *Port) Clean(ctx context.Context, keep []netip.Addr) error {
	failed := p.speaker.clean(ctx, keep)
	return errors.Join(failed, p.worker.clean(keep))
}

// mailbox is an unbounded queue between two goroutines.
type mailbox[T any] struct {
	ready chan struct{} // holds a token while there is something to take
	mu    sync.Mutex    // guards items
	items []T
}

func newMailbox[T any]() *mailbox[T] {
	return &mailbox[T]{ready: make(chan struct{}, 1)}
}

func (m *mailbox[T]) put(v T) {
	m.mu.Lock()
	m.items = append(m.items, v)
	m.mu.Unlock()
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

func (m *mailbox[T]) take() []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.items
	m.items = nil
	return all
}

// Noted lists the lines of FRR's configuration that are noted as srrd's own,
// which may be more than there are. Call it while Run does not run.
func (p *Port) Noted() []string {
	r := p.speaker.noted
	var all []string
	for _, n := range r.Networks {
		all = append(all, networkLine(n.Address, n.Area))
	}
	for _, a := range r.Permits {
		all = append(all, permitLine(a))
	}
	for _, a := range r.Addresses {
		all = append(all, fmt.Sprintf("interface %s / ip address %s/32", a.Device, a.Address))
	}
	return all
}
