// Package graph computes paths and reachability over a snapshot of the
// mirrored link-state database, by RFC 2328 section 16.
//
// # What it is for
//
// The map and the looking glass ("which way does R send packets for X?"), and
// the verdict of who is reachable where ospfd does not tell (FRR 7.5, Quagga).
// Elsewhere ospfd's own reachable set is better: an LSA of more than 1488
// bytes (a router LSA of over 121 links) is never delivered to a mirror, and
// the router then is missing here.
//
// # What it does
//
// New reads a snapshot once. LSAs at MaxAge, damaged pairs (a link that is
// not answered by the other side, section 16.1 step 2b) and metrics of
// LSInfinity are left out. SPF is computed per root and area and kept; a
// Graph therefore belongs to one goroutine.
//
// Route answers with intra-area, inter-area and external routes in that
// order of preference (section 11), as RFC1583Compatibility "disabled", the
// default of FRR, wants it. Beyond an area border router it goes on in that
// router's areas as far as the mirror has them. Not done: shortcuts through
// transit areas of virtual links (section 16.3) — virtual links themselves
// are followed —, types of service, and the removal of a type 5 by a better
// equal one of another ASBR (section 12.4.4.1).
//
// # Ties
//
// Nothing depends on the order in which LSAs came. Among vertices at one
// distance networks are taken first (section 16.1 step 3), then the lower
// number. Equal-cost parents are all kept, in ascending order.
package graph
