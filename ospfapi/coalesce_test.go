package ospfapi

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func testLSA(id byte, seq byte) []byte {
	lsa := make([]byte, LSAHeaderLen)
	lsa[3], lsa[7], lsa[15], lsa[19] = byte(OpaqueArea), id, seq, LSAHeaderLen
	return lsa
}

func TestCoalescer(t *testing.T) {
	up := func(id, seq byte) Notification { return LSAUpdate{LSA: testLSA(id, seq)} }
	del := func(id, seq byte) Notification { return LSADelete{LSA: testLSA(id, seq)} }
	reach := ReachableChange{Added: []netip.Addr{netip.IPv4Unspecified()}}
	for _, c := range []struct {
		name     string
		in, want []Notification
		held     bool
	}{
		{"an update replaces the delete before it", []Notification{del(1, 1), up(1, 2)}, []Notification{up(1, 2)}, false},
		{"a delete of another LSA is real", []Notification{del(1, 1), up(2, 2)}, []Notification{del(1, 1), up(2, 2)}, false},
		{"any other message lets a delete go first", []Notification{del(1, 1), reach, up(1, 2)}, []Notification{del(1, 1), reach, up(1, 2)}, false},
		{"a second delete lets the first go", []Notification{del(1, 1), del(2, 1), up(2, 2)}, []Notification{del(1, 1), up(2, 2)}, false},
		{"a delete alone is held", []Notification{del(1, 1)}, nil, true},
		{"a mark between the halves does not part them", []Notification{del(1, 1), SyncStarted{1}, up(1, 2)}, []Notification{SyncStarted{1}, up(1, 2)}, false},
		{"an overflow takes the held delete with it", []Notification{del(1, 1), Overflow{3}, up(1, 2)}, []Notification{Overflow{3}, up(1, 2)}, false},
		{"updates in a row all come", []Notification{up(1, 1), up(1, 2)}, []Notification{up(1, 1), up(1, 2)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var co coalescer
			var got []Notification
			for _, n := range c.in {
				co.push(n, func(n Notification) { got = append(got, n) })
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if co.holding != c.held {
				t.Errorf("holding = %v", co.holding)
			}
			var late []Notification
			co.expire(func(n Notification) { late = append(late, n) })
			if (len(late) == 1) != c.held || co.holding {
				t.Errorf("expire gave %v", late)
			}
		})
	}
}

// told is one call of Notify and when.
type told struct {
	At time.Duration
	N  Notification
}

// dispatched runs dispatch on a queue that feed fills, and returns what Notify got.
func dispatched(t *testing.T, feed func(q *queue)) []told {
	t.Helper()
	var got []told
	begin := time.Now()
	c := &Client{queue: newQueue(1 << 20)}
	c.cfg.HoldDelete = 5 * time.Millisecond
	c.cfg.Notify = func(n Notification) { got = append(got, told{time.Since(begin), n}) }
	go func() {
		feed(c.queue)
		c.queue.close()
	}()
	if err := c.dispatch(context.Background()); err != nil {
		t.Error(err)
	}
	return got
}

func TestDeleteIsHeldForHoldDeleteAndNoLonger(t *testing.T) {
	up, del := LSAUpdate{LSA: testLSA(1, 2)}, LSADelete{LSA: testLSA(1, 1)}
	for _, c := range []struct {
		name string
		gap  time.Duration
		want []told
	}{
		{"an update within the time replaces it", 4 * time.Millisecond, []told{{4 * time.Millisecond, up}}},
		{"an update after it comes behind it", 6 * time.Millisecond, []told{{5 * time.Millisecond, del}, {6 * time.Millisecond, up}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := dispatched(t, func(q *queue) {
					q.push(del)
					time.Sleep(c.gap) // virtual time
					q.push(up)
				})
				if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
	t.Run("the end of the stream lets it go at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			got := dispatched(t, func(q *queue) { q.push(del) })
			if diff := cmp.Diff([]told{{0, del}}, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	})
}

func TestQueueDropsAllAndSaysSoWhenFull(t *testing.T) {
	q := newQueue(10 * (entryCost + LSAHeaderLen))
	for i := range 25 {
		q.push(LSAUpdate{LSA: testLSA(byte(i), 1)})
		if q.cost > q.limit {
			t.Fatalf("cost %d over the limit %d", q.cost, q.limit)
		}
	}
	var got []Notification
	for e, ok, _ := q.pop(); ok; e, ok, _ = q.pop() {
		got = append(got, e.n)
	}
	first, ok := got[0].(Overflow)
	if !ok || first.Dropped+len(got)-1 != 25 {
		t.Errorf("first is %+v with %d behind it, of 25", got[0], len(got)-1)
	}
	if last := got[len(got)-1].(LSAUpdate); last.LSA[7] != 24 {
		t.Errorf("the newest is lost: last is %d", last.LSA[7])
	}
	if slices.ContainsFunc(got[1:], func(n Notification) bool { _, is := n.(Overflow); return is }) {
		t.Error("more than one Overflow")
	}
}

func TestReadMessageTakesNoMoreThanItsHeaderSays(t *testing.T) {
	whole, err := AppendNotification(nil, DelInterface{IfAddr: netip.IPv4Unspecified()})
	if err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(append(slices.Clone(whole), whole[:5]...))
	if _, body, err := ReadMessage(r); err != nil || len(body) != 4 {
		t.Fatalf("first message: %x, %v", body, err)
	}
	if _, _, err := ReadMessage(r); err != io.ErrUnexpectedEOF {
		t.Errorf("second message cut in its header: %v", err)
	}
}
