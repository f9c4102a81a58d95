package vty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Handler carries out one command and writes its text to the request. It is
// called from the connection's own goroutine, one command at a time.
//
// ctx ends when the client goes away, when a write to it fails, and when the
// server shuts down: a command that follows something (`watch`) writes until
// then. A Handler that ignores ctx delays the shutdown.
type Handler func(ctx context.Context, r *Request) Status

// Request is one command of one client. It is an io.Writer for the text of the
// reply, which goes out with every Write; use a bufio.Writer around it for
// many small pieces. NULs, which would end the reply, become '?'.
type Request struct {
	Command string
	// Client is the connection's state, the same for all its commands.
	Client *Client

	out *replyWriter
}

// Write sends text to the client. A client that takes nothing for
// Server.WriteTimeout is cut off; Write fails from then on.
func (r *Request) Write(p []byte) (int, error) { return r.out.Write(p) }

// Client is one connection to a Server.
type Client struct {
	// ID counts the connections of a server from 1.
	ID uint64
	// Peer is who connected, by the kernel's word (SO_PEERCRED); nil where the
	// connection is not a unix socket.
	Peer *Peer
	// State is the Handler's: the node the client is in, for instance. Only
	// the Handler touches it, so it needs no lock.
	State any

	conn net.Conn
}

// Conn is the connection, for who hands it to another process before the reply
// to the present command is written; see [Finish].
func (c *Client) Conn() net.Conn { return c.conn }

// Finish writes a reply, with its end, on a connection that another process has
// served: the command was given to that one.
func Finish(c net.Conn, text string, status Status) error {
	w := &replyWriter{c: c, timeout: defaultWriteTimeout, broken: func() {}}
	return w.end(text, status)
}

// Peer is the process at the other end when it connected.
type Peer struct {
	PID      int32
	UID, GID uint32
}

// Server answers commands over FRR's framing: NUL ends a command, and a reply
// ends in three NULs and the status. The zero values of the limits mean the
// defaults.
type Server struct {
	Handler Handler
	// MaxClients is how many may be connected at once, 64 by default. One more
	// is told so and closed.
	MaxClients int
	// MaxCommand is the longest command in bytes, [MaxCommand] by default. A
	// longer one is refused and its connection closed.
	MaxCommand int
	// IdleTimeout closes a connection that has sent nothing for so long while
	// no command runs. 0 means never, as FRR does on its sockets.
	IdleTimeout time.Duration
	// WriteTimeout is how long one write may wait for a client that does not
	// read, 10 s by default.
	WriteTimeout time.Duration
	// Log gets a line for what a person should see (accept errors, refused
	// clients); nil means silence.
	Log *slog.Logger
}

const (
	defaultMaxClients   = 64
	defaultWriteTimeout = 10 * time.Second
	// readAhead is how many pipelined commands are read before the running one
	// is done. Reading ahead is how a client's end is noticed.
	readAhead = 16
)

// Serve accepts connections until ctx ends, then closes the listener, ends
// the context of every running command, lets its reply go out, and returns nil
// when all are done. An error is the listener's own death.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel() // before Wait: the listener's death ends the clients too
	slots := make(chan struct{}, orDefault(s.MaxClients, defaultMaxClients))
	for id := uint64(1); ; id++ {
		c, err := l.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case isTransient(err):
			s.log().Warn("vty: cannot accept a client", "err", err)
			if !pause(ctx, 100*time.Millisecond) {
				return nil
			}
			continue
		default:
			return fmt.Errorf("vty: accept: %w", err)
		}
		select {
		case slots <- struct{}{}:
			clients.Go(func() {
				defer func() { <-slots }()
				s.serveClient(ctx, c, id)
			})
		default:
			s.log().Warn("vty: client refused, too many are connected", "most", cap(slots))
			s.refuse(c, fmt.Sprintf("%% Too many sessions, at most %d\n", cap(slots)))
		}
	}
}

