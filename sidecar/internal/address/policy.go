package address

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/vty"
)

// situation is all that Prepare decides on.
type situation struct {
	running  vty.Block // of ospfd
	services []Service
	table    uint16 // N of `redistribute table N`; 0: not to be set
	quagga   bool   // ospfd is Quagga's, which redistributes no table
	// deaf: this ospfd takes no `redistribute` any more, see speaker.
	deaf      bool
	announced map[netip.Addr]bool // by `redistribute connected`, now
	withheld  map[netip.Addr]bool // withdrawn without a zebra to say so, see speaker
	noted     residue
	wished    map[netip.Addr]netip.Addr // network statements in force, with their area
	kept      map[netip.Addr]bool       // adopted addresses nobody has decided on
}

// preparation is what there is to do.
type preparation struct {
	policy  []string // lines for vty.ClassPolicy
	ospf    []string // lines inside `router ospf`
	notes   []string
	noted   residue             // before the lines are set
	after   residue             // once they are
	foreign map[netip.Addr]bool // network statements that are the operator's
	permits map[netip.Addr]bool // what prefix-list SRRD-VIP lets through afterwards
}

// prepare compares ospfd's configuration with what the services need. It never
// takes away a line that is not noted as srrd's own.
func prepare(s situation) preparation {
	p := preparation{noted: s.noted.clone(), foreign: map[netip.Addr]bool{}, permits: map[netip.Addr]bool{}}
	ospf, _ := s.running.Block("router ospf")
	p.after = p.noted
	p.local(s, ospf)
	p.permit(s)
	p.redistribute(s, ospf)
	p.networks(s, ospf)
	return p
}

func (p *preparation) local(s situation, ospf vty.Block) {
	if s.table == 0 || !slices.ContainsFunc(s.services, func(v Service) bool { return v.Setting.Way == machine.WayLocal }) {
		return
	}
	line := fmt.Sprintf("redistribute table %d", s.table)
	if s.quagga {
		p.notes = append(p.notes, "Quagga's ospfd redistributes no table: the addresses of way local are announced by nobody here; use address: alias")
		return
	}
	if ospf.Has(line) {
		return
	}
	p.ospf = append(p.ospf, line)
	p.notes = append(p.notes, fmt.Sprintf("set `%s` in ospfd: it announces the addresses of way local", line))
}

