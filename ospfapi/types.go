package ospfapi

import (
	"fmt"
	"net/netip"
)

// MsgType is the type octet of an OSPF-API message (ospfd/ospf_api.h, MSG_*).
type MsgType uint8

// Requests travel from the client on the synchronous stream, MsgReply back on
// it; everything else comes on the asynchronous stream.
const (
	MsgRegisterOpaqueType   MsgType = 1
	MsgUnregisterOpaqueType MsgType = 2
	MsgRegisterEvent        MsgType = 3
	MsgSyncLSDB             MsgType = 4
	MsgOriginateRequest     MsgType = 5
	MsgDeleteRequest        MsgType = 6
	MsgSyncReachable        MsgType = 7  // FRR 8.3 and later
	MsgSyncISM              MsgType = 8  // FRR 8.3 and later
	MsgSyncNSM              MsgType = 9  // FRR 8.3 and later
	MsgSyncRouterID         MsgType = 19 // FRR 8.4 and later

	MsgReply           MsgType = 10
	MsgReadyNotify     MsgType = 11
	MsgLSAUpdateNotify MsgType = 12
	MsgLSADeleteNotify MsgType = 13
	MsgNewIf           MsgType = 14
	MsgDelIf           MsgType = 15
	MsgISMChange       MsgType = 16
	MsgNSMChange       MsgType = 17
	MsgReachableChange MsgType = 18 // FRR 8.3 and later
	MsgRouterIDChange  MsgType = 20 // FRR 8.4 and later
)

var msgNames = map[MsgType]string{
	MsgRegisterOpaqueType:   "REGISTER_OPAQUETYPE",
	MsgUnregisterOpaqueType: "UNREGISTER_OPAQUETYPE",
	MsgRegisterEvent:        "REGISTER_EVENT",
	MsgSyncLSDB:             "SYNC_LSDB",
	MsgOriginateRequest:     "ORIGINATE_REQUEST",
	MsgDeleteRequest:        "DELETE_REQUEST",
	MsgSyncReachable:        "SYNC_REACHABLE",
	MsgSyncISM:              "SYNC_ISM",
	MsgSyncNSM:              "SYNC_NSM",
	MsgSyncRouterID:         "SYNC_ROUTER_ID",
	MsgReply:                "REPLY",
	MsgReadyNotify:          "READY_NOTIFY",
	MsgLSAUpdateNotify:      "LSA_UPDATE_NOTIFY",
	MsgLSADeleteNotify:      "LSA_DELETE_NOTIFY",
	MsgNewIf:                "NEW_IF",
	MsgDelIf:                "DEL_IF",
	MsgISMChange:            "ISM_CHANGE",
	MsgNSMChange:            "NSM_CHANGE",
	MsgReachableChange:      "REACHABLE_CHANGE",
	MsgRouterIDChange:       "ROUTER_ID_CHANGE",
}

// String returns the name of ospf_api.h without its MSG_ prefix.
func (t MsgType) String() string {
	if s, ok := msgNames[t]; ok {
		return s
	}
	return fmt.Sprintf("message type %d", uint8(t))
}

// LSType is the LS type of an LSA (RFC 2328 A.4.1, RFC 3101, RFC 5250).
type LSType uint8

// The LS types an ospfd can hold.
const (
	RouterLSA      LSType = 1
	NetworkLSA     LSType = 2
	SummaryLSA     LSType = 3
	ASBRSummaryLSA LSType = 4
	ASExternalLSA  LSType = 5
	NSSALSA        LSType = 7
	OpaqueLink     LSType = 9  // link scope, RFC 5250
	OpaqueArea     LSType = 10 // area scope, RFC 5250
	OpaqueAS       LSType = 11 // AS scope, RFC 5250
)

// Opaque reports whether t is one of the three types a client can originate.
func (t LSType) Opaque() bool { return t >= OpaqueLink && t <= OpaqueAS }

// String returns the name people know the type by.
func (t LSType) String() string {
	switch t {
	case RouterLSA:
		return "router-LSA"
	case NetworkLSA:
		return "network-LSA"
	case SummaryLSA:
		return "summary-LSA"
	case ASBRSummaryLSA:
		return "asbr-summary-LSA"
	case ASExternalLSA:
		return "AS-external-LSA"
	case NSSALSA:
		return "NSSA-LSA"
	case OpaqueLink:
		return "link-opaque-LSA"
	case OpaqueArea:
		return "area-opaque-LSA"
	case OpaqueAS:
		return "AS-opaque-LSA"
	default:
		return fmt.Sprintf("LS type %d", uint8(t))
	}
}

// ErrCode is the error code of a reply (ospfd/ospf_api.h, OSPF_API_*). Every
// code but OK is an error, so that errors.Is(err, ospfapi.OpaqueTypeInUse)
// works on what a Call returns.
type ErrCode int8

// The codes of ospf_api.h.
const (
	OK                      ErrCode = 0
	NoSuchInterface         ErrCode = -1
	NoSuchArea              ErrCode = -2
	NoSuchLSA               ErrCode = -3
	IllegalLSAType          ErrCode = -4
	OpaqueTypeInUse         ErrCode = -5
	OpaqueTypeNotRegistered ErrCode = -6
	NotReady                ErrCode = -7
	NoMemory                ErrCode = -8
	GenericError            ErrCode = -9
	Undefined               ErrCode = -10
)

