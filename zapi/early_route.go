package zapi

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/osrg/gobgp/v3/pkg/zebra"
)

// ZAPI_MESSAGE_* of a route in ZAPI 2 to 4 (lib/zclient.h). Quagga and FRR have
// exchanged two of them.
const (
	earlyNexthop  = 0x01
	earlyIfindex  = 0x02
	earlyDistance = 0x04
	earlyMetric   = 0x08
	earlyMTU      = 0x10 // 0x20 in ZAPI 4
	earlyTag      = 0x20 // 0x10 in ZAPI 4
	earlySource   = 0x40 // ZAPI 4
)

// earlyBlackhole is ZEBRA_FLAG_BLACKHOLE (lib/zebra.h) of ZAPI 2 to 4: a route
// that discards has this flag and not a nexthop.
const earlyBlackhole = 0x04

// earlyRoute is a route as zread_ipv4_add and zread_ipv4_delete take it. The type
// is written by earlyRouteOwner.
func earlyRoute(w *writer, r Route) zebra.Body {
	e := w.d.t.early
	w.earlyOwner(r)
	body := &zebra.IPRouteBody{Flags: zebra.Flag(r.Flags), Safi: zebra.SafiUnicast}
	switch {
	case !r.Prefix.IsValid() || !r.Prefix.Addr().Is4():
		w.fail("prefix %s is not of IPv4", r.Prefix)
		return body
	case r.SAFI > SAFIUnicast:
		w.fail("SAFI %d is not unicast", r.SAFI)
	case r.Has&^(HasNexthops|HasDistance|HasMetric|HasMTU) != 0:
		w.fail("ZAPI %d as gobgp speaks it carries nothing but nexthops, distance, metric and MTU", e.version)
	case r.Has&HasMTU != 0 && e.messages&earlyMTU == 0:
		w.fail("ZAPI %d carries no MTU", e.version)
	case len(r.Nexthops) > 0xff:
		w.fail("%d nexthops, at most 255", len(r.Nexthops))
	case e.version < 4 && r.Flags > 0xff:
		w.fail("flags %#x do not fit a byte", r.Flags)
	}
	ip := r.Prefix.Addr().As4()
	body.Prefix = zebra.Prefix{Family: familyIPv4, PrefixLen: uint8(r.Prefix.Bits()), Prefix: ip[:]}
	for has, flag := range map[RouteField]zebra.MessageFlag{HasNexthops: zebra.MessageNexthop, HasDistance: zebra.MessageDistance,
		HasMetric: zebra.MessageMetric, HasMTU: zebra.MessageMTU} {
		if r.Has&has != 0 {
			body.Message |= flag.ToEach(e.version, e.software)
		}
	}
	body.Distance, body.Metric, body.Mtu = r.Distance, r.Metric, r.MTU
	if r.Has&HasNexthops == 0 {
		return body
	}
	for _, n := range r.Nexthops {
		if n.Kind == NexthopBlackhole && len(r.Nexthops) == 1 {
			body.Flags |= earlyBlackhole // gobgp writes the nexthop
			return body
		}
		body.Nexthops = append(body.Nexthops, earlyNexthopOut(w, n))
	}
	return body
}

func (w *writer) earlyOwner(r Route) {
	if _, ok := w.d.RouteNumber(r.Type); !ok {
		w.fail("this release has no route type %s", r.Type)
	}
	if r.Instance != 0 && w.d.t.early.version < 4 {
		w.fail("a route has no instance in this release")
	}
}

// earlyNexthopOut says a nexthop in gobgp's words. Its numbers of nexthop types
// are those of lib/zebra.h (Quagga) and lib/nexthop.h (FRR).
func earlyNexthopOut(w *writer, n Nexthop) zebra.Nexthop {
	four := n.Kind == NexthopIPv4 || n.Kind == NexthopIPv4Interface
	if four != n.Addr.Is4() || !four && n.Kind != NexthopInterface {
		w.fail("a nexthop of ZAPI %d is an interface, an IPv4 address or both", w.d.t.early.version)
		return zebra.Nexthop{}
	}
	out := zebra.Nexthop{Ifindex: n.Index}
	if four {
		out.Gate = net.IP(n.Addr.AsSlice())
	}
	quagga := w.d.t.early.version < 4
	switch {
	case n.Kind == NexthopInterface:
		out.Type = 1
	case n.Kind == NexthopIPv4 && quagga:
		out.Type = 3
	case n.Kind == NexthopIPv4:
		out.Type = 2
	case quagga:
		out.Type = 4
	default:
		out.Type = 3
	}
	return out
}

// earlyRouteOwner writes type and instance of a route into gobgp's message: its
// numbers of types are those of one release of each version, and the instance it
// keeps to itself.
func (d Dialect) earlyRouteOwner(whole []byte, m Message) {
	var r Route
	switch m := m.(type) {
	case RouteAdd:
		r = m.Route
	case RouteDelete:
		r = m.Route
	}
	at := d.HeaderSize()
	whole[at], _ = d.RouteNumber(r.Type)
	if d.t.early.version > 3 {
		binary.BigEndian.PutUint16(whole[at+1:], r.Instance)
	}
}

