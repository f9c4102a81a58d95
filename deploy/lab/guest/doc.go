// Package guest boots a Debian machine in QEMU's emulation and tries in it what
// no network namespace can show: srrd as a unit of a systemd that is PID 1, on
// Debian's own kernel, beside FRR from its package and a systemd-networkd that
// manages the interfaces.
//
// deploy/install/guest-root makes the machine's disk, which is never written to:
// every run begins with the same one. What `make install` would install comes on a
// second disk, with the files of this package and an [Agent], and is installed as
// on any machine that runs. The neighbour is an FRR in a namespace of the machine.
//
// # Time
//
// The processor is emulated and its clock counts instructions (-icount), so a host
// that does other things makes the machine slower and not its daemons late: all
// times here are the machine's own. Waits are for conditions, asked in the machine.
package guest
