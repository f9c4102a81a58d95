package metrics

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run with -update to make it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

// fed is a collector over the fixed snapshot that was told a short story.
func fed(t *testing.T) *Collector {
	t.Helper()
	now := viewtest.Now
	c := bare(Options{
		Read:  func(context.Context) (*view.Snapshot, error) { return viewtest.Snapshot(), nil },
		Inbox: func() (int, int) { return 3, 8192 },
		Now:   func() time.Time { return now },
	})
	ref := machine.LSARef{Scope: machine.ASScope, ID: 1}
	a := netip.MustParseAddr("192.0.2.10")
	step := func(ev machine.Event, acts ...machine.Action) {
		c.Step(now.Add(-3*time.Microsecond), ev, acts)
		now = now.Add(2 * time.Millisecond)
	}
	step(machine.OSPFDown{Why: "connection refused"}) // was never up: not lost
	step(machine.OSPFUp{Router: viewtest.N1})
	step(machine.ZebraUp{})
	step(machine.Synced{}, machine.Originate{Ref: ref}, machine.SetAddresses{Service: "dns", Addresses: []netip.Addr{a}, On: true},
		machine.SetTimer{}, machine.SetTimer{}, machine.Note{Level: machine.LevelWarning})
	step(machine.OriginateDone{Ref: ref})
	step(machine.LSASeen{Router: viewtest.N2, Ref: ref}) // another node's: no echo
	step(machine.LSASeen{Router: viewtest.N1, Ref: ref})
	step(machine.LSASeen{Router: viewtest.N1, Ref: ref}) // again: counts once
	step(machine.AddressState{Addr: a, Present: true}, machine.RunPrimitive{Service: "dns", Primitive: machine.PrimStart, Run: 1})
	step(machine.PrimitiveDone{Service: "dns", Run: 1, Took: 17 * time.Millisecond}, machine.Announce{Addresses: []netip.Addr{a}, On: true})
	step(machine.RouteState{Addr: a, State: machine.RouteInstalled})
	step(machine.TimerFired{}, machine.RunPrimitive{Service: "dns", Primitive: machine.PrimCheck, Run: 2})
	step(machine.PrimitiveDone{Service: "dns", Run: 2, Outcome: machine.OutcomeTimeout, Took: 5 * time.Second})
	step(machine.PrimitiveDone{Service: "dns", Run: 99}) // of an earlier life
	step(machine.Command{ID: 1, Verb: machine.VerbMove}, machine.Answer{ID: 1})
	step(machine.Command{ID: 2, Verb: machine.VerbMove}, machine.Answer{ID: 2, Err: "n3 is in standby"})
	step(machine.ZebraDown{})
	step(machine.ZebraDown{}) // says it again: lost once
	for _, f := range viewtest.Snapshot().Failovers {
		if f.Ended() {
			c.Failover(f)
		}
	}
	c.Timers(1)
	c.VTY("ospfd", 400*time.Microsecond, nil)
	c.VTY("ospfd", 2*time.Second, errors.New("unknown command"))
	return c
}

func TestTheMetricsOfTheFixedSnapshotLookAsTheirGolden(t *testing.T) {
	c := fed(t)
	r := httptest.NewRecorder()
	c.Handler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	if r.Code != 200 {
		t.Fatalf("status %d: %s", r.Code, r.Body)
	}
	var lines []string
	for l := range strings.Lines(r.Body.String()) {
		if strings.HasPrefix(l, "srrd_build_info") {
			l = `srrd_build_info{goversion="...",version="0.1.0"} 1` + "\n"
		}
		lines = append(lines, l)
	}
	golden(t, "../../../testdata/page/metrics.txt", strings.Join(lines, ""))
}

