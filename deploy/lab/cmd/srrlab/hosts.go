package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/deploy/lab"
)

// startTimeout bounds start and restart of a daemon.
const startTimeout = 20 * time.Second

func (e *env) exec() *cobra.Command {
	return &cobra.Command{
		Use:   "exec HOST -- COMMAND [ARG...]",
		Short: "Run a command on a host; vtysh there talks to that host's FRR",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := e.open()
			if err != nil {
				return err
			}
			c := l.Command(cmd.Context(), args[0], args[1:]...)
			c.Stdin, c.Stdout, c.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			return l.Run(args[0], c)
		},
	}
}

func (e *env) vty() *cobra.Command {
	return &cobra.Command{
		Use:   "vty HOST DAEMON COMMAND...",
		Short: "Ask one FRR daemon of a host",
		Args:  cobra.MinimumNArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := e.open()
			if err != nil {
				return err
			}
			text, err := l.VTY(args[0], args[1], strings.Join(args[2:], " "))
			fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
}

func (e *env) logs() *cobra.Command {
	return &cobra.Command{
		Use: "log HOST DAEMON", Short: "Show what a daemon has written", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := e.open()
			if err != nil {
				return err
			}
			text, err := l.Log(args[0], args[1])
			fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
}

// onDaemon is a command HOST DAEMON.
func (e *env) onDaemon(use, short string, do func(ctx context.Context, l *lab.Lab, host, daemon string) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " HOST DAEMON", Short: short, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := e.open()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), startTimeout)
			defer cancel()
			return do(ctx, l, args[0], args[1])
		},
	}
}

func (e *env) kill() *cobra.Command {
	var name string
	c := e.onDaemon("kill", "Send a daemon a signal (default KILL)", func(_ context.Context, l *lab.Lab, host, daemon string) error {
		sig, err := signalOf(name)
		if err != nil {
			return err
		}
		return l.Kill(host, daemon, sig)
	})
	c.Flags().StringVarP(&name, "signal", "s", "KILL", "signal, by name or number")
	return c
}

func signalOf(name string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n < 65 {
		return syscall.Signal(n), nil
	}
	if s := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG")); s != 0 {
		return s, nil
	}
	return 0, fmt.Errorf("signal %q: not known", name)
}

func (e *env) freeze() *cobra.Command {
	return e.onDaemon("freeze", "Stop a daemon in its tracks (SIGSTOP)", func(_ context.Context, l *lab.Lab, h, d string) error { return l.Freeze(h, d) })
}

func (e *env) thaw() *cobra.Command {
	return e.onDaemon("thaw", "Let a frozen daemon go on", func(_ context.Context, l *lab.Lab, h, d string) error { return l.Thaw(h, d) })
}

func (e *env) start() *cobra.Command {
	return e.onDaemon("start", "Start a daemon that does not run", func(ctx context.Context, l *lab.Lab, h, d string) error { return l.Start(ctx, h, d) })
}

func (e *env) stop() *cobra.Command {
	return e.onDaemon("stop", "End a daemon (SIGTERM)", func(_ context.Context, l *lab.Lab, h, d string) error { return l.Stop(h, d) })
}

func (e *env) restart() *cobra.Command {
	return e.onDaemon("restart", "Kill a daemon (SIGKILL) and start it again", func(ctx context.Context, l *lab.Lab, h, d string) error { return l.Restart(ctx, h, d) })
}
