package machine

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// What is known of many peers is kept in order from event to event, so that an
// event costs no more with a thousand of them than with ten. Nothing here
// decides: each answer is that of a plain look at every rival, and a property
// test compares the two.
//
// Two things are kept. A service has its few busy offers, those which have it,
// may run it or could not stop it; they are kept at once (tally). A unit has
// the order of those who could take it (ranking); it is brought up to date
// when somebody asks, and only for units somebody asks for.

// tally is what an offer counts for in its service's sums.
type tally struct{ counts, critical, busy bool }

// count brings the sums of a service up to what an offer of it says now. It is
// called whenever anything may have changed that an offer is judged by.
func (n *Node) count(o *offer) {
	s := o.s
	now := tally{counts: o.counts, critical: o.counts && o.said.Flags.Has(advert.FlagCritical),
		busy: o.counts && (has(o.said.State) > 0 || o.mayRun() || o.rumour != 0)}
	if now != o.tally {
		s.counting += change(o.tally.counts, now.counts)
		s.criticals += change(o.tally.critical, now.critical)
		if now.busy != o.tally.busy {
			i, ok := slices.BinarySearchFunc(s.busy, o.peer.id, byRouterID)
			if now.busy && !ok {
				s.busy = slices.Insert(s.busy, i, o)
			} else if !now.busy && ok {
				s.busy = slices.Delete(s.busy, i, i+1)
			}
		}
		if now.counts != o.tally.counts {
			s.peers = nil
		}
		o.tally = now
		if s.grouped != "" && s.cfg == nil { // whether it is critical follows from its offers
			n.unrank(s)
		}
	}
	n.rerank(o)
}

func change(was, now bool) int {
	switch {
	case now && !was:
		return 1
	case was && !now:
		return -1
	}
	return 0
}

func byService(o *offer, name string) int { return strings.Compare(o.s.name, name) }

func byRouterID(o *offer, r RouterID) int { return int(int64(o.peer.id) - int64(r)) }

// busy runs over the routers of which an offer of the unit is busy, by router
// id, with all they offer of it.
func (u unit) busy(yield func(rival) bool) {
	if len(u.members) == 1 {
		for i, o := range u.members[0].busy {
			if !yield(rival{o.peer, u.members[0].busy[i : i+1]}) {
				return
			}
		}
		return
	}
	var last RouterID
	for {
		var next *peer
		for _, m := range u.members {
			i, _ := slices.BinarySearchFunc(m.busy, last+1, byRouterID)
			if i < len(m.busy) {
				if p := m.busy[i].peer; next == nil || p.id < next.id {
					next = p
				}
			}
		}
		if next == nil {
			return
		}
		if !yield(u.rival(next)) || next.id == ^RouterID(0) {
			return
		}
		last = next.id
	}
}

// rival is what a router offers of the unit; without offers if nothing.
func (u unit) rival(p *peer) rival {
	r := rival{peer: p}
	if p == nil {
		return r
	}
	for _, m := range u.members {
		if o := p.of[m]; o != nil {
			r.offers = append(r.offers, o)
		}
	}
	return r
}

// standing is how a router stands in the order of a unit.
type standing struct {
	peer *peer
	c    candidate
	// able: nothing disqualifies it. counts: any offer of it does.
	able, counts bool
	// asked: a strict claimant waits for its word; hinders: it may run it, or
	// its offers acknowledge different claims; seen: what it acknowledges.
	asked, hinders bool
	seen           advert.Claim
}

// ranking is the order of all routers that offer a unit.
type ranking struct {
	built   bool
	changed []*offer    // whose routers are to be looked at again
	order   []*standing // who is able, the best first
	// critical is which members the unit cannot do without.
	counting, asked, hindering int
	seen                       map[advert.Claim]int // how many of those asked acknowledge it
}

// rerank has the router of an offer looked at again.
func (n *Node) rerank(o *offer) {
	rk := n.unit(o.s).rank
	if !rk.built || o.changed {
		return
	}
	if len(rk.changed) > len(rk.order)+64 {
		rk.drop() // nobody asks for it any more
		return
	}
	o.changed = true
	rk.changed = append(rk.changed, o)
}

// unrank has the whole order of a service's unit made anew: something changed
// that concerns all.
func (n *Node) unrank(s *service) { n.unit(s).rank.drop() }

func (rk *ranking) drop() {
	for _, o := range rk.changed {
		o.changed = false
	}
	*rk = ranking{}
}

