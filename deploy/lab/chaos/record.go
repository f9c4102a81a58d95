package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/srrd/srrd/deploy/lab"
)

// recordLen is how long a record is in the store: number, claim, node.
const recordLen = 64

// ServeRecords takes numbered records on TCP until ctx ends: a line with the
// number comes, it is written to the store, and the number goes back. The place
// in the file is this process's own count, as it is with a file system that is
// mounted: where two write to one store, they overwrite each other's records,
// and acknowledged ones are lost.
func ServeRecords(ctx context.Context, addr netip.AddrPort, store, node string, claim uint64, ready func() error) error {
	f, err := os.OpenFile(store, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("records: %w", err)
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("records: %w", err)
	}
	l, err := net.Listen("tcp4", addr.String())
	if err != nil {
		return fmt.Errorf("records: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, func() { l.Close() })()
	if err := ready(); err != nil {
		return errors.Join(err, l.Close())
	}
	s := &recordStore{f: f, at: end - end%recordLen, node: node, claim: claim}
	g.Go(func() error {
		for {
			c, err := l.Accept()
			if err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("records: %w", err)
			}
			g.Go(func() error {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				return s.serve(c)
			})
		}
	})
	return g.Wait()
}

type recordStore struct {
	mu    sync.Mutex
	f     *os.File
	at    int64
	node  string
	claim uint64
}

// serve answers one client; only a store that cannot be written is an error.
func (s *recordStore) serve(c net.Conn) error {
	in := bufio.NewScanner(c)
	for in.Scan() {
		n, err := strconv.ParseUint(in.Text(), 10, 64)
		if err != nil {
			return nil // a stranger
		}
		if err := s.write(n); err != nil {
			return fmt.Errorf("records: %w", err)
		}
		if _, err := fmt.Fprintf(c, "%d %s\n", n, s.node); err != nil {
			return nil // not acknowledged: the client asks again
		}
	}
	return nil
}

func (s *recordStore) write(n uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprintf("%d %d %s", n, s.claim, s.node)
	if _, err := s.f.WriteAt(fmt.Appendf(nil, "%-*s\n", recordLen-1, line), s.at); err != nil {
		return err
	}
	s.at += recordLen
	return nil
}

// readStore returns the numbers of the records a store holds.
func readStore(path string) (map[uint64]bool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("records: %w", err)
	}
	have := map[uint64]bool{}
	for line := range strings.Lines(string(b)) {
		var n uint64
		if _, err := fmt.Sscan(line, &n); err != nil {
			return nil, fmt.Errorf("records: %s: %q is none", path, strings.TrimSpace(line))
		}
		have[n] = true
	}
	return have, nil
}

// Ack is a record that was acknowledged.
type Ack struct {
	Number uint64
	At     time.Time
	By     string
}

// The pace of the writer.
const (
	writeEvery   = 25 * time.Millisecond
	writeTimeout = 500 * time.Millisecond
)

// Writer is a client that writes records one after the other: the next number
// when the last one is acknowledged.
type Writer struct {
	lab  *lab.Lab
	host string
	to   netip.AddrPort
	mu   sync.Mutex
	acks []Ack
}

// Run writes until ctx ends.
func (w *Writer) Run(ctx context.Context) {
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	var c net.Conn
	var in *bufio.Reader
	drop := func() {
		if c != nil {
			c.Close()
		}
		c = nil
	}
	defer drop()
	for n := uint64(1); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if c == nil {
			var err error
			if c, err = w.dial(); err != nil {
				c = nil
				continue
			}
			in = bufio.NewReader(c)
		}
		by, err := ask(c, in, n)
		if err != nil {
			drop()
			continue
		}
		w.mu.Lock()
		w.acks = append(w.acks, Ack{n, time.Now(), by})
		w.mu.Unlock()
		n++
	}
}

func (w *Writer) dial() (c net.Conn, err error) {
	err = w.lab.Do(w.host, func() error {
		c, err = net.DialTimeout("tcp4", w.to.String(), writeTimeout)
		return err
	})
	return c, err
}

func ask(c net.Conn, in *bufio.Reader, n uint64) (by string, err error) {
	if err := c.SetDeadline(time.Now().Add(writeTimeout)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c, "%d\n", n); err != nil {
		return "", err
	}
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	var got uint64
	if _, err := fmt.Sscan(line, &got, &by); err != nil || got != n {
		return "", fmt.Errorf("asked for record %d, got %q", n, line)
	}
	return by, nil
}

// Last returns the newest acknowledgement, if there is one.
func (w *Writer) Last() (Ack, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.acks) == 0 {
		return Ack{}, false
	}
	return w.acks[len(w.acks)-1], true
}

// Acks returns what was acknowledged so far.
func (w *Writer) Acks() []Ack {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Ack(nil), w.acks...)
}
