package ospf

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/srrd/srrd/ospfapi"
	"github.com/srrd/srrd/ospfapi/ospfapitest"
	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// patience bounds waits for things that are sure to come.
const patience = 10 * time.Second

// listener is what the machine would be: it keeps every event.
type listener struct {
	t       testing.TB
	mu      sync.Mutex
	got     []machine.Event
	seen    int // up to which expect has looked
	changed chan struct{}
}

func (l *listener) emit(ev machine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, ev)
	close(l.changed)
	l.changed = make(chan struct{})
}

// expect waits for the event with these words, behind what it found before.
func (l *listener) expect(want string) {
	l.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for at := l.seen; ; {
		l.mu.Lock()
		ch := l.changed
		for ; at < len(l.got); at++ {
			if words(l.got[at]) == want {
				l.seen = at + 1
				l.mu.Unlock()
				return
			}
		}
		l.mu.Unlock()
		select {
		case <-ch:
		case <-timeout.C:
			l.t.Fatalf("no event %q; since the last one found:\n%s", want, strings.Join(l.words()[l.seen:], "\n"))
		}
	}
}

func (l *listener) words() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, ev := range l.got {
		all = append(all, words(ev))
	}
	return all
}

// harness is a port against a scripted ospfd.
type harness struct {
	*Port
	*listener
	srv *ospfapitest.Server
	log *logged
}

type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func kernel() (map[netip.Addr]string, error) {
	return map[netip.Addr]string{if1: "eth0", if2: "eth1"}, nil
}

// run starts a port that ends with the test.
func run(t testing.TB, srv *ospfapitest.Server, change func(*Config)) *harness {
	t.Helper()
	h := &harness{listener: &listener{t: t, changed: make(chan struct{})}, srv: srv, log: &logged{}}
	cfg := Config{
		Server: srv.Addr(), Emit: h.emit, Interfaces: kernel, Log: slog.New(slog.NewTextHandler(h.log, nil)),
		Check: func(context.Context) (Standing, error) {
			return Standing{Router: srv.RouterID(), DeadInterval: 40 * time.Second}, nil
		},
	}
	if change != nil {
		change(&cfg)
	}
	h.Port = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := srv.Crashed(); err != nil {
			t.Errorf("ospfd would have crashed: %v", err)
		}
	})
	return h
}

var full = ospfapitest.Neighbor{IfAddr: if1, Addr: nbr2, RouterID: r2, State: ospfapi.NSMFull}

