package ospf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/srrd/srrd/ospfapi"
	"github.com/srrd/srrd/sidecar/internal/advert"
)

// The waits between tries to get a session: ospfd comes back within a second
// under watchfrr, and a try on loopback costs nothing.
const (
	firstRetry = 20 * time.Millisecond
	lastRetry  = time.Second
	// inUseFor is how long ospfd may take to notice that an earlier client of
	// ours has died (measured: 1.4 ms).
	inUseFor = 2 * time.Second
)

// sessions keeps a session as long as there is an ospfd to have one with.
func (p *Port) sessions(ctx context.Context) error {
	retry := firstRetry
	for given := p.given; ; given = nil {
		began := time.Now()
		var err error
		if given != nil {
			err = p.goOn(ctx, given)
		} else {
			err = p.session(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		// Behind everything the session brought.
		p.tell(func() { p.db.ended(describe(err)) })
		if time.Since(began) > lastRetry {
			retry = firstRetry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retry):
		}
		retry = min(2*retry, lastRetry)
	}
}

// describe puts the end of a session into words.
func describe(err error) string {
	var dial *ospfapi.DialError
	var stream *ospfapi.StreamError
	switch {
	case errors.As(err, &dial) && errors.Is(err, syscall.ECONNREFUSED):
		// Without the ports of this try, so that the next one says the same.
		return fmt.Sprintf("ospfd's OSPF-API at %s refuses the connection: is ospfd running, with option -a?", dial.Server)
	case errors.As(err, &dial) && len(dial.Tried) > 0:
		// Of several port pairs the last says what those before said.
		return fmt.Sprintf("ospfd's OSPF-API at %s: %v", dial.Server, dial.Tried[len(dial.Tried)-1].Err)
	case errors.As(err, &stream) && (errors.Is(stream.Err, io.EOF) || errors.Is(stream.Err, syscall.ECONNRESET)):
		return "ospfd closed the connection"
	}
	return err.Error()
}

// session is one connection from Dial to its end.
func (p *Port) session(ctx context.Context) error {
	var standing Standing
	var checked error
	c, err := ospfapi.Dial(ctx, p.clientConfig(func(ctx context.Context) error {
		standing, checked = p.cfg.Check(ctx)
		return checked
	}))
	if err != nil {
		return err
	}
	err = p.live(ctx, c, &standing, func(ctx context.Context, end context.CancelCauseFunc) error {
		return p.open(ctx, end, c, &standing)
	})
	// Its words say more than that the connection ended; but if the connection
	// ended first, that is what it was told.
	if checked != nil && !errors.Is(checked, context.Canceled) {
		err = checked
	}
	return err
}

// live is a session while its connection lasts. What use returns, unless nil,
// ends it.
func (p *Port) live(ctx context.Context, c *ospfapi.Client, standing *Standing, use func(context.Context, context.CancelCauseFunc) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.Run(ctx) })
	g.Go(func() error {
		err := use(ctx, cancel)
		if err != nil {
			cancel(err)
		}
		return err
	})
	g.Go(func() error {
		err := heartbeat(ctx, c, standing)
		if err != nil {
			cancel(err)
		}
		return err
	})
	err := g.Wait()
	p.client.Store(nil)
	_ = c.Close() // ended already
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func (p *Port) clientConfig(ready func(context.Context) error) ospfapi.Config {
	if ready == nil { // of a session that stands already
		ready = func(context.Context) error { return nil }
	}
	return ospfapi.Config{
		Server: p.cfg.Server, PortFirst: p.cfg.PortFirst, PortLast: p.cfg.PortLast, OSPFReady: ready,
		Notify: func(n ospfapi.Notification) {
			select {
			case p.inbox <- n:
			case <-p.done:
			}
		},
		Warn: func(err error) { p.cfg.Log.Warn("OSPF-API", "err", err) },
	}
}

// open makes a fresh connection one the machine can use.
func (p *Port) open(ctx context.Context, end context.CancelCauseFunc, c *ospfapi.Client, standing *Standing) error {
	if err := c.WaitReady(ctx); err != nil {
		return err
	}
	if p.cfg.Prepare != nil {
		if err := p.cfg.Prepare(ctx); err != nil {
			return err
		}
	}
	if err := registerAll(ctx, c); err != nil {
		return err
	}
	p.tell(func() {
		p.refreshLinks(true)
		p.router.Store(uint32(advert.RouterIDFrom(standing.Router)))
		p.client.Store(c) // first: the answers to OSPFUp find it
		p.db.begin(*standing, c.Dialect().SyncState, end)
		p.askFor(checkBegun)
	})
	if err := p.sync(ctx, c); err != nil {
		return err
	}
	return p.follow(ctx, c)
}

