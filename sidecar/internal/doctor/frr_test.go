package doctor

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

	"github.com/srrd/srrd/vty"
)

// daemons is where FRR's are; SRRD_FRR_DIR names those of another version (the
// first, if it lists several).
var daemons = strings.Split(cmp.Or(os.Getenv("SRRD_FRR_DIR"), "/usr/lib/frr"), ":")[0]

// realFRR starts zebra, bfdd and ospfd with nothing but a network statement, in
// a namespace of their own, and returns where they are.
func realFRR(t *testing.T) (*vty.Router, Place) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("needs root: it makes a network namespace")
	}
	frr, err := user.Lookup("frr")
	if err != nil {
		t.Fatalf("needs FRR installed: %v", err)
	}
	dir, err := os.MkdirTemp("", "srrd-doc-") // short: it becomes part of socket addresses
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	uid, _ := strconv.Atoi(frr.Uid)
	gid, _ := strconv.Atoi(frr.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	ns, err := netns.New() // this thread is in it from here on, and its children
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	defer netns.Set(home)
	makeLinks(t)
	config := map[string]string{"zebra": "", "bfdd": "", "ospfd": "router ospf\n network 10.1.0.0/24 area 0\n"}
	for name, text := range config {
		if err := os.WriteFile(filepath.Join(dir, name+".conf"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []struct {
		name string
		more []string
	}{
		{"mgmtd", nil}, // before zebra 10, and without a file
		{"zebra", nil},
		{"bfdd", nil},
		{"ospfd", []string{"-a"}},
	} {
		if _, err := os.Stat(filepath.Join(daemons, d.name)); err != nil && d.name == "mgmtd" {
			continue
		}
		args := append([]string{"-d", "-A", "127.0.0.1", "-P", "0", "-z", filepath.Join(dir, "zserv.api"), "--vty_socket", dir,
			"-i", filepath.Join(dir, d.name+".pid")}, d.more...)
		if d.name != "mgmtd" {
			args = append(args, "-f", filepath.Join(dir, d.name+".conf"))
		}
		if d.name == "bfdd" && daemons == "/usr/lib/frr" { // in a root of its own there is no other
			args = append(args, "--bfdctl", filepath.Join(dir, "bfdd.sock"))
		}
		// The parent of a daemon started with -d ends once the daemon serves. What it
		// says goes into a file: mgmtd keeps its output open.
		said, err := os.Create(filepath.Join(dir, d.name+".out"))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(filepath.Join(daemons, d.name), args...)
		cmd.Stdout, cmd.Stderr = said, said
		err = cmd.Run()
		said.Close()
		if err != nil {
			text, _ := os.ReadFile(said.Name())
			t.Fatalf("%s: %v\n%s", d.name, err, text)
		}
		pid := pidOf(t, dir, d.name)
		t.Cleanup(func() { unix.Kill(pid, unix.SIGKILL) })
	}
	r := vty.NewRouter(vty.Dialer{Dir: dir})
	t.Cleanup(func() { r.Close() })
	return r, Place{Dir: dir, Net: fmt.Sprintf("/proc/%d/net", pidOf(t, dir, "ospfd")), Sys: t.TempDir()}
}

func pidOf(t *testing.T, dir, daemon string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, daemon+".pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func makeLinks(t *testing.T) {
	t.Helper()
	for _, err := range []error{
		netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer0"}),
		up("lo"), up("eth0"), up("peer0"),
		withLink("eth0", func(l netlink.Link) error {
			return netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 1, 0, 1), Mask: net.CIDRMask(24, 32)}})
		}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func up(name string) error { return withLink(name, netlink.LinkSetUp) }

func withLink(name string, f func(netlink.Link) error) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return f(l)
}

func TestApplyLeavesNothingToRefuseOnRealFRR(t *testing.T) {
	router, place := realFRR(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wants := Wants{Table: 99, Local: true, AS: true, Addresses: []netip.Addr{addr("10.250.0.1")}}
	facts := gatherWithInterface(ctx, t, router, place, wants)
	if len(facts.Missing) > 0 || facts.API != (API{Port: 2607, Listening: true, Address: netip.IPv4Unspecified()}) {
		t.Errorf("missing %v, API %+v", facts.Missing, facts.API)
	}
	before := Examine(facts)
	old := !facts.Release.AtLeast(8, 3)
	want, left := `refuse: no explicit router-id
refuse: opaque LSAs are off
slow: timers throttle spf
slow: timers throttle lsa all
slow: timers lsa min-arrival
slow: BFD on eth0
slow: zebra work-queue
advice: redistribute table 99
advice: no neighbour
advice: retransmit-interval on eth0
advice: authentication of OSPF
advice: authentication of LSAs
advice: OSPF-API is open`, "advice: no neighbour\nadvice: authentication of OSPF\nadvice: authentication of LSAs\nadvice: OSPF-API is open"
	if old { // its ospfd must not be asked for interfaces
		const more = "advice: release\nadvice: scope as and the death of srrd\n"
		want = strings.NewReplacer("slow: BFD on eth0\n", "", "advice: retransmit-interval on eth0\n", "", "advice: authentication of OSPF\n", "", "advice: redistribute", more+"advice: redistribute").Replace(want)
		left = more + strings.Replace(left, "advice: authentication of OSPF\n", "", 1)
	}
	if got := subjects(before); got != want {
		t.Errorf("before:\n%s\nwant\n%s", got, want)
	}
	after, err := Apply(ctx, router, place, wants, before)
	if err != nil {
		t.Error(err)
	}
	if got := subjects(after.Findings); got != left {
		t.Errorf("after:\n%s\nwant\n%s", got, left)
	}
}

// gatherWithInterface gathers until ospfd has made eth0 one of its interfaces, and
// has a router id, which it does when zebra has told it of the address.
func gatherWithInterface(ctx context.Context, t *testing.T, router *vty.Router, place Place, wants Wants) Facts {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		facts, err := Gather(ctx, router, place, wants)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(subjects(Examine(facts)), "no OSPF interface") && !facts.State.RouterID.IsUnspecified() {
			return facts
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("ospfd has no interface: %+v", facts)
		}
	}
}

func subjects(findings []Finding) string {
	var lines []string
	for _, f := range findings {
		lines = append(lines, f.Severity.String()+": "+f.Subject)
	}
	return strings.Join(lines, "\n")
}

func TestADaemonThatIsNotThereIsAFinding(t *testing.T) {
	router := vty.NewRouter(vty.Dialer{Dir: t.TempDir()})
	defer router.Close()
	facts, err := Gather(t.Context(), router, Place{Dir: t.TempDir(), Net: t.TempDir(), Sys: t.TempDir()}, Wants{})
	if err != nil {
		t.Fatal(err)
	}
	want := "refuse: zebra does not answer\nrefuse: ospfd does not answer\nslow: bfdd does not answer"
	if got := subjects(Examine(facts)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
