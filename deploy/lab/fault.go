package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Cut is a way to cut a cable.
type Cut string

const (
	// Silent: frames vanish, both ends keep their carrier. Nobody is told.
	Silent Cut = "silent"
	// Carrier: the cut end sees its carrier go.
	Carrier Cut = "carrier"
)

// Direction is seen from the host whose cable it is.
type Direction string

const (
	Both Direction = "both"
	In   Direction = "in"  // towards the host
	Out  Direction = "out" // from the host
)

// Fault is all that is wrong with one port, HOST:IFACE.
type Fault struct {
	Cut     Cut           `json:"cut,omitempty"`
	LossIn  float64       `json:"loss_in,omitempty"` // share of frames, 0 to 1
	LossOut float64       `json:"loss_out,omitempty"`
	Delay   time.Duration `json:"delay,omitempty"` // each way
	Jitter  time.Duration `json:"jitter,omitempty"`
	Relay   proc          `json:"relay"`
}

func (f Fault) String() string {
	var parts []string
	if f.Cut != "" {
		parts = append(parts, "cut "+string(f.Cut))
	}
	if f.LossIn > 0 {
		parts = append(parts, fmt.Sprintf("loss in %g%%", f.LossIn*100))
	}
	if f.LossOut > 0 {
		parts = append(parts, fmt.Sprintf("loss out %g%%", f.LossOut*100))
	}
	if f.delayed() {
		parts = append(parts, fmt.Sprintf("delay %s jitter %s", f.Delay, f.Jitter))
	}
	return strings.Join(parts, ", ")
}

func (f Fault) delayed() bool { return f.Delay > 0 || f.Jitter > 0 }

