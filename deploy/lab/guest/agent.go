package guest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// port is the name of the machine's virtio-serial port, and of the device that
// QEMU makes of it.
const port = "srrd.lab"

// A request has the agent run a script of bash.
type request struct {
	ID     int
	Script string
	// Until has it run again until it ends well, or the limit is over.
	Until bool
	Limit time.Duration
}

// An answer is what became of a request. That with the number 0 is a greeting: the
// agent has just started.
type answer struct {
	ID     int
	Out    string
	Status int
	// Took is in the machine's own time, from the request on.
	Took time.Duration
	// Late tells that the limit was over.
	Late bool
	// Trouble is why no script was run.
	Trouble string
}

// again is the time between two tries of a script that is run until it ends well.
const again = 500 * time.Millisecond

// Agent serves the other end of the port until that ends or the context does.
func Agent(ctx context.Context) error {
	device, err := openPort(ctx)
	if err != nil {
		return err
	}
	defer device.Close()
	return serve(ctx, device)
}

// openPort waits for the device, whose driver may come later than the agent.
func openPort(ctx context.Context) (*os.File, error) {
	for {
		names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			text, err := os.ReadFile(n)
			if err == nil && strings.TrimSpace(string(text)) == port {
				return os.OpenFile(filepath.Join("/dev", filepath.Base(filepath.Dir(n))), os.O_RDWR, 0)
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no virtio-serial port %s: %w", port, context.Cause(ctx))
		case <-time.After(again):
		}
	}
}

// serve answers one request after the other.
func serve(ctx context.Context, rw io.ReadWriter) error {
	out := json.NewEncoder(rw) // a line each
	if err := out.Encode(answer{}); err != nil {
		return err
	}
	in := bufio.NewScanner(rw)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var r request
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			return fmt.Errorf("a request that is none: %w", err)
		}
		if err := out.Encode(r.run(ctx)); err != nil {
			return err
		}
	}
	return in.Err()
}

func (r request) run(ctx context.Context) answer {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, r.Limit)
	defer cancel()
	a := answer{ID: r.ID}
	for {
		try := r.once(ctx)
		try.ID, try.Took = r.ID, time.Since(began)
		if try.Late && a.Out != "" {
			try.Out = a.Out // of a try that came to its end
		}
		a = try
		if !r.Until || a.Status == 0 || a.Late || a.Trouble != "" {
			return a
		}
		select {
		case <-ctx.Done():
			a.Late = true
			return a
		case <-time.After(again):
		}
	}
}

func (r request) once(ctx context.Context) answer {
	// A file, not a pipe: what a script leaves running must not hold it up.
	out, err := os.CreateTemp("", "srrguest")
	if err != nil {
		return answer{Trouble: err.Error()}
	}
	defer os.Remove(out.Name())
	defer out.Close()
	c := exec.CommandContext(ctx, "/bin/bash", "-c", r.Script)
	c.Stdout, c.Stderr = out, out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	err = c.Run()
	text, unread := os.ReadFile(out.Name())
	a := answer{Out: string(text), Status: c.ProcessState.ExitCode(), Late: ctx.Err() != nil}
	if unread != nil {
		a.Trouble = unread.Error()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !a.Late {
		a.Trouble = err.Error()
	}
	return a
}
