package doctor

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/srrd/srrd/vty"
)

// What counts as fast, in milliseconds. The recommended values are below these.
const (
	fastTimer = 50 * time.Millisecond  // of ospfd's throttles
	fastSPF   = 200 * time.Millisecond // longest wait between two SPF runs
	fastBFD   = 150 * time.Millisecond // detection time

	// Defaults of FRR 8.4 (ospfd/ospfd.h OSPF_SPF_*_DEFAULT, bfdd/bfd.h
	// BFD_DEF*, zebra/zebra_rib.c ZEBRA_RIB_PROCESS_HOLD_TIME, ospfd.h
	// OSPF_RETRANSMIT_INTERVAL_DEFAULT), in ms and s.
	defaultSPFMax     = 5000
	defaultBFDMillis  = 300
	defaultBFDMult    = 3
	defaultWorkQueue  = 10
	defaultRetransmit = 5

	// Profile is the BFD profile that Apply makes.
	Profile = "srrd"
)

func (e *examination) timers() {
	longest := e.longestSPF()
	if e.State.SPFDelay > fastTimer || e.State.SPFHold > fastTimer || longest > fastSPF {
		e.add(Finding{
			Severity: Slow, Subject: "timers throttle spf", Daemon: vty.OSPF,
			Text: fmt.Sprintf("ospfd waits up to %s between two computations of its routes when changes follow each other: a node that is lost "+
				"while another returns keeps its routes so long.", span(max(longest, e.State.SPFDelay))),
			Lines: ospf("timers throttle spf 0 1 50"),
		})
	}
	also := " Every router between the nodes should have this line too."
	if e.Wants.Transit {
		also = ""
	}
	if d := e.State.LSAInterval; d > fastTimer {
		what := fmt.Sprintf("ospfd says the same LSA again only after %s: a service address that comes, goes and comes within that time is announced late.", span(d))
		if e.Wants.Transit {
			what = fmt.Sprintf("ospfd says its own LSAs again only after %s: when its links change twice within that time, the nodes hear of the second change so late.", span(d))
		}
		e.add(Finding{
			Severity: Slow, Subject: "timers throttle lsa all", Daemon: vty.OSPF,
			Text: what + also, Lines: e.settable("timers throttle lsa all 0"),
		})
	}
	if d := e.State.LSAMinArrival; d > fastTimer {
		what := fmt.Sprintf("A change that arrives within %s of the one before is dropped, and comes again only 5 to 10 s later.", span(d))
		if e.Wants.Transit {
			what += fmt.Sprintf(" A second failover of one address within %s takes 5 to 10 s through %s; the first is as fast as elsewhere.", span(d), e.Name())
		}
		e.add(Finding{
			Severity: Slow, Subject: strings.TrimSuffix(e.minArrival(), " 0"), Daemon: vty.OSPF,
			Text: what + also, Lines: e.settable(e.minArrival()),
		})
	}
}

func (e *examination) redistribution() {
	router, _ := e.OSPF.Block("router ospf")
	if e.Wants.Local && e.Wants.Table != 0 && !e.quagga() {
		line := fmt.Sprintf("redistribute table %d", e.Wants.Table)
		if e.Zebra.Has(fmt.Sprintf("ip import-table %d", e.Wants.Table)) {
			e.add(Finding{
				Severity: Refuse, Subject: "table in use", Daemon: vty.Zebra,
				Text:  fmt.Sprintf("zebra imports kernel table %d, the number srrd's routes carry: both would be announced, and withdrawn, together.", e.Wants.Table),
				Steps: []string{"give srrd another table number in srrd.yaml"},
			})
		}
		if !router.Has(line) {
			e.add(Finding{
				Severity: Advice, Subject: line, Daemon: vty.OSPF,
				Text:  "ospfd does not announce the addresses of way local yet. srrd sets this line itself when it starts; in the saved configuration it is there from the beginning.",
				Lines: ospf(line),
			})
		}
	}
	if !e.Wants.Redistribute {
		return
	}
	switch rest, ok := router.Value("redistribute connected"); {
	case !ok:
		e.add(Finding{
			Severity: Advice, Subject: "redistribute connected", Daemon: vty.OSPF,
			Text: "ospfd does not announce the addresses of way alias yet. srrd sets the line, a route-map and its prefix-list itself when it starts.",
		})
	case !strings.Contains(rest, "route-map"):
		e.add(Finding{
			Severity: Advice, Subject: "redistribute connected", Daemon: vty.OSPF,
			Text: "Every address of this node is announced, not only those of services; a route-map would choose.",
		})
	}
}

// detection looks at BFD and at what OSPF itself does, per interface.
func (e *examination) detection() {
	if e.quagga() {
		e.quaggaDetection()
	}
	for _, i := range e.active() {
		block, _ := e.OSPF.Block("interface " + i.Name)
		e.bfd(i, block)
		e.retransmit(i, block)
	}
}

