package web

import (
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/sidecar/internal/view"
)

// drawn is a page as a reader gets it.
func drawn(t testing.TB, s *Server, f *fakeDaemon, snapshot *view.Snapshot, path string) string {
	t.Helper()
	f.mu.Lock()
	f.snapshot = snapshot
	f.mu.Unlock()
	w := get(t, s, path)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: status %d: %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

func TestTheMapOfTheDemoIsAsItsGolden(t *testing.T) {
	s, f := newServer(t, Viewer)
	golden(t, "map-of-the-demo.html", drawn(t, s, f, demo().snapshot(t), "/map?service=web"))
}

func TestTheSameNetworkIsDrawnTheSameOnEveryNode(t *testing.T) {
	for name, n := range map[string]*topology{"demo": demo(), "sixty": sixty()} {
		a, fa := newServer(t, Viewer)
		b, fb := newServer(t, Viewer)
		one := drawn(t, a, fa, n.snapshot(t), "/map")
		if diff := cmp.Diff(one, drawn(t, b, fb, n.snapshot(t), "/map")); diff != "" {
			t.Errorf("%s: two servers draw it differently:\n%s", name, diff)
		}
		if one != drawn(t, a, fa, n.snapshot(t), "/map") {
			t.Errorf("%s: a second drawing differs", name)
		}
	}
}

func TestNothingJumpsWhenARouterComesOrGoes(t *testing.T) {
	s, f := newServer(t, Viewer)
	n := sixty()
	drawn(t, s, f, n.snapshot(t), "/map")
	before := map[string]point{}
	for k, p := range s.charts.places {
		before[k] = p
	}
	n.routers++
	n.links = append(n.links, [2]int{3, n.routers})
	drawn(t, s, f, n.snapshot(t), "/map")
	if _, ok := s.charts.places[routerKey(routerAddr(n.routers))]; !ok {
		t.Error("the new router has no place")
	}
	n.routers--
	n.links = n.links[:len(n.links)-2] // one that was there goes too
	drawn(t, s, f, n.snapshot(t), "/map")
	for k, p := range before {
		if got := s.charts.places[k]; got != p {
			t.Errorf("%s went from %v to %v", k, p, got)
		}
	}
}

func TestNothingIsDrawnOverAnything(t *testing.T) {
	for name, n := range map[string]*topology{"demo": demo(), "sixty": sixty(), "a star": star(40), "no links": {routers: 9}, "one router": {routers: 1}} {
		s, f := newServer(t, Viewer)
		drawn(t, s, f, n.snapshot(t), "/map?stubs=no")
		for k, p := range s.charts.places {
			if math.IsNaN(p.X) || math.IsNaN(p.Y) {
				t.Errorf("%s: %s is nowhere", name, k)
			}
			for l, q := range s.charts.places {
				// Two rounded pixels, and what is left when the pushing ends.
				if k < l && math.Abs(p.X-q.X) < apartX-12 && math.Abs(p.Y-q.Y) < apartY-12 {
					t.Errorf("%s: %s at %v and %s at %v", name, k, p, l, q)
				}
			}
		}
	}
}

func star(n int) *topology {
	s := &topology{routers: n, hosts: map[int]string{1: "hub"}}
	for i := 2; i <= n; i++ {
		s.links = append(s.links, [2]int{1, i})
	}
	return s
}

func TestThePathsGoFromEveryRouterToTheHolder(t *testing.T) {
	s, f := newServer(t, Viewer)
	body := drawn(t, s, f, demo().snapshot(t), "/map?service=web")
	for _, want := range []string{
		"10.255.0.1 → 10.255.0.2 → 10.1.0.0/24 → n1",
		"n3 → 10.1.1.0/24 → 10.255.0.3 → 10.255.0.2 → 10.1.0.0/24 → n1",
		"<td>E2</td>",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	if n := strings.Count(body, `class="way"`); n != 7 {
		t.Errorf("%d stretches are drawn, want 7", n)
	}
	snapshot := demo().snapshot(t)
	snapshot.Machine.Services[0].Addresses = nil
	if body := drawn(t, s, f, snapshot, "/map?service=web"); !strings.Contains(body, "no packets are routed to it") {
		t.Error("a resource has paths")
	}
}

func TestAnEmptyDatabaseIsSaid(t *testing.T) {
	s, f := newServer(t, Viewer)
	snapshot := demo().snapshot(t)
	snapshot.LSDB = view.Database{}
	snapshot.Machine.OSPF.Up = false
	if body := drawn(t, s, f, snapshot, "/map"); !strings.Contains(body, "The link-state database is empty: no session with ospfd.") {
		t.Error(body)
	}
}

func TestADifferenceIsTheFewestLines(t *testing.T) {
	for _, tc := range []struct{ before, after, want string }{
		{"", "", ""},
		{"a\n", "a\n", " a"},
		{"", "a\nb\n", "+a +b"},
		{"a\nb\n", "", "-a -b"},
		{"a\nb\nc\n", "a\nx\nc\n", " a -b +x  c"},
		{"a\nb\nc\nd\n", "b\nc\ne\nd\n", "-a  b  c +e  d"},
	} {
		var got []string
		for _, l := range compareLines(tc.before, tc.after) {
			got = append(got, l.Op+l.Text)
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%q to %q: %q, want %q", tc.before, tc.after, s, tc.want)
		}
	}
	long := strings.Repeat("x\n", maxDiff+1)
	if n := len(compareLines("a\n"+long, "b\n"+long)); n != maxDiff+3 {
		t.Errorf("a long text: %d lines", n)
	}
}

func BenchmarkMapOfSixtyRouters(b *testing.B) {
	for _, path := range []string{"/map?arrange=anew", "/map?service=web"} {
		b.Run(path, func(b *testing.B) {
			s, f := newServer(b, Viewer)
			snapshot := sixty().snapshot(b)
			for b.Loop() {
				drawn(b, s, f, snapshot, path)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/page")
		})
	}
}
