package zapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A Handover is what a Routes leaves to the process that takes its connection
// over, beside the connection itself: plain data. zebra notices nothing, since
// the socket never closes.
type Handover struct {
	// Rest is what was read from the socket and is not a whole message yet.
	Rest     []byte
	Prefixes []HeldPrefix
}

// HeldPrefix is what stands between a Routes and zebra about one prefix.
type HeldPrefix struct {
	Announcement Announcement
	Wanted       bool
	State        State
	Note         Note
	Noted        bool
	Said         bool      // announced on some connection, and not noted removed since
	Installed    bool      // noted so on this connection
	Due          time.Time // when waiting for a note is given up; zero: not waiting
	Removals     int       // notes of earlier deletions that are still to come
}

// Held is a Routes at rest: its loop does nothing and its connection is read no
// further, so that both can be handed to another process. The caller ends it by
// Release, if this process goes on after all.
type Held struct {
	// State is valid until Release; what is Set or Deleted meanwhile is not in
	// it.
	State Handover
	// Conn is the connection to zebra.
	Conn net.Conn

	client *Client
	free   chan struct{}
	once   sync.Once
}

// Release has the Routes go on.
func (h *Held) Release() {
	h.once.Do(func() {
		close(h.free)
		h.client.unhalt()
	})
}

// ErrNotConnected: there is no connection that could be handed over.
var ErrNotConnected = errors.New("zapi: not connected to zebra")

// Hold brings a Routes that is connected to rest: everything zebra has said and
// everything that was asked of r before is done. Run must be running.
func (r *Routes) Hold(ctx context.Context) (*Held, error) {
	got := make(chan *Client, 1)
	r.inbox.put(func(l *routesLoop) { got <- l.client })
	var c *Client
	select {
	case c = <-got:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if c == nil {
		return nil, ErrNotConnected
	}
	if err := c.halt(ctx); err != nil {
		return nil, err
	}
	h := &Held{Conn: c.conn, client: c, free: make(chan struct{})}
	rest := make(chan Handover, 1)
	// Behind what the reader has left in the inbox.
	r.inbox.put(func(l *routesLoop) {
		rest <- Handover{Rest: c.rest(), Prefixes: l.set.held()}
		<-h.free
	})
	select {
	case h.State = <-rest:
		return h, nil
	case <-ctx.Done():
		h.Release()
		return nil, context.Cause(ctx)
	}
}

// Idle reports whether nothing waits for the loop of a Routes.
func (r *Routes) Idle() bool {
	r.inbox.mu.Lock()
	defer r.inbox.mu.Unlock()
	return len(r.inbox.queue) == 0
}

// ResumeRoutes makes a Routes of what another process has handed over, with
// its connection, on which HELLO was said long ago. Greeting is not sent again,
// Link is not told that the connection came.
func ResumeRoutes(cfg RoutesConfig, h Handover, conn net.Conn) (*Routes, error) {
	r, err := NewRoutes(cfg)
	if err != nil {
		return nil, err
	}
	for _, p := range h.Prefixes {
		if err := p.Announcement.check(); err != nil {
			return nil, err
		}
		r.set.entries[p.Announcement.Prefix] = &entry{a: p.Announcement, wanted: p.Wanted, state: p.State, note: p.Note, noted: p.Noted,
			said: p.Said, installed: p.Installed, due: p.Due, removals: p.Removals}
	}
	r.set.up = true
	r.given = newClient(r.clientConfig(), conn)
	r.given.r = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(h.Rest), conn), MaxMessageSize)
	return r, nil
}

func (s *routeSet) held() (all []HeldPrefix) {
	for _, e := range s.inOrder() {
		all = append(all, HeldPrefix{Announcement: e.a, Wanted: e.wanted, State: e.state, Note: e.note, Noted: e.noted,
			Said: e.said, Installed: e.installed, Due: e.due, Removals: e.removals})
	}
	return all
}

// halts is how a reader is brought to rest between two messages.
type halts struct {
	mu  sync.Mutex
	now *halted
}

type halted struct{ parked, free chan struct{} }

// current is the halt that is asked for, nil if none is.
func (h *halts) current() *halted {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// whole returns when a whole message can be read without waiting, and stands
// still there while the client is halted. What is wrong with a header is for
// ReadMessage to say.
func (c *Client) whole() error {
	for {
		b, err := c.r.Peek(c.cfg.Dialect.HeaderSize())
		if err == nil {
			if length, bad := c.cfg.Dialect.frame(b); bad == nil {
				_, err = c.r.Peek(min(length, MaxMessageSize))
			}
		}
		h := c.halts.current()
		switch {
		case h != nil && errors.Is(err, os.ErrDeadlineExceeded):
			close(h.parked)
			select {
			case <-h.free:
			case <-c.done:
			}
			continue
		case errors.Is(err, os.ErrDeadlineExceeded): // of a halt that is over
			if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
				return err
			}
			continue
		case errors.Is(err, io.EOF) && c.r.Buffered() > 0:
			return nil // an unexpected end
		}
		return err
	}
}

// halt has the reader stand still before the next message that is not whole.
func (c *Client) halt(ctx context.Context) error {
	h := &halted{make(chan struct{}), make(chan struct{})}
	c.halts.mu.Lock()
	if c.halts.now != nil {
		c.halts.mu.Unlock()
		return errors.New("zapi: the connection is held already")
	}
	c.halts.now = h
	err := c.conn.SetReadDeadline(time.Unix(1, 0))
	c.halts.mu.Unlock()
	if err == nil {
		select {
		case <-h.parked:
			return nil
		case <-c.done:
			err = ErrClosed
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	c.unhalt()
	return fmt.Errorf("zebra at %s: holding the connection: %w", c.cfg.Path, err)
}

func (c *Client) unhalt() {
	c.halts.mu.Lock()
	defer c.halts.mu.Unlock()
	if c.halts.now != nil {
		_ = c.conn.SetReadDeadline(time.Time{}) // closed: the reader learns it itself
		close(c.halts.now.free)
		c.halts.now = nil
	}
}

// rest is what the reader, which stands still, has read too much.
func (c *Client) rest() []byte {
	b, _ := c.r.Peek(c.r.Buffered()) // no error: it is there
	return bytes.Clone(b)
}
