package vty

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what should take microseconds; reaching it is a failure.
const patience = 40 * time.Second

const goldenDir = "../testdata/wire/vty"

// part is a stretch of a golden under one comment.
type part struct {
	label string
	bytes []byte
}

// readParts reads hex with comments; bytes before the first comment get no label.
func readParts(t testing.TB, name string) []part {
	t.Helper()
	var parts []part
	for line := range strings.Lines(readText(t, name+".hex")) {
		line = strings.TrimSpace(line)
		if label, ok := strings.CutPrefix(line, "#"); ok {
			parts = append(parts, part{label: strings.TrimSpace(label)})
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(line, " ", ""))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		parts[len(parts)-1].bytes = append(parts[len(parts)-1].bytes, b...)
	}
	return parts
}

// readHex reads a golden of one message.
func readHex(t testing.TB, name string) []byte {
	t.Helper()
	var all []byte
	for _, p := range readParts(t, name) {
		all = append(all, p.bytes...)
	}
	return all
}

func readText(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(goldenDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// within fails the test if what does not happen in time.
func within[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not happen", what)
		panic("unreachable")
	}
}
