package machine

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// command takes what a person wants. Every command is answered once: at once,
// or when the primitive it asked for has ended.
func (n *Node) command(c Command) {
	text, err := n.obey(c)
	if err != "" {
		n.do(Answer{ID: c.ID, Err: err})
		return
	}
	who := c.Who
	if who == "" {
		who = "an operator"
	}
	switch c.Verb {
	case VerbCheck, VerbStatus:
		return // answered when it ends, and nothing changes
	case VerbRestart, VerbReload:
		n.note(LevelInfo, c.Service, fmt.Sprintf("%s by %s", c.Verb, who))
		return
	case VerbStart, VerbStop, VerbMove, VerbUnmove, VerbEnable, VerbDisable, VerbReactivate,
		VerbConfirmStopped, VerbStandby, VerbOnline, VerbFreeze, VerbUnfreeze, VerbMaintenance,
		VerbClusterFreeze, VerbClusterUnfreeze:
	case VerbDrain: // answered when nothing is left
		n.note(LevelInfo, "", sentence(fmt.Sprintf("%s by %s", c.Verb, who), text))
		return
	}
	n.note(LevelInfo, c.Service, sentence(fmt.Sprintf("%s by %s", c.Verb, who), text))
	n.do(Answer{ID: c.ID, Text: text})
}

// obey does it and returns what to say, or why not.
func (n *Node) obey(c Command) (text, refusal string) {
	switch c.Verb {
	case VerbStandby:
		return n.setState(advert.Standby)
	case VerbOnline:
		return n.setState(advert.Online)
	case VerbMaintenance:
		return n.setState(advert.Maintenance)
	case VerbDrain:
		n.drains = append(n.drains, c.ID)
		return n.setState(advert.Standby)
	case VerbClusterFreeze, VerbClusterUnfreeze:
		return n.cmdClusterFreeze(c.Verb == VerbClusterFreeze)
	}
	s := n.byName[c.Service]
	if s == nil || s.cfg == nil && len(s.offers) == 0 {
		return "", fmt.Sprintf("no node offers a service %q", c.Service)
	}
	if s.cfg == nil {
		return "", fmt.Sprintf("%s is not configured on this node; ask %s", s.name, n.offerers(s))
	}
	n.touch(s)
	switch c.Verb {
	case VerbStart:
		return n.cmdStart(s)
	case VerbStop:
		return n.cmdStop(s)
	case VerbMove:
		return n.cmdMove(s, c)
	case VerbUnmove:
		pin := n.unit(s).pin()
		if pin.Number == 0 || pin.Void {
			return "", "it is not moved"
		}
		n.newPin(s, advert.Pin{Void: true, Target: pin.Target})
		return "preferences decide again", ""
	case VerbEnable, VerbDisable:
		s.operator, s.disabled = true, c.Verb == VerbDisable
		n.save()
		return fmt.Sprintf("%sd on this node", c.Verb), ""
	case VerbReactivate:
		return n.cmdReactivate(s)
	case VerbConfirmStopped:
		return n.cmdConfirmStopped(s, c.Node)
	case VerbCheck, VerbStatus:
		n.enqueue(s, op{prim: primitiveOf(c.Verb), asked: c.ID})
		return "", ""
	case VerbRestart, VerbReload:
		if s.phase != phaseStarted {
			return "", fmt.Sprintf("it is not started on this node but %s", s.phase.state())
		}
		n.enqueue(s, op{prim: primitiveOf(c.Verb), asked: c.ID})
		return "", ""
	case VerbFreeze, VerbUnfreeze:
		return n.cmdFreeze(s, c.Verb == VerbFreeze)
	case VerbStandby, VerbOnline, VerbMaintenance, VerbDrain, VerbClusterFreeze, VerbClusterUnfreeze:
	}
	return "", "no such command"
}

func primitiveOf(v Verb) Primitive {
	switch v {
	case VerbRestart:
		return PrimRestart
	case VerbReload:
		return PrimReload
	case VerbCheck:
		return PrimCheck
	default:
		return PrimStatus
	}
}

func (n *Node) setState(st advert.NodeState) (string, string) {
	if n.state == st {
		return fmt.Sprintf("the node is %s already", st), ""
	}
	n.state = st
	n.daemonDue = n.ospf.latched
	n.save()
	n.touchAll()
	return fmt.Sprintf("the node is %s", st), ""
}

// offerers names who could be asked instead.
func (n *Node) offerers(s *service) string {
	var w []string
	for _, o := range s.offers {
		if o.counts {
			w = append(w, n.hostOf(o.peer.id))
		}
	}
	return joinWords(w)
}

func (n *Node) cmdStart(s *service) (string, string) {
	if s.hold.On {
		s.hold = advert.Hold{Number: s.hold.Number + 1}
		n.unrank(s)
		n.save()
		return "it may run again", ""
	}
	if s.phase == phaseFailed {
		return "", "it failed on this node (" + s.failure.String() + "); use reactivate"
	}
	return "it may run already: " + n.decide(s).Why.String(), ""
}

