package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/primitive"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/vty"
)

// What the shell needs of the daemon (shell.Deps).

// Read gives a snapshot of now.
func (d *daemon) Read(ctx context.Context) (*view.Snapshot, error) { return d.board.Read(ctx) }

// Ask sends a command to the owner and waits for its answer.
func (d *daemon) Ask(ctx context.Context, c machine.Command) (string, error) {
	return d.owner.ask(ctx, c)
}

// VTY runs a command of a routing daemon.
func (d *daemon) VTY(ctx context.Context, name, command string) (string, error) {
	return d.router.Exec(ctx, vty.Daemon(name), command)
}

// reload is a request to the goroutine that changes the configuration.
type reload struct{ answer chan<- reloaded } // it has room

type reloaded struct {
	text string
	err  error
}

// configure is the one goroutine that changes the configuration.
func (d *daemon) configure(ctx context.Context) error {
	if d.taken == nil { // else the srrd before has told
		d.lacks(ctx, d.config.Load())
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case answer := <-d.askConfigure:
			answer <- false
		case r := <-d.reloads:
			text, err := d.reload(ctx)
			r.answer <- reloaded{text, err}
		case <-d.opt.Reload:
			if text, err := d.reload(ctx); err != nil {
				d.log.Error("the configuration was not reloaded, the old one stays", "err", err)
			} else {
				d.log.Info("configuration reloaded", "result", text)
			}
		}
	}
}

// Reload reads the configuration again. It is checked whole before anything
// changes, and refused if it cannot be taken over by a running srrd.
func (d *daemon) Reload(ctx context.Context) (string, error) {
	answer := make(chan reloaded, 1)
	select {
	case d.reloads <- reload{answer}:
	case <-d.owner.done:
		return "", view.ErrClosed
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	select {
	case r := <-answer:
		return r.text, r.err
	case <-d.owner.done:
		return "", view.ErrClosed
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func (d *daemon) reload(ctx context.Context) (string, error) {
	c, changes, err := d.changes()
	if err != nil {
		return "", err
	}
	var lines, restart []string
	for _, ch := range changes {
		lines = append(lines, ch.String())
		if ch.Restart {
			restart = append(restart, ch.Key)
		}
	}
	if len(restart) > 0 {
		return "", fmt.Errorf("a running srrd cannot change %s: restart it", strings.Join(restart, ", "))
	}
	if len(changes) == 0 {
		return "nothing has changed", nil
	}
	before := d.keys()
	d.adopt(c)
	d.prepareAgain(ctx)
	d.owner.emit(machine.Configured{Config: c.Machine})
	if !before.Equal(d.keys()) {
		d.ospf.Rekey()
	}
	for _, p := range d.lacks(ctx, c) {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n"), nil
}

// prepareAgain sets what ospfd must be told for the services of a new
// configuration: the first service of way local needs `redistribute table N`, and
// a session with ospfd that stands already was prepared without it.
func (d *daemon) prepareAgain(ctx context.Context) {
	if d.prepare == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := d.prepare(ctx); err != nil { // without ospfd: the next session begins with it
		d.log.Warn("what the new configuration needs of ospfd was not all set", "err", err)
	}
}

// Plan tells what a Reload would change.
func (d *daemon) Plan(context.Context) (string, error) {
	_, changes, err := d.changes()
	if err != nil {
		return "", err
	}
	if len(changes) == 0 {
		return "nothing would change", nil
	}
	var lines []string
	for _, ch := range changes {
		lines = append(lines, ch.String())
	}
	return strings.Join(lines, "\n"), nil
}

// changes compares the files with the configuration in force.
func (d *daemon) changes() (*config.Config, []config.Change, error) {
	c, err := load(d.opt)
	if err != nil {
		return nil, nil, err
	}
	return c, config.Diff(d.config.Load(), c), nil
}

// Config gives the configuration in force.
func (d *daemon) Config(context.Context) (string, error) { return d.config.Load().Dump(), nil }

// load reads and validates the configuration.
func load(opt Options) (*config.Config, error) {
	c, err := config.Load(opt.Config)
	if err != nil {
		return nil, err
	}
	c.Machine.Version = opt.Version
	return c, nil
}

// CheckDirs finds what the primitives' directories lack, with its place in the
// configuration.
func CheckDirs(ctx context.Context, c *config.Config, targets *primitive.Targets) config.Problems {
	var all config.Problems
	for _, m := range c.Machine.Services {
		s := c.Services[m.Name]
		var more []machine.Primitive
		if m.Fence {
			more = append(more, machine.PrimFence)
		}
		if err := primitive.CheckUser(s.User); err != nil {
			all = append(all, s.UserProblem(err.Error()))
			continue // nobody is there to read its Makefile
		}
		if err := targets.Validate(ctx, m.Name, s.Dir, s.User, more...); err != nil {
			all = append(all, s.DirProblem(err.Error()))
		}
	}
	return all
}

// lacks tells people what services' directories lack. It is no reason not to
// run the others.
func (d *daemon) lacks(ctx context.Context, c *config.Config) config.Problems {
	all := CheckDirs(ctx, c, &d.targets)
	for _, p := range all {
		d.owner.say(machine.Note{Level: machine.LevelError, Text: p.Error()})
	}
	return all
}

// decodeOpaque puts our own LSAs into words.
func decodeOpaque(opaqueType uint8, body []byte) (string, bool) {
	if opaqueType != advert.OpaqueType {
		return "", false
	}
	return advert.Describe(body), true
}

// lock keeps a second srrd from the same directory.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("lock of srrd: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another srrd runs with %s", path)
		}
		return nil, fmt.Errorf("lock of srrd %s: %w", path, err)
	}
	return f, nil // closing it unlocks
}
