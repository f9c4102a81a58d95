// Package zapitest is a scripted zebra for the tests of those who use package
// zapi. It speaks any dialect, holds the routes of its clients until they
// leave, notes their outcome to the owner as zebra does, can refuse routes, die
// and come back, and answers registrations with the interfaces, addresses,
// router-id and routes the test gave it.
//
// It listens on a unix socket (Start), or is connected to in memory (New and
// Zebra.Dial), which works inside a testing/synctest bubble.
package zapitest

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/srrd/srrd/zapi"
)

// Zebra is the scripted daemon. All methods may be called from any goroutine.
type Zebra struct {
	dialect zapi.Dialect
	path    string

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at each change of what Wait looks at
	alive    bool
	mute     bool
	listener net.Listener
	clients  map[*client]bool
	received []zapi.Message
	verdicts map[netip.Prefix]verdict
	routerID netip.Prefix
	links    []zapi.Interface
	addrs    []zapi.Address
	routes   []zapi.Route
	tracked  map[netip.Prefix]zapi.NexthopUpdate
	wg       sync.WaitGroup
}

type verdict struct {
	note   zapi.Note
	silent bool
}

// New is a zebra that is reached by Dial only. Call Kill when done.
func New(d zapi.Dialect) *Zebra {
	return &Zebra{
		dialect: d, alive: true, changed: make(chan struct{}), clients: make(map[*client]bool),
		verdicts: make(map[netip.Prefix]verdict), tracked: make(map[netip.Prefix]zapi.NexthopUpdate),
	}
}

// Start is a zebra that listens on a unix socket in a directory of the test's,
// and is killed when the test ends.
func Start(t testing.TB, d zapi.Dialect) *Zebra {
	t.Helper()
	z := New(d)
	z.path = filepath.Join(t.TempDir(), "zserv.api")
	z.alive = false
	if err := z.Return(); err != nil {
		t.Fatalf("zapitest: %v", err)
	}
	t.Cleanup(z.Kill)
	return z
}

// Path is the unix socket, empty for a zebra of New.
func (z *Zebra) Path() string { return z.path }

// Dial connects in memory; it fits zapi.Config.Dial. A dead zebra refuses as a
// socket nobody listens on does.
func (z *Zebra) Dial(ctx context.Context, path string) (net.Conn, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if !z.alive {
		return nil, &net.OpError{Op: "dial", Net: "unix", Err: syscall.ECONNREFUSED}
	}
	here, there := net.Pipe()
	z.serve(here)
	return there, nil
}

// Kill closes all connections and forgets everything that clients said. What
// the test set up stays. It returns when all of zebra's goroutines have ended.
func (z *Zebra) Kill() {
	z.mu.Lock()
	z.alive = false
	if z.listener != nil {
		z.listener.Close()
		z.listener = nil
	}
	for c := range z.clients {
		c.close()
	}
	z.mu.Unlock()
	z.wg.Wait()
}

// Return makes a killed zebra listen again.
func (z *Zebra) Return() error {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.alive {
		return nil
	}
	if z.path != "" {
		l, err := net.Listen("unix", z.path)
		if err != nil {
			return err
		}
		z.listener = l
		z.wg.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				z.mu.Lock()
				if z.listener == l {
					z.serve(conn)
				} else {
					conn.Close()
				}
				z.mu.Unlock()
			}
		})
	}
	z.alive = true
	return nil
}

// Disconnect closes all connections without dying: the clients' routes go.
func (z *Zebra) Disconnect() {
	z.mu.Lock()
	defer z.mu.Unlock()
	for c := range z.clients {
		c.close()
	}
}

// Refuse makes zebra answer additions of a prefix with a note, such as
// zapi.NoteBetterAdminWon, instead of installing it.
func (z *Zebra) Refuse(p netip.Prefix, note zapi.Note) { z.judge(p, verdict{note: note}) }

// Ignore makes zebra say nothing about additions and deletions of a prefix, as
// it does when a better route is there already.
func (z *Zebra) Ignore(p netip.Prefix) { z.judge(p, verdict{silent: true}) }

// Allow ends Refuse and Ignore.
func (z *Zebra) Allow(p netip.Prefix) {
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.verdicts, p)
}

func (z *Zebra) judge(p netip.Prefix, v verdict) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.verdicts[p] = v
}

// Mute makes zebra take messages without answering any, HELLO included.
func (z *Zebra) Mute(mute bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.mute = mute
}

// SetRouterID sets the router-id and tells those who asked.
func (z *Zebra) SetRouterID(a netip.Addr) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.routerID = netip.PrefixFrom(a, a.BitLen())
	z.tell(zapi.RouterID{Prefix: z.routerID}, (*client).wantsRouterID)
}

