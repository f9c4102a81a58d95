package whatif

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/sim"
)

// Fault is something that happens to a made-up cluster.
type Fault struct {
	At   time.Duration
	Kind string
	Args []string
}

// Faults lists the kinds, with what follows them.
var Faults = [][2]string{
	{"node-down:NODE", "it loses its power"},
	{"node-up:NODE", "it boots, or starts what of it was killed"},
	{"srrd-down:NODE", "srrd is killed"},
	{"ospfd-down:NODE", "ospfd is killed"},
	{"standby:NODE", "it goes into standby"},
	{"online:NODE", "it may run services again"},
	{"service-fails:SERVICE[:NODE]", "it fails where it runs"},
	{"move:SERVICE:NODE", "an operator moves it"},
	{"partition:NODES", "these nodes (n1,n2) and all others part"},
	{"heal", "every link is mended"},
}

// ParseFault reads KIND[:ARGUMENT...]@TIME, such as node-down:n1@30s.
func ParseFault(text string) (Fault, error) {
	what, when, timed := strings.Cut(text, "@")
	words := strings.Split(what, ":")
	f := Fault{Kind: words[0], Args: words[1:]}
	i := slices.IndexFunc(Faults, func(k [2]string) bool { return strings.Split(k[0], ":")[0] == f.Kind })
	if i < 0 {
		var all []string
		for _, k := range Faults {
			all = append(all, k[0])
		}
		return f, fmt.Errorf("fault %q: the kinds are %s", text, strings.Join(all, ", "))
	}
	most := strings.Count(Faults[i][0], ":")
	least := most - strings.Count(Faults[i][0], "[")
	if len(f.Args) < least || len(f.Args) > most || slices.Contains(f.Args, "") {
		return f, fmt.Errorf("fault %q: it is written %s@TIME", text, Faults[i][0])
	}
	if !timed {
		return f, fmt.Errorf("fault %q: when? Add @TIME, such as @30s", text)
	}
	at, err := time.ParseDuration(when)
	if err != nil || at < 0 {
		return f, fmt.Errorf("fault %q: %q is no time such as 30s or 2m", text, when)
	}
	f.At = at
	return f, nil
}

// MaxServices is how many services a made-up cluster can have.
const MaxServices = 1000

// maxChecked is up to which nodes x nodes x services the invariants are
// examined after every event.
const maxChecked = 10_000

// Plan is a made-up cluster and what happens to it. Its nodes are n1 to nN, its
// services s1 to sM; every fourth is a resource, every third of the others has
// unequal preferences.
type Plan struct {
	Options
	Nodes, Services int
	Faults          []Fault
	Quiet           bool // not what the nodes say
}

// Run simulates it and writes what happened. It reports whether no invariant
// was broken and every service that can run runs once.
func Run(ctx context.Context, p Plan, out io.Writer) (ok bool, err error) {
	if p.Nodes < 1 || p.Nodes > MaxNodes || p.Services < 1 || p.Services > MaxServices {
		return false, fmt.Errorf("a cluster has 1 to %d nodes and 1 to %d services", MaxNodes, MaxServices)
	}
	p.Options = p.filled()
	opt := sim.Options{Seed: p.Seed, Routers: true, Dead: p.Dead, Detect: p.Detect, Unchecked: p.Nodes*p.Nodes*p.Services > maxChecked}
	for i := range p.Nodes {
		opt.Nodes = append(opt.Nodes, madeUp(i, p.Services))
	}
	c := &cluster{watcher: watch(opt)}
	var script []func()
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	for _, f := range p.Faults {
		do, err := c.fault(f)
		if err != nil {
			return false, err
		}
		script = append(script, do)
	}
	for i := range p.Nodes {
		c.sim.Boot(i)
	}
	shown := 0
	tell := func() {
		if !p.Quiet {
			Entries(out, c.entries[shown:])
		}
		shown = len(c.entries)
	}
	for i, f := range p.Faults {
		if err := c.pass(ctx, f.At-c.sim.Now()); err != nil {
			return false, err
		}
		tell()
		if i == 0 { // that nobody ran it before it was first started is no outage
			c.forgetOutages()
		}
		fmt.Fprintf(out, "%10.3f  --- %s\n", c.sim.Now().Seconds(), strings.TrimSpace(f.Kind+" "+strings.Join(f.Args, " ")))
		script[i]()
	}
	if err := c.pass(ctx, p.For-c.sim.Now()); err != nil {
		return false, err
	}
	tell()
	if len(p.Faults) == 0 {
		c.forgetOutages()
	}
	return c.summary(out, !opt.Unchecked), nil
}

