// Package advert is what a node says of itself and of one service: the values
// and the form they have inside an opaque LSA of type 222.
//
// The body of such an LSA is
//
//	u8 version (1), u8 kind (1 daemon, 2 service), u16 flags, TLVs
//	TLV: u16 type, u16 length, value, zero padding to a multiple of 4
//
// in network byte order. The TLVs are written in ascending order of their
// numbers, so that equal values have equal bytes. Readers ignore numbers they
// do not know; numbers are never given a second meaning.
//
// Guarantees: Append and Decode are pure functions without state. Decode never
// panics, never allocates more than a small multiple of its input, and returns
// either a whole value or an error that names the offending TLV; what it
// returns, Append accepts, unless the body was within 24 bytes of MaxContent, or
// over it, and lacked the TLVs that Append always writes. Keyring signs and checks
// bodies; a Secret never shows itself. The package imports nothing of ours and
// reads no clock.
package advert
