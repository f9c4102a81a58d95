package machine

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// lost is somebody who ran the service when last heard, or may have started it since.
type lost struct {
	router     RouterID
	claim      advert.Claim
	addrs      []netip.Addr
	silent     bool // its srrd is gone, its router reachable
	doubted    bool // it did not run when last heard: see offer.doubted
	hearsay    bool // its claim is known by another's acknowledgement only: see hearSay
	failedStop bool
	since      time.Time
	until      time.Time // then it stands in nobody's way; zero: only a person or fencing ends it
	host       string
}

// was says what the lost holder had to do with the service, as far as known.
func (l *lost) was(service string) string {
	switch {
	case l.hearsay:
		return "claimed " + service + " by the word of others only and may have started it"
	case l.doubted:
		return "may have started " + service + " since it was last heard"
	}
	return "ran " + service + " when last heard"
}

func (s *service) lostOf(r RouterID) *lost {
	for _, l := range s.lost {
		if l.router == r {
			return l
		}
	}
	return nil
}

func (s *service) addLost(l *lost) {
	s.lost = slices.DeleteFunc(s.lost, func(o *lost) bool { return o.router == l.router })
	i, _ := slices.BinarySearchFunc(s.lost, l.router, func(o *lost, r RouterID) int { return int(int64(o.router) - int64(r)) })
	s.lost = slices.Insert(s.lost, i, l)
}

func (s *service) dropLost(r RouterID) bool {
	before := len(s.lost)
	s.lost = slices.DeleteFunc(s.lost, func(o *lost) bool { return o.router == r })
	return len(s.lost) != before
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
	if !o.s.fences() && !o.stuck() && slices.ContainsFunc(o.s.busy, func(b *offer) bool { return b.mayRun() && b.said.Claim > o.fear() }) {
		return // who runs it now has waited for it
	}
	n.lose(o, BecauseUnreachable)
	n.touch(o.s)
}

// fear is the claim of what is feared of an offer; 1 where it has none.
func (o *offer) fear() advert.Claim { return max(1, o.said.Claim, o.rumour) }

// lose notes that one who runs the service, or may, is no longer heard.
func (n *Node) lose(o *offer, why ReasonCode) {
	n.await(o.s, &lost{router: o.peer.id, claim: max(o.said.Claim, o.rumour), addrs: o.said.Addresses, since: n.now, host: n.hostOf(o.peer.id),
		silent:     why == BecauseSrrdGone || why == BecauseOldLife || why == BecauseLeaving,
		failedStop: o.stuck(), doubted: !o.feared(), hearsay: o.byHearsay()})
}

// await has somebody waited for who is lost.
func (n *Node) await(s *service, l *lost) {
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
