package main

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestTheManualPageSaysWhatTheCommandsSay(t *testing.T) {
	const path = "../../../deploy/man/srrsh.1"
	if *update {
		if err := os.WriteFile(path, []byte(manual()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run with -update to make it)", err)
	}
	if diff := cmp.Diff(string(want), manual()); diff != "" {
		t.Errorf("%s is not what the commands say; run with -update (-want +got):\n%s", path, diff)
	}
}
