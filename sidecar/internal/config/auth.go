package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// Authentication is with which keys LSAs are signed, and which are taken.
type Authentication struct {
	Keys string // path of the file; "" without
	Ring advert.Keyring
}

type rawAuthentication struct {
	Keys     opt[string]
	Send     opt[uint64]
	Required opt[bool]
}

var authenticationKeys = []key[rawAuthentication]{
	field("keys", path, func(a *rawAuthentication) *opt[string] { return &a.Keys }),
	field("send", integer(1, math.MaxUint32), func(a *rawAuthentication) *opt[uint64] { return &a.Send }),
	field("required", boolean, func(a *rawAuthentication) *opt[bool] { return &a.Required }),
}

// valid reads the file of keys. Its path counts from base, the directory of
// srrd.yaml.
func (a *rawAuthentication) valid(r *reader, base string) Authentication {
	if !a.Keys.Set {
		for _, k := range []struct {
			key string
			at  Position
			set bool
		}{{"send", a.Send.At, a.Send.Set}, {"required", a.Required.At, a.Required.Set}} {
			if k.set {
				r.report(k.at, "authentication."+k.key, "only with authentication.keys: without them nothing is signed or checked")
			}
		}
		return Authentication{}
	}
	out := Authentication{Keys: a.Keys.V}
	if !filepath.IsAbs(out.Keys) {
		out.Keys = filepath.Join(base, out.Keys)
	}
	text, err := readSecrets(out.Keys)
	if err != nil {
		r.report(a.Keys.At, "authentication.keys", "%s: %s", out.Keys, err)
		return out
	}
	before := len(*r.problems)
	keys := parseKeys(&reader{file: out.Keys, problems: r.problems}, text)
	if len(*r.problems) > before {
		return out
	}
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = fmt.Sprint(k.ID)
	}
	send := slices.IndexFunc(keys, func(k advert.Key) bool { return uint64(k.ID) == a.Send.V })
	switch {
	case len(keys) == 0:
		r.report(a.Keys.At, "authentication.keys", "%s has no key: `srrd key 1` makes one", out.Keys)
		return out
	case !a.Send.Set && len(keys) == 1:
		send = 0
	case !a.Send.Set:
		r.report(a.Keys.At, "authentication.send", "which one signs? %s has the keys %s", out.Keys, strings.Join(ids, ", "))
		return out
	case send < 0:
		r.report(a.Send.At, "authentication.send", "%s has no key %d, only %s", out.Keys, a.Send.V, strings.Join(ids, ", "))
		return out
	}
	out.Ring = advert.Keyring{Send: keys[send], Accept: keys, Required: a.Required.or(true)}
	return out
}

// readSecrets reads a file that only its owner may write and nobody but he and
// a group may read. What is checked is what is read, not what has its name.
func readSecrets(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe is told, not waited for
	if err != nil {
		return nil, fmt.Errorf("%s", reason(err))
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s", reason(err))
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("no plain file")
	}
	if loose := st.Mode().Perm() &^ 0o640; loose != 0 {
		return nil, fmt.Errorf("mode %04o lets others at the secrets: chmod 0640, or 0600", st.Mode().Perm())
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Uid != 0 && int(sys.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("belongs to uid %d, want root or the user srrd runs as", sys.Uid)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s", reason(err))
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	return text, nil
}

// parseKeys reads a key a line: its id, and its secret in hex. What is wrong is
// told without a word of what stands there.
func parseKeys(r *reader, text []byte) []advert.Key {
	var keys []advert.Key
	lines := map[uint32]int{}
	at := 0
	for line := range strings.Lines(string(text)) {
		at++
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		pos := Position{File: r.file, Line: at, Column: 1}
		if len(f) == 0 {
			continue
		}
		if len(f) != 2 {
			r.report(pos, "", "want an id and a secret in hex, got %d words", len(f))
			continue
		}
		id, err := strconv.ParseUint(f[0], 10, 32)
		if err != nil || id == 0 {
			r.report(pos, "", "want the id of a key first, a number from 1 to %d", uint32(math.MaxUint32))
			continue
		}
		secret, err := hex.DecodeString(f[1])
		switch {
		case err != nil:
			r.report(pos, "", "the secret of key %d is not in hex: want an even number of digits 0-9 and a-f", id)
			continue
		case len(secret) < advert.MinSecret || len(secret) > advert.MaxSecret:
			r.report(pos, "", "the secret of key %d has %d bytes, want %d to %d", id, len(secret), advert.MinSecret, advert.MaxSecret)
			continue
		}
		if first := lines[uint32(id)]; first != 0 {
			r.report(pos, "", "key %d stands twice; first in line %d", id, first)
			continue
		}
		lines[uint32(id)] = at
		keys = append(keys, advert.Key{ID: uint32(id), Secret: secret})
	}
	slices.SortFunc(keys, func(a, b advert.Key) int { return cmp.Compare(a.ID, b.ID) })
	return keys
}

// items tell everything but the secrets; that they differ is seen by a hash,
// which is not shown.
func (a *Authentication) items() []item {
	var ids []string
	sum := sha256.New()
	for _, k := range a.Ring.Accept {
		ids = append(ids, fmt.Sprint(k.ID))
		fmt.Fprintf(sum, "%d %d\n", k.ID, len(k.Secret))
		_, _ = sum.Write(k.Secret) // a hash does not fail
	}
	send, secrets, required := "", "", ""
	if len(ids) > 0 {
		send, secrets, required = fmt.Sprint(a.Ring.Send.ID), hex.EncodeToString(sum.Sum(nil)), yesNo(a.Ring.Required)
	}
	return []item{
		{key: "authentication.keys", value: a.Keys},
		{key: "authentication.ids", value: strings.Join(ids, ", ")},
		{key: "authentication.secrets", value: secrets, secret: true},
		{key: "authentication.send", value: send},
		{key: "authentication.required", value: required},
	}
}
