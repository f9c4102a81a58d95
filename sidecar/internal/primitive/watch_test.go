package primitive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// watcher is a running port whose services have pid files.
type watcher struct {
	t      *testing.T
	port   *Port
	events chan machine.Event
	dir    string
}

func newWatcher(t *testing.T) *watcher {
	t.Helper()
	w := &watcher{t: t, events: make(chan machine.Event, 100), dir: t.TempDir()}
	w.port = New(Config{
		Emit: func(e machine.Event) { w.events <- e },
		Dirs: func(service string) (Setting, bool) {
			return Setting{Dir: w.dir, PIDFile: w.file(service), Grace: time.Minute}, service != "unknown"
		},
		RunDir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.port.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return w
}

func (w *watcher) file(service string) string { return filepath.Join(w.dir, service+".pid") }

// write puts a number into a service's pid file, all at once.
func (w *watcher) write(service string, pid int) {
	w.t.Helper()
	tmp := w.file(service) + ".new"
	if err := os.WriteFile(tmp, fmt.Appendln(nil, pid), 0o644); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(tmp, w.file(service)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watcher) watch(service string, on bool) {
	w.port.Do(machine.Watch{Service: service, On: on})
}

// ended waits for the next event.
func (w *watcher) ended() machine.ProcessEnded {
	w.t.Helper()
	select {
	case e := <-w.events:
		return e.(machine.ProcessEnded)
	case <-time.After(time.Minute): // a bound for a broken test, not a wait
		w.t.Fatal("no ProcessEnded")
		panic("unreachable")
	}
}

// daemon starts a process that is not our child, as services are not.
func daemon(t *testing.T) int {
	t.Helper()
	out, err := exec.Command("sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!").Output()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(t, pid) })
	return pid
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		t.Error(err)
	}
}

// held waits until the port waits for the end of a process, which it does from
// when it has found the process running: one that ends before is not told of.
func (w *watcher) held(pid int) {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); runtime.Gosched() {
		if w.waitsFor(pid) {
			return
		}
	}
	w.t.Fatalf("process %d is not watched", pid)
}

func (w *watcher) waitsFor(pid int) bool {
	w.port.busy.Lock() // nobody does anything but wait
	defer w.port.busy.Unlock()
	w.port.mu.Lock()
	defer w.port.mu.Unlock()
	for _, one := range w.port.watches {
		if one.proc != nil && one.proc.pid == pid {
			return true
		}
	}
	return false
}

func TestTheEndOfAWatchedProcessIsToldOnceAndAtOnce(t *testing.T) {
	w := newWatcher(t)
	var took []time.Duration
	for range 30 {
		pid := daemon(t)
		w.write("web", pid)
		w.watch("web", true)
		w.held(pid)
		began := time.Now()
		kill(t, pid)
		e := w.ended()
		took = append(took, time.Since(began))
		if want := fmt.Sprintf("process %d (sleep) has ended", pid); e.Service != "web" || e.Text != want {
			t.Fatalf("got %+v, want web, %q", e, want)
		}
	}
	slices.Sort(took)
	t.Logf("told after %s at best, %s in the middle, %s at worst", took[0], took[len(took)/2], took[len(took)-1])
	// The middle and the worst belong to whatever else this machine does.
	if took[0] > 5*time.Millisecond {
		t.Errorf("told after %s at best, want at most 5ms", took[0])
	}
	if len(w.events) > 0 {
		t.Errorf("told more than once: %v", <-w.events)
	}
}

func TestAWatchThatEndedTellsNothing(t *testing.T) {
	w := newWatcher(t)
	off, on := daemon(t), daemon(t)
	w.write("off", off)
	w.write("on", on)
	w.watch("off", true)
	w.watch("on", true)
	w.watch("on", true) // anew: one watch still
	w.held(off)
	w.watch("off", false)
	w.watch("unknown", true)
	w.watch("never", false)
	kill(t, off)
	w.held(on)
	kill(t, on)
	if e := w.ended(); e.Service != "on" {
		t.Errorf("got %+v, want on", e)
	}
	if len(w.events) > 0 {
		t.Errorf("and then %v", <-w.events)
	}
}

