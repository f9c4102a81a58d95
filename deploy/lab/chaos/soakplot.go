package chaos

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// SamplesCSV is every sample, a line each, for other programs.
func SamplesCSV(began time.Time, samples []Sample) string {
	var b strings.Builder
	b.WriteString("seconds,node,rss_kib,heap_kib,descriptors,goroutines,threads\n")
	for _, s := range samples {
		fmt.Fprintf(&b, "%.1f,%s,%d,%d,%d,%d,%d\n", s.At.Sub(began).Seconds(), s.Node, s.RSS, s.Heap, s.FDs, s.Goroutines, s.Tasks)
	}
	return b.String()
}

// lineColours are those of the nodes.
var lineColours = [...]string{"#1b6ca8", "#c4572a", "#3b8a3e", "#7a4fa3", "#8a6d1d"}

// SamplesSVG draws every figure over time, a line for each node. All begin at
// zero, so that what grows is seen for as much as it is.
func SamplesSVG(samples []Sample) []byte {
	const width, height = 400.0, 150.0
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 980 700" font-family="sans-serif" font-size="12">`+"\n")
	b.WriteString(`<rect width="980" height="700" fill="#fff"/>` + "\n")
	nodes := byNode(samples, answered)
	names := slices.Sorted(maps.Keys(nodes))
	for i, f := range figures {
		x0, y0 := 60+490*float64(i%2), 190+225*float64(i/2)
		unit, scale := "", 1.0
		if f.unit == "KiB" {
			unit, scale = ", MiB", 1024
		}
		panel(&b, x0, y0, width, height, f.what+unit, nodes, names, func(s Sample) float64 { return float64(f.of(s)) / scale })
	}
	for i, n := range names {
		y := 480 + 20*float64(i)
		colour := lineColours[i%len(lineColours)]
		fmt.Fprintf(&b, `<path d="M560 %.0fh30" stroke="%s" stroke-width="2"/><text x="600" y="%.0f">srrd of %s</text>`+"\n", y, colour, y+4, n)
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// panel draws one figure, its lower left corner at x0, y0.
func panel(b *strings.Builder, x0, y0, width, height float64, title string, nodes map[string][]Sample, names []string, of func(Sample) float64) {
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f" font-weight="bold">%s</text>`+"\n", x0, y0-height-12, title)
	var began, ended time.Time
	top := 0.0
	for _, all := range nodes {
		for _, s := range all {
			if began.IsZero() || s.At.Before(began) {
				began = s.At
			}
			if s.At.After(ended) {
				ended = s.At
			}
			top = max(top, of(s))
		}
	}
	if !ended.After(began) {
		return
	}
	step := niceStep(top)
	top = math.Ceil(top/step) * step
	minutes := ended.Sub(began).Minutes()
	px := func(t time.Time) float64 { return x0 + t.Sub(began).Minutes()/minutes*width }
	py := func(v float64) float64 { return y0 - v/top*height }
	for v := 0.0; v <= top+step/2; v += step {
		fmt.Fprintf(b, `<path d="M%.1f %.1fh%.0f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="end">%g</text>`+"\n", x0, py(v), width, x0-6, py(v)+4, v)
	}
	every := niceStep(minutes)
	for m := 0.0; m <= minutes; m += every {
		x := x0 + m/minutes*width
		fmt.Fprintf(b, `<path d="M%.1f %.1fv-%.0f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="middle">%g</text>`+"\n", x, y0, height, x, y0+16, m)
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">minutes</text>`+"\n", x0+width/2, y0+32)
	for i, n := range names {
		var path []string
		for _, s := range nodes[n] {
			path = append(path, fmt.Sprintf("%.1f %.1f", px(s.At), py(of(s))))
		}
		fmt.Fprintf(b, `<path d="M%s" fill="none" stroke="%s"/>`+"\n", strings.Join(path, "L"), lineColours[i%len(lineColours)])
	}
}

// niceStep divides an axis that ends at top into four to ten.
func niceStep(top float64) float64 {
	if top <= 0 {
		return 1
	}
	ten := math.Pow(10, math.Floor(math.Log10(top)))
	for _, part := range []float64{0.1, 0.2, 0.5, 1} {
		if top/(ten*part) <= 6 {
			return ten * part
		}
	}
	return ten * 2
}

// Write puts the report, the samples, their picture and the merged journal
// beside the logs.
func (r *SoakReport) Write() error {
	plain := Report{Evidence: r.Evidence}
	for name, text := range map[string]string{"report.txt": r.String(), "journal.txt": plain.journal(),
		"soak.csv": SamplesCSV(r.Evidence.Began, r.Evidence.Samples), "soak.svg": string(SamplesSVG(r.Evidence.Samples))} {
		if err := os.WriteFile(filepath.Join(r.keep, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
