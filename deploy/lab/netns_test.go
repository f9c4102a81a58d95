package lab

import (
	"fmt"
	"os"
	"runtime"
	"testing"
)

// TestAThreadThatMadeANamespaceComesBack: the first thread of a program would
// take the whole process along, by its looks.
func TestAThreadThatMadeANamespaceComesBack(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root: it makes a network namespace")
	}
	runtime.LockOSThread() // else another thread might be looked at
	defer runtime.UnlockOSThread()
	here := func() string {
		t.Helper()
		ns, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		return ns
	}
	before, name := here(), fmt.Sprintf("srrlab-t%d", os.Getpid())
	if err := makeNS(name, true); err != nil {
		t.Fatal(err)
	}
	if err := delNS(name); err != nil {
		t.Error(err)
	}
	if after := here(); after != before {
		runtime.LockOSThread() // it is not to be used again
		t.Errorf("it was in %s, and is in %s", before, after)
	}
}
