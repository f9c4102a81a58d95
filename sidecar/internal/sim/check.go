package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// startKey and startMark: no two starts with one claim.
type startKey struct {
	service string
	claim   advert.Claim
}

type startMark struct {
	host     int
	life     int
	recalled bool // it asked to be asked again
}

func (s *Sim) violate(format string, a ...any) {
	v := fmt.Sprintf("%.6f %s", s.Now().Seconds(), fmt.Sprintf(format, a...))
	s.violations = append(s.violations, v)
	s.Log("!!! %s", v)
}

// notYet is when something happened that has not.
const notYet = time.Duration(-1 << 62)

// never is that, n times.
func never(n int) []time.Duration {
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = notYet
	}
	return all
}

// witness notes who hears whom, and who has neighbours. It is called before
// any of that changes, so that when it was last so is known without looking
// after every event.
func (s *Sim) witness() {
	if s.opt.Unchecked {
		return
	}
	for _, h := range s.hosts[:s.nodes] {
		h.met = s.lastMet(h)
		for j, other := range s.hosts[:s.nodes] {
			for k := range s.strict {
				h.heard[j][k] = s.lastHeard(h, other, k)
			}
		}
	}
}

// lastMet is when the host's ospfd last had a neighbour.
func (s *Sim) lastMet(h *host) time.Duration {
	if h.ospf.up && s.full(h) > 0 {
		return s.t
	}
	return h.met
}

// hears reports whether h hears what other says of Sim.strict[k]: the two are
// connected, h has had the time to know of it and takes events, and other has
// said it.
func (s *Sim) hears(h, other *host, k int) bool {
	at := other.spoke[k]
	return at != notYet && s.t-at > knownAfter && other.srrd != nil && s.t > h.hung && (h.stood == 0 || s.t-h.thawed > knownAfter) &&
		h.ospf.up && h.ospf.session != 0 && h.ospf.reach[other.id] &&
		s.t-h.ospf.since[other.id] > knownAfter && s.linked(h, other)
}

// lastHeard is when it did last.
func (s *Sim) lastHeard(h, other *host, k int) time.Duration {
	if s.hears(h, other, k) {
		return s.t
	}
	return h.heard[other.id][k]
}

// suspect has a host examined after the event.
func (s *Sim) suspect(h *host) {
	if !slices.Contains(s.suspects, h) {
		s.suspects = append(s.suspects, h)
	}
}

// examine looks, after an event, at the hosts it may have changed.
func (s *Sim) examine() {
	for _, h := range s.suspects {
		for _, a := range sortedAddrs(h.zebra) {
			if !slices.ContainsFunc(h.owners[a], func(name string) bool { u := h.units[name]; return u != nil && u.running }) {
				s.violate("%s announces %s and does not run it", h.name, a)
				delete(h.zebra, a)
			}
		}
	}
	s.suspects = s.suspects[:0]
}

