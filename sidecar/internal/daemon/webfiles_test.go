package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/primitive"
	"github.com/srrd/srrd/sidecar/internal/web"
)

func TestPagesChangeTheFilesOfServices(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "srrd.yaml")
	if err := os.MkdirAll(filepath.Join(dir, "services.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{path: "host: n1\n", filepath.Join(dir, "services.d", "a.yaml"): "# mine\naddresses: 10.9.9.9\n"} {
		if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	f := &serviceFiles{path: path, current: func() *config.Config { return c }}

	problems, changes, err := f.Try(t.Context(), "b", "addresses: 10.9.9.9\nwrong: 1\n", false)
	if err != nil || changes != nil || len(problems) == 0 || problems[0].Name != "b" {
		t.Errorf("a bad file: %+v, %v, %v", problems, changes, err)
	}
	problems, changes, err = f.Try(t.Context(), "b", "addresses: 10.9.9.10\n", false)
	if err != nil || problems != nil || !cmp.Equal(changes, []string{"service b: new"}) {
		t.Errorf("a good file: %+v, %v, %v", problems, changes, err)
	}
	f.targets = &primitive.Targets{}
	if _, changes, err = f.Try(t.Context(), "b", "addresses: 10.9.9.10\n", false); err != nil || len(changes) != 2 || !strings.HasPrefix(changes[1], "but its primitives are not right: ") {
		t.Errorf("a directory that is not there: %v, %v", changes, err)
	}
	for _, name := range []string{"../b", "", ".b", "x/y"} {
		if err := f.Write(t.Context(), name, "", "x"); err == nil {
			t.Errorf("wrote to %q", name)
		}
	}
	if err := f.Write(t.Context(), "b", "", "addresses: 10.9.9.10\n"); err != nil {
		t.Error(err)
	}
	if err := f.Write(t.Context(), "a", "addresses: 10.9.9.9\n", "x"); !errors.Is(err, errChanged) {
		t.Errorf("over a change: %v", err)
	}
	if err := f.Remove(t.Context(), "a", "# mine\naddresses: 10.9.9.9\n"); err != nil {
		t.Error(err)
	}
	all, err := f.Services(t.Context())
	want := []web.ServiceFile{{Name: "b", Path: filepath.Join(dir, "services.d", "b.yaml"), Text: "addresses: 10.9.9.10\n"}}
	if diff := cmp.Diff(want, all); diff != "" || err != nil {
		t.Error(err, diff)
	}
	got, err := f.Edit("# mine\naddresses: 10.9.9.9\n", []web.Setting{{Key: "preference", Value: "200"}})
	if err != nil || !strings.HasPrefix(got, "# mine\n") || f.Typed(got)["preference"] != "200" {
		t.Errorf("edited to %q, %v", got, err)
	}
}
