package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"github.com/srrd/srrd/sidecar/internal/address"
	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/ospf"
	"github.com/srrd/srrd/sidecar/internal/primitive"
	"github.com/srrd/srrd/sidecar/internal/shell"
	"github.com/srrd/srrd/sidecar/internal/state"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/zebra"
	"github.com/srrd/srrd/vty"
)

// Options are what the command line says.
type Options struct {
	Config  string // path of srrd.yaml
	Version string
	Log     *slog.Logger
	Level   *slog.LevelVar // of Log, set from the configuration; nil: not
	// Reload and Stop are the signals, as channels: a second Stop ends at once.
	Reload, Stop <-chan os.Signal
	// Upgrade has srrd re-execute itself with what is at Binary.
	Upgrade <-chan os.Signal
	Binary  string
	// Handover is what the srrd before has left in this process; nil: there was
	// none. See Inherited.
	Handover *os.File
}

// daemon is srrd, put together.
type daemon struct {
	opt     Options
	log     *slog.Logger
	config  atomic.Pointer[config.Config]
	service atomic.Pointer[map[string]setting]
	targets primitive.Targets
	owner   *owner
	board   *view.Board
	router  *vty.Router
	ospf    *ospf.Port
	zebra   *zebra.Port
	address *address.Port
	prims   *primitive.Port
	writer  *state.Writer
	shell   net.Listener
	lock    *os.File
	reloads chan reload
	// prepare has ospfd announce what the services in force need announced.
	prepare func(context.Context) error
	reexecs chan reexecution
	drains  chan drain
	// askSignals and askConfigure ask those goroutines whether a signal that
	// they have taken waits to be told to the machine.
	askSignals, askConfigure chan chan<- bool
	webSecret                atomic.Pointer[[32]byte] // of the pages' forms
	// taken is what the srrd before has left; nil: this one begins.
	taken *carried
	// leftover are addresses that bear our mark from an earlier life; final
	// before the ports run.
	leftover []netip.Addr
}

// setting is what ports need of a service. Those of services that have left
// the configuration are kept, since stopping them needs their primitives.
type setting struct {
	config.Service
	addresses []netip.Addr
	grace     time.Duration
	gone      bool
}

// Run is srrd from its start to its end.
func Run(ctx context.Context, opt Options) error {
	c, err := load(opt)
	if err != nil {
		return err
	}
	d := &daemon{opt: opt, log: opt.Log, board: view.NewBoard(), reloads: make(chan reload), reexecs: make(chan reexecution), drains: make(chan drain),
		askSignals: make(chan chan<- bool), askConfigure: make(chan chan<- bool)}
	d.adopt(c)
	if opt.Handover != nil {
		return d.takeOver(ctx, c)
	}
	// Who may use srrsh has to get to its socket, whose mode says who that is.
	for dir, mode := range map[string]os.FileMode{c.Daemon.StateDir: 0o750, c.Daemon.RunDir: 0o755} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return fmt.Errorf("making a directory of srrd: %w", err)
		}
	}
	if d.lock, err = lock(filepath.Join(c.Daemon.RunDir, "srrd.lock")); err != nil {
		return err
	}
	defer d.lock.Close() // unlocks
	mem, warning := state.Load(c.Daemon.StateDir)
	if warning != nil {
		d.log.Warn("the memory of earlier lives is not used", "err", warning)
	}
	orphans := d.endOrphans(ctx, c)
	marks, problems := primitive.Marks(c.Daemon.RunDir)
	for _, p := range problems {
		d.log.Warn("a mark of an earlier life is damaged", "err", p)
	}
	return d.run(ctx, c, mem, primitive.WithOrphans(marks, orphans))
}

// endOrphans ends the primitives that outlived a srrd that was killed, before
// anything is asked or adopted: what they do would be done behind our back.
func (d *daemon) endOrphans(ctx context.Context, c *config.Config) []primitive.Orphan {
	orphans, problems := primitive.EndOrphans(ctx, c.Daemon.RunDir)
	for _, p := range problems {
		d.log.Warn("what an earlier life left running is not all known", "err", p)
	}
	for _, o := range orphans {
		if o.Err != nil {
			d.log.Error(o.String()+" and goes on: the service may still run", "service", o.Service, "err", o.Err)
			continue
		}
		d.log.Warn(o.String()+": killed", "service", o.Service)
	}
	return orphans
}

