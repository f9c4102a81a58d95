package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Service is what the ports are told of a service; what the heart is told
// stands in machine.Service.
type Service struct {
	Name     string
	Dir      string // of its primitives
	Way      machine.AddressWay
	Device   string   // interface that carries the address, WayAlias only
	Driver   Driver   // WayAlias only
	Announce Announce // WayAlias only
	Area     netip.Addr
	Env      []string // NAME=value, sorted, added to the environment of primitives
	User     string   // whom its primitives run as; "": whom srrd runs as

	// What machine.Watch watches: at most one of the two is set.
	PIDFile string // absolute
	Unit    string // of systemd, NAME.service

	file  Position // the file of the service
	dirAt Position // where its directory was named, or the file

	userAt Position // where its user was named, or nowhere
}

// File is the path of the service's file.
func (s Service) File() string { return s.file.File }

// DirProblem gives what was found wrong in the directory of primitives the
// place in the configuration that led there.
func (s Service) DirProblem(text string) Problem {
	if s.dirAt.Line == 0 {
		return Problem{s.dirAt, "", text}
	}
	return Problem{s.dirAt, "dir", text}
}

// UserProblem gives what is wrong with the user its place in the configuration.
func (s Service) UserProblem(text string) Problem { return Problem{s.userAt, "user", text} }

// Driver is who puts an alias on an interface.
type Driver uint8

// The drivers.
const (
	DriverNetlink Driver = iota
	DriverVTY            // an `ip address` line in zebra or mgmtd
)

func (d Driver) String() string {
	if d == DriverVTY {
		return "vty"
	}
	return "netlink"
}

// Announce is how OSPF is made to announce an alias.
type Announce uint8

// The ways.
const (
	AnnounceRedistribute Announce = iota // `redistribute connected` through a route-map
	AnnounceNetwork                      // a `network` statement
)

func (a Announce) String() string {
	if a == AnnounceNetwork {
		return "network"
	}
	return "redistribute"
}

// rawPolicy is what a service may say and srrd.yaml may say for all.
type rawPolicy struct {
	Preference    opt[uint64]
	StartAlone    opt[bool]
	OnOSPFLoss    opt[machine.OSPFLoss]
	Linger        opt[time.Duration]
	FailbackDelay opt[time.Duration]
	RetryAfter    opt[time.Duration]
	Recover       opt[uint64]
	RecoverWithin opt[time.Duration]
	Check         rawCheck
	Timeouts      rawTimeouts
	Way           opt[machine.AddressWay]
	Device        opt[string]
	Driver        opt[Driver]
	Announce      opt[Announce]
	Area          opt[netip.Addr]
}

type rawCheck struct {
	Interval opt[time.Duration]
	Fall     opt[uint64]
	Rise     opt[uint64]
	Unknown  opt[uint64]
	Grace    opt[time.Duration]
}

type rawWatch struct {
	PIDFile opt[string]
	Unit    opt[string]
	at      Position // of the key, where it was typed
}

type rawTimeouts [len(machine.Service{}.Timeout)]opt[time.Duration]

type rawService struct {
	Name         opt[string]
	Enabled      opt[bool]
	Group        opt[string]
	Dependencies []opt[string]
	Critical     opt[bool]
	Exclusive    opt[bool]
	Overlap      opt[bool]
	Scope        opt[machine.Scope]
	Addresses    []opt[netip.Addr]
	HasAddresses bool // the key was typed, even if no entry could be read
	LostHold     opt[time.Duration]
	BestEffort   opt[bool]
	Fence        opt[bool]
	FenceAfter   opt[time.Duration]
	Members      opt[uint64]
	Watch        rawWatch
	Dir          opt[string]
	Env          []opt[string]
	User         opt[string]
	Policy       rawPolicy
}

