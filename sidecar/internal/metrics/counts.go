package metrics

import (
	"reflect"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// The buckets, in seconds. Round trips on one host take tens of microseconds
// to some milliseconds; failovers milliseconds to minutes.
var (
	roundTripBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	failoverBuckets  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	primitiveBuckets = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	stepBuckets      = []float64{.000001, .0000025, .000005, .00001, .000025, .00005, .0001, .00025, .001, .01, .1}
)

// counts is what has happened. The maps belong to the owner; the rest is safe
// for anybody.
type counts struct {
	counters   map[string]*prometheus.CounterVec // all of them, by name
	histograms map[string]labelled               // so too

	events    *prometheus.CounterVec
	perEvent  map[reflect.Type]prometheus.Counter
	took      *series
	actions   *prometheus.CounterVec
	perAction map[reflect.Type]prometheus.Counter
	notes     *prometheus.CounterVec
	timers    prometheus.Gauge

	runs     *prometheus.CounterVec
	ran      *histogram
	running  map[uint64]machine.Primitive // by run
	commands *prometheus.CounterVec
	asked    map[uint64]machine.Verb // by command

	connects, losses *prometheus.CounterVec
	ospfUp, zebraUp  bool
	self             machine.RouterID

	originated *prometheus.CounterVec
	trips      *histogram
	given      map[machine.LSARef]time.Time // to ospfd, not answered
	unseen     map[machine.LSARef]time.Time // not seen back
	wanted     map[trip]time.Time           // of kernel and zebra

	failovers *prometheus.CounterVec
	phases    *histogram

	vty     *prometheus.CounterVec
	vtyTook *histogram
}

// labelled is a histogram with the number of its labels.
type labelled struct {
	of     *histogram
	labels int
}

func newCounts(r prometheus.Registerer) *counts {
	f := promauto.With(r)
	counters, histograms := map[string]*prometheus.CounterVec{}, map[string]labelled{}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		counters[name] = f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		return counters[name]
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *histogram {
		h := newHistogram(name, help, buckets, labels)
		histograms[name] = labelled{h, len(labels)}
		r.MustRegister(h)
		return h
	}
	c := &counts{
		counters: counters, histograms: histograms,
		events:    counter("srrd_events_total", "Events handled by the owner loop.", "event"),
		actions:   counter("srrd_actions_total", "Actions that came of events.", "action"),
		notes:     counter("srrd_notes_total", "Lines for the log and the list of events.", "level"),
		runs:      counter("srrd_primitive_runs_total", "Service primitives that ended, checks among them.", "service", "primitive", "outcome"),
		ran:       histogram("srrd_primitive_duration_seconds", "How long service primitives ran.", primitiveBuckets, "primitive"),
		commands:  counter("srrd_commands_total", "Commands of people, from shell, web and API.", "verb", "outcome"),
		connects:  counter("srrd_session_connects_total", "Sessions that came up; every one after the first is a reconnect.", "daemon"),
		losses:    counter("srrd_session_losses_total", "Sessions that were lost.", "daemon"),
		failovers: counter("srrd_failovers_total", "Services taken by this node: start, move of a running one, failover of a lost one.", "kind", "outcome"),
		phases:    histogram("srrd_failover_duration_seconds", "Time since a loss or move was noticed until this node reached each phase of taking the service.", failoverBuckets, "kind", "phase"),
		vty:       counter("srrd_vty_commands_total", "Commands run on the VTY of a routing daemon.", "daemon", "outcome"),
		vtyTook:   histogram("srrd_vty_command_duration_seconds", "Round trips of VTY commands.", roundTripBuckets, "daemon"),

		originated: counter("srrd_lsa_originations_total", "LSAs given to ospfd, by its answer.", "result"),
		trips:      histogram("srrd_round_trip_duration_seconds", "Time from asking ospfd, zebra or the kernel for something until it was answered or seen back.", roundTripBuckets, "trip"),

		perEvent: map[reflect.Type]prometheus.Counter{}, perAction: map[reflect.Type]prometheus.Counter{}, running: map[uint64]machine.Primitive{},
		asked: map[uint64]machine.Verb{}, given: map[machine.LSARef]time.Time{}, unseen: map[machine.LSARef]time.Time{}, wanted: map[trip]time.Time{},
	}
	c.took = histogram("srrd_event_duration_seconds", "Time from taking an event until its actions were with the ports.", stepBuckets).with()
	c.timers = f.NewGauge(prometheus.GaugeOpts{Name: "srrd_timers", Help: "Timers that are set, cancelled ones among them until they come due."})
	// What is never reached shows as zero and not as a hole.
	for _, d := range []string{daemonOSPF, daemonZebra} {
		c.connects.WithLabelValues(d)
		c.losses.WithLabelValues(d)
	}
	for _, l := range []machine.Level{machine.LevelInfo, machine.LevelWarning, machine.LevelError} {
		c.notes.WithLabelValues(l.String())
	}
	for _, k := range []view.FailoverKind{view.FailoverStart, view.FailoverMove, view.FailoverLoss} {
		c.failovers.WithLabelValues(k.String(), outcomeDone)
		c.failovers.WithLabelValues(k.String(), outcomeGaveUp)
		for _, p := range view.PhaseNames {
			c.phases.with(k.String(), p)
		}
	}
	for _, t := range []string{tripOriginate, tripEcho, tripRoute, tripAddress} {
		c.trips.with(t)
	}
	return c
}

// Values of labels.
const (
	daemonOSPF  = "ospfd"
	daemonZebra = "zebra"

	outcomeDone   = "done"
	outcomeGaveUp = "gave_up"
	outcomeFailed = "failed"

	tripOriginate = "lsa_originate" // given to ospfd, answered
	tripEcho      = "lsa_echo"      // given to ospfd, seen in the database
	tripRoute     = "route_install" // given to zebra, installed
	tripAddress   = "address_set"   // asked for, shown by the kernel
)

// trip is a question to kernel or zebra that has no answer yet.
type trip struct {
	what string
	addr addr
}

// maxOpen bounds what waits for an answer that may never come.
const maxOpen = 10000

// Failover counts a failover that ended; those of other nodes are theirs to
// count. Only the owner calls it.
func (c *Collector) Failover(f view.Failover) {
	if !f.Here {
		return
	}
	kind := f.Kind.String()
	if !f.GaveUp.IsZero() {
		c.counts.failovers.WithLabelValues(kind, outcomeGaveUp).Inc()
		return
	}
	c.counts.failovers.WithLabelValues(kind, outcomeDone).Inc()
	for _, p := range f.Phases() {
		c.counts.phases.with(kind, p.Name).Observe(p.Took.Seconds())
	}
}

// Timers tells how many timers are set. Only the owner calls it.
func (c *Collector) Timers(n int) { c.counts.timers.Set(float64(n)) }

// VTY counts a command on the VTY of a routing daemon, from any goroutine.
func (c *Collector) VTY(daemon string, took time.Duration, err error) {
	outcome := outcomeDone
	if err != nil {
		outcome = outcomeFailed
	}
	c.counts.vty.WithLabelValues(daemon, outcome).Inc()
	c.counts.vtyTook.with(daemon).Observe(took.Seconds())
}

// snake writes the name of a Go type as a label value: LSASeen is lsa_seen.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		upper := r >= 'A' && r <= 'Z'
		if upper && i > 0 {
			before := name[i-1]
			next := i+1 < len(name) && name[i+1] >= 'a' && name[i+1] <= 'z'
			if before >= 'a' && before <= 'z' || next {
				b.WriteByte('_')
			}
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}
