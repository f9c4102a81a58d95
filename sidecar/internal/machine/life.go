package machine

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// The actions of the rows, in the order of the table.

func (n *Node) stopFound(s *service) {
	if s.mayRun = s.found != nil && s.found.MayStillRun; s.found != nil {
		s.used = s.found.Claim
	}
	s.cause = "an earlier life of srrd left it running"
	n.note(LevelInfo, s.name, "stops it: "+s.cause)
	s.ranStart = true
	n.runPrimitive(s, PrimStop, nil)
}

func (n *Node) setInactive(s *service) {
	s.config = Inactive
	s.reactivated = false
	s.refusals = 0
	s.failure = advert.Failure{} // of the configuration; it is tried anew
}

// waitForOSPF: ospfd does not take the LSA now; it is given again when the
// retry timer is over. How often it was refused is not forgotten.
func (n *Node) waitForOSPF(s *service) {
	s.config = Inactive
	s.topic = nil
	n.cancelTimer(s.timer(TimerEcho))
}

func (n *Node) setDisabled(s *service) {
	if r := s.result; r != nil && s.config == Deactivated && r.Outcome != OutcomeDone {
		n.note(LevelWarning, s.name, sentence("deactivate "+r.Outcome.String(), r.Text))
	}
	s.config = Disabled
	s.activated, s.reactivated = false, false
	s.failure = advert.Failure{}
	s.refusals = 0
	s.ops = slices.DeleteFunc(s.ops, func(o op) bool { return o.asked == 0 })
	n.withdrawTopic(s)
	n.daemonDue = n.daemonDue || n.ospf.latched && (s.next != nil || s.removed) // its scope may need it no longer
	switch {
	case s.next != nil:
		s.cfg, s.next = s.next, nil
		if !s.operator {
			s.disabled = !s.cfg.Enabled
		}
		s.addrs, s.route = nil, nil
		n.index(s)
		n.touch(s)
	case s.removed:
		for _, o := range s.ops {
			n.do(Answer{ID: o.asked, Err: s.name + " is no longer configured on this node"})
		}
		n.cancelRun(s)
		s.ops = nil
		s.cfg, s.removed = nil, false
		s.verdict, s.passed = Verdict{Why: Reason{Code: BecauseNotLocal}}, nil
		n.cancelTimer(s.timer(TimerClaim))
		n.cancelTimer(s.timer(TimerRetryAfter))
		n.cancelTimer(s.timer(TimerRecall))
		n.freeSlot(s.name)
		n.index(s)
		n.touch(s)
	}
	n.save()
}

func (n *Node) askFound(s *service) {
	n.cancelTimer(s.timer(TimerWait))
	n.note(LevelInfo, s.name, "an earlier life of srrd may have left it running: asking its status")
	n.runPrimitive(s, PrimStatus, nil)
}

func (n *Node) adopt(s *service) {
	s.claim, s.found, s.adopted = s.found.Claim, nil, true
	for _, m := range n.unit(s).members { // who of them was started under it is not remembered
		m.used = max(m.used, s.claim)
	}
	n.sawClaim(s, s.claim)
	s.config, s.activated, s.ranStart = Active, true, true
	n.note(LevelInfo, s.name, "found running and nobody has a better claim: adopted")
	if !s.cfg.Resource() {
		clear(s.addrs)
		s.unannounced = true // until the kernel shows the addresses
		n.do(SetAddresses{Service: s.name, Addresses: s.cfg.Addresses, On: true})
	}
	n.greetPeers(s)
	n.startedUp(s)
}

func (n *Node) activate(s *service) {
	n.runPrimitive(s, PrimActivate, nil)
}

func (n *Node) inject(s *service) {
	s.activated = true
	s.config = Injected
	if !n.ospf.latched { // ospfd was lost while activate ran
		s.config = Inactive
	}
}

func (n *Node) activateFailed(s *service) {
	s.config = ConfigFailed
	s.setFailure(advert.FailActivate, s.result)
	n.note(LevelError, s.name, "activate failed: "+s.failure.String())
	n.backOff(s)
}

