package doctor

import (
	"slices"

	"github.com/srrd/srrd/vty"
)

// Severity is what srrd makes of a finding.
type Severity uint8

// The severities.
const (
	// Refuse: srrd does not start services like this.
	Refuse Severity = iota
	// Slow: failover takes longer than it could.
	Slow
	// Advice: worth knowing.
	Advice
)

func (s Severity) String() string {
	switch s {
	case Refuse:
		return "refuse"
	case Slow:
		return "slow"
	case Advice:
		return "advice"
	}
	return "severity?"
}

// MarshalText gives the severity's word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that is not as it should be.
type Finding struct {
	Severity Severity
	Subject  string // a few words; no two findings share them
	Text     string // what is wrong and what it costs
	Daemon   vty.Daemon
	// Lines mend it, where FRR's configuration can; Apply sets them.
	Lines []Lines
	// Steps mend it outside FRR's configuration: shell commands and file
	// edits, for a person.
	Steps []string
}

// Lines are configuration lines of one node.
type Lines struct {
	Class vty.Class // decides which daemon takes them in which release
	Node  []string  // from the configuration node down, such as "router ospf"
	Set   []string
}

// All is what is typed behind `configure terminal`.
func (l Lines) All() []string { return slices.Concat(l.Node, l.Set) }

// Blocking reports whether any finding keeps srrd from starting services.
func Blocking(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == Refuse })
}
