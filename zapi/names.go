package zapi

import "fmt"

// A Command is a message type, independent of the number a release gives it.
type Command uint8

// The commands this package has a layout for (ZEBRA_* in lib/zclient.h).
const (
	CommandInterfaceAdd            Command = iota // also the client's request for all interfaces
	CommandInterfaceDelete                        // to the client
	CommandAddressAdd                             // to the client
	CommandAddressDelete                          // to the client
	CommandInterfaceUp                            // to the client
	CommandInterfaceDown                          // to the client
	CommandRouteAdd                               // to zebra
	CommandRouteDelete                            // to zebra
	CommandNotifyOwner                            // to the client
	CommandRedistributeAdd                        // to zebra
	CommandRedistributeDelete                     // to zebra
	CommandRouterIDAdd                            // to zebra
	CommandRouterIDUpdate                         // to the client
	CommandHello                                  // to zebra
	CommandCapabilities                           // to the client
	CommandNexthopRegister                        // to zebra
	CommandNexthopUnregister                      // to zebra
	CommandNexthopUpdate                          // to the client
	CommandRedistributeRouteAdd                   // to the client
	CommandRedistributeRouteDelete                // to the client
	CommandVRFAdd                                 // to the client
	CommandVRFDelete                              // to the client
	CommandError                                  // to the client
	CommandRouteNotifyRequest                     // to zebra; asked in HELLO before FRR 10.0
	commandCount
)

var commandNames = [commandCount]string{
	"INTERFACE_ADD", "INTERFACE_DELETE", "INTERFACE_ADDRESS_ADD", "INTERFACE_ADDRESS_DELETE", "INTERFACE_UP",
	"INTERFACE_DOWN", "ROUTE_ADD", "ROUTE_DELETE", "ROUTE_NOTIFY_OWNER", "REDISTRIBUTE_ADD", "REDISTRIBUTE_DELETE",
	"ROUTER_ID_ADD", "ROUTER_ID_UPDATE", "HELLO", "CAPABILITIES", "NEXTHOP_REGISTER", "NEXTHOP_UNREGISTER",
	"NEXTHOP_UPDATE", "REDISTRIBUTE_ROUTE_ADD", "REDISTRIBUTE_ROUTE_DEL", "VRF_ADD", "VRF_DELETE", "ERROR",
	"ROUTE_NOTIFY_REQUEST",
}

// String is FRR's name without its ZEBRA_ prefix.
func (c Command) String() string {
	if c < commandCount {
		return commandNames[c]
	}
	return fmt.Sprintf("command %d", uint8(c))
}

// A RouteType says which protocol a route is of, independent of the number a
// release gives it (lib/route_types.txt).
type RouteType uint8

// The route types of all releases together.
const (
	RouteSystem RouteType = iota
	RouteKernel
	RouteConnect
	RouteLocal // since FRR 10.0
	RouteStatic
	RouteRIP
	RouteRIPng
	RouteOSPF
	RouteOSPF6
	RouteISIS
	RouteBGP
	RoutePIM
	RouteEIGRP
	RouteNHRP
	RouteHSLS
	RouteOLSR
	RouteTable
	RouteLDP
	RouteVNC
	RouteVNCDirect
	RouteVNCDirectRH
	RouteBGPDirect
	RouteBGPDirectExt
	RouteBabel
	RouteSHARP
	RoutePBR
	RouteBFD
	RouteOpenFabric
	RouteVRRP
	RouteNHG
	RouteSRTE
	RouteTableDirect // since FRR 10.0
	RouteAll         // a wildcard; no route is of it
	routeTypeCount
)

var routeTypeNames = [routeTypeCount]string{
	"system", "kernel", "connected", "local", "static", "rip", "ripng", "ospf", "ospf6", "isis", "bgp", "pim", "eigrp",
	"nhrp", "hsls", "olsr", "table", "ldp", "vnc", "vnc-direct", "vnc-rn", "bgp-direct", "bgp-direct-to-nve-groups",
	"babel", "sharp", "pbr", "bfd", "openfabric", "vrrp", "zebra", "srte", "table-direct", "any",
}

// String is the word FRR's "redistribute" and "show ip route" use.
func (t RouteType) String() string {
	if t < routeTypeCount {
		return routeTypeNames[t]
	}
	return fmt.Sprintf("route type %d", uint8(t))
}

// A Note is what zebra tells the owner of a route about it
// (enum zapi_route_notify_owner, lib/zclient.h).
type Note uint32

// The notes.
const (
	NoteFailed         Note = 0 // zebra could not install it
	NoteBetterAdminWon Note = 1 // another protocol's route to the prefix is better
	NoteInstalled      Note = 2 // it is the best route and in the kernel
	NoteRemoved        Note = 3 // it is out of the kernel
	NoteRemoveFailed   Note = 4 // zebra could not take it out of the kernel
)

// String is a short phrase for people.
func (n Note) String() string {
	switch n {
	case NoteFailed:
		return "zebra could not install it"
	case NoteBetterAdminWon:
		return "another route to the prefix is better"
	case NoteInstalled:
		return "installed"
	case NoteRemoved:
		return "removed"
	case NoteRemoveFailed:
		return "zebra could not remove it from the kernel"
	}
	return fmt.Sprintf("note %d", uint32(n))
}

// An AFI is an address family as registrations carry it (afi_t, lib/zebra.h).
type AFI uint8

// The address families.
const (
	AFIIPv4 AFI = 1
	AFIIPv6 AFI = 2
)

// A NexthopKind is what a nexthop consists of (enum nexthop_types_t, lib/nexthop.h).
type NexthopKind uint8

// The kinds of nexthops.
const (
	NexthopInterface     NexthopKind = 1 // Index
	NexthopIPv4          NexthopKind = 2 // Addr
	NexthopIPv4Interface NexthopKind = 3 // Addr and Index
	NexthopIPv6          NexthopKind = 4 // Addr
	NexthopIPv6Interface NexthopKind = 5 // Addr and Index
	NexthopBlackhole     NexthopKind = 6 // Blackhole
)

// A BlackholeKind says what a blackhole answers (enum blackhole_type, lib/nexthop.h).
type BlackholeKind uint8

// The kinds of blackholes.
const (
	BlackholeUnspecified BlackholeKind = 0
	BlackholeDrop        BlackholeKind = 1 // silently
	BlackholeReject      BlackholeKind = 2 // with an ICMP unreachable
	BlackholeProhibited  BlackholeKind = 3 // with an ICMP prohibited
)

// An ErrorCode is the body of ERROR (enum zebra_error_types, lib/zclient.h).
type ErrorCode uint32

// The error codes.
const (
	ErrorUnknown        ErrorCode = 0
	ErrorNoVRF          ErrorCode = 1 // the VRF of the header does not exist
	ErrorInvalidCommand ErrorCode = 2 // zebra has no handler for the command
)

// String is a short phrase for people.
func (c ErrorCode) String() string {
	switch c {
	case ErrorUnknown:
		return "unknown error"
	case ErrorNoVRF:
		return "no such VRF"
	case ErrorInvalidCommand:
		return "zebra does not take this command"
	}
	return fmt.Sprintf("error %d", uint32(c))
}
