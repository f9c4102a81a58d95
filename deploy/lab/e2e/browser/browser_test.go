package browser

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/srrd/srrd/deploy/lab"
)

// webPort is where srrd serves its pages without configuration.
const webPort = 8222

// up brings the demo's cluster up, with a patient BFD: what is walked here is
// pages, and a machine that does other things too can keep a daemon from the
// processor for the demo's 150 ms. A node that looks lost for a moment is a good
// cause for a service to move, and not where this test wants it.
func up(t *testing.T) *lab.Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test builds network namespaces and needs root")
	}
	dir := t.TempDir()
	out, err := exec.Command("go", "build", "-o", dir+"/", "../../../../sidecar/cmd/srrd", "../../../../sidecar/cmd/srrsh", "../../cmd/srrlab").CombinedOutput()
	if err != nil {
		t.Fatalf("building srrd: %v\n%s", err, out)
	}
	topo, err := lab.Load("../../topologies/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for i := range topo.BFD {
		topo.BFD[i].Interval, topo.BFD[i].Multiplier = 400*time.Millisecond, 5
	}
	l, err := lab.Up(t.Context(), topo, lab.Options{Name: fmt.Sprintf("b%d", os.Getpid()),
		Binaries: lab.Binaries{Srrd: filepath.Join(dir, "srrd"), Srrsh: filepath.Join(dir, "srrsh"), Srrlab: filepath.Join(dir, "srrlab")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			tell(t, l)
		}
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// tell logs what the nodes have said, for whom a test has failed.
func tell(t *testing.T, l *lab.Lab) {
	for _, h := range l.Topology().All() {
		if h.Srrd == nil {
			continue
		}
		text, err := l.Log(h.Name, "srrd")
		if err != nil {
			text = err.Error()
		}
		if len(text) > 8000 {
			text = "...\n" + text[len(text)-8000:]
		}
		t.Logf("srrd of %s:\n%s", h.Name, text)
	}
}

var slug = regexp.MustCompile(`[^a-z0-9]+`)

func TestAPersonWalksThePagesOfALivingCluster(t *testing.T) {
	axe, err := axeCore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(artifacts, "web")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(artifacts, "web"), 0o755); err != nil {
		t.Fatal(err)
	}
	l := up(t)
	b := open(t, l, axe)
	pages := map[string]string{}
	for _, node := range []string{"n1", "n2"} {
		at, err := l.Forward(node, webPort, netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		pages[node] = "http://" + at.String()
	}

	addressOnly, err := filepath.Abs("../../../service/address-only")
	if err != nil {
		t.Fatal(err)
	}
	// A service is made on two nodes, by the form; on the second only when it runs
	// on the first. While neither has it, as in the first seconds of a node, the
	// tie goes to the highest router-id; one that has it keeps it.
	for _, node := range []string{"n1", "n2"} {
		b.home = pages[node]
		b.visit("/config-new", 200)
		b.enter("#f-name", "shop")
		b.enter("#f-dir", addressOnly)
		b.enter("#f-addresses", "10.250.0.300")
		b.press(`form .fields ~ p button`)
		if !strings.Contains(b.text("#h-addresses"), "10.250.0.300") {
			t.Errorf("%s: beside the wrong address it says %q", node, b.text("#h-addresses"))
		}
		if node == "n1" {
			b.judge("form-wrong", false)
		}
		b.enter("#f-addresses", "10.250.0.30")
		b.press(`form .fields ~ p button`)
		if node == "n1" {
			b.judge("form-changes", false)
		}
		b.press(`#changes form button.main`)
		b.visit("/service/shop", 200)
		b.sees("h1", regexp.MustCompile(`runs on n1`))
		b.sees("#offers", regexp.MustCompile(node))
	}

	// It is stopped, started and moved, and the map follows.
	b.home = pages["n1"]
	b.visit("/service/shop", 200)
	b.sees("#offers", regexp.MustCompile(`n2`))
	b.sees("h1", regexp.MustCompile(`runs on n1`))
	b.press("#do-status")
	b.judge("service-status", false)
	b.press("#do-stop")
	b.sees("h1", regexp.MustCompile(`stopped by an operator`))
	b.judge("service-stopped", false)
	b.press("#do-start")
	b.sees("h1", regexp.MustCompile(`runs on n`))

	// Frozen, it says so and nothing else, until it is freed.
	b.press("#do-freeze")
	b.sees("#facts", regexp.MustCompile(`no node starts or stops it`))
	b.judge("service-frozen", false)
	b.press("#do-unfreeze")
	b.gone("#facts", regexp.MustCompile(`no node starts or stops it`))
	for _, node := range []string{"n1", "n2"} {
		b.visit("/service/shop", 200) // where it can go stands on the page from the start
		b.enter("#move select", node)
		b.press("#move form.row button")
		b.visit("/map?service=shop", 200)
		b.sees(thing(node), regexp.MustCompile(`● shop`))
	}
	b.judge("map-after-the-move", false)

	walkTheNode(b)
	walkTheLivePage(b)

	// All pages there are, while the cluster is whole.
	b.visit("/", 200)
	paths := eval[[]string](b, `[...document.querySelectorAll("nav a")].map(a => a.getAttribute("href"))`)
	if len(paths) < 10 {
		t.Fatalf("the menu has only %q", paths)
	}
	for _, path := range append(paths, "/service/web", "/config/shop", "/config-new", "/map?service=web", "/lsdb?kind=opaque", "/events?level=warning") {
		b.visit(path, 200)
		b.judge("page"+slug.ReplaceAllString(strings.ToLower(path), "-"), false)
	}
	b.visit("/no/such/page", 404)
	b.judge("no-such-page", true) // the browser complains of the 404

	walkWithoutScript(b, paths)

	// The node that runs it dies while somebody looks at the events of another.
	b.visit("/service/shop", 200)
	b.sees("h1", regexp.MustCompile(`runs on n2`))
	b.visit("/events?service=shop", 200)
	if err := l.Cut("n2", lab.Silent); err != nil {
		t.Fatal(err)
	}
	b.sees("#failovers tbody tr", regexp.MustCompile(`(?s)failover.*shop.*n2.*n1`)) // the newest comes first
	b.judge("events-after-the-loss", false)
	b.visit("/map?service=shop", 200)
	b.sees(thing("n1"), regexp.MustCompile(`● shop`))
	b.judge("map-after-the-loss", false)
	b.visit("/", 200)
	b.judge("overview-after-the-loss", false)
}

// walkTheNode takes the node and the cluster through their commands, from n1's
// page of administration.
func walkTheNode(b *browser) {
	b.visit("/admin", 200)
	b.press("#do-cluster-freeze")
	b.sees("#node", regexp.MustCompile(`frozen: no node starts or stops anything`))
	b.judge("cluster-frozen", false)
	b.visit("/", 200)
	b.sees("#problems", regexp.MustCompile(`the cluster is frozen`))
	b.visit("/admin", 200)
	b.press("#do-cluster-unfreeze")
	b.sees("#node", regexp.MustCompile(`not frozen`))
	b.press("#do-maintenance")
	b.sees("#node", regexp.MustCompile(`maintenance`))
	b.judge("node-in-maintenance", false)
	b.press("#do-online")
	b.sees("#node", regexp.MustCompile(`online`))
	b.press("#do-drain")
	b.sees(".said", regexp.MustCompile(`nothing runs here any more|the node drains; `))
	b.sees("#node", regexp.MustCompile(`standby`))
	b.gone("#node", regexp.MustCompile(`draining`))
	b.press("#do-online")
	b.sees("#node", regexp.MustCompile(`online`))
	// The next page comes from another srrd than the one that was asked for it.
	b.press("#do-reexec")
	b.sees("#events", regexp.MustCompile(`srrd \S+ has taken over from \S+, as root wanted`))
	b.sees("#lamp", regexp.MustCompile(`^live$`))
	b.judge("events-after-a-reexecution", false)
}

// walkTheLivePage looks at what the script does between two pages: it follows
// the cluster where one is, and never shows for fresh what is not. shop runs on
// n2 by a pin; the page is n1's.
func walkTheLivePage(b *browser) {
	// The cluster changes while somebody reads: the words follow, the page is not
	// loaded again, and it does not jump.
	b.visit("/service/shop", 200)
	b.sees("h1", regexp.MustCompile(`runs on n2`))
	b.sees("#lamp", regexp.MustCompile(`^live$`))
	eval[bool](b, `(window.walked = true, window.scrollTo(0, 300), document.querySelector("#do-status").focus({preventScroll: true}), document.querySelector("#move input[name=for]").value = "90s", true)`)
	before := eval[int64](b, `Math.round(scrollY)`)
	if before == 0 {
		b.t.Error("the page of a service is too short to be scrolled")
	}
	b.srrsh("n2", "service shop stop")
	b.sees("h1", regexp.MustCompile(`stopped by an operator`))
	b.sees("#events", regexp.MustCompile(`(?s)stop by`))
	for js, want := range map[string]string{
		`String(window.walked)`:                                                  "true", // the same page
		`document.activeElement.id`:                                              "do-status",
		`document.querySelector("#move input[name=for]").value`:                  "90s", // what was typed
		`String(Math.abs(Math.round(scrollY) - ` + fmt.Sprint(before) + `) < 2)`: "true",
	} {
		if got := eval[string](b, js); got != want {
			b.t.Errorf("after an update %s is %q, want %q", js, got, want)
		}
	}
	b.srrsh("n2", "service shop start")
	b.sees("h1", regexp.MustCompile(`runs on n2`))

	// srrd of this page hangs: what is shown is no longer taken for true, its
	// age is told, and no green is left.
	green := `getComputedStyle(document.querySelector("section[data-live]")).filter`
	if got := eval[string](b, green); got != "none" {
		b.t.Errorf("a live page is drawn with %q", got)
	}
	if err := b.lab.Freeze("n1", "srrd"); err != nil {
		b.t.Fatal(err)
	}
	b.sees("#lamp", regexp.MustCompile(`no answer from this node for 1[2-9]s|no answer from this node for [2-9]\ds`))
	if got := eval[string](b, green); got != "grayscale(1)" {
		b.t.Errorf("a page without answers is drawn with %q", got)
	}
	b.picture("live-lost")
	if err := b.lab.Thaw("n1", "srrd"); err != nil {
		b.t.Fatal(err)
	}
	b.sees("#lamp", regexp.MustCompile(`^live$`))

	token := `document.querySelector("#move input[name=token]").value`
	former := eval[string](b, token)

	// It ends, and begins again: the page says so at once, comes back by itself,
	// and its forms are good for the new run.
	if err := b.lab.Kill("n1", "srrd", syscall.SIGKILL); err != nil {
		b.t.Fatal(err)
	}
	b.sees("#lamp", regexp.MustCompile(`no answer from this node`))
	if err := b.lab.Start(b.t.Context(), "n1", "srrd"); err != nil {
		b.t.Fatal(err)
	}
	b.sees("#lamp", regexp.MustCompile(`^live$`))
	b.sees("h1", regexp.MustCompile(`runs on n2`))
	b.await(`its forms are of the new run`, token+` !== `+quoted(former))
	if eval[string](b, `String(window.walked)`) != "true" {
		b.t.Error("the page was loaded again")
	}
	b.forget() // the console's complaints of the connection that broke
	eval[bool](b, `(document.querySelector("#move input[name=for]").value = "", true)`)
	b.enter("#move select", "n2")
	b.press("#move form.row button")
	b.sees(".said", regexp.MustCompile(`moved to n2`))
}

// walkWithoutScript goes through the pages of a reader whose browser runs no
// script: every fact is there, and all that changes something is a form. shop
// runs on n2, and does so at the end.
func walkWithoutScript(b *browser, menu []string) {
	script := func(off bool) {
		do(b, "switching script", func(ctx context.Context) (cdp.Empty, error) {
			return chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: off})
		})
	}
	script(true)
	defer script(false)
	for _, path := range menu {
		b.visit(path, 200)
		if eval[bool](b, `document.documentElement.classList.contains("js")`) {
			b.t.Fatalf("%s: script runs", path)
		}
		if text := b.text("main"); len(strings.Fields(text)) < 10 {
			b.t.Errorf("%s shows only %q", path, text)
		}
		// Of what can be pressed nothing waits for script.
		if lone := eval[[]string](b, `[...document.querySelectorAll("button")].filter(e => !e.form || e.type !== "submit").map(e => e.textContent)`); len(lone) > 0 {
			b.t.Errorf("%s: buttons that send nothing: %q", path, lone)
		}
		b.picture("no-script" + slug.ReplaceAllString(path, "-"))
	}

	again := func(path, selector string, want *regexp.Regexp) { // as a person does: by loading the page again
		b.t.Helper()
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		defer cancel()
		if err := b.lab.Wait(ctx, func() error {
			b.visit(path, 200)
			if got := b.text(selector); !want.MatchString(got) {
				return fmt.Errorf("%s of %s does not show %q:\n%s", selector, path, want, strings.Join(strings.Fields(got), " "))
			}
			return nil
		}); err != nil {
			b.t.Fatal(err)
		}
	}
	again("/service/shop", "h1", regexp.MustCompile(`runs on n2`))
	b.press("#do-status")
	b.picture("no-script-status")
	b.press("#do-stop")
	again("/service/shop", "h1", regexp.MustCompile(`stopped by an operator`))
	b.press("#do-start")
	again("/service/shop", "h1", regexp.MustCompile(`runs on n2`))
	b.press("#do-freeze")
	again("/service/shop", "#facts", regexp.MustCompile(`no node starts or stops it`))
	b.press("#do-unfreeze")
	again("/map?service=shop", thing("n2"), regexp.MustCompile(`● shop`))
	b.visit("/config/shop", 200)
	b.enter("#f-check\\.interval", "30s")
	b.press(`form .fields ~ p button`)
	if text := b.text("#changes"); !strings.Contains(text, "30s") {
		b.t.Errorf("what would change: %q", text)
	}
	b.picture("no-script-form")
	b.visit("/router/ospfd", 200)
	b.press(`form.presets button`)
	if text := b.text("#output pre"); !strings.Contains(text, "Neighbor ID") {
		b.t.Errorf("ospfd's answer: %q", text)
	}
	// Who has no script asks for the page to be loaded again by itself.
	b.visit("/services", 200)
	b.enter(`.switch select[name="refresh"]`, "5")
	b.press(".switch button")
	if at := eval[string](b, `location.pathname + location.search`); !strings.HasPrefix(at, "/services?") || !strings.Contains(at, "refresh=5") {
		b.t.Errorf("the choice of refreshing leads to %q", at)
	}
	b.visit("/admin", 200)
	b.press("#do-maintenance")
	again("/admin", "#node", regexp.MustCompile(`maintenance`))
	b.press("#do-online")
	again("/admin", "#node", regexp.MustCompile(`online`))
	b.forget()
}

// thing is what the map draws for a node.
func thing(node string) string { return fmt.Sprintf("#map g[data-name=%q]", node) }
