package zapi

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var vip = Announcement{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Interface: 1, Metric: 10}

// A story is steps and, after each, what was sent and told.
type setStep struct {
	do   string
	want string
}

func TestRouteSetStories(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []setStep
	}{
		{"a route is added and seen installed", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"note 2", "installed wanted"},
		}},
		{"what is wanted before there is a connection is said when there is one", []setStep{
			{"set", "wanted wanted"}, {"up", "add; sent wanted"},
		}},
		{"wanting the same again says nothing", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"set", ""}, {"note 2", "installed wanted"}, {"set", ""},
		}},
		{"a doubled note is told once", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"note 2", "installed wanted"}, {"note 2", ""},
		}},
		{"another metric replaces the route", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"note 2", "installed wanted"}, {"metric", "add; sent wanted"}, {"note 2", "installed wanted"},
		}},
		{"a route that is deleted is gone when zebra says so", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"note 2", "installed wanted"}, {"del", "delete; withdrawing"}, {"note 3", "removed(3)"}, {"note 3", ""},
		}},
		{"a deletion whose note never comes ends all the same", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"note 2", "installed wanted"}, {"del", "delete; withdrawing"}, {"wait", "removed"}, {"note 3", ""},
		}},
		{"deleted before it was seen installed, no note is waited for", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"del", "delete; removed"}, {"note 2", ""}, {"note 3", ""},
		}},
		{"refused for a better route, then that goes", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"note 2", "installed wanted"}, {"note 1", "refused(1) wanted"}, {"note 1", ""}, {"note 2", "installed wanted"},
		}},
		{"refused by the kernel", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"note 0", "refused(0) wanted"},
		}},
		{"a refused route is deleted without waiting", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"note 1", "refused(1) wanted"}, {"del", "delete; removed"},
		}},
		{"zebra removes a wanted route by itself", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"note 2", "installed wanted"}, {"note 3", "removed(3) wanted"}, {"note 2", "installed wanted"},
		}},
		{"deleted and wanted again, the late note of the deletion is not the addition's", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"note 2", "installed wanted"}, {"del", "delete; withdrawing"}, {"set", "add; sent wanted"},
			{"note 3", ""}, {"note 2", "installed wanted"}, {"note 3", "removed(3) wanted"},
		}},
		{"deleted and wanted again at once, zebra sees only the last", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"note 2", "installed wanted"}, {"del", "delete; withdrawing"}, {"set", "add; sent wanted"},
			{"note 2", "installed wanted"}, {"note 3", "removed(3) wanted"},
		}},
		{"zebra restarts: everything is said again", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"note 2", "installed wanted"}, {"down", "wanted wanted"}, {"up", "add; sent wanted"}, {"note 2", "installed wanted"},
		}},
		{"no longer wanted while zebra was away: added, seen, deleted", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"note 2", "installed wanted"}, {"down", "wanted wanted"}, {"del", "clearing"},
			{"up", "add"}, {"note 2", "delete; installed, withdrawing"}, {"note 3", "removed(3)"},
		}},
		{"zebra goes away during a deletion: cleared after", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"note 2", "installed wanted"}, {"del", "delete; withdrawing"}, {"down", "clearing"},
			{"up", "add"}, {"note 2", "delete; installed, withdrawing"}, {"note 3", "removed(3)"},
		}},
		{"never said to zebra, nothing to clear", []setStep{
			{"set", "wanted wanted"}, {"del", "removed"}, {"up", ""},
		}},
		{"an earlier life's prefix is added, seen, deleted", []setStep{
			{"up", ""}, {"clear", "add; clearing"}, {"note 2", "delete; installed, withdrawing"}, {"note 3", "removed(3)"},
		}},
		{"clearing waits for a connection", []setStep{
			{"clear", "clearing"}, {"up", "add"}, {"note 2", "delete; installed, withdrawing"}, {"note 3", "removed(3)"},
		}},
		{"clearing a prefix that has a better route: deleted though nothing is noted", []setStep{
			{"up", ""}, {"clear", "add; clearing"}, {"wait", "delete; removed"},
		}},
		{"clearing a prefix that is refused", []setStep{
			{"up", ""}, {"clear", "add; clearing"}, {"note 1", "delete; refused(1), removed"},
		}},
		{"clearing what is wanted does nothing", []setStep{
			{"up", ""}, {"set", "add; sent wanted"}, {"clear", ""},
		}},
		{"wanted while it is being cleared", []setStep{
			{"up", ""}, {"clear", "add; clearing"}, {"set", "add; sent wanted"}, {"wait", ""}, {"note 2", "installed wanted"},
		}},
		{"notes of prefixes nobody knows, or from before the connection was lost", []setStep{
			{"note 2", ""}, {"up", ""}, {"note 3", ""}, {"set", "add; sent wanted"}, {"down", "wanted wanted"}, {"note 2", ""},
		}},
		{"deleting what nobody knows", []setStep{{"up", ""}, {"del", ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newRouteSet(RouteTable, 5)
			s.now = time.Unix(1000, 0)
			for i, step := range c.steps {
				perform(s, step.do)
				if got := observe(s); got != step.want {
					t.Fatalf("step %d, %s:\n got %q\nwant %q", i+1, step.do, got, step.want)
				}
			}
		})
	}
}

