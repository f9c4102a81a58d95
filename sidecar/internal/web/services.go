package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// servicesStuff is the status of the whole cluster.
type servicesStuff struct {
	Query, Show string
	Shows       []string
	Groups      []serviceGroup
	Shown, All  int
	Offers      bool // each node's offer is shown; else only a line a service
}

// serviceGroup is the services of one group, the leader's first.
type serviceGroup struct {
	Name     string // "" for those without
	Services []serviceRow
}

type serviceRow struct {
	*machine.ServiceView
	Level  machine.Level
	Marked bool
	Nodes  []offerRow
}

// offerRow is a node's offer with the node.
type offerRow struct {
	*machine.OfferView
	Node *machine.NodeView // nil: never heard by name
	LSA  string            // only of our own
}

// shows are the ways to choose services.
var shows = []string{"all", "running", "moving", "nowhere", "problems", "here"}

// maxOfferRows is how many offers the page shows one by one; a bigger cluster
// shows them on the pages of single services, or when fewer are chosen.
const maxOfferRows = 240

func servicesPage(r *request) error {
	s, err := r.read()
	if err != nil {
		return err
	}
	q := r.URL.Query()
	st := servicesStuff{Query: strings.TrimSpace(q.Get("q")), Show: q.Get("show"), Shows: shows, All: len(s.Machine.Services)}
	if !slices.Contains(shows, st.Show) {
		st.Show = "all"
	}
	worst := worstOf(s.Problems(r.now))
	nodes := nodesByID(s)
	offers := 0
	groups := map[string][]serviceRow{}
	for i := range s.Machine.Services {
		sv := &s.Machine.Services[i]
		row := serviceRow{ServiceView: sv}
		row.Level, row.Marked = worst[sv.Name]
		if !row.chosen(st.Show) || !row.matches(st.Query) {
			continue
		}
		row.Nodes = offerRows(sv, nodes)
		offers += len(sv.Offers)
		st.Shown++
		groups[sv.Group] = append(groups[sv.Group], row)
	}
	for name, rows := range groups {
		st.Groups = append(st.Groups, serviceGroup{name, rows})
	}
	slices.SortFunc(st.Groups, func(a, b serviceGroup) int { return strings.Compare(a.Name, b.Name) })
	st.Offers = offers <= maxOfferRows
	return r.show("services", "Services", "/services", true, st)
}

func nodesByID(s *view.Snapshot) map[machine.RouterID]*machine.NodeView {
	m := map[machine.RouterID]*machine.NodeView{}
	for i := range s.Machine.Nodes {
		m[s.Machine.Nodes[i].Router] = &s.Machine.Nodes[i]
	}
	return m
}

func offerRows(sv *machine.ServiceView, nodes map[machine.RouterID]*machine.NodeView) []offerRow {
	var all []offerRow
	for i := range sv.Offers {
		o := offerRow{OfferView: &sv.Offers[i], Node: nodes[sv.Offers[i].Router]}
		if o.Self {
			o.LSA = sv.LSA
		}
		all = append(all, o)
	}
	return all
}

func (row *serviceRow) chosen(show string) bool {
	switch show {
	case "running":
		return row.Holder != ""
	case "nowhere":
		return row.Holder == ""
	case "problems":
		return row.Marked && row.Level > machine.LevelInfo
	case "here":
		return row.Local
	case "moving":
		return slices.ContainsFunc(row.Offers, func(o machine.OfferView) bool {
			return (o.Counts || o.Self) && (o.State.String() == "starting" || o.State.String() == "stopping")
		})
	}
	return true
}

// matches looks for the text in everything one would look for a service by.
func (row *serviceRow) matches(text string) bool {
	if text == "" {
		return true
	}
	text = strings.ToLower(text)
	for _, in := range []string{row.Name, row.Group, row.Kind, row.Holder, addrWords(row.Addresses), view.StateHere(row.ServiceView)} {
		if strings.Contains(strings.ToLower(in), text) {
			return true
		}
	}
	return false
}

// serviceStuff is everything about one service.
type serviceStuff struct {
	*machine.ServiceView
	Head      mark // where it stands in the cluster
	Sentences []sentence
	Nodes     []offerRow
	Pin       string
	Problems  []view.Problem
	Events    []view.Event // newest first
	Failovers []failoverRow
	Targets   []string // nodes it can be moved to
	MayRun    []string // nodes that may still run it
	Verbs     []verb
	Lasting   []verb // those that change more than a moment
	Status    *statusRun
	Elsewhere []offerRow // where it is configured, if not here
}

// sentence is one of view.Explain, with its place in the list of candidates.
type sentence struct {
	Item bool
	Text string
}

// verb is a command button.
type verb struct {
	Verb, Help string
	Off        bool // makes no sense now
}

