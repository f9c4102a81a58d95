package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
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
	noZebra  bool          // zebra is dead
	thawed   time.Duration // when it was frozen last, until then
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

	watched map[string]bool // services whose end srrd is told

	kernel  map[netip.Addr]bool
	zebra   map[netip.Addr]bool   // routes the port to zebra keeps there
	owner   map[netip.Addr]string // the service an address was announced for last
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
	s.loseSaves(h)
	h.srrd = nil
	h.mute()
	h.life++
	h.ospf = ospfd{life: h.ospf.life}
	h.units = map[string]*unit{}
	clear(h.kernel)
	clear(h.zebra)
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
	var marks []machine.Mark
	for _, name := range sortedNames(h.marks) {
		marks = append(marks, h.marks[name])
	}
	h.srrd = machine.New(h.memory, marks)
	s.post(h, 0, machine.Configured{Config: h.cfg})
	if h.noZebra {
		s.post(h, time.Millisecond, machine.ZebraDown{Why: "connection refused"})
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

// post has srrd take an event d from now, if it and its session live so long.
func (s *Sim) post(h *host, d time.Duration, ev machine.Event) {
	t := task{h: h, ev: ev, life: h.life, session: -1}
	if ofSession(ev) {
		t.session = h.ospf.session
	}
	s.push(s.t+d, t)
}

func (s *Sim) take(t task) {
	h := t.h
	switch {
	case h.srrd == nil || h.life != t.life || t.session >= 0 && h.ospf.session != t.session:
	case s.t < h.hung || len(h.backlog) > 0:
		h.backlog = append(h.backlog, t)
		if len(h.backlog) == 1 {
			s.at(h.hung, func() { s.catchUp(h) })
		}
	default:
		s.step(h, t.ev)
	}
}

// catchUp has srrd take, in their order, the events that came while it hung.
func (s *Sim) catchUp(h *host) {
	if s.t < h.hung {
		s.at(h.hung, func() { s.catchUp(h) })
		return
	}
	all := h.backlog
	h.backlog = nil
	for _, t := range all {
		s.take(t)
	}
}

// Hang has srrd of node i take nothing for d, then all that came.
func (s *Sim) Hang(i int, d time.Duration) {
	s.witness()
	s.Log("--- srrd of %s hangs for %s", s.hosts[i].name, d)
	s.hosts[i].hung = max(s.hosts[i].hung, s.t+d)
}

// ofSession reports whether an event ends with ospfd's session.
func ofSession(ev machine.Event) bool {
	switch ev.(type) {
	case machine.OSPFUp, machine.Synced, machine.Adjacency, machine.NeighborFull, machine.LSASeen, machine.LSAGone,
		machine.Reach, machine.LinkReach, machine.HostRoute, machine.OriginateDone:
		return true
	}
	return false
}

// step hands one event to the machine and carries out what it answers.
func (s *Sim) step(h *host, ev machine.Event) {
	stale := false
	if t, ok := ev.(machine.TimerFired); ok {
		stale = h.timers[t.Key] != t.Gen
	}
	if c, ok := ev.(machine.Command); ok {
		h.waiting[c.ID] = true
	}
	if c, ok := ev.(machine.Configured); ok {
		h.told = c.Config
	}
	s.steps++
	if s.opt.HandOver > 0 && s.steps%s.opt.HandOver == 0 {
		s.handOver(h)
	}
	out := h.srrd.Step(s.now.Add(h.skew), ev)
	if s.opt.Observe != nil {
		s.opt.Observe(h.id, out)
	}
	if stale && len(out) > 0 {
		s.violate("%s acts on a stale timer: %v", h.name, ev)
	}
	if s.opt.Trace && !stale {
		s.Log("%s: %s", h.name, Describe(ev))
	}
	for _, a := range out {
		if s.opt.Trace {
			if d := DescribeAction(a); d != "" {
				fmt.Fprintf(&s.trace, "%14s%s\n", "", d)
			}
		}
		s.carry(h, a)
	}
}

// carry does what an action says.
func (s *Sim) carry(h *host, a machine.Action) {
	switch a := a.(type) {
	case machine.Originate:
		body, err := advert.Decode(a.Body)
		s.checkID(h, a.Ref, body, err)
		if h.ospf.session == 0 {
			return
		}
		l := h.opaque(a.Ref, slices.Clone(a.Body), body, err)
		h.ospf.given[s.id(l.lsaKey)] = true
		s.post(h, echoDelay/2, machine.OriginateDone{Ref: a.Ref})
		s.originate(h, l)
	case machine.Flush:
		id := s.id(lsaKey{origin: h.id, ref: a.Ref})
		delete(h.ospf.given, id)
		s.flush(h, id)
	case machine.SetAddresses:
		for _, x := range a.Addresses {
			s.setAddress(h, x, a.On)
		}
	case machine.Announce:
		s.announce(h, a)
	case machine.WriteMark:
		if a.Clear {
			delete(h.marks, a.Mark.Service)
		} else {
			h.marks[a.Mark.Service] = a.Mark
		}
	case machine.RunPrimitive:
		s.run(h, a)
	case machine.CancelPrimitive:
		if u := h.unit(a.Service); u.run == a.Run {
			u.run = 0
			s.post(h, 0, machine.PrimitiveDone{Service: a.Service, Run: a.Run, Outcome: machine.OutcomeCancelled})
		}
	case machine.SetTimer:
		h.timers[a.Key] = a.Gen
		s.post(h, a.At.Sub(s.now)-h.skew, machine.TimerFired{Key: a.Key, Gen: a.Gen})
	case machine.Save:
		s.save(h, a.Memory)
	case machine.Watch:
		h.watched[a.Service] = a.On
	case machine.Note:
		for _, w := range []string{"stops it: ", "failed: "} {
			if why, ok := strings.CutPrefix(a.Text, w); ok && a.Service != "" {
				h.unit(a.Service).noted = why != "" && why != machine.Reason{}.String()
			}
		}
	case machine.Answer:
		if !h.waiting[a.ID] {
			s.violate("%s answers a command nobody waits for: %+v", h.name, a)
		}
		delete(h.waiting, a.ID)
	case machine.Exit:
		h.exiting = true
		s.endSrrd(h)
	}
}

func (s *Sim) announce(h *host, a machine.Announce) {
	s.checkAnnounce(h, a)
	power := h.power
	life := h.life
	for _, x := range a.Addresses {
		s.After(time.Millisecond, func() {
			if h.power != power || !h.on || h.life != life {
				return
			}
			if a.On {
				h.zebra[x], h.owner[x] = true, a.Service
				s.suspect(h)
			} else {
				delete(h.zebra, x)
			}
			s.redistribute(h, x)
		})
		st := machine.RouteRemoved
		if a.On {
			st = machine.RouteInstalled
		}
		if !h.noZebra { // else it is answered when there is one
			s.post(h, 1500*time.Microsecond, machine.RouteState{Addr: x, State: st})
		}
	}
}

// run begins a primitive.
func (s *Sim) run(h *host, a machine.RunPrimitive) {
	u := h.unit(a.Service)
	var b Behaviour
	k := scriptKey{a.Service, a.Primitive}
	if q := h.scripts[k]; len(q) > 0 {
		b, h.scripts[k] = q[0], q[1:]
	}
	if b.After == 0 {
		b.After = time.Millisecond + time.Duration(s.Chance(19_000))*time.Microsecond
	}
	switch a.Primitive {
	case machine.PrimStart:
		s.checkStart(h, a)
		u.running, u.ready, u.noted, u.since, u.adrift, u.needs = true, false, false, s.t, false, nil
		if c := h.service(a.Service); c != nil {
			u.needs = c.Dependencies
		}
		s.lastIO = s.t
	case machine.PrimStop:
		s.checkStop(h, a)
		u.ready = false
		s.lastIO = s.t
	}
	if b.Hang || b.After > a.Timeout {
		b.After, b.Outcome = a.Timeout, machine.OutcomeTimeout
	}
	u.run = a.Run
	life, power := h.life, h.power
	var end func()
	end = func() {
		switch {
		case h.power != power || !h.on || h.life == life && u.run != a.Run:
			return
		case h.frozen: // it stands still with its node
			s.at(h.hung, end)
			return
		case h.life == life:
			u.run = 0
		}
		s.finish(h, u, a, b, h.life == life)
		s.suspect(h)
	}
	s.After(b.After, end)
}

// finish ends it, also when srrd is gone by then.
func (s *Sim) finish(h *host, u *unit, a machine.RunPrimitive, b Behaviour, told bool) {
	done := b.Outcome == machine.OutcomeDone
	switch a.Primitive {
	case machine.PrimStart:
		if k := (startKey{a.Service, a.Env.Claim}); b.Outcome == machine.OutcomeRecall {
			m := s.starts[k]
			m.recalled = true
			s.starts[k] = m
		}
		u.ready = done && u.running
		u.broken = u.broken && !done || b.Lies
	case machine.PrimStop:
		if done {
			u.running, u.ready, u.broken, u.adrift = false, false, false, false
		} else {
			u.adrift = u.running
		}
	case machine.PrimFence:
		if done {
			for j, other := range s.hosts {
				if other.name == a.Env.Peer || other.router.String() == a.Env.Peer {
					s.PowerOff(j)
				}
			}
		}
	case machine.PrimRestart:
		u.broken = u.broken && !done
	case machine.PrimStatus:
		if done && !(u.running && u.ready) {
			b.Outcome = machine.OutcomeFailed
		}
	case machine.PrimCheck:
		if done && (!u.running || u.broken) && !b.Lies {
			b.Outcome = machine.OutcomeFailed
		}
	case machine.PrimActivate, machine.PrimDeactivate, machine.PrimReload, machine.PrimJoin, machine.PrimLeave, machine.PrimFailed:
	}
	if told {
		s.post(h, 0, machine.PrimitiveDone{Service: a.Service, Run: a.Run, Outcome: b.Outcome, Recall: b.Recall, Took: b.After})
	}
}

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

// handOver has srrd re-execute itself: nothing of it is left but what was
// handed over.
func (s *Sim) handOver(h *host) {
	base := s.now.Add(h.skew)
	b, err := h.srrd.Export(base)
	if err == nil {
		h.srrd, err = machine.Import(b, base)
	}
	if err != nil {
		panic(fmt.Sprintf("%s cannot be handed over: %v", h.name, err))
	}
}
