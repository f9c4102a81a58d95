package shell

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const goldenDir = "../../../testdata/page/shell"

// fakeDaemon answers from the fixed snapshot and remembers what was asked.
type fakeDaemon struct {
	mu       sync.Mutex // of snapshot, for those who watch
	snapshot *view.Snapshot
	readErr  error
	asked    []machine.Command
	answer   string
	refusal  error
	vty      []string
}

func (f *fakeDaemon) Read(context.Context) (*view.Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.snapshot, f.readErr
}

// change gives those who read from now on another snapshot.
func (f *fakeDaemon) change(s *view.Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.snapshot = s
}

func (f *fakeDaemon) Ask(_ context.Context, c machine.Command) (string, error) {
	f.asked = append(f.asked, c)
	return f.answer, f.refusal
}

func (f *fakeDaemon) VTY(_ context.Context, daemon, command string) (string, error) {
	f.vty = append(f.vty, daemon+": "+command)
	if command == "nonsense" {
		return "% Unknown command: nonsense\n", errors.New("ospfd: status 2")
	}
	return "\nNeighbor ID     Pri State\n10.255.0.101      1 Full/DR\r\n", nil
}

func (f *fakeDaemon) Reload(context.Context) (string, error) { return f.answer, f.refusal }

func (f *fakeDaemon) Plan(context.Context) (string, error) { return f.answer, f.refusal }

func (f *fakeDaemon) Reexec(context.Context, string) (string, error) { return f.answer, f.refusal }

func (f *fakeDaemon) Config(context.Context) (string, error) {
	return "scope: as\nservices:\n  - dns\n", nil
}

func newShell() (*Shell, *fakeDaemon) {
	f := &fakeDaemon{snapshot: viewtest.Snapshot(), answer: "done"}
	return &Shell{Deps: f, Now: func() time.Time { return viewtest.Now }}, f
}

