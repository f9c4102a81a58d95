package sim_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mistakes are planted, one at a time, in the sources of the machine: for each
// rule of DESIGN section 3, in its order, at least one that breaks it. What is
// old must stand in the file just once, so that the list cannot silently fall
// behind the code.
var mistakes = []struct{ rule, file, old, new string }{
	// Candidates.
	{"a candidate is reachable", "offer.go", "\tcase !p.reaches(o.scope):\n", "\tcase false:\n"},
	{"a candidate's srrd lives", "offer.go", "\tcase p.node == nil:\n\t\treturn BecauseSrrdGone\n", ""},
	{"a candidate has not failed", "decide.go", "\tcase o.said.State == advert.Failed:\n", "\tcase false:\n"},
	{"a candidate is online", "decide.go", "\tcase advert.Standby:\n\t\treturn BecauseStandby\n", ""},
	{"a node in standby takes nothing", "decide.go", "\tcase n.state == advert.Standby:\n", "\tcase false:\n"},
	{"a candidate is past startup_hold and failback_delay", "decide.go", "\tcase !self.claims() && n.holding(u):\n", "\tcase false:\n"},
	{"a candidate offers every critical service of its group", "unit.go", "why := BecauseNotOfferedThere", "why := BecauseNone"},
	{"a node that lacks a critical service carries no group", "unit.go", "\t\tif why.Code == BecauseNone && m.config != Active && m.phase != phaseStarted && !n.foundRunning(m) {\n\t\t\twhy = Reason{Code: BecauseNotOffered}", "\t\tif why.Code == BecauseNotLocal {\n\t\t\twhy = Reason{}"},
	{"what is held runs nowhere", "decide.go", "\tcase s.hold.On:\n", "\tcase false:\n"},
	// The order.
	{"who is on probation comes last", "decide.go", "\t\treturn !a.probation\n", "\t\treturn a.probation\n"},
	{"a pin outranks configuration", "unit.go", "c.pref = pinned\n", "c.pref = 0\n"},
	{"the preference decides", "decide.go", "return a.pref > b.pref", "return a.pref < b.pref && a.router > b.router"},
	{"who has it keeps it", "decide.go", "\tcase a.has != b.has:\n", "\tcase false:\n"},
	{"the later claim wins", "decide.go", "return a.claim > b.claim", "return a.router > b.router && a.claim < b.claim"},
	{"a fresh tie goes to the highest router id", "decide.go", "return a.router > b.router\n", "return a.router < b.router\n"},
	// Groups.
	{"a group is placed as one", "unit.go", "s.grouped != \"\" && g != nil {", "false {"},
	{"a group's preference is that of its critical members", "unit.go", "\t\tif !critical || u.critical(o.s) {\n", "\t\tif !critical || u.group != \"\" {\n"},
	{"a group's preference is the lowest of them", "unit.go", "\t\t\tc.pref = min(c.pref, int(m.cfg.Preference))\n", "\t\t\tc.pref = int(m.cfg.Preference)\n"},
	{"a group has one claim", "life.go", "if m != s && m.cfg != nil && has(m.phase.state()) > 0 && m.claim > s.used {", "if false {"},
	{"a group has one pin", "unit.go", "\tfor _, m := range u.members[1:] {\n\t\tif m.pin.Newer(best) {\n", "\tfor _, m := range u.members[:0] {\n\t\tif m.pin.Newer(best) {\n"},
	{"a group has one holder", "unit.go", "\t\tc.has = max(c.has, has(o.said.State))\n", "\t\tc.has = has(o.said.State)\n"},
	// Claims.
	{"a claim is above all that were seen", "life.go", "s.claim = advert.NewClaim(counter+1, n.router)", "s.claim = advert.NewClaim(1, n.router)"},
	{"what only a majority starts, it starts under no claim that one of it has outdone", "decide.go", "asked && o.said.Floor > highest", "asked && o.said.Floor > highest && false"},
	{"what was acknowledged is told with what is said later", "flood.go", "\ts.floor = max(s.floor, a.Seen)\n", ""},
	{"who is not acknowledged by all outdoes nobody", "decide.go", "\treturn u.strict() && !lost && u.ranked().acknowledged(s.claim) && n.outdone", "\treturn u.strict() && !lost && n.outdone"},
	{"and what may have been before a start", "service.go", "\t\ts.floor = advert.NewClaim(m.Counter, ^RouterID(0))\n", ""},
	{"who is outdone claims above what it was told", "peer.go", "\tn.sawClaim(s, said.Floor)\n", ""},
	{"claims are reserved on disk", "service.go", "\ts.counter, s.reserve = m.Counter, m.Counter\n", ""},
	// In the way.
	{"a strict service waits for acknowledgement", "rank.go", "return rk.hindering == 0 && rk.seen[c] == rk.asked", "return rk.hindering == 0"},
	{"the best claim is acknowledged", "decide.go", "\t\tif c := u.candidate(r); !found || c.better(best) {\n", "\t\tif c := u.candidate(r); !found || best.better(c) {\n"},
	{"a strict service offered anew waits for offers as new", "decide.go", "\tcase !self.claims() && n.fresh(u):\n", "\tcase false:\n"},
	{"a strict service waits for a holder that was never reached", "offer.go", "\tn.dread(o)\n\tflipped", "\tflipped"},
	{"a strict service waits for who runs it", "decide.go", "return true, o.stuck() || o.said.State == advert.Starting || serves(o.said.State, o.said.Step)", "return true, o.stuck()"},
	{"a strict service waits for who still stops it", "offer.go", "\treturn inTheWay(st, step) && !(st == advert.Stopping && step == advert.StepAddresses)\n", "\treturn inTheWay(st, step) && st != advert.Stopping\n"},
	{"a strict service waits for a lost holder", "lost.go", "\t\t\tl.until = n.now.Add(n.lostHold(s))", "\t\t\tl.until = n.now"},
	{"a strict holder that is cut off stops", "decide.go", "case strict && n.ospf.full == 0 && !s.cfg.StartAlone:", "case false:"},
	{"a node that stood still notices that first", "node.go", "\tn.awake()\n", ""},
	{"what a node that stood still has claimed it gives up", "timer.go", "s.stoodStill || has(s.phase.state()) > 0, n.now", "s.stoodStill || has(s.phase.state()) > 0 && s.phase.begun(), n.now"},
	{"what a node knew before it stood still is not believed of who is gone", "offer.go", " || n.outslept(o, why)) &&", ") &&"},
	{"a claim that only an acknowledgement tells of is feared", "offer.go", "(o.said.State == advert.Starting || o.rumour != 0)", "o.said.State == advert.Starting"},
	{"who could not stop it is feared", "offer.go", "return o.said.Flags.Has(advert.FlagMayStillRun) && !o.confirmed", "return false"},
	{"nobody acknowledges while a lost holder is waited for", "decide.go", "\t\t\tif !l.until.IsZero() && l.router != best.By() {\n", "\t\t\tif l == nil {\n"},
	{"a fence comes before the start", "recover.go", "\t\tn.setTimer(s.timer(TimerFence), n.now.Add(fenceRetry))\n\t\treturn\n", "\t\tn.setTimer(s.timer(TimerFence), n.now.Add(fenceRetry))\n"},
	{"who comes back fences nobody before it can know who is reachable", "recover.go", "return later(at, n.fenceFrom(s))", "return at"},
	{"only a majority runs it", "recover.go", "return 2*have > of, have, of", "return true, have, of"},
	// Holders.
	{"a holder stops for nobody who does not claim", "decide.go", "\tfor r := range u.busy {\n\t\tif !r.claims() {\n\t\t\tcontinue\n\t\t}\n\t\tif c := u.candidate(r); c.better(best) && u.able(r) {\n", "\tfor r := range u.rivals {\n\t\tif c := u.candidate(r); c.better(best) && u.able(r) {\n"},
	{"a holder yields to a better claimant", "decide.go", "\tby, ok := n.betterClaimant(u, self)\n\tif !ok {", "\tby, ok := n.betterClaimant(u, self)\n\tif ok = false; !ok {"},
	{"who never claims is passed over", "timer.go", "\t\t\ts.passed[v.Awaited] = v.AwaitedStamp\n", ""},
	{"one passed over stays so until its LSA changes", "decide.go", "ok && was == stamp && !st.c.claims()", "ok && was != stamp && !st.c.claims()"},
	// Pins.
	{"a pin is void when its target is no candidate", "plan.go", "\tcase s.pinSeen:\n", "\tcase false:\n"},
	{"every offerer takes the newest pin over", "offer.go", "\tif o.said.Pin.Newer(s.pin) {\n", "\tif false {\n"},
	{"every offerer takes the newest hold over", "offer.go", "\tif o.said.Hold.Newer(s.hold) {\n", "\tif false {\n"},
	// Dependencies within the node (section 1 and 2).
	{"what a service depends on starts first", "plan.go", "return len(n.awaitedDependencies(s)) == 0 && n.clear(s)", "return n.clear(s)"},
	{"what depends on a service stops first", "plan.go", "\t\treturn len(n.dependents(s)) == 0\n\tcase onRunAgain", "\t\treturn true\n\tcase onRunAgain"},
}

