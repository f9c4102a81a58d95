package main

import (
	"github.com/spf13/cobra"

	"github.com/srrd/srrd/sidecar/internal/daemon"
)

// cleanup is `srrd cleanup`.
func (c *command) cleanup() *cobra.Command {
	o := daemon.Cleanup{Out: c.out}
	cmd := &cobra.Command{
		Use: "cleanup [--dry-run] [--stop]", DisableFlagsInUseLine: true, Args: noArgs,
		Short: "Remove what an srrd that ended left on this node; it refuses while one runs",
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := c.configured()
			if err != nil {
				return err
			}
			return daemon.CleanUp(cmd.Context(), conf, o)
		},
	}
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only say what would be removed")
	cmd.Flags().BoolVar(&o.Stop, "stop", false, "stop services that may still run, by their stop primitives; else they and their addresses are left to the next start")
	return cmd
}
