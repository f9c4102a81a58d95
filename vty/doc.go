// Package vty speaks the VTY of FRR (and Quagga): one [Session] type over the
// unix socket of a daemon and over its telnet port, and the server end of the
// unix framing for shells of one's own.
//
// # Sessions
//
// A Session sends one command, waits for its whole reply, and only then sends
// the next: mgmtd (FRR 10) loses pipelined commands. It may be used from
// several goroutines; commands take turns, and the lines of one
// [Session.Configure] are never interleaved with those of another caller of
// the same session. (FRR itself lets two sessions configure at once and mixes
// their lines.)
//
// A session is either in step with the daemon or dead. A context that ends in
// the middle of a reply, a reply that is too long, a writer that fails, a
// daemon that goes away: each closes the connection, because there is no way
// to find the start of the next reply again. A dead session answers every
// further call with an error that wraps [ErrClosed]. It never reconnects;
// [Router] does.
//
// Contexts are honoured to the point of closing the connection, and are the
// only limit on time: give each call a deadline, since a frozen daemon answers
// neither yes nor no.
//
// # Two transports
//
// Over the unix socket each reply ends in a status byte, so every refusal
// becomes a [*StatusError] with FRR's words. Over telnet there is no status:
// it is concluded from the text ([StatusError.Inferred]), and some failures
// print nothing at all (for instance FRR 8.4 removing an address it does not
// hold). Telnet therefore cannot see every failure; prefer the unix socket
// and read back what you changed.
//
// # Which daemon
//
// [Target] says which daemon takes a class of commands in a given release, and
// [Router] keeps a session to each, reopened when a daemon was restarted.
//
// # Readers
//
// The Parse functions turn the output of show commands into values. They are
// pure, never panic, and know the keys of FRR 7.5 to 10.7.
//
// # Server
//
// [Server] serves commands over a unix socket with FRR's framing, so that
// Session (and any tool that speaks to FRR's sockets) is its client.
package vty
