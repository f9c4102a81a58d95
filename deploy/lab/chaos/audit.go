package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Finding is something that must not be.
type Finding struct {
	Rule string
	Text string
}

func (f Finding) String() string { return f.Rule + ": " + f.Text }

// Limits are the bounds of time.
type Limits struct {
	// Settle is how long after the last repair everything must be whole.
	Settle time.Duration
	// Plain and Strict bound a client's outage by a single fault that has nothing
	// to do with how long the fault lasts, without and with lost_hold.
	Plain, Strict time.Duration
	// Quiet bounds an outage while nothing is wrong.
	Quiet time.Duration
}

// DefaultLimits are generous: ten times what an idle machine shows.
func DefaultLimits() Limits {
	return Limits{Settle: 90 * time.Second, Plain: 15 * time.Second, Strict: lostHold + 25*time.Second, Quiet: 5 * time.Second}
}

// Times multiplies all bounds, for a machine that is slower still.
func (l Limits) Times(x float64) Limits {
	by := func(d time.Duration) time.Duration { return time.Duration(float64(d) * x) }
	return Limits{by(l.Settle), by(l.Plain), by(l.Strict), by(l.Quiet)}
}

// slack is how much more patience than by default is asked for.
func (l Limits) slack() float64 { return float64(l.Settle) / float64(DefaultLimits().Settle) }

// The rules, as they are called in the report.
const (
	ruleTwice    = "a resource ran twice"
	ruleSequence = "an illegal sequence of primitives"
	ruleClaim    = "a claim that was used before"
	ruleRecord   = "a record is lost"
	ruleWhole    = "not whole in time"
	ruleOutage   = "an outage longer than its fault allows"
	ruleLeft     = "left over"
	ruleFlat     = "grows"
	ruleLog      = "in a log"
	ruleTrouble  = "chaos could not do its work"
	ruleIdle     = "nothing happened"
)

// Audit applies every rule of a run of rounds.
func Audit(e Evidence, limits Limits) []Finding {
	return audit(e, limits, slices.Concat(
		findings(ruleOutage, auditOutages(e, limits)),
		findings(ruleFlat, auditFlat(e.Samples))))
}

// audit applies the rules of every use of the lab. It puts what the rules of the
// one use found among it: first what must never be, last what chaos itself could
// not do.
func audit(e Evidence, limits Limits, own []Finding) []Finding {
	lines := slices.Clone(e.Lines)
	sortLines(lines)
	return slices.Concat(
		findings(ruleTwice, auditTwice(e, lines)),
		findings(ruleSequence, auditSequence(lines)),
		findings(ruleClaim, auditClaims(e.World, lines)),
		findings(ruleRecord, auditRecords(e)),
		findings(ruleWhole, auditWhole(e, limits)),
		own,
		findings(ruleLeft, e.Left),
		findings(ruleLog, e.Logs),
		findings(ruleTrouble, e.Trouble),
		findings(ruleIdle, auditIdle(e, lines)))
}

// findings are what one rule found.
func findings(rule string, texts []string) (all []Finding) {
	for _, t := range texts {
		all = append(all, Finding{rule, t})
	}
	return all
}

// runs follows where a service runs, by the journals alone and to the safe side:
// from the beginning of its start to the successful end of its stop.
type runs struct {
	since map[string]map[string]Line // service -> node -> the start
}

func (r *runs) take(l Line) {
	if r.since == nil {
		r.since = map[string]map[string]Line{}
	}
	if l.Service == "" {
		if l.Primitive == "reboot" || l.Primitive == isReset {
			for _, on := range r.since {
				delete(on, l.Node)
			}
		}
		return
	}
	on := r.since[l.Service]
	if on == nil {
		on = map[string]Line{}
		r.since[l.Service] = on
	}
	switch {
	case (l.Primitive == "start" || l.Primitive == "restart") && l.Moment == begins:
		if _, ok := on[l.Node]; !ok {
			on[l.Node] = l
		}
	case l.Primitive == "stop" && l.Moment == ends && l.Status == 0:
		delete(on, l.Node)
	case l.Primitive == "fence" && l.Moment == ends && l.Status == 0:
		delete(on, l.Peer)
	}
}

// auditTwice finds starts of what runs elsewhere.
func auditTwice(e Evidence, lines []Line) (found []string) {
	var r runs
	unled := map[string]bool{}
	for _, l := range lines {
		if l.Service == "" {
			switch l.Primitive {
			case "srrd gone":
				unled[l.Node] = true
			case "srrd here":
				delete(unled, l.Node)
			}
		}
		s, known := serviceNamed(l.Service)
		s.guard = e.World.guard(s)
		if known && s.guard != plain && (l.Primitive == "start" || l.Primitive == "restart") && l.Moment == begins {
			for _, other := range slices.Sorted(maps.Keys(r.since[l.Service])) {
				since := r.since[l.Service][other]
				switch {
				case other == l.Node:
				case s.guard == fenced:
					found = append(found, fmt.Sprintf("%s, while it runs on %s (%s): it has a fence", l, other, since))
				case unled[other]:
					// Without a fence a service whose srrd is gone is taken over
					// after lost_hold (DESIGN section 5).
				case s.guard == majority:
					found = append(found, fmt.Sprintf("%s, while it runs on %s (%s): only a majority may start it", l, other, since))
				case e.connectedSince(l.Node, other, l.At.Add(-parted), l.At):
					found = append(found, fmt.Sprintf("%s, while it runs on %s (%s), and the two are connected", l, other, since))
				}
			}
		}
		r.take(l)
	}
	return found
}

