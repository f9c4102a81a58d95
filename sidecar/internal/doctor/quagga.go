package doctor

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/srrd/srrd/vty"
)

// quagga: what is examined is Quagga. False too where ospfd cannot be asked.
func (f *Facts) quagga() bool { return f.Release.Suite == "Quagga" }

// quaggaTimers are what Quagga shows in its configuration alone: `timers
// throttle lsa all` and `timers lsa arrival`, since 1.0 (ospfd/ospf_vty.c).
func (f *Facts) quaggaTimers() {
	router, _ := f.OSPF.Block("router ospf")
	for words, to := range map[string]*time.Duration{"timers throttle lsa all": &f.State.LSAInterval, "timers lsa arrival": &f.State.LSAMinArrival} {
		if v, ok := router.Value(words); ok {
			if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
				*to = time.Duration(n) * time.Millisecond
			}
		}
	}
}

// minArrival is the line that has an LSA taken at once: FRR renamed Quagga's, and
// before 1.0 there was none.
func (f *Facts) minArrival() string {
	if f.quagga() {
		return "timers lsa arrival 0"
	}
	return "timers lsa min-arrival 0"
}

// unsettable: these timers of RFC 2328 are constants in Quagga before 1.0.
func (f *Facts) unsettable() bool { return f.quagga() && !f.Release.AtLeast(1, 0) }

// settable is a line inside `router ospf`, where the release has it.
func (e *examination) settable(line string) []Lines {
	if e.unsettable() {
		return nil
	}
	return ospf(line)
}

func (e *examination) quaggaRelease() {
	e.add(Finding{Severity: Advice, Subject: "routing suite", Daemon: vty.OSPF,
		Text: fmt.Sprintf("%s: srrd knows FRRouting best. On Quagga only way alias works, and reachability is computed from the link-state database.", e.Release)})
	if !e.Release.AtLeast(0, 99) || e.Release.Version.Compare(vty.Version{Major: 0, Minor: 99, Patch: 22}) < 0 {
		e.add(Finding{Severity: Refuse, Subject: "release", Daemon: vty.OSPF,
			Text: fmt.Sprintf("%s is older than 0.99.22, the oldest Quagga srrd knows.", e.Release)})
	}
	if e.Wants.AS && !e.Release.AtLeast(1, 1) {
		// ospf_opaque_lsa_flush_schedule reads the area of an LSA that has none; seen
		// on 0.99.22.4, read in the others.
		e.add(Finding{Severity: Refuse, Subject: "scope as on Quagga before 1.1", Daemon: vty.OSPF,
			Text:  fmt.Sprintf("The ospfd of %s dies of the first LSA of type 11 that is deleted at its OSPF-API, which srrd does all the time with those of scope as.", e.Release),
			Steps: []string{"on all nodes, which then have to be in one area: scope: {area: A.B.C.D} in srrd's configuration", "or Quagga 1.1 or newer, or FRR"}})
	}
	if e.unsettable() {
		// OPAQUE_BLOCK_TYPE_*, taken out in 1.0 (ospfd/ospf_opaque.c); seen on 0.99.22.4.
		e.add(Finding{Severity: Advice, Subject: "restarts of ospfd before Quagga 1.0", Daemon: vty.OSPF,
			Text: fmt.Sprintf("When the ospfd of %s is started again it can stay at \"OpaqueCapability flag is enabled (origination blocked)\" in `show ip ospf`: "+
				"it floods nothing of what srrd says then, and the others take this node's srrd for gone.", e.Release),
			Steps: []string{"Quagga 1.1 or newer, or FRR"}})
	}
	if e.Wants.Local {
		e.add(Finding{Severity: Refuse, Subject: "way local on Quagga", Daemon: vty.OSPF,
			Text:  "Quagga's ospfd cannot redistribute a table, so a service address of way local would be announced by nobody. Nothing is set for it.",
			Steps: []string{"in the service's configuration: address: alias, and announce: network with its area, or announce: redistribute"}})
	}
}

// quaggaDetection: without BFD, OSPF's own fast hellos are the quickest there are
// (ip ospf dead-interval minimal, since 0.99.6), and count for both sides.
func (e *examination) quaggaDetection() {
	for _, i := range e.active() {
		if i.Dead <= 1 && i.Dead > 0 {
			continue
		}
		dead := "the dead interval, 40 s by default"
		if i.Dead > 0 {
			dead = fmt.Sprintf("the dead interval of %d s", i.Dead)
		}
		e.add(Finding{Severity: Slow, Subject: "dead interval on " + i.Name, Daemon: vty.OSPF,
			Text: fmt.Sprintf("Quagga has no BFD: a neighbour on %s that dies silently is missed only after %s. One second is the least OSPF can be told. "+
				"All routers of the link need the line, or lose each other.", i.Name, dead),
			Steps: []string{fmt.Sprintf("vtysh -c 'configure terminal' -c 'interface %s' -c 'ip ospf dead-interval minimal hello-multiplier 5', on all routers of the link", i.Name)}})
	}
}

// ParseInterfacesText reads `show ip ospf interface` of Quagga
// (show_ip_ospf_interface_sub in ospfd/ospf_vty.c), sorted by name: a line "eth0
// is up" for each interface, indented lines below it. Several addresses of one
// interface are one entry, the last.
func ParseInterfacesText(text string) ([]Interface, error) {
	const what = "show ip ospf interface"
	var all []Interface
	name, broadcast, designated := "", false, false
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		w := strings.Fields(trimmed)
		if len(w) == 0 {
			continue
		}
		if line[0] != ' ' && line[0] != '\t' {
			if len(w) < 3 || w[1] != "is" {
				return nil, fmt.Errorf("%s: %q begins no interface", what, trimmed)
			}
			name = w[0]
			continue
		}
		if name == "" {
			return nil, fmt.Errorf("%s: %q is of no interface", what, trimmed)
		}
		if _, area, ok := strings.Cut(trimmed, ", Area "); ok && strings.HasPrefix(trimmed, "Internet Address ") {
			id, _, _ := strings.Cut(area, " ") // "0.0.0.1 [Stub]" in a stub area
			a, err := netip.ParseAddr(id)
			if err != nil {
				return nil, fmt.Errorf("%s: area of %s: %w", what, name, err)
			}
			all = slices.DeleteFunc(all, func(i Interface) bool { return i.Name == name })
			all = append(all, Interface{Name: name, Area: a})
			broadcast, designated = false, false
			continue
		}
		if len(all) == 0 || all[len(all)-1].Name != name {
			continue // OSPF does not run there
		}
		i := &all[len(all)-1]
		switch {
		case strings.HasPrefix(trimmed, "Router ID "):
			broadcast = strings.Contains(trimmed, "Network Type BROADCAST,")
		case strings.HasPrefix(trimmed, "Transmit Delay "):
			designated = strings.Contains(trimmed, "State DR,")
		case strings.HasPrefix(trimmed, "Timer intervals configured,"):
			_, dead, _ := strings.Cut(trimmed, " Dead ")
			digits := len(dead) - len(strings.TrimLeft(dead, "0123456789"))
			i.Dead, _ = strconv.Atoi(dead[:digits]) // 0: not known
		case strings.HasPrefix(trimmed, "No Hellos (Passive interface)"):
			i.Passive = true
		case strings.HasPrefix(trimmed, "Neighbor Count is "):
			i.Designated = broadcast && designated && !strings.HasPrefix(trimmed, "Neighbor Count is 0,")
		}
	}
	slices.SortFunc(all, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}
