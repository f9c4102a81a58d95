package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// Fault is one thing that goes wrong, and when it is mended.
type Fault struct {
	Kind   string        `json:"kind"`
	Target string        `json:"target"` // host, HOST:IFACE, service, or HOST/SERVICE
	Arg    string        `json:"arg,omitempty"`
	After  time.Duration `json:"after"` // since the round began
	For    time.Duration `json:"for"`   // until it is mended; 0: there is nothing to mend
}

func (f Fault) String() string {
	s := f.Kind + " " + f.Target
	if f.Arg != "" {
		s += " (" + f.Arg + ")"
	}
	return s
}

// Round is faults that overlap. The cluster is whole before it and must be
// whole after it.
type Round struct {
	Number int
	Faults []Fault
}

// end is when the last of its faults is mended.
func (r Round) end() time.Duration {
	var last time.Duration
	for _, f := range r.Faults {
		last = max(last, f.After+f.For)
	}
	return last
}

// Plan is the schedule of a seed: its rounds never end.
type Plan struct {
	seed  uint64
	world world
	kinds []kind
}

// NewPlan makes the schedule of a seed for a topology whose hosts run that FRR.
func NewPlan(t *lab.Topology, seed uint64, frr lab.Release) Plan {
	p := Plan{seed, worldOf(t), kinds}
	if frr.RunsMgmtd() {
		p.world.daemons = append([]string{"mgmtd"}, p.world.daemons...)
	}
	if frr.Suite != "" { // frr-reload.py is there for the machine's own FRR only, and speaks its language
		p.kinds = slices.DeleteFunc(slices.Clone(p.kinds), func(k kind) bool { return k.name == "frr-reload" })
	}
	return p
}

// Only is the schedule with faults of these kinds alone.
func (p Plan) Only(names []string) (Plan, error) {
	all := p.kinds
	p.kinds = slices.DeleteFunc(slices.Clone(all), func(k kind) bool { return !slices.Contains(names, k.name) })
	for _, n := range names {
		if !slices.ContainsFunc(p.kinds, func(k kind) bool { return k.name == n }) {
			var have []string
			for _, k := range all {
				have = append(have, k.name)
			}
			return p, fmt.Errorf("fault %q: there are %s", n, strings.Join(have, ", "))
		}
	}
	return p, nil
}

// Round returns the n-th round, from 1. Each depends on the seed and its number
// alone, so that one can be run by itself.
func (p Plan) Round(n int) Round {
	r := rand.New(rand.NewPCG(p.seed, uint64(n)))
	round := Round{Number: n}
	// Every third has one fault only: what a single one does can be judged
	// more strictly than what several do.
	want := 1
	if n%3 != 1 {
		want = 2 + r.IntN(3)
	}
	taken := map[string]bool{}
	for tries := 0; len(round.Faults) < want && tries < 100; tries++ {
		f := p.draw(p.kinds, r)
		things := p.touches(f)
		if slices.ContainsFunc(things, func(t string) bool { return taken[t] }) {
			continue // two faults of one thing would be mended by each other
		}
		for _, t := range things {
			taken[t] = true
		}
		f.After = time.Duration(r.Int64N(int64(roundSpread))).Truncate(10 * time.Millisecond)
		round.Faults = append(round.Faults, f)
	}
	if want == 1 {
		round.Faults[0].After = 0
	}
	slices.SortStableFunc(round.Faults, func(a, b Fault) int { return int(a.After - b.After) })
	return round
}

// kind is one way for things to go wrong.
type kind struct {
	name   string
	weight int
	draw   func(p Plan, r *rand.Rand) Fault
}

func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

// between draws a time, in steps of 10 ms.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return (least + time.Duration(r.Int64N(int64(most-least)+1))).Truncate(10 * time.Millisecond)
}

func (p Plan) node(r *rand.Rand) string   { return pick(r, p.world.nodes) }
func (p Plan) router(r *rand.Rand) string { return pick(r, p.world.routers) }

// unit is a service that can be moved, stopped and so on; a group by its member
// with the address.
func unit(r *rand.Rand) string { return pick(r, []string{"web", "shop", "ledger", "lun", "job"}) }

func anyService(r *rand.Rand) string { return pick(r, services).name }

// frrDaemons are what watchfrr watches on every host, mgmtd beside them where
// the release has one.
var frrDaemons = []string{"zebra", "bfdd", "ospfd"}

// watchdog is WatchdogSec= of deploy/systemd: so long after its last word, which
// it says twice in that time, systemd ends an srrd that hangs. lost_hold counts on
// that: what an srrd leaves running that hangs for longer, nobody stops.
const watchdog = 5 * time.Second

