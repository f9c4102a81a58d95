package view

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Problem is something a person should look at.
type Problem struct {
	Level   machine.Level `json:"level"`
	Service string        `json:"service,omitempty"`
	Node    string        `json:"node,omitempty"` // host name
	Text    string        `json:"text"`
	Since   time.Time     `json:"since"` // zero: not known
}

// The words of a service state, as advert and DESIGN section 2 have them.
const (
	stopped  = "stopped"
	starting = "starting"
	started  = "started"
	stopping = "stopping"
	failed   = "failed"
)

// staleAfter is how many check intervals a stamp may be old. The stamp is
// flooded at most every 5 s, which is added.
const staleAfter = 3

const stampPause = 5 * time.Second

// Problems lists what is wrong as this node sees it: its own sessions first,
// then nodes, then services, then LSAs nobody can read or
// believe. now is for ages.
func (s *Snapshot) Problems(now time.Time) []Problem {
	v := &s.Machine
	var all []Problem
	add := func(p Problem) { all = append(all, p) }
	own(v, add)
	for i := range v.Nodes {
		n := &v.Nodes[i]
		switch {
		case n.Self: // what is wrong here was said
		case n.Status == "present", n.Status == "left":
		default:
			add(Problem{Level: machine.LevelWarning, Node: n.Host, Text: "node " + NameOf(n.Host, n.Router) + " is " + n.Status, Since: n.Since})
		}
	}
	for i := range v.Services {
		service(&v.Services[i], now, add)
	}
	for _, b := range v.Bad {
		add(Problem{Level: machine.LevelWarning, Node: s.HostOf(b.Router.String()),
			Text: fmt.Sprintf("LSA %s of %s: %s", b.LSA, b.Router, b.Why), Since: b.Since})
	}
	for i := range v.Refused {
		if r := &v.Refused[i]; r.Present > 0 || now.Sub(r.Last) < refusedShown {
			add(Problem{Level: machine.LevelWarning, Node: s.HostOf(r.Router.String()), Text: refused(r), Since: r.First})
		}
	}
	return all
}

// refusedShown is how long an LSA that was refused and has left again is a
// problem.
const refusedShown = 10 * time.Minute

// refused is what was refused for one reason: the last of how many.
func refused(r *machine.RefusalView) string {
	text := fmt.Sprintf("LSA %s of %s refused: %s", r.LSA, r.Router, r.Why)
	if r.Count > 1 {
		text += fmt.Sprintf("; the last of %d like it, of which %d are in the database", r.Count, r.Present)
	}
	return text
}

// own is about this node's sessions.
func own(v *machine.View, add func(Problem)) {
	o := &v.OSPF
	switch {
	case !o.Up:
		add(Problem{Level: machine.LevelError, Text: because("no session with ospfd", o.Why), Since: o.Since})
	case !o.InSync:
		add(Problem{Level: machine.LevelWarning, Text: fmt.Sprintf("the link-state database is not in sync (%d neighbours full, %d on their way)", o.Full, o.Between), Since: o.Since})
	case o.Alone:
		add(Problem{Level: machine.LevelWarning, Text: "no neighbour: this node decides alone"})
	}
	if o.Problem != "" {
		add(Problem{Level: machine.LevelError, Text: o.Problem})
	}
	if v.Freeze.On { // also when something fails: that is worth more than a notice
		add(Problem{Level: machine.LevelWarning, Text: "the cluster is frozen: no node starts or stops anything until `cluster unfreeze`"})
	}
	switch v.Node {
	case advert.Maintenance:
		add(Problem{Level: machine.LevelInfo, Node: v.Host, Text: "this node is in maintenance: it starts and stops nothing until `node online`"})
	case advert.Standby:
		if len(v.Draining) > 0 {
			add(Problem{Level: machine.LevelInfo, Node: v.Host, Text: "this node drains; still here: " + strings.Join(v.Draining, ", ")})
		}
	case advert.Online, advert.Leaving:
	}
	if !v.Zebra.Up {
		add(Problem{Level: machine.LevelWarning, Text: because("no session with zebra", v.Zebra.Why), Since: v.Zebra.Since})
	}
}

// service is about one service.
func service(sv *machine.ServiceView, now time.Time, add func(Problem)) {
	say := func(level machine.Level, node string, since time.Time, format string, args ...any) {
		add(Problem{Level: level, Service: sv.Name, Node: node, Text: sv.Name + " " + fmt.Sprintf(format, args...), Since: since})
	}
	var running, moving []string
	offered := false
	refused := sv.Local && sv.Config == machine.ConfigFailed
	for i := range sv.Offers {
		o := &sv.Offers[i]
		if !o.Counts {
			continue
		}
		offered = true
		switch o.State.String() {
		case started:
			running = append(running, NameOf(o.Host, o.Router))
		case starting, stopping:
			moving = append(moving, NameOf(o.Host, o.Router))
		}
	}
	switch {
	case len(running) > 1 && len(moving) == 0:
		say(machine.LevelError, "", time.Time{}, "runs on several nodes: %s", strings.Join(running, ", "))
	case len(running)+len(moving) > 0:
	case sv.Hold.On:
		say(machine.LevelInfo, "", time.Time{}, "is stopped by an operator until `service %s start`", sv.Name)
	case !offered && sv.Local && (sv.Config == machine.Disabled || sv.Config == machine.Deactivated):
	case !offered && refused: // said below
	case !offered:
		say(machine.LevelWarning, "", time.Time{}, "is offered by no node%s", after(": ", sv.Why))
	default:
		say(machine.LevelError, "", time.Time{}, "runs nowhere%s", after(": ", sv.Why))
	}
	if refused {
		what, text := "ospfd refuses its LSA", cmp.Or(sv.Cause, sv.Failure.Text)
		if sv.Failure.Code == advert.FailActivate { // ospfd was not asked yet
			what, text = "activate failed", sv.Failure.Text
		}
		say(machine.LevelError, "", sv.Since, "could not be offered here: %s%s", what, after(": ", text))
	}
	for i := range sv.Offers {
		o := &sv.Offers[i]
		host := NameOf(o.Host, o.Router)
		if strings.Contains(o.Flags.String(), "may-still-run") {
			say(machine.LevelError, host, time.Time{}, "may still run on %s; once it surely does not: `service %s confirm-stopped %s`", host, sv.Name, host)
		}
		if o.Counts && o.State.String() == failed {
			say(machine.LevelWarning, host, time.Time{}, "failed on %s: %s", host, o.Failure)
		}
		if at := lastCheck(o); o.Counts && o.State.String() == started && o.Interval > 0 && !at.IsZero() && now.Sub(at) > staleAfter*o.Interval+stampPause {
			say(machine.LevelWarning, host, at, "is to be checked on %s every %s, and was not", host, o.Interval)
		}
	}
	if words := FreezeWords(sv); words != "" {
		say(machine.LevelInfo, "", time.Time{}, "is frozen: %s", words)
	}
	for _, n := range sv.Notices {
		add(Problem{Level: machine.LevelInfo, Service: sv.Name, Text: sv.Name + ": " + n})
	}
}

func because(what, why string) string { return what + after(": ", why) }

// after gives text behind a separator, or nothing.
func after(sep, text string) string {
	if text == "" {
		return ""
	}
	return sep + text
}

// lastCheck is when the service was checked last, as far as the node has said;
// one that has not been checked since it started counts from what was heard last.
func lastCheck(o *machine.OfferView) time.Time {
	if o.LastCheck.IsZero() {
		return o.LastHeard
	}
	return o.LastCheck
}