// viaConnected lists the addresses `redistribute connected` has to announce.
func viaConnected(services []Service) []netip.Addr {
	var all []netip.Addr
	for _, v := range services {
		if v.Setting.Way == machine.WayAlias && v.Setting.Announce == AnnounceRedistribute {
			all = append(all, v.Addresses...)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// permit brings the prefix-list to let through exactly what is wanted, as far
// as its entries are ours.
func (p *preparation) permit(s situation) {
	want := viaConnected(s.services)
	if s.deaf { // it would keep what it announced for ever; what is denied it flushes
		want = slices.DeleteFunc(want, func(a netip.Addr) bool { return !s.announced[a] })
	}
	want = slices.DeleteFunc(want, func(a netip.Addr) bool { return s.withheld[a] })
	list := parsePrefixList(s.running, PolicyName)
	for _, addr := range s.noted.Permits {
		if slices.Contains(want, addr) || s.kept[addr] {
			continue
		}
		if e, ok := list.exactly(addr); ok {
			p.policy = append(p.policy, "no "+e.line)
			why := "which an earlier life left"
			if s.deaf || s.withheld[addr] {
				why = "so that ospfd, which is not told of its end, forgets it"
			}
			p.notes = append(p.notes, fmt.Sprintf("removed %s from prefix-list %s, %s", addr, PolicyName, why))
		}
		p.after.Permits = without(p.after.Permits, addr)
	}
	for _, addr := range want {
		p.permits[addr] = true
		if permitted, matched := list.permits(addr); matched {
			if !permitted {
				p.permits[addr] = false
				p.notes = append(p.notes, fmt.Sprintf("prefix-list %s in ospfd denies %s: it will not be announced", PolicyName, addr))
			}
			continue
		}
		p.policy = append(p.policy, permitLine(addr))
		p.noted.Permits = add(p.noted.Permits, addr, netip.Addr.Compare)
		p.after.Permits = add(p.after.Permits, addr, netip.Addr.Compare)
	}
}

func permitLine(addr netip.Addr) string {
	return fmt.Sprintf("ip prefix-list %s permit %s/32", PolicyName, addr)
}

func (p *preparation) redistribute(s situation, ospf vty.Block) {
	if len(viaConnected(s.services)) == 0 || s.deaf {
		return
	}
	rest, ok := ospf.Value("redistribute connected")
	words := strings.Fields(rest)
	at := slices.Index(words, "route-map")
	switch {
	case ok && at < 0:
		return // everything connected is announced
	case ok && at+1 < len(words) && words[at+1] != PolicyName:
		p.notes = append(p.notes, fmt.Sprintf("ospfd has `redistribute connected %s` already: its route-map has to let the service addresses through", rest))
		return
	}
	if !s.running.Has("route-map " + PolicyName) {
		p.policy = append(p.policy, "route-map "+PolicyName+" permit 10", "match ip address prefix-list "+PolicyName, "exit")
		p.notes = append(p.notes, fmt.Sprintf("set route-map %s in ospfd", PolicyName))
	}
	if !ok {
		line := "redistribute connected route-map " + PolicyName
		p.ospf = append(p.ospf, line)
		p.notes = append(p.notes, fmt.Sprintf("set `%s` in ospfd: it announces the addresses of way alias", line))
	}
}

// networks puts back the statements a restarted ospfd has lost, and removes
// those of ours that nobody wants.
func (p *preparation) networks(s situation, ospf vty.Block) {
	there := map[netip.Addr]netip.Addr{}
	for _, line := range ospf.All("network") {
		if n, ok := parseNetwork(line.Line); ok {
			there[n.Address] = n.Area
		}
	}
	for _, n := range s.noted.Networks {
		area, ok := there[n.Address]
		if ok && area != n.Area { // not as we wrote it: somebody else has
			p.noted.Networks, p.after.Networks = without(p.noted.Networks, n), without(p.after.Networks, n)
			continue
		}
		if _, wanted := s.wished[n.Address]; wanted || s.kept[n.Address] {
			continue
		}
		if ok {
			p.ospf = append(p.ospf, "no "+networkLine(n.Address, n.Area))
			p.notes = append(p.notes, fmt.Sprintf("removed `%s` from ospfd, which nobody wants", networkLine(n.Address, n.Area)))
		}
	}
	for _, v := range s.services {
		set := v.Setting.filled()
		if set.Way != machine.WayAlias || set.Announce != AnnounceNetwork {
			continue
		}
		for _, addr := range v.Addresses {
			if _, ok := there[addr]; ok && !p.isNoted(addr) {
				p.foreign[addr] = true
				continue
			}
			// Noted ahead, so that nothing is written to disk when it matters.
			n := network{addr, set.Area}
			p.noted.Networks = add(p.noted.Networks, n, compareNetworks)
			p.after.Networks = add(p.after.Networks, n, compareNetworks)
		}
	}
	configured := func(n network) bool {
		return slices.ContainsFunc(s.services, func(v Service) bool {
			return v.Setting.Way == machine.WayAlias && v.Setting.Announce == AnnounceNetwork && slices.Contains(v.Addresses, n.Address) &&
				v.Setting.filled().Area == n.Area
		})
	}
	for _, n := range slices.Clone(p.after.Networks) {
		if _, wanted := s.wished[n.Address]; !wanted && !s.kept[n.Address] && !configured(n) {
			p.after.Networks = without(p.after.Networks, n)
		}
	}
	for _, addr := range sortedKeys(s.wished) {
		if _, ok := there[addr]; !ok {
			p.ospf = append(p.ospf, networkLine(addr, s.wished[addr]))
		}
	}
}

func (p *preparation) isNoted(addr netip.Addr) bool {
	_, noted := p.noted.network(addr)
	return noted
}

func networkLine(addr, area netip.Addr) string {
	return fmt.Sprintf("network %s/32 area %s", addr, area)
}

// parseNetwork reads `network X/32 area A`; other statements are not of
// interest. A may be a number.
func parseNetwork(line string) (network, bool) {
	w := strings.Fields(line)
	if len(w) != 4 || w[0] != "network" || w[2] != "area" {
		return network{}, false
	}
	p, err := netip.ParsePrefix(w[1])
	if err != nil || p.Bits() != 32 || !p.Addr().Is4() {
		return network{}, false
	}
	area, err := netip.ParseAddr(w[3])
	if n, numErr := strconv.ParseUint(w[3], 10, 32); numErr == nil {
		area, err = netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), nil
	}
	return network{p.Addr(), area}, err == nil
}

// prefixList is an ip prefix-list of ospfd, in its order.
type prefixList []listEntry

type listEntry struct {
	line   string // as it stands, with its seq
	permit bool
	prefix netip.Prefix
	ge, le int
}

// parsePrefixList reads `ip prefix-list NAME seq N permit|deny P [ge n] [le n]`.
func parsePrefixList(running vty.Block, name string) prefixList {
	var list prefixList
	for _, b := range running.All("ip prefix-list " + name) {
		w := strings.Fields(b.Line)[3:]
		if len(w) > 2 && w[0] == "seq" {
			w = w[2:]
		}
		if len(w) < 2 || w[0] != "permit" && w[0] != "deny" {
			continue
		}
		e := listEntry{line: b.Line, permit: w[0] == "permit"}
		if w[1] == "any" {
			e.prefix, e.le = netip.PrefixFrom(netip.IPv4Unspecified(), 0), 32
		} else if p, err := netip.ParsePrefix(w[1]); err == nil {
			e.prefix = p.Masked()
		} else {
			continue
		}
		for i := 2; i+1 < len(w); i += 2 {
			n, err := strconv.Atoi(w[i+1])
			switch {
			case err != nil:
			case w[i] == "ge":
				e.ge = n
			case w[i] == "le":
				e.le = n
			}
		}
		list = append(list, e)
	}
	return list
}

// matches applies the entry to X/32 (lib/plist.c, prefix_list_entry_match):
// without ge and le only the prefix itself, with ge alone anything as long.
func (e listEntry) matches(addr netip.Addr) bool {
	if !e.prefix.Contains(addr) {
		return false
	}
	if e.ge == 0 && e.le == 0 {
		return e.prefix.Bits() == 32
	}
	return e.le == 0 || e.le == 32
}

// permits returns what the first matching entry says.
func (l prefixList) permits(addr netip.Addr) (permitted, matched bool) {
	for _, e := range l {
		if e.matches(addr) {
			return e.permit, true
		}
	}
	return false, false
}

// exactly finds the entry that permits X/32 and nothing else.
func (l prefixList) exactly(addr netip.Addr) (listEntry, bool) {
	for _, e := range l {
		if e.permit && e.prefix == netip.PrefixFrom(addr, 32) {
			return e, true
		}
	}
	return listEntry{}, false
}

func sortedKeys[V any](m map[netip.Addr]V) []netip.Addr {
	keys := make([]netip.Addr, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, netip.Addr.Compare)
	return keys
}
