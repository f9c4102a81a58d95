package zebra

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/zapi"
)

const (
	metric = 20
	// distance puts our route before OSPF's own (110): a node that takes a
	// service over still has the OSPF route to the lost holder, which ospfd
	// drops only a second after its SPF, and with the default distance of a
	// table's routes (150) zebra would not hand ours to ospfd before.
	distance = 1
	// silence is how long zebra may say nothing of a route before a better one
	// is taken to be there: of an addition that loses at once it notes nothing.
	// Its work queue holds a route for 10 ms.
	silence = time.Second
	// searchAgain is how often a zebra that does not listen is looked for elsewhere.
	searchAgain = 2 * time.Second
)

// Clearing what ospfd still announces: firstClear after it was noticed the
// database is fetched anew, and if judgeAfter later it is still there, the
// route comes and goes; the next try begins nextClear later. All tries
// together outlast the 60 s that ospfd may stay away from zebra.
const (
	firstClear = 2 * time.Second
	judgeAfter = time.Second
	nextClear  = 5 * time.Second
	clearTries = 12
)

// loop owns the state of the port.
type loop struct {
	cfg    *Config
	wanted map[netip.Addr]bool
	routes *zapi.Routes // nil: zebra's release is not known
	up     bool
	absent bool      // nobody listens; what the dead one left is swept
	gone   bool      // nor is there a zebra elsewhere
	search time.Time // when one is looked for there; zero: not at all
	why    string
	unable string                   // why no route can be kept in this zebra; "": they can
	held   map[netip.Addr]bool      // routes knows the address
	silent map[netip.Addr]time.Time // when an addition is taken to have lost
	tried  map[netip.Addr]bool      // a phantom that beats it was looked for; nil: none

	self  machine.RouterID // 0: no session with ospfd
	own   map[netip.Addr]bool
	stale map[netip.Addr]clearing
}

// clearing is an address that ospfd announces though nobody wants it.
type clearing struct {
	due   time.Time
	asked bool // the database was asked for
	tries int
}

func newLoop(cfg *Config) *loop {
	return &loop{cfg: cfg, wanted: map[netip.Addr]bool{}, held: map[netip.Addr]bool{}, silent: map[netip.Addr]time.Time{},
		own: map[netip.Addr]bool{}, stale: map[netip.Addr]clearing{}}
}

func (l *loop) run(ctx context.Context, in *queue) {
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-in.wake:
			for _, m := range in.take() {
				l.hear(time.Now(), m)
			}
		case <-tick.C:
			l.expire(time.Now())
		}
		if next := l.next(); next.IsZero() {
			tick.Stop()
		} else {
			tick.Reset(time.Until(next))
		}
	}
}

func (l *loop) hear(now time.Time, m any) {
	switch m := m.(type) {
	case order:
		l.order(m)
	case keeping:
		l.keep(m.routes)
	case observing:
		l.observe(m.why)
	case believing:
		l.believe(m.addrs)
	case standing:
		l.stand(now, m)
	case searched:
		l.searched(m.gone)
	case zapi.Change:
		l.changed(now, m)
	case machine.OSPFUp:
		l.self = m.Router
		l.forgetOSPF()
	case machine.OSPFDown:
		l.self = 0
		l.forgetOSPF()
	case machine.HostRoute:
		l.hostRoute(now, m)
	case still:
		m.stand()
	}
}

func (l *loop) order(o order) {
	was := l.wanted[o.addr]
	switch {
	case o.on && o.local:
		l.wanted[o.addr] = true
		delete(l.stale, o.addr)
	case !o.on && (o.local || was): // its way may have been changed since
		delete(l.wanted, o.addr)
		delete(l.tried, o.addr)
	default:
		return
	}
	l.apply(o.addr)
	if was && !o.on && !l.up && len(l.wanted) == 0 {
		// ospfd holds on to what a zebra that is gone told it last. What is still
		// wanted could not be announced anew, so the last one takes all along.
		l.cfg.Forget()
	}
}

