package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/srrd/srrd/deploy/lab"
	"github.com/srrd/srrd/vty"
)

// mend takes a fault back. It may be called while others are still there.
type mend func(ctx context.Context) error

// none is the repair of what srrd has to repair by itself.
func none(context.Context) error { return nil }

// startPatience bounds the start of a daemon on a machine that is busy, and the
// orderly end of one, which waits for stop primitives.
const startPatience = 60 * time.Second

// apply lets a fault happen. What it breaks for routing is noted in a.
func (r *run) apply(ctx context.Context, a *Applied) (mend, error) {
	host, name, _ := strings.Cut(a.Target, "/")
	switch a.Kind {
	case "daemons":
		return r.daemons(a)
	case "cut":
		a.Broken = []string{a.Target}
		return r.heal(a.Target), r.lab.Cut(a.Target, lab.Cut(a.Arg))
	case "loss":
		a.Broken = []string{a.Target}
		dir, percent, _ := strings.Cut(a.Arg, " ")
		share, err := strconv.ParseFloat(percent, 64)
		if err != nil {
			return none, err
		}
		return r.heal(a.Target), r.lab.Loss(a.Target, lab.Direction(dir), share/100)
	case "delay":
		a.Broken = []string{a.Target}
		d, j, _ := strings.Cut(a.Arg, " ")
		delay, err := time.ParseDuration(d)
		if err != nil {
			return none, err
		}
		jitter, err := time.ParseDuration(j)
		if err != nil {
			return none, err
		}
		return r.heal(a.Target), r.lab.Delay(a.Target, delay, jitter)
	case "partition":
		a.Broken = strings.Split(a.Target, ",")
		var errs []error
		for _, p := range a.Broken {
			errs = append(errs, r.lab.Cut(p, lab.Cut(a.Arg)))
		}
		return r.heal(a.Broken...), errors.Join(errs...)
	case "router death", "reboot":
		return r.power(a)
	case "frr-reload":
		return none, r.frrReload(ctx, a.Target)
	case "write":
		return none, r.write(ctx, a.Target, a.Arg)
	case "delete":
		return none, r.delete(ctx, a)
	case "networkd":
		return r.networkd(ctx, a)
	case "clock":
		return r.clock(a)
	case "lo down":
		a.Broken = []string{a.Target} // nothing on the node is reached by its service addresses
		return func(ctx context.Context) error { return r.ip(ctx, a.Target, "link", "set", "lo", "up") },
			r.ip(ctx, a.Target, "link", "set", "lo", "down")
	case "move":
		return r.operator(ctx, a, "service "+a.Target+" move "+a.Arg, a.Arg, "service "+a.Target+" unmove")
	case "stop":
		return r.operator(ctx, a, "service "+a.Target+" stop", a.Arg, "service "+a.Target+" start")
	case "disable":
		return r.operator(ctx, a, "service "+name+" disable", host, "service "+name+" enable")
	case "freeze":
		return r.operator(ctx, a, "service "+a.Target+" freeze", a.Arg, "service "+a.Target+" unfreeze")
	case "node":
		return r.operator(ctx, a, "node "+a.Arg, a.Target, "node online")
	case "config":
		return r.config(ctx, a, host, name)
	case "process":
		return none, r.process(a)
	case "primitive":
		return r.primitive(a, host, name)
	}
	return none, fmt.Errorf("fault %q: not known", a.Kind)
}

func (r *run) heal(ports ...string) mend {
	return func(context.Context) error {
		var errs []error
		for _, p := range ports {
			errs = append(errs, r.lab.Heal(p))
		}
		return errors.Join(errs...)
	}
}

