package ospfapi_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/srrd/srrd/ospfapi"
	"github.com/srrd/srrd/ospfapi/ospfapitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	area0   = netip.IPv4Unspecified()
	ifA     = netip.MustParseAddr("192.0.2.1")
	otherID = netip.MustParseAddr("10.0.0.9")
)

// session is a running client and what it was told.
type session struct {
	*ospfapi.Client
	ended chan error

	mu      sync.Mutex
	got     []ospfapi.Notification
	warned  []error
	changed chan struct{}
}

func (s *session) note(n ospfapi.Notification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, n)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *session) all() []ospfapi.Notification {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func (s *session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = nil
}

// await waits until a notification satisfies is, and returns the first such.
func await[N ospfapi.Notification](t *testing.T, s *session, what string, is func(N) bool) N {
	t.Helper()
	timeout := time.NewTimer(40 * time.Second)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		ch := s.changed
		for _, n := range s.got {
			if m, ok := n.(N); ok && is(m) {
				s.mu.Unlock()
				return m
			}
		}
		s.mu.Unlock()
		select {
		case <-ch:
		case <-timeout.C:
			t.Fatalf("%s: not seen within 40 s; got %+v", what, s.all())
		}
	}
}

func testConfig(srv *ospfapitest.Server) ospfapi.Config {
	return ospfapi.Config{
		Server:    srv.Addr(),
		OSPFReady: func(context.Context) error { return nil },
		Notify:    func(ospfapi.Notification) {},
	}
}

// start dials and runs a client until the test ends.
func start(t *testing.T, cfg ospfapi.Config) *session {
	t.Helper()
	s := &session{ended: make(chan error, 1), changed: make(chan struct{})}
	inner := cfg.Notify
	cfg.Notify = func(n ospfapi.Notification) {
		if inner != nil {
			inner(n)
		}
		s.note(n)
	}
	cfg.Warn = func(err error) {
		s.mu.Lock()
		s.warned = append(s.warned, err)
		s.mu.Unlock()
	}
	c, err := ospfapi.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Client = c
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.ended <- c.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return s
}

