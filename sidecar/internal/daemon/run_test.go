package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/lsdb/lsa"
	"github.com/srrd/srrd/ospfapi"
	"github.com/srrd/srrd/ospfapi/ospfapitest"
	"github.com/srrd/srrd/sidecar/internal/state"
	"github.com/srrd/srrd/vty"
	"github.com/srrd/srrd/zapi"
	"github.com/srrd/srrd/zapi/zapitest"
)

// The tests of this file run the whole daemon, which sets addresses: each runs
// in a process of its own in a network namespace of its own.

const insideKey = "SRRD_TEST_NAMESPACE"

// inNamespace makes the namespace of such a process usable.
func inNamespace() {
	if os.Getenv(insideKey) == "" {
		return
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lo of the test's namespace:", err)
		os.Exit(1)
	}
}

// alone runs the test in a namespace of its own; false means that it has been.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideKey) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Fatal("needs root: it makes a network namespace")
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=90s", "-test.v")
	c.Env = append(os.Environ(), insideKey+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
	return false
}

// patience bounds waits for things that are sure to come.
const patience = time.Minute

var (
	self = netip.MustParseAddr("10.255.0.1")
	peer = netip.MustParseAddr("10.255.0.2")
	vip  = netip.MustParseAddr("10.250.0.1")
)

// suite is a node's FRR, scripted.
type suite struct {
	files
	ospf  *ospfapitest.Server
	zebra *zapitest.Zebra

	mu       sync.Mutex
	routerID string // as configured; "": none is
	version  string // as "show version" says it
	said     []string
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	return newSuiteOf(t, "FRRouting 8.4.4 (n1).")
}

// newSuiteOf is one whose zebra speaks as that of a release.
func newSuiteOf(t *testing.T, version string) *suite {
	t.Helper()
	dialect, err := zapi.DialectFor(version)
	if err != nil {
		t.Fatal(err)
	}
	area, nic := netip.IPv4Unspecified(), netip.MustParseAddr("192.0.2.1")
	s := &suite{files: newFiles(t), routerID: self.String(), version: version, zebra: zapitest.Start(t, dialect), ospf: ospfapitest.NewServer(t, ospfapitest.Config{
		RouterID: self, Reachable: []netip.Addr{peer}, Interfaces: []ospfapitest.Interface{{Addr: nic, Area: area, State: ospfapi.ISMDR}},
		Neighbors: []ospfapitest.Neighbor{{IfAddr: nic, Addr: netip.MustParseAddr("192.0.2.2"), RouterID: peer, State: ospfapi.NSMFull}},
	})}
	s.write("srrd.yaml", mustRead(t, s.files, "srrd.yaml")+fmt.Sprintf("startup_hold: 10ms\nfrr: {vty_dir: %s, zserv: %s, ospfapi: %q}\n", s.dir, s.zebra.Path(), s.ospf.Addr()))
	s.service("web", "addresses: "+vip.String()+"\n")
	s.write("web/Makefile", mustRead(t, s.files, "web/Makefile")) // as it is
	for _, d := range []string{"zebra", "ospfd"} {
		l, err := vty.Listen(filepath.Join(s.dir, d+".vty"), 0o600, -1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		server := &vty.Server{Handler: func(_ context.Context, r *vty.Request) vty.Status { return s.answer(d, r) }}
		go func() { ended <- server.Serve(ctx, l) }()
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	return s
}

// answer is FRR's VTY, as far as srrd asks it.
func (s *suite) answer(daemon string, r *vty.Request) vty.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	router := "router ospf\n"
	if s.routerID != "" {
		router += " ospf router-id " + s.routerID + "\n"
	}
	text := map[string]string{
		"show version":                   s.version + "\n",
		"zebra show running-config":      "frr version 8.4.4\nhostname n1\n!\nend\n",
		"ospfd show running-config":      "frr version 8.4.4\nhostname n1\n!\n" + router + " network 192.0.2.0/24 area 0\n capability opaque\n redistribute table 201\nexit\n!\nend\n",
		"show ip ospf json":              fmt.Sprintf(`{"routerId":%q,"opaqueCapable":true,"areas":{"0.0.0.0":{"backbone":true}}}`, self),
		"show ip ospf neighbor json":     `{"neighbors":{}}`,
		"show ip ospf interface json":    `{"interfaces":{"eth0":{"ospfEnabled":true,"area":"0.0.0.0","timerDeadSecs":4}}}`,
		"show ip ospf neighbor all json": `{"neighbors":{}}`,
		// of Quagga
		"show ip ospf":           fmt.Sprintf(" OSPF Routing Process, Router ID: %s\n OpaqueCapability flag is enabled\n\n Area ID: 0.0.0.0 (Backbone)\n", self),
		"show ip ospf interface": "eth0 is up\n  Internet Address 192.0.2.1/24, Area 0.0.0.0\n  Timer intervals configured, Hello 1s, Dead 4s, Wait 4s, Retransmit 5\n",
	}
	if strings.HasPrefix(s.version, "Quagga ") {
		s.said = append(s.said, daemon+" "+r.Command)
		if strings.HasSuffix(r.Command, " json") || strings.HasPrefix(r.Command, "redistribute table") {
			fmt.Fprintf(r, "%% [%s] Unknown command: %s\n", daemon, r.Command)
			return vty.StatusNoMatch
		}
	}
	reply, known := text[r.Command]
	if !known {
		reply = text[daemon+" "+r.Command]
	}
	if _, err := r.Write([]byte(reply)); err != nil {
		return vty.StatusWarning
	}
	return vty.StatusSuccess
}

// life is a daemon that runs.
type life struct {
	t     *testing.T
	stop  chan os.Signal
	ended chan error
	log   *lines
	dir   string
}

func (s *suite) start(t *testing.T) *life {
	t.Helper()
	return s.startWith(t, func(*Options) {})
}

func (s *suite) startWith(t *testing.T, set func(*Options)) *life {
	t.Helper()
	opt, log := s.options()
	set(&opt)
	stop := make(chan os.Signal, 2)
	opt.Stop = stop
	l := &life{t: t, stop: stop, ended: make(chan error, 1), log: log, dir: s.dir}
	ctx, cancel := context.WithCancel(context.Background())
	var g errgroup.Group
	g.Go(func() error { l.ended <- Run(ctx, opt); return nil })
	t.Cleanup(func() {
		cancel()
		_ = g.Wait() // Run's error has been looked at
	})
	return l
}

// ask is srrsh.
func (l *life) ask(ctx context.Context, line string) (string, error) {
	s, err := vty.Dial(ctx, filepath.Join(l.dir, "run/srrd.vty"))
	if err != nil {
		return "", err
	}
	defer s.Close()
	return s.Exec(ctx, line)
}

// until asks until the answer holds all words.
func (l *life) until(line string, words ...string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		text, err := l.ask(ctx, line)
		missing := err != nil
		for _, w := range words {
			missing = missing || !strings.Contains(text, w)
		}
		if !missing {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			l.t.Fatalf("%s: no %q in:\n%s%v\nlog:\n%s", line, words, text, err, l.log)
		}
	}
}

