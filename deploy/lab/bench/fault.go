package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/srrd/srrd/deploy/lab"
	"github.com/srrd/srrd/vty"
)

// errNotThere is what a fault says that this srrd does not know.
var errNotThere = errors.New("not there")

// now is the moment of the fault: whoever does it calls it right before.
func (r *run) now() {
	if r.began.IsZero() { // later it is healing
		r.began = time.Now()
	}
}

// signal sends a signal to daemons of the node, all within microseconds, and does
// not wait for their end: an orderly one takes its time.
func (r *run) signal(sig syscall.Signal, names ...string) error {
	pids := make([]int, len(names))
	for i, name := range names {
		pid, err := r.c.lab.PID(r.holder, name)
		if err != nil {
			return err
		}
		if pid == 0 {
			return fmt.Errorf("%s on %s does not run", name, r.holder)
		}
		pids[i] = pid
	}
	r.now()
	for i, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil {
			return fmt.Errorf("%s on %s: %w", names[i], r.holder, err)
		}
	}
	return nil
}

// outlast waits until no answer to a datagram sent so far could count any more:
// what a frozen node answers once it is thawed is lost.
func (r *run) outlast(ctx context.Context) error {
	select {
	case <-time.After(grace):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start waits for the end of daemons that were told to, and starts them again.
func (r *run) start(ctx context.Context, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, name := range names {
		err := r.c.lab.Wait(ctx, func() error {
			pid, err := r.c.lab.PID(r.holder, name)
			if err == nil && pid != 0 {
				err = fmt.Errorf("%s on %s has not ended", name, r.holder)
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := r.c.lab.Start(ctx, r.holder, name); err != nil {
			return err
		}
	}
	return nil
}

func cut(how lab.Cut) func(context.Context, *run) error {
	return func(_ context.Context, r *run) error {
		r.now()
		return r.c.lab.Cut(r.holder, how)
	}
}

func mend(_ context.Context, r *run) error { return r.c.lab.Heal(r.holder) }

// move asks the node that has the services to give them to the next one.
func move(ctx context.Context, r *run) error {
	at := slices.Index(r.c.nodes, r.holder)
	to := r.c.nodes[(at+1)%len(r.c.nodes)]
	name := r.c.set.names[0] // a group moves as one
	r.now()
	_, err := r.c.ask(ctx, r.holder, "service "+name+" move "+to)
	return err
}

// unmove makes all nodes equal again; any of them can. Where the move has not come
// about, nobody may have taken the services.
func unmove(ctx context.Context, r *run) error {
	_, err := r.c.ask(ctx, cmp.Or(r.to, r.holder), "service "+r.c.set.names[0]+" unmove")
	return err
}

func killAnswerer(_ context.Context, r *run) error { return r.signal(syscall.SIGKILL, "answer") }

// reviveAnswerer starts the process again, and has srrd believe in it.
func reviveAnswerer(ctx context.Context, r *run) error {
	if err := r.start(ctx, "answer"); err != nil {
		return err
	}
	_, err := r.c.ask(ctx, r.holder, "service "+r.c.set.names[0]+" reactivate")
	return err
}

func reexec(ctx context.Context, r *run) error {
	// A session of its own: on one that turned out to be old it would be said twice.
	if s := r.c.sessions[r.holder]; s != nil {
		s.Close()
		delete(r.c.sessions, r.holder)
	}
	pid, err := r.c.lab.PID(r.holder, "srrd")
	if err != nil {
		return err
	}
	r.noted["process"] = strconv.Itoa(pid)
	r.now()
	text, err := r.c.ask(ctx, r.holder, "daemon reexec")
	var refused *vty.StatusError
	if errors.As(err, &refused) && refused.Status == vty.StatusNoMatch {
		return fmt.Errorf("srrsh daemon reexec: %w", errNotThere)
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(text))
	}
	return nil
}

// database is what a router's ospfd has of opaque and external LSAs: a line for
// each, without its age.
func (r *run) database() (map[string]string, error) {
	host := r.c.lab.Topology().Routers[0].Name
	text, err := r.c.lab.VTY(host, "ospfd", "show ip ospf database")
	if err != nil {
		return nil, err
	}
	out, section := map[string]string{}, ""
	for _, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		switch {
		case strings.Contains(line, "Link States"):
			section = strings.TrimSpace(line)
		case len(f) >= 5 && strings.Count(f[0], ".") == 3:
			out[section+" "+f[0]+" "+f[1]] = f[3] + " " + f[4] // sequence number, checksum
		}
	}
	return out, nil
}

func noteDatabase(_ context.Context, r *run) (err error) {
	r.noted, err = r.database()
	return err
}

// sameDatabase holds that no LSA is new or another. One that is not there any
// more was an old generation, which is deleted after 15 s in any case.
func sameDatabase(_ context.Context, r *run) error {
	pid, err := r.c.lab.PID(r.holder, "srrd")
	if err != nil {
		return err
	}
	if was := r.noted["process"]; was != strconv.Itoa(pid) {
		return fmt.Errorf("srrd is process %d, was %s: it has not gone on, it was started again", pid, was)
	}
	now, err := r.database()
	if err != nil {
		return err
	}
	var changed []string
	for key, v := range now {
		if r.noted[key] != v {
			changed = append(changed, fmt.Sprintf("%s: %s, was %q", key, v, r.noted[key]))
		}
	}
	if len(changed) > 0 {
		slices.Sort(changed)
		return fmt.Errorf("LSAs changed: %s", strings.Join(changed, "; "))
	}
	return nil
}
