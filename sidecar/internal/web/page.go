package web

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

//go:embed template/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// pages are the templates, by name without the ending.
type pages map[string]*template.Template

// parsePages reads every template together with the layout.
func parsePages() (pages, error) {
	layout, err := template.New("layout").Funcs(funcs).ParseFS(templateFiles, "template/layout.html", "template/parts.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(templateFiles, "template/*.html")
	if err != nil {
		return nil, err
	}
	all := pages{}
	for _, n := range names {
		name := strings.TrimSuffix(path.Base(n), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		t, err := layout.Clone()
		if err != nil {
			return nil, err
		}
		if all[name], err = t.ParseFS(templateFiles, n); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// page is what a template is given.
type page struct {
	Title   string
	At      string // path of the menu entry this page belongs to
	Path    string // of this page, with its query but for refresh
	Nodes   []nodeChoice
	Refresh int // seconds; 0: only what the script brings
	Choices []int
	Person  Person
	Token   string
	Notice  *notice
	Files   bool // there are configuration pages
	Live    bool // the script may follow it

	Now      time.Time
	Snapshot *view.Snapshot // nil on the page of an error
	Stuff    any

	started time.Time
	clock   func() time.Time
}

// Took is the time it took to make the page up to here.
func (p *page) Took() string {
	d := p.clock().Sub(p.started)
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

// May tells whether the person has the role.
func (p *page) May(role string) bool {
	switch role {
	case "operator":
		return p.Person.Role >= Operator
	case "admin":
		return p.Person.Role >= Admin
	}
	return p.Person.Role >= Viewer
}

// nodeChoice is a node in the switch at the top right.
type nodeChoice struct {
	Host    string
	Self    bool
	Why     string // why one cannot go there; "" if one can
	Present bool
}

// refreshes are the seconds one can choose.
var refreshes = []int{0, 2, 5, 10, 30, 60}

// menu is the order of the pages. Empty paths are headings.
var menu = []struct{ Path, Name string }{
	{"", "Cluster"},
	{"/", "Overview"}, {"/services", "Services"}, {"/placement", "Placement and checks"}, {"/map", "Map"}, {"/events", "Events"}, {"/nodes", "Nodes"},
	{"", "Routing"},
	{"/addresses", "Addresses and routes"}, {"/lsdb", "LSA database"}, {"/router/ospfd", "ospfd commands"}, {"/router/zebra", "zebra commands"},
	{"", "This node"},
	{"/config", "Service configuration"}, {"/admin", "Administration"}, {"/help", "Information"},
}

// show renders a page. Nothing is written before the template has run
// through, so a page is whole or an error.
func (r *request) show(name, title, at string, live bool, stuff any) error {
	return r.render(http.StatusOK, name, title, at, live, stuff)
}

func (r *request) render(status int, name, title, at string, live bool, stuff any) error {
	p := &page{Title: title, At: at, Person: r.person, Token: r.token(r.person), Choices: refreshes, Files: r.cfg.Files != nil,
		Live: live, Now: r.now, Snapshot: r.view, Stuff: stuff, started: r.now, clock: r.cfg.Now}
	q := r.URL.Query()
	p.Notice = r.notices.take(q.Get("said"), r.person.Name)
	q.Del("said")
	if n, err := strconv.Atoi(q.Get("refresh")); err == nil && slices.Contains(refreshes, n) {
		p.Refresh = n
	}
	q.Del("refresh")
	p.Path = (&url.URL{Path: r.URL.Path, RawQuery: q.Encode()}).String()
	if r.Method == http.MethodPost { // what it answers with has no address of its own
		p.Path = at
		if name := r.PathValue("name"); name != "" && at == "/services" {
			p.Path = "/service/" + url.PathEscape(name)
		}
	}
	if r.view != nil {
		p.Nodes = nodeChoices(r.view)
	}
	all, err := r.pages()
	if err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	var b bytes.Buffer
	if err := all[name].ExecuteTemplate(&b, "layout", p); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	h := r.ResponseWriter.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	if p.Refresh > 0 && r.Method == http.MethodGet {
		h.Set("Refresh", strconv.Itoa(p.Refresh))
	}
	r.WriteHeader(status)
	_, _ = r.ResponseWriter.Write(clean(b.Bytes())) // a reader that has gone is no concern
	return nil
}

func nodeChoices(s *view.Snapshot) []nodeChoice {
	var all []nodeChoice
	for i := range s.Machine.Nodes {
		n := &s.Machine.Nodes[i]
		c := nodeChoice{Host: view.NameOf(n.Host, n.Router), Self: n.Self, Present: n.Status == "present"}
		if !n.Self && !n.Web.IsValid() {
			c.Why = "its pages are on loopback only"
		}
		all = append(all, c)
	}
	return all
}

// elsewhere is the address of a path on another node's server; "" where it
// told of none. A server that others can reach always speaks HTTPS.
func elsewhere(n *machine.NodeView, path string) string {
	if n == nil || !n.Web.IsValid() {
		return ""
	}
	u := url.URL{Scheme: "https", Host: n.Web.String()}
	return u.String() + path
}

// switchNode leads to the same page on another node's server.
func switchNode(r *request) error {
	s, err := r.read()
	if err != nil {
		return err
	}
	q := r.URL.Query()
	to := localPath(q.Get("path"))
	if n, err := strconv.Atoi(q.Get("refresh")); err == nil && n > 0 && slices.Contains(refreshes, n) {
		u, err := url.Parse(to)
		if err != nil {
			return &fault{http.StatusBadRequest, "this is no page"}
		}
		v := u.Query()
		v.Set("refresh", strconv.Itoa(n))
		u.RawQuery = v.Encode()
		to = u.String()
	}
	n := s.Node(q.Get("node"))
	switch {
	case q.Get("node") == "":
	case n == nil:
		return &fault{http.StatusNotFound, fmt.Sprintf("there is no node %q", q.Get("node"))}
	case n.Self:
	case elsewhere(n, to) == "":
		return &fault{http.StatusNotFound, view.NameOf(n.Host, n.Router) + " does not tell where its pages are: they are served on its loopback only (web.listen)"}
	default:
		to = elsewhere(n, to)
	}
	http.Redirect(r.ResponseWriter, r.Request, to, http.StatusSeeOther)
	return nil
}

// localPath keeps a redirection on our own server.
func localPath(p string) string {
	u, err := url.Parse(p)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.ContainsAny(p, "\\\r\n") {
		return "/"
	}
	return p
}

// notice is what came of something a person did, shown once.
type notice struct {
	Bad  bool
	Text string
	who  string
}

// notices keeps the last few, between the POST and the page after it.
type notices struct {
	mu    sync.Mutex // guards the rest
	all   map[string]*notice
	order []string
}

const maxNotices = 64

func (n *notices) put(it notice) string {
	id := rand.Text()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[string]*notice{}
	}
	if len(n.order) == maxNotices {
		delete(n.all, n.order[0])
		n.order = n.order[1:]
	}
	n.order = append(n.order, id)
	n.all[id] = &it
	return id
}

func (n *notices) take(id, who string) *notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	it := n.all[id]
	if it == nil || it.who != who {
		return nil
	}
	delete(n.all, id)
	return it
}

// back sends the person who did something to a page that says what came of
// it: that of the form's field "back", or else to.
func (r *request) back(to, text string, err error) error {
	it := notice{Text: text, who: r.person.Name}
	if err != nil {
		it.Bad, it.Text = true, err.Error()
	}
	if b := r.PostFormValue("back"); b != "" {
		to = localPath(b)
	}
	u, perr := url.Parse(to)
	if perr != nil {
		u = &url.URL{Path: "/"}
	}
	q := u.Query()
	q.Set("said", r.notices.put(it))
	u.RawQuery = q.Encode()
	http.Redirect(r.ResponseWriter, r.Request, u.String(), http.StatusSeeOther)
	return nil
}

// fail answers with an error, as a page or as JSON.
func (r *request) fail(err error) {
	var f *fault
	if !errors.As(err, &f) {
		r.cfg.Log.Error("a page could not be made", "path", r.URL.Path, "err", err)
		f = &fault{http.StatusInternalServerError, err.Error()}
	}
	if r.api() {
		h := r.ResponseWriter.Header()
		h.Set("Content-Type", "application/json")
		r.WriteHeader(f.status)
		_ = json.NewEncoder(r.ResponseWriter).Encode(map[string]string{"error": f.text})
		return
	}
	if r.render(f.status, "error", http.StatusText(f.status), "", false, f.text) != nil {
		http.Error(r.ResponseWriter, f.text, f.status)
	}
}

// static serves what is embedded. The names carry no version, so readers ask
// again each time; the answer is mostly 304.
func (s *Server) static(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	text, err := staticFiles.ReadFile("static/" + path.Base(name))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", staticTag(name, text))
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
}