// mistake is a text in a file of the machine, and a wrong one.
type mistake struct{ file, old, new string }

// also are the second mistakes it takes to break a rule that is kept twice, here
// by who gives a pin and by who reads it.
var also = map[string]mistake{
	"a group has one pin": {"command.go", "\t\tif m.cfg == nil {\n\t\t\tcontinue\n\t\t}\n\t\tm.given = 0\n", "\t\tif m != s {\n\t\t\tcontinue\n\t\t}\n\t\tm.given = 0\n"},
}

// TestEveryMistakeStandsOnce tells at once, and with -short, where the list has
// fallen behind the code.
func TestEveryMistakeStandsOnce(t *testing.T) {
	all := slices.Collect(maps.Values(also))
	rules := map[string]bool{}
	for _, m := range mistakes {
		all = append(all, mistake{m.file, m.old, m.new})
		rules[m.rule] = true
	}
	for _, m := range all {
		src, err := os.ReadFile(filepath.Join("../machine", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(src), m.old); n != 1 {
			t.Errorf("%q stands %d times in %s", m.old, n, m.file)
		}
	}
	for _, rule := range append(slices.Collect(maps.Keys(also)), told...) {
		if !rules[rule] {
			t.Errorf("%q is no rule of the list", rule)
		}
	}
}

// told are the rules that no schedule can show to be broken, and the stories
// of the machine do: who claims yields to a better claimant, whatever a third
// acknowledges for the moment it takes, and claims that outdo each other soon
// end where flooding takes no time to speak of.
var told = []string{"the best claim is acknowledged", "who is not acknowledged by all outdoes nobody"}

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
			wrong := []mistake{{m.file, m.old, m.new}}
			if second, twice := also[m.rule]; twice {
				wrong = append(wrong, second)
			}
			if slices.Contains(told, m.rule) {
				stories := exec.Command(planted(t, root, root, wrong...), "-test.run", "^TestStories$")
				stories.Dir = root
				if out, err := stories.CombinedOutput(); err == nil || !strings.Contains(string(out), "--- FAIL") {
					t.Errorf("%v, and no story failed:\n%.2000s", err, out)
				}
				return
			}
			binary := planted(t, root, ".", wrong...)
			// What takes no time first. A service that goes round without end is
			// ended by sim.Options.Most.
			out, err := exec.Command(binary, "-test.skip", "^TestRandomSchedules", "-test.short", "-test.failfast").CombinedOutput()
			if err == nil {
				out, err = exec.Command(binary, "-test.run", "^TestRandomSchedules", "-test.short", "-test.failfast", "-seeds", "4000", "-shrink=false", "-stories", "off").CombinedOutput()
			}
			if err == nil {
				t.Errorf("nothing failed:\n%s", out)
			} else if !strings.Contains(string(out), "--- FAIL") {
				t.Errorf("%v, and no test failed:\n%.2000s", err, out)
			}
		})
	}
}

