package e2e

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/srrd/srrd/deploy/lab"
	"github.com/srrd/srrd/lsdb/lsa"
	"github.com/srrd/srrd/ospfapi"
)

// The secrets of the keys in these tests, in hex as in the file.
const (
	secretOne = "1b4f0e9851971998e732078544c96b36c3d01cedf7caa332359d6f1d83567014"
	secretTwo = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
)

// signedConfig is daemonConfig with keys, of which the first signs.
const signedConfig = daemonConfig + `authentication: {keys: keys, send: 1}
`

// signedUnder is the key id in the signature at the end of a body (TLV 255, 36
// bytes), 0 without one.
func signedUnder(body []byte) uint32 {
	at := len(body) - 40
	if at < 4 || binary.BigEndian.Uint32(body[at:]) != 255<<16|36 {
		return 0
	}
	return binary.BigEndian.Uint32(body[at+4:])
}

// bodyOf finds what a router says of a thing, as newest does. It waits for it: an
// update is a delete and an add for ospfd's clients.
func (c *cluster) bodyOf(on, router, gist string) (id string, body []byte) {
	c.Helper()
	c.await(fmt.Sprintf("%s has an LSA %q of %s", on, gist, router), func() error {
		rows, err := c.opaque(on, router)
		if err == nil {
			id, body, err = newest(rows, gist)
		}
		return err
	})
	return id, body
}

// newest picks an LSA by its gist: that of the newest generation (TLV 2), since an
// older one is there for 15 s more. Each incarnation begins them anew.
func newest(rows []lsaRow, gist string) (id string, body []byte, err error) {
	for _, r := range rows {
		if !strings.HasPrefix(r.Gist, gist) {
			continue
		}
		b, err := hex.DecodeString(r.Body.Data)
		if err != nil || len(b) < 24 {
			return "", nil, fmt.Errorf("%s (%s) is %q: %v", r.ID, r.Gist, r.Body.Data, err)
		}
		if body == nil || binary.BigEndian.Uint32(b[20:]) > binary.BigEndian.Uint32(body[20:]) {
			id, body = r.ID, b
		}
	}
	if body == nil {
		return "", nil, fmt.Errorf("there is %v", rows)
	}
	return id, body, nil
}

// began counts the primitives that began on all nodes, checks apart.
func (c *cluster) began(service string) int {
	c.Helper()
	return len(order(c.primitives(service)))
}

// metrics is a node's page for Prometheus.
func (c *cluster) metrics(node string) string {
	c.Helper()
	client := c.client(node)
	r, err := client.Get("http://127.0.0.1:8222/metrics")
	c.must(err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	c.must(err)
	return string(text)
}

// client asks a node's pages from the node itself.
func (c *cluster) client(node string) *http.Client {
	var d net.Dialer
	return &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			err = c.lab.Do(node, func() error {
				conn, err = d.DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		}}}
}

// refusals is what a node says of refused LSAs, among its problems.
func (c *cluster) refusals(on string) []string {
	c.Helper()
	_, problems, err := c.services(on)
	c.must(err)
	var all []string
	for _, p := range problems {
		if strings.Contains(p.Text, " refused: ") {
			all = append(all, p.Text)
		}
	}
	return all
}

var authenticationLine = regexp.MustCompile(`(?m)^authentication:.*$`)

