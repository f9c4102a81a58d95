package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/srrd/srrd/vty"
)

// Examine lists what is not as srrd needs it: severest first, and then in the
// order of the checks below. It is pure.
func Examine(f Facts) []Finding {
	e := &examination{Facts: f}
	e.daemons()
	if f.Wants.Transit {
		e.transit()
		return e.sorted()
	}
	if e.Missing[vty.OSPF] == "" {
		e.release()
		e.instance()
		if e.State.Running {
			e.routerID()
			e.opaque()
			e.areas()
			e.links()
			e.timers()
			e.redistribution()
			e.neighbors()
			e.designated()
			e.detection()
			e.authentication()
		}
	}
	e.api()
	e.workQueue()
	e.sysctls()
	return e.sorted()
}

// transit is what of it concerns a router that only lies between the nodes: it
// must pass opaque LSAs on, and pass all changes on at once.
func (e *examination) transit() {
	if e.Missing[vty.OSPF] == "" {
		e.instance()
		if e.State.Running {
			e.opaque()
			e.timers()
			e.neighbors()
			e.detection()
			e.authentication()
		}
	}
	e.workQueue()
	e.sysctls()
}

func (e *examination) sorted() []Finding {
	slices.SortStableFunc(e.found, func(a, b Finding) int { return int(a.Severity) - int(b.Severity) })
	return e.found
}

type examination struct {
	Facts
	found []Finding
}

func (e *examination) add(f Finding) { e.found = append(e.found, f) }

// ospf is lines inside `router ospf`.
func ospf(set ...string) []Lines {
	return []Lines{{Class: vty.ClassOSPF, Node: []string{"router ospf"}, Set: set}}
}

// Steps that several findings share.
const (
	restart   = "systemctl restart frr"
	elsewhere = "correct srrd's configuration, or have OSPF run there with a `network` statement"
	asWhom    = "run srrd as root, or as user frr with group frrvty: *.vty sockets belong to group frrvty, zserv.api to user frr alone"
)

func (e *examination) daemons() {
	for _, d := range []vty.Daemon{vty.Zebra, vty.OSPF, vty.BFD} {
		why := e.Missing[d]
		if why == "" {
			continue
		}
		f := Finding{Severity: Refuse, Subject: string(d) + " does not answer", Daemon: d, Text: why + "."}
		switch d {
		case vty.BFD:
			if e.quagga() {
				continue // there is none: quaggaDetection
			}
			f.Severity = Slow
			f.Text += " Without BFD a node that dies silently is missed only after the dead interval: 40 s by default, instead of 150 ms."
		default:
			if e.Wants.Transit {
				f.Text += " What it costs the nodes cannot be said."
			} else {
				f.Text += " srrd cannot work without it."
			}
		}
		switch {
		case strings.Contains(why, "permission denied"):
			f.Steps = []string{asWhom}
		case strings.Contains(why, "login refused"):
			f.Steps = []string{"set frr.password, and frr.enable_password if there is one, in srrd.yaml"}
		case e.Elsewhere:
			f.Steps = []string{"run `srrd doctor --transit` on that router itself, or let its daemons listen: options -A ADDRESS in /etc/frr/daemons, and a `password` line"}
		default:
			f.Steps = []string{fmt.Sprintf("in /etc/frr/daemons: %s=yes", d), restart}
		}
		e.add(f)
	}
	for _, s := range e.Sockets {
		if s.Err == "" || e.Missing[s.Daemon] != "" {
			continue
		}
		e.add(Finding{
			Severity: Refuse, Subject: "socket " + s.Path, Daemon: s.Daemon,
			Text:  strings.TrimSpace(fmt.Sprintf("%s cannot be used: %s. %s", s.Path, s.Err, s.Mode)),
			Steps: []string{asWhom},
		})
	}
}

