package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// resident is how much memory a node's srrd has, in kB.
func (c *cluster) resident(node string) int {
	c.Helper()
	pid, err := c.lab.PID(node, "srrd")
	c.must(err)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	c.must(err)
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	c.must(err)
	return n
}

func TestBadWeather(t *testing.T) {
	c := up(t, patient(twoNodes(services{"web": "addresses: 10.250.6.1\n", "disk": ""})))
	c.settled("web", "disk")
	c.elected("web")
	c.elected("disk")
	c.moves("web", "n1")
	c.moves("disk", "n1")

	c.sub("on a full disk everything goes on, and it is said once, and once more when it is over", func(c *cluster) {
		dir, seq := c.lab.Vars("n1").StateDir, c.lastEvent("n1")
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", dir).CombinedOutput(); err != nil {
			c.Fatalf("mount: %v %s", err, out)
		}
		c.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
		filler := filepath.Join(dir, "filler")
		_ = os.WriteFile(filler, make([]byte, 64<<10), 0o600) // as much as there is room for
		before := c.logLength("n1")
		c.moves("web", "n2")
		c.moves("disk", "n2")
		c.awaitEventAfter("n1", seq, "the memory is not saved in "+dir+": no space left on device")
		c.moves("web", "n1")
		c.moves("disk", "n1")
		c.must(os.Remove(filler))
		c.awaitEventAfter("n1", seq, "the memory is saved again")
		text, err := c.lab.Log("n1", "srrd")
		c.must(err)
		if n := strings.Count(text[before:], "is not saved"); n != 1 {
			c.Errorf("it is said %d times", n)
		}
		c.await("no half-written file is left", func() error { // one may be in the making
			left, err := filepath.Glob(filepath.Join(dir, ".*"))
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("there are %v", left)
			}
			return err
		})
	})

	c.sub("with 64 descriptors and a crowd that takes them all it still does its work", func(c *cluster) {
		c.must(c.lab.Stop("n1", "srrd"))
		pid := c.startAs("n1", "prlimit", "--nofile=64:64", "--")
		c.settled("web", "disk")
		c.moves("web", "n1")
		c.moves("disk", "n1")
		var crowd []net.Conn
		c.must(c.lab.Do("n1", func() error {
			for range 100 {
				if conn, err := net.DialTimeout("unix", c.lab.Vars("n1").SrrdSocket, time.Second); err == nil {
					crowd = append(crowd, conn)
				}
				if conn, err := net.DialTimeout("tcp", "127.0.0.1:8222", time.Second); err == nil {
					crowd = append(crowd, conn)
				}
			}
			return nil
		}))
		if len(crowd) < 150 {
			c.Fatalf("only %d connections were made", len(crowd))
		}
		// n1 is told by n2 what to do, since nobody else gets in.
		c.does("n2", "service web move n2")
		c.awaitHolder("web", "n2", "n2")
		c.does("n2", "service web move n1")
		c.awaitHolder("web", "n1", "n2")
		for _, conn := range crowd {
			_ = conn.Close()
		}
		c.awaitHolder("web", "n1")
		if text, err := c.lab.Log("n1", "srrd"); err != nil || strings.Contains(text, "too many open files") {
			c.Errorf("it ran out of descriptors (%v):\n%s", err, text)
		}
		if fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err != nil || len(fds) > 64 {
			c.Errorf("%d descriptors (%v)", len(fds), err)
		} else {
			c.Logf("%d descriptors, with nobody there", len(fds))
		}
		c.must(syscall.Kill(pid, syscall.SIGTERM))
		c.await("it has ended", func() error {
			if syscall.Kill(pid, 0) == nil {
				return errNotYet
			}
			return nil
		})
		c.start("n1", "srrd")
		c.settled("web", "disk")
		c.moves("web", "n1")
		c.moves("disk", "n1")
		if !strings.Contains(c.metrics("n1"), "srrd_in_sync 1") {
			c.Error("its pages do not come back")
		}
	})

	c.sub("2,000 routes that flap in the RIB move nothing, and leave no memory taken", func(c *cluster) {
		c.exec("r0", "vtysh", "-c", "configure terminal", "-c", "router ospf", "-c", "redistribute kernel")
		var add, del strings.Builder
		for i := range 2000 {
			fmt.Fprintf(&add, "route add blackhole 100.64.%d.%d/32\n", i>>8, i&255)
			fmt.Fprintf(&del, "route del blackhole 100.64.%d.%d/32\n", i>>8, i&255)
		}
		dir := c.lab.Vars("r0").Dir
		c.must(os.WriteFile(filepath.Join(dir, "add"), []byte(add.String()), 0o644))
		c.must(os.WriteFile(filepath.Join(dir, "del"), []byte(del.String()), 0o644))
		seen := func() int {
			var n int
			for line := range strings.Lines(c.metrics("n1")) {
				if rest, ok := strings.CutPrefix(line, `srrd_lsdb_lsas{type="external"} `); ok {
					_, _ = fmt.Sscan(rest, &n)
				}
			}
			return n
		}
		before, memory := c.began("web")+c.began("disk"), 0
		for round := range 4 {
			c.exec("r0", "ip", "-batch", filepath.Join(dir, "add"))
			c.awaitFor(4*patience, "the routes are in the mirror", func() error {
				if n := seen(); n < 2000 {
					return fmt.Errorf("%d are", n)
				}
				return nil
			})
			c.exec("r0", "ip", "-batch", filepath.Join(dir, "del"))
			if round == 0 {
				memory = c.resident("n1")
			}
		}
		c.awaitHolder("web", "n1")
		c.awaitHolder("disk", "n1")
		if n := c.began("web") + c.began("disk"); n != before {
			c.Errorf("%d primitives ran: web %q, disk %q", n-before, order(c.primitives("web")), order(c.primitives("disk")))
		}
		if now := c.resident("n1"); now > memory+16<<10 || now > 100<<10 {
			c.Errorf("srrd had %d kB after the first round and has %d", memory, now)
		} else {
			c.Logf("srrd had %d kB after the first round and has %d", memory, now)
		}
		c.moves("web", "n2") // and it is not deaf
	})
}

