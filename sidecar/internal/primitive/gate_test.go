package primitive

import (
	"context"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

func TestChecksWaitForEachOtherAndNothingElseWaitsForThem(t *testing.T) {
	const text = "check status:\n\t@echo in >begun; read x <go\nstart stop:\n\t@:\n"
	b := newBench(t, map[string]string{"a": text, "b": text, "c": text})
	b.port.gate.limit = func() int { return 1 }
	begun, open := b.fifo("a", "begun"), b.fifo("a", "go")
	beganB, openB := b.fifo("b", "begun"), b.fifo("b", "go")
	a := b.do("a", machine.PrimCheck, time.Minute)
	b.hear(begun)
	waits := b.do("b", machine.PrimStatus, time.Minute)
	b.do("c", machine.PrimStart, time.Minute)
	if d := b.done(); d.Service != "c" || d.Outcome != machine.OutcomeDone {
		t.Fatalf("got %+v, want the start of c", d)
	}
	// A stop of the service that waits: the machine cancels what runs first.
	b.port.Do(machine.CancelPrimitive{Service: "b", Run: waits})
	stop := b.do("b", machine.PrimStop, time.Minute)
	if d := b.done(); d.Run != waits || d.Outcome != machine.OutcomeCancelled {
		t.Fatalf("got %+v, want the status of b cancelled", d)
	}
	if d := b.done(); d.Run != stop || d.Outcome != machine.OutcomeDone {
		t.Fatalf("got %+v, want the stop of b", d)
	}
	again := b.do("b", machine.PrimCheck, time.Minute)
	b.tell(open)
	if d := b.done(); d.Run != a || d.Outcome != machine.OutcomeDone {
		t.Fatalf("got %+v, want the check of a", d)
	}
	b.hear(beganB)
	b.tell(openB)
	if d := b.done(); d.Run != again || d.Outcome != machine.OutcomeDone {
		t.Fatalf("got %+v, want the check of b", d)
	}
}

func TestTheGateLetsInAsManyAsItMayInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := 2
		g := gate{limit: func() int { return limit }}
		entered := make(chan int, 10)
		enter := func(i int, cancel chan struct{}) {
			go func() {
				if g.enter(t.Context(), cancel) {
					entered <- i
				}
			}()
			synctest.Wait()
		}
		cancel := make(chan struct{})
		for i := range 6 {
			c := make(chan struct{})
			if i == 3 {
				c = cancel
			}
			enter(i, c)
		}
		if len(entered) != 2 || <-entered+<-entered != 1 {
			t.Fatal("want 0 and 1 inside")
		}
		close(cancel)
		synctest.Wait()
		limit = 3
		g.leave() // room for two: 2 and 4, since 3 does not wait any more
		synctest.Wait()
		if len(entered) != 2 || <-entered+<-entered != 6 {
			t.Fatal("want 2 and 4 inside")
		}
		for range 3 {
			g.leave()
		}
		synctest.Wait()
		if len(entered) != 1 || <-entered != 5 {
			t.Fatal("want 5 inside")
		}
		g.leave()
		if g.running != 0 || len(g.waiting) != 0 {
			t.Errorf("%d inside, %d wait; want nobody", g.running, len(g.waiting))
		}
		ended, end := context.WithCancel(t.Context())
		end()
		g.running = 3
		if g.enter(ended, nil) {
			t.Error("let in after the end of the context")
		}
	})
	if got := (&gate{}).most(); got != 2*runtime.NumCPU() {
		t.Errorf("%d inside without a limit, want twice the CPUs", got)
	}
}

// tell lets a recipe that reads a fifo go on.
func (b *bench) tell(path string) {
	b.t.Helper()
	if err := os.WriteFile(path, []byte("go\n"), 0); err != nil {
		b.t.Fatal(err)
	}
}
