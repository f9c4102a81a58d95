package ospf

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/lsdb"
	"github.com/srrd/srrd/lsdb/graph"
	"github.com/srrd/srrd/lsdb/lsa"
	"github.com/srrd/srrd/ospfapi"
	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// mirror turns what ospfd says into the database and the database into
// events. It belongs to the loop.
type mirror struct {
	db       *lsdb.DB
	emit     func(machine.Event)
	log      *slog.Logger
	linkName func(netip.Addr) string

	up       bool
	why      string // the last OSPFDown
	self     netip.Addr
	standing Standing // of the session
	told     bool     // ospfd tells reachability; else it is computed
	synced   bool
	end      context.CancelCauseFunc
	reach    map[netip.Addr]bool  // ospfd's reachable set
	said     map[netip.Addr]reach // as the machine was told
	nbrs     map[neighbor]nbrState
	ifs      map[netip.Addr]netip.Addr // interface address -> area
	ready    map[netip.Addr]bool       // interfaces that READY named
	fresh    *fresh                    // of a sync under way; nil: none
	full     int
	between  int
	topology bool // types 1 or 2 have changed since settle
	asbrs    bool // type 4 has
	refused  uint64
	keys     func() advert.Keyring
	believed map[lsdb.Key]bool // foreign LSAs of type 222 whose signature was good
	// doubted are LSAs of ours that ospfd may hold without owning them, true
	// those that it refused; strays are those of them that are to go, with how
	// often that was tried; astray is told of a new one.
	doubted map[machine.LSARef]bool
	strays  map[machine.LSARef]int
	astray  func(machine.LSARef)
	// rush counts instances of our router LSA since rushAt.
	rush   int
	rushAt time.Time
}

// fresh is what a sync has mentioned of that which has no mark in the
// database.
type fresh struct {
	reach map[netip.Addr]bool
	nbrs  map[neighbor]bool
	ifs   map[netip.Addr]bool
}

type reach struct{ area, as bool }

type neighbor struct{ ifAddr, addr netip.Addr }

type nbrState struct {
	router netip.Addr
	state  ospfapi.NSMState
}

// reset forgets everything.
func (m *mirror) reset() {
	m.db.Reset()
	m.up, m.synced, m.end = false, false, nil
	m.reach, m.said, m.fresh = map[netip.Addr]bool{}, map[netip.Addr]reach{}, nil
	m.nbrs, m.ifs = map[neighbor]nbrState{}, map[netip.Addr]netip.Addr{}
	m.ready = map[netip.Addr]bool{}
	m.full, m.between, m.topology, m.asbrs = 0, 0, false, false
	m.believed = map[lsdb.Key]bool{}
	m.doubted, m.strays = map[machine.LSARef]bool{}, map[machine.LSARef]int{}
	m.rush, m.rushAt = 0, time.Time{}
}

// begin opens a session. What ospfd said of interfaces and neighbours while it
// was being set up was kept, and is told now.
func (m *mirror) begin(st Standing, told bool, end context.CancelCauseFunc) {
	m.up, m.why, m.self, m.standing, m.told, m.end = true, "", st.Router, st, told, end
	m.emit(machine.OSPFUp{Router: advert.RouterIDFrom(st.Router), DeadInterval: st.DeadInterval})
	for _, k := range sortedNeighbors(m.nbrs) {
		s := m.nbrs[k]
		delete(m.nbrs, k)
		m.neighbor(ospfapi.NSMChange{IfAddr: k.ifAddr, Neighbor: k.addr, RouterID: s.router, State: s.state})
	}
	m.adjacency(true)
}

// ended closes a session, or tells why there was none.
func (m *mirror) ended(why string) {
	news := m.up || why != m.why
	m.reset()
	m.why = why
	if news {
		m.emit(machine.OSPFDown{Why: why})
	}
}

