package zapi

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func dialectOf(t testing.TB, release string) Dialect {
	t.Helper()
	d, err := DialectFor(release)
	if err != nil || !d.Early() {
		t.Fatalf("%s: %v, %v", release, d, err)
	}
	return d
}

// The routes a client of ours said to Quagga's zebra, which installed them.
func TestRoutesAreSaidAsQuaggaTookThem(t *testing.T) {
	announced := Route{Type: RouteBabel, SAFI: SAFIUnicast, Prefix: netip.MustParsePrefix("10.71.8.8/32"),
		Has: HasNexthops | HasMetric | HasDistance, Metric: 7, Distance: 3, Nexthops: []Nexthop{ViaInterface(1)}}
	said := map[string]Message{
		"said-ipv4-route-add":    RouteAdd{announced},
		"said-ipv4-route-delete": RouteDelete{announced},
		"said-ipv4-route-add-2": RouteAdd{Route{Type: RouteBabel, Prefix: netip.MustParsePrefix("10.71.8.0/24"),
			Has: HasNexthops | HasMetric, Nexthops: []Nexthop{ViaBlackhole()}}},
		"said-ipv4-route-add-3": RouteAdd{Route{Type: RouteBabel, Prefix: netip.MustParsePrefix("10.71.7.0/24"),
			Has: HasNexthops | HasMetric, Nexthops: []Nexthop{{Kind: NexthopIPv4, Addr: netip.MustParseAddr("10.71.1.1")}}}},
	}
	paths, err := filepath.Glob("../testdata/wire/zapi/quagga-*/said-*.hex")
	if err != nil || len(paths) != 2*len(said) {
		t.Fatalf("%d goldens, %v; want %d of each release", len(paths), err, len(said))
	}
	for _, g := range readGoldens(t, "quagga-", paths) {
		m := said[strings.TrimSuffix(filepath.Base(g.path), ".hex")]
		if got, err := g.dialect.Append(nil, m); err != nil || !bytes.Equal(got, g.message) {
			t.Errorf("%s:\n got %x, %v\nwant %x", g.path, got, err, g.message)
		}
	}
}

