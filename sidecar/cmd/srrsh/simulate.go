package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/shell"
	"github.com/srrd/srrd/sidecar/internal/whatif"
)

// simulateLimit is the real time a simulation may take; srrsim has no such
// limit where one is needed for longer.
const simulateLimit = 30 * time.Second

// simulate answers a question of simulate here, from what srrd dumps. The
// daemon does no more than that.
func (c *client) simulate(ctx context.Context, line string) (text string, code int) {
	question, json, _ := shell.Simulation(line)
	dump, err := c.exec(ctx, "simulate dump")
	switch {
	case errors.Is(err, errUnreachable):
		return "srrsh: " + err.Error() + "\n", exitUnreachable
	case err != nil && dump != "":
		return dump, exitCommand
	case err != nil:
		return "srrsh: " + err.Error() + "\n", exitCommand
	}
	d, err := whatif.Parse([]byte(dump))
	if err != nil {
		return "srrsh: " + err.Error() + "\n", exitCommand
	}
	ctx, stop := context.WithTimeout(ctx, simulateLimit)
	defer stop()
	a, err := whatif.Ask(ctx, d, question, whatif.Options{}, loadConfig)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w; `srrsim what-if --limit` takes longer", err)
		}
		return "% " + err.Error() + "\n", exitCommand
	}
	var b strings.Builder
	if json || c.json {
		if err := a.JSON(&b); err != nil {
			return "srrsh: " + err.Error() + "\n", exitCommand
		}
	} else {
		a.Text(&b, false)
	}
	return b.String(), exitOK
}

func loadConfig(path string) (machine.Config, error) {
	c, err := config.Load(path)
	if err != nil {
		return machine.Config{}, err
	}
	return c.Machine, nil
}
