package zapi

import (
	"net"
	"net/netip"
)

// A Message is one ZAPI message. The set is closed: it is the types of this
// file, by value.
//
// VRF in every message is the VRF id of the header; 0 is the default VRF.
type Message interface {
	// Command says which message of the protocol it is. For Unknown it is not
	// meaningful.
	Command() Command
}

// Hello is the client's first message: which routes it owns.
type Hello struct {
	Type     RouteType
	Instance uint16
	Session  uint32
	// Notify asks for NotifyOwner in the HELLO itself, as FRR before 10.0 has
	// it; later, send RouteNotifyRequest.
	Notify bool
	// Synchronous keeps zebra from answering with Capabilities.
	Synchronous bool
}

// Capabilities is zebra's answer to Hello.
type Capabilities struct {
	VRF             uint32
	Backend         uint32 // enum vrf_backend_type: 0 VRF lite, 1 namespaces
	MPLS            bool
	ECMP            uint32 // most nexthops per route
	Role            uint8  // MLAG role
	V6WithV4        bool   // since FRR 9.1
	GracefulRestart bool   // since FRR 10.2
}

// RouterIDRequest (ROUTER_ID_ADD) asks for the router-id and its changes. zebra
// does not answer while it has none (since FRR 8.1).
type RouterIDRequest struct {
	VRF uint32
	AFI AFI
}

// RouterID (ROUTER_ID_UPDATE) is zebra's router-id. ospfd's own, if configured,
// is another.
type RouterID struct {
	VRF    uint32
	Prefix netip.Prefix
}

// InterfaceRequest (INTERFACE_ADD without a body) asks for all interfaces, their
// addresses and all changes of both.
type InterfaceRequest struct{ VRF uint32 }

// An InterfaceEvent says what happened to an interface.
type InterfaceEvent uint8

// The interface events.
const (
	InterfaceAdded InterfaceEvent = iota // also: here is its present state
	InterfaceDeleted
	InterfaceUp
	InterfaceDown
)

// Bits of Interface.Flags (net/if.h).
const (
	FlagUp       uint64 = 0x1
	FlagLoopback uint64 = 0x8
	FlagRunning  uint64 = 0x40
)

// Interface is an interface and what happened to it. On InterfaceDown zebra
// reports the interface's addresses as deleted, too.
type Interface struct {
	VRF          uint32
	Event        InterfaceEvent
	Name         string
	Index        uint32
	Status       uint8 // ZEBRA_INTERFACE_ACTIVE 1, _SUB 2, _LINKDETECTION 4
	Flags        uint64
	PTMEnable    uint8
	PTMStatus    uint8
	Metric       uint32
	Speed        uint32 // Mbit/s
	TxQueueLen   uint32 // since FRR 9.1
	MTU          uint32
	MTU6         uint32
	Bandwidth    uint32 // Mbit/s
	LinkIndex    uint32 // of the interface beneath
	ZebraType    uint32 // enum zebra_iftype; since FRR 10.6
	LinkType     uint32 // enum zebra_link_type; 1 Ethernet, 30 loopback
	HardwareAddr net.HardwareAddr
	// LinkParams is whether traffic engineering parameters follow, and
	// LinkParamBytes is what follows, not interpreted.
	LinkParams     bool
	LinkParamBytes []byte
}

// Operative reports whether the interface is up and has a carrier.
func (i Interface) Operative() bool {
	return i.Flags&(FlagUp|FlagRunning) == FlagUp|FlagRunning
}

// Address (INTERFACE_ADDRESS_ADD, _DELETE) is an address of an interface.
type Address struct {
	VRF     uint32
	Deleted bool
	Index   uint32
	Flags   uint8        // ZEBRA_IFA_SECONDARY 1, _PEER 2, _UNNUMBERED 4
	Prefix  netip.Prefix // with its host bits
	Peer    netip.Addr   // broadcast address, or the peer if flag 2 is set; not valid if none
}

// Redistribute (REDISTRIBUTE_ADD, _DELETE) asks for the routes of a type, or
// for no more of them.
type Redistribute struct {
	VRF      uint32
	Stop     bool
	AFI      AFI
	Type     RouteType
	Instance uint16
}

// RouteAdd announces a route. The same type, instance and prefix again replaces it.
type RouteAdd struct{ Route }

// RouteDelete withdraws a route.
type RouteDelete struct{ Route }

// RedistributedRoute (REDISTRIBUTE_ROUTE_ADD, _DEL) is a route of a type asked
// for. FRR 10 may send a deletion without nexthops.
type RedistributedRoute struct {
	Deleted bool
	Route
}

// RouteNotifyRequest asks for NotifyOwner from FRR 10.0 on.
type RouteNotifyRequest struct {
	VRF    uint32
	Notify bool
}

// NotifyOwner (ROUTE_NOTIFY_OWNER) tells a client what became of its route.
type NotifyOwner struct {
	VRF    uint32
	Note   Note
	Prefix netip.Prefix
	Source netip.Prefix // since FRR 10.3; /0 where there is none
	Table  uint32
	AFI    AFI   // since FRR 8.0
	SAFI   uint8 // since FRR 8.0
}

// NexthopTrack (NEXTHOP_REGISTER, _UNREGISTER) asks for NexthopUpdate of a prefix, or for
// no more of them.
type NexthopTrack struct {
	VRF        uint32
	Stop       bool
	Connected  bool // only a connected route counts
	ViaDefault bool // the default route counts; since FRR 8.2
	SAFI       uint16
	Prefix     netip.Prefix
}

