package primitive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// makefileNames are those GNU make looks for, in its order (make.info 3.2).
var makefileNames = []string{"GNUmakefile", "makefile", "Makefile"}

// askTimeout is how long make may take to read a Makefile. Reading runs the
// $(shell ...) in it, which can hang.
const askTimeout = 5 * time.Second

// Missing is what a directory of primitives lacks.
type Missing struct {
	Service  string
	Dir      string
	Makefile string   // the file's name; "" if there is none
	Targets  []string // in the order of machine.Primitives
	Err      error    // why nothing can be said, if so
}

// Error says it in one line.
func (m *Missing) Error() string {
	switch {
	case m.Err != nil:
		return fmt.Sprintf("service %s: %s", m.Service, m.Err)
	case m.Makefile == "":
		return fmt.Sprintf("service %s: no Makefile in %s", m.Service, m.Dir)
	}
	quoted := make([]string, len(m.Targets))
	for i, t := range m.Targets {
		quoted[i] = fmt.Sprintf("%q", t)
	}
	return fmt.Sprintf("service %s: %s in %s has no target %s", m.Service, m.Makefile, m.Dir, strings.Join(quoted, ", "))
}

// Unwrap is Err.
func (m *Missing) Unwrap() error { return m.Err }

// Targets knows which directories have all primitives. It remembers an answer
// as long as none of the files make read has changed. The zero value is ready;
// it may be used from many goroutines.
type Targets struct {
	mu     sync.Mutex
	known  map[reading]*answer
	asking map[reading]bool // those Refresh asks make for
	// settled is settledFor, but in tests.
	settled time.Duration
}

// reading is a directory, and whom make reads it as: to read a Makefile is to run
// what it says to run meanwhile, and that is for its service's user to do.
type reading struct{ dir, user string }

type answer struct {
	stamps  map[string]stamp
	have    map[string]bool // targets
	name    string
	recipes *recipes // those make is not needed for; nil: none
	young   bool     // a file was changed right before make was asked: no recipes yet
}

// stamp is the state of one file; zero where there is none.
type stamp struct {
	size         int64
	mtime, ctime time.Time
	inode        uint64
}

func stampOf(path string) stamp {
	st, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	s := stamp{size: st.Size(), mtime: st.ModTime()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		s.inode, s.ctime = sys.Ino, time.Unix(sys.Ctim.Unix())
	}
	return s
}

// Validate reports what the directory of a service lacks whose primitives run as
// user ("": as srrd), nil if nothing. All
// primitives must be targets, and those in more; deploy/service/default.mk gives those that need
// do nothing, for Makefiles to include; a catch-all pattern rule is not taken
// for any. make reads the Makefile but runs no
// recipe but those of Makefiles it includes. It takes some milliseconds, at most
// 5 s with a Makefile that hangs.
func (t *Targets) Validate(ctx context.Context, service, dir, user string, more ...machine.Primitive) error {
	of := reading{dir, user}
	t.mu.Lock()
	a := t.known[of]
	t.mu.Unlock()
	if a == nil || !a.fresh() {
		var err error
		if a, err = t.ask(ctx, of); err != nil {
			return &Missing{Service: service, Dir: dir, Err: err}
		}
		t.mu.Lock()
		t.put(of, a)
		t.mu.Unlock()
	}
	if a.name == "" {
		return &Missing{Service: service, Dir: dir}
	}
	var missing []string
	for _, p := range append(machine.Primitives(), more...) {
		if !a.have[p.String()] {
			missing = append(missing, p.String())
		}
	}
	if len(missing) > 0 {
		return &Missing{Service: service, Dir: dir, Makefile: a.name, Targets: missing}
	}
	return nil
}

// put remembers an answer; mu is held.
func (t *Targets) put(of reading, a *answer) {
	if t.known == nil {
		t.known = map[reading]*answer{}
	}
	t.known[of] = a
}

func (a *answer) fresh() bool {
	for path, s := range a.stamps {
		if stampOf(path) != s {
			return false
		}
	}
	return true
}

