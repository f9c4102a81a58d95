package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPrimitives(t *testing.T) {
	c := up(t, twoNodes(services{
		"main":     "addresses: 10.250.4.1\nretry_after: 1h\ntimeouts: {start: 40s, stop: 40s}\n", // for the gates
		"quietone": "addresses: 10.250.4.2\ncheck: {interval: 100ms, fall: 2}\nretry_after: 1h\n",
		"disk":     "retry_after: 1h\ntimeouts: {start: 3s, reload: 40s}\n",
	}))
	c.settled("main", "quietone", "disk")

	c.sub("all of them run at their moments and in their order", func(c *cluster) {
		holder := c.elected("main")
		other := c.others(holder)[0]
		if log := order(c.primitives("main", holder)); len(log) < 2 || log[0] != "activate" || slices.Index(log, "start") < 0 {
			c.Errorf("%s: %v, want activate first and then a start", holder, log)
		}
		c.joined("main")
		for _, n := range c.nodes {
			peer := "join " + c.others(n)[0]
			if log := order(c.primitives("main", n)); count(log, peer) != 1 {
				c.Errorf("%s: %v, want one %s", n, log, peer)
			}
		}
		from := len(order(c.primitives("main", holder)))
		c.does(holder, "service main reload")
		c.does(holder, "service main restart")
		c.does(holder, "service main status")
		c.does(holder, "service main check")
		c.does(holder, "service main disable")
		c.awaitState(holder, "main", "disabled/stopped")
		if got, want := order(c.primitives("main", holder))[from:], []string{"reload", "restart", "stop", "deactivate"}; !slices.Equal(got, want) {
			c.Errorf("%s: %v, want %v", holder, got, want)
		}
		c.awaitHolder("main", other, other)
		c.await("the other was told that its peer has left", func() error {
			if log := order(c.primitives("main", other)); count(log, "leave "+holder) != 1 {
				return fmt.Errorf("%v", log)
			}
			return nil
		})
		c.does(holder, "service main enable")
		c.awaitState(holder, "main", "active/stopped")
		c.await("the other was told that its peer joins", func() error {
			if log := order(c.primitives("main", other)); count(log, "join "+holder) != 2 {
				return fmt.Errorf("%v", log)
			}
			return nil
		})
	})

	c.sub("starting and stopping are shown with what is waited for", func(c *cluster) {
		holder := c.elected("main")
		to := c.others(holder)[0]
		stop, start := c.gate(holder, "main", "stop"), c.gate(to, "main", "start")
		c.await("the move is taken", func() error {
			_, err := c.srrsh(to, "service main move "+to)
			return err
		})
		c.awaitService(holder, "main", "is stopping, with a cause, and waits for its stop", func(s service) error {
			if s.Config+"/"+s.State != "active/stopping" || s.Cause == "" || !strings.Contains(strings.Join(s.Waits, " "), "primitive stop") {
				return fmt.Errorf("it is %s/%s, cause %q, waits %v", s.Config, s.State, s.Cause, s.Waits)
			}
			return nil
		})
		stop()
		c.awaitState(to, "main", "active/starting")
		c.awaitService(to, "main", "waits for start", func(s service) error {
			if !strings.Contains(strings.Join(s.Waits, " "), "primitive start") {
				return fmt.Errorf("waits %v", s.Waits)
			}
			return nil
		})
		c.awaitService(holder, "main", "shows the peer starting", func(s service) error {
			if o := s.offer(to); o.State != "starting" {
				return fmt.Errorf("it is %s", o.State)
			}
			return nil
		})
		start()
		c.awaitHolder("main", to)
		c.does(to, "service main unmove")
	})

	c.sub("recall asks again until it is done", func(c *cluster) {
		holder := c.elected("main")
		c.hook(holder, "main", "restart", `n=$(cat run/asked 2>/dev/null || echo 0); echo $((n+1)) >run/asked
if [ $n -lt 2 ]; then echo "Result: recall"; echo "Recall: 0.05"; exit 0; fi
`)
		c.does(holder, "service main restart")
		c.unhook(holder, "main", "restart")
		if n := strings.TrimSpace(c.exec(holder, "cat", c.lab.Vars(holder).RunDir+"/asked")); n != "3" {
			c.Errorf("asked %s times, want 3", n)
		}
		c.awaitHolder("main", holder)
	})

	c.sub("a failing start is flooded with its words, the other node runs it, reactivate tries again", func(c *cluster) {
		holder := c.elected("main")
		other := c.others(holder)[0]
		c.hook(other, "main", "start", "echo 'no licence found' >&2; exit 3\n")
		c.await("the move is taken", func() error {
			_, err := c.srrsh(other, "service main move "+other)
			return err
		})
		s := c.awaitState(other, "main", "active/failed")
		if s.Failure.Code != "start" || !strings.Contains(s.Failure.Text, "no licence found") {
			c.Errorf("failure %+v, want start: no licence found", s.Failure)
		}
		c.awaitHolder("main", holder)
		c.awaitProblem(holder, "failed on "+other+": start: no licence found")
		c.await("the primitive failed has run, and was told why", func() error {
			for _, r := range c.primitives("main", other) {
				if r.primitive == "failed" && strings.Contains(r.failure, "no licence found") {
					return nil
				}
			}
			return errNotYet
		})
		c.unhook(other, "main", "start")
		c.answers(other, "service main reactivate", "it may be tried here again")
		c.awaitState(other, "main", "active/stopped")
		c.refuses(other, "service main reactivate", "it has not failed")
	})

	c.sub("a start that hangs with children ends with its timeout, and nothing of it lives on", func(c *cluster) {
		holder := c.elected("disk")
		other := c.others(holder)[0]
		pids := filepath.Join(c.lab.Vars(other).RunDir, "children")
		c.hook(other, "disk", "start", "trap '' TERM; (trap '' TERM; sleep 1000) & echo $! >"+pids+"; (sleep 1001) & echo $! >>"+pids+"; wait\n")
		c.await("the move is taken", func() error {
			_, err := c.srrsh(other, "service disk move "+other)
			return err
		})
		s := c.awaitState(other, "disk", "active/failed")
		if s.Failure.Code != "start timeout" {
			c.Errorf("failure %+v, want start timeout", s.Failure)
		}
		text, err := os.ReadFile(pids)
		c.must(err)
		c.await("its children are gone", func() error {
			for _, pid := range strings.Fields(string(text)) {
				if b, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !strings.Contains(string(b), ") Z ") {
					return fmt.Errorf("%s lives", pid)
				}
			}
			return nil
		})
		c.awaitHolder("disk", holder)
		c.neverTwice("disk")
		c.unhook(other, "disk", "start")
		c.does(other, "service disk reactivate")
		c.awaitState(other, "disk", "active/stopped")
	})

	c.sub("a primitive that forks a daemon which keeps its output open is done when it says so", func(c *cluster) {
		holder := c.elected("disk")
		pid := filepath.Join(c.lab.Vars(holder).RunDir, "forked")
		c.hook(holder, "disk", "reload", "setsid sleep 30 & echo $! >"+pid+"\n")
		c.does(holder, "service disk reload")
		c.unhook(holder, "disk", "reload")
		c.exec(holder, "sh", "-c", "kill $(cat "+pid+")")
		c.awaitHolder("disk", holder)
	})

	c.sub("a primitive that prints a gigabyte costs no memory and keeps its result", func(c *cluster) {
		holder := c.elected("disk")
		c.hook(holder, "disk", "reload", "yes 0123456789012345678901234567890123456789 | head -c 1000000000\n")
		c.does(holder, "service disk reload")
		c.unhook(holder, "disk", "reload")
		pid, err := c.lab.PID(holder, "srrd")
		c.must(err)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		c.must(err)
		for line := range strings.Lines(string(status)) {
			var kb int
			if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 && kb > 100<<10 {
				c.Errorf("srrd was %d MB large", kb>>10)
			}
		}
		c.awaitHolder("disk", holder)
	})

	c.sub("a check that fails is the end of the service there, and its cause is flooded", func(c *cluster) {
		holder := c.elected("quietone")
		other := c.others(holder)[0]
		c.hook(holder, "quietone", "restart", "exit 1\n")
		c.exec(holder, "rm", c.lab.Vars(holder).RunDir+"/quietone.alive")
		c.awaitHolder("quietone", other)
		s := c.awaitState(holder, "quietone", "active/failed")
		if s.Failure.Code != "check" || !strings.Contains(s.Failure.Text, "is not alive") {
			c.Errorf("failure %+v, want check: quietone is not alive", s.Failure)
		}
		c.awaitService(other, "quietone", "shows why the peer failed", func(s service) error {
			if f := s.offer(holder).Failure; f.Code != "check" {
				return fmt.Errorf("%+v", f)
			}
			return nil
		})
		c.unhook(holder, "quietone", "restart")
		c.does(holder, "service quietone reactivate")
		c.awaitState(holder, "quietone", "active/stopped")
	})

	c.sub("an activate that fails keeps the service out, with its words", func(c *cluster) {
		holder := c.elected("main")
		c.does(holder, "service main disable")
		c.awaitState(holder, "main", "disabled/stopped")
		c.hook(holder, "main", "activate", "echo 'no such user'; exit 1\n")
		c.does(holder, "service main enable")
		s := c.awaitState(holder, "main", "failed/stopped")
		if s.Failure.Code != "activate" || !strings.Contains(s.Failure.Text, "no such user") {
			c.Errorf("failure %+v, want activate: no such user", s.Failure)
		}
		c.unhook(holder, "main", "activate")
		c.does(holder, "service main reactivate")
		// The other node failed before and is on probation: this one may take it.
		c.awaitService(holder, "main", "is offered again", func(s service) error {
			if s.Config != "active" {
				return fmt.Errorf("%s/%s, %s", s.Config, s.State, s.Failure)
			}
			return nil
		})
	})

	c.sub("an offer that ospfd has not shown yet is injected", func(c *cluster) {
		holder := c.elected("main")
		other := c.others(holder)[0]
		c.does(other, "service main disable")
		c.awaitState(other, "main", "disabled/stopped")
		open := c.gate(other, "main", "activate")
		c.does(other, "service main enable")
		c.awaitState(other, "main", "inactive/stopped")
		c.must(c.lab.Freeze(other, "ospfd"))
		open()
		c.awaitState(other, "main", "injected/stopped")
		c.must(c.lab.Thaw(other, "ospfd"))
		c.awaitService(other, "main", "is offered", func(s service) error {
			if s.Config != "active" {
				return fmt.Errorf("%s/%s", s.Config, s.State)
			}
			return nil
		})
	})
}
