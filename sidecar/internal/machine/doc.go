// Package machine is the heart of srrd: everything it knows and every decision
// it takes, without doing anything.
//
// A Node is driven by one caller, the owner loop of the daemon (or the
// simulator): it hands over one Event at a time, with the time at which it was
// taken from the inbox, and gets back Actions, plain data in the order in which
// they are to be carried out. What becomes of an action comes back as an event.
//
// Guarantees:
//
//   - Pure and deterministic: no clock, no chance, no I/O, no goroutine. Equal
//     events at equal times give equal actions, byte for byte.
//   - Level-triggered: an event changes what is known; the difference between
//     what is wanted and what is makes the actions. An event that is lost,
//     doubled or late can delay, never derail.
//   - Nothing is believed because an action was given out: an LSA counts as said
//     when its echo was seen, an address as on when the kernel shows it, a route
//     as announced when the link-state database holds it.
//
// Step runs in three stages, each in its own files:
//
//	absorb   event -> what is known changes; returns the services it touches
//	decide   what is known, service -> Verdict{Want, Why}; total, without side effects
//	plan     phase, verdict, facts -> next phase and actions
//
// The words are those of DESIGN.md: claim, hold, pin, offerer, candidate,
// holder, echo.
package machine
