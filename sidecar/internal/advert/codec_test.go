package advert_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

var update = flag.Bool("update", false, "rewrite the goldens")

const wireDir = "../../../testdata/wire/advert"

var equal = cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func rid(s string) advert.RouterID { return advert.RouterIDFrom(addr(s)) }

// goldens is one row for each file of testdata/wire/advert.
var goldens = []struct {
	name, about string
	body        advert.Body
}{
	{"daemon", "the announcement of a node that is online, with its web page", advert.Body{Node: &advert.Node{
		Stamp: advert.Stamp{Incarnation: 1016193600, Generation: 1}, Host: "n1", Version: "1.0", Web: netip.MustParseAddrPort("192.0.2.1:8443"),
		State: advert.Online, Capabilities: 3}}},
	{"daemon-ipv6-page", "the same with an IPv6 page, in standby", advert.Body{Node: &advert.Node{
		Stamp: advert.Stamp{Incarnation: 1016193600, Generation: 2}, Host: "n1", Version: "1.0", Web: netip.MustParseAddrPort("[2001:db8::1]:8443"), State: advert.Standby}}},
	{"daemon-leaving", "a node that leaves for at most two minutes", advert.Body{Node: &advert.Node{
		Stamp: advert.Stamp{Incarnation: 1016193600, Generation: 9}, Host: "n1", State: advert.Leaving, Grace: 2 * time.Minute}}},
	{"service-stopped", "the least that is said of a service", advert.Body{Service: &advert.Service{
		Stamp: advert.Stamp{Incarnation: 1016193600, Generation: 3}, Name: "web", Preference: 100, State: advert.Stopped, Digest: advert.Digest{1, 2, 3, 4, 5, 6, 7, 8}}}},
	{"service-started", "a network service that runs, with its check stamp", advert.Body{Service: &advert.Service{
		Stamp: advert.Stamp{Incarnation: 1016193600, Generation: 7}, Name: "web", Group: "WEB", Dependencies: []string{"disk", "net"}, Preference: 120,
		State: advert.Started, Interval: 5 * time.Second, LastCheck: time.UnixMilli(1016193612345), Addresses: []netip.Addr{addr("10.99.0.1"), addr("2001:db8::99")},
		Claim: advert.NewClaim(42, rid("10.0.0.1")), Flags: advert.FlagCritical | advert.FlagOverlap}}},
	{"service-acknowledging", "a resource that repeats the claim it has seen", advert.Body{Service: &advert.Service{
		Stamp: advert.Stamp{Incarnation: 1016193600, Generation: 8}, Name: "disk", Preference: 100, State: advert.Stopped,
		Seen: advert.NewClaim(43, rid("10.0.0.2")), Flags: advert.FlagStrict | advert.FlagHolding}}},
	{"service-floor", "a resource that nobody claims now, and whose claims go on above the one acknowledged last", advert.Body{Service: &advert.Service{
		Stamp: advert.Stamp{Incarnation: 1016193600, Generation: 8}, Name: "disk", Preference: 100, State: advert.Stopped,
		Floor: advert.NewClaim(9004, rid("10.0.0.3")), Flags: advert.FlagStrict}}},
	{"service-starting", "a claim that waits", advert.Body{Service: &advert.Service{
		Stamp: advert.Stamp{Incarnation: 1016193600, Generation: 9}, Name: "disk", Preference: 100, State: advert.Starting, Step: advert.StepClaim,
		Claim: advert.NewClaim(43, rid("10.0.0.2")), Seen: advert.NewClaim(43, rid("10.0.0.2")), Flags: advert.FlagStrict}}},
	{"service-failed", "a failure with its words, may still run, pinned and held", advert.Body{Service: &advert.Service{
		Stamp: advert.Stamp{Incarnation: 1016193600, Generation: 10}, Name: "web", State: advert.Failed, Step: advert.StepStop,
		Failure: advert.Failure{Code: advert.FailStop, Text: "umount: target is busy"}, Pin: advert.Pin{Number: 3, Target: rid("10.0.0.3"), Left: 90},
		Hold: advert.Hold{Number: 2, On: true}, Flags: advert.FlagMayStillRun | advert.FlagProbation}}},
	{"service-pin-void", "a move that has ended", advert.Body{Service: &advert.Service{
		Stamp: advert.Stamp{Incarnation: 1016193600, Generation: 11}, Name: "web", State: advert.Stopping, Step: advert.StepLinger,
		Pin: advert.Pin{Number: 4, Target: rid("10.0.0.3"), Void: true}, Hold: advert.Hold{Number: 3}}}},
}

