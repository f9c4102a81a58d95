package zapi

import "net/netip"

// messageBits pairs a RouteField with its ZAPI_MESSAGE_* bit in a dialect; 0
// where the dialect has none.
type messageBit struct {
	field RouteField
	bit   uint32
}

// messageBits are the bits of lib/zclient.h. Those up to backup nexthops are
// the same in all releases.
func (l *layout) messageBits() [11]messageBit {
	return [...]messageBit{
		{HasNexthops, 0x01}, {HasDistance, 0x02}, {HasMetric, 0x04}, {HasTag, 0x08}, {HasMTU, 0x10}, {HasSource, 0x20},
		{HasBackups, 0x40}, {HasNexthopGroup, l.msgNHG}, {HasTable, l.msgTable}, {HasColor, l.msgSRTE},
		{HasOpaque, l.msgOpaque},
	}
}

func (w *writer) messageFlags(has RouteField) {
	var bits uint32
	for _, b := range w.l.messageBits() {
		if has&b.field == 0 {
			continue
		}
		if b.bit == 0 {
			w.fail("this release has no message flag for route field 0x%x", uint16(b.field))
		}
		bits |= b.bit
		has &^= b.field
	}
	if has != 0 {
		w.fail("unknown route fields 0x%x", uint16(has))
	}
	w.u32(bits)
}

func (r *reader) messageFlags() (has RouteField) {
	bits := r.u32()
	for _, b := range r.l.messageBits() {
		if b.bit != 0 && bits&b.bit != 0 {
			has |= b.field
			bits &^= b.bit
		}
	}
	if bits != 0 {
		r.fail("message flags 0x%x have no meaning in this release", bits)
	}
	return has
}

// ROUTE_ADD, ROUTE_DELETE, REDISTRIBUTE_ROUTE_*: zapi_route_encode in
// lib/zclient.c.

// maxOpaque is ZAPI_MESSAGE_OPAQUE_LENGTH (lib/zclient.h).
const maxOpaque = 1024

func appendRoute(w *writer, m Route) {
	w.routeType(m.Type)
	w.u16(m.Instance)
	flags := m.Flags
	if m.Has&HasTable != 0 {
		flags |= w.l.routeFlagTable
	}
	w.u32(flags)
	w.messageFlags(m.Has)
	w.u8(m.SAFI)
	w.u8(w.family(m.Prefix.Addr()))
	w.packed(m.Prefix)
	if m.Has&HasSource != 0 {
		if !m.Source.Addr().Is6() {
			w.fail("source prefix %s is not IPv6", m.Source)
		}
		w.packed(m.Source)
	}
	if m.Has&HasNexthopGroup != 0 {
		w.u32(m.NexthopGroup)
	}
	evpn, color := flags&routeFlagEVPN != 0, m.Has&HasColor != 0
	if m.Has&HasNexthops != 0 {
		w.count16("nexthops", len(m.Nexthops))
		for _, n := range m.Nexthops {
			appendNexthop(w, n, evpn, color)
		}
	}
	if m.Has&HasBackups != 0 {
		w.count16("backup nexthops", len(m.Backups))
		for _, n := range m.Backups {
			appendNexthop(w, n, evpn, color)
		}
	}
	if m.Has&HasDistance != 0 {
		w.u8(m.Distance)
	}
	if m.Has&HasMetric != 0 {
		w.u32(m.Metric)
	}
	if m.Has&HasTag != 0 {
		w.u32(m.Tag)
	}
	if m.Has&HasMTU != 0 {
		w.u32(m.MTU)
	}
	if m.Has&HasTable != 0 {
		w.u32(m.Table)
	}
	if m.Has&HasOpaque != 0 {
		if len(m.Opaque) > maxOpaque {
			w.fail("opaque data of %d bytes, at most %d", len(m.Opaque), maxOpaque)
		}
		w.count16("opaque bytes", len(m.Opaque))
		w.bytes(m.Opaque)
	}
}

func decodeRoute(r *reader, vrf uint32) (m Route) {
	m.VRF = vrf
	m.Type = r.routeType()
	m.Instance = r.u16()
	m.Flags = r.u32()
	m.Has = r.messageFlags()
	m.SAFI = r.u8()
	m.Prefix = r.packed(uint16(r.u8()))
	if m.Has&HasSource != 0 {
		m.Source = r.packed(familyIPv6)
	}
	if m.Has&HasNexthopGroup != 0 {
		m.NexthopGroup = r.u32()
	}
	evpn, color := m.Flags&routeFlagEVPN != 0, m.Has&HasColor != 0
	if m.Has&HasNexthops != 0 {
		m.Nexthops = decodeNexthops(r, int(r.u16()), evpn, color)
	}
	if m.Has&HasBackups != 0 {
		m.Backups = decodeNexthops(r, int(r.u16()), evpn, color)
	}
	if m.Has&HasDistance != 0 {
		m.Distance = r.u8()
	}
	if m.Has&HasMetric != 0 {
		m.Metric = r.u32()
	}
	if m.Has&HasTag != 0 {
		m.Tag = r.u32()
	}
	if m.Has&HasMTU != 0 {
		m.MTU = r.u32()
	}
	if m.Has&HasTable != 0 {
		m.Table = r.u32()
	}
	if m.Has&HasOpaque != 0 {
		n := int(r.u16())
		if n > maxOpaque {
			r.fail("opaque data of %d bytes, at most %d", n, maxOpaque)
		}
		m.Opaque = r.bytes(n)
	}
	return m
}

