package zapi_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/zapi"
	"github.com/srrd/srrd/zapi/zapitest"
)

func TestAnObserverHearsWhatItAskedForInEveryEarlyDialect(t *testing.T) {
	for _, d := range zapi.EarlyDialects() {
		t.Run(d.String(), func(t *testing.T) {
			z := zapitest.Start(t, d)
			z.SetRouterID(netip.MustParseAddr("10.0.0.1"))
			z.SetInterface(zapi.Interface{Name: "lo", Index: 1, Flags: zapi.FlagUp | zapi.FlagRunning | zapi.FlagLoopback})
			z.SetAddress(zapi.Address{Index: 1, Prefix: netip.MustParsePrefix("10.0.0.1/32")})
			z.Redistribute(zapi.RedistributedRoute{Route: zapi.Route{Type: zapi.RouteOSPF, SAFI: 1, Prefix: netip.MustParsePrefix("10.9.0.0/16")}})
			got := make(chan zapi.Message, 100)
			c, err := zapi.Dial(t.Context(), zapi.Config{Path: z.Path(), Dialect: d, Notify: func(m zapi.Message) { got <- m }})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- c.Run(context.Background()) }()
			for _, err := range []error{c.RequestInterfaces(), c.Send(zapi.Redistribute{AFI: zapi.AFIIPv4, Type: zapi.RouteOSPF})} {
				if err != nil {
					t.Error(err)
				}
			}
			var heard []string
			for range 4 {
				heard = append(heard, (<-got).Command().String())
			}
			want := []string{"ROUTER_ID_UPDATE", "INTERFACE_ADD", "INTERFACE_ADDRESS_ADD", "REDISTRIBUTE_ROUTE_ADD"}
			if diff := cmp.Diff(want, heard); diff != "" {
				t.Errorf("heard (-want +got):\n%s", diff)
			}
			for _, m := range z.Received() {
				if _, hello := m.(zapi.Hello); hello {
					t.Error("an observer said HELLO: it takes a route type from whoever has it")
				}
			}
			c.Close()
			<-ended
		})
	}
}

// As zebra_client_read does: a header of another version ends the connection,
// and nothing that follows it is looked at.
func TestAnEarlyZebraOfAnotherVersionClosesAndIsToldNothingMore(t *testing.T) {
	for _, pair := range [][2]string{{"Quagga 0.99.22", "Quagga 1.2.4"}, {"Quagga 1.2.4", "Quagga 0.99.24"}, {"Quagga 1.2.4", "3.0"}, {"3.0", "Quagga 1.0"},
		{"Quagga 1.2.4", "8.4"}, {"8.4", "Quagga 1.2.4"}} {
		z := zapitest.Start(t, dialect(t, pair[0]))
		proto := zapi.RouteSystem
		if !dialect(t, pair[1]).Early() {
			proto = zapi.RouteTable
		}
		_, err := zapi.Dial(t.Context(), zapi.Config{Path: z.Path(), Dialect: dialect(t, pair[1]), Proto: proto, Instance: 1,
			HandshakeTimeout: 50 * time.Millisecond}) // where its header is the longer, zebra waits for the rest
		var shake *zapi.HandshakeError
		if !errors.As(err, &shake) {
			t.Errorf("%s to zebra of %s: %v", pair[1], pair[0], err)
		}
		if got := z.Received(); len(got) != 0 {
			t.Errorf("%s to zebra of %s: it took %v", pair[1], pair[0], got)
		}
	}
}

func TestAnEarlyZebraThatIsMuteIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dialect(t, "Quagga 1.2.4")
		here, there := net.Pipe()
		go func() {
			for {
				if _, err := d.ReadMessage(there, nil); err != nil {
					return
				}
			}
		}()
		begun := time.Now()
		_, err := zapi.Dial(t.Context(), zapi.Config{Dialect: d, Dial: func(context.Context, string) (net.Conn, error) { return here, nil }})
		var shake *zapi.HandshakeError
		if took := time.Since(begun); !errors.As(err, &shake) || took != zapi.DefaultHandshakeTimeout {
			t.Errorf("after %v: %v", took, err)
		}
		there.Close()
	})
}

// What a hostile zebra sends after the handshake is a Malformed or ends the
// connection; the client goes on with what is right.
func TestAnObserverOutlivesAHostileZebra(t *testing.T) {
	d := dialect(t, "Quagga 1.2.4")
	rid, err := d.Append(nil, zapi.RouterID{Prefix: netip.MustParsePrefix("10.0.0.1/32")})
	if err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	go func() {
		if _, err := d.ReadMessage(there, nil); err != nil {
			return
		}
		for _, b := range [][]byte{rid,
			{0, 8, 255, 3, 0, 0, 0, 7}, // a route of nothing
			{0, 21, 255, 3, 0, 0, 0, 29, 0, 2, 32, 10, 0, 0, 1, 0, 0, 0, 0, 1, 9}, // a nexthop gobgp would misread
			{0, 9, 255, 3, 0, 0, 0, 99, 0},                                        // a number nobody knows
			rid,
			{0, 3, 255, 3, 0, 0, 0, 22}, // shorter than its header
		} {
			if _, err := there.Write(b); err != nil {
				return
			}
		}
	}()
	var heard, bad []string
	c, err := zapi.Dial(t.Context(), zapi.Config{Dialect: d, Dial: func(context.Context, string) (net.Conn, error) { return here, nil },
		Notify: func(m zapi.Message) { heard = append(heard, m.Command().String()) }, Malformed: func(err error) { bad = append(bad, fmt.Sprint(err)) }})
	if err != nil {
		t.Fatal(err)
	}
	var frame *zapi.FrameError
	if err := c.Run(t.Context()); !errors.As(err, &frame) {
		t.Errorf("the end: %v", err)
	}
	if len(heard) != 2 || len(bad) != 2 {
		t.Errorf("heard %v, malformed %v", heard, bad)
	}
	there.Close()
}
