package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The rules of a soak beside those of chaos.
const (
	ruleUnexplained = "a client waited with nothing wrong"
	ruleSlow        = "a client waited longer than the table allows"
	ruleEnded       = "an srrd was not the same to the end"
	ruleAsk         = "questions without an answer"
	ruleMute        = "an srrd that does not say what it takes"
)

// Allowance is how long a client may wait for what happens once, and where that
// is said.
type Allowance struct {
	Kind   string
	Plain  time.Duration // a service that may run twice for a while
	Strict time.Duration // the records: a resource stands below them
	Why    string
}

// allowances is the table. The figures are those of a busy machine: some thirty
// times what the README measures on a quiet one, and what is waited for by
// design. What a fault takes itself is added.
var allowances = []Allowance{
	{"move", time.Second, time.Second, "planned: stop, then start"},
	{"node", time.Second, time.Second, "planned: stop, then start"},
	{"config", time.Second, time.Second, "planned: another node is preferred"},
	{"freeze", time.Second, time.Second, "what waited for it may move when it ends"},
	{"process", 8 * time.Second, 8 * time.Second, "shop and disk are not watched: three checks of 2 s, and a restart"},
	{"cut", 5 * time.Second, lostHold + 5*time.Second, "BFD of 150 ms x 4 on both sides, and routes; the records wait for lost_hold"},
	{"loss", 5 * time.Second, lostHold + 5*time.Second, "as a cut"},
	{"delay", 5 * time.Second, lostHold + 5*time.Second, "as a cut"},
	{"daemons", 5 * time.Second, lostHold + 5*time.Second, "as a cut, and the daemon's start"},
	{"write", time.Second, time.Second, "nothing is to happen"},
	{"delete", 2 * time.Second, 2 * time.Second, "it is put back as soon as it is seen"},
}

// allowed is how long a client of a service may wait for a fault.
func allowed(f Fault, s service, slack float64) time.Duration {
	i := slices.IndexFunc(allowances, func(a Allowance) bool { return a.Kind == f.Kind })
	if i < 0 {
		return 0
	}
	most := allowances[i].Plain
	if s.guard != plain {
		most = allowances[i].Strict
	}
	return time.Duration(float64(most)*slack) + f.For
}

// concerns tells whether a fault can be felt by a service's clients.
func concerns(f Fault, s service) bool {
	switch f.Kind {
	case "move", "freeze", "process":
		return mustService(f.Target).unit == s.unit
	case "config":
		_, name, _ := strings.Cut(f.Target, "/")
		return mustService(name).unit == s.unit
	}
	return true // routing, and nodes with all they run
}

// after is how long a change may still be felt once its clients are served: nodes
// that come back do so after rejoin_hold, and what ran twice meanwhile is then
// stopped on one of them.
const after = time.Second

// causes lists the faults that were on in an outage, or just over.
func causes(e Evidence, o Absence, slack float64) (all []Applied) {
	s, _ := serviceNamed(o.Service)
	for _, a := range e.Applied {
		if a.Began.After(o.To) || !concerns(a.Fault, s) {
			continue
		}
		over := a.Mended
		if served, ok := e.served(a); ok {
			over = served
		}
		if over.IsZero() || !over.Add(time.Duration(float64(after)*slack)).Before(o.From) {
			all = append(all, a)
		}
	}
	return all
}

// served is when all clients were served again after one of the disturbances
// that come one after the other, zero if they never were; not ok for what is
// done beside them.
func (e Evidence) served(a Applied) (when time.Time, ok bool) {
	i := slices.IndexFunc(e.Rounds, func(c Course) bool { return c.Number == a.Round && c.Single != nil && *c.Single == a.Fault })
	if i < 0 {
		return time.Time{}, false
	}
	return e.Rounds[i].Whole, true
}

// SoakAudit applies the rules of a soak.
func SoakAudit(e Evidence, limits Limits, asked, failed int64) []Finding {
	var grown, unanswered []string
	for _, g := range Growths(e.Samples) {
		if !g.OK() {
			grown = append(grown, g.String())
		}
	}
	if failed*100 > asked {
		unanswered = []string{fmt.Sprintf("%d of %d", failed, asked)}
	}
	return audit(e, limits, slices.Concat(
		auditWaits(e, limits.slack()),
		findings(ruleEnded, auditLives(e)),
		findings(ruleMute, auditMute(e.Samples)),
		findings(ruleFlat, grown),
		findings(ruleAsk, unanswered)))
}

// auditWaits: nobody waits while nothing is wrong, nor longer than the table
// allows for all that is.
func auditWaits(e Evidence, slack float64) (all []Finding) {
	for _, o := range e.Outages {
		took := o.To.Sub(o.From)
		why := causes(e, o, slack)
		if len(why) == 0 {
			// A client that asks again may itself have waited for a processor.
			if o.Lost > 0 || took > time.Duration(float64(time.Second)*slack) {
				all = append(all, Finding{ruleUnexplained, o.String()})
			}
			continue
		}
		s, _ := serviceNamed(o.Service)
		var most time.Duration
		var names []string
		for _, a := range why {
			most += allowed(a.Fault, s, slack)
			names = append(names, a.String())
		}
		if took > most {
			all = append(all, Finding{ruleSlow, fmt.Sprintf("%s: %s; they allow %s", o, strings.Join(names, ", "), most)})
		}
	}
	return all
}

