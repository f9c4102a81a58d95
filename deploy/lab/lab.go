package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	defaultBase = "/run/srrlab"
	defaultFRR  = "/usr/lib/frr"
	// wireHost is the name of the namespace of the cables, reserved.
	wireHost = "wire"
	// UpTimeout bounds Up where the context has no deadline.
	UpTimeout   = 2 * time.Minute
	killTimeout = 20 * time.Second
	termTimeout = 3 * time.Second
	// startWidth is how many hosts start at a time.
	startWidth = 4
)

func baseOr(base string) string {
	if base == "" {
		return defaultBase
	}
	return base
}

// Lab is a lab that is up.
type Lab struct {
	name  string
	base  string
	dir   string
	topo  *Topology
	opts  Options
	ports []port
	log   *slog.Logger
	// releases is the FRR of each host that runs one.
	releases map[string]Release

	mu      sync.Mutex     // with the directory's lock: one state change at a time
	reapers sync.WaitGroup // one for each child, until it ends
}

// Name returns the lab's name.
func (l *Lab) Name() string { return l.name }

// Dir returns the lab's directory, BASE/NAME.
func (l *Lab) Dir() string { return l.dir }

// Topology returns the topology, defaults filled in. It is not to be changed.
func (l *Lab) Topology() *Topology { return l.topo }

// Namespace returns the name of a host's network namespace, for `ip netns`.
func (l *Lab) Namespace(host string) string { return l.ns(host) }

func (l *Lab) ns(host string) string { return l.name + "-" + host }
func (l *Lab) wireNS() string        { return l.ns(wireHost) }

func (l *Lab) hostDir(host string) string { return filepath.Join(l.dir, "hosts", host) }

func (l *Lab) memberAddr(p port) netip.Prefix {
	for _, s := range l.topo.Segments() {
		if s.Name != p.Segment {
			continue
		}
		for _, m := range s.Members {
			if m.Host == p.Host && m.Iface == p.Iface {
				return m.Address
			}
		}
	}
	return netip.Prefix{}
}

// Address returns the address of a host's interface; with iface "", that of
// its first. Invalid if there is none.
func (l *Lab) Address(host, iface string) netip.Addr {
	for _, p := range l.ports {
		if p.Host == host && (iface == "" || p.Iface == iface) {
			return l.memberAddr(p).Addr()
		}
	}
	return netip.Addr{}
}

// Vars returns what the templates of a host can name.
func (l *Lab) Vars(host string) Vars {
	dir := l.hostDir(host)
	v := Vars{
		Lab: l.name, Host: host, Dir: dir,
		RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"),
		LogDir: filepath.Join(dir, "log"), ServicesDir: filepath.Join(dir, "services.d"),
		SrrdConfig: filepath.Join(dir, "srrd.yaml"), SrrdSocket: filepath.Join(dir, "run", "srrd.vty"),
		VtyDir: filepath.Join(dir, "frr"), ZservPath: filepath.Join(dir, "frr", "zserv.api"),
		OSPFAPI: "127.0.0.1:" + strconv.Itoa(ospfAPIPort),
		Srrd:    l.opts.Binaries.Srrd, Srrsh: l.opts.Binaries.Srrsh, Srrlab: l.opts.Binaries.Srrlab,
		TopologyDir: l.topo.dir, Vars: l.opts.Vars,
	}
	if h := l.topo.Host(host); h != nil {
		v.RouterID = h.RouterID
	}
	return v
}

// Release returns the FRR that a host runs; the zero Release if it runs none.
func (l *Lab) Release(host string) Release { return l.releases[host] }

// versions names the releases that are run.
func (l *Lab) versions() string {
	var out []string
	for _, h := range l.topo.All() {
		if r, ok := l.releases[h.Name]; ok && !slices.Contains(out, r.Version) {
			out = append(out, r.Version)
		}
	}
	return strings.Join(out, " ")
}

func newLab(t *Topology, o Options) *Lab {
	l := &Lab{name: o.Name, base: o.Base, dir: filepath.Join(o.Base, o.Name), topo: t, opts: o, log: o.Log, ports: portsOf(t)}
	if l.log == nil {
		l.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return l
}

// Up builds the topology and starts everything in it. Leftovers of an earlier
// lab of that name whose owner is gone are removed first; one that is in use is
// an error. It waits as WaitConverged does.
func Up(ctx context.Context, t *Topology, o Options) (*Lab, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	o, err := o.resolved(t)
	if err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, UpTimeout)
		defer cancel()
	}
	l := newLab(t, o)
	if err := l.claim(); err != nil {
		return nil, err
	}
	if err := l.build(ctx); err != nil {
		if !o.KeepFailed {
			err = errors.Join(err, l.Down())
		}
		return nil, l.wrap(err)
	}
	return l, nil
}

