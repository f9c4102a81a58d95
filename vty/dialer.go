package vty

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
)

// DefaultDir is where FRR's daemons put their VTY sockets.
const DefaultDir = "/run/frr"

// Dialer knows where the daemons are. The zero value is FRR as packaged.
type Dialer struct {
	// Dir holds the sockets <daemon>.vty; DefaultDir if empty.
	Dir string
	// Telnet is tried where a daemon's socket is missing, refuses, or is not
	// for us to open. A daemon without an entry has no second way.
	Telnet map[Daemon]Telnet
	// TelnetOnly leaves the sockets alone, as with Quagga elsewhere.
	TelnetOnly bool
}

// Open opens a session in the enable node. An error says of each way tried
// why it failed; after ECONNREFUSED on a socket file that exists, that the
// daemon is not running: FRR leaves the file behind.
func (d Dialer) Open(ctx context.Context, daemon Daemon) (*Session, error) {
	if d.TelnetOnly {
		return d.openTelnet(ctx, daemon)
	}
	s, err := d.openUnix(ctx, daemon)
	if err == nil {
		return s, nil
	}
	if _, ok := d.Telnet[daemon]; !ok || !worthTelnet(err) {
		return nil, err
	}
	s, telnetErr := d.openTelnet(ctx, daemon)
	if telnetErr != nil {
		return nil, errors.Join(err, telnetErr)
	}
	return s, nil
}

// NotRunning reports whether an error of opening a session means that nobody
// listens: the daemon does not run, or somewhere else.
func NotRunning(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

// Path is where the daemon's socket is expected.
func (d Dialer) Path(daemon Daemon) string {
	dir := d.Dir
	if dir == "" {
		dir = DefaultDir
	}
	return filepath.Join(dir, string(daemon)+".vty")
}

func (d Dialer) openUnix(ctx context.Context, daemon Daemon) (*Session, error) {
	path := d.Path(daemon)
	s, err := Dial(ctx, path)
	switch {
	case err == nil:
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%s is not running, %s is left over: %w", daemon, path, err)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s has not been started here: %w", daemon, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: %w (is this user in group frrvty?)", daemon, err)
	default:
		return nil, fmt.Errorf("%s: %w", daemon, err)
	}
	if err := s.Enable(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (d Dialer) openTelnet(ctx context.Context, daemon Daemon) (*Session, error) {
	to, ok := d.Telnet[daemon]
	if !ok {
		return nil, fmt.Errorf("%s: no telnet address is configured", daemon)
	}
	return DialTelnet(ctx, daemon, to)
}

func worthTelnet(err error) bool {
	return NotRunning(err) || errors.Is(err, fs.ErrPermission)
}