func (n *Node) refusedForGood(s *service) {
	s.config = ConfigFailed
	s.failure = advert.Failure{Code: advert.FailRefused, Text: "ospfd does not show our LSA"}
	if s.refusal != "" {
		s.failure.Text = s.refusal
	}
	n.note(LevelError, s.name, "ospfd refused its LSA for good: "+s.failure.Text)
	n.withdrawTopic(s)
	n.backOff(s)
}

func (n *Node) deactivate(s *service) {
	s.config = Deactivated
	if !n.ospf.up {
		s.config = Inactive
	}
	n.runPrimitive(s, PrimDeactivate, nil)
}

func (n *Node) offered(s *service) {
	s.config = Active
	s.refusals, s.refusal = 0, ""
	s.failure = advert.Failure{}
	s.offeredAt = n.now
	n.greetPeers(s)
}

func (n *Node) offeredStuck(s *service) {
	why := s.failure // of the stop, where it was this life that tried
	if why.Code != advert.FailStop {
		why = advert.Failure{Code: advert.FailStop, Text: "an earlier stop failed"}
	}
	n.offered(s)
	s.failure = why
	n.failed(s)
}

// greetPeers queues the one join for each peer that is present.
func (n *Node) greetPeers(s *service) {
	for _, o := range s.offers {
		if o.counts {
			n.enqueue(s, op{prim: PrimJoin, peer: n.hostOf(o.peer.id)})
		}
	}
}

func (n *Node) makeClaim(s *service) {
	n.newClaim(s)
	s.claimedAt = n.now
	s.waited, s.yieldDue = false, false
	s.cause, s.causeFail, s.failure = "", advert.Failure{}, advert.Failure{}
	n.reserveClaims(s)
	n.note(LevelInfo, s.name, fmt.Sprintf("claims it (%s): %s", s.claim, s.verdict.Why))
}

// newClaim gives the service the claim of its unit: that of the members which
// have it here, or a new one above every counter seen. A member that starts
// again while its group runs needs a new one: no claim is started under twice.
func (n *Node) newClaim(s *service) {
	u := n.unit(s)
	counter := uint32(0)
	for _, m := range u.members {
		counter = max(counter, m.counter)
		if m != s && m.cfg != nil && has(m.phase.state()) > 0 && m.claim > s.used {
			s.claim = m.claim
			s.counter = max(s.counter, m.claim.Counter())
			return
		}
	}
	for _, m := range u.members {
		m.counter = counter + 1
		n.reserveClaims(m)
	}
	s.claim = advert.NewClaim(counter+1, n.router)
}

// claimAnew gives all of the unit that has not begun here a claim above every
// counter seen: what the acknowledgements told is among these (see outdone).
func (n *Node) claimAnew(s *service) {
	u := n.unit(s)
	by, counter := n.outdone(u, s.claim), uint32(0)
	for _, m := range u.members {
		counter = max(counter, m.counter)
	}
	claim := advert.NewClaim(counter+1, n.router)
	for _, m := range u.members {
		m.counter = counter + 1
		n.reserveClaims(m)
		if m.phase == phaseClaim || m.phase == phaseDependencies || m == s {
			m.claim = claim
			n.touch(m)
		}
	}
	n.note(LevelInfo, s.name, fmt.Sprintf("claims it anew (%s): %s has acknowledged a higher claim before", s.claim, n.hostOf(by.id)))
}

func (n *Node) dropClaim(s *service) {
	n.note(LevelInfo, s.name, "gives up its claim: "+s.verdict.Why.String())
	s.claim, s.stoodStill = 0, false
	n.cancelTimer(s.timer(TimerWait))
}

func (n *Node) begin(s *service) {
	n.cancelTimer(s.timer(TimerWait))
	s.ranStart, s.adopted = false, false
	if s.cfg.Resource() {
		return
	}
	for _, a := range s.cfg.Addresses { // what was reported before is not what is asked for now
		delete(s.addrs, a)
	}
	n.setTimer(s.timer(TimerAnnounce), n.now.Add(s.cfg.Timeout[PrimStart]))
	n.do(SetAddresses{Service: s.name, Addresses: s.cfg.Addresses, On: true})
}

