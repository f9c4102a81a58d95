package metrics

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// Handover is what a Collector has counted, for the srrd that goes on in the
// same process: a re-execution is no reset of a counter.
type Handover struct {
	Began    time.Time
	Counters []Counted
	Observed []Observed

	OSPFUp, ZebraUp bool
	Self            machine.RouterID
	Running         map[uint64]machine.Primitive
	Asked           map[uint64]machine.Verb
}

// Counted is a counter.
type Counted struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// Observed is a histogram of one set of label values.
type Observed struct {
	Name   string
	Values []string // of the labels, in their order
	Bounds []float64
	Counts []uint64 // by bucket
	Sum    float64
}

// HandOver is what has been counted so far. Only the owner calls it.
func (c *Collector) HandOver() (*Handover, error) {
	n := c.counts
	h := &Handover{Began: c.began, OSPFUp: n.ospfUp, ZebraUp: n.zebraUp, Self: n.self, Running: n.running, Asked: n.asked}
	r := prometheus.NewRegistry() // of the counters alone: the rest is told by the owner, who stands still
	for _, v := range n.counters {
		if err := r.Register(v); err != nil {
			return nil, fmt.Errorf("counters: %w", err)
		}
	}
	families, err := r.Gather()
	if err != nil {
		return nil, fmt.Errorf("counters: %w", err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			x := Counted{Name: f.GetName(), Value: m.GetCounter().GetValue(), Labels: map[string]string{}}
			for _, l := range m.GetLabel() {
				x.Labels[l.GetName()] = l.GetValue()
			}
			h.Counters = append(h.Counters, x)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.histograms)) {
		h.Observed = append(h.Observed, n.histograms[name].of.counted()...)
	}
	return h, nil
}

// TakeOver goes on counting from there. It is called once, before all else; h
// is nil where the build before handed over nothing. What that build counted
// otherwise begins anew.
func (c *Collector) TakeOver(h *Handover) {
	if h == nil {
		return
	}
	n := c.counts
	c.begin(h.Began)
	n.ospfUp, n.zebraUp, n.self = h.OSPFUp, h.ZebraUp, h.Self
	for run, p := range h.Running {
		n.running[run] = p
	}
	for id, v := range h.Asked {
		n.asked[id] = v
	}
	for _, x := range h.Counters {
		if v := n.counters[x.Name]; v != nil && x.Value > 0 {
			if m, err := v.GetMetricWith(x.Labels); err == nil {
				m.Add(x.Value)
			}
		}
	}
	for _, x := range h.Observed {
		if g, ok := n.histograms[x.Name]; ok {
			g.of.add(x, g.labels)
		}
	}
}
