package chaos

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestWhatAProcessTakesIsMeasured(t *testing.T) {
	s, err := measure(os.Getpid())
	if err != nil || s.PID != os.Getpid() || s.RSS < 1000 || s.FDs < 3 || s.Tasks < 1 {
		t.Errorf("of this process: %+v (%v)", s, err)
	}
	// One that has closed its output has no memory any more, but is not yet gone.
	cmd := exec.Command("/bin/true")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(make([]byte, 1)); err == nil {
		t.Fatalf("%d octets of /bin/true", n)
	}
	if s, err := measure(cmd.Process.Pid); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("of one that has ended: %+v (%v)", s, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if s, err := measure(cmd.Process.Pid); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("of one that is gone: %+v (%v)", s, err)
	}
}

func TestAFigureThatCannotBeReadIsAnError(t *testing.T) {
	const sound = "Name:\tsrrd\nVmRSS:\t   21504 kB\nThreads:\t12\nSpeculation_Store_Bypass:\tthread vulnerable\n"
	if rss, tasks, err := statusFigures(sound); rss != 21504 || tasks != 12 || err != nil {
		t.Errorf("%d KiB, %d threads: %v", rss, tasks, err)
	}
	for _, c := range []struct {
		name, from, to string
		done           bool
	}{
		{"memory that is no number", "21504", "many", false},
		{"memory in another unit", "kB", "MB", false},
		{"threads that are no number", "12", "", false},
		{"a process that is ending", "VmRSS:\t   21504 kB\n", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			rss, tasks, err := statusFigures(strings.Replace(sound, c.from, c.to, 1))
			if err == nil || errors.Is(err, os.ErrProcessDone) != c.done {
				t.Errorf("%d KiB, %d threads: %v", rss, tasks, err)
			}
		})
	}
}

func TestWhatSrrdSaysOfItselfIsRead(t *testing.T) {
	heap, goroutines := ownFigures("# HELP go_goroutines x\ngo_goroutines 49\ngo_memstats_heap_alloc_bytes 2.097152e+06\nsrrd_x{a=\"b\"} 3\n")
	if heap != 2048 || goroutines != 49 {
		t.Errorf("heap %d KiB, %d goroutines", heap, goroutines)
	}
}
