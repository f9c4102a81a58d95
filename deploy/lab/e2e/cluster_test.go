package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// patience is how long a condition may take on a busy machine. What must be
// fast is measured elsewhere; here only what happens is asserted.
const patience = 40 * time.Second

// cluster is a lab that is up, with the words of its tests.
type cluster struct {
	*testing.T
	lab   *lab.Lab
	nodes []string // hosts that run srrd
}

var labs atomic.Int32

// up brings a topology up; it goes down with the test.
func up(t *testing.T, topo *lab.Topology) *cluster {
	t.Helper()
	return upWith(t, topo, lab.Options{})
}

func upWith(t *testing.T, topo *lab.Topology, o lab.Options) *cluster {
	t.Helper()
	t.Parallel()
	if err := topo.Validate(); err != nil {
		t.Fatalf("topology: %v", err)
	}
	mix(topo)
	calm(topo)
	o.Name = fmt.Sprintf("e%d-%d", os.Getpid(), labs.Add(1))
	o.Binaries = cmp.Or(o.Binaries, programs)
	// On a LAN without BFD the routers wait 40 s for a designated router first.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	l, err := lab.Up(ctx, topo, o)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	c := &cluster{T: t, lab: l}
	for _, h := range topo.All() {
		if h.Srrd != nil {
			c.nodes = append(c.nodes, h.Name)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.dump()
		}
		if err := l.Down(); err != nil {
			t.Errorf("taking the lab down: %v", err)
		}
	})
	return c
}

// dump logs what the nodes have said, for whom a test has failed.
func (c *cluster) dump() {
	for _, n := range c.nodes {
		text, err := c.lab.Log(n, "srrd")
		if err != nil {
			text = err.Error()
		}
		if len(text) > 12000 {
			text = "...\n" + text[len(text)-12000:]
		}
		neighbours, err := c.lab.VTY(n, "ospfd", "show ip ospf neighbor")
		if err != nil {
			neighbours = err.Error()
		}
		said, err := c.lab.Log(n, "ospfd")
		if err != nil {
			said = err.Error()
		}
		c.Logf("srrd of %s:\n%s\nits ospfd has logged ... %s\nand says now: %s", n, text, said[max(0, len(said)-2000):], neighbours)
	}
	for _, h := range c.lab.Topology().All() {
		if all, err := c.lab.VTY(h.Name, "ospfd", "show ip ospf database"); err == nil { // a host need not run OSPF
			_, externals, _ := strings.Cut(all, "AS External Link States")
			externals, _, _ = strings.Cut(externals, "AS-external Opaque")
			c.Logf("what the ospfd of %s has of type 5: %s", h.Name, externals)
		}
	}
}

// sub runs a subtest in this cluster. What a failed one leaves is no ground
// for the next: the test ends with it.
func (c *cluster) sub(sentence string, f func(*cluster)) {
	c.Helper()
	if !c.Run(sentence, func(t *testing.T) {
		f(&cluster{T: t, lab: c.lab, nodes: c.nodes})
	}) {
		c.FailNow()
	}
}

func (c *cluster) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// await waits until check returns nil.
func (c *cluster) await(what string, check func() error) {
	c.Helper()
	c.awaitFor(patience, what, check)
}

func (c *cluster) awaitFor(d time.Duration, what string, check func() error) {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if err := c.lab.Wait(ctx, check); err != nil {
		c.Fatalf("waiting until %s: %v", what, err)
	}
}

// srrsh runs one command on a node; err holds what it said on standard error.
func (c *cluster) srrsh(node, command string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	argv := append([]string{programs.Srrsh, "--socket", c.lab.Vars(node).SrrdSocket, "-c", command}, args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) // a unix socket: any namespace will do
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("srrsh -c %q on %s: %w: %s%s", command, node, err, out.String(), errs.String())
	}
	return out.String(), nil
}

// does runs a command that must succeed and returns its answer.
func (c *cluster) does(node, command string) string {
	c.Helper()
	out, err := c.srrsh(node, command)
	c.must(err)
	return strings.TrimSpace(out)
}

// answers runs a command whose answer must contain want.
func (c *cluster) answers(node, command, want string) {
	c.Helper()
	if got := c.does(node, command); !strings.Contains(got, want) {
		c.Errorf("%q on %s: got %q, want it to contain %q", command, node, got, want)
	}
}

