package shell

import (
	"strings"
	"testing"
)

func TestOnlyWhatLooksLooks(t *testing.T) {
	for line, want := range map[string]bool{
		"show service": true, "sh se dns": true, "why dns": true, "-o json -w 80 show node": true, "help": true, "nonsense": true, "show nonsense": true,
		"show running-config": false, "sh run": false, "service dns stop": false, "node standby": false, "ospf show ip ospf": false,
		"zebra configure": false, "reload": false, "plan": false, "watch": false, "exit": false, "complete show ": false, "-w 80 service dns stop": false,
	} {
		if got := Looks(line); got != want {
			t.Errorf("%q looks: %v, want %v", line, got, want)
		}
	}
}

func TestNobodyLeavesASharedSessionInConfigurationMode(t *testing.T) {
	for _, line := range []string{"ospf configure terminal", "zebra conf t", "ospf  co"} {
		sh, f := newShell()
		if out, status := run(t, sh, line); status != StatusWarning || len(f.vty) > 0 || !strings.Contains(out, "lines of configuration go into") {
			t.Errorf("%q: status %d, %q; the daemon was asked %q", line, status, out, f.vty)
		}
	}
}
