package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// frrDaemons returns FRR's daemons of a host in starting order. ospfd has its
// configuration from the start, so no API client can register before "router
// ospf" exists (which is a crash up to FRR 10.3).
func (l *Lab) frrDaemons(h *Host, v Vars) []*daemon {
	names := []string{"zebra", "bfdd", "ospfd"}
	r := l.releases[h.Name]
	if r.RunsMgmtd() {
		names = append([]string{"mgmtd"}, names...) // zebra 10 wants it there first
	}
	var out []*daemon
	for _, name := range names {
		argv := []string{filepath.Join(r.Dir, name),
			"-u", l.opts.User, "-g", l.opts.Group, "-A", "127.0.0.1",
			"-i", filepath.Join(v.VtyDir, name+".pid"), "-z", v.ZservPath, "--vty_socket", v.VtyDir,
			"--log", "stdout", "--log-level", "informational"}
		switch name {
		case "mgmtd": // takes no -f
		case "ospfd":
			argv = append(argv, "-a")
			if r.version.atLeast(10, 1) {
				argv = append(argv, "-l", "127.0.0.1")
			}
			fallthrough
		default:
			argv = append(argv, "-f", filepath.Join(v.VtyDir, name+".conf"))
		}
		if name == "bfdd" && !r.version.atLeast(10, 0) {
			// Its control socket has a fixed default path that hosts would share; 10.3
			// no longer takes another one (see ownRun).
			argv = append(argv, "--bfdctl", filepath.Join(v.VtyDir, "bfdd.sock"))
		}
		out = append(out, &daemon{Host: h.Name, Name: name, Argv: argv, FRR: true,
			VTY: filepath.Join(v.VtyDir, name+".vty")})
	}
	return out
}

// Start starts a daemon that is not running and returns when it answers: FRR's
// daemons on their VTY, others when their ready path exists.
func (l *Lab) Start(ctx context.Context, host, name string) error {
	var d *daemon
	err := l.update(func(s *state) error {
		var err error
		if d, err = s.daemon(host, name); err != nil {
			return err
		}
		if d.Proc.state() != procDead {
			return fmt.Errorf("%s on %s: runs already, process %d", name, host, d.Proc.PID)
		}
		for _, stale := range []string{d.VTY, d.Ready} {
			if stale != "" { // left by a killed one: it would be taken for the new one's
				if err := os.Remove(stale); err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
			}
		}
		d.Proc, err = l.spawn(d)
		return err
	})
	if err != nil {
		return err
	}
	return l.awaitReady(ctx, d)
}

func (l *Lab) logPath(host, name string) string {
	return filepath.Join(l.hostDir(host), "log", name+".log")
}

// niceness is how the daemons of a lab rank among the machine's processes. FRR's
// unit has Nice=-5 (tools/frr.service). A lab is many machines on a few processors,
// often beside a compiler, and a bfdd that has to wait 150 ms takes all neighbours
// for dead.
const niceness = -10

// timekeeper is the same of those that must keep time on a loaded machine.
const timekeeper = -20

// prefer ranks a process, and its session where the scheduler groups by sessions
// (sched(7), autogroup: between groups the nice value of a process counts for
// nothing). Some containers refuse; then it ranks as everybody.
func prefer(pid int) {
	_ = unix.Setpriority(unix.PRIO_PROCESS, pid, niceness)
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", pid), []byte(strconv.Itoa(niceness)), 0)
}

// ownRun gives a daemon of the machine's own FRR a /run/frr of its host's: from
// FRR 10 on sockets are made there whatever the daemons are told. What runs from a
// root of its own has that from deploy/install/frr-root.
const ownRun = `mkdir -p /run/frr && mount --bind "$1" /run/frr && shift && exec "$@"`

// keepTime has a process run soon after it wakes, and not for long while others
// wait: it outranks the rest of a lab, with slices of the least length there is
// (sched_setattr(2); before Linux 6.12 without). SCHED_RR would have the first
// alone. A bfdd waits for the last millisecond before each packet by asking for the
// time over and over, since it polls in whole milliseconds; five of them with 10 ms
// are busy for half a processor, and all others would wait for that.
func keepTime(pid int) {
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Nice: timekeeper, Runtime: uint64(100 * time.Microsecond)}
	_ = unix.SchedSetAttr(pid, attr, 0)
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", pid), []byte(strconv.Itoa(timekeeper)), 0)
}

