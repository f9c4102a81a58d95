package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
)

func TestCommandsReachTheOwnerAsTheShellGivesThem(t *testing.T) {
	for _, tc := range []struct {
		name, path string
		form       url.Values
		want       *machine.Command
		code       int
		says       string
	}{
		{"stop", "/service/dns/stop", nil, &machine.Command{Verb: machine.VerbStop, Service: "dns"}, 303, ""},
		{"move for a time", "/service/dns/move", url.Values{"node": {"n2"}, "for": {"90s"}}, &machine.Command{Verb: machine.VerbMove, Service: "dns", Node: "n2", For: 90 * time.Second}, 303, ""},
		{"move until unmove", "/service/dns/move", url.Values{"node": {"n2"}, "for": {""}}, &machine.Command{Verb: machine.VerbMove, Service: "dns", Node: "n2"}, 303, ""},
		{"move without a node", "/service/dns/move", nil, nil, 400, "move wants a node"},
		{"move for nonsense", "/service/dns/move", url.Values{"node": {"n2"}, "for": {"soon"}}, nil, 400, "want a duration such as"},
		{"confirm without the tick", "/service/disk/confirm-stopped", url.Values{"node": {"n4"}}, nil, 400, "the tick that you are sure"},
		{"confirm", "/service/disk/confirm-stopped", url.Values{"node": {"n4"}, "sure": {"yes"}}, &machine.Command{Verb: machine.VerbConfirmStopped, Service: "disk", Node: "n4"}, 303, ""},
		{"standby", "/node/standby", nil, &machine.Command{Verb: machine.VerbStandby}, 303, ""},
		{"freeze", "/service/dns/freeze", nil, &machine.Command{Verb: machine.VerbFreeze, Service: "dns"}, 303, ""},
		{"unfreeze", "/service/dns/unfreeze", nil, &machine.Command{Verb: machine.VerbUnfreeze, Service: "dns"}, 303, ""},
		{"maintenance", "/node/maintenance", nil, &machine.Command{Verb: machine.VerbMaintenance}, 303, ""},
		{"drain", "/node/drain", nil, &machine.Command{Verb: machine.VerbDrain}, 303, ""},
		{"freeze the cluster", "/cluster/freeze", nil, &machine.Command{Verb: machine.VerbClusterFreeze}, 303, ""},
		{"unfreeze the cluster", "/cluster/unfreeze", nil, &machine.Command{Verb: machine.VerbClusterUnfreeze}, 303, ""},
		{"freeze a node", "/node/freeze", nil, nil, 404, "there is no command"},
		{"standby of the cluster", "/cluster/standby", nil, nil, 404, "there is no command"},
		{"a verb there is not", "/service/dns/explode", nil, nil, 404, "there is no command"},
		{"a verb of the node for a service", "/service/dns/standby", nil, nil, 404, "there is no command"},
		{"a verb of a service for the node", "/node/stop", nil, nil, 404, "there is no command"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, f := newServer(t, Operator)
			w := post(t, s, tc.path, tc.form)
			if w.Code != tc.code || !strings.Contains(w.Body.String(), tc.says) {
				t.Errorf("status %d, want %d: %s", w.Code, tc.code, w.Body)
			}
			var want []machine.Command
			if tc.want != nil {
				tc.want.Who = "alice"
				want = append(want, *tc.want)
			}
			if diff := cmp.Diff(want, f.asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A drain lasts as long as the services take to stop: a page does not wait for
// it and shows what is left; the API waits, and says so if it was too long.
func TestADrainThatLastsIsShownAsItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, f := newServer(t, Operator, func(c *Config) { c.Audit = slog.New(slog.NewTextHandler(&log, nil)) })
		f.slow = func() {
			f.snapshot.Machine.Node, f.snapshot.Machine.Draining = advert.Standby, []string{"dns", "mail"}
		}
		began := time.Now()
		to := post(t, s, "/node/drain", nil).Header().Get("Location")
		if took := time.Since(began); took > time.Second {
			t.Errorf("the page waited %s", took)
		}
		body := get(t, s, to).Body.String()
		for _, want := range []string{`role="status">the node drains; still here: dns, mail</p>`, `<dd id="draining">2 services left: <a href="/service/dns">dns</a>, <a href="/service/mail">mail</a></dd>`, `id="do-drain" title="standby, and show what still runs here until nothing does" disabled`} {
			if !strings.Contains(body, want) {
				t.Errorf("no %s in %s", want, body)
			}
		}
		if !strings.Contains(log.String(), `what="node drain" before=online after="standby, draining (2 services left)" outcome=done`) {
			t.Errorf("the audit log has %s", log.String())
		}
		r := httptest.NewRequest("POST", "/api/v1/node/drain", nil)
		r.Header.Set("X-SRRD-Token", s.token(Person{"alice", Operator}))
		if w := ask(t, s, r); w.Code != 409 || !strings.Contains(w.Body.String(), "no end within 1m15s; it goes on; still here: dns, mail") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestWhatIsFrozenIsSaidOnItsPages(t *testing.T) {
	s, f := newServer(t, Operator)
	m := &f.snapshot.Machine
	m.Freeze = advert.Hold{Number: 1, On: true}
	f.snapshot.Service("dns").Freeze = advert.Hold{Number: 1, On: true}
	for path, all := range map[string][]string{
		"/":            {"<b>n1</b> is online, the cluster is frozen", "no node starts or stops anything until `cluster unfreeze`"},
		"/admin":       {"frozen: no node starts or stops anything", `id="do-cluster-freeze" title="start and stop nothing on any node until unfreeze; everything is still observed" disabled`},
		"/service/dns": {"<dt>frozen</dt><dd>no node starts or stops it until `service dns unfreeze`</dd>", `id="do-freeze" title="start and stop it nowhere until unfreeze, with its group" disabled`, `id="do-unfreeze" title="end a freeze, of its whole group">`},
	} {
		body := get(t, s, path).Body.String()
		for _, want := range all {
			if !strings.Contains(body, want) {
				t.Errorf("%s does not say %q", path, want)
			}
		}
	}
}

func TestWhatCameOfItIsSaidOnceAndToTheSamePerson(t *testing.T) {
	s, f := newServer(t, Operator)
	f.refusal = errors.New("no node offers a service \"dns\"")
	to := post(t, s, "/service/dns/stop", url.Values{"back": {"/services?q=d"}}).Header().Get("Location")
	if !strings.HasPrefix(to, "/services?q=d&said=") {
		t.Fatalf("led to %q", to)
	}
	r := httptest.NewRequest("GET", to, nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	s.ServeHTTP(w, as(r, Person{"mallory", Viewer}))
	if strings.Contains(w.Body.String(), "no node offers") {
		t.Error("somebody else is told")
	}
	if body := get(t, s, to).Body.String(); !strings.Contains(body, `role="alert">dns stop: no node offers a service`) {
		t.Errorf("not said: %s", body)
	}
	if body := get(t, s, to).Body.String(); strings.Contains(body, "no node offers") {
		t.Error("said twice")
	}
	for range 3 * maxNotices {
		s.notices.put(notice{Text: "x"})
	}
	if len(s.notices.all) != maxNotices || len(s.notices.order) != maxNotices {
		t.Errorf("%d notices kept", len(s.notices.all))
	}
	if to := post(t, s, "/service/dns/stop", url.Values{"back": {"https://evil.example/"}}).Header().Get("Location"); !strings.HasPrefix(to, "/?said=") {
		t.Errorf("led to %q", to)
	}
}

// The srrd that answers is not the one that is asked next: what it keeps in its
// memory for the next page is gone, what it keeps in its events is not.
func TestAReexecutionIsToldByTheEventsAndARefusalByThePage(t *testing.T) {
	var log bytes.Buffer
	s, f := newServer(t, Admin, func(c *Config) { c.Audit = slog.New(slog.NewTextHandler(&log, nil)) })
	if body := get(t, s, "/admin").Body.String(); !strings.Contains(body, `action="/admin/reexec"`) {
		t.Errorf("no button on %s", body)
	}
	f.answer = "version 2 takes over from 1"
	if w := post(t, s, "/admin/reexec", nil); w.Code != 303 || w.Header().Get("Location") != "/events" {
		t.Errorf("status %d, led to %q", w.Code, w.Header().Get("Location"))
	}
	if !strings.Contains(log.String(), `what="daemon reexec" before="" after="version 2 takes over from 1" outcome=done`) {
		t.Errorf("the audit log has %s", log.String())
	}
	f.answer, f.refusal = "", errors.New("srrd goes on as it is: it is not srrd")
	to := post(t, s, "/admin/reexec", nil).Header().Get("Location")
	if body := get(t, s, to).Body.String(); !strings.HasPrefix(to, "/admin?said=") || !strings.Contains(body, `role="alert">srrd goes on as it is: it is not srrd`) {
		t.Errorf("led to %q: %s", to, body)
	}
	if !strings.Contains(log.String(), `outcome="refused: srrd goes on as it is`) {
		t.Errorf("the audit log has %s", log.String())
	}
	o, _ := newServer(t, Operator)
	if body := get(t, o, "/admin").Body.String(); strings.Contains(body, "reexec") {
		t.Error("an operator has the button")
	}
	if w := post(t, o, "/admin/reexec", nil); w.Code != 403 {
		t.Errorf("an operator gets %d", w.Code)
	}
}

func TestAViewerMayOnlyLook(t *testing.T) {
	for _, tc := range []struct {
		command string
		least   Role // Nobody: refused to everybody
	}{
		{"show ip ospf neighbor", Viewer},
		{"show running-config", Admin},
		{"show run", Admin},
		{"show", Admin},
		{"clear ip ospf interface", Operator},
		{"router ospf", Admin},
		{"no router ospf", Admin},
		{"write memory", Admin},
		{"Show ip route", Admin},
		{"showx", Admin},
		{"configure terminal", Nobody},
		{"conf t", Nobody},
		{"CONF T", Nobody},
		{"show ip route\nconfigure terminal", Nobody},
		{"show ip route\x00", Nobody},
		{"", Nobody},
		{strings.Repeat("show ", 300), Nobody},
	} {
		for role := Viewer; role <= Admin; role++ {
			s, f := newServer(t, role)
			w := post(t, s, "/router/ospfd", url.Values{"command": {tc.command}})
			allowed := tc.least != Nobody && role >= tc.least
			if ran := len(f.vty) > 0; ran != allowed || (w.Code == 200) != allowed {
				t.Errorf("%.30q as %s: status %d, ran %v", tc.command, role, w.Code, f.vty)
			}
		}
	}
	s, _ := newServer(t, Viewer)
	body := post(t, s, "/router/ospfd", url.Values{"preset": {"show ip ospf neighbor"}}).Body.String()
	if !strings.Contains(body, "10.255.0.101      1 Full/DR") || !strings.Contains(body, "&lt;b&gt;") {
		t.Errorf("no answer: %s", body)
	}
	s, _ = newServer(t, Admin)
	body = post(t, s, "/router/ospfd", url.Values{"command": {"show nonsense"}}).Body.String()
	if !strings.Contains(body, "Unknown command") || !strings.Contains(body, `role="alert"`) {
		t.Errorf("an error of the daemon: %s", body)
	}
}

func TestLinesOfConfigurationGoInOneSession(t *testing.T) {
	s, f := newServer(t, Admin)
	w := post(t, s, "/router/zebra/configure", url.Values{"lines": {"interface lo\r\n  description x \r\n\r\n"}})
	if w.Code != 200 || !cmp.Equal(f.lines, []string{"zebra: interface lo /   description x"}) {
		t.Errorf("status %d, lines %q", w.Code, f.lines)
	}
}

func TestShutdownWantsTheTick(t *testing.T) {
	s, f := newServer(t, Admin)
	if w := post(t, s, "/admin/shutdown", nil); w.Code != 400 || f.down != 0 {
		t.Errorf("without: status %d, down %d", w.Code, f.down)
	}
	if w := post(t, s, "/admin/shutdown", url.Values{"sure": {"yes"}}); w.Code != 200 || f.down != 1 {
		t.Errorf("with: status %d, down %d", w.Code, f.down)
	}
}

func TestTheAPIGivesTheDocumentsOfTheShell(t *testing.T) {
	s, f := newServer(t, Viewer)
	v := f.snapshot
	for path, want := range map[string]any{
		"/api/v1/services":            v.ServicesDocument(viewtest.Now),
		"/api/v1/services/dns":        v.ServiceDocument(viewtest.Now, v.Service("dns")),
		"/api/v1/services/dns/why":    v.WhyDocument(viewtest.Now, v.Service("dns")),
		"/api/v1/nodes":               v.NodesDocument(),
		"/api/v1/nodes/n2":            v.NodeDocument(v.Node("n2")),
		"/api/v1/addresses":           v.AddressesDocument(),
		"/api/v1/routes":              v.RoutesDocument(),
		"/api/v1/lsdb":                v.DatabaseDocument(viewtest.Now, "all", false),
		"/api/v1/lsdb?kind=opaque-as": v.DatabaseDocument(viewtest.Now, "opaque-as", false),
		"/api/v1/lsdb?detail=true":    v.DatabaseDocument(viewtest.Now, "all", true),
		"/api/v1/events?n=3":          v.EventsDocument(v.Events[len(v.Events)-3:]),
		"/api/v1/failovers":           v.FailoversDocument(v.Failovers),
		"/api/v1/version":             v.VersionDocument(),
		"/api/v1/config":              map[string]string{"error": "this needs the role admin; alice is viewer"},
		"/api/v1/session":             Session{"alice", "viewer", s.token(Person{"alice", Viewer})},
		"/api/v1/services/none":       map[string]string{"error": `there is no service "none"`},
		"/api/v1/nodes/none":          map[string]string{"error": `there is no node "none"`},
		"/api/v1/lsdb?kind=nonsense":  map[string]string{"error": `there is no kind of LSA "nonsense"`},
		"/api/v1/events?n=99999":      map[string]string{"error": `want a number from 0 to 2000, got "99999"`},
	} {
		w := get(t, s, path)
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if json.Unmarshal(w.Body.Bytes(), &a) != nil || json.Unmarshal(text, &b) != nil {
			t.Errorf("%s: no JSON: %s", path, w.Body)
			continue
		}
		if diff := cmp.Diff(b, a); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", path, diff)
		}
	}
}

func TestTheAPITakesCommands(t *testing.T) {
	for _, tc := range []struct {
		name, path, body, token string
		code                    int
		says                    string
	}{
		{"a command", "/api/v1/services/dns/move", `{"node":"n2","for":"10m"}`, "fits", 200, `"answer": "done"`},
		{"a command without a body", "/api/v1/services/dns/stop", "", "fits", 200, `"answer": "done"`},
		{"no token", "/api/v1/services/dns/stop", "", "", 403, "X-SRRD-Token"},
		{"an unknown key", "/api/v1/services/dns/stop", `{"nod":"n2"}`, "fits", 400, "unknown field"},
		{"no JSON", "/api/v1/services/dns/stop", `node=n2`, "fits", 400, "no JSON object"},
		{"confirm without being sure", "/api/v1/services/disk/confirm-stopped", `{"node":"n4"}`, "fits", 400, "sure"},
		{"confirm", "/api/v1/services/disk/confirm-stopped", `{"node":"n4","sure":true}`, "fits", 200, "done"},
		{"the node", "/api/v1/node/standby", "", "fits", 200, "done"},
		{"no such verb", "/api/v1/node/stop", "", "fits", 404, "there is no command"},
		{"the cluster", "/api/v1/cluster/freeze", "", "fits", 200, "done"},
		{"freeze of a service", "/api/v1/services/dns/freeze", "", "fits", 200, "done"},
		{"a verb of the cluster for the node", "/api/v1/node/freeze", "", "fits", 404, "there is no command"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, f := newServer(t, Operator)
			r := httptest.NewRequest("POST", tc.path, strings.NewReader(tc.body))
			if tc.token != "" {
				r.Header.Set("X-SRRD-Token", s.token(Person{"alice", Operator}))
			}
			w := ask(t, s, r)
			if w.Code != tc.code || !strings.Contains(w.Body.String(), tc.says) || (len(f.asked) == 1) != (tc.code == 200) {
				t.Errorf("status %d, %s, asked %v", w.Code, w.Body, f.asked)
			}
		})
	}
	s, f := newServer(t, Operator)
	f.refusal = errors.New("it is not moved")
	r := httptest.NewRequest("POST", "/api/v1/services/dns/unmove", nil)
	r.Header.Set("X-SRRD-Token", s.token(Person{"alice", Operator}))
	if w := ask(t, s, r); w.Code != 409 || !strings.Contains(w.Body.String(), `"error":"it is not moved"`) {
		t.Errorf("a refusal: %d %s", w.Code, w.Body)
	}
}
