// Package state keeps machine.Memory, what outlives the daemon, in one file of
// the state directory.
//
// Guarantees: Save replaces the file atomically and has it on the disk when it
// returns. Load never fails: what is missing, truncated, altered or of a newer
// version gives the zero Memory and a warning, and the file is set aside for a
// person to look at, never overwritten. Writer saves in the background, of
// several memories only the last, and never makes its caller wait.
package state
