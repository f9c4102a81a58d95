package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// watchEvery is how often the state is looked at while somebody watches;
// tickEvery how often a watcher is told that all is as it was.
const (
	watchEvery = 250 * time.Millisecond
	tickEvery  = 5 * time.Second
)

// writePatience is how long one write to a watcher may take before it is
// given up.
const writePatience = 10 * time.Second

// watchers are those who follow the state. One reader serves them all, and
// only while there are any; a slow one misses what lies between, never the
// newest.
type watchers struct {
	mu   sync.Mutex // guards all
	all  map[chan *view.Snapshot]struct{}
	wake chan struct{}
}

func newWatchers() *watchers {
	return &watchers{all: map[chan *view.Snapshot]struct{}{}, wake: make(chan struct{}, 1)}
}

var errTooMany = errors.New("too many watch already")

// join gives a channel that always holds the newest snapshot not yet taken.
func (w *watchers) join() (chan *view.Snapshot, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) >= maxWatchers {
		return nil, errTooMany
	}
	c := make(chan *view.Snapshot, 1)
	w.all[c] = struct{}{}
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return c, nil
}

func (w *watchers) leave(c chan *view.Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, c)
}

// tell hands a snapshot to everybody; it reports whether there is anybody.
func (w *watchers) tell(s *view.Snapshot) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.all {
		select {
		case <-c: // not taken yet, and no longer the newest
		default:
		}
		if s != nil {
			c <- s
		}
	}
	return len(w.all) > 0
}

// run reads while somebody watches, until ctx ends.
func (w *watchers) run(ctx context.Context, read func(context.Context) (*view.Snapshot, error)) error {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
			t.Reset(watchEvery)
		case <-t.C:
		}
		s, err := read(ctx)
		if errors.Is(err, view.ErrClosed) {
			return nil
		}
		if err != nil {
			s = nil
		}
		if !w.tell(s) {
			t.Stop()
		}
	}
}

// Change is what a watcher is told: what is new since it was told last.
type Change struct {
	view.Envelope
	Services []Brief      `json:"services"`           // those that changed
	Gone     []string     `json:"gone"`               // services that are no longer known
	Nodes    []NodeBrief  `json:"nodes"`              // those that changed
	Events   []view.Event `json:"events"`             // new ones
	LSDB     uint64       `json:"lsdb_version"`       // changes with the link-state database
	Problems int          `json:"problems"`           // errors and warnings
	First    bool         `json:"complete,omitempty"` // everything, not only what changed
}

// Brief is a service in short.
type Brief struct {
	Name   string `json:"name"`
	Holder string `json:"holder"`
	State  string `json:"state"` // of this node, configuration/service
	Step   string `json:"step"`
	Why    string `json:"why"`
	Offers []struct {
		Host  string `json:"host"`
		State string `json:"state"`
	} `json:"offers"`
}

// NodeBrief is a node in short.
type NodeBrief struct {
	Host   string           `json:"host"`
	Router machine.RouterID `json:"router_id"`
	State  string           `json:"state"`
	Status string           `json:"status"`
}

// follower remembers what one watcher was told.
type follower struct {
	services map[string]Brief
	nodes    map[machine.RouterID]NodeBrief
	lsdb     uint64
	problems int
	seq      uint64 // of the last event
	told     bool
}

// next says what is new in s; false: nothing.
func (f *follower) next(s *view.Snapshot, now time.Time) (Change, bool) {
	c := Change{Envelope: s.Envelope(), Services: []Brief{}, Gone: []string{}, Nodes: []NodeBrief{}, Events: []view.Event{}, First: !f.told}
	services := map[string]Brief{}
	for i := range s.Machine.Services {
		b := briefOf(&s.Machine.Services[i])
		services[b.Name] = b
		if old, ok := f.services[b.Name]; !ok || !reflect.DeepEqual(old, b) {
			c.Services = append(c.Services, b)
		}
	}
	for name := range f.services {
		if _, ok := services[name]; !ok {
			c.Gone = append(c.Gone, name)
		}
	}
	slices.Sort(c.Gone)
	nodes := map[machine.RouterID]NodeBrief{}
	for i := range s.Machine.Nodes {
		n := &s.Machine.Nodes[i]
		b := NodeBrief{view.NameOf(n.Host, n.Router), n.Router, view.NodeState(n), n.Status}
		nodes[n.Router] = b
		if f.nodes[n.Router] != b {
			c.Nodes = append(c.Nodes, b)
		}
	}
	away := len(f.nodes) > len(nodes)
	if s.LSDB.Mirror != nil {
		c.LSDB = s.LSDB.Mirror.Version()
	}
	for _, p := range s.Problems(now) {
		if p.Level > machine.LevelInfo {
			c.Problems++
		}
	}
	for i := len(s.Events); i > 0 && s.Events[i-1].Seq > f.seq; i-- {
		c.Events = append(c.Events, s.Events[i-1])
	}
	slices.Reverse(c.Events)
	if len(c.Events) > 0 {
		f.seq = c.Events[len(c.Events)-1].Seq
	}
	fresh := !f.told || len(c.Services)+len(c.Gone)+len(c.Nodes)+len(c.Events) > 0 || away || c.LSDB != f.lsdb || c.Problems != f.problems
	f.services, f.nodes, f.lsdb, f.problems, f.told = services, nodes, c.LSDB, c.Problems, true
	return c, fresh
}

func briefOf(sv *machine.ServiceView) Brief {
	b := Brief{Name: sv.Name, Holder: sv.Holder, State: view.StateHere(sv), Why: sv.Why}
	if view.Underway(sv) {
		b.Step = sv.Step.String()
	}
	for i := range sv.Offers {
		o := &sv.Offers[i]
		b.Offers = append(b.Offers, struct {
			Host  string `json:"host"`
			State string `json:"state"`
		}{view.NameOf(o.Host, o.Router), view.OfferState(o)})
	}
	return b
}

// watch streams changes as server-sent events: "state" with a Change, and
// "tick" with the moment when there is none. The id of an event is the number
// of the last event of the list it carried, so that a reader that comes again
// (Last-Event-ID) misses none that are still kept.
func watch(r *request) error {
	c, err := r.watchers.join()
	if err != nil {
		r.ResponseWriter.Header().Set("Retry-After", "5")
		return &fault{http.StatusServiceUnavailable, err.Error()}
	}
	defer r.watchers.leave(c)
	h := r.ResponseWriter.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	var f follower
	if n, err := strconv.ParseUint(r.Request.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		f.seq = n
	}
	out := http.NewResponseController(r.ResponseWriter)
	send := func(event string, v any) error {
		if err := out.SetWriteDeadline(time.Now().Add(writePatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if err := writeEvent(r.ResponseWriter, event, f.seq, v); err != nil {
			return err
		}
		return out.Flush()
	}
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	var last *view.Snapshot
	for {
		select {
		case <-r.ctx.Done():
			return nil
		case s := <-c:
			last = s
			change, fresh := f.next(s, r.cfg.Now())
			if !fresh {
				continue
			}
			if err := send("state", change); err != nil {
				return nil // the reader has gone
			}
			tick.Reset(tickEvery)
		case <-tick.C:
			if last == nil {
				continue // srrd itself does not answer: saying nothing says so
			}
			if err := send("tick", last.Envelope()); err != nil {
				return nil
			}
			last = nil
		}
	}
}

func writeEvent(w io.Writer, event string, id uint64, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", id, event, data)
	return err
}
