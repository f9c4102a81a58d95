package machine_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/sim"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// TestStories plays testdata/scenario: what is known, what happens, what one
// node decides and what it does about it.
func TestStories(t *testing.T) {
	if *update {
		if err := flag.Set("rewrite", "true"); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob("../../../testdata/scenario/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 150 {
		t.Errorf("only %d stories found", len(files))
	}
	missed, done := machine.WatchRows()
	defer done()
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), "# ") {
				t.Fatal("a story begins with its purpose, a line after #")
			}
			w := &world{t: t}
			datadriven.RunTest(t, f, func(t *testing.T, d *datadriven.TestData) string {
				w.t, w.at = t, d.Pos
				switch d.Cmd {
				case "known":
					return w.known(d.Input)
				case "event":
					return w.event(d.Input)
				}
				t.Fatalf("%s: %q: a story has the headings known and event", d.Pos, d.Cmd)
				return ""
			})
		})
	}
	if f := flag.Lookup("test.run"); strings.Contains(f.Value.String(), "/") {
		return // not all were played
	}
	for _, row := range missed() {
		t.Errorf("no story takes this row of the life cycle: %s", row)
	}
}

// storyEpoch is when every story begins.
var storyEpoch = sim.Epoch

// world is the node of a story and what surrounds it.
type world struct {
	t      *testing.T
	at     string
	now    time.Time
	cfg    machine.Config
	router machine.RouterID
	node   *machine.Node
	memory machine.Memory
	marks  []machine.Mark
	peers  []*mate
	timers map[machine.TimerKey]machine.SetTimer
	runs   map[string]machine.RunPrimitive
	own    []machine.Originate // given to ospfd, not echoed
	seen   map[machine.LSARef][]byte
	asks   []ask // of kernel and zebra, not answered
	out    []string
	before map[string]string
	asked  uint64
	full   int
	deaf   bool // ospfd does not show what it was given
}

// mate is a peer that speaks as told.
type mate struct {
	host     string
	router   machine.RouterID
	inc      uint64
	gen      uint32
	refs     map[string][]machine.LSARef // by service; "" is the daemon
	services map[string]advert.Service
	node     advert.NodeState
	far      bool // others have its LSAs, and cannot reach it
}

func (w *world) fail(line string, why any) {
	w.t.Helper()
	w.t.Fatalf("%s: %q: %v", w.at, line, why)
}

func (w *world) must(line string, err error) {
	w.t.Helper()
	if err != nil {
		w.fail(line, err)
	}
}

func (w *world) duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	w.must(s, err)
	return d
}

// known reads what is configured and remembered, and starts srrd.
func (w *world) known(text string) string {
	w.now, w.router = storyEpoch, advert.RouterIDFrom(netip.MustParseAddr("10.0.0.1"))
	w.cfg = machine.Config{Host: "n1", Version: "1.0", Scope: machine.ASScope, StartupHold: 2 * time.Second, RejoinHold: time.Second,
		ClaimTimeout: time.Second, AnnounceTimeout: 3 * time.Second}
	w.memory, w.marks, w.peers = machine.Memory{}, nil, nil
	sync := false
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch f[0] {
		case "startup_hold":
			w.cfg.StartupHold = w.duration(f[1])
		case "rejoin_hold":
			w.cfg.RejoinHold = w.duration(f[1])
		case "alone_after":
			w.cfg.AloneAfter = w.duration(f[1])
		case "service":
			w.cfg.Services = append(w.cfg.Services, w.service(machine.Service{}, f[1], f[2:]))
		case "peer":
			w.peer(line, f[1:])
		case "mark":
			m := machine.Mark{Service: f[1], Claim: advert.NewClaim(uint32(w.number(f[3])), w.router), MayStillRun: len(f) > 4}
			w.marks = append(w.marks, m)
			w.memory.Incarnation = 1000
		case "remembered":
			w.remembered(f[1:])
		case "unreachable":
			w.mate(line, f[1]).far = true
		case "ospfd":
			w.deaf = true
		case "in":
			sync = true
		case "clock":
			at, err := time.Parse(time.DateOnly, f[1])
			w.must(line, err)
			w.now = at
		default:
			w.fail(line, "not known")
		}
	}
	slices.SortFunc(w.cfg.Services, func(a, b machine.Service) int { return strings.Compare(a.Name, b.Name) })
	if w.memory.Incarnation == 0 {
		// Its LSA ids are known from a life before, so that the next G of each is
		// 0: without a memory they would begin by chance, and read badly.
		w.memory.Slots = map[string]machine.SlotMemory{"": {ID: machine.DaemonID}}
		for i, s := range w.cfg.Services {
			w.memory.Slots[s.Name] = machine.SlotMemory{ID: uint16(i)}
		}
	}
	w.boot()
	if sync {
		w.sync()
		w.well()
		w.pass(w.cfg.StartupHold)
		w.well()
	}
	w.out = nil
	return w.told(false)
}

