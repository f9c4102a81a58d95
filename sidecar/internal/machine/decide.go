package machine

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// pinned is the effective preference of a pin's target: above all configured
// ones (0-255).
const pinned = 256

// candidate is what the order of DESIGN section 3 compares. It holds only
// what is flooded, so that every node orders alike.
type candidate struct {
	router    RouterID
	probation bool
	pref      int
	has       int // 2 started, 1 starting, 0 neither
	claim     advert.Claim
}

// better is the one order, used everywhere: not on probation, effective
// preference, has it, claim, router id. It is total: two routers never tie.
func (a candidate) better(b candidate) bool {
	switch {
	case a.probation != b.probation:
		return !a.probation
	case a.pref != b.pref:
		return a.pref > b.pref
	case a.has != b.has:
		return a.has > b.has
	case a.claim != b.claim:
		return a.claim > b.claim
	}
	return a.router > b.router
}

// claims reports whether the candidate is starting or started.
func (a candidate) claims() bool { return a.has > 0 }

func has(st advert.State) int {
	switch st {
	case advert.Started:
		return 2
	case advert.Starting:
		return 1
	case advert.Stopped, advert.Stopping, advert.Failed:
	}
	return 0
}

// claimOf: a claim counts only while it is held; a stopped service's last one
// must not decide anything.
func claimOf(st advert.State, c advert.Claim) advert.Claim {
	if has(st) == 0 {
		return 0
	}
	return c
}

// bar is what keeps an offer from being a candidate, BecauseNone if nothing
// does. A node in maintenance stays one for what it has: it is not to be taken
// away.
func (o *offer) bar(claims bool) ReasonCode {
	if why := o.whyNot(); why != BecauseNone {
		return why
	}
	switch o.peer.node.State {
	case advert.Standby:
		return BecauseStandby
	case advert.Maintenance:
		if !claims {
			return BecauseMaintenance
		}
	case advert.Leaving:
		return BecauseLeaving
	case advert.Online:
	}
	switch {
	case o.said.State == advert.Failed:
		return BecauseFailed
	case o.s.hold.On:
		return BecauseHeld
	case o.said.Flags.Has(advert.FlagHolding):
		return BecauseHolding
	}
	return BecauseNone
}

// disqualified is bar for people.
func (o *offer) disqualified(claims bool) Reason {
	why := Reason{Code: o.bar(claims)}
	if why.Code == BecauseFailed {
		why.Who = o.said.Failure.String()
	}
	return why
}

// unfit is why this node must not run the service at all, BecauseNone if it may.
func (n *Node) unfit(s *service) Reason {
	strict := s.cfg != nil && s.strict()
	switch {
	case s.cfg == nil:
		return Reason{Code: BecauseNotLocal}
	case s.removed:
		return Reason{Code: BecauseRemoved}
	case s.next != nil:
		return Reason{Code: BecauseReconfigured}
	case s.disabled:
		return Reason{Code: BecauseDisabled}
	case n.leaving:
		return Reason{Code: BecauseLeaving}
	case n.duplicate:
		return Reason{Code: BecauseDuplicateRouterID}
	case !n.ospf.up:
		return Reason{BecauseOSPFDown, n.ospf.why}
	}
	if ok, why := n.inSync(); !ok {
		return Reason{BecauseNotInSync, why}
	}
	switch {
	case n.state == advert.Standby:
		return Reason{Code: BecauseStandby}
	case s.hold.On:
		return Reason{Code: BecauseHeld}
	case s.phase.state() == advert.Failed:
		return Reason{BecauseFailed, s.failure.String()}
	case s.causeFail.Code != advert.FailNone: // and is still being stopped
		return Reason{BecauseFailed, s.causeFail.String()}
	case s.stoodStill:
		return Reason{Code: BecauseStoodStill}
	case strict && n.ospf.full == 0 && !s.cfg.StartAlone:
		if n.ospf.everFull {
			return Reason{Code: BecauseNoNeighbor}
		}
		return Reason{Code: BecauseAlone}
	case strict && n.ospf.returning && has(s.phase.state()) == 0:
		return Reason{Code: BecauseReturning}
	}
	if ok, have, of := n.majority(n.unit(s)); strict && !ok {
		return Reason{BecauseNoMajority, fmt.Sprintf("%d of %d members", have, of)}
	}
	if n.state == advert.Maintenance {
		return Reason{Code: BecauseMaintenance}
	}
	if other := n.addressTaken(s); other != "" {
		return Reason{BecauseAddressTaken, other}
	}
	return Reason{}
}

