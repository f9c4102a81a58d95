package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/srrd/srrd/sidecar/internal/address"
	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/ospf"
	"github.com/srrd/srrd/sidecar/internal/primitive"
	"github.com/srrd/srrd/sidecar/internal/zebra"
	"github.com/srrd/srrd/vty"
)

// Cleanup says how thorough `srrd cleanup` is to be.
type Cleanup struct {
	DryRun bool
	// Stop runs the stop primitives of services that an earlier life left
	// running. Without it they are left to the next start, which adopts them.
	Stop bool
	Out  io.Writer // what was found and done, a line each
}

// ErrLeft is the error of a Cleanup that had to leave something.
var ErrLeft = errors.New("not everything was removed")

// How long each part may take: FRR may hang, and systemd waits.
const (
	frrPatience  = 5 * time.Second
	stopPatience = 10 * time.Second // beyond a service's own timeout
)

// cleaner is one `srrd cleanup`.
type cleaner struct {
	Cleanup
	d       *daemon
	c       *config.Config
	log     *slog.Logger
	address *address.Port
	left    []error
}

// CleanUp removes what an earlier life of srrd left on this node, as a start of
// srrd does, for a node on which none is to be started: kernel routes and
// addresses of our protocol number, table and label, statements noted as ours
// in FRR's configuration, LSAs of type 222 under our router id, routes a dead
// zebra left, sockets, and first of all primitives that go on though their srrd
// was killed. It refuses while srrd runs.
func CleanUp(ctx context.Context, c *config.Config, o Cleanup) error {
	locked, err := lock(filepath.Join(c.Daemon.RunDir, "srrd.lock"))
	switch {
	case errors.Is(err, fs.ErrNotExist): // no directory, no srrd
	case err != nil:
		return err
	default:
		defer locked.Close() // closing it unlocks
	}
	log := slog.New(slog.DiscardHandler)
	k := &cleaner{Cleanup: o, c: c, log: log, d: &daemon{log: log}}
	k.d.adopt(c)
	k.d.router = vty.NewRouter(dialer(c.Daemon.FRR))
	defer k.d.router.Close()
	k.address, err = address.New(address.Config{
		Emit: func(machine.Event) {}, Setting: k.d.addressSetting, Services: func() []address.Service { return nil }, VTY: k.d.router,
		StateFile: filepath.Join(c.Daemon.StateDir, "frr.json"), Log: func(n machine.Note) { k.say("%s", n.Text) },
	})
	if err != nil {
		return err
	}
	defer k.address.Close()
	marks := k.stopped(ctx)
	f := &frr{router: k.d.router, config: k.d.config.Load, log: log}
	_, deaf := f.check(ctx) // a connection to an ospfd that is not ready can end it
	if deaf != nil {
		k.say("ospfd cannot be asked; what its neighbours still have of this node ends when it returns, or within the hour, "+
			"and lines that were saved are removed by a cleanup then: %s", deaf)
	}
	k.addresses(ctx, marks, deaf == nil)
	if deaf == nil {
		k.lsas(ctx, f)
	}
	k.files()
	if len(k.left) > 0 {
		return fmt.Errorf("%w:\n%w", ErrLeft, errors.Join(k.left...))
	}
	return nil
}

func (k *cleaner) say(format string, args ...any) { fmt.Fprintf(k.Out, format+"\n", args...) }

func (k *cleaner) fail(err error) {
	if err != nil {
		k.left = append(k.left, err)
	}
}

// stopped stops the services that may run here, if that is wanted, and gives
// those that may still.
func (k *cleaner) stopped(ctx context.Context) []machine.Mark {
	orphans := k.orphans(ctx)
	var marks []machine.Mark
	if k.DryRun { // reading them removes those of an earlier boot
		names, err := filepath.Glob(filepath.Join(k.c.Daemon.RunDir, "marks", "*.json"))
		k.fail(err)
		for _, n := range names {
			marks = append(marks, machine.Mark{Service: strings.TrimSuffix(filepath.Base(n), ".json")})
		}
	} else {
		var problems []error
		marks, problems = primitive.Marks(k.c.Daemon.RunDir)
		for _, p := range problems {
			k.fail(p)
		}
		marks = primitive.WithOrphans(marks, orphans)
	}
	switch {
	case len(marks) == 0:
		return nil
	case !k.Stop:
		for _, m := range marks {
			k.say("service %s may run here: it and its addresses are left to the next start of srrd (cleanup --stop stops it)", m.Service)
		}
		return marks
	case k.DryRun:
		for _, m := range marks {
			k.say("would run the stop primitive of service %s, which may run here", m.Service)
		}
		return nil
	}
	return k.stop(ctx, marks)
}

