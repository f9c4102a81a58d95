package address

import (
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
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/vty"
)

// daemons is where FRR's are; SRRD_FRR_DIR names those of another version (the
// first, if it lists several).
var daemons = strings.Split(cmp.Or(os.Getenv("SRRD_FRR_DIR"), "/usr/lib/frr"), ":")[0]

// suite is a real zebra and ospfd in a namespace.
type suite struct {
	t   *testing.T
	ns  netns.NsHandle
	dir string
	*vty.Router
}

// startSuite starts zebra and ospfd and returns when both serve their VTYs.
func startSuite(t *testing.T, ns netns.NsHandle, ospfd string) *suite {
	t.Helper()
	dir, err := os.MkdirTemp("", "srrd-frr-") // short: it becomes part of socket addresses
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	frr, err := user.Lookup("frr")
	if err != nil {
		t.Fatalf("needs FRR installed: %v", err)
	}
	uid, _ := strconv.Atoi(frr.Uid)
	gid, _ := strconv.Atoi(frr.Gid)
	for name, text := range map[string]string{"zebra.conf": "zebra work-queue 0\n", "ospfd.conf": ospfd} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	s := &suite{t: t, ns: ns, dir: dir, Router: vty.NewRouter(vty.Dialer{Dir: dir})}
	t.Cleanup(func() { s.Router.Close() })
	if _, err := os.Stat(filepath.Join(daemons, "mgmtd")); err == nil {
		s.start("mgmtd") // zebra 10 wants it there first
	}
	s.start("zebra")
	s.start("ospfd")
	return s
}

// start runs a daemon; with -d FRR's parent process ends once the daemon serves.
func (s *suite) start(daemon string) {
	s.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		s.t.Fatal(err)
	}
	defer home.Close()
	if err := netns.Set(s.ns); err != nil {
		s.t.Fatal(err)
	}
	defer netns.Set(home)
	cmd := exec.Command(filepath.Join(daemons, daemon), "-d", "-A", "127.0.0.1", "-P", "0",
		"-z", filepath.Join(s.dir, "zserv.api"), "--vty_socket", s.dir, "-i", filepath.Join(s.dir, daemon+".pid"))
	if daemon != "mgmtd" { // it takes none
		cmd.Args = append(cmd.Args, "-f", filepath.Join(s.dir, daemon+".conf"))
	}
	said, err := os.Create(filepath.Join(s.dir, daemon+".out")) // no pipe: mgmtd keeps its output open
	if err != nil {
		s.t.Fatal(err)
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(said.Name())
		s.t.Fatalf("%s: %v\n%s", daemon, err, text)
	}
	pid := s.pid(daemon)
	s.t.Cleanup(func() { unix.Kill(pid, unix.SIGKILL) })
}

func (s *suite) pid(daemon string) int {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, daemon+".pid"))
	if err != nil {
		s.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// restart kills a daemon, waits for its end, and starts it again.
func (s *suite) restart(daemon string) {
	s.t.Helper()
	fd, err := unix.PidfdOpen(s.pid(daemon), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		s.t.Fatal(err)
	}
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience/time.Millisecond)); err != nil {
		s.t.Fatal(err)
	}
	os.Remove(filepath.Join(s.dir, daemon+".pid"))
	s.start(daemon)
}

// router returns the running `router ospf` and what stands outside of it.
func (s *suite) running() vty.Block {
	s.t.Helper()
	b, err := s.Running(s.t.Context(), vty.OSPF)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

func (s *suite) wantLine(yes bool, line string) {
	s.t.Helper()
	b := s.running()
	ospf, _ := b.Block("router ospf")
	if got := b.Has(line) || ospf.Has(line); got != yes {
		s.t.Fatalf("ospfd has %q: %v, want %v; router ospf is %v", line, got, yes, ospf.Sub)
	}
}

// awaitRoute waits until the namespace has, or has not, a route to addr/32.
func awaitRoute(t *testing.T, ns netns.NsHandle, addr netip.Addr, want bool) {
	t.Helper()
	h := handleAt(t, ns)
	updates, done := make(chan netlink.RouteUpdate), make(chan struct{})
	if err := netlink.RouteSubscribeWithOptions(updates, done, netlink.RouteSubscribeOptions{
		Namespace: &ns, ErrorCallback: func(error) {}}); err != nil {
		t.Fatal(err)
	}
	defer drain(updates)
	defer close(done)
	deadline := time.After(patience)
	for {
		routes, err := h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: ipNet(addr)}, netlink.RT_FILTER_DST)
		if err != nil {
			t.Fatal(err)
		}
		if len(routes) > 0 == want {
			return
		}
		select {
		case <-updates:
		case <-deadline:
			t.Fatalf("route to %s: %v, want %v", addr, !want, want)
		}
	}
}

