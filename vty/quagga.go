package vty

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Quagga knows no `json`: what FRR says so is read here from its text, as
// ospfd/ospf_vty.c and zebra/zebra_vty.c of Quagga 0.99.22 to 1.2.4 write it.

// quaggaMinLSArrival and quaggaMinLSInterval are RFC 2328's MinLSArrival and
// MinLSInterval (ospfd/ospf_lsa.h). 1.2 can set them, and shows them nowhere
// but in its configuration.
const (
	quaggaMinLSArrival  = time.Second
	quaggaMinLSInterval = 5 * time.Second
)

// ParseOSPFText reads `show ip ospf` of Quagga (show_ip_ospf and
// show_ip_ospf_area). An ospfd without `router ospf` gives no error and
// Running false.
func ParseOSPFText(text string) (OSPFState, error) {
	const what = "show ip ospf"
	if strings.HasPrefix(strings.TrimSpace(text), "OSPF Routing Process not enabled") {
		return OSPFState{}, nil
	}
	state := OSPFState{LSAMinArrival: quaggaMinLSArrival, LSAInterval: quaggaMinLSInterval}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		value := func(before string) (string, bool) { return strings.CutPrefix(line, before) }
		if v, ok := value("OSPF Routing Process, Router ID: "); ok {
			id, err := netip.ParseAddr(v)
			if err != nil || !id.Is4() {
				return OSPFState{}, fmt.Errorf("%s: %q is no router id", what, v)
			}
			state.Running, state.RouterID = true, id
		} else if v, ok := value("OpaqueCapability flag is "); ok {
			// Up to 0.99.24 perhaps "enabled (origination blocked)": while LSAs of
			// an earlier life are about, which srrd is the one to delete.
			state.OpaqueCapable = strings.HasPrefix(v, "enabled")
		} else if strings.HasPrefix(line, "This router is an ABR") {
			state.ABR = true
		} else if strings.HasPrefix(line, "This router is an ASBR") {
			state.ASBR = true
		} else if v, ok := value("Initial SPF scheduling delay "); ok {
			state.SPFDelay = milliseconds(leadingNumber(v))
		} else if v, ok := value("Minimum hold time between consecutive SPFs "); ok {
			state.SPFHold = milliseconds(leadingNumber(v))
		} else if v, ok := value("Area ID: "); ok {
			area, err := parseQuaggaArea(v)
			if err != nil {
				return OSPFState{}, fmt.Errorf("%s: %w", what, err)
			}
			state.Areas = append(state.Areas, area)
		} else if n := len(state.Areas); n > 0 {
			if _, v, ok := strings.Cut(line, "Active: "); ok && strings.HasPrefix(line, "Number of interfaces in this area: ") {
				state.Areas[n-1].ActiveInterfaces = int(leadingNumber(v))
			} else if v, ok := value("Number of fully adjacent neighbors in this area: "); ok {
				state.Areas[n-1].FullNeighbors = int(leadingNumber(v))
			}
		}
	}
	if !state.Running {
		return OSPFState{}, fmt.Errorf("%s: no router id in %q", what, firstLine(text))
	}
	slices.SortFunc(state.Areas, func(a, b OSPFArea) int { return a.ID.Compare(b.ID) })
	return state, nil
}

// parseQuaggaArea reads "0.0.0.1 (NSSA, no summary)", "0.0.0.0 (Backbone)". That
// an area is stub is shown, unlike in FRR's JSON; that its summaries are kept
// out is what FRR's field is about.
func parseQuaggaArea(text string) (OSPFArea, error) {
	name, kind, _ := strings.Cut(text, " ")
	id, ok := parseAreaID(name)
	if !ok {
		return OSPFArea{}, fmt.Errorf("area %q is no area id", name)
	}
	return OSPFArea{
		ID: id, Backbone: strings.HasPrefix(kind, "(Backbone"), NSSA: strings.HasPrefix(kind, "(NSSA"),
		StubNoSummary: strings.HasPrefix(kind, "(Stub") && strings.Contains(kind, "no summary"),
	}, nil
}

// ParseNeighborsText reads `show ip ospf neighbor` of Quagga, a table of
//
//	Neighbor ID     Pri State           Dead Time Address         Interface            RXmtL RqstL DBsmL
//
// in the order of ParseNeighbors.
func ParseNeighborsText(text string) ([]Neighbor, error) {
	const what = "show ip ospf neighbor"
	var all []Neighbor
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) == 0 || w[0] == "Neighbor" || strings.HasPrefix(strings.TrimSpace(line), "OSPF Routing Process not enabled") {
			continue
		}
		if len(w) == 10 && w[4] == "usecs" { // less than a millisecond is written so
			w = slices.Delete(w, 4, 5)
			w[3] = "0.001s"
		}
		if len(w) != 9 {
			return nil, fmt.Errorf("%s: %d words in %q, want 9", what, len(w), firstLine(line))
		}
		n := Neighbor{DeadIn: -1}
		n.RouterID, _ = netip.ParseAddr(w[0]) // "-" is one not heard of yet
		n.State, n.Role, _ = strings.Cut(w[2], "/")
		if left, ok := parseQuaggaTimer(w[3]); ok {
			n.DeadIn = left
		}
		var err error
		if n.Priority, err = strconv.Atoi(w[1]); err != nil {
			return nil, fmt.Errorf("%s: priority of neighbour %s: %w", what, w[0], err)
		}
		if n.Address, err = netip.ParseAddr(w[4]); err != nil {
			return nil, fmt.Errorf("%s: address of neighbour %s: %w", what, w[0], err)
		}
		n.Interface, n.Local = splitInterface(w[5])
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b Neighbor) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), a.Address.Compare(b.Address), a.RouterID.Compare(b.RouterID))
	})
	return all, nil
}

// parseQuaggaTimer reads what ospf_timer_dump writes (ospfd/ospf_dump.c): "3.910s",
// "1m05s", "2h03m04s", "1d02h03m", "1w2d03h"; "inactive" where the timer does
// not run.
func parseQuaggaTimer(text string) (time.Duration, bool) {
	var sum time.Duration
	for text != "" {
		digits := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
		if digits <= 0 {
			return 0, false
		}
		n, err := strconv.ParseFloat(text[:digits], 64)
		unit, known := map[byte]time.Duration{
			's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
		}[text[digits]]
		if err != nil || !known || n > 1e6 {
			return 0, false
		}
		sum += time.Duration(n * float64(unit))
		text = text[digits+1:]
	}
	return sum, sum > 0
}

// leadingNumber is the number a text begins with, 0 if there is none.
func leadingNumber(text string) int64 {
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	n, _ := strconv.ParseInt(text[:end], 10, 64) // too large for one reads as the largest
	return n
}
