package primitive

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// nobody is a user that every Debian has, and that owns nothing.
const nobody = "nobody"

func TestAPrimitiveRunsAsTheUserItsServiceNames(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root: it runs something as somebody else")
	}
	u, err := user.Lookup(nobody)
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(secret, []byte("1 00\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const recipe = `start:
	@{ id -u; id -G; echo $$HOME $$USER $$LOGNAME; grep -h ^Cap /proc/self/status | tr -d '\n'; } >out; echo said >/dev/stderr; \
	cat SECRET 2>/dev/null && echo "Result: failed" || exit 3
stop:
	@id -u
`
	b := newBench(t, map[string]string{"web": strings.ReplaceAll(recipe, "SECRET", secret)})
	for dir := b.dirs["web"]; dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	b.user = nobody
	d := b.one(machine.PrimStart, time.Minute)
	if d.Outcome != machine.OutcomeFailed {
		t.Errorf("it read root's secret: %s %q", d.Outcome, d.Text)
	}
	text, err := os.ReadFile(filepath.Join(b.dirs["web"], "out"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 4 || lines[0] != u.Uid || strings.Contains(" "+lines[1]+" ", " 0 ") || lines[2] != u.HomeDir+" "+nobody+" "+nobody || !strings.Contains(d.Text, "said") {
		t.Errorf("it said %q and\n%s", d.Text, text)
	}
	if caps := strings.ReplaceAll(lines[3], "CapBnd", ""); strings.Contains(caps, "CapEff:\t0000003f") || !strings.Contains(caps, "CapEff:\t0000000000000000") {
		t.Errorf("its capabilities: %s", lines[3])
	}

	b.user = "no-such-user"
	if d := b.one(machine.PrimStop, time.Minute); d.Outcome != machine.OutcomeUnknown || d.Text != "stop was not run: this machine has no user no-such-user" {
		t.Errorf("%s %q", d.Outcome, d.Text)
	}
	b.user = "root" // who srrd is: nothing changes
	if d := b.one(machine.PrimStop, time.Minute); d.Outcome != machine.OutcomeDone {
		t.Errorf("%s %q", d.Outcome, d.Text)
	}
}

// An srrd that is no root but was given CAP_NET_ADMIN keeps it to itself.
func TestNoPrimitiveInheritsAnAmbientCapability(t *testing.T) {
	const inside = "SRRD_TEST_AMBIENT"
	if os.Getenv(inside) != "" {
		if !ambient() {
			t.Fatal("the test has no ambient capability")
		}
		b := newBench(t, map[string]string{"web": "start:\n\t@grep ^Cap /proc/self/status >start\nstop:\n\t@cat $(wildcard /proc/self/status) | grep ^CapAmb >stop\n"})
		for _, p := range []machine.Primitive{machine.PrimStart, machine.PrimStop} {
			if d := b.one(p, time.Minute); d.Outcome != machine.OutcomeDone {
				t.Fatalf("%s %q", d.Outcome, d.Text)
			}
			text, err := os.ReadFile(filepath.Join(b.dirs["web"], p.String()))
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				if !strings.HasPrefix(line, "CapBnd:") && !strings.HasSuffix(line, "\t0000000000000000\n") {
					t.Errorf("%s has %s", p, line)
				}
			}
		}
		b.user = "root"
		if d := b.one(machine.PrimStart, time.Minute); d.Outcome != machine.OutcomeUnknown || !strings.Contains(d.Text, "only root can") {
			t.Errorf("as root: %s %q", d.Outcome, d.Text)
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Fatal("needs root: it gives a capability away")
	}
	u, err := user.Lookup(nobody)
	if err != nil {
		t.Fatal(err)
	}
	var uid, gid uint32
	if _, err := fmt.Sscan(u.Uid+" "+u.Gid, &uid, &gid); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(dir, "test")
	if out, err := exec.Command("cp", os.Args[0], binary).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	c := exec.CommandContext(t.Context(), binary, "-test.run=^"+t.Name()+"$")
	c.Dir = dir
	c.Env = append(os.Environ(), inside+"=1", "TMPDIR="+dir)
	const netAdmin = 12 // linux/capability.h
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}, AmbientCaps: []uintptr{netAdmin}}
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
