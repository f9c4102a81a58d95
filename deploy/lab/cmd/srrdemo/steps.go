package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// The faults, in the order in which they come, as the table names them.
const (
	faultMove         = "planned-move"
	faultSilent       = "silent-loss"
	faultReturn       = "return"
	faultKillSrrd     = "srrd-kill"
	faultSrrdReturns  = "srrd-restart"
	faultKillOspfd    = "ospfd-kill"
	faultOspfdReturns = "ospfd-restart"
)

// limits is the longest outage that each may cost the client, with slack 1.
var limits = map[string]time.Duration{
	faultMove:         50 * time.Millisecond,
	faultSilent:       250 * time.Millisecond,
	faultReturn:       250 * time.Millisecond,
	faultKillSrrd:     250 * time.Millisecond,
	faultSrrdReturns:  50 * time.Millisecond,
	faultKillOspfd:    250 * time.Millisecond,
	faultOspfdReturns: 50 * time.Millisecond,
}

// form waits for the cluster, and for its first answer to the client.
func (d *demo) form(ctx context.Context) (err error) {
	d.heading("The cluster forms")
	d.holder, err = d.agree(ctx, nodes, func(holder string) map[string]view { return whole(nodes, holder) })
	d.check("form", err, "n1, n2 and n3 know each other, and one of them runs %s", service)
	if err != nil {
		return err
	}
	if d.probe, err = d.lab.Probe("client", lab.ProbeConfig{Target: probed, Grace: grace}); err != nil {
		return err
	}
	d.probe.Mark("form")
	err = d.answers(ctx, d.holder)
	d.check("form", err, "%s answers the client", d.holder)
	if err != nil {
		return err
	}
	fmt.Fprintln(d.out)
	if err := d.ask(ctx, "n1", "show node"); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := d.ask(ctx, n, "show service"); err != nil {
			return err
		}
	}
	return d.served(ctx, "form")
}

func (d *demo) move(ctx context.Context) error {
	to := d.others()[0]
	d.heading(fmt.Sprintf("A planned move, from %s to %s", d.holder, to))
	return d.step(ctx, step{
		fault: faultMove, to: to,
		do:   func() error { return d.ask(ctx, d.holder, "service "+service+" move "+to) },
		want: func(holder string) map[string]view { return whole(nodes, holder) },
		show: func(holder string) error {
			if err := d.ask(ctx, holder, "show service "+service); err != nil {
				return err
			}
			// From here on all nodes are equal again, and it moves no more than it must.
			return d.ask(ctx, holder, "service "+service+" unmove")
		},
	})
}

func (d *demo) cutOff(ctx context.Context) error {
	gone := d.holder
	d.gone = gone
	d.heading(fmt.Sprintf("%s is cut off, silently: its cable stays up and nothing passes", gone))
	return d.step(ctx, step{
		fault: faultSilent,
		do:    d.doing("srrlab cut "+gone, func() error { return d.lab.Cut(gone, lab.Silent) }),
		want: func(holder string) map[string]view {
			all := without(nodes, gone, unreachable, holder)
			// On its side of the partition it runs on: a plain network service does.
			alone := view{status: map[string]string{}, holder: anybody, here: started}
			for _, n := range nodes {
				if n != gone {
					alone.status[n] = unreachable
				}
			}
			all[gone] = alone
			return all
		},
		show: func(holder string) error {
			if err := d.ask(ctx, holder, "show node"); err != nil {
				return err
			}
			return d.ask(ctx, holder, "why "+service)
		},
	})
}

// comeBack heals the partition: the one that took over keeps it, as nothing
// makes the node that returns the better one.
func (d *demo) comeBack(ctx context.Context) error {
	cut := d.gone
	d.heading(fmt.Sprintf("%s returns: for a moment two run %s, and the order of the cluster keeps one", cut, service))
	return d.step(ctx, step{
		fault: faultReturn, to: d.holder, also: cut,
		do:   d.doing("srrlab heal "+cut, func() error { return d.lab.Heal(cut) }),
		want: func(holder string) map[string]view { return whole(nodes, holder) },
		show: func(holder string) error { return d.ask(ctx, cut, "show service "+service) },
	})
}

func (d *demo) killSrrd(ctx context.Context) error {
	gone := d.holder
	d.gone = gone
	d.heading(fmt.Sprintf("srrd on %s is killed", gone))
	return d.step(ctx, step{
		fault: faultKillSrrd,
		do:    d.doing("srrlab kill "+gone+" srrd", func() error { return d.lab.Kill(gone, "srrd", syscall.SIGKILL) }),
		want:  func(holder string) map[string]view { return without(nodes, gone, srrdGone, holder) },
		show:  func(holder string) error { return d.ask(ctx, holder, "show node") },
	})
}

func (d *demo) restartSrrd(ctx context.Context) error {
	back := d.gone
	d.heading(fmt.Sprintf("srrd on %s is started again, finds %s taken, and stops what its earlier life left", back, service))
	return d.step(ctx, step{
		fault: faultSrrdReturns, to: d.holder,
		do:   d.doing("srrlab start "+back+" srrd", func() error { return d.lab.Start(ctx, back, "srrd") }),
		want: func(holder string) map[string]view { return whole(nodes, holder) },
		show: func(holder string) error { return d.ask(ctx, back, "show service "+service) },
	})
}