func ready(t *testing.T, s *session) {
	t.Helper()
	if err := s.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lsa222 builds what a client hands to Originate.
func lsa222(t ospfapi.LSType, id uint32, body string) []byte {
	b := make([]byte, ospfapi.LSAHeaderLen)
	b[3] = byte(t)
	binary.BigEndian.PutUint32(b[4:], 222<<24|id)
	return append(b, body...)
}

func idOf(lsa []byte) uint32 { return binary.BigEndian.Uint32(lsa[4:]) }

func TestOriginationIsRepliedAndEchoed(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	s := start(t, testConfig(srv))
	ready(t, s)
	must(t, s.SyncAll(t.Context(), ospfapi.Filter{Types: ospfapi.AllTypes, Origin: ospfapi.AnyOrigin}))
	for _, lt := range []ospfapi.LSType{ospfapi.OpaqueLink, ospfapi.OpaqueArea, ospfapi.OpaqueAS} {
		must(t, s.Register(t.Context(), lt, 222))
		await(t, s, "READY", func(n ospfapi.Ready) bool { return n.Type == lt && n.Opaque == 222 })
		must(t, s.Originate(t.Context(), ospfapi.Originate{IfAddr: ifA, Area: area0, LSA: lsa222(lt, 7, "hello wo")}))
		u := await(t, s, "echo", func(n ospfapi.LSAUpdate) bool { return n.Key().Type == lt })
		if !u.Self || idOf(u.LSA) != 222<<24|7 || string(u.LSA[20:]) != "hello wo" || u.Key().Adv != srv.RouterID() {
			t.Errorf("%v echo is %+v", lt, u)
		}
	}
}

func TestLSAChecksumOfTheScriptedServerIsFletcher(t *testing.T) {
	lsa := ospfapitest.NewLSA(ospfapi.OpaqueArea, 222<<24|7, otherID, 0x80000001, []byte("any body "))
	c0, c1 := 0, 0
	for _, b := range lsa[2:] {
		c0 = (c0 + int(b)) % 255
		c1 = (c1 + c0) % 255
	}
	if c0 != 0 || c1 != 0 {
		t.Errorf("sums over an LSA with its checksum are %d, %d, want 0, 0 (RFC 1008)", c0, c1)
	}
}

func TestErrorCodesAreErrorsOnesCanBranchOn(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	s := start(t, testConfig(srv))
	ready(t, s)
	other := start(t, testConfig(srv))
	ready(t, other)
	ctx := t.Context()
	must(t, other.Register(ctx, ospfapi.OpaqueAS, 222))
	must(t, s.Register(ctx, ospfapi.OpaqueArea, 222))
	must(t, s.Register(ctx, ospfapi.OpaqueLink, 222))

	nowhere := netip.MustParseAddr("203.0.113.1")
	for _, c := range []struct {
		name string
		err  error
		want ospfapi.ErrCode
	}{
		{"a type another client has", s.Register(ctx, ospfapi.OpaqueAS, 222), ospfapi.OpaqueTypeInUse},
		{"an interface that is none", s.Originate(ctx, ospfapi.Originate{IfAddr: nowhere, LSA: lsa222(9, 1, "")}), ospfapi.NoSuchInterface},
		{"an area that is none", s.Originate(ctx, ospfapi.Originate{Area: nowhere, LSA: lsa222(10, 1, "")}), ospfapi.NoSuchArea},
		{"a type we did not register", s.Originate(ctx, ospfapi.Originate{LSA: lsa222(11, 1, "")}), ospfapi.OpaqueTypeNotRegistered},
		{"deleting what is not there", s.Delete(ctx, ospfapi.Delete{Type: 10, ID: 222<<24 | 99}), ospfapi.NoSuchLSA},
		{"unregistering twice", s.Unregister(ctx, ospfapi.OpaqueAS, 222), ospfapi.OpaqueTypeNotRegistered},
	} {
		var reply *ospfapi.ReplyError
		if !errors.Is(c.err, c.want) || !errors.As(c.err, &reply) {
			t.Errorf("%s: %v, want %v", c.name, c.err, c.want)
		}
	}
}

func TestRequestsThatWouldHarmOSPFDAreNotSent(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	s := start(t, testConfig(srv))
	ready(t, s)
	before := len(srv.Requests())
	for _, c := range []struct {
		name string
		req  ospfapi.Request
		want string
	}{
		{"an LSA over 1400 octets", ospfapi.Originate{LSA: lsa222(11, 1, strings.Repeat("x", 1384))}, "1404 octets, at most 1400"},
		{"an LSA that is not padded", ospfapi.Originate{LSA: lsa222(11, 1, "xyz")}, "23 octets is not padded"},
		{"an LSA without its header", ospfapi.Originate{LSA: make([]byte, 19)}, "shorter than its header"},
		{"an LSA of type 5", ospfapi.Originate{LSA: lsa222(5, 1, "")}, "not an opaque LS type"},
		{"a link-scope LSA without interface", ospfapi.Originate{LSA: lsa222(9, 1, "")}, "address of its interface"},
		{"a link-scope delete without interface", ospfapi.Delete{Type: 9}, "address of its interface"},
		{"registering type 1", ospfapi.Register{Type: 1}, "not an opaque LS type"},
		{"unregistering type 12", ospfapi.Unregister{Type: 12}, "not an opaque LS type"},
		{"a filter of 256 areas", ospfapi.SyncLSDB{Filter: ospfapi.Filter{Areas: make([]netip.Addr, 256)}}, "at most 255"},
		{"a filter of unknown origin", ospfapi.RegisterEvents{Filter: ospfapi.Filter{Origin: 3}}, "filter origin 3"},
	} {
		_, err := s.Start(c.req)
		var refused *ospfapi.RequestError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a refusal saying %q", c.name, err, c.want)
		}
	}
	if n := len(srv.Requests()); n != before {
		t.Errorf("%d requests reached the server", n-before)
	}
}

func TestLengthFieldOfAnOriginatedLSAIsFilledIn(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	s := start(t, testConfig(srv))
	ready(t, s)
	must(t, s.Register(t.Context(), ospfapi.OpaqueAS, 222))
	lsa := lsa222(11, 1, "twelve octet")
	binary.BigEndian.PutUint16(lsa[18:], 60000)
	must(t, s.Originate(t.Context(), ospfapi.Originate{LSA: lsa}))
	all := srv.LSDB()
	if len(all) != 1 || len(all[0]) != 32 {
		t.Errorf("database holds %x, want one LSA of 32 octets", all)
	}
	if srv.Crashed() != nil {
		t.Error(srv.Crashed())
	}
}