// addressTaken names the service, first by name, that has an address of this
// one without being of its group: the later name stands back.
func (n *Node) addressTaken(s *service) string {
	for _, a := range s.cfg.Addresses {
		for _, u := range n.users[a] {
			if u.name >= s.name {
				break
			}
			if g := u.group(); g == "" || g != s.cfg.Group {
				return u.name
			}
		}
	}
	return ""
}

// decide says what this node should do about a service. It is total and has
// no side effects. What is frozen stays as it is, unless that is not safe.
func (n *Node) decide(s *service) Verdict {
	v := n.place(s)
	why := n.frozen(s)
	if why.Code == BecauseNone || n.unsafe(s, v) {
		return v
	}
	if s.phase == phaseClaim || s.phase == phaseDependencies { // it has not begun
		return Verdict{Want: WantStop, Why: why}
	}
	return Verdict{Want: WantStay, Why: why}
}

// place decides as if nothing were frozen. The unit is placed first; a member of a group that may not
// run although its group does is a matter of its own.
func (n *Node) place(s *service) Verdict {
	u := n.unit(s)
	why := n.unfit(s)
	if s.phase == phaseStarted && (why.Code == BecauseOSPFDown || why.Code == BecauseNotInSync) &&
		s.cfg.OnOSPFLoss == LossKeep && !u.strict() {
		return Verdict{Want: WantRun, Why: Reason{Code: BecauseKeep}}
	}
	if why.Code == BecauseNone && u.group != "" {
		why = n.unfitUnit(u)
	}
	if why.Code != BecauseNone {
		return Verdict{Want: WantStop, Why: why}
	}
	self := n.self(u)
	switch {
	case s.config == ConfigFailed:
		return Verdict{Want: WantStop, Why: Reason{BecauseFailed, s.failure.String()}}
	case s.config != Active && has(s.phase.state()) == 0:
		return Verdict{Want: WantStop, Why: Reason{Code: BecauseNotOffered}}
	case !self.claims() && n.holding(u):
		return Verdict{Want: WantStop, Why: Reason{Code: BecauseHolding}}
	case !self.claims() && n.fresh(u):
		return Verdict{Want: WantStand, Why: Reason{Code: BecauseFresh}}
	}
	var v Verdict
	if self.claims() {
		v = n.decideHolder(s, u, self)
	} else {
		v = n.decideFree(s, u, self)
	}
	if v.Want == WantRun {
		if broken := n.brokenDependency(s); broken != "" {
			return Verdict{Want: WantStop, Why: Reason{BecauseDependency, broken}}
		}
	}
	return v
}

// decideHolder: a holder keeps it until a better claimant shows, so that
// nobody stops for a candidate that never claims.
func (n *Node) decideHolder(s *service, u unit, self candidate) Verdict {
	by, ok := n.betterClaimant(u, self)
	if !ok {
		return Verdict{Want: WantRun, Why: Reason{Code: BecauseHolder}}
	}
	who := n.hostOf(by.peer.id)
	if s.cfg.Overlap && s.phase == phaseStarted && !(s.yieldDue && n.announcedBy(u, by)) {
		return Verdict{Want: WantRun, Why: Reason{BecauseOverlap, who}}
	}
	return Verdict{Want: WantStand, Why: Reason{BecauseBetterClaimant, who}}
}

// betterClaimant is the best of those that start or run it and come before
// this node in the order.
func (n *Node) betterClaimant(u unit, self candidate) (by rival, ok bool) {
	best := self
	for r := range u.busy {
		if !r.claims() {
			continue
		}
		if c := u.candidate(r); c.better(best) && u.able(r) {
			best, by, ok = c, r, true
		}
	}
	return by, ok
}

// announcedBy reports whether a claimant has started all that runs here, and
// its routes are seen.
func (n *Node) announcedBy(u unit, r rival) bool {
	for _, m := range u.members {
		if m.cfg == nil || m.phase != phaseStarted {
			continue
		}
		o := r.of(m)
		if o == nil || o.said.State != advert.Started ||
			slices.ContainsFunc(o.said.Addresses, func(a netip.Addr) bool { return !n.announces(r.peer.id, a) }) {
			return false
		}
	}
	return true
}

