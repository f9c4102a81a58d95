package view

import (
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// The documents of this file are the answers in JSON, of the shell with
// -o json and of the API under /api/v1 alike. Durations are nanoseconds,
// moments RFC 3339; a list is never null.

// Envelope is what every document begins with: the moment, and the node whose
// view it is.
type Envelope struct {
	Taken  time.Time        `json:"taken"`
	Host   string           `json:"host"`
	Router machine.RouterID `json:"router_id"`
}

// Envelope gives the envelope of the snapshot.
func (s *Snapshot) Envelope() Envelope { return Envelope{s.Taken, s.Machine.Host, s.Machine.Router} }

// ServicesDocument answers show service.
type ServicesDocument struct {
	Envelope
	Services []machine.ServiceView `json:"services"`
	Problems []Problem             `json:"problems"`
}

// ServicesDocument makes it of all services, with all problems.
func (s *Snapshot) ServicesDocument(now time.Time) ServicesDocument {
	return ServicesDocument{s.Envelope(), withOffers(s.Machine.Services), List(s.Problems(now))}
}

// ServiceDocument makes it of one service, with its problems.
func (s *Snapshot) ServiceDocument(now time.Time, sv *machine.ServiceView) ServicesDocument {
	return ServicesDocument{s.Envelope(), withOffers([]machine.ServiceView{*sv}), List(s.ProblemsOf(now, sv.Name))}
}

// ProblemsOf lists the problems of one service.
func (s *Snapshot) ProblemsOf(now time.Time, service string) []Problem {
	var of []Problem
	for _, p := range s.Problems(now) {
		if p.Service == service {
			of = append(of, p)
		}
	}
	return of
}

// WhyDocument answers why.
type WhyDocument struct {
	Envelope
	Service   machine.ServiceView `json:"service"`
	Sentences []string            `json:"sentences"`
}

// WhyDocument makes it.
func (s *Snapshot) WhyDocument(now time.Time, sv *machine.ServiceView) WhyDocument {
	d := WhyDocument{Envelope: s.Envelope(), Service: withOffers([]machine.ServiceView{*sv})[0]}
	for _, l := range s.Explain(now, sv) {
		d.Sentences = append(d.Sentences, strings.TrimSpace(l))
	}
	return d
}

// NodesDocument answers show node.
type NodesDocument struct {
	Envelope
	Nodes []machine.NodeView `json:"nodes"`
}

// NodesDocument makes it.
func (s *Snapshot) NodesDocument() NodesDocument {
	return NodesDocument{s.Envelope(), List(s.Machine.Nodes)}
}

// NodeOffer is what one node offers of one service.
type NodeOffer struct {
	Service string            `json:"service"`
	Offer   machine.OfferView `json:"offer"`
}

// NodeDocument answers show node NODE.
type NodeDocument struct {
	NodesDocument
	Offers []NodeOffer `json:"offers"`
}

// NodeDocument makes it.
func (s *Snapshot) NodeDocument(n *machine.NodeView) NodeDocument {
	return NodeDocument{NodesDocument{s.Envelope(), []machine.NodeView{*n}}, s.OffersOf(n.Router)}
}

// OffersOf lists what a node offers, by service.
func (s *Snapshot) OffersOf(id machine.RouterID) []NodeOffer {
	offers := []NodeOffer{}
	for i := range s.Machine.Services {
		for _, o := range s.Machine.Services[i].Offers {
			if o.Router == id {
				offers = append(offers, NodeOffer{s.Machine.Services[i].Name, o})
			}
		}
	}
	return offers
}

// AddressesDocument answers show address.
type AddressesDocument struct {
	Envelope
	Addresses []AddressRow `json:"addresses"`
}

// AddressesDocument makes it.
func (s *Snapshot) AddressesDocument() AddressesDocument {
	return AddressesDocument{s.Envelope(), List(s.AllAddresses())}
}

// RoutesDocument answers show route; its rows are those of show address.
type RoutesDocument struct {
	Envelope
	Routes []AddressRow `json:"routes"`
}

// RoutesDocument makes it.
func (s *Snapshot) RoutesDocument() RoutesDocument {
	return RoutesDocument{s.Envelope(), List(s.AllAddresses())}
}

// EventsDocument answers show events.
type EventsDocument struct {
	Envelope
	Events []Event `json:"events"`
}

// EventsDocument makes it of these events.
func (s *Snapshot) EventsDocument(events []Event) EventsDocument {
	return EventsDocument{s.Envelope(), List(events)}
}

// FailoversDocument answers show failover.
type FailoversDocument struct {
	Envelope
	Failovers []Failover `json:"failovers"`
}

// FailoversDocument makes it of these failovers.
func (s *Snapshot) FailoversDocument(all []Failover) FailoversDocument {
	return FailoversDocument{s.Envelope(), List(all)}
}

// DatabaseDocument answers show lsdb.
type DatabaseDocument struct {
	Envelope
	LSAs []LSARow `json:"lsas"`
}

// DatabaseDocument makes it; see LSAs.
func (s *Snapshot) DatabaseDocument(now time.Time, kind string, detail bool) DatabaseDocument {
	return DatabaseDocument{s.Envelope(), s.LSAs(now, kind, detail)}
}

// VersionDocument answers show version.
type VersionDocument struct {
	Envelope
	Version     string            `json:"version"`
	Incarnation uint64            `json:"incarnation"`
	Generation  uint32            `json:"generation"`
	Node        string            `json:"node_state"`
	Draining    []string          `json:"draining"` // services that still run here while `node drain` waits
	Frozen      bool              `json:"cluster_frozen"`
	OSPF        machine.OSPFView  `json:"ospf"`
	Zebra       machine.ZebraView `json:"zebra"`
}

// VersionDocument makes it.
func (s *Snapshot) VersionDocument() VersionDocument {
	v := &s.Machine
	return VersionDocument{s.Envelope(), v.Version, v.Incarnation, v.Generation, v.Node.String(), List(v.Draining), v.Freeze.On, v.OSPF, v.Zebra}
}

// withOffers copies services so that no list of offers is null.
func withOffers(all []machine.ServiceView) []machine.ServiceView {
	out := append([]machine.ServiceView{}, all...)
	for i := range out {
		out[i].Offers = List(out[i].Offers)
	}
	return out
}

// List is l, and never nil.
func List[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
