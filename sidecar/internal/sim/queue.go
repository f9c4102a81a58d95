package sim

import (
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// task is something that is due: an event for srrd of a host, an LSA that
// arrives at one, or anything else.
type task struct {
	do func()

	h             *host
	ev            machine.Event // for srrd of h
	life, session int           // of srrd and of ospfd's session with it, or of ospfd

	l    *lsa  // arrives at h
	over *edge // on this way
}

// due is a task's place in the queue: its time, and among equal times the order
// in which they were asked for. It holds no pointer, so that sorting it costs
// the collector nothing.
type due struct {
	at   time.Duration
	seq  uint64
	task int32
}

func (a due) before(b due) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

// queue is a heap of four children a node over tasks that stay where they are.
type queue struct {
	keys  []due
	tasks []task
	free  []int32
}

// push queues a task for a time, which is not before now.
func (s *Sim) push(at time.Duration, t task) {
	q := &s.queue
	s.seq++
	k := due{max(at, s.t), s.seq, 0}
	if n := len(q.free); n > 0 {
		k.task = q.free[n-1]
		q.free = q.free[:n-1]
		q.tasks[k.task] = t
	} else {
		k.task = int32(len(q.tasks))
		q.tasks = append(q.tasks, t)
	}
	q.keys = append(q.keys, k)
	i := len(q.keys) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !k.before(q.keys[up]) {
			break
		}
		q.keys[i] = q.keys[up]
		i = up
	}
	q.keys[i] = k
}

// pop takes what is due first.
func (q *queue) pop() (time.Duration, task) {
	first := q.keys[0]
	n := len(q.keys) - 1
	k := q.keys[n]
	q.keys = q.keys[:n]
	for i := 0; n > 0; {
		down := 4*i + 1
		if down >= n {
			q.keys[i] = k
			break
		}
		for c := down + 1; c < min(down+4, n); c++ {
			if q.keys[c].before(q.keys[down]) {
				down = c
			}
		}
		if !q.keys[down].before(k) {
			q.keys[i] = k
			break
		}
		q.keys[i] = q.keys[down]
		i = down
	}
	t := q.tasks[first.task]
	q.tasks[first.task] = task{}
	q.free = append(q.free, first.task)
	return first.at, t
}

// perform lets the next thing happen.
func (s *Sim) perform() {
	at, t := s.queue.pop()
	s.t, s.now = at, Epoch.Add(at)
	switch {
	case t.do != nil:
		t.do()
	case t.l != nil:
		s.arrive(t)
	default:
		s.take(t)
	}
}
