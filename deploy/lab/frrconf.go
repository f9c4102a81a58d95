package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"text/template"
)

// Vars is what templates in a topology can name, as {{.Dir}}.
type Vars struct {
	Lab, Host string
	RouterID  netip.Addr
	// Dir is the host's directory; the rest are in it.
	Dir         string
	RunDir      string // for sockets and pid files of anything but FRR
	StateDir    string // for state that outlives a restart of the daemon
	LogDir      string // one NAME.log for each daemon
	ServicesDir string // srrd's services.d
	SrrdConfig  string // srrd.yaml
	SrrdSocket  string // where the default configuration should put srrd.vty
	// VtyDir belongs to FRR's user; zebra.vty, ospfd.vty, bfdd.vty (mgmtd.vty).
	VtyDir    string
	ZservPath string // zebra's ZAPI socket
	OSPFAPI   string // ospfd's OSPF-API, host:port in the host's namespace
	// Srrd, Srrsh and Srrlab are absolute paths of Options.Binaries, "" if not given.
	Srrd, Srrsh, Srrlab string
	// TopologyDir is the directory of the topology file.
	TopologyDir string
	// Vars are Options.Vars.
	Vars map[string]string
}

// ospfAPIPort is ospfd's port for API clients (lib/libospf.h OSPF_API_SYNC_PORT,
// "ospfapi" in /etc/services).
const ospfAPIPort = 2607

// expand runs one template of the topology.
func (v *Vars) expand(what, text string) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	t, err := template.New(what).Option("missingkey=error").Parse(text)
	if err != nil {
		return "", fmt.Errorf("%s of %s: %w", what, v.Host, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, v); err != nil {
		return "", fmt.Errorf("%s of %s: %w", what, v.Host, err)
	}
	return b.String(), nil
}

// frrFiles returns the configuration of a host's FRR daemons, file name to
// text. Timers are what srrd doctor recommends, unless the host says default.
func (t *Topology) frrFiles(h *Host) map[string]string {
	return map[string]string{
		"zebra.conf": t.zebraConf(h),
		"bfdd.conf":  t.bfddConf(h),
		"ospfd.conf": t.ospfdConf(h),
	}
}

func (t *Topology) zebraConf(h *Host) string {
	var b strings.Builder
	fmt.Fprintf(&b, "hostname %s\n", h.Name)
	if h.tuned() {
		b.WriteString("zebra work-queue 0\n") // routes to the kernel at once, not after 10 ms
	}
	return b.String() + section(h.FRR.Zebra)
}

func (t *Topology) bfddConf(h *Host) string {
	var b strings.Builder
	fmt.Fprintf(&b, "hostname %s\nbfd\n", h.Name)
	for _, p := range t.BFD {
		ms := p.Interval.Milliseconds()
		fmt.Fprintf(&b, " profile %s\n  detect-multiplier %d\n  transmit-interval %d\n  receive-interval %d\n exit\n",
			p.Name, p.Multiplier, ms, ms)
	}
	b.WriteString("exit\n")
	return b.String() + section(h.FRR.Bfdd)
}

func (t *Topology) ospfdConf(h *Host) string {
	var ifaces, networks, passive strings.Builder
	area := ""
	for _, s := range t.Segments() {
		if s.Mode == "off" {
			continue
		}
		for _, m := range s.Members {
			if m.Host != h.Name {
				continue
			}
			or(&area, s.Area)
			fmt.Fprintf(&networks, " network %s area %s\n", m.Address.Masked(), s.Area)
			if s.Mode == "passive" {
				fmt.Fprintf(&passive, " passive-interface %s\n", m.Iface)
				continue
			}
			t.ospfIface(&ifaces, h, s, m)
		}
	}
	or(&area, "0.0.0.0")
	for _, p := range h.Loopback {
		fmt.Fprintf(&networks, " network %s area %s\n", p.Masked(), area)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "hostname %s\n%srouter ospf\n ospf router-id %s\n capability opaque\n", h.Name, ifaces.String(), h.RouterID)
	if h.tuned() {
		b.WriteString(" timers throttle spf 0 1 50\n timers throttle lsa all 0\n timers lsa min-arrival 0\n")
	}
	b.WriteString(passive.String() + networks.String())
	for _, line := range strings.Split(strings.TrimRight(h.FRR.RouterOSPF, "\n"), "\n") {
		if strings.TrimSpace(line) != "" {
			fmt.Fprintf(&b, " %s\n", strings.TrimSpace(line))
		}
	}
	b.WriteString("exit\n")
	return b.String() + section(h.FRR.Ospfd)
}

func (t *Topology) ospfIface(b *strings.Builder, h *Host, s *Segment, m Member) {
	fmt.Fprintf(b, "interface %s\n", m.Iface)
	if s.LAN {
		b.WriteString(" ip ospf network broadcast\n")
		if m.Priority != nil {
			fmt.Fprintf(b, " ip ospf priority %d\n", *m.Priority)
		}
	} else {
		b.WriteString(" ip ospf network point-to-point\n")
	}
	fmt.Fprintf(b, " ip ospf hello-interval %d\n ip ospf dead-interval %d\n", s.Hello, s.Dead)
	if h.tuned() {
		b.WriteString(" ip ospf retransmit-interval 1\n") // for neighbours made after it: so in the file
	}
	if m.Cost > 0 {
		fmt.Fprintf(b, " ip ospf cost %d\n", m.Cost)
	} else if s.Cost > 0 {
		fmt.Fprintf(b, " ip ospf cost %d\n", s.Cost)
	}
	if p := t.bfd(s, h); p != "" {
		fmt.Fprintf(b, " ip ospf bfd\n ip ospf bfd profile %s\n", p)
	}
	b.WriteString("exit\n")
}

// section ends a text with exactly one newline, and keeps an empty one empty.
func section(text string) string {
	if text = strings.TrimRight(text, "\n \t"); text == "" {
		return ""
	}
	return text + "\n"
}
