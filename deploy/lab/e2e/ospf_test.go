package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/deploy/lab"
	"github.com/srrd/srrd/lsdb/lsa"
	"github.com/srrd/srrd/ospfapi"
)

// opaqueType is that of srrd's LSAs.
const opaqueType = 222

// stranger is a second client of a host's ospfd, which knows nothing of srrd.
type stranger struct {
	*ospfapi.Client
	end  context.CancelFunc
	done chan error
}

// portsTaken keeps the port pairs of strangers apart from srrd's, which start
// at 20000.
var portsTaken atomic.Int32

func (c *cluster) stranger(host string) *stranger {
	c.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	first := uint16(29000 + 20*portsTaken.Add(1))
	s := &stranger{end: cancel, done: make(chan error, 1)}
	err := c.lab.Do(host, func() error {
		var err error
		s.Client, err = ospfapi.Dial(ctx, ospfapi.Config{
			OSPFReady: func(context.Context) error { return nil }, Notify: func(ospfapi.Notification) {},
			PortFirst: first, PortLast: first + 18,
		})
		return err
	})
	c.must(err)
	go func() { s.done <- s.Run(ctx) }()
	wait, stop := context.WithTimeout(ctx, patience)
	defer stop()
	c.must(s.WaitReady(wait))
	c.Cleanup(s.close)
	return s
}

func (s *stranger) close() {
	s.end()
	if s.done != nil {
		<-s.done
		s.done = nil
	}
}

// says has the stranger originate a type-222 LSA of the scope in which the nodes
// speak.
func (s *stranger) says(c *cluster, id uint32, body []byte) {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	call, err := s.Start(ospfapi.Originate{Area: netip.IPv4Unspecified(), LSA: c.asSaid(netip.IPv4Unspecified(), id, 0, lsa.InitialSeq, body)})
	c.must(err)
	c.must(call.Wait(ctx))
}

// spoken is the LSA type in which the nodes of this cluster speak of all that
// has no scope of its own.
func (c *cluster) spoken() lsa.Type {
	for _, h := range c.lab.Topology().All() {
		if h.Srrd != nil && strings.Contains(h.Srrd.Config, "scope: {area:") {
			return lsa.TypeOpaqueArea
		}
	}
	return lsa.TypeOpaqueAS
}

// asSaid is an LSA of type 222 of that type: in the place of one of the nodes'
// it must be of the same.
func (c *cluster) asSaid(router netip.Addr, id uint32, age uint16, seq lsa.Seq, body []byte) []byte {
	l := lsa.LSA{Header: lsa.Header{Age: age, Options: 0x42, Type: c.spoken(), Seq: seq, AdvRouter: router,
		ID: netip.AddrFrom4([4]byte{opaqueType, byte(id >> 16), byte(id >> 8), byte(id)})}, Body: lsa.Opaque{Data: body}}
	b, err := l.Append(nil)
	if err != nil {
		panic(err) // every body of these tests fits
	}
	return b
}

// flood sends an LSA to a neighbour as a router of its own link would: one Link
// State Update packet (RFC 2328 A.3.5), from the host's own address and name.
func (c *cluster) flood(from, to string, fromIface, toIface string, l []byte) {
	c.Helper()
	id := c.lab.Topology().Host(from).RouterID.As4()
	p := make([]byte, 28, 28+len(l))
	p[0], p[1] = 2, 4 // version, Link State Update
	binary.BigEndian.PutUint16(p[2:], uint16(28+len(l)))
	copy(p[4:], id[:]) // area 0, no authentication
	binary.BigEndian.PutUint32(p[24:], 1)
	p = append(p, l...)
	binary.BigEndian.PutUint16(p[12:], ipChecksum(p))
	src, dst := c.lab.Address(from, fromIface).As4(), c.lab.Address(to, toIface).As4()
	c.must(c.lab.Do(from, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 89) // OSPFIGP
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: src}); err != nil {
			return err
		}
		return unix.Sendto(fd, p, 0, &unix.SockaddrInet4{Addr: dst})
	}))
}

