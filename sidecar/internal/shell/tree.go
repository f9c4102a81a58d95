package shell

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// kind says what a word of the tree stands for.
type kind uint8

const (
	keyword     kind = iota
	serviceName      // completed from the snapshot
	nodeName         // host name or router id, completed from the snapshot
	number           // 0 to word.Max
	duration         // as Go writes them: 90s, 10m, 1h30m; at least a second
	freeText         // everything up to the end of the line
)

// word is one place in the tree of commands.
type word struct {
	Name   string // a keyword in lower case, or what an argument is called, in upper case
	Kind   kind
	Help   string // one line, as ? shows it
	Long   string // more, for help and the manual; may be empty
	Set    string // siblings of one set are one command where commands are listed
	Hidden bool   // not shown and not abbreviated
	Max    int    // of a number
	Next   []*word
	run    func(*call) error // nil: the command is not complete here
}

// token is a word of a line, with its place in it (bytes).
type token struct {
	Text    string
	At, End int
}

// match is a line that is a command.
type match struct {
	Line  string
	Words []*word // the way through the tree
	args  map[string]token
	opts  options
	run   func(*call) error
}

// options are what may stand in front of, or inside, any command.
type options struct {
	JSON  bool
	Width int // columns that tables are cut to; 0: not at all
	Lines int // lines that watch has; 0: no limit
}

// arg gives an argument by the name it has in the tree.
func (m *match) arg(name string) (token, bool) {
	t, ok := m.args[name]
	return t, ok
}

// split cuts a line into words at blanks. Other control characters are part
// of a word and never match.
func split(line string) []token {
	var all []token
	at := -1
	for i := 0; i <= len(line); i++ {
		blank := i == len(line) || strings.IndexByte(" \t\r\n", line[i]) >= 0
		switch {
		case blank && at >= 0:
			all = append(all, token{line[at:i], at, i})
			at = -1
		case !blank && at < 0:
			at = i
		}
	}
	return all
}

// walker goes down the tree, word by word.
type walker struct {
	line  string
	at    *word // where we are
	match match
}

func newWalker(root *word, line string) *walker {
	return &walker{line: line, at: root, match: match{Line: line, args: map[string]token{}}}
}

// parse finds the command that a line is. It looks at nothing but the tree.
func parse(root *word, line string) (*match, error) {
	opts, line, err := leadingOptions(line)
	if err != nil {
		return nil, err
	}
	w := newWalker(root, line)
	w.match.opts = opts
	if err := w.walk(split(line)); err != nil {
		return nil, err
	}
	if w.at.run == nil {
		return nil, w.incomplete()
	}
	w.match.run = w.at.run
	return &w.match, nil
}

// leadingOptions takes the options in front of a command off, so that errors
// show the line that a person typed and not what a client put before it.
func leadingOptions(line string) (o options, rest string, err error) {
	tokens := split(line)
	for len(tokens) > 0 && strings.HasPrefix(tokens[0].Text, "-") {
		if len(tokens) == 1 {
			return o, line, &LineError{line, tokens[0], StatusIncomplete, "option " + tokens[0].Text + " needs a value"}
		}
		if err := o.set(line, tokens[0], tokens[1]); err != nil {
			return o, line, err
		}
		line = strings.TrimLeft(line[tokens[1].End:], " \t\r\n")
		tokens = split(line)
	}
	return o, line, nil
}

// walk takes whole words.
func (w *walker) walk(tokens []token) error {
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		if strings.HasPrefix(t.Text, "-") {
			if i+1 == len(tokens) {
				return &LineError{w.line, t, StatusIncomplete, "option " + t.Text + " needs a value"}
			}
			if err := w.match.opts.set(w.line, t, tokens[i+1]); err != nil {
				return err
			}
			i++
			continue
		}
		if len(w.at.Next) == 1 && w.at.Next[0].Kind == freeText {
			w.step(w.at.Next[0], token{w.line[t.At:tokens[len(tokens)-1].End], t.At, tokens[len(tokens)-1].End})
			return nil
		}
		next, err := w.choose(t)
		if err != nil {
			return err
		}
		w.step(next, t)
	}
	return nil
}

func (w *walker) step(next *word, t token) {
	w.at = next
	w.match.Words = append(w.match.Words, next)
	if next.Kind != keyword {
		w.match.args[next.Name] = t
	}
}

