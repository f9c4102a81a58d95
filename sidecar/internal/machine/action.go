package machine

import (
	"net/netip"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// Action is something to be done. The set is sealed. The caller carries
// actions out in their order without waiting for one before the next; the
// ports keep the order among what concerns one LSA, address or service.
type Action interface{ action() }

type (
	// Originate gives an LSA to ospfd, new or in place of the one of that id.
	Originate struct {
		Ref  LSARef
		Body []byte
	}
	// Flush has ospfd delete it.
	Flush struct{ Ref LSARef }
	// SetAddresses puts a service's addresses on the node or takes them off.
	// AddressState answers for each, also when it was so already.
	SetAddresses struct {
		Service   string
		Addresses []netip.Addr
		On        bool
	}
	// Announce has OSPF route the addresses here, or no longer. Seen back as
	// HostRoute; a withdrawal as RouteState.
	Announce struct {
		Service   string
		Addresses []netip.Addr
		On        bool
	}
	// WriteMark writes the note under /run before start, in the order of the
	// service's primitives; with Clear it is removed.
	WriteMark struct {
		Mark  Mark
		Clear bool
	}
	// RunPrimitive starts one run; PrimitiveDone carries the same Run. Runs of
	// one service follow each other.
	RunPrimitive struct {
		Service   string
		Primitive Primitive
		Run       uint64
		Timeout   time.Duration
		Env       PrimitiveEnv
	}
	// CancelPrimitive ends a run, if it still goes on; its PrimitiveDone comes
	// as OutcomeCancelled.
	CancelPrimitive struct {
		Service string
		Run     uint64
	}
	// Watch has ProcessEnded come as soon as the service's process ends, as the
	// configuration names it.
	Watch struct {
		Service string
		On      bool
	}
	// SetTimer has TimerFired come at At; an earlier one of that key is void.
	SetTimer struct {
		Key TimerKey
		Gen uint64
		At  time.Time
	}
	// Save writes the memory, as Node.Memory gives it then, to disk, soon; of
	// several one will do. It is not in the action: a node that takes a thousand
	// services over changes it a thousand times, and it is a thousand entries long.
	Save struct{}
	// Note is a line for the log and the list of events.
	Note struct {
		Level   Level
		Service string
		Text    string
	}
	// Answer ends a Command. Err is the refusal in the words of its Reason.
	Answer struct {
		ID   uint64
		Text string
		Err  string
	}
	// Exit: a Shutdown is complete.
	Exit struct{}
)

func (Originate) action()       {}
func (Flush) action()           {}
func (SetAddresses) action()    {}
func (Announce) action()        {}
func (WriteMark) action()       {}
func (RunPrimitive) action()    {}
func (CancelPrimitive) action() {}
func (Watch) action()           {}
func (SetTimer) action()        {}
func (Save) action()            {}
func (Note) action()            {}
func (Answer) action()          {}
func (Exit) action()            {}

// PrimitiveEnv becomes the SRRD_ variables of a run (DESIGN section 7).
type PrimitiveEnv struct {
	Group     string
	Node      string
	Addresses []netip.Addr
	Claim     advert.Claim
	Peers     []string // host names of the other offerers
	Peer      string   // join and leave: who
	Failure   string   // failed: code and text
}

// Level is how much a person should care about a Note.
type Level uint8

// The levels.
const (
	LevelInfo Level = iota
	LevelWarning
	LevelError
)

func (l Level) String() string {
	switch l {
	case LevelWarning:
		return "warning"
	case LevelError:
		return "error"
	}
	return "info"
}

// MarshalText gives the level's word.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }
