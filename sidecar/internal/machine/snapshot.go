package machine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// View makes a snapshot of everything people may see.
func (n *Node) View() View {
	v := View{At: n.now, Router: n.router, Host: n.cfg.Host, Version: n.cfg.Version, Incarnation: n.inc, Generation: n.gen, Node: n.state, Freeze: n.freeze}
	v.Timing = Timing{n.cfg.StartupHold, n.cfg.RejoinHold, n.cfg.AloneAfter, n.cfg.ClaimTimeout, n.cfg.AnnounceTimeout, n.cfg.LossDetection, n.deadInterval()}
	if len(n.drains) > 0 {
		v.Draining = n.left()
	}
	if n.leaving {
		v.Node = advert.Leaving
	}
	o := &n.ospf
	sync, _ := n.inSync()
	v.OSPF = OSPFView{Up: o.up, Why: o.why, Since: o.since, Synced: o.synced, InSync: sync && o.up, Alone: o.alone, Full: o.full, Between: o.between}
	if n.duplicate {
		v.OSPF.Problem = Reason{Code: BecauseDuplicateRouterID}.String()
	}
	v.Zebra = ZebraView{Up: n.zebra.up, Why: n.zebra.why, Since: n.zebra.since}
	count := func(t *topic) {
		if t != nil && t.said {
			v.OSPF.OwnLSAs++
			if !t.echoed {
				v.OSPF.Unechoed++
			}
		}
	}
	for _, t := range n.daemon {
		count(t)
	}
	self := NodeView{Router: n.router, Host: n.cfg.Host, Self: true, State: v.Node, Status: "present", Since: o.since, Version: n.cfg.Version,
		Web: n.cfg.Web, Incarnation: n.inc, Generation: n.gen, LastHeard: n.now}
	if !v.OSPF.InSync {
		self.Status = "out of sync"
	}
	for _, s := range n.services {
		count(s.topic)
		if s.cfg == nil && len(s.offers) == 0 {
			continue
		}
		sv := n.viewService(s)
		v.Services = append(v.Services, sv)
		if sv.Local {
			self.Offers++
			if sv.State == advert.Started {
				self.Runs++
			}
		}
	}
	v.Nodes = append(v.Nodes, self)
	for _, p := range n.peers {
		if p.last.Incarnation != 0 {
			v.Nodes = append(v.Nodes, viewPeer(p))
		}
	}
	slices.SortStableFunc(v.Nodes, func(a, b NodeView) int { return strings.Compare(a.Host, b.Host) })
	v.Refused = n.viewRefused()
	for _, b := range n.bad {
		v.Bad = append(v.Bad, b)
	}
	slices.SortFunc(v.Bad, func(a, b BadLSAView) int {
		return strings.Compare(a.Router.String()+a.LSA, b.Router.String()+b.LSA)
	})
	return v
}

func viewPeer(p *peer) NodeView {
	nv := NodeView{Router: p.id, Host: p.name(), State: p.last.State, Status: p.status(), Since: p.since, Version: p.last.Version, Web: p.last.Web,
		Incarnation: p.last.Incarnation, Generation: p.last.Generation, LastHeard: p.heard, Offers: len(p.offers)}
	for _, o := range p.offers {
		if o.counts && o.said.State == advert.Started {
			nv.Runs++
		}
	}
	return nv
}

func (n *Node) viewService(s *service) ServiceView {
	v := ServiceView{Name: s.name, Local: s.cfg != nil, Addresses: s.allAddresses(), Pin: s.pin, Hold: s.hold, Freeze: s.freeze}
	if s.pin.Target != 0 {
		v.PinHost = n.hostOf(s.pin.Target)
	}
	if s.cfg != nil {
		n.viewLocal(s, &v)
	} else {
		v.Group, v.State = s.group(), advert.Stopped
		for _, o := range s.offers {
			v.Flags, v.Interval, v.Dependencies = o.said.Flags&(advert.FlagCritical|advert.FlagStrict|advert.FlagOverlap), o.said.Interval, o.said.Dependencies
			v.Scope = o.scope.String()
		}
		why := n.decide(s)
		v.Want, v.Why, v.Code = why.Want.String(), why.Why.String(), why.Why.Word()
	}
	v.Kind = "network"
	if len(v.Addresses) == 0 {
		v.Kind = "resource"
	}
	n.viewOffers(s, &v)
	n.viewNotices(s, &v)
	n.viewDeadlines(s, &v)
	return v
}

func (n *Node) viewLocal(s *service, v *ServiceView) {
	a := n.advert(s)
	v.Group, v.Dependencies, v.Flags, v.Addresses = s.cfg.Group, s.cfg.Dependencies, a.Flags, s.cfg.Addresses
	v.Scope, v.Way, v.Settings = s.cfg.Scope.String(), s.cfg.Way.String(), s.cfg
	v.Config, v.State, v.Step, v.Since = s.config, s.phase.state(), s.phase.step(), s.since
	v.Cause, v.Failure, v.Claim, v.Seen = s.cause, s.failure, a.Claim, a.Seen
	v.Interval, v.LastCheck = s.cfg.Interval, s.checked
	v.Waits = n.waits(s)
	v.Want, v.Why, v.Code = s.verdict.Want.String(), s.verdict.Why.String(), s.verdict.Why.Word()
	if s.run != nil {
		v.Running, v.RunningSince = s.run.prim.String(), s.run.since
	}
	v.Last = s.lastRun
	if s.topic != nil && s.topic.said {
		v.LSA = s.topic.ref.String()
	}
}

// waits says in sentences what the service waits for now.
func (n *Node) waits(s *service) []string {
	var w []string
	until := func(k TimerKind, what string) {
		if n.timerSet(s.timer(k)) {
			w = append(w, what)
		}
	}
	switch s.phase {
	case phaseInactive:
		until(TimerRetry, "to give its LSA to ospfd again: "+s.refusal)
	case phaseFound, phaseActivating, phaseStart, phaseRecover, phaseStop, phaseFailedStop, phaseDeactivating:
		if s.run != nil {
			w = append(w, "the primitive "+s.run.prim.String())
		}
		until(TimerRecall, "to ask the primitive again, as it wished")
		if s.phase == phaseFound && s.result != nil {
			for _, name := range names(n.dependents(s)) {
				w = append(w, name+" to stop")
			}
		}
	case phaseInjected:
		w = append(w, "ospfd to show its LSA")
	case phaseClaim:
		w = append(w, n.obstacles(s)...)
	case phaseDependencies:
		for _, name := range names(n.awaitedDependencies(s)) {
			w = append(w, name+" to start")
		}
		w = append(w, n.obstacles(s)...)
	case phaseDependents, phaseFailedDependents:
		for _, name := range names(n.dependents(s)) {
			w = append(w, name+" to stop")
		}
	case phaseAddresses:
		w = append(w, "the kernel to show its addresses")
	case phaseAnnounce:
		if s.heldBack {
			return append(w, n.misled(s)...)
		}
		for _, a := range s.cfg.Addresses {
			if !n.announces(n.router, a) {
				w = append(w, fmt.Sprintf("%s/32 in the link-state database", a))
			}
		}
	case phaseLinger:
		w = append(w, "routers to use the new path before it stops accepting packets")
	case phaseOff, phaseFailedOff:
		w = append(w, n.offWaits(s)...)
	case phaseFailed, phaseConfigFailed:
		until(TimerRetryAfter, "retry_after, or reactivate")
	case phaseStopped:
		if s.verdict.Why.Code == BecauseFresh {
			w = append(w, "offers of others that are as new as its own")
		}
		until(TimerClaim, n.hostOf(s.verdict.Awaited)+" to claim it, at most claim_timeout")
	case phaseDisabled, phaseStarted:
	}
	return w
}

func (n *Node) offWaits(s *service) (w []string) {
	for _, a := range s.cfg.Addresses {
		if s.addrs[a].Present {
			w = append(w, "the kernel to let "+a.String()+" go")
		}
		if r, ok := s.route[a]; ok && r.State != RouteRemoved {
			w = append(w, "zebra to let the route to "+a.String()+" go")
		}
	}
	return w
}

