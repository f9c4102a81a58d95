package primitive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

const (
	// WatchPatience is how long a pid file may take to name a process that
	// runs, where the grace of the service is not longer: many programs write
	// theirs a moment after they have gone into the background.
	WatchPatience = 2 * time.Second
	// lookEvery is how often a pid file that names nothing is read again.
	lookEvery = 20 * time.Millisecond
	// lookSeldom is that of a pid file that names a stranger.
	lookSeldom = time.Second
	// maxPIDFile bounds what is read of a pid file, in bytes.
	maxPIDFile = 4 << 10
	// userHZ is the unit of times in /proc/PID/stat (USER_HZ, asm/param.h).
	userHZ = 100
	// clockSlack is how much later than its pid file a process may seem to have
	// begun: a clock that is being slewed, ticks of 10 ms.
	clockSlack = time.Second
)

// watch is one service whose process is watched.
type watch struct {
	service string
	ctx     context.Context // ended by Watch{On: false}
	cancel  context.CancelFunc

	// What it has found out, for who goes on with it. Its goroutine writes
	// this while busy.
	deadline time.Time // of the pid file's, or the unit's, patience; zero: not begun
	warned   bool
	proc     *process // that is waited for
	ran      bool     // the unit was seen running
}

// watch begins, begins anew or ends the watch of a service.
func (p *Port) watch(a machine.Watch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.watches[a.Service]; w != nil {
		w.cancel()
		delete(p.watches, a.Service)
	}
	if !a.On || p.closed {
		return
	}
	w := &watch{service: a.Service}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	p.watches[a.Service] = w
	p.freshWatches = append(p.freshWatches, w)
	p.rouse()
}

// keepWatch is the life of one watch.
func (p *Port) keepWatch(ctx context.Context, w *watch) {
	defer w.cancel()
	defer context.AfterFunc(ctx, w.cancel)()
	p.busy.RLock()
	defer p.busy.RUnlock()
	set, ok := p.config.Dirs(w.service)
	if !ok {
		return // it has left the configuration meanwhile
	}
	if w.deadline.IsZero() {
		w.deadline = time.Now().Add(max(set.Grace, WatchPatience))
	}
	var text string
	var ended bool
	switch {
	case set.PIDFile != "":
		text, ended = p.followPIDFile(w, set.PIDFile)
	case set.Unit != "":
		text, ended = p.followUnit(w, set.Unit)
	}
	p.mu.Lock()
	current := p.watches[w.service] == w
	if current {
		delete(p.watches, w.service)
	}
	p.mu.Unlock()
	if ended && current {
		p.config.Emit(machine.ProcessEnded{Service: w.service, Text: text})
	}
}

// followPIDFile returns when the process that the file names has ended, and
// what to say of it; false when the context ended first. A program that
// replaced itself (a new process named by the file while the old one ended) is
// followed on.
func (p *Port) followPIDFile(w *watch, path string) (string, bool) {
	for {
		proc, err := w.proc, error(nil)
		if proc == nil {
			proc, err = openProcess(path)
		}
		wait := lookEvery
		var strange *strangerError
		switch {
		case err == nil:
			w.proc = proc
			ended := false
			p.rest(func() { ended = proc.wait(w.ctx) })
			w.proc = nil
			proc.close()
			if !ended {
				return "", false
			}
			next, err := openProcess(path)
			if err == nil {
				next.close()
				continue
			}
			return fmt.Sprintf("process %s has ended", proc), true
		case errors.As(err, &strange):
			if !w.warned {
				p.config.Log.Warn("the end of a service will only be seen by its checks", "service", w.service, "err", err)
				w.warned = true
			}
			wait = lookSeldom
		case !time.Now().Before(w.deadline):
			return err.Error(), true
		}
		if !p.pause(w.ctx, wait) {
			return "", false
		}
	}
}

// pause rests for a while; false: the context ended first.
func (p *Port) pause(ctx context.Context, d time.Duration) (over bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	p.rest(func() {
		select {
		case <-ctx.Done():
		case <-t.C:
			over = true
		}
	})
	return over
}

