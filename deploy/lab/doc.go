// Package lab builds networks of namespaces with real FRR in them, breaks
// them on purpose, and measures what a client sees meanwhile.
//
// A topology (YAML, see README.md) names routers, hosts, links and LANs. [Up]
// makes of it:
//
//   - one network namespace per router and host, named LAB-HOST, with zebra,
//     bfdd and ospfd -a (and mgmtd where the FRR release has one) and any other
//     daemon the topology names, typically srrd;
//   - one namespace LAB-wire that holds all cables. A cable is a bridge with
//     a veth to each member, also for a point-to-point link. Every fault is
//     put there, on the member's port, so that a host never sees how it is
//     done: a silent cut takes the port off the bridge and both ends keep
//     their carrier, a carrier cut takes the port down, loss is a BPF filter
//     on the port, delay is a relay between port and bridge.
//
// Nothing is created in the namespace of the caller.
//
// # Guarantees
//
// Up returns when every condition of [Lab.WaitConverged] holds, or with an error
// that names what was missing and where; a failed Up has removed what it made
// (unless Options.KeepFailed). Waits are for conditions, never for times.
//
// A lab's state lives in BASE/NAME (default /run/srrlab/NAME), is locked while
// it is changed, and is written before the thing it speaks of is created, so
// the next Up of the same name, Down, or Prune finds all leftovers of a crashed
// process. Processes are recognised by pid and start time, or by the namespace
// they are in, never by pid alone. Several labs can run side by side; a lab can
// be used by several processes at once ([Open]).
//
// # Threads
//
// All methods of Lab may be called from several goroutines. Entering a
// namespace locks an OS thread for the duration of the call; no goroutine is
// ever left in a foreign namespace.
//
// The package knows srrd and srrsh only as binaries ([Binaries]) that get a
// configuration file; it imports nothing of them.
package lab
