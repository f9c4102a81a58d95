package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/sidecar/internal/address"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/ospf"
	"github.com/srrd/srrd/sidecar/internal/primitive"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/zebra"
	"github.com/srrd/srrd/vty"
)

// Time limits of a re-execution. The first two pass while srrd works on.
const (
	settleTimeout = 2 * time.Second // for what the session with ospfd has under way
	proofTimeout  = 5 * time.Second // for the new binary to read a hand-over
	holdTimeout   = time.Second     // for the ports to come to rest, the owner standing still
	flushTimeout  = time.Second     // for the memory to be on disk
)

// CheckFlag has a binary read a hand-over from descriptor 3 and say, on a line,
// Proof and its version.
const (
	CheckFlag = "check-handover"
	Proof     = "srrd reads the hand-over: "
)

// reexecution is a request to re-execute srrd.
type reexecution struct {
	who     string
	client  *vty.Client   // the shell's client that asked, who gets the reply from the next srrd
	web     *os.File      // the listening socket of the pages
	proven  chan<- string // has room: what to say once the new binary has proven itself
	refused chan<- error  // has room: srrd goes on
}

// clientKey finds the *vty.Client of a command in its context.
type clientKey struct{}

// Reexec has srrd re-execute itself with the binary that is at its path now.
// For a client of the shell it only returns if that was not to be: the next
// srrd gives the answer. Others have it as soon as the new binary has proven
// itself.
func (d *daemon) Reexec(ctx context.Context, who string) (string, error) {
	proven, refused := make(chan string, 1), make(chan error, 1)
	r := reexecution{who: who, proven: proven, refused: refused}
	r.client, _ = ctx.Value(clientKey{}).(*vty.Client)
	select {
	case d.reexecs <- r:
	case <-d.owner.done:
		return "", view.ErrClosed
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if r.client != nil {
		proven = nil
	}
	select {
	case text := <-proven:
		return text, nil
	case err := <-refused:
		return "", err
	case <-d.owner.done:
		return "", view.ErrClosed
	}
}

// reexecute is the goroutine that re-executes srrd when asked to, by a person or
// by SIGUSR2.
func (d *daemon) reexecute(ctx context.Context) error {
	for {
		var r reexecution
		select {
		case <-ctx.Done():
			return nil
		case r = <-d.reexecs:
		case <-d.opt.Upgrade:
			r = reexecution{who: "SIGUSR2"}
		}
		d.log.Info("srrd is to re-execute itself", "by", r.who, "binary", d.opt.Binary)
		err := d.become(ctx, r)
		if ctx.Err() != nil {
			return nil
		}
		err = fmt.Errorf("srrd goes on as it is: %w", err)
		d.owner.say(machine.Note{Level: machine.LevelError, Text: "not re-executed, as " + r.who + " wanted: " + err.Error()})
		if r.refused != nil {
			r.refused <- err
		}
	}
}

// become replaces this program; it returns why it did not.
func (d *daemon) become(ctx context.Context, r reexecution) error {
	if err := d.fit(ctx); err != nil {
		return err
	}
	if usual := watched(); usual > 0 {
		watchdogAfter(max(usual, reexecPatience))
		defer watchdogAfter(usual) // only where srrd goes on as it is
	}
	// The proof is made with a hand-over like the one that will be given, but
	// while srrd works: nothing waits for the new binary, however slow it is.
	h, err := d.hold(ctx, r)
	if err != nil {
		return err
	}
	h.release()
	version, err := d.prove(ctx, h.octets)
	if err != nil {
		return err
	}
	if r.proven != nil {
		r.proven <- fmt.Sprintf("version %s takes over from %s", version, d.opt.Version)
	}
	web, err := d.drainWeb(ctx)
	if err != nil {
		return err
	}
	defer close(web.free)
	r.web = web.file
	if h, err = d.hold(ctx, r); err != nil {
		return err
	}
	defer h.release()
	short, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := d.writer.Flush(short); err != nil {
		return fmt.Errorf("the memory is not on disk yet: %w", err)
	}
	return d.exec(h)
}

// fit says why srrd should not be replaced now.
func (d *daemon) fit(ctx context.Context) error {
	if d.opt.Binary == "" {
		return errors.New("the path of its binary is not known")
	}
	_, changes, err := d.changes()
	if err != nil {
		return fmt.Errorf("the configuration files could not be loaded: %w", err)
	}
	if len(changes) > 0 {
		return fmt.Errorf("the configuration files are not what is in force (%d changes): reload first, plan tells what would change", len(changes))
	}
	v, err := d.board.Read(ctx)
	if err != nil {
		return err
	}
	for name, s := range *d.service.Load() {
		if s.gone && slices.ContainsFunc(v.Machine.Services, func(sv machine.ServiceView) bool { return sv.Local && sv.Name == name }) {
			return fmt.Errorf("service %s has left the configuration and is still being stopped", name)
		}
	}
	return nil
}

// standstill is everything at rest, and what there is to hand over.
type standstill struct {
	octets  []byte
	carried *carried
	free    chan struct{}
	ports   []func() // Release
}

// release has everything go on.
func (h *standstill) release() {
	for _, f := range h.ports {
		f()
	}
	h.ports = nil
	if h.free != nil {
		close(h.free)
		h.free = nil
	}
}

// hold brings the owner and the ports to rest and writes down what they know.
func (d *daemon) hold(ctx context.Context, r reexecution) (*standstill, error) {
	h := &standstill{free: make(chan struct{}), carried: &carried{Version: d.opt.Version, Who: r.who, Leftover: d.leftover,
		Lock: -1, Shell: -1, Web: -1, OSPFSync: -1, OSPFAsync: -1, ZebraConn: -1, Client: -1}}
	if err := d.fill(ctx, h, r); err != nil {
		h.release()
		return nil, err
	}
	return h, nil
}

func (d *daemon) fill(ctx context.Context, h *standstill, r reexecution) error {
	free := h.free // release closes it
	settle, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	if err := d.ospf.Settle(settle, free); err != nil {
		return err
	}
	standing := make(chan struct{})
	do := make(chan func())
	select {
	case d.owner.pauses <- pause{standing: standing, do: do, free: free}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-d.owner.done:
		return view.ErrClosed
	}
	<-standing
	if err := d.holdPorts(ctx, h); err != nil {
		return err
	}
	if err := d.holdDescriptors(h.carried, r); err != nil {
		return err
	}
	wrote := make(chan error, 1)
	select {
	case do <- func() {
		err := d.owner.carry(h.carried)
		if err == nil {
			h.octets, err = h.carried.encode()
		}
		wrote <- err
	}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return <-wrote
}

func (d *daemon) holdPorts(ctx context.Context, h *standstill) error {
	ctx, cancel := context.WithTimeout(ctx, holdTimeout)
	defer cancel()
	var o *ospf.Held
	var z *zebra.Held
	var a *address.Held
	var p *primitive.Held
	var g errgroup.Group
	g.Go(func() (err error) { o, err = d.ospf.Hold(ctx); return err })
	g.Go(func() (err error) { z, err = d.zebra.Hold(ctx); return err })
	g.Go(func() (err error) { a, err = d.address.Hold(ctx); return err })
	g.Go(func() (err error) { p, err = d.prims.Hold(ctx); return err })
	err := g.Wait()
	c := h.carried
	if p != nil {
		h.ports = append(h.ports, p.Release)
		c.Primitives, c.PrimitiveDescriptors = p.State, p.FDs
	}
	if a != nil {
		h.ports = append(h.ports, a.Release)
		c.Address = a.State
	}
	if z != nil {
		h.ports = append(h.ports, z.Release)
		c.Zebra = z.State
		if z.Conn != nil {
			var bad error
			c.ZebraConn, bad = fdOf(z.Conn)
			err = errors.Join(err, bad)
		}
	}
	if o != nil {
		h.ports = append(h.ports, o.Release)
		c.OSPF = o.State
		if o.Sync != nil {
			var bad, worse error
			c.OSPFSync, bad = fdOf(o.Sync)
			c.OSPFAsync, worse = fdOf(o.Async)
			err = errors.Join(err, bad, worse)
		}
	}
	return err
}

func (d *daemon) holdDescriptors(c *carried, r reexecution) (err error) {
	c.Lock = int(d.lock.Fd())
	if c.Shell, err = fdOf(d.shell); err != nil {
		return err
	}
	if r.web != nil {
		c.Web = int(r.web.Fd())
	}
	if r.client != nil {
		c.Client, err = fdOf(r.client.Conn())
	}
	if secret := d.webSecret.Load(); secret != nil {
		c.Secret = *secret
	}
	return err
}

// prove has the new binary read a hand-over; its version, if it can.
func (d *daemon) prove(ctx context.Context, octets []byte) (version string, err error) {
	f, err := sealed(octets)
	if err != nil {
		return "", err
	}
	defer f.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, proofTimeout, fmt.Errorf("it says nothing for %v", proofTimeout))
	defer cancel()
	var said, complained bytes.Buffer
	cmd := exec.CommandContext(ctx, d.opt.Binary, "--"+CheckFlag, "--config", d.opt.Config)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stdout, cmd.Stderr = &limited{&said}, &limited{&complained}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second // what it has started may hold its output
	fail := func(err error) (string, error) {
		text := strings.TrimSpace(complained.String())
		if i := strings.LastIndexByte(text, '\n'); i >= 0 {
			text = text[i+1:]
		}
		if text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return "", fmt.Errorf("%s does not take over: %w", d.opt.Binary, err)
	}
	if err := primitive.Start(cmd); err != nil {
		return fail(err)
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fail(err)
	}
	line, _, _ := strings.Cut(said.String(), "\n")
	version, ok := strings.CutPrefix(line, Proof)
	if !ok {
		return fail(errors.New("it does not say that it reads the hand-over: is it srrd?"))
	}
	return version, nil
}

// limited keeps the first octets of what a program prints.
type limited struct{ *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	const most = 4 << 10
	l.Buffer.Write(p[:min(len(p), max(0, most-l.Len()))])
	return len(p), nil
}

// signals are those that srrd listens to. They are blocked from the last look
// at them until the next srrd listens: none is lost, and none ends it.
var signals = []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGUSR2}

