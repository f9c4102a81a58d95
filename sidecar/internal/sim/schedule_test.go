package sim_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/sim"
)

var (
	seeds  = flag.Int("seeds", map[bool]int{false: 2_000, true: 100_000}[os.Getenv("CI") != ""], "random schedules to play; more where CI is set")
	seed1  = flag.Uint64("seed", 1, "the first seed")
	only   = flag.Int("world", -1, "play on this kind of cluster only")
	shrink = flag.Bool("shrink", true, "leave out of a failing schedule what it fails without")
	goOn   = flag.Bool("go-on", false, "play all schedules, also after one that broke a rule")
	events = flag.Int("events", 0, "play until the machines have taken so many events (make soak)")
)

// deed is one thing that is done to a cluster, and the wait after it.
type deed struct {
	kind, i, j, service int
	arg                 uint64
	wait                time.Duration
}

// schedule is what is played; it follows from its seed and can be shortened.
type schedule struct {
	seed  uint64
	world world
	deeds []deed
	// handOver: srrd re-executes itself before every event whose number it
	// divides; 0: never.
	handOver int
}

// dice is splitmix64.
type dice uint64

func (d *dice) roll(n int) int {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(n))
}

func randomSchedule(seed uint64) schedule {
	w := worlds[seed%uint64(len(worlds))]
	if *only >= 0 {
		w = worlds[*only%len(worlds)]
	}
	d := dice(seed*0x9e3779b97f4a7c15 + 7)
	c := schedule{seed: seed, world: w}
	long, most := 8*time.Second, 4+8
	if w.slow {
		long, most = time.Minute, 4+12
	}
	for range 3 + d.roll(most-3) {
		x := deed{kind: d.roll(kinds), i: d.roll(w.max), j: d.roll(w.max), service: d.roll(16), arg: uint64(d.roll(1 << 30))}
		switch d.roll(3) {
		case 0:
			x.wait = time.Duration(d.roll(20)) * time.Millisecond
		case 1:
			x.wait = time.Duration(d.roll(int(long/20/time.Millisecond))) * time.Millisecond
		default:
			x.wait = time.Duration(d.roll(int(long/time.Millisecond))) * time.Millisecond
		}
		c.deeds = append(c.deeds, x)
	}
	return c
}

// play does the deeds, then leaves the cluster in peace and says what is wrong.
func (c schedule) play(trace bool) (*sim.Sim, []string) {
	s, n := c.world.cluster(c.seed, trace, c.handOver)
	names := c.world.names()
	for i := range n {
		s.Boot(i)
		if !c.world.tame {
			s.Run(time.Duration(s.Chance(1500)) * time.Millisecond)
		}
	}
	if c.world.tame {
		s.Run(5 * time.Second) // they have met, or nobody knows whom to fear
	}
	if c.seed>>7%8 == 0 && n > 2 { // two hear each other by a third only, and one of them late
		to, apart := s.Chance(n), 1+s.Chance(n-1)
		of, via := (to+apart)%n, (to+1+apart%(n-1))%n
		s.Cut(to, of, true)
		s.LateRelay(via, to, of, time.Second)
	}
	for _, d := range c.deeds {
		c.do(s, n, names[d.service%len(names)], d)
		s.Run(d.wait)
	}
	s.Log("--- peace")
	s.HealAll()
	s.Unscript()
	for i := range n {
		s.Boot(i)
		s.Thaw(i)
		s.StartOSPFd(i)
		s.StartZebra(i)
		s.StartSrrd(i)
		s.Configure(i, c.world.config(i, n))
		s.Command(i, machine.Command{Verb: machine.VerbOnline})
		for _, name := range names {
			s.Command(i, machine.Command{Verb: machine.VerbEnable, Service: name})
		}
	}
	step := 10 * time.Second
	if c.world.slow {
		step = 60 * time.Second
	}
	s.Run(step)
	for i := range n {
		s.Boot(i) // one that was fenced meanwhile
		s.StartSrrd(i)
	}
	s.Run(step / 4)
	s.Command(0, machine.Command{Verb: machine.VerbClusterUnfreeze})
	for _, name := range names {
		s.Command(0, machine.Command{Verb: machine.VerbUnfreeze, Service: name})
		s.Command(0, machine.Command{Verb: machine.VerbStart, Service: name})
		s.Command(0, machine.Command{Verb: machine.VerbUnmove, Service: name})
	}
	// Four failures in a row are forgiven after 8 x retry_after.
	for range 8 {
		s.Run(step)
		if s.Quiet() >= 2*step && len(s.Settled()) == 0 {
			break
		}
	}
	wrong := s.Settled()
	if len(wrong) == 0 {
		wrong = moves(s, n, names[s.Chance(len(names))], step)
	}
	wrong = append(s.Violations(), wrong...)
	if q := s.Quiet(); q < step/2 {
		wrong = append(wrong, fmt.Sprintf("something was started or stopped %s ago, in peace", q))
	}
	return s, wrong
}

