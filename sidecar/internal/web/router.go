package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/srrd/srrd/sidecar/internal/view"
)

// presets are the commands one wants most, by daemon.
var presets = map[string][]string{
	"ospfd": {
		"show ip ospf neighbor", "show ip ospf neighbor detail", "show ip ospf interface", "show ip ospf", "show ip ospf route", "show ip ospf border-routers",
		"show ip ospf database", "show ip ospf database router", "show ip ospf database network", "show ip ospf database external",
		"show ip ospf database opaque-as", "show ip ospf database opaque-area", "show ip ospf database opaque-link", "show running-config",
	},
	"zebra": {
		"show ip route", "show ip route ospf", "show ip route table", "show interface brief", "show interface", "show ip nht",
		"show zebra client summary", "show zebra", "show running-config",
	},
}

// routerStuff is the command page of a routing daemon.
type routerStuff struct {
	Daemon, Other string
	Presets       []string
	Command       string
	Ran           bool
	Output, Error string
	Lines         string // of configuration, as typed
	Least         string // what this person may run
}

// maxOutput bounds what a page shows of a daemon's answer, in bytes.
const maxOutput = 96 << 10

func routerPage(r *request) error {
	st, err := routerStuffOf(r)
	if err != nil {
		return err
	}
	return r.showRouter(st)
}

func routerStuffOf(r *request) (*routerStuff, error) {
	d := r.PathValue("daemon")
	list, ok := presets[d]
	if !ok {
		return nil, &fault{http.StatusNotFound, "there is no such routing daemon: it is ospfd or zebra"}
	}
	if _, err := r.read(); err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(slices.Clone(list), func(c string) bool { return permit(r.person.Role, c) != nil })
	st := &routerStuff{Daemon: d, Other: "zebra", Presets: list, Command: list[0], Least: mayRun(r.person.Role)}
	if d == "zebra" {
		st.Other = "ospfd"
	}
	return st, nil
}

func (r *request) showRouter(st *routerStuff) error {
	return r.show("router", st.Daemon+" commands", "/router/"+st.Daemon, false, st)
}

// operatorWords are the first words of commands that look, or that set right
// without configuring; the first are for everybody.
var (
	viewerWords   = []string{"show"}
	operatorWords = []string{"show", "clear", "ping", "traceroute"}
)

// lookWords are what others than an admin may show, not abbreviated either.
var lookWords = []string{"ip", "ipv6", "interface", "zebra", "bfd", "nexthop-group", "route-map", "version", "thread", "memory", "work-queues"}

func mayRun(role Role) string {
	switch role {
	case Admin:
		return "any command"
	case Operator:
		return "commands that begin with " + strings.Join(operatorWords, ", ")
	case Viewer, Nobody:
	}
	return "show commands"
}

// permit tells whether the person may have a daemon run the command. Words
// are not abbreviated here: what a daemon would make of "sh" is its own affair.
func permit(role Role, command string) error {
	words := strings.Fields(command)
	switch {
	case len(words) == 0:
		return &fault{http.StatusBadRequest, "want a command"}
	case len(command) > 1000 || strings.ContainsFunc(command, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return &fault{http.StatusBadRequest, "want a command in one line"}
	}
	// A session is shared: nobody may leave it in configuration mode.
	if view.EntersConfiguration(command) {
		return &fault{http.StatusBadRequest, "lines of configuration go into the field for them, which enters and leaves configuration mode"}
	}
	allowed := viewerWords
	switch role {
	case Admin:
		return nil
	case Operator:
		allowed = operatorWords
	case Viewer, Nobody:
	}
	if !slices.Contains(allowed, words[0]) {
		return &fault{http.StatusForbidden, "the role " + role.String() + " may run " + mayRun(role)}
	}
	// Configurations hold passwords and keys.
	if words[0] == "show" && (len(words) < 2 || !slices.Contains(lookWords, words[1])) {
		return &fault{http.StatusForbidden, "the role " + role.String() + " may show " + strings.Join(lookWords, ", ")}
	}
	return nil
}

func routerCommand(r *request) error {
	st, err := routerStuffOf(r)
	if err != nil {
		return err
	}
	st.Command = strings.TrimSpace(r.PostFormValue("command"))
	if st.Command == "" {
		st.Command = r.PostFormValue("preset")
	}
	if err := permit(r.person.Role, st.Command); err != nil {
		r.audit(st.Daemon+": "+st.Command, "", "", err)
		return err
	}
	text, err := r.cfg.Deps.VTY(r.ctx, st.Daemon, st.Command)
	if !strings.HasPrefix(st.Command, "show ") {
		r.audit(st.Daemon+": "+st.Command, "", "", err)
	}
	st.Ran, st.Output = true, shorten(text)
	if err != nil {
		st.Error = err.Error()
	}
	return r.showRouter(st)
}

// shorten keeps an answer to what a page can hold.
func shorten(text string) string {
	if len(text) <= maxOutput {
		return text
	}
	return strings.ToValidUTF8(text[:maxOutput], "") + "\n... (the rest is too long for this page; srrsh shows all)"
}

func routerConfigure(r *request) error {
	st, err := routerStuffOf(r)
	if err != nil {
		return err
	}
	st.Lines = strings.ReplaceAll(r.PostFormValue("lines"), "\r", "")
	var lines []string
	for l := range strings.SplitSeq(st.Lines, "\n") {
		if strings.TrimSpace(l) != "" {
			lines = append(lines, strings.TrimRight(l, " \t"))
		}
	}
	if len(lines) == 0 {
		return &fault{http.StatusBadRequest, "want at least a line of configuration"}
	}
	before, err := r.cfg.Deps.VTY(r.ctx, st.Daemon, "show running-config")
	if err == nil {
		err = r.cfg.Deps.Configure(r.ctx, st.Daemon, lines)
	}
	after, aerr := r.cfg.Deps.VTY(r.ctx, st.Daemon, "show running-config")
	diff := strings.Join(changedLines(before, after), "\n")
	r.audit(st.Daemon+": configure "+strings.Join(lines, " / "), "", diff, err)
	st.Command, st.Ran = "configure", true
	st.Output = diff
	if diff == "" {
		st.Output = "the running configuration has not changed"
	}
	if err := errors.Join(err, aerr); err != nil {
		st.Error = err.Error()
	}
	return r.showRouter(st)
}
