package ospfapi

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// DefaultPort is the port of ospfd's OSPF-API (ospfd/ospf_api.h, OSPF_API_SYNC_PORT).
const DefaultPort = 2607

// Config says how to connect. Only OSPFReady and Notify are required.
type Config struct {
	// Server is ospfd's address; the zero value is 127.0.0.1:2607. Anything
	// but IPv4 loopback is refused: the API has no authentication, and a
	// client that vanishes behind a network stalls all of ospfd.
	Server netip.AddrPort

	// OSPFReady returns nil once ospfd is known to run "router ospf" in the
	// default VRF, waiting as long as it takes or until ctx ends; any error
	// ends the connection. Up to FRR 10.2 a REGISTER or SYNC before that
	// crashes ospfd, and at boot there is such a moment. It is called once
	// per connection, by Run, after the connection stands and before the first
	// request, so that the answer is about the process connected to: ask ospfd
	// itself each time (VTY: show ip ospf json), keep no memory of it.
	//
	// "no router ospf" while a client has opaque types registered aborts ospfd
	// (seen on 8.4.4: an assertion in ospf_apiserver_term); nothing on this
	// side can prevent it but to Close before. The connection then ends, and
	// the next one waits here again.
	OSPFReady func(ctx context.Context) error

	// Notify receives the notifications, from one goroutine, in the order of
	// the stream. It should not block: see the package documentation for what
	// happens behind it meanwhile. It must not call a method that waits for a
	// reply; Start is fine.
	Notify func(Notification)

	// Warn, if set, receives what is odd but survivable: a *StrangerError, a
	// reply nobody waits for. It must not block.
	Warn func(error)

	// PortFirst and PortLast bound the even ports P of the pairs P, P+1 that
	// the client connects from and listens on; default 20000 to 29998, outside
	// Linux's range of ephemeral ports. Each Dial begins at another pair.
	PortFirst, PortLast uint16

	// Pairs is the number of port pairs tried when one is in use or refused by
	// ospfd; default 16. A pair that ends by AcceptTimeout is the last.
	Pairs int

	// AcceptTimeout bounds the handshake on one pair, and how long ospfd may
	// take to show that it is at the other end of the asynchronous stream;
	// default 2 s.
	AcceptTimeout time.Duration

	// HoldDelete is how long an LSADelete waits for the LSAUpdate that makes
	// it half of an update; default 5 ms. Messages that follow shorten it. On a
	// busy machine a quarter of 2,000 updates of a type 5 came in two halves more
	// than 1 ms apart, 1 in 80 more than 5 ms: a shorter wait would take changes
	// for withdrawals.
	HoldDelete time.Duration

	// QueueLimit bounds the memory, in octets, of notifications that wait for
	// Notify; default 32 MiB, enough for 80,000 LSAs of 220 octets.
	QueueLimit int

	// MaxPending bounds the requests waiting for their reply; default 65,536.
	MaxPending int

	// tap sees every message, as octets, for the recorder of the wire goldens.
	tap func(sent bool, message []byte)

	// Quiet is the silence that ends an LSDB sync with FRR before 8.4 whose
	// fence never came because the router has no area yet; default 1 s.
	Quiet time.Duration
}

func (c *Config) setDefaults() error {
	if !c.Server.IsValid() {
		c.Server = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), DefaultPort)
	}
	if a := c.Server.Addr(); !a.Is4() || !a.IsLoopback() {
		return fmt.Errorf("ospf-api server %v: only an IPv4 loopback address is allowed, the protocol has no authentication", c.Server)
	}
	if c.OSPFReady == nil || c.Notify == nil {
		return errors.New("ospfapi.Config: OSPFReady and Notify are required")
	}
	if c.PortFirst == 0 && c.PortLast == 0 {
		c.PortFirst, c.PortLast = 20000, 29998
	}
	if c.PortFirst%2 != 0 || c.PortLast%2 != 0 || c.PortFirst == 0 || c.PortFirst > c.PortLast {
		return fmt.Errorf("ospf-api ports %d to %d: both must be even and in order", c.PortFirst, c.PortLast)
	}
	if c.Pairs <= 0 {
		c.Pairs = 16
	}
	if c.AcceptTimeout <= 0 {
		c.AcceptTimeout = 2 * time.Second
	}
	if c.HoldDelete <= 0 {
		c.HoldDelete = 5 * time.Millisecond
	}
	if c.QueueLimit <= 0 {
		c.QueueLimit = 32 << 20
	}
	if c.MaxPending <= 0 {
		c.MaxPending = 1 << 16
	}
	if c.Quiet <= 0 {
		c.Quiet = time.Second
	}
	if c.Warn == nil {
		c.Warn = func(error) {}
	}
	return nil
}

