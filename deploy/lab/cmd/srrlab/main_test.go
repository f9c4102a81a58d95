package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// run executes the command line as main does, without its exit.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := root()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetIn(strings.NewReader(""))
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func TestALabFromUpToDownByCommandsOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test builds network namespaces and needs root")
	}
	base := t.TempDir() // no FRR in this lab, so nobody else must enter
	topology := filepath.Join(base, "t.yaml")
	if err := os.WriteFile(topology, []byte(`
hosts:
  a: {}
  b: {daemons: {sleeper: {command: [sleep, "1000"]}}}
links:
  - members: [{host: a, iface: eth0, address: 10.0.0.1/24}, {host: b, iface: eth0, address: 10.0.0.2/24}]
`), 0o644); err != nil {
		t.Fatal(err)
	}
	base = filepath.Join(base, "run")
	name := "c" + strconv.Itoa(os.Getpid())
	lab := func(args ...string) (string, error) {
		return run(t, append([]string{"--base", base, "-l", name}, args...)...)
	}
	t.Cleanup(func() { _, _ = lab("down", name) }) // gone already if the test went well
	for _, step := range []struct {
		args []string
		out  string // must be in what is printed
		err  string // must be in the error
	}{
		{[]string{"up", "-q", topology}, "lab " + name + " is up", ""},
		{[]string{"up", "-q", topology}, "", "already up"},
		{[]string{"list"}, name, ""},
		{[]string{"prune"}, "", ""},
		{[]string{"exec", "a", "--", "ping", "-c1", "-W2", "10.0.0.2"}, "1 received", ""},
		{[]string{"exec", "a", "--", "sh", "-c", "exit 7"}, "", "exit status 7"},
		{[]string{"cut", "a:eth0"}, "", ""},
		{[]string{"status"}, "fault a:eth0: cut silent", ""},
		{[]string{"exec", "a", "--", "ping", "-c1", "-W0.2", "10.0.0.2"}, "100% packet loss", "exit status 1"},
		{[]string{"heal", "a"}, "", ""},
		{[]string{"freeze", "b", "sleeper"}, "", ""},
		{[]string{"status"}, "sleeper(frozen)", ""},
		{[]string{"thaw", "b", "sleeper"}, "", ""},
		{[]string{"kill", "b", "sleeper"}, "", ""},
		{[]string{"status", "-o", "json"}, `"state": "dead"`, ""},
		{[]string{"status", "-o", "xml"}, "", `output "xml": want text or json`},
		{[]string{"start", "b", "sleeper"}, "", ""},
		{[]string{"cut", "nowhere"}, "", `no cable "nowhere"`},
		{[]string{"loss", "a:eth0", "half"}, "", "want a percentage"},
		{[]string{"delay", "a:eth0", "soon"}, "", "want a duration"},
		{[]string{"probe", "--from", "a", "--for", "20ms", "--grace", "10ms", "10.0.0.2:7777"}, "probe of 10.0.0.2:7777", ""},
		{[]string{"down", name}, "", ""},
		{[]string{"status"}, "", "not up"},
	} {
		out, err := lab(step.args...)
		switch {
		case !strings.Contains(out, step.out):
			t.Fatalf("%v printed %q, want %q (%v)", step.args, out, step.out, err)
		case step.err == "" && err != nil, step.err != "" && (err == nil || !strings.Contains(err.Error(), step.err)):
			t.Fatalf("%v: error %v, want %q", step.args, err, step.err)
		}
	}
	if entries, err := os.ReadDir(base); err == nil && len(entries) > 0 {
		t.Errorf("left in %s: %v", base, entries)
	}
}

func TestSignalsAreTakenByNameAndNumber(t *testing.T) {
	for text, want := range map[string]syscall.Signal{"KILL": 9, "sigterm": 15, "hup": 1, "19": 19} {
		if got, err := signalOf(text); err != nil || got != want {
			t.Errorf("%q: %v %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "NONE", "0", "65", "-9"} {
		if got, err := signalOf(text); err == nil {
			t.Errorf("%q: taken as %v", text, got)
		}
	}
}

func TestVariablesAreNameAndValue(t *testing.T) {
	got, err := assignments([]string{"a=b=c", "d="})
	if err != nil || got["a"] != "b=c" || got["d"] != "" {
		t.Errorf("%v %v", got, err)
	}
	if _, err := assignments([]string{"=x"}); err == nil {
		t.Error("a value without a name was taken")
	}
}