func (e *examination) release() {
	r := e.Release
	switch {
	case !r.FRR():
		e.quaggaRelease()
	case !r.AtLeast(7, 5):
		e.add(Finding{Severity: Refuse, Subject: "release", Daemon: vty.OSPF,
			Text: fmt.Sprintf("%s is older than 7.5, the oldest whose OSPF-API srrd speaks.", r)})
	case !r.AtLeast(8, 3):
		e.add(Finding{Severity: Advice, Subject: "release", Daemon: vty.OSPF,
			Text: fmt.Sprintf("%s tells nobody which routers are reachable: srrd computes it, and hears of a lost node somewhat later. "+
				"Two nodes of one LAN that come back can stand in Loading for a minute: where it has a router, `ip ospf priority 0` on the nodes spares them that. "+
				"8.4 or newer is better.", r)})
	case r.AtLeast(10, 8):
		e.add(Finding{Severity: Advice, Subject: "release", Daemon: vty.OSPF,
			Text: fmt.Sprintf("%s is newer than 10.7, the newest srrd was tried with.", r)})
	}
	if r.FRR() && r.AtLeast(7, 5) && !r.AtLeast(8, 4) && e.Wants.AS {
		e.add(Finding{Severity: Advice, Subject: "scope as and the death of srrd", Daemon: vty.OSPF,
			Text: fmt.Sprintf("When srrd is killed, the ospfd of %s leaves its LSAs of scope as where they are, for an hour: the others take its services "+
				"for running until srrd is back. Those of an area are withdrawn at once.", r),
			Steps: []string{"keep srrd under systemd, which starts it again at once", "or, where all nodes are in one area: scope: {area: A.B.C.D} in srrd's configuration"}})
	}
}

func (e *examination) instance() {
	if e.State.Running {
		return
	}
	e.add(Finding{
		Severity: Refuse, Subject: "no router ospf", Daemon: vty.OSPF,
		Text: "ospfd runs without `router ospf`: there is no OSPF to tell anybody anything. The network and its area are for you to say.",
		Steps: []string{
			"vtysh -c 'configure terminal' -c 'router ospf' -c 'ospf router-id A.B.C.D' -c 'network LAN/LEN area AREA'",
		},
	})
}

func (e *examination) routerID() {
	if _, explicit := e.OSPF.ExplicitRouterID(); explicit {
		return
	}
	f := Finding{
		Severity: Refuse, Subject: "no explicit router-id", Daemon: vty.OSPF,
		Text: fmt.Sprintf("ospfd took its router-id %s from the addresses of this node. A service address would be taken the same way, "+
			"at once (FRR 10) or at its next start: adjacencies are rebuilt, and two nodes end up with one router-id.", e.State.RouterID),
	}
	if id := e.State.RouterID; !id.IsValid() || id.IsUnspecified() {
		f.Text = "ospfd has no router-id: there is no address yet that it could take one from. It would take the first it gets, " +
			"and a service address as any other."
		f.Steps = []string{"vtysh -c 'configure terminal' -c 'router ospf' -c 'ospf router-id A.B.C.D', with one that no other router has"}
	} else if slices.Contains(e.Wants.Addresses, id) {
		f.Text += " It is a service address already."
		f.Steps = []string{"vtysh -c 'configure terminal' -c 'router ospf' -c 'ospf router-id A.B.C.D', with one that no other router has; then `clear ip ospf process`"}
	} else {
		f.Lines = ospf("ospf router-id " + id.String())
	}
	e.add(f)
}

func (e *examination) opaque() {
	if e.State.OpaqueCapable {
		return
	}
	text := "Without `capability opaque` what srrd says stays in this node's database and is never flooded. Setting it rebuilds the adjacencies once."
	if e.Wants.Transit {
		text = "Without `capability opaque` this router passes nothing on that srrd says: nodes behind it are alone. Setting it rebuilds the adjacencies once."
	}
	e.add(Finding{
		Severity: Refuse, Subject: "opaque LSAs are off", Daemon: vty.OSPF,
		Text:  text,
		Lines: ospf("capability opaque"),
	})
}

