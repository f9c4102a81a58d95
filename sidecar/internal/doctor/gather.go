package doctor

import (
	"bufio"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/vty"
)

// Suite is what the doctor needs of the routing daemons; *vty.Router has it.
type Suite interface {
	Exec(ctx context.Context, d vty.Daemon, command string) (string, error)
	Configure(ctx context.Context, c vty.Class, lines ...string) error
	Running(ctx context.Context, d vty.Daemon) (vty.Block, error)
	Release(ctx context.Context, d vty.Daemon) (vty.Release, error)
	OSPFState(ctx context.Context) (vty.OSPFState, error)
	Neighbors(ctx context.Context) ([]vty.Neighbor, error)
}

// Place is where to look. The zero value is FRR as packaged, in the network
// namespace of this process.
type Place struct {
	Dir     string // of the sockets; "": /run/frr
	APIPort uint16 // of the OSPF-API; 0: 2607
	Net     string // directory with tcp and tcp6; "": /proc/self/net
	Sys     string // "": /proc/sys
	Zserv   string // zebra's own socket; "": zserv.api in Dir
	// Telnet: the daemons are asked over TCP alone, so their sockets need not be
	// there.
	Telnet bool
	// Elsewhere: the daemons run on another machine. Sockets, ports and sysctls
	// there cannot be looked at.
	Elsewhere bool
}

// DefaultAPIPort is ospfd's OSPF-API port (ospfd/ospf_api.h, OSPF_API_SYNC_PORT).
const DefaultAPIPort = 2607

// Gather collects the facts. A daemon that does not answer is a fact, not an
// error; the error is that of ctx.
func Gather(ctx context.Context, suite Suite, place Place, wants Wants) (Facts, error) {
	f := Facts{Wants: wants, Elsewhere: place.Elsewhere, Missing: map[vty.Daemon]string{}}
	f.Zebra = running(ctx, suite, vty.Zebra, f.Missing)
	f.BFD = running(ctx, suite, vty.BFD, f.Missing)
	f.OSPF = running(ctx, suite, vty.OSPF, f.Missing)
	if f.Missing[vty.OSPF] == "" {
		if err := f.askOSPF(ctx, suite); err != nil {
			f.Missing[vty.OSPF] = err.Error()
		}
	}
	if err := ctx.Err(); err != nil {
		return f, fmt.Errorf("examining FRR: %w", context.Cause(ctx))
	}
	if place.Elsewhere {
		return f, nil
	}
	dir := cmp.Or(place.Dir, vty.DefaultDir)
	sockets := []Socket{
		{Path: filepath.Join(dir, "zebra.vty"), Daemon: vty.Zebra},
		{Path: filepath.Join(dir, "ospfd.vty"), Daemon: vty.OSPF},
		{Path: cmp.Or(place.Zserv, filepath.Join(dir, "zserv.api")), Daemon: vty.Zebra},
	}
	if place.Telnet {
		sockets = sockets[2:]
	}
	for _, s := range sockets {
		f.Sockets = append(f.Sockets, examineSocket(s))
	}
	f.API = lookForAPI(cmp.Or(place.Net, "/proc/self/net"), cmp.Or(place.APIPort, DefaultAPIPort))
	f.Sysctls = readSysctls(cmp.Or(place.Sys, "/proc/sys"))
	return f, nil
}

func running(ctx context.Context, suite Suite, d vty.Daemon, missing map[vty.Daemon]string) vty.Block {
	b, err := suite.Running(ctx, d)
	if err != nil {
		missing[d] = err.Error()
	}
	return b
}

func (f *Facts) askOSPF(ctx context.Context, suite Suite) (err error) {
	if f.Release, err = suite.Release(ctx, vty.OSPF); err != nil {
		return err
	}
	if f.State, err = suite.OSPFState(ctx); err != nil || !f.State.Running {
		return err
	}
	if f.Neighbors, err = suite.Neighbors(ctx); err != nil {
		return err
	}
	if f.quagga() {
		f.quaggaTimers()
		text, err := suite.Exec(ctx, vty.OSPF, "show ip ospf interface")
		if err != nil {
			return err
		}
		f.Interfaces, err = ParseInterfacesText(text)
		return err
	}
	text, err := suite.Exec(ctx, vty.OSPF, "show ip ospf interface json")
	switch {
	case errors.Is(err, vty.ErrUnsafe):
		f.Interfaces = interfacesOf(f.Neighbors)
		return nil
	case err != nil:
		return err
	}
	f.Interfaces, err = ParseInterfaces(text)
	return err
}

// interfacesOf is what neighbours tell of interfaces.
func interfacesOf(neighbors []vty.Neighbor) (all []Interface) {
	for _, n := range neighbors {
		if !slices.ContainsFunc(all, func(i Interface) bool { return i.Name == n.Interface }) {
			all = append(all, Interface{Name: n.Interface})
		}
	}
	return all
}

