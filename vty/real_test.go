package vty

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// realFRR is zebra and ospfd in a network namespace of the test's own: a
// nameless one, gone with its last process.
type realFRR struct {
	t       *testing.T
	dir     string
	daemons map[Daemon]*exec.Cmd
}

// frrLib is where the daemons are; SRRD_FRR_DIR names those of another version
// (the first, if it lists several).
var frrLib = strings.Split(cmp.Or(os.Getenv("SRRD_FRR_DIR"), "/usr/lib/frr"), ":")[0]

// startRealFRR locks the test to a thread in a new namespace; daemons started
// from it, and sockets opened on it, are in there.
func startRealFRR(t *testing.T) *realFRR {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test runs real FRR daemons in a network namespace and must be root")
	}
	for _, d := range []Daemon{Zebra, OSPF} {
		if _, err := os.Stat(filepath.Join(frrLib, string(d))); err != nil {
			t.Fatalf("this test needs FRR (package frr): %v", err)
		}
	}
	enterNamespace(t)
	// Not t.TempDir: the daemons run as frr, and its parents are root's alone;
	// and a socket's path is at most 107 bytes.
	dir, err := os.MkdirTemp("", "vty")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &realFRR{t: t, dir: dir, daemons: map[Daemon]*exec.Cmd{}}
	conf := "hostname real\npassword one\nenable password two\n"
	f.write("zebra.conf", conf)
	f.write("ospfd.conf", conf+"router ospf\n ospf router-id 192.0.2.1\n capability opaque\n network 198.51.100.0/24 area 0\n")
	frr, err := user.Lookup("frr")
	if err != nil {
		t.Fatalf("FRR's user: %v", err)
	}
	uid, _ := strconv.Atoi(frr.Uid)
	gid, _ := strconv.Atoi(frr.Gid)
	for _, name := range []string{".", "zebra.conf", "ospfd.conf"} {
		if err := os.Chown(filepath.Join(dir, name), uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(frrLib, string(Mgmt))); err == nil {
		f.start(Mgmt) // zebra 10 wants it there first
	}
	f.start(Zebra)
	f.start(OSPF)
	return f
}

func enterNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	own, err := netns.New()
	if err != nil {
		t.Fatalf("cannot make a network namespace: %v", err)
	}
	t.Cleanup(func() {
		own.Close()
		if err := netns.Set(home); err != nil {
			t.Error(err) // the thread stays locked, and ends with the test
		} else {
			runtime.UnlockOSThread()
		}
		home.Close()
	})
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatalf("cannot bring lo up: %v", err)
	}
}

func (f *realFRR) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o640); err != nil {
		f.t.Fatal(err)
	}
}

