package shell

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// words walks the tree.
func words(visit func(way []*word)) {
	var down func(way []*word)
	down = func(way []*word) {
		visit(way)
		for _, n := range way[len(way)-1].Next {
			down(append(way[:len(way):len(way)], n))
		}
	}
	down([]*word{root})
}

func TestTheTreeIsWellMade(t *testing.T) {
	words(func(way []*word) {
		at := way[len(way)-1]
		where := path(way[1:])
		if at != root && (at.Name == "" || at.Help == "") {
			t.Errorf("%q has no help", where)
		}
		if strings.HasSuffix(at.Help, ".") || at.Help != strings.TrimSpace(at.Help) || len(at.Help) > 76 {
			t.Errorf("%q: help is one short line without a full stop: %q", where, at.Help)
		}
		if (at.Kind == keyword) != (at.Name == strings.ToLower(at.Name)) {
			t.Errorf("%q: keywords are in lower case, arguments in upper case", where)
		}
		if at.run == nil && len(at.Next) == 0 {
			t.Errorf("%q leads nowhere", where)
		}
		if at.Kind == number && at.Max == 0 {
			t.Errorf("%q has no greatest number", where)
		}
		seen := map[string]bool{}
		for _, n := range at.Next {
			if seen[n.Name] {
				t.Errorf("%q has %q twice", where, n.Name)
			}
			seen[n.Name] = true
			if n.Kind != keyword && len(at.Next) > 1 {
				t.Errorf("%q: argument %s does not stand alone", where, n.Name)
			}
		}
	})
}

// example fills the arguments of a usage line in.
var example = strings.NewReplacer("SERVICE", "dns", "NODE", "n2", "DURATION", "10m", "LINES", "24", "KIND", "opaque")

func TestEveryListedCommandIsCarriedOut(t *testing.T) {
	for _, d := range Commands() {
		line := example.Replace(d.Usage)
		line = strings.ReplaceAll(line, " N", " 5")
		if strings.HasPrefix(line, "help") {
			line = strings.ReplaceAll(line, "COMMAND", "show")
		}
		sh, _ := newShell()
		if out, status := run(t, sh, line); status != StatusSuccess {
			t.Errorf("%s: status %d: %s", line, status, out)
		}
		if d.Help == "" {
			t.Errorf("%s has no help", d.Usage)
		}
	}
}

func TestAbbreviationsMeanTheSame(t *testing.T) {
	for short, long := range map[string]string{
		"sh se":               "show service",
		"sh n":                "show node",
		"sh l opaque-l d":     "show lsdb opaque-link detail",
		"  wh   dns  ":        "why dns",
		"se dns sto":          "service dns stop",
		"ser dns mov n2 f 1h": "service dns move n2 for 1h",
		"n s":                 "node standby",
		"t l 0":               "terminal length 0",
		"sh lsdb opaque":      "show lsdb opaque", // also the beginning of others
		"sho\tser":            "show service",
	} {
		got, err := parse(root, short)
		if err != nil {
			t.Errorf("%q: %v", short, err)
			continue
		}
		want, err := parse(root, long)
		if err != nil {
			t.Fatalf("%q: %v", long, err)
		}
		if path(got.Words) != path(want.Words) || got.Words[len(got.Words)-1] != want.Words[len(want.Words)-1] {
			t.Errorf("%q is %q, want %q", short, path(got.Words), path(want.Words))
		}
	}
}

func TestErrorsPointAtTheWordThatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name, line string
		status     Status
		want       string
	}{
		{"an unknown word has its nearest named", "shwo service", StatusNoMatch,
			"  shwo service\n  ^^^^\n% unknown word \"shwo\"; did you mean \"show\"?\n"},
		{"an unknown word lists what goes there", "node away", StatusNoMatch,
			"  node away\n       ^^^^\n% unknown word \"away\"; here goes standby, online, maintenance or drain\n"},
		{"an ambiguous word lists its meanings", "s", StatusAmbiguous,
			"  s\n  ^\n% \"s\" may be show, service or simulate\n"},
		{"an ambiguous verb lists its meanings", "service dns st", StatusAmbiguous,
			"  service dns st\n              ^^\n% \"st\" may be start, stop or status\n"},
		{"an incomplete command says what is missing", "service dns move", StatusIncomplete,
			"  service dns move\n                   ^\n% incomplete; here goes NODE\n"},
		{"an incomplete command with blanks behind it", "node  ", StatusIncomplete,
			"  node\n       ^\n% incomplete; here goes standby, online, maintenance or drain\n"},
		{"a word too many", "show version now", StatusNoMatch,
			"  show version now\n               ^^^\n% nothing may follow here\n"},
		{"a service that is not there", "service dsn stop", StatusNoMatch,
			"  service dsn stop\n          ^^^\n% there is no service \"dsn\"; did you mean \"dns\"?\n"},
		{"names are not abbreviated", "why arch", StatusNoMatch,
			"  why arch\n      ^^^^\n% there is no service \"arch\"; `show service` lists the 13 there are\n"},
		{"a node that is not there", "service dns move n99", StatusNoMatch,
			"  service dns move n99\n                   ^^^\n% there is no node \"n99\"; known are n1, n2, n3, n4\n"},
		{"a number out of range", "show events 99999", StatusNoMatch,
			"  show events 99999\n              ^^^^^\n% N is a number from 0 to 2000\n"},
		{"a negative number is taken for an option", "show events -5", StatusIncomplete,
			"  show events -5\n              ^^\n% option -5 needs a value\n"},
		{"a duration that is none", "service dns move n2 for soon", StatusNoMatch,
			"  service dns move n2 for soon\n                          ^^^^\n% DURATION is a time from 1s to 8760h, such as 90s, 10m or 1h30m\n"},
		{"a duration that is too short", "service dns move n2 for 5ms", StatusNoMatch,
			"  service dns move n2 for 5ms\n                          ^^^\n% DURATION is a time from 1s to 8760h, such as 90s, 10m or 1h30m\n"},
		{"an unknown format", "show node -o xml", StatusNoMatch,
			"  show node -o xml\n               ^^^\n% output is json or text\n"},
		{"options of the client are not shown", "-w 90 -o json shwo", StatusNoMatch,
			"  shwo\n  ^^^^\n% unknown word \"shwo\"; did you mean \"show\"?\n"},
		{"what could steer a terminal is not echoed", "show \x1b[2J", StatusNoMatch,
			"  show ?[2J\n       ^^^^\n% unknown word \"\\x1b[2J\"; here goes service, node, group, placement, check, address, route, lsdb, events, failover, running-config or version\n"},
		{"letters of two bytes are one column", "shöw", StatusNoMatch,
			"  shöw\n  ^^^^\n% unknown word \"shöw\"; did you mean \"show\"?\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sh, f := newShell()
			got, status := run(t, sh, c.line)
			if status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(f.asked) > 0 {
				t.Errorf("it asked for %v", f.asked)
			}
		})
	}
}

