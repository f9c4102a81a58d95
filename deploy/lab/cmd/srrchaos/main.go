// Command srrchaos breaks a cluster at random, by a seed, and audits what it
// did. See deploy/lab/chaos.
//
//	srrchaos -seed 7 -minutes 10       break it for ten minutes
//	srrchaos -seed 7 -frr 10.3         with that FRR on all hosts, and its mgmtd among what ends
//	srrchaos -only networkd,reboot     with faults of those kinds alone
//	srrchaos -seed 7 -list 20          the faults of the first 20 rounds; nothing is run
//	srrchaos -seed 7 -round 5          that round alone
//	srrchaos -soak -minutes 60         keep it busy for an hour, end no srrd, and see that none grows
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/srrd/srrd/deploy/lab"
	"github.com/srrd/srrd/deploy/lab/chaos"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit statuses.
const (
	exitOK = iota
	exitFindings
	exitUsage
	exitBroken // it could not be run to its end
)

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	if len(args) > 0 && args[0] == "serve" {
		if err := serve(ctx, args[1:], errs); err != nil {
			fmt.Fprintln(errs, "srrchaos serve:", err)
			return exitBroken
		}
		return exitOK
	}
	if len(args) > 0 && args[0] == "reset" {
		if err := reset(args[1:], errs); err != nil {
			fmt.Fprintln(errs, "srrchaos reset:", err)
			return exitBroken
		}
		return exitOK
	}
	f := flag.NewFlagSet("srrchaos", flag.ContinueOnError)
	f.SetOutput(errs)
	seed := f.Uint64("seed", 1, "of the schedule")
	minutes := f.Float64("minutes", 10, "rounds begin for so long; each takes half a minute or so")
	round := f.Int("round", 0, "run one round alone")
	rounds := f.Int("rounds", 0, "run so many rounds, however long they take")
	list := f.Int("list", 0, "print so many rounds of the schedule, and run nothing")
	topology := f.String("topology", "deploy/lab/topologies/chaos.yaml", "topology file")
	only := f.String("only", "", "kinds of faults, with commas between: no others")
	frr := f.String("frr", "", "FRR of all hosts: a version, a suite of Debian, or a directory of daemons; default: the machine's own")
	bin := f.String("bin", "", "directory of srrd and srrlab; default: that of this program")
	name := f.String("name", "chaos", "of the lab")
	keep := f.String("keep", "", "directory for logs and journals; default: a temporary one, removed if nothing was found")
	slack := f.Float64("slack", 1, "multiply all bounds of time, for a slow machine")
	soak := f.Bool("soak", false, "keep the cluster busy for -minutes, end no srrd, and measure what each takes")
	quiet := f.Bool("quiet", false, "print the report only")
	if err := f.Parse(args); err != nil {
		return exitUsage
	}
	if f.NArg() > 0 || *slack < 0.1 || *minutes < 0 {
		fmt.Fprintln(errs, "srrchaos: no arguments are wanted, and -slack is at least 0.1")
		return exitUsage
	}
	topo, err := lab.Load(*topology)
	if err != nil {
		fmt.Fprintln(errs, "srrchaos:", err)
		return exitUsage
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(errs, "srrchaos:", err)
		return exitBroken
	}
	if *bin == "" {
		*bin = filepath.Dir(self)
	}
	c := chaos.Config{
		Topology: topo, Name: *name, FRR: *frr, Seed: *seed, First: *round, Rounds: *rounds, For: time.Duration(*minutes * float64(time.Minute)),
		Limits:   chaos.DefaultLimits().Times(*slack),
		Binaries: lab.Binaries{Srrd: filepath.Join(*bin, "srrd"), Srrlab: filepath.Join(*bin, "srrlab")},
		Self:     self, Out: out, Keep: *keep,
	}
	if *only != "" {
		c.Only = strings.Split(*only, ",")
	}
	if *list > 0 || *only != "" || *frr != "" {
		plan, err := c.Plan(ctx)
		if err != nil {
			fmt.Fprintln(errs, "srrchaos:", err)
			return exitUsage
		}
		if *list > 0 {
			fmt.Fprint(out, plan.List(*list))
			return exitOK
		}
	}
	if *round > 0 && *rounds == 0 {
		c.Rounds = 1
	}
	if *quiet {
		c.Out = io.Discard
	}
	temporary := *keep == ""
	if temporary {
		if c.Keep, err = os.MkdirTemp("", "srrchaos"); err != nil {
			fmt.Fprintln(errs, "srrchaos:", err)
			return exitBroken
		}
	}
	var report interface {
		fmt.Stringer
		Write() error
		OK() bool
	}
	if *soak {
		report, err = chaos.Soak(ctx, c)
	} else {
		report, err = chaos.Run(ctx, c)
	}
	if err == nil {
		err = report.Write()
	}
	if err != nil {
		fmt.Fprintf(errs, "srrchaos: %v (what was kept is in %s)\n", err, c.Keep)
		return exitBroken
	}
	fmt.Fprint(out, report)
	if *soak {
		fmt.Fprintf(out, "figures: %s, their picture soak.svg beside them\n", filepath.Join(c.Keep, "soak.csv"))
	}
	if !report.OK() {
		return exitFindings
	}
	if temporary && !*soak {
		if err := os.RemoveAll(c.Keep); err != nil {
			fmt.Fprintln(errs, "srrchaos:", err)
		}
	}
	return exitOK
}

// reset is what a service's fence primitive runs.
func reset(args []string, errs io.Writer) error {
	f := flag.NewFlagSet("srrchaos reset", flag.ContinueOnError)
	f.SetOutput(errs)
	name := f.String("lab", "chaos", "name of the lab")
	host := f.String("host", "", "whose srrd, and what it has started, is reset")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *host == "" {
		return errors.New("which host?")
	}
	l, err := lab.Open("", *name)
	if err != nil {
		return err
	}
	return chaos.Reset(l, *host)
}

// serve is what a service's start primitive leaves running.
func serve(ctx context.Context, args []string, errs io.Writer) error {
	if len(args) == 0 {
		return errors.New("which service?")
	}
	name := args[0]
	f := flag.NewFlagSet("srrchaos serve", flag.ContinueOnError)
	f.SetOutput(errs)
	pidfile := f.String("pidfile", "", "is written once it serves")
	node := f.String("node", "", "the name it answers with")
	claim := f.Uint64("claim", 0, "it writes with")
	listen := f.String("listen", "", "address")
	store := f.String("store", "", "file of the records")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	ready := func() error {
		// At once: who waits for it takes the first bytes for all of it.
		if err := os.WriteFile(*pidfile+".new", fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644); err != nil {
			return err
		}
		return os.Rename(*pidfile+".new", *pidfile)
	}
	var addr netip.Addr
	if *listen != "" {
		var err error
		if addr, err = netip.ParseAddr(*listen); err != nil {
			return err
		}
	}
	switch {
	case name == "ledger":
		return chaos.ServeRecords(ctx, chaos.RecordAddr(addr), *store, *node, *claim, ready)
	case addr.IsValid():
		var failed error
		err := lab.Answer(ctx, *node, chaos.AnswerAddr(addr), func() { failed = ready() })
		return errors.Join(err, failed)
	}
	if err := ready(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
