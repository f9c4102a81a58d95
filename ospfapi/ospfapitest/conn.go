package ospfapitest

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/srrd/srrd/ospfapi"
)

// conn is one client. The fields below the streams belong to Server.mu.
type conn struct {
	srv          *Server
	sync, async  *net.TCPConn
	replies, out *outbox
	ended        chan struct{}
	closeOnce    sync.Once

	filter     ospfapi.Filter
	registered []ospfapi.Register
	gate       chan struct{} // closed when a stall is over
	gone       bool
}

// outbox is an unbounded stream of octets to one socket, as ospfd has one.
type outbox struct {
	mu     sync.Mutex
	ready  sync.Cond
	queue  [][]byte
	closed bool
}

func newOutbox() *outbox {
	o := &outbox{}
	o.ready.L = &o.mu
	return o
}

func (o *outbox) push(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, slices.Clone(b))
	o.ready.Signal()
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.ready.Signal()
}

// run writes until closed; what cannot be written is dropped.
func (o *outbox) run(to *net.TCPConn) {
	for {
		o.mu.Lock()
		for len(o.queue) == 0 && !o.closed {
			o.ready.Wait()
		}
		if o.closed {
			o.mu.Unlock()
			return
		}
		b := o.queue[0]
		o.queue = o.queue[1:]
		o.mu.Unlock()
		if _, err := to.Write(b); err != nil {
			return
		}
	}
}

func (s *Server) accept(ln *net.TCPListener) {
	for {
		syncConn, err := ln.AcceptTCP()
		if err != nil {
			return
		}
		peer := syncConn.RemoteAddr().(*net.TCPAddr).AddrPort()
		s.mu.Lock()
		refuse := s.refuseAsync
		s.mu.Unlock()
		if refuse {
			syncConn.Close()
			continue
		}
		back := netip.AddrPortFrom(peer.Addr(), peer.Port()+1)
		asyncConn, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(back))
		if err != nil {
			syncConn.Close()
			continue
		}
		asyncConn.CloseRead()
		c := &conn{srv: s, sync: syncConn, async: asyncConn, replies: newOutbox(), out: newOutbox(), ended: make(chan struct{})}
		c.filter.Origin = ospfapi.AnyOrigin
		s.mu.Lock()
		if s.ln != ln || s.closed {
			s.mu.Unlock()
			c.close()
			return
		}
		s.conns = append(s.conns, c)
		s.notifyChanged()
		s.mu.Unlock()
		s.wg.Go(func() { c.replies.run(c.sync) })
		s.wg.Go(func() { c.out.run(c.async) })
		s.wg.Go(c.serve)
	}
}

func (c *conn) close() {
	c.closeOnce.Do(func() {
		close(c.ended)
		c.sync.Close()
		c.async.Close()
		c.replies.close()
		c.out.close()
	})
}

// send queues a notification. Server.mu is held, so that all clients see the
// same order.
func (c *conn) send(n ospfapi.Notification) {
	if b, err := ospfapi.AppendNotification(nil, n); err == nil {
		c.out.push(b)
	}
}

// serve reads requests until the client is gone, then flushes its LSAs.
func (c *conn) serve() {
	s := c.srv
	r := bufio.NewReader(c.sync)
	for {
		h, body, err := ospfapi.ReadMessage(r)
		if err != nil {
			break
		}
		s.mu.Lock()
		gate := c.gate
		s.mu.Unlock()
		if gate != nil {
			select {
			case <-gate:
			case <-c.ended:
			}
		}
		if err := c.handle(h, body); err != nil {
			break
		}
	}
	c.close()

	s.mu.Lock()
	var out []Flood
	alive := slices.Contains(s.conns, c) // not if ospfd itself died
	c.gone = true
	if alive {
		s.conns = slices.DeleteFunc(s.conns, func(o *conn) bool { return o == c })
		for len(c.registered) > 0 {
			_, fs := s.unregister(c, c.registered[0])
			out = append(out, fs...)
		}
	}
	s.notifyChanged()
	s.mu.Unlock()
	s.flood(out)
}

