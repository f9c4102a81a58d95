package view

import (
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// MaxEvents is how many events are kept.
const MaxEvents = 2000

// Event is a line of the list of events.
type Event struct {
	Seq     uint64        `json:"seq"` // from 1; never repeats within one run of srrd
	At      time.Time     `json:"at"`
	Level   machine.Level `json:"level"`
	Service string        `json:"service,omitempty"`
	Text    string        `json:"text"`
}

// eventLog keeps the last MaxEvents. Its slice only ever grows past what
// snapshots were given and moves to a new array when that is full, so that
// snapshots share it without a copy.
type eventLog struct {
	all []Event
	seq uint64
}

func (l *eventLog) append(e Event) {
	l.seq++
	e.Seq = l.seq
	if len(l.all) == cap(l.all) {
		room := make([]Event, 0, max(64, min(2*cap(l.all), 2*MaxEvents)))
		l.all = append(room, l.last()...)
	}
	l.all = append(l.all, e)
}

// last gives the newest MaxEvents, oldest first. Appending to it is not
// possible without a copy.
func (l *eventLog) last() []Event {
	from := max(0, len(l.all)-MaxEvents)
	return l.all[from:len(l.all):len(l.all)]
}