func run(t testing.TB, sh *Shell, line string) (string, Status) {
	t.Helper()
	ctx := t.Context()
	if cmd, _ := ClientCommand(line); cmd == ClientWatch { // one picture is enough
		over, cancel := context.WithCancel(ctx)
		cancel()
		ctx = over
	}
	var out bytes.Buffer
	status := sh.Exec(ctx, "test", line, &out)
	return out.String(), status
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join(goldenDir, name)
	if *update {
		if err := os.MkdirAll(goldenDir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run with -update to make it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

// shown are the commands whose text and JSON are kept.
func shown() []string {
	lines := []string{
		"show service", "show node", "show node n1", "show node n3", "show node n4", "show address", "show route",
		"show lsdb", "show lsdb detail", "show lsdb opaque", "show lsdb router detail", "show lsdb nssa-external",
		"show group", "show placement", "show check", "show failover", "show failover 1",
		"show events", "show events 2", "show version", "show running-config",
	}
	for _, sv := range viewtest.Snapshot().Machine.Services {
		lines = append(lines, "show service "+sv.Name, "why "+sv.Name)
	}
	return lines
}

func fileName(line string) string { return strings.ReplaceAll(line, " ", "-") }

func TestEveryShowCommandLooksAsItsGolden(t *testing.T) {
	sh, _ := newShell()
	for _, line := range shown() {
		t.Run(line+" as text", func(t *testing.T) {
			out, status := run(t, sh, "-w 100 "+line)
			if status != StatusSuccess {
				t.Fatalf("status %d: %s", status, out)
			}
			golden(t, fileName(line)+".txt", out)
			for _, l := range strings.Split(out, "\n") {
				if n := utf8.RuneCountInString(l); n > 100 && !strings.Contains(line, "running-config") {
					t.Errorf("%d columns wide: %q", n, l)
				}
				if strings.ContainsRune(l, 0x1b) {
					t.Errorf("an escape character reached the terminal: %q", l)
				}
			}
		})
		t.Run(line+" as JSON", func(t *testing.T) {
			out, status := run(t, sh, line+" -o json")
			if status != StatusSuccess {
				t.Fatalf("status %d: %s", status, out)
			}
			var v map[string]any
			if err := json.Unmarshal([]byte(out), &v); err != nil {
				t.Fatal(err)
			}
			golden(t, fileName(line)+".json", out)
		})
	}
}

func TestHelpLooksAsItsGolden(t *testing.T) {
	sh, _ := newShell()
	for file, line := range map[string]string{
		"help.txt": "help", "help-service.txt": "help service", "describe-root.txt": "?", "describe-show.txt": "show ?",
		"describe-why.txt": "why ?", "describe-service-verbs.txt": "service dns ?", "describe-move.txt": "service dns move ?",
	} {
		out, status := run(t, sh, line)
		if status != StatusSuccess {
			t.Errorf("%s: status %d: %s", line, status, out)
		}
		golden(t, file, out)
	}
}

func TestEveryStateOfTheDesignIsShownInItsWords(t *testing.T) {
	sh, _ := newShell()
	out, _ := run(t, sh, "show service")
	for _, state := range []string{
		"disabled/stopped", "inactive/stopped", "injected/stopped", "active/stopped", "active/starting", "active/started",
		"active/stopping", "active/failed", "deactivated/stopped", "failed/stopped",
	} {
		if !strings.Contains(out, " "+state+" ") {
			t.Errorf("show service has no service that is %s", state)
		}
	}
}

func TestANarrowTerminalGetsEveryServiceOnOneLine(t *testing.T) {
	sh, f := newShell()
	out, _ := run(t, sh, "-w 80 show service")
	for _, l := range strings.Split(out, "\n") {
		if n := utf8.RuneCountInString(l); n > 80 {
			t.Errorf("%d columns wide: %q", n, l)
		}
	}
	for _, sv := range f.snapshot.Machine.Services {
		if !strings.Contains(out, " "+sv.Name+" ") {
			t.Errorf("%s is missing", sv.Name)
		}
	}
}

// What a cell at the end of a line would lose in a narrow terminal goes on
// under it; only overviews are cut.
func TestInANarrowTerminalNothingIsLostOfPlacementGroupsAndChecks(t *testing.T) {
	sh, f := newShell()
	for i := range f.snapshot.Machine.Services {
		f.snapshot.Machine.Services[i].Group = "a-group-of-many"
	}
	f.snapshot.Service("dns").Last.Text = strings.Repeat("answers in 3 ms; ", 12)
	for _, line := range []string{"show placement", "show group", "show check"} {
		wide, _ := run(t, sh, line)
		narrow, _ := run(t, sh, "-w 80 "+line)
		for l := range strings.Lines(narrow) {
			if n := utf8.RuneCountInString(strings.TrimRight(l, "\n")); n > 80 {
				t.Errorf("%s: %d columns: %s", line, n, l)
			}
		}
		a, b := strings.Fields(wide), strings.Fields(narrow)
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Errorf("%s says other words:\n%s\n%s", line, wide, narrow)
		}
	}
}

func TestWithoutAWidthNothingIsCut(t *testing.T) {
	sh, _ := newShell()
	if out, _ := run(t, sh, "show service"); strings.Contains(out, "...") {
		t.Errorf("cut:\n%s", out)
	}
}

// manyServices is a big cluster: every service offered by every node.
func manyServices(services, nodes int) *view.Snapshot {
	s := viewtest.Snapshot()
	model := *s.Service("dns")
	offer := model.Offers[1]
	s.Machine.Services = nil
	for i := range services {
		sv := model
		sv.Name = fmt.Sprintf("service-%03d", i)
		sv.Offers = nil
		for range nodes {
			sv.Offers = append(sv.Offers, offer)
		}
		s.Machine.Services = append(s.Machine.Services, sv)
	}
	return s
}

func BenchmarkShowService200Times200(b *testing.B) {
	f := &fakeDaemon{snapshot: manyServices(200, 200)}
	sh := &Shell{Deps: f, Now: func() time.Time { return viewtest.Now }}
	for b.Loop() {
		if status := sh.Exec(b.Context(), "test", "-w 100 show service", io.Discard); status != StatusSuccess {
			b.Fatalf("status %d", status)
		}
	}
}
