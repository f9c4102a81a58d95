package vty

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// answerVersion answers as a daemon of a release that knows every command.
func answerVersion(version string) func(string) []byte {
	return func(c string) []byte {
		if c == "show version" {
			return ok("FRRouting " + version + " (r1).\n")
		}
		return ok("")
	}
}

func newTestRouter(t *testing.T, dir string) *Router {
	t.Helper()
	r := NewRouter(Dialer{Dir: dir})
	t.Cleanup(func() { r.Close() })
	return r
}

func TestLinesGoToMgmtdFromFRR10On(t *testing.T) {
	for version, want := range map[string]Daemon{"9.1": Zebra, "10.0": Mgmt} {
		dir := t.TempDir()
		daemons := map[Daemon]*fakeDaemon{}
		for _, d := range []Daemon{Zebra, Mgmt} {
			daemons[d] = startFake(t, dir, d, answerVersion(version))
		}
		r := newTestRouter(t, dir)
		if err := r.Configure(t.Context(), ClassAddress, "interface lo", "ip address 192.0.2.1/32"); err != nil {
			t.Fatal(err)
		}
		for d, f := range daemons {
			if got := strings.Contains(strings.Join(f.commands(), "|"), "|interface lo|ip address 192.0.2.1/32|end"); got != (d == want) {
				t.Errorf("%s: %s got %q", version, d, f.commands())
			}
		}
		if v, err := r.Version(t.Context()); v.String() != version || err != nil {
			t.Errorf("version %v, %v", v, err)
		}
	}
}

func TestEveryUseOfASessionIsObserved(t *testing.T) {
	dir := t.TempDir()
	startFake(t, dir, OSPF, func(c string) []byte {
		if c == "nonsense" {
			return AppendReply(nil, "% Unknown command", StatusNoMatch)
		}
		return answerVersion("8.4.4")(c)
	})
	r := newTestRouter(t, dir)
	var seen []string
	r.Observe(func(d Daemon, took time.Duration, err error) {
		if took <= 0 {
			t.Errorf("it took %s", took)
		}
		seen = append(seen, fmt.Sprint(d, " ", err == nil))
	})
	for _, c := range []string{"show x", "nonsense"} {
		_, _ = r.Exec(t.Context(), OSPF, c) // what came of it is what is observed
	}
	if got := strings.Join(seen, ", "); got != "ospfd true, ospfd false" {
		t.Errorf("observed %s", got)
	}
}

func TestARestartedDaemonIsFoundAgainAndAskedForItsRelease(t *testing.T) {
	dir := t.TempDir()
	r := newTestRouter(t, dir)
	first := startFake(t, dir, OSPF, answerVersion("8.4.4"))
	if rel, err := r.Release(t.Context(), OSPF); rel.String() != "FRRouting 8.4.4" || err != nil {
		t.Fatalf("%v, %v", rel, err)
	}
	first.stop()
	_, err := r.Exec(t.Context(), OSPF, "show x")
	if !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "ospfd is not running") {
		t.Fatalf("while it is down: %v", err)
	}
	if err := syscall.Unlink(filepath.Join(dir, "ospfd.vty")); err != nil { // as FRR does at its start
		t.Fatal(err)
	}
	startFake(t, dir, OSPF, answerVersion("7.5.1"))
	if _, err := r.Exec(t.Context(), OSPF, "show x"); err != nil {
		t.Fatalf("after the restart: %v", err)
	}
	if _, err := r.Exec(t.Context(), OSPF, "show ip ospf interface"); !errors.Is(err, ErrUnsafe) {
		t.Errorf("the new release is not known: %v", err)
	}
	if err := r.Configure(t.Context(), ClassOSPF, "do show ip ospf interface"); !errors.Is(err, ErrUnsafe) {
		t.Errorf("in configuration mode: %v", err)
	}
	if err := r.ExecTo(t.Context(), OSPF, "show ip ospf int", nil); !errors.Is(err, ErrUnsafe) {
		t.Errorf("streamed: %v", err)
	}
}