func (e *examination) areas() {
	for _, a := range e.State.Areas {
		kind := e.kindOf(a)
		if kind == vty.AreaNormal {
			continue
		}
		if e.Wants.AS {
			e.add(Finding{
				Severity: Refuse, Subject: fmt.Sprintf("scope as in %s area %s", kind, a.ID), Daemon: vty.OSPF,
				Text:  fmt.Sprintf("Area %s is %s: LSAs of type 11 are not flooded into it, so nodes there and here do not hear of each other's services of scope as.", a.ID, kind),
				Steps: []string{fmt.Sprintf("in srrd's configuration: scope: {area: %s}", a.ID)},
			})
		}
		if e.Wants.Local || e.Wants.Redistribute {
			e.add(Finding{
				Severity: Refuse, Subject: fmt.Sprintf("redistributed addresses in %s area %s", kind, a.ID), Daemon: vty.OSPF,
				Text: fmt.Sprintf("Area %s is %s: the type-5 LSA of a service address of way local, or of an alias with announce redistribute, "+
					"is not flooded into it.", a.ID, kind),
				Steps: []string{fmt.Sprintf("in the service's configuration: address: alias, announce: network, area: %s", a.ID)},
			})
		}
	}
	for _, area := range e.Wants.Areas {
		if !e.attached(area) {
			e.add(Finding{
				Severity: Refuse, Subject: fmt.Sprintf("scope area %s", area), Daemon: vty.OSPF,
				Text:  fmt.Sprintf("This node has no interface in area %s, so nothing can be said there. It is in: %s.", area, e.areaList()),
				Steps: []string{elsewhere},
			})
		}
	}
	for _, area := range e.Wants.Networks {
		if !e.attached(area) {
			e.add(Finding{
				Severity: Refuse, Subject: fmt.Sprintf("network statement in area %s", area), Daemon: vty.OSPF,
				Text:  fmt.Sprintf("A service address is to be announced in area %s, where this node has no interface: nobody would hear of it. It is in: %s.", area, e.areaList()),
				Steps: []string{elsewhere},
			})
		}
	}
}

func (e *examination) areaList() string {
	var ids []string
	for _, a := range e.State.Areas {
		ids = append(ids, a.ID.String())
	}
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}

func (e *examination) links() {
	for _, name := range e.Wants.Links {
		i, ok := e.interfaceNamed(name)
		switch {
		case !ok:
			e.add(Finding{Severity: Refuse, Subject: "scope link " + name, Daemon: vty.OSPF,
				Text:  fmt.Sprintf("OSPF does not run on %s, so a service of scope link %s is heard by nobody.", name, name),
				Steps: []string{elsewhere}})
		case i.Passive:
			e.add(Finding{Severity: Refuse, Subject: "scope link " + name, Daemon: vty.OSPF,
				Text: fmt.Sprintf("%s is passive: it has no neighbours, so a service of scope link %s is heard by nobody.", name, name),
				// For a person: somebody made it passive, perhaps for what is behind it.
				Steps: []string{fmt.Sprintf("vtysh -c 'configure terminal' -c 'interface %s' -c 'no ip ospf passive'", name)}})
		}
	}
}

