package advert

import (
	"fmt"
	"strings"
)

// Describe puts a body into words: a line that says all in short, then a line
// for each thing said. One that cannot be read is described by its error.
func Describe(body []byte) string {
	b, err := Decode(body)
	signed := ""
	if id := SignedUnder(body); id != 0 {
		signed = fmt.Sprintf("\nsigned under key %d", id)
	}
	switch {
	case err != nil:
		return "srrd: cannot be read: " + err.Error()
	case b.Node != nil:
		return b.Node.text() + signed
	}
	return b.Service.text() + signed
}

func (n *Node) text() string {
	lines := []string{
		fmt.Sprintf("srrd %s %s %s", n.Host, n.State, n.Version),
		fmt.Sprintf("incarnation %d, generation %d", n.Incarnation, n.Generation),
	}
	if n.Web.IsValid() {
		lines = append(lines, "web "+n.Web.String())
	}
	if n.Freeze.Number != 0 {
		lines = append(lines, fmt.Sprintf("cluster freeze %d, on %t", n.Freeze.Number, n.Freeze.On))
	}
	return strings.Join(lines, "\n")
}

func (s *Service) text() string {
	state := s.State.String()
	if s.Step != StepNone {
		state += ", " + s.Step.String()
	}
	if s.Failure.Code != FailNone {
		state += " (" + s.Failure.String() + ")"
	}
	lines := []string{
		fmt.Sprintf("service %s %s, preference %d", s.Name, state, s.Preference),
		fmt.Sprintf("incarnation %d, generation %d, configuration %s", s.Incarnation, s.Generation, s.Digest),
	}
	add := func(when bool, format string, a ...any) {
		if when {
			lines = append(lines, fmt.Sprintf(format, a...))
		}
	}
	add(s.Group != "", "group %s", s.Group)
	add(len(s.Dependencies) > 0, "depends on %s", strings.Join(s.Dependencies, " "))
	add(s.Claim != 0 || s.Seen != 0, "claim %s, seen %s", s.Claim, s.Seen)
	add(s.Floor != 0, "claims up to %d were acknowledged", s.Floor.Counter())
	add(s.Pin.Number != 0, "pin %d to %s, %d s left, void %t", s.Pin.Number, s.Pin.Target, s.Pin.Left, s.Pin.Void)
	add(s.Hold.Number != 0, "hold %d, on %t", s.Hold.Number, s.Hold.On)
	add(s.Freeze.Number != 0, "freeze %d, on %t", s.Freeze.Number, s.Freeze.On)
	add(s.Flags != 0, "flags %s", s.Flags)
	add(s.Interval != 0, "checked every %s", s.Interval)
	for _, a := range s.Addresses {
		add(true, "address %s", a)
	}
	return strings.Join(lines, "\n")
}
