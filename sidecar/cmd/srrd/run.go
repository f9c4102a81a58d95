package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/daemon"
)

// version is set by the build (-ldflags -X main.version=...).
var version = "devel"

// The exit codes.
const (
	exitOK = iota
	exitError
	exitUsage
	exitFindings // doctor: srrd would not start services like this
	// exitConfig is EX_CONFIG of sysexits.h: starting again changes nothing, and
	// the systemd unit does not try.
	exitConfig = 78
)

// errFindings ends doctor where something is left that refuses.
var errFindings = errors.New("srrd would not start services like this")

// command is what the flags fill in.
type command struct {
	out, err io.Writer
	path     string
	check    bool
	handover bool
	apply    bool
	transit  bool
	routers  []string
}

// usageError is a command line that is not understood.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() + " (srrd --help lists what there is)" }
func (e *usageError) Unwrap() error { return e.err }

// noArgs is cobra.NoArgs with an exit code of its own.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return &usageError{err}
	}
	return nil
}

func run(args []string, out, errw io.Writer) int {
	root := newRoot(&command{out: out, err: errw})
	root.SetOut(out)
	root.SetErr(errw)
	root.SetArgs(args)

	err := root.ExecuteContext(context.Background())
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFindings):
		return exitFindings
	}
	var problems config.Problems
	if errors.As(err, &problems) { // a line each, which begins with its place
		fmt.Fprintln(errw, err)
		return exitConfig
	}
	fmt.Fprintln(errw, "srrd:", err)
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitError
}

// newRoot is the command line, whose flags fill c in.
func newRoot(c *command) *cobra.Command {
	root := &cobra.Command{
		Use:           "srrd [--config FILE] [--check-config]",
		Short:         "Service Routing Redundancy Daemon",
		Long:          "srrd makes servers on different subnets into one cluster server, by way of the OSPF that FRR runs there anyway.",
		Version:       buildVersion(),
		Args:          noArgs,
		SilenceErrors: true, SilenceUsage: true,
		DisableFlagsInUseLine: true, // Use names them
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.check {
				return c.checkConfig(cmd.Context())
			}
			if c.handover {
				return c.checkHandover()
			}
			return c.serve(cmd.Context())
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentFlags().StringVar(&c.path, "config", config.DefaultPath, "the daemon's configuration `file`")
	root.Flags().BoolVar(&c.check, "check-config", false, "say everything that is wrong with the configuration, and end")
	// For the srrd that is about to become this one, and for nobody else.
	root.Flags().BoolVar(&c.handover, daemon.CheckFlag, false, "read the hand-over of a running srrd from descriptor 3, and end")
	_ = root.Flags().MarkHidden(daemon.CheckFlag) // it is there
	doctor := &cobra.Command{Use: "doctor [--apply] [--transit] [--router HOST ...]", DisableFlagsInUseLine: true, Short: "Say what FRR needs for srrd, with the lines to add", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.doctor(cmd.Context()) }}
	doctor.Flags().BoolVar(&c.apply, "apply", false, "set the lines, in the running configuration")
	doctor.Flags().BoolVar(&c.transit, "transit", false, "this is a router between the nodes, without srrd: say what it costs them")
	doctor.Flags().StringArrayVar(&c.routers, "router", nil, "examine the router between the nodes at `host`, by VTY over TCP with frr.password of the configuration; may be repeated")
	root.AddCommand(doctor, &cobra.Command{Use: "plan", Short: "Say what would change if the configuration were loaded", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.plan(cmd.Context()) }}, c.cert(), c.key(), c.cleanup())
	return root
}

// serve runs the daemon until a signal ends it.
func (c *command) serve(ctx context.Context) error {
	reload, upgrade, stop := make(chan os.Signal, 1), make(chan os.Signal, 1), make(chan os.Signal, 2)
	signal.Notify(reload, syscall.SIGHUP)
	signal.Notify(upgrade, syscall.SIGUSR2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(reload)
	defer signal.Stop(upgrade)
	defer signal.Stop(stop)
	handover, err := daemon.Inherited()
	if err != nil {
		return err
	}
	least := &slog.LevelVar{}
	log := slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: least}))
	return daemon.Run(ctx, daemon.Options{Config: c.path, Version: buildVersion(), Log: log, Level: least,
		Reload: reload, Stop: stop, Upgrade: upgrade, Binary: daemon.BinaryPath(), Handover: handover})
}

// checkHandover proves to a running srrd that this binary can take over.
func (c *command) checkHandover() error {
	f := os.NewFile(3, "hand-over")
	defer f.Close()
	if err := daemon.CheckHandover(f, daemon.Options{Config: c.path, Version: buildVersion()}); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.out, daemon.Proof+buildVersion())
	return err
}

// buildVersion is the version, with the revision where the build knows it.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "devel" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 8 {
				return "devel-" + s.Value[:8]
			}
		}
	}
	return version
}
