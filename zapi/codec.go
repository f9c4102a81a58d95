package zapi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
)

// The header (lib/zclient.h, zclient_create_header), in network order: u16
// length with the header, u8 marker, u8 version, u32 VRF, u16 command.
const (
	HeaderSize = 10
	// MaxMessageSize is ZEBRA_MAX_PACKET_SIZ (lib/zclient.h): zebra closes the
	// connection of a client that sends more. From FRR 10.4 on zebra itself may
	// send redistributed routes that are longer, so reading takes up to 65535.
	MaxMessageSize = 16384

	headerMarker  = 0xfe // ZEBRA_HEADER_MARKER
	headerVersion = 6    // ZSERV_VERSION
)

// Address families as zebra writes them: Linux's AF_INET and AF_INET6.
const (
	familyUnspec = 0
	familyIPv4   = 2
	familyIPv6   = 10
)

var (
	errNoDialect = errors.New("no dialect")
	errNoCommand = errors.New("this release has no such command")
)

// ReadMessage reads one whole message, header included, into buf if that is
// large enough. The error is io.EOF if the stream ended between messages,
// io.ErrUnexpectedEOF within one, *FrameError if it is not ZAPI.
func ReadMessage(r io.Reader, buf []byte) ([]byte, error) {
	if cap(buf) < HeaderSize {
		buf = make([]byte, MaxMessageSize)
	}
	buf = buf[:HeaderSize]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(buf))
	if err := checkHeader(buf); err != nil {
		return nil, err
	}
	if cap(buf) < length {
		buf = append(make([]byte, 0, length), buf...)
	}
	buf = buf[:length]
	if _, err := io.ReadFull(r, buf[HeaderSize:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf, nil
}

func checkHeader(b []byte) error {
	e := &FrameError{Length: binary.BigEndian.Uint16(b), Marker: b[2], Version: b[3]}
	if e.Marker != headerMarker || e.Version != headerVersion || e.Length < HeaderSize {
		return e
	}
	return nil
}

// Append appends m, header included, to b. On error b is returned as it was.
// The error is a *MessageError.
func (d Dialect) Append(b []byte, m Message) ([]byte, error) {
	fail := func(c Command, err error) ([]byte, error) {
		return b, &MessageError{Command: c, Dialect: d, Err: err}
	}
	if m == nil {
		return fail(commandCount, errors.New("no message"))
	}
	command := m.Command()
	if d.t == nil {
		return fail(command, errNoDialect)
	}
	if d.Early() {
		return d.appendEarly(b, m)
	}
	w := &writer{b: b, d: d, l: &d.t.layout}
	number, known := d.Number(command)
	if u, unknown := m.(Unknown); unknown {
		number, known = u.Number, true
	}
	if !known {
		return fail(command, errNoCommand)
	}
	start := len(b)
	w.u16(0)
	w.u8(headerMarker)
	w.u8(headerVersion)
	w.u32(0)
	w.u16(number)
	vrf := appendBody(w, m)
	size := len(w.b) - start
	if w.err == nil && size > MaxMessageSize {
		w.fail("message of %d bytes is longer than the %d zebra takes", size, MaxMessageSize)
	}
	if w.err != nil {
		return fail(command, w.err)
	}
	binary.BigEndian.PutUint16(w.b[start:], uint16(size))
	binary.BigEndian.PutUint32(w.b[start+4:], vrf)
	return w.b, nil
}

// appendBody writes the body and returns the VRF for the header.
func appendBody(w *writer, m Message) (vrf uint32) {
	switch m := m.(type) {
	case Hello:
		appendHello(w, m)
		return 0
	case Capabilities:
		appendCapabilities(w, m)
		return m.VRF
	case RouterIDRequest:
		appendRouterIDRequest(w, m)
		return m.VRF
	case RouterID:
		appendRouterID(w, m)
		return m.VRF
	case InterfaceRequest:
		return m.VRF
	case Interface:
		appendInterface(w, m)
		return m.VRF
	case Address:
		appendAddress(w, m)
		return m.VRF
	case Redistribute:
		appendRedistribute(w, m)
		return m.VRF
	case RouteAdd:
		appendRoute(w, m.Route)
		return m.VRF
	case RouteDelete:
		appendRoute(w, m.Route)
		return m.VRF
	case RedistributedRoute:
		appendRoute(w, m.Route)
		return m.VRF
	case RouteNotifyRequest:
		w.bool(m.Notify)
		return m.VRF
	case NotifyOwner:
		appendNotifyOwner(w, m)
		return m.VRF
	case NexthopTrack:
		appendNexthopTrack(w, m)
		return m.VRF
	case NexthopUpdate:
		appendNexthopUpdate(w, m)
		return m.VRF
	case VRF:
		appendVRF(w, m)
		return m.VRF
	case ErrorMessage:
		w.host32(uint32(m.Code))
		return m.VRF
	case Unknown:
		w.bytes(m.Body)
		return m.VRF
	default:
		w.fail("%T is not a message of this package", m)
		return 0
	}
}

// Decode reads one whole message, header included. Nothing in the result
// shares memory with b. The error is a *FrameError or a *MessageError; the
// latter wraps ErrShort or ErrTrailing where the length is the trouble.
func (d Dialect) Decode(b []byte) (Message, error) {
	if d.t == nil {
		return nil, &MessageError{Command: commandCount, Dialect: d, Err: errNoDialect}
	}
	if d.Early() {
		return d.decodeEarly(b)
	}
	if len(b) < HeaderSize {
		return nil, &MessageError{Command: commandCount, Dialect: d, Err: ErrShort}
	}
	if err := checkHeader(b); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(b))
	vrf := binary.BigEndian.Uint32(b[4:])
	number := binary.BigEndian.Uint16(b[8:])
	command, known := d.t.commands[number]
	if !known {
		command = commandCount
	}
	fail := func(err error) (Message, error) {
		return nil, &MessageError{Command: command, Dialect: d, Err: err}
	}
	switch {
	case len(b) < length:
		return fail(ErrShort)
	case len(b) > length:
		return fail(fmt.Errorf("%d %w after the message", len(b)-length, ErrTrailing))
	}
	if !known {
		return Unknown{VRF: vrf, Number: number, Body: clone(b[HeaderSize:])}, nil
	}
	r := &reader{b: b[HeaderSize:], d: d, l: &d.t.layout}
	m := decodeBody(r, command, vrf)
	if r.err != nil {
		return fail(r.err)
	}
	if len(r.b) > 0 {
		return fail(fmt.Errorf("%d %w", len(r.b), ErrTrailing))
	}
	return m, nil
}

