package daemon

import (
	"context"
	"net"
	"strconv"

	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/doctor"
	"github.com/srrd/srrd/vty"
)

// Patient is the routing suite that Doctor examines.
type Patient struct {
	Transit bool   // a router between the nodes, without srrd
	Host    string // another machine, asked by VTY over TCP; "": this one
}

// Doctor examines FRR for what the configuration wants, and with apply sets
// what can be set; the report is of what is left.
func Doctor(ctx context.Context, c *config.Config, p Patient, apply bool) (doctor.Report, error) {
	dial, at, want := dialer(c.Daemon.FRR), place(c), wants(c)
	if p.Transit {
		want = doctor.Wants{Transit: true}
	}
	if p.Host != "" {
		at = doctor.Place{Elsewhere: true}
		dial = vty.Dialer{TelnetOnly: true, Telnet: map[vty.Daemon]vty.Telnet{}}
		for _, d := range []vty.Daemon{vty.Zebra, vty.OSPF, vty.BFD} {
			dial.Telnet[d] = vty.Telnet{Address: net.JoinHostPort(p.Host, strconv.Itoa(int(d.DefaultPort()))),
				Password: c.Daemon.FRR.Password, EnablePassword: c.Daemon.FRR.EnablePassword}
		}
	}
	router := vty.NewRouter(dial)
	defer router.Close()
	facts, err := doctor.Gather(ctx, router, at, want)
	if err != nil {
		return doctor.Report{}, err
	}
	before := doctor.NewReport(facts)
	if !apply {
		return before, nil
	}
	return doctor.Apply(ctx, router, at, want, before.Findings)
}