// refuses runs a command that must fail with these words.
func (c *cluster) refuses(node, command, want string) {
	c.Helper()
	out, err := c.srrsh(node, command)
	if err == nil {
		c.Errorf("%q on %s: got %q, want a refusal with %q", command, node, out, want)
	} else if !strings.Contains(err.Error(), want) {
		c.Errorf("%q on %s: got %v, want it to contain %q", command, node, err, want)
	}
}

func (c *cluster) show(node, what string, v any) error {
	out, err := c.srrsh(node, "show "+what, "-o", "json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		return fmt.Errorf("show %s on %s: %w in %.300q", what, node, err, out)
	}
	return nil
}

// service is a row of `show service`, as far as the tests look at it.
type service struct {
	Name    string   `json:"name"`
	Local   bool     `json:"local"`
	Flags   string   `json:"flags"`
	Config  string   `json:"config"`
	State   string   `json:"state"`
	Step    string   `json:"step"`
	Waits   []string `json:"waits"`
	Why     string   `json:"why"`
	Reason  string   `json:"reason"`
	Cause   string   `json:"cause"`
	Claim   string   `json:"claim"`
	LSA     string   `json:"lsa"`
	Holder  string   `json:"holder"`
	Notices []string `json:"notices"`
	Failure failure  `json:"failure"`
	Pin     struct {
		Number uint64 `json:"number"`
		Target string `json:"target"`
	} `json:"pin"`
	Hold struct {
		On bool `json:"on"`
	} `json:"hold"`
	Last struct {
		Primitive string `json:"primitive"`
		Outcome   string `json:"outcome"`
		Text      string `json:"text"`
	} `json:"last"`
	Offers []offer `json:"offers"`
}

type failure struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

type offer struct {
	Router    string    `json:"router_id"`
	Host      string    `json:"host"`
	Self      bool      `json:"self"`
	Counts    bool      `json:"counts"`
	Rank      int       `json:"rank"`
	WhyNot    string    `json:"why_not"`
	State     string    `json:"state"`
	Claim     string    `json:"claim"`
	Flags     string    `json:"flags"`
	Failure   failure   `json:"failure"`
	Digest    string    `json:"digest"`
	LastCheck time.Time `json:"last_check"`
}

func (s *service) offer(host string) offer {
	for _, o := range s.Offers {
		if o.Host == host {
			return o
		}
	}
	return offer{}
}

type problem struct {
	Level   string `json:"level"`
	Service string `json:"service"`
	Node    string `json:"node"`
	Text    string `json:"text"`
}

func (c *cluster) services(node string) ([]service, []problem, error) {
	var page struct {
		Services []service `json:"services"`
		Problems []problem `json:"problems"`
	}
	err := c.show(node, "service", &page)
	for _, s := range page.Services {
		if s.Local {
			saw(s.Config, s.State)
		}
	}
	return page.Services, page.Problems, err
}

func (c *cluster) service(node, name string) (service, error) {
	all, _, err := c.services(node)
	if err != nil {
		return service{}, err
	}
	for _, s := range all {
		if s.Name == name {
			return s, nil
		}
	}
	return service{}, fmt.Errorf("%s knows no service %s", node, name)
}

// awaitService waits until a service, as a node shows it, is as check wants.
func (c *cluster) awaitService(node, name, what string, check func(service) error) service {
	c.Helper()
	var s service
	c.await(fmt.Sprintf("%s on %s %s", name, node, what), func() error {
		var err error
		if s, err = c.service(node, name); err != nil {
			return err
		}
		return check(s)
	})
	return s
}

// awaitState waits for CONFIG/STATE of a service on a node.
func (c *cluster) awaitState(node, name, want string) service {
	c.Helper()
	return c.awaitService(node, name, "is "+want, func(s service) error {
		if got := s.Config + "/" + s.State; got != want {
			return fmt.Errorf("it is %s, %s (%s)", got, s.Why, s.Failure)
		}
		return nil
	})
}

