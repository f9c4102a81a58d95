package zapi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	gobgplog "github.com/osrg/gobgp/v3/pkg/log"
	"github.com/osrg/gobgp/v3/pkg/zebra"
)

// ZAPI 2 to 4: Quagga, and FRR 2.0 and 3.0.
//
// Headers, routes and registrations of nexthops go through gobgp's pkg/zebra, as
// far as that has them. Interfaces, addresses and the router-id are read here:
// its types for them show nothing, and for some releases it takes bytes that are
// not there (the link parameters of Quagga 1.0, the speed of FRR 2.0). Its
// decoders do not look how much there is, so nothing reaches them whose every
// length was not checked before.

// early is what differs within ZAPI 2 to 4 beyond numbers and route types. The
// origin is zebra/zserv.c and zebra/zebra_rnh.c at the release's tag.
type early struct {
	version  uint8 // ZSERV_VERSION
	software zebra.Software
	patch    int // of the release, where a minor has several dialects; it begins here

	ptm        bool  // INTERFACE: ptm_enable and ptm_status after the flags
	speed      bool  // INTERFACE: speed after metric
	linkType   bool  // INTERFACE: ll_type before the hardware address
	linkParams bool  // INTERFACE: ends in link parameters, or in that there are none
	messages   uint8 // the ZAPI_MESSAGE_* zebra knows
}

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

// maxEarlyMessage is ZEBRA_MAX_PACKET_SIZ (lib/zclient.h), of both ends.
const maxEarlyMessage = 4096

// Route types by number: lib/route_types.txt of each release.
var (
	typesQuagga099 = []RouteType{
		RouteSystem, RouteKernel, RouteConnect, RouteStatic, RouteRIP, RouteRIPng, RouteOSPF, RouteOSPF6, RouteISIS,
		RouteBGP, RouteHSLS, RouteOLSR, RouteBabel,
	}
	typesQuagga09924 = []RouteType{
		RouteSystem, RouteKernel, RouteConnect, RouteStatic, RouteRIP, RouteRIPng, RouteOSPF, RouteOSPF6, RouteISIS,
		RouteBGP, RoutePIM, RouteHSLS, RouteOLSR, RouteBabel,
	}
	typesQuagga12 = append(typesQuagga09924[:len(typesQuagga09924):len(typesQuagga09924)], RouteNHRP)
	typesFRR2     = []RouteType{
		RouteSystem, RouteKernel, RouteConnect, RouteStatic, RouteRIP, RouteRIPng, RouteOSPF, RouteOSPF6, RouteISIS,
		RouteBGP, RoutePIM, RouteHSLS, RouteOLSR, RouteTable, RouteLDP, RouteVNC, RouteVNCDirect, RouteVNCDirectRH,
		RouteBGPDirect, RouteBGPDirectExt, RouteAll,
	}
	typesFRR3 = []RouteType{
		RouteSystem, RouteKernel, RouteConnect, RouteStatic, RouteRIP, RouteRIPng, RouteOSPF, RouteOSPF6, RouteISIS,
		RouteBGP, RoutePIM, RouteNHRP, RouteHSLS, RouteOLSR, RouteTable, RouteLDP, RouteVNC, RouteVNCDirect,
		RouteVNCDirectRH, RouteBGPDirect, RouteBGPDirectExt, RouteAll,
	}
)

// quaggaNumbers are ZEBRA_* of lib/zebra.h in Quagga, the same from 0.99.22 to
// 1.2.4 but for those that came with 1.1. zebra's routes come under the numbers
// of a client's.
func quaggaNumbers(nexthops bool) (t [commandCount]uint16) {
	for i := range t {
		t[i] = absent
	}
	t[CommandInterfaceAdd], t[CommandInterfaceDelete] = 1, 2
	t[CommandAddressAdd], t[CommandAddressDelete] = 3, 4
	t[CommandInterfaceUp], t[CommandInterfaceDown] = 5, 6
	t[CommandRouteAdd], t[CommandRouteDelete] = 7, 8
	t[CommandRedistributeRouteAdd], t[CommandRedistributeRouteDelete] = 7, 8
	t[CommandRedistributeAdd], t[CommandRedistributeDelete] = 11, 12
	t[CommandRouterIDAdd], t[CommandRouterIDUpdate] = 20, 22
	t[CommandHello] = 23
	if nexthops {
		t[CommandNexthopRegister], t[CommandNexthopUnregister], t[CommandNexthopUpdate] = 27, 28, 29
	}
	return t
}

