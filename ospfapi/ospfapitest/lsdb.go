package ospfapitest

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/ospfapi"
)

// MaxAge is the age of an LSA that is being flushed (RFC 2328 B).
const MaxAge = 3600

const initialSeq = 0x80000001 // RFC 2328 12.1.6

// stored is one LSA of the database.
type stored struct {
	lsa   []byte
	key   ospfapi.LSAKey
	self  bool
	owner *conn // who originated it, if one of our clients
	stray bool  // an own one that nobody owns: see ForgetTypes
}

// Flood is an LSA on its way to the neighbours.
type Flood struct {
	From netip.Addr // router id of the flooding router
	Area netip.Addr // where it is flooded; 0.0.0.0 for AS scope
	If   netip.Addr // for link scope, the sending interface's address
	LSA  []byte     // with age MaxAge if flushed
}

// Link makes two servers flood to each other, at once. Link-scope LSAs arrive
// at the other's interface ifB or ifA. It replaces their OnFlood.
func Link(a *Server, ifA netip.Addr, b *Server, ifB netip.Addr) {
	hook := func(to *Server, ifAddr netip.Addr) func(Flood) {
		return func(f Flood) {
			if lsType(f.LSA) == ospfapi.OpaqueLink {
				f.If = ifAddr
			}
			to.Receive(f)
		}
	}
	a.setFlood(hook(b, ifB))
	b.setFlood(hook(a, ifA))
}

func (s *Server) setFlood(f func(Flood)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.OnFlood = f
}

// Receive installs an LSA that came from a neighbour, if it is newer than the
// stored copy, tells the clients and floods it on. Link-scope LSAs are not
// passed on, and f.If is then the receiving interface.
func (s *Server) Receive(f Flood) {
	s.mu.Lock()
	key := keyOf(f.If, f.Area, f.LSA)
	old := s.lsas[key]
	var out []Flood
	if old == nil && age(f.LSA) == MaxAge {
		s.mu.Unlock()
		return // RFC 2328 13 (4): nothing to flush
	}
	if old == nil || newer(f.LSA, old.lsa) {
		if age(f.LSA) == MaxAge {
			s.told(ospfapi.LSADelete{IfAddr: key.IfAddr, Area: key.Area, LSA: f.LSA})
			delete(s.lsas, key)
			s.order = slices.DeleteFunc(s.order, func(k ospfapi.LSAKey) bool { return k == key })
		} else {
			s.install(&stored{lsa: slices.Clone(f.LSA), key: key, self: key.Adv == s.cfg.RouterID})
		}
		if key.Type != ospfapi.OpaqueLink {
			out = append(out, Flood{From: s.cfg.RouterID, Area: f.Area, LSA: f.LSA})
		}
		s.notifyChanged()
	}
	s.mu.Unlock()
	s.flood(out)
}

// Inject is Receive for an LSA some other router originated: in area (0.0.0.0
// for AS scope).
func (s *Server) Inject(area netip.Addr, lsa []byte) { s.Receive(Flood{Area: area, LSA: lsa}) }

// InjectLink is Inject for a link-scope LSA that came in by an interface.
func (s *Server) InjectLink(ifAddr, area netip.Addr, lsa []byte) {
	s.Receive(Flood{Area: area, If: ifAddr, LSA: lsa})
}

// LSDB returns the database in the order of installation.
func (s *Server) LSDB() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all [][]byte
	for _, k := range s.order {
		all = append(all, slices.Clone(s.lsas[k].lsa))
	}
	return all
}

// ExpireMaxAge does what ospfd's MaxAge remover does every minute: flushed LSAs
// leave the database, and now their originator is told too.
func (s *Server) ExpireMaxAge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range slices.Clone(s.order) {
		if e := s.lsas[k]; age(e.lsa) == MaxAge {
			s.remove(k)
			s.told(ospfapi.LSADelete{IfAddr: k.IfAddr, Area: k.Area, Self: e.self, LSA: e.lsa})
		}
	}
	s.notifyChanged()
}

func (s *Server) remove(k ospfapi.LSAKey) {
	delete(s.lsas, k)
	s.order = slices.DeleteFunc(s.order, func(o ospfapi.LSAKey) bool { return o == k })
}