var checkKeys = []key[rawCheck]{
	field("interval", duration(50*time.Millisecond, 24*time.Hour, true), func(c *rawCheck) *opt[time.Duration] { return &c.Interval }),
	field("fall", integer(1, 1000), func(c *rawCheck) *opt[uint64] { return &c.Fall }),
	field("rise", integer(1, 1000), func(c *rawCheck) *opt[uint64] { return &c.Rise }),
	field("unknown", integer(1, 1000), func(c *rawCheck) *opt[uint64] { return &c.Unknown }),
	field("grace", duration(0, time.Hour, true), func(c *rawCheck) *opt[time.Duration] { return &c.Grace }),
}

var watchKeys = []key[rawWatch]{
	field("pidfile", path, func(w *rawWatch) *opt[string] { return &w.PIDFile }),
	field("unit", checked("the name of a unit such as nginx.service", unitName), func(w *rawWatch) *opt[string] { return &w.Unit }),
}

// unitName checks what systemd would take (systemd.unit(5), "unit name"), of
// the one kind that has processes which end.
func unitName(s string) (string, error) {
	name, ok := strings.CutSuffix(s, ".service")
	plain := strings.IndexFunc(name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(":-_.\\@", c))
	}) < 0
	if !ok || name == "" || !plain || len(s) > 255 || strings.HasPrefix(name, "@") || strings.HasSuffix(name, "@") {
		return s, fmt.Errorf("want the name of a unit such as nginx.service, got %q", clip(s))
	}
	return s, nil
}

// timed are the primitives that have a timeout.
func timed() []machine.Primitive { return append(machine.Primitives(), machine.PrimFence) }

func timeoutKeys() []key[rawTimeouts] {
	var all []key[rawTimeouts]
	for _, p := range timed() {
		all = append(all, field(p.String(), duration(50*time.Millisecond, 24*time.Hour, false),
			func(t *rawTimeouts) *opt[time.Duration] { return &t[p] }))
	}
	return all
}

var policyKeys = []key[rawPolicy]{
	field("preference", integer(0, 255), func(p *rawPolicy) *opt[uint64] { return &p.Preference }),
	field("start_alone", boolean, func(p *rawPolicy) *opt[bool] { return &p.StartAlone }),
	field("on_ospf_loss", choice([]string{"stop", "keep"}, []machine.OSPFLoss{machine.LossStop, machine.LossKeep}),
		func(p *rawPolicy) *opt[machine.OSPFLoss] { return &p.OnOSPFLoss }),
	field("linger", duration(0, time.Minute, true), func(p *rawPolicy) *opt[time.Duration] { return &p.Linger }),
	field("failback_delay", duration(0, 7*24*time.Hour, true), func(p *rawPolicy) *opt[time.Duration] { return &p.FailbackDelay }),
	// A failed service backs off to an hour (DESIGN section 2).
	field("retry_after", duration(time.Second, time.Hour, false), func(p *rawPolicy) *opt[time.Duration] { return &p.RetryAfter }),
	field("recover", integer(0, 100), func(p *rawPolicy) *opt[uint64] { return &p.Recover }),
	field("recover_within", duration(time.Second, 24*time.Hour, false), func(p *rawPolicy) *opt[time.Duration] { return &p.RecoverWithin }),
	nested("check", checkKeys, func(p *rawPolicy) *rawCheck { return &p.Check }),
	nested("timeouts", timeoutKeys(), func(p *rawPolicy) *rawTimeouts { return &p.Timeouts }),
	field("address", choice([]string{"local", "alias"}, []machine.AddressWay{machine.WayLocal, machine.WayAlias}),
		func(p *rawPolicy) *opt[machine.AddressWay] { return &p.Way }),
	field("device", checked("the name of an interface", interfaceName), func(p *rawPolicy) *opt[string] { return &p.Device }),
	field("driver", choice([]string{"netlink", "vty"}, []Driver{DriverNetlink, DriverVTY}),
		func(p *rawPolicy) *opt[Driver] { return &p.Driver }),
	field("announce", choice([]string{"redistribute", "network"}, []Announce{AnnounceRedistribute, AnnounceNetwork}),
		func(p *rawPolicy) *opt[Announce] { return &p.Announce }),
	field("area", checked("an area such as 0.0.0.0", areaID), func(p *rawPolicy) *opt[netip.Addr] { return &p.Area }),
}