// moves moves a service to some node, and says what did not follow.
func moves(s *sim.Sim, n int, name string, step time.Duration) (wrong []string) {
	for i := range n { // a move does not help who is on probation
		for _, c := range s.Config(i).Services {
			s.Command(i, machine.Command{Verb: machine.VerbReactivate, Service: c.Name})
		}
	}
	s.Run(step)
	s.Command(0, machine.Command{Verb: machine.VerbMove, Service: name, Node: fmt.Sprintf("n%d", 1+s.Chance(n))})
	s.Run(step)
	pin, on := s.Service(0, name).Pin, s.Runs(name)
	// A node whose configuration of a service had failed offers it only since it
	// was reactivated, and with it a freeze that nobody else had heard of.
	frozen := slices.ContainsFunc(s.View(0).Services, func(v machine.ServiceView) bool { return v.Freeze.On })
	if !frozen && pin.Number != 0 && !pin.Void && len(on) == 1 && s.Router(on[0]) != pin.Target {
		wrong = append(wrong, fmt.Sprintf("%s was moved to %s and runs on %s", name, pin.Target, s.Router(on[0])))
	}
	return append(wrong, s.Settled()...)
}

// kinds is how many kinds of deeds do knows.
const kinds = 52

// do does one deed.
func (c schedule) do(s *sim.Sim, n int, name string, d deed) {
	i, j := d.i%n, d.j%n
	node := fmt.Sprintf("n%d", j+1)
	pick := func(v ...machine.Verb) machine.Verb { return v[d.arg%uint64(len(v))] }
	prim := func(v ...machine.Primitive) machine.Primitive { return v[d.arg%uint64(len(v))] }
	switch d.kind {
	case 0:
		s.CrashSrrd(i)
	case 1, 2:
		s.StartSrrd(i)
	case 3:
		s.KillOSPFd(i)
	case 4, 5:
		s.StartOSPFd(i)
	case 6:
		s.PowerOff(i)
	case 7, 8:
		s.Boot(i)
	case 9:
		if i != j {
			s.Cut(i, j, d.arg%2 == 0)
		}
	case 10, 30:
		s.Partition(i)
	case 11:
		s.Isolate(i)
	case 12, 13:
		s.HealAll()
	case 14, 31:
		s.Command(i, machine.Command{Verb: machine.VerbMove, Service: name, Node: node})
	case 15:
		s.Command(i, machine.Command{Verb: machine.VerbMove, Service: name, Node: node, For: 20 * time.Second})
	case 16:
		s.Command(i, machine.Command{Verb: pick(machine.VerbStop, machine.VerbStart, machine.VerbUnmove, machine.VerbReactivate), Service: name})
	case 17:
		s.Command(i, machine.Command{Verb: pick(machine.VerbDisable, machine.VerbEnable), Service: name})
	case 18:
		s.Command(i, machine.Command{Verb: pick(machine.VerbStandby, machine.VerbOnline)})
	case 19:
		s.Script(i, name, machine.PrimStart, behaviour(d.arg))
	case 20:
		s.Script(i, name, machine.PrimStop, behaviour(d.arg))
	case 21:
		if !c.world.tame {
			s.Shutdown(i)
		}
	case 22:
		cfg := s.Config(i)
		cfg.Services = slices.Clone(cfg.Services)
		cfg.Services[d.j%len(cfg.Services)].Preference = uint8(d.arg)
		s.Configure(i, cfg)
	case 23:
		s.Script(i, name, machine.PrimActivate, behaviour(d.arg))
	case 24, 25:
		s.Break(i, name)
	case 26: // a service is taken out of the configuration, or put back
		if c.world.tame {
			s.Script(i, name, machine.PrimFence, behaviour(d.arg))
			return
		}
		cfg := s.Config(i)
		if k := slices.IndexFunc(cfg.Services, func(v machine.Service) bool { return v.Name == name }); k >= 0 && len(cfg.Services) > 1 {
			cfg.Services = slices.Delete(slices.Clone(cfg.Services), k, k+1)
		} else {
			cfg = c.world.config(i, n)
		}
		s.Configure(i, cfg)
	case 27:
		if d.arg%3 == 0 && !s.Up(i) && !c.world.tame {
			s.Forget(i)
		}
	case 28: // the address changes
		cfg := s.Config(i)
		cfg.Services = slices.Clone(cfg.Services)
		for k := range cfg.Services {
			if v := &cfg.Services[k]; v.Name == name && len(v.Addresses) > 0 && v.Addresses[0].As4()[3]%25 < 20 {
				v.Addresses = []netip.Addr{v.Addresses[0].Next()}
			}
		}
		s.Configure(i, cfg)
	case 32:
		s.Command(i, machine.Command{Verb: pick(machine.VerbFreeze, machine.VerbFreeze, machine.VerbUnfreeze), Service: name})
	case 33:
		s.Command(i, machine.Command{Verb: pick(machine.VerbMaintenance, machine.VerbMaintenance, machine.VerbOnline, machine.VerbDrain)})
	case 35:
		s.Hang(i, time.Duration(d.arg%3000)*time.Millisecond)
	case 36, 37:
		s.KillZebra(i)
	case 38, 39:
		s.StartZebra(i)
	case 40:
		s.RefuseAddress(i, time.Duration(d.arg%5000)*time.Millisecond)
	case 41:
		s.RemoveAddress(i, name, time.Duration(d.arg%25000)*time.Millisecond)
	case 42: // ospfd is back before anybody forgets what it said
		s.KillOSPFd(i)
		s.Run(time.Duration(d.arg%400) * time.Millisecond)
		s.StartOSPFd(i)
	case 43:
		if !c.world.tame {
			s.FailDisk(i, time.Duration(d.arg%5000)*time.Millisecond)
		}
	case 44:
		s.Leap(i, leaps[d.arg%uint64(len(leaps))])
	case 45: // it reboots with another clock, as one without a battery does
		s.PowerOff(i)
		s.Leap(i, leaps[d.arg%uint64(len(leaps))])
		s.Boot(i)
	case 46, 47:
		long := uint64(6000)
		if c.world.slow {
			long = 60_000
		}
		s.Freeze(i, time.Duration(d.arg%long)*time.Millisecond)
	case 50, 51:
		long := uint64(12_000)
		if c.world.slow {
			long = 90_000
		}
		s.FreezeAtClaim(i, time.Duration(1+d.arg%long)*time.Millisecond)
		if d.kind == 51 { // and it claims
			s.Command(i, machine.Command{Verb: machine.VerbMove, Service: name, Node: fmt.Sprintf("n%d", i+1)})
		}
	case 48:
		s.Script(i, name, machine.PrimCheck, behaviour(d.arg), behaviour(d.arg/8), behaviour(d.arg/64), behaviour(d.arg/512))
	case 49:
		s.Script(i, name, prim(machine.PrimStatus, machine.PrimRestart, machine.PrimDeactivate, machine.PrimStart), behaviour(d.arg/8))
	case 34:
		s.Command(i, machine.Command{Verb: pick(machine.VerbClusterFreeze, machine.VerbClusterUnfreeze)})
	case 29:
		s.Command(i, machine.Command{Verb: pick(machine.VerbRestart, machine.VerbReload, machine.VerbCheck, machine.VerbStatus), Service: name})
	}
}

