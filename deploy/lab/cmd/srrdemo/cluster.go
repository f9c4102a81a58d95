package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/vty"
)

// service is what the demo topology's cluster runs.
const service = "web"

// seen is the cluster as one node tells it.
type seen struct {
	status map[string]string // node -> present, unreachable, srrd gone, ...
	holder string            // who runs the service; several are joined by ", "
	here   string            // CONFIGURATION STATE/SERVICE STATE of the node itself
	fit    []string          // the nodes that are candidates to run it, sorted
}

// parseSeen reads what srrd answers to `-o json show node` and to
// `-o json show service web`.
func parseSeen(nodeText, serviceText string) (seen, error) {
	var nodes struct {
		Nodes []struct{ Host, Status string } `json:"nodes"`
	}
	var services struct {
		Services []struct {
			Name, Holder, Config, State string
			Offers                      []struct {
				Host string
				Rank int
			}
		} `json:"services"`
	}
	if err := errors.Join(json.Unmarshal([]byte(nodeText), &nodes), json.Unmarshal([]byte(serviceText), &services)); err != nil {
		return seen{}, fmt.Errorf("what srrd says in JSON: %w", err)
	}
	s := seen{status: map[string]string{}}
	for _, n := range nodes.Nodes {
		s.status[n.Host] = n.Status
	}
	for _, v := range services.Services {
		if v.Name != service {
			continue
		}
		s.holder, s.here = v.Holder, v.Config+"/"+v.State
		for _, o := range v.Offers {
			if o.Rank > 0 {
				s.fit = append(s.fit, o.Host)
			}
		}
		slices.Sort(s.fit)
	}
	return s, nil
}

// view is what a node should say of the cluster.
type view struct {
	status map[string]string
	holder string // anybody: not asked
	here   string
	fit    []string // sorted; nil: not asked
}

// differs says what is not as it should be, "" for nothing.
func (want view) differs(got seen) string {
	var all []string
	for _, n := range slices.Sorted(maps.Keys(want.status)) {
		if s := got.status[n]; s != want.status[n] {
			all = append(all, fmt.Sprintf("%s is %q, should be %q", n, s, want.status[n]))
		}
	}
	if want.holder != anybody && got.holder != want.holder {
		all = append(all, fmt.Sprintf("%s runs on %q, should run on %q", service, got.holder, want.holder))
	}
	if got.here != want.here {
		all = append(all, fmt.Sprintf("%s is %s there, should be %s", service, got.here, want.here))
	}
	if want.fit != nil && !slices.Equal(got.fit, want.fit) {
		all = append(all, fmt.Sprintf("candidates are %q, should be %q", got.fit, want.fit))
	}
	return strings.Join(all, ", ")
}

// anybody stands for any holder.
const anybody = "-"

// The words of srrsh that the demo waits for.
const (
	present     = "present"
	unreachable = "unreachable"
	srrdGone    = "srrd gone"
	started     = "active/started"
	stopped     = "active/stopped"
)

// whole is what every node should say when all are there and one runs the
// service.
func whole(nodes []string, holder string) map[string]view {
	out := map[string]view{}
	for _, n := range nodes {
		v := view{status: map[string]string{}, holder: holder, here: stopped, fit: nodes}
		for _, other := range nodes {
			v.status[other] = present
		}
		if n == holder {
			v.here = started
		}
		out[n] = v
	}
	return out
}

// without is what those still there should say when one is gone in some way;
// the gone one is not asked.
func without(nodes []string, gone, how, holder string) map[string]view {
	out := whole(nodes, holder)
	delete(out, gone)
	for n, v := range out {
		v.status[gone] = how
		v.fit = slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return n == gone })
		out[n] = v
	}
	return out
}

// look asks one node, over one session with its srrd: no process is started
// for it, so that asking often does not disturb what is measured.
func (d *demo) look(ctx context.Context, host string) (seen, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	nodes, services, err := d.query(ctx, host, "show node", "show service "+service)
	if err != nil {
		return seen{}, fmt.Errorf("srrd on %s: %w", host, err)
	}
	return parseSeen(nodes, services)
}

// query asks a node's srrd two things, for programs.
func (d *demo) query(ctx context.Context, host, first, second string) (one, two string, err error) {
	s, err := vty.Dial(ctx, d.lab.Vars(host).SrrdSocket)
	if err != nil {
		return "", "", err
	}
	defer s.Close()
	if one, err = s.Exec(ctx, "-o json "+first); err != nil {
		return "", "", err
	}
	two, err = s.Exec(ctx, "-o json "+second)
	return one, two, err
}

// agree waits until every node says what it should of one and the same holder,
// and returns that; what they should say depends on who it is. With to "",
// it may be any of the candidates.
func (d *demo) agree(ctx context.Context, candidates []string, want func(holder string) map[string]view) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		holder, err := d.agreed(ctx, candidates, want)
		if err == nil {
			return holder, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", fmt.Errorf("not within %s: %w", patience, err)
		}
	}
}

func (d *demo) agreed(ctx context.Context, candidates []string, want func(holder string) map[string]view) (string, error) {
	first, err := d.look(ctx, candidates[0])
	if err != nil {
		return "", err
	}
	holder := first.holder
	if !slices.Contains(candidates, holder) {
		return "", fmt.Errorf("%s says: %s runs on %q, should be one of %q", candidates[0], service, holder, candidates)
	}
	all := want(holder)
	for _, host := range slices.Sorted(maps.Keys(all)) {
		got, err := d.look(ctx, host)
		if err != nil {
			return "", err
		}
		if text := all[host].differs(got); text != "" {
			return "", fmt.Errorf("%s says: %s", host, text)
		}
	}
	return holder, nil
}
