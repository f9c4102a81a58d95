package primitive

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
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

// running is a run that has begun; plain data but for its output.
type running struct {
	pid   int
	began time.Time
	over  time.Time // when its timeout is over; zero: there is none
	why   end       // it is being ended for another reason than itself
	kill  time.Time // when SIGKILL follows SIGTERM; zero: not
	out   *output   // nil: it could not be kept
	// direct: a recipe that runs without make, which would have ignored its
	// failure if ignore is set.
	direct, ignore bool
}

// run carries out one RunPrimitive to its end.
func (p *Port) run(ctx context.Context, j *job) machine.PrimitiveDone {
	a := j.run
	done := machine.PrimitiveDone{Service: a.Service, Run: a.Run}
	began := time.Now()
	if j.running == nil {
		var ok bool
		if done.Outcome, done.Text, ok = p.begin(ctx, j); !ok {
			done.Took = time.Since(began)
			return done
		}
	}
	r := j.running
	if r.out != nil {
		defer p.keep(a.Service, r.out)
	}
	done.Outcome, done.Recall, done.Text = p.finish(ctx, j, r)
	done.Took = time.Since(r.began)
	return done
}

// begin starts a run. Not ok: it was not begun, with what is to be said of it.
func (p *Port) begin(ctx context.Context, j *job) (why machine.Outcome, text string, ok bool) {
	a := j.run
	set, ok := p.config.Dirs(a.Service)
	if !ok {
		return machine.OutcomeUnknown, fmt.Sprintf("%s was not run: service %s is not configured", a.Primitive, a.Service), false
	}
	if err := p.markErr(a.Service); err != nil && a.Primitive == machine.PrimStart {
		return machine.OutcomeFailed, fmt.Sprintf("start was not tried: %s", err), false
	}
	who, err := identify(set.User)
	if err != nil {
		return machine.OutcomeUnknown, fmt.Sprintf("%s was not run: %s", a.Primitive, err), false
	}
	run, err := runName(a)
	if err != nil { // no reason not to stop a service
		p.unseen(a, err)
	}
	env := p.environment(*a, set, who, run)
	line, ignore, direct := "", false, false
	if known := p.config.Targets; known != nil {
		if line, ignore, direct = known.Plain(set.Dir, set.User, a.Primitive, env); !direct {
			// Beside the run, and for the next one.
			p.group.Go(func() error {
				known.Settle(ctx, set.Dir, set.User)
				return nil
			})
		}
	}
	if direct && line == "" {
		return machine.OutcomeDone, "", false
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
	r := &running{began: time.Now(), direct: direct, ignore: ignore}
	if r.out, err = newOutput(p.config.RunDir, a.Service, a.Primitive.String()); err != nil {
		// A full /run is no reason not to stop a service.
		p.config.Log.Warn("output of a primitive is lost", "service", a.Service, "primitive", a.Primitive.String(), "err", err)
	} else {
		cmd.Stdout, cmd.Stderr = r.out.f, r.out.f
		if c := who.cred; c != nil { // so that /dev/stderr can be opened
			if err := r.out.f.Chown(int(c.Uid), int(c.Gid)); err != nil {
				p.config.Log.Warn("output of a primitive is not its user's", "service", a.Service, "primitive", a.Primitive.String(), "err", err)
			}
		}
	}
	if noted(a.Primitive) && run != "" {
		p.intend(a, run)
	}
	if err := Start(cmd); err != nil {
		if r.out != nil {
			p.keep(a.Service, r.out)
		}
		if noted(a.Primitive) {
			p.unnote(a.Service)
		}
		return machine.OutcomeUnknown, fmt.Sprintf("%s was not run: %s", a.Primitive, err), false
	}
	r.pid = cmd.Process.Pid
	// Waited for by its number, as the srrd that this one may become has to.
	_ = cmd.Process.Release() // never fails on Linux
	if a.Timeout > 0 {
		r.over = r.began.Add(a.Timeout)
	}
	j.running = r
	if noted(a.Primitive) {
		p.note(a, run, r.pid)
	}
	return 0, "", true
}

// Start starts a command with no signal blocked: an srrd that has re-executed
// itself has some blocked, see package daemon, and children inherit that.
func Start(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var none, was unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, &was); err != nil {
		return fmt.Errorf("unblocking signals: %w", err)
	}
	err := cmd.Start()
	if back := unix.PthreadSigmask(unix.SIG_SETMASK, &was, nil); err == nil {
		err = back
	}
	return err
}

