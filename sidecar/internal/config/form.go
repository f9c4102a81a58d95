package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Setting is one key of a file with what is to stand there.
type Setting struct {
	Key   string // dotted, such as check.interval
	Value string // a word or text; of a List, entries with commas between; "" takes the key out
	List  bool
}

// Typed gives the values of a service's file as they are typed, by dotted key:
// plain values as they read, lists with ", " between their entries, a mapping
// of one entry (a scope) as "area 0.0.0.1". What is anything else is left out.
// A text that is no YAML has none.
func Typed(text string) map[string]string {
	var problems Problems
	r := &reader{problems: &problems}
	all := map[string]string{}
	typed(r.parse([]byte(text)), "", all)
	return all
}

func typed(n ast.Node, prefix string, all map[string]string) {
	entries, ok := anyMapping(n)
	if !ok {
		return
	}
	for _, e := range entries {
		key := prefix + e.Key.GetToken().Value
		switch v := e.Value.(type) {
		case *ast.SequenceNode:
			var words []string
			for _, w := range v.Values {
				if s, ok := scalarText(node{ast: w}); ok {
					words = append(words, s)
				}
			}
			all[key] = strings.Join(words, ", ")
		default:
			if s, ok := scalarText(node{ast: v}); ok {
				all[key] = s
				continue
			}
			if inner, ok := anyMapping(v); ok && key == "scope" && len(inner) == 1 {
				if s, ok := scalarText(node{ast: inner[0].Value}); ok {
					all[key] = inner[0].Key.GetToken().Value + " " + s
				}
				continue
			}
			typed(v, key+".", all)
		}
	}
}

// anyMapping lists a mapping of either style; nothing is an empty one.
func anyMapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch v := n.(type) {
	case *ast.MappingNode:
		return v.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{v}, true
	}
	return nil, n == nil
}

// Edit sets keys in the text of a service's file and leaves everything else
// as it stands: order, comments, keys it is not told of. A value that is there
// already stays as it was typed. The result is not validated.
func Edit(text string, settings []Setting) (string, error) {
	if strings.TrimSpace(text) == "" {
		text = ""
	}
	old := Typed(text)
	for _, s := range settings {
		var err error
		switch {
		case old[s.Key] == s.Value:
			continue
		case s.Value == "" || s.List || s.Key == "scope":
			var at int
			if text, at, err = dropKey(text, s.Key); err == nil && s.Value != "" {
				text, err = addKey(text, at, s)
			}
		default:
			text, err = setScalar("", text, strings.Split(s.Key, "."), s.Value)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.Key, err)
		}
	}
	return text, nil
}

// addKey adds a key that is not there, before the line with the index at, or
// at the end if that is below 0.
func addKey(text string, at int, s Setting) (string, error) {
	written := scalar(s.Value)
	var words []string
	for w := range strings.SplitSeq(s.Value, ",") {
		if w = strings.TrimSpace(w); w != "" {
			words = append(words, scalar(w))
		}
	}
	for _, w := range words {
		if strings.ContainsAny(w, "[]{}\n") {
			return "", errors.New("want a list of names or addresses")
		}
	}
	switch {
	case !s.List:
	case len(words) == 1:
		written = words[0]
	default:
		written = "[" + strings.Join(words, ", ") + "]"
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if text == "" {
		lines = nil
	}
	if at < 0 || at > len(lines) {
		at = len(lines)
	}
	lines = slices.Insert(lines, at, s.Key+": "+written)
	return strings.Join(lines, "\n") + "\n", nil
}

// dropKey takes a key with its value out, and its mapping if that is left
// empty; at is the index of the line where it stood, -1 if it was not there.
func dropKey(text, key string) (rest string, at int, err error) {
	var problems Problems
	r := &reader{problems: &problems}
	root := r.parse([]byte(text))
	if len(problems) > 0 {
		return "", -1, problems
	}
	in, name := root, key
	if parent, child, ok := strings.Cut(key, "."); ok {
		entries, _ := mapping(root)
		i := slices.IndexFunc(entries, func(e *ast.MappingValueNode) bool { return e.Key.GetToken().Value == parent })
		if i < 0 {
			return text, -1, nil
		}
		inner, ok := mapping(entries[i].Value)
		if !ok {
			return "", -1, errShape
		}
		if len(inner) == 1 && inner[0].Key.GetToken().Value == child {
			return dropKey(text, parent)
		}
		in, name = entries[i].Value, child
	}
	entries, ok := mapping(in)
	if !ok {
		return "", -1, errShape
	}
	i := slices.IndexFunc(entries, func(e *ast.MappingValueNode) bool { return e.Key.GetToken().Value == name })
	if i < 0 {
		return text, -1, nil
	}
	lines := strings.Split(text, "\n")
	first := r.position(entries[i].Key).Line
	last := first
	ast.Walk(lineFinder(func(n ast.Node) {
		last = max(last, r.position(n).Line)
		if s, ok := n.(*ast.SequenceNode); ok && s.End != nil && s.End.Position != nil {
			last = max(last, s.End.Position.Line)
		}
		if s, ok := n.(*ast.LiteralNode); ok && s.Value != nil {
			last = max(last, r.position(n).Line+strings.Count(s.Value.GetToken().Origin, "\n")-1)
		}
	}), entries[i])
	if first < 1 || last > len(lines) {
		return "", -1, errShape
	}
	// Whatever else stands in these lines would be lost with them.
	before := Typed(text)
	out := strings.Join(slices.Delete(lines, first-1, last), "\n")
	after := Typed(out)
	for k, v := range before {
		if k != key && !strings.HasPrefix(k, key+".") && after[k] != v {
			return "", -1, errShape
		}
	}
	if _, still := after[key]; still {
		return "", -1, errShape
	}
	return out, first - 1, nil
}

// lineFinder visits every node.
type lineFinder func(ast.Node)

// Visit is called by ast.Walk.
func (f lineFinder) Visit(n ast.Node) ast.Visitor {
	f(n)
	return f
}
