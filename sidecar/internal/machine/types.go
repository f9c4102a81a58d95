package machine

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// RouterID is an OSPF router id.
type RouterID = advert.RouterID

// ScopeKind is how far an opaque LSA is flooded; the numbers are the LSA types
// of RFC 5250 section 3.
type ScopeKind uint8

// The scopes.
const (
	ScopeLink ScopeKind = 9
	ScopeArea ScopeKind = 10
	ScopeAS   ScopeKind = 11
)

// Scope is how far a service is known. It is comparable.
type Scope struct {
	Kind ScopeKind
	Link string     // interface name, ScopeLink only
	Area netip.Addr // ScopeArea only
}

// ASScope is the scope of everything that says nothing else.
var ASScope = Scope{Kind: ScopeAS}

func (s Scope) String() string {
	switch s.Kind {
	case ScopeLink:
		return "link " + s.Link
	case ScopeArea:
		return "area " + s.Area.String()
	case ScopeAS:
		return "as"
	}
	return fmt.Sprintf("scope(%d)", s.Kind)
}

// MarshalText gives the words of the configuration.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Scope) compare(t Scope) int {
	return cmp.Or(cmp.Compare(s.Kind, t.Kind), cmp.Compare(s.Link, t.Link), s.Area.Compare(t.Area))
}

// LSARef names one LSA of type 222 of one router: where it is flooded, and its
// 24 bit opaque id G<<16 | service id.
type LSARef struct {
	Scope Scope
	ID    uint32
}

// DaemonID is the service id of the daemon's own announcement (222.G.1.0).
const DaemonID = 256

// G is the generation number inside the id, not to be taken for the
// generation inside the body.
func (r LSARef) G() uint8 { return uint8(r.ID >> 16) }

// Slot is the service id inside the id.
func (r LSARef) Slot() uint16 { return uint16(r.ID) }

func (r LSARef) String() string {
	return fmt.Sprintf("%d.%d.%d.%d (%s)", advert.OpaqueType, r.ID>>16&0xff, r.ID>>8&0xff, r.ID&0xff, r.Scope)
}

// MarshalText is String.
func (r LSARef) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// ConfigState is the configuration state of a service (DESIGN section 2).
type ConfigState uint8

// The configuration states.
const (
	Disabled ConfigState = iota
	Inactive
	Injected
	Active
	Deactivated
	ConfigFailed
)

func (c ConfigState) String() string {
	switch c {
	case Disabled:
		return "disabled"
	case Inactive:
		return "inactive"
	case Injected:
		return "injected"
	case Active:
		return "active"
	case Deactivated:
		return "deactivated"
	case ConfigFailed:
		return "failed"
	}
	return fmt.Sprintf("configuration state(%d)", uint8(c))
}

// MarshalText gives the state's word.
func (c ConfigState) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// AddressWay is how a service address comes onto the node (DESIGN section 6).
type AddressWay uint8

// The ways.
const (
	// WayLocal: a kernel local route and a ZAPI route of type TABLE.
	WayLocal AddressWay = iota
	// WayAlias: a labelled address that OSPF announces as connected.
	WayAlias
)

func (w AddressWay) String() string {
	if w == WayAlias {
		return "alias"
	}
	return "local"
}

// MarshalText gives the word of the configuration.
func (w AddressWay) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// OSPFLoss is what a plain network service does when ospfd is lost.
type OSPFLoss uint8

// The choices.
const (
	LossStop OSPFLoss = iota
	LossKeep
)

// Primitive is one of the targets of a service's Makefile (DESIGN section 7).
type Primitive uint8

// The primitives.
const (
	PrimActivate Primitive = iota
	PrimDeactivate
	PrimStart
	PrimStop
	PrimReload
	PrimRestart
	PrimJoin
	PrimLeave
	PrimFailed
	PrimStatus
	PrimCheck
	PrimFence // only of services that say fence
	primitiveCount
)

var primitiveWords = [...]string{"activate", "deactivate", "start", "stop", "reload", "restart", "join", "leave", "failed", "status", "check", "fence"}

// Primitives lists those every service has, in their usual order.
func Primitives() []Primitive {
	all := make([]Primitive, PrimFence)
	for i := range all {
		all[i] = Primitive(i)
	}
	return all
}

func (p Primitive) String() string {
	if int(p) < len(primitiveWords) {
		return primitiveWords[p]
	}
	return fmt.Sprintf("primitive(%d)", uint8(p))
}

