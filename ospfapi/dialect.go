package ospfapi

// Dialect holds what differs between FRR releases, as data. The client finds
// it out by itself (see Client.Run); it is never configured.
type Dialect struct {
	// Name names the first release that speaks so.
	Name string
	// SyncState: SYNC_REACHABLE, SYNC_ISM and SYNC_NSM are known, and
	// REACHABLE_CHANGE is sent.
	SyncState bool
	// SyncRouterID: SYNC_ROUTER_ID is known, ROUTER_ID_CHANGE is sent, and an
	// LSDB sync is fenced by it.
	SyncRouterID bool
	// DeleteByInterface: DELETE_REQUEST names a link-scope LSA by interface
	// address; before, by area.
	DeleteByInterface bool
	// DeleteFlags: octet 7 of DELETE_REQUEST carries flags; before, padding.
	DeleteFlags bool
}

// The dialects. Read in ospf_api.h and ospf_apiserver.c of each tag; 7.5.1,
// 8.4.4, 10.3 and 10.7 were also tried.
var (
	// FRR75 is spoken by FRR 7.5 to 8.2 and by Quagga.
	FRR75 = Dialect{Name: "FRR 7.5"}
	// FRR83 is spoken by FRR 8.3 only.
	FRR83 = Dialect{Name: "FRR 8.3", SyncState: true}
	// FRR84 is spoken by FRR 8.4 and everything after it.
	FRR84 = Dialect{Name: "FRR 8.4", SyncState: true, SyncRouterID: true, DeleteByInterface: true, DeleteFlags: true}
)

// Knows reports whether a server of this dialect answers requests of type t.
func (d Dialect) Knows(t MsgType) bool {
	switch t {
	case MsgRegisterOpaqueType, MsgUnregisterOpaqueType, MsgRegisterEvent,
		MsgSyncLSDB, MsgOriginateRequest, MsgDeleteRequest:
		return true
	case MsgSyncReachable, MsgSyncISM, MsgSyncNSM:
		return d.SyncState
	case MsgSyncRouterID:
		return d.SyncRouterID
	default:
		return false
	}
}

// dialectOf picks the dialect from what the probe saw.
func dialectOf(syncReachable, syncRouterID bool) Dialect {
	switch {
	case syncRouterID:
		return FRR84
	case syncReachable:
		return FRR83
	default:
		return FRR75
	}
}
