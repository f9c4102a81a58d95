package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/srrd/srrd/lsdb"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/metrics"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// inboxSize bounds the events that wait for the owner; ports block beyond it.
const inboxSize = 8192

// owner runs the machine. Everything in it belongs to run.
type owner struct {
	node    *machine.Node
	ports   []port
	save    func(machine.Memory)
	saver   <-chan struct{} // has a token while save is ready for another memory
	unsaved bool
	mirror  func(context.Context) (*lsdb.Snapshot, error)
	log     *slog.Logger
	inbox   chan machine.Event
	asks    chan ask
	notes   chan machine.Note
	timers  *timers
	builder *view.Builder
	metrics *metrics.Collector
	board   *view.Board
	answers map[uint64]chan machine.Answer
	asked   uint64
	exit    bool
	hear    func(machine.Event) // told every event before the machine is
	last    *lsdb.Snapshot      // of the mirror
	done    chan struct{}       // closed when run has ended: nobody takes events any more
	pauses  chan pause
	late    []machine.Event // came while the owner stood still
	began   time.Time       // of the session with ospfd whose database is awaited
	brought int             // LSAs of ours and other nodes so far
}

// port is what the owner knows of a port.
type port interface{ Do(machine.Action) }

// ask is a command with where its answer goes.
type ask struct {
	cmd    machine.Command
	answer chan machine.Answer // room for one
}

func newOwner(node *machine.Node, board *view.Board, log *slog.Logger) *owner {
	o := &owner{node: node, board: board, log: log, inbox: make(chan machine.Event, inboxSize), asks: make(chan ask), notes: make(chan machine.Note, 64),
		timers: newTimers(), answers: map[uint64]chan machine.Answer{},
		save: func(machine.Memory) {}, hear: func(machine.Event) {}, done: make(chan struct{}), pauses: make(chan pause)}
	o.metrics = metrics.New(metrics.Options{Read: board.Read, Inbox: func() (int, int) { return len(o.inbox), cap(o.inbox) }})
	o.builder = &view.Builder{OnFailover: o.metrics.Failover}
	return o
}

// errExit ends everything after an orderly shutdown.
var errExit = errors.New("shut down in order")

// run takes events until ctx ends or the machine says Exit.
func (o *owner) run(ctx context.Context) error {
	defer close(o.done)
	defer o.board.Close()
	defer o.timers.tick.Stop()
	defer o.saveNow()
	o.catchUp() // where another srrd has stopped
	for !o.exit {
		var saver <-chan struct{}
		if o.unsaved {
			saver = o.saver
		}
		select {
		case <-ctx.Done():
			return nil
		case ev := <-o.inbox:
			o.fire()
			o.step(ev)
		case a := <-o.asks:
			o.fire()
			o.asked++
			a.cmd.ID = o.asked
			o.answers[a.cmd.ID] = a.answer
			o.step(a.cmd)
		case <-saver:
			o.saveNow()
		case p := <-o.pauses:
			o.stand(ctx, p)
		case n := <-o.notes:
			o.tell(n)
		case <-o.timers.tick.C:
			o.fire()
			o.timers.arm()
		case <-o.board.Asked():
			o.publish(ctx)
		}
	}
	return errExit
}

// fire takes the timers that are due. They come before what waits in the inbox,
// so that a node that did not run for a while learns of that first.
func (o *owner) fire() {
	for {
		fired, ok := o.timers.fired(time.Now())
		if !ok {
			return
		}
		o.step(fired)
	}
}

// saveNow hands over what is to be written to disk, if there is news.
func (o *owner) saveNow() {
	if o.unsaved {
		o.unsaved = false
		o.save(o.node.Memory())
	}
}

// publish drains the inbox, so that a reader sees what was there before it
// asked, and puts up a snapshot.
func (o *owner) publish(ctx context.Context) {
	o.fire()
	for range len(o.inbox) {
		o.step(<-o.inbox)
	}
	// The mirror belongs to another goroutine, which may wait for room in our
	// inbox: it is asked with the inbox just drained, and not for long.
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if mirror, err := o.mirror(short); err == nil {
		o.last = mirror // else the one before stands
	}
	o.board.Publish(o.builder.Snapshot(time.Now(), o.node.View(), view.Database{Mirror: o.last, Decode: decodeOpaque}))
}

