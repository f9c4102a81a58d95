package view_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func snapshot(seq uint32) *view.Snapshot {
	return &view.Snapshot{Machine: machine.View{Generation: seq}}
}

func TestAReaderGetsASnapshotMadeAfterItAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := view.NewBoard()
		b.Publish(snapshot(1))
		got := make(chan *view.Snapshot, 1)
		go func() {
			s, err := b.Read(t.Context())
			if err != nil {
				t.Error(err)
			}
			got <- s
		}()
		synctest.Wait()
		select {
		case <-got:
			t.Fatal("it was given what was published before it asked")
		default:
		}
		<-b.Asked()
		b.Publish(snapshot(2))
		if s := <-got; s.Machine.Generation != 2 {
			t.Errorf("got snapshot %d, want 2", s.Machine.Generation)
		}
		if s := b.Last(); s.Machine.Generation != 2 {
			t.Errorf("last is %d, want 2", s.Machine.Generation)
		}
	})
}

func TestOnePublishServesEveryoneWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := view.NewBoard()
		var readers sync.WaitGroup
		for range 50 {
			readers.Go(func() {
				if s, err := b.Read(t.Context()); err != nil || s.Machine.Generation != 7 {
					t.Errorf("got %v, %v", s, err)
				}
			})
		}
		synctest.Wait()
		<-b.Asked()
		b.Publish(snapshot(7))
		readers.Wait()
		select {
		case <-b.Asked():
			t.Error("somebody still asks")
		default:
		}
	})
}

// A reader sees the effect of every command that was answered before it
// asked, however reads, commands and publications interleave.
func TestAReaderSeesWhatItsCommandDid(t *testing.T) {
	b := view.NewBoard()
	type command struct{ done chan uint32 }
	inbox := make(chan command)
	ctx, cancel := context.WithCancel(t.Context())
	var owner, clients sync.WaitGroup
	owner.Go(func() {
		state := uint32(0)
		for {
			select {
			case c := <-inbox:
				state++
				c.done <- state
			case <-b.Asked():
				b.Publish(snapshot(state))
			case <-ctx.Done():
				b.Close()
				return
			}
		}
	})
	for range 8 {
		clients.Go(func() {
			for range 200 {
				c := command{make(chan uint32, 1)}
				inbox <- c
				did := <-c.done
				s, err := b.Read(ctx)
				if err != nil || s.Machine.Generation < did {
					t.Errorf("after change %d a reader saw %v, %v", did, s, err)
					return
				}
			}
		})
	}
	clients.Wait()
	cancel()
	owner.Wait()
}

func TestAReaderThatGivesUpGetsItsContextsError(t *testing.T) {
	b := view.NewBoard()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestACloseEndsReadersAndFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := view.NewBoard()
		errs := make(chan error, 2)
		go func() { _, err := b.Read(t.Context()); errs <- err }()
		go func() { _, err := b.Next(t.Context(), nil); errs <- err }()
		synctest.Wait()
		b.Close()
		for range 2 {
			if err := <-errs; !errors.Is(err, view.ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
		if _, err := b.Read(t.Context()); !errors.Is(err, view.ErrClosed) {
			t.Errorf("a later reader got %v", err)
		}
	})
}

func TestAFollowerGetsEachNewSnapshotWithoutAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := view.NewBoard()
		first := snapshot(1)
		b.Publish(first)
		if s, err := b.Next(t.Context(), nil); s != first || err != nil {
			t.Fatalf("got %v, %v", s, err)
		}
		got := make(chan *view.Snapshot)
		go func() { s, _ := b.Next(t.Context(), first); got <- s }()
		synctest.Wait()
		select {
		case <-b.Asked():
			t.Error("a follower asked")
		default:
		}
		b.Publish(snapshot(2))
		if s := <-got; s.Machine.Generation != 2 {
			t.Errorf("got %d", s.Machine.Generation)
		}
	})
}

func TestEventsKeepTheNewestAndSnapshotsStayAsTheyWere(t *testing.T) {
	var b view.Builder
	add := func(n int) {
		for range n {
			b.Note(viewtest.Now, machine.LevelInfo, "", "x")
		}
	}
	take := func() *view.Snapshot { return b.Snapshot(viewtest.Now, machine.View{}, view.Database{}) }
	check := func(s *view.Snapshot, first, last uint64) {
		t.Helper()
		want := int(last - first + 1)
		if len(s.Events) != want || s.Events[0].Seq != first || s.Events[want-1].Seq != last {
			t.Errorf("has %d events, want %d to %d", len(s.Events), first, last)
			return
		}
		for i, e := range s.Events {
			if e.Seq != first+uint64(i) {
				t.Errorf("event %d has number %d", i, e.Seq)
			}
		}
	}
	add(10)
	early := take()
	add(view.MaxEvents)
	full := take()
	add(3*view.MaxEvents + 1)
	late := take()
	check(early, 1, 10)
	check(full, 11, 10+view.MaxEvents)
	check(late, 3*view.MaxEvents+12, 4*view.MaxEvents+11)
}

