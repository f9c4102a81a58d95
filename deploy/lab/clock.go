package lab

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Leap sets the wall clock of one running process of a host off by so much, and
// by 0 right again. Time namespaces leave CLOCK_REALTIME alone, setting the
// machine's clock would set everybody's, and a static program has no library to
// put in front: so the process's own copy of the kernel's clock_gettime (vdso(7))
// is replaced, in its memory alone. What it starts sees the right time, as does
// the process after it.
func (l *Lab) Leap(host, name string, by time.Duration) error {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("leap of %s on %s: machine code for %s is not there", name, host, runtime.GOARCH)
	}
	if by%time.Second != 0 {
		return fmt.Errorf("leap of %s on %s by %s: want whole seconds", name, host, by)
	}
	pid, err := l.PID(host, name)
	if err != nil {
		return err
	}
	if pid == 0 {
		return fmt.Errorf("leap of %s on %s: it does not run", name, host)
	}
	// Stopped, so that no thread is in the middle of what is replaced.
	if err := l.Freeze(host, name); err != nil {
		return err
	}
	for range 50 {
		if err = leap(pid, by); !errors.Is(err, errInside) {
			break
		}
		if err := errors.Join(l.Thaw(host, name), l.Freeze(host, name)); err != nil {
			return err
		}
	}
	if err = errors.Join(err, l.Thaw(host, name)); err != nil {
		return fmt.Errorf("leap of %s on %s: %w", name, host, err)
	}
	return nil
}

// errInside: a thread is in the code that is to be replaced.
var errInside = errors.New("a thread is just asking for the time")

// leap replaces clock_gettime of a stopped process.
func leap(pid int, by time.Duration) error {
	proc := "/proc/" + strconv.Itoa(pid)
	from, to, err := vdsoOf(proc)
	if err != nil {
		return err
	}
	mem, err := os.OpenFile(proc+"/mem", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	image := make([]byte, to-from)
	if _, err := mem.ReadAt(image, int64(from)); err != nil {
		return fmt.Errorf("vdso: %w", err)
	}
	at, size, err := clockGettime(image)
	if err != nil {
		return err
	}
	code := offClock(int64(by / time.Second))
	if size < uint64(len(code)) {
		return fmt.Errorf("vdso: clock_gettime has %d bytes, %d are wanted", size, len(code))
	}
	if err := outside(proc, from, to); err != nil {
		return err
	}
	if _, err := mem.WriteAt(code, int64(from+at)); err != nil {
		return fmt.Errorf("vdso: %w", err)
	}
	return nil
}

// vdsoOf finds where a process has it.
func vdsoOf(proc string) (from, to uint64, err error) {
	maps, err := os.ReadFile(filepath.Join(proc, "maps"))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			return 0, 0, fmt.Errorf("maps: %q: %w", line, err)
		}
		return from, to, nil
	}
	return 0, 0, errors.New("it has no vdso")
}

// clockGettime finds the function in an image.
func clockGettime(image []byte) (at, size uint64, err error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, 0, fmt.Errorf("vdso: %w", err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return 0, 0, fmt.Errorf("vdso: %w", err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			if s.Value+s.Size > uint64(len(image)) {
				return 0, 0, fmt.Errorf("vdso: clock_gettime at %#x is beyond its end: %w", s.Value, io.ErrUnexpectedEOF)
			}
			return s.Value, s.Size, nil
		}
	}
	return 0, 0, errors.New("vdso: no clock_gettime in it")
}

// offClock is a clock_gettime that asks the kernel and adds seconds to
// CLOCK_REALTIME (0). The system call spares rdi and rsi, and the result in rax.
func offClock(seconds int64) []byte {
	code := []byte{
		0xb8, 228, 0, 0, 0, // mov $SYS_clock_gettime, %eax
		0x0f, 0x05, // syscall
		0x85, 0xff, // test %edi, %edi
		0x75, 13, // jne to ret
		0x48, 0xb9, // movabs $seconds, %rcx
	}
	code = binary.LittleEndian.AppendUint64(code, uint64(seconds))
	return append(code,
		0x48, 0x01, 0x0e, // add %rcx, (%rsi)
		0xc3, // ret
	)
}

// outside wants every thread of a stopped process to be elsewhere than between
// two addresses. The last field of syscall (proc(5)) is where it is.
func outside(proc string, from, to uint64) error {
	threads, err := filepath.Glob(filepath.Join(proc, "task", "*", "syscall"))
	if err != nil {
		return err
	}
	for _, t := range threads {
		b, err := os.ReadFile(t)
		if err != nil {
			return err
		}
		f := strings.Fields(string(b))
		if len(f) < 2 || f[0] == "running" {
			return errInside // it has not stopped yet
		}
		pc, err := strconv.ParseUint(strings.TrimPrefix(f[len(f)-1], "0x"), 16, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		// Not seen is a thread in a signal's handler that was interrupted there: it
		// would have to be in the few bytes that are replaced.
		if pc >= from && pc < to {
			return errInside
		}
	}
	return nil
}
