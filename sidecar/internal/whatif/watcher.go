package whatif

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/sim"
)

// Entry is something a node said while it was simulated.
type Entry struct {
	At      time.Duration `json:"at"` // virtual, since what was asked about happened
	Node    string        `json:"node"`
	Service string        `json:"service,omitempty"`
	Level   string        `json:"level"`
	Text    string        `json:"text"`
}

// watcher follows a simulation by what its nodes do.
type watcher struct {
	sim      *sim.Sim
	hosts    []string
	services []string
	zero     time.Duration // when Entry.At began
	on       map[string]map[int]bool
	why      map[string]string // the last claim's reason
	outSince map[string]time.Duration
	outage   map[string]time.Duration // longest since zero
	entries  []Entry
	lsas     int
	bytes    int
}

// watch makes the simulation of the options and follows it.
func watch(o sim.Options) *watcher {
	w := &watcher{on: map[string]map[int]bool{}}
	o.Observe = w.observe
	for _, c := range o.Nodes {
		w.hosts = append(w.hosts, c.Host)
		for _, s := range c.Services {
			if w.on[s.Name] == nil {
				w.on[s.Name] = map[int]bool{}
				w.services = append(w.services, s.Name)
			}
		}
	}
	slices.Sort(w.services)
	w.sim = sim.New(o)
	w.begin()
	return w
}

// begin forgets what was, but not what runs.
func (w *watcher) begin() {
	w.zero = w.sim.Now()
	w.entries, w.lsas, w.bytes = nil, 0, 0
	w.why = map[string]string{}
	w.forgetOutages()
}

// forgetOutages counts them from now on.
func (w *watcher) forgetOutages() {
	w.outage, w.outSince = map[string]time.Duration{}, map[string]time.Duration{}
	for _, s := range w.services {
		if len(w.on[s]) == 0 {
			w.outSince[s] = w.sim.Now()
		}
	}
}

func (w *watcher) host(i int) string { return w.hosts[i] }

// node finds a node by its name.
func (w *watcher) node(name string) (int, error) {
	if i := slices.Index(w.hosts, name); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("there is no node %q; there are %s", name, strings.Join(w.hosts, ", "))
}

// set notes that a service runs on a node, or no longer.
func (w *watcher) set(service string, i int, on bool) {
	m := w.on[service]
	if m == nil {
		m = map[int]bool{}
		w.on[service] = m
		w.services = append(w.services, service)
		slices.Sort(w.services)
	}
	was := len(m)
	if on {
		m[i] = true
	} else {
		delete(m, i)
	}
	switch {
	case was == 0 && len(m) > 0:
		if since, out := w.outSince[service]; out {
			w.outage[service] = max(w.outage[service], w.sim.Now()-since)
			delete(w.outSince, service)
		}
	case was > 0 && len(m) == 0:
		w.outSince[service] = w.sim.Now()
	}
}

// gone notes that nothing runs on a node any more.
func (w *watcher) gone(i int) {
	for _, s := range w.services {
		w.set(s, i, false)
	}
}

// claims and ids that mean nothing outside of the simulation.
var inside = regexp.MustCompile(` \(\d+@[\d.]+\)| \(10\.0\.0\.\d+\)`)

func (w *watcher) observe(i int, does []machine.Action) {
	for _, a := range does {
		switch a := a.(type) {
		case machine.Originate:
			w.lsas++
			w.bytes += len(a.Body)
			if b, err := advert.Decode(a.Body); err == nil && b.Service != nil {
				w.set(b.Service.Name, i, b.Service.State == advert.Started)
			}
		case machine.Note:
			text := inside.ReplaceAllString(a.Text, "")
			if why, ok := strings.CutPrefix(text, "claims it: "); ok {
				w.why[a.Service] = why
			}
			w.entries = append(w.entries, Entry{At: w.sim.Now() - w.zero, Node: w.hosts[i], Service: a.Service, Level: a.Level.String(), Text: text})
		}
	}
}

// runs lists where a service runs, by name.
func (w *watcher) runs(service string) []string {
	var all []string
	for i, h := range w.hosts {
		if w.on[service][i] {
			all = append(all, h)
		}
	}
	return all
}
