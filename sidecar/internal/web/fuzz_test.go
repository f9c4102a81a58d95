package web

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// streamed is when the reader of a stream goes away; of all else nothing waits
// for it.
const streamed = 20 * time.Millisecond

// A page of the fixture has at most this many bytes, and each byte that was
// sent comes back as at most that many: as text, as a line of a difference, as
// the value of a field, all of them escaped.
const (
	largestPage = 256 << 10
	echoedByte  = 200
)

// outside is all that requests can have changed beyond the server.
type outside struct {
	*fakeDaemon
	files *realFiles
	ran   []string // lines of the shell that do more than look
}

func (o *outside) forget() {
	o.asked, o.vty, o.lines, o.down, o.reloads, o.reexecs, o.ran = nil, nil, nil, 0, 0, 0, nil
	clear(o.files.wrote)
	o.files.removed = nil
}

// changes says what was changed, in words.
func (o *outside) changes() []string {
	all := slices.Concat(o.lines, o.ran, o.files.removed, slices.Collect(maps.Keys(o.files.wrote)))
	for _, c := range o.asked {
		all = append(all, "command "+c.Verb.String())
	}
	for _, c := range o.vty {
		if _, command, _ := strings.Cut(c, ": "); !strings.HasPrefix(command, "show ") {
			all = append(all, c)
		}
	}
	if o.down+o.reloads+o.reexecs > 0 {
		all = append(all, "shutdown, reload or reexec")
	}
	return all
}

// looking are lines of the fixture's shell that only look.
func looking(line string) Errand {
	e := Errand{Line: line, Looks: strings.HasPrefix(line, "show "), Least: Viewer}
	if !e.Looks {
		e.Least = Operator
	}
	if command, ok := strings.CutPrefix(line, "ospf "); ok {
		e.Daemon, e.Command = "ospfd", command
	}
	return e
}

// FuzzEveryRequestIsAnswered sends whatever comes, to pages, API and forms: an
// answer of bounded size is owed to all of it, none of them the 500 that stands
// for a panic, and nothing may change but by a POST of somebody with the role,
// with a token that fits, that no foreign page has sent.
func FuzzEveryRequestIsAnswered(f *testing.F) {
	const form, object = "application/x-www-form-urlencoded", "application/json"
	for _, path := range []string{"/", "/services", "/service/web", "/nodes", "/node/n2", "/map", "/events", "/lsdb?kind=opaque&detail=1", "/metrics", "/healthz",
		"/api/v1/openapi.json", "/api/v1/services", "/api/v1/services/web", "/api/v1/services/web/why", "/api/v1/lsdb?kind=all", "/api/v1/watch", "/api/v1/events?n=-1",
		"/api/v1/shell?line=show+service", "/static/style.css", "/static/..%2fserver.go", "/config", "/config/dns", "/config-new", "/switch?node=n2", "//..%2f..", "/%00"} {
		f.Add(uint8(0), uint8(0), path, "127.0.0.1:8222", "", "", "")
		f.Add(uint8(1), uint8(3), path, "localhost", "", form, "verb=move&service=web&node=n2&for=1h")
	}
	for path, body := range map[string]string{
		"/service/web/move": "node=n2&for=1h", "/service/web/confirm-stopped": "node=n2&sure=yes", "/node/drain": "", "/cluster/freeze": "for=1h",
		"/router/ospfd": "command=show+ip+ospf", "/router/zebra": "command=clear+zebra", "/router/ospfd/configure": "lines=router+ospf%0A+no+network",
		"/config/dns": "preference=7&do=write", "/config-new": "name=new&addresses=192.0.2.77", "/config/dns/delete": "do=delete",
		"/admin/reload": "", "/admin/reexec": "", "/admin/shutdown": "sure=yes",
	} {
		for who := range uint8(8) { // each role, without the token and with it
			f.Add(uint8(1), who, path, "127.0.0.1:8222", "", form, body)
		}
		f.Add(uint8(1), uint8(7), path, "127.0.0.1:8222", "http://evil.example", form, body)
		f.Add(uint8(1), uint8(7), path, "evil.example", "", form, body)
	}
	for path, body := range map[string]string{
		"/api/v1/services/web/move": `{"node":"n2","for":"1h"}`, "/api/v1/services/web/confirm-stopped": `{"node":"n2","sure":true}`, "/api/v1/node/standby": "",
		"/api/v1/shell": `{"line":"service web stop"}`, "/api/v1/reload": "", "/api/v1/daemon/reexec": "", "/api/v1/cluster/freeze": `{"for":"soon"}`,
	} {
		for who := range uint8(8) {
			f.Add(uint8(1), who, path, "[::1]:8222", "", object, body)
		}
	}
	methods := []string{http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions, "x"}

	var role Role
	o := &outside{files: newFiles(f)}
	s, daemon := newServer(f, Admin, func(c *Config) {
		c.Files = o.files
		c.Local = func(netip.AddrPort, netip.AddrPort) (Person, error) { return Person{"alice", role}, nil }
		c.Shell = &Shell{Errand: looking, Exec: func(_ context.Context, _, line string, w io.Writer) bool {
			if !looking(line).Looks {
				o.ran = append(o.ran, line)
			}
			_, err := io.WriteString(w, line)
			return err == nil
		}}
	})
	o.fakeDaemon = daemon
	write := fieldsOf(s, "dns", o.files.files[2].Text)
	write.Set("preference", "7")
	write.Set("do", "write")
	f.Add(uint8(1), uint8(7), "/config/dns", "127.0.0.1:8222", "", form, write.Encode())
	f.Fuzz(func(t *testing.T, method, who uint8, path, host, origin, kind, body string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" || len(body) > maxBody {
			return // net/http refuses it, or what a body may hold is another test's
		}
		o.forget()
		role = Role(who & 3)
		token := ""
		if who&4 != 0 {
			token = s.token(Person{"alice", role})
		}
		if token != "" && kind == form {
			body += "&token=" + token
		}
		ctx, cancel := context.WithTimeout(t.Context(), streamed)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, methods[int(method)%len(methods)], "http://127.0.0.1:8222/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.RequestURI, r.Host = u.Path, u.RawPath, u.RawQuery, path, host
		for k, v := range map[string]string{"Content-Type": kind, "Origin": origin, "X-SRRD-Token": token} {
			if v != "" {
				r.Header.Set(k, v)
			}
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, as(r, Person{"alice", role}))

		if w.Code >= 500 && w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s %q %q: %d %.300s", r.Method, path, body, w.Code, w.Body)
		}
		if w.Header().Get("Content-Security-Policy") != csp {
			t.Errorf("%s %q: an answer without the headers: %d %v", r.Method, path, w.Code, w.Header())
		}
		if n, most := w.Body.Len(), largestPage+echoedByte*(len(body)+len(path)); n > most {
			t.Errorf("%s %q, %d bytes: an answer of %d", r.Method, path, len(body), n)
		}
		from, err := url.Parse(origin)
		foreign := origin != "" && (err != nil || from.Host != host)
		if did := o.changes(); len(did) > 0 && (r.Method != http.MethodPost || role < Operator || token == "" || foreign || !s.hostFits(host)) {
			t.Errorf("%s %q as %s, token %t, origin %q, host %q: %q", r.Method, path, role, token != "", origin, host, did)
		}
	})
}