func TestASessionBeginsWithOSPFUpAndEndsItsSyncWithSynced(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{Reachable: []netip.Addr{r2}, Neighbors: []ospfapitest.Neighbor{full}})
	srv.Inject(area0, daemonLSA(t, ospfapi.OpaqueAS, 0, r2, firstSeq, nodeBody(t, "n2", 1)))
	srv.Inject(area0, external(t, r2, vip, firstSeq))
	h := run(t, srv, nil)
	h.expect("Synced{}")
	want := []string{
		"OSPFUp{Router:10.0.0.1 DeadInterval:40s}", "Adjacency{Full:0 Between:0}",
		"seen 10.0.0.2 222.0.1.0 (as) n2", "HostRoute{Addr:203.0.113.7 Router:10.0.0.2 Present:true}",
		"Reach{Router:10.0.0.2 Area:true AS:true}",
		"LinkReach{Link:eth0 Router:10.0.0.2 Up:true}", "Adjacency{Full:1 Between:0}", "NeighborFull{Router:10.0.0.2}",
		"Adjacency{Full:1 Between:0}", "Synced{}",
	}
	got := h.words()
	// The probe of what ospfd knows may bring the reachable set before.
	if diff := cmp.Diff(sorted(want), sorted(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got[0] != want[0] || got[len(got)-1] != "Synced{}" {
		t.Errorf("begins with %q and ends with %q", got[0], got[len(got)-1])
	}
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func TestWhatIsOriginatedIsSeenBackAndGoesWhenFlushed(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	h := run(t, srv, nil)
	h.expect("Synced{}")
	for _, scope := range []machine.Scope{machine.ASScope, {Kind: machine.ScopeArea, Area: area0}, {Kind: machine.ScopeLink, Link: "eth0"}} {
		ref := machine.LSARef{Scope: scope, ID: 3<<16 | machine.DaemonID}
		h.Do(machine.Originate{Ref: ref, Body: nodeBody(t, "n1", 1)})
		h.expect("seen 10.0.0.1 " + ref.String() + " n1")
		h.Do(machine.Flush{Ref: ref})
		h.expect("gone 10.0.0.1 " + ref.String())
	}
}

func TestAnOriginationOspfdRefusesIsAnswered(t *testing.T) {
	var mu sync.Mutex
	answer := ospfapi.OK
	srv := ospfapitest.NewServer(t, ospfapitest.Config{OnRequest: func(_ ospfapi.Header, r ospfapi.Request) (ospfapi.ErrCode, bool) {
		mu.Lock()
		defer mu.Unlock()
		_, is := r.(ospfapi.Originate)
		return answer, is
	}})
	h := run(t, srv, nil)
	h.expect("Synced{}")
	ref := machine.LSARef{Scope: machine.ASScope, ID: machine.DaemonID}
	for code, want := range map[ospfapi.ErrCode]machine.OriginateResult{
		ospfapi.NoSuchInterface: machine.OriginateRetry, ospfapi.NoSuchArea: machine.OriginateRetry, ospfapi.OpaqueTypeInUse: machine.OriginateRetry,
		ospfapi.NotReady: machine.OriginateRetry, ospfapi.NoMemory: machine.OriginateRetry, ospfapi.OpaqueTypeNotRegistered: machine.OriginateRetry,
		ospfapi.IllegalLSAType: machine.OriginateRefused, ospfapi.GenericError: machine.OriginateRefused,
	} {
		mu.Lock()
		answer = code
		mu.Unlock()
		h.Do(machine.Originate{Ref: ref, Body: nodeBody(t, "n1", 1)})
		text := (&ospfapi.ReplyError{Op: ospfapi.MsgOriginateRequest, Code: code}).Error()
		h.expect(words(machine.OriginateDone{Ref: ref, Result: want, Text: text}))
	}
}

func TestABodyThatWouldHarmOspfdIsRefusedHere(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	h := run(t, srv, nil)
	h.expect("Synced{}")
	h.Do(machine.Originate{Ref: machine.LSARef{Scope: machine.ASScope, ID: 1}, Body: []byte{1, 2, 3}})
	got := h.await("an answer", func(ev machine.Event) bool { _, is := ev.(machine.OriginateDone); return is }).(machine.OriginateDone)
	if got.Result != machine.OriginateRefused || got.Text == "" {
		t.Errorf("answered %+v", got)
	}
}

// awaitRefusalAndEnd waits, in whatever order they are told, for a refusal that
// passes, and that an LSA is gone.
func (l *listener) awaitRefusalAndEnd(ref machine.LSARef) {
	l.t.Helper()
	var refused, gone bool
	l.await("a refusal that passes, and that "+ref.String()+" is gone", func(ev machine.Event) bool {
		switch ev := ev.(type) {
		case machine.OriginateDone:
			refused = refused || ev.Result == machine.OriginateRetry
		case machine.LSAGone:
			gone = gone || ev.Ref == ref
		}
		return refused && gone
	})
}

// await waits for an event that satisfies is.
func (l *listener) await(what string, is func(machine.Event) bool) machine.Event {
	l.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for at := l.seen; ; {
		l.mu.Lock()
		ch := l.changed
		for ; at < len(l.got); at++ {
			if ev := l.got[at]; is(ev) {
				l.seen = at + 1
				l.mu.Unlock()
				return ev
			}
		}
		l.mu.Unlock()
		select {
		case <-ch:
		case <-timeout.C:
			l.t.Fatalf("%s: not within %v; since the last one found:\n%s", what, patience, strings.Join(l.words()[l.seen:], "\n"))
		}
	}
}

func TestALinkScopeWithoutOSPFOnTheInterfaceIsTriedAgainLater(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	h := run(t, srv, nil)
	h.expect("Synced{}")
	ref := machine.LSARef{Scope: machine.Scope{Kind: machine.ScopeLink, Link: "eth1"}, ID: machine.DaemonID}
	h.Do(machine.Flush{Ref: ref}) // nothing there: a line in the log at most
	h.Do(machine.Originate{Ref: ref, Body: nodeBody(t, "n1", 1)})
	h.expect(words(machine.OriginateDone{Ref: ref, Result: machine.OriginateRetry, Text: "OSPF does not run on interface eth1"}))
	srv.AddInterface(ospfapitest.Interface{Addr: if2, Area: area0, State: ospfapi.ISMDR})
	srv.SetNeighbor(ospfapitest.Neighbor{IfAddr: if2, Addr: nbr2, RouterID: r2, State: ospfapi.NSMInit}) // passes behind it
	h.expect("Adjacency{Full:0 Between:1}")
	h.Do(machine.Originate{Ref: ref, Body: nodeBody(t, "n1", 1)})
	h.expect("seen 10.0.0.1 " + ref.String() + " n1")
}

func TestAFlushOfWhatIsNotThereIsNoTrouble(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	h := run(t, srv, nil)
	h.expect("Synced{}")
	h.Do(machine.Flush{Ref: machine.LSARef{Scope: machine.ASScope, ID: 42}})
	ref := machine.LSARef{Scope: machine.ASScope, ID: 43}
	h.Do(machine.Originate{Ref: ref, Body: nodeBody(t, "n1", 1)})
	h.expect("seen 10.0.0.1 " + ref.String() + " n1")
	if text := h.log.String(); text != "" {
		t.Errorf("logged: %s", text)
	}
}

func TestActionsOfOthersAreNotForThisPort(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	h := run(t, srv, nil)
	h.expect("Synced{}")
	before := len(srv.Requests())
	h.Do(machine.Announce{Service: "web", Addresses: []netip.Addr{vip}, On: true})
	h.Do(machine.Save{})
	ref := machine.LSARef{Scope: machine.ASScope, ID: 1}
	h.Do(machine.Originate{Ref: ref, Body: nodeBody(t, "n1", 1)})
	h.expect("seen 10.0.0.1 " + ref.String() + " n1")
	if got := len(srv.Requests()) - before; got != 1 {
		t.Errorf("%d requests, want the origination alone", got)
	}
}

func TestOspfdDiesAndReturns(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{Reachable: []netip.Addr{r2}})
	srv.Inject(area0, daemonLSA(t, ospfapi.OpaqueAS, 0, r2, firstSeq, nodeBody(t, "n2", 1)))
	h := run(t, srv, nil)
	h.expect("Synced{}")
	srv.Stop()
	h.expect("down: ospfd closed the connection")
	h.await("a word about the absence", func(ev machine.Event) bool {
		d, is := ev.(machine.OSPFDown)
		return is && strings.Contains(d.Why, "refuses the connection: is ospfd running, with option -a?")
	})
	h.Do(machine.Originate{Ref: machine.LSARef{Scope: machine.ASScope, ID: 1}, Body: nodeBody(t, "n1", 1)}) // dropped
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	h.expect("OSPFUp{Router:10.0.0.1 DeadInterval:40s}")
	h.expect("Reach{Router:10.0.0.2 Area:true AS:true}")
	h.expect("Synced{}")
	all := h.words()
	between := false
	for _, w := range all {
		switch {
		case strings.HasPrefix(w, "down: "):
			between = true
		case strings.HasPrefix(w, "OSPFUp"):
			between = false
		case between:
			t.Errorf("between sessions: %s", w)
		}
	}
}

func TestOspfdClosesTheConnectionAndTakesTheNext(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	h := run(t, srv, nil)
	for range 3 {
		h.expect("Synced{}")
		srv.KillConnections()
		h.await("the end", func(ev machine.Event) bool { _, is := ev.(machine.OSPFDown); return is })
		h.expect("OSPFUp{Router:10.0.0.1 DeadInterval:40s}")
	}
	h.expect("Synced{}")
}

func TestAnOspfdThatHangsCountsAsLost(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	h := run(t, srv, func(c *Config) {
		c.Check = func(context.Context) (Standing, error) {
			return Standing{Router: srv.RouterID(), DeadInterval: 40 * time.Second, Quickest: 2 * time.Second}, nil
		}
	})
	h.expect("Synced{}")
	resume := srv.Stall()
	h.expect("down: ospfd has not answered for 1s: it hangs, or was stopped")
	resume() // and it sees that the client of before is gone
	h.expect("OSPFUp{Router:10.0.0.1 DeadInterval:40s}")
	h.expect("Synced{}")
}

func TestAskingWhetherOspfdLivesChangesNothing(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	h := run(t, srv, nil)
	h.expect("Synced{}")
	asked := func() (n int) {
		for _, r := range srv.Requests() {
			if e, is := r.Request.(ospfapi.RegisterEvents); is && e.Filter.Types == allTypes && e.Filter.Origin == ospfapi.AnyOrigin {
				n++
			}
		}
		return n
	}
	srv.Await(t, "two questions after the sync's own", func() bool { return asked() >= 3 })
	srv.Inject(area0, daemonLSA(t, ospfapi.OpaqueAS, 0, r2, firstSeq, nodeBody(t, "n2", 1)))
	h.await("the LSA that came then", func(ev machine.Event) bool { _, is := ev.(machine.LSASeen); return is })
	for _, w := range h.words() {
		if strings.HasPrefix(w, "down: ") {
			t.Error(w)
		}
	}
}

func TestPatienceWithOspfdIsHalfItsShortestDeadInterval(t *testing.T) {
	for quickest, want := range map[time.Duration]time.Duration{
		0: 10 * time.Second, time.Second: time.Second, 4 * time.Second: 2 * time.Second, 40 * time.Second: 10 * time.Second,
	} {
		if got := (Standing{Quickest: quickest}).patience(); got != want {
			t.Errorf("with %s: %s, want %s", quickest, got, want)
		}
	}
}

func TestAnotherRouterIDEndsTheSession(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	h := run(t, srv, nil)
	h.expect("Synced{}")
	srv.SetRouterID(r3)
	h.expect("down: ospfd's router id changed from 10.0.0.1 to 10.0.0.3")
	h.expect("OSPFUp{Router:10.0.0.3 DeadInterval:40s}")
	h.expect("Synced{}")
}

func TestAnOspfdThatLosesItsOpaqueCapabilityEndsTheSession(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	why := make(chan error, 1)
	why <- nil
	h := run(t, srv, func(c *Config) {
		c.Check = func(context.Context) (Standing, error) {
			err := <-why
			why <- err
			return Standing{Router: srv.RouterID()}, err
		}
	})
	h.expect("Synced{}")
	<-why
	why <- errors.New("ospfd was too busy to answer") // no reason to stop anything
	srv.SetNeighbor(full)
	h.expect("NeighborFull{Router:10.0.0.2}")
	<-why
	why <- Refused("opaque LSAs are off")
	srv.SetNeighbor(ospfapitest.Neighbor{IfAddr: if1, Addr: nbr2, RouterID: r2, State: ospfapi.NSMExStart})
	srv.SetNeighbor(full)
	h.expect("down: opaque LSAs are off")
	<-why
	why <- nil
	h.expect("OSPFUp{Router:10.0.0.1 DeadInterval:0s}")
	h.expect("Synced{}")
}

func TestARouterIDThatChangesBetweenTheCheckAndTheSyncEndsTheSession(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	stale := true
	h := run(t, srv, func(c *Config) {
		c.Check = func(context.Context) (Standing, error) {
			if stale {
				stale = false
				return Standing{Router: r3}, nil
			}
			return Standing{Router: srv.RouterID()}, nil
		}
	})
	h.expect("OSPFUp{Router:10.0.0.3 DeadInterval:0s}")
	h.expect("down: ospfd's router id changed from 10.0.0.3 to 10.0.0.1")
	h.expect("OSPFUp{Router:10.0.0.1 DeadInterval:0s}")
	h.expect("Synced{}")
}

// Before 8.4 ospfd does not tell that its router id has changed, which it does only
// without neighbours.
func TestARouterIDThatChangedWithoutAWordEndsTheSession(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{Dialect: &ospfapi.FRR75})
	router := make(chan netip.Addr, 1)
	router <- srv.RouterID()
	h := run(t, srv, func(c *Config) {
		c.Check = func(context.Context) (Standing, error) {
			r := <-router
			router <- r
			return Standing{Router: r}, nil
		}
	})
	h.expect("Synced{}")
	<-router
	router <- r3
	srv.SetNeighbor(full)
	h.expect("down: ospfd's router id changed from 10.0.0.1 to 10.0.0.3")
	h.expect("OSPFUp{Router:10.0.0.3 DeadInterval:0s}")
}