func appendBody(b advert.Body) ([]byte, error) {
	if b.Node != nil {
		return b.Node.Append(nil)
	}
	return b.Service.Append(nil)
}

// golden reads a hex file: bytes in hex, the rest of a line after # is words.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(wireDir, name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

// render writes a body a TLV a line.
func render(about string, b []byte) string {
	var w strings.Builder
	fmt.Fprintf(&w, "# %s\n%s # version, kind, flags\n", about, spaced(b[:4]))
	for b = b[4:]; len(b) >= 4; {
		n := int(b[2])<<8 | int(b[3])
		end := 4 + (n+3)&^3
		fmt.Fprintf(&w, "%s %s # TLV %d\n", spaced(b[:4]), spaced(b[4:end]), int(b[0])<<8|int(b[1]))
		b = b[end:]
	}
	return w.String()
}

func spaced(b []byte) string { return fmt.Sprintf("% x", b) }

func TestEveryBodyIsItsBytesAndBack(t *testing.T) {
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			b, err := appendBody(g.body)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(filepath.Join(wireDir, g.name+".hex"), []byte(render(g.about, b)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want := golden(t, g.name)
			if d := cmp.Diff(spaced(want), spaced(b)); d != "" {
				t.Errorf("bytes (-want +got):\n%s", d)
			}
			back, err := advert.Decode(want)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(g.body, back, equal); d != "" {
				t.Errorf("value (-want +got):\n%s", d)
			}
			if g.body.Stamp() != back.Stamp() {
				t.Errorf("stamp %v, want %v", back.Stamp(), g.body.Stamp())
			}
		})
	}
}

func TestEveryTruncationIsAnErrorOrLacksWholeTLVs(t *testing.T) {
	for _, g := range goldens {
		b := golden(t, g.name)
		edges := map[int]bool{4: true}
		for i := 4; i+4 <= len(b); {
			i += 4 + (int(b[i+2])<<8|int(b[i+3])+3)&^3
			edges[i] = true
		}
		for n := range len(b) {
			_, err := advert.Decode(b[:n])
			if err == nil && !edges[n] {
				t.Errorf("%s cut to %d of %d bytes is taken", g.name, n, len(b))
			}
		}
		// What is cut between two TLVs is a shorter body; without its
		// incarnation and, for a service, its name it is none.
		if _, err := advert.Decode(b[:4]); err == nil {
			t.Errorf("%s without any TLV is taken", g.name)
		}
	}
}

// raw is a body built by hand: kind and TLVs.
func raw(kind byte, tlvs ...[]byte) []byte {
	b := []byte{1, kind, 0, 0}
	for _, t := range tlvs {
		b = append(b, t...)
	}
	return b
}

