package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// The peer is keepalived as Debian has it: VRRP between the two nodes of the LAN,
// the address in that LAN's subnet, no srrd. The answerers, the probe and the
// faults are those of srrd's rows. What it cannot have is left out: it needs one
// LAN, so no node behind another router; its process events (track_process) come
// by a kernel interface that namespaces do not have; nothing in it moves groups.

// pace is how keepalived is set up.
type pace struct {
	name string
	// advert is the interval between advertisements; three of them missed, and the
	// skew time, make a loss (RFC 5798 6.1).
	advert  string
	version int
}

var paces = []pace{
	{name: "default", advert: "1", version: 2},
	// The least that the protocol can say is a hundredth of a second.
	{name: "fastest", advert: "0.01", version: 3},
}

const (
	peerDaemon = "keepalived"
	peerDev    = "eth0"
)

// peerAddress is the virtual address, and peerNodes who can have it.
var (
	peerAddress = netip.MustParsePrefix("10.1.1.100/24")
	peerNodes   = []string{"n1", "n2"}
)

func peerSet() serviceSet {
	return serviceSet{names: []string{"vip"}, addresses: []netip.AddrPort{netip.AddrPortFrom(peerAddress.Addr(), answerPort)}}
}

// PeerRows are keepalived's, each with what of srrd's it is held against.
func PeerRows() []Row {
	var rows []Row
	for _, p := range paces {
		v := fast
		v.Name, v.Peer = "keepalived-"+p.name, p.name
		about := func(what string) string {
			return fmt.Sprintf("keepalived, advertisements every %s s: %s", p.advert, what)
		}
		row := func(name, what string, against ...string) Row {
			return Row{Name: v.Name + "-" + name, About: about(what), Goal: noGoal, variant: v, services: peerSet, against: against, gone: true}
		}
		revive := func(names ...string) func(context.Context, *run) error {
			return func(ctx context.Context, r *run) error {
				if slices.Contains(names, peerDaemon) {
					// One that was killed leaves it, and takes it for another one of itself.
					err := os.Remove(filepath.Join(r.c.lab.Vars(r.holder).RunDir, "vrrp.pid"))
					if err != nil && !errors.Is(err, os.ErrNotExist) {
						return err
					}
				}
				return r.start(ctx, names...)
			}
		}
		move := row("move", "SIGTERM of keepalived, which gives the address up", "move-overlap", "move-stop-start")
		move.do = func(_ context.Context, r *run) error { return r.signal(syscall.SIGTERM, peerDaemon) }
		move.heal = revive(peerDaemon)
		dies := row("service-killed-checked", "kill -9 of the service, which is checked once a second", "service-killed-checked")
		dies.do, dies.heal = killAnswerer, revive("answer")
		loss := row("silent-loss", "the node is cut off silently", "silent-loss-bfd10")
		loss.do, loss.heal = cut(lab.Silent), mend
		freeze := row("node-freeze", "SIGSTOP of all daemons of the node", "node-freeze")
		freeze.do = func(_ context.Context, r *run) error { return r.signalPeer(syscall.SIGSTOP, peerDaemon, "answer") }
		freeze.heal = func(ctx context.Context, r *run) error {
			if err := r.outlast(ctx); err != nil {
				return err
			}
			return r.signalPeer(syscall.SIGCONT, peerDaemon, "answer")
		}
		carrier := row("carrier-loss", "the node sees its carrier go", "carrier-loss")
		carrier.do, carrier.heal = cut(lab.Carrier), mend
		killed := row("kill", "kill -9 of keepalived", "srrd-kill")
		killed.do = func(_ context.Context, r *run) error { return r.signalPeer(syscall.SIGKILL, peerDaemon) }
		killed.heal = revive(peerDaemon)
		everything := []string{"zebra", "bfdd", "ospfd", "answer", peerDaemon}
		reboot := row("reboot", "SIGTERM of all daemons of the node at once, later all are back", "reboot")
		reboot.do = func(_ context.Context, r *run) error { return r.signal(syscall.SIGTERM, everything...) }
		reboot.heal = revive(everything...)
		rows = append(rows, move, dies, loss, freeze, carrier, killed, reboot)
	}
	return rows
}

// withPeer puts keepalived on its nodes in the place of srrd.
func withPeer(t *lab.Topology, name string) error {
	at := slices.IndexFunc(paces, func(p pace) bool { return p.name == name })
	if at < 0 {
		return fmt.Errorf("keepalived at pace %q: not known", name)
	}
	p := paces[at]
	for i := range t.Hosts {
		h := &t.Hosts[i]
		h.Srrd = nil
		if !slices.Contains(peerNodes, h.Name) {
			continue
		}
		if h.Files == nil {
			h.Files = map[string]string{}
		}
		h.Files["keepalived.conf"] = fmt.Sprintf(`global_defs {
	router_id {{.Host}}
	vrrp_version %d
	script_user root
	enable_script_security
}
vrrp_script answers {
	script "{{.Dir}}/answers"
	interval %d
	fall 1
	rise 1
}
vrrp_instance vip {
	state BACKUP
	nopreempt
	interface %s
	virtual_router_id 51
	priority 100
	advert_int %s
	virtual_ipaddress {
		%s dev %s
	}
	track_script {
		answers
	}
}
`, p.version, int(checkInterval/time.Second), peerDev, p.advert, peerAddress, peerDev)
		h.Files["answers"] = "#!/bin/sh\nread pid < {{.RunDir}}/answer.pid && kill -0 $pid\n"
		h.Daemons = append(h.Daemons, lab.Daemon{Name: peerDaemon, Ready: "{{.RunDir}}/keepalived.pid",
			Command: []string{"keepalived", "--dont-fork", "--log-console", "--vrrp", "--use-file", "{{.Dir}}/keepalived.conf",
				"--pid", "{{.RunDir}}/keepalived.pid", "--vrrp_pid", "{{.RunDir}}/vrrp.pid"}})
	}
	return nil
}

// settlePeer waits until exactly one node has the address.
func (c *cluster) settlePeer(ctx context.Context, hosts []string) (string, error) {
	var holder string
	err := within(ctx, func(context.Context) error {
		var have []string
		for _, host := range hosts {
			has, err := c.hasAddress(host)
			if err != nil {
				return err
			}
			if has {
				have = append(have, host)
			}
		}
		if len(have) != 1 {
			return fmt.Errorf("%s is on %q, should be on one", peerAddress, have)
		}
		holder = have[0]
		return nil
	})
	return holder, err
}

func (c *cluster) hasAddress(host string) (has bool, err error) {
	err = c.lab.Do(host, func() error {
		dev, err := net.InterfaceByName(peerDev)
		if err != nil {
			return err
		}
		all, err := dev.Addrs()
		for _, a := range all {
			n, ok := a.(*net.IPNet)
			has = has || ok && n.IP.Equal(peerAddress.Addr().AsSlice())
		}
		return err
	})
	return has, err
}

// signalPeer signals daemons and their children, those first: keepalived's parent
// would start a new child in place of one that ended.
func (r *run) signalPeer(sig syscall.Signal, names ...string) error {
	var pids []int
	for _, name := range names {
		pid, err := r.c.lab.PID(r.holder, name)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err != nil {
			return fmt.Errorf("%s on %s: %w", name, r.holder, err)
		}
		for _, field := range strings.Fields(string(text)) {
			var child int
			if _, err := fmt.Sscan(field, &child); err != nil {
				return err
			}
			pids = append(pids, child)
		}
		pids = append(pids, pid)
	}
	r.now()
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("process %d on %s: %w", pid, r.holder, err)
		}
	}
	return nil
}
