package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/srrd/srrd/sidecar/internal/view"
)

// csp allows what our own pages load and nothing else.
const csp = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// guard stands before everything: headers, hosts, origins, and what a handler
// did not expect.
func (s *Server) guard(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if s.tls != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		defer func() {
			switch e := recover(); {
			case e == nil:
			case e == http.ErrAbortHandler:
				panic(e)
			default:
				s.cfg.Log.Error("a page broke", "path", r.URL.Path, "why", e, "stack", string(debug.Stack()))
				http.Error(w, "this page broke; the log of srrd tells more", http.StatusInternalServerError)
			}
		}()
		if !s.hostFits(r.Host) {
			http.Error(w, "this server answers on loopback only to 127.0.0.1, [::1] and localhost", http.StatusMisdirectedRequest)
			return
		}
		if err := origin.Check(r); err != nil {
			s.refused(r, "another origin")
			http.Error(w, "this came from a page of another server", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refused notes a change that was not let through.
func (s *Server) refused(r *http.Request, why string) {
	who := "?"
	if p, err := s.person(r); err == nil {
		who = p.Name
	}
	s.cfg.Audit.Warn("audit", "who", who, "from", r.RemoteAddr, "what", r.Method+" "+r.URL.Path, "outcome", "refused: "+why)
}

// fault is an error with the status it is told with.
type fault struct {
	status int
	text   string
}

func (f *fault) Error() string { return f.text }

// request is one request to an endpoint.
type request struct {
	*Server
	http.ResponseWriter
	*http.Request
	ctx    context.Context
	person Person
	now    time.Time // when it came
	view   *view.Snapshot
}

// read gives the snapshot, the same for the whole request.
func (r *request) read() (*view.Snapshot, error) {
	if r.view == nil {
		v, err := r.cfg.Deps.Read(r.ctx)
		if err != nil {
			return nil, &fault{http.StatusServiceUnavailable, "cannot see the state of srrd: " + err.Error()}
		}
		r.view = v
	}
	return r.view, nil
}

// api tells whether the answer is to be JSON.
func (r *request) api() bool { return strings.HasPrefix(r.URL.Path, "/api/") }

// audit writes the line of a change. before and after may be empty.
func (r *request) audit(what, before, after string, err error) {
	outcome, level := "done", slog.LevelInfo
	if err != nil {
		outcome, level = "refused: "+err.Error(), slog.LevelWarn
	}
	r.cfg.Audit.Log(r.ctx, level, "audit", "who", r.person.Name, "role", r.person.Role.String(), "from", r.RemoteAddr,
		"what", what, "before", before, "after", after, "outcome", outcome)
}

// serve checks who asks and what they bring, and answers errors.
func (s *Server) serve(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		ctx := hr.Context()
		if !e.stream {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, askTimeout)
			defer cancel()
			select {
			case s.requests <- struct{}{}:
				defer func() { <-s.requests }()
			default:
				w.Header().Set("Retry-After", "1")
				http.Error(w, "too many requests at once; come again in a second", http.StatusServiceUnavailable)
				return
			}
		}
		r := &request{Server: s, ResponseWriter: w, Request: hr, ctx: ctx, now: s.cfg.Now()}
		err := r.admit(e.least)
		if err == nil {
			err = e.do(r)
		}
		if err != nil {
			r.fail(err)
		}
	})
}

// admit lets a request through whose person has the role and, where it would
// change something, who brings the token.
func (r *request) admit(least Role) error {
	var err error
	if r.person, err = r.Server.person(r.Request); err != nil {
		return &fault{http.StatusForbidden, err.Error()}
	}
	if r.person.Role < Viewer {
		return &fault{http.StatusForbidden, r.person.Name + " has no role here: web.roles gives one"}
	}
	if r.person.Role < least {
		if r.Method == http.MethodPost {
			r.refused(r.Request, "needs the role "+least.String())
		}
		return &fault{http.StatusForbidden, "this needs the role " + least.String() + "; " + r.person.Name + " is " + r.person.Role.String()}
	}
	if r.Method != http.MethodPost {
		return nil
	}
	r.Body = http.MaxBytesReader(r.ResponseWriter, r.Body, maxBody)
	token := r.Request.Header.Get("X-SRRD-Token")
	if !r.api() {
		if err := r.ParseForm(); err != nil {
			return tooMuch(err)
		}
		token = r.PostFormValue("token")
	}
	if !r.tokenFits(r.person, token) {
		r.refused(r.Request, "no fitting token")
		if r.api() {
			return &fault{http.StatusForbidden, "the header X-SRRD-Token is missing or not of this run of srrd: /api/v1/session gives it"}
		}
		return &fault{http.StatusForbidden, "the form is of an earlier run of srrd, or of somebody else: load the page again and send it again"}
	}
	return nil
}

// tooMuch puts what is wrong with a body into a fault.
func tooMuch(err error) error {
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return &fault{http.StatusRequestEntityTooLarge, "more than a form can hold"}
	}
	return &fault{http.StatusBadRequest, "this is no form: " + err.Error()}
}

// connections bounds how many there are: one too many costs the one that has
// been idle longest its life, so that a thousand idle ones lock nobody out.
type connections struct {
	max int

	mu  sync.Mutex // guards the rest
	all map[net.Conn]*tenure
	seq uint64
}

type tenure struct {
	idle bool
	seq  uint64 // of its last change
}

func (c *connections) track(conn net.Conn, state http.ConnState) {
	var victim net.Conn
	c.mu.Lock()
	c.seq++
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(c.all, conn)
	case http.StateNew, http.StateIdle, http.StateActive:
		c.all[conn] = &tenure{idle: state != http.StateActive, seq: c.seq}
		if state == http.StateNew && len(c.all) > c.max {
			victim = c.idlest()
			delete(c.all, victim)
		}
	}
	c.mu.Unlock()
	if victim != nil {
		_ = victim.Close() // the other end learns it by that
	}
}

// idlest is the connection that has been idle longest, or of all those busy
// the one that has been so longest. The newest is never it.
func (c *connections) idlest() net.Conn {
	var best net.Conn
	var of *tenure
	for conn, st := range c.all {
		if of == nil || st.idle && !of.idle || st.idle == of.idle && st.seq < of.seq {
			best, of = conn, st
		}
	}
	return best
}