func tlv(n uint16, v ...byte) []byte {
	b := []byte{byte(n >> 8), byte(n), byte(len(v) >> 8), byte(len(v))}
	b = append(b, v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

var (
	incarnation = tlv(1, 0, 0, 0, 0, 0, 0, 0, 1)
	web         = tlv(3, 'w', 'e', 'b')
	stopped     = tlv(7, 1, 0)
)

func TestWhatCannotBeReadSaysWhy(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"nothing at all", nil, "advertisement of 0 bytes: shorter than its header"},
		{"a version of the future", []byte{2, 1, 0, 0}, "advertisement version 2: only 1 is known"},
		{"a kind of the future", []byte{1, 3, 0, 0}, "advertisement kind 3: neither daemon (1) nor service (2)"},
		{"larger than an LSA", make([]byte, advert.MaxBody+1), "advertisement larger than an LSA may be: 1381 bytes, at most 1380"},
		{"no incarnation", raw(2, web, stopped), "TLV 1 (incarnation) missing or zero"},
		{"no name", raw(2, incarnation, stopped), "TLV 3 (name) missing"},
		{"no state", raw(2, incarnation, web), "TLV 7 (service state): 0 is no state"},
		{"a state of the future", raw(2, incarnation, web, tlv(7, 6, 0)), "TLV 7 (service state): 6 is no state"},
		{"a name twice", raw(2, incarnation, web, web, stopped), "TLV 3 stands twice"},
		{"a name that is a path", raw(2, incarnation, tlv(3, '.', '.', '/', 'x')), `TLV 3: name "../x": only letters, digits, '_', and after the first '.' and '-'`},
		{"an incarnation of four bytes", raw(1, tlv(1, 0, 0, 0, 1)), "TLV 1: 4 bytes, want 8"},
		{"an address of five bytes", raw(2, incarnation, web, stopped, tlv(10, 1, 2, 3, 4, 5)), "TLV 10: 5 bytes are no address"},
		{"a length beyond the end", raw(1, []byte{0, 1, 0, 9, 0, 0, 0, 0}), "TLV 1 of 9 bytes: only 4 are left"},
		{"bytes after the last TLV", append(raw(1, incarnation), 0, 0), "2 bytes after the last TLV"},
		{"an unknown node state", raw(1, incarnation, tlv(23, 9, 0, 0, 0)), "TLV 23: 9 is no node state"},
		{"a page without an address", raw(1, incarnation, tlv(22, 1)), "TLV 22: 1 bytes are neither an IPv4 nor an IPv6 address and a port"},
		{"a check time without sense", raw(2, incarnation, web, stopped, tlv(9, 0, 0, 0, 1, 255, 0, 0, 0, 0, 0, 0, 0)), "TLV 9: check stamp 18374686479671623680 is no time"},
		{"nine dependencies", raw(2, append([][]byte{incarnation, web, stopped}, bytes.Split(bytes.Repeat(append(tlv(5, 'd'), 0xee), 9), []byte{0xee})[:9]...)...), "TLV 5: more than 8 dependencies"},
		{"a failure text too long", raw(2, incarnation, web, stopped, tlv(8, bytes.Repeat([]byte{'x'}, 130)...)), "TLV 8: 130 bytes, want 1 to 129"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := advert.Decode(c.b)
			if err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestUnknownTLVsAndFlagsAreIgnored(t *testing.T) {
	b := raw(2, incarnation, tlv(99, 1, 2, 3), web, stopped, tlv(4096, 7), tlv(4096, 7), tlv(255, 1, 2, 3, 4))
	b[2], b[3] = 0xff, 0x81
	got, err := advert.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Service.Name != "web" || got.Service.Flags != advert.FlagCritical {
		t.Errorf("got %+v", got.Service)
	}
}

func TestAFailureTextIsMadeHarmlessAndShort(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                             "plain",
		"two\nlines\tand \x1b[31m":          "two lines and ?[31m",
		"\xff\xfe":                          "??",
		strings.Repeat("ü", 100):            strings.Repeat("ü", 64),
		"x" + strings.Repeat("ü", 100):      "x" + strings.Repeat("ü", 63),
		strings.Repeat("a", advert.MaxText): strings.Repeat("a", advert.MaxText),
	} {
		if got := advert.Clip(in); got != want {
			t.Errorf("Clip(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTheLargestServiceThatFitsIsTheLargestThatIsSaid(t *testing.T) {
	s := advert.Service{Stamp: advert.Stamp{Incarnation: 1}, Name: strings.Repeat("n", advert.MaxName), Group: strings.Repeat("g", advert.MaxName), State: advert.Started}
	for range advert.MaxDependencies {
		s.Dependencies = append(s.Dependencies, strings.Repeat("d", advert.MaxName))
	}
	for range advert.MaxAddresses {
		s.Addresses = append(s.Addresses, addr("10.0.0.1"))
	}
	size := s.LargestSize()
	if size > advert.MaxContent {
		t.Fatalf("16 IPv4 addresses and 8 of the longest dependencies take %d bytes", size)
	}
	s.Failure = advert.Failure{Code: advert.FailOther, Text: strings.Repeat("y", 500)}
	s.Claim, s.Seen, s.Floor, s.Pin, s.Hold, s.Freeze, s.LastCheck = 1, 2, 3, advert.Pin{Number: 1}, advert.Hold{Number: 1}, advert.Hold{Number: 1}, time.UnixMilli(5)
	b, err := s.Append(nil)
	if err != nil || len(b) != size {
		t.Errorf("%d bytes (%v), foretold %d", len(b), err, size)
	}
	for i := range s.Dependencies {
		s.Dependencies[i] += strings.Repeat("d", 60)
	}
	if _, err := s.Append(nil); !errors.Is(err, advert.ErrTooLarge) {
		t.Errorf("got %v, want %v", err, advert.ErrTooLarge)
	}
	if s.LargestSize() <= advert.MaxContent {
		t.Errorf("LargestSize %d of what does not fit", s.LargestSize())
	}
}

func TestPinsAndHoldsAreOrderedByNumberThenByWhatEnds(t *testing.T) {
	p := advert.Pin{Number: 2, Target: 5}
	for _, c := range []struct {
		a, b advert.Pin
		want bool
	}{
		{advert.Pin{Number: 3}, p, true}, {p, advert.Pin{Number: 3}, false}, {p, p, false},
		{advert.Pin{Number: 2, Target: 5, Void: true}, p, true}, {p, advert.Pin{Number: 2, Target: 5, Void: true}, false},
		{advert.Pin{Number: 2, Target: 6}, p, true}, {p, advert.Pin{}, true},
	} {
		if got := c.a.Newer(c.b); got != c.want {
			t.Errorf("%+v newer than %+v: %v", c.a, c.b, got)
		}
	}
	if h := (advert.Hold{Number: 1, On: true}); !h.Newer(advert.Hold{Number: 1}) || (advert.Hold{Number: 1}).Newer(h) || h.Newer(h) || !(advert.Hold{Number: 2}).Newer(h) {
		t.Error("of two holds with one number the one that stops counts, else the higher number")
	}
	if s := (advert.Stamp{Incarnation: 2, Generation: 1}); !s.Newer(advert.Stamp{Incarnation: 1, Generation: 9}) || s.Newer(s) || !(advert.Stamp{Incarnation: 2, Generation: 2}).Newer(s) {
		t.Error("stamps are ordered by life, then by number")
	}
}

func TestEveryWordIsSaid(t *testing.T) {
	for want, got := range map[string]fmt.Stringer{
		"stopped": advert.Stopped, "starting": advert.Starting, "started": advert.Started, "stopping": advert.Stopping, "failed": advert.Failed, "state(9)": advert.State(9),
		"claim": advert.StepClaim, "dependencies": advert.StepDependencies, "withdraw": advert.StepWithdraw, "linger": advert.StepLinger, "step(99)": advert.Step(99),
		"other": advert.FailOther, "recall limit": advert.FailRecallLimit, "failure(77)": advert.FailureCode(77),
		"online": advert.Online, "leaving": advert.Leaving, "node state(7)": advert.NodeState(7),
		"none": advert.Claim(0), "7@10.0.0.1": advert.NewClaim(7, rid("10.0.0.1")), "10.0.0.1": rid("10.0.0.1"),
		"strict,may-still-run": advert.FlagStrict | advert.FlagMayStillRun, "stop: busy": advert.Failure{Code: advert.FailStop, Text: "busy"},
		"0102030405060708": advert.Digest{1, 2, 3, 4, 5, 6, 7, 8},
	} {
		if got.String() != want {
			t.Errorf("%T says %q, want %q", got, got, want)
		}
	}
	var r advert.RouterID
	if err := r.UnmarshalText([]byte("10.0.0.9")); err != nil || r != rid("10.0.0.9") {
		t.Errorf("router id %s, %v", r, err)
	}
	if err := r.UnmarshalText([]byte("fe80::1")); err == nil {
		t.Error("an IPv6 address is taken for a router id")
	}
}

func FuzzDecodeEncodeDecodeIsStable(f *testing.F) {
	for _, g := range goldens {
		f.Add(golden(f, g.name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		one, err := advert.Decode(b)
		if err != nil {
			return
		}
		again, err := appendBody(one)
		if errors.Is(err, advert.ErrTooLarge) {
			if len(b) <= advert.MaxContent-24 { // preference and digest, said always
				t.Fatalf("what was read does not fit: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		two, err := advert.Decode(again)
		if err != nil {
			t.Fatalf("its own words cannot be read: %v", err)
		}
		if d := cmp.Diff(one, two, equal); d != "" {
			t.Fatalf("another value (-first +second):\n%s", d)
		}
	})
}

func TestAFreezeComesBackAsItWasSaid(t *testing.T) {
	for _, h := range []advert.Hold{{}, {Number: 1, On: true}, {Number: 1 << 40}} {
		s := advert.Service{Stamp: advert.Stamp{Incarnation: 1}, Name: "web", State: advert.Stopped, Freeze: h}
		n := advert.Node{Stamp: advert.Stamp{Incarnation: 1}, Host: "n1", State: advert.Online, Freeze: h}
		for _, say := range []func([]byte) ([]byte, error){s.Append, n.Append} {
			raw, err := say(nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := advert.Decode(raw)
			switch {
			case err != nil:
				t.Error(err)
			case b.Service != nil && b.Service.Freeze != h, b.Node != nil && b.Node.Freeze != h:
				t.Errorf("%+v came back as %+v %+v", h, b.Service, b.Node)
			}
		}
	}
}
