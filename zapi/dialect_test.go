package zapi

import (
	"errors"
	"strings"
	"testing"
)

func TestDialectFor(t *testing.T) {
	for _, c := range []struct {
		name, version, want string
	}{
		{"a release", "8.4.4", "FRR 8.4-8.5"},
		{"a release without a patch level", "10.3", "FRR 10.3"},
		{"two digits are a number, not a decimal fraction", "10.10", "error newer than 10.7"},
		{"Debian's package of bullseye", "7.5.1-1.1+deb11u1", "FRR 7.5"},
		{"Debian's package of trixie", "10.3-3+deb13u1", "FRR 10.3"},
		{"what bookworm's zebra says", "FRRouting 8.4.4 (n1.example) on Linux(6.1.0-18-amd64).\nCopyright 1996-2005", "FRR 8.4-8.5"},
		{"a host name with digits in it does not confuse", "FRRouting 10.7.1 (node9.0) on Linux(6.1.0).", "FRR 10.6-10.7"},
		{"the first minor of a range", "10.4.0", "FRR 10.4-10.5"},
		{"the last minor of a range", "10.5.4", "FRR 10.4-10.5"},
		{"spaces around", " 9.1 \n", "FRR 9.1"},
		{"a release candidate", "10.4.0-rc1", "FRR 10.4-10.5"},
		{"newer than known", "10.8.0", "error newer than 10.7"},
		{"much newer", "FRRouting 11.0 (h) on Linux(6.1.0).", "error newer than 10.7"},
		{"older than known", "7.4", "error older than 7.5"},
		{"older, between ZAPI 4 and 7.5", "4.0.1", "error older than 7.5"},
		{"FRR of ZAPI 4", "3.0.4", "FRR 3.0"},
		{"FRR's first", "FRRouting 2.0.2 (h).", "FRR 2.0"},
		{"between two releases that exist", "9.2", "error FRR has no release 9.2"},
		{"a development version", "10.4-dev", "error a development version"},
		{"Quagga", "Quagga 1.2.4 ().", "Quagga 1.2"},
		{"Quagga dated", "Quagga 1.0.20161017 (h).", "Quagga 1.0"},
		{"Quagga of ZAPI 2", "Quagga 0.99.22.4 (h).\nCopyright", "Quagga 0.99.22-0.99.23"},
		{"Quagga of ZAPI 2 that knows PIM", "Quagga 0.99.24.1", "Quagga 0.99.24"},
		{"Quagga older than known", "Quagga 0.99.21", "error older than 0.99.22"},
		{"Quagga that never was", "Quagga 1.3.0", "error not one of the releases known"},
		{"Quagga without a release", "Quagga (h)", "error want a release such as 1.2.4"},
		{"Quagga's number alone is FRR's, and FRR has none such", "1.2.4", "error older than 7.5"},
		{"nothing", "", "error want a release"},
		{"no minor", "8", "error want a release"},
		{"a word", "frr8.4", "error want a release"},
		{"a number that overflows", "99999999999999999999.1", "error want a release"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := DialectFor(c.version)
			if wanted, isError := strings.CutPrefix(c.want, "error "); isError {
				var unknown *UnknownReleaseError
				if !errors.As(err, &unknown) || !strings.Contains(err.Error(), wanted) {
					t.Fatalf("got %v, %v; want an UnknownReleaseError with %q", d, err, wanted)
				}
				if d.Valid() {
					t.Error("the dialect beside an error is valid")
				}
				if unknown.Newer != strings.HasPrefix(wanted, "newer") {
					t.Errorf("Newer is %v", unknown.Newer)
				}
				return
			}
			if err != nil || d.String() != c.want {
				t.Fatalf("got %v, %v; want %s", d, err, c.want)
			}
		})
	}
}

func TestNewerIsTakenAsNewestOnlyWhereAskedFor(t *testing.T) {
	d, err := DialectForOrNewest("11.2")
	if err != nil || d != Dialects()[len(Dialects())-1] {
		t.Errorf("11.2: got %v, %v", d, err)
	}
	if d, err := DialectForOrNewest("7.4"); err == nil {
		t.Errorf("7.4 is older, not newer: got %v", d)
	}
	if d, err := DialectForOrNewest("8.4.4"); err != nil || d.String() != "FRR 8.4-8.5" {
		t.Errorf("8.4.4: got %v, %v", d, err)
	}
}

