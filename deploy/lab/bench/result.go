package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Result is all runs of a row.
type Result struct {
	Row      Row
	Outcomes []Outcome
	// NotRun is why there are none.
	NotRun string
}

// percentile is the nearest rank: the smallest value that at least p of 100 do
// not exceed. It is one that was measured, never a mean of two.
func percentile[T cmp.Ordered](all []T, p int) T {
	var zero T
	if len(all) == 0 {
		return zero
	}
	sorted := slices.Clone(all)
	slices.Sort(sorted)
	return sorted[max(0, (p*len(sorted)+99)/100-1)]
}

func column[T any](r Result, f func(Outcome) T) []T {
	var out []T
	for _, o := range r.Outcomes {
		out = append(out, f(o))
	}
	return out
}

func (r Result) lost() []int { return column(r, func(o Outcome) int { return o.Lost }) }
func (r Result) outages() []time.Duration {
	return column(r, func(o Outcome) time.Duration { return o.Outage })
}

// beyond is what the outages have beyond the primitives' own time.
func (o Outcome) beyond() time.Duration { return o.Outage - o.Own }

// judged is what the row's goal is of.
func (o Outcome) judged(row *Row) time.Duration {
	if row.Beyond {
		return o.beyond()
	}
	return o.Outage
}

// tells reports whether primitives told of their time. Of a run that did not come
// so far nothing is subtracted.
func (r Result) tells() bool {
	return slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return o.Tells })
}

func (r Result) owns() []time.Duration {
	return column(r, func(o Outcome) time.Duration { return o.Own })
}
func (r Result) beyonds() []time.Duration { return column(r, Outcome.beyond) }
func (r Result) switches() []int          { return column(r, func(o Outcome) int { return o.Switches }) }

// phase gives what was reached of a phase, or of a router, in any run.
func (r Result) phase(of func(Outcome) map[string]time.Duration, name string) []time.Duration {
	var out []time.Duration
	for _, o := range r.Outcomes {
		if at, ok := of(o)[name]; ok {
			out = append(out, at)
		}
	}
	return out
}

func phases(o Outcome) map[string]time.Duration { return o.Phases }
func went(o Outcome) map[string]time.Duration   { return o.Went }

// Errors are those of its runs.
func (r Result) Errors() []string {
	var all []string
	for i, o := range r.Outcomes {
		if o.Err != "" {
			all = append(all, fmt.Sprintf("%s, run %d: %s", r.Row.Name, i+1, o.Err))
		}
	}
	if r.NotRun != "" {
		all = append(all, fmt.Sprintf("%s was not run: %s", r.Row.Name, r.NotRun))
	}
	return all
}

// Misses says in what a row misses its goal, "" for nothing.
func (r Result) Misses() string {
	if r.Row.Goal < 0 || len(r.Outcomes) == 0 {
		return ""
	}
	if most := percentile(r.lost(), 100); r.Row.Goal == 0 && most > 0 {
		return fmt.Sprintf("%s lost %d packets, none may be lost", r.Row.Name, most)
	}
	if r.Row.Beyond {
		if p95 := percentile(r.beyonds(), 95); p95 > r.Row.Goal {
			return fmt.Sprintf("%s: the outage is %s ms beyond the primitives' own time at p95, the goal %s ms", r.Row.Name, ms(p95), ms(r.Row.Goal))
		}
		return ""
	}
	if p95 := percentile(r.outages(), 95); p95 > r.Row.Goal {
		return fmt.Sprintf("%s: the outage is %s ms at p95, the goal %s ms", r.Row.Name, ms(p95), ms(r.Row.Goal))
	}
	return ""
}

// typeFive is the time from which on the 1 s timer of ospfd for type 5 routes
// (OSPF_ASE_CALC_INTERVAL) would show in the routers' old next hops.
const typeFive = 900 * time.Millisecond