func TestTheBuilderJoinsWhatWasAskedWithWhatWasAnswered(t *testing.T) {
	var b view.Builder
	a := netip.MustParseAddr("192.0.2.1")
	at := func(s int) time.Time { return viewtest.Now.Add(time.Duration(s) * time.Second) }
	state := func() string {
		s := b.Snapshot(at(100), machine.View{}, view.Database{})
		var lines []string
		for _, r := range s.AllAddresses() {
			lines = append(lines, fmt.Sprintf("%s wanted=%t present=%t %s| announce=%t %s %s", r.Service, r.Wanted, r.Present, r.AddressErr, r.Announce, r.Standing, r.RouteText))
		}
		return strings.Join(lines, "\n")
	}
	expect := func(when, want string) {
		t.Helper()
		if got := state(); got != want {
			t.Errorf("%s:\n got %q\nwant %q", when, got, want)
		}
	}
	expect("at first", "")
	b.Step(at(0), machine.Synced{}, []machine.Action{machine.SetAddresses{Service: "web", Addresses: []netip.Addr{a}, On: true}})
	expect("asked for", "web wanted=true present=false | announce=false  ")
	b.Step(at(1), machine.AddressState{Addr: a, Err: "no device"}, nil)
	expect("refused", "web wanted=true present=false no device| announce=false  ")
	b.Step(at(2), machine.AddressState{Addr: a, Present: true}, []machine.Action{machine.Announce{Service: "web", Addresses: []netip.Addr{a}, On: true}})
	b.Step(at(3), machine.RouteState{Addr: a, State: machine.RouteInstalled}, nil)
	expect("announced", "web wanted=true present=true | announce=true installed ")
	b.Step(at(4), machine.ZebraDown{Why: "connection reset"}, nil)
	expect("zebra gone", "web wanted=true present=true | announce=true  connection reset")
	b.Step(at(5), machine.RouteState{Addr: a, State: machine.RouteInstalled}, []machine.Action{
		machine.Announce{Service: "web", Addresses: []netip.Addr{a}},
		machine.SetAddresses{Service: "web", Addresses: []netip.Addr{a}},
	})
	expect("withdrawn", "web wanted=false present=true | announce=false installed ")
	b.Step(at(6), machine.RouteState{Addr: a, State: machine.RouteRemoved}, nil)
	b.Step(at(7), machine.AddressState{Addr: a}, nil)
	expect("off", "")
}

func TestProblemsNameWhatIsWrongAndNothingElse(t *testing.T) {
	s := viewtest.Snapshot()
	var got []string
	for _, p := range s.Problems(viewtest.Now) {
		got = append(got, p.Level.String()+" "+p.Text)
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{
		"warning node n4 is unreachable",
		"error db runs nowhere: it failed there: start: mysqld: disk full",
		"error disk runs nowhere",
		"error disk may still run on n4",
		"warning log is to be checked on n2 every 1s, and was not",
		"info wiki is stopped by an operator",
		"info disk: not protected against partition",
		"warning LSA 222.0.0.9 (as) of 10.255.0.3",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("missing %q in\n%s", want, all)
		}
	}
	for _, fine := range []string{"archive", "cache", "backup", "mail ", "ftp "} {
		if strings.Contains(all, " "+fine) {
			t.Errorf("%s is not a problem:\n%s", fine, all)
		}
	}
}

func TestAHolderThatHangsBeforeItsFirstCheckIsStaleToo(t *testing.T) {
	s := viewtest.Snapshot()
	offers := s.Service("log").Offers
	for i := range offers {
		offers[i].LastCheck, offers[i].LastHeard = time.Time{}, viewtest.Now.Add(-time.Minute)
	}
	const want = "log is to be checked on n2 every 1s, and was not"
	if !slices.ContainsFunc(s.Problems(viewtest.Now), func(p view.Problem) bool { return p.Text == want }) {
		t.Errorf("missing %q", want)
	}
}

func TestWhyAServiceCouldNotBeOfferedIsSaid(t *testing.T) {
	for want, failure := range map[string]advert.Failure{
		"vpn could not be offered here: ospfd refuses its LSA: illegal LSA type":              {Code: advert.FailRefused, Text: "illegal LSA type"},
		"vpn could not be offered here: activate failed: only root can run it as user nobody": {Code: advert.FailActivate, Text: "only root can run it as user nobody"},
	} {
		s := viewtest.Snapshot()
		sv := s.Service("vpn")
		sv.Cause, sv.Failure = "", failure
		if !slices.ContainsFunc(s.Problems(viewtest.Now), func(p view.Problem) bool { return p.Text == want }) {
			t.Errorf("missing %q", want)
		}
	}
}

