package ospfapi

import "sync"

// entryCost is what a queued notification takes beside its LSA, about.
const entryCost = 160

// queue is the bounded stream between the reader, which never waits for it,
// and the one goroutine that calls Notify.
//
// When a push would exceed the limit, everything queued is thrown away and one
// Overflow put in its place: old news of a database that must be fetched anew
// anyway is worth less than fresh news.
type queue struct {
	limit int // octets

	mu         sync.Mutex
	entries    []entry
	cost       int
	dropped    int // in the Overflow at the head, if any
	generation int // counts overflows
	total      uint64
	closed     bool

	wake chan struct{} // capacity 1
}

type entry struct {
	n    Notification
	cost int
	run  *syncRun // of a SyncDone
	// barrier is closed when all before it was delivered.
	barrier chan struct{}
}

func newQueue(limit int) *queue { return &queue{limit: limit, wake: make(chan struct{}, 1)} }

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func costOf(n Notification) int {
	switch n := n.(type) {
	case LSAUpdate:
		return entryCost + cap(n.LSA)
	case LSADelete:
		return entryCost + cap(n.LSA)
	case ReachableChange:
		return entryCost + 24*(len(n.Added)+len(n.Removed))
	default:
		return entryCost
	}
}

// push appends a message, dropping all that is queued if there is no room.
func (q *queue) push(n Notification) {
	q.mu.Lock()
	defer q.mu.Unlock()
	cost := costOf(n)
	if q.cost+cost > q.limit && len(q.entries) > 0 {
		q.overflow()
	}
	q.entries = append(q.entries, entry{n: n, cost: cost})
	q.cost += cost
	q.signal()
}

func (q *queue) overflow() {
	lost := 0
	for _, e := range q.entries {
		switch e.n.(type) {
		case Overflow, SyncStarted:
		case SyncDone:
			e.run.end(ErrOverflow)
		case nil:
			close(e.barrier)
		default:
			lost++
		}
	}
	q.dropped += lost
	q.total += uint64(lost)
	q.generation++
	// A new slice lets go of the old one's memory.
	q.entries = []entry{{n: Overflow{q.dropped}, cost: entryCost}}
	q.cost = entryCost
}

// mark appends a mark of a sync; there are never more than two per sync and
// one sync at a time, so they do not count.
func (q *queue) markStart(run *syncRun) {
	q.mu.Lock()
	defer q.mu.Unlock()
	run.generation = q.generation
	q.entries = append(q.entries, entry{n: SyncStarted{run.lsdb}})
	q.signal()
}

// markDone appends the SyncDone of a run, which is complete only if nothing
// was dropped since its start.
func (q *queue) markDone(run *syncRun, complete bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.generation != run.generation {
		complete, run.overflowed = false, true
	}
	q.entries = append(q.entries, entry{n: SyncDone{run.lsdb, complete}, run: run})
	q.signal()
}

// mark appends a barrier.
func (q *queue) mark(barrier chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.entries = append(q.entries, entry{barrier: barrier})
	q.signal()
}

// pop takes the oldest entry. open is false when the queue is empty and closed.
func (q *queue) pop() (e entry, ok, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries) == 0 {
		q.entries = nil
		return entry{}, false, !q.closed
	}
	e = q.entries[0]
	q.entries[0] = entry{}
	q.entries = q.entries[1:]
	q.cost -= e.cost
	if _, isOverflow := e.n.(Overflow); isOverflow {
		q.dropped = 0
	}
	return e, true, true
}

// close ends the stream; what is queued can still be popped.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

func (q *queue) counts() (overflows int, dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.generation, q.total
}
