package guest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A Machine is a QEMU that runs.
type Machine struct {
	qemu    *exec.Cmd
	ended   chan struct{} // closed when qemu has
	end     error         // why, then
	conn    net.Conn
	answers chan answer // closed when the machine does not answer any more
	last    int
}

// boots is how long a machine may take, by the host's clock, until it answers; an
// emulation on a busy host takes minutes at the worst.
const boots = 15 * time.Minute

// stuck is how long an answer may take more than its limit, by the host's clock,
// which the machine's own can lag behind by far.
const stuck = 20 * time.Minute

// Boot starts the machine whose kernel, initrd and root.ext4 are in disk, with the
// tar file beside it, and waits for its agent. What it writes on its console is
// kept in dir.
func Boot(ctx context.Context, disk, tar, dir string) (*Machine, error) {
	path := filepath.Join(dir, "port")
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	m := &Machine{ended: make(chan struct{}), answers: make(chan answer)}
	m.qemu = exec.CommandContext(ctx, "qemu-system-x86_64",
		"-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "1024", "-icount", "shift=1,sleep=on", "-rtc", "clock=vm",
		"-no-user-config", "-nodefaults", "-nographic", "-monitor", "none", "-nic", "none", "-device", "virtio-rng-pci",
		"-kernel", filepath.Join(disk, "kernel"), "-initrd", filepath.Join(disk, "initrd"),
		// No watchdog of the kernel's own: how slow the host is must not matter.
		"-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 panic=-1 nowatchdog",
		"-drive", "file="+filepath.Join(disk, "root.ext4")+",if=virtio,format=raw,snapshot=on",
		"-drive", "file="+tar+",if=virtio,format=raw,readonly=on",
		"-serial", "file:"+filepath.Join(dir, "console"),
		"-chardev", "socket,id=lab,path="+path, "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=lab,name="+port)
	said, err := os.Create(filepath.Join(dir, "qemu"))
	if err != nil {
		return nil, err
	}
	defer said.Close()
	m.qemu.Stdout, m.qemu.Stderr = said, said
	if err := m.qemu.Start(); err != nil {
		return nil, err
	}
	go func() {
		m.end = m.qemu.Wait()
		close(m.ended)
		l.Close() // nobody will come
	}()
	if m.conn, err = l.Accept(); err != nil {
		m.Close()
		return nil, fmt.Errorf("qemu ended at once (%w); it said:%s", m.end, indented(read(said.Name())))
	}
	go m.read()
	if err := m.greeted(ctx); err != nil {
		m.Close()
		return nil, fmt.Errorf("the machine does not come up: %w; the end of its console:%s", err, indented(tail(read(filepath.Join(dir, "console")), 2000)))
	}
	return m, nil
}

func (m *Machine) read() {
	defer close(m.answers)
	in := bufio.NewScanner(m.conn)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var a answer
		if err := json.Unmarshal(in.Bytes(), &a); err != nil {
			a = answer{ID: -1, Trouble: fmt.Sprintf("the machine answers %q: %v", tail(in.Text(), 200), err)}
		}
		select {
		case m.answers <- a:
		case <-m.ended:
			return
		}
	}
}

var errGone = errors.New("the machine is gone")

// greeted waits for the agent of a machine that boots.
func (m *Machine) greeted(ctx context.Context) error {
	a, err := m.answer(ctx, boots)
	if err == nil && a.ID != 0 {
		err = fmt.Errorf("%s (answer %d, where its agent should have started)", a.Trouble, a.ID)
	}
	return err
}

func (m *Machine) answer(ctx context.Context, limit time.Duration) (answer, error) {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case a, ok := <-m.answers:
		if !ok {
			return a, errGone
		}
		return a, nil
	case <-ctx.Done():
		return answer{}, context.Cause(ctx)
	case <-t.C:
		return answer{}, fmt.Errorf("no answer in %v", limit)
	}
}

// ask has a script run, and gives what became of it.
func (m *Machine) ask(ctx context.Context, script string, until bool, limit time.Duration) (answer, error) {
	m.last++
	text, err := json.Marshal(request{ID: m.last, Script: script, Until: until, Limit: limit})
	if err != nil {
		return answer{}, err
	}
	if _, err := m.conn.Write(append(text, '\n')); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errGone, err)
	}
	a, err := m.answer(ctx, limit+stuck)
	switch {
	case err != nil:
		return a, err
	case a.ID == 0:
		return a, errors.New("the machine has booted again by itself, or its agent has")
	case a.ID != m.last:
		return a, fmt.Errorf("%s (answer %d to request %d)", a.Trouble, a.ID, m.last)
	}
	return a, nil
}

// Reboot boots the machine again, in good order, and waits for it.
func (m *Machine) Reboot(ctx context.Context) error {
	// Some time later, for the answer to get out.
	a, err := m.ask(ctx, "systemd-run --quiet --on-active=2 systemctl reboot", false, time.Minute)
	if err == nil && a.Status != 0 {
		err = fmt.Errorf("status %d %s%s", a.Status, a.Trouble, indented(a.Out))
	}
	if err != nil {
		return fmt.Errorf("systemctl reboot: %w", err)
	}
	return m.greeted(ctx)
}

// Close switches the machine off.
func (m *Machine) Close() {
	_ = m.qemu.Process.Kill() // it may have ended
	<-m.ended
	if m.conn != nil {
		m.conn.Close()
	}
}