func (e *examination) neighbors() {
	full := slices.ContainsFunc(e.Neighbors, vty.Neighbor.Full)
	active := e.active()
	switch {
	case full:
	case len(active) == 0 && len(e.Neighbors) == 0 && e.unnamed():
		e.add(Finding{Severity: Advice, Subject: "no neighbour", Daemon: vty.OSPF,
			Text: "No router answers. Until one is Full srrd waits, and after alone_after takes itself for alone."})
	case len(active) == 0:
		e.add(Finding{Severity: Advice, Subject: "no OSPF interface", Daemon: vty.OSPF,
			Text: "OSPF runs on no interface where a neighbour could be (passive ones and lo do not count): srrd is alone here."})
	case len(e.Neighbors) == 0 && e.Wants.Transit:
		e.add(Finding{Severity: Advice, Subject: "no neighbour", Daemon: vty.OSPF,
			Text: fmt.Sprintf("No router answers on %s: nothing reaches a node through this router.", names(active))})
	case len(e.Neighbors) == 0:
		e.add(Finding{Severity: Advice, Subject: "no neighbour", Daemon: vty.OSPF,
			Text: fmt.Sprintf("No router answers on %s. Until one is Full srrd waits, and after alone_after takes itself for alone.", names(active))})
	default:
		e.add(Finding{Severity: Advice, Subject: "no full neighbour", Daemon: vty.OSPF,
			Text: fmt.Sprintf("No neighbour is Full: %s. Stuck in ExStart is a different MTU, in Init one that does not hear this node.", standings(e.Neighbors))})
	}
}

// unnamed: ospfd has interfaces that nobody may ask it for (vty.Safe).
func (e *examination) unnamed() bool {
	return len(e.Interfaces) == 0 && slices.ContainsFunc(e.State.Areas, func(a vty.OSPFArea) bool { return a.ActiveInterfaces > 0 })
}

func standings(all []vty.Neighbor) string {
	var s []string
	for _, n := range all {
		s = append(s, fmt.Sprintf("%s on %s is %s", n.RouterID, n.Interface, n.State))
	}
	return strings.Join(s, ", ")
}

func names(all []Interface) string {
	var s []string
	for _, i := range all {
		s = append(s, i.Name)
	}
	return strings.Join(s, ", ")
}

func (e *examination) api() {
	if e.Missing[vty.OSPF] != "" || e.API.Err != "" {
		return
	}
	if !e.API.Listening {
		options := `"  -A 127.0.0.1 -a"`
		if e.Release.AtLeast(10, 1) {
			options = `"  -A 127.0.0.1 -a -l 127.0.0.1"`
		}
		f := Finding{
			Severity: Refuse, Subject: "OSPF-API is off", Daemon: vty.OSPF,
			Text:  fmt.Sprintf("ospfd does not listen on port %d: it was started without -a, and can tell srrd nothing.", e.API.Port),
			Steps: []string{"in /etc/frr/daemons: ospfd_options=" + options, restart},
		}
		if e.quagga() {
			f.Text += " Quagga has it if it was built with --enable-opaque-lsa and --enable-ospfapi, as it is by default."
			f.Steps = []string{`give ospfd -a: OSPFD_OPTS="-A 127.0.0.1 -a" in /etc/sysconfig/quagga, or where your system keeps ospfd's options`, "restart ospfd"}
		}
		e.add(f)
		return
	}
	if !e.API.Open() {
		return
	}
	f := Finding{
		Severity: Advice, Subject: "OSPF-API is open", Daemon: vty.OSPF,
		Text: fmt.Sprintf("ospfd listens on %s port %d, without any authentication: whoever reaches it can flood LSAs in this router's name, or stop ospfd.",
			e.API.Address, e.API.Port),
	}
	if e.Release.AtLeast(10, 1) {
		f.Steps = []string{`in /etc/frr/daemons: ospfd_options="  -A 127.0.0.1 -a -l 127.0.0.1"`, restart}
	} else {
		f.Text += " This release cannot be told otherwise; the firewall can."
		f.Steps = []string{
			"nft add table inet srrd",
			"nft 'add chain inet srrd input { type filter hook input priority 0; }'",
			fmt.Sprintf("nft add rule inet srrd input tcp dport %d iif != lo drop", e.API.Port),
		}
	}
	e.add(f)
}

