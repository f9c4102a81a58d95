package config

import (
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// Web is where pages are served, and to whom.
type Web struct {
	Listen netip.AddrPort
	// Certificate, Key and Clients are PEM files; "" with plain HTTP, which is
	// for loopback addresses only. Clients holds the CAs of client certificates.
	Certificate, Key, Clients string
	// Roles maps subjects of client certificates to viewer, operator or admin.
	Roles map[string]string
}

// webRoles are the roles, the least first.
var webRoles = []string{"viewer", "operator", "admin"}

type rawWeb struct {
	Listen      opt[netip.AddrPort]
	Certificate opt[string]
	Key         opt[string]
	Clients     opt[string]
	Roles       rawRoles
}

// rawRoles are the subjects of each role.
type rawRoles [3][]opt[string]

func roleKeys() []key[rawRoles] {
	var all []key[rawRoles]
	for i, role := range webRoles {
		all = append(all, key[rawRoles]{role, nil, func(r *reader, n node, into *rawRoles) {
			for _, e := range r.list(n, "a list of subjects such as alice or OU=operators") {
				if s, ok := anyText("a subject such as alice or OU=operators")(r, e); ok {
					into[i] = append(into[i], opt[string]{s, r.pos(e), true})
				}
			}
		}})
	}
	return all
}

var webKeys = []key[rawWeb]{
	field("listen", checked("an address and a port", addrPort), func(w *rawWeb) *opt[netip.AddrPort] { return &w.Listen }),
	field("certificate", path, func(w *rawWeb) *opt[string] { return &w.Certificate }),
	field("key", path, func(w *rawWeb) *opt[string] { return &w.Key }),
	field("clients", path, func(w *rawWeb) *opt[string] { return &w.Clients }),
	nested("roles", roleKeys(), func(w *rawWeb) *rawRoles { return &w.Roles }),
}

// valid fills in the defaults. Paths count from base, the directory of
// srrd.yaml.
func (w *rawWeb) valid(r *reader, base string) Web {
	out := Web{Listen: w.Listen.or(netip.MustParseAddrPort("127.0.0.1:8222")), Roles: map[string]string{}}
	given := 0
	for _, f := range []struct {
		value opt[string]
		into  *string
	}{{w.Certificate, &out.Certificate}, {w.Key, &out.Key}, {w.Clients, &out.Clients}} {
		if !f.value.Set {
			continue
		}
		given++
		if *f.into = f.value.V; !filepath.IsAbs(f.value.V) {
			*f.into = filepath.Join(base, f.value.V)
		}
	}
	switch {
	case given == 0 && w.Listen.Set && !out.Listen.Addr().Unmap().IsLoopback():
		r.report(w.Listen.At, "web.listen", "%s is no loopback address: pages there want HTTPS: give certificate, key and clients", out.Listen)
	case given == 1 || given == 2:
		for _, f := range []struct {
			key   string
			value opt[string]
		}{{"certificate", w.Certificate}, {"key", w.Key}, {"clients", w.Clients}} {
			if f.value.Set {
				r.report(f.value.At, "web."+f.key, "want certificate, key and clients, all three or none")
			}
		}
	}
	for i, role := range webRoles {
		for _, s := range w.Roles[i] {
			old, again := out.Roles[s.V]
			switch {
			case strings.TrimSpace(s.V) == "":
				r.report(s.At, "web.roles."+role, "want the subject of a certificate, got nothing")
			case again:
				r.report(s.At, "web.roles."+role, "%q is %s already", clip(s.V), old)
			case given == 0:
				r.report(s.At, "web.roles."+role, "roles belong to client certificates: give certificate, key and clients")
			}
			out.Roles[s.V] = role
		}
	}
	return out
}

// roleWords writes the subjects of a role.
func (w *Web) roleWords(role string) string {
	var all []string
	for _, s := range slices.Sorted(maps.Keys(w.Roles)) {
		if w.Roles[s] == role {
			all = append(all, s)
		}
	}
	return strings.Join(all, ", ")
}
