package vty

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// goldenReplies are whole replies of FRR 8.4.4 and what they say.
var goldenReplies = []struct {
	name   string
	status Status
	text   string // empty: not compared
}{
	{"reply-enable", StatusSuccess, ""},
	{"reply-show-version", StatusSuccess, ""},
	{"reply-unknown-command", StatusNoMatch, "% [OSPF] Unknown command: bogus\n"},
	{"reply-no-route", StatusWarning, "% Network not in table\n"},
	{"reply-no-route-json", StatusWarning, "{}\n"},
	{"reply-same-network", StatusConfigFailed, "There is already same network statement.\n"},
	{"reply-no-such-network", StatusConfigFailed, "Can't find specified network area configuration.\n"},
	{"reply-incomplete", StatusIncomplete, "% Command incomplete.\n"},
	{"reply-no-such-address", StatusConfigFailed, "% Can't find address\n"},
	{"reply-router-id-note", StatusSuccess, "For this router-id change to take effect, use \"clear ip ospf process\" command\n"},
}

func TestRepliesOfFRRAreDecodedAndEncodedBack(t *testing.T) {
	for _, g := range goldenReplies {
		t.Run(g.name, func(t *testing.T) {
			wire := readHex(t, g.name)
			text, status, n, err := DecodeReply(wire)
			if err != nil || n != len(wire) || status != g.status {
				t.Fatalf("status %v, %d of %d bytes, %v; want %v", status, n, len(wire), err, g.status)
			}
			if g.text != "" && string(text) != g.text {
				t.Errorf("text %q, want %q", text, g.text)
			}
			if back := AppendReply(nil, string(text), status); !bytes.Equal(back, wire) {
				t.Errorf("encoded back:\n%x\nwant\n%x", back, wire)
			}
		})
	}
}

func TestEveryTruncationOfAReplyIsUnexpectedEOF(t *testing.T) {
	for _, g := range goldenReplies {
		wire := readHex(t, g.name)
		for n := range wire {
			if _, _, _, err := DecodeReply(wire[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s cut to %d bytes: %v", g.name, n, err)
			}
		}
	}
}

func TestADamagedTrailerIsAFramingError(t *testing.T) {
	for _, wire := range []string{"a\x00b", "a\x00\x00b\x00", "\x00\x01"} {
		if _, _, _, err := DecodeReply([]byte(wire)); !errors.Is(err, ErrFraming) {
			t.Errorf("%q: %v", wire, err)
		}
	}
}

func TestBytesBehindAReplyAreLeftAlone(t *testing.T) {
	text, status, n, err := DecodeReply([]byte("a\x00\x00\x00\x00b"))
	if string(text) != "a" || status != 0 || n != 5 || err != nil {
		t.Fatalf("%q %v %d %v", text, status, n, err)
	}
}

func TestCommandsThatCannotBeOneCommandAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		command string
		ok      bool
	}{
		"the longest command fits":  {strings.Repeat("x", MaxCommand), true},
		"one byte more does not":    {strings.Repeat("x", MaxCommand+1), false},
		"a NUL ends a command":      {"show\x00version", false},
		"a LF ends a command":       {"show version\n", false},
		"a CR ends a command":       {"show version\r", false},
		"the empty command is sent": {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			wire, err := AppendRequest(nil, c.command)
			if c.ok != (err == nil) || !c.ok && !errors.Is(err, ErrCommand) {
				t.Fatalf("error %v", err)
			}
			if c.ok && string(wire) != c.command+"\x00" {
				t.Errorf("wire %q", wire)
			}
		})
	}
}

func TestNULsInATextAreReplaced(t *testing.T) {
	if got := string(AppendReply(nil, "a\x00b", 1)); got != "a?b\x00\x00\x00\x01" {
		t.Fatalf("%q", got)
	}
}

func FuzzDecodeReply(f *testing.F) {
	for _, g := range goldenReplies {
		f.Add(readHex(f, g.name), uint8(3))
	}
	f.Add([]byte("a\x00\x00b"), uint8(1))
	f.Fuzz(func(t *testing.T, wire []byte, cut uint8) {
		text, status, n, err := DecodeReply(wire)
		if n > len(wire) {
			t.Fatalf("used %d of %d bytes", n, len(wire))
		}
		if err == nil && !bytes.Equal(AppendReply(nil, string(text), status), wire[:n]) {
			t.Fatalf("%q does not encode back", wire[:n])
		}
		// However the stream is cut, the outcome is the same.
		var sc replyScanner
		var pieces []byte
		emit := func(p []byte) error { pieces = append(pieces, p...); return nil }
		used := 0
		var feedErr error
		for step := int(cut)%7 + 1; used < len(wire) && feedErr == nil && !sc.done; {
			var u int
			u, feedErr = sc.feed(wire[used:min(used+step, len(wire))], emit)
			used += u
		}
		if used != n || !bytes.Equal(pieces, text) || sc.done != (err == nil) || errors.Is(err, ErrFraming) != (feedErr != nil) {
			t.Fatalf("in pieces: %d %q %v, whole: %d %q %v", used, pieces, feedErr, n, text, err)
		}
	})
}
