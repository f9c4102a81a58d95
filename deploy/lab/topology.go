package lab

import (
	"net/netip"
	"time"
)

// Topology is a network as the file describes it, checked and with all
// defaults filled in. A program may change it between Load and Up; Validate
// checks it again.
type Topology struct {
	// Name names the lab unless Options.Name does. Lower-case letters, digits
	// and dashes.
	Name string `yaml:"name"`
	// Defaults holds what hosts and segments have where they do not say.
	Defaults Defaults `yaml:"defaults"`
	// BFD holds the profiles; "fast" (50 ms x 3) exists unless redefined.
	BFD []BFDProfile `yaml:"bfd"`
	// Routers run FRR and forward; Hosts run FRR where they have a router_id.
	// The two differ in nothing else.
	Routers []Host `yaml:"routers"`
	Hosts   []Host `yaml:"hosts"`
	// Links join exactly two members, LANs two or more.
	Links []Segment `yaml:"links"`
	LANs  []Segment `yaml:"lans"`

	dir string         // of the file, for relative paths
	src string         // name of the file, for messages
	pos map[string]Pos // path of a value -> its place in the file
}

// Pos is a place in a topology file, counted from 1. The zero Pos means "not
// from a file".
type Pos struct{ Line, Col int }

// Defaults are the values that hosts and segments take where they are silent.
type Defaults struct {
	FRR  FRRHost     `yaml:"frr"`
	Srrd *SrrdHost   `yaml:"srrd"`
	OSPF OSPFSegment `yaml:"ospf"`
}

// Host is a router, a cluster node or a plain client.
type Host struct {
	Name string `yaml:"-" lab:"key"`
	// RouterID makes the host run FRR. It is always explicit.
	RouterID netip.Addr `yaml:"router_id"`
	// Loopback holds addresses for lo, announced by OSPF in the area
	// of the host's first segment.
	Loopback []netip.Prefix `yaml:"loopback"`
	// Gateway is the default route of a plain host.
	Gateway netip.Addr `yaml:"gateway"`
	FRR     *FRRHost   `yaml:"frr"`
	// Srrd makes the host run srrd (if Options.Binaries has one).
	Srrd *SrrdHost `yaml:"srrd"`
	// Daemons are further processes of the host, started after FRR, in order.
	Daemons []Daemon `yaml:"daemons"`
	// Files are written below the host's directory before anything starts;
	// the key is the relative path, the value a template (see [Vars]).
	Files map[string]string `yaml:"files"`
}

// RunsFRR reports whether the host runs FRR's daemons.
func (h *Host) RunsFRR() bool { return h.RouterID.IsValid() }

// FRRHost says how FRR is set up on a host.
type FRRHost struct {
	// Version is what the host runs: "10.3", "8.4" for any 8.4.x, a suite of
	// Debian ("sid"), or a directory of daemons; default Options.FRR. What is not
	// the machine's own is brought by deploy/install/frr-root.
	Version string `yaml:"version"`
	// Tune is "yes" (as srrd doctor recommends) or "default" (FRR's own
	// timers, for showing what they cost).
	Tune string `yaml:"tune"`
	// BFD is a profile's name or "off".
	BFD string `yaml:"bfd"`
	// Zebra, Bfdd and Ospfd are lines appended to that daemon's file,
	// RouterOSPF lines put inside "router ospf". Templates.
	Zebra      string `yaml:"zebra"`
	Bfdd       string `yaml:"bfdd"`
	Ospfd      string `yaml:"ospfd"`
	RouterOSPF string `yaml:"router_ospf"`
}

// SrrdHost says how srrd is set up on a host. All texts are templates.
type SrrdHost struct {
	// Config is the text of srrd.yaml, ConfigFile a file that holds it
	// (relative to the topology). One of the two, or both in Defaults.
	Config     string `yaml:"config"`
	ConfigFile string `yaml:"config_file"`
	// Services are the files of services.d: name without .yaml -> text.
	Services map[string]string `yaml:"services"`
	// Files are further files, relative to the host's directory.
	Files map[string]string `yaml:"files"`
	// Args replaces the arguments; default: --config {{.SrrdConfig}}.
	Args []string `yaml:"args"`
	// Env is added to the environment.
	Env map[string]string `yaml:"env"`
	// Ready is a path (template) whose existence tells that srrd is up, for
	// instance {{.SrrdSocket}}. Up and Start remove a stale one and wait for it.
	Ready string `yaml:"ready"`
}

