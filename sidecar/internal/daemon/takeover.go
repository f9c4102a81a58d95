package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/vty"
)

// Inherited is what the srrd before has left in this process, nil if there was
// none. Call it once, after the signals are listened to: until then they are
// blocked.
func Inherited() (*os.File, error) {
	text, ok := os.LookupEnv(environment)
	if !ok {
		return nil, nil
	}
	if err := os.Unsetenv(environment); err != nil {
		return nil, fmt.Errorf("%s: %w", environment, err)
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd <= 2 {
		return nil, fmt.Errorf("%s=%q is no descriptor", environment, text)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("%s=%s: %w", environment, text, err)
	}
	if err := block(false); err != nil {
		return nil, fmt.Errorf("unblocking signals: %w", err)
	}
	return os.NewFile(uintptr(fd), "hand-over"), nil
}

// takeOver goes on where the srrd before has stopped being this process. The
// configuration on disk is what was in force: that was looked at.
func (d *daemon) takeOver(ctx context.Context, c *config.Config) error {
	b, err := io.ReadAll(d.opt.Handover)
	if err == nil {
		err = d.opt.Handover.Close()
	}
	if err != nil {
		return fmt.Errorf("reading the hand-over: %w", err)
	}
	t, err := decodeCarried(b)
	if err != nil {
		return err
	}
	if err := keepOpen(t.descriptors(), false); err != nil {
		return fmt.Errorf("descriptors that were handed over: %w", err)
	}
	d.taken, d.leftover = t, t.Leftover
	d.lock = os.NewFile(uintptr(t.Lock), "srrd.lock")
	defer d.lock.Close() // unlocks
	d.owner = newOwner(t.Node, d.board, d.log)
	if t.Node.Config().Version != d.opt.Version {
		t.Node.Upgraded(d.opt.Version)
	}
	o := d.owner
	o.late, o.asked = t.Late, t.Asked
	t.Builder.OnFailover = o.builder.OnFailover
	o.builder = t.Builder
	for _, s := range t.Timers {
		o.timers.set(s)
	}
	o.metrics.TakeOver(t.Metrics)
	o.metrics.Timers(o.timers.due.Len())
	if old := t.Node.Config(); !reflect.DeepEqual(old, c.Machine) {
		// The new binary understands the same files otherwise.
		o.late = append(o.late, machine.Configured{Config: c.Machine})
	}
	if err := d.open(c); err != nil {
		return err
	}
	return d.serve(ctx, c, func(context.Context) { d.tookOver() })
}

// tookOver tells people, and above all who asked for it.
func (d *daemon) tookOver() {
	t := d.taken
	text := fmt.Sprintf("srrd %s has taken over from %s, as %s wanted; it stood still for %s", d.opt.Version, t.Version, t.Who,
		time.Since(t.At).Round(100*time.Microsecond))
	d.owner.say(machine.Note{Level: machine.LevelInfo, Text: text})
	if t.Client < 0 {
		return
	}
	conn, err := connOf[net.Conn](t.Client, "who asked for the re-execution")
	if err == nil {
		err = vty.Finish(conn, text+"\n", vty.StatusSuccess)
	}
	if err != nil {
		d.log.Warn("who asked for the re-execution is not told", "err", err)
		return
	}
	d.shell = &firstly{Listener: d.shell, conns: make(chan net.Conn, 1)}
	d.shell.(*firstly).conns <- conn
}
