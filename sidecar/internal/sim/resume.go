package sim

import "github.com/srrd/srrd/sidecar/internal/machine"

// Resume switches node i on as one whose srrd has just started again beside
// services that run: with the memory of its earlier life, and a mark for each
// service that runs there, or may still. srrd adopts them under the claims of
// their marks, so that a cluster can be taken up as it stands. All nodes are
// to be resumed before the first Run.
func (s *Sim) Resume(i int, mem machine.Memory, marks ...machine.Mark) {
	h := s.hosts[i]
	if h.on {
		return
	}
	s.Log("--- %s is taken up", h.name)
	h.on = true
	h.power++
	h.memory = mem
	h.marks = map[string]machine.Mark{}
	for _, m := range marks {
		h.marks[m.Service] = m
		u := h.unit(m.Service)
		u.running, u.ready, u.since = true, !m.MayStillRun, s.t
	}
	s.StartOSPFd(i)
	s.StartSrrd(i)
}
