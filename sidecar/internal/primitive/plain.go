package primitive

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
)

// A plain recipe is one that make could not do anything else with than hand it to
// the shell as it is written: then srrd does that itself, and make's own cost, some
// milliseconds of every failover, is saved. All rules below are there to be sure;
// whatever they do not know is left to make.
//
//   - The target is phony, has no prerequisites, no variables of its own, and its
//     recipe is one command at most, continued over lines or not. A recipe of
//     nothing but `:` runs nothing at all, as make itself does with it.
//   - Of make's expansions it has only $$, $@, variables that the Makefile sets in
//     one line (of which the same is true), those of the environment, and
//     $(firstword ...) of such.
//   - The Makefile, and what it includes, say nothing that would make reading it
//     depend on anything but its text (shell, wildcard, the goal, an include that
//     may be missing), or that changes how make runs recipes or what they find in
//     their environment (SHELL, export, special targets). Variables of the
//     environment of primitives appear nowhere but in recipes.
//   - No file that make read has changed since, and none had changed in the
//     second before make was asked: two changes within a tick of the clock cannot be
//     told apart.

// plain is what a target's recipe comes to.
type plain struct {
	nothing bool   // there is nothing to run
	text    string // else: the command, not yet expanded
	ignore  bool   // its failure does not count: -
}

// settledFor is how old the last change of a file must be for its stamp to be trusted.
const settledFor = time.Second

// recipes are the plain recipes of one directory.
type recipes struct {
	plain map[string]plain  // by target
	vars  map[string]string // set in one line by the Makefile, not expanded
	words map[string]bool   // all identifiers outside of recipes
}

// forbidden is what may stand nowhere in the text of a plain Makefile, recipes
// included: there a word too many only costs some milliseconds.
var forbidden = regexp.MustCompile(`(?m)` +
	// Directives, and variables that change how make works or what recipes see.
	`\b(export|unexport|define|undefine|override|private|load|sinclude|vpath|VPATH|GPATH|` +
	`MAKEFLAGS|MFLAGS|GNUMAKEFLAGS|MAKEOVERRIDES|MAKELEVEL|MAKECMDGOALS|MAKEFILES|MAKE_RESTARTS|MAKE_TERMOUT|MAKE_TERMERR|SHELL)\b` +
	`|-include\b|^[ ]*include\b.*[*?[]|!=|::=|\.[A-OQ-Z][A-Z_]+|\.P[A-GI-Z][A-Z_]*` +
	// Functions that look at more than the text, or say something.
	`|\$[({](shell|wildcard|realpath|file|eval|guile|info|warning|error|origin|flavor|value|call)[ \t]`)

