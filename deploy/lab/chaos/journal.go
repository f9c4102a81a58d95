package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The moments of a primitive in a journal, and what chaos itself notes.
const (
	begins = "begin"
	ends   = "end"    // with an exit status
	killed = "killed" // by srrd: it took too long, or was cancelled
)

// isReset is the Primitive of a node's journal that a fence has reset.
const isReset = "reset"

// Line is a line of a journal: a primitive of a service on a node, or, with
// Service "", what happened to the node as a whole: Primitive "reboot", "reset"
// (by a fence), "srrd gone" or "srrd here".
type Line struct {
	At        time.Time
	Node      string
	Service   string
	Primitive string
	Moment    string
	Status    int
	Claim     uint64
	Peer      string
}

func (l Line) String() string {
	s := fmt.Sprintf("%s %s %s %s %s", l.At.Format("15:04:05.000"), l.Node, l.Service, l.Primitive, l.Moment)
	if l.Moment == ends {
		s += " " + strconv.Itoa(l.Status)
	}
	if l.Claim != 0 {
		s += fmt.Sprintf(" claim %d", l.Claim)
	}
	if l.Peer != "" {
		s += " peer " + l.Peer
	}
	return s
}

// parseJournal reads what primitive.sh of topologies/chaos.yaml writes. A last
// line without its end was being written when the node was killed.
func parseJournal(text string) ([]Line, error) {
	var all []Line
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		f := strings.Fields(line)
		if len(f) != 8 {
			return nil, fmt.Errorf("journal: %d fields, want 8, in %q", len(f), line)
		}
		ns, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("journal: time in %q: %w", line, err)
		}
		status, err := strconv.Atoi(f[5])
		if err != nil {
			return nil, fmt.Errorf("journal: status in %q: %w", line, err)
		}
		claim, err := strconv.ParseUint(f[6], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("journal: claim in %q: %w", line, err)
		}
		switch f[4] {
		case begins, ends, killed:
		default:
			return nil, fmt.Errorf("journal: moment %q in %q", f[4], line)
		}
		for _, i := range []int{2, 7} {
			if f[i] == "-" {
				f[i] = ""
			}
		}
		all = append(all, Line{time.Unix(0, ns), f[1], f[2], f[3], f[4], status, claim, f[7]})
	}
	return all, nil
}

func sortLines(all []Line) {
	slices.SortStableFunc(all, func(a, b Line) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Node, b.Node)) })
}