// SetInterface adds an interface, or puts it in the place of the one with the
// same index, and tells those who asked: Event says what. InterfaceDeleted
// forgets it.
func (z *Zebra) SetInterface(i zapi.Interface) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.links = slices.DeleteFunc(z.links, func(o zapi.Interface) bool { return o.Index == i.Index })
	if i.Event != zapi.InterfaceDeleted {
		kept := i
		kept.Event = zapi.InterfaceAdded
		z.links = append(z.links, kept)
	}
	z.tell(i, (*client).wantsInterfaces)
}

// SetAddress adds an address, or forgets it if it is Deleted, and tells those
// who asked.
func (z *Zebra) SetAddress(a zapi.Address) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.addrs = slices.DeleteFunc(z.addrs, func(o zapi.Address) bool { return o.Index == a.Index && o.Prefix == a.Prefix })
	if !a.Deleted {
		z.addrs = append(z.addrs, a)
	}
	z.tell(a, (*client).wantsInterfaces)
}

// Redistribute adds a route of another protocol, or deletes it, and tells those
// who asked for its type.
func (z *Zebra) Redistribute(r zapi.RedistributedRoute) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.routes = slices.DeleteFunc(z.routes, func(o zapi.Route) bool {
		return o.Prefix == r.Prefix && o.Type == r.Type && o.Instance == r.Instance
	})
	if !r.Deleted {
		z.routes = append(z.routes, r.Route)
	}
	z.tell(r, func(c *client) bool { return c.wantsRoute(r.Route) })
}

// SetNexthop says how a tracked prefix (Asked) is reached and tells those who
// asked. A prefix nothing was said about is not reachable.
func (z *Zebra) SetNexthop(u zapi.NexthopUpdate) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.tracked[u.Asked] = u
	z.tell(u, func(c *client) bool { return c.tracks[u.Asked] })
}

// Send sends a message to every client that has said HELLO.
func (z *Zebra) Send(m zapi.Message) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.tell(m, func(c *client) bool { return true })
}

// SendBytes sends bytes as they are to every client that has said HELLO.
func (z *Zebra) SendBytes(b []byte) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for c := range z.clients {
		if c.greeted {
			c.queue(b)
		}
	}
}

// RIB is what clients have in zebra, by prefix. Refused routes are in it.
func (z *Zebra) RIB() []zapi.Route {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.rib()
}

func (z *Zebra) rib() []zapi.Route {
	var all []zapi.Route
	for c := range z.clients {
		for _, r := range c.routes {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b zapi.Route) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	return all
}

// Received is every message of every client so far, in order of arrival.
func (z *Zebra) Received() []zapi.Message {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.received)
}

