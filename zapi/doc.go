// Package zapi speaks ZAPI, the protocol between FRR's zebra and its clients,
// from the client's side: it announces routes, learns the router-id, the
// interfaces and their addresses, hears redistributed routes and tracks
// nexthops. It imports nothing of this project and can be used alone.
//
// # Dialects
//
// ZAPI negotiates nothing. The version byte in the header is 6 from FRR 6 to
// FRR 10.7, while message numbers, route type numbers and layouts changed many
// times under it; on FRR 10 the number that used to delete a route adds one. So
// the release of the zebra at the other end has to be known before the first
// byte is sent (ask its VTY: "show version"), and is given once as a [Dialect],
// an immutable value that [DialectFor] finds by the release's name. A release
// this package does not know is an error, not a guess.
//
// [Dialect.Append] and [Dialect.Decode] turn messages into bytes and back. All
// differences between releases are data in the dialect; no encoder compares
// versions. Decode checks every length and never panics. A command this package
// has no layout for decodes to [Unknown].
//
// # Quagga
//
// The ZAPI of Quagga (versions 2 and 3) and of FRR 2.0 and 3.0 (4) says its
// version in the header, and zebra closes a connection of another one. Their
// dialects ([EarlyDialects]) put routes and nexthops through gobgp's pkg/zebra,
// behind a check of every length, since that does not look. There zebra answers
// HELLO with nothing and notes nothing to the owner of a route: [Dial] waits for
// the router-id, and [Routes] is no use. A client without a Proto observes.
//
// # One connection
//
// [Dial] connects, says HELLO and waits for zebra's CAPABILITIES before
// anything else is sent. Since HELLO has another number in FRR 10 than before,
// a zebra of the other generation never answers, and no route is sent to it.
// [Client.Run] reads until the connection ends and hands each message to
// Config.Notify, in the order of arrival and from the goroutine that called
// Run. zebra queues without bound for a client that does not read, so Notify
// must not block. Send methods may be called from any goroutine; each message is
// one write.
//
// zebra sends some events twice (an interface down, a redistributed route
// deleted, a nexthop's first state): a consumer must take every event as "this
// is now so", never as a count.
//
// # Routes that live as long as their owner
//
// zebra deletes all routes of a (type, instance) pair when the client whose
// HELLO carried that pair disconnects. So the pair must not be one that a
// daemon of FRR uses; type TABLE with an instance N of one's own is free, and
// ospfd announces such routes with "redistribute table N". [Routes] keeps a
// wanted set of them: it connects, adds, hears what became of each prefix
// (ROUTE_NOTIFY_OWNER), reconnects when zebra went away and adds all again, and
// clears what ospfd still announces though nobody wants it any more.
//
// An address X/32 on an interface gives zebra a connected route of distance 0
// which beats the TABLE route: the owner is told [NoteBetterAdminWon] and the
// prefix is not announced. A kernel local route (table local) does not.
package zapi
