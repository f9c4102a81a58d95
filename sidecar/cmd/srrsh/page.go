package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// keyReader reads single keys from a terminal that the line editor has put
// into its own mode (no echo, no lines); Ctrl-C is a key like any other.
type keyReader struct{ f *os.File }

func (k keyReader) Read(p []byte) (int, error) {
	fd := int(k.f.Fd())
	if old, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		mode := *old
		mode.Lflag &^= unix.ISIG
		if unix.IoctlSetTermios(fd, unix.TCSETS, &mode) == nil {
			defer unix.IoctlSetTermios(fd, unix.TCSETS, old)
		}
	}
	return k.f.Read(p)
}

// pageLength is how many lines fit: what `terminal length` set, else what the
// terminal has; 0 is no limit.
func pageLength(out io.Writer, set int) int {
	if set >= 0 {
		return set
	}
	_, rows := size(out)
	return rows
}

const more = "--More-- (blank: page, Enter: line, q: enough)"

// page writes text; when it is longer than length lines, it waits for a key
// after each page. keys gives a byte for each key, as the terminal does while
// the line editor has it in its own mode.
func page(out io.Writer, keys io.Reader, text string, length int) {
	lines := strings.SplitAfter(text, "\n")
	if n := len(lines); lines[n-1] == "" {
		lines = lines[:n-1]
	}
	if length < 2 || len(lines) < length {
		io.WriteString(out, text)
		return
	}
	show := length - 1
	for {
		show = min(show, len(lines))
		io.WriteString(out, strings.Join(lines[:show], ""))
		lines = lines[show:]
		if len(lines) == 0 {
			return
		}
		fmt.Fprint(out, more)
		var key [1]byte
		_, err := keys.Read(key[:])
		fmt.Fprint(out, "\r"+strings.Repeat(" ", len(more))+"\r")
		switch {
		case err != nil:
			return
		case key[0] == 'q' || key[0] == 'Q' || key[0] == 0x03 || key[0] == 0x04: // Ctrl-C, Ctrl-D
			return
		case key[0] == '\r' || key[0] == '\n':
			show = 1
		default:
			show = length - 1
		}
	}
}
