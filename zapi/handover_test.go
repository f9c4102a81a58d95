package zapi_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/srrd/srrd/zapi"
	"github.com/srrd/srrd/zapi/zapitest"
)

// again is a connection of its own to the same socket, as another process has
// it after an exec.
func again(t *testing.T, conn net.Conn) net.Conn {
	t.Helper()
	f, err := conn.(*net.UnixConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// told waits until a change of that state was told.
func told(t *testing.T, changes <-chan zapi.Change, p string, s zapi.State) {
	t.Helper()
	for {
		select {
		case c := <-changes:
			if c.Prefix.String() == p && c.State == s {
				return
			}
		case <-t.Context().Done():
			t.Fatalf("%s is not %s", p, s)
		}
	}
}

func TestRoutesGoOnInAnotherProcess(t *testing.T) {
	d := dialect(t, "8.4.4")
	z := zapitest.Start(t, d)
	changes, links := make(chan zapi.Change, 100), make(chan bool, 100)
	cfg := zapi.RoutesConfig{
		Config:  zapi.Config{Path: z.Path(), Dialect: d, Proto: zapi.RouteTable, Instance: 201},
		Changed: func(c zapi.Change) { changes <- c },
		Link:    func(up bool, _ error) { links <- up },
	}
	run := func(r *zapi.Routes) (stop func() error) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		return func() error { cancel(); return <-done }
	}
	r, err := zapi.NewRoutes(cfg)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(r)
	a := func(s string) zapi.Announcement {
		return zapi.Announcement{Prefix: netip.MustParsePrefix(s), Interface: 1}
	}
	if err := r.Set(a("10.0.0.1/32")); err != nil {
		t.Fatal(err)
	}
	told(t, changes, "10.0.0.1/32", zapi.StateInstalled)
	if !<-links {
		t.Fatal("down first")
	}
	// Held and released it goes on as before; what was asked for meanwhile is done.
	for range 3 {
		h, err := r.Hold(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Set(a("10.0.0.2/32")); err != nil {
			t.Fatal(err)
		}
		h.Release()
		told(t, changes, "10.0.0.2/32", zapi.StateInstalled)
		r.Del(netip.MustParsePrefix("10.0.0.2/32"))
		told(t, changes, "10.0.0.2/32", zapi.StateRemoved)
	}
	h, err := r.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(h.State.Prefixes) != 1 || h.State.Prefixes[0].State != zapi.StateInstalled || !r.Idle() {
		t.Errorf("held with %+v", h.State)
	}
	before := len(z.Received())
	conn := again(t, h.Conn)
	h.Release()
	if err := stop(); !errors.Is(err, context.Canceled) { // the first process is gone, the socket is not
		t.Fatal(err)
	}
	next, err := zapi.ResumeRoutes(cfg, h.State, conn)
	if err != nil {
		t.Fatal(err)
	}
	stop = run(next)
	if err := next.Set(a("10.0.0.1/32")); err != nil { // what is so already is said to nobody
		t.Fatal(err)
	}
	if err := next.Set(a("10.0.0.3/32")); err != nil {
		t.Fatal(err)
	}
	told(t, changes, "10.0.0.3/32", zapi.StateInstalled)
	said := z.Received()[before:]
	if len(said) != 1 || said[0].(zapi.RouteAdd).Route.Prefix.String() != "10.0.0.3/32" {
		t.Errorf("said to zebra after the hand-over: %v", said)
	}
	if got := z.RIB(); len(got) != 2 {
		t.Errorf("zebra has %v", got)
	}
	if len(links) != 0 {
		t.Errorf("the connection was told to be %v", <-links)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// A message of which half has come stays to be read by who goes on.
func TestHalfAMessageIsHandedOver(t *testing.T) {
	d := dialect(t, "8.4.4")
	ours, zebras := socketPair(t)
	note, err := d.Append(nil, zapi.NotifyOwner{Prefix: netip.MustParsePrefix("10.0.0.1/32"), Note: zapi.NoteInstalled, Table: 254})
	if err != nil {
		t.Fatal(err)
	}
	hello, err := d.Append(nil, zapi.Capabilities{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := zapi.RoutesConfig{Config: zapi.Config{Dialect: d, Proto: zapi.RouteTable, Instance: 201,
		Dial: func(context.Context, string) (net.Conn, error) { return ours, nil }}}
	r, err := zapi.NewRoutes(cfg)
	if err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{}, 1)
	cfg.Link = func(bool, error) { up <- struct{}{} }
	if r, err = zapi.NewRoutes(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	if err := r.Set(zapi.Announcement{Prefix: netip.MustParsePrefix("10.0.0.1/32"), Interface: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := zebras.Write(slices.Concat(hello, note[:13])); err != nil {
		t.Fatal(err)
	}
	<-up
	h, err := r.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn := again(t, h.Conn)
	h.Release()
	cancel()
	<-done
	changes := make(chan zapi.Change, 10)
	cfg.Changed = func(c zapi.Change) { changes <- c }
	next, err := zapi.ResumeRoutes(cfg, h.State, conn)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	go func() { done <- next.Run(ctx) }()
	if _, err := zebras.Write(note[13:]); err != nil {
		t.Fatal(err)
	}
	told(t, changes, "10.0.0.1/32", zapi.StateInstalled)
	cancel()
	<-done
	_ = zebras.Close()
}

// socketPair is a unix connection and its other end.
func socketPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	path := t.TempDir() + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("unix", path); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func TestNothingIsHeldWithoutAConnection(t *testing.T) {
	cfg := zapi.RoutesConfig{Config: zapi.Config{Path: t.TempDir() + "/none", Dialect: dialect(t, "8.4.4"), Proto: zapi.RouteTable, Instance: 201}}
	down := make(chan error, 10)
	cfg.Link = func(_ bool, why error) { down <- why }
	r, err := zapi.NewRoutes(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	if why := <-down; !errors.Is(why, os.ErrNotExist) {
		t.Fatal(why)
	}
	if _, err := r.Hold(t.Context()); !errors.Is(err, zapi.ErrNotConnected) {
		t.Errorf("got %v", err)
	}
	cancel()
	<-done
}
