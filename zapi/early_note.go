package zapi

import (
	"net"
	"net/netip"

	"github.com/osrg/gobgp/v3/pkg/zebra"
)

func earlyNexthopTrack(w *writer, m NexthopTrack) zebra.Body {
	if m.Connected || m.ViaDefault || !m.Prefix.IsValid() || !m.Prefix.Addr().Is4() || m.Prefix.Bits() != 32 {
		w.fail("as gobgp speaks ZAPI %d, a nexthop is an IPv4 address, with nothing else asked of it", w.d.t.early.version)
		return nil
	}
	return &zebra.NexthopRegisterBody{Nexthops: []*zebra.RegisteredNexthop{{Family: familyIPv4, Prefix: net.IP(m.Prefix.Addr().AsSlice())}}}
}

// appendEarlyInterface writes what zebra says of an interface
// (zserv_encode_interface in zebra/zserv.c), for scripted peers.
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

// appendEarlyNexthopUpdate writes what zebra says of a nexthop (send_client in
// zebra/zebra_rnh.c), for scripted peers.
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