// statusRun is what the status primitive said.
type statusRun struct {
	At    time.Time
	Text  string
	Error string
}

func servicePage(r *request) error { return showService(r, nil) }

func showService(r *request, status *statusRun) error {
	s, err := r.read()
	if err != nil {
		return err
	}
	sv := s.Service(r.PathValue("name"))
	if sv == nil {
		return &fault{http.StatusNotFound, fmt.Sprintf("there is no service %q", r.PathValue("name"))}
	}
	st := serviceStuff{ServiceView: sv, Nodes: offerRows(sv, nodesByID(s)), Pin: s.PinWords(sv), Problems: sorted(s.ProblemsOf(r.now, sv.Name)),
		Status: status, Head: headMark(sv)}
	st.Failovers = failoverRows(s.Failovers, r.now, sv.Name, 5)
	for _, t := range s.Explain(r.now, sv) {
		text := strings.TrimLeft(t, " ")
		st.Sentences = append(st.Sentences, sentence{text != t, strings.TrimPrefix(text, "- ")})
	}
	for i := len(s.Events) - 1; i >= 0 && len(st.Events) < lastEvents; i-- {
		if s.Events[i].Service == sv.Name {
			st.Events = append(st.Events, s.Events[i])
		}
	}
	for _, o := range st.Nodes {
		host := view.NameOf(o.Host, o.Router)
		if o.Counts || o.Self {
			st.Targets = append(st.Targets, host)
		}
		if strings.Contains(o.Flags.String(), "may-still-run") {
			st.MayRun = append(st.MayRun, host)
		}
	}
	if !sv.Local {
		st.Elsewhere = st.Nodes
	}
	st.Verbs, st.Lasting = verbs(sv, st.Pin != "")
	return r.show("service", sv.Name, "/services", true, st)
}

// headMark is where a service stands in the cluster.
func headMark(sv *machine.ServiceView) mark {
	if sv.Holder != "" {
		return mark{"started", "runs on " + sv.Holder, "good"}
	}
	for _, o := range sv.Offers {
		if w := o.State.String(); (o.Counts || o.Self) && (w == "starting" || w == "stopping") {
			return mark{w, w + " on " + view.NameOf(o.Host, o.Router), "move"}
		}
	}
	if sv.Hold.On {
		return mark{"stopped", "stopped by an operator", "calm"}
	}
	return mark{"failed", "runs nowhere", "bad"}
}

// verbs are the commands of a service, in the words of the shell.
func verbs(sv *machine.ServiceView, pinned bool) (now, lasting []verb) {
	started := sv.State.String() == "started"
	failed := sv.State.String() == "failed" || sv.Config == machine.ConfigFailed
	now = []verb{
		{"start", "let it run again after stop", !sv.Hold.On},
		{"stop", "stop it everywhere until start", sv.Hold.On},
		{"restart", "run its restart primitive here", !started},
		{"reload", "run its reload primitive here", !started},
		{"check", "run its check primitive here now", !started},
		{"unmove", "end a move", !pinned},
		{"reactivate", "forget that it failed here, and let it try again", !failed},
	}
	disabled := sv.Config == machine.Disabled || sv.Config == machine.Deactivated
	lasting = []verb{
		{"enable", "offer it on this node", !disabled},
		{"disable", "stop offering it on this node, also after a restart", disabled},
		{"freeze", "start and stop it nowhere until unfreeze, with its group", sv.Freeze.On},
		{"unfreeze", "end a freeze, of its whole group", !frozen(sv)},
	}
	return now, lasting
}

// frozen tells whether the service is frozen, by itself or by its group.
func frozen(sv *machine.ServiceView) bool { return sv.Freeze.On || sv.Code == "frozen" }

// subject is what a command is about.
type subject string

// The subjects, in the words of the shell.
const (
	aService   subject = "service"
	theNode    subject = "node"
	theCluster subject = "cluster"
)

// verbs of each subject that pages and API take, as the shell has them.
var verbsOf = map[subject][]machine.Verb{
	aService: {
		machine.VerbStart, machine.VerbStop, machine.VerbRestart, machine.VerbReload, machine.VerbCheck, machine.VerbStatus, machine.VerbMove, machine.VerbUnmove,
		machine.VerbEnable, machine.VerbDisable, machine.VerbReactivate, machine.VerbConfirmStopped, machine.VerbFreeze, machine.VerbUnfreeze,
	},
	theNode:    {machine.VerbStandby, machine.VerbOnline, machine.VerbMaintenance, machine.VerbDrain},
	theCluster: {machine.VerbClusterFreeze, machine.VerbClusterUnfreeze},
}

// wordOf is the verb's word behind the subject: VerbClusterFreeze is "freeze".
func wordOf(of subject, v machine.Verb) string { return strings.TrimPrefix(v.String(), string(of)+" ") }

