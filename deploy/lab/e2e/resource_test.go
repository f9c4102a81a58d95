package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// neverTwice fails where the log of the primitives shows a resource running on
// two nodes at once.
func (c *cluster) neverTwice(name string) {
	c.Helper()
	runs := map[string]time.Time{}
	for _, r := range c.primitives(name) {
		switch {
		case r.primitive == "start" && r.moment == "begin":
			for other, since := range runs {
				if other != r.node {
					c.Errorf("%s starts on %s at %s while it runs on %s since %s", name, r.node,
						r.at.Format(time.StampMicro), other, since.Format(time.StampMicro))
				}
			}
			runs[r.node] = r.at
		case r.primitive == "stop" && r.moment == "end":
			delete(runs, r.node)
		}
	}
}

// lastRan is the newest line of a primitive on a node.
func (c *cluster) lastRan(name, node, primitive, moment string) (ran, bool) {
	c.Helper()
	all := c.primitives(name, node)
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].primitive == primitive && all[i].moment == moment {
			return all[i], true
		}
	}
	return ran{}, false
}

// begun counts how often a primitive has begun on a node.
func (c *cluster) begun(name, node, primitive string) int {
	c.Helper()
	n := 0
	for _, r := range c.primitives(name, node) {
		if r.primitive == primitive && r.moment == "begin" {
			n++
		}
	}
	return n
}

