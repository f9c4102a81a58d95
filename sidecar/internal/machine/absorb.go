package machine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// absorb takes an event into what is known and touches the services it may
// concern. It decides nothing.
func (n *Node) absorb(ev Event) {
	switch ev.(type) {
	case Synced, Adjacency, NeighborFull, LSASeen, LSARefused, LSAGone, Rekeyed, Reach, LinkReach, Outbid, HostRoute, OriginateDone:
		if !n.ospf.up {
			return // of a session that has ended
		}
	}
	switch e := ev.(type) {
	case OSPFUp:
		n.ospfUp(e)
	case OSPFDown:
		n.ospfDown(e.Why)
	case Synced:
		n.ospf.synced = true
		n.latch()
	case Adjacency:
		n.adjacency(e)
	case NeighborFull:
		n.compareOwn()
	case LSASeen:
		if e.Router == n.router {
			n.ownSeen(e)
			return
		}
		n.hear(e)
	case LSARefused:
		n.lsaRefused(e)
	case Rekeyed:
		n.rekeyed()
	case LSAGone:
		if e.Router == n.router {
			n.ownGone(e)
			return
		}
		n.lsaGone(e)
	case Reach:
		if e.Router != n.router {
			p := n.peer(e.Router)
			n.reach(p, func() { p.area, p.as = e.Area, e.AS || e.Area })
		}
	case LinkReach:
		if e.Router != n.router {
			p := n.peer(e.Router)
			n.reach(p, func() {
				if e.Up {
					p.links[e.Link] = true
				} else {
					delete(p.links, e.Link)
				}
			})
		}
	case Outbid:
		n.rivalSeen()
	case HostRoute:
		n.hostRoute(e)
	case OriginateDone:
		n.originateDone(e)
	case AddressState:
		n.addressState(e)
	case RouteState:
		n.routeState(e)
	case ZebraUp:
		n.zebra = zebraState{up: true, since: n.now}
	case ZebraDown:
		n.zebraDown(e.Why)
	case PrimitiveDone:
		n.primitiveDone(e)
	case ProcessEnded:
		n.processEnded(e)
	case TimerFired:
		n.timerFired(e)
	case Configured:
		n.configure(e.Config)
	case Command:
		n.command(e)
	case Shutdown:
		n.shutdown()
	}
}

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
				o.s.addLost(&lost{router: p.id, claim: o.said.Claim, since: n.now, host: p.name(),
					failedStop: o.stuck()}) // until is set when we are in sync again
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

func (n *Node) hostRoute(e HostRoute) {
	rs := n.routes[e.Addr]
	i, ok := slices.BinarySearch(rs, e.Router)
	switch {
	case e.Present && !ok:
		n.routes[e.Addr] = slices.Insert(rs, i, e.Router)
	case !e.Present && ok:
		if rs = slices.Delete(rs, i, i+1); len(rs) == 0 {
			delete(n.routes, e.Addr)
		} else {
			n.routes[e.Addr] = rs
		}
	default:
		return
	}
	for _, s := range n.users[e.Addr] {
		n.touch(s)
	}
	// A lost holder's address need not be anybody's any more.
	n.touchLost(e.Router)
}

func (n *Node) addressState(e AddressState) {
	for _, s := range n.users[e.Addr] {
		if s.cfg == nil || !slices.Contains(s.cfg.Addresses, e.Addr) {
			continue
		}
		if s.addrs == nil {
			s.addrs = map[netip.Addr]AddressState{}
		}
		s.addrs[e.Addr] = e
		n.touch(s)
	}
}

func (n *Node) routeState(e RouteState) {
	for _, s := range n.users[e.Addr] {
		if s.cfg == nil || !slices.Contains(s.cfg.Addresses, e.Addr) {
			continue
		}
		if s.route == nil {
			s.route = map[netip.Addr]RouteState{}
		}
		was := s.route[e.Addr]
		s.route[e.Addr] = e
		if e.State != was.State && (e.State == RouteBeaten || e.State == RouteFailed) && s.phase.announced() {
			n.note(LevelWarning, s.name, fmt.Sprintf("zebra does not take the route to %s: %s", e.Addr, e.Text))
		}
		n.touch(s)
	}
}

func (n *Node) zebraDown(why string) {
	if n.zebra.up || n.zebra.why != why {
		n.zebra = zebraState{why: why, since: n.now}
		n.note(LevelWarning, "", "no session with zebra: "+why)
	}
	for _, s := range n.services {
		// Its routes ended with zebra; nothing more will be said of them.
		if len(s.route) > 0 {
			s.route = nil
			n.touch(s)
		}
	}
}

func (n *Node) primitiveDone(e PrimitiveDone) {
	s := n.byName[e.Service]
	if s == nil || s.run == nil || s.run.id != e.Run {
		n.answerRun(e.Run, e.Text, "it was cancelled")
		return
	}
	r := s.run
	s.run = nil
	s.lastRun = RunView{Primitive: r.prim, Outcome: e.Outcome, Text: e.Text, Took: e.Took, At: n.now}
	n.touch(s)
	if r.op != nil {
		n.opDone(s, r, e)
		return
	}
	if e.Outcome == OutcomeRecall && n.recall(s, e) {
		return
	}
	s.result = &e
}

func (n *Node) timerFired(e TimerFired) {
	if n.timers[e.Key] != e.Gen {
		return
	}
	n.overslept(n.now.Sub(n.due[e.Key]))
	n.cancelTimer(e.Key)
	if s := n.byName[e.Key.Service]; s != nil && e.Key.Service != "" {
		n.touch(s)
		n.serviceTimer(s, e.Key)
		return
	}
	switch e.Key.Kind {
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
	case TimerFlush:
		n.flushDue()
	case TimerEcho:
		n.daemonEcho()
	case TimerRetry:
		n.daemonDue = true
	}
}

