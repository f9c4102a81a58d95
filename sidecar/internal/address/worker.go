package address

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

const (
	// What somebody else removes is put back at once so many times in a row,
	// and from then on once a second.
	repairBurst = 5
	repairPause = time.Second
	// failedRetry is when something the kernel refused is tried again, unless
	// it changes before.
	failedRetry = time.Second
)

// worker owns what is wanted and what was seen. All methods are called from
// one goroutine: that of Run, and before it Clean's caller.
type worker struct {
	cfg    *Config
	kernel kernel
	jobs   *mailbox[job]

	ledger ledger
	states map[netip.Addr]*state
	snap   snapshot
	seq    uint64
	now    func() time.Time
	due    time.Time // when something is to be done without being told; zero: never
	renew  time.Time // when aliases are to be renewed; zero: there are none
}

// state is what the worker knows of one address beyond the ledger.
type state struct {
	refused error // the action itself makes no sense
	taken   error // somebody else has the address
	failed  error // what the kernel refused last; tried again
	retry   time.Time
	seen    map[item]bool // was there at the last look, and wanted
	budget  int           // repairs left
	refill  time.Time
	answer  bool // an AddressState is owed
	route   bool // a RouteState is owed
	said    machine.AddressState
	wishes  [jobPrepare]wish
	noticed bool // the present drift has its line in the log
}

func (s *state) failure() error {
	for _, err := range []error{s.refused, s.taken, s.failed} {
		if err != nil {
			return err
		}
	}
	return nil
}

// wish is the last thing the speaker was asked about an address, by job kind.
type wish struct {
	job  job
	made bool
	done bool
	err  error
}

func newWorker(cfg *Config, k kernel, jobs *mailbox[job]) *worker {
	return &worker{cfg: cfg, kernel: k, jobs: jobs, ledger: ledger{}, states: map[netip.Addr]*state{}, now: time.Now}
}

func (w *worker) state(addr netip.Addr) *state {
	s := w.states[addr]
	if s == nil {
		s = &state{seen: map[item]bool{}, budget: repairBurst, said: machine.AddressState{Addr: addr}}
		w.states[addr] = s
	}
	return s
}

func (w *worker) run(ctx context.Context, actions *mailbox[order], changed <-chan struct{}, results *mailbox[result], stills <-chan still) error {
	w.renew = w.now() // what Clean has kept may be about to expire
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-actions.ready:
			w.orders(actions.take())
		case s := <-stills:
			w.orders(actions.take())
			for _, r := range results.take() {
				w.result(r)
			}
			w.lookAfter()
			s.stand()
		case <-changed:
			w.lookAfter()
		case <-results.ready:
			for _, r := range results.take() {
				w.result(r)
			}
			w.lookAfter()
		case <-timer.C:
			w.renewAliases()
			w.lookAfter()
		}
		w.plan(timer)
	}
}

// plan sets the timer to whatever comes first.
func (w *worker) plan(timer *time.Timer) {
	if _, period := w.aliases(); period == 0 {
		w.renew = time.Time{}
	} else if at := w.now().Add(period); w.renew.IsZero() || at.Before(w.renew) {
		w.renew = at
	}
	next := w.renew
	if !w.due.IsZero() && (next.IsZero() || w.due.Before(next)) {
		next = w.due
	}
	if next.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(next.Sub(w.now()))
}

// orders carries out all actions that wait, as one: each look at the kernel lists
// all it has, and a node that takes a hundred services over at once would look two
// hundred times. What is wanted of an address is what the last action says.
func (w *worker) orders(all []order) {
	var addrs []netip.Addr
	met := map[netip.Addr]bool{}
	for _, o := range all {
		for _, addr := range o.addrs {
			w.enter(o, addr)
			if !met[addr] {
				met[addr] = true
				addrs = append(addrs, addr)
			}
		}
	}
	if w.look() { // whose address is it now?
		for _, addr := range addrs {
			w.converge(addr, true)
		}
		w.look()
	}
	for _, addr := range addrs {
		w.settle(addr)
	}
}

