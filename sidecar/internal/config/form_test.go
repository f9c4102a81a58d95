package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsTypedIsReadBack(t *testing.T) {
	got := Typed("# c\naddresses:\n  - 10.9.9.9\n  - 10.9.9.10\ngroup: WEB # g\ndependencies: [a, b]\ncheck:\n  interval: 5s\n  fall: 2\nscope:\n  area: 0.0.0.1\nenabled: yes\nenv: {A: b}\n")
	want := map[string]string{"addresses": "10.9.9.9, 10.9.9.10", "group": "WEB", "dependencies": "a, b", "check.interval": "5s", "check.fall": "2",
		"scope": "area 0.0.0.1", "enabled": "yes", "env.A": "b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := Typed("{{{"); len(got) != 0 {
		t.Errorf("no YAML has %v", got)
	}
}

func TestEditChangesWhatItIsToldAndNothingElse(t *testing.T) {
	const file = "# the web\naddresses: # two\n  - 10.9.9.9\n  - 10.9.9.10\n\n# runs with disk\ngroup: WEB # g\ncheck:\n  # often\n  interval: 5s\nscope: {area: 0.0.0.1}\nenv:\n  A: b\n"
	for _, tc := range []struct {
		name     string
		text     string
		settings []Setting
		want     string
	}{
		{"nothing", file, nil, file},
		{"what is there already", file, []Setting{{"addresses", "10.9.9.9, 10.9.9.10", true}, {"group", "WEB", false}, {"scope", "area 0.0.0.1", false}, {"linger", "", false}}, file},
		{"a word keeps its comment", file, []Setting{{"group", "SHOP", false}}, "# the web\naddresses: # two\n  - 10.9.9.9\n  - 10.9.9.10\n\n# runs with disk\ngroup: SHOP # g\ncheck:\n  # often\n  interval: 5s\nscope: {area: 0.0.0.1}\nenv:\n  A: b\n"},
		{"a list", file, []Setting{{"addresses", "10.9.9.9, 10.9.9.11", true}}, "# the web\naddresses: [10.9.9.9, 10.9.9.11]\n\n# runs with disk\ngroup: WEB # g\ncheck:\n  # often\n  interval: 5s\nscope: {area: 0.0.0.1}\nenv:\n  A: b\n"},
		{"a list of one", "group: A\n", []Setting{{"addresses", "10.9.9.9", true}}, "group: A\naddresses: 10.9.9.9\n"},
		{"a scope", file, []Setting{{"scope", "as", false}}, "# the web\naddresses: # two\n  - 10.9.9.9\n  - 10.9.9.10\n\n# runs with disk\ngroup: WEB # g\ncheck:\n  # often\n  interval: 5s\nscope: as\nenv:\n  A: b\n"},
		{"a key goes, and its mapping with it", "group: A\ncheck:\n  interval: 5s\n", []Setting{{"check.interval", "", false}}, "group: A\n"},
		{"a key goes, and its mapping stays", "check:\n  interval: 5s\n  fall: 3\ngroup: A\n", []Setting{{"check.interval", "", false}}, "check:\n  fall: 3\ngroup: A\n"},
		{"a new file", "", []Setting{{"addresses", "10.9.9.9,10.9.9.10", true}, {"preference", "200", false}, {"check.interval", "2s", false}}, "addresses: [10.9.9.9, 10.9.9.10]\npreference: 200\ncheck:\n  interval: 2s\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Edit(tc.text, tc.settings)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, tc := range []struct {
		name, text string
		s          Setting
	}{
		{"no YAML", "{{{", Setting{"group", "A", false}},
		{"a list that would be more than one", "group: A\n", Setting{"addresses", "10.9.9.9], enabled: [no", true}},
		{"a value of two lines", "group: A\n", Setting{"group", "B\nenabled: no", false}},
		{"a mapping in one line", "{group: A, enabled: yes}\n", Setting{"enabled", "", false}},
	} {
		if got, err := Edit(tc.text, []Setting{tc.s}); err == nil {
			t.Errorf("%s: gave %q", tc.name, got)
		}
	}
}

func TestALoadSeesWhatWouldBeWritten(t *testing.T) {
	path := files(t, "-- srrd.yaml --\nhost: n1\n-- services.d/a.yaml --\naddresses: 10.9.9.9\n-- services.d/b.yaml --\naddresses: 10.9.9.10\n")
	c, err := LoadWith(path, map[string]string{"a": "addresses: 10.9.9.10\n"}, nil)
	if c != nil || err == nil {
		t.Errorf("an address used twice: %v, %v", c, err)
	}
	c, err = LoadWith(path, map[string]string{"c": "addresses: 10.9.9.11\n"}, []string{"a"})
	if err != nil || len(c.Machine.Services) != 2 || c.Machine.Services[0].Name != "b" || c.Machine.Services[1].Name != "c" {
		t.Errorf("one new and one gone: %v, %v", c, err)
	}
	if c, err = Load(path); err != nil || len(c.Machine.Services) != 2 || c.Machine.Services[0].Name != "a" {
		t.Errorf("a trial changed the files: %v, %v", c, err)
	}
}
