package zebra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/zapi"
	"github.com/srrd/srrd/zapi/zapitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	x1   = netip.MustParseAddr("203.0.113.1")
	x2   = netip.MustParseAddr("203.0.113.2")
	self = machine.RouterID(0x0a000001)
)

const patience = 20 * time.Second

// harness is a port against a scripted zebra, inside a bubble of virtual time.
type harness struct {
	*Port
	t *testing.T
	z *zapitest.Zebra

	mu        sync.Mutex
	got       []string
	release   string
	noRelease error
	asked     int
	refreshed []time.Duration
	swept     [][]netip.Addr
	dispel    func(netip.Addr) (bool, error)
	kernel    func() ([]netip.Addr, error)
	dispelled []netip.Addr
	forgotten int
	elsewhere bool // a zebra runs there
	local     map[string]bool
	since     time.Time
}

func (h *harness) emit(ev machine.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, strings.TrimPrefix(fmt.Sprintf("%T%+v", ev, ev), "machine."))
}

// bubble runs f with a port and zebra of this release; then both end. What comes
// before the port runs is last.
func bubble(t *testing.T, release string, f func(h *harness), before ...func(h *harness)) {
	t.Helper()
	dialect, err := zapi.DialectFor(release)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := &harness{t: t, z: zapitest.New(dialect), release: release, local: map[string]bool{"web": true}, since: time.Now()}
		h.Port = New(Config{
			Instance: 201,
			Version: func(context.Context) (string, error) {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.asked++
				return h.release, h.noRelease
			},
			Local: func(s string) bool {
				h.mu.Lock()
				defer h.mu.Unlock()
				return h.local[s]
			},
			Addresses: func() []netip.Addr { return []netip.Addr{x1} },
			Refresh: func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.refreshed = append(h.refreshed, time.Since(h.since))
			},
			Forget: func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.forgotten++
			},
			Sweep: func(a []netip.Addr) error {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.swept = append(h.swept, a)
				return nil
			},
			Gone: func(context.Context) bool {
				h.mu.Lock()
				defer h.mu.Unlock()
				return !h.elsewhere
			},
			Dispel: func(a netip.Addr) (bool, error) {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.dispelled = append(h.dispelled, a)
				if h.dispel == nil {
					return false, nil
				}
				return h.dispel(a)
			},
			Kernel: func(context.Context) ([]netip.Addr, error) {
				h.mu.Lock()
				defer h.mu.Unlock()
				if h.kernel == nil {
					return nil, nil
				}
				return h.kernel()
			},
			Emit: h.emit, Log: slog.New(slog.DiscardHandler),
		})
		h.dial = func(ctx context.Context, path string) (net.Conn, error) {
			h.mu.Lock()
			z := h.z
			h.mu.Unlock()
			return z.Dial(ctx, path)
		}
		for _, b := range before {
			b(h)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- h.Run(ctx) }()
		f(h)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		h.z.Kill()
	})
}

// want compares the events since the last want, when nothing moves any more.
func (h *harness) want(want ...string) {
	h.t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if diff := cmp.Diff(want, h.got); diff != "" {
		h.t.Errorf("events (-want +got):\n%s", diff)
	}
	h.got = nil
}

func (h *harness) announce(on bool, addrs ...netip.Addr) {
	h.Do(machine.Announce{Service: "web", Addresses: addrs, On: on})
}

func (h *harness) rib() (all []string) {
	synctest.Wait()
	for _, r := range h.z.RIB() {
		all = append(all, fmt.Sprintf("%s %s[%d] distance %d", r.Prefix, r.Type, r.Instance, r.Distance))
	}
	return all
}

// additions counts how often a route was added.
func (h *harness) additions(a netip.Addr) (n int) {
	for _, m := range h.z.Received() {
		if add, is := m.(zapi.RouteAdd); is && add.Prefix == prefix(a) {
			n++
		}
	}
	return n
}

func state(a netip.Addr, s machine.RouteStanding, text string) string {
	return strings.TrimPrefix(fmt.Sprintf("%T%+v", machine.RouteState{}, machine.RouteState{Addr: a, State: s, Text: text}), "machine.")
}

