package lab

import (
	"flag"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the goldens")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
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
		t.Errorf("%s (-want +got; -update rewrites):\n%s", path, diff)
	}
}

func TestEveryMistakeOfAFileIsReportedAtItsPlace(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no bad topologies", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, err := Load(path)
			if err == nil {
				t.Fatal("taken without an error")
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".txt", err.Error()+"\n")
		})
	}
}

func TestFRRIsConfiguredAsTheTopologySays(t *testing.T) {
	for _, path := range []string{"topologies/demo.yaml", "testdata/variety.yaml"} {
		topo, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, h := range topo.All() {
			if !h.RunsFRR() {
				continue
			}
			files := topo.frrFiles(h)
			names := make([]string, 0, len(files))
			for name := range files {
				names = append(names, name)
			}
			sort.Strings(names)
			for _, name := range names {
				b.WriteString("==== " + h.Name + " " + name + "\n" + files[name])
			}
		}
		golden(t, "testdata/frr/"+topo.Name+".conf", b.String())
	}
}

func TestATopologyMadeByAProgramIsCheckedLikeAFile(t *testing.T) {
	topo, err := Load("topologies/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	topo.Links[0].Members[0].Host = "nobody"
	err = topo.Validate()
	if err == nil || !strings.Contains(err.Error(), `host "nobody": no such router or host`) {
		t.Fatalf("got %v", err)
	}
}

func TestTemplatesKnowTheHost(t *testing.T) {
	topo, err := Parse("t.yaml", []byte(`
name: t
defaults:
  srrd:
    config: "router-id {{.RouterID}} on {{.Host}}, colour {{.Vars.colour}}"
    services: {web: "dir: {{.Dir}}/web"}
hosts:
  n1: {router_id: 10.0.0.1, srrd: }
  n2: {router_id: 10.0.0.2, srrd: {services: {web: own}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(topo, Options{Name: "t", Base: "/base", Vars: map[string]string{"colour": "red"}})
	got := map[string]string{}
	for _, h := range topo.All() {
		files, err := l.hostFiles(h, l.Vars(h.Name))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"srrd.yaml", "services.d/web.yaml"} {
			got[h.Name+" "+name] = files[name]
		}
	}
	want := map[string]string{
		"n1 srrd.yaml":           "router-id 10.0.0.1 on n1, colour red",
		"n1 services.d/web.yaml": "dir: /base/t/hosts/n1/web",
		"n2 srrd.yaml":           "router-id 10.0.0.2 on n2, colour red",
		"n2 services.d/web.yaml": "own",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	l.opts.Vars = nil
	if _, err := l.hostFiles(topo.Host("n1"), l.Vars("n1")); err == nil || !strings.Contains(err.Error(), "srrd.yaml of n1") {
		t.Errorf("a template that names what is not there: got %v", err)
	}
}

func TestFRRVersionIsReadFromTheDaemon(t *testing.T) {
	for text, want := range map[string]frrVersion{
		"ospfd version 8.4.4\nCopyright":         {8, 4, 4},
		"ospfd version 10.7.1-6~deb\nCopyright":  {10, 7, 1},
		"ospfd version 7.5.1-1.1+deb11u2\nBuilt": {7, 5, 1},
		"ospfd version 10.3\nCopyright":          {10, 3, 0},
	} {
		if got, err := parseFRRVersion(text); err != nil || got != want {
			t.Errorf("%q: %v %v, want %v", text, got, err, want)
		}
	}
	if _, err := parseFRRVersion("ospfd: not found"); err == nil {
		t.Error("no error without a version")
	}
	if v := (frrVersion{10, 0, 4}); v.atLeast(10, 1) || !v.atLeast(8, 4) {
		t.Error("10.0 compares wrong")
	}
}

func TestTheTopologiesOfTheReadmeAreValid(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for _, block := range strings.Split(string(readme), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		if _, err := Parse("README.md", []byte(text)); err != nil {
			t.Errorf("%v\nin\n%s", err, text)
		}
		whole++
	}
	if whole == 0 {
		t.Error("README.md shows no topology")
	}
}
