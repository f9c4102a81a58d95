package primitive

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a running port with services of one Makefile each.
type bench struct {
	t      *testing.T
	port   *Port
	events chan machine.PrimitiveDone
	run    string
	dirs   map[string]string
	env    []string // more of the configuration
	user   string   // of the configuration
	next   uint64
}

// newBench makes a port whose services have the given Makefiles.
func newBench(t *testing.T, makefiles map[string]string) *bench {
	t.Helper()
	b := &bench{t: t, events: make(chan machine.PrimitiveDone, 1000), run: t.TempDir(), dirs: map[string]string{}}
	for service, text := range makefiles {
		b.dirs[service] = t.TempDir()
		if err := os.WriteFile(filepath.Join(b.dirs[service], "Makefile"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.port = New(Config{
		Emit: func(e machine.Event) { b.events <- e.(machine.PrimitiveDone) },
		Dirs: func(service string) (Setting, bool) {
			dir, ok := b.dirs[service]
			return Setting{Dir: dir, Env: append([]string{"EXTRA=from the configuration", "LANG=C"}, b.env...), User: b.user}, ok
		},
		RunDir: b.run, StateDir: "/var/lib/srrd", Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.port.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return b
}

// do starts a run and returns its number.
func (b *bench) do(service string, p machine.Primitive, timeout time.Duration) uint64 {
	b.next++
	b.port.Do(machine.RunPrimitive{Service: service, Primitive: p, Run: b.next, Timeout: timeout, Env: machine.PrimitiveEnv{
		Group: "WEB", Node: "n1", Addresses: []netip.Addr{netip.MustParseAddr("10.9.9.8"), netip.MustParseAddr("10.9.9.9")},
		Claim: advert.NewClaim(3, 7), Peers: []string{"n2", "n3"}, Peer: "n2", Failure: "check: it's $(gone)",
	}})
	return b.next
}

func (b *bench) done() machine.PrimitiveDone {
	b.t.Helper()
	select {
	case d := <-b.events:
		return d
	case <-time.After(time.Minute): // a bound for a broken test, not a wait
		b.t.Fatal("no PrimitiveDone")
		panic("unreachable")
	}
}

func (b *bench) one(p machine.Primitive, timeout time.Duration) machine.PrimitiveDone {
	b.t.Helper()
	n := b.do("web", p, timeout)
	d := b.done()
	if d.Run != n || d.Service != "web" {
		b.t.Fatalf("run %d of %q, want %d of web", d.Run, d.Service, n)
	}
	return d
}

// fifo makes a named pipe in a service's directory, by which recipes and tests
// tell each other things without waiting for time to pass.
func (b *bench) fifo(service, name string) string {
	b.t.Helper()
	path := filepath.Join(b.dirs[service], name)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// hear reads a line that a recipe writes to a fifo.
func (b *bench) hear(path string) string {
	b.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// gone waits for the end of a process that is not our child.
func (b *bench) gone(pid int) {
	b.t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return
	}
	if err != nil {
		b.t.Fatal(err)
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 60000)
		if err == unix.EINTR {
			continue
		}
		if n != 1 || err != nil {
			b.t.Fatalf("process %d still runs: %v", pid, err)
		}
		return
	}
}

func (b *bench) pid(text string) int {
	b.t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func TestResults(t *testing.T) {
	for _, c := range []struct {
		name, recipe string
		outcome      machine.Outcome
		recall       time.Duration
		text         string
	}{
		{"exit 0 without words is done", "true", machine.OutcomeDone, 0, ""},
		{"a result line is no text", "echo up; echo 'Result: done'", machine.OutcomeDone, 0, "up"},
		{"exit 1 fails with the last line", "echo one; echo 'no such disk'; exit 1", machine.OutcomeFailed, 0, "no such disk"},
		{"standard error counts as text", "echo 'no such disk' >&2; exit 3", machine.OutcomeFailed, 0, "no such disk"},
		{"exit 1 without words fails with make's line", "exit 1", machine.OutcomeFailed, 0, "make: *** [Makefile:2: start] Error 1"},
		{"systemctl's advice where to read on is no reason", "echo 'Failed to start web.service: Access denied' >&2; echo \"See system logs and 'systemctl status web.service' for details.\" >&2; exit 4",
			machine.OutcomeFailed, 0, "Failed to start web.service: Access denied"},
		{"nor is the one of a job that failed", "echo 'Job for web.service failed because a timeout was exceeded.' >&2; echo 'See \"systemctl status web.service\" and \"journalctl -xeu web.service\" for details.' >&2; exit 1",
			machine.OutcomeFailed, 0, "Job for web.service failed because a timeout was exceeded."},
		{"said failed and exit 0", "echo bad; echo 'Result: failed'", machine.OutcomeFailed, 0, "bad"},
		{"said failed without words", "echo 'Result: failed'", machine.OutcomeFailed, 0, "start said that it failed"},
		{"said done and exit 1", "echo 'Result: done'; exit 1", machine.OutcomeDone, 0, "make: *** [Makefile:2: start] Error 1"},
		{"recall with a fraction", "echo 'Result: recall'; echo 'Recall: 0.25'", machine.OutcomeRecall, 250 * time.Millisecond, ""},
		{"recall without a time", "echo 'Result: recall'", machine.OutcomeRecall, DefaultRecall, ""},
		{"the last result counts", "echo 'Result: failed'; echo 'Result: done'", machine.OutcomeDone, 0, ""},
		{"an unknown word is text", "echo 'Result: maybe'", machine.OutcomeDone, 0, "Result: maybe"},
		{"binary output is made printable", `printf '\033[31m\000\377bad\n'; exit 1`, machine.OutcomeFailed, 0, "?[31m??bad"},
		{"standard input is empty", "cat; echo end", machine.OutcomeDone, 0, "end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, map[string]string{"web": "start:\n\t@" + c.recipe + "\n"})
			d := b.one(machine.PrimStart, time.Minute)
			if d.Outcome != c.outcome || d.Recall != c.recall || d.Text != c.text {
				t.Errorf("%v, recall %v, text %q; want %v, %v, %q", d.Outcome, d.Recall, d.Text, c.outcome, c.recall, c.text)
			}
			if d.Took <= 0 {
				t.Errorf("took %v", d.Took)
			}
		})
	}
}

func TestAMissingTargetFailsWithMakesWords(t *testing.T) {
	b := newBench(t, map[string]string{"web": "start:\n"})
	d := b.one(machine.PrimStop, time.Minute)
	if d.Outcome != machine.OutcomeFailed || !strings.Contains(d.Text, "No rule to make target 'stop'") {
		t.Errorf("%v %q", d.Outcome, d.Text)
	}
}

func TestAServiceThatIsNotConfiguredIsUnknown(t *testing.T) {
	b := newBench(t, nil)
	b.do("web", machine.PrimStart, time.Minute)
	if d := b.done(); d.Outcome != machine.OutcomeUnknown || d.Text != "start was not run: service web is not configured" {
		t.Errorf("%v %q", d.Outcome, d.Text)
	}
}

func TestWithoutMakeTheOutcomeIsUnknown(t *testing.T) {
	b := newBench(t, map[string]string{"web": "start:\n"})
	t.Setenv("PATH", t.TempDir())
	if d := b.one(machine.PrimStart, time.Minute); d.Outcome != machine.OutcomeUnknown || !strings.Contains(d.Text, "make") {
		t.Errorf("%v %q", d.Outcome, d.Text)
	}
}

func TestAPrimitiveSeesItsEnvironment(t *testing.T) {
	b := newBench(t, map[string]string{"web": "start:\n\t@env | grep -E '^(SRRD_|EXTRA|HOME|LANG)' | grep -v ^SRRD_RUN= | sort\n"})
	t.Setenv("SRRD_SERVICE", "not of srrd's own environment")
	want := fmt.Sprintf(`EXTRA=from the configuration
HOME=/root
LANG=C
SRRD_ADDRESSES=10.9.9.8 10.9.9.9
SRRD_CLAIM=%d
SRRD_FAILURE=check: it_s __gone_
SRRD_GROUP=WEB
SRRD_NODE=n1
SRRD_PEER=n2
SRRD_PEERS=n2 n3
SRRD_SERVICE=web
SRRD_STATE_DIR=/var/lib/srrd`, uint64(3)<<32|7)
	if d := b.one(machine.PrimStart, time.Minute); d.Text != want {
		t.Errorf("got\n%s\nwant\n%s", d.Text, want)
	}
}

func TestWhatAFailedProgramPrintedRunsNothing(t *testing.T) {
	b := newBench(t, map[string]string{"web": "failed:\n\t@echo told: $(SRRD_FAILURE)\n"})
	b.port.Do(machine.RunPrimitive{Service: "web", Primitive: machine.PrimFailed, Timeout: time.Minute,
		Env: machine.PrimitiveEnv{Failure: "check: $(shell touch made)`touch made`; touch made & touch made | \"touch made\n\ttouch made"}})
	if d := b.done(); d.Outcome != machine.OutcomeDone || !strings.HasPrefix(d.Text, "told: check: __shell touch made_") {
		t.Errorf("%v %q", d.Outcome, d.Text)
	}
	if _, err := os.Stat(filepath.Join(b.dirs["web"], "made")); err == nil {
		t.Error("a command in the text was run")
	}
}

func TestAGigabyteOfOutputNeedsNoMemoryAndNoDisk(t *testing.T) {
	b := newBench(t, map[string]string{"web": "start:\n\t@echo first; head -c 1073741824 /dev/zero | tr '\\0' x; echo; echo last; echo 'Result: recall'; echo 'Recall: 7'\n"})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d := b.one(machine.PrimStart, 5*time.Minute)
	runtime.ReadMemStats(&after)
	if d.Outcome != machine.OutcomeRecall || d.Recall != 7*time.Second {
		t.Errorf("%v %v %q", d.Outcome, d.Recall, d.Text)
	}
	if !strings.HasPrefix(d.Text, "first\n... 1073") || !strings.HasSuffix(d.Text, "\nlast") || len(d.Text) > MaxText {
		t.Errorf("text of %d bytes: %.200q", len(d.Text), d.Text)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes allocated", grown)
	}
	if left, err := os.ReadDir(filepath.Join(b.run, "output")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestAChildThatKeepsTheOutputOpenDelaysNothingAndMayGoOnWriting(t *testing.T) {
	b := newBench(t, map[string]string{"web": "start:\n\t@(read x < go; echo more; echo status $$? > said) & echo $$! > pid; echo up\n"})
	goOn, said := b.fifo("web", "go"), b.fifo("web", "said")
	d := b.one(machine.PrimStart, time.Minute)
	if d.Outcome != machine.OutcomeDone || d.Text != "up" {
		t.Errorf("%v %q", d.Outcome, d.Text)
	}
	f, err := os.Open(filepath.Join(b.run, "output", "web.start"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.WriteFile(goOn, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	if got := b.hear(said); got != "status 0" {
		t.Errorf("the child's write ended with %q", got)
	}
	out, err := io.ReadAll(f)
	if err != nil || string(out) != "up\nmore\n" {
		t.Errorf("output %q, %v", out, err)
	}
}

func TestATimeoutEndsTheWholeGroup(t *testing.T) {
	for _, c := range []struct{ name, recipe string }{
		{"one that heeds SIGTERM", "sleep 1000 & echo $$! > pid; echo waiting for the disk; wait"},
		{"one that does not", "trap '' TERM; sleep 1000 & echo $$! > pid; echo waiting for the disk; while :; do wait; done"},
		{"one in the background", "(trap '' TERM; sleep 1000) & echo $$! > pid; echo waiting for the disk; wait"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, map[string]string{"web": "start:\n\t@" + c.recipe + "\n"})
			pid := b.fifo("web", "pid")
			heard := make(chan int, 1)
			go func() { heard <- b.pid(b.hear(pid)) }()
			d := b.one(machine.PrimStart, 2*time.Second) // also a busy machine has come to the words by then
			if d.Outcome != machine.OutcomeTimeout || !strings.HasPrefix(d.Text, "start timed out after 2s") || !strings.HasSuffix(d.Text, "waiting for the disk") {
				t.Errorf("%v %q", d.Outcome, d.Text)
			}
			b.gone(<-heard)
		})
	}
}

func TestCancelEndsARunThatGoesOnAndOneThatWaits(t *testing.T) {
	b := newBench(t, map[string]string{"web": "start:\n\t@echo $$$$ > pid; exec sleep 1000\nstop check:\n\t@echo ran\n"})
	pid := b.fifo("web", "pid")
	start := b.do("web", machine.PrimStart, time.Minute)
	check := b.do("web", machine.PrimCheck, time.Minute)
	stop := b.do("web", machine.PrimStop, time.Minute)
	sleeper := b.pid(b.hear(pid))
	b.port.Do(machine.CancelPrimitive{Service: "web", Run: check})
	b.port.Do(machine.CancelPrimitive{Service: "web", Run: start})
	b.port.Do(machine.CancelPrimitive{Service: "web", Run: start})
	b.port.Do(machine.CancelPrimitive{Service: "web", Run: 999})
	b.port.Do(machine.CancelPrimitive{Service: "none", Run: 1})
	for _, want := range []struct {
		run     uint64
		outcome machine.Outcome
		text    string
	}{
		{start, machine.OutcomeCancelled, "start was cancelled"},
		{check, machine.OutcomeCancelled, "check was not run: cancelled before it began"},
		{stop, machine.OutcomeDone, "ran"},
	} {
		if d := b.done(); d.Run != want.run || d.Outcome != want.outcome || !strings.HasPrefix(d.Text, want.text) {
			t.Errorf("run %d %v %q, want %+v", d.Run, d.Outcome, d.Text, want)
		}
	}
	b.gone(sleeper)
}

func TestAKilledMakeIsUnknown(t *testing.T) {
	b := newBench(t, map[string]string{"web": "start:\n\t@echo 'Result: done'; kill -KILL $$PPID\n"})
	if d := b.one(machine.PrimStart, time.Minute); d.Outcome != machine.OutcomeUnknown {
		t.Errorf("%v %q", d.Outcome, d.Text)
	}
}

func TestServicesDoNotWaitForEachOther(t *testing.T) {
	b := newBench(t, map[string]string{"slow": "start:\n\t@read x < go; echo $$x\n", "quick": "start:\n\t@echo quick\n"})
	goOn := b.fifo("slow", "go")
	b.do("slow", machine.PrimStart, time.Minute)
	for range 3 {
		b.do("quick", machine.PrimStart, time.Minute)
		if d := b.done(); d.Service != "quick" || d.Text != "quick" {
			t.Fatalf("%+v", d)
		}
	}
	if err := os.WriteFile(goOn, []byte("at last\n"), 0); err != nil {
		t.Fatal(err)
	}
	if d := b.done(); d.Service != "slow" || d.Text != "at last" {
		t.Errorf("%+v", d)
	}
}

func TestOneServicesRunsFollowEachOtherInOrder(t *testing.T) {
	b := newBench(t, map[string]string{"web": "%:\n\t@mkdir busy && rmdir busy && echo $@ >> log\n"})
	want := ""
	for _, p := range machine.Primitives() {
		b.do("web", p, time.Minute)
		want += p.String() + "\n"
	}
	for i := range machine.Primitives() {
		if d := b.done(); d.Run != uint64(i+1) || d.Outcome != machine.OutcomeDone {
			t.Errorf("%d: %+v", i, d)
		}
	}
	if log, err := os.ReadFile(filepath.Join(b.dirs["web"], "log")); err != nil || string(log) != want {
		t.Errorf("order %q, %v", log, err)
	}
}

func TestAQueueThatIsFullSaysSo(t *testing.T) {
	b := newBench(t, map[string]string{"web": "start:\n\t@read x < go\ncheck:\n"})
	goOn := b.fifo("web", "go")
	b.do("web", machine.PrimStart, time.Minute)
	for range QueueLength + 2 {
		b.do("web", machine.PrimCheck, time.Minute)
	}
	if err := os.WriteFile(goOn, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	count := map[machine.Outcome]int{}
	for range QueueLength + 3 {
		d := b.done()
		count[d.Outcome]++
		if d.Outcome == machine.OutcomeUnknown && d.Text != "check was not run: 64 others of service web wait already" {
			t.Errorf("%q", d.Text)
		}
	}
	// The first may or may not have left the queue when the others came.
	if n := count[machine.OutcomeUnknown]; n < 2 || n > 3 {
		t.Errorf("%v", count)
	}
}

func TestTheEndOfTheContextEndsRunsAndLeavesWhatTheyStarted(t *testing.T) {
	dir := t.TempDir()
	text := "start:\n\t@setsid sleep 1000 & echo $$! > daemon\nstop:\n\t@echo $$$$ > pid; exec sleep 1000\n"
	if err := os.WriteFile(filepath.Join(dir, "Makefile"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dirs: map[string]string{"web": dir}}
	fifo, daemon := b.fifo("web", "pid"), b.fifo("web", "daemon")
	events := make(chan machine.PrimitiveDone, 10)
	p := New(Config{Emit: func(e machine.Event) { events <- e.(machine.PrimitiveDone) },
		Dirs: func(string) (Setting, bool) { return Setting{Dir: dir}, true }, RunDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	p.Do(machine.RunPrimitive{Service: "web", Primitive: machine.PrimStart, Run: 1, Timeout: time.Minute})
	p.Do(machine.RunPrimitive{Service: "web", Primitive: machine.PrimStop, Run: 2, Timeout: time.Minute})
	p.Do(machine.RunPrimitive{Service: "web", Primitive: machine.PrimStop, Run: 3, Timeout: time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	started, stopping := b.pid(b.hear(daemon)), b.pid(b.hear(fifo))
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	b.gone(stopping)
	if err := unix.Kill(started, 0); err != nil {
		t.Errorf("what start left running: %v", err)
	}
	_ = unix.Kill(started, unix.SIGKILL)
	close(events)
	var got []string
	for d := range events {
		got = append(got, fmt.Sprint(d.Run, " ", d.Outcome))
	}
	if fmt.Sprint(got) != "[1 done 2 cancelled]" {
		t.Errorf("%v", got)
	}
	p.Do(machine.RunPrimitive{Service: "web", Primitive: machine.PrimStop, Run: 4})
}

func TestWithoutAPlaceForOutputPrimitivesRunAllTheSame(t *testing.T) {
	b := newBench(t, map[string]string{"web": "start:\n\t@echo ran > proof; echo lost\n"})
	if err := os.WriteFile(filepath.Join(b.run, "output"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d := b.one(machine.PrimStart, time.Minute); d.Outcome != machine.OutcomeDone {
		t.Errorf("%v %q", d.Outcome, d.Text)
	}
	if _, err := os.Stat(filepath.Join(b.dirs["web"], "proof")); err != nil {
		t.Error(err)
	}
}