// What was not run live, written out from the sources: zread_hello,
// zread_ipv4_add, zebra_redistribute_add, zserv_encode_interface and
// zsend_redistribute_route of FRR 2.0 and 3.0, zserv_encode_interface of Quagga 1.0
// and 1.1.
func TestLayoutsOfReleasesThatWereOnlyRead(t *testing.T) {
	name := func(s string) string { return hex.EncodeToString([]byte(s)) + strings.Repeat("00", 20-len(s)) }
	iface := Interface{Name: "eth0", Index: 2, Status: 1, Flags: 0x1043, Metric: 1, MTU: 1500, MTU6: 1500, HardwareAddr: []byte{2, 0, 0, 0, 0, 1}}
	linked := iface
	linked.LinkType = 1
	ptm := linked
	ptm.PTMEnable, ptm.PTMStatus = 2, 2
	fast := ptm
	fast.Speed = 1000
	head, tail := name("eth0")+"00000002"+"01"+"0000000000001043", "000005dc"+"000005dc"+"00000000"
	mac := "00000006" + "020000000001"
	vip := netip.MustParsePrefix("192.0.2.7/32")
	for _, c := range []struct {
		name, release string
		m             Message
		want          string // behind the length
		saidOnly      bool
	}{
		{"HELLO of FRR 3", "3.0", Hello{Type: RouteTable, Instance: 201}, "fe04" + "0000" + "0011" + "0e" + "00c9", false},
		{"HELLO of FRR 2, whose table is another number", "2.0", Hello{Type: RouteTable, Instance: 201}, "fe04" + "0000" + "0011" + "0d" + "00c9", false},
		{"ROUTER_ID_ADD of FRR 3", "3.0", RouterIDRequest{VRF: 5, AFI: AFIIPv4}, "fe04" + "0005" + "000e", false},
		{"REDISTRIBUTE_ADD of FRR 3", "3.0", Redistribute{AFI: AFIIPv4, Type: RouteNHRP}, "fe04" + "0000" + "000a" + "01" + "0b" + "0000", false},
		{"a route of a table of FRR 3", "3.0", RouteAdd{Route{Type: RouteTable, Instance: 201, Prefix: vip, Has: HasNexthops | HasMetric | HasDistance | HasMTU,
			Distance: 1, Metric: 20, MTU: 1400, Nexthops: []Nexthop{ViaInterface(1)}}},
			"fe04" + "0000" + "0006" + "0e" + "00c9" + "00000000" + "2d" + "0001" + "20" + "c0000207" + "01" + "01" + "00000001" + "01" + "00000014" + "00000578", true},
		{"a route by way of an address on an interface, of Quagga", "Quagga 1.1.0", RouteDelete{Route{Type: RouteBabel, Prefix: netip.MustParsePrefix("192.0.2.0/23"), Has: HasNexthops | HasMTU,
			MTU: 1400, Nexthops: []Nexthop{{Kind: NexthopIPv4Interface, Addr: netip.MustParseAddr("10.0.0.1"), Index: 3}}}},
			"ff03" + "0000" + "0008" + "0d" + "00" + "11" + "0001" + "17" + "c00002" + "01" + "04" + "0a000001" + "00000003" + "00000578", true},
		{"INTERFACE_UP of Quagga 1.0, without link parameters", "Quagga 1.0.20161017", up(linked), "ff03" + "0000" + "0005" + head + "00000001" + tail + "00000001" + mac, false},
		{"INTERFACE_UP of Quagga 1.1, with none of them", "Quagga 1.1.1", up(linked), "ff03" + "0000" + "0005" + head + "00000001" + tail + "00000001" + mac + "00", false},
		{"INTERFACE_DOWN of FRR 2.0, without speed", "2.0.1", down(ptm), "fe04" + "0000" + "0005" + head + "0202" + "00000001" + tail + "00000001" + mac + "00", false},
		{"INTERFACE_DOWN of FRR 3.0, with speed", "3.0.2", down(fast), "fe04" + "0000" + "0005" + head + "0202" + "00000001" + "000003e8" + tail + "00000001" + mac + "00", false},
		{"REDISTRIBUTE_IPV4_ADD of FRR 3: tag, then MTU", "3.0", RedistributedRoute{Route: Route{Type: RouteConnect, Flags: 0x10, SAFI: SAFIUnicast, Prefix: vip,
			Has: HasNexthops | HasDistance | HasMetric | HasTag | HasMTU, Tag: 9, MTU: 1400, Nexthops: []Nexthop{ViaInterface(1)}}},
			"fe04" + "0000" + "0020" + "02" + "0000" + "00000010" + "3f" + "20" + "c0000207" + "01" + "00000000" + "01" + "00000001" + "00" + "00000000" + "00000009" + "00000578", false},
		{"IPV4_ROUTE_ADD of Quagga 1.1: MTU, then tag", "Quagga 1.1.0", RedistributedRoute{Route: Route{Type: RouteConnect, Flags: 0x10, SAFI: SAFIUnicast, Prefix: vip,
			Has: HasNexthops | HasDistance | HasMetric | HasTag | HasMTU, Tag: 9, MTU: 1400, Nexthops: []Nexthop{ViaInterface(1)}}},
			"ff03" + "0000" + "0007" + "02" + "10" + "3f" + "20" + "c0000207" + "01" + "00000000" + "01" + "00000001" + "00" + "00000000" + "00000578" + "00000009", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := dialectOf(t, c.release)
			got, err := d.Append(nil, c.m)
			if want := fmt.Sprintf("%04x", 2+len(c.want)/2) + c.want; err != nil || hex.EncodeToString(got) != want {
				t.Fatalf("\n got %x, %v\nwant %s", got, err, want)
			}
			if c.saidOnly {
				return
			}
			back, err := d.Decode(got)
			if diff := cmp.Diff(c.m, back, byValue, byAddress); diff != "" || err != nil {
				t.Errorf("back (-want +got):\n%s%v", diff, err)
			}
		})
	}
}

func up(i Interface) Interface   { i.Event = InterfaceUp; return i }
func down(i Interface) Interface { i.Event = InterfaceDown; return i }

