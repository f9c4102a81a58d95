package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// credentials are what another node's web server knows this person by.
type credentials struct{ certificate, key, authority string }

// remoteTimeout bounds a command on another node; maxRemote its answer, bytes.
const (
	remoteTimeout = 30 * time.Second
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

// remote runs a command that only looks on another node, by its web server:
// where that is, its LSA tells.
func (c *client) remote(ctx context.Context, node, command string) (text string, code int) {
	if node == "" || command == "" {
		return "srrsh: a node and a command go behind @, such as @n2 show service\n", exitCommand
	}
	at, err := c.webOf(ctx, node)
	switch {
	case errors.Is(err, errUnreachable):
		return "srrsh: " + err.Error() + "\n", exitUnreachable
	case err != nil:
		return sayOf(node, exitCommand, "%v", err)
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
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	line := url.URL{Scheme: "https", Host: at, Path: "/api/v1/shell", RawQuery: url.Values{"line": {c.options() + command}}.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, line.String(), nil)
	if err != nil {
		return say(exitCommand, "%v", err)
	}
	answer, err := client.Do(req)
	if err != nil {
		return say(exitUnreachable, "asking its web server: %v", root(err))
	}
	defer answer.Body.Close()
	var a struct{ Answer, Error string }
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxRemote)).Decode(&a); err != nil {
		return say(exitCommand, "its web server at %s answers %s, and no shell's words: %v", at, answer.Status, err)
	}
	switch answer.StatusCode {
	case http.StatusOK:
		return a.Answer, exitOK
	case http.StatusUnprocessableEntity: // the words of its shell
		return a.Error, exitCommand
	}
	return say(exitCommand, "%s", a.Error)
}

// webOf asks the srrd of this node where another one serves.
func (c *client) webOf(ctx context.Context, node string) (netip.AddrPort, error) {
	text, err := c.exec(ctx, "-o json show node "+node)
	if err != nil {
		if text = strings.TrimSpace(text); text != "" && !errors.Is(err, errUnreachable) {
			_, why, _ := strings.Cut(text, "% ")
			return netip.AddrPort{}, errors.New(why)
		}
		return netip.AddrPort{}, err
	}
	var d struct {
		Nodes []struct{ Web string }
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil || len(d.Nodes) != 1 {
		return netip.AddrPort{}, fmt.Errorf("srrd tells nothing of it that can be read: %w", err)
	}
	at, err := netip.ParseAddrPort(d.Nodes[0].Web)
	if err != nil || at.Addr().IsLoopback() {
		return netip.AddrPort{}, errors.New("it serves no pages that other nodes reach: give its srrd web.listen with a certificate")
	}
	return at, nil
}

// client makes an HTTPS client, TLS 1.3 as the servers want it.
func (a credentials) client() (*http.Client, error) {
	if a.certificate == "" || a.key == "" {
		return nil, errors.New("another node wants a client certificate: give --cert and --key, and --ca for its own")
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
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}, nil
}
