package shell

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Status tells how a command went, in the numbers of FRR's VTY (FRR
// lib/command.h, CMD_*).
type Status uint8

// The statuses that the shell uses.
const (
	StatusSuccess    Status = 0
	StatusWarning    Status = 1 // understood, and refused or failed
	StatusNoMatch    Status = 2 // an unknown word, or an unknown name
	StatusAmbiguous  Status = 3
	StatusIncomplete Status = 4
)

// LineError is a line that is no command; it names the word at fault.
type LineError struct {
	Line   string
	Word   token
	Status Status
	Text   string
}

func (e *LineError) Error() string { return e.Text }

// Point shows the line with the word at fault marked under it.
func (e *LineError) Point() string {
	line := strings.TrimRight(clean(e.Line), " ")
	before := utf8.RuneCountInString(clean(e.Line[:min(e.Word.At, len(e.Line))])) + max(0, e.Word.At-len(e.Line))
	wide := max(1, utf8.RuneCountInString(clean(e.Word.Text)))
	return "  " + line + "\n  " + strings.Repeat(" ", before) + strings.Repeat("^", wide) + "\n"
}

// errSaid is a refusal whose words are printed already.
var errSaid = errors.New("")
