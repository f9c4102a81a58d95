package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ProbeConfig says what to probe. Target is required.
type ProbeConfig struct {
	Target netip.AddrPort
	// More targets take turns with Target: of K in all, each gets every Kth
	// datagram. See Prober.Reports.
	More     []netip.AddrPort
	Interval time.Duration // between datagrams; default 1 ms, at least 100 µs
	Grace    time.Duration // an answer after this is a loss; default 1 s
	// TCPEvery opens a connection to Target that often and asks GET /; 0: never.
	TCPEvery time.Duration
	// TCPTarget differs from Target where the service is not an answerer.
	TCPTarget netip.AddrPort
}

func (c *ProbeConfig) targets() []netip.AddrPort {
	return append([]netip.AddrPort{c.Target}, c.More...)
}

// Prober is a probe that runs. Its datagrams leave on an absolute schedule from
// a thread of its own; one that is late does not make the next late.
type Prober struct {
	cfg    ProbeConfig
	fd     int
	began  time.Time
	base   int64 // CLOCK_MONOTONIC at began
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	sent     sampleLog
	names    []string // index into it: probeSample.by
	nameID   map[string]uint16
	marks    []PhaseMark
	late     int
	lastBy   string
	lastSent int64 // of the newest datagram answered
	tcp      []Sample
	tcpErr   string
	changed  chan struct{} // closed and replaced when lastBy changes
	report   *Report
}

// probeSample keeps a probe of hours small: 16 bytes a datagram.
type probeSample struct {
	at int64  // sent, ns since base
	by uint16 // 0: nobody yet
}

// sampleLog grows by chunks, since copying a large slice would hold the sender up.
type sampleLog struct {
	chunks []*[sampleChunk]probeSample
	n      uint64
}

const sampleChunk = 4096

func (s *sampleLog) add(at int64) (number uint64) {
	if s.n%sampleChunk == 0 {
		s.chunks = append(s.chunks, new([sampleChunk]probeSample))
	}
	number = s.n
	s.n++
	s.at(number).at = at
	return number
}

func (s *sampleLog) at(number uint64) *probeSample {
	return &s.chunks[number/sampleChunk][number%sampleChunk]
}

// Probe starts a probe from a host of the lab. End it with Stop.
func (l *Lab) Probe(host string, cfg ProbeConfig) (*Prober, error) {
	var p *Prober
	err := l.Do(host, func() error {
		var err error
		p, err = newProber(cfg)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("probe from %s: %w", host, err)
	}
	p.run(func(f func() error) error { return l.Do(host, f) })
	return p, nil
}

// StartProbe starts a probe from the caller's own namespace.
func StartProbe(cfg ProbeConfig) (*Prober, error) {
	p, err := newProber(cfg)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	p.run(func(f func() error) error { return f() })
	return p, nil
}

func newProber(cfg ProbeConfig) (*Prober, error) {
	or(&cfg.Interval, time.Millisecond)
	or(&cfg.Grace, time.Second)
	or(&cfg.TCPTarget, cfg.Target)
	for _, t := range cfg.targets() {
		if !t.IsValid() || !t.Addr().Is4() || t.Port() == 0 {
			return nil, fmt.Errorf("target %s: want an IPv4 address and a port", t)
		}
	}
	if cfg.Interval < 100*time.Microsecond {
		return nil, fmt.Errorf("interval %s: want at least 100µs", cfg.Interval)
	}
	// Not connected: a connected socket would swallow the next datagram to
	// report the last one's ICMP error.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	roomy(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20); err != nil {
		unix.Close(fd)
		return nil, err
	}
	// The reader looks up for the end of the probe this often.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Prober{cfg: cfg, fd: fd, began: time.Now(), base: monotonic(), names: []string{""},
		nameID: map[string]uint16{}, changed: make(chan struct{})}, nil
}

func (p *Prober) run(in func(func() error) error) {
	sendCtx, stopSending := context.WithCancel(context.Background())
	readCtx, stopReading := context.WithCancel(context.Background())
	sender := make(chan struct{})
	p.cancel = func() {
		stopSending()
		<-sender
		p.drain()
		stopReading()
	}
	p.wg.Go(func() { defer close(sender); p.send(sendCtx) })
	p.wg.Go(func() { p.read(readCtx) })
	if p.cfg.TCPEvery > 0 {
		p.wg.Go(func() { p.tcpLoop(sendCtx, in) })
	}
}

func (p *Prober) now() time.Duration { return time.Duration(monotonic() - p.base) }

