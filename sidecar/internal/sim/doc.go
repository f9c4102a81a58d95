// Package sim runs a whole cluster in one goroutine: many machine.Nodes, one
// virtual clock, one queue of events, and around each node a pretence of its
// host: an ospfd with its database, a zebra, a kernel that holds addresses,
// and services that start, stop, fail and hang as told.
//
// What it keeps true of real ospfd: the own LSA is seen back 0.3 ms after it
// was given; LSAs of an unreachable router stay in the database; the death of
// srrd has its LSAs flushed and its routes withdrawn while the router stays
// reachable; the death of ospfd makes the router unreachable and flushes
// nothing, and on its return the LSAs of the former life are there first; one
// LSA is taken in at most once a second, and originated in place at most every
// five.
//
// Guarantees: events happen in the order (time, sequence). All chance comes
// from one generator that belongs to the Sim, so equal options and equal calls
// give an equal trace, byte for byte. After every event the invariants of
// check.go are examined; what breaks one is in Violations, and the simulation
// goes on. Nothing here is safe for concurrent use.
package sim