// process is one that runs, held by a descriptor: its number cannot come to
// mean another one.
type process struct {
	pid  int
	name string
	fd   *os.File // a pidfd, non-blocking
}

func (p *process) String() string {
	if p.name == "" {
		return strconv.Itoa(p.pid)
	}
	return fmt.Sprintf("%d (%s)", p.pid, p.name)
}

// strangerError: the number in a pid file has come to mean another process.
type strangerError struct {
	path string
	proc string
	by   time.Duration
}

func (e *strangerError) Error() string {
	return fmt.Sprintf("pid file %s was written %s before process %s began: that one is a stranger, or the clock was set",
		e.path, e.by.Round(time.Second), e.proc)
}

// openProcess opens the process that a pid file names, if it runs.
func openProcess(path string) (*process, error) {
	pid, written, err := readPIDFile(path)
	if err != nil {
		return nil, err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("pid file %s names process %d, which does not run", path, pid)
	}
	if err != nil {
		return nil, fmt.Errorf("watching process %d: %w", pid, err)
	}
	// Non-blocking, the descriptor is waited for by the runtime's poller, and
	// a thousand watches need no thousand threads.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd) // nothing was written
		return nil, fmt.Errorf("watching process %d: %w", pid, err)
	}
	p := &process{pid: pid, fd: os.NewFile(uintptr(fd), "pidfd")}
	if readable(uintptr(fd)) {
		p.close()
		return nil, fmt.Errorf("pid file %s names process %d, which has ended", path, pid)
	}
	// What /proc says now is of the process that the descriptor holds, or it
	// has ended, which wait will tell.
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
		p.name = advert.Printable(strings.TrimSpace(string(name)))
	}
	if began, ok := beginning(pid); ok && began.Sub(written) > clockSlack {
		p.close()
		return nil, &strangerError{path, p.String(), began.Sub(written)}
	}
	return p, nil
}

func (p *process) close() { _ = p.fd.Close() } // nothing was written

// wait returns true when the process has ended, at once; false when the
// context ended first.
func (p *process) wait(ctx context.Context) bool {
	defer context.AfterFunc(ctx, func() { _ = p.fd.SetReadDeadline(time.Unix(1, 0)) })()
	raw, err := p.fd.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	err = raw.Read(func(fd uintptr) bool {
		ended = readable(fd)
		return ended
	})
	return err == nil && ended
}

// readable: a pidfd is when its process has ended (pidfd_open(2)), whether it
// was reaped or not.
func readable(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return err == nil && n == 1
	}
}

// readPIDFile gives the number in the first line of a file and when it was
// written.
func readPIDFile(path string) (pid int, written time.Time, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // should somebody have put a FIFO there
	if err != nil {
		return 0, written, fmt.Errorf("pid file: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, written, fmt.Errorf("pid file: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPIDFile))
	if err != nil {
		return 0, written, fmt.Errorf("pid file: %w", err)
	}
	line, _, _ := bytes.Cut(bytes.TrimLeft(text, " \t"), []byte("\n"))
	pid, err = strconv.Atoi(string(bytes.TrimSpace(line)))
	if err != nil || pid <= 0 {
		return 0, written, fmt.Errorf("pid file %s does not begin with the number of a process", path)
	}
	return pid, st.ModTime(), nil
}

// beginning is when a process began, by the clock as it is set now; false
// where /proc does not say.
func beginning(pid int) (time.Time, bool) {
	st, err := statOf(pid)
	if err != nil {
		return time.Time{}, false
	}
	var up, now unix.Timespec
	if err := errors.Join(unix.ClockGettime(unix.CLOCK_BOOTTIME, &up), unix.ClockGettime(unix.CLOCK_REALTIME, &now)); err != nil {
		return time.Time{}, false
	}
	return time.Unix(0, now.Nano()-up.Nano()).Add(time.Duration(st.start) * (time.Second / userHZ)), true
}