// TypeFive says where that timer may have shown: after the client was answered
// again, a router kept its old next hop for so long.
func (r Result) TypeFive() string {
	for i, o := range r.Outcomes {
		for _, router := range sortedKeys(o.Went) {
			if over := o.Went[router] - o.Phases["seen"]; o.Phases["seen"] > 0 && over > typeFive {
				return fmt.Sprintf("%s, run %d: %s kept its old next hop for %s ms after the client saw the new one", r.Row.Name, i+1, router, ms(over))
			}
		}
	}
	return ""
}

// Figures is a result as programs read it.
type Figures struct {
	Fault    string   `json:"fault"`
	N        int      `json:"n"`
	Goal     *float64 `json:"goal_ms"`
	LostP50  *int     `json:"lost_p50"`
	LostMax  *int     `json:"lost_max"`
	P50      *float64 `json:"outage_ms_p50"`
	P95      *float64 `json:"outage_ms_p95"`
	Max      *float64 `json:"outage_ms_max"`
	Switches *int     `json:"switches_max"`
	// Of a row whose primitives tell of their own time: how much of the outage that
	// was, and the rest. Where the goal is of the rest, it stands here and not above.
	OwnP50     *float64 `json:"primitives_ms_p50,omitempty"`
	BeyondGoal *float64 `json:"beyond_goal_ms,omitempty"`
	BeyondP50  *float64 `json:"beyond_ms_p50,omitempty"`
	BeyondP95  *float64 `json:"beyond_ms_p95,omitempty"`
	BeyondMax  *float64 `json:"beyond_ms_max,omitempty"`
}

// Figures sums a result up. What was not run has n 0 and null.
func (r Result) Figures() Figures {
	f := Figures{Fault: r.Row.Name, N: len(r.Outcomes)}
	switch {
	case r.Row.Beyond:
		f.BeyondGoal = inMS(r.Row.Goal)
	case r.Row.Goal >= 0:
		f.Goal = inMS(r.Row.Goal)
	}
	if f.N == 0 {
		return f
	}
	lost, out := r.lost(), r.outages()
	p50, most, switches := percentile(lost, 50), percentile(lost, 100), percentile(r.switches(), 100)
	f.LostP50, f.LostMax, f.Switches = &p50, &most, &switches
	f.P50, f.P95, f.Max = inMS(percentile(out, 50)), inMS(percentile(out, 95)), inMS(percentile(out, 100))
	if r.tells() {
		f.OwnP50 = inMS(percentile(r.owns(), 50))
		rest := r.beyonds()
		f.BeyondP50, f.BeyondP95, f.BeyondMax = inMS(percentile(rest, 50)), inMS(percentile(rest, 95)), inMS(percentile(rest, 100))
	}
	return f
}

func inMS(d time.Duration) *float64 {
	v := float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
	return &v
}

// WriteJSON writes an object for each row, a line each.
func WriteJSON(w io.Writer, results []Result) error {
	enc := json.NewEncoder(w)
	for _, r := range results {
		if err := enc.Encode(r.Figures()); err != nil {
			return err
		}
	}
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// ratios tell how many times as long the outage of a peer is as that of the rows
// it is held against, both p50.
func (r Result) ratios(results []Result) string {
	var all []string
	for _, name := range r.Row.against {
		at := slices.IndexFunc(results, func(o Result) bool { return o.Row.Name == name && len(o.Outcomes) > 0 })
		if at < 0 || len(r.Outcomes) == 0 {
			continue
		}
		ours, theirs := percentile(results[at].outages(), 50), percentile(r.outages(), 50)
		text := fmt.Sprintf("%.1f x %s", float64(theirs)/float64(max(ours, 1)), name)
		if ours == 0 {
			text = "none lost with " + name
		}
		all = append(all, text)
	}
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, ", ")
}

// beyondWords follow a goal that is of what an outage has beyond its primitives.
func (r Result) beyondWords() string {
	if r.Row.Beyond {
		return " + primitives"
	}
	return ""
}

