package zapi

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Reconnecting: the first try is at once, then after firstRetry, doubling up to
// lastRetry. A connection that held for lastRetry starts this over.
const (
	firstRetry = 20 * time.Millisecond
	lastRetry  = time.Second
)

// RoutesConfig says how Routes connects and whom it tells.
type RoutesConfig struct {
	// Config is the connection's. Notify gets every message, the owner notes
	// among them.
	Config
	// Greeting is sent on every connection, before the routes: what the caller
	// wants to hear of (InterfaceRequest, RouterIDRequest, Redistribute,
	// NexthopTrack).
	Greeting []Message
	// Changed is told each new state of a prefix.
	Changed func(Change)
	// Link is told when the connection comes (up, nil) and goes (not up, why),
	// and when a try to connect fails for another reason than the one before.
	// The end of Run is told to nobody.
	Link func(up bool, why error)
}

// Routes keeps a wanted set of routes in zebra. Say what is wanted with Set and
// Del; Run connects, adds, listens, and after every loss of zebra connects
// again and adds everything anew.
//
// All callbacks come from the goroutine in Run, one at a time, in the order in
// which things happened; they must not block and may call Set, Del and Clear.
//
// A route that is no longer wanted is deleted. If zebra died while it was
// announced, deleting is not enough: ospfd keeps its external LSA until it sees
// the route come and go. Such a prefix is added, and deleted when it is seen
// installed ("clearing"). This announces it for some milliseconds once more.
// It is tried as soon as zebra is back, which is too early if ospfd is not: on
// losing zebra, ospfd waits 10 s before it connects again (60 s after the third
// failure; lib/zclient.c), and only ospfd's database shows whether it has
// forgotten the prefix. So whoever still sees its LSA there calls Clear again.
type Routes struct {
	cfg   RoutesConfig
	inbox inbox
	given *Client   // taken over from another process; nil: Run connects
	set   *routeSet // the loop's, once it runs
}

// NewRoutes checks the configuration. Nothing is connected before Run.
func NewRoutes(cfg RoutesConfig) (*Routes, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Dialect.Early() {
		return nil, fmt.Errorf("zapi: zebra of %s notes nothing to the owner of a route, so that none can be kept in it", cfg.Dialect)
	}
	cfg.Config = cfg.withDefaults()
	if cfg.Changed == nil {
		cfg.Changed = func(Change) {}
	}
	if cfg.Link == nil {
		cfg.Link = func(bool, error) {}
	}
	for _, m := range cfg.Greeting {
		if _, err := cfg.Dialect.Append(nil, m); err != nil {
			return nil, err
		}
	}
	return &Routes{cfg: cfg, inbox: inbox{wake: make(chan struct{}, 1)}, set: newRouteSet(cfg.Proto, cfg.Instance)}, nil
}

// Set makes a the wanted route to its prefix. It does not block, may be called
// from any goroutine, before Run and during it, and repeating it is no change.
func (r *Routes) Set(a Announcement) error {
	if err := a.check(); err != nil {
		return err
	}
	r.inbox.put(func(l *routesLoop) { l.set.set(a) })
	return nil
}

// Del makes the prefix no longer wanted. Not knowing the prefix is no error.
func (r *Routes) Del(p netip.Prefix) {
	r.inbox.put(func(l *routesLoop) { l.set.del(p) })
}

// Clear makes ospfd forget a prefix that an earlier life of the caller
// announced, as Routes does for its own after a loss of zebra. It does nothing
// if the prefix is wanted, or already on its way out. It works only on an ospfd
// that is connected to zebra; call it again while the LSA is still there.
func (r *Routes) Clear(a Announcement) error {
	if err := a.check(); err != nil {
		return err
	}
	r.inbox.put(func(l *routesLoop) { l.set.clear(a) })
	return nil
}

// Send sends a message once, on the connection there is; without one it is
// lost. What should be said on every connection belongs into Greeting.
func (r *Routes) Send(m Message) error {
	if _, err := r.cfg.Dialect.Append(nil, m); err != nil {
		return err
	}
	r.inbox.put(func(l *routesLoop) { l.send(m) })
	return nil
}