func TestASessionThatDiedUnseenIsReopenedBeforeTheCommandIsSent(t *testing.T) {
	dir := t.TempDir()
	r := newTestRouter(t, dir)
	f := startFake(t, dir, OSPF, answerVersion("8.4.4"))
	if _, err := r.Exec(t.Context(), OSPF, "show x"); err != nil {
		t.Fatal(err)
	}
	f.stop()
	syscall.Unlink(filepath.Join(dir, "ospfd.vty"))
	again := startFake(t, dir, OSPF, answerVersion("8.4.4"))
	if err := r.Configure(t.Context(), ClassOSPF, "router ospf"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(again.commands(), "|"); got != "enable|show version|enable|configure terminal|router ospf|end" {
		t.Errorf("sent %q", got)
	}
}

func TestACommandTheDaemonDiedUnderIsNotSentTwice(t *testing.T) {
	dir := t.TempDir()
	r := newTestRouter(t, dir)
	f := startFake(t, dir, OSPF, func(c string) []byte {
		if c == "clear ip ospf process" {
			return nil
		}
		return answerVersion("8.4.4")(c)
	})
	if _, err := r.Exec(t.Context(), OSPF, "clear ip ospf process"); !errors.Is(err, ErrClosed) {
		t.Fatalf("%v", err)
	}
	if got := strings.Count(strings.Join(f.commands(), "|"), "clear"); got != 1 {
		t.Errorf("sent %d times", got)
	}
}

func TestAClosedRouterOpensNothing(t *testing.T) {
	dir := t.TempDir()
	startFake(t, dir, Zebra, answerVersion("8.4.4"))
	r := NewRouter(Dialer{Dir: dir})
	if _, err := r.Version(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if _, err := r.Version(t.Context()); !errors.Is(err, ErrClosed) {
		t.Fatalf("%v", err)
	}
}

func TestWhereADaemonIsMissingTheErrorSaysWhichAndWhy(t *testing.T) {
	r := newTestRouter(t, t.TempDir())
	_, err := r.Version(t.Context())
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "zebra has not been started here") {
		t.Errorf("%v", err)
	}
	for _, d := range []Daemon{"", "../x", "a\x00"} {
		if _, err := r.Exec(t.Context(), d, "show version"); err == nil || !strings.Contains(err.Error(), "no daemon's name") {
			t.Errorf("%q: %v", d, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Version(ctx); err == nil {
		t.Error("an ended context opens a session")
	}
}

func TestTelnetIsTheSecondWayWhereTheSocketIsMissing(t *testing.T) {
	script := loggedIn(exchangePart{"show version", "show version\r\nFRRouting 8.4.4 (vt1).\r\nvt1# "})
	d := Dialer{Dir: t.TempDir(), Telnet: map[Daemon]Telnet{OSPF: {Address: startTelnet(t, script), Password: "one", EnablePassword: "two"}}}
	s, err := d.Open(t.Context(), OSPF)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if rel, err := s.Release(t.Context()); rel.Version != (Version{8, 4, 4}) || err != nil || !s.Inferred() {
		t.Errorf("%v, %v", rel, err)
	}
	d.TelnetOnly = true
	if _, err := d.Open(t.Context(), Zebra); err == nil || !strings.Contains(err.Error(), "no telnet address") {
		t.Errorf("zebra: %v", err)
	}
}

func TestNoRouteIsNoError(t *testing.T) {
	dir := t.TempDir()
	startFake(t, dir, Zebra, func(c string) []byte {
		if strings.HasPrefix(c, "show ip route 192.0.2.1/32") || c == "show ip route kernel json" {
			return readHex(t, "reply-no-route-json")
		}
		return answerVersion("8.4.4")(c)
	})
	got, err := newTestRouter(t, dir).Routes(t.Context(), prefix("192.0.2.1/32"))
	if len(got) != 0 || err != nil {
		t.Fatalf("%v, %v", got, err)
	}
	if got, err := newTestRouter(t, dir).KernelRoutes(t.Context()); len(got) != 0 || err != nil {
		t.Fatalf("of the kernel: %v, %v", got, err)
	}
}

func TestTheReadersAskTheRightDaemon(t *testing.T) {
	dir := t.TempDir()
	texts := map[string]string{
		"show ip ospf json":                                  "show-ip-ospf.json",
		"show ip ospf neighbor json":                         "show-ip-ospf-neighbor.json",
		"show running-config":                                "show-running-config-ospfd.txt",
		"show ip ospf database external self-originate json": "show-ip-ospf-database-external.json",
	}
	startFake(t, dir, OSPF, func(c string) []byte {
		if name, found := texts[c]; found {
			return ok(readText(t, name))
		}
		return answerVersion("8.4.4")(c)
	})
	r := newTestRouter(t, dir)
	state, err1 := r.OSPFState(t.Context())
	neighbors, err2 := r.Neighbors(t.Context())
	running, err3 := r.Running(t.Context(), OSPF)
	externals, err4 := r.OwnExternals(t.Context())
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	id, _ := running.ExplicitRouterID()
	if !state.Running || len(neighbors) != 1 || id != state.RouterID || len(externals) != 1 {
		t.Errorf("%+v %+v %+v %+v", state, neighbors, running, externals)
	}
}