// ranked is a candidate with the offer it stands for.
type ranked struct {
	c    candidate
	view int
}

func (n *Node) viewOffers(s *service, v *ServiceView) {
	var order []ranked
	var holders []string
	u := n.unit(s)
	pinned := func(r RouterID) bool { p := u.pin(); return p.Number != 0 && !p.Void && p.Target == r }
	if s.cfg != nil {
		a := n.advert(s)
		ov := OfferView{Router: n.router, Host: n.cfg.Host, Self: true, Counts: s.config == Active, Config: s.config.String(), State: a.State, Step: a.Step,
			Preference: a.Preference, Pinned: pinned(n.router), Claim: a.Claim, Seen: a.Seen, Flags: a.Flags, Failure: a.Failure,
			Interval: a.Interval, LastCheck: a.LastCheck, Digest: a.Digest, LastHeard: n.now}
		why := n.unfit(s)
		if why.Code == BecauseNone {
			why = n.unfitUnit(u)
		}
		if why.Code == BecauseNone && s.config != Active {
			why = Reason{Code: BecauseNotOffered}
		}
		if why.Code == BecauseNone && has(a.State) == 0 && n.holding(u) {
			why = Reason{Code: BecauseHolding}
		}
		n.addOffer(v, ov, why, &order, n.self(u))
	}
	for _, o := range s.offers {
		ov := OfferView{Router: o.peer.id, Host: n.hostOf(o.peer.id), Counts: o.counts, Config: Active.String(), State: o.said.State, Step: o.said.Step,
			Preference: o.said.Preference, Pinned: pinned(o.peer.id), Claim: o.said.Claim, Seen: o.said.Seen, Flags: o.said.Flags,
			Failure: o.said.Failure, Interval: o.said.Interval, LastCheck: o.said.LastCheck, Digest: o.said.Digest, LastHeard: o.heard}
		why := o.disqualified(has(o.said.State) > 0)
		r := u.rival(o.peer)
		if why.Code == BecauseNone {
			why = u.disqualified(r)
		}
		n.addOffer(v, ov, why, &order, u.candidate(r))
	}
	slices.SortFunc(order, func(a, b ranked) int {
		if a.c.better(b.c) {
			return -1
		}
		return 1
	})
	for i, r := range order {
		v.Offers[r.view].Rank = i + 1
	}
	slices.SortStableFunc(v.Offers, func(a, b OfferView) int { return strings.Compare(a.Host, b.Host) })
	for _, o := range v.Offers {
		if o.State == advert.Started && (o.Self || o.Counts) {
			holders = append(holders, o.Host)
		}
	}
	v.Holder = strings.Join(holders, ", ")
}

func (n *Node) addOffer(v *ServiceView, ov OfferView, why Reason, order *[]ranked, c candidate) {
	for _, a := range v.Addresses {
		if n.announces(ov.Router, a) {
			ov.Announced = append(ov.Announced, a)
		}
	}
	if why.Code != BecauseNone {
		ov.WhyNot = why.String()
	} else {
		*order = append(*order, ranked{c, len(v.Offers)})
	}
	v.Offers = append(v.Offers, ov)
}

// viewNotices says what a person should know of a service beside its state.
func (n *Node) viewNotices(s *service, v *ServiceView) {
	note := func(format string, a ...any) { v.Notices = append(v.Notices, fmt.Sprintf(format, a...)) }
	if s.cfg != nil {
		for _, o := range s.offers {
			if o.counts && o.said.Digest != s.cfg.Digest {
				note("configured differently on %s", n.hostOf(o.peer.id))
			}
		}
		if s.strict() && !s.cfg.Fence && s.cfg.Members == 0 {
			note("not protected against partition")
			if s.cfg.BestEffort {
				note("best effort: lost_hold is shorter than a lost holder may run")
			}
		}
		if other := n.addressTaken(s); other != "" {
			note("shares an address with %s and stands back", other)
		}
	}
	for _, l := range s.lost {
		switch {
		case l.failedStop:
			note("%s could not stop it and may still run it: fencing, or confirm-stopped %s", l.host, l.host)
		default:
			note("%s %s", l.host, l.was("it"))
		}
	}
	if s.mayRun {
		note("a stop failed here: it may still run")
	}
	for _, a := range v.Addresses {
		if r, ok := s.route[a]; ok && (r.State == RouteBeaten || r.State == RouteFailed) && s.phase.announced() {
			note("zebra does not take the route to %s: %s", a, r.Text)
		}
	}
}

