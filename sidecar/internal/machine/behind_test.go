package machine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// crowd is a node with many services, and what ospfd was given and asked.
type crowd struct {
	n      *Node
	now    time.Time
	timers map[TimerKey]SetTimer
	said   []Originate
}

// take carries out what the machine wants, less showing LSAs.
func (c *crowd) take(actions []Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case SetTimer:
			c.timers[a.Key] = a
		case Originate:
			c.said = append(c.said, a)
		case RunPrimitive:
			c.take(c.n.Step(c.now, PrimitiveDone{Service: a.Service, Run: a.Run}))
		}
	}
}

// until lets time pass, and returns what was said in it.
func (c *crowd) until(end time.Time) []Originate {
	c.said = nil
	for {
		var next *SetTimer
		for _, set := range c.timers {
			if !set.At.After(end) && (next == nil || set.At.Before(next.At) || set.At.Equal(next.At) && set.Gen < next.Gen) {
				next = &set
			}
		}
		if next == nil {
			c.now = end
			return c.said
		}
		delete(c.timers, next.Key)
		c.now = later(c.now, next.At)
		c.take(c.n.Step(c.now, TimerFired{Key: next.Key, Gen: next.Gen}))
	}
}

func TestAnOSPFDThatIsBehindIsNotGivenMore(t *testing.T) {
	c := crowd{n: New(Memory{}, nil), now: t0, timers: map[TimerKey]SetTimer{}}
	conf := Config{Host: "n1", Scope: ASScope, ClaimTimeout: time.Second, StartupHold: time.Hour}
	for i := range 4 * behindMost {
		s := plain
		s.Name, s.Enabled = fmt.Sprintf("s%02d", i), true
		conf.Services = append(conf.Services, s)
	}
	for i, e := range []Event{Configured{conf}, OSPFUp{Router: r1}, Adjacency{Full: 1}, Synced{}} {
		c.now = t0.Add(time.Duration(i))
		c.take(c.n.Step(c.now, e))
	}
	first := slices.Clone(c.said)
	if len(first) != len(conf.Services)+1 {
		t.Fatalf("%d LSAs of %d services and the daemon", len(first), len(conf.Services))
	}
	if again := c.until(t0.Add(behindLong - time.Second)); len(again) > 0 {
		t.Fatalf("while ospfd shows nothing, %d more LSAs are given to it, the first %s", len(again), again[0].Ref)
	}

	// A service that is changed after all of them is shown: the others never will be.
	c.said = nil
	c.take(c.n.Step(c.now, Command{ID: 1, Verb: VerbStop, Service: "s07"}))
	if len(c.said) != 1 {
		t.Fatalf("a stop says %d LSAs", len(c.said))
	}
	late := c.said[0]
	body, err := advert.Decode(late.Body)
	if err != nil {
		t.Fatal(err)
	}
	c.take(c.n.Step(c.now, LSASeen{Router: r1, Ref: late.Ref, Raw: late.Body, Body: body}))
	again := c.until(c.now.Add(echoTimeout))
	if want := len(first) - 1; len(again) < want {
		t.Errorf("after the echo of a later LSA %d are said again, want %d", len(again), want)
	}
}

func TestAnOSPFDThatNeverShowsAnythingIsNotWaitedForForEver(t *testing.T) {
	c := crowd{n: New(Memory{}, nil), now: t0, timers: map[TimerKey]SetTimer{}}
	conf := Config{Host: "n1", Scope: ASScope, ClaimTimeout: time.Second, StartupHold: time.Hour}
	for i := range 4 * behindMost {
		s := plain
		s.Name, s.Enabled = fmt.Sprintf("s%02d", i), true
		conf.Services = append(conf.Services, s)
	}
	for _, e := range []Event{Configured{conf}, OSPFUp{Router: r1}, Adjacency{Full: 1}, Synced{}} {
		c.take(c.n.Step(c.now, e))
	}
	if again := c.until(t0.Add(behindLong + echoTimeout)); len(again) < len(conf.Services) {
		t.Errorf("%d of %d are said again", len(again), len(conf.Services))
	}
}
