package ospfapi

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// Request is one of the request types below. Its fields' ranges are checked
// before anything is sent.
type Request interface {
	// Op returns the message type of the request.
	Op() MsgType
	// check returns why the request must not be sent, or "".
	check() string
	appendBody(dst []byte, d Dialect) []byte
}

// Register asks for the right to originate LSAs of one opaque type. ospfd
// answers READY for every interface, area or the AS where that is possible.
type Register struct {
	Type   LSType
	Opaque uint8
}

// Unregister gives the right back; ospfd flushes this client's LSAs of the type.
type Unregister struct {
	Type   LSType
	Opaque uint8
}

// RegisterEvents sets the filter of LSA notifications, replacing the last one.
// A new connection has the zero Filter: no LSA is notified.
type RegisterEvents struct{ Filter Filter }

// SyncLSDB asks for every LSA in the database that the filter lets through, as
// LSAUpdate notifications that carry the request's sequence number.
type SyncLSDB struct{ Filter Filter }

// Originate asks ospfd to originate or update an opaque LSA.
//
// Of LSA only the type (octet 3), the link state id (4-7) and what follows the
// 20-octet header are used; the client sends every other header field as zero,
// except the length, which it fills in, since ospfd before 10.4.4 believes it.
// At most MaxLSALen octets, and a multiple of 4 (RFC 5250 A.2): ospfd installs
// and echoes another length, and the neighbours silently drop it. IfAddr is required for OpaqueLink; Area is used
// for OpaqueArea, and the zero Addr is area 0.
//
// A new link state id is installed and echoed within a millisecond. An update
// of one that exists waits up to 5 s in ospfd before FRR 10.3, and only the
// last of several survives: use a fresh id for what matters.
type Originate struct {
	IfAddr, Area netip.Addr
	LSA          []byte
}

// Delete asks ospfd to flush an LSA this client originated. The originator
// itself gets no LSADelete until the LSA leaves the database, up to 60 s later.
// IfAddr and Area are where the LSA lives: for OpaqueLink give both, since FRR
// before 8.4 goes by the area, later ones by the interface.
type Delete struct {
	Type         LSType
	ID           uint32 // link state id: opaque type and 24-bit opaque id
	IfAddr, Area netip.Addr
	// ZeroLength floods the withdrawal without body, with the sequence number
	// one higher. Ignored by FRR before 8.4.
	ZeroLength bool
}

// SyncReachable asks for the routers ospfd has a route to in its attached
// areas, itself excepted, as ReachableChange notifications; none if there are none.
type SyncReachable struct{}

// SyncISM asks for an ISMChange for each interface.
type SyncISM struct{}

// SyncNSM asks for an NSMChange for each neighbour; the list includes ospfd's
// own pseudo-neighbour on each interface, known by its own router id.
type SyncNSM struct{}

// SyncRouterID asks for one RouterIDChange.
type SyncRouterID struct{}

// Op returns the message type.
func (Register) Op() MsgType       { return MsgRegisterOpaqueType }
func (Unregister) Op() MsgType     { return MsgUnregisterOpaqueType }
func (RegisterEvents) Op() MsgType { return MsgRegisterEvent }
func (SyncLSDB) Op() MsgType       { return MsgSyncLSDB }
func (Originate) Op() MsgType      { return MsgOriginateRequest }
func (Delete) Op() MsgType         { return MsgDeleteRequest }
func (SyncReachable) Op() MsgType  { return MsgSyncReachable }
func (SyncISM) Op() MsgType        { return MsgSyncISM }
func (SyncNSM) Op() MsgType        { return MsgSyncNSM }
func (SyncRouterID) Op() MsgType   { return MsgSyncRouterID }

func checkOpaque(t LSType) string {
	if !t.Opaque() {
		return fmt.Sprintf("%v is not an opaque LS type", t)
	}
	return ""
}

func (f Filter) check() string {
	if len(f.Areas) > 255 {
		return fmt.Sprintf("filter of %d areas, at most 255", len(f.Areas))
	}
	if f.Origin > AnyOrigin {
		return fmt.Sprintf("filter origin %d, at most %d", f.Origin, AnyOrigin)
	}
	return ""
}

func (r Register) check() string       { return checkOpaque(r.Type) }
func (r Unregister) check() string     { return checkOpaque(r.Type) }
func (r RegisterEvents) check() string { return r.Filter.check() }
func (r SyncLSDB) check() string       { return r.Filter.check() }
func (SyncReachable) check() string    { return "" }
func (SyncISM) check() string          { return "" }
func (SyncNSM) check() string          { return "" }
func (SyncRouterID) check() string     { return "" }

func (r Originate) check() string {
	if len(r.LSA) < LSAHeaderLen {
		return fmt.Sprintf("LSA of %d octets is shorter than its header", len(r.LSA))
	}
	if len(r.LSA) > MaxLSALen {
		return fmt.Sprintf("LSA of %d octets, at most %d: ospfd would install it and tell nobody", len(r.LSA), MaxLSALen)
	}
	if len(r.LSA)%4 != 0 {
		return fmt.Sprintf("LSA of %d octets is not padded to a multiple of 4: neighbours would drop it", len(r.LSA))
	}
	t := LSType(r.LSA[3])
	if why := checkOpaque(t); why != "" {
		return why
	}
	if t == OpaqueLink && !r.IfAddr.Is4() {
		return "a link-scope LSA needs the address of its interface"
	}
	return ""
}

func (r Delete) check() string {
	if why := checkOpaque(r.Type); why != "" {
		return why
	}
	if r.Type == OpaqueLink && !r.IfAddr.Is4() {
		return "a link-scope LSA needs the address of its interface"
	}
	return ""
}

