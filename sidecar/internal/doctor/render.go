package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/srrd/srrd/vty"
)

// headings say what a severity means to the reader.
var headings = map[Severity]string{
	Refuse: "srrd does not start services like this",
	Slow:   "works, but slower than it could",
	Advice: "worth knowing",
}

// width of running text, in columns.
const width = 92

// Report is all that is said of one router.
type Report struct {
	Name     string
	Transit  bool // as [Wants.Transit]
	Findings []Finding
	Costs    []Cost
}

// NewReport examines.
func NewReport(f Facts) Report {
	return Report{Name: f.Name(), Transit: f.Wants.Transit, Findings: Examine(f), Costs: Costs(f)}
}

// Render writes a report as text: what is wrong, group by group; what a
// failover costs here; and then all lines at once, to be pasted into vtysh.
func Render(w io.Writer, r Report) error {
	var b strings.Builder
	findings := r.Findings
	switch {
	case len(findings) > 0:
	case r.Transit:
		fmt.Fprintf(&b, "%s passes on what srrd says, and at once: nothing found.\n\n", r.Name)
	default:
		b.WriteString("FRR is set up for srrd: nothing found.\n\n")
	}
	for _, s := range []Severity{Refuse, Slow, Advice} {
		group := slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Severity != s })
		if len(group) == 0 {
			continue
		}
		heading := headings[s]
		if s == Refuse && r.Transit {
			heading = "srrd does not work through this router"
		}
		fmt.Fprintf(&b, "%s: %s\n", strings.ToUpper(s.String()), heading)
		for _, f := range group {
			renderFinding(&b, f)
		}
		b.WriteString("\n")
	}
	renderCosts(&b, r)
	renderLines(&b, r)
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

func renderFinding(b *strings.Builder, f Finding) {
	who := ""
	if f.Daemon != "" && !strings.HasPrefix(f.Subject, string(f.Daemon)) {
		who = string(f.Daemon) + ": "
	}
	fmt.Fprintf(b, "\n  %s%s\n", who, f.Subject)
	for _, line := range wrap(f.Text, width-4) {
		fmt.Fprintf(b, "    %s\n", line)
	}
	for _, l := range f.Lines {
		fmt.Fprintf(b, "    + %s\n", strings.Join(l.All(), " / "))
	}
	for _, step := range f.Steps {
		fmt.Fprintf(b, "    > %s\n", step)
	}
}

// renderCosts writes them as a table.
func renderCosts(b *strings.Builder, r Report) {
	if len(r.Costs) == 0 {
		return
	}
	fmt.Fprintf(b, "What a failover costs at %s\n\n", r.Name)
	what, takes := 0, 0
	for _, c := range r.Costs {
		what, takes = max(what, len(c.What)), max(takes, len(c.Takes))
	}
	for _, c := range r.Costs {
		fmt.Fprintf(b, "  %-*s  %-*s  %s\n", what, c.What, takes, c.Takes, c.From)
	}
	b.WriteString("\n")
}

// renderLines writes the lines of all findings once, node by node.
func renderLines(b *strings.Builder, r Report) {
	merged := Merge(r.Findings)
	if len(merged) == 0 {
		return
	}
	apply := "srrd doctor --apply"
	if r.Transit {
		apply = "srrd doctor --transit --apply` there"
	} else {
		apply += "`"
	}
	fmt.Fprintf(b, "To set all of it, `%s, or in vtysh:\n\nconfigure terminal\n", apply)
	for _, l := range merged {
		for depth, node := range l.Node {
			fmt.Fprintf(b, "%s%s\n", strings.Repeat(" ", depth), node)
		}
		for _, line := range l.Set {
			fmt.Fprintf(b, "%s%s\n", strings.Repeat(" ", len(l.Node)), line)
		}
		for depth := len(l.Node) - 1; depth >= 0; depth-- {
			fmt.Fprintf(b, "%sexit\n", strings.Repeat(" ", depth))
		}
	}
	b.WriteString("end\nwrite memory\n")
}

// Merge collects the lines of all findings by node, each line once, BFD's
// first since OSPF's refer to its profiles.
func Merge(findings []Finding) []Lines {
	var merged []Lines
	for _, f := range findings {
		for _, l := range f.Lines {
			at := slices.IndexFunc(merged, func(m Lines) bool { return m.Class == l.Class && slices.Equal(m.Node, l.Node) })
			if at < 0 {
				merged = append(merged, Lines{Class: l.Class, Node: l.Node})
				at = len(merged) - 1
			}
			for _, line := range l.Set {
				if !slices.Contains(merged[at].Set, line) {
					merged[at].Set = append(merged[at].Set, line)
				}
			}
		}
	}
	slices.SortStableFunc(merged, func(a, b Lines) int {
		first := func(l Lines) int {
			if l.Class == vty.ClassBFD {
				return 0
			}
			return 1
		}
		return first(a) - first(b)
	})
	return merged
}

// wrap breaks text at spaces into lines of at most n bytes where it can.
func wrap(text string, n int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > n:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
