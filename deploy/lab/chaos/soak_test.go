package chaos

import (
	"encoding/xml"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// soaked is a soak in which all is as it should be.
func soaked(t *testing.T) Evidence {
	e := sound(t)
	e.World.unfenced = true
	cut := Fault{Kind: "cut", Target: "r1:r2", Arg: "silent", For: 2 * time.Second}
	move := Fault{Kind: "move", Target: "web", Arg: "n2", For: time.Second}
	e.Applied = []Applied{
		{Fault: cut, Round: 1, Began: at(100), Mended: at(102)},
		{Fault: move, Round: 1, Began: at(150), Mended: at(151)},
	}
	e.Rounds = []Course{{Number: 1, Began: at(100), Mended: at(102), Whole: at(108), Faults: 1, Single: &cut}, {Number: 2, Began: at(200), Mended: at(200), Whole: at(201)}}
	e.Outages = []Absence{
		{"web", at(106), at(107.5), 30}, // the cut is mended, and not everybody served
		{"web", at(108.9), at(109), 3},  // those who are back stop what ran twice
		{"web", at(150.5), at(150.6), 9},
		{"ledger", at(102), at(108), 0},
		{"ledger", at(300), at(300.5), 0}, // a client that waits for a processor
	}
	for _, s := range steady(4) {
		for i, n := range e.World.nodes {
			if s.Node == "n1" {
				s.Node, s.PID = n, 100+i
				e.Samples = append(e.Samples, s)
				s.Node = "n1"
			}
		}
	}
	return e
}

// mute takes from those samples of n3 what srrd says of itself.
func mute(e *Evidence, which func(i int) bool) {
	n := 0
	for i := range e.Samples {
		if s := &e.Samples[i]; s.Node == "n3" {
			if which(n) {
				s.Heap, s.Goroutines = 0, 0
			}
			n++
		}
	}
}

func TestEachRuleOfASoakFindsWhatBreaksIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(e *Evidence)
		rule  string // "": nothing is found
	}{
		{"a sound soak", func(*Evidence) {}, ""},
		{"a record that is not stored", func(e *Evidence) { delete(e.Stored, 2) }, ruleRecord},
		{"a datagram lost with nothing wrong", func(e *Evidence) { e.Outages = append(e.Outages, Absence{"web", at(400), at(400.02), 1}) }, ruleUnexplained},
		{"one lost while only another service moves", func(e *Evidence) { e.Outages = append(e.Outages, Absence{"shop", at(150.5), at(150.6), 9}) }, ruleUnexplained},
		{"records that wait with nothing wrong", func(e *Evidence) { e.Outages = append(e.Outages, Absence{"ledger", at(400), at(402), 0}) }, ruleUnexplained},
		{"a planned move that takes seconds", func(e *Evidence) { e.Outages = append(e.Outages, Absence{"web", at(150), at(153), 290}) }, ruleSlow},
		{"a cut that takes longer than lost_hold", func(e *Evidence) { e.Outages = append(e.Outages, Absence{"ledger", at(101), at(121), 0}) }, ruleSlow},
		{"clients that were never served again", func(e *Evidence) { e.Rounds[0].Whole = time.Time{} }, ruleWhole},
		{"an srrd that was started again", func(e *Evidence) { e.Samples[500].PID = 7 }, ruleEnded},
		{"an srrd that ended early", func(e *Evidence) {
			e.Samples = slices.DeleteFunc(e.Samples, func(s Sample) bool { return s.Node == "n3" && s.At.After(at(3500)) })
		}, ruleEnded},
		{"an srrd that is not there", func(e *Evidence) { e.World.nodes = append(e.World.nodes, "n6") }, ruleEnded},
		{"an srrd that never answered for its figures", func(e *Evidence) { mute(e, func(int) bool { return true }) }, ruleMute},
		{"one that did not say its heap", func(e *Evidence) {
			for i := range e.Samples {
				if e.Samples[i].Node == "n3" {
					e.Samples[i].Heap = 0
				}
			}
		}, ruleMute},
		{"one that answered to begin with only", func(e *Evidence) { mute(e, func(i int) bool { return i >= leastSamples }) }, ruleMute},
		{"one that answered too seldom", func(e *Evidence) { mute(e, func(i int) bool { return i%5 > 0 }) }, ruleMute},
		{"one that was late with an answer now and then", func(e *Evidence) { mute(e, func(i int) bool { return i%10 == 0 }) }, ""},
		{"a soak too short to tell", func(e *Evidence) {
			mute(e, func(int) bool { return true })
			e.Samples = slices.DeleteFunc(e.Samples, func(s Sample) bool { return s.At.After(at(warmUp.Seconds() + 20*(leastSamples-2))) })
		}, ""},
		{"a leak", func(e *Evidence) {
			for i := range e.Samples {
				e.Samples[i].FDs += int(e.Samples[i].At.Sub(zero) / (10 * time.Minute))
			}
		}, ruleFlat},
		{"something left over", func(e *Evidence) { e.Left = []string{"a route"} }, ruleLeft},
		{"a panic", func(e *Evidence) { e.Logs = []string{"panic"} }, ruleLog},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := soaked(t)
			c.spoil(&e)
			found := SoakAudit(e, DefaultLimits(), 1000, 5)
			for _, f := range found {
				if f.Rule != c.rule {
					t.Errorf("finds %s", f)
				}
			}
			if c.rule != "" && len(found) == 0 {
				t.Errorf("finds nothing")
			}
		})
	}
	if found := SoakAudit(soaked(t), DefaultLimits(), 1000, 11); len(found) != 1 || found[0].Rule != ruleAsk {
		t.Errorf("with 11 of 1000 questions not answered: %v", found)
	}
}

