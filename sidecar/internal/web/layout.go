package web

import (
	"hash/fnv"
	"math"
	"slices"
	"sync"
)

// point is a place on the map, in pixels of an unscaled drawing.
type point struct{ X, Y float64 }

// charts remembers where the map has put what, so that a drawing does not jump
// when something comes or goes: what has a place keeps it, also after it was
// away. The places of a first drawing follow from names and links alone.
type charts struct {
	mu     sync.Mutex // guards places
	places map[string]point
}

// maxPlaces bounds the memory; beyond it only what is drawn now is kept.
const maxPlaces = 4000

// place gives every key a point. links are pairs of indexes into keys; both
// must be sorted. anew forgets the places there were.
func (c *charts) place(keys []string, links [][2]int, anew bool) []point {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := 0
	for _, k := range keys {
		if _, ok := c.places[k]; ok {
			known++
		}
	}
	// With most of it new (the database of a node that starts fills in
	// steps), the old places would only bend the drawing.
	if anew || 2*known < len(keys) || len(c.places) > maxPlaces {
		c.places = nil
	}
	pinned := make([]bool, len(keys))
	at := make([]point, len(keys))
	for i, k := range keys {
		at[i], pinned[i] = c.places[k]
	}
	if slices.Contains(pinned, false) {
		at = arrange(keys, links, at, pinned)
	}
	if c.places == nil {
		c.places = map[string]point{}
	}
	for i, k := range keys {
		c.places[k] = at[i]
	}
	return at
}

// The distances of the drawing, in pixels.
const (
	linkLength = 92.0
	apartX     = 84.0 // no two vertices are closer in both
	apartY     = 52.0
)

// arrange gives every vertex a place such that distances on paper follow
// distances in links (stress majorization: Gansner, Koren, North 2004). The
// pinned ones stay. It uses no chance: same input, same drawing.
func arrange(keys []string, links [][2]int, at []point, pinned []bool) []point {
	n := len(keys)
	if n == 0 {
		return nil
	}
	hops := distances(n, links)
	at = slices.Clone(at)
	fresh := !slices.Contains(pinned, true)
	if fresh {
		begin(keys, hops, at)
	} else {
		join(keys, hops, at, pinned)
	}
	for range 200 {
		if relax(hops, at, pinned) < 0.05 {
			break
		}
	}
	if fresh {
		turn(keys, at)
	}
	spread(keys, at, pinned)
	return at
}

// distances are the hops between all pairs; what is not connected is a little
// farther than the farthest that is.
func distances(n int, links [][2]int) [][]float64 {
	next := make([][]int, n)
	for _, l := range links {
		next[l[0]] = append(next[l[0]], l[1])
		next[l[1]] = append(next[l[1]], l[0])
	}
	far := 1.0
	all := make([][]float64, n)
	for i := range all {
		d := make([]float64, n)
		for j := range d {
			d[j] = -1
		}
		d[i] = 0
		queue := []int{i}
		for len(queue) > 0 {
			v := queue[0]
			queue = queue[1:]
			for _, w := range next[v] {
				if d[w] < 0 {
					d[w] = d[v] + 1
					far = max(far, d[w])
					queue = append(queue, w)
				}
			}
		}
		all[i] = d
	}
	for i := range all {
		for j := range all[i] {
			if all[i][j] < 0 {
				all[i][j] = min(far, 6) + 1
			}
		}
	}
	return all
}

// begin spans the plane by distances to a few far-off vertices.
func begin(keys []string, hops [][]float64, at []point) {
	n := len(keys)
	farthest := func(score func(int) float64) int {
		best := 0
		for i := 1; i < n; i++ {
			if score(i) > score(best) {
				best = i
			}
		}
		return best
	}
	a := farthest(func(i int) float64 { return hops[0][i] })
	b := farthest(func(i int) float64 { return hops[a][i] })
	c := farthest(func(i int) float64 { return min(hops[a][i], hops[b][i]) })
	d := farthest(func(i int) float64 { return hops[c][i] })
	for i := range at {
		j := jitter(keys[i])
		at[i] = point{linkLength * ((hops[a][i]-hops[b][i])/2 + j.X), linkLength * ((hops[c][i]-hops[d][i])/2 + j.Y)}
	}
}