// The numbers of enum zebra_message_types_t counted out by a script over the
// tags, independent of how the dialects are built.
func TestNumbersAreThoseOfTheReleases(t *testing.T) {
	commands := []Command{
		CommandInterfaceAdd, CommandInterfaceDelete, CommandAddressAdd, CommandAddressDelete, CommandInterfaceUp,
		CommandInterfaceDown, CommandRouteAdd, CommandRouteDelete, CommandNotifyOwner, CommandRedistributeAdd,
		CommandRedistributeDelete, CommandRouterIDAdd, CommandRouterIDUpdate, CommandHello, CommandCapabilities,
		CommandNexthopRegister, CommandNexthopUnregister, CommandNexthopUpdate, CommandRedistributeRouteAdd,
		CommandRedistributeRouteDelete, CommandVRFAdd, CommandVRFDelete, CommandError, CommandRouteNotifyRequest,
	}
	const none = -1
	numbers := map[string][]int{
		"7.5":  {0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 15, 17, 18, 19, 20, 21, 22, 33, 34, 36, 37, 112, none},
		"8.0":  {0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 15, 17, 18, 19, 20, 21, 22, 33, 34, 36, 37, 117, 123},
		"8.1":  {0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 15, 17, 18, 19, 20, 21, 22, 33, 34, 36, 37, 121, 127},
		"8.2":  {0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 15, 17, 18, 19, 20, 21, 22, 30, 31, 33, 34, 118, 124},
		"9.1":  {0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 15, 17, 18, 19, 20, 21, 22, 30, 31, 33, 34, 117, 123},
		"10.0": {0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 16, 18, 19, 20, 21, 22, 23, 31, 32, 34, 35, 118, 124},
		"10.2": {0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 16, 18, 19, 20, 21, 22, 23, 31, 32, 33, 34, 120, 126},
	}
	for release, same := range map[string]string{
		"8.3": "8.2", "8.4": "8.2", "8.5": "8.2", "9.0": "8.2", "10.1": "10.0", "10.3": "10.2", "10.4": "10.2",
		"10.5": "10.2", "10.6": "10.2", "10.7": "10.2",
	} {
		numbers[release] = numbers[same]
	}
	for release, want := range numbers {
		d, err := DialectFor(release)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range commands {
			got, ok := d.Number(c)
			if ok != (want[i] != none) || ok && int(got) != want[i] {
				t.Errorf("%s: %s is %d, %v; want %d", release, c, got, ok, want[i])
			}
		}
	}
	if len(numbers) != 17 {
		t.Errorf("%d releases are checked", len(numbers))
	}
}

func TestRouteTypesAreThoseOfTheReleases(t *testing.T) {
	types := []RouteType{RouteConnect, RouteLocal, RouteStatic, RouteOSPF, RouteBGP, RouteTable, RouteSHARP, RouteTableDirect, RouteAll}
	const none = -1
	for _, d := range Dialects() {
		want := []int{2, none, 3, 6, 9, 15, 23, none, 30}
		if strings.HasPrefix(d.String(), "FRR 10") {
			want = []int{2, 3, 4, 7, 10, 16, 24, 31, 32}
		}
		for i, typ := range types {
			got, ok := d.RouteNumber(typ)
			if ok != (want[i] != none) || ok && int(got) != want[i] {
				t.Errorf("%s: %s is %d, %v; want %d", d, typ, got, ok, want[i])
			}
		}
	}
}

func TestNoDialectSaysAndHearsNothing(t *testing.T) {
	var d Dialect
	if b, err := d.Append([]byte{1}, Hello{}); err == nil || len(b) != 1 {
		t.Errorf("append: got %x, %v", b, err)
	}
	if m, err := d.Decode([]byte{0, 10, 0xfe, 6, 0, 0, 0, 0, 0, 0}); err == nil {
		t.Errorf("decode: got %v", m)
	}
	if _, ok := d.Number(CommandHello); ok {
		t.Error("HELLO has a number")
	}
}
