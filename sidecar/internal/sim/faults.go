package sim

import (
	"net/netip"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// routes reports whether ospfd is to redistribute the address: zebra has it,
// as far as ospfd knows.
func (h *host) routes(a netip.Addr) bool { return h.zebra[a] && !h.noZebra }

// redistribute has ospfd announce what zebra has of these addresses, or of all
// that are there, and withdraw the others. An ospfd that has lost zebra, and
// not found it again, keeps what it said.
func (s *Sim) redistribute(h *host, addrs ...netip.Addr) {
	if !h.ospf.up || h.ospf.blind {
		return
	}
	if addrs == nil {
		addrs = sortedAddrs(h.zebra)
	}
	for _, a := range addrs {
		if h.routes(a) {
			s.originate(h, h.external(a))
		} else {
			s.flush(h, s.id(lsaKey{origin: h.id, addr: a}))
		}
	}
}

// KillZebra ends zebra on node i: its routes are gone, ospfd keeps announcing
// them.
func (s *Sim) KillZebra(i int) {
	h := s.hosts[i]
	if !h.on || h.noZebra {
		return
	}
	s.Log("--- zebra of %s is killed", h.name)
	h.noZebra, h.ospf.blind = true, true
	s.post(h, 0, machine.ZebraDown{Why: "the session was closed"})
}
