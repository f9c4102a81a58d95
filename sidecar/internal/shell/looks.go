package shell

import "slices"

// Looks tells whether a line, carried out, does nothing but look, and may be
// seen by whoever may see the pages; so may a line that is no command, whose
// error it would show. The configuration is not among it.
func Looks(line string) bool {
	if _, _, ok := clientLine(line); ok {
		return false
	}
	m, err := parse(root, line)
	if err != nil {
		return true
	}
	if len(m.Words) == 0 || len(m.Words) > 1 && m.Words[1].Name == "running-config" {
		return false
	}
	return slices.Contains([]string{"show", "why", "help"}, m.Words[0].Name)
}