func (w *world) remembered(f []string) {
	sm := machine.ServiceMemory{}
	switch f[1] {
	case "disabled":
		off := false
		sm.Enabled = &off
	case "counter":
		sm.Counter = uint32(w.number(f[2]))
	case "runs":
		sm.MayRun = map[machine.RouterID]machine.MayRunMark{advert.RouterIDFrom(netip.MustParseAddr(f[3])): {Claim: 1, FailedStop: len(f) > 4}}
	case "pin":
		sm.Pin = advert.Pin{Number: 3, Target: advert.RouterIDFrom(netip.MustParseAddr(f[3]))}
	case "held":
		sm.Hold = advert.Hold{Number: 1, On: true}
	default:
		w.fail(strings.Join(f, " "), "not remembered")
	}
	w.memory.Incarnation = 1000
	if w.memory.Services == nil {
		w.memory.Services = map[string]machine.ServiceMemory{}
	}
	w.memory.Services[f[0]] = sm
}

func (w *world) number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	w.must(s, err)
	return n
}

// service reads a service's configuration in the words of its file.
func (w *world) service(s machine.Service, name string, f []string) machine.Service {
	if s.Name == "" {
		s = machine.Service{Name: name, Enabled: true, Scope: machine.ASScope, Preference: 100, Fall: 3, Linger: 250 * time.Millisecond, RetryAfter: time.Minute}
		for _, p := range machine.Primitives() {
			s.Timeout[p] = 10 * time.Second
		}
	}
	for i := 0; i < len(f); i++ {
		next := func() string { i++; return f[i] }
		switch f[i] {
		case "address":
			s.Addresses = append(s.Addresses, netip.MustParseAddr(next()))
		case "preference":
			s.Preference = uint8(w.number(next()))
		case "overlap":
			s.Overlap = true
		case "alias":
			s.Way = machine.WayAlias
		case "exclusive":
			s.Exclusive = true
		case "disabled":
			s.Enabled = false
		case "start_alone":
			s.StartAlone = true
		case "keep":
			s.OnOSPFLoss = machine.LossKeep
		case "interval":
			s.Interval = w.duration(next())
		case "fall":
			s.Fall = int(w.number(next()))
		case "failback_delay":
			s.FailbackWait = w.duration(next())
		case "retry_after":
			s.RetryAfter = w.duration(next())
		case "digest":
			s.Digest = advert.Digest{byte(w.number(next()))}
		case "group":
			s.Group = next()
		case "depends":
			s.Dependencies = nil
			if on := next(); on != "nothing" {
				s.Dependencies = strings.Split(on, ",")
			}
		case "critical":
			s.Critical = true
		case "uncritical":
			s.Critical = false
		case "recover":
			s.Recover = int(w.number(next()))
		case "within":
			s.RecoverWithin = w.duration(next())
		case "rise":
			s.Rise = int(w.number(next()))
		case "fall_unknown":
			s.FallUnknown = int(w.number(next()))
		case "grace":
			s.Grace = w.duration(next())
		case "watch":
			s.Watch = true
		case "fence":
			s.Fence = true
		case "fence_after":
			s.FenceAfter = w.duration(next())
		case "members":
			s.Members = int(w.number(next()))
		case "lost_hold":
			s.LostHold = w.duration(next())
		case "best_effort":
			s.BestEffort = true
		case "linger":
			s.Linger = w.duration(next())
		case "link":
			s.Scope = machine.Scope{Kind: machine.ScopeLink, Link: next()}
		default:
			w.fail(strings.Join(f, " "), f[i])
		}
	}
	return s
}

