package view

import (
	"context"
	"errors"
	"sync/atomic"
)

// ErrClosed is what readers get from a Board whose owner has ended.
var ErrClosed = errors.New("srrd is shutting down")

// Board is where the owner puts up snapshots. Use NewBoard.
type Board struct {
	asks    atomic.Uint64 // how often a reader has asked
	asked   chan struct{} // holds one token while asks may be ahead of current
	current atomic.Pointer[edition]
}

// edition is one publication.
type edition struct {
	snapshot *Snapshot
	serves   uint64        // asks up to this number are answered by it
	next     chan struct{} // closed when the following edition is up
	closed   bool
}

// NewBoard makes an empty board.
func NewBoard() *Board {
	b := &Board{asked: make(chan struct{}, 1)}
	b.current.Store(&edition{next: make(chan struct{})})
	return b
}

// Asked is received from by the owner: a reader waits for a Publish.
func (b *Board) Asked() <-chan struct{} { return b.asked }

// Publish puts up s. Only the owner calls it, with a snapshot of its present
// state: it must not have taken an event between making s and publishing it.
// It does not block.
func (b *Board) Publish(s *Snapshot) {
	b.replace(&edition{snapshot: s, serves: b.asks.Load(), next: make(chan struct{})})
}

// Close ends all readers with ErrClosed, now and later. Only the owner calls
// it, once, and does not publish afterwards.
func (b *Board) Close() {
	b.replace(&edition{snapshot: b.current.Load().snapshot, closed: true, next: make(chan struct{})})
}

func (b *Board) replace(e *edition) {
	old := b.current.Swap(e)
	close(old.next)
}

// Read waits for a snapshot that is made after Read was called. Its error is
// that of ctx or ErrClosed.
func (b *Board) Read(ctx context.Context) (*Snapshot, error) {
	mine := b.asks.Add(1)
	select {
	case b.asked <- struct{}{}:
	default: // the owner has not looked since another reader asked
	}
	for {
		e := b.current.Load()
		switch {
		case e.closed:
			return nil, ErrClosed
		case e.serves >= mine:
			return e.snapshot, nil
		}
		select {
		case <-e.next:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Last gives what was published last, however old, without asking for more;
// nil before the first. For readers that come at their own pace.
func (b *Board) Last() *Snapshot { return b.current.Load().snapshot }

// Next waits until something newer than s is published, without asking for
// it. For those who follow.
func (b *Board) Next(ctx context.Context, s *Snapshot) (*Snapshot, error) {
	for {
		e := b.current.Load()
		switch {
		case e.closed:
			return nil, ErrClosed
		case e.snapshot != s:
			return e.snapshot, nil
		}
		select {
		case <-e.next:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
