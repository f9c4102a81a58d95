package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/vty"
)

// awaitWhole waits until everything is as it should be, for the clients that are
// asking too, doing what an operator would have to do, and says what is missing if
// that takes too long.
func (r *run) awaitWhole(ctx context.Context, asking *clients, course ...*Course) string {
	ctx, cancel := context.WithTimeout(ctx, r.Limits.Settle)
	defer cancel()
	look := time.NewTicker(250 * time.Millisecond)
	defer look.Stop()
	missing := "nobody looked"
	for tend, said := time.Now(), time.Now(); ; {
		now := r.missing(ctx, asking)
		if now == "" {
			return ""
		}
		if ctx.Err() != nil {
			return missing // what was said meanwhile is only that the time is over
		}
		missing = now
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			r.say("  still missing: %s", missing)
		}
		if len(course) > 0 && time.Since(tend) > 2*time.Second {
			tend = time.Now()
			r.tend(ctx, course[0])
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return missing
		}
	}
}

// missing says what is not whole; the cheapest questions come first.
func (r *run) missing(ctx context.Context, asking *clients) string {
	holders := map[string]string{}
	for _, n := range r.world.nodes {
		all, err := r.services(ctx, n)
		if err != nil {
			return err.Error()
		}
		for _, s := range services {
			v, ok := all[s.name]
			switch {
			case !ok:
				return fmt.Sprintf("%s does not know %s", n, s.name)
			case v.Config != "active":
				return fmt.Sprintf("%s on %s is %s/%s: %s", s.name, n, v.Config, v.State, v.Why)
			case v.Holder == "" || strings.Contains(v.Holder, ",") || holders[s.name] != "" && holders[s.name] != v.Holder:
				return fmt.Sprintf("%s has %s on %q, another says %q: %s", n, s.name, v.Holder, holders[s.name], v.Why)
			case v.Pin.Target != "" && v.Pin.Target != "0.0.0.0" && !v.Pin.Void:
				return fmt.Sprintf("%s on %s is pinned to %s", s.name, n, v.Pin.Target)
			case v.Hold.On:
				return fmt.Sprintf("%s on %s is stopped by an operator", s.name, n)
			}
			holders[s.name] = v.Holder
			for _, peer := range r.world.nodes {
				i := slices.IndexFunc(v.Offers, func(o offer) bool { return o.Host == peer })
				if i < 0 {
					return fmt.Sprintf("%s does not hear %s offer %s", n, peer, s.name)
				}
				o := v.Offers[i]
				want := "stopped"
				if peer == v.Holder {
					want = "started"
				}
				if !o.Counts || o.Rank == 0 || o.State != want {
					return fmt.Sprintf("%s has %s on %s as %s, candidate %d: %s", n, s.name, peer, o.State, o.Rank, o.WhyNot)
				}
			}
		}
	}
	if holders["disk"] != holders["ledger"] {
		return fmt.Sprintf("disk is on %s, ledger on %s", holders["disk"], holders["ledger"])
	}
	for _, s := range services {
		for _, n := range r.world.nodes {
			if here := r.serviceProcess(n, s.name) != 0; here != (n == holders[s.name]) {
				return fmt.Sprintf("%s should run on %s; a process on %s: %v", s.name, holders[s.name], n, here)
			}
		}
	}
	if err := r.kernels(ctx, holders); err != nil {
		return err.Error()
	}
	soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := r.lab.WaitConverged(soon); err != nil {
		return err.Error()
	}
	if asking == nil {
		return ""
	}
	return r.answered(ctx, asking, holders)
}

// kernels wants the service addresses where they belong and nowhere else.
func (r *run) kernels(ctx context.Context, holders map[string]string) error {
	for _, n := range r.world.nodes {
		routes, err := r.lab.Exec(ctx, n, "ip", "-o", "route", "show", "table", "local", "proto", "201")
		if err != nil {
			return err
		}
		addrs, err := r.lab.Exec(ctx, n, "ip", "-o", "address", "show", "dev", "lo")
		if err != nil {
			return err
		}
		for _, s := range services {
			if !s.address.IsValid() {
				continue
			}
			have := strings.Contains(routes, "local "+s.address.String()+" ")
			if s.alias {
				have = strings.Contains(addrs, " "+s.address.String()+"/32 ")
			}
			if have != (holders[s.name] == n) {
				return fmt.Errorf("%s runs on %q; its address on %s: %v", s.name, holders[s.name], n, have)
			}
		}
	}
	return nil
}

// answered wants the client to be served by who runs the service.
func (r *run) answered(ctx context.Context, asking *clients, holders map[string]string) string {
	if last, ok := asking.writer.Last(); !ok || time.Since(last.At) > 10*writeEvery || last.By != holders["ledger"] {
		return "no record is acknowledged by " + holders["ledger"]
	}
	for _, name := range probed {
		p, err := r.probe(name, 5*time.Millisecond, 100*time.Millisecond)
		if err != nil {
			return err.Error()
		}
		soon, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		_, err = p.WaitAnswer(soon, holders[name])
		cancel()
		p.Stop()
		if err != nil {
			return err.Error()
		}
	}
	return ""
}

