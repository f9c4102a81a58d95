package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

var update = flag.Bool("update", false, "rewrite the goldens")

const testdata = "../../../testdata/config"

// unpack writes the files of an archive: sections headed by `-- NAME --`, or
// `-- NAME MODE --`. A file of keys is made for its owner only.
func unpack(t testing.TB, archive []byte, dir string) {
	t.Helper()
	var f *os.File
	for line := range strings.Lines(string(archive)) {
		if name, ok := strings.CutPrefix(line, "-- "); ok {
			name = strings.TrimSuffix(strings.TrimSpace(name), " --")
			mode, err := uint64(0), error(nil)
			if file, bits, ok := strings.Cut(name, " 0"); ok {
				name = file
				if mode, err = strconv.ParseUint(bits, 8, 32); err != nil {
					t.Fatal(err)
				}
			} else if name == "keys" {
				mode = 0o600
			}
			path := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if f, err = os.Create(path); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() })
			if mode != 0 {
				if err := f.Chmod(os.FileMode(mode)); err != nil {
					t.Fatal(err)
				}
			}
			continue
		}
		if f == nil {
			t.Fatalf("archive begins with %q, want -- NAME --", line)
		}
		if _, err := f.WriteString(line); err != nil {
			t.Fatal(err)
		}
	}
}

// files makes a directory of an archive and returns the path of its srrd.yaml.
func files(t testing.TB, archive string) string {
	t.Helper()
	dir := t.TempDir()
	unpack(t, []byte(archive), dir)
	return filepath.Join(dir, "srrd.yaml")
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestEveryMistakeIsReportedWithItsPlace(t *testing.T) {
	cases, err := filepath.Glob(testdata + "/bad/*.txtar")
	if err != nil || len(cases) < 50 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, file := range cases {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(strings.ReplaceAll(name, "-", " "), func(t *testing.T) {
			archive, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			main := files(t, string(archive))
			c, err := load(main, "n1")
			if err == nil {
				t.Fatalf("accepted:\n%s", c.Dump())
			}
			var problems Problems
			if !errors.As(err, &problems) || c != nil {
				t.Fatalf("config %v, error of type %T", c, err)
			}
			for _, p := range problems {
				if p.File == "" || p.Text == "" {
					t.Errorf("problem without file or text: %#v", p)
				}
			}
			golden(t, strings.TrimSuffix(file, ".txtar")+".error", strings.ReplaceAll(err.Error(), filepath.Dir(main)+"/", "")+"\n")
		})
	}
}

func TestGoodConfigurationsMeanWhatTheyShould(t *testing.T) {
	cases, err := filepath.Glob(testdata + "/good/*/srrd.yaml")
	if err != nil || len(cases) < 4 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, file := range cases {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			// git keeps no mode that a file of keys may have.
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Dir(file))); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(dir, "keys"), 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			c, err := load(filepath.Join(dir, "srrd.yaml"), "unused.example.net")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join(filepath.Dir(file), "golden.txt"), strings.ReplaceAll(c.Dump(), dir, "ETC"))
			if got := Diff(c, c); got != nil {
				t.Errorf("differs from itself: %v", got)
			}
		})
	}
}

func TestTheMinimalServiceHasTenLinesOrLess(t *testing.T) {
	text, err := os.ReadFile(testdata + "/good/minimal/services.d/web.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n > 10 {
		t.Errorf("%d lines", n)
	}
}

// Every key must stand in the reference as `key:`, possibly after "# ".
func TestTheReferenceDescribesEveryKey(t *testing.T) {
	for _, c := range []struct {
		file string
		keys []string
	}{{"srrd.yaml", names(daemonKeys)}, {"services.d/web.yaml", names(serviceKeys)}} {
		text, err := os.ReadFile(filepath.Join(testdata, "good/reference", c.file))
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{}
		var path [4]string // the keys above, by indentation of two
		for line := range strings.Lines(string(text)) {
			line = strings.TrimPrefix(line, "#")
			word, _, ok := strings.Cut(line, ":")
			name := strings.TrimLeft(word, " ")
			depth := (len(word) - len(name)) / 2
			if !ok || strings.Contains(name, " ") || depth >= len(path) {
				continue
			}
			path[depth] = name
			have[strings.Join(path[:depth+1], ".")] = true
		}
		for _, k := range c.keys {
			if !have[k] {
				t.Errorf("%s does not mention %s", c.file, k)
			}
		}
	}
}

