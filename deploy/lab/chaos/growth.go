package chaos

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Growth is how a figure of a process changes with time: the median of the
// slopes between all pairs of its samples (Theil and Sen), which neither a
// garbage collector's saw teeth nor single peaks bend. The first third, and at
// least warmUp, is left out, since caches and histories fill up then.
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

const (
	// leastSamples is how many a trend needs after the warm-up.
	leastSamples = 30
	// warmUp is how long the heap of an srrd under load was seen to rise to where
	// it then stays, with some room: in an hour's soak a quarter of an hour.
	warmUp = 20 * time.Minute
)

// settled leaves out the first third, and at least warmUp.
func settled(all []Sample) []Sample {
	warm := len(all) / 3
	for warm < len(all) && all[warm].At.Sub(all[0].At) < warmUp {
		warm++
	}
	return all[warm:]
}

// answered tells whether srrd itself said its part of a sample.
func answered(s Sample) bool { return s.Goroutines > 0 && s.Heap > 0 }

// byNode sorts those samples that are wanted.
func byNode(samples []Sample, wanted func(Sample) bool) map[string][]Sample {
	all := map[string][]Sample{}
	for _, s := range samples {
		if wanted(s) {
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
	nodes := byNode(samples, answered)
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

func median(all []Sample, of func(Sample) int) int {
	values := make([]int, len(all))
	for i, s := range all {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
