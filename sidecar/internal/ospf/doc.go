// Package ospf is the port to ospfd: it keeps a session with the OSPF-API,
// mirrors the link-state database, tells the machine what concerns it, and
// carries its LSAs to ospfd.
//
// Three goroutines live as long as Run. The session goroutine connects, checks
// that ospfd can be used, registers opaque type 222, and begins anew when the
// session ends. The loop goroutine owns the mirror and everything derived from
// it; whatever ospfd says passes through it in the order of the stream and
// becomes events in that order. The third waits for the answers to requests,
// which come on the other stream, in their order.
//
// Guarantees to the machine:
//
//   - OSPFUp comes before anything of a session, OSPFDown ends it; between an
//     OSPFDown and the next OSPFUp nothing of the database is reported.
//   - Everything the sync brought is reported before Synced.
//   - An LSA is reported when it is new or its body changed, not when it was
//     merely refreshed; LSAGone comes when it became MaxAge or left.
//   - With keys, what is given to ospfd is signed, and what is not signed as it
//     must be is LSARefused; bodies in events are without their signature.
//   - Reach follows DESIGN section 4: for area scope ospfd's reachable set (on
//     releases without one SPF over the mirror), for AS scope that, or a live
//     type 4 LSA of a reachable area border router.
//
// Do never blocks: ospfd takes requests pipelined, and the answers come back
// as events. What is given to Do while no session stands is dropped: the
// machine says everything anew in the next one.
package ospf
