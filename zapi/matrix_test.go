package zapi

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var byValue = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

var byAddress = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// messagesOf is every kind of message with every field that the layout has.
func messagesOf(d Dialect) map[string]Message {
	l := &d.t.layout
	v4, v6 := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/61")
	link := Interface{
		VRF: 3, Name: "eth0.4000000000"[:15], Index: 7, Status: 5, Flags: 0x100000049, PTMEnable: 1, PTMStatus: 2, Metric: 4,
		Speed: 1000, MTU: 1500, MTU6: 1480, Bandwidth: 100, LinkIndex: 2, LinkType: 1, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9},
		LinkParams: true, LinkParamBytes: []byte{1, 2, 3},
	}
	caps := Capabilities{VRF: 1, Backend: 1, MPLS: true, ECMP: 64, Role: 2, V6WithV4: l.capV6V4, GracefulRestart: l.capGR}
	track := NexthopTrack{VRF: 2, Connected: true, Prefix: v6}
	note := NotifyOwner{VRF: 1, Note: NoteRemoveFailed, Prefix: v4, Table: 254}
	plain := Route{
		VRF: 9, Type: RouteTable, Instance: 65535, Flags: RouteFlagSelected, SAFI: 1, Prefix: v6,
		Has:    HasNexthops | HasBackups | HasDistance | HasMetric | HasTag | HasMTU | HasSource | HasTable | HasColor,
		Source: netip.MustParsePrefix("2001:db8:1::/48"), Distance: 15, Metric: 20, Tag: 21, MTU: 1400, Table: 10,
		Nexthops: []Nexthop{
			{VRF: 1, Kind: NexthopInterface, Index: 4, Color: 1},
			{Kind: NexthopIPv4, Addr: netip.MustParseAddr("10.0.0.1"), OnLink: true, Weight: 7},
			{Kind: NexthopIPv4Interface, Addr: netip.MustParseAddr("10.0.0.1"), Index: 4, Labels: []uint32{0x10, 0x20}},
			{Kind: NexthopIPv6, Addr: netip.MustParseAddr("fe80::1"), Backups: []uint8{0, 1}},
			{Kind: NexthopIPv6Interface, Addr: netip.MustParseAddr("fe80::1"), Index: 4},
		},
		Backups: []Nexthop{{Kind: NexthopBlackhole, Blackhole: BlackholeProhibited}},
	}
	if l.ifTxqlen {
		link.TxQueueLen = 1000
	}
	if l.ifZifType {
		link.ZebraType = 3
	}
	if l.rnhSAFI {
		track.ViaDefault, track.SAFI = true, 1
	}
	if l.noteSource {
		note.Source = netip.MustParsePrefix("0.0.0.0/0")
	}
	if l.noteAFI {
		note.AFI, note.SAFI = AFIIPv4, 1
	}
	if l.msgNHG != 0 {
		plain.Has |= HasNexthopGroup | HasOpaque
		plain.NexthopGroup, plain.Opaque = 17, []byte("opaque")
		plain.Flags |= l.routeFlagTable
	}
	if l.nhLabelType {
		plain.Nexthops[2].LabelType = 3
	}
	if l.nhWeight64 {
		plain.Nexthops[1].Weight = 1 << 40
	}
	if l.nhEVPN {
		plain.Nexthops[3].EVPN, plain.Nexthops[3].RouterMAC = true, [6]byte{2, 0, 0, 0, 0, 1}
	}
	if l.nhSeg6 != seg6None {
		plain.Nexthops[4].Segments = []netip.Addr{netip.MustParseAddr("2001:db8::a")}
	}
	if l.nhSeg6 > seg6One {
		plain.Nexthops[4].Segments = append(plain.Nexthops[4].Segments, netip.MustParseAddr("2001:db8::b"))
	}
	if l.nhSeg6 == seg6Behaviour {
		plain.Nexthops[4].Encapsulation = 2
	}
	if l.nhSeg6Local != 0 {
		plain.Nexthops[4].Seg6Local = bytes.Repeat([]byte{9}, l.nhSeg6Local)
	}
	evpn := Route{
		Type: RouteBGP, Flags: routeFlagEVPN, SAFI: 1, Prefix: v4, Has: HasNexthops,
		Nexthops: []Nexthop{{Kind: NexthopIPv4, Addr: v4.Addr(), EVPN: true, RouterMAC: [6]byte{2, 4, 6, 8, 10, 12}}},
	}
	up := NexthopUpdate{
		VRF: 1, Asked: v4, Colored: true, Color: 5, Type: RouteOSPF, Instance: 2, Distance: 110, Metric: 30,
		Nexthops: []Nexthop{{Kind: NexthopInterface, Index: 3, Color: 5}},
	}
	unreachable := NexthopUpdate{Asked: v6}
	if l.rnhSAFI {
		up.SAFI = 1
	}
	if l.rnhMatched {
		up.Matched = netip.MustParsePrefix("192.0.2.0/24")
	}
	linkEvent := func(e InterfaceEvent) Interface { i := link; i.Event = e; return i }
	all := map[string]Message{
		"hello":                     Hello{Type: RouteTable, Instance: 5, Session: 9, Notify: l.helloNotify, Synchronous: true},
		"capabilities":              caps,
		"router-id request":         RouterIDRequest{VRF: 1, AFI: AFIIPv6},
		"router-id":                 RouterID{VRF: 1, Prefix: v4},
		"interface request":         InterfaceRequest{VRF: 4},
		"interface added":           linkEvent(InterfaceAdded),
		"interface deleted":         linkEvent(InterfaceDeleted),
		"interface up":              linkEvent(InterfaceUp),
		"interface down":            linkEvent(InterfaceDown),
		"address":                   Address{VRF: 1, Index: 2, Flags: 2, Prefix: netip.MustParsePrefix("10.1.2.3/24"), Peer: netip.MustParseAddr("10.1.2.4")},
		"address deleted":           Address{Deleted: true, Index: 2, Prefix: netip.MustParsePrefix("2001:db8::7/64")},
		"redistribute":              Redistribute{VRF: 1, AFI: AFIIPv4, Type: RouteTable, Instance: 5},
		"redistribute stop":         Redistribute{Stop: true, AFI: AFIIPv6, Type: RouteAll},
		"route add":                 RouteAdd{plain},
		"route delete":              RouteDelete{plain},
		"redistributed":             RedistributedRoute{Route: plain},
		"redistributed, deleted":    RedistributedRoute{Deleted: true, Route: Route{Type: RouteConnect, SAFI: 1, Prefix: v4}},
		"EVPN route":                RouteAdd{evpn},
		"default route":             RouteAdd{Route{Type: RouteBGP, SAFI: 1, Prefix: netip.MustParsePrefix("0.0.0.0/0"), Has: HasNexthops, Nexthops: []Nexthop{ViaBlackhole()}}},
		"note":                      note,
		"track":                     track,
		"track stop":                NexthopTrack{Stop: true, Prefix: v4},
		"nexthop update":            up,
		"nexthop update, no route":  unreachable,
		"VRF":                       VRF{VRF: 7, Table: 1007, NetNS: "fifteen-letters", Name: "thirty-five letters of a VRF's name!"[:35]},
		"VRF deleted":               VRF{VRF: 7, Deleted: true, Table: 1007, Name: "red"},
		"error":                     ErrorMessage{VRF: 1, Code: ErrorInvalidCommand},
		"unknown":                   Unknown{VRF: 1, Number: 999, Body: []byte{1, 2, 3}},
		"unknown without body":      Unknown{Number: 999},
		"interface without address": Interface{Name: "lo", Index: 1},
	}
	if _, ok := d.Number(CommandRouteNotifyRequest); ok {
		all["route notify request"] = RouteNotifyRequest{VRF: 1, Notify: true}
	}
	return all
}

