// Package address is the port that puts service addresses on the node and has
// them announced, in the two ways of DESIGN section 6.
//
// # What it does for each action
//
//	way, announce          SetAddresses on                Announce on
//	local                  local route, proto 201         nothing: the zebra port's
//	alias, network         labelled address               `network X/32 area A`
//	alias, redistribute    local route, proto 201         labelled address
//
// With `redistribute`, ospfd's `redistribute connected route-map SRRD-VIP`
// announces the address the moment it exists, so until Announce the node takes
// packets for it by the local route alone, which zebra does not see: a /32 in
// the network always means that start succeeded. The kernel keeps that route
// beside the one it makes for the address, whichever comes or goes first.
//
// # What it says
//
// AddressState comes for every address of every SetAddresses, when the
// kernel has shown it, never because a call returned nil; RouteState for every
// address of an Announce of way alias. RouteInstalled means that all is set,
// not that the network has heard: that echo is in the link-state database. An
// address held by two services of a group stays until the last lets go; the
// other's SetAddresses off is answered with Present: true, as it is.
//
// # Order
//
// Do never blocks and keeps the order of actions. One goroutine owns all state
// and the netlink side; what goes through VTY (statements, and addresses of
// driver vty) has a second one, so a slow ospfd delays no local route. Emit may
// block: the port waits.
//
// # Drift
//
// While an address is wanted and somebody removes it, it is put back at once,
// with a Note, at most a few times in a row and then once a second. Only what
// bears the mark is ever changed: routes of protocol 201 in table local, and
// addresses whose label ends in ":srrd". Whoever has the same address on the
// node already keeps it, and the service is told where.
//
// The same holds for the lines in ospfd that announce addresses: ospfd is asked
// for them every two seconds, and what somebody took out (an operator, or
// frr-reload.py, which removes what its file does not have) is put back, and
// said to have been.
//
// An address of driver netlink has a lifetime and is renewed every third of
// it: if this process dies or hangs, the kernel removes it.
//
// # What ends while ospfd hears of nothing
//
// zebra tells ospfd that an address has gone. One that died does not, and an
// ospfd that lost zebra looks for the next one only after ten seconds; it goes on
// announcing what it was told last, also when it has found it (8.4 to 10.7). So
// what is withdrawn while nobody listens on zebra's VTY, or is still ospfd's own
// external LSA some seconds later, is taken out of the prefix-list, upon which
// ospfd flushes it, until it is announced again. An ospfd that was started anew
// was told nothing, but may have an LSA of its earlier life (seen beside routers
// of 7.5.1): so the same is looked at after each Prepare. What an earlier life
// of srrd left on the node is not touched before somebody has decided about it.
//
// # What can stay behind
//
// Local routes (until the next Clean; they attract nothing), and of statements
// in ospfd what the state file names: `network X/32`, entries of prefix-list
// SRRD-VIP. Clean and Prepare remove those nobody wants. `redistribute` lines
// and the route-map stay; without an address they announce nothing.
//
// Driver vty is a compatibility mode and leaves more: no lifetime, so the
// address outlives this process; an operator's `write` stores the line, and
// FRR brings the address back at its next start, before srrd has decided
// anything (Clean removes it then); on FRR 10 a link that goes down and up
// brings back an address that was removed behind its back.
package address
