package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// srrdUser is the number of a user that this machine has not: a number is all
// that the kernel wants, and all that the files of a lab need.
const srrdUser = 64222

// unprivileged starts srrd on a node as deploy/systemd/unprivileged.conf does: as
// a user of its own, with CAP_NET_ADMIN and group frrvty, and nothing else.
func (c *cluster) unprivileged(node, group string) (pid int) {
	c.Helper()
	id := strconv.Itoa(srrdUser)
	return c.startAs(node, "setpriv", "--reuid", id, "--regid", id, "--groups", group, "--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin",
		"--bounding-set=-all,+net_admin", "--no-new-privs", "--")
}

// startAs starts srrd on a node through another program, which becomes it; it
// ends with the test.
func (c *cluster) startAs(node string, through ...string) (pid int) {
	c.Helper()
	v := c.lab.Vars(node)
	log, err := os.OpenFile(filepath.Join(v.LogDir, "srrd.log"), os.O_APPEND|os.O_WRONLY, 0)
	c.must(err)
	defer log.Close()
	argv := append(through, programs.Srrd, "--config", v.SrrdConfig)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.must(c.lab.StartIn(node, cmd))
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	c.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
			c.Errorf("srrd of %s did not end", node)
		}
	})
	return cmd.Process.Pid
}

func TestSrrdRunsAsAUserOfItsOwn(t *testing.T) {
	group, err := exec.Command("getent", "group", "frrvty").Output()
	if err != nil {
		t.Fatalf("this machine has no group frrvty, as FRR's packages make it: %v", err)
	}
	gid := strings.Split(strings.TrimSpace(string(group)), ":")[2]
	c := up(t, patient(twoNodes(services{"web": "addresses: 10.250.7.1\n", "disk": ""})))
	// The program is in a directory of root's.
	c.must(os.Chmod(filepath.Dir(programs.Srrd), 0o755))
	// Killed at the moment at which a primitive begins, its note is cut short, and
	// cleanup rightly says that it cannot know.
	c.elected("web")
	c.elected("disk")
	c.joined("web", "disk")
	pids := map[string]int{}
	for _, n := range c.nodes {
		v := c.lab.Vars(n)
		c.kill(n, "srrd", "ospfd", "bfdd", "zebra")
		c.cleanup(n, "--stop")
		c.exec(n, "sh", "-c", fmt.Sprintf("cd %s && chown -R %d:%d run state log service hook services.d && rm -f primitives.log && install -o %d /dev/null primitives.log",
			v.Dir, srrdUser, srrdUser, srrdUser))
		c.start(n, "zebra", "bfdd", "ospfd")
		c.hook(n, "web", "start", "id -u >run/whoami; grep ^CapEff /proc/self/status >>run/whoami\n")
		// As srrd-zserv.service does.
		c.exec(n, "setfacl", "-m", fmt.Sprintf("u:%d:rw", srrdUser), v.ZservPath)
		pids[n] = c.unprivileged(n, gid)
	}
	c.settled("web", "disk")
	holder := c.elected("web")
	c.elected("disk")

	c.sub("it has one capability, and what it runs has none", func(c *cluster) {
		for _, n := range c.nodes {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pids[n]))
			c.must(err)
			for _, want := range []string{fmt.Sprintf("Uid:\t%d\t%d\t%d\t%d\n", srrdUser, srrdUser, srrdUser, srrdUser), "CapEff:\t0000000000001000\n", "CapBnd:\t0000000000001000\n", "NoNewPrivs:\t1\n"} {
				if !strings.Contains(string(text), want) {
					c.Errorf("srrd of %s has not %q:\n%s", n, want, text)
				}
			}
		}
		text, err := os.ReadFile(filepath.Join(c.lab.Vars(holder).RunDir, "whoami"))
		c.must(err)
		if want := fmt.Sprintf("%d\nCapEff:\t0000000000000000\n", srrdUser); string(text) != want {
			c.Errorf("a primitive is %q, want %q", text, want)
		}
	})

	c.sub("it moves a service, address and route", func(c *cluster) {
		to := c.others(holder)[0]
		c.moves("web", to)
		c.awaitRoute("r0", "10.250.7.1", true)
		c.moves("disk", to)
		c.moves("web", holder)
	})

	c.sub("its doctor examines FRR, and mends it", func(c *cluster) {
		v := c.lab.Vars(holder)
		id := strconv.Itoa(srrdUser)
		doctor := []string{"setpriv", "--reuid", id, "--regid", id, "--groups", gid, "--bounding-set=-all", "--no-new-privs", "--", programs.Srrd, "--config", v.SrrdConfig, "doctor"}
		c.exec(holder, "vtysh", "-c", "configure terminal", "-c", "router ospf", "-c", "timers lsa min-arrival 1000")
		if out := c.exec(holder, doctor...); !strings.Contains(out, "timers lsa min-arrival") || strings.Contains(out, "permission denied") {
			c.Errorf("the doctor says\n%s", out)
		}
		if out := c.exec(holder, append(doctor, "--apply")...); strings.Contains(out, "timers lsa min-arrival 0\n") && strings.Contains(out, "SLOW") {
			c.Errorf("after it was mended the doctor says\n%s", out)
		}
	})

	c.sub("srrsh of the group reaches it, anybody's does not", func(c *cluster) {
		v := c.lab.Vars(holder)
		ask := func(groups ...string) error {
			args := append(append([]string{"--reuid", "65534", "--regid", "65534"}, groups...), "--", programs.Srrsh, "--socket", v.SrrdSocket, "-c", "show version")
			return exec.Command("setpriv", args...).Run()
		}
		if err := ask("--groups", gid); err != nil {
			c.Errorf("a member of frrvty is refused: %v", err)
		}
		if ask("--clear-groups") == nil {
			c.Error("a stranger is let in")
		}
	})
}