// portsAt resolves what a fault is asked for: HOST:IFACE, a segment's name (all
// its members), or a host's name (all its interfaces).
func (l *Lab) portsAt(where string) ([]port, error) {
	var out []port
	for _, p := range l.ports {
		if p.Host+":"+p.Iface == where || p.Segment == where || p.Host == where {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		var known []string
		for _, s := range l.topo.Segments() {
			known = append(known, s.Name)
		}
		for _, p := range l.ports {
			known = append(known, p.Host+":"+p.Iface)
		}
		return nil, fmt.Errorf("lab %s: no cable %q; there are %s, or a host's name for all of its", l.name, where, strings.Join(known, " "))
	}
	return out, nil
}

// change applies f to the fault of each port at where.
func (l *Lab) change(where string, f func(p port, x *Fault) error) error {
	ports, err := l.portsAt(where)
	if err != nil {
		return err
	}
	var failed error // kept aside: what was applied before it is to be remembered
	err = l.update(func(s *state) error {
		wire, err := handleIn(l.wireNS())
		if err != nil {
			return err
		}
		defer wire.Close()
		for _, p := range ports {
			key := p.Host + ":" + p.Iface
			old := Fault{}
			if x := s.Faults[key]; x != nil {
				old = *x
			}
			wanted := old
			if err := f(p, &wanted); err != nil {
				failed = fmt.Errorf("%s: %w", key, err)
				return nil
			}
			if err := l.apply(wire, p, old, &wanted); err != nil {
				failed = fmt.Errorf("%s: %w", key, err)
				return nil
			}
			if delete(s.Faults, key); wanted != (Fault{}) {
				s.Faults[key] = &wanted
			}
		}
		return nil
	})
	return errors.Join(err, failed)
}

// Cut cuts HOST:IFACE, a whole segment, or all cables of a host.
func (l *Lab) Cut(where string, how Cut) error {
	switch how {
	case Silent, Carrier:
	default:
		return fmt.Errorf("cut %s: %q: want silent or carrier", where, how)
	}
	return l.change(where, func(_ port, x *Fault) error { x.Cut = how; return nil })
}

// Heal takes every fault away from HOST:IFACE, a segment, or a host's cables.
func (l *Lab) Heal(where string) error {
	return l.change(where, func(_ port, x *Fault) error { *x = Fault{Relay: x.Relay}; return nil })
}

// Loss drops a share (0 to 1) of the frames, at random. For HOST:IFACE or a
// host, dir is seen from the host, and In or Out alone is a one-way loss; for a
// segment it must be Both, and each frame is at risk once.
func (l *Lab) Loss(where string, dir Direction, share float64) error {
	if share < 0 || share > 1 || math.IsNaN(share) {
		return fmt.Errorf("loss on %s: share %g: want 0 to 1", where, share)
	}
	segment := l.isSegment(where)
	switch dir {
	case Both:
	case In, Out:
		if segment {
			return fmt.Errorf("loss on %s: one-way loss needs an end: say HOST:IFACE", where)
		}
	default:
		return fmt.Errorf("loss on %s: direction %q: want both, in or out", where, dir)
	}
	return l.change(where, func(_ port, x *Fault) error {
		if dir != Out && !segment {
			x.LossIn = share
		}
		if dir != In {
			x.LossOut = share
		}
		return nil
	})
}

// Delay holds every frame back by delay plus up to jitter, each way, in order.
// On a link's name it is put at the first end; on a LAN it needs HOST:IFACE. It
// runs a relay process (Binaries.Srrlab), the same on every kernel.
func (l *Lab) Delay(where string, delay, jitter time.Duration) error {
	if delay < 0 || jitter < 0 || delay+jitter > time.Minute {
		return fmt.Errorf("delay on %s: want 0 to 1m in all", where)
	}
	if l.isSegment(where) {
		ports, err := l.portsAt(where)
		if err != nil {
			return err
		}
		if ports[0].LAN {
			return fmt.Errorf("delay on %s: a LAN has no single cable: say HOST:IFACE", where)
		}
		where = ports[0].Host + ":" + ports[0].Iface
	}
	return l.change(where, func(_ port, x *Fault) error { x.Delay, x.Jitter = delay, jitter; return nil })
}

func (l *Lab) isSegment(where string) bool {
	for _, p := range l.ports {
		if p.Segment == where {
			return true
		}
	}
	return false
}

// apply brings a port from one fault to another, touching only what differs:
// a cut is one kernel call and takes effect with it.
func (l *Lab) apply(wire *netlink.Handle, p port, old Fault, wanted *Fault) error {
	dev, err := wire.LinkByName(p.Dev)
	if err != nil {
		return err
	}
	if old.Cut != wanted.Cut && wanted.Cut == Carrier {
		if err := wire.LinkSetDown(dev); err != nil {
			return fmt.Errorf("port down: %w", err)
		}
	}
	if (old.Delay != wanted.Delay || old.Jitter != wanted.Jitter) && old.delayed() {
		if err := l.endRelay(wire, p, &old); err != nil {
			return err
		}
		wanted.Relay = proc{}
	}
	if wanted.delayed() && wanted.Relay == (proc{}) {
		if err := l.startRelay(wire, p, wanted); err != nil {
			return err
		}
	}
	inner := dev // what sits on the bridge
	if wanted.delayed() {
		if inner, err = wire.LinkByName(p.relayInner()); err != nil {
			return err
		}
		if err := wire.LinkSetNoMaster(dev); err != nil {
			return fmt.Errorf("relay: %w", err)
		}
	}
	if err := l.plug(wire, p, inner, wanted.Cut == Silent); err != nil {
		return err
	}
	if old.Cut == Carrier && wanted.Cut != Carrier {
		if err := wire.LinkSetUp(dev); err != nil {
			return fmt.Errorf("port up: %w", err)
		}
	}
	if old.LossIn != wanted.LossIn || old.LossOut != wanted.LossOut || old.delayed() != wanted.delayed() {
		return setLoss(wire, dev, inner, *wanted)
	}
	return nil
}

// plug puts the device on its bridge or takes it off. Off the bridge, what it
// receives ends in a namespace without addresses.
func (l *Lab) plug(wire *netlink.Handle, p port, dev netlink.Link, off bool) error {
	on := dev.Attrs().MasterIndex != 0
	switch {
	case off && on:
		if err := wire.LinkSetNoMaster(dev); err != nil {
			return fmt.Errorf("unplug: %w", err)
		}
	case !off && !on:
		br, err := wire.LinkByName(p.Bridge)
		if err != nil {
			return err
		}
		if err := wire.LinkSetMaster(dev, br); err != nil {
			return fmt.Errorf("plug: %w", err)
		}
	}
	return nil
}

// setLoss replaces the loss filters of a port. Frames towards the host leave by
// outer; frames from it are seen on arrival at inner, which is the same device
// unless a relay is between the two (a relay reads before any filter).
func setLoss(wire *netlink.Handle, outer, inner netlink.Link, f Fault) error {
	devs := []netlink.Link{outer}
	if inner.Attrs().Index != outer.Attrs().Index {
		devs = append(devs, inner)
	}
	for _, dev := range devs {
		q := clsact(dev)
		if err := wire.QdiscDel(q); err != nil && err != unix.EINVAL && err != unix.ENOENT {
			return fmt.Errorf("loss: remove: %w", err)
		}
		if err := wire.QdiscAdd(q); err != nil {
			return fmt.Errorf("loss: clsact (kernel option NET_SCH_INGRESS): %w", err)
		}
	}
	if err := addLoss(wire, outer, netlink.HANDLE_MIN_EGRESS, f.LossIn); err != nil {
		return err
	}
	return addLoss(wire, inner, netlink.HANDLE_MIN_INGRESS, f.LossOut)
}

func clsact(dev netlink.Link) *netlink.GenericQdisc {
	return &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: dev.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
}

func addLoss(wire *netlink.Handle, dev netlink.Link, parent uint32, share float64) error {
	if share == 0 {
		return nil
	}
	fd, err := loadLoss(share)
	if err != nil {
		return err
	}
	defer unix.Close(fd) // the filter holds the program
	if err := wire.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: dev.Attrs().Index, Parent: parent, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
		Fd:          fd, Name: "srrlab-loss", DirectAction: true}); err != nil {
		return fmt.Errorf("loss: filter (kernel option NET_CLS_BPF): %w", err)
	}
	return nil
}

