package shell

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// whereabouts is a service in a few words.
func whereabouts(sv *machine.ServiceView) string {
	text := "runs nowhere"
	if sv.Holder != "" {
		text = "runs on " + sv.Holder
	}
	if sv.Local {
		text += ", here " + view.StateHere(sv)
	}
	return text
}

func joinAddrs(all []netip.Addr) string {
	var s []string
	for _, a := range all {
		s = append(s, a.String())
	}
	return strings.Join(s, " ")
}

// someAddrs is the first address and how many more there are.
func someAddrs(all []netip.Addr) string {
	switch len(all) {
	case 0:
		return "-"
	case 1:
		return all[0].String()
	}
	return fmt.Sprintf("%s +%d", all[0], len(all)-1)
}

func showServices(c *call) error {
	s, err := c.read()
	if err != nil {
		return err
	}
	problems := s.Problems(c.now)
	if c.opts.JSON {
		return c.json(s.ServicesDocument(c.now))
	}
	c.headline(s)
	c.out.WriteString("\n")
	c.serviceTable(s, problems)
	c.problems(problems)
	return nil
}

// serviceTable is a line for each service. Those with a problem come first;
// else by name, as the snapshot has them.
func (c *call) serviceTable(s *view.Snapshot, problems []view.Problem) {
	if len(s.Machine.Services) == 0 {
		c.out.WriteString("no services: none is configured here, and no other node offers any\n")
		return
	}
	t := table{head: []string{"", "service", "here", "runs on", "address", "why"}}
	mark := worst(problems)
	for _, marked := range []bool{true, false} {
		for i := range s.Machine.Services {
			sv := &s.Machine.Services[i]
			if (mark[sv.Name] != "") == marked {
				t.add(dashless(mark[sv.Name]), sv.Name, view.StateHere(sv), dash(sv.Holder), someAddrs(sv.Addresses), view.WhyShort(sv))
			}
		}
	}
	t.write(c.out, c.opts.Width)
}

func dashless(s string) string {
	if s == "" {
		return " "
	}
	return s
}

// worst gives each service with an error "!" and with a warning "~".
func worst(problems []view.Problem) map[string]string {
	mark := map[string]string{}
	for _, p := range problems {
		switch {
		case p.Service == "":
		case p.Level == machine.LevelError:
			mark[p.Service] = "!"
		case p.Level == machine.LevelWarning && mark[p.Service] == "":
			mark[p.Service] = "~"
		}
	}
	return mark
}

// headline is this node in one line.
func (c *call) headline(s *view.Snapshot) {
	v := &s.Machine
	fmt.Fprintf(c.out, "%s (%s) is %s; %s; %s, %s\n", clean(dash(v.Host)), v.Router, view.NodeWords(v), view.OSPFWords(&v.OSPF),
		view.Count(len(v.Nodes), "node"), view.Count(len(v.Services), "service"))
}

// problems lists what is wrong, errors first.
func (c *call) problems(all []view.Problem) {
	if len(all) == 0 {
		return
	}
	c.out.WriteString("\n")
	for _, l := range []machine.Level{machine.LevelError, machine.LevelWarning, machine.LevelInfo} {
		for _, p := range all {
			if p.Level != l {
				continue
			}
			text := clean(p.Text)
			if !p.Since.IsZero() {
				text += " (for " + view.Age(c.now, p.Since) + ")"
			}
			room := 0
			if c.opts.Width > 0 {
				room = max(minLast, c.opts.Width-9)
			}
			word := view.LevelWord(l)
			for _, line := range wrap(text, room) {
				fmt.Fprintf(c.out, "%-7s  %s\n", word, line)
				word = ""
			}
		}
	}
}

