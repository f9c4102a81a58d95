package daemon

import (
	"context"
	"fmt"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// reexecPatience is what systemd's watchdog leaves a re-execution, from before
// the owner stands still until it answers again: as much as a start has. Most of
// that time nobody could answer the watchdog, and on a busy machine it is longer
// than WatchdogSec=, which would make a failover of an upgrade.
const reexecPatience = time.Minute

// notify tells systemd. Without systemd there is nobody to tell, and what is
// lost is said again, or is missed by systemd, which acts on that.
func notify(state string) { _, _ = sd.SdNotify(false, state) }

// watched is after how long without a word the watchdog ends srrd, 0 if never.
func watched() time.Duration {
	usual, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return usual
}

// watchdogAfter has the watchdog end srrd after so long without a word, counted
// from now. systemd keeps to it until it is told otherwise, or starts srrd again.
func watchdogAfter(patience time.Duration) {
	notify(fmt.Sprintf("WATCHDOG_USEC=%d\n%s", patience.Microseconds(), sd.SdNotifyWatchdog))
}

// watchdog tells systemd that the owner still answers.
func (d *daemon) watchdog(ctx context.Context) error {
	usual := watched()
	if usual == 0 {
		return nil
	}
	t := time.NewTicker(usual / 3)
	defer t.Stop()
	asked := d.taken != nil // the srrd before asked for more patience, until this one answers
	for {
		_, err := d.board.Read(ctx)
		switch {
		case err != nil: // systemd hears nothing
		case asked:
			watchdogAfter(usual)
			asked = false
		default:
			notify(sd.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}