func ospfConfig(id string) string {
	return fmt.Sprintf(`interface eth0
 ip ospf network point-to-point
 ip ospf hello-interval 1
 ip ospf dead-interval 4
router ospf
 ospf router-id %s
 timers throttle spf 0 1 50
 timers throttle lsa all 0
 timers lsa min-arrival 0
 network 10.99.0.0/24 area 0
`, id)
}

// twoRouters connects two namespaces with FRR in each.
func twoRouters(t *testing.T) (here, there *suite) {
	t.Helper()
	a, b := newNamespace(t), newNamespace(t)
	h := handleAt(t, a)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0", Namespace: netlink.NsFd(int(a))}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(b))}
	if err := h.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	for i, ns := range []netns.NsHandle{a, b} {
		h := handleAt(t, ns)
		link, err := h.LinkByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 99, 0, byte(i+1)), Mask: net.CIDRMask(24, 32)}}
		if err := h.AddrAdd(link, addr); err != nil {
			t.Fatal(err)
		}
		if err := h.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
	return startSuite(t, a, ospfConfig("1.1.1.1")), startSuite(t, b, ospfConfig("2.2.2.2"))
}

func prepared(t *testing.T, r *rig) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
}

func installed(addr netip.Addr) machine.RouteState {
	return machine.RouteState{Addr: addr, State: machine.RouteInstalled}
}

func removed(addr netip.Addr) machine.RouteState {
	return machine.RouteState{Addr: addr, State: machine.RouteRemoved}
}

var frrServices = services{
	"web":  {Name: "web", Addresses: []netip.Addr{netip.MustParseAddr("10.250.0.3")}},
	"news": {Name: "news", Addresses: []netip.Addr{x1}, Setting: alias(AnnounceRedistribute)},
	"mail": {Name: "mail", Addresses: []netip.Addr{x2}, Setting: alias(AnnounceNetwork)},
	"oper": {Name: "oper", Addresses: []netip.Addr{netip.MustParseAddr("10.250.0.7")}, Setting: alias(AnnounceNetwork)},
}

