package machine

import (
	"net/netip"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// Event is something that happened. The set is sealed.
type Event interface{ event() }

type (
	// OSPFUp: a session with ospfd stands; ospfd has a router id that was
	// configured, is opaque-capable and took our registration. What was known
	// of the link-state database before is void.
	OSPFUp struct {
		Router       RouterID
		DeadInterval time.Duration // the longest of any interface; 0: not known
	}
	// OSPFDown: the session ended, or ospfd cannot be used; Why says what a
	// person would want to know. It may come again with another Why.
	OSPFDown struct{ Why string }
	// Synced: the sync fence passed and the reachable set was received; from
	// now on the database is followed by single events.
	Synced struct{}
	// Adjacency: how many neighbours are Full, and how many are on their way
	// (between Init and Loading).
	Adjacency struct{ Full, Between int }
	// NeighborFull: one more neighbour has become Full; it may have brought
	// LSAs of a former life of ours.
	NeighborFull struct{ Router RouterID }
	// LSASeen: an opaque LSA of type 222 is in the database (again). Err is
	// set, and Body empty, where it cannot be read.
	LSASeen struct {
		Router RouterID
		Ref    LSARef
		Body   advert.Body
		Raw    []byte
		Err    string
	}
	// LSARefused: an opaque LSA of type 222 is in the database that must not be
	// believed. Its content is not told.
	LSARefused struct {
		Router RouterID
		Ref    LSARef
		Why    advert.Refusal
	}
	// Rekeyed: the keys have changed; what is said is to be signed anew.
	Rekeyed struct{}
	// LSAGone: it left the database, or became MaxAge.
	LSAGone struct {
		Router RouterID
		Ref    LSARef
	}
	// Reach: whether LSAs of the router count, for area scope (it is in the
	// reachable set of an attached area) and for AS scope (that, or an ASBR
	// a reachable area border router names).
	Reach struct {
		Router   RouterID
		Area, AS bool
	}
	// LinkReach: whether a router is a neighbour, 2-Way or better, on the
	// interface; its link scope LSAs count so long.
	LinkReach struct {
		Link   string
		Router RouterID
		Up     bool
	}
	// Outbid: the router LSA of our ospfd was originated by somebody else: its
	// sequence number grew by more than one.
	Outbid struct{}
	// HostRoute: the router announces Addr/32 in the database (types 1, 5, 7),
	// or no longer. The own router is reported too: it is the echo of a route.
	HostRoute struct {
		Addr    netip.Addr
		Router  RouterID
		Present bool
	}
	// OriginateDone: what ospfd answered; the words of its error, or "".
	OriginateDone struct {
		Ref    LSARef
		Result OriginateResult
		Text   string
	}
	// AddressState: the kernel shows the address here, or not; Err is set when
	// what was asked for failed.
	AddressState struct {
		Addr    netip.Addr
		Present bool
		Err     string
	}
	// RouteState: what zebra says of the announced route.
	RouteState struct {
		Addr  netip.Addr
		State RouteStanding
		Text  string
	}
	// ZebraUp and ZebraDown: the ZAPI session.
	ZebraUp   struct{}
	ZebraDown struct {
		Why string
		// Absent: there is no zebra, as far as can be known, and not only none that
		// can be spoken to.
		Absent bool
	}
	// PrimitiveDone: a run has ended.
	PrimitiveDone struct {
		Service string
		Run     uint64
		Outcome Outcome
		Recall  time.Duration // with OutcomeRecall
		Text    string        // what it said, bounded, for people
		Took    time.Duration
	}
	// ProcessEnded: what a Watch watches has ended.
	ProcessEnded struct {
		Service string
		Text    string
	}
	// TimerFired: a SetTimer came due. Gen tells a stale one.
	TimerFired struct {
		Key TimerKey
		Gen uint64
	}
	// Configured: a validated configuration, the first or a changed one.
	Configured struct{ Config Config }
	// Command: a person wants something; the Answer carries the same ID.
	Command struct {
		ID      uint64
		Who     string
		Verb    Verb
		Service string
		Node    string // host name or router id, for move and confirm-stopped
		For     time.Duration
	}
	// Shutdown: stop everything in order, then Exit.
	Shutdown struct{}
)

func (OSPFUp) event()        {}
func (OSPFDown) event()      {}
func (Synced) event()        {}
func (Adjacency) event()     {}
func (NeighborFull) event()  {}
func (LSASeen) event()       {}
func (LSARefused) event()    {}
func (Rekeyed) event()       {}
func (LSAGone) event()       {}
func (Reach) event()         {}
func (LinkReach) event()     {}
func (Outbid) event()        {}
func (HostRoute) event()     {}
func (OriginateDone) event() {}
func (AddressState) event()  {}
func (RouteState) event()    {}
func (ZebraUp) event()       {}
func (ZebraDown) event()     {}
func (PrimitiveDone) event() {}
func (ProcessEnded) event()  {}
func (TimerFired) event()    {}
func (Configured) event()    {}
func (Command) event()       {}
func (Shutdown) event()      {}

// OriginateResult is what became of an Originate.
type OriginateResult uint8

// The results.
const (
	OriginateOK OriginateResult = iota
	// OriginateRetry: no interface, no area, in use, not ready, no memory.
	OriginateRetry
	// OriginateRefused: illegal type or plain error.
	OriginateRefused
)

// RouteStanding is what zebra says of a route of ours.
type RouteStanding uint8

// The standings.
const (
	RouteRemoved RouteStanding = iota
	RouteInstalled
	// RouteBeaten: another route to the same prefix is preferred.
	RouteBeaten
	RouteFailed
)

// Outcome is how a primitive ended.
type Outcome uint8

// The outcomes. Unknown is neither: the run was killed, timed out or could not
// be started, so nobody knows what it did.
const (
	OutcomeDone Outcome = iota
	OutcomeFailed
	OutcomeRecall
	OutcomeTimeout
	OutcomeUnknown
	OutcomeCancelled
)

func (o Outcome) String() string {
	switch o {
	case OutcomeDone:
		return "done"
	case OutcomeFailed:
		return "failed"
	case OutcomeRecall:
		return "recall"
	case OutcomeTimeout:
		return "timed out"
	case OutcomeUnknown:
		return "unknown"
	case OutcomeCancelled:
		return "cancelled"
	}
	return "outcome?"
}

// MarshalText gives the outcome's word.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Verb is what a Command asks for.
type Verb uint8

// The verbs, in the words of the shell.
const (
	VerbStart Verb = iota + 1
	VerbStop
	VerbRestart
	VerbReload
	VerbCheck
	VerbStatus
	VerbMove
	VerbUnmove
	VerbEnable
	VerbDisable
	VerbReactivate
	VerbConfirmStopped
	VerbStandby
	VerbOnline
	VerbFreeze
	VerbUnfreeze
	VerbMaintenance
	VerbDrain
	VerbClusterFreeze
	VerbClusterUnfreeze
)

var verbWords = [...]string{"", "start", "stop", "restart", "reload", "check", "status", "move", "unmove",
	"enable", "disable", "reactivate", "confirm-stopped", "standby", "online",
	"freeze", "unfreeze", "maintenance", "drain", "cluster freeze", "cluster unfreeze"}

func (v Verb) String() string {
	if int(v) < len(verbWords) {
		return verbWords[v]
	}
	return "verb?"
}

// TimerKind is what a timer is for.
type TimerKind uint8

// The timers.
const (
	TimerEcho       TimerKind = iota + 1 // our LSA was not seen back
	TimerRetry                           // give it to ospfd again
	TimerClaim                           // the best candidate has not claimed
	TimerHolding                         // startup_hold or failback_delay is over, or an offer no longer fresh
	TimerRejoin                          // a returned peer was reachable long enough
	TimerAlone                           // no neighbour ever became Full
	TimerLost                            // a lost holder has surely stopped
	TimerWait                            // a plain start has waited long enough for its rival
	TimerRecall                          // ask the primitive again
	TimerAnnounce                        // own /32 not seen
	TimerLinger                          // the old holder may stop accepting
	TimerYield                           // an overlap holder may withdraw
	TimerCheck                           // time for a check
	TimerStamp                           // a newer check stamp may be flooded
	TimerRetryAfter                      // a failed service may try again
	TimerProbation                       // ran well long enough
	TimerFlush                           // old LSAs are due for deletion
	TimerPin                             // a timed pin ends
	TimerForeign                         // a foreign LSA under our name is due for deletion
	TimerCoalesce                        // a held-back LSA may be said
	TimerFence                           // fencing may be tried again
	TimerAlive                           // a strict holder sees that it has not stood still
	TimerZebra                           // zebra has been away for long
)

// TimerKey names one timer; setting it again replaces it.
type TimerKey struct {
	Kind    TimerKind
	Service string
	Router  RouterID
}