// peer reads "n2 10.0.0.2 web started claim 5, disk stopped".
func (w *world) peer(line string, f []string) {
	m := &mate{host: f[0], router: advert.RouterIDFrom(netip.MustParseAddr(f[1])), inc: 500, refs: map[string][]machine.LSARef{},
		services: map[string]advert.Service{}, node: advert.Online}
	w.peers = append(w.peers, m)
	for _, said := range strings.Split(strings.Join(f[2:], " "), ",") {
		if f := strings.Fields(said); len(f) > 0 {
			m.services[f[0]] = w.said(line, m, f)
		}
	}
}

var stateWords = map[string]advert.State{"stopped": advert.Stopped, "starting": advert.Starting, "started": advert.Started, "stopping": advert.Stopping, "failed": advert.Failed}

var stepWords = map[string]advert.Step{"claims": advert.StepClaim, "starts": advert.StepStart, "stops": advert.StepStop, "goes": advert.StepAddresses}

// said reads what a peer says of a service: its state, and what differs from
// what it said last.
func (w *world) said(line string, m *mate, f []string) advert.Service {
	s, known := m.services[f[0]]
	if !known {
		s = advert.Service{Name: f[0], Preference: 100}
		for _, c := range w.cfg.Services {
			if c.Name == f[0] {
				s.Addresses, s.Digest, s.Group, s.Dependencies = c.Addresses, c.Digest, c.Group, c.Dependencies
				s.Flags = s.Flags.With(advert.FlagStrict, w.strict(c)).With(advert.FlagOverlap, c.Overlap).With(advert.FlagCritical, c.Critical)
			}
		}
	}
	s.Step = advert.StepNone
	s.Flags &^= advert.FlagHolding | advert.FlagMayStillRun
	if st, ok := stateWords[f[1]]; ok {
		s.State = st
		if st == advert.Stopped || st == advert.Failed {
			s.Claim = 0
		}
		if st == advert.Starting {
			s.Step = advert.StepStart
		}
		if st == advert.Failed {
			s.Failure = advert.Failure{Code: advert.FailStart, Text: "exit status 1"}
		}
	} else {
		w.fail(line, f[1])
	}
	claim := func(n string) advert.Claim {
		if c, by, ok := strings.Cut(n, "@"); ok {
			return advert.NewClaim(uint32(w.number(c)), advert.RouterIDFrom(netip.MustParseAddr(by)))
		}
		return advert.NewClaim(uint32(w.number(n)), m.router)
	}
	for i := 2; i < len(f); i++ {
		next := func() string { i++; return f[i] }
		if st, ok := stepWords[f[i]]; ok {
			s.Step = st
			continue
		}
		switch f[i] {
		case "claim":
			s.Claim = claim(next())
		case "seen":
			s.Seen = claim(next())
		case "acknowledged": // before
			s.Floor = claim(next())
		case "preference":
			s.Preference = uint8(w.number(next()))
		case "holding":
			s.Flags |= advert.FlagHolding
		case "probation":
			s.Flags |= advert.FlagProbation
		case "may-still-run":
			s.Flags |= advert.FlagMayStillRun
		case "held":
			s.Hold = advert.Hold{Number: 1, On: true}
		case "released":
			s.Hold = advert.Hold{Number: 2}
		case "pin":
			s.Pin = advert.Pin{Number: 1, Target: advert.RouterIDFrom(netip.MustParseAddr(next()))}
		case "for":
			s.Pin.Left = uint32(w.duration(next()) / time.Second)
		case "void":
			s.Pin.Void = true
		case "digest":
			s.Digest = advert.Digest{byte(w.number(next()))}
		case "depends":
			s.Dependencies = strings.Split(next(), ",")
		case "group":
			s.Group = next()
		case "critical":
			s.Flags |= advert.FlagCritical
		case "resource":
			s.Addresses, s.Flags = nil, s.Flags|advert.FlagStrict
		case "address":
			s.Addresses = []netip.Addr{netip.MustParseAddr(next())}
		default:
			w.fail(line, f[i])
		}
	}
	return s
}

