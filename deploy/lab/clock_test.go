package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// tellTime makes this program answer each line with its wall clock, and with the
// time since it began by the other one.
const tellTime = "SRRLAB_TEST_TELL_TIME"

func init() {
	if os.Getenv(tellTime) == "" {
		return
	}
	began := time.Now()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		now := time.Now()
		fmt.Println(now.Unix(), int64(now.Sub(began).Seconds()))
	}
	os.Exit(0)
}

func TestLeapMovesTheWallClockOfOneProcess(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("machine code for amd64 only")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), tellTime+"=yes")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("it did not survive: %v", err)
		}
	})
	lines := bufio.NewScanner(out)
	// off asks how far it is from our own clock, and for how long it has run.
	off := func() (time.Duration, int64) {
		t.Helper()
		if _, err := io.WriteString(in, "\n"); err != nil || !lines.Scan() {
			t.Fatal("no answer", err)
		}
		var wall, since int64
		if _, err := fmt.Sscan(lines.Text(), &wall, &since); err != nil {
			t.Fatal(lines.Text(), err)
		}
		return time.Unix(wall, 0).Sub(time.Now().Truncate(time.Second)), since
	}
	near := func(d, want time.Duration) bool { return (d - want).Abs() < time.Minute }
	if d, _ := off(); !near(d, 0) {
		t.Fatalf("before: off by %s", d)
	}
	const year = 8760 * time.Hour
	for _, by := range []time.Duration{year, -year, 0} {
		if err := leapStopped(t, cmd.Process.Pid, by); err != nil {
			t.Fatal(err)
		}
		if d, since := off(); !near(d, by) || since < 0 || since > 600 {
			t.Errorf("off by %s, want %s; %d s since it began", d, by, since)
		}
	}
}

func leapStopped(t *testing.T, pid int, by time.Duration) error {
	t.Helper()
	p, err := identify(pid)
	if err != nil {
		return err
	}
	for {
		if err := p.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		if err := poll(t.Context(), func() error {
			if s := p.state(); s != procFrozen {
				return errors.New(s)
			}
			return nil
		}); err != nil {
			return err
		}
		err := leap(pid, by)
		if err2 := p.signal(syscall.SIGCONT); err2 != nil {
			return err2
		}
		if !errors.Is(err, errInside) {
			return err
		}
	}
}

func TestLeapNeedsAClockToMove(t *testing.T) {
	if _, _, err := clockGettime([]byte("no image")); err == nil {
		t.Error("found clock_gettime in what is no image")
	}
	if _, _, err := vdsoOf("/proc/" + strconv.Itoa(1<<30)); err == nil {
		t.Error("found the vdso of no process")
	}
	if n := len(offClock(-1)); n != 25 {
		t.Errorf("%d bytes of code", n)
	}
}
