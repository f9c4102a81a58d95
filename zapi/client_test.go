package zapi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/srrd/srrd/zapi"
	"github.com/srrd/srrd/zapi/zapitest"
)

func TestMain(m *testing.M) {
	// gobgp's client cannot be closed from outside: its writer stays.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/osrg/gobgp/v3/pkg/zebra.NewClient.func1"))
}

func dialect(t testing.TB, version string) zapi.Dialect {
	t.Helper()
	d, err := zapi.DialectFor(version)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// log collects what callbacks were told, as lines.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

// take returns the lines so far, joined, and forgets them.
func (l *log) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := strings.Join(l.lines, "\n")
	l.lines = nil
	return s
}

func TestClientHearsWhatItAskedForInEveryDialect(t *testing.T) {
	for _, d := range zapi.Dialects() {
		t.Run(d.String(), func(t *testing.T) {
			z := zapitest.Start(t, d)
			z.SetRouterID(netip.MustParseAddr("10.0.0.1"))
			z.SetInterface(zapi.Interface{Name: "lo", Index: 1, Flags: zapi.FlagUp | zapi.FlagRunning | zapi.FlagLoopback})
			z.SetAddress(zapi.Address{Index: 1, Prefix: netip.MustParsePrefix("10.0.0.1/32")})
			route := zapi.Route{Type: zapi.RouteOSPF, SAFI: 1, Prefix: netip.MustParsePrefix("10.9.0.0/16")}
			z.Redistribute(zapi.RedistributedRoute{Route: route})

			got := make(chan zapi.Message, 100)
			c, err := zapi.Dial(t.Context(), zapi.Config{
				Path: z.Path(), Dialect: d, Proto: zapi.RouteTable, Instance: 5, Notify: func(m zapi.Message) { got <- m },
			})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- c.Run(context.Background()) }()
			vip := netip.MustParsePrefix("192.0.2.1/32")
			for _, err := range []error{
				c.RequestRouterID(), c.RequestInterfaces(),
				c.Send(zapi.Redistribute{AFI: zapi.AFIIPv4, Type: zapi.RouteOSPF}),
				c.Send(zapi.NexthopTrack{Prefix: vip}),
				c.AddRoute(zapi.Route{Prefix: vip, Has: zapi.HasNexthops, Nexthops: []zapi.Nexthop{zapi.ViaInterface(1)}}),
				c.DeleteRoute(zapi.Route{Prefix: vip}),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			var kinds []string
			for range 9 {
				kinds = append(kinds, (<-got).Command().String())
			}
			want := "CAPABILITIES VRF_ADD ROUTER_ID_UPDATE INTERFACE_ADD INTERFACE_ADDRESS_ADD REDISTRIBUTE_ROUTE_ADD " +
				"NEXTHOP_UPDATE ROUTE_NOTIFY_OWNER ROUTE_NOTIFY_OWNER"
			if s := strings.Join(kinds, " "); s != want {
				t.Errorf("got  %s\nwant %s", s, want)
			}
			z.Kill()
			if err := <-ended; !errors.Is(err, io.EOF) {
				t.Errorf("Run ended with %v, want io.EOF", err)
			}
			if err := c.RequestInterfaces(); !errors.Is(err, zapi.ErrClosed) {
				t.Errorf("sending after the end: %v, want ErrClosed", err)
			}
			if err := c.Close(); err != nil {
				t.Errorf("closing twice: %v", err)
			}
		})
	}
}

func TestAZebraOfAnotherGenerationIsNeverSentARoute(t *testing.T) {
	for _, c := range []struct{ name, ours, its string }{
		{"FRR 10 spoken to as FRR 8.4", "8.4", "10.3"},
		{"FRR 8.4 spoken to as FRR 10", "10.3", "8.4"},
		{"a zebra whose capabilities are longer", "9.0", "9.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := zapitest.New(dialect(t, c.its))
				defer z.Kill()
				r, err := zapi.NewRoutes(zapi.RoutesConfig{Config: zapi.Config{Dialect: dialect(t, c.ours), Proto: zapi.RouteTable, Instance: 5, Dial: z.Dial}})
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Set(zapi.Announcement{Prefix: netip.MustParsePrefix("192.0.2.1/32")}); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				if err := r.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Run: %v", err)
				}
				for _, m := range z.Received() {
					switch m.(type) {
					case zapi.Hello, zapi.RouterID, zapi.Capabilities:
					default:
						t.Errorf("zebra was sent %#v", m)
					}
				}
			})
		})
	}
}

