package metrics

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/srrd/srrd/sidecar/internal/view"
)

// Options are what a Collector is made of.
type Options struct {
	// Read gives a snapshot of now (view.Board.Read).
	Read func(ctx context.Context) (*view.Snapshot, error)
	// Inbox tells how many events wait for the owner and how many may; nil:
	// not told. It may be called from any goroutine.
	Inbox func() (waiting, room int)
	// Now is the clock that ages are told by; nil is time.Now.
	Now func() time.Time
}

// Collector collects. Use New.
type Collector struct {
	opt      Options
	registry *prometheus.Registry
	counts   *counts
	began    time.Time
	start    prometheus.Gauge
}

// readTimeout is how long a scrape waits for the owner; Prometheus gives up
// after 10 s by default.
const readTimeout = 3 * time.Second

// maxScrapes is how many scrapes are answered at once; more are refused.
const maxScrapes = 4

// New makes a Collector with a registry of its own, in which are also the
// metrics of the Go runtime and of the process.
func New(opt Options) *Collector {
	c := bare(opt)
	c.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return c
}

// bare is a Collector of our own metrics only.
func bare(opt Options) *Collector {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	c := &Collector{opt: opt, registry: prometheus.NewPedanticRegistry()}
	c.counts = newCounts(c.registry)
	c.start = prometheus.NewGauge(prometheus.GaugeOpts{Name: "srrd_start_time_seconds",
		Help: "When this srrd began to count, Unix time. A re-execution goes on counting."})
	c.begin(opt.Now().Round(0)) // of the clock of the day alone, which is carried to the nanosecond
	c.registry.MustRegister(c.start)
	c.registry.MustRegister(&present{opt})
	return c
}

// begin notes since when there are counts.
func (c *Collector) begin(at time.Time) {
	c.began = at
	c.start.Set(float64(at.UnixNano()) / 1e9)
}

// Handler serves the metrics.
func (c *Collector) Handler() http.Handler {
	return promhttp.HandlerFor(c.registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, EnableOpenMetrics: true})
}
