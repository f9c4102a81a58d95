package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Shell carries out lines of the shell for srrsh on other nodes:
// `@NODE show service`.
type Shell struct {
	// Errand tells what a line would do.
	Errand func(line string) Errand
	// Exec carries a line out for who, and writes what the shell says of it.
	// done is false where it was refused or failed, and the text says why.
	Exec func(ctx context.Context, who, line string, w io.Writer) (done bool)
}

// Errand is a line of the shell as this server has to judge it.
type Errand struct {
	Line    string // as it was typed, without the options of a client
	Looks   bool   // and nothing else, at what every viewer may see
	Client  bool   // nothing for a server: who typed it carries it out
	Least   Role   // who may have it carried out
	Service string // it is about; may be empty
	Daemon  string // of a command of a routing daemon: then its page says who may
	Command string
}

// maxLine bounds a line of the shell, in bytes.
const maxLine = 1000

// errand takes a line, if this person may have it carried out.
func (r *request) errand(line string) (Errand, error) {
	switch {
	case r.cfg.Shell == nil:
		return Errand{}, &fault{http.StatusNotFound, "this server has no shell"}
	case len(line) > maxLine || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return Errand{}, &fault{http.StatusBadRequest, "want a command in one line"}
	}
	e := r.cfg.Shell.Errand(line)
	switch {
	case e.Client:
		return e, &fault{http.StatusBadRequest, "srrsh carries that out itself, where it runs"}
	case e.Daemon != "":
		return e, permit(r.person.Role, e.Command)
	case r.person.Role < e.Least:
		return e, &fault{http.StatusForbidden, "this needs the role " + e.Least.String() + "; " + r.person.Name + " is " + r.person.Role.String()}
	}
	return e, nil
}

// apiShell looks: what a GET asks for changes nothing.
func apiShell(r *request) error {
	line := r.URL.Query().Get("line")
	if strings.TrimSpace(line) == "" {
		line = "help"
	}
	e, err := r.errand(line)
	if err != nil {
		return err
	}
	if !e.Looks {
		return &fault{http.StatusForbidden, "a GET only looks; what does more is sent by POST"}
	}
	text, done := r.runLine(line)
	return r.said(text, done)
}

// apiShellLine is the body of a POST.
type apiShellLine struct {
	Line string `json:"line"`
}

// apiShellDo carries out any line, by what the person may, and audits what
// does more than look.
func apiShellDo(r *request) error {
	var a apiShellLine
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return tooMuch(err)
		}
		return &fault{http.StatusBadRequest, "the body is no JSON object with line: " + err.Error()}
	}
	e, err := r.errand(a.Line)
	audited := !e.Looks && !(e.Daemon != "" && strings.HasPrefix(e.Command, "show "))
	if err != nil {
		if audited {
			r.audit("shell: "+e.Line, "", "", err)
		}
		return err
	}
	before := ""
	if audited {
		if s, err := r.read(); err == nil {
			before = standing(s, e.Service)
		}
	}
	text, done := r.runLine(a.Line)
	if audited {
		after := ""
		r.view = nil // what was read is of before
		if s, err := r.read(); err == nil {
			after = standing(s, e.Service)
		}
		var refusal error
		if !done {
			refusal = errors.New(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "%")))
		}
		r.audit("shell: "+e.Line, before, after, refusal)
	}
	return r.said(text, done)
}

func (r *request) runLine(line string) (text string, done bool) {
	var out bytes.Buffer
	done = r.cfg.Shell.Exec(r.ctx, r.person.Name, line, &out)
	if !done && errors.Is(r.ctx.Err(), context.DeadlineExceeded) {
		fmt.Fprintf(&out, "%% no end within %s; what was asked for goes on\n", askTimeout)
	}
	return out.String(), done
}

// said answers with what the shell printed.
func (r *request) said(text string, done bool) error {
	if !done {
		return &fault{http.StatusUnprocessableEntity, text}
	}
	return r.answer(map[string]string{"answer": text})
}