// checkStart: one claim starts once, and a strict service only where it runs
// nowhere else, or its holder was lost for lost_hold.
func (s *Sim) checkStart(h *host, a machine.RunPrimitive) {
	if s.opt.Unchecked {
		return
	}
	claim := startKey{a.Service, a.Env.Claim}
	m, twice := s.starts[claim]
	again := twice && m.host == h.id && m.life == h.life && m.recalled
	if twice && !again && !h.forgot {
		s.violate("%s starts %s under claim %s, which was used before", h.name, a.Service, a.Env.Claim)
	}
	s.starts[claim] = startMark{host: h.id, life: h.life}
	if a.Env.Claim.By() != h.router {
		s.violate("%s starts %s under the claim %s of another", h.name, a.Service, a.Env.Claim)
	}
	c := h.service(a.Service)
	if c == nil {
		return
	}
	for _, d := range c.Dependencies {
		if u := h.unit(d); !u.running || !u.ready {
			s.violate("%s starts %s before %s, which it depends on, has started", h.name, a.Service, d)
		}
	}
	s.checkGuarded(h, c)
	s.checkAwake(h, c)
	s.checkRises(h, c, a.Env.Claim, again)
	for _, x := range a.Env.Addresses {
		if _, stolen := h.stolen[x]; !h.kernel[x] && !stolen {
			s.violate("%s starts %s before %s is on the node", h.name, a.Service, x)
		}
	}
	// A start that wished to be asked again has begun already, when nobody else
	// was known to run it; whoever comes back meanwhile stops it, or is stopped,
	// when rejoin_hold is over (DESIGN section 5, a node returns).
	if !c.Strict() || h.forgot || again {
		return
	}
	hold := s.lostHold(c)
	k := slices.Index(s.strict, a.Service)
	for j, other := range s.hosts[:s.nodes] {
		u := other.units[a.Service]
		if k < 0 || j == h.id || u == nil || !u.running {
			continue
		}
		if met := s.lastMet(other); !u.adrift && other.srrd != nil && s.t > other.hung+hold && s.t-met > hold {
			s.violate("%s starts the strict service %s, and %s, cut off for %s, has not stopped it", h.name, a.Service, other.name, s.t-met)
		}
		// One that began only after the two were parted could not be known
		// (DESIGN section 5: without fence or members).
		if heard := s.lastHeard(h, other, k); s.t-heard < hold && (s.hears(h, other, k) || heard > u.since+knownAfter) {
			s.violate("%s starts the strict service %s while %s runs it, heard %s ago", h.name, a.Service, other.name, s.t-heard)
		}
		// What another node of this part heard, and h has never, stands in the
		// database of both. Half, for each noticed the loss in its own time.
		if heard := s.lastHeardIn(h, other, k); heard > u.since+knownAfter && s.t-heard < hold/2 && s.t > h.hung && s.holds(h, other, a.Service) {
			s.violate("%s starts the strict service %s while %s runs it, as its database says and others heard %s ago", h.name, a.Service, other.name, s.t-heard)
		}
	}
}

// lastHeardIn is when h, or any node it has been reaching for some time, last
// heard other.
func (s *Sim) lastHeardIn(h, other *host, k int) time.Duration {
	at := notYet
	for _, p := range s.hosts[:s.nodes] {
		if p == h || p != other && h.ospf.reach[p.id] && s.t-h.ospf.since[p.id] > knownAfter {
			at = max(at, s.lastHeard(p, other, k))
		}
	}
	return at
}

// holds reports whether the database of h has had the time to say that other
// runs the service.
func (s *Sim) holds(h, other *host, service string) bool {
	var newest *advert.Service
	at := notYet
	for id := range h.ospf.db {
		l := s.get(&h.ospf, id)
		if l.lsa == nil || l.gone || l.origin != other.id {
			continue
		}
		seen, ok := l.ev.(machine.LSASeen)
		if b := seen.Body.Service; ok && b != nil && b.Name == service && (newest == nil || b.Stamp.Newer(newest.Stamp)) {
			newest, at = b, l.at
		}
	}
	return newest != nil && newest.State == advert.Started && s.t-at > knownAfter
}

// checkGuarded: with fence or members a strict service never starts while
// another node runs it, whoever hears whom. A majority alone cannot know what
// a node without srrd does, nor stop what does not let itself be stopped, nor
// what stands still and, for a moment, goes on (see thaw).
func (s *Sim) checkGuarded(h *host, c *machine.Service) {
	if !c.Strict() || !c.Fence && c.Members == 0 || h.forgot {
		return
	}
	for _, other := range s.hosts {
		if u := other.units[c.Name]; other != h && u != nil && u.running && (c.Fence || !u.adrift && !other.frozen && s.t-other.thawed > longestStop) {
			s.violate("%s starts %s while %s runs it, in spite of fence or members", h.name, c.Name, other.name)
		}
	}
}

