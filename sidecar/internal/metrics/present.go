package metrics

import (
	"context"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// present derives what is now from one snapshot for each scrape.
type present struct{ opt Options }

// gauge is one metric that the snapshot gives.
type gauge struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(m *moment, set func(v float64, labels ...string))
}

// moment is a snapshot with what is derived from it once.
type moment struct {
	*view.Snapshot
	now      time.Time
	problems []view.Problem
}

func newGauge(name, help string, of func(*moment, func(float64, ...string)), labels ...string) gauge {
	return gauge{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue, of}
}

// newCounter is as newGauge, of what only ever grows while srrd runs.
func newCounter(name, help string, of func(*moment, func(float64, ...string)), labels ...string) gauge {
	return gauge{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue, of}
}

var (
	answers = prometheus.NewDesc("srrd_owner_answers", "Whether the owner loop gave a snapshot for this scrape; without one most gauges are missing.", nil, nil)
	waiting = prometheus.NewDesc("srrd_inbox_events", "Events that wait for the owner loop.", nil, nil)
	room    = prometheus.NewDesc("srrd_inbox_capacity_events", "Events that may wait before ports block.", nil, nil)
)

// gauges is every metric of the snapshot.
var gauges = []gauge{
	newGauge("srrd_build_info", "Version of srrd and of the Go it was built with; always 1.", func(m *moment, set func(float64, ...string)) {
		set(1, m.Machine.Version, runtime.Version())
	}, "version", "goversion"),
	newGauge("srrd_node_info", "Name and router id of this node; always 1.", func(m *moment, set func(float64, ...string)) {
		set(1, m.Machine.Host, m.Machine.Router.String())
	}, "host", "router_id"),
	newGauge("srrd_node_state", "Whether this node is in the state.", func(m *moment, set func(float64, ...string)) {
		for _, s := range []advert.NodeState{advert.Online, advert.Standby, advert.Maintenance, advert.Leaving} {
			set(truth(m.Machine.Node == s), s.String())
		}
	}, "state"),
	newGauge("srrd_draining_services", "Services that still run here while the node drains.", func(m *moment, set func(float64, ...string)) {
		set(float64(len(m.Machine.Draining)))
	}),
	newGauge("srrd_cluster_frozen", "Whether an operator froze the cluster: no node starts or stops anything.", func(m *moment, set func(float64, ...string)) {
		set(truth(m.Machine.Freeze.On))
	}),
	newGauge("srrd_nodes", "Nodes of the cluster as this node sees them, itself included.", nodes, "status"),
	newGauge("srrd_problems", "What is wrong as this node sees it: the lines below show service.", problems, "level"),

	newGauge("srrd_session_up", "Whether the session with the routing daemon stands.", func(m *moment, set func(float64, ...string)) {
		set(truth(m.Machine.OSPF.Up), daemonOSPF)
		set(truth(m.Machine.Zebra.Up), daemonZebra)
	}, "daemon"),
	newGauge("srrd_in_sync", "Whether the link-state database is in sync, so that this node may act on it.", func(m *moment, set func(float64, ...string)) {
		set(truth(m.Machine.OSPF.InSync))
	}),
	newGauge("srrd_alone", "Whether this node decides alone, since it has no neighbour.", func(m *moment, set func(float64, ...string)) {
		set(truth(m.Machine.OSPF.Alone))
	}),
	newGauge("srrd_neighbors", "OSPF neighbours that are full, and those between Init and Loading.", func(m *moment, set func(float64, ...string)) {
		set(float64(m.Machine.OSPF.Full), "full")
		set(float64(m.Machine.OSPF.Between), "between")
	}, "state"),
	newGauge("srrd_lsas", "LSAs of srrd: own ones, those of other nodes that count, and bad ones.", lsas, "origin"),
	newGauge("srrd_lsas_refused", "LSAs of type 222 in the database that are not believed: not signed as they must be, or replayed.",
		refused(func(r machine.RefusalView) float64 { return float64(r.Present) }), "reason"),
	newCounter("srrd_lsas_refused_total", "LSAs of type 222 that were not believed.",
		refused(func(r machine.RefusalView) float64 { return float64(r.Count) }), "reason"),
	newGauge("srrd_lsas_unechoed", "Own LSAs given to ospfd and not yet seen back.", func(m *moment, set func(float64, ...string)) {
		set(float64(m.Machine.OSPF.Unechoed))
	}),
	newGauge("srrd_lsdb_lsas", "LSAs in the mirror of the link-state database.", database, "type"),

	newGauge("srrd_services", "Services configured on this node, by configuration state and service state.", services, "config", "state"),
	newGauge("srrd_service_state", "Whether the service is in the state on this node.", each(true, func(sv *machine.ServiceView, set func(float64, ...string)) {
		for s := advert.Stopped; s <= advert.Failed; s++ {
			set(truth(sv.State == s), s.String())
		}
	}), "service", "state"),
	newGauge("srrd_service_state_since_timestamp_seconds", "When the service came into its state on this node.", each(true, func(sv *machine.ServiceView, set func(float64, ...string)) {
		set(unix(sv.Since))
	}), "service"),
	newGauge("srrd_service_holders", "Nodes that run the service, as this node sees it; 1 is as it should be.", each(false, func(sv *machine.ServiceView, set func(float64, ...string)) {
		n := 0
		for i := range sv.Offers {
			if o := &sv.Offers[i]; o.State == advert.Started && (o.Self || o.Counts) {
				n++
			}
		}
		set(float64(n))
	}), "service"),
	newGauge("srrd_service_candidates", "Nodes that could run the service.", each(false, func(sv *machine.ServiceView, set func(float64, ...string)) {
		n := 0
		for i := range sv.Offers {
			if sv.Offers[i].Rank > 0 {
				n++
			}
		}
		set(float64(n))
	}), "service"),
	newGauge("srrd_service_stopped_by_operator", "Whether an operator has stopped the service everywhere.", each(false, func(sv *machine.ServiceView, set func(float64, ...string)) {
		set(truth(sv.Hold.On))
	}), "service"),
	newGauge("srrd_service_frozen", "Whether an operator froze the service: no node starts or stops it.", each(false, func(sv *machine.ServiceView, set func(float64, ...string)) {
		set(truth(sv.Freeze.On))
	}), "service"),
	newGauge("srrd_service_may_still_run", "Nodes that could not stop the service and may still run it.", each(false, func(sv *machine.ServiceView, set func(float64, ...string)) {
		n := 0
		for i := range sv.Offers {
			if sv.Offers[i].Flags.Has(advert.FlagMayStillRun) {
				n++
			}
		}
		set(float64(n))
	}), "service"),
	newGauge("srrd_service_check_interval_seconds", "Time between checks where the service runs here; 0 is none.", each(true, func(sv *machine.ServiceView, set func(float64, ...string)) {
		set(sv.Interval.Seconds())
	}), "service"),
	newGauge("srrd_service_last_check_timestamp_seconds", "When a check of the service succeeded here last; 0 is never.", each(true, func(sv *machine.ServiceView, set func(float64, ...string)) {
		set(unix(sv.LastCheck))
	}), "service"),

	newGauge("srrd_addresses", "Service addresses wanted on this node or still on it.", addresses, "state"),
	newGauge("srrd_routes", "Routes to service addresses that this node wants, by what zebra says of them.", routes, "state"),
	newGauge("srrd_failovers_under_way", "Takings of a service that have not ended, by any node.", func(m *moment, set func(float64, ...string)) {
		n := 0
		for i := range m.Failovers {
			if !m.Failovers[i].Ended() {
				n++
			}
		}
		set(float64(n))
	}),
}