func TestDialSaysWhatIsWrong(t *testing.T) {
	d := dialect(t, "8.4")
	base := zapi.Config{Dialect: d, Proto: zapi.RouteTable, Instance: 5}
	for _, c := range []struct {
		name   string
		change func(*zapi.Config)
		want   string
	}{
		{"no dialect", func(c *zapi.Config) { c.Dialect = zapi.Dialect{} }, "no dialect"},
		{"a type no client may have", func(c *zapi.Config) { c.Proto = zapi.RouteConnect }, "gives no client the route type connected"},
		{"a type the release does not have", func(c *zapi.Config) { c.Proto = zapi.RouteTableDirect }, "has no route type table-direct"},
		{"nobody listens", func(c *zapi.Config) { c.Path = "/nonexistent/zserv.api" }, "zebra at /nonexistent/zserv.api: dial unix"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := base
			c.change(&cfg)
			if _, err := zapi.Dial(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("something that takes the connection and says nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			z := zapitest.New(d)
			defer z.Kill()
			z.Mute(true)
			cfg := base
			cfg.Dial = z.Dial
			began := time.Now()
			_, err := zapi.Dial(t.Context(), cfg)
			var handshake *zapi.HandshakeError
			if !errors.As(err, &handshake) || time.Since(began) != zapi.DefaultHandshakeTimeout {
				t.Errorf("got %v after %v", err, time.Since(began))
			}
		})
	})
	t.Run("the caller gives up first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			z := zapitest.New(d)
			defer z.Kill()
			z.Mute(true)
			cfg := base
			cfg.Dial = z.Dial
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := zapi.Dial(ctx, cfg); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	})
}

func TestAMessageThatCannotBeReadIsReportedAndTheNextIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dialect(t, "8.4")
		z := zapitest.New(d)
		defer z.Kill()
		var got log
		c, err := zapi.Dial(t.Context(), zapi.Config{
			Dialect: d, Proto: zapi.RouteTable, Dial: z.Dial,
			Notify:    func(m zapi.Message) { got.add(m.Command().String()) },
			Malformed: func(err error) { got.add(err.Error()) },
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Run(t.Context()) }()
		synctest.Wait()
		got.take()
		z.SendBytes([]byte{0, 12, 0xfe, 6, 0, 0, 0, 0, 0, 118, 1, 2})
		z.Send(zapi.Unknown{Number: 999, Body: []byte("ignored")})
		z.Send(zapi.RouterID{Prefix: netip.MustParsePrefix("10.0.0.1/32")})
		synctest.Wait()
		if s := got.take(); s != "ERROR of FRR 8.4-8.5: message is too short\nROUTER_ID_UPDATE" {
			t.Errorf("got %q", s)
		}
		z.SendBytes([]byte("HTTP/1.1 400 Bad Request\r\n"))
		var frame *zapi.FrameError
		if err := <-ended; !errors.As(err, &frame) {
			t.Errorf("bytes that are no ZAPI end Run with %v", err)
		}
	})
}

