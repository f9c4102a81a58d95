package zapi_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
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

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/zapi"
)

// frrDaemons is where zebra and ospfd are; SRRD_FRR_DIR names those of another
// version (the first, if it lists several).
var frrDaemons = strings.Split(cmp.Or(os.Getenv("SRRD_FRR_DIR"), "/usr/lib/frr"), ":")[0] + "/"

// realFRR is a zebra and an ospfd in a network namespace without a name, which
// ends with its last process: nothing of it can be left over.
type realFRR struct {
	t     *testing.T
	dir   string
	in    chan func() // runs on the thread that is in the namespace
	zebra *exec.Cmd
}

func startFRR(t *testing.T) *realFRR {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test starts zebra and ospfd in a network namespace and has to run as root")
	}
	if _, err := os.Stat(frrDaemons + "zebra"); err != nil {
		t.Fatalf("this test needs FRR (package frr): %v", err)
	}
	frr, err := user.Lookup("frr")
	if err != nil {
		t.Fatalf("FRR's daemons run as user frr: %v", err)
	}
	uid, _ := strconv.Atoi(frr.Uid)
	gid, _ := strconv.Atoi(frr.Gid)
	// Not t.TempDir: its parents let only root in, and zebra is not root.
	dir, err := os.MkdirTemp("", "zapi-real-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &realFRR{t: t, dir: dir, in: make(chan func())}
	for name, text := range map[string]string{
		"zebra.conf": "zebra work-queue 0\n",
		"ospfd.conf": "router ospf\n ospf router-id 10.200.0.1\n timers throttle lsa all 0\n" +
			" network 10.200.0.0/24 area 0\n redistribute table 5\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, name), uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}

	entered := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and the
		// namespace with it. It has to outlive its children (Pdeathsig).
		runtime.LockOSThread()
		entered <- unix.Unshare(unix.CLONE_NEWNET)
		for do := range f.in {
			do()
		}
	}()
	if err := <-entered; err != nil {
		t.Fatalf("new network namespace: %v", err)
	}
	t.Cleanup(func() { close(f.in) })
	f.ip("link set lo up")
	f.ip("link add v0 type veth peer name v1")
	f.ip("link set v1 up")
	f.ip("link set v0 up")
	f.ip("addr add 10.200.0.1/24 dev v0")
	if _, err := os.Stat(frrDaemons + "mgmtd"); err == nil {
		f.start("mgmtd") // zebra 10 wants it there first
	}
	f.startZebra()
	f.start("ospfd")
	return f
}

