package sim_test

import (
	"slices"
	"strings"
	"testing"
)

// handedOver plays a schedule in which srrd is written down and read back
// before every so many events, on all nodes.
func handedOver(seed uint64, every int) string {
	c := randomSchedule(seed)
	c.handOver = every
	s, wrong := c.play(true)
	return s.Trace() + strings.Join(wrong, "\n")
}

// What a hand-over leaves out shows in what is decided afterwards, sooner or
// later: every event and action of a random schedule must be the same with
// hand-overs as without.
func TestAHandOverChangesNoAction(t *testing.T) {
	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	for seed := range uint64(rounds * len(worlds)) {
		want := handedOver(seed, 0)
		for _, every := range []int{1, 11}[min(1, int(seed)/len(worlds)):] {
			got := handedOver(seed, every)
			if got == want {
				continue
			}
			a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
			at := 0
			for at < min(len(a), len(b)) && a[at] == b[at] {
				at++
			}
			t.Fatalf("seed %d, handed over before every event of %d: after line %d the schedule differs\nwithout: %q\nwith:    %q",
				seed, every, at, slices.Concat(a, []string{"", "", ""})[at:at+3], slices.Concat(b, []string{"", "", ""})[at:at+3])
		}
	}
}
