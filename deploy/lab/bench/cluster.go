package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/deploy/lab"
	"github.com/srrd/srrd/vty"
)

const (
	// patience is how long the cluster may take to agree after something
	// happened. Without BFD the dead interval alone is 4 s.
	patience = 30 * time.Second
	// lookEvery is how often routers and nodes are asked meanwhile: asking them is
	// work for the machine that they run on.
	lookEvery = 100 * time.Millisecond
	// askFor is how long one answer may take.
	askFor = 5 * time.Second
	// clientHost is where the probe runs.
	clientHost = "client"
)

// cluster is a lab that is up, with what its nodes are asked over.
type cluster struct {
	lab      *lab.Lab
	peer     bool     // keepalived is on the nodes, not srrd
	library  string   // of services
	nodes    []string // hosts with srrd, in the order of the file
	fib      *fib
	sessions map[string]*vty.Session
	set      serviceSet // in force
	crowd    *crowd     // nil: none
	works    *works     // nil: the primitives of the set do not tell
	// evidence tells whether a run is to be shown in all detail.
	evidence func(*Row, Outcome) bool
}

func (c *cluster) close() error {
	for _, s := range c.sessions {
		s.Close()
	}
	if c.crowd != nil {
		c.crowd.close()
	}
	if c.fib != nil {
		c.fib.close()
	}
	return errors.Join(c.lab.Down(), c.unhear()) // in this order: none is left that would write
}

// ask has a node's srrd answer one line. A session is kept for each, so that
// asking often disturbs little.
func (c *cluster) ask(ctx context.Context, host, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	for fresh := false; ; {
		s := c.sessions[host]
		if s == nil {
			var err error
			if s, err = vty.Dial(ctx, c.lab.Vars(host).SrrdSocket); err != nil {
				return "", fmt.Errorf("srrd on %s: %w", host, err)
			}
			c.sessions[host], fresh = s, true
		}
		text, err := s.Exec(ctx, line)
		var refused *vty.StatusError
		if err == nil || errors.As(err, &refused) {
			return text, err
		}
		s.Close()
		delete(c.sessions, host)
		if fresh { // else it was one to an earlier life
			return "", fmt.Errorf("srrd on %s: %s: %w", host, line, err)
		}
	}
}

// unhear ends listening to primitives.
func (c *cluster) unhear() error {
	w := c.works
	c.works = nil
	if w == nil {
		return nil
	}
	return w.close()
}

