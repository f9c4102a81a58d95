// Package config reads the configuration: YAML text in, a validated Config or
// every problem at once out.
//
//	/etc/srrd/srrd.yaml               the daemon
//	/etc/srrd/services.d/NAME.yaml    a service each, named as its file
//
// A file passes two layers. The raw layer is what can be typed: each key has a
// row in a table that says how its value is read, and every value keeps its
// line and column. The valid layer is Config: durations, addresses and
// defaults filled in, no pointers. What holds between services (groups,
// dependencies, shared addresses) is checked last, over those that could be
// read.
//
// Guarantees:
//
//   - Strict: an unknown key, a key given twice, a wrong type, a value out of
//     its range, a YAML alias, anchor or tag is a Problem. Nothing is guessed.
//   - Complete: Load reports all problems of all files, sorted by file, line
//     and column; it never returns a Config that has one. A wrong value hides
//     no problem in another key.
//   - What machine.Config and machine.Service promise to the heart (sorted,
//     unique, in bounds, every LSA fits) holds for what Load returns.
//   - Load only reads; it holds no state and may be called from any goroutine.
//     SetScalar replaces a file atomically, keeps its comments, and changes
//     nothing but the one key, which it proves by reading the result before it
//     is written.
//
// The directories of primitives are looked into by the primitive package when
// a service is loaded; Service.DirProblem gives such a finding its place in
// the file. Every key is described in testdata/config/good/reference.
package config