// A zebra that takes nothing any more must not hold the sender for ever.
func TestAWriteThatHangsEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dialect(t, "8.4")
		here, there := net.Pipe()
		defer here.Close()
		go func() { // answers HELLO, then hangs
			zapi.ReadMessage(here, nil)
			b, _ := d.Append(nil, zapi.Capabilities{})
			here.Write(b)
		}()
		c, err := zapi.Dial(t.Context(), zapi.Config{
			Dialect: d, Proto: zapi.RouteTable, Dial: func(context.Context, string) (net.Conn, error) { return there, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := c.RequestInterfaces(); err == nil || time.Since(began) != zapi.DefaultWriteTimeout {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		if err := c.RequestInterfaces(); !errors.Is(err, zapi.ErrClosed) {
			t.Errorf("after half a message: %v, want ErrClosed", err)
		}
	})
}

func routesOf(t *testing.T, z *zapitest.Zebra, d zapi.Dialect, told *log, greeting ...zapi.Message) (*zapi.Routes, func()) {
	t.Helper()
	r, err := zapi.NewRoutes(zapi.RoutesConfig{
		Config:   zapi.Config{Path: z.Path(), Dialect: d, Proto: zapi.RouteTable, Instance: 5, Dial: z.Dial},
		Greeting: greeting,
		Changed:  func(c zapi.Change) { told.add(c.String()) },
		Link: func(up bool, why error) {
			switch {
			case up:
				told.add("up")
			case errors.Is(why, syscall.ECONNREFUSED):
				told.add("refused")
			default:
				told.add("down")
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return r, func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	}
}

func expect(t *testing.T, told *log, when, want string) {
	t.Helper()
	synctest.Wait()
	if got := told.take(); got != want {
		t.Fatalf("%s:\n got %q\nwant %q", when, got, want)
	}
}

var (
	vip1 = zapi.Announcement{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Interface: 1, Metric: 10, Tag: 3, Distance: 9}
	vip2 = zapi.Announcement{Prefix: netip.MustParsePrefix("192.0.2.2/32")}
)

func TestRoutesSurviveTheDeathOfZebraInEveryDialect(t *testing.T) {
	for _, d := range zapi.Dialects() {
		t.Run(d.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := zapitest.New(d)
				defer z.Kill()
				var told log
				r, stop := routesOf(t, z, d, &told, zapi.InterfaceRequest{})
				expect(t, &told, "at the start", "up")
				if err := errors.Join(r.Set(vip1), r.Set(vip2)); err != nil {
					t.Fatal(err)
				}
				expect(t, &told, "two wanted", "192.0.2.1/32 sent\n192.0.2.2/32 sent\n192.0.2.1/32 installed\n192.0.2.2/32 installed")
				if rib := z.RIB(); len(rib) != 2 || rib[0].Metric != 10 || rib[0].Tag != 3 || rib[0].Distance != 9 ||
					rib[0].Nexthops[0].Kind != zapi.NexthopInterface || rib[1].Nexthops[0].Kind != zapi.NexthopBlackhole {
					t.Errorf("zebra has %+v", rib)
				}

				z.Kill()
				expect(t, &told, "zebra died", "down\n192.0.2.1/32 wanted\n192.0.2.2/32 wanted\nrefused")
				r.Del(vip2.Prefix)
				expect(t, &told, "one no longer wanted", "192.0.2.2/32 clearing")
				z.Return()
				began := time.Now()
				if err := z.WaitRIB(t.Context(), func(rib []zapi.Route) bool { return len(rib) == 1 && rib[0].Prefix == vip1.Prefix }); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > 20*time.Millisecond {
					t.Errorf("back after %v", took)
				}
				expect(t, &told, "zebra came back", "up\n192.0.2.1/32 sent\n192.0.2.1/32 installed\n"+
					"192.0.2.2/32 installed\n192.0.2.2/32 withdrawing\n192.0.2.2/32 removed: removed")
				requests := 0
				for _, m := range z.Received() {
					if _, ok := m.(zapi.InterfaceRequest); ok {
						requests++
					}
				}
				if requests != 2 {
					t.Errorf("the greeting was said %d times on two connections", requests)
				}
				stop()
				synctest.Wait()
				if rib := z.RIB(); len(rib) != 0 {
					t.Errorf("after the end zebra has %v", rib)
				}
			})
		})
	}
}

func TestReconnectingWaitsLongerEachTimeUpToASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var tries []string
		r, err := zapi.NewRoutes(zapi.RoutesConfig{Config: zapi.Config{
			Dialect: dialect(t, "8.4"), Proto: zapi.RouteTable, Instance: 5,
			Dial: func(context.Context, string) (net.Conn, error) {
				tries = append(tries, time.Since(began).String())
				return nil, syscall.ECONNREFUSED
			},
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		r.Run(ctx)
		if got := strings.Join(tries, " "); got != "0s 0s 20ms 60ms 140ms 300ms 620ms 1.26s 2.26s 3.26s" {
			t.Errorf("tried at %s", got)
		}
	})
}

func TestARefusedAndAnIgnoredRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dialect(t, "8.4")
		z := zapitest.New(d)
		defer z.Kill()
		z.Refuse(vip1.Prefix, zapi.NoteBetterAdminWon)
		z.Ignore(vip2.Prefix)
		var told log
		r, stop := routesOf(t, z, d, &told)
		defer stop()
		expect(t, &told, "at the start", "up")
		r.Set(vip1)
		expect(t, &told, "refused", "192.0.2.1/32 sent\n192.0.2.1/32 refused: another route to the prefix is better")
		z.Send(zapi.NotifyOwner{Note: zapi.NoteInstalled, Prefix: vip1.Prefix})
		expect(t, &told, "the better one went", "192.0.2.1/32 installed")
		r.Clear(vip2)
		expect(t, &told, "an earlier life's prefix", "192.0.2.2/32 clearing")
		time.Sleep(3 * time.Second)
		expect(t, &told, "no note came", "192.0.2.2/32 removed")
		if rib := z.RIB(); len(rib) != 1 {
			t.Errorf("zebra has %v", rib)
		}
		if err := r.Set(zapi.Announcement{Prefix: netip.MustParsePrefix("192.0.2.1/24")}); err == nil {
			t.Error("a prefix with host bits is taken")
		}
		if err := r.Send(zapi.RouteNotifyRequest{}); err != nil {
			t.Errorf("a message of the dialect: %v", err)
		}
	})
}