// NexthopUpdate is how a tracked prefix is reached. Two copies of the first one
// may come.
type NexthopUpdate struct {
	VRF      uint32
	SAFI     uint16       // since FRR 8.2
	Asked    netip.Prefix // the prefix of NexthopTrack
	Matched  netip.Prefix // the route that covers it; since FRR 8.2; not valid if none
	Colored  bool
	Color    uint32 // with Colored
	Type     RouteType
	Instance uint16
	Distance uint8
	Metric   uint32
	Nexthops []Nexthop // none: not reachable
}

// VRF (VRF_ADD, VRF_DELETE) is a VRF of zebra's.
type VRF struct {
	VRF     uint32
	Deleted bool
	Table   uint32
	NetNS   string
	Name    string
}

// ErrorMessage (ERROR) is zebra's answer to what it could not do.
type ErrorMessage struct {
	VRF  uint32
	Code ErrorCode
}

// Unknown is a message this package has no layout for. Body is without header.
type Unknown struct {
	VRF    uint32
	Number uint16
	Body   []byte
}

// Command implements Message.
func (Hello) Command() Command { return CommandHello }

// Command implements Message.
func (Capabilities) Command() Command { return CommandCapabilities }

// Command implements Message.
func (RouterIDRequest) Command() Command { return CommandRouterIDAdd }

// Command implements Message.
func (RouterID) Command() Command { return CommandRouterIDUpdate }

// Command implements Message.
func (InterfaceRequest) Command() Command { return CommandInterfaceAdd }

// Command implements Message.
func (i Interface) Command() Command {
	switch i.Event {
	case InterfaceAdded:
		return CommandInterfaceAdd
	case InterfaceDeleted:
		return CommandInterfaceDelete
	case InterfaceUp:
		return CommandInterfaceUp
	case InterfaceDown:
		return CommandInterfaceDown
	}
	return commandCount
}

// Command implements Message.
func (a Address) Command() Command { return either(a.Deleted, CommandAddressDelete, CommandAddressAdd) }

// Command implements Message.
func (r Redistribute) Command() Command {
	return either(r.Stop, CommandRedistributeDelete, CommandRedistributeAdd)
}

// Command implements Message.
func (RouteAdd) Command() Command { return CommandRouteAdd }

// Command implements Message.
func (RouteDelete) Command() Command { return CommandRouteDelete }

// Command implements Message.
func (r RedistributedRoute) Command() Command {
	return either(r.Deleted, CommandRedistributeRouteDelete, CommandRedistributeRouteAdd)
}

// Command implements Message.
func (RouteNotifyRequest) Command() Command { return CommandRouteNotifyRequest }

// Command implements Message.
func (NotifyOwner) Command() Command { return CommandNotifyOwner }

// Command implements Message.
func (t NexthopTrack) Command() Command {
	return either(t.Stop, CommandNexthopUnregister, CommandNexthopRegister)
}

// Command implements Message.
func (NexthopUpdate) Command() Command { return CommandNexthopUpdate }

// Command implements Message.
func (v VRF) Command() Command { return either(v.Deleted, CommandVRFDelete, CommandVRFAdd) }

// Command implements Message.
func (ErrorMessage) Command() Command { return CommandError }

// Command implements Message.
func (Unknown) Command() Command { return commandCount }

func either(first bool, a, b Command) Command {
	if first {
		return a
	}
	return b
}

// A RouteField is a part of a Route that is there or not.
type RouteField uint16

// The fields. HasNexthopGroup and HasOpaque came with FRR 8.0.
const (
	HasNexthops RouteField = 1 << iota
	HasDistance
	HasMetric
	HasTag
	HasMTU
	HasSource
	HasBackups
	HasNexthopGroup
	HasTable
	HasColor // each nexthop has a Color
	HasOpaque
)

// SAFIUnicast is the SAFI of ordinary routes (lib/zebra.h).
const SAFIUnicast = 1

// Bits of Route.Flags (ZEBRA_FLAG_* in lib/zclient.h), the same in all releases.
const (
	RouteFlagAllowRecursion uint32 = 0x01
	RouteFlagSelfRoute      uint32 = 0x02
	RouteFlagSelected       uint32 = 0x08
	routeFlagEVPN           uint32 = 0x20
)

// Route is the body of RouteAdd, RouteDelete and RedistributedRoute.
type Route struct {
	VRF      uint32
	Type     RouteType
	Instance uint16
	Flags    uint32
	SAFI     uint8
	Prefix   netip.Prefix
	// Has says which of the fields below are there; the others are ignored.
	Has          RouteField
	Source       netip.Prefix
	NexthopGroup uint32
	Nexthops     []Nexthop
	Backups      []Nexthop
	Distance     uint8 // 0 stands for the type's default
	Metric       uint32
	Tag          uint32
	MTU          uint32
	Table        uint32
	Opaque       []byte
}

// A Nexthop is one nexthop of a route.
type Nexthop struct {
	VRF       uint32
	Kind      NexthopKind
	OnLink    bool
	Index     uint32 // interface index
	Addr      netip.Addr
	Blackhole BlackholeKind
	Labels    []uint32 // label stack entries as zebra holds them
	LabelType uint8    // since FRR 9.0
	Weight    uint64   // 0: none; 32 bits before FRR 10.1
	EVPN      bool
	RouterMAC [6]byte // with EVPN
	Color     uint32  // with the route's HasColor
	Backups   []uint8 // indexes into the route's Backups; nil: none
	Seg6Local []byte  // action and context, not interpreted; nil: none
	Segments  []netip.Addr
	// Encapsulation is the SRv6 behaviour; with Segments, since FRR 10.4.
	Encapsulation uint32
}

// ViaInterface is the nexthop "out of this interface".
func ViaInterface(index uint32) Nexthop { return Nexthop{Kind: NexthopInterface, Index: index} }

// ViaBlackhole is the nexthop that discards.
func ViaBlackhole() Nexthop { return Nexthop{Kind: NexthopBlackhole} }
