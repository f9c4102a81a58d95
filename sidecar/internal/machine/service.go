package machine

import (
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// service is what is known of one service: its configuration and life here,
// and what others offer.
type service struct {
	name     string
	cfg      *Service // nil: not configured on this node
	next     *Service // a changed configuration that waits for the old to end
	removed  bool     // no longer configured, waits for the old to end
	disabled bool     // by the operator; remembered
	operator bool     // the operator said enabled or disabled, not the file

	config      ConfigState
	phase       phase
	since       time.Time // of the phase's service state
	verdict     Verdict
	cause       string         // why it stops, for people
	causeFail   advert.Failure // set while stopping because of a failure
	yields      bool           // the last orderly stop was begun for a better claimant
	failure     advert.Failure
	failures    int // in a row, for the back-off
	probation   bool
	mayRun      bool // own flag: a stop failed
	activated   bool // activate has run in this offer
	found       *Mark
	adopted     bool
	watched     bool
	stoodStill  bool         // strict: the node did not run for half of lost_hold
	woke        time.Time    // when it went on after that
	used        advert.Claim // the last one it was started under
	recoveries  []time.Time
	startedAt   time.Time
	rises       int  // checks succeeded in a row since one failed
	unannounced bool // adopted, and its addresses not yet seen on the node
	heldBack    bool // started, and announced when nobody is misled any more
	claim       advert.Claim
	claimedAt   time.Time
	offeredAt   time.Time // its offer, not said before, was seen back
	began       time.Time // the start began: deadline of recalls
	waited      bool      // the wait for a plain rival is over
	yieldDue    bool      // overlap: the new one is announced long enough
	refusals    int
	refusal     string // ospfd's words
	stopAgain   bool   // a failed stop is tried once more
	ranStart    bool   // start has run, so stop must
	recalling   bool   // a primitive of the life cycle is to be asked again
	unseen      time.Time
	trouble     advert.Failure // found in a started service
	reactivated bool
	awaited     awaited

	run      *run // the primitive that runs now
	result   *PrimitiveDone
	ops      []op // join, leave, check and commands that wait for their turn
	lastRun  RunView
	addrs    map[netip.Addr]AddressState
	route    map[netip.Addr]RouteState
	fails    int // checks failed in a row
	unknowns int // checks that could not tell, in a row
	checked  time.Time

	offers  []*offer                // of others, sorted by router
	lost    []*lost                 // sorted by router
	shot    map[RouterID]MayRunMark // fenced, see settledBy
	counter uint32                  // the highest claim counter seen or used
	reserve uint32                  // claims up to here are on disk as used
	floor   advert.Claim            // the highest this node has acknowledged; after a start, any that it may have
	pin     advert.Pin
	pinEnds time.Time // of a timed pin
	pinSeen bool      // the pin's target has been a candidate since
	// pinFloor is a pin number known to be used; given that of a timed pin
	// given on this node.
	pinFloor, given uint64
	hold            advert.Hold
	freeze          advert.Hold
	passed          map[RouterID]advert.Stamp
	uses            map[netip.Addr]int // by whom an address of it is told: us, and offers
	listed          []netip.Addr       // what we have told

	counting  int      // offers that count
	criticals int      // of these, offers that say critical
	busy      []*offer // of these, offers which have it or may, sorted by router
	peers     []string // their hosts; nil: to be made anew
	rank      ranking  // of a single service

	grouped string      // the group it is indexed under
	alone   [1]*service // itself: the unit of a single service
	inGroup func() []*service

	topic   *topic
	inTouch bool
	dirty   bool
}

// run is a primitive under way.
type run struct {
	id    uint64
	prim  Primitive
	since time.Time
	op    *op // nil: part of the life cycle
}

// op is a primitive that is not part of a transition.
type op struct {
	prim   Primitive
	peer   string
	asked  uint64    // the command that waits; 0: none
	router RouterID  // fence: whom
	first  time.Time // of several tries, the first
}

// strict reports whether the service is placed by acknowledged claims, for its
// own sake or for another member of its group.
func (s *service) strict() bool {
	if s.grouped == "" {
		return s.strictSelf()
	}
	return slices.ContainsFunc(s.inGroup(), (*service).strictSelf)
}

// strictSelf is strict without the group.
func (s *service) strictSelf() bool {
	if s.cfg != nil {
		return s.cfg.Strict()
	}
	for _, o := range s.offers {
		if o.said.Flags.Has(advert.FlagStrict) {
			return true
		}
	}
	return false
}

func (s *service) enabled() bool {
	return s.cfg != nil && !s.removed && s.next == nil && !s.disabled
}

// warns reports whether the service stays flooded whatever else is wanted, so
// that nobody starts what could not be stopped here.
func (s *service) warns() bool { return s.mayRun && s.cfg != nil && s.strict() }

// allAddresses are those of our configuration and of all offers, sorted.
func (s *service) allAddresses() []netip.Addr {
	var all []netip.Addr
	if s.cfg != nil {
		all = append(all, s.cfg.Addresses...)
	}
	for _, o := range s.offers {
		if o.counts {
			all = append(all, o.said.Addresses...)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// timer is the key of one of the service's timers.
func (s *service) timer(k TimerKind) TimerKey { return TimerKey{Kind: k, Service: s.name} }

// remembered reports whether the memory file needs a line for the service.
func (s *service) remembered() bool {
	return s.operator || s.counter > 0 || s.reserve > 0 || s.pin.Number != 0 || s.hold.Number != 0 || s.freeze.Number != 0 || len(s.lost) > 0 || len(s.shot) > 0
}

func (s *service) remember(m ServiceMemory) {
	if m.Enabled != nil {
		s.operator, s.disabled = true, !*m.Enabled
	}
	s.counter, s.reserve = m.Counter, m.Counter
	if m.Counter > 0 {
		s.floor = advert.NewClaim(m.Counter, ^RouterID(0))
	}
	switch {
	case m.Pin.Left == 0 || m.Pin.Void:
		s.pin = m.Pin
	case m.Given == m.Pin.Number: // a timed pin ends with the daemon that gave it
		s.pin = advert.Pin{Number: m.Pin.Number, Target: m.Pin.Target, Void: true}
	default: // who gave it has counted on, and says it again
		s.pinFloor = m.Pin.Number
	}
	s.given = m.Given
	s.hold, s.freeze = m.Hold, m.Freeze
	for _, r := range sortedKeys(m.MayRun) {
		mark := m.MayRun[r]
		s.addLost(&lost{router: r, claim: mark.Claim, failedStop: mark.FailedStop, host: r.String()})
	}
}

func (s *service) memory() ServiceMemory {
	m := ServiceMemory{Counter: s.reserve, Pin: s.pin, Hold: s.hold, Freeze: s.freeze, Given: s.given}
	if s.operator {
		on := !s.disabled
		m.Enabled = &on
	}
	mark := func(r RouterID, c advert.Claim, failed bool) {
		if m.MayRun == nil {
			m.MayRun = map[RouterID]MayRunMark{}
		}
		m.MayRun[r] = MayRunMark{Claim: c, FailedStop: failed}
	}
	if s.cfg == nil || s.strict() {
		all := s.busy // all that are feared are among them
		if s.fenceOnly() {
			all = s.offers
		}
		for _, o := range all {
			if k := o.mark(); k != (MayRunMark{}) {
				mark(o.peer.id, k.Claim, k.FailedStop)
			}
		}
		for _, l := range s.lost {
			mark(l.router, l.claim, l.failedStop)
		}
		for _, r := range sortedKeys(s.shot) {
			mark(r, s.shot[r].Claim, false)
		}
	}
	return m
}

// Memory is what is to be written to disk now. It shares nothing with the node.
func (n *Node) Memory() Memory {
	m := Memory{Incarnation: max(n.inc, n.minInc), Node: n.state, Freeze: n.freeze,
		Slots: make(map[string]SlotMemory, len(n.slots)), Services: make(map[string]ServiceMemory, len(n.services))}
	for name, sl := range n.slots {
		m.Slots[name] = sl.memory()
	}
	for _, s := range n.services {
		if s.remembered() {
			m.Services[s.name] = s.memory()
		}
	}
	return m
}

// counterAhead is how many claims are written to disk as used beforehand, so
// that a claim never waits for the disk.
const counterAhead = 1000

// sawClaim keeps the highest claim counter anybody used.
func (n *Node) sawClaim(s *service, c advert.Claim) {
	if c.Counter() > s.counter {
		s.counter = c.Counter()
	}
	n.reserveClaims(s)
}

func (n *Node) reserveClaims(s *service) {
	if s.cfg == nil || uint64(s.counter)+counterAhead/2 < uint64(s.reserve) {
		return
	}
	s.reserve = uint32(min(uint64(s.counter)+counterAhead, 1<<32-1))
	n.save()
}