// kinds is the whole list, in the order the weights are drawn in.
var kinds = []kind{
	{"daemons", 22, func(p Plan, r *rand.Rand) Fault {
		all := slices.Clone(p.world.daemons)
		host := p.router(r)
		if r.IntN(4) > 0 {
			host, all = p.node(r), append(all, "srrd", "srrd") // srrd as often as two
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		n := 1
		if r.IntN(3) == 0 {
			n = 2 + r.IntN(2)
		}
		some := slices.Compact(slices.Sorted(slices.Values(all[:n])))
		f := Fault{Kind: "daemons", Target: host}
		switch how := r.IntN(5); how {
		case 0:
			f.Arg, f.For = "TERM", between(r, 500*time.Millisecond, 6*time.Second)
		case 1, 2:
			f.Arg, f.For = "KILL", between(r, 100*time.Millisecond, 6*time.Second)
		case 3:
			f.Arg, f.For = "STOP", pick(r, []time.Duration{time.Second, 3 * time.Second, 10 * time.Second})
		default: // never goes on: who watches it kills it, and starts another
			least, most := 6*time.Second, 12*time.Second
			if slices.Contains(some, "srrd") {
				least, most = watchdog/2, watchdog
			}
			f.Arg, f.For = "HANG", between(r, least, most)
		}
		f.Arg += " " + strings.Join(some, ",")
		return f
	}},
	{"cut", 12, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "cut", Target: pick(r, p.world.ports), Arg: pick(r, []string{"silent", "silent", "carrier"}),
			For: between(r, 200*time.Millisecond, 20*time.Second)}
	}},
	{"loss", 6, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "loss", Target: pick(r, p.world.ports), Arg: pick(r, []string{"in 100", "out 100", "in 30", "out 30", "both 10"}),
			For: between(r, time.Second, 15*time.Second)}
	}},
	{"delay", 3, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "delay", Target: pick(r, p.world.ports), Arg: pick(r, []string{"20ms 5ms", "60ms 40ms"}),
			For: between(r, time.Second, 12*time.Second)}
	}},
	{"partition", 5, func(p Plan, r *rand.Rand) Fault {
		// Which ports part the network is a matter of this topology.
		return Fault{Kind: "partition", Target: pick(r, []string{"r2:lan1,r3:lan1", "r1:r2,r1:r3", "r2:r1,r2:r3,r2:lan1", "r1:lan0", "n1:eth0,n2:eth0,n3:eth0",
			"r2:r1,r2:r3",                   // the backbone in two: both reach area 1, neither the other
			"r1:r2,r1:r3,r2:lan1,r3:lan1"}), // both areas apart, in three: a majority nowhere
			Arg: pick(r, []string{"silent", "carrier"}), For: between(r, 2*time.Second, 25*time.Second)}
	}},
	{"router death", 4, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "router death", Target: p.router(r), For: between(r, 3*time.Second, 15*time.Second)}
	}},
	{"reboot", 7, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "reboot", Target: p.node(r), For: between(r, 2*time.Second, 20*time.Second)}
	}},
	{"frr-reload", 4, func(p Plan, r *rand.Rand) Fault { return Fault{Kind: "frr-reload", Target: p.node(r)} }},
	{"write", 3, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "write", Target: p.node(r), Arg: pick(r, []string{"vtysh", "ospfd", "zebra"})}
	}},
	{"delete", 10, func(p Plan, r *rand.Rand) Fault {
		f := Fault{Kind: "delete", Target: p.node(r), Arg: pick(r, []string{"route", "alias", "redistribute table", "redistribute connected", "prefix-list", "route-map"})}
		if r.IntN(2) == 0 {
			f.Target = "holder"
		}
		return f
	}},
	{"clock", 4, func(p Plan, r *rand.Rand) Fault {
		// A year, as a battery that is empty does it, or what a wrong time zone does.
		return Fault{Kind: "clock", Target: p.node(r), Arg: pick(r, []string{"8760h", "-8760h", "8760h", "-8760h", "2h", "-2h"}),
			For: between(r, time.Second, 15*time.Second)}
	}},
	{"networkd", 4, func(p Plan, r *rand.Rand) Fault {
		// A restart of systemd-networkd takes away what it does not know; `ip address
		// flush` and back again what it does, too.
		f := Fault{Kind: "networkd", Target: p.node(r), Arg: "foreign"}
		if r.IntN(3) == 0 {
			f.Arg, f.For = "flush", between(r, 50*time.Millisecond, 3*time.Second)
		}
		return f
	}},
	{"lo down", 4, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "lo down", Target: p.node(r), For: between(r, 100*time.Millisecond, 8*time.Second)}
	}},
	{"move", 9, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "move", Target: unit(r), Arg: p.node(r), For: between(r, time.Second, 12*time.Second)}
	}},
	{"stop", 4, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "stop", Target: unit(r), Arg: p.node(r), For: between(r, time.Second, 8*time.Second)}
	}},
	{"disable", 4, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "disable", Target: p.node(r) + "/" + unit(r), For: between(r, time.Second, 10*time.Second)}
	}},
	{"freeze", 3, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "freeze", Target: unit(r), Arg: p.node(r), For: between(r, time.Second, 10*time.Second)}
	}},
	{"node", 6, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "node", Target: p.node(r), Arg: pick(r, []string{"standby", "drain", "maintenance"}), For: between(r, time.Second, 12*time.Second)}
	}},
	{"config", 5, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "config", Target: p.node(r) + "/" + unit(r), Arg: fmt.Sprintf("preference: %d", 90+r.IntN(30)), For: between(r, time.Second, 10*time.Second)}
	}},
	{"process", 8, func(p Plan, r *rand.Rand) Fault { return Fault{Kind: "process", Target: anyService(r)} }},
	{"primitive", 9, func(p Plan, r *rand.Rand) Fault {
		return Fault{Kind: "primitive", Target: p.node(r) + "/" + anyService(r),
			Arg: pick(r, []string{"start", "stop", "start", "stop", "check"}) + " " + pick(r, []string{"fails", "hangs", "recalls", "is slow"}),
			For: between(r, 2*time.Second, 12*time.Second)}
	}},
}

