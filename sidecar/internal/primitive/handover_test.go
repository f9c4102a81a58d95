package primitive

import (
	"context"
	"log/slog"
	"testing"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// An order to re-execute may come before the goroutine of Run has had its turn.
func TestAHandOverBeforeRunWaitsForIt(t *testing.T) {
	p := New(Config{Emit: func(machine.Event) {}, Dirs: func(string) (Setting, bool) { return Setting{}, false },
		RunDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Hold(over); err == nil {
		t.Error("a port that nobody runs came to rest")
	}
	asked := make(chan error, 1)
	go func() {
		h, err := p.Hold(t.Context())
		if err == nil {
			h.Release()
		}
		asked <- err
	}()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	if err := <-asked; err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}
