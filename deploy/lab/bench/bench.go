package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/deploy/lab"
	"github.com/srrd/srrd/vty"
)

// Bench is what to run, and with what.
type Bench struct {
	Topology string // file
	Library  string // of services: deploy/service
	Name     string // of the lab
	Binaries lab.Binaries
	N        int
	// Base is lab.Options.Base; "" chooses one in memory, as /run is on a machine.
	// In some containers it is a disk, and every mark of a service would wait for it.
	Base string
	// Progress hears of every row and run; nil for silence. With Evidence it hears
	// of runs that miss the row's goal, lose packets on the return or fail all
	// that happened, on one time line; with Always of all runs.
	Progress         io.Writer
	Evidence, Always bool
}

// giveUpAfter is how many runs of a row may fail to heal before the rest of it
// is not tried.
const giveUpAfter = 3

// Run does the rows and returns a result for each, in their order. The error is
// of the bench itself; what is wrong with a row is in its result.
func (b *Bench) Run(ctx context.Context, rows []Row) (results []Result, err error) {
	var c *cluster
	var at variant
	down := func() error {
		if c == nil {
			return nil
		}
		one := c
		c = nil
		return one.close()
	}
	defer func() { err = errors.Join(err, down()) }()
	for i := range rows {
		row := &rows[i]
		res := Result{Row: *row}
		n := b.N
		if row.most > 0 {
			n = min(n, row.most)
		}
		for failed := 0; len(res.Outcomes) < n && failed < giveUpAfter; {
			if c == nil || at != row.variant {
				if err := down(); err != nil {
					return results, err
				}
				began := time.Now()
				if c, err = b.up(ctx, row.variant); err != nil {
					return results, err
				}
				at = row.variant
				b.say("lab %s is up after %.1f s\n", at.Name, time.Since(began).Seconds())
			}
			if set := row.services(); !slices.Equal(c.set.names, set.names) {
				if err := c.apply(ctx, set); err != nil {
					return results, err
				}
			}
			began := time.Now()
			out, err := c.once(ctx, row)
			if ctx.Err() != nil {
				return results, context.Cause(ctx)
			}
			if errors.Is(err, errNotThere) {
				res.NotRun = err.Error()
				b.say("%s: NOT RUN: %v\n", row.Name, err)
				break
			}
			res.Outcomes = append(res.Outcomes, out)
			b.say("%s %d/%d: %s\n", row.Name, len(res.Outcomes), n, out.line(time.Since(began)))
			if err != nil {
				failed++
				if err := down(); err != nil { // built anew for the next
					return results, err
				}
			}
		}
		results = append(results, res)
	}
	return results, nil
}

func (b *Bench) say(format string, args ...any) {
	if b.Progress != nil {
		fmt.Fprintf(b.Progress, format, args...)
	}
}

// topology gives a variant of the bench's.
func (b *Bench) topology(v variant) (*lab.Topology, error) {
	t, err := lab.Load(b.Topology)
	if err != nil {
		return nil, err
	}
	for i := range t.BFD {
		if t.BFD[i].Name == "fast" && v.BFD > 0 {
			t.BFD[i].Interval = v.BFD
		}
	}
	for _, h := range t.All() {
		if h.FRR != nil && v.BFD == 0 {
			h.FRR.BFD = "off"
		}
	}
	if v.Peer != "" {
		if err := withPeer(t, v.Peer); err != nil {
			return nil, err
		}
	}
	if v.Stock {
		for i := range t.Routers {
			t.Routers[i].FRR.Tune = "default"
		}
	}
	return t, nil
}

func (b *Bench) up(ctx context.Context, v variant) (c *cluster, err error) {
	t, err := b.topology(v)
	if err != nil {
		return nil, err
	}
	library, err := filepath.Abs(b.Library)
	if err != nil {
		return nil, err
	}
	l, err := lab.Up(ctx, t, lab.Options{Name: b.Name, Base: cmp.Or(b.Base, inMemory()), Binaries: b.Binaries, KeepTime: []string{"bfdd"}})
	if err != nil {
		return nil, err
	}
	c = &cluster{lab: l, peer: v.Peer != "", library: library, sessions: map[string]*vty.Session{}}
	for _, h := range t.All() {
		if h.Srrd != nil || c.peer && slices.Contains(peerNodes, h.Name) {
			c.nodes = append(c.nodes, h.Name)
		}
	}
	if b.Evidence || b.Always {
		c.evidence = func(row *Row, o Outcome) bool {
			return b.Always || o.ReturnLost > 0 || o.Outage > 0 && (row.quiet || row.Goal >= 0 && o.judged(row) > row.Goal)
		}
	}
	if c.fib, err = watchFIB(l); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// inMemory is a base directory for labs on a tmpfs, or "" where there is none, or
// none is needed.
func inMemory() string {
	tmpfs := func(dir string) bool {
		var st unix.Statfs_t
		return unix.Statfs(dir, &st) == nil && st.Type == unix.TMPFS_MAGIC
	}
	if !tmpfs("/run") && tmpfs("/dev/shm") {
		return "/dev/shm/srrlab"
	}
	return ""
}

// line is an outcome in a line.
func (o Outcome) line(took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s -> %s lost %d, outage %s", o.From, orDash(o.To), o.Lost, ms(o.Outage))
	if o.Tells {
		fmt.Fprintf(&b, ", %s of it the primitives' own", ms(o.Own))
	}
	for _, name := range PhaseNames {
		if at, ok := o.Phases[name]; ok {
			fmt.Fprintf(&b, ", %s %s", name, ms(at))
		}
	}
	for _, r := range sortedKeys(o.Went) {
		fmt.Fprintf(&b, ", %s let go %s", r, ms(o.Went[r]))
	}
	for _, r := range sortedKeys(o.Came) {
		fmt.Fprintf(&b, ", %s has all anew %s", r, ms(o.Came[r]))
	}
	if o.ReturnLost > 0 {
		fmt.Fprintf(&b, ", return lost %d", o.ReturnLost)
	}
	if o.TCPFailed > 0 {
		fmt.Fprintf(&b, ", %d of %d connections failed", o.TCPFailed, o.TCPFailed+o.TCPOpened)
	}
	if o.MaxGap > busy {
		fmt.Fprintf(&b, ", BUSY: two datagrams %s apart", ms(o.MaxGap))
	}
	if o.Dropped > 0 {
		fmt.Fprintf(&b, ", BUSY: the kernel dropped %d packets", o.Dropped)
	}
	fmt.Fprintf(&b, " (%.1f s)", took.Seconds())
	if o.Err != "" {
		fmt.Fprintf(&b, "\n    ERROR: %s", o.Err)
	}
	if o.Evidence != "" {
		fmt.Fprintf(&b, "\n%s", o.Evidence)
	}
	return b.String()
}

// busy is the gap between two datagrams from which on the machine was too loaded
// for exact numbers.
const busy = 5 * time.Millisecond
