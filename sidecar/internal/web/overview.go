package web

import (
	"cmp"
	"slices"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// overviewStuff is what the first page shows.
type overviewStuff struct {
	Problems []view.Problem // errors first
	More     int            // problems that are not shown
	Counts   []tally
	Hosts    []*machine.NodeView // columns of the table; nil where there are too many
	Rows     []overviewRow
	Events   []view.Event // newest first
}

// tally is a figure with what it counts.
type tally struct {
	N    int
	Word string
	Tone string // how the figure looks when it is not 0
	Link string
}

// overviewRow is a service with its place on each node.
type overviewRow struct {
	*machine.ServiceView
	Places []*machine.OfferView // as Hosts; nil: not offered there
	Level  machine.Level
	Marked bool // Level counts
}

// Bounds of the first page, so that it stays quick to make and to read.
const (
	maxColumns  = 12
	maxProblems = 40
	lastEvents  = 12
)

func overview(r *request) error {
	s, err := r.read()
	if err != nil {
		return err
	}
	st := overviewStuff{Problems: sorted(s.Problems(r.now))}
	worst := worstOf(st.Problems)
	st.Counts = tallies(s, st.Problems)
	if n := len(st.Problems); n > maxProblems {
		st.Problems, st.More = st.Problems[:maxProblems], n-maxProblems
	}
	if len(s.Machine.Nodes) <= maxColumns {
		for i := range s.Machine.Nodes {
			st.Hosts = append(st.Hosts, &s.Machine.Nodes[i])
		}
	}
	for i := range s.Machine.Services {
		sv := &s.Machine.Services[i]
		row := overviewRow{ServiceView: sv}
		row.Level, row.Marked = worst[sv.Name]
		for _, h := range st.Hosts {
			at := slices.IndexFunc(sv.Offers, func(o machine.OfferView) bool { return o.Router == h.Router })
			if at < 0 {
				row.Places = append(row.Places, nil)
			} else {
				row.Places = append(row.Places, &sv.Offers[at])
			}
		}
		st.Rows = append(st.Rows, row)
	}
	// What is wrong comes first, and stays in its order otherwise.
	slices.SortStableFunc(st.Rows, func(a, b overviewRow) int { return cmp.Compare(b.weight(), a.weight()) })
	for i := len(s.Events) - 1; i >= max(0, len(s.Events)-lastEvents); i-- {
		st.Events = append(st.Events, s.Events[i])
	}
	return r.show("overview", "Overview", "/", true, st)
}

func (o *overviewRow) weight() int {
	if !o.Marked || o.Level == machine.LevelInfo {
		return 0
	}
	return int(o.Level)
}

// sorted puts errors before warnings before notices.
func sorted(all []view.Problem) []view.Problem {
	slices.SortStableFunc(all, func(a, b view.Problem) int { return cmp.Compare(b.Level, a.Level) })
	return all
}

// worstOf gives each service the level of its worst problem.
func worstOf(all []view.Problem) map[string]machine.Level {
	worst := map[string]machine.Level{}
	for _, p := range all {
		if old, ok := worst[p.Service]; !ok || p.Level > old {
			worst[p.Service] = p.Level
		}
	}
	return worst
}

// tallies are the figures at the top.
func tallies(s *view.Snapshot, problems []view.Problem) []tally {
	var errs, warnings, running, moving, nowhere, present int
	for _, p := range problems {
		switch p.Level {
		case machine.LevelError:
			errs++
		case machine.LevelWarning:
			warnings++
		case machine.LevelInfo:
		}
	}
	for i := range s.Machine.Services {
		sv := &s.Machine.Services[i]
		under := slices.ContainsFunc(sv.Offers, func(o machine.OfferView) bool {
			return (o.Counts || o.Self) && (o.State.String() == "starting" || o.State.String() == "stopping")
		})
		switch {
		case under:
			moving++
		case sv.Holder != "":
			running++
		default:
			nowhere++
		}
	}
	for i := range s.Machine.Nodes {
		if s.Machine.Nodes[i].Status == "present" {
			present++
		}
	}
	return []tally{
		{errs, "errors", "bad", "#problems"}, {warnings, "warnings", "warn", "#problems"},
		{running, "running", "good", "/services?show=running"}, {moving, "moving", "move", "/services?show=moving"}, {nowhere, "nowhere", "", "/services?show=nowhere"},
		{present, "nodes present", "", "/nodes"}, {len(s.Machine.Nodes) - present, "nodes away", "bad", "/nodes"},
	}
}