// MarshalText gives the target's name.
func (p Primitive) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Config is everything the machine is told by the configuration files. The
// config package has validated it; the machine relies on that.
type Config struct {
	Host     string
	Version  string
	Web      netip.AddrPort
	Scope    Scope     // of the daemon's announcement where no service gives one
	Services []Service // sorted by name, names unique
	// Signed: LSAs are signed and checked, so nothing older than what was heard
	// is ever believed. Without keys a router that was gone may come back with a
	// life of a lower incarnation: it lost its memory and its clock went back.
	Signed bool

	StartupHold     time.Duration
	RejoinHold      time.Duration
	AloneAfter      time.Duration // 0: max(60 s, 2 x dead interval)
	ClaimTimeout    time.Duration
	AnnounceTimeout time.Duration
	// LossDetection is the longest a node that is cut off takes to know it; 0:
	// ospfd's dead interval.
	LossDetection time.Duration
}

// Service is the configuration of one service as the machine needs it. What
// only a port needs (directories, devices, drivers) is not here.
type Service struct {
	Name         string
	Group        string
	Dependencies []string // sorted
	Critical     bool
	Enabled      bool // until the operator says otherwise, which is remembered
	Exclusive    bool // a network service that must never run twice
	Overlap      bool
	Addresses    []netip.Addr // sorted; none: a resource
	Way          AddressWay
	Scope        Scope
	Preference   uint8
	OnOSPFLoss   OSPFLoss
	StartAlone   bool
	BestEffort   bool

	Interval      time.Duration // between checks; 0: none
	Fall          int           // checks that fail before the service does
	Rise          int           // checks that succeed before failed ones are forgotten
	FallUnknown   int           // checks that cannot tell, before the service fails
	Grace         time.Duration // after a start, in which checks do not count
	Watch         bool          // the end of its process is told by the port
	Recover       int           // restarts in place before it has failed
	RecoverWithin time.Duration
	Fence         bool          // its Makefile can fence a lost holder
	FenceAfter    time.Duration // a holder is lost that long before it is fenced
	Members       int           // of the cluster; only a majority runs it. 0: not asked
	Timeout       [primitiveCount]time.Duration
	Linger        time.Duration
	FailbackWait  time.Duration // failback_delay
	RetryAfter    time.Duration
	LostHold      time.Duration // 0: computed
	StopChain     time.Duration // the longest chain of stop timeouts of what depends on it, and its own
	Digest        advert.Digest
}

// Resource reports whether the service has no address.
func (s *Service) Resource() bool { return len(s.Addresses) == 0 }

// Strict reports whether the service is placed by acknowledged claims.
func (s *Service) Strict() bool { return s.Resource() || s.Exclusive }

// Memory is what outlives the daemon, in /var/lib/srrd. The zero value is that
// of a node that never ran.
type Memory struct {
	Incarnation uint64                   `json:"incarnation"`
	Node        advert.NodeState         `json:"node"` // Online, Standby or Maintenance as the operator said last
	Freeze      advert.Hold              `json:"freeze,omitzero"`
	Slots       map[string]SlotMemory    `json:"slots,omitempty"`
	Services    map[string]ServiceMemory `json:"services,omitempty"`
}

// SlotMemory is the LSA id of one service name; "" is the daemon's own.
type SlotMemory struct {
	ID    uint16              `json:"id"`
	Next  uint8               `json:"next"`            // the first G no life has used, reserved ahead
	Used  map[uint8]time.Time `json:"used,omitempty"`  // when a G was used last
	Freed time.Time           `json:"freed,omitempty"` // when the name left the configuration
}

// ServiceMemory is what the node remembers of one service.
type ServiceMemory struct {
	Enabled *bool                   `json:"enabled,omitempty"`
	Counter uint32                  `json:"counter"` // claims up to here may have been used
	Pin     advert.Pin              `json:"pin"`
	Hold    advert.Hold             `json:"hold"`
	Freeze  advert.Hold             `json:"freeze,omitzero"`
	Given   uint64                  `json:"given,omitempty"` // the number of a timed pin that was given here
	MayRun  map[RouterID]MayRunMark `json:"may_run,omitempty"`
}

// MayRunMark says that a router ran a strict service when last heard, or
// could not stop it.
type MayRunMark struct {
	Claim      advert.Claim `json:"claim"`
	FailedStop bool         `json:"failed_stop,omitempty"`
}

// Mark is the note under /run that a service of this node may be running. It
// is written before start and removed after stop; it does not survive a boot.
type Mark struct {
	Service     string       `json:"service"`
	Claim       advert.Claim `json:"claim"`
	MayStillRun bool         `json:"may_still_run,omitempty"`
	Config      uint64       `json:"config,omitempty"` // what it was started with, see Service.shape; 0: not known
}

// joinWords writes a list for a sentence: "a", "a and b", "a, b and c".
func joinWords(w []string) string {
	switch len(w) {
	case 0:
		return "nobody"
	case 1:
		return w[0]
	}
	return strings.Join(w[:len(w)-1], ", ") + " and " + w[len(w)-1]
}
