package zapi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	gobgplog "github.com/osrg/gobgp/v3/pkg/log"
	"github.com/osrg/gobgp/v3/pkg/zebra"
)

// ZAPI 2 to 4: Quagga, and FRR 2.0 and 3.0.
//
// Headers, routes and registrations of nexthops go through gobgp's pkg/zebra, as
// far as that has them. Interfaces, addresses and the router-id are read here:
// its types for them show nothing, and for some releases it takes bytes that are
// not there (the link parameters of Quagga 1.0, the speed of FRR 2.0). Its
// decoders do not look how much there is, so nothing reaches them whose every
// length was not checked before.

// maxEarlyMessage is ZEBRA_MAX_PACKET_SIZ (lib/zclient.h), of both ends.
const maxEarlyMessage = 4096

// HeaderSize is the length of a header.
func (d Dialect) HeaderSize() int {
	if d.Early() {
		return int(zebra.HeaderSize(d.t.early.version))
	}
	return HeaderSize
}

// frame checks a header and returns the length of its message.
func (d Dialect) frame(b []byte) (int, error) {
	if !d.Early() {
		return int(binary.BigEndian.Uint16(b)), checkHeader(b)
	}
	e := d.t.early
	f := &FrameError{Length: binary.BigEndian.Uint16(b), Marker: b[2], Version: b[3], Dialect: d}
	if f.Marker != e.marker() || f.Version != e.version || int(f.Length) < d.HeaderSize() || f.Length > maxEarlyMessage {
		return 0, f
	}
	return int(f.Length), nil
}

// ReadMessage is as the function of that name, in any dialect.
func (d Dialect) ReadMessage(r io.Reader, buf []byte) ([]byte, error) {
	if !d.Early() {
		return ReadMessage(r, buf)
	}
	if cap(buf) < maxEarlyMessage {
		buf = make([]byte, maxEarlyMessage)
	}
	size := d.HeaderSize()
	buf = buf[:size]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, err
	}
	length, err := d.frame(buf)
	if err != nil {
		return nil, err
	}
	buf = buf[:length]
	if _, err := io.ReadFull(r, buf[size:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf, nil
}

// appendEarly is Append for ZAPI 2 to 4.
func (d Dialect) appendEarly(b []byte, m Message) ([]byte, error) {
	command := m.Command()
	fail := func(err error) ([]byte, error) {
		return b, &MessageError{Command: command, Dialect: d, Err: err}
	}
	number, known := d.Number(command)
	if u, unknown := m.(Unknown); unknown {
		number, known = u.Number, true
	}
	if !known {
		return fail(errNoCommand)
	}
	w := &writer{d: d, l: &d.t.layout}
	body, vrf := d.earlyBody(w, m)
	if vrf > 0xffff || vrf != 0 && d.t.early.version == 2 {
		w.fail("VRF %d does not fit the header", vrf)
	}
	if w.err != nil {
		return fail(w.err)
	}
	z := zebra.Message{Body: body, Header: zebra.Header{
		Marker: d.t.early.marker(), Version: d.t.early.version, VrfID: vrf, Command: zebra.APIType(number)}}
	whole, err := z.Serialize(d.t.early.software)
	if err != nil {
		return fail(err)
	}
	if _, ok := body.(*zebra.IPRouteBody); ok {
		d.earlyRouteOwner(whole, m)
	}
	whole = append(whole, w.b...)
	if len(whole) > maxEarlyMessage {
		return fail(fmt.Errorf("message of %d bytes is longer than the %d zebra takes", len(whole), maxEarlyMessage))
	}
	binary.BigEndian.PutUint16(whole, uint16(len(whole)))
	return append(b, whole...), nil
}

// earlyBody is what follows the header: gobgp's body, or what w was given.
func (d Dialect) earlyBody(w *writer, m Message) (body zebra.Body, vrf uint32) {
	e := d.t.early
	switch m := m.(type) {
	case Hello: // zread_hello
		w.routeType(m.Type)
		if e.version > 3 {
			w.u16(m.Instance)
		} else if m.Instance != 0 {
			w.fail("HELLO has no instance in this release")
		}
		if m.Notify || m.Synchronous || m.Session != 0 {
			w.fail("HELLO asks for nothing in this release")
		}
		return nil, 0
	case RouterIDRequest: // zread_router_id_add
		if m.AFI != AFIIPv4 {
			w.fail("the router-id is of IPv4 in this release")
		}
		return nil, m.VRF
	case InterfaceRequest:
		return nil, m.VRF
	case Redistribute: // zebra_redistribute_add in zebra/redistribute.c
		if e.version > 3 {
			appendRedistribute(w, m)
			return nil, m.VRF
		}
		w.routeType(m.Type)
		if m.Instance != 0 || m.AFI != AFIIPv4 {
			w.fail("a redistribution has neither instance nor address family in this release")
		}
		return nil, m.VRF
	case RouteAdd:
		return earlyRoute(w, m.Route), m.VRF
	case RouteDelete:
		return earlyRoute(w, m.Route), m.VRF
	case NexthopTrack:
		return earlyNexthopTrack(w, m), m.VRF
	case RouterID:
		appendRouterID(w, m)
		return nil, m.VRF
	case Interface:
		appendEarlyInterface(w, e, m)
		return nil, m.VRF
	case Address:
		appendAddress(w, m)
		return nil, m.VRF
	case RedistributedRoute:
		appendEarlyRedistributed(w, e, m.Route)
		return nil, m.VRF
	case NexthopUpdate:
		appendEarlyNexthopUpdate(w, m)
		return nil, m.VRF
	case Unknown:
		w.bytes(m.Body)
		return nil, m.VRF
	}
	w.fail("%T is no message of ZAPI %d", m, e.version)
	return nil, 0
}

// decodeEarly is Decode for ZAPI 2 to 4: what zebra says, and of what a client
// says all but its routes.
func (d Dialect) decodeEarly(b []byte) (Message, error) {
	e := d.t.early
	size := d.HeaderSize()
	if len(b) < size {
		return nil, &MessageError{Command: commandCount, Dialect: d, Err: ErrShort}
	}
	length, err := d.frame(b)
	if err != nil {
		return nil, err
	}
	vrf := uint32(0)
	if e.version > 2 {
		vrf = uint32(binary.BigEndian.Uint16(b[4:]))
	}
	number := binary.BigEndian.Uint16(b[size-2:])
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
	case !known:
		return Unknown{VRF: vrf, Number: number, Body: clone(b[size:])}, nil
	}
	r := &reader{b: b[size:], d: d, l: &d.t.layout}
	m := d.decodeEarlyBody(r, command, vrf, b)
	if r.err != nil {
		return fail(r.err)
	}
	if len(r.b) > 0 {
		return fail(fmt.Errorf("%d %w", len(r.b), ErrTrailing))
	}
	return m, nil
}

