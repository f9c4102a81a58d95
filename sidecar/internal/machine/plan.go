package machine

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// plan brings a service nearer to its verdict, row by row of the life cycle,
// until no row matches.
func (n *Node) plan(s *service) {
	n.settleLost(s)
	n.settlePin(s)
	if s.cfg == nil {
		s.verdict = n.decide(s)
		return
	}
	if s.phase == phaseStarted && !s.unseen.IsZero() && n.seen(s) {
		s.unseen = time.Time{}
		n.cancelTimer(s.timer(TimerAnnounce))
	}
	if s.unannounced && (s.phase != phaseStarted || n.addressesAre(s, true)) {
		s.unannounced = false
		if s.phase == phaseStarted {
			n.do(Announce{Service: s.name, Addresses: s.cfg.Addresses, On: true})
		}
	}
	for range 32 {
		s.verdict = n.decide(s)
		r, ok := n.match(s)
		if !ok {
			break
		}
		n.take(s, r)
		if s.cfg == nil {
			return
		}
	}
	if s.heldBack {
		n.announceNow(s)
	}
	n.awaitOffers(s)
	n.awaitClaim(s)
	n.fence(s)
	n.runOps(s)
}

// match finds the row that applies.
func (n *Node) match(s *service) (row, bool) {
	for _, r := range rowsOf[s.phase] {
		if n.holds(s, r.On) {
			return r, true
		}
	}
	return row{}, false
}

// take follows a row.
func (n *Node) take(s *service, r row) {
	was := s.phase
	to := r.To
	if to == phaseFailing {
		to = phaseFailedDependents
		if s.strict() {
			to = phaseDependents
		}
	}
	s.phase = to
	if was.state() != to.state() {
		s.since = n.now
	}
	if r.Do != nil {
		r.Do(n, s)
	}
	if r.To == phaseFailing {
		n.fail(s)
	}
	if s.phase != was {
		n.touchGroup(s)
	}
	switch r.On {
	case onDone, onDoneAdoptable, onFailed, onTimeout, onUnknown:
		if s.run == nil { // else Do began the next one
			s.result = nil
		}
	}
}

// holds answers a stimulus's question.
func (n *Node) holds(s *service, on stimulus) bool {
	outcome := func(o ...Outcome) bool {
		if s.result == nil || !slices.Contains(o, s.result.Outcome) {
			return false
		}
		// What an earlier life left of a group is judged as a whole, then
		// stopped in order.
		return s.phase != phaseFound || n.allAsked(s) && (on == onDoneAdoptable || len(n.dependents(s)) == 0)
	}
	switch on {
	case onUnwanted:
		return n.leaving || !s.enabled() && !s.warns()
	case onEnabled:
		return !n.leaving && (s.enabled() || s.warns())
	case onReplaced:
		return (s.removed || s.next != nil) && !s.warns()
	case onFound:
		if s.phase == phaseDisabled {
			return s.found != nil && (!s.enabled() || n.leaving) && len(n.dependents(s)) == 0
		}
		return s.found != nil && n.ospf.latched
	case onFoundLate:
		return s.found != nil && n.foundTooLong(s) && len(n.dependents(s)) == 0
	case onReady, onReadyAgain:
		if on == onReadyAgain && s.phase == phaseStarted {
			return s.config == Inactive && n.ospf.latched
		}
		if !n.ospf.latched || n.duplicate || n.timerSet(s.timer(TimerRetry)) {
			return false
		}
		if s.warns() { // what has to be said must not hang on activate
			return on == onReadyAgain
		}
		return n.state == advert.Online && s.activated == (on == onReadyAgain)
	case onLost:
		return s.config == Inactive
	case onEcho, onEchoStuck:
		return s.topic != nil && s.topic.echoed && s.mayRun == (on == onEchoStuck)
	case onNoEcho:
		return s.refusals >= maxRefusals
	case onRefused:
		return n.timerSet(s.timer(TimerRetry))
	case onRun:
		return s.verdict.Want == WantRun
	case onNotRun:
		return s.verdict.Want != WantRun && s.verdict.Want != WantStay
	case onClear:
		return n.clear(s)
	case onOutdone:
		return n.mustClaimAnew(s)
	case onDone:
		return outcome(OutcomeDone)
	case onDoneAdoptable:
		return outcome(OutcomeDone) && n.adoptable(s)
	case onFailed:
		return outcome(OutcomeFailed)
	case onTimeout:
		return outcome(OutcomeTimeout, OutcomeRecall)
	case onUnknown:
		return outcome(OutcomeUnknown, OutcomeCancelled)
	case onAddressesOn:
		return n.addressesAre(s, true)
	case onAddressError:
		return s.addressError() != ""
	case onSeen:
		return n.seen(s)
	case onUnseen:
		return s.config == Active && n.ospf.up && !n.seen(s) && !n.timerSet(s.timer(TimerAnnounce))
	case onLate:
		if s.phase == phaseLinger {
			return !n.timerSet(s.timer(TimerLinger))
		}
		if s.phase == phaseStarted && (s.verdict.Want == WantStay || s.config != Active || n.seen(s) || s.unseen.IsZero()) {
			return false
		}
		return !n.timerSet(s.timer(TimerAnnounce))
	case onOff, onOffFailed:
		failed := on == onOffFailed
		return n.gone(s) && (s.phase == phaseFailedOff || failed == (s.causeFail.Code != advert.FailNone))
	case onOffLate:
		return !n.timerSet(s.timer(TimerAnnounce))
	case onBroken:
		return s.trouble.Code != advert.FailNone && s.verdict.Want != WantStay
	case onRecoverable:
		return s.trouble.Code != advert.FailNone && s.verdict.Want != WantStay && n.mayRecover(s)
	case onDependencies:
		return len(n.awaitedDependencies(s)) == 0 && n.clear(s)
	case onFree:
		return len(n.dependents(s)) == 0
	case onRunAgain:
		return s.verdict.Want == WantRun && s.causeFail.Code == advert.FailNone
	case onSuccessor:
		return n.successorSeen(s)
	case onRetry:
		return !n.timerSet(s.timer(TimerRetryAfter)) && n.frozen(s).Code == BecauseNone
	case onReactivate:
		return s.reactivated
	}
	return false
}

