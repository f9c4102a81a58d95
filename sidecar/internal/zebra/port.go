package zebra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/zapi"
)

// Config says how to reach zebra and whom to tell.
type Config struct {
	Path     string // of zebra's socket; "" is the default
	Instance uint16 // N of "redistribute table N"
	// Version asks for the release of FRR, as "show version" says it.
	Version func(ctx context.Context) (string, error)
	// Local reports whether a service's addresses are announced by this port.
	// Do calls it.
	Local func(service string) bool
	// Addresses are all that this port or an earlier life of it may have
	// announced; only what is said of these is ever cleared or swept. nil is
	// none.
	Addresses func() []netip.Addr
	// Refresh has the link-state database fetched anew, soon; nil does nothing.
	Refresh func()
	// Forget has ospfd take back all that it announces of this port's table; nil
	// does nothing. Called when nothing is to be announced any more and there is
	// no zebra to say so.
	Forget func()
	// Sweep removes what a dead zebra left in the kernel; nil does nothing. See
	// SweepKernel.
	Sweep func([]netip.Addr) error
	// Dispel has zebra forget a route to an address that is in no kernel table,
	// and says whether there can have been one; nil does nothing. See
	// DispelPhantom.
	Dispel func(netip.Addr) (bool, error)
	// Gone says whether there is no zebra, as far as can be told without its socket,
	// on which nobody listens: its path may be a wrong one. nil: there is none.
	Gone func(ctx context.Context) bool
	// Kernel asks zebra which addresses it prefers routes to that it takes for
	// the kernel's own; nil is none.
	Kernel func(ctx context.Context) ([]netip.Addr, error)
	Emit   func(machine.Event) // it may block
	Log    *slog.Logger

	search chan struct{} // has room for one
}

// Port is the port to zebra. Use New.
type Port struct {
	cfg  Config
	in   *queue
	loop *loop
	dial func(context.Context, string) (net.Conn, error) // nil: a unix socket

	given *given                // taken over from another process; nil: none
	kept  atomic.Pointer[given] // what is kept now
}

// given are routes with the release of FRR they are kept in.
type given struct {
	routes  *zapi.Routes
	release string
	over    context.Context // of routes taken over: ends when the release is to be asked for anew
}

// New makes a port; nothing happens before Run.
func New(cfg Config) *Port {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Path == "" {
		cfg.Path = zapi.DefaultPath
	}
	if cfg.Addresses == nil {
		cfg.Addresses = func() []netip.Addr { return nil }
	}
	if cfg.Refresh == nil {
		cfg.Refresh = func() {}
	}
	if cfg.Forget == nil {
		cfg.Forget = func() {}
	}
	if cfg.Sweep == nil {
		cfg.Sweep = func([]netip.Addr) error { return nil }
	}
	if cfg.Dispel == nil {
		cfg.Dispel = func(netip.Addr) (bool, error) { return false, nil }
	}
	if cfg.Gone == nil {
		cfg.Gone = func(context.Context) bool { return true }
	}
	if cfg.Kernel == nil {
		cfg.Kernel = func(context.Context) ([]netip.Addr, error) { return nil, nil }
	}
	cfg.search = make(chan struct{}, 1)
	p := &Port{cfg: cfg, in: newQueue()}
	p.loop = newLoop(&p.cfg)
	return p
}

// What the loop hears.
type (
	// order is an Announce of one address, with its way when it was given.
	order struct {
		addr      netip.Addr
		on, local bool
	}
	// keeping: these routes are kept from now on; nil: none are.
	keeping struct{ routes *zapi.Routes }
	// observing: in this zebra no route can be kept; why is "" when that is over.
	observing struct{ why string }
	// believing: zebra prefers routes of the kernel to these.
	believing struct{ addrs []netip.Addr }
	// standing of the session with zebra.
	standing struct {
		up  bool
		why string
		// absent: nobody listens on zebra's socket.
		absent bool
	}
	// searched is what Gone says.
	searched struct{ gone bool }
)

// Do carries out Announce for services of way local.
func (p *Port) Do(act machine.Action) {
	a, ok := act.(machine.Announce)
	if !ok {
		return
	}
	local := p.cfg.Local(a.Service)
	for _, addr := range a.Addresses {
		p.in.put(order{addr, a.On, local})
	}
}

// Hear takes the events that tell which of our addresses ospfd announces:
// OSPFUp, OSPFDown and HostRoute. Others are ignored.
func (p *Port) Hear(ev machine.Event) {
	switch ev.(type) {
	case machine.OSPFUp, machine.OSPFDown, machine.HostRoute:
		p.in.put(ev)
	}
}

