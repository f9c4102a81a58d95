package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// oneNode is n1 behind r0, the smallest network in which a /32 is seen.
func oneNode(s services) *lab.Topology {
	topo := twoNodes(s)
	topo.Name, topo.Hosts, topo.Links = "one", topo.Hosts[:1], topo.Links[:1]
	return topo
}

// The ways an address is put on a node and announced.
var ways = map[string]struct{ config, address string }{
	"local":        {"", "10.250.1.1"},
	"network":      {"address: alias\nannounce: network\n", "10.250.1.2"},
	"redistribute": {"address: alias\nannounce: redistribute\n", "10.250.1.3"},
	"vtynet":       {"address: alias\ndriver: vty\nannounce: network\n", "10.250.1.4"},
	"vtyredist":    {"address: alias\ndriver: vty\nannounce: redistribute\n", "10.250.1.5"},
}

func TestAddressWays(t *testing.T) {
	s := services{"several": "addresses: [10.250.2.1, 10.250.2.2, 10.250.2.3]\n"}
	for name, w := range ways {
		s[name] = "addresses: " + w.address + "\n" + w.config
	}
	c := up(t, oneNode(s))
	for name := range s {
		c.awaitState("n1", name, "active/started")
	}

	// present tells what of an address is on the node and in ospfd.
	// An entry of prefix-list SRRD-VIP stays as long as the service is
	// configured: without the address it announces nothing.
	present := func(c *cluster, address string) string {
		c.Helper()
		var found []string
		if strings.Contains(c.exec("n1", "ip", "route", "show", "table", "local", "proto", "201"), address) {
			found = append(found, "local route")
		}
		if strings.Contains(c.exec("n1", "ip", "-o", "address", "show"), address+"/32") {
			found = append(found, "alias")
		}
		if strings.Contains(c.exec("n1", "vtysh", "-c", "show running-config"), "ip address "+address+"/32") {
			found = append(found, "zebra's line")
		}
		running := c.exec("n1", "vtysh", "-d", "ospfd", "-c", "show running-config")
		if strings.Contains(running, "network "+address+"/32") {
			found = append(found, "network statement")
		}
		return strings.Join(found, ", ")
	}
	want := map[string]string{
		"local": "local route", "network": "alias, network statement",
		"redistribute": "local route, alias", "vtynet": "alias, zebra's line, network statement", "vtyredist": "local route, alias, zebra's line",
	}

	c.sub("each way puts the address on the node and has it announced", func(c *cluster) {
		for name, w := range ways {
			c.awaitRoute("r0", w.address, true)
			if got := present(c, w.address); got != want[name] {
				c.Errorf("%s: on the node are %s; want %s", name, got, want[name])
			}
			s := c.awaitState("n1", name, "active/started")
			if s.Last.Primitive == "" {
				c.Errorf("%s: no primitive ran", name)
			}
		}
		for _, a := range []string{"10.250.2.1", "10.250.2.2", "10.250.2.3"} {
			c.awaitRoute("r0", a, true)
		}
	})

	c.sub("the address was there before start ran, and the route only after it", func(c *cluster) {
		for name, w := range ways {
			c.does("n1", "service "+name+" stop")
			c.awaitState("n1", name, "active/stopped")
			c.awaitRoute("r0", w.address, false)
			c.hook("n1", name, "start", "ip route get "+w.address+" >"+c.lab.Vars("n1").RunDir+"/"+name+".seen\n")
			c.does("n1", "service "+name+" start")
			c.awaitState("n1", name, "active/started")
			if seen := c.exec("n1", "cat", c.lab.Vars("n1").RunDir+"/"+name+".seen"); !strings.HasPrefix(seen, "local "+w.address) {
				c.Errorf("%s: start saw %q, want a local address", name, seen)
			}
			c.awaitRoute("r0", w.address, true)
			c.unhook("n1", name, "start")
		}
	})

	c.sub("after stop nothing is left in the kernel or in FRR", func(c *cluster) {
		for name, w := range ways {
			c.does("n1", "service "+name+" stop")
			c.awaitState("n1", name, "active/stopped")
			c.await(name+" left nothing", func() error {
				if got := present(c, w.address); got != "" {
					return errors.New(got)
				}
				return nil
			})
			c.awaitRoute("r0", w.address, false)
		}
		for name := range ways {
			c.does("n1", "service "+name+" start")
		}
		for name := range ways {
			c.awaitState("n1", name, "active/started")
		}
	})

	c.sub("the kernel's address removed behind the back of srrd is put back", func(c *cluster) {
		c.exec("n1", "ip", "address", "del", ways["network"].address+"/32", "dev", "lo")
		c.await("the alias is back", func() error {
			if got := present(c, ways["network"].address); !strings.Contains(got, "alias") {
				return errors.New(got)
			}
			return nil
		})
		c.exec("n1", "ip", "route", "del", "table", "local", "local", ways["local"].address, "dev", "lo", "proto", "201")
		c.await("the local route is back", func() error {
			if got := present(c, ways["local"].address); !strings.Contains(got, "local route") {
				return errors.New(got)
			}
			return nil
		})
		c.awaitState("n1", "network", "active/started")
	})

	c.sub("srrd killed: the announcement ends, the rest is adopted or cleaned at its next start", func(c *cluster) {
		for _, name := range []string{"network", "redistribute"} {
			if out := c.exec("n1", "ip", "-o", "address", "show"); !strings.Contains(out, ways[name].address+"/32") || !strings.Contains(out, "valid_lft") {
				c.Fatalf("no alias with a lifetime: %s", out)
			}
		}
		for line := range strings.Lines(c.exec("n1", "ip", "-o", "address", "show")) {
			if strings.Contains(line, ways["network"].address) && strings.Contains(line, "valid_lft forever") {
				c.Errorf("the alias never expires: %s", line)
			}
		}
		c.kill("n1", "srrd")
		c.awaitRoute("r0", ways["local"].address, false)
		c.awaitFor(time.Minute, "the aliases expire", func() error {
			for _, name := range []string{"network", "redistribute"} {
				if strings.Contains(present(c, ways[name].address), "alias") {
					return fmt.Errorf("%s is still there", name)
				}
			}
			return nil
		})
		// Of two services nothing is to run any more.
		for _, name := range []string{"local", "network"} {
			c.exec("n1", "sh", "-c", "echo 'enabled: no' >>"+c.lab.Vars("n1").ServicesDir+"/"+name+".yaml")
		}
		c.start("n1", "srrd")
		for _, name := range []string{"local", "network"} {
			c.awaitState("n1", name, "disabled/stopped")
			c.await(name+" left nothing", func() error {
				if got := present(c, ways[name].address); got != "" {
					return errors.New(got)
				}
				return nil
			})
		}
		for _, name := range []string{"redistribute", "vtynet", "vtyredist", "several"} {
			c.awaitState("n1", name, "active/started")
		}
		c.awaitRoute("r0", ways["redistribute"].address, true)
	})
}