func TestNamesHelpAndUnitsAreAsPrometheusWantsThem(t *testing.T) {
	problems, err := testutil.GatherAndLint(fed(t).registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// metric is one that a Collector tells.
type metric struct {
	Name, Kind, Help string
	Labels           []string
}

// listed is every metric of ours, by name.
func listed(t *testing.T) []metric {
	t.Helper()
	families, err := fed(t).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []metric
	for _, f := range families {
		m := metric{Name: f.GetName(), Kind: strings.ToLower(f.GetType().String()), Help: f.GetHelp()}
		for _, l := range f.GetMetric()[0].GetLabel() {
			m.Labels = append(m.Labels, l.GetName())
		}
		all = append(all, m)
	}
	return all
}

func TestEveryMetricIsFedAndListed(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Metrics of srrd\n\nServed at /metrics of the web server, with those of the Go runtime (`go_`) and of the process (`process_`).\n" +
		"Made by the tests of sidecar/internal/metrics with -update; do not edit.\n\n| name | kind | labels | what it tells |\n|---|---|---|---|\n")
	names := map[string]bool{}
	for _, m := range listed(t) {
		names[m.Name] = true
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", m.Name, m.Kind, strings.Join(m.Labels, ", "), m.Help)
	}
	golden(t, "../../../deploy/monitoring/METRICS.md", b.String())
	descs := make(chan *prometheus.Desc, 1000)
	fed(t).registry.Describe(descs)
	close(descs)
	for d := range descs {
		name := strings.Split(d.String(), `"`)[1]
		if !names[name] {
			t.Errorf("%s is told by nothing of the story: feed it", name)
		}
	}
}

func TestWithoutAnAnswerOfTheOwnerTheCountersAreLeft(t *testing.T) {
	c := bare(Options{Read: func(context.Context) (*view.Snapshot, error) { return nil, view.ErrClosed }})
	c.Step(time.Now(), machine.ZebraUp{}, nil)
	families, err := c.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	value := map[string]float64{}
	for _, f := range families {
		if g := f.GetMetric()[0].GetGauge(); g != nil {
			value[f.GetName()] = g.GetValue()
		}
	}
	if v, ok := value["srrd_owner_answers"]; !ok || v != 0 {
		t.Errorf("srrd_owner_answers is %v, %v", v, ok)
	}
	if _, ok := value["srrd_in_sync"]; ok {
		t.Error("a figure of the snapshot is told without one")
	}
	if n := testutil.ToFloat64(c.counts.connects.WithLabelValues(daemonZebra)); n != 1 {
		t.Errorf("%v connects of zebra, want 1", n)
	}
}

func TestTheWholeCollectorIsSoundAndHasTheRuntime(t *testing.T) {
	c := New(Options{Read: func(context.Context) (*view.Snapshot, error) { return viewtest.Snapshot(), nil }})
	families, err := c.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	for _, want := range []string{"go_goroutines", "process_resident_memory_bytes", "srrd_in_sync"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if !sort.StringsAreSorted(names) {
		t.Error("the names are not sorted")
	}
}

func TestAHostileNameOfAServiceBreaksNothing(t *testing.T) {
	s := viewtest.Snapshot()
	s.Machine.Services[0].Name = "a\"b\n\xff\\"
	c := bare(Options{Read: func(context.Context) (*view.Snapshot, error) { return s, nil }})
	r := httptest.NewRecorder()
	c.Handler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	if want := `srrd_service_holders{service="a\"b\n?\\"} 0`; r.Code != 200 || !strings.Contains(r.Body.String(), want) {
		t.Errorf("status %d, without %s", r.Code, want)
	}
}

func TestTypesBecomeLabels(t *testing.T) {
	for in, want := range map[string]string{"LSASeen": "lsa_seen", "OSPFUp": "ospf_up", "TimerFired": "timer_fired", "Reach": "reach", "ZebraDown": "zebra_down"} {
		if got := snake(in); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}

func BenchmarkStep(b *testing.B) {
	c := bare(Options{})
	acts := []machine.Action{machine.SetTimer{}}
	now := time.Now()
	for b.Loop() {
		c.Step(now, machine.LSASeen{Router: viewtest.N2}, acts)
	}
}
