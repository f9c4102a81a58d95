package sim

import (
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// host is a node with everything around its machine.
type host struct {
	id       int
	name     string
	router   machine.RouterID
	cfg      machine.Config
	edges    []*edge
	on       bool
	power    int // how often it was switched on
	isolated bool
	frozen   bool // all of it stands still, the kernel apart
	ospf     ospfd
	spfDue   bool
	spfLate  time.Duration // by so much longer than usually ospfd takes to calculate who is reachable
	noZebra  bool          // zebra is dead
	thawed   time.Duration // when it was frozen last, until then
	stood    time.Duration // how long it stood still then; 0 since srrd or ospfd began anew
	froze    time.Duration // since when it is frozen
	ambush   time.Duration // it is frozen for so long as soon as srrd claims a strict service
	newsIn   bool          // what reaches it while it is frozen waits in its sockets, and is taken before timers that came due
	sockets  []task
	refuses  time.Duration // the kernel takes no address before
	dropped  map[netip.Addr]bool
	stolen   map[netip.Addr]time.Duration // when somebody deleted it last
	leap     time.Duration                // of its clock, from srrd's next start on
	latest   time.Duration                // the largest skew of any life

	diskFails    time.Duration // the disk takes nothing before
	saves, saved int

	skew    time.Duration  // of its clock
	hung    time.Duration  // srrd takes no event before
	backlog []task         // events that came meanwhile
	met     time.Duration  // when its ospfd last had a neighbour, see witness
	told    machine.Config // the configuration srrd took last

	srrd    *machine.Node
	life    int
	spoke   []time.Duration // since when srrd has spoken of Sim.strict[k] in this session, or notYet
	exiting bool
	memory  machine.Memory
	forgot  bool // its memory was lost once
	behind  bool // its last words never reached the disk
	marks   map[string]machine.Mark
	timers  map[machine.TimerKey]uint64
	used    map[machine.LSARef]use // by any life, for the check of ids

	watched map[string]bool         // services whose end srrd is told
	held    map[netip.Addr][]string // the services its port keeps an address for

	kernel  map[netip.Addr]bool
	zebra   map[netip.Addr]bool     // routes the port to zebra keeps there
	owners  map[netip.Addr][]string // the services an address was announced for since it was not
	units   map[string]*unit
	scripts map[scriptKey][]Behaviour
	heard   [][]time.Duration // when node j was last heard of Sim.strict[k], see witness
	asked   uint64
	waiting map[uint64]bool // commands srrd has taken and not answered
}

// unit is a service's processes on a host, in truth.
type unit struct {
	running bool // they may be there
	ready   bool // start said done
	broken  bool // checks fail
	run     uint64
	since   time.Duration // start began
	needs   []string      // what it was started after
	adrift  bool          // nobody stops it any more: srrd was killed, or stop failed
	noted   bool          // why it stops was said since it started
}

// Behaviour scripts one run of a primitive.
type Behaviour struct {
	After   time.Duration // 0: 1 ms to 20 ms
	Outcome machine.Outcome
	Recall  time.Duration // with OutcomeRecall
	Hang    bool          // until the timeout
	// Lies has it say done though it is not: a start leaves a service whose
	// checks fail, a check finds nothing wrong.
	Lies bool
}

type scriptKey struct {
	service string
	prim    machine.Primitive
}

func (h *host) unit(service string) *unit {
	u := h.units[service]
	if u == nil {
		u = &unit{}
		h.units[service] = u
	}
	return u
}

// service is the configuration srrd took last of a service.
func (h *host) service(name string) *machine.Service {
	for i := range h.told.Services {
		if h.told.Services[i].Name == name {
			return &h.told.Services[i]
		}
	}
	return nil
}

// Script queues behaviours for the next runs of a primitive on node i; the
// runs after those go well.
func (s *Sim) Script(i int, service string, p machine.Primitive, b ...Behaviour) {
	k := scriptKey{service, p}
	s.hosts[i].scripts[k] = append(s.hosts[i].scripts[k], b...)
}

// Unscript forgets what was queued by Script: every run goes well.
func (s *Sim) Unscript() {
	for _, h := range s.hosts {
		clear(h.scripts)
	}
}

// Break has the service's checks fail on node i until it is stopped.
func (s *Sim) Break(i int, service string) {
	s.Log("--- %s dies on %s", service, s.hosts[i].name)
	h := s.hosts[i]
	h.unit(service).broken = true
	if h.watched[service] && h.unit(service).running {
		s.post(h, time.Millisecond, machine.ProcessEnded{Service: service, Text: "it has ended"})
	}
}

// Boot switches node i on: ospfd, then srrd.
func (s *Sim) Boot(i int) {
	h := s.hosts[i]
	if h.on {
		return
	}
	s.Log("--- %s boots", h.name)
	h.on = true
	h.power++
	h.marks = map[string]machine.Mark{}
	s.StartOSPFd(i)
	s.StartSrrd(i)
}

// PowerOff ends everything on node i at once; Forget also loses its disk.
func (s *Sim) PowerOff(i int) {
	h := s.hosts[i]
	if !h.on {
		return
	}
	s.witness()
	s.Log("--- %s loses its power", h.name)
	h.on, h.frozen, h.hung, h.noZebra = false, false, 0, false
	h.ambush, h.newsIn, h.sockets = 0, false, nil
	s.loseSaves(h)
	h.srrd = nil
	h.mute()
	h.life++
	h.ospf = ospfd{life: h.ospf.life}
	h.units = map[string]*unit{}
	clear(h.kernel)
	clear(h.zebra)
	clear(h.owners)
	h.marks = map[string]machine.Mark{}
	s.topology(h)
}

// mute notes that srrd has said nothing yet in its session.
func (h *host) mute() {
	for k := range h.spoke {
		h.spoke[k] = notYet
	}
}

// Forget loses the memory of node i, whose srrd must be down.
func (s *Sim) Forget(i int) {
	s.Log("--- %s loses its memory", s.hosts[i].name)
	s.hosts[i].memory = machine.Memory{}
	s.hosts[i].forgot = true
}

// CrashSrrd kills srrd on node i with signal 9. Its services run on.
func (s *Sim) CrashSrrd(i int) {
	h := s.hosts[i]
	if h.srrd == nil {
		return
	}
	s.Log("--- srrd of %s is killed", h.name)
	s.endSrrd(h)
}

// endSrrd is what ospfd and zebra do when their client is gone.
func (s *Sim) endSrrd(h *host) {
	s.witness()
	s.loseSaves(h)
	h.srrd = nil
	h.mute()
	h.life++
	for _, u := range h.units {
		u.adrift = u.running
	}
	if h.ospf.up {
		h.ospf.session = 0
		for _, id := range h.ospf.sortedGiven() {
			s.flush(h, id)
		}
		clear(h.ospf.given)
	}
	for _, a := range sortedAddrs(h.zebra) {
		delete(h.zebra, a)
		delete(h.owners, a)
		s.After(zebraDelay, func() { s.redistribute(h, a) })
	}
}

// StartSrrd starts it with the memory and the marks it finds.
func (s *Sim) StartSrrd(i int) {
	h := s.hosts[i]
	if h.srrd != nil || !h.on || h.frozen {
		return
	}
	s.Log("--- srrd of %s starts", h.name)
	h.life++
	h.stood = 0
	h.skew, h.leap = h.skew+h.leap, 0
	if h.forgot {
		// One without memory whose clock is behind that of its last life begins
		// an incarnation that others take for a replay, and has no way to know.
		h.skew = max(h.skew, h.latest)
	}
	h.latest = max(h.latest, h.skew)
	h.exiting = false
	h.timers = map[machine.TimerKey]uint64{}
	h.waiting = map[uint64]bool{}
	h.watched = map[string]bool{}
	h.held = map[netip.Addr][]string{}
	var marks []machine.Mark
	for _, name := range sortedNames(h.marks) {
		marks = append(marks, h.marks[name])
	}
	h.srrd = machine.New(h.memory, marks)
	s.post(h, 0, machine.Configured{Config: h.cfg})
	if h.noZebra {
		s.post(h, time.Millisecond, machine.ZebraDown{Why: "connection refused", Absent: true})
	} else {
		s.post(h, time.Millisecond, machine.ZebraUp{})
	}
	if !h.ospf.up {
		s.post(h, time.Millisecond, machine.OSPFDown{Why: "connection refused"})
	}
	s.register(h, 5*time.Millisecond)
}

// register opens srrd's session with ospfd.
func (s *Sim) register(h *host, d time.Duration) {
	life, olife := h.life, h.ospf.life
	s.After(d, func() {
		o := &h.ospf
		if h.srrd == nil || h.life != life || !o.up || o.life != olife || o.session != 0 {
			return
		}
		s.witness()
		s.seq++
		o.session = int(s.seq)
		s.post(h, 0, machine.OSPFUp{Router: h.router, DeadInterval: s.opt.Dead})
		for id := range o.db {
			if l := s.get(o, id); l.lsa != nil && !l.gone {
				s.post(h, 0, l.ev)
			}
		}
		for j, other := range s.hosts[:s.nodes] {
			if o.reach[j] = s.reaches(h, other); o.reach[j] && j != h.id {
				o.since[j] = s.t
				s.post(h, 0, machine.Reach{Router: other.router, Area: true, AS: true})
			}
		}
		o.full = s.full(h)
		s.post(h, 0, machine.Adjacency{Full: o.full})
		s.post(h, 0, machine.Synced{})
	})
}

// Configure gives node i another configuration.
func (s *Sim) Configure(i int, c machine.Config) {
	h := s.hosts[i]
	c.Host = h.name
	h.cfg = c
	s.post(h, 0, machine.Configured{Config: c})
}

// Config is node i's configuration.
func (s *Sim) Config(i int) machine.Config { return s.hosts[i].cfg }

// Router is node i's router id.
func (s *Sim) Router(i int) machine.RouterID { return s.hosts[i].router }

// Command has a person ask node i for something.
func (s *Sim) Command(i int, c machine.Command) {
	h := s.hosts[i]
	h.asked++
	c.ID = h.asked
	s.Log("--- %s is told: %s %s %s %s", h.name, c.Verb, c.Service, c.Node, c.For)
	s.post(h, 0, c)
}

// Shutdown asks srrd of node i to leave the cluster.
func (s *Sim) Shutdown(i int) { s.post(s.hosts[i], 0, machine.Shutdown{}) }

// Up reports whether srrd runs on node i.
func (s *Sim) Up(i int) bool { return s.hosts[i].srrd != nil }

func sortedNames[V any](m map[string]V) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// use is when an id was last given to ospfd, and for what words.
type use struct {
	at    time.Duration
	stamp advert.Stamp
}

// Waiting is how many commands srrd of node i has taken and not answered.
func (s *Sim) Waiting(i int) int { return len(s.hosts[i].waiting) }
