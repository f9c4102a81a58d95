package chaos

import (
	"fmt"
	"slices"
	"time"
)

// Evidence is all that a run has gathered.
type Evidence struct {
	World   world
	Lines   []Line          // the journals of all nodes, and what chaos did to whole nodes
	Applied []Applied       // the faults, as they came to be
	Rounds  []Course        // how the rounds went
	Acks    []Ack           // what the client was promised
	Stored  map[uint64]bool // what is in the store
	Outages []Absence
	// Datagrams is how many were sent to the services that answer them.
	Datagrams int
	Samples   []Sample
	Left      []string // what was left over, in words
	Logs      []string // lines of logs that must not be there
	Trouble   []string // what chaos itself could not do
	Began     time.Time
	Ended     time.Time
}

// Applied is a fault with its times.
type Applied struct {
	Fault
	Round  int       `json:"round"`
	Began  time.Time `json:"began"`
	Mended time.Time `json:"mended"` // zero: not yet
	Broken []string  `json:"broken"` // hosts and ports that do not carry routing meanwhile
	Note   string    `json:"note,omitempty"`
}

// Course is how a round went.
type Course struct {
	Number  int       `json:"round"`
	Began   time.Time `json:"began"`
	Mended  time.Time `json:"mended"`   // the last fault
	Whole   time.Time `json:"whole"`    // zero: never
	Missing string    `json:"missing"`  // what was not whole when it should have been
	Failed  []string  `json:"failed"`   // services that gave up, and why
	Settled []string  `json:"by_hand"`  // what an operator had to do
	Single  *Fault    `json:"single"`   // its only fault
	Faults  int       `json:"n_faults"` // how many it has
}

// Absence is a time in which a client of a service was not answered.
type Absence struct {
	Service  string
	From, To time.Time
	Lost     int // numbered datagrams; none of a client that asks again
}

func (a Absence) String() string {
	return fmt.Sprintf("%s, %s from %s on", a.Service, a.To.Sub(a.From).Round(time.Millisecond), a.From.Format("15:04:05.000"))
}

// Sample is what a daemon takes at a moment.
type Sample struct {
	At    time.Time
	Node  string
	PID   int
	RSS   int // KiB
	FDs   int
	Tasks int
	// What srrd says of itself; a soak alone asks.
	Heap       int // KiB
	Goroutines int
}

// lost counts the records that were acknowledged and are not stored.
func (e Evidence) lost() (count int) {
	for _, a := range e.Acks {
		if !e.Stored[a.Number] {
			count++
		}
	}
	return count
}

// connectedSince tells whether nothing stood between two nodes in a time.
func (e Evidence) connectedSince(a, b string, from, to time.Time) bool {
	broken := map[string]bool{}
	for _, f := range e.Applied {
		if f.Began.After(to) || !f.Mended.IsZero() && f.Mended.Before(from) {
			continue
		}
		for _, thing := range f.Broken {
			broken[thing] = true
		}
	}
	return e.World.connected(a, b, func(thing string) bool { return broken[thing] })
}

// served is when all clients were served again after one of the disturbances
// that come one after the other, zero if they never were; not ok for what is
// done beside them.
func (e Evidence) served(a Applied) (when time.Time, ok bool) {
	i := slices.IndexFunc(e.Rounds, func(c Course) bool { return c.Number == a.Round && c.Single != nil && *c.Single == a.Fault })
	if i < 0 {
		return time.Time{}, false
	}
	return e.Rounds[i].Whole, true
}
