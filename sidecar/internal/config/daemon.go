package config

import (
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Daemon is what the ports and faces are told; what the heart is told stands
// in machine.Config.
type Daemon struct {
	StateDir    string // what outlives a boot
	RunDir      string // what does not
	ServicesDir string
	Log         string // debug, info, warning or error

	// LossDetection is the longest a node that is cut off takes to know it:
	// the first part of a computed lost_hold.
	LossDetection time.Duration

	// MaxChecks bounds the check and status primitives that run at one time,
	// over all services; 0: twice the CPUs.
	MaxChecks int

	Authentication Authentication
	Web            Web
	Shell          Shell
	FRR            FRR
}

// Shell is the socket srrsh speaks to.
type Shell struct {
	Socket string
	Mode   fs.FileMode // permission bits of the socket
	Group  string      // its group, where the system has one of that name
}

// VTYWay is how the daemons of FRR are reached for VTY sessions.
type VTYWay uint8

// The ways.
const (
	VTYAuto   VTYWay = iota // the unix socket where it exists, else telnet
	VTYUnix                 //
	VTYTelnet               // Quagga, or where only TCP is offered
)

func (w VTYWay) String() string {
	switch w {
	case VTYAuto:
		return "auto"
	case VTYUnix:
		return "unix"
	case VTYTelnet:
		return "telnet"
	}
	return fmt.Sprintf("vty way(%d)", uint8(w))
}

// FRR is where FRR (or Quagga) is found.
type FRR struct {
	Version        string // "" asks it
	VTYDir         string
	VTY            VTYWay
	Password       string // of telnet sessions
	EnablePassword string
	Zserv          string // path of zebra's socket
	OSPFAPI        netip.AddrPort
	APIPorts       PortRange // pairs of ports ospfd connects back to
	Table          uint16    // instance N of `redistribute table N`
}

// PortRange is a range of TCP ports, both ends included.
type PortRange struct{ First, Last uint16 }

func (p PortRange) String() string { return fmt.Sprintf("%d-%d", p.First, p.Last) }

// Defaults of the daemon. The times are those of DESIGN section 5.
const (
	// DefaultLossDetection is RouterDeadInterval as RFC 2328 C.3 samples it.
	DefaultLossDetection = 40 * time.Second
	// DefaultTable is the table a service's routes are announced from; also
	// the protocol number they carry in the kernel.
	DefaultTable = 201
)

type rawDaemon struct {
	Host        opt[string]
	Scope       opt[machine.Scope]
	StateDir    opt[string]
	RunDir      opt[string]
	ServicesDir opt[string]
	Log         opt[string]

	StartupHold     opt[time.Duration]
	RejoinHold      opt[time.Duration]
	AloneAfter      opt[time.Duration]
	ClaimTimeout    opt[time.Duration]
	AnnounceTimeout opt[time.Duration]
	LossDetection   opt[time.Duration]
	MaxChecks       opt[uint64]

	Authentication rawAuthentication

	Web      rawWeb
	Shell    rawShell
	FRR      rawFRR
	Defaults rawPolicy
}

type rawShell struct {
	Socket opt[string]
	Mode   opt[fs.FileMode]
	Group  opt[string]
}

type rawFRR struct {
	Version        opt[string]
	VTYDir         opt[string]
	VTY            opt[VTYWay]
	Password       opt[string]
	EnablePassword opt[string]
	Zserv          opt[string]
	OSPFAPI        opt[netip.AddrPort]
	APIPorts       opt[PortRange]
	Table          opt[uint64]
}

var (
	path     = anyText("a path")
	hostName = checked("a host name", func(s string) (string, error) { return s, advert.ValidName(s) })
)

var shellKeys = []key[rawShell]{
	field("socket", path, func(s *rawShell) *opt[string] { return &s.Socket }),
	field("mode", checked("permission bits such as 0660", fileMode), func(s *rawShell) *opt[fs.FileMode] { return &s.Mode }),
	field("group", anyText("the name of a group"), func(s *rawShell) *opt[string] { return &s.Group }),
}

var frrKeys = []key[rawFRR]{
	field("version", checked("a version such as 8.4.4", frrVersion), func(f *rawFRR) *opt[string] { return &f.Version }),
	field("vty_dir", path, func(f *rawFRR) *opt[string] { return &f.VTYDir }),
	field("vty", choice([]string{"auto", "unix", "telnet"}, []VTYWay{VTYAuto, VTYUnix, VTYTelnet}),
		func(f *rawFRR) *opt[VTYWay] { return &f.VTY }),
	field("password", anyText("a password"), func(f *rawFRR) *opt[string] { return &f.Password }),
	field("enable_password", anyText("a password"), func(f *rawFRR) *opt[string] { return &f.EnablePassword }),
	field("zserv", path, func(f *rawFRR) *opt[string] { return &f.Zserv }),
	field("ospfapi", checked("an address and a port", loopbackPort), func(f *rawFRR) *opt[netip.AddrPort] { return &f.OSPFAPI }),
	field("api_ports", checked("a range of ports such as 20000-29998", portRange), func(f *rawFRR) *opt[PortRange] { return &f.APIPorts }),
	field("table", integer(1, 65535), func(f *rawFRR) *opt[uint64] { return &f.Table }),
}

var daemonKeys = []key[rawDaemon]{
	field("host", hostName, func(d *rawDaemon) *opt[string] { return &d.Host }),
	field("scope", readScope, func(d *rawDaemon) *opt[machine.Scope] { return &d.Scope }),
	field("state_dir", path, func(d *rawDaemon) *opt[string] { return &d.StateDir }),
	field("run_dir", path, func(d *rawDaemon) *opt[string] { return &d.RunDir }),
	field("services_dir", path, func(d *rawDaemon) *opt[string] { return &d.ServicesDir }),
	field("log", choice(logLevels, logLevels), func(d *rawDaemon) *opt[string] { return &d.Log }),
	field("startup_hold", duration(0, time.Hour, true), func(d *rawDaemon) *opt[time.Duration] { return &d.StartupHold }),
	field("rejoin_hold", duration(0, time.Hour, true), func(d *rawDaemon) *opt[time.Duration] { return &d.RejoinHold }),
	field("alone_after", duration(time.Second, 24*time.Hour, false), func(d *rawDaemon) *opt[time.Duration] { return &d.AloneAfter }),
	field("claim_timeout", duration(50*time.Millisecond, time.Minute, false), func(d *rawDaemon) *opt[time.Duration] { return &d.ClaimTimeout }),
	field("announce_timeout", duration(50*time.Millisecond, 10*time.Minute, false),
		func(d *rawDaemon) *opt[time.Duration] { return &d.AnnounceTimeout }),
	field("loss_detection", duration(10*time.Millisecond, time.Hour, false),
		func(d *rawDaemon) *opt[time.Duration] { return &d.LossDetection }),
	field("max_checks", integer(1, 10000), func(d *rawDaemon) *opt[uint64] { return &d.MaxChecks }),
	nested("authentication", authenticationKeys, func(d *rawDaemon) *rawAuthentication { return &d.Authentication }),
	nested("web", webKeys, func(d *rawDaemon) *rawWeb { return &d.Web }),
	nested("shell", shellKeys, func(d *rawDaemon) *rawShell { return &d.Shell }),
	nested("frr", frrKeys, func(d *rawDaemon) *rawFRR { return &d.FRR }),
	nested("defaults", policyKeys, func(d *rawDaemon) *rawPolicy { return &d.Defaults }),
}

var logLevels = []string{"debug", "info", "warning", "error"}

// valid fills in the defaults. base is the directory of srrd.yaml, host the
// name of the machine.
func (d *rawDaemon) valid(r *reader, base, host string) (Daemon, machine.Config) {
	run := d.RunDir.or("/run/srrd")
	out := Daemon{
		StateDir:      d.StateDir.or("/var/lib/srrd"),
		RunDir:        run,
		ServicesDir:   d.ServicesDir.or("services.d"),
		Log:           d.Log.or("info"),
		LossDetection: d.LossDetection.or(DefaultLossDetection),
		MaxChecks:     int(d.MaxChecks.V),
		Web:           d.Web.valid(r, base),

		Authentication: d.Authentication.valid(r, base),
		Shell: Shell{
			Socket: d.Shell.Socket.or(filepath.Join(run, "srrd.vty")),
			Mode:   d.Shell.Mode.or(0o660),
			Group:  d.Shell.Group.or("frrvty"), // of vtysh's sockets
		},
		FRR: FRR{
			Version:        d.FRR.Version.V,
			VTYDir:         d.FRR.VTYDir.or("/run/frr"),
			VTY:            d.FRR.VTY.V,
			Password:       d.FRR.Password.V,
			EnablePassword: d.FRR.EnablePassword.V,
			Zserv:          d.FRR.Zserv.or("/run/frr/zserv.api"),
			OSPFAPI:        d.FRR.OSPFAPI.or(netip.MustParseAddrPort("127.0.0.1:2607")),
			APIPorts:       d.FRR.APIPorts.or(PortRange{20000, 29998}),
			Table:          uint16(d.FRR.Table.or(DefaultTable)),
		},
	}
	if !filepath.IsAbs(out.ServicesDir) {
		out.ServicesDir = filepath.Join(base, out.ServicesDir)
	}
	for _, p := range []struct {
		key   string
		value opt[string]
	}{{"state_dir", d.StateDir}, {"run_dir", d.RunDir}, {"shell.socket", d.Shell.Socket},
		{"frr.vty_dir", d.FRR.VTYDir}, {"frr.zserv", d.FRR.Zserv}} {
		if p.value.Set && !filepath.IsAbs(p.value.V) {
			r.report(p.value.At, p.key, "want a path that begins with /, got %q", clip(p.value.V))
		}
	}
	// sun_path of unix(7) holds 108 bytes with the final zero.
	if len(out.Shell.Socket) > 107 {
		at, key := d.Shell.Socket.At, "shell.socket"
		if !d.Shell.Socket.Set {
			at, key = d.RunDir.At, "run_dir"
		}
		r.report(at, key, "the shell's socket %s would be %d bytes long, at most 107", clip(out.Shell.Socket), len(out.Shell.Socket))
	}
	host, _, _ = strings.Cut(host, ".")
	m := machine.Config{
		Host:            d.Host.or(host),
		Scope:           d.Scope.or(machine.ASScope),
		StartupHold:     d.StartupHold.or(2 * time.Second),
		RejoinHold:      d.RejoinHold.or(time.Second),
		AloneAfter:      d.AloneAfter.V,
		ClaimTimeout:    d.ClaimTimeout.or(time.Second),
		AnnounceTimeout: d.AnnounceTimeout.or(3 * time.Second),
		LossDetection:   d.LossDetection.V,
		Signed:          len(out.Authentication.Ring.Accept) > 0,
	}
	if !d.Host.Set {
		if err := advert.ValidName(host); err != nil {
			r.report(Position{File: r.file}, "host", "the name of this machine cannot be used (%s): give one with host:", err)
		}
	}
	// Others are told where to find our pages only if they can get there.
	if a := out.Web.Listen.Addr(); !a.IsLoopback() && !a.IsUnspecified() {
		m.Web = out.Web.Listen
	}
	return out, m
}

func fileMode(s string) (fs.FileMode, error) {
	m, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 32)
	if err != nil || m > 0o777 {
		return 0, fmt.Errorf("want permission bits such as 0660, got %q", clip(s))
	}
	return fs.FileMode(m), nil
}

