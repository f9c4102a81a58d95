package machine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// absorb takes an event into what is known and touches the services it may
// concern. It decides nothing.
func (n *Node) absorb(ev Event) {
	switch ev.(type) {
	case Synced, Adjacency, NeighborFull, LSASeen, LSARefused, LSAGone, Rekeyed, Reach, LinkReach, Outbid, HostRoute, OriginateDone:
		if !n.ospf.up {
			return // of a session that has ended
		}
	}
	switch e := ev.(type) {
	case OSPFUp:
		n.ospfUp(e)
	case OSPFDown:
		n.ospfDown(e.Why)
	case Synced:
		n.ospf.synced = true
		n.latch()
	case Adjacency:
		n.adjacency(e)
	case NeighborFull:
		n.compareOwn()
	case LSASeen:
		if e.Router == n.router {
			n.ownSeen(e)
			return
		}
		n.hear(e)
	case LSARefused:
		n.lsaRefused(e)
	case Rekeyed:
		n.rekeyed()
	case LSAGone:
		if e.Router == n.router {
			n.ownGone(e)
			return
		}
		n.lsaGone(e)
	case Reach:
		if e.Router != n.router {
			p := n.peer(e.Router)
			n.reach(p, func() { p.area, p.as = e.Area, e.AS || e.Area })
		}
	case LinkReach:
		if e.Router != n.router {
			p := n.peer(e.Router)
			n.reach(p, func() {
				if e.Up {
					p.links[e.Link] = true
				} else {
					delete(p.links, e.Link)
				}
			})
		}
	case Outbid:
		n.rivalSeen()
	case HostRoute:
		n.hostRoute(e)
	case OriginateDone:
		n.originateDone(e)
	case AddressState:
		n.addressState(e)
	case RouteState:
		n.routeState(e)
	case ZebraUp:
		n.zebraUp()
	case ZebraDown:
		n.zebraDown(e)
	case PrimitiveDone:
		n.primitiveDone(e)
	case ProcessEnded:
		n.processEnded(e)
	case TimerFired:
		n.timerFired(e)
	case Configured:
		n.configure(e.Config)
	case Command:
		n.command(e)
	case Shutdown:
		n.shutdown()
	}
}

func (n *Node) hostRoute(e HostRoute) {
	rs := n.routes[e.Addr]
	i, ok := slices.BinarySearch(rs, e.Router)
	switch {
	case e.Present && !ok:
		n.routes[e.Addr] = slices.Insert(rs, i, e.Router)
	case !e.Present && ok:
		if rs = slices.Delete(rs, i, i+1); len(rs) == 0 {
			delete(n.routes, e.Addr)
		} else {
			n.routes[e.Addr] = rs
		}
	default:
		return
	}
	for _, s := range n.users[e.Addr] {
		n.touch(s)
	}
	// A lost holder's address need not be anybody's any more.
	n.touchLost(e.Router)
}

func (n *Node) addressState(e AddressState) {
	for _, s := range n.users[e.Addr] {
		if s.cfg == nil || !slices.Contains(s.cfg.Addresses, e.Addr) {
			continue
		}
		if s.addrs == nil {
			s.addrs = map[netip.Addr]AddressState{}
		}
		s.addrs[e.Addr] = e
		n.touch(s)
	}
}

func (n *Node) routeState(e RouteState) {
	for _, s := range n.users[e.Addr] {
		if s.cfg == nil || !slices.Contains(s.cfg.Addresses, e.Addr) {
			continue
		}
		if s.route == nil {
			s.route = map[netip.Addr]RouteState{}
		}
		was := s.route[e.Addr]
		s.route[e.Addr] = e
		if e.State != was.State && (e.State == RouteBeaten || e.State == RouteFailed) && s.phase.announced() {
			n.note(LevelWarning, s.name, fmt.Sprintf("zebra does not take the route to %s: %s", e.Addr, e.Text))
		}
		n.touch(s)
	}
}

// zebraHold is how long a node may be without zebra before what it announces
// through it is better off elsewhere. watchfrr and systemd have brought a zebra
// back by then that is to come back.
const zebraHold = 15 * time.Second

