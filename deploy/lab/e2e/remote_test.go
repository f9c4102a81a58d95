package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// webOfNode makes a node serve its pages to the others, with what is in pki.
const webOfNode = `web:
  listen: {{if eq .Host "n1"}}10.1.1.2{{else}}10.1.2.2{{end}}:8443
  certificate: %[1]s/{{.Host}}.pem
  key: %[1]s/{{.Host}}.key
  clients: %[1]s/ca.pem
  roles: {admin: [alice], operator: [oscar], viewer: [vera]}
`

// remotely runs a command of another node in srrsh on n1, as somebody who has
// a certificate in certs and trusts the authority of pki.
func (c *cluster) remotely(certs, pki, who, command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.lab.Exec(ctx, "n1", programs.Srrsh, "--socket", c.lab.Vars("n1").SrrdSocket,
		"--cert", filepath.Join(certs, who+".pem"), "--key", filepath.Join(certs, who+".key"), "--ca", filepath.Join(pki, "ca.pem"), "-c", command)
}

func TestCommandsOfAnotherNode(t *testing.T) {
	pki, foreign := t.TempDir(), t.TempDir()
	for _, args := range [][]string{
		{"ca", pki}, {"server", pki, "n1", "10.1.1.2"}, {"server", pki, "n2", "10.1.2.2"},
		{"client", pki, "alice"}, {"client", pki, "oscar"}, {"client", pki, "vera"}, {"client", pki, "nobody"},
		{"ca", foreign}, {"client", foreign, "alice"},
	} {
		if out, err := exec.Command(programs.Srrd, append([]string{"cert"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("srrd cert %q: %v\n%s", args, err, out)
		}
	}
	topo := twoNodes(services{"web": "addresses: 10.250.7.1\n"})
	for i := range topo.Hosts {
		topo.Hosts[i].Srrd.Config += fmt.Sprintf(webOfNode, pki)
	}
	c := up(t, topo)
	c.settled("web")

	// done and refused run a command that is to end so.
	done := func(c *cluster, who, command string) string {
		c.Helper()
		out, err := c.remotely(pki, pki, who, command)
		c.must(err)
		return out
	}
	refused := func(c *cluster, certs, ca, who, command, why string) {
		c.Helper()
		out, err := c.remotely(certs, ca, who, command)
		if err == nil || !strings.Contains(out+err.Error(), why) {
			c.Errorf("%s: %s: %q, %v; want it refused: %s", who, command, out, err, why)
		}
	}
	// config is the configuration state of web as its own node says it.
	config := func(c *cluster, node string) string {
		c.Helper()
		var d struct{ Services []struct{ Config string } }
		c.must(json.Unmarshal([]byte(c.does(node, "-o json show service web")), &d))
		return d.Services[0].Config
	}

	c.sub("a look is one at the view of that node", func(c *cluster) {
		var v struct{ Host string }
		c.must(json.Unmarshal([]byte(done(c, "vera", "@n2 -o json show version")), &v))
		if v.Host != "n2" {
			c.Errorf("@n2 is answered by %q", v.Host)
		}
		if out := done(c, "vera", "@n2 ospf show ip ospf neighbor"); !strings.Contains(out, "10.255.0.1") {
			c.Errorf("neighbours of n2: %s", out)
		}
		if out := done(c, "vera", "@n1 show node n1"); !strings.Contains(out, "10.255.1.1") {
			c.Errorf("@n1 on n1: %s", out)
		}
	})

	c.sub("a command is carried out there, and on record there", func(c *cluster) {
		done(c, "oscar", "@n2 service web disable")
		c.await("n2 offers it no more", func() error {
			if got := config(c, "n2"); got != "disabled" {
				return fmt.Errorf("web on n2 is %s", got)
			}
			return nil
		})
		if got := config(c, "n1"); got != "active" {
			c.Errorf("web on n1 is %s", got)
		}
		c.await("it is in the audit log of n2", func() error {
			log, err := c.lab.Log("n2", "srrd")
			for _, want := range []string{"oscar", "role=operator", "from=10.1.1.2:", "shell: service web disable", "outcome=done"} {
				if err == nil && !strings.Contains(log, want) {
					err = fmt.Errorf("there is no %q in\n%s", want, log)
				}
			}
			return err
		})
		done(c, "oscar", "@n2 service web enable")
		done(c, "oscar", "@n2 node standby")
		c.await("n2 is in standby", func() error {
			if out := c.does("n1", "show node n2"); !strings.Contains(out, "standby") {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
		done(c, "oscar", "@n2 node online")
		done(c, "alice", "@n2 reload")
	})

	c.sub("who has not the role is told so, and nothing is done", func(c *cluster) {
		refused(c, pki, pki, "vera", "@n2 service web disable", "this needs the role operator; vera is viewer")
		refused(c, pki, pki, "oscar", "@n2 reload", "this needs the role admin; oscar is operator")
		refused(c, pki, pki, "oscar", "@n2 ospf router ospf", "the role operator may run")
		refused(c, pki, pki, "nobody", "@n2 show version", "nobody has no role here")
		refused(c, pki, pki, "alice", "@n2 service wob stop", `there is no service "wob"`)
		if got := config(c, "n2"); got != "active" {
			c.Errorf("web on n2 is %s", got)
		}
	})

	c.sub("a certificate of another authority gets nowhere", func(c *cluster) {
		// What is said depends on whether the two authorities' names differ by then:
		// "unknown certificate authority", or that none was shown which it knows.
		refused(c, foreign, pki, "alice", "@n2 show version", "tls: ")
		refused(c, pki, foreign, "alice", "@n2 show version", "certificate signed by unknown authority")
	})

	c.sub("a node that is gone costs seconds, and is said to be gone", func(c *cluster) {
		c.kill("n2", "srrd")
		began := time.Now()
		refused(c, pki, pki, "vera", "@n2 show version", "@n2: ")
		if took := time.Since(began); took > 20*time.Second {
			c.Errorf("it took %s to say so", took)
		}
	})
}
