package web

import (
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// fakeDaemon answers from a fixed snapshot and remembers what was asked.
type fakeDaemon struct {
	mu       sync.Mutex // guards the rest
	snapshot *view.Snapshot
	readErr  error
	asked    []machine.Command
	answer   string
	refusal  error
	vty      []string
	lines    []string
	down     int
	reloads  int
	reexecs  int
	slow     func() // a command does this, and is not answered
}

func (f *fakeDaemon) Read(context.Context) (*view.Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.snapshot, f.readErr
}

func (f *fakeDaemon) Ask(ctx context.Context, c machine.Command) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, c)
	if f.slow != nil {
		f.slow()
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	return f.answer, f.refusal
}

func (f *fakeDaemon) VTY(_ context.Context, daemon, command string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.vty = append(f.vty, daemon+": "+command)
	if command == "show nonsense" {
		return "% Unknown command: show nonsense\n", errors.New("ospfd: status 2")
	}
	return "\nNeighbor ID     Pri State     <b>\n10.255.0.101      1 Full/DR\r\n", nil
}

func (f *fakeDaemon) Configure(_ context.Context, daemon string, lines []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, daemon+": "+strings.Join(lines, " / "))
	return f.refusal
}

func (f *fakeDaemon) Reload(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reloads++
	return f.answer, f.refusal
}

func (f *fakeDaemon) Reexec(context.Context, string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reexecs++
	return f.answer, f.refusal
}

func (f *fakeDaemon) Config(context.Context) (string, error) {
	return "host: n1\nscope: as\n\nservice dns\n  enabled: yes\n", nil
}

func (f *fakeDaemon) Shutdown(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down++
	return f.refusal
}

// newServer makes a server on loopback for one person.
func newServer(t testing.TB, role Role, change ...func(*Config)) (*Server, *fakeDaemon) {
	t.Helper()
	f := &fakeDaemon{snapshot: viewtest.Snapshot(), answer: "done"}
	cfg := Config{
		Listen: netip.MustParseAddrPort("127.0.0.1:8222"), Deps: f, Now: func() time.Time { return viewtest.Now },
		Local:    func(netip.AddrPort, netip.AddrPort) (Person, error) { return Person{"alice", role}, nil },
		Commands: []Command{{"show service", "services: where they run, and why", "A line for each <service>."}},
	}
	cfg.Shell = &Shell{
		Errand: func(line string) Errand { return Errand{Line: line, Looks: true} },
		Exec: func(_ context.Context, _, line string, w io.Writer) bool {
			_, err := io.WriteString(w, line)
			return err == nil
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.secret = [32]byte{} // so that tokens are the same in every run
	return s, f
}

// as gives a request the person that a connection over loopback would have.
func as(r *http.Request, p Person) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), localKey{}, local(func() (Person, error) { return p, nil })))
}

// ask sends a request as the server's person.
func ask(t testing.TB, s *Server, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	p, err := s.cfg.Local(netip.AddrPort{}, netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "127.0.0.1:8222"
	w := httptest.NewRecorder()
	s.ServeHTTP(w, as(r, p))
	return w
}

// post sends a form as the server's person, with the token that fits.
func post(t testing.TB, s *Server, path string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	p, err := s.cfg.Local(netip.AddrPort{}, netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	if form == nil {
		form = url.Values{}
	}
	form.Set("token", s.token(p))
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return ask(t, s, r)
}

func get(t testing.TB, s *Server, path string) *httptest.ResponseRecorder {
	t.Helper()
	return ask(t, s, httptest.NewRequest("GET", path, nil))
}