// threeAreas is n1 in area 1 and n2 in area 2, behind area border routers a
// and b that meet in area 0.
func threeAreas(s services) *lab.Topology {
	return &lab.Topology{
		Name:    "areas",
		Routers: []lab.Host{router("a", "10.255.0.1"), router("b", "10.255.0.2")},
		Hosts:   []lab.Host{node("n1", "10.255.1.1", nodeSetup(daemonConfig, s)), node("n2", "10.255.1.2", nodeSetup(daemonConfig, s)), node("n3", "10.255.1.3", nodeSetup(daemonConfig, s))},
		Links: []lab.Segment{
			cable(end("a", "b", "10.0.1.1/30"), end("b", "a", "10.0.1.2/30")),
			inArea(cable(end("a", "n1", "10.1.1.1/30"), end("n1", "eth0", "10.1.1.2/30")), "0.0.0.1"),
			inArea(cable(end("b", "n2", "10.2.1.1/30"), end("n2", "eth0", "10.2.1.2/30")), "0.0.0.2"),
			inArea(cable(end("b", "n3", "10.2.2.1/30"), end("n3", "eth0", "10.2.2.2/30")), "0.0.0.2"),
			inArea(cable(end("n2", "n3", "10.2.3.1/30"), end("n3", "n2", "10.2.3.2/30")), "0.0.0.2"),
		},
	}
}