// apply gives every node the services of a set and no others.
func (c *cluster) apply(ctx context.Context, set serviceSet) error {
	if c.peer {
		c.set = set
		return nil
	}
	// What tells goes on to be heard until it has stopped: the set after it is
	// applied to a settled cluster.
	if set.tells && c.works == nil {
		var err error
		if c.works, err = listen(c.lab, c.nodes); err != nil {
			return err
		}
	}
	for _, host := range c.nodes {
		v := c.lab.Vars(host)
		text := func(s string) []byte { return []byte(fill(s, c.library, v.Dir, v.RunDir)) }
		old, err := filepath.Glob(filepath.Join(v.ServicesDir, "*.yaml"))
		if err != nil {
			return err
		}
		for _, path := range old {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
		for name, s := range set.files {
			path := filepath.Join(v.Dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, text(s), 0o644); err != nil {
				return err
			}
		}
		for name, s := range set.services {
			if set.forHost != nil {
				s += set.forHost(host, name)
			}
			if err := os.WriteFile(filepath.Join(v.ServicesDir, name+".yaml"), text(s), 0o644); err != nil {
				return err
			}
		}
		if text, err := c.ask(ctx, host, "reload"); err != nil {
			return fmt.Errorf("reload: %w: %s", err, strings.TrimSpace(text))
		}
	}
	c.set = set
	return nil
}

// said is what one node says of the cluster.
type said struct {
	status   map[string]string // node -> present, unreachable, srrd gone, ...
	services map[string]saidService
}

type saidService struct {
	Name, Holder, Config, State string
	Offers                      []struct {
		Host string
		Rank int
	}
}

func (c *cluster) look(ctx context.Context, host string) (said, error) {
	var nodes struct {
		Nodes []struct{ Host, Status string }
	}
	var services struct{ Services []saidService }
	for line, into := range map[string]any{"show node": &nodes, "show service": &services} {
		text, err := c.ask(ctx, host, "-o json "+line)
		if err == nil {
			err = json.Unmarshal([]byte(text), into)
		}
		if err != nil {
			return said{}, fmt.Errorf("%s on %s: %w", line, host, err)
		}
	}
	s := said{map[string]string{}, map[string]saidService{}}
	for _, n := range nodes.Nodes {
		s.status[n.Host] = n.Status
	}
	for _, v := range services.Services {
		s.services[v.Name] = v
	}
	return s, nil
}

// The words of srrsh that are waited for.
const (
	present = "present"
	started = "active/started"
	stopped = "active/stopped"
	failed  = "active/failed"
)

// agreed tells who runs each service, if all the hosts say the same and none of
// the others is said to run any. With whole, all nodes must be present and fit
// to run all services.
func (c *cluster) agreed(ctx context.Context, hosts []string, whole bool) (map[string]string, error) {
	holders := map[string]string{}
	for _, host := range hosts {
		s, err := c.look(ctx, host)
		if err != nil {
			return nil, err
		}
		for _, n := range c.nodes {
			if whole && s.status[n] != present {
				return nil, fmt.Errorf("%s says: %s is %q", host, n, s.status[n])
			}
		}
		if len(s.services) != len(c.set.names) {
			return nil, fmt.Errorf("%s says: there are %d services, should be %d", host, len(s.services), len(c.set.names))
		}
		for _, name := range c.set.names {
			v := s.services[name]
			if !slices.Contains(c.nodes, v.Holder) {
				return nil, fmt.Errorf("%s says: %s runs on %q", host, name, v.Holder)
			}
			if h := holders[name]; h != "" && h != v.Holder {
				return nil, fmt.Errorf("%s says that %s runs on %s, others %s", host, name, v.Holder, h)
			}
			holders[name] = v.Holder
			want := stopped
			if v.Holder == host {
				want = started
			}
			here := v.Config + "/" + v.State
			if here == failed && !whole {
				here = stopped // it may have, by the fault
			}
			if here != want {
				return nil, fmt.Errorf("%s says: %s is %s there, should be %s", host, name, here, want)
			}
			fit := 0
			for _, o := range v.Offers {
				if o.Rank > 0 {
					fit++
				}
			}
			if whole && fit != len(c.nodes) {
				return nil, fmt.Errorf("%s says: %d nodes are fit for %s, should be %d", host, fit, name, len(c.nodes))
			}
		}
	}
	return holders, nil
}

// agree waits until the hosts agree, and want has nothing against who it is.
func (c *cluster) agree(ctx context.Context, hosts []string, whole bool, want func(holders map[string]string) error) (holders map[string]string, err error) {
	err = within(ctx, func(ctx context.Context) error {
		if holders, err = c.agreed(ctx, hosts, whole); err == nil && want != nil {
			err = want(holders)
		}
		return err
	})
	return holders, err
}

// within looks until there is nothing to say any more, or patience is over.
func within(ctx context.Context, look func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last error
	for {
		err := look(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil { // the end of patience cuts the last look off
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", patience, last)
		}
	}
}

// settle waits until routers and nodes have all they should, and one node runs
// all services; it returns that.
func (c *cluster) settle(ctx context.Context) (string, error) {
	if err := within(ctx, func(context.Context) error { return c.lab.Converged() }); err != nil {
		return "", err
	}
	if c.peer {
		return c.settlePeer(ctx, c.nodes)
	}
	holders, err := c.agree(ctx, c.nodes, true, nil)
	if err != nil {
		return "", err
	}
	holder, scattered := holders[c.set.names[0]], false
	if c.set.spread { // they come back by themselves
		holder = c.nodes[0]
		_, err := c.agree(ctx, c.nodes, true, all(holder))
		return holder, err
	}
	for _, name := range c.set.names {
		if holders[name] != holder {
			scattered = true
			if _, err := c.ask(ctx, holder, "service "+name+" move "+holder); err != nil {
				return "", err
			}
		}
	}
	if !scattered {
		return holder, nil
	}
	if _, err := c.agree(ctx, c.nodes, true, all(holder)); err != nil {
		return "", err
	}
	for _, name := range c.set.names {
		if holders[name] != holder {
			if _, err := c.ask(ctx, holder, "service "+name+" unmove"); err != nil {
				return "", err
			}
		}
	}
	_, err = c.agree(ctx, c.nodes, true, all(holder))
	return holder, err
}

// all wants every service on one node.
func all(holder string) func(map[string]string) error {
	return func(holders map[string]string) error {
		for name, h := range holders {
			if h != holder {
				return fmt.Errorf("%s runs on %s, should be on %s", name, h, holder)
			}
		}
		return nil
	}
}
