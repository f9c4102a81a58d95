package doctor

import (
	"net/netip"

	"github.com/srrd/srrd/vty"
)

// Wants is what srrd's configuration needs of FRR.
type Wants struct {
	// Transit: this is a router between the nodes, on which no srrd runs. Only
	// what it costs them counts, and the rest of Wants does not.
	Transit bool

	Table        uint16       // N of `redistribute table N`
	Local        bool         // a service of way local exists
	Redistribute bool         // a service of way alias, announce redistribute
	Networks     []netip.Addr // areas of services of way alias, announce network
	Addresses    []netip.Addr // all service addresses
	AS           bool         // scope as is used
	Areas        []netip.Addr // of scope area
	Links        []string     // of scope link
	Signed       bool         // srrd has keys to sign its LSAs with
}

// Facts is all that Examine looks at. What could not be learnt is left zero,
// and says so in Missing.
type Facts struct {
	Wants   Wants
	Release vty.Release // ospfd's; zero if ospfd cannot be asked

	Zebra, OSPF, BFD vty.Block // running configurations
	State            vty.OSPFState
	Neighbors        []vty.Neighbor
	// Interfaces are those OSPF runs on; on FRR 7.5, where asking would end
	// ospfd, those with neighbours.
	Interfaces []Interface

	// Elsewhere: as [Place.Elsewhere].
	Elsewhere bool
	// Missing holds, for a daemon that cannot be asked, why.
	Missing map[vty.Daemon]string
	// Sockets that srrd needs, the VTY sockets and zserv.api.
	Sockets []Socket
	API     API
	// Sysctls by their name, such as net.ipv4.ip_forward; those that cannot be
	// read are not there.
	Sysctls map[string]string
}

// Interface is one row of `show ip ospf interface json`.
type Interface struct {
	Name    string
	Area    netip.Addr
	Passive bool
	Dead    int // RouterDeadInterval in seconds; 0: not known
	// Designated: this node is the designated router of a broadcast network.
	Designated bool
}

// Socket is a unix socket of FRR's.
type Socket struct {
	Path   string
	Daemon vty.Daemon
	// Err is why it cannot be used: not there, or not for this user.
	Err string
	// Mode is how it is protected, as ls writes it; "" where it is not there.
	Mode string
}

// API is ospfd's OSPF-API port.
type API struct {
	Port      uint16
	Listening bool
	Address   netip.Addr // it listens on; 0.0.0.0 is everybody
	Err       string     // why it is not known
}

// Open reports whether hosts elsewhere can reach the port.
func (a API) Open() bool { return a.Listening && !a.Address.IsLoopback() }

// Name is what the router calls itself.
func (f *Facts) Name() string {
	for _, b := range []vty.Block{f.Zebra, f.OSPF} {
		if name, ok := b.Value("hostname"); ok {
			return name
		}
	}
	if f.Wants.Transit {
		return "this router"
	}
	return "this node"
}

// interfaces on which a neighbour can be.
func (f *Facts) active() (all []Interface) {
	for _, i := range f.Interfaces {
		if !i.Passive && i.Name != "lo" {
			all = append(all, i)
		}
	}
	return all
}

func (f *Facts) interfaceNamed(name string) (Interface, bool) {
	for _, i := range f.Interfaces {
		if i.Name == name {
			return i, true
		}
	}
	return Interface{}, false
}

func (f *Facts) attached(area netip.Addr) bool {
	for _, a := range f.State.Areas {
		if a.ID == area {
			return true
		}
	}
	return false
}

// kindOf is how an attached area treats external routes, from whichever source
// knows.
func (f *Facts) kindOf(a vty.OSPFArea) vty.AreaKind {
	switch kind := f.OSPF.AreaKindOf(a.ID); {
	case kind != vty.AreaNormal:
		return kind
	case a.NSSA:
		return vty.AreaNSSA
	case a.StubNoSummary:
		return vty.AreaStub
	default:
		return vty.AreaNormal
	}
}
