package zapi_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	gobgplog "github.com/osrg/gobgp/v3/pkg/log"
	"github.com/osrg/gobgp/v3/pkg/zebra"

	"github.com/srrd/srrd/zapi"
)

// The releases that gobgp's pkg/zebra v3.37.0 speaks rightly, and the names it
// has for them. On FRR 10 its numbers are shifted.
var gobgpReleases = []struct{ ours, theirs string }{{"7.5", "frr7.5"}, {"8.4", "frr8.4"}}

// gobgpSays runs gobgp's client against a socket of ours and returns what it
// sent after say, message by message.
func gobgpSays(t *testing.T, d zapi.Dialect, software zebra.Software, n int, say func(*zebra.Client)) [][]byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "zserv.api")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	messages := make(chan [][]byte, 1)
	go func() {
		var got [][]byte
		defer func() { messages <- got }()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		first, _ := d.Append(nil, zapi.Capabilities{})
		conn.Write(first)
		for range n {
			b, err := zapi.ReadMessage(conn, nil)
			if err != nil {
				return
			}
			got = append(got, b)
		}
	}()
	typ, err := zebra.RouteTypeFromString("babel", 6, software)
	if err != nil {
		t.Fatal(err)
	}
	logger := gobgplog.NewDefaultLogger()
	logger.SetLevel(gobgplog.PanicLevel)
	c, err := zebra.NewClient(logger, "unix", path, typ, 6, software, 0)
	if err != nil {
		t.Fatal(err)
	}
	say(c)
	got := <-messages
	for range c.Receive() { // until its reader has ended
	}
	return got
}

func TestWeSayWhatGobgpSays(t *testing.T) {
	for _, release := range gobgpReleases {
		t.Run(release.ours, func(t *testing.T) {
			d := dialect(t, release.ours)
			software := zebra.NewSoftware(6, release.theirs)
			static, err := zebra.RouteTypeFromString("static", 6, software)
			if err != nil {
				t.Fatal(err)
			}
			babel, err := zebra.RouteTypeFromString("babel", 6, software)
			if err != nil {
				t.Fatal(err)
			}
			theirs := &zebra.IPRouteBody{
				Type: babel, Flags: zebra.Flag(zapi.RouteFlagAllowRecursion), Safi: zebra.SafiUnicast,
				Message: zebra.MessageNexthop | zebra.MessageDistance.ToEach(6, software) | zebra.MessageMetric.ToEach(6, software) | zebra.MessageMTU.ToEach(6, software),
				Prefix:  zebra.Prefix{Family: 2, PrefixLen: 28, Prefix: net.IP{192, 0, 2, 16}}, Distance: 20, Metric: 77, Mtu: 1400,
				Nexthops: []zebra.Nexthop{{Ifindex: 4}, {Gate: net.IP{10, 0, 0, 1}, Ifindex: 4, Weight: 3}, {}},
			}
			route := zapi.Route{
				Type: zapi.RouteBabel, Flags: zapi.RouteFlagAllowRecursion, SAFI: zapi.SAFIUnicast, Prefix: netip.MustParsePrefix("192.0.2.16/28"),
				Has: zapi.HasNexthops | zapi.HasDistance | zapi.HasMetric | zapi.HasMTU, Distance: 20, Metric: 77, MTU: 1400,
				Nexthops: []zapi.Nexthop{
					zapi.ViaInterface(4), {Kind: zapi.NexthopIPv4Interface, Addr: netip.MustParseAddr("10.0.0.1"), Index: 4, Weight: 3}, zapi.ViaBlackhole(),
				},
			}
			want := []zapi.Message{
				zapi.Hello{Type: zapi.RouteBabel},
				zapi.RouterIDRequest{AFI: zapi.AFIIPv4}, zapi.RouterIDRequest{AFI: zapi.AFIIPv6},
				zapi.InterfaceRequest{},
				zapi.Redistribute{VRF: 7, AFI: zapi.AFIIPv4, Type: zapi.RouteStatic}, zapi.Redistribute{VRF: 7, AFI: zapi.AFIIPv6, Type: zapi.RouteStatic},
				zapi.RouteAdd{Route: route}, zapi.RouteDelete{Route: route},
			}
			if release.ours == "7.5" { // its 8.4 has the length in the wrong place
				want = append(want,
					zapi.NexthopTrack{Prefix: netip.MustParsePrefix("10.9.9.9/32")},
					zapi.NexthopTrack{Stop: true, Prefix: netip.MustParsePrefix("2001:db8::1/128")})
			}
			got := gobgpSays(t, d, software, len(want), func(c *zebra.Client) {
				c.SendInterfaceAdd()
				c.SendRedistribute(static, 7)
				c.SendIPRoute(0, theirs, false)
				c.SendIPRoute(0, theirs, true)
				if release.ours == "7.5" {
					c.SendNexthopRegister(0, &zebra.NexthopRegisterBody{Nexthops: []*zebra.RegisteredNexthop{{Family: 2, Prefix: net.IP{10, 9, 9, 9}}}}, false)
					c.SendNexthopRegister(0, &zebra.NexthopRegisterBody{Nexthops: []*zebra.RegisteredNexthop{{Family: 10, Prefix: net.ParseIP("2001:db8::1")}}}, true)
				}
			})
			if len(got) != len(want) {
				t.Fatalf("gobgp said %d messages, want %d", len(got), len(want))
			}
			for i, m := range want {
				ours, err := d.Append(nil, m)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(ours, got[i]) {
					t.Errorf("%s\n ours %x\ntheirs %x", m.Command(), ours, got[i])
				}
			}
		})
	}
}

