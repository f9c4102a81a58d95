package vty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// startServer serves on a socket of its own until the test ends; stop ends it
// earlier and waits.
func startServer(t *testing.T, s *Server) (path string, stop func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "srrd.vty")
	l, err := Listen(path, 0o660, -1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := within(t, "the server's end", done); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return path, stop
}

func dialServer(t *testing.T, path string) *Session {
	t.Helper()
	s, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func dialRaw(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c.(*net.UnixConn)
}

func echo(_ context.Context, r *Request) Status {
	fmt.Fprintf(r, "you said %s\n", r.Command)
	return StatusSuccess
}

func TestTheServerAnswersASession(t *testing.T) {
	path, _ := startServer(t, &Server{Handler: func(ctx context.Context, r *Request) Status {
		n, _ := r.Client.State.(int)
		r.Client.State = n + 1
		switch r.Command {
		case "bad":
			fmt.Fprint(r, "% no\n")
			return StatusNoMatch
		case "nul":
			fmt.Fprint(r, "a\x00b")
		case "who":
			fmt.Fprintf(r, "%d %d %d", r.Client.ID, n, r.Client.Peer.PID)
		}
		return StatusSuccess
	}})
	s := dialServer(t, path)
	_, err := s.Exec(t.Context(), "bad")
	if want := `srrd: "bad": % no (unknown command, status 2)`; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	if text, err := s.Exec(t.Context(), "nul"); text != "a?b" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := s.Exec(t.Context(), "who"); text != fmt.Sprintf("1 2 %d", os.Getpid()) || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := dialServer(t, path).Exec(t.Context(), "who"); text != fmt.Sprintf("2 0 %d", os.Getpid()) || err != nil {
		t.Errorf("the state of another client: %q, %v", text, err)
	}
}

func TestPipelinedCommandsAndAHalfClosedClientGetAllReplies(t *testing.T) {
	path, _ := startServer(t, &Server{Handler: echo})
	c := dialRaw(t, path)
	c.Write([]byte("a\x00b\x00"))
	c.CloseWrite()
	got, err := io.ReadAll(c)
	if want := "you said a\n\x00\x00\x00\x00you said b\n\x00\x00\x00\x00"; string(got) != want || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestALongOutputStreamsUntilTheClientGoes(t *testing.T) {
	ended := make(chan error, 1)
	path, _ := startServer(t, &Server{Handler: func(ctx context.Context, r *Request) Status {
		fmt.Fprint(r, "first event\n")
		<-ctx.Done()
		ended <- ctx.Err()
		return StatusSuccess
	}})
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	go func() {
		io.ReadFull(pr, make([]byte, len("first event\n")))
		cancel() // seen while the command still runs
		pr.Close()
	}()
	if err := dialServer(t, path).ExecTo(ctx, "watch", pw); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	within(t, "the end of the handler", ended)
}

func TestAClientThatNeverReadsIsCutOff(t *testing.T) {
	ended := make(chan error, 1)
	path, _ := startServer(t, &Server{WriteTimeout: 20 * time.Millisecond, Handler: func(ctx context.Context, r *Request) Status {
		for {
			if _, err := r.Write(bytes.Repeat([]byte("x"), 1<<16)); err != nil {
				<-ctx.Done()
				_, again := r.Write([]byte("x"))
				ended <- errors.Join(err, again)
				return StatusSuccess
			}
		}
	}})
	dialRaw(t, path).Write([]byte("flood\x00"))
	if err := within(t, "the end of the handler", ended); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestTooLongACommandIsRefusedAndTheConnectionClosed(t *testing.T) {
	path, _ := startServer(t, &Server{MaxCommand: 8, Handler: echo})
	c := dialRaw(t, path)
	c.Write([]byte("12345678\x00123456789"))
	got, err := io.ReadAll(c)
	if want := "you said 12345678\n\x00\x00\x00\x00% Command is too long.\n\x00\x00\x00\x01"; string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestAnIdleClientIsClosedButNotWhileItsCommandRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		s := &Server{IdleTimeout: time.Minute, Handler: func(context.Context, *Request) Status {
			time.Sleep(time.Hour)
			return StatusSuccess
		}}
		go s.serveClient(t.Context(), server, 1)
		start := time.Now()
		client.Write([]byte("a\x00"))
		got, err := io.ReadAll(client)
		if string(got) != "\x00\x00\x00\x00" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if after := time.Since(start); after != time.Hour+time.Minute {
			t.Errorf("closed after %v", after)
		}
	})
}

func TestOneClientTooManyIsToldSo(t *testing.T) {
	path, _ := startServer(t, &Server{MaxClients: 1, Handler: echo})
	first := dialServer(t, path)
	if _, err := first.Exec(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	_, err := dialServer(t, path).Exec(t.Context(), "x")
	if err == nil || !strings.Contains(err.Error(), "Too many sessions, at most 1") {
		t.Fatalf("%v", err)
	}
	if _, err := first.Exec(t.Context(), "x"); err != nil {
		t.Errorf("the first client: %v", err)
	}
}

func TestShutdownLetsTheReplyGoOut(t *testing.T) {
	running := make(chan struct{})
	path, stop := startServer(t, &Server{Handler: func(ctx context.Context, r *Request) Status {
		close(running)
		<-ctx.Done()
		fmt.Fprint(r, "going down\n")
		return StatusWarning
	}})
	idle := dialRaw(t, path)
	reply := make(chan error, 1)
	s := dialServer(t, path)
	go func() { _, err := s.Exec(context.Background(), "x"); reply <- err }()
	within(t, "the command", running)
	stop()
	var status *StatusError
	if err := within(t, "the reply", reply); !errors.As(err, &status) || status.Text != "going down" {
		t.Errorf("%v", err)
	}
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the idle client: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestTheDeathOfTheListenerIsReported(t *testing.T) {
	l, err := Listen(filepath.Join(t.TempDir(), "s.vty"), 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := (&Server{Handler: echo}).Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("%v", err)
	}
}

func TestTheSocketHasItsModeAndReplacesOnlyTheDead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "srrd.vty")
	l, err := Listen(path, 0o660, os.Getgid())
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o660 || info.Sys().(*syscall.Stat_t).Gid != uint32(os.Getgid()) {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := Listen(path, 0o660, -1); !errors.Is(err, ErrInUse) {
		t.Errorf("over a living one: %v", err)
	}
	l.(*socketFile).UnixListener.Close() // as a killed process leaves it
	if _, err := os.Lstat(path); err != nil {
		t.Fatal("no stale file to test with")
	}
	second, err := Listen(path, 0o660, -1)
	if err != nil {
		t.Fatalf("over a stale one: %v", err)
	}
	l.Close() // must not remove its successor's file
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the successor's file is gone: %v", err)
	}
	second.Close()
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, 0o660, -1); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("over a file: %v", err)
	}
	if _, err := Listen(filepath.Join(dir, "none", "x"), 0o660, -1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}

func FuzzServerInput(f *testing.F) {
	f.Add([]byte("a\x00b\x00"), uint8(2))
	f.Add([]byte("0123456789abcdef0\x00"), uint8(5))
	f.Fuzz(func(t *testing.T, input []byte, cut uint8) {
		client, server := net.Pipe()
		want, most := strings.Count(string(input), "\x00"), len(input)+1
		go func() {
			defer client.Close()
			for step := int(cut) + 1; len(input) > 0; input = input[min(step, len(input)):] {
				if _, err := client.Write(input[:min(step, len(input))]); err != nil {
					return
				}
			}
		}()
		r := &commandReader{c: server, most: 16, commands: make(chan command, most)}
		r.run(context.Background(), func() {})
		server.Close()
		got, refused := 0, false
		for c := range r.commands {
			if len(c.text) > 16 || strings.Contains(c.text, "\x00") {
				t.Fatalf("command %q", c.text)
			}
			got++
			refused = refused || c.tooLong
		}
		if !refused && got != want {
			t.Fatalf("%d commands, want %d", got, want)
		}
	})
}
