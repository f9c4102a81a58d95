package primitive

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

const noops = ".PHONY: activate deactivate start stop reload restart join leave failed status check\nactivate deactivate reload restart join leave failed status check:\n\t@:\n"

// recipeCases are Makefiles with what becomes of their targets start and stop:
// the line for the shell, nothing at all, or make.
var recipeCases = []struct {
	name, makefile string
	start, stop    string // make, nothing, or the line
	env            []string
}{
	{name: "nothing to do", makefile: "start:\n\t@:\nstop:\n", start: "nothing", stop: "nothing"},
	{name: "one command", makefile: "start:\n\t@echo up\nstop:\n\techo down; exit 3\n", start: "echo up", stop: "echo down; exit 3"},
	{name: "a command over several lines", makefile: "start stop:\n\t@echo a \\\n\t\tb; \\\n\techo 'c\\\n\td'\n",
		start: "echo a \\\n\tb; \\\necho 'c\\\nd'", stop: "echo a \\\n\tb; \\\necho 'c\\\nd'"},
	{name: "several commands", makefile: "start:\n\t@echo a\n\t@echo b\nstop:\n\t@:\n\t@echo c\n", start: "make", stop: "echo c"},
	{name: "dollars, the target, and variables", makefile: "PID = $(DIR)/x\nDIR := /tmp/a$$b\nstart:\n\t@x=1; echo $$x $(PID) ${PID} $@ $(@)\nstop:\n\t@echo $(PID\n",
		start: "x=1; echo $x /tmp/a$b/x /tmp/a$b/x start start", stop: "make"},
	{name: "what srrd says", makefile: "start:\n\t@echo $(SRRD_SERVICE) $(firstword $(SRRD_PEERS)) '$(SRRD_CLAIM)' $$SRRD_NODE\nstop:\n\t@echo $(lastword $(SRRD_PEERS))\n",
		start: "echo web n2 '42' $SRRD_NODE", stop: "make"},
	{name: "a failure that does not count", makefile: "start:\n\t-@echo no; exit 4\nstop:\n\t@exit 5\n", start: "echo no; exit 4", stop: "exit 5"},
	{name: "killed by a signal", makefile: "start:\n\t@kill -9 $$$$\nstop:\n\t-@kill -9 $$$$\n", start: "kill -9 $$", stop: "kill -9 $$"},
	{name: "results", makefile: "start:\n\t@echo 'Result: recall'; echo 'Recall: 2'\nstop:\n\t@echo bad; echo 'Result: failed'; exit 0\n",
		start: "echo 'Result: recall'; echo 'Recall: 2'", stop: "echo bad; echo 'Result: failed'; exit 0"},
	{name: "a child that is left behind", makefile: "start:\n\t@sleep 0 & echo left\nstop:\n\t@echo a | tr a b\n", start: "sleep 0 & echo left", stop: "echo a | tr a b"},
	{name: "a command that is not there", makefile: "start:\n\t@no-such-command-of-ours --x >/dev/null 2>&1\nstop:\n\t@:\n", start: "no-such-command-of-ours --x >/dev/null 2>&1", stop: "nothing"},
	{name: "the environment of recipes", makefile: "start:\n\t@env | grep -v ^SRRD_RUN= | sort\nstop:\n\t@pwd; umask\n", start: "env | grep -v ^SRRD_RUN= | sort", stop: "pwd; umask", env: []string{"MINE=1 2"}},
	{name: "what the configuration sets", makefile: "start:\n\t@echo $(MINE)\nstop:\n\t@echo $$MINE\n", start: "make", stop: "echo $MINE", env: []string{"MINE=$(SRRD_NODE)"}},

	{name: "a prerequisite", makefile: "start: stop\n\t@echo up\nstop:\n\t@echo down\n", start: "make", stop: "echo down"},
	{name: "make in it", makefile: "start:\n\t@$(MAKE) -s stop\nstop:\n\t+@echo down\n", start: "make", stop: "make"},
	{name: "make's own variables", makefile: "start:\n\t@$(RM) /nonexistent/x\nstop:\n\t@echo $(CURDIR)\n", start: "make", stop: "make"},
	{name: "a name nobody has set", makefile: "start:\n\t@echo a$(NOBODY)b\nstop:\n\t@echo $X\n", start: "make", stop: "make"},
	{name: "a function", makefile: "start:\n\t@echo $(subst a,b,a)\nstop:\n\t@echo $(PID:a=b)\nPID = a\n", start: "make", stop: "make"},
	{name: "a variable that names itself", makefile: "A = $(B)\nB = $(A)\nstart:\n\t@echo $(A)\nstop:\n\t@:\n", start: "make", stop: "nothing"},
	{name: "variables of a target", makefile: "start: X = 1\nstart:\n\t@echo $(X)\nstop:\n\t@:\n", start: "make", stop: "nothing"},
	{name: "variables of a pattern", makefile: "st%: X = 1\nstart:\n\t@echo a\nstop:\n\t@:\n", start: "make", stop: "make"},
	{name: "two colons", makefile: "start::\n\t@echo a\nstart::\n\t@echo b\nstop:\n\t@:\n", start: "make", stop: "nothing"},
	{name: "what reading runs", makefile: "X := $(shell echo up)\nstart:\n\t@echo $(X)\nstop:\n\t@:\n", start: "make", stop: "make"},
	{name: "what recipes run at expansion", makefile: "start:\n\t@echo $(shell echo up)\nstop:\n\t@:\n", start: "make", stop: "make"},
	{name: "another shell", makefile: "SHELL = /bin/bash\nstart:\n\t@echo $$0\nstop:\n\t@:\n", start: "make", stop: "make"},
	{name: "all in one shell", makefile: ".ONESHELL:\nstart:\n\t@echo a\nstop:\n\t@:\n", start: "make", stop: "make"},
	{name: "exported", makefile: "export X = 1\nstart:\n\t@echo $$X\nstop:\n\t@:\n", start: "make", stop: "make"},
	{name: "a variable of the environment set anew", makefile: "PATH = /bin\nstart:\n\t@echo $$PATH\nstop:\n\t@:\n", start: "make", stop: "make"},
	{name: "one set anew behind a tab", makefile: "x:\n\t@:\nY = 1\n\tMINE = 2\nstart:\n\t@echo $$MINE\nstop:\n\t@:\n", start: "make", stop: "make", env: []string{"MINE=1"}},
	{name: "one that decides what is read", makefile: "ifeq ($(SRRD_PEERS),n2 n3)\nX = 1\nelse\nX = 2\nendif\nstart:\n\t@echo $(X)\nstop:\n\t@:\n", start: "make", stop: "make"},
	{name: "a condition on what the Makefile says", makefile: "W = 1\nifeq ($(W),1)\nX = 1\nelse\nX = 2\nendif\nstart:\n\t@echo $(X)\nstop:\n\t@:\n", start: "echo 1", stop: "nothing"},
	{name: "one set by ?=", makefile: "MINE ?= 5\nstart:\n\t@echo $(MINE)\nstop:\n\t@:\n", start: "make", stop: "make", env: []string{"MINE=6"}},
	{name: "set by ?= and nobody else", makefile: "MINE ?= 5\nstart:\n\t@echo $(MINE)\nstop:\n\t@:\n", start: "echo 5", stop: "nothing"},
	{name: "flags of make in the environment", makefile: "start:\n\t@echo a\nstop:\n\t@:\n", start: "make", stop: "make", env: []string{"MAKEFLAGS=-n"}},
	{name: "a recipe given twice, which make complains of", makefile: "start:\n\t@echo a\nstart:\n\t@echo b\nstop:\n\t@:\n", start: "make", stop: "make"},
	{name: "marks that a variable brings", makefile: "Q = @-\nstart:\n\t$(Q)exit 1\nstop:\n\t@:\n", start: "make", stop: "nothing"},
	{name: "a comment that mentions much", makefile: "# export, define and $(shell of old\nstart:\n\t@echo a # not make's\nstop:\n\t@:\n", start: "echo a # not make's", stop: "nothing"},
	{name: "defaults that are included", makefile: "include DEPLOY/default.mk\nstart:\n\t@echo a\nstop:\n\t@:\n", start: "echo a", stop: "nothing"},
}

