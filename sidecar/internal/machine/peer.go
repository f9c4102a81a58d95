package machine

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// peer is another router that has spoken in LSAs of type 222, or is reachable.
type peer struct {
	id       RouterID
	area, as bool
	links    map[string]bool
	lsas     map[LSARef]heard
	newest   map[string]advert.Stamp // of what was ever heard of a service, or of the daemon ("")
	nodes    map[LSARef]*advert.Node // of lsas, the daemon's announcements
	offers   []*offer                // sorted by service name
	of       map[*service]*offer
	node     *advert.Node // the newest announcement in the database; nil: srrd is gone
	last     advert.Node  // the last one ever heard
	lost     bool         // it was reachable once and then was not
	parted   bool         // it was unreachable since its newest word was heard
	rejoins  bool         // reachable again, rejoin_hold not over
	since    time.Time    // of its status
	heard    time.Time
}

// heard is one LSA of type 222 as it is in the database: of an offer, or an
// announcement of the daemon.
type heard struct {
	stamp advert.Stamp
	node  *advert.Node
	offer *offer
}

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
// to run the service. A strict one that had only claimed may have begun since.
func (o *offer) feared() bool {
	return o.mayRun() || o.said.State == advert.Starting && o.s.strict()
}

// doubted reports whether a peer that fell silent must be thought to run it
// some day: where nothing but a fence keeps two parts of the cluster from
// running it both, whoever starts it has shot all it has lost.
func (o *offer) doubted(why ReasonCode) bool {
	return (why == BecauseUnreachable || why == BecauseSrrdGone) && o.s.fenceOnly()
}