// designated: a router should be what dies least often. No line to apply: on a
// LAN without another router priority 0 everywhere would leave it without one.
func (e *examination) designated() {
	for _, i := range e.Interfaces {
		if !i.Designated {
			continue
		}
		e.add(Finding{
			Severity: Advice, Subject: "designated router on " + i.Name, Daemon: vty.OSPF,
			Text: fmt.Sprintf("This node is the designated router of the network on %s. When it dies the others there recompute twice and lose each other "+
				"for a moment, and two of them may take a service over. Where the network has a router, let that one be it.", i.Name),
			Steps: []string{fmt.Sprintf("vtysh -c 'configure terminal' -c 'interface %s' -c 'ip ospf priority 0', if a router there keeps a priority above 0", i.Name)},
		})
	}
}

// authentication looks at who may speak OSPF here. What srrd signs is only what
// its LSAs say: that they are there, and every route, is OSPF's own.
func (e *examination) authentication() {
	router, _ := e.OSPF.Block("router ospf")
	var open []Interface
	for _, i := range e.active() {
		block, _ := e.OSPF.Block("interface " + i.Name)
		area := router.Has(fmt.Sprintf("area %s authentication message-digest", i.Area)) ||
			i.Area == netip.IPv4Unspecified() && router.Has("area 0 authentication message-digest")
		if !area && !block.Has("ip ospf authentication message-digest") && !block.Has("ip ospf authentication key-chain") {
			open = append(open, i)
		}
	}
	if len(open) > 0 {
		var steps []string
		for _, i := range open {
			steps = append(steps, fmt.Sprintf("vtysh -c 'configure terminal' -c 'interface %s' -c 'ip ospf message-digest-key 1 md5 SECRET' "+
				"-c 'ip ospf authentication message-digest'", i.Name))
		}
		e.add(Finding{
			Severity: Advice, Subject: "authentication of OSPF", Daemon: vty.OSPF,
			Text: fmt.Sprintf("OSPF takes packets from anybody on %s: whoever is on that link can speak as any router, announce a service address, "+
				"or withdraw it and what is flooded. All routers of a link change together, or lose each other meanwhile.", names(open)),
			Steps: steps,
		})
	}
	if !e.Wants.Signed && !e.Wants.Transit {
		e.add(Finding{
			Severity: Advice, Subject: "authentication of LSAs", Daemon: vty.OSPF,
			Text: "What srrd floods is not signed: any router of the network can claim a service, and be believed.",
			Steps: []string{"(umask 077; srrd key 1 >/etc/srrd/keys)",
				"the same file on every node, and in srrd.yaml: authentication: {keys: keys, required: no}; once all sign, required: yes"},
		})
	}
}

func (e *examination) sysctls() {
	if e.Sysctls["net.ipv4.ip_forward"] == "0" {
		text := "This node does not forward: in the moment after a service moved away, packets that still arrive here are lost instead of passed on."
		if e.Wants.Transit {
			text = "This router does not forward: nobody reaches a service through it."
		}
		e.add(Finding{
			Severity: Advice, Subject: "net.ipv4.ip_forward",
			Text:  text,
			Steps: []string{"sysctl -w net.ipv4.ip_forward=1", "vtysh -c 'configure terminal' -c 'ip forwarding': zebra sets it back otherwise"},
		})
	}
	// The kernel takes the greater of all and the interface's (ip-sysctl.rst).
	all := e.Sysctls["net.ipv4.conf.all.rp_filter"]
	var strict []string
	for name, value := range e.Sysctls {
		device, ok := strings.CutSuffix(strings.TrimPrefix(name, "net.ipv4.conf."), ".rp_filter")
		if ok && device != "all" && device != "default" && device != "lo" && all != "2" && (value == "1" || all == "1" && value == "0") {
			strict = append(strict, device)
		}
	}
	if len(strict) == 0 {
		return
	}
	slices.Sort(strict)
	e.add(Finding{
		Severity: Advice, Subject: "rp_filter",
		Text: fmt.Sprintf("Reverse path filtering is strict on %s: packets that come in by another way than answers would leave are dropped, which happens while routes move.",
			strings.Join(strict, ", ")),
		Steps: []string{"sysctl -w net.ipv4.conf.all.rp_filter=2"},
	})
}