func TestNothingIsSentBeforeRouterOSPFIsConfirmed(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{NoRouterOSPF: true})
	cfg := testConfig(srv)
	asked, answer := make(chan struct{}), make(chan struct{})
	cfg.OSPFReady = func(ctx context.Context) error {
		close(asked)
		select {
		case <-answer:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s := start(t, cfg)
	<-asked
	if _, err := s.Start(ospfapi.Register{Type: ospfapi.OpaqueAS, Opaque: 222}); !errors.Is(err, ospfapi.ErrNotConfirmed) {
		t.Errorf("Start before confirmation: %v, want ErrNotConfirmed", err)
	}
	early := make(chan error, 1)
	go func() { early <- s.Register(t.Context(), ospfapi.OpaqueAS, 222) }()
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("%d requests sent before confirmation", n)
	}
	srv.SetRouterOSPF(true)
	close(answer)
	if err := <-early; err != nil {
		t.Errorf("Register after confirmation: %v", err)
	}
	if srv.Crashed() != nil {
		t.Error(srv.Crashed())
	}
}

func TestRefusalOfOSPFReadyEndsTheConnection(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	cfg := testConfig(srv)
	gone := errors.New("no vty")
	cfg.OSPFReady = func(context.Context) error { return gone }
	s := start(t, cfg)
	if err := <-s.ended; !errors.Is(err, gone) || !strings.Contains(err.Error(), "router ospf") {
		t.Errorf("Run = %v", err)
	}
	if err := s.WaitReady(t.Context()); !errors.Is(err, gone) {
		t.Errorf("WaitReady = %v", err)
	}
}

func TestDialectIsFoundByItself(t *testing.T) {
	for _, d := range []ospfapi.Dialect{ospfapi.FRR75, ospfapi.FRR83, ospfapi.FRR84} {
		t.Run(d.Name, func(t *testing.T) {
			srv := ospfapitest.NewServer(t, ospfapitest.Config{Dialect: &d,
				Neighbors: []ospfapitest.Neighbor{{IfAddr: ifA, Addr: otherID, RouterID: otherID, State: ospfapi.NSMFull}}})
			s := start(t, testConfig(srv))
			ready(t, s)
			if s.Dialect() != d {
				t.Errorf("dialect is %+v", s.Dialect())
			}
			for _, r := range []ospfapi.Request{ospfapi.SyncReachable{}, ospfapi.SyncISM{}, ospfapi.SyncNSM{}, ospfapi.SyncRouterID{}} {
				err := s.Do(t.Context(), r)
				if known := d.Knows(r.Op()); known != (err == nil) || !known && !errors.Is(err, ospfapi.ErrUnknownRequest) {
					t.Errorf("%v: %v", r.Op(), err)
				}
			}
			must(t, s.Register(t.Context(), ospfapi.OpaqueLink, 222))
			must(t, s.Originate(t.Context(), ospfapi.Originate{IfAddr: ifA, LSA: lsa222(9, 1, "")}))
			must(t, s.Delete(t.Context(), ospfapi.Delete{Type: 9, ID: 222<<24 | 1, IfAddr: ifA, Area: area0, ZeroLength: true}))
			if s.Stats().Stray != 0 {
				t.Errorf("%d stray replies", s.Stats().Stray)
			}
		})
	}
}

