package bench

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

func millis(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

func TestAPercentileIsAMeasuredValue(t *testing.T) {
	thirty := make([]int, 30)
	for i := range thirty {
		thirty[i] = 30 - i
	}
	for _, c := range []struct {
		all     []int
		p, want int
	}{
		{nil, 50, 0}, {[]int{7}, 50, 7}, {[]int{7}, 95, 7}, {[]int{7}, 100, 7},
		{[]int{2, 1}, 50, 1}, {[]int{3, 1, 2}, 50, 2}, {thirty, 50, 15}, {thirty, 95, 29}, {thirty, 100, 30},
	} {
		if got := percentile(c.all, c.p); got != c.want {
			t.Errorf("percentile %d of %v: %d, want %d", c.p, c.all, got, c.want)
		}
	}
	if thirty[0] != 30 {
		t.Error("the values were sorted in place")
	}
}

func someResults() []Result {
	goal := Row{Name: "loss", Goal: millis(40)}
	hit := Outcome{From: "n1", To: "n2", Lost: 30, Outage: millis(31.004), Switches: 1,
		Phases: map[string]time.Duration{"noticed": millis(26), "seen": millis(31)}, Went: map[string]time.Duration{"r1": millis(28)}}
	late := Outcome{From: "n2", To: "n1", Lost: 49, Outage: millis(50), Switches: 2, ReturnLost: 3,
		Phases: map[string]time.Duration{"noticed": millis(26), "seen": millis(50)}, Went: map[string]time.Duration{"r1": millis(1200)}, MaxGap: millis(9)}
	return []Result{
		{Row: goal, Outcomes: []Outcome{hit, late}},
		{Row: Row{Name: "move", Goal: 0}, Outcomes: []Outcome{{From: "n1", To: "n2", Lost: 1, Outage: millis(2), Switches: 1}}},
		{Row: Row{Name: "reexec", Goal: 0}, NotRun: "not there"},
		{Row: Row{Name: "work", Goal: millis(20), Beyond: true}, Outcomes: []Outcome{{Outage: millis(60), Own: millis(41), Tells: true}, {Outage: millis(63), Own: millis(42.5), Tells: true}}},
		{Row: Row{Name: "peer", Goal: noGoal, against: []string{"loss"}}, Outcomes: []Outcome{{Outage: millis(310.04), Lost: 309, Switches: 1, Err: "it did not heal"}}},
	}
}

// The form is a promise to programs.
func TestTheJSONOfAResult(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, someResults()); err != nil {
		t.Fatal(err)
	}
	const want = `{"fault":"loss","n":2,"goal_ms":40,"lost_p50":30,"lost_max":49,"outage_ms_p50":31,"outage_ms_p95":50,"outage_ms_max":50,"switches_max":2}
{"fault":"move","n":1,"goal_ms":0,"lost_p50":1,"lost_max":1,"outage_ms_p50":2,"outage_ms_p95":2,"outage_ms_max":2,"switches_max":1}
{"fault":"reexec","n":0,"goal_ms":0,"lost_p50":null,"lost_max":null,"outage_ms_p50":null,"outage_ms_p95":null,"outage_ms_max":null,"switches_max":null}
{"fault":"work","n":2,"goal_ms":null,"lost_p50":0,"lost_max":0,"outage_ms_p50":60,"outage_ms_p95":63,"outage_ms_max":63,"switches_max":0,"primitives_ms_p50":41,"beyond_goal_ms":20,"beyond_ms_p50":19,"beyond_ms_p95":20.5,"beyond_ms_max":20.5}
{"fault":"peer","n":1,"goal_ms":null,"lost_p50":309,"lost_max":309,"outage_ms_p50":310.04,"outage_ms_p95":310.04,"outage_ms_max":310.04,"switches_max":1}
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestTheTablesSayWhatIsWrong(t *testing.T) {
	for name, write := range map[string]func(*bytes.Buffer, []Result) error{
		"table":    func(b *bytes.Buffer, r []Result) error { return WriteTable(b, r) },
		"markdown": func(b *bytes.Buffer, r []Result) error { return WriteMarkdown(b, r) },
	} {
		var b bytes.Buffer
		if err := write(&b, someResults()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"loss: the outage is 50.0 ms at p95, the goal 40.0 ms", "move lost 1 packets, none may be lost",
			"reexec was not run: not there", "NOT RUN", "peer, run 1: it did not heal", "10.0 x loss", "28.0 / 1200.0", "keeps it",
			"loss, run 2: r1 kept its old next hop for 1150.0 ms after the client saw the new one",
			"In 1 of 6 runs the machine was too busy",
			"work: the outage is 20.5 ms beyond the primitives' own time at p95, the goal 20.0 ms", "<= 20 + primitives", "the rest p50",
		} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s lacks %q:\n%s", name, want, b.String())
			}
		}
	}
}

func TestTheShortTableOfADocument(t *testing.T) {
	var b bytes.Buffer
	results := someResults()
	for i, about := range []string{"a loss", "a move", "an exec", "some work", "a peer"} {
		results[i].Row.About = about
	}
	results = append(results, Result{Row: Row{About: "hitless", Goal: 0}, Outcomes: []Outcome{{From: "n1", To: "n2", Switches: 1}}})
	if err := WriteMarkdown(&b, results); err != nil {
		t.Fatal(err)
	}
	const want = `| what happens | outage ms, median / p95 / worst | lost, most | goal | runs |
| --- | --- | --- | --- | --- |
| a loss | **31 / 50 / 50** | 49 | 40 | 2 |
| a move | **2 / 2 / 2** | 1 | 0 lost | 1 |
| an exec | not run |  | 0 lost | 0 |
| some work | **60 / 63 / 63; beyond the primitives' own time 19 / 20.5 / 20.5** | 0 | 20 + primitives | 2 |
| a peer | 310 / 310 / 310 (see below) | 309 |  | 1 |
| hitless | no packet lost | 0 | 0 lost | 1 |

`
	if !strings.HasPrefix(b.String(), want) {
		t.Errorf("got\n%s\nwant at its beginning\n%s", b.String(), want)
	}
}

func TestAFlameShowsEachPhaseFromTheEndOfTheOneBefore(t *testing.T) {
	var b bytes.Buffer
	r := Result{Row: Row{Name: "loss"}, Outcomes: []Outcome{{Outage: millis(40), Phases: map[string]time.Duration{
		"noticed": millis(30), "claimed": millis(30), "started": millis(35), "announced": millis(45), "seen": millis(40)}}}}
	if err := WriteFlame(&b, []Result{r, {Row: Row{Name: "nothing"}}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"noticed    " + strings.Repeat("#", 40), "30.0  +30.0", "35.0  +5.0", "45.0  +10.0", "40.0  +5.0"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "nothing") {
		t.Errorf("a row without phases is drawn:\n%s", b.String())
	}
}

func TestTheOldNextHopOfARouter(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.250.0.1:1"), netip.MustParseAddrPort("10.250.0.2:1")
	r1a, r1b, r2a := hop{"r1", a.Addr()}, hop{"r1", b.Addr()}, hop{"r2", a.Addr()}
	since := time.Unix(100, 0)
	at := func(n float64) time.Time { return since.Add(millis(n)) }
	old := routesAt{r1a: "10.1.1.1", r1b: "10.1.1.1", r2a: "10.0.1.1"}
	for name, c := range map[string]struct {
		changes []change
		want    map[string]time.Duration
	}{
		"nothing changes":               {nil, map[string]time.Duration{}},
		"replaced":                      {[]change{{at(5), r1a, "10.1.1.2"}}, map[string]time.Duration{"r1": millis(5)}},
		"deleted":                       {[]change{{at(5), r1a, ""}, {at(9), r1a, "10.1.1.2"}}, map[string]time.Duration{"r1": millis(5)}},
		"one of two for a while":        {[]change{{at(5), r1a, "10.1.1.1 10.1.1.2"}, {at(9), r1a, "10.1.1.2"}}, map[string]time.Duration{"r1": millis(9)}},
		"the last of several addresses": {[]change{{at(5), r1a, "10.1.1.2"}, {at(7), r1b, "10.1.1.2"}}, map[string]time.Duration{"r1": millis(7)}},
		"before the fault":              {[]change{{at(-1), r1a, "10.1.1.2"}}, map[string]time.Duration{}},
		"another address":               {[]change{{at(5), hop{"r1", netip.MustParseAddr("10.9.9.9")}, "10.1.1.2"}}, map[string]time.Duration{}},
		"two routers":                   {[]change{{at(5), r2a, "10.1.3.2"}, {at(6), r1a, "10.0.1.2"}}, map[string]time.Duration{"r1": millis(6), "r2": millis(5)}},
	} {
		got := lastGone(old, c.changes, since, []netip.AddrPort{a, b})
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		for router, want := range c.want {
			if got[router] != want {
				t.Errorf("%s: %s after %s, want %s", name, router, got[router], want)
			}
		}
	}
}

func TestWhenARouterHasAllAddressesAnew(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.250.0.1:1"), netip.MustParseAddrPort("10.250.0.2:1")
	r1a, r1b := hop{"r1", a.Addr()}, hop{"r1", b.Addr()}
	since := time.Unix(100, 0)
	at := func(n float64) time.Time { return since.Add(millis(n)) }
	old := routesAt{r1a: "10.1.1.1", r1b: "10.1.1.1"}
	for name, c := range map[string]struct {
		changes []change
		want    time.Duration // 0: not at all
	}{
		"nothing changes":              {nil, 0},
		"the last of both":             {[]change{{at(5), r1a, "10.1.1.2"}, {at(7), r1b, "10.1.1.3"}}, millis(7)},
		"the same again after a while": {[]change{{at(2), r1a, ""}, {at(6), r1a, "10.1.1.1"}}, millis(6)},
		"one stays away":               {[]change{{at(2), r1a, ""}, {at(6), r1b, "10.1.1.2"}}, 0},
		"gone once more":               {[]change{{at(2), r1a, "10.1.1.2"}, {at(3), r1a, ""}, {at(9), r1a, "10.1.1.2"}}, millis(9)},
		"the old one leaves later":     {[]change{{at(2), r1a, "10.1.1.1 10.1.1.2"}, {at(8), r1a, "10.1.1.2"}}, millis(8)},
		"before the fault":             {[]change{{at(-1), r1a, "10.1.1.2"}}, 0},
		"a later change counts not":    {[]change{{at(2), r1a, "10.1.1.2"}, {at(8), r1a, "10.1.1.3"}}, millis(2)},
	} {
		got, ok := lastCome(old, c.changes, since, []netip.AddrPort{a, b})["r1"]
		if ok != (c.want != 0) || got != c.want {
			t.Errorf("%s: %s %v, want %s", name, got, ok, c.want)
		}
	}
}

func TestAThousandServicesAreSpread(t *testing.T) {
	s := spread(1000)
	if len(s.names) != 1000 || len(s.services) != 1000 || len(s.routed) != 1000 || len(s.addresses) < 90 || len(s.addresses) > 110 {
		t.Errorf("%d names, %d services, %d addresses, %d of them asked", len(s.names), len(s.services), len(s.routed), len(s.addresses))
	}
	if s.addresses[0] != s.routed[0] || s.addresses[len(s.addresses)-1] != s.routed[999] {
		t.Error("the first or the last is not asked")
	}
	seen := map[netip.AddrPort]bool{}
	for _, a := range s.routed {
		seen[a] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d different addresses", len(seen))
	}
	next := map[string]int{}
	for _, name := range s.names {
		best := map[string]string{}
		for _, host := range []string{"n1", "n2", "n3"} {
			best[s.forHost(host, name)] = host
		}
		if best["preference: 200\n"] != "n1" {
			t.Fatalf("%s is not at home on n1", name)
		}
		next[best["preference: 150\n"]]++
	}
	if next["n2"] != 500 || next["n3"] != 500 {
		t.Errorf("they are taken by %v", next)
	}
}

// An outage that began before the mark and reaches into the fault is the fault's;
// one that was over is nobody's, and one after the return is the return's.
func TestWhoseAnOutageIs(t *testing.T) {
	var samples []lab.Sample
	by := func(from, to int, who string) {
		for i := from; i < to; i++ {
			samples = append(samples, lab.Sample{Sent: millis(float64(i)), By: who})
		}
	}
	by(0, 10, "n1")
	by(10, 12, "") // before the fault
	by(12, 29, "n1")
	by(29, 60, "") // its first datagram was under way as the fault came
	by(60, 70, "n2")
	by(70, 75, "")
	by(75, 80, "n2")
	by(80, 90, "") // of the return
	by(90, 95, "n3")
	phases := lab.Account(samples, []lab.PhaseMark{{Name: "fault", At: millis(30)}, {Name: "return", At: millis(78)}}, millis(95))
	got := accounted(&lab.Report{Phases: phases})
	want := account{lost: 31 + 5, outage: millis(32), began: millis(28), switches: 1, seen: millis(60), returnLost: 10, returnOutage: millis(11)}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEveryRowSaysWhatItNeeds(t *testing.T) {
	names := map[string]bool{}
	all := append(Rows(), PeerRows()...)
	for _, r := range all {
		if names[r.Name] {
			t.Errorf("two rows are named %s", r.Name)
		}
		names[r.Name] = true
		if r.About == "" || (r.do == nil) == (r.measure == nil) || r.services == nil || r.variant.Name == "" {
			t.Errorf("%s lacks something: %+v", r.Name, r)
		}
		if set := r.services(); (len(set.addresses) == 0) != (r.measure != nil) || !slices.IsSorted(set.names) {
			t.Errorf("%s: services %v on %v", r.Name, set.names, set.addresses)
		}
	}
	for _, r := range PeerRows() {
		for _, a := range r.against {
			if !names[a] {
				t.Errorf("%s is held against %s, which is no row", r.Name, a)
			}
		}
	}
	// Those of DESIGN section 10.
	goals := map[string]float64{"move-overlap": 0, "move-stop-start": 10, "service-killed-watched": 25, "silent-loss-bfd10": 40, "node-freeze": 40,
		"silent-loss-bfd50": 160, "ospfd-kill": 25, "srrd-kill": 25, "srrd-reexec": 0, "resource-move": 20, "resource-move-work": 20, "thousand-loss": 1000, "sync-5000": 200}
	for _, r := range all {
		want, ok := goals[r.Name]
		if ok != (r.Goal >= 0) || ok && r.Goal != millis(want) {
			t.Errorf("%s has the goal %s, want %v", r.Name, r.Goal, want)
		}
	}
}

// What is told twice at a time counts once, and what lies outside of the outage not.
func TestThePrimitivesOwnPartOfAnOutage(t *testing.T) {
	at := func(n float64) time.Time { return time.Unix(100, 0).Add(millis(n)) }
	w := func(began, ended float64) work { return work{began: at(began), ended: at(ended)} }
	for name, c := range map[string]struct {
		all  []work
		want float64
	}{
		"none":                           {nil, 0},
		"one":                            {[]work{w(20, 31.5)}, 11.5},
		"one after the other":            {[]work{w(40, 50), w(20, 30)}, 20},
		"two that overlap":               {[]work{w(20, 30), w(25, 40)}, 20},
		"one within another":             {[]work{w(20, 50), w(25, 30), w(45, 55)}, 35},
		"begun before the outage":        {[]work{w(2, 15)}, 5},
		"over before it, begun after it": {[]work{w(1, 9), w(101, 120)}, 0},
		"still going on":                 {[]work{{began: at(90)}}, 10},
		"longer than the outage":         {[]work{w(1, 200)}, 90},
	} {
		if got := own(c.all, at(10), at(100)); got != millis(c.want) {
			t.Errorf("%s: %s, want %s", name, got, millis(c.want))
		}
	}
}

func TestPrimitivesAreHeardThroughTheirFIFO(t *testing.T) {
	at := func(n float64) time.Time { return time.Unix(100, 0).Add(millis(n)) }
	w := &works{}
	for i, line := range []string{"array stop begin", "array stop end", "array stop begin", "files stop begin", "array stop end"} {
		w.note("n1", line, at(float64(i)))
	}
	all, err := w.since(at(1.5))
	want := []work{{"n1", "array", "stop", at(2), at(4)}, {"n1", "files", "stop", at(3), time.Time{}}}
	if err != nil || !slices.Equal(all, want) {
		t.Errorf("%v %v, want %v", all, err, want)
	}
	w.forget()
	if len(w.all) != 1 {
		t.Errorf("what goes on is forgotten, or what is over is not: %v", w.all)
	}
	for _, line := range []string{"files stop", "files stop middle", "files start end", "array stop end"} {
		w := &works{}
		if w.note("n1", line, at(1)); w.bad == nil {
			t.Errorf("%q is taken", line)
		}
	}
}

// Four faults, once each, with real FRR. Figures are not judged: the machine
// does other things; that somebody else answers, once, and that all heals, is.
func TestFourFaultsWithRealFRR(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test builds network namespaces and needs root")
	}
	for _, d := range []string{"zebra", "ospfd", "bfdd"} {
		if _, err := os.Stat(filepath.Join("/usr/lib/frr", d)); err != nil {
			t.Fatalf("this test runs FRR: %v (Debian: apt install frr)", err)
		}
	}
	dir := t.TempDir()
	out, err := exec.Command("go", "build", "-o", dir+"/", "../../../sidecar/cmd/srrd", "../../../sidecar/cmd/srrsh", "../cmd/srrlab").CombinedOutput()
	if err != nil {
		t.Fatalf("building srrd: %v\n%s", err, out)
	}
	var rows []Row
	for _, r := range Rows() {
		if slices.Contains([]string{"move-overlap", "silent-loss-bfd10", "srrd-kill", "resource-move-work"}, r.Name) {
			// With 10 ms x 3 a busy machine has nodes lose each other that nobody has cut
			// off, and the service is elsewhere when the fault comes.
			r.variant = variant{Name: "patient", BFD: 250 * time.Millisecond}
			rows = append(rows, r)
		}
	}
	progress := &strings.Builder{}
	b := &Bench{Topology: "../topologies/bench.yaml", Library: "../../service", Name: "benchtest", N: 1, Progress: progress, Evidence: true,
		Binaries: lab.Binaries{Srrd: filepath.Join(dir, "srrd"), Srrsh: filepath.Join(dir, "srrsh"), Srrlab: filepath.Join(dir, "srrlab")}}
	results, err := b.Run(t.Context(), rows)
	t.Log(progress)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(rows) {
		t.Fatalf("%d results of %d rows", len(results), len(rows))
	}
	for _, r := range results {
		for _, text := range r.Errors() {
			t.Error(text)
		}
		for _, o := range r.Outcomes {
			if o.From == o.To || o.Switches == 0 {
				t.Errorf("%s: from %s to %s, %d switches", r.Row.Name, o.From, o.To, o.Switches)
			}
			for _, phase := range PhaseNames {
				if _, ok := o.Phases[phase]; !ok {
					t.Errorf("%s: phase %s is not known", r.Row.Name, phase)
				}
			}
			if o.Tells != r.Row.Beyond || o.Own > o.Outage {
				t.Errorf("%s: of %s the primitives' own time is %s", r.Row.Name, o.Outage, o.Own)
			}
			if len(o.Went) == 0 {
				t.Errorf("%s: no router let go of its old next hop", r.Row.Name)
			}
			// Of a killed srrd the next node can have the service before zebra has let it
			// go, and a zebra that is late hears of both together.
			if r.Row.Name == "silent-loss-bfd10" && o.Lost == 0 {
				t.Errorf("%s: nothing was lost: the fault was not done, or the probe is blind", r.Row.Name)
			}
		}
		var f Figures
		var line bytes.Buffer
		if err := WriteJSON(&line, []Result{r}); err != nil {
			t.Error(err)
		} else if err := json.Unmarshal(line.Bytes(), &f); err != nil || f.N != 1 {
			t.Errorf("%s: %v", line.String(), err)
		}
	}
}
