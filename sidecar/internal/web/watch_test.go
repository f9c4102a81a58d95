package web

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
)

func TestAFollowerIsToldWhatIsNewAndNothingTwice(t *testing.T) {
	var f follower
	s := viewtest.Snapshot()
	c, fresh := f.next(s, viewtest.Now)
	if !fresh || !c.First || len(c.Services) != len(s.Machine.Services) || len(c.Nodes) != 4 || len(c.Events) != len(s.Events) || c.Problems == 0 {
		t.Errorf("first: %v, %+v", fresh, c)
	}
	if c, fresh = f.next(viewtest.Snapshot(), viewtest.Now); fresh {
		t.Errorf("the same again is news: %+v", c)
	}
	s = viewtest.Snapshot()
	s.Service("dns").Holder = "n2"
	s.Machine.Nodes = s.Machine.Nodes[:3]
	s.Machine.Services = s.Machine.Services[1:]
	s.Events = append(s.Events, view.Event{Seq: 99, Text: "x"})
	c, fresh = f.next(s, viewtest.Now)
	if !fresh || len(c.Services) != 1 || c.Services[0].Holder != "n2" || len(c.Gone) != 1 || c.Gone[0] != "archive" || len(c.Nodes) != 0 || len(c.Events) != 1 || c.Events[0].Seq != 99 {
		t.Errorf("a change: %v, %+v", fresh, c)
	}
}

func TestASlowReaderMissesWhatLiesBetweenAndStopsNobody(t *testing.T) {
	w := newWatchers()
	slow, err := w.join()
	if err != nil {
		t.Fatal(err)
	}
	quick, err := w.join()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 { // tell would block here if it waited for slow
		w.tell(&view.Snapshot{Events: make([]view.Event, i)})
		if s := <-quick; len(s.Events) != i {
			t.Fatalf("the quick one got %d, want %d", len(s.Events), i)
		}
	}
	if s := <-slow; len(s.Events) != 99 {
		t.Errorf("the slow one got %d, want the newest", len(s.Events))
	}
	w.tell(nil) // srrd does not answer: nobody is told anything
	if len(slow)+len(quick) != 0 {
		t.Error("nothing was told as news")
	}
	w.leave(slow)
	w.leave(quick)
	if w.tell(&view.Snapshot{}) {
		t.Error("somebody is left")
	}
}

func TestTooManyWatchersAreTurnedAway(t *testing.T) {
	s, _ := newServer(t, Viewer)
	for range maxWatchers {
		if _, err := s.watchers.join(); err != nil {
			t.Fatal(err)
		}
	}
	if w := get(t, s, "/api/v1/watch"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d", w.Code)
	}
}

func TestTheStateIsReadOnlyWhileSomebodyWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatchers()
		ctx, cancel := context.WithCancel(t.Context())
		var reads atomic.Int64
		done := make(chan error, 1)
		go func() {
			done <- w.run(ctx, func(context.Context) (*view.Snapshot, error) { reads.Add(1); return &view.Snapshot{}, nil })
		}()
		wait := func() int64 {
			before := reads.Load()
			ctx, cancel := context.WithTimeout(ctx, 10*watchEvery)
			defer cancel()
			<-ctx.Done()
			synctest.Wait()
			return reads.Load() - before
		}
		if n := wait(); n != 0 {
			t.Errorf("read %d times for nobody", n)
		}
		c, err := w.join()
		if err != nil {
			t.Fatal(err)
		}
		if n := wait(); n < 9 || n > 11 {
			t.Errorf("read %d times in ten periods", n)
		}
		w.leave(c)
		if n := wait(); n > 1 {
			t.Errorf("read %d times after all had left", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// The whole way, over a socket: a stream, its end with the server, and that
// nothing is left.
func TestTheStreamOverASocket(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s, f := newServer(t, Viewer, func(c *Config) { c.Listen = netip.MustParseAddrPort("127.0.0.1:0") })
	l, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /api/v1/watch HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 5\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("type %q", got)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	type told struct {
		Services []Brief
		Events   []struct{ Seq uint64 }
	}
	event := func() told {
		var c told
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &c); err != nil {
					t.Fatal(err)
				}
				return c
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return c
	}
	first := event()
	if len(first.Services) != 13 || first.Events[0].Seq != 6 {
		t.Errorf("first: %d services, events from %d", len(first.Services), first.Events[0].Seq)
	}
	changed := viewtest.Snapshot()
	changed.Service("dns").Holder = "n3"
	f.mu.Lock()
	f.snapshot = changed
	f.mu.Unlock()
	if c := event(); len(c.Services) != 1 || c.Services[0].Holder != "n3" {
		t.Errorf("then: %+v", c)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}
