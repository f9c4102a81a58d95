package primitive

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
`

// fakeSystemd answers for systemd on a bus of its own.
type fakeSystemd struct {
	conn  *dbus.Conn
	asked chan string // the states it was asked for and gave

	mu    sync.Mutex
	state string
}

const fakeUnit = dbus.ObjectPath("/org/freedesktop/systemd1/unit/web_2eservice")

func (f *fakeSystemd) Subscribe() *dbus.Error { return nil }

func (f *fakeSystemd) LoadUnit(name string) (dbus.ObjectPath, *dbus.Error) {
	if name != "web.service" {
		return "", dbus.MakeFailedError(fmt.Errorf("no unit %s", name))
	}
	return fakeUnit, nil
}

func (f *fakeSystemd) Get(iface, property string) (dbus.Variant, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked <- f.state
	return dbus.MakeVariant(f.state), nil
}

// becomes changes the unit's state and signals it, as systemd does.
func (f *fakeSystemd) becomes(t *testing.T, state string) {
	t.Helper()
	f.mu.Lock()
	f.state = state
	f.mu.Unlock()
	if err := f.conn.Emit(fakeUnit, busProperties+".PropertiesChanged", systemdUnit,
		map[string]dbus.Variant{"ActiveState": dbus.MakeVariant(state)}, []string{}); err != nil {
		t.Fatal(err)
	}
}

// was waits until the unit's state was asked for and was this.
func (f *fakeSystemd) was(t *testing.T, state string) {
	t.Helper()
	for {
		select {
		case got := <-f.asked:
			if got == state {
				return
			}
		case <-time.After(time.Minute): // a bound for a broken test, not a wait
			t.Fatalf("nobody asked for the state %s", state)
		}
	}
}

// newSystemd starts a bus with a fake systemd on it and gives its address.
func newSystemd(t *testing.T, state string) (*fakeSystemd, string) {
	t.Helper()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Fatal("no dbus-daemon on this machine (Debian: apt install dbus-daemon); make test installs it")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, filepath.Join(dir, "bus")), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config-file="+config, "--nofork", "--print-address")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSpace(address)
	f := &fakeSystemd{state: state, asked: make(chan string, 100)}
	if f.conn, err = dbus.Connect(address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.conn.Close() })
	for _, e := range []struct {
		path  dbus.ObjectPath
		iface string
	}{{systemdPath, systemdManager}, {fakeUnit, busProperties}} {
		if err := f.conn.Export(f, e.path, e.iface); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.conn.RequestName(systemdName, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	return f, address
}

// unitWatcher is a running port whose services are units of the bus.
func unitWatcher(t *testing.T, address, unit string, log slog.Handler) *watcher {
	t.Helper()
	w := &watcher{t: t, events: make(chan machine.Event, 100), dir: t.TempDir()}
	w.port = New(Config{
		Emit:   func(e machine.Event) { w.events <- e },
		Dirs:   func(string) (Setting, bool) { return Setting{Dir: w.dir, Unit: unit, Grace: time.Minute}, true },
		RunDir: t.TempDir(), Log: slog.New(log),
	})
	w.port.bus = func(o ...dbus.ConnOption) (*dbus.Conn, error) { return dbus.Connect(address, o...) }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.port.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return w
}

func TestTheEndOfAWatchedUnitIsToldOnceAndAtOnce(t *testing.T) {
	f, address := newSystemd(t, "activating")
	w := unitWatcher(t, address, "web.service", slog.DiscardHandler)
	var took []time.Duration
	before := "activating"
	for _, last := range []string{"failed", "inactive", "deactivating", "activating", "failed"} {
		w.watch("web", true)
		f.was(t, before) // not running: it has its grace
		f.becomes(t, "active")
		f.was(t, "active")
		f.becomes(t, "reloading")
		f.was(t, "reloading")
		f.becomes(t, "active")
		f.was(t, "active")
		began := time.Now()
		f.becomes(t, last)
		e := w.ended()
		took = append(took, time.Since(began))
		if want := "unit web.service is " + last; e.Service != "web" || e.Text != want {
			t.Errorf("got %+v, want %q", e, want)
		}
		f.was(t, last)
		before = last
	}
	slices.Sort(took)
	t.Logf("told after %s at best, %s at worst", took[0], took[len(took)-1])
	if len(w.events) > 0 {
		t.Errorf("told more than once: %v", <-w.events)
	}
}

func TestWithoutABusNothingIsToldOfAUnit(t *testing.T) {
	lines := make(chan string, 10)
	w := unitWatcher(t, "unix:path="+filepath.Join(t.TempDir(), "none"), "web.service",
		slog.NewTextHandler(writer(func(b []byte) { lines <- string(b) }), nil))
	w.watch("web", true)
	select {
	case got := <-lines:
		if !strings.Contains(got, "only be seen by checks") || !strings.Contains(got, "system bus") {
			t.Errorf("logged %q", got)
		}
	case <-time.After(time.Minute): // a bound for a broken test, not a wait
		t.Fatal("nothing was logged")
	}
	w.watch("web", false)
	if len(w.events) > 0 {
		t.Errorf("told %v", <-w.events)
	}
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }
