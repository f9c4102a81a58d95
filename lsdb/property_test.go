package lsdb

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/srrd/srrd/lsdb/lsa"
)

// slowDB is the mirror written down the obvious way: a map, scanned.
type slowDB struct {
	held  map[Key]*Entry
	named map[Key]bool // since Mark
}

func (s *slowDB) hosts() map[HostRoute]bool {
	out := map[HostRoute]bool{}
	for _, e := range s.held {
		if e.MaxAge {
			continue
		}
		switch b := e.LSA.Body.(type) {
		case lsa.Router:
			for _, l := range b.Links {
				if l.Type == lsa.LinkStub && l.Data == ip("255.255.255.255") {
					out[HostRoute{l.ID, e.Key.Adv, lsa.TypeRouter}] = true
				}
			}
		case lsa.External:
			if b.Bits == 32 && b.Metric < lsa.LSInfinity {
				out[HostRoute{e.Key.ID, e.Key.Adv, e.Key.Type}] = true
			}
		case lsa.Summary:
			if e.Key.Type == lsa.TypeSummary && b.Bits == 32 && b.Metric < lsa.LSInfinity {
				out[HostRoute{e.Key.ID, e.Key.Adv, e.Key.Type}] = true
			}
		}
	}
	return out
}

func minus(a, b map[HostRoute]bool) []HostRoute {
	var out []HostRoute
	for r := range a {
		if !b[r] {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, HostRoute.Compare)
	return out
}

// draw makes one LSA out of few, so that keys, prefixes and instances meet.
func draw(t *rapid.T) Update {
	adv := netip.AddrFrom4([4]byte{1, 1, 1, byte(rapid.IntRange(1, 3).Draw(t, "adv"))})
	host := rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, 3).Draw(t, "host"))})
	})
	metric := rapid.SampledFrom([]uint32{1, lsa.LSInfinity})
	l := lsa.LSA{Header: lsa.Header{
		Age: rapid.SampledFrom([]uint16{1, 1, 1, lsa.MaxAge}).Draw(t, "age"), Options: lsa.OptionE,
		Type:      rapid.SampledFrom(lsa.Types[:]).Draw(t, "type"),
		AdvRouter: adv, ID: host.Draw(t, "id"), Seq: lsa.InitialSeq + lsa.Seq(rapid.IntRange(0, 2).Draw(t, "seq")),
	}}
	switch l.Type {
	case lsa.TypeRouter:
		var r lsa.Router
		for _, h := range rapid.SliceOfN(host, 0, 3).Draw(t, "stubs") {
			r.Links = append(r.Links, lsa.RouterLink{Type: lsa.LinkStub, ID: h, Data: ip("255.255.255.255")})
		}
		l.ID, l.Body = adv, r
	case lsa.TypeNetwork:
		l.Body = lsa.Network{Bits: 24, Routers: []netip.Addr{adv}}
	case lsa.TypeSummary:
		l.Body = lsa.Summary{Bits: 32, Metric: metric.Draw(t, "metric")}
	case lsa.TypeASBRSummary:
		l.Body = lsa.Summary{Metric: metric.Draw(t, "metric")}
	case lsa.TypeASExternal, lsa.TypeNSSA:
		l.Body = lsa.External{Bits: uint8(rapid.SampledFrom([]int{24, 32}).Draw(t, "bits")), Metric: metric.Draw(t, "metric"), Forward: ip("0.0.0.0")}
	case lsa.TypeOpaqueLink, lsa.TypeOpaqueArea, lsa.TypeOpaqueAS:
		l.Body = lsa.Opaque{Data: rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "data")}
	}
	raw, err := l.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	area := netip.AddrFrom4([4]byte{0, 0, 0, byte(rapid.IntRange(0, 1).Draw(t, "area"))})
	if l.Type.Scope() == lsa.ScopeAS {
		area = area0
	}
	return Update{Area: area, IfAddr: ip("192.168.0.1"), Raw: raw}
}

func TestTheMirrorAgreesWithItsSlowTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		db := New(Limits{})
		twin := &slowDB{held: map[Key]*Entry{}, named: map[Key]bool{}}
		marked := false
		now := t0
		before := map[HostRoute]bool{}
		// check compares what a change tells with what a scan finds.
		check := func(what string, changes ...Change) {
			after := twin.hosts()
			told := map[HostRoute]bool{}
			for r := range before {
				told[r] = true
			}
			for _, c := range changes {
				for _, r := range c.Vanished {
					if !told[r] {
						t.Fatalf("%s: %v vanished but was not there", what, r)
					}
					delete(told, r)
				}
				for _, r := range c.Appeared {
					if told[r] {
						t.Fatalf("%s: %v appeared but was there", what, r)
					}
					told[r] = true
				}
			}
			if d := cmp.Diff(minus(after, nil), minus(told, nil), compareAddrs); d != "" {
				t.Fatalf("%s: host routes by changes (-scan +told):\n%s", what, d)
			}
			if d := cmp.Diff(minus(after, nil), db.AllHostRoutes(), compareAddrs); d != "" {
				t.Fatalf("%s: host routes (-scan +index):\n%s", what, d)
			}
			before = after
		}
		t.Repeat(map[string]func(*rapid.T){
			"update": func(t *rapid.T) {
				u := draw(t)
				c, err := db.Update(now, u)
				if err != nil {
					t.Fatal(err)
				}
				l, _ := lsa.Decode(u.Raw)
				k := KeyOf(l.Header, u.Area, u.IfAddr)
				twin.held[k] = &Entry{Key: k, LSA: l, MaxAge: l.IsMaxAge()}
				twin.named[k] = true
				check("update", c)
			},
			"delete": func(t *rapid.T) {
				u := draw(t)
				c, err := db.Delete(now, u)
				if err != nil {
					t.Fatal(err)
				}
				h, _ := lsa.DecodeHeader(u.Raw)
				k := KeyOf(h, u.Area, u.IfAddr)
				if e := twin.held[k]; e != nil && h.Seq >= e.LSA.Seq {
					if h.IsMaxAge() {
						delete(twin.held, k)
					} else {
						e.MaxAge = true
					}
				}
				check("delete", c)
			},
			"mark": func(t *rapid.T) {
				db.Mark()
				marked = true
				clear(twin.named)
			},
			"sweep": func(t *rapid.T) {
				if marked {
					for k := range twin.held {
						if !twin.named[k] && k.Type != lsa.TypeNSSA {
							delete(twin.held, k)
						}
					}
				}
				marked = false
				check("sweep", db.Sweep()...)
			},
			"hours pass": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "rarely") > 0 {
					return
				}
				now = now.Add(2 * time.Hour)
				for _, e := range twin.held {
					e.MaxAge = true
				}
				check("expire", db.Expire(now)...)
			},
			"": func(t *rapid.T) {
				s := db.Snapshot()
				keys := make([]Key, 0, len(twin.held))
				flushed, size := 0, 0
				for k, e := range twin.held {
					keys = append(keys, k)
					if e.MaxAge {
						flushed++
					}
					size += int(e.LSA.Length)
				}
				slices.SortFunc(keys, Key.Compare)
				var got []Key
				for e := range s.All() {
					got = append(got, e.Key)
					want := twin.held[e.Key]
					if want == nil || want.MaxAge != e.MaxAge || want.LSA.Checksum != e.LSA.Checksum {
						t.Fatalf("%s: holds %+v, the twin %+v", e.Key, e, want)
					}
					if found, ok := s.Lookup(e.Key); !ok || found != e {
						t.Fatalf("%s: not found in its snapshot", e.Key)
					}
				}
				if !slices.Equal(keys, got) {
					t.Fatalf("keys\n got %v\nwant %v", got, keys)
				}
				if st := db.Stats(); st.LSAs != len(keys) || st.MaxAge != flushed || st.Bytes != size || db.Len() != len(keys) {
					t.Fatalf("stats %+v, want %d LSAs, %d at MaxAge, %d bytes", st, len(keys), flushed, size)
				}
				byType := 0
				for _, typ := range lsa.Types {
					for e := range s.ByType(typ) {
						if e.Key.Type != typ {
							t.Fatalf("%s among type %s", e.Key, typ)
						}
						byType++
					}
				}
				byAdv := 0
				for i := range 3 {
					adv := netip.AddrFrom4([4]byte{1, 1, 1, byte(i + 1)})
					list := db.ByAdv(adv)
					if !slices.Equal(list, append([]*Entry{}, slices.Collect(s.ByAdv(adv))...)) {
						t.Fatalf("by %s: index and scan differ", adv)
					}
					byAdv += len(list)
					externals := map[*Entry]bool{}
					for _, e := range list {
						if e.Key.Type == lsa.TypeASExternal || e.Key.Type == lsa.TypeNSSA {
							externals[e] = true
						}
					}
					for e := range externals {
						same := 0
						for o := range externals {
							if o.Key.ID == e.Key.ID {
								same++
							}
						}
						found := db.Externals(adv, e.Key.ID)
						if len(found) != same || slices.ContainsFunc(found, func(o *Entry) bool { return !externals[o] || o.Key.ID != e.Key.ID }) {
							t.Fatalf("externals %s of %s: %v", e.Key.ID, adv, found)
						}
					}
				}
				if byType != len(keys) || byAdv != len(keys) {
					t.Fatalf("%d by type, %d by router, %d in all", byType, byAdv, len(keys))
				}
			},
		})
	})
}

