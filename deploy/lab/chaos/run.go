package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/srrd/srrd/deploy/lab"
	"github.com/srrd/srrd/vty"
)

// Config says what to run.
type Config struct {
	Topology *lab.Topology
	Name     string // of the lab
	FRR      string // what the hosts run, as lab.FindRelease finds it; "": the machine's own
	Seed     uint64
	Only     []string      // kinds of faults; none: all
	First    int           // the first round; 0 is 1
	Rounds   int           // so many, or
	For      time.Duration // as many as begin within this time
	Limits   Limits
	Binaries lab.Binaries
	Self     string    // this program, which runs the services
	Out      io.Writer // what happens, a line each
	// Keep is where the logs and journals of the nodes are put in the end.
	Keep string
}

// Release is the FRR that the hosts run.
func (c Config) Release(ctx context.Context) (lab.Release, error) {
	if c.FRR == "" {
		return lab.Release{}, nil
	}
	return lab.FindRelease(ctx, c.FRR)
}

// Plan is the schedule of the seed.
func (c Config) Plan(ctx context.Context) (Plan, error) {
	release, err := c.Release(ctx)
	if err != nil {
		return Plan{}, err
	}
	p := NewPlan(c.Topology, c.Seed, release)
	if len(c.Only) > 0 {
		return p.Only(c.Only)
	}
	return p, nil
}

// run is a run under way.
type run struct {
	Config
	lab       *lab.Lab
	world     world
	plan      Plan
	store     string
	operators map[string]map[string]string // host -> daemon -> the file it began with

	// back is how many rounds ago the fault may have been by which a service
	// failed that is seen to have.
	back int

	mu       sync.Mutex
	evidence Evidence
}

// Run builds the lab, breaks it as planned, audits it and takes it down. The
// error is for what kept it from doing so; findings are in the report.
func Run(ctx context.Context, c Config) (*Report, error) {
	r, err := begin(ctx, c)
	if err != nil {
		return nil, err
	}
	err = r.rounds(ctx)
	r.evidence.Ended = time.Now()
	err = errors.Join(err, r.keep(), r.lab.Down())
	if err != nil {
		return nil, err
	}
	return newReport(r.Config, r.evidence), nil
}

// begin builds the lab.
func begin(ctx context.Context, c Config) (*run, error) {
	if err := c.Topology.Validate(); err != nil {
		return nil, err
	}
	if c.First == 0 {
		c.First = 1
	}
	if err := os.MkdirAll(c.Keep, 0o755); err != nil {
		return nil, err
	}
	plan, err := c.Plan(ctx)
	if err != nil {
		return nil, err
	}
	r := &run{Config: c, back: 1, plan: plan, store: filepath.Join(c.Keep, "store")}
	r.world = r.plan.world
	if err := os.MkdirAll(r.store, 0o755); err != nil {
		return nil, err
	}
	r.evidence.World = r.world
	r.evidence.Began = time.Now()
	upCtx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	r.lab, err = lab.Up(upCtx, c.Topology, lab.Options{Name: c.Name, FRR: c.FRR, Binaries: c.Binaries,
		Vars: map[string]string{"Chaos": c.Self, "Store": r.store}})
	return r, err
}

func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.Out, time.Now().Format("15:04:05.000 ")+format+"\n", args...)
}

// trouble notes what chaos itself could not do.
func (r *run) trouble(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.say("TROUBLE %s", text)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evidence.Trouble = append(r.evidence.Trouble, text)
}

// note writes what happened to a node into the journals.
func (r *run) note(node, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evidence.Lines = append(r.evidence.Lines, Line{At: time.Now(), Node: node, Primitive: what, Moment: ends})
}

// rounds is the run between Up and Down.
func (r *run) rounds(ctx context.Context) error {
	r.operators = map[string]map[string]string{}
	for _, h := range append(slices.Clone(r.world.nodes), r.world.routers...) {
		r.operators[h] = map[string]string{}
		for _, d := range frrDaemons {
			b, err := os.ReadFile(filepath.Join(r.lab.Vars(h).VtyDir, d+".conf"))
			if err != nil {
				return err
			}
			r.operators[h][d] = string(b)
		}
	}
	if missing := r.awaitWhole(ctx, nil); missing != "" {
		return fmt.Errorf("the cluster was never whole: %s", missing)
	}
	c, err := r.watch(ctx, 0, r.sample, r.boots)
	if err != nil {
		return err
	}
	if missing := r.awaitWhole(ctx, c); missing != "" {
		r.trouble("before the first round: %s", missing)
	}
	began := time.Now()
	for n := r.First; ctx.Err() == nil; n++ {
		if r.Rounds > 0 && n >= r.First+r.Rounds || r.Rounds == 0 && time.Since(began) > r.For {
			break
		}
		course := r.round(ctx, r.plan.Round(n), c)
		r.evidence.Rounds = append(r.evidence.Rounds, course)
		if course.Whole.IsZero() {
			break // what is broken now would be blamed on the next round
		}
	}
	c.end()
	c.tell(&r.evidence)
	if err := ctx.Err(); err != nil {
		return err
	}
	r.leave(ctx)
	return r.gather()
}