// frrVersion takes FRR's releases as they are, and Quagga's behind its name.
func frrVersion(s string) (string, error) {
	for _, part := range strings.SplitN(strings.TrimPrefix(s, "Quagga "), ".", 3) {
		if digits := strings.TrimLeft(part, "0123456789"); part == "" || digits == part {
			return "", fmt.Errorf("want a version such as 8.4.4, got %q", clip(s))
		}
	}
	if !strings.Contains(s, ".") {
		return "", fmt.Errorf("want a version such as 8.4.4, got %q", clip(s))
	}
	return s, nil
}

func loopbackPort(s string) (netip.AddrPort, error) {
	ap, err := addrPort(s)
	if err == nil && !ap.Addr().IsLoopback() {
		return ap, fmt.Errorf("want a loopback address, got %q: the OSPF-API has no protection of its own", s)
	}
	return ap, err
}

func portRange(s string) (PortRange, error) {
	want := fmt.Errorf("want a range of at least two ports from 1024 to 65535, such as 20000-29998, got %q", clip(s))
	lo, hi, ok := strings.Cut(s, "-")
	if !ok {
		return PortRange{}, want
	}
	a, errA := strconv.ParseUint(strings.TrimSpace(lo), 10, 16)
	b, errB := strconv.ParseUint(strings.TrimSpace(hi), 10, 16)
	if errA != nil || errB != nil || a < 1024 || b <= a {
		return PortRange{}, want
	}
	return PortRange{uint16(a), uint16(b)}, nil
}
