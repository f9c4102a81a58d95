// Package ospfapitest is a scripted ospfd: the server side of the OSPF-API on a
// loopback port, with a link-state database in memory that behaves as ospfd's
// was measured to. Tests of programs that speak OSPF-API talk to it, make it
// misbehave, and link several of them so that they flood to each other.
//
// It is a twin, not a router: no timers but Config.UpdateDelay, no neighbours
// but those the test tells, no age but 1 and MaxAge.
//
// Methods may be called from any goroutine. Hooks (Config.OnFlood,
// Config.OnRequest) run without any lock held.
package ospfapitest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/srrd/srrd/ospfapi"
)

// Interface is an OSPF interface of the scripted ospfd.
type Interface struct {
	Addr, Area netip.Addr
	State      ospfapi.ISMState
}

// Neighbor is a neighbour of the scripted ospfd.
type Neighbor struct {
	IfAddr, Addr, RouterID netip.Addr
	State                  ospfapi.NSMState
}

// Config is the router the scripted ospfd pretends to be. The zero value is
// router 10.0.0.1 with one interface 192.0.2.1 in area 0, speaking FRR 8.4.
type Config struct {
	RouterID   netip.Addr
	Interfaces []Interface
	Neighbors  []Neighbor
	Reachable  []netip.Addr

	// Dialect is what it speaks; the zero value means ospfapi.FRR84. Requests
	// it does not know get no reply.
	Dialect *ospfapi.Dialect

	// NoRouterOSPF makes a request that dereferences "router ospf" crash the
	// server, as ospfd up to FRR 10.2 does; see Server.Crashed.
	NoRouterOSPF bool

	// UpdateDelay is how long an update of an existing LSA waits before it
	// appears, the last one winning; 5 s in ospfd before FRR 10.3, here 0.
	UpdateDelay time.Duration

	// OnFlood is called with every LSA the router floods, own or passed on.
	OnFlood func(Flood)

	// OnRequest, if set, sees every request before it is served and may
	// answer in its place: a code and true sends that code and does nothing
	// else.
	OnRequest func(ospfapi.Header, ospfapi.Request) (ospfapi.ErrCode, bool)
}

// Server is a scripted ospfd.
type Server struct {
	mu          sync.Mutex
	cfg         Config
	dialect     ospfapi.Dialect
	addr        netip.AddrPort
	ln          *net.TCPListener
	conns       []*conn
	lsas        map[ospfapi.LSAKey]*stored
	order       []ospfapi.LSAKey // as installed, for a stable dump
	waiting     map[ospfapi.LSAKey]*time.Timer
	forgotten   map[ospfapi.Register]bool // see ForgetTypes
	requests    []Received
	changed     chan struct{} // closed and replaced when something happened
	refuseAsync bool
	crash       error
	closed      bool

	wg sync.WaitGroup
}

// Received is a request the server has read.
type Received struct {
	Header  ospfapi.Header
	Request ospfapi.Request // nil if it was not understood
	Body    []byte
}

// NewServer starts a scripted ospfd on a free port of 127.0.0.1 and stops it
// when the test ends.
func NewServer(t testing.TB, cfg Config) *Server {
	t.Helper()
	if !cfg.RouterID.IsValid() {
		cfg.RouterID = netip.MustParseAddr("10.0.0.1")
	}
	if cfg.Interfaces == nil {
		cfg.Interfaces = []Interface{{
			Addr: netip.MustParseAddr("192.0.2.1"), Area: netip.IPv4Unspecified(), State: ospfapi.ISMDR,
		}}
	}
	s := &Server{
		cfg:     cfg,
		dialect: ospfapi.FRR84,
		lsas:    map[ospfapi.LSAKey]*stored{},
		waiting: map[ospfapi.LSAKey]*time.Timer{},
		changed: make(chan struct{}),
	}
	if cfg.Dialect != nil {
		s.dialect = *cfg.Dialect
	}
	if err := s.listen(netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
		t.Fatalf("scripted ospfd: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

func (s *Server) listen(at netip.AddrPort) error {
	ln, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.ln, s.addr = ln, ln.Addr().(*net.TCPAddr).AddrPort()
	s.mu.Unlock()
	s.wg.Go(func() { s.accept(ln) })
	return nil
}

// Addr is where clients connect to.
func (s *Server) Addr() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Close ends it all and waits for its goroutines.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.Stop()
	s.wg.Wait()
}

// Stop is the death of ospfd: nobody can connect, and every connection closes
// without anything being flushed. Start begins its next life.
func (s *Server) Stop() {
	s.mu.Lock()
	s.ln.Close()
	conns := s.conns
	s.conns = nil
	for _, t := range s.waiting {
		t.Stop()
	}
	clear(s.waiting)
	s.lsas, s.order = map[ospfapi.LSAKey]*stored{}, nil
	s.notifyChanged()
	s.mu.Unlock()
	for _, c := range conns {
		c.close()
	}
}

// Start begins a new life on the same port after Stop, with an empty database.
func (s *Server) Start() error {
	at := s.Addr()
	if err := s.listen(at); err != nil {
		return fmt.Errorf("scripted ospfd restart: %w", err)
	}
	return nil
}

// Crashed returns what a client did that would have crashed ospfd, or nil.
func (s *Server) Crashed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.crash
}

// RefuseAsync makes the server close connections instead of connecting back, as
// ospfd does when it cannot.
func (s *Server) RefuseAsync(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuseAsync = on
}

// KillConnections closes every connection as a close by ospfd does: the clients'
// LSAs are flushed.
func (s *Server) KillConnections() {
	s.mu.Lock()
	conns := slices.Clone(s.conns)
	s.mu.Unlock()
	for _, c := range conns {
		c.close()
	}
}

// Stall stops the server from reading and answering requests until the
// returned function is called; connections stay open.
func (s *Server) Stall() (resume func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gate := make(chan struct{})
	for _, c := range s.conns {
		c.gate = gate
	}
	return sync.OnceFunc(func() { close(gate) })
}

// SendRaw writes octets as they are on every client's asynchronous stream.
func (s *Server) SendRaw(b []byte) { s.raw(b, true) }

// SendRawSync writes octets as they are on every client's synchronous stream.
func (s *Server) SendRawSync(b []byte) { s.raw(b, false) }

func (s *Server) raw(b []byte, async bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		if async {
			c.out.push(b)
		} else {
			c.replies.push(b)
		}
	}
}

