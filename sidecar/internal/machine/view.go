package machine

import (
	"net/netip"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// View is what people may see, as of one moment. It shares nothing with the
// Node that made it and is never changed afterwards. Every list is sorted.
type View struct {
	At          time.Time        `json:"at"`
	Router      RouterID         `json:"router_id"`
	Host        string           `json:"host"`
	Version     string           `json:"version"`
	Incarnation uint64           `json:"incarnation"`
	Generation  uint32           `json:"generation"`
	Node        advert.NodeState `json:"node_state"`
	Freeze      advert.Hold      `json:"freeze,omitzero"`    // of the cluster
	Draining    []string         `json:"draining,omitempty"` // what still runs here while node drain waits
	OSPF        OSPFView         `json:"ospf"`
	Zebra       ZebraView        `json:"zebra"`
	Nodes       []NodeView       `json:"nodes"`
	Services    []ServiceView    `json:"services"`
	Bad         []BadLSAView     `json:"bad_lsas"`
	Refused     []RefusalView    `json:"refused_lsas"`
	Timing      Timing           `json:"-"`
}

// Timing is what a node waits for, as it is configured or, where it is not, as
// it is assumed.
type Timing struct {
	StartupHold, RejoinHold, AloneAfter, ClaimTimeout, AnnounceTimeout, LossDetection, DeadInterval time.Duration
}

// OSPFView is the standing of the session with ospfd.
type OSPFView struct {
	Up       bool      `json:"up"`
	Why      string    `json:"why,omitempty"` // why not up
	Since    time.Time `json:"since"`
	Synced   bool      `json:"synced"`  // the database was received
	InSync   bool      `json:"in_sync"` // and a neighbour is Full, or we are alone
	Alone    bool      `json:"alone"`
	Full     int       `json:"full"`    // neighbours
	Between  int       `json:"between"` // neighbours between Init and Loading
	Problem  string    `json:"problem,omitempty"`
	OwnLSAs  int       `json:"own_lsas"`
	Unechoed int       `json:"unechoed"` // said, not yet seen back
}

// ZebraView is the standing of the ZAPI session.
type ZebraView struct {
	Up    bool      `json:"up"`
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since"`
}

// NodeView is one node of the cluster.
type NodeView struct {
	Router      RouterID         `json:"router_id"`
	Host        string           `json:"host"`
	Self        bool             `json:"self"`
	State       advert.NodeState `json:"state"`
	Status      string           `json:"status"` // present, rejoining, unreachable, srrd gone, left, out of sync
	Since       time.Time        `json:"since"`  // of Status
	Version     string           `json:"version"`
	Web         netip.AddrPort   `json:"web"`
	Incarnation uint64           `json:"incarnation"`
	Generation  uint32           `json:"generation"`
	Offers      int              `json:"offers"`
	Runs        int              `json:"runs"`
	LastHeard   time.Time        `json:"last_heard"`
}

// ServiceView is one service, as this node sees it.
type ServiceView struct {
	Name         string         `json:"name"`
	Local        bool           `json:"local"` // configured on this node
	Group        string         `json:"group,omitempty"`
	Dependencies []string       `json:"dependencies,omitempty"`
	Kind         string         `json:"kind"` // network or resource
	Flags        advert.Flags   `json:"flags"`
	Addresses    []netip.Addr   `json:"addresses,omitempty"`
	Scope        string         `json:"scope,omitempty"`
	Way          string         `json:"way,omitempty"`
	Config       ConfigState    `json:"config"` // the rest down to Output only where Local
	State        advert.State   `json:"state"`
	Step         advert.Step    `json:"step"`
	Since        time.Time      `json:"since"` // of State
	Cause        string         `json:"cause,omitempty"`
	Waits        []string       `json:"waits,omitempty"` // what the step waits for, sentences
	Want         string         `json:"want"`            // run, stand, stop
	Why          string         `json:"why"`             // the Reason, a sentence
	Code         string         `json:"reason"`          // the Reason's fixed word
	Failure      advert.Failure `json:"failure"`
	Claim        advert.Claim   `json:"claim"`
	Seen         advert.Claim   `json:"seen"`
	Pin          advert.Pin     `json:"pin"`
	PinHost      string         `json:"pin_host,omitempty"`
	Hold         advert.Hold    `json:"hold"`
	Freeze       advert.Hold    `json:"freeze,omitzero"`
	Interval     time.Duration  `json:"interval"`
	LastCheck    time.Time      `json:"last_check"`
	Running      string         `json:"running,omitempty"` // the primitive that runs now
	RunningSince time.Time      `json:"running_since,omitzero"`
	Last         RunView        `json:"last"` // the primitive that ended last
	LSA          string         `json:"lsa,omitempty"`
	Offers       []OfferView    `json:"offers"`
	Holder       string         `json:"holder,omitempty"` // host that runs it, as far as seen; several are joined
	Notices      []string       `json:"notices,omitempty"`
	Settings     *Service       `json:"-"` // as configured here, where Local; not to be changed
	Deadlines    []DeadlineView `json:"deadlines,omitempty"`
}

// DeadlineView is something that time alone will bring about. How long that
// still takes is for whoever shows it to say: a snapshot is as old as the last
// event.
type DeadlineView struct {
	Kind DeadlineKind `json:"kind"`
	What string       `json:"what"` // "the wait for n2 ends"
	At   time.Time    `json:"at"`
}

// DeadlineKind is the fixed word of a deadline, for scripts.
type DeadlineKind string

// The deadlines.
const (
	DeadlineHolding  DeadlineKind = "holding"  // startup_hold, failback_delay, rejoin_hold
	DeadlineClaim    DeadlineKind = "claim"    // claim_timeout: the better candidate is passed over
	DeadlineRival    DeadlineKind = "rival"    // who is to stop it first is no longer waited for
	DeadlineLost     DeadlineKind = "lost"     // lost_hold, announce_timeout: a lost holder is no longer waited for
	DeadlineFence    DeadlineKind = "fence"    // fence_after, or the next try: a lost holder is fenced
	DeadlineAnnounce DeadlineKind = "announce" // the address counts as not put on, or not announced
	DeadlineRun      DeadlineKind = "run"      // the primitive times out, or is asked again
	DeadlineRetry    DeadlineKind = "retry"    // retry_after: a failed service may try again
	DeadlineProof    DeadlineKind = "proof"    // its probation ends if it runs well
	DeadlinePin      DeadlineKind = "pin"      // a timed move ends
)

// RunView is one run of a primitive.
type RunView struct {
	Primitive Primitive     `json:"primitive"`
	Outcome   Outcome       `json:"outcome"`
	Text      string        `json:"text,omitempty"`
	Took      time.Duration `json:"took"`
	At        time.Time     `json:"at"`
}

// OfferView is one node's offer of a service.
type OfferView struct {
	Router     RouterID       `json:"router_id"`
	Host       string         `json:"host"`
	Self       bool           `json:"self"`
	Counts     bool           `json:"counts"`
	Rank       int            `json:"rank"`              // among candidates, 1 is best; 0: none
	WhyNot     string         `json:"why_not,omitempty"` // why it is no candidate
	Config     string         `json:"config"`            // active for what is heard
	State      advert.State   `json:"state"`
	Step       advert.Step    `json:"step"`
	Preference uint8          `json:"preference"`
	Pinned     bool           `json:"pinned"`
	Claim      advert.Claim   `json:"claim"`
	Seen       advert.Claim   `json:"seen"`
	Flags      advert.Flags   `json:"flags"`
	Failure    advert.Failure `json:"failure"`
	Interval   time.Duration  `json:"interval"`
	LastCheck  time.Time      `json:"last_check"`
	Digest     advert.Digest  `json:"digest"`
	Announced  []netip.Addr   `json:"announced,omitempty"` // addresses this router announces in the database
	LastHeard  time.Time      `json:"last_heard"`
}

// BadLSAView is an LSA of type 222 that cannot be read, or is not ours though
// it says so.
type BadLSAView struct {
	Router RouterID  `json:"router_id"`
	LSA    string    `json:"lsa"`
	Why    string    `json:"why"`
	Since  time.Time `json:"since"`
}

// RefusalView is what was refused of the LSAs of type 222 for one reason,
// since srrd started.
type RefusalView struct {
	Reason  advert.Refusal `json:"reason"`
	Why     string         `json:"why"` // the reason, in a sentence
	Count   uint64         `json:"count"`
	Present int            `json:"present"`   // how many are in the database now
	Router  RouterID       `json:"router_id"` // of the last one
	LSA     string         `json:"lsa"`
	First   time.Time      `json:"first"`
	Last    time.Time      `json:"last"`
}