func (n *Node) cmdStop(s *service) (string, string) {
	if s.hold.On {
		return "it is stopped already", ""
	}
	s.hold = advert.Hold{Number: s.hold.Number + 1, On: true}
	n.unrank(s)
	n.save()
	return "no node runs it until start", ""
}

func (n *Node) cmdMove(s *service, c Command) (string, string) {
	target, refusal := n.findNode(s, c.Node)
	if refusal != "" {
		return "", refusal
	}
	if c.For < 0 || c.For > 1<<31*time.Second {
		return "", "the time must be between 1 second and 68 years"
	}
	if c.For != 0 && c.For < time.Second {
		return "", "the time must be at least 1 second"
	}
	n.newPin(s, advert.Pin{Target: target, Left: uint32(c.For / time.Second)})
	text := "moved to " + n.hostOf(target)
	if c.For != 0 {
		text += " for " + c.For.Truncate(time.Second).String()
	}
	return text, ""
}

// findNode finds a candidate by host name or router id.
func (n *Node) findNode(s *service, name string) (RouterID, string) {
	byID := RouterID(0)
	if a, err := netip.ParseAddr(name); err == nil {
		byID = advert.RouterIDFrom(a)
	}
	u := n.unit(s)
	var found []RouterID
	var why Reason
	match := func(r RouterID, host string) bool { return r == byID || byID == 0 && strings.EqualFold(host, name) }
	if match(n.router, n.cfg.Host) && n.router != 0 {
		found = append(found, n.router)
		if why = n.unfitUnit(u); why.Code == BecauseNone && s.config != Active {
			why = Reason{Code: BecauseNotOffered}
		}
	}
	for r := range u.rivals {
		if match(r.peer.id, n.hostOf(r.peer.id)) {
			found = append(found, r.peer.id)
			why = u.disqualified(r)
		}
	}
	switch {
	case len(found) == 0:
		return 0, fmt.Sprintf("%q does not offer it; these do: %s", name, joinWords(append([]string{n.cfg.Host}, n.otherOfferers(s)...)))
	case len(found) > 1:
		return 0, fmt.Sprintf("several nodes are called %q; use the router id", name)
	case why.Code != BecauseNone:
		return 0, fmt.Sprintf("%s is no candidate: %s", name, why)
	}
	return found[0], ""
}

func (n *Node) otherOfferers(s *service) (w []string) {
	for _, o := range s.offers {
		w = append(w, n.hostOf(o.peer.id))
	}
	return w
}

// newPin pins the unit: every member of a group carries it.
func (n *Node) newPin(s *service, p advert.Pin) {
	u := n.unit(s)
	for _, m := range u.members {
		p.Number = max(p.Number, m.pin.Number+1, m.pinFloor+1)
	}
	for _, m := range u.members {
		if m.cfg == nil {
			continue
		}
		m.given = 0
		if p.Left != 0 {
			m.given = p.Number
		}
		n.takePin(m, p)
	}
}

func (n *Node) cmdReactivate(s *service) (string, string) {
	switch {
	case s.phase == phaseFailed || s.phase == phaseConfigFailed:
		s.reactivated = true
		return "it may be tried here again", ""
	case s.probation:
		s.probation, s.failures = false, 0
		return "its probation is over", ""
	}
	return "", "it has not failed on this node"
}

// cmdConfirmStopped takes a person's word that a lost node does not run it.
func (n *Node) cmdConfirmStopped(s *service, name string) (string, string) {
	for _, l := range s.lost {
		if strings.EqualFold(l.host, name) || l.router.String() == name {
			n.settledBy(s, l.router)
			return l.host + " does not run it, as confirmed", ""
		}
	}
	for _, o := range s.offers {
		if host := n.hostOf(o.peer.id); o.stuck() && (strings.EqualFold(host, name) || o.peer.id.String() == name) {
			o.confirmed = true
			n.count(o)
			n.remark(o)
			return host + " does not run it, as confirmed", ""
		}
	}
	if s.mayRun && (strings.EqualFold(n.cfg.Host, name) || n.router.String() == name) && s.phase == phaseFailed {
		s.mayRun = false
		n.do(WriteMark{Mark: Mark{Service: s.name}, Clear: true})
		return "it does not run here, as confirmed", ""
	}
	return "", fmt.Sprintf("nobody waits for %q; waited for: %s", name, joinWords(n.lostNames(s)))
}

func (n *Node) lostNames(s *service) (w []string) {
	for _, l := range s.lost {
		w = append(w, l.host)
	}
	for _, o := range s.offers {
		if o.stuck() {
			w = append(w, n.hostOf(o.peer.id))
		}
	}
	if s.mayRun {
		w = append(w, n.cfg.Host)
	}
	return w
}
