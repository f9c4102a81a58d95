package shell

import (
	"strings"
	"unicode/utf8"

	"github.com/srrd/srrd/sidecar/internal/view"
)

// The words of the commands for clients.
const (
	wordComplete = "complete"
	wordDescribe = "describe"
)

// clientLine takes `complete LINE` and `describe LINE` apart, in which every
// blank of LINE counts.
func clientLine(line string) (raw, word string, ok bool) {
	for _, word := range []string{wordComplete, wordDescribe} {
		if line == word {
			return "", word, true
		}
		if raw, ok := strings.CutPrefix(line, word+" "); ok {
			return raw, word, true
		}
	}
	return "", "", false
}

// Candidate is a word that can stand where a line ends.
type Candidate struct {
	Word string
	Help string
	Kind CandidateKind
}

// CandidateKind says what a Candidate is.
type CandidateKind uint8

// The kinds.
const (
	CandidateWord        CandidateKind = iota // may be typed as it is
	CandidatePlaceholder                      // stands for what a person has to fill in
	CandidateEnd                              // the line is complete as it is
)

// candidates finds what can continue a line. s may be nil: no names then.
func candidates(root *word, line string, s *view.Snapshot) ([]Candidate, error) {
	tokens := split(line)
	partial := ""
	if len(tokens) > 0 && tokens[len(tokens)-1].End == len(line) {
		partial = tokens[len(tokens)-1].Text
		tokens = tokens[:len(tokens)-1]
	}
	w := newWalker(root, line)
	if n := len(tokens); n > 0 && strings.HasPrefix(tokens[n-1].Text, "-") {
		return optionValues(tokens[n-1].Text, partial), nil
	}
	if err := w.walk(tokens); err != nil {
		return nil, err
	}
	var all []Candidate
	for _, n := range w.at.Next {
		all = append(all, n.candidates(partial, s)...)
	}
	if len(all) == 0 && partial != "" && w.at.Kind != freeText {
		// Say what is wrong with the word, as carrying it out would.
		if _, err := w.choose(token{partial, len(line) - len(partial), len(line)}); err != nil {
			return nil, err
		}
	}
	if partial == "" && w.at.run != nil {
		all = append(all, Candidate{"<cr>", "carry it out", CandidateEnd})
	}
	return all, nil
}

func optionValues(option, partial string) []Candidate {
	var all []Candidate
	switch option {
	case "-o":
		for _, v := range []Candidate{{Word: "json", Help: "for programs"}, {Word: "text", Help: "for people"}} {
			if strings.HasPrefix(v.Word, partial) {
				all = append(all, v)
			}
		}
	case "-w":
		all = append(all, Candidate{"COLUMNS", "cut tables to so many columns, 0 for no limit", CandidatePlaceholder})
	case "-l":
		all = append(all, Candidate{"LINES", "cut what watch shows to so many lines, 0 for no limit", CandidatePlaceholder})
	}
	return all
}

func (n *word) candidates(partial string, s *view.Snapshot) []Candidate {
	var known []Candidate
	switch n.Kind {
	case keyword:
		if !n.Hidden && strings.HasPrefix(n.Name, partial) {
			return []Candidate{{Word: n.Name, Help: n.Help}}
		}
		return nil
	case serviceName:
		if s != nil {
			for i := range s.Machine.Services {
				sv := &s.Machine.Services[i]
				known = append(known, Candidate{Word: sv.Name, Help: whereabouts(sv)})
			}
		}
	case nodeName:
		if s != nil {
			for _, v := range s.Machine.Nodes {
				known = append(known, Candidate{Word: view.NameOf(v.Host, v.Router), Help: v.Router.String() + ", " + v.State.String() + ", " + v.Status})
			}
		}
	case number, duration, freeText:
	}
	all := []Candidate{{n.Name, n.Help, CandidatePlaceholder}}
	for _, k := range known {
		if strings.HasPrefix(k.Word, partial) {
			all = append(all, k)
		}
	}
	return all
}

// assist answers `complete` and `describe`.
func (c *call) assist(how, line string) error {
	if how == wordDescribe {
		line = strings.TrimSuffix(line, "?")
	}
	width := 0
	if o, rest, err := leadingOptions(line); err == nil && rest != "" {
		line, width = rest, o.Width
	}
	// Without a snapshot there are no names, but still the words.
	s, _ := c.read()
	all, err := candidates(tree(), line, s)
	if how == wordComplete {
		for _, k := range all {
			if k.Kind == CandidateWord {
				c.out.WriteString(clean(k.Word) + "\n")
			}
		}
		return nil // what cannot be completed is no error
	}
	if err != nil {
		return err
	}
	writeCandidates(c, all, width)
	return nil
}

func writeCandidates(c *call, all []Candidate, width int) {
	wide := 0
	for _, k := range all {
		wide = max(wide, utf8.RuneCountInString(k.Word))
	}
	for _, k := range all {
		pad := strings.Repeat(" ", wide-utf8.RuneCountInString(k.Word))
		c.out.WriteString(cut("  "+clean(k.Word)+pad+"  "+clean(k.Help), width) + "\n")
	}
}
