package advert

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// OpaqueType is the opaque type srrd registers with ospfd (thesis 6.5.4), from
// the range RFC 5250 section 7 leaves for private use (128-255).
const OpaqueType = 222

// Limits of what is flooded.
const (
	// MaxLSA is the size of a whole LSA, header included, in bytes: it fits
	// one packet of MTU 1500 and stays under what ospfd's API delivers.
	MaxLSA = 1400
	// MaxBody is MaxLSA less the 20 bytes of the LSA header (RFC 2328 A.4.1).
	MaxBody = MaxLSA - 20
	// MaxName is the longest name of a service, group, dependency or host.
	MaxName = 63
	// MaxText is the longest failure text in bytes.
	MaxText = 128
	// MaxAddresses and MaxDependencies bound the repeated TLVs.
	MaxAddresses    = 16
	MaxDependencies = 8
)

// RouterID is an OSPF router id, the identity of a node.
type RouterID uint32

// RouterIDFrom converts a dotted quad; any address that is not IPv4 gives 0,
// which is no router id.
func RouterIDFrom(a netip.Addr) RouterID {
	if !a.Is4() {
		return 0
	}
	b := a.As4()
	return RouterID(binary.BigEndian.Uint32(b[:]))
}

// Addr is the router id in the notation of an IPv4 address.
func (r RouterID) Addr() netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(r))
	return netip.AddrFrom4(b)
}

func (r RouterID) String() string { return r.Addr().String() }

// MarshalText makes router ids dotted quads in JSON.
func (r RouterID) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a dotted quad.
func (r *RouterID) UnmarshalText(b []byte) error {
	a, err := netip.ParseAddr(string(b))
	if err != nil || !a.Is4() {
		return fmt.Errorf("router id %q: want a dotted quad such as 10.0.0.1", b)
	}
	*r = RouterIDFrom(a)
	return nil
}

// A Claim says in which turn a node took a service: counter << 32 | router id.
// The higher is the later; two nodes never make the same one. Zero is none.
type Claim uint64

// NewClaim joins counter and claimant.
func NewClaim(counter uint32, by RouterID) Claim {
	return Claim(uint64(counter)<<32 | uint64(by))
}

// Counter is the turn.
func (c Claim) Counter() uint32 { return uint32(c >> 32) }

// By is the claimant.
func (c Claim) By() RouterID { return RouterID(uint32(c)) }

func (c Claim) String() string {
	if c == 0 {
		return "none"
	}
	return fmt.Sprintf("%d@%s", c.Counter(), c.By())
}

// MarshalText makes claims readable in JSON.
func (c Claim) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// State is a service state (DESIGN section 2).
type State uint8

// The service states, in wire numbers.
const (
	Stopped State = 1 + iota
	Starting
	Started
	Stopping
	Failed
)