// late is how late a timer comes where the node did not run for a while: longer
// than news take to arrive. From lateTold on a person should know.
const (
	late     = 25 * time.Millisecond
	lateTold = 250 * time.Millisecond
)

// overslept has a node that did not run for a while hear what came meanwhile,
// for rejoin_hold, before it takes a strict service: the timer may be taken
// before the news that waits behind it.
func (n *Node) overslept(by time.Duration) {
	if by < late {
		return
	}
	for _, s := range n.services {
		if s.cfg != nil && s.strict() && s.phase.begun() && has(s.phase.state()) > 0 && by > n.lostHold(s)/2 {
			s.stoodStill = true
			n.touch(s)
		}
	}
	if !n.ospf.latched || n.ospf.returning {
		return
	}
	if by >= lateTold {
		n.note(LevelWarning, "", fmt.Sprintf("srrd did not run for %s or more", by.Round(time.Millisecond)))
	}
	n.returns()
	n.touchAll()
}

// stayAlive has a strict holder look at the clock often enough to notice that
// the node stood still for half of lost_hold, as a frozen machine does: by the
// whole of it somebody else may run what runs here (DESIGN section 5).
func (n *Node) stayAlive(s *service) {
	if s.cfg != nil && s.strict() && s.phase.announced() {
		n.setTimer(s.timer(TimerAlive), n.now.Add(n.lostHold(s)/4))
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
		s.waited = true
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
	case TimerAlive:
		n.stayAlive(s)
	case TimerHolding, TimerRejoin, TimerAlone, TimerAnnounce, TimerLinger,
		TimerStamp, TimerRetryAfter, TimerRetry, TimerFlush, TimerForeign, TimerCoalesce, TimerFence:
		// That it is over is all there is to know: a guard or flood asks for it.
	}
}

// takePin makes a newer pin the service's.
func (n *Node) takePin(s *service, p advert.Pin) {
	s.pin, s.pinSeen = p, false
	n.unrank(s)
	n.cancelTimer(s.timer(TimerPin))
	if !p.Void && p.Left != 0 {
		s.pinEnds = n.now.Add(time.Duration(p.Left) * time.Second)
		n.setTimer(s.timer(TimerPin), s.pinEnds)
	}
	n.save()
	n.touch(s)
}

func (n *Node) voidPin(s *service, why string) {
	s.pin.Void = true
	n.unrank(s)
	n.cancelTimer(s.timer(TimerPin))
	n.note(LevelInfo, s.name, fmt.Sprintf("the move to %s ends: %s", n.hostOf(s.pin.Target), why))
	n.save()
	n.touch(s)
}

// configure takes a validated configuration.
func (n *Node) configure(c Config) {
	first := !n.configured
	n.configured = true
	old := n.cfg
	n.cfg = c
	seen := map[string]bool{}
	for i := range c.Services {
		sc := c.Services[i]
		seen[sc.Name] = true
		s := n.service(sc.Name)
		n.touch(s)
		switch {
		case s.cfg == nil:
			s.cfg, s.removed = &sc, false
			if !s.operator {
				s.disabled = !sc.Enabled
			}
			n.reserveClaims(s)
			n.index(s)
			n.armLost(s)
			if s.found != nil {
				n.setTimer(s.timer(TimerWait), n.now.Add(n.deadInterval()))
			}
			n.armFailback(s)
		case s.cfg.needsRestart(&sc) && s.phase != phaseDisabled:
			s.next, s.removed = &sc, false
		default:
			s.cfg, s.next, s.removed = &sc, nil, false
			if k := s.timer(TimerCheck); s.phase == phaseStarted && sc.Interval > 0 && !n.timerSet(k) {
				n.setTimer(k, n.now.Add(sc.Interval))
			}
			if !s.operator {
				s.disabled = !sc.Enabled
			}
			n.index(s)
		}
	}
	for _, s := range n.services {
		if s.cfg != nil && !seen[s.name] {
			s.removed, s.next = true, nil
			n.touch(s)
		}
	}
	if !first && (old.Host != c.Host || old.Web != c.Web || old.Version != c.Version || old.Scope != c.Scope) {
		n.daemonDue = n.ospf.latched
	}
	if first {
		n.save()
	} else {
		n.daemonDue = n.ospf.latched
	}
}

// needsRestart reports whether b cannot take a's place while it runs.
func (a *Service) needsRestart(b *Service) bool {
	return a.Group != b.Group || a.Critical != b.Critical || a.Exclusive != b.Exclusive || a.Way != b.Way ||
		a.Scope != b.Scope || !slices.Equal(a.Addresses, b.Addresses) || !slices.Equal(a.Dependencies, b.Dependencies)
}

// shape is a hash of what needsRestart compares: a service that was started
// under another one is not adopted. It is never 0.
func (a *Service) shape() uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for _, b := range fmt.Appendf(nil, "%q %t %t %d %q %q %q", a.Group, a.Critical, a.Exclusive, a.Way, a.Scope, a.Addresses, a.Dependencies) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return max(h, 1)
}

func (n *Node) shutdown() {
	if n.leaving {
		return
	}
	n.leaving = true
	n.note(LevelInfo, "", "leaving the cluster: every service is stopped in order")
	n.daemonDue = n.ospf.latched
	n.touchAll()
}

// finishShutdown says Exit when nothing is left to stop.
func (n *Node) finishShutdown() {
	if !n.leaving || n.exited {
		return
	}
	for _, s := range n.services {
		if s.cfg != nil && !s.phase.settledForExit() {
			return
		}
	}
	n.exited = true
	n.do(Exit{})
}

// sentence joins what is not empty.
func sentence(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}
