package shell

import (
	"fmt"
	"strconv"
	"time"

	"github.com/srrd/srrd/sidecar/internal/view"
)

func showNodes(c *call) error {
	s, err := c.read()
	if err != nil {
		return err
	}
	if c.opts.JSON {
		return c.json(s.NodesDocument())
	}
	c.nodeTable(s)
	return nil
}

// nodeTable is a line for each node.
func (c *call) nodeTable(s *view.Snapshot) {
	t := table{head: []string{"", "node", "router-id", "state", "status", ">since", ">heard", ">offers", ">runs", "version"}}
	for i := range s.Machine.Nodes {
		n := &s.Machine.Nodes[i]
		t.add(selfMark(n.Self), dash(n.Host), n.Router.String(), view.NodeState(n), n.Status, view.Age(c.now, n.Since), view.Age(c.now, n.LastHeard),
			strconv.Itoa(n.Offers), strconv.Itoa(n.Runs), dash(n.Version))
	}
	t.write(c.out, c.opts.Width)
}

func showNode(c *call) error {
	n, err := c.node("NODE")
	if err != nil {
		return err
	}
	s, err := c.read()
	if err != nil {
		return err
	}
	if c.opts.JSON {
		return c.json(s.NodeDocument(n))
	}
	offers := s.OffersOf(n.Router)
	fmt.Fprintf(c.out, "%s (%s) is %s, %s for %s\n", clean(dash(n.Host)), n.Router, view.NodeState(n), n.Status, view.Age(c.now, n.Since))
	f := fields{}
	if n.Self {
		f.add("self", "this node")
	}
	f.add("version", n.Version)
	if n.Web.IsValid() {
		f.add("web", n.Web.String())
	}
	if n.Incarnation != 0 {
		f.add("said", fmt.Sprintf("incarnation %d, generation %d", n.Incarnation, n.Generation))
	}
	if !n.LastHeard.IsZero() {
		f.add("heard", view.Age(c.now, n.LastHeard)+" ago")
	}
	f.write(c.out, "  ", c.opts.Width)
	c.out.WriteString("\n")
	if len(offers) == 0 {
		c.out.WriteString("it offers no service\n")
		return nil
	}
	t := table{head: []string{"service", "state", ">pref", "claim", "check", ">rank", "flags, why it is no candidate"}}
	for i := range offers {
		o := &offers[i].Offer
		t.add(offers[i].Service, view.OfferState(o), view.PrefWords(o), view.ClaimWords(o), view.Age(c.now, o.LastCheck), view.RankWords(o), view.Remarks(o))
	}
	t.write(c.out, c.opts.Width)
	return nil
}

func showAddresses(c *call) error {
	s, err := c.read()
	if err != nil {
		return err
	}
	rows := s.AllAddresses()
	if c.opts.JSON {
		return c.json(s.AddressesDocument())
	}
	if len(rows) == 0 {
		c.out.WriteString("no service has an address\n")
		return nil
	}
	t := table{head: []string{"address", "service", "way", "here", ">since", "announced by", "remark"}}
	for _, r := range rows {
		t.add(r.Addr.String(), dash(r.Service), dash(r.Way), r.Presence(), view.Age(c.now, r.PresentAt), r.Announcers(), r.AddressErr)
	}
	t.write(c.out, c.opts.Width)
	return nil
}

func showRoutes(c *call) error {
	s, err := c.read()
	if err != nil {
		return err
	}
	rows := s.AllAddresses()
	if c.opts.JSON {
		return c.json(s.RoutesDocument())
	}
	if len(rows) == 0 {
		c.out.WriteString("no service has an address\n")
		return nil
	}
	t := table{head: []string{"route", "service", "way", "wanted", "zebra", ">since", "announced by", "remark"}}
	for _, r := range rows {
		wanted := "no"
		if r.Announce {
			wanted = "yes"
		}
		t.add(r.Addr.String()+"/32", dash(r.Service), dash(r.Way), wanted, dash(r.Standing), view.Age(c.now, r.RouteAt), r.Announcers(), r.RouteText)
	}
	t.write(c.out, c.opts.Width)
	return nil
}

// defaultEvents is how many events are shown without a number.
const defaultEvents = 50

func showEvents(c *call) error {
	s, err := c.read()
	if err != nil {
		return err
	}
	n := defaultEvents
	if t, ok := c.arg("N"); ok {
		n = parseNumber(t.Text)
	}
	events := s.Events[max(0, len(s.Events)-n):]
	if c.opts.JSON {
		return c.json(s.EventsDocument(events))
	}
	if len(events) == 0 {
		c.out.WriteString("no events\n")
		return nil
	}
	t := table{head: []string{">#", "at", ">ago", "level", "service", "event"}}
	for _, e := range events {
		t.add(strconv.FormatUint(e.Seq, 10), e.At.Format("01-02 15:04:05.000"), view.Age(c.now, e.At), e.Level.String(), dash(e.Service), e.Text)
	}
	t.write(c.out, c.opts.Width)
	return nil
}

func showVersion(c *call) error {
	s, err := c.read()
	if err != nil {
		return err
	}
	v := &s.Machine
	if c.opts.JSON {
		return c.json(s.VersionDocument())
	}
	fmt.Fprintf(c.out, "srrd %s on %s (%s)\n", clean(dash(v.Version)), clean(dash(v.Host)), v.Router)
	f := fields{}
	f.add("node", view.NodeWords(v))
	f.add("said", fmt.Sprintf("incarnation %d, generation %d; %s, %d not seen back yet", v.Incarnation, v.Generation, view.Count(v.OSPF.OwnLSAs, "LSA"), v.OSPF.Unechoed))
	f.add("ospfd", view.SessionWords(c.now, v.OSPF.Up, v.OSPF.Why, v.OSPF.Since))
	if v.OSPF.Up {
		f.add("", view.OSPFWords(&v.OSPF))
	}
	f.add("problem", v.OSPF.Problem)
	f.add("zebra", view.SessionWords(c.now, v.Zebra.Up, v.Zebra.Why, v.Zebra.Since))
	f.add("taken", s.Taken.Format(time.RFC3339Nano))
	f.write(c.out, "  ", c.opts.Width)
	return nil
}