// auditLives: each node has had one srrd, and it was measured to the end.
func auditLives(e Evidence) (found []string) {
	first, last := map[string]Sample{}, map[string]Sample{}
	var end time.Time
	for _, s := range e.Samples {
		if before, ok := first[s.Node]; !ok {
			first[s.Node] = s
		} else if before.PID != s.PID {
			return append(found, fmt.Sprintf("%s: process %d at first, %d at %s", s.Node, before.PID, s.PID, s.At.Format("15:04:05")))
		}
		last[s.Node] = s
		if s.At.After(end) {
			end = s.At
		}
	}
	for _, n := range e.World.nodes {
		if s, ok := last[n]; !ok || end.Sub(s.At) > 10*sampleEvery {
			found = append(found, fmt.Sprintf("%s: not measured since %s", n, s.At.Format("15:04:05")))
		}
	}
	return found
}

// auditMute: of a node whose process was measured for long enough there is a
// trend to the end, or nobody could tell that nothing grows.
func auditMute(samples []Sample) (found []string) {
	measured, until := map[string]int{}, map[string]time.Time{}
	for _, s := range samples {
		measured[s.Node]++
		if s.At.After(until[s.Node]) {
			until[s.Node] = s.At
		}
	}
	told := byNode(samples)
	for _, n := range slices.Sorted(maps.Keys(measured)) {
		all := told[n]
		switch {
		case measured[n] < trendOf: // the report says that it is too short
		case len(settled(all)) < leastSamples:
			found = append(found, fmt.Sprintf("%s: its heap and its goroutines in %d of %d samples only", n, len(all), measured[n]))
		case until[n].Sub(all[len(all)-1].At) > 10*sampleEvery:
			found = append(found, fmt.Sprintf("%s: nothing of its heap and its goroutines since %s", n, all[len(all)-1].At.Format("15:04:05")))
		}
	}
	return found
}

// Growth is how a figure of a process changes with time: the median of the
// slopes between all pairs of its samples (Theil and Sen), which neither a
// garbage collector's saw teeth nor single peaks bend. The first third is left
// out, since caches and histories fill up then.
type Growth struct {
	Node   string
	What   string
	Unit   string
	Median float64
	Over   time.Duration // from the first sample that counts to the last
	By     float64       // in that time
	Most   float64
}

// OK tells whether it is flat.
func (g Growth) OK() bool { return g.By <= g.Most }

func (g Growth) String() string {
	return fmt.Sprintf("srrd of %s: %s, median %.0f %s, by %+.2f in %s; %.2f are allowed", g.Node, g.What, g.Median, g.Unit, g.By, g.Over.Round(time.Second), g.Most)
}

// figure is one thing that is measured.
type figure struct {
	what, unit string
	of         func(Sample) int
	// A growth of a share of the median, and of so much more, is no growth.
	share, more float64
}

var figures = []figure{
	{"resident memory", "KiB", func(s Sample) int { return s.RSS }, 0.05, 512},
	{"Go heap", "KiB", func(s Sample) int { return s.Heap }, 0.05, 512},
	{"descriptors", "", func(s Sample) int { return s.FDs }, 0, 1.5},
	{"goroutines", "", func(s Sample) int { return s.Goroutines }, 0, 1.5},
	{"threads", "", func(s Sample) int { return s.Tasks }, 0, 1.5},
}

// leastSamples is how many a trend needs, of trendOf in all.
const (
	leastSamples = 30
	trendOf      = leastSamples * 3 / 2
)

// settled leaves out the first third.
func settled(all []Sample) []Sample { return all[len(all)/3:] }

// byNode sorts samples; those without an answer of srrd's are left out.
func byNode(samples []Sample) map[string][]Sample {
	all := map[string][]Sample{}
	for _, s := range samples {
		if s.Goroutines > 0 && s.Heap > 0 {
			all[s.Node] = append(all[s.Node], s)
		}
	}
	for _, some := range all {
		slices.SortFunc(some, func(a, b Sample) int { return a.At.Compare(b.At) })
	}
	return all
}

// Growths are those of every srrd. One with too few samples has none.
func Growths(samples []Sample) (all []Growth) {
	nodes := byNode(samples)
	for _, n := range slices.Sorted(maps.Keys(nodes)) {
		late := settled(nodes[n])
		if len(late) < leastSamples {
			continue
		}
		over := late[len(late)-1].At.Sub(late[0].At)
		for _, f := range figures {
			m := float64(median(late, f.of))
			all = append(all, Growth{n, f.what, f.unit, m, over, slope(late, f.of) * over.Seconds(), m*f.share + f.more})
		}
	}
	return all
}

// slope is the median of the slopes between all pairs, a second.
func slope(all []Sample, of func(Sample) int) float64 {
	var slopes []float64
	for i, a := range all {
		for _, b := range all[i+1:] {
			if dt := b.At.Sub(a.At).Seconds(); dt > 0 {
				slopes = append(slopes, float64(of(b)-of(a))/dt)
			}
		}
	}
	if len(slopes) == 0 {
		return 0
	}
	slices.Sort(slopes)
	return slopes[len(slopes)/2]
}

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
		fmt.Fprintf(&b, "too short to tell whether anything grows: %d samples a process are wanted\n", trendOf)
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
