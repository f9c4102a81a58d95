package lsdb

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/srrd/srrd/lsdb/lsa"
)

func TestAMirrorIsRestored(t *testing.T) {
	db, ok := New(Limits{}), must(t)
	ok(db.Update(t0, up(t, "0.0.0.0", 1, 0, lsa.TypeRouter, "1.1.1.1", "1.1.1.1", stubs("10.0.0.9/32"))))
	gone := up(t, "0.0.0.0", 5, 0, lsa.TypeASExternal, "10.0.0.8", "2.2.2.2", ext(1))
	ok(db.Update(t0, gone))
	ok(db.Delete(t0.Add(time.Second), gone)) // being flushed, though its age in Raw does not say so
	ok(db.Update(t0, up(t, "0.0.0.0", 1, 0, lsa.TypeASBRSummary, "9.9.9.9", "1.1.1.1", lsa.Summary{Metric: 7})))
	link := up(t, "0.0.0.1", 1, 0, lsa.TypeOpaqueLink, "222.0.0.1", "1.1.1.1", lsa.Opaque{Data: []byte("x")})
	link.Self = true
	ok(db.Update(t0, link))

	again := New(Limits{})
	if err := again.Restore(db.Held()); err != nil {
		t.Fatal(err)
	}
	all := func(db *DB) (out []Entry) {
		for e := range db.All() {
			out = append(out, *e)
		}
		return out
	}
	if d := cmp.Diff(all(db), all(again), compareAddrs, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff(db.AllHostRoutes(), again.AllHostRoutes(), compareAddrs); d != "" {
		t.Errorf("host routes (-want +got):\n%s", d)
	}
	if d := cmp.Diff(db.ASBRSummaries(ip("9.9.9.9")), again.ASBRSummaries(ip("9.9.9.9")), compareAddrs); d != "" {
		t.Errorf("ASBRs (-want +got):\n%s", d)
	}
	if at, ok := again.NextExpiry(); !ok || at.After(t0.Add((lsa.MaxAge-1)*time.Second)) {
		t.Errorf("expires at %v", at)
	}
	expect(t, ok(again.Update(t0, link)), "unchanged opaque-link 222.0.0.1 of 1.1.1.1 (link 192.168.0.1)")
	again.Mark()
	if got := again.Sweep(); len(got) != 4 {
		t.Errorf("a sweep after a sync that said nothing removes %d", len(got))
	}
}
