package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
	"github.com/srrd/srrd/sidecar/internal/web"
)

// made runs srrd cert, which has to succeed.
func made(t *testing.T, args ...string) {
	t.Helper()
	if code, _, errs := srrd(append([]string{"cert"}, args...)...); code != exitOK {
		t.Fatalf("srrd cert %q: exit %d: %s", args, code, errs)
	}
}

// certificate reads a certificate that was made.
func certificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	der, err := readPEM(path, "CERTIFICATE")
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// onlyRead is a daemon that has a snapshot and nothing else.
type onlyRead struct{ web.Deps }

func (onlyRead) Read(context.Context) (*view.Snapshot, error) { return viewtest.Snapshot(), nil }

func TestCertificatesOfSrrdCertOpenThePagesWithTheirRoles(t *testing.T) {
	dir, foreign := t.TempDir(), t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	made(t, "ca", dir)
	made(t, "server", dir, "n1", "127.0.0.1")
	made(t, "client", dir, "alice")
	made(t, "client", dir, "bob", "--unit", "operators", "--unit", "guests")
	made(t, "client", dir, "dave")
	made(t, "ca", foreign)
	made(t, "client", foreign, "alice")

	s, err := web.New(web.Config{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Deps: onlyRead{},
		TLS: &web.TLS{Certificate: in("n1.pem"), Key: in("n1.key"), Clients: in("ca.pem"), Roles: map[string]web.Role{"alice": web.Admin, "OU=operators": web.Operator}}})
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
	roots.AddCert(certificate(t, in("ca.pem")))
	for _, tc := range []struct {
		name, dir, with string // with: "" for none
		host            string // the name asked for
		want            string // what the session says, or the error
	}{
		{"a name with a role", dir, "alice", "n1", `"role": "admin"`},
		{"a unit with a role", dir, "bob", "n1", `"role": "operator"`},
		{"by the address", dir, "alice", "127.0.0.1", `"role": "admin"`},
		{"a name without a role", dir, "dave", "n1", "dave has no role here"},
		{"the same name of another CA", foreign, "alice", "n1", "unknown certificate authority"},
		{"no certificate", dir, "", "n1", "certificate required"},
		{"a server's certificate for a person's", dir, "n1", "n1", "bad certificate"},
		{"a node of another name", dir, "alice", "n2", "valid for n1, not n2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conf := &tls.Config{RootCAs: roots, ServerName: tc.host, MinVersion: tls.VersionTLS13}
			if tc.with != "" {
				pair, err := tls.LoadX509KeyPair(filepath.Join(tc.dir, tc.with+".pem"), filepath.Join(tc.dir, tc.with+".key"))
				if err != nil {
					t.Fatal(err)
				}
				conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf}, Timeout: 5 * time.Second}
			defer client.CloseIdleConnections()
			got := ""
			if answer, err := client.Get(fmt.Sprintf("https://%s/api/v1/session", l.Addr())); err != nil {
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

func TestCertificatesAreMadeAsALabWantsThem(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "pki")
	made(t, "ca", dir)
	made(t, "server", dir, "n1.example", "10.1.1.11", "2001:db8::1")
	made(t, "server", dir, "10.1.1.12")
	made(t, "client", dir, "alice@example.net")
	ca := certificate(t, filepath.Join(dir, "ca.pem"))
	if !ca.IsCA || !ca.MaxPathLenZero || ca.CheckSignatureFrom(ca) != nil {
		t.Errorf("the CA: %+v", ca)
	}
	for name, want := range map[string]string{
		"n1.example":        "[n1.example] [10.1.1.11 2001:db8::1] [serverAuth]",
		"10.1.1.12":         "[] [10.1.1.12] [serverAuth]",
		"alice@example.net": "[] [] [clientAuth]",
	} {
		c := certificate(t, filepath.Join(dir, name+".pem"))
		if got := fmt.Sprint(c.DNSNames, " ", c.IPAddresses, " ", c.ExtKeyUsage); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if err := c.CheckSignatureFrom(ca); err != nil || c.Subject.CommonName != name || c.NotAfter.Sub(c.NotBefore) != leafLife+early || c.IsCA {
			t.Errorf("%s: %v; %s, from %s until %s", name, err, c.Subject, c.NotBefore, c.NotAfter)
		}
		if st, err := os.Stat(filepath.Join(dir, name+".key")); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: the key: %v, %v", name, st.Mode(), err)
		}
	}
}

func TestNothingIsOverwrittenUnasked(t *testing.T) {
	dir := t.TempDir()
	made(t, "ca", dir)
	before := certificate(t, filepath.Join(dir, "ca.pem"))
	code, out, errs := srrd("cert", "ca", dir)
	if code != exitError || out != "" || !strings.Contains(errs, "ca.pem is there already; --force") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if !certificate(t, filepath.Join(dir, "ca.pem")).Equal(before) {
		t.Error("the CA was overwritten")
	}
	made(t, "ca", dir, "--force")
	if certificate(t, filepath.Join(dir, "ca.pem")).Equal(before) {
		t.Error("--force left the CA")
	}
	made(t, "server", dir, "n1") // of the new CA
}

func TestSrrdCertRefusesWhatItCannotDo(t *testing.T) {
	dir, other, mixed := t.TempDir(), t.TempDir(), t.TempDir()
	made(t, "ca", dir)
	made(t, "ca", other)
	for from, name := range map[string]string{dir: "ca.pem", other: "ca.key"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(mixed, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no kind", nil, exitUsage, "want ca, server or client"},
		{"an unknown kind", []string{"vpn", dir}, exitUsage, `"vpn": want ca, server or client`},
		{"no directory", []string{"ca"}, exitUsage, "srrd cert ca DIR"},
		{"no CA", []string{"client", t.TempDir(), "alice"}, exitError, "srrd cert ca "},
		{"a key of another CA", []string{"client", mixed, "alice"}, exitError, "ca.key: not the key of ca.pem"},
		{"an address that is none", []string{"server", dir, "n1", "10.1.1"}, exitUsage, `"10.1.1": want an IP address`},
		{"a name that leads out", []string{"client", dir, "../alice"}, exitUsage, "want letters"},
		{"the CA's name", []string{"client", dir, "ca", "--force"}, exitUsage, "not ca"},
	} {
		code, out, errs := srrd(append([]string{"cert"}, tc.args...)...)
		if code != tc.code || out != "" || !strings.Contains(errs, tc.want) {
			t.Errorf("%s: exit %d, %q, %q; want %d, %q", tc.name, code, out, errs, tc.code, tc.want)
		}
	}
}
