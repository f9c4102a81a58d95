package primitive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of an output file.
const (
	punchEvery = 20 * time.Millisecond
	trimEvery  = time.Second
	keepTail   = 64 << 10  // while make runs; more than tailBytes, so that none of these is ever punched
	keepIdle   = 256 << 10 // after the run
	// outputsKept bounds how many output files of one service are watched
	// after their runs: those of a start, of restarts, of reloads.
	outputsKept = 4
)

// output is the file one run writes to.
type output struct {
	f       *os.File
	punched int64 // up to here nothing is left but the head
}

// newOutput makes the file of a run. One of an earlier run of that name stays
// with whoever still writes to it.
func newOutput(runDir, service, primitive string) (*output, error) {
	dir := filepath.Join(runDir, "output")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// No service has a slash in its name, and no primitive a dot.
	path := filepath.Join(dir, service+"."+primitive)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// O_APPEND, so that writers go on at the end when the file is cut.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &output{f: f}, nil
}

// punch gives back what lies between head and tail.
func (o *output) punch() {
	st, err := o.f.Stat()
	if err != nil {
		return
	}
	from := max(o.punched, headBytes)
	to := st.Size() - keepTail
	if to-from < keepTail {
		return
	}
	err = unix.Fallocate(int(o.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from)
	if err == nil {
		o.punched = to
	} else if st.Size() > 64*keepIdle {
		// A file system without holes: the head is lost, the end still counts.
		_ = o.f.Truncate(0)
	}
}

// reopen makes o.f an open file of its own: until then it is one with the file
// the run inherited, and held could not tell them apart.
func (o *output) reopen() error {
	f, err := os.OpenFile(o.f.Name(), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_ = o.f.Close()
	o.f = f
	return nil
}

// held reports whether somebody else still has the file open. A write lease is
// granted only if nobody has (fcntl(2)); where there are no leases it is held.
func (o *output) held() bool {
	fd := o.f.Fd()
	if _, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		return true
	}
	_, _ = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK)
	return false
}

// trim cuts what was written after the run.
func (o *output) trim() {
	if st, err := o.f.Stat(); err == nil && st.Size() > keepIdle {
		_ = o.f.Truncate(0)
	}
}

// drop closes the file and removes it, unless its name is another's by now.
func (o *output) drop() {
	mine, err := o.f.Stat()
	if there, gone := os.Stat(o.f.Name()); err == nil && gone == nil && os.SameFile(mine, there) {
		_ = os.Remove(o.f.Name())
	}
	_ = o.f.Close()
}

// adopt opens what runs of an earlier life of srrd write to.
func adopt(runDir string) map[string][]*output {
	all := map[string][]*output{}
	dir := filepath.Join(runDir, "output")
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		i := strings.LastIndexByte(e.Name(), '.')
		if i < 0 || !e.Type().IsRegular() {
			continue
		}
		if f, err := os.OpenFile(filepath.Join(dir, e.Name()), os.O_RDWR|os.O_APPEND, 0); err == nil {
			service := e.Name()[:i]
			all[service] = append(all[service], &output{f: f})
		}
	}
	return all
}

// content is the head and the tail, with a line between that says what is
// missing.
func (o *output) content() ([]byte, error) {
	st, err := o.f.Stat()
	if err != nil {
		return nil, err
	}
	size := st.Size()
	if size <= headBytes+tailBytes {
		return o.at(0, size)
	}
	head, err := o.at(0, headBytes)
	if err != nil {
		return nil, err
	}
	tail, err := o.at(size-tailBytes, tailBytes)
	if err != nil {
		return nil, err
	}
	// A line cut in two must not become a Result line by being cut.
	head = head[:strings.LastIndexByte(string(head), '\n')+1]
	if i := strings.IndexByte(string(tail), '\n'); i >= 0 {
		tail = tail[i+1:]
	} else {
		tail = nil
	}
	gone := size - int64(len(head)) - int64(len(tail))
	return append(fmt.Appendf(head, "... %d bytes left out ...\n", gone), tail...), nil
}

func (o *output) at(from, n int64) ([]byte, error) {
	b := make([]byte, n)
	got, err := o.f.ReadAt(b, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:got], nil
}
