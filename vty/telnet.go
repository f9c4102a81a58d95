package vty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"

	"github.com/ziutek/telnet"
)

// Telnet is a telnet VTY and what it takes to get in.
type Telnet struct {
	// Address is host:port; see [Daemon.DefaultPort].
	Address string
	// Password is asked at login, EnablePassword by `enable` where one is set.
	// Empty means none is expected.
	Password, EnablePassword string
}

// DialTelnet logs in, enters the enable node and turns paging off. A refused
// password gives an error that wraps [ErrLogin]; it is tried once, since FRR
// counts.
func DialTelnet(ctx context.Context, d Daemon, to Telnet) (*Session, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", to.Address)
	if err != nil {
		return nil, fmt.Errorf("%s: telnet: %w", d, dialError(ctx, err))
	}
	t, err := newTelnetWire(c)
	if err == nil {
		settle := interruptOn(ctx, c)
		err = t.login(to)
		settle()
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: telnet %s: %w", d, to.Address, dialError(ctx, err))
	}
	return newSession(d, t), nil
}

// telnetWire is the transport without a status byte. Prompts end replies:
// `host> `, `host# `, `host(config-router)# ` (FRR lib/command.c, the prompt
// of each cmd_node).
type telnetWire struct {
	c    net.Conn
	t    *telnet.Conn // answers the options and strips IAC
	host string       // from the prompt after login, "" before
	// node is the bracketed part of the last prompt, "config..." or empty.
	node string
	buf  [4096]byte
}

// What may stand in the last line, nothing behind it.
var (
	anyPrompt     = regexp.MustCompile(`^([^\s()>#]+)(?:\(([a-z0-9-]+)\))?[>#] $`)
	passwordAsked = regexp.MustCompile(`^Password: $`)
)

// promptMax bounds a prompt: a host name is at most 255 bytes (lib/command.h,
// HOSTNAME_LEN), node names are short.
const promptMax = 512

func newTelnetWire(c net.Conn) (*telnetWire, error) {
	t, err := telnet.NewConn(c)
	return &telnetWire{c: c, t: t}, err
}

func (t *telnetWire) privileged() bool { return true }
func (t *telnetWire) inferred() bool   { return true }
func (t *telnetWire) conn() net.Conn   { return t.c }

// check refuses besides what a line editor would act on: control characters
// (Tab completes, ^C aborts), `?` (prints help, stays in the line) and 0xff.
func (t *telnetWire) check(command string) error {
	if err := CheckCommand(command); err != nil {
		return err
	}
	for i := range len(command) {
		if b := command[i]; b < ' ' || b == '?' || b == 0x7f || b == 0xff {
			return fmt.Errorf("%w: %q has byte %#02x at %d, which telnet does not carry", ErrCommand, command, b, i)
		}
	}
	return nil
}

// send writes a line in one piece. Not through telnet.Conn, whose Write
// splits; check has refused what would need escaping.
func (t *telnetWire) send(line string) error {
	_, err := t.c.Write(append([]byte(line), '\n'))
	return err
}

func (t *telnetWire) login(to Telnet) error {
	text, asked, err := t.ask()
	if err != nil {
		return err
	}
	if asked {
		if text, asked, err = t.answer(to.Password); err != nil {
			return err
		}
		if asked {
			return fmt.Errorf("%w: wrong password", ErrLogin)
		}
	}
	if !strings.HasSuffix(text, "# ") {
		if text, asked, err = t.answer("enable"); err != nil {
			return err
		}
		if asked {
			if text, asked, err = t.answer(to.EnablePassword); err != nil {
				return err
			}
		}
		if asked || !strings.HasSuffix(text, "# ") {
			return fmt.Errorf("%w: wrong enable password", ErrLogin)
		}
	}
	m := anyPrompt.FindStringSubmatch(text[strings.LastIndexByte(text, '\n')+1:])
	if m == nil {
		return fmt.Errorf("%w: no prompt in %q", ErrFraming, lastLine(text))
	}
	t.host, t.node = m[1], m[2]
	status, err := t.exchange("terminal length 0", io.Discard)
	if err == nil && !status.OK() {
		err = fmt.Errorf("terminal length 0: %s", status)
	}
	return err
}

// answer sends one line of the login and reads up to the next question.
func (t *telnetWire) answer(line string) (text string, asked bool, err error) {
	if err := t.check(line); err != nil {
		return "", false, fmt.Errorf("%w: password has bytes telnet does not carry", ErrLogin)
	}
	if err := t.send(line); err != nil {
		return "", false, err
	}
	return t.ask()
}