func (n *Node) zebraUp() {
	n.cancelTimer(TimerKey{Kind: TimerZebra})
	if n.zebra.gone {
		n.note(LevelInfo, "", "zebra is back: services are announced through it as on any other node")
		n.touchAll()
	}
	n.zebra = zebraState{up: true, since: n.now}
}

// zebraGone: the kernel's routes stand, and ospfd goes on announcing what it was
// told last, so what runs here is still reached, until a route has to change.
// Who else can have it should, and nobody need stop before.
func (n *Node) zebraGone() {
	n.zebra.gone, n.zebra.dead = true, n.zebra.absent
	concerned := "services of way local"
	if n.zebra.dead {
		concerned = "services with addresses"
	}
	n.note(LevelWarning, "", fmt.Sprintf("no session with zebra for %s: nothing new is announced from here, and routes stay as they are; %s go to other nodes where they can", zebraHold, concerned))
	n.touchAll()
}

// crippled reports whether the service counts as on probation here, for want of
// a zebra to announce it through: it runs here only where it can run nowhere
// else. Way alias needs no session: ospfd hears of its addresses from a zebra to
// which we have nothing to say too (a release we do not know, Quagga's).
func (n *Node) crippled(s *service) bool {
	if s.cfg == nil || len(s.cfg.Addresses) == 0 {
		return false
	}
	return n.zebra.dead || n.zebra.gone && s.cfg.Way == WayLocal
}

func (n *Node) zebraDown(e ZebraDown) {
	z := &n.zebra
	switch k := (TimerKey{Kind: TimerZebra}); {
	case z.gone && !e.Absent:
		n.cancelTimer(k)
		if z.dead { // one is there that cannot be spoken to
			z.dead = false
			n.touchAll()
		}
	case !z.dead && !n.timerSet(k):
		n.setTimer(k, n.now.Add(zebraHold))
	}
	z.absent = e.Absent
	if z.up || z.why != e.Why {
		z.up, z.why, z.since = false, e.Why, n.now
		n.note(LevelWarning, "", "no session with zebra: "+e.Why)
	}
	for _, s := range n.services {
		// Its routes ended with zebra; nothing more will be said of them.
		if len(s.route) > 0 {
			s.route = nil
			n.touch(s)
		}
	}
}

func (n *Node) primitiveDone(e PrimitiveDone) {
	s := n.byName[e.Service]
	if s == nil || s.run == nil || s.run.id != e.Run {
		n.answerRun(e.Run, e.Text, "it was cancelled")
		return
	}
	r := s.run
	s.run = nil
	s.lastRun = RunView{Primitive: r.prim, Outcome: e.Outcome, Text: e.Text, Took: e.Took, At: n.now}
	n.touch(s)
	if r.op != nil {
		n.opDone(s, r, e)
		return
	}
	if e.Outcome == OutcomeRecall && n.recall(s, e) {
		return
	}
	s.result = &e
}

// late is how late a timer comes where the node did not run for a while: longer
// than news take to arrive. From lateTold on a person should know.
const (
	late     = 25 * time.Millisecond
	lateTold = 250 * time.Millisecond
)

// takePin makes a newer pin the service's.
func (n *Node) takePin(s *service, p advert.Pin) {
	s.pin, s.pinSeen = p, false
	n.unrank(s)
	n.cancelTimer(s.timer(TimerPin))
	if !p.Void && p.Left != 0 {
		s.pinEnds = n.now.Add(time.Duration(p.Left) * time.Second)
		n.setTimer(s.timer(TimerPin), s.pinEnds)
	}
	n.save()
	n.touch(s)
}

func (n *Node) voidPin(s *service, why string) {
	s.pin.Void = true
	n.unrank(s)
	n.cancelTimer(s.timer(TimerPin))
	n.note(LevelInfo, s.name, fmt.Sprintf("the move to %s ends: %s", n.hostOf(s.pin.Target), why))
	n.save()
	n.touch(s)
}

// sentence joins what is not empty.
func sentence(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}
