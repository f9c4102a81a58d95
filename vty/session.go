package vty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wire is one transport under a Session.
type wire interface {
	// check refuses commands this transport cannot carry.
	check(command string) error
	// exchange writes one command with one write and copies the text of its
	// reply to w. Any error leaves the connection out of step.
	exchange(command string, w io.Writer) (Status, error)
	// privileged tells that the session got into the enable node at login.
	privileged() bool
	inferred() bool
	conn() net.Conn
}

// Session is a conversation with one daemon. See the package comment for what
// it promises. Methods may be called from several goroutines.
type Session struct {
	daemon Daemon
	wire   wire
	limit  int           // of one Exec's reply, bytes
	turn   chan struct{} // the token: who holds it may use wire

	mu   sync.Mutex // guards dead only
	dead error
}

func newSession(d Daemon, w wire) *Session {
	s := &Session{daemon: d, wire: w, limit: MaxReply, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s
}

// Daemon returns the name the session was opened with.
func (s *Session) Daemon() Daemon { return s.daemon }

// Inferred reports whether statuses are concluded from text (telnet).
func (s *Session) Inferred() bool { return s.wire.inferred() }

// Err returns nil while the session is usable, afterwards why it is not; the
// error wraps [ErrClosed]. A daemon's death shows at the next command, not here.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead
}

// Close ends the session; a command under way returns an error that wraps
// [ErrClosed]. Closing twice is allowed.
func (s *Session) Close() error {
	s.kill(fmt.Errorf("%s: %w", s.daemon, ErrClosed))
	return nil
}

// kill marks the session dead with its first cause, and closes it.
func (s *Session) kill(cause error) {
	s.mu.Lock()
	first := s.dead == nil
	if first {
		s.dead = cause
	}
	s.mu.Unlock()
	if first {
		s.wire.conn().Close()
	}
}

// Exec runs one command and returns its text, as printed. A refusal is a
// [*StatusError], and the text is returned beside it. More than [MaxReply]
// bytes end the session with [ErrReplyTooLong].
func (s *Session) Exec(ctx context.Context, command string) (string, error) {
	var text boundedText
	text.limit = s.limit
	err := s.ExecTo(ctx, command, &text)
	return text.String(), err
}

// ExecTo runs one command and copies its text to w as it arrives, without a
// limit on its length. There is no word in the protocol for "enough": when ctx
// ends, or w fails, the session ends too.
func (s *Session) ExecTo(ctx context.Context, command string, w io.Writer) error {
	if err := s.wire.check(command); err != nil {
		return fmt.Errorf("%s: %w", s.daemon, err)
	}
	release, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	return s.run(ctx, command, w)
}

// Configure enters configuration mode, sends the lines, one after another, and
// leaves it with `end`, which is sent after an error as well. It stops at the
// first line that fails and returns its error ([StatusError.Command] tells
// which); the lines before it stay in force. A call without lines does nothing.
func (s *Session) Configure(ctx context.Context, lines ...string) error {
	if len(lines) == 0 {
		return nil
	}
	for _, line := range lines {
		if err := s.wire.check(line); err != nil {
			return fmt.Errorf("%s: %w", s.daemon, err)
		}
	}
	release, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := s.enable(ctx); err != nil {
		return err
	}
	if err := s.run(ctx, "configure terminal", io.Discard); err != nil {
		return err
	}
	var failed error
	for _, line := range lines {
		if failed = s.run(ctx, line, io.Discard); failed != nil {
			break
		}
	}
	if s.Err() != nil { // nothing to leave: the node went with the connection
		return failed
	}
	return errors.Join(failed, s.leave(ctx))
}

// leave returns to the enable node, also when ctx has ended meanwhile: the
// next user of the session must not find itself in configuration mode.
func (s *Session) leave(ctx context.Context) error {
	const patience = 2 * time.Second // an `end` takes microseconds; 10.x commits in it
	if ctx.Err() != nil {
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		ctx = short
	}
	return s.run(ctx, "end", io.Discard)
}

// Enable enters the enable node, where `show running-config` and `configure`
// are. It asks for no password on the unix socket; over telnet it was done at
// login. [Dialer.Open] has done it already.
func (s *Session) Enable(ctx context.Context) error {
	release, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	return s.enable(ctx)
}

