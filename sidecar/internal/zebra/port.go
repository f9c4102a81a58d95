package zebra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
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
	// Sweep removes what a dead zebra left in the kernel; nil does nothing. See
	// SweepKernel.
	Sweep func([]netip.Addr) error
	Emit  func(machine.Event) // it may block
	Log   *slog.Logger
}

// Port is the port to zebra. Use New.
type Port struct {
	cfg  Config
	in   *queue
	dial func(context.Context, string) (net.Conn, error) // nil: a unix socket
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
	if cfg.Sweep == nil {
		cfg.Sweep = func([]netip.Addr) error { return nil }
	}
	return &Port{cfg: cfg, in: newQueue()}
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
	// standing of the session with zebra.
	standing struct {
		up  bool
		why string
		// absent: nobody listens on zebra's socket.
		absent bool
	}
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
	g.Go(func() error { newLoop(&p.cfg).run(ctx, p.in); return nil })
	g.Go(func() error { p.sessions(ctx); return nil })
	return g.Wait()
}

// again is the wait before zebra's release is asked for once more.
const again = 500 * time.Millisecond

// sessions finds the dialect and keeps the routes; a zebra of another release,
// after an upgrade, is spoken to in another dialect.
func (p *Port) sessions(ctx context.Context) {
	for ctx.Err() == nil {
		if why := p.keep(ctx); ctx.Err() == nil {
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
func (p *Port) keep(ctx context.Context) error {
	text, err := p.cfg.Version(ctx)
	if err != nil {
		return fmt.Errorf("zebra's release is not known: %w", err)
	}
	dialect, err := zapi.DialectFor(text)
	if err != nil {
		return fmt.Errorf("zebra's release is not known: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	routes, err := zapi.NewRoutes(zapi.RoutesConfig{
		Config: zapi.Config{
			Path: p.cfg.Path, Dialect: dialect, Proto: zapi.RouteTable, Instance: p.cfg.Instance, Dial: p.dial,
			Malformed: func(err error) { p.cfg.Log.Warn("a message of zebra was not understood", "err", err) },
		},
		Changed: func(c zapi.Change) { p.in.put(c) },
		Link: func(up bool, why error) {
			p.in.put(standing{up: up, why: describe(why), absent: absent(why)})
			var shake *zapi.HandshakeError
			if errors.As(why, &shake) {
				cancel(why) // perhaps another release answers there now
			}
		},
	})
	if err != nil {
		return err
	}
	p.in.put(keeping{routes})
	defer p.in.put(keeping{})
	return routes.Run(ctx)
}

// describe puts the end of a session into words.
func describe(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