// block blocks or unblocks the signals in all threads. Where the runtime cannot
// do that (a build with cgo), only in this one, which must be locked.
func block(on bool) error {
	var set unix.Sigset_t
	for _, s := range signals {
		set.Val[(s-1)/64] |= 1 << ((s - 1) % 64)
	}
	how := uintptr(unix.SIG_UNBLOCK)
	if on {
		how = unix.SIG_BLOCK
	}
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_RT_SIGPROCMASK, how, uintptr(unsafe.Pointer(&set)), 0, unsafe.Sizeof(set.Val[0]), 0, 0)
	runtime.KeepAlive(&set)
	if errno == unix.ENOTSUP {
		return unix.PthreadSigmask(int(how), &set, nil)
	}
	if errno != 0 {
		return errno
	}
	return nil
}

// unheard says whether something has come that the next srrd would not know of.
// The signals are blocked by then.
func (d *daemon) unheard() error {
	// Stop waits until the runtime has put those it took before into their
	// channels.
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGHUP)
	signal.Stop(c)
	// Who takes them from there is asked, each in its own goroutine: it answers
	// between two of them.
	late := time.NewTimer(flushTimeout)
	defer late.Stop()
	for _, ask := range []chan chan<- bool{d.askSignals, d.askConfigure} {
		answer := make(chan bool, 1)
		select {
		case ask <- answer:
		case <-late.C:
			return errors.New("the configuration is being reloaded")
		}
		if <-answer {
			return errors.New("a signal has come meanwhile")
		}
	}
	if len(d.opt.Stop)+len(d.opt.Reload)+len(d.owner.inbox) > 0 {
		return errors.New("something has come meanwhile")
	}
	return nil
}