// follow does what a session in sync is asked for.
func (p *Port) follow(ctx context.Context, c *ospfapi.Client) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-p.parks:
			s.stand()
			continue
		case <-p.verify: // a neighbour is Full
			if err := p.usable(ctx); err != nil {
				return err
			}
			continue
		case <-p.anew: // another client took our types along
			if err := p.reregister(ctx, c); err != nil {
				return err
			}
			continue
		case <-p.strays: // LSAs that it may not own are to go
			select {
			case <-p.anew:
				if err := p.reregister(ctx, c); err != nil {
					return err
				}
			default:
			}
			if err := p.bury(ctx, c); err != nil {
				return err
			}
			continue
		case <-p.own: // what became of our announcements, and of our words
			// Its answers come as updates; what is gone is not mentioned.
			f := ospfapi.Filter{Types: ownTypes, Origin: ospfapi.Self}
			if err := c.SyncLSDB(ctx, f); err != nil {
				return err
			}
			continue
		case <-p.resync: // notifications were dropped
		}
		if err := p.sync(ctx, c); err != nil {
			return err
		}
	}
}

// reregister registers our types again with an ospfd that forgot them.
func (p *Port) reregister(ctx context.Context, c *ospfapi.Client) error {
	p.cfg.Log.Warn("ospfd has forgotten our opaque types: registering them again; does another client of its OSPF-API use type 222?")
	if err := registerAll(ctx, c); err != nil {
		return err
	}
	// What was said before went with the types, and ospfd tells us of its own
	// deletions a minute later.
	if err := p.sync(ctx, c); err != nil {
		return err
	}
	p.tell(p.db.doubtAll)
	return nil
}

// usable says why ospfd can no longer be used, nil if it can or does not tell.
func (p *Port) usable(ctx context.Context) error {
	st, err := p.cfg.Check(ctx)
	var refused Refused
	if errors.As(err, &refused) {
		return refused
	}
	// Which ospfd before 8.4 does not tell; it changes only without neighbours.
	if was := advert.RouterID(p.router.Load()); err == nil && advert.RouterIDFrom(st.Router) != was {
		return routerChanged(was.Addr(), st.Router)
	}
	return nil
}

func routerChanged(was, is netip.Addr) error {
	return fmt.Errorf("ospfd's router id changed from %s to %s", was, is)
}

// sync fetches the database, again and again while notifications are dropped
// on the way.
func (p *Port) sync(ctx context.Context, c *ospfapi.Client) error {
	for {
		err := c.SyncAll(ctx, everything)
		if !errors.Is(err, ospfapi.ErrOverflow) {
			return err
		}
	}
}

// registerAll registers what we may originate.
func registerAll(ctx context.Context, c *ospfapi.Client) error {
	for _, t := range []ospfapi.LSType{ospfapi.OpaqueLink, ospfapi.OpaqueArea, ospfapi.OpaqueAS} {
		if err := register(ctx, c, t); err != nil {
			return err
		}
	}
	return nil
}

// register asks for the opaque type, and again while ospfd has not noticed
// that an earlier client of ours is gone.
func register(ctx context.Context, c *ospfapi.Client, t ospfapi.LSType) error {
	deadline := time.Now().Add(inUseFor)
	for {
		err := c.Register(ctx, t, advert.OpaqueType)
		if !errors.Is(err, ospfapi.OpaqueTypeInUse) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("another client of ospfd holds opaque type %d of %s LSAs: is a second srrd running?", advert.OpaqueType, t)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// tell has the loop do something, behind what ospfd said before.
func (p *Port) tell(f func()) {
	select {
	case p.inbox <- f:
	case <-p.done:
	}
}

// end closes the session for a reason.
func (p *Port) end(why error) {
	if e := p.db.end; e != nil {
		e(why)
	}
}

// link is an interface OSPF runs on.
type link struct {
	addr, area netip.Addr
}

// links are the interfaces by name and by address.
type links struct {
	byName map[string]link
	byAddr map[netip.Addr]string
}

// refreshLinks learns which interface OSPF runs on has which name. The kernel
// is asked if ask is set.
func (p *Port) refreshLinks(ask bool) {
	names := p.links.Load().byAddr
	if ask {
		var err error
		if names, err = p.cfg.Interfaces(); err != nil {
			p.cfg.Log.Warn("the interfaces cannot be listed", "err", err)
			return
		}
	}
	l := &links{byName: map[string]link{}, byAddr: names}
	ifs := p.db.interfaces()
	for _, addr := range slices.SortedFunc(maps.Keys(ifs), netip.Addr.Compare) {
		name, ok := names[addr]
		if _, second := l.byName[name]; ok && !second { // of several addresses the lowest
			l.byName[name] = link{addr: addr, area: ifs[addr]}
		}
	}
	p.links.Store(l)
}

func (p *Port) linkName(addr netip.Addr) string {
	if n, ok := p.links.Load().byAddr[addr]; ok {
		return n
	}
	return addr.String()
}

func kernelInterfaces() (map[netip.Addr]string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	m := map[netip.Addr]string{}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it went away meanwhile
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if addr, ok := netip.AddrFromSlice(n.IP); ok {
					m[addr.Unmap()] = i.Name
				}
			}
		}
	}
	return m, nil
}
