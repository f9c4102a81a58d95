package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Problem is one mistake in a topology.
type Problem struct {
	File string
	Pos
	Text string
}

func (p Problem) String() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Text)
}

// Problems is the error of Load, Parse and Validate: every mistake at once, in
// the order of the file.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

func (p Problems) sorted() Problems {
	sort.SliceStable(p, func(i, j int) bool {
		if p[i].Line != p[j].Line {
			return p[i].Line < p[j].Line
		}
		return p[i].Col < p[j].Col
	})
	return p
}

// decoder fills Go values from a YAML tree by the yaml tags of their fields.
// The library's own strict mode stops at the first mistake and gives no
// position for values that only a later check finds wrong; this one keeps both.
type decoder struct {
	file     string
	pos      map[string]Pos
	anchors  map[string]ast.Node
	problems Problems
}

func (d *decoder) problem(n ast.Node, format string, args ...any) {
	d.problems = append(d.problems, Problem{d.file, nodePos(n), fmt.Sprintf(format, args...)})
}

func nodePos(n ast.Node) Pos {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		n = m.Values[0].Key // a block mapping's own token is its first colon
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return Pos{}
	}
	p := n.GetToken().Position
	return Pos{p.Line, p.Column}
}

// decodeYAML parses src into v, a pointer to a struct.
func decodeYAML(file string, src []byte, v any) (map[string]Pos, Problems) {
	d := &decoder{file: file, pos: map[string]Pos{}, anchors: map[string]ast.Node{}}
	f, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil && ye.GetToken().Position != nil {
			p := ye.GetToken().Position
			return nil, Problems{{file, Pos{p.Line, p.Column}, ye.GetMessage()}}
		}
		return nil, Problems{{file, Pos{}, err.Error()}}
	}
	var body ast.Node
	for _, doc := range f.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			d.problem(doc.Body, "a topology is one document, this is a second")
			break
		}
		body = doc.Body
	}
	if body == nil {
		return nil, Problems{{file, Pos{1, 1}, "the file is empty; want at least hosts and links"}}
	}
	d.value(body, reflect.ValueOf(v).Elem(), "")
	return d.pos, d.problems
}

// resolve follows anchors and aliases.
func (d *decoder) resolve(n ast.Node) ast.Node {
	for range 32 { // an alias can name an alias; a bound instead of a cycle check
		switch x := n.(type) {
		case *ast.AnchorNode:
			d.anchors[x.Name.GetToken().Value] = x.Value
			n = x.Value
		case *ast.AliasNode:
			target, ok := d.anchors[x.Value.GetToken().Value]
			if !ok {
				d.problem(n, "alias *%s: no such anchor before it", x.Value.GetToken().Value)
				return nil
			}
			n = target
		case *ast.TagNode:
			n = x.Value
		default:
			return n
		}
	}
	d.problem(n, "anchors that refer to each other")
	return nil
}

// entries returns the pairs of a mapping, merge keys (<<) spread out; a key of
// the mapping itself wins over a merged one.
func (d *decoder) entries(n ast.Node) ([]*ast.MappingValueNode, bool) {
	var own []*ast.MappingValueNode
	switch x := n.(type) {
	case *ast.MappingNode:
		own = x.Values
	case *ast.MappingValueNode:
		own = []*ast.MappingValueNode{x}
	default:
		return nil, false
	}
	seen := map[string]bool{}
	var out, merged []*ast.MappingValueNode
	for _, e := range own {
		if e.Key.IsMergeKey() {
			if target := d.resolve(e.Value); target != nil {
				more, ok := d.entries(target)
				if !ok {
					d.problem(e.Value, "<<: want a mapping")
				}
				merged = append(merged, more...)
			}
			continue
		}
		if key := scalarText(e.Key); seen[key] {
			d.problem(e.Key, "%s: said twice", key)
		} else {
			seen[key] = true
			out = append(out, e)
		}
	}
	for _, e := range merged {
		if key := scalarText(e.Key); !seen[key] {
			seen[key] = true
			out = append(out, e)
		}
	}
	return out, true
}

func scalarText(n ast.Node) string {
	switch x := n.(type) {
	case *ast.StringNode:
		return x.Value
	case *ast.LiteralNode:
		return x.Value.Value
	}
	return n.GetToken().Value
}

var (
	addrType     = reflect.TypeFor[netip.Addr]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	durationType = reflect.TypeFor[time.Duration]()
)

