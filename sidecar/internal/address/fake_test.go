package address

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/vty"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// fakeKernel is one namespace in memory; String prints it as ip commands. Its
// aliases expire.
type fakeKernel struct {
	mu      sync.Mutex
	routes  map[netip.Addr]bool
	addrs   map[netip.Addr][]onDevice
	expires map[item]time.Time
	ops     int // changes we made
	looks   int // snapshots we took
	changed func()
	refuse  error // of every change
}

func newFakeKernel() *fakeKernel {
	return &fakeKernel{routes: map[netip.Addr]bool{}, addrs: map[netip.Addr][]onDevice{}, expires: map[item]time.Time{}, changed: func() {}}
}

func (k *fakeKernel) change(f func()) error {
	k.mu.Lock()
	k.ops++
	if k.refuse != nil {
		defer k.mu.Unlock()
		return k.refuse
	}
	f()
	poke := k.changed
	k.mu.Unlock()
	poke()
	return nil
}

// expire drops what nobody renewed; callers hold mu.
func (k *fakeKernel) expire() {
	for it, at := range k.expires {
		if !time.Now().Before(at) {
			delete(k.expires, it)
			k.addrs[it.addr] = slices.DeleteFunc(k.addrs[it.addr], func(o onDevice) bool { return o.device == it.device && o.ours() })
		}
	}
}

func (k *fakeKernel) snapshot() (snapshot, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.looks++
	k.expire()
	s := snapshot{routes: map[netip.Addr]bool{}, addrs: map[netip.Addr][]onDevice{}}
	for a := range k.routes {
		s.routes[a] = true
	}
	for a, on := range k.addrs {
		s.addrs[a] = slices.Clone(on)
	}
	return s, nil
}

func (k *fakeKernel) addRoute(a netip.Addr) error { return k.change(func() { k.routes[a] = true }) }
func (k *fakeKernel) delRoute(a netip.Addr) error { return k.change(func() { delete(k.routes, a) }) }

func (k *fakeKernel) addAlias(a netip.Addr, device string, lifetime time.Duration) error {
	return k.change(func() {
		on := onDevice{device, Label(device), 32}
		if !slices.Contains(k.addrs[a], on) {
			k.addrs[a] = append(k.addrs[a], on)
		}
		k.expires[item{a, device}] = time.Now().Add(lifetime)
	})
}

func (k *fakeKernel) renewAlias(a netip.Addr, device string, lifetime time.Duration) error {
	return k.addAlias(a, device, lifetime)
}

func (k *fakeKernel) delAlias(a netip.Addr, device string) error {
	return k.change(func() {
		k.addrs[a] = slices.DeleteFunc(k.addrs[a], func(o onDevice) bool { return o.device == device && o.ours() })
		delete(k.expires, item{a, device})
	})
}

