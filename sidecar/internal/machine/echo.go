package machine

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"
)

// What becomes of the LSAs given to ospfd: their echo, what others or earlier
// lives said in our name, and the deletion of what is old.

// topicOf finds whose current LSA a reference is.
func (n *Node) topicOf(ref LSARef) (*topic, *service) {
	c, ok := n.current[ref]
	if !ok {
		return nil, nil
	}
	if c.t.said && c.t.ref == ref && (c.s == nil && slices.Contains(n.daemon, c.t) || c.s != nil && c.s.topic == c.t) {
		return c.t, c.s
	}
	delete(n.current, ref)
	return nil, nil
}

// current is whose current LSA a reference was when it was given out.
type current struct {
	t *topic
	s *service // nil: the daemon's
}

// ownSeen takes an LSA of ours from the database: the echo of what we said,
// or something an earlier life or somebody else said in our name.
func (n *Node) ownSeen(e LSASeen) {
	again := n.own[e.Ref] != nil && bytes.Equal(n.own[e.Ref].raw, e.Raw) // told twice, it has not come back
	n.own[e.Ref] = &ownLSA{raw: e.Raw, seen: n.now}
	delete(n.refusedNow, badKey{e.Router, e.Ref})
	t, s := n.topicOf(e.Ref)
	if t != nil && bytes.Equal(e.Raw, t.raw) {
		t.echoed, t.tries = true, 0
		n.echoedTo = later(n.echoedTo, t.saidAt)
		if s != nil {
			n.cancelTimer(s.timer(TimerEcho))
			s.refusals = 0
			n.touch(s)
		}
		return
	}
	st := e.Body.Stamp()
	switch {
	case e.Err == "" && st.Incarnation == n.inc && st.Generation <= n.gen:
		// One of ours that is older: an echo that came late, or an old G. What
		// others kept across a partition comes back when it heals; it would
		// speak for us for an hour.
		if _, due := n.flushAt[e.Ref]; !due {
			n.flushLater(e.Ref, n.now.Add(foreignKept))
		}
		return
	case e.Err == "" && (st.Incarnation > n.inc || st.Incarnation == n.inc):
		n.exceedDue = max(n.exceedDue, st.Incarnation)
	}
	n.foreign(e.Ref, t, s, again)
}

// ghostRises is how often an LSA of an earlier life may come back: from each
// neighbour that becomes Full before its deletion has reached all of them.
const ghostRises = 3

// foreign deletes an LSA that stands under our name and is not of this life,
// and says again what it hides.
func (n *Node) foreign(ref LSARef, t *topic, s *service, again bool) {
	if !again {
		if n.ghosts[ref]++; n.ghosts[ref] == 1 {
			n.note(LevelInfo, "", fmt.Sprintf("LSA %s under our router id is of an earlier life: it is to be deleted", ref))
			n.hidden = n.hidden || n.firstLife
		}
		if n.ghosts[ref] > ghostRises {
			n.rivalSeen() // the dead do not speak over and over
		}
	}
	n.flushLater(ref, n.now.Add(foreignKept))
	if t == nil {
		return
	}
	t.said = false
	if s == nil {
		n.daemonDue = true
	} else {
		n.touch(s)
	}
}

// exceed begins an incarnation above one that was seen under our router id
// and says everything again. Who must do that over and over shares the id.
func (n *Node) exceed(seen uint64) {
	if n.duplicate {
		return // two that outbid each other say nothing any more
	}
	n.newLife(seen + 1)
	n.rivalSeen()
	for _, s := range n.services {
		if s.topic != nil && s.topic.said {
			n.flushLater(s.topic.ref, n.now.Add(oldKept))
			s.topic.said = false
			n.touch(s)
		}
	}
	for _, t := range n.daemon {
		if t.said {
			n.flushLater(t.ref, n.now.Add(oldKept))
			t.said = false
		}
	}
	n.daemonDue = true
}

// rivalSeen counts the signs that somebody else speaks under our router id. One
// may be a former life's; exceedMost within exceedWithin are another node's.
func (n *Node) rivalSeen() {
	n.exceeded = slices.DeleteFunc(n.exceeded, func(t time.Time) bool { return n.now.Sub(t) > exceedWithin })
	n.exceeded = append(n.exceeded, n.now)
	if len(n.exceeded) < exceedMost || n.duplicate {
		return
	}
	n.duplicate = true
	n.note(LevelError, "", fmt.Sprintf("another node uses the router id %s: everything is stopped here until ospfd has another", n.router))
	n.touchAll()
}

func (n *Node) ownGone(e LSAGone) {
	delete(n.own, e.Ref)
	delete(n.refusedNow, badKey{e.Router, e.Ref})
	t, s := n.topicOf(e.Ref)
	if t == nil {
		return
	}
	// Somebody deleted what we say now: a former life's flush, or a person.
	t.said = false
	if s != nil {
		n.touch(s)
	} else {
		n.daemonDue = true
	}
}

