package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/vty"
)

func captured(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../../testdata/wire/vty/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestInterfacesOfQuagga(t *testing.T) {
	same := func(a, b netip.Addr) bool { return a == b }
	got, err := ParseInterfacesText(captured(t, "quagga-1.2.4-show-ip-ospf-interface.txt"))
	want := []Interface{{Name: "eth0", Area: netip.IPv4Unspecified(), Dead: 4}, {Name: "lo", Area: netip.IPv4Unspecified(), Dead: 40}}
	if diff := cmp.Diff(want, got, cmp.Comparer(same)); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
	// The lines are those of show_ip_ospf_interface_sub in ospfd/ospf_vty.c.
	got, err = ParseInterfacesText(`eth2 is up
  ifindex 4, MTU 1500 bytes, BW 0 Kbit <UP,BROADCAST,RUNNING,MULTICAST>
  Internet Address 10.1.0.2/24, Broadcast 10.1.0.255, Area 0.0.0.1 [Stub]
  Router ID 10.255.0.1, Network Type BROADCAST, Cost: 10
  Transmit Delay is 1 sec, State DR, Priority 1
  Timer intervals configured, Hello 200ms, Dead 1s, Wait 1s, Retransmit 5
    No Hellos (Passive interface)
  Neighbor Count is 2, Adjacent neighbor count is 2
eth1 is down
  ifindex 3, MTU 1500 bytes, BW 0 Kbit <BROADCAST,MULTICAST>
  OSPF is enabled, but not running on this interface
eth0 is up
  OSPF not enabled on this interface
  Neighbor Count is 2, Adjacent neighbor count is 2
`)
	want = []Interface{{Name: "eth2", Area: netip.MustParseAddr("0.0.0.1"), Dead: 1, Passive: true, Designated: true}}
	if diff := cmp.Diff(want, got, cmp.Comparer(same)); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
	for _, text := range []string{"{}", "eth0 is up\n  Internet Address 10.1.0.2/24, Area x\n", "nothing\n"} {
		if got, err := ParseInterfacesText(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// quaggaSuite is Quagga in memory: it knows no JSON and has no bfdd.
type quaggaSuite struct {
	oldSuite
	t       *testing.T
	release vty.Version
	ospf    string
}

func (s *quaggaSuite) Exec(_ context.Context, _ vty.Daemon, command string) (string, error) {
	if command != "show ip ospf interface" {
		return "", fmt.Errorf("%% Unknown command: %s", command)
	}
	return captured(s.t, "quagga-1.2.4-show-ip-ospf-interface.txt"), nil
}

func (s *quaggaSuite) Release(context.Context, vty.Daemon) (vty.Release, error) {
	return vty.Release{Suite: "Quagga", Version: s.release, Host: "q1"}, nil
}

func (s *quaggaSuite) Running(_ context.Context, d vty.Daemon) (vty.Block, error) {
	switch d {
	case vty.BFD:
		return vty.Block{}, fmt.Errorf("bfdd: no telnet address is configured")
	case vty.OSPF:
		return vty.ParseRunning(s.ospf), nil
	}
	return vty.ParseRunning("hostname q1\n"), nil
}

func (s *quaggaSuite) OSPFState(context.Context) (vty.OSPFState, error) {
	return vty.ParseOSPFText(captured(s.t, "quagga-1.2.4-show-ip-ospf.txt"))
}

func TestQuaggaPage(t *testing.T) {
	wants := Wants{Table: 201, Local: true, Redistribute: true, AS: true, Signed: true}
	var page strings.Builder
	for _, c := range []struct {
		name    string
		release vty.Version
		ospf    string
	}{
		{"1.2.4 with RFC 2328's timers", vty.Version{Major: 1, Minor: 2, Patch: 4}, captured(t, "quagga-1.2.4-show-running-config-ospfd.txt")},
		{"0.99.22, which cannot be told of them", vty.Version{Minor: 99, Patch: 22}, "router ospf\n ospf router-id 10.255.0.1\n"},
		{"older than what is known", vty.Version{Minor: 99, Patch: 21}, "router ospf\n ospf router-id 10.255.0.1\n"},
	} {
		s := &quaggaSuite{t: t, release: c.release, ospf: c.ospf}
		facts, err := Gather(t.Context(), s, Place{Dir: t.TempDir(), Net: t.TempDir(), Sys: t.TempDir(), Telnet: true, Zserv: "/var/run/quagga/zserv.api"}, wants)
		if err != nil {
			t.Fatal(err)
		}
		if len(facts.Sockets) != 1 || facts.Sockets[0].Path != "/var/run/quagga/zserv.api" {
			t.Errorf("sockets %+v, want zebra's own where it is configured, and none of VTY", facts.Sockets)
		}
		facts.Sockets = nil // whether this machine has one
		fmt.Fprintf(&page, "== %s\n\n", c.name)
		if err := Render(&page, NewReport(facts)); err != nil {
			t.Fatal(err)
		}
		page.WriteString("\n")
	}
	golden(t, "doctor-quagga.txt", page.String())
}

func TestQuaggasTimersAreReadFromItsConfiguration(t *testing.T) {
	s := &quaggaSuite{t: t, release: vty.Version{Major: 1, Minor: 2, Patch: 4}, ospf: "router ospf\n timers throttle lsa all 0\n timers lsa arrival 50\n"}
	facts, err := Gather(t.Context(), s, Place{Dir: t.TempDir(), Net: t.TempDir(), Sys: t.TempDir(), Telnet: true}, Wants{})
	if err != nil || facts.State.LSAInterval != 0 || facts.State.LSAMinArrival != 50*time.Millisecond {
		t.Errorf("%v, %v, %v", facts.State.LSAInterval, facts.State.LSAMinArrival, err)
	}
}

func FuzzParseInterfacesText(f *testing.F) {
	f.Add("eth0 is up\n  Internet Address 10.1.0.2/24, Area 0.0.0.1 [Stub]\n  Timer intervals configured, Hello 1s, Dead 4s\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ParseInterfacesText(text)
		for _, i := range all {
			if err != nil || i.Name == "" || !i.Area.IsValid() {
				t.Fatalf("%+v, %v", i, err)
			}
		}
	})
}
