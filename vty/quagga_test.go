package vty

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestShowIPOSPFOfQuagga124(t *testing.T) {
	got, err := ParseOSPFText(readText(t, "quagga-1.2.4-show-ip-ospf.txt"))
	want := OSPFState{
		Running: true, RouterID: addr("10.255.0.1"), OpaqueCapable: true, ASBR: true,
		SPFHold: time.Millisecond, LSAMinArrival: time.Second, LSAInterval: 5 * time.Second,
		Areas: []OSPFArea{{ID: addr("0.0.0.0"), Backbone: true, ActiveInterfaces: 2, FullNeighbors: 1}},
	}
	if diff := cmp.Diff(want, got, byValue); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
}

// The lines are those of show_ip_ospf and show_ip_ospf_area in ospfd/ospf_vty.c.
func TestShowIPOSPFOfQuaggaWithEveryKindOfArea(t *testing.T) {
	got, err := ParseOSPFText(` OSPF Routing Process, Router ID: 192.0.2.1
 OpaqueCapability flag is enabled (origination blocked)
 Initial SPF scheduling delay 200 millisec(s)
 Minimum hold time between consecutive SPFs 1000 millisec(s)
 This router is an ABR, ABR type is: Alternative Cisco
 Number of areas attached to this router: 4

 Area ID: 0.0.0.3
   Shortcutting mode: Default, S-bit consensus: ok
   Number of interfaces in this area: Total: 1, Active: 0
 Area ID: 0.0.0.2 (NSSA, no summary)
   Number of interfaces in this area: Total: 3, Active: 2
   It is an NSSA configuration. 
   Number of fully adjacent neighbors in this area: 2
 Area ID: 0.0.0.1 (Stub, no summary)
 Area ID: 0.0.0.4 (Stub)
`)
	want := OSPFState{
		Running: true, RouterID: addr("192.0.2.1"), OpaqueCapable: true, ABR: true,
		SPFDelay: 200 * time.Millisecond, SPFHold: time.Second, LSAMinArrival: time.Second, LSAInterval: 5 * time.Second,
		Areas: []OSPFArea{
			{ID: addr("0.0.0.1"), StubNoSummary: true}, {ID: addr("0.0.0.2"), NSSA: true, ActiveInterfaces: 2, FullNeighbors: 2},
			{ID: addr("0.0.0.3")}, {ID: addr("0.0.0.4")},
		},
	}
	if diff := cmp.Diff(want, got, byValue); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
}