// strict reports whether a service is placed by acknowledged claims, for its
// own sake or that of another member of its group.
func (w *world) strict(c machine.Service) bool {
	return c.Strict() || c.Group != "" && slices.ContainsFunc(w.cfg.Services, func(o machine.Service) bool { return o.Group == c.Group && o.Strict() })
}

func (w *world) boot() {
	w.node = machine.New(w.memory, w.marks)
	w.timers, w.runs, w.own, w.seen = map[machine.TimerKey]machine.SetTimer{}, map[string]machine.RunPrimitive{}, nil, map[machine.LSARef][]byte{}
	w.step(machine.Configured{Config: w.cfg})
	w.step(machine.ZebraUp{})
}

// sync opens the session with ospfd and gives the database.
func (w *world) sync() {
	w.step(machine.OSPFUp{Router: w.router, DeadInterval: 40 * time.Second})
	for _, m := range w.peers {
		w.sayNode(m)
		for _, name := range sorted(m.services) {
			w.say(m, m.services[name])
		}
		if !m.far {
			w.step(machine.Reach{Router: m.router, Area: true, AS: true})
		}
	}
	w.full = len(w.peers) + 1
	w.step(machine.Adjacency{Full: w.full})
	w.step(machine.Synced{})
}

func sorted[V any](m map[string]V) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func (m *mate) ref(name string, slot int) machine.LSARef {
	g := len(m.refs[name])
	r := machine.LSARef{Scope: machine.ASScope, ID: uint32(g)<<16 | uint32(slot)}
	m.refs[name] = append(m.refs[name], r)
	return r
}

func (w *world) sayNode(m *mate) {
	m.gen++
	n := advert.Node{Stamp: advert.Stamp{Incarnation: m.inc, Generation: m.gen}, Host: m.host, State: m.node}
	raw, err := n.Append(nil)
	w.must(m.host, err)
	w.step(machine.LSASeen{Router: m.router, Ref: m.ref("", machine.DaemonID), Body: advert.Body{Node: &n}, Raw: raw})
}

func (w *world) say(m *mate, s advert.Service) {
	m.gen++
	s.Stamp = advert.Stamp{Incarnation: m.inc, Generation: m.gen}
	m.services[s.Name] = s
	raw, err := s.Append(nil)
	w.must(s.Name, err)
	slot := slices.Index(sorted(m.services), s.Name)
	w.step(machine.LSASeen{Router: m.router, Ref: m.ref(s.Name, slot), Body: advert.Body{Service: &s}, Raw: raw})
}

// step hands one event to the node and notes what it does.
func (w *world) step(ev machine.Event) {
	for _, a := range w.node.Step(w.now, ev) {
		switch a := a.(type) {
		case machine.Originate:
			w.own = append(w.own, a)
		case machine.Flush:
			delete(w.seen, a.Ref)
		case machine.SetAddresses:
			w.ask(a.Addresses, false, a.On)
		case machine.Announce:
			w.ask(a.Addresses, true, a.On)
		case machine.SetTimer:
			w.timers[a.Key] = a
		case machine.RunPrimitive:
			w.runs[a.Service] = a
		case machine.CancelPrimitive:
			if w.runs[a.Service].Run == a.Run {
				delete(w.runs, a.Service)
			}
		case machine.Save:
			w.memory = w.node.Memory()
		case machine.WriteMark:
			w.marks = slices.DeleteFunc(w.marks, func(m machine.Mark) bool { return m.Service == a.Mark.Service })
			if !a.Clear {
				w.marks = append(w.marks, a.Mark)
			}
		}
		if d := sim.DescribeAction(a); d != "" {
			w.out = append(w.out, stampText.ReplaceAllString(d, ""))
		}
	}
}

