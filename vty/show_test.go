package vty

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var byValue = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestVersionsOfEveryReleaseAreRead(t *testing.T) {
	for text, want := range map[string]Release{
		readText(t, "show-version.txt"):                                             {"FRRouting", Version{8, 4, 4}, "vt1"},
		"FRRouting 7.5.1 (r1).\nCopyright 1996-2005 Kunihiro Ishiguro, et al.\n":    {"FRRouting", Version{7, 5, 1}, "r1"},
		"FRRouting 10.3 (r1) on Linux(6.12.0).\n":                                   {"FRRouting", Version{10, 3, 0}, "r1"},
		"FRRouting 10.7.1-6+deb (a b) on Linux(6.12.0).\n":                          {"FRRouting", Version{10, 7, 1}, "a b"},
		"\nQuagga 0.99.24.1 (r1).\nCopyright 1996-2005 Kunihiro Ishiguro, et al.\n": {"Quagga", Version{0, 99, 24}, "r1"},
	} {
		if got, err := ParseVersion(text); got != want || err != nil {
			t.Errorf("%.40q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "bird 2.0.12", "FRRouting (r1)", "FRRouting 99999999.1 (x)"} {
		if got, err := ParseVersion(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestVersionsAreOrderedByNumber(t *testing.T) {
	order := []Version{{0, 99, 24}, {7, 5, 0}, {7, 5, 1}, {8, 4, 4}, {9, 1, 0}, {10, 0, 0}, {10, 3, 0}, {10, 10, 0}}
	for i, a := range order {
		for j, b := range order {
			if got := a.Compare(b); got < 0 != (i < j) || got == 0 != (i == j) {
				t.Errorf("%v to %v: %d", a, b, got)
			}
		}
	}
	if v := (Version{10, 0, 0}); !v.AtLeast(10, 0) || v.AtLeast(10, 1) || v.String() != "10.0" {
		t.Errorf("10.0: %v", v)
	}
}

func TestShowIPOSPFOfFRR84(t *testing.T) {
	got, err := ParseOSPF(readText(t, "show-ip-ospf.json"))
	want := OSPFState{
		Running: true, RouterID: addr("10.255.0.1"), OpaqueCapable: true, ASBR: true,
		SPFHold: time.Millisecond, LSAMinArrival: time.Second, LSAInterval: 5 * time.Second,
		Areas: []OSPFArea{
			{ID: addr("0.0.0.0"), Backbone: true, ActiveInterfaces: 1, FullNeighbors: 1},
			{ID: addr("0.0.0.1")}, // configured as stub, which is not shown
			{ID: addr("0.0.0.2"), NSSA: true},
			{ID: addr("0.0.0.3"), StubNoSummary: true},
		},
	}
	if d := cmp.Diff(want, got, byValue); d != "" || err != nil {
		t.Fatalf("%v\n%s", err, d)
	}
}

func TestAnOSPFDWithoutRouterOSPFIsNotRunning(t *testing.T) {
	for _, text := range []string{"", "\n", "{}\n", "% OSPF is not enabled on vrf default\n"} {
		if got, err := ParseOSPF(text); got.Running || err != nil {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if got, err := ParseNeighbors(text); len(got) > 0 || err != nil {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if got, err := ParseExternals(text); len(got) > 0 || err != nil {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestAnAreaBorderRouterIsKnownByItsABRType(t *testing.T) {
	got, err := ParseOSPF(`{"routerId":"192.0.2.1","abrType":"Alternative Cisco","areas":{"0.0.0.0":{"backbone":true},"0.0.0.7":{"nssaNoSummary":true}}}`)
	if err != nil || !got.ABR || got.ASBR || got.OpaqueCapable || !got.Areas[1].NSSA {
		t.Fatalf("%+v, %v", got, err)
	}
}

// The keys by release: ospfd/ospf_vty.c, show_ip_ospf_neighbor_sub, at tags
// frr-7.5.1 and frr-10.3.
func TestNeighborsOfEveryRelease(t *testing.T) {
	full := Neighbor{
		RouterID: addr("10.255.0.2"), Address: addr("10.99.0.2"), Interface: "vt1e", Local: addr("10.99.0.1"),
		State: "Full", Role: "DR", Priority: 1, DeadIn: 3558 * time.Millisecond,
	}
	attempt := Neighbor{Address: addr("192.0.2.9"), Interface: "eth0:x", State: "Attempt", DeadIn: -1}
	for name, c := range map[string]struct {
		text string
		want []Neighbor
	}{
		"8.4 has both sets of keys": {readText(t, "show-ip-ospf-neighbor.json"), []Neighbor{full}},
		"7.5 has the old ones": {`{"neighbors":{"10.255.0.2":[{"priority":1,"state":"Full\/DR","deadTimeMsecs":3558,
			"address":"10.99.0.2","ifaceName":"vt1e:10.99.0.1","retransmitCounter":0}]}}`, []Neighbor{full}},
		"10.3 has the new ones": {`{"neighbors":{"10.255.0.2":[{"nbrState":"Full\/DR","nbrPriority":1,"converged":"Full","role":"DR",
			"routerDeadIntervalTimerDueMsec":3558,"ifaceAddress":"10.99.0.2","ifaceName":"vt1e:10.99.0.1"}]}}`, []Neighbor{full}},
		"a timer that does not run, a router not known": {`{"neighbors":{"neighbor":[{"nbrState":"Attempt",
			"routerDeadIntervalTimerDueMsec":"inactive","ifaceAddress":"192.0.2.9","ifaceName":"eth0:x"}]}}`, []Neighbor{attempt}},
		"none":                        {`{"neighbors":{}}`, nil},
		"no instance, as 8.4 says it": {"{\n}\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseNeighbors(c.text)
			if d := cmp.Diff(c.want, got, byValue); d != "" || err != nil {
				t.Fatalf("%v\n%s", err, d)
			}
		})
	}
	if !full.Full() || attempt.Full() {
		t.Error("Full is told by the state")
	}
}

func TestRoutesAreReadWithTheirCandidates(t *testing.T) {
	got, err := ParseRoutes(readText(t, "show-ip-route.json"))
	want := []Route{
		{Prefix: prefix("10.99.0.0/24"), Protocol: "ospf", Distance: 110, Metric: 10, Table: 254,
			Nexthops: []Nexthop{{Interface: "vt1e", Active: true}}},
		{Prefix: prefix("10.99.0.0/24"), Protocol: "connected", Selected: true, Installed: true, Table: 254,
			Nexthops: []Nexthop{{Interface: "vt1e", Active: true, FIB: true}}},
	}
	if d := cmp.Diff(want, got, byValue); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	got, err = ParseRoutes(readText(t, "show-ip-route-blackhole.json"))
	if err != nil || len(got) != 1 || !got[0].Nexthops[0].Blackhole || got[0].Protocol != "kernel" {
		t.Errorf("%v, %+v", err, got)
	}
	if got, err := ParseRoutes("{}\n"); len(got) != 0 || err != nil {
		t.Errorf("no route: %v, %v", got, err)
	}
}

func TestExternalsInEveryShape(t *testing.T) {
	want := []External{{
		Prefix: prefix("10.250.0.9/32"), Router: addr("10.255.0.1"), Sequence: 0x80000001, Checksum: 0xaafa,
		Type2: true, Metric: 20, ForwardAddress: addr("0.0.0.0"),
	}}
	list := readText(t, "show-ip-ospf-database-external-id.json")
	for name, text := range map[string]string{
		"8.4, all: by link state id": readText(t, "show-ip-ospf-database-external.json"),
		"8.4, one, and 10.x: a list": list,
	} {
		got, err := ParseExternals(text)
		for i := range got {
			got[i].Age = 0
		}
		if d := cmp.Diff(want, got, byValue); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
}

func TestExternalsWithoutJSON(t *testing.T) {
	text := readText(t, "frr-7.5.1-show-ip-ospf-database-external.txt")
	got, err := ParseExternalsText(text)
	want := []External{
		{Prefix: prefix("10.250.0.1/32"), Router: addr("10.255.1.2"), Age: time.Second, Sequence: 0x80000001, Checksum: 0xedbd,
			Type2: true, Metric: 20, ForwardAddress: addr("0.0.0.0")},
		{Prefix: prefix("10.250.0.2/32"), Router: addr("10.255.1.2"), Age: time.Second, Sequence: 0x80000001, Checksum: 0xe3c6,
			Type2: true, Metric: 20, ForwardAddress: addr("0.0.0.0")},
	}
	if d := cmp.Diff(want, got, byValue); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	for name, text := range map[string]string{
		"no router ospf": "% OSPF instance not found\n", "none": text[:strings.Index(text, "LS age")],
	} {
		if got, err := ParseExternalsText(text); len(got) > 0 || err != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, text := range []string{"% Unknown command", text[:len(text)/2], strings.Replace(text, "Mask: /32", "Mask: /33", 1),
		strings.Replace(text, "ID: 10.250.0.1", "ID: ::1", 1), strings.Replace(text, "age: 1", "age: x", 1), strings.Replace(text, "Metric: 20", "", 1)} {
		if got, err := ParseExternalsText(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestAnOspfdWithoutJSONIsAskedForExternalsInWords(t *testing.T) {
	dir := t.TempDir()
	startFake(t, dir, OSPF, func(c string) []byte {
		switch c {
		case "show ip ospf database external self-originate":
			return ok(readText(t, "frr-7.5.1-show-ip-ospf-database-external.txt"))
		case "show ip ospf database external self-originate json":
			return AppendReply(nil, "% Unknown command: "+c+"\n", StatusNoMatch)
		}
		return answerVersion("7.5.1")(c)
	})
	if got, err := newTestRouter(t, dir).OwnExternals(t.Context()); len(got) != 2 || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatIsNotTheJSONWantedIsAnError(t *testing.T) {
	for _, text := range []string{"[]", "{", `{"routerId":"x"}`, `{} {}`, `{"routerId":""}`, `{"routerId":"::1"}`, `{"routerId":"1.2.3.4","areas":{"x":{}}}`, "% Unknown command"} {
		if got, err := ParseOSPF(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for _, text := range []string{"", "{", `{"x":[]}`, `{"10.0.0.0/8":{}}`, `{"":[{}]}`} {
		if got, err := ParseRoutes(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for _, text := range []string{`{"asExternalLinkStates":5}`, `{"asExternalLinkStates":[{}]}`,
		`{"asExternalLinkStates":[{"advertisingRouter":"1.2.3.4","networkMask":32,"lsaSeqNumber":"1","checksum":"1"}]}`,
		`{"asExternalLinkStates":[{"linkStateId":"1.2.3.4","networkMask":33,"lsaSeqNumber":"1","checksum":"1"}]}`} {
		if got, err := ParseExternals(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestARunningConfigIsSplitIntoBlocks(t *testing.T) {
	conf := ParseRunning(readText(t, "show-running-config-ospfd.txt"))
	id, explicit := conf.ExplicitRouterID()
	if id != addr("10.255.0.1") || !explicit {
		t.Errorf("router-id %v %v", id, explicit)
	}
	ospf, found := conf.Block("router ospf")
	if !found || !ospf.Has("capability opaque") || !ospf.Has("redistribute table 77") || ospf.Has("redistribute table 7") {
		t.Errorf("router ospf: %+v", ospf)
	}
	if v, _ := ospf.Value("timers throttle spf"); v != "0 1 50" {
		t.Errorf("timers %q", v)
	}
	ifaces := conf.All("interface")
	if len(ifaces) != 1 || ifaces[0].Line != "interface vt1e" || !ifaces[0].Has("ip ospf bfd") || ifaces[0].Has("ip ospf b") {
		t.Errorf("interfaces %+v", ifaces)
	}
	if v, ok := ifaces[0].Value("ip ospf bfd profile"); !ok || v != "fast" {
		t.Errorf("bfd profile %q", v)
	}
	for area, want := range map[string]AreaKind{"0.0.0.0": AreaNormal, "0.0.0.1": AreaStub, "0.0.0.2": AreaNSSA, "0.0.0.3": AreaStub} {
		if got := conf.AreaKindOf(addr(area)); got != want {
			t.Errorf("area %s: %v, want %v", area, got, want)
		}
	}
	if v, ok := ParseRunning(readText(t, "show-running-config-zebra.txt")).Value("zebra work-queue"); v != "0" || !ok {
		t.Errorf("work-queue %q", v)
	}
	bfd, _ := ParseRunning(readText(t, "show-running-config-bfdd.txt")).Block("bfd")
	fast, found := bfd.Block("profile fast")
	if v, _ := fast.Value("transmit-interval"); !found || v != "50" {
		t.Errorf("bfd %+v", bfd)
	}
}

func TestARouterIDNobodySetIsNotExplicit(t *testing.T) {
	for name, text := range map[string]string{
		"no ospf at all":               "hostname x\n",
		"ospf without it":              "router ospf\n capability opaque\n",
		"zebra's own is another thing": "ip router-id 192.0.2.1\nrouter ospf\n network 192.0.2.0/24 area 0\n",
		"of another instance":          "router ospf vrf red\n ospf router-id 192.0.2.1\n",
		"behind the end of the block":  "router ospf\n!\n ospf router-id 192.0.2.1\n",
	} {
		if id, ok := ParseRunning(text).ExplicitRouterID(); ok {
			t.Errorf("%s: %v", name, id)
		}
	}
	if id, ok := ParseRunning("router ospf\r\n  ospf   router-id 192.0.2.1\r\n").ExplicitRouterID(); !ok || id != addr("192.0.2.1") {
		t.Errorf("spaces and line ends: %v %v", id, ok)
	}
}

func TestCommandsGoToTheDaemonThatTakesThem(t *testing.T) {
	frr := func(major, minor int) Release { return Release{Suite: "FRRouting", Version: Version{major, minor, 0}} }
	quagga := Release{Suite: "Quagga", Version: Version{1, 2, 4}}
	for _, c := range []struct {
		rel   Release
		class Class
		want  Daemon
	}{
		{frr(7, 5), ClassAddress, Zebra}, {frr(9, 1), ClassAddress, Zebra}, {frr(10, 0), ClassAddress, Mgmt}, {frr(10, 7), ClassAddress, Mgmt},
		{frr(8, 4), ClassZebra, Zebra}, {frr(10, 6), ClassZebra, Zebra}, {frr(10, 7), ClassZebra, Mgmt},
		{frr(8, 4), ClassOSPF, OSPF}, {frr(10, 7), ClassOSPF, OSPF}, {frr(10, 7), ClassPolicy, OSPF}, {frr(10, 7), ClassBFD, BFD},
		{quagga, ClassAddress, Zebra}, {quagga, ClassOSPF, OSPF}, {quagga, ClassBFD, ""}, {frr(8, 4), Class(99), ""},
	} {
		if got, err := Target(c.rel, c.class); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%v, %v: %q, %v", c.rel, c.class, got, err)
		}
	}
}

func TestWhatAbortsOSPFDOf75IsRefusedThere(t *testing.T) {
	old := Release{Suite: "FRRouting", Version: Version{7, 5, 1}}
	for command, safe := range map[string]bool{
		"show ip ospf interface":              false,
		"sh ip os int json":                   false,
		"do show ip ospf interface eth0":      false,
		"show ip ospf vrf red interface":      false,
		"  show  ip  ospf  interface traffic": false,
		"show ip ospf neighbor":               true,
		"show ip ospf json":                   true,
		"show ip route":                       true,
		"show ip":                             true,
		"interface eth0":                      true,
		"":                                    true,
		"do":                                  true,
	} {
		if got := Safe(old, OSPF, command); (got == nil) != safe {
			t.Errorf("%q: %v", command, got)
		}
		if got := Safe(Release{Suite: "FRRouting", Version: Version{8, 4, 4}}, OSPF, command); got != nil {
			t.Errorf("%q on 8.4: %v", command, got)
		}
		if got := Safe(old, Zebra, command); got != nil {
			t.Errorf("%q to zebra: %v", command, got)
		}
	}
}

func FuzzParseRunning(f *testing.F) {
	f.Add(readText(f, "show-running-config-ospfd.txt"))
	f.Add("a\n b\n  c\n d\n!\nexit-vrf\n")
	f.Fuzz(func(t *testing.T, text string) {
		conf := ParseRunning(text)
		conf.ExplicitRouterID()
		conf.AreaKindOf(addr("0.0.0.0"))
		var walk func(Block)
		walk = func(b Block) {
			for _, sub := range b.Sub {
				if sub.Line == "" || !b.Has(sub.Line) {
					t.Fatalf("line %q is not found where it is", sub.Line)
				}
				walk(sub)
			}
		}
		walk(conf)
	})
}

func FuzzParseJSON(f *testing.F) {
	for _, name := range []string{"show-ip-ospf.json", "show-ip-ospf-neighbor.json", "show-ip-route.json",
		"show-ip-ospf-database-external.json", "show-ip-ospf-database-external-id.json", "show-version.txt"} {
		f.Add(readText(f, name))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseOSPF(text); err == nil && s.Running != s.RouterID.Is4() {
			t.Fatalf("running %v with router-id %v", s.Running, s.RouterID)
		}
		if all, err := ParseExternals(text); err == nil {
			for _, e := range all {
				if !e.Prefix.Addr().Is4() || !e.Router.Is4() {
					t.Fatalf("%+v was taken from %q", e, text)
				}
			}
		}
		if all, err := ParseRoutes(text); err == nil {
			for _, r := range all {
				if !r.Prefix.IsValid() {
					t.Fatalf("%+v was taken from %q", r, text)
				}
			}
		}
		ParseNeighbors(text)
		ParseVersion(text)
	})
}
