package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/srrd/srrd/lsdb"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

func TestMain(m *testing.M) {
	inNamespace()
	goleak.VerifyTestMain(m)
}

// lines is a log that tests read.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func testOwner() (*owner, *lines) {
	log := &lines{}
	o := newOwner(machine.New(machine.Memory{}, nil), view.NewBoard(), slog.New(slog.NewTextHandler(log, nil)))
	o.mirror = func(context.Context) (*lsdb.Snapshot, error) { return nil, errors.New("no mirror") }
	return o, log
}

// runOwner runs the owner in a bubble and ends it with the test.
func runOwner(t *testing.T, f func(t *testing.T, o *owner, log *lines)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o, log := testOwner()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- o.run(ctx) }()
		f(t, o, log)
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, errExit) {
			t.Errorf("run: %v", err)
		}
	})
}

func key(kind machine.TimerKind, service string) machine.TimerKey {
	return machine.TimerKey{Kind: kind, Service: service}
}

func TestTimersFireByTimeAndThenInTheOrderTheyWereSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTimers()
		defer ts.tick.Stop()
		now := time.Now()
		for n, s := range []machine.SetTimer{
			{Key: key(machine.TimerCheck, "late"), At: now.Add(3 * time.Second)},
			{Key: key(machine.TimerCheck, "a"), At: now.Add(time.Second)},
			{Key: key(machine.TimerCheck, "b"), At: now.Add(time.Second)},
			{Key: key(machine.TimerCheck, "early"), At: now},
			{Key: key(machine.TimerCheck, "a"), At: now.Add(time.Second)}, // set again: behind b now
			{Key: key(machine.TimerCheck, "late"), At: now.Add(2 * time.Second)},
		} {
			s.Gen = uint64(n)
			ts.set(s)
		}
		var got []string
		var gens []uint64
		for ts.due.Len() > 0 {
			<-ts.tick.C
			for {
				f, ok := ts.fired(time.Now())
				if !ok {
					break
				}
				got, gens = append(got, f.Key.Service), append(gens, f.Gen)
			}
			ts.arm()
		}
		if diff := cmp.Diff([]string{"early", "b", "a", "late"}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]uint64{3, 2, 4, 5}, gens); diff != "" {
			t.Errorf("generations (-want +got):\n%s", diff)
		}
		if took := time.Since(now); took != 2*time.Second {
			t.Errorf("took %v: a replaced timer was waited for", took)
		}
	})
}

func TestATimerSetAgainAndAgainTakesRoomOnce(t *testing.T) {
	ts := newTimers()
	defer ts.tick.Stop()
	for n := range 1000 {
		ts.set(machine.SetTimer{Key: key(machine.TimerStamp, "web"), Gen: uint64(n), At: time.Now().Add(time.Hour)})
	}
	if n := ts.due.Len(); n != 1 || len(ts.due.byKey) != 1 {
		t.Errorf("%d timers wait", n)
	}
}

func TestACommandIsAnsweredOrRefused(t *testing.T) {
	runOwner(t, func(t *testing.T, o *owner, _ *lines) {
		o.emit(machine.Configured{Config: machine.Config{Host: "n1", Scope: machine.ASScope}})
		if text, err := o.ask(t.Context(), machine.Command{Who: "me", Verb: machine.VerbStandby}); err != nil || text != "the node is standby" {
			t.Errorf("standby: %q, %v", text, err)
		}
		if _, err := o.ask(t.Context(), machine.Command{Who: "me", Verb: machine.VerbStart, Service: "nothing"}); err == nil || !strings.Contains(err.Error(), "nothing") {
			t.Errorf("start of a service nobody knows: %v", err)
		}
		if len(o.answers) != 0 {
			t.Errorf("%d answers are owed", len(o.answers))
		}
	})
}

func TestNotesOfPortsReachTheLogAndTheEvents(t *testing.T) {
	runOwner(t, func(t *testing.T, o *owner, log *lines) {
		for range 200 { // more than the channel holds
			o.say(machine.Note{Level: machine.LevelWarning, Service: "web", Text: "was put back"})
		}
		snap, err := o.board.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := strings.Count(log.String(), `level=WARN msg="was put back" service=web`); n != 200 {
			t.Errorf("%d lines in the log", n)
		}
		if len(snap.Events) == 0 || snap.Events[0].Text != "was put back" {
			t.Errorf("events: %+v", snap.Events)
		}
	})
}

