package lab

import (
	"fmt"
	"sort"
	"strings"
	"time"
)

// Sample is one datagram of a probe.
type Sample struct {
	Sent time.Duration // since the probe began
	By   string        // who answered within the grace, "" for nobody: lost
}

// PhaseMark names the time from At on, until the next mark.
type PhaseMark struct {
	Name string
	At   time.Duration
}

// Outage is a run of lost datagrams.
type Outage struct {
	// From is when the last datagram answered before was sent, To the first
	// answered after. At an open end (the probe began or ended in the outage)
	// it is the first or last lost one.
	From time.Duration `json:"from"`
	To   time.Duration `json:"to"`
	Lost int           `json:"lost"`
	// Before and After are who answered on either side, "" at an open end.
	Before string `json:"before"`
	After  string `json:"after"`
}

// Duration is how long the service was away, as the client sees it. It cannot
// be told finer than twice the probe's interval.
func (o Outage) Duration() time.Duration { return o.To - o.From }

// Switch is a change of who answers.
type Switch struct {
	At   time.Duration `json:"at"` // when the first datagram the new one answered was sent
	From string        `json:"from"`
	To   string        `json:"to"`
}

// PhaseReport accounts for the datagrams of one phase: those sent in it, and the
// outages whose first lost datagram was sent in it, to their end.
type PhaseReport struct {
	Name     string         `json:"name"`
	From     time.Duration  `json:"from"`
	To       time.Duration  `json:"to"`
	Sent     int            `json:"sent"`
	Lost     int            `json:"lost"`
	ByNode   map[string]int `json:"by"`
	Outages  []Outage       `json:"outages"`
	Switches []Switch       `json:"switches"`
}

// Longest returns the longest outage of the phase; zero if there was none.
func (p PhaseReport) Longest() Outage {
	var out Outage
	for _, o := range p.Outages {
		if o.Duration() > out.Duration() {
			out = o
		}
	}
	return out
}

// Line is the phase in one line: NAME from=WHO to=WHO lost=N outage_ms=X, where
// from and to are who answered first and last, and X is the longest outage.
func (p PhaseReport) Line() string {
	from, to := "", ""
	if len(p.Switches) > 0 {
		from, to = p.Switches[0].From, p.Switches[len(p.Switches)-1].To
	} else {
		for who := range p.ByNode { // without a switch there is one answerer at most
			from, to = who, who
		}
	}
	return fmt.Sprintf("%s from=%s to=%s lost=%d outage_ms=%s", p.Name, orDash(from), orDash(to), p.Lost, millis(p.Longest().Duration()))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }

// Account turns samples, in the order they were sent, into one report for each
// phase. Samples before the first mark belong to a phase named "start". It is a
// pure function: nothing in it depends on when it is called.
func Account(samples []Sample, marks []PhaseMark, end time.Duration) []PhaseReport {
	marks = append([]PhaseMark(nil), marks...)
	sort.SliceStable(marks, func(i, j int) bool { return marks[i].At < marks[j].At })
	if len(marks) == 0 || marks[0].At > 0 {
		marks = append([]PhaseMark{{Name: "start"}}, marks...)
	}
	out := make([]PhaseReport, len(marks))
	for i, m := range marks {
		out[i] = PhaseReport{Name: m.Name, From: m.At, To: end, ByNode: map[string]int{}}
		if i > 0 {
			out[i-1].To = m.At
		}
	}
	phase := 0
	var open *Outage                    // the outage being measured
	openPhase := 0                      // where it began
	last, since := "", time.Duration(0) // who answered last, and to what was sent when
	for _, s := range samples {
		for phase+1 < len(marks) && s.Sent >= marks[phase+1].At {
			phase++
		}
		p := &out[phase]
		p.Sent++
		if s.By == "" {
			p.Lost++
			if open == nil {
				open, openPhase = &Outage{From: since, Before: last}, phase
				if last == "" {
					open.From = s.Sent
				}
			}
			open.Lost++
			open.To = s.Sent
			continue
		}
		p.ByNode[s.By]++
		if open != nil {
			open.To, open.After = s.Sent, s.By
			out[openPhase].Outages = append(out[openPhase].Outages, *open)
		}
		if last != "" && s.By != last {
			at := phase
			if open != nil {
				at = openPhase // the switch belongs to the outage it ended
			}
			out[at].Switches = append(out[at].Switches, Switch{s.Sent, last, s.By})
		}
		open, last, since = nil, s.By, s.Sent
	}
	if open != nil {
		out[openPhase].Outages = append(out[openPhase].Outages, *open)
	}
	return out
}

// Report is the result of a probe.
type Report struct {
	Target   string        `json:"target"`
	Began    time.Time     `json:"began"`
	Interval time.Duration `json:"interval"`
	Total    PhaseReport   `json:"total"`
	Phases   []PhaseReport `json:"phases"`
	// Late counts answers that came after the grace; their datagrams are lost.
	Late int `json:"late"`
	// MaxGap is the longest time between two datagrams: where it is far above
	// Interval, the machine was too busy for the probe to be exact.
	MaxGap time.Duration `json:"max_gap"`
	TCP    *TCPReport    `json:"tcp,omitempty"`
}

// TCPReport accounts for the connections of a probe.
type TCPReport struct {
	Opened int            `json:"opened"`
	Failed int            `json:"failed"`
	ByNode map[string]int `json:"by"`
	// Outages are measured as those of datagrams, by the time of the attempt.
	Outages []Outage `json:"outages"`
	// LastError is what the last failed attempt said.
	LastError string `json:"last_error,omitempty"`
}

// Phase returns the report of the first phase of that name.
func (r *Report) Phase(name string) (PhaseReport, bool) {
	for _, p := range r.Phases {
		if p.Name == name {
			return p, true
		}
	}
	return PhaseReport{}, false
}

// String is the report as people read it.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "probe of %s, every %s: %d sent, %d lost, %d late, longest gap between two %s ms\n",
		r.Target, r.Interval, r.Total.Sent, r.Total.Lost, r.Late, millis(r.MaxGap))
	for _, who := range sortedKeys(r.Total.ByNode) {
		fmt.Fprintf(&b, "answered by %s: %d\n", who, r.Total.ByNode[who])
	}
	for _, p := range r.Phases {
		fmt.Fprintln(&b, p.Line())
		for _, o := range p.Outages {
			fmt.Fprintf(&b, "  outage at %s ms: %s ms, lost %d, %s -> %s\n", millis(o.From), millis(o.Duration()), o.Lost, orDash(o.Before), orDash(o.After))
		}
		for _, s := range p.Switches {
			fmt.Fprintf(&b, "  switch at %s ms: %s -> %s\n", millis(s.At), s.From, s.To)
		}
	}
	if t := r.TCP; t != nil {
		fmt.Fprintf(&b, "tcp: %d opened, %d failed", t.Opened, t.Failed)
		if t.LastError != "" {
			fmt.Fprintf(&b, " (last: %s)", t.LastError)
		}
		b.WriteByte('\n')
		for _, who := range sortedKeys(t.ByNode) {
			fmt.Fprintf(&b, "tcp answered by %s: %d\n", who, t.ByNode[who])
		}
		for _, o := range t.Outages {
			fmt.Fprintf(&b, "  tcp outage at %s ms: %s ms, %d attempts, %s -> %s\n", millis(o.From), millis(o.Duration()), o.Lost, orDash(o.Before), orDash(o.After))
		}
	}
	return b.String()
}

func sortedKeys(m map[string]int) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