func TestAnOspfdThatCannotBeUsedIsReportedInTheWordsOfTheCheck(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{NoRouterOSPF: true})
	why := make(chan error, 1)
	why <- errors.New("no router ospf: ospfd runs, but has no \"router ospf\"")
	h := run(t, srv, func(c *Config) {
		c.Check = func(context.Context) (Standing, error) {
			err := <-why
			why <- err
			return Standing{Router: srv.RouterID()}, err
		}
	})
	h.expect("down: no router ospf: ospfd runs, but has no \"router ospf\"")
	<-why
	why <- errors.New("opaque LSAs are off")
	h.expect("down: opaque LSAs are off")
	<-why
	srv.SetRouterOSPF(true)
	why <- nil
	h.expect("OSPFUp{Router:10.0.0.1 DeadInterval:0s}")
	h.expect("Synced{}")
}

func TestAFailedPreparationIsTriedAgain(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	tries := 0
	h := run(t, srv, func(c *Config) {
		c.Prepare = func(context.Context) error {
			if tries++; tries == 1 {
				return errors.New("preparing ospfd: configuration is locked")
			}
			return nil
		}
	})
	h.expect("down: preparing ospfd: configuration is locked")
	h.expect("Synced{}")
}

func TestASecondSrrdIsNamed(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{OnRequest: func(_ ospfapi.Header, r ospfapi.Request) (ospfapi.ErrCode, bool) {
		_, is := r.(ospfapi.Register)
		return ospfapi.OpaqueTypeInUse, is
	}})
	h := run(t, srv, nil)
	h.expect("down: another client of ospfd holds opaque type 222 of link-opaque-LSA LSAs: is a second srrd running?")
}

