package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"time"
)

// oneRequest sends a request over a connection of its own, all on the calling
// thread: that thread is in the namespace of the client, others are not.
func oneRequest(req *http.Request) (string, error) {
	host := req.URL.Host
	if req.URL.Port() == "" {
		host = net.JoinHostPort(host, "80")
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	c, err := dialer.DialContext(req.Context(), "tcp4", host)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	req.Close = true
	if err := req.Write(c); err != nil {
		return "", fmt.Errorf("GET %s: %w", req.URL, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		return "", fmt.Errorf("GET %s: %w", req.URL, err)
	}
	return pageOf(resp)
}
