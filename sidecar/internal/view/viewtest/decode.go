package viewtest

import (
	"fmt"
	"strings"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// Decode is a view.Database.Decode for the LSAs of srrd: a line that says
// all in short, then a line for each thing said.
func Decode(opaqueType uint8, body []byte) (text string, ok bool) {
	if opaqueType != advert.OpaqueType {
		return "", false
	}
	b, err := advert.Decode(body)
	switch {
	case err != nil:
		return "srrd LSA that cannot be read: " + err.Error(), true
	case b.Node != nil:
		return nodeText(b.Node), true
	case b.Service != nil:
		return serviceText(b.Service), true
	}
	return "", false
}

func nodeText(n *advert.Node) string {
	lines := []string{
		fmt.Sprintf("srrd %s %s %s", n.Host, n.State, n.Version),
		fmt.Sprintf("incarnation %d, generation %d", n.Incarnation, n.Generation),
	}
	if n.Web.IsValid() {
		lines = append(lines, "web "+n.Web.String())
	}
	return strings.Join(lines, "\n")
}

func serviceText(s *advert.Service) string {
	state := s.State.String()
	if s.Step != advert.StepNone {
		state += " " + s.Step.String()
	}
	lines := []string{
		fmt.Sprintf("service %s %s pref %d", s.Name, state, s.Preference),
		fmt.Sprintf("incarnation %d, generation %d", s.Incarnation, s.Generation),
		fmt.Sprintf("claim %s, seen %s", s.Claim, s.Seen),
	}
	if s.Failure.Code != advert.FailNone {
		lines[0] += " (" + s.Failure.String() + ")"
	}
	if f := s.Flags.String(); f != "" {
		lines = append(lines, "flags "+f)
	}
	for _, a := range s.Addresses {
		lines = append(lines, "address "+a.String())
	}
	return strings.Join(lines, "\n")
}
