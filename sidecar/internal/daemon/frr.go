package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/doctor"
	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/ospf"
	"github.com/srrd/srrd/vty"
)

// frr asks the routing daemons what the ports must know before they begin.
type frr struct {
	router *vty.Router
	config func() *config.Config
	log    *slog.Logger
}

// askTimeout bounds the questions of one session: a daemon that is there
// answers within milliseconds, and one that hangs must not hold a port for ever.
const askTimeout = 5 * time.Second

// dialer reaches the daemons as the configuration says.
func dialer(f config.FRR) vty.Dialer {
	d := vty.Dialer{Dir: f.VTYDir, TelnetOnly: f.VTY == config.VTYTelnet}
	if f.VTY == config.VTYUnix {
		return d
	}
	d.Telnet = map[vty.Daemon]vty.Telnet{}
	for _, name := range []vty.Daemon{vty.Zebra, vty.OSPF} {
		d.Telnet[name] = vty.Telnet{Address: fmt.Sprintf("127.0.0.1:%d", name.DefaultPort()), Password: f.Password, EnablePassword: f.EnablePassword}
	}
	return d
}

// wants is what the configuration needs of FRR.
func wants(c *config.Config) doctor.Wants {
	w := doctor.Wants{Table: c.Daemon.FRR.Table, Signed: len(c.Daemon.Authentication.Ring.Accept) > 0}
	for _, m := range c.Machine.Services {
		s := c.Services[m.Name]
		w.Addresses = append(w.Addresses, m.Addresses...)
		switch {
		case len(m.Addresses) == 0:
		case s.Way == machine.WayLocal:
			w.Local = true
		case s.Announce == config.AnnounceRedistribute:
			w.Redistribute = true
		default:
			w.Networks = append(w.Networks, s.Area)
		}
		switch m.Scope.Kind {
		case machine.ScopeAS:
			w.AS = true
		case machine.ScopeArea:
			w.Areas = append(w.Areas, m.Scope.Area)
		case machine.ScopeLink:
			w.Links = append(w.Links, m.Scope.Link)
		}
	}
	if len(c.Machine.Services) == 0 {
		w.AS = c.Machine.Scope.Kind == machine.ScopeAS
	}
	return w
}

func place(c *config.Config) doctor.Place {
	return doctor.Place{Dir: c.Daemon.FRR.VTYDir, APIPort: c.Daemon.FRR.OSPFAPI.Port(), Zserv: c.Daemon.FRR.Zserv, Telnet: c.Daemon.FRR.VTY == config.VTYTelnet}
}

// check is the doctor's verdict on ospfd: the same words as srrd doctor says,
// and no session while something refuses that concerns all services. What
// concerns single ones is logged: it must not keep the others from the cluster.
func (f *frr) check(ctx context.Context) (ospf.Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c := f.config()
	all := wants(c)
	facts, err := doctor.Gather(ctx, f.router, place(c), all)
	if err != nil {
		return ospf.Standing{}, err
	}
	// Scope as in an area that takes no LSA of type 11 would make this node
	// believe itself alone.
	facts.Wants = doctor.Wants{AS: all.AS}
	if refusals := refusals(facts); len(refusals) > 0 {
		text := strings.Join(refusals, "; ") + " (srrd doctor tells what to do)"
		if facts.Missing[vty.OSPF] != "" { // it did not answer: nothing is known against it
			return ospf.Standing{}, errors.New(text)
		}
		return ospf.Standing{}, ospf.Refused(text)
	}
	facts.Wants = all
	for _, r := range refusals(facts) {
		f.log.Warn("some services cannot do what they are configured for", "why", r)
	}
	if id, _ := facts.OSPF.ExplicitRouterID(); id != facts.State.RouterID {
		return ospf.Standing{}, fmt.Errorf("ospfd still uses the router id %s, not %s as configured: clear ip ospf process, or restart it", facts.State.RouterID, id)
	}
	st := ospf.Standing{Router: facts.State.RouterID}
	for _, i := range facts.Interfaces {
		dead := time.Duration(i.Dead) * time.Second
		st.DeadInterval = max(st.DeadInterval, dead)
		if dead > 0 && (st.Quickest == 0 || dead < st.Quickest) {
			st.Quickest = dead
		}
	}
	return st, nil
}

// refusals are what keeps srrd from using ospfd.
func refusals(facts doctor.Facts) (all []string) {
	for _, found := range doctor.Examine(facts) {
		if found.Severity == doctor.Refuse && found.Daemon == vty.OSPF {
			all = append(all, found.Subject+": "+found.Text)
		}
	}
	return all
}

// release is FRR's version, as zapi wants it.
func (f *frr) release(ctx context.Context) (string, error) {
	if v := f.config().Daemon.FRR.Version; v != "" {
		return v, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := f.router.Release(ctx, vty.Zebra)
	if err != nil {
		return "", err
	}
	return r.String(), nil
}

// noZebra reports whether nobody listens on zebra's VTY.
func (f *frr) noZebra(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err := f.router.Release(ctx, vty.Zebra)
	return vty.NotRunning(err)
}

// kernelRoutes are the addresses zebra prefers a route to that it takes for the
// kernel's own.
func (f *frr) kernelRoutes(ctx context.Context) (addrs []netip.Addr, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	routes, err := f.router.KernelRoutes(ctx)
	for _, r := range routes {
		if r.Protocol == "kernel" && r.Selected && r.Prefix.IsSingleIP() {
			addrs = append(addrs, r.Prefix.Addr())
		}
	}
	return addrs, err
}