func showService(c *call) error {
	sv, err := c.service("SERVICE")
	if err != nil {
		return err
	}
	s, err := c.read()
	if err != nil {
		return err
	}
	if c.opts.JSON {
		return c.json(s.ServiceDocument(c.now, sv))
	}
	fmt.Fprintf(c.out, "%s %s\n", clean(sv.Name), headOf(c, s, sv))
	f := fields{}
	f.add("kind", view.KindWords(sv))
	f.add("group", sv.Group)
	f.add("depends on", strings.Join(sv.Dependencies, ", "))
	f.add("address", addressWords(sv))
	f.add("scope", sv.Scope)
	if sv.Local {
		c.localFields(&f, s, sv)
	} else {
		f.add("here", "not configured on this node")
	}
	f.write(c.out, "  ", c.opts.Width)
	c.out.WriteString("\n")
	c.offers(sv)
	c.problems(s.ProblemsOf(c.now, sv.Name))
	return nil
}

// headOf is where the service is, behind its name.
func headOf(c *call, s *view.Snapshot, sv *machine.ServiceView) string {
	text := "runs nowhere"
	if sv.Holder != "" {
		text = "runs on " + clean(sv.Holder)
	}
	if sv.Local {
		text += fmt.Sprintf("; here (%s) %s for %s", clean(s.Machine.Host), view.StateHere(sv), view.Age(c.now, sv.Since))
	}
	return text
}

func addressWords(sv *machine.ServiceView) string {
	text := joinAddrs(sv.Addresses)
	if text != "" && sv.Way != "" {
		text += " (" + sv.Way + ")"
	}
	return text
}

// localFields is what only the node itself knows.
func (c *call) localFields(f *fields, s *view.Snapshot, sv *machine.ServiceView) {
	if view.Underway(sv) {
		f.add("step", sv.Step.String())
	}
	for _, w := range sv.Waits {
		f.add("waits", view.WaitWords(w))
	}
	for _, d := range sv.Deadlines {
		f.add("due", view.DueWords(c.now, d))
	}
	f.add("cause", sv.Cause)
	f.add("wanted", sv.Want+": "+sv.Why)
	if sv.Failure.Code != 0 {
		f.add("failure", sv.Failure.String())
	}
	if sv.Claim != 0 || sv.Seen != 0 {
		f.add("claim", fmt.Sprintf("%s, best seen %s", sv.Claim, sv.Seen))
	}
	f.add("pin", s.PinWords(sv))
	if sv.Hold.On {
		f.add("hold", fmt.Sprintf("stopped by an operator until `service %s start`", sv.Name))
	}
	f.add("frozen", view.FreezeWords(sv))
	if sv.Interval > 0 {
		f.add("check", fmt.Sprintf("every %s, last %s", sv.Interval, ago(c, sv)))
	}
	if w := view.RunningWords(c.now, sv); w != "" {
		f.add("runs now", "primitive "+w)
	}
	if !sv.Last.At.IsZero() {
		text := fmt.Sprintf("%s %s after %s, %s ago", sv.Last.Primitive, sv.Last.Outcome, view.Took(sv.Last.Took), view.Age(c.now, sv.Last.At))
		if sv.Last.Text != "" {
			text += ": " + sv.Last.Text
		}
		f.add("ran last", text)
	}
	f.add("LSA", sv.LSA)
}

func ago(c *call, sv *machine.ServiceView) string {
	if sv.LastCheck.IsZero() {
		return "never"
	}
	return view.Age(c.now, sv.LastCheck) + " ago"
}

// offers is a line for each node that offers the service.
func (c *call) offers(sv *machine.ServiceView) {
	if len(sv.Offers) == 0 {
		c.out.WriteString("no node offers it\n")
		return
	}
	t := table{head: []string{"", "node", "state", ">pref", "claim", "check", ">rank", "flags, why it is no candidate"}}
	for i := range sv.Offers {
		o := &sv.Offers[i]
		t.add(selfMark(o.Self), view.NameOf(o.Host, o.Router), view.OfferState(o), view.PrefWords(o), view.ClaimWords(o), view.Age(c.now, o.LastCheck), view.RankWords(o), view.Remarks(o))
	}
	t.write(c.out, c.opts.Width)
}

func selfMark(self bool) string {
	if self {
		return "*"
	}
	return " "
}