// appendEarlyRedistributed writes a route as zebra tells it (zsend_route_multipath
// in zebra/zserv.c), for scripted peers.
func appendEarlyRedistributed(w *writer, e *early, r Route) {
	w.earlyOwner(r)
	if !r.Prefix.IsValid() || !r.Prefix.Addr().Is4() {
		w.fail("prefix %s is not of IPv4", r.Prefix)
		return
	}
	w.routeType(r.Type)
	message := uint8(0)
	set := func(has RouteField, flags uint8) {
		if r.Has&has != 0 {
			message |= flags
		}
	}
	set(HasNexthops, earlyNexthop|earlyIfindex)
	set(HasDistance, earlyDistance)
	set(HasMetric, earlyMetric)
	set(HasMTU, e.swapped(earlyMTU))
	set(HasTag, e.swapped(earlyTag))
	if message&^e.messages != 0 {
		w.fail("zebra of this release says no %#x", message&^e.messages)
	}
	if e.version > 3 {
		w.u16(r.Instance)
		w.u32(r.Flags)
	} else {
		w.u8(uint8(r.Flags))
	}
	w.u8(message)
	w.plen(r.Prefix)
	ip := r.Prefix.Addr().As4()
	w.bytes(ip[:(r.Prefix.Bits()+7)/8])
	if r.Has&HasNexthops != 0 {
		if len(r.Nexthops) != 1 {
			w.fail("%d nexthops: zebra says one", len(r.Nexthops))
			return
		}
		gate := [4]byte{}
		if n := r.Nexthops[0]; n.Addr.Is4() {
			gate = n.Addr.As4()
		}
		w.u8(1)
		w.bytes(gate[:])
		w.u8(1)
		w.u32(r.Nexthops[0].Index)
	}
	if r.Has&HasDistance != 0 {
		w.u8(r.Distance)
	}
	for _, f := range e.order() {
		if r.Has&f.has != 0 {
			w.u32(*f.value(&r))
		}
	}
}

// swapped is a ZAPI_MESSAGE_* of Quagga's as the version numbers it.
func (e *early) swapped(message uint8) uint8 {
	if e.version > 3 && (message == earlyMTU || message == earlyTag) {
		return earlyMTU ^ earlyTag ^ message
	}
	return message
}

// number is a field of four bytes in a route.
type number struct {
	has     RouteField
	message uint8
	value   func(*Route) *uint32
}

// order is metric, and then tag and MTU as their bits are numbered.
func (e *early) order() []number {
	metric := number{HasMetric, earlyMetric, func(r *Route) *uint32 { return &r.Metric }}
	mtu := number{HasMTU, e.swapped(earlyMTU), func(r *Route) *uint32 { return &r.MTU }}
	tag := number{HasTag, e.swapped(earlyTag), func(r *Route) *uint32 { return &r.Tag }}
	if mtu.message < tag.message {
		return []number{metric, mtu, tag}
	}
	return []number{metric, tag, mtu}
}

// decodeEarlyRoute walks over a route of zebra's, so that every length in it is
// known to be true, and has gobgp read it then. Tag and MTU are those of the
// walk: gobgp reads them in FRR's order and shows no tag.
func (d Dialect) decodeEarlyRoute(r *reader, vrf uint32, whole []byte) (route Route) {
	e := d.t.early
	route.VRF, route.SAFI = vrf, SAFIUnicast
	route.Type = r.routeType()
	if e.version > 3 {
		route.Instance = r.u16()
		route.Flags = r.u32()
	} else {
		route.Flags = uint32(r.u8())
	}
	message := r.u8()
	if message&^e.messages != 0 {
		r.fail("message flags %#x, of which %#x are not known", message, message&^e.messages)
	}
	route.Prefix = r.earlyPrefix()
	if message&earlySource != 0 && e.version > 3 {
		route.Source, route.Has = r.earlyPrefix(), route.Has|HasSource
	}
	gates, indexes := 0, 0
	if message&earlyNexthop != 0 {
		gates = int(r.u8())
		r.take(4 * gates)
	}
	if message&earlyIfindex != 0 {
		indexes = int(r.u8())
		r.take(4 * indexes)
	}
	if gates != indexes {
		r.fail("%d nexthops with %d interfaces", gates, indexes)
	}
	if message&earlyDistance != 0 {
		r.u8()
		route.Has |= HasDistance
	}
	for _, f := range e.order() {
		if message&f.message != 0 {
			*f.value(&route) = r.u32()
			route.Has |= f.has
		}
	}
	if r.err != nil || len(r.b) > 0 {
		return route
	}
	body, ok := d.gobgpReads(r, whole).(*zebra.IPRouteBody)
	switch {
	case r.err != nil:
		return route
	case !ok || len(body.Nexthops) != gates+indexes || int(body.Prefix.PrefixLen) != route.Prefix.Bits():
		r.fail("gobgp reads another route")
		return route
	}
	route.Distance, route.Metric = body.Distance, body.Metric
	for i := range gates {
		gate, _ := netip.AddrFromSlice(body.Nexthops[i].Gate.To4())
		n := Nexthop{Kind: NexthopIPv4Interface, Addr: gate, Index: body.Nexthops[gates+i].Ifindex}
		switch {
		case gate.IsUnspecified() || !gate.IsValid():
			n = ViaInterface(n.Index)
		case n.Index == 0:
			n = Nexthop{Kind: NexthopIPv4, Addr: gate}
		}
		route.Nexthops = append(route.Nexthops, n)
	}
	if gates > 0 {
		route.Has |= HasNexthops
	}
	return route
}

// earlyPrefix is a length and as many bytes as it needs.
func (r *reader) earlyPrefix() netip.Prefix {
	plen := r.u8()
	if plen > 32 {
		r.fail("prefix length is %d, at most 32", plen)
	}
	var ip [4]byte
	copy(ip[:], r.take((int(plen)+7)/8))
	return r.prefix(netip.AddrFrom4(ip), plen)
}
