package bench

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/srrd/srrd/lsdb/lsa"
	"github.com/srrd/srrd/ospfapi"
)

// crowded is how many services a stranger behind the last router offers; see
// syncs.
const crowded = 5000

// crowd is that stranger: a client of a router's ospfd, in place of the srrds of
// many nodes.
type crowd struct {
	stop context.CancelFunc
	done chan error
}

func (c *crowd) close() {
	c.stop()
	<-c.done // that it was stopped
}

// gather has a stranger flood services, and waits until the node's ospfd has
// them all.
func (c *cluster) gather(ctx context.Context, node string, count int) (err error) {
	routers := c.lab.Topology().Routers
	router := routers[len(routers)-1]
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	var client *ospfapi.Client
	err = c.lab.Do(router.Name, func() (err error) {
		client, err = ospfapi.Dial(ctx, ospfapi.Config{OSPFReady: func(context.Context) error { return nil }, Notify: func(ospfapi.Notification) {}})
		return err
	})
	if err != nil {
		return err
	}
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.crowd = &crowd{stop, make(chan error, 1)}
	go func() { c.crowd.done <- client.Run(own) }()
	if err := client.WaitReady(ctx); err != nil {
		return err
	}
	if err := client.Register(ctx, ospfapi.LSType(lsa.TypeOpaqueAS), opaqueType); err != nil {
		return err
	}
	calls := make([]*ospfapi.Call, 0, count+1)
	say := func(id uint32, body []byte) error {
		l := lsa.LSA{Header: lsa.Header{Options: 0x42, Type: lsa.TypeOpaqueAS, Seq: lsa.InitialSeq, AdvRouter: router.RouterID,
			ID: netip.AddrFrom4([4]byte{opaqueType, byte(id >> 16), byte(id >> 8), byte(id)})}, Body: lsa.Opaque{Data: body}}
		wire, err := l.Append(nil)
		if err != nil {
			return err
		}
		call, err := client.Start(ospfapi.Originate{Area: netip.IPv4Unspecified(), LSA: wire})
		calls = append(calls, call)
		return err
	}
	if err := say(daemonID, strangersNode()); err != nil {
		return err
	}
	for i := range count {
		id := uint32(i)
		if id >= daemonID {
			id++
		}
		if err := say(id, strangersService(i)); err != nil {
			return err
		}
	}
	for _, call := range calls {
		if err := call.Wait(ctx); err != nil {
			return fmt.Errorf("a stranger's LSA: %w", err)
		}
	}
	return within(ctx, func(context.Context) error {
		text, err := c.lab.VTY(node, "ospfd", "show ip ospf")
		if err != nil {
			return err
		}
		m := opaqueCount.FindStringSubmatch(text)
		if m == nil {
			return errors.New("ospfd does not say how many opaque LSAs it has")
		}
		if n, err := strconv.Atoi(m[1]); err != nil || n <= count {
			return fmt.Errorf("ospfd on %s has %s opaque LSAs, should have more than %d", node, m[1], count)
		}
		return nil
	})
}

var (
	opaqueCount = regexp.MustCompile(`Number of opaque AS LSA (\d+)`)
	received    = regexp.MustCompile(`msg="the link-state database is received" lsas=(\d+) took=(\S+)`)
)

// What srrd floods, as far as a stranger has to say it: LSA 222.G.S.S, and a body
// of TLVs (DESIGN section 4). That srrd understands it the row finds by asking.
const (
	opaqueType = 222
	daemonID   = 256
)

func tlv(b []byte, number uint16, value ...byte) []byte {
	b = binary.BigEndian.AppendUint16(b, number)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// stamped begins a body of a kind: incarnation 1, generation 1.
func stamped(kind byte) []byte {
	return tlv(tlv([]byte{1, kind, 0, 0}, 1, 0, 0, 0, 0, 0, 0, 0, 1), 2, 0, 0, 0, 1)
}

const strangersHost = "stranger"

func strangersNode() []byte {
	b := tlv(stamped(1), 20, []byte(strangersHost)...)
	return tlv(b, 23, 1, 0, 0, 0) // online
}

func strangersService(i int) []byte {
	b := tlv(stamped(2), 3, fmt.Appendf(nil, "service-of-a-stranger-%04d", i)...)
	b = tlv(b, 6, 100)  // preference
	b = tlv(b, 7, 1, 0) // stopped
	b = tlv(b, 10, 10, 251, byte(i>>8), byte(i))
	return tlv(b, 14, 0, 0, 0, 0, 0, 0, 0, 0) // digest
}

// syncs kills and starts srrd on a node where others offer five thousand services,
// and takes srrd's word for how long it took until it had them all.
func syncs(ctx context.Context, c *cluster) (out Outcome, err error) {
	host := c.nodes[0]
	out.From, out.To = host, host
	defer func() {
		if err != nil {
			out.Err = err.Error()
		}
	}()
	if c.crowd == nil {
		if err := c.gather(ctx, host, crowded); err != nil {
			return out, err
		}
	}
	before, err := c.lab.Log(host, "srrd")
	if err != nil {
		return out, err
	}
	r := &run{c: c, holder: host}
	if err := r.signal(syscall.SIGKILL, "srrd"); err != nil {
		return out, err
	}
	if err := r.start(ctx, "srrd"); err != nil {
		return out, err
	}
	err = within(ctx, func(ctx context.Context) error {
		text, err := c.lab.Log(host, "srrd")
		if err != nil {
			return err
		}
		m := received.FindStringSubmatch(text[min(len(before), len(text)):])
		if m == nil {
			return fmt.Errorf("srrd on %s does not say that it has the database", host)
		}
		if n, err := strconv.Atoi(m[1]); err != nil || n <= crowded {
			return fmt.Errorf("srrd on %s has received %s LSAs, should be more than %d", host, m[1], crowded)
		}
		out.Outage, err = time.ParseDuration(m[2])
		return err
	})
	if err != nil {
		return out, err
	}
	return out, within(ctx, func(ctx context.Context) error { return c.knowsStranger(ctx, host) })
}

// knowsStranger holds that srrd has understood what was flooded.
func (c *cluster) knowsStranger(ctx context.Context, host string) error {
	text, err := c.ask(ctx, host, "-o json show node")
	var doc struct {
		Nodes []struct {
			Host   string
			Offers int
		}
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &doc)
	}
	if err != nil {
		return err
	}
	for _, n := range doc.Nodes {
		if n.Host == strangersHost && n.Offers == crowded {
			return nil
		}
	}
	return fmt.Errorf("srrd on %s knows of no %s that offers %d services", host, strangersHost, crowded)
}
