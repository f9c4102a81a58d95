package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/srrd/srrd/deploy/lab"
	"github.com/srrd/srrd/lsdb/lsa"
	"github.com/srrd/srrd/ospfapi"
)

func TestBadInput(t *testing.T) {
	c := up(t, twoNodes(services{
		"web":    "addresses: 10.250.5.1\n",
		"differ": "addresses: 10.250.5.2\ncheck: {interval: {{if eq .Host \"n1\"}}200ms{{else}}300ms{{end}}}\n",
		"early":  "addresses: 10.250.5.9\nenabled: {{if eq .Host \"n1\"}}yes{{else}}no{{end}}\n",
	}))
	c.settled("web", "differ")
	c.elected("web")

	c.sub("malformed and foreign LSAs of another client are shown, and harm nothing", func(c *cluster) {
		_, real := c.bodyOf("n1", "10.255.1.1", "service web")
		s := c.stranger("r0")
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c.must(s.Register(ctx, ospfapi.LSType(c.spoken()), opaqueType))
		s.says(c, 0x000001, []byte("not one of ours!"))
		s.says(c, 0x000002, real[:24])                                                  // cut off
		s.says(c, 0x000003, append([]byte{9}, real[1:]...))                             // another version
		s.says(c, 0x000004, nil)                                                        // nothing
		s.says(c, 0x000100, real)                                                       // a service under the daemon's id
		s.says(c, 0x000005, append(real[:len(real):len(real)], 0xff, 0xff, 0xff, 0xff)) // a TLV beyond the end
		scope := "as"
		if c.spoken() == lsa.TypeOpaqueArea {
			scope = "area 0.0.0.0"
		}
		for _, on := range c.nodes {
			for _, id := range []string{"222.0.0.1", "222.0.0.2", "222.0.0.3", "222.0.0.4", "222.0.1.0", "222.0.0.5"} {
				c.awaitProblem(on, "LSA "+id+" ("+scope+") of 10.255.0.1")
			}
			c.awaitEvent(on, "222.0.0.1")
		}
		// A whole offer of a router without a daemon's LSA counts for nothing.
		s.says(c, 0x000006, real)
		holder := c.elected("web")
		c.await("the offer of r0 is seen, and does not count", func() error {
			sv, err := c.service(holder, "web")
			if err != nil {
				return err
			}
			for _, o := range sv.Offers {
				if o.Router == "10.255.0.1" {
					if o.Counts {
						c.Errorf("it counts")
					}
					return nil
				}
			}
			return errNotYet
		})
		s.close()
		for _, on := range c.nodes {
			if !c.lab.Release("r0").AtLeast(8, 4) {
				break // its ospfd leaves LSAs of scope as to those who hear them
			}
			c.await(on+" forgets them", func() error {
				_, problems, err := c.services(on)
				for _, p := range problems {
					if strings.Contains(p.Text, "10.255.0.1") {
						return fmt.Errorf("%s", p.Text)
					}
				}
				return err
			})
		}
		c.awaitHolder("web", holder)
	})

	c.sub("a service configured differently on two nodes is shown as such on both", func(c *cluster) {
		for _, on := range c.nodes {
			c.awaitService(on, "differ", "has the notice", func(s service) error {
				if !strings.Contains(strings.Join(s.Notices, " "), "configured differently") {
					return fmt.Errorf("notices %q", s.Notices)
				}
				return nil
			})
		}
		c.elected("differ")
	})

	c.sub("of two services with one address on different nodes the later name stands back", func(c *cluster) {
		c.awaitHolder("early", "n1")
		dir := c.lab.Vars("n2").ServicesDir
		c.must(os.Remove(filepath.Join(dir, "early.yaml")))
		c.must(os.WriteFile(filepath.Join(dir, "late.yaml"), []byte("addresses: 10.250.5.9\ndir: "+c.lab.Vars("n2").Dir+"/service\n"), 0o644))
		c.does("n2", "reload")
		c.awaitService("n2", "late", "stands back, because early has the address", func(s service) error {
			if s.State != "stopped" || s.Reason != "address-taken" || !strings.Contains(s.Why, "early") {
				return fmt.Errorf("%s, %s: %s", s.State, s.Reason, s.Why)
			}
			return nil
		})
		c.awaitHolder("early", "n1")
		c.does("n1", "service early stop")
	})

	c.sub("a bad configuration is refused with every mistake, and the old one stays", func(c *cluster) {
		v := c.lab.Vars("n1")
		good, err := os.ReadFile(filepath.Join(v.ServicesDir, "web.yaml"))
		c.must(err)
		bad := "addresses: [10.250.5.1, nonsense]\ncolour: red\npreference: 999\n"
		c.must(os.WriteFile(filepath.Join(v.ServicesDir, "web.yaml"), []byte(bad), 0o644))
		_, err = c.srrsh("n1", "reload")
		if err == nil {
			c.Fatal("reload took a bad configuration")
		}
		out, checkErr := c.srrdErr("n1", "--check-config")
		if checkErr == nil {
			c.Errorf("--check-config: status 0, %s", out)
		}
		for _, text := range []string{err.Error(), out} {
			for _, want := range []string{"web.yaml:1:25", "nonsense", "web.yaml:2:1", "colour", "web.yaml:3:13", "999"} {
				if !strings.Contains(text, want) {
					c.Errorf("missing %q in %s", want, text)
				}
			}
		}
		seq := c.logLength("n1")
		c.must(c.lab.Kill("n1", "srrd", syscall.SIGHUP))
		c.awaitLog("n1", seq, "the configuration was not reloaded, the old one stays")
		c.elected("web")
		c.must(os.WriteFile(filepath.Join(v.ServicesDir, "web.yaml"), good, 0o644))
		seq = c.logLength("n1")
		c.must(c.lab.Kill("n1", "srrd", syscall.SIGHUP))
		c.awaitLog("n1", seq, "configuration reloaded")
		if out, err := c.srrdErr("n1", "--check-config"); err != nil {
			c.Errorf("--check-config of the good one: %v: %s", err, out)
		}
		c.elected("web")
	})

	c.sub("a Makefile without a target is an error when the service is loaded", func(c *cluster) {
		v := c.lab.Vars("n1")
		dir := filepath.Join(v.Dir, "lacking")
		c.must(os.Mkdir(dir, 0o755))
		c.must(os.WriteFile(filepath.Join(dir, "Makefile"), []byte("start stop status check:\n\t@:\n"), 0o644))
		path := filepath.Join(v.ServicesDir, "lacking.yaml")
		c.must(os.WriteFile(path, []byte("dir: "+dir+"\n"), 0o644))
		c.answers("n1", "reload", `no target "activate"`)
		if out, err := c.srrdErr("n1", "--check-config"); err == nil || !strings.Contains(out, "lacking.yaml:1:") {
			c.Errorf("--check-config: %v, %s; want the place of dir", err, out)
		}
		c.must(os.Remove(path))
		c.does("n1", "reload")
	})

	c.sub("a stranger on the asynchronous port is turned away and reported", func(c *cluster) {
		ports := c.exec("n1", "sh", "-c", "ss -Htnp state established '( dport = :2607 )' | awk '{print $3}' | sed 's/.*://'")
		var port int
		if _, err := fmt.Sscan(ports, &port); err != nil {
			c.Fatalf("the port of srrd in %q: %v", ports, err)
		}
		var conn net.Conn
		err := c.lab.Do("n1", func() error {
			var err error
			conn, err = net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port+1))))
			return err
		})
		if err != nil { // it listens only until ospfd is there: as good
			if !strings.Contains(err.Error(), "refused") {
				c.Errorf("dialling: %v", err)
			}
		} else {
			_, _ = conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")) // it may be gone already
			_ = conn.Close()
		}
		c.elected("web")
		c.awaitStatus("n2", "n1", "present")
	})

	c.sub("damaged state and marks are set aside and reported, and srrd goes on", func(c *cluster) {
		c.holderIs("web", "n1")
		v := c.lab.Vars("n1")
		c.kill("n1", "srrd")
		c.must(os.WriteFile(filepath.Join(v.StateDir, "state.json"), []byte("{\"version\": 1, garbage"), 0o640))
		marks := c.exec("n1", "sh", "-c", "grep -l web "+v.RunDir+"/*/* 2>/dev/null | head -1")
		if marks = strings.TrimSpace(marks); marks == "" {
			c.Fatal("no mark of web under run")
		}
		c.must(os.WriteFile(marks, []byte("garbage"), 0o640))
		seq := c.logLength("n1")
		c.start("n1", "srrd")
		c.awaitLog("n1", seq, "the memory of earlier lives is not used")
		c.awaitLog("n1", seq, "a mark of an earlier life is damaged")
		c.whole("web")
		c.await("one node runs it", func() error {
			if on := c.alive("web"); len(on) != 1 {
				return fmt.Errorf("alive on %v", on)
			}
			return nil
		})
	})

	c.sub("opaque capability taken away stops the services with the reason, and given back they run", func(c *cluster) {
		c.holderIs("web", "n1")
		c.exec("n1", "vtysh", "-c", "configure terminal", "-c", "router ospf", "-c", "no capability opaque")
		c.awaitProblem("n1", "opaque LSAs are off")
		c.takenOver("web", "n1", "n2")
		c.awaitService("n1", "web", "is stopped", func(s service) error {
			if s.State != "stopped" || s.Reason != "ospf-down" {
				return fmt.Errorf("%s/%s %s", s.Config, s.State, s.Why)
			}
			return nil
		})
		c.exec("n1", "vtysh", "-c", "configure terminal", "-c", "router ospf", "-c", "capability opaque")
		c.whole("web")
	})
}

