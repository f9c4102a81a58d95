package primitive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/sidecar/internal/handover"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Handover is what the port leaves to the next srrd, which has the same process
// number: what waits, what runs and what is watched. What runs stays its child,
// writes to the same files, and keeps what is left of its time.
type Handover struct {
	lines    []heldLine
	watches  []heldWatch
	outputs  []heldOutput // of ended runs
	markErrs map[string]error
	askers   []int // makes that are asked of their Makefiles
}

type heldLine struct {
	service string
	jobs    []heldJob // the one that runs first, if one does
}

type heldJob struct {
	run     *machine.RunPrimitive
	mark    *machine.WriteMark
	refused bool
	gone    bool
	running bool
	pid     int
	began   time.Time
	over    time.Time
	why     end
	kill    time.Time
	direct  bool
	ignore  bool
	out     heldOutput
}

type heldOutput struct {
	service string
	fd      int // -1: none
	path    string
	punched int64
}

type heldWatch struct {
	service  string
	deadline time.Time
	warned   bool
	ran      bool
	fd       int // a pidfd; -1: none
	pid      int
	name     string
}

// HandOver tells a codec how to carry a Handover.
func HandOver(c *handover.Codec) {
	c.Words(endItself, "itself", "timeout", "cancelled")
}

// Held is the port at rest.
type Held struct {
	State *Handover
	// FDs are the descriptors that State names.
	FDs []int

	port *Port
	once sync.Once
}

// Release has the port go on.
func (h *Held) Release() {
	h.once.Do(func() {
		askers.Unlock()
		h.port.busy.Unlock()
	})
}

// hold is a wish that the port comes to rest.
type hold struct {
	held chan<- struct{} // whoever reads it has busy, alone
	done <-chan struct{} // nobody wants it any more
}

// Hold brings the port to rest: primitives go on running, and nothing is begun
// or told until Release. Do must not be called meanwhile. Before Run it waits for
// that.
func (p *Port) Hold(ctx context.Context) (*Held, error) {
	held := make(chan struct{})
	over := func() error { return fmt.Errorf("primitives do not come to rest: %w", context.Cause(ctx)) }
	select {
	case p.holds <- hold{held, ctx.Done()}:
	case <-ctx.Done():
		return nil, over()
	}
	select {
	case <-held:
	case <-ctx.Done():
		return nil, over()
	}
	askers.Lock()
	h := &Held{State: &Handover{}, port: p}
	for pid := range askers.pids {
		h.State.askers = append(h.State.askers, pid)
	}
	slices.Sort(h.State.askers)
	if err := h.take(p); err != nil {
		h.Release()
		return nil, err
	}
	return h, nil
}

// rested waits until nobody does anything, and hands that over.
func (p *Port) rested(h hold) {
	p.busy.Lock()
	select {
	case h.held <- struct{}{}:
	case <-h.done:
		p.busy.Unlock()
	}
}

func (h *Held) take(p *Port) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := h.State
	s.markErrs = p.markErrs
	for _, service := range sorted(p.lines) {
		l := p.lines[service]
		hl := heldLine{service: service}
		for _, j := range append([]*job{l.current}, l.queue...) {
			if j == nil {
				continue
			}
			hj := heldJob{run: j.run, mark: j.mark, refused: j.refused, gone: j.gone, out: heldOutput{fd: -1}}
			if r := j.running; r != nil {
				hj.running, hj.pid, hj.began, hj.over, hj.why, hj.kill = true, r.pid, r.began, r.over, r.why, r.kill
				hj.direct, hj.ignore = r.direct, r.ignore
				if r.out != nil {
					hj.out = h.output(service, r.out)
				}
			}
			hl.jobs = append(hl.jobs, hj)
		}
		if len(hl.jobs) > 0 {
			s.lines = append(s.lines, hl)
		}
	}
	for _, service := range sorted(p.outputs) {
		for _, o := range p.outputs[service] {
			s.outputs = append(s.outputs, h.output(service, o))
		}
	}
	for _, service := range sorted(p.watches) {
		w := p.watches[service]
		hw := heldWatch{service: service, deadline: w.deadline, warned: w.warned, ran: w.ran, fd: -1}
		if w.proc != nil {
			raw, err := w.proc.fd.SyscallConn()
			if err == nil {
				err = raw.Control(func(fd uintptr) { hw.fd = int(fd) })
			}
			if err != nil {
				return fmt.Errorf("watch of service %s: %w", service, err)
			}
			hw.pid, hw.name = w.proc.pid, w.proc.name
			h.FDs = append(h.FDs, hw.fd)
		}
		s.watches = append(s.watches, hw)
	}
	return nil
}

func (h *Held) output(service string, o *output) heldOutput {
	fd := int(o.f.Fd())
	h.FDs = append(h.FDs, fd)
	return heldOutput{service: service, fd: fd, path: o.f.Name(), punched: o.punched}
}

func sorted[V any](m map[string]V) []string {
	all := make([]string, 0, len(m))
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// Resume makes a port that goes on where the process has stopped being the srrd
// before; it owns the descriptors that h names.
func Resume(c Config, h *Handover) (*Port, error) {
	p := New(c)
	p.outputs = map[string][]*output{}
	for _, pid := range h.askers {
		go reapAsker(pid) // it ends soon: nobody reads what it writes any more
	}
	for service, err := range h.markErrs {
		p.markErrs[service] = err
	}
	for _, hl := range h.lines {
		l := &line{service: hl.service}
		for i, hj := range hl.jobs {
			j := &job{run: hj.run, mark: hj.mark, refused: hj.refused, gone: hj.gone, cancel: make(chan struct{})}
			if j.gone {
				close(j.cancel)
			}
			if (j.run == nil) == (j.mark == nil) || hj.running && (j.run == nil || i > 0) {
				return nil, errors.New("primitive: the hand-over has a job that cannot be")
			}
			if hj.running {
				j.running = &running{pid: hj.pid, began: hj.began, over: hj.over, why: hj.why, kill: hj.kill, direct: hj.direct, ignore: hj.ignore, out: hj.out.open()}
				if gated(j.run.Primitive) {
					p.gate.running++
				} else { // the srrd before may be one that did not do this
					run, err := runName(j.run) // of this process, which is the same
					if err != nil {
						return nil, err
					}
					p.note(j.run, run, hj.pid)
				}
			}
			l.queue = append(l.queue, j)
		}
		p.lines[hl.service] = l
		p.fresh = append(p.fresh, l)
	}
	for _, ho := range h.outputs {
		p.outputs[ho.service] = append(p.outputs[ho.service], ho.open())
	}
	for _, hw := range h.watches {
		w := &watch{service: hw.service, deadline: hw.deadline, warned: hw.warned, ran: hw.ran}
		w.ctx, w.cancel = context.WithCancel(context.Background())
		if hw.fd >= 0 {
			if err := unix.SetNonblock(hw.fd, true); err != nil { // before NewFile asks
				return nil, fmt.Errorf("watch of service %s: %w", hw.service, err)
			}
			w.proc = &process{pid: hw.pid, name: hw.name, fd: os.NewFile(uintptr(hw.fd), "pidfd")}
		}
		p.watches[hw.service] = w
		p.freshWatches = append(p.freshWatches, w)
	}
	p.rouse()
	return p, nil
}

func (h heldOutput) open() *output {
	if h.fd < 0 {
		return nil
	}
	return &output{f: os.NewFile(uintptr(h.fd), h.path), punched: h.punched}
}