// Each would have gobgp's decoder read where nothing is, or a length that is a
// lie: it indexes its input without looking.
func TestBytesThatGobgpWouldDieOfAreErrors(t *testing.T) {
	for _, c := range []struct{ name, release, bytes string }{
		{"a route of nothing", "Quagga 1.2.4", "0008" + "ff03" + "0000" + "0007"},
		{"a route of two bytes", "Quagga 1.2.4", "000a" + "ff03" + "0000" + "0007" + "0210"},
		{"a route whose 255 nexthops are not there", "Quagga 1.2.4", "0011" + "ff03" + "0000" + "0007" + "02" + "10" + "01" + "20" + "c0000207" + "ff"},
		{"a route with a prefix of 33 bits", "Quagga 1.2.4", "0011" + "ff03" + "0000" + "0007" + "02" + "10" + "00" + "21" + "c000020700"},
		{"a route with a flag nobody knows", "Quagga 0.99.22", "000f" + "ff02" + "0007" + "02" + "10" + "10" + "20" + "c0000207" + "00"},
		{"a route of a type nobody knows", "Quagga 1.2.4", "0010" + "ff03" + "0000" + "0007" + "7f" + "10" + "00" + "20" + "c0000207"},
		{"a route with as many gates as it likes and one interface", "Quagga 1.2.4", "001e" + "ff03" + "0000" + "0007" + "02" + "10" + "03" + "20" + "c0000207" + "02" + "0a0000010a000002" + "01" + "00000001"},
		{"a nexthop that discards, said without gobgp's byte", "Quagga 1.2.4", "0015" + "ff03" + "0000" + "001d" + "0002" + "20" + "0a470202" + "00000014" + "01" + "09"},
		{"a nexthop of the other family", "Quagga 1.2.4", "0014" + "ff03" + "0000" + "001d" + "000a" + "20" + "0a470202" + "00000014" + "00"},
		{"a nexthop of a net", "Quagga 1.2.4", "0013" + "ff03" + "0000" + "001d" + "0002" + "18" + "0a4702" + "00000014" + "00"},
		{"255 nexthops that are not there", "Quagga 1.2.4", "0014" + "ff03" + "0000" + "001d" + "0002" + "20" + "0a470202" + "00000014" + "ff"},
		{"an interface that ends before its link parameters", "Quagga 1.2.4", "003f" + "ff03" + "0000" + "0001" + strings.Repeat("00", 0x3f-8)},
		{"an interface with a hardware address of 4 GB", "Quagga 1.2.4", "0042" + "ff03" + "0000" + "0001" + strings.Repeat("00", 53) + "ffffffff" + "00"},
		{"an address of no family", "3.0", "0015" + "fe04" + "0000" + "0002" + "00000001" + "00" + "00" + strings.Repeat("00", 7)},
	} {
		b, err := hex.DecodeString(c.bytes)
		if err != nil || int(b[0])<<8|int(b[1]) != len(b) {
			t.Fatalf("%s: %d bytes, the header says %x (%v)", c.name, len(b), b[:2], err)
		}
		var bad *MessageError
		if m, err := dialectOf(t, c.release).Decode(b); !errors.As(err, &bad) {
			t.Errorf("%s: %#v, %v", c.name, m, err)
		}
	}
}

func TestHeadersOfAnotherVersionAreNotRead(t *testing.T) {
	for _, c := range []struct{ release, bytes string }{
		{"Quagga 1.2.4", "0006ff020016"},         // ZAPI 2
		{"Quagga 0.99.22", "000eff030000001602"}, // ZAPI 3
		{"3.0", "0008ff0400000010"},              // Quagga's marker
		{"Quagga 1.2.4", "0007ff0300000016"},     // shorter than itself
		{"Quagga 1.2.4", "1001ff0300000016"},     // longer than zebra's buffer
		{"8.4.4", "000eff030000001602"},          // Quagga where FRR was expected
	} {
		d, err := DialectFor(c.release)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := hex.DecodeString(c.bytes)
		b = append(b, make([]byte, 20)...)
		var frame *FrameError
		if _, err := d.ReadMessage(bytes.NewReader(b), nil); !errors.As(err, &frame) || frame.Error() == "" {
			t.Errorf("%s: %s is read: %v", c.release, c.bytes, err)
		}
	}
	d := dialectOf(t, "Quagga 1.2.4")
	if _, err := d.ReadMessage(strings.NewReader("\x00\x0e\xff\x03\x00\x00\x00\x16\x02"), nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an end within a message: %v", err)
	}
	if _, err := d.ReadMessage(strings.NewReader(""), nil); err != io.EOF {
		t.Errorf("an end between messages: %v", err)
	}
}

