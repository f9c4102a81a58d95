package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/srrd/srrd/deploy/lab"
	"github.com/srrd/srrd/vty"
)

const (
	// grace is after which an answer is a loss.
	grace = time.Second
	// steadyFor is how long the client has to be answered by one node before
	// it is believed that it stays so.
	steadyFor = 150 * time.Millisecond
	// tcpEvery is how often the client opens a connection and asks for a page.
	tcpEvery = 50 * time.Millisecond
)

// errNotThere is what a fault says that this srrd does not know.
var errNotThere = errors.New("not there")

// run is one run of a row.
type run struct {
	c      *cluster
	row    *Row
	holder string // who the fault is done to
	to     string // who has the first service afterwards
	probe  *lab.Prober
	began  time.Time // of the fault; see now
	noted  map[string]string
}

// Outcome is what came of a run.
type Outcome struct {
	From string `json:"from"`
	To   string `json:"to"`
	// What the client lost by the fault, over all services, and the longest
	// outage of any. Switches counts how often another node answered.
	Lost   int           `json:"lost"`
	Outage time.Duration `json:"outage"`
	// Own is how much of that outage primitives worked, by what they tell; where
	// they do not, nothing is known of it.
	Own      time.Duration `json:"own"`
	Tells    bool          `json:"tells"`
	Switches int           `json:"switches"`
	// The same of the return.
	ReturnLost   int           `json:"return_lost"`
	ReturnOutage time.Duration `json:"return_outage"`
	// TCP connections, of the whole run.
	TCPOpened int `json:"tcp_opened"`
	TCPFailed int `json:"tcp_failed"`
	// Phases are how long after the fault each was reached; those that were not
	// are not in it. See PhaseNames.
	Phases map[string]time.Duration `json:"phases"`
	// Went is how long after the fault the last old next hop of each router went.
	Went map[string]time.Duration `json:"went"`
	// Came is how long after the fault each router had a new next hop for the last
	// of the services.
	Came map[string]time.Duration `json:"came"`
	// MaxGap is the longest time between two datagrams: far above a millisecond,
	// the machine was too busy for exact numbers.
	MaxGap time.Duration `json:"max_gap"`
	// Dropped is how many packets the machine's kernel had no time for during the
	// run (its queue was full), which no network would have lost.
	Dropped int `json:"dropped"`
	// Evidence is a time line of what happened, where it was wanted.
	Evidence string `json:"evidence,omitempty"`
	// Err is why the run did not come to its end.
	Err string `json:"error,omitempty"`
}

// PhaseNames are the phases of a run, in their order.
var PhaseNames = []string{"noticed", "claimed", "cleared", "started", "announced", "seen"}

// once does a row once. An error is in the outcome too: what the client lost
// until then counts.
func (c *cluster) once(ctx context.Context, row *Row) (out Outcome, err error) {
	if row.measure != nil {
		return row.measure(ctx, c)
	}
	r := &run{c: c, row: row, noted: map[string]string{}}
	defer func() {
		if err != nil {
			out.Err = err.Error()
		}
	}()
	if r.holder, err = c.settle(ctx); err != nil {
		return out, fmt.Errorf("before the fault: %w", err)
	}
	out.From = r.holder
	if row.still > 0 {
		select {
		case <-time.After(row.still): // what the row is about
		case <-ctx.Done():
			return out, ctx.Err()
		}
	}
	if r.probe, err = r.startProbe(); err != nil {
		return out, err
	}
	defer r.probe.Stop()
	if r.holder, err = r.calm(ctx); err != nil {
		return out, fmt.Errorf("before the fault: %w", err)
	}
	out.From = r.holder
	if row.before != nil {
		if err := row.before(ctx, r); err != nil {
			return out, err
		}
	}
	if c.works != nil {
		c.works.forget()
	}
	routes := c.fib.snapshot()
	full := dropped()
	r.probe.Mark("fault")
	err = r.play(ctx, routes, &out)
	out.To = r.to
	if errors.Is(err, errNotThere) {
		return out, err
	}
	r.probe.Stop()
	out.Dropped = dropped() - full
	if more := r.account(&out); err == nil {
		err = more
	}
	if c.evidence != nil && (err != nil || c.evidence(row, out)) {
		out.Evidence = r.evidence(ctx)
	}
	return out, err
}

// dropped counts the packets that found a processor's queue full, since the
// machine's start: the second column of /proc/net/softnet_stat, in hexadecimal.
func dropped() int {
	text, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		return 0 // then nothing is told of it
	}
	sum := 0
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 {
			n, _ := strconv.ParseInt(f[1], 16, 64)
			sum += int(n)
		}
	}
	return sum
}