func TestAuthentication(t *testing.T) {
	topo := patient(threeLinks(services{"web": "addresses: 10.250.9.1\n", "disk": ""}))
	for i := range topo.Hosts {
		if s := topo.Hosts[i].Srrd; s != nil {
			s.Config = signedConfig
			s.Files["keys"] = "1 " + secretOne + "\n"
		}
	}
	c := up(t, topo)
	c.settled("web", "disk")
	holder, disk := c.elected("web"), c.elected("disk")
	c.joined("web", "disk")
	routers := map[string]string{"n1": "10.255.1.1", "n2": "10.255.1.2", "n3": "10.255.1.3"}

	c.sub("everything that is flooded is signed", func(c *cluster) {
		for _, on := range c.nodes {
			var rows []lsaRow
			c.await(on+" has all LSAs of three nodes with two services", func() (err error) {
				if rows, err = c.opaque(on, ""); err == nil && len(rows) < 9 {
					err = fmt.Errorf("it has %d", len(rows))
				}
				return err
			})
			for _, r := range rows {
				if body, err := hex.DecodeString(r.Body.Data); err != nil || signedUnder(body) != 1 {
					c.Errorf("%s: %s of %s (%s) is signed under %d (%v)", on, r.ID, r.Router, r.Gist, signedUnder(body), err)
				}
			}
			if got := c.refusals(on); len(got) > 0 {
				c.Errorf("%s refuses %q", on, got)
			}
		}
	})

	// unmoved asserts that nothing has been started, stopped or told to a service.
	unmoved := func(c *cluster, before int) {
		c.Helper()
		c.awaitHolder("web", holder)
		c.awaitHolder("disk", disk)
		if n := c.began("web") + c.began("disk"); n != before {
			c.Errorf("%d primitives ran: web %q, disk %q", n-before, order(c.primitives("web")), order(c.primitives("disk")))
		}
	}

	c.sub("a router without the keys claims, and nothing moves", func(c *cluster) {
		before, logs := c.began("web")+c.began("disk"), map[string]int{}
		for _, n := range c.nodes {
			logs[n] = c.logLength(n)
		}
		_, daemon := c.bodyOf("n1", routers[holder], "srrd ")
		_, web := c.bodyOf("n1", routers[holder], "service web")
		_, its := c.bodyOf("n1", routers[disk], "service disk")
		plain := func(b []byte) []byte { return b[:len(b)-40] }
		// Better than everybody: the preference is TLV 6, one byte.
		best := func(b []byte) []byte {
			b = slices.Clone(plain(b))
			at := strings.Index(string(b), "\x00\x06\x00\x01")
			b[at+4] = 255
			return b
		}
		wrong := slices.Clone(web)
		wrong[len(wrong)-1] ^= 1
		unknown := slices.Clone(web)
		binary.BigEndian.PutUint32(unknown[len(unknown)-36:], 9)
		rogue := c.stranger("r0")
		c.must(rogue.Register(t.Context(), ospfapi.LSType(c.spoken()), opaqueType))
		rogue.says(c, 0x000100, plain(daemon))
		rogue.says(c, 0x000001, best(web))
		rogue.says(c, 0x000002, best(its))
		rogue.says(c, 0x000003, web)    // genuine, of another router
		rogue.says(c, 0x010100, daemon) // likewise
		rogue.says(c, 0x000004, wrong)
		rogue.says(c, 0x000005, unknown)
		rogue.says(c, 0x000006, []byte("not one of ours!"))
		for i := range uint32(100) {
			rogue.says(c, 0x000200+i, best(web))
		}
		for _, on := range c.nodes {
			c.await(on+" tells what it refuses, and of whom", func() error {
				all := strings.Join(c.refusals(on), "\n")
				for _, want := range []string{"it is not signed", "its signature is wrong", "under a key id this node does not have", "of 10.255.0.1 refused"} {
					if !strings.Contains(all, want) {
						return fmt.Errorf("no %q in %q", want, all)
					}
				}
				return nil
			})
		}
		unmoved(c, before)
		for _, on := range c.nodes {
			if nodes, err := c.nodeRow(on, "10.255.0.1"); err == nil {
				c.Errorf("%s takes the router for a node: %+v", on, nodes)
			}
			text, err := c.lab.Log(on, "srrd")
			c.must(err)
			if n := strings.Count(text[logs[on]:], " refused: "); n < 3 || n > 6 {
				c.Errorf("%s logs %d lines for 108 refused LSAs:\n%s", on, n, text[logs[on]:])
			}
			c.await(on+" counts them", func() error {
				if m := c.metrics(on); !strings.Contains(m, `srrd_lsas_refused{reason="unsigned"} 104`) || !strings.Contains(m, `srrd_lsas_refused_total{reason="wrong signature"} 3`) {
					return fmt.Errorf("%q", strings.Join(slices.DeleteFunc(strings.Split(m, "\n"), func(l string) bool { return !strings.HasPrefix(l, "srrd_lsas_") }), "; "))
				}
				return nil
			})
		}
		rogue.close()
		for _, on := range c.nodes {
			if !c.lab.Release("r0").AtLeast(8, 4) && c.spoken() == lsa.TypeOpaqueAS {
				break // its ospfd leaves LSAs of scope as to those who hear them
			}
			c.await("they are gone from "+on, func() error {
				if m := c.metrics(on); !strings.Contains(m, `srrd_lsas_refused{reason="unsigned"} 0`) {
					return errNotYet
				}
				return nil
			})
		}
	})

	c.sub("forged in a node's own name, over and over, it neither moves nor stops anything", func(c *cluster) {
		before := c.began("web") + c.began("disk")
		_, body := c.bodyOf("n3", routers["n3"], "service web")
		forged := slices.Clone(body[:len(body)-40])
		binary.BigEndian.PutUint64(forged[8:], 1<<40) // a life of the future
		for i := range 5 {
			// Under an id that is in use, so that ospfd takes it for its own.
			s, err := c.service("n3", "web")
			c.must(err)
			c.flood("r0", "n3", "n3", "eth0", c.asSaid(netip.MustParseAddr(routers["n3"]), opaqueNumber(s.LSA), 1, lsa.InitialSeq+100+lsa.Seq(i), forged))
			c.await("n3 says it again under another id", func() error {
				now, err := c.service("n3", "web")
				if err == nil && (now.LSA == s.LSA || now.Config != "active") {
					err = fmt.Errorf("%s/%s %s", now.Config, now.State, now.LSA)
				}
				return err
			})
		}
		if strings.Contains(c.does("n3", "show service"), "another node uses the router id") {
			c.Error("who cannot sign passes for a second node of the router id")
		}
		unmoved(c, before)
	})

	c.sub("a genuine word of before, said again, is not listened to", func(c *cluster) {
		old, body := c.bodyOf("n1", routers[holder], "service web started")
		was := holder
		to := c.others(holder)[0]
		c.moves("web", to)
		holder = to
		c.await("the old word has left the database", func() error {
			if _, there := c.ids(to, routers[was])[old]; there {
				return errNotYet
			}
			return nil
		})
		before := c.began("web") + c.began("disk")
		for i := range 3 {
			for _, on := range []string{"n1", "n2", "n3"} {
				c.flood("r0", on, on, "eth0", c.asSaid(netip.MustParseAddr(routers[was]), opaqueNumber(old), 1, lsa.InitialSeq+1000+lsa.Seq(i), body))
			}
		}
		c.awaitHolder("web", to)
		unmoved(c, before)
	})

	c.sub("keys are changed on every node, and nothing moves", func(c *cluster) {
		before := c.began("web") + c.began("disk")
		p := c.probe("10.250.9.1")
		c.awaitAnswer(p, holder)
		for _, step := range []struct {
			what, keys, send string
			signed           uint32
		}{
			{"the new key is given out", "1 " + secretOne + "\n2 " + secretTwo + "\n", "1", 1},
			{"it signs", "1 " + secretOne + "\n2 " + secretTwo + "\n", "2", 2},
			{"the old one is taken away", "2 " + secretTwo + "\n", "2", 2},
		} {
			for _, n := range c.nodes {
				dir := c.lab.Vars(n).Dir
				c.must(os.WriteFile(filepath.Join(dir, "keys"), []byte(step.keys), 0o600))
				path := c.lab.Vars(n).SrrdConfig
				text, err := os.ReadFile(path)
				c.must(err)
				text = authenticationLine.ReplaceAll(text, []byte("authentication: {keys: keys, send: "+step.send+"}"))
				c.must(os.WriteFile(path, text, 0o644))
				c.answers(n, "reload", "authentication.")
				c.answers(n, "show running-config", "authentication.send: "+step.send)
			}
			for _, on := range c.nodes {
				c.await("after "+step.what+" "+on+" has everything of the nodes signed so", func() error {
					rows, err := c.opaque(on, "")
					if err != nil {
						return err
					}
					for _, r := range rows {
						if r.Router == "10.255.0.1" {
							continue // an ospfd of 7.5 may still show what the stranger left
						}
						if body, err := hex.DecodeString(r.Body.Data); err != nil || signedUnder(body) != step.signed {
							return fmt.Errorf("%s of %s (%s) is signed under %d (%v)", r.ID, r.Router, r.Gist, signedUnder(body), err)
						}
					}
					return nil
				})
			}
		}
		unmoved(c, before)
		if r := p.Stop().Total; r.Lost > 0 {
			c.Errorf("the client lost %d datagrams", r.Lost)
		}
		for _, on := range c.nodes {
			for _, r := range c.refusals(on) {
				if !strings.Contains(r, "10.255.0.1") && !strings.Contains(r, "10.255.1.3") { // those of before
					c.Errorf("%s: %s", on, r)
				}
			}
		}
	})

	c.sub("no secret shows, in no file, page, log or process list", func(c *cluster) {
		for _, n := range c.nodes {
			v := c.lab.Vars(n)
			all := map[string]string{"show running-config": c.does(n, "show running-config"), "show service": c.does(n, "show service"),
				"show lsdb": c.does(n, "show lsdb opaque detail"), "show events": c.does(n, "show events"), "metrics": c.metrics(n)}
			pid, err := c.lab.PID(n, "srrd")
			c.must(err)
			for _, f := range []string{"cmdline", "environ"} {
				text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, f))
				c.must(err)
				all[f] = string(text)
			}
			c.must(filepath.WalkDir(v.Dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && (!d.Type().IsRegular() || path == filepath.Join(v.Dir, "keys")) {
					return nil
				}
				var text []byte
				if err == nil {
					text, err = os.ReadFile(path)
				}
				if errors.Is(err, fs.ErrNotExist) {
					return nil // srrd and its primitives go on, and have files for a moment
				}
				all[path] = string(text)
				return err
			}))
			for where, text := range all {
				for _, secret := range []string{secretOne, secretTwo} {
					raw, err := hex.DecodeString(secret)
					c.must(err)
					if strings.Contains(strings.ToLower(text), secret[:16]) || strings.Contains(text, string(raw[:8])) {
						c.Errorf("a secret shows in %s of %s", where, n)
					}
				}
			}
		}
	})
}

