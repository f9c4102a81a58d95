package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/whatif"
)

// Exit codes.
const (
	exitOK     = 0
	exitWrong  = 1 // it was simulated, and something was broken in it
	exitFailed = 2 // it was not
)

// errWrong says that the simulation found something.
var errWrong = errors.New("something is wrong; see above")

// maxDump bounds what is read as a dump, in bytes: 250 nodes with 1,000
// services need some 60 MB.
const maxDump = 256 << 20

// run is the program; it returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	cmd := &cobra.Command{
		Use:               "srrsim",
		Short:             "Run simulated clusters of srrd",
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	cmd.AddCommand(runCommand(out), whatIfCommand(in, out), scaleCommand(out, errs))
	cmd.SetArgs(args)
	cmd.SetIn(in)
	cmd.SetOut(out)
	cmd.SetErr(errs)
	switch err := cmd.ExecuteContext(ctx); {
	case err == nil:
		return exitOK
	case errors.Is(err, errWrong):
		fmt.Fprintf(errs, "srrsim: %v\n", err)
		return exitWrong
	default:
		fmt.Fprintf(errs, "srrsim: %v\n", err)
		return exitFailed
	}
}

// common are the flags of both commands.
type common struct {
	whatif.Options
	limit time.Duration
}

func (c *common) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Uint64Var(&c.Seed, "seed", 1, "of all chance: equal seeds give equal runs")
	f.DurationVar(&c.For, "for", 2*time.Minute, "virtual `time` to simulate")
	f.DurationVar(&c.Dead, "dead", 0, "OSPF's dead interval; lost_hold counts on it (default: that of the dump, or 40s)")
	f.DurationVar(&c.Detect, "detect", 100*time.Millisecond, "how soon a silent loss is noticed, as with BFD")
	f.DurationVar(&c.limit, "limit", time.Minute, "real `time` after which it is given up")
}

func (c *common) context(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return context.WithTimeout(cmd.Context(), c.limit)
}

func runCommand(out io.Writer) *cobra.Command {
	var c common
	var p whatif.Plan
	var faults []string
	cmd := &cobra.Command{
		Use:     "run [--nodes N] [--services M] [--seed S] [--fault KIND@TIME]...",
		Short:   "Run a made-up cluster, and tell what happened in it",
		Long:    "The nodes are n1 to nN, the services s1 to sM; every fourth is a resource, and every\nthird of the others has unequal preferences. What the nodes say is shown with its\ntime, then where everything runs, what was flooded, and whether a rule was broken.\n\nFaults:\n" + table(whatif.Faults),
		Example: "  srrsim run --nodes 3 --services 4 --fault node-down:n1@30s --fault node-up:n1@60s\n  srrsim run --nodes 100 --services 100 --quiet",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p.Options = c.Options
			for _, text := range faults {
				f, err := whatif.ParseFault(text)
				if err != nil {
					return err
				}
				p.Faults = append(p.Faults, f)
			}
			ctx, stop := c.context(cmd)
			defer stop()
			ok, err := whatif.Run(ctx, p, out)
			if err == nil && !ok {
				return errWrong
			}
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().IntVar(&p.Nodes, "nodes", 3, fmt.Sprintf("how many, at most %d", whatif.MaxNodes))
	cmd.Flags().IntVar(&p.Services, "services", 4, fmt.Sprintf("how many, at most %d", whatif.MaxServices))
	cmd.Flags().StringArrayVar(&faults, "fault", nil, "what happens when: `KIND@TIME`; may be repeated")
	cmd.Flags().BoolVarP(&p.Quiet, "quiet", "q", false, "do not show what the nodes say")
	return cmd
}

func whatIfCommand(in io.Reader, out io.Writer) *cobra.Command {
	var c common
	var from, output string
	var all bool
	cmd := &cobra.Command{
		Use:     "what-if --from DUMP QUESTION...",
		Short:   "Tell what would happen to a live cluster, without touching it",
		Long:    "DUMP is what `srrsh -c \"simulate dump\"` writes on any node; - is the standard input.\nOn a node, `srrsh -c \"simulate QUESTION\"` does both at once.\n\nQuestions:\n" + table(whatif.Questions),
		Example: "  srrsh -c \"simulate dump\" > now.json\n  srrsim what-if --from now.json node-down n1\n  srrsim what-if --from now.json partition n1,n2 -o json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, question []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("-o %s: output is json or text", output)
			}
			text, err := read(in, from)
			if err != nil {
				return err
			}
			d, err := whatif.Parse(text)
			if err != nil {
				return fmt.Errorf("%s: %w", from, err)
			}
			ctx, stop := c.context(cmd)
			defer stop()
			a, err := whatif.Ask(ctx, d, question, c.Options, load)
			if err != nil {
				return err
			}
			if output == "json" {
				return a.JSON(out)
			}
			a.Text(out, all)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&from, "from", "-", "the `file` with the dump")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`format` of the answer: text or json")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "show everything that the nodes say")
	return cmd
}

