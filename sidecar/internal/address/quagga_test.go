package address

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// fakeQuagga is what ospfd of Quagga 1.2.4 keeps of its configuration. Deaf, as
// after it lost zebra, it takes `redistribute` and keeps nothing.
type fakeQuagga struct {
	deaf         bool
	redistribute string
	policy       []string
	attempts     int
}

func (q *fakeQuagga) take(lines []string) {
	for _, line := range lines {
		switch {
		case strings.HasPrefix(line, "redistribute "):
			q.attempts++
			if !q.deaf {
				q.redistribute = " " + line + "\n"
			}
		case strings.HasPrefix(line, "no ip prefix-list "):
			q.policy = slices.DeleteFunc(q.policy, func(l string) bool { return l == strings.TrimPrefix(line, "no ") })
		case strings.HasPrefix(line, "ip prefix-list "):
			w := strings.SplitN(line, " ", 4)
			q.policy = append(q.policy, "ip prefix-list "+w[2]+" seq 5 "+w[3])
		case strings.HasPrefix(line, "route-map "):
			q.policy = append(q.policy, line)
		}
	}
}

func (q *fakeQuagga) show() string {
	return "router ospf\n ospf router-id 1.1.1.1\n" + q.redistribute + "!\n" + strings.Join(q.policy, "\n") + "\n"
}

// As seen on Quagga 1.2.4: ospfd lost zebra, and since then shows no line of
// redistribution and flushes nothing that ends, until its prefix-list denies it.
func TestAnOspfdThatIsDeafToRedistributionIsToldByItsPrefixList(t *testing.T) {
	set := services{"news": frrServices["news"]}
	inBubble(t, set, func(b *bubble) {
		q := &fakeQuagga{}
		b.vty.mu.Lock()
		b.vty.quagga = q
		b.vty.mu.Unlock()
		see := func(f func()) {
			synctest.Wait()
			b.vty.mu.Lock()
			defer b.vty.mu.Unlock()
			f()
		}
		b.speaker.kept[x1] = true // adopted by this life, before anything was decided
		permit := "ip prefix-list " + PolicyName + " seq 5 permit " + x1.String() + "/32"
		if err := b.Prepare(b.t.Context()); err != nil {
			t.Fatal(err)
		}
		b.Do(machine.SetAddresses{Service: "news", Addresses: set["news"].Addresses, On: true})
		b.Do(machine.Announce{Service: "news", Addresses: set["news"].Addresses, On: true})
		b.said()
		see(func() {
			if q.redistribute == "" || !slices.Contains(q.policy, permit) {
				t.Fatalf("ospfd was set up as %q", q.show())
			}
			q.deaf, q.redistribute, q.attempts = true, "", 0 // zebra has died
		})
		time.Sleep(time.Minute)
		see(func() {
			if q.attempts != 1 {
				t.Errorf("%d times told to redistribute, want once: it is deaf", q.attempts)
			}
			if !slices.Contains(q.policy, permit) {
				t.Errorf("what it announces is taken away: %q", q.policy)
			}
		})
		b.mu.Lock()
		if n := len(slices.DeleteFunc(slices.Clone(b.notes), func(l string) bool { return !strings.Contains(l, "until it is restarted") })); n != 1 {
			t.Errorf("said %d times, want once: %q", n, b.notes)
		}
		b.mu.Unlock()

		b.Do(machine.Announce{Service: "news", Addresses: set["news"].Addresses})
		b.said()
		see(func() {
			if slices.Contains(q.policy, permit) {
				t.Errorf("what ended is still let through: %q", q.policy)
			}
		})
		b.Do(machine.Announce{Service: "news", Addresses: set["news"].Addresses, On: true})
		if said := strings.Join(b.said(), "\n"); !strings.Contains(said, "redistributes nothing new until it is restarted") {
			t.Errorf("announcing again is answered with %s", said)
		}

		see(func() { q.deaf, q.policy = false, nil }) // restarted
		if err := b.Prepare(b.t.Context()); err != nil {
			t.Fatal(err)
		}
		b.Do(machine.Announce{Service: "news", Addresses: set["news"].Addresses})
		b.Do(machine.Announce{Service: "news", Addresses: set["news"].Addresses, On: true})
		b.said()
		see(func() {
			if q.redistribute == "" || !slices.Contains(q.policy, permit) {
				t.Errorf("a restarted ospfd is set up as %q", q.show())
			}
		})
	})
}