// BPF instructions (linux/bpf.h, linux/bpf_common.h) and classifier verdicts
// (linux/pkt_cls.h).
const (
	bpfCall       = 0x85 // BPF_JMP | BPF_CALL
	bpfExit       = 0x95 // BPF_JMP | BPF_EXIT
	bpfMov        = 0xb7 // BPF_ALU64 | BPF_MOV | BPF_K, r0
	bpfJumpLess   = 0xa6 // BPF_JMP32 | BPF_JLT | BPF_K, r0
	getPrandomU32 = 7    // BPF_FUNC_get_prandom_u32
	tcActShot     = 2    // TC_ACT_SHOT: drop
	tcActUnspec   = -1   // TC_ACT_UNSPEC: go on
	bpfProgLoad   = 5    // BPF_PROG_LOAD
)

// lossProgram drops a share of the frames. netem does this too, but not every
// kernel has it, and none can do it on arrival.
func lossProgram(share float64) []byte {
	insn := func(b []byte, code byte, off int16, imm uint32) []byte {
		b = append(b, code, 0) // registers: r0
		b = binary.NativeEndian.AppendUint16(b, uint16(off))
		return binary.NativeEndian.AppendUint32(b, imm)
	}
	var b []byte
	if share < 1 {
		unspec := int32(tcActUnspec)
		b = insn(b, bpfCall, 0, getPrandomU32)
		b = insn(b, bpfJumpLess, 2, uint32(share*math.MaxUint32))
		b = insn(b, bpfMov, 0, uint32(unspec))
		b = insn(b, bpfExit, 0, 0)
	}
	b = insn(b, bpfMov, 0, tcActShot)
	return insn(b, bpfExit, 0, 0)
}

func loadLoss(share float64) (int, error) {
	insns := lossProgram(share)
	license := []byte("Apache-2.0\x00")
	attr := netlink.BPFAttr{
		ProgType: uint32(netlink.BPF_PROG_TYPE_SCHED_CLS),
		InsnCnt:  uint32(len(insns) / 8),
		Insns:    uintptr(unsafe.Pointer(&insns[0])),
		License:  uintptr(unsafe.Pointer(&license[0])),
	}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, bpfProgLoad, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(insns)
	runtime.KeepAlive(license)
	if errno != 0 {
		return -1, fmt.Errorf("loss: load BPF program: %w", errno)
	}
	return int(fd), nil
}

// A delayed port P is unplugged; a veth pair takes its place on the bridge, and
// a relay carries frames between P and the pair's outer end.
func (p port) relayOuter() string { return p.Dev + "o" }
func (p port) relayInner() string { return p.Dev + "i" }

func (l *Lab) startRelay(wire *netlink.Handle, p port, f *Fault) (err error) {
	if l.opts.Binaries.Srrlab == "" {
		return errors.New("delay: needs the srrlab command as relay: set Options.Binaries.Srrlab")
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = p.relayInner()
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: p.relayOuter()}
	if err := wire.LinkAdd(pair); err != nil {
		return fmt.Errorf("relay: veth: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Relay.end(syscall.SIGKILL, killTimeout), wire.LinkDel(pair))
			f.Relay = proc{}
		}
	}()
	outer, err := wire.LinkByName(p.relayOuter())
	if err != nil {
		return err
	}
	for _, dev := range []netlink.Link{pair, outer} {
		if err := wire.LinkSetUp(dev); err != nil {
			return fmt.Errorf("relay: up: %w", err)
		}
	}
	log, err := os.Create(filepath.Join(l.dir, "relay-"+p.Dev+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(l.opts.Binaries.Srrlab, "relay", "--delay", f.Delay.String(), "--jitter", f.Jitter.String(), p.Dev, p.relayOuter())
	cmd.Stderr = log
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd.Stdout = w
	f.Relay, err = l.startDetached(wireHost, cmd)
	w.Close()
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	if n, _ := r.Read(make([]byte, 16)); n == 0 { // "ready", or the end of the process
		return fmt.Errorf("relay: ended at start: %s", tail(log.Name()))
	}
	return nil
}

func (l *Lab) endRelay(wire *netlink.Handle, p port, old *Fault) error {
	if err := old.Relay.end(syscall.SIGKILL, killTimeout); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	pair, err := wire.LinkByName(p.relayInner())
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return wire.LinkDel(pair)
}

// WaitLost waits until ospfd on host has no neighbour on iface any more that is
// Full, which is how a fault is seen to have been noticed.
func (l *Lab) WaitLost(ctx context.Context, host, iface string) error {
	return l.Wait(ctx, func() error {
		all, err := l.Neighbors(host)
		if err != nil {
			return err
		}
		for _, n := range all {
			if n.Interface == iface && n.Full() {
				return fmt.Errorf("%s: OSPF neighbour %s on %s is still Full", host, n.RouterID, iface)
			}
		}
		return nil
	})
}
