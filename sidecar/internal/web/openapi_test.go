package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
)

// schema is as much of JSON Schema as the description uses.
type schema struct {
	Ref        string            `json:"$ref"`
	Type       string            `json:"type"`
	Enum       []string          `json:"enum"`
	Items      *schema           `json:"items"`
	Properties map[string]schema `json:"properties"`
	Required   []string          `json:"required"`
}

type operation struct {
	Role       string `json:"x-role"`
	Parameters []struct {
		Name, In string
		Schema   schema
	}
	Responses map[string]struct {
		Content map[string]struct{ Schema schema }
	}
}

type description struct {
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]schema }
}

func described(t *testing.T) *description {
	t.Helper()
	s, _ := newServer(t, Viewer)
	var d description
	if err := json.Unmarshal(get(t, s, "/api/v1/openapi.json").Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

func TestTheDescriptionHasEveryHandlerAndNoOther(t *testing.T) {
	d := described(t)
	want := map[string]string{}
	for _, e := range apiEndpoints() {
		want[strings.Replace(e.pattern, "/api/v1", "", 1)] = e.least.String()
	}
	got := map[string]string{}
	for path, ops := range d.Paths {
		for method, op := range ops {
			got[strings.ToUpper(method)+" "+path] = op.Role
			for _, part := range strings.Split(path, "/") {
				name, ok := strings.CutPrefix(part, "{")
				if name = strings.TrimSuffix(name, "}"); ok && !slices.ContainsFunc(op.Parameters, func(p struct {
					Name, In string
					Schema   schema
				}) bool {
					return p.Name == name && p.In == "path"
				}) {
					t.Errorf("%s does not describe %s", path, name)
				}
			}
		}
	}
	if !maps.Equal(want, got) {
		t.Errorf("handlers %v\ndescribed %v", want, got)
	}
	words := func(path, method, name string) []string {
		for _, p := range d.Paths[path][method].Parameters {
			if p.Name == name {
				return p.Schema.Enum
			}
		}
		return nil
	}
	verbs := map[subject][]string{}
	for of, all := range verbsOf {
		for _, v := range all {
			verbs[of] = append(verbs[of], wordOf(of, v))
		}
	}
	for _, tc := range []struct{ want, got []string }{
		{verbs[aService], words("/services/{name}/{verb}", "post", "verb")}, {verbs[theNode], words("/node/{verb}", "post", "verb")}, {verbs[theCluster], words("/cluster/{verb}", "post", "verb")}, {view.Kinds, words("/lsdb", "get", "kind")},
	} {
		if !slices.Equal(tc.want, tc.got) {
			t.Errorf("described %v, want %v", tc.got, tc.want)
		}
	}
}

// Every answer has what the description promises and nothing it does not name.
func TestEveryAnswerIsAsDescribed(t *testing.T) {
	d := described(t)
	s, _ := newServer(t, Admin)
	fill := strings.NewReplacer("{name}", "dns", "{node}", "n1")
	for path, ops := range d.Paths {
		op, ok := ops["get"]
		if !ok || path == "/watch" || path == "/openapi.json" {
			continue
		}
		for _, query := range []string{"", "?detail=true"} {
			var v any
			if err := json.Unmarshal(get(t, s, "/api/v1"+fill.Replace(path)+query).Body.Bytes(), &v); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			for _, p := range d.check(op.Responses["200"].Content["application/json"].Schema, v, path) {
				t.Error(p)
			}
		}
	}
	var f follower
	c, _ := f.next(viewtest.Snapshot(), viewtest.Now)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	delete(v, "complete")
	for _, p := range d.check(schema{Ref: "#/components/schemas/Change"}, v, "/watch") {
		t.Error(p)
	}
}

// check compares a value with its schema.
func (d *description) check(s schema, v any, at string) (wrong []string) {
	if s.Ref != "" {
		inner, ok := d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
		if !ok {
			return []string{at + ": no schema " + s.Ref}
		}
		return d.check(inner, v, at)
	}
	kind := map[string]string{"string": "string", "integer": "float64", "boolean": "bool", "array": "[]interface {}", "object": "map[string]interface {}"}[s.Type]
	if got := fmt.Sprintf("%T", v); kind != "" && got != kind {
		return []string{fmt.Sprintf("%s: is %s, described as %s", at, got, s.Type)}
	}
	switch v := v.(type) {
	case string:
		if s.Enum != nil && !slices.Contains(s.Enum, v) {
			wrong = append(wrong, fmt.Sprintf("%s: %q is none of %v", at, v, s.Enum))
		}
	case []any:
		for i := range v {
			if s.Items != nil {
				wrong = append(wrong, d.check(*s.Items, v[i], at+"[]")...)
			}
		}
	case map[string]any:
		if s.Properties == nil {
			return nil
		}
		for _, k := range s.Required {
			if _, ok := v[k]; !ok {
				wrong = append(wrong, at+": lacks "+k)
			}
		}
		for k := range v {
			inner, ok := s.Properties[k]
			if !ok {
				wrong = append(wrong, at+": has "+k+", which is not described")
				continue
			}
			wrong = append(wrong, d.check(inner, v[k], at+"."+k)...)
		}
	}
	return wrong
}
