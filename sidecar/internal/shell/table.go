package shell

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// table is rows under a heading. Columns are two blanks apart; one whose
// heading begins with '>' is aligned to the right. With a width, the last
// column is cut to fit, or wrapped, but never below minLast.
type table struct {
	head  []string
	rows  [][]string
	wraps bool             // the last column is wrapped
	under map[int][]string // of a row: more lines of its last column
}

const minLast = 16

func (t *table) add(cells ...string) {
	for i, c := range cells {
		cells[i] = clean(c)
	}
	t.rows = append(t.rows, cells)
}

// addUnder adds lines to the last column of the row that was added last.
func (t *table) addUnder(lines ...string) {
	if t.under == nil {
		t.under = map[int][]string{}
	}
	for _, l := range lines {
		t.under[len(t.rows)-1] = append(t.under[len(t.rows)-1], clean(l))
	}
}

func (t *table) write(out *bytes.Buffer, width int) {
	wide := make([]int, len(t.head))
	right := make([]bool, len(t.head))
	head := make([]string, len(t.head))
	for i, h := range t.head {
		head[i], right[i] = strings.CutPrefix(h, ">")
		wide[i] = utf8.RuneCountInString(head[i])
	}
	for _, r := range t.rows {
		for i, c := range r {
			wide[i] = max(wide[i], utf8.RuneCountInString(c))
		}
	}
	last := len(wide) - 1
	before := 0 // the columns before the last one
	for _, w := range wide[:last] {
		before += w + 2
	}
	rest := 0
	if width > 0 {
		rest = max(width-before, minLast)
	}
	line := func(cells []string) {
		var b strings.Builder
		for i, c := range cells {
			if i > 0 {
				b.WriteString("  ")
			}
			if i == last {
				c = cut(c, rest)
			}
			pad := strings.Repeat(" ", max(0, wide[i]-utf8.RuneCountInString(c)))
			if right[i] {
				b.WriteString(pad + c)
			} else {
				b.WriteString(c + pad)
			}
		}
		out.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	}
	line(head)
	for n, r := range t.rows {
		if !t.wraps {
			line(r)
			continue
		}
		// What stands under the row is set in by two where it breaks.
		lines := wrap(r[last], rest)
		for _, u := range t.under[n] {
			for i, l := range wrap(u, rest-2) {
				if i > 0 {
					l = "  " + l
				}
				lines = append(lines, l)
			}
		}
		line(append(slices.Clone(r[:last]), lines[0]))
		for _, l := range lines[1:] {
			out.WriteString(strings.TrimRight(strings.Repeat(" ", before)+l, " ") + "\n")
		}
	}
}

// fields is a list of names with what they say, the second column aligned and
// wrapped.
type fields struct {
	rows [][2]string
}

// add takes no notice of what says nothing.
func (f *fields) add(name, text string) {
	if text != "" {
		f.rows = append(f.rows, [2]string{name, clean(text)})
	}
}

func (f *fields) write(out *bytes.Buffer, indent string, width int) {
	wide := 0
	for _, r := range f.rows {
		wide = max(wide, utf8.RuneCountInString(r[0]))
	}
	for _, r := range f.rows {
		room := 0
		if width > 0 {
			room = max(minLast, width-len(indent)-wide-2)
		}
		name := r[0]
		for _, l := range wrap(r[1], room) {
			out.WriteString(strings.TrimRight(indent+name+strings.Repeat(" ", wide-utf8.RuneCountInString(name)+2)+l, " ") + "\n")
			name = ""
		}
	}
}
