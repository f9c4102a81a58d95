package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/google/renameio/v2"
)

// SetScalar sets the key at path (such as "check", "interval") in file to
// value and leaves everything else as it stands, comments and order too. A key
// that is not there is added. The file (of a link, what it points to) is
// replaced atomically and keeps its mode. It is not validated: the caller does that with Check and
// sets the old value again if need be. The value is written as a text or word
// that reads back as value: "yes", "100" and "2s" without quotes.
//
// It is an error if the file is no YAML, if something on the way is no
// mapping, or if what is there is a list, a mapping or a text of several
// lines; then nothing is written. Two callers at once for one file are not
// kept apart.
func SetScalar(file string, path []string, value string) error {
	file, err := filepath.EvalSymlinks(file)
	if err != nil {
		return fmt.Errorf("set %s: %w", strings.Join(path, "."), err)
	}
	old, err := readFile(file)
	if err != nil {
		return fmt.Errorf("set %s in %s: %w", strings.Join(path, "."), file, err)
	}
	text, err := setScalar(file, string(old), path, value)
	if err != nil {
		return fmt.Errorf("set %s in %s: %w", strings.Join(path, "."), file, err)
	}
	if err := renameio.WriteFile(file, []byte(text), 0o640, renameio.WithExistingPermissions()); err != nil {
		return fmt.Errorf("set %s: %w", strings.Join(path, "."), err)
	}
	return nil
}

// errShape is a place setScalar does not edit.
var errShape = errors.New("is no plain value here: edit the file by hand")

func setScalar(file, text string, path []string, value string) (string, error) {
	if len(path) == 0 || slices.Contains(path, "") || strings.ContainsFunc(value, unicode.IsControl) {
		return "", fmt.Errorf("want a key and a value in one line: %w", fs.ErrInvalid)
	}
	if strings.Contains(text, "\r") {
		return "", errors.New("the file has carriage returns: write it with plain line ends")
	}
	var problems Problems
	r := &reader{file: file, problems: &problems}
	root := r.parse([]byte(text))
	if len(problems) > 0 {
		return "", problems
	}
	written := scalar(value)
	lines := strings.Split(text, "\n")
	if err := edit(r, &lines, root, path, written); err != nil {
		return "", err
	}
	out := strings.Join(lines, "\n")
	if _, ok := mapping(r.parse([]byte(out))); !ok || len(problems) > 0 {
		return "", errShape
	}
	// The edit was one of text. Read both, and let only the one key differ.
	var before, after any
	if err := yaml.Unmarshal([]byte(text), &before); err != nil {
		return "", err
	}
	if err := yaml.Unmarshal([]byte(out), &after); err != nil {
		return "", fmt.Errorf("the result would be no YAML: %w", errShape)
	}
	var want any
	if err := yaml.Unmarshal([]byte(written), &want); err != nil {
		return "", err
	}
	if !reflect.DeepEqual(with(before, path, want), after) {
		return "", errShape
	}
	return out, nil
}

// with is tree with the value at path replaced.
func with(tree any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	m := map[string]any{}
	if old, ok := tree.(map[string]any); ok {
		for k, v := range old {
			m[k] = v
		}
	}
	m[path[0]] = with(m[path[0]], path[1:], value)
	return m
}

// scalar writes value so that it reads back as the same word.
func scalar(value string) string {
	plain := value != "" && !strings.HasSuffix(value, ":") && !strings.Contains(value, ": ") && !strings.Contains(value, " #") &&
		strings.TrimSpace(value) == value
	for i, c := range value {
		ok := c == '_' || c == '/' || unicode.IsLetter(c) || unicode.IsDigit(c) || i > 0 && strings.ContainsRune(".-:, ", c)
		plain = plain && ok
	}
	switch value {
	case "null", "Null", "NULL", "~":
		plain = false
	}
	if plain {
		return value
	}
	return strconv.Quote(value)
}

// edit changes lines so that path has the value.
func edit(r *reader, lines *[]string, root ast.Node, path []string, value string) error {
	at, indent, parent := root, 0, 0 // parent: index of the line after which a new key goes
	for depth, name := range path {
		entries, ok := mapping(at)
		if !ok {
			return errShape
		}
		i := slices.IndexFunc(entries, func(e *ast.MappingValueNode) bool { return e.Key.GetToken().Value == name })
		if i < 0 {
			if len(entries) > 0 {
				indent = r.position(entries[0].Key).Column - 1
			}
			return insert(lines, parent, depth == 0, indent, path[depth:], value)
		}
		e := entries[i]
		key := r.position(e.Key)
		if depth == len(path)-1 {
			return replace(r, lines, e, key, value)
		}
		at, indent, parent = e.Value, key.Column+1, key.Line
	}
	return errShape
}

// mapping lists a block mapping; nothing is an empty one.
func mapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch v := n.(type) {
	case nil, *ast.NullNode:
		return nil, true
	case *ast.MappingNode:
		return v.Values, !v.IsFlowStyle
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{v}, !v.IsFlowStyle
	}
	return nil, false
}

// insert adds the keys of path, after line parent or, at the top, at the end.
func insert(lines *[]string, parent int, top bool, indent int, path []string, value string) error {
	var block []string
	for i, name := range path {
		line := strings.Repeat(" ", indent+2*i) + scalar(name) + ":"
		if i == len(path)-1 {
			line += " " + value
		}
		block = append(block, line)
	}
	at := parent
	if top {
		for at = len(*lines); at > 0 && strings.TrimSpace((*lines)[at-1]) == ""; at-- {
		}
		if at == len(*lines) {
			block = append(block, "")
		}
	}
	if at > len(*lines) {
		return errShape
	}
	*lines = slices.Insert(*lines, at, block...)
	return nil
}

// replace puts value where the scalar of e stands.
func replace(r *reader, lines *[]string, e *ast.MappingValueNode, key Position, value string) error {
	if e.Value == nil || e.Value.Type() == ast.NullType {
		line := []rune((*lines)[key.Line-1])
		colon := key.Column - 1 + len([]rune(scalar(e.Key.GetToken().Value)))
		if colon >= len(line) || line[colon] != ':' {
			return errShape
		}
		(*lines)[key.Line-1] = string(line[:colon+1]) + " " + value + string(line[colon+1:])
		return nil
	}
	switch e.Value.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
	default:
		return errShape
	}
	at := r.position(e.Value)
	typed := strings.TrimSpace(e.Value.GetToken().Origin)
	if at.Line < 1 || at.Line > len(*lines) {
		return errShape
	}
	line := []rune((*lines)[at.Line-1])
	if at.Column < 1 || at.Column > len(line) {
		return errShape
	}
	rest := string(line[at.Column-1:])
	tail, ok := strings.CutPrefix(rest, typed)
	if !ok {
		// The token of a quoted text has its content only.
		if tail, ok = cutQuoted(rest); !ok {
			return errShape
		}
	}
	(*lines)[at.Line-1] = string(line[:at.Column-1]) + value + tail
	return nil
}

// cutQuoted cuts a quoted text from the beginning of s.
func cutQuoted(s string) (string, bool) {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return "", false
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && s[0] == '"':
			i++
		case s[i] == s[0] && s[0] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
		case s[i] == s[0]:
			return s[i+1:], true
		}
	}
	return "", false
}
