package shell

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// Deps is what the shell needs of the daemon. Every call ends with its
// context.
type Deps interface {
	// Read gives a snapshot of now (view.Board.Read).
	Read(ctx context.Context) (*view.Snapshot, error)
	// Ask sends a command to the owner and waits for its answer; ID is set on
	// the way. The error is the refusal, in words for the person who asked.
	Ask(ctx context.Context, c machine.Command) (text string, err error)
	// VTY runs a command of a routing daemon, "ospfd" or "zebra". The text is
	// what it printed, also beside an error.
	VTY(ctx context.Context, daemon, command string) (text string, err error)
	// Reload reads the configuration files again; on error the old
	// configuration stays in force.
	Reload(ctx context.Context) (text string, err error)
	// Plan tells what Reload would change.
	Plan(ctx context.Context) (text string, err error)
	// Config gives the configuration in force, as YAML.
	Config(ctx context.Context) (text string, err error)
	// Reexec has srrd re-execute itself for who; it returns if that is not to
	// be, or when it is certain.
	Reexec(ctx context.Context, who string) (text string, err error)
}

// Shell carries out commands. Its fields are set before its use and then left
// alone.
type Shell struct {
	Deps Deps
	// Now is the clock that ages are told by; nil is time.Now.
	Now func() time.Time
}

// call is one command that is carried out.
type call struct {
	*match
	ctx      context.Context
	sh       *Shell
	who      string
	out      *bytes.Buffer
	w        io.Writer // where out goes in the end; watch writes to it at once
	now      time.Time
	snapshot *view.Snapshot // see read
}

// Exec carries out one line for who (the name that events and logs show) and
// writes its text to w. An error writing to w is the reader's concern and not
// reported.
func (sh *Shell) Exec(ctx context.Context, who, line string, w io.Writer) Status {
	c := &call{ctx: ctx, sh: sh, who: who, out: &bytes.Buffer{}, w: w, now: sh.now()}
	status := c.exec(line)
	w.Write(c.out.Bytes())
	return status
}

func (sh *Shell) now() time.Time {
	if sh.Now != nil {
		return sh.Now()
	}
	return time.Now()
}

func (c *call) exec(line string) Status {
	if raw, word, ok := clientLine(line); ok {
		return c.report(c.assist(word, raw))
	}
	trimmed := strings.TrimSpace(line)
	if trimmed == "" {
		return StatusSuccess
	}
	if head, ok := strings.CutSuffix(trimmed, "?"); ok {
		return c.report(c.assist(wordDescribe, head))
	}
	m, err := parse(tree(), line)
	if err != nil {
		return c.report(err)
	}
	c.match = m
	return c.report(m.run(c))
}

// report puts an error into words.
func (c *call) report(err error) Status {
	if err == nil {
		return StatusSuccess
	}
	if errors.Is(err, errSaid) {
		return StatusWarning
	}
	status := StatusWarning
	var at *LineError
	if errors.As(err, &at) {
		status = at.Status
		c.out.WriteString(at.Point())
	}
	fmt.Fprintf(c.out, "%% %s\n", cleanLines(err.Error()))
	return status
}

// read gives the snapshot, the same for the whole command.
func (c *call) read() (*view.Snapshot, error) {
	if c.snapshot == nil {
		s, err := c.sh.Deps.Read(c.ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot see the state of srrd: %w", err)
		}
		c.snapshot = s
	}
	return c.snapshot, nil
}

// service finds the service that an argument names.
func (c *call) service(name string) (*machine.ServiceView, error) {
	s, err := c.read()
	if err != nil {
		return nil, err
	}
	t, _ := c.arg(name)
	if sv := s.Service(t.Text); sv != nil {
		return sv, nil
	}
	return nil, c.unknownName(t, "service", serviceNames(s))
}

// node finds the node that an argument names.
func (c *call) node(name string) (*machine.NodeView, error) {
	s, err := c.read()
	if err != nil {
		return nil, err
	}
	t, _ := c.arg(name)
	if n := s.Node(t.Text); n != nil {
		return n, nil
	}
	return nil, c.unknownName(t, "node", hostNames(s))
}

func (c *call) unknownName(t token, what string, known []string) error {
	text := fmt.Sprintf("there is no %s %q", what, clean(t.Text))
	switch near := nearest(t.Text, known); {
	case len(known) == 0:
		text += "; none is known"
	case near != "":
		text += fmt.Sprintf("; did you mean %q?", near)
	case len(known) <= 12:
		text += fmt.Sprintf("; known are %s", strings.Join(known, ", "))
	default:
		text += fmt.Sprintf("; `show %s` lists the %d there are", what, len(known))
	}
	return &LineError{c.Line, t, StatusNoMatch, text}
}

func serviceNames(s *view.Snapshot) []string {
	var all []string
	for _, sv := range s.Machine.Services {
		all = append(all, sv.Name)
	}
	return all
}

// hostNames are what nodes are called; those that were never heard by name
// are called by their router id.
func hostNames(s *view.Snapshot) []string {
	var all []string
	for _, n := range s.Machine.Nodes {
		all = append(all, view.NameOf(n.Host, n.Router))
	}
	return all
}

// ask sends a command and prints its answer.
func (c *call) ask(cmd machine.Command) error {
	cmd.Who = c.who
	text, err := c.sh.Deps.Ask(c.ctx, cmd)
	if err != nil {
		return err
	}
	return c.answer(text)
}

// answer prints the text of a command that is not a show command.
func (c *call) answer(text string) error {
	if c.opts.JSON {
		return c.json(map[string]string{"answer": text})
	}
	if text = strings.TrimRight(cleanLines(text), "\n"); text != "" {
		c.out.WriteString(text + "\n")
	}
	return nil
}

func (c *call) json(v any) error {
	enc := json.NewEncoder(c.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
