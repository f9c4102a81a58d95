package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// SoakReport is what a soak found, for people.
type SoakReport struct {
	Seed     uint64
	Findings []Finding
	Evidence Evidence
	Growths  []Growth
	keep     string
	slack    float64
	asked    int64
	failed   int64
	changed  int64
	foreign  int64
}

func newSoakReport(s *soak) *SoakReport {
	return &SoakReport{s.Seed, SoakAudit(s.evidence, s.Limits, s.asked.Load(), s.failed.Load()), s.evidence, Growths(s.evidence.Samples),
		s.Keep, s.Limits.slack(), s.asked.Load(), s.failed.Load(), s.changed.Load(), s.foreign.Load()}
}

// OK tells whether nothing was found.
func (r *SoakReport) OK() bool { return len(r.Findings) == 0 }

// String is the report as people read it.
func (r *SoakReport) String() string {
	var b strings.Builder
	e := r.Evidence
	fmt.Fprintf(&b, "soak seed=%d took=%s: %d disturbances one after the other, %d changes beside them, %d LSAs of strangers, %d questions (%d without an answer)\n",
		r.Seed, e.Ended.Sub(e.Began).Round(time.Second), max(len(e.Rounds)-1, 0), r.changed, r.foreign, r.asked, r.failed)
	fmt.Fprintf(&b, "records: %d acknowledged, %d lost; datagrams: %d sent\n", len(e.Acks), e.lost(), e.Datagrams)
	outside := 0
	for _, o := range e.Outages {
		if len(causes(e, o, r.slack)) == 0 {
			outside += o.Lost
		}
	}
	fmt.Fprintf(&b, "datagrams lost with nothing wrong: %d\n", outside)
	b.WriteString(r.outages())
	for _, g := range r.Growths {
		fmt.Fprintf(&b, "%s\n", g)
	}
	if len(r.Growths) == 0 {
		fmt.Fprintf(&b, "too short to tell whether anything grows: %d samples a process are wanted after %s of warming up\n", leastSamples, warmUp)
	}
	b.WriteString(verdict("soak", r.Findings, r.keep))
	return b.String()
}

// outages is a table: what happened how often, and what the clients noticed. An
// outage with several causes counts for the one that allows most.
func (r *SoakReport) outages() string {
	type cell struct {
		took []time.Duration
		lost int
	}
	type row struct {
		times    int
		services map[string]*cell
	}
	rows := map[string]*row{}
	at := func(kind string) *row {
		if rows[kind] == nil {
			rows[kind] = &row{services: map[string]*cell{}}
		}
		return rows[kind]
	}
	for _, a := range r.Evidence.Applied {
		at(a.Kind).times++
	}
	for _, o := range r.Evidence.Outages {
		s, _ := serviceNamed(o.Service)
		kind := "nothing"
		if found := causes(r.Evidence, o, r.slack); len(found) > 0 {
			kind = slices.MaxFunc(found, func(a, b Applied) int {
				return cmp.Compare(allowed(a.Fault, s, r.slack), allowed(b.Fault, s, r.slack))
			}).Kind
		}
		c := at(kind).services[o.Service]
		if c == nil {
			c = &cell{}
			at(kind).services[o.Service] = c
		}
		c.took, c.lost = append(c.took, o.To.Sub(o.From)), c.lost+o.Lost
	}
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(&b, "%-8s %4d times", kind, rows[kind].times)
		for _, name := range []string{"ledger", "web", "shop"} {
			if c := rows[kind].services[name]; c != nil {
				fmt.Fprintf(&b, "; %s away %d times, %s", name, len(c.took), spread(c.took))
				if c.lost > 0 {
					fmt.Fprintf(&b, ", %d datagrams", c.lost)
				}
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
