package web

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
)

// Every address, and what each role gets there.
func TestEveryAddressAsksForItsRole(t *testing.T) {
	least := map[string]Role{
		"POST /service/{name}/{verb}": Operator, "POST /node/{verb}": Operator, "POST /cluster/{verb}": Operator, "POST /router/{daemon}/configure": Admin,
		"POST /admin/reload": Admin, "POST /admin/reexec": Admin, "POST /admin/shutdown": Admin,
		"POST /api/v1/services/{name}/{verb}": Operator, "POST /api/v1/node/{verb}": Operator, "POST /api/v1/cluster/{verb}": Operator, "POST /api/v1/reload": Admin, "POST /api/v1/daemon/reexec": Admin,
		"POST /config/{name}": Admin, "POST /config/{name}/delete": Admin, "POST /config-new": Admin, "GET /config/{name}": Admin, "GET /config-new": Admin, "GET /api/v1/config": Admin,
	}
	fill := strings.NewReplacer("{name}", "dns", "{verb}", "reload", "{daemon}", "ospfd", "{node}", "n1", "{$}", "")
	s, _ := newServer(t, Viewer)
	for _, e := range s.endpoints() {
		want, ok := least[e.pattern]
		if !ok {
			want = Viewer
		}
		if e.least != want {
			t.Errorf("%s is for %s, want %s", e.pattern, e.least, want)
		}
		if e.stream {
			continue
		}
		method, path, _ := strings.Cut(fill.Replace(e.pattern), " ")
		for role := Nobody; role <= Admin; role++ {
			s, f := newServer(t, role)
			var w *httptest.ResponseRecorder
			if method == "POST" {
				w = post(t, s, path, nil)
			} else {
				w = get(t, s, path)
			}
			if role < want && w.Code != http.StatusForbidden {
				t.Errorf("%s as %s: status %d, want 403", e.pattern, role, w.Code)
			}
			if role < want && len(f.asked)+len(f.lines)+f.down > 0 {
				t.Errorf("%s as %s was done", e.pattern, role)
			}
			if role >= want && method == "GET" && w.Code >= 400 && w.Code != http.StatusNotFound {
				t.Errorf("%s as %s: status %d: %s", e.pattern, role, w.Code, w.Body)
			}
		}
	}
}

