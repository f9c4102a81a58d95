package machine

import (
	"cmp"
	"fmt"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// maxOps bounds what waits for its turn; a service whose join hangs must not
// collect the comings and goings of a day.
const maxOps = 256

// enqueue queues a primitive that is no part of a transition. It runs in its
// turn, when the service is in an idle phase.
func (n *Node) enqueue(s *service, o op) {
	if s.cfg == nil || o.asked == 0 && s.config != Active {
		return
	}
	if o.prim == PrimCheck && o.asked == 0 {
		if s.run != nil && s.run.prim == PrimCheck {
			return // the last one still runs; its timeout will tell
		}
		for _, q := range s.ops {
			if q.prim == PrimCheck {
				return
			}
		}
	}
	if len(s.ops) >= maxOps {
		n.note(LevelWarning, s.name, fmt.Sprintf("%s dropped: %d primitives wait already", o.prim, maxOps))
		if o.asked != 0 {
			n.do(Answer{ID: o.asked, Err: "too many primitives wait already"})
		}
		return
	}
	s.ops = append(s.ops, o)
	n.touch(s)
}

// runOps begins the next of them.
func (n *Node) runOps(s *service) {
	if s.run != nil || n.timerSet(s.timer(TimerRecall)) || s.cfg == nil || len(s.ops) == 0 || !s.phase.idle() {
		return
	}
	o := s.ops[0]
	s.ops = s.ops[1:]
	if s.phase != phaseStarted && (o.prim == PrimRestart || o.prim == PrimReload || o.prim == PrimCheck && o.asked == 0) {
		// It stopped while this waited; restarting it now would run it twice.
		if o.asked != 0 {
			n.do(Answer{ID: o.asked, Err: fmt.Sprintf("it is not started on this node any more but %s", s.phase.state())})
		}
		n.runOps(s)
		return
	}
	n.runPrimitive(s, o.prim, &o)
	if o.asked != 0 {
		n.asked[s.run.id] = o.asked
	}
}

// opDone takes the end of one.
func (n *Node) opDone(s *service, r *run, e PrimitiveDone) {
	if e.Outcome == OutcomeRecall && n.recallOp(s, r, e) {
		return // whoever asked is answered when it has ended
	}
	said := sentence(fmt.Sprintf("%s %s", r.prim, e.Outcome), e.Text)
	if e.Outcome == OutcomeDone {
		n.answerRun(e.Run, e.Text, "")
	} else { // also of a check: a script asks by the exit status
		n.answerRun(e.Run, "", said)
	}
	if e.Outcome == OutcomeCancelled {
		return
	}
	switch r.prim {
	case PrimCheck:
		n.checked(s, e)
	case PrimRestart:
		switch {
		case s.phase != phaseStarted || e.Outcome == OutcomeDone:
		case e.Outcome == OutcomeRecall:
			s.trouble = advert.Failure{Code: advert.FailRecallLimit, Text: advert.Clip("restart: " + e.Text)}
		default:
			s.trouble = advert.Failure{Code: advert.FailStart, Text: advert.Clip("restart: " + e.Text)}
		}
	case PrimFence:
		n.fenced(s, r.op, e)
	case PrimStatus:
	case PrimJoin, PrimLeave, PrimReload, PrimFailed, PrimActivate, PrimDeactivate, PrimStart, PrimStop:
		if e.Outcome != OutcomeDone {
			n.note(LevelWarning, s.name, sentence(fmt.Sprintf("%s %s", r.prim, e.Outcome), e.Text))
		}
	}
}

// recallOp asks a primitive that has not finished once more, in its turn, and
// reports whether: not beyond its timeout.
func (n *Node) recallOp(s *service, r *run, e PrimitiveDone) bool {
	if r.prim == PrimCheck || r.prim == PrimStatus {
		return false // the next one comes anyway
	}
	o := *r.op
	if o.first.IsZero() {
		o.first = r.since
	}
	if n.now.Add(e.Recall).Sub(o.first) >= s.cfg.Timeout[r.prim] {
		n.note(LevelWarning, s.name, fmt.Sprintf("%s asks to be recalled beyond its timeout", r.prim))
		return false
	}
	delete(n.asked, e.Run)
	s.ops = append([]op{o}, s.ops...)
	n.setTimer(s.timer(TimerRecall), n.now.Add(e.Recall))
	return true
}

// checked counts the outcome of a check.
func (n *Node) checked(s *service, e PrimitiveDone) {
	if s.phase != phaseStarted {
		return
	}
	code, bad, limit := advert.FailNone, 0, max(1, s.cfg.Fall)
	if e.Outcome != OutcomeDone && n.now.Sub(s.startedAt) < s.cfg.Grace {
		return // it is still coming up
	}
	switch e.Outcome {
	case OutcomeDone:
		s.checked = n.now.Truncate(time.Millisecond)
		s.unknowns = 0
		if s.rises++; s.rises >= max(1, s.cfg.Rise) {
			s.fails = 0
			s.trouble = advert.Failure{} // it was frozen while broken, and has come back
		}
		return
	case OutcomeFailed:
		s.fails++
		s.rises, s.unknowns = 0, 0
		if bad = s.fails; bad >= limit {
			code = advert.FailCheck
		}
	case OutcomeTimeout, OutcomeUnknown:
		// Nobody knows: as many in a row count like failures, under a code of
		// their own.
		s.unknowns++
		limit = max(1, cmp.Or(s.cfg.FallUnknown, s.cfg.Fall))
		if bad = s.unknowns; bad >= limit {
			code = advert.FailCheckUnknown
		}
	case OutcomeRecall, OutcomeCancelled:
		return
	}
	n.note(LevelWarning, s.name, sentence(fmt.Sprintf("check %s (%d of %d)", e.Outcome, bad, limit), e.Text))
	if code != advert.FailNone {
		s.trouble = advert.Failure{Code: code, Text: advert.Clip(e.Text)}
	}
}

// answerRun answers the command that waits for a run.
func (n *Node) answerRun(id uint64, text, err string) {
	asked, ok := n.asked[id]
	if !ok {
		return
	}
	delete(n.asked, id)
	n.do(Answer{ID: asked, Text: text, Err: err})
}
