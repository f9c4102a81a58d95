package ospfapi

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// syncRun is one SyncAll. Its fields belong to Client.mu, generation and
// overflowed to the queue's.
type syncRun struct {
	lsdb    uint32  // sequence number of the SYNC_LSDB, which names the run
	calls   []*Call // all of them
	fence   *Call   // the last: what answers it on the async stream ends the run
	replied bool    // the fence's reply is in, and so are all before it
	passed  bool    // the fence's answer is in, and so is all before it

	generation int
	overflowed bool

	done chan struct{}
	err  error // valid once done is closed
}

func (r *syncRun) end(err error) {
	r.err = err
	close(r.done)
}

// delivered is called after Notify has seen the SyncDone.
func (r *syncRun) delivered(complete bool) {
	var errs []error
	for _, call := range r.calls {
		if err := call.Err(); err != nil {
			errs = append(errs, err)
		}
	}
	if r.overflowed {
		errs = append(errs, ErrOverflow)
	}
	err := errors.Join(errs...)
	if err == nil && !complete {
		err = errors.New("incomplete")
	}
	r.end(err)
}

// finishSyncLocked ends the running sync if both its halves are in.
func (c *Client) finishSyncLocked() {
	run := c.syncing
	if run == nil || !run.replied || !run.passed {
		return
	}
	complete := true
	for _, call := range run.calls {
		complete = complete && call.Err() == nil
	}
	c.syncing, c.lastFence = nil, run.fence.Seq
	c.queue.markDone(run, complete)
}

// SyncAll fetches everything there is to know: it sets the filter of LSA
// notifications to f, and asks for all LSAs that f lets through and, of servers
// that know it, for reachable routers, interfaces, neighbours and the router
// id. In the stream it stands between SyncStarted and SyncDone, both with the
// sequence number of the SYNC_LSDB; news (Seq 0) may stand between them too.
// It returns after Notify has returned from SyncDone. One at a time. When ctx
// ends first, SyncDone may still come, or the next SyncStarted instead.
//
// The end is known by a fence, since the replies come on the other stream,
// before the answers: ospfd serves requests in order and sends answers in
// order, so when the answer to a last request is in, all others are. The last
// request is SYNC_ROUTER_ID (FRR 8.4 and later). For servers that do not know
// it, it is a second SYNC_LSDB, for ospfd's own router-LSA only: there is one
// as soon as OSPF runs in any area, and the client keeps it to itself. When an
// ospfd has none (no area, or a router-LSA too long for the API) Config.Quiet
// without any message after the last reply ends the sync.
func (c *Client) SyncAll(ctx context.Context, f Filter) error {
	if err := c.WaitReady(ctx); err != nil {
		return fmt.Errorf("ospf-api sync: %w", err)
	}
	run, err := c.startSync(f)
	if err != nil {
		return err
	}
	if run.fence.Request.Op() != MsgSyncRouterID {
		if err := c.awaitQuiet(ctx, run); err != nil {
			return fmt.Errorf("ospf-api sync: %w", err)
		}
	}
	select {
	case <-run.done:
		if run.err != nil {
			return fmt.Errorf("ospf-api sync: %w", run.err)
		}
		return nil
	case <-c.done:
		return fmt.Errorf("ospf-api sync: %w", c.Err())
	case <-ctx.Done():
		return fmt.Errorf("ospf-api sync: %w", context.Cause(ctx))
	}
}

func (c *Client) startSync(f Filter) (*syncRun, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.syncing != nil {
		return nil, ErrSyncRunning
	}
	requests := []Request{RegisterEvents{f}, SyncLSDB{f}}
	if c.dialect.SyncState {
		requests = append(requests, SyncReachable{}, SyncISM{}, SyncNSM{})
	}
	if c.dialect.SyncRouterID {
		requests = append(requests, SyncRouterID{})
	} else {
		requests = append(requests, SyncLSDB{Filter{Types: MaskOf(RouterLSA), Origin: Self}})
	}
	for _, r := range requests {
		if err := c.admitLocked(r); err != nil {
			return nil, err
		}
	}
	run := &syncRun{done: make(chan struct{})}
	for i, r := range requests {
		call := c.startLocked(r)
		run.calls = append(run.calls, call)
		if i == 1 {
			run.lsdb = call.Seq
		}
	}
	run.fence = run.calls[len(run.calls)-1]
	c.syncing = run
	// The writer needs c.mu to take the first request: the mark is in time.
	c.queue.markStart(run)
	return run, nil
}

// awaitQuiet ends a sync whose fence has been replied to when nothing at all
// comes for Config.Quiet.
func (c *Client) awaitQuiet(ctx context.Context, run *syncRun) error {
	select {
	case <-run.fence.Done():
	case <-c.done:
		return c.Err()
	case <-ctx.Done():
		c.abandon(run)
		return context.Cause(ctx)
	}
	tick := time.NewTicker(c.cfg.Quiet)
	defer tick.Stop()
	for seen := c.received.Load(); ; {
		select {
		case <-run.done:
			return nil
		case <-c.done:
			return c.Err()
		case <-ctx.Done():
			c.abandon(run)
			return context.Cause(ctx)
		case <-tick.C:
		}
		if now := c.received.Load(); now != seen {
			seen = now
			continue
		}
		c.mu.Lock()
		if c.syncing == run {
			run.passed = true
			c.finishSyncLocked()
			c.tellIdleLocked()
		}
		c.mu.Unlock()
		return nil
	}
}

// abandon forgets a run that nobody waits for any more and whose fence may
// never come.
func (c *Client) abandon(run *syncRun) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.syncing == run {
		c.syncing, c.lastFence = nil, run.fence.Seq
		c.tellIdleLocked()
	}
}
