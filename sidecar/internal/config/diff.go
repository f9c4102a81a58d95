package config

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Change is one difference between two configurations.
type Change struct {
	Service string // "" for srrd.yaml
	Key     string // dotted, as in the file; "" for a service that came or went
	Old     string // as text for people; "" where there was none
	New     string
	// Restart: the running daemon cannot take it over, it must be restarted.
	Restart bool
}

func (c Change) String() string {
	what := c.Key
	if c.Service != "" {
		what = strings.TrimSpace("service " + c.Service + " " + c.Key)
	}
	switch {
	case c.Key == "" && c.Old == "":
		what += ": new"
	case c.Key == "":
		what += ": removed"
	default:
		what += fmt.Sprintf(": %s -> %s", orNone(c.Old), orNone(c.New))
	}
	if c.Restart {
		what += " (after a restart of srrd)"
	}
	return what
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// Diff lists what changes from old to new: first the daemon in the order of
// the reference file, then the services by name. Defaults count as what they
// are, so a key that is written out with its default is no change. An old of
// nil is an empty configuration.
func Diff(old, new *Config) []Change {
	var all []Change
	if old == nil {
		old = &Config{}
	} else {
		all = compare(all, "", old.items(), new.items())
	}
	a, b := old.Machine.Services, new.Machine.Services
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Name < b[0].Name:
			all = append(all, Change{Service: a[0].Name, Old: "configured"})
			a = a[1:]
		case len(a) == 0 || b[0].Name < a[0].Name:
			all = append(all, Change{Service: b[0].Name, New: "configured"})
			b = b[1:]
		default:
			all = compare(all, a[0].Name, old.serviceItems(&a[0]), new.serviceItems(&b[0]))
			a, b = a[1:], b[1:]
		}
	}
	return all
}

func compare(all []Change, service string, a, b []item) []Change {
	for i := range a {
		if a[i].value != b[i].value {
			all = append(all, Change{service, a[i].key, a[i].shown(), b[i].shown(), a[i].restart})
		}
	}
	return all
}

// item is one value under its key; two lists of one kind have the same keys.
type item struct {
	key, value string
	restart    bool
	secret     bool
}

func (i item) shown() string {
	if i.secret && i.value != "" {
		return "(set)"
	}
	return i.value
}

// Dump is the whole configuration with its defaults, a line `key: value` each;
// passwords are not shown. It is for people; its form may change.
func (c *Config) Dump() string {
	var b strings.Builder
	for _, i := range c.items() {
		fmt.Fprintf(&b, "%s: %s\n", i.key, i.shown())
	}
	for n := range c.Machine.Services {
		s := &c.Machine.Services[n]
		fmt.Fprintf(&b, "\nservice %s\n", s.Name)
		for _, i := range c.serviceItems(s) {
			fmt.Fprintf(&b, "  %s: %s\n", i.key, i.shown())
		}
	}
	return b.String()
}

func (c *Config) items() []item {
	m, d := &c.Machine, &c.Daemon
	alone := "computed"
	if m.AloneAfter > 0 {
		alone = short(m.AloneAfter)
	}
	checks := "twice the CPUs"
	if d.MaxChecks > 0 {
		checks = fmt.Sprint(d.MaxChecks)
	}
	items := []item{
		{key: "host", value: m.Host},
		{key: "scope", value: m.Scope.String()},
		{key: "state_dir", value: d.StateDir, restart: true},
		{key: "run_dir", value: d.RunDir, restart: true},
		{key: "services_dir", value: d.ServicesDir},
		{key: "log", value: d.Log},
		{key: "startup_hold", value: short(m.StartupHold)},
		{key: "rejoin_hold", value: short(m.RejoinHold)},
		{key: "alone_after", value: alone},
		{key: "claim_timeout", value: short(m.ClaimTimeout)},
		{key: "announce_timeout", value: short(m.AnnounceTimeout)},
		{key: "loss_detection", value: short(d.LossDetection)},
		{key: "max_checks", value: checks},
	}
	items = append(items, d.Authentication.items()...)
	return append(items, []item{
		{key: "web.listen", value: d.Web.Listen.String(), restart: true},
		{key: "web.certificate", value: d.Web.Certificate, restart: true},
		{key: "web.key", value: d.Web.Key, restart: true},
		{key: "web.clients", value: d.Web.Clients, restart: true},
		{key: "web.roles.viewer", value: d.Web.roleWords("viewer"), restart: true},
		{key: "web.roles.operator", value: d.Web.roleWords("operator"), restart: true},
		{key: "web.roles.admin", value: d.Web.roleWords("admin"), restart: true},
		{key: "shell.socket", value: d.Shell.Socket, restart: true},
		{key: "shell.mode", value: fmt.Sprintf("%04o", d.Shell.Mode), restart: true},
		{key: "shell.group", value: d.Shell.Group, restart: true},
		{key: "frr.version", value: d.FRR.Version, restart: true},
		{key: "frr.vty_dir", value: d.FRR.VTYDir, restart: true},
		{key: "frr.vty", value: d.FRR.VTY.String(), restart: true},
		{key: "frr.password", value: d.FRR.Password, restart: true, secret: true},
		{key: "frr.enable_password", value: d.FRR.EnablePassword, restart: true, secret: true},
		{key: "frr.zserv", value: d.FRR.Zserv, restart: true},
		{key: "frr.ospfapi", value: d.FRR.OSPFAPI.String(), restart: true},
		{key: "frr.api_ports", value: d.FRR.APIPorts.String(), restart: true},
		{key: "frr.table", value: fmt.Sprint(d.FRR.Table), restart: true},
	}...)
}

