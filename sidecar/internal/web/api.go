package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// apiEndpoints is the API: the documents of package view, commands, and the
// watch stream. static/openapi.json describes each; a test holds them together.
func apiEndpoints() []endpoint {
	return []endpoint{
		{"GET /api/v1/session", Viewer, apiSession, false},
		{"GET /api/v1/services", Viewer, apiServices, false},
		{"GET /api/v1/services/{name}", Viewer, apiService, false},
		{"GET /api/v1/services/{name}/why", Viewer, apiWhy, false},
		{"POST /api/v1/services/{name}/{verb}", Operator, apiAct(aService), false},
		{"GET /api/v1/nodes", Viewer, apiNodes, false},
		{"GET /api/v1/nodes/{node}", Viewer, apiNode, false},
		{"POST /api/v1/node/{verb}", Operator, apiAct(theNode), false},
		{"POST /api/v1/cluster/{verb}", Operator, apiAct(theCluster), false},
		{"GET /api/v1/groups", Viewer, apiGroups, false},
		{"GET /api/v1/placements", Viewer, apiPlacements, false},
		{"GET /api/v1/checks", Viewer, apiChecks, false},
		{"GET /api/v1/addresses", Viewer, apiAddresses, false},
		{"GET /api/v1/routes", Viewer, apiRoutes, false},
		{"GET /api/v1/lsdb", Viewer, apiDatabase, false},
		{"GET /api/v1/events", Viewer, apiEvents, false},
		{"GET /api/v1/failovers", Viewer, apiFailovers, false},
		{"GET /api/v1/version", Viewer, apiVersion, false},
		{"GET /api/v1/config", Admin, apiConfig, false},
		{"POST /api/v1/reload", Admin, apiReload, false},
		{"POST /api/v1/daemon/reexec", Admin, apiReexec, false},
		{"GET /api/v1/shell", Viewer, apiShell, false},
		{"POST /api/v1/shell", Viewer, apiShellDo, false}, // the line tells who may
		{"GET /api/v1/watch", Viewer, watch, true},
		{"GET /api/v1/openapi.json", Viewer, apiDescription, false},
	}
}

// answer writes a document.
func (r *request) answer(v any) error {
	r.ResponseWriter.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(r.ResponseWriter)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		r.cfg.Log.Debug("an answer was not read to its end", "path", r.URL.Path, "err", err)
	}
	return nil
}

// document answers with what make makes of the snapshot.
func document(r *request, of func(*view.Snapshot) (any, error)) error {
	s, err := r.read()
	if err != nil {
		return err
	}
	d, err := of(s)
	if err != nil {
		return err
	}
	return r.answer(d)
}

// Session tells who one is here, and the token that changes need.
type Session struct {
	Name  string `json:"name"`
	Role  string `json:"role"`
	Token string `json:"token"`
}

func apiSession(r *request) error {
	return r.answer(Session{r.person.Name, r.person.Role.String(), r.token(r.person)})
}

func apiServices(r *request) error {
	return document(r, func(s *view.Snapshot) (any, error) { return s.ServicesDocument(r.now), nil })
}

func (r *request) service(s *view.Snapshot) (*machine.ServiceView, error) {
	if sv := s.Service(r.PathValue("name")); sv != nil {
		return sv, nil
	}
	return nil, &fault{http.StatusNotFound, fmt.Sprintf("there is no service %q", r.PathValue("name"))}
}

func apiService(r *request) error {
	return document(r, func(s *view.Snapshot) (any, error) {
		sv, err := r.service(s)
		if err != nil {
			return nil, err
		}
		return s.ServiceDocument(r.now, sv), nil
	})
}

func apiWhy(r *request) error {
	return document(r, func(s *view.Snapshot) (any, error) {
		sv, err := r.service(s)
		if err != nil {
			return nil, err
		}
		return s.WhyDocument(r.now, sv), nil
	})
}

func apiGroups(r *request) error {
	return document(r, func(s *view.Snapshot) (any, error) { return s.GroupsDocument(), nil })
}

func apiPlacements(r *request) error {
	return document(r, func(s *view.Snapshot) (any, error) { return s.PlacementsDocument(), nil })
}

func apiChecks(r *request) error {
	return document(r, func(s *view.Snapshot) (any, error) { return s.ChecksDocument(r.now), nil })
}