// exec replaces the program. It returns why it did not.
func (d *daemon) exec(h *standstill) error {
	f, err := sealed(h.octets)
	if err != nil {
		return err
	}
	defer f.Close()
	args := append([]string{d.opt.Binary}, os.Args[1:]...)
	env := append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, environment+"=") }),
		environment+"="+strconv.Itoa(int(f.Fd())))
	fds := append(h.carried.descriptors(), int(f.Fd()))

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := block(true); err != nil {
		return fmt.Errorf("blocking signals: %w", err)
	}
	defer func() { _ = block(false) }() // as it was
	if err := d.unheard(); err != nil {
		return err
	}
	// Nothing may be forked while the descriptors are open to children.
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	if err := keepOpen(fds, true); err != nil {
		_ = keepOpen(fds, false)
		return err
	}
	err = syscall.Exec(d.opt.Binary, args, env)
	_ = keepOpen(fds, false) // they are open: just now they were
	return fmt.Errorf("executing %s: %w", d.opt.Binary, err)
}

// pause is how the owner is made to stand still.
type pause struct {
	standing chan<- struct{} // closed when it does
	do       <-chan func()   // done by the owner meanwhile
	free     <-chan struct{} // closed: it goes on
}

// stand takes no step until it is free. What comes is kept in its order.
func (o *owner) stand(ctx context.Context, p pause) {
	o.saveNow()
	close(p.standing)
	inbox := o.inbox
	for {
		select {
		case <-ctx.Done():
			return
		case ev := <-inbox:
			o.late = append(o.late, ev)
		case n := <-o.notes:
			o.tell(n)
		case f := <-p.do:
			for range len(o.inbox) {
				o.late = append(o.late, <-o.inbox)
			}
			inbox = nil // what comes now comes too late to be written down
			f()
		case <-p.free:
			o.catchUp()
			return
		}
	}
}