// orphans ends the primitives that outlived a srrd that was killed.
func (k *cleaner) orphans(ctx context.Context) []primitive.Orphan {
	if k.DryRun {
		found, problems := primitive.Orphans(k.c.Daemon.RunDir)
		k.fail(errors.Join(problems...))
		for _, o := range found {
			k.say("%s: would kill it", o)
		}
		return nil
	}
	found, problems := primitive.EndOrphans(ctx, k.c.Daemon.RunDir)
	k.fail(errors.Join(problems...))
	for _, o := range found {
		if o.Err != nil {
			k.fail(fmt.Errorf("%s and goes on: %w", o, o.Err))
			continue
		}
		k.say("%s: killed", o)
	}
	return found
}

// stop runs the stop primitives, dependents before what they depend on, and
// gives those that did not stop.
func (k *cleaner) stop(ctx context.Context, marks []machine.Mark) (still []machine.Mark) {
	done := make(chan machine.PrimitiveDone, 1)
	prims := primitive.New(primitive.Config{Emit: func(e machine.Event) {
		if e, ok := e.(machine.PrimitiveDone); ok {
			done <- e
		}
	}, Dirs: k.d.primitiveSetting, RunDir: k.c.Daemon.RunDir, StateDir: k.c.Daemon.StateDir, Log: k.log, MaxChecks: func() int { return 0 }})
	ctx, cancel := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return prims.Run(ctx) })
	for i, m := range k.inOrder(marks) {
		s, known := k.service(m.Service)
		if !known {
			k.fail(fmt.Errorf("service %s may run here and is not configured any more: stop it by hand, and then remove %s", m.Service, k.mark(m)))
			still = append(still, m)
			continue
		}
		env := machine.PrimitiveEnv{Group: s.Group, Node: k.c.Machine.Host, Addresses: s.Addresses, Claim: m.Claim}
		prims.Do(machine.RunPrimitive{Service: s.Name, Primitive: machine.PrimStop, Run: uint64(i + 1), Timeout: s.Timeout[machine.PrimStop], Env: env})
		if err := awaitStop(ctx, done, s.Timeout[machine.PrimStop]+stopPatience); err != nil {
			k.fail(fmt.Errorf("service %s may still run: stop: %w", s.Name, err))
			still = append(still, m)
			continue
		}
		if err := os.Remove(k.mark(m)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			k.fail(err)
		}
		k.say("service %s: stopped", s.Name)
	}
	cancel()
	k.fail(g.Wait())
	return still
}

// mark is where it is noted that a service may run.
func (k *cleaner) mark(m machine.Mark) string {
	return filepath.Join(k.c.Daemon.RunDir, "marks", m.Service+".json")
}