// draw takes one of some kinds by their weights.
func (p Plan) draw(kinds []kind, r *rand.Rand) Fault {
	sum := 0
	for _, k := range kinds {
		sum += k.weight
	}
	at := r.IntN(sum)
	for _, k := range kinds {
		if at -= k.weight; at < 0 {
			return k.draw(p, r)
		}
	}
	panic("the weights do not add up")
}

// touches lists what a fault has to itself in its round.
func (p Plan) touches(f Fault) (things []string) {
	whole := func(host string) {
		things = append(things, host+" srrd", host+" lo")
		for _, d := range p.world.daemons {
			things = append(things, host+" "+d)
		}
		for _, port := range p.world.ports {
			if hostOf(port) == host {
				things = append(things, port)
			}
		}
	}
	host, name, _ := strings.Cut(f.Target, "/")
	switch f.Kind {
	case "daemons":
		_, list, _ := strings.Cut(f.Arg, " ")
		for d := range strings.SplitSeq(list, ",") {
			things = append(things, f.Target+" "+d)
			if d == "zebra" { // watchfrr restarts all
				things = append(things, f.Target+" ospfd", f.Target+" bfdd")
			}
		}
	case "cut", "loss", "delay":
		things = []string{f.Target}
	case "partition":
		things = strings.Split(f.Target, ",")
	case "router death":
		whole(f.Target)
	case "reboot":
		whole(f.Target)
		for _, s := range services {
			things = append(things, f.Target+"/"+s.name)
		}
		things = append(things, "node "+f.Target)
	case "frr-reload", "write":
		for _, d := range p.world.daemons {
			things = append(things, f.Target+" "+d)
		}
	case "clock":
		things = []string{f.Target + " srrd"}
	case "networkd":
		things = []string{f.Target + ":eth0", f.Target + " lo"}
	case "lo down":
		things = []string{f.Target + " lo"}
	case "move", "stop", "freeze":
		things = []string{"service " + f.Target}
	case "disable", "config":
		things = []string{"file " + host + "/" + name}
	case "primitive":
		things = []string{f.Target}
	case "node":
		things = []string{"node " + f.Target}
	case "delete", "process":
	default:
		panic("touches: " + f.Kind)
	}
	return slices.Compact(slices.Sorted(slices.Values(things)))
}

// List prints the first rounds.
func (p Plan) List(rounds int) string {
	var b strings.Builder
	for n := 1; n <= rounds; n++ {
		round := p.Round(n)
		fmt.Fprintf(&b, "round %d\n", n)
		for _, f := range round.Faults {
			fmt.Fprintf(&b, "  %6.2f s", f.After.Seconds())
			if f.For > 0 {
				fmt.Fprintf(&b, " for %5.2f s  ", f.For.Seconds())
			} else {
				b.WriteString("              ")
			}
			fmt.Fprintln(&b, f)
		}
	}
	return b.String()
}
