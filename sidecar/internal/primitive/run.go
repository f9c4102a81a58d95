package primitive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Grace is how long a run has between SIGTERM and SIGKILL.
const Grace = 500 * time.Millisecond

// command is what a primitive of a service is run with, unless its recipe needs
// no make. Other kinds than make (units, agents) will be other functions of this
// form.
func command(dir string, p machine.Primitive) []string {
	return []string{"make", "-s", "-C", dir, p.String()}
}

// run carries out one RunPrimitive to its end.
func (p *Port) run(ctx context.Context, j *job) machine.PrimitiveDone {
	a := j.run
	done := machine.PrimitiveDone{Service: a.Service, Run: a.Run}
	began := time.Now()
	done.Outcome, done.Recall, done.Text = p.execute(ctx, j)
	done.Took = time.Since(began)
	return done
}

func (p *Port) execute(ctx context.Context, j *job) (machine.Outcome, time.Duration, string) {
	a := j.run
	set, ok := p.config.Dirs(a.Service)
	if !ok {
		return machine.OutcomeUnknown, 0, fmt.Sprintf("%s was not run: service %s is not configured", a.Primitive, a.Service)
	}
	if err := p.markErr(a.Service); err != nil && a.Primitive == machine.PrimStart {
		return machine.OutcomeFailed, 0, fmt.Sprintf("start was not tried: %s", err)
	}
	who, err := identify(set.User)
	if err != nil {
		return machine.OutcomeUnknown, 0, fmt.Sprintf("%s was not run: %s", a.Primitive, err)
	}
	env := p.environment(*a, set, who)
	line, ignore, direct := "", false, false
	if known := p.config.Targets; known != nil {
		if line, ignore, direct = known.Plain(set.Dir, set.User, a.Primitive, env); !direct {
			// Beside the run, and for the next one.
			p.group.Go(func() error {
				known.Refresh(ctx, set.Dir, set.User)
				return nil
			})
		}
	}
	if direct && line == "" {
		return machine.OutcomeDone, 0, ""
	}
	argv := command(set.Dir, a.Primitive)
	if direct {
		argv, env = []string{"/bin/sh", "-c", line}, asShell(env)
	}
	if p.drop {
		argv = without(argv)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = env
	if direct {
		cmd.Dir = set.Dir
	}
	// A group of its own, to be signalled as one. No Pdeathsig: what a
	// primitive started outlives srrd.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: who.cred}
	out, err := newOutput(p.config.RunDir, a.Service, a.Primitive.String())
	if err != nil {
		// A full /run is no reason not to stop a service.
		p.config.Log.Warn("output of a primitive is lost", "service", a.Service, "primitive", a.Primitive.String(), "err", err)
	} else {
		cmd.Stdout, cmd.Stderr = out.f, out.f
		if c := who.cred; c != nil { // so that /dev/stderr can be opened
			if err := out.f.Chown(int(c.Uid), int(c.Gid)); err != nil {
				p.config.Log.Warn("output of a primitive is not its user's", "service", a.Service, "primitive", a.Primitive.String(), "err", err)
			}
		}
		defer p.keep(a.Service, out)
	}
	if err := cmd.Start(); err != nil {
		return machine.OutcomeUnknown, 0, fmt.Sprintf("%s was not run: %s", a.Primitive, err)
	}
	why := p.wait(ctx, cmd.Process.Pid, a.Timeout, j.cancel, out)
	// The process is a zombie until here, so its number was still its group's.
	waitErr := cmd.Wait()
	var text []byte
	if out != nil {
		if text, err = out.content(); err != nil {
			text = []byte("output not readable: " + err.Error())
		}
	}
	s := read(text)
	switch why {
	case endTimeout:
		return machine.OutcomeTimeout, 0, withLast(fmt.Sprintf("%s timed out after %s", a.Primitive, a.Timeout), s)
	case endCancelled:
		return machine.OutcomeCancelled, 0, withLast(fmt.Sprintf("%s was cancelled", a.Primitive), s)
	case endItself:
	}
	var exit *exec.ExitError
	if waitErr != nil && !errors.As(waitErr, &exit) {
		return machine.OutcomeUnknown, 0, fmt.Sprintf("%s: %s", a.Primitive, waitErr)
	}
	how := howEnded(cmd.ProcessState)
	if direct {
		how = how.asMake(ignore)
	}
	return outcome(a.Primitive, s, how)
}

func howEnded(st *os.ProcessState) ended {
	if w, ok := st.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return ended{status: -1, signal: unix.SignalName(w.Signal())}
	}
	return ended{status: st.ExitCode()}
}

