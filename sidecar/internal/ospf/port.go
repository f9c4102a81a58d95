package ospf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/srrd/srrd/lsdb"
	"github.com/srrd/srrd/lsdb/lsa"
	"github.com/srrd/srrd/ospfapi"
	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Standing is what ospfd was found to be, before it is used.
type Standing struct {
	Router       netip.Addr
	DeadInterval time.Duration // the longest of any interface; 0: not known
	Quickest     time.Duration // the shortest; 0: not known
}

// Refused is the error of a Check that found ospfd unusable, in words.
type Refused string

func (r Refused) Error() string { return string(r) }

// Config says how to reach ospfd and whom to tell.
type Config struct {
	Server              netip.AddrPort // the zero value is 127.0.0.1:2607
	PortFirst, PortLast uint16         // pairs to be called back on; 0: ospfapi's
	// Emit hands an event to the machine; it may block.
	Emit func(machine.Event)
	// Check returns once ospfd runs "router ospf" with a router id of its own
	// and opaque capability; its error says, for people, why it cannot be used.
	// It is called before the first request of a session, and again whenever
	// a neighbour becomes Full: ospfd keeps the session when it loses the
	// opaque capability, and only rebuilds its adjacencies. Then only a Refused
	// ends the session; that ospfd could not be asked does not.
	Check func(ctx context.Context) (Standing, error)
	// Prepare sets what ospfd must be told beside the OSPF-API, before the
	// machine hears of the session. nil does nothing.
	Prepare func(ctx context.Context) error
	// Keys is what is signed with and what is taken; nil: nothing is signed,
	// everything is taken. It is asked for every LSA, from several goroutines;
	// after a change of it call Rekey.
	Keys func() advert.Keyring
	Log  *slog.Logger
	// Interfaces maps addresses of interfaces to their names; nil asks the
	// kernel.
	Interfaces func() (map[netip.Addr]string, error)
}

// Port is the port to ospfd. Use New.
type Port struct {
	cfg     Config
	inbox   chan any      // Notifications of the session and functions, for the loop
	done    chan struct{} // closed when the loop has ended
	resync  chan struct{} // the session is to sync again
	verify  chan struct{} // the session is to check ospfd again
	anew    chan struct{} // ... to register our opaque types again
	own     chan struct{} // the session is to ask for LSAs of our own
	strays  chan struct{} // ... to look after those that ospfd may not own
	client  atomic.Pointer[ospfapi.Client]
	router  atomic.Uint32            // of the client's ospfd: set before it
	refused atomic.Bool              // ospfd has refused an LSA
	calls   *queue[pending]          // to reap
	notices *queue[machine.Announce] // to the loop
	askOwn  *time.Timer              // the loop's: when own is due
	retry   *time.Timer              // the loop's: when strays is due again
	askAt   time.Time
	links   atomic.Pointer[links]
	db      *mirror
	parks   chan still // to the session
	// given was taken over from another process, with its standing; nil: none.
	given    *ospfapi.Client
	standing Standing
}

// New makes a port; nothing happens before Run.
func New(cfg Config) *Port {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Keys == nil {
		cfg.Keys = func() advert.Keyring { return advert.Keyring{} }
	}
	if cfg.Interfaces == nil {
		cfg.Interfaces = kernelInterfaces
	}
	p := &Port{cfg: cfg, inbox: make(chan any, 1024), done: make(chan struct{}), resync: make(chan struct{}, 1), verify: make(chan struct{}, 1), own: make(chan struct{}, 1), anew: make(chan struct{}, 1), strays: make(chan struct{}, 1),
		parks: make(chan still), calls: newQueue[pending](), notices: newQueue[machine.Announce]()}
	p.links.Store(&links{})
	p.db = &mirror{db: lsdb.New(lsdb.Limits{}), emit: cfg.Emit, log: cfg.Log, linkName: p.linkName, keys: cfg.Keys}
	p.db.reset()
	p.db.astray = p.astray
	return p
}

// Run works until ctx ends.
func (p *Port) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.loop(ctx) })
	g.Go(func() error { return p.sessions(ctx) })
	g.Go(func() error { return p.reap(ctx) })
	return g.Wait()
}

var errEnded = errors.New("the port to ospfd has ended")

// Resync has the session fetch the database anew, if there is one: for who
// wants to know what ospfd holds itself of LSAs of our own, of whose end it
// tells only up to a minute later.
func (p *Port) Resync() { p.again() }

// Rekey has everything said anew under the keys of now, and what others say
// looked at again.
func (p *Port) Rekey() { p.tell(p.db.rekeyed) }

// Snapshot gives the mirror as it is now.
func (p *Port) Snapshot(ctx context.Context) (*lsdb.Snapshot, error) {
	got := make(chan *lsdb.Snapshot, 1)
	select {
	case p.inbox <- func() { got <- p.db.db.Snapshot() }:
	case <-p.done:
		return nil, errEnded
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case s := <-got:
		return s, nil
	case <-p.done:
		return nil, errEnded
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// loop owns the mirror.
func (p *Port) loop(ctx context.Context) error {
	defer close(p.done)
	expiry := time.NewTimer(time.Hour)
	defer expiry.Stop()
	p.askOwn = time.NewTimer(time.Hour)
	defer p.askOwn.Stop()
	p.retry = time.NewTimer(time.Hour)
	defer p.retry.Stop()
	if !p.askAt.IsZero() { // taken over
		p.askOwn.Reset(time.Until(p.askAt))
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-expiry.C:
			p.db.expire(time.Now())
		case <-p.askOwn.C:
			p.askAt = time.Time{}
			signal(p.own)
		case <-p.retry.C:
			if len(p.db.strays) > 0 {
				signal(p.strays)
			}
		case <-p.notices.wake:
			for _, a := range p.notices.take() {
				p.announced(a)
			}
		case m := <-p.inbox:
			switch m := m.(type) {
			case func():
				m()
			case ospfapi.Notification:
				p.take(m)
			}
		}
		if len(p.inbox) == 0 {
			p.db.settle()
		}
		if at, ok := p.db.db.NextExpiry(); ok {
			expiry.Reset(max(time.Until(at), time.Second))
		}
	}
}

func (p *Port) take(m ospfapi.Notification) {
	switch m := m.(type) {
	case ospfapi.ISMChange:
		p.db.take(time.Now(), m)
		// A sync tells all interfaces at once, most of them known since begin.
		_, known := p.links.Load().byAddr[m.IfAddr]
		p.refreshLinks(!known || p.db.fresh == nil)
		return
	case ospfapi.NewInterface, ospfapi.DelInterface:
		p.db.take(time.Now(), m)
		p.refreshLinks(true)
		return
	case ospfapi.Ready:
		p.db.take(time.Now(), m)
		if m.Type == ospfapi.OpaqueLink {
			_, known := p.links.Load().byAddr[m.Addr]
			p.refreshLinks(!known)
		}
		return
	case ospfapi.SyncDone:
		p.db.take(time.Now(), m)
		p.refreshLinks(false) // what the sync did not mention is gone
		return
	case ospfapi.NSMChange:
		if m.State == ospfapi.NSMFull && m.RouterID != p.db.self {
			signal(p.verify)
		}
	case ospfapi.LSAUpdate:
		if m.Self && m.Key().Type == ospfapi.RouterLSA && !p.db.told {
			p.db.take(time.Now(), m)
			p.refreshLinks(false) // it may tell the area of an interface that READY named
			return
		}
	case ospfapi.SyncStarted:
		// Whatever was dropped before is in this sync.
		select {
		case <-p.resync:
		default:
		}
	case ospfapi.RouterIDChange:
		if p.db.up && m.RouterID != p.db.self {
			p.cfg.Log.Warn("ospfd has another router id", "was", p.db.self, "is", m.RouterID)
			p.end(routerChanged(p.db.self, m.RouterID))
			return
		}
	case ospfapi.Overflow:
		p.cfg.Log.Warn("notifications of ospfd were dropped, the database is asked for again", "dropped", m.Dropped)
		p.again()
	case ospfapi.Undecoded:
		p.cfg.Log.Warn("a message of ospfd was not understood", "err", m.Err)
	}
	p.db.take(time.Now(), m)
}

// again has the session sync once more; the loop must go on reading meanwhile.
func (p *Port) again() { signal(p.resync) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // asked for already
	}
}

