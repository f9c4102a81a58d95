package vty

import (
	"errors"
	"fmt"
	"strings"
)

// Status is the last byte of a reply on a unix VTY: the return value of the
// command's handler (FRR lib/command.h, CMD_*).
type Status uint8

// The statuses of FRR lib/command.h, in its order.
const (
	StatusSuccess       Status = 0  // CMD_SUCCESS
	StatusWarning       Status = 1  // CMD_WARNING: a show or exec command failed
	StatusNoMatch       Status = 2  // CMD_ERR_NO_MATCH: unknown command
	StatusAmbiguous     Status = 3  // CMD_ERR_AMBIGUOUS
	StatusIncomplete    Status = 4  // CMD_ERR_INCOMPLETE
	StatusTooManyArgs   Status = 5  // CMD_ERR_EXEED_ARGC_MAX
	StatusNothingToDo   Status = 6  // CMD_ERR_NOTHING_TODO
	StatusSuccessDaemon Status = 10 // CMD_SUCCESS_DAEMON: done, the daemon has to be told too
	StatusNoFile        Status = 11 // CMD_ERR_NO_FILE
	StatusSuspend       Status = 12 // CMD_SUSPEND
	StatusConfigFailed  Status = 13 // CMD_WARNING_CONFIG_FAILED
	StatusNotMyInstance Status = 14 // CMD_NOT_MY_INSTANCE: meant for another ospfd instance
	StatusNoLevelUp     Status = 15 // CMD_NO_LEVEL_UP
	StatusNoDaemon      Status = 16 // CMD_ERR_NO_DAEMON
)

// OK reports whether the command was carried out. The text says nothing about
// that: FRR 10.7 prints "% Configuration applied with notes" with success.
func (s Status) OK() bool { return s == StatusSuccess || s == StatusSuccessDaemon }

// String gives the status in words.
func (s Status) String() string {
	switch s {
	case StatusSuccess, StatusSuccessDaemon:
		return "success"
	case StatusWarning:
		return "warning"
	case StatusNoMatch:
		return "unknown command"
	case StatusAmbiguous:
		return "ambiguous command"
	case StatusIncomplete:
		return "incomplete command"
	case StatusTooManyArgs:
		return "too many arguments"
	case StatusNothingToDo:
		return "nothing to do"
	case StatusNoFile:
		return "no such file"
	case StatusSuspend:
		return "suspended"
	case StatusConfigFailed:
		return "configuration failed"
	case StatusNotMyInstance:
		return "not this instance"
	case StatusNoLevelUp:
		return "no level up"
	case StatusNoDaemon:
		return "no such daemon"
	default:
		return fmt.Sprintf("status %d", uint8(s))
	}
}

// StatusError is a command the daemon understood and refused, or did not
// understand. The session is in step and can go on.
type StatusError struct {
	Daemon  Daemon
	Command string
	Status  Status
	// Text is what the daemon printed, without the line ends around it; some
	// refusals print nothing. After ExecTo it is at most the last 4096 bytes.
	Text string
	// Inferred tells that the transport has no status byte (telnet), and
	// Status was concluded from Text.
	Inferred bool
}

// Error carries the daemon's own words where there are any.
func (e *StatusError) Error() string {
	text := strings.Join(strings.Fields(e.Text), " ")
	const most = 512 // a person reads one line of it
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	if text == "" {
		return fmt.Sprintf("%s: %q: %s (status %d, and it gave no reason)", e.Daemon, e.Command, e.Status, uint8(e.Status))
	}
	return fmt.Sprintf("%s: %q: %s (%s, status %d)", e.Daemon, e.Command, text, e.Status, uint8(e.Status))
}

var (
	// ErrClosed is in the chain of every error of a session that has ended:
	// closed by us, by the daemon's death, or because it fell out of step.
	ErrClosed = errors.New("vty session closed")
	// ErrCommand is in the chain of errors about commands that cannot be sent:
	// too long, or with bytes a VTY takes for the end of the line.
	ErrCommand = errors.New("not a vty command")
	// ErrReplyTooLong ends a session whose daemon answers more than
	// [MaxReply] bytes to one Exec.
	ErrReplyTooLong = errors.New("reply too long")
	// ErrFraming ends a session whose peer does not answer in FRR's framing.
	ErrFraming = errors.New("reply is not framed as a vty reply")
	// ErrLogin is in the chain when a telnet VTY did not let us in.
	ErrLogin = errors.New("vty login refused")

	// errUnsent marks the death of a session found before a byte of the
	// command was written: it is safe to send it over a new session.
	errUnsent = errors.New("nothing was sent")
)
