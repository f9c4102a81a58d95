package vty

import (
	"errors"
	"fmt"
	"strings"
)

// Daemon names a routing daemon as its VTY socket does: <vtydir>/<name>.vty.
type Daemon string

// The daemons this package has commands for.
const (
	Zebra Daemon = "zebra"
	OSPF  Daemon = "ospfd"
	BFD   Daemon = "bfdd"
	Mgmt  Daemon = "mgmtd" // since FRR 8.5; holds the configuration of zebra from 10.0
)

// DefaultPort is the daemon's telnet VTY port (FRR lib/libfrr.h, *_VTY_PORT),
// 0 for one this package does not know.
func (d Daemon) DefaultPort() int {
	switch d {
	case Zebra:
		return 2601
	case OSPF:
		return 2604
	case BFD:
		return 2617
	case Mgmt:
		return 2623
	default:
		return 0
	}
}

// Class is a family of configuration lines that go to one daemon together.
type Class int

const (
	// ClassAddress is `interface X` with `ip address`: zebra's, and mgmtd's
	// from FRR 10.0, where zebra answers "Unknown command".
	ClassAddress Class = iota
	// ClassZebra is zebra's tuning, `zebra work-queue` first of all: zebra's,
	// and mgmtd's from FRR 10.7 (zebra/zebra_cli.c; by reading).
	ClassZebra
	// ClassOSPF is `router ospf` and `interface X` with `ip ospf`.
	ClassOSPF
	// ClassPolicy is `route-map`, `ip prefix-list` and `access-list` as ospfd
	// uses them: it keeps its own in every release.
	ClassPolicy
	// ClassBFD is `bfd` and its profiles.
	ClassBFD
)

// String names the class by what it configures.
func (c Class) String() string {
	switch c {
	case ClassAddress:
		return "interface address"
	case ClassZebra:
		return "zebra"
	case ClassOSPF:
		return "ospf"
	case ClassPolicy:
		return "ospf policy"
	case ClassBFD:
		return "bfd"
	default:
		return fmt.Sprintf("class %d", int(c))
	}
}

// Target returns the daemon that takes lines of a class in a release.
func Target(r Release, c Class) (Daemon, error) {
	switch c {
	case ClassAddress:
		if r.FRR() && r.AtLeast(10, 0) {
			return Mgmt, nil
		}
		return Zebra, nil
	case ClassZebra:
		if r.FRR() && r.AtLeast(10, 7) {
			return Mgmt, nil
		}
		return Zebra, nil
	case ClassOSPF, ClassPolicy:
		return OSPF, nil
	case ClassBFD:
		if !r.FRR() {
			return "", fmt.Errorf("%s has no bfdd", r)
		}
		return BFD, nil
	default:
		return "", fmt.Errorf("no daemon for %s", c)
	}
}

// ErrUnsafe is in the chain when a command is refused because it would bring
// the daemon down.
var ErrUnsafe = errors.New("command would abort the daemon")

// Safe refuses commands that are known to abort a daemon of this release:
// every form of `show ip ospf interface` on FRR 7.5, whose ospfd dies of
// "route_unlock_node: Assertion node->lock > 0". Abbreviations count, and a
// doubtful one is refused: `show ip ospf route` says as much.
func Safe(r Release, d Daemon, command string) error {
	if d != OSPF || !r.FRR() || r.Major != 7 || r.Minor != 5 {
		return nil
	}
	words := strings.Fields(command)
	if len(words) > 1 && words[0] == "do" {
		words = words[1:]
	}
	for i, full := range []string{"show", "ip", "ospf"} {
		if i >= len(words) || !strings.HasPrefix(full, words[i]) {
			return nil
		}
	}
	for _, word := range words[3:] {
		if strings.HasPrefix("interface", word) {
			return fmt.Errorf("ospfd: %q on %s: %w; use `show ip ospf route`", command, r, ErrUnsafe)
		}
	}
	return nil
}
