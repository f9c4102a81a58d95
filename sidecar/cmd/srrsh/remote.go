package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/shell"
)

// credentials are what another node's web server knows this person by.
type credentials struct{ certificate, key, authority string }

// remoteTimeout bounds a command on another node, which may wait 75 s for a
// primitive or a drain there; dialTimeout how long it takes to find that the
// node is gone; maxRemote its answer, bytes.
const (
	remoteTimeout = 85 * time.Second
	dialTimeout   = 5 * time.Second
	maxRemote     = 32 << 20
)

// atNode takes `@NODE command` apart.
func atNode(line string) (node, command string, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "@")
	if !ok {
		return "", "", false
	}
	node, command, _ = strings.Cut(rest, " ")
	return node, strings.TrimSpace(command), true
}

// remote runs a command on another node, by its web server: where that is, its
// LSA tells, and what this person may do there, its roles. For this node it is
// the command itself.
func (c *client) remote(ctx context.Context, node, command string) (text string, code int) {
	if node == "" || command == "" {
		return "srrsh: a node and a command go behind @, such as @n2 show service\n", exitCommand
	}
	if e := shell.ErrandOf(command); e.Duty == shell.DutyClient {
		return sayOf(node, exitCommand, "srrsh carries %q out itself, here: log in on %s for it", command, node)
	}
	at, self, err := c.webOf(ctx, node)
	switch {
	case errors.Is(err, errUnreachable):
		return "srrsh: " + err.Error() + "\n", exitUnreachable
	case err != nil:
		return sayOf(node, exitCommand, "%v", err)
	case self:
		return c.ask(ctx, command)
	}
	return c.remoteAt(ctx, node, at.String(), command)
}

func sayOf(node string, code int, format string, args ...any) (string, int) {
	return "srrsh: @" + node + ": " + fmt.Sprintf(format, args...) + "\n", code
}

// remoteAt is remote for a server whose place is known.
func (c *client) remoteAt(ctx context.Context, node, at, command string) (text string, code int) {
	say := func(code int, format string, args ...any) (string, int) { return sayOf(node, code, format, args...) }
	client, err := c.auth.client()
	if err != nil {
		return say(exitCommand, "%v", err)
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	there := web{client, at}
	var a struct{ Answer, Error, Token string }
	var status int
	// What only looks is got. What does more needs the token that the node gives
	// this person for this run of its srrd.
	line := c.options() + command
	if shell.ErrandOf(command).Duty == shell.DutyLook {
		status, err = there.ask(ctx, http.MethodGet, "/api/v1/shell", url.Values{"line": {line}}, "", nil, &a)
	} else if status, err = there.ask(ctx, http.MethodGet, "/api/v1/session", nil, "", nil, &a); err == nil && status == http.StatusOK {
		status, err = there.ask(ctx, http.MethodPost, "/api/v1/shell", nil, a.Token, map[string]string{"line": line}, &a)
	}
	var strange *strangeAnswer
	switch {
	case errors.As(err, &strange):
		return say(exitCommand, "%v", err)
	case errors.Is(ctx.Err(), context.Canceled):
		return say(exitCommand, "interrupted; what was asked for may still happen")
	case err != nil:
		return say(exitUnreachable, "asking its web server at %s: %v", at, root(err))
	}
	switch status {
	case http.StatusOK:
		return a.Answer, exitOK
	case http.StatusUnprocessableEntity: // the words of its shell
		return a.Error, exitCommand
	}
	return say(exitCommand, "%s", a.Error)
}

// web is the web server of another node.
type web struct {
	client *http.Client
	at     string
}

// strangeAnswer is one that is not of a srrd.
type strangeAnswer struct {
	at, status string
	err        error
}

func (e *strangeAnswer) Error() string {
	return fmt.Sprintf("its web server at %s answers %s, and no shell's words: %v", e.at, e.status, e.err)
}

func (e *strangeAnswer) Unwrap() error { return e.err }

// ask sends one request and reads the answer into a. The error is that of the
// way there, or a *strangeAnswer.
func (w web) ask(ctx context.Context, method, path string, query url.Values, token string, body, a any) (status int, err error) {
	var send io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		send = bytes.NewReader(text)
	}
	to := url.URL{Scheme: "https", Host: w.at, Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, to.String(), send)
	if err != nil {
		return 0, err
	}
	if token != "" {
		req.Header.Set("X-SRRD-Token", token)
	}
	answer, err := w.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxRemote)).Decode(a); err != nil {
		return 0, &strangeAnswer{w.at, answer.Status, err}
	}
	return answer.StatusCode, nil
}

// webOf asks the srrd of this node where another one serves, and whether it is
// this one.
func (c *client) webOf(ctx context.Context, node string) (at netip.AddrPort, self bool, err error) {
	text, err := c.exec(ctx, "-o json show node "+node)
	if err != nil {
		if text = strings.TrimSpace(text); text != "" && !errors.Is(err, errUnreachable) {
			_, why, _ := strings.Cut(text, "% ")
			return at, false, errors.New(strings.TrimSpace(why))
		}
		return at, false, err
	}
	var d struct {
		Nodes []struct {
			Web    string
			Self   bool
			Status string
		}
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return at, false, fmt.Errorf("srrd tells nothing of it that can be read: %w", err)
	}
	if len(d.Nodes) != 1 {
		return at, false, errors.New("srrd tells nothing of it")
	}
	n := d.Nodes[0]
	if n.Self {
		return at, true, nil
	}
	if at, err = netip.ParseAddrPort(n.Web); err == nil && !at.Addr().IsLoopback() {
		return at, false, nil
	}
	text = "its pages are on loopback only: see web.listen and web.certificate"
	if n.Status != "present" {
		text = "it is " + n.Status + ", and has told of no pages that other nodes reach"
	}
	return at, false, errors.New(text)
}

// client makes an HTTPS client, TLS 1.3 as the servers want it.
func (a credentials) client() (*http.Client, error) {
	if a.certificate == "" || a.key == "" {
		return nil, errors.New("another node wants a client certificate: give --cert and --key, and --ca for its own (or SRRSH_CERT, SRRSH_KEY and SRRSH_CA in the environment)")
	}
	pair, err := tls.LoadX509KeyPair(a.certificate, a.key)
	if err != nil {
		return nil, fmt.Errorf("the client certificate: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	if a.authority != "" {
		text, err := os.ReadFile(a.authority)
		if err != nil {
			return nil, fmt.Errorf("the authority of the servers: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("the authority of the servers: %s holds no certificate", a.authority)
		}
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout}}, nil
}
