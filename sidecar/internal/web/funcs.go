package web

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"html/template"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/view"
)

// funcs are the words the templates use: those of package view.
var funcs = template.FuncMap{
	"age":        view.Age,
	"ago":        ago,
	"took":       view.Took,
	"count":      view.Count,
	"name":       view.NameOf,
	"stateHere":  view.StateHere,
	"why":        view.WhyShort,
	"wait":       view.WaitWords,
	"due":        view.DueWords,
	"running":    view.RunningWords,
	"underway":   view.Underway,
	"kind":       view.KindWords,
	"offerState": view.OfferState,
	"pref":       view.PrefWords,
	"claim":      view.ClaimWords,
	"rank":       view.RankWords,
	"remarks":    view.Remarks,
	"ospf":       view.OSPFWords,
	"session":    view.SessionWords,
	"nodeState":  view.NodeState,
	"nodeWords":  view.NodeWords,
	"frozen":     view.FreezeWords,
	"level":      view.LevelWord,
	"menu":       func() any { return menu },
	"addrs":      addrWords,
	"join":       strings.Join,
	"path":       url.PathEscape,
	"mark":       markOf,
	"stamp":      func(t time.Time) string { return t.Format("01-02 15:04:05.000") },
	"clock":      func(t time.Time) string { return t.Format("2006-01-02 15:04:05.000 MST") },
	"iso":        func(t time.Time) string { return t.Format(time.RFC3339Nano) },
	"spaced":     func(s string) string { return strings.ReplaceAll(s, ",", " ") },
	"dict":       dict,
	"elsewhere":  elsewhere,
	"offerMark":  offerMark,
	"lsaID":      func(s string) string { id, _, _ := strings.Cut(s, " "); return id },
	"hereMark":   func(sv *machine.ServiceView) mark { return markOf(sv.Config.String(), sv.State.String()) },
	"nodeMark":   nodeMark,
	"levelMark":  levelMark,
	"markNone":   func() mark { return mark{"started", "fine:", "good"} },
	"legend":     legend,
	"phases":     func() []string { return view.PhaseNames },
	"add":        func(a, b float64) float64 { return a + b },
}

// ago is an age with its moment, as an element that the script keeps right.
func ago(now, at time.Time) template.HTML {
	if at.IsZero() {
		return "-"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, at.UTC().Format(time.RFC3339Nano),
		at.Format("2006-01-02 15:04:05.000"), view.Age(now, at)))
}

// mark is a state as a shape, a word and a tone of colour: whoever sees no
// colour or no shape has the word.
type mark struct{ Shape, Word, Tone string }

// markOf is the mark of `configuration state/service state`.
func markOf(config, state string) mark {
	word := config + "/" + state
	if config == "active" {
		word = state
	}
	switch {
	case config == "failed" || state == "failed":
		return mark{"failed", word, "bad"}
	case state == "started":
		return mark{"started", word, "good"}
	case state == "starting":
		return mark{"starting", word, "move"}
	case state == "stopping":
		return mark{"stopping", word, "move"}
	case config == "active":
		return mark{"stopped", word, "calm"}
	case config == "disabled":
		return mark{"disabled", word, "off"}
	}
	return mark{"pending", word, "off"}
}

// offerMark is the mark of a node's offer. One that does not count is no news:
// it must not look as if the service ran there.
func offerMark(o *machine.OfferView) mark {
	m := markOf(o.Config, o.State.String())
	if !o.Counts && !o.Self {
		return mark{"lost", m.Word + " when last heard", "off"}
	}
	return m
}

// legend is every shape of a service once.
func legend() []mark {
	var all []mark
	for _, c := range [][2]string{{"active", "started"}, {"active", "starting"}, {"active", "stopping"}, {"active", "stopped"}, {"active", "failed"}} {
		all = append(all, markOf(c[0], c[1]))
	}
	return append(all, mark{"pending", "not offered yet", "off"}, mark{"disabled", "disabled", "off"}, mark{"lost", "does not count", "off"})
}

// nodeMark is the mark of a node.
func nodeMark(n *machine.NodeView) mark {
	switch {
	case n.Status != "present" && n.Status != "left":
		return mark{"failed", n.Status, "bad"}
	case n.Status == "left":
		return mark{"disabled", n.Status, "off"}
	case n.State.String() == "online":
		return mark{"started", "online", "good"}
	}
	return mark{"stopped", view.NodeState(n), "calm"}
}

func levelMark(l machine.Level) mark {
	switch l {
	case machine.LevelError:
		return mark{"error", view.LevelWord(l), "bad"}
	case machine.LevelWarning:
		return mark{"warning", view.LevelWord(l), "warn"}
	case machine.LevelInfo:
		return mark{"notice", view.LevelWord(l), "off"}
	}
	return mark{"notice", l.String(), "off"}
}

func addrWords(all []netip.Addr) string {
	var w []string
	for _, a := range all {
		w = append(w, a.String())
	}
	return strings.Join(w, " ")
}

// clean makes a page fit to be read: what a terminal would take for a command,
// or what would turn the direction of the text, is shown as a question mark,
// wherever it came from. Markup is html/template's affair.
func clean(page []byte) []byte {
	return bytes.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case r == '\r':
			return -1
		case unicode.IsControl(r), r == utf8.RuneError, unicode.Is(unicode.Cf, r):
			return '?'
		}
		return r
	}, page)
}

// dict makes a map of names and values, for templates within templates.
func dict(kv ...any) (map[string]any, error) {
	if len(kv)%2 != 0 {
		return nil, fmt.Errorf("dict wants pairs, got %d values", len(kv))
	}
	m := map[string]any{}
	for i := 0; i < len(kv); i += 2 {
		k, ok := kv[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict wants names, got %v", kv[i])
		}
		m[k] = kv[i+1]
	}
	return m, nil
}

func staticTag(name string, text []byte) string {
	sum := sha256.Sum256(append([]byte(name), text...))
	return fmt.Sprintf("%q", fmt.Sprintf("%x", sum[:8]))
}