// viewDeadlines says what time alone will bring about, and when.
func (n *Node) viewDeadlines(s *service, v *ServiceView) {
	at := func(k DeadlineKind, at time.Time, format string, a ...any) {
		v.Deadlines = append(v.Deadlines, DeadlineView{k, fmt.Sprintf(format, a...), at})
	}
	timer := func(k DeadlineKind, t TimerKey, format string, a ...any) {
		if due, ok := n.due[t]; ok {
			at(k, due, format, a...)
		}
	}
	if s.verdict.Why.Code == BecauseHolding {
		timer(DeadlineHolding, TimerKey{Kind: TimerHolding}, "startup_hold ends")
		timer(DeadlineHolding, s.timer(TimerHolding), "failback_delay ends")
	}
	if s.verdict.Why.Code == BecauseFresh {
		at(DeadlineHolding, n.unit(s).freshUntil(), "its offer is new no longer")
	}
	if s.verdict.Why.Code == BecauseReturning {
		timer(DeadlineHolding, TimerKey{Kind: TimerRejoin, Router: n.router}, "rejoin_hold ends")
	}
	timer(DeadlineClaim, s.timer(TimerClaim), "%s is passed over", n.hostOf(s.verdict.Awaited))
	if s.phase == phaseClaim {
		timer(DeadlineRival, s.timer(TimerWait), "the wait for others to stop it ends")
	}
	for _, l := range s.lost {
		if !l.until.IsZero() {
			at(DeadlineLost, l.until, "the wait for %s ends", l.host)
		}
	}
	if s.phase == phaseClaim && s.cfg != nil && s.cfg.Fence && (s.run == nil || s.run.prim != PrimFence) {
		n.viewFence(s, at)
	}
	switch s.phase {
	case phaseAddresses:
		timer(DeadlineAnnounce, s.timer(TimerAnnounce), "it fails if the kernel does not show its addresses")
	case phaseAnnounce, phaseStarted:
		if !s.heldBack {
			timer(DeadlineAnnounce, s.timer(TimerAnnounce), "it fails if its addresses are not announced")
		}
	case phaseFailed, phaseConfigFailed:
		timer(DeadlineRetry, s.timer(TimerRetryAfter), "it is tried again")
	}
	if s.run != nil && s.run.op == nil {
		if t := s.cfg.Timeout[s.run.prim]; t > 0 {
			at(DeadlineRun, s.began.Add(t), "the primitive %s times out", s.run.prim)
		}
	}
	timer(DeadlineRun, s.timer(TimerRecall), "the primitive is asked again")
	timer(DeadlineProof, s.timer(TimerProbation), "it has run well for long enough")
	if s.pin.Number != 0 && !s.pin.Void && s.pin.Left != 0 {
		timer(DeadlinePin, s.timer(TimerPin), "the move to %s ends", n.hostOf(s.pin.Target))
	}
}

// viewFence says when which lost holder is fenced.
func (n *Node) viewFence(s *service, at func(DeadlineKind, time.Time, string, ...any)) {
	retry := n.due[s.timer(TimerFence)]
	for _, m := range n.unit(s).members {
		for _, l := range m.lost {
			at(DeadlineFence, later(n.fenceAt(s, l), retry), "%s is fenced", l.host)
		}
	}
}

// HostRoutes lists who announces which service address, for show route.
func (n *Node) HostRoutes() map[netip.Addr][]RouterID {
	m := make(map[netip.Addr][]RouterID, len(n.users))
	for a := range n.users {
		m[a] = slices.Clone(n.routes[a])
	}
	return m
}
