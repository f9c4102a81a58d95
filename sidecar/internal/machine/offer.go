package machine

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// offer is what a peer says of one service.
type offer struct {
	peer   *peer
	s      *service
	said   advert.Service
	scope  Scope
	live   int  // LSAs of it in the database
	counts bool // see recount
	near   bool // it counts, or will when rejoin_hold is over
	since  time.Time
	heard  time.Time
	// dreaded is the claim under which it was waited for as a lost holder though
	// its router was never reached, see dread; at least 1.
	dreaded advert.Claim
	// rumour is a claim of its that somebody acknowledged, as was first heard at
	// rumoured, and that it was not heard to make, see hearSay; 0: none. admitted is
	// the highest of those that it was.
	rumour, admitted advert.Claim
	rumoured         time.Time
	// confirmed: a person said that it does not run it though its stop failed.
	confirmed bool
	marked    MayRunMark // as the memory has it
	// grouped and listed are what it said when it was indexed last.
	grouped string
	listed  []netip.Addr
	tally   tally
	at      *standing // its router's in the unit's ranking
	changed bool      // the ranking is to look at it again
}

// mayRun reports whether the peer may be running the service by its own words.
func (o *offer) mayRun() bool {
	return inTheWay(o.said.State, o.said.Step) || o.stuck()
}

// stuck reports whether the peer could not stop it, and nobody has confirmed
// that it does not run.
func (o *offer) stuck() bool {
	return o.said.Flags.Has(advert.FlagMayStillRun) && !o.confirmed
}

// feared reports whether the peer, once it is no longer heard, must be thought
// to run the service. A strict one that had only claimed may have begun since,
// also where only the acknowledgement of another tells that it had.
func (o *offer) feared() bool {
	return o.mayRun() || o.s.strict() && (o.said.State == advert.Starting || o.rumour != 0)
}

// byHearsay reports whether nothing but the acknowledgement of others has it feared.
func (o *offer) byHearsay() bool {
	return o.rumour != 0 && !o.mayRun() && o.said.State != advert.Starting
}

// hearSay notes whose claim a peer acknowledges where that one itself was not
// heard to make it: its word may be on its way, and be late by as long as ospfd
// takes to repeat it, which on a LAN it must where the designated router had it
// from the backup. Who is not known to offer the service cannot be asked, nor
// missed: it is waited for at once, until its own word comes.
func (n *Node) hearSay(by *offer) {
	s, seen := by.s, by.said.Seen
	r := seen.By()
	if seen == 0 || r == n.router || r == by.peer.id || !s.strict() {
		return
	}
	if p := n.byRouter[r]; p != nil && p.of[s] != nil {
		if o := p.of[s]; seen > max(o.admitted, o.rumour) {
			o.rumour, o.rumoured = seen, n.now
			n.recountOffer(o)
			n.remark(o)
		}
		return
	}
	if l := s.lostOf(r); n.ospf.latched && (l == nil || l.claim < seen) {
		n.await(s, &lost{router: r, claim: seen, since: n.now, host: n.hostOf(r), failedStop: l != nil && l.failedStop, hearsay: true})
		n.touch(s)
	}
}

// admit settles by the peer's own word what was known of it by hearsay: it makes
// that claim in it, or acknowledges that or a later one, which it cannot have
// before. Any other may have been said before the claim and be on its way as that
// is; but not when what the claim replaced is deleted everywhere (see oldKept).
func (n *Node) admit(o *offer, said *advert.Service) {
	o.admitted = max(o.admitted, said.Claim)
	if o.rumour <= max(said.Claim, said.Seen, said.Floor) || n.now.Sub(o.rumoured) >= oldKept {
		o.admitted, o.rumour = max(o.admitted, o.rumour), 0
	}
}

// admitLate does so by a word that came after newer ones: they were said after
// the claim that it makes.
func (n *Node) admitLate(p *peer, said *advert.Service) {
	if said == nil || n.byName[said.Name] == nil {
		return
	}
	if o := p.of[n.byName[said.Name]]; o != nil && said.Claim > o.admitted {
		if o.admitted = said.Claim; o.rumour <= said.Claim {
			o.rumour = 0
		}
		n.count(o)
		n.remark(o)
	}
}

// doubted reports whether a peer that fell silent must be thought to run it
// some day: where nothing but a fence keeps two parts of the cluster from
// running it both, whoever starts it has shot all it has lost.
func (o *offer) doubted(why ReasonCode) bool {
	return (why == BecauseUnreachable || why == BecauseSrrdGone) && o.s.fenceOnly()
}

// outslept reports whether a peer must be thought to run it because what it said
// was said before this node stood still: whoever is found unreachable as soon as it
// goes on may have taken over what it had or claimed. Who has a fence asks that.
func (n *Node) outslept(o *offer, why ReasonCode) bool {
	return why == BecauseUnreachable && !o.s.woke.IsZero() && !o.heard.After(o.s.woke) &&
		n.now.Sub(o.s.woke) < cmp.Or(n.cfg.LossDetection, n.deadInterval()) && o.s.strict() && !o.s.fences()
}