// maxRefusals is how often an LSA is given to ospfd without an echo or with a
// refusal before the service's configuration has failed.
const maxRefusals = 3

// clear reports whether a claimed start may begin, and has the wait for plain
// rivals end some time.
func (n *Node) clear(s *service) bool {
	clear, forAWhile := n.mayBegin(s)
	if forAWhile && !n.timerSet(s.timer(TimerWait)) {
		n.setTimer(s.timer(TimerWait), n.now.Add(s.cfg.Timeout[PrimStop]+n.cfg.ClaimTimeout))
	}
	return clear
}

func (n *Node) addressesAre(s *service, on bool) bool {
	for _, a := range s.cfg.Addresses {
		if s.addrs[a].Present != on {
			return false
		}
	}
	return true
}

func (s *service) addressError() string {
	for _, a := range s.cfg.Addresses {
		if e := s.addrs[a].Err; e != "" {
			return e
		}
	}
	return ""
}

// seen reports whether every own /32 is in the database, and its address on the
// node: packets are led here for nothing where somebody has deleted it and the
// port cannot put it back. A resource has none.
func (n *Node) seen(s *service) bool {
	return n.addressesAre(s, true) && !slices.ContainsFunc(s.cfg.Addresses, func(a netip.Addr) bool { return !n.announces(n.router, a) })
}

// gone reports whether kernel and zebra have let the addresses and routes go,
// but those that another service of the group has.
func (n *Node) gone(s *service) bool {
	for _, a := range s.cfg.Addresses {
		if n.sharedWith(s, a, func(o *service) bool { return o.phase.begun() }) {
			continue
		}
		if s.addrs[a].Present {
			return false
		}
		if r, ok := s.route[a]; ok && r.State != RouteRemoved {
			return false
		}
	}
	return true
}

func (n *Node) successorSeen(s *service) bool {
	if !s.cfg.Overlap || s.yieldDue || n.timerSet(s.timer(TimerYield)) {
		return false
	}
	u := n.unit(s)
	by, ok := n.betterClaimant(u, n.self(u))
	return ok && n.announcedBy(u, by)
}

// awaitOthers arms the wait for news of the others before what an earlier life
// left running is stopped. When that life ended, and how long the node has been cut
// off, nobody knows; a strict service therefore gets no longer than a neighbour
// takes to be found Full that was so before.
func (n *Node) awaitOthers(s *service) {
	wait := cmp.Or(n.cfg.LossDetection, n.deadInterval())
	if s.strict() {
		wait = min(wait, n.cfg.RejoinHold)
	}
	n.setTimer(s.timer(TimerWait), n.now.Add(wait))
}

// awaitDatabase goes on waiting where a neighbour is Full and only the database is
// not in sync yet: as long as a holder may take to notice that it is cut off, for
// lost_hold counts on that.
func (n *Node) awaitDatabase(s *service) {
	if more := cmp.Or(n.cfg.LossDetection, n.deadInterval()) - n.cfg.RejoinHold; s.strict() && n.ospf.full > 0 && more > 0 {
		n.setTimer(s.timer(TimerWait), n.now.Add(more))
	}
}

