package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/daemon"
	"github.com/srrd/srrd/sidecar/internal/doctor"
	"github.com/srrd/srrd/sidecar/internal/primitive"
	"github.com/srrd/srrd/vty"
)

// checkConfig says everything that is wrong, what primitives lack included.
func (c *command) checkConfig(ctx context.Context) error {
	conf, err := config.Load(c.path)
	if err != nil {
		return err
	}
	var targets primitive.Targets
	if lacks := daemon.CheckDirs(ctx, conf, &targets); len(lacks) > 0 {
		return lacks
	}
	_, err = fmt.Fprintf(c.out, "%s: %d services, no problem\n", c.path, len(conf.Services))
	return err
}

// doctor examines FRR, and mends it if asked to: here, or on the routers named.
func (c *command) doctor(ctx context.Context) error {
	conf, err := c.configured()
	if err != nil {
		return err
	}
	patients := []daemon.Patient{{Transit: c.transit}}
	if len(c.routers) > 0 {
		patients = nil
		for _, host := range c.routers {
			patients = append(patients, daemon.Patient{Transit: true, Host: host})
		}
	}
	var failed error
	blocking := false
	for i, p := range patients {
		if len(patients) > 1 {
			if _, err := fmt.Fprintf(c.out, "%s=== %s ===\n\n", strings.Repeat("\n", min(i, 1)), p.Host); err != nil {
				return err
			}
		}
		report, err := c.examine(ctx, conf, p)
		if err != nil {
			failed = errors.Join(failed, err)
		}
		blocking = blocking || doctor.Blocking(report.Findings)
	}
	switch {
	case failed != nil:
		return failed
	case blocking:
		return errFindings
	}
	return nil
}

// examine says what is found at one router, and what went wrong.
func (c *command) examine(ctx context.Context, conf *config.Config, p daemon.Patient) (doctor.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	report, err := daemon.Doctor(ctx, conf, p, c.apply)
	return report, errors.Join(err, doctor.Render(c.out, report))
}

// configured loads the configuration; where there is none yet, as before the
// first service is written, FRR is examined all the same.
func (c *command) configured() (*config.Config, error) {
	if _, err := os.Stat(c.path); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(c.err, "srrd: there is no %s: FRR is examined for the defaults, as if no service were configured\n", c.path)
		return config.Default(), nil
	}
	return config.Load(c.path)
}

// plan compares the configuration files with what the running srrd has.
func (c *command) plan(ctx context.Context) error {
	conf, err := config.Load(c.path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s, err := vty.Dial(ctx, conf.Daemon.Shell.Socket)
	if err != nil {
		return fmt.Errorf("asking the running srrd at %s (does it run?): %w", conf.Daemon.Shell.Socket, err)
	}
	defer s.Close()
	text, err := s.Exec(ctx, "plan")
	if err != nil {
		return planError(err)
	}
	_, err = fmt.Fprintln(c.out, strings.TrimRight(text, "\n"))
	return err
}

// planError is the refusal of srrd in its own lines: a problem each.
func planError(err error) error {
	var refused *vty.StatusError
	if errors.As(err, &refused) && refused.Text != "" {
		return errors.New("the configuration cannot be loaded:\n" + strings.TrimPrefix(refused.Text, "% "))
	}
	return err
}
