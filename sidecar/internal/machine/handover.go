package machine

import (
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/handover"
)

// A node is carried over whole when srrd re-executes itself: the next build
// goes on with the next event as if nothing had happened. Whatever a Node, and
// what hangs on it, gets of new fields is carried by itself; a new enumeration
// must be given words here, or be fixed.

// timerWords are what the timers are called between two builds, and in traces.
var timerWords = [...]string{
	TimerEcho: "echo", TimerRetry: "retry", TimerClaim: "claim", TimerHolding: "holding", TimerRejoin: "rejoin", TimerAlone: "alone",
	TimerLost: "lost", TimerWait: "wait", TimerRecall: "recall", TimerAnnounce: "announce", TimerLinger: "linger", TimerYield: "yield",
	TimerCheck: "check", TimerStamp: "stamp", TimerRetryAfter: "retry_after", TimerProbation: "probation", TimerFlush: "flush", TimerPin: "pin",
	TimerForeign: "foreign", TimerCoalesce: "coalesce", TimerFence: "fence", TimerAlive: "alive", TimerZebra: "zebra",
}

func (k TimerKind) String() string {
	if int(k) < len(timerWords) {
		return timerWords[k]
	}
	return "timer?"
}

// HandOver tells a codec how to carry a *Node, Events and Actions. The node
// must be Resumed when it was read.
func HandOver(c *handover.Codec) {
	var reasons [reasonCount]string
	for i := range reasons {
		reasons[i] = reasonTable[i].word
	}
	var phases [phaseCount]string
	for i := range phases {
		phases[i] = phaseTable[i].word
	}
	refusals := []string{advert.Taken.String()}
	for _, r := range advert.Refusals {
		refusals = append(refusals, r.String())
	}
	c.Words(advert.Taken, refusals...)
	c.Words(phase(0), phases[:]...)
	c.Words(ReasonCode(0), reasons[:]...)
	c.Words(WantStop, "stop", "stand", "run", "stay")
	c.Words(TimerKind(0), timerWords[:]...)
	c.Words(Verb(0), verbWords[:]...)
	c.Words(Primitive(0), primitiveWords[:]...)
	c.Words(Disabled, "disabled", "inactive", "injected", "active", "deactivated", "failed")
	c.Words(WayLocal, "local", "alias")
	c.Words(LossStop, "stop", "keep")
	c.Words(OriginateOK, "ok", "retry", "refused")
	c.Words(RouteRemoved, "removed", "installed", "beaten", "failed")
	c.Words(OutcomeDone, "done", "failed", "recall", "timed out", "unknown", "cancelled")
	c.Words(LevelInfo, "info", "warning", "error")
	c.Fixed(ScopeKind(0), // RFC 5250
		advert.RouterID(0), advert.Claim(0), advert.State(0), advert.Step(0), advert.FailureCode(0), advert.NodeState(0), advert.Flags(0)) // flooded
	c.Skip(Node{}, "out", "touched") // of a Step that is over
	c.Name(OSPFUp{}, OSPFDown{}, Synced{}, Adjacency{}, NeighborFull{}, LSASeen{}, LSARefused{}, Rekeyed{}, LSAGone{}, Reach{}, LinkReach{}, Outbid{}, HostRoute{},
		OriginateDone{}, AddressState{}, RouteState{}, ZebraUp{}, ZebraDown{}, PrimitiveDone{}, ProcessEnded{}, TimerFired{}, Configured{}, Command{}, Shutdown{})
}

// Resumed makes a node that was read from a hand-over ready for its next Step.
func (n *Node) Resumed() {
	for _, s := range n.services {
		n.bind(s)
		if s.topic != nil { // of a build that did not keep the floor
			s.floor = max(s.floor, s.topic.words.Seen)
		}
	}
}

// Upgraded notes another version of srrd. Others are told when this node says
// something of itself the next time: an upgrade in place changes no LSA.
func (n *Node) Upgraded(version string) { n.cfg.Version = version }

// Config is the configuration in force.
func (n *Node) Config() Config { return n.cfg }

// Export writes the node down; base is the time of now.
func (n *Node) Export(base time.Time) ([]byte, error) {
	c := handover.New()
	HandOver(c)
	return c.Append(nil, base, n)
}

// Import makes a node of what Export wrote; base is the moment that was
// Export's, as the present process has it.
func Import(b []byte, base time.Time) (*Node, error) {
	c := handover.New()
	HandOver(c)
	n := &Node{}
	if err := c.Decode(b, base, n); err != nil {
		return nil, err
	}
	n.Resumed()
	return n, nil
}
