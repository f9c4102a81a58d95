package vty

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OSPFState is what `show ip ospf json` says of the default instance.
type OSPFState struct {
	// Running is false where ospfd runs without `router ospf`; all else is
	// zero then. It must be true before the OSPF-API is spoken to: older
	// releases crash.
	Running bool
	// RouterID is in use, explicit or not, see [Block.ExplicitRouterID].
	RouterID      netip.Addr
	OpaqueCapable bool
	ABR, ASBR     bool
	SPFDelay      time.Duration // `timers throttle spf`, first value
	SPFHold       time.Duration // its second
	LSAMinArrival time.Duration // `timers lsa min-arrival`
	LSAInterval   time.Duration // `timers throttle lsa all`
	Areas         []OSPFArea    // by ID
}

// OSPFArea is one attached area.
type OSPFArea struct {
	ID       netip.Addr
	Backbone bool
	// StubNoSummary and NSSA are shown; a plain stub area shows nothing, see
	// [Block.AreaKindOf].
	StubNoSummary, NSSA bool
	ActiveInterfaces    int
	FullNeighbors       int
}

// ParseOSPF reads `show ip ospf json` (ospfd/ospf_vty.c, show_ip_ospf_common).
// An ospfd without `router ospf` gives no error and Running false.
func ParseOSPF(text string) (OSPFState, error) {
	var raw struct {
		RouterID   *netip.Addr `json:"routerId"`
		Opaque     bool        `json:"opaqueCapable"`
		ABR        string      `json:"abrType"`    // there only on an ABR
		ASBR       string      `json:"asbrRouter"` // there only on an ASBR
		SPFDelay   int64       `json:"spfScheduleDelayMsecs"`
		SPFHold    int64       `json:"holdtimeMinMsecs"`
		MinArrival int64       `json:"lsaMinArrivalMsecs"`
		Interval   int64       `json:"lsaMinIntervalMsecs"`
		Areas      map[string]struct {
			Backbone      bool `json:"backbone"`
			StubNoSummary bool `json:"stubNoSummary"`
			NSSA          bool `json:"nssa"`
			NSSANoSummary bool `json:"nssaNoSummary"`
			Active        int  `json:"areaIfActiveCounter"`
			Full          int  `json:"nbrFullAdjacentCounter"`
		} `json:"areas"`
	}
	if notEnabled(text) {
		return OSPFState{}, nil
	}
	if err := decodeJSON("show ip ospf json", text, &raw); err != nil {
		return OSPFState{}, err
	}
	if raw.RouterID == nil {
		return OSPFState{}, nil
	}
	if !raw.RouterID.Is4() {
		return OSPFState{}, fmt.Errorf("show ip ospf json: %q is no router id", raw.RouterID)
	}
	state := OSPFState{
		Running: true, RouterID: *raw.RouterID, OpaqueCapable: raw.Opaque,
		ABR: raw.ABR != "", ASBR: raw.ASBR != "",
		SPFDelay: milliseconds(raw.SPFDelay), SPFHold: milliseconds(raw.SPFHold),
		LSAMinArrival: milliseconds(raw.MinArrival), LSAInterval: milliseconds(raw.Interval),
	}
	for name, a := range raw.Areas {
		id, ok := parseAreaID(name)
		if !ok {
			return OSPFState{}, fmt.Errorf("show ip ospf json: area %q is no area id", name)
		}
		state.Areas = append(state.Areas, OSPFArea{
			ID: id, Backbone: a.Backbone, StubNoSummary: a.StubNoSummary,
			NSSA: a.NSSA || a.NSSANoSummary, ActiveInterfaces: a.Active, FullNeighbors: a.Full,
		})
	}
	slices.SortFunc(state.Areas, func(a, b OSPFArea) int { return a.ID.Compare(b.ID) })
	return state, nil
}

// Neighbor is one row of `show ip ospf neighbor json`.
type Neighbor struct {
	RouterID  netip.Addr // invalid for an NBMA neighbour not heard of yet
	Address   netip.Addr
	Interface string     // our interface's name
	Local     netip.Addr // our address on it; invalid where not shown
	State     string     // RFC 2328 10.1 as FRR spells it: "Full", "2-Way", "ExStart", ...
	Role      string     // "DR", "Backup", "DROther", "-"; empty where not shown
	Priority  int
	// DeadIn is the rest of the RouterDeadInterval; negative where the timer
	// does not run.
	DeadIn time.Duration
}

// Full reports whether the adjacency is complete.
func (n Neighbor) Full() bool { return n.State == "Full" }