// take takes one notification of the session. Before begin, interfaces,
// neighbours and reachable routers are noted without a word, since an ospfd
// that cannot be asked for them (before 8.4) will not repeat them.
func (m *mirror) take(now time.Time, n ospfapi.Notification) {
	switch n := n.(type) {
	case ospfapi.SyncStarted:
		m.db.Mark()
		m.fresh = &fresh{reach: map[netip.Addr]bool{}, nbrs: map[neighbor]bool{}, ifs: map[netip.Addr]bool{}}
	case ospfapi.SyncDone:
		m.syncDone(n)
	case ospfapi.LSAUpdate:
		c, err := m.db.Update(now, lsdb.Update{Area: n.Area, IfAddr: n.IfAddr, Self: n.Self, Raw: n.LSA})
		if err != nil {
			if m.refused++; m.refused == 1 || m.refused%1000 == 0 {
				m.log.Warn("an LSA is not mirrored", "err", err, "so_far", m.refused)
			}
			return
		}
		m.changed(c)
	case ospfapi.LSADelete:
		c, err := m.db.Delete(now, lsdb.Update{Area: n.Area, IfAddr: n.IfAddr, Self: n.Self, Raw: n.LSA})
		if err != nil {
			m.log.Warn("a deletion is not understood", "err", err)
			return
		}
		m.changed(c)
	case ospfapi.ReachableChange:
		for _, r := range n.Added {
			m.reach[r] = true
			if m.fresh != nil {
				m.fresh.reach[r] = true
			}
		}
		for _, r := range n.Removed {
			delete(m.reach, r)
			if m.fresh != nil {
				delete(m.fresh.reach, r)
			}
		}
		m.sayReach()
	case ospfapi.NSMChange:
		m.neighbor(n)
	case ospfapi.ISMChange:
		if n.State <= ospfapi.ISMDown {
			delete(m.ifs, n.IfAddr)
		} else {
			m.haveInterface(n.IfAddr, n.Area)
		}
	case ospfapi.NewInterface:
		m.haveInterface(n.IfAddr, n.Area)
	case ospfapi.DelInterface:
		delete(m.ifs, n.IfAddr)
	case ospfapi.Ready:
		if n.Type == ospfapi.OpaqueLink {
			m.ready[n.Addr] = true
		}
	case ospfapi.RouterIDChange, ospfapi.Overflow, ospfapi.Undecoded:
	}
}

func (m *mirror) haveInterface(addr, area netip.Addr) {
	m.ifs[addr] = area
	if m.fresh != nil {
		m.fresh.ifs[addr] = true
	}
}

// interfaces are the addresses OSPF runs on, with their areas. An ospfd that
// cannot be asked for them (before 8.3) names them in READY, and our own router
// LSA says where they are.
func (m *mirror) interfaces() map[netip.Addr]netip.Addr {
	if m.told {
		return m.ifs
	}
	all := maps.Clone(m.ifs)
	for _, e := range m.db.ByAdv(m.self) {
		body, is := e.LSA.Body.(lsa.Router)
		if !is || e.MaxAge {
			continue
		}
		for _, l := range body.Links {
			if _, known := all[l.Data]; !known && m.ready[l.Data] {
				all[l.Data] = e.Key.Scope
			}
		}
	}
	return all
}

// syncDone drops what the sync did not mention. One that is not complete
// proves nothing; the session asks again.
func (m *mirror) syncDone(n ospfapi.SyncDone) {
	seen := m.fresh
	m.fresh = nil
	if !n.Complete || seen == nil {
		return
	}
	for _, c := range m.db.Sweep() {
		m.changed(c)
	}
	if m.told {
		m.reach = seen.reach
		m.asbrs = true
		for _, k := range sortedNeighbors(m.nbrs) {
			if !seen.nbrs[k] {
				m.dropNeighbor(k)
			}
		}
		maps.DeleteFunc(m.ifs, func(a, _ netip.Addr) bool { return !seen.ifs[a] })
	}
	m.settle()
	m.adjacency(true)
	if !m.synced {
		m.synced = true
		m.doubtAll() // said by an earlier life or connection
		m.emit(machine.Synced{})
	}
}

// expire ages the database.
func (m *mirror) expire(now time.Time) {
	for _, c := range m.db.Expire(now) {
		m.changed(c)
	}
}

// flushed notes that ospfd took our own deletion, which it does not echo.
func (m *mirror) flushed(now time.Time, ref machine.LSARef) {
	if !m.up {
		return
	}
	m.changed(m.db.Flush(now, m.keyOf(ref)))
}

