package lsdb

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/srrd/srrd/lsdb/lsa"
)

// HostRoute is the evidence that a router announces an address as a /32: a
// stub link in its router LSA (type 1), or an LSA of type 3, 5 or 7 for it.
// For type 3 Adv is the area border router that repeats what it hears from
// another area, not the router that has the address.
type HostRoute struct {
	Addr netip.Addr `json:"addr"`
	Adv  netip.Addr `json:"adv"`
	Type lsa.Type   `json:"type"`
}

// Compare orders host routes by address, router, type.
func (r HostRoute) Compare(o HostRoute) int {
	if c := r.Addr.Compare(o.Addr); c != 0 {
		return c
	}
	if c := r.Adv.Compare(o.Adv); c != 0 {
		return c
	}
	return cmp.Compare(r.Type, o.Type)
}

// hostRoutesOf lists what an entry announces, sorted and without repeats. An
// LSA at MaxAge announces nothing, nor does one with a metric of LSInfinity
// (RFC 2328 sections 16.2 and 16.4). A stub link of metric 65535 does: that
// is how a router asks to be avoided, not to be forgotten.
func hostRoutesOf(e *Entry) []HostRoute {
	if e == nil || e.MaxAge {
		return nil
	}
	one := func(metric uint32) []HostRoute {
		p, ok := e.LSA.Prefix()
		if !ok || p.Bits() != 32 || metric >= lsa.LSInfinity {
			return nil
		}
		return []HostRoute{{Addr: p.Addr(), Adv: e.Key.Adv, Type: e.Key.Type}}
	}
	switch b := e.LSA.Body.(type) {
	case lsa.Router:
		var out []HostRoute
		for _, l := range b.Links {
			if p, ok := l.Prefix(); ok && p.Bits() == 32 {
				out = append(out, HostRoute{Addr: p.Addr(), Adv: e.Key.Adv, Type: e.Key.Type})
			}
		}
		slices.SortFunc(out, HostRoute.Compare)
		return slices.Compact(out)
	case lsa.Summary:
		return one(b.Metric) // type 4 has no prefix
	case lsa.External:
		return one(b.Metric)
	case lsa.Network, lsa.Opaque:
	}
	return nil
}

// hostCount is a host route and how many LSAs announce it.
type hostCount struct {
	route HostRoute
	n     int
}

// hostIndex counts announcements by address; the slices are sorted. The zero
// value is not ready for use.
type hostIndex map[netip.Addr][]hostCount

// replace takes back the announcements of old and adds those of fresh, both
// sorted, and tells which were not there before or are no longer.
func (x hostIndex) replace(old, fresh []HostRoute) (appeared, vanished []HostRoute) {
	for len(old) > 0 || len(fresh) > 0 {
		var c int
		switch {
		case len(old) == 0:
			c = 1
		case len(fresh) == 0:
			c = -1
		default:
			c = old[0].Compare(fresh[0])
		}
		switch {
		case c == 0: // in both
			old, fresh = old[1:], fresh[1:]
		case c < 0:
			if x.add(old[0], -1) == 0 {
				vanished = append(vanished, old[0])
			}
			old = old[1:]
		default:
			if x.add(fresh[0], 1) == 1 {
				appeared = append(appeared, fresh[0])
			}
			fresh = fresh[1:]
		}
	}
	return appeared, vanished
}

// add changes the count of a host route and returns the new count.
func (x hostIndex) add(r HostRoute, by int) int {
	list := x[r.Addr]
	i, found := slices.BinarySearchFunc(list, r, func(c hostCount, r HostRoute) int { return c.route.Compare(r) })
	if !found {
		x[r.Addr] = slices.Insert(list, i, hostCount{route: r, n: by})
		return by
	}
	list[i].n += by
	n := list[i].n
	if n == 0 {
		if list = slices.Delete(list, i, i+1); len(list) == 0 {
			delete(x, r.Addr)
		} else {
			x[r.Addr] = list
		}
	}
	return n
}

// HostRoutes lists who announces an address as a /32 and by which LSA types,
// sorted. It does not look at reachability.
func (db *DB) HostRoutes(addr netip.Addr) []HostRoute {
	list := db.hosts[addr]
	if len(list) == 0 {
		return nil
	}
	out := make([]HostRoute, len(list))
	for i, c := range list {
		out[i] = c.route
	}
	return out
}

// AllHostRoutes lists every host route announced, sorted. It takes time in
// proportion to their number.
func (db *DB) AllHostRoutes() []HostRoute {
	var out []HostRoute
	for _, list := range db.hosts {
		for _, c := range list {
			out = append(out, c.route)
		}
	}
	slices.SortFunc(out, HostRoute.Compare)
	return out
}

// Announces reports whether a router itself announces an address as a /32, by
// its own LSA of type 1, 5 or 7. A summary (type 3) by adv does not count: it
// says that somebody else does.
func (db *DB) Announces(adv, addr netip.Addr) bool {
	return slices.ContainsFunc(db.hosts[addr], func(c hostCount) bool {
		return c.route.Adv == adv && c.route.Type != lsa.TypeSummary
	})
}

// ASBRSummary is the evidence of a live type 4 LSA: an area border router
// says in an area that it can reach an AS boundary router.
type ASBRSummary struct {
	ASBR   netip.Addr `json:"asbr"`
	ABR    netip.Addr `json:"abr"`
	Area   netip.Addr `json:"area"`
	Metric uint32     `json:"metric"`
}

// asbrSummaryOf gives the evidence of an entry, if it is any: not MaxAge, and
// a metric below LSInfinity (RFC 2328 section 16.2).
func asbrSummaryOf(e *Entry) (ASBRSummary, bool) {
	if e.Key.Type != lsa.TypeASBRSummary || e.MaxAge {
		return ASBRSummary{}, false
	}
	b, ok := e.LSA.Body.(lsa.Summary)
	if !ok || b.Metric >= lsa.LSInfinity {
		return ASBRSummary{}, false
	}
	return ASBRSummary{ASBR: e.Key.ID, ABR: e.Key.Adv, Area: e.Key.Scope, Metric: b.Metric}, true
}

// ASBRSummaries lists the live type 4 LSAs that name an AS boundary router,
// sorted by area and area border router.
func (db *DB) ASBRSummaries(asbr netip.Addr) []ASBRSummary {
	if !asbr.Is4() {
		return nil
	}
	var out []ASBRSummary
	for _, r := range db.asbr[number(asbr)] {
		if s, ok := asbrSummaryOf(r.entry); ok {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b ASBRSummary) int {
		return cmp.Or(a.Area.Compare(b.Area), a.ABR.Compare(b.ABR))
	})
	return out
}
