package daemon

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// timers are what the machine asked to be woken for, one of each key.
type timers struct {
	due   timerHeap
	count uint64 // how many were set, so that equal times fire in order
	tick  *time.Timer
}

type timer struct {
	machine.SetTimer
	nth uint64
	at  int // in the heap
}

// timerHeap is ordered by time; byKey finds what a new timer replaces.
type timerHeap struct {
	all   []*timer
	byKey map[machine.TimerKey]*timer
}

func (h *timerHeap) Len() int { return len(h.all) }

func (h *timerHeap) Less(i, j int) bool {
	a, b := h.all[i], h.all[j]
	if a.At.Equal(b.At) {
		return a.nth < b.nth
	}
	return a.At.Before(b.At)
}

func (h *timerHeap) Swap(i, j int) {
	h.all[i], h.all[j] = h.all[j], h.all[i]
	h.all[i].at, h.all[j].at = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.at = len(h.all)
	h.all = append(h.all, t)
	h.byKey[t.Key] = t
}

func (h *timerHeap) Pop() any {
	last := len(h.all) - 1
	t := h.all[last]
	h.all[last] = nil
	h.all = h.all[:last]
	delete(h.byKey, t.Key)
	return t
}

func newTimers() *timers {
	t := &timers{tick: time.NewTimer(time.Hour), due: timerHeap{byKey: map[machine.TimerKey]*timer{}}}
	t.tick.Stop()
	return t
}

// set adds one, in place of the one of that key, and arms the tick for the
// next.
func (t *timers) set(s machine.SetTimer) {
	t.count++
	if old := t.due.byKey[s.Key]; old != nil {
		old.SetTimer, old.nth = s, t.count
		heap.Fix(&t.due, old.at)
	} else {
		heap.Push(&t.due, &timer{SetTimer: s, nth: t.count})
	}
	t.arm()
}

func (t *timers) arm() {
	if t.due.Len() > 0 {
		t.tick.Reset(time.Until(t.due.all[0].At))
	}
}

// fired takes the next that is due at now.
func (t *timers) fired(now time.Time) (machine.TimerFired, bool) {
	if t.due.Len() == 0 || t.due.all[0].At.After(now) {
		return machine.TimerFired{}, false
	}
	s := heap.Pop(&t.due).(*timer)
	return machine.TimerFired{Key: s.Key, Gen: s.Gen}, true
}

// list is every timer in the order they fire.
func (t *timers) list() (all []machine.SetTimer) {
	sorted := slices.Clone(t.due.all)
	slices.SortFunc(sorted, func(a, b *timer) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.nth, b.nth)) })
	for _, x := range sorted {
		all = append(all, x.SetTimer)
	}
	return all
}
