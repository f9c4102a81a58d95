package web

import "strings"

// line is one of a text that was changed.
type line struct {
	Op   string // " ", "+" or "-"
	Text string
}

// compareLines tells how before became after, by the longest common
// subsequence of their lines. Texts of more than maxDiff lines are told apart
// only by their common beginning and end.
func compareLines(before, after string) []line {
	a, b := textLines(before), textLines(after)
	var head, tail []line
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		head = append(head, line{" ", a[0]})
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		tail = append(tail, line{" ", a[len(a)-1]})
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	out := append(head, middle(a, b)...)
	for i := len(tail) - 1; i >= 0; i-- {
		out = append(out, tail[i])
	}
	return out
}

const maxDiff = 2000

func textLines(s string) []string {
	if s = strings.TrimRight(s, "\n"); s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

func middle(a, b []string) []line {
	var out []line
	if len(a) > maxDiff || len(b) > maxDiff {
		for _, l := range a {
			out = append(out, line{"-", l})
		}
		for _, l := range b {
			out = append(out, line{"+", l})
		}
		return out
	}
	// common[i][j] is how many lines a[i:] and b[j:] share.
	common := make([][]uint16, len(a)+1)
	for i := range common {
		common[i] = make([]uint16, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, line{" ", a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, line{"-", a[i]})
			i++
		default:
			out = append(out, line{"+", b[j]})
			j++
		}
	}
	return out
}

// changedLines are those that came or went, with + or - before them.
func changedLines(before, after string) []string {
	var out []string
	for _, l := range compareLines(before, after) {
		if l.Op != " " {
			out = append(out, l.Op+" "+l.Text)
		}
	}
	return out
}
