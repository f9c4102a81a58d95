package ospfapi

import (
	"context"
	"fmt"
)

// Call is a request on its way. It ends in one of three ways: nil, ospfd has
// carried it out (a *believed* success is still only the LSA seen back as an
// LSAUpdate); a *ReplyError or ErrUnknownRequest, it has not; a *LostError,
// nobody knows.
type Call struct {
	Seq     uint32
	Request Request

	octets []byte
	size   int
	done   chan struct{}
	err    error // valid once done is closed
}

// Done is closed when the call has ended.
func (c *Call) Done() <-chan struct{} { return c.done }

// Err returns how the call ended; nil also while it has not.
func (c *Call) Err() error {
	if !c.ended() {
		return nil
	}
	return c.err
}

// Wait waits for the call to end and returns its error. When ctx ends first the
// request is still on its way and its outcome unknown.
func (c *Call) Wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return &LostError{c.Request.Op(), context.Cause(ctx)}
	}
}

func (c *Call) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *Call) end(err error) {
	c.err = err
	close(c.done)
}

// LostError is a request whose reply was not seen: it may have been carried
// out or not. It unwraps to the reason, such as io.EOF.
type LostError struct {
	Op     MsgType
	Reason error
}

// Error names the request.
func (e *LostError) Error() string { return fmt.Sprintf("%v: outcome unknown: %v", e.Op, e.Reason) }

// Unwrap returns the reason.
func (e *LostError) Unwrap() error { return e.Reason }

// Start sends a request without waiting: not for the socket, not for the
// reply. Thousands may be under way. It refuses with ErrNotConfirmed before
// Ready, with ErrUnknownRequest what the server is known not to understand,
// with a *RequestError what would harm ospfd, with ErrBusy at MaxPending.
//
// r is encoded at once and may be changed afterwards.
func (c *Client) Start(r Request) (*Call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admitLocked(r); err != nil {
		return nil, err
	}
	return c.startLocked(r), nil
}

func (c *Client) admitLocked(r Request) error {
	switch {
	case c.err != nil:
		return fmt.Errorf("%v: %w", r.Op(), c.err)
	case !c.confirmed:
		return fmt.Errorf("%v: %w", r.Op(), ErrNotConfirmed)
	case !c.dialect.Knows(r.Op()):
		return fmt.Errorf("%v: %w", r.Op(), ErrUnknownRequest)
	case len(c.pending) >= c.cfg.MaxPending:
		return fmt.Errorf("%v: %w", r.Op(), ErrBusy)
	}
	if why := r.check(); why != "" {
		return &RequestError{r.Op(), why}
	}
	return nil
}

// startLocked queues a request that has been checked. On a connection that has
// ended the call ends at once.
func (c *Client) startLocked(r Request) *Call {
	call := &Call{Seq: c.nextSeq, Request: r, done: make(chan struct{})}
	if c.err != nil {
		call.end(&LostError{r.Op(), c.err})
		return call
	}
	if c.nextSeq++; c.nextSeq == 0 {
		c.nextSeq = 1 // 0 marks news
	}
	b := beginMessage(make([]byte, 0, 64), r.Op(), call.Seq)
	call.octets = endMessage(r.appendBody(b, c.dialect), 0)
	call.size = len(call.octets)
	c.pending = append(c.pending, call)
	c.unsent = append(c.unsent, call)
	c.signalWriter()
	return call
}

// Do waits for Ready, sends r and waits for its reply.
func (c *Client) Do(ctx context.Context, r Request) error {
	if err := c.WaitReady(ctx); err != nil {
		return fmt.Errorf("%v: %w", r.Op(), err)
	}
	call, err := c.Start(r)
	if err != nil {
		return err
	}
	return call.Wait(ctx)
}

// Register asks for the right to originate LSAs of an opaque type.
// OpaqueTypeInUse also means that ospfd has not yet finished with a client of
// ours that died a millisecond ago: try again.
func (c *Client) Register(ctx context.Context, t LSType, opaque uint8) error {
	return c.Do(ctx, Register{t, opaque})
}

// Unregister gives the right back; ospfd flushes the LSAs.
func (c *Client) Unregister(ctx context.Context, t LSType, opaque uint8) error {
	return c.Do(ctx, Unregister{t, opaque})
}

// RegisterEvents sets which LSAs are notified from now on.
func (c *Client) RegisterEvents(ctx context.Context, f Filter) error {
	return c.Do(ctx, RegisterEvents{f})
}

// SyncLSDB asks for all LSAs. Its reply comes before them: see SyncAll.
func (c *Client) SyncLSDB(ctx context.Context, f Filter) error { return c.Do(ctx, SyncLSDB{f}) }

// SyncReachable asks for the reachable routers.
func (c *Client) SyncReachable(ctx context.Context) error { return c.Do(ctx, SyncReachable{}) }

// SyncISM asks for all interface states.
func (c *Client) SyncISM(ctx context.Context) error { return c.Do(ctx, SyncISM{}) }

// SyncNSM asks for all neighbour states.
func (c *Client) SyncNSM(ctx context.Context) error { return c.Do(ctx, SyncNSM{}) }

// SyncRouterID asks for the router id.
func (c *Client) SyncRouterID(ctx context.Context) error { return c.Do(ctx, SyncRouterID{}) }

// Originate originates or updates an LSA; see the type Originate.
func (c *Client) Originate(ctx context.Context, o Originate) error { return c.Do(ctx, o) }

// Delete flushes an LSA; see the type Delete.
func (c *Client) Delete(ctx context.Context, d Delete) error { return c.Do(ctx, d) }
