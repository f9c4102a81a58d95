package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

// samples makes one datagram a millisecond of a picture: a letter is who
// answered, a dot nobody.
func samples(picture string) []Sample {
	out := make([]Sample, 0, len(picture))
	for i, c := range picture {
		s := Sample{Sent: time.Duration(i) * time.Millisecond, By: string(c)}
		if c == '.' {
			s.By = ""
		}
		out = append(out, s)
	}
	return out
}

func TestDatagramsAreAccountedForByTheTimeTheyWereSent(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name, picture string
		marks         []PhaseMark
		want          []string
	}{
		{"a quiet time has no outage", "aaaa", nil, []string{"start from=a to=a lost=0 outage_ms=0.0"}},
		{"an outage runs from the last answered before to the first answered after", "aaa...bb", nil,
			[]string{"start from=a to=b lost=3 outage_ms=4.0"}},
		{"one lost datagram is an outage of two intervals", "a.a", nil, []string{"start from=a to=a lost=1 outage_ms=2.0"}},
		{"a change without loss is a switch and no outage", "aabb", nil, []string{"start from=a to=b lost=0 outage_ms=0.0"}},
		{"an open beginning counts from the first lost", "..a", nil, []string{"start from=a to=a lost=2 outage_ms=2.0"}},
		{"an open end counts to the last lost", "a..", nil, []string{"start from=a to=a lost=2 outage_ms=2.0"}},
		{"nobody ever answers", "...", nil, []string{"start from=- to=- lost=3 outage_ms=2.0"}},
		{"nothing was sent", "", nil, []string{"start from=- to=- lost=0 outage_ms=0.0"}},
		{"the longest outage is told", "a.a...a.a", nil, []string{"start from=a to=a lost=5 outage_ms=4.0"}},
		{"phases split losses by sending time, an outage stays whole where it began", "aa..|..bb",
			nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			marks := c.marks
			picture := c.picture
			if at := strings.IndexByte(picture, '|'); at >= 0 {
				picture = strings.Replace(picture, "|", "", 1)
				marks = []PhaseMark{{"one", 0}, {"two", time.Duration(at) * ms}}
				c.want = []string{"one from=a to=b lost=2 outage_ms=5.0", "two from=b to=b lost=2 outage_ms=0.0"}
			}
			var got []string
			for _, p := range Account(samples(picture), marks, time.Duration(len(picture))*ms) {
				got = append(got, p.Line())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEveryDatagramIsCountedOnceWhateverThePhases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		picture := rapid.StringMatching(`[ab.]{0,60}`).Draw(t, "picture")
		var marks []PhaseMark
		for _, at := range rapid.SliceOfN(rapid.IntRange(0, 60), 0, 4).Draw(t, "marks") {
			marks = append(marks, PhaseMark{"m", time.Duration(at) * time.Millisecond})
		}
		sent, lost, inOutages, answered := 0, 0, 0, 0
		for _, p := range Account(samples(picture), marks, time.Minute) {
			sent += p.Sent
			lost += p.Lost
			for _, n := range p.ByNode {
				answered += n
			}
			for _, o := range p.Outages {
				inOutages += o.Lost
				if o.Duration() < 0 || o.Lost < 1 {
					t.Fatalf("outage %+v", o)
				}
			}
		}
		want := strings.Count(picture, ".")
		if sent != len(picture) || lost != want || inOutages != want || answered != sent-lost {
			t.Fatalf("sent %d lost %d in outages %d answered %d of %q", sent, lost, inOutages, answered, picture)
		}
	})
}

func TestAProbeIsAnsweredUnderTheNameOfTheAnswerer(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	answering, stop := context.WithCancel(ctx)
	addr := netip.MustParseAddrPort("127.0.0.1:17777")
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- Answer(answering, "node-1", addr, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	p, err := StartProbe(ProbeConfig{Target: addr, TCPEvery: 5 * time.Millisecond, Grace: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if who, err := p.WaitAnswer(ctx, ""); err != nil || who != "node-1" {
		t.Fatalf("answered by %q, %v", who, err)
	}
	for p.Report().TCP.Opened == 0 { // each turn waits for a further answer
		if _, err := p.WaitAnswer(ctx, "node-1"); err != nil {
			t.Fatal(err)
		}
	}
	p.Mark("gone")
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the answerer ended with %v", err)
	}
	short, cancelShort := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancelShort()
	if _, err := p.WaitAnswer(short, "node-2"); err == nil || !strings.Contains(err.Error(), "waiting for an answer of node-2, last was node-1") {
		t.Errorf("waiting for nobody: %v", err)
	}
	r := p.Stop()
	if r != p.Stop() {
		t.Error("a second Stop gives another report")
	}
	if r.Total.ByNode["node-1"] == 0 || r.TCP.ByNode["node-1"] == 0 {
		t.Errorf("nothing answered:\n%s", r)
	}
	gone, ok := r.Phase("gone")
	if !ok || gone.Lost == 0 || len(gone.Outages) == 0 || gone.Outages[len(gone.Outages)-1].After != "" {
		t.Errorf("the end of the answerer is not seen:\n%s", r)
	}
}

func TestAProcessIsKnownByItsStartTimeAndNotItsNumberAlone(t *testing.T) {
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got := self.state(); got != procRunning {
		t.Errorf("this process is %s", got)
	}
	other := proc{self.PID, self.Start + 1}
	if got := other.state(); got != procDead {
		t.Errorf("another process with our number is %s", got)
	}
	if err := other.end(9, time.Second); err != nil { // would end the test if it were sent
		t.Errorf("ending a process that is gone: %v", err)
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.end(9, 5*time.Second); err != nil {
		t.Error(err)
	}
	if got := p.state(); got != procDead {
		t.Errorf("a killed process nobody has waited for is %s", got)
	}
	_ = cmd.Wait() // killed
}

const leaderEnds = "SRRLAB_TEST_LEADER_ENDS"

// In the process of the test below the first thread ends, and the others stay.
func init() {
	if os.Getenv(leaderEnds) != "" {
		runtime.LockOSThread()
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
}

// A killed srrd still has its lock while one of its threads ends after the first:
// the next one, started then, would find it taken.
func TestAProcessIsNotDeadBeforeItsLastThread(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), leaderEnds+"=yes")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill() // should the test have failed
		_ = cmd.Wait()         // killed
	}()
	zombie := func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), "\nState:\tZ")
	}
	for end := time.Now().Add(time.Minute); !zombie(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("the first thread does not end")
		}
	}
	if got := p.state(); got != procRunning {
		t.Errorf("while other threads run it is %s", got)
	}
	if err := p.end(9, 5*time.Second); err != nil {
		t.Error(err)
	}
	if got := p.state(); got != procDead {
		t.Errorf("without a thread it is %s", got)
	}
}

func TestTheLossProgramDropsEverythingOrAShare(t *testing.T) {
	if got := len(lossProgram(1)) / 8; got != 2 {
		t.Errorf("total loss: %d instructions, want 2", got)
	}
	if got := len(lossProgram(0.5)) / 8; got != 6 {
		t.Errorf("half: %d instructions, want 6", got)
	}
}
