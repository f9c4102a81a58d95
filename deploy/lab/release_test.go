package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pretend makes a directory of daemons that only tell their version.
func pretend(t *testing.T, dir, version string, more ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{"zebra", "ospfd", "bfdd"}, more...) {
		text := fmt.Sprintf("#!/bin/sh\necho %s version %s\necho Copyright\n", name, version)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnFRRIsFoundByVersionSuiteOrDirectory(t *testing.T) {
	roots := t.TempDir()
	t.Setenv(rootsVariable, roots)
	old, stable, elsewhere := filepath.Join(roots, "bullseye/daemons"), filepath.Join(roots, "trixie/daemons"), filepath.Join(t.TempDir(), "frr")
	pretend(t, old, "7.5.1-1.1+deb11u2")
	pretend(t, stable, "10.3", "mgmtd")
	pretend(t, elsewhere, "10.99.1", "mgmtd")
	if err := os.Mkdir(filepath.Join(roots, ".new.half-made"), 0o755); err != nil {
		t.Fatal(err)
	}
	for want, dir := range map[string]string{
		"7.5": old, "7.5.1": old, "bullseye": old, old: old,
		"10.3": stable, "trixie": stable, stable: stable,
		elsewhere: elsewhere,
	} {
		r, err := FindRelease(t.Context(), want)
		if err != nil || r.Dir != dir {
			t.Errorf("%q: found %q, %v; want %q", want, r.Dir, err, dir)
		}
	}
	if r, err := FindRelease(t.Context(), stable); err != nil || r.Suite != "trixie" || r.Version != "10.3" || !r.has("mgmtd") {
		t.Errorf("the directory of a root: %+v, %v; want 10.3 of trixie with mgmtd", r, err)
	}
	// 10.30 is not 10.3, nor is 1.
	for _, want := range []string{"1", "10.30", "0.3", "nosuch", "10.99", filepath.Join(roots, "nosuch")} {
		if r, err := FindRelease(t.Context(), want); err == nil {
			t.Errorf("%q: found %s, want an error", want, r)
		} else if !strings.HasPrefix(want, "/") && !strings.Contains(err.Error(), "7.5.1 (bullseye)") {
			t.Errorf("%q: the error does not say what is here: %v", want, err)
		}
	}
}

func TestEveryHostHasTheFRRItNames(t *testing.T) {
	roots := t.TempDir()
	t.Setenv(rootsVariable, roots)
	pretend(t, filepath.Join(roots, "bullseye/daemons"), "7.5.1")
	pretend(t, filepath.Join(roots, "trixie/daemons"), "10.3", "mgmtd")
	topo := parse(t, `
name: two
defaults: {frr: {version: "10.3"}}
routers:
  a: {router_id: 1.1.1.1}
  b: {router_id: 1.1.1.2, frr: {version: 7.5}}
links:
  - members: [{host: a, iface: e, address: 10.0.0.1/30}, {host: b, iface: e, address: 10.0.0.2/30}]
`)
	l := newLab(topo, Options{Name: "two", Base: "/base", FRR: "/nowhere"})
	if err := l.findReleases(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := l.versions(); got != "10.3 7.5.1" {
		t.Errorf("versions: %q", got)
	}
	started := map[string][]string{}
	for _, h := range topo.All() {
		for _, d := range l.frrDaemons(h, l.Vars(h.Name)) {
			started[h.Name] = append(started[h.Name], d.Name)
			words := strings.Join(d.Argv, " ")
			if !strings.HasPrefix(words, l.Release(h.Name).Dir+"/"+d.Name+" ") {
				t.Errorf("%s on %s is started as %q", d.Name, h.Name, words)
			}
			if got, want := strings.Contains(words, " -l 127.0.0.1"), h.Name == "a" && d.Name == "ospfd"; got != want {
				t.Errorf("%s on %s: -l given: %v, want %v", d.Name, h.Name, got, want)
			}
		}
	}
	if fmt.Sprint(started) != "map[a:[mgmtd zebra bfdd ospfd] b:[zebra bfdd ospfd]]" {
		t.Errorf("started: %v", started)
	}
}
