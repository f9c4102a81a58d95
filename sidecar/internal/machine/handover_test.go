package machine

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/srrd/srrd/sidecar/internal/handover"
)

// constantsOf lists the constants of a type in the order of their numbers, as a
// file has them.
func constantsOf(t *testing.T, file, typ string) (all []string) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		of := ""
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if id, ok := v.Type.(*ast.Ident); ok {
				of = id.Name
			}
			if of == typ {
				all = append(all, v.Names[0].Name)
			}
		}
	}
	return all
}

func TestEveryTimerHasAWordForTheHandOver(t *testing.T) {
	names := constantsOf(t, "event.go", "TimerKind")
	if len(names) < 20 || len(timerWords) != len(names)+1 {
		t.Fatalf("%d timers and %d words: %v", len(names), len(timerWords)-1, names)
	}
	for i, name := range names {
		if got := "Timer" + strings.ReplaceAll(timerWords[i+1], "_", ""); !strings.EqualFold(got, name) {
			t.Errorf("%s is carried as %q", name, timerWords[i+1])
		}
	}
}

// An event that waits for its turn is carried too.
func TestEveryEventCanBeCarried(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("handover.go")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, d := range f.Decls {
		m, ok := d.(*ast.FuncDecl)
		if !ok || m.Name.Name != "event" || m.Recv == nil {
			continue
		}
		count++
		if name := m.Recv.List[0].Type.(*ast.Ident).Name + "{}"; !regexp.MustCompile(`\b` + regexp.QuoteMeta(name)).Match(have) {
			t.Errorf("c.Name lacks %s", name)
		}
	}
	if count < 20 {
		t.Fatalf("only %d events found", count)
	}
}

func TestEverythingOfANodeCanBeCarried(t *testing.T) {
	c := handover.New()
	HandOver(c)
	if err := c.Check(Node{}); err != nil {
		t.Errorf("give it words, or say that its numbers are fixed (HandOver): %v", err)
	}
}
