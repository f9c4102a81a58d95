package primitive

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sync/errgroup"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// QueueLength is how many runs of one service may wait. The machine has a few
// outstanding at most; more than this is answered with OutcomeUnknown and the
// reason.
const QueueLength = 64

// Setting is what the configuration says about a service's primitives.
type Setting struct {
	Dir string   // of the Makefile
	Env []string // NAME=value
	// User is whom its primitives run as; "" is whom srrd runs as.
	User string

	// What machine.Watch watches, at most one of the two, and how long the pid
	// file may take to name a process that runs (at least WatchPatience).
	PIDFile string
	Unit    string // of systemd, NAME.service
	Grace   time.Duration
}

// Config is what the port needs. All fields but Targets and MaxChecks are
// required.
type Config struct {
	// Emit takes an event to the owner's inbox. It may block, but not after
	// the context of Run has ended. Called from many goroutines.
	Emit func(machine.Event)
	// Dirs finds a service's setting; called from many goroutines, when a run
	// begins.
	Dirs func(service string) (Setting, bool)
	// RunDir holds marks and output and does not survive a boot (/run/srrd).
	RunDir string
	// StateDir is handed to primitives.
	StateDir string
	// Targets knows which recipes need no make; nil: make runs all.
	Targets *Targets
	// MaxChecks is how many check and status primitives run at one time, over
	// all services; 0: twice the CPUs. Called from many goroutines.
	MaxChecks func() int
	Log       *slog.Logger
}

// Port runs primitives. See the package comment for what it promises.
type Port struct {
	config Config
	group  *errgroup.Group // of Run
	wake   chan struct{}
	holds  chan hold // for Run
	gate   gate
	drop   bool // children would inherit capabilities
	// bus connects to the system bus; another one in tests.
	bus func(...dbus.ConnOption) (*dbus.Conn, error)
	// boot tells this boot from the next.
	boot func() (string, error)

	mu      sync.Mutex
	lines   map[string]*line
	fresh   []*line              // have work and no worker yet
	outputs map[string][]*output // of ended runs that something still writes to, the latest last
	// markErrs has the services whose last mark could not be written.
	markErrs map[string]error
	// watches has those that go on, freshWatches those of them without a
	// goroutine yet.
	watches      map[string]*watch
	freshWatches []*watch
	closed       bool

	// busy is held, shared, by whoever does something, and not while he waits
	// for a process, a file or the gate. Who has it alone finds the port at
	// rest. It is taken before mu.
	busy sync.RWMutex
}

// line is the queue of one service. It exists while it has work.
type line struct {
	service string
	queue   []*job
	current *job
}

// job is one entry of a queue: a run, a refused run, or a mark.
type job struct {
	run     *machine.RunPrimitive
	refused bool
	mark    *machine.WriteMark
	cancel  chan struct{} // closed by CancelPrimitive
	gone    bool          // cancel is closed
	running *running      // nil: not begun
}

// New makes a port; nothing happens before Run.
func New(c Config) *Port {
	return &Port{config: c, drop: ambient(), wake: make(chan struct{}, 1), holds: make(chan hold), lines: map[string]*line{},
		markErrs: map[string]error{}, watches: map[string]*watch{}, gate: gate{limit: c.MaxChecks}, bus: dbus.ConnectSystemBus,
		boot: remembered(boot)}
}

// Do takes an action and returns at once. Actions that are not of this port
// are ignored. What is given before Run waits for it.
func (p *Port) Do(a machine.Action) {
	switch a := a.(type) {
	case machine.RunPrimitive:
		p.push(a.Service, &job{run: &a, cancel: make(chan struct{})})
	case machine.WriteMark:
		p.push(a.Mark.Service, &job{mark: &a})
	case machine.CancelPrimitive:
		p.cancel(a)
	case machine.Watch:
		p.watch(a)
	}
}

func (p *Port) push(service string, j *job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	l := p.lines[service]
	if l == nil {
		l = &line{service: service}
		p.lines[service] = l
		p.fresh = append(p.fresh, l)
		p.rouse()
	}
	switch {
	case len(l.queue) >= 2*QueueLength:
		// Even the refusals pile up: nobody reads them.
		p.config.Log.Error("queue of primitives overflows, an action is lost", "service", service)
		return
	case len(l.queue) >= QueueLength && j.run != nil:
		j.refused = true
	}
	l.queue = append(l.queue, j)
}

// rouse has Run look for fresh work.
func (p *Port) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Port) cancel(a machine.CancelPrimitive) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lines[a.Service]
	if l == nil {
		return
	}
	for _, j := range append([]*job{l.current}, l.queue...) {
		if j != nil && j.run != nil && j.run.Run == a.Run && !j.gone {
			j.gone = true
			close(j.cancel)
		}
	}
}