// dials counts the Dials of this process, so that each begins at a fresh pair
// and none has to wait for the TIME_WAIT of the one before.
var dials atomic.Uint32

// ports returns the pairs to try, in order, never one that touches the
// server's port: ospfd refuses a client whose asynchronous port is its own.
func (c *Config) ports() []uint16 {
	n := uint32(c.PortLast-c.PortFirst)/2 + 1
	h := fnv.New32a()
	h.Write(strconv.AppendInt(nil, int64(os.Getpid()), 10))
	start := h.Sum32()%n + (dials.Add(1)-1)%n
	var ps []uint16
	for i := range n {
		if len(ps) == c.Pairs {
			break
		}
		p := c.PortFirst + uint16(2*((start+i)%n))
		if p|1 == c.Server.Port()|1 || p == 65535 {
			continue
		}
		ps = append(ps, p)
	}
	return ps
}

// localAddr is where ospfd connects back to. A listener there cannot be
// reached from other machines.
var localAddr = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Dial connects to ospfd: both streams stand when it returns. No request has
// been sent and no goroutine is left running; the caller must call Run, which
// also reads the streams. The error is a *DialError that tells every port pair
// tried, unless the Config or ctx is at fault.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	failed := &DialError{Server: cfg.Server}
	for _, p := range cfg.ports() {
		sync, async, err := dialPair(ctx, &cfg, p)
		if err == nil {
			return newClient(cfg, sync, async), nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("ospf-api at %v: %w", cfg.Server, context.Cause(ctx))
		}
		failed.Tried = append(failed.Tried, Attempt{p, err})
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, context.DeadlineExceeded) {
			break // nobody listens, or ospfd hangs: other ports of ours change nothing
		}
	}
	return nil, failed
}

// reuseAddr lets a port pair be used again while its last connection is in
// TIME_WAIT. Go sets it for listeners only.
func reuseAddr(_, _ string, rc syscall.RawConn) error {
	var serr error
	err := rc.Control(func(fd uintptr) {
		serr = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	})
	return errors.Join(err, serr)
}

// dialPair does the handshake from port p: listen on p+1, dial from p, and let
// ospfd connect back. ospfd answers a failure by closing the dialled stream.
func dialPair(ctx context.Context, cfg *Config, p uint16) (syncConn, asyncConn *net.TCPConn, err error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.AcceptTimeout)
	defer cancel()

	// The listener must stand first: ospfd tries once, the moment it accepts.
	ln, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(localAddr, p+1)))
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()

	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(localAddr, p)),
		Control:   reuseAddr,
	}
	conn, err := d.DialContext(ctx, "tcp4", cfg.Server.String())
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil, fmt.Errorf("%w (is ospfd running, with option -a?)", err)
	}
	if err != nil {
		return nil, nil, err
	}
	syncConn = conn.(*net.TCPConn)

	// Two goroutines until ospfd has connected back or given up.
	var g errgroup.Group
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var refusal error
	g.Go(func() error {
		// Nothing may arrive before the first request: only the end, or the
		// deadline set below.
		var b [1]byte
		switch n, err := syncConn.Read(b[:]); {
		case n > 0:
			refusal = errors.New("ospfd sent something before it was asked")
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case errors.Is(err, io.EOF):
			refusal = fmt.Errorf("ospfd closed the connection during the handshake: %w", err)
		default:
			refusal = err
		}
		ln.Close()
		return nil
	})
	g.Go(func() error {
		asyncConn, err = acceptAsync(cfg, ln, p+1)
		syncConn.SetReadDeadline(time.Unix(1, 0))
		return nil
	})
	g.Wait()

	switch {
	case refusal != nil:
		err = refusal
	case err != nil && ctx.Err() != nil:
		err = fmt.Errorf("ospfd did not connect back within %v: %w", cfg.AcceptTimeout, ctx.Err())
	}
	if err == nil {
		err = syncConn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		syncConn.Close()
		if asyncConn != nil {
			asyncConn.Close()
		}
		return nil, nil, err
	}
	return syncConn, asyncConn, nil
}

// acceptAsync accepts until somebody with ospfd's address comes. ospfd does
// not bind its end, so the kernel gives it the address it connects to.
func acceptAsync(cfg *Config, ln *net.TCPListener, port uint16) (*net.TCPConn, error) {
	for {
		conn, err := ln.AcceptTCP()
		if err != nil {
			return nil, err
		}
		peer := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
		if a := peer.Addr().Unmap(); a == cfg.Server.Addr() || a == localAddr {
			return conn, nil
		}
		conn.Close()
		cfg.Warn(&StrangerError{peer, port})
	}
}
