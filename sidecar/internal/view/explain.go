package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Explain tells about a service, a sentence a line: where it runs, who could
// run it in which order, what keeps the others from it, what is waited for.
func (s *Snapshot) Explain(now time.Time, sv *machine.ServiceView) []string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }

	if sv.Holder != "" {
		say("%s runs on %s.", sv.Name, sv.Holder)
	} else {
		say("%s runs nowhere.", sv.Name)
	}
	if !sv.Local {
		say("It is not configured on this node (%s); this is what other nodes say.", s.Machine.Host)
	} else {
		say("Here (%s) it has been %s for %s: %s.", s.Machine.Host, StateHere(sv), Age(now, sv.Since), sv.Why)
		explainStep(now, sv, say)
	}
	if sv.Hold.On {
		say("An operator stopped it everywhere; `service %s start` ends that.", sv.Name)
	}
	if words := FreezeWords(sv); words != "" {
		say("It is frozen: %s.", words)
	}
	if p := s.PinWords(sv); p != "" {
		say("It is pinned: an operator has it %s.", p)
	}
	explainOffers(now, sv, say)
	for _, n := range sv.Notices {
		say("Notice: %s.", n)
	}
	for _, d := range sv.Deadlines {
		say("Due: %s.", DueWords(now, d))
	}
	return all
}

// explainStep is what this node is doing about it.
func explainStep(now time.Time, sv *machine.ServiceView, say func(string, ...any)) {
	if Underway(sv) {
		say("It is at the step %s.", sv.Step)
	}
	if sv.Cause != "" {
		say("The cause: %s.", sv.Cause)
	}
	for _, w := range sv.Waits {
		say("It waits %s.", WaitWords(w))
	}
	if w := RunningWords(now, sv); w != "" {
		say("A primitive runs now: %s.", w)
	}
	if sv.State.String() == "failed" || sv.Config == machine.ConfigFailed {
		if sv.Failure.Code != 0 {
			say("It failed here: %s.", sv.Failure)
		}
		say("`service %s reactivate` lets it try again at once.", sv.Name)
	}
	if sv.Config == machine.Disabled {
		say("`service %s enable` offers it on this node.", sv.Name)
	}
}

func explainOffers(now time.Time, sv *machine.ServiceView, say func(string, ...any)) {
	var candidates, others []*machine.OfferView
	for i := range sv.Offers {
		if o := &sv.Offers[i]; o.Rank > 0 {
			candidates = append(candidates, o)
		} else {
			others = append(others, o)
		}
	}
	slices.SortStableFunc(candidates, func(a, b *machine.OfferView) int { return cmp.Compare(a.Rank, b.Rank) })
	switch len(candidates) {
	case 0:
		say("No node is a candidate for it.")
	case 1:
		say("One node is a candidate:")
	default:
		say("The candidates, in their order:")
	}
	for i, o := range candidates {
		text := fmt.Sprintf("  %d. %s, %s, preference %s", o.Rank, NameOf(o.Host, o.Router), OfferState(o), prefLong(o))
		if o.Claim != 0 {
			text += ", claim " + o.Claim.String()
		}
		if i > 0 {
			before := candidates[i-1]
			text += fmt.Sprintf("; behind %s by its %s", NameOf(before.Host, before.Router), decidedBy(before, o))
		}
		say("%s.", text)
	}
	if len(others) > 0 {
		say("Not candidates:")
	}
	for _, o := range others {
		text := fmt.Sprintf("  - %s, %s", NameOf(o.Host, o.Router), OfferState(o))
		if !o.Self && !o.LastHeard.IsZero() {
			text += ", last heard " + Age(now, o.LastHeard) + " ago"
		}
		say("%s: %s.", text, notCandidate(o))
	}
}

// notCandidate is the reason, and what makes it worse.
func notCandidate(o *machine.OfferView) string {
	text := cmp.Or(o.WhyNot, Remarks(o), "no reason given")
	if strings.Contains(o.Flags.String(), "may-still-run") {
		text += "; it may still run there"
	}
	return text
}

func prefLong(o *machine.OfferView) string {
	if o.Pinned {
		return fmt.Sprintf("%d, pinned", o.Preference)
	}
	return fmt.Sprint(o.Preference)
}

// decidedBy names what puts a before b: the first difference in the order of
// DESIGN section 3.
func decidedBy(a, b *machine.OfferView) string {
	switch {
	case probation(a) != probation(b):
		return "probation"
	case a.Pinned != b.Pinned:
		return "lack of the pin"
	case a.Preference != b.Preference:
		return "preference"
	case has(a) != has(b):
		return "state"
	case a.Claim != b.Claim:
		return "claim"
	}
	return "router id"
}

func probation(o *machine.OfferView) bool { return strings.Contains(o.Flags.String(), "probation") }

// has ranks who has a service: started, starting, neither.
func has(o *machine.OfferView) int {
	switch o.State.String() {
	case "started":
		return 2
	case "starting":
		return 1
	}
	return 0
}