func (d *decoder) value(n ast.Node, v reflect.Value, path string) {
	d.pos[path] = nodePos(n)
	n = d.resolve(n)
	if n == nil {
		return
	}
	_, null := n.(*ast.NullNode)
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if !null {
			d.value(n, v.Elem(), path)
		}
		return
	case null:
		return
	case v.Type() == addrType || v.Type() == prefixType || v.Type() == durationType:
		d.scalar(n, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Slice:
		d.slice(n, v, path)
	case reflect.Map:
		entries, ok := d.entries(n)
		if !ok {
			d.problem(n, "%s: want a mapping of names to texts", lastKey(path))
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for _, e := range entries {
			one := reflect.New(v.Type().Elem()).Elem()
			key := scalarText(e.Key)
			d.value(e.Value, one, path+"."+key)
			v.SetMapIndex(reflect.ValueOf(key), one)
		}
	default:
		d.scalar(n, v)
	}
}

func (d *decoder) slice(n ast.Node, v reflect.Value, path string) {
	elem := v.Type().Elem()
	key, named := keyField(elem)
	if seq, ok := n.(*ast.SequenceNode); ok && !named {
		v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
		for i, item := range seq.Values {
			d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
		return
	}
	entries, ok := d.entries(n)
	if !named || !ok {
		want := "a list"
		if named {
			want = "a mapping of names"
		}
		d.problem(n, "%s: want %s", lastKey(path), want)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(entries), len(entries)))
	for i, e := range entries {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.value(e.Value, v.Index(i), at)
		v.Index(i).Field(key).SetString(scalarText(e.Key))
		d.pos[at] = nodePos(e.Key) // a named thing is found at its name
	}
}

func (d *decoder) structure(n ast.Node, v reflect.Value, path string) {
	entries, ok := d.entries(n)
	if !ok {
		d.problem(n, "%s: want a mapping with %s", lastKey(path), strings.Join(fieldNames(v.Type()), ", "))
		return
	}
	for _, e := range entries {
		key := scalarText(e.Key)
		f, ok := fieldByTag(v, key)
		if !ok {
			d.problem(e.Key, "unknown key %q; known here: %s", key, strings.Join(fieldNames(v.Type()), ", "))
			continue
		}
		d.value(e.Value, f, path+"."+key)
	}
}

func (d *decoder) scalar(n ast.Node, v reflect.Value) {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		d.problem(n, "want a single value")
		return
	}
	text := scalarText(n)
	switch v.Type() {
	case addrType:
		a, err := netip.ParseAddr(text)
		if err != nil || !a.Is4() {
			d.problem(n, "%q: want an IPv4 address", text)
			return
		}
		v.Set(reflect.ValueOf(a))
		return
	case prefixType:
		p, err := netip.ParsePrefix(text)
		if err != nil || !p.Addr().Is4() {
			d.problem(n, "%q: want an IPv4 address with its prefix length, as 10.0.1.1/24", text)
			return
		}
		v.Set(reflect.ValueOf(p))
		return
	case durationType:
		t, err := time.ParseDuration(text)
		if err != nil {
			d.problem(n, "%q: want a duration, as 50ms", text)
			return
		}
		v.Set(reflect.ValueOf(t))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Int:
		i, err := strconv.Atoi(text)
		if err != nil {
			d.problem(n, "%q: want a whole number", text)
			return
		}
		v.SetInt(int64(i))
	default:
		d.problem(n, "a value of kind %s cannot be read here", v.Kind())
	}
}

// keyField finds the field that takes the key of a mapping read as a list.
func keyField(t reflect.Type) (int, bool) {
	if t.Kind() != reflect.Struct || t == addrType || t == prefixType {
		return 0, false
	}
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("lab") == "key" {
			return i, true
		}
	}
	return 0, false
}

func fieldByTag(v reflect.Value, key string) (reflect.Value, bool) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		switch tag := f.Tag.Get("yaml"); {
		case f.Anonymous:
			if inner, ok := fieldByTag(v.Field(i), key); ok {
				return inner, true
			}
		case tag == key && tag != "-" && tag != "":
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func fieldNames(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		switch tag := f.Tag.Get("yaml"); {
		case f.Anonymous:
			out = append(out, fieldNames(f.Type)...)
		case tag != "-" && tag != "":
			out = append(out, tag)
		}
	}
	return out
}

func lastKey(path string) string {
	if path == "" {
		return "topology"
	}
	return path[strings.LastIndexByte(path, '.')+1:]
}
