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
	"strconv"
	"strings"
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
	PID       int    `json:"pid"`   // of the leader, and so of the group
	Start     uint64 `json:"start"` // of the leader: field 22 of /proc/PID/stat
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
)

func runsDir(runDir string) string { return filepath.Join(runDir, "runs") }

func runPath(runDir, service string) string {
	return filepath.Join(runsDir(runDir), service+".json")
}

// noted reports whether a primitive is written down while it runs: all that
// change things.
func noted(p machine.Primitive) bool { return !gated(p) }

// note writes down which process a run is. It is on the way of every failover,
// beside the primitive, which runs already: no fsync, no rename. It matters to
// nobody after a loss of power, and one cut short is not believed.
func (p *Port) note(service string, prim machine.Primitive, pid int) {
	if err := p.writeRun(service, prim, pid); err != nil {
		p.config.Log.Warn("a primitive would go on unseen if srrd were killed", "service", service, "primitive", prim.String(), "err", err)
	}
}

func (p *Port) writeRun(service string, prim machine.Primitive, pid int) error {
	if err := advert.ValidName(service); err != nil {
		return err
	}
	id, err := p.boot()
	if err != nil {
		return err
	}
	st, err := statOf(pid) // a zombie at worst: it is not reaped yet
	if err != nil {
		return err
	}
	b, err := json.Marshal(runFile{runVersion, id, service, prim.String(), pid, st.start})
	if err != nil {
		return err
	}
	path := runPath(p.config.RunDir, service)
	err = os.WriteFile(path, b, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(runsDir(p.config.RunDir), 0o700); err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
	}
	return err
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
		found[i].Err = found[i].kill()
	}
	for i := range found {
		o := &found[i]
		if o.Err == nil {
			o.Err = o.gone(ctx)
		}
		if o.Err == nil { // else the life after this one tries again
			over = append(over, o.path)
		}
	}
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
	case r.PID <= 1: // kill(2): 0, -1 and 1 would mean everybody
		return r, fmt.Errorf("process %d is no primitive", r.PID)
	}
	return r, nil
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
	state byte
	group int
	start uint64 // ticks after boot
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
	if s.start, err = strconv.ParseUint(string(fields[19]), 10, 64); err != nil {
		return procStat{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}
