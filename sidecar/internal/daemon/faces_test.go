package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/metrics"
	"github.com/srrd/srrd/sidecar/internal/shell"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
	"github.com/srrd/srrd/sidecar/internal/web"
)

// still is a daemon whose state is the fixed snapshot.
type still struct{ s *view.Snapshot }

var errStill = errors.New("nothing is done here")

func (d still) Read(context.Context) (*view.Snapshot, error)       { return d.s, nil }
func (still) Ask(context.Context, machine.Command) (string, error) { return "", errStill }
func (still) VTY(context.Context, string, string) (string, error)  { return "", errStill }
func (still) Configure(context.Context, string, []string) error    { return errStill }
func (still) Reload(context.Context) (string, error)               { return "", errStill }
func (still) Plan(context.Context) (string, error)                 { return "", errStill }
func (still) Config(context.Context) (string, error)               { return "", errStill }
func (still) Shutdown(context.Context) error                       { return errStill }
func (still) Reexec(context.Context, string) (string, error)       { return "", errStill }
func now() time.Time                                               { return viewtest.Now }
func anybody(netip.AddrPort, netip.AddrPort) (p web.Person, err error) {
	return web.Person{Name: "alice", Role: web.Admin}, nil
}

// faces asks each face of one snapshot.
type faces struct {
	t  *testing.T
	s  *view.Snapshot
	sh *shell.Shell
	at string // of the pages
	m  string // all metrics
}

func newFaces(t *testing.T, s *view.Snapshot) *faces {
	t.Helper()
	f := &faces{t: t, s: s, sh: &shell.Shell{Deps: still{s}, Now: now}}
	server, err := web.New(web.Config{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Deps: still{s}, Now: now, Local: anybody})
	if err != nil {
		t.Fatal(err)
	}
	l, err := server.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, l) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	f.at = "http://" + l.Addr().String()
	r := httptest.NewRecorder()
	metrics.New(metrics.Options{Read: still{s}.Read, Now: now}).Handler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	f.m = r.Body.String()
	return f
}

// words makes a text comparable: one blank between words, and what no face
// lets through as a question mark.
func words(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && !unicode.IsSpace(r) {
			return '?'
		}
		return r
	}, text)
	return " " + strings.Join(strings.Fields(text), " ") + " "
}

func (f *faces) shell(lines ...string) string {
	f.t.Helper()
	var out bytes.Buffer
	for _, l := range lines {
		if st := f.sh.Exec(f.t.Context(), "test", l, &out); st != shell.StatusSuccess {
			f.t.Errorf("%s: status %d", l, st)
		}
	}
	return out.String()
}

func (f *faces) get(path string) string {
	f.t.Helper()
	answer, err := http.Get(f.at + path)
	if err != nil {
		f.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		f.t.Fatalf("%s: %s, %v", path, answer.Status, err)
	}
	return string(text)
}

var tag = regexp.MustCompile(`<[^>]*>`)

func (f *faces) page(path string) string {
	return html.UnescapeString(tag.ReplaceAllString(f.get(path), " "))
}

// shows is how a field of the view is seen: its words on the page and in the
// shell. An empty word says nothing.
type shows struct {
	words    func(f *faces, v any) []string
	pageOnly string // why the shell's text does not have it; -o json has all
	neither  string // why no text has it
}

func one(of func(f *faces, v any) string) shows {
	return shows{words: func(f *faces, v any) []string { return []string{of(f, v)} }}
}

func service(of func(f *faces, sv *machine.ServiceView) string) shows {
	return one(func(f *faces, v any) string { return of(f, v.(*machine.ServiceView)) })
}

func offer(of func(o *machine.OfferView) string) shows {
	return one(func(_ *faces, v any) string { return of(v.(*machine.OfferView)) })
}

func node(of func(n *machine.NodeView) string) shows {
	return one(func(_ *faces, v any) string { return of(v.(*machine.NodeView)) })
}

