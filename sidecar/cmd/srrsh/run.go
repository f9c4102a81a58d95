package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// The exit codes.
const (
	exitOK          = 0
	exitCommand     = 1 // a command was refused or failed
	exitUsage       = 2
	exitUnreachable = 3
)

// defaultSocket is where srrd listens (DESIGN section 9).
const defaultSocket = "/run/srrd/srrd.vty"

// The environment stands in for flags that one would else type each time.
const (
	envCert = "SRRSH_CERT"
	envKey  = "SRRSH_KEY"
	envCA   = "SRRSH_CA"
)

// flags are the command line.
type flags struct {
	commands []string
	output   string
	socket   string
	auth     credentials
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

// exitError ends the program with a code; what is to be said was said.
type exitError int

func (e exitError) Error() string { return "exit " + strconv.Itoa(int(e)) }

// run is the program; it returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	var f flags
	cmd := command(&f, func() error {
		if f.output != "text" && f.output != "json" {
			return usageError{fmt.Errorf("-o %s: output is json or text", f.output)}
		}
		return serve(ctx, f, in, out, errs)
	})
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(errs)
	err := cmd.Execute()
	var code exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	// What is left comes from the flags.
	fmt.Fprintf(errs, "srrsh: %v\nusage: %s\n", err, cmd.Use)
	return exitUsage
}

// command is the command line.
func command(f *flags, do func() error) *cobra.Command {
	cmd := &cobra.Command{
		Use:                   "srrsh [-c COMMAND]... [-o json|text] [--socket PATH] [--cert FILE --key FILE [--ca FILE]]",
		Short:                 "Shell of srrd: show and steer the services of a cluster",
		Long:                  "srrsh talks to the srrd of this node. Without -c it starts a session, in which\nTab completes, and a line that ends in ? is explained; or, when its input is not\na terminal, it reads a command a line.\n\n@NODE before a command has another node carry it out: through its web server, at the\naddress that its LSA tells, with a client certificate and by the role that it has there.\nA node that serves its pages on loopback only cannot be asked so.",
		Example:               "  srrsh -c \"show service\"\n  srrsh -c \"why web\"\n  srrsh -o json -c \"show node\"",
		Args:                  cobra.NoArgs,
		SilenceUsage:          true,
		SilenceErrors:         true,
		RunE:                  func(*cobra.Command, []string) error { return do() },
		DisableFlagsInUseLine: true, // Use names them
		CompletionOptions:     cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	cmd.Flags().StringArrayVarP(&f.commands, "command", "c", nil, "run this `command` and exit; may be repeated")
	cmd.Flags().StringVarP(&f.output, "output", "o", "text", "`format` of what is shown: text or json")
	cmd.Flags().StringVar(&f.socket, "socket", defaultSocket, "the `path` at which srrd listens")
	cmd.Flags().StringVar(&f.auth.certificate, "cert", "", "`file` with the client certificate for @NODE")
	cmd.Flags().StringVar(&f.auth.key, "key", "", "`file` with its key")
	cmd.Flags().StringVar(&f.auth.authority, "ca", "", "`file` with the authority of the nodes' certificates; without it those of the system")
	return cmd
}

// serve chooses where the commands come from.
func serve(ctx context.Context, f flags, in io.Reader, out, errs io.Writer) error {
	auth := credentials{
		cmp.Or(f.auth.certificate, os.Getenv(envCert)), cmp.Or(f.auth.key, os.Getenv(envKey)), cmp.Or(f.auth.authority, os.Getenv(envCA)),
	}
	c := &client{socket: f.socket, out: out, errs: errs, json: f.output == "json", width: width(out), auth: auth}
	defer c.close()
	if len(f.commands) == 0 && isTerminal(in) && isTerminal(out) {
		return session(ctx, c)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	if len(f.commands) > 0 {
		for _, line := range f.commands {
			if code := c.do(ctx, line, in); code != exitOK {
				return exitError(code)
			}
		}
		return nil
	}
	return script(ctx, c, in)
}

// script runs a command a line, and stops at the first that fails. Lines that
// begin with # or ! are comments.
func script(ctx context.Context, c *client, in io.Reader) error {
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		if c.leaves(line) {
			return nil
		}
		if code := c.do(ctx, line, in); code != exitOK {
			fmt.Fprintf(c.errs, "srrsh: stopped at line %d\n", n)
			return exitError(code)
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintf(c.errs, "srrsh: reading commands: %v\n", err)
		return exitError(exitCommand)
	}
	return nil
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// size is how many columns and rows a terminal has; zeros for anything else.
func size(stream any) (columns, rows int) {
	f, ok := stream.(*os.File)
	if !ok {
		return 0, 0
	}
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(ws.Col), int(ws.Row)
}

// width is how wide tables may be: as the terminal, else as $COLUMNS says,
// else without limit, so that nothing is lost to a program that reads.
func width(out io.Writer) int {
	if columns, _ := size(out); columns > 0 {
		return columns
	}
	n, err := strconv.Atoi(os.Getenv("COLUMNS"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}
