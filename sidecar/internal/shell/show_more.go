package shell

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/view"
)

func showGroups(c *call) error {
	s, err := c.read()
	if err != nil {
		return err
	}
	if c.opts.JSON {
		return c.json(s.GroupsDocument())
	}
	groups := s.Groups()
	if len(groups) == 0 {
		c.out.WriteString("no service belongs to a group\n")
		return nil
	}
	t := table{head: []string{"group", "runs on", ">started", "leader", "claim", "members"}, wraps: true}
	for i := range groups {
		g := &groups[i]
		t.add(g.Name, dash(strings.Join(g.Holders, ", ")), strconv.Itoa(g.Started)+" of "+strconv.Itoa(len(g.Members)), g.Leader, claimWords(g.Claim), strings.Join(g.Members, ", "))
		if g.PinText != "" {
			t.addUnder(g.PinText)
		}
	}
	t.write(c.out, c.opts.Width)
	return nil
}

func claimWords(c advert.Claim) string {
	if c == 0 {
		return "-"
	}
	return c.String()
}

func showPlacement(c *call) error {
	s, err := c.read()
	if err != nil {
		return err
	}
	if c.opts.JSON {
		return c.json(s.PlacementsDocument())
	}
	all := s.Placements()
	if len(all) == 0 {
		c.out.WriteString("no services: none is configured here, and no other node offers any\n")
		return nil
	}
	t := table{head: []string{"service", "group", "runs on", "candidates, the best first"}, wraps: true}
	for i := range all {
		p := &all[i]
		var in, out []string
		for _, at := range p.Candidates {
			text := at.Host + " " + strconv.Itoa(int(at.Preference))
			if at.Pinned {
				text += " pinned"
			}
			in = append(in, text)
		}
		for _, at := range p.Others {
			out = append(out, "not "+at.Host+": "+at.WhyNot)
		}
		// A service with no candidate has only those that are none.
		if len(in) == 0 && len(out) > 0 {
			t.add(p.Service, dash(p.Group), dash(p.Holder), out[0])
			out = out[1:]
		} else {
			t.add(p.Service, dash(p.Group), dash(p.Holder), dash(strings.Join(in, ", ")))
		}
		t.addUnder(out...)
	}
	t.write(c.out, c.opts.Width)
	return nil
}

func showChecks(c *call) error {
	s, err := c.read()
	if err != nil {
		return err
	}
	if c.opts.JSON {
		return c.json(s.ChecksDocument(c.now))
	}
	all := s.Checks(c.now)
	if len(all) == 0 {
		c.out.WriteString("no service runs, so none is checked\n")
		return nil
	}
	t := table{head: []string{"", "service", "node", ">every", ">last", "standing", ">took", "says"}, wraps: true}
	for i := range all {
		k := &all[i]
		every, took := "-", ""
		if k.Interval > 0 {
			every = k.Interval.String()
		}
		if k.Outcome != "" {
			took = view.Took(k.Took)
		}
		t.add(selfMark(k.Self), k.Service, k.Host, every, view.Age(c.now, k.Last), k.Standing(), took, k.Text)
	}
	t.write(c.out, c.opts.Width)
	return nil
}

// defaultFailovers is how many failovers are shown without a number.
const defaultFailovers = 20

func showFailovers(c *call) error {
	s, err := c.read()
	if err != nil {
		return err
	}
	n := defaultFailovers
	if t, ok := c.arg("N"); ok {
		n = parseNumber(t.Text)
	}
	all := s.Failovers[max(0, len(s.Failovers)-n):]
	if c.opts.JSON {
		return c.json(s.FailoversDocument(all))
	}
	if len(all) == 0 {
		c.out.WriteString("no service was taken since srrd runs here\n")
		return nil
	}
	c.failovers(all)
	return nil
}

// failovers is a line for each, and under it the cause. Phases are told from
// the moment it was noticed.
func (c *call) failovers(all []view.Failover) {
	t := table{head: []string{"noticed", ">ago", "what", "service", "from", "to", ">claimed", ">cleared", ">started", ">announced"}}
	for i := range all {
		f := &all[i]
		took := map[string]string{}
		for _, p := range f.Phases() {
			took[p.Name] = view.Took(p.Took)
		}
		cells := []string{f.Noticed.Format("01-02 15:04:05.000"), view.Age(c.now, f.Noticed), f.Kind.String(), f.Service, dash(f.FromHost), f.ToHost}
		for _, name := range view.PhaseNames {
			cells = append(cells, dash(took[name]))
		}
		t.add(cells...)
	}
	var rows bytes.Buffer
	t.write(&rows, c.opts.Width)
	room := 0
	if c.opts.Width > 0 {
		room = max(minLast, c.opts.Width-4)
	}
	i := -1 // the heading
	for row := range strings.Lines(rows.String()) {
		c.out.WriteString(row)
		if i >= 0 {
			for _, l := range wrap(clean(all[i].CauseWords(c.now)), room) {
				c.out.WriteString("    " + l + "\n")
			}
		}
		i++
	}
}
