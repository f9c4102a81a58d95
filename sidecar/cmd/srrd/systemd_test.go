package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// unit makes a root in which systemd finds srrd.service, with drop-ins.
func unit(t *testing.T, dropins ...string) (root string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not here: the units are not examined")
	}
	root = t.TempDir()
	put := func(from, to string) {
		text, err := os.ReadFile(filepath.Join("../../../deploy/systemd", from))
		if err != nil {
			t.Fatal(err)
		}
		to = filepath.Join(root, to)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(strings.ReplaceAll(string(text), "@sbindir@", "/usr/sbin")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("srrd.service", "etc/systemd/system/srrd.service")
	for _, u := range []string{"srrd-zserv.path", "srrd-zserv.service"} {
		put(u, "etc/systemd/system/"+u)
	}
	for _, d := range dropins {
		put(d, "etc/systemd/system/srrd.service.d/"+d)
	}
	for path, text := range map[string]string{"usr/sbin/srrd": "#!/bin/sh\n", "bin/kill": "#!/bin/sh\n", "usr/bin/setfacl": "#!/bin/sh\n",
		"etc/systemd/system/frr.service":                    "[Service]\nExecStart=/usr/sbin/srrd\n",
		"etc/systemd/system/multi-user.target":              "[Unit]\nDescription=x\n",
		"etc/systemd/system/basic.target":                   "[Unit]\nDescription=x\n",
		"etc/systemd/system/sysinit.target":                 "[Unit]\nDescription=x\n",
		"etc/systemd/system/shutdown.target":                "[Unit]\nDescription=x\n",
		"etc/systemd/system/network.target":                 "[Unit]\nDescription=x\n",
		"etc/systemd/system/system.slice":                   "[Unit]\nDescription=x\n",
		"etc/systemd/system/-.slice":                        "[Unit]\nDescription=x\n",
		"etc/systemd/system/systemd-tmpfiles-setup.service": "[Service]\nExecStart=/usr/sbin/srrd\n",
	} {
		to := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestSystemdUnderstandsTheUnits(t *testing.T) {
	for name, dropins := range map[string][]string{"as root": nil, "as a user of its own": {"unprivileged.conf"}} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "--root="+unit(t, dropins...), "srrd.service", "srrd-zserv.path", "srrd-zserv.service").CombinedOutput()
			if err != nil || len(strings.TrimSpace(string(out))) > 0 {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// What systemd thinks of the sandbox, from 0 (safe) to 10 times ten: it may
// become safer, and not laxer without anybody noticing.
func TestTheSandboxIsAsTightAsItWas(t *testing.T) {
	out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--threshold=25", "--root="+unit(t, "unprivileged.conf"), "srrd.service").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The head of unprivileged.conf says how to install it: as Debian 12 is, which
// has no /etc/sysusers.d.
func TestTheInstructionsOfUnprivilegedCanBeFollowed(t *testing.T) {
	const dir = "../../../deploy/systemd"
	text, err := os.ReadFile(filepath.Join(dir, "unprivileged.conf"))
	if err != nil {
		t.Fatal(err)
	}
	// It writes its memory when it ends: what is given to the user before that is
	// root's again, and the next srrd begins without claims and holds.
	if stop, chown := strings.Index(string(text), "systemctl stop srrd"), strings.Index(string(text), "chown -R srrd:"); stop < 0 || chown < stop {
		t.Error("srrd is to be stopped before its files change hands")
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		line, ok := strings.CutPrefix(line, "#\tinstall ")
		if !ok {
			continue
		}
		line, _, _ = strings.Cut(line, "&&")
		line, _, _ = strings.Cut(line, " #")
		line = "install " + strings.ReplaceAll(line, " /etc/", " "+root+"/etc/")
		c := exec.Command("sh", "-c", line)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
	for _, path := range []string{"systemd/system/srrd.service.d/unprivileged.conf", "sysusers.d/srrd.conf", "systemd/system/srrd-zserv.path", "systemd/system/srrd-zserv.service"} {
		if _, err := os.Stat(filepath.Join(root, "etc", path)); err != nil {
			t.Error(err)
		}
	}
}

// What an orderly end of srrd needs must not end before it does when the machine
// goes down; systemd stops units in the reverse order of After=.
func TestWhatAnOrderlyEndNeedsOutlivesSrrd(t *testing.T) {
	for name, needs := range map[string][]string{
		"srrd.service":      {"network.target", "frr.service", "dbus.service"},
		"unprivileged.conf": {"dbus.service", "polkit.service"}, // `systemctl stop` as a user
	} {
		text, err := os.ReadFile(filepath.Join("../../../deploy/systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		var after []string
		for _, line := range strings.Split(string(text), "\n") {
			if units, ok := strings.CutPrefix(line, "After="); ok {
				after = append(after, strings.Fields(units)...)
			}
		}
		for _, unit := range needs {
			if !slices.Contains(after, unit) {
				t.Errorf("%s has no After=%s", name, unit)
			}
		}
	}
}

// lost_hold counts on the watchdog: TimeoutStopSec=, which an orderly end needs, is
// what systemd would leave one that hangs between SIGABRT and SIGKILL.
func TestWhatHangsHasNotTheTimeOfAnOrderlyEnd(t *testing.T) {
	text, err := os.ReadFile("../../../deploy/systemd/srrd.service")
	if err != nil {
		t.Fatal(err)
	}
	limits := map[string]time.Duration{}
	for _, line := range strings.Split(string(text), "\n") {
		if name, value, ok := strings.Cut(line, "="); ok && (name == "WatchdogSec" || name == "TimeoutAbortSec") {
			if limits[name], err = time.ParseDuration(value); err != nil {
				t.Error(err)
			}
		}
	}
	if limits["WatchdogSec"] <= 0 || limits["TimeoutAbortSec"] <= 0 || limits["TimeoutAbortSec"] >= limits["WatchdogSec"] {
		t.Errorf("srrd.service has %v; TimeoutAbortSec= is to be there, and shorter than WatchdogSec=", limits)
	}
}