// Describe and Collect are prometheus.Collector.
func (p *present) Describe(ch chan<- *prometheus.Desc) {
	for _, g := range gauges {
		ch <- g.desc
	}
	for _, d := range []*prometheus.Desc{answers, waiting, room} {
		ch <- d
	}
}

func (p *present) Collect(ch chan<- prometheus.Metric) {
	as := func(kind prometheus.ValueType, d *prometheus.Desc, v float64, labels ...string) {
		for i := range labels {
			labels[i] = strings.ToValidUTF8(labels[i], "?")
		}
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	send := func(d *prometheus.Desc, v float64, labels ...string) { as(prometheus.GaugeValue, d, v, labels...) }
	if p.opt.Inbox != nil { // before the snapshot, for which it is drained
		n, most := p.opt.Inbox()
		send(waiting, float64(n))
		send(room, float64(most))
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	s, err := p.opt.Read(ctx)
	send(answers, truth(err == nil))
	if err != nil {
		return
	}
	m := &moment{Snapshot: s, now: p.opt.Now()}
	m.problems = s.Problems(m.now)
	for _, g := range gauges {
		g.of(m, func(v float64, labels ...string) { as(g.kind, g.desc, v, labels...) })
	}
}

// each is a gauge for each service, with its name as the first label; local
// leaves out what is not configured on this node.
func each(local bool, of func(*machine.ServiceView, func(float64, ...string))) func(*moment, func(float64, ...string)) {
	return func(m *moment, set func(float64, ...string)) {
		for i := range m.Machine.Services {
			sv := &m.Machine.Services[i]
			if local && !sv.Local {
				continue
			}
			of(sv, func(v float64, labels ...string) { set(v, append([]string{sv.Name}, labels...)...) })
		}
	}
}

func nodes(m *moment, set func(float64, ...string)) {
	by := tally{"present": 0, "rejoining": 0, "unreachable": 0, "srrd gone": 0, "left": 0, "out of sync": 0}
	for _, n := range m.Machine.Nodes {
		by[n.Status]++
	}
	by.tell(set)
}

func problems(m *moment, set func(float64, ...string)) {
	by := tally{}
	for _, l := range []machine.Level{machine.LevelInfo, machine.LevelWarning, machine.LevelError} {
		by[l.String()] = 0
	}
	for _, p := range m.problems {
		by[p.Level.String()]++
	}
	by.tell(set)
}

func lsas(m *moment, set func(float64, ...string)) {
	foreign := len(m.Machine.Nodes) - 1 // the daemons' own
	for i := range m.Machine.Services {
		for _, o := range m.Machine.Services[i].Offers {
			if !o.Self {
				foreign++
			}
		}
	}
	set(float64(m.Machine.OSPF.OwnLSAs), "own")
	set(float64(max(0, foreign)), "foreign")
	set(float64(len(m.Machine.Bad)), "bad")
}

// refused tells every reason, also those for which nothing was refused, so that
// an increase from nothing is one.
func refused(of func(machine.RefusalView) float64) func(m *moment, set func(float64, ...string)) {
	return func(m *moment, set func(float64, ...string)) {
		for _, why := range advert.Refusals {
			var r machine.RefusalView
			for _, v := range m.Machine.Refused {
				if v.Reason == why {
					r = v
				}
			}
			set(of(r), why.String())
		}
	}
}

func database(m *moment, set func(float64, ...string)) {
	if m.LSDB.Mirror == nil {
		return
	}
	by := tally{}
	for _, k := range view.Kinds {
		if k != "all" && k != "opaque" { // those are sums
			by[k] = 0
		}
	}
	for e := range m.LSDB.Mirror.All() {
		by[e.Key.Type.String()]++
	}
	by.tell(set)
}

// combinations are the states of DESIGN section 2, always told, also as zero.
var combinations = [][2]string{
	{"disabled", "stopped"}, {"inactive", "stopped"}, {"injected", "stopped"}, {"active", "stopped"}, {"active", "starting"}, {"active", "started"},
	{"active", "stopping"}, {"active", "failed"}, {"deactivated", "stopped"}, {"failed", "stopped"},
}

func services(m *moment, set func(float64, ...string)) {
	by := map[[2]string]int{}
	for _, c := range combinations {
		by[c] = 0
	}
	for i := range m.Machine.Services {
		if sv := &m.Machine.Services[i]; sv.Local {
			by[[2]string{sv.Config.String(), sv.State.String()}]++
		}
	}
	for k, n := range by {
		set(float64(n), k[0], k[1])
	}
}

func addresses(m *moment, set func(float64, ...string)) {
	by := tally{"on": 0, "missing": 0, "still_on": 0}
	for _, a := range m.Addresses {
		row := view.AddressRow{Wanted: a.Wanted, Present: a.Present}
		if word := strings.ReplaceAll(row.Presence(), " ", "_"); word != "off" {
			by[word]++
		}
	}
	by.tell(set)
}

func routes(m *moment, set func(float64, ...string)) {
	by := tally{"installed": 0, "beaten": 0, "failed": 0, "removed": 0, "unanswered": 0}
	for _, r := range m.Routes {
		switch {
		case !r.Wanted:
		case r.Standing == "":
			by["unanswered"]++
		default:
			by[r.Standing]++
		}
	}
	by.tell(set)
}

// tally counts by the value of one label.
type tally map[string]int

func (t tally) tell(set func(float64, ...string)) {
	for label, n := range t {
		set(float64(n), label)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// unix is a moment as Prometheus has it; 0 for none.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
