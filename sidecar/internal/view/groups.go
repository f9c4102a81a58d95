package view

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Group is the services that run together on one node.
type Group struct {
	Name    string   `json:"name"`
	Leader  string   `json:"leader"`  // the first critical member by name, else the first
	Members []string `json:"members"` // by name
	// Holders are the hosts that run a member, by name: one where the group is
	// together.
	Holders []string `json:"holders"`
	Started int      `json:"started"` // members that run somewhere
	// Claim and Pin are those of the leader, which every member carries: the
	// claim under which the group starts or runs, 0 where nobody has it.
	Claim   advert.Claim `json:"claim"`
	Pin     advert.Pin   `json:"pin"`
	PinText string       `json:"pin_text,omitempty"` // the pin in force, in words
}

// Groups lists the groups of the cluster by name.
func (s *Snapshot) Groups() []Group {
	by := map[string]*Group{}
	leaders := map[string]*machine.ServiceView{}
	critical := map[string]bool{} // whether the leader is
	var names []string
	for i := range s.Machine.Services { // by name
		sv := &s.Machine.Services[i]
		if sv.Group == "" {
			continue
		}
		g := by[sv.Group]
		if g == nil {
			g = &Group{Name: sv.Group, Leader: sv.Name, Holders: []string{}}
			by[sv.Group], leaders[sv.Group] = g, sv
			names = append(names, sv.Group)
		}
		g.Members = append(g.Members, sv.Name)
		if sv.Flags.Has(advert.FlagCritical) && !critical[sv.Group] {
			g.Leader, leaders[sv.Group], critical[sv.Group] = sv.Name, sv, true
		}
		if sv.Holder != "" {
			g.Started++
			for _, h := range strings.Split(sv.Holder, ", ") {
				if !slices.Contains(g.Holders, h) {
					g.Holders = append(g.Holders, h)
				}
			}
		}
	}
	slices.Sort(names)
	all := []Group{}
	for _, n := range names {
		g, leader := by[n], leaders[n]
		slices.Sort(g.Holders)
		g.Claim, g.Pin, g.PinText = claimOf(leader), leader.Pin, s.PinWords(leader)
		all = append(all, *g)
	}
	return all
}

// claimOf is the best claim under which a service starts or runs anywhere.
func claimOf(sv *machine.ServiceView) (best advert.Claim) {
	for i := range sv.Offers {
		o := &sv.Offers[i]
		if (o.Counts || o.Self) && (o.State == advert.Starting || o.State == advert.Started || o.State == advert.Stopping) {
			best = max(best, o.Claim)
		}
	}
	return best
}

// Placement is where a service runs and could run.
type Placement struct {
	Service    string  `json:"service"`
	Group      string  `json:"group,omitempty"`
	Holder     string  `json:"holder"`
	Candidates []Place `json:"candidates"` // in their order
	Others     []Place `json:"others"`     // by host
}

// Place is a node in a Placement.
type Place struct {
	Host       string           `json:"host"`
	Router     machine.RouterID `json:"router_id"`
	State      advert.State     `json:"state"`
	Preference uint8            `json:"preference"`
	Pinned     bool             `json:"pinned"`
	WhyNot     string           `json:"why_not,omitempty"` // of no candidate
}

// Placements lists them by service.
func (s *Snapshot) Placements() []Placement {
	all := []Placement{}
	for i := range s.Machine.Services {
		sv := &s.Machine.Services[i]
		p := Placement{Service: sv.Name, Group: sv.Group, Holder: sv.Holder, Candidates: []Place{}, Others: []Place{}}
		offers := slices.Clone(sv.Offers)
		slices.SortStableFunc(offers, func(a, b machine.OfferView) int { return cmp.Compare(a.Rank, b.Rank) })
		for j := range offers {
			o := &offers[j]
			at := Place{NameOf(o.Host, o.Router), o.Router, o.State, o.Preference, o.Pinned, o.WhyNot}
			if o.Rank > 0 {
				p.Candidates = append(p.Candidates, at)
			} else {
				at.WhyNot = cmp.Or(o.WhyNot, Remarks(o))
				p.Others = append(p.Others, at)
			}
		}
		all = append(all, p)
	}
	return all
}

// Check is how the checks of a service go on one node that runs it.
type Check struct {
	Service  string           `json:"service"`
	Host     string           `json:"host"`
	Router   machine.RouterID `json:"router_id"`
	Self     bool             `json:"self"`
	Interval time.Duration    `json:"interval"` // 0: it is never checked
	Last     time.Time        `json:"last"`     // when one succeeded last; zero: never
	Stale    bool             `json:"stale"`    // too long ago
	// Of this node only: how the last one went.
	Outcome string        `json:"outcome,omitempty"`
	Took    time.Duration `json:"took,omitempty"`
	Text    string        `json:"text,omitempty"`
}

// Standing is how checks go, in a word or two.
func (k *Check) Standing() string {
	switch {
	case k.Interval == 0:
		return "not checked"
	case k.Stale:
		return "overdue"
	case k.Outcome != "":
		return k.Outcome
	case k.Last.IsZero():
		return "not yet"
	}
	return "done"
}

// Checks lists them by service and host, of every node that runs one.
func (s *Snapshot) Checks(now time.Time) []Check {
	all := []Check{}
	for i := range s.Machine.Services {
		sv := &s.Machine.Services[i]
		for j := range sv.Offers {
			o := &sv.Offers[j]
			if o.State != advert.Started || !o.Self && !o.Counts {
				continue
			}
			c := Check{Service: sv.Name, Host: NameOf(o.Host, o.Router), Router: o.Router, Self: o.Self, Interval: o.Interval, Last: o.LastCheck, Stale: stale(o, now)}
			if o.Self && sv.Last.Primitive == machine.PrimCheck && !sv.Last.At.IsZero() {
				c.Outcome, c.Took, c.Text = sv.Last.Outcome.String(), sv.Last.Took, sv.Last.Text
			}
			all = append(all, c)
		}
	}
	return all
}

// stale reports whether a check is overdue.
func stale(o *machine.OfferView, now time.Time) bool {
	return o.Interval > 0 && !o.LastCheck.IsZero() && now.Sub(o.LastCheck) > staleAfter*o.Interval+stampPause
}

// GroupsDocument answers show group.
type GroupsDocument struct {
	Envelope
	Groups []Group `json:"groups"`
}

// GroupsDocument makes it.
func (s *Snapshot) GroupsDocument() GroupsDocument { return GroupsDocument{s.Envelope(), s.Groups()} }

// PlacementsDocument answers show placement.
type PlacementsDocument struct {
	Envelope
	Placements []Placement `json:"placements"`
}

// PlacementsDocument makes it.
func (s *Snapshot) PlacementsDocument() PlacementsDocument {
	return PlacementsDocument{s.Envelope(), s.Placements()}
}

// ChecksDocument answers show check.
type ChecksDocument struct {
	Envelope
	Checks []Check `json:"checks"`
}

// ChecksDocument makes it.
func (s *Snapshot) ChecksDocument(now time.Time) ChecksDocument {
	return ChecksDocument{s.Envelope(), s.Checks(now)}
}
