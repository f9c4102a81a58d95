package view

import (
	"testing"

	"github.com/srrd/srrd/sidecar/internal/handover"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

func TestABuilderCanBeCarried(t *testing.T) {
	c := handover.New()
	machine.HandOver(c)
	HandOver(c)
	if err := c.Check(Builder{}); err != nil {
		t.Error(err)
	}
}