// Run works until ctx ends and returns its cause. zebra deletes the routes when
// Run returns. It may be called once.
func (r *Routes) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.connect(ctx) })
	g.Go(func() error {
		l := &routesLoop{cfg: r.cfg, set: r.set, client: r.given}
		return l.run(ctx, &r.inbox)
	})
	return g.Wait()
}

// connect keeps a connection and reads from it, never stopping.
func (r *Routes) connect(ctx context.Context) error {
	cfg := r.clientConfig()
	var wait time.Duration
	for given := r.given; ; given = nil {
		c, err := given, error(nil)
		if c == nil {
			if c, err = Dial(ctx, cfg); err == nil {
				r.inbox.put(func(l *routesLoop) { l.connected(c) })
			}
		}
		if err == nil {
			since := time.Now()
			err = c.Run(ctx)
			if time.Since(since) >= lastRetry {
				wait = 0
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx) // Run's end is no end of the connection
		}
		r.inbox.put(func(l *routesLoop) { l.disconnected(err) })
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		wait = min(max(2*wait, firstRetry), lastRetry)
	}
}

// clientConfig has what a connection says come to the loop.
func (r *Routes) clientConfig() Config {
	cfg := r.cfg.Config
	cfg.Notify = func(m Message) { r.inbox.put(func(l *routesLoop) { l.message(m) }) }
	cfg.Malformed = func(err error) { r.inbox.put(func(l *routesLoop) { l.cfg.Malformed(err) }) }
	return cfg
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// routesLoop is the state that only Run's loop touches.
type routesLoop struct {
	cfg    RoutesConfig
	set    *routeSet
	client *Client // nil: no connection
	why    string  // the last reason told
}

func (l *routesLoop) run(ctx context.Context, in *inbox) error {
	overdue := time.NewTimer(0)
	defer overdue.Stop()
	for {
		for _, do := range in.take() {
			l.step(do)
		}
		if next := l.set.next(); next.IsZero() {
			overdue.Stop()
		} else {
			overdue.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-in.wake:
		case <-overdue.C:
			l.step(func(l *routesLoop) { l.set.expire() })
		}
	}
}

// step does one thing, and sends and tells what it left in the set.
func (l *routesLoop) step(do func(*routesLoop)) {
	l.set.now = time.Now()
	do(l)
	out, changes := l.set.out, l.set.changes
	l.set.out, l.set.changes = nil, nil
	for _, m := range out {
		l.send(m)
	}
	for _, c := range changes {
		l.cfg.Changed(c)
	}
}

// send needs no error: after one the client is closed, its reader ends, and
// disconnected follows.
func (l *routesLoop) send(m Message) {
	if l.client != nil {
		if err := l.client.Send(m); err != nil {
			l.client.Close()
		}
	}
}

func (l *routesLoop) message(m Message) {
	if note, ok := m.(NotifyOwner); ok {
		l.set.noted(note)
	}
	l.cfg.Notify(m)
}

func (l *routesLoop) connected(c *Client) {
	l.client, l.why = c, ""
	l.cfg.Link(true, nil)
	for _, m := range l.cfg.Greeting {
		l.send(m)
	}
	l.set.connected()
}

func (l *routesLoop) disconnected(err error) {
	if l.client != nil || l.why != err.Error() {
		l.cfg.Link(false, err)
	}
	l.why = err.Error()
	if l.client != nil {
		l.client = nil
		l.set.disconnected()
	}
}

// inbox is what waits for the loop. It does not bound itself: the reader must
// not stop, and the loop never waits for anything but a write.
type inbox struct {
	mu    sync.Mutex
	queue []func(*routesLoop)
	wake  chan struct{}
}

func (in *inbox) put(do func(*routesLoop)) {
	in.mu.Lock()
	in.queue = append(in.queue, do)
	in.mu.Unlock()
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

func (in *inbox) take() []func(*routesLoop) {
	in.mu.Lock()
	defer in.mu.Unlock()
	q := in.queue
	in.queue = nil
	return q
}