// gobgpHears has gobgp decode a message of ours and prints what it understood.
func gobgpHears(t *testing.T, d zapi.Dialect, software zebra.Software, m zapi.Message) string {
	t.Helper()
	b, err := d.Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	go there.Write(b)
	logger := gobgplog.NewDefaultLogger()
	logger.SetLevel(gobgplog.PanicLevel)
	got, err := zebra.ReceiveSingleMsg(logger, here, 6, software, "test")
	if err != nil || got == nil {
		t.Fatalf("gobgp cannot decode %s: %v, %v", m.Command(), got, err)
	}
	return fmt.Sprintf("vrf:%d %+v", got.Header.VrfID, got.Body)
}

func TestGobgpHearsWhatWeSay(t *testing.T) {
	link := zapi.Interface{
		VRF: 3, Name: "eth0", Index: 7, Status: 5, Flags: 0x49, PTMStatus: 2, Metric: 4, Speed: 1000, MTU: 1500, MTU6: 1480,
		Bandwidth: 100, LinkIndex: 2, LinkType: 1, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9},
	}
	for _, release := range gobgpReleases {
		d := dialect(t, release.ours)
		software := zebra.NewSoftware(6, release.theirs)
		for _, c := range []struct {
			name string
			m    zapi.Message
			want []string
		}{
			{"an interface", link, []string{"vrf:3", "name:eth0", "index:7", "flags:73", "metric:4", "speed:1000", "mtu:1500", "mtu6:1480",
				"bandwidth:100", "linkIfindex:2", "hardwareAddr:[2 0 0 0 0 9]"}},
			{"an address", zapi.Address{Index: 7, Flags: 1, Prefix: netip.MustParsePrefix("10.1.2.3/24"), Peer: netip.MustParseAddr("10.1.2.255")},
				[]string{"index:7", "prefix:[10 1 2 3]", "length:24", "destination:[10 1 2 255]"}},
			{"a router-id", zapi.RouterID{Prefix: netip.MustParsePrefix("10.0.0.1/32")}, []string{"prefix:[10 0 0 1]", "length:32"}},
			{"a redistributed route", zapi.RedistributedRoute{Route: zapi.Route{
				VRF: 1, Type: zapi.RouteOSPF, Instance: 2, SAFI: 1, Prefix: netip.MustParsePrefix("10.9.0.0/16"),
				Has:      zapi.HasNexthops | zapi.HasDistance | zapi.HasMetric | zapi.HasTag | zapi.HasMTU,
				Nexthops: []zapi.Nexthop{{Kind: zapi.NexthopIPv4Interface, Addr: netip.MustParseAddr("10.0.0.9"), Index: 3}},
				Distance: 110, Metric: 20, Tag: 5, MTU: 1400,
			}}, []string{"vrf:1", "instance:2", "Distance:110", "Metric:20", "tag:5", "Mtu:1400", "PrefixLen:16 Prefix:10.9.0.0", "Ifindex:3", "Gate:10.0.0.9"}},
		} {
			t.Run(release.ours+" "+c.name, func(t *testing.T) {
				got := gobgpHears(t, d, software, c.m)
				for _, want := range c.want {
					if !strings.Contains(got, want) {
						t.Errorf("gobgp heard %s\nwithout %q", got, want)
					}
				}
			})
		}
	}
}
