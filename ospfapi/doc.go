// Package ospfapi is the client side of ospfd's OSPF-API: it originates opaque
// LSAs (RFC 5250) through FRR or Quagga on the same machine, and is told of the
// link-state database, reachable routers, interfaces and neighbours. It depends
// on nothing but the protocol.
//
// # Use
//
//	c, err := ospfapi.Dial(ctx, ospfapi.Config{OSPFReady: ..., Notify: ...})
//	...
//	g.Go(func() error { return c.Run(ctx) })
//	if err := c.WaitReady(ctx); err != nil { ... }
//	err = c.SyncAll(ctx, ospfapi.Filter{Types: ..., Origin: ospfapi.AnyOrigin})
//	err = c.Register(ctx, ospfapi.OpaqueArea, 222)
//	call, err := c.Start(ospfapi.Originate{Area: area, LSA: lsa})
//
// A Client is one connection. It never reconnects: when Run returns, ospfd has
// flushed the client's LSAs, or is dead, and the caller must Dial again, Sync
// again and originate again.
//
// # Two streams
//
// The client listens on port P+1, connects from port P to ospfd, and ospfd
// connects back. Requests and their replies travel on the first, the
// synchronous stream; everything else comes on the second. There is no order
// between the two: the echo of an LSA may come before or after the reply to its
// origination, and the reply to SYNC_LSDB comes before the LSAs. Within each
// stream order is kept, replies come in the order of requests, and
// Config.Notify sees the asynchronous stream in its order.
//
// # What is guaranteed
//
// The protocol has no defence against a careless client; each of these rules
// keeps ospfd alive, and has a test.
//
//   - No message has an empty body: it would abort ospfd, every release of it.
//   - No request is sent before Config.OSPFReady has agreed on this connection:
//     up to FRR 10.2 a REGISTER or SYNC crashes an ospfd without "router ospf".
//   - Each message is written by one write, and those under way always fit the
//     socket buffers; after a failed write the connection is closed at once.
//     Half a message would stop all of ospfd until the rest comes.
//   - The asynchronous stream is always drained, however slow Notify is: ospfd
//     would keep in memory, without bound, what is not read.
//   - An LSA to originate is at most MaxLSALen octets and a multiple of 4 long,
//     and its length field is right: older releases read beyond the message
//     otherwise, and neighbours drop what is not padded.
//   - Only loopback is spoken to, and only ospfd is accepted back.
//   - A request the server does not know gets no reply from it; it is never
//     waited for. The client probes what the server knows (Client.Dialect) and
//     refuses the rest with ErrUnknownRequest. Should one slip through, the next
//     reply ends it.
//
// # Slow consumers
//
// Between the reader and Notify is a queue of Config.QueueLimit octets. When it
// is full, all of it is thrown away and Overflow takes its place; what comes
// after is delivered behind that. So memory is bounded, the newest news
// survives, and the consumer knows: after Overflow it must SyncAll. A SyncAll
// under way then ends with ErrOverflow, its SyncDone is not Complete.
//
// # Reader rule
//
// ospfd notifies each update of an LSA as a delete of the old instance and an
// update with the new one. The client holds a delete until the next message, or
// for Config.HoldDelete, and drops it if that message is the update. Two matters
// remain to who mirrors the database: a delete whose LS sequence number is older
// than the mirrored copy is to be ignored, and an LSA flushed is told twice, when
// flushed and when it leaves the database. The originator of a flushed LSA is
// told only the second time, up to a minute later.
//
// # Releases
//
// FRR 8.4 to 10.7 speak the same. FRR 7.5 to 8.2 and Quagga know no
// SYNC_REACHABLE, SYNC_ISM, SYNC_NSM and SYNC_ROUTER_ID, and delete link-scope
// LSAs by area; FRR 8.3 lacks SYNC_ROUTER_ID and deletes like 7.5. They refuse
// originations (NotReady) without an opaque-capable neighbour up to 8.2, and
// silently lose the update of an LSA that is not theirs. See Dialect.
package ospfapi
