package man

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

func TestAPageSaysWhatTheCommandSaysOfItself(t *testing.T) {
	cmd := &cobra.Command{Use: "tool [--depth N]", Short: "Dig a hole", Long: "It digs.\n\n  tool --depth 3\n\n.hidden\\", Run: func(*cobra.Command, []string) {}}
	cmd.Flags().IntP("depth", "d", 2, "how `deep`, in metres")
	cmd.Flags().Bool("secret", false, "not told")
	if err := cmd.Flags().MarkHidden("secret"); err != nil {
		t.Fatal(err)
	}
	sub := &cobra.Command{Use: "fill", Short: "Fill it", Run: func(*cobra.Command, []string) {}}
	sub.Flags().Bool("twice", false, "do it again")
	cmd.AddCommand(sub)
	want := `.TH TOOL 1 "" "srrd" "User Commands"
.SH NAME
tool \- dig a hole
.SH SYNOPSIS
.B tool [\-\-depth N]
.br
.B tool fill [flags]
.SH DESCRIPTION
It digs.
.PP
.nf
  tool \-\-depth 3
.fi
.PP
\&.hidden\e
.SH OPTIONS
.TP
.B \-d, \-\-depth deep
how deep, in metres (2 without it)
.SH COMMANDS
.TP
.B fill
Fill it.
.IP
\-\-twice: do it again.
.SH FILES
.TP
.B /tmp
the \(aqplace\(aq
`
	cmd.DisableFlagsInUseLine = true
	if diff := cmp.Diff(want, Page(cmd, 1, Section{Title: "FILES", Items: []Item{{"/tmp", "the 'place'"}}})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
