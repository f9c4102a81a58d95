package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// lsasOf are the LSAs that a router's srrd has in the database, as another node
// has them: those of type 222 and its /32s, with their sequence numbers.
func (c *cluster) lsasOf(on, router string) map[string]lsaRow {
	c.Helper()
	var page struct {
		LSAs []lsaRow `json:"lsas"`
	}
	c.must(c.show(on, "lsdb", &page))
	out := map[string]lsaRow{}
	for _, r := range page.LSAs {
		if r.Router == router && !r.MaxAge && (strings.HasPrefix(r.ID, "222.") || strings.HasPrefix(r.ID, "10.250.")) {
			out[r.Type+" "+r.ID] = r
		}
	}
	return out
}

// allOf is lsasOf when there is one of each gist: an update is a delete and an add
// for ospfd's clients, and on a busy machine somebody can look between the two.
func (c *cluster) allOf(on, router string, gists ...string) (all map[string]lsaRow) {
	c.Helper()
	c.await(fmt.Sprintf("%s shows all that %s says", on, router), func() error {
		all = c.lsasOf(on, router)
		for _, of := range gists {
			if !slices.ContainsFunc(slices.Collect(maps.Values(all)), func(r lsaRow) bool { return strings.Contains(r.Gist, of) }) {
				return fmt.Errorf("there is no LSA of %s", of)
			}
		}
		return nil
	})
	return all
}

// said fails unless the LSAs are those of before: only one with the check stamp
// of the service may have got a new sequence number, and not more often than
// srrd says that every 5 s. What is gone was an old generation's.
func (c *cluster) said(before, now map[string]lsaRow, stamped string, elapsed time.Duration) {
	c.Helper()
	kept := 0
	for key, r := range now {
		was, ok := before[key]
		if !ok {
			c.Errorf("%s, %s, was not there before", key, r.Gist)
			continue
		}
		kept++
		var a, b int64
		_, err1 := fmt.Sscanf(was.Seq, "0x%x", &a)
		_, err2 := fmt.Sscanf(r.Seq, "0x%x", &b)
		c.must(errors.Join(err1, err2))
		most := int64(0)
		if strings.Contains(r.Gist, stamped) {
			most = int64(elapsed/(5*time.Second)) + 1
		}
		if b-a < 0 || b-a > most {
			c.Errorf("%s, %s: sequence number %s, was %s", key, r.Gist, r.Seq, was.Seq)
		}
	}
	if kept < 4 {
		c.Errorf("of %d LSAs only %d are left: %v", len(before), kept, keys(now))
	}
}

// process is what the kernel says of a node's srrd.
type process struct {
	pid         int
	descriptors int
	files       int      // of them no sockets: those of VTY sessions come and go
	sockets     []string // of TCP, by inode: the two with ospfd, and the pages' one
	zombies     []string
}

func (c *cluster) process(node string) process {
	c.Helper()
	pid, err := c.lab.PID(node, "srrd")
	c.must(err)
	p := process{pid: pid}
	tcp, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid)) // of its namespace
	c.must(err)
	inodes := map[string]bool{}
	for line := range strings.Lines(string(tcp)) {
		if f := strings.Fields(line); len(f) > 9 { // proc_pid_net(5)
			inodes["socket:["+f[9]+"]"] = true
		}
	}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := os.ReadDir(dir)
	c.must(err)
	for _, fd := range fds {
		to, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		p.descriptors++
		if !strings.HasPrefix(to, "socket:") {
			p.files++
		}
		if inodes[to] {
			p.sockets = append(p.sockets, to)
		}
	}
	slices.Sort(p.sockets)
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	c.must(err)
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		text := string(b)
		f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // state ppid ...
		if len(f) > 1 && f[0] == "Z" && f[1] == strconv.Itoa(pid) {
			p.zombies = append(p.zombies, text)
		}
	}
	return p
}

// zebraSince is since when zebra has had the client that has srrd's routes, to
// the second.
func (c *cluster) zebraSince(node string) time.Time {
	c.Helper()
	text, err := c.lab.VTY(node, "zebra", "show zebra client summary")
	c.must(err)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || !strings.HasPrefix(f[0], "table") {
			continue
		}
		t, err := time.Parse(time.TimeOnly, f[1])
		c.must(err)
		h, m, s := t.Clock()
		return time.Now().Add(-time.Duration(h)*time.Hour - time.Duration(m)*time.Minute - time.Duration(s)*time.Second)
	}
	c.Fatalf("zebra of %s has no client of ours:\n%s", node, text)
	return time.Time{}
}

