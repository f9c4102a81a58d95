package primitive

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

func TestTheWebSampleServesThePageOfItsNode(t *testing.T) {
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Fatal("nginx is not installed (Debian: apt install nginx-light); make test installs it")
	}
	dir, err := filepath.Abs(filepath.Join(deploy, "web"))
	if err != nil {
		t.Fatal(err)
	}
	// nginx's workers are not root and must reach the pages.
	pages, err := os.MkdirTemp("", "srrd-web-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(pages) })
	if err := os.Chmod(pages, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, map[string]string{"web": ""})
	b.port.config.Dirs = func(string) (Setting, bool) {
		return Setting{Dir: dir, Env: []string{"WEB_DIR=" + pages, fmt.Sprintf("WEB_PORT=%d", port)}}, true
	}
	do := func(p machine.Primitive, want machine.Outcome, words string) {
		t.Helper()
		b.next++
		b.port.Do(machine.RunPrimitive{Service: "web", Primitive: p, Run: b.next, Timeout: 30 * time.Second,
			Env: machine.PrimitiveEnv{Node: "n7", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Claim: 99}})
		if d := b.done(); d.Outcome != want || !strings.Contains(d.Text, words) {
			t.Fatalf("%s: %s %q, want %s %q", p, d.Outcome, d.Text, want, words)
		}
	}
	t.Cleanup(func() { do(machine.PrimStop, machine.OutcomeDone, "") })
	do(machine.PrimCheck, machine.OutcomeFailed, "nginx does not run")
	do(machine.PrimStart, machine.OutcomeDone, "")
	do(machine.PrimStart, machine.OutcomeDone, "runs already")
	do(machine.PrimCheck, machine.OutcomeDone, "")
	do(machine.PrimReload, machine.OutcomeDone, "")
	do(machine.PrimRestart, machine.OutcomeDone, "")
	do(machine.PrimStatus, machine.OutcomeDone, "nginx runs, pid")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	res, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(page), "web on n7, claim 99") {
		t.Errorf("%q %v", page, err)
	}
	do(machine.PrimStop, machine.OutcomeDone, "")
	do(machine.PrimStop, machine.OutcomeDone, "")
	do(machine.PrimStatus, machine.OutcomeFailed, "nginx does not run")
	do(machine.PrimFailed, machine.OutcomeDone, "")
}
