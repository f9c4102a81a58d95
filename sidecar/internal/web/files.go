package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// Files is the configuration files of services, one each.
type Files interface {
	// Services lists the files there are, by name.
	Services(ctx context.Context) ([]ServiceFile, error)
	// Edit sets keys in the text of a file and leaves the rest as it stands.
	Edit(text string, settings []Setting) (string, error)
	// Typed gives the values in the text of a file by their keys; lists with
	// ", " between the entries.
	Typed(text string) map[string]string
	// Try tells what loading would say if the file of a service had this text
	// (or, with remove, were not there): what is wrong, or what would change.
	Try(ctx context.Context, name, text string, remove bool) (problems []FileProblem, changes []string, err error)
	// Write replaces the file of a service atomically, or makes it. It must
	// still be as old says ("" for none).
	Write(ctx context.Context, name, old, text string) error
	// Remove takes it away; it must still be as old says.
	Remove(ctx context.Context, name, old string) error
}

// ServiceFile is the file of one service.
type ServiceFile struct{ Name, Path, Text string }

// Setting is a key with what is to stand there; "" takes it out.
type Setting struct {
	Key, Value string
	List       bool
}

// FileProblem is what is wrong with a file. Name is the service it belongs to,
// "" for the daemon's own file.
type FileProblem struct {
	Name         string
	Line, Column int
	Key, Text    string
}

// field is a key that the form offers.
type field struct {
	Key, Name, Hint string
	List            bool
	Choices         []string // a word of these; the first is the default
	Value           string   // as typed
	Wrong           []string // what is wrong with it
}

// fields are the keys that the form offers, in its order. All others are
// edited as text.
func fields() []field {
	yesNo := []string{"", "yes", "no"}
	return []field{
		{Key: "enabled", Name: "enabled", Choices: yesNo, Hint: "offered by this node as long as the operator says nothing else; default yes"},
		{Key: "addresses", Name: "addresses", List: true, Hint: "with commas between; none: a resource, which must never run twice"},
		{Key: "group", Name: "group", Hint: "services of one group run together on one node"},
		{Key: "dependencies", Name: "depends on", List: true, Hint: "services of the same group that must have started before"},
		{Key: "critical", Name: "critical", Choices: yesNo, Hint: "if it stops or fails, its whole group leaves the node; default no"},
		{Key: "exclusive", Name: "exclusive", Choices: yesNo, Hint: "has addresses and must never run on two nodes; default no"},
		{Key: "handover", Name: "handover", Choices: []string{"", "stop", "overlap"}, Hint: "overlap: the new node starts before the old one stops; default stop"},
		{Key: "scope", Name: "scope", Hint: "how far it is known: as, area 0.0.0.1 or link eth0"},
		{Key: "preference", Name: "preference", Hint: "0 to 255; the highest runs it; equal: it stays where it is"},
		{Key: "check.interval", Name: "check interval", Hint: "such as 5s; 0 for never"},
		{Key: "check.fall", Name: "check fall", Hint: "failures in a row that make the service fail"},
		{Key: "failback_delay", Name: "failback delay", Hint: "how long a better node waits before it wants the service back"},
		{Key: "address", Name: "address", Choices: []string{"", "local", "alias"}, Hint: "how the address comes onto the node; default local"},
		{Key: "dir", Name: "directory", Hint: "of its Makefile; default: its name, beside the file"},
	}
}

func configEndpoints() []endpoint {
	return []endpoint{
		{"GET /config", Viewer, configPage, false},
		{"GET /config/{name}", Admin, configForm, false},
		{"GET /config-new", Admin, configForm, false},
		{"POST /config/{name}", Admin, configSave, false},
		{"POST /config-new", Admin, configSave, false},
		{"POST /config/{name}/delete", Admin, configDelete, false},
	}
}

// configStuff is the overview of the configured services.
type configStuff struct {
	Rows   []configRow
	Broken []FileProblem // what keeps the files from being loaded
}

// configRow is a configured service: the thesis's table.
type configRow struct {
	ServiceFile
	*machine.ServiceView // nil: not in force
	Typed                map[string]string
	Preference           string
	Differs              []string // nodes that have it configured differently
}