// parted is how long two nodes must have been connected to count as such: the
// dead interval, a stop, and the news of it.
const parted = 10 * time.Second

// auditSequence walks the journal of each service on each node.
func auditSequence(lines []Line) (found []string) {
	type place struct{ node, service string }
	type history struct {
		active  bool
		started bool  // start has ended well, stop not
		open    *Line // a primitive that has begun
		next    *Line // one that began before open had ended
	}
	all := map[place]*history{}
	at := func(node, service string) *history {
		k := place{node, service}
		if all[k] == nil {
			all[k] = &history{}
		}
		return all[k]
	}
	for _, l := range lines {
		if l.Service == "" {
			for k, h := range all {
				switch {
				case k.node != l.Node:
				case l.Primitive == "reboot", l.Primitive == isReset:
					*h = history{}
				case l.Primitive == "srrd gone":
					h.open, h.next = nil, nil // its primitives outlive it, and its next life may not know
				}
			}
			continue
		}
		h := at(l.Node, l.Service)
		if l.Primitive == "fence" {
			if l.Moment == ends && l.Status == 0 {
				at(l.Peer, l.Service).started = false
			}
			continue // it is about another node
		}
		say := func(format string, args ...any) {
			found = append(found, l.String()+": "+fmt.Sprintf(format, args...))
		}
		if l.Moment != begins {
			switch {
			case h.next != nil && h.open != nil && h.open.Primitive == l.Primitive && h.next.Primitive != l.Primitive:
				say("%s has begun before", *h.next)
				h.open, h.next = h.next, nil
			default:
				h.open, h.next = nil, nil
			}
			if l.Moment == ends && l.Status == 0 {
				switch l.Primitive {
				case "activate":
					h.active = true
				case "deactivate":
					h.active = false
				case "start", "restart":
					h.started = true
				case "stop":
					h.started = false
				}
			}
			continue
		}
		// Of a primitive that was killed hard no end is written: only an end
		// that comes later shows that two ran at once.
		if h.open != nil {
			h.next = &l
		} else {
			h.open = &l
		}
		switch l.Primitive {
		case "start":
			if !h.active {
				say("not activated")
			}
			if l.Service == "ledger" && !at(l.Node, "disk").started {
				say("the disk it depends on has not started there")
			}
		case "stop":
			if l.Service == "disk" && at(l.Node, "ledger").started {
				say("the ledger that depends on it has not stopped there")
			}
		case "deactivate":
			if h.started {
				say("it runs")
			}
		}
	}
	return found
}

// auditClaims: a claim belongs to one start, on one node; of what must not run
// twice claims rise.
func auditClaims(w world, lines []Line) (found []string) {
	type key struct {
		service string
		claim   uint64
	}
	used, over := map[key]Line{}, map[key]bool{}
	highest := map[string]Line{}
	last := map[[2]string]uint64{} // service and node -> claim of the last start
	for _, l := range lines {
		switch {
		case l.Primitive == isReset:
			// Who shot it may not have heard of its claim: each part of a
			// partition counts on by itself, where only a fence guards.
			for _, s := range services {
				if s.guard == fenced && highest[s.name].Node == l.Node {
					delete(highest, s.name)
				}
			}
		case l.Service == "":
		case l.Primitive == "stop" && l.Moment == ends && l.Status == 0:
			if c := last[[2]string{l.Service, l.Node}]; c != 0 {
				over[key{l.Service, c}] = true
			}
		case l.Primitive == "start" && l.Moment == begins:
			k := key{l.Service, l.Claim}
			before, seen := used[k]
			switch {
			case l.Claim == 0:
				found = append(found, fmt.Sprintf("%s: no claim at all", l))
			case seen && before.Node != l.Node:
				found = append(found, fmt.Sprintf("%s: %s had it", l, before))
			case seen && over[k]:
				found = append(found, fmt.Sprintf("%s: it was stopped since %s", l, before))
			}
			s, _ := serviceNamed(l.Service)
			if top := highest[l.Service]; w.guard(s) >= majority && l.Claim < top.Claim {
				found = append(found, fmt.Sprintf("%s: lower than that of %s", l, top))
			}
			used[k] = l
			if l.Claim > highest[l.Service].Claim {
				highest[l.Service] = l
			}
			last[[2]string{l.Service, l.Node}] = l.Claim
		}
	}
	return found
}

