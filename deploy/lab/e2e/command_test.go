package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// others are the nodes that are not this one.
func (c *cluster) others(node string) []string {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(n string) bool { return n == node })
}

func TestThreeNodesOnTwoSubnetsAreOneCluster(t *testing.T) {
	c := up(t, threeNodes(services{
		"web":   "addresses: 10.250.0.1\n",
		"prime": "addresses: 10.250.0.2\npreference: {{if eq .Host \"n1\"}}200{{else}}100{{end}}\n",
	}))
	c.settled("web", "prime")
	first := c.elected("web")

	c.sub("one node is elected and the client reaches the address there", func(c *cluster) {
		p := c.probe("10.250.0.1")
		defer p.Stop()
		c.awaitAnswer(p, first)
		if on := c.alive("web"); len(on) != 1 || on[0] != first {
			c.Errorf("web is alive on %v, want %s alone", on, first)
		}
		for _, n := range c.nodes {
			for _, peer := range c.nodes {
				if row, err := c.nodeRow(n, peer); err != nil || row.Status != "present" {
					c.Errorf("%s shows %s as %q (%v), want present", n, peer, row.Status, err)
				}
			}
		}
		c.awaitRoute("r0", "10.250.0.1", true)
	})

	c.sub("move takes it to a node and keeps it there until unmove", func(c *cluster) {
		to := c.others(first)[0]
		p := c.probe("10.250.0.1")
		defer p.Stop()
		c.answers(first, "service web move "+to, "moved to "+to)
		c.awaitHolder("web", to)
		c.awaitAnswer(p, to)
		for _, n := range c.nodes {
			if s, err := c.service(n, "web"); err != nil || s.Pin.Number == 0 {
				c.Errorf("%s shows the pin %d (%v), want the one given on %s", n, s.Pin.Number, err, first)
			}
		}
		c.answers(to, "service web unmove", "preferences decide again")
		c.refuses(to, "service web unmove", "it is not moved")
		c.awaitHolder("web", to) // symmetric: nothing calls it back
		c.refuses(to, "service web move nowhere", "nowhere")
	})

	c.sub("a move for a time ends by itself: a symmetric service stays, an asymmetric one fails back", func(c *cluster) {
		from := c.elected("web")
		to := c.others(from)[1]
		c.awaitHolder("prime", "n1")
		c.answers(from, "service web move "+to+" for 8s", "moved to "+to+" for 8s")
		c.answers("n2", "service prime move n3 for 8s", "moved to n3 for 8s")
		c.awaitHolder("web", to)
		c.awaitHolder("prime", "n3")
		for _, n := range c.nodes {
			c.awaitService(n, "web", "has no pin", func(s service) error {
				for _, o := range s.Offers {
					if o.Host == to && o.Rank != 1 {
						return fmt.Errorf("%s is rank %d", to, o.Rank)
					}
				}
				if strings.Contains(c.does(n, "why web"), "moved") {
					return errors.New("still moved")
				}
				return nil
			})
		}
		c.awaitHolder("web", to)
		c.awaitHolder("prime", "n1")
	})

	c.sub("stop holds it everywhere until start, each asked on another node", func(c *cluster) {
		holder := c.elected("web")
		asked, back := c.others(holder)[0], c.others(holder)[1]
		c.answers(asked, "service web stop", "no node runs it until start")
		c.awaitHolder("web", "")
		for _, n := range c.nodes {
			c.awaitService(n, "web", "is active/stopped, by the operator", func(s service) error {
				if s.Config+"/"+s.State != "active/stopped" || s.Reason != "stopped-by-operator" || !s.Hold.On {
					return fmt.Errorf("%s/%s, reason %q, hold %v", s.Config, s.State, s.Reason, s.Hold.On)
				}
				return nil
			})
		}
		c.awaitProblem(back, "is stopped by an operator")
		c.awaitRoute("r0", "10.250.0.1", false)
		c.answers(back, "service web stop", "it is stopped already")
		c.answers(back, "service web start", "it may run again")
		c.elected("web")
	})

	c.sub("standby moves all away, online takes back what prefers the node", func(c *cluster) {
		c.awaitHolder("prime", "n1")
		c.answers("n1", "node standby", "the node is standby")
		c.answers("n1", "node standby", "already")
		for _, name := range []string{"prime", "web"} {
			if h := c.elected(name); h == "n1" {
				c.await(name+" has left n1", func() error {
					if h := c.elected(name); h == "n1" {
						return errors.New("still there")
					}
					return nil
				})
			}
		}
		s, err := c.service("n1", "prime")
		c.must(err)
		if s.Reason != "standby" {
			c.Errorf("n1 gives the reason %q, want standby", s.Reason)
		}
		for _, on := range []string{"n2", "n3"} {
			c.await(on+" shows n1 in standby", func() error {
				n, err := c.nodeRow(on, "n1")
				if err == nil && n.State != "standby" {
					err = fmt.Errorf("it is %s", n.State)
				}
				return err
			})
		}
		c.refuses("n2", "service web move n1", "standby")
		c.answers("n1", "node online", "the node is online")
		c.awaitHolder("prime", "n1")
	})

	c.sub("a symmetric service does not fail back", func(c *cluster) {
		holder := c.elected("web")
		c.answers(holder, "node standby", "standby")
		next := c.others(holder)
		c.await("web has moved", func() error {
			if h := c.elected("web"); !slices.Contains(next, h) {
				return fmt.Errorf("it is on %s", h)
			}
			return nil
		})
		now := c.elected("web")
		seq := c.lastEvent(now)
		c.answers(holder, "node online", "online")
		c.await("all show the node online and as a candidate", func() error {
			for _, n := range c.nodes {
				s, err := c.service(n, "web")
				if err != nil {
					return err
				}
				if o := s.offer(holder); o.Rank == 0 {
					return fmt.Errorf("on %s it is no candidate: %s", n, o.WhyNot)
				}
			}
			return nil
		})
		c.awaitHolder("web", now)
		all, err := c.events(now)
		c.must(err)
		for _, e := range all {
			if e.Seq > seq && e.Service == "web" {
				c.Errorf("%s: %q, want nothing to happen", now, e.Text)
			}
		}
	})

	c.sub("disable withdraws the offer of one node, enable gives it again", func(c *cluster) {
		holder := c.elected("web")
		open := c.gate(holder, "web", "deactivate")
		c.answers(holder, "service web disable", "disabled on this node")
		c.awaitState(holder, "web", "deactivated/stopped")
		open()
		c.awaitState(holder, "web", "disabled/stopped")
		// Its older LSAs must not keep the offer up for their 15 s.
		c.awaitFor(10*time.Second, "web runs elsewhere and the offer is gone", func() error {
			s, err := c.service(c.others(holder)[0], "web")
			if err != nil {
				return err
			}
			if s.Holder == "" || s.Holder == holder {
				return fmt.Errorf("holder %q", s.Holder)
			}
			if o := s.offer(holder); o.Counts {
				return fmt.Errorf("the offer of %s still counts", holder)
			}
			return nil
		})
		c.answers(holder, "service web enable", "enabled on this node")
		c.awaitState(holder, "web", "active/stopped")
		c.elected("web")
	})

	c.sub("check, status, reload and restart are answered on every node", func(c *cluster) {
		holder := c.elected("web")
		for _, n := range c.nodes {
			if n == holder {
				for _, verb := range []string{"check", "status", "reload", "restart"} {
					c.does(n, "service web "+verb)
					if !slices.ContainsFunc(c.primitives("web", n), func(r ran) bool { return r.primitive == verb && r.moment == "end" }) {
						c.Errorf("%s on %s: the primitive did not run", verb, n)
					}
				}
				continue
			}
			// A script asks by the exit status.
			c.refuses(n, "service web status", "is not alive")
			c.refuses(n, "service web check", "is not alive")
			c.refuses(n, "service web reload", "it is not started on this node")
			c.refuses(n, "service web restart", "it is not started on this node")
			c.refuses(n, "service web reactivate", "it has not failed on this node")
			c.refuses(n, "service web confirm-stopped n1", "nobody waits for")
		}
		c.awaitHolder("web", holder)
		c.refuses("n1", "service nothing start", "nothing")
	})
}