func TestAPIDFileMayComeLate(t *testing.T) {
	w := newWatcher(t)
	w.watch("web", true)
	pid := daemon(t)
	if err := os.WriteFile(w.file("web"), nil, 0o644); err != nil { // opened, not yet written
		t.Fatal(err)
	}
	w.write("web", pid)
	w.held(pid)
	kill(t, pid)
	if e := w.ended(); !strings.Contains(e.Text, strconv.Itoa(pid)) {
		t.Errorf("got %+v", e)
	}
}

func TestAProgramThatReplacedItselfIsFollowedOn(t *testing.T) {
	w := newWatcher(t)
	old, next := daemon(t), daemon(t)
	w.write("web", old)
	w.watch("web", true)
	w.held(old)
	w.write("web", next)
	kill(t, old)
	w.held(next)
	kill(t, next)
	if e := w.ended(); !strings.Contains(e.Text, strconv.Itoa(next)) {
		t.Errorf("got %+v, want the end of %d", e, next)
	}
}

func TestWatchesEndWithThePort(t *testing.T) {
	w := newWatcher(t) // goleak sees what stays
	pid := daemon(t)
	w.write("held", pid)
	w.watch("held", true)
	w.watch("missing", true)
	w.held(pid)
}

func TestAPIDFileThatNamesNothingIsWaitedForNoLongerThanItsPatience(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.pid")
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{Log: slog.New(slog.DiscardHandler)})
		began := time.Now()
		text, ended := follow(t.Context(), p, path, 3*time.Second)
		if took := time.Since(began); !ended || took < 3*time.Second || took > 3*time.Second+lookEvery {
			t.Errorf("ended %v after %s, want after 3s", ended, took)
		}
		if want := "pid file: open " + path + ": no such file or directory"; text != want {
			t.Errorf("got %q, want %q", text, want)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, ended := follow(ctx, p, path, 3*time.Second); ended {
			t.Error("ended, though the watch was")
		}
	})
}

func TestAStrangerIsNotTakenForTheService(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.pid")
	pid := daemon(t)
	if err := os.WriteFile(path, fmt.Appendln(nil, pid), 0o644); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	_, err := openProcess(path)
	var strange *strangerError
	if !errors.As(err, &strange) || !strings.Contains(err.Error(), fmt.Sprintf("process %d (sleep)", pid)) {
		t.Fatalf("got %v, want a stranger", err)
	}
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if text, ended := follow(ctx, p, path, time.Second); ended {
			t.Errorf("told %q: that the service ended is not known", text)
		}
	})
	if n := strings.Count(log.String(), "only be seen by its checks"); n != 1 {
		t.Errorf("logged %d times: %s", n, log.String())
	}
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
	proc, err := openProcess(path)
	if err != nil {
		t.Fatal(err)
	}
	proc.close()
}

func TestPIDFilesThatNameNoProcess(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "does not begin with the number of a process"},
		{"a word", "nginx\n", "does not begin with the number of a process"},
		{"a group", "-1\n", "does not begin with the number of a process"},
		{"nought", "0\n", "does not begin with the number of a process"},
		{"too large", "99999999999999999999\n", "does not begin with the number of a process"},
		{"binary", "\x00\xff\x01", "does not begin with the number of a process"},
		{"one that has ended", fmt.Sprintln(gone.Process.Pid), "which does not run"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, "pid")
			if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := openProcess(path); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	for _, path := range []string{fifo, dir, filepath.Join(dir, "none")} {
		if _, err := openProcess(path); err == nil {
			t.Errorf("%s is taken for a pid file", path)
		}
	}
	many := filepath.Join(dir, "many") // as PostgreSQL's postmaster.pid
	pid := daemon(t)
	if err := os.WriteFile(many, fmt.Appendf(nil, "%d\n/var/lib\n1700000000\n", pid), 0o644); err != nil {
		t.Fatal(err)
	}
	proc, err := openProcess(many)
	if err != nil {
		t.Fatal(err)
	}
	proc.close()
}

// follow is followPIDFile for a service of the name web.
func follow(ctx context.Context, p *Port, path string, patience time.Duration) (string, bool) {
	p.busy.RLock()
	defer p.busy.RUnlock()
	return p.followPIDFile(&watch{service: "web", ctx: ctx, deadline: time.Now().Add(patience)}, path)
}