// checkRises: what only a majority starts is started under ever higher claims,
// so that storage can fence by them; as long as no node has lost its memory.
func (s *Sim) checkRises(h *host, c *machine.Service, claim advert.Claim, again bool) {
	if c.Members == 0 || slices.ContainsFunc(s.hosts, func(h *host) bool { return h.forgot || h.behind }) {
		return
	}
	if last := s.highest[c.Name]; claim < last || claim == last && !again {
		s.violate("%s starts %s under claim %s, after it was started under %s", h.name, c.Name, claim, last)
	}
	s.highest[c.Name] = max(s.highest[c.Name], claim)
}

// checkAwake: a node that stood still for longer than lost_hold starts no strict
// service soon: others may have waited for it and taken over, which its
// neighbours need the time to tell it. Of one that it
// did not hear when it was frozen it knows no more than without that.
func (s *Sim) checkAwake(h *host, c *machine.Service) {
	if hold := s.lostHold(c); !c.Strict() || c.Fence || h.forgot || h.stood <= hold+s.opt.Detect || s.t-h.thawed >= hold/2 {
		return
	}
	k := slices.Index(s.strict, c.Name)
	for j, other := range s.hosts[:s.nodes] {
		if u := other.units[c.Name]; k >= 0 && other != h && u != nil && u.running && u.since < h.thawed && !u.adrift &&
			h.heard[j][k] >= h.froze && s.linked(h, other) {
			s.violate("%s starts the strict service %s %s after it went on, having stood still for %s, and %s has it", h.name, c.Name, s.t-h.thawed, h.stood, other.name)
		}
	}
}

// longestStop is how long a node that was frozen may take to stop what it ran.
const longestStop = 10 * time.Second

// knownAfter is how long a start may take to be heard of everywhere.
const knownAfter = 50 * time.Millisecond

// checkStop: no stop without a cause that was said, none before what depends
// on it has stopped or could not be stopped.
func (s *Sim) checkStop(h *host, a machine.RunPrimitive) {
	for _, name := range sortedNames(h.units) {
		if u := h.units[name]; u.running && !u.adrift && slices.Contains(u.needs, a.Service) {
			s.violate("%s stops %s while %s, which depends on it, runs", h.name, a.Service, name)
		}
	}
	if u := h.unit(a.Service); u.running && !u.noted {
		s.violate("%s stops %s and has not said why", h.name, a.Service)
	}
}

// checkAnnounce: announced only what has started, with its address on.
func (s *Sim) checkAnnounce(h *host, a machine.Announce) {
	if !a.On {
		return
	}
	if u := h.unit(a.Service); !u.running || !u.ready {
		s.violate("%s announces %s, whose start has not succeeded", h.name, a.Service)
	}
	for _, x := range a.Addresses {
		if _, stolen := h.stolen[x]; !h.kernel[x] && !stolen {
			s.violate("%s announces %s, which is not on the node", h.name, x)
		}
	}
}

// idRest is DESIGN section 4's rest of an LSA id.
const idRest = 3700 * time.Second

// checkID: an id is not given to other words within idRest, but to the same
// ones with a newer check stamp.
func (s *Sim) checkID(h *host, ref machine.LSARef, b advert.Body, err error) {
	if s.opt.Unchecked {
		return
	}
	if err != nil {
		s.violate("%s floods what cannot be read: %v", h.name, err)
		return
	}
	if u, used := h.used[ref]; used && !h.forgot && !h.behind && u.stamp != b.Stamp() && s.t-u.at < idRest && s.restless(h, ref) {
		s.violate("%s uses the id %s again after %s", h.name, ref, (s.t - u.at))
	}
	if u, used := h.used[ref]; used && !h.forgot && !h.behind && u.stamp == b.Stamp() && s.t-u.at < minInterval {
		s.violate("%s says %s again after %s with another check stamp: ospfd would hold it back", h.name, ref, s.t-u.at)
	}
	if b.Service != nil {
		if k := slices.Index(s.strict, b.Service.Name); k >= 0 && h.spoke[k] == notYet {
			h.spoke[k] = s.t
		}
	}
	h.used[ref] = use{s.t, b.Stamp()}
}

