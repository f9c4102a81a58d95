package doctor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/vty"
)

var update = flag.Bool("update", false, "rewrite the goldens")

const pages = "../../../testdata/page"

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join(pages, name)
	if *update {
		if err := os.MkdirAll(pages, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func release(major, minor, patch int) vty.Release {
	return vty.Release{Suite: "FRRouting", Version: vty.Version{Major: major, Minor: minor, Patch: patch}, Host: "n1"}
}

// The running configurations below are as FRR 8.4.4 printed them.
const (
	plainZebra = `Building configuration...

Current configuration:
!
frr version 8.4.4
frr defaults traditional
hostname n1
no ip forwarding
no ipv6 forwarding
!
end
`
	plainOSPF = `Building configuration...

Current configuration:
!
frr version 8.4.4
frr defaults traditional
hostname n1
!
router ospf
 network 10.1.0.0/24 area 0
exit
!
end
`
	tunedZebra = `frr version 8.4.4
frr defaults traditional
hostname n1
zebra work-queue 0
!
end
`
	tunedOSPF = `frr version 8.4.4
frr defaults traditional
hostname n1
!
interface eth0
 ip ospf bfd
 ip ospf bfd profile srrd
 ip ospf retransmit-interval 1
 ip ospf authentication message-digest
 ip ospf message-digest-key 1 md5 secret
exit
!
router ospf
 ospf router-id 1.1.1.1
 timers throttle spf 0 1 50
 timers throttle lsa all 0
 timers lsa min-arrival 0
 redistribute table 99
 network 10.1.0.0/24 area 0
 capability opaque
exit
!
end
`
	tunedBFD = `bfd
 profile srrd
  transmit-interval 50
  receive-interval 50
 exit
 !
exit
!
end
`
)

var backbone = vty.OSPFArea{ID: netip.IPv4Unspecified(), Backbone: true, ActiveInterfaces: 1, FullNeighbors: 1}

// tuned is a node on which nothing is to be found.
func tuned() Facts {
	return Facts{
		Wants:   Wants{Table: 99, Local: true, AS: true, Signed: true, Addresses: []netip.Addr{addr("10.250.0.1")}},
		Release: release(8, 4, 4),
		Zebra:   vty.ParseRunning(tunedZebra), OSPF: vty.ParseRunning(tunedOSPF), BFD: vty.ParseRunning(tunedBFD),
		State: vty.OSPFState{Running: true, RouterID: addr("1.1.1.1"), OpaqueCapable: true,
			SPFHold: time.Millisecond, Areas: []vty.OSPFArea{backbone}},
		Neighbors:  []vty.Neighbor{{RouterID: addr("2.2.2.2"), Address: addr("10.1.0.2"), Interface: "eth0", State: "Full"}},
		Interfaces: []Interface{{Name: "eth0", Area: netip.IPv4Unspecified(), Dead: 40}},
		API:        API{Port: 2607, Listening: true, Address: addr("127.0.0.1")},
		Sysctls: map[string]string{"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": "0",
			"net.ipv4.conf.eth0.rp_filter": "2"},
	}
}

// plain is FRR as Debian starts it, with nothing but a network statement.
func plain() Facts {
	f := tuned()
	f.Wants.Signed = false
	f.Zebra, f.OSPF, f.BFD = vty.ParseRunning(plainZebra), vty.ParseRunning(plainOSPF), vty.Block{}
	f.State = vty.OSPFState{Running: true, RouterID: addr("10.1.0.1"), SPFHold: 50 * time.Millisecond,
		LSAMinArrival: time.Second, LSAInterval: 5 * time.Second, Areas: []vty.OSPFArea{backbone}}
	f.API = API{Port: 2607, Listening: true, Address: netip.IPv4Unspecified()}
	f.Sysctls = map[string]string{"net.ipv4.ip_forward": "0", "net.ipv4.conf.all.rp_filter": "1", "net.ipv4.conf.eth0.rp_filter": "0"}
	return f
}

func TestPages(t *testing.T) {
	stub := func() Facts {
		f := tuned()
		f.OSPF = vty.ParseRunning(strings.Replace(tunedOSPF, " network 10.1.0.0/24 area 0\n", " network 10.1.0.0/24 area 1\n area 1 stub\n", 1))
		f.State.Areas = []vty.OSPFArea{{ID: addr("0.0.0.1"), ActiveInterfaces: 1}}
		f.Wants.Areas = []netip.Addr{addr("0.0.0.1"), addr("0.0.0.2")}
		f.Wants.Links = []string{"eth0", "eth1", "eth2"}
		f.Wants.Networks = []netip.Addr{addr("0.0.0.3")}
		f.Interfaces = []Interface{{Name: "eth0", Area: addr("0.0.0.1")}, {Name: "eth1", Area: addr("0.0.0.1"), Passive: true}}
		return f
	}
	dead := func() Facts {
		f := Facts{Wants: tuned().Wants, Missing: map[vty.Daemon]string{
			vty.Zebra: "zebra: dial unix /run/frr/zebra.vty: permission denied (is this user in group frrvty?)",
			vty.OSPF:  "ospfd is not running, /run/frr/ospfd.vty is left over: connection refused",
			vty.BFD:   "bfdd has not been started here: file does not exist",
		}}
		return f
	}
	empty := func() Facts {
		f := tuned()
		f.OSPF, f.State, f.Neighbors, f.Interfaces = vty.Block{}, vty.OSPFState{}, nil, nil
		f.API.Listening = false
		f.Sockets = []Socket{{Path: "/run/frr/zserv.api", Daemon: vty.Zebra, Err: "permission denied", Mode: "It is Srwx------."}}
		return f
	}
	trap := func() Facts {
		f := tuned()
		f.Release = release(10, 3, 0)
		f.OSPF = vty.ParseRunning(strings.NewReplacer(" ospf router-id 1.1.1.1\n", "", " redistribute table 99\n", " redistribute connected\n",
			"ip ospf bfd profile srrd", "ip ospf bfd profile calm").Replace(tunedOSPF))
		f.BFD = vty.ParseRunning("bfd\n profile calm\n  detect-multiplier 5\n exit\nexit\n")
		f.Zebra = vty.ParseRunning(tunedZebra + "ip import-table 99\n")
		f.State.RouterID = addr("10.250.0.1")
		f.Wants.Redistribute = true
		f.Neighbors[0].State = "ExStart"
		f.API.Address = netip.IPv4Unspecified()
		return f
	}
	nameless := func() Facts { // ospfd has just started, or has no address yet
		f := tuned()
		f.OSPF = vty.ParseRunning(strings.Replace(tunedOSPF, " ospf router-id 1.1.1.1\n", "", 1))
		f.State.RouterID = netip.IPv4Unspecified()
		return f
	}
	old := func() Facts {
		f := tuned()
		f.Release = release(7, 5, 1)
		f.Wants.Redistribute = true
		f.Neighbors = nil
		f.OSPF = vty.ParseRunning(strings.Replace(tunedOSPF, " ip ospf bfd\n ip ospf bfd profile srrd\n", " ip ospf bfd 3 100 100\n", 1))
		return f
	}
	transit := func(f Facts) func() Facts {
		f.Wants = Wants{Transit: true}
		f.API = API{} // nobody listens, and nobody has to
		f.Zebra = vty.ParseRunning(strings.Replace(tunedZebra, "hostname n1", "hostname r1", 1))
		return func() Facts { return f }
	}
	untuned := plain()
	untuned.Sysctls["net.ipv4.conf.all.rp_filter"] = "0"
	for name, facts := range map[string]func() Facts{
		"transit-tuned": transit(tuned()), "transit-plain": transit(untuned),
		"nothing": tuned, "plain": plain, "stub": stub, "dead": dead, "empty": empty, "nameless": nameless, "trap": trap, "old": old,
	} {
		t.Run(name, func(t *testing.T) {
			var page strings.Builder
			report := NewReport(facts())
			findings := report.Findings
			if err := Render(&page, report); err != nil {
				t.Fatal(err)
			}
			golden(t, "doctor-"+name+".txt", page.String())
			seen := map[string]bool{}
			for _, f := range findings {
				if seen[f.Subject] {
					t.Errorf("two findings are called %q", f.Subject)
				}
				seen[f.Subject] = true
				if f.Severity == Refuse && len(f.Lines)+len(f.Steps) == 0 {
					t.Errorf("%q refuses and says no way out", f.Subject)
				}
			}
		})
	}
}

func TestBlockingIsARefusal(t *testing.T) {
	if Blocking(Examine(tuned())) {
		t.Error("a tuned node is refused")
	}
	if !Blocking(Examine(plain())) {
		t.Error("a plain node is not refused")
	}
}

func TestListenersAreReadFromProc(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0A28 00000000:0000 0A 00000000:00000000 00:00000000 00000000   107        0 24853 1
   1: 00000000:0A2F 00000000:0000 0A 00000000:00000000 00:00000000 00000000   107        0 24854 1
   2: 0100007F:0A30 0100007F:0A2F 01 00000000:00000000 00:00000000 00000000   107        0 24855 1
`
	for port, want := range map[uint16]string{2600: "127.0.0.1", 2607: "0.0.0.0", 2608: "invalid IP"} {
		got, ok := listener(strings.NewReader(table), port)
		if got.String() != want || ok != (want != "invalid IP") {
			t.Errorf("port %d: %v, want %s", port, got, want)
		}
	}
	six := "   0: 00000000000000000000000001000000:0A2F 00000000000000000000000000000000:0000 0A\n"
	if got, _ := listener(strings.NewReader(six), 2607); got != netip.IPv6Loopback() {
		t.Errorf("tcp6: %v, want ::1", got)
	}
}

func TestInterfacesAreReadInBothForms(t *testing.T) {
	const row = `"eth0":{"ifUp":true,"ospfEnabled":true,"area":"0.0.0.1 [Stub]","timerDeadSecs":4,"timerPassiveIface":true},"eth1":{"ifUp":true,"ospfEnabled":false}`
	want := []Interface{{Name: "eth0", Area: addr("0.0.0.1"), Passive: true, Dead: 4}}
	for _, text := range []string{`{"interfaces":{` + row + `}}`, `{` + row + `}`} {
		got, err := ParseInterfaces(text)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	if got, err := ParseInterfaces(" \n"); err != nil || got != nil {
		t.Errorf("empty output: %v, %v", got, err)
	}
	if _, err := ParseInterfaces("{"); err == nil {
		t.Error("half an object is no error")
	}
}

func TestSysctlNamesAreThoseOfSysctl(t *testing.T) {
	if got := sysctlName("net/ipv4/conf/eth0.100/rp_filter"); got != "net.ipv4.conf.eth0/100.rp_filter" {
		t.Errorf("got %s", got)
	}
}

// oldSuite is FRR 7.5 in memory: asking for interfaces would end its ospfd, and
// its zebra refuses one line.
type oldSuite struct{ set []string }

func (s *oldSuite) Exec(_ context.Context, d vty.Daemon, command string) (string, error) {
	return "", vty.Safe(release(7, 5, 1), d, command)
}

func (s *oldSuite) Configure(_ context.Context, c vty.Class, lines ...string) error {
	if c == vty.ClassZebra {
		return &vty.StatusError{Daemon: vty.Zebra, Command: lines[0], Status: vty.StatusNoMatch, Text: "% Unknown command"}
	}
	s.set = append(s.set, strings.Join(lines, " / "))
	return nil
}

func (s *oldSuite) Running(_ context.Context, d vty.Daemon) (vty.Block, error) {
	return vty.ParseRunning(map[vty.Daemon]string{vty.Zebra: plainZebra, vty.OSPF: plainOSPF}[d]), nil
}

func (s *oldSuite) Release(context.Context, vty.Daemon) (vty.Release, error) {
	return release(7, 5, 1), nil
}

func (s *oldSuite) OSPFState(context.Context) (vty.OSPFState, error) { return plain().State, nil }

func (s *oldSuite) Neighbors(context.Context) ([]vty.Neighbor, error) { return plain().Neighbors, nil }

func TestALineThatIsRefusedIsNamedAndTheOthersAreSet(t *testing.T) {
	s := &oldSuite{}
	place := Place{Dir: t.TempDir(), Net: t.TempDir(), Sys: t.TempDir()}
	facts, err := Gather(t.Context(), s, place, tuned().Wants)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(facts.Interfaces); got != "eth0" {
		t.Errorf("interfaces %q, want those of the neighbours", got)
	}
	_, err = Apply(t.Context(), s, place, tuned().Wants, Examine(facts))
	var refused *vty.StatusError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "zebra work-queue 0") {
		t.Errorf("error %v, want zebra's refusal with its line", err)
	}
	want := []string{
		"bfd / peer 10.1.0.2 interface eth0 / detect-multiplier 3 / transmit-interval 50 / receive-interval 50",
		"router ospf / ospf router-id 10.1.0.1 / capability opaque / timers throttle spf 0 1 50 / timers throttle lsa all 0 / timers lsa min-arrival 0 / redistribute table 99",
		"interface eth0 / ip ospf bfd / ip ospf retransmit-interval 1",
	}
	if diff := cmp.Diff(want, s.set); diff != "" {
		t.Errorf("lines set (-want +got):\n%s", diff)
	}
}

func TestAnEndedContextIsTheOnlyError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Gather(ctx, &oldSuite{}, Place{}, Wants{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestBFDOfOldReleasesIsSetByPeer(t *testing.T) {
	neighbor := vty.Neighbor{Address: addr("10.1.0.2"), Interface: "eth0", State: "Full"}
	facts := Facts{
		Release: release(7, 5, 1), State: vty.OSPFState{Running: true}, Neighbors: []vty.Neighbor{neighbor},
		Interfaces: []Interface{{Name: "eth0"}}, OSPF: vty.ParseRunning("interface eth0\n ip ospf bfd\nrouter ospf\n"),
		BFD: vty.ParseRunning("bfd\n profile srrd\n  detect-multiplier 3\n  transmit-interval 50\n  receive-interval 50\n"),
	}
	lines := func() (all []string) {
		for _, f := range Examine(facts) {
			if f.Subject == "BFD on eth0" {
				for _, l := range f.Lines {
					all = append(all, strings.Join(l.All(), " / "))
				}
			}
		}
		return all
	}
	want := []string{"bfd / peer 10.1.0.2 interface eth0 / detect-multiplier 3 / transmit-interval 50 / receive-interval 50", "interface eth0 / ip ospf bfd"}
	if got := lines(); !slices.Equal(got, want) {
		t.Errorf("without the peer: %q, want %q", got, want)
	}
	facts.BFD = vty.ParseRunning("bfd\n peer 10.1.0.2 interface eth0\n  detect-multiplier 3\n  transmit-interval 50\n  receive-interval 50\n !\n!\n")
	if got := lines(); got != nil {
		t.Errorf("with it: %q, want nothing", got)
	}
}