var (
	identifier = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
	wholeName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	ruleHead   = regexp.MustCompile(`^[^\t#=]*:([^=].*)?$`)
	condition  = regexp.MustCompile(`^ *(ifeq|ifneq|ifdef|ifndef|else|endif)\b`)
	setInLine  = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*) :?= ?(.*)$`)
)

// searched is where make looks for what it includes, beside the directory itself.
var searched = []string{"/usr/include/", "/usr/local/include/", "/usr/gnu/include/"}

// withoutComments leaves out lines that are surely comments.
func withoutComments(text string) string {
	var kept []string
	before := ""
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(strings.TrimLeft(line, " "), "#") || strings.HasSuffix(line, `\`) || strings.HasSuffix(before, `\`) {
			kept = append(kept, line)
		}
		before = line
	}
	return strings.Join(kept, "\n")
}

// ofMake tells whether a variable of the environment means something to make.
func ofMake(name string) bool {
	switch name {
	case "MFLAGS", "GNUMAKEFLAGS", "VPATH", "GPATH", "CURDIR", "SUFFIXES", "POSIXLY_CORRECT":
		return true
	}
	return strings.HasPrefix(name, "MAKE")
}

// readRecipes finds the plain recipes, from make's database and the text of all
// Makefiles it was made of. Nil: none is.
func readRecipes(db []byte, texts [][]byte, makefiles []string) *recipes {
	r := &recipes{plain: map[string]plain{}, vars: map[string]string{}, words: map[string]bool{}}
	for _, text := range texts {
		if forbidden.MatchString(withoutComments(string(text))) || strings.ContainsRune(string(text), '\r') {
			return nil
		}
		r.collectWords(string(text))
	}
	for _, f := range makefiles {
		if slices.ContainsFunc(searched, func(dir string) bool { return strings.HasPrefix(f, dir) }) {
			return nil // one nearer would come before it
		}
	}
	if !strings.Contains(string(db), "\n# No pattern-specific variable values.\n") {
		return nil
	}
	all := slices.Collect(lines(db))
	r.collectVariables(all)
	for _, b := range targetBlocks(all) {
		name, ok := strings.CutSuffix(b[0], ":")
		if !ok || !wholeName.MatchString(name) {
			if slices.Contains(makefiles, strings.SplitN(b[0], ":", 2)[0]) {
				return nil // it would be made anew before it is read
			}
			continue
		}
		if p, ok := plainBlock(b); ok {
			r.plain[name] = p
		}
	}
	return r
}

// collectWords notes the identifiers of all lines that are not surely recipes or
// comments. A line that begins with a tab is a recipe's only while a rule is open.
func (r *recipes) collectWords(text string) {
	open, comment, continued := false, false, false
	for _, line := range strings.Split(text, "\n") {
		more := strings.HasSuffix(line, "\\")
		switch trimmed := strings.TrimLeft(line, " "); {
		case continued && comment: // of a comment: the rest of it
		case continued && open && strings.HasPrefix(line, "\t"): // of a recipe
		case continued:
			open = false
			r.addWords(line)
		case strings.HasPrefix(line, "\t") && open:
		case strings.TrimSpace(line) == "":
		case strings.HasPrefix(trimmed, "#"):
			comment = true
			continued = more
			continue
		case condition.MatchString(line):
			r.addWords(line)
		default:
			open = ruleHead.MatchString(line)
			r.addWords(line)
		}
		if continued = more; !more {
			comment = false
		}
	}
}

func (r *recipes) addWords(line string) {
	for _, w := range identifier.FindAllString(line, -1) {
		r.words[w] = true
	}
}

// collectVariables takes the variables that make has from a Makefile.
func (r *recipes) collectVariables(all []string) {
	for i, line := range all {
		if strings.HasPrefix(line, "# Files") {
			return
		}
		if !strings.HasPrefix(line, "# makefile (from ") || i+1 == len(all) {
			continue
		}
		if m := setInLine.FindStringSubmatch(all[i+1]); m != nil && m[1] != "MAKEFILE_LIST" {
			r.vars[m[1]] = m[2]
		}
	}
}

// targetBlocks are the targets of make's database, a block of lines each.
func targetBlocks(all []string) [][]string {
	var out [][]string
	var cur []string
	inFiles, not, continued := false, false, false
	flush := func() {
		if len(cur) > 0 && !not {
			out = append(out, cur)
		}
		cur, not = nil, false
	}
	for _, line := range all {
		switch {
		case strings.HasPrefix(line, "# Files"):
			inFiles = true
		case strings.HasPrefix(line, "# files hash-table stats"):
			flush()
			return out
		case !inFiles:
		case continued || line != "":
			if line == "# Not a target:" && len(cur) == 0 {
				not = true
				break
			}
			cur = append(cur, line)
			continued = strings.HasPrefix(cur[len(cur)-1], "\t") && odd(line) || continued && odd(line)
		default:
			flush()
		}
	}
	return out
}

// odd tells whether a line is continued: it ends in an odd number of backslashes.
func odd(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// plainBlock reads the block of one target.
func plainBlock(b []string) (plain, bool) {
	phony := false
	var recipe []string
	for i, line := range b[1:] {
		switch {
		case line == "#  Phony target (prerequisite of .PHONY).":
			phony = true
		case line == "#  Implicit rule search has not been done.", line == "#  File does not exist.", line == "#  File has not been updated.":
		case strings.HasPrefix(line, "#  recipe to execute (from "):
			recipe = b[i+2:]
		default:
			if recipe == nil {
				return plain{}, false // prerequisites, variables of its own, what not
			}
		}
		if recipe != nil {
			break
		}
	}
	if !phony {
		return plain{}, false // a file of that name would count
	}
	var commands []string
	for i := 0; i < len(recipe); i++ {
		line, ok := strings.CutPrefix(recipe[i], "\t")
		if !ok {
			return plain{}, false
		}
		for odd(line) {
			if i++; i == len(recipe) {
				return plain{}, false
			}
			line += "\n" + strings.TrimPrefix(recipe[i], "\t")
		}
		commands = append(commands, line)
	}
	var p plain
	p.nothing = true
	for _, c := range commands {
		text := strings.TrimLeft(c, "@- \t")
		if strings.HasPrefix(text, "+") {
			return plain{}, false
		}
		if text == "" || text == ":" {
			continue
		}
		if !p.nothing {
			return plain{}, false // several commands: make runs one shell after the other
		}
		p = plain{text: text, ignore: strings.Contains(c[:len(c)-len(text)], "-")}
	}
	return p, true
}

// expansion is the writing out of one command. A variable may name itself, or
// others twice that name others twice; the Makefile may be a stranger's, and this
// is srrd's own process.
type expansion struct {
	target string
	env    map[string]string
	room   int // for bytes, and one for each reference
	depth  int // of references
}

const (
	// maxExpansion is what the kernel takes for one argument (MAX_ARG_STRLEN,
	// execve(2)).
	maxExpansion = 128 << 10
	maxDepth     = 16
)

// expand writes out what make would hand to the shell. Not ok: that is for make
// to say.
func (r *recipes) expand(x *expansion, text string) (string, bool) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		if x.room -= len(before) + 1; x.room < 0 {
			return "", false
		}
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		if rest == "" {
			return "", false
		}
		switch rest[0] {
		case '$':
			b.WriteByte('$')
			text = rest[1:]
		case '@':
			b.WriteString(x.target)
			text = rest[1:]
		case '(', '{':
			inner, after, ok := reference(rest)
			if !ok {
				return "", false
			}
			v, ok := r.refer(x, inner)
			if !ok {
				return "", false
			}
			if x.room -= len(v); x.room < 0 {
				return "", false
			}
			b.WriteString(v)
			text = after
		default:
			return "", false
		}
	}
}

// reference splits a text that begins with ( or { behind the bracket that closes it.
func reference(s string) (inner, after string, ok bool) {
	open, shut, depth := s[0], byte(')'), 0
	if open == '{' {
		shut = '}'
	}
	for i := range len(s) {
		switch s[i] {
		case open:
			depth++
		case shut:
			if depth--; depth == 0 {
				return s[1:i], s[i+1:], true
			}
		case '\n', '\\':
			return "", "", false // make folds lines within a reference
		}
	}
	return "", "", false
}

func (r *recipes) refer(x *expansion, inner string) (string, bool) {
	if inner == "@" {
		return x.target, true
	}
	if x.depth == maxDepth {
		return "", false
	}
	x.depth++
	defer func() { x.depth-- }()
	if list, ok := strings.CutPrefix(inner, "firstword "); ok {
		v, ok := r.expand(x, list)
		if f := strings.Fields(v); ok && len(f) > 0 {
			return f[0], true
		}
		return "", ok
	}
	if !wholeName.MatchString(inner) {
		return "", false
	}
	if v, ok := r.vars[inner]; ok {
		return r.expand(x, v)
	}
	v, ok := x.env[inner]
	if !ok || strings.ContainsAny(v, "$\n") {
		return "", false // make would expand it
	}
	return v, true
}

// command gives what to hand to the shell for a target, "" for nothing at all.
// Not ok: make has to run it.
func (r *recipes) command(target string, environment []string) (line string, ignore, ok bool) {
	p, ok := r.plain[target]
	if !ok {
		return "", false, false
	}
	if r.words["LC_ALL"] { // make had it when it was asked, and has it at no run
		return "", false, false
	}
	env := make(map[string]string, len(environment))
	for _, e := range environment {
		k, v, _ := strings.Cut(e, "=")
		if r.words[k] || ofMake(k) {
			return "", false, false // the Makefile may be another one with it
		}
		env[k] = v
	}
	if p.nothing {
		return "", false, true
	}
	line, ok = r.expand(&expansion{target: target, env: env, room: maxExpansion}, p.text)
	if ok && strings.Trim(line, " \t\n") == "" {
		return "", false, true
	}
	// What stands before the command after expansion would be taken for make's.
	if ok && (strings.ContainsAny(line[:1], "@+- \t") || strings.IndexByte(line, 0) >= 0) {
		return "", false, false
	}
	return line, p.ignore, ok
}

// asShell is the environment that make would give a recipe.
func asShell(env []string) []string {
	return append(slices.Clone(env), "MAKEFLAGS=s", "MFLAGS=-s", "MAKELEVEL=1")
}

// Plain gives what to hand to the shell for a primitive, if its recipe is plain
// and nothing has changed since make was asked; it never asks make itself.
func (t *Targets) Plain(dir, user string, p machine.Primitive, env []string) (line string, ignore, ok bool) {
	t.mu.Lock()
	a := t.known[reading{dir, user}]
	t.mu.Unlock()
	if a == nil || a.recipes == nil || !a.fresh() {
		return "", false, false
	}
	return a.recipes.command(p.String(), env)
}

// Settle is Refresh, and once more when what was too young has settled: else the first
// takeover after a change, when nothing may be late, would be what finds that out,
// with make beside it. Files that change for ever are left to the next run.
func (t *Targets) Settle(ctx context.Context, dir, user string) {
	if !t.Refresh(ctx, dir, user) {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(t.settleFor()):
		t.Refresh(ctx, dir, user)
	}
}

func (t *Targets) settleFor() time.Duration { return cmp.Or(t.settled, settledFor) }

// Refresh asks make about a directory again if what is known of it is too old, or
// was too young to be trusted, and reports whether it still is that. Callers at the
// same time do not wait.
func (t *Targets) Refresh(ctx context.Context, dir, user string) (young bool) {
	of := reading{dir, user}
	t.mu.Lock()
	a := t.known[of]
	if a != nil && !a.young && a.fresh() || t.asking[of] {
		t.mu.Unlock()
		return false
	}
	if t.asking == nil {
		t.asking = map[reading]bool{}
	}
	t.asking[of] = true
	t.mu.Unlock()
	a, err := t.ask(ctx, of)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.asking, of)
	if err != nil { // make will say it itself, at each run
		return false
	}
	t.put(of, a)
	return a.young
}

// oldEnough reports whether no file was changed shortly before make was asked, or
// since. One from the far future is of before the clock was set back.
func (a *answer) oldEnough(asked time.Time, settled time.Duration) bool {
	for _, s := range a.stamps {
		if s != (stamp{}) && asked.Sub(s.ctime).Abs() < settled {
			return false
		}
	}
	return true
}

// texts reads all Makefiles of an answer; not ok if one cannot be.
func texts(dir string, makefiles []string) ([][]byte, bool) {
	var all [][]byte
	for _, f := range makefiles {
		if !filepath.IsAbs(f) {
			f = filepath.Join(dir, f)
		}
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, false
		}
		all = append(all, b)
	}
	return all, len(all) > 0
}