func configPage(r *request) error {
	s, err := r.read()
	if err != nil {
		return err
	}
	files, err := r.files(r.ctx)
	if err != nil {
		return err
	}
	var st configStuff
	for _, f := range files {
		row := configRow{ServiceFile: f, Typed: r.cfg.Files.Typed(f.Text)}
		if sv := s.Service(f.Name); sv != nil && sv.Local {
			row.ServiceView = sv
			row.Preference, row.Differs = differs(sv)
		}
		st.Rows = append(st.Rows, row)
	}
	if st.Broken, _, err = r.try("", "", false); err != nil {
		return err
	}
	return r.show("config", "Service configuration", "/config", false, st)
}

// differs gives our own preference, and the nodes whose digest is not ours.
func differs(sv *machine.ServiceView) (preference string, nodes []string) {
	at := slices.IndexFunc(sv.Offers, func(o machine.OfferView) bool { return o.Self })
	if at < 0 {
		return "", nil
	}
	for _, o := range sv.Offers {
		if o.Counts && !o.Self && o.Digest != sv.Offers[at].Digest {
			nodes = append(nodes, view.NameOf(o.Host, o.Router))
		}
	}
	return view.PrefWords(&sv.Offers[at]), nodes
}

func (r *request) files(ctx context.Context) ([]ServiceFile, error) {
	if r.cfg.Files == nil {
		return nil, &fault{http.StatusNotFound, "this server has no configuration pages"}
	}
	return r.cfg.Files.Services(ctx)
}

// try is Files.Try, also for what is there already (no name).
func (r *request) try(name, text string, remove bool) ([]FileProblem, []string, error) {
	return r.cfg.Files.Try(r.ctx, name, text, remove)
}

// formStuff is a service's file being edited.
type formStuff struct {
	Name    string // as typed, for a new one
	New     bool
	Path    string
	Fields  []field
	Old     string // text of the file
	Text    string // as it would be
	Seen    string // what the form was made from
	Asked   bool   // something was sent: what follows is what would happen
	Remove  bool
	Diff    []line
	Changes []string
	Wrong   []FileProblem // what belongs to no field
	State   mark
	Running bool     // it is not stopped here: the change makes it stop or move
	Differs []string // nodes that have it configured differently
}

// Fine tells whether it can be written.
func (f *formStuff) Fine() bool {
	if len(f.Wrong) > 0 || len(f.Diff) == 0 {
		return false
	}
	return !slices.ContainsFunc(f.Fields, func(x field) bool { return len(x.Wrong) > 0 })
}

func configForm(r *request) error {
	st, err := r.form(r.PathValue("name"))
	if err != nil {
		return err
	}
	if !st.New && st.Path == "" {
		return &fault{http.StatusNotFound, fmt.Sprintf("no service %q is configured here", st.Name)}
	}
	st.fill(r.cfg.Files.Typed(st.Text))
	return r.showForm(st)
}

// form begins with the file as it is.
func (r *request) form(name string) (*formStuff, error) {
	s, err := r.read()
	if err != nil {
		return nil, err
	}
	files, err := r.files(r.ctx)
	if err != nil {
		return nil, err
	}
	st := &formStuff{Name: name, New: r.PathValue("name") == "", Fields: fields()}
	for _, f := range files {
		if f.Name == name {
			st.Path, st.Old, st.Text = f.Path, f.Text, f.Text
		}
	}
	st.Seen = fingerprint(st.Path, st.Old)
	if sv := s.Service(name); sv != nil && sv.Local {
		st.State = markOf(sv.Config.String(), sv.State.String())
		st.Running = sv.State.String() != "stopped" && sv.State.String() != "failed"
		_, st.Differs = differs(sv)
	}
	return st, nil
}

// fingerprint tells a file that has changed meanwhile.
func fingerprint(path, text string) string {
	sum := sha256.Sum256([]byte(path + "\x00" + text))
	return hex.EncodeToString(sum[:8])
}

func (f *formStuff) fill(typed map[string]string) {
	for i := range f.Fields {
		f.Fields[i].Value = typed[f.Fields[i].Key]
	}
}

func (r *request) showForm(st *formStuff) error {
	title := "Configuration of " + st.Name
	if st.New {
		title = "New service"
	}
	return r.show("form", title, "/config", false, st)
}

