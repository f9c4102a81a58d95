package vty

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// The unix VTY (FRR lib/vty.c, vtysh_read): a request is the command and a
// NUL; a reply is text without NUL, three NULs, and the status byte.

const (
	// MaxCommand is the longest command in bytes. FRR's buffer is 4096 with
	// the NUL (lib/vty.h, VTY_BUFSIZ; 8192 in 10.7).
	MaxCommand = 4095
	// MaxReply is the longest reply Exec keeps, in bytes. A running-config or
	// a full LSDB as JSON is a few megabytes at most.
	MaxReply = 16 << 20

	trailerNULs = 3
)

// CheckCommand refuses what cannot be one command: more than [MaxCommand]
// bytes, or NUL, CR or LF inside. The error wraps [ErrCommand].
func CheckCommand(command string) error {
	if len(command) > MaxCommand {
		return fmt.Errorf("%w: %d bytes, at most %d fit", ErrCommand, len(command), MaxCommand)
	}
	if i := strings.IndexAny(command, "\x00\r\n"); i >= 0 {
		return fmt.Errorf("%w: %q has byte %#02x at %d", ErrCommand, command, command[i], i)
	}
	return nil
}

// AppendRequest appends the wire form of a command.
func AppendRequest(b []byte, command string) ([]byte, error) {
	if err := CheckCommand(command); err != nil {
		return b, err
	}
	return append(append(b, command...), 0), nil
}

// AppendReply appends the wire form of a reply. NULs in text would end it
// early and are replaced as [Server] replaces them.
func AppendReply(b []byte, text string, status Status) []byte {
	b = append(b, cleanText([]byte(text))...)
	return append(b, 0, 0, 0, byte(status))
}

// DecodeReply decodes one whole reply from the start of b; n is its length.
// A reply that is not complete gives io.ErrUnexpectedEOF, a NUL that is not
// part of the trailer [ErrFraming].
func DecodeReply(b []byte) (text []byte, status Status, n int, err error) {
	var sc replyScanner
	n, err = sc.feed(b, func(p []byte) error { text = append(text, p...); return nil })
	if err == nil && !sc.done {
		err = io.ErrUnexpectedEOF
	}
	return text, sc.status, n, err
}

// replyScanner splits a stream into text and trailer, however it is cut. The
// whole trailer frames: a status is the byte after three NULs, whatever it is.
type replyScanner struct {
	nuls   int
	status Status
	done   bool
}

// feed hands the text in p to emit and returns how much of p it used: less
// than all only when the reply ended within p, or with an error.
func (s *replyScanner) feed(p []byte, emit func([]byte) error) (used int, err error) {
	for used < len(p) && !s.done {
		rest := p[used:]
		switch {
		case s.nuls == trailerNULs:
			s.status, s.done = Status(rest[0]), true
			used++
		case rest[0] == 0:
			s.nuls++
			used++
		case s.nuls > 0:
			return used, fmt.Errorf("%w: %d NUL, then byte %#02x", ErrFraming, s.nuls, rest[0])
		default:
			n := bytes.IndexByte(rest, 0)
			if n < 0 {
				n = len(rest)
			}
			if err := emit(rest[:n]); err != nil {
				return used, err
			}
			used += n
		}
	}
	return used, nil
}

// cleanText returns text without NULs; p itself when it has none.
func cleanText(p []byte) []byte {
	if bytes.IndexByte(p, 0) < 0 {
		return p
	}
	return bytes.ReplaceAll(p, []byte{0}, []byte{'?'})
}