func (o *options) set(line string, name, value token) error {
	switch name.Text {
	case "-o":
		switch value.Text {
		case "json", "text":
			o.JSON = value.Text == "json"
			return nil
		}
		return &LineError{line, value, StatusNoMatch, "output is json or text"}
	case "-w":
		n, err := strconv.Atoi(value.Text)
		if err != nil || n < 0 || n > 10000 {
			return &LineError{line, value, StatusNoMatch, "the width is a number of columns, 0 for no limit"}
		}
		o.Width = n
		return nil
	case "-l":
		n, err := strconv.Atoi(value.Text)
		if err != nil || n < 0 || n > 10000 {
			return &LineError{line, value, StatusNoMatch, "the height is a number of lines, 0 for no limit"}
		}
		o.Lines = n
		return nil
	}
	return &LineError{line, name, StatusNoMatch, "the options are -o json, -o text, -w COLUMNS and -l LINES"}
}

// choose finds what a word means here.
func (w *walker) choose(t token) (*word, error) {
	var begins []*word
	for _, n := range w.at.Next {
		if n.Kind != keyword {
			if err := n.accepts(w.line, t); err != nil {
				return nil, err
			}
			return n, nil // an argument stands alone in its place
		}
		if n.Name == t.Text {
			return n, nil
		}
		if !n.Hidden && strings.HasPrefix(n.Name, t.Text) {
			begins = append(begins, n)
		}
	}
	switch len(begins) {
	case 1:
		return begins[0], nil
	case 0:
		return nil, w.unknown(t)
	}
	return nil, &LineError{w.line, t, StatusAmbiguous, fmt.Sprintf("%q may be %s", t.Text, either(names(begins)))}
}

func (w *walker) unknown(t token) error {
	if len(w.at.Next) == 0 {
		return &LineError{w.line, t, StatusNoMatch, "nothing may follow here"}
	}
	all := names(w.at.Next)
	if near := nearest(t.Text, all); near != "" {
		return &LineError{w.line, t, StatusNoMatch, fmt.Sprintf("unknown word %q; did you mean %q?", t.Text, near)}
	}
	return &LineError{w.line, t, StatusNoMatch, fmt.Sprintf("unknown word %q; here goes %s", t.Text, either(all))}
}

func (w *walker) incomplete() error {
	end := len(strings.TrimRight(w.line, " \t\r\n"))
	return &LineError{w.line, token{"", end + 1, end + 2}, StatusIncomplete, "incomplete; here goes " + either(names(w.at.Next))}
}

// accepts checks an argument as far as the tree can.
func (n *word) accepts(line string, t token) error {
	switch n.Kind {
	case number:
		if v, err := strconv.Atoi(t.Text); err != nil || v < 0 || v > n.Max {
			return &LineError{line, t, StatusNoMatch, fmt.Sprintf("%s is a number from 0 to %d", n.Name, n.Max)}
		}
	case duration:
		if d, err := time.ParseDuration(t.Text); err != nil || d < time.Second || d > maxPin {
			return &LineError{line, t, StatusNoMatch, n.Name + " is a time from 1s to 8760h, such as 90s, 10m or 1h30m"}
		}
	case keyword, serviceName, nodeName, freeText:
	}
	return nil
}

// maxPin is how long a timed move may last; its seconds are flooded in 32
// bits, and nobody means more than a year.
const maxPin = 8760 * time.Hour

func names(words []*word) []string {
	var all []string
	for _, n := range words {
		if !n.Hidden {
			all = append(all, n.Name)
		}
	}
	return all
}

// either writes a list of choices: "a", "a or b", "a, b or c".
func either(all []string) string {
	switch len(all) {
	case 0:
		return "nothing"
	case 1:
		return all[0]
	}
	return strings.Join(all[:len(all)-1], ", ") + " or " + all[len(all)-1]
}

// nearest finds the one of all that a typing error away might have been
// meant; "" if none is near.
func nearest(text string, all []string) string {
	best, least := "", min(2, len(text)/2)+1
	for _, s := range all {
		if d := distance(text, s); d < least {
			best, least = s, d
		}
	}
	return best
}

// distance counts the letters to change, add, drop or swap with the next
// (Damerau and Levenshtein, restricted). Long words are never near.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var two, one, row []int
	for j := 0; j <= len(b); j++ {
		row = append(row, j)
	}
	for i := 1; i <= len(a); i++ {
		two, one, row = one, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(one[j]+1, row[j-1]+1, one[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
