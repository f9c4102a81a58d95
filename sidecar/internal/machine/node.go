package machine

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// Node is one node of the cluster, as far as it decides. It is not safe for
// concurrent use: one caller owns it.
type Node struct {
	cfg        Config
	configured bool
	now        time.Time // of the current Step
	out        []Action

	router      RouterID
	inc         uint64         // this life's incarnation
	minInc      uint64         // remembered: the incarnation must exceed it
	firstLife   bool           // there was no memory
	hidden      bool           // and others may hide what we say: its ids are not remembered
	ghosts      map[LSARef]int // how often each of them was, in this session
	gen         uint32         // the highest generation given out in it
	echoedTo    time.Time      // what was said until then ospfd has shown, or never will
	behindNoted time.Time
	unhurriedAt time.Time // when the next LSA may be said that nobody waits for
	state       advert.NodeState
	freeze      advert.Hold // of the cluster
	drains      []uint64    // commands that wait until nothing runs here
	leaving     bool
	exited      bool
	exceeded    []time.Time // when a self LSA with a higher incarnation was seen
	exceedDue   uint64      // an incarnation to exceed, once per step
	duplicate   bool
	ospf        ospfState
	zebra       zebraState
	holdUntil   time.Time // startup_hold
	holdingSet  bool

	services []*service // sorted by name: local ones and heard ones
	byName   map[string]*service
	users    map[netip.Addr][]*service // who uses an address, sorted by name
	groups   map[string]*group
	peers    []*peer // sorted by router id
	byRouter map[RouterID]*peer
	routes   map[netip.Addr][]RouterID // who announces an address, sorted

	slots   map[string]*slot
	daemon  []*topic // the daemon's announcement, one a scope, sorted
	own     map[LSARef]*ownLSA
	losses  map[RouterID]bool    // routers some service may wait for as lost holders
	current map[LSARef]current   // whose LSA a reference is, or was
	flushes []flush              // sorted by time
	flushAt map[LSARef]time.Time // when each is due: what stands in flushes otherwise was replaced
	bad     map[badKey]BadLSAView
	// refused is what was not believed, refusedNow what of it is in the database.
	refused    map[advert.Refusal]*refusals
	refusedNow map[badKey]advert.Refusal

	timers  map[TimerKey]uint64
	due     map[TimerKey]time.Time
	timerNo uint64
	aliveBy time.Time // when TimerAlive is due; zero: it is not set
	runNo   uint64
	asked   map[uint64]uint64 // run -> command that waits for it

	touched   []*service
	saveDue   bool
	daemonDue bool
}

type ospfState struct {
	up, synced, everFull, alone, latched bool
	returning                            bool // it had no neighbour, and rejoin_hold is not over
	why                                  string
	since                                time.Time
	aloneAt                              time.Time // when alone_after is over
	returned                             time.Time // when returning began
	full, between                        int
	joined                               time.Time // when a neighbour became Full last
	dead                                 time.Duration
}

type zebraState struct {
	up     bool
	absent bool // there is none, as far as can be known
	gone   bool // there was no session for zebraHold
	dead   bool // and is no zebra
	why    string
	since  time.Time
}

// stampOf is how recently a peer spoke of a service.
type stampOf = advert.Stamp

// New makes a node from its memory and the marks found under /run. It does
// nothing before it is Configured.
func New(mem Memory, marks []Mark) *Node {
	n := &Node{
		minInc: mem.Incarnation, firstLife: mem.Incarnation == 0,
		state:    mem.Node,
		freeze:   mem.Freeze,
		byName:   map[string]*service{},
		users:    map[netip.Addr][]*service{},
		groups:   map[string]*group{},
		byRouter: map[RouterID]*peer{},
		routes:   map[netip.Addr][]RouterID{},
		slots:    map[string]*slot{},
		own:      map[LSARef]*ownLSA{},
		losses:   map[RouterID]bool{},
		current:  map[LSARef]current{},
		flushAt:  map[LSARef]time.Time{},
		bad:      map[badKey]BadLSAView{},
		refused:  map[advert.Refusal]*refusals{},

		refusedNow: map[badKey]advert.Refusal{},

		timers: map[TimerKey]uint64{},
		due:    map[TimerKey]time.Time{},
		asked:  map[uint64]uint64{},
	}
	if n.state < advert.Online || n.state > advert.Maintenance {
		n.state = advert.Online
	}
	n.ospf.why = "srrd has just started"
	n.zebra.why = "srrd has just started"
	for _, name := range sortedKeys(mem.Slots) {
		n.slots[name] = slotFrom(mem.Slots[name])
	}
	for _, name := range sortedKeys(mem.Services) {
		n.service(name).remember(mem.Services[name])
		for r := range mem.Services[name].MayRun {
			n.losses[r] = true
		}
	}
	for _, m := range marks {
		n.service(m.Service).found = &m
	}
	return n
}

