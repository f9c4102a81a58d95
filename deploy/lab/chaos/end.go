package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// leftPatience is how long something may take to be gone: an old generation
// of an LSA is deleted 15 s after the new one.
const leftPatience = 45 * time.Second

// leave stops every service, then every srrd, and notes what is still there.
func (r *run) leave(ctx context.Context) {
	r.say("stopping every service")
	for _, s := range services {
		if _, err := r.srrsh(ctx, r.world.nodes[0], "service "+s.name+" stop"); err != nil && !strings.Contains(err.Error(), "group") {
			r.trouble("stopping %s in the end: %v", s.name, err)
		}
	}
	r.gone(ctx, "with every service stopped", r.withoutServices)
	r.say("stopping every srrd")
	for _, n := range r.world.nodes {
		if err := r.lab.Kill(n, "srrd", syscall.SIGTERM); err != nil {
			r.trouble("in the end: %v", err)
		}
	}
	r.gone(ctx, "with every srrd ended", r.withoutSrrd)
}

// gone waits until nothing of what check looks for is there.
func (r *run) gone(ctx context.Context, when string, check func(context.Context) []string) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(float64(leftPatience)*max(1, r.Limits.slack())))
	defer cancel()
	var left []string
	if err := r.lab.Wait(ctx, func() error {
		now := check(ctx)
		if len(now) == 0 {
			return nil
		}
		if left == nil || ctx.Err() == nil { // else it says only that the time is over
			left = now
		}
		return errors.New(now[0])
	}); err == nil {
		return
	}
	for _, l := range left {
		r.say("LEFT %s: %s", when, l)
		r.evidence.Left = append(r.evidence.Left, when+": "+l)
	}
}

// withoutServices lists what is there of services that should all be stopped.
func (r *run) withoutServices(ctx context.Context) (left []string) {
	for _, n := range r.world.nodes {
		for _, s := range services {
			if pid := r.serviceProcess(n, s.name); pid != 0 {
				left = append(left, fmt.Sprintf("process %d of %s on %s", pid, s.name, n))
			}
		}
	}
	for _, h := range append(slices.Clone(r.world.nodes), r.world.routers...) {
		for _, what := range [][]string{{"route", "show", "table", "all"}, {"address", "show"}} {
			out, err := r.lab.Exec(ctx, h, append([]string{"ip", "-o"}, what...)...)
			if err != nil {
				return append(left, err.Error())
			}
			for line := range strings.Lines(out) {
				if strings.Contains(line, "10.250.") {
					left = append(left, fmt.Sprintf("on %s: %s", h, strings.TrimSpace(line)))
				}
			}
		}
	}
	if len(left) > 0 {
		return left
	}
	live, err := r.opaque()
	if err != nil {
		return []string{err.Error()}
	}
	// Of each node its own announcement and one for each service, once the old
	// generations are gone.
	for _, router := range slices.Sorted(maps.Keys(live)) {
		if n := live[router]; n != 1+len(services) {
			left = append(left, fmt.Sprintf("%d opaque LSAs of %s, want %d", n, router, 1+len(services)))
		}
	}
	return left
}

// withoutSrrd lists what is there of srrd, once it should have ended everywhere.
func (r *run) withoutSrrd(ctx context.Context) (left []string) {
	for _, n := range r.world.nodes {
		if pid, err := r.lab.PID(n, "srrd"); err != nil || pid != 0 {
			return append(left, fmt.Sprintf("srrd of %s, process %d (%v)", n, pid, err))
		}
		v := r.lab.Vars(n)
		if _, err := os.Stat(v.SrrdSocket); err == nil {
			left = append(left, v.SrrdSocket)
		}
		out, err := r.lab.Exec(ctx, n, "ip", "netns", "pids", r.lab.Namespace(n))
		if err != nil {
			return append(left, err.Error())
		}
		for pid := range strings.FieldsSeq(out) {
			comm, err := os.ReadFile("/proc/" + pid + "/comm")
			if name := strings.TrimSpace(string(comm)); err == nil && !slices.Contains([]string{"zebra", "bfdd", "ospfd", "mgmtd", "ip"}, name) {
				line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
				left = append(left, fmt.Sprintf("process %s on %s: %s %s", pid, n, name, strings.ReplaceAll(string(line), "\x00", " ")))
			}
		}
		for _, d := range []string{"zebra", "ospfd"} {
			text, err := r.lab.VTY(n, d, "show running-config")
			if err != nil {
				return append(left, err.Error())
			}
			for line := range strings.Lines(text) {
				// Entries of the prefix-list may stay (package address): without
				// an address they announce nothing.
				if strings.Contains(line, "10.250.") && !strings.HasPrefix(line, "ip prefix-list SRRD-VIP ") {
					left = append(left, fmt.Sprintf("in %s of %s: %s", d, n, strings.TrimSpace(line)))
				}
			}
			saved, err := os.ReadFile(filepath.Join(v.VtyDir, d+".conf"))
			if err != nil {
				return append(left, err.Error())
			}
			for _, s := range services {
				if s.address.IsValid() && !s.alias && strings.Contains(string(saved), s.address.String()) {
					left = append(left, fmt.Sprintf("%s saved in %s.conf of %s", s.address, d, n))
				}
			}
		}
	}
	live, err := r.opaque()
	if err != nil {
		return append(left, err.Error())
	}
	for router, n := range live {
		left = append(left, fmt.Sprintf("%d opaque LSAs of %s", n, router))
	}
	return left
}