func (r *run) startProbe() (*lab.Prober, error) {
	to := r.c.set.addresses
	each := r.row.each
	if each == 0 {
		each = time.Millisecond / time.Duration(len(to))
	}
	return r.c.lab.Probe(clientHost, lab.ProbeConfig{Target: to[0], More: to[1:], Interval: each, Grace: grace, TCPEvery: tcpEvery})
}

// play does the fault, waits for what comes of it, heals it, and waits again.
func (r *run) play(ctx context.Context, routes routesAt, out *Outcome) error {
	err := r.row.do(ctx, r)
	r.now() // a fault that could not be done has its moment too
	if err == nil {
		err = r.over(ctx)
	}
	if errors.Is(err, errNotThere) {
		return err
	}
	var more error
	out.Went, more = r.c.fib.went(routes, r.began, r.c.set.watched())
	err = errors.Join(err, more)
	out.Came = r.c.fib.came(routes, r.began, r.c.set.watched())
	if err == nil && r.row.judge != nil {
		err = r.row.judge(ctx, r)
	}
	if err == nil {
		out.Phases, err = r.phases(ctx)
	}
	r.probe.Mark("return")
	if r.row.heal != nil {
		if more := r.row.heal(ctx, r); more != nil {
			return errors.Join(err, fmt.Errorf("healing: %w", more))
		}
	}
	if _, more := r.calm(ctx); more != nil {
		return errors.Join(err, fmt.Errorf("not healed: %w", more))
	}
	return err
}

// soon is how long who has the service may take to answer steadily before it is
// asked again who has it.
const soon = 3 * time.Second

// calm waits until all is settled and the client is steadily answered by the node
// that has the service. On a busy machine that can be another one by the time the
// client is looked at, most of all where a daemon's patience is 30 ms.
func (r *run) calm(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	for {
		holder, err := r.c.settle(ctx)
		if err != nil {
			return "", err
		}
		short, stop := context.WithTimeout(ctx, soon)
		err = r.steady(short, holder)
		stop()
		if err == nil || ctx.Err() != nil {
			return holder, err
		}
	}
}

