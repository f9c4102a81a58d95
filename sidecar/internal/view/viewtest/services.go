package viewtest

import (
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

const (
	network  = "network"
	resource = "resource"
)

// services has one for each row of DESIGN section 2, sorted by name.
func services() []machine.ServiceView {
	const check = 5 * time.Second
	return []machine.ServiceView{
		{
			Name: "archive", Local: true, Kind: resource, Flags: advert.FlagStrict, Config: machine.Disabled, State: advert.Stopped, Since: ago(25 * time.Hour),
			Scope: "as", Want: "stop", Why: "it is disabled on this node", Code: "disabled",
			Offers: []machine.OfferView{unoffered("disabled", "it is disabled on this node")},
		},
		{
			Name: "backup", Local: true, Kind: resource, Flags: advert.FlagStrict, Scope: "area 0.0.0.1", Config: machine.Active, State: advert.Starting, Step: advert.StepClaim,
			Since: ago(150 * time.Millisecond), Waits: []string{"n2 to acknowledge the claim", "n4, which ran it when last heard"}, Want: "run", Why: "this node is the best candidate", Code: "best",
			Claim: advert.NewClaim(8, N1), Seen: advert.NewClaim(8, N1), LSA: "222.5.0.2 (area 0.0.0.1)",
			Offers: []machine.OfferView{
				with(self(advert.Starting, advert.StepClaim, 100, 1), func(o *machine.OfferView) {
					o.Claim, o.Seen, o.Flags = advert.NewClaim(8, N1), advert.NewClaim(8, N1), advert.FlagStrict
				}),
				with(peer(N2, advert.Stopped, 100, 2), func(o *machine.OfferView) { o.Seen, o.Flags = advert.NewClaim(7, N2), advert.FlagStrict }),
			},
		},
		{
			Name: "cache", Local: true, Kind: network, Addresses: addrs("192.0.2.60"), Scope: "as", Way: "local", Config: machine.Deactivated, State: advert.Stopped,
			Since: ago(900 * time.Millisecond), Want: "stop", Why: "it is no longer configured", Code: "removed", Running: "deactivate", RunningSince: ago(870 * time.Millisecond), Waits: []string{"the primitive deactivate"},
			Offers: []machine.OfferView{unoffered("deactivated", "its offer is not flooded yet")},
		},
		{
			Name: "db", Local: true, Kind: network, Group: "shop", Dependencies: []string{"disk"}, Addresses: addrs("192.0.2.20"), Scope: "as", Way: "alias",
			Config: machine.Active, State: advert.Failed, Since: ago(300 * time.Millisecond), Want: "stop", Why: "it failed there: start: mysqld: disk full", Code: "failed",
			Failure: advert.Failure{Code: advert.FailStart, Text: "mysqld: disk full\x1b[31m"}, Claim: advert.NewClaim(3, N1), Seen: advert.NewClaim(3, N1),
			Last: machine.RunView{Primitive: machine.PrimStart, Outcome: machine.OutcomeFailed, Text: "mysqld: disk full\x1b[31m\nexit status 1", Took: 1234 * time.Millisecond, At: ago(300 * time.Millisecond)},
			LSA:  "222.9.0.4 (as)",
			Offers: []machine.OfferView{with(self(advert.Failed, advert.StepNone, 200, 0), func(o *machine.OfferView) {
				o.WhyNot, o.Failure = "it failed there: start: mysqld: disk full", advert.Failure{Code: advert.FailStart, Text: "mysqld: disk full"}
				o.Claim = advert.NewClaim(3, N1)
			})},
		},
		{
			Name: "disk", Local: true, Kind: resource, Flags: advert.FlagStrict, Scope: "as", Config: machine.Active, State: advert.Stopped, Since: ago(25 * time.Hour),
			Want: "stop", Why: "the node holds back for startup_hold or failback_delay", Code: "holding",
			Seen: advert.NewClaim(5, N4), LSA: "222.1.0.5 (as)",
			Offers: []machine.OfferView{
				with(self(advert.Stopped, advert.StepNone, 100, 0), func(o *machine.OfferView) {
					o.Seen, o.Flags, o.WhyNot = advert.NewClaim(5, N4), advert.FlagStrict|advert.FlagHolding, "the node holds back for startup_hold or failback_delay"
				}),
				with(peer(N3, advert.Stopped, 100, 0), func(o *machine.OfferView) { o.WhyNot, o.Flags = "the node is in standby", advert.FlagStrict }),
				with(peer(N4, advert.Started, 150, 0), func(o *machine.OfferView) {
					o.Counts, o.WhyNot, o.Flags = false, "the node is not reachable", advert.FlagStrict|advert.FlagMayStillRun
					o.Claim, o.LastHeard = advert.NewClaim(5, N4), ago(8*time.Second)
				}),
			},
			Notices:   []string{"not protected against partition", "n4 ran it when last heard"},
			Deadlines: []machine.DeadlineView{{Kind: machine.DeadlineLost, What: "the wait for n4 ends", At: ago(-31 * time.Second)}},
		},
		{
			Name: "dns", Local: true, Kind: network, Addresses: addrs("192.0.2.10", "192.0.2.11"), Scope: "as", Way: "local", Config: machine.Active, State: advert.Started,
			Since: ago(5 * time.Minute), Want: "run", Why: "it runs here and no better claimant has shown", Code: "holder",
			Claim: advert.NewClaim(4, N1), Seen: advert.NewClaim(4, N1), Pin: advert.Pin{Number: 2, Target: N1, Left: 540}, PinHost: "n1",
			Interval: check, LastCheck: ago(3200 * time.Millisecond),
			Last: machine.RunView{Primitive: machine.PrimCheck, Outcome: machine.OutcomeDone, Took: 12 * time.Millisecond, At: ago(3200 * time.Millisecond)},
			LSA:  "222.12.0.6 (as)", Holder: "n1",
			Offers: []machine.OfferView{
				with(self(advert.Started, advert.StepNone, 100, 1), func(o *machine.OfferView) {
					o.Pinned, o.Claim, o.Seen, o.Interval, o.LastCheck = true, advert.NewClaim(4, N1), advert.NewClaim(4, N1), check, ago(3200*time.Millisecond)
					o.Announced = addrs("192.0.2.10", "192.0.2.11")
				}),
				with(peer(N2, advert.Stopped, 200, 2), func(o *machine.OfferView) { o.Seen = advert.NewClaim(4, N1) }),
				with(peer(N3, advert.Stopped, 200, 0), func(o *machine.OfferView) { o.WhyNot = "the node is in standby" }),
			},
			Notices:   []string{"configured differently on n2"},
			Deadlines: []machine.DeadlineView{{Kind: machine.DeadlinePin, What: "the move to n1 ends", At: ago(-9 * time.Minute)}},
		},
		{
			Name: "ftp", Local: true, Kind: network, Addresses: addrs("192.0.2.50"), Scope: "as", Way: "alias", Config: machine.Active, State: advert.Starting, Step: advert.StepAddresses,
			Since: ago(3 * time.Second), Waits: []string{"the kernel to show its addresses"}, Want: "run", Why: "n4 did not claim it in time, and this node is the next best", Code: "others-passed",
			Claim: advert.NewClaim(2, N1), Seen: advert.NewClaim(2, N1), LSA: "222.3.0.7 (as)",
			Offers: []machine.OfferView{with(self(advert.Starting, advert.StepAddresses, 100, 1), func(o *machine.OfferView) { o.Claim = advert.NewClaim(2, N1) })},
		},
		{
			Name: "log", Kind: network, Flags: advert.FlagOverlap, Addresses: addrs("192.0.2.40"), Want: "stop", Why: "it is not configured on this node", Code: "not-local", Holder: "n2",
			Offers: []machine.OfferView{with(peer(N2, advert.Started, 100, 1), func(o *machine.OfferView) {
				o.Claim, o.Interval, o.LastCheck, o.Flags, o.Announced = advert.NewClaim(1, N2), time.Second, ago(45*time.Second), advert.FlagOverlap, addrs("192.0.2.40")
			})},
		},
		{
			Name: "mail", Local: true, Kind: network, Addresses: addrs("192.0.2.30"), Scope: "as", Way: "local", Config: machine.Active, State: advert.Stopping, Step: advert.StepWithdraw,
			Since: ago(400 * time.Millisecond), Cause: "n2 is a better claimant", Waits: []string{"zebra to let the route to 192.0.2.30 go"}, Want: "stop", Why: "n2 is a better claimant", Code: "better-claimant",
			Claim: advert.NewClaim(6, N1), Seen: advert.NewClaim(7, N2), Holder: "n2", LSA: "222.8.0.8 (as)",
			Offers: []machine.OfferView{
				with(self(advert.Stopping, advert.StepWithdraw, 100, 2), func(o *machine.OfferView) { o.Claim, o.Seen = advert.NewClaim(6, N1), advert.NewClaim(7, N2) }),
				with(peer(N2, advert.Started, 100, 1), func(o *machine.OfferView) {
					o.Claim, o.Seen, o.Announced = advert.NewClaim(7, N2), advert.NewClaim(7, N2), addrs("192.0.2.30")
				}),
			},
		},
		{
			Name: "ntp", Local: true, Kind: network, Addresses: addrs("192.0.2.61"), Scope: "link eth0", Way: "local", Config: machine.Inactive, State: advert.Stopped, Since: ago(2 * time.Second),
			Waits: []string{"to give its LSA to ospfd again: no interface eth0"}, Want: "stop", Why: "its offer is not flooded yet", Code: "not-offered",
			Offers: []machine.OfferView{unoffered("inactive", "its offer is not flooded yet")},
		},
		{
			Name: "proxy", Local: true, Kind: network, Addresses: addrs("192.0.2.62"), Scope: "as", Way: "local", Config: machine.Injected, State: advert.Stopped, Since: ago(10 * time.Millisecond),
			Waits: []string{"ospfd to show its LSA"}, Want: "stop", Why: "its offer is not flooded yet", Code: "not-offered", LSA: "222.0.0.10 (as)",
			Offers: []machine.OfferView{unoffered("injected", "its offer is not flooded yet")},
		},
		{
			Name: "vpn", Local: true, Kind: network, Addresses: addrs("192.0.2.63"), Scope: "area 0.0.0.9", Way: "local", Config: machine.ConfigFailed, State: advert.Stopped, Since: ago(6 * time.Minute),
			Cause: "illegal LSA type", Want: "stop", Why: "its offer is not flooded yet", Code: "not-offered", Failure: advert.Failure{Code: advert.FailRefused, Text: "illegal LSA type"}, Waits: []string{"retry_after, or reactivate"},
			Offers: []machine.OfferView{unoffered("failed", "its offer is not flooded yet")},
		},
		{
			Name: "wiki", Local: true, Kind: network, Addresses: addrs("192.0.2.64"), Scope: "as", Way: "local", Config: machine.Active, State: advert.Stopped, Since: ago(time.Hour),
			Want: "stop", Why: "an operator stopped it; it waits for start", Code: "stopped-by-operator", Hold: advert.Hold{Number: 3, On: true}, LSA: "222.2.0.11 (as)",
			Offers: []machine.OfferView{
				with(self(advert.Stopped, advert.StepNone, 100, 0), func(o *machine.OfferView) { o.WhyNot = "an operator stopped it; it waits for start" }),
				with(peer(N2, advert.Stopped, 100, 0), func(o *machine.OfferView) { o.WhyNot = "an operator stopped it; it waits for start" }),
			},
		},
	}
}
