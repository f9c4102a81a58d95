package main

import (
	"github.com/srrd/srrd/sidecar/internal/man"
	"github.com/srrd/srrd/sidecar/internal/shell"
)

// manual is srrsh(1), with every command of the shell.
func manual() string {
	commands := man.Section{Title: "COMMANDS", Text: "Keywords may be abbreviated as long as one meaning is left. Words in capitals stand for what is to be filled in. " +
		"-o json before or behind a show command gives the same for programs."}
	for _, d := range shell.Commands() {
		text := d.Help
		if d.Long != "" {
			text += "\n\n" + d.Long
		}
		commands.Items = append(commands.Items, man.Item{Term: d.Usage, Text: text})
	}
	return man.Page(command(&flags{}, func() error { return nil }), 1,
		commands,
		man.Section{Title: "KEYS", Items: []man.Item{
			{Term: "Tab", Text: "completes a word"},
			{Term: "?", Text: "at the end of a line, then Enter: lists what can stand there"},
			{Term: "Ctrl-C", Text: "ends the command that runs, or empties the line"},
			{Term: "Ctrl-D", Text: "leaves the shell"},
			{Term: "Blank, Enter, q", Text: "at --More--: a page, a line, enough"},
			{Term: "Ctrl-R", Text: "searches the lines typed before"},
		}},
		man.Section{Title: "EXIT STATUS", Items: []man.Item{
			{Term: "0", Text: "every command was carried out"},
			{Term: "1", Text: "a command was refused or failed; those behind it were not carried out"},
			{Term: "2", Text: "srrsh itself was called wrongly"},
			{Term: "3", Text: "srrd cannot be reached"},
		}},
		man.Section{Title: "ENVIRONMENT", Items: []man.Item{
			{Term: "COLUMNS", Text: "the width of tables where the output is no terminal; nothing is cut without it"},
			{Term: envCert + ", " + envKey + ", " + envCA, Text: "stand for --cert, --key and --ca"},
		}},
		man.Section{Title: "FILES", Items: []man.Item{
			{Term: defaultSocket, Text: "where srrd listens; who may connect is a matter of its mode and group (shell: in srrd.yaml)"},
			{Term: "~/.srrsh_history", Text: "the lines typed before"},
		}},
		man.Section{Title: "SEE ALSO", Text: "srrd(8), vtysh(1)"},
	)
}
