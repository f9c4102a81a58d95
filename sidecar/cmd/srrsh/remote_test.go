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
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
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

// otherNode is the web server of another node: it tells what it was asked, and
// by whom.
type otherNode struct {
	*httptest.Server
	ca    string
	asked []string
}

const token = "0123"

func newOtherNode(t *testing.T) *otherNode {
	t.Helper()
	n := &otherNode{ca: filepath.Join(t.TempDir(), "ca.pem")}
	n.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code, answer := http.StatusOK, map[string]string{}
		line := r.URL.Query().Get("line")
		switch {
		case r.URL.Path == "/api/v1/session":
			answer["name"], answer["role"], answer["token"] = "alice", "operator", token
		case r.Method == http.MethodPost && r.Header.Get("X-SRRD-Token") != token:
			code, answer["error"] = http.StatusForbidden, "no token"
		case r.Method == http.MethodPost:
			var body struct{ Line string }
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			line = body.Line
			fallthrough
		default:
			n.asked = append(n.asked, r.Method+" "+line+" by "+r.TLS.PeerCertificates[0].Subject.CommonName)
			answer["answer"] = "n2 says so\n"
			switch {
			case strings.HasSuffix(line, "nonsense"):
				code, answer = http.StatusUnprocessableEntity, map[string]string{"error": "% unknown word\n"}
			case strings.HasSuffix(line, "reload"):
				code, answer = http.StatusForbidden, map[string]string{"error": "this needs the role admin; alice is operator"}
			case strings.HasSuffix(line, "drain"):
				n.CloseClientConnections()
			case strings.HasSuffix(line, "version"):
				w.WriteHeader(http.StatusBadGateway) // somebody else's web server
				return
			}
		}
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(answer) // the other end looks at what came
	}))
	n.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}
	n.Config.ErrorLog = log.New(io.Discard, "", 0)
	n.StartTLS()
	t.Cleanup(n.Close)
	if err := os.WriteFile(n.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: n.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *otherNode) at() string { return strings.TrimPrefix(n.URL, "https://") }

func TestACommandOfAnotherNodeIsCarriedOutThere(t *testing.T) {
	cert, key := certificate(t)
	n := newOtherNode(t)
	for _, c := range []struct {
		command string
		code    int
		text    string
		asked   string // "" if it is not
	}{
		{"show service", exitOK, "n2 says so\n", "GET -w 90 show service by alice"},
		{"why dns", exitOK, "n2 says so\n", "GET -w 90 why dns by alice"},
		{"service dns move n2 for 10m", exitOK, "n2 says so\n", "POST -w 90 service dns move n2 for 10m by alice"},
		{"node standby", exitOK, "n2 says so\n", "POST -w 90 node standby by alice"},
		{"ospf show ip ospf neighbor", exitOK, "n2 says so\n", "POST -w 90 ospf show ip ospf neighbor by alice"},
		{"a command of a newer srrd", exitOK, "n2 says so\n", "POST -w 90 a command of a newer srrd by alice"},
		{"nonsense", exitCommand, "% unknown word\n", "POST -w 90 nonsense by alice"},
		{"reload", exitCommand, "srrsh: @n2: this needs the role admin; alice is operator\n", "POST -w 90 reload by alice"},
		{"node drain", exitUnreachable, "srrsh: @n2: asking its web server at " + n.at() + ": EOF\n", "POST -w 90 node drain by alice"},
		{"show version", exitCommand, "srrsh: @n2: its web server at " + n.at() + " answers 502 Bad Gateway, and no shell's words: EOF\n", "GET -w 90 show version by alice"},
	} {
		n.asked = nil
		cl := &client{auth: credentials{cert, key, n.ca}, width: 90}
		if text, code := cl.remoteAt(t.Context(), "n2", n.at(), c.command); text != c.text || code != c.code {
			t.Errorf("%s: exit %d, %q", c.command, code, text)
		}
		if strings.Join(n.asked, "; ") != c.asked {
			t.Errorf("%s: it was asked %q, want %q", c.command, n.asked, c.asked)
		}
	}
	without := &client{auth: credentials{cert, key, ""}}
	if text, code := without.remoteAt(t.Context(), "n2", n.at(), "show service"); code != exitUnreachable || !strings.Contains(text, "authority") {
		t.Errorf("a server nobody vouches for: exit %d, %q", code, text)
	}
	n.Close()
	gone := &client{auth: credentials{cert, key, n.ca}}
	if text, code := gone.remoteAt(t.Context(), "n2", n.at(), "service dns stop"); code != exitUnreachable || !strings.Contains(text, "connection refused") {
		t.Errorf("a node that is gone: exit %d, %q", code, text)
	}
}

func TestWhatACommandOfAnotherNodeLacksIsSaid(t *testing.T) {
	for _, name := range []string{envCert, envKey, envCA} {
		t.Setenv(name, "")
	}
	socket, d := serveDaemon(t)
	for _, c := range []struct{ name, line, want string }{
		{"no such node", "@n9 show service", "srrsh: @n9: there is no node \"n9\"; did you mean \"n1\"?\n"},
		{"a node on loopback", "@n2 service dns stop", "srrsh: @n2: its pages are on loopback only: see web.listen and web.certificate\n"},
		{"a node that is away", "@n4 show service", "srrsh: @n4: it is unreachable, and has told of no pages that other nodes reach\n"},
		{"no certificate", "@n3 show service", "srrsh: @n3: another node wants a client certificate: give --cert and --key, and --ca for its own (or SRRSH_CERT, SRRSH_KEY and SRRSH_CA in the environment)\n"},
		{"no command", "@n3", "srrsh: a node and a command go behind @, such as @n2 show service\n"},
		{"what srrsh does itself", "@n3 watch", "srrsh: @n3: srrsh carries \"watch\" out itself, here: log in on n3 for it\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, _, errs := srrsh(t, "", "--socket", socket, "-c", c.line); code != exitCommand || errs != c.want {
				t.Errorf("exit %d, %q", code, errs)
			}
		})
	}
	if code, _, errs := srrsh(t, "", "--socket", socket, "--cert", "/none", "--key", "/none", "-c", "@n3 show service"); code != exitCommand || !strings.Contains(errs, "the client certificate: open /none") {
		t.Errorf("exit %d, %q", code, errs)
	}
	t.Setenv(envCert, "/nowhere")
	t.Setenv(envKey, "/nowhere")
	if code, _, errs := srrsh(t, "", "--socket", socket, "-c", "@n3 show service"); code != exitCommand || !strings.Contains(errs, "the client certificate: open /nowhere") {
		t.Errorf("by the environment: exit %d, %q", code, errs)
	}
	if len(d.asked) > 0 {
		t.Errorf("this node was asked for %v", <-d.asked)
	}
}

func TestACommandOfThisNodeByItsNameIsTheCommand(t *testing.T) {
	socket, d := serveDaemon(t)
	if code, out, errs := srrsh(t, "", "--socket", socket, "-c", "@n1 service dns stop"); code != exitOK || out != "stop dns: done\n" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if got := <-d.asked; got.Verb != machine.VerbStop || got.Service != "dns" {
		t.Errorf("asked for %+v", got)
	}
}