// awaitHolder waits until every one of the nodes (all, if none is named) says
// that the service is started on holder alone, "" for nowhere.
func (c *cluster) awaitHolder(name, holder string, nodes ...string) {
	c.Helper()
	if len(nodes) == 0 {
		nodes = c.nodes
	}
	for _, n := range nodes {
		c.awaitService(n, name, "has the holder "+strconv.Quote(holder), func(s service) error {
			var runs []string
			for _, o := range s.Offers {
				if o.Counts && o.State == "started" {
					runs = append(runs, o.Host)
				}
			}
			if strings.Join(runs, " ") != holder || s.Holder != holder {
				return fmt.Errorf("it runs on %v (holder %q): here %s/%s %s, %s", runs, s.Holder, s.Config, s.State, s.Why, s.Failure)
			}
			return nil
		})
	}
}

// elected waits until all nodes agree who alone runs a service.
func (c *cluster) elected(name string, nodes ...string) string {
	c.Helper()
	if len(nodes) == 0 {
		nodes = c.nodes
	}
	var holder string
	c.await("all nodes name one holder of "+name, func() error {
		holder = ""
		for _, n := range nodes {
			s, err := c.service(n, name)
			if err != nil {
				return err
			}
			for _, o := range s.Offers {
				if o.Counts && o.State != "started" && o.State != "stopped" && o.State != "failed" {
					return fmt.Errorf("%s is %s on %s", name, o.State, o.Host)
				}
			}
			if s.Holder == "" || strings.Contains(s.Holder, ",") || holder != "" && holder != s.Holder {
				return fmt.Errorf("%s says %q (%s), another %q", n, s.Holder, s.Why, holder)
			}
			holder = s.Holder
		}
		return nil
	})
	return holder
}

// takenOver waits until the nodes agree on a holder other than the lost one.
func (c *cluster) takenOver(name, lost string, nodes ...string) string {
	c.Helper()
	var holder string
	c.await(name+" runs elsewhere than on "+lost, func() error {
		holder = c.elected(name, nodes...)
		if holder == lost {
			return errors.New("it does not yet")
		}
		return nil
	})
	return holder
}

// moves moves a service as soon as the target is a candidate.
func (c *cluster) moves(name, to string) {
	c.Helper()
	c.await("the move of "+name+" to "+to+" is taken", func() error {
		_, err := c.srrsh(to, "service "+name+" move "+to)
		return err
	})
	c.awaitHolder(name, to)
}

// joined waits until every node has told its services of all their peers: the
// last primitives that run of themselves once a cluster has come together.
func (c *cluster) joined(names ...string) {
	c.Helper()
	for _, name := range names {
		for _, n := range c.nodes {
			c.await(fmt.Sprintf("%s on %s was told of its peers", name, n), func() error {
				all := c.primitives(name, n)
				for _, peer := range c.others(n) {
					if !slices.ContainsFunc(all, func(r ran) bool { return r.primitive == "join" && r.peer == peer && r.moment == "end" }) {
						return fmt.Errorf("not of %s: %v", peer, order(all))
					}
				}
				return nil
			})
		}
	}
}

// settled waits until every node counts every other's offer of the services
// as a candidate.
func (c *cluster) settled(names ...string) {
	c.Helper()
	for _, n := range c.nodes {
		for _, name := range names {
			c.awaitService(n, name, "has every node as a candidate", func(s service) error {
				for _, peer := range c.nodes {
					if o := s.offer(peer); o.Rank == 0 {
						return fmt.Errorf("not %s: counts %v, %s", peer, o.Counts, o.WhyNot)
					}
				}
				return nil
			})
		}
	}
}

// nodeRow is a row of `show node`.
type nodeRow struct {
	Router      string `json:"router_id"`
	Host        string `json:"host"`
	Self        bool   `json:"self"`
	State       string `json:"state"`
	Status      string `json:"status"`
	Incarnation uint64 `json:"incarnation"`
	Generation  uint32 `json:"generation"`
}

func (c *cluster) nodeRow(on, host string) (nodeRow, error) {
	var page struct {
		Nodes []nodeRow `json:"nodes"`
	}
	if err := c.show(on, "node", &page); err != nil {
		return nodeRow{}, err
	}
	for _, n := range page.Nodes {
		if n.Host == host {
			return n, nil
		}
	}
	return nodeRow{}, fmt.Errorf("%s knows no node %s", on, host)
}

