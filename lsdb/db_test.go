package lsdb

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/srrd/srrd/lsdb/lsa"
)

var compareAddrs = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}

// t0 is when the tests begin.
var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

var area0 = ip("0.0.0.0")

// up makes what ospfd would say of an LSA.
func up(t testing.TB, area string, age int, seq int32, typ lsa.Type, id, adv string, body lsa.Body) Update {
	t.Helper()
	l := lsa.LSA{Header: lsa.Header{Age: uint16(age), Options: lsa.OptionE, Type: typ, ID: ip(id), AdvRouter: ip(adv),
		Seq: lsa.InitialSeq + lsa.Seq(seq)}, Body: body}
	raw, err := l.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return Update{Area: ip(area), IfAddr: ip("192.168.0.1"), Raw: raw}
}

// stubs makes a router LSA's body with stub links.
func stubs(prefixes ...string) lsa.Router {
	var r lsa.Router
	for _, s := range prefixes {
		p := netip.MustParsePrefix(s)
		m := ^uint32(0) << (32 - p.Bits())
		r.Links = append(r.Links, lsa.RouterLink{Type: lsa.LinkStub, ID: p.Addr(),
			Data: netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}), Metric: 1})
	}
	return r
}

func ext(metric uint32) lsa.External {
	return lsa.External{Bits: 32, Metric: metric, Forward: ip("0.0.0.0")}
}

func must(t testing.TB) func(Change, error) Change {
	return func(c Change, err error) Change {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// told writes a change in one line.
func told(c Change) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.Kind, c.Key)
	for _, r := range c.Appeared {
		fmt.Fprintf(&b, " +%s@%s/%d", r.Addr, r.Adv, r.Type)
	}
	for _, r := range c.Vanished {
		fmt.Fprintf(&b, " -%s@%s/%d", r.Addr, r.Adv, r.Type)
	}
	return b.String()
}

