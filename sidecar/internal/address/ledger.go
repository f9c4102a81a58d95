package address

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// ledger is who wants what: plain data, owned by the worker. An entry stays as
// long as the process, since an address once ours is one to look after.
type ledger map[netip.Addr]*entry

// entry counts, by service, who has the address on and announced.
type entry struct {
	held, announced map[string]Setting
	last            Setting // of the service that spoke last; for what is taken off
	kept            []item  // left by an earlier life, renewed until somebody decides
}

func (l ledger) at(addr netip.Addr) *entry {
	e := l[addr]
	if e == nil {
		e = &entry{held: map[string]Setting{}, announced: map[string]Setting{}}
		l[addr] = e
	}
	return e
}

func (l ledger) addresses() []netip.Addr {
	return slices.SortedFunc(maps.Keys(l), netip.Addr.Compare)
}

// setting is that of the first holder by name; configuration sees to it that
// holders of one address agree.
func (e *entry) setting() Setting {
	for _, who := range []map[string]Setting{e.held, e.announced} {
		if len(who) > 0 {
			return who[slices.Min(slices.Collect(maps.Keys(who)))]
		}
	}
	return e.last
}

// wanted is what should be there for one address.
type wanted struct {
	route    bool
	alias    string // device; "": none
	lifetime time.Duration
	vty      string // device of an alias of driver vty
	area     netip.Addr
	network  bool // a network statement in area
	permit   bool // the prefix-list lets it through
}

// wanted is the table in the package comment. An alias that announces needs a
// holder too: what nobody holds is off, in whatever order it was said.
func (e *entry) wanted() wanted {
	var w wanted
	held, announced := len(e.held) > 0, len(e.announced) > 0
	if !held {
		return w
	}
	s := e.setting()
	if s.Way == machine.WayLocal {
		return wanted{route: true}
	}
	alias := true
	switch s.Announce {
	case AnnounceNetwork:
		w.network, w.area = announced, s.Area
	case AnnounceRedistribute:
		w.route, alias, w.permit = true, announced, announced
	}
	switch {
	case !alias:
	case s.Driver == DriverVTY:
		w.vty = s.Device
	default:
		w.alias, w.lifetime = s.Device, s.Lifetime
	}
	return w
}

// device is where the alias should be, whoever puts it there; "": none.
func (w wanted) device() string {
	if w.vty != "" {
		return w.vty
	}
	return w.alias
}

// items is what a snapshot should show, in the order of putting on.
func (w wanted) items(addr netip.Addr) []item {
	var all []item
	if w.route {
		all = append(all, item{addr: addr})
	}
	if d := w.device(); d != "" {
		all = append(all, item{addr, d})
	}
	return all
}

// accepting is the item that makes a held address count as on.
func (w wanted) accepting(addr netip.Addr) item {
	if w.route {
		return item{addr: addr}
	}
	return item{addr, w.device()}
}
