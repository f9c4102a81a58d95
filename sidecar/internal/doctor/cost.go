package doctor

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/srrd/srrd/vty"
)

// Cost is what one setting of this router adds to a failover.
type Cost struct {
	What  string // "silent loss seen on eth0"
	Takes string // "150 ms", "5-10 s", "nothing"
	From  string // the setting, in the words of its line
}

// Costs lists what a failover pays here, also where nothing is to be found:
// from the loss of a neighbour to the route in the kernel, and then what a
// second change pays that follows soon. Nothing is listed of a daemon that
// cannot be asked.
func Costs(f Facts) (all []Cost) {
	ospfd := f.Missing[vty.OSPF] == "" && f.State.Running
	if ospfd {
		for _, i := range f.active() {
			all = append(all, f.lossOn(i))
		}
		all = append(all, Cost{"routes computed", takes(f.State.SPFDelay),
			fmt.Sprintf("timers throttle spf %d %d %d; up to %s when changes follow each other", f.State.SPFDelay.Milliseconds(),
				f.State.SPFHold.Milliseconds(), f.longestSPF().Milliseconds(), span(max(f.longestSPF(), f.State.SPFDelay)))})
	}
	if f.Missing[vty.Zebra] == "" {
		from := fmt.Sprintf("zebra work-queue %d", f.hold().Milliseconds())
		if f.quagga() {
			from = "the work queue of Quagga's zebra, which cannot be told otherwise"
		}
		all = append(all, Cost{"each route through zebra", takes(f.hold()), from})
	}
	if !ospfd {
		return all
	}
	again := "nothing"
	if f.State.LSAMinArrival > 0 {
		again = "5-10 s"
	}
	all = append(all,
		Cost{fmt.Sprintf("one address moved twice%s", within(f.State.LSAMinArrival)), again, fmt.Sprintf("%s %d", strings.TrimSuffix(f.minArrival(), " 0"), f.State.LSAMinArrival.Milliseconds())},
		Cost{"own LSA said again", upTo(f.State.LSAInterval), fmt.Sprintf("timers throttle lsa all %d", f.State.LSAInterval.Milliseconds())})
	for _, i := range f.active() {
		block, _ := f.OSPF.Block("interface " + i.Name)
		seconds := retransmitInterval(block)
		all = append(all, Cost{"an LSA lost on " + i.Name, fmt.Sprintf("%d-%d s", seconds, 2*seconds), fmt.Sprintf("ip ospf retransmit-interval %d", seconds)})
	}
	return all
}

// lossOn is how long a neighbour's silence on an interface goes unnoticed.
func (f *Facts) lossOn(i Interface) Cost {
	c := Cost{What: "silent loss seen on " + i.Name}
	block, _ := f.OSPF.Block("interface " + i.Name)
	if f.Missing[vty.BFD] == "" && block.Has("ip ospf bfd") {
		profile, hasProfile := block.Value("ip ospf bfd profile")
		c.Takes = span(f.detectionTime(i, block, profile, hasProfile))
		c.From = "ip ospf bfd, the greater of both sides' intervals counts"
		if hasProfile {
			c.From = "bfd profile " + profile + ", the greater of both sides' intervals counts"
		}
		return c
	}
	c.Takes, c.From = "not known", "no BFD: the dead interval"
	if i.Dead > 0 {
		c.Takes = span(time.Duration(i.Dead) * time.Second)
	}
	return c
}

// longestSPF is the longest wait between two computations of routes.
func (f *Facts) longestSPF() time.Duration {
	router, _ := f.OSPF.Block("router ospf")
	if v, ok := router.Value("timers throttle spf"); ok {
		if w := strings.Fields(v); len(w) == 3 {
			return milliseconds(w[2])
		}
	}
	return defaultSPFMax * time.Millisecond
}

// hold is how long zebra collects route changes.
func (f *Facts) hold() time.Duration {
	if v, ok := f.Zebra.Value("zebra work-queue"); ok {
		if n, err := strconv.Atoi(v); err == nil {
			return time.Duration(n) * time.Millisecond
		}
	}
	return defaultWorkQueue * time.Millisecond
}

// retransmitInterval of an interface, in seconds.
func retransmitInterval(block vty.Block) int {
	if v, ok := block.Value("ip ospf retransmit-interval"); ok {
		if n, err := strconv.Atoi(v); err == nil {
			return n
		}
	}
	return defaultRetransmit
}

func takes(d time.Duration) string {
	if d <= 0 {
		return "nothing"
	}
	return span(d)
}

func upTo(d time.Duration) string {
	if d <= 0 {
		return "nothing"
	}
	return "up to " + span(d)
}

func within(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return " within " + span(d)
}