func expect(t *testing.T, c Change, want string) {
	t.Helper()
	if got := told(c); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestAnLSAIsAddedRefreshedReplacedFlushedAndRemoved(t *testing.T) {
	db, ok := New(Limits{}), must(t)
	at := func(age int, seq int32, metric uint32) Update {
		return up(t, "0.0.0.0", age, seq, lsa.TypeASExternal, "10.0.0.9", "1.1.1.1", ext(metric))
	}
	const name = "external 10.0.0.9 of 1.1.1.1"
	expect(t, ok(db.Update(t0, at(1, 0, 20))), "added "+name+" +10.0.0.9@1.1.1.1/5")
	expect(t, ok(db.Update(t0, at(2, 0, 20))), "unchanged "+name)
	expect(t, ok(db.Update(t0, at(1, 1, 20))), "refreshed "+name)
	expect(t, ok(db.Update(t0, at(1, 2, 30))), "replaced "+name)
	expect(t, ok(db.Delete(t0, at(1, 1, 20))), "ignored "+name) // overtaken
	expect(t, ok(db.Delete(t0, at(1, 2, 30))), "flushed "+name+" -10.0.0.9@1.1.1.1/5")
	expect(t, ok(db.Delete(t0, at(1, 2, 30))), "unchanged "+name)
	expect(t, ok(db.Update(t0, at(lsa.MaxAge, 2, 30))), "unchanged "+name) // a sync says it too
	if e, there := db.Lookup(Key{Type: lsa.TypeASExternal, ID: ip("10.0.0.9"), Adv: ip("1.1.1.1")}); !there || !e.MaxAge {
		t.Errorf("an LSA being flushed is present: got %+v %v", e, there)
	}
	expect(t, ok(db.Delete(t0, at(lsa.MaxAge, 2, 30))), "removed "+name)
	expect(t, ok(db.Delete(t0, at(lsa.MaxAge, 2, 30))), "ignored "+name)
	want := Stats{Updates: 5, Unchanged: 2, Deletes: 5, StaleDeletes: 1}
	if d := cmp.Diff(want, db.Stats()); d != "" {
		t.Errorf("stats (-want +got):\n%s", d)
	}
}

func TestOspfdIsBelievedEvenWhenItInstallsOlderWords(t *testing.T) {
	db, ok := New(Limits{}), must(t)
	say := func(seq int32, data string) Update {
		return up(t, "0.0.0.0", 1, seq, lsa.TypeOpaqueAS, "222.0.0.1", "1.1.1.1", lsa.Opaque{Data: []byte(data)})
	}
	ok(db.Update(t0, say(7, "new life")))
	c := ok(db.Update(t0, say(3, "old life")))
	expect(t, c, "replaced opaque-as 222.0.0.1 of 1.1.1.1")
	if got := string(c.New.LSA.Body.(lsa.Opaque).Data); got != "old life" {
		t.Errorf("holds %q", got)
	}
}

func TestOwnDeletionIsPresentUntilOspfdDropsIt(t *testing.T) {
	db, ok := New(Limits{}), must(t)
	own := up(t, "0.0.0.1", 0, 0, lsa.TypeOpaqueArea, "222.0.1.0", "1.1.1.1", lsa.Opaque{Data: []byte("x")})
	own.Self = true
	key := ok(db.Update(t0, own)).Key
	expect(t, db.Flush(t0, key), "flushed opaque-area 222.0.1.0 of 1.1.1.1 (area 0.0.0.1)")
	expect(t, db.Flush(t0, key), "unchanged opaque-area 222.0.1.0 of 1.1.1.1 (area 0.0.0.1)")
	if _, there := db.Lookup(key); !there || db.Stats().MaxAge != 1 {
		t.Error("the id is taken for free while ospfd still holds it")
	}
	own.Raw[0], own.Raw[1] = 0x0e, 0x10
	expect(t, ok(db.Delete(t0, own)), "removed opaque-area 222.0.1.0 of 1.1.1.1 (area 0.0.0.1)")
	expect(t, db.Flush(t0, key), "ignored opaque-area 222.0.1.0 of 1.1.1.1 (area 0.0.0.1)")
}

func TestTheSameIDInAnotherScopeIsAnotherLSA(t *testing.T) {
	db, ok := New(Limits{}), must(t)
	opaque := lsa.Opaque{Data: []byte("x")}
	for _, typ := range []lsa.Type{lsa.TypeOpaqueLink, lsa.TypeOpaqueArea, lsa.TypeOpaqueAS} {
		for _, area := range []string{"0.0.0.0", "0.0.0.1"} {
			u := up(t, area, 1, 0, typ, "222.0.0.1", "1.1.1.1", opaque)
			u.IfAddr = ip("192.168.0.1")
			ok(db.Update(t0, u))
			u.IfAddr = ip("192.168.1.1")
			ok(db.Update(t0, u))
		}
	}
	var got []string
	for e := range db.All() {
		got = append(got, e.Key.String())
	}
	want := []string{
		"opaque-link 222.0.0.1 of 1.1.1.1 (link 192.168.0.1)",
		"opaque-link 222.0.0.1 of 1.1.1.1 (link 192.168.1.1)",
		"opaque-area 222.0.0.1 of 1.1.1.1 (area 0.0.0.0)",
		"opaque-area 222.0.0.1 of 1.1.1.1 (area 0.0.0.1)",
		"opaque-as 222.0.0.1 of 1.1.1.1",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestHostRoutesAppearWithTheFirstLSAAndVanishWithTheLast(t *testing.T) {
	db, ok := New(Limits{}), must(t)
	router := func(area string, seq int32, prefixes ...string) Update {
		return up(t, area, 1, seq, lsa.TypeRouter, "1.1.1.1", "1.1.1.1", stubs(prefixes...))
	}
	in0, in1 := "router 1.1.1.1 of 1.1.1.1 (area 0.0.0.0)", "router 1.1.1.1 of 1.1.1.1 (area 0.0.0.1)"
	expect(t, ok(db.Update(t0, router("0.0.0.0", 0, "10.0.0.2/32", "10.0.0.1/32", "10.0.0.2/32", "10.1.0.0/24"))),
		"added "+in0+" +10.0.0.1@1.1.1.1/1 +10.0.0.2@1.1.1.1/1")
	expect(t, ok(db.Update(t0, router("0.0.0.1", 0, "10.0.0.2/32"))), "added "+in1)
	expect(t, ok(db.Update(t0, router("0.0.0.0", 1, "10.0.0.3/32"))),
		"replaced "+in0+" +10.0.0.3@1.1.1.1/1 -10.0.0.1@1.1.1.1/1")
	expect(t, ok(db.Delete(t0, router("0.0.0.1", 0, "10.0.0.2/32"))), "flushed "+in1+" -10.0.0.2@1.1.1.1/1")
	expect(t, ok(db.Update(t0, router("0.0.0.1", 1, "10.0.0.2/32"))), "replaced "+in1+" +10.0.0.2@1.1.1.1/1")
	var got []string
	for _, c := range db.Reset() {
		got = append(got, told(c))
	}
	want := []string{"removed " + in0 + " -10.0.0.3@1.1.1.1/1", "removed " + in1 + " -10.0.0.2@1.1.1.1/1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestWhoAnnouncesAnAddress(t *testing.T) {
	db, ok := New(Limits{}), must(t)
	summary := func(bits uint8, metric uint32) lsa.Summary { return lsa.Summary{Bits: bits, Metric: metric} }
	ok(db.Update(t0, up(t, "0.0.0.0", 1, 0, lsa.TypeRouter, "1.1.1.1", "1.1.1.1", stubs("10.0.0.9/32"))))
	ok(db.Update(t0, up(t, "0.0.0.0", 1, 0, lsa.TypeSummary, "10.0.0.9", "2.2.2.2", summary(32, 5))))
	ok(db.Update(t0, up(t, "0.0.0.0", 1, 0, lsa.TypeSummary, "10.0.0.9", "3.3.3.3", summary(32, lsa.LSInfinity))))
	ok(db.Update(t0, up(t, "0.0.0.0", 1, 0, lsa.TypeSummary, "10.0.0.0", "2.2.2.2", summary(24, 5))))
	ok(db.Update(t0, up(t, "0.0.0.0", 1, 0, lsa.TypeASExternal, "10.0.0.9", "4.4.4.4", ext(lsa.LSInfinity-1))))
	ok(db.Update(t0, up(t, "0.0.0.0", 1, 0, lsa.TypeASExternal, "10.0.0.9", "5.5.5.5", ext(lsa.LSInfinity))))
	ok(db.Update(t0, up(t, "0.0.0.0", lsa.MaxAge, 0, lsa.TypeASExternal, "10.0.0.9", "6.6.6.6", ext(1))))
	ok(db.Update(t0, up(t, "0.0.0.2", 1, 0, lsa.TypeNSSA, "10.0.0.9", "7.7.7.7", ext(1))))
	ok(db.Update(t0, up(t, "0.0.0.0", 1, 0, lsa.TypeNetwork, "10.0.0.9", "8.8.8.8",
		lsa.Network{Bits: 32, Routers: []netip.Addr{ip("8.8.8.8")}})))
	want := []HostRoute{
		{ip("10.0.0.9"), ip("1.1.1.1"), lsa.TypeRouter},
		{ip("10.0.0.9"), ip("2.2.2.2"), lsa.TypeSummary},
		{ip("10.0.0.9"), ip("4.4.4.4"), lsa.TypeASExternal},
		{ip("10.0.0.9"), ip("7.7.7.7"), lsa.TypeNSSA},
	}
	if d := cmp.Diff(want, db.HostRoutes(ip("10.0.0.9")), compareAddrs); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff(want, db.AllHostRoutes(), compareAddrs); d != "" {
		t.Errorf("all (-want +got):\n%s", d)
	}
	if got := db.HostRoutes(ip("10.0.0.8")); got != nil {
		t.Errorf("an address nobody announces has %v", got)
	}
	for adv, want := range map[string]bool{"1.1.1.1": true, "2.2.2.2": false, "4.4.4.4": true, "5.5.5.5": false, "7.7.7.7": true} {
		if got := db.Announces(ip(adv), ip("10.0.0.9")); got != want {
			t.Errorf("%s announces it itself: %v, want %v", adv, got, want)
		}
	}
}

func TestALiveType4NamesAnASBR(t *testing.T) {
	db, ok := New(Limits{}), must(t)
	name := func(area, abr string, metric uint32) Update {
		return up(t, area, 1, 0, lsa.TypeASBRSummary, "9.9.9.9", abr, lsa.Summary{Metric: metric})
	}
	ok(db.Update(t0, name("0.0.0.1", "1.1.1.1", 10)))
	ok(db.Update(t0, name("0.0.0.0", "2.2.2.2", 20)))
	ok(db.Update(t0, name("0.0.0.0", "1.1.1.1", 30)))
	ok(db.Update(t0, name("0.0.0.0", "3.3.3.3", lsa.LSInfinity)))
	want := []ASBRSummary{
		{ip("9.9.9.9"), ip("1.1.1.1"), area0, 30},
		{ip("9.9.9.9"), ip("2.2.2.2"), area0, 20},
		{ip("9.9.9.9"), ip("1.1.1.1"), ip("0.0.0.1"), 10},
	}
	if d := cmp.Diff(want, db.ASBRSummaries(ip("9.9.9.9")), compareAddrs); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	ok(db.Delete(t0, name("0.0.0.0", "1.1.1.1", 30)))
	db.Mark()
	ok(db.Update(t0, name("0.0.0.0", "2.2.2.2", 20)))
	db.Sweep()
	if d := cmp.Diff(want[1:2], db.ASBRSummaries(ip("9.9.9.9")), compareAddrs); d != "" {
		t.Errorf("after a flush and a sweep (-want +got):\n%s", d)
	}
	if got := db.ASBRSummaries(ip("1.1.1.1")); got != nil {
		t.Errorf("an ABR nobody names: %v", got)
	}
}

func TestASweepRemovesWhatTheSyncDidNotMention(t *testing.T) {
	db, ok := New(Limits{}), must(t)
	one := up(t, "0.0.0.0", 1, 0, lsa.TypeASExternal, "10.0.0.1", "1.1.1.1", ext(1))
	two := up(t, "0.0.0.0", 1, 0, lsa.TypeASExternal, "10.0.0.2", "1.1.1.1", ext(1))
	three := up(t, "0.0.0.0", 1, 0, lsa.TypeASExternal, "10.0.0.3", "1.1.1.1", ext(1))
	seven := up(t, "0.0.0.2", 1, 0, lsa.TypeNSSA, "10.0.0.7", "1.1.1.1", ext(1))
	for _, u := range []Update{one, two, three, seven} {
		ok(db.Update(t0, u))
	}
	if got := db.Sweep(); got != nil {
		t.Errorf("a sweep without a mark removed %v", got)
	}
	db.Mark()
	ok(db.Update(t0, two))
	db.Mark() // begun anew: what was said before does not count
	ok(db.Update(t0, one))
	ok(db.Update(t0, up(t, "0.0.0.0", lsa.MaxAge, 0, lsa.TypeASExternal, "10.0.0.3", "1.1.1.1", ext(1))))
	var got []string
	for _, c := range db.Sweep() {
		got = append(got, told(c))
	}
	want := []string{"removed external 10.0.0.2 of 1.1.1.1 -10.0.0.2@1.1.1.1/5"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := db.Sweep(); got != nil {
		t.Errorf("a second sweep removed %v", got)
	}
	if s := db.Stats(); s.LSAs != 3 || s.Swept != 1 || s.MaxAge != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestTheAgeRunsOn(t *testing.T) {
	db, ok := New(Limits{}), must(t)
	e := ok(db.Update(t0, up(t, "0.0.0.0", 100, 0, lsa.TypeASExternal, "10.0.0.1", "1.1.1.1", ext(1)))).New
	dna := up(t, "0.0.0.0", 100, 0, lsa.TypeASExternal, "10.0.0.2", "1.1.1.1", ext(1))
	dna.Raw[0] |= 0x80
	never := ok(db.Update(t0, dna)).New
	for _, tc := range []struct {
		name string
		e    *Entry
		at   time.Duration
		want uint16
	}{
		{"as received", e, 0, 100},
		{"whole seconds only", e, 1999 * time.Millisecond, 101},
		{"not beyond MaxAge", e, 24 * time.Hour, lsa.MaxAge},
		{"a clock gone backwards adds nothing", e, -time.Hour, 100},
		{"DoNotAge", never, time.Hour, 100},
	} {
		if got := tc.e.Age(t0.Add(tc.at)); got != tc.want {
			t.Errorf("%s: age %d, want %d", tc.name, got, tc.want)
		}
		if got := tc.e.At(t0.Add(tc.at)); got.Age != tc.want || got.ID != tc.e.Key.ID {
			t.Errorf("%s: shown as %s", tc.name, got)
		}
	}
}

func TestAnLSAThatIsNotRefreshedExpires(t *testing.T) {
	db, ok := New(Limits{}), must(t)
	if at, some := db.NextExpiry(); some {
		t.Errorf("nothing held, something expires at %v", at)
	}
	ok(db.Update(t0, up(t, "0.0.0.0", 600, 0, lsa.TypeASExternal, "10.0.0.1", "1.1.1.1", ext(1))))
	ok(db.Update(t0, up(t, "0.0.0.0", 0, 0, lsa.TypeASExternal, "10.0.0.2", "1.1.1.1", ext(1))))
	if at, some := db.NextExpiry(); !some || !at.Equal(t0.Add(3000*time.Second)) {
		t.Errorf("next expiry %v %v", at, some)
	}
	if got := db.Expire(t0.Add(3000*time.Second - 1)); got != nil {
		t.Errorf("expired too early: %v", got)
	}
	got := db.Expire(t0.Add(3000 * time.Second))
	if len(got) != 1 {
		t.Fatalf("got %v", got)
	}
	expect(t, got[0], "flushed external 10.0.0.1 of 1.1.1.1 -10.0.0.1@1.1.1.1/5")
	if at, some := db.NextExpiry(); !some || !at.Equal(t0.Add(3600*time.Second)) {
		t.Errorf("next expiry %v %v", at, some)
	}
	if got[0].New.Age(t0) != lsa.MaxAge || db.Len() != 2 {
		t.Errorf("expired but not held at MaxAge")
	}
	if got := db.Expire(t0.Add(9000 * time.Second)); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	if at, some := db.NextExpiry(); some {
		t.Errorf("all expired, something more at %v", at)
	}
}

func TestDamagedLSAsAreRefusedAndCounted(t *testing.T) {
	db := New(Limits{})
	u := up(t, "0.0.0.0", 1, 0, lsa.TypeASExternal, "10.0.0.1", "1.1.1.1", ext(1))
	must(t)(db.Update(t0, u))
	bad := slices.Clone(u.Raw)
	bad[30] ^= 1
	for _, tc := range []struct {
		name string
		raw  []byte
		why  error
	}{{"a flipped bit", bad, lsa.ErrChecksum}, {"cut off", u.Raw[:30], lsa.ErrLength}, {"nothing", nil, lsa.ErrLength}} {
		if _, err := db.Update(t0, Update{Area: area0, Raw: tc.raw}); !errors.Is(err, ErrDamaged) || !errors.Is(err, tc.why) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if _, err := db.Delete(t0, Update{Raw: u.Raw[:19]}); !errors.Is(err, ErrDamaged) {
		t.Errorf("delete of half a header: %v", err)
	}
	if s := db.Stats(); s.Damaged != 4 || s.LSAs != 1 {
		t.Errorf("stats %+v", s)
	}
	if got := db.HostRoutes(ip("10.0.0.1")); len(got) != 1 {
		t.Errorf("the former instance is gone: %v", got)
	}
}

func TestAFullMirrorSaysSoAndKeepsWhatItHas(t *testing.T) {
	ok := must(t)
	db := New(Limits{LSAs: 2, Bytes: 100})
	say := func(id string, n int) Update {
		return up(t, "0.0.0.0", 1, int32(n), lsa.TypeOpaqueAS, id, "1.1.1.1", lsa.Opaque{Data: make([]byte, n)})
	}
	ok(db.Update(t0, say("222.0.0.1", 20)))
	ok(db.Update(t0, say("222.0.0.2", 20)))
	_, err := db.Update(t0, say("222.0.0.3", 0))
	if !errors.Is(err, ErrFull) || err.Error() != "opaque-as 222.0.0.3 of 1.1.1.1: LSDB mirror is full: holds 2 LSAs, the limit" {
		t.Errorf("one LSA too many: %v", err)
	}
	_, err = db.Update(t0, say("222.0.0.1", 41))
	if !errors.Is(err, ErrFull) || err.Error() != "opaque-as 222.0.0.1 of 1.1.1.1: LSDB mirror is full: 21 bytes more exceed the limit of 100" {
		t.Errorf("one byte too many: %v", err)
	}
	ok(db.Update(t0, say("222.0.0.1", 40)))
	if s := db.Stats(); s.LSAs != 2 || s.Bytes != 100 || s.Refused != 2 {
		t.Errorf("stats %+v", s)
	}
	ok(db.Delete(t0, up(t, "0.0.0.0", lsa.MaxAge, 99, lsa.TypeOpaqueAS, "222.0.0.1", "1.1.1.1", lsa.Opaque{})))
	ok(db.Update(t0, say("222.0.0.3", 40)))
}

func TestTheMirrorKeepsNoPartOfTheCallersBuffer(t *testing.T) {
	db := New(Limits{})
	u := up(t, "0.0.0.0", 1, 0, lsa.TypeOpaqueAS, "222.0.0.1", "1.1.1.1", lsa.Opaque{Data: []byte("mine")})
	want := slices.Clone(u.Raw)
	e := must(t)(db.Update(t0, u)).New
	clear(u.Raw)
	if !slices.Equal(e.Raw, want) || string(e.LSA.Body.(lsa.Opaque).Data) != "mine" {
		t.Errorf("holds %x, %v", e.Raw, e.LSA.Body)
	}
}

func TestASnapshotIsTheSameUntilSomethingChangesAndNeverChangesItself(t *testing.T) {
	db, ok := New(Limits{}), must(t)
	one := up(t, "0.0.0.0", 1, 0, lsa.TypeASExternal, "10.0.0.1", "1.1.1.1", ext(1))
	two := up(t, "0.0.0.0", 1, 0, lsa.TypeRouter, "2.2.2.2", "2.2.2.2", stubs())
	k := ok(db.Update(t0, one)).Key
	a := db.Snapshot()
	if db.Snapshot() != a {
		t.Error("two snapshots of one state")
	}
	ok(db.Update(t0, one))
	if b := db.Snapshot(); b.Version() != a.Version() || b.Stats().Unchanged != 1 {
		t.Errorf("version %d, was %d; stats %+v", b.Version(), a.Version(), b.Stats())
	}
	ok(db.Update(t0, two))
	db.Flush(t0, k)
	b := db.Snapshot()
	if b == a || b.Version() == a.Version() || b.Len() != 2 {
		t.Error("a change made no new snapshot")
	}
	if e, there := a.Lookup(k); !there || e.MaxAge || a.Len() != 1 {
		t.Errorf("the old snapshot changed: %+v", e)
	}
	if e, there := b.Lookup(k); !there || !e.MaxAge {
		t.Errorf("the new snapshot has %+v", e)
	}
	if _, there := b.Lookup(Key{Type: lsa.TypeOpaqueAS}); there {
		t.Error("found what is not there")
	}
	if got := slices.Collect(b.ByType(lsa.TypeRouter)); len(got) != 1 || got[0].Key.ID != ip("2.2.2.2") {
		t.Errorf("by type: %v", got)
	}
	if got := slices.Collect(db.ByType(lsa.TypeOpaqueAS)); len(got) != 0 {
		t.Errorf("by a type that is not there: %v", got)
	}
	if got := slices.Collect(b.ByAdv(ip("1.1.1.1"))); len(got) != 1 || got[0].Key != k {
		t.Errorf("by router: %v", got)
	}
	db.Reset()
	if b.Len() != 2 || db.Snapshot().Len() != 0 {
		t.Error("reset")
	}
}

func TestNamesOfChanges(t *testing.T) {
	if got := fmt.Sprint(Unchanged, Added, Refreshed, Replaced, Flushed, Removed, Ignored, ChangeKind(99)); got !=
		"unchanged added refreshed replaced flushed removed ignored change-99" {
		t.Error(got)
	}
}