// packed is a prefix length and as many address bytes as it covers.
func (w *writer) packed(p netip.Prefix) {
	w.plen(p)
	if p.IsValid() {
		w.bytes(p.Addr().WithZone("").AsSlice()[:(p.Bits()+7)/8])
	}
}

func (r *reader) packed(family uint16) netip.Prefix {
	plen := r.u8()
	var b [16]byte
	size := 4
	switch family {
	case familyIPv4:
	case familyIPv6:
		size = 16
	default:
		r.fail("address family is %d, want %d (IPv4) or %d (IPv6)", family, familyIPv4, familyIPv6)
		return netip.Prefix{}
	}
	if int(plen) > size*8 {
		r.fail("prefix length is %d, at most %d", plen, size*8)
		return netip.Prefix{}
	}
	copy(b[:size], r.take((int(plen)+7)/8))
	a := netip.AddrFrom16(b)
	if size == 4 {
		a = netip.AddrFrom4([4]byte(b[:4]))
	}
	return r.prefix(a, plen)
}

// Nexthops: zapi_nexthop_encode in lib/zclient.c.

// ZAPI_NEXTHOP_FLAG_*: which parts follow.
const (
	nexthopOnLink    = 0x01
	nexthopLabel     = 0x02
	nexthopWeight    = 0x04
	nexthopBackup    = 0x08
	nexthopSeg6      = 0x10
	nexthopSeg6Local = 0x20
	nexthopEVPN      = 0x40
)

const (
	maxLabels   = 16 // MPLS_MAX_LABELS
	maxSegments = 16 // SRV6_MAX_SEGS
)

// nexthopFlags are the bits a dialect has layouts for.
func (l *layout) nexthopFlags() uint8 {
	flags := uint8(nexthopOnLink | nexthopLabel | nexthopWeight | nexthopBackup)
	if l.nhSeg6 != seg6None {
		flags |= nexthopSeg6
	}
	if l.nhSeg6Local != 0 {
		flags |= nexthopSeg6Local
	}
	if l.nhEVPN {
		flags |= nexthopEVPN
	}
	return flags
}

func appendNexthop(w *writer, n Nexthop, routeEVPN, color bool) {
	var flags uint8
	for _, f := range []struct {
		set bool
		bit uint8
	}{
		{n.OnLink, nexthopOnLink}, {len(n.Labels) > 0, nexthopLabel}, {n.Weight != 0, nexthopWeight},
		{len(n.Backups) > 0, nexthopBackup}, {len(n.Segments) > 0, nexthopSeg6}, {len(n.Seg6Local) > 0, nexthopSeg6Local},
		{n.EVPN && w.l.nhEVPN, nexthopEVPN},
	} {
		if f.set {
			flags |= f.bit
		}
	}
	if lost := flags &^ w.l.nexthopFlags(); lost != 0 {
		w.fail("this release has no nexthop flags 0x%02x", lost)
	}
	if !w.l.nhEVPN && n.EVPN != routeEVPN {
		w.fail("before FRR 8.4 the route's flag 0x%x says whether its nexthops are EVPN", routeFlagEVPN)
	}
	w.u32(n.VRF)
	w.u8(uint8(n.Kind))
	w.u8(flags)
	appendGate(w, n)
	if len(n.Labels) > 0 {
		if len(n.Labels) > maxLabels {
			w.fail("%d labels, at most %d", len(n.Labels), maxLabels)
		}
		w.u8(uint8(len(n.Labels)))
		if w.l.nhLabelType {
			w.u8(n.LabelType)
		}
		for _, label := range n.Labels {
			w.host32(label)
		}
	}
	switch {
	case n.Weight == 0:
	case w.l.nhWeight64:
		w.u64(n.Weight)
	case n.Weight > 0xffffffff:
		w.fail("weight %d does not fit the 32 bits of this release", n.Weight)
	default:
		w.u32(uint32(n.Weight))
	}
	if n.EVPN {
		w.bytes(n.RouterMAC[:])
	}
	if color {
		w.u32(n.Color)
	}
	if len(n.Backups) > 0 {
		w.count8("backup indexes", len(n.Backups))
		w.bytes(n.Backups)
	}
	if len(n.Seg6Local) > 0 {
		if len(n.Seg6Local) != w.l.nhSeg6Local {
			w.fail("seg6local is %d bytes, want %d in this release", len(n.Seg6Local), w.l.nhSeg6Local)
		}
		w.bytes(n.Seg6Local)
	}
	if len(n.Segments) > 0 {
		appendSegments(w, n)
	}
}