// over waits until the fault has had its effect.
func (r *run) over(ctx context.Context) error {
	left := slices.Clone(r.c.nodes)
	if r.row.gone {
		left = slices.DeleteFunc(left, func(n string) bool { return n == r.holder })
	}
	if r.row.takes == either {
		// Who ends up with it shows when all is settled again.
		to, err := r.calm(ctx)
		r.to = to
		return err
	}
	if r.row.takes == another {
		short, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if _, err := r.probe.WaitOther(short, r.holder); err != nil {
			return err
		}
		if err := r.all(short); err != nil {
			return err
		}
	}
	if r.c.peer {
		holder, err := r.c.settlePeer(ctx, left)
		if err != nil {
			return err
		}
		r.to = holder
		return r.steady(ctx, r.to)
	}
	holders, err := r.c.agree(ctx, left, false, func(holders map[string]string) error {
		for name, h := range holders {
			if took := h != r.holder; took != (r.row.takes == another) {
				return fmt.Errorf("%s runs on %s, which had it before: %v", name, h, !took)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.to = holders[r.c.set.names[0]]
	return r.steady(ctx, r.to)
}

// all waits, where there are many services, until the client is answered by
// others for each that it asks: to be asked what they do costs the nodes more
// than the failover, and it would be measured too.
func (r *run) all(ctx context.Context) error {
	if len(r.c.set.names) < 100 {
		return nil
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for slices.Contains(r.probe.Answerers(), r.holder) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the client is not answered by others than %s for all services: %w", r.holder, ctx.Err())
		}
	}
	return nil
}

// steady waits until the client has been answered by one node, without a
// longer hole, for a while. Of several services, the node has to be the one of
// all; of those that several nodes have taken, anybody will do.
func (r *run) steady(ctx context.Context, by string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	since := time.Now()
	for {
		who, ago := r.probe.Answering()
		if who != by && (!r.c.set.spread || by == r.c.nodes[0]) || ago > 30*time.Millisecond {
			since = time.Now()
		}
		if time.Since(since) >= steadyFor {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the client is not steadily answered by %s; last by %s, %s ago: %w", by, who, ago.Round(time.Millisecond), ctx.Err())
		}
	}
}

// phases asks the node that took over how it went. Of several services it is
// the one that was announced last.
func (r *run) phases(ctx context.Context) (map[string]time.Duration, error) {
	if r.to == r.holder || r.to == "" || r.c.peer {
		return nil, nil
	}
	takers := []string{r.to}
	if r.c.set.spread {
		takers = slices.DeleteFunc(slices.Clone(r.c.nodes), func(n string) bool { return n == r.holder })
	}
	out := map[string]time.Duration{}
	for _, host := range takers {
		if err := r.phasesOf(ctx, host, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// phasesOf adds how it went on one of the nodes that took over, if it was later there.
func (r *run) phasesOf(ctx context.Context, host string, out map[string]time.Duration) error {
	text, err := r.c.ask(ctx, host, "-o json show failover 200")
	var doc struct {
		Failovers []struct {
			Here                                          bool
			Noticed, Claimed, Cleared, Started, Announced time.Time
		}
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &doc)
	}
	if err != nil {
		return fmt.Errorf("the failovers of %s: %w", host, err)
	}
	last := r.began.Add(out["announced"])
	for _, f := range doc.Failovers {
		if !f.Here || f.Claimed.Before(r.began) || f.Announced.Before(last) {
			continue
		}
		last = f.Announced
		for i, at := range []time.Time{f.Noticed, f.Claimed, f.Cleared, f.Started, f.Announced} {
			delete(out, PhaseNames[i])
			if !at.IsZero() {
				out[PhaseNames[i]] = at.Sub(r.began)
			}
		}
	}
	return nil
}

// account takes what the client saw.
func (r *run) account(out *Outcome) error {
	seen := time.Duration(-1)
	var began time.Time // of the longest outage
	for i, rep := range r.probe.Reports() {
		// Of several services each has its datagrams further apart.
		out.MaxGap = max(out.MaxGap, rep.MaxGap-rep.Interval+time.Millisecond)
		a := accounted(rep)
		out.Lost += a.lost
		if a.outage > out.Outage {
			out.Outage, began = a.outage, rep.Began.Add(a.began)
		}
		out.Switches = max(out.Switches, a.switches)
		out.ReturnLost += a.returnLost
		out.ReturnOutage = max(out.ReturnOutage, a.returnOutage)
		if a.switches > 0 {
			// When the service that was last was answered by somebody else.
			seen = max(seen, rep.Began.Add(a.seen).Sub(r.began))
		}
		if i == 0 && rep.TCP != nil {
			out.TCPOpened, out.TCPFailed = rep.TCP.Opened, rep.TCP.Failed
		}
	}
	if r.c.set.spread {
		// The client asks a part of them; what a router on its way lacks is as good
		// as lost.
		for _, at := range out.Came {
			out.Outage = max(out.Outage, at)
		}
	}
	if seen >= 0 {
		if out.Phases == nil {
			out.Phases = map[string]time.Duration{}
		}
		out.Phases["seen"] = seen
	}
	if !r.c.set.tells {
		return nil
	}
	all, err := r.c.works.since(r.began)
	if err != nil {
		return err
	}
	if want := 2 * len(r.c.set.names); out.Err == "" && len(all) != want {
		err = fmt.Errorf("%d primitives told of their time, should be %d: a stop and a start of each service", len(all), want)
	}
	out.Own, out.Tells = own(all, began, began.Add(out.Outage)), true
	return err
}

// account is what one service lost.
type account struct {
	lost, switches, returnLost int
	outage, returnOutage       time.Duration
	began                      time.Duration // the longest outage of the fault
	seen                       time.Duration // when somebody else answered first
}

// accounted splits a report at its marks. An outage is the fault's if it began
// before the return, also when its first datagram was under way as the fault came.
func accounted(rep *lab.Report) account {
	var a account
	fault, _ := rep.Phase("fault")
	for _, p := range rep.Phases {
		for _, o := range p.Outages {
			switch {
			case o.To < fault.From: // over before it
			case p.Name == "return":
				a.returnLost += o.Lost
				a.returnOutage = max(a.returnOutage, o.Duration())
			default:
				a.lost += o.Lost
				if o.Duration() > a.outage {
					a.outage, a.began = o.Duration(), o.From
				}
			}
		}
		for _, s := range p.Switches {
			if p.Name != "return" && s.At >= fault.From {
				if a.switches == 0 {
					a.seen = s.At
				}
				a.switches++
			}
		}
	}
	return a
}

// now is the moment of the fault: whoever does it calls it right before.
func (r *run) now() {
	if r.began.IsZero() { // later it is healing
		r.began = time.Now()
	}
}

// signal sends a signal to daemons of the node, all within microseconds.
func (r *run) signal(sig syscall.Signal, names ...string) error {
	pids := make([]int, len(names))
	for i, name := range names {
		pid, err := r.c.lab.PID(r.holder, name)
		if err != nil {
			return err
		}
		if pid == 0 {
			return fmt.Errorf("%s on %s does not run", name, r.holder)
		}
		pids[i] = pid
	}
	r.now()
	for i, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil {
			return fmt.Errorf("%s on %s: %w", names[i], r.holder, err)
		}
	}
	return nil
}

// end has daemons of the node end by a signal. It does not wait for their end:
// an orderly one takes its time.
func (r *run) end(sig syscall.Signal, names ...string) error { return r.signal(sig, names...) }

// outlast waits until no answer to a datagram sent so far could count any more:
// what a frozen node answers once it is thawed is lost.
func (r *run) outlast(ctx context.Context) error {
	select {
	case <-time.After(grace):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start waits for the end of daemons that were told to, and starts them again.
func (r *run) start(ctx context.Context, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, name := range names {
		err := r.c.lab.Wait(ctx, func() error {
			pid, err := r.c.lab.PID(r.holder, name)
			if err == nil && pid != 0 {
				err = fmt.Errorf("%s on %s has not ended", name, r.holder)
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := r.c.lab.Start(ctx, r.holder, name); err != nil {
			return err
		}
	}
	return nil
}

func cut(how lab.Cut) func(context.Context, *run) error {
	return func(_ context.Context, r *run) error {
		r.now()
		return r.c.lab.Cut(r.holder, how)
	}
}

func mend(_ context.Context, r *run) error { return r.c.lab.Heal(r.holder) }

// move asks the node that has the services to give them to the next one.
func move(ctx context.Context, r *run) error {
	at := slices.Index(r.c.nodes, r.holder)
	to := r.c.nodes[(at+1)%len(r.c.nodes)]
	name := r.c.set.names[0] // a group moves as one
	r.now()
	_, err := r.c.ask(ctx, r.holder, "service "+name+" move "+to)
	return err
}

// unmove makes all nodes equal again.
func unmove(ctx context.Context, r *run) error {
	_, err := r.c.ask(ctx, r.to, "service "+r.c.set.names[0]+" unmove")
	return err
}

func killAnswerer(_ context.Context, r *run) error { return r.signal(syscall.SIGKILL, "answer") }

// reviveAnswerer starts the process again, and has srrd believe in it.
func reviveAnswerer(ctx context.Context, r *run) error {
	if err := r.start(ctx, "answer"); err != nil {
		return err
	}
	_, err := r.c.ask(ctx, r.holder, "service "+r.c.set.names[0]+" reactivate")
	return err
}

func reexec(ctx context.Context, r *run) error {
	// A session of its own: on one that turned out to be old it would be said twice.
	if s := r.c.sessions[r.holder]; s != nil {
		s.Close()
		delete(r.c.sessions, r.holder)
	}
	pid, err := r.c.lab.PID(r.holder, "srrd")
	if err != nil {
		return err
	}
	r.noted["process"] = strconv.Itoa(pid)
	r.now()
	text, err := r.c.ask(ctx, r.holder, "daemon reexec")
	var refused *vty.StatusError
	if errors.As(err, &refused) && refused.Status == vty.StatusNoMatch {
		return fmt.Errorf("srrsh daemon reexec: %w", errNotThere)
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(text))
	}
	return nil
}

// database is what a router's ospfd has of opaque and external LSAs: a line for
// each, without its age.
func (r *run) database() (map[string]string, error) {
	host := r.c.lab.Topology().Routers[0].Name
	text, err := r.c.lab.VTY(host, "ospfd", "show ip ospf database")
	if err != nil {
		return nil, err
	}
	out, section := map[string]string{}, ""
	for _, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		switch {
		case strings.Contains(line, "Link States"):
			section = strings.TrimSpace(line)
		case len(f) >= 5 && strings.Count(f[0], ".") == 3:
			out[section+" "+f[0]+" "+f[1]] = f[3] + " " + f[4] // sequence number, checksum
		}
	}
	return out, nil
}

func noteDatabase(_ context.Context, r *run) (err error) {
	r.noted, err = r.database()
	return err
}

// sameDatabase holds that no LSA is new or another. One that is not there any
// more was an old generation, which is deleted after 15 s in any case.
func sameDatabase(_ context.Context, r *run) error {
	pid, err := r.c.lab.PID(r.holder, "srrd")
	if err != nil {
		return err
	}
	if was := r.noted["process"]; was != strconv.Itoa(pid) {
		return fmt.Errorf("srrd is process %d, was %s: it has not gone on, it was started again", pid, was)
	}
	now, err := r.database()
	if err != nil {
		return err
	}
	var changed []string
	for key, v := range now {
		if r.noted[key] != v {
			changed = append(changed, fmt.Sprintf("%s: %s, was %q", key, v, r.noted[key]))
		}
	}
	if len(changed) > 0 {
		slices.Sort(changed)
		return fmt.Errorf("LSAs changed: %s", strings.Join(changed, "; "))
	}
	return nil
}
