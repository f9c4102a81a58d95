package primitive

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// gate bounds how many checks run at one time over all services. Those that
// wait are let in in the order they came.
type gate struct {
	limit func() int // asked each time, so that it can be configured anew

	mu      sync.Mutex
	running int
	waiting []chan struct{} // closed to let its owner in
}

// gated reports whether a primitive has to pass the gate: only those that
// change nothing and that no other step waits for.
func gated(p machine.Primitive) bool {
	return p == machine.PrimCheck || p == machine.PrimStatus
}

// enter returns true inside the gate; then leave must be called. False: the
// context ended first, or cancel was closed.
func (g *gate) enter(ctx context.Context, cancel <-chan struct{}) bool {
	g.mu.Lock()
	if g.running < g.most() && len(g.waiting) == 0 {
		g.running++
		g.mu.Unlock()
		return true
	}
	in := make(chan struct{})
	g.waiting = append(g.waiting, in)
	g.mu.Unlock()
	select {
	case <-in:
		return true
	case <-ctx.Done():
	case <-cancel:
	}
	g.mu.Lock()
	i := slices.Index(g.waiting, in)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	g.mu.Unlock()
	if i < 0 { // let in just now
		g.leave()
	}
	return false
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	for len(g.waiting) > 0 && g.running < g.most() {
		g.running++
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
	}
}

// most is how many may be inside.
func (g *gate) most() int {
	if g.limit != nil {
		if n := g.limit(); n > 0 {
			return n
		}
	}
	return 2 * runtime.NumCPU()
}
