// Package man writes manual pages from what commands say of themselves, so
// that a flag or a command is described once.
package man

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Section is a part of a page that the command itself does not know.
type Section struct {
	Title string // in capitals
	Text  string // paragraphs, a blank line between them; may be empty
	Items []Item
}

// Item is a term with what is said of it, which may be several paragraphs.
type Item struct{ Term, Text string }

// Page writes the page of a command, in the man macros of groff (man(7)). A
// page never carries a date or a version, so that it changes with its words
// alone.
func Page(cmd *cobra.Command, section int, more ...Section) string {
	p := &page{}
	p.line(".TH %s %d \"\" \"srrd\" \"%s\"", strings.ToUpper(cmd.Name()), section, title(section))
	p.line(".SH NAME")
	p.line("%s \\- %s", escape(cmd.Name()), escape(lower(cmd.Short)))
	p.line(".SH SYNOPSIS")
	p.line(".B %s", escape(strings.TrimPrefix(cmd.UseLine(), " ")))
	for _, sub := range cmd.Commands() {
		if shown(sub) {
			p.line(".br")
			p.line(".B %s", escape(sub.UseLine()))
		}
	}
	p.section(Section{Title: "DESCRIPTION", Text: cmd.Long})
	p.section(Section{Title: "OPTIONS", Items: options(cmd)})
	var subs Section
	subs.Title = "COMMANDS"
	for _, sub := range cmd.Commands() {
		if !shown(sub) {
			continue
		}
		text := sub.Short + "."
		if sub.Long != "" {
			text += "\n\n" + sub.Long
		}
		for _, o := range options(sub) {
			text += "\n\n" + o.Term + ": " + o.Text + "."
		}
		subs.Items = append(subs.Items, Item{sub.Name(), text})
	}
	if len(subs.Items) > 0 {
		p.section(subs)
	}
	for _, s := range more {
		p.section(s)
	}
	return p.b.String()
}

// shown tells which subcommands are ours to describe.
func shown(cmd *cobra.Command) bool { return cmd.IsAvailableCommand() && cmd.Name() != "help" }

func title(section int) string {
	if section == 8 {
		return "System Administration"
	}
	return "User Commands"
}

// options lists the flags of a command that are its own.
func options(cmd *cobra.Command) []Item {
	var all []Item
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			return
		}
		value, text := pflag.UnquoteUsage(f)
		term := "--" + f.Name
		if f.Shorthand != "" {
			term = "-" + f.Shorthand + ", " + term
		}
		if value != "" {
			term += " " + value
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
			text += " (" + f.DefValue + " without it)"
		}
		all = append(all, Item{term, text})
	})
	return all
}

type page struct{ b strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

func (p *page) section(s Section) {
	p.line(".SH %s", escape(s.Title))
	p.paragraphs(s.Text, ".PP")
	for _, i := range s.Items {
		p.line(".TP")
		p.line(".B %s", escape(i.Term))
		p.paragraphs(i.Text, ".IP")
	}
}

// paragraphs writes text; indented lines are left as they are.
func (p *page) paragraphs(text, between string) {
	for i, paragraph := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		if paragraph == "" {
			continue
		}
		if i > 0 {
			p.line("%s", between)
		}
		asIs := strings.HasPrefix(paragraph, "  ")
		if asIs {
			p.line(".nf")
		}
		for l := range strings.SplitSeq(paragraph, "\n") {
			p.line("%s", escape(l))
		}
		if asIs {
			p.line(".fi")
		}
	}
}

// escape keeps text from being taken for requests of roff, and hyphens from
// becoming dashes that cannot be copied to a shell.
func escape(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", `\(ga`, "'", `\(aq`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}

// lower begins a phrase without a capital, unless it is a name of capitals.
func lower(s string) string {
	_, second, _ := strings.Cut(s, " ")
	if s == "" || second != "" && second[:1] != strings.ToLower(second[:1]) {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