// enter writes the action into the ledger.
func (w *worker) enter(o order, addr netip.Addr) {
	e, s := w.ledger.at(addr), w.state(addr)
	s.refused = nil
	book := e.held
	if o.announce {
		book = e.announced
	}
	switch {
	case !addr.Is4():
		s.refused = fmt.Errorf("address %s: not an IPv4 address", addr)
	case o.on && !o.known:
		s.refused = fmt.Errorf("address %s: service %s is not in the configuration", addr, o.service)
	case o.on:
		book[o.service], e.last = o.setting, o.setting
	default:
		if set, ok := book[o.service]; ok {
			e.last = set
		} else if o.known {
			e.last = o.setting
		}
		delete(book, o.service)
	}
	e.kept = nil
	s.budget, s.refill, s.retry = repairBurst, time.Time{}, time.Time{}
	if !o.announce {
		s.answer = true
	} else if e.setting().Way == machine.WayAlias {
		s.route = true
	}
	w.tellVTY(addr, o.announce)
}

// tellVTY has the speaker do what is wanted of it. Asked by the machine it
// says so even if it said the same before: repeats do no harm in FRR, and a
// daemon may have forgotten.
func (w *worker) tellVTY(addr netip.Addr, asked bool) {
	e, s := w.ledger[addr], w.state(addr)
	want, set := e.wanted(), e.setting()
	if set.Way != machine.WayAlias {
		return
	}
	if set.Announce == AnnounceNetwork {
		area := set.Area
		if old := s.wishes[jobNetwork]; !want.network && old.made && old.job.on {
			area = old.job.area
		}
		w.wish(s, job{kind: jobNetwork, addr: addr, on: want.network, area: area}, asked)
	}
	// The first withdrawal is for what an earlier life of srrd may have announced.
	first := asked && len(e.announced) == 0 && set.Announce == AnnounceRedistribute && !s.wishes[jobPermit].made
	if old := s.wishes[jobPermit]; want.permit || first || old.made && old.job.on {
		w.wish(s, job{kind: jobPermit, addr: addr, on: want.permit}, asked && want.permit)
	}
	if set.Driver == DriverVTY {
		device := want.vty
		if device == "" {
			device = set.Device
		}
		w.wish(s, job{kind: jobAddress, addr: addr, on: want.vty != "", device: device}, false)
	}
}

// wish hands a job to the speaker if it is new, or failed, or asked for.
func (w *worker) wish(s *state, j job, asked bool) {
	old := &s.wishes[j.kind]
	j.again = j.again && j.on
	same := old.made && old.job.on == j.on && old.job.area == j.area && old.job.device == j.device
	switch {
	case same && !old.done && !j.again:
		return
	case same && old.err == nil && !asked && !j.again:
		return
	}
	w.seq++
	j.seq = w.seq
	*old = wish{job: j, made: true}
	w.jobs.put(j)
}

func (w *worker) result(r result) {
	s := w.state(r.job.addr)
	if wish := &s.wishes[r.job.kind]; wish.job.seq == r.job.seq {
		wish.done, wish.err = true, r.err
	}
}

// look takes a new snapshot. When the kernel does not answer, nothing is done
// and the next turn tries again.
func (w *worker) look() bool {
	snap, err := w.kernel.snapshot()
	if err != nil {
		w.cfg.note(machine.LevelError, err.Error())
		w.wake(failedRetry)
		return false
	}
	w.snap = snap
	return true
}

func (w *worker) wake(after time.Duration) {
	if at := w.now().Add(after); w.due.IsZero() || at.Before(w.due) {
		w.due = at
	}
}

// lookAfter compares everything with what is wanted: the watch saw a change, a
// job is done, or it is time to try again.
func (w *worker) lookAfter() {
	w.due = time.Time{}
	if !w.look() {
		return
	}
	touched := false
	for _, addr := range w.ledger.addresses() {
		touched = w.converge(addr, false) || touched
	}
	if touched && !w.look() {
		return
	}
	for _, addr := range w.ledger.addresses() {
		w.settle(addr)
	}
}