func TestAConfigurationWithoutAHostTakesTheFirstPartOfTheMachinesName(t *testing.T) {
	main := files(t, "-- srrd.yaml --\nlog: info\n")
	c, err := load(main, "n7.example.net")
	if err != nil || c.Machine.Host != "n7" {
		t.Fatalf("host %q, %v", c.Machine.Host, err)
	}
	if _, err := load(main, ""); err == nil || !strings.Contains(err.Error(), "give one with host:") {
		t.Errorf("no name at all: %v", err)
	}
}

func TestAMissingFileIsAProblemWithItsName(t *testing.T) {
	err := Check(filepath.Join(t.TempDir(), "none.yaml"))
	if err == nil || !strings.HasSuffix(err.Error(), "none.yaml: no such file or directory") {
		t.Fatal(err)
	}
}

func TestDiffNamesWhatChanges(t *testing.T) {
	a := files(t, "-- srrd.yaml --\nhost: n1\nfrr: {password: a}\n-- services.d/dns.yaml --\naddresses: 10.9.9.1\n-- services.d/web.yaml --\naddresses: 10.9.9.9\n")
	b := files(t, "-- srrd.yaml --\nhost: n1\nclaim_timeout: 2s\nfrr: {password: b, table: 7}\n-- services.d/mail.yaml --\naddresses: 10.9.9.1\n"+
		"-- services.d/web.yaml --\naddresses: 10.9.9.9\npreference: 7\ntimeouts: {stop: 3s}\ngroup: G\ndir: /x\n")
	old, err := load(a, "n1")
	if err != nil {
		t.Fatal(err)
	}
	changed, err := load(b, "n1")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range Diff(old, changed) {
		if c.Key != "services_dir" && c.Key != "dir" && c.Key != "digest" {
			got = append(got, c.String())
		}
	}
	want := []string{
		"claim_timeout: 1s -> 2s",
		"frr.password: (set) -> (set) (after a restart of srrd)",
		"frr.table: 201 -> 7 (after a restart of srrd)",
		"service dns: removed",
		"service mail: new",
		"service web group: none -> G",
		"service web preference: 100 -> 7",
		"service web timeouts.stop: 10s -> 3s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Diff(nil, old); len(got) != 2 || got[0].Service != "dns" || got[0].New == "" {
		t.Errorf("from nothing: %v", got)
	}
}