func mustService(name string) service {
	s, ok := serviceNamed(name)
	if !ok {
		panic("no service " + name)
	}
	return s
}

// round lets the faults of one happen, mends them, and waits for a whole
// cluster.
func (r *run) round(ctx context.Context, round Round, asking *clients) Course {
	r.say("round %d", round.Number)
	c := Course{Number: round.Number, Began: time.Now(), Faults: len(round.Faults)}
	if len(round.Faults) == 1 {
		c.Single = &round.Faults[0]
	}
	var all sync.WaitGroup
	for _, f := range round.Faults {
		all.Go(func() { r.fault(ctx, round.Number, c.Began, f) })
	}
	all.Wait()
	c.Mended = time.Now()
	c.Missing = r.awaitWhole(ctx, asking, &c)
	if c.Missing == "" {
		c.Whole = time.Now()
		r.say("round %d: whole %s after the last repair", c.Number, c.Whole.Sub(c.Mended).Round(10*time.Millisecond))
	} else {
		r.say("round %d: NOT WHOLE: %s", c.Number, c.Missing)
	}
	return c
}

// fault is one fault from its beginning to its repair.
func (r *run) fault(ctx context.Context, round int, began time.Time, f Fault) {
	if !sleep(ctx, time.Until(began.Add(f.After))) {
		return
	}
	a := Applied{Fault: f, Round: round, Began: time.Now()}
	back, err := r.apply(ctx, &a)
	if err != nil {
		r.trouble("round %d: %s: %v", round, f, err)
	}
	r.mu.Lock()
	at := len(r.evidence.Applied)
	r.evidence.Applied = append(r.evidence.Applied, a)
	r.mu.Unlock()
	if note := a.Note; note != "" {
		r.say("  %s: %s", f, note)
	} else {
		r.say("  %s", f)
	}
	// It is mended whatever happens to ctx: the end of the run needs a network.
	sleep(ctx, time.Until(began.Add(f.After+f.For)))
	if err := back(context.WithoutCancel(ctx)); err != nil {
		r.trouble("round %d: mending %s: %v", round, f, err)
	}
	r.mu.Lock()
	r.evidence.Applied[at].Mended = time.Now()
	r.mu.Unlock()
	if f.For > 0 {
		r.say("  mended: %s", f)
	}
}

// sleep waits; false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
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

// holder is the node on which a service's process is, "" for none.
func (r *run) holder(name string) string {
	for _, n := range r.world.nodes {
		if r.serviceProcess(n, name) != 0 {
			return n
		}
	}
	return ""
}

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

// sample measures every srrd, every two seconds.
func (r *run) sample(ctx context.Context) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, n := range r.world.nodes {
			pid, err := r.lab.PID(n, "srrd")
			if err != nil || pid == 0 {
				continue
			}
			s, err := measure(pid)
			if errors.Is(err, os.ErrProcessDone) {
				continue // meanwhile
			}
			if err != nil {
				r.trouble("srrd of %s: %v", n, err)
				continue
			}
			s.Node = n
			r.mu.Lock()
			r.evidence.Samples = append(r.evidence.Samples, s)
			r.mu.Unlock()
		}
	}
}

// measure reads what a process takes (proc(5)); the error is os.ErrProcessDone
// if it is ending.
func measure(pid int) (Sample, error) {
	s := Sample{At: time.Now(), PID: pid}
	dir := "/proc/" + strconv.Itoa(pid)
	status, err := os.ReadFile(dir + "/status")
	if err == nil {
		s.RSS, s.Tasks, err = statusFigures(string(status))
	}
	if err == nil {
		var fds []os.DirEntry
		fds, err = os.ReadDir(dir + "/fd")
		s.FDs = len(fds)
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		err = os.ErrProcessDone
	}
	if err != nil {
		return s, fmt.Errorf("process %d: %w", pid, err)
	}
	return s, nil
}

// statusFigures reads resident memory, in KiB, and threads from a process's
// status. One that is ending has no memory any more.
func statusFigures(status string) (rss, tasks int, err error) {
	wanted := map[string]*int{"VmRSS": &rss, "Threads": &tasks}
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		to := wanted[key]
		if to == nil {
			continue
		}
		delete(wanted, key)
		if *to, err = strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB")); err != nil {
			return 0, 0, fmt.Errorf("status: %s: %w", key, err)
		}
	}
	if len(wanted) > 0 {
		return 0, 0, os.ErrProcessDone
	}
	return rss, tasks, nil
}