func withLast(what string, s said) string {
	if s.last == "" {
		return what
	}
	return cut(what+", last said: "+s.last, MaxText)
}

// end is why a run ended.
type end uint8

const (
	endItself end = iota
	endTimeout
	endCancelled
)

// wait returns when the process has ended, by itself or because its time was
// over or its cancellation asked for; it is left to be reaped.
func (p *Port) wait(ctx context.Context, pid int, timeout time.Duration, cancel <-chan struct{}, out *output) end {
	exited := make(chan struct{})
	p.group.Go(func() error {
		waitExit(pid)
		close(exited)
		return nil
	})
	var punch <-chan time.Time
	if out != nil {
		t := time.NewTicker(punchEvery)
		defer t.Stop()
		punch = t.C
	}
	var over <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		over = t.C
	}
	why := endItself
	var kill <-chan time.Time
	stop := ctx.Done()
	terminate := func(w end) {
		why, over, cancel, stop = w, nil, nil, nil
		_ = unix.Kill(-pid, unix.SIGTERM)
		t := time.NewTimer(Grace)
		kill = t.C
	}
	for {
		select {
		case <-exited:
			if why != endItself {
				// make waits for its recipe; what is left of the group now
				// was put in the background and is part of what is ended.
				_ = unix.Kill(-pid, unix.SIGKILL)
			}
			return why
		case <-punch:
			out.punch()
		case <-over:
			terminate(endTimeout)
		case <-cancel:
			terminate(endCancelled)
		case <-stop:
			terminate(endCancelled)
		case <-kill:
			_ = unix.Kill(-pid, unix.SIGKILL)
		}
	}
}

// waitExit waits for the end of a child without reaping it: so long its
// process group can be signalled without hitting a stranger.
func waitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// environment is what a primitive sees: the SRRD_ variables, those of the
// configuration, and a plain PATH, HOME and LANG, whatever srrd's own are.
func (p *Port) environment(a machine.RunPrimitive, set Setting, who identity) []string {
	addrs := make([]string, len(a.Env.Addresses))
	for i, ip := range a.Env.Addresses {
		addrs[i] = ip.String()
	}
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8", "SHELL=/bin/sh",
	}
	env = append(append(env, who.environ()...), set.Env...)
	env = append(env,
		"SRRD_SERVICE="+a.Service,
		"SRRD_GROUP="+a.Env.Group,
		"SRRD_NODE="+a.Env.Node,
		"SRRD_ADDRESSES="+strings.Join(addrs, " "),
		fmt.Sprintf("SRRD_CLAIM=%d", uint64(a.Env.Claim)),
		"SRRD_PEERS="+strings.Join(a.Env.Peers, " "),
		"SRRD_PEER="+a.Env.Peer,
		"SRRD_FAILURE="+harmless(a.Env.Failure),
		"SRRD_STATE_DIR="+p.config.StateDir,
	)
	// Of two values the later counts, for all who read it.
	seen := map[string]bool{}
	var last []string
	for _, e := range slices.Backward(env) {
		if k, _, _ := strings.Cut(e, "="); !seen[k] {
			seen[k] = true
			last = append(last, e)
		}
	}
	slices.Reverse(last)
	return last
}

// harmless makes a text safe to stand anywhere in a recipe. make expands what
// it takes from the environment, so $(SRRD_FAILURE) in a Makefile would run the
// $(shell ...) or the `; rm` that a program under attack was made to print.
// Everything else srrd sets are names, addresses and numbers.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), strings.ContainsRune(" .,:/-_+=@%", r):
			return r
		}
		return '_'
	}, s)
}
