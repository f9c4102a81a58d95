package bench

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// variant is a lab that rows share.
type variant struct {
	Name string
	// BFD is the interval of all sessions, three of which may be lost; 0: none.
	BFD time.Duration
	// Stock leaves the routers between with FRR's own timers.
	Stock bool
	// Peer runs keepalived in place of srrd, at that pace.
	Peer string
}

var (
	fast    = variant{Name: "bfd10", BFD: 10 * time.Millisecond}
	calm    = variant{Name: "bfd50", BFD: 50 * time.Millisecond}
	blind   = variant{Name: "nobfd"}
	packed  = variant{Name: "crowd", BFD: 10 * time.Millisecond}
	untuned = variant{Name: "stock", BFD: 10 * time.Millisecond, Stock: true}
)

// taking is who has the service when a fault is over.
type taking uint8

const (
	another taking = iota // a node it was not done to
	same                  // the one that had it
	either                // one of the two: the fault may pass unnoticed
)

// Row is a fault, and what it needs.
type Row struct {
	Name string
	// About says what is done, in a line.
	About string
	// Goal is what DESIGN section 10 wants of the outage, at p95; negative: it
	// names none. With Goal 0 no packet may be lost in any run.
	Goal time.Duration
	// Beyond: the goal is wanted of what the outage has beyond the primitives' own
	// time.
	Beyond bool

	variant variant
	// against names the rows of srrd that one of a peer is held against.
	against  []string
	services func() serviceSet
	// each is the time between two datagrams, over all services; 0: a millisecond
	// for each service.
	each time.Duration
	// most is how often it is done at most, whatever is asked for: each run takes a
	// while; 0: as often as asked.
	most int
	// still is how long nothing may have changed before the fault.
	still time.Duration
	takes taking
	// gone: the node it is done to is not asked until it is healed.
	gone bool
	do   func(context.Context, *run) error
	// heal undoes it; nil: there is nothing to undo. quiet says that healing is
	// nothing the client could notice (and so no return is told).
	heal  func(context.Context, *run) error
	quiet bool
	// measure, unless nil, is all that is done: what it finds stands for the outage.
	measure func(context.Context, *cluster) (Outcome, error)
	// judge has a look at what else a row promises, after the fault.
	judge func(context.Context, *run) error
	// before takes down what judge compares with.
	before func(context.Context, *run) error
}

const noGoal = time.Duration(-1)

