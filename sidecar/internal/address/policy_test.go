package address

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/srrd/srrd/vty"
)

func TestPreparation(t *testing.T) {
	area0 := netip.IPv4Unspecified()
	area1 := netip.MustParseAddr("0.0.0.1")
	const bare = "router ospf\n ospf router-id 1.1.1.1\n network 10.99.0.0/24 area 0\nexit\n"
	var all strings.Builder
	for _, c := range []struct {
		name string
		situation
		running string
	}{
		{name: "A bare ospfd gets everything", running: bare, situation: situation{table: 99, services: frrServices.all()}},
		{name: "No table number leaves redistribution to the operator", running: bare,
			situation: situation{services: services{"web": frrServices["web"]}.all()}},
		{name: "Quagga is asked for no table", running: bare, situation: situation{table: 99, quagga: true, services: frrServices.all()}},
		{name: "What is there is left as it is",
			running: "router ospf\n redistribute table 99 metric 5\n redistribute connected metric 20 route-map SRRD-VIP\nexit\n" +
				"ip prefix-list SRRD-VIP seq 5 permit 10.250.0.0/24 ge 32\nroute-map SRRD-VIP permit 10\n match ip address prefix-list SRRD-VIP\nexit\n",
			situation: situation{table: 99, services: frrServices.all()}},
		{name: "Another route-map is the operator's and is said", running: "router ospf\n redistribute connected route-map MINE\nexit\n",
			situation: situation{services: services{"news": frrServices["news"]}.all()}},
		{name: "A prefix-list that denies is said", running: bare + "ip prefix-list SRRD-VIP seq 5 deny any\n",
			situation: situation{services: services{"news": frrServices["news"]}.all()}},
		{name: "An earlier life's entries and statements go, the operator's stay",
			running: "router ospf\n network 10.250.0.8/32 area 0\n network 10.250.0.9/32 area 0.0.0.0\nexit\n" +
				"ip prefix-list SRRD-VIP seq 5 permit 10.250.0.8/32\nip prefix-list SRRD-VIP seq 7 permit 10.250.0.9/32\n",
			situation: situation{noted: residue{
				Networks: []network{{netip.MustParseAddr("10.250.0.8"), area0}}, Permits: []netip.Addr{netip.MustParseAddr("10.250.0.8")}}}},
		{name: "What is kept for adoption stays",
			running: "router ospf\n network 10.250.0.8/32 area 0\nexit\n",
			situation: situation{kept: map[netip.Addr]bool{netip.MustParseAddr("10.250.0.8"): true},
				noted: residue{Networks: []network{{netip.MustParseAddr("10.250.0.8"), area0}}}}},
		{name: "A statement somebody moved to another area is no longer ours",
			running:   "router ospf\n network 10.250.0.2/32 area 1\nexit\n",
			situation: situation{services: services{"mail": frrServices["mail"]}.all(), noted: residue{Networks: []network{{x2, area0}}}}},
		{name: "A restarted ospfd is told again what is in force", running: bare,
			situation: situation{services: services{"mail": frrServices["mail"]}.all(), wished: map[netip.Addr]netip.Addr{x2: area1},
				noted: residue{Networks: []network{{x2, area1}}}}},
	} {
		c.situation.running = vty.ParseRunning(c.running)
		p := prepare(c.situation)
		fmt.Fprintf(&all, "== %s\n", c.name)
		section := func(name string, lines []string) {
			for _, line := range lines {
				fmt.Fprintf(&all, "%-7s %s\n", name, line)
			}
		}
		section("policy", p.policy)
		section("ospf", p.ospf)
		section("note", p.notes)
		fmt.Fprintf(&all, "noted   %v then %v\n", p.noted, p.after)
		for _, addr := range sortedKeys(p.foreign) {
			fmt.Fprintf(&all, "foreign %v\n", addr)
		}
		for _, addr := range sortedKeys(p.permits) {
			fmt.Fprintf(&all, "permits %v %v\n", addr, p.permits[addr])
		}
		all.WriteString("\n")
	}
	golden(t, "preparations.txt", all.String())
}

func TestAPrefixListEntryMatchesAsFRRDoes(t *testing.T) {
	for line, want := range map[string]bool{
		"seq 5 permit 10.250.0.1/32":             true,
		"seq 5 permit 10.250.0.0/24":             false, // that prefix only
		"seq 5 permit 10.250.0.0/24 ge 32":       true,
		"seq 5 permit 10.250.0.0/24 ge 25":       true, // up to 32
		"seq 5 permit 10.250.0.0/24 le 31":       false,
		"seq 5 permit 10.250.0.0/24 ge 25 le 32": true,
		"seq 5 permit 10.251.0.0/16 ge 32":       false,
		"permit any":                             true,
	} {
		list := parsePrefixList(vty.ParseRunning("ip prefix-list P "+line+"\n"), "P")
		if permitted, _ := list.permits(x1); permitted != want {
			t.Errorf("%q permits 10.250.0.1: %v, want %v", line, permitted, want)
		}
	}
	list := parsePrefixList(vty.ParseRunning("ip prefix-list P seq 5 deny 10.250.0.1/32\nip prefix-list P seq 10 permit any\n"), "P")
	if permitted, matched := list.permits(x1); permitted || !matched {
		t.Errorf("the first match decides: permitted %v, matched %v", permitted, matched)
	}
}

func TestADamagedStateFileIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "address.json")
	if err := os.WriteFile(path, []byte(`{"networks":[{`), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := readResidue(path)
	if err == nil || !strings.Contains(err.Error(), "damaged") || !r.empty() {
		t.Errorf("got %v, %v; want an empty residue and an error that says damaged", r, err)
	}
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
	want := residue{Networks: []network{{x1, x2}}, Permits: []netip.Addr{x1}, Addresses: []vtyAddress{{x2, "lo"}}}
	if err := writeResidue(path, want); err != nil {
		t.Fatal(err)
	}
	if got, err := readResidue(path); err != nil || !got.equal(want) {
		t.Errorf("read back %v, %v; want %v", got, err, want)
	}
}
