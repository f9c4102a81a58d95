package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// moment is something that happened, with where.
type moment struct {
	at   time.Time
	who  string
	text string
}

// evidence is what every node says has happened since the fault, what the
// routers' kernels did, and what the client saw, on one time line.
func (r *run) evidence(ctx context.Context) string {
	var all []moment
	for _, host := range r.c.nodes {
		if r.c.peer {
			break // keepalived keeps a log, without milliseconds
		}
		var said struct {
			Events []struct {
				At            time.Time
				Service, Text string
			}
		}
		text, err := r.c.ask(ctx, host, "-o json show events 200")
		if err == nil {
			err = json.Unmarshal([]byte(text), &said)
		}
		if err != nil {
			all = append(all, moment{time.Now(), host, "(its events could not be had: " + err.Error() + ")"})
		}
		for _, e := range said.Events {
			all = append(all, moment{e.At, host, e.Service + " " + e.Text})
		}
	}
	all = append(all, r.c.fib.moments(r.c.set)...)
	if r.c.set.tells {
		works, err := r.c.works.since(r.began)
		if err != nil {
			all = append(all, moment{time.Now(), "bench", err.Error()})
		}
		for _, o := range works {
			all = append(all, moment{o.began, o.host, o.service + " (the recipe of " + o.primitive + " begins)"})
			if !o.ended.IsZero() {
				all = append(all, moment{o.ended, o.host, o.service + " (the recipe of " + o.primitive + " ends)"})
			}
		}
	}
	for _, rep := range r.probe.Reports() {
		all = append(all, clientMoments(rep)...)
	}
	all = slices.DeleteFunc(all, func(m moment) bool { return m.at.Before(r.began) })
	slices.SortStableFunc(all, func(a, b moment) int { return a.at.Compare(b.at) })
	var b strings.Builder
	for _, m := range all {
		fmt.Fprintf(&b, "%12s ms  %-8s %s\n", ms(m.at.Sub(r.began)), m.who, m.text)
	}
	return b.String()
}

func clientMoments(rep *lab.Report) []moment {
	var all []moment
	for _, p := range rep.Phases {
		all = append(all, moment{rep.Began.Add(p.From), "bench", "-- " + p.Name})
		for _, o := range p.Outages {
			all = append(all, moment{rep.Began.Add(o.From), "client", fmt.Sprintf("last answer of %s from %s before an outage", orDash(o.Before), rep.Target)},
				moment{rep.Began.Add(o.To), "client", fmt.Sprintf("first answer of %s after it, %d lost", orDash(o.After), o.Lost)})
		}
		for _, s := range p.Switches {
			all = append(all, moment{rep.Began.Add(s.At), "client", fmt.Sprintf("%s answers in place of %s", s.To, s.From)})
		}
	}
	return all
}

// moments are the changes since the last snapshot.
func (f *fib) moments(set serviceSet) []moment {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []moment
	for _, c := range f.changes {
		for _, a := range set.watched() {
			if a.Addr() == c.to {
				all = append(all, moment{c.at, c.router, fmt.Sprintf("%s via %s", c.to, orDash(c.via))})
			}
		}
	}
	return all
}
