package sim_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mistakes are planted, one at a time, in the sources of the machine: for each
// rule of placement one that breaks it. What is old must stand in the file just
// once, so that the list cannot silently fall behind the code. That who has a
// service keeps it is left to the tests of the order: planted here, the mistake
// has a service go round without end, and its trace fills the memory.
var mistakes = []struct{ rule, file, old, new string }{
	{"a pin outranks configuration", "unit.go", "c.pref = pinned\n", "c.pref = 0\n"},
	{"the preference decides", "decide.go", "return a.pref > b.pref", "return a.pref < b.pref && a.router > b.router"},
	{"the later claim wins", "decide.go", "return a.claim > b.claim", "return a.router > b.router && a.claim < b.claim"},
	{"a strict service waits for acknowledgement", "rank.go", "return rk.hindering == 0 && rk.seen[c] == rk.asked", "return rk.hindering == 0"},
	{"a strict service waits for who runs it", "decide.go", "return true, o.stuck() || o.said.State != advert.Stopped && o.said.State != advert.Failed", "return true, o.stuck()"},
	{"a strict service waits for a lost holder", "peer.go", "\t\t\tl.until = n.now.Add(n.lostHold(s))", "\t\t\tl.until = n.now"},
	{"a strict holder that is cut off stops", "decide.go", "case strict && n.ospf.full == 0 && !s.cfg.StartAlone:", "case false:"},
	{"who could not stop it is feared", "peer.go", "return o.said.Flags.Has(advert.FlagMayStillRun) && !o.confirmed", "return false"},
	{"a holder yields to a better claimant", "decide.go", "\tby, ok := n.betterClaimant(u, self)\n\tif !ok {", "\tby, ok := n.betterClaimant(u, self)\n\tif ok = false; !ok {"},
	{"a fence comes before the start", "recover.go", "\t\tn.setTimer(s.timer(TimerFence), n.now.Add(fenceRetry))\n\t\treturn\n", "\t\tn.setTimer(s.timer(TimerFence), n.now.Add(fenceRetry))\n"},
	{"only a majority runs it", "recover.go", "return 2*have > of, have, of", "return true, have, of"},
	{"what a service depends on starts first", "plan.go", "return len(n.awaitedDependencies(s)) == 0 && n.clear(s)", "return n.clear(s)"},
	{"what depends on a service stops first", "plan.go", "\t\treturn len(n.dependents(s)) == 0\n\tcase onRunAgain", "\t\treturn true\n\tcase onRunAgain"},
	{"a claim is above all that were seen", "life.go", "s.claim = advert.NewClaim(counter+1, n.router)", "s.claim = advert.NewClaim(1, n.router)"},
	{"who never claims is passed over", "absorb.go", "\t\t\ts.passed[v.Awaited] = v.AwaitedStamp\n", ""},
}

// TestAPlantedMistakeIsCaught builds the simulator over each and expects the
// random schedules, or what no schedule at peace can show, to fail.
func TestAPlantedMistakeIsCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the machine once for each of its mistakes")
	}
	root, err := filepath.Abs("../machine")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mistakes {
		t.Run(m.rule, func(t *testing.T) {
			path := filepath.Join(root, m.file)
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(src), m.old); n != 1 {
				t.Fatalf("%q stands %d times in %s", m.old, n, m.file)
			}
			dir := t.TempDir()
			wrong, overlay, binary := filepath.Join(dir, "wrong.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sim.test")
			if err := os.WriteFile(wrong, []byte(strings.Replace(string(src), m.old, m.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			o, err := json.Marshal(map[string]map[string]string{"Replace": {path: wrong}})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(overlay, o, 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
				t.Fatalf("the mistake does not compile: %v\n%s", err, out)
			}
			// What takes no time first.
			out, err := exec.Command(binary, "-test.skip", "^TestRandomSchedules", "-test.short", "-test.failfast").CombinedOutput()
			if err == nil {
				out, err = exec.Command(binary, "-test.run", "^TestRandomSchedules", "-test.short", "-test.failfast", "-seeds", "4000", "-shrink=false").CombinedOutput()
			}
			if err == nil {
				t.Errorf("nothing failed:\n%s", out)
			} else if !strings.Contains(string(out), "--- FAIL") {
				t.Errorf("%v, and no test failed:\n%.2000s", err, out)
			}
		})
	}
}