var name = checked("a name", func(s string) (string, error) { return s, advert.ValidName(s) })

var serviceKeys = append([]key[rawService]{
	field("name", name, func(s *rawService) *opt[string] { return &s.Name }),
	field("enabled", boolean, func(s *rawService) *opt[bool] { return &s.Enabled }),
	{"addresses", nil, func(r *reader, n node, s *rawService) {
		s.HasAddresses = true
		for _, e := range r.list(n, "a list of addresses") {
			if a, ok := checked("an address such as 10.9.9.9", hostAddress)(r, e); ok {
				s.Addresses = append(s.Addresses, opt[netip.Addr]{a, r.pos(e), true})
			}
		}
	}},
	field("group", name, func(s *rawService) *opt[string] { return &s.Group }),
	{"dependencies", nil, func(r *reader, n node, s *rawService) {
		for _, e := range r.list(n, "a list of services") {
			if d, ok := name(r, e); ok {
				s.Dependencies = append(s.Dependencies, opt[string]{d, r.pos(e), true})
			}
		}
	}},
	field("critical", boolean, func(s *rawService) *opt[bool] { return &s.Critical }),
	field("exclusive", boolean, func(s *rawService) *opt[bool] { return &s.Exclusive }),
	field("handover", choice([]string{"stop", "overlap"}, []bool{false, true}), func(s *rawService) *opt[bool] { return &s.Overlap }),
	field("scope", readScope, func(s *rawService) *opt[machine.Scope] { return &s.Scope }),
	field("lost_hold", duration(50*time.Millisecond, 24*time.Hour, false), func(s *rawService) *opt[time.Duration] { return &s.LostHold }),
	field("best_effort", boolean, func(s *rawService) *opt[bool] { return &s.BestEffort }),
	field("fence", boolean, func(s *rawService) *opt[bool] { return &s.Fence }),
	field("fence_after", duration(0, time.Hour, true), func(s *rawService) *opt[time.Duration] { return &s.FenceAfter }),
	// A majority of fewer than three is all of them: the first loss would stop
	// the service everywhere.
	field("members", integer(3, 65535), func(s *rawService) *opt[uint64] { return &s.Members }),
	{"watch", names(watchKeys), func(r *reader, n node, s *rawService) {
		s.Watch.at = n.at
		readMapping(r, n, watchKeys, &s.Watch)
	}},
	field("dir", path, func(s *rawService) *opt[string] { return &s.Dir }),
	{"env", nil, readEnv},
	field("user", anyText("the name of a user"), func(s *rawService) *opt[string] { return &s.User }),
}, lift(policyKeys, func(s *rawService) *rawPolicy { return &s.Policy })...)

func readEnv(r *reader, n node, s *rawService) {
	seen := map[string]Position{}
	for _, e := range r.entries(n, "a mapping of variables") {
		at := node{e.value, n.path + "." + e.name, e.at}
		v, ok := r.text(at, "a text")
		first, again := seen[e.name]
		seen[e.name] = e.at
		switch {
		case !ok:
		case again:
			r.report(e.at, at.path, "given twice; first in line %d", first.Line)
		case !isVariable(e.name):
			r.report(e.at, at.path, "want the name of a variable: letters, digits and _, not beginning with a digit")
		case strings.HasPrefix(e.name, "SRRD_"):
			r.report(e.at, at.path, "variables that begin with SRRD_ are set by srrd")
		case strings.ContainsRune(v, 0):
			r.report(r.pos(at), at.path, "a zero byte cannot be handed to a process")
		default:
			s.Env = append(s.Env, opt[string]{e.name + "=" + v, e.at, true})
		}
	}
}

func isVariable(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c >= '0' && c <= '9' && i > 0:
		default:
			return false
		}
	}
	return s != ""
}

