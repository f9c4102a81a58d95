package machine

import (
	"fmt"
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
		n.admitLate(p, e.Body.Service)
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
	if l := s.lostOf(p.id); l != nil && l.hearsay && o.said.Stamp == (advert.Stamp{}) {
		o.rumour, o.rumoured = l.claim, l.since
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
	n.sawClaim(s, said.Floor)
	// Of who is not reached, and never was, an LSA may be very old.
	told := said.Seen != o.said.Seen && (o.near || o.said.Stamp != advert.Stamp{})
	switch {
	case said.Stamp.Newer(o.said.Stamp):
		if !said.Flags.Has(advert.FlagMayStillRun) || inTheWay(said.State, said.Step) && said.Claim != o.said.Claim {
			o.confirmed = false
		}
		if o.said.State != said.State {
			o.since = n.now
		}
		o.said, o.scope = *said, ref.Scope
		n.admit(o, said)
	case said.Stamp == o.said.Stamp && said.LastCheck.After(o.said.LastCheck):
		o.said.LastCheck = said.LastCheck
	default:
		n.count(o)
		n.admitLate(p, said)
		return // an old one, come late
	}
	n.recountOffer(o)
	n.heed(o)
	n.touch(s)
	if told {
		n.hearSay(o)
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