func (s *Session) enable(ctx context.Context) error {
	if s.wire.privileged() {
		return nil
	}
	return s.run(ctx, "enable", io.Discard)
}

// take waits for the turn and makes sure that the daemon is still there and
// has said nothing since the last reply. Its errors about a dead session wrap
// errUnsent as well as ErrClosed.
func (s *Session) take(ctx context.Context) (release func(), err error) {
	select {
	case <-s.turn:
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: waiting for the session: %w", s.daemon, context.Cause(ctx))
	}
	release = func() { s.turn <- struct{}{} }
	if s.Err() == nil {
		if err := stillQuiet(s.wire.conn()); err != nil {
			s.kill(fmt.Errorf("%s: %w: %w", s.daemon, ErrClosed, err))
		}
	}
	if dead := s.Err(); dead != nil {
		release()
		return nil, fmt.Errorf("%w (%w)", dead, errUnsent)
	}
	return release, nil
}

// run does one command; the caller holds the turn.
func (s *Session) run(ctx context.Context, command string, w io.Writer) error {
	if dead := s.Err(); dead != nil {
		return dead
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %q not sent: %w", s.daemon, command, context.Cause(ctx))
	}
	tail := tailText{w: w}
	settle := interruptOn(ctx, s.wire.conn())
	status, err := s.wire.exchange(command, &tail)
	settle()
	if err != nil {
		return s.broken(ctx, command, err)
	}
	if status.OK() {
		return nil
	}
	return &StatusError{
		Daemon: s.daemon, Command: command, Status: status,
		Text: strings.Trim(string(tail.kept), "\r\n"), Inferred: s.wire.inferred(),
	}
}

// broken ends the session after an exchange that did not complete, and says
// why in the words of the one who caused it.
func (s *Session) broken(ctx context.Context, command string, err error) error {
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("%s: %q has no complete reply, session given up: %w", s.daemon, command, context.Cause(ctx))
		s.kill(fmt.Errorf("%w: %w", ErrClosed, err))
		return err
	case errors.Is(err, net.ErrClosed): // our own Close won the race
		s.kill(fmt.Errorf("%s: %w", s.daemon, ErrClosed))
		return s.Err()
	default:
		s.kill(fmt.Errorf("%s: %w at %q: %w", s.daemon, ErrClosed, command, err))
		return s.Err()
	}
}

// interruptOn makes the end of ctx interrupt reads and writes on c. The
// returned function undoes it, and leaves c without a deadline.
func interruptOn(ctx context.Context, c net.Conn) (settle func()) {
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.SetDeadline(time.Unix(1, 0))
		close(interrupted)
	})
	return func() {
		if !stop() {
			<-interrupted
			c.SetDeadline(time.Time{})
		}
	}
}

var (
	errGone      = errors.New("the daemon closed the connection")
	errOutOfTurn = errors.New("the daemon spoke out of turn")
)

// stillQuiet looks at the socket without reading from it: between commands an
// end of file means a daemon that died or timed us out, and data means a
// reply that nobody asked for.
func stillQuiet(c net.Conn) error {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var verdict error
	var buf [256]byte
	err = raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), buf[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		case err != nil:
			verdict = fmt.Errorf("%w (%w)", errGone, err)
		case n == 0:
			verdict = errGone
		default:
			verdict = fmt.Errorf("%w: %q", errOutOfTurn, strings.TrimSpace(string(buf[:n])))
		}
	})
	return errors.Join(err, verdict)
}

// boundedText collects a reply up to a limit.
type boundedText struct {
	strings.Builder
	limit int
}

func (b *boundedText) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.limit {
		return 0, fmt.Errorf("%w: more than %d bytes", ErrReplyTooLong, b.limit)
	}
	return b.Builder.Write(p)
}

// tailText passes text on and remembers the end of it, for the StatusError.
type tailText struct {
	w    io.Writer
	kept []byte
}

func (t *tailText) Write(p []byte) (int, error) {
	const most = 4096
	t.kept = append(t.kept, p[max(0, len(p)-most):]...)
	if extra := len(t.kept) - most; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	return t.w.Write(p)
}
