package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// frrDir is where Debian and the FRR packages put the daemons.
const frrDir = "/usr/lib/frr"

// daemonDirs are what SRRD_FRR_DIR lists, separated by colons: FRR's daemons in other
// versions, for the hosts of a lab one after the other; routerDirs, of
// SRRD_FRR_ROUTER_DIR, are for those that run no srrd. Without them a lab runs the
// machine's own.
var daemonDirs, routerDirs = listed("SRRD_FRR_DIR"), listed("SRRD_FRR_ROUTER_DIR")

func listed(variable string) []string {
	return slices.DeleteFunc(strings.Split(os.Getenv(variable), ":"), func(dir string) bool { return dir == "" })
}

// calm has BFD bear some 800 ms in which a busy machine runs nobody: with 50 ms
// x 3 the nodes lose each other in the middle of what a test looks at. How fast a
// loss is seen is measured by the bench; it stays below loss_detection.
func calm(topo *lab.Topology) {
	for i := range topo.BFD {
		if p := &topo.BFD[i]; p.Name == "fast" {
			p.Interval, p.Multiplier = 100*time.Millisecond, 8
		}
	}
}

// mix gives the hosts that name no FRR of their own one of those to be tried.
func mix(topo *lab.Topology) {
	n := map[bool]int{}
	for _, h := range topo.All() {
		dirs, router := daemonDirs, h.Srrd == nil
		if router && len(routerDirs) > 0 {
			dirs = routerDirs
		}
		if len(dirs) == 0 || !h.RunsFRR() || h.FRR.Version != "" {
			continue
		}
		h.FRR.Version = dirs[n[router]%len(dirs)]
		n[router]++
	}
	if !oldNodes() {
		return
	}
	for _, h := range topo.All() {
		if h.Srrd != nil && oneArea(topo) && !strings.Contains(h.Srrd.Config, "scope:") {
			// What the doctor advises for them: a killed srrd's LSAs of scope as would stay.
			setup := *h.Srrd
			setup.Config += "scope: {area: 0.0.0.0}\n"
			h.Srrd = &setup
		}
	}
	// And that nodes leave it to the router to be designated router. Two of them
	// that become Full with each other and with the router at once can stand in
	// Loading for a minute: the ospfd of 7.5.1 does not take its own LSAs off the
	// list of what it wants of a neighbour when they come flushed ("Boomerang
	// effect?" in its log), until the neighbour has forgotten them.
	never := 0
	for i := range topo.LANs {
		for j := range topo.LANs[i].Members {
			if m := &topo.LANs[i].Members[j]; m.Priority == nil && topo.Host(m.Host).Srrd != nil {
				m.Priority = &never
			}
		}
	}
}

// oldNodes reports whether nodes run an FRR before 8.4, whose ospfd can less.
var oldNodes = sync.OnceValue(func() bool {
	for _, dir := range daemonDirs {
		r, err := lab.FindRelease(context.Background(), dir)
		if err != nil {
			panic(err) // possible() has looked
		}
		if !r.AtLeast(8, 4) {
			return true
		}
	}
	return false
})

func oneArea(topo *lab.Topology) bool {
	for _, s := range topo.Segments() {
		if s.Area != "0.0.0.0" {
			return false
		}
	}
	return true
}

// programs are what is tested, built once.
var programs lab.Binaries

func TestMain(m *testing.M) {
	// The labs wait more than they work: more of them side by side than CPUs.
	if err := flag.Set("test.parallel", "5"); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := possible(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	out, err := exec.Command("go", "build", "-o", dir+"/", "../../../sidecar/cmd/srrd", "../../../sidecar/cmd/srrsh", "../cmd/srrlab").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "e2e: building srrd: %v\n%s", err, out)
		return 1
	}
	programs = lab.Binaries{Srrd: filepath.Join(dir, "srrd"), Srrsh: filepath.Join(dir, "srrsh"), Srrlab: filepath.Join(dir, "srrlab")}
	code := m.Run()
	if f := flag.Lookup("test.run"); code == 0 && (f == nil || f.Value.String() == "") {
		if missing := unseen(); len(missing) > 0 {
			fmt.Fprintln(os.Stderr, "e2e: no test saw these words of DESIGN section 2 in `show service`:", strings.Join(missing, ", "))
			return 1
		}
	}
	return code
}

// possible says why the tests cannot run here.
func possible() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("these tests build network namespaces and need root")
	}
	for _, dir := range slices.Concat([]string{frrDir}, daemonDirs, routerDirs) {
		for _, d := range []string{"zebra", "ospfd", "bfdd"} {
			if _, err := os.Stat(filepath.Join(dir, d)); err != nil {
				return fmt.Errorf("these tests run FRR: %w (Debian: apt install frr)", err)
			}
		}
	}
	return nil
}

// words collects every state that `show service` has shown in any test.
var words struct {
	sync.Mutex
	config, service map[string]bool
}

func saw(config, service string) {
	words.Lock()
	defer words.Unlock()
	if words.config == nil {
		words.config, words.service = map[string]bool{}, map[string]bool{}
	}
	words.config[config], words.service[service] = true, true
}

// unseen lists the states of DESIGN section 2 that no test has seen.
func unseen() []string {
	words.Lock()
	defer words.Unlock()
	var missing []string
	for _, w := range []string{"disabled", "inactive", "injected", "active", "deactivated", "failed"} {
		if !words.config[w] {
			missing = append(missing, w+"/")
		}
	}
	for _, w := range []string{"stopped", "starting", "started", "stopping", "failed"} {
		if !words.service[w] {
			missing = append(missing, "/"+w)
		}
	}
	slices.Sort(missing)
	return missing
}
