package daemon

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// almostAMinute is the watchdog of these tests: less than a re-execution is left,
// and so much that no tick of it comes in a test.
const almostAMinute = 59 * time.Second

const (
	pings   = "WATCHDOG=1"
	usually = "WATCHDOG_USEC=59000000\nWATCHDOG=1" // as the environment says
	aMinute = "WATCHDOG_USEC=60000000\nWATCHDOG=1"
)

// systemd is one that has told srrd of its watchdog. It gives what it is told.
func systemd(t *testing.T) (told func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // nothing is written to it
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", strconv.FormatInt(almostAMinute.Microseconds(), 10))
	t.Setenv("WATCHDOG_PID", "")
	return func() string {
		t.Helper()
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("systemd is told nothing more: %v", err)
		}
		return string(b[:n])
	}
}

func expect(t *testing.T, told func() string, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := told(); got != w {
			t.Fatalf("systemd is told %q, want %q", got, w)
		}
	}
}

// Nobody answers the watchdog while srrd stands still and while the next one
// starts: on a busy machine it would end a re-execution half way.
func TestTheWatchdogHasPatienceWithAReexecution(t *testing.T) {
	if !alone(t) {
		return
	}
	told := systemd(t)
	s := newSuite(t)
	upgrade := make(chan os.Signal, 1)
	l := s.startWith(t, func(o *Options) { o.Upgrade, o.Binary = upgrade, "/bin/false" })
	first, second := told(), told() // in any order: the owner may answer before all else stands
	if first == pings {
		first, second = second, first
	}
	if first != "READY=1" || second != pings {
		t.Fatalf("systemd is told %q and %q at the start", first, second)
	}
	upgrade <- unix.SIGUSR2
	expect(t, told, aMinute, usually)
	l.stop <- unix.SIGTERM
	expect(t, told, "STOPPING=1")
	l.end("<nil>")
}

func TestTheNextSrrdTakesTheWatchdogBackAsSoonAsItAnswers(t *testing.T) {
	told := systemd(t)
	o, _ := testOwner()
	d := &daemon{owner: o, board: o.board, taken: &carried{}}
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	g.Go(func() error { return o.run(ctx) })
	g.Go(func() error { return d.watchdog(ctx) })
	expect(t, told, usually)
	cancel()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}