// How soon ospfd is asked what it holds of our own external LSAs: after a
// withdrawal, to see whether it really let go; after an announcement that
// came so soon that ospfd may have had nothing to change. And of our words, after
// a session began: an ospfd that hung may notice only then that the connection
// before it has ended, and from FRR 10 on deletes with it what this one said.
const (
	checkBegun     = 3 * time.Second
	checkWithdrawn = 3 * time.Second
	checkAnnounced = 300 * time.Millisecond
)

// announced follows the announcements of other ports. ospfd tells the
// originator of an external LSA only up to a minute later that it is gone
// (FRR-FACTS I.11), so the mirror lets go when the withdrawal is asked for:
// otherwise the next announcement would be believed seen before it is made.
func (p *Port) announced(a machine.Announce) {
	wait := checkWithdrawn
	if !a.On {
		p.db.withdrawn(time.Now(), a.Addresses)
	} else if wait = checkAnnounced; !p.db.withdraws(a.Addresses) {
		return
	}
	p.askFor(wait)
}

// askFor has ospfd asked what it holds of our own after a wait, if not earlier.
func (p *Port) askFor(wait time.Duration) {
	if at := time.Now().Add(wait); p.askAt.IsZero() || at.Before(p.askAt) {
		p.askAt = at
		p.askOwn.Reset(wait)
	}
}

// Do carries out Originate and Flush, and hears of Announce; other actions are
// not for this port.
func (p *Port) Do(a machine.Action) {
	switch a := a.(type) {
	case machine.Originate:
		p.originate(a)
	case machine.Flush:
		p.flush(a)
	case machine.Announce:
		p.notices.add(a)
	}
}

func (p *Port) originate(a machine.Originate) {
	c := p.client.Load()
	if c == nil {
		return
	}
	o, err := p.origination(a.Ref, a.Body)
	if err != nil {
		p.calls.add(pending{client: c, ref: a.Ref, err: err})
		return
	}
	call, err := c.Start(o)
	p.calls.add(pending{client: c, ref: a.Ref, call: call, err: err})
}

// origination is the request for an LSA, signed.
func (p *Port) origination(ref machine.LSARef, content []byte) (ospfapi.Originate, error) {
	ifAddr, area, err := p.place(ref.Scope)
	if err != nil {
		return ospfapi.Originate{}, err
	}
	b := make([]byte, ospfapi.LSAHeaderLen, ospfapi.LSAHeaderLen+len(content)+advert.AuthLen)
	b[3] = byte(ref.Scope.Kind)
	id := linkStateID(ref)
	b[4], b[5], b[6], b[7] = byte(id>>24), byte(id>>16), byte(id>>8), byte(id)
	body := p.cfg.Keys().Sign(content, origin(ref, advert.RouterID(p.router.Load())))
	return ospfapi.Originate{IfAddr: ifAddr, Area: area, LSA: append(b, body...)}, nil
}

func (p *Port) flush(a machine.Flush) {
	c := p.client.Load()
	if c == nil {
		return
	}
	d, err := p.deletion(a.Ref)
	if err != nil {
		p.cfg.Log.Warn("an LSA cannot be deleted", "lsa", a.Ref, "err", err)
		return
	}
	call, err := c.Start(d)
	p.calls.add(pending{client: c, ref: a.Ref, call: call, err: err, flush: true})
}

func (p *Port) deletion(ref machine.LSARef) (ospfapi.Delete, error) {
	ifAddr, area, err := p.place(ref.Scope)
	return ospfapi.Delete{Type: ospfapi.LSType(ref.Scope.Kind), ID: linkStateID(ref), IfAddr: ifAddr, Area: area}, err
}

func linkStateID(r machine.LSARef) uint32 { return advert.OpaqueType<<24 | r.ID&0xffffff }

// pending is a request whose answer is awaited.
type pending struct {
	client *ospfapi.Client
	ref    machine.LSARef
	call   *ospfapi.Call
	err    error // of Start
	flush  bool
	still  *still // instead of a request
}

