package web

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
)

const goldenDir = "../../../testdata/page/web"

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join(goldenDir, name)
	if *update {
		if err := os.MkdirAll(goldenDir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

// walked is every page as one finds it, by the name of its golden.
var walked = []struct{ name, path string }{
	{"overview", "/"},
	{"services", "/services"},
	{"services-with-problems", "/services?show=problems"},
	{"service-that-runs-here", "/service/dns"},
	{"service-that-failed", "/service/db"},
	{"service-that-may-still-run", "/service/disk"},
	{"service-of-another-node", "/service/log"},
	{"nodes", "/nodes"},
	{"placement", "/placement"},
	{"lsdb", "/lsdb"},
	{"lsdb-in-full", "/lsdb?kind=opaque-as&detail=1"},
	{"addresses", "/addresses"},
	{"events", "/events"},
	{"events-of-a-service", "/events?service=dns&level=warning"},
	{"map", "/map"},
	{"map-with-paths", "/map?service=dns"},
	{"ospfd", "/router/ospfd"},
	{"zebra", "/router/zebra"},
	{"admin", "/admin"},
	{"help", "/help"},
	{"not-found", "/service/none"},
}

func TestEveryPageIsAsItsGolden(t *testing.T) {
	s, _ := newServer(t, Operator)
	for _, p := range walked {
		t.Run(p.name, func(t *testing.T) {
			golden(t, p.name+".html", get(t, s, p.path).Body.String())
		})
	}
	t.Run("admin, who may all", func(t *testing.T) {
		s, _ := newServer(t, Admin)
		golden(t, "admin-for-an-admin.html", get(t, s, "/admin").Body.String())
	})
}

func TestEveryTemplateIsWalked(t *testing.T) {
	s, _ := newServer(t, Operator)
	if all, err := s.pages(); err != nil || len(all) < 12 {
		t.Fatalf("%d templates, %v", len(all), err)
	}
	for _, p := range walked {
		if w := get(t, s, p.path); w.Code != 200 && p.name != "not-found" {
			t.Errorf("%s: status %d: %s", p.path, w.Code, w.Body)
		}
	}
}

// What a page must be whatever it shows: whole, labelled, from here alone.
func TestEveryPageKeepsTheRules(t *testing.T) {
	s, _ := newServer(t, Admin)
	rules := []struct {
		what string
		bad  *regexp.Regexp
	}{
		{"an inline style", regexp.MustCompile(`\sstyle=|<style`)},
		{"an inline script", regexp.MustCompile(`<script>|\son[a-z]+=`)},
		{"something from elsewhere", regexp.MustCompile(`(src|href)="(https?:)?//[^"]*\.(js|css|png|svg|woff)`)},
		{"a template that broke", regexp.MustCompile(`ZgotmplZ|&lt;no value|<nil>`)},
		{"a form that posts without a token", regexp.MustCompile(`method="post"[^>]*>(?:<[^i]|[^<]|<i[^n])`)},
	}
	input := regexp.MustCompile(`<(input|select|textarea)\b[^>]*>`)
	for _, p := range walked {
		body := get(t, s, p.path).Body.String()
		for _, r := range rules {
			if m := r.bad.FindString(body); m != "" {
				t.Errorf("%s has %s: %s", p.path, r.what, m)
			}
		}
		for _, at := range input.FindAllStringIndex(body, -1) {
			tag := body[at[0]:at[1]]
			open, closed := strings.LastIndex(body[:at[0]], "<label"), strings.LastIndex(body[:at[0]], "</label")
			if !strings.Contains(tag, `type="hidden"`) && open <= closed && !strings.Contains(tag, "aria-label") && !strings.Contains(tag, " id=") {
				t.Errorf("%s has a field without a label: %s", p.path, tag)
			}
		}
		for _, want := range []string{`<html lang="en">`, "<main", "<h1>", "generated 2026-03-14 03:00:42.250 UTC in", `aria-label="Pages"`} {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %s", p.path, want)
			}
		}
		ids := map[string]bool{}
		for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(body, -1) {
			if ids[m[1]] {
				t.Errorf("%s has two of the id %s", p.path, m[1])
			}
			ids[m[1]] = true
		}
		if n := weight(t, s, body); n > 150<<10 {
			t.Errorf("%s and what it loads have %d bytes", p.path, n)
		}
	}
}

var loaded = regexp.MustCompile(`<(?:link|script|img|image|use|source)\b[^>]*?\b(?:src|href)="(/[^"#]*)"`)

// weight is the bytes of a page and of all that it has a browser load: style,
// script and pictures.
func weight(t *testing.T, s *Server, body string) int {
	t.Helper()
	n, seen := len(body), map[string]bool{}
	for _, m := range loaded.FindAllStringSubmatch(body, -1) {
		if !seen[m[1]] {
			seen[m[1]] = true
			w := get(t, s, m[1])
			if w.Code != 200 {
				t.Errorf("%s: status %d", m[1], w.Code)
			}
			n += w.Body.Len()
		}
	}
	if len(seen) < 3 {
		t.Errorf("a page loads only %v", seen)
	}
	return n
}

func shown(s string) string { return string(clean([]byte(s))) }

// The shell says the same: every sentence of why, every problem, stands on the
// page in the same words.
func TestThePageSaysWhatTheShellSays(t *testing.T) {
	s, f := newServer(t, Viewer)
	unescape := strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&lt;", "<", "&gt;", ">", "&amp;", "&", "&#43;", "+")
	for i := range f.snapshot.Machine.Services {
		sv := &f.snapshot.Machine.Services[i]
		body := unescape.Replace(get(t, s, "/service/"+sv.Name).Body.String())
		for _, l := range f.snapshot.Explain(viewtest.Now, sv) {
			if l = shown(strings.TrimPrefix(strings.TrimSpace(l), "- ")); !strings.Contains(body, l) {
				t.Errorf("the page of %s does not say %q", sv.Name, l)
			}
		}
	}
	body := unescape.Replace(get(t, s, "/").Body.String())
	for _, p := range f.snapshot.Problems(viewtest.Now) {
		if !strings.Contains(body, shown(p.Text)) {
			t.Errorf("the overview does not say %q", p.Text)
		}
	}
}

func TestNothingFromElsewhereIsTakenForMarkup(t *testing.T) {
	const evil = `<script>alert(1)</script>"'><img src=x onerror=y>` + "\x1b[31m\u202e"
	s, f := newServer(t, Admin)
	v := f.snapshot
	for i := range v.Machine.Services {
		sv := &v.Machine.Services[i]
		sv.Group, sv.Why, sv.Cause, sv.Holder, sv.Running, sv.Scope = evil, evil, evil, evil, evil, evil
		sv.Waits, sv.Notices, sv.Last.Text = []string{evil}, []string{evil}, evil
		sv.Failure = advert.Failure{Code: advert.FailStart, Text: evil}
		for j := range sv.Offers {
			sv.Offers[j].Host, sv.Offers[j].WhyNot = evil, evil
		}
	}
	v.Machine.Services[0].Name, v.Machine.Services[0].Dependencies = evil, []string{evil}
	for i := range v.Machine.Nodes {
		v.Machine.Nodes[i].Host, v.Machine.Nodes[i].Version = evil, evil
	}
	v.Machine.Host, v.Machine.OSPF.Why = evil, evil
	v.Events = append(v.Events[:len(v.Events):len(v.Events)], view.Event{Seq: 99, At: viewtest.Now, Service: evil, Text: evil})
	f.answer = evil
	paths := []string{"/service/" + "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%27%3E%3Cimg%20src=x%20onerror=y%3E%1B%5B31m%E2%80%AE", "/services?q=%3Cscript%3E", "/events?q=%22%3E%3Cscript%3E", "/lsdb?q=%3Cscript%3E", "/map?service=%3Cscript%3E"}
	for _, p := range walked {
		paths = append(paths, p.path)
	}
	for _, p := range paths {
		body := get(t, s, p).Body.String()
		for _, bad := range []string{"<script>", "<img", "\x1b", "onerror=y>", "\u202e"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s lets %q through", p, bad)
			}
		}
	}
	w := post(t, s, "/service/dns/status", nil)
	if body := w.Body.String(); w.Code != 200 || strings.Contains(body, "<script>") || !strings.Contains(body, "&lt;script&gt;") {
		t.Errorf("status %d, the output of a primitive is not shown as text: %s", w.Code, body)
	}
}

