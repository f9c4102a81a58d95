package primitive

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// FuzzMarks reads a mark that may hold anything: it is of this boot and as it was
// written, or the service may still run; and it is read once.
func FuzzMarks(f *testing.F) {
	for _, text := range []string{
		`{"version":1,"boot_id":"b","service":"web","claim":5}`, `{"version":1,"boot_id":"a","service":"web","claim":5,"may_still_run":true}`,
		`{"version":1,"boot_id":"b","service":"dns","claim":1}`, `{"version":2,"boot_id":"b","service":"web","claim":1}`, `{"version":1,"service":"web"}`,
		"", "[]", "\x00\xff", `{"version":1,"boot_id":"b","serv`, `{"version":1,"boot_id":"b","service":"web","claim":-1}`, `{"version":1,"boot_id":"b","service":"web","claim":1e99,"x":[[[[`,
	} {
		f.Add([]byte(text))
	}
	id := filepath.Join(f.TempDir(), "boot_id")
	if err := os.WriteFile(id, []byte("b\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	before := bootID
	bootID = id
	f.Cleanup(func() { bootID = before })
	run := f.TempDir()
	if err := os.MkdirAll(marksDir(run), 0o700); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(marksDir(run), "web.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		marks, errs := Marks(run)
		switch {
		case len(errs) > 0: // damaged, and so looked for
			if len(errs) > 1 || !slices.Equal(marks, []machine.Mark{{Service: "web", MayStillRun: true}}) {
				t.Fatalf("%v %v", marks, errs)
			}
			said := strings.Replace(errs[0].Error(), "\n", " ", 1)
			if len(said) > 1000 || strings.ContainsFunc(said, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Fatalf("what is told of it: %d bytes, %.300q", len(said), said)
			}
		case len(marks) == 1: // what writes it reads back the same
			if err := writeMark(run, boot, machine.WriteMark{Mark: marks[0]}); err != nil {
				t.Fatal(err)
			}
			if again, errs := Marks(run); len(errs) > 0 || !slices.Equal(marks, again) {
				t.Fatalf("%v, again %v %v", marks, again, errs)
			}
			return
		case len(marks) > 1:
			t.Fatal(marks)
		}
		aside, err := filepath.Glob(filepath.Join(marksDir(run), "*.damaged-*"))
		if err != nil || len(aside) != len(errs) {
			t.Fatalf("%d set aside (%v), %d reported", len(aside), err, len(errs))
		}
		for _, path := range aside {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzRuns reads a note of a primitive that ran: whatever it holds, nobody is
// killed for it who is not the very process group it names, and none that must
// never be.
func FuzzRuns(f *testing.F) {
	for _, text := range []string{
		`{"version":1,"boot_id":"b","service":"web","primitive":"start","pid":4711,"start":1}`, `{"version":1,"boot_id":"b","service":"web","primitive":"start","pid":-1,"start":1}`,
		`{"version":1,"boot_id":"b","service":"web","primitive":"check","pid":4711,"start":1}`, `{"version":1,"boot_id":"b","service":"web","primitive":"start","pid":1,"start":0}`,
		`{"version":1,"boot_id":"b","service":"web","primitive":"start","pid":0}`, `{"version":1,"boot_id":"b","service":"\u001b[2J","primitive":"stop","pid":99}`,
		`{"version":1,"boot_id":"b","service":"web","primitive":"primitive(99)","pid":99}`, "", "{", "\x00", `{"version":1,"boot_id":"b","service":"web","primitive":"stop","pid":99999999999999999999}`,
	} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "web.json")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := readRun(path, "web")
		if err != nil {
			if said := err.Error(); len(said) > 1000 || strings.ContainsFunc(said, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Fatalf("what is told of it: %d bytes, %.300q", len(said), said)
			}
			return
		}
		if r.PID <= 1 || r.Service != "web" || r.Version != runVersion || len(text) > maxRunFile || advert.Printable(r.Primitive) != r.Primitive {
			t.Fatalf("%+v is believed", r)
		}
		o := Orphan{Service: "web", PID: r.PID, start: r.Start}
		if st, err := statOf(r.PID); o.runs() && (err != nil || st.start != r.Start || st.group != r.PID || r.PID == unix.Getpgrp()) {
			t.Fatalf("%+v is taken for %+v (%v)", r, st, err)
		}
	})
}

// Without bounds these take as long, or as much memory, as the machine has.
func TestAMakefileThatExpandsWithoutEndIsLeftToMake(t *testing.T) {
	for name, vars := range map[string]map[string]string{
		"it names itself":          {"A": "$(A)"},
		"two that name each other": {"A": "$(B)", "B": "$(A)"},
		"each doubles":             {"A": strings.Repeat("$(B)", 99), "B": strings.Repeat("$(C)", 99), "C": strings.Repeat("$(D)", 99), "D": strings.Repeat("$(E)", 99), "E": strings.Repeat("x", 999)},
		"of nothing":               {"A": strings.Repeat("$(B)", 99), "B": strings.Repeat("$(C)", 99), "C": strings.Repeat("$(D)", 99), "D": strings.Repeat("$(E)", 99), "E": ""},
	} {
		r := &recipes{plain: map[string]plain{"start": {text: "echo $(A)"}}, vars: vars}
		if line, _, ok := r.command("start", nil); ok || line != "" {
			t.Errorf("%s: it gives %.40q...", name, line)
		}
	}
}

// FuzzRecipes finds plain recipes in what may be any Makefile and any database of
// make's: whatever it finds can be put into words of the shell.
func FuzzRecipes(f *testing.F) {
	const db = "# Variables\n\n# makefile (from 'Makefile', line 1)\nRUN = /run/web\n# No pattern-specific variable values.\n\n# Files\n\nstart:\n#  Phony target (prerequisite of .PHONY).\n#  recipe to execute (from 'Makefile', line 4):\n\t@touch $(RUN)/$@ $$x \\\n\tmore\n\n"
	for _, text := range []string{"RUN = /run/web\n.PHONY: start\nstart:\n\t@touch $(RUN)/$@\n", "include x.mk\n", "export A\n", "\r\n", "start: ;:\n", "A = $(A)\nstart:\n\t$(A)\n"} {
		f.Add([]byte(db), []byte(text))
		f.Add([]byte(text), []byte(db))
	}
	f.Fuzz(func(t *testing.T, db, text []byte) {
		r := readRecipes(db, [][]byte{text}, []string{"/x/Makefile"})
		if r == nil {
			return
		}
		for target, p := range r.plain {
			if !wholeName.MatchString(target) {
				t.Errorf("target %q", target)
			}
			line, _, ok := r.command(target, []string{"SRRD_SERVICE=web", "PATH=/bin"})
			if len(line) > maxExpansion || ok && !p.nothing && strings.IndexByte(line, 0) >= 0 || !ok && line != "" {
				t.Errorf("%s: %t, %d bytes of %q", target, ok, len(line), p.text)
			}
		}
	})
}
