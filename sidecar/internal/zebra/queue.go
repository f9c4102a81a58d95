package zebra

import "sync"

// queue carries what the loop is to hear. It does not bound itself, since
// neither the owner nor zapi's goroutine may wait; a route adds a few entries
// to it at a time.
type queue struct {
	mu   sync.Mutex
	todo []any
	wake chan struct{} // holds a token while todo may have something
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) put(m any) {
	q.mu.Lock()
	q.todo = append(q.todo, m)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) take() []any {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.todo
	q.todo = nil
	return t
}
