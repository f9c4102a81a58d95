// Package chaos breaks a cluster at random, by a seed, and then audits what it
// did meanwhile.
//
// A run is a row of rounds. In each, some faults begin within a few seconds,
// overlap, and are mended again ([Plan] says which, and is a function of the
// seed alone). Then the cluster has [Limits.Settle] to be whole: every neighbour Full,
// every node present, every service on one node that all agree on, the client
// answered. What is not whole then is a finding, and what is left over too.
//
// Meanwhile a client writes numbered records through the service address of
// `ledger`, two probes watch `web` and `shop`, and every primitive that changes
// something writes to the journal of its node. [Audit] reads all of it and is a
// pure function, so that each of its rules is tested with a journal that breaks
// it.
//
// [Soak] is another use of the same lab: for an hour it disturbs routing, nodes
// and services one at a time, with changes, questions, reloads and strangers' LSAs
// beside that, ends no srrd, and samples what each takes. [SoakAudit] explains
// every lost datagram and every wait of a client by what was on just then, and
// [Growths] tells what grows from a collector's saw teeth.
//
// The rules of safety are strict. Those of time are generous, since a machine
// that runs a lab of eight hosts beside a compiler is late by seconds; what was
// measured is in the report.
package chaos