// ranked is the unit's ranking as of now.
func (u unit) ranked() *ranking {
	rk := u.rank
	if !rk.built {
		rk.drop()
		rk.built, rk.seen = true, map[advert.Claim]int{}
		for r := range u.rivals {
			st := new(standing)
			*st = u.standing(r)
			rk.add(st)
			for _, o := range r.offers {
				o.at = st
			}
			if st.able {
				rk.order = append(rk.order, st)
			}
		}
		slices.SortFunc(rk.order, compareStandings)
		return rk
	}
	for _, o := range rk.changed {
		o.changed = false
		u.look(rk, o)
	}
	rk.changed = rk.changed[:0]
	return rk
}

// look brings the standing of an offer's router up to date.
func (u unit) look(rk *ranking, o *offer) {
	one := [1]*offer{o}
	r := rival{o.peer, one[:0]}
	if len(u.members) > 1 {
		r = u.rival(o.peer)
	} else if o.peer.of[o.s] == o {
		r.offers = one[:]
	}
	st := o.at
	for _, x := range r.offers {
		if st == nil {
			st = x.at
		}
	}
	o.at = nil
	if len(r.offers) == 0 {
		if st != nil {
			rk.remove(st)
			*st = standing{} // another offer of that router may still point to it
		}
		return
	}
	now := u.standing(r)
	if st == nil {
		st = &standing{}
	}
	if stays := st.able && now.able && st.c == now.c; stays {
		rk.sub(st)
		*st = now
		rk.add(st)
	} else {
		rk.remove(st)
		*st = now
		rk.add(st)
		if st.able {
			i, _ := slices.BinarySearchFunc(rk.order, st, compareStandings)
			rk.order = slices.Insert(rk.order, i, st)
		}
	}
	for _, x := range r.offers {
		x.at = st
	}
}

func compareStandings(a, b *standing) int {
	switch {
	case a.c == b.c:
		return 0
	case a.c.better(b.c):
		return -1
	}
	return 1
}

// standing is a router's, worked out anew.
func (u unit) standing(r rival) standing {
	st := standing{peer: r.peer, c: u.candidate(r)}
	why, _ := u.bar(r)
	st.able = why == BecauseNone
	for _, o := range r.offers {
		st.counts = st.counts || o.counts
		asked, hinders := o.asked()
		if hinders || asked && st.asked && st.seen != o.said.Seen {
			st.hinders = true
		}
		if asked {
			st.asked, st.seen = true, o.said.Seen
		}
	}
	return st
}

func (rk *ranking) remove(st *standing) {
	rk.sub(st)
	if st.able {
		if i, ok := slices.BinarySearchFunc(rk.order, st, compareStandings); ok {
			rk.order = slices.Delete(rk.order, i, i+1)
		}
	}
}

func (rk *ranking) add(st *standing) { rk.sum(st, 1) }
func (rk *ranking) sub(st *standing) { rk.sum(st, -1) }

func (rk *ranking) sum(st *standing, by int) {
	if st.counts {
		rk.counting += by
	}
	if st.hinders {
		rk.hindering += by
	}
	if st.asked {
		rk.asked += by
		if rk.seen[st.seen] += by; rk.seen[st.seen] == 0 {
			delete(rk.seen, st.seen)
		}
	}
}

// acknowledged reports whether all that are asked have seen the claim, and
// none of them may run it.
func (rk *ranking) acknowledged(c advert.Claim) bool {
	return rk.hindering == 0 && rk.seen[c] == rk.asked
}

// use keeps which services use an address: was and now are what one offer, or
// our configuration, says.
func (n *Node) use(s *service, was, now []netip.Addr) {
	if slices.Equal(was, now) {
		return
	}
	for _, a := range now { // first, so that what stays is not taken out and put back
		if s.uses == nil {
			s.uses = map[netip.Addr]int{}
		}
		if s.uses[a]++; s.uses[a] == 1 {
			us := n.users[a]
			i, _ := slices.BinarySearchFunc(us, s.name, func(u *service, name string) int { return strings.Compare(u.name, name) })
			n.users[a] = slices.Insert(us, i, s)
			n.touchUsers(a)
		}
	}
	for _, a := range was {
		if s.uses[a]--; s.uses[a] > 0 {
			continue
		}
		delete(s.uses, a)
		n.users[a] = slices.DeleteFunc(n.users[a], func(u *service) bool { return u == s })
		n.touchUsers(a)
		if len(n.users[a]) == 0 {
			delete(n.users, a)
		}
	}
}

func (n *Node) touchUsers(a netip.Addr) {
	for _, u := range n.users[a] {
		n.touch(u)
	}
}
