package sim_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// A schedule that breaks a rule is written down as a story, shortened: the
// cluster and its seed under known, what is done to it under event, and below
// that nothing is broken, for so it should end. The stories of failures that
// were mended are kept and played again.

var (
	update  = flag.Bool("update", false, "rewrite the goldens")
	stories = flag.String("stories", "", "`directory` of cluster stories, to play and to write to; off writes none")
)

// storyDir is where they are kept.
const storyDir = "../../../testdata/scenario/cluster"

// artifacts is where they are written where the sources are not to be changed;
// git ignores it.
const artifacts = "../../../artifacts"

// kindWords name the kinds of deeds in stories; kinds of one name are one.
var kindWords = [kinds]string{"kill srrd", "start srrd", "start srrd", "kill ospfd", "start ospfd", "start ospfd", "power off", "boot", "boot", "cut",
	"partition", "isolate", "heal", "heal", "move", "move for 20s", "start or stop", "enable or disable", "standby or online", "script start",
	"script stop", "shut down", "change preference", "script activate", "break", "break", "remove or put back", "forget", "change address", "restart or check",
	"partition", "move", "freeze service", "maintain or drain", "freeze cluster", "hang srrd", "kill zebra", "kill zebra", "start zebra", "start zebra",
	"refuse address", "delete address", "restart ospfd", "fail disk", "leap clock", "leap clock and reboot", "freeze node", "freeze node", "script check", "script others",
	"freeze node when it claims", "move to a node that is frozen when it claims"}

// words write a deed, for the story.
func (d deed) words(w world) string {
	names := w.names()
	return fmt.Sprintf("%s on n%d with n%d of %s by %d, then %s", kindWords[d.kind], d.i%w.max+1, d.j%w.max+1, names[d.service%len(names)], d.arg, d.wait)
}

var deedWords = regexp.MustCompile(`^(.+) on n(\d+) with n(\d+) of (\S+) by (\d+), then (\S+)$`)

// parseDeed reads it.
func parseDeed(w world, line string) (deed, error) {
	m := deedWords.FindStringSubmatch(line)
	if m == nil {
		return deed{}, fmt.Errorf("%q is no deed: KIND on nI with nJ of SERVICE by NUMBER, then TIME", line)
	}
	d := deed{kind: slices.Index(kindWords[:], m[1]), service: slices.Index(w.names(), m[4])}
	if d.kind < 0 || d.service < 0 {
		return deed{}, fmt.Errorf("%q: no such kind, or service", line)
	}
	var err [4]error
	d.i, err[0] = strconv.Atoi(m[2])
	d.j, err[1] = strconv.Atoi(m[3])
	d.arg, err[2] = strconv.ParseUint(m[5], 10, 64)
	d.wait, err[3] = time.ParseDuration(m[6])
	for _, e := range err {
		if e != nil {
			return deed{}, e
		}
	}
	d.i, d.j = d.i-1, d.j-1
	return d, nil
}

// unbroken is how a story ends well.
const unbroken = "no rule is broken\n"

// story is the schedule as one; what it broke, and the trace of it, are said in
// front.
func (c schedule) story(trace string, wrong []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Seed %d on a cluster of the kind %q broke a rule: %s.\n#\n", c.seed, c.world.name, strings.Join(wrong, "; "))
	for line := range strings.Lines(storied(trace)) {
		fmt.Fprintf(&b, "#%s\n", strings.TrimRight(line, " \n"))
	}
	fmt.Fprintf(&b, "\nknown\ncluster %s\nseed %d\n----\n\nevent\n", c.world.name, c.seed)
	for _, d := range c.deeds {
		fmt.Fprintln(&b, d.words(c.world))
	}
	b.WriteString("----\n" + unbroken)
	return b.String()
}

// keep writes the story of a failure down, and says where.
func (c schedule) keep(trace string, wrong []string) string {
	if *stories == "off" {
		return ""
	}
	text := c.story(trace, wrong)
	name := fmt.Sprintf("seed-%d-%s.txt", c.seed, strings.ReplaceAll(c.world.name, " ", "-"))
	var why []string
	dirs := []string{storyDir, artifacts}
	switch {
	case *stories != "":
		dirs = []string{*stories}
	case os.Getenv("CI") != "":
		dirs = []string{artifacts}
	}
	for _, dir := range dirs {
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
		}
		if err == nil {
			if dir == storyDir {
				return "its story is " + filepath.Join(dir, name)
			}
			return "its story is " + filepath.Join(dir, name) + ":\n" + text
		}
		why = append(why, err.Error())
	}
	return fmt.Sprintf("its story could not be written (%s):\n%s", strings.Join(why, "; "), text)
}

// replay plays one story.
func replay(t *testing.T, path string) {
	var c schedule
	datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "known":
			c = schedule{}
			for line := range strings.Lines(d.Input) {
				what, of, _ := strings.Cut(strings.TrimSpace(line), " ")
				switch what {
				case "cluster":
					i := slices.IndexFunc(worlds, func(w world) bool { return w.name == of })
					if i < 0 {
						t.Fatalf("%s: no kind of cluster is called %q", d.Pos, of)
					}
					c.world = worlds[i]
				case "seed":
					n, err := strconv.ParseUint(of, 10, 64)
					if err != nil {
						t.Fatalf("%s: %v", d.Pos, err)
					}
					c.seed = n
				default:
					t.Fatalf("%s: %q is not known: cluster KIND, seed NUMBER", d.Pos, line)
				}
			}
			if c.world.config == nil {
				t.Fatalf("%s: what kind of cluster?", d.Pos)
			}
			return ""
		case "event":
			for line := range strings.Lines(d.Input) {
				e, err := parseDeed(c.world, strings.TrimSpace(line))
				if err != nil {
					t.Fatalf("%s: %v", d.Pos, err)
				}
				c.deeds = append(c.deeds, e)
			}
			_, wrong := c.play(false)
			if len(wrong) == 0 {
				return unbroken
			}
			return strings.Join(wrong, "\n") + "\n"
		}
		t.Fatalf("%s: %q: a story has the headings known and event", d.Pos, d.Cmd)
		return ""
	})
}

func TestClusterStoriesEndWell(t *testing.T) {
	if *update {
		if err := flag.Set("rewrite", "true"); err != nil {
			t.Fatal(err)
		}
	}
	dir := storyDir
	if *stories != "" && *stories != "off" {
		dir = *stories
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no stories in %s", dir)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) { replay(t, f) })
	}
}

// TestAScheduleIsItsStory plays schedules from what was written of them.
func TestAScheduleIsItsStory(t *testing.T) {
	for seed := range uint64(3 * len(worlds)) {
		c := randomSchedule(seed)
		again := schedule{seed: c.seed, world: c.world}
		for _, d := range c.deeds {
			e, err := parseDeed(c.world, d.words(c.world))
			if err != nil {
				t.Fatal(err)
			}
			again.deeds = append(again.deeds, e)
		}
		a, _ := c.play(true)
		b, _ := again.play(true)
		if a.Trace() != b.Trace() {
			t.Errorf("seed %d: the story is of something else:\n%s", seed, c.story("", nil))
		}
	}
}