func (l *Lab) spawn(d *daemon) (proc, error) {
	log, err := os.OpenFile(l.logPath(d.Host, d.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return proc{}, err
	}
	defer log.Close()
	argv := d.Argv
	if r := l.releases[d.Host]; d.FRR && r.Suite == "" && r.version.atLeast(10, 0) {
		argv = append([]string{"unshare", "--mount", "--propagation", "slave", "/bin/sh", "-c", ownRun, "sh", filepath.Dir(d.VTY)}, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = l.hostDir(d.Host)
	cmd.Env = append(os.Environ(), d.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	p, err := l.startDetached(d.Host, cmd)
	if err != nil {
		return p, err
	}
	if slices.Contains(l.opts.KeepTime, d.Name) {
		keepTime(p.PID)
	} else {
		prefer(p.PID)
	}
	return p, err
}

// startDetached starts a process in a session of its own, so that it outlives
// us, and reaps it if it does not.
func (l *Lab) startDetached(host string, cmd *exec.Cmd) (proc, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := l.Do(host, cmd.Start); err != nil {
		return proc{}, fmt.Errorf("%s on %s: %w", filepath.Base(cmd.Path), host, err)
	}
	p, err := identify(cmd.Process.Pid)
	l.reapers.Go(func() { _ = cmd.Wait() }) // how it ended is in its log
	return p, err
}

func (l *Lab) awaitReady(ctx context.Context, d *daemon) error {
	return poll(ctx, func() error {
		if d.Proc.state() == procDead {
			return final(fmt.Errorf("%s on %s ended at start; its log ends: %s", d.Name, d.Host, tail(l.logPath(d.Host, d.Name))))
		}
		if d.VTY != "" {
			if _, err := askVTY(d.VTY, "show version"); err != nil {
				return fmt.Errorf("%s on %s does not answer: %w", d.Name, d.Host, err)
			}
		}
		if d.Ready != "" {
			if _, err := os.Stat(d.Ready); err != nil {
				return fmt.Errorf("%s on %s is not ready: %w", d.Name, d.Host, err)
			}
		}
		return nil
	})
}

// tail returns the last 600 bytes of a log, for an error message.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return "(empty)"
	}
	return string(b[max(0, len(b)-600):])
}

// Kill sends a signal to a daemon. For SIGKILL it returns when the process is
// gone, so that what is measured next starts then. Signals that stop or
// continue it are better sent by Freeze and Thaw.
func (l *Lab) Kill(host, name string, sig syscall.Signal) error {
	s, err := l.view()
	if err != nil {
		return err
	}
	d, err := s.daemon(host, name)
	if err != nil {
		return err
	}
	if d.Proc.state() == procDead {
		return fmt.Errorf("%s on %s: not running", name, host)
	}
	if sig == syscall.SIGKILL {
		err = d.Proc.end(sig, killTimeout)
	} else {
		err = d.Proc.signal(sig)
	}
	if err != nil {
		return fmt.Errorf("%s on %s: signal %d: %w", name, host, sig, err)
	}
	return nil
}

// Stop ends a daemon by SIGTERM and returns when it is gone.
func (l *Lab) Stop(host, name string) error {
	s, err := l.view()
	if err != nil {
		return err
	}
	d, err := s.daemon(host, name)
	if err != nil {
		return err
	}
	if err := d.Proc.end(syscall.SIGTERM, killTimeout); err != nil {
		return fmt.Errorf("%s on %s: %w", name, host, err)
	}
	return nil
}

// Freeze stops a daemon in its tracks (SIGSTOP): it neither runs nor ends, and
// its sockets stay open. It returns when the daemon stands still.
func (l *Lab) Freeze(host, name string) error {
	return l.switchTo(host, name, syscall.SIGSTOP, procFrozen)
}

// Thaw lets a frozen daemon go on.
func (l *Lab) Thaw(host, name string) error {
	return l.switchTo(host, name, syscall.SIGCONT, procRunning)
}

// switchTo sends a signal and waits until it has had its effect: a signal sent
// is not yet one taken.
func (l *Lab) switchTo(host, name string, sig syscall.Signal, want string) error {
	if err := l.Kill(host, name, sig); err != nil {
		return err
	}
	s, err := l.view()
	if err != nil {
		return err
	}
	d, err := s.daemon(host, name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	return poll(ctx, func() error {
		if got := d.Proc.state(); got != want {
			return fmt.Errorf("%s on %s: %s, not %s", name, host, got, want)
		}
		return nil
	})
}

// Restart kills a daemon (SIGKILL) if it runs and starts it again.
func (l *Lab) Restart(ctx context.Context, host, name string) error {
	s, err := l.view()
	if err != nil {
		return err
	}
	d, err := s.daemon(host, name)
	if err != nil {
		return err
	}
	if err := d.Proc.end(syscall.SIGKILL, killTimeout); err != nil {
		return fmt.Errorf("%s on %s: %w", name, host, err)
	}
	return l.Start(ctx, host, name)
}

// PID returns the process id of a daemon, 0 if it does not run.
func (l *Lab) PID(host, name string) (int, error) {
	s, err := l.view()
	if err != nil {
		return 0, err
	}
	d, err := s.daemon(host, name)
	if err != nil {
		return 0, err
	}
	if d.Proc.state() == procDead {
		return 0, nil
	}
	return d.Proc.PID, nil
}

// Log returns what a daemon has written so far.
func (l *Lab) Log(host, name string) (string, error) {
	b, err := os.ReadFile(l.logPath(host, name))
	return string(b), l.wrap(err)
}

// Do runs f on a thread that is in the host's network namespace: sockets made
// by f belong there, also after f. f must not start goroutines that make some.
func (l *Lab) Do(host string, f func() error) error {
	if l.topo.Host(host) == nil && host != wireHost {
		return fmt.Errorf("host %q: not in lab %s", host, l.name)
	}
	return inNS(l.ns(host), f)
}

// StartIn starts a command in the host's network namespace.
func (l *Lab) StartIn(host string, cmd *exec.Cmd) error {
	if err := l.Do(host, cmd.Start); err != nil {
		return fmt.Errorf("%s on %s: %w", filepath.Base(cmd.Path), host, err)
	}
	return nil
}

// enterScript puts the host's FRR sockets where FRR's own tools look for them,
// in a mount namespace of the command's own.
const enterScript = `mount --make-rslave / 2>/dev/null
[ -d /run/frr ] && mount --bind "$SRRLAB_VTYDIR" /run/frr
mount -t sysfs sysfs /sys 2>/dev/null
exec "$@"`

// Command returns a command that, started with StartIn or Run, sees the host
// as its machine: besides the network, /run/frr holds the host's FRR sockets, so
// that vtysh (of the host's FRR) and ospfclient.py work as they are.
func (l *Lab) Command(ctx context.Context, host string, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", enterScript, "sh"}, argv...)...)
	cmd.Env = append(os.Environ(), "SRRLAB_VTYDIR="+l.Vars(host).VtyDir, "SRRLAB_HOST="+host, "SRRLAB_LAB="+l.name)
	if r := l.releases[host]; r.Dir != "" {
		cmd.Env = append(cmd.Env, "PATH="+r.Dir+":"+os.Getenv("PATH")) // its own vtysh
	}
	cmd.Dir = l.hostDir(host)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	cmd.WaitDelay = time.Second
	return cmd
}

// Run starts a command made by Command and waits for it.
func (l *Lab) Run(host string, cmd *exec.Cmd) error {
	if err := l.StartIn(host, cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

// Exec runs a command on a host and returns what it printed; an error carries
// what it said on standard error.
func (l *Lab) Exec(ctx context.Context, host string, argv ...string) (string, error) {
	if len(argv) == 0 {
		return "", fmt.Errorf("exec on %s: no command", host)
	}
	cmd := l.Command(ctx, host, argv...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := l.Run(host, cmd); err != nil {
		if text := bytes.TrimSpace(stderr.Bytes()); len(text) > 0 {
			return stdout.String(), fmt.Errorf("%s on %s: %w: %s", argv[0], host, err, text)
		}
		return stdout.String(), fmt.Errorf("%s on %s: %w", argv[0], host, err)
	}
	return stdout.String(), nil
}

// VTY runs one command on an FRR daemon of a host and returns its answer.
func (l *Lab) VTY(host, name, command string) (string, error) {
	out, err := askVTY(filepath.Join(l.Vars(host).VtyDir, name+".vty"), command)
	if err != nil {
		return out, fmt.Errorf("%s on %s: %w", name, host, err)
	}
	return out, nil
}
