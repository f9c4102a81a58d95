// Command srrdemo is `make demo`: it brings up the demo topology, breaks it on
// purpose, one step after another, shows what the cluster says to each, and
// measures what a client sees. It ends with a table, a line for each fault, and
// "demo: ok", or with exit status 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/srrd/srrd/deploy/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "\ndemo: interrupted, everything it made is removed")
	default:
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
	}
	os.Exit(1)
}

// options are the command line.
type options struct {
	topology string
	bin      string // directory of srrd, srrsh and srrlab
	name     string
	keep     bool
	slack    int
}

func run(ctx context.Context, args []string) error {
	var o options
	f := flag.NewFlagSet("srrdemo", flag.ContinueOnError)
	f.StringVar(&o.topology, "topology", "deploy/lab/topologies/demo.yaml", "what to bring up")
	f.StringVar(&o.bin, "bin", "bin", "`directory` of srrd, srrsh and srrlab")
	f.StringVar(&o.name, "name", "demo", "of the lab; demos with different names can run side by side")
	f.BoolVar(&o.keep, "keep", false, "leave the lab up at the end, and say how to look around")
	f.IntVar(&o.slack, "slack", 1, "for a slow machine: multiply what an outage may take, and what BFD bears before it takes a node for lost")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.slack < 1 || o.slack > 80 {
		return fmt.Errorf("-slack %d: want 1 to 80", o.slack)
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%q: no argument is wanted", f.Arg(0))
	}
	return o.demo(ctx)
}

// demo is the whole of it. Whatever way it ends, nothing stays behind unless
// it was to be kept.
func (o *options) demo(ctx context.Context) (err error) {
	topo, err := lab.Load(o.topology)
	if err != nil {
		return err
	}
	for i := range topo.BFD {
		topo.BFD[i].Multiplier *= o.slack
	}
	tool := func(name string) string { return filepath.Join(o.bin, name) }
	page := newPage(os.Stdout)
	d := &demo{page: page, opt: o}
	page.heading("Three nodes on two subnets, a client two routers away")
	page.text(picture)
	page.command("here", "srrlab -l "+o.name+" up "+o.topology)
	d.lab, err = lab.Up(ctx, topo, lab.Options{
		Name: o.name, Detach: o.keep,
		Binaries: lab.Binaries{Srrd: tool("srrd"), Srrsh: tool("srrsh"), Srrlab: tool("srrlab")},
	})
	if err != nil {
		if ctx.Err() != nil {
			return context.Canceled
		}
		return err
	}
	defer func() {
		if o.keep && ctx.Err() == nil {
			d.howToLook()
			return
		}
		err = errors.Join(err, d.lab.Down())
	}()
	if err := d.play(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Canceled
		}
		return err
	}
	return nil
}
