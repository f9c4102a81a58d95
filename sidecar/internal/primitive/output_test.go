package primitive

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func blocks(t *testing.T, o *output) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(o.f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func TestWhatIsPunchedOutLeavesHeadAndTail(t *testing.T) {
	o, err := newOutput(t.TempDir(), "web", "start")
	if err != nil {
		t.Fatal(err)
	}
	defer o.drop()
	line := []byte(strings.Repeat("x", 1023) + "\n")
	write := func(b []byte) {
		t.Helper()
		if _, err := o.f.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte("first\n"))
	for range 64 {
		write(bytes.Repeat(line, 1024))
		o.punch()
		if n := blocks(t, o); n > 8*keepTail {
			t.Fatalf("%d bytes on disk", n)
		}
	}
	write([]byte("Result: done\n"))
	out, err := o.content()
	if err != nil {
		t.Fatal(err)
	}
	if len(out) > headBytes+tailBytes+100 || bytes.IndexByte(out, 0) >= 0 ||
		!bytes.HasPrefix(out, []byte("first\nxxx")) || !bytes.HasSuffix(out, []byte("xxx\nResult: done\n")) {
		t.Errorf("%d bytes, %.40q ... %.40q", len(out), out, out[len(out)-40:])
	}
}

// A Result line that begins before the tail is no Result line of the tail.
func TestALineThatIsCutIsLeftOut(t *testing.T) {
	o, err := newOutput(t.TempDir(), "web", "start")
	if err != nil {
		t.Fatal(err)
	}
	defer o.drop()
	tail := "Result: done\n"
	text := strings.Repeat("y", headBytes+tailBytes) + tail + strings.Repeat("z\n", (tailBytes-len(tail))/2)
	if _, err := o.f.WriteString(text + strings.Repeat("z", tailBytes-len(tail)-(tailBytes-len(tail))/2*2)); err != nil {
		t.Fatal(err)
	}
	out, err := o.content()
	if err != nil || read(out).result != "" {
		t.Errorf("result %q from a line of many letters, %v", read(out).result, err)
	}
}

func TestAFileIsHeldAsLongAsAnotherHasItOpen(t *testing.T) {
	o, err := newOutput(t.TempDir(), "web", "start")
	if err != nil {
		t.Fatal(err)
	}
	// As a run has it: the same open file under another number.
	fd, err := syscall.Dup(int(o.f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	child := os.NewFile(uintptr(fd), "child")
	if err := o.reopen(); err != nil {
		t.Fatal(err)
	}
	if !o.held() {
		t.Error("not held, though a child has it")
	}
	if _, err := child.Write(bytes.Repeat([]byte("x"), keepIdle+1)); err != nil {
		t.Fatal(err)
	}
	o.trim()
	if _, err := child.WriteString("on"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(o.f.Name()); err != nil || string(text) != "on" {
		t.Errorf("after trimming: %d bytes, %v", len(text), err)
	}
	if err := child.Close(); err != nil {
		t.Fatal(err)
	}
	if o.held() {
		t.Error("held by nobody")
	}
	o.drop()
	if _, err := os.Stat(o.f.Name()); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

func TestTheNextLifeWatchesWhatIsStillWrittenTo(t *testing.T) {
	run := t.TempDir()
	o, err := newOutput(run, "a.b", "start")
	if err != nil {
		t.Fatal(err)
	}
	defer o.drop()
	all := adopt(run)
	if len(all) != 1 || len(all["a.b"]) != 1 || all["a.b"][0].f.Name() != filepath.Join(run, "output", "a.b.start") {
		t.Fatalf("%v", all)
	}
	if !all["a.b"][0].held() {
		t.Error("not held")
	}
	_ = all["a.b"][0].f.Close()
	if got := adopt(filepath.Join(run, "none")); len(got) != 0 {
		t.Errorf("from nothing: %v", got)
	}
}