// install puts an LSA into the database and tells it, the old instance first.
// s.mu is held.
func (s *Server) install(e *stored) {
	if old := s.lsas[e.key]; old != nil {
		s.told(ospfapi.LSADelete{IfAddr: e.key.IfAddr, Area: e.key.Area, Self: old.self, LSA: old.lsa})
	} else {
		s.order = append(s.order, e.key)
	}
	s.lsas[e.key] = e
	s.told(ospfapi.LSAUpdate{IfAddr: e.key.IfAddr, Area: e.key.Area, Self: e.self, LSA: e.lsa})
}

// told sends LSA news to the clients whose filter lets it through. s.mu is held.
func (s *Server) told(n ospfapi.Notification) {
	var key ospfapi.LSAKey
	var self bool
	switch n := n.(type) {
	case ospfapi.LSAUpdate:
		key, self = n.Key(), n.Self
	case ospfapi.LSADelete:
		key, self = n.Key(), n.Self
	}
	for _, c := range s.conns {
		if passes(c.filter, key, self) {
			c.send(n)
		}
	}
}

// passes is ospfd's filter: areas do not apply to AS scope.
func passes(f ospfapi.Filter, k ospfapi.LSAKey, self bool) bool {
	asScope := k.Type == ospfapi.ASExternalLSA || k.Type == ospfapi.OpaqueAS
	switch {
	case !f.Types.Has(k.Type):
		return false
	case len(f.Areas) > 0 && !asScope && !slices.Contains(f.Areas, k.Area):
		return false
	case f.Origin == ospfapi.Self:
		return self
	case f.Origin == ospfapi.NonSelf:
		return !self
	default:
		return true
	}
}

// originate is an ORIGINATE_REQUEST. s.mu is held; the floods are to be sent
// after it is not.
func (s *Server) originate(c *conn, r ospfapi.Originate) (ospfapi.ErrCode, []Flood) {
	t := lsType(r.LSA)
	var ifAddr netip.Addr = netip.IPv4Unspecified()
	area := netip.IPv4Unspecified()
	switch t {
	case ospfapi.OpaqueLink:
		i, ok := s.interfaceAt(r.IfAddr)
		if !ok {
			return ospfapi.NoSuchInterface, nil
		}
		ifAddr, area = i.Addr, i.Area
	case ospfapi.OpaqueArea:
		if !s.hasArea(r.Area) {
			return ospfapi.NoSuchArea, nil
		}
		area = r.Area
	case ospfapi.OpaqueAS:
	default:
		return ospfapi.IllegalLSAType, nil
	}
	if !slices.Contains(c.registered, ospfapi.Register{Type: t, Opaque: r.LSA[4]}) {
		return ospfapi.OpaqueTypeNotRegistered, nil
	}
	if s.forgotten[ospfapi.Register{Type: t, Opaque: r.LSA[4]}] {
		// ospfd installs first, and looks for the type then.
		lsa := slices.Clone(r.LSA)
		adv := s.cfg.RouterID.As4()
		copy(lsa[8:12], adv[:])
		s.put(nil, keyOf(ifAddr, area, lsa), lsa)
		s.lsas[keyOf(ifAddr, area, lsa)].stray = true
		return ospfapi.NoSuchInterface, nil
	}
	if !s.dialect.SyncState && !s.hasFullNeighbor() {
		return ospfapi.NotReady, nil // FRR before 8.3
	}
	lsa := slices.Clone(r.LSA)
	adv := s.cfg.RouterID.As4()
	copy(lsa[8:12], adv[:])
	key := keyOf(ifAddr, area, lsa)
	old := s.lsas[key]
	if old == nil || age(old.lsa) == MaxAge || old.owner != c || s.cfg.UpdateDelay == 0 {
		return ospfapi.OK, s.put(c, key, lsa)
	}
	// An update of one's own LSA waits, and the last of several wins.
	if t := s.waiting[key]; t != nil {
		t.Stop()
	}
	s.waiting[key] = time.AfterFunc(s.cfg.UpdateDelay, func() {
		s.mu.Lock()
		var out []Flood
		if !c.gone && !s.closed {
			out = s.put(c, key, lsa)
		}
		delete(s.waiting, key)
		s.mu.Unlock()
		s.flood(out)
	})
	return ospfapi.OK, nil
}

// put completes the header of an own LSA and installs it. s.mu is held.
func (s *Server) put(c *conn, key ospfapi.LSAKey, lsa []byte) []Flood {
	seq := uint32(initialSeq)
	if old := s.lsas[key]; old != nil {
		seq = binary.BigEndian.Uint32(old.lsa[12:]) + 1
	}
	SetHeader(lsa, 1, seq)
	s.install(&stored{lsa: lsa, key: key, self: true, owner: c})
	s.notifyChanged()
	return []Flood{{From: s.cfg.RouterID, Area: key.Area, If: key.IfAddr, LSA: lsa}}
}