func madeUp(node, services int) machine.Config {
	c := daemonConfig("n" + strconv.Itoa(node+1))
	for k := range services {
		s := plainService("s" + strconv.Itoa(k+1))
		s.Interval = 10 * time.Second
		switch {
		case k%4 == 3: // a resource
		case k%3 == 2:
			s.Preference = uint8(100 + (node+k)%100)
			fallthrough
		default:
			s.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 99, byte(k / 250), byte(k%250 + 1)})}
		}
		c.Services = append(c.Services, s)
	}
	slices.SortFunc(c.Services, func(a, b machine.Service) int { return strings.Compare(a.Name, b.Name) })
	return c
}

func (c *cluster) fault(f Fault) (func(), error) {
	switch f.Kind {
	case "heal":
		return c.sim.HealAll, nil
	case "partition":
		part, err := c.part(f.Args[0])
		return func() { c.sim.Partition(part...) }, err
	case "service-fails":
		return c.serviceFails(f.Args)
	case "move":
		if _, known := c.on[f.Args[0]]; !known {
			return nil, fmt.Errorf("there is no service %q", f.Args[0])
		}
		i, err := c.node(f.Args[1])
		return func() {
			c.sim.Command(i, machine.Command{Verb: machine.VerbMove, Service: f.Args[0], Node: f.Args[1], Who: "the plan"})
		}, err
	}
	i, err := c.node(f.Args[0])
	if err != nil {
		return nil, err
	}
	switch f.Kind {
	case "node-up":
		return func() {
			c.sim.Boot(i)
			c.sim.StartOSPFd(i)
			c.sim.StartSrrd(i)
		}, nil
	case "online":
		return func() { c.sim.Command(i, machine.Command{Verb: machine.VerbOnline, Who: "the plan"}) }, nil
	case "standby":
		return func() { c.nodeEvent("node-standby", i) }, nil
	}
	return func() { c.nodeEvent(f.Kind, i) }, nil
}

// summary tells where everything is at the end.
func (c *cluster) summary(out io.Writer, checked bool) bool {
	fmt.Fprintln(out)
	for _, s := range c.services {
		o := c.outcome(s, nil)
		outage := ""
		if o.Outage > 0 {
			outage = ", at the longest nobody ran it for " + round(o.Outage).String()
		}
		turn := uint32(0)
		for i := range c.hosts {
			for _, f := range c.sim.Service(i, s).Offers {
				turn = max(turn, f.Claim.Counter(), f.Seen.Counter())
			}
		}
		fmt.Fprintf(out, "%-8s runs on %s, claimed %d times%s\n", s, places(o.To), turn, outage)
		if len(o.To) == 0 {
			for _, y := range o.Why {
				fmt.Fprintf(out, "%-8s - %s\n", "", y)
			}
		}
	}
	fmt.Fprintf(out, "\n%d events in %s of virtual time; %d LSAs with %d bytes of body flooded (an LSA has %d bytes more)\n",
		c.sim.Steps(), c.sim.Now(), c.lsas, c.bytes, lsaHeader)
	wrong := append(c.sim.Violations(), c.sim.Settled()...)
	for _, v := range wrong {
		fmt.Fprintf(out, "WRONG: %s\n", v)
	}
	switch {
	case len(wrong) > 0:
	case checked:
		fmt.Fprintln(out, "no invariant was broken")
	default:
		fmt.Fprintln(out, "at the end everything is as it should be; on the way it was not examined, for so large a cluster")
	}
	return len(wrong) == 0
}

// lsaHeader is the LSA header's size (RFC 2328 section A.4.1).
const lsaHeader = 20