func TestCommandsAskForWhatTheySay(t *testing.T) {
	for line, want := range map[string]machine.Command{
		"service dns start":                    {Verb: machine.VerbStart, Service: "dns"},
		"service dns stop":                     {Verb: machine.VerbStop, Service: "dns"},
		"service dns restart":                  {Verb: machine.VerbRestart, Service: "dns"},
		"service dns reload":                   {Verb: machine.VerbReload, Service: "dns"},
		"service dns check":                    {Verb: machine.VerbCheck, Service: "dns"},
		"service dns status":                   {Verb: machine.VerbStatus, Service: "dns"},
		"service dns move n2":                  {Verb: machine.VerbMove, Service: "dns", Node: "n2"},
		"service dns move 10.255.0.2":          {Verb: machine.VerbMove, Service: "dns", Node: "10.255.0.2"},
		"service dns move n2 for 1h30m":        {Verb: machine.VerbMove, Service: "dns", Node: "n2", For: 90 * time.Minute},
		"service dns unmove":                   {Verb: machine.VerbUnmove, Service: "dns"},
		"service dns enable":                   {Verb: machine.VerbEnable, Service: "dns"},
		"service dns disable":                  {Verb: machine.VerbDisable, Service: "dns"},
		"service dns reactivate":               {Verb: machine.VerbReactivate, Service: "dns"},
		"service disk confirm-stopped n4":      {Verb: machine.VerbConfirmStopped, Service: "disk", Node: "n4"},
		"service disk confirm-stopped 1.2.3.4": {Verb: machine.VerbConfirmStopped, Service: "disk", Node: "1.2.3.4"},
		"node standby":                         {Verb: machine.VerbStandby},
		"node online":                          {Verb: machine.VerbOnline},
		"node maintenance":                     {Verb: machine.VerbMaintenance},
		"node drain":                           {Verb: machine.VerbDrain},
		"cluster freeze":                       {Verb: machine.VerbClusterFreeze},
		"cluster unfreeze":                     {Verb: machine.VerbClusterUnfreeze},
		"service dns freeze":                   {Verb: machine.VerbFreeze, Service: "dns"},
		"service dns unfreeze":                 {Verb: machine.VerbUnfreeze, Service: "dns"},
	} {
		sh, f := newShell()
		out, status := run(t, sh, line)
		want.Who = "test"
		if status != StatusSuccess || out != "done\n" {
			t.Errorf("%s: status %d: %q", line, status, out)
		}
		if diff := cmp.Diff([]machine.Command{want}, f.asked); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

func TestARefusalIsShownInItsWords(t *testing.T) {
	sh, f := newShell()
	f.refusal = errors.New("n3 is in standby")
	if out, status := run(t, sh, "service dns move n3"); status != StatusWarning || out != "% n3 is in standby\n" {
		t.Errorf("status %d: %q", status, out)
	}
	if out, status := run(t, sh, "plan"); status != StatusWarning || out != "% n3 is in standby\n" {
		t.Errorf("status %d: %q", status, out)
	}
	if out, status := run(t, sh, "reload"); status != StatusWarning || out != "% n3 is in standby\n" {
		t.Errorf("status %d: %q", status, out)
	}
}

func TestADaemonThatCannotBeReadIsSaidSo(t *testing.T) {
	sh, f := newShell()
	f.readErr = errors.New("srrd is shutting down")
	for _, line := range []string{"show service", "why dns", "service dns stop", "show node n1"} {
		if out, status := run(t, sh, line); status != StatusWarning || out != "% cannot see the state of srrd: srrd is shutting down\n" {
			t.Errorf("%s: status %d: %q", line, status, out)
		}
	}
	if out, _ := run(t, sh, "complete sh"); out != "show\n" {
		t.Errorf("keywords do not complete without a snapshot: %q", out)
	}
}

func TestCommandsOfTheDaemonsGoThroughUntouched(t *testing.T) {
	sh, f := newShell()
	out, status := run(t, sh, "-w 100 ospf  show ip ospf   neighbor -o json ")
	if status != StatusSuccess || out != "\nNeighbor ID     Pri State\n10.255.0.101      1 Full/DR\n" {
		t.Errorf("status %d: %q", status, out)
	}
	run(t, sh, "z show ip route")
	if diff := cmp.Diff([]string{"ospfd: show ip ospf   neighbor -o json", "zebra: show ip route"}, f.vty); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if out, status := run(t, sh, "ospf nonsense"); status != StatusWarning || out != "% Unknown command: nonsense\n" {
		t.Errorf("status %d: %q", status, out)
	}
}

func TestTabCompletes(t *testing.T) {
	for line, want := range map[string]string{
		"":                             "show why watch service node cluster ospf zebra reload plan daemon simulate terminal help exit",
		"s":                            "show service simulate",
		"show ":                        "service node group placement check address route lsdb events failover running-config version",
		"sh se d":                      "db disk dns",
		"service dns mo":               "move",
		"service dns move ":            "n1 n2 n3 n4",
		"service dns move n2 ":         "for",
		"service dns move n2 for ":     "",
		"show lsdb op":                 "opaque opaque-link opaque-area opaque-as",
		"show lsdb opaque ":            "detail",
		"ospf sh":                      "",
		"nonsense ":                    "",
		"show service -o ":             "json text",
		"show service -o j":            "json",
		"exit":                         "exit",
		"comp":                         "",
		"why \x1b":                     "",
		"show service nothing-like-it": "",
	} {
		sh, _ := newShell()
		out, status := run(t, sh, "complete "+line)
		if got := strings.Join(strings.Fields(out), " "); got != want || status != StatusSuccess {
			t.Errorf("complete %q: status %d: %q, want %q", line, status, got, want)
		}
	}
}

func TestAQuestionIsAnsweredAndNotCarriedOut(t *testing.T) {
	for line, want := range map[string]string{
		"service dns stop ?": "  <cr>  carry it out\n",
		"service dns sto?":   "  stop  stop it everywhere until `start`\n",
		"show events ?":      "  N     how many; 50 without it\n  <cr>  carry it out\n",
		"describe node ": "  standby      run no services here until `node online`; those that run move away\n  online       run services here again\n" +
			"  maintenance  start and stop nothing here until `node online`\n  drain        go into standby, and wait until nothing runs here any more\n",
		"service dns move n2 fo?": "  for  only for a time\n",
		"ospf ?":                  "  COMMAND  a command of ospfd's VTY, such as `show ip ospf neighbor`\n",
		"show -w ?":               "  COLUMNS  cut tables to so many columns, 0 for no limit\n",
	} {
		sh, f := newShell()
		out, status := run(t, sh, line)
		if status != StatusSuccess {
			t.Errorf("%q: status %d", line, status)
		}
		if diff := cmp.Diff(want, out); diff != "" {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
		if len(f.asked) > 0 {
			t.Errorf("%q asked for %v", line, f.asked)
		}
	}
	sh, _ := newShell()
	if out, status := run(t, sh, "show nonsense ?"); status != StatusNoMatch || !strings.Contains(out, "^^^^^^^^") {
		t.Errorf("a wrong word before the question: status %d: %s", status, out)
	}
}

func TestTheClientKnowsItsOwnCommands(t *testing.T) {
	for line, want := range map[string]Client{
		"exit": ClientExit, "ex": ClientExit, "quit": ClientExit, "term len 30": ClientLength, "terminal length 0": ClientLength,
		"show service": ClientNone, "": ClientNone, "terminal": ClientNone, "exit now": ClientNone, "wat": ClientWatch, "watch -o json": ClientWatch,
		"simulate node-down n1": ClientSimulate, "simulate dump": ClientNone, "simulate node-down": ClientNone,
	} {
		if got, _ := ClientCommand(line); got != want {
			t.Errorf("%q is %d, want %d", line, got, want)
		}
	}
	if _, n := ClientCommand("term len 30"); n != 30 {
		t.Errorf("length %d, want 30", n)
	}
}

func FuzzAnyLineIsAnswered(f *testing.F) {
	for _, d := range Commands() {
		f.Add(example.Replace(d.Usage))
	}
	for _, s := range []string{"", "?", "\x00", "-o", "-w 9 -o json show", "complete ", "describe -", "show \xff\xfe", "-", "- -", "ospf -w", "show service -o json?"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		sh, daemon := newShell()
		out, status := run(t, sh, line)
		if status > StatusIncomplete {
			t.Fatalf("status %d", status)
		}
		if status != StatusSuccess && out == "" {
			t.Fatalf("status %d without a word", status)
		}
		for _, r := range out {
			if r < ' ' && r != '\n' && string(r) != FrameEnd || r == 0x7f {
				t.Fatalf("control character %#x in the answer: %q", r, out)
			}
		}
		if n := len(daemon.asked); n > 1 {
			t.Fatalf("%d commands of one line", n)
		}
		run(t, sh, "complete "+line)
		run(t, sh, "describe "+line)
		if len(daemon.asked) > 1 {
			t.Fatal("completing a line carried it out")
		}
	})
}
