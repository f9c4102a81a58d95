package primitive

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// Whom primitives run as. They are children of srrd, and as such have what it
// has unless it is taken from them: another user's run has no privilege of
// root's, and where srrd is no root but was given CAP_NET_ADMIN as an ambient
// capability (capabilities(7)), no run inherits it.

// identity is whom a run is to be.
type identity struct {
	cred *syscall.Credential // nil: whoever srrd is
	home string
	name string
}

// CheckUser says why primitives cannot run as this user, nil if they can.
func CheckUser(name string) error {
	_, err := identify(name)
	return err
}

func identify(name string) (identity, error) {
	if name == "" {
		return identity{}, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		var unknown user.UnknownUserError
		if errors.As(err, &unknown) {
			return identity{}, fmt.Errorf("this machine has no user %s", name)
		}
		return identity{}, fmt.Errorf("user %s: %w", name, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return identity{}, fmt.Errorf("user %s: uid %q: %w", name, u.Uid, err)
	}
	if int(uid) == os.Geteuid() {
		return identity{home: u.HomeDir, name: name}, nil
	}
	if os.Geteuid() != 0 {
		return identity{}, fmt.Errorf("srrd runs as uid %d and cannot run anything as user %s: only root can", os.Geteuid(), name)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return identity{}, fmt.Errorf("groups of user %s: %w", name, err)
	}
	cred := &syscall.Credential{Uid: uint32(uid)}
	for _, g := range append([]string{u.Gid}, groups...) {
		gid, err := strconv.ParseUint(g, 10, 32)
		if err != nil {
			return identity{}, fmt.Errorf("groups of user %s: %q: %w", name, g, err)
		}
		cred.Groups = append(cred.Groups, uint32(gid))
	}
	cred.Gid = cred.Groups[0]
	return identity{cred, u.HomeDir, name}, nil
}

// environ adds what the user's own login would set.
func (i identity) environ() []string {
	if i.name == "" {
		return nil
	}
	return []string{"HOME=" + i.home, "USER=" + i.name, "LOGNAME=" + i.name}
}

// ambient reports whether children inherit capabilities of this process, by
// /proc/self/status (proc(5)).
func ambient() bool {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if bits, ok := strings.CutPrefix(line, "CapAmb:"); ok {
			return strings.Trim(bits, " \t\n0") != ""
		}
	}
	return false
}

// without is what takes a child's capabilities from it before it becomes argv.
func without(argv []string) []string {
	return append([]string{"setpriv", "--ambient-caps=-all", "--inh-caps=-all", "--"}, argv...)
}