// keyOf is where an LSA of ours stands in the database.
func (m *mirror) keyOf(ref machine.LSARef) lsdb.Key {
	k := lsdb.Key{Type: lsa.Type(ref.Scope.Kind), ID: machine.RouterID(linkStateID(ref)).Addr(), Adv: m.self}
	switch ref.Scope.Kind {
	case machine.ScopeArea:
		k.Scope = ref.Scope.Area
	case machine.ScopeLink:
		for a := range m.interfaces() {
			if m.linkName(a) == ref.Scope.Link {
				k.Scope = a
			}
		}
	case machine.ScopeAS:
	}
	return k
}

// changed makes events of one change of the database.
func (m *mirror) changed(c lsdb.Change) {
	switch c.Key.Type {
	case lsa.TypeRouter, lsa.TypeNetwork:
		m.topology = m.topology || matters(c.Kind)
	case lsa.TypeASBRSummary:
		m.asbrs = m.asbrs || matters(c.Kind)
	case lsa.TypeOpaqueLink, lsa.TypeOpaqueArea, lsa.TypeOpaqueAS:
		m.opaque(c)
	}
	m.outbid(c)
	for _, hs := range [][]lsdb.HostRoute{c.Appeared, c.Vanished} {
		for _, h := range hs {
			if h.Type == lsa.TypeSummary {
				continue
			}
			m.emit(machine.HostRoute{Addr: h.Addr, Router: advert.RouterIDFrom(h.Adv), Present: m.db.Announces(h.Adv, h.Addr)})
		}
	}
}

// matters tells a change of words from a mere refresh.
func matters(k lsdb.ChangeKind) bool {
	switch k {
	case lsdb.Added, lsdb.Replaced, lsdb.Flushed, lsdb.Removed:
		return true
	case lsdb.Unchanged, lsdb.Refreshed, lsdb.Ignored:
	}
	return false
}

// withdrawn lets go of what was announced of these addresses.
func (m *mirror) withdrawn(now time.Time, addrs []netip.Addr) {
	if !m.up {
		return
	}
	for _, a := range addrs {
		for _, e := range m.db.Externals(m.self, a) {
			m.changed(m.db.Flush(now, e.Key))
		}
	}
}

// withdraws reports whether any of them is still being withdrawn.
func (m *mirror) withdraws(addrs []netip.Addr) bool {
	for _, a := range addrs {
		for _, e := range m.db.Externals(m.self, a) {
			if e.MaxAge {
				return true
			}
		}
	}
	return false
}

// outbid reports that somebody else originated our router LSA: ospfd counts up
// by one, and answers what it meets under its own router id by one more.
func (m *mirror) outbid(c lsdb.Change) {
	if c.Key.Type != lsa.TypeRouter || c.Key.Adv != m.self || !m.synced || c.Old == nil || c.New == nil {
		return
	}
	if int64(c.New.LSA.Seq)-int64(c.Old.LSA.Seq) > 1 {
		m.emit(machine.Outbid{})
		return
	}
	// FRR 7.5 shows the other's instance before its own answer, so that no number
	// is left out; but two that need not wait answer each other without end.
	if at := c.New.ReceivedAt; at.Sub(m.rushAt) >= rushTime {
		m.rushAt, m.rush = at, 0
	}
	if m.rush++; m.rush == rushMost {
		m.emit(machine.Outbid{})
	}
}

// So many router LSAs in so short a time no ospfd originates by itself: two of one
// router id do it 2,000 times a second with `timers throttle lsa all 0`.
const (
	rushMost = 100
	rushTime = time.Second
)

// opaque reports an LSA of type 222.
func (m *mirror) opaque(c lsdb.Change) {
	id := lsa.OpaqueIDOf(c.Key.ID)
	if id.Type != advert.OpaqueType {
		return
	}
	ref := machine.LSARef{Scope: m.scopeOf(c.Key), ID: id.ID}
	router := advert.RouterIDFrom(c.Key.Adv)
	switch c.Kind {
	case lsdb.Added, lsdb.Replaced:
		if c.New.MaxAge {
			m.gone(c.Key, router, ref)
			return
		}
		m.report(c.New, m.keys())
	case lsdb.Flushed, lsdb.Removed:
		if c.Old != nil && c.Old.MaxAge {
			return // said when it was flushed
		}
		m.gone(c.Key, router, ref)
	case lsdb.Unchanged, lsdb.Refreshed, lsdb.Ignored:
	}
}