// frr2Numbers are zebra_message_types_t of lib/zebra.h (2.0) and lib/zclient.h
// (3.0). Nexthops are left out: 2.0 says them as gobgp does not read them.
func frr2Numbers() (t [commandCount]uint16) {
	for i := range t {
		t[i] = absent
	}
	t[CommandInterfaceAdd], t[CommandInterfaceDelete] = 0, 1
	t[CommandAddressAdd], t[CommandAddressDelete] = 2, 3
	t[CommandInterfaceUp], t[CommandInterfaceDown] = 4, 5
	t[CommandRouteAdd], t[CommandRouteDelete] = 6, 7
	t[CommandRedistributeAdd], t[CommandRedistributeDelete] = 10, 11
	t[CommandRouterIDAdd], t[CommandRouterIDUpdate] = 14, 16
	t[CommandHello] = 17
	t[CommandRedistributeRouteAdd], t[CommandRedistributeRouteDelete] = 32, 33
	return t
}

// earlyDialects are in the order of their releases, Quagga's first.
var earlyDialects = buildEarlyDialects()

func buildEarlyDialects() (all []*dialectTable) {
	add := func(name string, e early, types []RouteType, numbers [commandCount]uint16, releases ...release) {
		software := "quagga1.2"
		if e.version > 3 {
			software = "frr3"
		}
		e.software = zebra.NewSoftware(e.version, software)
		t := &dialectTable{name: name, releases: releases, types: types, numbers: numbers, early: &e,
			layout: layout{ifNameSize: 20}, commands: map[uint16]Command{}}
		for c, number := range numbers {
			if number != absent { // of two with one number the later, which zebra says
				t.commands[number] = Command(c)
			}
		}
		all = append(all, t)
	}
	e := early{version: 2, patch: 22, messages: earlyNexthop | earlyIfindex | earlyDistance | earlyMetric}
	add("Quagga 0.99.22-0.99.23", e, typesQuagga099, quaggaNumbers(false), release{0, 99})
	e.patch = 24
	add("Quagga 0.99.24", e, typesQuagga09924, quaggaNumbers(false), release{0, 99})
	e.patch, e.version, e.linkType, e.messages = 0, 3, true, e.messages|earlyMTU
	add("Quagga 1.0", e, typesQuagga09924, quaggaNumbers(false), release{1, 0})
	e.linkParams, e.messages = true, e.messages|earlyTag
	add("Quagga 1.1", e, typesQuagga09924, quaggaNumbers(true), release{1, 1})
	add("Quagga 1.2", e, typesQuagga12, quaggaNumbers(true), release{1, 2})
	e.version, e.ptm = 4, true
	add("FRR 2.0", e, typesFRR2, frr2Numbers(), release{2, 0})
	e.speed, e.messages = true, e.messages|earlySource
	add("FRR 3.0", e, typesFRR3, frr2Numbers(), release{3, 0})
	return all
}

// EarlyDialects returns those of ZAPI 2 to 4: Quagga's, oldest first, and those of
// FRR 2.0 and 3.0.
func EarlyDialects() []Dialect {
	ds := make([]Dialect, len(earlyDialects))
	for i, t := range earlyDialects {
		ds[i] = Dialect{t}
	}
	return ds
}

// earlyDialectFor finds the dialect of a release, "1.2.4" of Quagga or "3.0.1" of
// FRR.
func earlyDialectFor(version string, quagga bool) (Dialect, string) {
	r, rest, ok := parseRelease(version)
	if !ok {
		return Dialect{}, "want a release such as 1.2.4 or 0.99.24.1"
	}
	patch := 0
	if after, dotted := strings.CutPrefix(rest, "."); dotted {
		for _, digit := range after {
			if digit < '0' || digit > '9' || patch > 1e8 {
				break
			}
			patch = 10*patch + int(digit-'0')
		}
	}
	found := Dialect{}
	for _, t := range earlyDialects {
		if (t.early.version < 4) == quagga && t.releases[0] == r && patch >= t.early.patch {
			found = Dialect{t}
		}
	}
	switch {
	case found.Valid():
		return found, ""
	case quagga && r.less(release{1, 0}):
		return Dialect{}, "older than 0.99.22, the oldest Quagga known here"
	default:
		return Dialect{}, "not one of the releases known here"
	}
}

