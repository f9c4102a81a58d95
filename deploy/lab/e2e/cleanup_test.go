package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// cleanup runs `srrd cleanup` on a node.
func (c *cluster) cleanup(node string, args ...string) string {
	c.Helper()
	out, err := c.srrdErr(node, append([]string{"cleanup"}, args...)...)
	if err != nil {
		c.Errorf("srrd cleanup %v on %s: %v\n%s", args, node, err, out)
	}
	return out
}

// remains lists what is on a node that srrd put there.
func (c *cluster) remains(node string) string {
	c.Helper()
	v := c.lab.Vars(node)
	var all []string
	for what, out := range map[string]string{
		"route":   c.exec(node, "sh", "-c", "ip route show table all proto 201; ip route show table all | grep -w 10.250.8 | grep -v 'proto ospf' || true"),
		"address": c.exec(node, "sh", "-c", "ip -o addr | grep -w 10.250.8 | sed 's/valid_lft.*//' || true"),
		"mark":    c.exec(node, "sh", "-c", "ls "+filepath.Join(v.RunDir, "marks")+" 2>/dev/null || true"),
		"socket":  c.exec(node, "sh", "-c", "find "+v.RunDir+" "+v.StateDir+" -type s"),
		"process": c.exec(node, "sh", "-c", "ls "+v.Dir+"/run/*.pid "+v.Dir+"/run/*.alive 2>/dev/null || true"),
	} {
		for line := range strings.Lines(out) {
			all = append(all, what+" "+strings.TrimSpace(line))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// withdrawn waits until zebra has taken a dead srrd's routes out of the kernel.
func (c *cluster) withdrawn(node string) {
	c.Helper()
	c.await("zebra of "+node+" has withdrawn the routes of srrd", func() error {
		if left := c.exec(node, "sh", "-c", "ip route show table all proto zebra | grep -w 10.250.8 || true"); left != "" {
			return fmt.Errorf("there is %s", left)
		}
		return nil
	})
}

func TestCleanup(t *testing.T) {
	c := up(t, patient(twoNodes(services{
		"web":   "addresses: 10.250.8.1\npreference: {{if eq .Host \"n1\"}}200{{else}}50{{end}}\n",
		"alias": "addresses: 10.250.8.2\naddress: alias\nannounce: network\narea: 0.0.0.0\npreference: {{if eq .Host \"n1\"}}200{{else}}50{{end}}\n",
		"disk":  "preference: {{if eq .Host \"n1\"}}200{{else}}50{{end}}\n",
	})))
	for _, s := range []string{"web", "alias", "disk"} {
		c.awaitHolder(s, "n1")
	}
	const network = "network 10.250.8.2/32 area"

	c.sub("it refuses while srrd runs", func(c *cluster) {
		for _, args := range [][]string{{"cleanup"}, {"cleanup", "--dry-run"}, {"cleanup", "--stop"}} {
			if out, err := c.srrdErr("n1", args...); err == nil || !strings.Contains(out, "another srrd runs") {
				c.Errorf("%v: %v\n%s", args, err, out)
			}
		}
		c.awaitHolder("web", "n1")
	})

	// The alias has a lifetime of seconds, its service's mark has none.
	c.sub("a dry run says what would go, and touches nothing", func(c *cluster) {
		c.kill("n1", "srrd")
		c.withdrawn("n1")
		before := c.remains("n1")
		out := c.cleanup("n1", "--dry-run", "--stop")
		for _, want := range []string{"stop primitive of service web", "stop primitive of service disk", "address 10.250.8.1", "`" + network, "srrd.vty"} {
			if !strings.Contains(out, "would ") || !strings.Contains(out, want) {
				c.Errorf("no %q in:\n%s", want, out)
			}
		}
		if after := c.remains("n1"); before != after || !strings.Contains(before, "mark ") || !strings.Contains(before, "route ") {
			c.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	})

	c.sub("what may still run is left to the next start, which adopts it", func(c *cluster) {
		out := c.cleanup("n1") // as systemd does after a crash
		if !strings.Contains(out, "service web may run here") || !strings.Contains(out, "cleanup --stop") {
			c.Errorf("it says:\n%s", out)
		}
		left := c.remains("n1")
		for _, want := range []string{"10.250.8.1", "mark web.json", "mark disk.json"} {
			if !strings.Contains(left, want) {
				c.Errorf("%s has gone:\n%s", want, left)
			}
		}
		c.start("n1", "srrd")
		c.settled("web", "alias", "disk")
		for _, s := range []string{"web", "alias", "disk"} {
			c.awaitHolder(s, "n1")
		}
	})

	c.sub("after kill -9 of everything nothing is left", func(c *cluster) {
		c.kill("n1", "srrd", "ospfd", "bfdd", "zebra") // in an order in which nobody cleans up
		out := c.cleanup("n1", "--stop")
		for _, want := range []string{"service web: stopped", "service alias: stopped", "service disk: stopped", "ospfd cannot be asked"} {
			if !strings.Contains(out, want) {
				c.Errorf("no %q in:\n%s", want, out)
			}
		}
		if left := c.remains("n1"); left != "" {
			c.Errorf("it is left:\n%s\nand said was:\n%s", left, out)
		}
		// FRR returns, srrd does not: nothing comes back with it.
		c.start("n1", "zebra", "bfdd", "ospfd")
		c.await("n2 runs everything and hears nothing of n1's srrd", func() error {
			rows, err := c.opaque("n2", "10.255.1.1")
			if err == nil && len(rows) > 0 {
				err = errNotYet
			}
			return err
		})
		for _, s := range []string{"web", "alias", "disk"} {
			c.awaitHolder(s, "n2", "n2")
		}
		out = c.cleanup("n1", "--stop") // again, with ospfd there
		if left := c.remains("n1"); left != "" || strings.Contains(out, "stopped") {
			c.Errorf("it is left:\n%s\nand said was:\n%s", left, out)
		}
		if conf := c.exec("n1", "vtysh", "-c", "show running-config"); strings.Contains(conf, "10.250.8.") {
			c.Errorf("a line is left:\n%s", conf)
		}
	})

	c.sub("killed alone, with its statement in a running ospfd, it leaves nothing either", func(c *cluster) {
		c.start("n1", "srrd")
		c.settled("web", "alias", "disk")
		c.awaitHolder("alias", "n1")
		if conf := c.exec("n1", "vtysh", "-c", "show running-config"); !strings.Contains(conf, network) {
			c.Fatalf("the statement was never there:\n%s", conf)
		}
		c.kill("n1", "srrd")
		c.cleanup("n1", "--stop")
		c.withdrawn("n1")
		if left := c.remains("n1"); left != "" {
			c.Errorf("it is left:\n%s", left)
		}
		if conf := c.exec("n1", "vtysh", "-c", "show running-config"); strings.Contains(conf, "10.250.8.") {
			c.Errorf("a line is left:\n%s", conf)
		}
		if text, err := os.ReadFile(filepath.Join(c.lab.Vars("n1").StateDir, "frr.json")); err != nil || strings.Contains(string(text), "10.250.8.") {
			c.Errorf("noted is still: %s %v", text, err)
		}
	})

	c.sub("a stop that fails is said, and remembered", func(c *cluster) {
		c.start("n1", "srrd")
		c.settled("web", "alias", "disk")
		c.awaitHolder("disk", "n1")
		c.hook("n1", "disk", "stop", "echo no way; exit 1\n")
		c.kill("n1", "srrd")
		c.withdrawn("n1")
		out, err := c.srrdErr("n1", "cleanup", "--stop")
		if err == nil || !strings.Contains(out, "service disk may still run") || !strings.Contains(out, "no way") {
			c.Errorf("%v\n%s", err, out)
		}
		if left := c.remains("n1"); !strings.Contains(left, "mark disk.json") || strings.Contains(left, "10.250.8.") {
			c.Errorf("it is left:\n%s", left)
		}
		c.unhook("n1", "disk", "stop")
		c.cleanup("n1", "--stop")
		if left := c.remains("n1"); left != "" {
			c.Errorf("it is left:\n%s", left)
		}
	})
}
