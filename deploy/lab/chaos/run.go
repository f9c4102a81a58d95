package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/srrd/srrd/deploy/lab"
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
	starts   map[string]*sync.Mutex // see booting
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