func withCase(t *testing.T, makefile string) string {
	t.Helper()
	deployed, err := filepath.Abs(deploy)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(makefile, "DEPLOY", deployed)
	if !strings.Contains(text, "default.mk") {
		text = noops + text
	}
	return text
}

func TestWhichRecipesNeedNoMake(t *testing.T) {
	for _, c := range recipeCases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "Makefile", withCase(t, c.makefile))
			v := Targets{settled: time.Nanosecond}
			v.Refresh(t.Context(), dir, "")
			env := append([]string{"PATH=/bin", "SRRD_SERVICE=web", "SRRD_PEERS=n2 n3", "SRRD_CLAIM=42", "SRRD_NODE=n1"}, c.env...)
			for prim, want := range map[machine.Primitive]string{machine.PrimStart: c.start, machine.PrimStop: c.stop} {
				got := "make"
				if line, _, ok := v.Plain(dir, "", prim, env); ok {
					if got = line; line == "" {
						got = "nothing"
					}
				}
				if got != want {
					t.Errorf("%s: %q, want %q", prim, got, want)
				}
			}
		})
	}
}

// Whatever runs a recipe, the same comes of it.
func TestWithoutMakeTheSameComesOfEveryRecipe(t *testing.T) {
	for _, c := range recipeCases {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, map[string]string{"web": withCase(t, c.makefile)})
			b.env = c.env
			targets := &Targets{settled: time.Nanosecond}
			for _, prim := range []machine.Primitive{machine.PrimStart, machine.PrimStop, machine.PrimJoin} {
				b.port.config.Targets = nil
				want := b.one(prim, time.Minute)
				targets.Refresh(t.Context(), b.dirs["web"], "")
				b.port.config.Targets = targets
				got := b.one(prim, time.Minute)
				if got.Outcome != want.Outcome || got.Recall != want.Recall || inCommon(got.Text) != inCommon(want.Text) {
					t.Errorf("%s: %s %s %q, with make %s %s %q", prim, got.Outcome, got.Recall, got.Text, want.Outcome, want.Recall, want.Text)
				}
			}
		})
	}
}

