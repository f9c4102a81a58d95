package view

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// ClusterFormat is the version of the ClusterDocument. A reader refuses one it
// does not know.
const ClusterFormat = 1

// ClusterDocument is the cluster as a simulation needs it: what this node
// knows of every node and service, in words. It answers simulate dump, and is
// read back by srrsim, possibly of another release: fields are added, never
// given another meaning.
type ClusterDocument struct {
	Format   int              `json:"format"`
	Taken    time.Time        `json:"taken"`
	Host     string           `json:"host"` // whose view it is
	Version  string           `json:"version"`
	Frozen   bool             `json:"frozen,omitempty"` // the whole cluster is
	Nodes    []ClusterNode    `json:"nodes"`
	Services []ClusterService `json:"services"`
	// Timing is what this node waits for; no field: not said.
	Timing *ClusterTiming `json:"timing,omitempty"`
}

// ClusterTiming holds times in nanoseconds.
type ClusterTiming struct {
	StartupHold     time.Duration `json:"startup_hold"`
	RejoinHold      time.Duration `json:"rejoin_hold"`
	AloneAfter      time.Duration `json:"alone_after,omitempty"`
	ClaimTimeout    time.Duration `json:"claim_timeout"`
	AnnounceTimeout time.Duration `json:"announce_timeout"`
	LossDetection   time.Duration `json:"loss_detection,omitempty"`
	DeadInterval    time.Duration `json:"dead_interval"`
}

// ClusterSettings is how a service is configured, where no LSA says it. Times
// are nanoseconds.
type ClusterSettings struct {
	Exclusive     bool                     `json:"exclusive,omitempty"`
	StartAlone    bool                     `json:"start_alone,omitempty"`
	BestEffort    bool                     `json:"best_effort,omitempty"`
	KeepOnLoss    bool                     `json:"keep_on_ospf_loss,omitempty"`
	Watch         bool                     `json:"watch,omitempty"`
	Fence         bool                     `json:"fence,omitempty"`
	Members       int                      `json:"members,omitempty"`
	Fall          int                      `json:"fall,omitempty"`
	Rise          int                      `json:"rise,omitempty"`
	FallUnknown   int                      `json:"fall_unknown,omitempty"`
	Grace         time.Duration            `json:"grace,omitempty"`
	Recover       int                      `json:"recover,omitempty"`
	RecoverWithin time.Duration            `json:"recover_within,omitempty"`
	Linger        time.Duration            `json:"linger,omitempty"`
	FailbackDelay time.Duration            `json:"failback_delay,omitempty"`
	RetryAfter    time.Duration            `json:"retry_after,omitempty"`
	LostHold      time.Duration            `json:"lost_hold,omitempty"`
	StopChain     time.Duration            `json:"stop_chain,omitempty"`
	Timeouts      map[string]time.Duration `json:"timeouts,omitempty"` // by primitive
}

// ClusterNode is one node.
type ClusterNode struct {
	Router  machine.RouterID `json:"router_id"`
	Host    string           `json:"host"`
	State   string           `json:"state"`   // online, standby, maintenance, leaving
	Present bool             `json:"present"` // reachable, with its srrd
}

// ClusterService is one service, with those who offer it.
type ClusterService struct {
	Name         string         `json:"name"`
	Group        string         `json:"group,omitempty"`
	Dependencies []string       `json:"dependencies,omitempty"` // as this node knows them
	Addresses    []netip.Addr   `json:"addresses,omitempty"`
	Interval     time.Duration  `json:"interval,omitempty"`  // of checks, nanoseconds
	PinnedTo     string         `json:"pinned_to,omitempty"` // a router id
	Held         bool           `json:"held,omitempty"`      // stopped by an operator, everywhere
	Frozen       bool           `json:"frozen,omitempty"`    // nobody starts or stops it
	Offers       []ClusterOffer `json:"offers"`
	// Settings are those of this node, where it is configured here.
	Settings *ClusterSettings `json:"settings,omitempty"`
}

// ClusterOffer is what one node offers of a service.
type ClusterOffer struct {
	Router       machine.RouterID `json:"router_id"`
	Disabled     bool             `json:"disabled,omitempty"` // known of the node itself only
	State        string           `json:"state"`              // stopped, starting, started, stopping, failed
	Preference   uint8            `json:"preference"`
	Turn         uint32           `json:"turn,omitempty"` // the counter of its claim
	Critical     bool             `json:"critical,omitempty"`
	Strict       bool             `json:"strict,omitempty"`
	Overlap      bool             `json:"overlap,omitempty"`
	Probation    bool             `json:"probation,omitempty"`
	MayStillRun  bool             `json:"may_still_run,omitempty"`
	Failure      string           `json:"failure,omitempty"`
	NotCandidate string           `json:"not_candidate,omitempty"` // why, in words
}

