package web

import (
	"net/http"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// adminStuff is this node and what one can do to it.
type adminStuff struct {
	Self    *machine.NodeView
	Config  string
	Error   string
	Running []string // services that run here and would stop
	Node    []verb   // commands for this node
	Cluster []verb   // and for all
}

// nodeVerbs are the commands of the node and of the cluster, in the words of
// the shell.
func nodeVerbs(m *machine.View) (node, cluster []verb) {
	node = []verb{
		{"online", "run services here, and start and stop them", m.Node == advert.Online},
		{"standby", "run no services here until online; those that run move away", m.Node == advert.Standby},
		{"drain", "standby, and show what still runs here until nothing does", len(m.Draining) > 0},
		{"maintenance", "start and stop nothing here until online; what runs here stays, and no other node takes it over", m.Node == advert.Maintenance},
	}
	cluster = []verb{
		{"freeze", "start and stop nothing on any node until unfreeze; everything is still observed", m.Freeze.On},
		{"unfreeze", "end a freeze of the cluster, whoever said it", !m.Freeze.On},
	}
	return node, cluster
}

func adminPage(r *request) error {
	s, err := r.read()
	if err != nil {
		return err
	}
	var st adminStuff
	st.Node, st.Cluster = nodeVerbs(&s.Machine)
	for i := range s.Machine.Nodes {
		if s.Machine.Nodes[i].Self {
			st.Self = &s.Machine.Nodes[i]
		}
	}
	for i := range s.Machine.Services {
		if sv := &s.Machine.Services[i]; sv.Local && sv.State.String() == "started" {
			st.Running = append(st.Running, sv.Name)
		}
	}
	if r.person.Role >= Admin { // the environment of primitives may hold secrets
		if st.Config, err = r.cfg.Deps.Config(r.ctx); err != nil {
			st.Error = err.Error()
		}
	}
	return r.show("admin", "Administration", "/admin", true, st)
}

func adminReload(r *request) error {
	before, _ := r.cfg.Deps.Config(r.ctx) // for the log only
	text, err := r.cfg.Deps.Reload(r.ctx)
	after, _ := r.cfg.Deps.Config(r.ctx)
	diff := ""
	for _, l := range changedLines(before, after) {
		diff += l + "\n"
	}
	r.audit("reload", "", diff, err)
	return r.back("/admin", "reload: "+text, err)
}

func adminReexec(r *request) error {
	text, err := r.cfg.Deps.Reexec(r.ctx, r.person.Name)
	r.audit("daemon reexec", "", text, err)
	if err != nil {
		return r.back("/admin", "", err)
	}
	// What this srrd has to say goes with it; its events go to the next one, and
	// tell how it went.
	http.Redirect(r.ResponseWriter, r.Request, "/events", http.StatusSeeOther)
	return nil
}

func adminShutdown(r *request) error {
	if r.PostFormValue("sure") != "yes" {
		return &fault{http.StatusBadRequest, "shutdown wants the tick that you are sure"}
	}
	err := r.cfg.Deps.Shutdown(r.ctx)
	r.audit("shutdown", "", "", err)
	if err != nil {
		return r.back("/admin", "", err)
	}
	if _, err := r.read(); err != nil {
		return err
	}
	return r.show("shutdown", "Shutdown", "/admin", false, nil)
}

// helpStuff is the manual.
type helpStuff struct {
	Commands []Command
	States   []explained
	Config   []explained
	Flags    [][2]string
}

// explained is a mark with what it means.
type explained struct {
	Mark mark
	Text string
}

func helpPage(r *request) error {
	if _, err := r.read(); err != nil {
		return err
	}
	st := helpStuff{Commands: r.cfg.Commands}
	for _, e := range [][3]string{
		{"active", "started", "runs here"},
		{"active", "starting", "is being started; the page names the step and what it waits for"},
		{"active", "stopping", "is being stopped; the page names the cause"},
		{"active", "stopped", "is offered here and could run here"},
		{"active", "failed", "failed here; it tries again after retry_after, or on reactivate"},
	} {
		st.States = append(st.States, explained{markOf(e[0], e[1]), e[2]})
	}
	for _, e := range [][3]string{
		{"disabled", "stopped", "switched off on this node by an operator"},
		{"inactive", "stopped", "enabled, not yet offered to the cluster"},
		{"injected", "stopped", "its LSA was given to ospfd and is not seen back yet"},
		{"deactivated", "stopped", "its offer is being withdrawn"},
		{"failed", "stopped", "ospfd refused its LSA for good"},
	} {
		st.Config = append(st.Config, explained{markOf(e[0], e[1]), e[2]})
	}
	st.Flags = [][2]string{
		{"critical", "if it stops or fails, its whole group leaves the node"},
		{"strict", "must never run twice: started only on a claim that every node has acknowledged"},
		{"overlap", "the new node starts before the old one stops"},
		{"may-still-run", "a stop failed or the node was lost: nobody starts it until that node says so, fencing succeeded or an operator confirms"},
		{"probation", "failed here and is on trial: last among the candidates"},
		{"holding", "the node holds back for startup_hold or failback_delay"},
		{"recovering", "it is being restarted in place"},
		{"frozen", "an operator froze it, or the cluster: it is neither started nor stopped until unfreeze"},
		{"maintenance", "an operator froze the node: it starts and stops nothing until online"},
	}
	return r.show("help", "Information", "/help", false, st)
}