// finish waits for the end of a run and says how it was.
func (p *Port) finish(ctx context.Context, j *job, r *running) (machine.Outcome, time.Duration, string) {
	a := j.run
	p.wait(ctx, r, j.cancel)
	// The process is a zombie until here, so its number was still its group's.
	status, waitErr := reap(r.pid)
	var text []byte
	if r.out != nil {
		var err error
		if text, err = r.out.content(); err != nil {
			text = []byte("output not readable: " + err.Error())
		}
	}
	s := read(text)
	switch r.why {
	case endTimeout:
		return machine.OutcomeTimeout, 0, withLast(fmt.Sprintf("%s timed out after %s", a.Primitive, a.Timeout), s)
	case endCancelled:
		return machine.OutcomeCancelled, 0, withLast(fmt.Sprintf("%s was cancelled", a.Primitive), s)
	case endItself:
	}
	if waitErr != nil {
		return machine.OutcomeUnknown, 0, fmt.Sprintf("%s: %s", a.Primitive, waitErr)
	}
	how := howEnded(status)
	if r.direct {
		how = how.asMake(r.ignore)
	}
	return outcome(a.Primitive, s, how)
}

// reap takes the status of a child that has ended.
func reap(pid int) (status unix.WaitStatus, err error) {
	for {
		if _, err = unix.Wait4(pid, &status, 0, nil); !errors.Is(err, unix.EINTR) {
			return status, err
		}
	}
}

func howEnded(st unix.WaitStatus) ended {
	if st.Signaled() {
		return ended{status: -1, signal: unix.SignalName(st.Signal())}
	}
	return ended{status: st.ExitStatus()}
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
func (p *Port) wait(ctx context.Context, r *running, cancel <-chan struct{}) {
	exited := make(chan struct{})
	p.group.Go(func() error {
		waitExit(r.pid)
		close(exited)
		return nil
	})
	var punch <-chan time.Time
	if r.out != nil {
		t := time.NewTicker(punchEvery)
		defer t.Stop()
		punch = t.C
	}
	// What comes next of a run's time: the timeout, and SIGKILL behind it.
	next := time.NewTimer(0)
	defer next.Stop()
	arm := func() {
		next.Stop()
		switch {
		case !r.kill.IsZero():
			next.Reset(time.Until(r.kill))
		case r.why == endItself && !r.over.IsZero():
			next.Reset(time.Until(r.over))
		}
	}
	stop := ctx.Done()
	if r.why != endItself {
		cancel, stop = nil, nil
	}
	terminate := func(why end) {
		cancel, stop = nil, nil
		_ = unix.Kill(-r.pid, unix.SIGTERM)
		r.why, r.kill = why, time.Now().Add(Grace)
		arm()
	}
	arm()
	for {
		var why func()
		p.rest(func() {
			select {
			case <-exited:
			case <-punch:
				why = func() { r.out.punch() }
			case <-cancel:
				why = func() { terminate(endCancelled) }
			case <-stop:
				why = func() { terminate(endCancelled) }
			case <-next.C:
				why = func() {
					if r.why == endItself {
						terminate(endTimeout)
						return
					}
					_ = unix.Kill(-r.pid, unix.SIGKILL)
					r.kill = time.Time{}
				}
			}
		})
		if why != nil {
			why()
			continue
		}
		if r.why != endItself {
			// make waits for its recipe; what is left of the group now
			// was put in the background and is part of what is ended.
			_ = unix.Kill(-r.pid, unix.SIGKILL)
		}
		return
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
func (p *Port) environment(a machine.RunPrimitive, set Setting, who identity, run string) []string {
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
		runVariable+run,
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
