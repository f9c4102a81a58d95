package zapi

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden values")

// A golden is one message that a real zebra sent or took: comments, the first
// saying where it comes from and the second what it means, and hex.
type golden struct {
	path    string
	dialect Dialect
	origin  string
	value   string
	hexes   []string // the lines after the two comments, as they are
	message []byte
}

func goldens(t testing.TB) []golden {
	t.Helper()
	return append(goldensOf(t, "frr-"), goldensOf(t, "quagga-")...)
}

// goldensOf are those of one suite that are decoded: a client's route has another
// layout than zebra's of the same number in Quagga, and is said only.
func goldensOf(t testing.TB, suite string) []golden {
	t.Helper()
	paths, err := filepath.Glob("../testdata/wire/zapi/" + suite + "*/*.hex")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return strings.HasPrefix(filepath.Base(p), "said-") })
	return readGoldens(t, suite, paths)
}

func readGoldens(t testing.TB, suite string, paths []string) []golden {
	t.Helper()
	var all []golden
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		g := golden{path: path}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if len(lines) < 3 {
			t.Fatalf("%s: want two comments and hex", path)
		}
		g.origin, g.value, g.hexes = lines[0], strings.TrimPrefix(lines[1], "# "), lines[2:]
		release := strings.TrimPrefix(filepath.Base(filepath.Dir(path)), suite)
		if suite == "quagga-" {
			release = "Quagga " + release
		}
		if g.dialect, err = DialectFor(release); err != nil {
			t.Fatal(err)
		}
		for _, line := range g.hexes {
			line, _, _ = strings.Cut(line, "#")
			b, err := hex.DecodeString(strings.ReplaceAll(line, " ", ""))
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			g.message = append(g.message, b...)
		}
		all = append(all, g)
	}
	return all
}

func TestEveryRecordedMessageDecodesToItsValueAndBackToItsBytes(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(strings.TrimPrefix(g.path, "../testdata/wire/zapi/"), func(t *testing.T) {
			m, err := g.dialect.Decode(g.message)
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			got := describe(m)
			if *update {
				text := g.origin + "\n# " + got + "\n" + strings.Join(g.hexes, "\n") + "\n"
				if err := os.WriteFile(g.path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != g.value {
				t.Errorf("value\n got %s\nwant %s", got, g.value)
			}
			back, err := g.dialect.Append(nil, m)
			if err != nil {
				t.Fatalf("append: %v", err)
			}
			if !bytes.Equal(back, g.message) {
				t.Errorf("bytes\n got %x\nwant %x", back, g.message)
			}
		})
	}
}

func TestEveryTruncationOfARecordedMessageIsAnError(t *testing.T) {
	for _, g := range goldens(t) {
		for n := range g.message {
			if m, err := g.dialect.Decode(g.message[:n]); err == nil {
				t.Errorf("%s cut to %d bytes decodes to %#v", g.path, n, m)
			}
			if n < g.dialect.HeaderSize() {
				continue
			}
			// Cut with the length in the header telling so.
			cut := bytes.Clone(g.message[:n])
			cut[0], cut[1] = byte(n>>8), byte(n)
			m, err := g.dialect.Decode(cut)
			if _, request := m.(InterfaceRequest); request && n == g.dialect.HeaderSize() {
				continue // INTERFACE_ADD without a body is a message of its own
			}
			if err == nil {
				t.Errorf("%s shortened to %d bytes decodes to %#v", g.path, n, m)
			}
		}
	}
}

func TestEveryRecordedMessageWithAByteMoreIsAnError(t *testing.T) {
	for _, g := range goldens(t) {
		longer := append(bytes.Clone(g.message), 0)
		longer[1]++
		if g.message[1] == 0xff {
			longer[0]++
		}
		if m, err := g.dialect.Decode(longer); err == nil && m.Command() != CommandInterfaceAdd {
			t.Errorf("%s with a byte more decodes to %#v", g.path, m)
		}
	}
}

// describe prints a message with the fields that are not zero.
func describe(m Message) string {
	var b strings.Builder
	describeValue(&b, reflect.ValueOf(m))
	return b.String()
}

func describeValue(b *strings.Builder, v reflect.Value) {
	switch x := v.Interface().(type) {
	case netip.Prefix, netip.Addr, fmt.Stringer:
		fmt.Fprint(b, x)
		return
	case []byte, [6]byte:
		fmt.Fprintf(b, "%x", x)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		name := v.Type().Name()
		b.WriteString(name + "{")
		first := true
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				continue
			}
			if !first {
				b.WriteString(" ")
			}
			first = false
			b.WriteString(v.Type().Field(i).Name + ":")
			describeValue(b, v.Field(i))
		}
		b.WriteString("}")
	case reflect.Slice:
		b.WriteString("[")
		for i := range v.Len() {
			if i > 0 {
				b.WriteString(" ")
			}
			describeValue(b, v.Index(i))
		}
		b.WriteString("]")
	case reflect.Uint64, reflect.Uint32, reflect.Uint16:
		fmt.Fprintf(b, "%#x", v.Uint())
	default:
		fmt.Fprintf(b, "%v", v.Interface())
	}
}
