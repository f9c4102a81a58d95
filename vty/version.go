package vty

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
)

// Version is a release number. Versions compare with == and [Version.Compare].
type Version struct {
	Major, Minor, Patch int
}

// Compare returns -1, 0 or +1 as v is older than, equal to, or newer than o.
func (v Version) Compare(o Version) int {
	return cmp.Or(cmp.Compare(v.Major, o.Major), cmp.Compare(v.Minor, o.Minor), cmp.Compare(v.Patch, o.Patch))
}

// AtLeast reports whether v is major.minor or newer.
func (v Version) AtLeast(major, minor int) bool {
	return v.Compare(Version{Major: major, Minor: minor}) >= 0
}

// String gives "8.4.4", and "10.3" for a release without patch number.
func (v Version) String() string {
	if v.Patch == 0 {
		return fmt.Sprintf("%d.%d", v.Major, v.Minor)
	}
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
}

// Release is what `show version` says of a daemon.
type Release struct {
	// Suite is "FRRouting" or "Quagga".
	Suite string
	Version
	// Host is the name the daemon was given by `hostname`, or the machine's.
	Host string
}

// FRR reports whether the daemon is FRR and not Quagga.
func (r Release) FRR() bool { return r.Suite == "FRRouting" }

// String gives "FRRouting 8.4.4".
func (r Release) String() string { return r.Suite + " " + r.Version.String() }

// "FRRouting 8.4.4 (host) on Linux(6.1.0)." and before FRR 8.2 "FRRouting
// 7.5.1 (host)." (lib/command.c, show_version). Distributions append to the
// number; Quagga has up to four of them.
var versionLine = regexp.MustCompile(`(?m)^\s*(FRRouting|Quagga) (\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?[^ \n]* \(([^)\n]*)\)`)

// ParseVersion reads the output of `show version`.
func ParseVersion(text string) (Release, error) {
	m := versionLine.FindStringSubmatch(text)
	if m == nil {
		return Release{}, fmt.Errorf("show version: no line names FRRouting or Quagga and a release: %q", firstLine(text))
	}
	r := Release{Suite: m[1], Host: m[5]}
	for i, to := range []*int{&r.Major, &r.Minor, &r.Patch} {
		*to, _ = strconv.Atoi(m[2+i]) // at most six digits, or absent: 0
	}
	return r, nil
}
