//go:build ignore

// Gotest says of the events of `go test -json` what go test says without -v, and
// appends a line for each test that skipped itself to a file, with its reason: a
// skipped test of which nobody hears is a defect.
//
//	go test -json PACKAGES | go run .ci/gotest.go SKIPPED
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one of `go doc test2json`.
type event struct {
	Action, Package, Test, Output string
}

type test struct{ pkg, name string }

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gotest SKIPPED <EVENTS")
		os.Exit(2)
	}
	skipped, err := os.OpenFile(os.Args[1], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		err = run(os.Stdin, os.Stdout, skipped)
	}
	if err == nil {
		err = skipped.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out, skipped io.Writer) error {
	said := map[test][]string{} // of what has not ended, and of whole packages under ""
	var order []test
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF && line == "" {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		var e event
		if json.Unmarshal([]byte(line), &e) != nil {
			fmt.Fprint(out, line) // not an event: of the go command itself
			continue
		}
		t := test{e.Package, e.Test}
		switch e.Action {
		case "build-output":
			fmt.Fprint(out, e.Output)
		case "output":
			if _, known := said[t]; !known {
				order = append(order, t)
			}
			said[t] = append(said[t], e.Output)
		case "skip":
			if e.Test != "" {
				fmt.Fprintf(skipped, "%s %s: %s\n", e.Package, e.Test, reason(said[t]))
			}
			order = end(t, order, said, func(test) {})
		case "pass":
			order = end(t, order, said, func(t test) {
				if t.name == "" {
					tell(out, said[t])
				}
			})
		case "fail":
			order = end(t, order, said, func(t test) { tell(out, said[t]) })
		}
	}
}

// end forgets a test that has ended, or a package with all its tests that have
// not (one of them has panicked, or time was up), after each was told of.
func end(t test, order []test, said map[test][]string, tell func(test)) []test {
	var left []test
	for _, o := range order {
		if o != t && (t.name != "" || o.pkg != t.pkg) {
			left = append(left, o)
			continue
		}
		tell(o)
		delete(said, o)
	}
	return left
}

func tell(out io.Writer, lines []string) {
	for _, l := range lines {
		if l != "PASS\n" && !strings.HasPrefix(l, "=== ") {
			fmt.Fprint(out, l)
		}
	}
}

// reason is the last thing a test said before it skipped itself.
func reason(lines []string) string {
	why := "no reason given"
	for _, l := range lines {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "=== ") && !strings.HasPrefix(l, "--- ") {
			why = l
		}
	}
	return why
}
