package primitive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// left is a process group that an earlier life might have left, a shell and
// what it put in the background.
type left struct {
	t        *testing.T
	cmd      *exec.Cmd
	pid      int
	children string // of the group, behind the leader
}

// leave starts one; uid 0: as the test runs.
func leave(t *testing.T, uid uint32, env ...string) *left {
	t.Helper()
	return leaveAs(t, &syscall.SysProcAttr{Setpgid: true}, uid, env...)
}

func leaveAs(t *testing.T, how *syscall.SysProcAttr, uid uint32, env ...string) *left {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "sleep 1000 & echo $!; wait")
	cmd.SysProcAttr, cmd.Env = how, append(os.Environ(), env...)
	if uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	l := &left{t: t, cmd: cmd, pid: cmd.Process.Pid}
	if _, err := fmt.Fscan(out, &l.children); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(-l.pid, unix.SIGKILL)
		_ = cmd.Wait() // killed
	})
	return l
}

// alive reports whether leader and child run; a test fails if only one does.
func (l *left) alive() bool {
	l.t.Helper()
	b := &bench{t: l.t}
	one, err := statOf(l.pid)
	leader := err == nil && !one.dead()
	other, err := statOf(b.pid(l.children))
	child := err == nil && !other.dead()
	if leader != child {
		l.t.Errorf("leader %v, child %v", leader, child)
	}
	return leader
}

// noteOf is the note of one.
func (l *left) noteOf(service string) runFile {
	l.t.Helper()
	id, err := boot()
	if err != nil {
		l.t.Fatal(err)
	}
	st, err := statOf(l.pid)
	if err != nil {
		l.t.Fatal(err)
	}
	return runFile{Version: runVersion, Boot: id, Service: service, Primitive: "start", PID: l.pid, Start: st.start}
}

func writeNote(t *testing.T, run, service string, note any) string {
	t.Helper()
	b, ok := note.(string)
	if !ok {
		j, err := json.Marshal(note)
		if err != nil {
			t.Fatal(err)
		}
		b = string(j)
	}
	path := runPath(run, service)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(b), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", path, err)
	}
}

func TestWhatChangesSomethingIsNotedWhileItRuns(t *testing.T) {
	b := newBench(t, map[string]string{"web": "start check:\n\t@echo $$PPID > pid; read x < go\n"})
	pid, goOn := b.fifo("web", "pid"), b.fifo("web", "go")
	path := runPath(b.run, "web")
	for _, p := range []machine.Primitive{machine.PrimStart, machine.PrimCheck} {
		b.do("web", p, time.Minute)
		leader := b.pid(b.hear(pid))
		if p == machine.PrimStart {
			// Written by the parent beside the run: look until it is there.
			for {
				if r, err := readRun(path, "web"); err == nil {
					if r.PID == 0 { // not yet
						runtime.Gosched()
						continue
					}
					if r.PID != leader || r.Primitive != "start" {
						t.Errorf("%+v, want process %d", r, leader)
					}
					env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", leader))
					if err != nil || r.Run == "" || !strings.Contains(string(env), "\x00SRRD_RUN="+r.Run+"\x00") {
						t.Errorf("%q, %v: not the name that was noted, %q", env, err, r.Run)
					}
					break
				}
				runtime.Gosched()
			}
			if found, errs := Orphans(b.run); len(found) != 1 || found[0].PID != leader || errs != nil {
				t.Errorf("%v %v", found, errs)
			}
		} else {
			absent(t, path) // the check has begun after the start's note was removed
		}
		if err := os.WriteFile(goOn, []byte("\n"), 0); err != nil {
			t.Fatal(err)
		}
		if d := b.done(); d.Outcome != machine.OutcomeDone {
			t.Errorf("%+v", d)
		}
	}
}

func TestAnOrphanIsEndedWithItsGroup(t *testing.T) {
	run := t.TempDir()
	if found, errs := EndOrphans(t.Context(), run); found != nil || errs != nil {
		t.Errorf("of a node that never ran: %v %v", found, errs)
	}
	web, mail, stranger := leave(t, 0), leave(t, 0), leave(t, 0)
	paths := []string{writeNote(t, run, "web", web.noteOf("web")), writeNote(t, run, "mail", mail.noteOf("mail"))}
	found, errs := Orphans(run)
	if len(found) != 2 || errs != nil || !web.alive() || !mail.alive() {
		t.Fatalf("%v %v", found, errs)
	}
	found, errs = EndOrphans(t.Context(), run)
	if len(found) != 2 || found[0].Err != nil || found[1].Err != nil || errs != nil {
		t.Fatalf("%v %v", found, errs)
	}
	if want := fmt.Sprintf("start of mail of the life before was still running (pid %d)", mail.pid); found[0].String() != want {
		t.Errorf("%q, want %q", found[0], want)
	}
	if web.alive() || mail.alive() || !stranger.alive() {
		t.Errorf("web %v, mail %v, a stranger %v", web.alive(), mail.alive(), stranger.alive())
	}
	for _, p := range paths {
		absent(t, p)
	}
}

