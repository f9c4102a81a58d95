package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// serveLoopback runs a server on a port of loopback for the time of the test.
func serveLoopback(t *testing.T, change ...func(*Config)) (*Server, net.Addr) {
	t.Helper()
	s, _ := newServer(t, Viewer, append(change, func(c *Config) { c.Listen = netip.MustParseAddrPort("127.0.0.1:0") })...)
	l, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return s, l.Addr()
}

// dial opens a connection that the test closes.
func dial(t *testing.T, to net.Addr) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// exchange sends a request over a connection and reads the whole answer.
func exchange(conn net.Conn, request string) (*http.Response, error) {
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer, err
}

const askForNodes = "GET /api/v1/nodes HTTP/1.1\r\nHost: localhost\r\n\r\n"

// Half of them never say a word, half have asked once and keep the connection.
func TestAThousandIdleConnectionsLockNobodyOut(t *testing.T) {
	_, at := serveLoopback(t)
	var kept []net.Conn
	for i := range 1000 {
		conn := dial(t, at)
		if i%2 == 0 {
			continue
		}
		if answer, err := exchange(conn, askForNodes); err != nil || answer.StatusCode != 200 {
			t.Fatalf("connection %d: %v, %v", i, answer, err)
		}
		kept = append(kept, conn)
	}
	if answer, err := exchange(dial(t, at), askForNodes); err != nil || answer.StatusCode != 200 {
		t.Errorf("one more: %v, %v", answer, err)
	}
	// The longest idle paid for it, the newest is still good.
	if _, err := exchange(kept[0], askForNodes); err == nil {
		t.Error("the longest idle one is still open")
	}
	if answer, err := exchange(kept[len(kept)-1], askForNodes); err != nil || answer.StatusCode != 200 {
		t.Errorf("the newest idle one: %v, %v", answer, err)
	}
}

func TestWhatIsNoRequestGetsAClearAnswer(t *testing.T) {
	_, at := serveLoopback(t)
	for _, tc := range []struct {
		name, request string
		want          int
	}{
		{"no HTTP", "hello\r\n\r\n", 400},
		{"a header that is none", "GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n", 400},
		{"headers without end", "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n", 431},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"two lengths", "POST /admin/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400},
		{"a method there is not", "BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
		{"a path out of the tree", "GET /static/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 307}, // to /etc/passwd, which is no page
		{"another's name", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
	} {
		answer, err := exchange(dial(t, at), tc.request)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if answer.StatusCode != tc.want {
			t.Errorf("%s: status %d, want %d", tc.name, answer.StatusCode, tc.want)
		}
	}
	if answer, err := exchange(dial(t, at), askForNodes); err != nil || answer.StatusCode != 200 {
		t.Errorf("after all that: %v, %v", answer, err)
	}
}

// pipes is a listener without a network, for a bubble of its own time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return loopback }

var loopback = net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:8222"))

// pipeConn is a pipe that says it is of loopback.
type pipeConn struct{ net.Conn }

func (pipeConn) LocalAddr() net.Addr  { return loopback }
func (pipeConn) RemoteAddr() net.Addr { return loopback }

func (p *pipes) dial() net.Conn {
	a, b := net.Pipe()
	p.conns <- pipeConn{b}
	return a
}

// Who opens the event stream and does not read is given up, and costs nobody
// else an event.
func TestAReaderOfTheStreamThatDoesNotReadIsGivenUp(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	synctest.Test(t, func(t *testing.T) {
		s, f := newServer(t, Viewer)
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx, l) }()
		watchers := func() int {
			s.watchers.mu.Lock()
			defer s.watchers.mu.Unlock()
			return len(s.watchers.all)
		}
		open := func() net.Conn {
			conn := l.dial()
			if _, err := io.WriteString(conn, "GET /api/v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			return conn
		}
		slow, quick := open(), open()
		defer slow.Close()
		defer quick.Close()
		told := make(chan time.Time, 100)
		go func() {
			for lines := bufio.NewScanner(quick); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "event: ") {
					told <- time.Now()
				}
			}
		}()
		began := time.Now()
		for i := range 36 { // nine seconds, four changes a second
			f.mu.Lock()
			changed := *f.snapshot
			changed.Machine.Services = append(changed.Machine.Services[:0:0], changed.Machine.Services...)
			changed.Machine.Services[0].Holder = fmt.Sprint("n", i)
			f.snapshot = &changed
			f.mu.Unlock()
			time.Sleep(watchEvery)
			synctest.Wait()
		}
		if n := len(told); n < 34 {
			t.Errorf("the quick one was told %d times in %s", n, time.Since(began))
		}
		if n := watchers(); n != 2 {
			t.Errorf("%d watch before the patience ends", n)
		}
		time.Sleep(writePatience)
		synctest.Wait()
		if n := watchers(); n != 1 {
			t.Errorf("%d watch, the one that does not read among them", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}