func (t *Targets) ask(ctx context.Context, of reading) (*answer, error) {
	asked, dir := time.Now(), of.dir
	who, err := identify(of.user)
	if err != nil {
		return nil, err
	}
	if st, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("directory of primitives: %w", err)
	} else if !st.IsDir() {
		return nil, fmt.Errorf("directory of primitives: %s is no directory", dir)
	}
	a := &answer{stamps: map[string]stamp{}}
	for _, n := range makefileNames {
		path := filepath.Join(dir, n)
		a.stamps[path] = stampOf(path)
		if a.name == "" && a.stamps[path] != (stamp{}) {
			a.name = n
		}
	}
	if a.name == "" {
		return a, nil
	}
	db, quiet, err := database(ctx, dir, who)
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w", a.name, dir, err)
	}
	var files []string
	a.have, files = parseDatabase(db)
	all, ok := texts(dir, files)
	for _, f := range files {
		if !filepath.IsAbs(f) {
			f = filepath.Join(dir, f)
		}
		a.stamps[f] = stampOf(f)
	}
	a.young = !a.oldEnough(asked, t.settleFor())
	if ok && quiet && !a.young {
		a.recipes = readRecipes(db, all, files)
	}
	return a, nil
}

// nothing is a goal that does nothing, given to make because it wants one.
const nothing = "__srrd_nothing__"

// askers are the makes that are asked just now. They are children of the process,
// whichever port or check asks: who takes the process over has to reap them. The
// lock is held while a port is at rest, so that none begins unknown.
var askers = struct {
	sync.Mutex
	pids map[int]bool
}{pids: map[int]bool{}}

// runAsker is cmd.Run for a make that is asked.
func runAsker(cmd *exec.Cmd) error {
	askers.Lock()
	err := cmd.Start()
	if err == nil {
		askers.pids[cmd.Process.Pid] = true
	}
	askers.Unlock()
	if err != nil {
		return err
	}
	err = cmd.Wait()
	askers.Lock()
	delete(askers.pids, cmd.Process.Pid)
	askers.Unlock()
	return err
}

// reapAsker waits for a child that an srrd before asked: its answer is of no use to
// anybody, and nobody else knows of it.
func reapAsker(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			return // ended, or ECHILD: it was reaped before
		}
	}
}

// database has make print what it has read: -p the database, -q and -n run no
// recipe, -r leaves out make's own rules. Its own variables are not left out: a
// Makefile may use them. quiet says that it had nothing to complain of.
func database(ctx context.Context, dir string, who identity) (db []byte, quiet bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "make", "-pqrn", "--no-print-directory", "-C", dir, "--eval="+nothing+": ;", nothing)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: who.cred}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	out := &bounded{limit: 8 << 20}
	words := &bounded{limit: 4 << 10}
	cmd.Stdout, cmd.Stderr = out, words
	err = runAsker(cmd)
	if ctx.Err() != nil {
		return nil, false, fmt.Errorf("make could not read it within %s", askTimeout)
	}
	var exit *exec.ExitError
	// Status 1 is -q's "not up to date"; 2 is a Makefile make cannot read.
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		if text := read(words.b).last; text != "" {
			return nil, false, errors.New(advert.Printable(text))
		}
		if text := read(words.b).text; text != "" {
			return nil, false, errors.New(cut(text, 500))
		}
		return nil, false, err
	}
	if out.over {
		return nil, false, fmt.Errorf("make's database is larger than %d bytes", out.limit)
	}
	return out.b, len(words.b) == 0, nil
}

// bounded keeps the first limit bytes.
type bounded struct {
	b     []byte
	limit int
	over  bool
}

func (w *bounded) Write(p []byte) (int, error) {
	n := min(len(p), w.limit-len(w.b))
	w.b = append(w.b, p[:n]...)
	w.over = w.over || n < len(p)
	return len(p), nil
}

// parseDatabase finds the targets in the output of make -p, and the Makefiles
// that were read. A target is a line `name: ...` in the section of files that
// is not preceded by "# Not a target:"; prerequisites nobody has a rule for are
// listed too, with that line.
func parseDatabase(db []byte) (targets map[string]bool, makefiles []string) {
	targets = map[string]bool{}
	inFiles, not := false, false
	for line := range lines(db) {
		switch {
		case strings.HasPrefix(line, "# Files"):
			inFiles = true
		case strings.HasPrefix(line, "# files hash-table stats"):
			inFiles = false
		case strings.HasPrefix(line, "MAKEFILE_LIST :="):
			makefiles = strings.Fields(strings.TrimPrefix(line, "MAKEFILE_LIST :="))
		case !inFiles:
		case line == "# Not a target:":
			not = true
		case line == "" || line[0] == '#' || line[0] == '\t':
		default:
			if name, _, ok := strings.Cut(line, ":"); ok && !not {
				targets[name] = true
			}
			not = false
		}
	}
	return targets, makefiles
}

func lines(b []byte) func(func(string) bool) {
	return func(yield func(string) bool) {
		sc := bufio.NewScanner(bytes.NewReader(b))
		sc.Buffer(nil, len(b)+1)
		for sc.Scan() {
			if !yield(sc.Text()) {
				return
			}
		}
	}
}
