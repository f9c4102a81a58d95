package metrics

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/sidecar/internal/handover"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
)

// page is what a scrape gets.
func page(c *Collector) string {
	r := httptest.NewRecorder()
	c.Handler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	return r.Body.String()
}

// next is the collector of the srrd after a re-execution, an hour later.
func next(t *testing.T, c *Collector) *Collector {
	t.Helper()
	h, err := c.HandOver()
	if err != nil {
		t.Fatal(err)
	}
	codec := handover.New()
	machine.HandOver(codec)
	b, err := codec.Append(nil, viewtest.Now, h)
	if err != nil {
		t.Fatal(err)
	}
	read := &Handover{}
	if err := codec.Decode(b, viewtest.Now, read); err != nil {
		t.Fatal(err)
	}
	opt, now := c.opt, c.opt.Now().Add(time.Hour)
	opt.Now = func() time.Time { return now }
	after := bare(opt)
	now = c.opt.Now() // the faces tell ages by it
	after.TakeOver(read)
	return after
}

func TestAReExecutionResetsNoCounter(t *testing.T) {
	c := fed(t)
	before := page(c)
	if !strings.Contains(before, "srrd_primitive_runs_total{") {
		t.Fatalf("too little was counted before:\n%s", before)
	}
	after := next(t, c)
	after.Timers(1) // those that were carried over are set first
	if diff := cmp.Diff(before, page(after)); diff != "" {
		t.Errorf("what the next srrd tells differs:\n%s", diff)
	}
}

// What was begun before is counted when it ends after.
func TestWhatIsUnderWayAtAReExecutionIsCounted(t *testing.T) {
	read := func(context.Context) (*view.Snapshot, error) { return nil, errors.New("nobody asks") }
	c := bare(Options{Read: read, Now: func() time.Time { return viewtest.Now }})
	ref := machine.LSARef{Scope: machine.ASScope, ID: 1}
	c.Step(viewtest.Now, machine.OSPFUp{Router: viewtest.N1}, nil)
	c.Step(viewtest.Now, machine.ZebraUp{}, []machine.Action{machine.RunPrimitive{Service: "dns", Primitive: machine.PrimStart, Run: 7}})
	c.Step(viewtest.Now, machine.Command{ID: 3, Verb: machine.VerbMove}, nil)
	after := next(t, c)
	after.Step(viewtest.Now, machine.PrimitiveDone{Service: "dns", Run: 7, Took: time.Second}, []machine.Action{machine.Answer{ID: 3}, machine.Originate{Ref: ref}})
	after.Step(viewtest.Now, machine.LSASeen{Router: viewtest.N1, Ref: ref}, nil)
	after.Step(viewtest.Now, machine.OSPFDown{}, nil)
	after.Step(viewtest.Now, machine.ZebraDown{}, nil)
	got := page(after)
	for _, want := range []string{
		`srrd_primitive_runs_total{outcome="done",primitive="start",service="dns"} 1`,
		`srrd_primitive_duration_seconds_count{primitive="start"} 1`,
		`srrd_commands_total{outcome="done",verb="move"} 1`,
		`srrd_session_losses_total{daemon="ospfd"} 1`,
		`srrd_session_losses_total{daemon="zebra"} 1`,
		`srrd_session_connects_total{daemon="ospfd"} 1`,
		`srrd_round_trip_duration_seconds_count{trip="lsa_echo"} 1`,
		`srrd_events_total{event="ospf_up"} 1`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("it does not tell %s", want)
		}
	}
}

// Another build may count otherwise, or have handed over nothing.
func TestWhatAnotherBuildCountedOtherwiseBeginsAnew(t *testing.T) {
	c := fed(t)
	want := page(c)
	c.TakeOver(&Handover{Began: c.began,
		OSPFUp: true, Self: viewtest.N1,
		Counters: []Counted{{Name: "srrd_gone_total", Value: 1}, {Name: "srrd_events_total", Labels: map[string]string{"kind": "x"}, Value: 1},
			{Name: "srrd_notes_total", Labels: map[string]string{"level": "info"}, Value: -1}},
		Observed: []Observed{{Name: "srrd_gone_seconds"}, {Name: "srrd_event_duration_seconds", Bounds: []float64{1}, Counts: []uint64{1, 1}, Sum: 2},
			{Name: "srrd_primitive_duration_seconds", Bounds: primitiveBuckets, Counts: make([]uint64, len(primitiveBuckets)+1)}},
	})
	if diff := cmp.Diff(want, page(c)); diff != "" {
		t.Error(diff)
	}
	c.TakeOver(nil)
	if diff := cmp.Diff(want, page(c)); diff != "" {
		t.Error(diff)
	}
}