// ask reads until a password is asked for or a prompt stands.
func (t *telnetWire) ask() (text string, asked bool, err error) {
	const most = 64 << 10 // a banner with motd
	var seen []byte
	for len(seen) < most {
		n, err := t.t.Read(t.buf[:])
		seen = append(seen, plain(t.buf[:n])...)
		last := seen[bytes.LastIndexByte(seen, '\n')+1:]
		switch {
		case errors.Is(err, io.EOF):
			return "", false, fmt.Errorf("%w: %s", ErrLogin, saying(string(seen)))
		case err != nil:
			return "", false, err
		case passwordAsked.Match(last):
			return string(seen), true, nil
		case len(last) <= promptMax && anyPrompt.Match(last):
			return string(seen), false, nil
		}
	}
	return "", false, fmt.Errorf("%w: no prompt in %d bytes", ErrFraming, most)
}

func (t *telnetWire) exchange(command string, w io.Writer) (Status, error) {
	inConfig := strings.HasPrefix(t.node, "config")
	prompt := t.promptAfter(command)
	if err := t.send(command); err != nil {
		return 0, err
	}
	reply := telnetReply{w: w}
	for {
		n, err := t.t.Read(t.buf[:])
		reply.held = append(reply.held, plain(t.buf[:n])...)
		if errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("%w, %s", errGone, saying(string(reply.held)))
		} else if err != nil {
			return 0, err
		}
		if reply.echoed() {
			// What looks like a prompt with more behind it is text.
			if m := prompt(reply.held); m != nil && n < len(t.buf) && !errors.Is(stillQuiet(t.c), errOutOfTurn) {
				t.host = string(reply.held[m[2]:m[3]])
				t.node = ""
				if m[4] >= 0 {
					t.node = string(reply.held[m[4]:m[5]])
				}
				if err := reply.flush(m[2]); err != nil {
					return 0, err
				}
				return inferStatus(string(reply.head), inConfig), nil
			}
		}
		if reply.echoed() && len(reply.held) > 2*promptMax {
			if err := reply.flush(len(reply.held) - promptMax); err != nil {
				return 0, err
			}
		}
		if len(reply.held) > MaxCommand+4*promptMax {
			return 0, fmt.Errorf("%w: the command is not echoed", ErrFraming)
		}
	}
}

// promptAfter returns a function that finds what ends the reply to command, as
// submatches 1 (host) and 2 (node): this host's prompt wherever it begins, as
// FRR's texts need not end in a newline; any prompt, in a line of its own,
// where the command may change the name.
func (t *telnetWire) promptAfter(command string) (find func([]byte) []int) {
	for _, word := range strings.Fields(command) {
		if len(word) > 2 && (strings.HasPrefix("hostname", word) || strings.HasPrefix("domainname", word)) {
			return func(held []byte) []int {
				start := bytes.LastIndexByte(held, '\n') + 1
				m := anyPrompt.FindSubmatchIndex(held[start:])
				for i := range m {
					if m[i] >= 0 {
						m[i] += start
					}
				}
				return m
			}
		}
	}
	return regexp.MustCompile(`(` + regexp.QuoteMeta(t.host) + `)(?:\(([a-z0-9-]+)\))?[>#] $`).FindSubmatchIndex
}

// telnetReply separates echo, text and prompt as they come in.
type telnetReply struct {
	w    io.Writer
	held []byte // not passed on yet: may be the prompt
	head []byte // the first bytes of the text, for inferStatus
	seen bool   // the echo
}

// echoed reports whether the echo of the command has arrived, and drops it.
// It is the first line, whatever is in it: what the server's line editor made
// of the command is its own business.
func (r *telnetReply) echoed() bool {
	if r.seen {
		return true
	}
	i := bytes.IndexByte(r.held, '\n')
	if i < 0 {
		return false
	}
	r.held = append(r.held[:0], r.held[i+1:]...)
	r.seen = true
	return true
}

// flush passes the first n held bytes on.
func (r *telnetReply) flush(n int) error {
	const headMax = 1024
	if room := headMax - len(r.head); room > 0 {
		r.head = append(r.head, r.held[:min(n, room)]...)
	}
	if n > 0 {
		if _, err := r.w.Write(r.held[:n]); err != nil {
			return err
		}
	}
	r.held = append(r.held[:0], r.held[n:]...)
	return nil
}

// plain drops the CR of each CR LF, and NULs, in place.
func plain(p []byte) []byte {
	out := p[:0]
	for _, b := range p {
		if b != '\r' && b != 0 {
			out = append(out, b)
		}
	}
	return out
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line[:min(len(line), 120)]
}

// saying quotes a peer's last line, for errors.
func saying(text string) string {
	if line := lastLine(text); line != "" {
		return fmt.Sprintf("saying %q", line)
	}
	return "saying nothing"
}
