// Package handover writes values down in one build of srrd and reads them back
// in another: plain data with what points to what, unexported fields included.
// It is how an srrd that re-executes itself carries its memory over.
//
// It is no protocol and never on disk. The two builds meet on one machine within
// a second, and a build that cannot read what it is given says so before the
// other one ends, so the rules are strict:
//
//   - Types and fields go by their names. A field that the reader does not know
//     is refused: it holds something that the reader would lose. A field that
//     the writer did not have keeps the value the reader's constructor gave it;
//     maps are made.
//   - An enumeration goes by its words (Codec.Words), since its numbers move
//     when somebody puts a constant between two others. Numbers that a protocol
//     has fixed may go as they are (Codec.Fixed); any other integer type with a
//     name of its own is a mistake, and found by New's user in a test.
//   - A pointer that occurs twice is one object at the other side too.
//   - Functions are not carried; who has them puts them back.
//   - A time with a monotonic reading is carried as its distance from a base
//     that both sides agree on, so that the wall clock may be set meanwhile; one
//     without is carried as it is, to the nanosecond.
//   - Equal values give equal octets. Damaged ones give an error, never a panic.
package handover