// stampText is what a story does not tell: incarnations, generations, runs.
var stampText = regexp.MustCompile(` \(\d+/\d+\)| \(\d+\)|, incarnation \d+`)

// pass lets the time pass and the timers fire.
func (w *world) pass(d time.Duration) {
	end := w.now.Add(d)
	if !w.deaf {
		w.echo("")
	}
	for {
		var due []machine.SetTimer
		for _, t := range w.timers {
			if !t.At.After(end) {
				due = append(due, t)
			}
		}
		if len(due) == 0 {
			break
		}
		slices.SortFunc(due, func(a, b machine.SetTimer) int {
			if c := a.At.Compare(b.At); c != 0 {
				return c
			}
			return int(int64(a.Gen) - int64(b.Gen))
		})
		t := due[0]
		delete(w.timers, t.Key)
		if t.At.After(w.now) {
			w.now = t.At
		}
		if !w.deaf {
			w.echo("")
			if w.timers[t.Key].Gen != 0 { // set anew
				continue
			}
		}
		w.step(machine.TimerFired{Key: t.Key, Gen: t.Gen})
	}
	w.now = end
}

// well has everything asked for go well: echoes, primitives, addresses, routes.
func (w *world) well() {
	for range 50 {
		if len(w.own) == 0 && len(w.runs) == 0 && len(w.asks) == 0 {
			return
		}
		w.echo("")
		for _, name := range sorted(w.runs) {
			w.done(w.runs[name], machine.OutcomeDone, "")
		}
		asks := w.asks
		w.asks = nil
		for _, k := range asks {
			w.obey(k)
		}
	}
	w.t.Fatalf("%s: it does not come to rest", w.at)
}

// ask is an address to be put on or announced, or no longer.
type ask struct {
	addr         netip.Addr
	announce, on bool
}

func (w *world) ask(addrs []netip.Addr, announce, on bool) {
	for _, a := range addrs {
		w.answered(a, announce)
		w.asks = append(w.asks, ask{a, announce, on})
	}
}

func (w *world) answered(a netip.Addr, announce bool) {
	w.asks = slices.DeleteFunc(w.asks, func(k ask) bool { return k.addr == a && k.announce == announce })
}

// obey is what kernel, zebra and ospfd answer.
func (w *world) obey(k ask) {
	if !k.announce {
		w.step(machine.AddressState{Addr: k.addr, Present: k.on})
		return
	}
	st := machine.RouteRemoved
	if k.on {
		st = machine.RouteInstalled
	}
	w.step(machine.RouteState{Addr: k.addr, State: st})
	w.step(machine.HostRoute{Addr: k.addr, Router: w.router, Present: k.on})
}

// echo shows the node what it gave to ospfd; of one service, or of all.
func (w *world) echo(name string) {
	own := w.own
	w.own = nil
	for _, o := range own {
		b, err := advert.Decode(o.Body)
		w.must(name, err)
		if name == "daemon" && b.Node == nil || name != "" && name != "daemon" && (b.Service == nil || b.Service.Name != name) {
			w.own = append(w.own, o)
			continue
		}
		w.seen[o.Ref] = o.Body
		w.step(machine.LSASeen{Router: w.router, Ref: o.Ref, Body: b, Raw: o.Body})
	}
}

func (w *world) done(r machine.RunPrimitive, o machine.Outcome, text string) {
	delete(w.runs, r.Service)
	w.step(machine.PrimitiveDone{Service: r.Service, Run: r.Run, Outcome: o, Text: text})
}