// catchUp takes what came while the owner stood still.
func (o *owner) catchUp() {
	late := o.late
	o.late = nil
	o.fire()
	for _, ev := range late {
		o.step(ev)
	}
}

// carry writes what is the owner's into c.
func (o *owner) carry(c *carried) (err error) {
	c.At = time.Now()
	c.Node, c.Late, c.Asked, c.Builder = o.node, o.late, o.asked, o.builder
	c.Timers = o.timers.list()
	c.Metrics, err = o.metrics.HandOver()
	return err
}

// CheckHandover is what the new binary does for its proof: it reads what it
// would be given, and loads the configuration.
func CheckHandover(r io.Reader, opt Options) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("reading the hand-over: %w", err)
	}
	c, err := decodeCarried(b)
	if err != nil {
		return err
	}
	if _, err := load(opt); err != nil {
		return err
	}
	return errors.Join(ospf.CheckHandover(c.OSPF), zebra.CheckHandover(c.Zebra))
}

// BinaryPath is where the binary of this process is to be looked for: the path
// it was started by, which may be a link that an upgrade changes.
func BinaryPath() string {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		if path, err = os.Executable(); err != nil {
			return ""
		}
	}
	if path, err = filepath.Abs(path); err != nil {
		return ""
	}
	return path
}

// firstly is a listener whose first connections are there already.
type firstly struct {
	net.Listener
	conns chan net.Conn
}

// SyscallConn is the listener's own.
func (l *firstly) SyscallConn() (syscall.RawConn, error) {
	sc, ok := l.Listener.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("a %T has no descriptor", l.Listener)
	}
	return sc.SyscallConn()
}

func (l *firstly) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	default:
		return l.Listener.Accept()
	}
}
