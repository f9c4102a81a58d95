package machine

import (
	"fmt"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// The session with ospfd: how it begins and ends, when the node is in sync, and
// what it holds back for until then.

func (n *Node) ospfUp(e OSPFUp) {
	if n.ospf.up {
		n.ospfDown("a new session replaces the old one")
	}
	n.router = e.Router
	n.ospf = ospfState{up: true, since: n.now, dead: e.DeadInterval}
	n.duplicate = false
	n.exceeded = nil
	n.ghosts = map[LSARef]int{}
	n.newLife(uint64(max(0, n.now.Unix())))
	n.stayAwake() // lost_hold may follow from the dead interval
	alone := n.cfg.AloneAfter
	if alone == 0 {
		alone = max(time.Minute, 2*n.deadInterval())
	}
	n.ospf.aloneAt = n.now.Add(alone)
	n.setTimer(TimerKey{Kind: TimerAlone}, n.ospf.aloneAt)
	n.note(LevelInfo, "", fmt.Sprintf("session with ospfd, router id %s, incarnation %d", n.router, n.inc))
	n.touchAll()
}

// newLife begins an incarnation above all that is known of.
func (n *Node) newLife(atLeast uint64) {
	n.inc = max(n.inc+1, n.minInc+1, atLeast)
	n.minInc = n.inc
	n.gen = 0
	n.save()
}

func (n *Node) ospfDown(why string) {
	if !n.ospf.up {
		if n.ospf.why != why {
			n.ospf.why, n.ospf.since = why, n.now
			n.note(LevelWarning, "", "no session with ospfd: "+why)
		}
		n.touchAll()
		return
	}
	n.ospf = ospfState{why: why, since: n.now}
	n.note(LevelError, "", "the session with ospfd is lost: "+why)
	n.cancelTimer(TimerKey{Kind: TimerAlone})
	n.cancelTimer(TimerKey{Kind: TimerRejoin, Router: n.router})
	n.cancelTimer(TimerKey{Kind: TimerHolding})
	n.cancelTimer(TimerKey{Kind: TimerFlush})
	n.holdingSet = false
	n.own = map[LSARef]*ownLSA{}
	clear(n.current)
	n.flushes = nil
	clear(n.flushAt)
	n.daemon = nil
	clear(n.routes)
	clear(n.bad)
	clear(n.refusedNow)
	for _, p := range slices.Clone(n.peers) {
		// Nothing can be said of the others now: it is we who do not hear. Who
		// ran a strict service is remembered until it speaks again.
		for _, o := range p.offers {
			// Also where the service is not configured here: it may be by then.
			if o.counts && (o.feared() || o.s.fenceOnly()) && (o.said.Flags.Has(advert.FlagStrict) || o.s.strict()) {
				n.losses[p.id] = true
				o.s.addLost(&lost{router: p.id, claim: max(o.said.Claim, o.rumour), since: n.now, host: p.name(),
					failedStop: o.stuck(), doubted: !o.feared(), hearsay: o.byHearsay()}) // until is set when we are in sync again
			}
		}
	}
	for _, p := range slices.Clone(n.peers) {
		for _, o := range p.offers {
			o.counts = false
			n.count(o)
			n.indexOffer(o)
			o.s.offers = nil
		}
		n.cancelTimer(TimerKey{Kind: TimerRejoin, Router: p.id})
	}
	n.peers, n.byRouter = nil, map[RouterID]*peer{}
	for _, s := range n.services {
		s.topic = nil
		s.lostOSPF()
		n.cancelTimer(s.timer(TimerEcho))
		n.index(s)
	}
	n.touchAll()
}

// lostOSPF takes a service out of the flooded states.
func (s *service) lostOSPF() {
	s.activated = false
	s.passed = nil
	s.pinSeen = false // the target is to be seen again first
	switch s.config {
	case Injected, Active, Deactivated:
		s.config = Inactive
	case Disabled, Inactive, ConfigFailed:
	}
}

func (n *Node) adjacency(e Adjacency) {
	was := n.ospf.full
	n.ospf.full, n.ospf.between = e.Full, e.Between
	if e.Full > was {
		n.ospf.joined = n.now
	}
	if e.Full > 0 {
		n.ospf.everFull = true
		n.ospf.alone = false
	}
	n.latch()
	if n.ospf.latched && e.Full > 0 && (was == 0 || n.ospf.returning && e.Full > was) {
		// Among others, for the first time or again: who they are is known a
		// little later than that there is a neighbour, and of those behind the
		// next one with that. On a LAN that boots the first is often a node that
		// knows as little.
		n.returns()
	}
	if (was == 0) != (e.Full == 0) {
		n.touchAll()
	}
}

// returns has the node take no strict service for rejoin_hold, nor before
// startup_hold is over.
func (n *Node) returns() {
	if !n.ospf.returning {
		n.ospf.returning, n.ospf.returned = true, n.now
	}
	until := n.now.Add(n.cfg.RejoinHold)
	if until.Before(n.holdUntil) {
		until = n.holdUntil
	}
	n.setTimer(TimerKey{Kind: TimerRejoin, Router: n.router}, until)
}

// returned ends that, unless a neighbour is on its way: it brings news as the
// one before it did. One that never comes is waited for as long as at the
// beginning of a session.
func (n *Node) returned() {
	if n.ospf.between > 0 && n.now.Sub(n.ospf.returned) < n.ospf.aloneAt.Sub(n.ospf.since) {
		n.returns()
		return
	}
	n.ospf.returning = false
	n.touchAll()
}

// latch notes that the database is in sync; it stays so for the session.
func (n *Node) latch() {
	o := &n.ospf
	if o.latched || !o.up || !o.synced || !(o.alone || o.full > 0 && o.between == 0) {
		return
	}
	o.latched = true
	n.cancelTimer(TimerKey{Kind: TimerAlone})
	n.holdUntil = n.now.Add(n.cfg.StartupHold)
	n.holdingSet = true
	n.setTimer(TimerKey{Kind: TimerHolding}, n.holdUntil)
	for _, s := range n.services {
		n.armFailback(s)
	}
	how := fmt.Sprintf("neighbours Full: %d", o.full)
	if o.alone {
		how = "there is no neighbour, this node is alone"
	}
	n.note(LevelInfo, "", "in sync: "+how)
	for _, s := range n.services {
		n.armLost(s)
	}
	for _, p := range n.peers {
		if !p.reachable() {
			for _, o := range p.offers {
				n.dread(o)
			}
		}
	}
	for _, s := range n.services {
		for _, o := range s.offers {
			if o.near {
				n.hearSay(o)
			}
		}
	}
	n.daemonDue = true
	n.touchAll()
}

// armFailback has a service looked at again when its failback_delay is over.
func (n *Node) armFailback(s *service) {
	if n.holdingSet && s.cfg != nil && s.cfg.FailbackWait > 0 {
		if at := n.holdUntil.Add(s.cfg.FailbackWait); n.now.Before(at) {
			n.setTimer(s.timer(TimerHolding), at)
		}
	}
}

// armLost has the wait for holders remembered from an earlier life end, as
// soon as it can be known that they do not speak.
func (n *Node) armLost(s *service) {
	if !n.ospf.latched || s.cfg == nil {
		return
	}
	for _, l := range s.lost {
		if s.fences() {
			l.since = n.now // it can speak from now on, before it is fenced
		} else if l.until.IsZero() && !l.failedStop {
			l.since, l.until = n.now, n.now.Add(n.lostHold(s))
			n.setTimer(TimerKey{Kind: TimerLost, Service: s.name, Router: l.router}, l.until)
		}
	}
}