// Step takes one event and returns what is to be done about it, in order.
// The slice is the caller's. now must not go backwards; where it does, time
// stands still for the node.
func (n *Node) Step(now time.Time, ev Event) []Action {
	if now.After(n.now) {
		n.now = now
	}
	n.out = nil
	n.awake()
	n.absorb(ev)
	n.settle()
	if n.exceedDue != 0 {
		n.exceed(n.exceedDue)
		n.exceedDue = 0
		n.settle()
	}
	if n.daemonDue {
		n.floodDaemon()
		n.daemonDue = false
	}
	n.finishDrain()
	n.finishShutdown()
	if n.saveDue {
		n.do(Save{})
		n.saveDue = false
	}
	return n.out
}

// settle decides and plans for every touched service, in the order of names,
// until nothing changes any more, then floods what has changed.
func (n *Node) settle() {
	var dirty []*service
	for round := 0; len(n.touched) > 0 && round < 64; round++ {
		batch := n.touched
		n.touched = nil
		slices.SortFunc(batch, func(a, b *service) int { return strings.Compare(a.name, b.name) })
		for _, s := range batch {
			s.inTouch = false
			n.plan(s)
			if !s.dirty {
				s.dirty = true
				dirty = append(dirty, s)
			}
		}
	}
	slices.SortFunc(dirty, func(a, b *service) int { return strings.Compare(a.name, b.name) })
	for _, s := range dirty {
		s.dirty = false
		n.flood(s)
		n.forget(s)
	}
}

func (n *Node) do(a Action) { n.out = append(n.out, a) }

func (n *Node) note(l Level, service, text string) {
	n.do(Note{Level: l, Service: service, Text: text})
}

// touch has a service decided anew, and with it its group.
func (n *Node) touch(s *service) {
	n.touchOne(s)
	n.touchGroup(s)
}

func (n *Node) touchOne(s *service) {
	if !s.inTouch {
		s.inTouch = true
		n.touched = append(n.touched, s)
	}
}

func (n *Node) touchAll() {
	for _, s := range n.services {
		n.touch(s)
	}
}

func (n *Node) save() { n.saveDue = true }

// setTimer arms a timer, replacing one of the same key.
func (n *Node) setTimer(k TimerKey, at time.Time) {
	n.timerNo++
	n.timers[k], n.due[k] = n.timerNo, at
	n.do(SetTimer{Key: k, Gen: n.timerNo, At: at})
}

// cancelTimer makes the timer of that key stale.
func (n *Node) cancelTimer(k TimerKey) {
	if !n.timerSet(k) {
		return
	}
	delete(n.timers, k)
	delete(n.due, k)
}

func (n *Node) timerSet(k TimerKey) bool { _, ok := n.timers[k]; return ok }

// service finds or makes the record of a name.
func (n *Node) service(name string) *service {
	if s := n.byName[name]; s != nil {
		return s
	}
	s := &service{name: name, phase: phaseDisabled, since: n.now}
	s.alone[0] = s
	n.bind(s)
	n.byName[name] = s
	i, _ := slices.BinarySearchFunc(n.services, name, func(s *service, name string) int { return strings.Compare(s.name, name) })
	n.services = slices.Insert(n.services, i, s)
	return s
}

// bind gives a service the functions it asks the node by.
func (n *Node) bind(s *service) {
	s.inGroup = func() []*service { return n.groups[s.grouped].members }
}

// forget drops a service nobody speaks of any more.
func (n *Node) forget(s *service) {
	if s.cfg != nil || s.found != nil || len(s.offers) > 0 || len(s.lost) > 0 || s.topic != nil || s.phase != phaseDisabled || n.byName[s.name] != s {
		return
	}
	if s.remembered() {
		return
	}
	delete(n.byName, s.name)
	if i := slices.Index(n.services, s); i >= 0 {
		n.services = slices.Delete(n.services, i, i+1)
	}
	n.index(s)
}

// index keeps who uses which address, and what belongs together, as our
// configuration of a service has it.
func (n *Node) index(s *service) {
	n.unrank(s)
	n.regroup(s)
	var now []netip.Addr
	if s.cfg != nil {
		now = s.cfg.Addresses
	}
	n.use(s, s.listed, now)
	s.listed = now
}

// indexOffer does so for what a peer offers.
func (n *Node) indexOffer(o *offer) {
	n.regroup(o.s)
	var now []netip.Addr
	if o.counts {
		now = o.said.Addresses
	}
	n.use(o.s, o.listed, now)
	o.listed = now
}

// announces reports whether the router announces the address in the database.
func (n *Node) announces(r RouterID, a netip.Addr) bool {
	_, ok := slices.BinarySearch(n.routes[a], r)
	return ok
}

// hostOf is what people call a router.
func (n *Node) hostOf(r RouterID) string {
	if r == n.router {
		return n.cfg.Host
	}
	if p := n.byRouter[r]; p != nil && p.last.Host != "" {
		return p.last.Host
	}
	return r.String()
}

// inSync reports whether the database can be decided from (DESIGN section 5,
// booting); why not, otherwise.
func (n *Node) inSync() (bool, string) {
	switch {
	case n.ospf.latched:
		return true, ""
	case !n.ospf.synced:
		return false, "the database has not been received yet"
	case n.ospf.full == 0:
		return false, "no neighbour is Full"
	}
	return false, "a neighbour is still exchanging its database"
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	k := make([]K, 0, len(m))
	for key := range m {
		k = append(k, key)
	}
	slices.Sort(k)
	return k
}
