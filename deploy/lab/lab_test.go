package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// needRoot ends the test with the reason where a lab cannot run. It does not
// skip: a green run means that the lab was there.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test builds network namespaces and needs root")
	}
	if _, err := os.Stat(filepath.Join(defaultFRR, "ospfd")); err != nil {
		t.Fatalf("this test runs FRR: %v (Debian: apt install frr)", err)
	}
}

// testBase is a short directory that FRR's user can enter.
func testBase(t *testing.T) string {
	t.Helper()
	base, err := os.MkdirTemp("/run", "srrlab-t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	return base
}

func testName(suffix string) string { return "t" + strconv.Itoa(os.Getpid()) + suffix }

func testContext(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func buildSrrlab(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "srrlab")
	if out, err := exec.Command("go", "build", "-o", bin, "./cmd/srrlab").CombinedOutput(); err != nil {
		t.Fatalf("build srrlab: %v\n%s", err, out)
	}
	return bin
}

// The small topology has no FRR: two hosts on a cable.
const small = `
name: small
hosts:
  a: {}
  b: {}
links:
  - members: [{host: a, iface: eth0, address: 10.0.0.1/24}, {host: b, iface: eth0, address: 10.0.0.2/24}]
`

func parse(t *testing.T, text string) *Topology {
	t.Helper()
	topo, err := Parse("test.yaml", []byte(text))
	check(t, err)
	return topo
}

func TestTheDemoTopologyWithRealFRR(t *testing.T) {
	needRoot(t)
	base, srrlab := testBase(t), buildSrrlab(t)
	load := func() *Topology {
		topo, err := Load("topologies/demo.yaml")
		check(t, err)
		for _, node := range []string{"n2", "n3"} {
			topo.Host(node).Srrd = nil
		}
		// A busy machine keeps a daemon from the processor for the demo's 150 ms, and
		// for seconds at times: what BFD sees is to be told from what the dead interval
		// ends, and a loss is to be one that the test has made.
		for i := range topo.BFD {
			topo.BFD[i].Interval, topo.BFD[i].Multiplier = 200*time.Millisecond, 4
		}
		for i := range topo.LANs {
			if topo.LANs[i].Name == "lan2" {
				topo.LANs[i].Dead = 8
			}
		}
		// A shell stands in for srrd, to see how it would be started.
		topo.Host("n1").Srrd = &SrrdHost{
			Config: "router-id: {{.RouterID}}\n",
			Args:   []string{"-c", "cp {{.SrrdConfig}} {{.RunDir}}/seen; exec sleep 1000"},
			Ready:  "{{.RunDir}}/seen",
		}
		topo.Host("n3").Daemons = []Daemon{{Name: "answer", Ready: "{{.RunDir}}/answer.pid", Command: []string{
			"/bin/sh", "-c", "{{.Srrlab}} answer --name {{.Host}} --background --pidfile {{.RunDir}}/answer.pid; exec sleep 1000"}}}
		return topo
	}
	// Two labs at once, with the same addresses.
	var labs [2]*Lab
	var g errgroup.Group
	for i := range labs {
		topo := load()
		g.Go(func() error {
			var err error
			labs[i], err = Up(testContext(t, time.Minute), topo, Options{Name: testName("-" + strconv.Itoa(i)), Base: base,
				Binaries: Binaries{Srrd: "/bin/sh", Srrlab: srrlab}})
			return err
		})
	}
	err := g.Wait()
	t.Cleanup(func() {
		for _, l := range labs {
			if l != nil {
				if err := l.Down(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	check(t, err)
	l := labs[0]

	t.Run("the client reaches n3 two routers away", func(t *testing.T) {
		_, err := l.Exec(testContext(t, time.Minute), "client", "ping", "-c1", "-W2", "10.1.2.13")
		check(t, err)
	})
	t.Run("srrd gets its expanded configuration", func(t *testing.T) {
		b, err := os.ReadFile(filepath.Join(l.Vars("n1").RunDir, "seen"))
		check(t, err)
		if string(b) != "router-id: 10.255.1.1\n" {
			t.Errorf("srrd.yaml is %q", b)
		}
	})
	t.Run("vtysh on a host talks to that host's FRR", func(t *testing.T) {
		out, err := l.Exec(testContext(t, time.Minute), "n2", "vtysh", "-c", "show ip ospf")
		check(t, err)
		if !strings.Contains(out, "Router ID: 10.255.1.2") {
			t.Errorf("got %s", out)
		}
	})
	t.Run("a lab in use is not swept by another up", func(t *testing.T) {
		_, err := Up(testContext(t, time.Minute), load(), Options{Name: l.Name(), Base: base})
		if err == nil || !strings.Contains(err.Error(), "this process has it up already") {
			t.Errorf("got %v", err)
		}
		if gone, err := Prune(base); err != nil || len(gone) != 0 {
			t.Errorf("pruned %v, %v", gone, err)
		}
	})
	t.Run("a silent cut is seen by BFD long before the dead interval, and heals", func(t *testing.T) {
		ctx := testContext(t, time.Minute)
		began := time.Now()
		check(t, l.Cut("n3:eth0", Silent))
		check(t, l.WaitLost(ctx, "r2", "lan2"))
		if took := time.Since(began); took > 5*time.Second { // of the dead interval, 8 s, 7 at least are left
			t.Errorf("seen after %s", took)
		}
		if out, err := l.Exec(ctx, "n3", "ip", "-o", "link", "show", "eth0"); err != nil || !strings.Contains(out, "LOWER_UP") {
			t.Errorf("n3 lost its carrier: %s %v", out, err)
		}
		check(t, l.Heal("n3:eth0"))
		check(t, l.WaitConverged(ctx))
	})
	t.Run("a carrier cut takes the carrier of both ends, and traffic goes round", func(t *testing.T) {
		ctx := testContext(t, time.Minute)
		check(t, l.Cut("r0-r1", Carrier))
		for host, iface := range map[string]string{"r0": "r1", "r1": "r0"} {
			check(t, l.Wait(ctx, func() error { // the kernel tells of it a moment later
				out, err := l.Exec(ctx, host, "ip", "-o", "link", "show", iface)
				if err == nil && !strings.Contains(out, "NO-CARRIER") {
					err = fmt.Errorf("%s still has its carrier: %s", host, out)
				}
				return err
			}))
		}
		check(t, l.WaitLost(ctx, "r0", "r1"))
		check(t, l.Wait(ctx, func() error {
			_, err := l.Exec(ctx, "client", "ping", "-c1", "-W1", "10.1.1.11")
			return err
		}))
		check(t, l.Heal("r0-r1"))
		check(t, l.WaitConverged(ctx))
	})
	t.Run("ospfd killed is lost, and started again returns", func(t *testing.T) {
		ctx := testContext(t, time.Minute)
		before, err := l.PID("n3", "ospfd")
		check(t, err)
		check(t, l.Kill("n3", "ospfd", syscall.SIGKILL))
		check(t, l.WaitLost(ctx, "r2", "lan2"))
		if pid, err := l.PID("n3", "ospfd"); err != nil || pid != 0 {
			t.Errorf("pid %d %v after the kill", pid, err)
		}
		if err := l.Kill("n3", "ospfd", syscall.SIGKILL); err == nil {
			t.Error("a dead daemon was killed again")
		}
		check(t, l.Start(ctx, "n3", "ospfd"))
		if err := l.Start(ctx, "n3", "ospfd"); err == nil || !strings.Contains(err.Error(), "runs already") {
			t.Errorf("started twice: %v", err)
		}
		if pid, err := l.PID("n3", "ospfd"); err != nil || pid == before || pid == 0 {
			t.Errorf("pid %d, was %d: %v", pid, before, err)
		}
		check(t, l.WaitConverged(ctx))
		// All three, as watchfrr does it: after zebra's restart alone, ospfd 8.4
		// tells it neither its routes nor its BFD sessions again.
		for _, name := range []string{"zebra", "bfdd", "ospfd"} {
			check(t, l.Restart(ctx, "n3", name))
		}
		check(t, l.WaitConverged(ctx))
	})
	t.Run("a frozen ospfd is lost by its neighbour, and returns when thawed", func(t *testing.T) {
		ctx := testContext(t, time.Minute)
		check(t, l.Freeze("n3", "ospfd"))
		if s := daemonState(t, l, "n3", "ospfd"); s != procFrozen {
			t.Errorf("state %s", s)
		}
		check(t, l.WaitLost(ctx, "r2", "lan2"))
		check(t, l.Thaw("n3", "ospfd"))
		check(t, l.WaitConverged(ctx))
	})
	t.Run("a one-way loss lets the other way through", func(t *testing.T) {
		ctx := testContext(t, time.Minute)
		check(t, l.Loss("client:eth0", In, 1))
		hostBefore, routerBefore := received(t, l, "client", "eth0"), received(t, l, "r0", "client")
		if _, err := l.Exec(ctx, "client", "ping", "-c2", "-i0.1", "-W0.2", "10.0.0.1"); err == nil {
			t.Error("an answer came through")
		}
		if got := received(t, l, "client", "eth0"); got != hostBefore {
			t.Errorf("the client received %d frames", got-hostBefore)
		}
		if got := received(t, l, "r0", "client"); got <= routerBefore {
			t.Error("r0 received nothing")
		}
		if f := l.faults(t)["client:eth0"]; f != "loss in 100%" {
			t.Errorf("status says %q", f)
		}
		check(t, l.Heal("client"))
		_, err := l.Exec(ctx, "client", "ping", "-c1", "-W2", "10.0.0.1")
		check(t, err)
		if err := l.Loss("lan1", In, 1); err == nil || !strings.Contains(err.Error(), "needs an end") {
			t.Errorf("one-way loss of a LAN: %v", err)
		}
	})
	t.Run("half the frames lost, a delay, and both together", func(t *testing.T) {
		ctx := testContext(t, time.Minute)
		lost := func() int {
			out, _ := l.Exec(ctx, "client", "ping", "-q", "-c200", "-i0.002", "-W1", "10.0.0.1") // loss is no failure here
			var sent, got int
			for _, line := range strings.Split(out, "\n") {
				if n, _ := fmt.Sscanf(line, "%d packets transmitted, %d received", &sent, &got); n == 2 {
					return sent - got
				}
			}
			t.Fatalf("ping said %q", out)
			return 0
		}
		half := func(n int) bool { return n > 40 && n < 160 } // beyond 8 sigma of 200 at 0.5
		check(t, l.Loss("access", Both, 1-0.7071))            // once each way: half of the round trips
		if n := lost(); !half(n) {
			t.Errorf("%d of 200 lost", n)
		}
		check(t, l.Delay("access", 20*time.Millisecond, 0))
		if n := lost(); !half(n) {
			t.Errorf("%d of 200 lost with the relay in the way", n)
		}
		check(t, l.Loss("access", Both, 0))
		if rtt := pingTime(t, l, ctx); rtt < 40*time.Millisecond {
			t.Errorf("round trip %s with 20 ms each way", rtt)
		}
		check(t, l.Heal("access"))
		check(t, l.Wait(ctx, func() error { // one of them, on a busy machine
			if rtt := pingTime(t, l, ctx); rtt >= 40*time.Millisecond {
				return fmt.Errorf("round trip %s after healing", rtt)
			}
			return nil
		}))
	})
	t.Run("the probe sees a cut as one outage and goes on after it", func(t *testing.T) {
		ctx := testContext(t, time.Minute)
		p, err := l.Probe("client", ProbeConfig{Target: netip.MustParseAddrPort("10.1.2.13:7777"), TCPEvery: 20 * time.Millisecond})
		check(t, err)
		defer p.Stop()
		if who, err := p.WaitAnswer(ctx, ""); err != nil || who != "n3" {
			t.Fatalf("answered by %q, %v", who, err)
		}
		p.Mark("cut")
		check(t, l.Cut("r2:lan2", Silent))
		check(t, l.WaitLost(ctx, "r2", "lan2"))
		check(t, l.Heal("r2:lan2"))
		check(t, l.WaitConverged(ctx))
		_, err = p.WaitAnswer(ctx, "n3")
		check(t, err)
		p.Mark("after")
		_, err = p.WaitAnswer(ctx, "n3")
		check(t, err)
		r := p.Stop()
		cut, _ := r.Phase("cut")
		if cut.Lost == 0 || cut.Longest().After != "n3" || cut.Longest().Before != "n3" {
			t.Errorf("the cut is not in the report:\n%s", r)
		}
		if after, _ := r.Phase("after"); after.Lost != 0 || after.Sent == 0 {
			t.Errorf("losses after the healing:\n%s", r)
		}
		if !strings.HasPrefix(cut.Line(), "cut from=n3 to=n3 lost=") {
			t.Errorf("line %q", cut.Line())
		}
	})
	t.Run("faults and daemons that do not exist are named", func(t *testing.T) {
		if err := l.Cut("n9:eth0", Silent); err == nil || !strings.Contains(err.Error(), "n3:eth0") {
			t.Errorf("got %v", err)
		}
		if err := l.Freeze("n3", "bgpd"); err == nil || !strings.Contains(err.Error(), "it has zebra bfdd ospfd answer") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("down leaves nothing, and the other lab alone", func(t *testing.T) {
		stray := exec.Command("sleep", "1000") // a process nobody has told the lab of
		check(t, l.StartIn("n2", stray))
		check(t, l.Down())
		if err := stray.Wait(); err == nil {
			t.Error("a process in a namespace of the lab outlived it")
		}
		leftovers(t, l)
		other, err := Open(base, labs[1].Name())
		check(t, err)
		check(t, other.WaitConverged(testContext(t, time.Minute)))
		check(t, labs[1].Down())
		leftovers(t, labs[1])
	})
}

func (l *Lab) faults(t *testing.T) map[string]string {
	t.Helper()
	s, err := l.Status()
	check(t, err)
	return s.Faults
}

func daemonState(t *testing.T, l *Lab, host, name string) string {
	t.Helper()
	s, err := l.Status()
	check(t, err)
	for _, h := range s.Hosts {
		for _, d := range h.Daemons {
			if h.Name == host && d.Name == name {
				return d.State
			}
		}
	}
	t.Fatalf("status has no %s on %s:\n%s", name, host, s)
	return ""
}

func received(t *testing.T, l *Lab, host, iface string) uint64 {
	t.Helper()
	nl, err := handleIn(l.ns(host))
	check(t, err)
	defer nl.Close()
	dev, err := nl.LinkByName(iface)
	check(t, err)
	return dev.Attrs().Statistics.RxPackets
}

func pingTime(t *testing.T, l *Lab, ctx context.Context) time.Duration {
	t.Helper()
	out, err := l.Exec(ctx, "client", "ping", "-c1", "-W5", "10.0.0.1")
	check(t, err)
	_, rest, _ := strings.Cut(out, "time=")
	ms, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	check(t, err)
	return time.Duration(ms * float64(time.Millisecond))
}

func leftovers(t *testing.T, l *Lab) {
	t.Helper()
	for _, ns := range l.namespaces() {
		if nsInode(ns) != 0 {
			t.Errorf("namespace %s is still there", ns)
		}
	}
	if _, err := os.Stat(l.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there (%v)", l.dir, err)
	}
}

func TestACrashedRunIsCleanedByTheNextAndByPrune(t *testing.T) {
	needRoot(t)
	base, name := testBase(t), testName("-crash")
	o := Options{Name: name, Base: base}
	for round, clean := range []func(){
		func() {},
		func() {
			gone, err := Prune(base)
			check(t, err)
			if len(gone) != 1 || gone[0] != name {
				t.Errorf("pruned %v", gone)
			}
		},
		func() { // killed in the middle of writing its state
			check(t, os.WriteFile(statePath(filepath.Join(base, name)), []byte(`{"name": "`), 0o644))
		},
	} {
		l, err := Up(testContext(t, time.Minute), parse(t, small), o)
		check(t, err)
		stray := exec.Command("sleep", "1000")
		check(t, l.StartIn("a", stray))
		// What a crash leaves: all of it, and an owner that is no more.
		check(t, l.update(func(s *state) error { s.Owner.Start++; return nil }))
		clean()
		l, err = Up(testContext(t, time.Minute), parse(t, small), o)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := stray.Wait(); err == nil {
			t.Error("a process of the crashed run outlived it")
		}
		check(t, l.Down())
		leftovers(t, l)
	}
}

func TestADirectoryThatIsNoLabIsNeverRemoved(t *testing.T) {
	needRoot(t)
	base := testBase(t)
	precious := filepath.Join(base, "precious", "file")
	check(t, os.Mkdir(filepath.Dir(precious), 0o755))
	check(t, os.WriteFile(precious, nil, 0o644))
	if gone, err := Prune(base); err != nil || len(gone) != 0 {
		t.Errorf("pruned %v, %v", gone, err)
	}
	if err := Remove(base, "precious"); err == nil {
		t.Error("removed")
	}
	if _, err := Up(testContext(t, time.Minute), parse(t, small), Options{Name: "precious", Base: base}); err == nil || !strings.Contains(err.Error(), "holds no lab") {
		t.Errorf("up in its place: %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

func TestADetachedLabStaysUntilItIsRemovedByName(t *testing.T) {
	needRoot(t)
	base, name := testBase(t), testName("-det")
	o := Options{Name: name, Base: base, Detach: true}
	l, err := Up(testContext(t, time.Minute), parse(t, small), o)
	check(t, err)
	defer func() { check(t, l.Down()) }()
	if gone, err := Prune(base); err != nil || len(gone) != 0 {
		t.Errorf("pruned %v, %v", gone, err)
	}
	if _, err := Up(testContext(t, time.Minute), parse(t, small), o); err == nil || !strings.Contains(err.Error(), "already up") {
		t.Errorf("up again: %v", err)
	}
	check(t, Remove(base, name))
	leftovers(t, l)
}

func TestANamespaceThatIsNotOursIsLeftAlone(t *testing.T) {
	needRoot(t)
	base, name := testBase(t), testName("-own")
	check(t, addNS(name+"-a", false))
	t.Cleanup(func() { check(t, delNS(name+"-a")) })
	_, err := Up(testContext(t, time.Minute), parse(t, small), Options{Name: name, Base: base})
	if err == nil || !strings.Contains(err.Error(), "exists and is not ours") {
		t.Fatalf("got %v", err)
	}
	if nsInode(name+"-a") == 0 {
		t.Error("it is gone")
	}
}

func TestAFailedUpSaysWhatWasMissingAndRemovesItself(t *testing.T) {
	needRoot(t)
	base, name := testBase(t), testName("-fail")
	topo := parse(t, small)
	topo.Host("a").Daemons = []Daemon{{Name: "web", Command: []string{"/bin/sh", "-c", "echo no such port >&2; exit 3"}, Ready: "{{.RunDir}}/web"}}
	_, err := Up(testContext(t, time.Minute), topo, Options{Name: name, Base: base})
	if err == nil || !strings.Contains(err.Error(), "web on a ended at start; its log ends: no such port") {
		t.Errorf("got %v", err)
	}
	leftovers(t, newLab(topo, Options{Name: name, Base: base}))

	topo = parse(t, small)
	topo.Host("a").RouterID, topo.Host("b").RouterID = mustAddr("10.0.0.1"), mustAddr("10.0.0.2")
	topo.Links[0].Mode = "active"
	topo.Host("b").FRR = &FRRHost{RouterOSPF: "passive-interface eth0"}
	// Its time is over when all daemons run and only the neighbours are missing.
	ctx, cancel := context.WithCancel(testContext(t, time.Minute))
	defer cancel()
	log := slog.New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
		if strings.Contains(string(b), "waiting for OSPF") {
			cancel()
		}
		return len(b), nil
	}), nil))
	_, err = Up(ctx, topo, Options{Name: name, Base: base, Log: log})
	if err == nil || !strings.Contains(err.Error(), "a: no OSPF neighbour b on eth0") {
		t.Errorf("got %v", err)
	}
	leftovers(t, newLab(topo, Options{Name: name, Base: base}))
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestStatusIsReadableByPrograms(t *testing.T) {
	needRoot(t)
	base := testBase(t)
	l, err := Up(testContext(t, time.Minute), parse(t, small), Options{Name: testName("-st"), Base: base})
	check(t, err)
	defer func() { check(t, l.Down()) }()
	check(t, l.Cut("a-b", Silent))
	again, err := Open(base, l.Name())
	check(t, err)
	s, err := again.Status()
	check(t, err)
	b, err := json.Marshal(s)
	check(t, err)
	for _, want := range []string{`"a:eth0":"cut silent"`, `"b:eth0":"cut silent"`, `"phase":"up"`, `"eth0":"10.0.0.2/24"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
	if again.Address("b", "") != mustAddr("10.0.0.2") {
		t.Errorf("address of b: %s", again.Address("b", ""))
	}
}
