package web

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// Deps is what the pages need of the daemon. Every call ends with its context.
type Deps interface {
	// Read gives a snapshot of now (view.Board.Read).
	Read(ctx context.Context) (*view.Snapshot, error)
	// Ask sends a command to the owner and waits for its answer. The error is
	// the refusal, in words for the person who asked.
	Ask(ctx context.Context, c machine.Command) (text string, err error)
	// VTY runs a command of a routing daemon, "ospfd" or "zebra". The text is
	// what it printed, also beside an error.
	VTY(ctx context.Context, daemon, command string) (text string, err error)
	// Configure gives a routing daemon lines of configuration.
	Configure(ctx context.Context, daemon string, lines []string) error
	// Reload reads the configuration files again; on error the old
	// configuration stays in force.
	Reload(ctx context.Context) (text string, err error)
	// Config gives the configuration in force, as text.
	Config(ctx context.Context) (text string, err error)
	// Reexec has srrd re-execute itself for who. It returns why that is not to be,
	// or as soon as the new binary has proven itself; the answer to this request
	// is awaited before it takes over.
	Reexec(ctx context.Context, who string) (text string, err error)
	// Shutdown stops the services in order and then srrd. It returns at once.
	Shutdown(ctx context.Context) error
}

// Command is one command of the shell, for the help page.
type Command struct{ Usage, Help, Long string }

// Config is what a Server is made of. Listen and Deps are needed, and Local
// or TLS.
type Config struct {
	Listen netip.AddrPort
	TLS    *TLS // nil: plain HTTP, on a loopback address only
	// Local tells who is at the other end of a connection over loopback.
	Local func(local, remote netip.AddrPort) (Person, error)

	Deps     Deps
	Files    Files // nil: no configuration pages
	Commands []Command
	Shell    *Shell       // for srrsh on other nodes; nil: none
	Metrics  http.Handler // serves /metrics to whoever is at least a viewer; nil: none
	// Connections bounds how many there are at a time, where that must be less
	// than maxConnections; 0: it must not.
	Connections int

	// Secret is that of a server that this one follows in the same process, so
	// that forms it has sent are still good; zero: a new one.
	Secret [32]byte

	Log   *slog.Logger // nil: none
	Audit *slog.Logger // nil: Log
	Now   func() time.Time
}

// Server is the web face of one node. Use New.
type Server struct {
	cfg Config
	tls *tls.Config
	// pages parses the templates when the first is shown: on most nodes, most of
	// the time, nobody looks.
	pages    func() (pages, error)
	notices  notices
	secret   [32]byte // of the tokens; new in every run
	requests chan struct{}
	watchers *watchers
	charts   charts
	handler  http.Handler
}

// Bounds of what one server carries.
const (
	maxRequests    = 64        // at once, watchers not counted; more are told to come again
	maxWatchers    = 64        //
	maxConnections = 512       // beyond it the longest idle one is closed
	maxBody        = 256 << 10 // bytes of a POST
	maxHeader      = 16 << 10  // bytes
)

// Times of one connection. A page that needs a primitive's output waits for
// it, so writing may take longer than reading.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	writeTimeout  = 90 * time.Second
	idleTimeout   = 60 * time.Second
	askTimeout    = 75 * time.Second // for what srrd is asked; below writeTimeout, so that the answer gets out
	closeTimeout  = 2 * time.Second  // for requests under way when srrd ends
)

// New checks that the server would be safe, reads its certificates and
// templates, and opens nothing.
func New(cfg Config) (*Server, error) {
	loopback := cfg.Listen.Addr().Unmap().IsLoopback()
	switch {
	case cfg.Deps == nil:
		return nil, errors.New("web: no daemon to ask")
	case cfg.TLS == nil && !loopback:
		return nil, fmt.Errorf("web: %s is no loopback address: pages there want HTTPS: give web.certificate, web.key and web.clients, or listen on 127.0.0.1", cfg.Listen)
	case cfg.TLS == nil && cfg.Local == nil:
		return nil, errors.New("web: plain HTTP, and nothing tells who connects")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Audit == nil {
		cfg.Audit = cfg.Log
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, requests: make(chan struct{}, maxRequests), watchers: newWatchers(), pages: sync.OnceValues(parsePages)}
	if s.secret = cfg.Secret; s.secret == [32]byte{} {
		if _, err := rand.Read(s.secret[:]); err != nil {
			return nil, fmt.Errorf("web: making a secret: %w", err)
		}
	}
	var err error
	if cfg.TLS != nil {
		if s.tls, err = cfg.TLS.config(); err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
	}
	s.handler = s.guard(s.routes())
	return s, nil
}

// Secret is for the server that follows this one.
func (s *Server) Secret() [32]byte { return s.secret }

// ServeHTTP answers one request; Run serves it to the world. The person is
// taken from the connection (see Run) or the client certificate.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Listen opens the configured address.
func (s *Server) Listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.cfg.Listen.String())
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	return l, nil
}