func TestSyncIsFencedInEveryDialect(t *testing.T) {
	for _, d := range []ospfapi.Dialect{ospfapi.FRR75, ospfapi.FRR83, ospfapi.FRR84} {
		for _, withRouterLSA := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s with own router-LSA %v", d.Name, withRouterLSA), func(t *testing.T) {
				srv := ospfapitest.NewServer(t, ospfapitest.Config{Dialect: &d, Reachable: []netip.Addr{otherID}})
				if withRouterLSA {
					srv.Inject(area0, ospfapitest.NewLSA(ospfapi.RouterLSA, 0x0a000001, srv.RouterID(), 0x80000001, make([]byte, 4)))
				}
				for i := range 500 {
					srv.Inject(area0, ospfapitest.NewLSA(ospfapi.OpaqueArea, 222<<24|uint32(i), otherID, 0x80000001, []byte("body")))
				}
				cfg := testConfig(srv)
				cfg.Quiet = 50 * time.Millisecond
				s := start(t, cfg)
				ready(t, s)
				for range 2 {
					s.forget()
					must(t, s.SyncAll(t.Context(), ospfapi.Filter{Types: ospfapi.MaskOf(ospfapi.OpaqueArea), Origin: ospfapi.AnyOrigin}))
					// SyncAll returned: everything is here, between the marks.
					var lsas int
					var started, done uint32
					var reachable bool
					for _, n := range s.all() {
						switch n := n.(type) {
						case ospfapi.SyncStarted:
							started = n.Seq
						case ospfapi.LSAUpdate:
							if n.Seq != started || done != 0 || n.Key().Type != ospfapi.OpaqueArea {
								t.Fatalf("%+v outside of its sync", n)
							}
							lsas++
						case ospfapi.ReachableChange:
							reachable = true
						case ospfapi.SyncDone:
							done = n.Seq
							if !n.Complete {
								t.Error("sync is not complete")
							}
						}
					}
					if lsas != 500 || done == 0 || done != started || reachable != d.SyncState {
						t.Errorf("got %d LSAs, started %d, done %d, reachable %v", lsas, started, done, reachable)
					}
				}
			})
		}
	}
}

func TestRefusedPartMakesASyncIncomplete(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{
		OnRequest: func(h ospfapi.Header, _ ospfapi.Request) (ospfapi.ErrCode, bool) {
			return ospfapi.NoMemory, h.Type == ospfapi.MsgSyncNSM
		}})
	s := start(t, testConfig(srv))
	ready(t, s)
	err := s.SyncAll(t.Context(), ospfapi.Filter{})
	if !errors.Is(err, ospfapi.NoMemory) {
		t.Errorf("SyncAll = %v", err)
	}
	if n := await(t, s, "SyncDone", func(ospfapi.SyncDone) bool { return true }); n.Complete {
		t.Error("SyncDone says complete")
	}
}

func TestUnansweredRequestEndsWithTheNextReply(t *testing.T) {
	// A server that says it speaks FRR 8.4 and then does not know SYNC_NSM.
	var mute ospfapitest.Config
	srv := ospfapitest.NewServer(t, mute)
	s := start(t, testConfig(srv))
	ready(t, s)
	resume := srv.Stall()
	first, err := s.Start(ospfapi.SyncISM{})
	must(t, err)
	second, err := s.Start(ospfapi.SyncNSM{})
	must(t, err)
	// A reply to what was not sent yet would be one nobody waits for.
	for s.Stats().Unsent > 0 && t.Context().Err() == nil {
		runtime.Gosched()
	}
	srv.SendRawSync(ospfapi.AppendReply(nil, ospfapi.Reply{Seq: second.Seq}))
	if err := second.Wait(t.Context()); err != nil {
		t.Errorf("second: %v", err)
	}
	if err := first.Wait(t.Context()); !errors.Is(err, ospfapi.ErrUnknownRequest) {
		t.Errorf("first: %v, want ErrUnknownRequest", err)
	}
	resume()
}

func TestFiveThousandOriginationsArePipelined(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	s := start(t, testConfig(srv))
	ready(t, s)
	must(t, s.RegisterEvents(t.Context(), ospfapi.Filter{Types: ospfapi.AllTypes, Origin: ospfapi.AnyOrigin}))
	must(t, s.Register(t.Context(), ospfapi.OpaqueArea, 222))
	var calls []*ospfapi.Call
	for i := range 5000 {
		call, err := s.Start(ospfapi.Originate{LSA: lsa222(10, uint32(i), strings.Repeat("x", 200))})
		must(t, err)
		calls = append(calls, call)
	}
	for _, call := range calls {
		must(t, call.Wait(t.Context()))
	}
	await(t, s, "last echo", func(n ospfapi.LSAUpdate) bool { return idOf(n.LSA) == 222<<24|4999 })
	echoes := 0
	for _, n := range s.all() {
		if u, ok := n.(ospfapi.LSAUpdate); ok {
			if idOf(u.LSA) != 222<<24|uint32(echoes) {
				t.Fatalf("echo %d is of %#x", echoes, idOf(u.LSA))
			}
			echoes++
		}
	}
	if echoes != 5000 {
		t.Errorf("%d echoes", echoes)
	}
}