// delete is a DELETE_REQUEST. s.mu is held.
func (s *Server) delete(c *conn, r ospfapi.Delete) (ospfapi.ErrCode, []Flood) {
	ifAddr := netip.IPv4Unspecified()
	area := netip.IPv4Unspecified()
	switch {
	case r.Type == ospfapi.OpaqueLink && s.dialect.DeleteByInterface:
		i, ok := s.interfaceAt(r.IfAddr)
		if !ok {
			return ospfapi.NoSuchInterface, nil
		}
		ifAddr, area = i.Addr, i.Area
	case r.Type == ospfapi.OpaqueLink, r.Type == ospfapi.OpaqueArea:
		if !s.hasArea(r.Area) {
			return ospfapi.NoSuchArea, nil
		}
		area = r.Area
	case r.Type == ospfapi.OpaqueAS:
	default:
		return ospfapi.IllegalLSAType, nil
	}
	if !slices.Contains(c.registered, ospfapi.Register{Type: r.Type, Opaque: byte(r.ID >> 24)}) {
		return ospfapi.OpaqueTypeNotRegistered, nil
	}
	for _, k := range s.order {
		if k.Type == r.Type && k.ID == r.ID && k.Area == area && k.Adv == s.cfg.RouterID &&
			(k.IfAddr == ifAddr || !s.dialect.DeleteByInterface) {
			if s.lsas[k].stray {
				return ospfapi.OK, nil // "Invalid parameter?" in its log
			}
			return ospfapi.OK, s.flush(k)
		}
	}
	return ospfapi.NoSuchLSA, nil
}

// flush sets an own LSA to MaxAge in place, so that no client here is told, and
// floods it. s.mu is held.
func (s *Server) flush(k ospfapi.LSAKey) []Flood {
	e := s.lsas[k]
	if t := s.waiting[k]; t != nil {
		t.Stop()
		delete(s.waiting, k)
	}
	lsa := slices.Clone(e.lsa) // those told of the old one keep it as it was
	binary.BigEndian.PutUint16(lsa, MaxAge)
	s.lsas[k] = &stored{lsa: lsa, key: k, self: true}
	s.notifyChanged()
	return []Flood{{From: s.cfg.RouterID, Area: k.Area, If: k.IfAddr, LSA: lsa}}
}

// unregister flushes all of a client's LSAs of one opaque type. s.mu is held.
func (s *Server) unregister(c *conn, r ospfapi.Register) (ospfapi.ErrCode, []Flood) {
	at := slices.Index(c.registered, r)
	if at < 0 {
		return ospfapi.OpaqueTypeNotRegistered, nil
	}
	c.registered = slices.Delete(c.registered, at, at+1)
	var out []Flood
	for _, k := range slices.Clone(s.order) {
		e := s.lsas[k]
		if e.self && k.Type == r.Type && byte(k.ID>>24) == r.Opaque && age(e.lsa) != MaxAge {
			out = append(out, s.flush(k)...)
		}
	}
	return ospfapi.OK, out
}

// FlushOwn deletes the own LSAs of an opaque type, as ospfd does when one of
// two clients leaves that both registered it (FRR from 10 on lets them): like
// with any deletion of its own no client here is told before ExpireMaxAge.
func (s *Server) FlushOwn(opaque byte) {
	s.mu.Lock()
	var out []Flood
	for _, k := range slices.Clone(s.order) {
		e := s.lsas[k]
		if e.self && k.Type >= ospfapi.OpaqueLink && k.Type <= ospfapi.OpaqueAS && byte(k.ID>>24) == opaque && age(e.lsa) != MaxAge {
			out = append(out, s.flush(k)...)
		}
	}
	s.mu.Unlock()
	s.flood(out)
}

// ForgetTypes does what ospfd from FRR 10 on does when one of two clients that
// registered the same types leaves: FlushOwn, and until somebody registers a type
// anew, what is originated is refused, but stays in the database, without being
// flooded. Nobody owns it: a DELETE of it is answered OK and does nothing, until
// it is originated once more.
func (s *Server) ForgetTypes(opaque byte) {
	s.FlushOwn(opaque)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgotten = map[ospfapi.Register]bool{}
	for _, t := range []ospfapi.LSType{ospfapi.OpaqueLink, ospfapi.OpaqueArea, ospfapi.OpaqueAS} {
		s.forgotten[ospfapi.Register{Type: t, Opaque: opaque}] = true
	}
	s.notifyChanged()
}