// inCommon leaves out what only make can say, and says in other words.
func inCommon(text string) string {
	var kept []string
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "make: ") || strings.Contains(line, "ended with status") || strings.Contains(line, "was ended by") || strings.HasPrefix(line, "_=") {
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "\n")
}

func TestARecipeIsReadAgainWhenAFileChanges(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "Makefile", noops+"include more.mk\nstop:\n\t@:\n")
	put(t, dir, "more.mk", "start:\n\t@echo one\n")
	v := Targets{settled: time.Nanosecond}
	plainly := func() string {
		line, _, ok := v.Plain(dir, "", machine.PrimStart, nil)
		if !ok {
			return "make"
		}
		return line
	}
	if got := plainly(); got != "make" {
		t.Errorf("before make was asked: %q", got)
	}
	v.Refresh(t.Context(), dir, "")
	if got := plainly(); got != "echo one" {
		t.Errorf("afterwards: %q", got)
	}
	put(t, dir, "more.mk", "start:\n\t@echo three\n")
	if got := plainly(); got != "make" {
		t.Errorf("what is included has changed: %q", got)
	}
	v.Refresh(t.Context(), dir, "")
	if got := plainly(); got != "echo three" {
		t.Errorf("asked again: %q", got)
	}
	put(t, dir, "GNUmakefile", noops+"start stop:\n\t@echo other\n") // comes before Makefile
	if got := plainly(); got != "make" {
		t.Errorf("another Makefile is there: %q", got)
	}
	v.Refresh(t.Context(), dir, "")
	if got := plainly(); got != "echo other" {
		t.Errorf("asked again: %q", got)
	}
	if err := os.Remove(filepath.Join(dir, "GNUmakefile")); err != nil {
		t.Fatal(err)
	}
	if got := plainly(); got != "make" {
		t.Errorf("it is gone: %q", got)
	}
}

// Two changes within one tick of the clock look the same.
func TestAFileThatHasJustChangedIsNotTrusted(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "Makefile", noops+"start stop:\n\t@:\n")
	v := Targets{settled: time.Hour}
	v.Refresh(t.Context(), dir, "")
	if _, _, ok := v.Plain(dir, "", machine.PrimStart, nil); ok {
		t.Error("it is")
	}
	v.settled = time.Nanosecond
	v.Refresh(t.Context(), dir, "") // asks again, as it is still young
	if _, _, ok := v.Plain(dir, "", machine.PrimStart, nil); !ok {
		t.Error("it is not, though old enough by now")
	}
}