// daemons ends or stops some daemons of a host, and brings them back as systemd
// and watchfrr do: a dead zebra takes the others along, what hangs for too long
// is killed.
func (r *run) daemons(a *Applied) (mend, error) {
	how, list, _ := strings.Cut(a.Arg, " ")
	names := strings.Split(list, ",")
	if slices.ContainsFunc(names, func(n string) bool { return n != "srrd" && n != "mgmtd" }) {
		a.Broken = []string{a.Target}
	}
	leaderless := slices.Contains(names, "srrd") && how != "TERM" // TERM stops the services first
	if leaderless {
		r.note(a.Target, "srrd gone")
	}
	var errs []error
	told := map[string]int{} // the processes that were told to end
	for _, n := range names {
		pid, err := r.lab.PID(a.Target, n)
		if err != nil || pid == 0 && n == "srrd" { // a fence has ended it already
			errs = append(errs, err)
			continue
		}
		switch how {
		case "TERM":
			told[n] = pid
			errs = append(errs, r.lab.Kill(a.Target, n, syscall.SIGTERM))
		case "KILL":
			errs = append(errs, r.lab.Kill(a.Target, n, syscall.SIGKILL))
		default:
			errs = append(errs, r.lab.Freeze(a.Target, n))
		}
	}
	back := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, startPatience)
		defer cancel()
		if how == "STOP" {
			var errs []error
			for _, n := range names {
				pid, err := r.lab.PID(a.Target, n)
				if err == nil && pid != 0 { // else a fence has ended it
					err = r.lab.Thaw(a.Target, n)
				}
				errs = append(errs, err)
			}
			if leaderless {
				r.note(a.Target, "srrd here")
			}
			return errors.Join(errs...)
		}
		again := slices.Clone(names)
		if slices.Contains(names, "zebra") {
			again = append(again, frrDaemons...)
		}
		for _, n := range slices.Compact(slices.Sorted(slices.Values(again))) {
			if n == "srrd" && how == "TERM" {
				if err := r.awaitEnd(ctx, a.Target, n, told[n]); err != nil {
					return err
				}
				continue
			}
			pid, err := r.lab.PID(a.Target, n)
			if err != nil {
				return err
			}
			if pid != 0 {
				if err := r.lab.Kill(a.Target, n, syscall.SIGKILL); err != nil {
					return err
				}
			}
		}
		err := r.boot(ctx, a.Target)
		if leaderless {
			r.note(a.Target, "srrd here")
		}
		return err
	}
	return back, errors.Join(errs...)
}

// awaitEnd waits until a process of a daemon that was told to end has done so.
// Another repair may have started the daemon again since.
func (r *run) awaitEnd(ctx context.Context, host, name string, told int) error {
	return r.lab.Wait(ctx, func() error {
		if pid, err := r.lab.PID(host, name); err != nil || pid == told && pid != 0 {
			return errors.Join(err, fmt.Errorf("%s on %s, process %d, has not ended since SIGTERM", name, host, told))
		}
		return nil
	})
}

// etc gives a command a /etc/frr of the host's own, in its mount namespace.
func (r *run) etc(ctx context.Context, host, script string) error {
	dir := filepath.Join(r.lab.Vars(host).Dir, "etc-frr")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// frr-reload.py runs vtysh a dozen times, each a process of its own.
	ctx, cancel := context.WithTimeout(ctx, 3*startPatience)
	defer cancel()
	_, err := r.lab.Exec(ctx, host, "sh", "-c", "mount --bind "+dir+" /etc/frr && mount -t tmpfs tmpfs /var/log/frr && "+script)
	return err
}

// frrReload loads the configuration that the host began with: everything that
// was set meanwhile is unknown to it and is wiped.
func (r *run) frrReload(ctx context.Context, host string) error {
	v := r.lab.Vars(host)
	var text strings.Builder
	for _, d := range []string{"zebra", "bfdd", "ospfd"} {
		text.WriteString(r.operators[host][d])
	}
	path := filepath.Join(v.Dir, "frr.conf")
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		return err
	}
	return r.etc(ctx, host, "touch /etc/frr/vtysh.conf && python3 /usr/lib/frr/frr-reload.py --reload "+path+" >"+v.LogDir+"/frr-reload.log 2>&1")
}

// write saves the running configuration: of all daemons by vtysh, or as the
// command `write` of one does.
func (r *run) write(ctx context.Context, host, how string) error {
	if how == "vtysh" {
		return r.etc(ctx, host, "touch /etc/frr/frr.conf /etc/frr/vtysh.conf && vtysh -c 'write memory'")
	}
	return r.inDaemon(ctx, host, how, func(ctx context.Context, s *vty.Session) error {
		_, err := s.Exec(ctx, "write")
		return err
	})
}