func apiNodes(r *request) error {
	return document(r, func(s *view.Snapshot) (any, error) { return s.NodesDocument(), nil })
}

func apiNode(r *request) error {
	return document(r, func(s *view.Snapshot) (any, error) {
		n := s.Node(r.PathValue("node"))
		if n == nil {
			return nil, &fault{http.StatusNotFound, fmt.Sprintf("there is no node %q", r.PathValue("node"))}
		}
		return s.NodeDocument(n), nil
	})
}

func apiAddresses(r *request) error {
	return document(r, func(s *view.Snapshot) (any, error) { return s.AddressesDocument(), nil })
}

func apiRoutes(r *request) error {
	return document(r, func(s *view.Snapshot) (any, error) { return s.RoutesDocument(), nil })
}

func apiDatabase(r *request) error {
	kind := r.URL.Query().Get("kind")
	if kind == "" {
		kind = "all"
	}
	if !slices.Contains(view.Kinds, kind) {
		return &fault{http.StatusBadRequest, fmt.Sprintf("there is no kind of LSA %q", kind)}
	}
	return document(r, func(s *view.Snapshot) (any, error) {
		return s.DatabaseDocument(r.now, kind, r.URL.Query().Get("detail") == "true"), nil
	})
}

// defaultEvents is how many events the shell shows without a number.
const defaultEvents = 50

func apiEvents(r *request) error {
	n := defaultEvents
	if text := r.URL.Query().Get("n"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 0 || n > view.MaxEvents {
			return &fault{http.StatusBadRequest, fmt.Sprintf("want a number from 0 to %d, got %q", view.MaxEvents, text)}
		}
	}
	return document(r, func(s *view.Snapshot) (any, error) {
		return s.EventsDocument(s.Events[max(0, len(s.Events)-n):]), nil
	})
}

// defaultFailovers is how many failovers the shell shows without a number.
const defaultFailovers = 20

func apiFailovers(r *request) error {
	return document(r, func(s *view.Snapshot) (any, error) {
		return s.FailoversDocument(s.Failovers[max(0, len(s.Failovers)-defaultFailovers):]), nil
	})
}

func apiVersion(r *request) error {
	return document(r, func(s *view.Snapshot) (any, error) { return s.VersionDocument(), nil })
}

func apiConfig(r *request) error {
	text, err := r.cfg.Deps.Config(r.ctx)
	if err != nil {
		return err
	}
	return r.answer(map[string]string{"config": text})
}

// answerText is the answer of a command, as that of the shell.
func (r *request) answerText(text string, err error) error {
	if err != nil {
		return &fault{http.StatusConflict, err.Error()}
	}
	return r.answer(map[string]string{"answer": text})
}

func apiReload(r *request) error {
	text, err := r.cfg.Deps.Reload(r.ctx)
	r.audit("reload", "", text, err)
	return r.answerText(text, err)
}

func apiReexec(r *request) error {
	text, err := r.cfg.Deps.Reexec(r.ctx, r.person.Name)
	r.audit("daemon reexec", "", text, err)
	return r.answerText(text, err)
}

// apiArguments is the body of a command; it may be empty.
type apiArguments struct {
	Node string `json:"node"`
	For  string `json:"for"`
	Sure bool   `json:"sure"`
}

func apiAct(of subject) func(*request) error {
	return func(r *request) error { return r.apiAct(of) }
}

func (r *request) apiAct(of subject) error {
	var a apiArguments
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil && !errors.Is(err, io.EOF) {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return tooMuch(err)
		}
		return &fault{http.StatusBadRequest, "the body is no JSON object with node, for and sure: " + err.Error()}
	}
	c, err := r.command(of, a.Node, a.For)
	if err != nil {
		return err
	}
	if c.Verb == machine.VerbConfirmStopped && !a.Sure {
		return &fault{http.StatusBadRequest, "confirm-stopped wants \"sure\": true: if the node still runs the service, data can be lost"}
	}
	return r.answerText(r.do(of, c))
}

func apiDescription(r *request) error {
	text, err := staticFiles.ReadFile("static/openapi.json")
	if err != nil {
		return err
	}
	r.ResponseWriter.Header().Set("Content-Type", "application/json")
	_, _ = r.ResponseWriter.Write(text)
	return nil
}
