package vty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Router is the routing suite of one node: a session per daemon, opened when
// first needed and again after the daemon was restarted, and commands sent to
// the daemon that takes them in the release at hand. Methods may be called
// from several goroutines; those to different daemons do not wait for each other.
type Router struct {
	dialer Dialer

	mu     sync.Mutex // guards links, closed and each link's session; held for moments
	links  map[Daemon]*link
	closed bool

	observe func(Daemon, time.Duration, error)
}

// link is the way to one daemon. Who holds turn may open a session; release
// belongs to session.
type link struct {
	turn    chan struct{}
	session *Session // nil before the first use; guarded by Router.mu
	release Release
}

// NewRouter returns a Router that opens nothing yet.
func NewRouter(d Dialer) *Router {
	return &Router{dialer: d, links: map[Daemon]*link{}}
}

// Observe has f told of every use of a session: the daemon, how long it took
// without the opening, and its error. It is called before the first use; f is
// called from the goroutines that use the Router and must not call it.
func (r *Router) Observe(f func(d Daemon, took time.Duration, err error)) { r.observe = f }

// Close ends all sessions; later calls return an error that wraps [ErrClosed].
func (r *Router) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, l := range r.links {
		if l.session != nil {
			l.session.Close()
		}
	}
	return nil
}

// Release returns what `show version` said when the session to the daemon was
// opened; a restarted daemon is asked again.
func (r *Router) Release(ctx context.Context, d Daemon) (Release, error) {
	var got Release
	err := r.with(ctx, d, func(s *Session, rel Release) error {
		got = rel
		return s.ping(ctx)
	})
	return got, err
}

// Version is the release number of zebra, which is that of the suite.
func (r *Router) Version(ctx context.Context) (Version, error) {
	rel, err := r.Release(ctx, Zebra)
	return rel.Version, err
}

// Exec runs one command in the enable node of a daemon. A session that was
// found dead before anything was sent is reopened once; one that dies under
// the command is reported, since nobody knows whether it was done.
func (r *Router) Exec(ctx context.Context, d Daemon, command string) (text string, err error) {
	err = r.with(ctx, d, func(s *Session, rel Release) (err error) {
		if err := Safe(rel, d, command); err != nil {
			return err
		}
		text, err = s.Exec(ctx, command)
		return err
	})
	return text, err
}

// ExecTo is Exec with the text copied to w as it comes.
func (r *Router) ExecTo(ctx context.Context, d Daemon, command string, w io.Writer) error {
	return r.with(ctx, d, func(s *Session, rel Release) error {
		if err := Safe(rel, d, command); err != nil {
			return err
		}
		return s.ExecTo(ctx, command, w)
	})
}

// Configure sends lines to the daemon that takes their class, see
// [Session.Configure].
func (r *Router) Configure(ctx context.Context, c Class, lines ...string) error {
	d, err := r.Target(ctx, c)
	if err != nil {
		return err
	}
	return r.with(ctx, d, func(s *Session, rel Release) error {
		for _, line := range lines {
			if err := Safe(rel, d, line); err != nil {
				return err
			}
		}
		return s.Configure(ctx, lines...)
	})
}

// Target returns the daemon that takes a class here; it asks zebra's release
// only for classes that have moved between releases.
func (r *Router) Target(ctx context.Context, c Class) (Daemon, error) {
	switch c {
	case ClassOSPF, ClassPolicy:
		return Target(Release{}, c)
	default:
		rel, err := r.Release(ctx, Zebra)
		if err != nil {
			return "", err
		}
		return Target(rel, c)
	}
}

// with runs f on a live session to d.
func (r *Router) with(ctx context.Context, d Daemon, f func(*Session, Release) error) error {
	for again := true; ; again = false {
		s, rel, err := r.connect(ctx, d)
		if err != nil {
			return err
		}
		begun := time.Now()
		err = f(s, rel)
		if r.observe != nil {
			r.observe(d, time.Since(begun), err)
		}
		if again && errors.Is(err, errUnsent) {
			continue // the daemon was restarted since the last command
		}
		return err
	}
}

// connect returns the cached session to d, or a new one.
func (r *Router) connect(ctx context.Context, d Daemon) (*Session, Release, error) {
	l, err := r.link(d)
	if err != nil {
		return nil, Release{}, err
	}
	select {
	case <-l.turn:
		defer func() { l.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, Release{}, fmt.Errorf("%s: waiting for the session: %w", d, context.Cause(ctx))
	}
	if s := r.current(l); s != nil && s.Err() == nil {
		return s, l.release, nil
	}
	s, err := r.dialer.Open(ctx, d)
	if err != nil {
		return nil, Release{}, err
	}
	rel, err := s.Release(ctx)
	if err == nil {
		err = r.adopt(l, s)
	}
	if err != nil {
		s.Close()
		return nil, Release{}, err
	}
	l.release = rel
	return s, rel, nil
}

func (r *Router) current(l *link) *Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return l.session
}

// adopt hands a session to the Router, unless that was closed meanwhile.
func (r *Router) adopt(l *link, s *Session) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return fmt.Errorf("%s: router: %w", s.daemon, ErrClosed)
	}
	l.session = s
	return nil
}

func (r *Router) link(d Daemon) (*link, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fmt.Errorf("%s: router: %w", d, ErrClosed)
	}
	if d == "" || strings.ContainsAny(string(d), "/\x00") {
		return nil, fmt.Errorf("%q is no daemon's name", string(d))
	}
	l := r.links[d]
	if l == nil {
		l = &link{turn: make(chan struct{}, 1)}
		l.turn <- struct{}{}
		r.links[d] = l
	}
	return l, nil
}

// Release asks the daemon for its version.
func (s *Session) Release(ctx context.Context) (Release, error) {
	text, err := s.Exec(ctx, "show version")
	if err != nil {
		return Release{}, err
	}
	rel, err := ParseVersion(text)
	if err != nil {
		return Release{}, fmt.Errorf("%s: %w", s.daemon, err)
	}
	return rel, nil
}

// ping looks whether the daemon still holds the connection; it sends nothing.
func (s *Session) ping(ctx context.Context) error {
	release, err := s.take(ctx)
	if err != nil {
		return err
	}
	release()
	return nil
}
