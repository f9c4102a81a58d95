package web

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/srrd/srrd/sidecar/internal/config"
)

// realFiles is a small configuration on disk, read as srrd reads it. What is
// written is only remembered.
type realFiles struct {
	t       testing.TB
	path    string
	files   []ServiceFile
	wrote   map[string]string
	removed []string
	refusal error
}

func newFiles(t testing.TB) *realFiles {
	t.Helper()
	dir := t.TempDir()
	f := &realFiles{t: t, path: filepath.Join(dir, "srrd.yaml"), wrote: map[string]string{}}
	put := func(path, text string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	put(f.path, "host: n1\n")
	for _, s := range []ServiceFile{
		{"db", "/etc/srrd/services.d/db.yaml", "# the shop's\naddresses: 192.0.2.20\ngroup: shop\ndependencies: disk\naddress: alias\n"},
		{"disk", "/etc/srrd/services.d/disk.yaml", "group: shop\ncritical: yes\n"},
		{"dns", "/etc/srrd/services.d/dns.yaml", "addresses: [192.0.2.10, 192.0.2.11]\ncheck:\n  interval: 5s # often\n"},
	} {
		f.files = append(f.files, s)
		put(filepath.Join(dir, "services.d", s.Name+".yaml"), s.Text)
	}
	return f
}

func (f *realFiles) Services(context.Context) ([]ServiceFile, error) { return f.files, nil }

func (f *realFiles) Edit(text string, settings []Setting) (string, error) {
	var all []config.Setting
	for _, s := range settings {
		all = append(all, config.Setting(s))
	}
	return config.Edit(text, all)
}

func (f *realFiles) Typed(text string) map[string]string { return config.Typed(text) }

func (f *realFiles) Try(_ context.Context, name, text string, remove bool) ([]FileProblem, []string, error) {
	old, err := config.Load(f.path)
	if err != nil {
		f.t.Fatal(err)
	}
	written, removed := map[string]string{}, []string(nil)
	if remove {
		removed = []string{name}
	} else if name != "" {
		written[name] = text
	}
	c, err := config.LoadWith(f.path, written, removed)
	var problems config.Problems
	if errors.As(err, &problems) {
		var all []FileProblem
		for _, p := range problems {
			all = append(all, FileProblem{strings.TrimSuffix(filepath.Base(p.File), ".yaml"), p.Line, p.Column, p.Key, p.Text})
		}
		return all, nil, nil
	}
	var changes []string
	for _, ch := range config.Diff(old, c) {
		changes = append(changes, ch.String())
	}
	return nil, changes, err
}

func (f *realFiles) Write(_ context.Context, name, old, text string) error {
	if f.refusal == nil {
		f.wrote[name] = text
	}
	return f.refusal
}

func (f *realFiles) Remove(_ context.Context, name, old string) error {
	if f.refusal == nil {
		f.removed = append(f.removed, name)
	}
	return f.refusal
}

// withFiles gives a server configuration pages.
func withFiles(t testing.TB) (*realFiles, func(*Config)) {
	f := newFiles(t)
	return f, func(c *Config) { c.Files = f }
}

// fieldsOf is the form as the browser would send it back.
func fieldsOf(s *Server, name, text string) url.Values {
	v := url.Values{"how": {"fields"}, "seen": {fingerprint("/etc/srrd/services.d/"+name+".yaml", text)}}
	typed := s.cfg.Files.Typed(text)
	for _, f := range fields() {
		v.Set(f.Key, typed[f.Key])
	}
	return v
}

func TestConfigurationPagesAreAsTheirGoldens(t *testing.T) {
	f, with := withFiles(t)
	s, _ := newServer(t, Admin, with)
	dns := f.files[2].Text
	changed := fieldsOf(s, "dns", dns)
	changed.Set("preference", "200")
	changed.Set("addresses", "192.0.2.10")
	wrong := fieldsOf(s, "dns", dns)
	wrong.Set("preference", "999")
	wrong.Set("check.interval", "often")
	for _, tc := range []struct {
		name, path string
		form       url.Values
	}{
		{"config", "/config", nil},
		{"config-of-a-service", "/config/dns", nil},
		{"config-of-a-new-service", "/config-new", nil},
		{"config-with-what-would-change", "/config/dns", changed},
		{"config-with-what-is-wrong", "/config/dns", wrong},
		{"config-that-would-be-deleted", "/config/db/delete", url.Values{}},
		{"config-that-cannot-be-deleted", "/config/disk/delete", url.Values{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var body string
			if tc.form == nil {
				body = get(t, s, tc.path).Body.String()
			} else {
				body = post(t, s, tc.path, tc.form).Body.String()
			}
			if strings.Contains(body, "ZgotmplZ") {
				t.Error("a template that broke")
			}
			golden(t, tc.name+".html", body)
		})
	}
	if len(f.wrote)+len(f.removed) > 0 {
		t.Errorf("looking wrote %v, removed %v", f.wrote, f.removed)
	}
}

func TestAChangeIsWrittenOnlyAfterItWasShown(t *testing.T) {
	f, with := withFiles(t)
	s, _ := newServer(t, Admin, with)
	form := fieldsOf(s, "dns", f.files[2].Text)
	form.Set("preference", "200")
	if w := post(t, s, "/config/dns", form); w.Code != 200 || len(f.wrote) > 0 || !strings.Contains(w.Body.String(), "service dns preference: 100 -&gt; 200") {
		t.Errorf("first: status %d, wrote %v: %s", w.Code, f.wrote, w.Body)
	}
	write := url.Values{"do": {"write"}, "how": {"text"}, "seen": form["seen"], "text": {f.files[2].Text + "preference: 200\n"}}
	if w := post(t, s, "/config/dns", write); w.Code != 303 || f.wrote["dns"] != f.files[2].Text+"preference: 200\n" {
		t.Errorf("then: status %d, wrote %q", w.Code, f.wrote)
	}
	clear(f.wrote)
	write.Set("text", "preference: 999\n")
	if w := post(t, s, "/config/dns", write); w.Code != 200 || len(f.wrote) > 0 {
		t.Errorf("what is wrong: status %d, wrote %v", w.Code, f.wrote)
	}
	write.Set("seen", "0")
	if w := post(t, s, "/config/dns", write); w.Code != 409 || len(f.wrote) > 0 {
		t.Errorf("over somebody else's change: status %d, wrote %v", w.Code, f.wrote)
	}
}

func TestANewServiceIsMadeOnce(t *testing.T) {
	f, with := withFiles(t)
	s, d := newServer(t, Admin, with)
	form := url.Values{"how": {"fields"}, "name": {"ntp"}, "addresses": {"192.0.2.99"}, "do": {"write"}}
	if w := post(t, s, "/config-new", form); w.Code != 303 || f.wrote["ntp"] != "addresses: 192.0.2.99\n" {
		t.Errorf("status %d, wrote %q: %s", w.Code, f.wrote, w.Body)
	}
	clear(f.wrote)
	for name, says := range map[string]string{"dns": "there is a service", "": "want a name", "../x": "../x"} {
		form.Set("name", name)
		if w := post(t, s, "/config-new", form); w.Code != 200 || len(f.wrote) > 0 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%q: status %d, wrote %v", name, w.Code, f.wrote)
		}
	}
	form.Set("name", "ntp")
	form.Set("addresses", "192.0.2.10")
	if w := post(t, s, "/config-new", form); w.Code != 200 || len(f.wrote) > 0 || !strings.Contains(w.Body.String(), `class="wrong"`) {
		t.Errorf("an address of another service: status %d, wrote %v", w.Code, f.wrote)
	}
	form.Set("addresses", "192.0.2.99")
	d.refusal = errors.New("a running srrd cannot change web.listen: restart it")
	w := post(t, s, "/config-new", form)
	if body := get(t, s, w.Header().Get("Location")).Body.String(); !strings.Contains(body, "written, but not taken over") {
		t.Errorf("a reload that fails is not said: %s", body)
	}
}

func TestADeletedServiceLeavesNoOrphans(t *testing.T) {
	f, with := withFiles(t)
	s, _ := newServer(t, Admin, with)
	seen := func(i int) url.Values {
		return url.Values{"do": {"write"}, "seen": {fingerprint(f.files[i].Path, f.files[i].Text)}}
	}
	if w := post(t, s, "/config/disk/delete", seen(1)); w.Code != 200 || len(f.removed) > 0 || !strings.Contains(w.Body.String(), "disk") {
		t.Errorf("what another depends on: status %d, removed %v", w.Code, f.removed)
	}
	if w := post(t, s, "/config/db/delete", seen(0)); w.Code != 303 || !slices.Equal(f.removed, []string{"db"}) {
		t.Errorf("status %d, removed %v: %s", w.Code, f.removed, w.Body)
	}
	if w := post(t, s, "/config/none/delete", nil); w.Code != 404 {
		t.Errorf("what is not there: status %d", w.Code)
	}
}
