// Package primitive is the port for service primitives: it runs the targets of
// a service's Makefile and says how they ended (DESIGN section 7).
//
// Do takes machine.RunPrimitive, CancelPrimitive, WriteMark and Watch. Of the
// first three, what concerns one service is done in the order given; services do not wait for each other.
// Every RunPrimitive is answered by exactly one machine.PrimitiveDone, except
// when Run's context ends first. At most QueueLength runs of a service wait;
// more are answered as unknown, and from twice that on only logged. Do never
// blocks.
//
// # A run
//
//	make -s -C DIR TARGET
//
// in a process group of its own, standard input empty, with the SRRD_
// variables and a plain PATH, HOME and LANG; nothing else of srrd's
// environment. In SRRD_FAILURE, which may hold what a foreign program printed,
// what means something to make or a shell is replaced by _.
//
// make itself takes some milliseconds, which are part of every failover. So a
// recipe that it could only hand to the shell as it is written is handed to the
// shell without it, and one of nothing but `:` runs nothing; see plain.go for which
// those are and how that is known. Environment, process group, timeout and results
// are the same. What is not certain is left to make.
//
// The run ends when make ends, whatever its children do. At its timeout, or
// when it is cancelled, the group gets SIGTERM, and SIGKILL after Grace or when
// make has gone. A process that leaves the group (setsid) is not followed: that
// is how start leaves a daemon behind that no timeout of the same run can hit.
// When srrd itself is stopped by systemd, its unit must say KillMode=process,
// or all services go with it.
//
// At most Config.MaxChecks check and status primitives run at one time, over
// all services; the others wait in the order they came, without their timeout
// running. No other primitive waits for them: one of the same service follows as
// soon as the check before it is cancelled.
//
// What changes something (all but check and status) is noted under RunDir/runs
// while it runs, by process number and start time. When srrd was killed
// meanwhile, it goes on: the next start of srrd ends it first (EndOrphans), with
// its group, so that no start ends after its service was found not to run. Before
// its fork is noted that it is about to begin, with a name that its processes bear
// in the environment as SRRD_RUN: a srrd that was killed before it knew the number
// leaves that to find it by.
//
// # Watches
//
// After Watch{On: true} the end of the service's process is told by one
// machine.ProcessEnded, well within 5 ms, until Watch{On: false}; every
// Watch{On: true} begins anew. With a pid file that is the process it names,
// held by a pidfd (pidfd_open(2), Linux 5.3), so its number cannot come to mean
// another one. The file may come late: see WatchPatience; if it names no process
// that runs by then, that is told as the end. A process that began after the
// file was written is a stranger that got an old number (or the clock was set):
// nothing is told of it, a warning is logged, and the file is looked at again
// every second. A file that names another process when the watched one ends is
// followed on.
//
// With a systemd unit it is the moment the unit is no longer active, reloading
// or refreshing, by the signals of systemd on the system bus. A unit should not
// restart itself (Restart=): srrd decides that. Without the bus nothing is told
// and a warning logged; it is tried again every second.
//
// # What it said
//
// Output goes to a file under RunDir/output, not to a pipe, because of what
// `start` leaves running. A daemon that was started without redirecting its
// output holds that output for as long as it lives. With a pipe it would get
// SIGPIPE when srrd is replaced or killed, or stop dead when nobody reads; and
// services must survive srrd. With a file none of this happens, and the end of
// make is the end of the run, since there is no end of file to wait for.
//
// The file is bounded from outside: while make runs all but the first 4 KiB and
// the last 64 KiB is punched out of it every 20 ms, and what is written after
// the run is cut off at 256 KiB every second, also by the next life of srrd. A
// file that nobody holds any more is removed. Memory used here does not depend
// on the output. While srrd is not running nobody cuts; a daemon that talks
// much should be given its own log.
//
// Of the output the first 4 KiB and the last 12 KiB count. The last line
// `Result: done|failed|recall` in them is the result, `Recall: SECONDS` says
// when to ask again. Without a Result line it is make's exit status.
//
// # Marks
//
// WriteMark keeps, under RunDir/marks, the note that a service may be running,
// with the boot id. When a mark could not be written, the next `start` of the
// service is refused as failed: a service nobody could find again must not be
// started.
package primitive
