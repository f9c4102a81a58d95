package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// opt is a value of the raw layer: what was typed, and where.
type opt[T any] struct {
	V   T
	At  Position
	Set bool
}

// or is the value, or the default.
func (o opt[T]) or(def T) T {
	if o.Set {
		return o.V
	}
	return def
}

// first is the first of the two that was typed.
func first[T any](a, b opt[T]) opt[T] {
	if a.Set {
		return a
	}
	return b
}

// node is a value in a file, with the dotted path of its key.
type node struct {
	ast  ast.Node
	path string
	at   Position // of the key, until the value has a place of its own
}

// key is a row of a schema: how the value of one key of a mapping is read.
type key[T any] struct {
	name string
	sub  []string // the keys inside, where the value is a mapping
	read func(r *reader, n node, into *T)
}

func names[T any](keys []key[T]) []string {
	var all []string
	for _, k := range keys {
		all = append(all, k.name)
		for _, s := range k.sub {
			all = append(all, k.name+"."+s)
		}
	}
	return all
}

// lift makes the keys of a part keys of the whole.
func lift[T, U any](keys []key[U], part func(*T) *U) []key[T] {
	var all []key[T]
	for _, k := range keys {
		all = append(all, key[T]{k.name, k.sub, func(r *reader, n node, into *T) { k.read(r, n, part(into)) }})
	}
	return all
}

// nested is a key whose value is a mapping.
func nested[T, U any](name string, keys []key[U], part func(*T) *U) key[T] {
	return key[T]{name, names(keys), func(r *reader, n node, into *T) { readMapping(r, n, keys, part(into)) }}
}

// field is a key with a plain value: read returns it, or reports and says so.
func field[T, V any](name string, read func(*reader, node) (V, bool), at func(*T) *opt[V]) key[T] {
	return key[T]{name, nil, func(r *reader, n node, into *T) {
		if v, ok := read(r, n); ok {
			*at(into) = opt[V]{v, r.pos(n), true}
		}
	}}
}

// reader reads one file and gathers its problems.
type reader struct {
	file     string
	problems *Problems
	lines    []string // of the text, set by parse
}

func (r *reader) report(at Position, key, format string, args ...any) {
	*r.problems = append(*r.problems, Problem{at, key, fmt.Sprintf(format, args...)})
}

// reported tells whether something was found wrong with a key or inside it.
func (r *reader) reported(key string) bool {
	return slices.ContainsFunc(*r.problems, func(p Problem) bool {
		return p.File == r.file && (p.Key == key || strings.HasPrefix(p.Key, key+"."))
	})
}

func (r *reader) position(n ast.Node) Position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0]
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		n = m.Key
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return Position{File: r.file}
	}
	t := n.GetToken()
	return Position{r.file, t.Position.Line, r.column(t)}
}

// column is where a token begins. The scanner counts the spaces after a plain
// value to the column it begins in; the text itself shows where it stands.
func (r *reader) column(t *token.Token) int {
	line, col := t.Position.Line, t.Position.Column
	typed, _, _ := strings.Cut(strings.TrimSpace(t.Origin), "\n")
	if line < 1 || line > len(r.lines) || typed == "" {
		return col
	}
	text := []rune(r.lines[line-1])
	for c := min(col, len(text)); c >= 1; c-- {
		if strings.HasPrefix(string(text[c-1:]), typed) {
			return c
		}
	}
	return col
}

// pos is where the value stands; an empty value has only the place of its key.
func (r *reader) pos(n node) Position {
	if n.ast == nil || n.ast.Type() == ast.NullType {
		return n.at
	}
	if p := r.position(n.ast); p.Line > 0 {
		return p
	}
	return n.at
}

// wrong reports a value that is not what was wanted.
func (r *reader) wrong(n node, want string) {
	r.report(r.pos(n), n.path, "want %s, got %s", want, describe(n.ast))
}

func describe(n ast.Node) string {
	switch v := n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.StringNode:
		return strconv.Quote(clip(v.Value))
	case *ast.LiteralNode:
		return strconv.Quote(clip(v.Value.Value))
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + clip(n.GetToken().Value)
	case *ast.BoolNode:
		return n.GetToken().Value
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.AliasNode:
		return "an alias (write the value out)"
	case *ast.AnchorNode:
		return "an anchor (write the value where it is used)"
	case *ast.TagNode:
		return "a tagged value (leave the tag out)"
	}
	return "something else"
}

