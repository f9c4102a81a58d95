package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// A probe datagram: magic, number, padding. The answer: magic, number, who.
const (
	probeMagic  = "srrQ"
	answerMagic = "srrA"
	probeSize   = 32
	answerMax   = 12 + 255
)

func appendProbe(b []byte, number uint64) []byte {
	b = append(b, probeMagic...)
	b = binary.BigEndian.AppendUint64(b, number)
	return append(b, make([]byte, probeSize-12)...)
}

func appendAnswer(b []byte, number uint64, who string) []byte {
	b = append(b, answerMagic...)
	b = binary.BigEndian.AppendUint64(b, number)
	return append(b, who...)
}

func parseProbe(b []byte, magic string) (number uint64, rest string, ok bool) {
	if len(b) < 12 || string(b[:4]) != magic {
		return 0, "", false
	}
	return binary.BigEndian.Uint64(b[4:12]), string(b[12:]), true
}

// Answer answers probes on UDP and TCP under a name until ctx ends. A wildcard
// address answers on every address the machine has at the moment, from the one
// asked. TCP answers whatever is sent (or nothing, after a second) with an HTTP
// response whose body is the name. ready is called when both are bound.
func Answer(ctx context.Context, who string, addr netip.AddrPort, ready func()) error {
	if len(who) == 0 || len(who) > 255 {
		return fmt.Errorf("answer: name %q: want 1 to 255 bytes", who)
	}
	udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	defer udp.Close()
	if err := wantPktinfo(udp); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	tcp, err := net.Listen("tcp4", addr.String())
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	defer tcp.Close()
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { udp.Close(); tcp.Close() })
	defer stop()
	g.Go(func() error { return answerUDP(ctx, udp, who) })
	g.Go(func() error { return answerTCP(ctx, g, tcp, who) })
	ready()
	return g.Wait()
}

// wantPktinfo asks for the address each datagram was sent to, so that the answer
// can come from there also when the socket is bound to the wildcard.
func wantPktinfo(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var opt error
	if err := raw.Control(func(fd uintptr) {
		roomy(int(fd))
		opt = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}); err != nil {
		return err
	}
	return opt
}

// roomy makes a socket's receive buffer large: what a busy machine comes too late
// to read would be lost, and look like the network's fault. Who is not root gets
// what everybody gets.
func roomy(fd int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	}
}

func answerUDP(ctx context.Context, c *net.UDPConn, who string) error {
	buf, oob, out := make([]byte, 2048), make([]byte, 128), make([]byte, 0, answerMax)
	for {
		n, oobn, _, from, err := c.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("answer: %w", err)
		}
		number, _, ok := parseProbe(buf[:n], probeMagic)
		if !ok {
			continue
		}
		// An answer that cannot be sent (no route any more) is a lost one.
		_, _, _ = c.WriteMsgUDPAddrPort(appendAnswer(out, number, who), replyFrom(oob[:oobn]), from)
	}
}

// replyFrom turns the control message of a received datagram into the one that
// makes its destination the source of the answer.
func replyFrom(oob []byte) []byte {
	msgs, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range msgs {
		// struct in_pktinfo: ifindex, spec_dst, addr (ip(7)).
		if m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo {
			return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: [4]byte(m.Data[8:12])})
		}
	}
	return nil
}

func answerTCP(ctx context.Context, g *errgroup.Group, l net.Listener, who string) error {
	reply := fmt.Sprintf("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n", len(who)+1, who)
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, unix.ECONNABORTED) || errors.Is(err, unix.EMFILE) {
				continue
			}
			return fmt.Errorf("answer: %w", err)
		}
		g.Go(func() error {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })() // an end is an end for all
			// One deadline for all: a client that says nothing is answered too.
			_ = c.SetDeadline(time.Now().Add(time.Second))
			_, _ = c.Read(make([]byte, 4096))
			_ = c.SetDeadline(time.Now().Add(time.Second))
			_, _ = io.WriteString(c, reply)
			return nil // what a client does wrong is its own affair
		})
	}
}

// EndAnswerer ends the process pid, if that is an answerer and not a later
// process with its number, and returns when it is gone.
func EndAnswerer(pid int) error {
	p, err := identify(pid)
	if err != nil {
		return nil // gone
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.Contains(line, []byte("\x00answer\x00")) {
		return nil
	}
	return p.end(syscall.SIGTERM, termTimeout)
}