func TestUpdateIsNotTakenForALoss(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	s := start(t, testConfig(srv))
	ready(t, s)
	must(t, s.RegisterEvents(t.Context(), ospfapi.Filter{Types: ospfapi.AllTypes, Origin: ospfapi.AnyOrigin}))
	for i := range 10 {
		srv.Inject(area0, ospfapitest.NewLSA(ospfapi.OpaqueArea, 222<<24|1, otherID, 0x80000001+uint32(i), []byte("body")))
	}
	last := ospfapitest.NewLSA(ospfapi.OpaqueArea, 222<<24|1, otherID, 0x8000000a, []byte("body"))
	ospfapitest.SetHeader(last, ospfapitest.MaxAge, 0x8000000b)
	srv.Inject(area0, last)
	await(t, s, "the delete", func(ospfapi.LSADelete) bool { return true })
	var updates, deletes int
	for _, n := range s.all() {
		switch n.(type) {
		case ospfapi.LSAUpdate:
			updates++
		case ospfapi.LSADelete:
			deletes++
		}
	}
	if updates != 10 || deletes != 1 {
		t.Errorf("%d updates and %d deletes, want 10 and 1", updates, deletes)
	}
	if st := s.Stats(); st.Coalesced != 9 {
		t.Errorf("%d deletes coalesced, want 9", st.Coalesced)
	}
}

func TestSlowConsumerCostsBoundedMemoryAndIsTold(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	for i := range 2000 {
		srv.Inject(area0, ospfapitest.NewLSA(ospfapi.OpaqueArea, 222<<24|uint32(i), otherID, 0x80000001, make([]byte, 1000)))
	}
	cfg := testConfig(srv)
	cfg.QueueLimit = 256 << 10
	gate := make(chan struct{})
	cfg.Notify = func(n ospfapi.Notification) {
		if _, isSync := n.(ospfapi.SyncStarted); isSync {
			<-gate
		}
	}
	s := start(t, cfg)
	ready(t, s)
	f := ospfapi.Filter{Types: ospfapi.AllTypes, Origin: ospfapi.AnyOrigin}
	result := make(chan error, 1)
	go func() { result <- s.SyncAll(t.Context(), f) }()
	// The consumer stands still; the reader must not: requests go on.
	for s.Stats().Overflows == 0 {
		must(t, s.SyncRouterID(t.Context()))
	}
	close(gate)
	if err := <-result; !errors.Is(err, ospfapi.ErrOverflow) {
		t.Errorf("SyncAll = %v, want ErrOverflow", err)
	}
	o := await(t, s, "Overflow", func(ospfapi.Overflow) bool { return true })
	if o.Dropped == 0 {
		t.Error("Overflow does not say how many")
	}
	for _, n := range s.all() {
		if d, ok := n.(ospfapi.SyncDone); ok && d.Complete {
			t.Error("a sync that lost LSAs ends as complete")
		}
	}
}

func TestDeadOSPFDEndsEverythingWithItsReason(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	s := start(t, testConfig(srv))
	ready(t, s)
	srv.Stall()
	call, err := s.Start(ospfapi.SyncISM{})
	must(t, err)
	srv.Stop()
	err = <-s.ended
	var stream *ospfapi.StreamError
	if !errors.As(err, &stream) {
		t.Errorf("Run = %v, want a StreamError", err)
	}
	var lost *ospfapi.LostError
	if err := call.Wait(t.Context()); !errors.As(err, &lost) {
		t.Errorf("call = %v, want its outcome unknown", err)
	}
	if _, err := s.Start(ospfapi.SyncISM{}); !errors.As(err, &stream) {
		t.Errorf("Start afterwards = %v", err)
	}
	must(t, srv.Start())
	again := start(t, testConfig(srv))
	ready(t, again)
}

func TestCloseFlushesWhatWasOriginated(t *testing.T) {
	flooded := make(chan ospfapitest.Flood, 10)
	srv := ospfapitest.NewServer(t, ospfapitest.Config{OnFlood: func(f ospfapitest.Flood) { flooded <- f }})
	s := start(t, testConfig(srv))
	ready(t, s)
	must(t, s.Register(t.Context(), ospfapi.OpaqueAS, 222))
	must(t, s.Originate(t.Context(), ospfapi.Originate{LSA: lsa222(11, 1, "")}))
	if f := <-flooded; binary.BigEndian.Uint16(f.LSA) != 1 {
		t.Errorf("flooded with age %d", binary.BigEndian.Uint16(f.LSA))
	}
	s.Close()
	if err := <-s.ended; !errors.Is(err, ospfapi.ErrClosed) {
		t.Errorf("Run = %v", err)
	}
	if f := <-flooded; binary.BigEndian.Uint16(f.LSA) != ospfapitest.MaxAge {
		t.Errorf("flushed with age %d", binary.BigEndian.Uint16(f.LSA))
	}
}

