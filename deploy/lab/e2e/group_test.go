package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/srrd/srrd/deploy/lab"
)

// groupScript logs as primitiveScript does, runs the hook, and then the target
// of the sample service. fence does to a node that was lost what a power switch
// would: it kills its nginx and takes its disk away.
const groupScript = `cd {{.Dir}}
said() {
	echo "$(date +%s%N) $SRRD_NODE $SRRD_SERVICE $1 $2 peer=$SRRD_PEER claim=$SRRD_CLAIM failure=$SRRD_FAILURE" >>primitives.log
}
said $1 begin
if [ -e hook/$SRRD_SERVICE.$1 ]; then . hook/$SRRD_SERVICE.$1; fi
if [ $1 = fence ]; then
	pid=$(cat MNT/$SRRD_PEER/web/nginx.pid 2>/dev/null) && pkill -KILL -s $pid -x nginx
	for i in $(seq 300); do
		mountpoint -q MNT/$SRRD_PEER || break
		umount MNT/$SRRD_PEER 2>/dev/null || sleep 0.01
	done
	mountpoint -q MNT/$SRRD_PEER && exit 1
	# A umount of the node itself, under way, takes the mount from sight before the
	# last block is written: the disk is free when its loop device is.
	for i in $(seq 300); do
		[ -n "$(losetup -j $DISK_DEVICE)" ] || break
		sleep 0.01
	done
	[ -z "$(losetup -j $DISK_DEVICE)" ] || exit 1
else
	make -s -C $LIBRARY $1 || exit 1
fi
said $1 end
`

// groupNodes is threeNodes with the thesis's own example (3.7, 3.8): the group
// WEB of the resource DISK, an ext4 file system in an image that all three nodes
// see, and the service APACHE, nginx with all its files on that disk.
func groupNodes(t *testing.T, base string) *lab.Topology {
	t.Helper()
	library, err := filepath.Abs("../../service")
	if err != nil {
		t.Fatal(err)
	}
	mnt := filepath.Join(base, "mnt")
	const common = `dir: {{.Dir}}/service
group: WEB
critical: yes
retry_after: 1h
timeouts: {start: 10s, stop: 5s, check: 5s, status: 5s, restart: 10s}
`
	topo := threeNodes(nil)
	// A node that is designated router takes the others of its LAN away from
	// each other for a moment when it comes back, and who is lost is fenced.
	var never int
	for _, lan := range topo.LANs {
		for i := range lan.Members {
			if lan.Members[i].Host != "r0" {
				lan.Members[i].Priority = &never
			}
		}
	}
	for i := range topo.Hosts {
		s := topo.Hosts[i].Srrd
		if s == nil {
			continue
		}
		s.Services = map[string]string{
			"DISK": common + `fence: yes
check: {interval: 200ms, fall: 2, unknown: 20}
env: {LIBRARY: ` + library + `/disk, DISK_DEVICE: ` + base + `/disk.img, DISK_MOUNT: "` + mnt + `/{{.Host}}"}
`,
			"APACHE": common + `dependencies: DISK
addresses: 10.250.0.1
recover: 0
check: {interval: 1s, fall: 3, unknown: 20}
watch: {pidfile: "` + mnt + `/{{.Host}}/web/nginx.pid"}
env: {LIBRARY: ` + library + `/web, WEB_DIR: "` + mnt + `/{{.Host}}/web"}
`,
		}
		s.Files = map[string]string{
			"service/Makefile":     strings.Replace(makefile, "status check\n", "status check fence\n", 1),
			"service/primitive.sh": strings.ReplaceAll(groupScript, "MNT", mnt),
			"hook/README":          "hooks of primitive.sh\n",
		}
	}
	return topo
}