// ParseNeighbors reads `show ip ospf neighbor json`: key "state" up to 9.x,
// "nbrState" from 8.x on, likewise the timer and the address. The rows are
// ordered by interface, address and router id.
func ParseNeighbors(text string) ([]Neighbor, error) {
	const what = "show ip ospf neighbor json"
	var raw struct {
		Neighbors map[string][]struct {
			State, NbrState       string
			Role                  string
			Address, IfaceAddress netip.Addr
			IfaceName             string
			Priority, NbrPriority int
			DeadTimeMsecs         json.RawMessage
			DeadDue               json.RawMessage `json:"routerDeadIntervalTimerDueMsec"`
		} `json:"neighbors"`
	}
	if notEnabled(text) {
		return nil, nil
	}
	if err := decodeJSON(what, text, &raw); err != nil {
		return nil, err
	}
	var all []Neighbor
	for id, rows := range raw.Neighbors {
		router, _ := netip.ParseAddr(id) // "neighbor-id not known" rows have words here
		for _, row := range rows {
			n := Neighbor{
				RouterID: router, Address: row.IfaceAddress, Role: row.Role,
				Priority: max(row.Priority, row.NbrPriority), DeadIn: -1,
			}
			if !n.Address.IsValid() {
				n.Address = row.Address
			}
			state, role, _ := strings.Cut(cmp.Or(row.NbrState, row.State), "/")
			n.State, n.Role = state, cmp.Or(n.Role, role)
			n.Interface, n.Local = splitInterface(row.IfaceName)
			for _, ms := range []json.RawMessage{row.DeadDue, row.DeadTimeMsecs} {
				if v, err := strconv.ParseInt(string(ms), 10, 64); err == nil {
					n.DeadIn = milliseconds(v)
					break
				}
			}
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b Neighbor) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), a.Address.Compare(b.Address), a.RouterID.Compare(b.RouterID))
	})
	return all, nil
}

// splitInterface takes "eth0:10.0.0.1" apart (ospfd/ospf_interface.h, IF_NAME);
// a label such as "lo:x" is not an address and stays.
func splitInterface(name string) (string, netip.Addr) {
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		if a, err := netip.ParseAddr(name[i+1:]); err == nil && a.Is4() {
			return name[:i], a
		}
	}
	return name, netip.Addr{}
}

// Route is one candidate for a prefix in zebra's table.
type Route struct {
	Prefix   netip.Prefix
	Protocol string // "ospf", "connected", "local", "kernel", "table", ...
	Selected bool   // zebra's choice among the candidates
	// Installed is zebra's word for what it put into the kernel.
	Installed bool
	Distance  int
	Metric    int64
	Table     int64
	Nexthops  []Nexthop
}

// Nexthop is one way of a Route.
type Nexthop struct {
	Gateway   netip.Addr `json:"ip"` // invalid where directly connected
	Interface string     `json:"interfaceName"`
	Active    bool       `json:"active"`
	FIB       bool       `json:"fib"`
	Blackhole bool       `json:"blackhole"`
}

