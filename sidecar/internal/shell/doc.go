// Package shell is the command language of srrsh: one tree of commands that
// serves execution, `?`, Tab, abbreviations, and every list of commands
// anywhere.
//
// # Contract
//
// Shell.Exec carries out one line and writes its text; it may be called from
// any number of goroutines and keeps nothing between calls. It reads
// snapshots and asks the owner for changes (Deps), and never touches the
// machine. The daemon serves it over the VTY socket; Status has FRR's numbers.
//
// # The language
//
// A line is words separated by blanks. Keywords may be abbreviated as long as
// one meaning is left; names of services and nodes may not. Options stand
// anywhere before free text: -o json (or text), and -w COLUMNS, the width that
// tables are cut to (0: not at all), and -l LINES, the height for watch. A line that ends in ? is not carried out
// but explained.
//
// Hidden commands serve clients: `complete LINE` answers a line for each
// continuation of the last word of LINE, `describe LINE` what ? shows.
//
// Watch goes on until its context ends or its writer fails, and writes each
// picture at once (FrameEnd); every other command writes once, at its end.
//
// An error shows the line, marks the word that is wrong, and says why.
//
// # JSON
//
// With -o json every show command and `why` answer one object, whose keys are
// those of machine.View and of package view; it names the moment (taken) and
// the node (host, router_id) that it is the view of. Durations are
// nanoseconds, moments RFC 3339. Commands that change something answer
// {"answer": TEXT}.
package shell
