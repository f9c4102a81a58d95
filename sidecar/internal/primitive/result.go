package primitive

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Bounds of what is taken from a run's output.
const (
	headBytes = 4 << 10
	tailBytes = 12 << 10
	// MaxText bounds PrimitiveDone.Text, in bytes.
	MaxText = 4 << 10

	// DefaultRecall is when to ask again after `Result: recall` without a
	// Recall line.
	DefaultRecall = time.Second
	minRecall     = 50 * time.Millisecond
	maxRecall     = time.Hour
)

// said is what the output of a run says.
type said struct {
	result string // done, failed, recall; "" without a Result line
	recall time.Duration
	text   string // the other lines, printable
	last   string // the last of them that says something of the service
}

// makeSays is make's own word on a recipe that failed; a make inside it numbers
// its level.
var makeSays = regexp.MustCompile(`^make(\[\d+\])?: \*\*\*`)

// systemctlAdvises is how systemctl(1) ends a failure: with where to read on,
// whatever it was. Why is in the line before.
var systemctlAdvises = regexp.MustCompile(`^See (system logs and 'systemctl |"systemctl ).* for details\.$`)

// read finds the result lines in what a run wrote. The last of each kind
// counts. A Result line with another word is text like any other.
func read(out []byte) said {
	var s said
	s.recall = DefaultRecall
	var lines []string
	for _, raw := range bytes.Split(out, []byte("\n")) {
		line := strings.TrimSpace(advert.Printable(string(bytes.TrimRight(raw, "\r"))))
		if line == "" {
			continue
		}
		if w, ok := strings.CutPrefix(line, "Result:"); ok {
			switch w = strings.TrimSpace(w); w {
			case "done", "failed", "recall":
				s.result = w
				continue
			}
		}
		if w, ok := strings.CutPrefix(line, "Recall:"); ok {
			if d, ok := seconds(strings.TrimSpace(w)); ok {
				s.recall = d
				continue
			}
		}
		lines = append(lines, line)
		if !makeSays.MatchString(line) && !systemctlAdvises.MatchString(line) {
			s.last = line
		}
	}
	if s.last == "" && len(lines) > 0 {
		s.last = lines[len(lines)-1]
	}
	// The end tells more than the beginning.
	size, from := 0, len(lines)
	for from > 0 && size+len(lines[from-1])+1 <= MaxText {
		from--
		size += len(lines[from]) + 1
	}
	if from == len(lines) && from > 0 {
		s.text = cut(lines[from-1], MaxText)
	} else {
		s.text = strings.Join(lines[from:], "\n")
	}
	return s
}

// seconds reads a Recall value and bounds it to 0.05-3600 s.
func seconds(w string) (time.Duration, bool) {
	w = strings.TrimSpace(strings.TrimSuffix(w, "s"))
	f, err := strconv.ParseFloat(w, 64)
	if err != nil || f != f || f < 0 {
		return 0, false
	}
	if f > maxRecall.Seconds() {
		return maxRecall, true
	}
	return max(time.Duration(f*float64(time.Second)), minRecall), true
}

// cut shortens s to at most n bytes at the boundary of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

// ended is how a run ended, as the kernel says it.
type ended struct {
	status int    // exit status; -1 when killed
	signal string // the signal's name, when killed
	recipe string // what make would say of a recipe that ended so, when there was no make
}

// asMake is what make would have made of it: a recipe that is killed has failed,
// and if its failure does not count it is done.
func (e ended) asMake(ignore bool) ended {
	switch {
	case e.signal == "" && e.status == 0, ignore:
		return ended{}
	case e.signal != "":
		return ended{status: 2, recipe: "was ended by " + e.signal}
	}
	return ended{status: 2, recipe: fmt.Sprintf("ended with status %d", e.status)}
}

// outcome joins what a run said and how make ended. What a primitive says
// counts; its exit status only if it says nothing, except that done is not
// believed of a run that was killed.
func outcome(p machine.Primitive, s said, e ended) (machine.Outcome, time.Duration, string) {
	killed := e.signal != ""
	switch s.result {
	case "failed":
		return machine.OutcomeFailed, 0, words(p, s, "said that it failed")
	case "recall":
		return machine.OutcomeRecall, s.recall, s.text
	case "done":
		if !killed {
			return machine.OutcomeDone, 0, s.text
		}
	}
	switch {
	case killed:
		return machine.OutcomeUnknown, 0, words(p, s, "was ended by "+e.signal)
	case e.status == 0:
		return machine.OutcomeDone, 0, s.text
	}
	return machine.OutcomeFailed, 0, words(p, s, cmp.Or(e.recipe, fmt.Sprintf("make ended with status %d", e.status)))
}

// words is the last line of the output, or what else there is to say. A
// failure's text goes into an LSA of little room, so it is one line.
func words(p machine.Primitive, s said, otherwise string) string {
	if s.last != "" {
		return cut(s.last, MaxText)
	}
	return p.String() + " " + otherwise
}
