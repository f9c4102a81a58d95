package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/primitive"
)

// oneService loads a configuration of one service.
func oneService(t *testing.T, service string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "services.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"srrd.yaml": "host: n1\n", "services.d/web.yaml": "dir: " + dir + "\n" + service} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(filepath.Join(dir, "srrd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestThePortIsToldWhatToWatchAlsoWhenTheServiceHasGone(t *testing.T) {
	d := &daemon{}
	d.adopt(oneService(t, "addresses: 10.9.9.9\nwatch: {pidfile: /run/web.pid}\ncheck: {grace: 7s}\n"))
	got, ok := d.primitiveSetting("web")
	got.Dir = ""
	if diff := cmp.Diff(primitive.Setting{PIDFile: "/run/web.pid", Grace: 7 * time.Second}, got); !ok || diff != "" {
		t.Errorf("%v, (-want +got):\n%s", ok, diff)
	}
	c := oneService(t, "watch: {unit: web.service}\n")
	d.adopt(c)
	if got, _ := d.primitiveSetting("web"); got.Unit != "web.service" || got.PIDFile != "" {
		t.Errorf("got %+v, want the unit alone", got)
	}
	c.Machine.Services, c.Services = nil, nil
	d.adopt(c)
	if got, ok := d.primitiveSetting("web"); !ok || got.Unit != "web.service" {
		t.Errorf("got %+v %v: it may have to be stopped still", got, ok)
	}
}

func TestAServiceThatFencesNeedsTheTarget(t *testing.T) {
	const targets = "activate deactivate start stop reload restart join leave failed status check"
	for _, c := range []struct{ makefile, want string }{
		{targets + ":\n", `has no target "fence"`},
		{targets + " fence:\n", ""},
	} {
		conf := oneService(t, "fence: yes\n")
		if err := os.WriteFile(filepath.Join(conf.Services["web"].Dir, "Makefile"), []byte(c.makefile), 0o644); err != nil {
			t.Fatal(err)
		}
		got := CheckDirs(t.Context(), conf, &primitive.Targets{})
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0].Error(), c.want)) {
			t.Errorf("%q: got %v, want %q", c.makefile, got, c.want)
		}
	}
}
