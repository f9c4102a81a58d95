package ospfapi

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Notification is what Config.Notify receives: one of the message types of the
// asynchronous stream, or one of the client's own marks in it (SyncStarted,
// SyncDone, Overflow, Undecoded).
type Notification interface {
	notification()
}

// message is a notification that travels on the wire.
type message interface {
	Notification
	op() MsgType
	seq() uint32
	appendBody(dst []byte) []byte
}

// In all of them Seq is 0 for news, and the sequence number of the request for
// what answers a Sync request.
type (
	// Ready says that LSAs of a registered opaque type can be originated at
	// Addr: an interface address (OpaqueLink), an area id (OpaqueArea), or
	// 0.0.0.0. It repeats: treat it as a hint to check which own LSAs exist.
	Ready struct {
		Seq    uint32
		Type   LSType
		Opaque uint8
		Addr   netip.Addr
	}

	// LSAUpdate says that LSA is in ospfd's database. Self: ospfd originated
	// it. IfAddr is the receiving interface for OpaqueLink, else 0.0.0.0. Area
	// is 0.0.0.0 for AS scope. LSA is a whole LSA, its length field checked,
	// everything else as ospfd sent it; it is the receiver's to keep.
	LSAUpdate struct {
		Seq          uint32
		IfAddr, Area netip.Addr
		Self         bool
		LSA          []byte
	}

	// LSADelete says that LSA, with the age it had, left the database or was
	// flushed. The client has already taken out the deletes that only precede
	// the update of the same LSA (see the package's reader rule). A receiver
	// must still ignore one whose LS sequence number is older than the copy it
	// holds, and expect a second one, with age 3600, up to a minute later.
	LSADelete struct {
		Seq          uint32
		IfAddr, Area netip.Addr
		Self         bool
		LSA          []byte
	}

	// NewInterface says that OSPF runs on an interface with this address. Do
	// not count on it: FRR's hook runs when the interface appears in the
	// system, before OSPF can run on it, and then sends nothing. An ISMChange
	// of an address not known before is the sign.
	NewInterface struct {
		Seq          uint32
		IfAddr, Area netip.Addr
	}

	// DelInterface says that OSPF left the interface. As rare as NewInterface:
	// an ISMChange to ISMDown comes before it, and mostly alone.
	DelInterface struct {
		Seq    uint32
		IfAddr netip.Addr
	}

	// ISMChange tells an interface's state.
	ISMChange struct {
		Seq          uint32
		IfAddr, Area netip.Addr
		State        ISMState
	}

	// NSMChange tells a neighbour's state.
	NSMChange struct {
		Seq              uint32
		IfAddr, Neighbor netip.Addr
		RouterID         netip.Addr
		State            NSMState
	}

	// ReachableChange tells the routers that ospfd now has, and no longer has,
	// a route to; only of attached areas, never itself. That a router is
	// reachable does not mean that the program beside it runs.
	ReachableChange struct {
		Seq            uint32
		Added, Removed []netip.Addr
	}

	// RouterIDChange tells ospfd's own router id.
	RouterIDChange struct {
		Seq      uint32
		RouterID netip.Addr
	}
)

// The client's own marks. They stand in the stream where they belong.
type (
	// SyncStarted precedes everything a Sync brings. A mirror begins to mark.
	SyncStarted struct{ Seq uint32 }

	// SyncDone follows everything a Sync brought. If Complete, what a mirror
	// did not see since the SyncStarted of the same Seq no longer exists:
	// sweep. If not, ospfd refused a part: keep everything, sync again.
	SyncDone struct {
		Seq      uint32
		Complete bool
	}

	// Overflow says that Dropped notifications were thrown away here because
	// Notify took too long. Whatever was mirrored may be wrong: Sync again.
	Overflow struct{ Dropped int }

	// Undecoded is a message of an unknown type, or one whose body contradicts
	// itself. The stream goes on behind it.
	Undecoded struct{ Err *DecodeError }
)

