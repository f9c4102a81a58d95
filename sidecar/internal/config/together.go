package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// loaded is one service that could be read.
type loaded struct {
	raw  rawService
	m    machine.Service
	port Service
}

func (l *loaded) report(problems *Problems, at Position, key, format string, args ...any) {
	if at.File == "" {
		at = l.port.file
	}
	*problems = append(*problems, Problem{at, key, fmt.Sprintf(format, args...)})
}

// strict is machine.Service.Strict, of what was meant.
func (l *loaded) strict() bool { return l.m.Exclusive || l.raw.resource() }

// together checks what holds between services. services is sorted by name.
// known has the names of all files, also of those that could not be read.
func together(problems *Problems, services []*loaded, known map[string]bool, detection time.Duration) {
	byName := map[string]*loaded{}
	groups := map[string][]*loaded{}
	for _, s := range services {
		byName[s.m.Name] = s
		if s.m.Group != "" {
			groups[s.m.Group] = append(groups[s.m.Group], s)
		}
	}
	for _, s := range services {
		dependencies(problems, s, byName, known)
	}
	cycles(problems, services, byName)
	addressesApart(problems, services)
	for _, g := range slices.Sorted(maps.Keys(groups)) {
		placeable(problems, g, groups[g])
	}
	heart := make([]machine.Service, len(services))
	for i, s := range services {
		heart[i] = s.m
	}
	for _, s := range services {
		group := groups[s.m.Group]
		if s.m.Group == "" {
			group = []*loaded{s}
		}
		strictness(problems, s, strictIn(s, groups), group, heart, detection)
	}
}

// strictIn is the service that makes s strict: itself or one of its group.
func strictIn(s *loaded, groups map[string][]*loaded) *loaded {
	if s.strict() {
		return s
	}
	for _, o := range groups[s.m.Group] {
		if o.strict() {
			return o
		}
	}
	return nil
}

func dependencies(problems *Problems, s *loaded, byName map[string]*loaded, known map[string]bool) {
	for _, d := range s.raw.Dependencies {
		on, ok := byName[d.V]
		switch {
		case !ok && known[d.V]: // its own file says what is wrong
		case !ok:
			s.report(problems, d.At, "dependencies", "no service %s is configured%s", d.V, suggest(d.V, slices.Sorted(maps.Keys(known))))
		case d.V == s.m.Name: // a cycle of one
		case s.m.Group == "" && on.m.Group == "":
			s.report(problems, d.At, "dependencies", "%s may run on another node: give both the same group", d.V)
		case s.m.Group != on.m.Group:
			s.report(problems, d.At, "dependencies", "%s is in %s, this service in %s: want both in one group",
				d.V, groupWords(on.m.Group), groupWords(s.m.Group))
		case s.m.Enabled && !on.m.Enabled:
			s.report(problems, d.At, "dependencies", "%s is not enabled, so this service could never start", d.V)
		case s.m.Overlap && !on.m.Overlap:
			s.report(problems, s.raw.Overlap.At, "handover", "overlap wants overlap of everything it depends on; %s has handover: stop", d.V)
		}
	}
}

func groupWords(g string) string {
	if g == "" {
		return "no group"
	}
	return "group " + g
}

// cycles reports each circle once, at its first member by name.
func cycles(problems *Problems, services []*loaded, byName map[string]*loaded) {
	const (
		unseen = iota
		onPath
		done
	)
	state := map[string]int{}
	var path []string
	var visit func(s *loaded)
	visit = func(s *loaded) {
		state[s.m.Name] = onPath
		path = append(path, s.m.Name)
		for _, d := range s.m.Dependencies {
			on, ok := byName[d]
			if !ok {
				continue
			}
			switch state[d] {
			case unseen:
				visit(on)
			case onPath:
				circle := path[slices.Index(path, d):]
				i := slices.IndexFunc(s.raw.Dependencies, func(o opt[string]) bool { return o.V == d })
				s.report(problems, s.raw.Dependencies[i].At, "dependencies", "a circle: %s",
					strings.Join(append(slices.Clone(circle), d), " depends on "))
			}
		}
		path = path[:len(path)-1]
		state[s.m.Name] = done
	}
	for _, s := range services {
		if state[s.m.Name] == unseen {
			visit(s)
		}
	}
}

// addressesApart: an address belongs to one service or to services of one
// group, which then put it on in one way.
func addressesApart(problems *Problems, services []*loaded) {
	owner := map[netip.Addr]*loaded{}
	for _, s := range services {
		for _, a := range s.raw.Addresses {
			o, ok := owner[a.V]
			switch {
			case !ok:
				owner[a.V] = s
			case o == s: // reported by unique
			case s.m.Group == "" || s.m.Group != o.m.Group:
				s.report(problems, a.At, "addresses", "%s belongs to service %s already: want another address, or both services in one group", a.V, o.m.Name)
			case s.port.Way != o.port.Way || s.port.Device != o.port.Device || s.port.Driver != o.port.Driver ||
				s.port.Announce != o.port.Announce || s.port.Area != o.port.Area:
				s.report(problems, a.At, "addresses", "%s is shared with service %s: want address, device, driver, announce and area alike", a.V, o.m.Name)
			}
		}
	}
}