// leaps are how far a clock may be set.
var leaps = []time.Duration{-365 * 24 * time.Hour, -time.Hour, -3 * time.Second, 2 * time.Second, time.Hour, 365 * 24 * time.Hour}

func behaviour(arg uint64) sim.Behaviour {
	switch arg % 6 {
	case 0:
		return sim.Behaviour{Outcome: machine.OutcomeFailed}
	case 1:
		return sim.Behaviour{Hang: true}
	case 2:
		return sim.Behaviour{Outcome: machine.OutcomeRecall, Recall: 300 * time.Millisecond}
	case 3:
		return sim.Behaviour{After: 800 * time.Millisecond}
	case 4:
		return sim.Behaviour{Lies: true}
	}
	return sim.Behaviour{Outcome: machine.OutcomeUnknown}
}

// shortest leaves out deeds and waits as long as what is left still fails.
func (c schedule) shortest() schedule {
	fails := func(c schedule) bool { _, wrong := c.play(false); return len(wrong) > 0 }
	for size := len(c.deeds) / 2; size > 0; {
		smaller := false
		for at := 0; at+size <= len(c.deeds); {
			less := c
			less.deeds = append(slices.Clone(c.deeds[:at]), c.deeds[at+size:]...)
			if fails(less) {
				c, smaller = less, true
				continue
			}
			at += size
		}
		if !smaller || size > len(c.deeds) {
			size /= 2
		}
	}
	for k := range c.deeds {
		for _, wait := range []time.Duration{0, c.deeds[k].wait / 4, c.deeds[k].wait.Round(time.Second)} {
			less := c
			less.deeds = slices.Clone(c.deeds)
			less.deeds[k].wait = wait
			if wait != c.deeds[k].wait && fails(less) {
				c = less
				break
			}
		}
	}
	return c
}

