package bench

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/deploy/lab"
)

// What a primitive takes is its service's doing and not srrd's, so a goal can be
// "the primitives' own time" and some milliseconds. That own time is told by the
// primitives themselves: the first and the last thing that their recipes do is to
// write a line into a FIFO of their node, and the bench notes when it comes. What
// it takes to start a recipe and to notice its end is srrd's.

// workFIFO is that file, in a node's run directory.
const workFIFO = "primitives"

// workFor is what a working primitive takes.
const workFor = 10 * time.Millisecond

// workMakefile has primitives that take their time and tell of it. The shell writes
// the lines itself: to start a program for them would take longer than most of
// what is measured.
var workMakefile = fmt.Sprintf(`include {{library}}/default.mk

start stop:
	@echo "$(SRRD_SERVICE) $@ begin" >{{run}}/%[1]s; sleep %.3[2]f; echo "$(SRRD_SERVICE) $@ end" >{{run}}/%[1]s
status check:
	@:
`, workFIFO, workFor.Seconds())

// work is one run of a primitive.
type work struct {
	host, service, primitive string
	began, ended             time.Time // ended is zero while it goes on
}

// works hears the primitives of all nodes.
type works struct {
	fds  []int
	done sync.WaitGroup

	mu  sync.Mutex
	all []work
	bad error
}

const workQuit = "quit"

// listen makes the FIFO of each node and hears them.
func listen(l *lab.Lab, hosts []string) (*works, error) {
	w := &works{}
	for _, host := range hosts {
		path := filepath.Join(l.Vars(host).RunDir, workFIFO)
		if err := unix.Mkfifo(path, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, errors.Join(fmt.Errorf("%s: %w", path, err), w.close())
		}
		// For both, so that there is a reader as long as the bench lives, and no end
		// of file: who writes without one would wait.
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", path, err), w.close())
		}
		w.fds = append(w.fds, fd)
		w.done.Go(func() { w.hear(host, fd) })
	}
	return w, nil
}

// hear reads a FIFO from a thread that runs before ordinary ones: what it is
// late, a primitive would seem to take more, or less.
func (w *works) hear(host string, fd int) {
	lab.Urgent()
	buf := make([]byte, unix.PathMax)
	var rest []byte
	for {
		n, err := unix.Read(fd, buf)
		now := time.Now()
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			w.mu.Lock()
			w.bad = fmt.Errorf("the primitives of %s: %w", host, err)
			w.mu.Unlock()
			return
		}
		rest = append(rest, buf[:n]...)
		for {
			line, more, ok := bytes.Cut(rest, []byte("\n"))
			if !ok {
				break
			}
			rest = more
			if string(line) == workQuit {
				return
			}
			w.note(host, string(line), now)
		}
	}
}

// note takes a line: SERVICE PRIMITIVE begin|end.
func (w *works) note(host, line string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := strings.Fields(line)
	if len(f) != 3 || f[2] != "begin" && f[2] != "end" {
		w.bad = fmt.Errorf("the primitives of %s say %q", host, line)
		return
	}
	if f[2] == "begin" {
		w.all = append(w.all, work{host: host, service: f[0], primitive: f[1], began: at})
		return
	}
	for i, o := range slices.Backward(w.all) {
		if o.host == host && o.service == f[0] && o.primitive == f[1] && o.ended.IsZero() {
			w.all[i].ended = at
			return
		}
	}
	w.bad = fmt.Errorf("on %s the %s of %s ends and has not begun", host, f[1], f[0])
}

// since are the runs that had not ended before that time.
func (w *works) since(at time.Time) ([]work, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.all), func(o work) bool { return !o.ended.IsZero() && o.ended.Before(at) }), w.bad
}

// forget drops what is known: a row of thirty runs is long.
func (w *works) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = slices.DeleteFunc(w.all, func(o work) bool { return !o.ended.IsZero() })
}

func (w *works) close() error {
	var all error
	for _, fd := range w.fds {
		if _, err := unix.Write(fd, []byte(workQuit+"\n")); err != nil {
			all = errors.Join(all, err)
		}
	}
	if all == nil { // else who reads might never end
		w.done.Wait()
	}
	for _, fd := range w.fds {
		all = errors.Join(all, unix.Close(fd))
	}
	return all
}

// own is how much of a span was work. Primitives that run side by side count once,
// and what they do before the span, as the beginning of a stop while the client is
// still answered, not at all.
func own(all []work, from, to time.Time) (sum time.Duration) {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b work) int { return a.began.Compare(b.began) })
	for _, o := range sorted {
		began, ended := o.began, o.ended
		if ended.IsZero() || ended.After(to) {
			ended = to
		}
		if began.Before(from) {
			began = from
		}
		if ended.After(began) {
			sum += ended.Sub(began)
			from = ended
		}
	}
	return sum
}