func TestTheDigestHoldsWhatAllNodesMustSayAlike(t *testing.T) {
	digestOf := func(text string) string {
		t.Helper()
		c, err := load(files(t, "-- srrd.yaml --\nhost: n1\n-- services.d/web.yaml --\n"+text), "n1")
		if err != nil {
			t.Fatal(err)
		}
		return c.Machine.Services[0].Digest.String()
	}
	const base = "addresses: [10.9.9.9, 10.9.9.8]\n"
	want := digestOf(base)
	for _, same := range []string{
		"addresses: [10.9.9.8, 10.9.9.9/32]\n", base + "preference: 3\n", base + "dir: /x\n", base + "timeouts: {stop: 1s}\n",
		base + "address: alias\ndevice: eth1\n", base + "enabled: no\n", base + "env: {A: b}\n", base + "scope: as\n", base + "retry_after: 5s\n",
		base + "watch: {unit: a.service}\n", base + "recover: 3\n", base + "check: {grace: 9s}\n", base + "check: {rise: 1, unknown: 2}\n",
	} {
		if got := digestOf(same); got != want {
			t.Errorf("%q has another digest", same)
		}
	}
	for _, other := range []string{
		"addresses: 10.9.9.9\n", base + "group: G\n", base + "critical: yes\n", base + "exclusive: yes\n", base + "handover: overlap\n",
		base + "scope: link eth0\n", base + "scope: area 0\n", base + "check: {interval: 1s}\n", base + "check: {fall: 9}\n",
		base + "on_ospf_loss: keep\n", base + "start_alone: yes\n", base + "exclusive: yes\nlost_hold: 90s\n",
		base + "check: {rise: 2}\n", base + "check: {unknown: 9}\n",
	} {
		if got := digestOf(other); got == want {
			t.Errorf("%q has the same digest", other)
		}
	}
	const strict = base + "exclusive: yes\n"
	seen := map[string]string{}
	for _, text := range []string{strict, strict + "fence: yes\n", strict + "members: 3\n", strict + "members: 5\n", strict + "fence: yes\nmembers: 5\n"} {
		if before, again := seen[digestOf(text)]; again {
			t.Errorf("%q and %q have one digest", before, text)
		}
		seen[digestOf(text)] = text
	}
	if a, b := digestOf(base+"scope: link eth0\n"), digestOf(base+"scope: link ens3\n"); a != b {
		t.Error("the interface of a link scope is in the digest")
	}
}

func TestLostHoldIsDetectionAndTheLongestChainOfStops(t *testing.T) {
	service := func(name string, stop time.Duration, on ...string) machine.Service {
		s := machine.Service{Name: name, Dependencies: on}
		s.Timeout[machine.PrimStop] = stop
		return s
	}
	// A diamond: top depends on left and right, both on disk.
	all := []machine.Service{
		service("disk", 4*time.Second),
		service("left", 1*time.Second, "disk"),
		service("right", 7*time.Second, "disk"),
		service("top", 2*time.Second, "left", "right"),
	}
	for name, want := range map[string]time.Duration{"disk": 14, "left": 4, "right": 10, "top": 3, "unknown": 1} {
		if got := LostHold(name, all, time.Second); got != want*time.Second {
			t.Errorf("%s: %s, want %ds", name, got, want)
		}
	}
}

func TestADirectoryProblemHasItsPlaceInTheFile(t *testing.T) {
	main := files(t, "-- srrd.yaml --\nhost: n1\n-- services.d/a.yaml --\naddresses: 10.9.9.1\n-- services.d/b.yaml --\naddresses: 10.9.9.2\ndir: ../prims\n")
	c, err := load(main, "n1")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(main)
	if got, want := c.Services["a"].DirProblem("no Makefile").Error(), dir+"/services.d/a.yaml: no Makefile"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := c.Services["b"].DirProblem("no Makefile").Error(), dir+"/services.d/b.yaml:2:6: dir: no Makefile"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if c.Services["a"].Dir != dir+"/services.d/a" || c.Services["b"].Dir != dir+"/prims" {
		t.Errorf("directories %q and %q", c.Services["a"].Dir, c.Services["b"].Dir)
	}
}

func TestSetScalarChangesOneKeyAndKeepsTheRest(t *testing.T) {
	const text = "# top\naddresses: 10.9.9.9 # ours\npreference: 100   # the best\n\ncheck:\n  # often\n  interval: '2s' # fast\nscope:\n"
	for _, c := range []struct {
		name, path, value, want string
	}{
		{"a number, with the comment after it", "preference", "7", strings.Replace(text, "100 ", "7 ", 1)},
		{"a quoted text in a nested mapping", "check.interval", "500ms", strings.Replace(text, "'2s'", "500ms", 1)},
		{"a key that has no value", "scope", "as", strings.Replace(text, "scope:", "scope: as", 1)},
		{"a new key at the top", "critical", "yes", text + "critical: yes\n"},
		{"a new key in a mapping", "check.fall", "3", strings.Replace(text, "check:\n", "check:\n  fall: 3\n", 1)},
		{"a new mapping", "timeouts.start", "3s", text + "timeouts:\n  start: 3s\n"},
		{"a mapping where nothing stood", "scope.link", "eth0", text + "  link: eth0\n"},
		{"a text that needs quotes", "dir", "a: b #c", text + "dir: \"a: b #c\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "web.yaml")
			if err := os.WriteFile(file, []byte(text), 0o604); err != nil {
				t.Fatal(err)
			}
			if err := SetScalar(file, strings.Split(c.path, "."), c.value); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o604 {
				t.Errorf("mode %v, %v", st.Mode(), err)
			}
		})
	}
}