func (n *Node) addressFailed(s *service) {
	s.failure = advert.Failure{Code: advert.FailAddress, Text: s.addressError()}
}

func (n *Node) addressLate(s *service) {
	s.failure = advert.Failure{Code: advert.FailAddress, Text: "the kernel does not show the address"}
}

func (n *Node) start(s *service) {
	s.ranStart, s.used = true, s.claim
	n.do(WriteMark{Mark: Mark{Service: s.name, Claim: s.claim, Config: s.cfg.shape()}})
	n.runPrimitive(s, PrimStart, nil)
}

func (n *Node) startFailed(s *service)  { s.setFailure(advert.FailStart, s.result) }
func (n *Node) startTimeout(s *service) { s.setFailure(timeoutCode(s), s.result) }

func timeoutCode(s *service) advert.FailureCode {
	if s.result.Outcome == OutcomeRecall {
		return advert.FailRecallLimit
	}
	return advert.FailStartTimeout
}

func (n *Node) announce(s *service) {
	n.cancelTimer(s.timer(TimerLinger))
	if s.cfg.Resource() {
		return
	}
	n.setTimer(s.timer(TimerAnnounce), n.now.Add(s.cfg.Timeout[PrimStart]))
	if s.heldBack = len(n.misled(s)) > 0; s.heldBack {
		return
	}
	n.do(Announce{Service: s.name, Addresses: s.cfg.Addresses, On: true})
}

// announceNow follows when the routes of one whose srrd is gone lead nobody
// astray any more.
func (n *Node) announceNow(s *service) {
	if s.phase != phaseAnnounce {
		s.heldBack = false
		return
	}
	if len(n.misled(s)) == 0 {
		n.announce(s)
	}
}

func (n *Node) notAnnounced(s *service) {
	s.failure = advert.Failure{Code: advert.FailNotAnnounced, Text: "ospfd does not announce the address"}
	for _, a := range s.cfg.Addresses {
		if !n.announces(n.router, a) {
			s.failure.Text = fmt.Sprintf("ospfd does not announce %s/32", a)
			if r := s.route[a]; r.Text != "" {
				s.failure.Text += ": " + r.Text
			}
		}
	}
	if !n.addressesAre(s, true) {
		s.failure = advert.Failure{Code: advert.FailAddress, Text: "the address is gone from the node, and could not be put back"}
		if e := s.addressError(); e != "" {
			s.failure.Text += ": " + e
		}
	}
}

func (n *Node) started(s *service) {
	n.note(LevelInfo, s.name, fmt.Sprintf("started in %s", n.now.Sub(s.claimedAt).Round(10*time.Microsecond)))
	n.startedUp(s)
}

// startedUp arms what belongs to a running service.
func (n *Node) startedUp(s *service) {
	n.cancelTimer(s.timer(TimerAnnounce))
	s.unseen = time.Time{}
	s.fails, s.unknowns = 0, 0
	s.trouble = advert.Failure{}
	s.checked = time.Time{}
	s.yieldDue = false
	if s.cfg.Interval > 0 {
		n.setTimer(s.timer(TimerCheck), n.now.Add(n.firstCheck(s)))
	}
	s.startedAt = n.now
	n.watch(s)
	if s.probation || s.failures > 0 {
		n.setTimer(s.timer(TimerProbation), n.now.Add(s.cfg.RetryAfter))
	}
}

func (n *Node) broken(s *service) { s.failure = s.trouble }

func (n *Node) watchUnseen(s *service) {
	s.unseen = n.now
	n.setTimer(s.timer(TimerAnnounce), n.now.Add(max(10*time.Second, s.cfg.Timeout[PrimStart])))
}

// yieldAfter is how long an overlap holder stays after its successor's /32 is
// seen: by then the routers have recalculated.
const yieldAfter = 30 * time.Millisecond

func (n *Node) watchSuccessor(s *service) {
	n.setTimer(s.timer(TimerYield), n.now.Add(yieldAfter))
}

