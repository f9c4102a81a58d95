package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Report is what a run found, for people.
type Report struct {
	Seed     uint64
	Limits   Limits
	Findings []Finding
	Evidence Evidence
	Keep     string
}

func newReport(c Config, e Evidence) *Report {
	return &Report{c.Seed, c.Limits, Audit(e, c.Limits), e, c.Keep}
}

// OK tells whether nothing was found.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

// String is the report as people read it.
func (r *Report) String() string {
	var b strings.Builder
	e := r.Evidence
	fmt.Fprintf(&b, "chaos seed=%d rounds=%d faults=%d took=%s\n", r.Seed, len(e.Rounds), len(e.Applied), e.Ended.Sub(e.Began).Round(time.Second))
	var recover []time.Duration
	byHand := 0
	for _, c := range e.Rounds {
		if !c.Whole.IsZero() {
			recover = append(recover, c.Whole.Sub(c.Mended))
		}
		byHand += len(c.Settled)
	}
	fmt.Fprintf(&b, "whole after the last repair: %s (bound %s); %d times an operator had to act\n", spread(recover), r.Limits.Settle, byHand)
	for _, s := range services {
		var took []time.Duration
		for _, o := range e.Outages {
			if o.Service == s.name {
				took = append(took, o.To.Sub(o.From))
			}
		}
		starts := 0
		for _, l := range e.Lines {
			if l.Service == s.name && l.Primitive == "start" && l.Moment == begins {
				starts++
			}
		}
		fmt.Fprintf(&b, "%-7s started %3d times", s.name, starts)
		if s.address.IsValid() {
			fmt.Fprintf(&b, "; %d outages: %s", len(took), spread(took))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "records: %d acknowledged, %d lost\n", len(e.Acks), e.lost())
	peak := Sample{}
	for _, s := range e.Samples {
		peak.RSS, peak.FDs, peak.Tasks = max(peak.RSS, s.RSS), max(peak.FDs, s.FDs), max(peak.Tasks, s.Tasks)
	}
	fmt.Fprintf(&b, "srrd: at most %.1f MiB resident, %d descriptors, %d threads, in %d samples\n", float64(peak.RSS)/1024, peak.FDs, peak.Tasks, len(e.Samples))
	count := map[string]int{}
	for _, f := range e.Applied {
		count[f.Kind]++
	}
	b.WriteString("faults:")
	for _, k := range kinds {
		if n := count[k.name]; n > 0 {
			fmt.Fprintf(&b, " %s %d,", k.name, n)
		}
	}
	text := strings.TrimSuffix(b.String(), ",")
	b.Reset()
	b.WriteString(text + "\n")
	b.WriteString(verdict("chaos", r.Findings, r.Keep))
	return b.String()
}

// verdict is how a report of what was run ends.
func verdict(what string, findings []Finding, keep string) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "FINDING %s\n", f)
	}
	if len(findings) == 0 {
		fmt.Fprintf(&b, "%s: ok\n", what)
	} else {
		fmt.Fprintf(&b, "%s: %d findings; logs and journals are in %s\n", what, len(findings), keep)
	}
	return b.String()
}

// spread is a handful of times in words.
func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	all = slices.Clone(all)
	slices.Sort(all)
	ms := func(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }
	return fmt.Sprintf("median %s, longest %s", ms(all[len(all)/2]), ms(all[len(all)-1]))
}

// Write puts the report, the merged journal, the faults and the samples
// beside the logs.
func (r *Report) Write() error {
	var samples strings.Builder
	samples.WriteString("seconds\tnode\tpid\trss_kib\tdescriptors\tthreads\n")
	for _, s := range r.Evidence.Samples {
		fmt.Fprintf(&samples, "%.1f\t%s\t%d\t%d\t%d\t%d\n", s.At.Sub(r.Evidence.Began).Seconds(), s.Node, s.PID, s.RSS, s.FDs, s.Tasks)
	}
	rounds, err := json.MarshalIndent(r.Evidence.Rounds, "", " ")
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"report.txt": r.String(), "journal.txt": r.journal(), "samples.tsv": samples.String(), "rounds.json": string(rounds) + "\n"} {
		if err := os.WriteFile(filepath.Join(r.Keep, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// journal is that of all nodes, with the faults and the outages, in the order
// of time.
func (r *Report) journal() string {
	var journal strings.Builder
	type entry struct {
		at   time.Time
		text string
	}
	var all []entry
	for _, l := range r.Evidence.Lines {
		all = append(all, entry{l.At, l.String()})
	}
	for _, f := range r.Evidence.Applied {
		all = append(all, entry{f.Began, fmt.Sprintf("%s ---- fault: %s %s", f.Began.Format("15:04:05.000"), f, f.Note)})
		if f.For > 0 {
			all = append(all, entry{f.Mended, fmt.Sprintf("%s ---- mended: %s", f.Mended.Format("15:04:05.000"), f)})
		}
	}
	for _, o := range r.Evidence.Outages {
		all = append(all, entry{o.From, fmt.Sprintf("%s ---- outage of %s: %s", o.From.Format("15:04:05.000"), o.Service, o.To.Sub(o.From).Round(time.Millisecond))})
	}
	slices.SortStableFunc(all, func(a, b entry) int { return a.at.Compare(b.at) })
	for _, e := range all {
		journal.WriteString(e.text + "\n")
	}
	return journal.String()
}