// Abandon puts an own LSA of area 0 or AS scope into the database that nobody
// owns, as a client that died leaves it on FRR before 8.3.
func (s *Server) Abandon(lsa []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.install(&stored{lsa: slices.Clone(lsa), key: keyOf(netip.Addr{}, netip.Addr{}, lsa), self: true, stray: true})
	s.notifyChanged()
}

func (s *Server) flood(fs []Flood) {
	s.mu.Lock()
	hook := s.cfg.OnFlood
	s.mu.Unlock()
	if hook == nil {
		return
	}
	for _, f := range fs {
		hook(f)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notifyChanged() // once more: the hooks run after the database has changed
}

func (s *Server) interfaceAt(a netip.Addr) (Interface, bool) {
	for _, i := range s.cfg.Interfaces {
		if i.Addr == a {
			return i, true
		}
	}
	return Interface{}, false
}

func (s *Server) hasArea(a netip.Addr) bool {
	return slices.ContainsFunc(s.cfg.Interfaces, func(i Interface) bool { return i.Area == a })
}

func (s *Server) hasFullNeighbor() bool {
	return slices.ContainsFunc(s.cfg.Neighbors, func(n Neighbor) bool { return n.State == ospfapi.NSMFull })
}

func (s *Server) areas() []netip.Addr {
	var as []netip.Addr
	for _, i := range s.cfg.Interfaces {
		if !slices.Contains(as, i.Area) {
			as = append(as, i.Area)
		}
	}
	return as
}

func lsType(lsa []byte) ospfapi.LSType { return ospfapi.LSType(lsa[3]) }
func age(lsa []byte) uint16            { return binary.BigEndian.Uint16(lsa) }

func keyOf(ifAddr, area netip.Addr, lsa []byte) ospfapi.LSAKey {
	if !ifAddr.IsValid() {
		ifAddr = netip.IPv4Unspecified()
	}
	if !area.IsValid() {
		area = netip.IPv4Unspecified()
	}
	return ospfapi.LSAUpdate{IfAddr: ifAddr, Area: area, LSA: lsa}.Key()
}

// newer is RFC 2328 13.1 without the rule of ages nobody needs here.
func newer(a, b []byte) bool {
	sa, sb := int32(binary.BigEndian.Uint32(a[12:])), int32(binary.BigEndian.Uint32(b[12:]))
	if sa != sb {
		return sa > sb
	}
	return age(a) == MaxAge && age(b) != MaxAge
}

// NewLSA builds an LSA another router originates, header and checksum complete.
func NewLSA(t ospfapi.LSType, id uint32, adv netip.Addr, seq uint32, body []byte) []byte {
	lsa := make([]byte, ospfapi.LSAHeaderLen, ospfapi.LSAHeaderLen+len(body))
	lsa[2] = 0x42 // options E and O
	lsa[3] = byte(t)
	binary.BigEndian.PutUint32(lsa[4:], id)
	a := adv.As4()
	copy(lsa[8:], a[:])
	lsa = append(lsa, body...)
	SetHeader(lsa, 1, seq)
	return lsa
}

// SetHeader fills age, sequence number, length and checksum of an LSA.
func SetHeader(lsa []byte, age uint16, seq uint32) {
	binary.BigEndian.PutUint16(lsa, age)
	binary.BigEndian.PutUint32(lsa[12:], seq)
	binary.BigEndian.PutUint16(lsa[18:], uint16(len(lsa)))
	lsa[16], lsa[17] = 0, 0
	// Fletcher, RFC 1008 7.2.1 and RFC 2328 12.1.7: over all but the age.
	c0, c1 := 0, 0
	for _, b := range lsa[2:] {
		c0 = (c0 + int(b)) % 255
		c1 = (c1 + c0) % 255
	}
	const at = 15 // place of the checksum, counted from 1, without the age
	x := ((len(lsa)-2-at)*c0 - c1) % 255
	if x <= 0 {
		x += 255
	}
	y := 510 - c0 - x
	if y > 255 {
		y -= 255
	}
	lsa[16], lsa[17] = byte(x), byte(y)
}
