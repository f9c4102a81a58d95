package zapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// DefaultPath is where Debian's zebra listens (--zapi_socket).
const DefaultPath = "/run/frr/zserv.api"

// Time limits of Config that are zero.
const (
	DefaultHandshakeTimeout = 5 * time.Second
	DefaultWriteTimeout     = 5 * time.Second
)

// Config says whom a client talks to and as what.
type Config struct {
	// Path is zebra's unix socket; empty is DefaultPath. The user has to be
	// root or the one FRR runs as.
	Path    string
	Dialect Dialect
	// Proto and Instance own the client's routes: zebra deletes all routes of
	// this pair when the connection ends. Use RouteTable and an instance that
	// neither "ip import-table" nor another client uses.
	//
	// On ZAPI 2 to 4 RouteSystem, the zero value, is a client that only observes.
	// Another one there has to be of a daemon that does not run on the node.
	Proto    RouteType
	Instance uint16
	// Notify gets every message from zebra except Unknown ones, in order, from
	// the goroutine in Run. It must not block. nil ignores them.
	Notify func(Message)
	// Malformed gets the error of a message that could not be decoded; the
	// message is skipped. nil ignores it.
	Malformed func(error)
	// Dial replaces connecting to the unix socket at path; for tests.
	Dial func(ctx context.Context, path string) (net.Conn, error)
	// HandshakeTimeout is how long zebra may take to answer HELLO,
	// WriteTimeout how long it may take to accept a message.
	HandshakeTimeout, WriteTimeout time.Duration
}

func (c Config) check() error {
	switch {
	case !c.Dialect.Valid():
		return fmt.Errorf("zapi: %w", errNoDialect)
	case c.Dialect.Early() && c.Proto == RouteSystem:
		return nil // observes
	case c.Proto <= RouteLocal || c.Dialect.Early() && c.Proto == RouteStatic: // zread_hello
		return fmt.Errorf("zapi: zebra gives no client the route type %s", c.Proto)
	}
	if _, ok := c.Dialect.RouteNumber(c.Proto); !ok {
		return fmt.Errorf("zapi: %s has no route type %s", c.Dialect, c.Proto)
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Path == "" {
		c.Path = DefaultPath
	}
	if c.Notify == nil {
		c.Notify = func(Message) {}
	}
	if c.Malformed == nil {
		c.Malformed = func(error) {}
	}
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, path string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
	}
	if c.HandshakeTimeout <= 0 {
		c.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = DefaultWriteTimeout
	}
	return c
}

// A Client is one connection to zebra.
type Client struct {
	cfg    Config
	conn   net.Conn
	r      *bufio.Reader
	early  []Message // came before Run
	write  sync.Mutex
	buf    []byte // guarded by write
	closed bool   // guarded by write

	done  chan struct{} // closed by Close
	halts halts
}

// Dial connects, says HELLO and waits for zebra's answer, so that the other end
// is known to understand the dialect before anything that changes its state is
// sent. Then it asks for owner notes. The caller must call Run, and Close.
//
// A *HandshakeError says that the socket took the connection but nothing there
// answered as the dialect's release does.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	conn, err := cfg.Dial(ctx, cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("zebra at %s: %w", cfg.Path, err)
	}
	c := newClient(cfg, conn)
	if err := c.handshake(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("zebra at %s: %w", cfg.Path, err)
	}
	return c, nil
}

func newClient(cfg Config, conn net.Conn) *Client {
	return &Client{cfg: cfg, conn: conn, r: bufio.NewReaderSize(conn, MaxMessageSize), done: make(chan struct{})}
}