func TestWhatIsFrozenOrDrainsIsSaid(t *testing.T) {
	s := viewtest.Snapshot()
	texts := func() (all []string) {
		for _, p := range s.Problems(viewtest.Now) {
			all = append(all, p.Level.String()+" "+p.Text)
		}
		return all
	}
	const cluster = "warning the cluster is frozen: no node starts or stops anything until `cluster unfreeze`"
	const service = "info dns is frozen: no node starts or stops it until `service dns unfreeze`"
	const drains = "info this node drains; still here: dns, mail"
	const maintenance = "info this node is in maintenance: it starts and stops nothing until `node online`"
	said := func(want ...string) {
		t.Helper()
		all := texts()
		for _, text := range []string{cluster, service, drains, maintenance} {
			if slices.Contains(all, text) != slices.Contains(want, text) {
				t.Errorf("%q is said: %v", text, slices.Contains(all, text))
			}
		}
	}
	if said(); view.NodeWords(&s.Machine) != "online" {
		t.Errorf("the node is %q", view.NodeWords(&s.Machine))
	}
	s.Machine.Freeze.On = true
	s.Service("dns").Freeze.On = true
	if said(cluster, service); view.NodeWords(&s.Machine) != "online, the cluster is frozen" {
		t.Errorf("the node is %q", view.NodeWords(&s.Machine))
	}
	if all := s.Explain(viewtest.Now, s.Service("dns")); !slices.Contains(all, "It is frozen: no node starts or stops it until `service dns unfreeze`.") {
		t.Errorf("why does not say it: %q", all)
	}
	s.Machine.Freeze.On = false
	s.Machine.Node, s.Machine.Draining = advert.Standby, []string{"dns", "mail"}
	if said(service, drains); view.NodeWords(&s.Machine) != "standby, draining (2 services left)" {
		t.Errorf("the node is %q", view.NodeWords(&s.Machine))
	}
	s.Machine.Node, s.Machine.Draining = advert.Maintenance, nil
	said(service, maintenance)
}

func TestAGroupHasTheClaimAndThePinOfItsLeader(t *testing.T) {
	s := viewtest.Snapshot()
	for _, name := range []string{"backup", "dns", "log"} { // backup starts here, dns runs here and is pinned, log runs on n2
		s.Service(name).Group = "WEB"
	}
	group := func() view.Group {
		all := s.Groups()
		return all[slices.IndexFunc(all, func(g view.Group) bool { return g.Name == "WEB" })]
	}
	if g := group(); g.Leader != "backup" || g.Claim != advert.NewClaim(8, viewtest.N1) || g.PinText != "" || g.Started != 2 {
		t.Errorf("the first leads where none is critical: %+v", g)
	}
	s.Service("dns").Flags |= advert.FlagCritical
	if g := group(); g.Leader != "dns" || g.Claim != advert.NewClaim(4, viewtest.N1) || g.Pin.Number != 2 || g.PinText != "moved to n1 for a time" {
		t.Errorf("the critical one leads: %+v", g)
	}
	s.Service("dns").Flags, s.Service("log").Flags = 0, advert.FlagCritical
	if g := group(); g.Leader != "log" || g.Claim != advert.NewClaim(1, viewtest.N2) || !slices.Equal(g.Holders, []string{"n1", "n2"}) {
		t.Errorf("one that is not configured here leads: %+v", g)
	}
	// A claim of somebody who has it no more says nothing.
	s.Service("log").Offers[0].State = advert.Stopped
	if g := group(); g.Claim != 0 {
		t.Errorf("nobody has it: %+v", g)
	}
}

func TestLostSessionsAreTheFirstProblems(t *testing.T) {
	s := viewtest.Snapshot()
	s.Machine.OSPF = machine.OSPFView{Why: "ospfd has no router id", Since: viewtest.Now}
	s.Machine.Zebra = machine.ZebraView{Why: "no such file or directory", Since: viewtest.Now}
	p := s.Problems(viewtest.Now)
	if p[0].Text != "no session with ospfd: ospfd has no router id" || p[1].Text != "no session with zebra: no such file or directory" {
		t.Errorf("got %q and %q", p[0].Text, p[1].Text)
	}
}

func TestTwoHoldersAreAnErrorUnlessOneIsHandingOver(t *testing.T) {
	s := viewtest.Snapshot()
	sv := s.Service("mail")
	sv.Offers[0].State = sv.Offers[1].State // both started
	text := func() string {
		var all string
		for _, p := range s.Problems(viewtest.Now) {
			if p.Service == "mail" {
				all += p.Text
			}
		}
		return all
	}
	if got := text(); got != "mail runs on several nodes: n1, n2" {
		t.Errorf("got %q", got)
	}
	sv.Offers[0].Counts = false
	if got := text(); got != "" {
		t.Errorf("an offer that does not count makes a problem: %q", got)
	}
}

func TestLSAsAreChosenByTheWordsOfOSPF(t *testing.T) {
	s := viewtest.Snapshot()
	total := 0
	for _, kind := range view.Kinds {
		n := len(s.LSAs(viewtest.Now, kind, false))
		if n == 0 {
			t.Errorf("the fixture has no LSA of kind %q, or it is not found", kind)
		}
		if kind != "all" && kind != "opaque" {
			total += n
		}
	}
	if all := len(s.LSAs(viewtest.Now, "all", false)); all != total {
		t.Errorf("%d LSAs in all, %d by kind", all, total)
	}
	if rows := (&view.Snapshot{}).LSAs(viewtest.Now, "all", true); len(rows) != 0 {
		t.Errorf("an empty database has %d LSAs", len(rows))
	}
}
