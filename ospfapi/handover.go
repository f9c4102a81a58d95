package ospfapi

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

// A Handover is what a Client leaves to the process that takes its connection
// over, beside the two sockets: plain data. ospfd notices nothing, since
// neither socket ever closes.
type Handover struct {
	Dialect   string // its Name
	NextSeq   uint32
	LastFence uint32
	// SyncRest and AsyncRest were read from the sockets and are no whole
	// message yet.
	SyncRest, AsyncRest []byte
}

// Held is a Client at rest: no request is under way, everything that was read
// has been given to Notify, and nothing more is read, so that the connection can
// be handed to another process. The caller ends it by Release, soon, since
// ospfd must not wait with its notifications. A request that is started meanwhile
// is sent after that.
type Held struct {
	State       Handover
	Sync, Async *net.TCPConn

	client *Client
	once   sync.Once
}

// Release has the Client go on.
func (h *Held) Release() { h.once.Do(h.client.unhalt) }

// Hold brings a Client that is Ready to rest. Requests that are under way, a
// SyncAll among them, are waited for. Of an update that is notified in two halves both are read, or none.
func (c *Client) Hold(ctx context.Context) (*Held, error) {
	h, err := c.hold(ctx)
	if err != nil {
		return nil, fmt.Errorf("holding the connection to ospfd: %w", err)
	}
	return h, nil
}

func (c *Client) hold(ctx context.Context) (*Held, error) {
	if err := c.WaitReady(ctx); err != nil {
		return nil, err
	}
	for {
		if err := c.await(ctx, c.whenIdle()); err != nil {
			return nil, err
		}
		if c.standStill() {
			break
		}
	}
	if err := c.halt(ctx); err != nil {
		c.unhalt()
		return nil, err
	}
	h := &Held{Sync: c.sync, Async: c.async, client: c}
	delivered := make(chan struct{})
	c.queue.mark(delivered)
	if err := c.await(ctx, delivered); err != nil {
		h.Release()
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h.State = Handover{Dialect: c.dialect.Name, NextSeq: c.nextSeq, LastFence: c.lastFence, SyncRest: c.syncIn.rest(), AsyncRest: c.asyncIn.rest()}
	return h, nil
}

// standStill has what is started from now on wait, if nothing is under way.
func (c *Client) standStill() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.still = len(c.pending) == 0 && c.syncing == nil
	return c.still
}

func (c *Client) await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-c.done:
		return c.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// whenIdle is closed as soon as no request is under way.
func (c *Client) whenIdle() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	idle := make(chan struct{})
	c.idle = append(c.idle, idle)
	c.tellIdleLocked()
	return idle
}

func (c *Client) tellIdleLocked() {
	if len(c.pending) > 0 || c.syncing != nil {
		return
	}
	for _, w := range c.idle {
		close(w)
	}
	c.idle = nil
}

// Resume makes a Client of what another process has handed over. It is Ready
// from the start: OSPFReady is not called, nothing is asked. The caller must
// call Run.
func Resume(cfg Config, h Handover, syncConn, asyncConn *net.TCPConn) (*Client, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	c := newClient(cfg, syncConn, asyncConn)
	for _, d := range []Dialect{FRR75, FRR83, FRR84} {
		if d.Name == h.Dialect {
			c.dialect, c.confirmed = d, true
		}
	}
	if !c.confirmed {
		return nil, fmt.Errorf("ospf-api: a dialect %q is not known", h.Dialect)
	}
	c.nextSeq, c.lastFence, c.resumed = h.NextSeq, h.LastFence, true
	c.syncIn, c.asyncIn = newInlet(syncConn, h.SyncRest), newInlet(asyncConn, h.AsyncRest)
	close(c.ready)
	return c, nil
}

// inlet is the reading side of one stream.
type inlet struct {
	conn *net.TCPConn
	r    *bufio.Reader // has room for the longest message
	// half: the last message may be the first half of an update. Only its
	// reader uses it.
	half bool
}

func newInlet(conn *net.TCPConn, rest []byte) *inlet {
	const longest = HeaderLen + 1<<16
	return &inlet{conn: conn, r: bufio.NewReaderSize(io.MultiReader(bytes.NewReader(rest), conn), longest)}
}

// rest is what the reader, which stands still, has read too much.
func (in *inlet) rest() []byte {
	b, _ := in.r.Peek(in.r.Buffered()) // no error: it is there
	return bytes.Clone(b)
}

// halts is how the two readers are brought to rest between two messages.
type halts struct {
	mu  sync.Mutex
	now *halted
}

type halted struct {
	parked chan struct{} // a token from each of the two readers
	free   chan struct{}
}

func (h *halts) current() *halted {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// whole returns when a whole message can be read without waiting, and stands
// still there while the client is halted; after the first half of an update
// only when the second did not follow. What is wrong with a message is for
// ReadMessage to say.
func (c *Client) whole(in *inlet) error {
	for {
		b, err := in.r.Peek(HeaderLen)
		if err == nil {
			var head Header
			if head, err = DecodeHeader(b); err != nil {
				return nil
			}
			_, err = in.r.Peek(HeaderLen + int(head.Len))
		}
		h := c.halts.current()
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded):
			if errors.Is(err, io.EOF) && in.r.Buffered() > 0 {
				return nil // an unexpected end
			}
			return err
		case h == nil: // of a halt that is over
			if err := in.conn.SetReadDeadline(time.Time{}); err != nil {
				return err
			}
		case in.half:
			in.half = false
			if err := in.conn.SetReadDeadline(time.Now().Add(c.cfg.HoldDelete)); err != nil {
				return err
			}
		default:
			h.parked <- struct{}{}
			select {
			case <-h.free:
			case <-c.done:
			}
		}
	}
}

// halt has both readers stand still.
func (c *Client) halt(ctx context.Context) error {
	h := &halted{parked: make(chan struct{}, 2), free: make(chan struct{})}
	c.halts.mu.Lock()
	if c.halts.now != nil {
		c.halts.mu.Unlock()
		return errors.New("it is held already")
	}
	c.halts.now = h
	err := errors.Join(c.sync.SetReadDeadline(time.Unix(1, 0)), c.async.SetReadDeadline(time.Unix(1, 0)))
	c.halts.mu.Unlock()
	for range 2 {
		if err == nil {
			err = c.await(ctx, h.parked)
		}
	}
	return err
}

func (c *Client) unhalt() {
	c.mu.Lock()
	c.still = false
	c.mu.Unlock()
	c.signalWriter()
	c.halts.mu.Lock()
	defer c.halts.mu.Unlock()
	if c.halts.now != nil {
		_ = c.sync.SetReadDeadline(time.Time{}) // closed: the readers learn it themselves
		_ = c.async.SetReadDeadline(time.Time{})
		close(c.halts.now.free)
		c.halts.now = nil
	}
}
