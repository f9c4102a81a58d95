package machine

import "slices"

// Adoption: what an earlier life of srrd left running is kept where nobody has
// a better claim (DESIGN section 2). A group is judged as a whole.

// allAsked reports whether all that an earlier life left of the unit has said
// whether it runs.
func (n *Node) allAsked(s *service) bool {
	return !slices.ContainsFunc(n.unit(s).members, func(m *service) bool {
		return m.found != nil && m.enabled() && (m.phase == phaseInactive || m.phase == phaseFound && m.result == nil)
	})
}

// foundRunning reports whether an earlier life left the service running as it
// is configured now, and so all it depends on.
func (n *Node) foundRunning(s *service) bool {
	switch {
	case s == nil || s.cfg == nil:
		return false
	case s.phase.startDone():
		return true
	case s.phase != phaseFound || s.found == nil || s.found.MayStillRun || s.result == nil || s.result.Outcome != OutcomeDone || !s.enabled():
		return false
	case s.found.Config != 0 && s.found.Config != s.cfg.shape():
		return false
	}
	return !slices.ContainsFunc(s.cfg.Dependencies, func(d string) bool { return !n.foundRunning(n.byName[d]) })
}

// adoptable reports whether what an earlier life left running is still the
// best there is, with all its group cannot do without.
func (n *Node) adoptable(s *service) bool {
	u := n.unit(s)
	for _, m := range u.members {
		if (m == s || u.hasCritical() && u.critical(m)) && (!n.foundRunning(m) || n.unfit(m).Code != BecauseNone) {
			return false
		}
	}
	claim := s.found.Claim
	for _, m := range u.members {
		if m.found != nil {
			claim = max(claim, m.found.Claim)
		}
	}
	if u.strict() {
		// Taken is taken: what others hold, or held last under a later claim,
		// was given up here, and is stopped before anything else.
		for _, m := range u.members {
			if slices.ContainsFunc(m.offers, func(o *offer) bool {
				return o.mayRun() && (o.counts || o.peer.reaches(o.scope) || o.said.Claim > claim)
			}) || slices.ContainsFunc(m.lost, func(l *lost) bool { return l.claim > claim }) {
				return false
			}
		}
	}
	self := n.self(u)
	self.has, self.claim = 2, max(self.claim, claim)
	_, taken := n.betterClaimant(u, self)
	return !taken
}