// handle serves one request. An error means that ospfd is dead.
func (c *conn) handle(h ospfapi.Header, body []byte) error {
	s := c.srv
	req, err := ospfapi.DecodeRequest(h, body, s.dialect)
	s.mu.Lock()
	s.requests = append(s.requests, Received{h, req, body})
	hook := s.cfg.OnRequest
	noRouter := s.cfg.NoRouterOSPF
	s.notifyChanged()
	s.mu.Unlock()

	if h.Len == 0 {
		return c.die(errors.New("a message with an empty body (assertion in stream_new)"))
	}
	if errors.Is(err, ospfapi.ErrUnknownType) {
		return nil // "Unknown message type" in the log, and no reply
	}
	if err != nil {
		return c.die(err) // it would read beyond the message
	}
	if noRouter && h.Type != ospfapi.MsgRegisterEvent {
		return c.die(errors.New(h.Type.String() + " without router ospf (segmentation fault)"))
	}
	if hook != nil {
		if code, instead := hook(h, req); instead {
			c.reply(h.Seq, code)
			return nil
		}
	}
	s.mu.Lock()
	code, out := c.serveLocked(h, req)
	c.reply(h.Seq, code)
	if r, isRegister := req.(ospfapi.Register); isRegister && code == ospfapi.OK {
		c.tellReady(r.Type)
	}
	s.notifyChanged()
	s.mu.Unlock()
	s.flood(out)
	return nil
}

func (c *conn) reply(seq uint32, code ospfapi.ErrCode) {
	c.replies.push(ospfapi.AppendReply(nil, ospfapi.Reply{Seq: seq, Code: code}))
}

// die is the crash of ospfd by a client.
func (c *conn) die(why error) error {
	s := c.srv
	s.mu.Lock()
	if s.crash == nil {
		s.crash = why
	}
	s.mu.Unlock()
	s.Stop()
	return errKilled
}

func (c *conn) serveLocked(h ospfapi.Header, req ospfapi.Request) (ospfapi.ErrCode, []Flood) {
	s := c.srv
	switch r := req.(type) {
	case ospfapi.Register:
		return c.register(r), nil
	case ospfapi.Unregister:
		return s.unregister(c, ospfapi.Register(r))
	case ospfapi.RegisterEvents:
		c.filter = r.Filter
	case ospfapi.SyncLSDB:
		for _, k := range s.order {
			if e := s.lsas[k]; passes(r.Filter, k, e.self) {
				c.send(ospfapi.LSAUpdate{Seq: h.Seq, IfAddr: k.IfAddr, Area: k.Area, Self: e.self, LSA: e.lsa})
			}
		}
	case ospfapi.Originate:
		return s.originate(c, r)
	case ospfapi.Delete:
		return s.delete(c, r)
	case ospfapi.SyncReachable:
		if len(s.cfg.Reachable) > 0 {
			c.send(ospfapi.ReachableChange{Seq: h.Seq, Added: s.cfg.Reachable})
		}
	case ospfapi.SyncISM:
		for _, i := range s.cfg.Interfaces {
			c.send(ospfapi.ISMChange{Seq: h.Seq, IfAddr: i.Addr, Area: i.Area, State: i.State})
		}
	case ospfapi.SyncNSM:
		for _, n := range s.cfg.Neighbors {
			c.send(ospfapi.NSMChange{Seq: h.Seq, IfAddr: n.IfAddr, Neighbor: n.Addr, RouterID: n.RouterID, State: n.State})
		}
	case ospfapi.SyncRouterID:
		c.send(ospfapi.RouterIDChange{Seq: h.Seq, RouterID: s.cfg.RouterID})
	}
	return ospfapi.OK, nil
}

func (c *conn) register(r ospfapi.Register) ospfapi.ErrCode {
	if !r.Type.Opaque() {
		return ospfapi.IllegalLSAType
	}
	if c.srv.forgotten[r] {
		delete(c.srv.forgotten, r)
		c.registered = slices.DeleteFunc(c.registered, func(o ospfapi.Register) bool { return o == r })
	}
	for _, o := range c.srv.conns {
		if slices.Contains(o.registered, r) {
			return ospfapi.OpaqueTypeInUse
		}
	}
	c.registered = append(c.registered, r)
	return ospfapi.OK
}

// tellReady sends READY for every type of that scope the client has registered,
// as ospfd does, not only for the new one.
func (c *conn) tellReady(t ospfapi.LSType) {
	s := c.srv
	if !s.dialect.SyncState && !s.hasFullNeighbor() {
		return
	}
	var at []netip.Addr
	switch t {
	case ospfapi.OpaqueLink:
		for _, i := range s.cfg.Interfaces {
			at = append(at, i.Addr)
		}
	case ospfapi.OpaqueArea:
		at = s.areas()
	default:
		at = []netip.Addr{netip.IPv4Unspecified()}
	}
	for _, a := range at {
		for _, r := range c.registered {
			if r.Type == t {
				c.send(ospfapi.Ready{Type: t, Opaque: r.Opaque, Addr: a})
			}
		}
	}
}
