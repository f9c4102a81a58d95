package lab

import (
	"os"
	"path/filepath"
	"testing"
)

func TestARebootFindsNothingUnderRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := empty(dir); err != nil {
		t.Errorf("where there is no directory yet: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "srrd", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "srrd.pid")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := empty(file); err == nil {
		t.Error("a file that is no directory was emptied, it says")
	}
	if err := empty(dir); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v (%v)", left, err)
	}
}
