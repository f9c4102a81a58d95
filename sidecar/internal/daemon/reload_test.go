package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/srrd/srrd/sidecar/internal/view"
)

// files is a configuration on disk.
type files struct {
	t   testing.TB
	dir string
}

func newFiles(t testing.TB) files {
	t.Helper()
	f := files{t, t.TempDir()}
	f.write("srrd.yaml", "host: n1\nstate_dir: "+f.dir+"/state\nrun_dir: "+f.dir+"/run\nshell:\n  socket: "+f.dir+"/run/srrd.vty\n")
	f.service("web", "addresses: 10.250.0.1\n")
	return f
}

func (f files) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// service writes a service with a Makefile that has everything.
func (f files) service(name, text string) {
	f.t.Helper()
	mk, err := filepath.Abs("../../../deploy/service/default.mk")
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(name+"/Makefile", "include "+mk+"\nstart stop status check:\n\t@true\n")
	f.write("services.d/"+name+".yaml", text+"dir: "+filepath.Join(f.dir, name)+"\n")
}

func (f files) options() (Options, *lines) {
	log := &lines{}
	level := &slog.LevelVar{}
	return Options{Config: filepath.Join(f.dir, "srrd.yaml"), Version: "test", Level: level,
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level}))}, log
}

// configured is a daemon without ports: an owner and the goroutine that
// changes the configuration.
func configured(t *testing.T, f files, hup <-chan os.Signal) (*daemon, *lines) {
	t.Helper()
	opt, log := f.options()
	opt.Reload = hup
	c, err := load(opt)
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{opt: opt, log: opt.Log, reloads: make(chan reload)}
	d.owner, _ = testOwner()
	d.board = d.owner.board
	d.adopt(c)
	ctx, cancel := context.WithCancel(context.Background())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.owner.run(ctx) })
	g.Go(func() error { return d.configure(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
	return d, log
}

func TestReloadTakesOverWhatChanged(t *testing.T) {
	f := newFiles(t)
	d, _ := configured(t, f, nil)
	if text, err := d.Reload(t.Context()); text != "nothing has changed" || err != nil {
		t.Errorf("nothing changed: %q, %v", text, err)
	}
	f.service("dns", "addresses: 10.250.0.2\n")
	f.service("web", "addresses: 10.250.0.1\npreference: 7\n")
	f.write("srrd.yaml", mustRead(t, f, "srrd.yaml")+"log: error\n")
	const want = "log: info -> error\nservice dns: new\nservice web preference: 100 -> 7"
	if text, err := d.Plan(t.Context()); text != want || err != nil {
		t.Errorf("plan: %q, %v", text, err)
	}
	if _, ok := d.primitiveSetting("dns"); ok {
		t.Error("plan changed something")
	}
	if text, err := d.Reload(t.Context()); text != want || err != nil {
		t.Errorf("reload: %q, %v", text, err)
	}
	if s, ok := d.primitiveSetting("dns"); !ok || s.Dir != filepath.Join(f.dir, "dns") {
		t.Errorf("dns: %+v, %v", s, ok)
	}
	if d.opt.Level.Level() != slog.LevelError {
		t.Errorf("logs from %v", d.opt.Level)
	}
	if text, err := d.Plan(t.Context()); text != "nothing would change" || err != nil {
		t.Errorf("plan after it: %q, %v", text, err)
	}
	snap, err := d.board.Read(t.Context())
	if err != nil || len(snap.Machine.Services) != 2 {
		t.Errorf("the machine knows %d services, %v", len(snap.Machine.Services), err)
	}
}

// Without it the first service that a running srrd is given is never announced.
func TestAReloadPreparesOspfdForTheNewServicesBeforeTheMachineHearsOfThem(t *testing.T) {
	f := newFiles(t)
	d, log := configured(t, f, nil)
	var heard []int
	d.prepare = func(ctx context.Context) error {
		snap, err := d.board.Read(ctx)
		if err != nil {
			return err
		}
		heard = append(heard, len(d.addressServices()), len(snap.Machine.Services))
		return errors.New("no ospfd")
	}
	if _, err := d.Reload(t.Context()); err != nil || heard != nil {
		t.Errorf("nothing changed: prepared with %v, %v", heard, err)
	}
	f.service("dns", "addresses: 10.250.0.2\n")
	if _, err := d.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The daemon here has no Configured of its start.
	if len(heard) != 2 || heard[0] != 2 || heard[1] != 0 {
		t.Errorf("prepared for %v (services in force, services of the machine), want 2 and 0", heard)
	}
	if !strings.Contains(log.String(), "no ospfd") {
		t.Errorf("nothing is said of what failed: %s", log)
	}
}

func mustRead(t *testing.T, f files, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestABadConfigurationLeavesTheOldInForce(t *testing.T) {
	f := newFiles(t)
	d, _ := configured(t, f, nil)
	before := d.config.Load()
	f.write("services.d/web.yaml", "addresses: 10.250.0.1\nprefrence: 7\n")
	f.write("services.d/dns.yaml", "addresses: nowhere\n")
	_, err := d.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), "web.yaml:2:1: prefrence") || !strings.Contains(err.Error(), "dns.yaml:1:12: addresses") {
		t.Errorf("reload: %v", err)
	}
	if _, err := d.Plan(t.Context()); err == nil {
		t.Error("plan of a bad configuration succeeds")
	}
	if d.config.Load() != before {
		t.Error("the configuration was changed")
	}
}

func TestKeysThatNeedARestartRefuseTheReload(t *testing.T) {
	f := newFiles(t)
	d, _ := configured(t, f, nil)
	before := d.config.Load()
	f.write("srrd.yaml", strings.Replace(mustRead(t, f, "srrd.yaml"), "/state", "/elsewhere", 1)+"frr: {table: 9}\n")
	f.service("dns", "addresses: 10.250.0.2\n")
	if _, err := d.Reload(t.Context()); err == nil || err.Error() != "a running srrd cannot change state_dir, frr.table: restart it" {
		t.Errorf("reload: %v", err)
	}
	if text, err := d.Plan(t.Context()); err != nil || !strings.Contains(text, "(after a restart of srrd)") {
		t.Errorf("plan: %q, %v", text, err)
	}
	if d.config.Load() != before {
		t.Error("half of it was taken over")
	}
}

func TestARemovedServiceKeepsItsPrimitivesUntilItIsStopped(t *testing.T) {
	f := newFiles(t)
	d, _ := configured(t, f, nil)
	if err := os.Remove(filepath.Join(f.dir, "services.d/web.yaml")); err != nil {
		t.Fatal(err)
	}
	if text, err := d.Reload(t.Context()); text != "service web: removed" || err != nil {
		t.Errorf("reload: %q, %v", text, err)
	}
	if s, ok := d.primitiveSetting("web"); !ok || s.Dir != filepath.Join(f.dir, "web") {
		t.Errorf("its directory: %+v, %v", s, ok)
	}
	if _, ok := d.addressSetting("web"); !ok || !d.isLocal("web") {
		t.Error("its address cannot be taken off any more")
	}
	if got := d.addressServices(); len(got) != 0 {
		t.Errorf("ospfd is still prepared for %v", got)
	}
	if got := d.announceable(); len(got) != 1 {
		t.Errorf("its address is not cleared any more: %v", got)
	}
}

func TestADirectoryThatLacksPrimitivesIsToldAndNoReasonToRefuse(t *testing.T) {
	f := newFiles(t)
	d, _ := configured(t, f, nil)
	f.service("dns", "addresses: 10.250.0.2\n")
	f.write("dns/Makefile", "start:\n\t@true\n")
	text, err := d.Reload(t.Context())
	if err != nil || !strings.HasPrefix(text, "service dns: new\n") || !strings.Contains(text, "dns.yaml:2:") || !strings.Contains(text, "stop") {
		t.Errorf("reload: %q, %v", text, err)
	}
}

func TestSIGHUPReloads(t *testing.T) {
	f := newFiles(t)
	hup := make(chan os.Signal)
	d, log := configured(t, f, hup)
	f.service("dns", "addresses: 10.250.0.2\n")
	hup <- os.Interrupt                                                                  // which one is of no interest
	if text, err := d.Reload(t.Context()); err != nil || text != "nothing has changed" { // behind it
		t.Errorf("reload: %q, %v", text, err)
	}
	f.write("services.d/dns.yaml", "bogus: 1\n")
	hup <- os.Interrupt // taken when the one before is done
	if _, err := d.Reload(t.Context()); err == nil {
		t.Error("the bad file is taken over")
	}
	for _, want := range []string{`msg="configuration reloaded" result="service dns: new"`, `level=ERROR msg="the configuration was not reloaded, the old one stays"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no line %s in:\n%s", want, log)
		}
	}
}

func TestAReloadEndsWithTheDaemon(t *testing.T) {
	d := &daemon{reloads: make(chan reload)}
	d.owner, _ = testOwner()
	close(d.owner.done)
	if _, err := d.Reload(t.Context()); !errors.Is(err, view.ErrClosed) {
		t.Errorf("reload: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.owner, _ = testOwner()
	if _, err := d.Reload(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("reload: %v", err)
	}
}

func TestASecondSrrdIsRefused(t *testing.T) {
	f := newFiles(t)
	if err := os.MkdirAll(filepath.Join(f.dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	first, err := lock(filepath.Join(f.dir, "run/srrd.lock"))
	if err != nil {
		t.Fatal(err)
	}
	opt, _ := f.options()
	if err := Run(t.Context(), opt); err == nil || err.Error() != "another srrd runs with "+filepath.Join(f.dir, "run/srrd.lock") {
		t.Errorf("Run: %v", err)
	}
	_ = first.Close()
	again, err := lock(filepath.Join(f.dir, "run/srrd.lock"))
	if err != nil {
		t.Fatalf("a lock that was given back: %v", err)
	}
	_ = again.Close()
}

func TestAConfigurationWithProblemsStartsNothing(t *testing.T) {
	f := newFiles(t)
	f.write("services.d/web.yaml", "bogus: 1\n")
	opt, _ := f.options()
	if err := Run(t.Context(), opt); err == nil || !strings.Contains(err.Error(), "web.yaml:1:1: bogus: unknown key") {
		t.Errorf("Run: %v", err)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "run")); err == nil {
		t.Error("its directories were made all the same")
	}
}

func TestTheSecondSignalEndsAtOnceThoughTheOwnerHangs(t *testing.T) {
	stop := make(chan os.Signal)
	d := &daemon{opt: Options{Stop: stop}, log: slog.New(slog.DiscardHandler)}
	d.owner, _ = testOwner() // which nobody runs
	for range inboxSize {
		d.owner.inbox <- nil
	}
	ended := make(chan error, 1)
	go func() { ended <- d.signals(t.Context()) }()
	stop <- os.Interrupt
	stop <- os.Interrupt
	if err := <-ended; err == nil || err.Error() != "second signal (interrupt): ended without stopping the services in order" {
		t.Errorf("signals: %v", err)
	}
}