// tend does what an operator has to do after some faults: a service that has
// failed is reactivated, one that may still run somewhere is stopped there by
// hand and confirmed. Failures that no fault explains are findings.
func (r *run) tend(ctx context.Context, course *Course) {
	for _, n := range r.world.nodes {
		all, err := r.services(ctx, n)
		if err != nil {
			continue // it is down; missing tells
		}
		for _, s := range services {
			v, ok := all[s.name]
			if !ok {
				continue
			}
			for _, o := range v.Offers {
				if strings.Contains(o.Flags, "may-still-run") && r.stopByHand(ctx, o.Host, s.name) {
					_, err := r.srrsh(ctx, n, "service "+s.name+" confirm-stopped "+o.Host)
					course.Settled = append(course.Settled, fmt.Sprintf("%s confirm-stopped %s, on %s (%v)", s.name, o.Host, n, err))
				}
			}
			if v.State != "failed" {
				continue
			}
			text := fmt.Sprintf("%s failed on %s: %s: %s", s.name, n, v.Failure.Code, v.Failure.Text)
			if why := r.explains(course.Number, n, s, v.Failure.Code); why == "" {
				course.Failed = append(course.Failed, text)
				r.say("  UNEXPLAINED: %s", text)
			}
			_, err := r.srrsh(ctx, n, "service "+s.name+" reactivate")
			course.Settled = append(course.Settled, fmt.Sprintf("%s reactivated (%v)", text, err))
		}
	}
}

// stopByHand runs a service's stop primitive as a person would.
func (r *run) stopByHand(ctx context.Context, node, name string) bool {
	cmd := "cd " + r.lab.Vars(node).Dir + "/service && SRRD_SERVICE=" + name + " SRRD_NODE=" + node + " SRRD_CLAIM=0 bash ./primitive.sh stop"
	_, err := r.lab.Exec(ctx, node, "sh", "-c", cmd)
	return err == nil
}

// explains names the fault of this round or one shortly before that made a service
// fail with a code, "" if there is none.
func (r *run) explains(round int, node string, s service, code string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.evidence.Applied {
		if f.Round < round-r.back || f.Round > round {
			continue
		}
		host, name, _ := strings.Cut(f.Target, "/")
		about, _ := serviceNamed(name)
		switch {
		case f.Kind == "primitive" && host == node && about.unit == s.unit:
			return f.String()
		case f.Kind == "process" && mustService(f.Target).unit == s.unit:
			return f.String()
		case slices.Contains([]string{"start", "start timeout", "stop", "activate"}, code):
		case host == node || f.Target == "holder" || f.Kind == "partition" || strings.HasPrefix(f.Target, node+":") || slices.Contains(r.world.routers, hostOf(f.Target)):
			return f.String() // not announced, address, check of what was fenced
		case s.guard == fenced && len(f.Broken) > 0:
			return f.String() // it was fenced
		}
	}
	return ""
}

// holder is the node on which a service's process is, "" for none.
func (r *run) holder(name string) string {
	for _, n := range r.world.nodes {
		if r.serviceProcess(n, name) != 0 {
			return n
		}
	}
	return ""
}

// seen is a service as a node shows it.
type seen struct {
	Name    string `json:"name"`
	Config  string `json:"config"`
	State   string `json:"state"`
	Why     string `json:"why"`
	Holder  string `json:"holder"`
	Failure struct {
		Code string `json:"code"`
		Text string `json:"text"`
	} `json:"failure"`
	Pin struct {
		Target string `json:"target"` // 0.0.0.0: none
		Void   bool   `json:"void"`
	} `json:"pin"`
	Hold struct {
		On bool `json:"on"`
	} `json:"hold"`
	Offers []offer `json:"offers"`
}

type offer struct {
	Host   string `json:"host"`
	Counts bool   `json:"counts"`
	Rank   int    `json:"rank"`
	WhyNot string `json:"why_not"`
	State  string `json:"state"`
	Flags  string `json:"flags"`
}

func (r *run) services(ctx context.Context, node string) (map[string]seen, error) {
	var page struct {
		Services []seen `json:"services"`
	}
	if err := r.show(ctx, node, "service", &page); err != nil {
		return nil, err
	}
	all := map[string]seen{}
	for _, s := range page.Services {
		all[s.Name] = s
	}
	return all, nil
}

func (r *run) show(ctx context.Context, node, what string, v any) error {
	out, err := r.srrsh(ctx, node, "-o json show "+what)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		return fmt.Errorf("show %s on %s: %w", what, node, err)
	}
	return nil
}

// srrsh asks a node's srrd.
func (r *run) srrsh(ctx context.Context, node, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s, err := vty.Dial(ctx, r.lab.Vars(node).SrrdSocket)
	if err != nil {
		return "", fmt.Errorf("srrd on %s: %w", node, err)
	}
	defer s.Close()
	out, err := s.Exec(ctx, command)
	if err != nil {
		return out, fmt.Errorf("srrd on %s: %w", node, err)
	}
	return out, nil
}