// queue lies between Do, which must not block, and a goroutine of the port. Of
// an ospfd that hangs it holds what the machine wanted since.
type queue[T any] struct {
	mu   sync.Mutex
	todo []T
	wake chan struct{}
}

func newQueue[T any]() *queue[T] { return &queue[T]{wake: make(chan struct{}, 1)} }

func (q *queue[T]) add(v T) {
	q.mu.Lock()
	q.todo = append(q.todo, v)
	q.mu.Unlock()
	signal(q.wake)
}

func (q *queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.todo
	q.todo = nil
	return t
}

// reap waits for the answers, in the order of the requests.
func (p *Port) reap(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.calls.wake:
		}
		for _, w := range p.calls.take() {
			if w.still != nil {
				w.still.stand()
				continue
			}
			err := w.err
			if err == nil {
				err = w.call.Wait(ctx)
			}
			if ctx.Err() != nil {
				return nil
			}
			p.answered(ctx, w, err)
		}
	}
}

func (p *Port) answered(ctx context.Context, w pending, err error) {
	if w.client != p.client.Load() || w.client.Err() != nil {
		return // its session has ended, and OSPFDown says it all
	}
	switch {
	case w.flush:
		if err == nil {
			select {
			case p.inbox <- func() { p.flushed(w.ref) }:
			case <-ctx.Done():
			}
		} else if !errors.Is(err, ospfapi.NoSuchLSA) {
			p.cfg.Log.Warn("ospfd does not delete an LSA", "lsa", w.ref, "err", err)
		}
	case err != nil:
		if unregistered(w.ref.Scope, err) {
			signal(p.anew)
		}
		p.refused.Store(true)
		select {
		case p.inbox <- func() { p.db.refuse(w.ref) }:
		case <-ctx.Done():
		}
		p.cfg.Emit(machine.OriginateDone{Ref: w.ref, Result: resultOf(err), Text: err.Error()})
	case p.refused.Load(): // this one may have been, before
		select {
		case p.inbox <- func() { p.db.own(w.ref) }:
		case <-ctx.Done():
		}
	}
}

// unregistered tells a refusal that says our opaque types are registered no more.
// From FRR 10 on ospfd lets a second client register them too, and when that one
// leaves, forgets them for both; it answers with what sounds like a missing
// interface, also for an LSA that needs none (ospf_opaque.c, "Re-register").
func unregistered(s machine.Scope, err error) bool {
	return errors.Is(err, ospfapi.OpaqueTypeNotRegistered) || errors.Is(err, ospfapi.NoSuchInterface) && s.Kind != machine.ScopeLink
}

// resultOf tells what may pass from what will not (DESIGN section 2).
func resultOf(err error) machine.OriginateResult {
	if errors.Is(err, ospfapi.IllegalLSAType) || errors.Is(err, ospfapi.GenericError) {
		return machine.OriginateRefused
	}
	var bad *ospfapi.RequestError
	if errors.As(err, &bad) {
		return machine.OriginateRefused
	}
	return machine.OriginateRetry
}

// place is where ospfd is to flood an LSA of a scope.
func (p *Port) place(s machine.Scope) (ifAddr, area netip.Addr, err error) {
	zero := netip.AddrFrom4([4]byte{})
	switch s.Kind {
	case machine.ScopeArea:
		return zero, s.Area, nil
	case machine.ScopeLink:
		l, ok := p.links.Load().byName[s.Link]
		if !ok {
			return zero, zero, fmt.Errorf("OSPF does not run on interface %s", s.Link)
		}
		return l.addr, l.area, nil
	case machine.ScopeAS:
	}
	return zero, zero, nil
}

// everything is what a session wants to hear of.
var everything = ospfapi.Filter{Types: allTypes, Origin: ospfapi.AnyOrigin}

var allTypes = func() ospfapi.TypeMask {
	var t []ospfapi.LSType
	for _, x := range lsa.Types {
		t = append(t, ospfapi.LSType(x))
	}
	return ospfapi.MaskOf(t...)
}()