// Daemon is any further process of a host.
type Daemon struct {
	Name string `yaml:"-" lab:"key"`
	// Command is the argument vector; each word is a template.
	Command []string          `yaml:"command"`
	Env     map[string]string `yaml:"env"`
	// Ready, if not empty, is a path (template) whose existence tells that the
	// daemon is up; Up and Start wait for it.
	Ready string `yaml:"ready"`
}

// BFDProfile is a set of BFD timers.
type BFDProfile struct {
	Name string `yaml:"-" lab:"key"`
	// Interval is both the transmit and the receive interval, 10 ms to 60 s in
	// whole milliseconds (bfdd's own limits).
	Interval   time.Duration `yaml:"interval"`
	Multiplier int           `yaml:"multiplier"` // 2-255
}

// OSPFSegment is what OSPF does on a segment.
type OSPFSegment struct {
	// Mode is "active", "passive" (announced, no adjacency) or "off".
	// Default: active where at least two members run FRR, else passive.
	Mode string `yaml:"ospf"`
	Area string `yaml:"area"` // dotted; default 0.0.0.0
	// Hello (default 1) and Dead (default 4) are in seconds.
	Hello int `yaml:"hello"`
	Dead  int `yaml:"dead"`
	Cost  int `yaml:"cost"` // 1-65535; 0 leaves it to ospfd
	// BFD is a profile's name or "off"; empty leaves it to the host.
	BFD string `yaml:"bfd"`
}

// Segment is a link or a LAN.
type Segment struct {
	Name string `yaml:"name"` // default of a link: FIRST-SECOND
	OSPFSegment
	Members []Member `yaml:"members"`
	// LAN is true for a broadcast network, false for a point-to-point link.
	LAN bool `yaml:"-"`
}

// Member is one end of a link, or one station of a LAN.
type Member struct {
	Host    string       `yaml:"host"`
	Iface   string       `yaml:"iface"`   // at most 15 bytes
	Address netip.Prefix `yaml:"address"` // with its length: 10.0.1.1/24
	Cost    int          `yaml:"cost"`    // this end only
	// Priority is the OSPF router priority on a LAN, 0-255; nil leaves FRR's 1.
	Priority *int `yaml:"priority"`
}

// All returns routers and hosts in the order of the file.
func (t *Topology) All() []*Host {
	out := make([]*Host, 0, len(t.Routers)+len(t.Hosts))
	for i := range t.Routers {
		out = append(out, &t.Routers[i])
	}
	for i := range t.Hosts {
		out = append(out, &t.Hosts[i])
	}
	return out
}

// Host returns the router or host of that name, or nil.
func (t *Topology) Host(name string) *Host {
	for _, h := range t.All() {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Segments returns links, then LANs, in the order of the file.
func (t *Topology) Segments() []*Segment {
	out := make([]*Segment, 0, len(t.Links)+len(t.LANs))
	for i := range t.Links {
		out = append(out, &t.Links[i])
	}
	for i := range t.LANs {
		out = append(out, &t.LANs[i])
	}
	return out
}

// profile returns the BFD profile of that name.
func (t *Topology) profile(name string) (BFDProfile, bool) {
	for _, p := range t.BFD {
		if p.Name == name {
			return p, true
		}
	}
	return BFDProfile{}, false
}

// bfd returns the profile's name for a member of a segment, "" for none.
func (t *Topology) bfd(s *Segment, h *Host) string {
	name := s.BFD
	if name == "" && h.FRR != nil {
		name = h.FRR.BFD
	}
	if name == "off" {
		return ""
	}
	return name
}

// tuned reports whether the host has the recommended timers.
func (h *Host) tuned() bool { return h.FRR == nil || h.FRR.Tune != "default" }