func (s State) String() string {
	switch s {
	case Stopped:
		return "stopped"
	case Starting:
		return "starting"
	case Started:
		return "started"
	case Stopping:
		return "stopping"
	case Failed:
		return "failed"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// MarshalText gives the word of DESIGN section 2.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Step is where inside starting and stopping a service is.
type Step uint8

// The steps, in wire numbers. A start has begun from StepAddresses on.
const (
	StepNone Step = iota
	// StepClaim: the claim is made; somebody may still stand in the way.
	StepClaim
	// StepDependencies: waits for services of this node it depends on.
	StepDependencies
	// StepAddresses: the addresses are being put on (or, stopping, taken off).
	StepAddresses
	// StepStart: the start primitive runs.
	StepStart
	// StepAnnounce: the route is given to zebra, own /32 not yet seen.
	StepAnnounce
	// StepDependents: stopping waits for services of this node that depend on it.
	StepDependents
	// StepWithdraw: the route is being withdrawn.
	StepWithdraw
	// StepLinger: withdrawn, still accepting packets.
	StepLinger
	// StepStop: the stop primitive runs.
	StepStop
)

func (s Step) String() string {
	switch s {
	case StepNone:
		return "none"
	case StepClaim:
		return "claim"
	case StepDependencies:
		return "dependencies"
	case StepAddresses:
		return "addresses"
	case StepStart:
		return "start"
	case StepAnnounce:
		return "announce"
	case StepDependents:
		return "dependents"
	case StepWithdraw:
		return "withdraw"
	case StepLinger:
		return "linger"
	case StepStop:
		return "stop"
	}
	return fmt.Sprintf("step(%d)", uint8(s))
}

// MarshalText gives the step's word.
func (s Step) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// FailureCode says why a service failed (DESIGN section 4).
type FailureCode uint8

// The failure codes, in wire numbers.
const (
	FailNone FailureCode = iota
	FailStart
	FailStartTimeout
	FailStop
	FailCheck
	FailCheckUnknown
	FailProcessEnded
	FailDependency
	FailAddress
	FailNotAnnounced
	FailActivate
	FailRefused
	FailCriticalPeer
	FailOperator
	FailRecallLimit
	FailOther FailureCode = 255
)

var failureWords = [...]string{"none", "start", "start timeout", "stop", "check", "check unknown",
	"process ended", "dependency", "address", "not announced", "activate", "refused",
	"critical peer", "operator", "recall limit"}

func (f FailureCode) String() string {
	if int(f) < len(failureWords) {
		return failureWords[f]
	}
	if f == FailOther {
		return "other"
	}
	return fmt.Sprintf("failure(%d)", uint8(f))
}

// MarshalText gives the code's words.
func (f FailureCode) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// Failure is a code with the primitive's own words (at most MaxText bytes).
type Failure struct {
	Code FailureCode `json:"code"`
	Text string      `json:"text,omitempty"`
}

func (f Failure) String() string {
	if f.Text == "" {
		return f.Code.String()
	}
	return f.Code.String() + ": " + f.Text
}

// A Pin is an operator's move: it makes Target preferred above all
// configuration until it is void.
type Pin struct {
	Number uint64   `json:"number"`         // 1 + the highest seen; 0 is no pin
	Target RouterID `json:"target"`         //
	Left   uint32   `json:"left,omitempty"` // seconds left; 0 is until unmove
	Void   bool     `json:"void,omitempty"` // ended; of two with one number the void one counts
}

// Newer reports whether p replaces q.
func (p Pin) Newer(q Pin) bool {
	if p.Number != q.Number {
		return p.Number > q.Number
	}
	if p.Void != q.Void {
		return p.Void
	}
	// Two operators who typed at once on two nodes made the same number.
	if p.Target != q.Target {
		return p.Target > q.Target
	}
	// Of two times left the shorter wins when it is over, and the pin is void.
	return p.Left == 0 && q.Left != 0
}

// A Hold keeps a service stopped everywhere while On.
type Hold struct {
	Number uint64 `json:"number"` // 1 + the highest seen; 0 is no hold
	On     bool   `json:"on"`
}

// Newer reports whether h replaces g; of two with one number the one that
// stops counts.
func (h Hold) Newer(g Hold) bool {
	if h.Number != g.Number {
		return h.Number > g.Number
	}
	return h.On && !g.On
}

// Digest is the first eight bytes of a hash over a service's configuration.
type Digest [8]byte

func (d Digest) String() string { return fmt.Sprintf("%x", d[:]) }

// MarshalText gives it in hex.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Stamp orders everything one router ever says: the life it was said in, and
// its number within that life.
type Stamp struct {
	Incarnation uint64 `json:"incarnation"`
	Generation  uint32 `json:"generation"`
}

// Newer reports whether s was said after t.
func (s Stamp) Newer(t Stamp) bool {
	if s.Incarnation != t.Incarnation {
		return s.Incarnation > t.Incarnation
	}
	return s.Generation > t.Generation
}

// NodeState is what a node is willing to do.
type NodeState uint8

// The node states, in wire numbers.
const (
	Online NodeState = 1 + iota
	Standby
	Maintenance
	Leaving
)

func (n NodeState) String() string {
	switch n {
	case Online:
		return "online"
	case Standby:
		return "standby"
	case Maintenance:
		return "maintenance"
	case Leaving:
		return "leaving"
	}
	return fmt.Sprintf("node state(%d)", uint8(n))
}

// MarshalText gives the state's word.
func (n NodeState) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// Node is the daemon's announcement (kind 1).
type Node struct {
	Stamp
	Host         string         `json:"host"`
	Version      string         `json:"version"`
	Web          netip.AddrPort `json:"web"`
	State        NodeState      `json:"state"`
	Grace        time.Duration  `json:"grace"` // whole seconds, at most 65535; with Leaving: away no longer than this
	Capabilities uint32         `json:"capabilities"`
	Freeze       Hold           `json:"freeze,omitzero"` // of the whole cluster
}

// Service is what a node says of one service (kind 2).
type Service struct {
	Stamp
	Name         string        `json:"name"`
	Group        string        `json:"group,omitempty"`
	Dependencies []string      `json:"dependencies,omitempty"`
	Preference   uint8         `json:"preference"`
	State        State         `json:"state"`
	Step         Step          `json:"step"`
	Failure      Failure       `json:"failure"`
	Interval     time.Duration `json:"interval"`   // of checks, whole milliseconds; 0 is none
	LastCheck    time.Time     `json:"last_check"` // wall clock, whole milliseconds; zero is never
	Addresses    []netip.Addr  `json:"addresses,omitempty"`
	Claim        Claim         `json:"claim"`
	Seen         Claim         `json:"seen"` // the best claim this node has seen from anyone: its acknowledgement
	// Floor is the highest claim this node has ever acknowledged, or may have
	// before its start, where that is above Seen: under a lower one nobody starts
	// who needs its acknowledgement.
	Floor  Claim  `json:"floor,omitzero"`
	Pin    Pin    `json:"pin"`
	Hold   Hold   `json:"hold"`
	Freeze Hold   `json:"freeze,omitzero"` // nobody starts or stops it while On
	Digest Digest `json:"digest"`
	Flags  Flags  `json:"flags"`
}

// Flags are the header flags of a service's body.
type Flags uint16

// The flags, in wire bits.
const (
	FlagCritical Flags = 1 << iota
	FlagStrict
	FlagOverlap
	FlagMayStillRun
	FlagProbation
	FlagHolding
	FlagRecovering
)

// Has reports whether all of g are set.
func (f Flags) Has(g Flags) bool { return f&g == g }

// With sets or clears g.
func (f Flags) With(g Flags, on bool) Flags {
	if on {
		return f | g
	}
	return f &^ g
}

var flagWords = [...]string{"critical", "strict", "overlap", "may-still-run", "probation", "holding", "recovering"}

func (f Flags) String() string {
	s := ""
	for i, w := range flagWords {
		if f&(1<<i) != 0 {
			if s != "" {
				s += ","
			}
			s += w
		}
	}
	return s
}

// MarshalText gives the flags' words.
func (f Flags) MarshalText() ([]byte, error) { return []byte(f.String()), nil }