var (
	lsaAge    = regexp.MustCompile(`^\s*LS age: (\d+)`)
	lsaID     = regexp.MustCompile(`^\s*Link State ID: 222\.`)
	lsaRouter = regexp.MustCompile(`^\s*Advertising Router: (\S+)`)
)

// opaque counts the live AS-wide LSAs of type 222 by their router, as the first
// router's ospfd has them.
func (r *run) opaque() (map[string]int, error) {
	text, err := r.lab.VTY(r.world.routers[0], "ospfd", "show ip ospf database opaque-as")
	if err != nil {
		return nil, err
	}
	return countOpaque(text), nil
}

func countOpaque(text string) map[string]int {
	live := map[string]int{}
	age, ours := "", false
	for line := range strings.Lines(text) {
		if m := lsaAge.FindStringSubmatch(line); m != nil {
			age, ours = m[1], false
		} else if lsaID.MatchString(line) {
			ours = true
		} else if m := lsaRouter.FindStringSubmatch(line); m != nil && ours && age != "3600" {
			live[m[1]]++
		}
	}
	return live
}

// gather reads what the nodes have written.
func (r *run) gather() error {
	for _, n := range r.world.nodes {
		text, err := os.ReadFile(filepath.Join(r.lab.Vars(n).Dir, "journal"))
		if err != nil {
			return err
		}
		lines, err := parseJournal(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		r.evidence.Lines = append(r.evidence.Lines, lines...)
	}
	sortLines(r.evidence.Lines)
	var err error
	if r.evidence.Stored, err = readStore(filepath.Join(r.store, "records")); err != nil {
		return err
	}
	for _, h := range append(slices.Clone(r.world.nodes), r.world.routers...) {
		for _, d := range append(slices.Clone(r.world.daemons), "srrd") {
			text, err := r.lab.Log(h, d)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			r.evidence.Logs = append(r.evidence.Logs, badLines(d+" of "+h, text)...)
		}
	}
	return nil
}

// bad is what neither srrd nor FRR may ever write. FRR's daemons tell the signal
// they die of; ours are TERM and KILL. ospfd 8.4.4 that is told to end while it
// has an API client aborts in ospf_opaque_finish: that is its own affair.
var bad = regexp.MustCompile(`^(panic:|fatal error:|WARNING: DATA RACE|unexpected fault address)|runtime error:|Assertion .* failed|[Rr]eceived signal (6|7|8|11)\b|not tolerate`)

func badLines(who, text string) (found []string) {
	ending := false
	for line := range strings.Lines(text) {
		if strings.Contains(line, "Terminating on signal") {
			ending = true
		} else if strings.Contains(line, " starting: ") {
			ending = false
		}
		if bad.MatchString(line) && !ending {
			found = append(found, who+": "+strings.TrimSpace(line))
		}
	}
	if len(found) > 5 {
		found = append(found[:5], fmt.Sprintf("%s: and %d more", who, len(found)-5))
	}
	return found
}

// keep copies logs, journals and configuration out of the lab before it goes.
func (r *run) keep() error {
	var errs []error
	for _, h := range append(slices.Clone(r.world.nodes), r.world.routers...) {
		v := r.lab.Vars(h)
		to := filepath.Join(r.Keep, h)
		errs = append(errs, os.MkdirAll(to, 0o755))
		files, err := filepath.Glob(filepath.Join(v.LogDir, "*.log"))
		errs = append(errs, err)
		files = append(files, filepath.Join(v.Dir, "journal"))
		for _, f := range files {
			b, err := os.ReadFile(f)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			errs = append(errs, err, os.WriteFile(filepath.Join(to, filepath.Base(f)), b, 0o644))
		}
	}
	return errors.Join(errs...)
}
