package whatif

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// CostsSVG draws what a site's end floods over the number of nodes, a line for
// each number of services: on the left what is originated, on the right the
// bytes on all links. Both axes are logarithmic.
func CostsSVG(all []Cost) []byte {
	all = slices.DeleteFunc(slices.Clone(all), func(c Cost) bool { return c.Note != "" || c.Fail.LSAs == 0 })
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 920 400" font-family="sans-serif" font-size="12">` + "\n")
	b.WriteString(`<rect width="920" height="400" fill="#fff"/>` + "\n")
	panel(&b, 70, "LSAs originated when a site fails", all, func(c Cost) int { return c.Fail.LSAs })
	panel(&b, 530, "bytes on all links when a site fails", all, func(c Cost) int { return c.Fail.SentBytes })
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// lines are the colours of the lines.
var lines = [...]string{"#1b6ca8", "#c4572a", "#3b8a3e", "#7a4fa3", "#8a6d1d"}

// panel draws one diagram at x.
func panel(b *strings.Builder, x0 float64, title string, all []Cost, of func(Cost) int) {
	const y0, width, height = 340.0, 310.0, 280.0
	type series struct{ services, offers int }
	var rows []series
	var xs, ys []float64
	for _, c := range all {
		if r := (series{c.Services, c.Offers}); !slices.Contains(rows, r) {
			rows = append(rows, r)
		}
		xs, ys = append(xs, math.Log10(float64(c.Nodes))), append(ys, math.Log10(float64(of(c))))
	}
	fmt.Fprintf(b, `<text x="%.0f" y="30" font-weight="bold">%s</text>`+"\n", x0, title)
	if len(xs) == 0 {
		return
	}
	xmin, xmax := math.Floor(slices.Min(xs)), math.Max(math.Ceil(slices.Max(xs)), math.Floor(slices.Min(xs))+1)
	ymin, ymax := math.Floor(slices.Min(ys)), math.Max(math.Ceil(slices.Max(ys)), math.Floor(slices.Min(ys))+1)
	px := func(v float64) float64 { return x0 + (v-xmin)/(xmax-xmin)*width }
	py := func(v float64) float64 { return y0 - (v-ymin)/(ymax-ymin)*height }
	for d := xmin; d <= xmax; d++ {
		fmt.Fprintf(b, `<path d="M%.1f %.1fV%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="middle">%.0f</text>`+"\n", px(d), y0, y0-height, px(d), y0+16, math.Pow(10, d))
	}
	for d := ymin; d <= ymax; d++ {
		fmt.Fprintf(b, `<path d="M%.1f %.1fH%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="end">10<tspan dy="-5" font-size="9">%.0f</tspan></text>`+"\n", x0, py(d), x0+width, x0-6, py(d)+4, d)
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">nodes</text>`+"\n", x0+width/2, y0+36)
	for k, r := range rows {
		var path []string
		last := [2]float64{}
		for _, c := range all {
			if c.Services == r.services && c.Offers == r.offers {
				last = [2]float64{px(math.Log10(float64(c.Nodes))), py(math.Log10(float64(of(c))))}
				path = append(path, fmt.Sprintf("%.1f %.1f", last[0], last[1]))
				fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", last[0], last[1], lines[k%len(lines)])
			}
		}
		fmt.Fprintf(b, `<path d="M%s" fill="none" stroke="%s" stroke-width="1.5"/><text x="%.1f" y="%.1f" fill="%s">%d × %d</text>`+"\n",
			strings.Join(path, "L"), lines[k%len(lines)], last[0]+6, last[1]+4, lines[k%len(lines)], r.services, r.offers)
	}
}
