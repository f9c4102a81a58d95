package state

import (
	"context"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// retryEvery is when a save that did not succeed is tried again: a full disk
// is emptied by somebody.
const retryEvery = 5 * time.Second

// A writer rests restFor times as long as the last save took, at most
// longestRest: what changes a thousand times a second, as a node takes a thousand
// services over, must not be written as often as the disk and the processor can.
// What is not written is forgotten should srrd be killed: so not for long.
const (
	restFor     = 10
	longestRest = 200 * time.Millisecond
)

// Writer saves memories one after the other.
type Writer struct {
	dir    string
	report func(error)
	next   chan machine.Memory // holds the one that is to be written next
	asked  chan chan struct{}  // who waits until all is written
	ready  chan struct{}       // has a token while the writer has rested
}

// NewWriter makes a writer for dir. report is told of each save: its error, or
// nil; it is called by Run.
func NewWriter(dir string, report func(error)) *Writer {
	w := &Writer{dir: dir, report: report, next: make(chan machine.Memory, 1), asked: make(chan chan struct{}), ready: make(chan struct{}, 1)}
	w.ready <- struct{}{}
	return w
}

// Ready has a token for each Save that would be written at once. Save may be
// called without one.
func (w *Writer) Ready() <-chan struct{} { return w.ready }

// Save has m written soon, in place of one that was not yet begun. It never
// waits. It is called by one goroutine; m is not changed afterwards by anyone.
func (w *Writer) Save(m machine.Memory) {
	select {
	case <-w.next:
	default:
	}
	w.next <- m
}

// Flush waits until what was given to Save is written, or ctx ends. Nobody must
// call Save meanwhile.
func (w *Writer) Flush(ctx context.Context) error {
	written := make(chan struct{})
	select {
	case w.asked <- written:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-written:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Run writes until ctx ends, and then what still waits. It returns nil.
func (w *Writer) Run(ctx context.Context) error {
	rest := time.NewTimer(longestRest)
	rest.Stop() // it has rested: there is a token from the beginning
	defer rest.Stop()
	for {
		select {
		case m := <-w.next:
			began := time.Now()
			w.write(ctx, m)
			rest.Reset(min(restFor*time.Since(began), longestRest))
		case <-rest.C:
			select {
			case w.ready <- struct{}{}:
			default: // there is one
			}
		case written := <-w.asked:
			select {
			case m := <-w.next:
				w.write(ctx, m)
			default:
			}
			close(written)
		case <-ctx.Done():
			select {
			case m := <-w.next:
				w.report(Save(w.dir, m))
			default:
			}
			return nil
		}
	}
}

// write tries m, or whatever has come in the meantime, until it is saved.
func (w *Writer) write(ctx context.Context, m machine.Memory) {
	for {
		err := Save(w.dir, m)
		w.report(err)
		if err == nil {
			return
		}
		t := time.NewTimer(retryEvery)
		select {
		case m = <-w.next:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			select {
			case m = <-w.next:
			default:
			}
			w.report(Save(w.dir, m))
			return
		}
		t.Stop()
	}
}