func (l *life) end(want string) {
	l.t.Helper()
	select {
	case err := <-l.ended:
		if got := fmt.Sprint(err); got != want {
			l.t.Errorf("ended with %s, want %s\n%s", got, want, l.log)
		}
	case <-time.After(patience):
		l.t.Fatalf("does not end; log:\n%s", l.log)
	}
}

func (s *suite) ownRoute(t *testing.T, seq uint32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.zebra.WaitRIB(ctx, func(r []zapi.Route) bool { return len(r) == 1 }); err != nil {
		t.Errorf("zebra has no route: %v", err)
	}
	s.external(t, seq)
}

// external is the echo of an announced address.
func (s *suite) external(t *testing.T, seq uint32) {
	t.Helper()
	b, err := lsa.LSA{Header: lsa.Header{Type: lsa.TypeASExternal, ID: vip, AdvRouter: self, Options: 0x42, Age: 1},
		Body: lsa.External{Bits: 32, E2: true, Metric: 20, Forward: netip.IPv4Unspecified()}}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	ospfapitest.SetHeader(b, 1, seq)
	s.ospf.Inject(netip.IPv4Unspecified(), b)
}

func localRoutes(t *testing.T) (n int) {
	t.Helper()
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_LOCAL, Protocol: 201}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		t.Fatal(err)
	}
	return len(routes)
}

func TestAServiceRunsFromTheStartToAnOrderlyEnd(t *testing.T) {
	if !alone(t) {
		return
	}
	s := newSuite(t)
	l := s.start(t)
	s.ownRoute(t, 0x80000001)
	l.until("show service web", "active/started")
	if n := localRoutes(t); n != 1 {
		t.Errorf("%d local routes", n)
	}
	l.stop <- syscall.SIGTERM
	l.end("<nil>")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.zebra.WaitRIB(ctx, func(r []zapi.Route) bool { return len(r) == 0 }); err != nil {
		t.Errorf("the route outlives srrd: %v", err)
	}
	if n := localRoutes(t); n != 0 {
		t.Errorf("%d local routes are left", n)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "run/srrd.vty")); err == nil {
		t.Error("the socket is left")
	}
	if err := s.ospf.Crashed(); err != nil {
		t.Errorf("ospfd would have crashed: %v", err)
	}
}

