package vty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"
)

// Dial opens a session on a unix VTY socket, such as /run/frr/ospfd.vty or
// that of a [Server]. The session starts in the view node, see
// [Session.Enable]; its Daemon is the file's name without ".vty".
func Dial(ctx context.Context, path string) (*Session, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("vty: %w", dialError(ctx, err))
	}
	name := strings.TrimSuffix(filepath.Base(path), ".vty")
	return newSession(Daemon(name), &unixWire{c: c}), nil
}

// dialError prefers the reason why the caller gave up to what net makes of it.
func dialError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// unixWire is the framed transport.
type unixWire struct {
	c   net.Conn
	buf [16 << 10]byte
}

func (u *unixWire) check(command string) error { return CheckCommand(command) }
func (u *unixWire) privileged() bool           { return false }
func (u *unixWire) inferred() bool             { return false }
func (u *unixWire) conn() net.Conn             { return u.c }

func (u *unixWire) exchange(command string, w io.Writer) (Status, error) {
	request, err := AppendRequest(nil, command)
	if err != nil {
		return 0, err
	}
	if _, err := u.c.Write(request); err != nil {
		return 0, u.lastWords(err)
	}
	var sc replyScanner
	emit := func(p []byte) error {
		_, err := w.Write(p)
		return err
	}
	for {
		n, err := u.c.Read(u.buf[:])
		used, feedErr := sc.feed(u.buf[:n], emit)
		switch {
		case feedErr != nil:
			return 0, feedErr
		case used < n:
			return 0, fmt.Errorf("%w: %q", errOutOfTurn, u.buf[used:n])
		case sc.done: // an end of file right behind it is the next command's matter
			return sc.status, nil
		case errors.Is(err, io.EOF):
			return 0, errGone
		case err != nil:
			return 0, err
		}
	}
}

// lastWords adds what the peer said before it closed in our face, as a
// [Server] with too many sessions does.
func (u *unixWire) lastWords(err error) error {
	u.c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	n, _ := u.c.Read(u.buf[:])
	if text, _, _, _ := DecodeReply(u.buf[:n]); len(text) > 0 {
		return fmt.Errorf("%w, saying %q", errGone, strings.TrimSpace(string(text)))
	}
	return err
}
