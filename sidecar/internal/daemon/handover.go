package daemon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/sidecar/internal/address"
	"github.com/srrd/srrd/sidecar/internal/handover"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/metrics"
	"github.com/srrd/srrd/sidecar/internal/ospf"
	"github.com/srrd/srrd/sidecar/internal/primitive"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/zebra"
)

// carried is all that goes from one srrd to the next in the same process. It
// lives in a sealed memory file (memfd_create(2)) and never on a disk.
// Descriptors keep their numbers; -1 is none.
type carried struct {
	Version string    // of who writes
	At      time.Time // when the owner stood still

	Node     *machine.Node
	Late     []machine.Event    // that came since
	Timers   []machine.SetTimer // in the order they fire
	Asked    uint64
	Builder  *view.Builder
	Leftover []netip.Addr

	OSPF       *ospf.Handover
	Zebra      *zebra.Handover
	Address    *address.Handover
	Primitives *primitive.Handover
	Metrics    *metrics.Handover // nil from builds that began anew
	Secret     [32]byte          // of the pages' forms

	Lock, Shell, Web     int
	OSPFSync, OSPFAsync  int
	ZebraConn            int
	Client               int    // who asked for it waits there for the reply
	Who                  string // asked for it
	PrimitiveDescriptors []int
}

// descriptors are all that stay open through the exec.
func (c *carried) descriptors() (all []int) {
	for _, fd := range append([]int{c.Lock, c.Shell, c.Web, c.OSPFSync, c.OSPFAsync, c.ZebraConn, c.Client}, c.PrimitiveDescriptors...) {
		if fd >= 0 {
			all = append(all, fd)
		}
	}
	return all
}

func carriedCodec() *handover.Codec {
	c := handover.New()
	machine.HandOver(c)
	view.HandOver(c)
	ospf.HandOver(c)
	zebra.HandOver(c)
	address.HandOver(c)
	primitive.HandOver(c)
	return c
}

// clockLen is the head of a hand-over: CLOCK_MONOTONIC at its base, which goes
// on through an exec while the clock of the day may be set.
const clockLen = 8

func uptime() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, fmt.Errorf("clock: %w", err)
	}
	return ts.Nano(), nil
}

func (c *carried) encode() ([]byte, error) {
	base := time.Now()
	up, err := uptime()
	if err != nil {
		return nil, err
	}
	return carriedCodec().Append(binary.BigEndian.AppendUint64(nil, uint64(up)), base, c)
}

func decodeCarried(b []byte) (*carried, error) {
	if len(b) < clockLen {
		return nil, errors.New("the hand-over is empty")
	}
	now := time.Now()
	up, err := uptime()
	if err != nil {
		return nil, err
	}
	c := &carried{}
	base := now.Add(-time.Duration(up - int64(binary.BigEndian.Uint64(b))))
	if err := carriedCodec().Decode(b[clockLen:], base, c); err != nil {
		return nil, err
	}
	if c.Node == nil || c.Builder == nil || c.OSPF == nil || c.Zebra == nil || c.Address == nil || c.Primitives == nil {
		return nil, errors.New("the hand-over is not whole")
	}
	c.Node.Resumed()
	return c, nil
}

// sealed puts octets into a memory file that nobody can change.
func sealed(b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("srrd hand-over", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memory file for the hand-over: %w", err)
	}
	f := os.NewFile(uintptr(fd), "hand-over")
	if _, err = f.Write(b); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		_ = f.Close() // of no use
		return nil, fmt.Errorf("memory file for the hand-over: %w", err)
	}
	return f, nil
}

// fdOf is the number of a connection's or listener's descriptor, which stays
// valid as long as it is open.
func fdOf(c any) (int, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("a %T has no descriptor", c)
	}
	raw, err := sc.SyscallConn()
	n := -1
	if err == nil {
		err = raw.Control(func(fd uintptr) { n = int(fd) })
	}
	return n, err
}

// connOf makes a connection of a descriptor that was handed over.
func connOf[C net.Conn](fd int, what string) (C, error) {
	var none C
	f := os.NewFile(uintptr(fd), what)
	if f == nil {
		return none, fmt.Errorf("%s: no descriptor %d was handed over", what, fd)
	}
	defer f.Close() // FileConn has its own
	c, err := net.FileConn(f)
	if err != nil {
		return none, fmt.Errorf("%s: %w", what, err)
	}
	if c, ok := c.(C); ok {
		return c, nil
	}
	_ = c.Close() // of no use
	return none, fmt.Errorf("%s: descriptor %d is a %T", what, fd, c)
}

// environment names the memory file to the next srrd; only that one sees it.
const environment = "SRRD_HANDOVER"

// keepOpen says whether descriptors stay open through an exec.
func keepOpen(fds []int, on bool) error {
	flags := unix.FD_CLOEXEC
	if on {
		flags = 0
	}
	var all []error
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags); err != nil {
			all = append(all, fmt.Errorf("descriptor %d: %w", fd, err))
		}
	}
	return errors.Join(all...)
}
