package machine

import (
	"slices"
	"strings"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// unit is what is placed as one: a single service, or the services of a group
// (DESIGN section 3). What it is follows from the database and our own
// configuration alone, so that every node sees the same unit.
type unit struct {
	group   string     // "" for a single service
	members []*service // sorted by name; configured here or only heard of
	rank    *ranking
}

// group is what is known of a group.
type group struct {
	members []*service // sorted by name
	rank    ranking
}

// unit is the unit a service is placed with.
func (n *Node) unit(s *service) unit {
	if g := n.groups[s.grouped]; s.grouped != "" && g != nil {
		return unit{s.grouped, g.members, &g.rank}
	}
	return unit{members: s.alone[:], rank: &s.rank}
}

// regroup keeps which services belong together.
func (n *Node) regroup(s *service) {
	now := s.group()
	if now == s.grouped {
		return
	}
	n.touchGroup(s)
	n.unrank(s)
	if was := n.groups[s.grouped]; was != nil {
		was.members = slices.DeleteFunc(was.members, func(m *service) bool { return m == s })
		if len(was.members) == 0 {
			delete(n.groups, s.grouped)
		}
	}
	s.grouped = now
	if now != "" {
		g := n.groups[now]
		if g == nil {
			g = &group{}
			n.groups[now] = g
		}
		i, _ := slices.BinarySearchFunc(g.members, s.name, func(m *service, name string) int { return strings.Compare(m.name, name) })
		g.members = slices.Insert(g.members, i, s)
	}
	n.unrank(s)
	n.touchGroup(s)
}

// touchGroup touches the other members: what concerns one may concern all.
func (n *Node) touchGroup(s *service) {
	if s.grouped == "" {
		return
	}
	for _, m := range n.groups[s.grouped].members {
		n.touchOne(m)
	}
}

// group is the group a service is in: as configured here, else as offered.
func (s *service) group() string {
	if s.cfg != nil {
		return s.cfg.Group
	}
	for _, o := range s.offers {
		if o.counts || o.near {
			return o.said.Group
		}
	}
	return ""
}

// critical reports whether the unit cannot do without the member: it is
// critical, or a critical one depends on it. A single service always is.
func (u unit) critical(s *service) bool {
	if u.group == "" || s.criticalSelf() {
		return true
	}
	return slices.ContainsFunc(u.members, func(m *service) bool { return m.criticalSelf() && u.needs(m, s, len(u.members)) })
}

func (s *service) criticalSelf() bool {
	if s.cfg != nil {
		return s.cfg.Critical
	}
	return s.criticals > 0
}

// needs reports whether m depends on s, through others too. What is heard may
// hold a cycle, so the chain is at most as long as the group is large.
func (u unit) needs(m, s *service, depth int) bool {
	if depth == 0 {
		return false
	}
	for _, name := range m.dependencies() {
		if name == s.name {
			return true
		}
		i := slices.IndexFunc(u.members, func(k *service) bool { return k.name == name })
		if i >= 0 && u.needs(u.members[i], s, depth-1) {
			return true
		}
	}
	return false
}

func (s *service) dependencies() []string {
	if s.cfg != nil {
		return s.cfg.Dependencies
	}
	for _, o := range s.offers {
		if o.counts {
			return o.said.Dependencies
		}
	}
	return nil
}

// hasCritical reports whether any member is critical; if none is, a node can
// carry the unit as long as it can carry one of them.
func (u unit) hasCritical() bool { return slices.ContainsFunc(u.members, u.critical) }

// strict reports whether the unit is placed by acknowledged claims: one strict
// member makes it so.
func (u unit) strict() bool { return slices.ContainsFunc(u.members, (*service).strictSelf) }

// pin is the newest pin of any member: a move concerns all.
func (u unit) pin() advert.Pin {
	best := u.members[0].pin
	for _, m := range u.members[1:] {
		if m.pin.Newer(best) {
			best = m.pin
		}
	}
	return best
}

// rival is what one other router offers of a unit.
type rival struct {
	peer   *peer
	offers []*offer // sorted by service; at least one
}

// rivals runs over the routers that offer any of the unit, by router id,
// counting or not.
func (u unit) rivals(yield func(rival) bool) {
	if len(u.members) == 1 {
		s := u.members[0]
		for i, o := range s.offers {
			if !yield(rival{o.peer, s.offers[i : i+1]}) {
				return
			}
		}
		return
	}
	next := make([]int, len(u.members))
	for {
		var first *peer
		for i, m := range u.members {
			if next[i] < len(m.offers) {
				if p := m.offers[next[i]].peer; first == nil || p.id < first.id {
					first = p
				}
			}
		}
		if first == nil {
			return
		}
		r := rival{peer: first}
		for i, m := range u.members {
			if next[i] < len(m.offers) && m.offers[next[i]].peer == first {
				r.offers = append(r.offers, m.offers[next[i]])
				next[i]++
			}
		}
		if !yield(r) {
			return
		}
	}
}

// of is the router's offer of one member, nil if there is none that counts.
func (r rival) of(s *service) *offer {
	for _, o := range r.offers {
		if o.s == s && o.counts {
			return o
		}
	}
	return nil
}

// claims reports whether any of it starts or runs there.
func (r rival) claims() bool {
	return slices.ContainsFunc(r.offers, func(o *offer) bool { return o.counts && has(o.said.State) > 0 })
}

// runs reports whether any of it may be running there. Where stop is done and
// only the addresses are still to go, nothing does: they lead nobody there.
func (r rival) runs() bool {
	return slices.ContainsFunc(r.offers, func(o *offer) bool { return o.counts && serves(o.said.State, o.said.Step) })
}

// stamp is how recently a router spoke of the unit.
func (u unit) stamp(p *peer) advert.Stamp {
	var newest advert.Stamp
	for _, m := range u.members {
		if o := p.of[m]; o != nil && o.said.Stamp.Newer(newest) {
			newest = o.said.Stamp
		}
	}
	return newest
}

// able reports whether nothing disqualifies the router.
func (u unit) able(r rival) bool {
	why, _ := u.bar(r)
	return why == BecauseNone
}

// candidate is the router as a candidate; only if disqualified says nothing.
func (u unit) candidate(r rival) candidate {
	c := candidate{router: r.peer.id, pref: 256}
	critical := u.hasCritical()
	for _, o := range r.offers {
		if !o.counts {
			continue
		}
		c.has = max(c.has, has(o.said.State))
		c.claim = max(c.claim, claimOf(o.said.State, o.said.Claim))
		if !critical || u.critical(o.s) {
			c.pref = min(c.pref, int(o.said.Preference))
			c.probation = c.probation || o.said.Flags.Has(advert.FlagProbation)
		}
	}
	u.applyPin(&c)
	return c
}

// self is this node as a candidate.
func (n *Node) self(u unit) candidate {
	c := candidate{router: n.router, pref: 256}
	critical := u.hasCritical()
	for _, m := range u.members {
		if m.cfg == nil {
			continue
		}
		st := m.phase.state()
		c.has = max(c.has, has(st))
		c.claim = max(c.claim, claimOf(st, m.claim))
		if !critical || u.critical(m) {
			c.pref = min(c.pref, int(m.cfg.Preference))
			c.probation = c.probation || m.probation || n.crippled(m)
		}
	}
	u.applyPin(&c)
	return c
}

func (u unit) applyPin(c *candidate) {
	if p := u.pin(); p.Number != 0 && !p.Void && p.Target == c.router {
		c.pref = pinned
	}
}

// bar is what keeps the router from being a candidate for the unit, and of
// which member; BecauseNone if nothing does.
func (u unit) bar(r rival) (ReasonCode, *service) {
	if u.group == "" {
		return r.offers[0].bar(r.claims()), u.members[0]
	}
	first, of := BecauseNone, (*service)(nil)
	critical, able := u.hasCritical(), false
	for _, m := range u.members {
		why := BecauseNotOfferedThere
		if i := slices.IndexFunc(r.offers, func(o *offer) bool { return o.s == m }); i >= 0 {
			why = r.offers[i].bar(r.claims())
		}
		switch {
		case why == BecauseNone:
			able = true
		case critical && u.critical(m):
			return why, m
		case of == nil:
			first, of = why, m
		}
	}
	if !critical && !able {
		return first, of
	}
	return BecauseNone, nil
}

// disqualified is bar for people.
func (u unit) disqualified(r rival) Reason {
	code, m := u.bar(r)
	if code == BecauseNone {
		return Reason{}
	}
	why := Reason{Code: code}
	if o := r.peer.of[m]; o != nil {
		why = o.disqualified(r.claims())
	}
	if u.group == "" {
		return why
	}
	return Reason{BecauseGroupLacks, m.name + ": " + why.String()}
}

// unfitUnit is why this node cannot carry the unit, BecauseNone if it can.
func (n *Node) unfitUnit(u unit) Reason {
	if u.group == "" {
		return n.unfit(u.members[0])
	}
	any := Reason{}
	critical, able := u.hasCritical(), false
	for _, m := range u.members {
		why := n.unfit(m)
		if why.Code == BecauseNone && m.config == ConfigFailed {
			why = Reason{BecauseFailed, m.failure.String()}
		}
		if why.Code == BecauseNone && m.config != Active && m.phase != phaseStarted && !n.foundRunning(m) {
			why = Reason{Code: BecauseNotOffered}
		}
		switch {
		case why.Code == BecauseNone:
			able = true
		case critical && u.critical(m):
			return Reason{BecauseGroupLacks, m.name + ": " + why.String()}
		case any.Code == BecauseNone:
			any = Reason{BecauseGroupLacks, m.name + ": " + why.String()}
		}
	}
	if !critical && !able {
		return any
	}
	return Reason{}
}

// Dependencies: start after, stop before, within the node and the group.

// awaitedDependencies are those of the service that have not started here;
// done with `start` is enough.
func (n *Node) awaitedDependencies(s *service) (w []*service) {
	for _, name := range s.cfg.Dependencies {
		if d := n.byName[name]; d == nil || !d.phase.startDone() {
			w = append(w, d)
		}
	}
	return w
}

// brokenDependency names one that will not start here by itself.
func (n *Node) brokenDependency(s *service) string {
	if len(s.cfg.Dependencies) == 0 {
		return ""
	}
	for _, name := range s.cfg.Dependencies {
		d := n.byName[name]
		switch {
		case d == nil || d.cfg == nil:
			return name + " is not configured here"
		case d.phase.state() == advert.Failed:
			return name + " failed: " + d.failure.String()
		case d.causeFail.Code != advert.FailNone:
			return name + " failed: " + d.causeFail.String()
		case d.hold.On || d.disabled || d.removed:
			return name + ": " + n.unfit(d).String()
		}
		if deeper := n.brokenDependency(d); deeper != "" {
			return name + " waits: " + deeper
		}
	}
	return ""
}

// dependents are the services here that depend on s and are not stopped yet.
func (n *Node) dependents(s *service) (w []*service) {
	if s.grouped == "" {
		return nil
	}
	for _, m := range n.groups[s.grouped].members {
		if m.cfg != nil && (m.phase.begun() || m.found != nil) && slices.Contains(m.cfg.Dependencies, s.name) {
			w = append(w, m)
		}
	}
	return w
}

func names(ss []*service) (w []string) {
	for _, s := range ss {
		if s != nil {
			w = append(w, s.name)
		}
	}
	return w
}
