package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func srrsim(t *testing.T, stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

const dump = `{"format":1,"host":"n1","nodes":[
	{"router_id":"10.1.0.1","host":"n1","state":"online","present":true},
	{"router_id":"10.1.0.2","host":"n2","state":"online","present":true}],
	"services":[{"name":"web","addresses":["10.99.0.1"],"offers":[
	{"router_id":"10.1.0.1","state":"started","preference":100,"turn":3},
	{"router_id":"10.1.0.2","state":"stopped","preference":100}]}]}`

func TestAMadeUpClusterTellsWhatHappensInIt(t *testing.T) {
	code, out, errs := srrsim(t, "", "run", "--nodes", "3", "--services", "3", "--for", "60s", "--fault", "node-down:n3@20s")
	if code != exitOK || errs != "" {
		t.Fatalf("exit %d, %s\n%s", code, errs, out)
	}
	for _, want := range []string{"    20.000  --- node-down n3", "n1       warning node n3 is unreachable", "s1       runs on n2", "no invariant was broken", "LSAs with"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not said:\n%s", want, out)
		}
	}
	_, again, _ := srrsim(t, "", "run", "--nodes", "3", "--services", "3", "--for", "60s", "--fault", "node-down:n3@20s")
	if again != out {
		t.Error("one seed, two runs")
	}
}

func TestALiveClusterIsAskedFromItsDump(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dump.json")
	if err := os.WriteFile(file, []byte(dump), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := srrsim(t, "", "what-if", "--from", file, "node-down", "n1")
	if code != exitOK || !strings.Contains(out, "web  moves from n1 to n2, nobody runs it for 1") {
		t.Errorf("exit %d, %s\n%s", code, errs, out)
	}
	code, out, errs = srrsim(t, dump, "what-if", "-o", "json", "service-fails", "web")
	var a struct {
		Services []struct {
			Service  string
			From, To []string
		}
	}
	if err := json.Unmarshal([]byte(out), &a); err != nil || code != exitOK {
		t.Fatalf("exit %d, %v, %s", code, err, errs)
	}
	if len(a.Services) != 1 || a.Services[0].From[0] != "n1" || a.Services[0].To[0] != "n2" {
		t.Errorf("%+v", a)
	}
}

func TestScaleMeasuresEverySizeAndDrawsIt(t *testing.T) {
	plot := filepath.Join(t.TempDir(), "scale.svg")
	code, out, errs := srrsim(t, "", "scale", "--nodes", "6,12", "--services", "6", "--sites", "3", "--plot", plot)
	if code != exitOK || !strings.Contains(out, "a site's end, 6 to 12 nodes: LSAs grow with nodes^0.00") {
		t.Errorf("exit %d, %s\n%s", code, errs, out)
	}
	svg, err := os.ReadFile(plot)
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(svg, new(struct{})); err != nil || strings.Contains(string(svg), "NaN") {
		t.Errorf("%v\n%s", err, svg)
	}
	code, out, errs = srrsim(t, "", "scale", "--nodes", "1000", "--services", "1000", "--offers", "1000")
	if code != exitOK || !strings.Contains(out, "offers in all memories are too many") {
		t.Errorf("exit %d, %s\n%s", code, errs, out)
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"a fault of no kind", []string{"run", "--fault", "boom:n1@3s"}, `fault "boom:n1@3s": the kinds are node-down:NODE,`},
		{"a fault at no time", []string{"run", "--fault", "node-down:n1"}, "when? Add @TIME, such as @30s"},
		{"a fault at a wrong time", []string{"run", "--fault", "node-down:n1@soon"}, `"soon" is no time`},
		{"a fault that lacks its node", []string{"run", "--fault", "node-down@3s"}, "it is written node-down:NODE@TIME"},
		{"a fault of nobody", []string{"run", "--fault", "node-down:n9@3s"}, `there is no node "n9"; there are n1, n2, n3`},
		{"a cluster too large", []string{"run", "--nodes", "251"}, "1 to 250 nodes"},
		{"a cluster of nothing", []string{"run", "--services", "0"}, "1 to 1000 services"},
		{"no dump", []string{"what-if", "node-down", "n1"}, "-: this is not what `simulate dump` writes"},
		{"a file that is not there", []string{"what-if", "--from", "/nowhere/dump", "node-down", "n1"}, "no such file or directory"},
		{"no time to simulate", []string{"run", "--limit", "1ns"}, "given up at"},
		{"a scale in an output nobody knows", []string{"scale", "-o", "xml"}, "output is csv, json or text"},
		{"an output nobody knows", []string{"what-if", "-o", "xml", "node-down", "n1"}, "output is json or text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, errs := srrsim(t, "", c.args...)
			if code != exitFailed || !strings.HasPrefix(errs, "srrsim: ") || !strings.Contains(errs, c.want) {
				t.Errorf("exit %d, %s, want %s", code, errs, c.want)
			}
		})
	}
}