// apply tells the route keeper what is wanted of one address. A withdrawal is
// always answered: by zebra, or here if it holds nothing.
func (l *loop) apply(addr netip.Addr) {
	switch {
	case l.wanted[addr] && l.routes != nil:
		if err := l.routes.Set(announcement(addr)); err != nil {
			l.cfg.Emit(machine.RouteState{Addr: addr, State: machine.RouteFailed, Text: err.Error()})
			return
		}
		l.held[addr] = true
	case l.wanted[addr] && l.unable != "":
		l.cfg.Emit(machine.RouteState{Addr: addr, State: machine.RouteFailed, Text: l.unable})
	case l.wanted[addr]: // said when there is a session
	case l.held[addr]:
		l.routes.Del(prefix(addr))
	default:
		l.cfg.Emit(machine.RouteState{Addr: addr, State: machine.RouteRemoved})
	}
}

// keep begins with fresh routes, or ends with the old: zebra has withdrawn
// them, and whoever waits for that hears it.
func (l *loop) keep(routes *zapi.Routes) {
	l.routes, l.up = routes, false
	held := l.held
	l.held = map[netip.Addr]bool{}
	clear(l.silent)
	for _, addr := range sorted(held) {
		if !l.wanted[addr] {
			l.cfg.Emit(machine.RouteState{Addr: addr, State: machine.RouteRemoved})
		}
	}
	if routes == nil {
		return
	}
	for _, addr := range sorted(l.wanted) {
		l.apply(addr)
	}
}

// observe begins with a zebra in which no route can be kept, or ends.
func (l *loop) observe(unable string) {
	l.unable, l.up = unable, false
	if unable == "" {
		return
	}
	for _, addr := range sorted(l.wanted) {
		l.apply(addr)
	}
}

func (l *loop) stand(now time.Time, s standing) {
	if s.absent && !l.absent {
		if err := l.cfg.Sweep(l.cfg.Addresses()); err != nil {
			l.cfg.Log.Warn("what a dead zebra left in the kernel is still there", "err", err)
		}
	}
	was, why, gone := l.up, l.why, l.gone
	l.up, l.absent, l.why = s.up, s.absent, s.why
	switch {
	case !s.absent:
		l.gone, l.search = false, time.Time{}
	case l.search.IsZero():
		l.search = now
	}
	switch {
	case s.up:
		l.cfg.Emit(machine.ZebraUp{})
		for _, addr := range sorted(l.own) {
			l.suspect(now, addr)
		}
	case was || s.why != why || l.gone != gone:
		clear(l.silent)
		clear(l.tried)
		l.down()
	}
}

func (l *loop) down() { l.cfg.Emit(machine.ZebraDown{Why: l.why, Absent: l.gone}) }

// searched hears whether there is a zebra elsewhere, if that still matters.
func (l *loop) searched(gone bool) {
	if l.absent && l.gone != gone {
		l.gone = gone
		l.down()
	}
}

// changed reports what became of a route. What is only being cleared concerns
// nobody.
func (l *loop) changed(now time.Time, c zapi.Change) {
	addr := c.Prefix.Addr()
	delete(l.silent, addr)
	if !c.Wanted {
		if c.State == zapi.StateRemoved && !l.wanted[addr] {
			delete(l.held, addr)
			l.cfg.Emit(machine.RouteState{Addr: addr, State: machine.RouteRemoved})
		}
		return
	}
	e := machine.RouteState{Addr: addr}
	switch c.State {
	case zapi.StateInstalled:
		delete(l.tried, addr)
		e.State = machine.RouteInstalled
	case zapi.StateRefused:
		e.State, e.Text = machine.RouteFailed, c.String()
		if c.Noted && c.Note == zapi.NoteBetterAdminWon {
			l.beaten(now, addr, e.Text)
			return
		}
	case zapi.StateRemoved:
		e.State = machine.RouteRemoved
	case zapi.StateSent:
		l.silent[addr] = now.Add(silence)
		return
	case zapi.StateWanted, zapi.StateWithdrawing, zapi.StateClearing:
		return
	}
	l.cfg.Emit(e)
}

// beaten is told once what beats a route is no phantom, or does not go.
func (l *loop) beaten(now time.Time, addr netip.Addr, text string) {
	if !l.tried[addr] {
		if l.tried == nil {
			l.tried = map[netip.Addr]bool{}
		}
		l.tried[addr] = true
		if l.dispel(addr) {
			l.silent[addr] = now.Add(silence) // zebra notes that ours is installed now
			return
		}
	}
	l.cfg.Emit(machine.RouteState{Addr: addr, State: machine.RouteBeaten, Text: text})
}