// image makes a directory with an ext4 file system in a file, and takes
// everything off it in the end.
func image(t *testing.T) string {
	t.Helper()
	if out, err := exec.Command("losetup", "--find").CombinedOutput(); err != nil {
		t.Fatalf("no loop device to mount an image with: %v: %s", err, out)
	}
	base, err := os.MkdirTemp("", "srrgroup")
	if err != nil {
		t.Fatal(err)
	}
	// What is unmounted below has to go from every mount namespace at once. Each
	// command that runs on a host of a lab has one of its own, made as a copy, and
	// would keep the file system alive, unless its umount is told to it.
	if err := errors.Join(unix.Mount(base, base, "", unix.MS_BIND, ""), unix.Mount("", base, "", unix.MS_SHARED, "")); err != nil {
		t.Fatalf("sharing %s: %v", base, err)
	}
	t.Cleanup(func() {
		for _, m := range append(mounted(t, base), base) {
			if err := unix.Unmount(m, unix.MNT_DETACH); err != nil {
				t.Errorf("unmounting %s: %v", m, err)
				return // its files are not to be removed
			}
		}
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(base, 0o755); err != nil { // nginx's workers are not root
		t.Fatal(err)
	}
	img := filepath.Join(base, "disk.img")
	if err := os.WriteFile(img, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(img, 16<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", img).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	return base
}

// mounted lists the mount points below a directory.
func mounted(t testing.TB, base string) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], base+"/") { // proc_pid_mountinfo(5)
			all = append(all, f[4])
		}
	}
	return all
}

// neverMountedTwice looks at the mounts at every change until the test ends.
func neverMountedTwice(t *testing.T, base string) {
	t.Helper()
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	most := 0
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			now := mounted(t, base)
			most = max(most, len(now))
			if len(now) > 1 {
				t.Errorf("mounted at once: %v", now)
				return
			}
			// The file is polled for changes (proc_pid_mountinfo(5)); the
			// timeout is for stop.
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}}, 200)
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-ended
		_ = f.Close() // nothing was written
		if most == 0 {
			t.Error("nothing was ever mounted")
		}
	})
}

// together waits until the whole group runs on one node, of those named.
func (c *cluster) together(nodes ...string) string {
	c.Helper()
	if len(nodes) == 0 {
		nodes = c.nodes
	}
	var on string
	c.awaitFor(2*patience, fmt.Sprintf("the group runs as one on one of %v", nodes), func() error {
		on = ""
		for _, name := range []string{"DISK", "APACHE"} {
			for _, n := range nodes {
				s, err := c.service(n, name)
				if err != nil {
					return err
				}
				if s.Holder == "" || on != "" && s.Holder != on {
					return fmt.Errorf("%s has %s on %q, another says %q: %s %s", n, name, s.Holder, on, s.Why, strings.Join(s.Waits, "; "))
				}
				on = s.Holder
			}
		}
		if !slices.Contains(nodes, on) {
			return fmt.Errorf("it runs on %s", on)
		}
		return nil
	})
	return on
}

// inOrder walks the log of the primitives: APACHE starts on a started DISK only
// and stops before it, DISK starts where no other node has it.
func (c *cluster) inOrder() {
	c.Helper()
	all := append(c.primitives("DISK"), c.primitives("APACHE")...)
	slices.SortStableFunc(all, func(a, b ran) int { return a.at.Compare(b.at) })
	disk, apache := map[string]bool{}, map[string]bool{}
	for _, r := range all {
		where := fmt.Sprintf("%s %s %s %s at %s", r.node, r.service, r.primitive, r.moment, r.at.Format(time.StampMicro))
		switch r.service + " " + r.primitive + " " + r.moment {
		case "DISK start begin":
			for n, on := range disk {
				if on && n != r.node {
					c.Errorf("%s: %s has it", where, n)
				}
			}
		case "DISK start end":
			disk[r.node] = true
		case "DISK stop begin":
			if apache[r.node] {
				c.Errorf("%s: APACHE has not stopped", where)
			}
		case "DISK stop end":
			disk[r.node] = false
		case "DISK fence end":
			disk[r.peer], apache[r.peer] = false, false
		case "APACHE start begin":
			if !disk[r.node] {
				c.Errorf("%s: DISK has not started there", where)
			}
			apache[r.node] = true
		case "APACHE stop end":
			apache[r.node] = false
		}
	}
}