// The srrd was killed when it had forked and did not know the number yet.
func TestAnOrphanIsFoundByTheNameOfItsRun(t *testing.T) {
	b := newBench(t, map[string]string{"web": "start:\n\t@:\n"})
	run := b.run
	action := &machine.RunPrimitive{Service: "web", Primitive: machine.PrimStart, Run: 7}
	name, err := runName(action)
	if err != nil {
		t.Fatal(err)
	}
	b.port.intend(action, name)
	path := runPath(run, "web")
	bears := runVariable + name
	web, another, later, stranger := leave(t, 0, bears), leave(t, 0, bears+"1"), leave(t, 0, "X"+bears), leave(t, 0)
	daemon := leaveAs(t, &syscall.SysProcAttr{Setsid: true}, 0, bears) // for good
	found, errs := Orphans(run)
	if len(found) != 1 || found[0].PID != web.pid || errs != nil {
		t.Fatalf("%+v %v, want process %d", found, errs, web.pid)
	}
	if found, errs = EndOrphans(t.Context(), run); len(found) != 1 || found[0].Err != nil || errs != nil {
		t.Fatalf("%+v %v", found, errs)
	}
	if web.alive() || !another.alive() || !later.alive() || !stranger.alive() || !daemon.alive() {
		t.Errorf("web %v, of run 71 %v, of another variable %v, a stranger %v, a daemon %v", web.alive(), another.alive(), later.alive(), stranger.alive(), daemon.alive())
	}
	absent(t, path)

	b.port.intend(action, name) // and killed before the fork
	if found, errs := EndOrphans(t.Context(), run); found != nil || errs != nil {
		t.Errorf("%+v %v", found, errs)
	}
	absent(t, path)
}

func TestANoteIsNeverEmptyWhileItIsWritten(t *testing.T) {
	b := newBench(t, map[string]string{"web": "start:\n\t@:\n"})
	run := b.run
	l := leave(t, 0)
	action := &machine.RunPrimitive{Service: "web", Primitive: machine.PrimStart, Run: 7}
	name, err := runName(action)
	if err != nil {
		t.Fatal(err)
	}
	b.port.intend(action, name)
	reader, err := os.Open(runPath(run, "web")) // what it was is what it stays
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	b.port.note(action, name, l.pid)
	r, err := readRun(runPath(run, "web"), "web")
	if err != nil || r.PID != l.pid || r.Run != name {
		t.Errorf("%+v %v", r, err)
	}
	st, err := reader.Stat()
	if now, err2 := os.Stat(runPath(run, "web")); err != nil || err2 != nil || !os.SameFile(st, now) {
		t.Errorf("another file: %v %v", err, err2)
	}
}

func TestWhatAnEndedPrimitiveStartedIsLeftAlone(t *testing.T) {
	run := t.TempDir()
	l := leave(t, 0)
	path := writeNote(t, run, "web", l.noteOf("web"))
	if err := unix.Kill(l.pid, unix.SIGKILL); err != nil { // the leader alone
		t.Fatal(err)
	}
	waitExit(l.pid)
	found, errs := EndOrphans(t.Context(), run)
	if found != nil || errs != nil {
		t.Errorf("%v %v", found, errs)
	}
	b := &bench{t: t}
	if st, err := statOf(b.pid(l.children)); err != nil || st.dead() {
		t.Errorf("what it started: %+v %v", st, err)
	}
	absent(t, path)
}

func TestANoteThatIsNotOfThisProcessKillsNothing(t *testing.T) {
	l := leave(t, 0)
	good := l.noteOf("web")
	with := func(f func(*runFile)) runFile {
		r := good
		f(&r)
		return r
	}
	whole, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		note any
		err  string // "": nothing to say
	}{
		{"the number is another's by now", with(func(r *runFile) { r.Start-- }), ""},
		{"of another boot", with(func(r *runFile) { r.Boot = "another" }), ""},
		{"a process that leads no group", with(func(r *runFile) {
			r.PID = (&bench{t: t}).pid(l.children)
			st, err := statOf(r.PID)
			if err != nil {
				t.Fatal(err)
			}
			r.Start = st.start
		}), ""},
		{"everybody", with(func(r *runFile) { r.PID = -1 }), "process -1 is no primitive"},
		{"our own group", with(func(r *runFile) { r.PID = 0 }), "process 0 is no primitive"},
		{"init", with(func(r *runFile) { r.PID = 1 }), "process 1 is no primitive"},
		{"of another service", with(func(r *runFile) { r.Service = "mail" }), `says it is of service "mail"`},
		{"of a primitive that changes nothing", with(func(r *runFile) { r.Primitive = "check" }), `says it is of primitive "check"`},
		{"of no primitive", with(func(r *runFile) { r.Primitive = "explode" }), `says it is of primitive "explode"`},
		{"of a later version", with(func(r *runFile) { r.Version = 2 }), "version 2: only 1 is known"},
		{"without a boot", with(func(r *runFile) { r.Boot = "" }), "no boot id"},
		{"empty", "", "it was not written to its end"},
		{"cut short", string(whole[:len(whole)/2]), "unexpected EOF"},
		{"no JSON", "\x00\x01", "invalid character"},
		{"huge", string(whole) + strings.Repeat(" ", maxRunFile), "octets are more than any has"},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := t.TempDir()
			path := writeNote(t, run, "web", c.note)
			found, errs := EndOrphans(t.Context(), run)
			text := fmt.Sprint(errors.Join(errs...))
			if found != nil || (c.err == "") != (errs == nil) || !strings.Contains(text, c.err) && c.err != "" {
				t.Errorf("%v, %s; want %q", found, text, c.err)
			}
			if !l.alive() {
				t.Fatal("it was killed")
			}
			absent(t, path)
		})
	}
}

