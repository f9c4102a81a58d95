package lsa

// The checksum of an LSA is the Fletcher checksum of ISO 8473 (RFC 905 annex
// B), over the whole LSA except its age field (RFC 2328 section 12.1.7).
const (
	ageLen      = 2  // bytes at the front that the checksum leaves out
	checksumOff = 16 // where the checksum stands in the LSA
)

// fletcherRun is how many bytes can be summed before c1 could overflow 32
// bits: n*254 + 255*n*(n+1)/2 with n = 5802 is just under 1<<32.
const fletcherRun = 5802

// sums runs the two Fletcher sums modulo 255 over b.
func sums(b []byte) (c0, c1 uint32) {
	for len(b) > 0 {
		n := min(len(b), fletcherRun)
		for _, x := range b[:n] {
			c0 += uint32(x)
			c1 += c0
		}
		c0, c1 = c0%255, c1%255
		b = b[n:]
	}
	return c0, c1
}

// Checksum computes the checksum that a whole LSA in wire form should carry,
// whatever its checksum field says now. It is never zero. An LSA shorter than
// its header has none: 0.
func Checksum(b []byte) Sum {
	if len(b) < HeaderLen {
		return 0
	}
	var zero [2]byte
	c0, c1 := sums(b[ageLen:checksumOff])
	// Continue over two zeros instead of the field, then over the rest.
	c1 = (c1 + uint32(len(zero))*c0) % 255
	rest := b[checksumOff+2:]
	r0, r1 := sums(rest)
	c1 = (c1 + uint32(len(rest)%255)*c0 + r1) % 255
	c0 = (c0 + r0) % 255

	// The two check bytes make both sums zero (RFC 905 annex B.3). 0 and 255
	// are the same number here; 255 is written, so that 0 can mean "none".
	n := uint32(len(rest)+1) % 255 // bytes from the first check byte to the end, less one
	x := (n*c0 + 255 - c1) % 255
	y := (2*255 - c0 - x) % 255
	if x == 0 {
		x = 255
	}
	if y == 0 {
		y = 255
	}
	return Sum(x<<8 | y)
}

// VerifyChecksum reports whether a whole LSA in wire form carries the right
// checksum. A checksum of zero means "not computed", which OSPF does not
// allow (RFC 2328 section 13 step 1).
func VerifyChecksum(b []byte) bool {
	if len(b) < HeaderLen || b[checksumOff] == 0 && b[checksumOff+1] == 0 {
		return false
	}
	c0, c1 := sums(b[ageLen:])
	return c0 == 0 && c1 == 0
}