func appendGate(w *writer, n Nexthop) {
	switch n.Kind {
	case NexthopBlackhole:
		w.u8(uint8(n.Blackhole))
	case NexthopInterface:
		w.u32(n.Index)
	case NexthopIPv4, NexthopIPv4Interface:
		if !n.Addr.Is4() {
			w.fail("nexthop %s is not IPv4", n.Addr)
		}
		w.addr(n.Addr)
		w.u32(n.Index)
	case NexthopIPv6, NexthopIPv6Interface:
		if !n.Addr.Is6() {
			w.fail("nexthop %s is not IPv6", n.Addr)
		}
		w.addr(n.Addr)
		w.u32(n.Index)
	default:
		w.fail("unknown kind of nexthop %d", n.Kind)
	}
}

func appendSegments(w *writer, n Nexthop) {
	if w.l.nhSeg6 == seg6One {
		if len(n.Segments) != 1 {
			w.fail("%d segments, this release takes one", len(n.Segments))
		}
	} else {
		if len(n.Segments) > maxSegments {
			w.fail("%d segments, at most %d", len(n.Segments), maxSegments)
		}
		w.u8(uint8(len(n.Segments)))
	}
	for _, s := range n.Segments {
		if !s.Is6() {
			w.fail("segment %s is not IPv6", s)
		}
		w.addr(s)
	}
	if w.l.nhSeg6 == seg6Behaviour {
		w.u32(n.Encapsulation)
	}
}

// minNexthop is the shortest nexthop: VRF, kind, flags and a blackhole's byte.
const minNexthop = 4 + 1 + 1 + 1

func decodeNexthops(r *reader, n int, evpn, color bool) []Nexthop {
	if n > len(r.b)/minNexthop {
		// A lying count must not make us allocate for it.
		if r.err == nil {
			r.err, r.b = ErrShort, nil
		}
		return nil
	}
	var nexthops []Nexthop
	for range n {
		nexthops = append(nexthops, decodeNexthop(r, evpn, color))
		if r.err != nil {
			return nil
		}
	}
	return nexthops
}

func decodeNexthop(r *reader, routeEVPN, color bool) (n Nexthop) {
	n.VRF = r.u32()
	n.Kind = NexthopKind(r.u8())
	flags := r.u8()
	if unknown := flags &^ r.l.nexthopFlags(); unknown != 0 {
		r.fail("nexthop flags 0x%02x have no meaning in this release", unknown)
	}
	n.OnLink = flags&nexthopOnLink != 0
	decodeGate(r, &n)
	if flags&nexthopLabel != 0 {
		count := int(r.u8())
		if r.l.nhLabelType {
			n.LabelType = r.u8()
		}
		if count == 0 || count > maxLabels {
			r.fail("%d labels, want 1 to %d", count, maxLabels)
		}
		for range count {
			n.Labels = append(n.Labels, r.host32())
		}
	}
	if flags&nexthopWeight != 0 {
		if r.l.nhWeight64 {
			n.Weight = r.u64()
		} else {
			n.Weight = uint64(r.u32())
		}
	}
	if r.l.nhEVPN {
		n.EVPN = flags&nexthopEVPN != 0
	} else {
		n.EVPN = routeEVPN
	}
	if n.EVPN {
		copy(n.RouterMAC[:], r.take(len(n.RouterMAC)))
	}
	if color {
		n.Color = r.u32()
	}
	if flags&nexthopBackup != 0 {
		n.Backups = r.bytes(int(r.u8()))
	}
	if flags&nexthopSeg6Local != 0 {
		n.Seg6Local = r.bytes(r.l.nhSeg6Local)
	}
	if flags&nexthopSeg6 != 0 {
		decodeSegments(r, &n)
	}
	return n
}

func decodeGate(r *reader, n *Nexthop) {
	switch n.Kind {
	case NexthopBlackhole:
		n.Blackhole = BlackholeKind(r.u8())
	case NexthopInterface:
		n.Index = r.u32()
	case NexthopIPv4, NexthopIPv4Interface:
		n.Addr = r.addr(familyIPv4)
		n.Index = r.u32()
	case NexthopIPv6, NexthopIPv6Interface:
		n.Addr = r.addr(familyIPv6)
		n.Index = r.u32()
	default:
		if r.err == nil {
			r.fail("unknown kind of nexthop %d", n.Kind)
		}
	}
}

func decodeSegments(r *reader, n *Nexthop) {
	count := 1
	if r.l.nhSeg6 != seg6One {
		count = int(r.u8())
		if count > maxSegments {
			r.fail("%d segments, at most %d", count, maxSegments)
		}
	}
	for range count {
		n.Segments = append(n.Segments, r.addr(familyIPv6))
		if r.err != nil {
			return
		}
	}
	if r.l.nhSeg6 == seg6Behaviour {
		n.Encapsulation = r.u32()
	}
}
