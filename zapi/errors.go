package zapi

import (
	"errors"
	"fmt"
)

// ErrShort is wrapped by the error of a message that ends before its layout does.
var ErrShort = errors.New("message is too short")

// ErrTrailing is wrapped by the error of a message with bytes left over after
// its layout: the usual sign that zebra is of another release than the dialect.
var ErrTrailing = errors.New("bytes left over")

// ErrClosed is returned by Send methods after the connection ended.
var ErrClosed = errors.New("connection to zebra is closed")

// UnknownReleaseError says that this package has no dialect for a release.
type UnknownReleaseError struct {
	// Version is the text that was given.
	Version string
	// Why says what is wrong with it.
	Why string
	// Newer is true if the release is newer than every one known, so that
	// DialectForOrNewest would take it.
	Newer bool
}

func (e *UnknownReleaseError) Error() string {
	return fmt.Sprintf("FRR version %q: %s", e.Version, e.Why)
}

// A FrameError says that a header cannot be ZAPI of the dialect's version. The
// stream is lost after it: nobody knows where the next message starts.
type FrameError struct {
	Length          uint16
	Marker, Version uint8
	Dialect         Dialect // of ZAPI 2 to 4; not valid: ZAPI 6
}

func (e *FrameError) Error() string {
	if e.Dialect.Early() {
		return fmt.Sprintf("header has length %d, marker 0x%02x, version %d, which is not ZAPI of %s", e.Length, e.Marker, e.Version, e.Dialect)
	}
	switch {
	case e.Marker != headerMarker:
		return fmt.Sprintf("header marker is 0x%02x, want 0x%02x: the peer does not speak ZAPI", e.Marker, headerMarker)
	case e.Version != headerVersion:
		return fmt.Sprintf("header version is %d, want %d: the peer is not FRR 6 or later", e.Version, headerVersion)
	default:
		return fmt.Sprintf("header length is %d, want %d to %d", e.Length, HeaderSize, MaxMessageSize)
	}
}

// A MessageError says which message could not be encoded or decoded, and why.
type MessageError struct {
	Command Command
	Dialect Dialect
	Err     error
}

func (e *MessageError) Error() string {
	return fmt.Sprintf("%s of %s: %v", e.Command, e.Dialect, e.Err)
}

func (e *MessageError) Unwrap() error { return e.Err }

// A HandshakeError says that something accepted the connection and did not
// answer HELLO as zebra of the dialect's release does.
type HandshakeError struct {
	Dialect Dialect
	Err     error
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("no answer to HELLO of %s (compare zebra's \"show version\"): %v", e.Dialect, e.Err)
}

func (e *HandshakeError) Unwrap() error { return e.Err }