func perform(s *routeSet, do string) {
	switch do {
	case "set":
		s.set(vip)
	case "metric":
		other := vip
		other.Metric++
		s.set(other)
	case "del":
		s.del(vip.Prefix)
	case "clear":
		s.clear(vip)
	case "up":
		s.connected()
	case "down":
		s.disconnected()
	case "wait":
		s.now = s.now.Add(noteTimeout)
		s.expire()
	default:
		var note Note
		if _, err := fmt.Sscanf(do, "note %d", &note); err != nil {
			panic(do)
		}
		s.noted(NotifyOwner{Note: note, Prefix: vip.Prefix})
	}
}

// observe says and empties what the set left: "sent...; told, told".
func observe(s *routeSet) string {
	var parts, told []string
	for _, m := range s.out {
		switch m.(type) {
		case RouteAdd:
			parts = append(parts, "add")
		case RouteDelete:
			parts = append(parts, "delete")
		}
	}
	for _, c := range s.changes {
		text := c.State.String()
		if c.Noted && c.State != StateInstalled {
			text += fmt.Sprintf("(%d)", c.Note)
		}
		if c.Wanted {
			text += " wanted"
		}
		told = append(told, text)
	}
	s.out, s.changes = nil, nil
	if len(told) > 0 {
		parts = append(parts, strings.Join(told, ", "))
	}
	return strings.Join(parts, "; ")
}

// Whatever happens, at rest zebra has what is wanted and nothing else.
func TestAtRestZebraHasWhatIsWanted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newRouteSet(RouteTable, 5)
		s.now = time.Unix(1000, 0)
		rib := make(map[netip.Prefix]Route)
		wanted := make(map[netip.Prefix]uint32)
		var notes []NotifyOwner
		deliver := func() {
			for _, m := range s.out {
				switch m := m.(type) {
				case RouteAdd:
					rib[m.Prefix] = m.Route
					notes = append(notes, NotifyOwner{Note: NoteInstalled, Prefix: m.Prefix})
				case RouteDelete:
					if _, known := rib[m.Prefix]; known {
						notes = append(notes, NotifyOwner{Note: NoteRemoved, Prefix: m.Prefix})
					}
					delete(rib, m.Prefix)
				}
			}
			s.out, s.changes = nil, nil
		}
		prefixes := []netip.Prefix{vip.Prefix, netip.MustParsePrefix("192.0.2.2/32"), netip.MustParsePrefix("2001:db8::1/128")}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			p := rapid.SampledFrom(prefixes).Draw(t, "prefix")
			switch rapid.SampledFrom([]string{"set", "del", "clear", "up", "down", "note", "coalesce", "wait"}).Draw(t, "do") {
			case "set":
				metric := rapid.Uint32Range(1, 3).Draw(t, "metric")
				wanted[p] = metric
				s.set(Announcement{Prefix: p, Interface: 1, Metric: metric})
			case "del":
				delete(wanted, p)
				s.del(p)
			case "clear":
				s.clear(Announcement{Prefix: p})
			case "up":
				if !s.up {
					s.connected()
				}
			case "down":
				if s.up {
					notes = nil
					clear(rib)
					s.disconnected()
				}
			case "note":
				if len(notes) > 0 {
					s.noted(notes[0])
					notes = notes[1:]
				}
			case "coalesce": // zebra skips notes of routes that changed again
				if len(notes) > 1 && slices.ContainsFunc(notes[1:], func(n NotifyOwner) bool { return n.Prefix == notes[0].Prefix }) {
					notes = notes[1:]
				}
			case "wait":
				s.now = s.now.Add(noteTimeout)
				s.expire()
			}
			deliver()
		}
		if !s.up {
			s.connected()
			deliver()
		}
		for range 100 {
			for len(notes) > 0 {
				s.noted(notes[0])
				notes = notes[1:]
				deliver()
			}
			s.now = s.now.Add(noteTimeout)
			s.expire()
			deliver()
			if len(notes) == 0 && s.next().IsZero() {
				break
			}
		}
		if len(rib) != len(wanted) {
			t.Fatalf("zebra has %d routes, wanted are %d", len(rib), len(wanted))
		}
		for p, metric := range wanted {
			if rib[p].Metric != metric || s.entries[p] == nil || !s.entries[p].wanted {
				t.Fatalf("%s: zebra has metric %d, wanted is %d", p, rib[p].Metric, metric)
			}
		}
		if len(s.entries) != len(wanted) {
			t.Fatalf("%d entries for %d wanted prefixes", len(s.entries), len(wanted))
		}
	})
}