func TestAnAnnouncementIsInstalledAndWithdrawnInEveryDialect(t *testing.T) {
	for _, release := range []string{"7.5.1", "8.4.4", "9.1", "10.0", "10.7"} {
		t.Run("FRR "+release, func(t *testing.T) {
			bubble(t, release, func(h *harness) {
				h.want("ZebraUp{}")
				h.announce(true, x1, x2)
				h.want(state(x1, machine.RouteInstalled, ""), state(x2, machine.RouteInstalled, ""))
				if diff := cmp.Diff([]string{"203.0.113.1/32 table[201] distance 1", "203.0.113.2/32 table[201] distance 1"}, h.rib()); diff != "" {
					t.Errorf("RIB (-want +got):\n%s", diff)
				}
				h.announce(false, x1)
				h.want(state(x1, machine.RouteRemoved, ""))
				if got := h.rib(); len(got) != 1 {
					t.Errorf("RIB %v, want x2 alone", got)
				}
				h.announce(true, x2) // again
				h.want()
			})
		})
	}
}

func TestAWithdrawalOfWhatWasNeverAnnouncedIsAnswered(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.want("ZebraUp{}")
		h.announce(false, x1)
		h.want(state(x1, machine.RouteRemoved, ""))
	})
}

func TestServicesOfTheOtherWayAreNotForThisPort(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.Do(machine.Announce{Service: "other", Addresses: []netip.Addr{x1}, On: true})
		h.Do(machine.Announce{Service: "other", Addresses: []netip.Addr{x1}})
		h.Do(machine.SetAddresses{Service: "web", Addresses: []netip.Addr{x1}, On: true})
		h.want("ZebraUp{}")
		if got := h.rib(); len(got) != 0 {
			t.Errorf("RIB %v", got)
		}
	})
}

func TestAServiceWhoseWayChangedIsStillWithdrawn(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.announce(true, x1)
		h.want("ZebraUp{}", state(x1, machine.RouteInstalled, ""))
		h.mu.Lock()
		h.local["web"] = false // a reload made it an alias
		h.mu.Unlock()
		h.announce(false, x1)
		h.want(state(x1, machine.RouteRemoved, ""))
		if got := h.rib(); len(got) != 0 {
			t.Errorf("RIB %v", got)
		}
	})
}

func TestWhatIsWantedBeforeRunIsSaidThen(t *testing.T) {
	z := zapitest.Start(t, mustDialect(t, "8.4"))
	got := make(chan machine.Event, 10)
	p := New(Config{Path: z.Path(), Instance: 201, Local: func(string) bool { return true }, Emit: func(ev machine.Event) { got <- ev },
		Version: func(context.Context) (string, error) { return "8.4.4", nil }})
	p.Do(machine.Announce{Service: "web", Addresses: []netip.Addr{x1}, On: true})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	patient, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	if err := z.WaitRIB(patient, func(r []zapi.Route) bool { return len(r) == 1 }); err != nil {
		t.Errorf("no route: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := z.WaitRIB(patient, func(r []zapi.Route) bool { return len(r) == 0 }); err != nil {
		t.Errorf("the route outlives its port: %v", err)
	}
}

func mustDialect(t *testing.T, release string) zapi.Dialect {
	t.Helper()
	d, err := zapi.DialectFor(release)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestABetterRouteIsToldAsBeaten(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.z.Refuse(prefix(x1), zapi.NoteBetterAdminWon)
		h.z.Refuse(prefix(x2), zapi.NoteFailed)
		h.announce(true, x1, x2)
		h.want("ZebraUp{}", state(x1, machine.RouteBeaten, "203.0.113.1/32 refused: "+zapi.NoteBetterAdminWon.String()),
			state(x2, machine.RouteFailed, "203.0.113.2/32 refused: "+zapi.NoteFailed.String()))
		h.announce(false, x1)
		h.want(state(x1, machine.RouteRemoved, ""))
	})
}

func TestARouteZebraSaysNothingOfIsTakenForBeaten(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.z.Ignore(prefix(x1))
		h.announce(true, x1)
		h.want("ZebraUp{}")
		time.Sleep(silence)
		h.want(state(x1, machine.RouteBeaten, "zebra says nothing of the route: another one to 203.0.113.1/32 is preferred (zebra show ip route 203.0.113.1)"))
		h.announce(false, x1)
		h.want(state(x1, machine.RouteRemoved, ""))
		time.Sleep(time.Minute)
		h.want()
	})
}

