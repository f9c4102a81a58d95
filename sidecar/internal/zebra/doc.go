// Package zebra is the port to zebra: it keeps the /32 routes of type
// TABLE[N] that ospfd announces with "redistribute table N" (DESIGN section 6,
// way local).
//
// Run asks which FRR it is, since ZAPI negotiates nothing, and then keeps the
// wanted routes in zebra through every loss of it (package zapi, Routes). What
// zebra says of a route becomes a RouteState, the standing of the session
// ZebraUp and ZebraDown. zebra withdraws the routes by itself when this
// process dies.
//
// Two goroutines live as long as Run: the loop owns all state and emits; the
// session goroutine asks for the release and runs the connection, whose news
// pass through the loop's queue. Do and Hear put into that queue and never
// block.
//
// # Quagga
//
// Quagga's zebra, and that of FRR before 4, has no routes of a table that its
// ospfd could redistribute, and notes nothing to a route's owner. There the port
// holds a session that only observes: it tells ZebraUp and ZebraDown, and
// answers what is asked of way local with RouteFailed and why.
//
// # A zebra that is gone
//
// An address of way alias needs a zebra, but no session with it. So where nobody
// listens on its socket, Config.Gone is asked every searchAgain whether there is one
// all the same, and ZebraDown says if there is none.
//
// # What can stay behind, and what is done about it
//
// ospfd keeps announcing a prefix if zebra died while it was announced and the
// route did not come back. It forgets it when it sees the route come and go;
// but it reconnects to zebra only 10 s after losing it, 60 s after the third
// failure (lib/zclient.c), and until then sees nothing. So while an address of
// ours that nobody wants is in the link-state database as our own
// announcement, its route is added and deleted again (zapi, Clear), some
// seconds apart and at most clearTries times. Before each the database is
// fetched anew, since of its own LSAs ospfd tells the end only a minute later,
// and a needless Clear would draw packets here for some milliseconds.
//
// A zebra that is killed leaves its routes in the kernel, and the next one may
// take what it finds for the kernel's own, which beats ours (FRR-FACTS II B2).
// When nobody listens on its socket any more, the /32 routes of our addresses
// that bear zebra's protocol number are removed from table main. A srrd that was
// killed together with zebra could not; there the next zebra, if it is FRR 10.3,
// prefers a route that nobody has. So when it says that another route beats ours,
// and the kernel has none, that one is dispelled before anybody is told
// (DispelPhantom); a service hears of it only if zebra goes on for a second. At
// the start zebra is asked which of our addresses it prefers such routes to, since
// they also keep this node from reaching a service that runs elsewhere.
package zebra