// Notify sends a notification to every client.
func (s *Server) Notify(n ospfapi.Notification) {
	b, err := ospfapi.AppendNotification(nil, n)
	if err != nil {
		panic(err) // a mistake of the test
	}
	s.SendRaw(b)
}

// Requests returns all requests read so far, over all connections.
func (s *Server) Requests() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Clients returns the number of connections.
func (s *Server) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Await waits until cond holds; it is asked again whenever a client connects or
// leaves, a request was served, or the database changed.
func (s *Server) Await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	timeout := time.NewTimer(10 * time.Second)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		ch := s.changed
		s.mu.Unlock()
		if cond() {
			return
		}
		select {
		case <-ch:
		case <-timeout.C:
			t.Fatalf("scripted ospfd: %s did not happen within 10 s", what)
		}
	}
}

// notifyChanged wakes Await. s.mu is held.
func (s *Server) notifyChanged() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// SetRouterOSPF says whether "router ospf" exists.
func (s *Server) SetRouterOSPF(exists bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.NoRouterOSPF = !exists
}

// SetReachable replaces the set of reachable routers and tells the difference.
func (s *Server) SetReachable(routers ...netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n ospfapi.ReachableChange
	for _, r := range routers {
		if !slices.Contains(s.cfg.Reachable, r) {
			n.Added = append(n.Added, r)
		}
	}
	for _, r := range s.cfg.Reachable {
		if !slices.Contains(routers, r) {
			n.Removed = append(n.Removed, r)
		}
	}
	s.cfg.Reachable = slices.Clone(routers)
	if s.dialect.SyncState && len(n.Added)+len(n.Removed) > 0 {
		s.broadcast(n)
	}
}

// SetRouterID changes the router id and tells it.
func (s *Server) SetRouterID(id netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.RouterID = id
	if s.dialect.SyncRouterID {
		s.broadcast(ospfapi.RouterIDChange{RouterID: id})
	}
}

// RouterID returns the router id.
func (s *Server) RouterID() netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.RouterID
}

// AddInterface adds an interface and tells it, with READY for those who
// registered link-scope types.
func (s *Server) AddInterface(i Interface) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Interfaces = append(slices.Clone(s.cfg.Interfaces), i)
	s.broadcast(ospfapi.NewInterface{IfAddr: i.Addr, Area: i.Area})
	s.broadcast(ospfapi.ISMChange{IfAddr: i.Addr, Area: i.Area, State: i.State})
	for _, c := range s.conns {
		for _, r := range c.registered {
			if r.Type == ospfapi.OpaqueLink {
				c.send(ospfapi.Ready{Type: r.Type, Opaque: r.Opaque, Addr: i.Addr})
			}
		}
	}
}

// DelInterface removes an interface and tells it.
func (s *Server) DelInterface(addr netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Interfaces = slices.DeleteFunc(slices.Clone(s.cfg.Interfaces), func(i Interface) bool { return i.Addr == addr })
	s.broadcast(ospfapi.DelInterface{IfAddr: addr})
}

// SetISM changes an interface's state and tells it.
func (s *Server) SetISM(addr netip.Addr, state ospfapi.ISMState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Interfaces = slices.Clone(s.cfg.Interfaces)
	for k, i := range s.cfg.Interfaces {
		if i.Addr == addr {
			s.cfg.Interfaces[k].State = state
			s.broadcast(ospfapi.ISMChange{IfAddr: i.Addr, Area: i.Area, State: state})
		}
	}
}

// SetNeighbor changes or adds a neighbour and tells it; NSMDeleted removes it.
func (s *Server) SetNeighbor(n Neighbor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Neighbors = slices.DeleteFunc(slices.Clone(s.cfg.Neighbors), func(o Neighbor) bool {
		return o.IfAddr == n.IfAddr && o.Addr == n.Addr
	})
	if n.State != ospfapi.NSMDeleted {
		s.cfg.Neighbors = append(s.cfg.Neighbors, n)
	}
	s.broadcast(ospfapi.NSMChange{IfAddr: n.IfAddr, Neighbor: n.Addr, RouterID: n.RouterID, State: n.State})
}

// broadcast sends to every client. s.mu is held.
func (s *Server) broadcast(n ospfapi.Notification) {
	for _, c := range s.conns {
		c.send(n)
	}
}

var errKilled = errors.New("ospfd would have crashed")
