package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a file. Line and Column count from 1; 0 is the file
// as a whole. Columns count characters.
type Position struct {
	File   string
	Line   int
	Column int
}

func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Problem is one thing that is wrong, and what was wanted instead.
type Problem struct {
	Position
	Key  string // dotted, such as check.interval; "" where no key is to blame
	Text string
}

func (p Problem) Error() string {
	if p.Key == "" {
		return p.Position.String() + ": " + p.Text
	}
	return p.Position.String() + ": " + p.Key + ": " + p.Text
}

// Problems is the error of Load and Check: at least one Problem, sorted by
// file, line and column.
type Problems []Problem

// Error prints a line for each.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find single problems.
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i := range p {
		errs[i] = p[i]
	}
	return errs
}

func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Key, b.Key), cmp.Compare(a.Text, b.Text))
	})
}
