package vty

import (
	"net/netip"
	"strings"
)

// Block is one line of a configuration with the lines inside it. The whole
// configuration is a Block with an empty Line. Passwords of `line vty` are in
// it in the clear: not for logs.
type Block struct {
	Line string // words separated by one space
	Sub  []Block
}

// ParseRunning splits the output of `show running-config` (or a configuration
// file) into blocks by indentation. Comments, blank lines, `exit` and `end`
// are left out; it takes any text.
func ParseRunning(text string) Block {
	type level struct {
		indent int
		block  *Block
	}
	root := &Block{}
	open := []level{{-1, root}} // blocks that can still get lines, outermost first
	for line := range strings.Lines(text) {
		body := strings.TrimLeft(line, " \t")
		indent := len(line) - len(body)
		words := strings.Join(strings.Fields(body), " ")
		switch {
		case words == "": // FRR 8.4 puts blank lines inside `router ospf`
			continue
		case words[0] == '!', isLeaving(words):
			if indent == 0 {
				open = open[:1]
			}
			continue
		case words == "Building configuration..." || words == "Current configuration:":
			continue
		}
		for len(open) > 1 && open[len(open)-1].indent >= indent {
			open = open[:len(open)-1]
		}
		// Pointers into Sub stay good: a block only grows while it is the
		// innermost one that is open.
		in := open[len(open)-1].block
		in.Sub = append(in.Sub, Block{Line: words})
		open = append(open, level{indent, &in.Sub[len(in.Sub)-1]})
	}
	return *root
}

// isLeaving knows the words that close a block: exit, exit-vrf, end, ...
func isLeaving(words string) bool {
	return words == "exit" || words == "end" || strings.HasPrefix(words, "exit-") && !strings.Contains(words, " ")
}

// startsWith compares whole words: "ip ospf bfd" does not start with "ip ospf b".
func startsWith(line, words string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(line, words)
	if !ok || words == "" || rest != "" && rest[0] != ' ' {
		return "", false
	}
	return strings.TrimPrefix(rest, " "), true
}

// All returns the lines directly inside b that start with the words.
func (b Block) All(words string) []Block {
	var found []Block
	for _, sub := range b.Sub {
		if _, ok := startsWith(sub.Line, words); ok {
			found = append(found, sub)
		}
	}
	return found
}

// Has reports whether a line directly inside b starts with the words.
func (b Block) Has(words string) bool {
	_, ok := b.Value(words)
	return ok
}

// Value returns what follows the words in the first line that starts with them.
func (b Block) Value(words string) (rest string, ok bool) {
	for _, sub := range b.Sub {
		if rest, ok := startsWith(sub.Line, words); ok {
			return rest, true
		}
	}
	return "", false
}

// Block returns the first block whose line is exactly these words.
func (b Block) Block(line string) (Block, bool) {
	for _, sub := range b.Sub {
		if sub.Line == line {
			return sub, true
		}
	}
	return Block{}, false
}

// ExplicitRouterID returns the router-id the operator has set in `router
// ospf`, of a whole configuration of ospfd. Without one ospfd takes zebra's
// choice, an address that may be a service's; `show ip ospf` looks the same in
// both cases, only the configuration tells them apart.
func (b Block) ExplicitRouterID() (netip.Addr, bool) {
	ospf, _ := b.Block("router ospf")
	for _, words := range []string{"ospf router-id", "router-id"} { // the second is Quagga's and the alias
		if v, ok := ospf.Value(words); ok {
			id, err := netip.ParseAddr(v)
			return id, err == nil && id.Is4()
		}
	}
	return netip.Addr{}, false
}

// AreaKind is how an area treats external routes.
type AreaKind int

const (
	AreaNormal AreaKind = iota
	AreaStub
	AreaNSSA
)

// String gives the kind as it is configured.
func (k AreaKind) String() string {
	switch k {
	case AreaNormal:
		return "normal"
	case AreaStub:
		return "stub"
	case AreaNSSA:
		return "nssa"
	default:
		return "unknown"
	}
}

// AreaKindOf returns what `area ID stub` or `area ID nssa` in `router ospf`
// make of an area; the ID may be written either way. This is the only place to
// learn of a plain stub area: `show ip ospf json` does not tell.
func (b Block) AreaKindOf(area netip.Addr) AreaKind {
	ospf, _ := b.Block("router ospf")
	for _, line := range ospf.All("area") {
		words := strings.Fields(line.Line)
		if len(words) < 3 {
			continue
		}
		if id, ok := parseAreaID(words[1]); !ok || id != area {
			continue
		}
		switch words[2] {
		case "stub":
			return AreaStub
		case "nssa":
			return AreaNSSA
		}
	}
	return AreaNormal
}
