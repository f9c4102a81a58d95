package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// zero is when the journals of these tests begin.
var zero = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return zero.Add(time.Duration(seconds * float64(time.Second))) }

// journalOf reads lines "SECONDS NODE SERVICE PRIMITIVE MOMENT [CLAIM [PEER]]";
// a moment is begin, end, killed, or exit=STATUS. "SECONDS NODE ! WHAT" is what
// happened to a whole node.
func journalOf(t *testing.T, text string) (all []Line) {
	t.Helper()
	for row := range strings.Lines(text) {
		f := strings.Fields(row)
		if len(f) == 0 {
			continue
		}
		var seconds float64
		if _, err := fmt.Sscan(f[0], &seconds); err != nil {
			t.Fatal(row, err)
		}
		if f[2] == "!" {
			all = append(all, Line{At: at(seconds), Node: f[1], Primitive: strings.Join(f[3:], " "), Moment: ends})
			continue
		}
		l := Line{At: at(seconds), Node: f[1], Service: f[2], Primitive: f[3], Moment: f[4]}
		if status, ok := strings.CutPrefix(f[4], "exit="); ok {
			l.Moment = ends
			if _, err := fmt.Sscan(status, &l.Status); err != nil {
				t.Fatal(row, err)
			}
		}
		if len(f) > 5 {
			if _, err := fmt.Sscan(f[5], &l.Claim); err != nil {
				t.Fatal(row, err)
			}
		}
		if len(f) > 6 {
			l.Peer = f[6]
		}
		all = append(all, l)
	}
	return all
}