func (c *Config) serviceItems(s *machine.Service) []item {
	p := c.Services[s.Name]
	handover, loss, lost := "stop", "stop", "computed"
	if s.Overlap {
		handover = "overlap"
	}
	if s.OnOSPFLoss == machine.LossKeep {
		loss = "keep"
	}
	if s.LostHold > 0 {
		lost = short(s.LostHold)
	}
	var driver, announce, members, fenceAfter string
	if s.Fence {
		fenceAfter = short(s.FenceAfter)
	}
	if s.Members > 0 {
		members = fmt.Sprint(s.Members)
	}
	if p.Way == machine.WayAlias {
		driver, announce = p.Driver.String(), p.Announce.String()
	}
	items := []item{
		{key: "enabled", value: yesNo(s.Enabled)},
		{key: "addresses", value: addrWords(s.Addresses)},
		{key: "group", value: s.Group},
		{key: "dependencies", value: strings.Join(s.Dependencies, ", ")},
		{key: "critical", value: yesNo(s.Critical)},
		{key: "exclusive", value: yesNo(s.Exclusive)},
		{key: "handover", value: handover},
		{key: "scope", value: s.Scope.String()},
		{key: "lost_hold", value: lost},
		{key: "best_effort", value: yesNo(s.BestEffort)},
		{key: "fence", value: yesNo(s.Fence)},
		{key: "fence_after", value: fenceAfter},
		{key: "members", value: members},
		{key: "dir", value: p.Dir},
		{key: "env", value: strings.Join(p.Env, " ")},
		{key: "user", value: p.User},
		{key: "preference", value: fmt.Sprint(s.Preference)},
		{key: "start_alone", value: yesNo(s.StartAlone)},
		{key: "on_ospf_loss", value: loss},
		{key: "linger", value: short(s.Linger)},
		{key: "failback_delay", value: short(s.FailbackWait)},
		{key: "retry_after", value: short(s.RetryAfter)},
		{key: "recover", value: fmt.Sprint(s.Recover)},
		{key: "recover_within", value: short(s.RecoverWithin)},
		{key: "watch.pidfile", value: p.PIDFile},
		{key: "watch.unit", value: p.Unit},
		{key: "check.interval", value: short(s.Interval)},
		{key: "check.fall", value: fmt.Sprint(s.Fall)},
		{key: "check.rise", value: fmt.Sprint(s.Rise)},
		{key: "check.unknown", value: fmt.Sprint(s.FallUnknown)},
		{key: "check.grace", value: short(s.Grace)},
	}
	for _, t := range timed() {
		items = append(items, item{key: "timeouts." + t.String(), value: short(s.Timeout[t])})
	}
	return append(items,
		item{key: "address", value: p.Way.String()},
		item{key: "device", value: p.Device},
		item{key: "driver", value: driver},
		item{key: "announce", value: announce},
		item{key: "area", value: areaWord(p.Area)},
		item{key: "digest", value: s.Digest.String()},
	)
}

func areaWord(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func addrWords(as []netip.Addr) string {
	w := make([]string, len(as))
	for i, a := range as {
		w[i] = a.String()
	}
	return strings.Join(w, ", ")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