// start runs a daemon and waits until its socket takes connections.
func (f *realFRR) start(d Daemon) {
	f.t.Helper()
	at := func(name string) string { return filepath.Join(f.dir, name) }
	out, err := os.OpenFile(at(string(d)+".out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(filepath.Join(frrLib, string(d)), "-z", at("zserv.api"), "--vty_socket", f.dir,
		"-A", "127.0.0.1", "-i", at(string(d)+".pid"))
	if d != Mgmt { // it takes none
		cmd.Args = append(cmd.Args, "-f", at(string(d)+".conf"))
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.daemons[d] = cmd
	f.t.Cleanup(func() { f.stop(d) })
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		s, err := Dial(ctx, at(string(d)+".vty"))
		if err == nil {
			s.Close()
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			text, _ := os.ReadFile(at(string(d) + ".out"))
			f.t.Fatalf("%s did not open its vty: %v\n%s", d, err, text)
		}
	}
}

func (f *realFRR) stop(d Daemon) {
	if cmd := f.daemons[d]; cmd != nil {
		cmd.Process.Kill()
		cmd.Wait()
		delete(f.daemons, d)
	}
}

func wantStatus(t *testing.T, err error, status Status, text string) {
	t.Helper()
	var got *StatusError
	if !errors.As(err, &got) || got.Status != status || !strings.Contains(got.Text, text) {
		t.Errorf("got %v, want %v and %q", err, status, text)
	}
}

// One test, so that the daemons are started once. It stays on one thread: the
// namespace is the thread's.
func TestRealFRR(t *testing.T) {
	f := startRealFRR(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	r := NewRouter(Dialer{Dir: f.dir})
	defer r.Close()

	rel, err := r.Release(ctx, Zebra)
	if err != nil || !rel.FRR() || rel.Host != "real" {
		t.Fatalf("release %+v, %v", rel, err)
	}
	t.Log(rel)
	if err := r.Configure(ctx, ClassPolicy, "ip prefix-list SRRD seq 5 permit 10.250.0.0/16 ge 32"); err != nil {
		t.Error(err)
	}
	wantStatus(t, r.Configure(ctx, ClassOSPF, "router ospf", "network 198.51.100.0/24 area 7"),
		StatusConfigFailed, "There is already same network statement.")
	wantStatus(t, r.Configure(ctx, ClassOSPF, "router ospf", "no network 203.0.113.0/24 area 0"),
		StatusConfigFailed, "Can't find specified network area configuration.")
	_, err = r.Exec(ctx, OSPF, "bogus")
	wantStatus(t, err, StatusNoMatch, "Unknown command: bogus")

	realReaders(ctx, t, r, rel)
	realTelnet(ctx, t)
	realRestart(ctx, t, f, r, rel)
}

func realReaders(ctx context.Context, t *testing.T, r *Router, rel Release) {
	t.Helper()
	state, err := r.OSPFState(ctx)
	if err != nil || !state.Running || !state.OpaqueCapable || state.RouterID != addr("192.0.2.1") {
		t.Errorf("state %+v, %v", state, err)
	}
	conf, err := r.Running(ctx, OSPF)
	id, explicit := conf.ExplicitRouterID()
	if err != nil || !explicit || id != state.RouterID || !conf.Has("ip prefix-list SRRD seq 5") {
		t.Errorf("configuration %+v, %v", conf, err)
	}
	if n, err := r.Neighbors(ctx); len(n) > 0 || err != nil {
		t.Errorf("neighbours %v, %v", n, err)
	}
	wantNoExternals(ctx, t, r)
	vip := prefix("10.250.0.1/32")
	if got, err := r.Routes(ctx, vip); len(got) > 0 || err != nil {
		t.Errorf("routes before: %v, %v", got, err)
	}
	if got, err := r.KernelRoutes(ctx); len(got) > 0 || err != nil {
		t.Errorf("routes of the kernel in an empty namespace: %v, %v", got, err)
	}
	if err := r.Configure(ctx, ClassAddress, "interface lo", "ip address "+vip.String()); err != nil {
		t.Errorf("address: %v", err)
	}
	awaitRoute(ctx, t, r, vip)
	// A second removal is refused by FRR up to 9 and ignored from 10 on.
	if err := r.Configure(ctx, ClassAddress, "interface lo", "no ip address "+vip.String()); err != nil {
		t.Errorf("address off: %v", err)
	}
}

// wantNoExternals asks for what is not there.
func wantNoExternals(ctx context.Context, t *testing.T, r *Router) {
	t.Helper()
	x, err := r.OwnExternals(ctx)
	if len(x) > 0 || err != nil {
		t.Errorf("externals %v, %v", x, err)
	}
}

// awaitRoute waits for zebra to hear from the kernel of the address it has set.
func awaitRoute(ctx context.Context, t *testing.T, r *Router, p netip.Prefix) {
	t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		got, err := r.Routes(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, route := range got {
			if route.Protocol == "connected" && route.Nexthops[0].Interface == "lo" {
				return
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("zebra has no connected route for %v: %+v", p, got)
		}
	}
}

func realTelnet(ctx context.Context, t *testing.T) {
	t.Helper()
	to := Telnet{Address: net.JoinHostPort("127.0.0.1", fmt.Sprint(OSPF.DefaultPort())), Password: "one", EnablePassword: "two"}
	s, err := DialTelnet(ctx, OSPF, to)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if rel, err := s.Release(ctx); err != nil || !rel.FRR() {
		t.Errorf("release %v, %v", rel, err)
	}
	wantStatus(t, s.Configure(ctx, "router ospf", "network 198.51.100.0/24 area 7"),
		StatusConfigFailed, "There is already same network statement.")
	_, err = s.Exec(ctx, "bogus")
	wantStatus(t, err, StatusNoMatch, "Unknown command: bogus")
	text, err := s.Exec(ctx, "show ip ospf json")
	if err != nil {
		t.Error(err)
	}
	if state, err := ParseOSPF(text); err != nil || !state.Running {
		t.Errorf("over telnet: %+v, %v", state, err)
	}
	if err := s.Configure(ctx, "ip prefix-list TELNET seq 5 permit any"); err != nil {
		t.Error(err)
	}
	if text, err := s.Exec(ctx, "show running-config"); err != nil || !ParseRunning(text).Has("ip prefix-list TELNET") {
		t.Errorf("%v\n%s", err, text)
	}
	to.Password = "wrong"
	if _, err := DialTelnet(ctx, OSPF, to); !errors.Is(err, ErrLogin) {
		t.Errorf("wrong password: %v", err)
	}
	to.Password, to.EnablePassword = "one", "wrong"
	if _, err := DialTelnet(ctx, OSPF, to); !errors.Is(err, ErrLogin) {
		t.Errorf("wrong enable password: %v", err)
	}
}

func realRestart(ctx context.Context, t *testing.T, f *realFRR, r *Router, rel Release) {
	t.Helper()
	f.stop(OSPF)
	_, err := r.Exec(ctx, OSPF, "show ip ospf json")
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("while ospfd is down: %v", err)
	}
	f.start(OSPF)
	if state, err := r.OSPFState(ctx); err != nil || !state.Running {
		t.Errorf("after the restart: %+v, %v", state, err)
	}
	if err := r.Configure(ctx, ClassOSPF, "no router ospf"); err != nil {
		t.Error(err)
	}
	if state, err := r.OSPFState(ctx); err != nil || state.Running {
		t.Errorf("without router ospf: %+v, %v", state, err)
	}
	wantNoExternals(ctx, t, r)
}