func TestGarbageFromTheServer(t *testing.T) {
	reply := ospfapi.AppendReply(nil, ospfapi.Reply{Seq: 4711})
	short := []byte{1, byte(ospfapi.MsgLSAUpdateNotify), 0, 4, 0, 0, 0, 0, 1, 2, 3, 4}
	good, _ := ospfapi.AppendNotification(nil, ospfapi.DelInterface{IfAddr: ifA})

	t.Run("a wrong version ends the connection", func(t *testing.T) {
		srv := ospfapitest.NewServer(t, ospfapitest.Config{})
		s := start(t, testConfig(srv))
		ready(t, s)
		srv.SendRaw([]byte{2, 11, 0, 8, 0, 0, 0, 0})
		if err := <-s.ended; !errors.Is(err, ospfapi.ErrVersion) {
			t.Errorf("Run = %v", err)
		}
	})
	t.Run("an unknown type and a short body are reported and the stream goes on", func(t *testing.T) {
		srv := ospfapitest.NewServer(t, ospfapitest.Config{})
		s := start(t, testConfig(srv))
		ready(t, s)
		srv.SendRaw([]byte{1, 99, 0, 2, 0, 0, 0, 0, 5, 5})
		srv.SendRaw(short)
		srv.SendRaw(good)
		await(t, s, "the message behind", func(ospfapi.DelInterface) bool { return true })
		await(t, s, "unknown type", func(n ospfapi.Undecoded) bool { return errors.Is(n.Err, ospfapi.ErrUnknownType) })
		await(t, s, "short body", func(n ospfapi.Undecoded) bool { return errors.Is(n.Err, ospfapi.ErrTruncated) })
		if s.Stats().Undecoded != 2 {
			t.Errorf("counted %d", s.Stats().Undecoded)
		}
	})
	t.Run("half a message and then the end", func(t *testing.T) {
		srv := ospfapitest.NewServer(t, ospfapitest.Config{})
		s := start(t, testConfig(srv))
		ready(t, s)
		srv.SendRaw([]byte{1, 12, 255, 255, 0, 0, 0, 0, 1})
		srv.SendRaw(nil)
		must(t, s.SyncISM(t.Context()))
		srv.KillConnections()
		if err := <-s.ended; !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Run = %v", err)
		}
	})
	t.Run("replies to nothing are counted", func(t *testing.T) {
		srv := ospfapitest.NewServer(t, ospfapitest.Config{})
		s := start(t, testConfig(srv))
		ready(t, s)
		srv.SendRawSync(reply)
		srv.SendRawSync(good)
		must(t, s.SyncISM(t.Context()))
		if s.Stats().Stray != 2 || len(s.warned) != 2 {
			t.Errorf("%d stray, warned of %v", s.Stats().Stray, s.warned)
		}
	})
}

