package whatif_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/whatif"
)

var update = flag.Bool("update", false, "rewrite the goldens")

func router(last byte) machine.RouterID {
	return advert.RouterIDFrom(netip.AddrFrom4([4]byte{192, 168, 7, last}))
}

// three is a cluster of three nodes whose router ids and names are in
// different orders: web is symmetric and runs on alpha, mail is asymmetric and
// runs on its best node gamma, disk is a resource on beta, and of the group G
// app depends on data.
func three() *view.ClusterDocument {
	d := &view.ClusterDocument{Format: view.ClusterFormat, Host: "alpha", Nodes: []view.ClusterNode{
		{Router: router(30), Host: "alpha", State: "online", Present: true},
		{Router: router(10), Host: "beta", State: "online", Present: true},
		{Router: router(20), Host: "gamma", State: "online", Present: true},
	}}
	all := []machine.RouterID{router(30), router(10), router(20)}
	add := func(s view.ClusterService, on machine.RouterID, of func(*view.ClusterOffer, int)) {
		for i, r := range all {
			f := view.ClusterOffer{Router: r, State: "stopped", Preference: 100}
			if r == on {
				f.State, f.Turn = "started", 7
			}
			if of != nil {
				of(&f, i)
			}
			s.Offers = append(s.Offers, f)
		}
		d.Services = append(d.Services, s)
	}
	addr := func(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }
	strict := func(f *view.ClusterOffer, _ int) { f.Strict, f.Critical = true, true }
	add(view.ClusterService{Name: "app", Group: "G", Dependencies: []string{"data"}, Addresses: addr("10.99.0.9")}, router(20), strict)
	add(view.ClusterService{Name: "data", Group: "G"}, router(20), strict)
	add(view.ClusterService{Name: "disk"}, router(10), strict)
	add(view.ClusterService{Name: "mail", Addresses: addr("10.99.0.2")}, router(20), func(f *view.ClusterOffer, i int) { f.Preference = []uint8{50, 100, 200}[i] })
	add(view.ClusterService{Name: "web", Addresses: addr("10.99.0.1")}, router(30), nil)
	return d
}

func noConfig(string) (machine.Config, error) {
	return machine.Config{}, errors.New("no such file")
}