func (d Dialect) decodeEarlyBody(r *reader, command Command, vrf uint32, whole []byte) Message {
	e := d.t.early
	switch command {
	case CommandHello:
		m := Hello{Type: r.routeType()}
		if e.version > 3 {
			m.Instance = r.u16()
		}
		return m
	case CommandRouterIDAdd:
		return RouterIDRequest{VRF: vrf, AFI: AFIIPv4}
	case CommandRouterIDUpdate:
		return decodeRouterID(r, vrf)
	case CommandInterfaceAdd:
		if len(r.b) == 0 {
			return InterfaceRequest{VRF: vrf}
		}
		return decodeEarlyInterface(r, e, vrf, InterfaceAdded)
	case CommandInterfaceDelete:
		return decodeEarlyInterface(r, e, vrf, InterfaceDeleted)
	case CommandInterfaceUp:
		return decodeEarlyInterface(r, e, vrf, InterfaceUp)
	case CommandInterfaceDown:
		return decodeEarlyInterface(r, e, vrf, InterfaceDown)
	case CommandAddressAdd, CommandAddressDelete:
		return decodeAddress(r, vrf, command == CommandAddressDelete)
	case CommandRedistributeAdd, CommandRedistributeDelete:
		if e.version > 3 {
			return decodeRedistribute(r, vrf, command == CommandRedistributeDelete)
		}
		return Redistribute{VRF: vrf, Stop: command == CommandRedistributeDelete, AFI: AFIIPv4, Type: r.routeType()}
	case CommandRedistributeRouteAdd, CommandRedistributeRouteDelete:
		return RedistributedRoute{command == CommandRedistributeRouteDelete, d.decodeEarlyRoute(r, vrf, whole)}
	case CommandNexthopUpdate:
		return d.decodeEarlyNexthopUpdate(r, vrf, whole)
	case CommandNexthopRegister, CommandNexthopUnregister:
		m := NexthopTrack{VRF: vrf, Stop: command == CommandNexthopUnregister, Connected: r.bool()}
		family := r.u16()
		plen := r.u8()
		m.Prefix = r.prefix(r.addr(family), plen)
		return m
	}
	r.fail("no layout")
	return nil
}

// gobgpReads has gobgp read a message whose lengths were checked.
func (d Dialect) gobgpReads(r *reader, whole []byte) zebra.Body {
	m, err := zebra.ReceiveSingleMsg(silence{}, &inMemory{r: bytes.NewReader(whole)}, d.t.early.version, d.t.early.software, "")
	switch {
	case err != nil:
		r.fail("gobgp: %v", err)
	case m == nil: // it logged why
		r.fail("gobgp does not read it")
	default:
		return m.Body
	}
	return nil
}

// inMemory is the connection gobgp reads from; it does nothing else with it.
type inMemory struct {
	net.Conn
	r *bytes.Reader
}

func (c *inMemory) Read(b []byte) (int, error) { return c.r.Read(b) }

// silence is a logger that says nothing and, above all, ends nothing: errors come
// back as such.
type silence struct{}

func (silence) Panic(string, gobgplog.Fields) {}
func (silence) Fatal(string, gobgplog.Fields) {}
func (silence) Error(string, gobgplog.Fields) {}
func (silence) Warn(string, gobgplog.Fields)  {}
func (silence) Info(string, gobgplog.Fields)  {}
func (silence) Debug(string, gobgplog.Fields) {}
func (silence) SetLevel(gobgplog.LogLevel)    {}
func (silence) GetLevel() gobgplog.LogLevel   { return gobgplog.PanicLevel }

// greetEarly says HELLO if the client is to announce, and asks for the router-id:
// zebra answers that at once, whatever it is, and closes the connection if the
// header is of another version than its own, before it looks at the number
// (zebra_client_read in zebra/zserv.c).
func (c *Client) greetEarly() error {
	if c.cfg.Proto != RouteSystem {
		if err := c.Send(Hello{Type: c.cfg.Proto, Instance: c.cfg.Instance}); err != nil {
			return err
		}
	}
	if err := c.RequestRouterID(); err != nil {
		return err
	}
	for {
		b, err := c.cfg.Dialect.ReadMessage(c.r, nil)
		if err != nil {
			return err
		}
		m, err := c.cfg.Dialect.Decode(b)
		if err != nil {
			return err
		}
		c.early = append(c.early, m)
		if _, answered := m.(RouterID); answered {
			return nil
		}
	}
}
