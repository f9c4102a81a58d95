package zapi

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzDecode: no input panics, and what decodes survives being said again.
func FuzzDecode(f *testing.F) {
	all := Dialects()
	for i, d := range all {
		for _, g := range goldens(f) {
			if g.dialect == d {
				f.Add(uint8(i), g.message)
			}
		}
		for _, m := range messagesOf(d) {
			if b, err := d.Append(nil, m); err == nil {
				f.Add(uint8(i), b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		d := all[int(which)%len(all)]
		m, err := d.Decode(b)
		if err != nil {
			return
		}
		again, err := d.Append(nil, m)
		if err != nil {
			if len(b) > MaxMessageSize {
				return // zebra may send what it would not take
			}
			t.Fatalf("%s: %#v decodes and cannot be said: %v", d, m, err)
		}
		m2, err := d.Decode(again)
		if err != nil {
			t.Fatalf("%s: %x decodes, said again as %x it does not: %v", d, b, again, err)
		}
		if diff := cmp.Diff(m, m2, byValue, byAddress); diff != "" {
			t.Fatalf("%s: said again it is another:\n%s", d, diff)
		}
		if third, err := d.Append(nil, m2); err != nil || !bytes.Equal(again, third) {
			t.Fatalf("%s: said a third time it is %x, %v; want %x", d, third, err, again)
		}
	})
}