func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "..."
	}
	return s
}

// parse makes a tree of the text; nil when it is empty or no YAML, which is
// reported.
func (r *reader) parse(text []byte) (root ast.Node) {
	r.lines = strings.Split(string(text), "\n")
	// The text is foreign and the parser not ours: it must not be able to end
	// the daemon.
	defer func() {
		if p := recover(); p != nil {
			root = nil
			r.report(Position{File: r.file}, "", "not understood as YAML")
		}
	}()
	// Keys given twice are found by readMapping, together with everything else.
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		at := Position{File: r.file}
		text := err.Error()
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) {
			text = syntax.Message
			if syntax.Token != nil && syntax.Token.Position != nil {
				at.Line, at.Column = syntax.Token.Position.Line, syntax.Token.Position.Column
			}
		}
		line, _, _ := strings.Cut(text, "\n")
		r.report(at, "", "not YAML: %s", line)
		return nil
	}
	for _, d := range file.Docs {
		if d == nil || d.Body == nil {
			continue
		}
		if root != nil {
			r.report(r.position(d.Body), "", "a second document: one file holds one")
			return root
		}
		root = d.Body
	}
	return root
}

// readMapping reads every key of a mapping by its row.
func readMapping[T any](r *reader, n node, keys []key[T], into *T) {
	seen := map[string]Position{}
	for _, e := range r.entries(n, "a mapping with the keys "+wordList(topNames(keys))) {
		path := e.name
		if n.path != "" {
			path = n.path + "." + e.name
		}
		if before, ok := seen[e.name]; ok {
			r.report(e.at, path, "given twice; first in line %d", before.Line)
			continue
		}
		seen[e.name] = e.at
		i := slices.IndexFunc(keys, func(k key[T]) bool { return k.name == e.name })
		if i < 0 {
			r.report(e.at, path, "unknown key%s", suggest(e.name, topNames(keys)))
			continue
		}
		keys[i].read(r, node{e.value, path, e.at}, into)
	}
}

func topNames[T any](keys []key[T]) []string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.name
	}
	return all
}

type entry struct {
	name  string
	at    Position
	value ast.Node
}

// entries lists a mapping in the order of the file. An empty value is an empty
// mapping, so that a key can be left with all its inner keys commented out.
func (r *reader) entries(n node, want string) []entry {
	var values []*ast.MappingValueNode
	switch v := n.ast.(type) {
	case nil, *ast.NullNode:
	case *ast.MappingNode:
		values = v.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{v}
	default:
		r.wrong(n, want)
	}
	var all []entry
	for _, v := range values {
		at := r.position(v.Key)
		switch k := v.Key.(type) {
		case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			all = append(all, entry{k.GetToken().Value, at, v.Value})
		default:
			r.report(at, n.path, "want a plain word as key")
		}
	}
	return all
}

// text reads a string; a number or yes/no is taken as it was typed.
func (r *reader) text(n node, want string) (string, bool) {
	switch v := n.ast.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return v.GetToken().Value, true
	}
	r.wrong(n, want)
	return "", false
}

// list reads a list, or a single value as a list of one.
func (r *reader) list(n node, want string) []node {
	if s, ok := n.ast.(*ast.SequenceNode); ok {
		all := make([]node, 0, len(s.Values))
		for _, v := range s.Values {
			all = append(all, node{v, n.path, r.position(s)})
		}
		return all
	}
	if _, ok := r.text(n, want); !ok {
		return nil
	}
	return []node{n}
}

func boolean(r *reader, n node) (bool, bool) {
	switch v := n.ast.(type) {
	case *ast.BoolNode:
		return v.Value, true
	case *ast.StringNode:
		// YAML 1.2 took these two words away; people still write them.
		switch v.Value {
		case "yes":
			return true, true
		case "no":
			return false, true
		}
	}
	r.wrong(n, "yes or no")
	return false, false
}