// hostAddress accepts what can be announced as a host route.
func hostAddress(s string) (netip.Addr, error) {
	host, bits, isPrefix := strings.Cut(s, "/")
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return a, fmt.Errorf("want an address such as 10.9.9.9, got %q", clip(s))
	case !a.Is4():
		return a, fmt.Errorf("want an IPv4 address, got %q", clip(s))
	case isPrefix && bits != "32":
		return a, fmt.Errorf("want a host address such as %s or %s/32, got %q", a, a, clip(s))
	}
	for _, bad := range []struct {
		net  netip.Prefix
		what string
	}{ // RFC 6890
		{netip.MustParsePrefix("0.0.0.0/8"), "stands for this network"},
		{netip.MustParsePrefix("127.0.0.0/8"), "is a loopback address, which no other host can reach"},
		{netip.MustParsePrefix("169.254.0.0/16"), "is a link-local address, which is not routed"},
		{netip.MustParsePrefix("224.0.0.0/4"), "is a multicast address"},
		{netip.MustParsePrefix("240.0.0.0/4"), "is a reserved or broadcast address"},
	} {
		if bad.net.Contains(a) {
			return a, fmt.Errorf("want an address that can be routed to this node; %s %s", a, bad.what)
		}
	}
	return a, nil
}

// interfaceName checks what the kernel would take (IFNAMSIZ is 16 with the
// final zero, linux/if.h).
func interfaceName(s string) (string, error) {
	if s == "" || s == "." || s == ".." || len(s) > 15 || strings.ContainsAny(s, "/: \t\n\x00") {
		return s, fmt.Errorf("want the name of an interface, at most 15 letters, got %q", clip(s))
	}
	return s, nil
}

// areaID reads an area as FRR does: a dotted quad or a number.
func areaID(s string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		return a, nil
	}
	var n uint32
	if _, err := fmt.Sscanf(s, "%d", &n); err == nil && fmt.Sprint(n) == s {
		return advert.RouterID(n).Addr(), nil
	}
	return netip.Addr{}, fmt.Errorf("want an area such as 0.0.0.1 or 1, got %q", clip(s))
}

// readScope reads as, `link: eth0`, `area: 0.0.0.1`, or the same on one line
// without the colon.
func readScope(r *reader, n node) (machine.Scope, bool) {
	const want = "as, link: INTERFACE or area: A.B.C.D"
	var kind, arg string
	at := n
	if s, ok := scalarText(n); ok {
		kind, arg, _ = strings.Cut(s, " ")
		arg = strings.TrimSpace(arg)
	} else {
		entries := r.entries(n, want)
		if len(entries) == 0 {
			if n.ast == nil || describe(n.ast) == "nothing" {
				r.wrong(n, want)
			}
			return machine.Scope{}, false
		}
		if len(entries) > 1 {
			r.report(entries[1].at, n.path, "want one of link and area, got both or one twice")
			return machine.Scope{}, false
		}
		kind = entries[0].name
		at = node{entries[0].value, n.path + "." + kind, entries[0].at}
		if kind != "link" && kind != "area" {
			r.report(at.at, at.path, "unknown key%s; want %s", suggest(kind, []string{"link", "area"}), want)
			return machine.Scope{}, false
		}
		if arg, ok = r.text(at, "an interface or area"); !ok {
			return machine.Scope{}, false
		}
	}
	var err error
	s := machine.Scope{}
	switch {
	case kind == "as" && arg == "":
		s.Kind = machine.ScopeAS
	case kind == "link":
		s.Kind = machine.ScopeLink
		s.Link, err = interfaceName(arg)
	case kind == "area":
		s.Kind = machine.ScopeArea
		s.Area, err = areaID(arg)
	default:
		r.report(r.pos(n), n.path, "want %s, got %q", want, clip(strings.TrimSpace(kind+" "+arg)))
		return s, false
	}
	if err != nil {
		r.report(r.pos(at), at.path, "%s", err)
	}
	return s, err == nil
}

func scalarText(n node) (string, bool) {
	quiet := reader{problems: new(Problems)}
	return quiet.text(n, "")
}

