package advert_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// key7 and key8 are the keys of the goldens: bytes 0 to 31, and 32 to 63.
var (
	key7 = advert.Key{ID: 7, Secret: counting(0)}
	key8 = advert.Key{ID: 8, Secret: counting(32)}
	ring = advert.Keyring{Send: key7, Accept: []advert.Key{key7, key8}, Required: true}
	from = advert.Origin{Type: 11, ID: 222<<24 | 5<<16 | 3, Router: rid("10.0.0.1")}
)

func counting(first byte) advert.Secret {
	s := make(advert.Secret, 32)
	for i := range s {
		s[i] = first + byte(i)
	}
	return s
}

// signed is one row for each file of testdata/wire/advert whose name begins
// with signed-. The MACs were checked with another implementation (Python's
// hmac) when the files were written.
var signed = []struct {
	name, about, of string
	ring            advert.Keyring
	origin          advert.Origin
}{
	{"signed-daemon", "daemon.hex signed under key 7 (bytes 00 to 1f) as LSA 222.5.1.0 of type 11 of 10.0.0.1", "daemon",
		ring, advert.Origin{Type: 11, ID: 222<<24 | 5<<16 | 256, Router: rid("10.0.0.1")}},
	{"signed-service", "service-started.hex signed under key 8 (bytes 20 to 3f) as LSA 222.5.0.3 of type 10 of 10.0.0.2", "service-started",
		advert.Keyring{Send: key8, Accept: []advert.Key{key8}, Required: true}, advert.Origin{Type: 10, ID: 222<<24 | 5<<16 | 3, Router: rid("10.0.0.2")}},
}

