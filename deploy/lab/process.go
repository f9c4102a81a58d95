package lab

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// proc is a process as state files remember it: the start time tells it from
// a later one with the same pid.
type proc struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot, field 22 of /proc/PID/stat (proc(5))
}

// procStat reads the state letter and the start time of a process. One whose first
// thread has ended and others have not is a zombie to the kernel; it still has
// its files and locks, and is not dead.
func procStat(pid int) (state byte, start uint64, err error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, err
	}
	// The command name (field 2) may hold anything, blanks and brackets too.
	text := string(b)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return 0, 0, fmt.Errorf("process %d: stat has %d fields", pid, len(fields))
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	if state = fields[0][0]; state == 'Z' && fields[17] != "1" { // num_threads
		state = 'S'
	}
	return state, start, err
}

// identify makes a proc of a pid that is known to be running.
func identify(pid int) (proc, error) {
	_, start, err := procStat(pid)
	if err != nil {
		return proc{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return proc{pid, start}, nil
}

// Process states as Status shows them.
const (
	procRunning = "running"
	procFrozen  = "frozen"
	procDead    = "dead"
)

func (p proc) state() string {
	if p.PID == 0 {
		return procDead
	}
	letter, start, err := procStat(p.PID)
	switch {
	case err != nil, start != p.Start, letter == 'Z', letter == 'X':
		return procDead
	case letter == 'T', letter == 't':
		return procFrozen
	}
	return procRunning
}

// open returns a descriptor of exactly this process, or ESRCH.
func (p proc) open() (int, error) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return -1, err
	}
	if p.state() == procDead { // checked after the descriptor holds the pid
		unix.Close(fd)
		return -1, unix.ESRCH
	}
	return fd, nil
}

func (p proc) signal(sig syscall.Signal) error {
	fd, err := p.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// end sends sig and waits until the process is gone. A process that is gone
// already is no error.
func (p proc) end(sig syscall.Signal, within time.Duration) error {
	if p.PID == 0 {
		return nil
	}
	fd, err := p.open()
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && err != unix.ESRCH {
		return err
	}
	deadline := time.Now().Add(within)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("process %d: still there %s after signal %d", p.PID, within, sig)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left/time.Millisecond)+1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("process %d: poll: %w", p.PID, err)
		}
		if n > 0 {
			return nil
		}
	}
}
