package ospfapi_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
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

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/ospfapi"
)

// frrDir is where Debian and the FRR packages put the daemons.
const frrDir = "/usr/lib/frr"

// daemonDirs are where the routers' daemons are, for one after the other:
// SRRD_FRR_DIR lists those of other versions, separated by colons.
var daemonDirs = strings.Split(cmp.Or(os.Getenv("SRRD_FRR_DIR"), frrDir), ":")

// realRouter is zebra and ospfd in a network namespace of their own.
type realRouter struct {
	ns, dir string
	daemons string
	ospfd   *os.Process
}

// realPair starts two routers on one point-to-point link in area 0 and returns
// when both ospfds listen. 10.98.0.1 is a's address, 10.98.0.2 b's; the router
// ids are 10.98.9.1 and 10.98.9.2.
func realPair(t *testing.T) (a, b *realRouter) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test starts real ospfds in network namespaces and needs root")
	}
	for _, dir := range daemonDirs {
		for _, d := range []string{"zebra", "ospfd"} {
			if _, err := os.Stat(filepath.Join(dir, d)); err != nil {
				t.Fatalf("this test needs FRR (Debian package frr): %v", err)
			}
		}
	}
	pid := os.Getpid()
	a = &realRouter{ns: fmt.Sprintf("oa%da", pid)}
	b = &realRouter{ns: fmt.Sprintf("oa%db", pid)}
	for _, r := range []*realRouter{a, b} {
		run(t, "ip", "netns", "add", r.ns)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", r.ns).Run() })
		run(t, "ip", "-n", r.ns, "link", "set", "lo", "up")
	}
	run(t, "ip", "link", "add", "eth0", "netns", a.ns, "type", "veth", "peer", "name", "eth0", "netns", b.ns)
	for i, r := range []*realRouter{a, b} {
		run(t, "ip", "-n", r.ns, "addr", "add", fmt.Sprintf("10.98.0.%d/24", i+1), "dev", "eth0")
		run(t, "ip", "-n", r.ns, "link", "set", "eth0", "up")
		r.daemons = daemonDirs[i%len(daemonDirs)]
		r.start(t, fmt.Sprintf(`hostname %s
interface eth1
 ip ospf area 0
interface eth0
 ip ospf network point-to-point
 ip ospf hello-interval 1
 ip ospf dead-interval 4
 ip ospf area 0
router ospf
 ospf router-id 10.98.9.%d
 capability opaque
 timers throttle lsa all 0
 timers lsa min-arrival 0
`, r.ns, i+1))
	}
	return a, b
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

func (r *realRouter) start(t *testing.T, conf string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "oa") // short: socket paths end at 108 octets
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	frr, err := user.Lookup("frr") // the daemons drop to this user
	must(t, err)
	uid, err := strconv.Atoi(frr.Uid)
	must(t, err)
	must(t, os.Chown(dir, uid, -1))
	r.dir = dir
	must(t, os.WriteFile(filepath.Join(dir, "zebra.conf"), nil, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "ospfd.conf"), []byte(conf), 0o644))
	if _, err := os.Stat(filepath.Join(r.daemons, "mgmtd")); err == nil { // zebra 10 wants it there first
		r.spawn(t, "mgmtd")
		waitFile(t, filepath.Join(dir, "mgmtd.vty"))
	}
	r.spawn(t, "zebra")
	waitFile(t, filepath.Join(dir, "zserv.api"))
	r.ospfd = r.spawn(t, "ospfd", "-a")
	waitFile(t, filepath.Join(dir, "ospfd.vty"))
}

func (r *realRouter) spawn(t *testing.T, daemon string, more ...string) *os.Process {
	t.Helper()
	args := append([]string{"netns", "exec", r.ns, filepath.Join(r.daemons, daemon), "-i", filepath.Join(r.dir, daemon+".pid"),
		"-z", filepath.Join(r.dir, "zserv.api"), "--vty_socket", r.dir, "-A", "127.0.0.1", "-P", "0",
		"--log", "file:" + filepath.Join(r.dir, daemon+".log")}, more...)
	if daemon != "mgmtd" { // it takes none
		args = append(args, "-f", filepath.Join(r.dir, daemon+".conf"))
	}
	cmd := exec.Command("ip", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(r.dir, daemon+".log"))
			t.Logf("%s in %s:\n%s", daemon, r.ns, log)
		}
	})
	return cmd.Process
}

