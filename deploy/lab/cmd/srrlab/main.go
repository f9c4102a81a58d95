// Command srrlab brings up, breaks and measures network-namespace labs with
// real FRR. It is a thin shell around package lab; see deploy/lab/README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		os.Exit(exit.ExitCode()) // exec HOST: the command's own status, and it has spoken
	}
	fmt.Fprintf(os.Stderr, "srrlab: %v\n", err)
	os.Exit(1)
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "srrlab",
		Short:         "Network-namespace labs with real FRR: bring up, break, measure",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	var e env
	c.PersistentFlags().StringVar(&e.base, "base", "", "directory of running labs (default /run/srrlab)")
	c.PersistentFlags().StringVarP(&e.name, "lab", "l", "", "name of the lab (default: the only one that is up)")
	c.AddCommand(e.up(), e.down(), e.status(), e.list(), e.prune(), e.check(), e.wait())
	c.AddCommand(e.exec(), e.vty(), e.logs())
	c.AddCommand(e.cut(), e.heal(), e.loss(), e.delay(), e.relay())
	c.AddCommand(e.probe(), e.answer(), e.forward(), e.carry())
	c.AddCommand(e.kill(), e.freeze(), e.thaw(), e.start(), e.stop(), e.restart())
	return c
}