func TestDial(t *testing.T) {
	t.Run("refuses servers that are not loopback", func(t *testing.T) {
		for _, a := range []string{"192.0.2.1:2607", "[::1]:2607", "0.0.0.0:2607"} {
			cfg := ospfapi.Config{Server: netip.MustParseAddrPort(a),
				OSPFReady: func(context.Context) error { return nil }, Notify: func(ospfapi.Notification) {}}
			if _, err := ospfapi.Dial(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "loopback") {
				t.Errorf("%s: %v", a, err)
			}
		}
	})
	t.Run("requires OSPFReady", func(t *testing.T) {
		if _, err := ospfapi.Dial(t.Context(), ospfapi.Config{Notify: func(ospfapi.Notification) {}}); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("says that nobody listens after one try", func(t *testing.T) {
		srv := ospfapitest.NewServer(t, ospfapitest.Config{})
		cfg := testConfig(srv)
		srv.Stop()
		_, err := ospfapi.Dial(t.Context(), cfg)
		var de *ospfapi.DialError
		if !errors.As(err, &de) || len(de.Tried) != 1 || !strings.Contains(err.Error(), "option -a") {
			t.Errorf("Dial = %v", err)
		}
	})
	t.Run("tells every pair tried", func(t *testing.T) {
		srv := ospfapitest.NewServer(t, ospfapitest.Config{})
		srv.RefuseAsync(true)
		cfg := testConfig(srv)
		cfg.Pairs = 3
		_, err := ospfapi.Dial(t.Context(), cfg)
		var de *ospfapi.DialError
		if !errors.As(err, &de) || len(de.Tried) != 3 || !errors.Is(err, io.EOF) {
			t.Fatalf("Dial = %v", err)
		}
		ports := []uint16{de.Tried[0].Port, de.Tried[1].Port, de.Tried[2].Port}
		for _, p := range ports {
			if p%2 != 0 || !strings.Contains(err.Error(), fmt.Sprintf("ports %d,%d", p, p+1)) {
				t.Errorf("pair %d: %v", p, err)
			}
		}
		if n := len(slices.Compact(ports)); n != 3 {
			t.Errorf("pairs %v are not distinct", ports)
		}
	})
	t.Run("takes the next pair when a port is in use", func(t *testing.T) {
		srv := ospfapitest.NewServer(t, ospfapitest.Config{})
		ln, port := occupiedPair(t)
		defer ln.Close()
		cfg := testConfig(srv)
		cfg.PortFirst, cfg.PortLast = port, port+2
		s := start(t, cfg)
		ready(t, s)
		if s.LocalPort() != port+2 {
			t.Errorf("connected from %d", s.LocalPort())
		}
	})
	t.Run("drops a stranger and goes on accepting", func(t *testing.T) {
		// The stranger comes before ospfd does: the server waits for it.
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		must(t, err)
		defer ln.Close()
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			peer := conn.RemoteAddr().(*net.TCPAddr)
			back := &net.TCPAddr{IP: peer.IP, Port: peer.Port + 1}
			stranger, err := net.DialTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}, back)
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, stranger) // until it is dropped
			stranger.Close()
			async, err := net.DialTCP("tcp4", nil, back)
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, async) // until the client closes
			async.Close()
		})
		var warned []error
		c, err := ospfapi.Dial(t.Context(), ospfapi.Config{
			Server:    ln.Addr().(*net.TCPAddr).AddrPort(),
			OSPFReady: func(context.Context) error { return nil },
			Notify:    func(ospfapi.Notification) {},
			Warn:      func(err error) { warned = append(warned, err) },
		})
		must(t, err)
		c.Close()
		var se *ospfapi.StrangerError
		if len(warned) != 1 || !errors.As(warned[0], &se) || se.Peer.Addr() != netip.MustParseAddr("127.0.0.9") {
			t.Errorf("warned of %v", warned)
		}
	})
	t.Run("does not try other pairs on an ospfd that hangs", func(t *testing.T) {
		ln, err := net.Listen("tcp4", "127.0.0.1:0") // never connects back
		must(t, err)
		defer ln.Close()
		_, err = ospfapi.Dial(t.Context(), ospfapi.Config{
			Server:        ln.Addr().(*net.TCPAddr).AddrPort(),
			OSPFReady:     func(context.Context) error { return nil },
			Notify:        func(ospfapi.Notification) {},
			AcceptTimeout: 20 * time.Millisecond,
		})
		var de *ospfapi.DialError
		if !errors.As(err, &de) || len(de.Tried) != 1 || !strings.Contains(err.Error(), "did not connect back within 20ms") {
			t.Errorf("Dial = %v", err)
		}
	})
	t.Run("gives up when its context ends", func(t *testing.T) {
		ln, err := net.Listen("tcp4", "127.0.0.1:0") // never connects back
		must(t, err)
		defer ln.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err = ospfapi.Dial(ctx, ospfapi.Config{
			Server:    ln.Addr().(*net.TCPAddr).AddrPort(),
			OSPFReady: func(context.Context) error { return nil },
			Notify:    func(ospfapi.Notification) {},
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial = %v", err)
		}
	})
}

