package web

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// Role is what a person may do; each includes those before it.
type Role uint8

// The roles. Nobody may not even read.
const (
	Nobody Role = iota
	Viewer
	Operator
	Admin
)

func (r Role) String() string {
	switch r {
	case Nobody:
		return "nobody"
	case Viewer:
		return "viewer"
	case Operator:
		return "operator"
	case Admin:
		return "admin"
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// Person is who sent a request.
type Person struct {
	Name string
	Role Role
}

// TLS is how pages are served beyond the node itself. The files are read
// again when they change, so a renewed certificate needs no restart.
type TLS struct {
	Certificate, Key string // PEM files
	Clients          string // PEM file of the CAs that client certificates must come from
	// Roles maps subjects to roles: the common name ("alice"), or an attribute
	// with its name ("OU=operators", "O=example", "CN=alice"). The highest that
	// matches counts; none is Nobody.
	Roles map[string]Role
}

// role finds the role of a verified certificate.
func (t *TLS) role(c *x509.Certificate) Role {
	best := Nobody
	give := func(attribute string, values ...string) {
		for _, v := range values {
			if v != "" {
				best = max(best, t.Roles[attribute+"="+v])
			}
		}
	}
	best = max(best, t.Roles[c.Subject.CommonName])
	if c.Subject.CommonName == "" {
		best = Nobody
	}
	give("CN", c.Subject.CommonName)
	give("OU", c.Subject.OrganizationalUnit...)
	give("O", c.Subject.Organization...)
	return best
}

// files are certificate, key and client CAs as last read.
type files struct {
	from TLS

	mu     sync.Mutex // guards the rest
	stamps [3]time.Time
	made   *tls.Config
}

func (t *TLS) config() (*tls.Config, error) {
	f := &files{from: *t}
	if _, err := f.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert,
		NextProtos: protocols, // net/http looks here whether to speak HTTP/2 at all
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return f.load()
		},
	}, nil
}

// protocols are what both ends may agree on (ALPN), the best first.
var protocols = []string{"h2", "http/1.1"}

// load gives the configuration of the files as they are now. While a changed
// file cannot be read, the former one stays in force.
func (f *files) load() (*tls.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var stamps [3]time.Time
	for i, path := range []string{f.from.Certificate, f.from.Key, f.from.Clients} {
		if st, err := os.Stat(path); err == nil {
			stamps[i] = st.ModTime()
		}
	}
	if f.made != nil && stamps == f.stamps {
		return f.made, nil
	}
	c, err := f.read()
	if err != nil && f.made == nil {
		return nil, err
	}
	f.stamps = stamps
	if err == nil {
		f.made = c
	}
	return f.made, nil
}

func (f *files) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(f.from.Certificate, f.from.Key)
	if err != nil {
		return nil, fmt.Errorf("web.certificate and web.key: %w", err)
	}
	text, err := os.ReadFile(f.from.Clients)
	if err != nil {
		return nil, fmt.Errorf("web.clients: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("web.clients: %s: no certificate in it", f.from.Clients)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, NextProtos: protocols,
	}, nil
}

// localKey is where connContext leaves the person.
type localKey struct{}

// local is who the kernel says is at the other end, asked once a connection
// and only when a request comes.
type local func() (Person, error)

func (s *Server) connContext(ctx context.Context, c net.Conn) context.Context {
	if s.tls != nil {
		return ctx
	}
	return context.WithValue(ctx, localKey{}, local(sync.OnceValues(func() (Person, error) {
		l, err := netip.ParseAddrPort(c.LocalAddr().String())
		if err != nil {
			return Person{}, err
		}
		r, err := netip.ParseAddrPort(c.RemoteAddr().String())
		if err != nil {
			return Person{}, err
		}
		return s.cfg.Local(l, r)
	})))
}

var errNoPerson = errors.New("it is not known who asks")

// person tells who sent a request.
func (s *Server) person(r *http.Request) (Person, error) {
	if s.tls != nil {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			return Person{}, errNoPerson
		}
		cert := r.TLS.VerifiedChains[0][0]
		// A connection can outlive the certificate it was opened with.
		if now := s.cfg.Now(); now.After(cert.NotAfter) {
			return Person{}, fmt.Errorf("the certificate of %s ended at %s", cert.Subject, cert.NotAfter.Format(time.RFC3339))
		}
		name := cert.Subject.CommonName
		if name == "" {
			name = cert.Subject.String()
		}
		return Person{Name: name, Role: s.cfg.TLS.role(cert)}, nil
	}
	who, ok := r.Context().Value(localKey{}).(local)
	if !ok {
		return Person{}, errNoPerson
	}
	p, err := who()
	if err != nil {
		return Person{}, fmt.Errorf("%w: %w", errNoPerson, err)
	}
	return p, nil
}

// token is what a form must bring back: it shows that the form was given to
// this person by this run of srrd.
func (s *Server) token(p Person) string {
	mac := hmac.New(sha256.New, s.secret[:])
	mac.Write([]byte(p.Name))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

func (s *Server) tokenFits(p Person, token string) bool {
	return hmac.Equal([]byte(token), []byte(s.token(p)))
}

// hostFits refuses names that a foreign page may have pointed at a loopback
// address (DNS rebinding): over loopback only its own literals are answered.
func (s *Server) hostFits(host string) bool {
	if s.tls != nil {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	if name == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(name)
	return err == nil && a.IsLoopback()
}