// state is a service's standing in one line.
func (w *world) state(v machine.ServiceView) string {
	if !v.Local {
		return "not configured here"
	}
	text := fmt.Sprintf("%s/%s", v.Config, v.State)
	if v.Step != advert.StepNone {
		text += ", " + v.Step.String()
	}
	if v.Failure.Code != advert.FailNone {
		text += " (" + v.Failure.String() + ")"
	}
	text += "; " + v.Want + ", for " + v.Why
	if len(v.Waits) > 0 {
		text += "; waits for: " + strings.Join(v.Waits, ", ")
	}
	for _, n := range v.Notices {
		if n != "not protected against partition" {
			text += "; note: " + n
		}
	}
	for _, d := range v.Deadlines {
		switch d.Kind {
		case machine.DeadlineLost, machine.DeadlineFence, machine.DeadlinePin:
			text += "; " + d.What + " in " + max(0, d.At.Sub(w.now)).Round(10*time.Millisecond).String()
		}
	}
	return text
}

// told writes what was decided and done since the last time.
func (w *world) told(event bool) string {
	var b strings.Builder
	now := map[string]string{}
	var lines []string
	for _, v := range w.node.View().Services {
		if now[v.Name] = w.state(v); now[v.Name] != w.before[v.Name] || !event {
			if now[v.Name] != "" {
				lines = append(lines, v.Name+": "+now[v.Name])
			}
		}
	}
	for name := range w.before {
		if _, still := now[name]; !still {
			lines = append(lines, name+": nothing is known of it any more")
		}
	}
	slices.Sort(lines)
	w.before = now
	b.WriteString("decided\n")
	if len(lines) == 0 {
		lines = []string{"nothing new"}
	}
	for _, l := range lines {
		b.WriteString("  " + l + "\n")
	}
	if event {
		b.WriteString("actions\n")
		if len(w.out) == 0 {
			w.out = []string{"none"}
		}
		for _, l := range w.out {
			b.WriteString("  " + l + "\n")
		}
		w.out = nil
	}
	return b.String()
}

// event lets things happen, a line each.
func (w *world) event(text string) string {
	for line := range strings.Lines(text) {
		w.happen(strings.TrimSpace(line))
		w.echo("daemon")
	}
	return w.told(true)
}

var (
	primText   = regexp.MustCompile(`^(\w+) of ([\w-]+) (is done|fails|times out|is unknown|asks to be recalled in (\S+))(?:: (.*))?$`)
	answerText = regexp.MustCompile(`^ospfd answers for ([\w-]+): (not now|refused), (.*)$`)
	ownText    = regexp.MustCompile(`^under our router id: 222\.(\d+)\.0\.(\d+), (\w+) (\w+), life (\S+)$`)
)