// inDaemon runs commands in a privileged session with one of FRR's daemons.
func (r *run) inDaemon(ctx context.Context, host, name string, f func(context.Context, *vty.Session) error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := vty.Dial(ctx, filepath.Join(r.lab.Vars(host).VtyDir, name+".vty"))
	if err == nil {
		defer s.Close()
		if err = s.Enable(ctx); err == nil {
			err = f(ctx, s)
		}
	}
	if err != nil {
		return fmt.Errorf("%s on %s: %w", name, host, err)
	}
	return nil
}

// delete takes away what srrd has set up, as somebody does who does not know
// what it is for. What is not there cannot be deleted, and that is no error.
func (r *run) delete(ctx context.Context, a *Applied) error {
	host := a.Target
	if host == "holder" {
		name := "web"
		if a.Arg == "alias" || a.Arg == "prefix-list" || a.Arg == "route-map" || a.Arg == "redistribute connected" {
			name = "shop"
		}
		if host = r.holder(name); host == "" {
			a.Note = name + " ran nowhere"
			return nil
		}
	}
	a.Note = "on " + host
	line := ""
	switch a.Arg {
	case "route":
		_ = r.ip(ctx, host, "route", "flush", "table", "local", "proto", "201") // none there
		return nil
	case "alias":
		_ = r.ip(ctx, host, "address", "del", "10.250.0.2/32", "dev", "lo") // not there
		return nil
	case "redistribute table":
		line = "router ospf\nno redistribute table 201"
	case "redistribute connected":
		line = "router ospf\nno redistribute connected"
	case "prefix-list":
		line = "no ip prefix-list SRRD-VIP"
	case "route-map":
		line = "no route-map SRRD-VIP"
	}
	err := r.inDaemon(ctx, host, "ospfd", func(ctx context.Context, s *vty.Session) error {
		return s.Configure(ctx, strings.Split(line, "\n")...)
	})
	if err != nil {
		a.Note += ": " + err.Error()
	}
	return nil
}

// clock sets the wall clock of a running srrd off, and right again.
func (r *run) clock(a *Applied) (mend, error) {
	by, err := time.ParseDuration(a.Arg)
	if err != nil {
		return none, err
	}
	leap := func(by time.Duration) error {
		pid, err := r.lab.PID(a.Target, "srrd")
		if err != nil || pid == 0 { // a fence has ended it; the next one has the right time
			return err
		}
		return r.lab.Leap(a.Target, "srrd", by)
	}
	return func(context.Context) error { return leap(0) }, leap(by)
}

// networkd takes addresses and routes of a node away as systemd-networkd does: what
// it does not know when it starts, or all of an interface, which it gives back.
func (r *run) networkd(ctx context.Context, a *Applied) (mend, error) {
	for _, s := range services {
		if s.address.IsValid() {
			_ = r.ip(ctx, a.Target, "address", "del", s.address.String()+"/32", "dev", "lo") // it need not be there
		}
	}
	_ = r.ip(ctx, a.Target, "route", "flush", "table", "local", "proto", "201") // none there
	// One by one: `ip route flush` cannot take away what has a next hop object.
	// Some may be gone before their turn.
	_, err := r.lab.Exec(ctx, a.Target, "sh", "-c", `ip -o route show proto ospf | while read -r to rest; do ip route del "$to" proto ospf 2>/dev/null; done; :`)
	if a.Arg == "foreign" {
		return none, err
	}
	a.Broken = []string{a.Target}
	out, failed := r.lab.Exec(ctx, a.Target, "ip", "-o", "-4", "address", "show", "dev", "eth0")
	if err = errors.Join(err, failed); err != nil {
		return none, err
	}
	_, rest, ok := strings.Cut(out, " inet ")
	prefix, _, _ := strings.Cut(rest, " ")
	if !ok {
		return none, fmt.Errorf("eth0 of %s has no address: %q", a.Target, out)
	}
	return func(ctx context.Context) error {
		return r.ip(ctx, a.Target, "address", "add", prefix, "brd", "+", "dev", "eth0")
	}, r.ip(ctx, a.Target, "address", "flush", "dev", "eth0")
}

func (r *run) ip(ctx context.Context, host string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := r.lab.Exec(ctx, host, append([]string{"ip"}, args...)...)
	return err
}