// mark is what the memory has to know of the offer; the zero value is nothing.
func (o *offer) mark() MayRunMark {
	if !o.counts || !o.feared() && !o.s.fenceOnly() {
		return MayRunMark{}
	}
	return MayRunMark{Claim: o.fear(), FailedStop: o.stuck()}
}

// inTheWay reports whether a service in that state and step runs, or may run.
func inTheWay(st advert.State, step advert.Step) bool {
	switch st {
	case advert.Starting:
		return step >= advert.StepAddresses
	case advert.Started, advert.Stopping:
		return true
	}
	return false
}

// serves reports whether a service in that state and step may do its work: not
// where stop is done and only the addresses are still to go.
func serves(st advert.State, step advert.Step) bool {
	return inTheWay(st, step) && !(st == advert.Stopping && step == advert.StepAddresses)
}

// heed takes over what an offer that counts says for everybody.
func (n *Node) heed(o *offer) {
	if !o.counts {
		return
	}
	s := o.s
	if o.grouped != o.said.Group || !slices.Equal(o.listed, o.said.Addresses) {
		o.grouped = o.said.Group
		n.indexOffer(o)
	}
	if o.said.Pin.Newer(s.pin) {
		n.takePin(s, o.said.Pin)
	}
	if o.said.Hold.Newer(s.hold) {
		s.hold = o.said.Hold
		n.unrank(s)
		n.save()
	}
	if o.said.Freeze.Newer(s.freeze) {
		s.freeze = o.said.Freeze
		n.save()
		n.touchGroup(s)
	}
	delete(s.shot, o.peer.id)
	// Its own word settles what was feared of it.
	if l := s.lostOf(o.peer.id); l != nil {
		s.dropLost(o.peer.id)
		n.cancelTimer(TimerKey{Kind: TimerLost, Service: s.name, Router: o.peer.id})
		n.save()
	}
	n.remark(o)
}

// remark writes the memory where it must know otherwise of the offer. Plain
// services need none.
func (n *Node) remark(o *offer) {
	if o.s.cfg == nil || !o.s.strict() {
		return
	}
	if m := o.mark(); m != o.marked {
		o.marked = m
		n.save()
	}
}

// whyNot is why an offer does not count, BecauseNone if it does.
func (o *offer) whyNot() ReasonCode {
	p := o.peer
	switch {
	case p.node == nil && p.last.State == advert.Leaving:
		return BecauseLeaving
	case !p.reaches(o.scope):
		return BecauseUnreachable
	case p.node == nil:
		return BecauseSrrdGone
	case p.rejoins:
		return BecauseRejoining
	case o.said.Incarnation < p.node.Incarnation:
		// A newer one is not old: its daemon's announcement is on its way.
		return BecauseOldLife
	case o.live == 0 && !o.mayRun():
		// Missing under a live daemon: its last state is kept, and after an
		// orderly one it simply no longer offers.
		return BecauseWithdrawn
	}
	return BecauseNone
}

func (n *Node) recountOffer(o *offer) {
	why := o.whyNot()
	counts := why == BecauseNone
	was := o.near
	o.near = counts || why == BecauseRejoining
	if was && !o.near && (o.feared() || o.doubted(why) || n.outslept(o, why)) && (why != BecauseLeaving || o.s.strict()) { // it left, but its last word was not stopped
		n.lose(o, why)
		o.dreaded = o.fear()
	}
	n.dread(o)
	flipped := counts != o.counts
	o.counts = counts
	n.count(o)
	if o.near && !was {
		n.hearSay(o)
	}
	if !flipped {
		return
	}
	s := o.s
	n.touch(s)
	if counts {
		n.heed(o)
		n.enqueue(s, op{prim: PrimJoin, peer: n.hostOf(o.peer.id)})
		n.indexOffer(o)
		return
	}
	n.enqueue(s, op{prim: PrimLeave, peer: n.hostOf(o.peer.id)})
	n.indexOffer(o)
	n.remark(o)
}

// prune drops an offer of which nothing is in the database and nothing feared.
func (n *Node) prune(o *offer) {
	if o.live > 0 || o.counts {
		return
	}
	p, s := o.peer, o.s
	if i, ok := slices.BinarySearchFunc(p.offers, s.name, byService); ok {
		p.offers = slices.Delete(p.offers, i, i+1)
	}
	if i, ok := slices.BinarySearchFunc(s.offers, p.id, byRouterID); ok {
		s.offers = slices.Delete(s.offers, i, i+1)
	}
	delete(p.of, s)
	n.count(o)
	n.touch(s)
	n.indexOffer(o)
}
