package daemon

import (
	"context"

	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/doctor"
	"github.com/srrd/srrd/vty"
)

// Doctor examines FRR for what the configuration wants, and with apply sets
// what can be set; the findings are those that are left.
func Doctor(ctx context.Context, c *config.Config, apply bool) ([]doctor.Finding, error) {
	router := vty.NewRouter(dialer(c.Daemon.FRR))
	defer router.Close()
	facts, err := doctor.Gather(ctx, router, place(c), wants(c))
	if err != nil {
		return nil, err
	}
	found := doctor.Examine(facts)
	if !apply {
		return found, nil
	}
	return doctor.Apply(ctx, router, place(c), wants(c), found)
}