func TestEveryMessageInEveryDialectThereAndBack(t *testing.T) {
	for _, d := range Dialects() {
		seen := make(map[Command]bool)
		for name, m := range messagesOf(d) {
			seen[m.Command()] = true
			b, err := d.Append([]byte("before"), m)
			if err != nil {
				t.Errorf("%s: %s: %v", d, name, err)
				continue
			}
			b = bytes.TrimPrefix(b, []byte("before"))
			back, err := d.Decode(b)
			if err != nil {
				t.Errorf("%s: %s: %v", d, name, err)
				continue
			}
			if diff := cmp.Diff(m, back, byValue, byAddress); diff != "" {
				t.Errorf("%s: %s:\n%s", d, name, diff)
			}
			for n := range b {
				if m, err := d.Decode(b[:n]); err == nil {
					t.Errorf("%s: %s cut to %d bytes decodes to %v", d, name, n, m)
				}
			}
		}
		for c := range commandCount {
			if _, ok := d.Number(c); ok && !seen[c] {
				t.Errorf("%s: %s is not in the matrix", d, c)
			}
		}
	}
}

func TestWhatADialectCannotSayIsAnError(t *testing.T) {
	dialect := func(v string) Dialect {
		d, err := DialectFor(v)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	route := func(has RouteField, n Nexthop) Message {
		return RouteAdd{Route{Type: RouteTable, SAFI: 1, Prefix: netip.MustParsePrefix("192.0.2.1/32"), Has: has | HasNexthops, Nexthops: []Nexthop{n}}}
	}
	for _, c := range []struct {
		name, release string
		m             Message
	}{
		{"a command the release does not have", "7.5", RouteNotifyRequest{Notify: true}},
		{"a route type the release does not have", "9.1", Redistribute{AFI: AFIIPv4, Type: RouteLocal}},
		{"notes asked for in a HELLO that cannot", "10.0", Hello{Type: RouteTable, Notify: true}},
		{"a nexthop group before there were any", "7.5", route(HasNexthopGroup, ViaBlackhole())},
		{"a route field nobody knows", "8.4", route(1<<15, ViaBlackhole())},
		{"segments before there were any", "8.0", route(0, Nexthop{Kind: NexthopBlackhole, Segments: []netip.Addr{netip.IPv6Loopback()}})},
		{"two segments where there is room for one", "8.4", route(0, Nexthop{Kind: NexthopBlackhole, Segments: []netip.Addr{netip.IPv6Loopback(), netip.IPv6Loopback()}})},
		{"a weight that does not fit", "10.0", route(0, Nexthop{Kind: NexthopInterface, Index: 1, Weight: 1 << 32})},
		{"seventeen labels", "8.4", route(0, Nexthop{Kind: NexthopInterface, Index: 1, Labels: make([]uint32, 17)})},
		{"a kind of nexthop nobody knows", "8.4", route(0, Nexthop{Kind: 7})},
		{"an IPv4 nexthop without an address", "8.4", route(0, Nexthop{Kind: NexthopIPv4})},
		{"an IPv6 nexthop with an IPv4 address", "8.4", route(0, Nexthop{Kind: NexthopIPv6, Addr: netip.MustParseAddr("10.0.0.1")})},
		{"an EVPN nexthop in a route that is not, before 8.4", "8.3", route(0, Nexthop{Kind: NexthopInterface, EVPN: true})},
		{"seg6local of another release's size", "10.6", route(0, Nexthop{Kind: NexthopInterface, Seg6Local: make([]byte, 28)})},
		{"a route without a prefix", "8.4", RouteAdd{Route{Type: RouteTable, SAFI: 1}}},
		{"too much opaque data", "8.4", RouteAdd{Route{Type: RouteTable, SAFI: 1, Prefix: netip.MustParsePrefix("192.0.2.1/32"), Has: HasOpaque, Opaque: make([]byte, 1025)}}},
		{"an IPv4 source", "8.4", RouteAdd{Route{Type: RouteTable, SAFI: 1, Prefix: netip.MustParsePrefix("192.0.2.1/32"), Has: HasSource, Source: netip.MustParsePrefix("192.0.2.1/32")}}},
		{"an interface name without room for its end", "8.4", Interface{Name: "sixteen-letters!"}},
		{"a hardware address that is too long", "8.4", Interface{Name: "a", HardwareAddr: make([]byte, 21)}},
		{"an interface event nobody knows", "8.4", Interface{Name: "a", Event: 9}},
		{"an address without a prefix", "8.4", Address{Index: 1}},
		{"a peer of another family", "8.4", Address{Prefix: netip.MustParsePrefix("10.0.0.1/8"), Peer: netip.IPv6Loopback()}},
		{"a backend that does not fit", "10.6", Capabilities{Backend: 256}},
		{"a note of a source of another family", "10.3", NotifyOwner{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Source: netip.MustParsePrefix("::/0")}},
		{"a message that is too long", "8.4", Unknown{Number: 1, Body: make([]byte, MaxMessageSize)}},
		{"no message", "8.4", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := dialect(c.release).Append([]byte{42}, c.m)
			var wrong *MessageError
			if !errors.As(err, &wrong) {
				t.Fatalf("got %x, %v; want a MessageError", b, err)
			}
			if len(b) != 1 || b[0] != 42 {
				t.Errorf("what was there became %x", b)
			}
		})
	}
}

