package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/srrd/srrd/deploy/lab"
)

// mortals is the network of these tests: a network service of each way, and a
// resource.
func mortals() *lab.Topology {
	return threeNodes(services{
		"web":  "addresses: 10.250.0.1\n",
		"mail": "addresses: 10.250.0.2\naddress: alias\nannounce: redistribute\n",
		// Without bfdd the nodes lose each other and come back one by one: for some
		// seconds two of them can each see the third and not the other. Only lost_hold
		// keeps a resource without a fence from running on both sides of that.
		"disk": "lost_hold: 10s\n",
	})
}

var mortalServices = []string{"web", "mail", "disk"}

// frrNames are what watchfrr watches.
var frrNames = []string{"zebra", "bfdd", "ospfd"}

// allOn moves every service to a node.
func (c *cluster) allOn(node string) {
	c.Helper()
	for _, s := range mortalServices {
		c.holderIs(s, node)
	}
}

// like waits until everything is as at the beginning, also for the client, the
// kernels and the resource's log.
func (c *cluster) like(before string, node string) {
	c.Helper()
	c.whole(mortalServices...)
	for _, s := range mortalServices {
		c.await(s+" is alive on its holder alone", func() error {
			if on := c.alive(s); len(on) != 1 {
				return fmt.Errorf("alive on %v", on)
			}
			return nil
		})
	}
	for _, address := range []string{"10.250.0.1", "10.250.0.2"} {
		p := c.probe(address)
		c.awaitAnswer(p, "")
		p.Stop()
	}
	c.await("FRR of "+node+" is set up as before, but for an alias that is denied there while it runs elsewhere", func() error {
		now := c.frrConfig(node)
		if now == before {
			return nil
		}
		s, err := c.service(node, "mail")
		if err != nil {
			return err
		}
		text, err := c.lab.Log(node, "srrd")
		if err == nil && (s.Holder == node || aliasEntry.ReplaceAllString(now, "") != aliasEntry.ReplaceAllString(before, "") || !strings.Contains(text, "ospfd announces 10.250.0.2, which does not run here")) {
			err = fmt.Errorf("before\n%s\nnow\n%s", before, now)
		}
		return err
	})
	c.neverTwice("disk")
}

// aliasEntry is what lets the alias through, which a restarted ospfd beside routers
// of 7.5.1 may show while it runs elsewhere, with the lines that end a section. It
// is back when the service is.
var aliasEntry = regexp.MustCompile(`(?m)^(ip prefix-list SRRD-VIP .* permit 10\.250\.0\.2/32|!)\r?\n`)

// frrConfig is the running configuration of a node's daemons, one that does not
// answer by its error. `no ipv6 forwarding` is left out: zebra finds it in the
// kernel, no file has it, and so frr-reload.py takes it away.
func (c *cluster) frrConfig(node string) string {
	var b strings.Builder
	for _, d := range frrNames {
		text, err := c.lab.VTY(node, d, "show running-config")
		if err != nil {
			text = err.Error()
		}
		fmt.Fprintf(&b, "%s: %s\n", d, strings.Replace(text, "no ipv6 forwarding\n", "", 1))
	}
	return b.String()
}

