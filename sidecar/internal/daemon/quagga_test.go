package daemon

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/srrd/srrd/zapi"
)

// The whole daemon on a scripted Quagga of each ZAPI: an alias is announced
// through VTY lines Quagga knows, way local is refused with its reason, zebra is
// observed and nothing else.
func TestOnQuaggaAnAliasIsAnnouncedAndWayLocalIsRefused(t *testing.T) {
	if !alone(t) {
		return
	}
	for _, version := range []string{"Quagga 1.2.4 (n1).", "Quagga 0.99.22.4 (n1)."} {
		s := newSuiteOf(t, version)
		if strings.Contains(version, " 0.99") { // scope as would be the end of its ospfd
			s.write("srrd.yaml", mustRead(t, s.files, "srrd.yaml")+"scope: {area: 0.0.0.0}\n")
		}
		s.service("mail", "addresses: 10.250.0.2\n") // way local is the default
		s.write("mail/Makefile", mustRead(t, s.files, "web/Makefile"))
		s.service("web", "addresses: "+vip.String()+"\naddress: alias\nannounce: redistribute\n")
		l := s.start(t)
		l.until("show events", "Quagga's ospfd redistributes no table")
		l.until("show service mail", "use address: alias")
		s.external(t, 0x80000001)
		l.until("show service web", "active/started")
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		addrs, err := netlink.AddrList(lo, netlink.FAMILY_V4)
		if err != nil || !slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.IP.String() == vip.String() && a.Label == "lo:srrd" }) {
			t.Errorf("%s: addresses of lo: %v, %v", version, addrs, err)
		}
		l.stop <- syscall.SIGTERM
		l.end("<nil>")
		s.mu.Lock()
		said := strings.Join(s.said, "\n")
		s.mu.Unlock()
		for _, line := range []string{"ospfd redistribute connected route-map SRRD-VIP", "ospfd ip prefix-list SRRD-VIP permit 10.250.0.1/32", "ospfd show ip ospf interface"} {
			if !strings.Contains(said, line) {
				t.Errorf("%s: ospfd was not told %q, but:\n%s", version, line, said)
			}
		}
		for _, line := range []string{"json", "redistribute table", "bfd"} {
			if strings.Contains(said, line) {
				t.Errorf("%s: Quagga was told of %q, which it does not know:\n%s", version, line, said)
			}
		}
		for _, m := range s.zebra.Received() {
			if _, asked := m.(zapi.RouterIDRequest); !asked {
				t.Errorf("%s: zebra was sent %T", version, m)
			}
		}
		if n := localRoutes(t); n != 0 {
			t.Errorf("%s: %d local routes are left", version, n)
		}
	}
}