// configSave shows what would change, and with do=write writes it.
func configSave(r *request) error {
	name := r.PathValue("name")
	if name == "" {
		name = strings.TrimSpace(r.PostFormValue("name"))
	}
	st, err := r.form(name)
	if err != nil {
		return err
	}
	st.Asked = true
	switch {
	case st.New && name == "":
		st.Wrong = append(st.Wrong, FileProblem{Key: "name", Text: "want a name"})
	case st.New && st.Path != "":
		st.Wrong = append(st.Wrong, FileProblem{Key: "name", Text: fmt.Sprintf("there is a service %q already", name)})
	case r.PostFormValue("seen") != st.Seen && !st.New:
		return &fault{http.StatusConflict, "the file of " + name + " was changed meanwhile: load the page again"}
	}
	if err := st.take(r); err != nil {
		st.Wrong = append(st.Wrong, FileProblem{Name: name, Text: err.Error()})
	}
	if len(st.Wrong) == 0 {
		problems, changes, err := r.try(name, st.Text, false)
		if err != nil {
			return err
		}
		st.blame(problems)
		st.Changes, st.Diff = changes, onlyChanges(st.Old, st.Text)
	}
	if r.PostFormValue("do") != "write" || !st.Fine() {
		return r.showForm(st)
	}
	old := st.Old
	err = r.cfg.Files.Write(r.ctx, name, old, st.Text)
	return r.written("service "+name+" configure", "/config/"+url.PathEscape(name), strings.Join(changedLines(old, st.Text), "\n"), err)
}

// take makes the new text of what was sent: of the fields, or of the text.
func (f *formStuff) take(r *request) error {
	if r.PostFormValue("how") == "text" {
		f.Text = strings.ReplaceAll(r.PostFormValue("text"), "\r", "")
		f.fill(r.cfg.Files.Typed(f.Text))
		return nil
	}
	var settings []Setting
	for i := range f.Fields {
		x := &f.Fields[i]
		x.Value = strings.TrimSpace(r.PostFormValue(x.Key))
		settings = append(settings, Setting{x.Key, x.Value, x.List})
	}
	text, err := r.cfg.Files.Edit(f.Old, settings)
	if err != nil {
		return err
	}
	f.Text = text
	return nil
}

// blame puts each problem beside the field it is about.
func (f *formStuff) blame(problems []FileProblem) {
	for _, p := range problems {
		at := -1
		if p.Name == f.Name {
			at = slices.IndexFunc(f.Fields, func(x field) bool { return x.Key == p.Key })
		}
		if at < 0 {
			f.Wrong = append(f.Wrong, p)
			continue
		}
		f.Fields[at].Wrong = append(f.Fields[at].Wrong, p.Text)
	}
}

// onlyChanges is the difference, with a few lines around; empty without one.
func onlyChanges(before, after string) []line {
	const around = 3
	all := compareLines(before, after)
	keep := make([]bool, len(all))
	any := false
	for i, l := range all {
		if l.Op == " " {
			continue
		}
		any = true
		for j := max(0, i-around); j <= min(len(all)-1, i+around); j++ {
			keep[j] = true
		}
	}
	if !any {
		return nil
	}
	var out []line
	for i, l := range all {
		switch {
		case keep[i]:
			out = append(out, l)
		case i > 0 && keep[i-1]:
			out = append(out, line{" ", "..."})
		}
	}
	return out
}

func configDelete(r *request) error {
	name := r.PathValue("name")
	st, err := r.form(name)
	if err != nil {
		return err
	}
	if st.Path == "" {
		return &fault{http.StatusNotFound, fmt.Sprintf("no service %q is configured here", name)}
	}
	st.Asked, st.Remove, st.Fields, st.Text = true, true, nil, ""
	problems, changes, err := r.try(name, "", true)
	if err != nil {
		return err
	}
	st.blame(problems)
	st.Changes, st.Diff = changes, onlyChanges(st.Old, "")
	if r.PostFormValue("do") != "write" || len(st.Wrong) > 0 {
		return r.showForm(st)
	}
	if r.PostFormValue("seen") != st.Seen {
		return &fault{http.StatusConflict, "the file of " + name + " was changed meanwhile: load the page again"}
	}
	err = r.cfg.Files.Remove(r.ctx, name, st.Old)
	return r.written("service "+name+" delete", "/config", strings.Join(changedLines(st.Old, ""), "\n"), err)
}

// written takes a file that was changed over, and says what came of it.
func (r *request) written(what, to, diff string, err error) error {
	text := ""
	if err == nil {
		text, err = r.cfg.Deps.Reload(r.ctx)
		if err != nil {
			err = fmt.Errorf("written, but not taken over: %w", err)
		}
	}
	r.audit(what, "", diff, err)
	return r.back(to, "written and taken over: "+text, err)
}
