package chaos

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// probed are the services that answer datagrams.
var probed = []string{"web", "shop"}

// clients ask the services from outside, all the time of a run: one writes
// records, one for each service that answers datagrams sends them.
type clients struct {
	writer *Writer
	probes map[string]*lab.Prober
	stop   context.CancelFunc
	work   sync.WaitGroup // the writer, and who watches meanwhile
}

// watch starts the clients, and beside them who watches what they ask until they
// end. An answer later than the grace counts as lost; 0 is the probe's own.
func (r *run) watch(ctx context.Context, grace time.Duration, beside ...func(context.Context)) (*clients, error) {
	ctx, stop := context.WithCancel(ctx)
	c := &clients{
		writer: &Writer{lab: r.lab, host: "client", to: netip.AddrPortFrom(mustService("ledger").address, recordPort)},
		probes: map[string]*lab.Prober{}, stop: stop,
	}
	for _, name := range probed {
		p, err := r.probe(name, 10*time.Millisecond, grace)
		if err != nil {
			c.end()
			return nil, err
		}
		c.probes[name] = p
	}
	c.work.Go(func() { c.writer.Run(ctx) })
	for _, f := range beside {
		c.work.Go(func() { f(ctx) })
	}
	return c, nil
}

// probe sends datagrams to a service from the client's host.
func (r *run) probe(name string, every, grace time.Duration) (*lab.Prober, error) {
	return r.lab.Probe("client", lab.ProbeConfig{Target: netip.AddrPortFrom(mustService(name).address, answerPort), Interval: every, Grace: grace})
}

// end ends the clients and those beside them.
func (c *clients) end() {
	c.stop()
	c.work.Wait()
	for _, p := range c.probes {
		p.Stop()
	}
}

// tell notes what the clients were promised and when they were not answered.
// They have ended.
func (c *clients) tell(e *Evidence) {
	e.Acks = c.writer.Acks()
	e.Outages = append(e.Outages, gaps("ledger", e.Acks)...)
	for _, name := range probed {
		report := c.probes[name].Stop()
		e.Datagrams += report.Total.Sent
		for _, o := range report.Total.Outages {
			e.Outages = append(e.Outages, Absence{name, report.Began.Add(o.From), report.Began.Add(o.To), o.Lost})
		}
	}
}

// gaps are the times between two acknowledged records that are far more than
// their pace.
func gaps(service string, acks []Ack) (all []Absence) {
	for i := 1; i < len(acks); i++ {
		if from, to := acks[i-1].At, acks[i].At; to.Sub(from) > 10*writeEvery {
			all = append(all, Absence{service, from, to, 0})
		}
	}
	return all
}
