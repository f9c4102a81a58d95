package machine

import (
	"fmt"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// Timers: what a time that is over changes, and what a node does that did not run
// while they came due.

func (n *Node) timerFired(e TimerFired) {
	if n.timers[e.Key] != e.Gen {
		return
	}
	n.overslept(n.now.Sub(n.due[e.Key]))
	if n.timers[e.Key] != e.Gen {
		return // what it was to end begins anew
	}
	n.cancelTimer(e.Key)
	if s := n.byName[e.Key.Service]; s != nil && e.Key.Service != "" {
		n.touch(s)
		n.serviceTimer(s, e.Key)
		return
	}
	switch e.Key.Kind {
	case TimerAlive:
		n.aliveBy = time.Time{}
		n.stayAwake()
	case TimerHolding:
		n.touchAll()
	case TimerRejoin:
		if e.Key.Router == n.router {
			n.returned()
			return
		}
		if p := n.byRouter[e.Key.Router]; p != nil && p.rejoins {
			p.rejoins, p.lost = false, false
			p.since = n.now
			if p.node != nil {
				n.note(LevelInfo, "", fmt.Sprintf("node %s (%s) is back", p.name(), p.id))
			}
			n.recount(p)
		}
	case TimerAlone:
		n.aloneTimer()
	case TimerZebra:
		n.zebraGone()
	case TimerFlush:
		n.flushDue()
	case TimerEcho:
		n.daemonEcho()
	case TimerRetry:
		n.daemonDue = true
	}
}

// overslept has a node that did not run for a while hear what came meanwhile,
// for rejoin_hold, before it takes a strict service: the timer may be taken
// before the news that waits behind it. A hold that was slept through begins
// anew. Strict services that it has or claims it lets go if it did not run for half
// of lost_hold, and what it knew of them is not believed of who is gone.
func (n *Node) overslept(by time.Duration) {
	if by < late {
		return
	}
	for _, s := range n.services {
		if s.cfg != nil && s.strict() && by > n.lostHold(s)/2 {
			s.stoodStill, s.woke = s.stoodStill || has(s.phase.state()) > 0, n.now
			n.touch(s)
		}
	}
	slept := by >= n.cfg.RejoinHold/2 && n.now.Sub(n.ospf.returned) >= by // through a hold that began before
	if !n.ospf.latched || n.ospf.returning && !slept {
		return
	}
	n.ospf.returning = false
	if by >= lateTold {
		n.note(LevelWarning, "", fmt.Sprintf("srrd did not run for %s or more", by.Round(time.Millisecond)))
	}
	n.returns()
	n.touchAll()
}

// stayAwake has a node with strict services look at the clock often enough to
// notice that it stood still for half of lost_hold, as a frozen machine does: by
// the whole of it somebody else may run what it has or claims (DESIGN section 5).
func (n *Node) stayAwake() {
	by := n.aliveBy
	for _, s := range n.services {
		if s.cfg == nil || !s.strict() {
			continue
		}
		if at := n.now.Add(n.lostHold(s) / 4); by.IsZero() || at.Before(by) {
			by = at
		}
	}
	if !by.Equal(n.aliveBy) {
		n.aliveBy = by
		n.setTimer(TimerKey{Kind: TimerAlive}, by)
	}
}

// awake notices that the node stood still before it takes what came meanwhile,
// whatever that is: a claim may wait for nothing but an acknowledgement that was
// given before.
func (n *Node) awake() {
	if n.aliveBy.IsZero() {
		return
	}
	if by := n.now.Sub(n.aliveBy); by >= late {
		n.aliveBy = time.Time{}
		n.cancelTimer(TimerKey{Kind: TimerAlive})
		n.overslept(by)
		n.stayAwake()
	}
}

// aloneTimer ends the wait for a neighbour.
func (n *Node) aloneTimer() {
	if n.ospf.latched || !n.ospf.up {
		return
	}
	n.ospf.alone = n.ospf.full == 0
	if n.ospf.full > 0 {
		// A neighbour that never gets beyond Init or Loading must not keep
		// the whole node out.
		n.note(LevelWarning, "", fmt.Sprintf("in sync without %d neighbours that do not become Full", n.ospf.between))
		n.ospf.between = 0
	}
	n.latch()
}

// serviceTimer takes a timer that belongs to one service.
func (n *Node) serviceTimer(s *service, k TimerKey) {
	switch k.Kind {
	case TimerClaim:
		v := s.verdict
		if v.Want == WantStand && v.Awaited != 0 {
			if s.passed == nil {
				s.passed = map[RouterID]advert.Stamp{}
			}
			s.passed[v.Awaited] = v.AwaitedStamp
			n.note(LevelWarning, s.name, n.hostOf(v.Awaited)+" did not claim it within claim_timeout and is passed over")
		}
	case TimerLost:
		if l := s.lostOf(k.Router); l != nil && !l.failedStop {
			s.dropLost(k.Router)
			n.note(LevelInfo, s.name, fmt.Sprintf("%s is no longer waited for", l.host))
			n.save()
		}
	case TimerWait:
		first := !s.waited
		s.waited = true
		if s.found != nil && first {
			n.awaitDatabase(s)
		}
	case TimerYield:
		s.yieldDue = true
	case TimerPin:
		if s.pin.Number != 0 && !s.pin.Void && s.pin.Left != 0 {
			n.voidPin(s, "its time is over")
		}
	case TimerCheck:
		if s.phase == phaseStarted && s.cfg != nil && s.cfg.Interval > 0 {
			n.enqueue(s, op{prim: PrimCheck})
			n.setTimer(s.timer(TimerCheck), n.now.Add(s.cfg.Interval))
		}
	case TimerProbation:
		if s.phase == phaseStarted {
			s.probation, s.failures = false, 0
		}
	case TimerEcho:
		n.serviceEcho(s)
	case TimerRecall:
		if s.recalling && s.run == nil {
			n.runPrimitive(s, s.lastRun.Primitive, nil)
		}
	case TimerHolding:
		n.armFailback(s) // the other one
	case TimerAlive: // set by an srrd before this one, for each service
		n.stayAwake()
	case TimerRejoin, TimerAlone, TimerAnnounce, TimerLinger,
		TimerStamp, TimerRetryAfter, TimerRetry, TimerFlush, TimerForeign, TimerCoalesce, TimerFence:
		// That it is over is all there is to know: a guard or flood asks for it.
	}
}