// compareOwn checks, after a neighbour brought its database, that what we say
// is what the database shows. Where it brought LSAs of an earlier life of which
// there is no memory, all is said again: of two instances with the same id and
// number others keep the older, and ospfd shows us ours (FRR up to 10.7).
func (n *Node) compareOwn() {
	hidden := n.hidden
	n.hidden = false
	again := func(t *topic) bool {
		o := n.own[t.ref]
		return t.said && (hidden || t.echoed && (o == nil || !bytes.Equal(o.raw, t.raw)))
	}
	for _, t := range n.daemon {
		if again(t) {
			t.said = false
			n.daemonDue = true
		}
	}
	for _, s := range n.services {
		if s.topic != nil && again(s.topic) {
			s.topic.said = false
			n.touch(s)
		}
	}
}

// serviceEcho: the LSA was not seen back.
func (n *Node) serviceEcho(s *service) {
	t := s.topic
	if t == nil || !t.said || t.echoed {
		return
	}
	if n.behind(t) {
		n.setTimer(s.timer(TimerEcho), n.now.Add(echoTimeout))
		return
	}
	s.refusals++
	n.note(LevelWarning, s.name, fmt.Sprintf("ospfd does not show LSA %s after %s: said again under another id", t.ref, echoTimeout))
	n.flushLater(t.ref, n.now.Add(foreignKept))
	t.said = false
}

// behind reports whether an echo is late because all are: ospfd, or this node,
// has more to do than it gets done. To say everything again would only give it
// more. The echoes come in the order in which the LSAs were given, so one of a
// later LSA proves that this one was left out.
func (n *Node) behind(t *topic) bool {
	if n.echoedTo.After(t.saidAt) || n.now.Sub(t.saidAt) >= behindLong {
		return false
	}
	missing := 0
	for _, s := range n.services {
		if s.topic != nil && s.topic.said && !s.topic.echoed {
			missing++
		}
	}
	if missing <= behindMost {
		return false
	}
	if n.now.Sub(n.behindNoted) >= behindLong {
		n.behindNoted = n.now
		n.note(LevelWarning, "", fmt.Sprintf("ospfd is behind: %d of our LSAs are not shown yet", missing))
	}
	return true
}

func (n *Node) daemonEcho() {
	for _, t := range n.daemon {
		if t.said && !t.echoed {
			if n.behind(t) {
				n.setTimer(TimerKey{Kind: TimerEcho}, n.now.Add(echoTimeout))
				continue
			}
			n.note(LevelWarning, "", fmt.Sprintf("ospfd does not show LSA %s after %s: said again under another id", t.ref, n.now.Sub(t.saidAt).Round(time.Millisecond)))
			n.flushLater(t.ref, n.now.Add(foreignKept))
			t.said = false
			t.tries++
			n.daemonDue = true
		}
	}
}

// originateDone takes ospfd's answer.
func (n *Node) originateDone(e OriginateDone) {
	if e.Result == OriginateOK {
		return
	}
	t, s := n.topicOf(e.Ref)
	if t == nil {
		return
	}
	t.said = false
	k := TimerKey{Kind: TimerRetry}
	if s != nil {
		k.Service = s.name
		n.cancelTimer(s.timer(TimerEcho))
		n.touch(s)
		if e.Result == OriginateRefused {
			s.refusals++
		}
		if s.refusal != e.Text {
			s.refusal = e.Text
			n.note(LevelWarning, s.name, "ospfd does not take its LSA: "+e.Text)
		}
	} else if t.tries++; t.tries == 1 {
		n.note(LevelWarning, "", "ospfd does not take the daemon's LSA: "+e.Text)
	}
	n.setTimer(k, n.now.Add(retryAfter))
}

// flushLater notes a deletion, in place of one of the same LSA.
func (n *Node) flushLater(ref LSARef, at time.Time) {
	if was, due := n.flushAt[ref]; due && was.Equal(at) {
		return
	}
	n.flushAt[ref] = at
	i, _ := slices.BinarySearchFunc(n.flushes, at, func(f flush, at time.Time) int {
		return cmp.Or(f.at.Compare(at), -1) // after those of the same time
	})
	n.flushes = slices.Insert(n.flushes, i, flush{at, ref})
	if i == 0 {
		n.setTimer(TimerKey{Kind: TimerFlush}, at)
	}
}

// flushDue deletes what is due and arms the next deletion.
func (n *Node) flushDue() {
	i := 0
	for ; i < len(n.flushes) && !n.flushes[i].at.After(n.now); i++ {
		f := n.flushes[i]
		if at, due := n.flushAt[f.ref]; !due || !at.Equal(f.at) {
			continue
		}
		delete(n.flushAt, f.ref)
		if t, _ := n.topicOf(f.ref); t == nil && n.ospf.up {
			n.do(Flush{Ref: f.ref})
		}
	}
	n.flushes = slices.Delete(n.flushes, 0, i)
	if len(n.flushes) > 0 {
		n.setTimer(TimerKey{Kind: TimerFlush}, n.flushes[0].at)
	}
}