// Run serves l until ctx ends; then it closes l and waits for what is under
// way, not for long.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	conns := &connections{max: min(cmp.Or(s.cfg.Connections, maxConnections), maxConnections), all: map[net.Conn]*tenure{}}
	srv := &http.Server{
		Handler: s, TLSConfig: s.tls, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ConnState:   conns.track,
		ConnContext: s.connContext,
		ErrorLog:    slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	if s.tls != nil {
		l = tls.NewListener(l, s.tls)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.watchers.run(ctx, s.cfg.Deps.Read) })
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("web: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if err := srv.Shutdown(short); err != nil {
			return srv.Close()
		}
		return nil
	})
	return g.Wait()
}

// routes is every address there is.
func (s *Server) routes() *http.ServeMux {
	m := http.NewServeMux()
	for _, e := range s.endpoints() {
		m.Handle(e.pattern, s.serve(e))
	}
	m.HandleFunc("GET /static/{file}", s.static)
	m.HandleFunc("GET /healthz", s.healthz)
	m.HandleFunc("GET /readyz", s.readyz)
	return m
}

// endpoint is one address, who may use it, and what it does.
type endpoint struct {
	pattern string
	least   Role
	do      func(*request) error
	stream  bool // answers for as long as the reader likes
}

func (s *Server) endpoints() []endpoint {
	all := []endpoint{
		{"GET /{$}", Viewer, overview, false},
		{"GET /services", Viewer, servicesPage, false},
		{"GET /service/{name}", Viewer, servicePage, false},
		{"POST /service/{name}/{verb}", Operator, serviceAct, false},
		{"GET /nodes", Viewer, nodesPage, false},
		{"POST /node/{verb}", Operator, nodeAct, false},
		{"POST /cluster/{verb}", Operator, clusterAct, false},
		{"GET /lsdb", Viewer, databasePage, false},
		{"GET /placement", Viewer, placementPage, false},
		{"GET /addresses", Viewer, addressesPage, false},
		{"GET /events", Viewer, eventsPage, false},
		{"GET /map", Viewer, mapPage, false},
		{"GET /router/{daemon}", Viewer, routerPage, false},
		{"POST /router/{daemon}", Viewer, routerCommand, false},
		{"POST /router/{daemon}/configure", Admin, routerConfigure, false},
		{"GET /admin", Viewer, adminPage, false},
		{"POST /admin/reload", Admin, adminReload, false},
		{"POST /admin/reexec", Admin, adminReexec, false},
		{"POST /admin/shutdown", Admin, adminShutdown, false},
		{"GET /help", Viewer, helpPage, false},
		{"GET /switch", Viewer, switchNode, false},
		{"GET /metrics", Viewer, metricsText, false},
		{"GET /{rest...}", Viewer, noPage, false},
	}
	all = append(all, configEndpoints()...)
	return append(all, apiEndpoints()...)
}

// noPage is what all other addresses answer, with the menu to go on from.
func noPage(*request) error { return &fault{http.StatusNotFound, "there is no such page"} }

// metricsText is for Prometheus.
func metricsText(r *request) error {
	if r.cfg.Metrics == nil {
		return &fault{http.StatusNotFound, "this server tells no metrics"}
	}
	r.cfg.Metrics.ServeHTTP(r.ResponseWriter, r.Request)
	return nil
}

// healthz: srrd answers.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	if _, err := s.cfg.Deps.Read(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// readyz: this node takes part in the cluster.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	v, err := s.cfg.Deps.Read(r.Context())
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case !v.Machine.OSPF.InSync, !v.Machine.Zebra.Up:
		words := view.OSPFWords(&v.Machine.OSPF) + "; zebra: " + view.SessionWords(s.cfg.Now(), v.Machine.Zebra.Up, v.Machine.Zebra.Why, v.Machine.Zebra.Since)
		http.Error(w, words, http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ok")
	}
}
