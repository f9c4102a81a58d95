// Package bench measures what faults cost a client: real FRR in a lab of
// namespaces, one datagram a millisecond, each fault many times.
//
// A [Row] is a fault with what it needs: a variant of the topology, the services
// of the nodes, how it is done, how it is healed, and the goal it is to reach
// (DESIGN section 10). Rows that need the same lab share one. [Bench.Run] gives a
// [Result] for each row.
//
// # A run
//
// A run begins when everything is settled: all OSPF neighbours Full, all BFD
// sessions up, all nodes agree that one of them runs each service and all are fit
// to, and the client is answered by it. Then the fault is done, the node that has
// the service being the one it is done to, and the run waits until somebody else
// answers (or, for a fault that should not be noticed, the same one still does) and
// the nodes that are left agree. What the client lost until then is the fault's.
// Then it is healed; what the client lost from then on until everything is settled
// again is kept apart, as the return's. Nothing waits for a time, but for the short
// while in which the answers have to be steady.
//
// No run is dropped: one that does not heal counts with what the client lost until
// it was given up, is said to be an error, and the lab is built anew for the next.
//
// # Where the time goes
//
// All namespaces share one clock. The phases of a run are the moments at which the
// node that took over noticed, claimed, started and announced (its `show failover`),
// and at which the first datagram was sent that it answered. Beside them the
// kernel's routes on the routers are followed by netlink: when each router's next
// hop to the node that was lost went.
package bench
