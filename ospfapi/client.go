package ospfapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// window bounds the octets of requests written and not yet answered, so that
// they always fit the sockets' buffers and no write is ever cut in two.
const window = 64 << 10

// writeTimeout is how long ospfd may leave a full window unread, stopped or
// hung, before the connection is given up.
const writeTimeout = 10 * time.Second

// Client is one connection to ospfd. Its methods may be called from any
// goroutine. It does not reconnect: when Run returns, Dial again.
type Client struct {
	cfg         Config
	sync, async *net.TCPConn
	queue       *queue

	running   atomic.Bool
	ready     chan struct{} // closed when requests may be sent
	probed    chan struct{} // closed when the probe's mark came on the async stream
	done      chan struct{} // closed when the connection has ended, err is set
	closeOnce sync.Once

	mu        sync.Mutex
	nextSeq   uint32
	pending   []*Call // in the order of sending
	unsent    []*Call // the tail of pending, with their octets
	inFlight  int
	confirmed bool
	probe     *Call
	dialect   Dialect
	syncing   *syncRun
	lastFence uint32 // sequence number of the last sync's fence
	err       error

	wakeWriter chan struct{} // capacity 1

	syncIn, asyncIn *inlet
	halts           halts
	resumed         bool            // taken over from another process: ready from the start
	idle            []chan struct{} // to be closed when no request is under way
	still           bool            // held: what is started waits to be sent

	received, delivered, coalesced, undecoded, stray atomic.Uint64
}

// Stats are the counters of a connection since Dial.
type Stats struct {
	Received  uint64 // messages read from the asynchronous stream
	Delivered uint64 // calls of Notify
	Coalesced uint64 // deletes that were half of an update
	Overflows int    // times the queue was thrown away
	Dropped   uint64 // notifications thrown away with it
	Undecoded uint64 // notifications not understood
	Stray     uint64 // messages on the synchronous stream nobody waits for
	Pending   int    // requests waiting for their reply
	Unsent    int    // of these, not yet written to the socket
}

func newClient(cfg Config, syncConn, asyncConn *net.TCPConn) *Client {
	return &Client{
		cfg: cfg, sync: syncConn, async: asyncConn,
		queue:      newQueue(cfg.QueueLimit),
		ready:      make(chan struct{}),
		probed:     make(chan struct{}),
		done:       make(chan struct{}),
		nextSeq:    1,
		dialect:    FRR75,
		wakeWriter: make(chan struct{}, 1),
		syncIn:     newInlet(syncConn, nil),
		asyncIn:    newInlet(asyncConn, nil),
	}
}

// LocalPort returns the even port of the pair in use.
func (c *Client) LocalPort() uint16 {
	return c.sync.LocalAddr().(*net.TCPAddr).AddrPort().Port()
}

// Ready is closed when OSPFReady has agreed and the server's dialect is known:
// from then on requests are accepted.
func (c *Client) Ready() <-chan struct{} { return c.ready }

// WaitReady waits for Ready; it returns the reason if the connection ends first.
func (c *Client) WaitReady(ctx context.Context) error {
	select {
	case <-c.ready:
		return nil
	case <-c.done:
		return c.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Dialect returns what the server understands, as the probe found it. It is
// final once Ready.
func (c *Client) Dialect() Dialect {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dialect
}

// Err returns why the connection ended, nil while it has not.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Stats returns the counters.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	pending, unsent := len(c.pending), len(c.unsent)
	c.mu.Unlock()
	overflows, dropped := c.queue.counts()
	return Stats{
		Received: c.received.Load(), Delivered: c.delivered.Load(), Coalesced: c.coalesced.Load(),
		Overflows: overflows, Dropped: dropped,
		Undecoded: c.undecoded.Load(), Stray: c.stray.Load(), Pending: pending, Unsent: unsent,
	}
}

// Close ends the connection: ospfd unregisters this client's opaque types and
// flushes its LSAs. Run returns ErrClosed.
func (c *Client) Close() error {
	c.end(ErrClosed)
	return nil
}

// end closes both sockets and fails every Call, once. A request whose reply
// did not come may have been carried out or not.
func (c *Client) end(reason error) {
	c.closeOnce.Do(func() {
		c.mu.Lock()
		c.err = reason
		lost := c.pending
		c.pending, c.unsent, c.inFlight = nil, nil, 0
		c.mu.Unlock()
		c.sync.Close()
		c.async.Close()
		for _, call := range lost {
			call.end(&LostError{call.Request.Op(), reason})
		}
		close(c.done)
	})
}

// Run drives the connection until it ends and returns the reason: ErrClosed,
// the cause of ctx, a *StreamError, or the error of OSPFReady. It reads both
// streams at once, calls OSPFReady, finds out what the server understands, and
// then lets requests through. No goroutine is left and Notify is not called
// any more when it returns. What had arrived before the connection ended is
// still delivered, unless ctx ended.
func (c *Client) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("ospfapi: Run may be called once per Client")
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.readSync() })
	g.Go(func() error { return c.readAsync() })
	g.Go(func() error { return c.write(gctx) })
	g.Go(func() error { return c.prepare(gctx) })
	g.Go(func() error { return c.dispatch(ctx) })
	g.Go(func() error {
		select {
		case <-gctx.Done():
			c.end(context.Cause(gctx))
		case <-c.done:
		}
		return c.Err()
	})
	g.Wait()
	return c.Err()
}