// cells of the table of a result: what people want to see first.
func (r Result) cells(results []Result) []string {
	goal, verdict := "-", "-"
	switch {
	case r.Row.Goal == 0:
		goal = "none lost"
	case r.Row.Goal > 0:
		goal = "<= " + strings.TrimSuffix(ms(r.Row.Goal), ".0") + r.beyondWords()
	}
	switch {
	case r.NotRun != "":
		verdict = "NOT RUN"
	case len(r.Errors()) > 0:
		verdict = "ERROR"
	case r.Misses() != "":
		verdict = "missed"
	case r.Row.Goal >= 0:
		verdict = "ok"
	}
	if len(r.Outcomes) == 0 {
		return []string{r.Row.Name, goal, "0", "-", "-", "-", "-", "-", "-", "-", "-", verdict, "-"}
	}
	lost, out := r.lost(), r.outages()
	back := column(r, func(o Outcome) int { return o.ReturnLost })
	return []string{r.Row.Name, goal, fmt.Sprint(len(r.Outcomes)),
		fmt.Sprint(percentile(lost, 50)), fmt.Sprint(percentile(lost, 100)),
		ms(percentile(out, 50)), ms(percentile(out, 95)), ms(percentile(out, 100)),
		fmt.Sprint(percentile(r.switches(), 100)), fmt.Sprint(percentile(back, 100)),
		fmt.Sprint(percentile(column(r, func(o Outcome) int { return o.TCPFailed }), 100)), verdict, r.ratios(results)}
}

var heads = []string{"fault", "goal ms", "n", "lost p50", "max", "outage p50", "p95", "max", "switches", "return lost max", "tcp failed max", "goal", "outage p50 is"}

// phaseCells are when the phases were reached, p50, and when the routers let go
// of the old next hop, p50/max.
func (r Result) phaseCells(routers []string) []string {
	cells := []string{r.Row.Name}
	for _, name := range PhaseNames {
		if all := r.phase(phases, name); len(all) > 0 {
			cells = append(cells, ms(percentile(all, 50)))
		} else {
			cells = append(cells, "-")
		}
	}
	for _, router := range routers {
		if all := r.phase(went, router); len(all) > 0 {
			cells = append(cells, ms(percentile(all, 50))+" / "+ms(percentile(all, 100)))
		} else {
			cells = append(cells, "keeps it")
		}
	}
	return cells
}

func routersOf(results []Result) []string {
	all := map[string]bool{}
	for _, r := range results {
		for _, o := range r.Outcomes {
			for router := range o.Went {
				all[router] = true
			}
		}
	}
	return sortedKeys(all)
}

func phaseHeads(routers []string) []string {
	h := append([]string{"fault"}, PhaseNames...)
	for _, r := range routers {
		h = append(h, r+" let go, p50 / max")
	}
	return h
}

var ownHeads = []string{"fault", "outage p50", "p95", "max", "the primitives' own p50", "p95", "max", "the rest p50", "p95", "max"}

// ownCells are the outages of a row whose primitives tell, and what they are of.
func (r Result) ownCells() []string {
	cells := []string{r.Row.Name}
	for _, all := range [][]time.Duration{r.outages(), r.owns(), r.beyonds()} {
		for _, p := range []int{50, 95, 100} {
			cells = append(cells, ms(percentile(all, p)))
		}
	}
	return cells
}

