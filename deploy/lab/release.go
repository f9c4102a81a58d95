package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// rootsVariable names the directory of deploy/install/frr-root's roots.
	rootsVariable = "SRRD_FRR_ROOTS"
	defaultRoots  = "/var/cache/srrd/frr"
)

// Release is an FRR whose daemons this machine can run.
type Release struct {
	Version string `json:"version"` // "8.4.4", "10.3"
	Suite   string `json:"suite"`   // of Debian, for one in a root of its own; "" for the machine's own
	Dir     string `json:"dir"`     // of the daemons
	version frrVersion
}

// String gives "10.3 (trixie)".
func (r Release) String() string {
	if r.Suite == "" {
		return r.Version
	}
	return r.Version + " (" + r.Suite + ")"
}

// is reports whether a wanted version names this release: "10.3", "8.4" for any
// 8.4.x, a suite, or the directory itself.
func (r Release) is(want string) bool {
	return want == r.Suite || want == r.Dir || want == r.Version || strings.HasPrefix(r.Version, want+".")
}

// AtLeast reports whether it is major.minor or newer.
func (r Release) AtLeast(major, minor int) bool { return r.version.atLeast(major, minor) }

// RunsMgmtd reports whether hosts run its mgmtd: 9.x has one that nobody needs.
func (r Release) RunsMgmtd() bool { return r.has("mgmtd") && r.AtLeast(10, 0) }

// has reports whether there is such a daemon.
func (r Release) has(daemon string) bool {
	_, err := os.Stat(filepath.Join(r.Dir, daemon))
	return err == nil
}

// Releases lists the FRRs here: the machine's own and those that
// deploy/install/frr-root has unpacked, oldest first.
func Releases(ctx context.Context) ([]Release, error) {
	var out []Release
	if r, err := releaseIn(ctx, defaultFRR); err == nil {
		out = append(out, r)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	roots := cmp.Or(os.Getenv(rootsVariable), defaultRoots)
	suites, err := os.ReadDir(roots)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, s := range suites {
		dir := filepath.Join(roots, s.Name(), "daemons")
		if strings.HasPrefix(s.Name(), ".") { // one that is being made
			continue
		}
		r, err := releaseIn(ctx, dir)
		if err != nil {
			return nil, err
		}
		r.Suite = s.Name()
		out = append(out, r)
	}
	// The machine's own stays before a root of the same version.
	slices.SortStableFunc(out, func(a, b Release) int { return a.version.compare(b.version) })
	return out, nil
}

// releaseIn looks at the daemons of a directory.
func releaseIn(ctx context.Context, dir string) (Release, error) {
	r := Release{Dir: dir}
	for _, name := range []string{"zebra", "ospfd", "bfdd"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return r, fmt.Errorf("FRR: %w (Debian: apt install frr)", err)
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "ospfd"), "--version").Output()
	if err != nil {
		return r, fmt.Errorf("%s/ospfd --version: %w", dir, err)
	}
	if r.version, err = parseFRRVersion(string(out)); err != nil {
		return r, err
	}
	r.Version = r.version.String()
	return r, nil
}

// FindRelease finds what a topology or Options.FRR asks for: a version, a suite
// of Debian, or a directory of daemons.
func FindRelease(ctx context.Context, want string) (Release, error) {
	all, err := Releases(ctx)
	if err != nil {
		return Release{}, err
	}
	have := make([]string, len(all))
	for i, r := range all {
		if r.is(want) {
			return r, nil
		}
		have[i] = r.String()
	}
	if filepath.IsAbs(want) {
		return releaseIn(ctx, want)
	}
	return Release{}, fmt.Errorf("FRR %s: not here; here: %s (deploy/install/frr-root SUITE brings that of another suite of Debian)",
		want, cmp.Or(strings.Join(have, ", "), "none"))
}

// findReleases finds the FRR of every host that runs one.
func (l *Lab) findReleases(ctx context.Context) error {
	l.releases = map[string]Release{}
	found := map[string]Release{}
	for _, h := range l.topo.All() {
		if !h.RunsFRR() {
			continue
		}
		want := cmp.Or(h.FRR.Version, l.opts.FRR)
		r, ok := found[want]
		if !ok {
			var err error
			if r, err = FindRelease(ctx, want); err != nil {
				return fmt.Errorf("host %s: %w", h.Name, err)
			}
			found[want] = r
		}
		l.releases[h.Name] = r
	}
	return nil
}

// frrVersion is a release number.
type frrVersion struct{ major, minor, patch int }

func (v frrVersion) String() string {
	if v.patch == 0 {
		return fmt.Sprintf("%d.%d", v.major, v.minor)
	}
	return fmt.Sprintf("%d.%d.%d", v.major, v.minor, v.patch)
}

func (v frrVersion) compare(o frrVersion) int {
	return cmp.Or(cmp.Compare(v.major, o.major), cmp.Compare(v.minor, o.minor), cmp.Compare(v.patch, o.patch))
}

func (v frrVersion) atLeast(major, minor int) bool {
	return v.compare(frrVersion{major: major, minor: minor}) >= 0
}

// parseFRRVersion reads the first line of "ospfd --version": "ospfd version 8.4.4".
func parseFRRVersion(out string) (frrVersion, error) {
	var v frrVersion
	_, rest, ok := strings.Cut(out, " version ")
	if ok {
		n, _ := fmt.Sscanf(rest, "%d.%d.%d", &v.major, &v.minor, &v.patch) // the patch level need not be there
		ok = n >= 2
	}
	if !ok {
		return v, fmt.Errorf("ospfd --version: no version in %q", strings.TrimSpace(out))
	}
	return v, nil
}
