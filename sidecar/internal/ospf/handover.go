package ospf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/srrd/srrd/lsdb"
	"github.com/srrd/srrd/lsdb/lsa"
	"github.com/srrd/srrd/ospfapi"
	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/handover"
)

// Handover is what the port leaves to the next srrd: the session with ospfd and
// all that was heard in it. The mirror goes over as it is, so that nothing is
// asked of ospfd and nothing seems to come or go.
type Handover struct {
	client  ospfapi.Handover
	mirror  *mirror
	held    []lsdb.Held
	askAt   time.Time // when our own externals are to be asked for; zero: not
	resync  bool
	verify  bool
	own     bool
	anew    bool
	strays  bool
	session bool // the two sockets go with it
}

// HandOver tells a codec how to carry a Handover.
func HandOver(c *handover.Codec) {
	c.Fixed(ospfapi.NSMState(0), lsa.Type(0)) // FRR's, and RFC 2328's
	c.Skip(mirror{}, "db", "log", "fresh")    // held has the first; a sync under way is waited for
}

// Held is the port at rest.
type Held struct {
	State *Handover
	// Sync and Async are the session's sockets, nil without a session.
	Sync, Async *net.TCPConn

	free   chan struct{}
	client *ospfapi.Held
	once   sync.Once
}

// Release has the port go on.
func (h *Held) Release() {
	h.once.Do(func() {
		close(h.free)
		if h.client != nil {
			h.client.Release()
		}
	})
}

// still is asked of a goroutine that is to stand still between two things it
// does, until free is closed.
type still struct {
	parked chan<- struct{} // has room
	free   <-chan struct{}
}

func (s still) stand() {
	s.parked <- struct{}{}
	<-s.free
}

// errChanging: the session came or went while it was to be held.
var errChanging = errors.New("the session with ospfd is changing just now")

// Settle waits for what the session has under way that may take its time (a
// synchronisation, a look at ospfd's configuration) and lets nothing of the kind
// begin until free is closed. Call it while the owner still works, before Hold.
func (p *Port) Settle(ctx context.Context, free <-chan struct{}) error {
	if p.client.Load() == nil {
		return nil
	}
	parked := make(chan struct{}, 1)
	select {
	case p.parks <- still{parked, free}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errChanging, context.Cause(ctx))
	case <-p.done:
		return errEnded
	}
}

// Hold brings the port to rest after Settle: every request is answered, all
// that was heard is told to the machine, and no octet is read any more. Do must
// not be called until Release.
func (p *Port) Hold(ctx context.Context) (*Held, error) {
	h := &Held{free: make(chan struct{}), State: &Handover{}}
	c := p.client.Load()
	if c != nil {
		var err error
		if h.client, err = c.Hold(ctx); err != nil {
			return nil, err
		}
		h.State.client, h.State.session = h.client.State, true
		h.Sync, h.Async = h.client.Sync, h.client.Async
	}
	if err := p.hold(ctx, h, c); err != nil {
		h.Release()
		return nil, err
	}
	return h, nil
}

func (p *Port) hold(ctx context.Context, h *Held, c *ospfapi.Client) error {
	reaped := make(chan struct{}, 1)
	p.calls.add(pending{still: &still{reaped, h.free}})
	if err := p.parked(ctx, reaped); err != nil {
		return err
	}
	looped := make(chan struct{}, 1)
	select {
	case p.inbox <- func() {
		for _, a := range p.notices.take() {
			p.announced(a)
		}
		p.db.settle()
		still{looped, h.free}.stand()
	}:
	case <-p.done:
		return errEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := p.parked(ctx, looped); err != nil {
		return err
	}
	// The loop stands still: what is its own may be looked at.
	if p.db.up != (c != nil) || p.db.fresh != nil || p.client.Load() != c {
		return errChanging
	}
	s := h.State
	s.mirror, s.held, s.askAt = p.db, p.db.db.Held(), p.askAt
	s.resync, s.verify, s.own = len(p.resync) > 0, len(p.verify) > 0, len(p.own) > 0
	// A wait before the next try is cut short by the handover.
	s.anew, s.strays = len(p.anew) > 0, len(p.strays) > 0 || len(p.db.strays) > 0
	return nil
}

func (p *Port) parked(ctx context.Context, parked <-chan struct{}) error {
	select {
	case <-parked:
		return nil
	case <-p.done:
		return errEnded
	case <-ctx.Done():
		return fmt.Errorf("the port to ospfd does not come to rest: %w", context.Cause(ctx))
	}
}

// Resume makes a port that goes on where another process has stopped. The
// sockets are nil if there was no session.
func Resume(cfg Config, h *Handover, syncConn, asyncConn *net.TCPConn) (*Port, error) {
	p := New(cfg)
	m := h.mirror
	m.db, m.emit, m.log, m.linkName, m.keys, m.astray = p.db.db, p.db.emit, p.db.log, p.db.linkName, p.db.keys, p.astray
	if err := m.db.Restore(h.held); err != nil {
		return nil, fmt.Errorf("the mirror of another process: %w", err)
	}
	p.refused.Store(len(m.doubted) > 0)
	p.db, p.askAt = m, h.askAt
	for c, on := range map[chan struct{}]bool{p.resync: h.resync, p.verify: h.verify, p.own: h.own, p.anew: h.anew, p.strays: h.strays} {
		if on {
			signal(c)
		}
	}
	if !h.session {
		return p, nil
	}
	c, err := ospfapi.Resume(p.clientConfig(nil), h.client, syncConn, asyncConn)
	if err != nil {
		return nil, err
	}
	p.given, p.standing = c, m.standing
	p.router.Store(uint32(advert.RouterIDFrom(m.self)))
	p.client.Store(c) // the machine's first words find it
	p.refreshLinks(true)
	return p, nil
}

// goOn is the session that was taken over, to its end.
func (p *Port) goOn(ctx context.Context, c *ospfapi.Client) error {
	return p.live(ctx, c, &p.standing, func(ctx context.Context, end context.CancelCauseFunc) error {
		p.tell(func() { p.db.end = end })
		return p.follow(ctx, c)
	})
}

// CheckHandover says whether this build could go on with h.
func CheckHandover(h *Handover) error {
	if err := lsdb.New(lsdb.Limits{}).Restore(h.held); err != nil {
		return fmt.Errorf("the mirror of the link-state database: %w", err)
	}
	if !h.session {
		return nil
	}
	_, err := ospfapi.Resume(ospfapi.Config{OSPFReady: func(context.Context) error { return nil }, Notify: func(ospfapi.Notification) {}}, h.client, nil, nil)
	return err
}
