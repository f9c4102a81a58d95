package shell

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// FrameEnd ends each picture that watch sends: the form feed, which stands in
// no text of ours and means a new page wherever it is printed.
const FrameEnd = "\f"

// watchEvery is how often the state is looked at while somebody watches. A
// picture that takes long to make is made less often, so that a watcher of a
// large cluster costs no more than a tenth of a processor.
const (
	watchEvery = 250 * time.Millisecond
	watchShare = 10
)

// watch sends a picture of the cluster whenever it has changed, until its
// reader goes away. With -o json it is a line with the answer of show service.
func watch(c *call) error {
	last := ""
	for {
		begun := time.Now()
		c.snapshot, c.now = nil, c.sh.now()
		s, err := c.read()
		if err != nil {
			return err
		}
		text, like := c.frame(s), ""
		if c.opts.JSON {
			if text, like, err = frameJSON(s, c.now); err != nil {
				return err
			}
		} else {
			like = text
		}
		if like != last {
			last = like
			if _, err := c.w.Write([]byte(text)); err != nil {
				return nil // nobody reads any more
			}
		}
		pause := time.NewTimer(max(watchEvery, watchShare*time.Since(begun)))
		select {
		case <-pause.C:
		case <-c.ctx.Done():
			pause.Stop()
			return nil
		}
	}
}

// frameJSON gives the line, and what of it tells whether anything changed:
// all but the moment.
func frameJSON(s *view.Snapshot, now time.Time) (line, like string, err error) {
	d := s.ServicesDocument(now)
	text, err := json.Marshal(d)
	if err != nil {
		return "", "", err
	}
	d.Taken = time.Time{}
	same, err := json.Marshal(d)
	return string(text) + "\n", string(same), err
}

// The least number of lines for each part of a picture, headings aside.
const (
	leastServices = 4
	leastEvents   = 3
	watchedMoves  = 3
)

// frame is one picture: what is wrong first, then the services, the nodes,
// and what happened, cut to the lines there are.
func (c *call) frame(s *view.Snapshot) string {
	problems := slices.DeleteFunc(s.Problems(c.now), func(p view.Problem) bool { return p.Level == machine.LevelInfo })
	parts := []*part{
		{least: 1, text: c.section(func() { c.clock(s) })},
		{least: leastServices, text: c.section(func() { c.problems(problems) })},
		{least: leastServices, text: c.section(func() { c.serviceTable(s, problems) })},
		{least: leastEvents, text: c.section(func() { c.nodeTable(s) })},
		{least: 0, text: c.section(func() { c.recentFailovers(s) })},
		{least: leastEvents, newest: true, text: c.section(func() { c.recentEvents(s) })},
	}
	fit(parts, c.opts.Lines)
	var b strings.Builder
	for i, p := range parts {
		if len(p.text) == 0 {
			continue
		}
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(strings.Join(p.text, "\n") + "\n")
	}
	return b.String() + FrameEnd
}

// part is a part of a picture.
type part struct {
	text   []string // lines
	least  int      // lines it is not cut below
	newest bool     // its end matters more than its beginning
}

// section runs a function that writes and gives what it wrote.
func (c *call) section(write func()) []string {
	kept := c.out
	c.out = &bytes.Buffer{}
	write()
	text := strings.Trim(c.out.String(), "\n")
	c.out = kept
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// fit cuts parts until all of them, with a blank line between them, have no
// more than so many lines; 0 is no limit. The last parts give way first.
func fit(parts []*part, lines int) {
	if lines <= 0 {
		return
	}
	over := -lines - 1 // no blank line before the first
	for _, p := range parts {
		if len(p.text) > 0 {
			over += len(p.text) + 1
		}
	}
	for i := len(parts) - 1; i > 0 && over > 0; i-- {
		p := parts[i]
		most := max(0, len(p.text)-(1+p.least)) // the heading counts
		if p.least == 0 {
			most = len(p.text)
		}
		if n := min(over, most); n > 0 {
			over -= p.cut(n)
		}
	}
	// Still too much: parts go as a whole, the last first.
	for i := len(parts) - 1; i > 0 && over > 0; i-- {
		if n := len(parts[i].text); n > 0 {
			over -= n + 1
			parts[i].text = nil
		}
	}
}

// cut takes n lines or, with what is said of that, the least that does it;
// it tells how many lines there are fewer.
func (p *part) cut(n int) int {
	before := len(p.text)
	if n >= before {
		p.text = nil
		return before + 1
	}
	if p.newest {
		p.text = append(p.text[:1:1], p.text[1+n:]...)
		return n
	}
	left := before - n - 1 // a line is for saying so
	if left < 1 {
		p.text = nil
		return before + 1
	}
	p.text = append(p.text[:left:left], fmt.Sprintf("... and %d more", before-left))
	return before - len(p.text)
}

// clock is the first line: this node, and the moment.
func (c *call) clock(s *view.Snapshot) {
	v := &s.Machine
	left := fmt.Sprintf("%s (%s) is %s; %s; %s, %s", clean(dash(v.Host)), v.Router, view.NodeWords(v), view.OSPFWords(&v.OSPF),
		view.Count(len(v.Nodes), "node"), view.Count(len(v.Services), "service"))
	right := s.Taken.Format("2006-01-02 15:04:05")
	room := c.opts.Width - len(right) - 2
	if c.opts.Width <= 0 {
		room = 0
	}
	if room < minLast && c.opts.Width > 0 {
		c.out.WriteString(cut(right, c.opts.Width) + "\n")
		return
	}
	if room > 0 && utf8.RuneCountInString(left) > room { // the router id is what one can do without
		left = strings.Replace(left, fmt.Sprintf(" (%s)", v.Router), "", 1)
	}
	left = cut(left, room)
	c.out.WriteString(left + strings.Repeat(" ", max(2, c.opts.Width-len([]rune(left))-len(right))) + right + "\n")
}

// recentFailovers are the newest few, the newest first.
func (c *call) recentFailovers(s *view.Snapshot) {
	all := s.Failovers[max(0, len(s.Failovers)-watchedMoves):]
	if len(all) == 0 {
		return
	}
	t := table{head: []string{">ago", "what", "service", "from", "to", ">took", "cause"}}
	for i := range slices.Backward(all) {
		f := &all[i]
		took := "-"
		if !f.Announced.IsZero() {
			took = view.Took(f.Announced.Sub(f.Noticed))
		}
		t.add(view.Age(c.now, f.Noticed), f.Kind.String(), f.Service, dash(f.FromHost), f.ToHost, took, f.CauseWords(c.now))
	}
	t.write(c.out, c.opts.Width)
}

// recentEvents fill what is left.
func (c *call) recentEvents(s *view.Snapshot) {
	most := 10
	if c.opts.Lines > 0 {
		most = c.opts.Lines
	}
	all := s.Events[max(0, len(s.Events)-most):]
	if len(all) == 0 {
		return
	}
	t := table{head: []string{"at", "level", "service", "event"}}
	for _, e := range all {
		word := e.Level.String()
		if e.Level == machine.LevelInfo {
			word = ""
		}
		t.add(e.At.Format("15:04:05.000"), word, dash(e.Service), e.Text)
	}
	t.write(c.out, c.opts.Width)
}