// big is a mirror of n AS-external LSAs, and the LSAs.
func big(b *testing.B, n int) (*DB, []Update) {
	db := New(Limits{})
	us := make([]Update, n)
	for i := range us {
		id := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 0x0a000000+uint32(i))))
		us[i] = up(b, "0.0.0.0", 1, 0, lsa.TypeASExternal, id.String(), fmt.Sprintf("1.1.%d.%d", i/250%250, i%250), ext(1))
	}
	for _, u := range us {
		must(b)(db.Update(t0, u))
	}
	return db, us
}

func BenchmarkUpdate(b *testing.B) {
	db, us := big(b, 20_000)
	again := slices.Clone(us)
	for i := range again {
		again[i] = up(b, "0.0.0.0", 1, 1, lsa.TypeASExternal, netip.AddrFrom4([4]byte(us[i].Raw[4:8])).String(),
			netip.AddrFrom4([4]byte(us[i].Raw[8:12])).String(), ext(2))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		round := us
		if i/len(us)%2 == 0 {
			round = again
		}
		must(b)(db.Update(t0, round[i%len(us)]))
	}
}

func BenchmarkSnapshotOf20000AfterOneChange(b *testing.B) {
	db, us := big(b, 20_000)
	db.Snapshot()
	k := must(b)(db.Update(t0, us[10_000])).Key
	b.ReportAllocs()
	for b.Loop() {
		db.Flush(t0, k)
		must(b)(db.Update(t0, us[10_000]))
		if db.Snapshot().Len() != 20_000 {
			b.Fatal("lost some")
		}
	}
}

func BenchmarkSyncOf5000(b *testing.B) {
	_, us := big(b, 5000)
	for b.Loop() {
		db := New(Limits{})
		for _, u := range us {
			must(b)(db.Update(t0, u))
		}
		db.Snapshot()
	}
}

func FuzzUpdateAndDelete(f *testing.F) {
	for _, u := range []Update{
		up(f, "0.0.0.0", 1, 0, lsa.TypeASExternal, "10.0.0.1", "1.1.1.1", ext(1)),
		up(f, "0.0.0.0", 1, 0, lsa.TypeRouter, "1.1.1.1", "1.1.1.1", stubs("10.0.0.1/32", "10.0.0.0/24")),
		up(f, "0.0.0.0", lsa.MaxAge, 0, lsa.TypeOpaqueLink, "222.0.1.0", "1.1.1.1", lsa.Opaque{Data: []byte{1}}),
	} {
		f.Add(u.Raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) >= lsa.HeaderLen && len(raw) <= 0xffff { // past length and checksum
			binary.BigEndian.PutUint16(raw[18:], uint16(len(raw)))
			binary.BigEndian.PutUint16(raw[16:], uint16(lsa.Checksum(raw)))
		}
		db := New(Limits{})
		u := Update{Area: area0, IfAddr: ip("192.168.0.1"), Raw: raw}
		c, err := db.Update(t0, u)
		if err != nil {
			if db.Len() != 0 || db.Stats().Damaged != 1 {
				t.Fatalf("refused and not counted: %+v", db.Stats())
			}
			return
		}
		if c.Kind != Added || db.Len() != 1 || len(c.Vanished) > 0 {
			t.Fatalf("got %+v", c)
		}
		for _, r := range c.Appeared {
			if !slices.Contains(db.HostRoutes(r.Addr), r) {
				t.Fatalf("%v appeared and is not there", r)
			}
		}
		if _, err := db.Delete(t0, u); err != nil {
			t.Fatal(err)
		}
		if len(db.AllHostRoutes()) != 0 {
			t.Fatalf("deleted, and still announced: %v", db.AllHostRoutes())
		}
	})
}