// Rows are all rows of srrd, in the order in which they run: those that need the
// same lab stand together.
func Rows() []Row {
	node := func(names ...string) func(context.Context, *run) error {
		return func(ctx context.Context, r *run) error { return r.start(ctx, names...) }
	}
	kill := func(sig syscall.Signal, names ...string) func(context.Context, *run) error {
		return func(_ context.Context, r *run) error { return r.signal(sig, names...) }
	}
	all := []string{"zebra", "bfdd", "ospfd", "answer", "srrd"} // as they start
	// As watchfrr does: what stands on zebra is restarted with it, at once.
	zebra := func(sig syscall.Signal) func(context.Context, *run) error {
		return func(ctx context.Context, r *run) error {
			if err := r.signal(sig, "zebra"); err != nil {
				return err
			}
			if err := r.signal(syscall.SIGKILL, "bfdd", "ospfd"); err != nil {
				return err
			}
			return r.start(ctx, "zebra", "bfdd", "ospfd")
		}
	}
	loss := func(name, about string, goal time.Duration, v variant, s func() serviceSet) Row {
		return Row{Name: name, About: about, Goal: goal, variant: v, services: s, gone: true, do: cut(lab.Silent), heal: mend}
	}
	rows := []Row{
		{Name: "move-overlap", About: "planned move of a service that can run twice", Goal: 0, variant: fast, services: overlapping,
			do: move, heal: unmove, quiet: true},
		{Name: "move-stop-start", About: "planned move of a service that is stopped first", Goal: 10 * time.Millisecond, variant: fast, services: single,
			do: move, heal: unmove, quiet: true},
		{Name: "service-killed-watched", About: "kill -9 of the service, which is watched", Goal: 25 * time.Millisecond, variant: fast, services: watched,
			do: killAnswerer, heal: reviveAnswerer},
		{Name: "service-killed-checked", About: "kill -9 of the service, which is checked once a second", Goal: noGoal, variant: fast, services: checked,
			do: killAnswerer, heal: reviveAnswerer},
		loss("silent-loss-bfd10", "the node is cut off silently, BFD 10 ms x 3", 40*time.Millisecond, fast, overlapping),
		{Name: "node-freeze", About: "SIGSTOP of all daemons of the node, BFD 10 ms x 3", Goal: 40 * time.Millisecond, variant: fast, services: overlapping, gone: true,
			do: func(_ context.Context, r *run) error { return r.signal(syscall.SIGSTOP, all...) },
			heal: func(ctx context.Context, r *run) error {
				if err := r.outlast(ctx); err != nil {
					return err
				}
				return r.signal(syscall.SIGCONT, all...)
			}},
		{Name: "carrier-loss", About: "the node sees its carrier go", Goal: noGoal, variant: fast, services: overlapping, gone: true,
			do: cut(lab.Carrier), heal: mend},
		{Name: "ospfd-kill", About: "kill -9 of ospfd", Goal: 25 * time.Millisecond, variant: fast, services: overlapping, gone: true,
			do: kill(syscall.SIGKILL, "ospfd"), heal: node("ospfd")},
		{Name: "ospfd-term", About: "SIGTERM of ospfd", Goal: noGoal, variant: fast, services: overlapping, gone: true,
			do: kill(syscall.SIGTERM, "ospfd"), heal: node("ospfd")},
		{Name: "zebra-kill", About: "kill -9 of zebra, and what watchfrr does then: bfdd and ospfd killed, all started again", Goal: noGoal, variant: fast, services: overlapping,
			takes: either, do: zebra(syscall.SIGKILL)},
		{Name: "zebra-term", About: "SIGTERM of zebra, and what watchfrr does then", Goal: noGoal, variant: fast, services: overlapping,
			takes: either, do: zebra(syscall.SIGTERM)},
		{Name: "srrd-kill", About: "kill -9 of srrd", Goal: 25 * time.Millisecond, variant: fast, services: overlapping, gone: true,
			do: kill(syscall.SIGKILL, "srrd"), heal: node("srrd")},
		{Name: "srrd-term", About: "SIGTERM of srrd: an orderly leave", Goal: noGoal, variant: fast, services: overlapping, gone: true,
			do: kill(syscall.SIGTERM, "srrd"), heal: node("srrd")},
		{Name: "srrd-reexec", About: "srrd executes itself anew: no packet lost, no LSA changed", Goal: 0, variant: fast, services: overlapping,
			takes: same, before: noteDatabase, do: reexec, judge: sameDatabase},
		{Name: "reboot", About: "SIGTERM of all daemons of the node at once, later all are back", Goal: noGoal, variant: fast, services: overlapping, gone: true,
			do: kill(syscall.SIGTERM, all...), heal: node(all...)},
		{Name: "group-move", About: "planned move of a group of five", Goal: noGoal, variant: fast, services: func() serviceSet { return many(5, "FIVE") },
			do: move, heal: unmove, quiet: true},
		loss("group-loss", "the node of a group of five is cut off silently, BFD 10 ms x 3", noGoal, fast, func() serviceSet { return many(5, "FIVE") }),
		{Name: "resource-move", About: "planned move of a group of a resource and a service that stands on it", Goal: 20 * time.Millisecond, variant: fast, services: store,
			do: move, heal: unmove, quiet: true},
		{Name: "resource-move-work", About: fmt.Sprintf("as resource-move, with four primitives of %s on the way, one after the other", workFor), Goal: 20 * time.Millisecond, Beyond: true,
			variant: fast, services: working, do: move, heal: unmove, quiet: true},
		loss("hundred-loss", "the node of 100 services is cut off silently, BFD 10 ms x 3; a datagram every 20 ms to each", noGoal, fast, func() serviceSet { return many(100, "") }),
		loss("silent-loss-bfd50", "the node is cut off silently, BFD 50 ms x 3", 160*time.Millisecond, calm, overlapping),
		loss("thousand-loss", "the node of 1,000 services is cut off silently, BFD 50 ms x 3; two others take half of them each; a datagram every 100 ms to each of 100; still for 16 s", time.Second, calm, func() serviceSet { return spread(1000) }),
		{Name: "sync-5000", About: "no outage but how long a srrd that is started takes to be in sync where others offer 5,000 services", Goal: 200 * time.Millisecond, variant: packed,
			services: func() serviceSet { return serviceSet{} }, measure: syncs},
		loss("silent-loss-no-bfd", "the node is cut off silently, no BFD, dead interval 4 s", noGoal, blind, overlapping),
		loss("stock-routers-loss", "as silent-loss-bfd10, with FRR's own timers on all routers; still for 5 s", noGoal, untuned, overlapping),
		{Name: "stock-routers-srrd-kill", About: "as srrd-kill, with FRR's own timers on all routers; still for 5 s", Goal: noGoal, variant: untuned, services: overlapping, gone: true,
			do: kill(syscall.SIGKILL, "srrd"), heal: node("srrd")},
		{Name: "stock-routers-move", About: "as move-overlap, with FRR's own timers on all routers; still for 5 s", Goal: noGoal, variant: untuned, services: overlapping,
			do: move, heal: unmove, quiet: true},
	}
	for i := range rows {
		if rows[i].variant.Stock {
			rows[i].still = 5 * time.Second
		}
		switch rows[i].Name {
		case "hundred-loss":
			rows[i].each = 200 * time.Microsecond
		case "thousand-loss":
			// Still until the LSAs of the last run, which ospfd looks through for each
			// new one, are deleted: 15 s.
			rows[i].each, rows[i].most, rows[i].still = time.Millisecond, 5, 16*time.Second
		}
	}
	return rows
}
