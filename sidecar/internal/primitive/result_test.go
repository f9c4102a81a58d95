package primitive

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

func TestRecallSecondsAreBounded(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": minRecall, "0.001": minRecall, "0.5": 500 * time.Millisecond, "2s": 2 * time.Second, "3600": time.Hour, "1e9": time.Hour,
		"+Inf": time.Hour, "-1": DefaultRecall, "NaN": DefaultRecall, "soon": DefaultRecall, "": DefaultRecall,
	} {
		if s := read([]byte("Result: recall\nRecall: " + text + "\n")); s.result != "recall" || s.recall != want {
			t.Errorf("%q: %q %v, want %v", text, s.result, s.recall, want)
		}
	}
}

func TestLongOutputKeepsItsEnd(t *testing.T) {
	s := read([]byte(strings.Repeat("a line of no interest\n", 1000) + "the reason\n"))
	if len(s.text) > MaxText || !strings.HasSuffix(s.text, "\nthe reason") || s.last != "the reason" {
		t.Errorf("%d bytes, last %q", len(s.text), s.last)
	}
	if s := read([]byte(strings.Repeat("ü", MaxText))); len(s.text) > MaxText || !utf8.ValidString(s.text) || s.text == "" {
		t.Errorf("one long line: %d bytes", len(s.text))
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("Result: done\nRecall: 2\n"))
	f.Add([]byte("a\r\n\x00\xffResult:failed\nRecall: 1e400"))
	f.Fuzz(func(t *testing.T, out []byte) {
		s := read(out)
		if len(s.text) > MaxText || s.recall < minRecall || s.recall > maxRecall {
			t.Fatalf("%d bytes, recall %v", len(s.text), s.recall)
		}
		if strings.ContainsFunc(s.text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) || !utf8.ValidString(s.text) {
			t.Fatalf("not printable: %q", s.text)
		}
		for _, e := range []ended{{}, {status: 2}, {status: -1, signal: "SIGKILL"}} {
			o, recall, text := outcome(machine.PrimCheck, s, e)
			if (o == machine.OutcomeRecall) != (recall > 0) || len(text) > MaxText || o == machine.OutcomeFailed && text == "" {
				t.Fatalf("%v %v %q", o, recall, text)
			}
		}
	})
}