func TestWhatDoesNotCountIsNoGreen(t *testing.T) {
	s, _ := newServer(t, Viewer)
	body := get(t, s, "/service/disk").Body.String()
	if !strings.Contains(body, "started when last heard") || strings.Contains(body, `mark good"><svg aria-hidden="true"><use href="#i-started"/></svg>started<`) {
		t.Errorf("an unreachable holder looks as if it ran: %s", body)
	}
}

func TestTheSwitchLeadsToTheSamePageOnAnotherNode(t *testing.T) {
	s, f := newServer(t, Viewer)
	f.snapshot.Machine.Nodes[1].Web = netip.MustParseAddrPort("10.1.0.2:8443")
	for _, tc := range []struct{ name, query, to string }{
		{"another node", "node=n2&path=/service/dns", "https://10.1.0.2:8443/service/dns"},
		{"another node by its router id, with a query", "node=10.255.0.2&path=%2Flsdb%3Fkind%3Drouter", "https://10.1.0.2:8443/lsdb?kind=router"},
		{"this node with a refresh", "node=n1&path=/nodes&refresh=10", "/nodes?refresh=10"},
		{"a refresh that is not offered", "node=n1&path=/nodes&refresh=7", "/nodes"},
		{"a path of another server", "node=n1&path=//evil.example/", "/"},
		{"a whole address", "node=n1&path=https://evil.example/", "/"},
		{"a path with a backslash", `node=n1&path=/\evil.example`, "/"},
	} {
		w := get(t, s, "/switch?"+tc.query)
		if w.Code != 303 || w.Header().Get("Location") != tc.to {
			t.Errorf("%s: %d %q, want %q", tc.name, w.Code, w.Header().Get("Location"), tc.to)
		}
	}
	if w := get(t, s, "/switch?node=n4&path=/"); w.Code != 404 || !strings.Contains(w.Body.String(), "loopback only") {
		t.Errorf("a node without pages: %d %s", w.Code, w.Body)
	}
	if w := get(t, s, "/?refresh=10"); w.Header().Get("Refresh") != "10" {
		t.Errorf("no refresh: %v", w.Header())
	}
}

