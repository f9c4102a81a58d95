package chaos

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
)

func TestRecordsAreStoredBeforeTheyAreAcknowledged(t *testing.T) {
	store := filepath.Join(t.TempDir(), "records")
	// The system picks a free port; who takes it before us fails the test by an
	// error that says so.
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	for life, want := range []map[uint64]bool{{1: true, 2: true}, {1: true, 2: true, 3: true, 4: true}} {
		ctx, stop := context.WithCancel(t.Context())
		ready, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- ServeRecords(ctx, to, store, "n1", 7, func() error { close(ready); return nil })
		}()
		select {
		case <-ready:
		case err := <-ended:
			t.Fatal(err)
		}
		c, err := net.Dial("tcp4", to.String())
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(c)
		for n := uint64(2*life + 1); n <= uint64(2*life+2); n++ {
			by, err := ask(c, in, n)
			if err != nil || by != "n1" {
				t.Fatalf("record %d: acknowledged by %q: %v", n, by, err)
			}
		}
		have, err := readStore(store) // while it runs: nothing is kept back
		if err != nil {
			t.Fatal(err)
		}
		if len(have) != len(want) {
			t.Errorf("the store holds %v, want %v", have, want)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		c.Close()
	}
}
