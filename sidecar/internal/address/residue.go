package address

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
)

// residue is what srrd may have put into FRR's configuration and is the only
// proof that it was srrd: FRR's lines bear no mark. It is written before the
// line is set, so it may name more than there is, never less.
type residue struct {
	Networks  []network    `json:"networks,omitempty"`  // `network X/32 area A` in ospfd
	Permits   []netip.Addr `json:"permits,omitempty"`   // entries of prefix-list SRRD-VIP in ospfd
	Addresses []vtyAddress `json:"addresses,omitempty"` // `ip address X/32` in zebra or mgmtd
}

type network struct {
	Address netip.Addr `json:"address"`
	Area    netip.Addr `json:"area"`
}

type vtyAddress struct {
	Address netip.Addr `json:"address"`
	Device  string     `json:"device"`
}

func (r residue) empty() bool {
	return len(r.Networks)+len(r.Permits)+len(r.Addresses) == 0
}

func (r residue) clone() residue {
	return residue{slices.Clone(r.Networks), slices.Clone(r.Permits), slices.Clone(r.Addresses)}
}

func (r residue) equal(o residue) bool {
	return slices.Equal(r.Networks, o.Networks) && slices.Equal(r.Permits, o.Permits) && slices.Equal(r.Addresses, o.Addresses)
}

// add and without keep the lists sorted and free of doubles.
func add[T comparable](list []T, v T, compare func(a, b T) int) []T {
	if slices.Contains(list, v) {
		return list
	}
	list = append(slices.Clone(list), v)
	slices.SortFunc(list, compare)
	return list
}

func without[T comparable](list []T, v T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(o T) bool { return o == v })
}

func compareNetworks(a, b network) int { return a.Address.Compare(b.Address) }

func compareAddresses(a, b vtyAddress) int { return a.Address.Compare(b.Address) }

// network returns the area noted for an address.
func (r residue) network(addr netip.Addr) (area netip.Addr, noted bool) {
	for _, n := range r.Networks {
		if n.Address == addr {
			return n.Area, true
		}
	}
	return netip.Addr{}, false
}

// readResidue reads the state file; none is an empty residue. A damaged one is
// set aside as FILE.damaged and reported.
func readResidue(path string) (residue, error) {
	if path == "" {
		return residue{}, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return residue{}, nil
	}
	if err != nil {
		return residue{}, err
	}
	r, err := decodeResidue(text)
	if err != nil {
		aside := path + ".damaged"
		return residue{}, errors.Join(fmt.Errorf("%s is damaged and set aside as %s; "+
			"statements an earlier life left in ospfd stay: %w", path, aside, err), os.Rename(path, aside))
	}
	return r, nil
}

// decodeResidue takes nothing that would be another line in FRR than the one
// that was noted.
func decodeResidue(text []byte) (residue, error) {
	var r residue
	if err := json.Unmarshal(text, &r); err != nil {
		return residue{}, err
	}
	all := slices.Clone(r.Permits)
	for _, n := range r.Networks {
		all = append(all, n.Address, n.Area)
	}
	for _, a := range r.Addresses {
		all = append(all, a.Address)
		if a.Device == "" || len(a.Device) > maxLabel || strings.ContainsFunc(a.Device, func(c rune) bool { return c <= ' ' || c > '~' || c == '/' }) {
			return residue{}, fmt.Errorf("%q is no interface", a.Device)
		}
	}
	for _, a := range all {
		if !a.Is4() {
			return residue{}, fmt.Errorf("%q is no IPv4 address or area", a)
		}
	}
	return r, nil
}

func writeResidue(path string, r residue) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, append(text, '\n'), 0o640)
}
