package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate makes one that signs itself, and is good for this test alone.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "alice"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", pkcs8)
}

func TestACommandOfAnotherNodeIsAskedOfItsWebServer(t *testing.T) {
	cert, key := certificate(t)
	var asked, who string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, who = r.URL.Query().Get("line"), r.TLS.PeerCertificates[0].Subject.CommonName
		code, answer := http.StatusOK, map[string]string{"answer": "n2 says so\n"}
		switch {
		case strings.HasSuffix(asked, "nonsense"):
			code, answer = http.StatusUnprocessableEntity, map[string]string{"error": "% unknown word\n"}
		case strings.HasSuffix(asked, "reload"):
			code, answer = http.StatusForbidden, map[string]string{"error": "only show commands"}
		}
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(answer) // the other end looks at what came
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	auth := credentials{cert, key, ca}
	for _, c := range []struct {
		command string
		code    int
		text    string
	}{
		{"show service", exitOK, "n2 says so\n"},
		{"nonsense", exitCommand, "% unknown word\n"},
		{"reload", exitCommand, "srrsh: @n2: only show commands\n"},
	} {
		cl := &client{auth: auth, width: 90}
		if text, code := cl.remoteAt(t.Context(), "n2", strings.TrimPrefix(s.URL, "https://"), c.command); text != c.text || code != c.code {
			t.Errorf("%s: exit %d, %q", c.command, code, text)
		}
		if asked != "-w 90 "+c.command || who != "alice" {
			t.Errorf("it was asked %q by %s", asked, who)
		}
	}
	without := &client{auth: credentials{cert, key, ""}}
	if text, code := without.remoteAt(t.Context(), "n2", strings.TrimPrefix(s.URL, "https://"), "show service"); code != exitUnreachable || !strings.Contains(text, "authority") {
		t.Errorf("a server nobody vouches for: exit %d, %q", code, text)
	}
}

func TestWhatACommandOfAnotherNodeLacksIsSaid(t *testing.T) {
	socket, _ := serveDaemon(t)
	for _, c := range []struct{ name, line, want string }{
		{"no such node", "@n9 show service", "srrsh: @n9: there is no node \"n9\"; did you mean \"n1\"?\n"},
		{"a node that serves nothing", "@n2 show service", "srrsh: @n2: it serves no pages that other nodes reach: give its srrd web.listen with a certificate\n"},
		{"no certificate", "@n1 show service", "srrsh: @n1: another node wants a client certificate: give --cert and --key, and --ca for its own\n"},
		{"no command", "@n1", "srrsh: a node and a command go behind @, such as @n2 show service\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, _, errs := srrsh(t, "", "--socket", socket, "-c", c.line); code != exitCommand || errs != c.want {
				t.Errorf("exit %d, %q", code, errs)
			}
		})
	}
	if code, _, errs := srrsh(t, "", "--socket", socket, "--cert", "/none", "--key", "/none", "-c", "@n1 show service"); code != exitCommand || !strings.Contains(errs, "the client certificate: open /none") {
		t.Errorf("exit %d, %q", code, errs)
	}
}