func (r Register) appendBody(dst []byte, _ Dialect) []byte {
	return append(dst, byte(r.Type), r.Opaque, 0, 0)
}

func (r Unregister) appendBody(dst []byte, _ Dialect) []byte {
	return append(dst, byte(r.Type), r.Opaque, 0, 0)
}

func (f Filter) appendBody(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(f.Types))
	dst = append(dst, byte(f.Origin), byte(len(f.Areas)))
	for _, a := range f.Areas {
		dst = appendAddr(dst, a)
	}
	return dst
}

func (r RegisterEvents) appendBody(dst []byte, _ Dialect) []byte { return r.Filter.appendBody(dst) }
func (r SyncLSDB) appendBody(dst []byte, _ Dialect) []byte       { return r.Filter.appendBody(dst) }

func (r Originate) appendBody(dst []byte, _ Dialect) []byte {
	t := LSType(r.LSA[3])
	ifAddr, area := netip.Addr{}, netip.Addr{}
	switch t {
	case OpaqueLink:
		ifAddr = r.IfAddr
	case OpaqueArea:
		area = r.Area
	}
	dst = appendAddr(dst, ifAddr)
	dst = appendAddr(dst, area)
	dst = append(dst, 0, 0, 0, byte(t))       // age, options, type
	dst = append(dst, r.LSA[4:8]...)          // link state id
	dst = append(dst, make([]byte, 4+4+2)...) // advertising router, sequence number, checksum
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.LSA)))
	return append(dst, r.LSA[LSAHeaderLen:]...)
}

// delZeroLenLSA is OSPF_API_DEL_ZERO_LEN_LSA of ospf_api.h.
const delZeroLenLSA = 1

func (r Delete) appendBody(dst []byte, d Dialect) []byte {
	var where netip.Addr
	switch {
	case r.Type == OpaqueLink && d.DeleteByInterface:
		where = r.IfAddr
	case r.Type == OpaqueLink, r.Type == OpaqueArea:
		where = r.Area
	}
	var flags byte
	if r.ZeroLength && d.DeleteFlags {
		flags = delZeroLenLSA
	}
	dst = appendAddr(dst, where)
	dst = append(dst, byte(r.Type), byte(r.ID>>24), 0, flags)
	return binary.BigEndian.AppendUint32(dst, r.ID&0xffffff)
}

// appendFiller stands for an empty body: a message with none at all aborts
// ospfd, every release of it (msg_new asserts a size above zero).
func appendFiller(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

func (SyncReachable) appendBody(dst []byte, _ Dialect) []byte { return appendFiller(dst) }
func (SyncISM) appendBody(dst []byte, _ Dialect) []byte       { return appendFiller(dst) }
func (SyncNSM) appendBody(dst []byte, _ Dialect) []byte       { return appendFiller(dst) }
func (SyncRouterID) appendBody(dst []byte, _ Dialect) []byte  { return appendFiller(dst) }

// AppendRequest appends the whole message of r to dst. It returns a
// *RequestError, and dst unchanged, for what must not be sent.
func AppendRequest(dst []byte, d Dialect, seq uint32, r Request) ([]byte, error) {
	if why := r.check(); why != "" {
		return dst, &RequestError{r.Op(), why}
	}
	start := len(dst)
	dst = beginMessage(dst, r.Op(), seq)
	dst = r.appendBody(dst, d)
	return endMessage(dst, start), nil
}

// DecodeRequest decodes the body of a request, as a server of dialect d does.
// A request that dialect d does not know wraps ErrUnknownType.
func DecodeRequest(h Header, body []byte, d Dialect) (Request, error) {
	if !d.Knows(h.Type) {
		return nil, &DecodeError{h.Type, h.Seq, ErrUnknownType}
	}
	c := &cursor{b: body}
	var r Request
	switch h.Type {
	case MsgRegisterOpaqueType:
		r = Register{LSType(c.u8()), c.u8()}
		c.skip(2)
	case MsgUnregisterOpaqueType:
		r = Unregister{LSType(c.u8()), c.u8()}
		c.skip(2)
	case MsgRegisterEvent:
		r = RegisterEvents{c.filter()}
	case MsgSyncLSDB:
		r = SyncLSDB{c.filter()}
	case MsgOriginateRequest:
		r = Originate{IfAddr: c.addr(), Area: c.addr(), LSA: slices.Clone(c.lsa())}
	case MsgDeleteRequest:
		r = c.deleteRequest(d)
	case MsgSyncReachable:
		r = SyncReachable{}
		c.skip(1) // an empty body is no request: it kills ospfd
	case MsgSyncISM:
		r = SyncISM{}
		c.skip(1)
	case MsgSyncNSM:
		r = SyncNSM{}
		c.skip(1)
	case MsgSyncRouterID:
		r = SyncRouterID{}
		c.skip(1)
	}
	if c.err != nil {
		return nil, &DecodeError{h.Type, h.Seq, c.err}
	}
	return r, nil
}

func (c *cursor) filter() Filter {
	f := Filter{Types: TypeMask(c.u16()), Origin: Origin(c.u8())}
	f.Areas = c.addrs(int(c.u8()))
	return f
}

func (c *cursor) deleteRequest(d Dialect) Delete {
	where := c.addr()
	r := Delete{Type: LSType(c.u8())}
	opaque := c.u8()
	c.skip(1)
	flags := c.u8()
	r.ID = uint32(opaque)<<24 | c.u32()&0xffffff
	r.ZeroLength = d.DeleteFlags && flags&delZeroLenLSA != 0
	switch {
	case r.Type == OpaqueLink && d.DeleteByInterface:
		r.IfAddr = where
	case r.Type == OpaqueLink, r.Type == OpaqueArea:
		r.Area = where
	default: // the address means nothing
		r.Area = netip.IPv4Unspecified()
	}
	return r
}
