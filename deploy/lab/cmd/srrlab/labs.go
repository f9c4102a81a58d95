package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/srrd/srrd/deploy/lab"
)

// env is what all commands share.
type env struct{ base, name string }

// open returns the lab named by --lab, or the only one there is.
func (e *env) open() (*lab.Lab, error) {
	name := e.name
	if name == "" {
		all, err := lab.List(e.base)
		if err != nil {
			return nil, err
		}
		switch len(all) {
		case 0:
			return nil, fmt.Errorf("no lab is up")
		case 1:
			name = all[0]
		default:
			return nil, fmt.Errorf("several labs are up (%s): choose with --lab", strings.Join(all, ", "))
		}
	}
	return lab.Open(e.base, name)
}

func (e *env) up() *cobra.Command {
	var o lab.Options
	var vars []string
	var timeout time.Duration
	var quiet bool
	c := &cobra.Command{
		Use:   "up TOPOLOGY.yaml",
		Short: "Build a topology, start everything in it, wait until it has converged",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := lab.Load(args[0])
			if err != nil {
				return err
			}
			o.Name, o.Base, o.Detach = e.name, e.base, true
			if o.Vars, err = assignments(vars); err != nil {
				return err
			}
			out := cmd.ErrOrStderr()
			if quiet {
				out = io.Discard
			}
			o.Log = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
					return slog.Attr{}
				}
				return a
			}}))
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			start := time.Now()
			l, err := lab.Up(ctx, t, o)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "lab %s is up after %.1f s\n", l.Name(), time.Since(start).Seconds())
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&o.Binaries.Srrd, "srrd", "", "srrd binary; without it hosts with srrd: run none")
	f.StringVar(&o.Binaries.Srrsh, "srrsh", "", "srrsh binary")
	f.StringVar(&o.FRR, "frr", "", "FRR of hosts that name none: a version, a suite of Debian, or a directory of daemons (default /usr/lib/frr)")
	f.StringArrayVar(&vars, "var", nil, "NAME=VALUE, {{.Vars.NAME}} in templates; may be repeated")
	f.DurationVar(&timeout, "timeout", lab.UpTimeout, "give up after")
	f.BoolVar(&o.KeepFailed, "keep-failed", false, "leave what a failed up has made")
	f.BoolVar(&o.NoWait, "no-wait", false, "do not wait until it has converged")
	f.BoolVarP(&quiet, "quiet", "q", false, "say nothing while working")
	return c
}

func assignments(list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, one := range list {
		k, v, ok := strings.Cut(one, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("--var %q: want NAME=VALUE", one)
		}
		out[k] = v
	}
	return out, nil
}

func (e *env) down() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "down [LAB]",
		Short: "End a lab and remove everything it made",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			names := args
			if all {
				var err error
				if names, err = lab.List(e.base); err != nil {
					return err
				}
			} else if len(names) == 0 {
				l, err := e.open()
				if err != nil {
					return err
				}
				names = []string{l.Name()}
			}
			for _, name := range names {
				if err := lab.Remove(e.base, name); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every lab")
	return c
}

func (e *env) status() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show daemons, OSPF neighbours and faults",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := e.open()
			if err != nil {
				return err
			}
			s, err := l.Status()
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), format, s)
		},
	}
	c.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return c
}

// show prints a value as its own text or as JSON.
func show(w io.Writer, format string, v fmt.Stringer) error {
	switch format {
	case "text":
		_, err := fmt.Fprint(w, v)
		return err
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	return fmt.Errorf("output %q: want text or json", format)
}

func (e *env) list() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Name the labs that are up", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := lab.List(e.base)
			for _, name := range all {
				fmt.Fprintln(cmd.OutOrStdout(), name)
			}
			return err
		},
	}
}

func (e *env) prune() *cobra.Command {
	return &cobra.Command{
		Use: "prune", Short: "Remove labs whose owner process is gone, and half-made ones", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			gone, err := lab.Prune(e.base)
			for _, name := range gone {
				fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", name)
			}
			return err
		},
	}
}

func (e *env) check() *cobra.Command {
	return &cobra.Command{
		Use: "check TOPOLOGY.yaml...", Short: "Report every mistake in topology files", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			bad := 0
			for _, path := range args {
				if _, err := lab.Load(path); err != nil {
					bad++
					fmt.Fprintln(os.Stderr, err)
				}
			}
			if bad > 0 {
				return fmt.Errorf("%d of %d files have mistakes", bad, len(args))
			}
			return nil
		},
	}
}

func (e *env) wait() *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use: "wait", Short: "Wait until OSPF, BFD and routes have converged", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := e.open()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return l.WaitConverged(ctx)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", lab.UpTimeout, "give up after")
	return c
}
