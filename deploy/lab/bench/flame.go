package bench

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// flameWidth is how many characters the longest fault takes.
const flameWidth = 60

// WriteFlame draws where the milliseconds of each fault go: a bar for each phase,
// from where the one before ended, medians.
func WriteFlame(w io.Writer, results []Result) error {
	var b strings.Builder
	b.WriteString("\nwhere the milliseconds go, medians\n")
	for _, r := range results {
		r.flame(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Result) flame(b *strings.Builder) {
	type step struct {
		name     string
		from, to time.Duration
	}
	var steps []step
	last := time.Duration(0)
	for _, name := range PhaseNames {
		all := r.phase(phases, name)
		if len(all) == 0 {
			continue
		}
		at := percentile(all, 50)
		// The client may see the new node before that one has seen itself.
		from := min(last, at)
		if name == "seen" {
			for _, s := range steps {
				if s.to <= at {
					from = s.to
				}
			}
		}
		steps = append(steps, step{name, from, at})
		last = max(last, at)
	}
	if len(steps) == 0 || last <= 0 {
		return
	}
	fmt.Fprintf(b, "\n%s: outage %s ms\n", r.Row.Name, ms(percentile(r.outages(), 50)))
	at := func(d time.Duration) int { return int(max(0, d) * flameWidth / last) }
	for _, s := range steps {
		width := max(1, at(s.to)-at(s.from))
		fmt.Fprintf(b, "  %-10s %s%s%s %7s  +%s\n", s.name, strings.Repeat(" ", at(s.from)), strings.Repeat("#", width),
			strings.Repeat(" ", max(0, flameWidth+1-at(s.from)-width)), ms(s.to), ms(s.to-s.from))
	}
}