// join puts new vertices beside the nearest that have a place.
func join(keys []string, hops [][]float64, at []point, pinned []bool) {
	for i := range at {
		if pinned[i] {
			continue
		}
		near := -1
		for j := range at {
			if pinned[j] && (near < 0 || hops[i][j] < hops[i][near]) {
				near = j
			}
		}
		jit := jitter(keys[i])
		at[i] = point{at[near].X + linkLength*4*jit.X, at[near].Y + linkLength*4*jit.Y}
	}
}

// jitter is a small offset, -0.25..0.25, that belongs to the name.
func jitter(key string) point {
	h := fnv.New64a()
	h.Write([]byte(key))
	s := h.Sum64()
	return point{float64(s&0xffff)/0xffff/2 - 0.25, float64(s>>16&0xffff)/0xffff/2 - 0.25}
}

// relax moves every free vertex to where its wanted distances draw it, and
// tells how far the farthest went, in pixels.
func relax(hops [][]float64, at []point, pinned []bool) float64 {
	most := 0.0
	for i := range at {
		if pinned[i] {
			continue
		}
		var sum point
		var weight float64
		for j := range at {
			if i == j {
				continue
			}
			want := hops[i][j] * linkLength
			w := 1 / (hops[i][j] * hops[i][j])
			dx, dy := at[i].X-at[j].X, at[i].Y-at[j].Y
			d := math.Hypot(dx, dy)
			if d < 1e-6 {
				d = 1e-6
			}
			sum.X += w * (at[j].X + want*dx/d)
			sum.Y += w * (at[j].Y + want*dy/d)
			weight += w
		}
		if weight == 0 {
			continue
		}
		to := point{sum.X / weight, sum.Y / weight}
		most = max(most, math.Hypot(to.X-at[i].X, to.Y-at[i].Y))
		at[i] = to
	}
	return most
}

// turn lays the longest way across the page, with the first name on the left
// and above.
func turn(keys []string, at []point) {
	var c point
	for _, p := range at {
		c.X += p.X / float64(len(at))
		c.Y += p.Y / float64(len(at))
	}
	var xx, yy, xy float64
	for _, p := range at {
		dx, dy := p.X-c.X, p.Y-c.Y
		xx, yy, xy = xx+dx*dx, yy+dy*dy, xy+dx*dy
	}
	sin, cos := math.Sincos(-math.Atan2(2*xy, xx-yy) / 2)
	for i, p := range at {
		dx, dy := p.X-c.X, p.Y-c.Y
		at[i] = point{dx*cos - dy*sin, dx*sin + dy*cos}
	}
	first := 0
	for i := range keys {
		if keys[i] < keys[first] {
			first = i
		}
	}
	flipX, flipY := at[first].X > 0, at[first].Y > 0
	for i := range at {
		if flipX {
			at[i].X = -at[i].X
		}
		if flipY {
			at[i].Y = -at[i].Y
		}
	}
}

// spread pushes apart what would be drawn over each other.
func spread(keys []string, at []point, pinned []bool) {
	for range 120 {
		moved := false
		for i := range at {
			for j := range i {
				dx, dy := at[i].X-at[j].X, at[i].Y-at[j].Y
				// Half a pixel of grace, or equal distances never come to rest.
				ox, oy := apartX-math.Abs(dx), apartY-math.Abs(dy)
				if ox < 0.5 || oy < 0.5 || pinned[i] && pinned[j] {
					continue
				}
				moved = true
				if ox/apartX < oy/apartY {
					push(&at[i].X, &at[j].X, ox, dx, keys[i] < keys[j], pinned[i], pinned[j])
				} else {
					push(&at[i].Y, &at[j].Y, oy, dy, keys[i] < keys[j], pinned[i], pinned[j])
				}
			}
		}
		if !moved {
			break
		}
	}
	for i := range at {
		at[i] = point{math.Round(at[i].X), math.Round(at[i].Y)}
	}
}

// push moves a and b apart by what they overlap; the pinned one stays.
func push(a, b *float64, by, diff float64, first, pinA, pinB bool) {
	if diff < 0 || diff == 0 && first {
		by = -by
	}
	switch {
	case pinA:
		*b -= by
	case pinB:
		*a += by
	default:
		*a += by / 2
		*b -= by / 2
	}
}
