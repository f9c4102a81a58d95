package handover

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

type colour uint8

const (
	red colour = iota
	green
)

type wire uint16

type animal interface{ legs() int }

type dog struct{ Name string }

func (dog) legs() int { return 4 }

type node struct {
	name  string
	next  *node
	peers []*node
}

type inner struct {
	at   time.Time
	addr netip.Addr
}

type house struct {
	yes     bool
	n       int
	d       time.Duration
	u       uint32
	f       float64
	text    string
	raw     []byte
	None    []byte
	list    []string
	array   [3]wire
	words   map[colour]string
	byAddr  map[netip.Addr]inner
	first   *node
	pet     animal
	err     error
	in      inner
	port    netip.AddrPort
	Do      func() int
	scratch int
	flag    *bool
	set     map[string]struct{}
	empty   map[string]int
}

func codec() *Codec {
	c := New()
	c.Words(red, "red", "green")
	c.Fixed(wire(0))
	c.Skip(house{}, "scratch")
	c.Name(dog{})
	return c
}

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)

func full() *house {
	a, b := &node{name: "a"}, &node{name: "b"}
	a.next, b.next = b, a
	a.peers = []*node{a, b, nil}
	yes := true
	return &house{yes: true, n: -5, d: time.Second, u: 1 << 31, f: 2.5, text: "x\x00y", raw: []byte{}, list: []string{"1", ""}, array: [3]wire{1, 2, 3},
		words: map[colour]string{red: "r", green: "g"}, byAddr: map[netip.Addr]inner{netip.MustParseAddr("10.0.0.1"): {at: t0}},
		first: a, pet: dog{"Rex"}, err: errors.New("broken"), in: inner{addr: netip.MustParseAddr("fe80::1%eth0")},
		port: netip.MustParseAddrPort("[::1]:80"), scratch: 7, flag: &yes, set: map[string]struct{}{"s": {}}, empty: map[string]int{}}
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	in := full()
	b, err := codec().Append(nil, t0, in)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := codec().Append(nil, t0, full()); !bytes.Equal(b, again) {
		t.Error("equal values gave other octets")
	}
	out := &house{}
	if err := codec().Decode(b, t0, out); err != nil {
		t.Fatal(err)
	}
	if out.first.next.next != out.first || out.first.peers[1] != out.first.next {
		t.Error("one object became two")
	}
	in.scratch = 0
	if !reflect.DeepEqual(in, out) {
		t.Errorf("\n got %+v\nwant %+v", out, in)
	}
}

func TestATimeKeepsItsDistanceWhenTheClockIsSet(t *testing.T) {
	type times struct{ Zero, Wall, Running time.Time }
	now := time.Now() // for its monotonic reading
	in := times{Wall: now.Round(0), Running: now.Add(-time.Minute)}
	b, err := New().Append(nil, now, &in)
	if err != nil {
		t.Fatal(err)
	}
	var out times
	later := now.Add(time.Hour) // the same moment, on a clock that was set
	if err := New().Decode(b, later, &out); err != nil {
		t.Fatal(err)
	}
	if !out.Zero.IsZero() || out.Wall != in.Wall || !out.Running.Equal(later.Add(-time.Minute)) || out.Running == out.Running.Round(0) {
		t.Errorf("got %v", out)
	}
}

func TestAnotherBuildIsReadByNames(t *testing.T) {
	old := func(v any, cs ...func(*Codec)) []byte {
		c := New()
		for _, f := range cs {
			f(c)
		}
		b, err := c.Append(nil, t0, v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	words := func(w ...string) func(*Codec) { return func(c *Codec) { c.Words(red, w...) } }
	type box struct{ C colour }
	for _, tc := range []struct {
		name  string
		words []string
		want  string // of the error; "" and green otherwise
	}{
		{"the number of a word moved", []string{"red", "blue", "green"}, ""},
		{"a word is gone", []string{"red"}, `"green" is no handover.colour of this build`},
	} {
		c := New()
		c.Words(red, tc.words...)
		var got box
		err := c.Decode(old(&box{green}, words("red", "green")), t0, &got)
		switch {
		case tc.want == "" && (err != nil || tc.words[got.C] != "green"):
			t.Errorf("%s: got %v, %v", tc.name, got, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: got error %v", tc.name, err)
		}
	}
	// The same type as two builds have it: a codec that leaves a field out
	// stands for the build without it.
	type grown struct {
		A int
		M map[string]int
	}
	without := func(f string) func(*Codec) { return func(c *Codec) { c.Skip(grown{}, f) } }
	var g grown
	if err := New().Decode(old(&grown{A: 1}, without("M")), t0, &g); err != nil || g.A != 1 || g.M == nil {
		t.Errorf("a map the writer did not have is made: got %+v, %v", g, err)
	}
	c := New()
	without("A")(c)
	if err := c.Decode(old(&grown{A: 1}), t0, &g); err == nil || !strings.Contains(err.Error(), "it has handover.grown.A, which this build does not know") {
		t.Errorf("a field unknown here is refused: got %v", err)
	}
	var long struct{ A [3]int }
	if err := New().Decode(old(&struct{ A [2]int }{[2]int{1, 2}}), t0, &long); err != nil && !strings.Contains(err.Error(), "says nothing") {
		t.Errorf("got %v", err)
	}
}

func TestATypeThatIsNotExplainedIsRefused(t *testing.T) {
	type plain uint8
	for _, v := range []any{plain(0), struct{ c chan int }{}, map[string]plain{}} {
		if err := New().Check(v); err == nil {
			t.Errorf("%T was taken", v)
		}
	}
	if _, err := New().Append(nil, t0, &struct{ A animal }{dog{}}); err == nil {
		t.Error("an unnamed type in an interface was taken")
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	b, err := codec().Append(nil, t0, full())
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if err := codec().Decode(b[:n:n], t0, &house{}); err == nil {
			t.Fatalf("%d of %d octets were taken", n, len(b))
		}
	}
	if err := codec().Decode(append(b, 0), t0, &house{}); err == nil {
		t.Error("an octet too many was taken")
	}
}

func FuzzDamageNeverPanics(f *testing.F) {
	b, err := codec().Append(nil, t0, full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) { _ = codec().Decode(b, t0, &house{}) })
}