// converge changes what bears our mark for one address to what is wanted.
// Unless the machine asked, it is repair, and limited.
func (w *worker) converge(addr netip.Addr, asked bool) (touched bool) {
	e, s := w.ledger[addr], w.state(addr)
	if len(e.kept) > 0 {
		return false // nobody has decided
	}
	want := e.wanted()
	s.taken = nil
	if device, taken := w.snap.foreign(addr); taken && len(e.held) > 0 {
		s.taken = fmt.Errorf("address %s is on %s already and is not ours", addr, device)
		want = wanted{}
	}
	steps := w.steps(addr, s, want)
	if len(steps) == 0 {
		s.noticed, s.failed = false, nil
		return false
	}
	if !asked && !w.mayRepair(addr, s, want) {
		return false
	}
	s.failed = nil
	for _, step := range steps {
		if s.failed = step(); s.failed != nil {
			s.retry = w.now().Add(failedRetry)
			w.wake(failedRetry)
			break
		}
	}
	return true
}

// steps lists what is to be done, adding first and the local route first of
// all, so that packets are accepted throughout.
func (w *worker) steps(addr netip.Addr, s *state, want wanted) (steps []func() error) {
	items := want.items(addr)
	for _, it := range items {
		if w.snap.has(it) {
			continue
		}
		switch {
		case it.device == "":
			steps = append(steps, func() error { return w.named(it, w.kernel.addRoute(addr)) })
		case want.alias != "":
			steps = append(steps, func() error { return w.named(it, w.kernel.addAlias(addr, it.device, want.lifetime)) })
		case s.seen[it] && s.wishes[jobAddress].done:
			steps = append(steps, func() error {
				delete(s.seen, it)
				w.wish(s, job{kind: jobAddress, addr: addr, on: true, again: true, device: it.device}, true)
				return nil
			})
		}
	}
	if wish := s.wishes[jobAddress]; wish.made && !wish.done {
		return steps // FRR is at it
	}
	for _, it := range w.snap.ours(addr) {
		switch {
		case slices.Contains(items, it):
		case it.device == "":
			steps = append(steps, func() error { return w.named(it, w.kernel.delRoute(addr)) })
		default:
			steps = append(steps, func() error { return w.named(it, w.kernel.delAlias(addr, it.device)) })
		}
	}
	return steps
}

func (w *worker) named(it item, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", it, err)
	}
	return nil
}

// mayRepair logs what happened, once, and says whether it is time to act.
func (w *worker) mayRepair(addr netip.Addr, s *state, want wanted) bool {
	now := w.now()
	if now.Before(s.retry) {
		w.wake(s.retry.Sub(now))
		return false
	}
	for _, it := range want.items(addr) {
		if s.seen[it] && !w.snap.has(it) && !s.noticed {
			s.noticed = true
			w.cfg.note(machine.LevelWarning, fmt.Sprintf("%s has gone without our doing, putting it back", it))
		}
	}
	if s.refill.IsZero() || now.Sub(s.refill) >= repairBurst*repairPause {
		s.budget, s.refill = repairBurst, now
	}
	if s.budget == 0 {
		s.retry = now.Add(repairPause)
		s.budget, s.refill = 1, now
		w.wake(repairPause)
		return false
	}
	s.budget--
	return true
}

// settle says what is owed, and what has changed unasked.
func (w *worker) settle(addr netip.Addr) {
	e, s := w.ledger[addr], w.state(addr)
	if len(e.kept) > 0 {
		return
	}
	want := e.wanted()
	for _, it := range want.items(addr) {
		if w.snap.has(it) {
			s.seen[it] = true
		}
	}
	if len(want.items(addr)) == 0 {
		clear(s.seen)
	}
	if now, known := w.addressState(addr); known && (s.answer || now != s.said) {
		s.answer, s.said = false, now
		w.cfg.Emit(now)
	}
	if now, known := w.routeState(addr); s.route && known {
		s.route = false
		w.cfg.Emit(now)
	}
}