// sayAgain: with on_ospf_loss keep a started service is offered again as it is.
func (n *Node) sayAgain(s *service) {
	s.config, s.activated = Active, true
	n.greetPeers(s)
}

// leave begins an orderly stop; what depends on the service stops first.
func (n *Node) leave(s *service) {
	s.cause, s.yields = s.verdict.Why.String(), s.verdict.Why.Code == BecauseBetterClaimant
	n.note(LevelInfo, s.name, "stops it: "+s.cause)
	n.cancelTimer(s.timer(TimerCheck))
	n.cancelTimer(s.timer(TimerProbation))
	n.unwatch(s)
}

// withdraw has the service routed here no longer; one that failed was
// withdrawn at once.
func (n *Node) withdraw(s *service) {
	if s.causeFail.Code != advert.FailNone {
		return
	}
	n.unannounce(s)
	if s.cfg.Overlap && s.verdict.Want == WantStand && s.cfg.Linger > 0 {
		n.setTimer(s.timer(TimerLinger), n.now.Add(s.cfg.Linger))
	}
}

// stop runs the stop primitive; what ran before is cancelled first.
func (n *Node) stop(s *service) {
	if s.cause == "" {
		s.cause = s.verdict.Why.String()
		n.note(LevelInfo, s.name, "stops it: "+s.cause)
	}
	n.cancelTimer(s.timer(TimerAnnounce))
	n.cancelTimer(s.timer(TimerRecall))
	s.recalling = false
	if !s.ranStart {
		s.result = &PrimitiveDone{Service: s.name, Outcome: OutcomeDone} // nothing to stop
		return
	}
	n.runPrimitive(s, PrimStop, nil)
}

// fail begins what follows a failure: withdraw, dependents, stop, addresses off.
func (n *Node) fail(s *service) {
	s.causeFail = s.failure
	s.cause = "it failed: " + s.failure.String()
	s.trouble = advert.Failure{}
	n.note(LevelError, s.name, "failed: "+s.failure.String())
	for _, k := range []TimerKind{TimerCheck, TimerProbation, TimerAnnounce, TimerRecall} {
		n.cancelTimer(s.timer(k))
	}
	s.recalling = false
	n.cancelRun(s)
	n.unwatch(s)
	n.unannounce(s)
}

func (n *Node) stopped(s *service) {
	s.mayRun = false
	n.off(s)
}

func (n *Node) stopFailed(s *service) {
	s.mayRun = true
	s.setFailure(advert.FailStop, s.result)
	s.causeFail = s.failure
	n.note(LevelError, s.name, "stop failed, it may still run: "+s.failure.String())
	n.do(WriteMark{Mark: Mark{Service: s.name, Claim: s.claim, MayStillRun: true, Config: s.cfg.shape()}})
	n.off(s)
}

// unannounce has OSPF route the addresses here no longer, but those that are the
// group's and of which another service stays.
func (n *Node) unannounce(s *service) {
	addrs := slices.DeleteFunc(slices.Clone(s.cfg.Addresses), func(a netip.Addr) bool { return n.sharedWith(s, a, n.staysAnnounced) })
	if len(addrs) > 0 {
		n.do(Announce{Service: s.name, Addresses: addrs})
	}
}

// sharedWith reports whether another service here has the address too and is as
// asked.
func (n *Node) sharedWith(s *service, a netip.Addr, is func(*service) bool) bool {
	return slices.ContainsFunc(n.users[a], func(o *service) bool {
		return o != s && o.cfg != nil && slices.Contains(o.cfg.Addresses, a) && is(o)
	})
}

// staysAnnounced reports whether a service is announced and is to be. One that
// runs on only until its successor has taken over is not: where a group moves,
// its address goes with the first that stops.
func (n *Node) staysAnnounced(s *service) bool {
	if !s.phase.announced() {
		return false
	}
	v := n.decide(s)
	return v.Want == WantStay || v.Want == WantRun && v.Why.Code != BecauseOverlap
}