// gone tells that an LSA of type 222 says nothing any more.
func (m *mirror) gone(k lsdb.Key, router advert.RouterID, ref machine.LSARef) {
	delete(m.believed, k)
	if k.Adv == m.self {
		delete(m.doubted, ref)
	}
	m.emit(machine.LSAGone{Router: router, Ref: ref})
}

// report tells what an LSA of type 222 says, if it can be believed. The machine
// sees what was signed, without the signature: so the echo of what it gave out
// is what it gave out, and nothing that it keeps or shows depends on a key.
func (m *mirror) report(e *lsdb.Entry, keys advert.Keyring) {
	ref := machine.LSARef{Scope: m.scopeOf(e.Key), ID: lsa.OpaqueIDOf(e.Key.ID).ID}
	router := advert.RouterIDFrom(e.Key.Adv)
	content, why := keys.Open(e.Raw[lsa.HeaderLen:], origin(ref, router))
	if why != advert.Taken {
		m.emit(machine.LSARefused{Router: router, Ref: ref, Why: why})
		return
	}
	if advert.IsNothing(content) { // overwritten, since it could not be deleted
		delete(m.believed, e.Key)
		m.emit(machine.LSAGone{Router: router, Ref: ref})
		return
	}
	if e.Key.Adv != m.self {
		m.believed[e.Key] = true
	} else if m.doubted[ref] {
		m.stray(ref)
	}
	seen := machine.LSASeen{Router: router, Ref: ref, Raw: slices.Clone(content)}
	body, err := advert.Decode(seen.Raw)
	if err != nil {
		seen.Err = err.Error()
	}
	seen.Body = body
	m.emit(seen)
}

// origin is what a signature covers of an LSA's header.
func origin(ref machine.LSARef, router advert.RouterID) advert.Origin {
	return advert.Origin{Type: uint8(ref.Scope.Kind), ID: linkStateID(ref), Router: router}
}

// rekeyed looks again at what others say, now that the keys are others: what
// was believed and is no more is gone. What this node says itself the machine
// says again, which the old words in the database must not be judged before.
func (m *mirror) rekeyed() {
	if !m.up {
		return
	}
	m.emit(machine.Rekeyed{})
	keys := m.keys()
	for _, t := range []lsa.Type{lsa.TypeOpaqueLink, lsa.TypeOpaqueArea, lsa.TypeOpaqueAS} {
		for e := range m.db.ByType(t) {
			if e.MaxAge || e.Key.Adv == m.self || lsa.OpaqueIDOf(e.Key.ID).Type != advert.OpaqueType {
				continue
			}
			was := m.believed[e.Key]
			delete(m.believed, e.Key)
			ref := machine.LSARef{Scope: m.scopeOf(e.Key), ID: lsa.OpaqueIDOf(e.Key.ID).ID}
			router := advert.RouterIDFrom(e.Key.Adv)
			_, why := keys.Open(e.Raw[lsa.HeaderLen:], origin(ref, router))
			switch {
			case why == advert.Taken && was:
				m.believed[e.Key] = true
			case why == advert.Taken:
				m.report(e, keys)
			default:
				if was {
					m.emit(machine.LSAGone{Router: router, Ref: ref})
				}
				m.emit(machine.LSARefused{Router: router, Ref: ref, Why: why})
			}
		}
	}
}

func (m *mirror) scopeOf(k lsdb.Key) machine.Scope {
	switch k.Type {
	case lsa.TypeOpaqueLink:
		return machine.Scope{Kind: machine.ScopeLink, Link: m.linkName(k.Scope)}
	case lsa.TypeOpaqueArea:
		return machine.Scope{Kind: machine.ScopeArea, Area: k.Scope}
	}
	return machine.ASScope
}

// settle computes what follows from the topology; called when nothing more is
// waiting and at the end of a sync, so that a sync costs one SPF.
func (m *mirror) settle() {
	if !m.up || m.fresh != nil || !m.topology && !m.asbrs {
		return
	}
	if m.topology && !m.told {
		clear(m.reach)
		for _, r := range graph.New(m.db.Snapshot()).ReachableRouters(m.self) {
			m.reach[r] = true
		}
		m.adjacency(false)
	}
	m.topology, m.asbrs = false, false
	m.sayReach()
}

