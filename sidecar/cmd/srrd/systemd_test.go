package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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
