package web

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// nodeRow is a node with what it offers.
type nodeRow struct {
	*machine.NodeView
	Offers []view.NodeOffer
	Link   string // its pages; "" where it tells of none
}

func nodesPage(r *request) error {
	s, err := r.read()
	if err != nil {
		return err
	}
	var rows []nodeRow
	for i := range s.Machine.Nodes {
		n := &s.Machine.Nodes[i]
		rows = append(rows, nodeRow{n, s.OffersOf(n.Router), elsewhere(n, "/")})
	}
	return r.show("nodes", "Nodes", "/nodes", true, rows)
}

// databaseStuff is the link-state database.
type databaseStuff struct {
	Kind   string
	Kinds  []kindCount
	Query  string
	Detail bool
	Groups []lsaGroup
	Shown  int
	More   int // LSAs that are not shown
}

type kindCount struct {
	Kind string
	N    int
}

// lsaGroup is the LSAs of one type and scope.
type lsaGroup struct {
	Heading string
	Rows    []view.LSARow
}

// The most LSAs on a page, as one line each and in full.
const (
	maxLSAs    = 400
	maxDetails = 60
)

func databasePage(r *request) error {
	s, err := r.read()
	if err != nil {
		return err
	}
	q := r.URL.Query()
	st := databaseStuff{Kind: q.Get("kind"), Query: strings.TrimSpace(q.Get("q")), Detail: q.Get("detail") != ""}
	if !slices.Contains(view.Kinds, st.Kind) {
		st.Kind = "all"
	}
	n := map[string]int{}
	if s.LSDB.Mirror != nil {
		for e := range s.LSDB.Mirror.All() {
			n["all"]++
			n[e.Key.Type.String()]++
			if e.Key.Type.Opaque() {
				n["opaque"]++
			}
		}
	}
	for _, k := range view.Kinds {
		st.Kinds = append(st.Kinds, kindCount{k, n[k]})
	}
	most := maxLSAs
	if st.Detail {
		most = maxDetails
	}
	rows := s.LSAs(r.now, st.Kind, st.Detail && n[st.Kind] <= maxLSAs)
	for i := range rows {
		row := &rows[i]
		if !lsaMatches(row, st.Query) {
			continue
		}
		if st.Shown == most {
			st.More++
			continue
		}
		st.Shown++
		if h := row.Heading(); len(st.Groups) == 0 || st.Groups[len(st.Groups)-1].Heading != h {
			st.Groups = append(st.Groups, lsaGroup{Heading: h})
		}
		g := &st.Groups[len(st.Groups)-1]
		g.Rows = append(g.Rows, *row)
	}
	return r.show("lsdb", "LSA database", "/lsdb", !st.Detail, st)
}

func lsaMatches(row *view.LSARow, text string) bool {
	if text == "" {
		return true
	}
	text = strings.ToLower(text)
	for _, in := range []string{row.ID, row.Router, row.Host, row.Gist} {
		if strings.Contains(strings.ToLower(in), text) {
			return true
		}
	}
	return false
}

// placementStuff is what show group, placement and check say.
type placementStuff struct {
	Groups     []view.Group
	Placements []view.Placement
	Checks     []view.Check
}

func placementPage(r *request) error {
	s, err := r.read()
	if err != nil {
		return err
	}
	return r.show("placement", "Placement and checks", "/placement", true, placementStuff{s.Groups(), s.Placements(), s.Checks(r.now)})
}

func addressesPage(r *request) error {
	s, err := r.read()
	if err != nil {
		return err
	}
	return r.show("addresses", "Addresses and routes", "/addresses", true, s.AllAddresses())
}

// eventsStuff is the list of events, chosen.
type eventsStuff struct {
	Query, Service, Level string
	Services              []string
	N                     int
	Ns                    []int
	Events                []view.Event  // newest first
	Failovers             []failoverRow // newest first
	All                   int
}

// failoverRow is a failover with its phases drawn to scale.
type failoverRow struct {
	view.Failover
	Took   []string // behind noticed, as view.PhaseNames; "" for one not told
	Bars   []bar
	Words  string // the cause, and what became of it
	Moment mark
}

// bar is one phase, in hundredths of the whole.
type bar struct {
	X, W float64
	N    int // which
	Name string
}

func failoverRows(all []view.Failover, now time.Time, service string, most int) []failoverRow {
	var rows []failoverRow
	for _, f := range slices.Backward(all) {
		if len(rows) == most {
			break
		}
		if service == "" || f.Service == service {
			rows = append(rows, rowOf(f, now))
		}
	}
	return rows
}

func rowOf(f view.Failover, now time.Time) failoverRow {
	row := failoverRow{Failover: f, Words: f.CauseWords(now), Took: make([]string, len(view.PhaseNames))}
	switch {
	case f.Why != "":
		row.Moment = mark{"failed", "gave up", "bad"}
	case !f.Ended():
		row.Moment = mark{"starting", "under way", "move"}
	case f.Kind == view.FailoverLoss:
		row.Moment = mark{"warning", f.Kind.String(), "warn"}
	default:
		row.Moment = mark{"started", f.Kind.String(), "good"}
	}
	phases := f.Phases()
	var whole, before time.Duration
	for _, p := range phases {
		whole = max(whole, p.Took)
	}
	for _, p := range phases {
		i := slices.Index(view.PhaseNames, p.Name)
		row.Took[i] = view.Took(p.Took)
		if whole > 0 && p.Took > before {
			part := func(d time.Duration) float64 { return math.Round(1000*float64(d)/float64(whole)) / 10 }
			row.Bars = append(row.Bars, bar{part(before), part(p.Took) - part(before), i, p.Name})
			before = p.Took
		}
	}
	return row
}

// lastFailovers is how many failovers stand above the events.
const lastFailovers = 20

var eventCounts = []int{50, 200, 500}

func eventsPage(r *request) error {
	s, err := r.read()
	if err != nil {
		return err
	}
	q := r.URL.Query()
	st := eventsStuff{Query: strings.TrimSpace(q.Get("q")), Service: q.Get("service"), Level: q.Get("level"), N: eventCounts[0], Ns: eventCounts, All: len(s.Events)}
	if n, err := strconv.Atoi(q.Get("n")); err == nil && slices.Contains(eventCounts, n) {
		st.N = n
	}
	for i := range s.Machine.Services {
		st.Services = append(st.Services, s.Machine.Services[i].Name)
	}
	st.Events = st.choose(s.Events)
	st.Failovers = failoverRows(s.Failovers, r.now, st.Service, lastFailovers)
	return r.show("events", "Events", "/events", true, st)
}

// choose takes the newest first.
func (st *eventsStuff) choose(all []view.Event) []view.Event {
	least := machine.LevelInfo
	switch st.Level {
	case machine.LevelWarning.String():
		least = machine.LevelWarning
	case machine.LevelError.String():
		least = machine.LevelError
	}
	text := strings.ToLower(st.Query)
	var out []view.Event
	for _, e := range slices.Backward(all) {
		if len(out) == st.N {
			break
		}
		if e.Level >= least && (st.Service == "" || e.Service == st.Service) && (text == "" || strings.Contains(strings.ToLower(e.Text), text)) {
			out = append(out, e)
		}
	}
	return out
}
