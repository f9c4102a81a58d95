package guest

import (
	"archive/tar"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// agent serves one end of a pipe, and gives what asks the other.
func agent(t *testing.T) func(request) answer {
	t.Helper()
	here, there := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- serve(t.Context(), there) }()
	in, out := json.NewDecoder(here), json.NewEncoder(here)
	next := func() (a answer) {
		if err := in.Decode(&a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := next(); a != (answer{}) {
		t.Fatalf("the greeting is %+v", a)
	}
	t.Cleanup(func() {
		here.Close()
		<-served
	})
	return func(r request) answer {
		if err := out.Encode(r); err != nil {
			t.Fatal(err)
		}
		return next()
	}
}

func TestTheAgentRunsScripts(t *testing.T) {
	ask := agent(t)
	again := filepath.Join(t.TempDir(), "again")
	for name, c := range map[string]struct {
		ask  request
		want answer
	}{
		"what it says and how it ends":     {request{ID: 1, Script: "echo out; echo err >&2; exit 3", Limit: time.Hour}, answer{ID: 1, Out: "out\nerr\n", Status: 3}},
		"what it leaves running is let be": {request{ID: 2, Script: "sleep 30 & echo $! >" + again + ".pid", Limit: time.Hour}, answer{ID: 2}},
		"until it ends well":               {request{ID: 3, Script: "echo x >>" + again + "; wc -l <" + again + " | grep 2", Until: true, Limit: time.Hour}, answer{ID: 3, Out: "2\n"}},
		"its limit ends it":                {request{ID: 4, Script: "sleep 1000", Limit: time.Millisecond}, answer{ID: 4, Status: -1, Late: true}},
		"so too what never ends well":      {request{ID: 5, Script: "false", Until: true, Limit: time.Millisecond}, answer{ID: 5, Status: 1, Late: true}},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(c.ask)
			got.Took = 0
			if c.ask.ID == 5 {
				got.Status = c.want.Status // it may have been ended before it was begun
			}
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
	if pid, err := os.ReadFile(again + ".pid"); err == nil {
		_ = exec.Command("kill", strings.TrimSpace(string(pid))).Run() // it ends by itself too
	}
}

// The machine's unit runs /srv/lab/agent, which runs the agent beside it, and the
// checks read their words from files.
func TestTheSecondDiskHasAllThatTheMachineNeeds(t *testing.T) {
	tree := t.TempDir()
	if err := os.MkdirAll(filepath.Join(tree, "usr/sbin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "usr/sbin/srrd"), []byte("srrd"), 0o755); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := payload(disk, tree, filepath.Join(tree, "usr/sbin/srrd")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(disk)
	if err != nil || info.Size()%512 != 0 {
		t.Fatalf("%d bytes, %v", info.Size(), err)
	}
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	modes := map[string]int64{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 {
			t.Errorf("%s is of %d:%d", h.Name, h.Uid, h.Gid)
		}
		modes[h.Name] = h.Mode & 0o777
	}
	for name, mode := range map[string]int64{"agent": 0o755, "srrguest": 0o755, "tree/usr/sbin/srrd": 0o755, "files/lib.sh": 0o644, "files/install.sh": 0o644, "files/services.d/web/Makefile": 0o644} {
		if modes[name] != mode {
			t.Errorf("%s has mode %o, want %o", name, modes[name], mode)
		}
	}
}

// A script that does not parse would be found after minutes only.
func TestTheScriptsParse(t *testing.T) {
	names, err := filepath.Glob("files/*.sh")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, n := range names {
		if out, err := exec.Command("bash", "-n", n).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", n, err, out)
		}
	}
}
