package viewtest

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// Now is the moment of the snapshot.
var Now = time.Date(2026, time.March, 14, 3, 0, 42, 250_000_000, time.UTC)

// The nodes. N1 is the one whose view it is.
var (
	N1 = router("10.255.0.1")
	N2 = router("10.255.0.2")
	N3 = router("10.255.0.3")
	N4 = router("10.255.0.4") // gone
)

func router(s string) machine.RouterID { return advert.RouterIDFrom(netip.MustParseAddr(s)) }

func addrs(all ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range all {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func ago(d time.Duration) time.Time { return Now.Add(-d) }

// Snapshot makes the snapshot; each call a new one.
func Snapshot() *view.Snapshot {
	var b view.Builder
	feed(&b)
	return b.Snapshot(Now, machineView(), view.Database{Mirror: mirror(), Decode: Decode})
}

// feed tells the builder what happened.
func feed(b *view.Builder) {
	b.Note(ago(26*time.Hour), machine.LevelInfo, "", "srrd 0.1.0 started, incarnation 1773370842")
	b.Step(ago(25*time.Hour), machine.OSPFUp{Router: N1}, []machine.Action{
		machine.Note{Level: machine.LevelInfo, Text: "session with ospfd is up, router id 10.255.0.1"},
	})
	feedFailovers(b)
	dns := addrs("192.0.2.10", "192.0.2.11")
	b.Step(ago(5*time.Minute+2*time.Second), machine.Synced{}, []machine.Action{
		machine.SetAddresses{Service: "dns", Addresses: dns, On: true},
		machine.Note{Level: machine.LevelInfo, Service: "dns", Text: "claims it: this node is the best candidate"},
	})
	for _, a := range dns {
		b.Step(ago(5*time.Minute+time.Second), machine.AddressState{Addr: a, Present: true}, nil)
	}
	b.Step(ago(5*time.Minute), machine.PrimitiveDone{Service: "dns"}, []machine.Action{
		machine.Announce{Service: "dns", Addresses: dns, On: true},
		machine.Note{Level: machine.LevelInfo, Service: "dns", Text: "started on n1"},
	})
	b.Step(ago(5*time.Minute), machine.RouteState{Addr: dns[0], State: machine.RouteInstalled}, nil)
	b.Step(ago(90*time.Second), machine.RouteState{Addr: dns[1], State: machine.RouteBeaten, Text: "a static route to the same prefix is preferred"}, nil)

	ftp := addrs("192.0.2.50")
	b.Step(ago(3*time.Second), machine.Synced{}, []machine.Action{
		machine.SetAddresses{Service: "ftp", Addresses: ftp, On: true},
		machine.Note{Level: machine.LevelInfo, Service: "ftp", Text: "claims it: n4 did not claim it in time, and this node is the next best"},
	})
	b.Step(ago(2*time.Second), machine.AddressState{Addr: ftp[0], Err: "device eth9 does not exist"}, nil)

	mail := addrs("192.0.2.30")
	b.Step(ago(400*time.Millisecond), machine.AddressState{Addr: mail[0], Present: true}, []machine.Action{
		machine.Note{Level: machine.LevelWarning, Service: "mail", Text: "stops: n2 is a better claimant"},
	})
	b.Step(ago(300*time.Millisecond), machine.LSASeen{Router: N3}, []machine.Action{
		machine.Note{Level: machine.LevelError, Service: "db", Text: "failed here: start: mysqld: disk full\x1b[31m"},
	})
}

func machineView() machine.View {
	return machine.View{
		At: Now, Router: N1, Host: "n1", Version: "0.1.0",
		Incarnation: 1773370842, Generation: 118, Node: advert.Online,
		OSPF:  machine.OSPFView{Up: true, Since: ago(25 * time.Hour), Synced: true, InSync: true, Full: 2, OwnLSAs: 9, Unechoed: 1},
		Zebra: machine.ZebraView{Up: true, Since: ago(25 * time.Hour)},
		Nodes: []machine.NodeView{
			{Router: N1, Host: "n1", Self: true, State: advert.Online, Status: "present", Since: ago(25 * time.Hour), Version: "0.1.0",
				Web: netip.MustParseAddrPort("10.1.0.1:8443"), Incarnation: 1773370842, Generation: 118, Offers: 9, Runs: 1, LastHeard: ago(2 * time.Second)},
			{Router: N2, Host: "n2", State: advert.Online, Status: "present", Since: ago(3 * 24 * time.Hour), Version: "0.1.0",
				Incarnation: 1773100000, Generation: 77, Offers: 5, Runs: 2, LastHeard: ago(12 * time.Second)},
			{Router: N3, Host: "n3", State: advert.Standby, Status: "present", Since: ago(7 * time.Hour), Version: "0.1.0",
				Web: netip.MustParseAddrPort("10.1.0.3:8443"), Incarnation: 1773400000, Generation: 9, Offers: 2, LastHeard: ago(40 * time.Minute)},
			{Router: N4, Host: "n4", State: advert.Online, Status: "unreachable", Since: ago(8 * time.Second), Version: "0.0.9",
				Incarnation: 1773000000, Generation: 1024, Offers: 2, Runs: 1, LastHeard: ago(8 * time.Second)},
		},
		Services: services(),
		Bad: []machine.BadLSAView{
			{Router: N3, LSA: "222.0.0.9 (as)", Why: "body of 7 bytes is shorter than its header says", Since: ago(40 * time.Minute)},
		},
		Refused: []machine.RefusalView{
			{Reason: advert.Unsigned, Why: advert.Unsigned.Why(), Count: 17, Present: 3, Router: router("10.255.0.99"), LSA: "222.4.0.9 (as)", First: ago(2 * time.Hour), Last: ago(time.Minute)},
		},
	}
}

// self and peer make offers that count.
func self(state advert.State, step advert.Step, pref uint8, rank int) machine.OfferView {
	return machine.OfferView{Router: N1, Host: "n1", Self: true, Counts: true, Config: "active", State: state, Step: step, Preference: pref, Rank: rank, LastHeard: ago(2 * time.Second)}
}

// unoffered is this node where it does not flood the service.
func unoffered(config, why string) machine.OfferView {
	o := self(advert.Stopped, advert.StepNone, 100, 0)
	o.Counts, o.Config, o.WhyNot = false, config, why
	return o
}

func peer(id machine.RouterID, state advert.State, pref uint8, rank int) machine.OfferView {
	last := id.Addr().As4()[3]
	return machine.OfferView{Router: id, Host: fmt.Sprintf("n%d", last), Counts: true, Config: "active", State: state, Preference: pref, Rank: rank, LastHeard: ago(12 * time.Second)}
}

func with(o machine.OfferView, change func(*machine.OfferView)) machine.OfferView {
	change(&o)
	return o
}
