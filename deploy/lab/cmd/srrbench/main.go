// Command srrbench is `make bench`: it does faults to a cluster in network
// namespaces, each many times, and tells what a client lost. See
// deploy/lab/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/srrd/srrd/deploy/lab"
	"github.com/srrd/srrd/deploy/lab/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "\nbench: interrupted, everything it made is removed")
	default:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("srrbench", flag.ContinueOnError)
	f.SetOutput(stderr)
	var (
		topology = f.String("topology", "deploy/lab/topologies/bench.yaml", "what to bring up")
		library  = f.String("library", "deploy/service", "`directory` of the service library")
		bin      = f.String("bin", "bin", "`directory` of srrd, srrsh and srrlab")
		name     = f.String("name", "bench", "of the lab; benches with different names can run side by side, and disturb each other")
		n        = f.Int("n", 30, "how often each fault is done")
		faults   = f.String("faults", "", "`names` of the rows to run, with commas; a name that ends in * is a beginning (default: all)")
		peer     = f.String("peer", "", "keepalived: run it too, with its default and its fastest settings, and tell the ratio")
		out      = f.String("o", "table", "table, markdown, or json: an object for each fault, a line each")
		flame    = f.Bool("flame", false, "beside the table, a chart of where the time of each fault goes")
		evidence = f.Bool("evidence", false, "of runs that miss the goal, lose packets on the return or fail, tell all that happened, on one time line")
		always   = f.Bool("evidence-always", false, "tell it of every run")
		list     = f.Bool("list", false, "tell the rows and run none")
		quiet    = f.Bool("quiet", false, "do not tell of each run on standard error")
	)
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%q: no argument is wanted", f.Arg(0))
	}
	write, ok := map[string]func(io.Writer, []bench.Result) error{
		"table": bench.WriteTable, "markdown": bench.WriteMarkdown, "json": bench.WriteJSON}[*out]
	if !ok {
		return fmt.Errorf("-o %s: want table, markdown or json", *out)
	}
	all := bench.Rows()
	switch *peer {
	case "":
	case "keepalived":
		all = append(all, bench.PeerRows()...)
	default:
		return fmt.Errorf("-peer %s: want keepalived", *peer)
	}
	rows, err := choose(all, *faults)
	if err != nil {
		return err
	}
	if *list {
		for _, r := range rows {
			fmt.Fprintf(stdout, "%-26s %s\n", r.Name, r.About)
		}
		return nil
	}
	if *n < 1 {
		return fmt.Errorf("-n %d: want at least 1", *n)
	}
	tool := func(name string) string { return filepath.Join(*bin, name) }
	b := &bench.Bench{Topology: *topology, Library: *library, Name: *name, N: *n, Progress: stderr, Evidence: *evidence, Always: *always,
		Binaries: lab.Binaries{Srrd: tool("srrd"), Srrsh: tool("srrsh"), Srrlab: tool("srrlab")}}
	if *quiet {
		b.Progress = nil
	}
	results, err := b.Run(ctx, rows)
	if more := write(stdout, results); more != nil {
		return errors.Join(err, more)
	}
	if *flame {
		if more := bench.WriteFlame(stdout, results); more != nil {
			return errors.Join(err, more)
		}
	}
	if err != nil {
		return err
	}
	return verdict(results, *out == "json")
}

// verdict is an error if a row failed, or misses its goal. For programs, which
// judge figures themselves, only what makes figures missing or wrong is one.
func verdict(results []bench.Result, figuresOnly bool) error {
	failed, missed := 0, 0
	for _, r := range results {
		if len(r.Errors()) > 0 {
			failed++
		}
		if r.Misses() != "" || r.TypeFive() != "" {
			missed++
		}
	}
	switch {
	case failed > 0:
		return fmt.Errorf("%d of %d faults could not be run, or did not heal; %d miss their goal", failed, len(results), missed)
	case missed > 0 && !figuresOnly:
		return fmt.Errorf("%d of %d faults miss their goal", missed, len(results))
	}
	return nil
}

// choose gives the rows of the names.
func choose(rows []bench.Row, names string) ([]bench.Row, error) {
	if names == "" {
		return rows, nil
	}
	var out []bench.Row
	known := map[string]bool{}
	patterns := strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' })
	for _, r := range rows {
		for _, p := range patterns {
			if begin, ok := strings.CutSuffix(p, "*"); p == r.Name || ok && strings.HasPrefix(r.Name, begin) {
				known[p] = true
				if !slices.ContainsFunc(out, func(o bench.Row) bool { return o.Name == r.Name }) {
					out = append(out, r)
				}
			}
		}
	}
	for _, p := range patterns {
		if !known[p] {
			return nil, fmt.Errorf("no fault %q; -list tells them", p)
		}
	}
	return out, nil
}
