package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// Load reads and checks a topology file. Its error is a Problems, or the error
// of reading the file.
func Load(path string) (*Topology, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("topology: %w", err)
	}
	t, err := Parse(path, src)
	if err != nil {
		return nil, err
	}
	if t.dir, err = filepath.Abs(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("topology %s: %w", path, err)
	}
	return t, nil
}

// Parse reads a topology from memory; name is used in messages. Files it
// names are looked up relative to the working directory.
func Parse(name string, src []byte) (*Topology, error) {
	t := &Topology{src: name}
	pos, problems := decodeYAML(name, src, t)
	t.pos = pos
	if pos == nil {
		return nil, problems
	}
	t.fill()
	problems = append(problems, t.check()...)
	if len(problems) > 0 {
		return nil, problems.sorted()
	}
	return t, nil
}

// Validate fills in defaults and checks a topology made or changed by a program.
func (t *Topology) Validate() error {
	if t.src == "" {
		t.src = "topology"
	}
	t.fill()
	if p := t.check(); len(p) > 0 {
		return p.sorted()
	}
	return nil
}

// Timers of FRR-side defaults: the ones srrd doctor recommends.
const (
	defaultHello = 1
	defaultDead  = 4
)

func (t *Topology) fill() {
	if _, ok := t.profile("fast"); !ok {
		t.BFD = append(t.BFD, BFDProfile{Name: "fast", Interval: 50 * time.Millisecond, Multiplier: 3})
	}
	def := t.Defaults.FRR
	if def.Tune == "" {
		def.Tune = "yes"
	}
	if def.BFD == "" {
		def.BFD = "fast"
	}
	for _, h := range t.All() {
		if h.RunsFRR() {
			if h.FRR == nil {
				h.FRR = &FRRHost{}
			}
			or(&h.FRR.Version, def.Version)
			or(&h.FRR.Tune, def.Tune)
			or(&h.FRR.BFD, def.BFD)
			or(&h.FRR.Zebra, def.Zebra)
			or(&h.FRR.Bfdd, def.Bfdd)
			or(&h.FRR.Ospfd, def.Ospfd)
			or(&h.FRR.RouterOSPF, def.RouterOSPF)
		}
		if h.Srrd != nil && t.Defaults.Srrd != nil {
			h.Srrd.fill(t.Defaults.Srrd)
		}
	}
	for i := range t.LANs {
		t.LANs[i].LAN = true
	}
	for _, s := range t.Segments() {
		if s.Name == "" && !s.LAN && len(s.Members) == 2 {
			s.Name = s.Members[0].Host + "-" + s.Members[1].Host
		}
		def := t.Defaults.OSPF
		or(&s.Mode, def.Mode)
		or(&s.Area, def.Area)
		or(&s.Area, "0.0.0.0")
		or(&s.BFD, def.BFD)
		or(&s.Hello, def.Hello)
		or(&s.Hello, defaultHello)
		or(&s.Dead, def.Dead)
		or(&s.Dead, defaultDead)
		or(&s.Cost, def.Cost)
		if s.Mode == "" {
			speakers := 0
			for _, m := range s.Members {
				if h := t.Host(m.Host); h != nil && h.RunsFRR() {
					speakers++
				}
			}
			s.Mode = "passive"
			if speakers >= 2 {
				s.Mode = "active"
			}
		}
	}
}

func (s *SrrdHost) fill(def *SrrdHost) {
	if s.Config == "" && s.ConfigFile == "" {
		s.Config, s.ConfigFile = def.Config, def.ConfigFile
	}
	if len(s.Args) == 0 {
		s.Args = def.Args
	}
	or(&s.Ready, def.Ready)
	s.Services = union(s.Services, def.Services)
	s.Files = union(s.Files, def.Files)
	s.Env = union(s.Env, def.Env)
}

func union(own, def map[string]string) map[string]string {
	out := make(map[string]string, len(own)+len(def))
	for k, v := range def {
		out[k] = v
	}
	for k, v := range own {
		out[k] = v
	}
	return out
}

func or[T comparable](p *T, def T) {
	var zero T
	if *p == zero {
		*p = def
	}
}