func (d *daemon) run(ctx context.Context, c *config.Config, mem machine.Memory, marks []machine.Mark) error {
	d.owner = newOwner(machine.New(mem, marks), d.board, d.log)
	if err := d.open(c); err != nil {
		return err
	}
	return d.serve(ctx, c, func(ctx context.Context) {
		d.clean(ctx, marks)
		d.owner.emit(machine.Configured{Config: c.Machine})
	})
}

// serve runs everything to its end; begin is called when the owner takes
// events, before the ports do anything.
func (d *daemon) serve(ctx context.Context, c *config.Config, begin func(context.Context)) error {
	defer d.close()
	g, ctx := errgroup.WithContext(ctx)
	// What the owner knew last is written too: the writer ends after it.
	writing, written := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error {
		defer written()
		return d.owner.run(ctx)
	})
	begin(ctx)
	g.Go(func() error { return d.address.Run(ctx) })
	g.Go(func() error { return d.prims.Run(ctx) })
	g.Go(func() error { return d.zebra.Run(ctx) })
	g.Go(func() error { return d.ospf.Run(ctx) })
	g.Go(func() error { return d.writer.Run(writing) })
	g.Go(func() error { return d.serveShell(ctx) })
	g.Go(func() error { return d.serveWeb(ctx) })
	g.Go(func() error { return d.signals(ctx) })
	g.Go(func() error { return d.configure(ctx) })
	g.Go(func() error { return d.watchdog(ctx) })
	g.Go(func() error { return d.reexecute(ctx) })
	g.Go(func() error { return d.slim(ctx) })
	d.log.Info("srrd runs", "version", d.opt.Version, "services", len(c.Machine.Services), "socket", c.Daemon.Shell.Socket)
	notify(sd.SdNotifyReady)
	err := g.Wait()
	if errors.Is(err, errExit) {
		return nil
	}
	return err
}

// clean removes what an earlier life left on the node and remembers whose that
// was: ospfd may still announce it.
func (d *daemon) clean(ctx context.Context, marks []machine.Mark) {
	var err error
	if d.leftover, err = d.address.Leftovers(ctx); err != nil {
		d.log.Warn("what an earlier life left is not known", "err", err)
	}
	if err := d.address.Clean(ctx, d.adoptable(marks)); err != nil {
		d.log.Warn("what an earlier life left was not all removed", "err", err)
	}
}

// close releases what open took, also where it did not come to its end.
func (d *daemon) close() {
	if d.shell != nil {
		_ = d.shell.Close() // the server has closed it already
	}
	if d.address != nil {
		d.address.Close()
	}
	_ = d.router.Close() // never fails
}

// open makes the ports; nothing runs yet.
func (d *daemon) open(c *config.Config) (err error) {
	d.router = vty.NewRouter(dialer(c.Daemon.FRR))
	d.router.Observe(func(to vty.Daemon, took time.Duration, err error) { d.owner.metrics.VTY(string(to), took, err) })
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	f := &frr{router: d.router, config: d.config.Load, log: d.log}
	if d.address, err = d.openAddress(c, d.taken); err != nil {
		return err
	}
	if d.prims, err = d.openPrimitives(c, d.taken); err != nil {
		return err
	}
	if d.zebra, err = d.openZebra(c, f, d.taken); err != nil {
		return err
	}
	if d.ospf, err = d.openOSPF(c, f, d.taken); err != nil {
		return err
	}
	d.prepare = d.address.Prepare
	d.writer = state.NewWriter(c.Daemon.StateDir, d.owner.saved(c.Daemon.StateDir))
	d.owner.save, d.owner.saver = d.writer.Save, d.writer.Ready()
	d.owner.mirror = d.ospf.Snapshot
	d.owner.hear = d.zebra.Hear
	d.owner.ports = []port{d.address, d.zebra, d.prims, d.ospf}
	if d.taken != nil {
		d.shell, err = vty.Adopt(os.NewFile(uintptr(d.taken.Shell), "socket of srrsh"), c.Daemon.Shell.Socket)
	} else {
		d.shell, err = vty.Listen(c.Daemon.Shell.Socket, c.Daemon.Shell.Mode, groupID(c.Daemon.Shell.Group))
	}
	if err != nil {
		return fmt.Errorf("socket of srrsh: %w", err)
	}
	return nil
}

