package view

import "github.com/srrd/srrd/sidecar/internal/handover"

// HandOver tells a codec that carries machines how to carry a *Builder, so that
// the list of events goes on when srrd re-executes itself.
func HandOver(c *handover.Codec) {
	c.Words(FailoverStart, FailoverStart.String(), FailoverMove.String(), FailoverLoss.String())
}
