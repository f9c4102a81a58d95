package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/srrd/srrd/lsdb/lsa"
	"github.com/srrd/srrd/ospfapi"
	"github.com/srrd/srrd/vty"
)

// pages and commands are what is asked for.
var (
	pages = []string{"/", "/services", "/service/web", "/service/ledger", "/nodes", "/lsdb", "/placement", "/addresses", "/events", "/map",
		"/router/ospfd", "/admin", "/help", "/config", "/metrics", "/healthz", "/api/v1/services", "/api/v1/services/shop/why",
		"/api/v1/nodes", "/api/v1/lsdb", "/api/v1/events", "/api/v1/failovers", "/api/v1/routes", "/no-such-page"}
	commands = []string{"show service", "show service web", "-o json show service", "show node", "show group", "show lsdb", "show events",
		"show address", "show route", "show checks", "show why web", "help", "no such command"}
)

// ask asks nodes for pages and by the shell, each time over a new connection.
func (s *soak) ask(ctx context.Context, r *rand.Rand) {
	for sleep(ctx, askEvery) {
		node := pick(r, s.world.nodes)
		s.asked.Add(1)
		if r.IntN(3) == 0 {
			if _, err := s.srrsh(ctx, node, pick(r, commands)); err != nil && ctx.Err() == nil && !isStatus(err) {
				s.failed.Add(1)
				s.say("ask: %v", err)
			}
			continue
		}
		if _, err := s.page(ctx, node, pick(r, pages), askTimeout); err != nil && ctx.Err() == nil {
			s.failed.Add(1)
			s.say("ask: %v", err)
		}
	}
}

// isStatus tells whether srrd answered a command, with a refusal.
func isStatus(err error) bool {
	var said *vty.StatusError
	return errors.As(err, &said)
}

// watchPages holds the stream that a page in a browser refreshes itself by, for
// a few seconds each time, and leaves it as a browser does.
func (s *soak) watchPages(ctx context.Context, r *rand.Rand) {
	for sleep(ctx, 500*time.Millisecond) {
		node := pick(r, s.world.nodes)
		s.asked.Add(1)
		short, cancel := context.WithTimeout(ctx, between(r, 500*time.Millisecond, 4*time.Second))
		resp, err := s.get(short, node, "/api/v1/watch")
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body) // until it is left
			resp.Body.Close()
		} else if short.Err() == nil {
			s.failed.Add(1)
			s.say("watch: %v", err)
		}
		cancel()
	}
}

// get asks a node's web server, from the node itself, over a connection of its
// own.
func (s *soak) get(ctx context.Context, node, path string) (*http.Response, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
		err = s.lab.Do(node, func() error {
			var d net.Dialer
			c, err = d.DialContext(ctx, network, address)
			return err
		})
		return c, err
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:8222"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", node, err)
	}
	return resp, nil
}

// page reads a whole page; one of the server's own errors is an error.
func (s *soak) page(ctx context.Context, node, path string, within time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	resp, err := s.get(ctx, node, path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 500 {
		err = errors.New(resp.Status)
	}
	if err != nil {
		return "", fmt.Errorf("%s of %s: %w", path, node, err)
	}
	return string(text), nil
}

// The opaque types and the ports of strangers.
const (
	srrdOpaque     = 222
	otherOpaque    = 223
	strangerFirst  = 29000
	strangerLast   = 29090
	strangersTypes = 24 // link state ids that come and go
)

// strangers has a router's ospfd say and take back LSAs of srrd's type that no
// srrd has made: malformed ones, and ones with nothing in them. One of another
// type is nobody's affair.
func (s *soak) strangers(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		// Its ospfd may just be restarted: then again, with a new session.
		if err := s.stranger(ctx, r); err != nil && ctx.Err() == nil {
			s.say("stranger: %v", err)
		}
		sleep(ctx, time.Second)
	}
}

func (s *soak) stranger(ctx context.Context, r *rand.Rand) error {
	own, end := context.WithCancel(context.WithoutCancel(ctx)) // what it has said is taken back in the end
	var c *ospfapi.Client
	dial, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	host := s.world.routers[0]
	err := s.lab.Do(host, func() (err error) {
		c, err = ospfapi.Dial(dial, ospfapi.Config{OSPFReady: func(context.Context) error { return nil }, Notify: func(ospfapi.Notification) {},
			PortFirst: strangerFirst, PortLast: strangerLast})
		return err
	})
	if err != nil {
		end()
		return err
	}
	done := make(chan error, 1)
	go func() { done <- c.Run(own) }()
	err = s.says(ctx, c, r)
	end()
	<-done
	return err
}

func (s *soak) says(ctx context.Context, c *ospfapi.Client, r *rand.Rand) error {
	soon, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := c.WaitReady(soon); err != nil {
		return err
	}
	for _, opaque := range []uint8{srrdOpaque, otherOpaque} {
		if err := c.Register(soon, ospfapi.LSType(lsa.TypeOpaqueAS), opaque); err != nil {
			return err
		}
	}
	there := map[uint32]bool{}
	say := func(ctx context.Context, id uint32) error {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		s.foreign.Add(1)
		if there[id] {
			delete(there, id)
			return c.Delete(ctx, ospfapi.Delete{Type: ospfapi.LSType(lsa.TypeOpaqueAS), ID: id, IfAddr: netip.IPv4Unspecified(), Area: netip.IPv4Unspecified()})
		}
		body := make([]byte, 4*r.IntN(100))
		for i := range body {
			body[i] = byte(r.Uint32())
		}
		if len(body) > 4 && r.IntN(2) == 0 {
			body[0], body[1] = 1, byte(1+r.IntN(2)) // a version and a kind that are known
		}
		l := lsa.LSA{Header: lsa.Header{Options: 0x42, Type: lsa.TypeOpaqueAS, Seq: lsa.InitialSeq,
			ID: netip.AddrFrom4([4]byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)})}, Body: lsa.Opaque{Data: body}}
		l.AdvRouter = s.lab.Topology().Host(s.world.routers[0]).RouterID
		wire, err := l.Append(nil)
		if err != nil {
			return err
		}
		there[id] = true
		return c.Originate(ctx, ospfapi.Originate{Area: netip.IPv4Unspecified(), LSA: wire})
	}
	for sleep(ctx, foreignEvery) {
		opaque := uint32(pick(r, []uint8{srrdOpaque, srrdOpaque, otherOpaque}))
		if err := say(ctx, opaque<<24|0xfff000|uint32(r.IntN(strangersTypes))); err != nil {
			return err
		}
	}
	for id := range there {
		if err := say(context.WithoutCancel(ctx), id); err != nil {
			return err
		}
	}
	return nil
}
