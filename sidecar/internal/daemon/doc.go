// Package daemon puts srrd together: it reads the configuration and what an
// earlier life left, starts the ports and faces, and runs the owner loop.
//
// The owner loop is the only user of the machine, the builder of snapshots and
// the timers. It takes one event at a time from the inbox, which is bounded and
// on which ports block, hands it to machine.Node.Step, and gives the actions
// to the ports in their order; a port's Do never blocks. Timers belong to the
// loop too: a heap and one runtime timer, so that a TimerFired has its place
// among the other events without a goroutine of its own.
//
// Ports block on the inbox while the owner runs; what they say after its end is
// dropped, so that each of them can end. One goroutine reads and changes the
// configuration; what the ports look up in it is an immutable value.
//
// Shutdown is an event: the services are withdrawn and stopped in order, the
// machine says Exit, and only then the context of the ports ends. A second
// signal ends it at once.
package daemon
