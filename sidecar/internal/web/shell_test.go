package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
)

// fakeShell takes the first word for what a line does.
func fakeShell(said *[]string) *Shell {
	return &Shell{
		Errand: func(line string) Errand {
			word, rest, _ := strings.Cut(strings.TrimPrefix(line, "-o json "), " ")
			e := Errand{Line: strings.TrimPrefix(line, "-o json "), Least: Admin}
			switch word {
			case "show", "help":
				e.Looks, e.Least = true, Viewer
			case "service":
				e.Service, _, _ = strings.Cut(rest, " ")
				e.Least = Operator
			case "ospf":
				e.Daemon, e.Command = "ospfd", rest
			case "watch":
				e.Client, e.Least = true, Viewer
			}
			return e
		},
		Exec: func(ctx context.Context, who, line string, w io.Writer) bool {
			*said = append(*said, line)
			fmt.Fprintf(w, "%s: %s", who, line)
			if strings.HasSuffix(line, "drain") {
				<-ctx.Done()
			}
			return !strings.HasSuffix(line, "nonsense") && ctx.Err() == nil
		},
	}
}

// sendLine posts a line as srrsh does.
func sendLine(t *testing.T, s *Server, role Role, line string) (code int, text string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"line": line})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/api/v1/shell", bytes.NewReader(body))
	r.Header.Set("X-SRRD-Token", s.token(Person{"alice", role}))
	w := ask(t, s, r)
	return w.Code, answered(t, w)
}

func answered(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var a struct{ Answer, Error string }
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return a.Answer + a.Error
}

func TestAGetOfTheShellOnlyLooks(t *testing.T) {
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"show service":            {200, "alice: show service"},
		"":                        {200, "alice: help"},
		"show nonsense":           {422, "alice: show nonsense"},
		"service dns stop":        {403, "a GET only looks; what does more is sent by POST"},
		"reload":                  {403, "a GET only looks; what does more is sent by POST"},
		"watch":                   {400, "srrsh carries that out itself, where it runs"},
		"show\nservice":           {400, "want a command in one line"},
		strings.Repeat("a", 2000): {400, "want a command in one line"},
	} {
		var said []string
		s, _ := newServer(t, Admin, func(c *Config) { c.Shell = fakeShell(&said) })
		got := get(t, s, "/api/v1/shell?line="+url.QueryEscape(line))
		if text := answered(t, got); got.Code != want.code || text != want.text {
			t.Errorf("%q: %d %q, want %d %q", line, got.Code, text, want.code, want.text)
		}
		if ran := len(said) > 0; ran != (want.code == 200 || want.code == 422) {
			t.Errorf("%q was carried out: %v", line, ran)
		}
	}
}

// A line from another node is carried out for whoever could do the same on
// the pages, and nobody else; an attempt is on record either way.
func TestALineFromAnotherNodeNeedsItsRoleAndIsAudited(t *testing.T) {
	for _, tc := range []struct {
		line    string
		least   Role
		audited bool
		before  string
	}{
		{"show service", Viewer, false, ""},
		{"service dns stop", Operator, true, `before="active/started, runs on n1"`},
		{"-o json service dns stop", Operator, true, `before="active/started, runs on n1"`},
		{"node standby", Admin, true, "before=online"},
		{"ospf show ip ospf", Viewer, false, ""},
		{"ospf clear ip ospf process", Operator, true, "before=online"},
		{"ospf router ospf", Admin, true, "before=online"},
		{"ospf show running-config", Admin, false, ""},
	} {
		for role := Viewer; role <= Admin; role++ {
			var log bytes.Buffer
			var said []string
			s, _ := newServer(t, role, func(c *Config) {
				c.Shell, c.Audit = fakeShell(&said), slog.New(slog.NewTextHandler(&log, nil))
			})
			code, text := sendLine(t, s, role, tc.line)
			allowed := role >= tc.least
			if ran := len(said) == 1 && said[0] == tc.line; ran != allowed || allowed && (code != 200 || text != "alice: "+tc.line) || !allowed && code != 403 {
				t.Errorf("%q as %s: %d %q, carried out %q", tc.line, role, code, text, said)
			}
			if on := log.Len() > 0; on != tc.audited {
				t.Errorf("%q as %s: the audit log has %q", tc.line, role, log.String())
			}
			if what := fmt.Sprintf("what=%q", "shell: "+strings.TrimPrefix(tc.line, "-o json ")); tc.audited && (!strings.Contains(log.String(), "who=alice role="+role.String()) || !strings.Contains(log.String(), what)) {
				t.Errorf("%q as %s: no %s in the audit log: %s", tc.line, role, what, log.String())
			}
			if tc.audited && allowed && (!strings.Contains(log.String(), tc.before) || !strings.Contains(log.String(), "outcome=done")) {
				t.Errorf("%q as %s: the audit log says %s", tc.line, role, log.String())
			}
		}
	}
}

func TestALineFromAnotherNodeThatIsNone(t *testing.T) {
	var said []string
	var log bytes.Buffer
	s, _ := newServer(t, Admin, func(c *Config) { c.Shell, c.Audit = fakeShell(&said), slog.New(slog.NewTextHandler(&log, nil)) })
	for body, want := range map[string]int{`{"line":"service dns nonsense"}`: 422, `{"line":"watch"}`: 400, `{"line":"ospf conf t"}`: 400, `{"lin":"x"}`: 400, `show service`: 400, "": 400,
		`{"line":"` + strings.Repeat("x", maxBody) + `"}`: 413, `{"line":"show\nservice"}`: 400} {
		r := httptest.NewRequest("POST", "/api/v1/shell", strings.NewReader(body))
		r.Header.Set("X-SRRD-Token", s.token(Person{"alice", Admin}))
		if w := ask(t, s, r); w.Code != want {
			t.Errorf("%.40s: status %d, want %d: %s", body, w.Code, want, w.Body)
		}
	}
	if len(said) != 1 || !strings.Contains(log.String(), `outcome="refused: alice: service dns nonsense"`) {
		t.Errorf("carried out %q; the audit log says %s", said, log.String())
	}
	r := httptest.NewRequest("POST", "/api/v1/shell", strings.NewReader(`{"line":"service dns stop"}`))
	if w := ask(t, s, r); w.Code != 403 || len(said) != 1 {
		t.Errorf("without the token: %d %s", w.Code, w.Body)
	}
}

func TestALineThatDoesNotEndInTimeSaysThatItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		s, _ := newServer(t, Admin, func(c *Config) { c.Shell = fakeShell(&said) })
		if code, text := sendLine(t, s, Admin, "node drain"); code != 422 || !strings.Contains(text, "no end within 1m15s; what was asked for goes on") {
			t.Errorf("%d %q", code, text)
		}
	})
}