// placeable: a group has one claim, so its members must be known equally far,
// hand over alike where they depend on it, be enabled together, and ask for one
// majority.
func placeable(problems *Problems, name string, members []*loaded) {
	first := members[0]
	enabled := slices.IndexFunc(members, func(m *loaded) bool { return m.m.Enabled })
	strict := slices.IndexFunc(members, func(m *loaded) bool { return m.strict() })
	counted := slices.IndexFunc(members, func(m *loaded) bool { return m.m.Members > 0 })
	for _, m := range members {
		if counted >= 0 && m.m.Members > 0 && m.m.Members != members[counted].m.Members {
			m.report(problems, m.raw.Members.At, "members", "group %s is placed as one: %s has members: %d, %s has members: %d",
				name, members[counted].m.Name, members[counted].m.Members, m.m.Name, m.m.Members)
		}
		if m.m.Scope != first.m.Scope {
			at := m.raw.Scope.At
			s := m
			if !m.raw.Scope.Set {
				at, s = first.raw.Scope.At, first
			}
			s.report(problems, at, "scope", "group %s is placed as one: %s has scope %s, %s has scope %s",
				name, first.m.Name, first.m.Scope, m.m.Name, m.m.Scope)
		}
		if enabled >= 0 && m.m.Critical && !m.m.Enabled {
			m.report(problems, m.raw.Enabled.At, "enabled", "group %s can never be placed here: %s is critical and not enabled, %s is",
				name, m.m.Name, members[enabled].m.Name)
		}
		if m.m.Overlap && strict >= 0 && members[strict] != m {
			m.report(problems, m.raw.Overlap.At, "handover", "group %s must never run twice because of %s: overlap is not possible",
				name, members[strict].m.Name)
		}
	}
}

// strictness checks what is said for services that must never run twice.
//
// Fencing and majorities do not make a short lost_hold safe: it is what remains
// when a fence does not succeed, and the time in which a holder that has lost
// its majority stops.
func strictness(problems *Problems, s *loaded, strict *loaded, group []*loaded, all []machine.Service, detection time.Duration) {
	if strict == nil {
		const text = "only for what must never run twice: a service without addresses, exclusive: yes, or a group with one of them"
		if s.raw.LostHold.Set {
			s.report(problems, s.raw.LostHold.At, "lost_hold", text)
		}
		if s.raw.BestEffort.V {
			s.report(problems, s.raw.BestEffort.At, "best_effort", text)
		}
		if s.raw.Fence.V {
			s.report(problems, s.raw.Fence.At, "fence", text)
		}
		if s.raw.Members.Set {
			s.report(problems, s.raw.Members.At, "members", text)
		}
		return
	}
	if loss := s.raw.Policy.OnOSPFLoss; loss.Set && loss.V == machine.LossKeep {
		why := "it must never run twice"
		if strict != s {
			why = fmt.Sprintf("its group must never run twice because of %s", strict.m.Name)
		}
		s.report(problems, loss.At, "on_ospf_loss", "want stop: %s", why)
	}
	s.m.OnOSPFLoss = machine.LossStop // keep in srrd.yaml is meant for the others
	or := ", or best_effort: yes"
	if by := protectedBy(s, group); by != "" {
		if s.raw.BestEffort.V {
			s.report(problems, s.raw.BestEffort.At, "best_effort", "contradicts %s, which is there so that it never runs twice", by)
		}
		or = ""
	}
	computed := LostHold(s.m.Name, all, detection)
	if hold := s.raw.LostHold; hold.Set && hold.V < computed && (!s.m.BestEffort || or == "") {
		s.report(problems, hold.At, "lost_hold", "want at least %s (%s until a node knows that it is cut off, %s for its stops)%s, got %s",
			short(computed), short(detection), short(computed-detection), or, short(hold.V))
	}
}

// protectedBy is what keeps a strict service from running twice in a partition:
// its own fence or members, or those of its group; "" for nothing.
func protectedBy(s *loaded, group []*loaded) string {
	for _, m := range append([]*loaded{s}, group...) {
		of := ""
		if m != s {
			of = " of " + m.m.Name + " in its group"
		}
		switch {
		case m.m.Fence:
			return "fence: yes" + of
		case m.m.Members > 0:
			return fmt.Sprintf("members: %d%s", m.m.Members, of)
		}
	}
	return ""
}

// LostHold is how long a strict service's lost holder must be waited for
// before it has surely stopped by itself (DESIGN section 5): the time until a
// node that is cut off knows it, and its longest chain of stop timeouts, since
// dependents stop first. A service that is not among services has no stops.
func LostHold(name string, services []machine.Service, detection time.Duration) time.Duration {
	byName := make(map[string]*machine.Service, len(services))
	dependents := map[string][]string{}
	for i := range services {
		s := &services[i]
		byName[s.Name] = s
		for _, d := range s.Dependencies {
			dependents[d] = append(dependents[d], s.Name)
		}
	}
	// Every service is visited once; a circle counts as its first round.
	chain := map[string]time.Duration{}
	var longest func(name string) time.Duration
	longest = func(name string) time.Duration {
		if d, ok := chain[name]; ok {
			return d
		}
		s, ok := byName[name]
		if !ok {
			return 0
		}
		chain[name] = 0
		var before time.Duration
		for _, d := range dependents[name] {
			before = max(before, longest(d))
		}
		chain[name] = before + s.Timeout[machine.PrimStop]
		return chain[name]
	}
	return detection + longest(name)
}
