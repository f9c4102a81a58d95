package daemon

import (
	"net"
	"net/netip"
	"os/user"
	"testing"

	"github.com/srrd/srrd/sidecar/internal/web"
)

func TestTheKernelTellsWhoConnectsOverLoopback(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(at, func(t *testing.T) {
			l, err := net.Listen("tcp", at)
			if err != nil {
				t.Skipf("no such loopback here: %v", err)
			}
			defer l.Close()
			out, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			in, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			me, err := user.Current()
			if err != nil {
				t.Fatal(err)
			}
			want := web.Person{Name: me.Username, Role: web.Viewer}
			if me.Uid == "0" {
				want.Role = web.Admin
			}
			got, err := localPerson("no such group")(netip.MustParseAddrPort(in.LocalAddr().String()), netip.MustParseAddrPort(in.RemoteAddr().String()))
			if err != nil || got != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
			// The kernel says uid 0 of a socket that is closed, whoever had it.
			if err := out.Close(); err != nil {
				t.Fatal(err)
			}
			if got, err := localPerson("no such group")(netip.MustParseAddrPort(in.LocalAddr().String()), netip.MustParseAddrPort(in.RemoteAddr().String())); err == nil || got.Role != web.Nobody {
				t.Errorf("who has closed is %+v", got)
			}
		})
	}
}