// phantom is a scripted zebra's preference for a route that nobody has: it
// refuses ours, and goes when it is dispelled, upon which ours is installed.
func (h *harness) phantom(a netip.Addr) {
	h.z.Refuse(prefix(a), zapi.NoteBetterAdminWon)
	h.dispel = func(of netip.Addr) (bool, error) {
		h.z.Allow(prefix(of))
		h.z.Send(zapi.NotifyOwner{Note: zapi.NoteInstalled, Prefix: prefix(of), Table: 254, AFI: zapi.AFIIPv4, SAFI: zapi.SAFIUnicast})
		return true, nil
	}
}

func TestAPhantomThatBeatsARouteIsDispelledBeforeAnybodyIsTold(t *testing.T) {
	bubble(t, "10.3", func(h *harness) {
		h.phantom(x1)
		h.announce(true, x1)
		h.want("ZebraUp{}", state(x1, machine.RouteInstalled, ""))
		h.announce(true, x2)
		h.want(state(x2, machine.RouteInstalled, ""))
		time.Sleep(time.Minute)
		h.want()
		if diff := cmp.Diff([]netip.Addr{x1}, h.dispelled, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("dispelled (-want +got):\n%s", diff)
		}
	})
}

func TestOneThatDoesNotGoIsToldAsBeatenAfterASecond(t *testing.T) {
	bubble(t, "10.3", func(h *harness) {
		h.z.Refuse(prefix(x1), zapi.NoteBetterAdminWon)
		h.dispel = func(netip.Addr) (bool, error) { return true, nil }
		h.announce(true, x1)
		h.want("ZebraUp{}")
		time.Sleep(silence)
		beaten := state(x1, machine.RouteBeaten, "zebra says nothing of the route: another one to 203.0.113.1/32 is preferred (zebra show ip route 203.0.113.1)")
		h.want(beaten)
		time.Sleep(time.Minute)
		if len(h.dispelled) != 1 {
			t.Errorf("dispelled %d times, want once", len(h.dispelled))
		}

		h.announce(false, x1)
		h.want(state(x1, machine.RouteRemoved, ""))
		h.announce(true, x1) // the service is reactivated: looked for once more
		time.Sleep(silence)
		h.want(beaten)
		if len(h.dispelled) != 2 {
			t.Errorf("dispelled %d times, want once for each announcement", len(h.dispelled))
		}
	})
}

func TestAPhantomIsLookedForInEveryLifeOfZebra(t *testing.T) {
	bubble(t, "10.3", func(h *harness) {
		h.phantom(x1)
		h.announce(true, x1)
		h.want("ZebraUp{}", state(x1, machine.RouteInstalled, ""))
		h.z.Kill()
		time.Sleep(5 * time.Second)
		h.phantom(x1)
		if err := h.z.Return(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if last := h.got[len(h.got)-1]; last != state(x1, machine.RouteInstalled, "") || len(h.dispelled) != 2 {
			t.Errorf("told %q last, dispelled %d times; want it installed, and two", last, len(h.dispelled))
		}
	})
}

// A node cannot reach a service that another one runs while its own zebra
// prefers a phantom to what ospfd says.
func TestPhantomsOfAddressesThatAreNotWantedHereAreDispelledAtTheStart(t *testing.T) {
	for _, c := range []struct {
		name    string
		release string
		kernel  func() ([]netip.Addr, error)
		want    []netip.Addr
	}{
		{"zebra holds routes of the kernel to an address of ours and to another", "10.3", func() ([]netip.Addr, error) { return []netip.Addr{x2, x1}, nil }, []netip.Addr{x1}},
		{"it holds none", "10.3", func() ([]netip.Addr, error) { return nil, nil }, nil},
		{"it does not say", "10.3", func() ([]netip.Addr, error) { return nil, errors.New("timeout") }, nil},
		{"it is Quagga's", "Quagga 1.2.4", func() ([]netip.Addr, error) { return []netip.Addr{x1}, nil }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, c.release, func(h *harness) {
				h.want("ZebraUp{}")
				if diff := cmp.Diff(c.want, h.dispelled, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
					t.Errorf("dispelled (-want +got):\n%s", diff)
				}
			}, func(h *harness) { h.kernel = c.kernel })
		})
	}
}

func TestAPhantomThatCannotBeDispelledIsToldAsBeaten(t *testing.T) {
	bubble(t, "10.3", func(h *harness) {
		h.z.Refuse(prefix(x1), zapi.NoteBetterAdminWon)
		h.dispel = func(netip.Addr) (bool, error) { return true, errors.New("operation not permitted") }
		h.announce(true, x1)
		h.want("ZebraUp{}", state(x1, machine.RouteBeaten, "203.0.113.1/32 refused: "+zapi.NoteBetterAdminWon.String()))
	})
}

