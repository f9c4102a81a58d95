package web

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
)

// Look carries out a line of the shell that only looks, and writes its text.
// With looks false the line would do more, and nothing was done; with done
// false it was refused, and the text says why.
type Look func(ctx context.Context, who, line string, w io.Writer) (done, looks bool)

// maxLine bounds a line of the shell, in bytes.
const maxLine = 1000

// apiShell is for srrsh on another node: `@NODE show service`.
func apiShell(r *request) error {
	line := r.URL.Query().Get("line")
	switch {
	case r.cfg.Look == nil:
		return &fault{http.StatusNotFound, "this server has no shell"}
	case len(line) > maxLine || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return &fault{http.StatusBadRequest, "want a command in one line"}
	case strings.TrimSpace(line) == "":
		line = "help"
	}
	var out bytes.Buffer
	done, looks := r.cfg.Look(r.ctx, r.person.Name, line, &out)
	switch {
	case !looks:
		return &fault{http.StatusForbidden, "only show commands, why and help are carried out for other nodes; what acts has paths of its own here"}
	case !done:
		return &fault{http.StatusUnprocessableEntity, out.String()}
	}
	return r.answer(map[string]string{"answer": out.String()})
}