// occupiedPair returns an even port P whose P+1 is taken, with P+2 and P+3 free.
func occupiedPair(t *testing.T) (net.Listener, uint16) {
	t.Helper()
	for p := uint16(18000); p < 19900; p += 4 {
		ln, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", p+1))
		if err != nil {
			continue
		}
		free := true
		for q := p; q < p+4; q++ {
			if q == p+1 {
				continue
			}
			l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", q))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			return ln, p
		}
		ln.Close()
	}
	t.Fatal("no free ports between 18000 and 19900")
	return nil, 0
}

func TestStolenAsyncStreamIsNoticed(t *testing.T) {
	// Somebody of this machine holds the async end: replies come, answers do not.
	srv := ospfapitest.NewServer(t, ospfapitest.Config{
		OnRequest: func(ospfapi.Header, ospfapi.Request) (ospfapi.ErrCode, bool) { return ospfapi.OK, true },
	})
	cfg := testConfig(srv)
	cfg.AcceptTimeout = 100 * time.Millisecond
	s := start(t, cfg)
	if err := <-s.ended; err == nil || !strings.Contains(err.Error(), "not ospfd") {
		t.Errorf("Run = %v", err)
	}
}

func TestEveryRequestIsOneWholeMessageWithABody(t *testing.T) {
	for _, d := range []ospfapi.Dialect{ospfapi.FRR75, ospfapi.FRR83, ospfapi.FRR84} {
		for _, r := range allRequests() {
			b, err := ospfapi.AppendRequest(nil, d, 7, r)
			must(t, err)
			h, body, rest, err := ospfapi.SplitMessage(b)
			must(t, err)
			if len(body) < 4 || len(rest) != 0 || h.Seq != 7 || h.Type != r.Op() {
				t.Errorf("%s: %v has a body of %d octets", d.Name, r.Op(), len(body))
			}
		}
	}
}

func allRequests() []ospfapi.Request {
	return []ospfapi.Request{
		ospfapi.Register{Type: 9, Opaque: 222}, ospfapi.Unregister{Type: 11, Opaque: 222},
		ospfapi.RegisterEvents{}, ospfapi.SyncLSDB{},
		ospfapi.Originate{LSA: lsa222(10, 1, "")}, ospfapi.Delete{Type: 9, IfAddr: ifA},
		ospfapi.SyncReachable{}, ospfapi.SyncISM{}, ospfapi.SyncNSM{}, ospfapi.SyncRouterID{},
	}
}

func TestTwoScriptedServersFloodToEachOther(t *testing.T) {
	ifB := netip.MustParseAddr("192.0.2.2")
	a := ospfapitest.NewServer(t, ospfapitest.Config{})
	b := ospfapitest.NewServer(t, ospfapitest.Config{RouterID: otherID,
		Interfaces: []ospfapitest.Interface{{Addr: ifB, Area: area0, State: ospfapi.ISMBackup}}})
	ospfapitest.Link(a, ifA, b, ifB)
	sa, sb := start(t, testConfig(a)), start(t, testConfig(b))
	ready(t, sa)
	ready(t, sb)
	must(t, sb.RegisterEvents(t.Context(), ospfapi.Filter{Types: ospfapi.AllTypes, Origin: ospfapi.NonSelf}))
	for _, lt := range []ospfapi.LSType{ospfapi.OpaqueLink, ospfapi.OpaqueArea, ospfapi.OpaqueAS} {
		must(t, sa.Register(t.Context(), lt, 222))
		must(t, sa.Originate(t.Context(), ospfapi.Originate{IfAddr: ifA, LSA: lsa222(lt, 1, "body")}))
		u := await(t, sb, "flooded LSA", func(n ospfapi.LSAUpdate) bool { return n.Key().Type == lt })
		want := ospfapi.LSAKey{Type: lt, ID: 222<<24 | 1, Adv: a.RouterID(), Area: area0, IfAddr: area0}
		if lt == ospfapi.OpaqueLink {
			want.IfAddr = ifB
		}
		if diff := cmp.Diff(want, u.Key(), cmpopts.EquateComparable(netip.Addr{})); diff != "" || u.Self {
			t.Errorf("%v (-want +got):\n%s", lt, diff)
		}
	}
	sa.Close()
	for _, lt := range []ospfapi.LSType{ospfapi.OpaqueLink, ospfapi.OpaqueArea, ospfapi.OpaqueAS} {
		await(t, sb, "flush", func(n ospfapi.LSADelete) bool { return n.Key().Type == lt })
	}
}