// Run does the work until ctx ends: then runs that still go on are ended as
// if cancelled, and what waits is dropped. What primitives left running is not
// touched. It returns nil, and may be called once.
func (p *Port) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	p.group = g
	p.mu.Lock()
	if p.outputs == nil { // nobody has handed them over
		p.outputs = adopt(p.config.RunDir)
	}
	p.mu.Unlock()
	g.Go(func() error { return p.janitor(ctx) })
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case h := <-p.holds:
				g.Go(func() error { p.rested(h); return nil })
				continue
			case <-p.wake:
			}
			p.mu.Lock()
			fresh := p.fresh
			watches := p.freshWatches
			p.fresh, p.freshWatches = nil, nil
			p.mu.Unlock()
			for _, w := range watches {
				g.Go(func() error { p.keepWatch(ctx, w); return nil })
			}
			for _, l := range fresh {
				g.Go(func() error { p.work(ctx, l); return nil })
			}
		}
	})
	err := g.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, outs := range p.outputs {
		for _, o := range outs {
			_ = o.f.Close()
		}
	}
	clear(p.outputs)
	for _, w := range p.watches { // those that never got a goroutine
		w.cancel()
	}
	clear(p.watches)
	return err
}

// work empties one line. A worker lives as long as its line has work.
func (p *Port) work(ctx context.Context, l *line) {
	p.busy.RLock()
	defer p.busy.RUnlock()
	for {
		p.mu.Lock()
		l.current = nil
		p.mu.Unlock()
		p.rest(func() {})
		p.mu.Lock()
		if len(l.queue) == 0 || ctx.Err() != nil {
			delete(p.lines, l.service)
			p.mu.Unlock()
			return
		}
		j := l.queue[0]
		l.queue = l.queue[1:]
		l.current = j
		gone := j.gone
		p.mu.Unlock()
		switch {
		case j.mark != nil:
			p.mark(*j.mark)
		case j.refused:
			p.config.Emit(notRun(j.run, machine.OutcomeUnknown, fmt.Sprintf("%d others of service %s wait already", QueueLength, l.service)))
		case gone:
			p.config.Emit(notRun(j.run, machine.OutcomeCancelled, "cancelled before it began"))
		case !gated(j.run.Primitive):
			p.config.Emit(p.run(ctx, j))
			if j.running != nil { // after it was told: nobody waits for this
				p.unnote(l.service)
			}
		case j.running != nil || p.enter(ctx, j): // one taken over is inside
			done := p.run(ctx, j)
			p.gate.leave()
			p.config.Emit(done)
		default:
			p.config.Emit(notRun(j.run, machine.OutcomeCancelled, "cancelled while it waited for other checks to end"))
		}
	}
}

// rest waits for something, during which the port may be brought to rest.
func (p *Port) rest(wait func()) {
	p.busy.RUnlock()
	defer p.busy.RLock()
	wait()
}

func (p *Port) enter(ctx context.Context, j *job) (inside bool) {
	p.rest(func() { inside = p.gate.enter(ctx, j.cancel) })
	return inside
}

func notRun(a *machine.RunPrimitive, o machine.Outcome, why string) machine.PrimitiveDone {
	return machine.PrimitiveDone{Service: a.Service, Run: a.Run, Outcome: o, Text: fmt.Sprintf("%s was not run: %s", a.Primitive, why)}
}

// mark writes or removes a mark, and remembers for start if it could not.
func (p *Port) mark(a machine.WriteMark) {
	err := writeMark(p.config.RunDir, p.boot, a)
	if err != nil {
		p.config.Log.Error("mark of a service", "service", a.Mark.Service, "err", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && !a.Clear {
		p.markErrs[a.Mark.Service] = err
	} else {
		delete(p.markErrs, a.Mark.Service)
	}
}

func (p *Port) markErr(service string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.markErrs[service]
}

// keep watches the output of an ended run, if something it started may go on
// writing.
func (p *Port) keep(service string, o *output) {
	if err := o.reopen(); err != nil || !o.held() {
		o.drop()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	outs := append(p.outputs[service], o)
	if len(outs) > outputsKept {
		_ = outs[0].f.Close()
		outs = outs[1:]
	}
	p.outputs[service] = outs
}

// janitor keeps the outputs of ended runs small.
func (p *Port) janitor(ctx context.Context) error {
	t := time.NewTicker(trimEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		p.busy.RLock()
		p.mu.Lock()
		for service, outs := range p.outputs {
			outs = slices.DeleteFunc(outs, func(o *output) bool {
				if o.held() {
					o.trim()
					return false
				}
				o.drop()
				return true
			})
			if p.outputs[service] = outs; len(outs) == 0 {
				delete(p.outputs, service)
			}
		}
		p.mu.Unlock()
		p.busy.RUnlock()
	}
}
