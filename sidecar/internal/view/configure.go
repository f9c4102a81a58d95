package view

import "strings"

// EntersConfiguration reports whether a command of a routing daemon would leave
// its VTY in configuration mode. The session is shared by all who look, so
// the faces refuse it; FRR takes any beginning that is not another command's.
func EntersConfiguration(command string) bool {
	words := strings.Fields(command)
	if len(words) == 0 {
		return false
	}
	first := strings.ToLower(words[0])
	return len(first) >= 2 && strings.HasPrefix("configure", first)
}