func scaleCommand(out, errs io.Writer) *cobra.Command {
	var o whatif.Options
	var nodes, services, offers []int
	var sites int
	var output, plot string
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "scale [--nodes N,...] [--services M,...] [--offers K,...]",
		Short: "Measure what large clusters flood, and how it grows",
		Long: "A cluster of each of the sizes is booted, left alone for a minute, and loses one of its\n" +
			"sites at once. Its nodes stand behind the routers of the sites, two core routers connect\n" +
			"those; each service has an address and is offered by K nodes, in as many sites as there\n" +
			"are. Shown are the LSAs of type 222 and the /32s, as they are originated and as they\n" +
			"are sent over all links, and how they grow. Sizes that would not fit 20 GB of memory\n" +
			"are refused in their row.",
		Example: "  srrsim scale --nodes 1000 --services 1000\n  srrsim scale --nodes 10,100,1000 --services 10,100,1000 -o csv --plot scale.svg",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			write, known := map[string]func(io.Writer, []whatif.Cost) error{"text": whatif.CostsText, "json": whatif.CostsJSON, "csv": whatif.CostsCSV}[output]
			if !known {
				return fmt.Errorf("-o %s: output is csv, json or text", output)
			}
			ctx, stop := context.WithTimeout(cmd.Context(), limit)
			defer stop()
			var all []whatif.Cost
			wrong := false
			for _, n := range nodes {
				for _, m := range services {
					for _, k := range offers {
						z := whatif.Size{Nodes: n, Services: m, Offers: min(k, n), Sites: min(sites, n)}
						if err := z.Check(); err != nil {
							all = append(all, whatif.Cost{Size: z, Note: err.Error()})
							continue
						}
						c, err := whatif.Scale(ctx, z, o)
						if err != nil {
							return err
						}
						fmt.Fprintf(errs, "srrsim: %d nodes, %d services, %d offers each: %s\n", z.Nodes, z.Services, z.Offers, c.Real.Round(time.Millisecond))
						wrong = wrong || len(c.Lost) > 0
						all = append(all, c)
					}
				}
			}
			if err := write(out, all); err != nil {
				return err
			}
			if plot != "" {
				if err := os.WriteFile(plot, whatif.CostsSVG(all), 0o644); err != nil { //nolint:gosec // a picture, for everybody
					return err
				}
			}
			if wrong {
				return errWrong
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&nodes, "nodes", []int{10, 100}, "how many")
	f.IntSliceVar(&services, "services", []int{10, 100}, "how many")
	f.IntSliceVar(&offers, "offers", []int{3}, "nodes that offer each service; no more than there are")
	f.IntVar(&sites, "sites", 10, "how many")
	f.Uint64Var(&o.Seed, "seed", 1, "of all chance: equal seeds give equal runs")
	f.DurationVar(&o.Detect, "detect", 100*time.Millisecond, "how soon a silent loss is noticed, as with BFD")
	f.DurationVar(&limit, "limit", time.Hour, "real `time` after which it is given up")
	f.StringVarP(&output, "output", "o", "text", "`format`: csv, json or text")
	f.StringVar(&plot, "plot", "", "write a picture of it to this `file`, an SVG")
	return cmd
}

func read(in io.Reader, from string) ([]byte, error) {
	if from != "-" {
		f, err := os.Open(from)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxDump+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", from, err)
	case len(text) > maxDump:
		return nil, fmt.Errorf("%s: more than %d bytes is no dump", from, maxDump)
	}
	return text, nil
}

// load reads a configuration for the question config.
func load(path string) (machine.Config, error) {
	c, err := config.Load(path)
	if err != nil {
		return machine.Config{}, err
	}
	return c.Machine, nil
}

func table(rows [][2]string) string {
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "  %-*s  %s\n", width, r[0], r[1])
	}
	return strings.TrimRight(b.String(), "\n")
}