func TestZebraDiesAndReturns(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.announce(true, x1)
		h.want("ZebraUp{}", state(x1, machine.RouteInstalled, ""))
		h.z.Kill()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		h.mu.Lock()
		got := h.got
		h.got = nil
		h.mu.Unlock()
		if len(got) != 3 || !strings.Contains(got[0], "ZebraDown{Why:zebra at ") || !strings.HasSuffix(got[1], "connection refused Absent:false}") ||
			!strings.HasSuffix(got[2], "connection refused Absent:true}") {
			t.Errorf("a dead zebra is told as %q", got)
		}
		if diff := cmp.Diff([][]netip.Addr{{x1}}, h.swept, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("swept from the kernel (-want +got):\n%s", diff)
		}
		if err := h.z.Return(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		h.want("ZebraUp{}", state(x1, machine.RouteInstalled, ""))
	})
}

// The path of its socket may be a wrong one.
func TestAZebraThatAnswersElsewhereIsNotGone(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.want("ZebraUp{}")
		h.z.Kill()
		told := func() []string {
			time.Sleep(5 * time.Second)
			synctest.Wait()
			h.mu.Lock()
			defer h.mu.Unlock()
			got := h.got
			h.got = nil
			return got
		}
		if got := told(); len(got) != 2 || !strings.HasSuffix(got[1], "connection refused Absent:false}") {
			t.Errorf("its socket alone is gone, and told is %q", got)
		}
		for _, elsewhere := range []bool{false, true, false} {
			h.mu.Lock()
			h.elsewhere = elsewhere
			h.mu.Unlock()
			if got := told(); len(got) != 1 || !strings.HasSuffix(got[0], fmt.Sprintf("connection refused Absent:%v}", !elsewhere)) {
				t.Errorf("a zebra answers on its VTY: %v, and told is %q", elsewhere, got)
			}
		}
		if err := h.z.Return(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		h.want("ZebraUp{}")
	}, func(h *harness) { h.elsewhere = true })
}

func TestAZebraThatOnlyClosesTheConnectionIsNotSwept(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.announce(true, x1)
		h.want("ZebraUp{}", state(x1, machine.RouteInstalled, ""))
		h.z.Disconnect()
		synctest.Wait()
		if len(h.swept) != 0 {
			t.Errorf("swept %v", h.swept)
		}
		if got := h.rib(); len(got) != 1 {
			t.Errorf("RIB %v", got)
		}
	})
}

func TestAnAbsentZebraIsToldOnceAndAskedAgain(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		time.Sleep(time.Minute)
		synctest.Wait()
		h.mu.Lock()
		downs := slices.DeleteFunc(slices.Clone(h.got), func(s string) bool { return !strings.Contains(s, "nobody listens") })
		h.got, h.noRelease = nil, nil
		h.mu.Unlock()
		if len(downs) != 2 || !strings.HasSuffix(downs[0], "Absent:false}") || !strings.HasSuffix(downs[1], "Absent:true}") {
			t.Errorf("told %q, want it once, and once that there is none", downs)
		}
		if len(h.swept) != 1 {
			t.Errorf("swept %d times, want once", len(h.swept))
		}
		if err := h.z.Return(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		h.want("ZebraUp{}")
	}, func(h *harness) {
		h.z.Kill()
		h.noRelease = errors.New("nobody listens on zebra.vty")
	})
}

func TestAReleaseNobodyKnowsIsToldAndAskedAgain(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.want("ZebraUp{}")
		h.mu.Lock()
		h.release = "99.1"
		h.mu.Unlock()
		h.z.Mute(true) // what answers there now does not know our HELLO
		h.z.Disconnect()
		time.Sleep(time.Minute)
		synctest.Wait()
		h.mu.Lock()
		said := strings.Join(h.got, "\n")
		asked := h.asked
		h.got, h.release = nil, "8.4.4"
		h.mu.Unlock()
		if strings.Count(said, "zebra's release is not known: ") != 1 {
			t.Errorf("said:\n%s", said)
		}
		if asked < 60 || asked > 125 {
			t.Errorf("asked for the release %d times in a minute", asked)
		}
		h.z.Mute(false)
		time.Sleep(2 * time.Second)
		h.want("ZebraUp{}")
	})
}