func decodeBody(r *reader, command Command, vrf uint32) Message {
	switch command {
	case CommandHello:
		return decodeHello(r)
	case CommandCapabilities:
		return decodeCapabilities(r, vrf)
	case CommandRouterIDAdd:
		return decodeRouterIDRequest(r, vrf)
	case CommandRouterIDUpdate:
		return decodeRouterID(r, vrf)
	case CommandInterfaceAdd:
		if len(r.b) == 0 {
			return InterfaceRequest{VRF: vrf}
		}
		return decodeInterface(r, vrf, InterfaceAdded)
	case CommandInterfaceDelete:
		return decodeInterface(r, vrf, InterfaceDeleted)
	case CommandInterfaceUp:
		return decodeInterface(r, vrf, InterfaceUp)
	case CommandInterfaceDown:
		return decodeInterface(r, vrf, InterfaceDown)
	case CommandAddressAdd, CommandAddressDelete:
		return decodeAddress(r, vrf, command == CommandAddressDelete)
	case CommandRedistributeAdd, CommandRedistributeDelete:
		return decodeRedistribute(r, vrf, command == CommandRedistributeDelete)
	case CommandRouteAdd:
		return RouteAdd{decodeRoute(r, vrf)}
	case CommandRouteDelete:
		return RouteDelete{decodeRoute(r, vrf)}
	case CommandRedistributeRouteAdd, CommandRedistributeRouteDelete:
		return RedistributedRoute{command == CommandRedistributeRouteDelete, decodeRoute(r, vrf)}
	case CommandRouteNotifyRequest:
		return RouteNotifyRequest{VRF: vrf, Notify: r.bool()}
	case CommandNotifyOwner:
		return decodeNotifyOwner(r, vrf)
	case CommandNexthopRegister, CommandNexthopUnregister:
		return decodeNexthopTrack(r, vrf, command == CommandNexthopUnregister)
	case CommandNexthopUpdate:
		return decodeNexthopUpdate(r, vrf)
	case CommandVRFAdd, CommandVRFDelete:
		return decodeVRF(r, vrf, command == CommandVRFDelete)
	case CommandError:
		return ErrorMessage{VRF: vrf, Code: ErrorCode(r.host32())}
	}
	r.fail("no layout")
	return nil
}