func (k *fakeKernel) watch(ctx context.Context, changed func()) error {
	k.mu.Lock()
	k.changed = changed
	k.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (k *fakeKernel) String() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	var lines []string
	for a := range k.routes {
		lines = append(lines, fmt.Sprintf("ip route append local %s/32 dev lo table local proto %d", a, Protocol))
	}
	for a, all := range k.addrs {
		for _, o := range all {
			line := fmt.Sprintf("ip address add %s/%d dev %s label %s", a, o.bits, o.device, o.label)
			if at, ok := k.expires[item{a, o.device}]; ok {
				line += fmt.Sprintf(" valid_lft %v", time.Until(at))
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// fakeVTY is a suite that remembers its lines. While held, it does not answer.
type fakeVTY struct {
	mu      sync.Mutex
	running string
	lines   []string
	hold    chan struct{} // nil: answers at once
	err     error
	quagga  *fakeQuagga // nil: FRR
	frr     bool        // quagga keeps the configuration of an FRR
	orphan  bool        // there is no zebra
	own     []vty.External
	ownErr  error
}

// take returns the lines since the last call.
func (v *fakeVTY) take() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	lines := v.lines
	v.lines = nil
	return lines
}

func (v *fakeVTY) Configure(ctx context.Context, _ vty.Class, lines ...string) error {
	if v.hold != nil {
		select {
		case <-v.hold:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil && len(lines) > 0 {
		v.lines = append(v.lines, strings.Join(lines, " / "))
		if v.quagga != nil {
			v.quagga.take(lines)
		}
	}
	return v.err
}

// runs sets what ospfd's running configuration is from now on.
func (v *fakeVTY) runs(text string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.running, v.err = text, err
}

func (v *fakeVTY) Running(context.Context, vty.Daemon) (vty.Block, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.quagga != nil {
		return vty.ParseRunning(v.quagga.show()), v.err
	}
	return vty.ParseRunning(v.running), v.err
}

func (v *fakeVTY) OwnExternals(context.Context) ([]vty.External, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.own, v.ownErr
}

func (v *fakeVTY) Release(_ context.Context, d vty.Daemon) (vty.Release, error) {
	if d == vty.Zebra {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.orphan {
			return vty.Release{}, fmt.Errorf("zebra.vty: %w", syscall.ECONNREFUSED)
		}
	}
	if v.quagga != nil && !v.frr {
		return vty.Release{Suite: "Quagga", Version: vty.Version{Major: 1, Minor: 2, Patch: 4}}, v.err
	}
	return vty.Release{Suite: "FRRouting", Version: vty.Version{Major: 8, Minor: 4, Patch: 4}}, v.err
}

func (v *fakeVTY) OSPFState(context.Context) (vty.OSPFState, error) {
	return vty.OSPFState{Running: true}, v.err
}

// bubble is a port over fakes inside a synctest bubble.
type bubble struct {
	*Port
	t      *testing.T
	kernel *fakeKernel
	vty    *fakeVTY
	mu     sync.Mutex // guards events and notes
	events []machine.Event
	notes  []string
	stop   func()
}

func inBubble(t *testing.T, set services, f func(*bubble), before ...func(*bubble)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, kernel: newFakeKernel(), vty: &fakeVTY{running: "router ospf\n ospf router-id 1.1.1.1\n"}}
		var err error
		b.Port, err = newPort(Config{
			Emit: func(e machine.Event) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.events = append(b.events, e)
			},
			Setting: set.setting, Services: set.all, VTY: b.vty, Table: 99,
			Log: func(n machine.Note) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.notes = append(b.notes, n.Text)
			},
		}, b.kernel)
		if err != nil {
			t.Fatal(err)
		}
		for _, does := range before {
			does(b)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := b.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		}()
		b.stop = func() { cancel(); <-done }
		synctest.Wait()
		f(b)
		b.stop()
	})
}

// said returns the events since the last call.
func (b *bubble) said() (text []string) {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		text = append(text, fmt.Sprintf("%+v", e))
	}
	b.events = nil
	return text
}

func (b *bubble) do(a machine.Action) []string {
	b.Port.Do(a)
	return b.said()
}

func (b *bubble) wantKernel(want string) {
	b.t.Helper()
	if got := b.kernel.String(); got != want {
		b.t.Fatalf("kernel\n%s\nwant\n%s", got, want)
	}
}

func TestAnAliasIsRenewedEveryThirdOfItsLifeAndExpiresWithoutThePort(t *testing.T) {
	inBubble(t, someServices, func(b *bubble) {
		b.do(machine.SetAddresses{Service: "mail", Addresses: []netip.Addr{x2}, On: true})
		b.wantKernel("ip address add 10.250.0.2/32 dev lo label lo:srrd valid_lft 3s")
		time.Sleep(900 * time.Millisecond) // virtual time
		b.wantKernel("ip address add 10.250.0.2/32 dev lo label lo:srrd valid_lft 2.1s")
		time.Sleep(time.Minute)
		synctest.Wait()
		b.wantKernel("ip address add 10.250.0.2/32 dev lo label lo:srrd valid_lft 2.1s")
		b.stop()
		if len(b.notes) > 0 {
			t.Errorf("log: %q, want none", b.notes)
		}
		time.Sleep(2100 * time.Millisecond)
		b.wantKernel("")
	})
}

// A look lists all the kernel has: with one for each service, a node that takes
// many over would be busy with looking.
func TestManyServicesAtOnceCostTwoLooks(t *testing.T) {
	k, said := newFakeKernel(), 0
	cfg := Config{Emit: func(e machine.Event) {
		if s, ok := e.(machine.AddressState); !ok || !s.Present || s.Err != "" {
			t.Errorf("%+v", e)
		}
		said++
	}}
	w := newWorker(&cfg, k, newMailbox[job]())
	var all []order
	for i := range 100 {
		all = append(all, order{service: fmt.Sprint("s", i), addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 250, 1, byte(i)})}, on: true, known: true})
	}
	w.orders(all)
	if len(k.routes) != 100 || said != 100 || k.looks != 2 {
		t.Errorf("%d routes, %d said, %d looks; want 100, 100 and 2", len(k.routes), said, k.looks)
	}
}

