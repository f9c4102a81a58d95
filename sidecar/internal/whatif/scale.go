package whatif

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/sim"
)

// Size is that of a cluster whose cost is measured. Its nodes stand behind the
// routers of Sites sites in equal parts, and each of its services, which have an
// address each, is offered by Offers nodes of as many sites.
type Size struct {
	Nodes    int `json:"nodes"`
	Services int `json:"services"`
	Offers   int `json:"offers"`
	Sites    int `json:"sites"`
}

// maxOffers bounds what all nodes together know of, offers times nodes: at some
// 3 kB each, 20 GB of memory.
const maxOffers = 6_500_000

// Check reports what is wrong with the size.
func (z Size) Check() error {
	switch {
	case z.Nodes < 2 || z.Nodes > 10_000 || z.Services < 1 || z.Services > 10_000:
		return fmt.Errorf("%d nodes and %d services: a cluster has 2 to 10,000 nodes and 1 to 10,000 services", z.Nodes, z.Services)
	case z.Sites < 2 || z.Sites > z.Nodes:
		return fmt.Errorf("%d sites: there must be two, one of which fails, and no more than the %d nodes", z.Sites, z.Nodes)
	case z.Offers < 2 || z.Offers > z.Nodes:
		return fmt.Errorf("%d offers a service: there must be two, and no more than the %d nodes", z.Offers, z.Nodes)
	case z.Services*z.Offers*z.Nodes > maxOffers:
		return fmt.Errorf("%d services, %d offers of each, told to %d nodes: %d offers in all memories are too many, at most %d",
			z.Services, z.Offers, z.Nodes, z.Services*z.Offers*z.Nodes, maxOffers)
	}
	return nil
}

// Flood is what was said in some time.
type Flood struct {
	Events    int `json:"events"` // taken by all machines
	LSAs      int `json:"lsas"`   // of type 222 and /32s, originated and flushed
	Bytes     int `json:"bytes"`
	Sent      int `json:"sent"` // over all links
	SentBytes int `json:"sent_bytes"`
}

// Cost is what a size costs.
type Cost struct {
	Size
	Boot     Flood         `json:"boot"` // all nodes at once, till nothing happens any more
	Rest     Flood         `json:"rest"` // a minute of it
	Fail     Flood         `json:"fail"` // a site loses its power, till nothing happens any more
	Moved    int           `json:"moved"`
	First    time.Duration `json:"first_ns"`        // till the first of these is announced again
	Last     time.Duration `json:"last_ns"`         // and the last
	Database int           `json:"database"`        // LSAs each node holds
	DBBytes  int           `json:"database_bytes"`  // theirs
	Memory   int           `json:"memory_per_node"` // bytes, of a node's machine and its database
	Real     time.Duration `json:"real_ns"`         // of the simulation
	Lost     []string      `json:"lost,omitempty"`  // services that did not run once in the end
	Note     string        `json:"note,omitempty"`  // why it was not measured
}

// at is the node that offers the service as the k-th: each in another site, and
// each of a site's in its turn.
func (z Size) at(service, k int) int {
	site := (service + k) % z.Sites
	first := (site*z.Nodes + z.Sites - 1) / z.Sites
	next := ((site+1)*z.Nodes + z.Sites - 1) / z.Sites
	return first + (service/z.Sites+k/z.Sites)%(next-first)
}

// configs are those of all nodes. The first offerer of a service is preferred,
// so that every site has its part of them.
func (z Size) configs() []machine.Config {
	all := make([]machine.Config, z.Nodes)
	for i := range all {
		all[i] = daemonConfig("n" + strconv.Itoa(i+1))
	}
	for v := range z.Services {
		for k := range z.Offers {
			s := plainService(fmt.Sprintf("s%05d", v+1))
			s.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, byte(99 + v/62500), byte(v / 250 % 250), byte(v%250 + 1)})}
			if k == 0 {
				s.Preference = 200
			}
			if i := z.at(v, k); !slices.ContainsFunc(all[i].Services, func(o machine.Service) bool { return o.Name == s.Name }) {
				all[i].Services = append(all[i].Services, s)
			}
		}
	}
	for i := range all {
		slices.SortFunc(all[i].Services, func(a, b machine.Service) int { return strings.Compare(a.Name, b.Name) })
	}
	return all
}