func TestASecondLifeGoesOnWithWhatAnEarlierOneLeft(t *testing.T) {
	if !alone(t) {
		return
	}
	s := newSuite(t)
	s.write("state/"+state.File, "{not json")
	s.write("run/marks/web.json", "damaged")
	for _, left := range []string{"10.250.0.9/32", vip.String() + "/32"} {
		dst, err := netlink.ParseIPNet(left)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.RouteAdd(&netlink.Route{Dst: dst, LinkIndex: 1, Table: unix.RT_TABLE_LOCAL,
			Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, Protocol: 201}); err != nil {
			t.Fatal(err)
		}
	}
	l := s.start(t)
	s.ownRoute(t, 0x80000001)
	l.until("show service web", "active/started")
	if n := localRoutes(t); n != 1 {
		t.Errorf("%d local routes: that of nobody should be gone", n)
	}
	for _, want := range []string{"the memory of earlier lives is not used", "a mark of an earlier life is damaged"} {
		if !strings.Contains(l.log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, l.log)
		}
	}
	l.stop <- syscall.SIGTERM
	l.end("<nil>")
}

func TestAPrimitiveThatOutlivedAKilledSrrdIsEndedBeforeAnythingIsAsked(t *testing.T) {
	if !alone(t) {
		return
	}
	s := newSuite(t)
	orphan := exec.Command("sleep", "1000")
	orphan.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	t.Cleanup(func() { _ = unix.Kill(-orphan.Process.Pid, unix.SIGKILL) })
	boot := strings.TrimSpace(mustRead(t, files{t, "/proc/sys/kernel/random"}, "boot_id"))
	stat := strings.Fields(mustRead(t, files{t, fmt.Sprintf("/proc/%d", orphan.Process.Pid)}, "stat"))
	s.write("run/runs/web.json", fmt.Sprintf(`{"version":1,"boot_id":%q,"service":"web","primitive":"start","pid":%d,"start":%s}`, boot, orphan.Process.Pid, stat[21]))
	s.write("run/marks/web.json", fmt.Sprintf(`{"version":1,"boot_id":%q,"service":"web","claim":1}`, boot))
	s.write("web/Makefile", mustRead(t, s.files, "web/Makefile")+fmt.Sprintf("status:\n\t@! grep -qs '^State:.[^Z]' /proc/%d/status || touch asked-too-early\n", orphan.Process.Pid))
	l := s.start(t)
	select {
	case err := <-ended:
		if err == nil || err.Error() != "signal: killed" {
			t.Errorf("the orphan: %v", err)
		}
	case <-time.After(patience): // a bound for a broken test, not a wait
		t.Fatalf("the orphan runs still; log:\n%s", l.log)
	}
	s.ownRoute(t, 0x80000001)
	l.until("show service web", "active/started")
	if _, err := os.Stat(filepath.Join(s.dir, "web/asked-too-early")); err == nil {
		t.Error("status was asked while the orphan ran")
	}
	if want := fmt.Sprintf("start of web of the life before was still running (pid %d): killed", orphan.Process.Pid); !strings.Contains(l.log.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, l.log)
	}
}

func TestCleanUpEndsWhatOutlivedAKilledSrrd(t *testing.T) {
	f := newFiles(t)
	orphan := exec.Command("sleep", "1000")
	orphan.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(-orphan.Process.Pid, unix.SIGKILL)
		_ = orphan.Wait() // killed
	})
	boot := strings.TrimSpace(mustRead(t, files{t, "/proc/sys/kernel/random"}, "boot_id"))
	stat := strings.Fields(mustRead(t, files{t, fmt.Sprintf("/proc/%d", orphan.Process.Pid)}, "stat"))
	f.write("run/runs/web.json", fmt.Sprintf(`{"version":1,"boot_id":%q,"service":"web","primitive":"stop","pid":%d,"start":%s}`, boot, orphan.Process.Pid, stat[21]))
	opt, _ := f.options()
	c, err := load(opt)
	if err != nil {
		t.Fatal(err)
	}
	found := fmt.Sprintf("stop of web of the life before was still running (pid %d)", orphan.Process.Pid)
	for _, dry := range []bool{true, false} {
		var out strings.Builder
		k := &cleaner{Cleanup: Cleanup{DryRun: dry, Out: &out}, c: c}
		k.orphans(t.Context())
		want := found + map[bool]string{true: ": would kill it\n", false: ": killed\n"}[dry]
		if out.String() != want || k.left != nil {
			t.Errorf("%q %v, want %q", out.String(), k.left, want)
		}
		if _, err := os.Stat(filepath.Join(f.dir, "run/runs/web.json")); (err == nil) != dry {
			t.Errorf("dry run %v, the note: %v", dry, err)
		}
	}
}