// restless reports whether another G of the same slot was free.
func (s *Sim) restless(h *host, ref machine.LSARef) bool {
	busy := 0
	for r, u := range h.used {
		if r.Slot() == ref.Slot() && r.Scope == ref.Scope && s.t-u.at < idRest {
			busy++
		}
	}
	return busy < 128 // crashes leave ids behind that may have been used
}

// Settled says what is wrong with a cluster that was left in peace: nothing,
// if in each connected part each service that can run runs exactly once.
func (s *Sim) Settled() []string {
	var wrong []string
	for _, h := range s.hosts {
		if h.srrd != nil && len(h.waiting) > 0 {
			wrong = append(wrong, fmt.Sprintf("%s never answered %d commands", h.name, len(h.waiting)))
		}
	}
	names := map[string]bool{}
	for _, h := range s.hosts {
		for _, c := range h.cfg.Services {
			names[c.Name] = true
		}
	}
	var all []string
	for n := range names {
		all = append(all, n)
	}
	slices.Sort(all)
	views := make([]map[string]machine.ServiceView, len(s.hosts))
	for i, h := range s.hosts {
		views[i] = map[string]machine.ServiceView{}
		if h.srrd != nil {
			for _, v := range h.srrd.View().Services {
				views[i][v.Name] = v
			}
		}
	}
	done := make([]bool, len(s.hosts))
	for i := range s.hosts {
		if done[i] {
			continue
		}
		part := make([]bool, len(s.hosts))
		for j, other := range s.hosts {
			part[j] = j == i || s.linked(s.hosts[i], other)
		}
		for j := range part {
			done[j] = done[j] || part[j]
		}
		groups := map[string]string{} // where a group runs, by the first member found
		for _, name := range all {
			if w := s.settledIn(part, name, views, groups); w != "" {
				wrong = append(wrong, w)
			}
		}
	}
	return wrong
}

func (s *Sim) settledIn(part []bool, name string, views []map[string]machine.ServiceView, groups map[string]string) string {
	var runs, can []string
	group := ""
	for j, in := range part {
		h := s.hosts[j]
		if !in || !h.on {
			continue
		}
		v := views[j][name]
		if u := h.units[name]; u != nil && u.running && h.srrd != nil {
			runs = append(runs, h.name)
			group = v.Group
		}
		if h.srrd == nil || !h.ospf.up {
			continue
		}
		for _, o := range v.Offers {
			if o.Self && o.WhyNot == "" && v.Code != "dependency" {
				can = append(can, h.name)
			}
		}
	}
	switch {
	case len(runs) > 1:
		return fmt.Sprintf("%s runs on %s of one part", name, strings.Join(runs, " and "))
	case len(runs) == 0 && len(can) > 0 && !blocked(part, name, views):
		if at := groups[group]; group == "" || at == "" || slices.Contains(can, at) {
			return fmt.Sprintf("%s runs nowhere, though %s could", name, strings.Join(can, " and "))
		}
	case len(runs) == 1 && group != "":
		if at, known := groups[group]; known && at != runs[0] {
			return fmt.Sprintf("group %s is divided: %s runs on %s, others on %s", group, name, runs[0], at)
		}
		groups[group] = runs[0]
	}
	return ""
}

// blocked reports whether a person is needed: somebody may still run it, or
// another member of its group.
func blocked(part []bool, name string, views []map[string]machine.ServiceView) bool {
	for j, in := range part {
		if !in {
			continue
		}
		for _, v := range views[j] {
			if v.Name != name && (v.Group == "" || v.Group != views[j][name].Group) {
				continue
			}
			for _, n := range v.Notices {
				if strings.Contains(n, "may still run") {
					return true
				}
			}
			for _, o := range v.Offers {
				if o.Flags.Has(advert.FlagMayStillRun) {
					return true
				}
			}
		}
	}
	return false
}

// Quiet is how long ago a service was last started or stopped.
func (s *Sim) Quiet() time.Duration { return s.t - s.lastIO }
