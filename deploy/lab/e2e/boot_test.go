package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// daemonsOf are the processes of a node; mgmtd is there from FRR 10 on.
func (c *cluster) daemonsOf(node string) []string {
	c.Helper()
	s, err := c.lab.Status()
	c.must(err)
	var all []string
	for _, h := range s.Hosts {
		if h.Name == node {
			for _, d := range h.Daemons {
				all = append(all, d.Name)
			}
		}
	}
	return all
}

// starts counts how often a service was started, anywhere.
func (c *cluster) starts(service string) int {
	c.Helper()
	return count(order(c.primitives(service)), "start")
}

// unpinned waits until no node's memory on disk holds a pin of the services.
func (c *cluster) unpinned(services ...string) {
	c.Helper()
	for _, n := range c.nodes {
		c.await("no pin is in the state file of "+n, func() error {
			text, err := os.ReadFile(filepath.Join(c.lab.Vars(n).StateDir, "state.json"))
			if err != nil {
				return err
			}
			var saved struct {
				Memory struct {
					Services map[string]struct {
						Pin struct {
							Target netip.Addr
							Void   bool
						}
					}
				}
			}
			if err := json.Unmarshal(text, &saved); err != nil {
				return err
			}
			for _, name := range services {
				if p := saved.Memory.Services[name].Pin; !p.Void && p.Target.IsValid() && !p.Target.IsUnspecified() {
					return fmt.Errorf("%s is pinned to %s", name, p.Target)
				}
			}
			return nil
		})
	}
}

func TestBooting(t *testing.T) {
	s := services{"web": "addresses: 10.250.7.1\n", "disk": "lost_hold: 5s\n"}
	topo := threeNodes(s)
	c := up(t, topo)
	c.settled("web", "disk")
	c.moves("web", "n2")
	c.moves("disk", "n2")

	// joins boots n1, which must come into the cluster and change nothing there.
	joins := func(c *cluster, boot func()) {
		c.Helper()
		before := map[string]int{"web": c.starts("web"), "disk": c.starts("disk")}
		c.powerOff("n1") // or it would find itself alone for a moment, and take what it may
		c.awaitStatus("n2", "n1", "unreachable")
		boot()
		c.settled("web", "disk")
		for name, n := range before {
			c.awaitHolder(name, "n2")
			if got := c.starts(name); got != n {
				c.Errorf("%s was started %d times meanwhile", name, got-n)
			}
		}
	}

	for _, order := range [][]string{
		{"srrd", "ospfd", "zebra", "bfdd", "mgmtd"},
		{"ospfd", "srrd", "bfdd", "mgmtd", "zebra"},
		{"zebra", "bfdd", "srrd", "mgmtd", "ospfd"},
		{"mgmtd", "ospfd", "bfdd", "zebra", "srrd"},
	} {
		c.sub("a node whose daemons start in the order "+strings.Join(order, " "), func(c *cluster) {
			joins(c, func() {
				have := " " + strings.Join(c.daemonsOf("n1"), " ") + " "
				for _, d := range order {
					if strings.Contains(have, " "+d+" ") {
						c.start("n1", d)
					}
				}
			})
		})
	}

	c.sub("a node whose ospfd gets its configuration after all of them run, as Debian's does", func(c *cluster) {
		file := filepath.Join(c.lab.Vars("n1").VtyDir, "ospfd.conf")
		text, err := os.ReadFile(file)
		c.must(err)
		late := string(text)
		if !c.lab.Release("n1").AtLeast(8, 0) {
			// It cannot name a profile; from its own file ospfd leaves the line out,
			// and vtysh would end there.
			late = strings.ReplaceAll(late, " ip ospf bfd profile fast\n", "")
		}
		c.must(os.WriteFile(filepath.Join(c.lab.Vars("n1").VtyDir, "late.conf"), []byte(late), 0o644))
		joins(c, func() {
			c.must(os.WriteFile(file, []byte("hostname n1\n"), 0o644))
			c.start("n1", c.daemonsOf("n1")...)
			c.awaitEvent("n1", "no router ospf")
			c.exec("n1", "vtysh", "-f", "/run/frr/late.conf") // as a command of the node sees it
			c.must(os.WriteFile(file, text, 0o644))
		})
	})

	c.sub("a whole cluster that boots at once elects once", func(c *cluster) {
		// A LAN that elects its designated router is in sync seconds after one that
		// need not. Who comes first may take the services; a pin to another would
		// rightly take them from it again.
		for _, name := range []string{"web", "disk"} {
			if _, err := c.srrsh("n2", "service "+name+" unmove"); err != nil {
				c.Fatal(err)
			}
			c.awaitHolder(name, "n2")
		}
		c.unpinned("web", "disk") // who remembers the pin still would give it out again
		hosts := append([]string{"r0"}, c.nodes...)
		c.powerOff(hosts...)
		before := map[string]int{"web": c.starts("web"), "disk": c.starts("disk")}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var g errgroup.Group
		for _, h := range hosts {
			daemons := c.daemonsOf(h)
			g.Go(func() error {
				for _, d := range daemons {
					if err := c.lab.Start(ctx, h, d); err != nil {
						return err
					}
				}
				return nil
			})
		}
		c.must(g.Wait())
		c.settled("web", "disk")
		for name, n := range before {
			holder := c.elected(name)
			// n2 may find its own still running, and go on with it.
			if got := c.starts(name) - n; got > 1 || got == 0 && holder != "n2" {
				c.Errorf("%s runs on %s after %d starts", name, holder, got)
			}
		}
	})
}