// waitFile waits for a daemon to make its socket.
func waitFile(t *testing.T, path string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.NewTimer(40 * time.Second)
	defer timeout.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("%s did not appear within 40 s", path)
		}
	}
}

// in runs f with the thread in the router's network namespace: the sockets f
// makes stay there.
func (r *realRouter) in(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	here, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	must(t, err)
	defer here.Close()
	there, err := os.Open("/run/netns/" + r.ns)
	must(t, err)
	defer there.Close()
	must(t, unix.Setns(int(there.Fd()), unix.CLONE_NEWNET))
	f()
	// If the thread cannot come back it stays locked and dies with its goroutine.
	must(t, unix.Setns(int(here.Fd()), unix.CLONE_NEWNET))
	runtime.UnlockOSThread()
}

// ready is an OSPFReady as the daemon has it, in short: it asks ospfd by its VTY
// socket until "router ospf" is there.
func (r *realRouter) ready(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if out, err := r.vty("show ip ospf json"); err == nil && strings.Contains(out, "routerId") {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *realRouter) vty(command string) (string, error) {
	conn, err := net.Dial("unix", filepath.Join(r.dir, "ospfd.vty"))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write(append([]byte(command), 0)); err != nil {
		return "", err
	}
	var out []byte
	for buf := make([]byte, 4096); ; {
		n, err := conn.Read(buf)
		out = append(out, buf[:n]...)
		if i := bytes.Index(out, []byte{0, 0, 0}); i >= 0 && len(out) > i+3 {
			return string(out[:i]), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// client connects to the router's ospfd.
func (r *realRouter) client(t *testing.T, rec *recording) (s *session) {
	t.Helper()
	r.in(t, func() { s = start(t, ospfapi.WithTap(ospfapi.Config{OSPFReady: r.ready}, rec.tap)) })
	ready(t, s)
	return s
}

// release asks the router which FRR it is.
func (r *realRouter) release(t *testing.T) (v release) {
	t.Helper()
	text, err := r.vty("show version")
	must(t, err)
	if _, err := fmt.Sscanf(strings.TrimSpace(text), "FRRouting %d.%d", &v.major, &v.minor); err != nil {
		t.Fatalf("show version: %v in %q", err, text)
	}
	return v
}

type release struct{ major, minor int }

func (v release) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}

// dialect is the one an ospfd of this release must be found to speak.
func (v release) dialect() ospfapi.Dialect {
	switch {
	case v.atLeast(8, 4):
		return ospfapi.FRR84
	case v.atLeast(8, 3):
		return ospfapi.FRR83
	}
	return ospfapi.FRR75
}

// tellsOriginator: an ospfd that tells its client at once that what it deleted
// is gone, with the instance that is flooded. 10.3 does not, 10.7 does.
func (v release) tellsOriginator() bool { return v.atLeast(10, 4) }

// registersTwice: an ospfd that lets a type be registered again, also by another
// client; the end of any of them then ends it for all. 8.4 refuses, 10.3 does not.
func (v release) registersTwice() bool { return v.atLeast(10, 0) }

// lost waits until a client may no longer originate, since another one that had
// registered the same has left.
func lost(ctx context.Context, s *session) error {
	for {
		err := s.Originate(ctx, ospfapi.Originate{LSA: lsa222(11, 2, "still mine? ")})
		switch {
		case errors.Is(err, ospfapi.NoSuchInterface), errors.Is(err, ospfapi.OpaqueTypeNotRegistered):
			return nil
		case err != nil:
			return err
		}
	}
}

var everything = ospfapi.Filter{Types: ospfapi.AllTypes, Origin: ospfapi.AnyOrigin}

func TestRealOSPFD(t *testing.T) {
	a, b := realPair(t)
	ctx := t.Context()
	rec := &recording{}
	idB := netip.MustParseAddr("10.98.9.2")
	ifA, ifB := netip.MustParseAddr("10.98.0.1"), netip.MustParseAddr("10.98.0.2")

	sa := a.client(t, rec)
	sb := b.client(t, rec)
	verA, verB := a.release(t), b.release(t)
	for s, v := range map[*session]release{sa: verA, sb: verB} {
		if s.Dialect() != v.dialect() {
			t.Errorf("dialect of FRR %v is %+v", v, s.Dialect())
		}
	}
	must(t, sa.SyncAll(ctx, everything))
	must(t, sb.SyncAll(ctx, everything))
	await(t, sa, "the neighbour is Full", func(n ospfapi.NSMChange) bool {
		return n.RouterID == idB && n.State == ospfapi.NSMFull
	})
	if sa.Dialect().SyncState {
		await(t, sa, "the neighbour is reachable", func(n ospfapi.ReachableChange) bool {
			return len(n.Added) == 1 && n.Added[0] == idB
		})
	}

	types := []ospfapi.LSType{ospfapi.OpaqueLink, ospfapi.OpaqueArea, ospfapi.OpaqueAS}
	for _, lt := range types {
		must(t, sa.Register(ctx, lt, 222))
		await(t, sa, "READY", func(n ospfapi.Ready) bool { return n.Type == lt })
		must(t, sa.Originate(ctx, ospfapi.Originate{IfAddr: ifA, LSA: lsa222(lt, 1, "srrd wire golden")}))
		echo := await(t, sa, "echo", func(n ospfapi.LSAUpdate) bool { return n.Key().Type == lt })
		far := await(t, sb, "the LSA at the neighbour", func(n ospfapi.LSAUpdate) bool { return n.Key().Type == lt })
		if !echo.Self || far.Self || !bytes.Equal(echo.LSA[2:], far.LSA[2:]) || string(far.LSA[20:]) != "srrd wire golden" {
			t.Errorf("%v: echo %+v, at the neighbour %+v", lt, echo, far)
		}
		if lt == ospfapi.OpaqueLink && far.IfAddr != ifB {
			t.Errorf("link-scope LSA came in by %v", far.IfAddr)
		}
	}

	if sb.Dialect().SyncRouterID { // it waits for the answer to that
		t.Run("ospfclient.py sees the same LSAs byte for byte", func(t *testing.T) { besideOSPFClient(t, b, sb) })
	}

	t.Run("a delete is seen by the neighbour and not by us", func(t *testing.T) {
		for _, lt := range types {
			must(t, sa.Delete(ctx, ospfapi.Delete{Type: lt, ID: 222<<24 | 1, IfAddr: ifA, Area: netip.MustParseAddr("0.0.0.0")}))
			await(t, sb, "the delete", func(n ospfapi.LSADelete) bool { return n.Key().Type == lt })
		}
		if verA.tellsOriginator() {
			await(t, sa, "its last delete", func(n ospfapi.LSADelete) bool { return n.Key().Type == ospfapi.OpaqueAS })
		}
		told := 0
		for _, n := range sa.all() {
			if d, ok := n.(ospfapi.LSADelete); ok && d.Key().ID == 222<<24|1 {
				told++
				if age := binary.BigEndian.Uint16(d.LSA); age != 3600 {
					t.Errorf("the originator was told of an instance of age %d", age)
				}
			}
		}
		if want := map[bool]int{true: len(types)}[verA.tellsOriginator()]; told != want {
			t.Errorf("the originator was told %d times, want %d", told, want)
		}
	})
	t.Run("a link state id comes back at once with the next sequence number", func(t *testing.T) {
		if !verA.atLeast(8, 4) {
			t.Skip("before 8.4 an id that was deleted comes back only when ospfd has forgotten it; srrd takes a new one each time")
		}
		must(t, sa.Originate(ctx, ospfapi.Originate{LSA: lsa222(11, 1, "once more...")}))
		u := await(t, sb, "the LSA again", func(n ospfapi.LSAUpdate) bool { return string(n.LSA[20:]) == "once more..." })
		if seq := binary.BigEndian.Uint32(u.LSA[12:]); seq != 0x80000002 {
			t.Errorf("sequence number %#x", seq)
		}
	})
	t.Run("a withdrawal without body", func(t *testing.T) {
		if !sa.Dialect().DeleteFlags {
			t.Skip("before 8.4 there is none")
		}
		sb.forget()
		must(t, sa.Delete(ctx, ospfapi.Delete{Type: 11, ID: 222<<24 | 1, ZeroLength: true}))
		d := await(t, sb, "the delete", func(n ospfapi.LSADelete) bool { return n.Key().ID == 222<<24|1 })
		// What is told is the instance that was there, not the empty one; from
		// 10.7 on the one that is flooded.
		want := "once more..."
		if verB.tellsOriginator() {
			want = ""
		}
		if verA.atLeast(8, 4) && string(d.LSA[20:]) != want {
			t.Errorf("the neighbour is told %x", d.LSA)
		}
	})
	t.Run("refusals", func(t *testing.T) {
		err := sa.Register(ctx, ospfapi.OpaqueAS, 222)
		if verA.registersTwice() != (err == nil) || err != nil && !errors.Is(err, ospfapi.OpaqueTypeInUse) {
			t.Errorf("registering twice: %v", err)
		}
		other := a.client(t, rec)
		if err := other.Register(ctx, ospfapi.OpaqueAS, 222); verA.registersTwice() != (err == nil) {
			t.Errorf("registering what another client has: %v", err)
		}
		other.Close()
		if verA.registersTwice() {
			must(t, lost(ctx, sa))
			must(t, sa.Register(ctx, ospfapi.OpaqueAS, 222))
		}
		err = sa.Delete(ctx, ospfapi.Delete{Type: 11, ID: 222<<24 | 99})
		if !errors.Is(err, ospfapi.NoSuchLSA) {
			t.Errorf("deleting nothing: %v", err)
		}
	})
	t.Run("a sync of many LSAs is complete when SyncAll returns", func(t *testing.T) {
		var g errgroup.Group
		for i := range 1000 {
			call, err := sa.Start(ospfapi.Originate{LSA: lsa222(11, uint32(1000+i), strings.Repeat("x", 200))})
			must(t, err)
			g.Go(func() error { return call.Wait(ctx) })
		}
		must(t, g.Wait())
		sa.forget()
		must(t, sa.SyncAll(ctx, ospfapi.Filter{Types: ospfapi.MaskOf(ospfapi.OpaqueAS), Origin: ospfapi.AnyOrigin}))
		ids := map[uint32]bool{}
		for _, n := range sa.all() {
			if u, ok := n.(ospfapi.LSAUpdate); ok && u.Seq != 0 && u.Key().ID >= 222<<24|1000 {
				ids[u.Key().ID] = true
			}
		}
		if len(ids) != 1000 {
			t.Errorf("%d LSAs, want 1000", len(ids))
		}
	})
	must(t, sa.Unregister(ctx, ospfapi.OpaqueLink, 222))
	t.Run("the end of a client flushes what it said", func(t *testing.T) {
		must(t, sa.Originate(ctx, ospfapi.Originate{LSA: lsa222(10, 77, "of the area.")}))
		await(t, sb, "the LSA of the area", func(n ospfapi.LSAUpdate) bool { return n.Key().ID == 222<<24|77 })
		sb.forget()
		sa.Close()
		await(t, sb, "the LSA of the area withdrawn", func(n ospfapi.LSADelete) bool { return n.Key().ID == 222<<24|77 })
		if verA.atLeast(8, 4) { // 7.5 leaves those of AS scope in the database for an hour
			await(t, sb, "the last LSA withdrawn", func(n ospfapi.LSADelete) bool { return n.Key().ID == 222<<24|1999 })
		}
	})
	t.Run("interfaces come and go", func(t *testing.T) {
		run(t, "ip", "-n", b.ns, "link", "add", "eth1", "type", "veth", "peer", "name", "eth1peer")
		run(t, "ip", "-n", b.ns, "link", "set", "eth1peer", "up")
		run(t, "ip", "-n", b.ns, "addr", "add", "10.98.1.1/24", "dev", "eth1")
		run(t, "ip", "-n", b.ns, "link", "set", "eth1", "up")
		eth1 := netip.MustParseAddr("10.98.1.1")
		// By ISM_CHANGE: ospfd's NEW_IF and DEL_IF hooks run while the
		// interface is not an OSPF one, and send nothing.
		await(t, sb, "the new interface", func(n ospfapi.ISMChange) bool { return n.IfAddr == eth1 && n.State == ospfapi.ISMWaiting })
		run(t, "ip", "-n", b.ns, "link", "del", "eth1")
		await(t, sb, "the interface gone", func(n ospfapi.ISMChange) bool { return n.IfAddr == eth1 && n.State == ospfapi.ISMDown })
		for _, n := range sb.all() {
			switch n.(type) {
			case ospfapi.NewInterface, ospfapi.DelInterface:
				t.Logf("this ospfd sends %#v: record it as a golden", n)
			}
		}
	})
	t.Run("the death of ospfd ends its client and is told to the neighbour's", func(t *testing.T) {
		again := a.client(t, rec)
		must(t, a.ospfd.Signal(syscall.SIGTERM))
		var stream *ospfapi.StreamError
		if err := <-again.ended; !errors.As(err, &stream) {
			t.Errorf("Run = %v", err)
		}
		if sb.Dialect().SyncState {
			await(t, sb, "not reachable", func(n ospfapi.ReachableChange) bool { return len(n.Removed) == 1 })
		}
	})
	rec.check(t, verA, verB)
}