// isTransient knows the errors of accept that pass: out of descriptors or
// memory, or a client that left the queue.
func isTransient(err error) bool {
	for _, errno := range []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ECONNABORTED, unix.EINTR} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func pause(ctx context.Context, d time.Duration) (elapsed bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// refuse answers the command that the client has not sent yet, and closes. A
// fresh socket has room for it; the deadline is for the one that has not.
func (s *Server) refuse(c net.Conn, text string) {
	c.SetWriteDeadline(time.Now().Add(time.Millisecond))
	c.Write(AppendReply(nil, text, StatusWarning))
	c.Close()
}

// serveClient runs one connection: this goroutine handles, another reads.
func (s *Server) serveClient(ctx context.Context, c net.Conn, id uint64) {
	ctx, cancel := context.WithCancel(ctx)
	out := &replyWriter{c: c, timeout: orDefault(s.WriteTimeout, defaultWriteTimeout), broken: cancel}
	in := &commandReader{c: c, most: orDefault(s.MaxCommand, MaxCommand), commands: make(chan command, readAhead)}
	var reader sync.WaitGroup
	reader.Go(func() { in.run(ctx, cancel) })
	defer reader.Wait()
	defer c.Close() // before Wait: it ends the reader
	defer cancel()

	client := &Client{ID: id, Peer: peerOf(c), conn: c}
	for {
		cmd, ok := s.next(ctx, in.commands)
		if !ok {
			return
		}
		status, text := StatusWarning, "% Command is too long.\n"
		if !cmd.tooLong {
			text = ""
			status = s.Handler(ctx, &Request{Command: cmd.text, Client: client, out: out})
		}
		if out.end(text, status) != nil || cmd.tooLong {
			return
		}
	}
}

// next waits for a command; not ok is the end of the connection.
func (s *Server) next(ctx context.Context, commands <-chan command) (command, bool) {
	var idle <-chan time.Time
	if s.IdleTimeout > 0 {
		t := time.NewTimer(s.IdleTimeout)
		defer t.Stop()
		idle = t.C
	}
	select {
	case cmd, ok := <-commands:
		return cmd, ok && ctx.Err() == nil
	case <-idle:
		return command{}, false
	case <-ctx.Done():
		return command{}, false
	}
}

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

type command struct {
	text    string
	tooLong bool
}

// commandReader splits what a client sends into commands.
type commandReader struct {
	c        net.Conn
	most     int
	commands chan command
}

// run reads until the client ends. It closes commands then, and cancels if the
// client is gone altogether: one that has only said that it will send no more
// (shutdown for writing, as `printf 'show x\0' | nc -U` does) still gets its
// replies.
func (r *commandReader) run(ctx context.Context, cancel context.CancelFunc) {
	defer close(r.commands)
	var partial []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.c.Read(buf)
		for p := buf[:n]; len(p) > 0; {
			i := bytes.IndexByte(p, 0)
			end := i
			if i < 0 {
				end = len(p)
			}
			partial = append(partial, p[:end]...)
			if len(partial) > r.most {
				r.pass(ctx, command{tooLong: true})
				return
			}
			if i < 0 {
				break
			}
			if !r.pass(ctx, command{text: string(partial)}) {
				return
			}
			partial, p = partial[:0], p[i+1:]
		}
		if err != nil {
			if !errors.Is(err, io.EOF) || hungUp(r.c) {
				cancel()
			}
			return
		}
	}
}

func (r *commandReader) pass(ctx context.Context, cmd command) bool {
	select {
	case r.commands <- cmd:
		return true
	case <-ctx.Done():
		return false
	}
}

// replyWriter writes text and trailers under the write timeout, and stays
// broken after the first failure.
type replyWriter struct {
	c       net.Conn
	timeout time.Duration
	broken  context.CancelFunc
	err     error
}

func (w *replyWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.c.SetWriteDeadline(time.Now().Add(w.timeout))
	n, err := w.c.Write(cleanText(p))
	if err != nil {
		w.err = fmt.Errorf("vty client: %w", err)
		w.broken()
	}
	return n, w.err
}

// end completes a reply.
func (w *replyWriter) end(text string, status Status) error {
	if w.err != nil {
		return w.err
	}
	w.c.SetWriteDeadline(time.Now().Add(w.timeout))
	_, w.err = w.c.Write(AppendReply(nil, text, status))
	return w.err
}