// Urgent makes the calling goroutine's thread, which ends with it, one that runs
// before all ordinary ones: what a probe is late, the service would seem to be.
// Where that is refused it is a thread like any other, and MaxGap tells.
func Urgent() {
	runtime.LockOSThread()
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
}

func (p *Prober) send(ctx context.Context) {
	Urgent()
	var to []*unix.SockaddrInet4
	for _, t := range p.cfg.targets() {
		to = append(to, &unix.SockaddrInet4{Port: int(t.Port()), Addr: t.Addr().As4()})
	}
	buf := make([]byte, 0, probeSize)
	for next := p.base; ctx.Err() == nil; next += int64(p.cfg.Interval) {
		if behind := monotonic() - next; behind > int64(p.cfg.Interval) {
			// Held up: datagrams of the past cannot be sent. The hole shows in MaxGap.
			next += behind - behind%int64(p.cfg.Interval)
		}
		sleepUntil(next)
		p.mu.Lock()
		number := p.sent.add(monotonic() - p.base)
		p.mu.Unlock()
		// A datagram the kernel does not take (no route) is a lost one.
		_ = unix.Sendto(p.fd, appendProbe(buf, number), 0, to[number%uint64(len(to))])
	}
}

func (p *Prober) read(ctx context.Context) {
	Urgent()
	buf := make([]byte, answerMax+1)
	for ctx.Err() == nil {
		n, _, err := unix.Recvfrom(p.fd, buf, 0)
		if err != nil {
			continue // the timeout, or an interrupted call; the context ends the loop
		}
		if number, who, ok := parseProbe(buf[:n], answerMagic); ok && who != "" {
			p.answered(number, who, monotonic()-p.base)
		}
	}
}

func (p *Prober) answered(number uint64, who string, at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if number >= p.sent.n {
		return // not ours
	}
	s := p.sent.at(number)
	if s.by != 0 {
		return // a second answer: the first counts
	}
	if at-s.at > int64(p.cfg.Grace) {
		p.late++
		return
	}
	id, ok := p.nameID[who]
	if !ok {
		if len(p.names) > 1<<15 {
			return // somebody makes names up
		}
		id = uint16(len(p.names))
		p.names, p.nameID[who] = append(p.names, who), id
	}
	s.by = id
	if s.at >= p.lastSent {
		p.lastSent = s.at
		p.lastBy = who
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// drain waits until every datagram is answered or out of grace.
func (p *Prober) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	end := p.now() + p.cfg.Grace
	for p.unanswered(end) {
		changed := p.changed
		p.mu.Unlock()
		timer := time.NewTimer(end - p.now())
		select {
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
		p.mu.Lock()
	}
}

// unanswered reports whether a datagram still within its grace has no answer.
func (p *Prober) unanswered(end time.Duration) bool {
	now := p.now()
	if now >= end {
		return false
	}
	for i := p.sent.n; i > 0; i-- {
		s := p.sent.at(i - 1)
		if now-time.Duration(s.at) > p.cfg.Grace {
			break
		}
		if s.by == 0 {
			return true
		}
	}
	return false
}

// Mark begins a phase of the report.
func (p *Prober) Mark(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marks = append(p.marks, PhaseMark{name, p.now()})
}

// Answering returns who answered last and how long ago the datagram so answered
// was sent.
func (p *Prober) Answering() (who string, ago time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lastBy, p.now() - time.Duration(p.lastSent)
}

// Answerers tells of each target who answered the latest datagram to it that was
// answered at all, Target first, then those of More; "" for nobody yet.
func (p *Prober) Answerers() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	every := uint64(1 + len(p.cfg.More))
	who := make([]string, every)
	for i, left := p.sent.n, every; i > 0 && left > 0; i-- {
		if s, at := p.sent.at(i-1), (i-1)%every; s.by != 0 && who[at] == "" {
			who[at] = p.names[s.by]
			left--
		}
	}
	return who
}

// WaitAnswer waits for an answer to a datagram sent after the call, by the named
// node, or by anybody for "". It returns who it was.
func (p *Prober) WaitAnswer(ctx context.Context, by string) (string, error) {
	return p.waitAnswer(ctx, func(who string) bool { return by == "" || who == by }, orAnybody(by))
}

// WaitOther waits as WaitAnswer does for anybody but the named node.
func (p *Prober) WaitOther(ctx context.Context, than string) (string, error) {
	return p.waitAnswer(ctx, func(who string) bool { return who != than }, "anybody but "+than)
}

func orAnybody(by string) string {
	if by == "" {
		return "anybody"
	}
	return by
}

func (p *Prober) waitAnswer(ctx context.Context, want func(string) bool, words string) (string, error) {
	since := p.now()
	for {
		p.mu.Lock()
		who, at, changed := p.lastBy, time.Duration(p.lastSent), p.changed
		p.mu.Unlock()
		if at > since && want(who) {
			return who, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", fmt.Errorf("probe of %s: waiting for an answer of %s, last was %s %s ago: %w",
				p.cfg.Target, words, orDash(who), (p.now() - at).Round(time.Millisecond), context.Cause(ctx))
		}
	}
}