// auditRecords: what was acknowledged is stored.
func auditRecords(e Evidence) (found []string) {
	for _, a := range e.Acks {
		if !e.Stored[a.Number] {
			found = append(found, fmt.Sprintf("record %d, acknowledged by %s at %s", a.Number, a.By, a.At.Format("15:04:05.000")))
		}
	}
	if len(found) > 20 {
		found = append(found[:20], fmt.Sprintf("and %d more", len(found)-20))
	}
	return found
}

// auditWhole: after its repairs each round ends with a whole cluster.
func auditWhole(e Evidence, limits Limits) (found []string) {
	for _, r := range e.Rounds {
		switch {
		case r.Whole.IsZero():
			found = append(found, fmt.Sprintf("round %d, %s after the last repair: %s", r.Number, limits.Settle, r.Missing))
		case r.Whole.Sub(r.Mended) > limits.Settle:
			found = append(found, fmt.Sprintf("round %d: %s after the last repair", r.Number, r.Whole.Sub(r.Mended).Round(time.Millisecond)))
		}
		for _, f := range r.Failed {
			found = append(found, fmt.Sprintf("round %d: %s", r.Number, f))
		}
	}
	return found
}

// auditOutages: nobody waits while nothing is wrong, nor longer than the one
// thing that is wrong explains.
func auditOutages(e Evidence, limits Limits) (found []string) {
	for _, o := range e.Outages {
		took := o.To.Sub(o.From)
		if took <= limits.Quiet {
			continue
		}
		i := slices.IndexFunc(e.Rounds, func(r Course) bool {
			return !r.Began.After(o.To) && (r.Whole.IsZero() || !r.Whole.Before(o.From))
		})
		if i < 0 {
			found = append(found, o.String()+": nothing was wrong")
			continue
		}
		r := e.Rounds[i]
		most := limits.Settle
		if !r.Mended.IsZero() {
			most += r.Mended.Sub(r.Began)
		}
		why := fmt.Sprintf("round %d with %d faults", r.Number, r.Faults)
		if r.Single != nil {
			most, why = single(*r.Single, o.Service, limits), fmt.Sprintf("round %d: %s", r.Number, *r.Single)
		}
		if took > most {
			found = append(found, fmt.Sprintf("%s: %s allows %s", o, why, most))
		}
	}
	return found
}

// single is the longest outage that a fault alone explains.
func single(f Fault, service string, limits Limits) time.Duration {
	most := limits.Plain
	if s, _ := serviceNamed(service); s.guard != plain {
		most = limits.Strict
	}
	switch f.Kind {
	case "stop", "freeze", "primitive", "partition":
		return most + f.For // it is what was asked for, or there is no majority
	case "cut", "loss", "delay", "router death", "daemons":
		if strings.HasPrefix(f.Target, "r") {
			return most + f.For // it may be on the client's way
		}
	}
	return most
}

// auditFlat compares the last third of the samples of one process with the
// first: what grows with time grows there.
func auditFlat(samples []Sample) (found []string) {
	const (
		least   = 2 * time.Minute // a shorter life tells nothing
		moreRSS = 8 << 10         // KiB, and a third
		moreFDs = 16
		moreRun = 16
	)
	type life struct {
		node string
		pid  int
	}
	lives := map[life][]Sample{}
	for _, s := range samples {
		k := life{s.Node, s.PID}
		lives[k] = append(lives[k], s)
	}
	keys := slices.SortedFunc(maps.Keys(lives), func(a, b life) int { return cmp.Or(cmp.Compare(a.node, b.node), a.pid-b.pid) })
	for _, k := range keys {
		all := lives[k]
		slices.SortFunc(all, func(a, b Sample) int { return a.At.Compare(b.At) })
		third := len(all) / 3
		if third < 3 || all[len(all)-1].At.Sub(all[0].At) < least {
			continue
		}
		first, last := all[:third], all[len(all)-third:]
		check := func(what string, of func(Sample) int, most func(int) int) {
			a, b := median(first, of), median(last, of)
			if b > most(a) {
				found = append(found, fmt.Sprintf("srrd of %s, process %d: %s %d at first, %d in the end", k.node, k.pid, what, a, b))
			}
		}
		check("resident KiB", func(s Sample) int { return s.RSS }, func(a int) int { return a + a/3 + moreRSS })
		check("descriptors", func(s Sample) int { return s.FDs }, func(a int) int { return a + moreFDs })
		check("threads", func(s Sample) int { return s.Tasks }, func(a int) int { return a + moreRun })
	}
	return found
}

// auditIdle: a run in which nothing happened proves nothing.
func auditIdle(e Evidence, lines []Line) (found []string) {
	if len(e.Rounds) == 0 {
		found = append(found, "no round was run")
	}
	if len(e.Acks) == 0 {
		found = append(found, "no record was acknowledged")
	}
	for _, s := range services {
		if !slices.ContainsFunc(lines, func(l Line) bool {
			return l.Service == s.name && l.Primitive == "start" && l.Moment == ends && l.Status == 0
		}) {
			found = append(found, s.name+" was never started")
		}
	}
	return found
}
