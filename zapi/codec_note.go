package zapi

import "net/netip"

// ROUTE_NOTIFY_OWNER: route_notify_internal in zebra/zapi_msg.c. The note is an
// enum copied out of memory: host order, the rest in network order. The
// address is whole, whatever the prefix length.

func appendNotifyOwner(w *writer, m NotifyOwner) {
	w.host32(uint32(m.Note))
	w.u8(w.family(m.Prefix.Addr()))
	w.plen(m.Prefix)
	w.addr(m.Prefix.Addr())
	if w.l.noteSource {
		source := m.Source
		if !source.IsValid() {
			source = netip.PrefixFrom(zeroLike(m.Prefix.Addr()), 0)
		}
		if source.Addr().Is4() != m.Prefix.Addr().Is4() {
			w.fail("source %s is of another family than %s", source, m.Prefix)
		}
		w.plen(source)
		w.addr(source.Addr())
	}
	w.u32(m.Table)
	if w.l.noteAFI {
		w.u8(uint8(m.AFI))
		w.u8(m.SAFI)
	}
}

func decodeNotifyOwner(r *reader, vrf uint32) (m NotifyOwner) {
	m.VRF = vrf
	m.Note = Note(r.host32())
	family := uint16(r.u8())
	plen := r.u8()
	m.Prefix = r.prefix(r.addr(family), plen)
	if r.l.noteSource {
		plen = r.u8()
		m.Source = r.prefix(r.addr(family), plen)
	}
	m.Table = r.u32()
	if r.l.noteAFI {
		m.AFI = AFI(r.u8())
		m.SAFI = r.u8()
	}
	return m
}

func zeroLike(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// NEXTHOP_REGISTER, _UNREGISTER: zclient_send_rnh in lib/zclient.c. One message
// may carry several; this package writes and takes one.

func appendNexthopTrack(w *writer, m NexthopTrack) {
	w.bool(m.Connected)
	if w.l.rnhSAFI {
		w.bool(m.ViaDefault)
		w.u16(m.SAFI)
	}
	w.whole(m.Prefix)
}

func decodeNexthopTrack(r *reader, vrf uint32, stop bool) (m NexthopTrack) {
	m.VRF, m.Stop = vrf, stop
	m.Connected = r.bool()
	if r.l.rnhSAFI {
		m.ViaDefault = r.bool()
		m.SAFI = r.u16()
	}
	m.Prefix = r.whole()
	return m
}

// whole is u16 family, prefix length and all bytes of the address.
func (w *writer) whole(p netip.Prefix) {
	w.u16(uint16(w.family(p.Addr())))
	w.plen(p)
	w.addr(p.Addr())
}

func (r *reader) whole() netip.Prefix {
	family := r.u16()
	plen := r.u8()
	return r.prefix(r.addr(family), plen)
}

// NEXTHOP_UPDATE: zebra_send_rnh_update in zebra/zebra_rnh.c.

func appendNexthopUpdate(w *writer, m NexthopUpdate) {
	var has RouteField
	if m.Colored {
		has = HasColor
	}
	w.messageFlags(has)
	if w.l.rnhSAFI {
		w.u16(m.SAFI)
	}
	w.whole(m.Asked)
	switch {
	case !w.l.rnhMatched:
	case m.Matched.IsValid():
		w.whole(m.Matched)
	default:
		w.u16(familyUnspec)
		w.u8(0)
	}
	if m.Colored {
		w.u32(m.Color)
	}
	w.routeType(m.Type)
	w.u16(m.Instance)
	w.u8(m.Distance)
	w.u32(m.Metric)
	if w.l.rnhCount16 {
		w.count16("nexthops", len(m.Nexthops))
	} else {
		w.count8("nexthops", len(m.Nexthops))
	}
	for _, n := range m.Nexthops {
		appendNexthop(w, n, false, m.Colored)
	}
}

func decodeNexthopUpdate(r *reader, vrf uint32) (m NexthopUpdate) {
	m.VRF = vrf
	has := r.messageFlags()
	if has&^HasColor != 0 {
		r.fail("message flags other than the color's")
	}
	m.Colored = has&HasColor != 0
	if r.l.rnhSAFI {
		m.SAFI = r.u16()
	}
	m.Asked = r.whole()
	if r.l.rnhMatched {
		m.Matched = r.matched()
	}
	if m.Colored {
		m.Color = r.u32()
	}
	m.Type = r.routeType()
	m.Instance = r.u16()
	m.Distance = r.u8()
	m.Metric = r.u32()
	var n int
	if r.l.rnhCount16 {
		n = int(r.u16())
	} else {
		n = int(r.u8())
	}
	m.Nexthops = decodeNexthops(r, n, false, m.Colored)
	return m
}

// matched is whole, or nothing but a family of 0 and a length.
func (r *reader) matched() netip.Prefix {
	family := r.u16()
	plen := r.u8()
	if family == familyUnspec {
		return netip.Prefix{}
	}
	return r.prefix(r.addr(family), plen)
}
