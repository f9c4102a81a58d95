package chaos

import (
	"fmt"
	"testing"
)

// steady is an hour of samples of two nodes: a collector's saw teeth, now and
// then a few descriptors more, and caches that fill up in the first ten minutes.
func steady(every int) (all []Sample) {
	for i := 0; i < 720; i += every {
		t := at(float64(5 * i))
		for n, node := range []string{"n1", "n2"} {
			filled := 3000 * min(i, 120) / 120
			all = append(all, Sample{At: t, Node: node, PID: 100 + n, RSS: 25000 + filled + 300*(i%7), Heap: 3000 + 400*(i%5),
				FDs: 20 + i%3, Tasks: 12 + i%2, Goroutines: 48 + i%4})
		}
	}
	return all
}

func TestGrowthIsToldFromSawTeeth(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(i int, s *Sample)
		want  string // the figure that grows; "": none
	}{
		{"what does not grow is flat", func(int, *Sample) {}, ""},
		{"a peak alone is no growth", func(i int, s *Sample) {
			if i > 700 && i < 720 {
				s.FDs += 200
			}
		}, ""},
		{"100 KiB a minute of resident memory", func(i int, s *Sample) { s.RSS += i / 12 * 100 }, "resident memory"},
		{"50 KiB a minute of heap", func(i int, s *Sample) { s.Heap += i / 12 * 50 }, "Go heap"},
		{"a descriptor in ten minutes", func(i int, s *Sample) { s.FDs += i / 120 }, "descriptors"},
		{"a goroutine in ten minutes", func(i int, s *Sample) { s.Goroutines += i / 120 }, "goroutines"},
		{"a thread in ten minutes", func(i int, s *Sample) { s.Tasks += i / 120 }, "threads"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := steady(1)
			for i := range all {
				if all[i].Node == "n2" {
					c.spoil(i/2, &all[i])
				}
			}
			var found []string
			for _, g := range Growths(all) {
				if !g.OK() {
					found = append(found, g.Node+" "+g.What)
				}
			}
			want := "[]"
			if c.want != "" {
				want = "[n2 " + c.want + "]"
			}
			if fmt.Sprint(found) != want {
				t.Errorf("grows: %v, want %s", found, want)
			}
		})
	}
}

func TestAShortSoakDoesNotSayThatNothingGrows(t *testing.T) {
	warm := int(warmUp / sampleEvery)
	for _, c := range []struct {
		samples int
		figures int
	}{
		{warm, 0},
		{warm + leastSamples - 1, 0},
		{warm + leastSamples, 2 * len(figures)},
	} {
		if g := Growths(steady(1)[:2*c.samples]); len(g) != c.figures {
			t.Errorf("says %v of %d samples each, want %d figures", g, c.samples, c.figures)
		}
	}
}

func TestWarmingUpIsNoGrowth(t *testing.T) {
	all := steady(1)
	for i := range all {
		all[i].Heap += 2000 * min(i/2, 200) / 200 // as an srrd under load was seen to
	}
	for _, minutes := range []int{23, 30, 60} {
		for _, g := range Growths(all[:2*12*minutes]) {
			if !g.OK() {
				t.Errorf("of %d minutes: %s", minutes, g)
			}
		}
	}
}