// command makes a command of what was asked for, and refuses what is none.
func (r *request) command(of subject, node, duration string) (machine.Command, error) {
	name := r.PathValue("name")
	at := slices.IndexFunc(verbsOf[of], func(v machine.Verb) bool { return wordOf(of, v) == r.PathValue("verb") })
	if at < 0 {
		return machine.Command{}, &fault{http.StatusNotFound, fmt.Sprintf("there is no command %q", r.PathValue("verb"))}
	}
	v := verbsOf[of][at]
	c := machine.Command{Who: r.person.Name, Verb: v, Service: name}
	if v == machine.VerbMove || v == machine.VerbConfirmStopped {
		if c.Node = node; node == "" {
			return c, &fault{http.StatusBadRequest, v.String() + " wants a node"}
		}
	}
	if v == machine.VerbMove && duration != "" {
		d, err := time.ParseDuration(duration)
		if err != nil || d < time.Second {
			return c, &fault{http.StatusBadRequest, fmt.Sprintf("want a duration such as 90s, 10m or 1h30m, got %q", duration)}
		}
		c.For = d
	}
	return c, nil
}

// do asks for a command and audits it.
func (r *request) do(of subject, c machine.Command) (string, error) {
	before := ""
	if s, err := r.read(); err == nil {
		before = standing(s, c.Service)
	}
	text, err := r.askFor(c)
	after := ""
	r.view = nil // what was read is of before
	if s, rerr := r.read(); rerr == nil {
		after = standing(s, c.Service)
	}
	what := string(of) + " " + wordOf(of, c.Verb)
	if of == aService {
		what = "service " + c.Service + " " + c.Verb.String()
	}
	if c.Node != "" {
		what += " " + c.Node
	}
	if c.For > 0 {
		what += " for " + c.For.String()
	}
	r.audit(what, before, after, err)
	return text, err
}

// drainPatience is how long a page waits for the end of a drain; what is left
// after that it shows as it goes on.
const drainPatience = 500 * time.Millisecond

// askFor asks for a command. A drain goes on also when nobody waits for its
// end any more; that is no failure.
func (r *request) askFor(c machine.Command) (string, error) {
	ctx := r.ctx
	if c.Verb == machine.VerbDrain && !r.api() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, drainPatience)
		defer cancel()
	}
	text, err := r.cfg.Deps.Ask(ctx, c)
	if c.Verb != machine.VerbDrain || !errors.Is(err, context.DeadlineExceeded) {
		return text, err
	}
	left := "what still runs here is shown below"
	r.view = nil // it was read before the command
	if s, err := r.read(); err == nil && len(s.Machine.Draining) > 0 {
		left = "still here: " + strings.Join(s.Machine.Draining, ", ")
	}
	if r.api() {
		return "", fmt.Errorf("no end within %s; it goes on; %s", askTimeout, left)
	}
	return "the node drains; " + left, nil
}

// standing is a service, or the node, in a few words for the audit log.
func standing(s *view.Snapshot, service string) string {
	if service == "" {
		return view.NodeWords(&s.Machine)
	}
	sv := s.Service(service)
	if sv == nil {
		return "unknown"
	}
	text := view.StateHere(sv)
	if sv.Holder != "" {
		text += ", runs on " + sv.Holder
	}
	if sv.Freeze.On {
		text += ", frozen"
	}
	return text
}

func serviceAct(r *request) error {
	c, err := r.command(aService, r.PostFormValue("node"), r.PostFormValue("for"))
	if err != nil {
		return err
	}
	if c.Verb == machine.VerbConfirmStopped && r.PostFormValue("sure") != "yes" {
		return &fault{http.StatusBadRequest, "confirm-stopped wants the tick that you are sure: if the node still runs the service, data can be lost"}
	}
	text, err := r.do(aService, c)
	if c.Verb == machine.VerbStatus {
		run := &statusRun{At: r.cfg.Now(), Text: text}
		if err != nil {
			run.Error = err.Error()
		}
		return showService(r, run)
	}
	if err == nil {
		text = c.Service + " " + c.Verb.String() + ": " + text
	} else {
		err = fmt.Errorf("%s %s: %w", c.Service, c.Verb, err)
	}
	return r.back("/service/"+url.PathEscape(c.Service), text, err)
}

func nodeAct(r *request) error    { return r.act(theNode) }
func clusterAct(r *request) error { return r.act(theCluster) }

func (r *request) act(of subject) error {
	c, err := r.command(of, "", "")
	if err != nil {
		return err
	}
	text, err := r.do(of, c)
	if err != nil {
		err = fmt.Errorf("%s %s: %w", of, wordOf(of, c.Verb), err)
	}
	return r.back("/admin", text, err)
}