func TestARegistrationWaitsForADyingClient(t *testing.T) {
	refusals := 3
	srv := ospfapitest.NewServer(t, ospfapitest.Config{OnRequest: func(_ ospfapi.Header, r ospfapi.Request) (ospfapi.ErrCode, bool) {
		if _, is := r.(ospfapi.Register); is && refusals > 0 {
			refusals--
			return ospfapi.OpaqueTypeInUse, true
		}
		return ospfapi.OK, false
	}})
	h := run(t, srv, nil)
	h.expect("Synced{}")
	if got := h.words()[0]; !strings.HasPrefix(got, "OSPFUp") {
		t.Errorf("begins with %q", got)
	}
}

func TestAWrongPortIsToldInWords(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	dead, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(dead.Addr().String())
	dead.Close()
	h := run(t, srv, func(c *Config) { c.Server = at })
	d := h.await("a word", func(ev machine.Event) bool { _, is := ev.(machine.OSPFDown); return is }).(machine.OSPFDown)
	// The same words at every try, so that they are logged once.
	if want := fmt.Sprintf("ospfd's OSPF-API at %s refuses the connection: is ospfd running, with option -a?", at); d.Why != want {
		t.Errorf("words: %s", d.Why)
	}
}

func TestAServiceThatIsNotOspfdIsToldInWords(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	srv.RefuseAsync(true)
	h := run(t, srv, nil)
	d := h.await("a word", func(ev machine.Event) bool { _, is := ev.(machine.OSPFDown); return is }).(machine.OSPFDown)
	if !strings.Contains(d.Why, "ospfd closed the connection during the handshake") {
		t.Errorf("words: %s", d.Why)
	}
	srv.RefuseAsync(false)
	h.expect("Synced{}")
}

