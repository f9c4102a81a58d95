package e2e

import (
	"net/netip"

	"github.com/srrd/srrd/deploy/lab"
)

// The directory of primitives is one for all services of a node: a Makefile
// whose targets all run primitive.sh.
const makefile = `PRIMITIVES = activate deactivate start stop reload restart join leave failed status check
.PHONY: $(PRIMITIVES)
$(PRIMITIVES):
	@sh ./primitive.sh $@
`

// primitiveScript notes in primitives.log when it begins and ends, and in
// between does what the hook of that service and primitive says. A hook is a
// file that a test writes while the lab is up; it may exit.
//
// A service runs here while run/SERVICE.alive exists; one with addresses
// answers the probe unless it is called quiet something.
const primitiveScript = `cd {{.Dir}}
said() {
	echo "$(date +%s%N) $SRRD_NODE $SRRD_SERVICE $1 $2 peer=$SRRD_PEER claim=$SRRD_CLAIM failure=$SRRD_FAILURE" >>primitives.log
}
said $1 begin
if [ -e hook/$SRRD_SERVICE.$1 ]; then . hook/$SRRD_SERVICE.$1; fi
case $1 in
start)
	touch run/$SRRD_SERVICE.alive
	case "$SRRD_SERVICE:$SRRD_ADDRESSES" in
	quiet*|*:) ;;
	*) {{.Srrlab}} answer --pidfile run/$SRRD_SERVICE.pid --name $SRRD_NODE --listen ${SRRD_ADDRESSES%% *}:7777 --background || exit 1 ;;
	esac ;;
stop)
	if [ -e run/$SRRD_SERVICE.pid ]; then {{.Srrlab}} answer --stop --pidfile run/$SRRD_SERVICE.pid || exit 1; fi
	rm -f run/$SRRD_SERVICE.alive ;;
status|check)
	test -e run/$SRRD_SERVICE.alive || { echo "$SRRD_SERVICE is not alive"; exit 1; } ;;
esac
said $1 end
`

// daemonConfig is srrd.yaml, with holds as short as the tests can do with. The
// timeouts are long beside what the primitives take: a busy machine is no reason
// to believe that one hangs.
const daemonConfig = `host: {{.Host}}
state_dir: {{.StateDir}}
run_dir: {{.RunDir}}
services_dir: {{.ServicesDir}}
startup_hold: 2s
rejoin_hold: 500ms
claim_timeout: 500ms
loss_detection: 1s
shell: {socket: "{{.SrrdSocket}}"}
frr: {vty_dir: "{{.VtyDir}}", zserv: "{{.ZservPath}}", ospfapi: "{{.OSPFAPI}}"}
defaults:
  check: {interval: 200ms}
  timeouts: {start: 10s, stop: 3s, check: 5s, status: 5s}
`

// services is services.d: the texts, each with the common directory.
type services map[string]string

// nodeSetup is what a cluster node has beside FRR.
func nodeSetup(config string, s services) *lab.SrrdHost {
	texts := map[string]string{}
	for name, text := range s {
		texts[name] = "dir: {{.Dir}}/service\n" + text
	}
	return &lab.SrrdHost{
		Config: config, Services: texts, Ready: "{{.SrrdSocket}}",
		Files: map[string]string{"service/Makefile": makefile, "service/primitive.sh": primitiveScript, "hook/README": "hooks of primitive.sh\n"},
	}
}

func router(name, id string) lab.Host {
	return lab.Host{Name: name, RouterID: netip.MustParseAddr(id)}
}

func node(name, id string, setup *lab.SrrdHost) lab.Host {
	h := router(name, id)
	h.Srrd = setup
	return h
}

// end is HOST IFACE ADDRESS/LENGTH.
func end(host, iface, address string) lab.Member {
	return lab.Member{Host: host, Iface: iface, Address: netip.MustParsePrefix(address)}
}

func cable(a, b lab.Member) lab.Segment {
	return lab.Segment{Members: []lab.Member{a, b}}
}

func lan(name string, members ...lab.Member) lab.Segment {
	return lab.Segment{Name: name, LAN: true, Members: members}
}

// patient has a network lose nobody: for tests in which what must not happen is
// not to be hidden by what a busy machine makes of BFD.
func patient(t *lab.Topology) *lab.Topology {
	t.Defaults.OSPF.BFD, t.Defaults.OSPF.Dead = "off", 40
	return t
}

// inArea puts a segment into an area other than 0.
func inArea(s lab.Segment, area string) lab.Segment {
	s.Area = area
	return s
}

// threeNodes is n1 and n2 on one LAN, n3 behind another interface of the same
// router, a client behind a third.
func threeNodes(s services) *lab.Topology {
	return &lab.Topology{
		Name:    "three",
		Routers: []lab.Host{router("r0", "10.255.0.1")},
		Hosts: []lab.Host{
			{Name: "client", Gateway: netip.MustParseAddr("10.0.0.1")},
			node("n1", "10.255.1.1", nodeSetup(daemonConfig, s)),
			node("n2", "10.255.1.2", nodeSetup(daemonConfig, s)),
			node("n3", "10.255.1.3", nodeSetup(daemonConfig, s)),
		},
		Links: []lab.Segment{
			cable(end("r0", "client", "10.0.0.1/24"), end("client", "eth0", "10.0.0.2/24")),
			cable(end("r0", "n3", "10.1.2.1/24"), end("n3", "eth0", "10.1.2.13/24")),
		},
		LANs: []lab.Segment{
			lan("lan1", end("r0", "lan1", "10.1.1.1/24"), end("n1", "eth0", "10.1.1.11/24"), end("n2", "eth0", "10.1.1.12/24")),
		},
	}
}

// twoNodes is n1 and n2, each on a link of r0: the smallest cluster, and the
// fastest to converge.
func twoNodes(s services) *lab.Topology {
	return &lab.Topology{
		Name:    "two",
		Routers: []lab.Host{router("r0", "10.255.0.1")},
		Hosts: []lab.Host{
			node("n1", "10.255.1.1", nodeSetup(daemonConfig, s)),
			node("n2", "10.255.1.2", nodeSetup(daemonConfig, s)),
		},
		Links: []lab.Segment{
			cable(end("r0", "n1", "10.1.1.1/30"), end("n1", "eth0", "10.1.1.2/30")),
			cable(end("r0", "n2", "10.1.2.1/30"), end("n2", "eth0", "10.1.2.2/30")),
		},
	}
}