// story logs what the primitives did since a moment, with the time that passed.
func (c *cluster) story(since time.Time) {
	c.Helper()
	all := append(c.primitives("DISK"), c.primitives("APACHE")...)
	slices.SortStableFunc(all, func(a, b ran) int { return a.at.Compare(b.at) })
	for _, r := range all {
		if r.at.After(since) && r.primitive != "check" && r.primitive != "status" {
			c.Logf("%8.1f ms  %s %s %s %s", float64(r.at.Sub(since).Microseconds())/1000, r.node, r.service, r.primitive, r.moment)
		}
	}
}

// killNginx kills the master of a node's nginx.
func (c *cluster) killNginx(base, node string) {
	c.Helper()
	text, err := os.ReadFile(filepath.Join(base, "mnt", node, "web", "nginx.pid"))
	c.must(err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	c.must(err)
	c.must(syscall.Kill(pid, syscall.SIGKILL))
}

// served waits until the client gets a node's page: the routers between may hear
// later than the cluster where the address is.
func (c *cluster) served(node string) {
	c.Helper()
	c.await("the client gets the page of "+node, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		out, err := c.lab.Exec(ctx, "client", "curl", "-s", "-S", "-m", "5", "http://10.250.0.1/")
		if err == nil && !strings.Contains(out, " on "+node+",") {
			err = fmt.Errorf("it gets %q", out)
		}
		return err
	})
}

// candidates waits until every node could run the group again.
func (c *cluster) candidates() {
	c.Helper()
	for _, n := range c.nodes {
		for _, peer := range c.nodes {
			c.awaitStatus(n, peer, "present")
		}
	}
	// Who was fenced while its srrd lived has seen its nginx end.
	c.await("no node counts it as failed", func() error {
		var failed error
		for _, n := range c.nodes {
			for _, name := range []string{"DISK", "APACHE"} {
				if s, err := c.service(n, name); err != nil || s.State == "failed" {
					_, again := c.srrsh(n, "service "+name+" reactivate")
					failed = errors.Join(failed, err, again, fmt.Errorf("%s on %s is %s", name, n, s.Failure))
				}
			}
		}
		return failed
	})
	c.settled("DISK", "APACHE")
	c.together()
}

