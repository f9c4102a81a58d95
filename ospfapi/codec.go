package ospfapi

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
)

// Sizes and limits of the wire.
const (
	// HeaderLen is the length of the message header: version, type, body
	// length, sequence number (ospfd/ospf_api.h, apimsghdr).
	HeaderLen = 8
	// Version is the only protocol version there is.
	Version = 1
	// LSAHeaderLen is the length of an LSA header (RFC 2328 A.4.1).
	LSAHeaderLen = 20
	// MaxLSALen is the longest LSA the client originates, header included.
	// ospfd would take up to 1488 octets; from 1489 on it installs LSAs and
	// tells nobody, from 1541 on it closes the connection. 1400 also fits one
	// unfragmented packet on any common link.
	MaxLSALen = 1400
)

// Header is the header of a message.
type Header struct {
	Type MsgType
	Len  uint16 // of the body
	Seq  uint32
}

// DecodeHeader decodes the first HeaderLen octets of b.
func DecodeHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, fmt.Errorf("header of %d octets: %w", len(b), ErrTruncated)
	}
	if b[0] != Version {
		return Header{}, fmt.Errorf("version octet %d: %w", b[0], ErrVersion)
	}
	return Header{
		Type: MsgType(b[1]),
		Len:  binary.BigEndian.Uint16(b[2:]),
		Seq:  binary.BigEndian.Uint32(b[4:]),
	}, nil
}

// beginMessage appends a header with an open body length; endMessage closes it.
func beginMessage(dst []byte, t MsgType, seq uint32) []byte {
	dst = append(dst, Version, byte(t), 0, 0)
	return binary.BigEndian.AppendUint32(dst, seq)
}

// endMessage fills the body length of the message that begins at start.
func endMessage(dst []byte, start int) []byte {
	binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start-HeaderLen))
	return dst
}

// ReadMessage reads one message from r. The body is newly allocated and the
// caller's to keep. The length field has 16 bits, so no header can make it
// allocate more than 65,535 octets. io.EOF means a clean end between messages.
func ReadMessage(r io.Reader) (Header, []byte, error) {
	var hb [HeaderLen]byte
	if _, err := io.ReadFull(r, hb[:]); err != nil {
		return Header{}, nil, err
	}
	h, err := DecodeHeader(hb[:])
	if err != nil {
		return Header{}, nil, err
	}
	body := make([]byte, h.Len)
	if _, err := io.ReadFull(r, body); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return h, nil, fmt.Errorf("%v of %d octets: %w", h.Type, h.Len, err)
	}
	return h, body, nil
}

// SplitMessage takes one whole message off the front of b.
func SplitMessage(b []byte) (h Header, body, rest []byte, err error) {
	if h, err = DecodeHeader(b); err != nil {
		return Header{}, nil, nil, err
	}
	end := HeaderLen + int(h.Len)
	if len(b) < end {
		return Header{}, nil, nil, &DecodeError{h.Type, h.Seq,
			fmt.Errorf("%d octets of a body of %d: %w", len(b)-HeaderLen, h.Len, ErrTruncated)}
	}
	return h, b[HeaderLen:end], b[end:], nil
}

// A cursor reads a body field by field; the first shortage sticks, and every
// later read returns zero.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) take(n int) []byte {
	if c.err != nil {
		return nil
	}
	if len(c.b) < n {
		c.err = fmt.Errorf("%d octets where %d are due: %w", len(c.b), n, ErrTruncated)
		return nil
	}
	p := c.b[:n:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) skip(n int) { c.take(n) }

func (c *cursor) u8() uint8 {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if p := c.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if p := c.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (c *cursor) addr() netip.Addr {
	if p := c.take(4); p != nil {
		return netip.AddrFrom4([4]byte(p))
	}
	return netip.IPv4Unspecified()
}

func (c *cursor) addrs(n int) []netip.Addr {
	if c.err != nil || n == 0 {
		return nil
	}
	if len(c.b) < 4*n {
		c.err = fmt.Errorf("%d octets where %d addresses are due: %w", len(c.b), n, ErrTruncated)
		return nil
	}
	as := make([]netip.Addr, n)
	for i := range as {
		as[i] = c.addr()
	}
	return as
}

// lsa takes one LSA, whose own length field must be right.
func (c *cursor) lsa() []byte {
	if c.err != nil {
		return nil
	}
	if len(c.b) < LSAHeaderLen {
		c.err = fmt.Errorf("%d octets of an LSA header: %w", len(c.b), ErrTruncated)
		return nil
	}
	n := int(binary.BigEndian.Uint16(c.b[18:]))
	if n < LSAHeaderLen {
		c.err = fmt.Errorf("LSA of length %d is shorter than its header", n)
		return nil
	}
	return c.take(n)
}

// appendAddr appends an IPv4 address; the zero Addr, and anything that is not
// IPv4, goes out as 0.0.0.0, which on this wire means "does not apply".
func appendAddr(dst []byte, a netip.Addr) []byte {
	if !a.Is4() {
		return append(dst, 0, 0, 0, 0)
	}
	b := a.As4()
	return append(dst, b[:]...)
}
