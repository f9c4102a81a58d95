package lsa

import "cmp"

// Compare tells which of two instances of one LSA is the more recent (RFC
// 2328 section 13.1): 1 if a is, -1 if b is, 0 if they are the same instance.
// It answers for any two headers and Compare(a, b) == -Compare(b, a), but it
// is not transitive where only ages differ: 0, 800 and 1600 seconds are
// pairwise the same, the same, and different. So do not sort by it.
//
// The caller sees to it that type, link state ID, advertising router and
// flooding scope are the same; Compare does not look at them.
func Compare(a, b Header) int {
	if c := cmp.Compare(a.Seq, b.Seq); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Checksum, b.Checksum); c != 0 {
		return c
	}
	// The DoNotAge bits are masked off before ages are compared (RFC 1793
	// section 2.2); Header keeps them apart anyway.
	switch am, bm := a.IsMaxAge(), b.IsMaxAge(); {
	case am && bm:
		return 0
	case am:
		return 1
	case bm:
		return -1
	}
	if d := int(a.Age) - int(b.Age); d > MaxAgeDiff || -d > MaxAgeDiff {
		return -cmp.Compare(a.Age, b.Age)
	}
	return 0
}

// Newer reports whether a is a more recent instance than b; see Compare.
func Newer(a, b Header) bool { return Compare(a, b) > 0 }
