package chaos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

func TestASeedIsAScheduleForEver(t *testing.T) {
	p := NewPlan(chaosTopology(t), 7, lab.Release{})
	if a, b := p.List(50), NewPlan(chaosTopology(t), 7, lab.Release{}).List(50); a != b {
		t.Error("the same seed gave two schedules")
	}
	if p.List(50) == NewPlan(chaosTopology(t), 8, lab.Release{}).List(50) {
		t.Error("two seeds gave one schedule")
	}
}

func TestEveryKindOfFaultComes(t *testing.T) {
	p := NewPlan(chaosTopology(t), 1, lab.Release{})
	seen := map[string]bool{}
	for n := 1; n <= 300; n++ {
		round := p.Round(n)
		if n%3 == 1 && len(round.Faults) != 1 || n%3 != 1 && len(round.Faults) < 2 {
			t.Errorf("round %d has %d faults", n, len(round.Faults))
		}
		if round.end() > time.Minute {
			t.Errorf("round %d ends after %s only", n, round.end())
		}
		taken := map[string]Fault{}
		for _, f := range round.Faults {
			seen[f.Kind] = true
			if f.Kind == "daemons" {
				how, list, _ := strings.Cut(f.Arg, " ")
				if how == "HANG" && strings.Contains(list, "srrd") && f.For > watchdog {
					t.Errorf("round %d: %s lasts %s; the watchdog ends an srrd that hangs after %s", n, f, f.For, watchdog)
				}
				for d := range strings.SplitSeq(list, ",") {
					seen[how+" "+d] = true
				}
			}
			for _, thing := range p.touches(f) {
				if other, ok := taken[thing]; ok {
					t.Errorf("round %d: %s and %s both have %s", n, f, other, thing)
				}
				taken[thing] = f
			}
		}
	}
	for _, k := range kinds {
		if !seen[k.name] {
			t.Errorf("%s never comes", k.name)
		}
	}
	for _, how := range []string{"TERM", "KILL", "STOP", "HANG"} {
		for _, d := range append([]string{"srrd"}, frrDaemons...) {
			if !seen[how+" "+d] {
				t.Errorf("%s %s never comes", how, d)
			}
		}
	}
}

// What hangs is ended as systemd would do it.
func TestTheWatchdogIsThatOfTheUnit(t *testing.T) {
	unit, err := os.ReadFile(filepath.Join("..", "..", "systemd", "srrd.service"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "\nWatchdogSec=" + watchdog.String() + "\n"; !strings.Contains(string(unit), want) {
		t.Errorf("the unit does not have %q", strings.TrimSpace(want))
	}
}

func TestTheReleaseTellsWhatCanHappen(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"zebra", "ospfd", "bfdd", "mgmtd"} {
		if err := os.WriteFile(filepath.Join(dir, d), []byte("#!/bin/sh\necho ospfd version 10.3\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ten, err := Config{FRR: dir}.Release(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	own, other := NewPlan(chaosTopology(t), 1, lab.Release{}).List(500), NewPlan(chaosTopology(t), 1, ten).List(500)
	if strings.Contains(own, "mgmtd") || !strings.Contains(other, "KILL mgmtd") || !strings.Contains(other, "HANG mgmtd") {
		t.Error("mgmtd ends where there is one, and nowhere else")
	}
	ten.Suite = "trixie"
	if list := NewPlan(chaosTopology(t), 1, ten).List(500); strings.Contains(list, "frr-reload") || !strings.Contains(other, "frr-reload") {
		t.Error("frr-reload.py is there for the machine's own FRR only")
	}
}

func TestSomeKindsOnly(t *testing.T) {
	p, err := NewPlan(chaosTopology(t), 1, lab.Release{}).Only([]string{"networkd", "lo down"})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 50; n++ {
		for _, f := range p.Round(n).Faults {
			if f.Kind != "networkd" && f.Kind != "lo down" {
				t.Fatalf("round %d has %s", n, f)
			}
		}
	}
	if _, err := p.Only([]string{"networkd", "earthquake"}); err == nil || !strings.Contains(err.Error(), "earthquake") {
		t.Errorf("a kind that is none: %v", err)
	}
}

func TestAHostThatIsResetAgainBootsAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "n1")
	path := filepath.Join(dir, bootFile)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	reset := func(age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	take := func(want bool, when string) {
		t.Helper()
		if due, err := takeBoot(dir, time.Minute); err != nil || due != want {
			t.Errorf("%s: due %v, want %v (%v)", when, due, want, err)
		}
	}
	take(false, "never reset")
	reset(2 * time.Minute)
	take(true, "reset two minutes ago")
	take(false, "booting")
	reset(0)
	take(false, "just reset again, while it booted")
	reset(2 * time.Minute)
	take(true, "that was two minutes ago")
}

func TestConnectedFollowsTheCables(t *testing.T) {
	w := worldOf(chaosTopology(t))
	for _, c := range []struct {
		a, b   string
		broken []string
		want   bool
	}{
		{"n1", "n5", nil, true},
		{"n1", "n2", []string{"r1"}, true}, // their LAN
		{"n1", "n3", []string{"r1"}, false},
		{"n1", "n5", []string{"r1:r2"}, true},
		{"n1", "n5", []string{"r1:r2", "r3"}, false},
		{"n1", "n4", []string{"r2:lan1", "r3:lan1"}, false},
		{"n4", "n5", []string{"r2:lan1", "r3:lan1"}, true},
		{"n4", "n5", []string{"n4"}, false},
		// The backbone in two, area 1 between: both parts reach area 1, neither the other.
		{"n1", "n3", []string{"r2:r1", "r2:r3"}, false},
		{"n3", "n1", []string{"r2:r1", "r2:r3"}, false},
		{"n1", "n4", []string{"r2:r1", "r2:r3"}, true},
		{"n3", "n4", []string{"r2:r1", "r2:r3"}, true},
		{"n4", "n3", []string{"r2:r1", "r2:r3"}, true},
		{"n4", "n1", []string{"r2:r1", "r2:r3"}, true},
	} {
		got := w.connected(c.a, c.b, func(thing string) bool {
			for _, b := range c.broken {
				if b == thing {
					return true
				}
			}
			return false
		})
		if got != c.want {
			t.Errorf("%s and %s with %v broken: connected %v, want %v", c.a, c.b, c.broken, got, c.want)
		}
	}
}

func TestParseJournal(t *testing.T) {
	all, err := parseJournal("1767268800000000000 n1 web start begin 0 17 -\n1767268800500000000 n1 lun fence end 1 17 n2\n17672688")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Claim != 17 || all[0].Peer != "" || all[1].Peer != "n2" || all[1].Status != 1 || all[1].At.Sub(all[0].At) != 500*time.Millisecond {
		t.Errorf("got %v", all)
	}
	for _, bad := range []string{"x\n", "1 n1 web start sometimes 0 1 -\n", "x n1 web start begin 0 1 -\n", "1 n1 web start begin x 1 -\n", "1 n1 web start begin 0 x -\n"} {
		if _, err := parseJournal(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func openStore(t *testing.T, path string) *recordStore {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &recordStore{f: f, node: "n1", claim: 1}
}
