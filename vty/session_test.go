package vty

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeDaemon listens where a daemon would and answers by a function from
// command to reply bytes; a nil reply closes the connection.
type fakeDaemon struct {
	l    net.Listener
	wg   sync.WaitGroup
	mu   sync.Mutex
	seen []string
	open []net.Conn
}

func startFake(t *testing.T, dir string, d Daemon, answer func(command string) []byte) *fakeDaemon {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(dir, string(d)+".vty"))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as FRR leaves it
	f := &fakeDaemon{l: l}
	f.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.open = append(f.open, c)
			f.mu.Unlock()
			f.wg.Go(func() { f.serve(c, answer) })
		}
	})
	t.Cleanup(f.stop)
	return f
}

func (f *fakeDaemon) serve(c net.Conn, answer func(string) []byte) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		command, err := r.ReadString(0)
		if err != nil {
			return
		}
		command = strings.TrimSuffix(command, "\x00")
		f.mu.Lock()
		f.seen = append(f.seen, command)
		f.mu.Unlock()
		reply := answer(command)
		if reply == nil {
			return
		}
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}

// stop is the daemon's death: connections end, the socket file stays.
func (f *fakeDaemon) stop() {
	f.l.Close()
	f.mu.Lock()
	for _, c := range f.open {
		c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

func (f *fakeDaemon) commands() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.seen...)
}

func ok(text string) []byte { return AppendReply(nil, text, StatusSuccess) }

func openFake(t *testing.T, answer func(string) []byte) (*Session, *fakeDaemon) {
	t.Helper()
	dir := t.TempDir()
	f := startFake(t, dir, OSPF, answer)
	s, err := Dial(t.Context(), filepath.Join(dir, "ospfd.vty"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, f
}

func TestExecReturnsTheTextOfAReplyHoweverItIsCut(t *testing.T) {
	client, server := net.Pipe() // a write here is one read there
	s := newSession(OSPF, &unixWire{c: client})
	defer s.Close()
	wire := readHex(t, "reply-show-version")
	go func() {
		io.ReadFull(server, make([]byte, len("show version")+1))
		for i := range wire {
			server.Write(wire[i : i+1])
		}
	}()
	text, err := s.Exec(t.Context(), "show version")
	if err != nil || text != readText(t, "show-version.txt") {
		t.Fatalf("%v, text %q", err, text)
	}
}

func TestARefusalIsAStatusErrorAndTheSessionGoesOn(t *testing.T) {
	s, _ := openFake(t, func(c string) []byte {
		if c == "bad" {
			return readHex(t, "reply-same-network")
		}
		return ok("fine\n")
	})
	text, err := s.Exec(t.Context(), "bad")
	var status *StatusError
	if !errors.As(err, &status) || status.Status != StatusConfigFailed || status.Inferred {
		t.Fatalf("%v", err)
	}
	if want := `ospfd: "bad": There is already same network statement. (configuration failed, status 13)`; err.Error() != want {
		t.Errorf("error %q\nwant  %q", err, want)
	}
	if text != "There is already same network statement.\n" {
		t.Errorf("text %q", text)
	}
	if text, err := s.Exec(t.Context(), "good"); text != "fine\n" || err != nil {
		t.Errorf("the next command: %q, %v", text, err)
	}
}

func TestALeadingPercentWithStatusZeroIsNoError(t *testing.T) {
	const note = "% Configuration applied with notes: No changes found to be committed!\n"
	s, _ := openFake(t, func(string) []byte { return ok(note) })
	if text, err := s.Exec(t.Context(), "ip address 192.0.2.1/32"); text != note || err != nil {
		t.Fatalf("%q, %v", text, err)
	}
}

func TestConfigure(t *testing.T) {
	for name, c := range map[string]struct {
		refuse string
		lines  []string
		want   []string
		failed string
	}{
		"lines stand between enable, configure terminal and end": {
			"", []string{"router ospf", "capability opaque"},
			[]string{"enable", "configure terminal", "router ospf", "capability opaque", "end"}, ""},
		"the first refused line stops it, and end is still sent": {
			"router ospf", []string{"router ospf", "capability opaque"},
			[]string{"enable", "configure terminal", "router ospf", "end"}, "router ospf"},
		"without configuration mode no line is sent": {
			"configure terminal", []string{"router ospf"},
			[]string{"enable", "configure terminal"}, "configure terminal"},
		"a refused end is an error": {
			"end", []string{"router ospf"},
			[]string{"enable", "configure terminal", "router ospf", "end"}, "end"},
		"no lines send nothing": {"", nil, nil, ""},
		"a line that is two sends nothing": {
			"", []string{"router ospf", "a\nb"}, nil, "refused here"},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := openFake(t, func(command string) []byte {
				if command == c.refuse {
					return AppendReply(nil, "no\n", StatusConfigFailed)
				}
				return ok("")
			})
			err := s.Configure(t.Context(), c.lines...)
			var status *StatusError
			switch {
			case c.failed == "" && err != nil,
				c.failed == "refused here" && !errors.Is(err, ErrCommand),
				c.failed != "" && c.failed != "refused here" && (!errors.As(err, &status) || status.Command != c.failed):
				t.Errorf("error %v", err)
			}
			if got := f.commands(); strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("sent %q, want %q", got, c.want)
			}
		})
	}
}

