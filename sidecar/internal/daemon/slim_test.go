package daemon

import (
	"slices"
	"strings"
	"testing"
)

// As Linux 6.18 shows a program, one that is relocated, and a library.
const someMaps = `00400000-00cf9000 r-xp 00000000 fe:00 10355236                           /usr/sbin/srrd
Size:               9188 kB
Rss:                8000 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
00cf9000-01679000 r--p 008f9000 fe:00 10355236                           /usr/sbin/srrd
Anonymous:             0 kB
01679000-016ea000 rw-p 01279000 fe:00 10355236                           /usr/sbin/srrd
Anonymous:             0 kB
016ea000-016fa000 r--p 01279000 fe:00 10355236                           /usr/sbin/srrd
Anonymous:            64 kB
7f0000000000-7f0000100000 r-xp 00000000 fe:00 1                          /usr/lib/libc.so.6
Anonymous:             0 kB
7ff000000000-7ff000001000 r--p 00000000 00:00 0
Anonymous:             0 kB
7ff000002000-7ff000003000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
7ff000004000-7ff000005000 r--p 00000000 fe:00 10355236                   /usr/sbin/srrd (deleted)
Anonymous:             0 kB
`

func TestOnlyCleanPagesOfTheProgramAreGivenBack(t *testing.T) {
	got, err := cleanMappings(strings.NewReader(someMaps), "/usr/sbin/srrd")
	if err != nil {
		t.Fatal(err)
	}
	if want := []mapping{{0x400000, 0xcf9000}, {0xcf9000, 0x1679000}}; !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if _, err := cleanMappings(strings.NewReader("0x-1 r-xp 0 fe:00 1 /usr/sbin/srrd\n"), "/usr/sbin/srrd"); err == nil {
		t.Error("an address that is none was taken")
	}
}

// The test goes on after its own pages have gone: they come back.
func TestTheProgramGoesOnWithoutItsPages(t *testing.T) {
	for range 3 {
		if err := dropProgram(); err != nil {
			t.Fatal(err)
		}
	}
}