// decideFree: one that does not have it takes it if it comes first in the
// order, not counting those that were passed over.
func (n *Node) decideFree(s *service, u unit, self candidate) Verdict {
	for r := range u.busy {
		if r.claims() && r.peer.node.State == advert.Maintenance && u.able(r) {
			return Verdict{Want: WantStand, Why: Reason{BecauseFrozenThere, n.hostOf(r.peer.id)}}
		}
	}
	best, stamp, found := self, stampOf{}, false
	skipped := RouterID(0)
	for _, st := range u.ranked().order {
		if !st.c.better(self) {
			break
		}
		stamp = u.stamp(st.peer)
		if was, ok := s.passed[st.c.router]; ok && was == stamp && !st.c.claims() {
			skipped = max(skipped, st.c.router)
			continue
		}
		best, found = st.c, true
		break
	}
	switch {
	case !found && skipped != 0:
		return Verdict{Want: WantRun, Why: Reason{BecauseOthersPassed, n.hostOf(skipped)}}
	case !found:
		return Verdict{Want: WantRun, Why: Reason{Code: BecauseBest}}
	case best.claims():
		return Verdict{Want: WantStand, Why: Reason{BecauseHeldBy, n.hostOf(best.router)}}
	}
	return Verdict{Want: WantStand, Why: Reason{BecauseBetterCandidate, n.hostOf(best.router)}, Awaited: best.router, AwaitedStamp: stamp}
}

// holding reports whether the node holds back from a unit: for startup_hold,
// and for failback_delay as long as somebody else has it.
func (n *Node) holding(u unit) bool {
	if !n.holdingSet || n.now.Before(n.holdUntil) {
		return true
	}
	var wait time.Duration
	for _, m := range u.members {
		if m.cfg != nil {
			wait = max(wait, m.cfg.FailbackWait)
		}
	}
	if wait == 0 || !n.now.Before(n.holdUntil.Add(wait)) {
		return false
	}
	for r := range u.busy {
		if r.claims() {
			return true
		}
	}
	return false
}

// freshHold is how long a strict service that is offered anew here is not
// claimed. Two nodes whose offers cross on their way would otherwise both claim
// it and ask nobody: an offer that is not known cannot be asked to acknowledge.
// After it each knows the other's offer, or the other hears the claim before it
// may claim itself. It is several times what flooding takes and what a node may
// be late unnoticed (see late).
const freshHold = 100 * time.Millisecond

// fresh reports whether a strict unit is offered here since too short a time to
// be claimed. Others need not know: it is a candidate, and claims soon.
func (n *Node) fresh(u unit) bool {
	return n.now.Before(u.freshUntil()) && u.strict()
}

// freshUntil is when that is over for what was offered here last.
func (u unit) freshUntil() (at time.Time) {
	for _, m := range u.members {
		if m.cfg != nil && !m.offeredAt.IsZero() {
			at = later(at, m.offeredAt.Add(freshHold))
		}
	}
	return at
}

// obstacles are those that stand in the way of a start that is claimed
// (DESIGN section 3, "in the way"), as people are told of them; none: it may
// begin.
func (n *Node) obstacles(s *service) []string {
	u := n.unit(s)
	if u.strict() {
		return n.strictObstacles(u, s.claim)
	}
	var in []string
	for r := range u.busy {
		// With overlap the old one keeps it until we are seen to have it.
		if r.runs() && !s.cfg.Overlap && !s.waited {
			in = append(in, n.hostOf(r.peer.id)+" to stop it")
		}
	}
	if s.cfg.Way == WayAlias {
		in = append(in, n.misled(s)...)
	}
	return in
}

// misled are those whose srrd is gone and whose routes still lead clients to
// them. A plain service starts meanwhile, and is announced when they are gone.
// An alias waits before that: it may be announced as soon as it is there. What
// may run twice need not wait: whoever is led there is still served there.
func (n *Node) misled(s *service) (in []string) {
	u := n.unit(s)
	if s.cfg.Overlap || u.strict() { // a strict one has waited before the start
		return nil
	}
	for _, m := range u.members {
		for _, l := range m.lost {
			in = append(in, "the route of "+l.host+", whose srrd is gone, to be withdrawn")
		}
	}
	return in
}

// strictObstacles: every reachable offerer must have seen the claim and be
// stopped, or failed and surely not running, with every member of a group;
// every lost holder be gone.
func (n *Node) strictObstacles(u unit, claim advert.Claim) []string {
	var in []string
	for r := range u.rivals {
		for _, o := range r.offers {
			if text := n.strictObstacle(o, claim); text != "" {
				in = append(in, text)
				break
			}
		}
	}
	for _, m := range u.members {
		for _, l := range m.lost {
			t := l.host + ", which " + l.was(m.name)
			if l.failedStop {
				t = l.host + ", which could not stop " + m.name + " when last heard: fencing or confirm-stopped " + l.host
			}
			in = append(in, t)
		}
	}
	return in
}

func (n *Node) strictObstacle(o *offer, claim advert.Claim) string {
	asked, hinders := o.asked()
	who := n.hostOf(o.peer.id)
	switch {
	case !asked:
		return ""
	case o.stuck():
		return who + ", which could not stop it and may still run it"
	case hinders:
		return who + " to stop it"
	case o.said.Seen != claim:
		return who + " to acknowledge the claim"
	}
	return ""
}

