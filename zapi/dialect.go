package zapi

import (
	"fmt"
	"strconv"
	"strings"
)

// A Dialect is how one range of FRR releases speaks ZAPI. It is an immutable
// value, comparable with ==, chosen once by DialectFor. The zero Dialect is not
// valid: every encode and decode with it is an error.
type Dialect struct {
	t *dialectTable
}

// release is an FRR release without its patch level. Patch releases have never
// changed ZAPI (checked over all tags from frr-7.5 to frr-10.7.0).
type release struct{ major, minor int }

func (r release) String() string { return fmt.Sprintf("%d.%d", r.major, r.minor) }

func (r release) less(o release) bool {
	return r.major < o.major || r.major == o.major && r.minor < o.minor
}

// absent is the number of a command or route type a dialect does not have.
const absent = 0xffff

// dialectTable holds everything that differs between releases. The origin of
// the numbers is enum zebra_message_types_t in lib/zclient.h and the order of
// lib/route_types.txt; of the layouts, the encoders and decoders in
// lib/zclient.c, zebra/zapi_msg.c and zebra/zebra_rnh.c at the release's tag.
type dialectTable struct {
	name     string
	releases []release
	numbers  [commandCount]uint16
	commands map[uint16]Command // the inverse of numbers
	types    []RouteType        // by number on the wire
	layout   layout
	early    *early // of ZAPI 2 to 4; nil: ZAPI 6
}

// layout says which fields exist and how wide they are.
type layout struct {
	helloNotify   bool // HELLO has receive_notify; otherwise ROUTE_NOTIFY_REQUEST asks
	ifNameSize    int  // INTERFACE_NAMSIZ
	ifTxqlen      bool // INTERFACE: u32 txqlen after speed
	ifZifType     bool // INTERFACE: u32 zif_type after link_ifindex
	netnsNameSize int  // NS_NAMSIZ in struct vrf_data

	capBackend8 bool // CAPABILITIES: VRF backend is one byte, not four
	capV6V4     bool // CAPABILITIES: v6_with_v4_nexthop
	capGR       bool // CAPABILITIES: graceful_restart

	noteAFI    bool // NOTIFY_OWNER ends in afi and safi
	noteSource bool // NOTIFY_OWNER has the source prefix

	rnhSAFI    bool // NEXTHOP_REGISTER has resolve_via_default and safi
	rnhMatched bool // NEXTHOP_UPDATE has what was asked and what matched
	rnhCount16 bool // NEXTHOP_UPDATE: nexthop count is two bytes

	msgNHG, msgTable, msgSRTE, msgOpaque uint32 // ZAPI_MESSAGE_*; 0 where absent
	routeFlagTable                       uint32 // ZEBRA_FLAG_TABLEID, set with msgTable

	nhEVPN      bool // ZAPI_NEXTHOP_FLAG_EVPN; before it, the route's flag says so
	nhLabelType bool // u8 label_type after the label count
	nhWeight64  bool // weight is eight bytes
	nhSeg6Local int  // bytes after ZAPI_NEXTHOP_FLAG_SEG6LOCAL; 0: no such flag
	nhSeg6      seg6Layout
}

type seg6Layout uint8

const (
	seg6None      seg6Layout = iota // no ZAPI_NEXTHOP_FLAG_SEG6
	seg6One                         // one segment
	seg6List                        // u8 count, segments
	seg6Behaviour                   // u8 count, segments, u32 encapsulation behaviour
)

// numbering is one set of message numbers; the fields are the ones that moved.
type numbering struct {
	route, routerID, hello, nexthop, redistRoute, vrf, error, notifyRequest uint16
}

func (n numbering) table() (t [commandCount]uint16) {
	for i := range t {
		t[i] = absent
	}
	t[CommandInterfaceAdd] = 0
	t[CommandInterfaceDelete] = 1
	t[CommandAddressAdd] = 2
	t[CommandAddressDelete] = 3
	t[CommandInterfaceUp] = 4
	t[CommandInterfaceDown] = 5
	t[CommandRouteAdd] = n.route
	t[CommandRouteDelete] = n.route + 1
	t[CommandNotifyOwner] = n.route + 2
	t[CommandRedistributeAdd] = n.route + 3
	t[CommandRedistributeDelete] = n.route + 4
	t[CommandRouterIDAdd] = n.routerID
	t[CommandRouterIDUpdate] = n.routerID + 2
	t[CommandHello] = n.hello
	t[CommandCapabilities] = n.hello + 1
	t[CommandNexthopRegister] = n.nexthop
	t[CommandNexthopUnregister] = n.nexthop + 1
	t[CommandNexthopUpdate] = n.nexthop + 2
	t[CommandRedistributeRouteAdd] = n.redistRoute
	t[CommandRedistributeRouteDelete] = n.redistRoute + 1
	t[CommandVRFAdd] = n.vrf
	t[CommandVRFDelete] = n.vrf + 1
	t[CommandError] = n.error
	t[CommandRouteNotifyRequest] = n.notifyRequest
	return t
}