var (
	nameRE = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
	// A link's default name joins two host names.
	segmentRE = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,64}$`)
	ifaceRE   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

// ifNameMax is IFNAMSIZ-1 (linux/if.h).
const ifNameMax = 15

// checker collects problems at the places the decoder noted.
type checker struct {
	t   *Topology
	out Problems
}

func (c *checker) at(path, format string, args ...any) {
	p, ok := c.t.pos[path]
	for cut := path; !ok && cut != ""; { // a missing key is reported at its parent
		i := len(cut) - 1
		for i > 0 && cut[i] != '.' && cut[i] != '[' {
			i--
		}
		cut = cut[:i]
		p, ok = c.t.pos[cut]
	}
	c.out = append(c.out, Problem{c.t.src, p, fmt.Sprintf(format, args...)})
}

func (t *Topology) check() Problems {
	c := &checker{t: t}
	if t.Name != "" && !nameRE.MatchString(t.Name) {
		c.at(".name", "name %q: want lower-case letters, digits and dashes, at most 32", t.Name)
	}
	if len(t.Routers)+len(t.Hosts) == 0 {
		c.at("", "no routers and no hosts")
	}
	for i, p := range t.BFD {
		at := fmt.Sprintf(".bfd[%d]", i)
		if p.Interval < 10*time.Millisecond || p.Interval > time.Minute || p.Interval%time.Millisecond != 0 {
			c.at(at+".interval", "bfd profile %s: interval %s: want 10ms to 60s in whole milliseconds", p.Name, p.Interval)
		}
		if p.Multiplier < 2 || p.Multiplier > 255 {
			c.at(at+".multiplier", "bfd profile %s: multiplier %d: want 2 to 255", p.Name, p.Multiplier)
		}
	}
	c.frr(".defaults.frr", "defaults", &t.Defaults.FRR)
	c.hosts()
	c.segments()
	return c.out
}

func (c *checker) hosts() {
	names, ids := map[string]bool{}, map[netip.Addr]string{}
	for _, list := range []struct {
		at    string
		hosts []Host
	}{{".routers", c.t.Routers}, {".hosts", c.t.Hosts}} {
		for i := range list.hosts {
			h, at := &list.hosts[i], fmt.Sprintf("%s[%d]", list.at, i)
			if h.Name == wireHost {
				c.at(at, "host name %q: reserved for the namespace of the cables", h.Name)
			}
			if !nameRE.MatchString(h.Name) {
				c.at(at, "host name %q: want lower-case letters, digits and dashes, at most 32", h.Name)
			}
			if names[h.Name] {
				c.at(at, "host %s: the name is used twice", h.Name)
			}
			names[h.Name] = true
			if h.RunsFRR() {
				if other, ok := ids[h.RouterID]; ok {
					c.at(at+".router_id", "router_id %s: used by %s too", h.RouterID, other)
				}
				ids[h.RouterID] = h.Name
			} else {
				if list.at == ".routers" {
					c.at(at, "router %s: no router_id; it is always explicit", h.Name)
				}
				if h.FRR != nil {
					c.at(at+".frr", "host %s: frr without router_id: a host runs FRR when it has one", h.Name)
				}
				if h.Srrd != nil {
					c.at(at+".srrd", "host %s: srrd without FRR: give the host a router_id", h.Name)
				}
			}
			if h.FRR != nil {
				c.frr(at+".frr", h.Name, h.FRR)
			}
			c.daemons(at, h)
			for p := range h.Files {
				c.file(at+".files."+p, p)
			}
		}
	}
}

func (c *checker) daemons(at string, h *Host) {
	names := map[string]bool{"zebra": true, "ospfd": true, "bfdd": true, "mgmtd": true}
	if h.Srrd != nil {
		names["srrd"] = true
		for p := range h.Srrd.Files {
			c.file(at+".srrd.files."+p, p)
		}
		for n := range h.Srrd.Services {
			if !filepath.IsLocal(n) || filepath.Base(n) != n {
				c.at(at+".srrd.services."+n, "service %q: want a plain file name without .yaml", n)
			}
		}
		if h.Srrd.ConfigFile != "" && h.Srrd.Config != "" {
			c.at(at+".srrd.config_file", "host %s: srrd has both config and config_file", h.Name)
		}
	}
	for i, d := range h.Daemons {
		dat := fmt.Sprintf("%s.daemons[%d]", at, i)
		if !nameRE.MatchString(d.Name) {
			c.at(dat, "daemon name %q: want lower-case letters, digits and dashes", d.Name)
		}
		if names[d.Name] {
			c.at(dat, "daemon %s on %s: there is one of that name already", d.Name, h.Name)
		}
		names[d.Name] = true
		if len(d.Command) == 0 {
			c.at(dat, "daemon %s on %s: no command", d.Name, h.Name)
		}
	}
}

func (c *checker) file(at, p string) {
	if !filepath.IsLocal(p) {
		c.at(at, "file %q: want a path relative to the host's directory that stays in it", p)
	}
}

func (c *checker) frr(at, who string, f *FRRHost) {
	switch f.Tune {
	case "", "yes", "default":
	default:
		c.at(at+".tune", "%s: tune %q: want yes or default", who, f.Tune)
	}
	c.profile(at+".bfd", f.BFD)
}

func (c *checker) profile(at, name string) {
	if _, ok := c.t.profile(name); !ok && name != "" && name != "off" {
		c.at(at, "bfd profile %q: not defined under bfd (or say off)", name)
	}
}

func (c *checker) segments() {
	names := map[string]bool{}
	ifaces := map[string]bool{}
	addrs := map[netip.Addr]string{}
	nets := map[netip.Prefix]string{}
	gateways := map[string]bool{}
	for _, list := range []struct {
		at   string
		segs []Segment
	}{{".links", c.t.Links}, {".lans", c.t.LANs}} {
		for i := range list.segs {
			s, at := &list.segs[i], fmt.Sprintf("%s[%d]", list.at, i)
			c.segment(at, s)
			if s.Name != "" {
				if names[s.Name] {
					c.at(at, "segment %s: the name is used twice", s.Name)
				}
				if c.t.Host(s.Name) != nil {
					c.at(at, "segment %s: a host has that name; faults are asked for by name", s.Name)
				}
				names[s.Name] = true
			}
			var first netip.Prefix
			for j, m := range s.Members {
				mat := fmt.Sprintf("%s.members[%d]", at, j)
				c.member(mat, s, m)
				if ifaces[m.Host+":"+m.Iface] {
					c.at(mat+".iface", "interface %s of %s: used twice", m.Iface, m.Host)
				}
				ifaces[m.Host+":"+m.Iface] = true
				if !m.Address.IsValid() {
					continue
				}
				if other, ok := addrs[m.Address.Addr()]; ok {
					c.at(mat+".address", "address %s: used by %s too", m.Address.Addr(), other)
				}
				addrs[m.Address.Addr()] = m.Host
				switch {
				case !first.IsValid():
					first = m.Address.Masked()
					for other, name := range nets {
						if other.Overlaps(first) {
							c.at(mat+".address", "network %s of %s overlaps %s of %s", first, s.Name, other, name)
						}
					}
					nets[first] = s.Name
				case first != m.Address.Masked():
					c.at(mat+".address", "address %s: not in %s, the network of the first member", m.Address, first)
				}
				if h := c.t.Host(m.Host); h != nil && h.Gateway.IsValid() && m.Address.Contains(h.Gateway) {
					gateways[h.Name] = true
				}
			}
		}
	}
	for _, list := range []struct {
		at    string
		hosts []Host
	}{{".routers", c.t.Routers}, {".hosts", c.t.Hosts}} {
		for i := range list.hosts {
			h, at := &list.hosts[i], fmt.Sprintf("%s[%d]", list.at, i)
			if h.Gateway.IsValid() && !gateways[h.Name] {
				c.at(at+".gateway", "gateway %s of %s: not in any network of that host", h.Gateway, h.Name)
			}
			for j, p := range h.Loopback {
				if other, ok := addrs[p.Addr()]; ok {
					c.at(fmt.Sprintf("%s.loopback[%d]", at, j), "address %s: used by %s too", p.Addr(), other)
				}
				addrs[p.Addr()] = h.Name
			}
		}
	}
}

func (c *checker) segment(at string, s *Segment) {
	switch {
	case s.LAN && s.Name == "":
		c.at(at, "a LAN needs a name")
	case s.Name != "" && !segmentRE.MatchString(s.Name):
		c.at(at, "segment name %q: want lower-case letters, digits and dashes", s.Name)
	}
	switch {
	case !s.LAN && len(s.Members) != 2:
		c.at(at, "a link has two members, not %d; a LAN may have more", len(s.Members))
	case s.LAN && len(s.Members) < 2:
		c.at(at, "a LAN has at least two members, not %d", len(s.Members))
	}
	switch s.Mode {
	case "active", "passive", "off":
	default:
		c.at(at+".ospf", "ospf %q: want active, passive or off", s.Mode)
	}
	if a, err := netip.ParseAddr(s.Area); err != nil || !a.Is4() {
		c.at(at+".area", "area %q: want dotted form, as 0.0.0.0", s.Area)
	}
	if s.Hello < 1 || s.Hello > 65535 || s.Dead < s.Hello || s.Dead > 65535 {
		c.at(at, "segment %s: hello %d, dead %d: want seconds, 1 to 65535, hello not above dead", s.Name, s.Hello, s.Dead)
	}
	if s.Cost < 0 || s.Cost > 65535 {
		c.at(at+".cost", "cost %d: want 1 to 65535", s.Cost)
	}
	c.profile(at+".bfd", s.BFD)
}

func (c *checker) member(at string, s *Segment, m Member) {
	if c.t.Host(m.Host) == nil {
		c.at(at+".host", "host %q: no such router or host", m.Host)
	}
	switch {
	case m.Iface == "":
		c.at(at, "member %s of %s: no iface", m.Host, s.Name)
	case len(m.Iface) > ifNameMax:
		c.at(at+".iface", "interface name %q: %d bytes, the kernel takes %d", m.Iface, len(m.Iface), ifNameMax)
	case !ifaceRE.MatchString(m.Iface) || m.Iface == "lo":
		c.at(at+".iface", "interface name %q: want letters, digits, dots and dashes, and not lo", m.Iface)
	}
	if !m.Address.IsValid() {
		c.at(at, "member %s of %s: no address", m.Host, s.Name)
	}
	if m.Cost < 0 || m.Cost > 65535 {
		c.at(at+".cost", "cost %d: want 1 to 65535", m.Cost)
	}
	if m.Priority != nil && (*m.Priority < 0 || *m.Priority > 255) {
		c.at(at+".priority", "priority %d: want 0 to 255", *m.Priority)
	}
}