// storied is the trace of a short schedule as a story: what was done, decided
// and started, without the traffic between the nodes.
func storied(trace string) string {
	var b strings.Builder
	at := ""
	for line := range strings.Lines(trace) {
		words := strings.Fields(line)
		if len(words) > 1 && strings.HasSuffix(words[1], ":") && !strings.HasSuffix(words[0], ":") {
			at = words[0] + " " + words[1]
		}
		switch {
		case strings.Contains(line, "---"), strings.Contains(line, "!!!"):
			b.WriteString(line)
		case slices.Contains([]string{"info:", "warning:", "error:", "refuse:", "exit"}, words[0]),
			words[0] == "run" && slices.Contains([]string{"start", "stop", "fence", "status", "restart"}, words[2]):
			if !strings.Contains(line, "of an earlier life") {
				fmt.Fprintf(&b, "%20s %s\n", at, strings.TrimSpace(line))
			}
		}
	}
	return b.String()
}

// play plays one seed, and fails with its story where it breaks an invariant.
func play(t *testing.T, seed uint64) (events int, good bool) {
	c := randomSchedule(seed)
	s, wrong := c.play(false)
	if len(wrong) == 0 {
		return s.Steps(), true
	}
	if *shrink {
		c = c.shortest()
	}
	s, wrong = c.play(true)
	if !testing.Verbose() {
		t.Errorf("seed %d, %s (-v for every event):\n%s\n%s", seed, c.world.name, storied(s.Trace()), strings.Join(wrong, "\n"))
	} else {
		t.Errorf("seed %d, %s:\n%s\n%s", seed, c.world.name, s.Trace(), strings.Join(wrong, "\n"))
	}
	if said := c.keep(s.Trace(), wrong); said != "" {
		t.Log(said)
	}
	return s.Steps(), false
}

// TestMain has the collector run seldom: a schedule is small and soon over.
func TestMain(m *testing.M) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(1600)
	}
	os.Exit(m.Run())
}

func TestRandomSchedulesBreakNoInvariant(t *testing.T) {
	var steps, played, broken, next atomic.Int64
	t.Run("all", func(t *testing.T) {
		for k := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(k), func(t *testing.T) {
				t.Parallel()
				for {
					k := next.Add(1) - 1
					if t.Failed() && !*goOn || *events == 0 && k >= int64(*seeds) || *events > 0 && steps.Load() >= int64(*events) {
						return
					}
					took, good := play(t, *seed1+uint64(k))
					steps.Add(int64(took))
					played.Add(1)
					if !good {
						broken.Add(1)
					}
				}
			})
		}
	})
	t.Logf("%d schedules, %d events, %d of the schedules broke a rule", played.Load(), steps.Load(), broken.Load())
}

func TestOneSeedGivesOneTrace(t *testing.T) {
	for seed := range uint64(2 * len(worlds)) {
		a, _ := randomSchedule(seed).play(true)
		b, _ := randomSchedule(seed).play(true)
		if a.Trace() != b.Trace() {
			t.Fatalf("two traces for seed %d", seed)
		}
		if len(a.Trace()) < 1000 {
			t.Fatalf("seed %d: nothing happened:\n%s", seed, a.Trace())
		}
	}
}