// Run works until ctx ends.
func (p *Port) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { p.loop.run(ctx, p.in); return nil })
	g.Go(func() error { p.sessions(ctx); return nil })
	g.Go(func() error { p.search(ctx); return nil })
	return g.Wait()
}

// search looks elsewhere for a zebra when the loop wants that.
func (p *Port) search(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.cfg.search:
			p.in.put(searched{p.cfg.Gone(ctx)})
		}
	}
}

// again is the wait before zebra's release is asked for once more.
const again = 500 * time.Millisecond

// sessions finds the dialect and keeps the routes; a zebra of another release,
// after an upgrade, is spoken to in another dialect.
func (p *Port) sessions(ctx context.Context) {
	for given := p.given; ctx.Err() == nil; given = nil {
		if why := p.keep(ctx, given); ctx.Err() == nil {
			p.in.put(standing{why: why.Error(), absent: absent(why) || p.nobodyListens(ctx)})
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// keep keeps the routes as long as zebra speaks one dialect. The error is
// never nil.
func (p *Port) keep(ctx context.Context, given *given) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if given == nil {
		text, dialect, err := p.dialect(ctx)
		if err != nil {
			return err
		}
		if dialect.Early() {
			return p.observe(ctx, dialect)
		}
		if given, err = p.fresh(text, cancel); err != nil {
			return err
		}
		p.in.put(keeping{given.routes})
		if addrs, err := p.cfg.Kernel(ctx); err == nil {
			p.in.put(believing{addrs})
		} else if ctx.Err() == nil {
			p.cfg.Log.Warn("whether zebra holds routes that an earlier life of it left is not known", "err", err)
		}
	}
	if given.over != nil {
		defer context.AfterFunc(given.over, func() { cancel(context.Cause(given.over)) })()
	}
	p.kept.Store(given)
	defer p.in.put(keeping{})
	defer p.kept.Store(nil)
	return given.routes.Run(ctx)
}

// dialect is that of the zebra there is, with the words it names itself by.
func (p *Port) dialect(ctx context.Context) (text string, d zapi.Dialect, err error) {
	if text, err = p.cfg.Version(ctx); err == nil {
		d, err = zapi.DialectFor(text)
	}
	if err != nil {
		return "", zapi.Dialect{}, fmt.Errorf("zebra's release is not known: %w", err)
	}
	return text, d, nil
}

// observe holds a session with a zebra of ZAPI 2 to 4 for as long as it lives:
// that it does is all there is to learn there. No HELLO is said, since that
// takes a route type away from the daemon that has it.
func (p *Port) observe(ctx context.Context, dialect zapi.Dialect) error {
	p.in.put(observing{why: fmt.Sprintf("%s has no routes of a table, which way local needs; use address: alias", dialect)})
	defer p.in.put(observing{})
	c, err := zapi.Dial(ctx, zapi.Config{Path: p.cfg.Path, Dialect: dialect, Dial: p.dial,
		Malformed: func(err error) { p.cfg.Log.Warn("a message of zebra was not understood", "err", err) }})
	if err != nil {
		return err
	}
	p.in.put(standing{up: true})
	return c.Run(ctx)
}

// fresh makes routes in the dialect of a release.
func (p *Port) fresh(text string, end context.CancelCauseFunc) (*given, error) {
	cfg, err := p.routesConfig(text, end)
	if err != nil {
		return nil, err
	}
	routes, err := zapi.NewRoutes(cfg)
	return &given{routes: routes, release: text}, err
}

// routesConfig is how routes are kept in FRR of a release. end has the dialect
// looked for anew.
func (p *Port) routesConfig(release string, end context.CancelCauseFunc) (zapi.RoutesConfig, error) {
	dialect, err := zapi.DialectFor(release)
	if err != nil {
		return zapi.RoutesConfig{}, fmt.Errorf("zebra's release is not known: %w", err)
	}
	return zapi.RoutesConfig{
		Config: zapi.Config{
			Path: p.cfg.Path, Dialect: dialect, Proto: zapi.RouteTable, Instance: p.cfg.Instance, Dial: p.dial,
			Malformed: func(err error) { p.cfg.Log.Warn("a message of zebra was not understood", "err", err) },
		},
		Changed: func(c zapi.Change) { p.in.put(c) },
		Link: func(up bool, why error) {
			p.in.put(standing{up: up, why: describe(why), absent: absent(why)})
			var shake *zapi.HandshakeError
			if errors.As(why, &shake) {
				end(why) // perhaps another release answers there now
			}
		},
	}, nil
}

// describe puts the end of a session into words.
func describe(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