func (w *world) happen(line string) {
	f := strings.Fields(line)
	if m := primText.FindStringSubmatch(line); m != nil {
		r, ok := w.runs[m[2]]
		if !ok || r.Primitive.String() != m[1] {
			w.fail(line, "it does not run")
		}
		delete(w.runs, m[2])
		d := machine.PrimitiveDone{Service: m[2], Run: r.Run, Text: m[5]}
		if raw, err := strconv.Unquote(`"` + m[5] + `"`); err == nil {
			d.Text = raw // \x00 and the like
		}
		switch strings.Fields(m[3])[0] {
		case "fails":
			d.Outcome = machine.OutcomeFailed
		case "times":
			d.Outcome = machine.OutcomeTimeout
		case "asks":
			d.Outcome, d.Recall = machine.OutcomeRecall, w.duration(m[4])
		default:
			if strings.HasSuffix(m[3], "unknown") {
				d.Outcome = machine.OutcomeUnknown
			}
		}
		w.step(d)
		return
	}
	if m := answerText.FindStringSubmatch(line); m != nil {
		for i, o := range w.own {
			if b, err := advert.Decode(o.Body); err == nil && b.Service != nil && b.Service.Name == m[1] {
				w.own = slices.Delete(w.own, i, i+1)
				res := machine.OriginateRetry
				if m[2] == "refused" {
					res = machine.OriginateRefused
				}
				w.step(machine.OriginateDone{Ref: o.Ref, Result: res, Text: m[3]})
				return
			}
		}
		w.fail(line, "nothing was given to ospfd")
	}
	if m := ownText.FindStringSubmatch(line); m != nil {
		w.underOurName(m)
		return
	}
	switch {
	case line == "in sync":
		w.sync()
	case line == "a session with ospfd":
		w.step(machine.OSPFUp{Router: w.router, DeadInterval: 40 * time.Second})
	case line == "the database is received":
		w.step(machine.Synced{})
	case line == "everything goes well":
		w.well()
	case strings.HasPrefix(line, "the process of "):
		name, how, _ := strings.Cut(strings.TrimPrefix(line, "the process of "), " ends")
		w.step(machine.ProcessEnded{Service: name, Text: strings.TrimPrefix(how, ": ")})
	case line == "zebra is back":
		w.step(machine.ZebraUp{})
	case line == "srrd is killed and starts again":
		for _, m := range w.peers {
			m.refs = map[string][]machine.LSARef{}
		}
		w.boot()
	case strings.HasPrefix(line, "srrd stands still for "): // what happens next comes before the timers
		w.now = w.now.Add(w.duration(f[4]))
	case line == "the node boots":
		w.marks = nil
		w.boot()
	case line == "shutdown":
		w.step(machine.Shutdown{})
	case line == "zebra is lost":
		w.step(machine.ZebraDown{Why: "the session was closed", Absent: true})
	case line == "zebra is one of an unknown release":
		w.step(machine.ZebraDown{Why: "its release is not known"})
	case f[0] == "echo":
		name := ""
		if len(f) > 2 {
			name = f[2]
		}
		w.echo(name)
	case f[0] == "after":
		w.pass(w.duration(f[1]))
	case f[0] == "neighbours":
		w.step(machine.Adjacency{Full: int(w.number(f[1])), Between: int(w.number(f[3]))})
	case f[0] == "neighbour":
		w.step(machine.NeighborFull{})
	case f[0] == "ospfd":
		w.own = nil
		w.step(machine.OSPFDown{Why: "the session was closed"})
	case f[0] == "address":
		w.answered(netip.MustParseAddr(f[1]), false)
		w.step(machine.AddressState{Addr: netip.MustParseAddr(f[1]), Present: f[2] == "on", Err: strings.Join(f[3:], " ")})
	case f[0] == "route":
		st := map[string]machine.RouteStanding{"removed": machine.RouteRemoved, "installed": machine.RouteInstalled, "beaten": machine.RouteBeaten, "failed": machine.RouteFailed}
		w.answered(netip.MustParseAddr(f[1]), true)
		w.step(machine.RouteState{Addr: netip.MustParseAddr(f[1]), State: st[f[2]], Text: strings.Join(f[3:], " ")})
	case f[0] == "command":
		w.command(line, f[1:])
	case f[0] == "configure", f[0] == "remove":
		w.configure(f)
	case len(f) > 3 && f[1] == "is" && (f[2] == "announced" || f[2] == "withdrawn"):
		w.step(machine.HostRoute{Addr: netip.MustParseAddr(f[0]), Router: w.routerOf(line, f[4]), Present: f[2] == "announced"})
	default:
		w.mateDoes(line, f)
	}
}

func (w *world) routerOf(line, host string) machine.RouterID {
	if host == "n1" {
		return w.router
	}
	return w.mate(line, host).router
}

func (w *world) mate(line, host string) *mate {
	for _, m := range w.peers {
		if m.host == host {
			return m
		}
	}
	w.fail(line, "no such peer")
	return nil
}

