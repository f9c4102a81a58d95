package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/deploy/lab"
)

// Reset is the power switch of the lab, which a fence primitive presses: what
// srrd of a host has started is killed, srrd too, the host's journal tells of it, and
// the run starts srrd again. One at a time, so that of two nodes that want to switch
// each other off one does, and the other one no longer runs.
func Reset(l *lab.Lab, host string) error {
	dir := l.Vars(host).Dir
	release, err := holdSwitch(dir)
	if err != nil {
		return err
	}
	defer release()
	// First: whoever presses may lose its power at any time.
	if err := os.WriteFile(filepath.Join(dir, bootFile), nil, 0o644); err != nil {
		return err
	}
	if err := l.Reset(host); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%d %s - %s %s 0 0 -\n", time.Now().UnixNano(), host, isReset, ends)
	return errors.Join(err, f.Close())
}

// holdSwitch keeps others from the power switch of the lab that a host's
// directory is in.
func holdSwitch(dir string) (release func(), err error) {
	lock, err := os.OpenFile(filepath.Join(filepath.Dir(dir), "switch"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		lock.Close()
		return nil, fmt.Errorf("switch of the lab: %w", err)
	}
	return func() { lock.Close() }, nil
}

// takeBoot takes the word that a host is to boot again, once it is so old. A
// reset that comes later leaves another one.
func takeBoot(dir string, age time.Duration) (bool, error) {
	release, err := holdSwitch(dir)
	if err != nil {
		return false, err
	}
	defer release()
	path := filepath.Join(dir, bootFile)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && time.Since(info.ModTime()) < age {
		return false, nil
	}
	return err == nil, errors.Join(err, os.Remove(path))
}

// bootFile is in the directory of a host that was reset.
const bootFile = "boot"

// bootTakes is how long a host that was reset is away: less than a real one, and
// long enough for the others to go on without it.
const bootTakes = 3 * time.Second

// boots starts srrd of hosts that were reset.
func (r *run) boots(ctx context.Context) {
	look := time.NewTicker(250 * time.Millisecond)
	defer look.Stop()
	for {
		over := ctx.Err() != nil
		for _, n := range r.world.nodes {
			dir, age := r.lab.Vars(n).Dir, bootTakes
			if over {
				age = 0
			}
			due, err := takeBoot(dir, age)
			if err != nil {
				r.trouble("boot of %s after a fence: %v", n, err)
			}
			if !due {
				continue
			}
			err = r.bootAfterFence(ctx, n)
			switch {
			case err == nil:
			case isOff(dir):
				r.say("  %s was fenced again while it booted", n)
			default:
				r.trouble("boot of %s after a fence: %v", n, err)
			}
		}
		if over {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
		}
	}
}

// bootAfterFence starts srrd of a host that was reset; a fault that ended srrd too
// has it started when it is mended.
func (r *run) bootAfterFence(ctx context.Context, host string) error {
	defer r.booting(host)()
	pid, err := r.lab.PID(host, "srrd")
	if err != nil || pid != 0 || r.ended(host) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startPatience)
	defer cancel()
	defer r.note(host, "srrd here") // also where a fault had frozen it
	return r.lab.Start(ctx, host, "srrd")
}

// boot starts what does not run on a host. Whoever fences it while its srrd starts
// ends that: then it is off for a while, and started again.
func (r *run) boot(ctx context.Context, host string) error {
	dir := r.lab.Vars(host).Dir
	once := func() error {
		defer r.booting(host)()
		return r.lab.Boot(ctx, host)
	}
	for {
		err := once()
		if err == nil || !isOff(dir) {
			return err
		}
		r.say("  %s was fenced while it booted", host)
		if err := r.lab.Wait(ctx, func() error {
			if isOff(dir) {
				return fmt.Errorf("%s was fenced, and is still off", host)
			}
			return nil
		}); err != nil {
			return err
		}
	}
}

// isOff reports whether the host of that directory was reset and is to boot again.
func isOff(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, bootFile))
	return err == nil
}

// booting keeps others from starting what runs on a host.
func (r *run) booting(host string) (done func()) {
	r.mu.Lock()
	m := r.starts[host]
	if m == nil {
		if r.starts == nil {
			r.starts = map[string]*sync.Mutex{}
		}
		m = &sync.Mutex{}
		r.starts[host] = m
	}
	r.mu.Unlock()
	m.Lock()
	return m.Unlock
}

// ended reports whether a fault that is not mended yet has ended srrd of a node, and
// has it started when it is. One that froze it has not.
func (r *run) ended(node string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.evidence.Applied, func(a Applied) bool {
		return a.Target == node && a.Mended.IsZero() && (a.Kind == "reboot" || a.Kind == "daemons" && strings.Contains(a.Arg, "srrd") && !strings.HasPrefix(a.Arg, "STOP"))
	})
}

// power lets a host lose its power: its processes, its kernel's state, its
// cables.
func (r *run) power(a *Applied) (mend, error) {
	a.Broken = []string{a.Target}
	node := slices.Contains(r.world.nodes, a.Target)
	errs := []error{r.lab.Cut(a.Target, lab.Carrier), r.lab.Crash(a.Target)}
	if node {
		r.note(a.Target, "reboot")
	}
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, startPatience)
		defer cancel()
		return errors.Join(r.lab.Heal(a.Target), r.boot(ctx, a.Target))
	}, errors.Join(errs...)
}