// Scale measures what a size costs: it boots such a cluster, leaves it alone for
// a minute, and has its first site lose its power.
func Scale(ctx context.Context, z Size, o Options) (Cost, error) {
	if err := z.Check(); err != nil {
		return Cost{Size: z}, err
	}
	began := time.Now()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := Cost{Size: z}
	var failed time.Duration
	back := map[string]bool{} // services of the failed site, and whether they are announced again
	var cl cluster
	opt := sim.Options{Seed: o.Seed, Nodes: z.configs(), Sites: z.Sites, Dead: o.Dead, Detect: o.Detect, Unchecked: true,
		Observe: func(_ int, does []machine.Action) {
			for _, a := range does {
				a, ok := a.(machine.Announce)
				if !ok || !a.On {
					continue
				}
				if done, of := back[a.Service]; of && !done {
					back[a.Service] = true
					c.Last = cl.sim.Now() - failed
					if c.First == 0 {
						c.First = c.Last
					}
				}
			}
		}}
	cl = cluster{watcher: &watcher{sim: sim.New(opt)}}
	s := cl.sim
	for i := range z.Nodes {
		s.Boot(i)
	}
	flood := func(d time.Duration) (Flood, error) {
		t, steps := s.Traffic(), s.Steps()
		err := cl.pass(ctx, d)
		n := s.Traffic()
		return Flood{s.Steps() - steps, n.LSAs - t.LSAs, n.Bytes - t.Bytes, n.Sent - t.Sent, n.SentBytes - t.SentBytes}, err
	}
	var err error
	if c.Boot, err = flood(time.Minute); err != nil {
		return c, err
	}
	if c.Rest, err = flood(time.Minute); err != nil {
		return c, err
	}
	c.Database, c.DBBytes = s.Database(z.Nodes - 1)
	runtime.GC()
	runtime.ReadMemStats(&after)
	c.Memory = int(after.HeapAlloc-min(before.HeapAlloc, after.HeapAlloc)) / z.Nodes
	dead := s.Site(0)
	for v := range z.Services {
		if slices.Contains(dead, z.at(v, 0)) {
			back[fmt.Sprintf("s%05d", v+1)] = false
		}
	}
	c.Moved = len(back)
	failed = s.Now()
	s.SiteDown(0)
	if c.Fail, err = flood(time.Minute); err != nil {
		return c, err
	}
	for v := range z.Services {
		name := fmt.Sprintf("s%05d", v+1)
		if on := s.Runs(name); len(on) != 1 {
			c.Lost = append(c.Lost, fmt.Sprintf("%s runs on %d nodes", name, len(on)))
		}
	}
	c.Real = time.Since(began)
	return c, nil
}

// CostsText writes what sizes cost as a table, and how it grows.
func CostsText(w io.Writer, all []Cost) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "nodes\tservices\toffers\tsites\tboot LSAs\tbytes\ton links\tdatabase\tbytes\tmoved\tfirst\tlast\tLSAs\tbytes\ton links\tbytes\tevents\tmemory\treal\t")
	for _, c := range all {
		if c.Note != "" {
			fmt.Fprintf(t, "%d\t%d\t%d\t%d\t%s\t\n", c.Nodes, c.Services, c.Offers, c.Sites, c.Note)
			continue
		}
		fmt.Fprintf(t, "%d\t%d\t%d\t%d\t%d\t%s\t%s\t%d\t%s\t%d\t%d ms\t%d ms\t%d\t%s\t%d\t%s\t%d\t%s\t%s\t\n", c.Nodes, c.Services, c.Offers, c.Sites,
			c.Boot.LSAs, size(c.Boot.Bytes), size(c.Boot.SentBytes), c.Database, size(c.DBBytes), c.Moved, c.First.Milliseconds(), c.Last.Milliseconds(),
			c.Fail.LSAs, size(c.Fail.Bytes), c.Fail.Sent, size(c.Fail.SentBytes), c.Boot.Events+c.Rest.Events+c.Fail.Events, size(c.Memory), c.Real.Round(100*time.Millisecond))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nboot, database: of all nodes at once, and what each then holds. moved to on links: a site's end; first and last:\nuntil the first and the last of its services is announced elsewhere. memory: of the simulation, per node.")
	for _, g := range growths(all) {
		fmt.Fprintln(w, g)
	}
	for _, c := range all {
		if c.Rest.LSAs > 0 {
			fmt.Fprintf(w, "at rest %d nodes with %d services flooded %d LSAs in a minute\n", c.Nodes, c.Services, c.Rest.LSAs)
		}
		for _, l := range c.Lost {
			fmt.Fprintf(w, "WRONG: %d nodes with %d services: %s\n", c.Nodes, c.Services, l)
		}
	}
	return nil
}