func TestANoteThatIsNoFileOfOursKillsNothing(t *testing.T) {
	l := leave(t, 0)
	for _, c := range []struct {
		name, err string
		put       func(path string) error
	}{
		{"a link", "too many levels of symbolic links", func(path string) error {
			if err := os.Rename(path, path+".elsewhere"); err != nil {
				return err
			}
			return os.Symlink(path+".elsewhere", path)
		}},
		{"a FIFO that nobody writes to", "no regular file", func(path string) error {
			return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600))
		}},
		{"a file of somebody else", "not a file of the user that srrd runs as", func(path string) error { return os.Chown(path, 65534, 65534) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := t.TempDir()
			path := writeNote(t, run, "web", l.noteOf("web"))
			if err := c.put(path); errors.Is(err, fs.ErrPermission) {
				t.Skip("needs root: ", err)
			} else if err != nil {
				t.Fatal(err)
			}
			found, errs := EndOrphans(t.Context(), run)
			if found != nil || len(errs) != 1 || !strings.Contains(errs[0].Error(), c.err) {
				t.Errorf("%v %v", found, errs)
			}
			if !l.alive() {
				t.Error("it was killed")
			}
			absent(t, path)
		})
	}
}

func TestAnOrphanThatMayNotBeKilledIsKeptInMind(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	const srrd, other = 65534, 65533
	run := t.TempDir()
	l := leave(t, other)
	path := writeNote(t, run, "web", l.noteOf("web"))
	for _, p := range []string{filepath.Dir(run), run, filepath.Dir(path), path} {
		if err := os.Chown(p, srrd, srrd); err != nil {
			t.Fatal(err)
		}
	}
	become := func(real, effective int) { // this thread alone
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(real), uintptr(effective), 0); errno != 0 {
			t.Fatal(errno)
		}
	}
	runtime.LockOSThread()
	become(srrd, srrd)
	found, errs := EndOrphans(t.Context(), run)
	become(0, 0)
	runtime.UnlockOSThread()
	if len(found) != 1 || !errors.Is(found[0].Err, unix.EPERM) || errs != nil {
		t.Fatalf("%+v %v", found, errs)
	}
	if !l.alive() {
		t.Error("it was killed")
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the note, for the life after: %v", err)
	}
}

func TestTheWaitForAGroupIsBounded(t *testing.T) {
	l := leave(t, 0)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("long enough")
	cancel(why)
	if err := (Orphan{PID: l.pid}).gone(ctx); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}

func TestAServiceWhoseOrphanGoesOnMayStillRun(t *testing.T) {
	bad := errors.New("not permitted")
	got := WithOrphans([]machine.Mark{{Service: "mail", Claim: 5}, {Service: "web", Claim: 7}}, []Orphan{
		{Service: "dns", Primitive: "start", Err: bad}, {Service: "disk", Primitive: "activate", Err: bad},
		{Service: "mail", Primitive: "stop"}, {Service: "web", Primitive: "stop", Err: bad},
	})
	want := []machine.Mark{{Service: "mail", Claim: 5}, {Service: "web", Claim: 7, MayStillRun: true}, {Service: "dns", MayStillRun: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// BenchmarkNote is what the note costs the parent, beside the primitive, and
// its removal.
func BenchmarkNote(b *testing.B) {
	run, err := os.MkdirTemp("/dev/shm", "srrd")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(run)
	p := New(Config{RunDir: run, Log: slog.New(slog.DiscardHandler)})
	pid := os.Getpid()
	action := &machine.RunPrimitive{Service: "web", Primitive: machine.PrimStart, Run: 7}
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			p.intend(action, "web.1.2.7")
			p.note(action, "web.1.2.7", pid)
		}
	})
	b.Run("write and remove", func(b *testing.B) {
		for b.Loop() {
			p.intend(action, "web.1.2.7")
			p.note(action, "web.1.2.7", pid)
			p.unnote("web")
		}
	})
}
