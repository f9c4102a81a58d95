package shell

// Duty is what carrying a line out would do, and so who may ask for it from
// afar. The zero value is the gravest: a command that nobody has thought of
// here is for admins.
type Duty uint8

// The duties.
const (
	DutyRule   Duty = iota // shows or changes the configuration, or srrd itself
	DutyAct                // acts on services, on the node or on the cluster
	DutyRoute              // a command of a routing daemon: what it does is known there
	DutyLook               // does nothing but look at what whoever sees the pages may see
	DutyClient             // nothing for srrd: the client carries it out itself
	DutyNone               // is no command: carried out, it only shows what is wrong with it
)

// duties are those of the commands, by their first word.
var duties = map[string]Duty{
	"daemon": DutyRule,
	"show":   DutyLook, "why": DutyLook, "help": DutyLook,
	"service": DutyAct, "node": DutyAct, "cluster": DutyAct,
	"ospf": DutyRoute, "zebra": DutyRoute,
	"watch": DutyClient, "simulate": DutyClient, "terminal": DutyClient, "exit": DutyClient, "quit": DutyClient,
}

// Errand is a line that comes from another node, as the node it comes to has
// to judge it.
type Errand struct {
	Duty
	Line    string // as it was typed, without the options that a client puts before it
	Service string // it is about; may be empty
	Daemon  string // and Command: what a routing daemon is given
	Command string
}

// ErrandOf judges a line by the tree alone.
func ErrandOf(line string) Errand {
	if _, _, ok := clientLine(line); ok {
		return Errand{Duty: DutyClient, Line: line}
	}
	m, err := parse(root, line)
	if err != nil || len(m.Words) == 0 {
		return Errand{Duty: DutyNone, Line: line}
	}
	first := m.Words[0].Name
	e := Errand{Duty: duties[first], Line: m.Line}
	if first == "show" && len(m.Words) > 1 && m.Words[1].Name == "running-config" {
		e.Duty = DutyRule // the environment of primitives may hold secrets
	}
	if t, ok := m.arg("SERVICE"); ok {
		e.Service = t.Text
	}
	if e.Duty == DutyRoute {
		t, _ := m.arg("COMMAND")
		e.Daemon, e.Command = map[string]string{"ospf": "ospfd", "zebra": "zebra"}[first], t.Text
	}
	return e
}
