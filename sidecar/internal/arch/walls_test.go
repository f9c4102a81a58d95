package arch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/srrd/srrd/"

// wall is what a package may import of this module, and why so.
type wall struct {
	may []string
	why string
}

// walls holds every package of the module; test files may import more.
// "..." at the end stands for everything below.
var walls = map[string]wall{
	"ospfapi":                        {nil, "a protocol library anyone can import knows nothing of the daemon"},
	"ospfapi/ospfapitest":            {[]string{"ospfapi", "lsdb", "lsdb/lsa"}, "a scripted ospfd for the tests of ospfapi's users"},
	"zapi":                           {nil, "a protocol library anyone can import knows nothing of the daemon"},
	"zapi/zapitest":                  {[]string{"zapi"}, "a scripted zebra for the tests of zapi's users"},
	"vty":                            {nil, "a protocol library anyone can import knows nothing of the daemon"},
	"vty/vtytest":                    {[]string{"vty"}, "a scripted VTY for the tests of vty's users"},
	"lsdb":                           {[]string{"lsdb/lsa"}, "the mirror is plain data made of LSAs"},
	"lsdb/lsa":                       {nil, "LSA values know nothing of a database"},
	"lsdb/graph":                     {[]string{"lsdb", "lsdb/lsa"}, "paths are calculated over the mirror"},
	"sidecar/internal/advert":        {nil, "what is said on the wire depends on nobody"},
	"sidecar/internal/handover":      {nil, "it carries values of any type, and knows none"},
	"sidecar/internal/machine":       {[]string{"sidecar/internal/advert", "sidecar/internal/handover"}, "the heart does no I/O: it knows only what is said, and how to be carried over"},
	"sidecar/internal/sim":           {[]string{"sidecar/internal/machine", "sidecar/internal/advert"}, "simulated hosts need the heart and nothing real"},
	"sidecar/internal/config":        {[]string{"sidecar/internal/machine", "sidecar/internal/advert"}, "configuration becomes the machine's values, names obey advert's limits"},
	"sidecar/internal/state":         {[]string{"sidecar/internal/machine", "sidecar/internal/advert"}, "it writes the machine's memory, with its claims and pins, to disk"},
	"sidecar/internal/ospf":          {[]string{"sidecar/internal/handover", "ospfapi", "lsdb", "lsdb/lsa", "lsdb/graph", "sidecar/internal/advert", "sidecar/internal/machine"}, "a port: ospfd's words into events, actions into requests"},
	"sidecar/internal/zebra":         {[]string{"sidecar/internal/handover", "zapi", "sidecar/internal/machine"}, "a port: routes"},
	"sidecar/internal/address":       {[]string{"sidecar/internal/handover", "vty", "sidecar/internal/machine"}, "a port: addresses; its VTY driver speaks to zebra"},
	"sidecar/internal/primitive":     {[]string{"sidecar/internal/handover", "sidecar/internal/machine", "sidecar/internal/advert"}, "a port: primitives and marks"},
	"sidecar/internal/doctor":        {[]string{"vty"}, "it examines FRR over its VTY"},
	"sidecar/internal/recorder":      {[]string{"sidecar/internal/machine"}, "it writes down events and actions"},
	"sidecar/internal/view":          {[]string{"sidecar/internal/handover", "sidecar/internal/machine", "sidecar/internal/advert", "lsdb", "lsdb/lsa"}, "the snapshot shows machine and database"},
	"sidecar/internal/view/viewtest": {[]string{"sidecar/internal/view", "sidecar/internal/machine", "sidecar/internal/advert", "lsdb", "lsdb/lsa"}, "fixed snapshots for the tests of the faces"},
	"sidecar/internal/shell":         {[]string{"sidecar/internal/view", "sidecar/internal/machine", "sidecar/internal/advert"}, "a face reads snapshots and asks by Command"},
	"sidecar/internal/web":           {[]string{"sidecar/internal/view", "sidecar/internal/machine", "sidecar/internal/advert", "lsdb/graph"}, "a face reads snapshots and asks by Command; the map shows paths over the mirror"},
	"sidecar/internal/metrics":       {[]string{"sidecar/internal/view", "sidecar/internal/machine", "sidecar/internal/advert"}, "a face reads snapshots"},
	"sidecar/internal/daemon":        {[]string{"sidecar/internal/...", "vty", "ospfapi", "zapi", "lsdb", "lsdb/lsa", "lsdb/graph"}, "it wires everything, and nothing pretended"},
	"sidecar/internal/arch":          {nil, "a test only"},
	"sidecar/internal/tmpdeps":       {nil, "keeps dependencies until their users are there"},
	"sidecar/internal/man":           {nil, "it writes manual pages from command lines, whoever's they are"},
	"sidecar/cmd/srrd":               {[]string{"sidecar/internal/man", "sidecar/internal/config", "sidecar/internal/daemon", "sidecar/internal/doctor", "sidecar/internal/primitive", "vty"}, "a main parses flags and runs the daemon; doctor and --check-config also look at FRR and at Makefiles"},
	"sidecar/cmd/srrsh":              {[]string{"vty", "sidecar/internal/shell", "sidecar/internal/man", "sidecar/internal/whatif", "sidecar/internal/config", "sidecar/internal/machine"}, "the shell's client needs its words and the VTY, and simulates so that the daemon need not"},
	"sidecar/internal/whatif":        {[]string{"sidecar/internal/sim", "sidecar/internal/view", "sidecar/internal/machine", "sidecar/internal/advert"}, "a cluster as a view shows it, taken up in the simulator"},
	"sidecar/cmd/srrsim":             {[]string{"sidecar/internal/whatif", "sidecar/internal/sim", "sidecar/internal/recorder", "sidecar/internal/config", "sidecar/internal/machine"}, "runs simulations"},
	"deploy/lab":                     {[]string{"vty"}, "the lab drives real daemons from outside"},
	"deploy/lab/...":                 {[]string{"deploy/lab/...", "deploy/lab", "vty"}, "the lab drives real daemons from outside"},
	"deploy/lab/bench":               {[]string{"deploy/lab", "vty", "ospfapi", "lsdb/lsa"}, "the lab drives real daemons from outside; a bench floods 5,000 services of a stranger"},
	"deploy/lab/chaos":               {[]string{"deploy/lab", "vty", "ospfapi", "lsdb/lsa"}, "the lab drives real daemons from outside; a soak has a stranger of its own at ospfd"},
}

