package machine

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// heardFrom is a node that hears n2 offer web.
func heardFrom(t *testing.T, said advert.Service) *Node {
	t.Helper()
	n, _ := table{cfg: plain}.node()
	n.cfg.Signed = true
	n.Step(t0, Reach{Router: r2, Area: true, AS: true})
	n.Step(t0, LSASeen{Router: r2, Ref: LSARef{Scope: ASScope, ID: DaemonID}, Body: advert.Body{Node: &advert.Node{
		Stamp: advert.Stamp{Incarnation: 5, Generation: 1}, Host: "n2", State: advert.Online}}})
	n.Step(t0, saidUnder(1, 2, said))
	return n
}

// saidUnder is a word of n2 about web under 222.G.0.0.
func saidUnder(g uint32, generation uint32, said advert.Service) LSASeen {
	said.Name, said.Stamp = "web", advert.Stamp{Incarnation: 5, Generation: generation}
	return LSASeen{Router: r2, Ref: LSARef{Scope: ASScope, ID: g << 16}, Body: advert.Body{Service: &said}}
}

func gone(g uint32) LSAGone { return LSAGone{Router: r2, Ref: LSARef{Scope: ASScope, ID: g << 16}} }

// offered is what n believes of n2's web.
func offered(n *Node) string {
	for _, s := range n.View().Services {
		for _, o := range s.Offers {
			if o.Router == r2 {
				return fmt.Sprintf("%s counts %t", o.State, o.Counts)
			}
		}
	}
	return "nothing"
}

// refusedOf is "REASON COUNT PRESENT ..." of a view.
func refusedOf(n *Node) string {
	var all []string
	for _, r := range n.View().Refused {
		all = append(all, fmt.Sprintf("%s %d %d", r.Reason, r.Count, r.Present))
	}
	return strings.Join(all, ", ")
}

func TestAReplayOfAnOlderWordIsRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		events  []Event
		offered string
		refused string
	}{
		{"an old G beside the new one, whichever comes first, is a leftover",
			[]Event{saidUnder(3, 4, idle), saidUnder(2, 3, runsIt)}, "stopped counts true", ""},
		{"the old word of an offer that is no more",
			[]Event{saidUnder(3, 4, idle), gone(1), gone(3), saidUnder(1, 2, runsIt)}, "nothing", "replayed 1 1"},
		{"and it leaves again",
			[]Event{saidUnder(3, 4, idle), gone(1), gone(3), saidUnder(1, 2, runsIt), gone(1)}, "nothing", "replayed 1 0"},
		{"an old word in the place of the last one changes nothing",
			[]Event{saidUnder(3, 4, idle), gone(1), saidUnder(3, 1, runsIt)}, "stopped counts true", "replayed 1 1"},
		{"an old word under another id does not keep an offer alive",
			[]Event{saidUnder(3, 4, idle), gone(1), saidUnder(2, 3, idle), gone(3)}, "nothing", ""},
		{"the last word itself may come back, as after a long partition",
			[]Event{gone(1), saidUnder(1, 2, idle)}, "stopped counts true", ""},
		{"a newer word is news", []Event{gone(1), saidUnder(1, 3, idle)}, "stopped counts true", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := heardFrom(t, idle)
			for _, e := range c.events {
				n.Step(t0, e)
			}
			if got := offered(n); got != c.offered {
				t.Errorf("believed: %s, want %s", got, c.offered)
			}
			if got := refusedOf(n); got != c.refused {
				t.Errorf("refused: %q, want %q", got, c.refused)
			}
		})
	}
}