// ParseRoutes reads `show ip route ... json`, ordered by prefix, candidates in
// zebra's order. On FRR 10 an address has both a "local" and a "connected"
// one. "{}" is no route, which zebra also marks as a warning.
func ParseRoutes(text string) ([]Route, error) {
	var raw map[netip.Prefix][]struct {
		Protocol            string
		Selected, Installed bool
		Distance            int
		Metric, Table       int64
		Nexthops            []Nexthop
	}
	if err := decodeJSON("show ip route json", text, &raw); err != nil {
		return nil, err
	}
	var all []Route
	for prefix, candidates := range raw {
		if !prefix.IsValid() { // the key "" decodes without an error
			return nil, errors.New("show ip route json: a route without a prefix")
		}
		for _, c := range candidates {
			all = append(all, Route{
				Prefix: prefix, Protocol: c.Protocol, Selected: c.Selected, Installed: c.Installed,
				Distance: c.Distance, Metric: c.Metric, Table: c.Table, Nexthops: c.Nexthops,
			})
		}
	}
	slices.SortStableFunc(all, func(a, b Route) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	return all, nil
}

// External is one type-5 LSA of `show ip ospf database external json`.
type External struct {
	Prefix         netip.Prefix
	Router         netip.Addr // advertising router
	Age            time.Duration
	Sequence       uint32
	Checksum       uint16
	Type2          bool // metric type 2 (RFC 2328 A.4.5, E bit)
	Metric         uint32
	ForwardAddress netip.Addr
	Tag            uint32
}

// ParseExternals reads `show ip ospf database external [ID] [self-originate]
// json` of FRR 8.4 and later, ordered by prefix and router; 7.5 has no such
// command (status 2): see ParseExternalsText.
func ParseExternals(text string) ([]External, error) {
	const what = "show ip ospf database external json"
	type lsa struct {
		LinkStateID netip.Addr
		Router      netip.Addr `json:"advertisingRouter"`
		Age         int64      `json:"lsaAge"`
		Sequence    string     `json:"lsaSeqNumber"`
		Checksum    string
		Mask        int `json:"networkMask"` // prefix length
		MetricType  string
		Metric      uint32
		Forward     netip.Addr `json:"forwardAddress"`
		Tag         uint32     `json:"externalRouteTag"`
	}
	var raw struct {
		ByID map[string]lsa  `json:"AS External Link States"` // 8.x, all
		List json.RawMessage `json:"asExternalLinkStates"`    // 8.x by ID, 10.x
	}
	if notEnabled(text) {
		return nil, nil
	}
	if err := decodeJSON(what, text, &raw); err != nil {
		return nil, err
	}
	var list []lsa
	switch head := bytes.TrimSpace(raw.List); {
	case len(head) > 0 && head[0] == '{':
		if err := decodeJSON(what, string(head), &raw.ByID); err != nil {
			return nil, err
		}
	case len(head) > 0:
		if err := decodeJSON(what, string(head), &list); err != nil {
			return nil, err
		}
	}
	for _, l := range raw.ByID {
		list = append(list, l)
	}
	var all []External
	for _, l := range list {
		if !l.LinkStateID.Is4() || !l.Router.Is4() { // absent ones decode without an error
			return nil, fmt.Errorf("%s: LSA with link state id %q of router %q", what, l.LinkStateID, l.Router)
		}
		sequence, err1 := strconv.ParseUint(l.Sequence, 16, 32)
		checksum, err2 := strconv.ParseUint(l.Checksum, 16, 16)
		prefix, err3 := l.LinkStateID.Prefix(l.Mask)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("%s: LSA %s: %w", what, l.LinkStateID, err)
		}
		all = append(all, External{
			Prefix: prefix, Router: l.Router, Age: time.Duration(l.Age) * time.Second,
			Sequence: uint32(sequence), Checksum: uint16(checksum),
			Type2: strings.HasPrefix(l.MetricType, "E2"), Metric: l.Metric,
			ForwardAddress: l.Forward, Tag: l.Tag,
		})
	}
	sortExternals(all)
	return all, nil
}

func sortExternals(all []External) {
	slices.SortFunc(all, func(a, b External) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()), a.Router.Compare(b.Router))
	})
}

// ParseExternalsText reads the same without json, which is all that 7.5 has.
func ParseExternalsText(text string) ([]External, error) {
	const what = "show ip ospf database external"
	if notEnabled(text) || strings.HasPrefix(strings.TrimSpace(text), "% OSPF instance not found") {
		return nil, nil
	}
	if !strings.Contains(text, "OSPF Router with ID") {
		return nil, fmt.Errorf("%s: no router", what)
	}
	var all []External
	for i, lsa := range strings.Split(text, "LS age: ")[1:] {
		x, err := externalOf("LS age: " + lsa)
		if err != nil {
			return nil, fmt.Errorf("%s: LSA %d: %w", what, i+1, err)
		}
		all = append(all, x)
	}
	sortExternals(all)
	return all, nil
}

