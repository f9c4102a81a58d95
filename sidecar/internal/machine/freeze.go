package machine

import (
	"fmt"
	"strings"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// Freezing: a service, a node (maintenance) or the cluster is left as it is.
// Nothing is started or stopped, everything is still observed. Leaving the
// cluster ends it for the node; a strict service that others may start stops
// in spite of it.

// frozen is why a service is to stay as it is, BecauseNone if it is not. One
// frozen member freezes its group.
func (n *Node) frozen(s *service) Reason {
	if n.freeze.On {
		return Reason{Code: BecauseClusterFrozen}
	}
	if n.state == advert.Maintenance {
		return Reason{Code: BecauseMaintenance}
	}
	for _, m := range n.unit(s).members {
		if m.freeze.On {
			return Reason{BecauseFrozen, m.name}
		}
	}
	return Reason{}
}

// unsafe reports whether a verdict holds in spite of a freeze: on the way out
// of the cluster, and where a strict service might come to run twice.
func (n *Node) unsafe(s *service, v Verdict) bool {
	switch v.Why.Code {
	case BecauseLeaving, BecauseDuplicateRouterID, BecauseNotLocal:
		return true
	}
	u := n.unit(s)
	if !u.strict() || v.Want == WantRun {
		return false
	}
	// Whatever else is wrong, and was found first.
	if ok, _, _ := n.majority(u); !ok || s.stoodStill || n.ospf.full == 0 && !s.cfg.StartAlone {
		return true
	}
	switch v.Why.Code {
	case BecauseOSPFDown, BecauseNotInSync, BecauseNoNeighbor, BecauseAlone, BecauseNoMajority, BecauseStoodStill, BecauseBetterClaimant:
		return true
	case BecauseMaintenance:
		self := n.self(u)
		_, taken := n.betterClaimant(u, self)
		return self.claims() && taken
	}
	return false
}

func (n *Node) setFreeze(h advert.Hold) {
	n.freeze = h
	n.daemonDue = n.ospf.latched
	n.save()
	n.touchAll()
}

func frozenWord(on bool) string {
	if on {
		return "the cluster is frozen: nothing is started or stopped"
	}
	return "the cluster is no longer frozen"
}

func (n *Node) cmdClusterFreeze(on bool) (string, string) {
	if n.freeze.On == on {
		return frozenWord(on) + " already", ""
	}
	n.setFreeze(advert.Hold{Number: n.freeze.Number + 1, On: on})
	return frozenWord(on), ""
}

// cmdFreeze freezes a service; unfreezing it frees its group.
func (n *Node) cmdFreeze(s *service, on bool) (string, string) {
	if on {
		if s.freeze.On {
			return "it is frozen already", ""
		}
		s.freeze = advert.Hold{Number: s.freeze.Number + 1, On: true}
		n.save()
		return "no node starts or stops it until unfreeze", ""
	}
	found := false
	for _, m := range n.unit(s).members {
		if m.freeze.On && m.cfg != nil {
			m.freeze = advert.Hold{Number: m.freeze.Number + 1}
			found = true
			n.touch(m)
		}
	}
	if !found {
		return "", "it is not frozen"
	}
	n.save()
	return "it may be started and stopped again", ""
}

// left lists what runs here, or may.
func (n *Node) left() (w []string) {
	for _, s := range n.services {
		if s.cfg != nil && (has(s.phase.state()) > 0 || s.phase.state() == advert.Stopping || s.phase.begun() || s.mayRun) {
			w = append(w, s.name)
		}
	}
	return w
}

// finishDrain answers those who wait until nothing runs here any more.
func (n *Node) finishDrain() {
	if len(n.drains) == 0 {
		return
	}
	text, err := "nothing runs here any more", ""
	switch left := n.left(); {
	case n.state != advert.Standby:
		text, err = "", fmt.Sprintf("the node is %s now; still here: %s", n.state, strings.Join(left, " "))
	case len(left) > 0:
		return
	}
	for _, id := range n.drains {
		n.do(Answer{ID: id, Text: text, Err: err})
	}
	n.drains = nil
}