func TestAZebraOfAnotherReleaseIsSpokenToInItsDialect(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.announce(true, x1)
		h.want("ZebraUp{}", state(x1, machine.RouteInstalled, ""))
		h.z.Kill()
		h.mu.Lock()
		h.release, h.z = "10.3", zapitest.New(mustDialect(t, "10.3"))
		h.mu.Unlock()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		h.mu.Lock()
		last := slices.Clone(h.got[len(h.got)-2:])
		h.mu.Unlock()
		if diff := cmp.Diff([]string{"ZebraUp{}", state(x1, machine.RouteInstalled, "")}, last); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := h.rib(); len(got) != 1 {
			t.Errorf("RIB %v", got)
		}
	})
}

func (h *harness) hostRoute(a netip.Addr, present bool) {
	h.Hear(machine.HostRoute{Addr: a, Router: self, Present: present})
}

func TestAnAddressOspfdAnnouncesThoughNobodyWantsItIsCleared(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.Hear(machine.OSPFUp{Router: self})
		h.hostRoute(x1, true)
		h.hostRoute(x2, true) // an address that was never ours
		h.want("ZebraUp{}")
		time.Sleep(firstClear + judgeAfter)
		synctest.Wait()
		if got := h.additions(x1); got != 1 {
			t.Errorf("added %d times, want once", got)
		}
		if diff := cmp.Diff([]time.Duration{firstClear}, h.refreshed); diff != "" {
			t.Errorf("the database was fetched (-want +got):\n%s", diff)
		}
		if got := h.rib(); len(got) != 0 {
			t.Errorf("RIB %v, want none", got)
		}
		h.hostRoute(x1, false) // ospfd has forgotten it
		time.Sleep(time.Hour)
		synctest.Wait()
		if a, b := h.additions(x1), h.additions(x2); a != 1 || b != 0 {
			t.Errorf("added %d and %d times in the end", a, b)
		}
	})
}

func TestWhatTheDatabaseNoLongerHoldsIsNotCleared(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.Hear(machine.OSPFUp{Router: self})
		h.hostRoute(x1, true)
		synctest.Wait()
		time.Sleep(firstClear)
		synctest.Wait()
		h.hostRoute(x1, false) // the database, fetched anew, shows it at MaxAge
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := h.additions(x1); got != 0 {
			t.Errorf("added %d times", got)
		}
	})
}

func TestAnOrdinaryWithdrawalClearsNothing(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.Hear(machine.OSPFUp{Router: self})
		h.announce(true, x1)
		h.hostRoute(x1, true)
		synctest.Wait()
		h.announce(false, x1)
		time.Sleep(time.Hour) // the originator hears the end a minute later
		synctest.Wait()
		if got := h.additions(x1); got != 1 {
			t.Errorf("added %d times", got)
		}
	})
}

func TestClearingEndsAfterItsTriesAndBeginsAgainWithZebra(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.Hear(machine.OSPFUp{Router: self})
		h.hostRoute(x1, true)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := h.additions(x1); got != clearTries {
			t.Errorf("added %d times, want %d", got, clearTries)
		}
		h.z.Disconnect()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := h.additions(x1); got <= clearTries {
			t.Error("a new session with zebra begins no new try")
		}
	})
}

func TestAStaleAddressThatIsWantedAgainIsLeftAlone(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.Hear(machine.OSPFUp{Router: self})
		h.hostRoute(x1, true)
		h.announce(true, x1)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := h.additions(x1); got != 1 {
			t.Errorf("added %d times", got)
		}
		if got := h.rib(); len(got) != 1 {
			t.Errorf("RIB %v", got)
		}
	})
}

func TestTheDatabaseOfALostOspfdProvesNothing(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.Hear(machine.OSPFUp{Router: self})
		h.hostRoute(x1, true)
		h.Hear(machine.OSPFDown{Why: "gone"})
		h.hostRoute(x1, true) // of no session
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := h.additions(x1); got != 0 {
			t.Errorf("added %d times", got)
		}
	})
}

func TestAnAddressLostWithZebraAndNoLongerWantedIsClearedWhenItReturns(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		h.Hear(machine.OSPFUp{Router: self})
		h.announce(true, x1)
		h.hostRoute(x1, true)
		synctest.Wait()
		h.z.Kill()
		synctest.Wait()
		h.announce(false, x1)
		time.Sleep(time.Second)
		if err := h.z.Return(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(13 * time.Second) // ospfd is back after 10 s
		synctest.Wait()
		// The first life's, the keeper's own as zebra came back, and one more
		// every few seconds while ospfd still has it.
		if got := h.additions(x1); got < 3 {
			t.Errorf("added %d times", got)
		}
		if got := h.rib(); len(got) != 0 {
			t.Errorf("RIB %v", got)
		}
	})
}

