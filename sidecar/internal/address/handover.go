package address

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/srrd/srrd/sidecar/internal/handover"
)

// Handover is what the port leaves to the next srrd: who wants what, what was
// seen, and what was told to the routing daemons. What the kernel has is there
// to be seen, and what may be in FRR's configuration is in the state file.
type Handover struct {
	worker  *worker
	speaker *speaker
}

// HandOver tells a codec how to carry a Handover.
func HandOver(c *handover.Codec) {
	c.Words(jobNetwork, "network", "address", "permit", "prepare", "still")
	c.Words(DriverNetlink, "netlink", "vty")
	c.Words(AnnounceNetwork, "network", "redistribute")
	c.Skip(job{}, "done", "still")
	c.Skip(worker{}, "cfg", "kernel", "jobs", "snap", "now")
	c.Skip(speaker{}, "vty", "file", "table", "noted")
}

// Held is the port at rest.
type Held struct {
	State *Handover
	free  chan struct{}
	once  sync.Once
}

// Release has the port go on.
func (h *Held) Release() { h.once.Do(func() { close(h.free) }) }

// still has the worker, or the speaker, stand still until free is closed.
type still struct {
	parked chan<- struct{} // has room
	free   <-chan struct{}
}

func (s still) stand() {
	s.parked <- struct{}{}
	<-s.free
}

// Hold brings the port to rest: every action is carried out and every word to
// a routing daemon is said. Do and Prepare must not be called until Release.
func (p *Port) Hold(ctx context.Context) (*Held, error) {
	for {
		h, err := p.hold(ctx)
		if err != nil {
			return nil, fmt.Errorf("the port for addresses does not come to rest: %w", err)
		}
		if h != nil {
			return h, nil
		}
	}
}

// hold tries once; nil says that there was more to do.
func (p *Port) hold(ctx context.Context) (*Held, error) {
	h := &Held{State: &Handover{worker: p.worker, speaker: p.speaker}, free: make(chan struct{})}
	parked := make(chan struct{}, 1)
	select {
	case p.stills <- still{parked, h.free}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case <-parked:
	case <-ctx.Done():
		h.Release()
		return nil, context.Cause(ctx)
	}
	// Behind all that the worker has asked for: it stands still.
	p.jobs.put(job{kind: jobStill, still: &still{parked, h.free}})
	select {
	case <-parked:
	case <-ctx.Done():
		h.Release()
		return nil, context.Cause(ctx)
	}
	if p.results.waiting() { // for the worker
		h.Release()
		return nil, nil
	}
	return h, nil
}

func (m *mailbox[T]) waiting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.items) > 0
}

// Resume makes a port that goes on where another process has stopped; in place
// of New, Leftovers and Clean.
func Resume(cfg Config, h *Handover) (*Port, error) {
	p, err := New(cfg)
	if err != nil {
		return nil, err
	}
	if h.worker == nil || h.speaker == nil {
		p.Close()
		return nil, errors.New("address: the hand-over is empty")
	}
	w, s := h.worker, h.speaker
	w.cfg, w.kernel, w.jobs, w.now = p.worker.cfg, p.worker.kernel, p.worker.jobs, p.worker.now
	s.vty, s.file, s.table, s.noted = p.speaker.vty, p.speaker.file, p.speaker.table, p.speaker.noted
	s.services, s.log = p.speaker.services, p.speaker.log
	p.worker, p.speaker = w, s
	return p, nil
}