// growths say how the cost of a site's end grows: the exponent between the
// smallest and the largest size that differ in one number only.
func growths(all []Cost) (said []string) {
	grow := func(what string, of func(Cost) int, alike func(a, b Cost) bool) {
		for i, a := range all {
			for _, b := range slices.Backward(all[i+1:]) {
				if !alike(a, b) || of(b) <= of(a) || a.Note+b.Note != "" || a.Fail.LSAs == 0 {
					continue
				}
				exp := func(x, y int) float64 {
					return math.Log(float64(y)/float64(x)) / math.Log(float64(of(b))/float64(of(a)))
				}
				said = append(said, fmt.Sprintf("a site's end, %d to %d %s: LSAs grow with %s^%.2f, bytes on links with %s^%.2f", of(a), of(b), what,
					what, exp(a.Fail.LSAs, b.Fail.LSAs), what, exp(a.Fail.SentBytes, b.Fail.SentBytes)))
				return
			}
		}
	}
	grow("nodes", func(c Cost) int { return c.Nodes }, func(a, b Cost) bool { return a.Services == b.Services && a.Offers == b.Offers && a.Sites == b.Sites })
	grow("services", func(c Cost) int { return c.Services }, func(a, b Cost) bool { return a.Nodes == b.Nodes && a.Offers == b.Offers && a.Sites == b.Sites })
	return said
}

// size is bytes for people.
func size(n int) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%d MB", n/1_000_000)
	case n >= 10_000:
		return fmt.Sprintf("%d kB", n/1_000)
	}
	return fmt.Sprintf("%d B", n)
}

// CostsJSON writes them for a program.
func CostsJSON(w io.Writer, all []Cost) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(all)
}

// CostsCSV writes them for a sheet.
func CostsCSV(w io.Writer, all []Cost) error {
	c := csv.NewWriter(w)
	rows := [][]string{{"nodes", "services", "offers", "sites", "boot_events", "boot_lsas", "boot_bytes", "boot_sent", "boot_sent_bytes", "rest_lsas", "database", "database_bytes",
		"moved", "first_ms", "last_ms", "fail_events", "fail_lsas", "fail_bytes", "fail_sent", "fail_sent_bytes", "memory_per_node", "real_s"}}
	for _, v := range all {
		if v.Note != "" {
			continue
		}
		row := []string{}
		for _, n := range []int{v.Nodes, v.Services, v.Offers, v.Sites, v.Boot.Events, v.Boot.LSAs, v.Boot.Bytes, v.Boot.Sent, v.Boot.SentBytes, v.Rest.LSAs, v.Database, v.DBBytes,
			v.Moved, int(v.First.Milliseconds()), int(v.Last.Milliseconds()), v.Fail.Events, v.Fail.LSAs, v.Fail.Bytes, v.Fail.Sent, v.Fail.SentBytes, v.Memory} {
			row = append(row, strconv.Itoa(n))
		}
		rows = append(rows, append(row, strconv.FormatFloat(v.Real.Seconds(), 'f', 1, 64)))
	}
	return c.WriteAll(rows)
}