func TestResourcesNeverRunTwice(t *testing.T) {
	// lost_hold is long enough for a busy machine to see that others wait it out,
	// and to have the next life of a killed srrd back within it.
	c := up(t, threeNodes(services{"disk": "lost_hold: 12s\n"}))
	c.settled("disk")

	c.sub("it runs on one node, by an acknowledged claim", func(c *cluster) {
		holder := c.elected("disk")
		s, err := c.service(holder, "disk")
		c.must(err)
		for _, n := range c.nodes {
			c.awaitService(n, "disk", "has acknowledged the claim", func(o service) error {
				if got := o.offer(n); n != holder && !strings.Contains(o.offer(holder).Claim, strings.SplitN(s.Claim, "@", 2)[0]) {
					return fmt.Errorf("claim %q seen as %q", s.Claim, got.Claim)
				}
				return nil
			})
		}
		r, ok := c.lastRan("disk", holder, "start", "begin")
		if !ok || r.claim == "" || r.claim == "0" {
			c.Errorf("start was told the claim %q, want a fencing token", r.claim)
		}
		c.neverTwice("disk")
	})

	c.sub("a move stops it first and then starts it with a higher claim", func(c *cluster) {
		from := c.elected("disk")
		to := c.others(from)[0]
		c.moves("disk", to)
		c.does(from, "service disk unmove")
		before, _ := c.lastRan("disk", from, "start", "begin")
		after, _ := c.lastRan("disk", to, "start", "begin")
		var a, b uint64
		fmt.Sscan(before.claim, &a)
		fmt.Sscan(after.claim, &b)
		if b <= a {
			c.Errorf("claim %d on %s after %d on %s: a fencing token must rise", b, to, a, from)
		}
		c.neverTwice("disk")
	})

	c.sub("a holder cut off stops it by itself, and only then another starts it", func(c *cluster) {
		c.holderIs("disk", "n3")
		c.must(c.lab.Cut("n3", lab.Silent))
		c.awaitStatus("n1", "n3", "unreachable")
		c.awaitService("n1", "disk", "waits for n3", func(s service) error {
			if text := strings.Join(s.Waits, " ") + strings.Join(s.Notices, " ") + c.does("n1", "why disk"); !strings.Contains(text, "n3") {
				return fmt.Errorf("waits %v, notices %v", s.Waits, s.Notices)
			}
			return nil
		})
		c.await("the node that is cut off has stopped it", func() error {
			if r, ok := c.lastRan("disk", "n3", "stop", "end"); !ok || r.at.Before(mustRan(c.lastRan("disk", "n3", "start", "end")).at) {
				return fmt.Errorf("not stopped")
			}
			return nil
		})
		next := c.takenOver("disk", "n3", "n1", "n2")
		stopped, _ := c.lastRan("disk", "n3", "stop", "end")
		started, _ := c.lastRan("disk", next, "start", "begin")
		if !started.at.After(stopped.at) {
			c.Errorf("started on %s at %s, stopped on n3 only at %s", next, started.at, stopped.at)
		}
		if s, err := c.service("n3", "disk"); err != nil || s.Reason != "cut-off" && s.Reason != "not-in-sync" {
			c.Errorf("n3 gives the reason %q (%v), want cut-off", s.Reason, err)
		}
		c.must(c.lab.Heal("n3"))
		c.whole("disk")
		c.neverTwice("disk")
	})

	c.sub("an operator's word ends the wait for a lost holder", func(c *cluster) {
		c.holderIs("disk", "n1")
		c.kill("n1", "ospfd", "bfdd", "zebra") // and so srrd stops it
		c.awaitStatus("n2", "n1", "unreachable")
		c.await("the resource has stopped on n1", func() error {
			if on := c.alive("disk"); len(on) > 0 && on[0] == "n1" {
				return errNotYet
			}
			return nil
		})
		if out, err := c.srrsh("n2", "service disk confirm-stopped n1"); err == nil {
			if !strings.Contains(out, "n1 does not run it, as confirmed") {
				c.Errorf("confirm-stopped: %q", out)
			}
		} else if !strings.Contains(err.Error(), "nobody waits for") { // lost_hold is over
			c.Errorf("confirm-stopped: %v", err)
		}
		c.takenOver("disk", "n1", "n2", "n3")
		c.start("n1", "zebra", "bfdd", "ospfd")
		c.whole("disk")
		c.neverTwice("disk")
	})

	c.sub("a holder's srrd killed: the others wait lost_hold, its next life adopts or stops", func(c *cluster) {
		c.holderIs("disk", "n2")
		c.kill("n2", "srrd")
		c.awaitStatus("n1", "n2", "srrd gone")
		// srrd comes back before lost_hold is over: nobody took it.
		c.start("n2", "srrd")
		c.awaitHolder("disk", "n2")
		c.neverTwice("disk")
		c.whole("disk")
	})

	c.sub("a stop that fails leaves may-still-run, and blocks all until confirmed", func(c *cluster) {
		c.holderIs("disk", "n1")
		c.hook("n1", "disk", "stop", "echo 'device is busy'; exit 1\n")
		c.await("the move is taken", func() error {
			_, err := c.srrsh("n1", "service disk move n2")
			return err
		})
		busy := func(s service) error {
			o := s.offer("n1")
			if o.State != "failed" || o.Failure.Code != "stop" || !strings.Contains(o.Failure.Text, "device is busy") || !strings.Contains(o.Flags, "may-still-run") {
				return fmt.Errorf("n1 is %s, %+v, flags %q", o.State, o.Failure, o.Flags)
			}
			return nil
		}
		for _, n := range c.nodes {
			c.awaitService(n, "disk", "shows n1 failed, may-still-run, stop: device is busy", busy)
		}
		c.awaitProblem("n3", "may still run on n1")
		c.awaitService("n2", "disk", "waits for n1", func(s service) error {
			if s.State == "started" {
				return fmt.Errorf("it is started")
			}
			if !strings.Contains(strings.Join(s.Waits, " ")+c.does("n2", "why disk"), "n1") {
				return fmt.Errorf("waits for %v", s.Waits)
			}
			return nil
		})
		// The flag outlives srrd: it is in the file of its state. The next life asks
		// for the status, finds the disk running and tries the stop itself, once;
		// until that has failed too, taking the hook away would let it succeed.
		c.kill("n1", "srrd")
		tried := c.begun("disk", "n1", "stop")
		c.start("n1", "srrd")
		c.await("the next life has tried the stop", func() error {
			if n := c.begun("disk", "n1", "stop"); n == tried {
				return fmt.Errorf("it began %d times, as before", n)
			}
			return nil
		})
		c.awaitService("n1", "disk", "still has the flag, and has failed again", busy)
		if on := c.alive("disk"); len(on) != 1 || on[0] != "n1" {
			c.Errorf("alive on %v, want n1 alone", on)
		}
		c.unhook("n1", "disk", "stop")
		c.exec("n1", "sh", "-c", "rm -f "+c.lab.Vars("n1").RunDir+"/disk.alive; echo $(date +%s%N) n1 disk stop end peer= claim= failure= >>"+c.lab.Vars("n1").Dir+"/primitives.log")
		c.answers("n1", "service disk confirm-stopped n1", "it does not run here, as confirmed")
		c.elected("disk", "n2", "n3")
		c.neverTwice("disk")
	})
}

func mustRan(r ran, _ bool) ran { return r }