// mark is what the memory has to know of the offer; the zero value is nothing.
func (o *offer) mark() MayRunMark {
	if !o.counts || !o.feared() && !o.s.fenceOnly() {
		return MayRunMark{}
	}
	return MayRunMark{Claim: max(1, o.said.Claim), FailedStop: o.stuck()}
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

func (p *peer) reachable() bool { return p.area || p.as || len(p.links) > 0 }

func (p *peer) reaches(s Scope) bool {
	switch s.Kind {
	case ScopeLink:
		return p.links[s.Link]
	case ScopeArea:
		return p.area
	case ScopeAS:
		return p.as
	}
	return false
}

// peer finds or makes the record of a router.
func (n *Node) peer(r RouterID) *peer {
	if p := n.byRouter[r]; p != nil {
		return p
	}
	p := &peer{id: r, links: map[string]bool{}, lsas: map[LSARef]heard{}, newest: map[string]advert.Stamp{}, nodes: map[LSARef]*advert.Node{},
		of: map[*service]*offer{}, since: n.now}
	n.byRouter[r] = p
	i, _ := slices.BinarySearchFunc(n.peers, r, func(p *peer, r RouterID) int { return int(int64(p.id) - int64(r)) })
	n.peers = slices.Insert(n.peers, i, p)
	return p
}

// dropPeer forgets a router of which nothing is known any more.
func (n *Node) dropPeer(p *peer) {
	if p.reachable() || len(p.lsas) > 0 || len(p.offers) > 0 || p.lost {
		return
	}
	delete(n.byRouter, p.id)
	if i := slices.Index(n.peers, p); i >= 0 {
		n.peers = slices.Delete(n.peers, i, i+1)
	}
}

// hear takes one LSA of a peer.
func (n *Node) hear(e LSASeen) {
	p := n.peer(e.Router)
	p.heard = n.now
	key := badKey{e.Router, e.Ref}
	old, had := p.lsas[e.Ref]
	if e.Err != "" || (e.Ref.Slot() == DaemonID) != (e.Body.Node != nil) {
		why := e.Err
		if why == "" {
			why = "a daemon's announcement must have the service id 256, and nothing else may"
		}
		if b, known := n.bad[key]; !known || b.Why != why {
			n.badLSA(key, why)
		}
		if had {
			n.unhear(p, e.Ref, old)
		}
		return
	}
	delete(n.bad, key)
	stamp, subject := e.Body.Stamp(), ""
	if e.Body.Service != nil {
		subject = e.Body.Service.Name
	}
	if n.overtaken(p, key, stamp, subject) {
		return
	}
	delete(n.refusedNow, key)
	if e.Body.Node != nil {
		p.lsas[e.Ref] = heard{stamp: stamp, node: e.Body.Node}
		p.nodes[e.Ref] = e.Body.Node
		n.hearNode(p)
		return
	}
	if had && old.offer.s.name != e.Body.Service.Name {
		n.unhear(p, e.Ref, old)
		had = false
	}
	n.hearService(p, e.Ref, e.Body.Service, had)
}

// newestNode is the newest daemon announcement a peer has in the database.
func (p *peer) newestNode() *advert.Node {
	var best *advert.Node
	for _, a := range p.nodes {
		if best == nil || a.Stamp.Newer(best.Stamp) {
			best = a
		}
	}
	return best
}

func (n *Node) hearNode(p *peer) {
	was := p.node
	p.node = p.newestNode()
	if p.node != nil {
		p.last = *p.node
	}
	if (was == nil) != (p.node == nil) {
		p.since = n.now
		if p.node == nil && p.reachable() && was.State != advert.Leaving {
			n.note(LevelWarning, "", fmt.Sprintf("srrd on %s (%s) is gone, the router is still reachable", p.name(), p.id))
		}
	}
	if was != nil && p.node != nil && was.State == p.node.State && was.Incarnation == p.node.Incarnation && was.Host == p.node.Host {
		n.heedNode(p) // nothing that its offers are judged by has changed
		return
	}
	for _, o := range p.offers {
		o.s.peers = nil
		n.touch(o.s)
	}
	n.recount(p)
}

func (p *peer) name() string {
	if p.last.Host != "" {
		return p.last.Host
	}
	return p.id.String()
}

func (n *Node) hearService(p *peer, ref LSARef, said *advert.Service, again bool) {
	s := n.service(said.Name)
	o := p.of[s]
	if o == nil {
		o = &offer{peer: p, s: s, since: n.now}
		p.of[s] = o
		i, _ := slices.BinarySearchFunc(p.offers, s.name, byService)
		p.offers = slices.Insert(p.offers, i, o)
		j, _ := slices.BinarySearchFunc(s.offers, p.id, byRouterID)
		s.offers = slices.Insert(s.offers, j, o)
	}
	if !again {
		o.live++
	}
	p.lsas[ref] = heard{stamp: said.Stamp, offer: o}
	o.heard = n.now
	// Claims, pins and holds count from anyone, so that a number is never
	// given twice; whether a pin or hold applies is another question.
	n.sawClaim(s, said.Claim)
	n.sawClaim(s, said.Seen)
	switch {
	case said.Stamp.Newer(o.said.Stamp):
		if !said.Flags.Has(advert.FlagMayStillRun) || inTheWay(said.State, said.Step) && said.Claim != o.said.Claim {
			o.confirmed = false
		}
		if o.said.State != said.State {
			o.since = n.now
		}
		o.said, o.scope = *said, ref.Scope
	case said.Stamp == o.said.Stamp && said.LastCheck.After(o.said.LastCheck):
		o.said.LastCheck = said.LastCheck
	default:
		n.count(o)
		return // an old one, come late
	}
	n.recountOffer(o)
	n.heed(o)
	n.touch(s)
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

// leave takes one LSA of a peer away.
func (n *Node) lsaGone(e LSAGone) {
	delete(n.bad, badKey{e.Router, e.Ref})
	delete(n.refusedNow, badKey{e.Router, e.Ref})
	p := n.byRouter[e.Router]
	if p == nil {
		return
	}
	h, ok := p.lsas[e.Ref]
	if !ok {
		return
	}
	n.unhear(p, e.Ref, h)
	n.dropPeer(p)
}

func (n *Node) unhear(p *peer, ref LSARef, h heard) {
	delete(p.lsas, ref)
	if h.node != nil {
		delete(p.nodes, ref)
		n.hearNode(p)
		return
	}
	o := h.offer
	o.live--
	n.touch(o.s)
	n.recountOffer(o)
	n.prune(o)
}

// recount looks again at which offers of a peer count, and at what it says for
// everybody.
func (n *Node) recount(p *peer) {
	n.heedNode(p)
	for i := 0; i < len(p.offers); {
		o := p.offers[i]
		n.recountOffer(o)
		if n.prune(o); i < len(p.offers) && p.offers[i] == o {
			i++
		}
	}
}

// heedNode takes over what a peer's announcement says for everybody.
func (n *Node) heedNode(p *peer) {
	if p.node != nil && p.reachable() && !p.rejoins && p.node.Freeze.Newer(n.freeze) {
		n.setFreeze(p.node.Freeze)
		n.note(LevelInfo, "", fmt.Sprintf("%s said by %s", frozenWord(n.freeze.On), p.name()))
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
	if was && !o.near && (o.feared() || o.doubted(why)) && (why != BecauseLeaving || o.s.strict()) { // it left, but its last word was not stopped
		n.lose(o, why)
		o.dreaded = o.fear()
	}
	n.dread(o)
	flipped := counts != o.counts
	o.counts = counts
	n.count(o)
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

// dread has a holder waited for that this node knows from the database only: an
// LSA says that it runs a strict service, or may, and its router is not
// reachable, nor was it since that was said. A node that boots just after the
// holder was cut off learns of it that way, from a neighbour. What the LSA says
// is feared once: it may be of a node that died long ago, and stays an hour.
func (n *Node) dread(o *offer) {
	if o.near || !n.ospf.latched || o.dreaded == o.fear() || !o.s.strict() || o.whyNot() != BecauseUnreachable ||
		!o.feared() && !o.doubted(BecauseUnreachable) {
		return
	}
	o.dreaded = o.fear()
	if !o.s.fences() && !o.stuck() && slices.ContainsFunc(o.s.busy, func(b *offer) bool { return b.mayRun() && b.said.Claim > o.said.Claim }) {
		return // who runs it now has waited for it
	}
	n.lose(o, BecauseUnreachable)
	n.touch(o.s)
}

// fear is the claim of what is feared of an offer; 1 where it has none.
func (o *offer) fear() advert.Claim { return max(1, o.said.Claim) }

// lose notes that one who runs the service, or may, is no longer heard.
func (n *Node) lose(o *offer, why ReasonCode) {
	s := o.s
	l := &lost{router: o.peer.id, claim: o.said.Claim, addrs: o.said.Addresses, since: n.now, host: n.hostOf(o.peer.id),
		silent: why == BecauseSrrdGone || why == BecauseOldLife || why == BecauseLeaving, failedStop: o.stuck(), doubted: !o.feared()}
	if old := s.lostOf(l.router); old != nil && s.fences() {
		l.since = old.since // it was never heard in between: see fenceAt
	}
	switch {
	case s.strict():
		if !l.failedStop && !s.fences() {
			l.until = n.now.Add(n.lostHold(s))
		}
		n.save()
	case l.silent:
		// Its zebra withdraws the route; until that is seen a client would
		// still be led there.
		l.until = n.now.Add(n.cfg.AnnounceTimeout)
	default:
		return // unreachable: a plain network service starts elsewhere at once
	}
	s.addLost(l)
	n.losses[l.router] = true
	if !l.until.IsZero() {
		n.setTimer(TimerKey{Kind: TimerLost, Service: s.name, Router: l.router}, l.until)
	}
}

// lostHold is how long a strict service's lost holder is waited for.
func (n *Node) lostHold(s *service) time.Duration {
	if s.cfg == nil { // it may be configured here before that is over
		return n.deadInterval() + defaultStopTimeout
	}
	if s.cfg.LostHold > 0 {
		return s.cfg.LostHold
	}
	return LostHold(cmp.Or(n.cfg.LossDetection, n.deadInterval()), s.cfg)
}

// LostHold is the default of lost_hold: as long as the holder may take to
// notice that it is cut off, and then to stop.
func LostHold(detection time.Duration, s *Service) time.Duration {
	return detection + max(s.StopChain, s.Timeout[PrimStop])
}

// defaultDeadInterval is OSPF's own (RFC 2328 appendix C.3, 4 x hello of 10 s).
const defaultDeadInterval = 40 * time.Second

// defaultStopTimeout is that of the configuration (DESIGN section 5).
const defaultStopTimeout = 10 * time.Second

func (n *Node) deadInterval() time.Duration {
	if n.ospf.dead > 0 {
		return n.ospf.dead
	}
	return defaultDeadInterval
}

// settleLost drops those plain lost holders that lead nobody astray any more.
func (n *Node) settleLost(s *service) {
	if s.cfg == nil || s.strict() {
		return
	}
	s.lost = slices.DeleteFunc(s.lost, func(l *lost) bool {
		p := n.byRouter[l.router]
		if p != nil && p.reachable() && slices.ContainsFunc(l.addrs, func(a netip.Addr) bool { return n.announces(l.router, a) }) {
			return false
		}
		n.cancelTimer(TimerKey{Kind: TimerLost, Service: s.name, Router: l.router})
		n.touchGroup(s)
		return true
	})
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

// reach takes a change of reachability.
func (n *Node) reach(p *peer, change func()) {
	was, area, as, links := p.reachable(), p.area, p.as, len(p.links)
	change()
	now := p.reachable()
	if area == p.area && as == p.as && links == len(p.links) {
		n.dropPeer(p)
		return
	}
	switch {
	case was && !now:
		p.lost, p.rejoins, p.parted = true, false, true
		p.since = n.now
		n.cancelTimer(TimerKey{Kind: TimerRejoin, Router: p.id})
		if p.node != nil {
			n.note(LevelWarning, "", fmt.Sprintf("node %s (%s) is unreachable", p.name(), p.id))
		}
	case !was && now:
		p.since = n.now
		if p.lost {
			p.rejoins = true
			n.setTimer(TimerKey{Kind: TimerRejoin, Router: p.id}, n.now.Add(n.cfg.RejoinHold))
		}
	}
	if was && !now && p.node == nil && len(p.lsas) == 0 && len(p.offers) == 0 {
		p.lost = false
	}
	n.recount(p)
	for _, o := range p.offers {
		n.touch(o.s)
	}
	n.touchLost(p.id)
	n.dropPeer(p)
}

// touchLost touches the services that wait for a lost holder.
func (n *Node) touchLost(r RouterID) {
	if !n.losses[r] {
		return
	}
	found := false
	for _, s := range n.services {
		if len(s.lost) > 0 && s.lostOf(r) != nil {
			n.touch(s)
			found = true
		}
	}
	if !found {
		delete(n.losses, r)
	}
}

// status is a peer's standing, in words.
func (p *peer) status() string {
	switch {
	case p.node == nil && p.last.State == advert.Leaving:
		return "left"
	case !p.reachable():
		return "unreachable"
	case p.node == nil:
		return "srrd gone"
	case p.rejoins:
		return "rejoining"
	}
	return "present"
}

type badKey struct {
	router RouterID
	ref    LSARef
}

// maxBad bounds what is kept of LSAs nobody can read.
const maxBad = 256

func (n *Node) badLSA(k badKey, why string) {
	if len(n.bad) >= maxBad {
		if _, known := n.bad[k]; !known {
			return
		}
	}
	n.bad[k] = BadLSAView{Router: k.router, LSA: k.ref.String(), Why: why, Since: n.now}
	n.note(LevelWarning, "", fmt.Sprintf("LSA %s of %s ignored: %s", k.ref, k.router, why))
}
