package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	// relayQueue bounds the frames held back in one direction; more are lost, as
	// on a real long line.
	relayQueue = 16384
	// A frame as a virtual device hands it over: a virtio header, Ethernet, up
	// to 64 KiB of segments not yet cut (linux/virtio_net.h).
	relayFrame = 10 + 18 + 65536
	// packetIgnoreOutgoing is PACKET_IGNORE_OUTGOING (linux/if_packet.h, 4.20).
	packetIgnoreOutgoing = 23
)

// Relay carries Ethernet frames between two interfaces of the calling
// process's namespace until ctx ends, each held back by delay plus a random
// part of jitter, order kept. It calls ready once frames pass.
func Relay(ctx context.Context, devA, devB string, delay, jitter time.Duration, ready func()) error {
	a, err := packetSocket(devA)
	if err != nil {
		return fmt.Errorf("relay: %s: %w", devA, err)
	}
	defer unix.Close(a)
	b, err := packetSocket(devB)
	if err != nil {
		return fmt.Errorf("relay: %s: %w", devB, err)
	}
	defer unix.Close(b)
	g, ctx := errgroup.WithContext(ctx)
	for _, way := range [][2]int{{a, b}, {b, a}} {
		q := make(chan heldFrame, relayQueue)
		g.Go(func() error { defer close(q); return relayRead(ctx, way[0], q, delay, jitter) })
		g.Go(func() error { return relayWrite(way[1], q) })
	}
	ready()
	return g.Wait()
}

type heldFrame struct {
	due  int64 // CLOCK_MONOTONIC, ns
	data []byte
}

// packetSocket is bound to the device and passes the virtio header along, since
// frames between virtual devices can lack their checksum or be unsegmented.
func packetSocket(dev string) (int, error) {
	i, err := net.InterfaceByName(dev)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // protocol 0: nothing before bind
	if err != nil {
		return -1, err
	}
	for opt, v := range map[int]int{unix.PACKET_VNET_HDR: 1, packetIgnoreOutgoing: 1} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, opt, v); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("socket option %d: %w", opt, err)
		}
	}
	// The reader looks up for the end of its context this often.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func relayRead(ctx context.Context, fd int, q chan<- heldFrame, delay, jitter time.Duration) error {
	buf := make([]byte, relayFrame)
	var last int64
	for ctx.Err() == nil {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		switch err {
		case nil:
		case unix.EAGAIN, unix.EINTR, unix.ENETDOWN: // ENETDOWN: a carrier cut; it comes back
			continue
		default:
			return fmt.Errorf("relay: read: %w", err)
		}
		due := monotonic() + int64(delay)
		if jitter > 0 {
			due += rand.Int64N(int64(jitter))
		}
		last = max(last, due)
		select {
		case q <- heldFrame{last, append([]byte(nil), buf[:n]...)}:
		default: // full: lost
		}
	}
	return nil
}

func relayWrite(fd int, q <-chan heldFrame) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for f := range q {
		sleepUntil(f.due)
		// A frame that cannot be sent (device down) is lost, as on a wire.
		_, _ = unix.Write(fd, f.data)
	}
	return nil
}

// monotonic returns CLOCK_MONOTONIC in ns.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // the clock always exists (clock_gettime(2))
	}
	return ts.Nano()
}

// sleepUntil sleeps to an absolute time, so that lateness does not add up.
func sleepUntil(at int64) {
	ts := unix.NsecToTimespec(at)
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
	}
}