// `make bench` takes it for how long srrd takes to be in sync.
func TestHowLongTheDatabaseTookIsToldOnceASession(t *testing.T) {
	runOwner(t, func(t *testing.T, o *owner, log *lines) {
		said := func() int {
			synctest.Wait()
			return strings.Count(log.String(), `msg="the link-state database is received"`)
		}
		o.emit(machine.OSPFUp{Router: 1})
		for range 3 {
			o.emit(machine.LSASeen{Router: 2, Err: "it cannot be read"})
		}
		synctest.Wait()
		time.Sleep(84 * time.Millisecond)
		o.emit(machine.Synced{})
		if n := said(); n != 1 || !strings.Contains(log.String(), "lsas=3 took=84ms\n") {
			t.Fatalf("said %d times: %s", n, log)
		}
		o.emit(machine.Synced{}) // the same session syncs again: nobody waits for that
		if n := said(); n != 1 {
			t.Errorf("after another sync it is said %d times", n)
		}
		o.emit(machine.OSPFUp{Router: 1})
		o.emit(machine.Synced{})
		if n := said(); n != 2 || !strings.Contains(log.String(), "lsas=0 took=0s\n") {
			t.Errorf("after another session it is said %d times: %s", n, log)
		}
	})
}

func TestAReaderSeesWhatWasSaidBeforeItAsked(t *testing.T) {
	o, _ := testOwner()
	for n := range 100 {
		o.emit(machine.AddressState{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), Present: true})
	}
	o.publish(t.Context())
	if got := len(o.board.Last().Addresses); got != 100 {
		t.Errorf("the snapshot has %d addresses", got)
	}
}

func TestTheLastMirrorStandsWhileTheNextIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := testOwner()
		defer o.timers.tick.Stop()
		first := lsdb.New(lsdb.Limits{}).Snapshot()
		o.mirror = func(context.Context) (*lsdb.Snapshot, error) { return first, nil }
		o.publish(t.Context())
		o.mirror = func(ctx context.Context) (*lsdb.Snapshot, error) { // a port that does not answer
			<-ctx.Done()
			return nil, ctx.Err()
		}
		began := time.Now()
		o.publish(t.Context())
		if got := o.board.Last().LSDB.Mirror; got != first {
			t.Errorf("the mirror is %p, want the last one", got)
		}
		if took := time.Since(began); took != 200*time.Millisecond {
			t.Errorf("waited %v", took)
		}
	})
}

func TestShutdownEndsTheOwnerAndFreesWhoeverWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := testOwner()
		ended := make(chan error, 1)
		go func() { ended <- o.run(t.Context()) }()
		o.emit(machine.Configured{Config: machine.Config{Host: "n1", Scope: machine.ASScope}})
		o.emit(machine.Shutdown{})
		if err := <-ended; !errors.Is(err, errExit) {
			t.Fatalf("run: %v", err)
		}
		for range inboxSize + 10 { // a port that does not know yet
			o.emit(machine.Adjacency{})
		}
		for range 100 {
			o.say(machine.Note{Text: "late"})
		}
		if _, err := o.ask(t.Context(), machine.Command{Verb: machine.VerbStandby}); !errors.Is(err, view.ErrClosed) {
			t.Errorf("ask: %v", err)
		}
		if _, err := o.board.Read(t.Context()); !errors.Is(err, view.ErrClosed) {
			t.Errorf("read: %v", err)
		}
	})
}

func TestAPortThatFillsTheInboxEndsWithTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := testOwner()
		flooded := make(chan struct{})
		go func() {
			defer close(flooded)
			for range 3 * inboxSize {
				o.emit(machine.Adjacency{})
			}
		}()
		synctest.Wait() // it blocks: nobody takes them
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := o.run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
		<-flooded
	})
}

// heard is a port that keeps what it is given.
type heard struct{ got []machine.Action }

func (h *heard) Do(a machine.Action) { h.got = append(h.got, a) }

func TestTimersOfTheMachineComeBackToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := testOwner()
		fired := make(chan machine.TimerKind, 100)
		o.hear = func(ev machine.Event) {
			if f, is := ev.(machine.TimerFired); is {
				fired <- f.Key.Kind
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- o.run(ctx) }()
		o.emit(machine.Configured{Config: machine.Config{Host: "n1", Scope: machine.ASScope, AloneAfter: 5 * time.Second}})
		o.emit(machine.OSPFUp{Router: 0x0a000001})
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if len(fired) != 0 {
			t.Errorf("fired too early: %v", <-fired)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if kind := <-fired; kind != machine.TimerAlone {
			t.Errorf("fired %v", kind)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// Of an srrd that did not run, the timers that came due meanwhile are taken before
// what waits in its inbox, whatever the runtime finds ready first.
func TestTimersThatAreDueComeBeforeWhatWaitsInTheInbox(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			o, _ := testOwner()
			o.step(machine.Configured{Config: machine.Config{Host: "n1", Scope: machine.ASScope, AloneAfter: 5 * time.Second}})
			o.step(machine.OSPFUp{Router: 0x0a000001})
			first := make(chan machine.Event, 100)
			o.hear = func(ev machine.Event) { first <- ev }
			time.Sleep(6 * time.Second) // nobody takes anything
			o.inbox <- machine.Adjacency{Full: 1}
			o.inbox <- machine.Synced{}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- o.run(ctx) }()
			synctest.Wait()
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("run: %v", err)
			}
			if ev, is := (<-first).(machine.TimerFired); !is || ev.Key.Kind != machine.TimerAlone {
				t.Fatal("an event was taken before a timer that came due earlier")
			}
		})
	}
}