// asked reports whether a strict claimant waits for the peer's word, and
// whether that word stands in its way whatever the claim. Where stop is done and
// only the addresses are still to go, it does not: nothing runs there, and
// nothing starts there again but under a new claim.
func (o *offer) asked() (asked, hinders bool) {
	if !o.peer.reaches(o.scope) || o.peer.node == nil || o.live == 0 && !o.mayRun() {
		return false, false // not reachable, or no offerer; who is lost stands elsewhere
	}
	return true, o.stuck() || o.said.State == advert.Starting || serves(o.said.State, o.said.Step)
}

// mayBegin reports whether nothing stands in the way of a claimed start; if
// something does, whether it is waited for only for a while.
func (n *Node) mayBegin(s *service) (clear, forAWhile bool) {
	u := n.unit(s)
	lost := slices.ContainsFunc(u.members, func(m *service) bool { return len(m.lost) > 0 })
	if u.strict() {
		return !lost && u.ranked().acknowledged(s.claim) && n.outdone(u, s.claim) == nil, false
	}
	if !s.cfg.Overlap && !s.waited {
		for r := range u.busy {
			if r.runs() {
				return false, true
			}
		}
	}
	return !lost || s.cfg.Overlap || s.cfg.Way != WayAlias, false
}

// floor is the highest claim of the unit that this node has acknowledged. After
// a start it is the highest that it may have: so much is on disk.
func (u unit) floor() (highest advert.Claim) {
	for _, m := range u.members {
		highest = max(highest, m.floor)
	}
	return highest
}

// outdone is who has acknowledged a higher claim than this one before, of those
// whose acknowledgement it needs; nil if nobody has. Two majorities share a
// node. So of what only a majority starts every claim that was started under is
// known to one of those who acknowledge the next, also where whoever claims was
// parted from all who had it, and they have restarted since: their word stands
// on their disks, and comes with their acknowledgement. A claim that is outdone
// is not started under, so that claims rise (SRRD_CLAIM).
//
// It is asked for only where all have acknowledged the claim. Two claimants that
// do not hear each other would else outdo each other over a third without end:
// so one of them must have let go before the other claims anew.
func (n *Node) outdone(u unit, claim advert.Claim) *peer {
	if u.wanted() == 0 {
		return nil
	}
	var by *peer
	highest := claim
	for r := range u.rivals {
		for _, o := range r.offers {
			if asked, _ := o.asked(); asked && o.said.Floor > highest {
				highest, by = o.said.Floor, r.peer
			}
		}
	}
	return by
}

// mustClaimAnew reports whether nothing stands in the way of a start but that
// its claim is outdone.
func (n *Node) mustClaimAnew(s *service) bool {
	u := n.unit(s)
	lost := slices.ContainsFunc(u.members, func(m *service) bool { return len(m.lost) > 0 })
	return u.strict() && !lost && u.ranked().acknowledged(s.claim) && n.outdone(u, s.claim) != nil
}

// bestClaim is the claim this node acknowledges: that of the best claimant it
// sees, its own included.
func (n *Node) bestClaim(u unit) advert.Claim {
	var best candidate
	found := false
	if c := n.self(u); c.claims() {
		best, found = c, true
	}
	for r := range u.busy {
		if !r.claims() || !u.able(r) {
			continue
		}
		if c := u.candidate(r); !found || c.better(best) {
			best, found = c, true
		}
	}
	if !found {
		return 0
	}
	return best.claim
}

// acknowledged is the best claim, unless it is another's and this node still
// waits for a lost holder: the claimant may never have heard of that one. So of
// two majorities, which share a node, the later waits as long as the shared
// node would itself. What only a fence or a person ends is not waited for here:
// that is the claimant's to do.
//
// An acknowledgement that was given stands as long as this node hears that
// who has it has not let go. A claimant hears those whom it reaches, and while
// neighbours come back one by one that need not be all whom this node does: of
// two claimants that do not hear each other the later would start on this
// node's new word, while the earlier starts on the old one.
func (n *Node) acknowledged(u unit, given advert.Claim) advert.Claim {
	best := n.bestClaim(u)
	if best == 0 || best.By() == n.router {
		return best
	}
	for _, m := range u.members {
		for _, l := range m.lost {
			if !l.until.IsZero() && l.router != best.By() {
				return 0
			}
		}
	}
	for r := range u.busy {
		if r.peer.id == given.By() && r.peer.id != best.By() && slices.ContainsFunc(r.offers, func(o *offer) bool {
			asked, hinders := o.asked()
			return asked && hinders && o.said.Claim == given
		}) {
			return given
		}
	}
	return best
}
