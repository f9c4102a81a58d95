package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/sidecar/internal/shell"
	"github.com/srrd/srrd/vty"
)

// Sequences of ECMA-48 and xterm that every terminal of this century knows.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J" // the other screen, no cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	endOfLine   = "\x1b[K" // clears from here
	endOfScreen = "\x1b[J"
)

// errEnough ends watching because a person said so.
var errEnough = errors.New("enough")

// watch shows pictures as they come: on a terminal each in the place of the
// one before, until q; elsewhere one after another.
func (c *client) watch(ctx context.Context, line string, in io.Reader) int {
	if c.json || !isTerminal(c.out) || !isTerminal(in) {
		return c.stream(ctx, line, pictures{c.out})
	}
	tty := in.(*os.File)
	restore, err := rawKeys(tty)
	if err != nil {
		fmt.Fprintf(c.errs, "srrsh: setting up the terminal: %v\n", err)
		return exitCommand
	}
	defer restore()
	io.WriteString(c.out, enterScreen)
	defer io.WriteString(c.out, leaveScreen)

	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	defer signal.Stop(resized)
	for {
		code, again := c.watchOnce(ctx, line, tty, resized)
		if !again {
			return code
		}
	}
}

// watchOnce watches until the end, or until the terminal has another size or
// srrd is gone, and then asks to be called again.
func (c *client) watchOnce(ctx context.Context, line string, tty *os.File, resized <-chan os.Signal) (code int, again bool) {
	c.width, c.lines = size(c.out)
	defer func() { c.lines = 0 }()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return waitKey(ctx, tty) })
	g.Go(func() error {
		select {
		case <-resized:
			again = true
			return errEnough
		case <-ctx.Done():
			return nil
		}
	})
	g.Go(func() error {
		s := &screen{out: c.out}
		code = c.stream(ctx, line, s)
		if code == exitUnreachable && ctx.Err() == nil {
			// The picture stays; how old it is must show.
			s.lost(c.width)
			pause(ctx, time.Second)
			again = ctx.Err() == nil
		}
		return errEnough
	})
	if err := g.Wait(); errors.Is(err, errEnough) && !again && code != exitCommand {
		code = exitOK
	}
	return code, again && ctx.Err() != nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// stream runs a command that goes on, over a session of its own, since that
// ends with it.
func (c *client) stream(ctx context.Context, line string, to io.Writer) int {
	s, err := vty.Dial(ctx, c.socket)
	if err == nil {
		defer s.Close()
		err = s.ExecTo(ctx, c.options()+line, to)
	}
	var refused *vty.StatusError
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil: // an end that was wanted
		return exitOK
	case errors.As(err, &refused):
		return exitCommand // its words went to the same place
	}
	if _, onScreen := to.(*screen); !onScreen {
		fmt.Fprintf(c.errs, "srrsh: %v at %s: %v\n", errUnreachable, c.socket, root(err))
	}
	return exitUnreachable
}

// pictures are for a pipe or a file: a blank line between them.
type pictures struct{ out io.Writer }

func (p pictures) Write(b []byte) (int, error) {
	if _, err := p.out.Write(bytes.ReplaceAll(b, []byte(shell.FrameEnd), []byte("\n"))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// screen draws each whole picture over the one before.
type screen struct {
	out     io.Writer
	partial []byte
}

func (s *screen) Write(b []byte) (int, error) {
	s.partial = append(s.partial, b...)
	for {
		picture, rest, whole := bytes.Cut(s.partial, []byte(shell.FrameEnd))
		if !whole {
			return len(b), nil
		}
		text := strings.TrimRight(string(picture), "\n")
		s.partial = append([]byte(nil), rest...)
		// The editor's mode of the terminal may leave a line feed at that.
		if _, err := io.WriteString(s.out, home+strings.ReplaceAll(text, "\n", endOfLine+"\r\n")+endOfLine+endOfScreen); err != nil {
			return 0, err
		}
	}
}

// lost writes over the moment of the picture that it is an old one.
func (s *screen) lost(width int) {
	text := " NO ANSWER FROM SRRD "
	column := max(1, width-len(text)+1)
	io.WriteString(s.out, "\x1b[1;"+strconv.Itoa(column)+"H\x1b[7m"+text+"\x1b[0m")
}

// rawKeys has a terminal give each key at once and unseen, Ctrl-C included.
func rawKeys(tty *os.File) (restore func(), err error) {
	fd := int(tty.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	mode := *old
	mode.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG
	mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &mode); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, old) }, nil // a terminal that is gone needs none
}

// waitKey waits for q, Ctrl-C, Ctrl-D or the end of the terminal. It looks
// for keys before it reads, so that it never takes one that is not for it.
func waitKey(ctx context.Context, tty *os.File) error {
	const wait = 50 // milliseconds between looks at ctx
	fds := []unix.PollFd{{Fd: int32(tty.Fd()), Events: unix.POLLIN}}
	for ctx.Err() == nil {
		n, err := unix.Poll(fds, wait)
		if n <= 0 || err != nil {
			continue // nothing yet, or a signal
		}
		var key [1]byte
		if n, err := unix.Read(int(tty.Fd()), key[:]); n == 0 || err != nil {
			return errEnough
		}
		switch key[0] {
		case 'q', 'Q', 0x03, 0x04:
			return errEnough
		}
	}
	return nil
}