// never is what daemon may not import though it may import the rest.
var never = map[string]string{"sidecar/internal/sim": "the daemon depends on no pretence: whoever asks what would happen simulates it himself",
	"sidecar/internal/whatif": "the daemon depends on no pretence: whoever asks what would happen simulates it himself", "sidecar/internal/arch": "a test only"}

// simulates is who may, none of which the daemon imports.
var simulates = []string{"sidecar/internal/whatif", "sidecar/cmd/srrsim", "sidecar/cmd/srrsh"}

// pure packages have no clock, no goroutine, no lock and no I/O.
var pure = []string{"sidecar/internal/machine", "sidecar/internal/advert", "sidecar/internal/handover", "lsdb", "lsdb/lsa", "lsdb/graph"}

// impure is what the pure packages may not import, and why.
var impure = map[string]string{
	"sync": "one owner for each piece of state", "sync/atomic": "one owner for each piece of state", "context": "nothing waits here",
	"os": "no I/O", "net": "no I/O", "net/http": "no I/O", "io/fs": "no I/O", "log": "a Note is an action", "log/slog": "a Note is an action",
	"math/rand": "chance is an input", "math/rand/v2": "chance is an input", "crypto/rand": "chance is an input", "syscall": "no I/O",
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.mod above the test")
	return ""
}

// sources parses every file of the module that is no test, by package path.
func sources(t *testing.T) (map[string][]*ast.File, *token.FileSet) {
	t.Helper()
	fset, files, top := token.NewFileSet(), map[string][]*ast.File{}, root(t)
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != top && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, filepath.Dir(p))
		if err != nil {
			return err
		}
		files[filepath.ToSlash(rel)] = append(files[filepath.ToSlash(rel)], f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 5 {
		t.Fatalf("only %d packages found under %s", len(files), top)
	}
	return files, fset
}