func TestAReleaseWithoutStateOfItsOwnIsUsedThroughSPF(t *testing.T) {
	dialect := ospfapi.FRR75
	srv := ospfapitest.NewServer(t, ospfapitest.Config{Dialect: &dialect, Neighbors: []ospfapitest.Neighbor{full}})
	srv.Inject(area0, p2p(t, self, firstSeq, r2))
	srv.Inject(area0, p2p(t, r2, firstSeq, self))
	h := run(t, srv, nil)
	h.expect("Adjacency{Full:1 Between:0}")
	h.expect("Reach{Router:10.0.0.2 Area:true AS:true}")
	h.expect("Synced{}")
	srv.Inject(area0, p2p(t, r2, firstSeq+1))
	h.expect("Reach{Router:10.0.0.2 Area:false AS:false}")
}

func TestASlowMachineLosesNothingForGood(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	l := &listener{t: t, changed: make(chan struct{})}
	gate := make(chan struct{})
	h := run(t, srv, func(c *Config) {
		c.Emit = func(ev machine.Event) {
			if _, is := ev.(machine.LSASeen); is {
				<-gate
			}
			l.emit(ev)
		}
	})
	l.expect("Synced{}")
	var last string
	for n := range 3000 { // more than the port's own queue
		r := advert.RouterID(0x0b000000 + uint32(n)).Addr()
		srv.Inject(area0, daemonLSA(t, ospfapi.OpaqueAS, 0, r, firstSeq, nodeBody(t, "x", 1)))
		last = fmt.Sprintf("seen %s 222.0.1.0 (as) x", r)
	}
	close(gate)
	l.expect(last)
	if snap, err := h.Snapshot(t.Context()); err != nil || snap.Len() != 3000 {
		t.Errorf("the mirror holds %v LSAs, %v", snap, err)
	}
}