// threeLinks is threeNodes without its LAN, on which a patient network would wait
// for a designated router as long as it waits for the lost.
func threeLinks(s services) *lab.Topology {
	t := twoNodes(s)
	t.Name = "three-links"
	t.Hosts = append(t.Hosts, node("n3", "10.255.1.3", nodeSetup(daemonConfig, s)),
		lab.Host{Name: "client", Gateway: netip.MustParseAddr("10.0.0.1")})
	t.Links = append(t.Links, cable(end("r0", "n3", "10.1.3.1/30"), end("n3", "eth0", "10.1.3.2/30")),
		cable(end("r0", "client", "10.0.0.1/24"), end("client", "eth0", "10.0.0.2/24")))
	return t
}

// install puts a binary where a node's srrd was started from, as a package does. A
// process of its own writes it: what this one has open for writing its other tests
// could hand on to a child they fork meanwhile, and nobody executes a file that is
// open for writing (execve(2), ETXTBSY).
func install(t testing.TB, path string, program []byte) {
	t.Helper()
	put := exec.Command("sh", "-c", `cat >"$0" && chmod 755 "$0" && mv "$0" "$1"`, path+".new", path)
	put.Stdin = bytes.NewReader(program)
	if out, err := put.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestReexecution(t *testing.T) {
	good, err := os.ReadFile(programs.Srrd)
	if err != nil {
		t.Fatal(err)
	}
	mine := programs // a binary of its own: it is replaced
	mine.Srrd = filepath.Join(t.TempDir(), "srrd")
	install(t, mine.Srrd, good)
	const address, router = "10.250.5.1", "10.255.1.1"
	c := upWith(t, patient(threeLinks(services{
		"web":   "addresses: " + address + "\npreference: {{if eq .Host \"n1\"}}200{{else}}50{{end}}\n",
		"quiet": "addresses: 10.250.5.2\ncheck: {interval: 0s}\ntimeouts: {start: 20s}\npreference: {{if eq .Host \"n1\"}}200{{else}}50{{end}}\n",
		// Only for n2 and n3: what they say of it is news to n1, and nothing else.
		"other": "enabled: {{if eq .Host \"n1\"}}no{{else}}yes{{end}}\npreference: {{if eq .Host \"n3\"}}200{{else}}50{{end}}\nbest_effort: yes\nlost_hold: 1s\n",
	})), lab.Options{Binaries: mine})
	c.settled("web", "quiet")
	c.awaitHolder("web", "n1")
	c.awaitHolder("quiet", "n1")
	c.awaitHolder("other", "n3", "n2", "n3")

	// untouched runs do while a client sends a datagram each millisecond, and
	// fails if anybody has noticed it.
	untouched := func(c *cluster, do func()) {
		c.Helper()
		p, err := c.lab.Probe("client", lab.ProbeConfig{Target: netip.AddrPortFrom(netip.MustParseAddr(address), 7777), Interval: time.Millisecond})
		c.must(err)
		defer p.Stop()
		c.awaitAnswer(p, "n1")
		p.Mark("do")
		began, before := time.Now(), c.process("n1")
		if len(before.sockets) < 2 {
			c.Fatalf("srrd of n1 has no session with ospfd: %+v", before)
		}
		lsas := c.allOf("n2", router, "srrd n1", "service web", "service quiet")
		primitives := [][]string{order(c.primitives("web")), order(c.primitives("quiet"))}
		zebra := c.zebraSince("n1")

		do()

		c.said(lsas, c.lsasOf("n2", router), "web", time.Since(began))
		if since := c.zebraSince("n1"); since.Sub(zebra).Abs() > 3*time.Second {
			c.Errorf("zebra has had our client since %s, was %s", since.Format(time.TimeOnly), zebra.Format(time.TimeOnly))
		}
		c.await("srrd of n1 has what it had before", func() error {
			now := c.process("n1")
			if now.pid != before.pid || now.files > before.files || now.descriptors > before.descriptors+10 || len(now.zombies) > 0 || !slices.Equal(now.sockets, before.sockets) {
				return fmt.Errorf("it is %+v, was %+v", now, before)
			}
			return nil
		})
		for i, name := range []string{"web", "quiet"} {
			if now := order(c.primitives(name)); !slices.Equal(now, primitives[i]) {
				c.Errorf("primitives of %s: %v, were %v", name, now, primitives[i])
			}
		}
		r := p.Stop()
		if phase, ok := r.Phase("do"); !ok || phase.Lost > 0 || len(phase.Switches) > 0 || len(phase.ByNode) != 1 {
			c.Errorf("the client saw it:\n%s", r)
		}
	}

	c.sub("at rest a node says nothing but the check stamp of what it runs, at least 5 s apart", func(c *cluster) {
		const rest = 22 * time.Second
		time.Sleep(5 * time.Second) // what followed the start
		began := time.Now()
		runs, stands := c.allOf("n2", router, "srrd n1", "service web", "service quiet"), c.lsasOf("n1", "10.255.1.2")
		time.Sleep(rest) // it is what the node does in a time that counts
		now := c.allOf("n2", router, "srrd n1", "service web", "service quiet")
		c.said(runs, now, "web", time.Since(began))
		c.said(stands, c.lsasOf("n1", "10.255.1.2"), "(nothing)", time.Since(began))
		stamped := false
		for key, r := range now {
			stamped = stamped || strings.Contains(r.Gist, "web") && r.Seq != runs[key].Seq
		}
		if !stamped {
			c.Errorf("the check stamp of web is not flooded any more: %v, was %v", now, runs)
		}
	})

	c.sub("a hundred in a row, the other nodes having news all the time", func(c *cluster) {
		checks := len(c.primitives("web", "n1"))
		seq := c.lastEvent("n1")
		untouched(c, func() {
			stop, ended := make(chan struct{}), make(chan error, 1)
			go func() {
				for n := 0; ; n++ {
					verb := []string{"node standby", "node online"}[n%2]
					if _, err := c.srrsh("n3", verb); err != nil {
						ended <- err
						return
					}
					select {
					case <-stop:
						if verb == "node online" {
							ended <- nil
							return
						}
					case <-time.After(100 * time.Millisecond):
					}
				}
			}()
			began := time.Now()
			for range 100 {
				c.answers("n1", "daemon reexec", "has taken over from")
			}
			c.Logf("100 re-executions in %s", time.Since(began).Round(time.Millisecond))
			close(stop)
			c.must(<-ended)
			c.awaitHolder("other", "n3", "n2", "n3")
			c.awaitHolder("web", "n1")
		})
		if now := len(c.primitives("web", "n1")); now <= checks {
			c.Errorf("web was not checked meanwhile: %d lines of its primitives, were %d", now, checks)
		}
		all, err := c.events("n1")
		c.must(err)
		for _, e := range all {
			if strings.Contains(e.Text, "srrd did not run for") {
				continue // a machine that has more to do than it gets done; the client lost nothing
			}
			if e.Seq > seq && e.Level != "info" && e.Level != "debug" && e.Service != "other" {
				c.Errorf("n1 says %s: %s %s", e.Level, e.Service, e.Text)
			}
		}
	})

	c.sub("a start under way goes on, and ends in the srrd that came after", func(c *cluster) {
		c.moves("quiet", "n2")
		open := c.gate("n1", "quiet", "start")
		before := len(c.primitives("quiet", "n1"))
		c.does("n1", "service quiet move n1")
		c.await("n1 starts it", func() error {
			all := c.primitives("quiet", "n1")
			if len(all) == before || all[len(all)-1].primitive != "start" {
				return errNotYet
			}
			return nil
		})
		for range 3 {
			c.answers("n1", "daemon reexec", "has taken over from")
		}
		open()
		c.awaitHolder("quiet", "n1")
		if n := count(order(c.primitives("quiet", "n1")[before:]), "start"); n != 1 {
			c.Errorf("it was started %d times", n)
		}
	})

	for _, broken := range []struct{ what, program, refusal string }{
		{"ends with 1", "#!/bin/sh\necho no such library >&2\nexit 1\n", "exit status 1: no such library"},
		{"hangs", "#!/bin/sh\nexec sleep 100\n", "it says nothing for 5s"},
		{"is rubbish", "\x7fELF or what", "exec format error"},
		{"is another program", "#!/bin/sh\necho hello\n", "is it srrd?"},
		{"is not there", "", "no such file"},
	} {
		c.sub("a new binary that "+broken.what+" leaves the old one running", func(c *cluster) {
			untouched(c, func() {
				if broken.program == "" {
					c.must(os.Remove(mine.Srrd))
				} else {
					install(c, mine.Srrd, []byte(broken.program))
				}
				c.refuses("n1", "daemon reexec", broken.refusal)
				c.refuses("n1", "daemon reexec", "srrd goes on as it is")
			})
			c.awaitEvent("n1", broken.refusal)
		})
	}

	c.sub("SIGUSR2 has a new version take over", func(c *cluster) {
		newer := filepath.Join(t.TempDir(), "srrd")
		out, err := exec.Command("go", "build", "-o", newer, "-ldflags", "-X main.version=98.7.6", "../../../sidecar/cmd/srrd").CombinedOutput()
		if err != nil {
			c.Fatalf("building srrd: %v\n%s", err, out)
		}
		program, err := os.ReadFile(newer)
		c.must(err)
		untouched(c, func() {
			install(c, mine.Srrd, program)
			c.must(c.lab.Kill("n1", "srrd", syscall.SIGUSR2))
			c.awaitEvent("n1", "srrd 98.7.6 has taken over from")
			c.answers("n1", "show version", "98.7.6")
			c.awaitHolder("web", "n1")
		})
	})
}
