package shell

import (
	"strings"
	"testing"
)

func TestWhatALineIsForWhomItComesTo(t *testing.T) {
	for line, want := range map[string]Errand{
		"show service":             {Duty: DutyLook},
		"sh se dns":                {Duty: DutyLook, Service: "dns"},
		"why dns":                  {Duty: DutyLook, Service: "dns"},
		"help":                     {Duty: DutyLook},
		"-o json -w 80 show node":  {Duty: DutyLook, Line: "show node"},
		"nonsense":                 {Duty: DutyNone},
		"show nonsense":            {Duty: DutyNone},
		"":                         {Duty: DutyNone},
		"show running-config":      {Duty: DutyRule},
		"sh run":                   {Duty: DutyRule},
		"reload":                   {Duty: DutyRule},
		"daemon reexec":            {Duty: DutyRule},
		"plan":                     {Duty: DutyRule},
		"service dns stop":         {Duty: DutyAct, Service: "dns"},
		"-w 80 se dns sto":         {Duty: DutyAct, Service: "dns", Line: "se dns sto"},
		"service dns status":       {Duty: DutyAct, Service: "dns"}, // runs a primitive
		"node standby":             {Duty: DutyAct},
		"cluster freeze":           {Duty: DutyAct},
		"ospf show ip ospf":        {Duty: DutyRoute, Daemon: "ospfd", Command: "show ip ospf"},
		"zebra configure terminal": {Duty: DutyRoute, Daemon: "zebra", Command: "configure terminal"},
		"watch":                    {Duty: DutyClient},
		"exit":                     {Duty: DutyClient},
		"terminal length 0":        {Duty: DutyClient},
		"simulate node-down n1":    {Duty: DutyClient},
		"complete show ":           {Duty: DutyClient},
	} {
		if want.Line == "" {
			want.Line = line
		}
		if got := ErrandOf(line); got != want {
			t.Errorf("%q is %+v, want %+v", line, got, want)
		}
	}
}

// A command that comes to the tree later is for admins until somebody has
// thought about it.
func TestEveryCommandHasADuty(t *testing.T) {
	for _, w := range root.Next {
		if _, ok := duties[w.Name]; !ok && !w.Hidden && ErrandOf(w.Name).Duty != DutyRule {
			t.Errorf("%s is not for admins and has no duty", w.Name)
		}
	}
	for name := range duties {
		if w := find(root, name); w == nil {
			t.Errorf("%s has a duty and is no command", name)
		}
	}
}

func find(at *word, name string) *word {
	for _, w := range at.Next {
		if w.Name == name {
			return w
		}
	}
	return nil
}

func TestNobodyLeavesASharedSessionInConfigurationMode(t *testing.T) {
	for _, line := range []string{"ospf configure terminal", "zebra conf t", "ospf  co"} {
		sh, f := newShell()
		if out, status := run(t, sh, line); status != StatusWarning || len(f.vty) > 0 || !strings.Contains(out, "lines of configuration go into") {
			t.Errorf("%q: status %d, %q; the daemon was asked %q", line, status, out, f.vty)
		}
	}
}
