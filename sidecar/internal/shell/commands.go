package shell

import (
	"errors"
	"strings"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// root is the tree of commands. It is made in init because commands such as
// help look into it.
var root *word

func init() { root = &word{Next: commands()} }

func tree() *word { return root }

// commands is the language: each command once, in the order in which ? lists
// them.
func commands() []*word {
	return []*word{
		{Name: "show", Help: "what this node knows", Next: showCommands()},
		{Name: "why", Help: "why a service runs where it does, or does not run", Next: []*word{{
			Name: "SERVICE", Kind: serviceName, Help: "a service", run: why,
			Long: "Tells in sentences where the service runs, who could run it in which order, what keeps the others from it, and what is being waited for.",
		}}},
		{Name: "watch", Help: "show the cluster, again and again as it changes", run: watch,
			Long: "Problems first, then services, nodes, the last failovers and events, cut to the terminal. q ends it. " +
				"Where the output is no terminal, one picture follows another, each ended by a form feed; with -o json they are lines, each an answer of show service."},
		{Name: "service", Help: "act on a service", Next: []*word{{
			Name: "SERVICE", Kind: serviceName, Help: "a service", Next: serviceCommands(),
		}}},
		{Name: "node", Help: "act on this node", Next: []*word{
			{Name: "standby", Help: "run no services here until `node online`; those that run move away", run: nodeVerb(machine.VerbStandby)},
			{Name: "online", Help: "run services here again", run: nodeVerb(machine.VerbOnline)},
			{Name: "maintenance", Help: "start and stop nothing here until `node online`", run: nodeVerb(machine.VerbMaintenance),
				Long: "What runs here stays, and no other node takes it over as long as this one is present. Everything is still observed."},
			{Name: "drain", Help: "go into standby, and wait until nothing runs here any more", run: nodeVerb(machine.VerbDrain)},
		}},
		{Name: "cluster", Help: "act on the whole cluster", Next: []*word{
			{Name: "freeze", Help: "start and stop nothing on any node until `cluster unfreeze`", run: nodeVerb(machine.VerbClusterFreeze),
				Long: "Everything is still observed. A service that must never run twice is stopped all the same where it might."},
			{Name: "unfreeze", Help: "end a `cluster freeze`, whoever said it", run: nodeVerb(machine.VerbClusterUnfreeze)},
		}},
		{Name: "ospf", Help: "run a command of ospfd", Next: []*word{{
			Name: "COMMAND", Kind: freeText, Help: "a command of ospfd's VTY, such as `show ip ospf neighbor`", run: daemonVTY("ospfd"),
		}}},
		{Name: "zebra", Help: "run a command of zebra", Next: []*word{{
			Name: "COMMAND", Kind: freeText, Help: "a command of zebra's VTY, such as `show ip route`", run: daemonVTY("zebra"),
		}}},
		{Name: "reload", Help: "read the configuration files again", run: reload,
			Long: "The files are checked first. If one of them is wrong, every error is shown and the configuration in force stays."},
		{Name: "plan", Help: "tell what reload would change", run: plan,
			Long: "The configuration files are read and compared with what is in force; nothing is changed."},
		{Name: "daemon", Help: "act on srrd itself", Next: []*word{
			{Name: "reexec", Help: "go on with the binary that is installed now, without anything noticing", run: reexec,
				Long: "This is how srrd is upgraded: install the new binary, then type this. Sessions with ospfd and zebra, primitives, watches and all that is known " +
					"go over to the new one, which first proves that it can read them; if it cannot, srrd goes on as it is and says why. " +
					"No LSA, no route and no service changes. The configuration files must be what is in force: reload first."},
		}},
		{Name: "simulate", Help: "tell what would happen if, without touching anything", Next: simulateCommands()},
		{Name: "terminal", Help: "set up this terminal", Next: []*word{
			{Name: "length", Help: "lines to a page", Next: []*word{{
				Name: "LINES", Kind: number, Max: 512, Help: "lines; 0 never stops", run: forClient,
			}}},
		}},
		{Name: "help", Help: "explain this shell, or a command", run: help, Next: []*word{{
			Name: "COMMAND", Kind: freeText, Help: "the beginning of a command", run: help,
		}}},
		{Name: "exit", Help: "leave this shell", run: forClient},
		{Name: "quit", Help: "leave this shell", Hidden: true, run: forClient},
		{Name: wordComplete, Help: "list how the last word of a line can go on", Hidden: true, run: forClient},
		{Name: wordDescribe, Help: "list what can stand at the end of a line", Hidden: true, run: forClient},
	}
}

func showCommands() []*word {
	return []*word{
		{Name: "service", Help: "services: where they run, and why", run: showServices, Next: []*word{{
			Name: "SERVICE", Kind: serviceName, Help: "one service in full, with every node's offer", run: showService,
		}}, Long: "A line for each service with its state on this node, then everything that is wrong. Services with a problem come first."},
		{Name: "node", Help: "nodes of the cluster", run: showNodes, Next: []*word{{
			Name: "NODE", Kind: nodeName, Help: "one node in full, with what it offers", run: showNode,
		}}},
		{Name: "group", Help: "groups: services that run together on one node", run: showGroups},
		{Name: "placement", Help: "where each service could run, in order, and where not and why", run: showPlacement},
		{Name: "check", Help: "how the checks of running services go", run: showChecks},
		{Name: "address", Help: "service addresses: on this node, and who announces them", run: showAddresses},
		{Name: "route", Help: "routes to service addresses: what zebra says here, and who announces them", run: showRoutes},
		{Name: "lsdb", Help: "the link-state database as ospfd reported it", run: showLSDB("all", false), Next: lsdbCommands()},
		{Name: "events", Help: "what happened, newest last", run: showEvents, Next: []*word{{
			Name: "N", Kind: number, Max: view.MaxEvents, Help: "how many; 50 without it", run: showEvents,
		}}},
		{Name: "failover", Help: "who took which service from whom, with its phases timed", run: showFailovers, Next: []*word{{
			Name: "N", Kind: number, Max: view.MaxFailovers, Help: "how many; 20 without it", run: showFailovers,
		}}, Long: "Times count from the moment this node noticed the loss or the move: claimed; cleared, as soon as nobody stands in the way; " +
			"started, when the start primitive is done; announced, when the new route is in the link-state database. " +
			"Of other nodes they are those at which their LSAs came."},
		{Name: "running-config", Help: "the configuration in force", run: showConfig},
		{Name: "version", Help: "version, and the state of the sessions with ospfd and zebra", run: showVersion},
	}
}

// lsdbHelp describes view.Kinds.
var lsdbHelp = map[string]string{
	"all":           "LSAs of every type",
	"router":        "router LSAs (type 1)",
	"network":       "network LSAs (type 2)",
	"summary":       "network summary LSAs (type 3)",
	"asbr-summary":  "summary LSAs of AS boundary routers (type 4)",
	"external":      "AS-external LSAs (type 5)",
	"nssa-external": "NSSA LSAs (type 7)",
	"opaque":        "opaque LSAs (types 9, 10 and 11)",
	"opaque-link":   "opaque LSAs of link scope (type 9)",
	"opaque-area":   "opaque LSAs of area scope (type 10)",
	"opaque-as":     "opaque LSAs of AS scope (type 11)",
}

func lsdbCommands() []*word {
	var all []*word
	for _, kind := range view.Kinds {
		all = append(all, &word{Name: kind, Set: "KIND", Help: lsdbHelp[kind], run: showLSDB(kind, false), Next: []*word{
			{Name: "detail", Help: "everything each LSA says", run: showLSDB(kind, true)},
		}})
	}
	return append(all, &word{Name: "detail", Help: "everything each LSA says", run: showLSDB("all", true)})
}

func serviceCommands() []*word {
	verb := func(v machine.Verb, help, long string) *word {
		return &word{Name: v.String(), Help: help, Long: long, run: serviceVerb(v)}
	}
	move := verb(machine.VerbMove, "run it on a certain node", "")
	move.run = nil
	move.Next = []*word{{Name: "NODE", Kind: nodeName, Help: "the node to run it", run: serviceVerb(machine.VerbMove),
		Long: "The node is preferred above all configuration until `unmove`, or for a time, or until it cannot run the service.",
		Next: []*word{{Name: "for", Help: "only for a time", Next: []*word{{
			Name: "DURATION", Kind: duration, Help: "such as 90s, 10m or 1h30m", run: serviceVerb(machine.VerbMove),
		}}}},
	}}
	confirm := verb(machine.VerbConfirmStopped, "swear that a node does not run it any more", "")
	confirm.run = nil
	confirm.Next = []*word{{Name: "NODE", Kind: nodeName, Help: "the node that is surely down, or was stopped by hand", run: serviceVerb(machine.VerbConfirmStopped),
		Long: "A service that must never run twice starts elsewhere as soon as this is said. If it is not true, data can be lost."}}
	return []*word{
		verb(machine.VerbStart, "let it run again after `stop`", ""),
		verb(machine.VerbStop, "stop it everywhere until `start`", ""),
		verb(machine.VerbRestart, "run its restart primitive here", ""),
		verb(machine.VerbReload, "run its reload primitive here", ""),
		verb(machine.VerbCheck, "run its check primitive here now", ""),
		verb(machine.VerbStatus, "run its status primitive here and show what it says", ""),
		move,
		verb(machine.VerbUnmove, "end a `move`", ""),
		verb(machine.VerbEnable, "offer it on this node", ""),
		verb(machine.VerbDisable, "stop offering it on this node, also after a restart", ""),
		verb(machine.VerbFreeze, "start and stop it nowhere until `unfreeze`, with its group", ""),
		verb(machine.VerbUnfreeze, "end a `freeze`, of its whole group", ""),
		verb(machine.VerbReactivate, "forget that it failed here, and let it try again", ""),
		confirm,
	}
}

func serviceVerb(v machine.Verb) func(*call) error {
	return func(c *call) error {
		sv, err := c.service("SERVICE")
		if err != nil {
			return err
		}
		cmd := machine.Command{Verb: v, Service: sv.Name}
		if t, ok := c.arg("NODE"); ok {
			cmd.Node = t.Text
			// Who is to be confirmed stopped may be long forgotten; the
			// machine remembers by router id.
			if v != machine.VerbConfirmStopped {
				if _, err := c.node("NODE"); err != nil {
					return err
				}
			}
		}
		if t, ok := c.arg("DURATION"); ok {
			cmd.For = parseDuration(t.Text)
		}
		return c.ask(cmd)
	}
}

func nodeVerb(v machine.Verb) func(*call) error {
	return func(c *call) error { return c.ask(machine.Command{Verb: v}) }
}

func daemonVTY(daemon string) func(*call) error {
	return func(c *call) error {
		t, _ := c.arg("COMMAND")
		// A session is shared: nobody may leave it in configuration mode.
		if view.EntersConfiguration(t.Text) {
			return errors.New("lines of configuration go into vtysh or the field for them on the pages, which enter and leave configuration mode")
		}
		text, err := c.sh.Deps.VTY(c.ctx, daemon, t.Text)
		if text = cleanLines(text); text != "" {
			c.out.WriteString(text + "\n")
			if err != nil { // the daemon's own words say it
				return errSaid
			}
		}
		return err
	}
}

func reload(c *call) error {
	text, err := c.sh.Deps.Reload(c.ctx)
	if err != nil {
		return err
	}
	return c.answer(text)
}

func reexec(c *call) error {
	text, err := c.sh.Deps.Reexec(c.ctx, c.who)
	if err != nil {
		return err
	}
	return c.answer(text)
}

func plan(c *call) error {
	text, err := c.sh.Deps.Plan(c.ctx)
	if err != nil {
		return err
	}
	return c.answer(text)
}

func showConfig(c *call) error {
	text, err := c.sh.Deps.Config(c.ctx)
	if err != nil {
		return err
	}
	if c.opts.JSON {
		return c.json(map[string]string{"config": text})
	}
	c.out.WriteString(cleanLines(text) + "\n")
	return nil
}

// forClient is a command that a client carries out itself.
func forClient(*call) error { return nil }

const helpText = `srrsh shows and steers the services of this cluster.

  Tab          completes a word
  ?            at the end of a line (then Enter) lists what can stand there
  abbreviate   any keyword, as long as it is clear: sh se
  -o json      before or behind a show command: the same for programs
  @NODE        before a command: another node carries it out

Commands:
`

func help(c *call) error {
	t, ok := c.arg("COMMAND")
	if !ok {
		c.out.WriteString(helpText)
		for _, d := range Commands() {
			c.out.WriteString("  " + d.Usage + "\n")
		}
		c.out.WriteString("\nhelp COMMAND explains one.\n")
		return nil
	}
	w := newWalker(root, t.Text)
	if err := w.walk(split(t.Text)); err != nil {
		return err
	}
	first := true
	for _, d := range Commands() {
		if d.Usage != path(w.match.Words) && !strings.HasPrefix(d.Usage, path(w.match.Words)+" ") {
			continue
		}
		if !first {
			c.out.WriteString("\n")
		}
		first = false
		c.out.WriteString(d.Usage + "\n")
		for _, s := range []string{d.Help, d.Long} {
			for _, l := range wrap(s, 72) {
				if l != "" {
					c.out.WriteString("    " + l + "\n")
				}
			}
		}
	}
	return nil
}

// Doc describes one complete command.
type Doc struct {
	Usage string // "service SERVICE move NODE for DURATION"
	Help  string // a line
	Long  string // more; may be empty
}

// Commands lists every command that is not hidden, in the order of the tree.
func Commands() []Doc {
	var all []Doc
	listed := map[string]bool{}
	var down func(at *word, way []*word)
	down = func(at *word, way []*word) {
		if usage := path(way); at.run != nil && !listed[usage] {
			listed[usage] = true
			all = append(all, Doc{usage, docHelp(way), at.Long})
		}
		for _, n := range at.Next {
			if !n.Hidden {
				down(n, append(way[:len(way):len(way)], n))
			}
		}
	}
	down(root, nil)
	return all
}

// docHelp is the help of the last keyword, and of what follows it.
func docHelp(way []*word) string {
	text := ""
	for _, n := range way {
		switch {
		case n.Set != "":
			text += "; " + n.Set + ": one of those that ? lists"
		case n.Kind == keyword:
			text = n.Help
		case n == way[len(way)-1]:
			text += "; " + n.Name + ": " + n.Help
		}
	}
	return text
}

func path(way []*word) string {
	var all []string
	for _, n := range way {
		if n.Set != "" {
			all = append(all, n.Set)
		} else {
			all = append(all, n.Name)
		}
	}
	return strings.Join(all, " ")
}

// Client names the commands that the client carries out itself.
type Client uint8

// The commands of the client.
const (
	ClientNone Client = iota
	ClientExit
	ClientLength
	ClientWatch
	ClientSimulate // see Simulation
)

// ClientCommand tells whether a line, abbreviated or not, is one that the
// client carries out itself; n is the number of `terminal length`.
func ClientCommand(line string) (cmd Client, n int) {
	m, err := parse(root, line)
	if err != nil || len(m.Words) == 0 {
		return ClientNone, 0
	}
	switch m.Words[0].Name {
	case "exit", "quit":
		return ClientExit, 0
	case "terminal":
		t, _ := m.arg("LINES")
		return ClientLength, parseNumber(t.Text)
	case "watch":
		return ClientWatch, 0
	case "simulate":
		if _, _, ok := Simulation(line); ok {
			return ClientSimulate, 0
		}
	}
	return ClientNone, 0
}
