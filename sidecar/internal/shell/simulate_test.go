package shell

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/srrd/srrd/sidecar/internal/view"
)

func TestAQuestionIsTakenApartForTheClient(t *testing.T) {
	for line, want := range map[string][]string{
		"simulate node-down n1":              {"node-down", "n1"},
		"-o json sim node-d n1":              {"node-down", "n1"},
		"simulate service-fails web":         {"service-fails", "web"},
		"simulate service-fails web n2":      {"service-fails", "web", "n2"},
		"simulate partition n1,n2":           {"partition", "n1,n2"},
		"simulate config /etc/srrd/new.yaml": {"config", "/etc/srrd/new.yaml"},
		"simulate dump":                      nil,
		"simulate node-down":                 nil,
		"show service":                       nil,
	} {
		got, _, ok := Simulation(line)
		if !slices.Equal(got, want) || ok != (want != nil) {
			t.Errorf("%s: %q, %v", line, got, ok)
		}
	}
	if _, json, _ := Simulation("-o json simulate node-down n1"); !json {
		t.Error("-o json is lost")
	}
}

func TestTheDumpIsReadBack(t *testing.T) {
	sh, _ := newShell()
	out, status := run(t, sh, "simulate dump")
	if status != StatusSuccess {
		t.Fatalf("status %d: %s", status, out)
	}
	var d view.ClusterDocument
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	if d.Format != view.ClusterFormat || len(d.Nodes) < 2 || len(d.Services) < 2 || d.Host == "" {
		t.Errorf("the dump lacks something: %+v", d)
	}
	started := 0
	for _, s := range d.Services {
		for _, o := range s.Offers {
			if o.Router == 0 {
				t.Errorf("%s: an offer of nobody", s.Name)
			}
			if o.State == "started" {
				started++
			}
		}
	}
	if started == 0 {
		t.Error("nothing runs in the dump")
	}
}