// prepare asks whether requests are safe, then what the server knows. Requests
// 7 and 19 get no reply from a server that does not know them; the request
// behind them, known to all, shows it without waiting for time to pass. Its
// filter is the one a new connection has.
func (c *Client) prepare(ctx context.Context) error {
	if c.resumed {
		return nil
	}
	if err := c.cfg.OSPFReady(ctx); err != nil {
		return fmt.Errorf("waiting for \"router ospf\" in ospfd: %w", err)
	}
	c.mu.Lock()
	reach := c.startLocked(SyncReachable{})
	rid := c.startLocked(SyncRouterID{})
	all := c.startLocked(RegisterEvents{Filter{Origin: AnyOrigin}})
	c.probe = rid
	c.mu.Unlock()
	for _, call := range []*Call{reach, rid, all} {
		if err := call.Wait(ctx); err != nil && !errors.Is(err, ErrUnknownRequest) {
			return fmt.Errorf("asking what ospfd understands: %w", err)
		}
	}
	d := dialectOf(reach.Err() == nil, rid.Err() == nil)
	if d.SyncRouterID {
		// It said it would tell its router id. If that does not come, another
		// program of this machine holds the other end of the stream.
		timeout := time.NewTimer(c.cfg.AcceptTimeout)
		defer timeout.Stop()
		select {
		case <-c.probed:
		case <-timeout.C:
			return &StreamError{"async", fmt.Errorf("what connected back is not ospfd: nothing came of what it was asked to send within %v", c.cfg.AcceptTimeout)}
		case <-ctx.Done():
			return nil
		}
	}
	c.mu.Lock()
	c.dialect, c.confirmed = d, true
	c.mu.Unlock()
	close(c.ready)
	return nil
}

// readSync matches replies with the calls that wait for them.
func (c *Client) readSync() error {
	for {
		if err := c.whole(c.syncIn); err != nil {
			return &StreamError{"sync", err}
		}
		h, body, err := ReadMessage(c.syncIn.r)
		if err != nil {
			return &StreamError{"sync", err}
		}
		c.tapRead(h, body)
		reply, err := DecodeReply(h, body)
		if err != nil {
			c.stray.Add(1)
			c.cfg.Warn(&StreamError{"sync", err})
			continue
		}
		c.onReply(reply)
	}
}

func (c *Client) tapRead(h Header, body []byte) {
	if c.cfg.tap != nil {
		c.cfg.tap(false, endMessage(append(beginMessage(nil, h.Type, h.Seq), body...), 0))
	}
}

// onReply ends the call of the reply's sequence number. ospfd serves requests
// one after the other, so those sent before it and still without a reply will
// never get one: ospfd did not know them.
func (c *Client) onReply(r Reply) {
	c.mu.Lock()
	sent := len(c.pending) - len(c.unsent)
	at := 0
	for at < sent && c.pending[at].Seq != r.Seq {
		at++
	}
	if at == sent {
		closed := c.err != nil // and so its call has ended
		c.mu.Unlock()
		if closed {
			return
		}
		c.stray.Add(1)
		c.cfg.Warn(&StreamError{"sync", fmt.Errorf("reply %d (%v) to nothing we wait for", r.Seq, r.Code)})
		return
	}
	ended := make([]*Call, at+1)
	copy(ended, c.pending)
	clear(c.pending[:at+1])
	c.pending = c.pending[at+1:]
	for i, call := range ended {
		c.inFlight -= call.size
		switch {
		case i < at:
			call.end(ErrUnknownRequest)
		case r.Code != OK:
			call.end(&ReplyError{call.Request.Op(), r.Code})
		default:
			call.end(nil)
		}
	}
	if c.syncing != nil && c.syncing.fence.ended() {
		c.syncing.replied = true
		c.finishSyncLocked()
	}
	c.tellIdleLocked()
	c.mu.Unlock()
	c.signalWriter()
}

