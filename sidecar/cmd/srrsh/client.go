package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/srrd/srrd/sidecar/internal/shell"
	"github.com/srrd/srrd/vty"
)

// client is srrd at the other end of the socket. It dials when first needed,
// and again after the session died.
type client struct {
	socket string
	out    io.Writer
	errs   io.Writer
	json   bool
	width  int // of tables, columns; 0: no limit
	lines  int // that watch has; 0: no limit
	auth   credentials
	s      *vty.Session
}

func (c *client) close() {
	if c.s != nil {
		c.s.Close()
	}
}

// errUnreachable is in the chain when srrd did not answer.
var errUnreachable = errors.New("cannot reach srrd")

// exec runs one command; the text may be set beside an error. An error is
// errUnreachable, or a *vty.StatusError whose words are the text.
func (c *client) exec(ctx context.Context, command string) (string, error) {
	if c.s == nil || c.s.Err() != nil {
		s, err := vty.Dial(ctx, c.socket)
		if err != nil {
			return "", fmt.Errorf("%w at %s: %w", errUnreachable, c.socket, root(err))
		}
		c.s = s
	}
	text, err := c.s.Exec(ctx, command)
	var refused *vty.StatusError
	switch {
	case err == nil, errors.As(err, &refused), errors.Is(err, vty.ErrCommand):
		return text, err
	case ctx.Err() != nil:
		return text, ctx.Err()
	}
	return text, fmt.Errorf("%w at %s: %w", errUnreachable, c.socket, err)
}

// root is the innermost error: the path is said once already.
func root(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// do runs a command for a person or a script: text to out, refusals and
// failures to errs; it returns the exit code.
func (c *client) do(ctx context.Context, line string, in io.Reader) int {
	if cmd, _ := shell.ClientCommand(line); cmd == shell.ClientWatch {
		return c.watch(ctx, line, in)
	}
	text, code := c.ask(ctx, line)
	to := c.out
	if code != exitOK {
		to = c.errs
	}
	io.WriteString(to, text)
	return code
}

// ask runs a command and gives what is to be shown.
func (c *client) ask(ctx context.Context, line string) (text string, code int) {
	if node, command, ok := atNode(line); ok {
		if !strings.HasSuffix(command, "?") {
			return c.remote(ctx, node, command)
		}
		line = command // what can stand there is the same on all nodes
	}
	if cmd, _ := shell.ClientCommand(line); cmd == shell.ClientSimulate {
		return c.simulate(ctx, line)
	}
	text, err := c.exec(ctx, c.options()+line)
	switch {
	case err == nil:
		return text, exitOK
	case errors.Is(err, errUnreachable):
		return text + "srrsh: " + err.Error() + "\n", exitUnreachable
	case errors.Is(err, context.Canceled):
		return text + "interrupted; what was asked for may still happen\n", exitCommand
	case text == "":
		return "srrsh: " + err.Error() + "\n", exitCommand
	}
	return text, exitCommand // the refusal's words are the text
}

// options are what srrd has to know of this terminal.
func (c *client) options() string {
	o := ""
	if c.json {
		o = "-o json "
	}
	if c.width > 0 {
		o += "-w " + strconv.Itoa(c.width) + " "
	}
	if c.lines > 0 {
		o += "-l " + strconv.Itoa(c.lines) + " "
	}
	return o
}

// leaves reports whether a line is the command to end.
func (c *client) leaves(line string) bool {
	cmd, _ := shell.ClientCommand(line)
	return cmd == shell.ClientExit
}

// complete lists how the last word of a line can go on, for Tab.
func (c *client) complete(ctx context.Context, line string) []string {
	before := ""
	if rest, ok := strings.CutPrefix(strings.TrimLeft(line, " \t"), "@"); ok {
		if _, command, ok := strings.Cut(rest, " "); ok {
			line = strings.TrimLeft(command, " \t")
		} else {
			line, before = "show node "+rest, "@"
		}
	}
	text, err := c.exec(ctx, "complete "+line)
	if err != nil {
		return nil // a Tab is no place for errors; Enter tells
	}
	words := strings.Fields(text)
	for i := range words {
		words[i] = before + words[i]
	}
	return words
}