// OSPF's own authentication is what keeps strangers on a link from taking away
// what is flooded, which no signature can.
func TestTheSecureTopologyListensToNoStranger(t *testing.T) {
	topo, err := lab.Load("../topologies/secure.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := up(t, patient(topo))
	c.elected("web")
	holder := c.elected("disk")
	routers := map[string]string{"n1": "10.255.1.1", "n2": "10.255.1.2", "n3": "10.255.1.3"}
	c.awaitHolder("web", c.elected("web"))
	for _, on := range c.nodes {
		out, err := c.srrdErr(on, "doctor")
		if err != nil || strings.Contains(out, "authentication of") {
			c.Errorf("the doctor on %s: %v\n%s", on, err, out)
		}
	}
	id, body := c.bodyOf("n1", routers[holder], "srrd ")
	for i := range 10 {
		for _, on := range c.nodes {
			iface := map[string]string{"n1": "lan1", "n2": "lan1", "n3": "n3"}[on]
			// The end of the holder's daemon, as any router could say it.
			c.flood("r1", on, iface, "eth0", c.asSaid(netip.MustParseAddr(routers[holder]), opaqueNumber(id), lsa.MaxAge, lsa.InitialSeq+1000+lsa.Seq(i), body))
		}
	}
	for _, on := range c.nodes {
		if row, ok := c.ids(on, routers[holder])[id]; !ok || row.MaxAge {
			c.Errorf("%s has lost the daemon's LSA of %s", on, holder)
		}
	}
	c.awaitHolder("disk", holder)
	for _, on := range c.nodes {
		if e, err := c.events(on); err != nil || slices.ContainsFunc(e, func(e event) bool { return strings.Contains(e.Text, "is gone") }) {
			c.Errorf("%s: %v %v", on, err, e)
		}
	}
	// That such packets do end it where OSPF is open is seen in TestIdentity.
}