// awaitStatus waits until a node shows another with this status.
func (c *cluster) awaitStatus(on, host, want string) nodeRow {
	c.Helper()
	var n nodeRow
	c.await(fmt.Sprintf("%s is %s for %s", host, want, on), func() error {
		var err error
		if n, err = c.nodeRow(on, host); err != nil {
			return err
		}
		if n.Status != want {
			return fmt.Errorf("it is %s", n.Status)
		}
		return nil
	})
	return n
}

// lsaRow is a row of `show lsdb`.
type lsaRow struct {
	Type   string `json:"type"`
	Scope  string `json:"scope"`
	ID     string `json:"id"`
	Router string `json:"router_id"`
	Self   bool   `json:"self"`
	MaxAge bool   `json:"max_age"`
	Seq    string `json:"seq"`
	Gist   string `json:"gist"`
	Body   struct {
		Data string `json:"data"` // hex
	} `json:"body"`
}

// opaque lists the live type-222 LSAs of a router, as a node has them; of all
// routers with router "".
func (c *cluster) opaque(on, router string) ([]lsaRow, error) {
	var page struct {
		LSAs []lsaRow `json:"lsas"`
	}
	if err := c.show(on, "lsdb opaque detail", &page); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(page.LSAs, func(r lsaRow) bool {
		return !strings.HasPrefix(r.ID, "222.") || r.MaxAge || router != "" && r.Router != router
	}), nil
}

type event struct {
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	Level   string    `json:"level"`
	Service string    `json:"service"`
	Text    string    `json:"text"`
}

func (c *cluster) events(on string) ([]event, error) {
	var page struct {
		Events []event `json:"events"`
	}
	err := c.show(on, "events 2000", &page)
	return page.Events, err
}

// awaitEvent waits until a node's events hold a text.
func (c *cluster) awaitEvent(on, text string) event {
	c.Helper()
	return c.awaitEventAfter(on, 0, text)
}

// awaitEventAfter looks only at those after a number.
func (c *cluster) awaitEventAfter(on string, seq uint64, text string) event {
	c.Helper()
	var found event
	c.await(fmt.Sprintf("the events of %s hold %q", on, text), func() error {
		all, err := c.events(on)
		if err != nil {
			return err
		}
		for _, e := range all {
			if e.Seq > seq && strings.Contains(e.Text, text) {
				found = e
				return nil
			}
		}
		if len(all) == 0 {
			return errors.New("there are none")
		}
		return fmt.Errorf("the last of %d is %q", len(all), all[len(all)-1].Text)
	})
	return found
}

// lastEvent is the number of a node's newest event.
func (c *cluster) lastEvent(on string) uint64 {
	c.Helper()
	all, err := c.events(on)
	c.must(err)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].Seq
}

// awaitProblem waits until `show service` of a node lists a problem.
func (c *cluster) awaitProblem(on, text string) {
	c.Helper()
	c.await(fmt.Sprintf("%s shows the problem %q", on, text), func() error {
		_, problems, err := c.services(on)
		if err != nil {
			return err
		}
		for _, p := range problems {
			if strings.Contains(p.Text, text) {
				return nil
			}
		}
		return fmt.Errorf("it shows %v", problems)
	})
}

// start starts a daemon of a host again.
func (c *cluster) start(host string, daemons ...string) {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, d := range daemons {
		c.must(c.lab.Start(ctx, host, d))
	}
}

func (c *cluster) kill(host string, daemons ...string) {
	c.Helper()
	for _, d := range daemons {
		c.must(c.lab.Kill(host, d, syscall.SIGKILL))
	}
}

// powerOff kills all daemons of hosts at once, as those who look at the cluster
// see it: what one of them still sees of the others' end, or of its own, moves
// nothing.
func (c *cluster) powerOff(hosts ...string) {
	c.Helper()
	daemons := map[string][]string{}
	for _, h := range hosts {
		daemons[h] = c.daemonsOf(h)
	}
	for _, h := range hosts {
		if slices.Contains(daemons[h], "srrd") {
			c.must(c.lab.Freeze(h, "srrd"))
		}
	}
	for _, h := range hosts {
		c.kill(h, daemons[h]...)
	}
}