// HELLO: zread_hello in zebra/zapi_msg.c.

func appendHello(w *writer, m Hello) {
	w.routeType(m.Type)
	w.u16(m.Instance)
	w.u32(m.Session)
	if w.l.helloNotify {
		w.bool(m.Notify)
	} else if m.Notify {
		w.fail("HELLO cannot ask for notes in this release; ROUTE_NOTIFY_REQUEST does")
	}
	w.bool(m.Synchronous)
}

func decodeHello(r *reader) (m Hello) {
	m.Type = r.routeType()
	m.Instance = r.u16()
	m.Session = r.u32()
	if r.l.helloNotify {
		m.Notify = r.bool()
	}
	m.Synchronous = r.bool()
	return m
}

// CAPABILITIES: zsend_capabilities in zebra/zapi_msg.c.

func appendCapabilities(w *writer, m Capabilities) {
	if w.l.capBackend8 {
		if m.Backend > 0xff {
			w.fail("VRF backend %d does not fit a byte", m.Backend)
		}
		w.u8(uint8(m.Backend))
	} else {
		w.u32(m.Backend)
	}
	w.bool(m.MPLS)
	w.u32(m.ECMP)
	w.u8(m.Role)
	if w.l.capV6V4 {
		w.bool(m.V6WithV4)
	}
	if w.l.capGR {
		w.bool(m.GracefulRestart)
	}
}

func decodeCapabilities(r *reader, vrf uint32) (m Capabilities) {
	m.VRF = vrf
	if r.l.capBackend8 {
		m.Backend = uint32(r.u8())
	} else {
		m.Backend = r.u32()
	}
	m.MPLS = r.bool()
	m.ECMP = r.u32()
	m.Role = r.u8()
	if r.l.capV6V4 {
		m.V6WithV4 = r.bool()
	}
	if r.l.capGR {
		m.GracefulRestart = r.bool()
	}
	return m
}

// ROUTER_ID_ADD: zread_router_id_add; UPDATE: zsend_router_id_update.

func appendRouterIDRequest(w *writer, m RouterIDRequest) { w.u16(uint16(m.AFI)) }

func decodeRouterIDRequest(r *reader, vrf uint32) RouterIDRequest {
	return RouterIDRequest{VRF: vrf, AFI: r.afi(r.u16())}
}

func appendRouterID(w *writer, m RouterID) {
	w.u8(w.family(m.Prefix.Addr()))
	w.addr(m.Prefix.Addr())
	w.plen(m.Prefix)
}

func decodeRouterID(r *reader, vrf uint32) RouterID {
	a := r.addr(uint16(r.u8()))
	return RouterID{VRF: vrf, Prefix: r.prefix(a, r.u8())}
}

// INTERFACE_*: zserv_encode_interface in zebra/zapi_msg.c. The fields up to
// bandwidth and link type are those of zebra_interface_if_set_value.

// maxHardwareAddr is INTERFACE_HWADDR_MAX (lib/if.h).
const maxHardwareAddr = 20

func appendInterface(w *writer, m Interface) {
	w.fixed(m.Name, w.l.ifNameSize)
	w.u32(m.Index)
	w.u8(m.Status)
	w.u64(m.Flags)
	w.u8(m.PTMEnable)
	w.u8(m.PTMStatus)
	w.u32(m.Metric)
	w.u32(m.Speed)
	if w.l.ifTxqlen {
		w.u32(m.TxQueueLen)
	}
	w.u32(m.MTU)
	w.u32(m.MTU6)
	w.u32(m.Bandwidth)
	w.u32(m.LinkIndex)
	if w.l.ifZifType {
		w.u32(m.ZebraType)
	}
	w.u32(m.LinkType)
	if len(m.HardwareAddr) > maxHardwareAddr {
		w.fail("hardware address of %d bytes, at most %d", len(m.HardwareAddr), maxHardwareAddr)
	}
	w.u32(uint32(len(m.HardwareAddr)))
	w.bytes(m.HardwareAddr)
	w.bool(m.LinkParams)
	if m.LinkParams {
		w.bytes(m.LinkParamBytes)
	}
}

