package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The descriptors a forwarder is started with.
const (
	forwardListener = 3 // listens where the lab was built
	forwardNS       = 4 // the namespace of that listener, to ask who connects
)

// forwardDial bounds a connection to a port of the host's own loopback.
const forwardDial = 2 * time.Second

// Forward makes port of the host's loopback reachable at a loopback address of
// the calling namespace; port 0 of listen lets the kernel choose. It returns
// where it listens. What connects comes out on the host as uid 0, so only root
// and, under sudo, who called it are let through. The forwarder is a process of
// the host (Binaries.Srrlab) and ends with the lab.
func (l *Lab) Forward(host string, port uint16, listen netip.AddrPort) (netip.AddrPort, error) {
	at, err := l.forward(host, port, listen)
	if err != nil {
		return at, l.wrap(fmt.Errorf("forward to %s:%d: %w", host, port, err))
	}
	return at, nil
}

func (l *Lab) forward(host string, port uint16, listen netip.AddrPort) (netip.AddrPort, error) {
	switch {
	case l.topo.Host(host) == nil:
		return netip.AddrPort{}, fmt.Errorf("no host %q", host)
	case l.opts.Binaries.Srrlab == "":
		return netip.AddrPort{}, errors.New("needs the srrlab command: set Options.Binaries.Srrlab")
	case !listen.Addr().IsLoopback():
		return netip.AddrPort{}, fmt.Errorf("%s is no loopback address", listen)
	}
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(listen))
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer ln.Close()
	socket, err := ln.File()
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer socket.Close()
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer ns.Close()
	log, err := os.OpenFile(filepath.Join(l.hostDir(host), "log", "forward.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer log.Close()
	args := []string{"carry", strconv.Itoa(int(port))}
	if uid := os.Getenv("SUDO_UID"); uid != "" {
		args = append(args, "--uid", uid)
	}
	cmd := exec.Command(l.opts.Binaries.Srrlab, args...)
	cmd.Stderr = log
	cmd.ExtraFiles = []*os.File{socket, ns}
	if _, err := l.startDetached(host, cmd); err != nil {
		return netip.AddrPort{}, err
	}
	return ln.Addr().(*net.TCPAddr).AddrPort(), nil
}

// Carry is the forwarder: it takes connections of the inherited listener and
// carries those of the given users to a port of its own loopback, until ctx
// ends.
func Carry(ctx context.Context, port uint16, uids []uint32) error {
	f := os.NewFile(forwardListener, "listener")
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return fmt.Errorf("carry: descriptor %d: %w", forwardListener, err)
	}
	diag, err := netlink.NewHandleAt(netns.NsHandle(forwardNS), unix.NETLINK_INET_DIAG)
	if err != nil {
		return fmt.Errorf("carry: descriptor %d: %w", forwardNS, err)
	}
	defer diag.Close()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port).String()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		c, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("carry: %w", err)
		}
		if uid, err := peerOf(diag, c); err != nil || !slices.Contains(uids, uid) {
			fmt.Fprintf(os.Stderr, "%s: uid %d is not let through (%v)\n", c.RemoteAddr(), uid, err)
			c.Close()
			continue
		}
		open.Go(func() {
			if err := carry(ctx, c, to); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", c.RemoteAddr(), err)
			}
		})
	}
}

// peerOf asks the kernel who owns the other end of a connection over loopback.
// For one that its owner has closed the kernel says uid 0, so only an
// established one counts.
func peerOf(diag *netlink.Handle, c net.Conn) (uint32, error) {
	// The socket at the other end has our addresses the other way round.
	s, err := diag.SocketGet(c.RemoteAddr(), c.LocalAddr())
	if err != nil {
		return 0, fmt.Errorf("whose connection it is: %w", err)
	}
	remote := c.RemoteAddr().(*net.TCPAddr)
	if s.State != netlink.TCP_ESTABLISHED || !s.ID.Source.Equal(remote.IP) || int(s.ID.SourcePort) != remote.Port {
		return 0, errors.New("it is closing")
	}
	return s.UID, nil
}

// carry copies both ways until both are at their end.
func carry(ctx context.Context, c net.Conn, to string) error {
	defer c.Close()
	d := net.Dialer{Timeout: forwardDial}
	far, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return err
	}
	defer far.Close()
	stop := context.AfterFunc(ctx, func() { c.Close(); far.Close() })
	defer stop()
	var back sync.WaitGroup
	back.Go(func() { oneWay(c, far) })
	oneWay(far, c)
	back.Wait()
	return nil
}

// oneWay copies and passes the end on. That one side has gone is no error
// worth a line; the other one sees it.
func oneWay(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.(*net.TCPConn).CloseWrite()
}