func TestQuaggaWithoutRouterOSPFIsNoError(t *testing.T) {
	const text = " OSPF Routing Process not enabled\n"
	if got, err := ParseOSPFText(text); got.Running || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ParseNeighborsText(text); got != nil || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatIsNotQuaggasStateIsAnError(t *testing.T) {
	for _, text := range []string{"", "{}", " OSPF Routing Process, Router ID: x\n", " OSPF Routing Process, Router ID: 1.2.3.4\n Area ID: x\n", "FRRouting\n"} {
		if got, err := ParseOSPFText(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for _, text := range []string{"1.2.3.4 1 Full/DR 3s 10.0.0.1 eth0:10.0.0.2 0 0\n", "1.2.3.4 1 Full/DR 3s nowhere eth0:10.0.0.2 0 0 0\n"} {
		if got, err := ParseNeighborsText(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestNeighborsOfQuagga(t *testing.T) {
	got, err := ParseNeighborsText(readText(t, "quagga-1.2.4-show-ip-ospf-neighbor.txt"))
	want := []Neighbor{{RouterID: addr("10.255.0.9"), Address: addr("10.71.1.1"), Interface: "eth0", Local: addr("10.71.1.2"),
		State: "Full", Role: "DR", Priority: 1, DeadIn: 3810 * time.Millisecond}}
	if diff := cmp.Diff(want, got, byValue); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
	// As show_ip_ospf_neighbor_sub and ospf_timeval_dump write them.
	got, err = ParseNeighborsText(`
Neighbor ID     Pri State           Dead Time Address         Interface            RXmtL RqstL DBsmL
-                 0 Attempt/DROther  inactive 10.0.0.9        eth1:10.0.0.1            0     0     0
192.0.2.7         1 Init/DROther      0 usecs 10.0.0.7        eth1:10.0.0.1            0     0     0
192.0.2.8       100 2-Way/DROther    1m05s    10.0.0.8        eth1:10.0.0.1            0     0     0
`)
	want = []Neighbor{
		{RouterID: addr("192.0.2.7"), Address: addr("10.0.0.7"), Interface: "eth1", Local: addr("10.0.0.1"), State: "Init", Role: "DROther", Priority: 1, DeadIn: time.Millisecond},
		{RouterID: addr("192.0.2.8"), Address: addr("10.0.0.8"), Interface: "eth1", Local: addr("10.0.0.1"), State: "2-Way", Role: "DROther", Priority: 100, DeadIn: 65 * time.Second},
		{Address: addr("10.0.0.9"), Interface: "eth1", Local: addr("10.0.0.1"), State: "Attempt", Role: "DROther", DeadIn: -1},
	}
	if diff := cmp.Diff(want, got, byValue); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
}

func TestTimersOfQuagga(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0.003s": 3 * time.Millisecond, "39.100s": 39100 * time.Millisecond, "2h03m04s": 2*time.Hour + 3*time.Minute + 4*time.Second,
		"1d02h03m": 26*time.Hour + 3*time.Minute, "1w2d03h": 9*24*time.Hour + 3*time.Hour,
		"inactive": 0, "": 0, "3": 0, "3x": 0, "s": 0, "1.2.3s": 0, "99999999999w": 0,
	} {
		if got, ok := parseQuaggaTimer(text); got != want && ok || ok != (want > 0) {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
}

func TestATelnetSessionAsQuaggaHeldIt(t *testing.T) {
	s, err := DialTelnet(t.Context(), OSPF, Telnet{
		Address: startTelnet(t, goldenScript(t, "quagga-1.2.4-telnet-session")), Password: "zebra", EnablePassword: "zebra"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if rel, err := s.Release(t.Context()); err != nil || rel != (Release{"Quagga", Version{1, 2, 4}, "q1"}) {
		t.Fatalf("%v, %v", rel, err)
	}
	for _, step := range []struct {
		command string
		status  Status
	}{
		{"show ip ospf json", StatusNoMatch},
		{"configure terminal", StatusSuccess},
		{"router ospf", StatusSuccess},
		{"network 192.0.2.1/32 area 0.0.0.0", StatusSuccess},
		{"network 192.0.2.1/32 area 0.0.0.1", StatusConfigFailed},
		{"no network 192.0.2.1/32 area 0.0.0.0", StatusSuccess},
		{"no network 192.0.2.1/32 area 0.0.0.0", StatusConfigFailed},
		{"redistribute table 201", StatusNoMatch},
		{"end", StatusSuccess},
	} {
		_, err := s.Exec(t.Context(), step.command)
		var status *StatusError
		if step.status.OK() != (err == nil) || err != nil && (!errors.As(err, &status) || status.Status != step.status) {
			t.Errorf("%s: %v, want %v", step.command, err, step.status)
		}
	}
}

// A Router asks Quagga in words, and FRR in JSON.
func TestARouterAsksEachSuiteWhatItUnderstands(t *testing.T) {
	dir := t.TempDir()
	r := newTestRouter(t, dir)
	text := func(s string) []byte { return append([]byte(s), 0, 0, 0, byte(StatusSuccess)) }
	startFake(t, dir, OSPF, func(c string) []byte {
		switch c {
		case "show version":
			return text("Quagga 1.2.4 (q1).\n")
		case "show ip ospf":
			return text(readText(t, "quagga-1.2.4-show-ip-ospf.txt"))
		case "show ip ospf neighbor":
			return text(readText(t, "quagga-1.2.4-show-ip-ospf-neighbor.txt"))
		case "enable":
			return text("")
		}
		return append([]byte("% Unknown command.\n"), 0, 0, 0, byte(StatusNoMatch))
	})
	if state, err := r.OSPFState(t.Context()); err != nil || state.RouterID != addr("10.255.0.1") {
		t.Errorf("%+v, %v", state, err)
	}
	if all, err := r.Neighbors(t.Context()); err != nil || len(all) != 1 || !all[0].Full() {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := r.OwnExternals(t.Context()); err == nil || !strings.Contains(err.Error(), "Quagga 1.2.4 does not know") {
		t.Errorf("LSAs: %v", err)
	}
}

func FuzzParseQuagga(f *testing.F) {
	f.Add(readText(f, "quagga-1.2.4-show-ip-ospf.txt"))
	f.Add(readText(f, "quagga-1.2.4-show-ip-ospf-neighbor.txt"))
	f.Add("- 0 Attempt/DROther 0 usecs 10.0.0.9 eth1:10.0.0.1 0 0 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		if state, err := ParseOSPFText(text); err == nil && state.Running && !state.RouterID.Is4() {
			t.Fatalf("running without a router id: %+v", state)
		}
		all, err := ParseNeighborsText(text)
		for _, n := range all {
			if err != nil || !n.Address.IsValid() {
				t.Fatalf("%+v, %v", n, err)
			}
		}
	})
}