func TestAContextThatEndsBetweenLinesStillLeavesConfigurationMode(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, f := openFake(t, func(command string) []byte { return ok("") })
	s.wire = &afterCommand{wire: s.wire, command: "first", do: cancel}
	err := s.Configure(ctx, "first", "second")
	if !errors.Is(err, context.Canceled) || s.Err() != nil {
		t.Fatalf("error %v, session %v", err, s.Err())
	}
	if got := f.commands(); got[len(got)-1] != "end" || strings.Contains(strings.Join(got, "|"), "second") {
		t.Errorf("sent %q", got)
	}
}

// afterCommand acts when a command has been answered.
type afterCommand struct {
	wire
	command string
	do      func()
}

func (a *afterCommand) exchange(command string, w io.Writer) (Status, error) {
	status, err := a.wire.exchange(command, w)
	if command == a.command {
		a.do()
	}
	return status, err
}

func TestEveryWayOfDying(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(string) []byte
		is     error
		words  string
	}{
		"the daemon closes instead of answering":   {func(string) []byte { return nil }, errGone, "closed the connection"},
		"a reply breaks off and another comes":     {func(string) []byte { return []byte("a\x00b") }, ErrFraming, "framed"},
		"two replies come to one command":          {func(string) []byte { return append(ok("a"), ok("b")...) }, errOutOfTurn, "out of turn"},
		"a reply is longer than anyone would read": {func(string) []byte { return ok(strings.Repeat("x", 2000)) }, ErrReplyTooLong, "1000 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := openFake(t, c.answer)
			s.limit = 1000
			_, err := s.Exec(t.Context(), "show version")
			if !errors.Is(err, ErrClosed) || !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.words) {
				t.Fatalf("first error: %v", err)
			}
			_, again := s.Exec(t.Context(), "show version")
			if !errors.Is(again, ErrClosed) || !errors.Is(again, c.is) || !errors.Is(again, errUnsent) {
				t.Errorf("second error: %v", again)
			}
			if err := s.Configure(t.Context(), "x"); !errors.Is(err, ErrClosed) {
				t.Errorf("configure: %v", err)
			}
		})
	}
}

func TestADaemonThatDiedBetweenCommandsIsFoundBeforeAnythingIsSent(t *testing.T) {
	s, f := openFake(t, func(string) []byte { return ok("") })
	if _, err := s.Exec(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	f.stop()
	if _, err := s.Exec(t.Context(), "b"); !errors.Is(err, errUnsent) || !errors.Is(err, ErrClosed) {
		t.Fatalf("%v", err)
	}
}

func TestADeadlineInTheMiddleOfAReplyEndsTheSession(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, _ := openFake(t, func(string) []byte { return []byte("half of it") })
	pr, pw := io.Pipe()
	go func() {
		io.ReadFull(pr, make([]byte, len("half of it")))
		cancel()
		pr.Close()
	}()
	err := s.ExecTo(ctx, "show x", pw)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "session given up") {
		t.Fatalf("%v", err)
	}
	if _, err := s.Exec(t.Context(), "a"); !errors.Is(err, ErrClosed) || !errors.Is(err, context.Canceled) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestAnEndedContextSendsNothingAndLeavesTheSessionAlone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, f := openFake(t, func(string) []byte { return ok("") })
	if _, err := s.Exec(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if _, err := s.Exec(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if got := f.commands(); len(got) != 1 || got[0] != "b" {
		t.Errorf("sent %q", got)
	}
}

func TestWhoWaitsForABusySessionHonoursItsContext(t *testing.T) {
	started := make(chan struct{})
	s, _ := openFake(t, func(string) []byte { close(started); return []byte("no end") })
	first := make(chan error, 1)
	go func() { _, err := s.Exec(context.Background(), "long"); first <- err }()
	within(t, "the first command", started)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.Exec(ctx, "short"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	s.Close()
	if err := within(t, "the end of the first command", first); !errors.Is(err, ErrClosed) {
		t.Errorf("the closed command: %v", err)
	}
}

func TestCommandsOfSeveralCallersTakeTurns(t *testing.T) {
	s, f := openFake(t, func(c string) []byte { return ok(c) })
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			want := fmt.Sprint("command ", i)
			if text, err := s.Exec(t.Context(), want); text != want || err != nil {
				t.Errorf("%q, %v", text, err)
			}
			if err := s.Configure(t.Context(), fmt.Sprint("line ", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := f.commands()
	for i, c := range seen {
		if c == "configure terminal" && (!strings.HasPrefix(seen[i+1], "line") || seen[i+2] != "end") {
			t.Errorf("interleaved: %q", seen[i:i+3])
		}
	}
}

func TestAWriterThatFailsEndsTheSession(t *testing.T) {
	full := errors.New("disk full")
	pr, pw := io.Pipe()
	pr.CloseWithError(full)
	s, _ := openFake(t, func(string) []byte { return ok("text") })
	if err := s.ExecTo(t.Context(), "show x", pw); !errors.Is(err, full) || !errors.Is(err, ErrClosed) {
		t.Fatalf("%v", err)
	}
}

func TestStatusErrorsReadWell(t *testing.T) {
	for want, e := range map[string]*StatusError{
		`zebra: "no ip address 192.0.2.1/32": configuration failed (status 13, and it gave no reason)`: {Daemon: Zebra, Command: "no ip address 192.0.2.1/32", Status: StatusConfigFailed},
		`ospfd: "x": % first second (unknown command, status 2)`:                                       {Daemon: OSPF, Command: "x", Status: StatusNoMatch, Text: "% first\n  second"},
		`ospfd: "x": status 77 (status 77, and it gave no reason)`:                                     {Daemon: OSPF, Command: "x", Status: 77},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