func wallOf(pkg string) (wall, bool) {
	if w, ok := walls[pkg]; ok {
		return w, true
	}
	for dir := path.Dir(pkg); dir != "."; dir = path.Dir(dir) {
		if w, ok := walls[dir+"/..."]; ok {
			return w, true
		}
	}
	return wall{}, false
}

// objection is why pkg may not import what, "" if it may.
func objection(pkg, what string) string {
	w, ok := wallOf(pkg)
	if !ok {
		return "the package has no wall yet: write one into walls"
	}
	if why, bad := never[what]; bad && !slices.Contains(simulates, pkg) {
		return why
	}
	for _, m := range w.may {
		if m == what || strings.HasSuffix(m, "/...") && strings.HasPrefix(what, strings.TrimSuffix(m, "...")) {
			return ""
		}
	}
	return w.why
}

func TestNobodyImportsAcrossTheWalls(t *testing.T) {
	files, fset := sources(t)
	for pkg, fs := range files {
		for _, f := range fs {
			for _, im := range f.Imports {
				name, err := strconv.Unquote(im.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if what, ours := strings.CutPrefix(name, module); ours {
					if why := objection(pkg, what); why != "" {
						t.Errorf("%s: %s may not import %s: %s", fset.Position(im.Pos()), pkg, what, why)
					}
				}
				if slices.Contains(pure, pkg) {
					if why, bad := impure[name]; bad {
						t.Errorf("%s: %s may not import %s: %s", fset.Position(im.Pos()), pkg, name, why)
					}
				}
			}
		}
	}
}

// impurities lists what a pure file may not contain.
func impurities(f *ast.File) (bad []ast.Node, why []string) {
	add := func(n ast.Node, w string) { bad, why = append(bad, n), append(why, w) }
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			add(n, "a go statement")
		case *ast.ChanType:
			add(n, "a channel")
		case *ast.SendStmt:
			add(n, "a send")
		case *ast.SelectStmt:
			add(n, "a select")
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			if x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}, n.Sel.Name) {
				add(n, "the clock: time."+n.Sel.Name)
			}
			if x.Name == "sync" {
				add(n, "a lock: sync."+n.Sel.Name)
			}
		}
		return true
	})
	return bad, why
}

func TestTheHeartHasNoClockAndNoGoroutine(t *testing.T) {
	files, fset := sources(t)
	for _, pkg := range pure {
		if len(files[pkg]) == 0 {
			t.Errorf("no sources of %s", pkg)
		}
		for _, f := range files[pkg] {
			bad, why := impurities(f)
			for i := range bad {
				t.Errorf("%s: %s has %s", fset.Position(bad[i].Pos()), pkg, why[i])
			}
		}
	}
}

func TestTheWallsStopWhatTheyShould(t *testing.T) {
	for _, c := range []struct {
		pkg, what string
		allowed   bool
	}{
		{"sidecar/internal/machine", "sidecar/internal/advert", true},
		{"sidecar/internal/machine", "lsdb", false},
		{"sidecar/internal/daemon", "sidecar/internal/ospf", true},
		{"sidecar/internal/daemon", "sidecar/internal/sim", false},
		{"ospfapi", "lsdb", false},
		{"sidecar/internal/unheard-of", "lsdb", false},
		{"sidecar/cmd/srrsim", "sidecar/internal/sim", true},
	} {
		if got := objection(c.pkg, c.what) == ""; got != c.allowed {
			t.Errorf("%s importing %s: allowed %v, want %v", c.pkg, c.what, got, c.allowed)
		}
	}
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nfunc f() { c := make(chan int); go f(); c <- 1; _ = time.Now(); var m sync.Mutex; select {} }", 0)
	if err != nil {
		t.Fatal(err)
	}
	if bad, why := impurities(f); len(bad) != 6 {
		t.Errorf("found %v, want six impurities", why)
	}
}