// foundTooLong reports whether what an earlier life left running must be
// stopped although nothing is known of the others: a strict service after these
// waits, or when the last neighbour is lost meanwhile, as if it ran; a plain one only
// where ospfd is not to be had.
func (n *Node) foundTooLong(s *service) bool {
	switch waits := n.timerSet(s.timer(TimerWait)); {
	case n.ospf.latched:
		return false
	case s.strict():
		return !waits || s.waited && n.ospf.full == 0
	default:
		return !waits && !n.ospf.up && s.cfg.OnOSPFLoss == LossStop
	}
}

// awaitOffers has the service looked at again when its offer is fresh no longer.
func (n *Node) awaitOffers(s *service) {
	if s.verdict.Why.Code != BecauseFresh {
		return
	}
	at, k := n.unit(s).freshUntil(), s.timer(TimerHolding)
	if due, set := n.due[k]; !set || due.After(at) {
		n.setTimer(k, at)
	}
}

// awaitClaim arms or ends the wait for the better candidate's claim.
func (n *Node) awaitClaim(s *service) {
	v, k := s.verdict, s.timer(TimerClaim)
	switch {
	case v.Want != WantStand || v.Awaited == 0:
		n.cancelTimer(k)
		s.awaited = awaited{}
	case s.awaited != (awaited{v.Awaited, v.AwaitedStamp}):
		s.awaited = awaited{v.Awaited, v.AwaitedStamp}
		n.setTimer(k, n.now.Add(n.cfg.ClaimTimeout))
	}
}

type awaited struct {
	router RouterID
	stamp  advert.Stamp
}

// settlePin ends a pin whose target has stopped being a candidate.
func (n *Node) settlePin(s *service) {
	p := s.pin
	if p.Number == 0 || p.Void || !n.ospf.latched {
		return
	}
	u := n.unit(s)
	if slices.ContainsFunc(u.members, func(m *service) bool { return m.hold.On && u.critical(m) }) {
		return // stopped everywhere is no fault of the target
	}
	can := false
	if p.Target == n.router {
		can = s.cfg != nil && n.unfitUnit(u).Code == BecauseNone && (n.self(u).claims() || !n.holding(u))
	} else {
		r := u.rival(n.byRouter[p.Target])
		can = len(r.offers) > 0 && u.able(r)
	}
	switch {
	case can:
		s.pinSeen = true
	case s.pinSeen:
		n.voidPin(s, "the target is no candidate any more")
	}
}

// runPrimitive begins a run. What ran is cancelled: a transition does not
// wait for a check.
func (n *Node) runPrimitive(s *service, p Primitive, o *op) {
	n.cancelRun(s)
	n.runNo++
	s.run = &run{id: n.runNo, prim: p, since: n.now, op: o}
	s.result = nil
	timeout := s.cfg.Timeout[p]
	if o == nil {
		if s.recalling {
			timeout -= n.now.Sub(s.began)
		} else {
			s.began = n.now
		}
		s.recalling = false
		n.cancelTimer(s.timer(TimerRecall))
	}
	env := PrimitiveEnv{Group: s.cfg.Group, Node: n.cfg.Host, Addresses: s.cfg.Addresses, Claim: s.claim}
	env.Peers = n.peersOf(s)
	if o != nil {
		env.Peer = o.peer
	}
	if p == PrimFailed {
		env.Failure = s.failure.String()
	}
	n.do(RunPrimitive{Service: s.name, Primitive: p, Run: n.runNo, Timeout: timeout, Env: env})
}

// peersOf are the hosts of those whose offers count. The slice is never written
// to again.
func (n *Node) peersOf(s *service) []string {
	if s.peers == nil && s.counting > 0 {
		s.peers = make([]string, 0, s.counting)
		for _, o := range s.offers {
			if o.counts {
				s.peers = append(s.peers, n.hostOf(o.peer.id))
			}
		}
	}
	return s.peers
}

// cancelRun ends what runs now. A join or leave is run again in its turn: the
// service must hear of every coming and going.
func (n *Node) cancelRun(s *service) {
	if s.run == nil {
		return
	}
	n.do(CancelPrimitive{Service: s.name, Run: s.run.id})
	if o := s.run.op; o != nil {
		n.answerRun(s.run.id, "", fmt.Sprintf("cancelled: %s is %s", s.name, s.phase.state()))
		if o.prim == PrimJoin || o.prim == PrimLeave {
			s.ops = slices.Insert(s.ops, 0, *o)
		}
	}
	s.run = nil
}

// recall has a primitive of the life cycle asked again, if its time allows.
func (n *Node) recall(s *service, e PrimitiveDone) bool {
	if n.now.Add(e.Recall).Sub(s.began) >= s.cfg.Timeout[s.lastRun.Primitive] {
		return false
	}
	s.recalling = true
	n.setTimer(s.timer(TimerRecall), n.now.Add(e.Recall))
	return true
}
