package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sample measures every srrd, every two seconds.
func (r *run) sample(ctx context.Context) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, n := range r.world.nodes {
			pid, err := r.lab.PID(n, "srrd")
			if err != nil || pid == 0 {
				continue
			}
			s, err := measure(pid)
			if errors.Is(err, os.ErrProcessDone) {
				continue // meanwhile
			}
			if err != nil {
				r.trouble("srrd of %s: %v", n, err)
				continue
			}
			s.Node = n
			r.mu.Lock()
			r.evidence.Samples = append(r.evidence.Samples, s)
			r.mu.Unlock()
		}
	}
}

// measures samples every srrd: what the kernel counts, and what it says itself.
func (s *soak) measures(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		for _, n := range s.world.nodes {
			pid, err := s.lab.PID(n, "srrd")
			if err != nil || pid == 0 {
				s.trouble("srrd of %s is not there (%v)", n, err)
				continue
			}
			m, err := measure(pid)
			if err != nil {
				s.trouble("srrd of %s: %v", n, err)
				continue
			}
			m.Node = n
			if text, err := s.page(ctx, n, "/metrics", askTimeout); err == nil {
				m.Heap, m.Goroutines = ownFigures(text)
			} else if ctx.Err() == nil {
				s.say("sample: %v", err)
			}
			s.mu.Lock()
			s.evidence.Samples = append(s.evidence.Samples, m)
			s.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// measure reads what a process takes (proc(5)); the error is os.ErrProcessDone
// if it is ending.
func measure(pid int) (Sample, error) {
	s := Sample{At: time.Now(), PID: pid}
	dir := "/proc/" + strconv.Itoa(pid)
	status, err := os.ReadFile(dir + "/status")
	if err == nil {
		s.RSS, s.Tasks, err = statusFigures(string(status))
	}
	if err == nil {
		var fds []os.DirEntry
		fds, err = os.ReadDir(dir + "/fd")
		s.FDs = len(fds)
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		err = os.ErrProcessDone
	}
	if err != nil {
		return s, fmt.Errorf("process %d: %w", pid, err)
	}
	return s, nil
}

// statusFigures reads resident memory, in KiB, and threads from a process's
// status. One that is ending has no memory any more.
func statusFigures(status string) (rss, tasks int, err error) {
	wanted := map[string]*int{"VmRSS": &rss, "Threads": &tasks}
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		to := wanted[key]
		if to == nil {
			continue
		}
		delete(wanted, key)
		if *to, err = strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB")); err != nil {
			return 0, 0, fmt.Errorf("status: %s: %w", key, err)
		}
	}
	if len(wanted) > 0 {
		return 0, 0, os.ErrProcessDone
	}
	return rss, tasks, nil
}

// ownFigures are what srrd's metrics say of its heap, in KiB, and of its
// goroutines; 0 what they do not say.
func ownFigures(metrics string) (heap, goroutines int) {
	in := bufio.NewScanner(strings.NewReader(metrics))
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		name, value, _ := strings.Cut(in.Text(), " ")
		v, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil:
		case name == "go_memstats_heap_alloc_bytes":
			heap = int(v) >> 10
		case name == "go_goroutines":
			goroutines = int(v)
		}
	}
	return heap, goroutines
}