// valid fills in the defaults and checks what concerns this service alone.
func (s *rawService) valid(r *reader, name string, d *rawDaemon, servicesDir string) (machine.Service, Service) {
	own, all := &s.Policy, &d.Defaults
	m := machine.Service{
		Name:         name,
		Group:        s.Group.V,
		Critical:     s.Critical.V,
		Enabled:      s.Enabled.or(true),
		Exclusive:    s.Exclusive.V,
		Overlap:      s.Overlap.V,
		Scope:        s.Scope.or(d.Scope.or(machine.ASScope)),
		Way:          first(own.Way, all.Way).V,
		Preference:   uint8(first(own.Preference, all.Preference).or(DefaultPreference)),
		OnOSPFLoss:   first(own.OnOSPFLoss, all.OnOSPFLoss).V,
		StartAlone:   first(own.StartAlone, all.StartAlone).V,
		BestEffort:   s.BestEffort.V,
		Interval:     first(own.Check.Interval, all.Check.Interval).or(5 * time.Second),
		Fall:         int(first(own.Check.Fall, all.Check.Fall).or(2)),
		Rise:         int(first(own.Check.Rise, all.Check.Rise).or(1)),
		Grace:        first(own.Check.Grace, all.Check.Grace).V,
		Watch:        s.Watch.PIDFile.Set || s.Watch.Unit.Set,
		Recover:      int(first(own.Recover, all.Recover).V),
		Fence:        s.Fence.V,
		Members:      int(s.Members.V),
		Linger:       first(own.Linger, all.Linger).or(250 * time.Millisecond),
		FailbackWait: first(own.FailbackDelay, all.FailbackDelay).V,
		RetryAfter:   first(own.RetryAfter, all.RetryAfter).or(time.Minute),
		LostHold:     s.LostHold.V,
	}
	if m.Fence {
		m.FenceAfter = s.FenceAfter.or(d.RejoinHold.or(time.Second))
	}
	m.FallUnknown = int(first(own.Check.Unknown, all.Check.Unknown).or(uint64(m.Fall)))
	m.RecoverWithin = first(own.RecoverWithin, all.RecoverWithin).or(time.Minute)
	for _, p := range timed() {
		def := 10 * time.Second
		switch p {
		case machine.PrimCheck, machine.PrimStatus:
			def = 5 * time.Second
		case machine.PrimFence: // machines that are switched off take their time
			def = 30 * time.Second
		}
		m.Timeout[p] = first(own.Timeouts[p], all.Timeouts[p]).or(def)
	}
	m.Addresses = unique(r, "addresses", s.Addresses, netip.Addr.Compare)
	m.Dependencies = unique(r, "dependencies", s.Dependencies, strings.Compare)
	tooMany(r, "addresses", s.Addresses, advert.MaxAddresses)
	tooMany(r, "dependencies", s.Dependencies, advert.MaxDependencies)

	out := Service{
		Name: name, Way: m.Way, file: Position{File: r.file}, dirAt: Position{File: r.file},
		Dir: filepath.Join(servicesDir, name),
	}
	if s.Dir.Set {
		out.Dir, out.dirAt = s.Dir.V, s.Dir.At
		if !filepath.IsAbs(out.Dir) {
			out.Dir = filepath.Join(filepath.Dir(r.file), out.Dir)
		}
	}
	out.PIDFile, out.Unit = s.Watch.PIDFile.V, s.Watch.Unit.V
	for _, e := range s.Env {
		out.Env = append(out.Env, e.V)
	}
	slices.Sort(out.Env)
	if out.User = s.User.V; s.User.Set {
		out.userAt = s.User.At
	}
	if m.Way == machine.WayAlias {
		out.Device = first(own.Device, all.Device).or("lo")
		out.Driver = first(own.Driver, all.Driver).V
		out.Announce = first(own.Announce, all.Announce).V
		if out.Announce == AnnounceNetwork {
			out.Area = first(own.Area, all.Area).or(netip.IPv4Unspecified())
		}
	}
	s.sane(r, &m, &out)
	if s.Name.Set && s.Name.V != name {
		r.report(s.Name.At, "name", "want %s, as the file is called, got %q", name, s.Name.V)
	}
	return m, out
}

// DefaultPreference lies in the middle, so that a node can be made better or
// worse than the rest with one line.
const DefaultPreference = 100

