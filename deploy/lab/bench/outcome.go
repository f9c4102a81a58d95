package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

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
