package primitive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// An orphan is a primitive that outlives the srrd that ran it, which was killed.
// What it does then is nobody's any more: a start that ends after the next life
// has looked leaves a service running that another node runs too. So it is
// written down which process group each primitive is that changes things, and
// the next life ends those first. One that re-executes itself keeps its
// children, and does not.

// runFile is the form of that note on disk, under RunDir/runs, one for each
// service: its primitives run one at a time.
type runFile struct {
	Version   int    `json:"version"`
	Boot      string `json:"boot_id"`
	Service   string `json:"service"`
	Primitive string `json:"primitive"`
	PID       int    `json:"pid"`   // of the leader, and so of the group; 0: it is about to begin
	Start     uint64 `json:"start"` // of the leader: field 22 of /proc/PID/stat; before that: now
	// Run is what its processes have in their environment as SRRD_RUN: they are
	// found by it if srrd was killed before it had written down the number.
	Run string `json:"run,omitempty"`
}

const (
	runVersion = 1
	// maxRunFile bounds what is read of a note, in octets.
	maxRunFile = 4 << 10
	// orphanPatience is how long SIGKILL may take: what waits for a dead disk
	// ends when that answers.
	orphanPatience = 5 * time.Second
	// orphanLook is the wait between two looks at what is left of a group.
	orphanLook = 5 * time.Millisecond
	// execLooks is how often a process is looked at that shows no environment: it
	// may be on its way through execve(2).
	execLooks = 20
	// runVariable is where a process of a run bears its name.
	runVariable = "SRRD_RUN="
)

func runsDir(runDir string) string { return filepath.Join(runDir, "runs") }

func runPath(runDir, service string) string {
	return filepath.Join(runsDir(runDir), service+".json")
}

// noted reports whether a primitive is written down while it runs: all that
// change things.
func noted(p machine.Primitive) bool { return !gated(p) }

// runName names a run as no other of this boot is: by the life of srrd, the
// service, and the number that the machine gave it.
func runName(a *machine.RunPrimitive) (string, error) {
	st, err := ownStat()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s.%d.%d.%d", a.Service, os.Getpid(), st.start, a.Run), nil
}

// ownStat is of srrd; a new one that it executes keeps number and beginning.
var ownStat = sync.OnceValues(func() (procStat, error) { return statOf(os.Getpid()) })

// intend writes down that a run is about to begin: between its fork and note srrd
// may be killed, and the run is to be found by its name then.
func (p *Port) intend(a *machine.RunPrimitive, run string) {
	now, err := ticks()
	if err == nil {
		err = p.writeRun(runFile{Service: a.Service, Primitive: a.Primitive.String(), Start: now, Run: run})
	}
	if err != nil {
		p.unseen(a, err)
	}
}

// note writes down which process a run is. It is on the way of every failover,
// beside the primitive, which runs already: no fsync, no rename. It matters to
// nobody after a loss of power, and one cut short is not believed.
func (p *Port) note(a *machine.RunPrimitive, run string, pid int) {
	st, err := statOf(pid) // a zombie at worst: it is not reaped yet
	if err == nil {
		err = p.writeRun(runFile{Service: a.Service, Primitive: a.Primitive.String(), PID: pid, Start: st.start, Run: run})
	}
	if err != nil {
		p.unseen(a, err)
	}
}

func (p *Port) unseen(a *machine.RunPrimitive, err error) {
	p.config.Log.Warn("a primitive would go on unseen if srrd were killed", "service", a.Service, "primitive", a.Primitive.String(), "err", err)
}