// planted builds the tests of a package over mistakes in the machine, whose
// directory is root, each in a file of its own.
func planted(t *testing.T, root, pkg string, mistakes ...mistake) (binary string) {
	t.Helper()
	dir := t.TempDir()
	overlay, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sim.test")
	replace := map[string]string{}
	for _, m := range mistakes {
		path, wrong := filepath.Join(root, m.file), filepath.Join(dir, "wrong-"+m.file)
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(src), m.old); n != 1 {
			t.Fatalf("%q stands %d times in %s", m.old, n, m.file)
		}
		if err := os.WriteFile(wrong, []byte(strings.Replace(string(src), m.old, m.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[path] = wrong
	}
	o, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, o, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, pkg).CombinedOutput(); err != nil {
		t.Fatalf("the mistake does not compile: %v\n%s", err, out)
	}
	return binary
}

// TestAFailingSeedWritesItsStory: with a mistake planted a seed fails, and its
// story, replayed, fails too; without the mistake it ends well.
func TestAFailingSeedWritesItsStory(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the machine with a mistake")
	}
	root, err := filepath.Abs("../machine")
	if err != nil {
		t.Fatal(err)
	}
	binary := planted(t, root, ".", mistake{"plan.go", "return len(n.awaitedDependencies(s)) == 0 && n.clear(s)", "return n.clear(s)"})
	dir := t.TempDir()
	out, err := exec.Command(binary, "-test.run", "^TestRandomSchedules", "-test.failfast", "-seeds", "200", "-stories", dir).CombinedOutput()
	if err == nil {
		t.Fatalf("the mistake broke no rule:\n%s", out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "seed-*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no story was written: %v\n%s", err, out)
	}
	out, err = exec.Command(binary, "-test.run", "^TestClusterStoriesEndWell", "-stories", dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "which it depends on, has started") {
		t.Errorf("with the mistake the story does not fail as its seed did: %v\n%s", err, out)
	}
	for _, f := range files {
		t.Run("mended", func(t *testing.T) { replay(t, f) })
	}
}