func decodeInterface(r *reader, vrf uint32, event InterfaceEvent) (m Interface) {
	m.VRF, m.Event = vrf, event
	m.Name = r.fixed(r.l.ifNameSize)
	m.Index = r.u32()
	m.Status = r.u8()
	m.Flags = r.u64()
	m.PTMEnable = r.u8()
	m.PTMStatus = r.u8()
	m.Metric = r.u32()
	m.Speed = r.u32()
	if r.l.ifTxqlen {
		m.TxQueueLen = r.u32()
	}
	m.MTU = r.u32()
	m.MTU6 = r.u32()
	m.Bandwidth = r.u32()
	m.LinkIndex = r.u32()
	if r.l.ifZifType {
		m.ZebraType = r.u32()
	}
	m.LinkType = r.u32()
	n := r.u32()
	if n > maxHardwareAddr {
		r.fail("hardware address of %d bytes, at most %d", n, maxHardwareAddr)
		return m
	}
	m.HardwareAddr = net.HardwareAddr(r.bytes(int(n)))
	m.LinkParams = r.bool()
	if m.LinkParams {
		m.LinkParamBytes = r.bytes(len(r.b))
	}
	return m
}

// INTERFACE_ADDRESS_*: zsend_interface_address in zebra/zapi_msg.c.

func appendAddress(w *writer, m Address) {
	w.u32(m.Index)
	w.u8(m.Flags)
	w.u8(w.family(m.Prefix.Addr()))
	w.addr(m.Prefix.Addr())
	w.plen(m.Prefix)
	switch peer := m.Peer; {
	case !peer.IsValid() && m.Prefix.Addr().Is4():
		w.addr(netip.IPv4Unspecified())
	case !peer.IsValid():
		w.addr(netip.IPv6Unspecified())
	case peer.Is4() != m.Prefix.Addr().Is4():
		w.fail("peer %s is of another family than %s", peer, m.Prefix)
	default:
		w.addr(peer)
	}
}

func decodeAddress(r *reader, vrf uint32, deleted bool) (m Address) {
	m.VRF, m.Deleted = vrf, deleted
	m.Index = r.u32()
	m.Flags = r.u8()
	family := uint16(r.u8())
	a := r.addr(family)
	m.Prefix = r.prefix(a, r.u8())
	// "NULL destination pointers are encoded as all zeroes" (lib/zclient.c).
	if peer := r.addr(family); !peer.IsUnspecified() {
		m.Peer = peer
	}
	return m
}

// REDISTRIBUTE_*: zebra_redistribute_add in zebra/redistribute.c.

func appendRedistribute(w *writer, m Redistribute) {
	w.u8(uint8(m.AFI))
	w.routeType(m.Type)
	w.u16(m.Instance)
}

func decodeRedistribute(r *reader, vrf uint32, stop bool) (m Redistribute) {
	m.VRF, m.Stop = vrf, stop
	m.AFI = r.afi(uint16(r.u8()))
	m.Type = r.routeType()
	m.Instance = r.u16()
	return m
}

// VRF_*: zserv_encode_vrf in zebra/zapi_msg.c. struct vrf_data goes out as it
// lies in memory, so the table is in host order.

// vrfNameSize is VRF_NAMSIZ (lib/vrf.h).
const vrfNameSize = 36

func appendVRF(w *writer, m VRF) {
	w.host32(m.Table)
	w.fixed(m.NetNS, w.l.netnsNameSize)
	w.fixed(m.Name, vrfNameSize)
}

func decodeVRF(r *reader, vrf uint32, deleted bool) (m VRF) {
	m.VRF, m.Deleted = vrf, deleted
	m.Table = r.host32()
	m.NetNS = r.fixed(r.l.netnsNameSize)
	m.Name = r.fixed(vrfNameSize)
	return m
}