// readAsync drains the asynchronous stream and never waits for a consumer:
// ospfd keeps what is not read in memory, without bound.
func (c *Client) readAsync() error {
	defer c.queue.close()
	for {
		if err := c.whole(c.asyncIn); err != nil {
			return &StreamError{"async", err}
		}
		h, body, err := ReadMessage(c.asyncIn.r)
		if err != nil {
			return &StreamError{"async", err}
		}
		c.asyncIn.half = h.Type == MsgLSADeleteNotify
		c.received.Add(1)
		c.tapRead(h, body)
		n, err := DecodeNotification(h, body)
		if err != nil {
			c.undecoded.Add(1)
			c.queue.push(Undecoded{err.(*DecodeError)})
			continue
		}
		if h.Seq == 0 || !c.onAnswer(n, h.Seq) {
			c.queue.push(n)
		}
	}
}

// onAnswer looks at a notification that answers a request. It returns whether
// the notification is swallowed.
func (c *Client) onAnswer(n Notification, seq uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.probe != nil && seq == c.probe.Seq {
		c.probe = nil
		close(c.probed)
	}
	run := c.syncing
	if run == nil || seq != run.fence.Seq {
		return c.isOldFence(n, seq)
	}
	_, isRouterID := n.(RouterIDChange)
	if isRouterID {
		c.queue.push(n) // before the SyncDone that it allows
	}
	if !run.passed {
		run.passed = true
		c.finishSyncLocked()
		c.tellIdleLocked()
	}
	return true
}

// isOldFence reports whether n answers the SYNC_LSDB that fenced a sync
// already over; nobody asked for it.
func (c *Client) isOldFence(n Notification, seq uint32) bool {
	_, isLSA := n.(LSAUpdate)
	return isLSA && c.lastFence != 0 && seq == c.lastFence
}

// dispatch is the one goroutine that calls Notify.
func (c *Client) dispatch(ctx context.Context) error {
	var co coalescer
	emit := func(n Notification) {
		c.delivered.Add(1)
		c.cfg.Notify(n)
	}
	hold := time.NewTimer(c.cfg.HoldDelete)
	defer hold.Stop()
	var barriers []chan struct{}
	for {
		e, ok, open := c.queue.pop()
		switch {
		case ok && e.barrier != nil:
			barriers = append(barriers, e.barrier)
			continue
		case ok:
			co.push(e.n, emit)
			c.coalesced.Store(uint64(co.coalesced))
			if co.holding {
				hold.Reset(c.cfg.HoldDelete)
			}
			if done, isDone := e.n.(SyncDone); isDone {
				e.run.delivered(done.Complete)
			}
			if ctx.Err() != nil {
				return nil
			}
			continue
		case !open:
			co.expire(emit)
			return nil
		}
		if !co.holding {
			for _, b := range barriers {
				close(b)
			}
			barriers = nil
		}
		select {
		case <-c.queue.wake:
		case <-hold.C:
			co.expire(emit)
		case <-ctx.Done():
			return nil
		}
	}
}

// write sends requests, each by one write: half a message stops all of ospfd
// until the rest comes. After a failed write the connection is closed at once.
func (c *Client) write(ctx context.Context) error {
	for {
		call, b := c.nextUnsent()
		if call == nil {
			select {
			case <-c.wakeWriter:
			case <-ctx.Done():
				return nil
			}
			continue
		}
		if c.cfg.tap != nil {
			c.cfg.tap(true, b)
		}
		c.sync.SetWriteDeadline(time.Now().Add(writeTimeout))
		if n, err := c.sync.Write(b); err != nil {
			c.sync.Close()
			if n == 0 {
				return &StreamError{"sync", err}
			}
			return &StreamError{"sync", fmt.Errorf("%v cut after %d of %d octets: %w", call.Request.Op(), n, len(b), err)}
		}
	}
}

// nextUnsent takes the next request that fits the window.
func (c *Client) nextUnsent() (*Call, []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.unsent) == 0 || c.still {
		return nil, nil
	}
	call := c.unsent[0]
	if c.inFlight > 0 && c.inFlight+call.size > window {
		return nil, nil
	}
	c.unsent[0] = nil
	c.unsent = c.unsent[1:]
	c.inFlight += call.size
	b := call.octets
	call.octets = nil
	return call, b
}

func (c *Client) signalWriter() {
	select {
	case c.wakeWriter <- struct{}{}:
	default:
	}
}
