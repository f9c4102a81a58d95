package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/srrd/srrd/deploy/lab"
)

// where explains the argument of all faults.
const where = "WHERE is HOST:IFACE, a link's or LAN's name (all its members), or a host's name (all its cables)."

func (e *env) cut() *cobra.Command {
	var carrier bool
	c := &cobra.Command{
		Use: "cut WHERE", Short: "Cut a cable, silently or with loss of carrier", Long: where, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := e.open()
			if err != nil {
				return err
			}
			how := lab.Silent
			if carrier {
				how = lab.Carrier
			}
			return l.Cut(args[0], how)
		},
	}
	c.Flags().BoolVar(&carrier, "carrier", false, "the ends see their carrier go")
	return c
}

func (e *env) heal() *cobra.Command {
	return &cobra.Command{
		Use: "heal WHERE", Short: "Take every fault away", Long: where, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := e.open()
			if err != nil {
				return err
			}
			return l.Heal(args[0])
		},
	}
}

func (e *env) loss() *cobra.Command {
	dir := ""
	c := &cobra.Command{
		Use: "loss WHERE PERCENT", Short: "Lose a share of the frames, both ways or one way", Long: where, Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			percent, err := strconv.ParseFloat(strings.TrimSuffix(args[1], "%"), 64)
			if err != nil {
				return fmt.Errorf("loss %q: want a percentage", args[1])
			}
			l, err := e.open()
			if err != nil {
				return err
			}
			return l.Loss(args[0], lab.Direction(dir), percent/100)
		},
	}
	c.Flags().StringVar(&dir, "dir", string(lab.Both), "both, in (towards the host) or out (from it)")
	return c
}

func (e *env) delay() *cobra.Command {
	var jitter time.Duration
	c := &cobra.Command{
		Use: "delay WHERE DURATION", Short: "Hold every frame back, each way", Long: where, Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := time.ParseDuration(args[1])
			if err != nil {
				return fmt.Errorf("delay %q: want a duration, as 20ms", args[1])
			}
			l, err := e.open()
			if err != nil {
				return err
			}
			return l.Delay(args[0], d, jitter)
		},
	}
	c.Flags().DurationVar(&jitter, "jitter", 0, "and up to this much more, order kept")
	return c
}

func (e *env) relay() *cobra.Command {
	var delay, jitter time.Duration
	c := &cobra.Command{
		Use: "relay DEV DEV", Short: "Carry frames between two interfaces, late (used by delay)", Hidden: true, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return lab.Relay(cmd.Context(), args[0], args[1], delay, jitter, func() { fmt.Fprintln(cmd.OutOrStdout(), "ready") })
		},
	}
	c.Flags().DurationVar(&delay, "delay", 0, "")
	c.Flags().DurationVar(&jitter, "jitter", 0, "")
	return c
}