func TestAZebraThatKeepsNoRoutesIsObserved(t *testing.T) {
	for _, release := range []string{"Quagga 0.99.22.4", "Quagga 1.2.4", "FRRouting 3.0"} {
		bubble(t, release, func(h *harness) {
			h.want("ZebraUp{}")
			h.announce(true, x1)
			refused := func() string {
				synctest.Wait()
				h.mu.Lock()
				defer h.mu.Unlock()
				for _, line := range h.got {
					if strings.Contains(line, "RouteState") && strings.Contains(line, "use address: alias") {
						return line
					}
				}
				return ""
			}
			if refused() == "" {
				t.Errorf("%s: nobody is told that way local cannot be", release)
			}
			h.mu.Lock()
			h.got = nil
			h.mu.Unlock()
			h.announce(false, x1)
			h.want(state(x1, machine.RouteRemoved, ""))
			// What ospfd announces there is not for this port to clear.
			h.Hear(machine.OSPFUp{Router: self})
			h.Hear(machine.HostRoute{Router: self, Addr: x1, Present: true})
			time.Sleep(time.Minute)
			h.want()
			for _, m := range h.z.Received() {
				if _, asked := m.(zapi.RouterIDRequest); !asked {
					t.Errorf("%s: zebra was sent %T", release, m)
				}
			}
		})
	}
}

func TestAZebraThatIsObservedDiesAndReturns(t *testing.T) {
	bubble(t, "Quagga 1.2.4", func(h *harness) {
		h.want("ZebraUp{}")
		h.z.Kill()
		synctest.Wait()
		h.mu.Lock()
		if len(h.got) == 0 || !strings.HasPrefix(h.got[0], "ZebraDown{") {
			t.Errorf("its death was told as %v", h.got)
		}
		h.got = nil
		h.mu.Unlock()
		if err := h.z.Return(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		h.mu.Lock()
		last := h.got[len(h.got)-1]
		h.got = nil
		h.mu.Unlock()
		if last != "ZebraUp{}" {
			t.Errorf("its return was told as %s", last)
		}
	})
}

// Quagga replaced by FRR: what was refused before is installed then.
func TestAnUpgradeFromQuaggaIsNoticed(t *testing.T) {
	bubble(t, "Quagga 1.2.4", func(h *harness) {
		h.announce(true, x1)
		synctest.Wait()
		h.z.Kill()
		h.mu.Lock()
		h.release, h.z = "8.4", zapitest.New(mustDialect(t, "8.4"))
		h.mu.Unlock()
		time.Sleep(30 * time.Second)
		if got := h.rib(); len(got) != 1 {
			t.Errorf("RIB %v", got)
		}
	})
}

func TestAnObservedZebraDoesNotKeepThePortFromRest(t *testing.T) {
	bubble(t, "Quagga 1.2.4", func(h *harness) {
		h.want("ZebraUp{}")
		held, err := h.Hold(h.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if held.Conn != nil {
			t.Error("a connection that need not go along is handed over")
		}
		held.Release()
	})
}

// ospfd goes on with what a dead zebra told it last. With the last withdrawal it
// is to forget all of that; before, it would forget what cannot be said again.
func TestWithoutZebraTheLastWithdrawalHasOspfdForget(t *testing.T) {
	bubble(t, "8.4", func(h *harness) {
		forgotten := func() int {
			synctest.Wait()
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.forgotten
		}
		h.announce(true, x1, x2)
		h.announce(false, x2)
		h.announce(true, x2)
		if n := forgotten(); n != 0 {
			t.Errorf("with zebra: %d times", n)
		}
		h.z.Kill()
		time.Sleep(time.Second)
		h.announce(false, x1)
		if n := forgotten(); n != 0 {
			t.Errorf("while another is announced: %d times", n)
		}
		h.announce(false, x2)
		if n := forgotten(); n != 1 {
			t.Errorf("after the last withdrawal: %d times, want once", n)
		}
		h.announce(false, x2)
		if err := h.z.Return(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		h.announce(true, x1)
		h.announce(false, x1)
		if n := forgotten(); n != 1 {
			t.Errorf("said twice, or with zebra again: %d times, want once", n)
		}
	})
}
