package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"

	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/shell"
	"github.com/srrd/srrd/sidecar/internal/web"
	"github.com/srrd/srrd/vty"
)

// serveWeb serves the pages. They are a face: a port that is taken or a
// certificate that cannot be read is said, and the cluster goes on.
func (d *daemon) serveWeb(ctx context.Context) error {
	err := d.pages(ctx)
	if err != nil {
		d.owner.say(machine.Note{Level: machine.LevelError, Text: "no pages are served: " + err.Error()})
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case dr := <-d.drains:
			dr.got <- nil // there is nothing to drain
		}
	}
}

func (d *daemon) pages(ctx context.Context) error {
	c := d.config.Load().Daemon
	cfg := d.webConfig(c)
	if d.taken != nil {
		cfg.Secret = d.taken.Secret
	}
	s, err := web.New(cfg)
	if err != nil {
		return err
	}
	secret := s.Secret()
	d.webSecret.Store(&secret)
	l, err := d.listenWeb(ctx, s)
	if err != nil {
		return err
	}
	d.log.Info("pages are served", "address", c.Web.Listen)
	for {
		again, err := d.pagesUntil(ctx, s, l)
		if err != nil || again == nil {
			return err
		}
		l = again
	}
}

func (d *daemon) listenWeb(ctx context.Context, s *web.Server) (net.Listener, error) {
	if d.taken == nil || d.taken.Web < 0 {
		return s.Listen(ctx)
	}
	f := os.NewFile(uintptr(d.taken.Web), "listening socket of the pages")
	defer f.Close() // FileListener has its own
	return net.FileListener(f)
}

// drain asks for the pages to answer what is under way and accept no more. Who
// connects meanwhile waits in the listening socket's queue.
type drain struct {
	got  chan<- *os.File // has room: the listening socket, nil if no pages are served
	free <-chan struct{} // closed: the pages are served again
}

// pagesUntil serves the pages until ctx ends, nil then, or until they have been
// drained and are to be served again.
func (d *daemon) pagesUntil(ctx context.Context, s *web.Server, l net.Listener) (net.Listener, error) {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	var g errgroup.Group
	g.Go(func() error { ended <- s.Run(serving, l); return nil })
	var dr drain
	select {
	case err := <-ended:
		return nil, err
	case dr = <-d.drains:
	}
	var f *os.File
	t, ok := l.(*net.TCPListener)
	if ok {
		var err error
		if f, err = t.File(); err != nil {
			ok = false
		}
	}
	stop()
	if err := <-ended; err != nil {
		d.log.Warn("the pages were not drained in order", "err", err)
	}
	if !ok {
		dr.got <- nil
		return s.Listen(ctx)
	}
	defer f.Close()
	dr.got <- f
	select {
	case <-dr.free:
		return net.FileListener(f)
	case <-ctx.Done():
		return nil, nil
	}
}

// drained are the pages while srrd is about to be replaced.
type drained struct {
	file *os.File // nil: there are none
	free chan<- struct{}
}

func (d *daemon) drainWeb(ctx context.Context) (drained, error) {
	got, free := make(chan *os.File, 1), make(chan struct{})
	select {
	case d.drains <- drain{got, free}:
	case <-ctx.Done():
		return drained{}, context.Cause(ctx)
	}
	select {
	case f := <-got:
		return drained{f, free}, nil
	case <-ctx.Done():
		return drained{}, context.Cause(ctx)
	}
}

func (d *daemon) webConfig(c config.Daemon) web.Config {
	w := web.Config{Listen: c.Web.Listen, Deps: webDeps{d}, Files: &serviceFiles{path: d.opt.Config, current: d.config.Load, targets: &d.targets}, Log: d.log, Local: localPerson(c.Shell.Group), Metrics: d.owner.metrics.Handler(), Connections: guests()}
	w.Shell = &web.Shell{Errand: errand, Exec: func(ctx context.Context, who, line string, out io.Writer) bool {
		return (&shell.Shell{Deps: d}).Exec(ctx, who, line, out) == shell.StatusSuccess
	}}
	for _, doc := range shell.Commands() {
		w.Commands = append(w.Commands, web.Command(doc))
	}
	if c.Web.Certificate != "" {
		w.TLS = &web.TLS{Certificate: c.Web.Certificate, Key: c.Web.Key, Clients: c.Web.Clients, Roles: map[string]web.Role{}}
		roles := map[string]web.Role{web.Viewer.String(): web.Viewer, web.Operator.String(): web.Operator, web.Admin.String(): web.Admin}
		for subject, role := range c.Web.Roles {
			w.TLS.Roles[subject] = roles[role]
		}
	}
	return w
}

// errand says of a line of the shell who may have it carried out from another
// node: whoever may do the same on the pages.
func errand(line string) web.Errand {
	e := shell.ErrandOf(line)
	to := web.Errand{Line: e.Line, Service: e.Service, Daemon: e.Daemon, Command: e.Command, Least: web.Admin}
	switch e.Duty {
	case shell.DutyLook, shell.DutyNone:
		to.Looks, to.Least = true, web.Viewer
	case shell.DutyAct:
		to.Least = web.Operator
	case shell.DutyClient:
		to.Client, to.Least = true, web.Viewer
	case shell.DutyRule, shell.DutyRoute:
	}
	return to
}

// webDeps is the daemon as the pages need it.
type webDeps struct{ *daemon }

// Configure gives a routing daemon lines of configuration.
func (d webDeps) Configure(ctx context.Context, name string, lines []string) error {
	class := vty.ClassOSPF
	if name == "zebra" {
		class = vty.ClassAddress
	}
	return d.router.Configure(ctx, class, lines...)
}

// Shutdown stops the services in order and then srrd.
func (d webDeps) Shutdown(context.Context) error {
	d.owner.emit(machine.Shutdown{})
	return nil
}

// localPerson tells who owns the other end of a connection over loopback: the
// kernel knows the user of every socket. Who may use the socket of srrsh may
// do everything here too; everybody else may look.
func localPerson(group string) func(local, remote netip.AddrPort) (web.Person, error) {
	return func(local, remote netip.AddrPort) (web.Person, error) {
		// The socket at the other end has our addresses the other way round.
		s, err := netlink.SocketGet(net.TCPAddrFromAddrPort(remote), net.TCPAddrFromAddrPort(local))
		if err != nil {
			return web.Person{}, fmt.Errorf("whose connection it is: %w", err)
		}
		// The kernel says uid 0 of a socket that its program has closed, and the
		// ports alone may match one of another address.
		if s.State != netlink.TCP_ESTABLISHED || !s.ID.Source.Equal(remote.Addr().AsSlice()) || !s.ID.Destination.Equal(local.Addr().AsSlice()) {
			return web.Person{}, errors.New("whose connection it is: its other end is closing")
		}
		uid := strconv.FormatUint(uint64(s.UID), 10)
		p := web.Person{Name: "uid " + uid, Role: web.Viewer}
		if s.UID == 0 {
			p.Role = web.Admin
		}
		u, err := user.LookupId(uid)
		if err != nil {
			return p, nil // a user without a name is a user
		}
		p.Name = u.Username
		if g, err := user.LookupGroup(group); err == nil {
			if ids, err := u.GroupIds(); err == nil && slices.Contains(ids, g.Gid) {
				p.Role = web.Admin
			}
		}
		return p, nil
	}
}
