package machine

import (
	"fmt"
	"slices"
)

// A configuration that is taken over, and the orderly end.

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
				n.awaitOthers(s)
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
	n.stayAwake()
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
