package primitive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// Names of systemd on the bus (org.freedesktop.systemd1(5)).
const (
	systemdName    = "org.freedesktop.systemd1"
	systemdPath    = "/org/freedesktop/systemd1"
	systemdManager = "org.freedesktop.systemd1.Manager"
	systemdUnit    = "org.freedesktop.systemd1.Unit"
	busProperties  = "org.freedesktop.DBus.Properties"
)

// busRetry is the wait before the bus is tried again, and between two looks at
// a unit that does not run yet.
const busRetry = time.Second

// followUnit returns when a unit that ran does not any more, and what to say of
// it; false when the context ended first. A unit that does not run yet has its
// patience, as a pid file has. A bus that is not there says nothing of the unit:
// it is tried again.
func (p *Port) followUnit(w *watch, unit string) (string, bool) {
	for w.ctx.Err() == nil {
		var text string
		var ended bool
		var err error
		p.rest(func() { text, ended, err = p.listenToUnit(w, unit) })
		if ended || w.ctx.Err() != nil {
			return text, ended
		}
		if err != nil && !w.warned {
			p.config.Log.Warn("the end of a unit will only be seen by checks, until systemd can be asked", "service", w.service, "unit", unit, "err", err)
			w.warned = true
		}
		p.pause(w.ctx, busRetry)
	}
	return "", false
}

// listenToUnit follows a unit as long as the connection to the bus lasts.
func (p *Port) listenToUnit(w *watch, unit string) (text string, ended bool, err error) {
	ctx := w.ctx
	conn, err := p.bus(dbus.WithContext(ctx))
	if err != nil {
		return "", false, fmt.Errorf("system bus: %w", err)
	}
	defer conn.Close()
	manager := conn.Object(systemdName, systemdPath)
	// systemd sends signals of units only while somebody has subscribed.
	if err := manager.CallWithContext(ctx, systemdManager+".Subscribe", 0).Err; err != nil {
		return "", false, fmt.Errorf("subscribing to systemd's signals: %w", err)
	}
	var path dbus.ObjectPath
	if err := manager.CallWithContext(ctx, systemdManager+".LoadUnit", 0, unit).Store(&path); err != nil {
		return "", false, fmt.Errorf("unit %s: %w", unit, err)
	}
	// Room for those that come while one is looked at. godbus drops none: it
	// keeps what does not fit.
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	if err := conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(systemdName), dbus.WithMatchObjectPath(path),
		dbus.WithMatchInterface(busProperties), dbus.WithMatchMember("PropertiesChanged")); err != nil {
		return "", false, fmt.Errorf("listening to unit %s: %w", unit, err)
	}
	object := conn.Object(systemdName, path)
	for {
		// Asked after the match and after every signal, so no change is missed
		// and no signal need be understood.
		var state string
		if err := object.CallWithContext(ctx, busProperties+".Get", 0, systemdUnit, "ActiveState").Store(&state); err != nil {
			return "", false, fmt.Errorf("state of unit %s: %w", unit, err)
		}
		switch state {
		case "active", "reloading", "refreshing":
			p.busy.RLock()
			w.ran = true
			p.busy.RUnlock()
		default:
			if w.ran || !time.Now().Before(w.deadline) {
				return fmt.Sprintf("unit %s is %s", unit, state), true, nil
			}
		}
		var late <-chan time.Time
		var t *time.Timer
		if !w.ran {
			t = time.NewTimer(time.Until(w.deadline))
			late = t.C
		}
		select {
		case <-ctx.Done():
			err = context.Cause(ctx)
		case _, ok := <-signals:
			if !ok {
				err = errors.New("the connection to the system bus has ended")
			}
		case <-late:
		}
		if t != nil {
			t.Stop()
		}
		if err != nil {
			return "", false, err
		}
	}
}
