package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
)

func TestWatchLooksAsItsGolden(t *testing.T) {
	sh, _ := newShell()
	for name, line := range map[string]string{"watch.txt": "-w 100 watch", "watch-80x24.txt": "-w 80 -l 24 watch", "watch-100x40.txt": "-w 100 -l 40 watch"} {
		out, status := run(t, sh, line)
		if status != StatusSuccess || !strings.HasSuffix(out, FrameEnd) {
			t.Errorf("%s: status %d: %q", line, status, out)
		}
		golden(t, name, strings.TrimSuffix(out, FrameEnd))
	}
}

func TestAPictureFitsWhateverTerminal(t *testing.T) {
	sh, f := newShell()
	for _, services := range []int{0, 1, 13, 200} {
		if services != 13 {
			f.snapshot = manyServices(services, 3)
		} else {
			f.snapshot = viewtest.Snapshot()
		}
		for lines := 1; lines <= 120; lines++ {
			out, _ := run(t, sh, fmt.Sprintf("-w 80 -l %d watch", lines))
			out = strings.TrimSuffix(out, FrameEnd)
			if n := strings.Count(out, "\n"); n > lines {
				t.Fatalf("%d services, %d lines: %d were shown:\n%s", services, lines, n, out)
			}
			if !strings.Contains(strings.SplitN(out, "\n", 2)[0], "2026-03-14 03:00:42") {
				t.Fatalf("%d services, %d lines: the moment is missing:\n%s", services, lines, out)
			}
			for l := range strings.Lines(out) {
				if n := utf8.RuneCountInString(strings.TrimRight(l, "\n")); n > 80 {
					t.Fatalf("%d columns wide: %q", n, l)
				}
			}
		}
	}
}

// frames takes what watch sends; it breaks when it is full.
type frames struct {
	all  []string
	room int
}

func (f *frames) Write(p []byte) (int, error) {
	if len(f.all) == f.room {
		return 0, errors.New("gone")
	}
	f.all = append(f.all, string(p))
	return len(p), nil
}

func TestWatchSendsAPictureWhenSomethingHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sh, f := newShell()
		ctx, cancel := context.WithCancel(t.Context())
		out := &frames{room: 100}
		ended := make(chan Status)
		go func() { ended <- sh.Exec(ctx, "test", "watch -o json", out) }()
		synctest.Wait()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(out.all) != 1 {
			t.Fatalf("%d pictures of the same state", len(out.all))
		}
		changed := viewtest.Snapshot()
		changed.Taken = changed.Taken.Add(10 * time.Second)
		f.change(changed)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(out.all) != 1 {
			t.Fatal("a picture though nothing but the moment has changed")
		}
		changed = viewtest.Snapshot()
		changed.Machine.Services[0].Holder = "n3"
		f.change(changed)
		time.Sleep(watchEvery)
		synctest.Wait()
		if len(out.all) != 2 {
			t.Fatalf("%d pictures after a change, want 2", len(out.all))
		}
		if !json.Valid([]byte(out.all[1])) || strings.Count(out.all[1], "\n") != 1 || !strings.Contains(out.all[1], `"holder":"n3"`) {
			t.Errorf("no line of JSON with the change: %s", out.all[1])
		}
		cancel()
		if s := <-ended; s != StatusSuccess {
			t.Errorf("status %d", s)
		}
	})
}

func TestWatchEndsWithItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		f := &fakeDaemon{snapshot: viewtest.Snapshot()}
		sh := &Shell{Deps: f, Now: func() time.Time { return viewtest.Now.Add(time.Since(begun)) }} // ages grow: every picture differs
		out := &frames{room: 3}
		if s := sh.Exec(t.Context(), "test", "watch", out); s != StatusSuccess || len(out.all) != 3 {
			t.Errorf("status %d after %d pictures", s, len(out.all))
		}
	})
}

func TestWatchSaysWhenTheStateCannotBeRead(t *testing.T) {
	sh, f := newShell()
	f.readErr = view.ErrClosed
	if out, status := run(t, sh, "watch"); status != StatusWarning || out != "% cannot see the state of srrd: srrd is shutting down\n" {
		t.Errorf("status %d: %q", status, out)
	}
}

func TestProblemsAreCutLast(t *testing.T) {
	sh, f := newShell()
	f.snapshot = manyServices(50, 2)
	f.snapshot.Machine.OSPF = machine.OSPFView{Why: "connection refused"}
	out, _ := run(t, sh, "-w 100 -l 12 watch")
	if !strings.Contains(out, "no session with ospfd: connection refused") {
		t.Errorf("the worst is not shown:\n%s", out)
	}
}