// off takes the addresses off.
func (n *Node) off(s *service) {
	if s.cause == "" {
		s.cause = s.verdict.Why.String()
	}
	n.setTimer(s.timer(TimerAnnounce), n.now.Add(n.cfg.AnnounceTimeout))
	for _, a := range s.cfg.Addresses {
		if st, known := s.addrs[a]; !known || st.Err != "" {
			if s.addrs == nil {
				s.addrs = map[netip.Addr]AddressState{}
			}
			s.addrs[a] = AddressState{Addr: a, Present: true} // until the kernel says otherwise
		}
	}
	if len(s.cfg.Addresses) > 0 {
		n.do(SetAddresses{Service: s.name, Addresses: s.cfg.Addresses})
	}
}

// clean ends a stop that went well.
func (n *Node) clean(s *service) {
	n.note(LevelInfo, s.name, "stopped: "+s.cause)
	n.wipe(s)
	n.notOffered(s)
}

func (n *Node) wipe(s *service) {
	n.cancelTimer(s.timer(TimerAnnounce))
	s.claim, s.found, s.cause, s.causeFail = 0, nil, "", advert.Failure{}
	s.yieldDue, s.ranStart, s.stoodStill = false, false, false
	s.checked = time.Time{} // of a run that is over
	if !s.mayRun {
		n.do(WriteMark{Mark: Mark{Service: s.name}, Clear: true})
	}
}

func (n *Node) offLate(s *service) {
	n.note(LevelWarning, s.name, "kernel or zebra still show its addresses")
	if s.causeFail.Code != advert.FailNone {
		s.phase = phaseFailed
		n.failed(s)
		return
	}
	n.clean(s)
}

// failed: the service has failed and is cleaned up as far as it can be.
func (n *Node) failed(s *service) {
	if s.causeFail.Code != advert.FailNone {
		s.failure = s.causeFail
	}
	n.wipe(s)
	if n.notOffered(s) {
		if s.config == Inactive {
			n.failedAlone(s)
		}
		return
	}
	if s.stopAgain && !s.mayRun {
		s.stopAgain, s.failure = false, advert.Failure{}
		s.phase, s.since = phaseStopped, n.now
		return
	}
	s.stopAgain = false
	n.enqueue(s, op{prim: PrimFailed})
	n.backOff(s)
}

// notOffered leads a service that stopped without being flooded to where it
// waits for that, or is disabled.
func (n *Node) notOffered(s *service) bool {
	if s.config == Active {
		return false
	}
	s.phase = phaseInactive
	if s.config == Disabled {
		s.phase = phaseDisabled
	}
	return true
}

// backOff arms the next try: retry_after x 2^n, at most an hour.
func (n *Node) backOff(s *service) {
	d := s.cfg.RetryAfter
	for range min(s.failures, 16) {
		d = min(2*d, time.Hour)
	}
	s.failures++
	n.setTimer(s.timer(TimerRetryAfter), n.now.Add(d))
}

func (n *Node) reactivate(s *service) {
	s.reactivated = false
	s.probation, s.failures = false, 0
	n.again(s)
}

func (n *Node) retry(s *service) {
	s.probation = true
	n.note(LevelInfo, s.name, "may try again, on probation")
	n.again(s)
}

// failedAlone: ospfd was lost under a service that had failed. The node joins
// as new, but that it failed is not forgotten: it comes back on probation.
func (n *Node) failedAlone(s *service) {
	s.probation = true
	n.cancelTimer(s.timer(TimerRetryAfter))
}

// again leads out of failed, by way of another stop where the last one failed.
func (n *Node) again(s *service) {
	n.cancelTimer(s.timer(TimerRetryAfter))
	if !s.mayRun {
		s.failure = advert.Failure{}
		return
	}
	s.phase = phaseFailedStop
	s.ranStart, s.stopAgain = true, true
	n.runPrimitive(s, PrimStop, nil)
}

func (s *service) setFailure(c advert.FailureCode, r *PrimitiveDone) {
	s.failure = advert.Failure{Code: c}
	if r != nil {
		s.failure.Text = advert.Clip(r.Text)
		if s.failure.Text == "" && r.Outcome != OutcomeFailed {
			s.failure.Text = r.Outcome.String()
		}
	}
}