func TestAnAddressThatOspfdKeptFromAnEarlierLifeIsCleared(t *testing.T) {
	if !alone(t) {
		return
	}
	s := newSuite(t)
	s.service("web", "addresses: "+vip.String()+"\nenabled: no\n")
	b, err := lsa.LSA{Header: lsa.Header{Type: lsa.TypeASExternal, ID: vip, AdvRouter: self, Options: 0x42, Age: 1},
		Body: lsa.External{Bits: 32, E2: true, Metric: 20, Forward: netip.IPv4Unspecified()}}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	ospfapitest.SetHeader(b, 1, 0x80000001)
	s.ospf.Inject(netip.IPv4Unspecified(), b)
	l := s.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for came := false; !came; {
		for _, m := range s.zebra.Received() {
			if del, is := m.(zapi.RouteDelete); is && del.Prefix.Addr() == vip {
				came = true
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("its route did not come and go:\n%s", l.log)
		}
	}
	l.stop <- syscall.SIGTERM
	l.end("<nil>")
}

func TestWithoutARouterIDNoServiceStartsAndTheReasonIsShown(t *testing.T) {
	if !alone(t) {
		return
	}
	s := newSuite(t)
	s.mu.Lock()
	s.routerID = ""
	s.mu.Unlock()
	l := s.start(t)
	l.until("why web", "no explicit router-id")
	s.mu.Lock()
	s.routerID = "10.255.0.77"
	s.mu.Unlock()
	l.until("why web", "ospfd still uses the router id 10.255.0.1, not 10.255.0.77 as configured")
	s.mu.Lock()
	s.routerID = self.String()
	s.mu.Unlock()
	s.ownRoute(t, 0x80000001)
	l.until("show service web", "active/started")
	l.stop <- syscall.SIGTERM
	l.end("<nil>")
}

func TestANewerFRRIsToldNothingWhoseMeaningIsNotKnown(t *testing.T) {
	if !alone(t) {
		return
	}
	for _, suite := range []struct{ version, why string }{
		{"FRRouting 11.0 (n1) on Linux(6.1.0).", "newer than 10.7, the newest release known here"},
		{"Quagga 1.3.0 (n1).", "not one of the releases known here"},
	} {
		s := newSuite(t)
		s.version = suite.version
		l := s.start(t)
		// The OSPF-API says by itself what it is: the node is in the cluster.
		l.until("show node", "10.255.0.1", "online")
		l.until("show events", suite.why)
		if got := s.zebra.Received(); len(got) > 0 {
			t.Errorf("%s: zebra was sent %v", suite.version, got)
		}
		l.stop <- syscall.SIGTERM
		l.end("<nil>")
		if err := s.ospf.Crashed(); err != nil {
			t.Errorf("%s: ospfd would have crashed: %v", suite.version, err)
		}
		if n := localRoutes(t); n != 0 {
			t.Errorf("%s: %d local routes are left", suite.version, n)
		}
	}
}

func TestASecondSignalEndsASlowShutdown(t *testing.T) {
	if !alone(t) {
		return
	}
	s := newSuite(t)
	mk := strings.Replace(mustRead(t, s.files, "web/Makefile"), "start stop status check:\n\t@true", "start status check:\n\t@true\nstop:\n\t@touch "+s.dir+"/stopping; sleep 60", 1)
	s.write("web/Makefile", mk)
	l := s.start(t)
	s.ownRoute(t, 0x80000001)
	l.until("show service web", "active/started")
	l.stop <- syscall.SIGTERM
	l.until("show service web", "stopping")
	l.stop <- syscall.SIGTERM
	l.end("second signal (terminated): ended without stopping the services in order")
}

func TestASocketInUseIsToldAndLeavesNothing(t *testing.T) {
	if !alone(t) {
		return
	}
	s := newSuite(t)
	if err := os.MkdirAll(filepath.Join(s.dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := vty.Listen(filepath.Join(s.dir, "run/srrd.vty"), 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	opt, _ := s.options()
	opt.Log = slog.New(slog.DiscardHandler)
	if err := Run(t.Context(), opt); err == nil || !strings.Contains(err.Error(), "socket of srrsh: ") || !strings.Contains(err.Error(), "another process answers on it") {
		t.Errorf("Run: %v", err)
	}
}