func integer(lo, hi uint64) func(*reader, node) (uint64, bool) {
	return func(r *reader, n node) (uint64, bool) {
		want := fmt.Sprintf("a number from %d to %d", lo, hi)
		v, ok := n.ast.(*ast.IntegerNode)
		if !ok {
			r.wrong(n, want)
			return 0, false
		}
		u := uint64(math.MaxUint64)
		switch i := v.Value.(type) {
		case uint64:
			u = i
		case int64:
			if i >= 0 {
				u = uint64(i)
			}
		}
		if u == math.MaxUint64 || u < lo || u > hi {
			r.wrong(n, want)
			return 0, false
		}
		return u, true
	}
}

// duration reads 500ms, 2s, 1m30s; orZero also takes 0, which then means off.
func duration(lo, hi time.Duration, orZero bool) func(*reader, node) (time.Duration, bool) {
	return func(r *reader, n node) (time.Duration, bool) {
		want := fmt.Sprintf("a duration from %s to %s, such as 500ms or 2s", short(lo), short(hi))
		if orZero && lo > 0 {
			want = fmt.Sprintf("0 or a duration from %s to %s, such as 500ms or 2s", short(lo), short(hi))
		}
		s, ok := r.text(n, want)
		if !ok {
			return 0, false
		}
		d, err := time.ParseDuration(s)
		if _, number := n.ast.(*ast.IntegerNode); number && err != nil {
			r.report(r.pos(n), n.path, "want %s, got the number %s without a unit", want, clip(s))
			return 0, false
		}
		// What is flooded counts in milliseconds.
		if err != nil || d%time.Millisecond != 0 || (d < lo || d > hi) && !(orZero && d == 0) {
			r.wrong(n, want)
			return 0, false
		}
		return d, true
	}
}

// short is a duration without its zero parts: 1m and not 1m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// choice reads one of a few words.
func choice[V any](words []string, values []V) func(*reader, node) (V, bool) {
	return func(r *reader, n node) (V, bool) {
		var none V
		want := wordList(words)
		s, ok := r.text(n, want)
		if !ok {
			return none, false
		}
		i := slices.Index(words, s)
		if i < 0 {
			r.report(r.pos(n), n.path, "want %s, got %s%s", want, describe(n.ast), suggest(s, words))
			return none, false
		}
		return values[i], true
	}
}

// checked reads a string and converts it; convert's error tells what is wanted.
func checked[V any](want string, convert func(string) (V, error)) func(*reader, node) (V, bool) {
	return func(r *reader, n node) (V, bool) {
		s, ok := r.text(n, want)
		if !ok {
			var none V
			return none, false
		}
		v, err := convert(s)
		if err != nil {
			r.report(r.pos(n), n.path, "%s", err)
			return v, false
		}
		return v, true
	}
}

func anyText(want string) func(*reader, node) (string, bool) {
	return checked(want, func(s string) (string, error) {
		if s == "" {
			return "", fmt.Errorf("want %s, got an empty text", want)
		}
		if strings.ContainsAny(s, "\x00\n") {
			return "", fmt.Errorf("want %s in one line", want)
		}
		return s, nil
	})
}

func addrPort(s string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("want an address and a port such as 127.0.0.1:2607, got %q", clip(s))
	}
	return ap, nil
}

// wordList is "a", "a or b", "a, b or c".
func wordList(w []string) string {
	if len(w) < 2 {
		return strings.Join(w, "")
	}
	return strings.Join(w[:len(w)-1], ", ") + " or " + w[len(w)-1]
}

// suggest is "; did you mean X?" for a slip of the keyboard.
func suggest(typed string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if d := distance(strings.ToLower(typed), k, least); d < least && d < len(k)-1 {
			best, least = k, d
		}
	}
	if best == "" {
		// A word forgotten or added: timeout for claim_timeout.
		for _, k := range known {
			if len(typed) >= 4 && (strings.Contains(k, typed) || strings.Contains(typed, k) && len(k) >= 4) {
				best = k
				break
			}
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance is how many letters must be changed, added, removed or swapped to
// make b of a; enough or more is given back as enough.
func distance(a, b string, enough int) int {
	if len(a) > len(b)+enough || len(b) > len(a)+enough {
		return enough
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], enough)
}
