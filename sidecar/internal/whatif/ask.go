package whatif

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// Questions lists what can be asked, a usage and its help each.
var Questions = [][2]string{
	{"node-down NODE", "a node loses its power"},
	{"node-standby NODE", "a node goes into standby"},
	{"service-fails SERVICE [NODE]", "a service fails where it runs"},
	{"srrd-down NODE", "srrd of a node is killed"},
	{"ospfd-down NODE", "ospfd of a node is killed"},
	{"partition NODES", "some nodes (n1,n2) and all others no longer reach each other"},
	{"config FILE", "the node of the dump has the configuration of FILE, an srrd.yaml"},
}

// Loader reads a configuration (config.Load); it is asked for config FILE.
type Loader func(path string) (machine.Config, error)

// Answer is what would happen.
type Answer struct {
	Question string    `json:"question"`
	Changes  []Outcome `json:"services"` // every service, by name
	Before   []string  `json:"before,omitempty"`
	Entries  []Entry   `json:"entries"`
	LSAs     int       `json:"lsas"`
	Bytes    int       `json:"bytes"`
	Assumed  []string  `json:"assumed"`
}

// Outcome is what becomes of one service.
type Outcome struct {
	Service string        `json:"service"`
	From    []string      `json:"from"`
	To      []string      `json:"to"`
	Outage  time.Duration `json:"outage"` // nobody ran it, nanoseconds; the longest of several times
	Ends    bool          `json:"ends"`   // it had ended at the end
	Why     []string      `json:"why,omitempty"`
}

// grain is every how many events the simulation looks at its context.
const grain = 256

// settling is how long a cluster taken up may take to come to rest.
const settling = 20 * time.Second

// Ask answers a question about a cluster.
func Ask(ctx context.Context, d *view.ClusterDocument, question []string, o Options, load Loader) (*Answer, error) {
	o = o.filled()
	c, err := takeUp(d, o)
	if err != nil {
		return nil, err
	}
	happen, err := c.question(question, load)
	if err != nil {
		return nil, err
	}
	stood := standing(d)
	if err := c.pass(ctx, settling); err != nil {
		return nil, err
	}
	for i := range c.hosts {
		if cfg, ok := c.later[i]; ok && c.present[i] {
			c.sim.Configure(i, cfg)
		}
	}
	if err := c.pass(ctx, time.Second); err != nil {
		return nil, err
	}
	a := &Answer{Question: strings.Join(question, " "), Assumed: append(c.assumed,
		"primitives take 1 to 20 ms and go well", settings(d), "there are routers between the nodes")}
	for _, s := range c.services {
		if now := c.runs(s); !slices.Equal(now, stood[s]) {
			a.Before = append(a.Before, fmt.Sprintf("%s is on its way already, from %s to %s", s, places(stood[s]), places(now)))
		}
	}
	before := map[string][]string{}
	for _, s := range c.services {
		before[s] = c.runs(s)
	}
	c.begin()
	happen()
	if err := c.pass(ctx, o.For); err != nil {
		return nil, err
	}
	for _, s := range c.services {
		o := c.outcome(s, before[s])
		if question[0] == "service-fails" && question[1] == s && o.Outage == 0 && slices.Equal(o.From, o.To) {
			for _, host := range o.To {
				if i, err := c.node(host); err == nil && (len(question) < 3 || question[2] == host) {
					o.Why = append(o.Why, "it has failed on "+host+", and nothing is done about it: "+c.sim.Service(i, s).Why)
				}
			}
		}
		a.Changes = append(a.Changes, o)
	}
	a.Entries, a.LSAs, a.Bytes = c.entries, c.lsas, c.bytes
	return a, nil
}

// settings says where timeouts and holds are from.
func settings(d *view.ClusterDocument) string {
	var foreign []string
	for _, s := range d.Services {
		if s.Settings == nil {
			foreign = append(foreign, s.Name)
		}
	}
	switch {
	case d.Timing == nil || len(foreign) == len(d.Services) && len(foreign) > 0:
		return "timeouts and holds are the defaults"
	case len(foreign) > 0:
		return fmt.Sprintf("timeouts and holds are on every node those of %s, and the defaults for %s, which it does not offer", d.Host, strings.Join(foreign, ", "))
	}
	return "timeouts and holds are on every node those of " + d.Host
}

// standing is where each service runs in the document.
func standing(d *view.ClusterDocument) map[string][]string {
	on := map[string][]string{}
	nodes := slices.Clone(d.Nodes)
	slices.SortFunc(nodes, func(a, b view.ClusterNode) int { return int(int64(a.Router) - int64(b.Router)) })
	for _, s := range d.Services {
		for _, n := range nodes {
			for _, f := range s.Offers {
				if f.Router == n.Router && n.Present && f.State == "started" {
					on[s.Name] = append(on[s.Name], n.Host)
				}
			}
		}
	}
	return on
}

// pass lets the time pass, unless ctx ends before.
func (c *cluster) pass(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	events := 0
	ended := func() bool {
		events++
		return events%grain == 1 && ctx.Err() != nil
	}
	if c.sim.RunUntil(d, ended) {
		return fmt.Errorf("given up at %s of virtual time: %w", c.sim.Now(), ctx.Err())
	}
	return nil
}