func (w *world) underOurName(m []string) {
	ref := machine.LSARef{Scope: machine.ASScope, ID: uint32(w.number(m[1]))<<16 | uint32(w.number(m[2]))}
	s := advert.Service{Name: m[3], State: stateWords[m[4]], Stamp: advert.Stamp{Generation: 1}}
	switch inc := w.node.View().Incarnation; m[5] {
	case "before":
		s.Incarnation = inc - 1
	case "later":
		s.Incarnation = inc + 1
	default:
		s.Incarnation, s.Generation = inc, 0
	}
	raw, err := s.Append(nil)
	w.must(m[0], err)
	w.step(machine.LSASeen{Router: w.router, Ref: ref, Body: advert.Body{Service: &s}, Raw: raw})
}

func (w *world) configure(f []string) {
	cfg := w.cfg
	cfg.Services = slices.Clone(cfg.Services)
	i := slices.IndexFunc(cfg.Services, func(s machine.Service) bool { return s.Name == f[1] })
	switch {
	case f[0] == "remove":
		cfg.Services = slices.Delete(cfg.Services, i, i+1)
	case i < 0:
		cfg.Services = append(cfg.Services, w.service(machine.Service{}, f[1], f[2:]))
		slices.SortFunc(cfg.Services, func(a, b machine.Service) int { return strings.Compare(a.Name, b.Name) })
	default:
		if slices.Contains(f, "address") {
			cfg.Services[i].Addresses = nil
		}
		cfg.Services[i] = w.service(cfg.Services[i], f[1], f[2:])
	}
	w.cfg = cfg
	w.step(machine.Configured{Config: cfg})
}

func (w *world) command(line string, f []string) {
	w.asked++
	c := machine.Command{ID: w.asked}
	for v := machine.VerbStart; v <= machine.VerbClusterUnfreeze; v++ {
		if v.String() == f[0] {
			c.Verb = v
		}
	}
	if c.Verb == 0 {
		w.fail(line, "no such command")
	}
	for i, dst := range []*string{&c.Service, &c.Node} {
		if len(f) > i+1 {
			*dst = f[i+1]
		}
	}
	if len(f) > 4 {
		c.For = w.duration(f[4])
	}
	w.step(c)
}

// mateDoes is what peers do: "n2: web started claim 5", "n2 is unreachable".
func (w *world) mateDoes(line string, f []string) {
	m := w.mate(line, strings.TrimSuffix(f[0], ":"))
	gone := func(name string) {
		for _, r := range m.refs[name] {
			w.step(machine.LSAGone{Router: m.router, Ref: r})
		}
		delete(m.refs, name)
	}
	switch rest := strings.Join(f[1:], " "); rest {
	case "is unreachable":
		w.step(machine.Reach{Router: m.router})
	case "is reachable":
		w.step(machine.Reach{Router: m.router, Area: true, AS: true})
	case "srrd is gone":
		gone("")
		for _, name := range sorted(m.services) {
			gone(name)
		}
	case "srrd is gone, its services first":
		for _, name := range sorted(m.services) {
			gone(name)
		}
		gone("")
	case "srrd starts again":
		m.inc, m.gen, m.node = m.inc+1, 0, advert.Online
		w.sayNode(m)
	case "srrd starts again, with its clock and its memory lost":
		m.inc, m.gen, m.node = m.inc-100, 0, advert.Online
		w.sayNode(m)
	case "srrd starts again, its clock a year ahead":
		m.inc, m.gen, m.node = m.inc+365*86400, 0, advert.Online
		w.sayNode(m)
	case "is in maintenance":
		m.node = advert.Maintenance
		w.sayNode(m)
	case "is online", "is in standby", "is leaving":
		m.node = map[string]advert.NodeState{"is online": advert.Online, "is in standby": advert.Standby, "is leaving": advert.Leaving}[rest]
		w.sayNode(m)
	default:
		if len(f) == 3 && f[2] == "withdrawn" {
			gone(f[1])
			return
		}
		if len(f) < 3 {
			w.fail(line, "not understood")
		}
		w.say(m, w.said(line, m, f[1:]))
	}
}