func TestActionsReachEveryPortInTheirOrderAndTheMemoryItsWriter(t *testing.T) {
	o, _ := testOwner()
	defer o.timers.tick.Stop()
	a, b := &heard{}, &heard{}
	o.ports = []port{a, b}
	saved := 0
	o.save = func(m machine.Memory) {
		if m.Incarnation != o.node.Memory().Incarnation {
			t.Errorf("what is saved is not what the node knows now: %+v", m)
		}
		saved++
	}
	o.step(machine.Configured{Config: machine.Config{Host: "n1", Scope: machine.ASScope}})
	o.step(machine.OSPFUp{Router: 0x0a000001})
	o.step(machine.Adjacency{Full: 1})
	o.step(machine.Synced{})
	if len(a.got) == 0 {
		t.Fatal("the node says nothing of itself")
	}
	if _, is := a.got[0].(machine.Originate); !is {
		t.Errorf("the first action is %T", a.got[0])
	}
	if diff := cmp.Diff(len(a.got), len(b.got)); diff != "" {
		t.Errorf("ports hear differently: %s", diff)
	}
	if saved != 0 {
		t.Error("the memory is written for each event, however many there are")
	}
	o.saveNow()
	o.saveNow()
	if saved != 1 {
		t.Errorf("the memory was saved %d times, want once for all that is new", saved)
	}
}

// A log that is slow to take its lines, as a journal under load, holds up nothing.
func TestWhatIsToBeDoneDoesNotWaitForTheLog(t *testing.T) {
	o, log := testOwner()
	defer o.timers.tick.Stop()
	before, acts := "", 0
	o.ports = []port{does(func(machine.Action) {
		acts++
		if log.String() != before {
			t.Errorf("it was told before it was done: %s", log.String()[len(before):])
		}
	})}
	for _, ev := range []machine.Event{machine.Configured{Config: machine.Config{Host: "n1", Scope: machine.ASScope}}, machine.OSPFUp{Router: 0x0a000001},
		machine.Adjacency{Full: 1}, machine.Synced{}, machine.Command{Verb: machine.VerbStandby}} {
		before, acts = log.String(), 0
		o.step(ev)
	}
	if acts == 0 || log.String() == before {
		t.Errorf("standby has %d actions, and the log then says %q: nothing is shown by that", acts, log.String()[len(before):])
	}
}

type does func(machine.Action)

func (f does) Do(a machine.Action) { f(a) }

// Whoever ends or hands over gives what is not yet written to the writer, and
// otherwise it is given when the writer is ready for it.
func TestTheMemoryGoesToAWriterThatIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := testOwner()
		ready := make(chan struct{}, 1)
		saved := make(chan machine.Memory, 10)
		o.saver, o.save = ready, func(m machine.Memory) { saved <- m }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- o.run(ctx) }()
		o.emit(machine.Configured{Config: machine.Config{Host: "n1", Scope: machine.ASScope}})
		o.emit(machine.OSPFUp{Router: 0x0a000001})
		o.emit(machine.Adjacency{Full: 1})
		o.emit(machine.Synced{})
		synctest.Wait()
		if len(saved) != 0 {
			t.Errorf("%d memories for a writer that is not ready", len(saved))
		}
		ready <- struct{}{}
		synctest.Wait()
		if len(saved) != 1 {
			t.Fatalf("%d memories for a writer that is ready once", len(saved))
		}
		before := (<-saved).Incarnation
		o.emit(machine.OSPFDown{Why: "it ends"})
		o.emit(machine.OSPFUp{Router: 0x0a000002})
		o.emit(machine.Adjacency{Full: 1})
		o.emit(machine.Synced{})
		synctest.Wait()
		if len(saved) != 0 {
			t.Errorf("%d memories for a writer that is at work", len(saved))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if len(saved) != 1 || (<-saved).Incarnation <= before {
			t.Errorf("at the end the news was not handed over")
		}
	})
}