func TestAPostNeedsSameOriginAndToken(t *testing.T) {
	p := Person{"alice", Admin}
	for _, tc := range []struct {
		name   string
		token  string
		header map[string]string
		host   string
		want   int
	}{
		{"token and same origin", "fits", map[string]string{"Origin": "http://127.0.0.1:8222", "Sec-Fetch-Site": "same-origin"}, "", 303},
		{"token, and no browser", "fits", nil, "", 303},
		{"no token", "", map[string]string{"Sec-Fetch-Site": "same-origin"}, "", 403},
		{"a token of somebody else", "other", nil, "", 403},
		{"another site", "fits", map[string]string{"Sec-Fetch-Site": "cross-site"}, "", 403},
		{"another port of this host", "fits", map[string]string{"Sec-Fetch-Site": "same-site"}, "", 403},
		{"another origin, in an old browser", "fits", map[string]string{"Origin": "http://evil.example"}, "", 403},
		{"an opaque origin", "fits", map[string]string{"Origin": "null"}, "", 403},
		{"a name that was pointed at loopback", "fits", nil, "evil.example:8222", 421},
		{"localhost through a tunnel", "fits", nil, "localhost:9000", 303},
		{"loopback of IPv6", "fits", nil, "[::1]:8222", 303},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, f := newServer(t, Admin)
			token := map[string]string{"fits": s.token(p), "other": s.token(Person{"bob", Admin})}[tc.token]
			r := httptest.NewRequest("POST", "/service/dns/stop", strings.NewReader(url.Values{"token": {token}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for k, v := range tc.header {
				r.Header.Set(k, v)
			}
			if r.Host = "127.0.0.1:8222"; tc.host != "" {
				r.Host = tc.host
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, as(r, p))
			if w.Code != tc.want || (len(f.asked) > 0) != (tc.want == 303) {
				t.Errorf("status %d, want %d; asked %v; %s", w.Code, tc.want, f.asked, w.Body)
			}
		})
	}
}

func TestOneRunsTokenIsNotTheNexts(t *testing.T) {
	cfg := Config{Listen: netip.MustParseAddrPort("127.0.0.1:1"), Deps: &fakeDaemon{}, Local: func(_, _ netip.AddrPort) (Person, error) { return Person{}, nil }}
	a, errA := New(cfg)
	b, errB := New(cfg)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if p := (Person{"alice", Admin}); a.tokenFits(p, b.token(p)) || !a.tokenFits(p, a.token(p)) {
		t.Error("the token outlives the run")
	}
}

func TestANewServerIsSafeOrRefused(t *testing.T) {
	local := func(_, _ netip.AddrPort) (Person, error) { return Person{}, nil }
	dir := t.TempDir()
	ca := newCA(t, "ca")
	cert, key := ca.issue(t, "n1", nil, time.Hour).write(t, dir, "n1")
	clients := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(clients, ca.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, listen string
		tls          *TLS
		local        func(_, _ netip.AddrPort) (Person, error)
		want         string // "" if it is made
	}{
		{"plain on loopback", "127.0.0.1:0", nil, local, ""},
		{"plain on loopback of IPv6", "[::1]:0", nil, local, ""},
		{"plain beyond", "10.0.0.1:80", nil, local, "10.0.0.1:80 is no loopback address: pages there want HTTPS"},
		{"plain everywhere", "0.0.0.0:80", nil, local, "want HTTPS"},
		{"plain, and nobody tells who it is", "127.0.0.1:0", nil, nil, "nothing tells who connects"},
		{"HTTPS", "0.0.0.0:0", &TLS{Certificate: cert, Key: key, Clients: clients}, nil, ""},
		{"HTTPS without a key", "0.0.0.0:0", &TLS{Certificate: cert, Key: empty, Clients: clients}, nil, "web.certificate and web.key"},
		{"HTTPS without CAs", "0.0.0.0:0", &TLS{Certificate: cert, Key: key, Clients: filepath.Join(dir, "none")}, nil, "web.clients"},
		{"HTTPS with an empty file of CAs", "0.0.0.0:0", &TLS{Certificate: cert, Key: key, Clients: empty}, nil, "no certificate in it"},
	} {
		_, err := New(Config{Listen: netip.MustParseAddrPort(tc.listen), TLS: tc.tls, Local: tc.local, Deps: &fakeDaemon{}})
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestEveryAnswerCarriesTheHeaders(t *testing.T) {
	s, _ := newServer(t, Viewer)
	for _, path := range []string{"/", "/service/none", "/api/v1/nodes", "/static/style.css", "/no/such/page", "/healthz"} {
		h := get(t, s, path).Header()
		for k, want := range map[string]string{"Content-Security-Policy": csp, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin"} {
			if h.Get(k) != want {
				t.Errorf("%s: %s is %q", path, k, h.Get(k))
			}
		}
	}
	w := get(t, s, "/static/style.css")
	r := httptest.NewRequest("GET", "/static/style.css", nil)
	r.Header.Set("If-None-Match", w.Header().Get("ETag"))
	if w := ask(t, s, r); w.Code != http.StatusNotModified {
		t.Errorf("what has not changed: status %d", w.Code)
	}
}

func TestWhatIsTooMuchIsRefused(t *testing.T) {
	s, f := newServer(t, Admin)
	if w := post(t, s, "/service/dns/stop", url.Values{"x": {strings.Repeat("x", maxBody)}}); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a big form: status %d", w.Code)
	}
	r := httptest.NewRequest("POST", "/api/v1/services/dns/stop", strings.NewReader(`{"node":"`+strings.Repeat("x", maxBody)+`"}`))
	r.Header.Set("X-SRRD-Token", s.token(Person{"alice", Admin}))
	if w := ask(t, s, r); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a big body: status %d", w.Code)
	}
	for range maxRequests {
		s.requests <- struct{}{}
	}
	if w := get(t, s, "/"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("one request too many: status %d", w.Code)
	}
	if w := get(t, s, "/healthz"); w.Code != 200 {
		t.Errorf("a probe waits behind readers: status %d", w.Code)
	}
	if len(f.asked) > 0 {
		t.Errorf("asked %v", f.asked)
	}
}

func TestAHandlerThatPanicsIsAnAnswer(t *testing.T) {
	s, _ := newServer(t, Admin)
	h := s.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("bad") }))
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusInternalServerError {
		t.Errorf("status %d", w.Code)
	}
}

func TestAChangeLeavesALineInTheAuditLog(t *testing.T) {
	var log bytes.Buffer
	s, f := newServer(t, Admin, func(c *Config) { c.Audit = slog.New(slog.NewTextHandler(&log, nil)) })
	post(t, s, "/service/dns/move", url.Values{"node": {"n2"}, "for": {"10m"}})
	for _, want := range []string{"who=alice", "role=admin", `what="service dns move n2 for 10m0s"`, `before="active/started, runs on n1"`, "outcome=done"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %s", want, log.String())
		}
	}
	log.Reset()
	f.refusal = errors.New("it is not moved")
	post(t, s, "/service/dns/unmove", nil)
	if !strings.Contains(log.String(), `outcome="refused: it is not moved"`) || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("a refusal: %s", log.String())
	}
	log.Reset()
	v, _ := newServer(t, Viewer, func(c *Config) { c.Audit = slog.New(slog.NewTextHandler(&log, nil)) })
	post(t, v, "/service/dns/stop", nil)
	if !strings.Contains(log.String(), "who=alice") || !strings.Contains(log.String(), "needs the role operator") {
		t.Errorf("an attempt: %s", log.String())
	}
}