// ipChecksum is RFC 1071, over the packet without its authentication field,
// which is zero.
func ipChecksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// opaqueNumber is the 24 bit opaque id of "222.A.B.C", whatever follows it.
func opaqueNumber(text string) uint32 {
	id, _, _ := strings.Cut(text, " ")
	b := netip.MustParseAddr(id).As4()
	return binary.BigEndian.Uint32(b[:]) & 0xffffff
}

// killAll ends a node as a power cut does: ospfd first, so that it can say
// nothing of srrd's end.
func (c *cluster) killAll(node string) {
	c.Helper()
	c.kill(node, "ospfd", "bfdd", "zebra", "srrd")
}

// boot starts a node's daemons as at boot.
func (c *cluster) boot(node string) {
	c.Helper()
	c.start(node, "zebra", "bfdd", "ospfd", "srrd")
}

// ids are the link state ids of a router's live LSAs, as seen on a node.
func (c *cluster) ids(on, router string) map[string]lsaRow {
	c.Helper()
	rows, err := c.opaque(on, router)
	c.must(err)
	all := map[string]lsaRow{}
	for _, r := range rows {
		all[r.ID] = r
	}
	return all
}

// life is the incarnation that a body names (TLV 1, the first), in hex.
func (r lsaRow) life() string {
	return r.Body.Data[min(16, len(r.Body.Data)):min(32, len(r.Body.Data))]
}

// own waits until a node shows the LSA under which it speaks of a service now.
func (c *cluster) own(node, router, name string) (s service, row lsaRow, body []byte) {
	c.Helper()
	c.await(fmt.Sprintf("%s shows its LSA of %s", node, name), func() (err error) {
		if s, err = c.service(node, name); err != nil {
			return err
		}
		id, _, _ := strings.Cut(s.LSA, " ")
		var there bool
		if row, there = c.ids(node, router)[id]; !there {
			return fmt.Errorf("there is no %q", s.LSA)
		}
		body, err = hex.DecodeString(row.Body.Data)
		return err
	})
	return s, row, body
}

// forget removes what a node's daemons remember.
func (c *cluster) forget(node string) {
	c.Helper()
	c.exec(node, "sh", "-c", "rm -rf "+c.lab.Vars(node).StateDir+"/*")
}

