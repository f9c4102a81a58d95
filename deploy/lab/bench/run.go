package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/srrd/srrd/deploy/lab"
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