// believe dispels phantoms of our addresses, also of those that another node
// has: there they are in the way of what ospfd says.
func (l *loop) believe(addrs []netip.Addr) {
	for _, addr := range l.cfg.Addresses() {
		if slices.Contains(addrs, addr) {
			l.dispel(addr)
		}
	}
}

// dispel has zebra forget a route to an address that nobody has, and says
// whether there may have been one.
func (l *loop) dispel(addr netip.Addr) bool {
	was, err := l.cfg.Dispel(addr)
	switch {
	case err != nil:
		l.cfg.Log.Warn("a route that an earlier zebra has left may be in the way of ours", "address", addr, "err", err)
	case was:
		l.cfg.Log.Info("zebra prefers a route that the kernel does not have, left by an earlier life of it: it is made to forget that", "address", addr)
	}
	return was && err == nil
}

func (l *loop) forgetOSPF() {
	clear(l.own)
	clear(l.stale)
}

func (l *loop) hostRoute(now time.Time, e machine.HostRoute) {
	switch {
	case l.self == 0 || e.Router != l.self:
	case e.Present:
		l.own[e.Addr] = true
		l.suspect(now, e.Addr)
	default:
		delete(l.own, e.Addr)
		delete(l.stale, e.Addr)
	}
}

// suspect begins to watch an address that ospfd announces, if nobody wants
// that.
func (l *loop) suspect(now time.Time, addr netip.Addr) {
	if _, already := l.stale[addr]; already || l.wanted[addr] || !l.up || l.unable != "" || !slices.Contains(l.cfg.Addresses(), addr) {
		return
	}
	l.stale[addr] = clearing{due: now.Add(firstClear)}
}

// next is when expire has something to do; zero: never.
func (l *loop) next() (t time.Time) {
	earlier := func(u time.Time) {
		if t.IsZero() || u.Before(t) {
			t = u
		}
	}
	if !l.search.IsZero() {
		earlier(l.search)
	}
	for _, due := range l.silent {
		earlier(due)
	}
	for _, c := range l.stale {
		earlier(c.due)
	}
	return t
}

func (l *loop) expire(now time.Time) {
	if !l.search.IsZero() && !l.search.After(now) {
		l.search = now.Add(searchAgain)
		select {
		case l.cfg.search <- struct{}{}:
		default: // it is being looked for
		}
	}
	for _, addr := range sorted(l.silent) {
		if !l.silent[addr].After(now) {
			delete(l.silent, addr)
			l.beaten(now, addr, fmt.Sprintf("zebra says nothing of the route: another one to %s is preferred (zebra show ip route %s)", prefix(addr), addr))
		}
	}
	refresh := false
	for _, addr := range sorted(l.stale) {
		if c := l.stale[addr]; !c.due.After(now) {
			refresh = l.clear(now, addr, c) || refresh
		}
	}
	if refresh {
		l.cfg.Refresh()
	}
}

// clear goes on with an address that ospfd should forget: it asks for the
// database, or has seen it and has the route come and go.
func (l *loop) clear(now time.Time, addr netip.Addr, c clearing) (refresh bool) {
	switch {
	case !l.up || l.wanted[addr]:
		delete(l.stale, addr) // looked at again with the next session
		return false
	case !c.asked:
		l.stale[addr] = clearing{due: now.Add(judgeAfter), asked: true, tries: c.tries}
		return true
	}
	l.cfg.Log.Info("ospfd announces an address nobody wants here: its route comes and goes once more", "address", addr, "try", c.tries+1)
	if err := l.routes.Clear(announcement(addr)); err != nil {
		l.cfg.Log.Warn("a stale route cannot be cleared", "address", addr, "err", err)
	}
	if c.tries++; c.tries == clearTries {
		delete(l.stale, addr)
		l.cfg.Log.Warn("ospfd goes on announcing an address nobody wants here: is \"redistribute table\" set, and does ospfd talk to zebra?", "address", addr)
		return false
	}
	l.stale[addr] = clearing{due: now.Add(nextClear), tries: c.tries}
	return false
}

func prefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func announcement(a netip.Addr) zapi.Announcement {
	return zapi.Announcement{Prefix: prefix(a), Interface: loopback(), Metric: metric, Distance: distance}
}

func sorted[V any](m map[netip.Addr]V) []netip.Addr {
	return slices.SortedFunc(maps.Keys(m), netip.Addr.Compare)
}
