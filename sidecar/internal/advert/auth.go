package advert

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// Authentication of what is flooded (DESIGN section 4): TLV 255 at the end of
// a body, the id of a key and a MAC.
//
//	u16 255, u16 36, u32 key id, 32 bytes HMAC-SHA-256
//
// The MAC is over everything before it, the key id included, and then over
// what the LSA header says that ospfd does not change: u32 LS type, u32 link
// state id, u32 advertising router. Age, sequence number and checksum are
// ospfd's and cannot be in it: a copy of a genuine LSA with another age or
// sequence number is genuine. What that leaves to an attacker, and what only
// OSPF's own authentication keeps from him, is in the README.
const (
	macLen = sha256.Size
	// AuthLen is how much room a signature takes in a body.
	AuthLen = 4 + 4 + macLen
	// MinSecret is the shortest secret, in bytes.
	MinSecret = 16
	// MaxSecret is the longest: longer ones are hashed down by HMAC anyway.
	MaxSecret = sha256.BlockSize
	// MaxContent is the largest body before it is signed. The room is kept
	// also where nothing is signed: what fits without keys fits with them.
	MaxContent = MaxBody - AuthLen
)

// Secret is what a cluster shares. It never shows itself: whatever prints,
// logs or encodes it writes "(secret)".
type Secret []byte

// Format implements fmt.Formatter, for every verb.
func (Secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) } // fmt's own writer does not fail

// MarshalText keeps it out of JSON and of structured logs.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

const redacted = "(secret)"

// Key is a secret under the id that is said with each signature.
type Key struct {
	ID     uint32
	Secret Secret
}

// Keyring is what a node signs with and what it takes. The zero value signs
// nothing and takes everything.
type Keyring struct {
	Send   Key   // ID 0: nothing is signed
	Accept []Key // signatures under these are checked; Send is one of them
	// Required: what nobody signed is refused. Without it only what is signed
	// wrongly is, for the time in which a cluster is given its keys.
	Required bool
}

// Equal reports whether two rings sign and take the same.
func (k Keyring) Equal(o Keyring) bool {
	same := func(a, b Key) bool { return a.ID == b.ID && hmac.Equal(a.Secret, b.Secret) }
	return same(k.Send, o.Send) && k.Required == o.Required && slices.EqualFunc(k.Accept, o.Accept, same)
}

// Origin is what the LSA's header says of whose it is.
type Origin struct {
	Type   uint8  // LS type: 9, 10 or 11
	ID     uint32 // link state id
	Router RouterID
}

// Refusal is why an LSA is not believed.
type Refusal uint8

// The refusals.
const (
	Taken      Refusal = iota
	Unsigned           // no signature where one is required
	UnknownKey         // signed under an id that is not in the ring
	WrongMAC           // signed wrongly, or not for this LSA
	// Replayed: genuine, and older than what was heard before of the same
	// thing, which is no longer there.
	Replayed
)

// Refusals are all of them, in the order they are listed in.
var Refusals = []Refusal{Unsigned, UnknownKey, WrongMAC, Replayed}

func (r Refusal) String() string {
	switch r {
	case Taken:
		return "taken"
	case Unsigned:
		return "unsigned"
	case UnknownKey:
		return "unknown key"
	case WrongMAC:
		return "wrong signature"
	case Replayed:
		return "replayed"
	}
	return fmt.Sprintf("refusal(%d)", uint8(r))
}

// MarshalText gives the refusal's words.
func (r Refusal) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Why is the refusal in a sentence.
func (r Refusal) Why() string {
	switch r {
	case Taken:
		return "it is taken"
	case Unsigned:
		return "it is not signed, and authentication is required here"
	case UnknownKey:
		return "it is signed under a key id this node does not have"
	case WrongMAC:
		return "its signature is wrong: another secret, or a copy of another LSA"
	case Replayed:
		return "it is older than what was heard last of the same router: a replay, or a copy some router kept"
	}
	return r.String()
}

// Sign appends the body's signature to it, if there is a key to sign with.
func (k Keyring) Sign(body []byte, o Origin) []byte {
	if k.Send.ID == 0 {
		return body
	}
	body = slices.Grow(slices.Clip(body), AuthLen)
	body = binary.BigEndian.AppendUint16(body, uint16(tlvAuthentication))
	body = binary.BigEndian.AppendUint16(body, AuthLen-4)
	body = binary.BigEndian.AppendUint32(body, k.Send.ID)
	return append(body, k.Send.mac(body, o)...)
}

func (k Key) mac(signed []byte, o Origin) []byte {
	h := hmac.New(sha256.New, k.Secret)
	_, _ = h.Write(signed) // a hash does not fail
	var header [12]byte
	binary.BigEndian.PutUint32(header[0:], uint32(o.Type))
	binary.BigEndian.PutUint32(header[4:], o.ID)
	binary.BigEndian.PutUint32(header[8:], uint32(o.Router))
	_, _ = h.Write(header[:])
	return h.Sum(nil)
}

// Open checks the signature of a body as it was flooded, and gives what was
// signed. Without keys it gives that too, unchecked.
func (k Keyring) Open(body []byte, o Origin) ([]byte, Refusal) {
	id, content, mac := split(body)
	switch {
	case len(k.Accept) == 0:
		return content, Taken
	case mac == nil && k.Required:
		return nil, Unsigned
	case mac == nil:
		return content, Taken
	}
	i := slices.IndexFunc(k.Accept, func(a Key) bool { return a.ID == id })
	switch {
	case i < 0:
		return nil, UnknownKey
	case !hmac.Equal(mac, k.Accept[i].mac(body[:len(body)-macLen], o)):
		return nil, WrongMAC
	}
	return content, Taken
}

// SignedUnder is the key id of a body's signature, 0 if it has none. Nothing
// is checked.
func SignedUnder(body []byte) uint32 {
	id, _, _ := split(body)
	return id
}

// split takes a signature off; mac is nil where there is none. It walks over
// the TLVs: what merely looks like a signature inside another one's value is
// none.
func split(body []byte) (id uint32, content, mac []byte) {
	sign := len(body) - AuthLen
	for at := 4; at <= sign; {
		t, n := tlv(binary.BigEndian.Uint16(body[at:])), int(binary.BigEndian.Uint16(body[at+2:]))
		if at == sign && t == tlvAuthentication && n == AuthLen-4 {
			return binary.BigEndian.Uint32(body[at+4:]), body[:at:at], body[at+8:]
		}
		at += 4 + (n+3)&^3
	}
	return 0, body, nil
}