func TestProbesTellWhetherTheNodeTakesPart(t *testing.T) {
	s, f := newServer(t, Nobody) // probes have no person
	for _, path := range []string{"/healthz", "/readyz"} {
		if w := get(t, s, path); w.Code != 200 || w.Body.String() != "ok\n" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	f.snapshot.Machine.OSPF.InSync = false
	if w := get(t, s, "/readyz"); w.Code != 503 || !strings.Contains(w.Body.String(), "not in sync") {
		t.Errorf("out of sync: %d %s", w.Code, w.Body)
	}
	f.readErr = context.DeadlineExceeded
	if w := get(t, s, "/healthz"); w.Code != 503 {
		t.Errorf("an owner that hangs: %d", w.Code)
	}
}

func TestConnectionsBeyondTheLimitCostTheLongestIdle(t *testing.T) {
	c := &connections{max: 3, all: map[net.Conn]*tenure{}}
	open := func() net.Conn {
		a, b := net.Pipe()
		t.Cleanup(func() { a.Close(); b.Close() })
		c.track(a, http.StateNew)
		return a
	}
	first, second, third := open(), open(), open()
	c.track(first, http.StateActive)
	c.track(second, http.StateActive)
	c.track(second, http.StateIdle)
	open()
	// third is idle since it came, second only since later.
	if _, err := third.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the longest idle lives: %v", err)
	}
	if len(c.all) != 3 || c.all[first] == nil || c.all[second] == nil {
		t.Errorf("%d connections", len(c.all))
	}
}

// authority is a small CA.
type authority struct{ *pair }

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	der  []byte
}

func newCA(t *testing.T, name string) *authority {
	t.Helper()
	return &authority{sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour)}, nil)}
}

func (a *authority) issue(t *testing.T, name string, units []string, valid time.Duration) *pair {
	t.Helper()
	return sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name, OrganizationalUnit: units}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(valid),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}, a.pair)
}

func sign(t *testing.T, tmpl *x509.Certificate, by *pair) *pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl.SerialNumber = big.NewInt(time.Now().UnixNano())
	parent, with := tmpl, key
	if by != nil {
		parent, with = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, with)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &pair{cert, key, der}
}

func (p *pair) pem() []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.der}) }

func (p *pair) write(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for path, text := range map[string][]byte{cert: p.pem(), key: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func (p *pair) tls() []tls.Certificate {
	return []tls.Certificate{{Certificate: [][]byte{p.der}, PrivateKey: p.key}}
}

// refusal reads from a fresh connection the alert that the server is to send by
// itself, however busy the machine is.
func refusal(conn *tls.Conn) error {
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	return err
}

func TestCertificatesGiveRolesAndNothingElseGetsIn(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	ca, foreign := newCA(t, "ca"), newCA(t, "foreign")
	cert, key := ca.issue(t, "n1", nil, time.Hour).write(t, dir, "n1")
	clients := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(clients, ca.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Deps: &fakeDaemon{snapshot: viewtest.Snapshot(), answer: "done"},
		TLS: &TLS{Certificate: cert, Key: key, Clients: clients, Roles: map[string]Role{"alice": Admin, "OU=operators": Operator, "CN=carol": Viewer}}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, l) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, tc := range []struct {
		name string
		with *pair
		max  uint16
		want string // what the session says, or the error; over HTTP/2 as browsers do
		out  bool   // the server refuses the connection
	}{
		{"a name with a role", ca.issue(t, "alice", nil, time.Hour), 0, `"role": "admin"`, false},
		{"a unit with a role", ca.issue(t, "bob", []string{"guests", "operators"}, time.Hour), 0, `"role": "operator"`, false},
		{"a name given as an attribute", ca.issue(t, "carol", nil, time.Hour), 0, `"role": "viewer"`, false},
		{"nobody's name", ca.issue(t, "dave", nil, time.Hour), 0, "dave has no role here", false},
		{"no certificate", nil, 0, "certificate required", true},
		{"a certificate of another CA", foreign.issue(t, "alice", nil, time.Hour), 0, "unknown certificate authority", true},
		{"a certificate that has ended", ca.issue(t, "alice", nil, -time.Hour), 0, "expired certificate", true},
		{"TLS 1.2", ca.issue(t, "alice", nil, time.Hour), tls.VersionTLS12, "protocol version not supported", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conf := &tls.Config{RootCAs: roots, MaxVersion: tc.max}
			if tc.with != nil {
				// A certificate the server did not ask for by name is sent too.
				conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tc.with.tls()[0], nil }
			}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}, Timeout: time.Minute}
			defer client.CloseIdleConnections()
			got := ""
			// In TLS 1.3 a server refuses a client's certificate after the client
			// has its handshake: who only reads is sure to get the reason.
			if tc.out {
				conn, err := tls.Dial("tcp", l.Addr().String(), conf)
				if err == nil {
					err = refusal(conn)
				}
				got = fmt.Sprint(err)
			} else if answer, err := client.Get(fmt.Sprintf("https://%s/api/v1/session", l.Addr())); err != nil {
				got = err.Error()
			} else {
				text, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				got = string(text)
			}
			if !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
