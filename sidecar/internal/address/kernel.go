package address

import (
	"context"
	"net/netip"
	"time"
)

// kernel is what the port needs of one network namespace. Adding what is there
// and deleting what is not are no errors. Methods may be called from several
// goroutines.
type kernel interface {
	// snapshot is what exists, as the kernel last told: a change of ours may
	// show only in the one after watch has called changed for it.
	snapshot() (snapshot, error)
	// addRoute adds `local X/32 dev lo table local proto 201` beside whatever
	// other local route X has; delRoute removes exactly that one.
	addRoute(addr netip.Addr) error
	delRoute(addr netip.Addr) error
	// addAlias adds X/32 with our label. If the device has X/32 already that
	// one is left alone, which the next snapshot tells.
	addAlias(addr netip.Addr, device string, lifetime time.Duration) error
	// renewAlias sets the lifetime of an address that was seen with our label,
	// and adds it where it has just expired.
	renewAlias(addr netip.Addr, device string, lifetime time.Duration) error
	delAlias(addr netip.Addr, device string) error
	// watch calls changed soon after addresses, local routes or links changed,
	// and whenever changes may have been missed, until ctx ends.
	watch(ctx context.Context, changed func()) error
}

// onDevice is one address as a dump shows it.
type onDevice struct {
	device string
	label  string
	bits   int
}

func (o onDevice) ours() bool { return isOurLabel(o.label) && o.bits == 32 }

// snapshot is the part of the kernel's state that concerns service addresses.
type snapshot struct {
	routes map[netip.Addr]bool // of protocol 201 in table local
	addrs  map[netip.Addr][]onDevice
}

// has reports whether the item exists and is ours.
func (s snapshot) has(it item) bool {
	if it.device == "" {
		return s.routes[it.addr]
	}
	for _, on := range s.addrs[it.addr] {
		if on.ours() && on.device == it.device {
			return true
		}
	}
	return false
}

// ours lists what bears our mark for one address: the aliases first, in the
// order in which things are to be removed, so that packets are taken longest.
func (s snapshot) ours(addr netip.Addr) []item {
	var found []item
	for _, on := range s.addrs[addr] {
		if on.ours() {
			found = append(found, item{addr, on.device})
		}
	}
	if s.routes[addr] {
		found = append(found, item{addr: addr})
	}
	return found
}

// foreign returns the device that holds the address without our mark.
func (s snapshot) foreign(addr netip.Addr) (device string, yes bool) {
	for _, on := range s.addrs[addr] {
		if !on.ours() {
			return on.device, true
		}
	}
	return "", false
}