// bigCluster is a cluster of n nodes that all offer n services.
func bigCluster(n int) *view.Snapshot {
	s := viewtest.Snapshot()
	s.Machine.Nodes, s.Machine.Services = nil, nil
	for i := range n {
		id := advert.RouterIDFrom(routerAddr(i + 1))
		s.Machine.Nodes = append(s.Machine.Nodes, machine.NodeView{Router: id, Host: fmt.Sprintf("node%03d", i), Self: i == 0, State: advert.Online, Status: "present", LastHeard: viewtest.Now})
	}
	for i := range n {
		sv := machine.ServiceView{Name: fmt.Sprintf("service%03d", i), Local: true, Kind: "network", Addresses: []netip.Addr{routerAddr(5000 + i)}, Config: machine.Active,
			State: advert.Stopped, Since: viewtest.Now.Add(-time.Hour), Why: "node001 runs it and is no worse a candidate", Holder: s.Machine.Nodes[i].Host}
		for j, node := range s.Machine.Nodes {
			o := machine.OfferView{Router: node.Router, Host: node.Host, Self: j == 0, Counts: true, Config: "active", State: advert.Stopped, Rank: j + 1, Preference: 100}
			if i == j {
				o.State = advert.Started
			}
			sv.Offers = append(sv.Offers, o)
		}
		s.Machine.Services = append(s.Machine.Services, sv)
	}
	return s
}

func TestABigClusterFitsAPage(t *testing.T) {
	s, f := newServer(t, Operator)
	f.snapshot = bigCluster(200)
	for _, p := range []string{"/", "/services", "/service/service007", "/addresses", "/events", "/map"} {
		w := get(t, s, p)
		if n := weight(t, s, w.Body.String()); w.Code != 200 || n > 150<<10 {
			t.Errorf("%s: status %d, %d bytes with what it loads", p, w.Code, n)
		}
	}
}

func BenchmarkOverviewOf200NodesAnd200Services(b *testing.B) {
	s, f := newServer(b, Operator)
	f.snapshot = bigCluster(200)
	for b.Loop() {
		if w := get(b, s, "/"); w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/page")
}