// hook has primitive.sh of a node run these lines.
func (c *cluster) hook(node, service, primitive, script string) {
	c.Helper()
	path := filepath.Join(c.lab.Vars(node).Dir, "hook", service+"."+primitive)
	tmp := path + ".new"
	c.must(os.WriteFile(tmp, []byte(script), 0o644))
	c.must(os.Rename(tmp, path))
}

func (c *cluster) unhook(node, service, primitive string) {
	c.Helper()
	err := os.Remove(filepath.Join(c.lab.Vars(node).Dir, "hook", service+"."+primitive))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		c.Fatal(err)
	}
}

// gate is a hook that waits until a file is there: a primitive held where a
// test wants it.
func (c *cluster) gate(node, service, primitive string) (open func()) {
	c.Helper()
	path := filepath.Join(c.lab.Vars(node).Dir, "hook", "open."+service+"."+primitive)
	_ = os.Remove(path)
	c.hook(node, service, primitive, fmt.Sprintf("until [ -e %s ]; do sleep 0.02; done\n", path))
	return func() {
		c.Helper()
		c.must(os.WriteFile(path, nil, 0o644))
		c.unhook(node, service, primitive)
	}
}

// ran is a line of primitives.log.
type ran struct {
	at                               time.Time
	node, service, primitive, moment string
	peer, claim, failure             string
}

// log merges the primitives.log of the nodes (all, if none is named) by time.
func (c *cluster) primitives(service string, nodes ...string) []ran {
	c.Helper()
	if len(nodes) == 0 {
		nodes = c.nodes
	}
	var all []ran
	for _, n := range nodes {
		text, err := os.ReadFile(filepath.Join(c.lab.Vars(n).Dir, "primitives.log"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			c.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 8)
			if len(f) != 8 {
				c.Fatalf("primitives.log of %s: %q", n, line)
			}
			ns, err := strconv.ParseInt(f[0], 10, 64)
			c.must(err)
			if f[2] != service {
				continue
			}
			all = append(all, ran{time.Unix(0, ns), f[1], f[2], f[3], f[4], strings.TrimPrefix(f[5], "peer="), strings.TrimPrefix(f[6], "claim="), strings.TrimPrefix(f[7], "failure=")})
		}
	}
	slices.SortStableFunc(all, func(a, b ran) int { return a.at.Compare(b.at) })
	return all
}

// order gives the primitives that have begun, in their order, without the
// periodic ones.
func order(all []ran) []string {
	var words []string
	for _, r := range all {
		if r.moment != "begin" || r.primitive == "check" || r.primitive == "status" {
			continue
		}
		w := r.primitive
		if r.peer != "" {
			w += " " + r.peer
		}
		words = append(words, w)
	}
	return words
}

// alive lists the nodes on which the service's process is.
func (c *cluster) alive(service string) []string {
	var on []string
	for _, n := range c.nodes {
		if _, err := os.Stat(filepath.Join(c.lab.Vars(n).RunDir, service+".alive")); err == nil {
			on = append(on, n)
		}
	}
	return on
}

// probe has the client send a datagram every 5 ms to an address.
func (c *cluster) probe(address string) *lab.Prober {
	c.Helper()
	p, err := c.lab.Probe("client", lab.ProbeConfig{Target: netip.AddrPortFrom(netip.MustParseAddr(address), 7777), Interval: 5 * time.Millisecond})
	c.must(err)
	return p
}

// awaitAnswer waits until the client is answered by a node.
func (c *cluster) awaitAnswer(p *lab.Prober, by string) {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := p.WaitAnswer(ctx, by); err != nil {
		c.Fatal(err)
	}
}

// routed waits until a host has, or has not, a kernel route to an address.
func (c *cluster) awaitRoute(host, address string, want bool) {
	c.Helper()
	p := netip.PrefixFrom(netip.MustParseAddr(address), 32)
	c.await(fmt.Sprintf("%s has a route to %s: %v", host, p, want), func() error {
		r, err := c.lab.Routes(host)
		if err != nil {
			return err
		}
		if r[p] != want {
			return fmt.Errorf("it is %v", r[p])
		}
		return nil
	})
}

// exec runs a command on a host.
func (c *cluster) exec(host string, argv ...string) string {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := c.lab.Exec(ctx, host, argv...)
	if err != nil {
		c.Fatalf("%s on %s: %v\n%s", strings.Join(argv, " "), host, err, out)
	}
	return out
}
