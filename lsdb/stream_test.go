package lsdb

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestARealStreamOfNotificationsIsToldAsItHappened(t *testing.T) {
	text, err := os.ReadFile("testdata/frr844-nssa-withdrawal.events")
	if err != nil {
		t.Fatal(err)
	}
	db := New(Limits{})
	var got []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 6 {
			t.Fatalf("%q", line)
		}
		raw, err := hex.DecodeString(f[5])
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.ParseDuration(f[0] + "s")
		if err != nil {
			t.Fatal(err)
		}
		u := Update{IfAddr: ip(f[2]), Area: ip(f[3]), Self: f[4] == "1", Raw: raw}
		do := db.Update
		if f[1] == "delete" {
			do = db.Delete
		}
		got = append(got, fmt.Sprintf("%s %s", f[0], told(must(t)(do(t0.Add(at), u)))))
	}
	want := []string{
		"1.103 ignored external 192.0.2.5 of 10.255.0.2", // it was there before the client was
		"1.103 added external 192.0.2.5 of 10.255.0.2 +192.0.2.5@10.255.0.2/5",
		"8.848 added nssa-external 192.0.2.55 of 10.255.0.5 (area 0.0.0.2) +192.0.2.55@10.255.0.5/7",
		"14.954 flushed nssa-external 192.0.2.55 of 10.255.0.5 (area 0.0.0.2) -192.0.2.55@10.255.0.5/7",
		"15.848 flushed external 192.0.2.5 of 10.255.0.2 -192.0.2.5@10.255.0.2/5",
		"15.848 replaced external 192.0.2.5 of 10.255.0.2 +192.0.2.5@10.255.0.2/5",
		"74.954 removed nssa-external 192.0.2.55 of 10.255.0.5 (area 0.0.0.2)",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