func externalOf(text string) (External, error) {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			values[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	var errs []error
	number := func(key string, base, bits int) uint64 {
		n, err := strconv.ParseUint(strings.TrimPrefix(values[key], "0x"), base, bits)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
		return n
	}
	address := func(key string) netip.Addr {
		word, _, _ := strings.Cut(values[key], " ")
		a, err := netip.ParseAddr(word)
		if err == nil && !a.Is4() {
			err = errors.New("no IPv4 address")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
		return a
	}
	values["Network Mask"] = strings.TrimPrefix(values["Network Mask"], "/")
	x := External{
		Router: address("Advertising Router"), Age: time.Duration(number("LS age", 10, 16)) * time.Second,
		Sequence: uint32(number("LS Seq Number", 16, 32)), Checksum: uint16(number("Checksum", 16, 16)),
		Type2: strings.HasPrefix(values["Metric Type"], "2"), Metric: uint32(number("Metric", 10, 32)),
		ForwardAddress: address("Forward Address"), Tag: uint32(number("External Route Tag", 10, 32)),
	}
	id, mask := address("Link State ID"), number("Network Mask", 10, 8)
	if len(errs) == 0 {
		var err error
		if x.Prefix, err = id.Prefix(int(mask)); err != nil {
			errs = append(errs, err)
		}
	}
	return x, errors.Join(errs...)
}

// OSPFState asks ospfd for its state.
func (r *Router) OSPFState(ctx context.Context) (OSPFState, error) {
	return show(ctx, r, OSPF, question[OSPFState]{"show ip ospf json", ParseOSPF}, question[OSPFState]{"show ip ospf", ParseOSPFText})
}

// Neighbors asks ospfd for its neighbours.
func (r *Router) Neighbors(ctx context.Context) ([]Neighbor, error) {
	return show(ctx, r, OSPF, question[[]Neighbor]{"show ip ospf neighbor json", ParseNeighbors},
		question[[]Neighbor]{"show ip ospf neighbor", ParseNeighborsText})
}

// Running asks a daemon for its running configuration.
func (r *Router) Running(ctx context.Context, d Daemon) (Block, error) {
	same := question[Block]{"show running-config", func(text string) (Block, error) { return ParseRunning(text), nil }}
	return show(ctx, r, d, same, same)
}

// Routes asks zebra for the candidates of exactly this prefix; none is no error.
func (r *Router) Routes(ctx context.Context, prefix netip.Prefix) ([]Route, error) {
	family := "ip"
	if prefix.Addr().Is6() {
		family = "ipv6"
	}
	return r.routes(ctx, "show "+family+" route "+prefix.String()+" json")
}

// KernelRoutes asks zebra for the IPv4 routes that it takes for the kernel's own.
func (r *Router) KernelRoutes(ctx context.Context) ([]Route, error) {
	return r.routes(ctx, "show ip route kernel json")
}

func (r *Router) routes(ctx context.Context, command string) ([]Route, error) {
	text, err := r.Exec(ctx, Zebra, command)
	var status *StatusError
	if errors.As(err, &status) && status.Status == StatusWarning && status.Text == "{}" {
		return nil, nil // how zebra 8.4 says that there is none
	}
	if err != nil {
		return nil, err
	}
	return ParseRoutes(text)
}

// OwnExternals asks ospfd for the type-5 LSAs it originates.
func (r *Router) OwnExternals(ctx context.Context) ([]External, error) {
	own := question[[]External]{"show ip ospf database external self-originate json", ParseExternals}
	all, err := show(ctx, r, OSPF, own, question[[]External]{})
	var unknown *StatusError
	if errors.As(err, &unknown) && unknown.Status == StatusNoMatch { // 7.5
		own = question[[]External]{"show ip ospf database external self-originate", ParseExternalsText}
		return show(ctx, r, OSPF, own, question[[]External]{})
	}
	return all, err
}

// question is a command, and how its answer is read.
type question[T any] struct {
	command string // "": the suite has none
	parse   func(string) (T, error)
}

// show asks what the suite of the daemon understands.
func show[T any](ctx context.Context, r *Router, d Daemon, frr, quagga question[T]) (answer T, err error) {
	err = r.with(ctx, d, func(s *Session, rel Release) error {
		q := frr
		if !rel.FRR() {
			q = quagga
		}
		if q.command == "" {
			return fmt.Errorf("%s: %s does not know %q", d, rel, frr.command)
		}
		if err := Safe(rel, d, q.command); err != nil {
			return err
		}
		text, err := s.Exec(ctx, q.command)
		if err != nil {
			return err
		}
		answer, err = q.parse(text)
		return err
	})
	return answer, err
}

// decodeJSON decodes one JSON value and nothing behind it.
func decodeJSON(what, text string, into any) error {
	dec := json.NewDecoder(strings.NewReader(text))
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: more than one JSON value", what)
	}
	return nil
}

// notEnabled knows the answers of an ospfd without `router ospf`, all with
// status 0: nothing at all, or words where JSON was asked for (8.4: "% OSPF is
// not enabled on vrf default").
func notEnabled(text string) bool {
	text = strings.TrimSpace(text)
	return text == "" || strings.HasPrefix(text, "% OSPF is not enabled")
}

// parseAreaID reads "0.0.0.1" or "1".
func parseAreaID(s string) (netip.Addr, bool) {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(n))
		return netip.AddrFrom4(b), true
	}
	id, err := netip.ParseAddr(s)
	return id, err == nil && id.Is4()
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
