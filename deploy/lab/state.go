package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// state is what lab.json holds: all that another process needs to use the lab
// or to clean up after this one.
type state struct {
	Name     string    `json:"name"`
	Phase    phase     `json:"phase"`
	Owner    proc      `json:"owner"` // zero: detached
	Topology *Topology `json:"topology"`
	Dir      string    `json:"topology_dir"`
	Options  Options   `json:"options"`
	Daemons  []*daemon `json:"daemons"`
	// Releases is the FRR of each host that runs one.
	Releases map[string]Release `json:"releases"`
	Faults   map[string]*Fault  `json:"faults"` // HOST:IFACE -> what is wrong with it
}

type phase string

const (
	building phase = "building"
	up       phase = "up"
)

// daemon is one process of a host and how to start it.
type daemon struct {
	Host  string   `json:"host"`
	Name  string   `json:"name"`
	Argv  []string `json:"argv"`
	Env   []string `json:"env,omitempty"`
	Ready string   `json:"ready,omitempty"` // path that must exist
	VTY   string   `json:"vty,omitempty"`   // VTY socket that must answer
	FRR   bool     `json:"frr,omitempty"`
	Proc  proc     `json:"proc"`
}

func (s *state) daemon(host, name string) (*daemon, error) {
	have := ""
	for _, d := range s.Daemons {
		if d.Host != host {
			continue
		}
		if d.Name == name {
			return d, nil
		}
		have += " " + d.Name
	}
	if have == "" {
		return nil, fmt.Errorf("host %s: no such host, or it has no daemons", host)
	}
	return nil, fmt.Errorf("host %s: no daemon %q; it has%s", host, name, have)
}

// lockDir takes the advisory lock on a directory; it ends with the process
// that holds it, however that ends.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

func statePath(dir string) string { return filepath.Join(dir, "lab.json") }

func readState(dir string) (*state, error) {
	b, err := os.ReadFile(statePath(dir))
	if err != nil {
		return nil, err
	}
	s := &state{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", statePath(dir), err)
	}
	if s.Topology == nil {
		return nil, fmt.Errorf("%s: no topology in it", statePath(dir))
	}
	s.Topology.dir = s.Dir
	return s, nil
}

// write replaces the file at once. It is not synced: a machine that goes down
// takes the namespaces with it.
func (s *state) write(dir string) error {
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return fmt.Errorf("lab state: %w", err)
	}
	tmp := statePath(dir) + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("lab state: %w", err)
	}
	return os.Rename(tmp, statePath(dir))
}

// update changes the state under the lock, as other processes see it too.
func (l *Lab) update(f func(*state) error) error {
	l.mu.Lock() // flock does not exclude our own other goroutines' later steps
	defer l.mu.Unlock()
	unlock, err := lockDir(l.dir)
	if err != nil {
		return l.wrap(err)
	}
	defer unlock()
	s, err := readState(l.dir)
	if err != nil {
		return l.wrap(err)
	}
	if err := f(s); err != nil {
		return err
	}
	return l.wrap(s.write(l.dir))
}

// view reads the state.
func (l *Lab) view() (*state, error) {
	s, err := readState(l.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("lab %s: not up", l.name)
	}
	return s, l.wrap(err)
}

func (l *Lab) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("lab %s: %w", l.name, err)
}

// inUse says why the lab of this state must not be swept away, or nil.
func (s *state) inUse() error {
	self, err := identify(os.Getpid())
	if err != nil {
		return err
	}
	switch {
	case s.Owner == self:
		return fmt.Errorf("lab %s: this process has it up already", s.Name)
	case s.Owner.PID != 0 && s.Owner.state() != procDead:
		return fmt.Errorf("lab %s: in use by process %d", s.Name, s.Owner.PID)
	case s.Owner.PID != 0:
		return nil // its owner is gone
	}
	alive := len(s.Daemons) == 0 && nsInode(s.Name+"-"+wireHost) != 0
	for _, d := range s.Daemons {
		alive = alive || d.Proc.state() != procDead
	}
	if alive {
		return fmt.Errorf("lab %s: already up (end it with: srrlab down %s)", s.Name, s.Name)
	}
	return nil
}

// isLab reports whether a directory below a base is a lab's: it has the state
// file, or is still empty. Nothing else is ever removed.
func isLab(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if e.Name() == filepath.Base(statePath(dir)) {
			return true
		}
	}
	return len(entries) == 0
}

// sweep kills everything in the lab's namespaces, removes them and the
// directory. It needs no readable state: the host directories name the hosts.
func sweep(base, name string) error {
	dir := filepath.Join(base, name)
	spaces := map[string]bool{name + "-" + wireHost: true}
	if s, err := readState(dir); err == nil {
		for _, h := range s.Topology.All() {
			spaces[name+"-"+h.Name] = true
		}
		endGently(s)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "hosts")); err == nil {
		for _, e := range entries {
			spaces[name+"-"+e.Name()] = true
		}
	}
	inodes := map[uint64]bool{}
	for ns := range spaces {
		if ino := nsInode(ns); ino != 0 {
			inodes[ino] = true
		}
	}
	var errs []error
	for range 10 { // a process killed while forking leaves a child: look again
		pids := pidsIn(inodes)
		if len(pids) == 0 {
			break
		}
		for _, pid := range pids {
			p, err := identify(pid)
			if err != nil {
				continue // gone meanwhile
			}
			if err := p.end(syscall.SIGKILL, killTimeout); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for ns := range spaces {
		if err := delNS(ns); err != nil {
			errs = append(errs, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// endGently gives daemons that are not FRR's the chance to end by themselves.
func endGently(s *state) {
	for i := len(s.Daemons) - 1; i >= 0; i-- {
		if d := s.Daemons[i]; !d.FRR && d.Proc.state() == procRunning {
			_ = d.Proc.end(syscall.SIGTERM, termTimeout) // what stays is killed next
		}
	}
}

// Prune removes the labs below base (default /run/srrlab) whose owner is gone,
// and half-made ones, and returns their names. Labs left up on purpose
// (Options.Detach) are not touched.
func Prune(base string) ([]string, error) {
	base = baseOr(base)
	entries, err := os.ReadDir(base)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	unlock, err := lockDir(base)
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	defer unlock()
	var done []string
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || !isLab(filepath.Join(base, e.Name())) {
			continue
		}
		s, err := readState(filepath.Join(base, e.Name()))
		if err == nil && (s.inUse() != nil || (s.Owner.PID == 0 && s.Phase == up)) {
			continue
		}
		if err := sweep(base, e.Name()); err != nil {
			errs = append(errs, fmt.Errorf("lab %s: %w", e.Name(), err))
			continue
		}
		done = append(done, e.Name())
	}
	return done, errors.Join(errs...)
}

// List returns the names of the labs below base.
func List(base string) ([]string, error) {
	entries, err := os.ReadDir(baseOr(base))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list labs: %w", err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && isLab(filepath.Join(baseOr(base), e.Name())) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// Remove ends a lab, whoever made it, and removes all of it. It works on one
// whose state cannot be read, too.
func Remove(base, name string) error {
	if !nameRE.MatchString(name) {
		return fmt.Errorf("lab name %q: not a lab's name", name)
	}
	base = baseOr(base)
	if !isLab(filepath.Join(base, name)) {
		return fmt.Errorf("lab %s: not up", name)
	}
	l := &Lab{name: name, base: base, dir: filepath.Join(base, name)}
	return l.Down()
}