// when gives the words where they say something.
func when(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

func age(at time.Time) string { return when(!at.IsZero(), view.Age(viewtest.Now, at)) }

var onlyJSON = "a word for programs, in -o json and the API"

var fieldsOfService = map[string]shows{
	"Name":         service(func(_ *faces, sv *machine.ServiceView) string { return sv.Name }),
	"Local":        service(func(_ *faces, sv *machine.ServiceView) string { return when(!sv.Local, "not configured on this node") }),
	"Group":        service(func(_ *faces, sv *machine.ServiceView) string { return sv.Group }),
	"Dependencies": service(func(_ *faces, sv *machine.ServiceView) string { return strings.Join(sv.Dependencies, " ") }),
	"Kind":         service(func(_ *faces, sv *machine.ServiceView) string { return sv.Kind }),
	"Flags":        service(func(_ *faces, sv *machine.ServiceView) string { return view.KindWords(sv) }),
	"Addresses": service(func(_ *faces, sv *machine.ServiceView) string {
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(sv.Addresses), ",", ""), "[]")
	}),
	"Scope":   service(func(_ *faces, sv *machine.ServiceView) string { return sv.Scope }),
	"Way":     service(func(_ *faces, sv *machine.ServiceView) string { return when(sv.Way != "", "("+sv.Way+")") }),
	"Config":  service(func(_ *faces, sv *machine.ServiceView) string { return when(sv.Local, view.StateHere(sv)) }),
	"State":   service(func(_ *faces, sv *machine.ServiceView) string { return when(sv.Local, view.StateHere(sv)) }),
	"Step":    service(func(_ *faces, sv *machine.ServiceView) string { return when(view.Underway(sv), sv.Step.String()) }),
	"Since":   service(func(_ *faces, sv *machine.ServiceView) string { return age(sv.Since) }),
	"Cause":   service(func(_ *faces, sv *machine.ServiceView) string { return sv.Cause }),
	"Waits":   {words: func(_ *faces, v any) (all []string) { return v.(*machine.ServiceView).Waits }},
	"Want":    service(func(_ *faces, sv *machine.ServiceView) string { return when(sv.Local, sv.Want+": "+sv.Why) }),
	"Why":     service(func(_ *faces, sv *machine.ServiceView) string { return when(sv.Local, sv.Why) }),
	"Code":    {neither: onlyJSON},
	"Failure": service(func(_ *faces, sv *machine.ServiceView) string { return when(sv.Failure.Code != 0, sv.Failure.String()) }),
	"Claim":   service(func(_ *faces, sv *machine.ServiceView) string { return when(sv.Claim != 0, sv.Claim.String()) }),
	"Seen": service(func(_ *faces, sv *machine.ServiceView) string {
		return when(sv.Seen != 0, "best seen "+sv.Seen.String())
	}),
	"Pin":     service(func(f *faces, sv *machine.ServiceView) string { return f.s.PinWords(sv) }),
	"PinHost": service(func(_ *faces, sv *machine.ServiceView) string { return sv.PinHost }),
	"Hold": service(func(_ *faces, sv *machine.ServiceView) string {
		return when(sv.Hold.On, "An operator stopped it everywhere")
	}),
	"Freeze": service(func(_ *faces, sv *machine.ServiceView) string { return view.FreezeWords(sv) }),
	"Interval": service(func(_ *faces, sv *machine.ServiceView) string {
		return when(sv.Interval > 0, "every "+sv.Interval.String())
	}),
	"LastCheck": service(func(_ *faces, sv *machine.ServiceView) string { return age(sv.LastCheck) }),
	"Running":   service(func(_ *faces, sv *machine.ServiceView) string { return sv.Running }),
	"Last": service(func(_ *faces, sv *machine.ServiceView) string {
		return when(!sv.Last.At.IsZero(), fmt.Sprintf("%s %s after %s", sv.Last.Primitive, sv.Last.Outcome, view.Took(sv.Last.Took)))
	}),
	"Deadlines": {words: func(_ *faces, v any) (all []string) {
		for _, d := range v.(*machine.ServiceView).Deadlines {
			all = append(all, view.DueWords(viewtest.Now, d))
		}
		return all
	}},
	"RunningSince": service(func(_ *faces, sv *machine.ServiceView) string { return view.RunningWords(viewtest.Now, sv) }),
	"LSA":          service(func(_ *faces, sv *machine.ServiceView) string { return sv.LSA }),
	"Offers":       {neither: "each by its fields"},
	"Settings":     {neither: "for simulate; the running configuration has them"},
	"Holder": service(func(_ *faces, sv *machine.ServiceView) string {
		return "runs " + strings.TrimSuffix("on "+sv.Holder, "on ") + when(sv.Holder == "", "nowhere")
	}),
	"Notices": {words: func(_ *faces, v any) (all []string) { return v.(*machine.ServiceView).Notices }},
}