func TestScopes(t *testing.T) {
	c := up(t, threeAreas(services{
		"everywhere": "addresses: 10.250.3.1\n",
		"inarea":     "addresses: 10.250.3.2\nscope: {area: {{if eq .Host \"n1\"}}0.0.0.1{{else}}0.0.0.2{{end}}}\n",
		"onlink":     "{{if ne .Host \"n1\"}}scope: {link: {{if eq .Host \"n2\"}}n3{{else}}n2{{end}}}\n{{end}}enabled: {{if eq .Host \"n1\"}}no{{else}}yes{{end}}\nbest_effort: yes\nlost_hold: 1s\n",
	}))

	c.sub("scope as: nodes in other areas count, by the type-4 LSA of the border router", func(c *cluster) {
		c.settled("everywhere")
		c.elected("everywhere")
		c.moves("everywhere", "n1")
		c.awaitRoute("n2", "10.250.3.1", true)
		c.must(c.lab.Cut("n1", lab.Silent))
		c.takenOver("everywhere", "n1", "n2", "n3")
		c.must(c.lab.Heal("n1"))
		c.settled("everywhere")
		c.elected("everywhere")
	})

	c.sub("scope area: one runner in each area, none knows of the other area's", func(c *cluster) {
		c.awaitHolder("inarea", "n1", "n1")
		if h := c.elected("inarea", "n2", "n3"); h == "n1" {
			c.Errorf("n2 and n3 name %s, of another area", h)
		}
		s, err := c.service("n2", "inarea")
		c.must(err)
		for _, o := range s.Offers {
			if o.Host == "n1" && o.Counts {
				c.Errorf("the offer of n1 counts in area 2")
			}
		}
		rows, err := c.opaque("n2", "")
		c.must(err)
		if !slices.ContainsFunc(rows, func(r lsaRow) bool { return r.Type == "opaque-area" && r.Scope == "0.0.0.2" }) {
			c.Errorf("no LSA of type 10 in area 2 among %v", rows)
		}
	})

	c.sub("scope link: two nodes on one link share a resource, and a third hears nothing", func(c *cluster) {
		holder := c.elected("onlink", "n2", "n3")
		rows, err := c.opaque("b", "")
		if err == nil { // b runs no srrd
			c.Errorf("b has a srrd: %v", rows)
		}
		rows, err = c.opaque("n1", "")
		c.must(err)
		for _, r := range rows {
			if r.Type == "opaque-link" && r.Router != "10.255.1.1" {
				c.Errorf("n1 heard %s of %s", r.ID, r.Router)
			}
		}
		other := "n2"
		if holder == "n2" {
			other = "n3"
		}
		c.await("the move is taken", func() error {
			_, err := c.srrsh(other, "service onlink move "+other)
			return err
		})
		c.awaitHolder("onlink", other, "n2", "n3")
		// The link is lost: both routers stay reachable, but not over it.
		c.must(c.lab.Cut("n2-n3", lab.Silent))
		c.await("the other does not count any more", func() error {
			s, err := c.service(holder, "onlink")
			if err != nil {
				return err
			}
			if o := s.offer(other); o.Counts {
				return errors.New("it still does")
			}
			return nil
		})
		c.must(c.lab.Heal("n2-n3"))
	})
}