// WriteTable writes the tables to read.
func WriteTable(w io.Writer, results []Result) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(cells []string) { fmt.Fprintln(t, strings.Join(cells, "\t")) }
	row(heads)
	for _, r := range results {
		row(r.cells(results))
	}
	routers := routersOf(results)
	fmt.Fprintf(t, "\nmilliseconds from the fault to each phase, p50; seen: a datagram sent then was answered by the new node\n")
	row(phaseHeads(routers))
	for _, r := range results {
		if len(r.Outcomes) > 0 {
			row(r.phaseCells(routers))
		}
	}
	if slices.ContainsFunc(results, Result.tells) {
		fmt.Fprintf(t, "\nwhat the primitives took themselves, in each run subtracted from its outage\n")
		row(ownHeads)
		for _, r := range results {
			if r.tells() {
				row(r.ownCells())
			}
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return writeRemarks(w, results)
}

// writeRemarks writes what has to be known beside the figures.
func writeRemarks(w io.Writer, results []Result) error {
	var b strings.Builder
	runs, loaded, full := 0, 0, 0
	for _, r := range results {
		for _, text := range append(r.Errors(), r.Misses(), r.TypeFive()) {
			if text != "" {
				fmt.Fprintf(&b, "! %s\n", text)
			}
		}
		for _, o := range r.Outcomes {
			runs++
			if o.MaxGap > busy {
				loaded++
			}
			if o.Dropped > 0 {
				full++
			}
		}
	}
	if loaded > 0 {
		fmt.Fprintf(&b, "In %d of %d runs the machine was too busy to send a datagram in time, once by more than %s ms: outages may be shorter than told.\n", loaded, runs, ms(busy))
	}
	if full > 0 {
		fmt.Fprintf(&b, "In %d of %d runs the machine's kernel had no time for packets and dropped some (/proc/net/softnet_stat): they count as lost.\n", full, runs)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// short are the cells of the short table: what is done, what the client saw, what
// is wanted of it. What misses that is bold.
func (r Result) short() []string {
	goal := ""
	switch {
	case r.Row.Goal == 0:
		goal = "0 lost"
	case r.Row.Goal > 0:
		goal = strings.TrimSuffix(ms(r.Row.Goal), ".0") + r.beyondWords()
	}
	if len(r.Outcomes) == 0 {
		return []string{r.Row.About, "not run", "", goal, "0"}
	}
	out, lost := r.outages(), percentile(r.lost(), 100)
	three := func(all []time.Duration) string {
		return fmt.Sprintf("%s / %s / %s", whole(percentile(all, 50)), whole(percentile(all, 95)), whole(percentile(all, 100)))
	}
	seen := three(out)
	if r.tells() {
		seen += "; beyond the primitives' own time " + three(r.beyonds())
	}
	if lost == 0 && percentile(out, 100) == 0 {
		seen = "no packet lost"
	}
	if r.Misses() != "" {
		seen = "**" + seen + "**"
	}
	if len(r.Errors()) > 0 {
		seen += " (see below)"
	}
	return []string{r.Row.About, seen, fmt.Sprint(lost), goal, fmt.Sprint(len(r.Outcomes))}
}

// whole are milliseconds: whole ones where a tenth says nothing.
func whole(d time.Duration) string {
	if d >= 100*time.Millisecond {
		return fmt.Sprint(d.Round(time.Millisecond).Milliseconds())
	}
	return strings.TrimSuffix(ms(d), ".0")
}

var shortHeads = []string{"what happens", "outage ms, median / p95 / worst", "lost, most", "goal", "runs"}

// WriteMarkdown writes tables for a document: a short one to begin with, and those
// of WriteTable.
func WriteMarkdown(w io.Writer, results []Result) error {
	var b strings.Builder
	row := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	rule := func(n int) { row(slices.Repeat([]string{"---"}, n)) }
	row(shortHeads)
	rule(len(shortHeads))
	for _, r := range results {
		row(r.short())
	}
	b.WriteByte('\n')
	row(heads)
	rule(len(heads))
	for _, r := range results {
		row(r.cells(results))
	}
	routers := routersOf(results)
	h := phaseHeads(routers)
	b.WriteByte('\n')
	row(h)
	rule(len(h))
	for _, r := range results {
		if len(r.Outcomes) > 0 {
			row(r.phaseCells(routers))
		}
	}
	if slices.ContainsFunc(results, Result.tells) {
		b.WriteByte('\n')
		row(ownHeads)
		rule(len(ownHeads))
		for _, r := range results {
			if r.tells() {
				row(r.ownCells())
			}
		}
	}
	b.WriteByte('\n')
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	return writeRemarks(w, results)
}
