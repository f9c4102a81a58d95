package sim_test

import (
	"net/netip"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/sim"
)

func timeouts() (t [12]time.Duration) {
	for _, p := range machine.Primitives() {
		t[p] = 10 * time.Second
	}
	t[machine.PrimCheck] = 5 * time.Second
	return t
}

func network(name, addr string) machine.Service {
	return machine.Service{Name: name, Enabled: true, Addresses: []netip.Addr{netip.MustParseAddr(addr)}, Scope: machine.ASScope, Preference: 100,
		Fall: 3, Timeout: timeouts(), Linger: 250 * time.Millisecond, RetryAfter: time.Minute}
}

func resource(name string) machine.Service {
	s := network(name, "10.9.9.9")
	s.Addresses = nil
	return s
}

func config(services ...machine.Service) machine.Config {
	return machine.Config{Version: "test", Scope: machine.ASScope, Services: services, StartupHold: 2 * time.Second, RejoinHold: time.Second,
		AloneAfter: 5 * time.Second, ClaimTimeout: time.Second, AnnounceTimeout: 3 * time.Second}
}

// mixed is one service of each kind: asym with unequal preferences, disk a
// resource, live with overlap, lone exclusive, web plain with checks and
// on_ospf_loss keep; sorted by name.
func mixed(i int) machine.Config {
	asym := network("asym", "10.99.0.1")
	asym.Preference = uint8(100 + 10*i)
	live := network("live", "10.99.0.25")
	live.Overlap = true
	lone := network("lone", "10.99.0.50")
	lone.Exclusive, lone.FailbackWait = true, 10*time.Second
	web := network("web", "10.99.0.100")
	web.Interval, web.OnOSPFLoss = 20*time.Second, machine.LossKeep
	return config(asym, resource("disk"), live, lone, web)
}

func cluster(seed uint64, n int, trace bool, routers bool) *sim.Sim {
	o := sim.Options{Seed: seed, Trace: trace, Routers: routers, Most: tooMuch}
	for i := range n {
		o.Nodes = append(o.Nodes, mixed(i))
	}
	return sim.New(o)
}
