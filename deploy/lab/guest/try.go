package guest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Config says what to try, and with what.
type Config struct {
	Disk string // of deploy/install/guest-root
	Tree string // of `make install DESTDIR=`
	Only string // checks whose names match, and what the rest needs
	Keep string // where console and journal go; "": a temporary directory, removed unless something was found
	Out  io.Writer
	Log  io.Writer // every script, with how long it took and what it said
}

// A check is one thing that is tried, in a machine in which all services run.
type check struct {
	name   string
	needed bool // the checks after it need what it does
	do     func(t *trial)
}

// A trial is a check that runs. After the first thing that is not as it should be
// nothing more is asked in it.
type trial struct {
	ctx   context.Context
	m     *Machine
	log   io.Writer
	err   error
	facts []string // what is told of it, if all is well
}

// patience is how long the machine may take to do what is waited for, by its own
// clock. Dead intervals, the watchdog and FRR's start are all well within it.
const patience = 2 * time.Minute

// Try boots the machine and tries everything. What was found is told on c.Out, and
// counted; an error is that it could not be tried to its end.
func Try(ctx context.Context, c Config) (failed int, err error) {
	only, err := regexp.Compile(c.Only)
	if err != nil {
		return 0, err
	}
	dir := c.Keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "srrguest"); err != nil {
			return 0, err
		}
		defer func() {
			if failed == 0 && err == nil {
				os.RemoveAll(dir)
			} else {
				fmt.Fprintln(c.Out, "console and journal of the machine are in", dir)
			}
		}()
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	disk := filepath.Join(dir, "payload.tar")
	if err := payload(disk, c.Tree, self); err != nil {
		return 0, err
	}
	defer os.Remove(disk)
	m, err := Boot(ctx, c.Disk, disk, dir)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	defer m.keepJournal(dir)
	ran := 0
	for _, k := range checks {
		if !k.needed && !only.MatchString(k.name) {
			continue
		}
		t := &trial{ctx: ctx, m: m, log: c.Log}
		from := t.clock()
		k.do(t)
		if ctx.Err() != nil {
			return failed, context.Cause(ctx)
		}
		ran++
		took := (t.clock() - from).Seconds()
		if t.err == nil {
			fmt.Fprintf(c.Out, "  ok     %6.1f s  %s\n", took, strings.Join(append([]string{k.name}, t.facts...), "; "))
			continue
		}
		failed++
		fmt.Fprintf(c.Out, "  FAILED %6.1f s  %s: %v\n", took, k.name, t.err)
		fmt.Fprintf(c.Out, "the last that the unit said:%s\n", indented(t.now("systemctl status --no-pager -l -n 0 srrd; log | tail -n 30")))
		if k.needed {
			break
		}
	}
	result := "ok"
	if failed > 0 {
		result = fmt.Sprintf("FAILED: %d", failed)
	}
	fmt.Fprintf(c.Out, "guest: %d checks, %s\n", ran, result)
	return failed, nil
}

func (m *Machine) keepJournal(dir string) {
	a, err := m.ask(context.Background(), "journalctl -o short-precise", false, time.Minute)
	if err == nil {
		_ = os.WriteFile(filepath.Join(dir, "journal"), []byte(a.Out), 0o644) // it is for people, who will miss it
	}
}

func (t *trial) ask(script string, until bool) answer {
	a, err := t.m.ask(t.ctx, ". /srv/lab/files/lib.sh\n"+script, until, patience)
	fmt.Fprintf(t.log, "%s\n\t-> status %d after %.1f s:%s\n", strings.TrimSpace(script), a.Status, a.Took.Seconds(), indented(a.Out))
	if err != nil && t.err == nil {
		t.err = err
	}
	return a
}

// now runs a script also if something failed before, and gives what it says.
func (t *trial) now(script string) string { return strings.TrimSpace(t.ask(script, false).Out) }

// clock is the machine's, which goes on while it boots.
func (t *trial) clock() time.Duration {
	var s float64
	_, _ = fmt.Sscan(t.now("date +%s.%N"), &s) // 0 of a machine that does not answer
	return time.Duration(s * float64(time.Second))
}

// must has a script run that has to end well, and gives what it says.
func (t *trial) must(what, script string) string {
	if t.err != nil {
		return ""
	}
	a := t.ask(script, false)
	if t.err == nil && (a.Status != 0 || a.Late || a.Trouble != "") {
		t.err = fmt.Errorf("%s: status %d %s%s", what, a.Status, a.Trouble, indented(a.Out))
	}
	return strings.TrimSpace(a.Out)
}

// await runs a script until it ends well, and gives how long that took.
func (t *trial) await(what, script string) time.Duration {
	if t.err != nil {
		return 0
	}
	a := t.ask(script, true)
	if t.err == nil && (a.Status != 0 || a.Late || a.Trouble != "") {
		t.err = fmt.Errorf("%s: not so in %v %s%s", what, patience, a.Trouble, indented(a.Out))
	}
	return a.Took
}

// is wants a script to say something.
func (t *trial) is(what, script, want string) {
	if got := t.must(what, script); t.err == nil && got != want {
		t.err = fmt.Errorf("%s: it is %q, and should be %q", what, got, want)
	}
}

// tell adds a fact.
func (t *trial) tell(format string, args ...any) {
	t.facts = append(t.facts, fmt.Sprintf(format, args...))
}

func indented(text string) string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return " nothing"
	}
	return "\n\t" + strings.ReplaceAll(text, "\n", "\n\t")
}

func tail(text string, n int) string { return text[max(0, len(text)-n):] }

// read gives a file for a message, or why it cannot be had.
func read(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