func (d *demo) killOspfd(ctx context.Context) error {
	gone := d.holder
	d.gone = gone
	d.heading(fmt.Sprintf("ospfd on %s is killed", gone))
	return d.step(ctx, step{
		fault: faultKillOspfd,
		do:    d.doing("srrlab kill "+gone+" ospfd", func() error { return d.lab.Kill(gone, "ospfd", syscall.SIGKILL) }),
		want: func(holder string) map[string]view {
			all := without(nodes, gone, unreachable, holder)
			all[gone] = view{holder: anybody, here: "inactive/stopped"} // as the thesis has it
			return all
		},
		show: func(holder string) error {
			if err := d.ask(ctx, gone, "show service"); err != nil {
				return err
			}
			return d.ask(ctx, holder, "show service "+service)
		},
	})
}

func (d *demo) restartOspfd(ctx context.Context) error {
	back := d.gone
	d.heading(fmt.Sprintf("ospfd on %s is started again, as watchfrr would, and the node joins as new", back))
	return d.step(ctx, step{
		fault: faultOspfdReturns, to: d.holder,
		do:   d.doing("srrlab start "+back+" ospfd", func() error { return d.lab.Start(ctx, back, "ospfd") }),
		want: func(holder string) map[string]view { return whole(nodes, holder) },
		show: func(holder string) error { return d.ask(ctx, back, "show service "+service) },
	})
}

// step is one thing that happens to the cluster.
type step struct {
	fault string
	to    string // who is to run the service afterwards; "": anybody but the one before
	also  string // who else may answer meanwhile; "": nobody
	do    func() error
	want  func(holder string) map[string]view
	show  func(holder string) error
}

// step does it, and judges who answers before and after, what every node says,
// and how long nobody answered. An error ends the demo; a wrong outcome that
// the rest can live with is kept for its end.
func (d *demo) step(ctx context.Context, s step) error {
	before, began := d.holder, time.Now()
	candidates := []string{s.to}
	if s.to == "" {
		candidates = d.others()
	}
	d.probe.Mark(s.fault)
	// An outage belongs to the phase in which its first loss was sent: no
	// datagram of the phase before may be on its way.
	if err := d.answers(ctx, before); err != nil {
		d.check(s.fault, err, "%s answers the client before", before)
		return err
	}
	if err := s.do(); err != nil {
		return err
	}
	after, err := d.agree(ctx, candidates, s.want)
	d.check(s.fault, err, "all agree that another one runs %s, and on what has become of the rest", service)
	if err != nil {
		return err
	}
	d.holder = after
	err = d.answers(ctx, after)
	d.check(s.fault, err, "%s answers the client", after)
	if err != nil {
		return err
	}
	// What was sent until now is decided when its grace is over.
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(grace + 50*time.Millisecond):
	}
	d.account(ctx, s, before, after, began)
	fmt.Fprintln(d.out)
	if err := s.show(after); err != nil {
		return err
	}
	return d.served(ctx, s.fault)
}

// account judges what the client saw of a step, and adds its row.
func (d *demo) account(ctx context.Context, s step, before, after string, began time.Time) {
	p, _ := d.probe.Report().Phase(s.fault)
	var foreign []string
	for who := range p.ByNode {
		if who != before && who != after && who != s.also {
			foreign = append(foreign, who)
		}
	}
	var err error
	outage, limit := p.Longest().Duration(), limits[s.fault]*time.Duration(d.opt.slack)
	if outage > limit {
		err = fmt.Errorf("the limit is %d ms", limit.Milliseconds())
	}
	slices.Sort(foreign)
	ms := float64(outage) / float64(time.Millisecond)
	d.check(s.fault, err, "the client lost %d datagrams, the longest outage was %.1f ms", p.Lost, ms)
	if len(foreign) > 0 {
		d.check(s.fault, fmt.Errorf("%s answered too", strings.Join(foreign, ", ")), "nobody answers but %s and then %s", before, after)
	}
	d.rows = append(d.rows, fmt.Sprintf("fault=%s from=%s to=%s lost=%d outage_ms=%.1f", s.fault, before, after, p.Lost, ms))
	if err != nil {
		d.evidence(ctx, began)
	}
}

// answers waits until the client is answered by one node.
func (d *demo) answers(ctx context.Context, by string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := d.probe.WaitAnswer(ctx, by)
	return err
}

// served fetches the page and judges whose it is.
func (d *demo) served(ctx context.Context, step string) error {
	who, err := d.fetch(ctx)
	if err == nil && who != d.holder {
		err = fmt.Errorf("it is from %s", who)
	}
	if err != nil {
		d.check(step, err, "the client gets the page of %s", d.holder)
	}
	return ctx.Err()
}

// doing shows a command of the lab and then does it.
func (d *demo) doing(line string, do func() error) func() error {
	return func() error {
		d.command("here", strings.Replace(line, "srrlab", "srrlab -l "+d.lab.Name(), 1))
		fmt.Fprintln(d.out)
		return do()
	}
}

// others are the nodes that do not run the service.
func (d *demo) others() []string {
	return slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return n == d.holder })
}