// lib/route_types.txt of FRR 7.5 to 9.1.
var types7 = []RouteType{
	RouteSystem, RouteKernel, RouteConnect, RouteStatic, RouteRIP, RouteRIPng, RouteOSPF, RouteOSPF6, RouteISIS,
	RouteBGP, RoutePIM, RouteEIGRP, RouteNHRP, RouteHSLS, RouteOLSR, RouteTable, RouteLDP, RouteVNC, RouteVNCDirect,
	RouteVNCDirectRH, RouteBGPDirect, RouteBGPDirectExt, RouteBabel, RouteSHARP, RoutePBR, RouteBFD, RouteOpenFabric,
	RouteVRRP, RouteNHG, RouteSRTE, RouteAll,
}

// lib/route_types.txt of FRR 10.0 to 10.7: LOCAL came in, and TABLE_DIRECT.
var types10 = []RouteType{
	RouteSystem, RouteKernel, RouteConnect, RouteLocal, RouteStatic, RouteRIP, RouteRIPng, RouteOSPF, RouteOSPF6,
	RouteISIS, RouteBGP, RoutePIM, RouteEIGRP, RouteNHRP, RouteHSLS, RouteOLSR, RouteTable, RouteLDP, RouteVNC,
	RouteVNCDirect, RouteVNCDirectRH, RouteBGPDirect, RouteBGPDirectExt, RouteBabel, RouteSHARP, RoutePBR, RouteBFD,
	RouteOpenFabric, RouteVRRP, RouteNHG, RouteSRTE, RouteTableDirect, RouteAll,
}

// dialects are in the order of their releases. Each is built from its
// predecessor by stating what that release changed.
var dialects = buildDialects()

func buildDialects() []*dialectTable {
	n := numbering{route: 8, routerID: 15, hello: 18, nexthop: 20, redistRoute: 33, vrf: 36, error: 112, notifyRequest: absent}
	types := types7
	l := layout{helloNotify: true, ifNameSize: 20, netnsNameSize: 16, msgTable: 0x80, msgSRTE: 0x100}

	var all []*dialectTable
	add := func(releases ...release) {
		t := &dialectTable{releases: releases, numbers: n.table(), types: types, layout: l}
		t.name = "FRR " + releases[0].String()
		if len(releases) > 1 {
			t.name += "-" + releases[len(releases)-1].String()
		}
		t.commands = make(map[uint16]Command, commandCount)
		for c, number := range t.numbers {
			if number != absent {
				t.commands[number] = Command(c)
			}
		}
		all = append(all, t)
	}

	add(release{7, 5})

	n.error, n.notifyRequest = 117, 123
	l.netnsNameSize = 36
	l.noteAFI = true
	l.msgNHG, l.msgTable, l.msgSRTE, l.msgOpaque = 0x80, 0x100, 0x200, 0x400
	add(release{8, 0})

	n.error, n.notifyRequest = 121, 127
	l.nhSeg6Local, l.nhSeg6 = 4+24, seg6One
	add(release{8, 1})

	n.redistRoute, n.vrf, n.error, n.notifyRequest = 30, 33, 118, 124
	l.rnhSAFI, l.rnhMatched = true, true
	add(release{8, 2})

	l.ifNameSize = 16
	add(release{8, 3})

	l.nhEVPN = true
	add(release{8, 4}, release{8, 5})

	l.nhLabelType = true
	add(release{9, 0})

	n.error, n.notifyRequest = 117, 123
	l.ifTxqlen, l.capV6V4 = true, true
	l.nhSeg6Local, l.nhSeg6 = 4+32, seg6List
	add(release{9, 1})

	n = numbering{route: 9, routerID: 16, hello: 19, nexthop: 21, redistRoute: 31, vrf: 34, error: 118, notifyRequest: 124}
	types = types10
	l.helloNotify = false
	add(release{10, 0})

	l.nhWeight64 = true
	add(release{10, 1})

	n.vrf, n.error, n.notifyRequest = 33, 120, 126
	l.capGR = true
	l.nhSeg6Local = 4 + 36
	add(release{10, 2})

	l.noteSource, l.rnhCount16 = true, true
	add(release{10, 3})

	l.nhSeg6 = seg6Behaviour
	l.routeFlagTable = 0x800
	add(release{10, 4}, release{10, 5})

	l.ifZifType, l.capBackend8 = true, true
	l.nhSeg6Local = 4 + 40
	add(release{10, 6}, release{10, 7})

	return all
}

// Dialects returns every dialect of ZAPI 6, oldest first; see EarlyDialects.
func Dialects() []Dialect {
	ds := make([]Dialect, len(dialects))
	for i, t := range dialects {
		ds[i] = Dialect{t}
	}
	return ds
}

