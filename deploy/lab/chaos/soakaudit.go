package chaos

import (
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
	measured, told := byNode(samples, func(Sample) bool { return true }), byNode(samples, answered)
	for _, n := range slices.Sorted(maps.Keys(measured)) {
		taken, all := measured[n], told[n]
		switch {
		case len(settled(taken)) < leastSamples: // the report says that it is too short
		case len(settled(all)) < leastSamples:
			found = append(found, fmt.Sprintf("%s: its heap and its goroutines in %d of %d samples only", n, len(all), len(taken)))
		case taken[len(taken)-1].At.Sub(all[len(all)-1].At) > 10*sampleEvery:
			found = append(found, fmt.Sprintf("%s: nothing of its heap and its goroutines since %s", n, all[len(all)-1].At.Format("15:04:05")))
		}
	}
	return found
}