func (e *examination) bfd(i Interface, block vty.Block) {
	if e.Missing[vty.BFD] != "" {
		return // said already
	}
	f := Finding{Severity: Slow, Subject: "BFD on " + i.Name, Daemon: vty.OSPF}
	profile, hasProfile := block.Value("ip ospf bfd profile")
	detection := e.detectionTime(i, block, profile, hasProfile)
	switch {
	case !block.Has("ip ospf bfd"):
		dead := "the dead interval, 40 s by default"
		if i.Dead > 0 {
			dead = fmt.Sprintf("the dead interval of %d s", i.Dead)
		}
		f.Text = fmt.Sprintf("There is no BFD with the neighbours on %s: one that dies silently, or whose ospfd is killed, is missed only after %s. The neighbours need it too.", i.Name, dead)
	case detection > fastBFD:
		f.Text = fmt.Sprintf("BFD on %s takes %s to see that a neighbour is gone.", i.Name, span(detection))
	default:
		return
	}
	if e.noProfiles() {
		f.Lines = append(e.peerLines(i), Lines{Class: vty.ClassOSPF, Node: []string{"interface " + i.Name}, Set: []string{"ip ospf bfd"}})
		e.add(f)
		return
	}
	if current, ok := e.BFD.Block("bfd"); !ok || profileTime(current, Profile) > fastBFD {
		f.Lines = append(f.Lines, Lines{Class: vty.ClassBFD, Node: []string{"bfd", "profile " + Profile},
			Set: []string{"detect-multiplier 3", "transmit-interval 50", "receive-interval 50"}})
	}
	f.Lines = append(f.Lines, Lines{Class: vty.ClassOSPF, Node: []string{"interface " + i.Name},
		Set: []string{"ip ospf bfd", "ip ospf bfd profile " + Profile}})
	e.add(f)
}

// noProfiles: before FRR 8.0 ospfd cannot name a BFD profile (7.5.1: unknown
// command, while bfdd has them). The timers of a session are those of bfdd's own
// "peer", if it has one.
func (f *Facts) noProfiles() bool { return f.Release.FRR() && !f.Release.AtLeast(8, 0) }

// peerLines are the peers an interface's neighbours lack in bfdd.
func (e *examination) peerLines(i Interface) (all []Lines) {
	for _, n := range e.neighborsOn(i) {
		if t, ok := e.peerTime(n); !ok || t > fastBFD {
			all = append(all, Lines{Class: vty.ClassBFD, Node: []string{"bfd", fmt.Sprintf("peer %s interface %s", n.Address, i.Name)},
				Set: []string{"detect-multiplier 3", "transmit-interval 50", "receive-interval 50"}})
		}
	}
	return all
}

func (f *Facts) neighborsOn(i Interface) (all []vty.Neighbor) {
	for _, n := range f.Neighbors {
		if n.Interface == i.Name && n.Address.IsValid() {
			all = append(all, n)
		}
	}
	return all
}

// peerTime is the detection time of bfdd's own peer for a neighbour.
func (f *Facts) peerTime(n vty.Neighbor) (time.Duration, bool) {
	bfd, _ := f.BFD.Block("bfd")
	for _, peer := range bfd.All("peer " + n.Address.String()) {
		return timeOf(peer), true
	}
	return 0, false
}

// detectionTime is multiplier times interval of an interface's sessions, as
// far as this side decides.
func (f *Facts) detectionTime(i Interface, block vty.Block, profile string, hasProfile bool) time.Duration {
	if f.noProfiles() {
		slowest, all := time.Duration(0), len(f.neighborsOn(i)) > 0
		for _, n := range f.neighborsOn(i) {
			t, ok := f.peerTime(n)
			slowest, all = max(slowest, t), all && ok
		}
		if all {
			return slowest
		}
	}
	if hasProfile {
		bfd, _ := f.BFD.Block("bfd")
		return profileTime(bfd, profile)
	}
	if v, ok := block.Value("ip ospf bfd"); ok { // `ip ospf bfd MULT RX TX`
		if w := strings.Fields(v); len(w) == 3 {
			if mult, err := strconv.Atoi(w[0]); err == nil {
				return time.Duration(mult) * max(milliseconds(w[1]), milliseconds(w[2]))
			}
		}
	}
	return defaultBFDMult * defaultBFDMillis * time.Millisecond
}

func profileTime(bfd vty.Block, name string) time.Duration {
	profile, _ := bfd.Block("profile " + name)
	return timeOf(profile)
}

// timeOf is the detection time of a profile or peer.
func timeOf(b vty.Block) time.Duration {
	value := func(words string, otherwise int) int {
		if v, ok := b.Value(words); ok {
			if n, err := strconv.Atoi(v); err == nil {
				return n
			}
		}
		return otherwise
	}
	interval := max(value("transmit-interval", defaultBFDMillis), value("receive-interval", defaultBFDMillis))
	return time.Duration(value("detect-multiplier", defaultBFDMult)*interval) * time.Millisecond
}

func (e *examination) retransmit(i Interface, block vty.Block) {
	seconds := retransmitInterval(block)
	least := 1
	if e.quagga() {
		least = 3 // ospfd/ospf_vty.c: <3-65535>
	}
	if seconds <= least {
		return
	}
	e.add(Finding{
		Severity: Advice, Subject: "retransmit-interval on " + i.Name, Daemon: vty.OSPF,
		Text: fmt.Sprintf("An LSA that is lost or dropped on %s is sent again after %d to %d s. The line counts for neighbours that come up after it was set.",
			i.Name, seconds, 2*seconds),
		Lines: []Lines{{Class: vty.ClassOSPF, Node: []string{"interface " + i.Name}, Set: []string{fmt.Sprintf("ip ospf retransmit-interval %d", least)}}},
	})
}

func (e *examination) workQueue() {
	if e.Missing[vty.Zebra] != "" || e.quagga() { // Quagga's is 10 ms, for good
		return
	}
	hold := e.hold()
	if hold == 0 {
		return
	}
	text := fmt.Sprintf("zebra collects route changes for %s before it acts: every zebra on the way costs a failover so much.", span(hold))
	if !e.Wants.Transit {
		text += " Routers between the nodes should have this line too."
	}
	e.add(Finding{
		Severity: Slow, Subject: "zebra work-queue", Daemon: vty.Zebra,
		Text:  text,
		Lines: []Lines{{Class: vty.ClassZebra, Set: []string{"zebra work-queue 0"}}},
	})
}

func milliseconds(s string) time.Duration {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// span writes a duration as people do: "300 ms", "1.5 s".
func span(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + " s"
}
