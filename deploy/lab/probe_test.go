package lab

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

// Of two targets one answers: each is accounted for by itself.
func TestTargetsTakeTurnsAndAreAccountedForApart(t *testing.T) {
	free, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	there := free.LocalAddr().(*net.UDPAddr).AddrPort()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	gone := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), there.Port())
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- Answer(ctx, "n1", there, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	p, err := StartProbe(ProbeConfig{Target: gone, More: []netip.AddrPort{there}, Grace: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := p.WaitAnswer(t.Context(), "n1"); err != nil {
			t.Fatal(err)
		}
	}
	whole := p.Stop()
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	all := p.Reports()
	if len(all) != 2 || all[0].Target != gone.String() || all[1].Target != there.String() {
		t.Fatalf("reports of %+v", all)
	}
	if all[0].Total.Sent+all[1].Total.Sent != whole.Total.Sent || all[0].Interval != 2*time.Millisecond {
		t.Errorf("sent %d and %d of %d, every %s", all[0].Total.Sent, all[1].Total.Sent, whole.Total.Sent, all[0].Interval)
	}
	if d := all[0].Total.Sent - all[1].Total.Sent; d != 0 && d != 1 {
		t.Errorf("sent %d and %d: they do not take turns", all[0].Total.Sent, all[1].Total.Sent)
	}
	if all[0].Total.Lost != all[0].Total.Sent || all[1].Total.ByNode["n1"] == 0 {
		t.Errorf("the one that is gone: %+v, the other: %+v", all[0].Total, all[1].Total)
	}
	if _, err := StartProbe(ProbeConfig{Target: there, More: []netip.AddrPort{{}}}); err == nil {
		t.Error("a target that is none is taken")
	}
}
