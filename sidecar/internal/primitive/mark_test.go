package primitive

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// fakeBoot makes the marks of this test belong to a boot of that name.
func fakeBoot(t *testing.T, id string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "boot_id")
	if err := os.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := bootID
	bootID = path
	t.Cleanup(func() { bootID = before })
}

func write(t *testing.T, run string, m machine.Mark) {
	t.Helper()
	if err := writeMark(run, boot, machine.WriteMark{Mark: m}); err != nil {
		t.Fatal(err)
	}
}

func TestMarksAreReadBackAndCleared(t *testing.T) {
	run := t.TempDir()
	if marks, errs := Marks(run); marks != nil || errs != nil {
		t.Errorf("of a node that never ran: %v %v", marks, errs)
	}
	dns := machine.Mark{Service: "dns", Claim: advert.NewClaim(9, 1<<31), MayStillRun: true}
	web := machine.Mark{Service: "web", Claim: advert.NewClaim(1<<31, 7)}
	write(t, run, web)
	write(t, run, dns)
	marks, errs := Marks(run)
	if diff := cmp.Diff([]machine.Mark{dns, web}, marks); diff != "" || errs != nil {
		t.Errorf("%v\n%s", errs, diff)
	}
	for range 2 { // clearing twice is no error
		if err := writeMark(run, boot, machine.WriteMark{Mark: web, Clear: true}); err != nil {
			t.Fatal(err)
		}
	}
	if marks, errs := Marks(run); len(marks) != 1 || marks[0].Service != "dns" || errs != nil {
		t.Errorf("after clearing: %v %v", marks, errs)
	}
}

func TestMarksOfAnotherBootAreDropped(t *testing.T) {
	run := t.TempDir()
	fakeBoot(t, "first")
	write(t, run, machine.Mark{Service: "web", Claim: 1})
	fakeBoot(t, "second")
	write(t, run, machine.Mark{Service: "dns", Claim: 2})
	marks, errs := Marks(run)
	if diff := cmp.Diff([]machine.Mark{{Service: "dns", Claim: 2}}, marks); diff != "" || errs != nil {
		t.Errorf("%v\n%s", errs, diff)
	}
	if left, err := os.ReadDir(marksDir(run)); err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
}

func TestADamagedMarkIsSetAsideAndItsServiceLookedFor(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "torn": `{"version":1,"boot_id":"b","serv`, "binary": "\x00\xff", "a list": "[]",
		"of another service": `{"version":1,"boot_id":"b","service":"dns","claim":1}`,
		"of a later version": `{"version":2,"boot_id":"b","service":"web","claim":1}`,
		"without a boot":     `{"version":1,"service":"web","claim":1}`,
		"an unknown field":   `{"version":1,"boot_id":"b","service":"web","claim":1,"x":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			run := t.TempDir()
			write(t, run, machine.Mark{Service: "good", Claim: 4})
			path := filepath.Join(marksDir(run), "web.json")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			marks, errs := Marks(run)
			if diff := cmp.Diff([]machine.Mark{{Service: "good", Claim: 4}, {Service: "web", MayStillRun: true}}, marks); diff != "" {
				t.Error(diff)
			}
			if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), "mark of service web is damaged: ") {
				t.Errorf("%v", errs)
			}
			if aside, err := filepath.Glob(path + ".damaged-*"); err != nil || len(aside) != 1 {
				t.Errorf("set aside: %v %v", aside, err)
			}
			if marks, errs := Marks(run); len(marks) != 1 || errs != nil {
				t.Errorf("the second time: %v %v", marks, errs)
			}
		})
	}
}

func TestAMarkIsWrittenBeforeTheStartThatFollowsIt(t *testing.T) {
	b := newBench(t, map[string]string{"web": "start stop:\n\t@ls $(MARKS) | tr '\\n' ' '; echo\n"})
	b.port.config.Dirs = func(string) (Setting, bool) {
		return Setting{Dir: b.dirs["web"], Env: []string{"MARKS=" + marksDir(b.run)}}, true
	}
	b.port.Do(machine.WriteMark{Mark: machine.Mark{Service: "web", Claim: 5}})
	b.do("web", machine.PrimStart, time.Minute)
	b.port.Do(machine.WriteMark{Mark: machine.Mark{Service: "web"}, Clear: true})
	b.do("web", machine.PrimStop, time.Minute)
	if d := b.done(); d.Text != "web.json" {
		t.Errorf("at start: %q", d.Text)
	}
	if d := b.done(); d.Text != "" {
		t.Errorf("after clearing: %q", d.Text)
	}
}

func TestWithoutItsMarkAServiceIsNotStartedButCanBeStopped(t *testing.T) {
	b := newBench(t, map[string]string{"web": "start stop:\n\t@echo $@\n"})
	if err := os.WriteFile(marksDir(b.run), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.port.Do(machine.WriteMark{Mark: machine.Mark{Service: "web", Claim: 5}})
	if d := b.one(machine.PrimStart, time.Minute); d.Outcome != machine.OutcomeFailed || !strings.HasPrefix(d.Text, "start was not tried: ") {
		t.Errorf("%v %q", d.Outcome, d.Text)
	}
	if d := b.one(machine.PrimStop, time.Minute); d.Outcome != machine.OutcomeDone || d.Text != "stop" {
		t.Errorf("%v %q", d.Outcome, d.Text)
	}
	if err := os.Remove(marksDir(b.run)); err != nil {
		t.Fatal(err)
	}
	b.port.Do(machine.WriteMark{Mark: machine.Mark{Service: "web", Claim: 5}})
	if d := b.one(machine.PrimStart, time.Minute); d.Outcome != machine.OutcomeDone {
		t.Errorf("once it can be written: %v %q", d.Outcome, d.Text)
	}
}

// With no descriptor free the first question has no answer; the next one may.
func TestTheBootIsAskedForUntilThereIsAnAnswer(t *testing.T) {
	asked := 0
	ask := remembered(func() (string, error) {
		if asked++; asked < 3 {
			return "", syscall.EMFILE
		}
		return fmt.Sprint(asked), nil
	})
	for i, want := range []string{"", "", "3", "3"} {
		if got, err := ask(); got != want || (err == nil) != (want != "") {
			t.Errorf("question %d: %q, %v; want %q", i+1, got, err, want)
		}
	}
}
