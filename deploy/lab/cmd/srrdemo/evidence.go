package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// event is one that a node tells, with where.
type event struct {
	host          string
	At            time.Time
	Service, Text string
}

// evidence shows, on one time line, what every node says has happened since a
// moment, and what the client saw: where an outage was too long, the phase that
// took it is in there.
func (d *demo) evidence(ctx context.Context, since time.Time) {
	var all []event
	for _, host := range nodes {
		var said struct{ Events []event }
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		text, _, err := d.query(short, host, "show events 200", "show version")
		cancel()
		if err == nil {
			err = json.Unmarshal([]byte(text), &said)
		}
		if err != nil {
			all = append(all, event{host: host, At: time.Now(), Text: "(its events could not be had: " + err.Error() + ")"})
			continue
		}
		for _, e := range said.Events {
			e.host = host
			all = append(all, e)
		}
	}
	all = slices.DeleteFunc(all, func(e event) bool { return e.At.Before(since) })
	if d.probe != nil {
		r := d.probe.Report()
		for _, p := range r.Phases {
			for _, o := range p.Outages {
				all = append(all, event{"client", r.Began.Add(o.From), "", fmt.Sprintf("last answer before an outage, of %s", o.Before)},
					event{"client", r.Began.Add(o.To), "", fmt.Sprintf("first answer after it, of %s", o.After)})
			}
		}
		all = slices.DeleteFunc(all, func(e event) bool { return e.At.Before(since) })
	}
	d.command("here", "# what every node says of it, on one time line")
	d.text(timeline(all, since))
}

func timeline(all []event, since time.Time) string {
	slices.SortStableFunc(all, func(a, b event) int { return a.At.Compare(b.At) })
	var b strings.Builder
	for _, e := range all {
		fmt.Fprintf(&b, "%10.1f ms  %-6s  %s %s\n", float64(e.At.Sub(since).Microseconds())/1000, e.host, e.Service, e.Text)
	}
	return b.String()
}