func (f *realFRR) ip(args string) {
	f.t.Helper()
	if out, err := f.tryIP(args); err != nil {
		f.t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

func (f *realFRR) tryIP(args string) (string, error) {
	var out []byte
	var err error
	done := make(chan struct{})
	f.in <- func() {
		out, err = exec.Command("ip", strings.Fields(args)...).CombinedOutput()
		close(done)
	}
	<-done
	return string(out), err
}

func (f *realFRR) startZebra() { f.zebra = f.start("zebra") }

func (f *realFRR) start(daemon string) *exec.Cmd {
	f.t.Helper()
	path := func(name string) string { return filepath.Join(f.dir, name) }
	cmd := exec.Command(frrDaemons+daemon, "-z", f.socket(), "--vty_socket", f.dir, "-i", path(daemon+".pid"),
		"-A", "127.0.0.1", "-P", "0", "--log", "file:"+path(daemon+".log"))
	if daemon != "mgmtd" { // it takes none
		cmd.Args = append(cmd.Args, "-f", path(daemon+".conf"))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	started := make(chan struct{})
	f.in <- func() {
		err = cmd.Start()
		close(started)
	}
	<-started
	if err != nil {
		f.t.Fatalf("%s: %v", daemon, err)
	}
	f.t.Cleanup(func() { kill(cmd) })
	f.until(daemon+" answers", func() bool {
		_, err := f.vty(daemon, "show version")
		return err == nil
	})
	return cmd
}

func kill(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

func (f *realFRR) socket() string { return filepath.Join(f.dir, "zserv.api") }

// vty runs a command: it and NUL, answered by text, three NULs and a status.
func (f *realFRR) vty(daemon, command string) (string, error) {
	conn, err := net.Dial("unix", filepath.Join(f.dir, daemon+".vty"))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := conn.Write(append([]byte(command), 0)); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	text, err := r.ReadBytes(0)
	if err != nil {
		return "", err
	}
	tail := make([]byte, 3)
	for i := range tail {
		if tail[i], err = r.ReadByte(); err != nil {
			return "", err
		}
	}
	if tail[2] != 0 {
		return "", fmt.Errorf("%s: %q has status %d", daemon, command, tail[2])
	}
	return string(bytes.TrimRight(text, "\x00")), nil
}

// patience bounds waits for things that are sure to come, on a busy machine too.
const patience = 40 * time.Second

// until asks again until it is so: these daemons tell nobody when they are ready.
func (f *realFRR) until(what string, so func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(patience)
	for !so() {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(f.dir, "zebra.log"))
			f.t.Fatalf("not within %s: %s\nzebra's log:\n%s", patience, what, log)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// announced reports whether ospfd originates a type-5 LSA to the prefix.
func (f *realFRR) announced(p netip.Prefix) bool {
	text, err := f.vty("ospfd", "show ip ospf database external self-originate")
	if err != nil {
		return false
	}
	for _, lsa := range strings.Split(text, "LS age: ")[1:] {
		age, rest, _ := strings.Cut(lsa, "\n")
		if strings.Contains(rest, "Link State ID: "+p.Addr().String()+" ") {
			return strings.TrimSpace(age) != "3600"
		}
	}
	return false
}

// routes runs a zapi.Routes; each change arrives as a line.
func (f *realFRR) routes(d zapi.Dialect) (r *zapi.Routes, told chan string, kill func()) {
	f.t.Helper()
	told = make(chan string, 1000)
	r, err := zapi.NewRoutes(zapi.RoutesConfig{
		Config:  zapi.Config{Path: f.socket(), Dialect: d, Proto: zapi.RouteTable, Instance: 5},
		Changed: func(c zapi.Change) { told <- c.String() },
		Link: func(up bool, _ error) {
			if up {
				told <- "up"
			}
		},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		r.Run(ctx)
		close(ended)
	}()
	kill = func() { cancel(); <-ended }
	f.t.Cleanup(kill)
	f.wait(told, "up")
	return r, told, kill
}

// wait reads until one of the lines wanted comes.
func (f *realFRR) wait(told chan string, line string) {
	f.t.Helper()
	var before []string
	timeout := time.After(patience)
	for {
		select {
		case got := <-told:
			if got == line {
				return
			}
			before = append(before, got)
		case <-timeout:
			log, _ := os.ReadFile(filepath.Join(f.dir, "zebra.log"))
			f.t.Fatalf("not told within %s: %q, but %q\nzebra's log:\n%s", patience, line, before, log)
		}
	}
}

func TestRealZebraAndOSPFDAnnounceRoutesAsLongAsTheyAreWanted(t *testing.T) {
	f := startFRR(t)
	version, err := f.vty("zebra", "show version")
	if err != nil {
		t.Fatal(err)
	}
	d, err := zapi.DialectFor(version)
	if err != nil {
		t.Fatal(err)
	}
	a := zapi.Announcement{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Interface: 1, Metric: 10}
	b := zapi.Announcement{Prefix: netip.MustParsePrefix("192.0.2.2/32")}

	r, told, leave := f.routes(d)
	// How a service accepts packets without an address; zebra must not see it.
	f.ip("route add local 192.0.2.1/32 dev lo table local proto 201")
	if err := r.Set(a); err != nil {
		t.Fatal(err)
	}
	f.wait(told, "192.0.2.1/32 installed")
	f.until("ospfd originates 192.0.2.1/32", func() bool { return f.announced(a.Prefix) })

	// An address on the node beats it, and its going lets it win again.
	f.ip("addr add 192.0.2.1/32 dev lo")
	f.wait(told, "192.0.2.1/32 refused: another route to the prefix is better")
	f.until("ospfd withdraws it", func() bool { return !f.announced(a.Prefix) })
	f.ip("addr del 192.0.2.1/32 dev lo")
	f.wait(told, "192.0.2.1/32 installed")
	f.until("ospfd originates it again", func() bool { return f.announced(a.Prefix) })

	r.Del(a.Prefix)
	f.wait(told, "192.0.2.1/32 removed: removed")
	f.until("ospfd withdraws 192.0.2.1/32", func() bool { return !f.announced(a.Prefix) })

	if err := r.Set(a); err != nil {
		t.Fatal(err)
	}
	f.until("ospfd originates it once more", func() bool { return f.announced(a.Prefix) })
	leave()
	f.until("ospfd withdraws it when its owner has left", func() bool { return !f.announced(a.Prefix) })

	// zebra dies. ospfd keeps announcing both; one is no longer wanted.
	r, told, _ = f.routes(d)
	if err := r.Set(a); err != nil {
		t.Fatal(err)
	}
	if err := r.Set(b); err != nil {
		t.Fatal(err)
	}
	f.until("ospfd originates both", func() bool { return f.announced(a.Prefix) && f.announced(b.Prefix) })
	kill(f.zebra)
	f.wait(told, "192.0.2.1/32 wanted")
	r.Del(b.Prefix)
	f.wait(told, "192.0.2.2/32 clearing")
	// A killed zebra leaves its routes in the kernel, and the next one may take
	// them for the kernel's own, which beat ours.
	for _, left := range []string{"192.0.2.1/32", "blackhole 192.0.2.2/32"} {
		if out, err := f.tryIP("route del table main " + left); err != nil && !strings.Contains(out, "No such process") {
			t.Fatalf("what zebra left, %s: %v: %s", left, err, out)
		}
	}
	f.startZebra()
	f.wait(told, "192.0.2.1/32 installed")
	f.wait(told, "192.0.2.2/32 removed: removed")
	// ospfd itself comes back to zebra 10 s after losing it (ZCLIENT_CONNECT in
	// lib/zclient.c), so it has seen nothing of that; its LSA says so, and whoever
	// sees the LSA clears again.
	f.until("ospfd is back at zebra", func() bool {
		log, err := os.ReadFile(filepath.Join(f.dir, "zebra.log"))
		return err == nil && bytes.Count(log, []byte("announce only ospf routes")) == 2
	})
	f.until("what ospfd says of both", func() bool { return f.announced(a.Prefix) && f.announced(b.Prefix) })
	if err := r.Clear(b); err != nil {
		t.Fatal(err)
	}
	f.wait(told, "192.0.2.2/32 removed: removed")
	f.until("ospfd announces only what is wanted", func() bool { return f.announced(a.Prefix) && !f.announced(b.Prefix) })
}

func TestRealZebraTellsItsInterfacesAndRouterID(t *testing.T) {
	f := startFRR(t)
	version, err := f.vty("zebra", "show version")
	if err != nil {
		t.Fatal(err)
	}
	d, err := zapi.DialectFor(version)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan zapi.Message, 1000)
	bad := make(chan error, 1000)
	c, err := zapi.Dial(t.Context(), zapi.Config{
		Path: f.socket(), Dialect: d, Proto: zapi.RouteTable, Instance: 6,
		Notify: func(m zapi.Message) { got <- m }, Malformed: func(err error) { bad <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		c.Run(context.Background())
		close(ended)
	}()
	defer func() { c.Close(); <-ended }()
	if err := c.RequestRouterID(); err != nil {
		t.Fatal(err)
	}
	if err := c.RequestInterfaces(); err != nil {
		t.Fatal(err)
	}
	next := func(what string, is func(zapi.Message) bool) {
		t.Helper()
		for {
			select {
			case m := <-got:
				if is(m) {
					return
				}
			case err := <-bad:
				t.Fatalf("waiting for %s: %v", what, err)
			case <-time.After(patience):
				t.Fatalf("not within %s: %s", patience, what)
			}
		}
	}
	next("the router-id", func(m zapi.Message) bool {
		id, ok := m.(zapi.RouterID)
		return ok && id.Prefix == netip.MustParsePrefix("10.200.0.1/32")
	})
	next("v0", func(m zapi.Message) bool {
		i, ok := m.(zapi.Interface)
		return ok && i.Name == "v0" && i.Operative() && i.MTU == 1500 && len(i.HardwareAddr) == 6
	})
	next("v0's address", func(m zapi.Message) bool {
		a, ok := m.(zapi.Address)
		return ok && a.Prefix == netip.MustParsePrefix("10.200.0.1/24")
	})
	f.ip("link set v1 down")
	next("v0 losing its carrier", func(m zapi.Message) bool {
		i, ok := m.(zapi.Interface)
		return ok && i.Name == "v0" && i.Event == zapi.InterfaceDown && !i.Operative()
	})
	f.ip("link set v1 up")
	next("v0 coming back", func(m zapi.Message) bool {
		i, ok := m.(zapi.Interface)
		return ok && i.Name == "v0" && i.Event == zapi.InterfaceUp && i.Operative()
	})
	f.ip("addr add 10.201.0.1/24 dev v0")
	next("a new address", func(m zapi.Message) bool {
		a, ok := m.(zapi.Address)
		return ok && !a.Deleted && a.Prefix == netip.MustParsePrefix("10.201.0.1/24")
	})
	f.ip("addr del 10.201.0.1/24 dev v0")
	next("an address that goes", func(m zapi.Message) bool {
		a, ok := m.(zapi.Address)
		return ok && a.Deleted && a.Prefix == netip.MustParsePrefix("10.201.0.1/24")
	})
}
