package zebra

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/srrd/srrd/sidecar/internal/handover"
	"github.com/srrd/srrd/zapi"
)

// Handover is what the port leaves to the next srrd: the routes, the session
// they live as long as, and what is known of their announcement.
type Handover struct {
	loop    *loop
	release string // of FRR, as Version said; "": no session goes with it
	routes  zapi.Handover
}

// HandOver tells a codec how to carry a Handover.
func HandOver(c *handover.Codec) {
	c.Words(zapi.StateWanted, "wanted", "sent", "installed", "refused", "removed", "withdrawing", "clearing")
	c.Fixed(zapi.Note(0))                    // zebra's
	c.Skip(loop{}, "cfg", "routes", "tried") // tried: looked for once more at most
}

// Held is the port at rest.
type Held struct {
	State *Handover
	Conn  net.Conn // to zebra; nil: there is none

	routes *zapi.Held
	free   chan struct{}
	once   sync.Once
}

// Release has the port go on.
func (h *Held) Release() {
	h.once.Do(func() {
		close(h.free)
		if h.routes != nil {
			h.routes.Release()
		}
	})
}

// still has the loop stand still until free is closed.
type still struct {
	parked chan<- struct{} // has room
	free   <-chan struct{}
}

func (s still) stand() {
	s.parked <- struct{}{}
	<-s.free
}

// Hold brings the port to rest: all that was asked of it is said to zebra, all
// that zebra said is told to the machine, and no octet is read any more. Do and
// Hear must not be called until Release.
func (p *Port) Hold(ctx context.Context) (*Held, error) {
	for ctx.Err() == nil {
		h, err := p.hold(ctx)
		if err != nil || h != nil {
			return h, err
		}
	}
	return nil, fmt.Errorf("the port to zebra does not come to rest: %w", context.Cause(ctx))
}

// hold tries once; nil says that something went on between the port's loop and
// that of the routes.
func (p *Port) hold(ctx context.Context) (*Held, error) {
	h := &Held{State: &Handover{loop: p.loop}, free: make(chan struct{})}
	parked := make(chan struct{}, 1)
	p.in.put(still{parked, h.free})
	select {
	case <-parked:
	case <-ctx.Done():
		h.Release()
		return nil, fmt.Errorf("the port to zebra does not come to rest: %w", context.Cause(ctx))
	}
	if k := p.kept.Load(); k != nil && p.loop.up {
		var err error
		if h.routes, err = k.routes.Hold(ctx); err != nil && !errors.Is(err, zapi.ErrNotConnected) {
			h.Release()
			return nil, fmt.Errorf("holding the connection to zebra: %w", err)
		}
		if h.routes != nil {
			h.Conn, h.State.release, h.State.routes = h.routes.Conn, k.release, h.routes.State
		}
	}
	// The loop takes what the routes said behind the halt, if they said any.
	if p.in.waiting() || p.loop.up && p.loop.unable == "" && h.routes == nil {
		h.Release()
		return nil, nil
	}
	return h, nil
}

// waiting reports whether the loop has something to hear.
func (q *queue) waiting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.todo) > 0
}

// Resume makes a port that goes on where another process has stopped. conn is
// nil if there was no session.
func Resume(cfg Config, h *Handover, conn net.Conn) (*Port, error) {
	p := New(cfg)
	h.loop.cfg = &p.cfg
	p.loop = h.loop
	if h.release == "" {
		// What is held of routes ended with the session; the next one begins
		// as after any loss.
		return p, nil
	}
	p.given = &given{release: h.release}
	var end context.CancelCauseFunc
	p.given.over, end = context.WithCancelCause(context.Background())
	routes, err := p.routesConfig(h.release, end)
	if err != nil {
		return nil, err
	}
	if p.given.routes, err = zapi.ResumeRoutes(routes, h.routes, conn); err != nil {
		return nil, err
	}
	p.loop.routes = p.given.routes
	return p, nil
}

// CheckHandover says whether this build could go on with h.
func CheckHandover(h *Handover) error {
	if h.release == "" {
		return nil
	}
	_, err := zapi.DialectFor(h.release)
	return err
}