// ParseInterfaces reads `show ip ospf interface json`, sorted by name. Several
// addresses of one interface are one entry there; up to FRR 7 the interfaces
// are not wrapped in "interfaces".
func ParseInterfaces(text string) ([]Interface, error) {
	const what = "show ip ospf interface json"
	var raw struct {
		Interfaces map[string]json.RawMessage `json:"interfaces"`
	}
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if raw.Interfaces == nil {
		if err := json.Unmarshal([]byte(text), &raw.Interfaces); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	var all []Interface
	for name, part := range raw.Interfaces {
		var r struct {
			Enabled bool            `json:"ospfEnabled"`
			Area    string          `json:"area"` // "0.0.0.1 [Stub]" in a stub area
			Passive bool            `json:"timerPassiveIface"`
			Dead    json.RawMessage `json:"timerDeadSecs"`
			State   string          `json:"state"`
			Network string          `json:"networkType"`
			Count   json.RawMessage `json:"nbrFilteredCount"`
		}
		if err := json.Unmarshal(part, &r); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", what, name, err)
		}
		if !r.Enabled {
			continue
		}
		i := Interface{Name: name, Passive: r.Passive}
		id, _, _ := strings.Cut(r.Area, " ")
		i.Area, _ = netip.ParseAddr(id)
		i.Dead, _ = strconv.Atoi(string(r.Dead))
		neighbors, _ := strconv.Atoi(string(r.Count))
		i.Designated = r.State == "DR" && r.Network == "BROADCAST" && neighbors > 0
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

func examineSocket(s Socket) Socket {
	info, err := os.Stat(s.Path)
	if err == nil {
		s.Mode = fmt.Sprintf("It is %v.", info.Mode())
		err = unix.Access(s.Path, unix.R_OK|unix.W_OK)
	}
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		s.Err = "it is not there"
	case errors.Is(err, fs.ErrPermission):
		s.Err = "permission denied"
	default:
		s.Err = err.Error()
	}
	return s
}

// lookForAPI looks for a listener on the port in /proc/net/tcp and tcp6
// (proc_pid_net(5): addresses are hexadecimal words in host order, state 0A is
// LISTEN). The port is not dialled: ospfd takes a connection for a client.
func lookForAPI(dir string, port uint16) API {
	api := API{Port: port}
	for _, name := range []string{"tcp", "tcp6"} {
		file, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && name == "tcp6" {
			continue
		}
		if err != nil {
			api.Err = err.Error()
			return api
		}
		addr, ok := listener(file, port)
		file.Close()
		if ok {
			api.Listening, api.Address = true, addr
			return api
		}
	}
	return api
}

func listener(r io.Reader, port uint16) (netip.Addr, bool) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		w := strings.Fields(lines.Text())
		if len(w) < 4 || w[3] != "0A" {
			continue
		}
		host, number, _ := strings.Cut(w[1], ":")
		if n, err := strconv.ParseUint(number, 16, 16); err != nil || uint16(n) != port {
			continue
		}
		raw, err := hex.DecodeString(host)
		if err != nil || len(raw)%4 != 0 {
			continue
		}
		for i := 0; i < len(raw); i += 4 { // little-endian words
			slices.Reverse(raw[i : i+4])
		}
		if addr, ok := netip.AddrFromSlice(raw); ok {
			return addr.Unmap(), true
		}
	}
	return netip.Addr{}, false
}

func readSysctls(sys string) map[string]string {
	found := map[string]string{}
	names := []string{"net/ipv4/ip_forward"}
	filters, _ := filepath.Glob(filepath.Join(sys, "net/ipv4/conf/*/rp_filter"))
	for _, path := range filters {
		if rel, err := filepath.Rel(sys, path); err == nil {
			names = append(names, rel)
		}
	}
	for _, name := range names {
		if text, err := os.ReadFile(filepath.Join(sys, name)); err == nil {
			found[sysctlName(name)] = strings.TrimSpace(string(text))
		}
	}
	return found
}

// sysctlName writes a path as sysctl(8) wants it: a dot inside an interface's
// name becomes a slash.
func sysctlName(path string) string {
	return strings.NewReplacer("/", ".", ".", "/").Replace(path)
}

// Apply sets the lines of the findings, each node by itself, and examines
// again. A line that is refused does not keep the others from being set; the
// error names each.
func Apply(ctx context.Context, suite Suite, place Place, wants Wants, findings []Finding) (after Report, err error) {
	var failed error
	for _, l := range Merge(findings) {
		if err := suite.Configure(ctx, l.Class, l.All()...); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", strings.Join(l.All(), " / "), err))
		}
	}
	f, err := Gather(ctx, suite, place, wants)
	if err != nil {
		return Report{}, errors.Join(failed, err)
	}
	return NewReport(f), failed
}