// String returns the name as ospf_api.h spells it.
func (c ErrCode) String() string {
	switch c {
	case OK:
		return "OSPF_API_OK"
	case NoSuchInterface:
		return "OSPF_API_NOSUCHINTERFACE"
	case NoSuchArea:
		return "OSPF_API_NOSUCHAREA"
	case NoSuchLSA:
		return "OSPF_API_NOSUCHLSA"
	case IllegalLSAType:
		return "OSPF_API_ILLEGALLSATYPE"
	case OpaqueTypeInUse:
		return "OSPF_API_OPAQUETYPEINUSE"
	case OpaqueTypeNotRegistered:
		return "OSPF_API_OPAQUETYPENOTREGISTERED"
	case NotReady:
		return "OSPF_API_NOTREADY"
	case NoMemory:
		return "OSPF_API_NOMEMORY"
	case GenericError:
		return "OSPF_API_ERROR"
	case Undefined:
		return "OSPF_API_UNDEF"
	default:
		return fmt.Sprintf("OSPF_API code %d", int8(c))
	}
}

// Error says what the code means to the person who reads the log.
func (c ErrCode) Error() string {
	switch c {
	case OK:
		return "no error"
	case NoSuchInterface:
		return "ospfd has no OSPF interface with this address"
	case NoSuchArea:
		return "ospfd has no such area"
	case NoSuchLSA:
		return "no such LSA in ospfd's database"
	case IllegalLSAType:
		return "not an opaque LS type"
	case OpaqueTypeInUse:
		return "another client has registered this opaque type"
	case OpaqueTypeNotRegistered:
		return "the opaque type is not registered by this client"
	case NotReady:
		return "no opaque-capable neighbour yet"
	case NoMemory:
		return "ospfd is out of memory"
	case GenericError, Undefined:
		return "ospfd reports an error without a reason"
	default:
		return "ospfd reports an error code unknown to us"
	}
}

// TypeMask is a set of LS types as filters carry it: bit t-1 for LS type t
// (ospfd/ospf_api.h, Power2).
type TypeMask uint16

// AllTypes lets every LSA through.
const AllTypes TypeMask = 0xffff

// MaskOf returns the mask of the given types; those outside 1-16 are ignored.
func MaskOf(types ...LSType) TypeMask {
	var m TypeMask
	for _, t := range types {
		if t >= 1 && t <= 16 {
			m |= 1 << (t - 1)
		}
	}
	return m
}

// Has reports whether the mask lets LS type t through.
func (m TypeMask) Has(t LSType) bool { return m&MaskOf(t) != 0 }

// Origin says whose LSAs a filter lets through.
type Origin uint8

// Origins (ospfd/ospf_api.h, lsa_filter_type).
const (
	NonSelf   Origin = 0
	Self      Origin = 1
	AnyOrigin Origin = 2
)

// Filter selects the LSAs of a SYNC_LSDB, or those notified from now on. The
// zero Filter lets nothing through. No Areas means every area; AS-scoped LSAs
// ignore Areas. At most 255 areas.
type Filter struct {
	Types  TypeMask
	Origin Origin
	Areas  []netip.Addr
}

// ISMState is an interface state (RFC 2328 9.1, ospfd/ospf_ism.h).
type ISMState uint8

// The interface states of ospf_ism.h.
const (
	ISMDependUpon   ISMState = 0
	ISMDown         ISMState = 1
	ISMLoopback     ISMState = 2
	ISMWaiting      ISMState = 3
	ISMPointToPoint ISMState = 4
	ISMDROther      ISMState = 5
	ISMBackup       ISMState = 6
	ISMDR           ISMState = 7
)

var ismNames = [...]string{"DependUpon", "Down", "Loopback", "Waiting", "Point-To-Point", "DROther", "Backup", "DR"}

// String returns the word ospfd shows for the state.
func (s ISMState) String() string {
	if int(s) < len(ismNames) {
		return ismNames[s]
	}
	return fmt.Sprintf("interface state %d", uint8(s))
}

// NSMState is a neighbour state (RFC 2328 10.1, ospfd/ospf_nsm.h).
type NSMState uint8

// The neighbour states of ospf_nsm.h. NSMDeleted is the last one told of a
// neighbour that goes away.
const (
	NSMDependUpon NSMState = 0
	NSMDeleted    NSMState = 1
	NSMDown       NSMState = 2
	NSMAttempt    NSMState = 3
	NSMInit       NSMState = 4
	NSMTwoWay     NSMState = 5
	NSMExStart    NSMState = 6
	NSMExchange   NSMState = 7
	NSMLoading    NSMState = 8
	NSMFull       NSMState = 9
)

var nsmNames = [...]string{"DependUpon", "Deleted", "Down", "Attempt", "Init", "2-Way", "ExStart", "Exchange", "Loading", "Full"}

// String returns the word ospfd shows for the state.
func (s NSMState) String() string {
	if int(s) < len(nsmNames) {
		return nsmNames[s]
	}
	return fmt.Sprintf("neighbour state %d", uint8(s))
}
