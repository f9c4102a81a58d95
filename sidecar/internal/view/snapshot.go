package view

import (
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Snapshot is everything people may see, as of one moment.
type Snapshot struct {
	Taken   time.Time
	Machine machine.View
	// Addresses and Routes are what this node asked for and what the kernel
	// and zebra answered, sorted by address. See AllAddresses for what the
	// cluster has.
	Addresses []Address
	Routes    []Route
	Events    []Event    // oldest first
	Failovers []Failover // the last MaxFailovers and those under way, oldest first
	LSDB      Database
}

// Address is a service address on this node.
type Address struct {
	Addr    netip.Addr
	Service string
	Wanted  bool // the machine asked for it
	Present bool // the kernel shows it
	Err     string
	Since   time.Time // of Present and Err
}

// Route is the announcement of a service address by this node.
type Route struct {
	Addr     netip.Addr
	Service  string
	Wanted   bool
	Standing string // what zebra says: installed, removed, beaten, failed; "" before it said anything
	Text     string
	Since    time.Time // of Standing
}

// Announcer is a router that announces an address in the link-state database.
type Announcer struct {
	Router machine.RouterID `json:"router_id"`
	Host   string           `json:"host"`
}

// AddressRow is one address of one service, joined from all that is known.
type AddressRow struct {
	Addr        netip.Addr  `json:"address"`
	Service     string      `json:"service"`
	Way         string      `json:"way"` // "" where the service is not configured here
	Wanted      bool        `json:"wanted"`
	Present     bool        `json:"present"`
	PresentAt   time.Time   `json:"present_since"`
	AddressErr  string      `json:"address_error,omitempty"`
	Announce    bool        `json:"announce"` // this node wants it routed here
	Standing    string      `json:"route"`    // see Route.Standing
	RouteText   string      `json:"route_text,omitempty"`
	RouteAt     time.Time   `json:"route_since"`
	AnnouncedBy []Announcer `json:"announced_by"`
}

// AllAddresses lists the addresses of every service in the cluster by service
// and address, and then those on this node that no service wants any longer.
func (s *Snapshot) AllAddresses() []AddressRow {
	var rows []AddressRow
	for i := range s.Machine.Services {
		sv := &s.Machine.Services[i]
		for _, a := range sv.Addresses {
			row := AddressRow{Addr: a, Service: sv.Name, Way: sv.Way, AnnouncedBy: []Announcer{}}
			for _, o := range sv.Offers {
				if slices.Contains(o.Announced, a) {
					row.AnnouncedBy = append(row.AnnouncedBy, Announcer{o.Router, o.Host})
				}
			}
			rows = append(rows, row)
		}
	}
	find := func(a netip.Addr, service string) *AddressRow {
		for i := range rows {
			if rows[i].Addr == a && (service == "" || rows[i].Service == service) {
				return &rows[i]
			}
		}
		rows = append(rows, AddressRow{Addr: a, Service: service, AnnouncedBy: []Announcer{}})
		return &rows[len(rows)-1]
	}
	for _, f := range s.Addresses {
		row := find(f.Addr, f.Service)
		row.Wanted, row.Present, row.PresentAt, row.AddressErr = f.Wanted, f.Present, f.Since, f.Err
	}
	for _, f := range s.Routes {
		row := find(f.Addr, f.Service)
		row.Announce, row.Standing, row.RouteText, row.RouteAt = f.Wanted, f.Standing, f.Text, f.Since
	}
	return rows
}

// Service finds a service by name; nil if nobody offers it or has it
// configured.
func (s *Snapshot) Service(name string) *machine.ServiceView {
	for i := range s.Machine.Services {
		if s.Machine.Services[i].Name == name {
			return &s.Machine.Services[i]
		}
	}
	return nil
}

// Node finds a node by host name or router id.
func (s *Snapshot) Node(name string) *machine.NodeView {
	for i := range s.Machine.Nodes {
		if n := &s.Machine.Nodes[i]; n.Host == name || n.Router.String() == name {
			return n
		}
	}
	return nil
}

// HostOf gives the host name of a router id, or the router id itself where
// no srrd was heard from it.
func (s *Snapshot) HostOf(id string) string {
	for i := range s.Machine.Nodes {
		if n := &s.Machine.Nodes[i]; n.Host != "" && n.Router.String() == id {
			return n.Host
		}
	}
	return id
}
