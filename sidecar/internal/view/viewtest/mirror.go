package viewtest

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/srrd/srrd/lsdb"
	"github.com/srrd/srrd/lsdb/lsa"
	"github.com/srrd/srrd/sidecar/internal/advert"
)

// mirror is a small database: each type of LSA that the lab has, and one that
// is being flushed. It panics when the fixture itself is wrong.
func mirror() *lsdb.Snapshot {
	db := lsdb.New(lsdb.Limits{})
	a := netip.MustParseAddr
	backbone, area1 := a("0.0.0.0"), a("0.0.0.1")
	put := func(area netip.Addr, h lsa.Header, body lsa.Body) {
		h.Seq, h.Options = lsa.InitialSeq+4, lsa.OptionE|lsa.OptionO
		raw, err := lsa.LSA{Header: h, Body: body}.Append(nil)
		if err != nil {
			panic(fmt.Sprintf("viewtest: %s: %v", h, err))
		}
		u := lsdb.Update{Area: area, IfAddr: a("10.1.0.1"), Self: h.AdvRouter == N1.Addr(), Raw: raw}
		if _, err := db.Update(ago(20*time.Second), u); err != nil {
			panic(fmt.Sprintf("viewtest: %s: %v", h, err))
		}
	}
	n1, r1, r2 := N1.Addr(), a("10.255.0.101"), a("10.255.0.102")
	put(backbone, lsa.Header{Type: lsa.TypeRouter, Age: 100, ID: n1, AdvRouter: n1}, lsa.Router{Flags: lsa.FlagE, Links: []lsa.RouterLink{
		{Type: lsa.LinkTransit, ID: a("10.1.0.254"), Data: a("10.1.0.1"), Metric: 10},
		{Type: lsa.LinkStub, ID: n1, Data: a("255.255.255.255"), Metric: 0},
	}})
	put(backbone, lsa.Header{Type: lsa.TypeRouter, Age: 1200, ID: r1, AdvRouter: r1}, lsa.Router{Flags: lsa.FlagB, Links: []lsa.RouterLink{
		{Type: lsa.LinkTransit, ID: a("10.1.0.254"), Data: a("10.1.0.254"), Metric: 10},
	}})
	put(backbone, lsa.Header{Type: lsa.TypeNetwork, Age: 30, ID: a("10.1.0.254"), AdvRouter: r1}, lsa.Network{Bits: 24, Routers: []netip.Addr{r1, n1}})
	put(backbone, lsa.Header{Type: lsa.TypeSummary, Age: 30, ID: a("10.2.0.0"), AdvRouter: r1}, lsa.Summary{Bits: 16, Metric: 20})
	put(backbone, lsa.Header{Type: lsa.TypeASBRSummary, Age: 30, ID: r2, AdvRouter: r1}, lsa.Summary{Metric: 20})
	for _, addr := range addrs("192.0.2.10", "192.0.2.11") {
		put(netip.Addr{}, lsa.Header{Type: lsa.TypeASExternal, Age: 280, ID: addr, AdvRouter: n1}, lsa.External{Bits: 32, E2: true, Metric: 20, Forward: a("0.0.0.0")})
	}
	put(area1, lsa.Header{Type: lsa.TypeNSSA, Age: 30, ID: a("10.9.0.0"), AdvRouter: r2}, lsa.External{Bits: 24, Metric: 20, Forward: a("10.3.0.2"), Tag: 7})
	put(backbone, lsa.Header{Type: lsa.TypeOpaqueLink, Age: 5, ID: a("222.0.0.3"), AdvRouter: N2.Addr()},
		serviceBody(&advert.Service{Stamp: advert.Stamp{Incarnation: 1773100000, Generation: 70}, Name: "ntp", State: advert.Stopped, Addresses: addrs("192.0.2.61")}))
	put(backbone, lsa.Header{Type: lsa.TypeOpaqueArea, Age: 5, ID: a("1.0.0.1"), AdvRouter: r1}, lsa.Opaque{Data: []byte{0, 1, 0, 4, 10, 255, 0, 101}})
	put(netip.Addr{}, lsa.Header{Type: lsa.TypeOpaqueAS, Age: lsa.MaxAge, ID: a("222.11.0.6"), AdvRouter: n1}, dnsBody(117))
	put(netip.Addr{}, lsa.Header{Type: lsa.TypeOpaqueAS, Age: 2, ID: a("222.12.0.6"), AdvRouter: n1}, dnsBody(118))
	put(netip.Addr{}, lsa.Header{Type: lsa.TypeOpaqueAS, Age: 2, ID: a("222.0.1.0"), AdvRouter: n1}, nodeBody())
	put(netip.Addr{}, lsa.Header{Type: lsa.TypeOpaqueAS, Age: 900, ID: a("222.0.0.9"), AdvRouter: N3.Addr()}, lsa.Opaque{Data: []byte{1, 2, 0, 0, 0, 3, 0, 0}})
	return db.Snapshot()
}

func dnsBody(generation uint32) lsa.Opaque {
	return serviceBody(&advert.Service{
		Stamp: advert.Stamp{Incarnation: 1773370842, Generation: generation}, Name: "dns", Preference: 100, State: advert.Started,
		Addresses: addrs("192.0.2.10", "192.0.2.11"), Claim: advert.NewClaim(4, N1), Seen: advert.NewClaim(4, N1),
	})
}

func nodeBody() lsa.Opaque {
	n := advert.Node{Stamp: advert.Stamp{Incarnation: 1773370842, Generation: 118}, Host: "n1", Version: "0.1.0",
		Web: netip.MustParseAddrPort("10.1.0.1:8443"), State: advert.Online}
	data, err := n.Append(nil)
	if err != nil {
		panic("viewtest: " + err.Error())
	}
	return lsa.Opaque{Data: data}
}

func serviceBody(s *advert.Service) lsa.Opaque {
	data, err := s.Append(nil)
	if err != nil {
		panic("viewtest: " + err.Error())
	}
	return lsa.Opaque{Data: data}
}
