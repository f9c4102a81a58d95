package machine

import (
	"fmt"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// LSAs that are not believed: not signed, signed wrongly, or replayed. Their
// content never gets further than here; they are counted, and told of at most
// once a minute for each reason, however many somebody floods.
const (
	refusalSilence = time.Minute
	// maxRefused bounds what is remembered of those that are in the database
	// now; beyond it they are refused and counted all the same.
	maxRefused = 4096
	// maxSubjects bounds of how many things the newest word of one router is
	// remembered. Service ids allow for fewer on a real node.
	maxSubjects = 4096
)

// refusals is what was refused for one reason.
type refusals struct {
	view   RefusalView
	noted  time.Time // when people were told last
	silent uint64    // how many since
}

// refuse counts an LSA that is not believed.
func (n *Node) refuse(k badKey, why advert.Refusal) {
	r := n.refused[why]
	if r == nil {
		r = &refusals{view: RefusalView{Reason: why, Why: why.Why(), First: n.now}}
		n.refused[why] = r
	}
	v := &r.view
	v.Count++
	v.Router, v.LSA, v.Last = k.router, k.ref.String(), n.now
	if _, known := n.refusedNow[k]; known || len(n.refusedNow) < maxRefused {
		n.refusedNow[k] = why
	}
	if r.silent++; !r.noted.IsZero() && n.now.Sub(r.noted) < refusalSilence {
		return
	}
	more := ""
	if r.silent > 1 {
		more = fmt.Sprintf("; %d more like it since the last line", r.silent-1)
	}
	n.note(LevelWarning, "", fmt.Sprintf("LSA %s of %s refused: %s%s", k.ref, n.hostOf(k.router), why.Why(), more))
	r.noted, r.silent = n.now, 0
}

// lsaRefused takes the port's word that an LSA cannot be believed. What a
// peer's LSA said that stood there before is kept: who cannot sign does not
// silence a node by overwriting it.
func (n *Node) lsaRefused(e LSARefused) {
	n.refuse(badKey{e.Router, e.Ref}, e.Why)
	if e.Router != n.router {
		return
	}
	// In our own name: of a life without keys, or forged. It goes, and what it
	// hides is said again; but it proves nothing about another node with our
	// router id, or whoever cannot sign could make us stop everything.
	n.own[e.Ref] = &ownLSA{seen: n.now} // there, and not as we said it
	n.flushLater(e.Ref, n.now.Add(foreignKept))
	t, s := n.topicOf(e.Ref)
	switch {
	case t == nil:
	case s == nil:
		t.said, n.daemonDue = false, true
	default:
		t.said = false
		n.touch(s)
	}
}

// overtaken reports whether an LSA is older than the newest word heard of the
// same thing from this router; else it is the newest now. Where nothing newer
// is in the database any more the LSA is a replay: everything is said under a
// newer stamp than before. Beside a newer one it is a leftover, of which the
// database has some at any time.
func (n *Node) overtaken(p *peer, k badKey, st advert.Stamp, subject string) bool {
	newest, known := p.newest[subject]
	if !newest.Newer(st) {
		if known || len(p.newest) < maxSubjects {
			p.newest[subject] = st
		}
		if subject == "" {
			p.parted = false
			if st.Incarnation > newest.Incarnation {
				p.forgetLives(st.Incarnation)
			}
		}
		return false
	}
	for ref, h := range p.lsas { // any one will do
		if ref != k.ref && h.subject() == subject && h.stamp.Newer(st) {
			return true
		}
	}
	if p.parted && st.Incarnation < newest.Incarnation && !n.cfg.Signed {
		p.newest = map[string]advert.Stamp{subject: st}
		return false
	}
	n.refuse(k, advert.Replayed)
	return true
}

// forgetLives drops what was remembered of lives before one that has begun:
// their LSAs do not count any more whatever they say.
func (p *peer) forgetLives(before uint64) {
	for subject, st := range p.newest {
		if st.Incarnation < before {
			delete(p.newest, subject)
		}
	}
}

// subject is what an LSA is about: a service, or "" for the daemon.
func (h heard) subject() string {
	if h.offer != nil {
		return h.offer.s.name
	}
	return ""
}

// rekeyed says everything again in place, for the port to sign it otherwise.
// The stamps stay: nothing has changed for anybody.
func (n *Node) rekeyed() {
	if !n.ospf.up {
		return
	}
	again := func(t *topic) {
		if t != nil && t.said {
			n.do(Originate{Ref: t.ref, Body: t.raw})
		}
	}
	for _, t := range n.daemon {
		again(t)
	}
	for _, s := range n.services {
		again(s.topic)
	}
}

// viewRefused lists what was refused, in the order of the reasons.
func (n *Node) viewRefused() (all []RefusalView) {
	for _, why := range advert.Refusals {
		if r := n.refused[why]; r != nil {
			v := r.view
			for _, w := range n.refusedNow {
				if w == why {
					v.Present++
				}
			}
			all = append(all, v)
		}
	}
	return all
}