// srrdErr runs a command of srrd with a node's configuration.
func (c *cluster) srrdErr(node string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := c.lab.Command(ctx, node, append([]string{programs.Srrd, "--config", c.lab.Vars(node).SrrdConfig}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := c.lab.Run(node, cmd)
	return out.String(), err
}

func (c *cluster) logLength(node string) int {
	c.Helper()
	text, err := c.lab.Log(node, "srrd")
	c.must(err)
	return len(text)
}

// awaitLog waits until what a node logged beyond a length holds a text.
func (c *cluster) awaitLog(node string, beyond int, want string) {
	c.Helper()
	c.await(fmt.Sprintf("the log of %s holds %q", node, want), func() error {
		text, err := c.lab.Log(node, "srrd")
		if err == nil && !strings.Contains(text[beyond:], want) {
			err = errNotYet
		}
		return err
	})
}

func TestAlone(t *testing.T) {
	if oldNodes() {
		t.Skip("before FRR 8.3 ospfd takes no LSA without a neighbour that is Full: such a node waits")
	}
	config := daemonConfig + "alone_after: 2s\n"
	s := services{"web": "addresses: 10.250.6.1\n", "disk": "", "lone": "start_alone: yes\n"}
	c := upWith(t, &lab.Topology{Name: "alone",
		Routers: []lab.Host{router("r0", "10.255.0.1")},
		Hosts:   []lab.Host{node("n1", "10.255.1.1", nodeSetup(config, s))},
		Links:   []lab.Segment{cable(end("r0", "n1", "10.1.1.1/30"), end("n1", "eth0", "10.1.1.2/30"))},
	}, lab.Options{NoWait: true})
	c.kill("r0", "ospfd")
	c.killAll("n1") // it may have met its neighbour before
	c.boot("n1")

	c.sub("without any neighbour plain services run after alone_after, strict ones only with start_alone", func(c *cluster) {
		c.awaitState("n1", "web", "active/started")
		c.awaitState("n1", "lone", "active/started")
		c.awaitProblem("n1", "no neighbour: this node decides alone")
		s := c.awaitState("n1", "disk", "active/stopped")
		if s.Reason != "alone" {
			c.Errorf("disk: %s (%s), want the reason alone", s.Reason, s.Why)
		}
	})
	c.sub("with a neighbour the strict one starts too", func(c *cluster) {
		c.start("r0", "ospfd")
		c.awaitState("n1", "disk", "active/started")
	})
	c.sub("a wrong port of the OSPF-API is said as such", func(c *cluster) {
		path := c.lab.Vars("n1").SrrdConfig
		text, err := os.ReadFile(path)
		c.must(err)
		c.kill("n1", "srrd")
		c.must(os.WriteFile(path, []byte(strings.Replace(string(text), ":2607", ":2608", 1)), 0o644))
		c.start("n1", "srrd")
		c.awaitProblem("n1", "ospfd's OSPF-API at 127.0.0.1:2608")
		c.kill("n1", "srrd")
		c.must(os.WriteFile(path, text, 0o644))
		c.start("n1", "srrd")
		c.awaitState("n1", "web", "active/started")
	})
}

func TestDoctorMendsADefaultFRR(t *testing.T) {
	topo := twoNodes(services{"web": "addresses: 10.250.7.1\n"})
	for i := range topo.Hosts {
		topo.Hosts[i].FRR = &lab.FRRHost{Tune: "default", RouterOSPF: "no capability opaque\nno ospf router-id\n"}
	}
	c := upWith(t, topo, lab.Options{NoWait: true})

	c.sub("srrd refuses with the reason, and doctor says what to do", func(c *cluster) {
		for _, n := range c.nodes {
			c.awaitProblem(n, "no session with ospfd")
			c.awaitState(n, "web", "inactive/stopped")
			out, err := c.srrdErr(n, "doctor")
			if err == nil {
				c.Errorf("doctor on %s: status 0", n)
			}
			for _, want := range []string{"router-id", "capability opaque"} {
				if !strings.Contains(out, want) {
					c.Errorf("doctor on %s does not speak of %s:\n%s", n, want, out)
				}
			}
		}
	})
	c.sub("doctor --apply sets it and the services start", func(c *cluster) {
		for _, n := range c.nodes {
			if out, err := c.srrdErr(n, "doctor", "--apply"); err != nil {
				c.Errorf("doctor --apply on %s: %v\n%s", n, err, out)
			}
		}
		c.elected("web")
		c.awaitRoute("r0", "10.250.7.1", true)
	})
}
