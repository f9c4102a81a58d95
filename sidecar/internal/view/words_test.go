package view_test

import (
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/view"
)

func TestAgesAreShortAndNeverNegative(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		-time.Hour: "0.0s", 0: "0.0s", 3250 * time.Millisecond: "3.2s", 9999 * time.Millisecond: "9.9s", 10 * time.Second: "10s",
		59 * time.Second: "59s", time.Minute: "1m", 119 * time.Minute: "119m", 2 * time.Hour: "2h", 47 * time.Hour: "47h", 48 * time.Hour: "2d",
	} {
		if got := view.Age(now, now.Add(-d)); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
	if got := view.Age(now, time.Time{}); got != "-" {
		t.Errorf("never: %q", got)
	}
}