var hidden = regexp.MustCompile(`<input type="hidden" name="(token|seen)" value="([^"]*)">`)

// A read-only /etc: what is in force stays so, what would change it is refused in
// words, and services do not notice.
func TestAReadOnlyConfiguration(t *testing.T) {
	c := up(t, patient(twoNodes(services{"web": "addresses: 10.250.6.1\n"})))
	c.settled("web")
	c.moves("web", "n1")
	v := c.lab.Vars("n1")
	for _, args := range [][]string{{"--bind", v.ServicesDir, v.ServicesDir}, {"-o", "remount,bind,ro", v.ServicesDir}} {
		if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
			t.Fatalf("mount: %v %s", err, out)
		}
	}
	c.Cleanup(func() { _ = exec.Command("umount", "-l", v.ServicesDir).Run() })
	path := filepath.Join(v.ServicesDir, "web.yaml")
	before, err := os.ReadFile(path)
	c.must(err)

	client, form := c.client("n1"), url.Values{"how": {"text"}, "text": {string(before) + "preference: 7\n"}, "do": {"write"}}
	const page = "http://127.0.0.1:8222/config/web"
	answer := func(r *http.Response, err error) string {
		t.Helper()
		c.must(err)
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		c.must(err)
		return string(text)
	}
	for _, m := range hidden.FindAllStringSubmatch(answer(client.Get(page)), -1) {
		form.Set(m[1], m[2])
	}
	if said := answer(client.PostForm(page, form)); !strings.Contains(said, "read-only file system") {
		t.Errorf("a page that cannot change the file says\n%s", said)
	}
	if left, err := filepath.Glob(filepath.Join(v.ServicesDir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("half-written files are left: %v %v", left, err)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != string(before) {
		t.Errorf("the file is %q (%v), was %q", now, err, before)
	}

	// What only reads it, and what is remembered elsewhere, is as ever.
	c.does("n1", "reload")
	if out, err := c.srrdErr("n1", "doctor", "--apply"); strings.Contains(out, "read-only") {
		t.Errorf("the doctor, who tells the daemons and no files: %v\n%s", err, out)
	}
	c.moves("web", "n2")
	c.does("n1", "service web disable")
	c.must(c.lab.Stop("n1", "srrd"))
	c.start("n1", "srrd")
	c.awaitService("n1", "web", "is disabled still", func(s service) error {
		if s.Config != "disabled" {
			return fmt.Errorf("it is %s", s.Config)
		}
		return nil
	})
	c.does("n1", "service web enable")
	c.settled("web")
	c.moves("web", "n1")
}