func TestTheThesisGroupMovesWholeAndInOrder(t *testing.T) {
	base := image(t)
	c := up(t, groupNodes(t, base))
	neverMountedTwice(t, base)
	broken := time.Now()
	t.Cleanup(func() {
		if t.Failed() {
			c.story(broken)
		}
	})
	c.settled("DISK", "APACHE")

	fault := func(sentence string, breaks func(c *cluster, holder string) (left []string), mend func(c *cluster, holder string)) {
		c.sub(sentence, func(c *cluster) {
			holder := c.together()
			c.served(holder)
			began := time.Now()
			broken = began
			left := breaks(c, holder)
			next := c.together(left...)
			c.story(began)
			if next == holder {
				c.Errorf("it still runs on %s", holder)
			}
			mend(c, holder)
			c.candidates()
			c.inOrder()
		})
	}
	others := func(c *cluster, holder string) []string { return c.others(holder) }
	nothing := func(*cluster, string) {}

	fault("a planned move", func(c *cluster, holder string) []string {
		to := c.others(holder)[0]
		c.does(holder, "service APACHE move "+to)
		c.awaitHolder("APACHE", to)
		c.does(holder, "service APACHE unmove")
		return c.nodes
	}, nothing)
	fault("nginx is killed, recover: 0", func(c *cluster, holder string) []string {
		seq := c.lastEvent(holder)
		c.killNginx(base, holder)
		c.awaitEventAfter(holder, seq, "has ended")
		c.takenOver("APACHE", holder)
		return c.nodes
	}, nothing)
	fault("the check of the disk fails", func(c *cluster, holder string) []string {
		c.hook(holder, "DISK", "check", "echo 'I/O error'; exit 1\n")
		c.takenOver("DISK", holder)
		return c.nodes
	}, func(c *cluster, holder string) {
		c.unhook(holder, "DISK", "check")
	})
	fault("a silent cut", func(c *cluster, holder string) []string {
		c.must(c.lab.Cut(holder, lab.Silent))
		return others(c, holder)
	}, func(c *cluster, holder string) { c.must(c.lab.Heal(holder)) })
	fault("srrd is killed", func(c *cluster, holder string) []string {
		c.kill(holder, "srrd")
		return others(c, holder)
	}, func(c *cluster, holder string) { c.start(holder, "srrd") })
	fault("ospfd is killed", func(c *cluster, holder string) []string {
		c.kill(holder, "ospfd")
		return others(c, holder)
	}, func(c *cluster, holder string) { c.start(holder, "ospfd") })

	c.sub("nginx is killed, recover: 1: it is restarted in place", func(c *cluster) {
		for _, n := range c.nodes {
			path := filepath.Join(c.lab.Vars(n).ServicesDir, "APACHE.yaml")
			text, err := os.ReadFile(path)
			c.must(err)
			c.must(os.WriteFile(path, []byte(strings.Replace(string(text), "recover: 0", "recover: 1", 1)), 0o644))
			c.does(n, "reload")
		}
		holder := c.together()
		starts := count(order(c.primitives("DISK")), "start")
		began := time.Now()
		seq := c.lastEvent(holder)
		c.killNginx(base, holder)
		c.awaitEventAfter(holder, seq, "restarted")
		c.story(began)
		if on := c.together(); on != holder {
			c.Errorf("it runs on %s, want it restarted on %s", on, holder)
		}
		if got := count(order(c.primitives("DISK")), "start"); got != starts {
			c.Errorf("the disk was started %d times more", got-starts)
		}
		// A second time within recover_within it moves.
		c.served(holder)
		c.killNginx(base, holder)
		c.takenOver("APACHE", holder)
		if on := c.together(); on == holder {
			c.Errorf("it still runs on %s", on)
		}
		c.inOrder()
	})
}

// TestMembersShareAnAddress: what two services of a group have goes with the last
// of them, and a client of the one notices nothing of the other's end.
func TestMembersShareAnAddress(t *testing.T) {
	const both = "group: SHOP\naddresses: 10.250.0.7\n"
	topo := patient(twoNodes(services{"web": both + "critical: yes\n", "quiet": both + "dependencies: web\n"}))
	topo.Hosts = append(topo.Hosts, lab.Host{Name: "client", Gateway: netip.MustParseAddr("10.0.0.1")})
	topo.Links = append(topo.Links, cable(end("r0", "client", "10.0.0.1/24"), end("client", "eth0", "10.0.0.2/24")))
	c := up(t, topo)
	c.settled("web", "quiet")
	holder := c.elected("web")
	p := c.probe("10.250.0.7")
	c.awaitAnswer(p, holder)
	log := c.logLength(holder)
	p.Mark("stopped")
	c.does(holder, "service quiet stop")
	c.awaitState(holder, "quiet", "active/stopped")
	c.does(holder, "service quiet start")
	c.awaitState(holder, "quiet", "active/started")
	p.Mark("moved")
	text, err := c.lab.Log(holder, "srrd")
	c.must(err)
	if strings.Contains(text[log:], "still show its addresses") {
		c.Errorf("the member that stopped waited for what the other one has")
	}
	to := c.others(holder)[0]
	c.moves("web", to)
	c.awaitHolder("quiet", to)
	c.awaitAnswer(p, to)
	phase, ok := p.Stop().Phase("stopped")
	if !ok || phase.Lost > 0 || len(phase.ByNode) != 1 {
		c.Errorf("while one member stopped and started, the client of the other lost %d datagrams, and was answered by %v", phase.Lost, phase.ByNode)
	}
}