// claim makes the directory and the first state, so that whatever is created
// from here on can be found.
func (l *Lab) claim() error {
	if err := os.MkdirAll(l.base, 0o755); err != nil {
		return l.wrap(err)
	}
	unlock, err := lockDir(l.base)
	if err != nil {
		return l.wrap(err)
	}
	defer unlock()
	if _, err := os.Stat(l.dir); err == nil {
		if !isLab(l.dir) {
			return fmt.Errorf("lab %s: %s exists and holds no lab", l.name, l.dir)
		}
		if s, err := readState(l.dir); err == nil {
			if err := s.inUse(); err != nil {
				return err
			}
		}
		l.log.Info("removing leftovers of an earlier run", "lab", l.name)
		if err := sweep(l.base, l.name); err != nil {
			return fmt.Errorf("lab %s: leftovers of an earlier run: %w", l.name, err)
		}
	}
	for _, ns := range l.namespaces() {
		if nsInode(ns) != 0 {
			return fmt.Errorf("lab %s: namespace %s exists and is not ours (ip netns del %s removes it)", l.name, ns, ns)
		}
	}
	self, err := identify(os.Getpid())
	if err != nil {
		return l.wrap(err)
	}
	if err := os.Mkdir(l.dir, 0o755); err != nil {
		return l.wrap(err)
	}
	s := &state{Name: l.name, Phase: building, Owner: self, Topology: l.topo, Dir: l.topo.dir,
		Options: l.opts, Faults: map[string]*Fault{}}
	return l.wrap(s.write(l.dir))
}

func (l *Lab) namespaces() []string {
	out := []string{l.wireNS()}
	for _, h := range l.topo.All() {
		out = append(out, l.ns(h.Name))
	}
	return out
}

func (l *Lab) build(ctx context.Context) error {
	if err := l.findReleases(ctx); err != nil {
		return err
	}
	var daemons []*daemon
	for _, h := range l.topo.All() {
		more, err := l.prepare(h)
		if err != nil {
			return err
		}
		daemons = append(daemons, more...)
	}
	if err := l.update(func(s *state) error { s.Daemons, s.Releases = daemons, l.releases; return nil }); err != nil {
		return err
	}
	l.log.Info("building network", "lab", l.name, "hosts", len(l.topo.All()), "segments", len(l.topo.Segments()))
	if err := addNS(l.wireNS(), false); err != nil {
		return err
	}
	for _, h := range l.topo.All() {
		if err := addNS(l.ns(h.Name), h.RunsFRR()); err != nil {
			return err
		}
	}
	if err := l.buildWires(); err != nil {
		return err
	}
	l.log.Info("starting daemons", "lab", l.name, "daemons", len(daemons), "frr", l.versions())
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(startWidth)
	for _, h := range l.topo.All() {
		g.Go(func() error {
			for _, d := range daemons {
				if d.Host != h.Name {
					continue
				}
				if err := l.Start(gctx, d.Host, d.Name); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if !l.opts.NoWait {
		l.log.Info("waiting for OSPF", "lab", l.name)
		if err := l.converge(ctx); err != nil {
			return err
		}
	}
	return l.update(func(s *state) error {
		s.Phase = up
		if l.opts.Detach {
			s.Owner = proc{}
		}
		return nil
	})
}

// Open returns a lab that is up, made by whatever process.
func Open(base, name string) (*Lab, error) {
	base = baseOr(base)
	s, err := readState(filepath.Join(base, name))
	if errors.Is(err, os.ErrNotExist) {
		have, _ := List(base)
		return nil, fmt.Errorf("lab %s: not up (up: %s)", name, strings.Join(have, " "))
	}
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", name, err)
	}
	s.Options.Base, s.Options.Name = base, name
	l := newLab(s.Topology, s.Options)
	l.releases = s.Releases
	return l, nil
}

// Down ends every process in the lab (FRR's by SIGKILL, others by SIGTERM and
// then SIGKILL) and removes namespaces and directory. A lab that is not up is
// no error.
func (l *Lab) Down() error {
	unlock, err := lockDir(l.base)
	if errors.Is(err, os.ErrNotExist) {
		return nil // the last lab's Down removed the base too
	}
	if err != nil {
		return l.wrap(err)
	}
	defer unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := sweep(l.base, l.name); err != nil {
		return l.wrap(err)
	}
	l.reapers.Wait()
	// The last lab takes the base along; with another one there this fails.
	_ = os.Remove(l.base)
	return nil
}