func awaitStop(ctx context.Context, done <-chan machine.PrimitiveDone, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case e := <-done:
		if e.Outcome != machine.OutcomeDone {
			return fmt.Errorf("%s %s", e.Outcome, e.Text)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (k *cleaner) service(name string) (machine.Service, bool) {
	for _, s := range k.c.Machine.Services {
		if s.Name == name {
			return s, true
		}
	}
	return machine.Service{}, false
}

// inOrder has dependents before what they depend on.
func (k *cleaner) inOrder(marks []machine.Mark) []machine.Mark {
	var depth func(name string) int
	depth = func(name string) int { // the configuration has no circles
		s, _ := k.service(name)
		d := 0
		for _, on := range s.Dependencies {
			d = max(d, 1+depth(on))
		}
		return d
	}
	marks = slices.Clone(marks)
	slices.SortStableFunc(marks, func(a, b machine.Mark) int { return depth(b.Service) - depth(a.Service) })
	return marks
}

// addresses removes addresses and routes, and the statements in FRR that
// announce them.
func (k *cleaner) addresses(ctx context.Context, marks []machine.Mark, ospfd bool) {
	keep := k.d.adoptable(marks)
	found, err := k.address.Leftovers(ctx)
	k.fail(err)
	if k.DryRun {
		for _, a := range found {
			if !slices.Contains(keep, a) {
				k.say("would remove address %s", a)
			}
		}
		for _, line := range k.address.Noted() {
			k.say("would remove `%s` from FRR's configuration", line)
		}
		return
	}
	k.fail(k.address.Clean(ctx, keep))
	if ospfd && len(k.address.Noted()) > 0 {
		k.fail(k.prepare(ctx))
	}
	// A zebra that lives has withdrawn what srrd told it when srrd ended.
	if conn, err := net.DialTimeout("unix", k.c.Daemon.FRR.Zserv, time.Second); err == nil {
		_ = conn.Close() // nothing was said
		return
	}
	all := slices.Concat(found, k.d.announceable())
	all = slices.DeleteFunc(all, func(a netip.Addr) bool { return slices.Contains(keep, a) })
	k.fail(zebra.SweepKernel(all))
}

// prepare has the address port remove its statements in ospfd.
func (k *cleaner) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, frrPatience)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return k.address.Run(ctx) })
	err := k.address.Prepare(ctx)
	cancel()
	return errors.Join(err, g.Wait())
}

// lsas deletes the LSAs of type 222 that stand under our router id, if there is
// an ospfd to ask: it has deleted those of a client that died, but not what a
// neighbour gave back to a restarted one.
func (k *cleaner) lsas(ctx context.Context, f *frr) {
	ctx, cancel := context.WithTimeout(ctx, frrPatience)
	defer cancel()
	events := make(chan machine.Event)
	port := ospf.New(ospf.Config{
		Server: k.c.Daemon.FRR.OSPFAPI, PortFirst: k.c.Daemon.FRR.APIPorts.First, PortLast: k.c.Daemon.FRR.APIPorts.Last, Check: f.check, Log: k.log,
		Emit: func(e machine.Event) {
			select {
			case events <- e:
			case <-ctx.Done():
			}
		},
	})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return port.Run(ctx) })
	k.fail(k.deleteOwn(ctx, port, events))
	cancel()
	k.fail(g.Wait())
}

func (k *cleaner) deleteOwn(ctx context.Context, port *ospf.Port, events <-chan machine.Event) error {
	var self machine.RouterID
	own := map[machine.LSARef]bool{}
	synced := false
	for !synced || len(own) > 0 {
		var e machine.Event
		select {
		case e = <-events:
		case <-ctx.Done():
			return fmt.Errorf("ospfd did not tell, or delete, all LSAs of this node within %s", frrPatience)
		}
		switch e := e.(type) {
		case machine.OSPFUp:
			self = e.Router
		case machine.OSPFDown:
			return fmt.Errorf("LSAs of this node: %s", e.Why)
		case machine.LSASeen:
			if e.Router == self {
				own[e.Ref] = true
			}
		case machine.LSAGone:
			if e.Router == self && own[e.Ref] {
				k.say("removed LSA %s", e.Ref)
				delete(own, e.Ref)
			}
		case machine.Synced:
			synced = true
			for ref := range own {
				if k.DryRun {
					k.say("would remove LSA %s", ref)
					delete(own, ref)
					continue
				}
				port.Do(machine.Flush{Ref: ref})
			}
		}
	}
	return nil
}

// files removes the socket of srrsh. Nobody listens at it: we hold the lock.
func (k *cleaner) files() {
	path := k.c.Daemon.Shell.Socket
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		k.fail(err)
		return
	case st.Mode().Type() != fs.ModeSocket:
		return
	case k.DryRun:
		k.say("would remove %s", path)
		return
	}
	if err := os.Remove(path); err != nil {
		k.fail(err)
		return
	}
	k.say("removed %s", path)
}
