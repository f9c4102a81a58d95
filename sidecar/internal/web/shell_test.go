package web

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
)

func TestAnotherNodesShellOnlyLooks(t *testing.T) {
	look := func(_ context.Context, who, line string, w io.Writer) (done, looks bool) {
		if line == "reload" {
			return false, false
		}
		fmt.Fprintf(w, "%s: %s", who, line)
		return line != "show nonsense", true
	}
	s, _ := newServer(t, Viewer, func(c *Config) { c.Look = look })
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"show service":            {200, "alice: show service"},
		"":                        {200, "alice: help"},
		"show nonsense":           {422, "alice: show nonsense"},
		"reload":                  {403, "only show commands, why and help are carried out for other nodes; what acts has paths of its own here"},
		"show\nservice":           {400, "want a command in one line"},
		strings.Repeat("a", 2000): {400, "want a command in one line"},
	} {
		got := get(t, s, "/api/v1/shell?line="+url.QueryEscape(line))
		var a struct{ Answer, Error string }
		if err := json.Unmarshal(got.Body.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		if got.Code != want.code || a.Answer+a.Error != want.text {
			t.Errorf("%q: %d %q, want %d %q", line, got.Code, a.Answer+a.Error, want.code, want.text)
		}
	}
}
