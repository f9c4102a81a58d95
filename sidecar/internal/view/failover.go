package view

import (
	"cmp"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// MaxFailovers is how many failovers are kept.
const MaxFailovers = 200

// FailoverKind is what a Failover is.
type FailoverKind uint8

// The kinds.
const (
	FailoverStart FailoverKind = iota // nobody ran it before, as far as this node knows
	FailoverMove                      // who ran it gave it up
	FailoverLoss                      // who ran it failed or vanished
)

func (k FailoverKind) String() string {
	switch k {
	case FailoverStart:
		return "start"
	case FailoverMove:
		return "move"
	case FailoverLoss:
		return "failover"
	}
	return "failover?"
}

// MarshalText gives the kind's word.
func (k FailoverKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// A Failover is one taking of a service by a node, whatever the cause. Where
// this node takes it, the phases are the moments they were reached; of other
// nodes, those at which their LSAs told of it, and zero for one that was over
// before it was told.
type Failover struct {
	Seq     uint64           `json:"seq"` // from 1; never repeats within one run of srrd
	Service string           `json:"service"`
	Kind    FailoverKind     `json:"kind"`
	Cause   string           `json:"cause"`                    // in the words of why
	From    machine.RouterID `json:"from_router_id,omitempty"` // who ran it last; 0: nobody
	To      machine.RouterID `json:"to_router_id"`
	Here    bool             `json:"here"` // this node takes it
	// FromHost and ToHost are what the nodes are called.
	FromHost string `json:"from,omitempty"`
	ToHost   string `json:"to"`

	Noticed   time.Time `json:"noticed"` // that it was lost or is to move
	Claimed   time.Time `json:"claimed,omitzero"`
	Cleared   time.Time `json:"cleared,omitzero"`   // nobody stands in the way, the start has begun
	Started   time.Time `json:"started,omitzero"`   // start is done
	Announced time.Time `json:"announced,omitzero"` // routers know the new way: the end
	// GaveUp is when it ended otherwise, Why how.
	GaveUp time.Time `json:"gave_up,omitzero"`
	Why    string    `json:"gave_up_why,omitempty"`
}

// Ended reports whether nothing more will come.
func (f *Failover) Ended() bool { return !f.Announced.IsZero() || !f.GaveUp.IsZero() }

// Phase is one phase of a failover.
type Phase struct {
	Name string
	Took time.Duration // since Failover.Noticed
}

// PhaseNames are the phases behind "noticed", in their order.
var PhaseNames = []string{"claimed", "cleared", "started", "announced"}

// Phases lists those that were reached and told.
func (f *Failover) Phases() []Phase {
	var all []Phase
	for i, at := range []time.Time{f.Claimed, f.Cleared, f.Started, f.Announced} {
		if !at.IsZero() {
			all = append(all, Phase{PhaseNames[i], at.Sub(f.Noticed)})
		}
	}
	return all
}

// CauseWords is why, and what became of it where it was not taken.
func (f *Failover) CauseWords(now time.Time) string {
	switch {
	case f.Why != "":
		return f.Cause + "; gave up: " + f.Why
	case !f.Ended():
		return f.Cause + "; under way for " + Age(now, f.Noticed)
	}
	return f.Cause
}

// failovers watches who has which service, by the events that the machine
// gets and the actions that it gives. The zero value is ready for use.
type failovers struct {
	self     machine.RouterID
	name     string // what this node is called
	synced   bool
	peers    map[machine.RouterID]*holderNode
	services map[string]*held
	runs     map[uint64]string // start primitives under way, by run
	done     []Failover        // those that ended, oldest first
	seq      uint64
	ended    func(Failover)
}

// holderNode is a router as far as its offers count.
type holderNode struct {
	host     string
	daemons  map[machine.LSARef]bool // its daemon LSAs: gone when all are
	area, as bool
	links    map[string]bool
	offers   map[string]*said
}

// said is what a router said of a service last.
type said struct {
	stamp advert.Stamp
	scope machine.Scope
	state advert.State
	has   bool // started, and it counts
}

// held is who has one service.
type held struct {
	holders map[machine.RouterID]bool
	lost    *loss
	open    []*Failover // mostly one; rivals may claim at once
}

// loss is the end of the last holder, until somebody has the service again.
type loss struct {
	at    time.Time
	from  machine.RouterID
	kind  FailoverKind
	cause string
}

func (w *failovers) step(now time.Time, ev machine.Event, acts []machine.Action) {
	if w.services == nil {
		w.peers, w.services, w.runs = map[machine.RouterID]*holderNode{}, map[string]*held{}, map[uint64]string{}
	}
	w.hear(now, ev)
	// What is said of a step is said before it is looked at how far it went.
	for _, act := range acts {
		if a, ok := act.(machine.Originate); ok && w.self != 0 {
			if b, err := advert.Decode(a.Body); err == nil && b.Service != nil {
				w.said(now, w.self, a.Ref.Scope, b.Service)
			}
		}
	}
	for _, act := range acts {
		switch a := act.(type) {
		case machine.SetAddresses:
			if f := w.openOf(a.Service, w.self); f != nil && a.On {
				first(&f.Cleared, now)
			}
		case machine.RunPrimitive:
			if a.Primitive == machine.PrimStart {
				w.runs[a.Run] = a.Service
				if f := w.openOf(a.Service, w.self); f != nil {
					first(&f.Cleared, now)
				}
			}
		}
	}
}

func (w *failovers) hear(now time.Time, ev machine.Event) {
	switch e := ev.(type) {
	case machine.Configured:
		w.name = e.Config.Host
	case machine.OSPFUp:
		w.restart(e.Router)
	case machine.OSPFDown:
		w.synced = false
	case machine.Synced:
		w.synced = true
	case machine.LSASeen:
		w.seen(now, e)
	case machine.LSAGone:
		if p := w.peers[e.Router]; p != nil && p.daemons[e.Ref] {
			delete(p.daemons, e.Ref)
			w.recount(now, e.Router, machine.Reason{Code: machine.BecauseSrrdGone})
			if len(p.daemons) == 0 {
				clear(p.offers) // a next life says everything again
			}
		}
	case machine.Reach:
		p := w.peer(e.Router)
		p.area, p.as = e.Area, e.AS
		w.recount(now, e.Router, machine.Reason{Code: machine.BecauseUnreachable})
	case machine.LinkReach:
		p := w.peer(e.Router)
		p.links[e.Link] = e.Up
		w.recount(now, e.Router, machine.Reason{Code: machine.BecauseUnreachable})
	case machine.PrimitiveDone:
		service, ok := w.runs[e.Run]
		if !ok || e.Outcome == machine.OutcomeRecall {
			return
		}
		delete(w.runs, e.Run)
		if f := w.openOf(service, w.self); f != nil && e.Outcome == machine.OutcomeDone {
			first(&f.Started, now)
		}
	}
}

// restart forgets what others said, as the machine does; what this node has
// it still has, unless its name has changed.
func (w *failovers) restart(self machine.RouterID) {
	mine := w.peers[self]
	w.peers = map[machine.RouterID]*holderNode{}
	for name, h := range w.services {
		own := h.holders[self] && self == w.self
		*h = held{holders: map[machine.RouterID]bool{}}
		if own {
			h.holders[self] = true
		} else {
			delete(w.services, name)
		}
	}
	if mine != nil && self == w.self {
		w.peers[self] = mine
	}
	w.self = self
}

func (w *failovers) peer(id machine.RouterID) *holderNode {
	p := w.peers[id]
	if p == nil {
		p = &holderNode{daemons: map[machine.LSARef]bool{}, links: map[string]bool{}, offers: map[string]*said{}}
		w.peers[id] = p
	}
	return p
}

func (w *failovers) service(name string) *held {
	h := w.services[name]
	if h == nil {
		h = &held{holders: map[machine.RouterID]bool{}}
		w.services[name] = h
	}
	return h
}

// seen takes an LSA of another node; our own were noted when we gave them.
func (w *failovers) seen(now time.Time, e machine.LSASeen) {
	switch {
	case e.Router == w.self || e.Err != "":
	case e.Body.Node != nil:
		p := w.peer(e.Router)
		p.host = e.Body.Node.Host
		fresh := len(p.daemons) == 0
		p.daemons[e.Ref] = true
		if fresh {
			w.recount(now, e.Router, machine.Reason{})
		}
	case e.Body.Service != nil:
		w.said(now, e.Router, e.Ref.Scope, e.Body.Service)
	}
}

// said takes what a router says of a service.
func (w *failovers) said(now time.Time, by machine.RouterID, scope machine.Scope, s *advert.Service) {
	p, h := w.peer(by), w.service(s.Name)
	o := p.offers[s.Name]
	if o == nil {
		o = &said{}
		p.offers[s.Name] = o
	} else if !s.Newer(o.stamp) {
		return // a copy of what was said before
	}
	before := o.state
	o.stamp, o.scope, o.state = s.Stamp, scope, s.State
	switch s.State {
	case advert.Starting:
		if w.synced {
			w.claimed(now, h, by, s)
		}
	case advert.Started:
		w.announced(now, h, by, s, before)
	case advert.Stopped, advert.Stopping, advert.Failed:
		if f := h.openOf(by); f != nil {
			why := "it gave up its claim"
			if s.Failure.Code != advert.FailNone {
				why = machine.Reason{Code: machine.BecauseFailed, Who: s.Failure.String()}.String()
			}
			w.giveUp(now, h, f, why)
		}
	}
	why, kind := w.host(by)+" gives it up", FailoverMove
	if s.Failure.Code != advert.FailNone {
		why, kind = w.host(by)+": "+machine.Reason{Code: machine.BecauseFailed, Who: s.Failure.String()}.String(), FailoverLoss
	}
	w.settle(now, s.Name, by, o, kind, why)
	if s.Hold.On { // an operator stopped it everywhere: nobody is to take it
		h.lost = nil
	}
	w.forget(s.Name, h)
}

// forget drops a service of which there is nothing to remember.
func (w *failovers) forget(name string, h *held) {
	if len(h.holders) == 0 && len(h.open) == 0 && h.lost == nil {
		delete(w.services, name)
	}
}

// claimed notes how far a claimant says it is.
func (w *failovers) claimed(now time.Time, h *held, by machine.RouterID, s *advert.Service) {
	f := h.openOf(by)
	if f == nil {
		f = w.begin(now, h, by, s)
		f.Claimed = now
	}
	if by == w.self {
		return // the actions tell it to the point
	}
	switch s.Step {
	case advert.StepAnnounce:
		first(&f.Started, now)
	case advert.StepAddresses, advert.StepStart:
		first(&f.Cleared, now)
	case advert.StepNone, advert.StepClaim, advert.StepDependencies, advert.StepDependents, advert.StepWithdraw, advert.StepLinger, advert.StepStop:
	}
}

// announced ends a failover, or makes one that was not told of until now.
func (w *failovers) announced(now time.Time, h *held, by machine.RouterID, s *advert.Service, before advert.State) {
	f := h.openOf(by)
	if f == nil && before != 0 && before != advert.Started && by != w.self && w.synced {
		f = w.begin(now, h, by, s)
	}
	if f == nil {
		return // found running, or never stopped
	}
	f.Announced = now
	w.close(h, f)
}

// begin opens one.
func (w *failovers) begin(now time.Time, h *held, by machine.RouterID, s *advert.Service) *Failover {
	w.seq++
	f := &Failover{Seq: w.seq, Service: s.Name, To: by, ToHost: w.host(by), Here: by == w.self, Noticed: now}
	from := machine.RouterID(0)
	for id := range h.holders {
		if id != by && id > from { // of several, one and always the same
			from = id
		}
	}
	switch {
	case h.lost != nil:
		f.Noticed, f.From, f.Kind, f.Cause = h.lost.at, h.lost.from, h.lost.kind, h.lost.cause
	case from != 0:
		f.From, f.Kind, f.Cause = from, FailoverMove, w.host(by)+" is the better candidate"
		if s.Pin.Target == by && s.Pin.Number != 0 && !s.Pin.Void {
			f.Cause = "an operator moves it to " + w.host(by)
		}
	default:
		f.Cause = "nobody runs it"
	}
	if f.From != 0 {
		f.FromHost = w.host(f.From)
	}
	h.open = append(h.open, f)
	return f
}

func (w *failovers) giveUp(now time.Time, h *held, f *Failover, why string) {
	f.GaveUp, f.Why = now, why
	w.close(h, f)
}

// close moves one to those that ended. The caller has set how.
func (w *failovers) close(h *held, f *Failover) {
	for i, o := range h.open {
		if o == f {
			h.open = append(h.open[:i:i], h.open[i+1:]...)
			break
		}
	}
	if len(w.done) == 2*MaxFailovers { // now and then, not each time
		w.done = append(w.done[:0], w.done[MaxFailovers:]...)
	}
	w.done = append(w.done, *f)
	if w.ended != nil {
		w.ended(*f)
	}
}

// recount looks at all a router offers after it came or went.
func (w *failovers) recount(now time.Time, id machine.RouterID, why machine.Reason) {
	p := w.peers[id]
	for name, o := range p.offers {
		w.settle(now, name, id, o, FailoverLoss, w.host(id)+": "+why.String())
		h := w.service(name)
		if f := h.openOf(id); f != nil && !w.counts(id, o) {
			w.giveUp(now, h, f, why.String())
		}
		w.forget(name, h)
	}
}

// settle notes who has the service now, and when the last one lost it.
func (w *failovers) settle(now time.Time, name string, id machine.RouterID, o *said, kind FailoverKind, cause string) {
	h, had := w.service(name), o.has
	o.has = o.state == advert.Started && w.counts(id, o)
	switch {
	case o.has:
		h.holders[id] = true
		h.lost = nil
	case had:
		delete(h.holders, id)
		if len(h.holders) == 0 && w.synced {
			h.lost = &loss{now, id, kind, cause}
		}
	}
}

// counts tells whether an offer does (DESIGN section 4).
func (w *failovers) counts(id machine.RouterID, o *said) bool {
	if id == w.self {
		return true
	}
	p := w.peers[id]
	if len(p.daemons) == 0 {
		return false
	}
	switch o.scope.Kind {
	case machine.ScopeLink:
		return p.links[o.scope.Link]
	case machine.ScopeArea:
		return p.area
	case machine.ScopeAS:
		return p.as
	}
	return false
}

func (w *failovers) host(id machine.RouterID) string {
	if id == w.self {
		return NameOf(w.name, id)
	}
	if p := w.peers[id]; p != nil {
		return NameOf(p.host, id)
	}
	return id.String()
}

// list gives those that ended and those under way, in the order in which they
// began.
func (w *failovers) list() []Failover {
	all := append([]Failover(nil), w.done[max(0, len(w.done)-MaxFailovers):]...)
	for _, h := range w.services {
		for _, f := range h.open {
			all = append(all, *f)
		}
	}
	slices.SortFunc(all, func(x, y Failover) int { return cmp.Compare(x.Seq, y.Seq) })
	return all
}

func (w *failovers) openOf(service string, id machine.RouterID) *Failover {
	if h := w.services[service]; h != nil {
		return h.openOf(id)
	}
	return nil
}

func (h *held) openOf(id machine.RouterID) *Failover {
	for _, f := range h.open {
		if f.To == id {
			return f
		}
	}
	return nil
}

// first sets a moment that was not reached before.
func first(at *time.Time, now time.Time) {
	if at.IsZero() {
		*at = now
	}
}
