package address

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzResidue reads what an earlier life noted that it put into FRR: what is
// believed is read back as it is written, and each of its lines is one line.
func FuzzResidue(f *testing.F) {
	for _, text := range []string{
		`{"networks":[{"address":"10.250.0.1","area":"0.0.0.0"}],"permits":["10.250.0.2"],"addresses":[{"address":"10.250.0.3","device":"lo"}]}`,
		`{"networks":[{"address":"","area":""}]}`, `{"permits":["::1"]}`, `{"permits":["fe80::1%x\ny"]}`, `{"addresses":[{"address":"10.250.0.3","device":"lo\nno router ospf"}]}`, `{}`, "", "null", "{",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := decodeResidue(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeResidue(again); err != nil || !back.equal(r) {
			t.Fatalf("%+v, again %+v (%v)", r, back, err)
		}
		for _, n := range r.Networks {
			if l := networkLine(n.Address, n.Area); strings.ContainsAny(l, "\n\x00") || strings.Contains(l, "invalid") {
				t.Errorf("%q", l)
			}
		}
		for _, a := range r.Addresses {
			if strings.ContainsFunc(a.Device, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
				t.Errorf("device %q", a.Device)
			}
		}
	})
}