func TestWhatZAPI2To4CannotSayIsAnError(t *testing.T) {
	v4 := netip.MustParsePrefix("192.0.2.7/32")
	route := func(change func(*Route)) Message {
		r := Route{Type: RouteBabel, Prefix: v4, Has: HasNexthops, Nexthops: []Nexthop{ViaInterface(1)}}
		change(&r)
		return RouteAdd{r}
	}
	d := dialectOf(t, "Quagga 1.2.4")
	for name, m := range map[string]Message{
		"a table":                        route(func(r *Route) { r.Type = RouteTable }),
		"an instance":                    route(func(r *Route) { r.Instance = 201 }),
		"a tag":                          route(func(r *Route) { r.Has |= HasTag }),
		"an IPv6 prefix":                 route(func(r *Route) { r.Prefix = netip.MustParsePrefix("2001:db8::/64") }),
		"no prefix":                      route(func(r *Route) { r.Prefix = netip.Prefix{} }),
		"multicast":                      route(func(r *Route) { r.SAFI = 2 }),
		"a nexthop of IPv6":              route(func(r *Route) { r.Nexthops = []Nexthop{{Kind: NexthopIPv6, Addr: netip.IPv6Unspecified()}} }),
		"a nexthop without its address":  route(func(r *Route) { r.Nexthops = []Nexthop{{Kind: NexthopIPv4}} }),
		"two nexthops, one discards":     route(func(r *Route) { r.Nexthops = []Nexthop{ViaInterface(1), ViaBlackhole()} }),
		"flags of four bytes":            route(func(r *Route) { r.Flags = 0x100 }),
		"256 nexthops":                   route(func(r *Route) { r.Nexthops = make([]Nexthop, 256) }),
		"a VRF of four bytes":            RouterIDRequest{VRF: 0x10000, AFI: AFIIPv4},
		"a router-id of IPv6":            RouterIDRequest{AFI: AFIIPv6},
		"owner notes":                    RouteNotifyRequest{Notify: true},
		"owner notes in HELLO":           Hello{Type: RouteBabel, Notify: true},
		"an instance in HELLO":           Hello{Type: RouteBabel, Instance: 1},
		"an instance redistributed":      Redistribute{AFI: AFIIPv4, Type: RouteBabel, Instance: 1},
		"IPv6 redistributed":             Redistribute{AFI: AFIIPv6, Type: RouteBabel},
		"a nexthop of IPv6 tracked":      NexthopTrack{Prefix: netip.MustParsePrefix("2001:db8::1/128")},
		"a net tracked":                  NexthopTrack{Prefix: netip.MustParsePrefix("192.0.2.0/24")},
		"a connected nexthop tracked":    NexthopTrack{Prefix: v4, Connected: true},
		"an update of an interface kind": NexthopUpdate{Asked: v4, Nexthops: []Nexthop{ViaBlackhole()}},
		"capabilities":                   Capabilities{},
		"a message too long":             Unknown{Number: 1, Body: make([]byte, 4096)},
	} {
		before := []byte("before")
		var bad *MessageError
		if b, err := d.Append(before, m); !errors.As(err, &bad) || !bytes.Equal(b, before) {
			t.Errorf("%s: %x, %v", name, b, err)
		}
	}
	old := dialectOf(t, "Quagga 0.99.22")
	for name, m := range map[string]Message{
		"a VRF":         RouterIDRequest{VRF: 1, AFI: AFIIPv4},
		"an MTU":        route(func(r *Route) { r.Has |= HasMTU }),
		"PIM":           Redistribute{AFI: AFIIPv4, Type: RoutePIM},
		"nexthops told": NexthopTrack{Prefix: v4},
	} {
		if b, err := old.Append(nil, m); err == nil {
			t.Errorf("%s in ZAPI 2: %x", name, b)
		}
	}
}

func TestNoRoutesAreKeptWhereZebraNotesNothing(t *testing.T) {
	for _, d := range EarlyDialects() {
		if _, err := NewRoutes(RoutesConfig{Config: Config{Dialect: d, Proto: RouteTable, Instance: 201}}); err == nil {
			t.Errorf("%s: routes are kept", d)
		}
		if err := (Config{Dialect: d}).check(); err != nil {
			t.Errorf("%s: no client may observe: %v", d, err)
		}
		for _, not := range []RouteType{RouteKernel, RouteConnect, RouteStatic, RouteAll + 1} {
			if err := (Config{Dialect: d, Proto: not}).check(); err == nil {
				t.Errorf("%s: HELLO as %s", d, not)
			}
		}
	}
}

// FuzzDecodeEarly: whatever zebra says, gobgp's decoder behind this one does not
// panic, and what decodes survives being said again.
func FuzzDecodeEarly(f *testing.F) {
	all := EarlyDialects()
	for i, d := range all {
		for _, g := range goldensOf(f, "quagga-") {
			if g.dialect.t.early.version == d.t.early.version {
				f.Add(uint8(i), g.message)
			}
		}
		f.Add(uint8(i), []byte{0, 17, d.t.early.marker(), d.t.early.version, 0, 0, 0, 7, 2, 16, 1, 32, 192, 0, 2, 7, 255})
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		d := all[int(which)%len(all)]
		m, err := d.Decode(b)
		if err != nil {
			return
		}
		again, err := d.Append(nil, m)
		if err != nil {
			return // not all that zebra may say is said here, such as two nexthops
		}
		m2, err := d.Decode(again)
		if err != nil {
			t.Fatalf("%s: %x decodes, said again as %x it does not: %v", d, b, again, err)
		}
		if diff := cmp.Diff(m, m2, byValue, byAddress); diff != "" {
			t.Fatalf("%s: said again it is another:\n%s", d, diff)
		}
	})
}
