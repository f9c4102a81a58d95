// Package doctor answers one question: is FRR set up for srrd here? Examine is
// pure; Gather collects what it looks at, over VTY and from /proc; Apply sets
// what it recommends; Render writes it down for a person.
//
// A finding says what is wrong and what that costs, and carries the exact lines
// that mend it, with the daemon and the configuration node they belong to. Its
// severity is what srrd makes of it: Refuse, services are not started like
// this; Slow, it works, later than it could; Advice, worth knowing.
//
// Apply sets only lines that cannot break an adjacency by being set on one side
// only (a hello interval is for people), and the running configuration only:
// saving it is `write memory`, the operator's.
package doctor
