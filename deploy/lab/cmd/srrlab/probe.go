package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/srrd/srrd/deploy/lab"
)

func (e *env) probe() *cobra.Command {
	var cfg lab.ProbeConfig
	var from, format, tcpTarget string
	var length time.Duration
	c := &cobra.Command{
		Use:   "probe ADDRESS:PORT",
		Short: "Send a datagram a millisecond and account for every one",
		Long: "Send a datagram a millisecond to an address where `srrlab answer` answers, and report who\n" +
			"answered, every loss and every outage. Ends after --for, at an interrupt, or when standard\n" +
			"input ends; each line on standard input begins a phase of that name.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if cfg.Target, err = netip.ParseAddrPort(args[0]); err != nil {
				return fmt.Errorf("target %q: want ADDRESS:PORT", args[0])
			}
			if tcpTarget != "" {
				if cfg.TCPTarget, err = netip.ParseAddrPort(tcpTarget); err != nil {
					return fmt.Errorf("tcp target %q: want ADDRESS:PORT", tcpTarget)
				}
			}
			p, err := e.startProbe(from, cfg)
			if err != nil {
				return err
			}
			watch(cmd.Context(), p, length, cmd.InOrStdin())
			return show(cmd.OutOrStdout(), format, p.Stop())
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "client", "host of the lab; empty: this machine as it is")
	f.DurationVar(&cfg.Interval, "interval", time.Millisecond, "between datagrams")
	f.DurationVar(&cfg.Grace, "grace", time.Second, "an answer after this is a loss")
	f.DurationVar(&cfg.TCPEvery, "tcp", 0, "open a TCP connection and GET / that often (0: never)")
	f.StringVar(&tcpTarget, "tcp-target", "", "ADDRESS:PORT of the connections, if another")
	f.DurationVar(&length, "for", 0, "end after (0: at an interrupt or the end of standard input)")
	f.StringVarP(&format, "output", "o", "text", "text or json")
	return c
}

func (e *env) startProbe(from string, cfg lab.ProbeConfig) (*lab.Prober, error) {
	if from == "" {
		return lab.StartProbe(cfg)
	}
	l, err := e.open()
	if err != nil {
		return nil, err
	}
	return l.Probe(from, cfg)
}

// watch returns when the probe is to end.
func watch(ctx context.Context, p *lab.Prober, length time.Duration, in io.Reader) {
	if length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, length)
		defer cancel()
		<-ctx.Done()
		return
	}
	ended := make(chan struct{})
	go func() { // ends with standard input, or with the process
		defer close(ended)
		for s := bufio.NewScanner(in); s.Scan(); {
			p.Mark(strings.TrimSpace(s.Text()))
		}
	}()
	select {
	case <-ctx.Done():
	case <-ended:
	}
}

func (e *env) answer() *cobra.Command {
	var name, listen, pidfile string
	var background bool
	c := &cobra.Command{
		Use:   "answer",
		Short: "Answer probes: UDP with this node's name, TCP with an HTTP response",
		Long: "Answer probes until ended. With --background it returns when it is bound, so that a service's\n" +
			"start target can be this one line, and its stop target: srrlab answer --stop --pidfile FILE",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" {
				host, err := os.Hostname()
				if err != nil {
					return err
				}
				name = host
			}
			addr, err := netip.ParseAddrPort(listen)
			if err != nil {
				return fmt.Errorf("listen %q: want ADDRESS:PORT", listen)
			}
			if stop, _ := cmd.Flags().GetBool("stop"); stop {
				return stopAnswer(pidfile)
			}
			if background {
				return answerInBackground(pidfile, name, listen)
			}
			ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGTERM)
			defer cancel()
			var written error
			err = lab.Answer(ctx, name, addr, func() {
				if pidfile != "" {
					if written = os.WriteFile(pidfile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); written != nil {
						cancel()
						return
					}
				}
				fmt.Fprintln(cmd.OutOrStdout(), "ready")
			})
			return errors.Join(err, written)
		},
	}
	f := c.Flags()
	f.StringVar(&name, "name", "", "who answers (default: the host name)")
	f.StringVar(&listen, "listen", "0.0.0.0:7777", "service address and port; 0.0.0.0 answers on every address")
	f.StringVar(&pidfile, "pidfile", "", "file for the process id; it is there when both are bound, with --background before that")
	f.BoolVar(&background, "background", false, "return when bound")
	f.Bool("stop", false, "end the one of --pidfile")
	return c
}

// answerInBackground starts this command again in a session of its own, and
// returns when that one says it is ready, or with what it said instead.
func answerInBackground(pidfile, name, listen string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.Command(self, "answer", "--name", name, "--listen", listen)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	c.Stdout, c.Stderr = w, w
	if err := c.Start(); err != nil {
		return err
	}
	w.Close()
	// At once: who is killed while it waits leaves to the stop target whom to end.
	// Killed before that, nobody hears "ready", and who says it ends of that.
	if pidfile != "" {
		if err := os.WriteFile(pidfile, []byte(strconv.Itoa(c.Process.Pid)+"\n"), 0o644); err != nil {
			return errors.Join(err, c.Process.Kill(), c.Wait())
		}
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if strings.TrimSpace(line) == "ready" {
		return err
	}
	_ = c.Wait()
	err = fmt.Errorf("answer did not start: %s", strings.TrimPrefix(strings.TrimSpace(line), "srrlab: "))
	if pidfile != "" {
		if gone := os.Remove(pidfile); !os.IsNotExist(gone) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

// stopAnswer ends the answerer of a pid file and returns when it is gone. One
// that is gone already is no error.
func stopAnswer(pidfile string) error {
	b, err := os.ReadFile(pidfile)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 2 {
		return fmt.Errorf("pid file %s: holds %q", pidfile, strings.TrimSpace(string(b)))
	}
	if err := lab.EndAnswerer(pid); err != nil {
		return err
	}
	return os.Remove(pidfile)
}
