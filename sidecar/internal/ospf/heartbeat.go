package ospf

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/srrd/srrd/ospfapi"
)

// How long ospfd may take to answer before it counts as lost. Its neighbours
// lose it one dead interval after its last hello at the latest, and start
// elsewhere what may run twice, and what may not after lost_hold. Half the
// dead interval leaves a node whose ospfd hangs the other half, and all of
// lost_hold, to stop by itself.
const (
	leastPatience = time.Second
	mostPatience  = 10 * time.Second
	// beatEvery is how often it is asked. The question is one message of 12
	// octets, answered by one of 12; nothing is flooded, and nothing is on the
	// way of a failover.
	beatEvery = time.Second
	// parts is in how many parts it is waited, so that a node that stood still
	// itself (a frozen machine, a stopped srrd) takes that for one of them only
	// and not for ospfd's silence.
	parts = 8
)

// patience is how long an ospfd with these dead intervals is waited for.
func (st Standing) patience() time.Duration {
	if st.Quickest == 0 { // it did not tell
		return mostPatience
	}
	return min(max(st.Quickest/2, leastPatience), mostPatience)
}

// errSilent is how a session ends whose ospfd hangs: its sockets stay open, and
// of itself the connection would end only when the window of requests is full.
type errSilent struct{ after time.Duration }

func (e errSilent) Error() string {
	return fmt.Sprintf("ospfd has not answered for %s: it hangs, or was stopped", e.after)
}

// heartbeat asks ospfd something every beatEvery, and returns an errSilent
// when no answer comes. The question is which notifications this client wants,
// which every release answers at once; it is what the sync has said before, and
// saying it again changes nothing.
func heartbeat(ctx context.Context, c *ospfapi.Client, standing *Standing) error {
	if c.WaitReady(ctx) != nil {
		return nil // the connection ended, and others say why
	}
	patience := standing.patience() // known once it is ready
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
		call, err := c.Start(ospfapi.RegisterEvents{Filter: everything})
		if errors.Is(err, ospfapi.ErrBusy) {
			continue // thousands of requests are under way, and one of them fails if it hangs
		}
		if err != nil {
			return nil // the connection ended
		}
		if !answered(ctx, call, patience) {
			return errSilent{patience}
		}
	}
}

// answered waits for the end of a call, or of ctx; false if neither came in time.
func answered(ctx context.Context, call *ospfapi.Call, patience time.Duration) bool {
	for range parts {
		part := time.NewTimer(patience / parts)
		select {
		case <-call.Done():
		case <-ctx.Done():
		case <-part.C:
			continue
		}
		part.Stop()
		return true
	}
	return false
}
