package address

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

const (
	// Protocol marks our routes (rtm_protocol; 201 is in the range rtnetlink.h
	// leaves to users, RTPROT_STATIC < n <= 255, and in no rt_protos file of FRR).
	Protocol = 201
	// PolicyName is the route-map and the prefix-list in ospfd that let service
	// addresses through.
	PolicyName = "SRRD-VIP"
	// DefaultLifetime is how long an alias outlives the process.
	DefaultLifetime = 3 * time.Second
	// minLifetime leaves a renewal in thirds room: the kernel counts seconds.
	minLifetime = 2 * time.Second

	loopback    = "lo"
	labelSuffix = ":srrd"
	maxLabel    = 15 // IFNAMSIZ - 1; longer is ERANGE
)

// Driver is who puts an alias on.
type Driver uint8

// The drivers.
const (
	DriverNetlink Driver = iota
	DriverVTY            // an `ip address` line in zebra, mgmtd from FRR 10
)

func (d Driver) String() string {
	if d == DriverVTY {
		return "vty"
	}
	return "netlink"
}

// Announcement is how OSPF comes to announce an alias.
type Announcement uint8

// The announcements.
const (
	// AnnounceNetwork: `network X/32 area A`, a stub link of the router LSA;
	// passes into stub areas and is aggregated by `area range`.
	AnnounceNetwork Announcement = iota
	// AnnounceRedistribute: a type-5 LSA.
	AnnounceRedistribute
)

func (a Announcement) String() string {
	if a == AnnounceRedistribute {
		return "redistribute"
	}
	return "network"
}

// Setting is how the addresses of one service are put on. Way local uses none
// of the other fields.
type Setting struct {
	Way      machine.AddressWay
	Device   string // "": lo. AnnounceNetwork works on lo only: elsewhere ospfd makes a second OSPF interface of it
	Driver   Driver
	Announce Announcement
	Area     netip.Addr    // of AnnounceNetwork; invalid: 0.0.0.0
	Lifetime time.Duration // of driver netlink; 0: DefaultLifetime; whole seconds, at least 2
}

// filled returns the setting with defaults in place of zeros.
func (s Setting) filled() Setting {
	if s.Device == "" {
		s.Device = loopback
	}
	if !s.Area.IsValid() {
		s.Area = netip.IPv4Unspecified()
	}
	if s.Lifetime == 0 {
		s.Lifetime = DefaultLifetime
	}
	s.Lifetime = max(minLifetime, (s.Lifetime + time.Second - 1).Truncate(time.Second))
	return s
}

// Label is the owner mark of an address on a device, at most 15 bytes: the
// kernel keeps no protocol number with an address that FRR's age of iproute2
// and the netlink library could read.
func Label(device string) string {
	return device[:min(len(device), maxLabel-len(labelSuffix))] + labelSuffix
}

func isOurLabel(label string) bool { return strings.HasSuffix(label, labelSuffix) }

// Service is one configured service with addresses, as Prepare needs it.
type Service struct {
	Name      string
	Addresses []netip.Addr
	Setting   Setting
}

// item is one thing in the kernel that bears our mark.
type item struct {
	addr   netip.Addr
	device string // "": the local route, which is on lo
}

func (i item) String() string {
	if i.device == "" {
		return fmt.Sprintf("local route %s/32", i.addr)
	}
	return fmt.Sprintf("address %s/32 on %s", i.addr, i.device)
}