func TestAliasesAreAnnouncedAndWithdrawnByRealFRR(t *testing.T) {
	here, there := twoRouters(t)
	state := filepath.Join(t.TempDir(), "address.json")
	if err := here.Configure(t.Context(), vty.ClassOSPF, "router ospf", "network 10.250.0.7/32 area 0"); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, here.ns, frrServices, Config{VTY: here.Router, Table: 99, StateFile: state})
	r.start()

	prepared(t, r)
	here.wantLine(true, "redistribute table 99")
	here.wantLine(true, "redistribute connected route-map SRRD-VIP")
	here.wantLine(true, "ip prefix-list SRRD-VIP seq 5 permit 10.250.0.1/32")
	here.wantLine(true, "route-map SRRD-VIP permit 10")
	said := r.noted()
	prepared(t, r)
	if r.noted() != said {
		t.Errorf("the second Prepare found something to do:\n%s", r.noted())
	}

	for _, service := range []string{"mail", "news"} {
		addr := frrServices[service].Addresses[0]
		r.set(service, true, addr)
		r.expect(on(addr))
		r.announce(service, true, addr)
		r.expect(installed(addr))
		awaitRoute(t, there.ns, addr, true)
		r.announce(service, false, addr)
		r.expect(removed(addr))
		awaitRoute(t, there.ns, addr, false)
		r.set(service, false, addr)
		r.expect(off(addr))
	}
	here.wantLine(false, "network 10.250.0.2/32")
	r.wantKernel("address 10.99.0.1/24 eth0 forever", "local 10.99.0.1/32 proto 2")

	oper := frrServices["oper"].Addresses[0]
	r.set("oper", true, oper)
	r.expect(on(oper))
	r.announce("oper", true, oper)
	r.expect(machine.RouteState{Addr: oper, State: machine.RouteFailed, Text: "ospfd has a statement `network 10.250.0.7/32` already and it is not ours: " +
		"it would announce the address before the service runs; remove it"})
	r.announce("oper", false, oper)
	r.expect(removed(oper))
	here.wantLine(true, "network 10.250.0.7/32 area 0")
	r.set("oper", false, oper)
	r.expect(off(oper))

	// A restarted ospfd is told again what is in force.
	r.set("mail", true, x2)
	r.expect(on(x2))
	r.announce("mail", true, x2)
	r.expect(installed(x2))
	here.restart("ospfd")
	here.wantLine(false, "network 10.250.0.2/32")
	prepared(t, r)
	here.wantLine(true, "network 10.250.0.2/32 area 0.0.0.0")
	here.wantLine(true, "redistribute connected route-map SRRD-VIP")

	// The next life removes what this one leaves.
	next := newRig(t, here.ns, frrServices, Config{VTY: here.Router, Table: 99, StateFile: state})
	if err := next.Clean(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	next.start()
	prepared(t, next)
	here.wantLine(false, "network 10.250.0.2/32")
}

func TestAnAliasOfDriverVTYIsALineInZebra(t *testing.T) {
	here := startSuite(t, newNamespace(t), ospfConfig("1.1.1.1"))
	set := services{"mail": {Name: "mail", Addresses: []netip.Addr{x2}, Setting: Setting{Way: machine.WayAlias, Driver: DriverVTY}}}
	r := newRig(t, here.ns, set, Config{VTY: here.Router, StateFile: filepath.Join(t.TempDir(), "address.json")}).start()
	r.set("mail", true, x2)
	r.expect(on(x2))
	r.wantKernel("address 10.250.0.2/32 lo:srrd forever", "local 10.250.0.2/32 proto 2")
	if err := r.Port.kernel.delAlias(x2, "lo"); err != nil {
		t.Fatal(err)
	}
	r.watchUntil("repair", func() bool { return strings.Contains(r.kernelText(), "lo:srrd") })
	r.set("mail", false, x2)
	r.expect(off(x2))
	zebra, err := here.Running(t.Context(), vty.Zebra)
	if err != nil {
		t.Fatal(err)
	}
	if lo, _ := zebra.Block("interface lo"); lo.Has("ip address") {
		t.Errorf("zebra still has %v", lo)
	}
	r.wantKernel()
}

func TestALineAnEarlierLifeLeftInZebraIsRemoved(t *testing.T) {
	here := startSuite(t, newNamespace(t), ospfConfig("1.1.1.1"))
	state := filepath.Join(t.TempDir(), "address.json")
	if err := writeResidue(state, residue{Addresses: []vtyAddress{{x2, "lo"}}}); err != nil {
		t.Fatal(err)
	}
	if err := here.Configure(t.Context(), vty.ClassAddress, "interface lo", "ip address 10.250.0.2/32 label lo:srrd", "ip address 10.250.0.9/32"); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, here.ns, services{}, Config{VTY: here.Router, StateFile: state})
	left, err := r.Leftovers(t.Context())
	if err != nil || fmt.Sprint(left) != "[10.250.0.2]" {
		t.Errorf("leftovers %v, %v", left, err)
	}
	if err := r.Clean(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.watchUntil("removal", func() bool {
		return r.kernelText() == "address 10.250.0.9/32 lo forever\nlocal 10.250.0.9/32 proto 2"
	})
	if noted, err := readResidue(state); err != nil || !noted.empty() {
		t.Errorf("still noted: %v, %v", noted, err)
	}
}