func TestSetScalarRefusesWhatItCannotKeep(t *testing.T) {
	for _, c := range []struct{ name, text, path string }{
		{"a list", "addresses: [1, 2]\n", "addresses"},
		{"a mapping", "check:\n  fall: 1\n", "check"},
		{"a flow mapping", "check: {fall: 1}\n", "check.fall"},
		{"below a plain value", "check: 1\n", "check.fall"},
		{"a text of several lines", "dir: |\n  a\n  b\n", "dir"},
		{"no yaml", "a: [\n", "a"},
		{"carriage returns", "a: 1\r\n", "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := setScalar("f", c.text, strings.Split(c.path, "."), "7"); err == nil {
				t.Errorf("accepted, gives %q", got)
			}
		})
	}
}

func FuzzService(f *testing.F) {
	cases, err := filepath.Glob(testdata + "/bad/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range cases {
		text, err := os.ReadFile(c)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range strings.Split(string(text), "-- ") {
			if _, body, ok := strings.Cut(part, " --\n"); ok {
				f.Add([]byte(body))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var problems Problems
		r := &reader{file: "f.yaml", problems: &problems}
		root := r.parse(text)
		if len(problems) > 0 {
			return
		}
		var d rawDaemon
		readMapping(r, node{root, "", Position{File: "f.yaml", Line: 1, Column: 1}}, daemonKeys, &d)
		d.valid(r, "/etc/srrd", "n1")
		s := &loaded{}
		readMapping(r, node{root, "", Position{File: "f.yaml", Line: 1, Column: 1}}, serviceKeys, &s.raw)
		s.m, s.port = s.raw.valid(r, "web", &d, "/etc/srrd/services.d")
		together(&problems, []*loaded{s}, map[string]bool{"web": true}, time.Second)
		lines := bytes.Count(text, []byte("\n")) + bytes.Count(text, []byte("\r")) + 1
		for _, p := range problems {
			if p.Line > lines {
				t.Errorf("%v: the text has %d lines", p, lines)
			}
		}
		if out, err := setScalar("f.yaml", string(text), []string{"preference"}, "7"); err == nil {
			if again, err := setScalar("f.yaml", out, []string{"preference"}, "7"); err != nil || again != out {
				t.Errorf("set twice: %q then %q, %v", out, again, err)
			}
		}
	})
}

func thousand(t testing.TB) string {
	var b strings.Builder
	b.WriteString("-- srrd.yaml --\nhost: n1\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "-- services.d/s%03d.yaml --\naddresses: 10.9.%d.%d\npreference: %d\ncheck: {interval: 2s}\n", i, i/250, i%250+1, i%256)
	}
	return b.String()
}

func TestAThousandServicesLoadAndStaySorted(t *testing.T) {
	c, err := load(files(t, thousand(t)), "n1")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Machine.Services) != 1000 || !slices.IsSortedFunc(c.Machine.Services, func(a, b machine.Service) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("%d services, or not sorted", len(c.Machine.Services))
	}
}

func BenchmarkLoadAThousandServices(b *testing.B) {
	main := files(b, thousand(b))
	for b.Loop() {
		if _, err := load(main, "n1"); err != nil {
			b.Fatal(err)
		}
	}
}