func TestWhatASoakDoesHasItsPlaceInTheTable(t *testing.T) {
	p := NewPlan(chaosTopology(t), 1, lab.Release{})
	for _, k := range append(append([]kind{}, soakKinds...), changeKinds...) {
		r := rand.New(rand.NewPCG(1, 1))
		for range 200 {
			f := k.draw(p, r)
			if f.Kind != k.name || len(p.touches(f))+len(f.Target) == 0 {
				t.Fatalf("%s draws %s", k.name, f)
			}
			if allowed(f, mustService("web"), 1) <= f.For {
				t.Fatalf("%s allows nothing", f)
			}
			if f.For > 3*time.Second || strings.Contains(f.Arg, "srrd") {
				t.Fatalf("%s for %s: no srrd is to end, and nobody's holder to be lost for good", f, f.For)
			}
		}
	}
}

func TestASoakHasNoFence(t *testing.T) {
	topo := chaosTopology(t)
	WithoutFence(topo)
	for _, h := range topo.All() {
		if h.Srrd == nil {
			continue
		}
		for name, text := range h.Srrd.Services {
			if strings.Contains(text, "fence") {
				t.Errorf("%s on %s: %s", name, h.Name, text)
			}
		}
	}
	w := worldOf(topo)
	w.unfenced = true
	if g := w.guard(mustService("lun")); g != holdOnly {
		t.Errorf("lun is held to %d", g)
	}
}

func TestTheFiguresOfASoakAreDrawn(t *testing.T) {
	svg := SamplesSVG(steady(1))
	if err := xml.Unmarshal(svg, new(struct{})); err != nil || strings.Contains(string(svg), "NaN") {
		t.Errorf("%v\n%.2000s", err, svg)
	}
	for _, f := range figures {
		if !strings.Contains(string(svg), ">"+f.what) {
			t.Errorf("no picture of %s", f.what)
		}
	}
	if err := xml.Unmarshal(SamplesSVG(nil), new(struct{})); err != nil {
		t.Errorf("of no samples: %v", err)
	}
	csv := strings.Split(SamplesCSV(zero, steady(1)), "\n")
	if len(csv) != 1442 || csv[1] != "0.0,n1,25000,3000,20,48,12" {
		t.Errorf("%d lines, the first %q", len(csv), csv[1])
	}
}