func ask(t *testing.T, d *view.ClusterDocument, question string, load whatif.Loader) *whatif.Answer {
	t.Helper()
	a, err := whatif.Ask(context.Background(), d, strings.Fields(question), whatif.Options{}, load)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAnswersAreThoseOfTheGoldens(t *testing.T) {
	for name, c := range map[string]struct {
		question string
		change   func(*view.ClusterDocument)
	}{
		"node-down":                  {"node-down gamma", nil},
		"service-fails":              {"service-fails web alpha", nil},
		"service-fails-of-a-group":   {"service-fails app", nil},
		"partition":                  {"partition alpha,beta", nil},
		"node-standby":               {"node-standby beta", nil},
		"srrd-down":                  {"srrd-down gamma", nil},
		"ospfd-down":                 {"ospfd-down gamma", nil},
		"node-down-with-a-pin":       {"node-down alpha", func(d *view.ClusterDocument) { d.Services[4].PinnedTo = router(30).String() }},
		"node-down-and-nobody-can":   {"node-down alpha", onlyAlphaCan},
		"node-down-with-a-held-one":  {"node-down alpha", func(d *view.ClusterDocument) { d.Services[4].Held, d.Services[4].Offers[0].State = true, "stopped" }},
		"node-down-while-frozen":     {"node-down gamma", func(d *view.ClusterDocument) { d.Frozen = true }},
		"service-fails-while-frozen": {"service-fails web", func(d *view.ClusterDocument) { d.Services[4].Frozen = true }},
		"on-its-way-already": {"node-down beta", func(d *view.ClusterDocument) {
			d.Services[3].Offers[0].State, d.Services[3].Offers[2].State = "started", "stopped"
		}},
		"node-down-while-one-is-gone": {"node-down gamma", func(d *view.ClusterDocument) { d.Nodes[1].Present = false }},
	} {
		t.Run(name, func(t *testing.T) {
			d := three()
			if c.change != nil {
				c.change(d)
			}
			var got bytes.Buffer
			ask(t, d, c.question, noConfig).Text(&got, false)
			golden(t, name, got.Bytes())
		})
	}
}

// onlyAlphaCan: web has failed on beta, and gamma is in standby.
func onlyAlphaCan(d *view.ClusterDocument) {
	d.Services[4].Offers[1].State, d.Services[4].Offers[1].Failure = "failed", "start: exit status 1"
	d.Nodes[2].State = "standby"
	d.Services = d.Services[4:]
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("../../../testdata/whatif", name+".txt")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOneQuestionHasOneAnswer(t *testing.T) {
	var first string
	for range 3 {
		var b bytes.Buffer
		ask(t, three(), "node-down gamma", noConfig).Text(&b, true)
		if first != "" && first != b.String() {
			t.Fatalf("two answers:\n%s\n%s", first, b.String())
		}
		first = b.String()
	}
}

func TestAnotherConfigurationIsThatOfTheNodeOfTheDump(t *testing.T) {
	load := func(path string) (machine.Config, error) {
		if path != "new.yaml" {
			t.Errorf("asked for %q", path)
		}
		return machine.Config{StartupHold: 2 * time.Second, RejoinHold: time.Second, ClaimTimeout: time.Second, AnnounceTimeout: 3 * time.Second, Scope: machine.ASScope}, nil
	}
	a := ask(t, three(), "config new.yaml", load)
	for _, o := range a.Changes {
		if o.Service != "web" {
			continue
		}
		if len(o.To) != 1 || o.To[0] == "alpha" {
			t.Errorf("web, which alpha has no longer, runs on %v", o.To)
		}
	}
}

func TestWhatCannotBeAskedIsRefused(t *testing.T) {
	gone := three()
	gone.Nodes[2].Present = false
	for _, c := range []struct {
		name, question, want string
		d                    *view.ClusterDocument
	}{
		{"an unknown node is named", "node-down delta", `there is no node "delta"; there are beta, gamma, alpha`, three()},
		{"an unknown service is named", "service-fails wbe", `there is no service "wbe"; there are app, data, disk, mail, web`, three()},
		{"an unknown question lists those there are", "explode n1", `"explode n1" is no question; ask node-down NODE,`, three()},
		{"a question lacks its word", "node-down", `"node-down" is no question`, three()},
		{"a node that is not there goes no further down", "node-down gamma", "gamma is not present: it is down already", gone},
		{"a partition has two sides", "partition alpha,beta,gamma", "a partition leaves a node on the other side", three()},
		{"a configuration that cannot be read is said", "config x.yaml", "no such file", three()},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := whatif.Ask(context.Background(), c.d, strings.Fields(c.question), whatif.Options{}, noConfig)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestASimulationEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := whatif.Ask(ctx, three(), []string{"node-down", "gamma"}, whatif.Options{}, noConfig); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestADumpThatIsNoneIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "not what `simulate dump` writes",
		"{}":                             "format 0",
		`{"format":99,"nodes":[{}]}`:     "format 99",
		`{"format":1}`:                   "no node",
		`{"format":1,"nodes":"many"}`:    "not what",
		"[1,2,3]":                        "not what",
		`{"format":1,"nodes":[{}]} {"x"`: "not what",
	} {
		if _, err := whatif.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestTheDumpsSettingsDecide: what the node has configured beyond what is
// flooded decides in the answer, and the answer says so.
func TestTheDumpsSettingsDecide(t *testing.T) {
	d := three()
	disk := func() *view.ClusterService {
		return &d.Services[slices.IndexFunc(d.Services, func(s view.ClusterService) bool { return s.Name == "disk" })]
	}
	set := machine.Service{Name: "disk", Fall: 3, RetryAfter: time.Minute, LostHold: 5 * time.Second, BestEffort: true}
	for p := range set.Timeout {
		set.Timeout[p] = 3 * time.Second
	}
	snapshot := view.Snapshot{Machine: machine.View{Host: "alpha", Services: []machine.ServiceView{{Name: "disk", Local: true, Settings: &set}},
		Timing: machine.Timing{StartupHold: time.Second, RejoinHold: time.Second, ClaimTimeout: time.Second, AnnounceTimeout: time.Second, DeadInterval: 4 * time.Second}}}
	text, err := json.Marshal(snapshot.ClusterDocument())
	if err != nil {
		t.Fatal(err)
	}
	said := view.ClusterDocument{}
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatal(err)
	}
	back := machine.Service{Name: "disk"}
	said.Services[0].Settings.Apply(&back)
	if diff := cmp.Diff(set, back, cmpopts.IgnoreFields(machine.Service{}, "Digest", "Scope")); diff != "" {
		t.Errorf("settings do not come back as they were (-want +got):\n%s", diff)
	}
	outage := func() time.Duration {
		a := ask(t, d, "node-down beta", noConfig)
		return a.Changes[slices.IndexFunc(a.Changes, func(o whatif.Outcome) bool { return o.Service == "disk" })].Outage
	}
	if o := outage(); o < 45*time.Second {
		t.Errorf("without settings disk is back after %s", o)
	}
	d.Timing, disk().Settings = said.Timing, said.Services[0].Settings
	if o := outage(); o < 5*time.Second || o > 6*time.Second {
		t.Errorf("with a lost_hold of 5 s disk is back after %s", o)
	}
	a := ask(t, d, "node-down beta", noConfig)
	if want := "timeouts and holds are on every node those of alpha, and the defaults for app, data, mail, web, which it does not offer"; !slices.Contains(a.Assumed, want) {
		t.Errorf("%q is not assumed: %q", want, a.Assumed)
	}
	disk().Settings = &view.ClusterSettings{Members: 3, Timeouts: said.Services[0].Settings.Timeouts}
	a = ask(t, d, "partition alpha", noConfig)
	if o := a.Changes[slices.IndexFunc(a.Changes, func(o whatif.Outcome) bool { return o.Service == "disk" })]; !slices.Equal(o.To, []string{"beta"}) {
		t.Errorf("with members the minority runs it too: %+v", o)
	}
}