// watchfrr brings dead daemons back as watchfrr and systemd do: a dead zebra
// takes the others along.
func (c *cluster) watchfrr(node string, dead []string) {
	c.Helper()
	if slices.Contains(dead, "zebra") {
		for _, d := range frrNames {
			if slices.Contains(dead, d) {
				continue // gone, or about to be
			}
			if pid, err := c.lab.PID(node, d); err != nil || pid != 0 {
				c.kill(node, d)
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	for _, d := range dead {
		c.must(c.lab.Wait(ctx, func() error {
			if pid, err := c.lab.PID(node, d); err != nil || pid != 0 {
				return fmt.Errorf("%s on %s runs still: %v", d, node, err)
			}
			return nil
		}))
	}
	c.must(c.lab.Boot(ctx, node))
}

// death is one way to go.
type death struct {
	how  string
	dies []string
}

func (d death) String() string {
	how := map[string]string{"TERM": "told to end", "KILL": "killed", "STOP": "stopped and let go on"}[d.how]
	return strings.Join(d.dies, " and ") + " " + how
}

// die lets it happen, up to the return of the daemons.
func (c *cluster) die(node string, d death) {
	c.Helper()
	for _, name := range d.dies {
		switch d.how {
		case "TERM":
			c.must(c.lab.Kill(node, name, syscall.SIGTERM))
		case "KILL":
			c.kill(node, name)
		case "STOP":
			c.must(c.lab.Freeze(node, name))
		}
	}
	if d.how == "STOP" {
		c.exec(node, "sleep", "1")
		for _, name := range d.dies {
			c.must(c.lab.Thaw(node, name))
		}
		return
	}
	c.watchfrr(node, d.dies)
}

func TestEveryDaemonsDeathAtRest(t *testing.T) {
	c := up(t, mortals())
	c.settled(mortalServices...)
	before := c.frrConfig("n1")
	deaths := []death{
		{"TERM", []string{"zebra"}}, {"KILL", []string{"zebra"}}, {"STOP", []string{"zebra"}},
		{"TERM", []string{"ospfd"}}, {"STOP", []string{"ospfd"}},
		{"TERM", []string{"bfdd"}}, {"KILL", []string{"bfdd"}}, {"STOP", []string{"bfdd"}},
		{"TERM", []string{"srrd"}}, {"STOP", []string{"srrd"}},
		{"KILL", []string{"zebra", "srrd"}}, {"KILL", []string{"ospfd", "srrd"}}, {"STOP", []string{"ospfd", "srrd"}},
		{"TERM", []string{"zebra", "bfdd", "ospfd"}}, {"KILL", []string{"zebra", "bfdd", "ospfd", "srrd"}},
	}
	if slices.Contains(c.daemonsOf("n1"), "mgmtd") { // from FRR 10 on
		deaths = append(deaths, death{"TERM", []string{"mgmtd"}}, death{"KILL", []string{"mgmtd"}}, death{"STOP", []string{"mgmtd"}},
			death{"KILL", []string{"mgmtd", "zebra"}})
	}
	for _, d := range deaths {
		c.sub(d.String(), func(c *cluster) {
			c.allOn("n1")
			c.die("n1", d)
			c.like(before, "n1")
		})
	}
	c.sub("where the services run FRR is set up as before", func(c *cluster) {
		c.allOn("n1")
		c.await("nothing is denied", func() error {
			if now := c.frrConfig("n1"); now != before {
				return fmt.Errorf("before\n%s\nnow\n%s", before, now)
			}
			return nil
		})
	})
}

// A zebra that is killed leaves its routes in the kernel, and a srrd that is
// killed with it cannot sweep them. The next zebra, of FRR 10.3, takes them for
// the kernel's own even after they are gone.
func TestWhatAKilledZebraLeavesIsInNobodysWay(t *testing.T) {
	c := up(t, twoNodes(services{"web": "addresses: 10.250.0.1\n"}))
	c.settled("web")
	c.holderIs("web", "n1")
	c.must(c.lab.Freeze("n1", "srrd")) // or it might be quick enough
	logged := c.logLength("n1")
	c.kill("n1", "zebra", "srrd")
	if left := c.exec("n1", "ip", "route", "show", "10.250.0.1", "proto", "zebra"); strings.TrimSpace(left) == "" {
		t.Fatal("the killed zebra has left no route")
	}
	c.watchfrr("n1", []string{"zebra", "srrd"})
	c.whole("web")

	c.sub("n1 reaches the service where it runs now", func(c *cluster) {
		c.holderIs("web", "n2")
		c.await("the kernel of n1 leads to n2", func() error {
			if r := c.exec("n1", "ip", "route", "get", "10.250.0.1"); !strings.Contains(r, "via 10.1.1.1 dev eth0") {
				return fmt.Errorf("it says %s", r)
			}
			return nil
		})
	})
	c.sub("and takes it over", func(c *cluster) {
		c.holderIs("web", "n1")
		if text, err := c.lab.Log("n1", "srrd"); err != nil || strings.Contains(text[logged:], "zebra does not take the route") {
			c.Errorf("zebra did not take the route at once (%v):\n%s", err, text[logged:])
		}
	})
}

func TestEveryDaemonsDeathInTheMiddleOfATransition(t *testing.T) {
	topo := mortals()
	for i := range topo.Hosts {
		if s := topo.Hosts[i].Srrd; s != nil {
			// Who is to die in the middle of a stop has to be caught in it, also on a
			// busy machine.
			s.Services = maps.Clone(s.Services)
			for name, text := range s.Services {
				s.Services[name] = text + "timeouts: {stop: 6s}\n"
			}
		}
	}
	c := up(t, topo)
	c.settled(mortalServices...)
	frr := c.frrConfig("n1")
	for _, service := range []string{"web", "disk"} {
		for _, middle := range []string{"start", "stop"} {
			for _, d := range []death{{"KILL", []string{"zebra"}}, {"KILL", []string{"ospfd"}}, {"KILL", []string{"srrd"}}, {"STOP", []string{"ospfd", "srrd"}}} {
				if service == "disk" && d.dies[0] == "zebra" {
					continue // it has no address: zebra is nothing to it
				}
				c.sub(fmt.Sprintf("%s in the middle of %s of %s", d, middle, service), func(c *cluster) {
					from, to := "n1", "n2"
					if middle == "start" {
						from, to = "n2", "n1"
					}
					c.holderIs(service, from)
					open := c.gate("n1", service, middle)
					defer open()
					began := len(order(c.primitives(service, "n1")))
					c.await("n1 is in the middle of "+middle, func() error {
						log := order(c.primitives(service, "n1"))[began:]
						if slices.Contains(log, middle) {
							return nil
						}
						// Said again until it is done: the last unmove may come late
						// and end it.
						_, err := c.srrsh(to, "service "+service+" move "+to)
						return fmt.Errorf("it has begun %v (%v)", log, err)
					})
					before, logged := c.cutShort(service, "n1", middle), c.logLength("n1")
					c.die("n1", d)
					orphaned := d.how == "KILL" && slices.Contains(d.dies, "srrd")
					if orphaned {
						// It outlives srrd, which is back at once and ends it.
						c.awaitLog("n1", logged, fmt.Sprintf("%s of %s of the life before was still running", middle, service))
					}
					open()
					c.mended(service)
					_, _ = c.srrsh(to, "service "+service+" unmove") // void if the target went
					c.like(frr, "n1")
					if now := c.cutShort(service, "n1", middle); orphaned && now != before {
						c.Errorf("%s has begun %d times more than it ended, want %d: the orphan went on", middle, now, before)
					}
				})
			}
		}
	}
}

// cutShort counts the runs of a primitive that have begun and did not end.
func (c *cluster) cutShort(service, node, primitive string) (n int) {
	c.Helper()
	for _, r := range c.primitives(service, node) {
		switch {
		case r.primitive != primitive:
		case r.moment == "begin":
			n++
		case r.moment == "end":
			n--
		}
	}
	return n
}

// mended does what an operator has to: a primitive that was cut short may have
// failed, or have left it open whether the service runs.
func (c *cluster) mended(name string) {
	c.Helper()
	c.await(name+" has failed nowhere", func() error {
		for _, n := range c.nodes {
			s, err := c.service(n, name)
			if err != nil {
				return err
			}
			for _, o := range s.Offers {
				if strings.Contains(o.Flags, "may-still-run") {
					if on := c.alive(name); slices.Contains(on, o.Host) {
						c.exec(o.Host, "env", "SRRD_SERVICE="+name, "SRRD_NODE="+o.Host, "SRRD_CLAIM=0", "sh", "service/primitive.sh", "stop")
					}
					_, err := c.srrsh(n, "service "+name+" confirm-stopped "+o.Host)
					return fmt.Errorf("it may still run on %s: confirmed (%v)", o.Host, err)
				}
			}
			if s.State == "failed" {
				_, err := c.srrsh(n, "service "+name+" reactivate")
				return fmt.Errorf("it failed on %s: %s (%v)", n, s.Failure, err)
			}
		}
		return nil
	})
}

func TestWhatSomebodyTakesAwayComesBack(t *testing.T) {
	c := up(t, mortals())
	c.settled(mortalServices...)
	c.allOn("n1")
	before := c.frrConfig("n1")
	const putBack = "ospfd lacked lines that were set before"
	for _, h := range []struct {
		name, says string // a line of srrd's log
		does       func(c *cluster)
	}{
		{"our local route is deleted", "local route 10.250.0.1/32", func(c *cluster) {
			c.exec("n1", "ip", "route", "del", "local", "10.250.0.1", "dev", "lo", "table", "local", "proto", "201")
		}},
		{"our alias is deleted", "address 10.250.0.2/32 on lo", func(c *cluster) {
			c.exec("n1", "ip", "address", "del", "10.250.0.2/32", "dev", "lo")
		}},
		{"our redistribution of the table is deleted", putBack, func(c *cluster) { c.configures("n1", "router ospf", "no redistribute table 201") }},
		{"our redistribution of aliases is deleted", putBack, func(c *cluster) { c.configures("n1", "router ospf", "no redistribute connected") }},
		{"our prefix-list is deleted", putBack, func(c *cluster) { c.configures("n1", "no ip prefix-list SRRD-VIP") }},
		{"our route-map is deleted", putBack, func(c *cluster) { c.configures("n1", "no route-map SRRD-VIP") }},
		{"frr-reload.py loads a file that does not know us", putBack, func(c *cluster) { c.frrReload("n1") }},
		{"lo goes down and up", "", func(c *cluster) {
			c.exec("n1", "ip", "link", "set", "lo", "down")
			c.exec("n1", "ip", "link", "set", "lo", "up")
		}},
		{"all that networkd did not configure is flushed", "address 10.250.0.2/32 on lo", func(c *cluster) {
			// ManageForeignRoutes and ManageForeignRoutingPolicyRules are yes by default,
			// and foreign addresses of what it manages go too.
			// Of routes some go along with others, and some are back before their turn.
			c.exec("n1", "sh", "-c", `ip address del 10.250.0.2/32 dev lo || exit 1
				ip -4 route show table local proto 201 | while read -r r; do ip route del $r table local proto 201; done
				for p in zebra ospf; do ip -4 route show proto $p | sed 's/nhid [0-9]*//' | while read -r r; do ip route del $r proto $p; done; done
				ip rule flush && ip rule add pref 32766 lookup main && ip rule add pref 32767 lookup default`)
		}},
		{"systemd-networkd starts with files for lo and eth0", "", func(c *cluster) { c.networkd("n1", "10.1.1.11/24") }},
		{"vtysh cannot write, since /etc/frr is read-only", "", func(c *cluster) {
			// srrd sets lines in the daemons that run and saves none: it is nothing to it.
			logged := c.logLength("n1")
			c.withEtc("n1", "echo service integrated-vtysh-config >/etc/frr/vtysh.conf && mount -o remount,bind,ro /etc/frr && "+
				"{ vtysh -c 'write memory'; test ! -e /etc/frr/frr.conf; }")
			text, err := c.lab.Log("n1", "srrd")
			c.must(err)
			for line := range strings.Lines(text[logged:]) {
				// Of a machine that has more to do than it gets done nothing is to be learnt.
				if (strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR")) && !strings.Contains(line, "srrd did not run for") {
					c.Errorf("srrd says %s", line)
				}
			}
		}},
		{"vtysh writes while services run", "", func(c *cluster) { c.withEtc("n1", "touch /etc/frr/frr.conf && vtysh -c 'write memory'") }},
	} {
		if strings.HasPrefix(h.name, "frr-reload.py") && len(daemonDirs) > 0 {
			t.Log("not run: frr-reload.py is there for the machine's own FRR only, and speaks its language")
			continue
		}
		c.sub(h.name, func(c *cluster) {
			logged := c.logLength("n1")
			h.does(c)
			if h.says != "" {
				c.awaitLog("n1", logged, h.says)
			}
			c.like(before, "n1")
			c.allOn("n1")
		})
	}

	c.sub("nothing of the services is in a saved configuration", func(c *cluster) {
		err := filepath.WalkDir(c.lab.Vars("n1").Dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".conf") || !strings.Contains(path, "frr") {
				return err
			}
			text, err := os.ReadFile(path)
			if strings.Contains(string(text), "10.250.0.1") {
				c.Errorf("%s has the address of web", path)
			}
			return err
		})
		c.must(err)
	})
}

// networkd lets systemd's own take over lo and eth0 of a node for some seconds,
// without a bus and without udev.
func (c *cluster) networkd(node, eth0 string) {
	c.Helper()
	const program, configured = "/lib/systemd/systemd-networkd", ": State changed: configuring -> configured"
	if _, err := os.Stat(program); err != nil {
		c.Skipf("it is not here: %v", err)
	}
	dir := filepath.Join(c.lab.Vars(node).Dir, "network")
	c.must(os.MkdirAll(dir, 0o755))
	for name, address := range map[string]string{"lo": "127.0.0.9/8", "eth0": eth0} {
		c.must(os.WriteFile(filepath.Join(dir, name+".network"), []byte("[Match]\nName="+name+"\n[Network]\nLinkLocalAddressing=no\nAddress="+address+"\n"), 0o644))
	}
	// It goes on for two seconds after it has configured both; it has 30 s for that.
	out := c.exec(node, "sh", "-c", "mount -t tmpfs tmpfs /run/systemd && mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp /etc/systemd/network && "+
		"chown -R systemd-network /run/systemd/netif && mount --bind "+dir+" /etc/systemd/network && mount -o remount,bind,ro /sys || exit 1\n"+
		"log="+dir+".log; SYSTEMD_LOG_LEVEL=debug "+program+" >$log 2>&1 & pid=$!\n"+
		"for i in $(seq 300); do for l in lo eth0; do grep -q \"$l"+configured+"\" $log || { sleep 0.1; continue 2; }; done; break; done\n"+
		"sleep 2; kill $pid; wait $pid; cat $log")
	for _, link := range []string{"lo", "eth0"} {
		if !strings.Contains(out, link+configured) {
			c.Errorf("it did not configure %s:\n%s", link, out)
		}
	}
}

// configures types lines into ospfd's VTY, as somebody does in vtysh.
func (c *cluster) configures(node string, lines ...string) {
	c.Helper()
	args := []string{"vtysh", "-c", "configure terminal"}
	for _, l := range lines {
		args = append(args, "-c", l)
	}
	c.withEtc(node, "'"+strings.Join(args, "' '")+"'")
}

// withEtc runs a script with an /etc/frr and a log directory of the node's own.
func (c *cluster) withEtc(node, script string) {
	c.Helper()
	etc := filepath.Join(c.lab.Vars(node).Dir, "etc-frr")
	c.must(os.MkdirAll(etc, 0o755))
	c.must(os.WriteFile(filepath.Join(etc, "vtysh.conf"), nil, 0o644))
	// frr-reload.py runs vtysh a dozen times, each a process of its own.
	ctx, cancel := context.WithTimeout(context.Background(), 6*patience)
	defer cancel()
	out, err := c.lab.Exec(ctx, node, "sh", "-c", "mount --bind "+etc+" /etc/frr && mkdir -p /var/log/frr && mount -t tmpfs tmpfs /var/log/frr && "+script)
	if err != nil {
		c.Fatalf("%s on %s: %v\n%s", script, node, err, out)
	}
}

// frrReload loads the files the node's daemons began with.
func (c *cluster) frrReload(node string) {
	c.Helper()
	v := c.lab.Vars(node)
	var all []byte
	for _, d := range frrNames {
		text, err := os.ReadFile(filepath.Join(v.VtyDir, d+".conf"))
		c.must(err)
		all = append(all, text...)
	}
	path := filepath.Join(v.Dir, "wanted")
	c.must(os.WriteFile(path, all, 0o644))
	c.withEtc(node, "python3 "+frrDir+"/frr-reload.py --reload "+path)
}

func TestAWholeClusterLosesItsPowerAndBootsAtOnce(t *testing.T) {
	c := up(t, mortals())
	c.settled(mortalServices...)
	before := c.frrConfig("n1")
	for _, s := range mortalServices {
		c.elected(s)
	}
	started := count(order(c.primitives("disk")), "start")
	for _, n := range c.nodes {
		c.must(c.lab.Freeze(n, "srrd")) // the last to go is not to miss the first
	}
	for _, n := range c.nodes {
		c.must(c.lab.Crash(n))
		for _, s := range mortalServices { // what the start primitive left is gone with the power
			_ = os.Remove(filepath.Join(c.lab.Vars(n).RunDir, s+".alive"))
		}
		if left := c.exec(n, "ip", "-o", "route", "show", "table", "all", "proto", "201"); strings.TrimSpace(left) != "" {
			t.Errorf("in the kernel of %s after its power was lost: %s", n, left)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var all sync.WaitGroup
	for _, n := range c.nodes {
		all.Go(func() {
			if err := c.lab.Boot(ctx, n); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	c.whole(mortalServices...)
	if now := count(order(c.primitives("disk")), "start"); now != started+1 {
		t.Errorf("the resource was started %d times in all, want once more than %d", now, started)
	}
	c.await("FRR of n1 is set up as before", func() error {
		if now := c.frrConfig("n1"); now != before {
			return fmt.Errorf("before\n%s\nnow\n%s", before, now)
		}
		return nil
	})
}

// announcedNoMore waits until r0 has no live type 5 of a router to an address.
func (c *cluster) announcedNoMore(address, router string) {
	c.Helper()
	c.await(router+" announces "+address+" no more", func() error { return c.unannounced(address, router) })
}

func (c *cluster) unannounced(address, router string) error {
	text, err := c.lab.VTY("r0", "ospfd", "show ip ospf database external "+address)
	if err != nil {
		return err
	}
	for _, lsa := range strings.Split(text, "LS age: ")[1:] {
		if strings.Contains(lsa, "Advertising Router: "+router+"\n") && !strings.HasPrefix(lsa, "3600") {
			return fmt.Errorf("r0 has %s", lsa)
		}
	}
	return nil
}

// ospfd goes on announcing what a zebra that died told it last, until its
// prefix-list denies it.
func TestAnAliasMovesWhileZebraIsAway(t *testing.T) {
	c := up(t, twoNodes(services{"mail": "addresses: 10.250.0.2\naddress: alias\nannounce: redistribute\n"}))
	c.settled("mail")
	c.holderIs("mail", "n1")
	c.kill("n1", "zebra")
	c.holderIs("mail", "n2")
	c.announcedNoMore("10.250.0.2", "10.255.1.1")
	c.start("n1", "zebra") // alone: ospfd looks for it only after ten seconds
	c.sub("it comes back, and goes again before ospfd has found the next zebra", func(c *cluster) {
		c.whole("mail")
		c.holderIs("mail", "n1")
		// The new zebra may end the BFD of its node, which then finds itself alone
		// for a moment and takes the service once more.
		c.await("n2 has it, and it is announced from n1 no more", func() error {
			if s, err := c.service("n2", "mail"); err != nil || s.Holder != "n2" {
				_, err = c.srrsh("n2", "service mail move n2")
				return fmt.Errorf("n2 had it not: moved there (%v)", err)
			}
			return c.unannounced("10.250.0.2", "10.255.1.1")
		})
		_, _ = c.srrsh("n2", "service mail unmove") // there is a pin if it was moved here
	})
	c.sub("with FRR started anew it is announced as before", func(c *cluster) {
		c.kill("n1", "zebra")
		c.watchfrr("n1", []string{"zebra"})
		c.whole("mail")
		c.holderIs("mail", "n1")
		c.announcedNoMore("10.250.0.2", "10.255.1.2")
	})
}

// What a dead zebra leaves, the kernel's routes and what ospfd was told last, still
// serves; but nothing there follows the network any more.
func TestZebraIsGoneForGood(t *testing.T) {
	c := up(t, threeNodes(services{
		"web": "addresses: 10.250.0.1\n", "mail": "addresses: 10.250.0.2\n",
		"news": "addresses: 10.250.0.3\naddress: alias\nannounce: redistribute\n",
		"logs": "addresses: 10.250.0.4\naddress: alias\nannounce: network\n",
	}))
	theirs := []string{"web", "news", "logs"} // of n1
	c.settled("web", "mail", "news", "logs")
	for _, s := range theirs {
		c.holderIs(s, "n1")
	}
	c.holderIs("mail", "n3")
	p := c.probe("10.250.0.1")
	defer p.Stop()
	c.awaitAnswer(p, "n1")
	logged := c.logLength("n1")
	c.kill("n1", "zebra")
	to := ""

	c.sub("what runs there goes to a node that has its zebra, and nothing leads back", func(c *cluster) {
		c.awaitFor(2*patience, "n1 has missed its zebra for long", func() error {
			text, err := c.lab.Log("n1", "srrd")
			if err == nil && !strings.Contains(text[logged:], "no session with zebra for 15s") {
				err = errNotYet
			}
			return err
		})
		c.await("another node runs web", func() error {
			s, err := c.service("n2", "web")
			if err != nil {
				return err
			}
			if to = s.Holder; to == "" || to == "n1" {
				return fmt.Errorf("it runs on %q", to)
			}
			return nil
		})
		c.awaitHolder("web", to)
		c.awaitAnswer(p, to)
		for _, s := range theirs {
			c.await(s+" runs on another node, in the eyes of all", func() error {
				for _, n := range c.nodes {
					if s, err := c.service(n, s); err != nil || s.Holder == "" || s.Holder == "n1" {
						return fmt.Errorf("%s: it runs on %q (%v)", n, s.Holder, err)
					}
				}
				return nil
			})
		}
		c.announcedNoMore("10.250.0.1", "10.255.1.1")
		c.announcedNoMore("10.250.0.3", "10.255.1.1")
		c.await("the router LSA of n1 has 10.250.0.4 no more", func() error {
			text, err := c.lab.VTY("r0", "ospfd", "show ip ospf database router adv-router 10.255.1.1")
			if err == nil && (!strings.Contains(text, "10.255.1.1") || strings.Contains(text, "10.250.0.4")) {
				err = errors.New(text)
			}
			return err
		})
		if text := c.frrConfig("n1"); !strings.Contains(text, "redistribute table 201") {
			c.Errorf("its ospfd redistributes the table no more:\n%s", text)
		}
	})

	c.sub("it takes nothing while others are there", func(c *cluster) {
		other := map[string]string{"n2": "n3", "n3": "n2"}[to]
		c.must(c.lab.Stop(to, "srrd"))
		for _, s := range append([]string{"mail"}, theirs...) {
			c.awaitHolder(s, other, "n1", other)
		}
		c.start(to, "srrd")
	})

	c.sub("with zebra it is a node as before", func(c *cluster) {
		c.watchfrr("n1", []string{"zebra"})
		c.whole("web", "mail", "news", "logs")
		c.awaitLog("n1", logged, "zebra is back")
		for _, s := range theirs {
			c.holderIs(s, "n1")
		}
		c.awaitAnswer(p, "n1")
	})
}