// sayReach tells the machine whose LSAs count, where that has changed.
func (m *mirror) sayReach() {
	if !m.up {
		return
	}
	now := make(map[netip.Addr]reach, len(m.reach))
	for r := range m.reach {
		now[r] = reach{area: true, as: true}
	}
	for e := range m.db.ByType(lsa.TypeASBRSummary) {
		// LSInfinity is how a border router says that it lost the way (RFC 2328
		// section 16.2).
		b, ok := e.LSA.Body.(lsa.Summary)
		asbr := e.Key.ID
		if ok && !e.MaxAge && b.Metric < lsa.LSInfinity && m.reach[e.Key.Adv] && !now[asbr].as && asbr != m.self {
			now[asbr] = reach{as: true}
		}
	}
	var diff []netip.Addr
	for r, v := range now {
		if m.said[r] != v {
			diff = append(diff, r)
		}
	}
	for r := range m.said {
		if _, ok := now[r]; !ok {
			diff = append(diff, r)
		}
	}
	slices.SortFunc(diff, netip.Addr.Compare)
	m.said = now
	for _, r := range diff {
		m.emit(machine.Reach{Router: advert.RouterIDFrom(r), Area: now[r].area, AS: now[r].as})
	}
}

// neighbor takes a neighbour's state.
func (m *mirror) neighbor(n ospfapi.NSMChange) {
	k, is := neighbor{n.IfAddr, n.Neighbor}, nbrState{n.RouterID, n.State}
	if !m.up {
		m.nbrs[k] = is
		return
	}
	if n.RouterID == m.self {
		return // ospfd's own pseudo-neighbour on each interface
	}
	was := m.nbrs[k]
	if was.router != is.router || is.state <= ospfapi.NSMAttempt {
		m.dropNeighbor(k) // gone, or another router has the address now
		was = nbrState{}
	}
	if is.state > ospfapi.NSMAttempt {
		m.nbrs[k] = is
		if m.fresh != nil {
			m.fresh.nbrs[k] = true
		}
	}
	if is.state >= ospfapi.NSMTwoWay && was.state < ospfapi.NSMTwoWay {
		m.emit(machine.LinkReach{Link: m.linkName(n.IfAddr), Router: advert.RouterIDFrom(n.RouterID), Up: true})
	} else if is.state < ospfapi.NSMTwoWay && was.state >= ospfapi.NSMTwoWay {
		m.emit(machine.LinkReach{Link: m.linkName(n.IfAddr), Router: advert.RouterIDFrom(n.RouterID)})
	}
	m.adjacency(false)
	if is.state == ospfapi.NSMFull && was.state != ospfapi.NSMFull {
		m.emit(machine.NeighborFull{Router: advert.RouterIDFrom(n.RouterID)})
	}
}

func sortedNeighbors(m map[neighbor]nbrState) []neighbor {
	return slices.SortedFunc(maps.Keys(m), func(a, b neighbor) int {
		return cmp.Or(a.ifAddr.Compare(b.ifAddr), a.addr.Compare(b.addr))
	})
}

func (m *mirror) dropNeighbor(k neighbor) {
	was, ok := m.nbrs[k]
	if !ok {
		return
	}
	delete(m.nbrs, k)
	if was.state >= ospfapi.NSMTwoWay {
		m.emit(machine.LinkReach{Link: m.linkName(k.ifAddr), Router: advert.RouterIDFrom(was.router)})
	}
}

// adjacency counts neighbours; 2-Way is where two DROthers stay for good, so
// it is no stage on the way. An ospfd that cannot be asked for neighbours does
// not tell of those that were Full before: whoever has a router in reach has
// one.
func (m *mirror) adjacency(always bool) {
	full, between := 0, 0
	for _, s := range m.nbrs {
		switch s.state {
		case ospfapi.NSMFull:
			full++
		case ospfapi.NSMInit, ospfapi.NSMExStart, ospfapi.NSMExchange, ospfapi.NSMLoading:
			between++
		case ospfapi.NSMDependUpon, ospfapi.NSMDeleted, ospfapi.NSMDown, ospfapi.NSMAttempt, ospfapi.NSMTwoWay:
		}
	}
	if !m.told && full == 0 && slices.ContainsFunc(slices.Collect(maps.Keys(m.reach)), func(r netip.Addr) bool { return r != m.self }) {
		full = 1
	}
	if always || full != m.full || between != m.between {
		m.full, m.between = full, between
		m.emit(machine.Adjacency{Full: full, Between: between})
	}
}