// Early reports whether the dialect is one of ZAPI 2 to 4. There zebra notes
// nothing to the owner of a route, so that Routes is no use; a Client can
// observe, and announce routes of a protocol that nobody runs on the node.
func (d Dialect) Early() bool { return d.t != nil && d.t.early != nil }

// marker is ZEBRA_HEADER_MARKER: Quagga's, or FRR's.
func (e *early) marker() uint8 { return zebra.HeaderMarker(e.version) }

// HeaderSize is the length of a header.
func (d Dialect) HeaderSize() int {
	if d.Early() {
		return int(zebra.HeaderSize(d.t.early.version))
	}
	return HeaderSize
}

// frame checks a header and returns the length of its message.
func (d Dialect) frame(b []byte) (int, error) {
	if !d.Early() {
		return int(binary.BigEndian.Uint16(b)), checkHeader(b)
	}
	e := d.t.early
	f := &FrameError{Length: binary.BigEndian.Uint16(b), Marker: b[2], Version: b[3], Dialect: d}
	if f.Marker != e.marker() || f.Version != e.version || int(f.Length) < d.HeaderSize() || f.Length > maxEarlyMessage {
		return 0, f
	}
	return int(f.Length), nil
}

// ReadMessage is as the function of that name, in any dialect.
func (d Dialect) ReadMessage(r io.Reader, buf []byte) ([]byte, error) {
	if !d.Early() {
		return ReadMessage(r, buf)
	}
	if cap(buf) < maxEarlyMessage {
		buf = make([]byte, maxEarlyMessage)
	}
	size := d.HeaderSize()
	buf = buf[:size]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, err
	}
	length, err := d.frame(buf)
	if err != nil {
		return nil, err
	}
	buf = buf[:length]
	if _, err := io.ReadFull(r, buf[size:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf, nil
}

// appendEarly is Append for ZAPI 2 to 4.
func (d Dialect) appendEarly(b []byte, m Message) ([]byte, error) {
	command := m.Command()
	fail := func(err error) ([]byte, error) {
		return b, &MessageError{Command: command, Dialect: d, Err: err}
	}
	number, known := d.Number(command)
	if u, unknown := m.(Unknown); unknown {
		number, known = u.Number, true
	}
	if !known {
		return fail(errNoCommand)
	}
	w := &writer{d: d, l: &d.t.layout}
	body, vrf := d.earlyBody(w, m)
	if vrf > 0xffff || vrf != 0 && d.t.early.version == 2 {
		w.fail("VRF %d does not fit the header", vrf)
	}
	if w.err != nil {
		return fail(w.err)
	}
	z := zebra.Message{Body: body, Header: zebra.Header{
		Marker: d.t.early.marker(), Version: d.t.early.version, VrfID: vrf, Command: zebra.APIType(number)}}
	whole, err := z.Serialize(d.t.early.software)
	if err != nil {
		return fail(err)
	}
	if _, ok := body.(*zebra.IPRouteBody); ok {
		d.earlyRouteOwner(whole, m)
	}
	whole = append(whole, w.b...)
	if len(whole) > maxEarlyMessage {
		return fail(fmt.Errorf("message of %d bytes is longer than the %d zebra takes", len(whole), maxEarlyMessage))
	}
	binary.BigEndian.PutUint16(whole, uint16(len(whole)))
	return append(b, whole...), nil
}

// earlyBody is what follows the header: gobgp's body, or what w was given.
func (d Dialect) earlyBody(w *writer, m Message) (body zebra.Body, vrf uint32) {
	e := d.t.early
	switch m := m.(type) {
	case Hello: // zread_hello
		w.routeType(m.Type)
		if e.version > 3 {
			w.u16(m.Instance)
		} else if m.Instance != 0 {
			w.fail("HELLO has no instance in this release")
		}
		if m.Notify || m.Synchronous || m.Session != 0 {
			w.fail("HELLO asks for nothing in this release")
		}
		return nil, 0
	case RouterIDRequest: // zread_router_id_add
		if m.AFI != AFIIPv4 {
			w.fail("the router-id is of IPv4 in this release")
		}
		return nil, m.VRF
	case InterfaceRequest:
		return nil, m.VRF
	case Redistribute: // zebra_redistribute_add in zebra/redistribute.c
		if e.version > 3 {
			appendRedistribute(w, m)
			return nil, m.VRF
		}
		w.routeType(m.Type)
		if m.Instance != 0 || m.AFI != AFIIPv4 {
			w.fail("a redistribution has neither instance nor address family in this release")
		}
		return nil, m.VRF
	case RouteAdd:
		return earlyRoute(w, m.Route), m.VRF
	case RouteDelete:
		return earlyRoute(w, m.Route), m.VRF
	case NexthopTrack:
		return earlyNexthopTrack(w, m), m.VRF
	case RouterID:
		appendRouterID(w, m)
		return nil, m.VRF
	case Interface:
		appendEarlyInterface(w, e, m)
		return nil, m.VRF
	case Address:
		appendAddress(w, m)
		return nil, m.VRF
	case RedistributedRoute:
		appendEarlyRedistributed(w, e, m.Route)
		return nil, m.VRF
	case NexthopUpdate:
		appendEarlyNexthopUpdate(w, m)
		return nil, m.VRF
	case Unknown:
		w.bytes(m.Body)
		return nil, m.VRF
	}
	w.fail("%T is no message of ZAPI %d", m, e.version)
	return nil, 0
}

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

func earlyNexthopTrack(w *writer, m NexthopTrack) zebra.Body {
	if m.Connected || m.ViaDefault || !m.Prefix.IsValid() || !m.Prefix.Addr().Is4() || m.Prefix.Bits() != 32 {
		w.fail("as gobgp speaks ZAPI %d, a nexthop is an IPv4 address, with nothing else asked of it", w.d.t.early.version)
		return nil
	}
	return &zebra.NexthopRegisterBody{Nexthops: []*zebra.RegisteredNexthop{{Family: familyIPv4, Prefix: net.IP(m.Prefix.Addr().AsSlice())}}}
}

// What zebra says, for scripted peers: zserv_encode_interface,
// zsend_route_multipath and send_client.

func appendEarlyInterface(w *writer, e *early, m Interface) {
	w.fixed(m.Name, w.l.ifNameSize)
	w.u32(m.Index)
	w.u8(m.Status)
	w.u64(m.Flags)
	if e.ptm {
		w.u8(m.PTMEnable)
		w.u8(m.PTMStatus)
	}
	w.u32(m.Metric)
	if e.speed {
		w.u32(m.Speed)
	}
	w.u32(m.MTU)
	w.u32(m.MTU6)
	w.u32(m.Bandwidth)
	if e.linkType {
		w.u32(m.LinkType)
	}
	if len(m.HardwareAddr) > maxHardwareAddr {
		w.fail("hardware address of %d bytes, at most %d", len(m.HardwareAddr), maxHardwareAddr)
	}
	w.u32(uint32(len(m.HardwareAddr)))
	w.bytes(m.HardwareAddr)
	if e.linkParams {
		w.bool(m.LinkParams)
		if m.LinkParams {
			w.bytes(m.LinkParamBytes)
		}
	}
}

func decodeEarlyInterface(r *reader, e *early, vrf uint32, event InterfaceEvent) (m Interface) {
	m.VRF, m.Event = vrf, event
	m.Name = r.fixed(r.l.ifNameSize)
	m.Index = r.u32()
	m.Status = r.u8()
	m.Flags = r.u64()
	if e.ptm {
		m.PTMEnable = r.u8()
		m.PTMStatus = r.u8()
	}
	m.Metric = r.u32()
	if e.speed {
		m.Speed = r.u32()
	}
	m.MTU = r.u32()
	m.MTU6 = r.u32()
	m.Bandwidth = r.u32()
	if e.linkType {
		m.LinkType = r.u32()
	}
	n := r.u32()
	if n > maxHardwareAddr {
		r.fail("hardware address of %d bytes, at most %d", n, maxHardwareAddr)
		return m
	}
	m.HardwareAddr = net.HardwareAddr(r.bytes(int(n)))
	if e.linkParams {
		if m.LinkParams = r.bool(); m.LinkParams {
			m.LinkParamBytes = r.bytes(len(r.b))
		}
	}
	return m
}

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

func appendEarlyNexthopUpdate(w *writer, m NexthopUpdate) {
	w.u16(familyIPv4)
	w.plen(m.Asked)
	w.addr(m.Asked.Addr())
	w.u32(m.Metric)
	w.count8("nexthops", len(m.Nexthops))
	for _, n := range m.Nexthops {
		switch n.Kind {
		case NexthopInterface:
			w.u8(1)
			w.u32(n.Index)
		case NexthopIPv4:
			w.u8(3)
			w.addr(n.Addr)
		case NexthopIPv4Interface:
			w.u8(4)
			w.addr(n.Addr)
			w.u32(n.Index)
		default:
			w.fail("nexthop of kind %d", n.Kind)
		}
	}
}

// decodeEarly is Decode for ZAPI 2 to 4: what zebra says, and of what a client
// says all but its routes.
func (d Dialect) decodeEarly(b []byte) (Message, error) {
	e := d.t.early
	size := d.HeaderSize()
	if len(b) < size {
		return nil, &MessageError{Command: commandCount, Dialect: d, Err: ErrShort}
	}
	length, err := d.frame(b)
	if err != nil {
		return nil, err
	}
	vrf := uint32(0)
	if e.version > 2 {
		vrf = uint32(binary.BigEndian.Uint16(b[4:]))
	}
	number := binary.BigEndian.Uint16(b[size-2:])
	command, known := d.t.commands[number]
	if !known {
		command = commandCount
	}
	fail := func(err error) (Message, error) {
		return nil, &MessageError{Command: command, Dialect: d, Err: err}
	}
	switch {
	case len(b) < length:
		return fail(ErrShort)
	case len(b) > length:
		return fail(fmt.Errorf("%d %w after the message", len(b)-length, ErrTrailing))
	case !known:
		return Unknown{VRF: vrf, Number: number, Body: clone(b[size:])}, nil
	}
	r := &reader{b: b[size:], d: d, l: &d.t.layout}
	m := d.decodeEarlyBody(r, command, vrf, b)
	if r.err != nil {
		return fail(r.err)
	}
	if len(r.b) > 0 {
		return fail(fmt.Errorf("%d %w", len(r.b), ErrTrailing))
	}
	return m, nil
}

func (d Dialect) decodeEarlyBody(r *reader, command Command, vrf uint32, whole []byte) Message {
	e := d.t.early
	switch command {
	case CommandHello:
		m := Hello{Type: r.routeType()}
		if e.version > 3 {
			m.Instance = r.u16()
		}
		return m
	case CommandRouterIDAdd:
		return RouterIDRequest{VRF: vrf, AFI: AFIIPv4}
	case CommandRouterIDUpdate:
		return decodeRouterID(r, vrf)
	case CommandInterfaceAdd:
		if len(r.b) == 0 {
			return InterfaceRequest{VRF: vrf}
		}
		return decodeEarlyInterface(r, e, vrf, InterfaceAdded)
	case CommandInterfaceDelete:
		return decodeEarlyInterface(r, e, vrf, InterfaceDeleted)
	case CommandInterfaceUp:
		return decodeEarlyInterface(r, e, vrf, InterfaceUp)
	case CommandInterfaceDown:
		return decodeEarlyInterface(r, e, vrf, InterfaceDown)
	case CommandAddressAdd, CommandAddressDelete:
		return decodeAddress(r, vrf, command == CommandAddressDelete)
	case CommandRedistributeAdd, CommandRedistributeDelete:
		if e.version > 3 {
			return decodeRedistribute(r, vrf, command == CommandRedistributeDelete)
		}
		return Redistribute{VRF: vrf, Stop: command == CommandRedistributeDelete, AFI: AFIIPv4, Type: r.routeType()}
	case CommandRedistributeRouteAdd, CommandRedistributeRouteDelete:
		return RedistributedRoute{command == CommandRedistributeRouteDelete, d.decodeEarlyRoute(r, vrf, whole)}
	case CommandNexthopUpdate:
		return d.decodeEarlyNexthopUpdate(r, vrf, whole)
	case CommandNexthopRegister, CommandNexthopUnregister:
		m := NexthopTrack{VRF: vrf, Stop: command == CommandNexthopUnregister, Connected: r.bool()}
		family := r.u16()
		plen := r.u8()
		m.Prefix = r.prefix(r.addr(family), plen)
		return m
	}
	r.fail("no layout")
	return nil
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

// decodeEarlyNexthopUpdate walks over send_client of zebra/zebra_rnh.c, and has
// gobgp read it then.
func (d Dialect) decodeEarlyNexthopUpdate(r *reader, vrf uint32, whole []byte) (m NexthopUpdate) {
	m.VRF = vrf
	if family := r.u16(); family != familyIPv4 && r.err == nil {
		r.fail("address family is %d, want %d (IPv4)", family, familyIPv4)
	}
	if plen := r.u8(); plen != 32 && r.err == nil {
		r.fail("prefix length is %d, want that of an address, 32", plen)
	}
	r.take(4 + 4) // address, metric
	count := int(r.u8())
	for range count {
		switch kind := r.u8(); kind { // ZEBRA_NEXTHOP_* of lib/zebra.h
		case 1, 2, 3: // IFINDEX, IFNAME, IPV4
			r.take(4)
		case 4, 5: // IPV4_IFINDEX, IPV4_IFNAME
			r.take(8)
		default: // a blackhole is said without the byte that gobgp reads
			r.fail("nexthop type %d", kind)
		}
	}
	if r.err != nil || len(r.b) > 0 {
		return m
	}
	body, ok := d.gobgpReads(r, whole).(*zebra.NexthopUpdateBody)
	switch {
	case r.err != nil:
		return m
	case !ok || len(body.Nexthops) != count:
		r.fail("gobgp reads another nexthop")
		return m
	}
	asked, _ := netip.AddrFromSlice(body.Prefix.Prefix.To4())
	m.Asked, m.Metric = netip.PrefixFrom(asked, 32), body.Metric
	for _, n := range body.Nexthops {
		gate, _ := netip.AddrFromSlice(n.Gate.To4())
		switch n.Type {
		case 1, 2:
			m.Nexthops = append(m.Nexthops, ViaInterface(n.Ifindex))
		case 3:
			m.Nexthops = append(m.Nexthops, Nexthop{Kind: NexthopIPv4, Addr: gate})
		default:
			m.Nexthops = append(m.Nexthops, Nexthop{Kind: NexthopIPv4Interface, Addr: gate, Index: n.Ifindex})
		}
	}
	return m
}

// gobgpReads has gobgp read a message whose lengths were checked.
func (d Dialect) gobgpReads(r *reader, whole []byte) zebra.Body {
	m, err := zebra.ReceiveSingleMsg(silence{}, &inMemory{r: bytes.NewReader(whole)}, d.t.early.version, d.t.early.software, "")
	switch {
	case err != nil:
		r.fail("gobgp: %v", err)
	case m == nil: // it logged why
		r.fail("gobgp does not read it")
	default:
		return m.Body
	}
	return nil
}

// inMemory is the connection gobgp reads from; it does nothing else with it.
type inMemory struct {
	net.Conn
	r *bytes.Reader
}

func (c *inMemory) Read(b []byte) (int, error) { return c.r.Read(b) }

// silence is a logger that says nothing and, above all, ends nothing: errors come
// back as such.
type silence struct{}

func (silence) Panic(string, gobgplog.Fields) {}
func (silence) Fatal(string, gobgplog.Fields) {}
func (silence) Error(string, gobgplog.Fields) {}
func (silence) Warn(string, gobgplog.Fields)  {}
func (silence) Info(string, gobgplog.Fields)  {}
func (silence) Debug(string, gobgplog.Fields) {}
func (silence) SetLevel(gobgplog.LogLevel)    {}
func (silence) GetLevel() gobgplog.LogLevel   { return gobgplog.PanicLevel }

// greetEarly says HELLO if the client is to announce, and asks for the router-id:
// zebra answers that at once, whatever it is, and closes the connection if the
// header is of another version than its own, before it looks at the number
// (zebra_client_read in zebra/zserv.c).
func (c *Client) greetEarly() error {
	if c.cfg.Proto != RouteSystem {
		if err := c.Send(Hello{Type: c.cfg.Proto, Instance: c.cfg.Instance}); err != nil {
			return err
		}
	}
	if err := c.RequestRouterID(); err != nil {
		return err
	}
	for {
		b, err := c.cfg.Dialect.ReadMessage(c.r, nil)
		if err != nil {
			return err
		}
		m, err := c.cfg.Dialect.Decode(b)
		if err != nil {
			return err
		}
		c.early = append(c.early, m)
		if _, answered := m.(RouterID); answered {
			return nil
		}
	}
}