var fieldsOfOffer = map[string]shows{
	"Router":     {neither: "a node is called by its name; show node has both"},
	"Host":       offer(func(o *machine.OfferView) string { return o.Host }),
	"Self":       {neither: "a mark in its row: * or (here)"},
	"Counts":     offer(view.Remarks),
	"Rank":       offer(view.RankWords),
	"WhyNot":     offer(func(o *machine.OfferView) string { return o.WhyNot }),
	"Config":     offer(view.OfferState),
	"State":      offer(view.OfferState),
	"Step":       offer(func(o *machine.OfferView) string { return when(o.Step.String() != "none", o.Step.String()) }),
	"Preference": offer(view.PrefWords),
	"Pinned":     offer(view.PrefWords),
	"Claim":      offer(view.ClaimWords),
	"Seen":       {pageOnly: "a terminal has no room", words: offer(func(o *machine.OfferView) string { return when(o.Seen != 0, o.Seen.String()) }).words},
	"Flags":      offer(func(o *machine.OfferView) string { return strings.ReplaceAll(o.Flags.String(), ",", " ") }),
	"Failure":    offer(func(o *machine.OfferView) string { return when(o.Failure.Code != 0, o.Failure.String()) }),
	"Interval":   {neither: "one for all, at the service; show check has each"},
	"LastCheck":  offer(func(o *machine.OfferView) string { return age(o.LastCheck) }),
	"Digest":     {pageOnly: "a terminal has no room", words: offer(func(o *machine.OfferView) string { return o.Digest.String() }).words},
	"Announced": {pageOnly: "show address tells who announces what", words: offer(func(o *machine.OfferView) string {
		return strings.Trim(fmt.Sprint(o.Announced), "[]")
	}).words},
	"LastHeard": {pageOnly: "why tells it of those that are no candidates", words: offer(func(o *machine.OfferView) string { return age(o.LastHeard) }).words},
}

var fieldsOfNode = map[string]shows{
	"Router":      node(func(n *machine.NodeView) string { return n.Router.String() }),
	"Host":        node(func(n *machine.NodeView) string { return n.Host }),
	"Self":        {neither: "a mark in its row: * or (here)"},
	"State":       node(view.NodeState),
	"Status":      node(func(n *machine.NodeView) string { return n.Status }),
	"Since":       node(func(n *machine.NodeView) string { return age(n.Since) }),
	"Version":     node(func(n *machine.NodeView) string { return n.Version }),
	"Web":         node(func(n *machine.NodeView) string { return when(n.Web.IsValid() && !n.Self, n.Web.String()) }),
	"Incarnation": node(func(n *machine.NodeView) string { return fmt.Sprint(n.Incarnation) }),
	"Generation":  node(func(n *machine.NodeView) string { return fmt.Sprint(n.Generation) }),
	"Offers":      node(func(n *machine.NodeView) string { return fmt.Sprint(n.Offers) }),
	"Runs":        node(func(n *machine.NodeView) string { return fmt.Sprint(n.Runs) }),
	"LastHeard":   node(func(n *machine.NodeView) string { return age(n.LastHeard) }),
}

// check looks for every field of v, a pointer to a struct, in both texts.
func (f *faces) check(what string, v any, fields map[string]shows, shellText, pageText string) {
	f.t.Helper()
	kind := reflect.TypeOf(v).Elem()
	for i := range kind.NumField() {
		name := kind.Field(i).Name
		how, ok := fields[name]
		if !ok {
			f.t.Errorf("%s.%s is new: say how shell and page show it", kind.Name(), name)
			continue
		}
		if how.neither != "" {
			continue
		}
		for _, w := range how.words(f, v) {
			w = strings.TrimSpace(words(w))
			if !strings.Contains(pageText, w) {
				f.t.Errorf("%s: the page does not show %s: %q", what, name, w)
			}
			if how.pageOnly == "" && !strings.Contains(shellText, w) {
				f.t.Errorf("%s: the shell does not show %s: %q", what, name, w)
			}
		}
	}
	for name := range fields {
		if _, ok := kind.FieldByName(name); !ok {
			f.t.Errorf("%s has no field %s", kind.Name(), name)
		}
	}
}

