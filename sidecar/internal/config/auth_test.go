package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const (
	secretOne = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	secretTwo = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
)

func withKeys(t *testing.T, keys, section string) string {
	return files(t, "-- srrd.yaml --\nauthentication:\n  keys: keys\n"+section+"-- keys --\n"+keys)
}

func TestKeysAreReadAndNeverShown(t *testing.T) {
	main := withKeys(t, "1 "+secretOne+"\n2 "+secretTwo+" # the new one\n", "  send: 1\n")
	c, err := load(main, "n1")
	if err != nil {
		t.Fatal(err)
	}
	r := c.Daemon.Authentication.Ring
	if r.Send.ID != 1 || len(r.Accept) != 2 || !r.Required || fmt.Sprintf("%x", []byte(r.Accept[1].Secret)) != secretTwo {
		t.Errorf("ring %+v", r)
	}
	// A secret changes: the difference is told, not what it is.
	if err := os.WriteFile(filepath.Join(filepath.Dir(main), "keys"), []byte("1 "+secretTwo+"\n2 "+secretTwo+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := load(main, "n1")
	if err != nil {
		t.Fatal(err)
	}
	diff := fmt.Sprint(Diff(c, d))
	if diff != "[authentication.secrets: (set) -> (set)]" {
		t.Errorf("the difference is told as %s", diff)
	}
	all := diff + c.Dump() + fmt.Sprintf("%v %+v %#v", c.Daemon, *c, c.Daemon.Authentication)
	for _, s := range []string{secretOne, secretTwo} {
		for _, part := range []string{s, s[:16], strings.ToUpper(s[:16])} {
			if strings.Contains(all, part) {
				t.Errorf("a secret shows as %s", part)
			}
		}
	}
}

func TestWhatIsWrongWithKeysIsToldWithoutThem(t *testing.T) {
	for name, keys := range map[string]string{
		"too short":     "1 deadbeefcafe\n",
		"not hex":       "1 my-deadbeef-password\n",
		"a word":        "deadbeef\n",
		"id and secret": secretOne + " 1\n",
	} {
		_, err := load(withKeys(t, keys, ""), "n1")
		if err == nil || strings.Contains(err.Error(), "deadbeef") || strings.Contains(err.Error(), secretOne[:8]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFileOfKeysIsForItsOwner(t *testing.T) {
	main := withKeys(t, "1 "+secretOne+"\n", "")
	keys := filepath.Join(filepath.Dir(main), "keys")
	for mode := range os.FileMode(0o1000) {
		if err := os.Chmod(keys, mode); err != nil {
			t.Fatal(err)
		}
		_, err := load(main, "n1")
		if good := mode&^0o640 == 0; good && os.Geteuid() == 0 && err != nil || !good && err == nil {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if os.Geteuid() != 0 {
		return // only root can give a file away
	}
	if err := os.Chmod(keys, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(keys, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := load(main, "n1"); err == nil || !strings.Contains(err.Error(), "belongs to uid 12345") {
		t.Errorf("somebody else's file: %v", err)
	}
	if err := os.Remove(keys); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(keys, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(main, "n1"); err == nil || !strings.Contains(err.Error(), "no plain file") {
		t.Errorf("a pipe: %v", err)
	}
	if err := os.Remove(keys); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := load(main, "n1"); err == nil || !strings.Contains(err.Error(), "no plain file") {
		t.Errorf("a directory: %v", err)
	}
}

func FuzzKeysAreReadOrRefusedWithoutAWordOfThem(f *testing.F) {
	f.Add([]byte("1 " + secretOne + "\n2 " + secretTwo + " # the new one\n"))
	f.Add([]byte("# only words\n\n"))
	cases, err := filepath.Glob(testdata + "/bad/authentication-*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range cases {
		text, err := os.ReadFile(c)
		if err != nil {
			f.Fatal(err)
		}
		_, keys, _ := strings.Cut(string(text), "-- keys --\n")
		f.Add([]byte(keys))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var problems Problems
		keys := parseKeys(&reader{file: "keys", problems: &problems}, text)
		seen := map[uint32]bool{}
		for _, k := range keys {
			if k.ID == 0 || seen[k.ID] || len(k.Secret) < 16 || len(k.Secret) > 64 {
				t.Errorf("key %d of %d bytes, there already: %t", k.ID, len(k.Secret), seen[k.ID])
			}
			seen[k.ID] = true
		}
		for line := range strings.Lines(string(text)) {
			for _, word := range strings.Fields(line) {
				// Longer than any id, and than what a message says itself.
				if len(word) >= 12 && !strings.ContainsAny(word, "abcdefghijklmnopqrstuvwxyz") && strings.Contains(problems.Error(), word) && !strings.Contains("1 to 4294967295", word) {
					t.Errorf("what is wrong is told with the word %q:\n%v", word, problems)
				}
			}
		}
	})
}