func chaosTopology(t *testing.T) *lab.Topology {
	t.Helper()
	topo, err := lab.Load("../topologies/chaos.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

// sound is a run in which all is as it should be: each test spoils it.
func sound(t *testing.T) Evidence {
	t.Helper()
	journal := ""
	for i, s := range services {
		journal += fmt.Sprintf("%[1]d.0 n1 %[2]s activate begin\n%[1]d.1 n1 %[2]s activate end\n%[1]d.2 n1 %[2]s start begin 100\n%[1]d.3 n1 %[2]s start end 100\n", i, s.name)
	}
	return Evidence{
		World: worldOf(chaosTopology(t)),
		Lines: journalOf(t, journal),
		Rounds: []Course{
			{Number: 1, Began: at(100), Mended: at(110), Whole: at(112), Faults: 1, Single: &Fault{Kind: "cut", Target: "n1:eth0", For: 10 * time.Second}},
			{Number: 2, Began: at(200), Mended: at(230), Whole: at(240), Faults: 3},
		},
		Acks:   []Ack{{1, at(50), "n1"}, {2, at(51), "n1"}},
		Stored: map[uint64]bool{1: true, 2: true},
		Outages: []Absence{
			{"web", at(60), at(60.5), 0},      // nothing was wrong, and it was short
			{"web", at(101), at(103), 0},      // a single fault
			{"ledger", at(100.5), at(130), 0}, // a single fault, of a strict service
			{"web", at(205), at(239), 0},      // several
		},
		Began: at(0), Ended: at(300),
	}
}

func TestASoundRunHasNoFindings(t *testing.T) {
	if found := Audit(sound(t), DefaultLimits()); len(found) > 0 {
		t.Errorf("findings: %v", found)
	}
}

// moved is a move of a service with no fault at all, to be put behind sound.
const moved = `
20.0 n2 S activate begin
20.1 n2 S activate end
21.0 n1 S stop begin 100
21.1 n1 S stop end 100
21.2 n2 S start begin 200
21.3 n2 S start end 200
`

func TestEachRuleFindsWhatBreaksIt(t *testing.T) {
	const activated = "20.0 n2 S activate begin\n20.1 n2 S activate end\n"
	for _, c := range []struct {
		name    string
		journal string // put behind sound's, with S for the service
		service string
		spoil   func(*Evidence)
		rule    string // "": nothing may be found
		text    string // in the finding
	}{
		{name: "A move is sound", journal: moved, service: "job"},
		{name: "A move of what only a majority may start is sound", journal: "20.9 n1 ledger stop begin 100\n20.95 n1 ledger stop end 100\n" + moved, service: "disk"},
		{name: "A started lun starts elsewhere", service: "lun", rule: ruleTwice, text: "it has a fence",
			journal: activated + "21.2 n2 S start begin 200\n21.3 n2 S start end 200\n"},
		{name: "A started disk starts elsewhere", service: "disk", rule: ruleTwice, text: "only a majority",
			journal: activated + "21.2 n2 S start begin 200\n21.3 n2 S start end 200\n"},
		{name: "A started job starts elsewhere on a connected node", service: "job", rule: ruleTwice, text: "are connected",
			journal: activated + "21.2 n2 S start begin 200\n21.3 n2 S start end 200\n"},
		{name: "A restart elsewhere is a start too", service: "lun", rule: ruleTwice, text: "restart",
			journal: activated + "21.2 n2 S restart begin 200\n21.3 n2 S restart end 200\n"},
		{name: "A stop that failed has not stopped it", service: "job", rule: ruleTwice, text: "are connected",
			journal: activated + "21.0 n1 S stop begin 100\n21.1 n1 S stop exit=1 100\n21.2 n2 S start begin 200\n21.3 n2 S start end 200\n"},
		{name: "A start that failed may have started it", service: "job", rule: ruleTwice, text: "n2",
			journal: moved + "22 n2 S stop begin 200\n22.1 n2 S stop exit=1 200\n23 n1 S start begin 300\n23.1 n1 S start end 300\n"},
		{name: "Parted nodes may both run a job", service: "job",
			journal: activated + "41.2 n2 S start begin 200\n41.3 n2 S start end 200\n",
			spoil: func(e *Evidence) {
				e.Applied = []Applied{{Fault: Fault{Kind: "cut"}, Began: at(20), Mended: at(45), Broken: []string{"n1:eth0"}}}
			}},
		{name: "A partition that healed long ago is no excuse", service: "job", rule: ruleTwice, text: "are connected",
			journal: activated + "41.2 n2 S start begin 200\n41.3 n2 S start end 200\n",
			spoil: func(e *Evidence) {
				e.Applied = []Applied{{Fault: Fault{Kind: "cut"}, Began: at(20), Mended: at(30), Broken: []string{"n1:eth0"}}}
			}},
		{name: "A cut elsewhere is no excuse", service: "job", rule: ruleTwice, text: "are connected",
			journal: activated + "41.2 n2 S start begin 200\n41.3 n2 S start end 200\n",
			spoil: func(e *Evidence) {
				e.Applied = []Applied{{Fault: Fault{Kind: "cut"}, Began: at(20), Mended: at(45), Broken: []string{"n3:eth0", "r1:r2"}}}
			}},
		{name: "Parted nodes may not both run a disk", service: "disk", rule: ruleTwice, text: "only a majority",
			journal: activated + "41.2 n2 S start begin 200\n41.3 n2 S start end 200\n",
			spoil: func(e *Evidence) {
				e.Applied = []Applied{{Fault: Fault{Kind: "cut"}, Began: at(20), Mended: at(45), Broken: []string{"n1:eth0"}}}
			}},
		{name: "What has no fence is taken over from a node without srrd", service: "job",
			journal: "19 n1 ! srrd gone\n" + activated + "41.2 n2 S start begin 200\n41.3 n2 S start end 200\n"},
		{name: "A fence is asked for also when srrd is gone", service: "lun", rule: ruleTwice, text: "it has a fence",
			journal: "19 n1 ! srrd gone\n" + activated + "41.2 n2 S start begin 200\n41.3 n2 S start end 200\n"},
		{name: "srrd that is back is no excuse", service: "job", rule: ruleTwice, text: "are connected",
			journal: "19 n1 ! srrd gone\n20 n1 ! srrd here\n" + activated + "41.2 n2 S start begin 200\n41.3 n2 S start end 200\n"},
		{name: "What is fenced does not run", service: "lun",
			journal: activated + "21 n2 S fence begin 200 n1\n21.1 n2 S fence end 200 n1\n21.2 n2 S start begin 200\n21.3 n2 S start end 200\n"},
		{name: "A fence that failed is none", service: "lun", rule: ruleTwice, text: "it has a fence",
			journal: activated + "21 n2 S fence begin 200 n1\n21.1 n2 S fence exit=1 200 n1\n21.2 n2 S start begin 200\n21.3 n2 S start end 200\n"},
		{name: "What is reset runs nothing", service: "lun",
			journal: "19 n1 ! reset\n" + activated + "21.2 n2 S start begin 200\n21.3 n2 S start end 200\n"},
		{name: "A start after a reset without activate", service: "web", rule: ruleSequence, text: "not activated",
			journal: "20 n1 ! reset\n21.2 n1 S start begin 200\n21.3 n1 S start end 200\n"},
		{name: "What is rebooted runs nothing", service: "lun",
			journal: "19 n1 ! reboot\n" + activated + "21.2 n2 S start begin 200\n21.3 n2 S start end 200\n"},

		{name: "A stop begins while start runs", service: "job", rule: ruleSequence, text: "has begun before",
			journal: "21 n1 S restart begin 100\n21.1 n1 S stop begin 100\n21.2 n1 S restart end 100\n21.3 n1 S stop end 100\n"},
		{name: "A start that was killed hard has no end", service: "web",
			journal: "21 n1 S reload begin 100\n21.1 n1 S stop begin 100\n21.2 n1 S stop end 100\n"},
		{name: "A start without activate", service: "web", rule: ruleSequence, text: "not activated",
			journal: "21.2 n2 S start begin 200\n21.3 n2 S start end 200\n"},
		{name: "A start after a reboot without activate", service: "web", rule: ruleSequence, text: "not activated",
			journal: "20 n1 ! reboot\n21.2 n1 S start begin 200\n21.3 n1 S start end 200\n"},
		{name: "A start after deactivate", service: "web", rule: ruleSequence, text: "not activated",
			journal: "20 n1 S stop begin\n20.1 n1 S stop end\n20.2 n1 S deactivate begin\n20.3 n1 S deactivate end\n21.2 n1 S start begin 200\n21.3 n1 S start end 200\n"},
		{name: "A deactivate while it runs", service: "web", rule: ruleSequence, text: "it runs",
			journal: "20.2 n1 S deactivate begin\n20.3 n1 S deactivate end\n"},
		{name: "The ledger starts before its disk", service: "ledger", rule: ruleSequence, text: "the disk it depends on",
			journal: moved},
		{name: "The disk stops before its ledger", service: "disk", rule: ruleSequence, text: "the ledger that depends on it",
			journal: "21.0 n1 S stop begin 100\n21.1 n1 S stop end 100\n"},

		{name: "A claim of another node's", service: "web", rule: ruleClaim, text: "had it",
			journal: activated + "21.0 n1 S stop begin 100\n21.1 n1 S stop end 100\n21.2 n2 S start begin 100\n21.3 n2 S start end 100\n"},
		{name: "A claim that was given up", service: "web", rule: ruleClaim, text: "it was stopped since",
			journal: "21.0 n1 S stop begin 100\n21.1 n1 S stop end 100\n21.2 n1 S start begin 100\n21.3 n1 S start end 100\n"},
		{name: "A start that is asked again has its claim again", service: "web",
			journal: activated + "21.0 n2 S start begin 200\n21.1 n2 S start exit=75 200\n21.2 n2 S start begin 200\n21.3 n2 S start end 200\n"},
		{name: "A claim is lower than one of a node that was reset, which nobody may have heard of", service: "lun",
			journal: "20 n2 S activate begin\n20.1 n2 S activate end\n20.5 n1 ! reset\n21.2 n2 S start begin 50\n21.3 n2 S start end 50\n"},
		{name: "A claim is lower than one of a node that was reset, and a majority knew", service: "disk", rule: ruleClaim, text: "lower than",
			journal: "20 n2 S activate begin\n20.1 n2 S activate end\n20.5 n1 ! reset\n21.2 n2 S start begin 50\n21.3 n2 S start end 50\n"},
		{name: "A claim of what must not run twice is lower", service: "lun", rule: ruleClaim, text: "lower than",
			journal: activated + "21.0 n1 S stop begin 100\n21.1 n1 S stop end 100\n21.2 n2 S start begin 99\n21.3 n2 S start end 99\n"},
		{name: "A start without a claim", service: "web", rule: ruleClaim, text: "no claim",
			journal: activated + "21.2 n2 S start begin 0\n21.3 n2 S start end 0\n"},

		{name: "An acknowledged record is not there", rule: ruleRecord, text: "record 2, acknowledged by n1",
			spoil: func(e *Evidence) { delete(e.Stored, 2) }},
		{name: "A round never ends", rule: ruleWhole, text: "round 2, 1m30s after the last repair: web has no holder",
			spoil: func(e *Evidence) { e.Rounds[1].Whole, e.Rounds[1].Missing = time.Time{}, "web has no holder" }},
		{name: "A round ends late", rule: ruleWhole, text: "round 2: 1m31s after",
			spoil: func(e *Evidence) { e.Rounds[1].Whole = at(321) }},
		{name: "A service gives up without a reason", rule: ruleWhole, text: "round 1: disk failed on n1",
			spoil: func(e *Evidence) { e.Rounds[0].Failed = []string{"disk failed on n1: start: no such device"} }},
		{name: "An outage while nothing is wrong", rule: ruleOutage, text: "shop, 6s from 12:02:30.000 on: nothing was wrong",
			spoil: func(e *Evidence) { e.Outages = append(e.Outages, Absence{"shop", at(150), at(156), 0}) }},
		{name: "An outage longer than a cut explains", rule: ruleOutage, text: "web, 16s from 12:01:41.000 on: round 1: cut n1:eth0 allows 15s",
			spoil: func(e *Evidence) { e.Outages = append(e.Outages, Absence{"web", at(101), at(117), 0}) }},
		{name: "A strict service is allowed its lost_hold", spoil: func(e *Evidence) {
			e.Outages = append(e.Outages, Absence{"ledger", at(101), at(117), 0})
		}},
		{name: "What an operator stops is stopped as long as he wants", spoil: func(e *Evidence) {
			e.Rounds[0].Single = &Fault{Kind: "stop", Target: "web", For: 10 * time.Second}
			e.Outages = append(e.Outages, Absence{"web", at(101), at(117), 0})
		}},
		{name: "An outage longer than all of a round", rule: ruleOutage, text: "round 2 with 3 faults allows 2m0s",
			spoil: func(e *Evidence) { e.Outages = append(e.Outages, Absence{"web", at(201), at(330), 0}) }},
		{name: "Something is left over", rule: ruleLeft, text: "10.250.0.1",
			spoil: func(e *Evidence) { e.Left = []string{"on n1: local 10.250.0.1 dev lo"} }},
		{name: "Memory grows", rule: ruleFlat, text: "resident KiB 24800 at first, 44900",
			spoil: func(e *Evidence) { e.Samples = growing(func(s *Sample, i int) { s.RSS += i * 300 }) }},
		{name: "Descriptors grow", rule: ruleFlat, text: "descriptors 35 at first, 68 in the end",
			spoil: func(e *Evidence) { e.Samples = growing(func(s *Sample, i int) { s.FDs += i / 2 }) }},
		{name: "Threads grow", rule: ruleFlat, text: "threads",
			spoil: func(e *Evidence) { e.Samples = growing(func(s *Sample, i int) { s.Tasks += i }) }},
		{name: "What goes up and down is flat",
			spoil: func(e *Evidence) {
				e.Samples = growing(func(s *Sample, i int) { s.RSS += i % 7 * 1000; s.FDs += i % 5 })
			}},
		{name: "A new process may be larger", spoil: func(e *Evidence) {
			e.Samples = growing(func(s *Sample, i int) {
				if s.PID = 1; i >= 50 {
					s.PID, s.RSS = 2, 60000
				}
			})
		}},
		{name: "A panic in a log", rule: ruleLog, text: "srrd of n1: panic: oh",
			spoil: func(e *Evidence) { e.Logs = badLines("srrd of n1", "all is well\npanic: oh\n") }},
		{name: "A repair that did not go", rule: ruleTrouble, text: "no such",
			spoil: func(e *Evidence) { e.Trouble = []string{"no such process"} }},
		{name: "No rounds", rule: ruleIdle, text: "no round", spoil: func(e *Evidence) { e.Rounds, e.Outages = nil, nil }},
		{name: "No records", rule: ruleIdle, text: "no record", spoil: func(e *Evidence) { e.Acks = nil }},
		{name: "A service that never ran", rule: ruleIdle, text: "job was never started",
			spoil: func(e *Evidence) {
				e.Lines = journalOf(t, "1 n1 web activate begin\n1.1 n1 web activate end\n1.2 n1 web start begin 1\n1.3 n1 web start end 1\n")
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := sound(t)
			e.Lines = append(e.Lines, journalOf(t, strings.ReplaceAll(c.journal, " S ", " "+c.service+" "))...)
			if c.spoil != nil {
				c.spoil(&e)
			}
			found := Audit(e, DefaultLimits())
			if c.rule == "" {
				if len(found) > 0 {
					t.Errorf("found %v, want nothing", found)
				}
				return
			}
			hit := false
			for _, f := range found {
				hit = hit || f.Rule == c.rule && strings.Contains(f.Text, c.text)
			}
			if !hit {
				t.Errorf("found %v, want %s with %q", found, c.rule, c.text)
			}
		})
	}
}

// growing is 100 samples of one process, spoiled.
func growing(spoil func(s *Sample, i int)) (all []Sample) {
	for i := range 100 {
		s := Sample{At: at(float64(i * 2)), Node: "n1", PID: 1, RSS: 20000, FDs: 27, Tasks: 12}
		spoil(&s, i)
		all = append(all, s)
	}
	return all
}

func TestAnAbortIsBadUnlessOspfdWasToldToEnd(t *testing.T) {
	const abort = "OSPF: Received signal 6 at 1795278423 (si_addr 0x66, PC 0x7f); aborting...\n"
	const start = "2026/11/21 15:43:24 OSPF: [T83RR-8SM5G] ospfd 8.4.4 starting: vty@2604\n"
	const told = "2026/11/21 16:27:03 OSPF: [W9T04-QWK6B] Terminating on signal\n"
	for text, want := range map[string]int{start + abort: 1, start + told + abort: 0, start + told + abort + start + abort: 1} {
		if got := badLines("ospfd", text); len(got) != want {
			t.Errorf("%q: found %q, want %d", text, got, want)
		}
	}
}

func TestRecordsOfAStoreThatTwoWriteAreLost(t *testing.T) {
	dir := t.TempDir()
	one, two := openStore(t, dir+"/records"), openStore(t, dir+"/records")
	for n, s := range []*recordStore{one, one, two, one} {
		if err := s.write(uint64(n + 1)); err != nil {
			t.Fatal(err)
		}
	}
	have, err := readStore(dir + "/records")
	if err != nil {
		t.Fatal(err)
	}
	if have[1] || !have[2] || !have[3] || !have[4] {
		t.Errorf("the store holds %v, want the second writer to have overwritten record 1", have)
	}
}

func TestCountOpaqueCountsTheLiveOnesOfOurType(t *testing.T) {
	got := countOpaque(`
  LS age: 12
  Link State ID: 222.0.0.1 (222/1)
  Advertising Router: 10.255.1.1

  LS age: 3600
  Link State ID: 222.0.0.2 (222/2)
  Advertising Router: 10.255.1.1

  LS age: 7
  Link State ID: 4.0.0.0 (4/0)
  Advertising Router: 10.255.1.2
`)
	if len(got) != 1 || got["10.255.1.1"] != 1 {
		t.Errorf("got %v, want one of 10.255.1.1", got)
	}
}
