package machine

import (
	"fmt"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// Recovery before leaving (DESIGN section 5): a service that breaks is
// restarted in place up to `recover` times within `recover_within`.

// mayRecover reports whether another restart may be tried. A service that could
// not be restarted is not tried again: it has failed.
func (n *Node) mayRecover(s *service) bool {
	if s.cfg.Recover == 0 || s.trouble.Code == advert.FailStart {
		return false
	}
	s.recoveries = slices.DeleteFunc(s.recoveries, func(t time.Time) bool { return n.now.Sub(t) >= s.cfg.RecoverWithin })
	return len(s.recoveries) < s.cfg.Recover
}

func (n *Node) recover(s *service) {
	s.recoveries = append(s.recoveries, n.now)
	n.note(LevelWarning, s.name, fmt.Sprintf("restarts it (%d of %d): %s", len(s.recoveries), s.cfg.Recover, s.trouble))
	s.failure = s.trouble // shown while it recovers
	s.trouble = advert.Failure{}
	n.cancelTimer(s.timer(TimerCheck))
	n.unwatch(s)
	n.runPrimitive(s, PrimRestart, nil)
}

func (n *Node) recovered(s *service) {
	n.note(LevelInfo, s.name, "restarted")
	s.failure = advert.Failure{}
	n.startedUp(s)
}

// notRecovered: the failure that is told is the one that led here.
func (n *Node) notRecovered(s *service) {
	n.note(LevelWarning, s.name, sentence("restart "+s.result.Outcome.String(), s.result.Text))
}

// firstCheck spreads the checks of services that start together: it lies
// between half and a whole interval ahead, and not within the grace.
func (n *Node) firstCheck(s *service) time.Duration {
	half := s.cfg.Interval / 2
	h := uint64(14695981039346656037)
	for _, b := range []byte(s.name) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	h ^= uint64(n.router) * 0x9e3779b97f4a7c15
	spread := time.Duration(0)
	if half > 0 {
		spread = time.Duration(h % uint64(half))
	}
	return max(half+spread, s.cfg.Grace)
}

// watch has the end of the service's process told at once.
func (n *Node) watch(s *service) {
	if s.cfg.Watch && !s.watched {
		s.watched = true
		n.do(Watch{Service: s.name, On: true})
	}
}

func (n *Node) unwatch(s *service) {
	if s.watched {
		s.watched = false
		n.do(Watch{Service: s.name})
	}
}

// processEnded takes the news that a watched process has ended.
func (n *Node) processEnded(e ProcessEnded) {
	s := n.byName[e.Service]
	if s == nil || !s.watched || s.phase != phaseStarted {
		return
	}
	s.trouble = advert.Failure{Code: advert.FailProcessEnded, Text: advert.Clip(e.Text)}
	n.touch(s)
}

// settledBy drops a lost holder that was fenced, or of which a person said that
// it runs nothing. Where only a fence guards, it stays in the memory: it may
// come back where we do not hear it, and shoot us before it starts; but in our
// next life we could not know that it did.
func (n *Node) settledBy(s *service, r RouterID) {
	l := s.lostOf(r)
	if l == nil {
		return
	}
	if s.fenceOnly() {
		if s.shot == nil {
			s.shot = map[RouterID]MayRunMark{}
		}
		s.shot[r] = MayRunMark{Claim: l.claim}
	}
	s.dropLost(r)
	n.cancelTimer(TimerKey{Kind: TimerLost, Service: s.name, Router: r})
	n.save()
}

// fences reports whether a lost holder of the service's unit is waited for
// until it was fenced or a person spoke: who has a fence trusts no clock.
func (s *service) fences() bool {
	return s.anyMember(func(c *Service) bool { return c.Fence })
}

// fenceOnly reports whether it is, and no majority is asked for.
func (s *service) fenceOnly() bool {
	return s.fences() && !s.anyMember(func(c *Service) bool { return c.Members > 0 })
}

func (s *service) anyMember(is func(*Service) bool) bool {
	if s.grouped == "" {
		return s.cfg != nil && is(s.cfg)
	}
	return slices.ContainsFunc(s.inGroup(), func(m *service) bool { return m.cfg != nil && is(m.cfg) })
}

// fenceRetry is the wait before a fence that failed is tried again.
const fenceRetry = 5 * time.Second

// fence runs the fence primitive for a lost holder that stands in the way.
func (n *Node) fence(s *service) {
	if s.phase != phaseClaim || !s.cfg.Fence || n.timerSet(s.timer(TimerFence)) {
		return
	}
	if s.run != nil && (s.run.op == nil || s.run.prim == PrimFence) {
		return // a join, leave or check that still runs does not hold it up
	}
	var next time.Time
	for _, m := range n.unit(s).members {
		for _, l := range m.lost {
			if at := n.fenceAt(s, l); n.now.Before(at) {
				if next.IsZero() || at.Before(next) {
					next = at
				}
				continue
			}
			n.note(LevelWarning, s.name, "fences "+l.host+", which "+l.was(m.name))
			n.runPrimitive(s, PrimFence, &op{prim: PrimFence, peer: l.host, router: l.router})
			return
		}
	}
	if !next.IsZero() {
		n.setTimer(s.timer(TimerFence), next)
	}
}

// fenceAt is when a lost holder is fenced: fence_after after it was lost, so
// that a short unreachability does not switch off a healthy node. One that can
// be reached again has rejoin_hold beyond that to speak; no longer, however
// often it comes and goes.
func (n *Node) fenceAt(s *service, l *lost) time.Time {
	at := l.since.Add(s.cfg.FenceAfter)
	if p := n.byRouter[l.router]; p != nil && p.rejoins && p.node != nil && s.cfg.FenceAfter > 0 {
		at = at.Add(n.cfg.RejoinHold)
	}
	return later(at, n.fenceFrom(s))
}

// spfLongest is how long ospfd may wait between two calculations of who is
// reachable (timers throttle spf, the default of FRR). fenceOff bounds for how long
// neighbours that come and go may keep a claim from fencing.
const (
	spfLongest = 5 * time.Second
	fenceOff   = 30 * time.Second
)

// fenceFrom is from when on a node can know whom to fence. One that boots, or was
// cut off, has been told of nobody whom ospfd has not calculated to be reachable
// over the neighbour that came back: it would shoot the very node that took over
// from it. Nor does one that stood still know, for rejoin_hold.
func (n *Node) fenceFrom(s *service) time.Time {
	var from time.Time
	if !n.ospf.joined.IsZero() {
		from = n.ospf.joined.Add(spfLongest + n.cfg.RejoinHold)
	}
	if n.ospf.returning {
		from = later(from, n.due[TimerKey{Kind: TimerRejoin, Router: n.router}])
	}
	if most := s.claimedAt.Add(fenceOff); from.After(most) {
		return most
	}
	return from
}

// fenced takes the end of a fence.
func (n *Node) fenced(s *service, o *op, e PrimitiveDone) {
	if e.Outcome != OutcomeDone {
		n.note(LevelError, s.name, sentence(fmt.Sprintf("fencing %s %s", o.peer, e.Outcome), e.Text))
		n.setTimer(s.timer(TimerFence), n.now.Add(fenceRetry))
		return
	}
	n.note(LevelWarning, s.name, o.peer+" is fenced: it runs nothing any more")
	for _, m := range n.unit(s).members {
		n.settledBy(m, o.router)
	}
	n.touchGroup(s)
}

// wanted is how many members the unit has of which only a majority runs it; 0:
// any node may.
func (u unit) wanted() (of int) {
	for _, m := range u.members {
		if m.cfg != nil {
			of = max(of, m.cfg.Members)
		}
	}
	return of
}

// majority reports whether this node sees more than half of the members a
// strict service has, itself included; how many, otherwise.
func (n *Node) majority(u unit) (ok bool, have, of int) {
	if of = u.wanted(); of == 0 {
		return true, 0, 0
	}
	have = 1 + u.ranked().counting
	return 2*have > of, have, of
}