func TestEverySignedBodyIsItsBytesAndBack(t *testing.T) {
	for _, g := range signed {
		t.Run(g.name, func(t *testing.T) {
			plain := golden(t, g.of)
			b := g.ring.Sign(bytes.Clone(plain), g.origin)
			if *update {
				if err := os.WriteFile(filepath.Join(wireDir, g.name+".hex"), []byte(render(g.about, b)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want := golden(t, g.name)
			if d := cmp.Diff(spaced(want), spaced(b)); d != "" {
				t.Errorf("bytes (-want +got):\n%s", d)
			}
			content, why := g.ring.Open(want, g.origin)
			if why != advert.Taken || !bytes.Equal(content, plain) {
				t.Errorf("opened: %s, %s", why, spaced(content))
			}
			// Who has no keys reads it as well, and sees under which key it is.
			one, err := advert.Decode(want)
			two, err2 := advert.Decode(plain)
			if d := cmp.Diff(two, one, equal); err != nil || err2 != nil || d != "" {
				t.Errorf("read with its signature: %v %v\n%s", err, err2, d)
			}
			if id := advert.SignedUnder(want); id != g.ring.Send.ID {
				t.Errorf("signed under %d, want %d", id, g.ring.Send.ID)
			}
			if words := advert.Describe(want); !strings.HasSuffix(words, fmt.Sprintf("\nsigned under key %d", g.ring.Send.ID)) {
				t.Errorf("described as %q", words)
			}
		})
	}
}

func TestEveryBitThatIsChangedBreaksTheSignature(t *testing.T) {
	for _, g := range signed {
		b := golden(t, g.name)
		for i := range b {
			for bit := range 8 {
				b[i] ^= 1 << bit
				if _, why := g.ring.Open(b, g.origin); why == advert.Taken {
					t.Errorf("%s: bit %d of byte %d changed, and it is taken", g.name, bit, i)
				}
				b[i] ^= 1 << bit
			}
		}
		for n := range len(b) {
			if _, why := g.ring.Open(b[:n], g.origin); why == advert.Taken {
				t.Errorf("%s cut to %d of %d bytes is taken", g.name, n, len(b))
			}
		}
		for _, more := range []string{"\x00", "\x00\x63\x00\x00"} {
			if _, why := g.ring.Open(append(bytes.Clone(b), more...), g.origin); why == advert.Taken {
				t.Errorf("%s with %q behind its signature is taken", g.name, more)
			}
		}
	}
}

func TestASignatureIsForOneLSAOfOneRouter(t *testing.T) {
	b := ring.Sign(golden(t, "service-started"), from)
	for name, o := range map[string]advert.Origin{
		"another id":     {Type: from.Type, ID: from.ID + 1<<16, Router: from.Router},
		"another scope":  {Type: 10, ID: from.ID, Router: from.Router},
		"another router": {Type: from.Type, ID: from.ID, Router: from.Router + 1},
	} {
		if _, why := ring.Open(b, o); why != advert.WrongMAC {
			t.Errorf("under %s: %s, want %s", name, why, advert.WrongMAC)
		}
	}
	if _, why := ring.Open(b, from); why != advert.Taken {
		t.Errorf("as it was signed: %s", why)
	}
}

func TestWhatARingTakesAndRefuses(t *testing.T) {
	plain := golden(t, "service-started")
	other := advert.Key{ID: 7, Secret: counting(100)}
	under := func(k advert.Key) []byte {
		return advert.Keyring{Send: k}.Sign(bytes.Clone(plain), from)
	}
	lax := advert.Keyring{Send: key7, Accept: []advert.Key{key7}}
	for _, c := range []struct {
		name string
		ring advert.Keyring
		body []byte
		want advert.Refusal
	}{
		{"nobody has keys", advert.Keyring{}, plain, advert.Taken},
		{"others have keys already", advert.Keyring{}, under(key7), advert.Taken},
		{"unsigned where it is required", ring, plain, advert.Unsigned},
		{"unsigned while keys are given out", lax, plain, advert.Taken},
		{"wrongly signed while keys are given out", lax, under(other), advert.WrongMAC},
		{"the other key of a rotation", ring, under(key8), advert.Taken},
		{"a key that has gone", lax, under(key8), advert.UnknownKey},
		{"another secret under the same id", ring, under(other), advert.WrongMAC},
	} {
		t.Run(c.name, func(t *testing.T) {
			content, why := c.ring.Open(c.body, from)
			if why != c.want {
				t.Fatalf("%s, want %s", why, c.want)
			}
			if why == advert.Taken && !bytes.Equal(content, plain) {
				t.Errorf("the content is %s", spaced(content))
			}
			if why != advert.Taken && content != nil {
				t.Error("content of what is refused")
			}
			if why.Why() == "" || strings.HasPrefix(why.String(), "refusal(") {
				t.Errorf("no words for %d", why)
			}
		})
	}
}

func TestASignatureInsideAnotherTLVIsNone(t *testing.T) {
	inner := ring.Sign(golden(t, "service-stopped"), from)
	mac := inner[len(inner)-advert.AuthLen:]
	// An unknown TLV whose value ends with the bytes of a signature.
	b := append(raw(2, incarnation, web, stopped), tlv(99, mac...)...)
	if id := advert.SignedUnder(b); id != 0 {
		t.Errorf("signed under %d", id)
	}
	if content, why := (advert.Keyring{}).Open(b, from); why != advert.Taken || !bytes.Equal(content, b) {
		t.Errorf("%s: %d of %d bytes", why, len(content), len(b))
	}
	if _, err := advert.Decode(raw(2, incarnation, web, tlv(255, 1, 2, 3, 4), stopped)); err == nil || err.Error() != "TLV 255 is not the last one" {
		t.Errorf("a signature in the middle: %v", err)
	}
}

func TestTheLargestBodyFitsWithItsSignature(t *testing.T) {
	s := advert.Service{Stamp: advert.Stamp{Incarnation: 1}, Name: "x", State: advert.Started}
	for range advert.MaxDependencies {
		s.Dependencies = append(s.Dependencies, strings.Repeat("d", advert.MaxName))
	}
	var b []byte
	for n := range 600 { // the longest dependency that still fits
		s.Dependencies[0] = strings.Repeat("d", n)
		next, err := s.Append(nil)
		if errors.Is(err, advert.ErrTooLarge) {
			break
		}
		b = next
	}
	if len(b) > advert.MaxContent || len(b) <= advert.MaxContent-8 && len(s.Dependencies[0]) < 500 {
		t.Fatalf("%d bytes, at most %d", len(b), advert.MaxContent)
	}
	if all := ring.Sign(b, from); len(all) > advert.MaxBody {
		t.Errorf("%d bytes with its signature, at most %d", len(all), advert.MaxBody)
	}
}

func TestASecretNeverShowsItself(t *testing.T) {
	const word = "correct horse battery"
	k := advert.Key{ID: 3, Secret: advert.Secret(word)}
	var all bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U", "%o"} {
		fmt.Fprintf(&all, verb+" "+verb+" "+verb+"\n", k, &k, advert.Keyring{Send: k, Accept: []advert.Key{k}})
		fmt.Fprintf(&all, verb+"\n", k.Secret)
	}
	log := slog.New(slog.NewJSONHandler(&all, nil))
	log.Info("x", "key", k, "ring", advert.Keyring{Send: k}, "secret", k.Secret)
	slog.New(slog.NewTextHandler(&all, nil)).Info("x", "key", k, "secret", k.Secret)
	if err := json.NewEncoder(&all).Encode(k); err != nil {
		t.Fatal(err)
	}
	for _, leak := range []string{word, fmt.Sprintf("%x", word), fmt.Sprintf("%X", word), "99 111 114", "Y29ycmVjd", "U+0063"} {
		if strings.Contains(all.String(), leak) {
			t.Errorf("it shows as %q in\n%s", leak, all.String())
		}
	}
	if !strings.Contains(all.String(), "(secret)") {
		t.Error("nothing stands in its place")
	}
}

func TestRingsAreComparedByWhatTheyDo(t *testing.T) {
	same := advert.Keyring{Send: advert.Key{ID: 7, Secret: counting(0)}, Accept: []advert.Key{{ID: 7, Secret: counting(0)}, {ID: 8, Secret: counting(32)}}, Required: true}
	if !ring.Equal(same) || !(advert.Keyring{}).Equal(advert.Keyring{}) {
		t.Error("equal rings differ")
	}
	for name, change := range map[string]func(*advert.Keyring){
		"another send key":    func(k *advert.Keyring) { k.Send = key8 },
		"another secret":      func(k *advert.Keyring) { k.Accept = []advert.Key{key7, {ID: 8, Secret: counting(9)}} },
		"a key less":          func(k *advert.Keyring) { k.Accept = k.Accept[:1] },
		"not required though": func(k *advert.Keyring) { k.Required = false },
	} {
		k := same
		if change(&k); ring.Equal(k) {
			t.Errorf("%s is no difference", name)
		}
	}
}

func FuzzOpenTakesOnlyWhatWasSigned(f *testing.F) {
	for _, g := range signed {
		f.Add(golden(f, g.name), uint8(11), uint32(222<<24), uint32(1))
	}
	f.Add(ring.Sign(golden(f, "service-failed"), from), from.Type, from.ID, uint32(from.Router))
	for _, g := range goldens {
		f.Add(golden(f, g.name), from.Type, from.ID, uint32(from.Router))
	}
	f.Fuzz(func(t *testing.T, b []byte, typ uint8, id, router uint32) {
		o := advert.Origin{Type: typ, ID: id, Router: advert.RouterID(router)}
		content, why := ring.Open(b, o)
		if why == advert.Taken {
			if again := (advert.Keyring{Send: advert.Key{ID: advert.SignedUnder(b), Secret: map[uint32]advert.Secret{7: key7.Secret, 8: key8.Secret}[advert.SignedUnder(b)]}}).Sign(bytes.Clone(content), o); !bytes.Equal(again, b) {
				t.Fatalf("taken, though it is not what is signed:\n%x\n%x", b, again)
			}
		}
		if back, why := ring.Open(ring.Sign(bytes.Clone(b), o), o); len(b) >= 4 && wholeTLVs(b) && (why != advert.Taken || !bytes.Equal(back, b)) {
			t.Fatalf("signed and opened: %s, %x", why, back)
		}
	})
}

// wholeTLVs tells whether a signature behind b would be found.
func wholeTLVs(b []byte) bool {
	at := 4
	for at+4 <= len(b) {
		at += 4 + (int(b[at+2])<<8|int(b[at+3])+3)&^3
	}
	return at == len(b)
}