// WaitRIB waits until done is true of the RIB.
func (z *Zebra) WaitRIB(ctx context.Context, done func([]zapi.Route) bool) error {
	for {
		z.mu.Lock()
		ok, changed := done(z.rib()), z.changed
		z.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// tell sends m to the clients that want it; mu is held.
func (z *Zebra) tell(m zapi.Message, wanted func(*client) bool) {
	for c := range z.clients {
		if c.greeted && wanted(c) {
			c.send(m)
		}
	}
}

// change wakes those in Wait; mu is held.
func (z *Zebra) change() {
	close(z.changed)
	z.changed = make(chan struct{})
}

// client is one connection; all but conn is guarded by Zebra.mu.
type client struct {
	z          *Zebra
	conn       net.Conn
	out        [][]byte
	wake       chan struct{} // holds one token while out has something, or closed is set
	closed     bool
	greeted    bool
	notes      bool
	routerID   bool
	interfaces bool
	types      map[zapi.Redistribute]bool
	tracks     map[netip.Prefix]bool
	routes     map[netip.Prefix]zapi.Route
}

// serve starts a client's goroutines; mu is held.
func (z *Zebra) serve(conn net.Conn) {
	c := &client{
		z: z, conn: conn, wake: make(chan struct{}, 1), types: make(map[zapi.Redistribute]bool),
		tracks: make(map[netip.Prefix]bool), routes: make(map[netip.Prefix]zapi.Route),
	}
	z.clients[c] = true
	z.wg.Go(c.read)
	z.wg.Go(c.write)
}

func (c *client) wantsRouterID() bool   { return c.routerID }
func (c *client) wantsInterfaces() bool { return c.interfaces }

func (c *client) wantsRoute(r zapi.Route) bool {
	afi := zapi.AFIIPv4
	if r.Prefix.Addr().Is6() {
		afi = zapi.AFIIPv6
	}
	return c.types[zapi.Redistribute{VRF: r.VRF, AFI: afi, Type: r.Type, Instance: r.Instance}]
}

// close ends the connection; mu is held.
func (c *client) close() {
	if !c.closed {
		c.closed = true
		c.conn.Close()
		c.poke()
	}
}

func (c *client) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// send queues a message; mu is held. What the dialect cannot say is not sent.
func (c *client) send(m zapi.Message) {
	if b, err := c.z.dialect.Append(nil, m); err == nil && !c.z.mute {
		c.queue(b)
	}
}

func (c *client) queue(b []byte) {
	c.out = append(c.out, b)
	c.poke()
}

func (c *client) write() {
	for range c.wake {
		c.z.mu.Lock()
		out, closed := c.out, c.closed
		c.out = nil
		c.z.mu.Unlock()
		if closed {
			return
		}
		for _, b := range out {
			if _, err := c.conn.Write(b); err != nil {
				return
			}
		}
	}
}

func (c *client) read() {
	r := bufio.NewReader(c.conn)
	for {
		b, err := c.z.dialect.ReadMessage(r, nil)
		var m zapi.Message
		if err == nil {
			m, err = c.z.dialect.Decode(b)
		}
		c.z.mu.Lock()
		var bad *zapi.MessageError
		switch {
		case errors.As(err, &bad): // zebra logs it and goes on
		case err != nil:
			c.close()
			delete(c.z.clients, c)
			c.z.change()
			c.z.mu.Unlock()
			return
		default:
			c.z.received = append(c.z.received, m)
			c.handle(m)
			c.z.change()
		}
		c.z.mu.Unlock()
	}
}

// handle does what zebra does with a message; mu is held.
func (c *client) handle(m zapi.Message) {
	z := c.z
	switch m := m.(type) {
	case zapi.Hello:
		c.greeted, c.notes = true, m.Notify
		if z.dialect.Early() {
			break // that has no answer
		}
		c.send(zapi.Capabilities{ECMP: 256})
		c.send(zapi.VRF{Table: 254, Name: "default"})
	case zapi.RouteNotifyRequest:
		c.notes = m.Notify
	case zapi.RouterIDRequest:
		c.routerID = true
		switch {
		case z.routerID.IsValid():
			c.send(zapi.RouterID{Prefix: z.routerID})
		case z.dialect.Early(): // says that there is none
			c.send(zapi.RouterID{Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 32)})
		}
	case zapi.InterfaceRequest:
		c.interfaces = true
		for _, i := range z.links {
			c.send(i)
			for _, a := range z.addrs {
				if a.Index == i.Index {
					c.send(a)
				}
			}
		}
	case zapi.Redistribute:
		c.redistribute(m)
	case zapi.NexthopTrack:
		c.track(m)
	case zapi.RouteAdd:
		c.routes[m.Prefix] = m.Route
		if v := z.verdicts[m.Prefix]; !v.silent {
			note := zapi.NoteInstalled
			if _, judged := z.verdicts[m.Prefix]; judged {
				note = v.note
			}
			c.note(m.Route, note)
		}
	case zapi.RouteDelete:
		// Of a route that was not installed zebra notes nothing.
		_, judged := z.verdicts[m.Prefix]
		if r, known := c.routes[m.Prefix]; known && !judged {
			c.note(r, zapi.NoteRemoved)
		}
		delete(c.routes, m.Prefix)
	case zapi.Unknown:
	default:
		if !z.dialect.Early() {
			c.send(zapi.ErrorMessage{Code: zapi.ErrorInvalidCommand})
		}
	}
}

func (c *client) note(r zapi.Route, note zapi.Note) {
	if c.notes {
		n := zapi.NotifyOwner{VRF: r.VRF, Note: note, Prefix: r.Prefix, Table: 254, AFI: zapi.AFIIPv4, SAFI: r.SAFI}
		if r.Prefix.Addr().Is6() {
			n.AFI = zapi.AFIIPv6
		}
		c.send(n)
	}
}

func (c *client) redistribute(m zapi.Redistribute) {
	stop := m.Stop
	m.Stop = false
	if stop {
		delete(c.types, m)
		return
	}
	c.types[m] = true
	for _, r := range c.z.routes {
		if c.wantsRoute(r) {
			c.send(zapi.RedistributedRoute{Route: r})
		}
	}
}

func (c *client) track(m zapi.NexthopTrack) {
	if m.Stop {
		delete(c.tracks, m.Prefix)
		return
	}
	c.tracks[m.Prefix] = true
	u, known := c.z.tracked[m.Prefix]
	if !known {
		u = zapi.NexthopUpdate{SAFI: m.SAFI, Asked: m.Prefix}
	}
	c.send(u)
}