// writeRun writes a note over the one before, in one piece. What a longer one has
// left behind it is not read.
func (p *Port) writeRun(r runFile) error {
	if err := advert.ValidName(r.Service); err != nil {
		return err
	}
	id, err := p.boot()
	if err != nil {
		return err
	}
	r.Version, r.Boot = runVersion, id
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	path := runPath(p.config.RunDir, r.Service)
	const how = os.O_WRONLY | os.O_CREATE // a note that was emptied first would say nothing
	f, err := os.OpenFile(path, how, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(runsDir(p.config.RunDir), 0o700); err == nil {
			f, err = os.OpenFile(path, how, 0o600)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// ticks is now as /proc/PID/stat counts when a process began, in hundredths of a
// second on every Linux (USER_HZ), and one less: neither more exactly nor at once.
func ticks() (uint64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("clock: %w", err)
	}
	return uint64(max(ts.Nano()/int64(10*time.Millisecond)-1, 0)), nil
}

// unnote removes the note of a run that has ended.
func (p *Port) unnote(service string) {
	if err := os.Remove(runPath(p.config.RunDir, service)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.config.Log.Warn("the note of a primitive that has ended stays; it is not believed", "service", service, "err", err)
	}
}

// Orphan is a primitive of an earlier life that still runs, or did.
type Orphan struct {
	Service   string
	Primitive string
	PID       int
	// Err is why it could not be ended; nil: it was, or nobody tried.
	Err error

	path  string
	start uint64
}

// String says what was found.
func (o Orphan) String() string {
	return fmt.Sprintf("%s of %s of the life before was still running (pid %d)", o.Primitive, o.Service, o.PID)
}

// Orphans finds the primitives of an earlier life that still run, sorted by
// service, and changes nothing. A process that has come to bear the number of
// one is not taken for it.
func Orphans(runDir string) ([]Orphan, []error) {
	found, _, errs := orphans(runDir)
	return found, errs
}

// EndOrphans ends them, with their process groups, and removes the notes of
// those that do not run any more; to be called by a fresh start of srrd while
// it has the lock, before it asks what runs here.
func EndOrphans(ctx context.Context, runDir string) ([]Orphan, []error) {
	found, over, errs := orphans(runDir)
	ctx, cancel := context.WithTimeoutCause(ctx, orphanPatience, fmt.Errorf("it goes on %s after SIGKILL", orphanPatience))
	defer cancel()
	for i := range found {
		if o := &found[i]; o.Err == nil {
			o.Err = o.kill()
		}
	}
	again := map[string]bool{} // the life after this one tries
	for i := range found {
		o := &found[i]
		if o.Err == nil {
			o.Err = o.gone(ctx)
		}
		if over = append(over, o.path); o.Err != nil {
			again[o.path] = true
		}
	}
	over = slices.DeleteFunc(over, func(path string) bool { return again[path] })
	for _, path := range over {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return found, errs
}

// WithOrphans gives the marks for a life that could not end all orphans: what
// such a primitive makes of the service is not known until it ends, whatever
// status says, so the service may still run.
func WithOrphans(marks []machine.Mark, found []Orphan) []machine.Mark {
	for _, o := range found {
		switch o.Primitive {
		case machine.PrimStart.String(), machine.PrimStop.String(), machine.PrimRestart.String(), machine.PrimReload.String():
		default:
			continue
		}
		if o.Err == nil {
			continue
		}
		known := false
		for i := range marks {
			if marks[i].Service == o.Service {
				marks[i].MayStillRun, known = true, true
			}
		}
		if !known {
			marks = append(marks, machine.Mark{Service: o.Service, MayStillRun: true})
		}
	}
	return marks
}

// orphans reads the notes: of what still runs, and those of what does not or
// that cannot be believed, which are only good to be removed.
func orphans(runDir string) (found []Orphan, over []string, errs []error) {
	entries, err := os.ReadDir(runsDir(runDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, []error{err}
	}
	id, err := boot()
	if err != nil {
		return nil, nil, []error{err}
	}
	for _, e := range entries {
		service, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || e.IsDir() || advert.ValidName(service) != nil {
			continue
		}
		path := filepath.Join(runsDir(runDir), e.Name())
		f, err := readRun(path, service)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("note of the primitive of service %s that ran last: %w; it is not known whether that still runs", service, err))
			over = append(over, path)
		case f.Boot != id:
			over = append(over, path) // nothing survived that
		case f.PID == 0:
			begun, err := bearers(f.Run, f.Start)
			for _, b := range begun {
				found = append(found, Orphan{Service: service, Primitive: f.Primitive, PID: b.pid, Err: b.err, path: path, start: b.start})
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s of service %s that was about to begin: %w; it is not known whether it runs", f.Primitive, service, err))
			}
			if len(begun) == 0 {
				over = append(over, path)
			}
		default:
			o := Orphan{Service: service, Primitive: f.Primitive, PID: f.PID, path: path, start: f.Start}
			if o.runs() {
				found = append(found, o)
			} else {
				over = append(over, path)
			}
		}
	}
	return found, over, errs
}

// readRun reads a note. One that others could have written is not believed:
// processes die by it.
func readRun(path, service string) (runFile, error) {
	var r runFile
	// Neither a link nor a FIFO that nobody writes to.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return r, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return r, err
	}
	owner, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !st.Mode().IsRegular():
		return r, errors.New("no regular file")
	case !ok || int(owner.Uid) != os.Geteuid():
		return r, errors.New("not a file of the user that srrd runs as")
	case st.Size() > maxRunFile:
		return r, fmt.Errorf("%d octets are more than any has", st.Size())
	case st.Size() == 0:
		return r, errors.New("it was not written to its end")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxRunFile))
	if err != nil {
		return r, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, err
	}
	var known machine.Primitive
	for known = range machine.PrimFence + 1 {
		if known.String() == r.Primitive {
			break
		}
	}
	switch {
	case r.Version != runVersion:
		return r, fmt.Errorf("version %d: only %d is known", r.Version, runVersion)
	case r.Service != service:
		return r, fmt.Errorf("says it is of service %q", advert.Printable(r.Service))
	case known.String() != r.Primitive || !noted(known):
		return r, fmt.Errorf("says it is of primitive %q", advert.Printable(r.Primitive))
	case r.Boot == "":
		return r, errors.New("no boot id")
	case r.PID == 0 && r.Run != "": // by its name, then
	case r.PID <= 1: // kill(2): 0, -1 and 1 would mean everybody
		return r, fmt.Errorf("process %d is no primitive", r.PID)
	}
	return r, nil
}