func TestIdentity(t *testing.T) {
	c := up(t, twoNodes(services{"web": "addresses: 10.250.0.1\n", "log": ""}))
	c.settled("web", "log")
	const n1 = "10.255.1.1"

	// lives are the ids used by each life of n1 since the last forget.
	back := func(c *cluster, old map[string]lsaRow, before nodeRow) {
		c.Helper()
		c.await("n2 hears the new life of n1", func() error {
			row, err := c.nodeRow("n2", "n1")
			if err != nil {
				return err
			}
			self, err := c.nodeRow("n1", "n1")
			if err != nil {
				return err
			}
			if row.Incarnation != self.Incarnation || row.Incarnation == before.Incarnation || row.Status != "present" {
				return fmt.Errorf("incarnation %d, n1 says %d, was %d; %s", row.Incarnation, self.Incarnation, before.Incarnation, row.Status)
			}
			return nil
		})
		// The words of the new life are under ids that the old one, which its
		// neighbours still held, had not used. (The stamp of a check is the one thing
		// that is said again in place: it belongs to the same life.)
		c.await("n1 has said all under new ids, and n2 has heard it so", func() error {
			own, heard := c.ids("n1", n1), c.ids("n2", n1)
			fresh := 0
			for id, r := range own {
				if was, used := old[id]; used && was.life() != r.life() {
					c.Fatalf("id %s is used again with another body", id)
				} else if used {
					continue
				}
				if h, ok := heard[id]; !ok || h.Body.Data != r.Body.Data {
					return fmt.Errorf("id %s says %q on n1 and %q on n2", id, r.Gist, h.Gist)
				}
				fresh++
			}
			if fresh < 3 { // the daemon and two services
				return fmt.Errorf("%d ids are new among %v, old %v", fresh, keys(own), keys(old))
			}
			return nil
		})
		c.settled("web", "log")
		c.elected("web")
		c.await("nothing of the old life is left", func() error {
			for id := range c.ids("n2", n1) {
				if _, was := old[id]; was {
					return fmt.Errorf("%s is still there", id)
				}
			}
			return nil
		})
	}

	c.sub("old ids are flushed 15 s after the new", func(c *cluster) {
		c.await("one LSA each for the daemon and two services is left on both nodes", func() error {
			for _, on := range c.nodes {
				for _, router := range []string{n1, "10.255.1.2"} {
					if ids := c.ids(on, router); len(ids) != 3 {
						return fmt.Errorf("on %s: %v", on, keys(ids))
					}
				}
			}
			return nil
		})
	})

	rose := func(c *cluster, before uint64) {
		c.Helper()
		if now := c.awaitStatus("n2", "n1", "present").Incarnation; now <= before {
			c.Errorf("incarnation %d after %d, want it to rise", now, before)
		}
	}

	c.sub("a node killed entirely and back while a neighbour holds its old LSAs is heard at once", func(c *cluster) {
		before := c.awaitStatus("n2", "n1", "present")
		old := c.ids("n2", n1)
		c.killAll("n1")
		c.awaitStatus("n2", "n1", "unreachable")
		c.boot("n1")
		back(c, old, before)
		rose(c, before.Incarnation)
	})

	c.sub("the same without the state file", func(c *cluster) {
		before := c.awaitStatus("n2", "n1", "present")
		old := c.ids("n2", n1)
		c.killAll("n1")
		c.forget("n1")
		c.awaitStatus("n2", "n1", "unreachable")
		c.boot("n1")
		back(c, old, before)
		rose(c, before.Incarnation)
	})

	c.sub("a stored incarnation from the future is exceeded", func(c *cluster) {
		c.killAll("n1")
		c.awaitStatus("n2", "n1", "unreachable")
		before := nodeRow{Incarnation: 1 << 40}
		c.rewriteState("n1", before.Incarnation)
		old := c.ids("n2", n1)
		c.boot("n1")
		back(c, old, before)
		rose(c, before.Incarnation)
	})

	// Its ospfd flushes what it gets back of the old life without a word to
	// srrd, so the new life may be the lower number: it is heard all the same.
	c.sub("a life after one from the future is heard though the state file is lost", func(c *cluster) {
		before := c.awaitStatus("n2", "n1", "present")
		old := c.ids("n2", n1)
		c.killAll("n1")
		c.forget("n1")
		c.awaitStatus("n2", "n1", "unreachable")
		c.boot("n1")
		back(c, old, before)
	})

	c.sub("an LSA planted under the node's own router id is deleted and reported", func(c *cluster) {
		seq := c.lastEvent("n1")
		service, _, body := c.own("n1", n1, "web")
		// Under an id it does not know ospfd itself would flush it, silently;
		// under one that is in use it takes the planted body for its own.
		binary.BigEndian.PutUint64(body[8:], 77) // the incarnation of another life
		c.flood("r0", "n1", "n1", "eth0", c.asSaid(netip.MustParseAddr(n1), opaqueNumber(service.LSA), 1, lsa.InitialSeq+100, body))
		c.awaitEventAfter("n1", seq, "under our router id")
		c.await("it is gone from both, and web is said under another id", func() error {
			now, err := c.service("n1", "web")
			if err != nil {
				return err
			}
			if now.LSA == service.LSA {
				return fmt.Errorf("it is %s", now.LSA)
			}
			for _, on := range c.nodes {
				for id, r := range c.ids(on, n1) {
					if strings.Contains(r.Body.Data, fmt.Sprintf("%016x", 77)) {
						return fmt.Errorf("%s has it as %s", on, id)
					}
				}
			}
			return nil
		})
		c.settled("web", "log")
	})

	c.sub("an LSA of ours that somebody deletes is said again", func(c *cluster) {
		_, row, body := c.own("n1", n1, "web")
		id := row.ID
		c.flood("r0", "n1", "n1", "eth0", c.asSaid(netip.MustParseAddr(n1), opaqueNumber(id), lsa.MaxAge, lsa.InitialSeq+100, body))
		c.await("both have it under an id that lives", func() error {
			s, err := c.service("n1", "web")
			if err != nil {
				return err
			}
			now, _, _ := strings.Cut(s.LSA, " ")
			for _, on := range c.nodes {
				r, ok := c.ids(on, n1)[now]
				if !ok || now == id && r.Seq == row.Seq {
					return fmt.Errorf("%s has %s: %v, sequence %s", on, now, ok, r.Seq)
				}
			}
			return nil
		})
		c.settled("web", "log")
	})

	c.sub("ospfclient.py sees the same LSAs byte for byte", func(c *cluster) {
		c.await("srrsh and ospfclient.py agree", func() error {
			theirs, err := c.ospfclient("n1")
			if err != nil {
				return err
			}
			rows, err := c.opaque("n1", "")
			if err != nil {
				return err
			}
			var ours []string
			for _, r := range rows {
				ours = append(ours, fmt.Sprintf("%s %s %s %s", r.ID, r.Router, strings.TrimPrefix(r.Seq, "0x"), r.Body.Data))
			}
			slices.Sort(ours)
			if len(ours) < 6 || !slices.Equal(ours, theirs) {
				return fmt.Errorf("srrsh:\n%s\nospfclient.py:\n%s", strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
			}
			return nil
		})
	})

	c.sub("who is outbid under his own router id three times in a minute stops everything and says so", func(c *cluster) {
		const outbid = "another node uses the router id 10.255.1.1"
		c.holderIs("web", "n1")
		// Less often if it had to outbid what its own life before had left.
		for i := range lsa.Seq(3) {
			var id string
			var body []byte
			var was nodeRow
			gaveUp := false
			c.await("ospfd has what n1 says since it outbid the last one, or n1 gives up", func() error {
				events, err := c.events("n1")
				gaveUp = slices.ContainsFunc(events, func(e event) bool { return strings.Contains(e.Text, outbid) })
				if err != nil || gaveUp {
					return err
				}
				if was, err = c.nodeRow("n1", "n1"); err != nil {
					return err
				}
				rows, err := c.opaque("n1", n1)
				if err != nil {
					return err
				}
				id, body, err = newest(slices.DeleteFunc(rows, func(r lsaRow) bool {
					return len(r.Body.Data) < 32 || r.Body.Data[16:32] != fmt.Sprintf("%016x", was.Incarnation)
				}), "srrd n1")
				return err
			})
			if gaveUp {
				if i == 0 {
					c.Fatal("n1 gave up before anybody outbid it")
				}
				break
			}
			binary.BigEndian.PutUint64(body[8:], was.Incarnation+10)
			c.flood("r0", "n1", "n1", "eth0", c.asSaid(netip.MustParseAddr(n1), opaqueNumber(id), 1, lsa.InitialSeq+1000+i, body))
			c.await("n1 outbids it", func() error {
				now, err := c.nodeRow("n1", "n1")
				if err == nil && now.Incarnation <= was.Incarnation+10 {
					err = fmt.Errorf("incarnation %d", now.Incarnation)
				}
				return err
			})
		}
		c.awaitEvent("n1", outbid)
		c.awaitService("n1", "web", "is stopped for that reason", func(s service) error {
			if s.State != "stopped" || s.Reason != "duplicate-router-id" {
				return fmt.Errorf("%s/%s %s", s.Config, s.State, s.Why)
			}
			return nil
		})
		c.takenOver("web", "n1", "n2")
	})
}

// Each node has a router of its own: two neighbours of one router that share an
// id keep each other from becoming Full for most of the time.
func TestTwoNodesOfOneRouterID(t *testing.T) {
	topo := twoNodes(services{"web": "addresses: 10.250.0.1\n"})
	topo.Routers = append(topo.Routers, router("r1", "10.255.0.2"))
	topo.Links = []lab.Segment{
		cable(end("r0", "r1", "10.0.1.1/30"), end("r1", "r0", "10.0.1.2/30")),
		cable(end("r0", "n1", "10.1.1.1/30"), end("n1", "eth0", "10.1.1.2/30")),
		cable(end("r1", "n2", "10.1.2.1/30"), end("n2", "eth0", "10.1.2.2/30")),
	}
	c := up(t, topo)
	c.settled("web")
	change := []string{"vtysh", "-c", "configure terminal", "-c", "router ospf", "-c", "ospf router-id 10.255.1.2"}
	if oldNodes() {
		// FRR 7.5 has no `clear ip ospf process`, and changes it at once only while no
		// neighbour is Full.
		c.must(c.lab.Cut("n1", lab.Silent))
		c.await("n1 has lost its neighbour", func() error {
			text, err := c.lab.VTY("n1", "ospfd", "show ip ospf neighbor")
			if err == nil && strings.Contains(text, "Full/") {
				err = errors.New(text)
			}
			return err
		})
		c.exec("n1", change...)
		c.must(c.lab.Heal("n1"))
	} else {
		c.exec("n1", append(change, "-c", "end", "-c", "clear ip ospf process")...)
	}
	// Who has seen it three times says nothing more; but the two ospfd go on
	// outbidding each other's router LSA, so the other sees it too.
	for _, node := range c.nodes {
		c.awaitEvent(node, "another node uses the router id 10.255.1.2")
		c.awaitService(node, "web", "is stopped for that reason", func(s service) error {
			if s.State != "stopped" || s.Reason != "duplicate-router-id" {
				return fmt.Errorf("%s/%s %s", s.Config, s.State, s.Why)
			}
			return nil
		})
	}
}

// FRR from 10 on lets a second client register srrd's opaque types and forgets them
// for both when it leaves. What srrd says then is refused, and yet stays in ospfd's
// database, where a DELETE does nothing. An older one refuses the second client, and
// nothing is forgotten.
func TestNothingIsLeftOfWhatOSPFDForgot(t *testing.T) {
	c := up(t, twoNodes(services{"web": "addresses: 10.250.0.1\n"}))
	c.settled("web")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := c.stranger("n1")
	err := s.Register(ctx, ospfapi.LSType(c.spoken()), opaqueType)
	refused := errors.Is(err, ospfapi.OpaqueTypeInUse)
	if !refused {
		c.must(err)
	}
	log, seq := c.logLength("n1"), c.lastEvent("n2")
	s.close()
	const gone = "srrd on n1 (10.255.1.1) is gone"
	if !refused {
		c.awaitEventAfter("n2", seq, gone) // ospfd has noticed, and forgotten
	}
	c.does("n1", "node standby") // something to say, if there was nothing yet
	if !refused {
		c.awaitLog("n1", log, "ospfd has forgotten our opaque types")
		c.awaitLog("n1", log, "overwritten and deleted")
	}
	c.await("n2 has heard of it", func() error {
		row, err := c.nodeRow("n2", "n1")
		if err == nil && row.State != "standby" {
			err = fmt.Errorf("n1 is %s", row.State)
		}
		return err
	})
	c.awaitFor(2*patience, "ospfd on n1 holds what its srrd says and nothing else", func() error {
		said := c.ids("n1", "10.255.1.1")
		kind := map[lsa.Type]string{lsa.TypeOpaqueArea: "opaque-area", lsa.TypeOpaqueAS: "opaque-as"}[c.spoken()]
		out := c.exec("n1", "vtysh", "-c", "show ip ospf database "+kind+" self-originate")
		held := regexp.MustCompile(`LS age: (\d+)\n(?:.*\n)*? *Link State ID: (222\.\d+\.\d+\.\d+) `).FindAllStringSubmatch(out, -1)
		var live []string
		for _, m := range held {
			if m[1] != "3600" {
				live = append(live, m[2])
			}
		}
		if slices.Sort(live); len(live) == 0 || !slices.Equal(live, keys(said)) {
			return fmt.Errorf("ospfd: %v, srrd: %v", live, keys(said))
		}
		return nil
	})
	c.does("n1", "node online")
	c.settled("web")
	if !refused {
		return
	}
	all, err := c.events("n2")
	c.must(err)
	for _, e := range all {
		if e.Seq > seq && strings.Contains(e.Text, gone) {
			t.Errorf("ospfd refused the second client and forgot all the same: %q on n2", e.Text)
		}
	}
}

// rewriteState gives the state file another incarnation, and the checksum that
// belongs to it.
func (c *cluster) rewriteState(node string, incarnation uint64) {
	c.Helper()
	path := filepath.Join(c.lab.Vars(node).StateDir, "state.json")
	text, err := os.ReadFile(path)
	c.must(err)
	var file map[string]json.RawMessage
	c.must(json.Unmarshal(text, &file))
	var compact bytes.Buffer
	c.must(json.Compact(&compact, file["memory"]))
	memory := regexp.MustCompile(`"incarnation":\d+`).ReplaceAll(compact.Bytes(), fmt.Appendf(nil, `"incarnation":%d`, incarnation))
	file["memory"] = memory
	file["sha256"] = fmt.Appendf(nil, "%q", fmt.Sprintf("%x", sha256.Sum256(memory)))
	text, err = json.Marshal(file)
	c.must(err)
	c.must(os.WriteFile(path, text, 0o640))
}

func keys(m map[string]lsaRow) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// ospfclientScript prints the type-222 LSAs of a sync in hex, with FRR's own
// client as a library.
const ospfclientScript = `
import asyncio, sys
sys.path.insert(0, sys.argv[1])
import ospfclient as o

# ospfclient.py drops the writer of the async stream; since Python 3.11.6 that
# closes the stream.
kept, open_connection = [], asyncio.open_connection
async def keep(*args, **kwargs):
    pair = await open_connection(*args, **kwargs)
    kept.append(pair[1])
    return pair
asyncio.open_connection = keep

async def main():
    c = o.OspfOpaqueClient("127.0.0.1")
    await c.connect()
    done = asyncio.Event()
    def lsa(mt, ifaddr, area, header, extra, lsa):
        if mt == o.MSG_LSA_UPDATE_NOTIFY and header[2] in (9, 10, 11):
            print(lsa.hex())
    async def rid(new, old):
        done.set()
    loop = asyncio.create_task(c._handle_msg_loop())
    await c.monitor_lsa(lsa)
    if sys.argv[2] == "old":
        # Before FRR 8.4 ospfd has nothing to say that ends a sync; what came too
        # late is there when this runs again.
        await asyncio.sleep(2)
    else:
        await c.monitor_router_id(rid)
        await done.wait()
    loop.cancel()

asyncio.run(main())
`

// ospfclient lists the live type-222 LSAs that FRR's own client sees, sorted:
// id, router, sequence number, body in hex.
func (c *cluster) ospfclient(host string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	age := "new"
	if !c.lab.Release(host).AtLeast(8, 4) {
		age = "old"
	}
	out, err := c.lab.Exec(ctx, host, "python3", "-B", "-c", ospfclientScript, frrDir, age)
	if err != nil {
		return nil, fmt.Errorf("ospfclient.py (package frr): %w: %s", err, out)
	}
	last := map[string]string{} // of what it was told more than once
	for line := range strings.Lines(out) {
		b, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil || len(b) < lsa.HeaderLen {
			return nil, fmt.Errorf("ospfclient.py: %q", line)
		}
		if b[4] != opaqueType {
			continue
		}
		key := fmt.Sprintf("%s %s", net.IP(b[4:8]), net.IP(b[8:12]))
		if binary.BigEndian.Uint16(b)&0x7fff >= lsa.MaxAge {
			delete(last, key)
			continue
		}
		last[key] = fmt.Sprintf("%s %x %x", key, b[12:16], b[20:])
	}
	return slices.Sorted(maps.Values(last)), nil
}