// NewestRelease is the newest FRR release this package knows, as "10.7".
func NewestRelease() string {
	last := dialects[len(dialects)-1].releases
	return last[len(last)-1].String()
}

// DialectFor finds the dialect of an FRR release. It takes the release itself
// ("8.4.4", "10.3"), a package version ("7.5.1-1.1+deb11u1") or what zebra's VTY
// answers to "show version" ("FRRouting 8.4.4 (host) on Linux(6.1.0)." and the
// lines after it). Quagga's releases want its name before them: "Quagga 1.2.4".
//
// The error is an *UnknownReleaseError. A release newer than those known is
// such an error too: nobody knows what the numbers mean there.
func DialectFor(version string) (Dialect, error) {
	return dialectFor(version, false)
}

// DialectForOrNewest is DialectFor, except that a release newer than every
// known one is spoken to as the newest known. That may be wrong in ways zebra
// cannot notice, so it is for an operator who asked for it by name.
func DialectForOrNewest(version string) (Dialect, error) {
	return dialectFor(version, true)
}

func dialectFor(version string, newerAsNewest bool) (Dialect, error) {
	fail := func(newer bool, format string, args ...any) (Dialect, error) {
		return Dialect{}, &UnknownReleaseError{Version: shorten(version), Why: fmt.Sprintf(format, args...), Newer: newer}
	}
	word := strings.TrimSpace(version)
	if _, after, found := strings.Cut(word, "FRRouting "); found {
		word = strings.TrimSpace(after)
	} else if after, found := strings.CutPrefix(word, "Quagga "); found {
		d, why := earlyDialectFor(strings.TrimSpace(after), true)
		if !d.Valid() {
			return fail(false, "%s", why)
		}
		return d, nil
	}
	word, _, _ = strings.Cut(word, " ")
	word, _, _ = strings.Cut(word, "\n")
	r, rest, ok := parseRelease(word)
	if !ok {
		return fail(false, "want a release such as 8.4.4 or 10.3")
	}

	if d, _ := earlyDialectFor(word, false); d.Valid() {
		return d, nil
	}
	newest := dialects[len(dialects)-1]
	last := newest.releases[len(newest.releases)-1]
	switch {
	case r.less(dialects[0].releases[0]):
		return fail(false, "older than %s, the oldest release known here", dialects[0].releases[0])
	case last.less(r):
		if newerAsNewest {
			return Dialect{newest}, nil
		}
		return fail(true, "newer than %s, the newest release known here, and its message numbers are not known", last)
	case strings.Contains(rest, "dev") && !strings.Contains(rest, "+deb"):
		return fail(false, "a development version, whose message numbers may be of either release around it")
	}
	for _, t := range dialects {
		for _, known := range t.releases {
			if known == r {
				return Dialect{t}, nil
			}
		}
	}
	return fail(false, "FRR has no release %s", r)
}

// parseRelease reads "MAJOR.MINOR" off the front of a version.
func parseRelease(s string) (r release, rest string, ok bool) {
	number := func(s string) (int, string, bool) {
		end := 0
		for end < len(s) && s[end] >= '0' && s[end] <= '9' {
			end++
		}
		n, err := strconv.Atoi(s[:end])
		return n, s[end:], err == nil
	}
	if r.major, s, ok = number(s); !ok || !strings.HasPrefix(s, ".") {
		return release{}, "", false
	}
	r.minor, rest, ok = number(s[1:])
	return r, rest, ok
}

func shorten(s string) string {
	s = strings.TrimSpace(s)
	if line, _, more := strings.Cut(s, "\n"); more {
		s = strings.TrimSpace(line)
	}
	return s[:min(len(s), 100)]
}

// Valid reports whether d came from DialectFor.
func (d Dialect) Valid() bool { return d.t != nil }

// String names the releases: "FRR 8.4-8.5".
func (d Dialect) String() string {
	if d.t == nil {
		return "no dialect"
	}
	return d.t.name
}

// Number is the number of a command on the wire; ok is false if the release has
// no such command.
func (d Dialect) Number(c Command) (number uint16, ok bool) {
	if d.t == nil || c >= commandCount || d.t.numbers[c] == absent {
		return 0, false
	}
	return d.t.numbers[c], true
}

// RouteNumber is the number of a route type on the wire; ok is false if the
// release has no such type.
func (d Dialect) RouteNumber(t RouteType) (number uint8, ok bool) {
	if d.t == nil {
		return 0, false
	}
	for i, known := range d.t.types {
		if known == t {
			return uint8(i), true
		}
	}
	return 0, false
}

func (d Dialect) routeType(number uint8) (RouteType, bool) {
	if int(number) >= len(d.t.types) {
		return 0, false
	}
	return d.t.types[number], true
}