func (Ready) notification()           {}
func (LSAUpdate) notification()       {}
func (LSADelete) notification()       {}
func (NewInterface) notification()    {}
func (DelInterface) notification()    {}
func (ISMChange) notification()       {}
func (NSMChange) notification()       {}
func (ReachableChange) notification() {}
func (RouterIDChange) notification()  {}
func (SyncStarted) notification()     {}
func (SyncDone) notification()        {}
func (Overflow) notification()        {}
func (Undecoded) notification()       {}

func (Ready) op() MsgType           { return MsgReadyNotify }
func (LSAUpdate) op() MsgType       { return MsgLSAUpdateNotify }
func (LSADelete) op() MsgType       { return MsgLSADeleteNotify }
func (NewInterface) op() MsgType    { return MsgNewIf }
func (DelInterface) op() MsgType    { return MsgDelIf }
func (ISMChange) op() MsgType       { return MsgISMChange }
func (NSMChange) op() MsgType       { return MsgNSMChange }
func (ReachableChange) op() MsgType { return MsgReachableChange }
func (RouterIDChange) op() MsgType  { return MsgRouterIDChange }

func (n Ready) seq() uint32           { return n.Seq }
func (n LSAUpdate) seq() uint32       { return n.Seq }
func (n LSADelete) seq() uint32       { return n.Seq }
func (n NewInterface) seq() uint32    { return n.Seq }
func (n DelInterface) seq() uint32    { return n.Seq }
func (n ISMChange) seq() uint32       { return n.Seq }
func (n NSMChange) seq() uint32       { return n.Seq }
func (n ReachableChange) seq() uint32 { return n.Seq }
func (n RouterIDChange) seq() uint32  { return n.Seq }

func (n Ready) appendBody(dst []byte) []byte {
	return appendAddr(append(dst, byte(n.Type), n.Opaque, 0, 0), n.Addr)
}

func appendLSABody(dst []byte, ifAddr, area netip.Addr, self bool, lsa []byte) []byte {
	dst = appendAddr(appendAddr(dst, ifAddr), area)
	var s byte
	if self {
		s = 1
	}
	return append(append(dst, s, 0, 0, 0), lsa...)
}

func (n LSAUpdate) appendBody(dst []byte) []byte {
	return appendLSABody(dst, n.IfAddr, n.Area, n.Self, n.LSA)
}

func (n LSADelete) appendBody(dst []byte) []byte {
	return appendLSABody(dst, n.IfAddr, n.Area, n.Self, n.LSA)
}

func (n NewInterface) appendBody(dst []byte) []byte {
	return appendAddr(appendAddr(dst, n.IfAddr), n.Area)
}

func (n DelInterface) appendBody(dst []byte) []byte { return appendAddr(dst, n.IfAddr) }

func (n ISMChange) appendBody(dst []byte) []byte {
	return append(appendAddr(appendAddr(dst, n.IfAddr), n.Area), byte(n.State), 0, 0, 0)
}

func (n NSMChange) appendBody(dst []byte) []byte {
	dst = appendAddr(appendAddr(appendAddr(dst, n.IfAddr), n.Neighbor), n.RouterID)
	return append(dst, byte(n.State), 0, 0, 0)
}

func (n ReachableChange) appendBody(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(n.Added)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(n.Removed)))
	for _, a := range n.Added {
		dst = appendAddr(dst, a)
	}
	for _, a := range n.Removed {
		dst = appendAddr(dst, a)
	}
	return dst
}

func (n RouterIDChange) appendBody(dst []byte) []byte { return appendAddr(dst, n.RouterID) }

// AppendNotification appends the whole message of n to dst, as a server sends
// it. The client's own marks do not travel: they are an error.
func AppendNotification(dst []byte, n Notification) ([]byte, error) {
	m, ok := n.(message)
	if !ok {
		return dst, fmt.Errorf("%T is not a message", n)
	}
	start := len(dst)
	dst = beginMessage(dst, m.op(), m.seq())
	dst = m.appendBody(dst)
	if n := len(dst) - start - HeaderLen; n > 0xffff {
		return dst[:start], fmt.Errorf("%v body of %d octets does not fit its length field", m.op(), n)
	}
	return endMessage(dst, start), nil
}