func TestAnOldAnnouncementDoesNotRaiseADeadDaemon(t *testing.T) {
	n := heardFrom(t, idle)
	daemon := func(g uint32, inc uint64, gen uint32) LSASeen {
		return LSASeen{Router: r2, Ref: LSARef{Scope: ASScope, ID: g<<16 | DaemonID}, Body: advert.Body{Node: &advert.Node{
			Stamp: advert.Stamp{Incarnation: inc, Generation: gen}, Host: "n2", State: advert.Online}}}
	}
	status := func() string {
		for _, v := range n.View().Nodes {
			if v.Router == r2 {
				return v.Status
			}
		}
		return "unknown"
	}
	n.Step(t0, daemon(1, 5, 9))
	n.Step(t0, LSAGone{Router: r2, Ref: LSARef{Scope: ASScope, ID: DaemonID}})
	n.Step(t0, LSAGone{Router: r2, Ref: LSARef{Scope: ASScope, ID: 1<<16 | DaemonID}})
	if got := status(); got != "srrd gone" {
		t.Fatalf("n2 is %s", got)
	}
	n.Step(t0, daemon(0, 5, 1))  // of this life
	n.Step(t0, daemon(7, 4, 90)) // of one before
	if got := status(); got != "srrd gone" {
		t.Errorf("after two replays n2 is %s", got)
	}
	if got := refusedOf(n); got != "replayed 2 2" {
		t.Errorf("refused: %q", got)
	}
	n.Step(t0, daemon(2, 6, 1))
	if got := status(); got != "present" {
		t.Errorf("started again n2 is %s", got)
	}
	if p := n.byRouter[r2]; len(p.newest) != 1 {
		t.Errorf("words of earlier lives are remembered: %v", p.newest)
	}
}

func TestWithoutKeysALifeOfALowerIncarnationIsHeard(t *testing.T) {
	for _, c := range []struct{ signed, parted, heard bool }{{false, true, true}, {true, true, false}, {false, false, false}} {
		t.Run(fmt.Sprintf("signed %t, unreachable in between %t", c.signed, c.parted), func(t *testing.T) {
			lowerIncarnation(t, c.signed, c.parted, c.heard)
		})
	}
}

func lowerIncarnation(t *testing.T, signed, parted, heard bool) {
	n := heardFrom(t, idle)
	n.cfg.Signed = signed
	if parted {
		n.Step(t0, Reach{Router: r2})
		n.Step(t0, Reach{Router: r2, Area: true, AS: true})
	}
	for _, g := range []uint32{0, 1} {
		n.Step(t0, LSAGone{Router: r2, Ref: LSARef{Scope: ASScope, ID: g<<16 | DaemonID}})
		n.Step(t0, gone(g))
	}
	n.Step(t0, LSASeen{Router: r2, Ref: LSARef{Scope: ASScope, ID: DaemonID}, Body: advert.Body{Node: &advert.Node{
		Stamp: advert.Stamp{Incarnation: 3, Generation: 1}, Host: "n2", State: advert.Online}}})
	said := saidUnder(0, 2, idle)
	said.Body.Service.Incarnation = 3
	n.Step(t0, said)
	if got := n.byRouter[r2].node != nil; got != heard {
		t.Errorf("the daemon is heard: %t, want %t", got, heard)
	}
	if got := len(n.byRouter[r2].lsas) == 2; got != heard {
		t.Errorf("the service is heard: %t, want %t", got, heard)
	}
	if got := refusedOf(n) == ""; got != heard {
		t.Errorf("refused: %q", refusedOf(n))
	}
}

func TestWhoCannotSignNeitherSpeaksNorSilences(t *testing.T) {
	n := heardFrom(t, runsIt)
	for i := range uint32(3) {
		n.Step(t0, LSARefused{Router: r2, Ref: LSARef{Scope: ASScope, ID: 1 << 16}, Why: advert.WrongMAC})   // in the place of what it said
		n.Step(t0, LSARefused{Router: r3, Ref: LSARef{Scope: ASScope, ID: i << 16}, Why: advert.Unsigned})   // a router that is no node
		n.Step(t0, LSARefused{Router: r3, Ref: LSARef{Scope: ASScope, ID: i << 16}, Why: advert.UnknownKey}) // and the same ones again
	}
	if got := offered(n); got != "started counts true" {
		t.Errorf("n2's web is believed to be %s", got)
	}
	if len(n.View().Nodes) != 2 {
		t.Errorf("a node was made of refused LSAs: %+v", n.View().Nodes)
	}
	if got := refusedOf(n); got != "unsigned 3 0, unknown key 3 3, wrong signature 3 1" {
		t.Errorf("refused: %q", got)
	}
	last := n.View().Refused[0]
	if last.Router != r3 || last.LSA == "" || !last.First.Equal(t0) || last.Why == "" {
		t.Errorf("the last one: %+v", last)
	}
	n.Step(t0, saidUnder(1, 3, idle))
	if got := offered(n); got != "stopped counts true" || strings.Contains(refusedOf(n), "wrong signature 3 1") {
		t.Errorf("a word that is signed again is not taken: %s, %s", got, refusedOf(n))
	}
}

