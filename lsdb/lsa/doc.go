// Package lsa holds OSPFv2 link state advertisements as plain values and
// their wire form: types 1-5, 7 and the opaque types 9-11.
//
// Decode and LSA.Append are inverse to each other for every LSA a router may
// send: Append(Decode(b)) gives b again, byte for byte, provided that b keeps
// the "must be zero" fields zero. Decode takes exactly one LSA and trusts
// nothing: every truncation, a length that does not fit, a count that cannot
// fit into the length, a mask with holes and a wrong checksum are errors, no
// input makes it panic, and it never allocates more than a small multiple of
// the bytes it was given. A decoded LSA shares no memory with its input.
//
// LSAs are compared by Compare, which is RFC 2328 section 13.1.
//
// The package does no I/O, reads no clock and keeps no state; everything in
// it may be called from any goroutine. Names are those of RFC 2328
// (appendix A.4), RFC 3101 (NSSA) and RFC 5250 (opaque).
package lsa
