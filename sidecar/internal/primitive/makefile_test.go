package primitive

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

const deploy = "../../../deploy/service"

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func every(but ...string) string {
	var b strings.Builder
targets:
	for _, p := range machine.Primitives() {
		for _, n := range but {
			if n == p.String() {
				continue targets
			}
		}
		b.WriteString(p.String() + ":\n\t@touch ran-" + p.String() + "\n")
	}
	return b.String()
}

func TestTargets(t *testing.T) {
	for _, c := range []struct{ name, makefile, want string }{
		{"all there", every(), ""},
		{"one missing", every("stop"), `service web: Makefile in DIR has no target "stop"`},
		{"two missing", every("stop", "check"), `service web: Makefile in DIR has no target "stop", "check"`},
		{"a prerequisite without a rule is no target", every("stop") + "all: stop\n", `service web: Makefile in DIR has no target "stop"`},
		{"empty targets", "activate deactivate start stop reload restart join leave failed status check:\n", ""},
		{"double colon and phony", ".PHONY: stop\n" + every("stop") + "stop::\n\t@true\nstop::\n\t@true\n", ""},
		{"one included", "include more.mk\n" + every("stop"), ""},
		{"a catch-all is no target", "%:\n\t@true\n" + every("stop"), `service web: Makefile in DIR has no target "stop"`},
		{"no makefile syntax", "start\n", "service web: Makefile in DIR: Makefile:1: *** missing separator.  Stop."},
		{"an include that is not there", "include none.mk\n", "service web: Makefile in DIR: Makefile:1: none.mk: No such file or directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "Makefile", c.makefile)
			put(t, dir, "more.mk", "stop:\n\t@touch ran-stop\n")
			var v Targets
			got := ""
			if err := v.Validate(t.Context(), "web", dir, ""); err != nil {
				got = strings.ReplaceAll(err.Error(), dir, "DIR")
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if ran, err := filepath.Glob(filepath.Join(dir, "ran-*")); err != nil || len(ran) > 0 {
				t.Errorf("recipes were run: %v %v", ran, err)
			}
		})
	}
}

func TestADirectoryWithoutMakefile(t *testing.T) {
	dir := t.TempDir()
	var v Targets
	if err := v.Validate(t.Context(), "web", dir, ""); err == nil || err.Error() != "service web: no Makefile in "+dir {
		t.Error(err)
	}
	if err := v.Validate(t.Context(), "web", dir+"/none", ""); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	put(t, dir, "GNUmakefile", every())
	if err := v.Validate(t.Context(), "web", dir, ""); err != nil {
		t.Errorf("after one was made: %v", err)
	}
}

func TestAnAnswerIsRememberedUntilAFileChanges(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "more.mk", "stop:\n")
	put(t, dir, "Makefile", "include more.mk\nX := $(shell echo x >> asked)\n"+every("stop"))
	var v Targets
	for range 3 {
		if err := v.Validate(t.Context(), "web", dir, ""); err != nil {
			t.Fatal(err)
		}
	}
	if asked, err := os.ReadFile(filepath.Join(dir, "asked")); err != nil || string(asked) != "x\n" {
		t.Errorf("asked %q, %v", asked, err)
	}
	put(t, dir, "more.mk", "pots: # no more stop\n")
	if err := v.Validate(t.Context(), "web", dir, ""); err == nil {
		t.Error("a changed include is not seen")
	}
}

func TestTheSamplesHaveEveryTarget(t *testing.T) {
	for _, name := range []string{"web", "address-only"} {
		var v Targets
		if err := v.Validate(t.Context(), name, filepath.Join(deploy, name), ""); err != nil {
			t.Error(err)
		}
	}
}

func TestAFenceIsATargetOnlyWhereItIsWanted(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "Makefile", every())
	var v Targets
	if err := v.Validate(t.Context(), "disk", dir, ""); err != nil {
		t.Error(err)
	}
	if err := v.Validate(t.Context(), "disk", dir, "", machine.PrimFence); err == nil || !strings.HasSuffix(err.Error(), `has no target "fence"`) {
		t.Errorf("got %v, want the target missing", err)
	}
	put(t, dir, "Makefile", every()+"fence:\n\t@true\n")
	if err := v.Validate(t.Context(), "disk", dir, "", machine.PrimFence); err != nil {
		t.Error(err)
	}
}

func TestAMakeThatAnSrrdBeforeAskedIsReaped(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	reapAsker(pid)
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	reapAsker(pid) // a second time it is nobody's child
}
