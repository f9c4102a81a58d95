package metrics

import (
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// histogram is a prometheus.HistogramVec whose counts can be handed over: those
// of client_golang cannot be given what an earlier srrd has counted. It is safe
// for anybody.
type histogram struct {
	desc   *prometheus.Desc
	name   string
	bounds []float64
	mu     sync.Mutex
	all    map[string]*series // by label values
}

// series are the observations of one set of label values.
type series struct {
	of     *histogram
	values []string
	counts []uint64 // by bucket; the last one is of what is above all bounds
	sum    float64
}

func newHistogram(name, help string, bounds []float64, labels []string) *histogram {
	return &histogram{desc: prometheus.NewDesc(name, help, labels, nil), name: name, bounds: bounds, all: map[string]*series{}}
}

// with is the series of the label values, in the order of the labels.
func (h *histogram) with(values ...string) *series {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := strings.Join(values, "\xff") // which stands in no text of UTF-8
	s := h.all[k]
	if s == nil {
		s = &series{of: h, values: values, counts: make([]uint64, len(h.bounds)+1)}
		h.all[k] = s
	}
	return s
}

// Observe counts one value.
func (s *series) Observe(v float64) {
	i := sort.SearchFloat64s(s.of.bounds, v)
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.counts[i]++
	s.sum += v
}

// Describe is prometheus.Collector's.
func (h *histogram) Describe(to chan<- *prometheus.Desc) { to <- h.desc }

// Collect is prometheus.Collector's.
func (h *histogram) Collect(to chan<- prometheus.Metric) {
	for _, x := range h.counted() {
		below, buckets := uint64(0), make(map[float64]uint64, len(h.bounds))
		for i, b := range h.bounds {
			below += x.Counts[i]
			buckets[b] = below
		}
		to <- prometheus.MustNewConstHistogram(h.desc, below+x.Counts[len(h.bounds)], x.Sum, buckets, x.Values...)
	}
}

// counted is what was observed, for the next srrd.
func (h *histogram) counted() (all []Observed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.all {
		all = append(all, Observed{Name: h.name, Values: s.values, Bounds: h.bounds, Counts: slices.Clone(s.counts), Sum: s.sum})
	}
	slices.SortFunc(all, func(a, b Observed) int { return slices.Compare(a.Values, b.Values) })
	return all
}

// add adds what an earlier srrd has observed. What its build counted otherwise
// is left out.
func (h *histogram) add(x Observed, labels int) {
	if len(x.Values) != labels || !slices.Equal(x.Bounds, h.bounds) || len(x.Counts) != len(h.bounds)+1 {
		return
	}
	s := h.with(x.Values...)
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, n := range x.Counts {
		s.counts[i] += n
	}
	s.sum += x.Sum
}