// bearer is a process that bears the name of a run, or that may: then err says
// why that cannot be told.
type bearer struct {
	pid   int
	start uint64
	err   error
}

// bearers finds the leaders of the process groups of a run that may have begun.
// Every child of the srrd that was killed has gone through execve(2) by now: until
// then it holds that one's lock. A process in a session of its own is one that the
// run has left behind for good.
func bearers(run string, since uint64) ([]bearer, error) {
	for look := 1; ; look++ {
		found, soon, err := bearersNow(run, since)
		if err != nil || !soon || look == execLooks {
			return found, err
		}
		time.Sleep(orphanLook)
	}
}

// bearersNow looks once; soon: a process shows no environment yet.
func bearersNow(run string, since uint64) (found []bearer, soon bool, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		st, err := statOf(pid)
		if err != nil || st.dead() || st.group != pid || st.session == pid || st.start < since {
			continue // gone, or no such leader
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
		case err != nil:
			found = append(found, bearer{pid, st.start, fmt.Errorf("it cannot be told whether process %d is it: %w", pid, err)})
		case len(env) == 0:
			soon = true
		case bytes.Contains(append([]byte{0}, env...), []byte("\x00"+runVariable+run+"\x00")):
			found = append(found, bearer{pid: pid, start: st.start})
		}
	}
	return found, soon, nil
}

// runs reports whether the process that was noted still does. Once it has ended
// the run has, and what is left of its group is what it started.
func (o Orphan) runs() bool {
	st, err := statOf(o.PID)
	return err == nil && st.start == o.start && st.group == o.PID && !st.dead() && o.PID != unix.Getpgrp()
}

// kill sends SIGKILL to the group: srrd is gone for which it would have tidied
// up at SIGTERM, and every moment it goes on is one that nobody watches.
func (o Orphan) kill() error {
	if !o.runs() {
		return nil
	}
	if err := unix.Kill(-o.PID, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("killing it: %w", err)
	}
	return nil
}

// gone waits until nothing of the group runs.
func (o Orphan) gone(ctx context.Context) error {
	t := time.NewTicker(orphanLook)
	defer t.Stop()
	for {
		left, err := groupRuns(o.PID)
		if err != nil || !left {
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// groupRuns reports whether a process of a group runs. kill(2) would also tell
// of those that have ended and were not reaped.
func groupRuns(group int) (bool, error) {
	if errors.Is(unix.Kill(-group, 0), unix.ESRCH) {
		return false, nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// One that cannot be read has ended.
		if st, err := statOf(pid); err == nil && st.group == group && !st.dead() {
			return true, nil
		}
	}
	return false, nil
}

// procStat is what /proc/PID/stat says (proc_pid_stat(5)).
type procStat struct {
	state   byte
	group   int
	session int
	start   uint64 // ticks after boot
}

func (s procStat) dead() bool { return s.state == 'Z' || s.state == 'X' }

func statOf(pid int) (procStat, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return procStat{}, err
	}
	// The name in parentheses may hold anything; state, field 3, is the first
	// behind it.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return procStat{}, fmt.Errorf("%s has %d fields", path, len(fields))
	}
	s := procStat{state: fields[0][0]}
	if s.group, err = strconv.Atoi(string(fields[2])); err != nil {
		return procStat{}, fmt.Errorf("%s: %w", path, err)
	}
	if s.session, err = strconv.Atoi(string(fields[3])); err != nil {
		return procStat{}, fmt.Errorf("%s: %w", path, err)
	}
	if s.start, err = strconv.ParseUint(string(fields[19]), 10, 64); err != nil {
		return procStat{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}
