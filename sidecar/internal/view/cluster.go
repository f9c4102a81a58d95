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
	for i := range s.Machine.Services {
		d.Services = append(d.Services, clusterService(&s.Machine.Services[i]))
	}
	return d
}

func clusterService(sv *machine.ServiceView) ClusterService {
	c := ClusterService{Name: sv.Name, Group: sv.Group, Dependencies: sv.Dependencies, Addresses: sv.Addresses, Interval: sv.Interval,
		Held: sv.Hold.On, Frozen: sv.Freeze.On, Offers: []ClusterOffer{}}
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