func (c *Client) handshake(ctx context.Context) error {
	if err := c.conn.SetReadDeadline(time.Now().Add(c.cfg.HandshakeTimeout)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	err := c.greet()
	if !stop() {
		return context.Cause(ctx)
	}
	if err != nil {
		return &HandshakeError{Dialect: c.cfg.Dialect, Err: err}
	}
	return c.conn.SetReadDeadline(time.Time{})
}

func (c *Client) greet() error {
	if c.cfg.Dialect.Early() {
		return c.greetEarly()
	}
	inHello := c.cfg.Dialect.t.layout.helloNotify
	if err := c.Send(Hello{Type: c.cfg.Proto, Instance: c.cfg.Instance, Notify: inHello}); err != nil {
		return err
	}
	var buf []byte
	for answered := false; !answered; {
		b, err := ReadMessage(c.r, buf)
		if err != nil {
			return err
		}
		m, err := c.cfg.Dialect.Decode(b)
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case ErrorMessage:
			return fmt.Errorf("zebra answers: %s", m.Code)
		case Capabilities:
			answered = true
		}
		c.early = append(c.early, m)
		buf = b
	}
	if inHello {
		return nil
	}
	return c.Send(RouteNotifyRequest{Notify: true})
}

// Run reads until the connection ends or ctx does, and closes it. The error is
// never nil: the context's cause, or why the connection ended (io.EOF when
// zebra closed it).
func (c *Client) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	err := c.read()
	c.Close()
	if !stop() {
		return context.Cause(ctx)
	}
	return fmt.Errorf("zebra at %s: %w", c.cfg.Path, err)
}

func (c *Client) read() error {
	for _, m := range c.early {
		c.deliver(m)
	}
	c.early = nil
	var buf []byte
	for {
		if err := c.whole(); err != nil {
			return err
		}
		b, err := c.cfg.Dialect.ReadMessage(c.r, buf)
		if err != nil {
			return err
		}
		buf = b
		m, err := c.cfg.Dialect.Decode(b)
		if err != nil {
			c.cfg.Malformed(err)
			continue
		}
		c.deliver(m)
	}
}

func (c *Client) deliver(m Message) {
	if _, unknown := m.(Unknown); !unknown {
		c.cfg.Notify(m)
	}
}

// Send writes m in one write. After an error of writing the connection is
// closed, since zebra may have half a message; an encoding error
// (*MessageError) leaves it as it is.
func (c *Client) Send(m Message) error {
	c.write.Lock()
	defer c.write.Unlock()
	if c.closed {
		return ErrClosed
	}
	b, err := c.cfg.Dialect.Append(c.buf[:0], m)
	if err != nil {
		return err
	}
	c.buf = b[:0]
	if err = c.conn.SetWriteDeadline(time.Now().Add(c.cfg.WriteTimeout)); err == nil {
		_, err = c.conn.Write(b)
	}
	if err != nil {
		c.closed = true
		c.conn.Close()
		return fmt.Errorf("%s to zebra at %s: %w", m.Command(), c.cfg.Path, err)
	}
	return nil
}

// AddRoute announces a route of the client's own type and instance; those of r
// are replaced. Repeating it is harmless: zebra notes the outcome again.
func (c *Client) AddRoute(r Route) error { return c.Send(RouteAdd{c.own(r)}) }

// DeleteRoute withdraws a route of the client's own. Repeating it is harmless.
func (c *Client) DeleteRoute(r Route) error { return c.Send(RouteDelete{c.own(r)}) }

func (c *Client) own(r Route) Route {
	r.Type, r.Instance = c.cfg.Proto, c.cfg.Instance
	if r.SAFI == 0 {
		r.SAFI = SAFIUnicast
	}
	return r
}

// RequestRouterID asks for zebra's IPv4 router-id and its changes.
func (c *Client) RequestRouterID() error { return c.Send(RouterIDRequest{AFI: AFIIPv4}) }

// RequestInterfaces asks for all interfaces and addresses and their changes.
func (c *Client) RequestInterfaces() error { return c.Send(InterfaceRequest{}) }

// Close ends the connection; zebra then deletes the client's routes. It may be
// called more than once, from any goroutine, and does not wait for a write.
func (c *Client) Close() error {
	err := c.conn.Close() // ends a write in progress, which holds the lock
	c.write.Lock()
	defer c.write.Unlock()
	select {
	case <-c.done:
	default:
		close(c.done)
	}
	if c.closed {
		return nil
	}
	c.closed = true
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}
