package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/srrd/srrd/vty"
)

// operator says something to a node's srrd, and something else to end it. A
// node may refuse (the target of a move is no candidate, srrd is down), which
// is its right; the end is said until it is taken.
func (r *run) operator(ctx context.Context, a *Applied, command, node, back string) (mend, error) {
	if out, err := r.srrsh(ctx, node, command); err != nil {
		a.Note = fmt.Sprintf("%s: %v", strings.TrimSpace(out), err)
	}
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, startPatience)
		defer cancel()
		return r.lab.Wait(ctx, func() error {
			_, err := r.srrsh(ctx, node, back)
			var said *vty.StatusError
			if errors.As(err, &said) {
				return nil // there is nothing to end
			}
			return err
		})
	}, nil
}

// config changes a line of a service's file on one node and reloads.
func (r *run) config(ctx context.Context, a *Applied, node, name string) (mend, error) {
	path := filepath.Join(r.lab.Vars(node).ServicesDir, name+".yaml")
	was, err := os.ReadFile(path)
	if err != nil {
		return none, err
	}
	put := func(text []byte) error {
		if err := os.WriteFile(path+".new", text, 0o644); err != nil {
			return err
		}
		return os.Rename(path+".new", path)
	}
	if err := put(append(slices.Clone(was), a.Arg+"\n"...)); err != nil {
		return none, err
	}
	if _, err := r.srrsh(ctx, node, "reload"); err != nil {
		a.Note = err.Error()
	}
	return func(ctx context.Context) error {
		if err := put(was); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, startPatience)
		defer cancel()
		return r.lab.Wait(ctx, func() error { _, err := r.srrsh(ctx, node, "reload"); return err })
	}, nil
}

// process kills a service's process where it runs.
func (r *run) process(a *Applied) error {
	for _, n := range r.world.nodes {
		pid := r.serviceProcess(n, a.Target)
		if pid == 0 {
			continue
		}
		a.Note = "on " + n
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		return nil
	}
	a.Note = "it runs nowhere"
	return nil
}

// serviceProcess is the process of a service on a node, 0 if there is none.
func (r *run) serviceProcess(node, name string) int {
	pidfile := filepath.Join(r.lab.Vars(node).RunDir, name+".pid")
	text, err := os.ReadFile(pidfile)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(line), "\x00serve\x00"+name+"\x00") {
		return 0
	}
	return pid
}

// primitive makes one of a service's primitives on a node go wrong.
func (r *run) primitive(a *Applied, node, name string) (mend, error) {
	p, how, _ := strings.Cut(a.Arg, " ")
	path := filepath.Join(r.lab.Vars(node).Dir, "hook", name+"."+p)
	script := ""
	switch how {
	case "fails":
		script = "echo 'chaos says no'; exit 1\n"
	case "hangs":
		script = "sleep 60 & child=$!; wait\n"
	case "recalls":
		script = "echo Result: recall; echo Recall: 0.5; exit 75\n"
	case "is slow":
		script = "sleep 1.5 & wait\n"
	}
	if err := os.WriteFile(path+".new", []byte(script), 0o644); err != nil {
		return none, err
	}
	return func(context.Context) error {
		err := os.Remove(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}, os.Rename(path+".new", path)
}