// Report accounts for what has happened so far. Datagrams still within their
// grace and not answered are left out.
func (p *Prober) Report() *Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.report != nil {
		return p.report
	}
	return p.account(p.now(), 0, 1)
}

// Reports accounts for each target by itself, Target first, then those of More,
// in their order. It is to be called after Stop.
func (p *Prober) Reports() []*Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	targets := p.cfg.targets()
	out := make([]*Report, len(targets))
	for i, t := range targets {
		out[i] = p.account(p.now()+p.cfg.Grace, uint64(i), uint64(len(targets)))
		out[i].Target, out[i].Interval = t.String(), p.cfg.Interval*time.Duration(len(targets))
	}
	return out
}

// Stop ends the probe, waits for outstanding answers within the grace, and
// returns the report. It may be called again.
func (p *Prober) Stop() *Report {
	p.mu.Lock()
	done := p.report
	p.mu.Unlock()
	if done != nil {
		return done
	}
	p.cancel()
	p.wg.Wait()
	unix.Close(p.fd)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report = p.account(p.now()+p.cfg.Grace, 0, 1)
	return p.report
}

// account is called with mu held. It looks at every nth datagram from the given
// one on.
func (p *Prober) account(now time.Duration, from, every uint64) *Report {
	r := &Report{Target: p.cfg.Target.String(), Began: p.began, Interval: p.cfg.Interval, Late: p.late}
	var samples []Sample
	for i := from; i < p.sent.n; i += every {
		s := p.sent.at(i)
		at := time.Duration(s.at)
		if s.by == 0 && now-at <= p.cfg.Grace {
			break // undecided, and so is what depends on it
		}
		if len(samples) > 0 {
			r.MaxGap = max(r.MaxGap, at-samples[len(samples)-1].Sent)
		}
		samples = append(samples, Sample{at, p.names[s.by]})
	}
	end := time.Duration(0)
	if len(samples) > 0 {
		end = samples[len(samples)-1].Sent
	}
	r.Total = Account(samples, nil, end)[0]
	r.Total.Name = "total"
	r.Phases = Account(samples, p.marks, end)
	if p.cfg.TCPEvery > 0 && from == 0 {
		r.TCP = p.accountTCP()
	}
	return r
}

func (p *Prober) accountTCP() *TCPReport {
	tries := append([]Sample(nil), p.tcp...)
	sort.Slice(tries, func(i, j int) bool { return tries[i].Sent < tries[j].Sent })
	all := Account(tries, nil, 0)[0]
	return &TCPReport{Opened: all.Sent - all.Lost, Failed: all.Lost, ByNode: all.ByNode, Outages: all.Outages, LastError: p.tcpErr}
}

// tcpLoop opens connections on a schedule; one that hangs does not hold up the
// next, and ends after the grace.
func (p *Prober) tcpLoop(ctx context.Context, in func(func() error) error) {
	tick := time.NewTicker(p.cfg.TCPEvery)
	defer tick.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		wg.Go(func() {
			at := p.now()
			var who string
			err := in(func() error {
				var err error
				who, err = p.ask()
				return err
			})
			p.mu.Lock()
			defer p.mu.Unlock()
			if err != nil {
				p.tcpErr = err.Error()
			}
			p.tcp = append(p.tcp, Sample{at, who})
		})
	}
}

// ask opens one connection. It runs on a thread in the client's namespace, so it
// dials here and not in a transport's goroutine.
func (p *Prober) ask() (string, error) {
	d := net.Dialer{Timeout: p.cfg.Grace}
	c, err := d.Dial("tcp4", p.cfg.TCPTarget.String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(p.cfg.Grace)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", p.cfg.TCPTarget); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	line, _ := bufio.NewReader(resp.Body).ReadString('\n')
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(resp.Status)
	}
	if line = strings.TrimSpace(line); line == "" || len(line) > 63 {
		line = "(an answer)"
	}
	return line, nil
}