// groupID is the number of a group, -1 if there is none of the name.
func groupID(name string) int {
	g, err := user.LookupGroup(name)
	if err != nil {
		return -1
	}
	id, err := strconv.Atoi(g.Gid)
	if err != nil {
		return -1
	}
	return id
}

func (d *daemon) openAddress(c *config.Config, taken *carried) (*address.Port, error) {
	cfg := address.Config{
		Emit: d.owner.emit, Setting: d.addressSetting, Services: d.addressServices, Table: c.Daemon.FRR.Table, VTY: d.router,
		StateFile: filepath.Join(c.Daemon.StateDir, "frr.json"), Log: d.owner.say,
	}
	if taken != nil {
		return address.Resume(cfg, taken.Address)
	}
	return address.New(cfg)
}

func (d *daemon) openPrimitives(c *config.Config, taken *carried) (*primitive.Port, error) {
	cfg := primitive.Config{Emit: d.owner.emit, Dirs: d.primitiveSetting, RunDir: c.Daemon.RunDir, StateDir: c.Daemon.StateDir, Log: d.log, Targets: &d.targets,
		MaxChecks: func() int { return d.config.Load().Daemon.MaxChecks }}
	if taken != nil {
		return primitive.Resume(cfg, taken.Primitives)
	}
	return primitive.New(cfg), nil
}

func (d *daemon) openZebra(c *config.Config, f *frr, taken *carried) (*zebra.Port, error) {
	cfg := zebra.Config{Path: c.Daemon.FRR.Zserv, Instance: c.Daemon.FRR.Table, Version: f.release, Local: d.isLocal, Addresses: d.announceable,
		Refresh: func() { d.ospf.Resync() }, Forget: d.address.Forget, Sweep: zebra.SweepKernel, Dispel: zebra.DispelPhantom,
		Gone: f.noZebra, Kernel: f.kernelRoutes, Emit: d.owner.emit, Log: d.log}
	if taken == nil {
		return zebra.New(cfg), nil
	}
	var conn net.Conn
	if taken.ZebraConn >= 0 {
		var err error
		if conn, err = connOf[net.Conn](taken.ZebraConn, "connection to zebra"); err != nil {
			return nil, err
		}
	}
	return zebra.Resume(cfg, taken.Zebra, conn)
}

func (d *daemon) openOSPF(c *config.Config, f *frr, taken *carried) (*ospf.Port, error) {
	cfg := ospf.Config{
		Server: c.Daemon.FRR.OSPFAPI, PortFirst: c.Daemon.FRR.APIPorts.First, PortLast: c.Daemon.FRR.APIPorts.Last,
		Emit: d.owner.emit, Check: f.check, Prepare: d.address.Prepare, Keys: d.keys, Log: d.log,
	}
	if taken == nil {
		return ospf.New(cfg), nil
	}
	var both [2]*net.TCPConn
	for i, fd := range []int{taken.OSPFSync, taken.OSPFAsync} {
		if fd >= 0 {
			var err error
			if both[i], err = connOf[*net.TCPConn](fd, "connection to ospfd"); err != nil {
				return nil, err
			}
		}
	}
	return ospf.Resume(cfg, taken.OSPF, both[0], both[1])
}

// adoptable are the addresses of services that an earlier life left running.
func (d *daemon) adoptable(marks []machine.Mark) []netip.Addr {
	var keep []netip.Addr
	for _, m := range marks {
		if s, ok := (*d.service.Load())[m.Service]; ok {
			keep = append(keep, s.addresses...)
		}
	}
	return keep
}