// DecodeNotification decodes the body of a notification, whose octets the
// result keeps. An error is always a *DecodeError; one of an unknown message
// type wraps ErrUnknownType. Octets behind the known fields are ignored: a
// later release may append some.
func DecodeNotification(h Header, body []byte) (Notification, error) {
	c := &cursor{b: body}
	var n Notification
	switch h.Type {
	case MsgReadyNotify:
		r := Ready{Seq: h.Seq, Type: LSType(c.u8()), Opaque: c.u8()}
		c.skip(2)
		r.Addr = c.addr()
		n = r
	case MsgLSAUpdateNotify:
		r := LSAUpdate{Seq: h.Seq}
		r.IfAddr, r.Area, r.Self, r.LSA = c.lsaBody()
		n = r
	case MsgLSADeleteNotify:
		r := LSADelete{Seq: h.Seq}
		r.IfAddr, r.Area, r.Self, r.LSA = c.lsaBody()
		n = r
	case MsgNewIf:
		n = NewInterface{h.Seq, c.addr(), c.addr()}
	case MsgDelIf:
		n = DelInterface{h.Seq, c.addr()}
	case MsgISMChange:
		n = ISMChange{h.Seq, c.addr(), c.addr(), ISMState(c.u8())}
		c.skip(3)
	case MsgNSMChange:
		n = NSMChange{h.Seq, c.addr(), c.addr(), c.addr(), NSMState(c.u8())}
		c.skip(3)
	case MsgReachableChange:
		added, removed := int(c.u16()), int(c.u16())
		n = ReachableChange{h.Seq, c.addrs(added), c.addrs(removed)}
	case MsgRouterIDChange:
		n = RouterIDChange{h.Seq, c.addr()}
	default:
		return nil, &DecodeError{h.Type, h.Seq, ErrUnknownType}
	}
	if c.err != nil {
		return nil, &DecodeError{h.Type, h.Seq, c.err}
	}
	return n, nil
}

func (c *cursor) lsaBody() (ifAddr, area netip.Addr, self bool, lsa []byte) {
	ifAddr, area = c.addr(), c.addr()
	self = c.u8() != 0
	c.skip(3)
	return ifAddr, area, self, c.lsa()
}

// Reply is the answer to a request, on the synchronous stream.
type Reply struct {
	Seq  uint32
	Code ErrCode
}

// AppendReply appends the whole message of r to dst, as a server sends it.
func AppendReply(dst []byte, r Reply) []byte {
	start := len(dst)
	dst = beginMessage(dst, MsgReply, r.Seq)
	return endMessage(append(dst, byte(r.Code), 0, 0, 0), start)
}

// DecodeReply decodes the body of a reply. An error is always a *DecodeError.
func DecodeReply(h Header, body []byte) (Reply, error) {
	if h.Type != MsgReply {
		return Reply{}, &DecodeError{h.Type, h.Seq, fmt.Errorf("not a reply: %w", ErrUnknownType)}
	}
	c := &cursor{b: body}
	code := ErrCode(int8(c.u8()))
	c.skip(3)
	if c.err != nil {
		return Reply{}, &DecodeError{h.Type, h.Seq, c.err}
	}
	return Reply{h.Seq, code}, nil
}

// LSAKey identifies an LSA among all those of one ospfd.
type LSAKey struct {
	Type   LSType
	ID     uint32
	Adv    netip.Addr
	Area   netip.Addr
	IfAddr netip.Addr
}

func keyOf(ifAddr, area netip.Addr, lsa []byte) LSAKey {
	if len(lsa) < LSAHeaderLen {
		return LSAKey{}
	}
	return LSAKey{
		Type:   LSType(lsa[3]),
		ID:     binary.BigEndian.Uint32(lsa[4:]),
		Adv:    netip.AddrFrom4([4]byte(lsa[8:12])),
		Area:   area,
		IfAddr: ifAddr,
	}
}

// Key returns the identity of the LSA.
func (n LSAUpdate) Key() LSAKey { return keyOf(n.IfAddr, n.Area, n.LSA) }

// Key returns the identity of the LSA.
func (n LSADelete) Key() LSAKey { return keyOf(n.IfAddr, n.Area, n.LSA) }