func TestBytesThatCannotBeAreErrors(t *testing.T) {
	d, err := DialectFor("8.4")
	if err != nil {
		t.Fatal(err)
	}
	message := func(command byte, body ...byte) []byte {
		return append([]byte{0, byte(HeaderSize + len(body)), 0xfe, 6, 0, 0, 0, 0, 0, command}, body...)
	}
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"Quagga's marker", []byte{0, 10, 0xff, 6, 0, 0, 0, 0, 0, 0}},
		{"another version", []byte{0, 10, 0xfe, 5, 0, 0, 0, 0, 0, 0}},
		{"a length less than the header's", []byte{0, 9, 0xfe, 6, 0, 0, 0, 0, 0, 0}},
		{"more than the header says", append(message(118, 2, 0, 0, 0), 1)},
		{"a router-id of no family", message(17, 0, 10, 0, 0, 1, 32)},
		{"a prefix length of 33", message(17, 2, 10, 0, 0, 1, 33)},
		{"a route type nobody knows", message(11, 1, 99, 0, 0)},
		{"an address family identifier of 3", message(15, 0, 3)},
		{"a message flag nobody knows", message(8, 15, 0, 5, 0, 0, 0, 0, 0, 0, 0x80, 0, 1, 2, 0)},
		{"a route's prefix length of 33", message(8, 15, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 33, 1, 2, 3, 4, 5)},
		{"a count of nexthops that are not there", message(8, 15, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0xff, 0xff)},
		{"a nexthop flag nobody knows", message(8, 15, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 1, 0, 0, 0, 0, 6, 0x80, 0)},
		{"labels said to be none", message(8, 15, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 1, 0, 0, 0, 0, 6, 2, 0, 0)},
		{"a VRF's name without an end", message(33, bytes.Repeat([]byte{'x'}, 4+36+36)...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if m, err := d.Decode(c.b); err == nil {
				t.Fatalf("decodes to %#v", m)
			}
		})
	}
}