// adopt makes c the configuration the ports look things up in.
func (d *daemon) adopt(c *config.Config) {
	all := map[string]setting{}
	if old := d.service.Load(); old != nil {
		for name, s := range *old {
			s.gone = true
			all[name] = s
		}
	}
	for _, m := range c.Machine.Services {
		all[m.Name] = setting{Service: c.Services[m.Name], addresses: m.Addresses, grace: m.Grace}
	}
	d.service.Store(&all)
	d.config.Store(c)
	if d.opt.Level != nil {
		d.opt.Level.Set(level(c.Daemon.Log))
	}
}

// level is the least that is logged; the configuration has checked the word.
func level(word string) slog.Level {
	switch word {
	case "debug":
		return slog.LevelDebug
	case "warning":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

func (d *daemon) primitiveSetting(name string) (primitive.Setting, bool) {
	s, ok := (*d.service.Load())[name]
	return primitive.Setting{Dir: s.Dir, Env: s.Env, User: s.User, PIDFile: s.PIDFile, Unit: s.Unit, Grace: s.grace}, ok
}

// keys are those of the configuration in force.
func (d *daemon) keys() advert.Keyring { return d.config.Load().Daemon.Authentication.Ring }

func (d *daemon) addressSetting(name string) (address.Setting, bool) {
	s, ok := (*d.service.Load())[name]
	return s.address(), ok
}

func (s setting) address() address.Setting {
	a := address.Setting{Way: s.Way, Device: s.Device, Area: s.Area}
	if s.Driver == config.DriverVTY {
		a.Driver = address.DriverVTY
	}
	if s.Announce == config.AnnounceRedistribute {
		a.Announce = address.AnnounceRedistribute
	}
	return a
}

func (d *daemon) addressServices() []address.Service {
	var all []address.Service
	for name, s := range *d.service.Load() {
		if !s.gone && len(s.addresses) > 0 {
			all = append(all, address.Service{Name: name, Addresses: s.addresses, Setting: s.address()})
		}
	}
	slices.SortFunc(all, func(a, b address.Service) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func (d *daemon) isLocal(name string) bool {
	s, ok := (*d.service.Load())[name]
	return ok && s.Way == machine.WayLocal
}

// announceable are the addresses that the port to zebra has to do with: those
// of services of way local, and those that an earlier life left and nobody is
// configured for any more.
func (d *daemon) announceable() []netip.Addr {
	var all []netip.Addr
	owned := map[netip.Addr]bool{}
	for _, s := range *d.service.Load() {
		for _, a := range s.addresses {
			owned[a] = owned[a] || !s.gone
			if s.Way == machine.WayLocal {
				all = append(all, a)
			}
		}
	}
	for _, a := range d.leftover {
		if !owned[a] {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// signals ends srrd in order at the first Stop, and at once at the second,
// whatever hangs.
func (d *daemon) signals(ctx context.Context) error {
	var inbox chan<- machine.Event
	stopping := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case inbox <- machine.Shutdown{}:
			inbox = nil
		case answer := <-d.askSignals:
			answer <- inbox != nil
		case s := <-d.opt.Stop:
			if stopping {
				return fmt.Errorf("second signal (%s): ended without stopping the services in order", s)
			}
			stopping = true
			d.log.Info("stopping the services in order; a second signal ends srrd at once", "signal", s)
			notify(sd.SdNotifyStopping)
			inbox = d.owner.inbox
		}
	}
}

// serveShell answers srrsh.
func (d *daemon) serveShell(ctx context.Context) error {
	sh := &shell.Shell{Deps: d}
	s := &vty.Server{Log: d.log, MaxClients: min(mostClients, guests()), Handler: func(ctx context.Context, r *vty.Request) vty.Status {
		ctx = context.WithValue(ctx, clientKey{}, r.Client)
		return vty.Status(sh.Exec(ctx, caller(r.Client), r.Command, r))
	}}
	return s.Serve(ctx, d.shell)
}

// caller is how log and events name who typed a command.
func caller(c *vty.Client) string {
	if c.Peer == nil {
		return "somebody"
	}
	if u, err := user.LookupId(strconv.Itoa(int(c.Peer.UID))); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", c.Peer.UID)
}