// step is the one place where the machine runs.
func (o *owner) step(ev machine.Event) {
	now := time.Now()
	o.hear(ev)
	acts := o.node.Step(now, ev)
	for _, a := range acts {
		switch a := a.(type) {
		case machine.SetTimer:
			o.timers.set(a)
		case machine.Save:
			o.unsaved = true
		case machine.Note: // below
		case machine.Answer:
			if c, ok := o.answers[a.ID]; ok {
				delete(o.answers, a.ID)
				c <- a
			}
		case machine.Exit:
			o.exit = true
		case machine.Originate, machine.Flush, machine.SetAddresses, machine.Announce, machine.WriteMark,
			machine.RunPrimitive, machine.CancelPrimitive, machine.Watch:
			for _, p := range o.ports {
				p.Do(a)
			}
		}
	}
	// The log is a file or a socket that others read: what is to be done does not
	// wait until it has taken what is told of it.
	for _, a := range acts {
		if n, ok := a.(machine.Note); ok {
			o.note(n)
		}
	}
	o.builder.Step(now, ev, acts)
	o.metrics.Step(now, ev, acts)
	o.metrics.Timers(o.timers.due.Len())
	o.brings(now, ev)
}

// brings tells, once a session, how long it took from the session with ospfd
// until the machine had taken in all of its database that is of type 222.
func (o *owner) brings(now time.Time, ev machine.Event) {
	switch ev.(type) {
	case machine.OSPFUp:
		o.began, o.brought = now, 0
	case machine.LSASeen:
		o.brought++
	case machine.Synced:
		if !o.began.IsZero() {
			o.log.Info("the link-state database is received", "lsas", o.brought, "took", time.Since(o.began).Round(10*time.Microsecond))
		}
		o.began = time.Time{}
	}
}

// tell tells people what a port or the daemon has to say.
func (o *owner) tell(n machine.Note) {
	o.note(n)
	o.builder.Note(time.Now(), n.Level, n.Service, n.Text)
}

func (o *owner) note(n machine.Note) {
	level := slog.LevelInfo
	switch n.Level {
	case machine.LevelWarning:
		level = slog.LevelWarn
	case machine.LevelError:
		level = slog.LevelError
	case machine.LevelInfo:
	}
	var attrs []any
	if n.Service != "" {
		attrs = append(attrs, "service", n.Service)
	}
	o.log.Log(context.Background(), level, n.Text, attrs...)
}

// emit is the ports' way into the inbox. It blocks while that is full, and
// drops the event when the owner has ended: a port must be able to end too.
func (o *owner) emit(ev machine.Event) {
	select {
	case o.inbox <- ev:
	case <-o.done:
	}
}

// say is the ports' way to tell something to people.
func (o *owner) say(n machine.Note) {
	select {
	case o.notes <- n:
	case <-o.done:
	}
}

// saved tells people when the memory can no longer be written to disk, and when
// it can again: the writer tries every few seconds.
func (o *owner) saved(dir string) func(error) {
	last := ""
	return func(err error) {
		why := ""
		if err != nil {
			why = err.Error()
			// Beside that the text has the name of a file that is another each time.
			var errno syscall.Errno
			if errors.As(err, &errno) {
				why = errno.Error()
			}
		}
		switch {
		case why == last:
		case why == "":
			o.say(machine.Note{Level: machine.LevelInfo, Text: "the memory is saved again in " + dir})
		default:
			o.say(machine.Note{Level: machine.LevelError, Text: fmt.Sprintf("the memory is not saved in %s: %s; "+
				"everything goes on, but an srrd that starts now would not know of it", dir, why)})
		}
		last = why
	}
}

// ask sends a command and waits for its answer.
func (o *owner) ask(ctx context.Context, c machine.Command) (string, error) {
	a := ask{cmd: c, answer: make(chan machine.Answer, 1)}
	select {
	case o.asks <- a:
	case <-o.done:
		return "", view.ErrClosed
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	select {
	case got := <-a.answer:
		if got.Err != "" {
			return got.Text, errors.New(got.Err)
		}
		return got.Text, nil
	case <-o.done:
		return "", view.ErrClosed
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
