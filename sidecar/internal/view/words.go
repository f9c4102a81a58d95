package view

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// The words of this file are those of every face: the shell's tables, the
// pages and the answers of the API say a thing in the same way.

// Age tells how long ago at was: "0.3s", "42s", "5m", "7h", "3d"; "-" for a
// moment that never was. A clock that went backwards gives "0.0s".
func Age(now, at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return Span(max(0, now.Sub(at)))
}

// RunningWords is the primitive that runs now and for how long, "" if none does.
func RunningWords(now time.Time, sv *machine.ServiceView) string {
	if sv.Running == "" {
		return ""
	}
	return sv.Running + ", for " + Age(now, sv.RunningSince)
}

// DueWords says what time alone brings about, and when from now.
func DueWords(now time.Time, d machine.DeadlineView) string {
	if !now.Before(d.At) {
		return d.What + " now"
	}
	return d.What + " in " + Span(d.At.Sub(now))
}

// Span is a time in the largest unit that leaves two digits or so.
func Span(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// Took is how long a run lasted, in milliseconds where that tells more.
func Took(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return Span(d)
}

// Count writes "1 node", "3 nodes".
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// NameOf is what a node is called: its host name, or its router id where no
// name was ever heard.
func NameOf(host string, id machine.RouterID) string {
	if host != "" {
		return host
	}
	return id.String()
}

// StateHere is `configuration state/service state` of this node; "-" where
// the service is not configured here.
func StateHere(sv *machine.ServiceView) string {
	if !sv.Local {
		return "-"
	}
	return sv.Config.String() + "/" + sv.State.String()
}

// Underway reports whether the service is inside starting or stopping here.
func Underway(sv *machine.ServiceView) bool {
	return sv.Local && sv.Step.String() != "none"
}

// WaitWords is what is waited for, behind "waits" and a blank: an end ("to
// give its LSA to ospfd again") or somebody ("for n2 to stop it").
func WaitWords(w string) string {
	if strings.HasPrefix(w, "to ") {
		return w
	}
	return "for " + w
}

// WhyShort is the reason in one line: what is being waited for where
// something is under way, else the verdict's sentence.
func WhyShort(sv *machine.ServiceView) string {
	if !Underway(sv) {
		// On its way into or out of the cluster the step is the configuration
		// state, and what it waits for says more than that it is not there.
		if sv.Local && sv.Config != machine.Active && len(sv.Waits) > 0 {
			return "waits " + WaitWords(sv.Waits[0])
		}
		return sv.Why
	}
	text := sv.Step.String()
	switch {
	case len(sv.Waits) > 0:
		text += ": waits " + WaitWords(strings.Join(sv.Waits, "; "))
	case sv.Running != "":
		text += ": runs " + sv.Running
	}
	if sv.Cause != "" {
		text += " (" + sv.Cause + ")"
	}
	return text
}

// KindWords is network or resource, and the flags.
func KindWords(sv *machine.ServiceView) string {
	text := sv.Kind
	if flags := sv.Flags.String(); flags != "" {
		text += ", " + strings.ReplaceAll(flags, ",", ", ")
	}
	return text
}

// PinWords is the pin in force; "" without one.
func (s *Snapshot) PinWords(sv *machine.ServiceView) string {
	if sv.Pin.Number == 0 || sv.Pin.Void {
		return ""
	}
	host := sv.PinHost
	if host == "" {
		host = s.HostOf(sv.Pin.Target.String())
	}
	until := "until unmove"
	if sv.Pin.Left > 0 { // the rest of it is among the notices
		until = "for a time"
	}
	return fmt.Sprintf("moved to %s %s", host, until)
}

// OfferState is the state with the step where there is one.
func OfferState(o *machine.OfferView) string {
	text := o.Config + "/" + o.State.String()
	if step := o.Step.String(); step != "none" {
		text += " " + step
	}
	return text
}

// PrefWords is the preference, and whether the pin outranks it.
func PrefWords(o *machine.OfferView) string {
	if o.Pinned {
		return "pin " + strconv.Itoa(int(o.Preference))
	}
	return strconv.Itoa(int(o.Preference))
}

// ClaimWords is the claim; "-" for none.
func ClaimWords(o *machine.OfferView) string {
	if o.Claim == 0 {
		return "-"
	}
	return o.Claim.String()
}

// RankWords is the place among the candidates; "-" for no candidate.
func RankWords(o *machine.OfferView) string {
	if o.Rank == 0 {
		return "-"
	}
	return strconv.Itoa(o.Rank)
}

// Remarks are the flags of an offer and why it is no candidate.
func Remarks(o *machine.OfferView) string {
	var all []string
	if flags := o.Flags.String(); flags != "" {
		all = append(all, strings.ReplaceAll(flags, ",", " "))
	}
	why := o.WhyNot
	if !o.Counts && why == "" {
		why = "does not count"
	}
	if why != "" {
		all = append(all, why)
	}
	if o.Failure.Code != 0 && !strings.Contains(why, o.Failure.String()) {
		all = append(all, "failure "+o.Failure.String())
	}
	return strings.Join(all, "; ")
}

// OSPFWords is the standing of the session with ospfd in a few words.
func OSPFWords(o *machine.OSPFView) string {
	switch {
	case !o.Up:
		return "no session with ospfd"
	case !o.InSync:
		return "not in sync"
	case o.Alone:
		return "alone, no neighbour"
	}
	return "in sync, " + Count(o.Full, "full neighbour")
}

// SessionWords is whether a session stands, how long, and why not.
func SessionWords(now time.Time, up bool, why string, since time.Time) string {
	word := "session up"
	if !up {
		word = "no session"
	}
	if !since.IsZero() {
		word += " for " + Age(now, since)
	}
	if why != "" {
		word += ": " + why
	}
	return word
}

// NodeWords is how this node stands: its state, what still runs here while it
// drains, and whether the cluster is frozen.
func NodeWords(v *machine.View) string {
	text := v.Node.String()
	if len(v.Draining) > 0 {
		text += ", draining (" + Count(len(v.Draining), "service") + " left)"
	}
	if v.Freeze.On {
		text += ", the cluster is frozen"
	}
	return text
}

// FreezeWords is the freeze of the service itself; "" where there is none.
func FreezeWords(sv *machine.ServiceView) string {
	if !sv.Freeze.On {
		return ""
	}
	return fmt.Sprintf("no node starts or stops it until `service %s unfreeze`", sv.Name)
}

// NodeState is "-" for a node whose announcement was never heard.
func NodeState(n *machine.NodeView) string {
	if n.State == 0 {
		return "-"
	}
	return n.State.String()
}

// Presence is whether the address is on this node, and whether it should be.
func (r *AddressRow) Presence() string {
	switch {
	case r.Wanted && r.Present:
		return "on"
	case r.Wanted:
		return "missing"
	case r.Present:
		return "still on"
	}
	return "off"
}

// Announcers names the routers that announce the address; "-" for none.
func (r *AddressRow) Announcers() string {
	if len(r.AnnouncedBy) == 0 {
		return "-"
	}
	var hosts []string
	for _, a := range r.AnnouncedBy {
		hosts = append(hosts, NameOf(a.Host, a.Router))
	}
	return strings.Join(hosts, " ")
}

// Heading is what LSAs are grouped by.
func (r *LSARow) Heading() string {
	switch {
	case r.Scope == "":
		return r.Type
	case r.Type == "opaque-link":
		return r.Type + ", interface " + r.Scope
	}
	return r.Type + ", area " + r.Scope
}

// LevelWord is the word for a level among problems.
func LevelWord(l machine.Level) string {
	switch l {
	case machine.LevelError:
		return "error"
	case machine.LevelWarning:
		return "warning"
	case machine.LevelInfo:
		return "notice"
	}
	return l.String()
}