// question makes what is asked happen, later.
func (c *cluster) question(q []string, load Loader) (func(), error) {
	usage := func() (func(), error) {
		var all []string
		for _, u := range Questions {
			all = append(all, u[0])
		}
		return nil, fmt.Errorf("%q is no question; ask %s", strings.Join(q, " "), strings.Join(all, ", "))
	}
	if len(q) < 2 || len(q) > 3 || len(q) == 3 && q[0] != "service-fails" {
		return usage()
	}
	switch q[0] {
	case "node-down", "node-standby", "srrd-down", "ospfd-down":
		i, err := c.node(q[1])
		if err != nil {
			return nil, err
		}
		if !c.present[i] {
			return nil, fmt.Errorf("%s is not present: it is down already", q[1])
		}
		return func() { c.nodeEvent(q[0], i) }, nil
	case "service-fails":
		return c.serviceFails(q[1:])
	case "partition":
		part, err := c.part(q[1])
		if err != nil {
			return nil, err
		}
		return func() { c.sim.Partition(part...) }, nil
	case "config":
		if c.self < 0 {
			return nil, fmt.Errorf("the node of the dump is not in it: nobody would read %s", q[1])
		}
		cfg, err := load(q[1])
		if err != nil {
			return nil, err
		}
		return func() { c.sim.Configure(c.self, cfg) }, nil
	}
	return usage()
}

func (c *cluster) nodeEvent(what string, i int) {
	switch what {
	case "node-down":
		c.sim.PowerOff(i)
		c.gone(i)
	case "node-standby":
		c.sim.Command(i, machine.Command{Verb: machine.VerbStandby, Who: "the question"})
	case "srrd-down":
		c.sim.CrashSrrd(i)
		c.gone(i)
	case "ospfd-down":
		c.sim.KillOSPFd(i)
		c.gone(i) // nobody gets there any more
	}
}

func (c *cluster) serviceFails(q []string) (func(), error) {
	name := q[0]
	if _, known := c.on[name]; !known {
		return nil, fmt.Errorf("there is no service %q; there are %s", name, strings.Join(c.services, ", "))
	}
	at := -1
	if len(q) == 2 {
		i, err := c.node(q[1])
		if err != nil {
			return nil, err
		}
		at = i
	}
	return func() {
		for i := range c.hosts {
			if (at < 0 || at == i) && c.on[name][i] {
				c.sim.Break(i, name)
			}
		}
	}, nil
}

func (c *cluster) part(list string) ([]int, error) {
	var part []int
	for _, name := range strings.Split(list, ",") {
		i, err := c.node(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		part = append(part, i)
	}
	if len(part) == len(c.hosts) {
		return nil, fmt.Errorf("a partition leaves a node on the other side")
	}
	return part, nil
}

// outcome is what became of a service.
func (c *cluster) outcome(s string, from []string) Outcome {
	o := Outcome{Service: s, From: from, To: c.runs(s), Outage: c.outage[s]}
	since, out := c.outSince[s]
	if out {
		o.Outage = max(o.Outage, c.sim.Now()-since)
	}
	o.Ends = !out
	switch {
	case len(o.To) == 0:
		o.Why = c.explain(s)
	case !slices.Equal(from, o.To):
		o.Why = c.reasons(s, len(o.To) > 1)
	}
	return o
}

// reasons say why a service is where it is now.
func (c *cluster) reasons(s string, twice bool) (why []string) {
	add := func(text string) {
		if text != "" && !slices.Contains(why, text) {
			why = append(why, text)
		}
	}
	of, group := c.why[s], c.groups[s]
	if group != "" && of == (machine.Reason{Code: machine.BecauseHolder}).String() {
		of = "with its group " + group
	}
	add(of)
	for _, e := range c.entries {
		who, waited := strings.CutSuffix(e.Text, " is no longer waited for")
		if waited && (e.Service == s || group != "" && c.groups[e.Service] == group) {
			add("a strict service waits for lost_hold: " + who + " ran it when last heard, and may not have stopped it before")
		}
	}
	if twice {
		for i := range c.hosts {
			if slices.Contains(c.sim.Service(i, s).Notices, "not protected against partition") {
				add("not protected against partition: that takes fence or members")
			}
		}
	}
	return why
}

// explain says of each node why a service does not run there, as one that is
// up sees it; each side of a partition sees for itself.
func (c *cluster) explain(s string) []string {
	var all []string
	say := func(host, why string) {
		if line := host + ": " + why; why != "" && !slices.Contains(all, line) {
			all = append(all, line)
		}
	}
	for i, host := range c.hosts {
		v := c.sim.Service(i, s)
		if !c.sim.Up(i) {
			say(host, "it is down")
			continue
		}
		if !v.Local {
			continue
		}
		switch failed := c.failed[i][s]; {
		case failed != "":
			say(host, "it failed there: "+failed)
		case len(v.Waits) > 0 && v.Want == "run":
			say(host, "it waits for "+strings.Join(v.Waits, ", "))
		default:
			say(host, v.Why)
		}
	}
	return all
}

func places(on []string) string {
	switch len(on) {
	case 0:
		return "nowhere"
	case 1:
		return on[0]
	}
	return strings.Join(on[:len(on)-1], ", ") + " and " + on[len(on)-1]
}
