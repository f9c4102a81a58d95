package whatif

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// Text writes the answer for a person; every note of the nodes too, if all.
func (a *Answer) Text(w io.Writer, all bool) {
	fmt.Fprintf(w, "What if %s? Nothing was touched; this is simulated.\n", a.Question)
	for _, b := range a.Before {
		fmt.Fprintf(w, "Without it: %s.\n", b)
	}
	fmt.Fprintln(w)
	width := 0
	for _, c := range a.Changes {
		width = max(width, len(c.Service))
	}
	for _, c := range a.Changes {
		fmt.Fprintf(w, "  %-*s  %s\n", width, c.Service, c.sentence())
		for _, y := range c.Why {
			fmt.Fprintf(w, "  %-*s  - %s\n", width, "", y)
		}
	}
	if all {
		fmt.Fprintln(w)
		Entries(w, a.Entries)
	}
	fmt.Fprintf(w, "\n%d LSAs, %d bytes, would be flooded. Assumed:\n", a.LSAs, a.Bytes)
	for _, s := range a.Assumed {
		fmt.Fprintf(w, "  - %s\n", s)
	}
}

// JSON writes the answer for a program.
func (a *Answer) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(a)
}

// sentence is what becomes of the service.
func (o Outcome) sentence() string {
	out := ""
	if o.Outage > 0 && len(o.From) > 0 {
		out = ", nobody runs it for " + round(o.Outage).String()
	}
	switch {
	case len(o.From) == 0 && len(o.To) == 0:
		return "runs nowhere, as before"
	case len(o.To) == 0:
		return fmt.Sprintf("stops on %s and runs nowhere", places(o.From))
	case len(o.From) == 0:
		return fmt.Sprintf("starts on %s", places(o.To))
	case slices.Equal(o.From, o.To) && out == "":
		return fmt.Sprintf("stays on %s", places(o.To))
	case slices.Equal(o.From, o.To):
		return fmt.Sprintf("returns to %s%s", places(o.To), out)
	case len(o.To) > 1:
		return fmt.Sprintf("runs on %s, each on its side%s", places(o.To), out)
	}
	return fmt.Sprintf("moves from %s to %s%s", places(o.From), places(o.To), out)
}

// round keeps as much of a time as a person reads.
func round(d time.Duration) time.Duration {
	if d >= 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}

// Entries writes what the nodes said, a line each.
func Entries(w io.Writer, all []Entry) {
	for _, e := range all {
		what := e.Text
		if e.Service != "" {
			what = e.Service + ": " + what
		}
		fmt.Fprintf(w, "%10.3f  %-8s %-7s %s\n", e.At.Seconds(), e.Node, e.Level, what)
	}
}
