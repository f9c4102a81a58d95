package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAForwardedPortIsReachedByItsUserUntilTheLabIsDown(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test builds network namespaces and needs root")
	}
	srrlab := filepath.Join(t.TempDir(), "srrlab")
	if out, err := exec.Command("go", "build", "-o", srrlab, "./cmd/srrlab").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	topo, err := Parse("t", []byte("hosts:\n  a: {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := Up(t.Context(), topo, Options{Name: fmt.Sprintf("f%d", os.Getpid()), Base: t.TempDir(), Binaries: Binaries{Srrlab: srrlab}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Down() }) // done already if the test went well
	var inside net.Listener
	if err := l.Do("a", func() (err error) { inside, err = net.Listen("tcp", "127.0.0.1:0"); return err }); err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	go func() {
		for {
			c, err := inside.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	port := uint16(inside.Addr().(*net.TCPAddr).Port)
	at, err := l.Forward("a", port, netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	// ask sends a word as a user and returns what comes back.
	ask := func(uid uint32) string {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "bash", "-c", fmt.Sprintf(`exec 3<>/dev/tcp/%s/%d && echo word >&3 && head -n 1 <&3`, at.Addr(), at.Port()))
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, _ := cmd.Output() // a refused connection is seen in what came back
		return string(out)
	}
	if got := ask(0); got != "word\n" {
		t.Errorf("root got %q back", got)
	}
	if got := ask(65534); got != "" {
		t.Errorf("nobody was let through: %q", got)
	}
	for _, tc := range []struct {
		host, listen, want string
	}{
		{"z", "127.0.0.1:0", `no host "z"`},
		{"a", "0.0.0.0:0", "no loopback address"},
		{"a", at.String(), "address already in use"},
	} {
		if _, err := l.Forward(tc.host, port, netip.MustParseAddrPort(tc.listen)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("forward to %s from %s: %v, want %q", tc.host, tc.listen, err, tc.want)
		}
	}
	if err := l.Down(); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", at.String()); err == nil {
		c.Close()
		t.Error("the forwarder outlives the lab")
	}
}