// addressState is what to say of an address, if it can be said yet.
func (w *worker) addressState(addr netip.Addr) (machine.AddressState, bool) {
	e, s := w.ledger[addr], w.state(addr)
	now := machine.AddressState{Addr: addr}
	if err := s.failure(); err != nil {
		now.Err = err.Error()
		now.Present = len(e.held) == 0 && len(w.snap.ours(addr)) > 0
		return now, true
	}
	if len(e.held) > 0 {
		want := e.wanted()
		if w.snap.has(want.accepting(addr)) {
			now.Present = true
			return now, true
		}
		if err := s.wishes[jobAddress].err; want.vty != "" && err != nil {
			now.Err = err.Error()
			return now, true
		}
		return now, false
	}
	if wish := s.wishes[jobAddress]; wish.made && !wish.done {
		return now, false
	}
	return now, len(w.snap.ours(addr)) == 0
}

// routeState is what to say of an alias's announcement, if it can be said yet.
func (w *worker) routeState(addr netip.Addr) (machine.RouteState, bool) {
	e, s := w.ledger[addr], w.state(addr)
	set, want := e.setting(), e.wanted()
	on := len(e.announced) > 0 && len(e.held) > 0
	now := machine.RouteState{Addr: addr, State: machine.RouteRemoved}
	if on {
		now.State = machine.RouteInstalled
	}
	failed := s.failure()
	if failed == nil && want.vty != "" {
		failed = s.wishes[jobAddress].err
	}
	if failed != nil && on {
		now.State, now.Text = machine.RouteFailed, failed.Error()
		return now, true
	}
	kind := jobNetwork
	if set.Announce == AnnounceRedistribute {
		kind = jobPermit
		there := w.snap.has(item{addr, set.Device})
		if there != on {
			return now, false
		}
		if !on {
			return now, true
		}
	}
	wish := s.wishes[kind]
	if wish.made && !wish.done {
		return now, false
	}
	if wish.made && wish.err != nil {
		now.State, now.Text = machine.RouteFailed, wish.err.Error()
	}
	return now, true
}

// leased is an alias of driver netlink and how long it lives without us.
type leased struct {
	item
	lifetime time.Duration
}

// aliases lists what has to be renewed, and how often.
func (w *worker) aliases() (all []leased, period time.Duration) {
	for _, addr := range w.ledger.addresses() {
		e := w.ledger[addr]
		for _, it := range e.kept {
			if it.device != "" {
				all = append(all, leased{it, DefaultLifetime})
			}
		}
		if want := e.wanted(); want.alias != "" && len(e.kept) == 0 {
			all = append(all, leased{item{addr, want.alias}, want.lifetime})
		}
	}
	for _, a := range all {
		if third := a.lifetime / 3; period == 0 || third < period {
			period = third
		}
	}
	return all, period
}

// renewAliases is the hand on the dead man's switch.
func (w *worker) renewAliases() {
	now := w.now()
	if w.renew.IsZero() || now.Before(w.renew) {
		return
	}
	w.renew = time.Time{}
	if !w.look() {
		return
	}
	all, _ := w.aliases()
	for _, a := range all {
		if !w.snap.has(a.item) {
			continue // for repair to put back, which looks whose it is first
		}
		if err := w.kernel.renewAlias(a.addr, a.device, a.lifetime); err != nil {
			w.cfg.note(machine.LevelError, fmt.Sprintf("%s: not renewed: %v", a, err))
		}
	}
}

// clean removes what nobody keeps and remembers what is kept.
func (w *worker) clean(keep []netip.Addr) error {
	if !w.look() {
		return errors.New("what an earlier life left on this node cannot be listed")
	}
	found := map[netip.Addr]bool{}
	for addr := range w.snap.routes {
		found[addr] = true
	}
	for addr := range w.snap.addrs {
		found[addr] = true
	}
	var failed error
	for _, addr := range sortedKeys(found) {
		ours := w.snap.ours(addr)
		if len(ours) == 0 {
			continue
		}
		if slices.Contains(keep, addr) {
			w.ledger.at(addr).kept = ours
			continue
		}
		for _, it := range ours {
			var err error
			if it.device == "" {
				err = w.kernel.delRoute(addr)
			} else {
				err = w.kernel.delAlias(addr, it.device)
			}
			failed = errors.Join(failed, w.named(it, err))
			if err == nil {
				w.cfg.note(machine.LevelInfo, fmt.Sprintf("removed %s, which an earlier life left", it))
			}
		}
	}
	return failed
}