// One snapshot, four faces: every field of the view is in the words of package
// view on the page and in the shell, the API is the shell's JSON, and the
// metrics count the same.
func TestTheSameClusterLooksTheSameInEveryFace(t *testing.T) {
	s := viewtest.Snapshot()
	s.Service("dns").Freeze.On = true
	f := newFaces(t, s)
	for i := range s.Machine.Services {
		sv := &s.Machine.Services[i]
		shellText, pageText := words(f.shell("show service "+sv.Name, "why "+sv.Name)), words(f.page("/service/"+sv.Name))
		f.check(sv.Name, sv, fieldsOfService, shellText, pageText)
		for j := range sv.Offers {
			f.check(sv.Name+" on "+sv.Offers[j].Host, &sv.Offers[j], fieldsOfOffer, shellText, pageText)
		}
		f.sameJSON("-o json show service "+sv.Name, "/api/v1/services/"+sv.Name)
		f.sameJSON("-o json why "+sv.Name, "/api/v1/services/"+sv.Name+"/why")
	}
	pageText := words(f.page("/nodes"))
	for i := range s.Machine.Nodes {
		n := &s.Machine.Nodes[i]
		f.check(n.Host, n, fieldsOfNode, words(f.shell("show node", "show node "+n.Host)), pageText)
		f.sameJSON("-o json show node "+n.Host, "/api/v1/nodes/"+n.Host)
	}
	for line, path := range map[string]string{"show service": "services", "show node": "nodes", "show group": "groups", "show placement": "placements", "show check": "checks",
		"show address": "addresses", "show route": "routes", "show lsdb": "lsdb", "show events": "events", "show failover": "failovers", "show version": "version"} {
		f.sameJSON("-o json "+line, "/api/v1/"+path)
	}

	problems, overview := s.Problems(viewtest.Now), words(f.page("/"))
	said := words(f.shell("show service"))
	level := map[machine.Level]int{}
	for _, p := range problems {
		level[p.Level]++
		for face, text := range map[string]string{"shell": said, "page": overview} {
			if w := strings.TrimSpace(words(p.Text)); !strings.Contains(text, w) {
				t.Errorf("the %s does not say %q", face, w)
			}
		}
	}
	for l, n := range level {
		f.counts(fmt.Sprintf(`srrd_problems{level=%q} %d`, l, n))
	}
	status := map[string]int{}
	for _, n := range s.Machine.Nodes {
		status[n.Status]++
	}
	for word, n := range status {
		f.counts(fmt.Sprintf(`srrd_nodes{status=%q} %d`, word, n))
	}
	for i := range s.Machine.Services {
		sv := &s.Machine.Services[i]
		candidates := 0
		for _, o := range sv.Offers {
			if o.Rank > 0 {
				candidates++
			}
		}
		f.counts(fmt.Sprintf(`srrd_service_candidates{service=%q} %d`, sv.Name, candidates))
		f.counts(fmt.Sprintf(`srrd_service_frozen{service=%q} %d`, sv.Name, map[bool]int{true: 1}[sv.Freeze.On]))
		f.counts(fmt.Sprintf(`srrd_service_stopped_by_operator{service=%q} %d`, sv.Name, map[bool]int{true: 1}[sv.Hold.On]))
		if sv.Local {
			f.counts(fmt.Sprintf(`srrd_service_state{service=%q,state=%q} 1`, sv.Name, sv.State))
		}
	}
}

func (f *faces) counts(line string) {
	f.t.Helper()
	if !strings.Contains("\n"+f.m, "\n"+line+"\n") {
		f.t.Errorf("the metrics do not count %s", line)
	}
}

func (f *faces) sameJSON(line, path string) {
	f.t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(f.shell(line)), &a); err != nil {
		f.t.Fatalf("%s: %v", line, err)
	}
	if err := json.Unmarshal([]byte(f.get(path)), &b); err != nil {
		f.t.Fatalf("%s: %v", path, err)
	}
	if !reflect.DeepEqual(a, b) {
		f.t.Errorf("%s and %s answer differently", line, path)
	}
}
