// Package lsdb is a mirror of ospfd's link-state database: plain data that is
// told what ospfd says and answers questions about it.
//
// # Contract
//
// A DB belongs to one goroutine; it has no lock, no clock, no I/O and starts
// nothing. Time is an argument. Same calls, same answers, byte for byte:
// nothing that can be seen depends on the order of a map. A Snapshot is
// immutable and may be read from any goroutine.
//
// # What the mirror believes
//
// ospfd is right. An Update replaces what is held even if it is older by RFC
// 2328 section 13.1, because ospfd only reports what it has installed, and
// after a restart it may install the older words of a former life. The one
// exception is a Delete that names an older instance than is held: it was
// overtaken by an Update and is ignored.
//
// ospfd reports a flush in two steps: a DELETE with the age the LSA had when
// it was received, and, up to 60 s later when it drops the LSA for good, a
// DELETE with age 3600. In between the LSA is still in ospfd's database at
// MaxAge, and originating under the same key is another operation than
// originating a new LSA. So the first DELETE leaves the entry in place,
// marked MaxAge: present (Lookup finds it), but no evidence for anything. An
// originator gets no first DELETE for its own LSA; Flush stands in for it.
//
// Every update in ospfd is seen as DELETE of the old instance directly
// followed by UPDATE of the new one. The mirror takes both as they come, so
// the Change of the first says that things vanished and the Change of the
// second that they appeared. The caller, who sees the stream, holds a DELETE
// back until it knows better (see package ospfapi); with the UPDATE alone
// the mirror reports the difference between old and new, and nothing if
// there is none.
//
// # Resync
//
// Mark, then SYNC_LSDB, an Update for each LSA that comes, and at the fence
// Sweep, which removes what was not mentioned. SYNC_LSDB does not deliver type
// 7 (seen on FRR 8.4.4), so Sweep leaves those alone. Entries marked MaxAge
// are delivered, and stay.
//
// # Age
//
// The age of an entry runs on from the moment of its Update. ospfd fills in
// the age the LSA had when it was installed, not its present one, also in a
// sync; so Entry.Age can be too young, by as long as ospfd had it, and never
// too old.
//
// # Evidence
//
// Each Change names the host routes (router, /32, LSA type) that appeared or
// vanished by it, over all LSAs and areas, so that a reader need not scan.
// HostRoutes, Announces and ASBRSummaries answer from indexes.
package lsdb