func TestRefusalsAreToldOfOnceAMinute(t *testing.T) {
	n := heardFrom(t, idle)
	var lines []string
	for i := range uint32(1000) {
		at := t0.Add(time.Duration(i) * 100 * time.Millisecond) // 100 s
		for _, a := range n.Step(at, LSARefused{Router: r3, Ref: LSARef{Scope: ASScope, ID: i % 256 << 16}, Why: advert.Unsigned}) {
			if note, ok := a.(Note); ok {
				lines = append(lines, note.Text)
			}
		}
	}
	if len(lines) != 2 || !strings.Contains(lines[0], "refused: "+advert.Unsigned.Why()) || !strings.HasSuffix(lines[1], "599 more like it since the last line") {
		t.Errorf("%d lines:\n%s", len(lines), strings.Join(lines, "\n"))
	}
	for i := range uint32(2 * maxRefused) {
		n.Step(t0.Add(2*time.Minute), LSARefused{Router: r3 + RouterID(i), Ref: LSARef{Scope: ASScope}, Why: advert.Unsigned})
	}
	if len(n.refusedNow) > maxRefused {
		t.Errorf("%d are remembered", len(n.refusedNow))
	}
}

// started is n1 with a session and web offered, and what it gave to ospfd.
func sayingNode(t *testing.T) (*Node, []Originate) {
	t.Helper()
	n := New(Memory{}, nil)
	var said []Originate
	web := plain
	web.Name, web.Enabled = "web", true
	for _, e := range []Event{Configured{Config{Host: "n1", Scope: ASScope, ClaimTimeout: time.Second, Services: []Service{web}}},
		OSPFUp{Router: r1}, Adjacency{Full: 1}, Synced{}} {
		for _, a := range n.Step(t0, e) {
			switch a := a.(type) {
			case Originate:
				said = append(said, a)
			case RunPrimitive:
				for _, b := range n.Step(t0, PrimitiveDone{Service: a.Service, Run: a.Run}) {
					if o, ok := b.(Originate); ok {
						said = append(said, o)
					}
				}
			}
		}
	}
	if len(said) < 2 {
		t.Fatalf("n1 says %d LSAs", len(said))
	}
	return n, said
}

func TestForgeriesInOurOwnNameAreOutvotedAndProveNothing(t *testing.T) {
	n, said := sayingNode(t)
	refs := map[LSARef]bool{}
	for _, o := range said {
		refs[o.Ref] = true
	}
	at := t0
	for round := range 20 { // ten times what makes a second node of our router id
		at = at.Add(time.Second)
		var again []Originate
		for ref := range refs {
			for _, a := range n.Step(at, LSARefused{Router: r1, Ref: ref, Why: advert.Unsigned}) {
				if o, ok := a.(Originate); ok {
					again = append(again, o)
				}
			}
		}
		if len(again) < len(refs) {
			t.Fatalf("round %d: %d of %d said again", round, len(again), len(refs))
		}
		clear(refs)
		for _, o := range again {
			refs[o.Ref] = true
		}
	}
	if p := n.View().OSPF.Problem; p != "" || n.inc != n.minInc {
		t.Errorf("whoever cannot sign makes this node stop: %s", p)
	}
}

func TestNewKeysHaveEverythingSaidAgainInPlace(t *testing.T) {
	n, said := sayingNode(t)
	gen := n.gen
	var again []Originate
	for _, a := range n.Step(t0.Add(time.Minute), Rekeyed{}) {
		o, ok := a.(Originate)
		if !ok {
			t.Errorf("%T: nothing else is to be done", a)
		}
		again = append(again, o)
	}
	if n.gen != gen {
		t.Error("new stamps were given, though nothing has changed")
	}
	byRef := func(a, b Originate) int { return int(a.Ref.ID) - int(b.Ref.ID) }
	slices.SortFunc(again, byRef)
	slices.SortFunc(said, byRef)
	if !slices.EqualFunc(again, said, func(a, b Originate) bool { return a.Ref == b.Ref && bytes.Equal(a.Body, b.Body) }) {
		t.Errorf("said %v, then %v", said, again)
	}
	n.Step(t0.Add(time.Minute), OSPFDown{})
	if acts := n.Step(t0.Add(time.Minute), Rekeyed{}); len(acts) != 0 {
		t.Errorf("without ospfd: %v", acts)
	}
}
