package daemon

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// slimAfter is when memory that only a start needs is given back: when the
// database is there, and again when all is settled. Later nothing is: a page of
// the program that a failover uses is to be there.
var slimAfter = []time.Duration{2 * time.Second, 20 * time.Second}

// slim gives memory back: what the heap has free, and the pages of the program's
// own file. Of these a third is what runs at a start and seldom after, or next to
// it: the kernel maps sixteen for each that is touched. What is used comes back
// from the page cache, a microsecond for each sixteen.
func (d *daemon) slim(ctx context.Context) error {
	began := time.Now()
	for _, after := range slimAfter {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(began.Add(after))):
		}
		debug.FreeOSMemory()
		if err := dropProgram(); err != nil {
			d.log.Debug("pages of the program are not given back", "err", err)
		}
	}
	return nil
}

// dropProgram unmaps the pages of this program's own file that are as the file
// has them.
func dropProgram() error {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer f.Close()
	clean, err := cleanMappings(f, self)
	if err != nil {
		return err
	}
	for _, m := range clean {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("madvise: %w", errno)
		}
	}
	return nil
}

// mapping is a part of the address space.
type mapping struct{ from, to uintptr }

// cleanMappings are those mappings of a file, in the form of /proc/PID/smaps, that
// cannot be written to and of which no page was ever: the others (relocated
// data of a position-independent program) would lose what was written.
func cleanMappings(smaps io.Reader, file string) ([]mapping, error) {
	var out []mapping
	var m mapping
	of := false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) == 0 {
			continue
		}
		if from, to, ok := strings.Cut(f[0], "-"); ok && len(f) >= 5 {
			a, err := strconv.ParseUint(from, 16, 64)
			if err != nil {
				return nil, fmt.Errorf("smaps: %w", err)
			}
			b, err := strconv.ParseUint(to, 16, 64)
			if err != nil {
				return nil, fmt.Errorf("smaps: %w", err)
			}
			m = mapping{uintptr(a), uintptr(b)}
			of = len(f) == 6 && f[5] == file && strings.HasPrefix(f[1], "r-") && strings.HasSuffix(f[1], "p")
			continue
		}
		if of && f[0] == "Anonymous:" && len(f) == 3 {
			if of = false; f[1] == "0" {
				out = append(out, m)
			}
		}
	}
	return out, lines.Err()
}