// resource reports whether no addresses are meant: a list whose every entry
// was refused is still meant as a list.
func (s *rawService) resource() bool { return len(s.Addresses) == 0 && !s.HasAddresses }

// sane reports keys that contradict each other or would do nothing.
func (s *rawService) sane(r *reader, m *machine.Service, out *Service) {
	resource := s.resource()
	only := func(at Position, set bool, key, text string) {
		if set {
			r.report(at, key, "%s", text)
		}
	}
	own := &s.Policy
	if resource {
		const text = "only for a service with addresses"
		only(s.Overlap.At, s.Overlap.V, "handover", "overlap is "+text)
		only(own.Way.At, own.Way.Set, "address", text)
		only(s.Exclusive.At, s.Exclusive.Set, "exclusive", text+": one without is exclusive anyway")
	}
	only(s.Overlap.At, s.Overlap.V && m.Exclusive, "handover", "overlap contradicts exclusive: yes")
	if resource || m.Way != machine.WayAlias {
		const text = "only with address: alias"
		only(own.Device.At, own.Device.Set, "device", text)
		only(own.Driver.At, own.Driver.Set, "driver", text)
		only(own.Announce.At, own.Announce.Set, "announce", text)
	}
	only(own.Area.At, own.Area.Set && out.Announce != AnnounceNetwork, "area", "only with announce: network")
	const needsWatch = "want pidfile or unit, one of them"
	only(s.Watch.Unit.At, s.Watch.PIDFile.Set && s.Watch.Unit.Set, "watch.unit", needsWatch)
	only(s.Watch.at, s.Watch.at.Line > 0 && !m.Watch && !r.reported("watch"), "watch", needsWatch)
	if f := s.Watch.PIDFile; f.Set && !filepath.IsAbs(f.V) {
		r.report(f.At, "watch.pidfile", "want a path that begins with /, got %q", clip(f.V))
	}
	only(own.RecoverWithin.At, own.RecoverWithin.Set && m.Recover == 0, "recover_within", "only with recover: 1 or more")
	only(own.Timeouts[machine.PrimFence].At, own.Timeouts[machine.PrimFence].Set && !m.Fence, "timeouts.fence", "only with fence: yes")
	only(s.FenceAfter.At, s.FenceAfter.Set && !m.Fence, "fence_after", "only with fence: yes")
	if m.Interval == 0 {
		const text = "only with checks: check.interval is 0"
		only(own.Check.Rise.At, own.Check.Rise.Set, "check.rise", text)
		only(own.Check.Unknown.At, own.Check.Unknown.Set, "check.unknown", text)
	}
	only(own.Linger.At, own.Linger.Set && !m.Overlap, "linger", "only with handover: overlap")
	// An LSA must hold the longest thing the service may ever say.
	ad := advert.Service{Stamp: advert.Stamp{Incarnation: 1, Generation: 1}, Name: m.Name, Group: m.Group,
		Dependencies: m.Dependencies, Preference: m.Preference, State: advert.Stopped, Interval: m.Interval, Addresses: m.Addresses}
	within := len(m.Addresses) <= advert.MaxAddresses && len(m.Dependencies) <= advert.MaxDependencies
	if size := ad.LargestSize(); within && size > advert.MaxContent {
		r.report(Position{File: r.file}, "", "what is flooded about the service could be larger than the %d bytes of an LSA's body: shorten names or addresses",
			advert.MaxContent)
	}
}

func unique[V any](r *reader, key string, list []opt[V], compare func(V, V) int) []V {
	var all []V
	for i, e := range list {
		before := slices.IndexFunc(list[:i], func(o opt[V]) bool { return compare(o.V, e.V) == 0 })
		if before >= 0 {
			r.report(e.At, key, "%v stands twice; first in line %d", e.V, list[before].At.Line)
			continue
		}
		all = append(all, e.V)
	}
	slices.SortFunc(all, compare)
	return all
}

func tooMany[V any](r *reader, key string, list []opt[V], limit int) {
	if len(list) > limit {
		r.report(list[limit].At, key, "want at most %d, got %d", limit, len(list))
	}
}
