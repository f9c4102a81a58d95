package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// expressions of the rules and of the dashboard, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	text, err := os.ReadFile("../../../deploy/monitoring/srrd.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if all[r.Alert] != "" || r.Expr == "" || r.Annotations["summary"] == "" || !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
				t.Errorf("rule %q stands twice, or lacks expr, summary or severity", r.Alert)
			}
			all[r.Alert] = r.Expr
			for _, a := range r.Annotations {
				for _, l := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(a, -1) {
					// An aggregation keeps what its by names, anything else the labels of the metric.
					if by := regexp.MustCompile(`by \(([^)]*)\)`).FindStringSubmatch(r.Expr); by != nil && !strings.Contains(by[1], l[1]) {
						t.Errorf("rule %q tells of the label %s, which its expression drops", r.Alert, l[1])
					}
				}
			}
		}
	}
	text, err = os.ReadFile("../../../deploy/monitoring/srrd.dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board any
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	var down func(where string, v any)
	down = func(where string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if title, ok := v["title"].(string); ok {
				where = title
			}
			for k, x := range v {
				if s, ok := x.(string); ok && (k == "expr" || k == "definition") {
					all["dashboard: "+where+": "+s] = s
				}
				down(where, x)
			}
		case []any:
			for _, x := range v {
				down(where, x)
			}
		}
	}
	down("", board)
	return all
}

var (
	metricUse = regexp.MustCompile(`\b(srrd_\w+)(\{[^}]*\})?`)
	labelUse  = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
)

func TestRulesAndDashboardUseTheMetricsThereAre(t *testing.T) {
	known := map[string][]string{}
	for _, m := range listed(t) {
		// Prometheus adds its own to what it scrapes.
		labels := append(slices.Clone(m.Labels), "instance", "job")
		if m.Kind == "histogram" {
			for _, end := range []string{"_bucket", "_sum", "_count"} {
				known[m.Name+end] = append(labels, "le")
			}
			continue
		}
		known[m.Name] = labels
	}
	all := expressions(t)
	if len(all) < 40 {
		t.Fatalf("only %d expressions found", len(all))
	}
	used := map[string]bool{}
	for where, expr := range all {
		for _, pair := range []string{"()", "{}", "[]"} {
			if strings.Count(expr, pair[:1]) != strings.Count(expr, pair[1:]) {
				t.Errorf("%s: %s does not come out even in %s", where, pair, expr)
			}
		}
		for _, use := range metricUse.FindAllStringSubmatch(expr, -1) {
			labels, ok := known[use[1]]
			if !ok {
				t.Errorf("%s: there is no metric %s", where, use[1])
				continue
			}
			used[use[1]] = true
			for _, l := range labelUse.FindAllStringSubmatch(use[2], -1) {
				if !slices.Contains(labels, l[1]) {
					t.Errorf("%s: %s has no label %s", where, use[1], l[1])
				}
			}
		}
	}
	if len(used) < 25 {
		t.Errorf("only %d metrics are used", len(used))
	}
}

func TestTheValuesThatRulesAskForExist(t *testing.T) {
	text, err := os.ReadFile("../../../testdata/page/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	for where, expr := range expressions(t) {
		for _, use := range metricUse.FindAllStringSubmatch(expr, -1) {
			for _, l := range labelUse.FindAllStringSubmatch(use[2], -1) {
				if strings.HasPrefix(l[3], "$") {
					continue
				}
				for _, value := range strings.Split(l[3], "|") {
					if !strings.Contains(string(text), l[1]+`="`+value+`"`) {
						t.Errorf("%s: no metric ever has %s=%q", where, l[1], value)
					}
				}
			}
		}
	}
}