func TestTheLastOfSeveralActionsIsWhatIsWanted(t *testing.T) {
	k := newFakeKernel()
	var said []machine.Event
	cfg := Config{Emit: func(e machine.Event) { said = append(said, e) }}
	w := newWorker(&cfg, k, newMailbox[job]())
	web := order{service: "web", addrs: []netip.Addr{x1}, known: true}
	on := web
	on.on = true
	w.orders([]order{on, web})
	if len(k.routes) != 0 || len(said) != 1 || said[0] != (machine.AddressState{Addr: x1}) {
		t.Errorf("on, off: %v, said %+v", k, said)
	}
	said = nil
	w.orders([]order{on, web, on})
	if !k.routes[x1] || len(said) != 1 || said[0] != (machine.AddressState{Addr: x1, Present: true}) {
		t.Errorf("on, off, on: %v, said %+v", k, said)
	}
}

func TestWhoeverKeepsDeletingFindsItBackOnceASecond(t *testing.T) {
	inBubble(t, someServices, func(b *bubble) {
		b.do(machine.SetAddresses{Service: "web", Addresses: []netip.Addr{x1}, On: true})
		b.kernel.mu.Lock()
		before := b.kernel.ops
		b.kernel.mu.Unlock()
		for range 100 { // ten a second for ten seconds
			b.kernel.mu.Lock()
			delete(b.kernel.routes, x1)
			poke := b.kernel.changed
			b.kernel.mu.Unlock()
			poke()
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		b.kernel.mu.Lock()
		repairs := b.kernel.ops - before
		b.kernel.mu.Unlock()
		if repairs < repairBurst+5 || repairs > repairBurst+15 {
			t.Errorf("%d repairs in ten seconds, want a burst of %d and then about one a second", repairs, repairBurst)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		b.wantKernel("ip route append local 10.250.0.1/32 dev lo table local proto 201")
	})
}

func TestAFrozenOspfdDelaysNoLocalAddress(t *testing.T) {
	inBubble(t, someServices, func(b *bubble) {
		b.vty.hold = make(chan struct{})
		b.do(machine.SetAddresses{Service: "mail", Addresses: []netip.Addr{x2}, On: true})
		begin := time.Now()
		if said := b.do(machine.Announce{Service: "mail", Addresses: []netip.Addr{x2}, On: true}); len(said) > 0 {
			t.Errorf("announced before ospfd answered: %q", said)
		}
		said := b.do(machine.SetAddresses{Service: "web", Addresses: []netip.Addr{x1}, On: true})
		if diff := cmp.Diff([]string{"{Addr:10.250.0.1 Present:true Err:}"}, said); diff != "" || !time.Now().Equal(begin) {
			t.Errorf("local address while ospfd is frozen (after %v):\n%s", time.Since(begin), diff)
		}
		time.Sleep(vtyPatience)
		want := []string{fmt.Sprintf("{Addr:10.250.0.2 State:%d Text:no answer within 5s}", machine.RouteFailed)}
		if diff := cmp.Diff(want, b.said()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLinesSomebodyTakesOutOfOspfdArePutBack(t *testing.T) {
	const bare = "router ospf\n ospf router-id 1.1.1.1\n"
	const set = bare + " redistribute table 99\n redistribute connected route-map SRRD-VIP\nexit\n" +
		"ip prefix-list SRRD-VIP seq 5 permit 10.250.0.1/32\nroute-map SRRD-VIP permit 10\n match ip address prefix-list SRRD-VIP\nexit\n"
	inBubble(t, services{
		"web":  {Name: "web", Addresses: []netip.Addr{netip.MustParseAddr("10.250.0.3")}},
		"news": {Name: "news", Addresses: []netip.Addr{x1}, Setting: alias(AnnounceRedistribute)},
	}, func(b *bubble) {
		time.Sleep(time.Minute) // virtual time: before Prepare nothing is anybody's
		synctest.Wait()
		if got := b.vty.take(); len(got) > 0 {
			t.Fatalf("set %q before Prepare", got)
		}
		if err := b.Prepare(b.t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(b.vty.take(), "\n"); !strings.Contains(got, "redistribute table 99") {
			t.Fatalf("Prepare set %q", got)
		}
		quiet := func(when string) {
			t.Helper()
			said := len(b.notes)
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := b.vty.take(); len(got) > 0 || len(b.notes) > said {
				t.Fatalf("%s: set %q, said %q", when, got, b.notes[said:])
			}
		}
		b.vty.runs(set, nil)
		quiet("with everything there")
		for _, c := range []struct{ name, running, want string }{
			{"the redistribution of the table", strings.Replace(set, " redistribute table 99\n", "", 1), "router ospf / redistribute table 99"},
			{"the redistribution of aliases", strings.Replace(set, " redistribute connected route-map SRRD-VIP\n", "", 1), "router ospf / redistribute connected route-map SRRD-VIP"},
			{"the prefix-list", strings.Replace(set, "ip prefix-list SRRD-VIP seq 5 permit 10.250.0.1/32\n", "", 1), "ip prefix-list SRRD-VIP permit 10.250.0.1/32"},
			{"the route-map", set[:strings.Index(set, "route-map SRRD-VIP permit")], "route-map SRRD-VIP permit 10 / match ip address prefix-list SRRD-VIP / exit"},
		} {
			b.vty.runs(c.running, nil)
			time.Sleep(lookEvery)
			synctest.Wait()
			if got := strings.Join(b.vty.take(), "\n"); got != c.want {
				t.Errorf("%s was taken away: set %q, want %q", c.name, got, c.want)
			}
			if last := b.notes[len(b.notes)-1]; !strings.HasPrefix(last, "ospfd lacked lines that were set before") {
				t.Errorf("%s was taken away: said %q", c.name, last)
			}
			b.vty.runs(set, nil)
			quiet(c.name + " is back")
		}
		b.vty.runs("", nil)
		quiet("without `router ospf`")
		b.vty.runs(set, fmt.Errorf("ospfd: %w", syscall.ECONNREFUSED))
		quiet("with an ospfd that is not there")
		for _, c := range []struct {
			err  error
			says string
		}{
			{errors.New("ospfd refuses it"), "it is tried again: ospfd refuses it"},
			{errors.New("the disk is full"), "it is tried again: the disk is full"},
			{nil, "what services need in ospfd is looked after again"},
		} {
			b.vty.runs(set, c.err)
			time.Sleep(lookEvery)
			synctest.Wait()
			if last := b.notes[len(b.notes)-1]; !strings.HasSuffix(last, c.says) {
				t.Errorf("%v: said %q", c.err, last)
			}
			quiet("once that was said")
		}
		b.vty.runs(strings.Replace(set, "connected route-map SRRD-VIP", "connected route-map MINE", 1), nil)
		time.Sleep(lookEvery)
		synctest.Wait()
		if last := b.notes[len(b.notes)-1]; !strings.Contains(last, "route-map has to let the service addresses through") {
			t.Errorf("said %q", last)
		}
		quiet("once that was said")
	})
}

func TestAKernelThatRefusesIsAskedAgain(t *testing.T) {
	inBubble(t, someServices, func(b *bubble) {
		b.kernel.mu.Lock()
		b.kernel.refuse = errors.New("operation not permitted")
		b.kernel.mu.Unlock()
		said := b.do(machine.SetAddresses{Service: "web", Addresses: []netip.Addr{x1}, On: true})
		want := []string{"{Addr:10.250.0.1 Present:false Err:local route 10.250.0.1/32: operation not permitted}"}
		if diff := cmp.Diff(want, said); diff != "" {
			t.Error(diff)
		}
		b.kernel.mu.Lock()
		b.kernel.refuse = nil
		b.kernel.mu.Unlock()
		time.Sleep(failedRetry)
		if diff := cmp.Diff([]string{"{Addr:10.250.0.1 Present:true Err:}"}, b.said()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhatIsNotConfiguredIsRefusedWithTheServicesName(t *testing.T) {
	inBubble(t, someServices, func(b *bubble) {
		said := b.do(machine.SetAddresses{Service: "nosuch", Addresses: []netip.Addr{x1}, On: true})
		want := []string{"{Addr:10.250.0.1 Present:false Err:address 10.250.0.1: service nosuch is not in the configuration}"}
		if diff := cmp.Diff(want, said); diff != "" {
			t.Error(diff)
		}
		said = b.do(machine.SetAddresses{Service: "web", Addresses: []netip.Addr{netip.IPv6Loopback()}, On: true})
		if want := []string{"{Addr:::1 Present:false Err:address ::1: not an IPv4 address}"}; !slices.Equal(said, want) {
			t.Errorf("got %q, want %q", said, want)
		}
		b.wantKernel("")
	})
}

// TestKernelStories walks each way through on, announce, withdraw, off.
func TestKernelStories(t *testing.T) {
	vtyAlias := func(a Announcement) Setting {
		return Setting{Way: machine.WayAlias, Driver: DriverVTY, Announce: a, Device: "eth0"}
	}
	set := services{
		"local":            {},
		"alias network":    {Setting: alias(AnnounceNetwork)},
		"alias redist":     {Setting: alias(AnnounceRedistribute)},
		"vty alias redist": {Setting: vtyAlias(AnnounceRedistribute)},
	}
	for name, v := range set {
		v.Name, v.Addresses = name, []netip.Addr{x1}
		set[name] = v
	}
	var story strings.Builder
	for _, v := range set.all() {
		inBubble(t, set, func(b *bubble) {
			fmt.Fprintf(&story, "== %s\n", v.Name)
			for _, step := range []struct {
				words string
				act   machine.Action
			}{
				{"addresses on", machine.SetAddresses{Service: v.Name, Addresses: v.Addresses, On: true}},
				{"announce", machine.Announce{Service: v.Name, Addresses: v.Addresses, On: true}},
				{"withdraw", machine.Announce{Service: v.Name, Addresses: v.Addresses}},
				{"addresses off", machine.SetAddresses{Service: v.Name, Addresses: v.Addresses}},
			} {
				said := b.do(step.act)
				fmt.Fprintf(&story, "\n%s\n", step.words)
				for _, line := range said {
					fmt.Fprintf(&story, "  says    %s\n", line)
				}
				for _, line := range b.vty.take() {
					fmt.Fprintf(&story, "  vty     %s\n", line)
				}
				for line := range strings.SplitSeq(b.kernel.String(), "\n") {
					fmt.Fprintf(&story, "  kernel  %s\n", line)
				}
			}
			story.WriteString("\n")
		})
	}
	golden(t, "stories.txt", story.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestOspfdForgetsTheTableAsItWasRedistributed(t *testing.T) {
	inBubble(t, someServices, func(b *bubble) {
		for _, c := range []struct {
			running string
			err     error
			set     string
			says    string
		}{
			{"router ospf\n redistribute table 99\n", nil, "router ospf / no redistribute table 99 / redistribute table 99", "ospfd was made to forget"},
			{"router ospf\n redistribute table 9\n redistribute table 99 metric 7 route-map MINE\n", nil,
				"router ospf / no redistribute table 99 / redistribute table 99 metric 7 route-map MINE", "ospfd was made to forget"},
			{"router ospf\n redistribute table 991\n", nil, "", ""},
			{"", nil, "", ""},
			{"router ospf\n redistribute table 99\n", fmt.Errorf("ospfd: %w", syscall.ECONNREFUSED), "", ""},
			{"router ospf\n redistribute table 99\n", errors.New("no answer within 5s"), "", "ospfd goes on announcing them: no answer within 5s"},
		} {
			b.vty.runs(c.running, c.err)
			said := len(b.notes)
			b.Forget()
			synctest.Wait()
			if got := strings.Join(b.vty.take(), "\n"); got != c.set {
				t.Errorf("%q: set %q, want %q", c.running, got, c.set)
			}
			if now := strings.Join(b.notes[said:], "\n"); !strings.Contains(now, c.says) || c.says == "" && now != "" {
				t.Errorf("%q: said %q, want %q", c.running, now, c.says)
			}
		}
	})
}

// ospfd keeps what the last zebra told it. Its prefix-list takes it away, and
// must not give it back before the address is announced again.
func TestAnAliasThatEndsWithoutAZebraIsDeniedUntilItIsAnnounced(t *testing.T) {
	permit := "ip prefix-list " + PolicyName + " seq 5 permit " + x1.String() + "/32"
	type step func(b *bubble, say func(on bool))
	zebra := func(there bool) step {
		return func(b *bubble, _ func(bool)) {
			b.vty.mu.Lock()
			b.vty.orphan = !there
			b.vty.mu.Unlock()
		}
	}
	announced := func(on bool) step { return func(_ *bubble, say func(bool)) { say(on) } }
	shows := func(age time.Duration, err error) step {
		return func(b *bubble, _ func(bool)) {
			b.vty.mu.Lock()
			b.vty.own = []vty.External{{Prefix: netip.PrefixFrom(x2, 32)}, {Prefix: netip.PrefixFrom(x1, 32), Age: age}}
			b.vty.ownErr = err
			b.vty.mu.Unlock()
		}
	}
	minute := func(*bubble, func(bool)) { time.Sleep(time.Minute) }
	adopted := func(b *bubble, _ func(bool)) {
		b.Do(machine.SetAddresses{Service: "news", Addresses: []netip.Addr{x1}, On: true})
	}
	restarted := func(b *bubble, _ func(bool)) {
		synctest.Wait()
		b.vty.mu.Lock()
		*b.vty.quagga = fakeQuagga{}
		b.vty.mu.Unlock()
		if err := b.Prepare(b.t.Context()); err != nil {
			b.t.Error(err)
		}
	}
	for _, c := range []struct {
		name  string
		steps []step
		let   bool // through by the prefix-list
		left  bool // by an earlier life of srrd
	}{
		{"zebra is there and ospfd lets go", []step{announced(true), shows(time.Hour, nil), announced(false), minute}, true, false},
		{"zebra is there and ospfd cannot say", []step{announced(true), shows(0, &vty.StatusError{Status: vty.StatusNoMatch}), announced(false), minute}, true, false},
		{"zebra is away", []step{announced(true), zebra(false), announced(false)}, false, false},
		{"zebra is back, and ospfd would announce it again", []step{announced(true), zebra(false), announced(false), zebra(true), minute}, false, false},
		{"ospfd is restarted too, and keeps nothing", []step{announced(true), zebra(false), announced(false), zebra(true), restarted}, true, false},
		{"ospfd is restarted with a zebra, and its earlier life's LSA stays", []step{announced(true), shows(7*time.Second, nil), announced(false), restarted, minute}, false, false},
		{"and is announced again", []step{announced(true), shows(7*time.Second, nil), announced(false), restarted, minute, announced(true)}, true, false},
		{"an earlier life of srrd left it on", []step{announced(false), shows(7*time.Second, nil), minute}, false, true},
		{"and ospfd lets go", []step{announced(false), shows(time.Hour, nil), minute}, true, true},
		{"and nobody has decided about it", []step{shows(7*time.Second, nil), minute}, true, true},
		{"and it is adopted", []step{shows(7*time.Second, nil), minute, adopted, announced(true), minute}, true, true},
		{"and there is no zebra", []step{zebra(false), announced(false)}, false, true},
		{"nobody here ever announced it", []step{shows(7*time.Second, nil), minute}, false, false},
		{"it was withheld from the ospfd before", []step{announced(true), shows(7*time.Second, nil), announced(false), minute, restarted, minute}, false, false},
		{"and the next one has it no more", []step{announced(true), shows(7*time.Second, nil), announced(false), minute, shows(time.Hour, nil), restarted, minute}, true, false},
		{"it is announced again without a zebra", []step{announced(true), zebra(false), announced(false), announced(true), minute}, true, false},
		{"it is announced again with one, and ends as it should", []step{announced(true), zebra(false), announced(false), zebra(true), announced(true),
			shows(time.Hour, nil), announced(false), minute}, true, false},
		{"zebra is there, but ospfd has not heard of it", []step{announced(true), shows(7*time.Second, nil), announced(false), minute}, false, false},
		{"and it is announced again before that was seen", []step{announced(true), shows(7*time.Second, nil), announced(false), announced(true), minute}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := services{"news": frrServices["news"]}
			inBubble(t, set, func(b *bubble) {
				q := &fakeQuagga{}
				b.vty.mu.Lock()
				b.vty.quagga, b.vty.frr = q, true
				b.vty.mu.Unlock()
				if err := b.Prepare(b.t.Context()); err != nil {
					t.Fatal(err)
				}
				if !c.left {
					b.Do(machine.SetAddresses{Service: "news", Addresses: set["news"].Addresses, On: true})
				}
				for _, does := range c.steps {
					does(b, func(on bool) {
						b.Do(machine.Announce{Service: "news", Addresses: set["news"].Addresses, On: on})
						b.said()
					})
				}
				synctest.Wait()
				b.vty.mu.Lock()
				defer b.vty.mu.Unlock()
				if let := slices.Contains(q.policy, permit); let != c.let {
					t.Errorf("let through: %v, want %v; the prefix-list is %q", let, c.let, q.policy)
				}
			}, func(b *bubble) {
				if !c.left {
					return
				}
				if err := b.kernel.addAlias(x1, set["news"].Setting.filled().Device, time.Minute); err != nil {
					t.Fatal(err)
				}
				if err := b.Clean(t.Context(), []netip.Addr{x1}); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}