func TestResyncAsksForTheDatabaseAnew(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	h := run(t, srv, nil)
	h.expect("Synced{}")
	h.Resync()
	srv.Await(t, "a second sync", func() bool {
		n := 0
		for _, r := range srv.Requests() {
			if _, is := r.Request.(ospfapi.SyncLSDB); is {
				n++
			}
		}
		return n == 2
	})
}

func TestTheSnapshotEndsWithItsContextAndWithThePort(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	p := New(Config{Server: srv.Addr(), Emit: func(machine.Event) {}, Interfaces: kernel, Check: func(ctx context.Context) (Standing, error) {
		<-ctx.Done()
		return Standing{}, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Snapshot(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("before Run: %v", err)
	}
	if err := p.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := p.Snapshot(t.Context()); !errors.Is(err, errEnded) {
		t.Errorf("after Run: %v", err)
	}
}

// A sync of 5,000 foreign service LSAs takes at most 200 ms (DESIGN section 10).
func BenchmarkSyncOf5000LSAs(b *testing.B) {
	srv := ospfapitest.NewServer(b, ospfapitest.Config{Reachable: []netip.Addr{r2}})
	body, err := (&advert.Service{Stamp: advert.Stamp{Incarnation: 7, Generation: 1}, Name: "web", State: advert.Started, Addresses: []netip.Addr{vip}}).Append(nil)
	if err != nil {
		b.Fatal(err)
	}
	for n := range 5000 {
		r := advert.RouterID(0x0b000000 + uint32(n/50)).Addr()
		srv.Inject(area0, ospfapitest.NewLSA(ospfapi.OpaqueAS, 222<<24|uint32(n%50), r, firstSeq, body))
	}
	for b.Loop() {
		synced := make(chan struct{})
		seen := 0
		p := New(Config{Server: srv.Addr(), Interfaces: kernel,
			Check: func(context.Context) (Standing, error) { return Standing{Router: self}, nil },
			Emit: func(ev machine.Event) {
				switch ev.(type) {
				case machine.LSASeen:
					seen++
				case machine.Synced:
					close(synced)
				}
			}})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		<-synced
		b.StopTimer()
		cancel()
		if err := <-ended; err != nil || seen != 5000 {
			b.Fatalf("%d seen, %v", seen, err)
		}
		b.StartTimer()
	}
}

// live are the link state ids of our own LSAs of type 222 that would go on being
// heard, with what they say.
func live(srv *ospfapitest.Server) map[uint32]string {
	m := map[uint32]string{}
	for _, b := range srv.LSDB() {
		id := uint32(b[4])<<24 | uint32(b[5])<<16 | uint32(b[6])<<8 | uint32(b[7])
		if b[4] == advert.OpaqueType && uint16(b[0])<<8|uint16(b[1]) != ospfapitest.MaxAge && netip.AddrFrom4([4]byte(b[8:12])) == srv.RouterID() {
			m[id] = string(b[ospfapi.LSAHeaderLen:])
		}
	}
	return m
}

func TestTypesThatAnotherClientTookAlongAreRegisteredAgain(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	h := run(t, srv, nil)
	h.expect("Synced{}")
	before := machine.LSARef{Scope: machine.ASScope, ID: 2}
	h.Do(machine.Originate{Ref: before, Body: nodeBody(t, "n1", 1)})
	h.await("the echo", func(ev machine.Event) bool { _, is := ev.(machine.LSASeen); return is })
	srv.ForgetTypes(advert.OpaqueType)
	ref := machine.LSARef{Scope: machine.ASScope, ID: 1}
	h.Do(machine.Originate{Ref: ref, Body: nodeBody(t, "n1", 1)})
	h.awaitRefusalAndEnd(before)
	srv.Await(t, "the three types again", func() bool { return registrations(srv) == 6 })
	next := machine.LSARef{Scope: machine.ASScope, ID: 3}
	h.Do(machine.Originate{Ref: next, Body: nodeBody(t, "n1", 2)}) // as the machine does a second later
	h.await("the echo", func(ev machine.Event) bool { s, is := ev.(machine.LSASeen); return is && s.Ref == next })
}

// An ospfd that hung notices the end of the connection before this one late, and
// takes with it what this one has said.
func TestWhatWasDeletedWithAnEarlierConnectionIsNoticed(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	h := run(t, srv, nil)
	h.expect("Synced{}")
	ref := machine.LSARef{Scope: machine.ASScope, ID: 2}
	h.Do(machine.Originate{Ref: ref, Body: nodeBody(t, "n1", 1)})
	h.await("the echo", func(ev machine.Event) bool { _, is := ev.(machine.LSASeen); return is })
	srv.FlushOwn(advert.OpaqueType) // without a word to us
	h.await("that it is gone", func(ev machine.Event) bool { g, is := ev.(machine.LSAGone); return is && g.Ref == ref })
}

func registrations(srv *ospfapitest.Server) (n int) {
	for _, r := range srv.Requests() {
		if _, is := r.Request.(ospfapi.Register); is {
			n++
		}
	}
	return n
}

// ospfd from FRR 10 on keeps what it refused, and a DELETE of that does nothing.
func TestAnLSAThatOSPFDForgotToBeItsOwnIsOverwrittenAndDeleted(t *testing.T) {
	for _, signed := range []bool{false, true} {
		for scope, s := range map[string]machine.Scope{"as": machine.ASScope, "area": {Kind: machine.ScopeArea, Area: area0}, "link": {Kind: machine.ScopeLink, Link: "eth0"}} {
			t.Run(fmt.Sprintf("%s, signed %t", scope, signed), func(t *testing.T) {
				var mu sync.Mutex
				var flooded []string
				srv := ospfapitest.NewServer(t, ospfapitest.Config{Interfaces: []ospfapitest.Interface{{Addr: if1, Area: area0, State: ospfapi.ISMPointToPoint}},
					OnFlood: func(f ospfapitest.Flood) {
						mu.Lock()
						defer mu.Unlock()
						flooded = append(flooded, string(f.LSA[ospfapi.LSAHeaderLen:]))
					}})
				h := run(t, srv, func(c *Config) {
					if signed {
						k := advert.Key{ID: 1, Secret: advert.Secret("sixteen octets, and more")}
						c.Keys = func() advert.Keyring { return advert.Keyring{Send: k, Accept: []advert.Key{k}, Required: true} }
					}
				})
				h.expect("Synced{}")
				srv.ForgetTypes(advert.OpaqueType)
				ref := machine.LSARef{Scope: s, ID: 1}
				h.Do(machine.Originate{Ref: ref, Body: nodeBody(t, "n1", 1)})
				h.awaitRefusalAndEnd(ref) // nobody need ask for its end
				srv.Await(t, "the three types again", func() bool { return registrations(srv) >= 6 })
				srv.Await(t, "its end", func() bool { return len(live(srv)) == 0 })
				srv.Await(t, "an LSA and its end on their way to the neighbours", func() bool {
					mu.Lock()
					defer mu.Unlock()
					return len(flooded) >= 2
				})
				mu.Lock()
				defer mu.Unlock()
				for _, body := range flooded {
					if strings.Contains(body, "n1") {
						t.Errorf("neighbours are told the old words: %q", body)
					}
				}
			})
		}
	}
}

// Of an earlier life or connection, of which the machine says that it is to go.
func TestAnLSAThatNobodyOwnsIsOverwrittenAndDeleted(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	ref := machine.LSARef{Scope: machine.ASScope, ID: 1}
	srv.Abandon(ospfapitest.NewLSA(ospfapi.OpaqueAS, linkStateID(ref), srv.RouterID(), firstSeq, nodeBody(t, "n1", 1)))
	h := run(t, srv, nil)
	h.expect("Synced{}")
	if len(live(srv)) != 1 {
		t.Fatal("it has gone without being deleted")
	}
	h.Do(machine.Flush{Ref: ref})
	srv.Await(t, "its end", func() bool { return len(live(srv)) == 0 })
	h.await("that it is gone", func(ev machine.Event) bool { g, is := ev.(machine.LSAGone); return is && g.Ref == ref })
}

// A client that dies leaves some LSAs to ospfd before FRR 8.3, where nothing can be
// done: then nobody is told that they are gone.
func TestWhatCannotBeDeletedIsNotTakenForGone(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{Dialect: &ospfapi.FRR75, Interfaces: []ospfapitest.Interface{{Addr: if1, Area: area0, State: ospfapi.ISMPointToPoint}},
		Neighbors: []ospfapitest.Neighbor{{IfAddr: if1, Addr: if2, RouterID: r2, State: ospfapi.NSMFull}}})
	ref := machine.LSARef{Scope: machine.ASScope, ID: 1}
	srv.Abandon(ospfapitest.NewLSA(ospfapi.OpaqueAS, linkStateID(ref), srv.RouterID(), firstSeq, nodeBody(t, "n1", 1)))
	h := run(t, srv, nil)
	h.expect("Synced{}")
	h.Do(machine.Flush{Ref: ref})
	srv.Await(t, "a second look", func() bool { return strings.Contains(h.log.String(), "cannot be deleted") })
	for _, ev := range h.words() {
		if strings.HasPrefix(ev, "LSAGone") {
			t.Errorf("the machine is told that it is gone: %s", ev)
		}
	}
}