// Nothing else has make asked again before the first takeover.
func TestWhatHasJustChangedIsAskedAgainOnceItHasSettled(t *testing.T) {
	dir := t.TempDir()
	v := Targets{settled: 100 * time.Millisecond}
	put(t, dir, "Makefile", noops+"start stop:\n\t@:\n")
	v.Settle(t.Context(), dir, "")
	if _, _, ok := v.Plain(dir, "", machine.PrimStart, nil); !ok {
		t.Error("it is not trusted after that")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v = Targets{settled: time.Hour}
	v.Settle(ctx, dir, "") // returns all the same
}

// The clock was set back by a year: no file is young for as long.
func TestOnlyAFileThatHasJustChangedIsYoung(t *testing.T) {
	asked := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	for age, want := range map[time.Duration]bool{time.Second: true, 999 * time.Millisecond: false, 0: false, -10 * time.Millisecond: false, -365 * 24 * time.Hour: true} {
		a := &answer{stamps: map[string]stamp{"gone": {}, "Makefile": {size: 1, ctime: asked.Add(-age)}}}
		if got := a.oldEnough(asked, time.Second); got != want {
			t.Errorf("changed %s before: old enough %v, want %v", age, got, want)
		}
	}
}

// A Makefile that changes whenever it is read keeps nobody busy.
func TestAMakefileThatNeverSettlesIsLeftToTheNextRun(t *testing.T) {
	dir := t.TempDir()
	asked := filepath.Join(dir, "asked")
	v := Targets{settled: 50 * time.Millisecond}
	put(t, dir, "Makefile", noops+"start stop:\n\t@:\n_ := $(shell echo >>asked; touch Makefile)\n")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // of one that goes on
	defer cancel()
	v.Settle(ctx, dir, "")
	text, err := os.ReadFile(asked)
	if n := strings.Count(string(text), "\n"); err != nil || n < 1 || n > 2 {
		t.Errorf("make was asked %d times, want once and once more (%v)", n, err)
	}
}

// The services of the library.
func TestTheLibrarysRecipes(t *testing.T) {
	for service, want := range map[string][]machine.Primitive{
		"address-only": {machine.PrimActivate, machine.PrimStart, machine.PrimStop, machine.PrimJoin, machine.PrimLeave, machine.PrimFailed, machine.PrimStatus, machine.PrimCheck},
		"web":          nil, // it has define and export
	} {
		dir, err := filepath.Abs(filepath.Join(deploy, service))
		if err != nil {
			t.Fatal(err)
		}
		v := Targets{settled: time.Nanosecond}
		v.Refresh(t.Context(), dir, "")
		for _, p := range machine.Primitives() {
			line, _, ok := v.Plain(dir, "", p, nil)
			if ok != slices.Contains(want, p) && p != machine.PrimDeactivate && p != machine.PrimReload || line != "" {
				t.Errorf("%s of %s: plain %v %q", p, service, ok, line)
			}
		}
	}
}

func TestOnlyOneAsksMakeAtATime(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "Makefile", noops+"start stop:\n\t@:\n")
	of := reading{dir: dir}
	v := Targets{settled: time.Nanosecond, asking: map[reading]bool{of: true}}
	v.Refresh(t.Context(), dir, "")
	if v.known[of] != nil {
		t.Error("it asked although another one does")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	delete(v.asking, of)
	v.Refresh(ctx, dir, "")
	if v.known[of] != nil || v.asking[of] {
		t.Errorf("an answer that was not given is remembered: %+v", v.known[of])
	}
}

// What a Makefile runs while it is read, it must not run as root in the name of a
// service that is somebody else's.
func TestAMakefileIsReadAsTheUserOfItsService(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root: it runs something as somebody else")
	}
	dir := t.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	put(t, dir, "Makefile", "X := $(shell id -un >> read-as)\n"+noops+"start stop:\n\t@:\n")
	v := Targets{settled: time.Nanosecond}
	if err := v.Validate(t.Context(), "web", dir, nobody); err != nil {
		t.Error(err)
	}
	v = Targets{settled: time.Nanosecond}
	v.Refresh(t.Context(), dir, nobody)
	if text, err := os.ReadFile(filepath.Join(dir, "read-as")); err != nil || strings.Trim(string(text), "nobdy\n") != "" {
		t.Errorf("read as %q, %v", text, err)
	}
	if _, _, ok := v.Plain(dir, "", machine.PrimJoin, nil); ok {
		t.Error("what one user reads is taken for what another one would")
	}
}