// ClusterDocument makes it.
func (s *Snapshot) ClusterDocument() ClusterDocument {
	d := ClusterDocument{Format: ClusterFormat, Taken: s.Taken, Host: s.Machine.Host, Version: s.Machine.Version, Frozen: s.Machine.Freeze.On,
		Nodes: []ClusterNode{}, Services: []ClusterService{}}
	for _, n := range s.Machine.Nodes {
		d.Nodes = append(d.Nodes, ClusterNode{Router: n.Router, Host: n.Host, State: n.State.String(), Present: n.Self || n.Status == "present"})
	}
	if t := s.Machine.Timing; t != (machine.Timing{}) {
		c := ClusterTiming(t)
		d.Timing = &c
	}
	for i := range s.Machine.Services {
		d.Services = append(d.Services, clusterService(&s.Machine.Services[i]))
	}
	return d
}

func clusterService(sv *machine.ServiceView) ClusterService {
	c := ClusterService{Name: sv.Name, Group: sv.Group, Dependencies: sv.Dependencies, Addresses: sv.Addresses, Interval: sv.Interval,
		Held: sv.Hold.On, Frozen: sv.Freeze.On, Offers: []ClusterOffer{}}
	if s := sv.Settings; s != nil {
		c.Settings = clusterSettings(s)
	}
	if p := sv.Pin; p.Number != 0 && !p.Void {
		c.PinnedTo = p.Target.String()
	}
	for _, o := range sv.Offers {
		if !o.Counts && !o.Self {
			continue // what it said last counts for nothing
		}
		f := ClusterOffer{Router: o.Router, Disabled: o.Self && sv.Config == machine.Disabled, State: o.State.String(), Preference: o.Preference, Turn: o.Claim.Counter(),
			Critical: o.Flags.Has(advert.FlagCritical), Strict: o.Flags.Has(advert.FlagStrict), Overlap: o.Flags.Has(advert.FlagOverlap),
			Probation: o.Flags.Has(advert.FlagProbation), MayStillRun: o.Flags.Has(advert.FlagMayStillRun), NotCandidate: o.WhyNot}
		if o.Failure.Code != advert.FailNone {
			f.Failure = fmt.Sprint(o.Failure)
		}
		c.Offers = append(c.Offers, f)
	}
	return c
}

func clusterSettings(s *machine.Service) *ClusterSettings {
	c := &ClusterSettings{Exclusive: s.Exclusive, StartAlone: s.StartAlone, BestEffort: s.BestEffort, KeepOnLoss: s.OnOSPFLoss == machine.LossKeep,
		Watch: s.Watch, Fence: s.Fence, Members: s.Members, Fall: s.Fall, Rise: s.Rise, FallUnknown: s.FallUnknown, Grace: s.Grace,
		Recover: s.Recover, RecoverWithin: s.RecoverWithin, Linger: s.Linger, FailbackDelay: s.FailbackWait, RetryAfter: s.RetryAfter,
		LostHold: s.LostHold, StopChain: s.StopChain, Timeouts: map[string]time.Duration{}}
	for p, d := range s.Timeout {
		if d != 0 {
			c.Timeouts[machine.Primitive(p).String()] = d
		}
	}
	return c
}

// Apply configures a service so.
func (c *ClusterSettings) Apply(s *machine.Service) {
	s.Exclusive, s.StartAlone, s.BestEffort, s.OnOSPFLoss = c.Exclusive, c.StartAlone, c.BestEffort, machine.LossStop
	if c.KeepOnLoss {
		s.OnOSPFLoss = machine.LossKeep
	}
	s.Watch, s.Fence, s.Members, s.Fall, s.Rise, s.FallUnknown, s.Grace = c.Watch, c.Fence, c.Members, c.Fall, c.Rise, c.FallUnknown, c.Grace
	s.Recover, s.RecoverWithin, s.Linger, s.FailbackWait, s.RetryAfter = c.Recover, c.RecoverWithin, c.Linger, c.FailbackDelay, c.RetryAfter
	s.LostHold, s.StopChain = c.LostHold, c.StopChain
	for p := range s.Timeout {
		s.Timeout[p] = c.Timeouts[machine.Primitive(p).String()]
	}
}
